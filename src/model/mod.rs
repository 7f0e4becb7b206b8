//! The countermeasure: a bundle of networks, calibration and thresholds, loaded from bytes and verified before use.
//!
//! Flow: [`BundleFiles`] (bytes by file name) → [`ModelBundle::load`]: hashes, [`crate::features::FeatureSpec`],
//! shapes, golden self-test → [`ModelBundle::encode`] on each 4 s chunk → [`BlockStats`] over speech frames, with
//! [`crate::features::FineStats`] → [`ModelBundle::score`] → [`ModelBundle::llr`]. Encode once, pool often: overlapping windows cost only the head.

mod bundle;
mod calibration;
mod card;
mod embedded;
mod golden;
mod manifest;
mod network;
mod pool;

pub use bundle::{BundleFiles, MAX_BUNDLE_FILE_BYTES, ModelBundle, ModelError};
pub use calibration::{Calibration, FineShare, Knot, Noise};
pub use card::{MeasuredErrors, PassageErrors};
pub use embedded::{embedded_files, embedded_light_files};
pub use manifest::{Denoised, Insert, Manifest, Network as NetworkShape, Thresholds};
pub use pool::{BLOCK_EMBEDDING_FRAMES, BlockStats, embedding_mask};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Raw output of the countermeasure: higher favours bona fide, no fixed unit. Never compare it with an [`Llr`].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CmScore(pub f32);

/// Raw scores of one span by all heads. What each of them counts is known once the channel's bandwidth is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadScores {
    /// By the heads for full-band speech.
    pub full: BandScores,
    /// By the heads for telephone band.
    pub telephone: BandScores,
}

/// Raw scores of one span by the heads of one band.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandScores {
    /// From the encoder's statistics.
    pub encoded: CmScore,
    /// From those of the fine spectrum.
    pub fine: CmScore,
    /// How much it sounds as if a noise suppressor had cleaned it, from the fine spectrum: trained towards 1 where one had,
    /// towards 0 where none had.
    pub denoised: f32,
}

/// Calibrated natural-log likelihood ratio; > 0 favours bona fide.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Llr(pub f32);

/// SHA-256 of `bytes`, lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
