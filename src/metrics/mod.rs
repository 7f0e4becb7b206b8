//! Measures of a countermeasure over labelled trials: EER, minDCF, actDCF, Cllr, AUC, three-way shares, intervals, DET.
//!
//! Flow: [`Trial`]s → [`Panel`] (ranked once) → one [`Summary`] with a 95 % interval for each [`Measure`].
//! The single measures live on [`Steps`], the ranked and tie-pooled scores, and can be used alone.
//!
//! Words, after ASVspoof 5 (Wang et al., "ASVspoof 5: crowdsourced speech data, deepfakes, and adversarial attacks at
//! scale", 2024): a *miss* is bona fide speech that is rejected, a *false acceptance* is a spoof that passes.
//! Screens call them "genuine flagged" and "spoof passed".
//!
//! Limits: a trial without an LLR (no speech, undecodable) enters the three-way shares only; every other measure says
//! what it says about the trials that were scored, and [`Summary::unscored_count`] says how many were not.

mod bootstrap;
mod cllr;
mod cost;
mod det;
mod pav;
mod rng;
mod roc;
mod steps;
mod summary;

pub use bootstrap::{Interval, Panel};
pub use cost::DetectionCost;
pub use det::{Curve, det_svg};
pub use pav::{Block, pool_adjacent_violators};
pub use rng::SplitMix64;
pub use roc::OperatingPoint;
pub use steps::{Scored, Step, Steps};
pub use summary::{Estimate, Measure, Summary, Unit};

use crate::policy::Decision;

/// The truth about a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Genuine human speech.
    BonaFide,
    /// Cloned, synthetic or converted speech.
    Spoof,
}

/// One labelled recording with what the countermeasure and the policy made of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// The truth.
    pub class: Class,
    /// Natural-log likelihood ratio, > 0 favours bona fide; `None` where nothing could be judged.
    pub llr: Option<f64>,
    /// The policy's answer.
    pub decision: Decision,
    /// Trials of one cluster (one source) are drawn together, since their errors are not independent.
    pub cluster: u32,
}
