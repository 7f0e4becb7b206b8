//! Detection cost: what errors cost at one prior, at the best threshold (minDCF) and at the one calibration gives (actDCF).

use super::{OperatingPoint, Steps};

/// Prior and costs that turn error rates into one expected cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionCost {
    /// Share of spoofs among the recordings met in use, 0-1 exclusive.
    pub spoof_prior: f64,
    /// Cost of rejecting bona fide speech.
    pub miss_cost: f64,
    /// Cost of accepting a spoof.
    pub false_acceptance_cost: f64,
}

impl DetectionCost {
    /// ASVspoof 5 evaluation plan (2024), track 1.
    pub const ASVSPOOF5: Self = Self { spoof_prior: 0.05, miss_cost: 1.0, false_acceptance_cost: 10.0 };

    fn miss_weight(&self) -> f64 {
        self.miss_cost * (1.0 - self.spoof_prior)
    }

    fn false_acceptance_weight(&self) -> f64 {
        self.false_acceptance_cost * self.spoof_prior
    }

    /// The LLR above which accepting costs less than rejecting: ln(Cfa·Pspoof / (Cmiss·(1 − Pspoof))).
    pub fn bayes_threshold(&self) -> f64 {
        (self.false_acceptance_weight() / self.miss_weight()).ln()
    }

    /// Expected cost over that of the better of "accept all" and "reject all": 0 is perfect, 1 is useless.
    pub fn normalised(&self, point: &OperatingPoint) -> f64 {
        let cost = self.miss_weight() * point.miss_rate + self.false_acceptance_weight() * point.false_acceptance_rate;
        cost / self.miss_weight().min(self.false_acceptance_weight())
    }
}

impl Steps {
    /// Lowest normalised cost over all thresholds. The corners of the convex hull hold it, the cost being linear.
    pub fn min_dcf(&self, cost: &DetectionCost) -> f64 {
        self.convex_hull().iter().map(|point| cost.normalised(point)).fold(f64::INFINITY, f64::min)
    }

    /// Normalised cost at the Bayes threshold; what calibration loses is its distance from [`Steps::min_dcf`].
    pub fn act_dcf(&self, cost: &DetectionCost) -> f64 {
        cost.normalised(&self.at_threshold(cost.bayes_threshold()))
    }
}
