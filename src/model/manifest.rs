//! `manifest.toml` of a bundle: what it is, what it expects, how its score is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Calibration;
use crate::features::FeatureSpec;

/// The whole manifest. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the bundle, such as `clonewatch-10`.
    pub id: String,
    /// Day of training, `YYYY-MM-DD`.
    pub date: String,
    /// Features the encoder was trained on.
    pub features: FeatureSpec,
    /// [`FeatureSpec::hash`] of `features`.
    pub features_sha256: String,
    /// Shapes of the networks.
    pub network: Network,
    /// Score to LLR.
    pub calibration: Calibration,
    /// Default policy of the bundle.
    pub thresholds: Thresholds,
    /// SHA-256 of every other file, lower-case hexadecimal, by name.
    pub files: BTreeMap<String, String>,
}

/// Shapes of encoder and head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Feature frames the encoder takes: `[1 × chunk_frames × bands]`.
    pub chunk_frames: usize,
    /// Embedding frames it gives: `[1 × embedding_frames × embedding_dims]`.
    pub embedding_frames: usize,
    /// Numbers per embedding frame; the heads of both bands take `[1 × 3·embedding_dims]`.
    pub embedding_dims: usize,
    /// Numbers that the fine-spectrum head takes: `[1 × fine_dims]`.
    pub fine_dims: usize,
    /// Smallest standard deviation that pooling reports.
    pub std_floor: f32,
}

/// Where decisions change, in nats of LLR.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Below: spoof.
    pub spoof_below: f32,
    /// At or above: bona fide. Between the two: inconclusive.
    pub bona_fide_above: f32,
    /// Least seconds of speech for any decision.
    pub min_speech_secs: f64,
    /// Speech that noise suppression has cleaned.
    pub denoised: Denoised,
    /// Cloned inserts in longer recordings.
    pub insert: Insert,
}

/// What cleaned speech needs beyond `spoof_below`: suppressed noise makes genuine speech sound synthetic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Denoised {
    /// Speech counts as cleaned above this measure, 1 being that of cleaned and 0 that of other speech.
    pub above: f32,
    /// Its LLR must lie below this for a spoof.
    pub spoof_below: f32,
}

/// When a stretch decides a recording that is bona fide as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Insert {
    /// The stretch's mean LLR must lie below this …
    pub spoof_below: f32,
    /// … its LLRs added up, overlaps counted once, below this less ln(judged windows of the channel / 30), where those are
    /// more than 30: a longer channel has more stretches that look cloned by chance. Older bundles ask for 0 here.
    #[serde(default)]
    pub sum_below: f32,
    /// … and its mean at least this many nats under the median of the rest of the channel.
    pub drop_nats: f32,
    /// Windows (4 s, every 2 s) that a stretch must have.
    pub min_windows: usize,
}
