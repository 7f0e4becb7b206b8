//! Error rates over all thresholds: the convex hull of the ROC, EER on it, AUC, and rates at one threshold.

use super::{Step, Steps, pav::pool_adjacent_violators};

/// Error rates of one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// Share of bona fide trials below the threshold (rejected), 0-1.
    pub miss_rate: f64,
    /// Share of spoofs at or above the threshold (accepted), 0-1.
    pub false_acceptance_rate: f64,
}

impl OperatingPoint {
    const ACCEPT_ALL: Self = Self { miss_rate: 0.0, false_acceptance_rate: 1.0 };

    /// Negative while the threshold is below the one of equal errors.
    fn excess(&self) -> f64 {
        self.miss_rate - self.false_acceptance_rate
    }
}

impl Steps {
    /// Operating points as the threshold rises past each of `runs`; the first accepts everything, the last nothing.
    fn sweep(&self, runs: impl Iterator<Item = (f64, f64)>) -> Vec<OperatingPoint> {
        let (mut missed, mut rejected) = (0.0, 0.0);
        let mut points = vec![OperatingPoint::ACCEPT_ALL];
        points.extend(runs.map(|(bona_fide, spoof)| {
            missed += bona_fide;
            rejected += spoof;
            OperatingPoint {
                miss_rate: missed / self.bona_fide_total(),
                false_acceptance_rate: 1.0 - rejected / self.spoof_total(),
            }
        }));
        points
    }

    /// Every operating point that the trials allow, from "accept all" to "reject all".
    pub fn roc(&self) -> Vec<OperatingPoint> {
        self.sweep(self.rising().iter().map(|step| (step.bona_fide, step.spoof)))
    }

    /// Corners of the ROC's convex hull, from "accept all" to "reject all".
    pub fn convex_hull(&self) -> Vec<OperatingPoint> {
        self.sweep(pool_adjacent_violators(self.rising()).iter().map(|block| (block.bona_fide, block.spoof)))
    }

    /// Equal error rate on the ROC convex hull (ROCCH-EER), 0-0.5: where the hull meets miss rate = false acceptance rate.
    ///
    /// Brümmer and de Villiers, "The BOSARIS toolkit user guide", 2011. Unlike the nearest-threshold EER it has one value
    /// whatever the number of trials, and it is the highest error a well calibrated system makes at any prior.
    pub fn eer(&self) -> f64 {
        let hull = self.convex_hull();
        let above = hull.iter().position(|point| point.excess() >= 0.0).expect("at the end everything is missed");
        // The first point accepts all, so its excess is -1 and there is always one before the crossing.
        let (before, after) = (&hull[above - 1], &hull[above]);
        let share = -before.excess() / (after.excess() - before.excess());
        before.miss_rate + share * (after.miss_rate - before.miss_rate)
    }

    /// Area under the ROC, 0-1: how often a random bona fide trial scores above a random spoof, ties counting half
    /// (Mann-Whitney). 1 is perfect, 0.5 is chance.
    pub fn auc(&self) -> f64 {
        let mut spoofs_below = 0.0;
        let mut wins = 0.0;
        for Step { bona_fide, spoof, .. } in self.rising() {
            wins += bona_fide * (spoofs_below + spoof / 2.0);
            spoofs_below += spoof;
        }
        wins / (self.bona_fide_total() * self.spoof_total())
    }

    /// Error rates of accepting every LLR at or above `threshold`.
    pub fn at_threshold(&self, threshold: f64) -> OperatingPoint {
        let below = &self.rising()[..self.rising().partition_point(|step| step.llr < threshold)];
        let missed: f64 = below.iter().map(|step| step.bona_fide).sum();
        let rejected: f64 = below.iter().map(|step| step.spoof).sum();
        OperatingPoint {
            miss_rate: missed / self.bona_fide_total(),
            false_acceptance_rate: 1.0 - rejected / self.spoof_total(),
        }
    }
}
