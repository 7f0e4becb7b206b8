//! Ranked scores: the one form from which every threshold-free measure is computed in a single pass.

use super::Class;

/// One trial's score and truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Natural-log likelihood ratio (or any score that rises with it, where only ranks matter).
    pub llr: f64,
    /// The truth.
    pub class: Class,
}

/// All trials that share one LLR. Weights are trial counts, or counts of draws in a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The shared LLR.
    pub llr: f64,
    /// Weight of bona fide trials here.
    pub bona_fide: f64,
    /// Weight of spoofs here.
    pub spoof: f64,
}

/// Steps in strictly rising order of LLR, with both classes present.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    rising: Vec<Step>,
    bona_fide_total: f64,
    spoof_total: f64,
}

impl Steps {
    /// Ranks trials and pools ties. `None` unless both classes are present; NaN scores are left out.
    pub fn new(scored: &[Scored]) -> Option<Self> {
        let mut ranked: Vec<Scored> = scored.iter().copied().filter(|s| !s.llr.is_nan()).collect();
        ranked.sort_by(|a, b| a.llr.total_cmp(&b.llr));
        Self::from_ranked(ranked.into_iter().map(|s| (s, 1.0)))
    }

    /// From trials already in rising order of LLR, each with its weight; those of weight 0 are as if absent.
    pub(super) fn from_ranked(ranked: impl Iterator<Item = (Scored, f64)>) -> Option<Self> {
        let mut rising: Vec<Step> = Vec::new();
        let (mut bona_fide_total, mut spoof_total) = (0.0, 0.0);
        for (scored, weight) in ranked.filter(|(_, weight)| *weight > 0.0) {
            let (bona_fide, spoof) = match scored.class {
                Class::BonaFide => (weight, 0.0),
                Class::Spoof => (0.0, weight),
            };
            bona_fide_total += bona_fide;
            spoof_total += spoof;
            match rising.last_mut() {
                Some(last) if last.llr == scored.llr => {
                    last.bona_fide += bona_fide;
                    last.spoof += spoof;
                }
                _ => rising.push(Step { llr: scored.llr, bona_fide, spoof }),
            }
        }
        (bona_fide_total > 0.0 && spoof_total > 0.0).then_some(Self { rising, bona_fide_total, spoof_total })
    }

    /// The steps, in rising order of LLR.
    pub fn rising(&self) -> &[Step] {
        &self.rising
    }

    /// Weight of all bona fide trials; more than 0.
    pub fn bona_fide_total(&self) -> f64 {
        self.bona_fide_total
    }

    /// Weight of all spoofs; more than 0.
    pub fn spoof_total(&self) -> f64 {
        self.spoof_total
    }
}
