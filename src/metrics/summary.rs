//! One table row: every measure of one set of trials, by name, with its interval.

use super::{
    Class, DetectionCost, Interval, Panel, Steps, Trial,
    bootstrap::{Tally, class_index, decision_index},
};
use crate::policy::Decision;

/// How a measure is written for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share 0-1, shown in percent.
    Share,
    /// A plain number.
    Number,
}

/// What can be measured. The order is that of every output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// [`Steps::eer`].
    Eer,
    /// [`Steps::min_dcf`] with [`DetectionCost::ASVSPOOF5`].
    MinDcf,
    /// [`Steps::act_dcf`] with [`DetectionCost::ASVSPOOF5`].
    ActDcf,
    /// [`Steps::cllr`].
    Cllr,
    /// [`Steps::min_cllr`].
    MinCllr,
    /// Cllr − minCllr: what bad calibration costs, in bits.
    CalibrationLoss,
    /// [`Steps::auc`].
    Auc,
    /// Share of spoofs the policy calls spoof.
    SpoofCaught,
    /// Share of spoofs the policy calls bona fide: the false acceptance rate at its threshold.
    SpoofPassed,
    /// Share of spoofs the policy leaves open.
    SpoofInconclusive,
    /// Share of bona fide trials the policy calls bona fide.
    GenuinePassed,
    /// Share of bona fide trials the policy calls spoof: the miss rate at its threshold, and a user's false alarms.
    GenuineFlagged,
    /// Share of bona fide trials the policy leaves open.
    GenuineInconclusive,
    /// Mean LLR of spoofs that were scored.
    SpoofMeanLlr,
    /// Mean LLR of bona fide trials that were scored.
    GenuineMeanLlr,
}

impl Measure {
    /// All of them, in output order.
    pub const ALL: [Self; 15] = [
        Self::Eer,
        Self::MinDcf,
        Self::ActDcf,
        Self::Cllr,
        Self::MinCllr,
        Self::CalibrationLoss,
        Self::Auc,
        Self::SpoofCaught,
        Self::SpoofPassed,
        Self::SpoofInconclusive,
        Self::GenuinePassed,
        Self::GenuineFlagged,
        Self::GenuineInconclusive,
        Self::SpoofMeanLlr,
        Self::GenuineMeanLlr,
    ];

    /// Those that depend on how the two classes rank and are calibrated against each other.
    pub const OF_RANKING: [Self; 7] =
        [Self::Eer, Self::MinDcf, Self::ActDcf, Self::Cllr, Self::MinCllr, Self::CalibrationLoss, Self::Auc];

    /// Name in machine-readable output.
    pub fn key(self) -> &'static str {
        match self {
            Self::Eer => "eer",
            Self::MinDcf => "min_dcf",
            Self::ActDcf => "act_dcf",
            Self::Cllr => "cllr",
            Self::MinCllr => "min_cllr",
            Self::CalibrationLoss => "calibration_loss",
            Self::Auc => "auc",
            Self::SpoofCaught => "spoof_caught",
            Self::SpoofPassed => "spoof_passed",
            Self::SpoofInconclusive => "spoof_inconclusive",
            Self::GenuinePassed => "genuine_passed",
            Self::GenuineFlagged => "genuine_flagged",
            Self::GenuineInconclusive => "genuine_inconclusive",
            Self::SpoofMeanLlr => "spoof_mean_llr",
            Self::GenuineMeanLlr => "genuine_mean_llr",
        }
    }

    /// The classes it needs trials of.
    pub fn classes(self) -> &'static [Class] {
        match self {
            Self::SpoofCaught | Self::SpoofPassed | Self::SpoofInconclusive | Self::SpoofMeanLlr => &[Class::Spoof],
            Self::GenuinePassed | Self::GenuineFlagged | Self::GenuineInconclusive | Self::GenuineMeanLlr => {
                &[Class::BonaFide]
            }
            _ => &[Class::BonaFide, Class::Spoof],
        }
    }

    /// How it is written for a person.
    pub fn unit(self) -> Unit {
        match self {
            Self::Eer
            | Self::SpoofCaught
            | Self::SpoofPassed
            | Self::SpoofInconclusive
            | Self::GenuinePassed
            | Self::GenuineFlagged
            | Self::GenuineInconclusive => Unit::Share,
            _ => Unit::Number,
        }
    }
}

/// One value per [`Measure`]; `None` where the trials do not allow it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measures<T = f64>([Option<T>; Measure::ALL.len()]);

impl<T: Copy> Default for Measures<T> {
    fn default() -> Self {
        Self([None; Measure::ALL.len()])
    }
}

impl<T: Copy> Measures<T> {
    pub(super) fn from_fn(mut value: impl FnMut(Measure) -> Option<T>) -> Self {
        Self(std::array::from_fn(|index| value(Measure::ALL[index])))
    }

    pub(super) fn get(&self, measure: Measure) -> Option<T> {
        self.0[measure as usize]
    }
}

impl Measures {
    pub(super) fn new(tally: &Tally, steps: Option<&Steps>) -> Self {
        let cost = DetectionCost::ASVSPOOF5;
        Self::from_fn(|measure| match measure {
            Measure::Eer => steps.map(Steps::eer),
            Measure::MinDcf => steps.map(|s| s.min_dcf(&cost)),
            Measure::ActDcf => steps.map(|s| s.act_dcf(&cost)),
            Measure::Cllr => steps.map(Steps::cllr),
            Measure::MinCllr => steps.map(Steps::min_cllr),
            Measure::CalibrationLoss => steps.map(|s| s.cllr() - s.min_cllr()),
            Measure::Auc => steps.map(Steps::auc),
            Measure::SpoofCaught => share(tally, Class::Spoof, Decision::Spoof),
            Measure::SpoofPassed => share(tally, Class::Spoof, Decision::BonaFide),
            Measure::SpoofInconclusive => share(tally, Class::Spoof, Decision::Inconclusive),
            Measure::GenuinePassed => share(tally, Class::BonaFide, Decision::BonaFide),
            Measure::GenuineFlagged => share(tally, Class::BonaFide, Decision::Spoof),
            Measure::GenuineInconclusive => share(tally, Class::BonaFide, Decision::Inconclusive),
            Measure::SpoofMeanLlr => mean_llr(tally, Class::Spoof),
            Measure::GenuineMeanLlr => mean_llr(tally, Class::BonaFide),
        })
    }
}

fn share(tally: &Tally, class: Class, decision: Decision) -> Option<f64> {
    let decided = &tally.decided[class_index(class)];
    let total: f64 = decided.iter().sum();
    (total > 0.0).then(|| decided[decision_index(decision)] / total)
}

fn mean_llr(tally: &Tally, class: Class) -> Option<f64> {
    let scored = tally.scored[class_index(class)];
    (scored > 0.0).then(|| tally.llr_sum[class_index(class)] / scored)
}

/// A value with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Over all trials.
    pub value: f64,
    /// 95 %, clustered bootstrap; `None` with fewer than 5 clusters of a class that the measure needs.
    pub interval: Option<Interval>,
}

/// Every measure of one set of trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Bona fide trials, scored or not.
    pub bona_fide_count: usize,
    /// Spoof trials, scored or not.
    pub spoof_count: usize,
    /// Trials without an LLR.
    pub unscored_count: usize,
    /// Clusters (sources) among all trials.
    pub cluster_count: usize,
    values: Measures,
    intervals: Measures<Interval>,
}

impl Summary {
    /// Measures `trials` and draws the intervals.
    pub fn new(trials: &[Trial]) -> Self {
        let panel = Panel::new(trials);
        let bona_fide_count = trials.iter().filter(|trial| trial.class == Class::BonaFide).count();
        Self {
            bona_fide_count,
            spoof_count: trials.len() - bona_fide_count,
            unscored_count: trials.iter().filter(|trial| trial.llr.is_none_or(f64::is_nan)).count(),
            cluster_count: panel.cluster_count(),
            values: panel.measure(&vec![1.0; panel.cluster_count()]),
            intervals: panel.intervals(),
        }
    }

    /// One measure; `None` where the trials do not allow it (one class only, nothing scored).
    pub fn get(&self, measure: Measure) -> Option<Estimate> {
        let value = self.values.get(measure)?;
        Some(Estimate { value, interval: self.intervals.get(measure) })
    }
}
