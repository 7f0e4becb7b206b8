//! The countermeasure: a bundle of network, calibration and thresholds, loaded from bytes and verified before use.

/// Raw output of the countermeasure: higher favours bona fide, no fixed unit. Never compare it with an [`Llr`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CmScore(pub f32);

/// Calibrated natural-log likelihood ratio; > 0 favours bona fide.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Llr(pub f32);
