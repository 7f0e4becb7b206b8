//! Intervals by resampling whole clusters: trials of one source share its microphone, codec and speaker, so drawing
//! single trials would make the intervals far too narrow.
//!
//! Percentile bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13). Scores are ranked
//! once; a draw only changes how often each cluster counts, so it costs one pass over the trials.

use super::{Class, Scored, SplitMix64, Steps, Trial, summary::Measures};
use crate::policy::Decision;

/// Draws per interval.
const DRAW_COUNT: usize = 1000;
/// Any fixed number: the intervals of one set of trials never change.
const SEED: u64 = 0x636C_6F6E_6577_6174;
/// With fewer clusters than this of a class that a measure needs, they say too little about how clusters differ, and no
/// interval is given: one spoof among many genuine sources would otherwise seem to be known exactly.
const MIN_CLUSTER_COUNT: usize = 5;

/// Ends of a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// What one cluster adds to the shares and means.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Trials by [class, decision].
    pub(super) decided: [[f64; 3]; 2],
    /// Sum of LLRs by class.
    pub(super) llr_sum: [f64; 2],
    /// Trials with an LLR by class.
    pub(super) scored: [f64; 2],
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self, weight: f64) {
        for class in 0..2 {
            for decision in 0..3 {
                self.decided[class][decision] += weight * other.decided[class][decision];
            }
            self.llr_sum[class] += weight * other.llr_sum[class];
            self.scored[class] += weight * other.scored[class];
        }
    }

    fn count(&mut self, trial: &Trial) {
        let class = class_index(trial.class);
        self.decided[class][decision_index(trial.decision)] += 1.0;
        if let Some(llr) = trial.llr {
            self.llr_sum[class] += llr;
            self.scored[class] += 1.0;
        }
    }
}

/// Position of a class in [`Tally`].
pub(super) fn class_index(class: Class) -> usize {
    match class {
        Class::BonaFide => 0,
        Class::Spoof => 1,
    }
}

/// Position of a decision in [`Tally::decided`].
pub(super) fn decision_index(decision: Decision) -> usize {
    match decision {
        Decision::BonaFide => 0,
        Decision::Spoof => 1,
        Decision::Inconclusive => 2,
    }
}

/// Trials, ranked once and grouped into clusters.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Scored trials in rising order of LLR, each with its cluster's position in `tallies`.
    ranked: Vec<(Scored, usize)>,
    tallies: Vec<Tally>,
}

impl Panel {
    /// Ranks `trials`. An LLR that is not a number counts as none.
    pub fn new(trials: &[Trial]) -> Self {
        let mut clusters: Vec<u32> = trials.iter().map(|trial| trial.cluster).collect();
        clusters.sort_unstable();
        clusters.dedup();
        let mut tallies = vec![Tally::default(); clusters.len()];
        let mut ranked = Vec::with_capacity(trials.len());
        for trial in trials {
            let trial = Trial { llr: trial.llr.filter(|llr| !llr.is_nan()), ..*trial };
            let position = clusters.binary_search(&trial.cluster).expect("every cluster was listed");
            tallies[position].count(&trial);
            if let Some(llr) = trial.llr {
                ranked.push((Scored { llr, class: trial.class }, position));
            }
        }
        ranked.sort_by(|a, b| a.0.llr.total_cmp(&b.0.llr));
        Self { ranked, tallies }
    }

    /// How many clusters there are.
    pub fn cluster_count(&self) -> usize {
        self.tallies.len()
    }

    /// The ranked scores; `None` unless both classes have some.
    pub fn steps(&self) -> Option<Steps> {
        Steps::from_ranked(self.ranked.iter().map(|&(scored, _)| (scored, 1.0)))
    }

    /// Every measure with each cluster counted as often as `weights` says.
    pub(super) fn measure(&self, weights: &[f64]) -> Measures {
        let mut total = Tally::default();
        self.tallies.iter().zip(weights).for_each(|(tally, &weight)| total.add(tally, weight));
        let steps = Steps::from_ranked(self.ranked.iter().map(|&(scored, cluster)| (scored, weights[cluster])));
        Measures::new(&total, steps.as_ref())
    }

    /// The 95 % interval of each measure. `None` with fewer than 5 clusters of a class that the measure needs, or where
    /// fewer than half of the draws have the trials that it needs.
    pub(super) fn intervals(&self) -> Measures<Interval> {
        let enough = [Class::BonaFide, Class::Spoof].map(|class| self.clusters_with(class) >= MIN_CLUSTER_COUNT);
        if enough == [false, false] {
            return Measures::default();
        }
        let mut rng = SplitMix64::new(SEED);
        let draws: Vec<Measures> = (0..DRAW_COUNT).map(|_| self.measure(&self.draw_weights(&mut rng))).collect();
        Measures::from_fn(|measure| {
            let supported = measure.classes().iter().all(|&class| enough[class_index(class)]);
            let values = || draws.iter().filter_map(|draw| draw.get(measure)).collect();
            supported.then(values).and_then(percentile_interval)
        })
    }

    fn clusters_with(&self, class: Class) -> usize {
        let has = |tally: &&Tally| tally.decided[class_index(class)].iter().any(|&count| count > 0.0);
        self.tallies.iter().filter(has).count()
    }

    /// How often each cluster comes up in as many draws with replacement as there are clusters.
    fn draw_weights(&self, rng: &mut SplitMix64) -> Vec<f64> {
        let count = self.cluster_count();
        let bound = u32::try_from(count).unwrap_or(u32::MAX);
        let mut weights = vec![0.0; count];
        (0..count).for_each(|_| weights[rng.below(bound) as usize] += 1.0);
        weights
    }
}

fn percentile_interval(mut values: Vec<f64>) -> Option<Interval> {
    if values.len() < DRAW_COUNT / 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, 0.025), high: quantile(&values, 0.975) })
}

/// Linear between the two nearest of the sorted, non-empty `values`.
fn quantile(values: &[f64], share: f64) -> f64 {
    let position = share * (values.len() - 1) as f64;
    let below = position as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (position - below as f64) * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_linear() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0];
        for (share, expected) in [(0.0, 0.0), (0.5, 2.0), (0.625, 2.5), (1.0, 4.0)] {
            assert!((quantile(&values, share) - expected).abs() < 1e-12);
        }
    }
}
