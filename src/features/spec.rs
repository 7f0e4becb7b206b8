//! What a network was trained on, said exactly enough to refuse anything else.

use serde::{Deserialize, Serialize};

use super::{FRAME_SAMPLES, HOP_SAMPLES, MEL_BANDS};
use crate::audio::SAMPLE_RATE_HZ;

/// Description of the features; a bundle whose description differs from the program's does not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Sample rate of the analysed signal.
    pub sample_rate_hz: u32,
    /// Samples per frame, which is also the FFT size.
    pub frame_samples: usize,
    /// Samples between frames.
    pub hop_samples: usize,
    /// Analysis window.
    pub window: String,
    /// Filter shapes and scale.
    pub filterbank: String,
    /// Bands per frame.
    pub bands: usize,
    /// Function of the band power, with its floor.
    pub scale: String,
}

/// The bundle was trained on other features than this program computes.
#[derive(Debug, thiserror::Error)]
#[error(
    "features.{key}: the model expects {expected}, this program computes {found}; use a program of the model's age"
)]
pub struct SpecError {
    key: &'static str,
    expected: String,
    found: String,
}

impl FeatureSpec {
    /// What [`super::FrontEnd`] computes.
    pub fn of_this_program() -> Self {
        Self {
            sample_rate_hz: SAMPLE_RATE_HZ,
            frame_samples: FRAME_SAMPLES,
            hop_samples: HOP_SAMPLES,
            window: "hann-periodic".into(),
            filterbank: "mel-slaney-0-8000".into(),
            bands: MEL_BANDS,
            scale: "log10-floor-1e-10".into(),
        }
    }

    /// SHA-256 over `key=value` lines in the order of the fields, lower-case hexadecimal.
    pub fn hash(&self) -> String {
        let text: String = self.pairs().iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        crate::model::sha256_hex(text.as_bytes())
    }

    /// Refuses a description that differs from this one, naming the first key that does.
    ///
    /// # Errors
    /// [`SpecError`] with key, expected and found value.
    pub fn require(&self, model: &Self) -> Result<(), SpecError> {
        let differing = self.pairs().into_iter().zip(model.pairs()).find(|(own, wanted)| own.1 != wanted.1);
        match differing {
            None => Ok(()),
            Some(((key, found), (_, expected))) => Err(SpecError { key, expected, found }),
        }
    }

    fn pairs(&self) -> [(&'static str, String); 7] {
        [
            ("sample_rate_hz", self.sample_rate_hz.to_string()),
            ("frame_samples", self.frame_samples.to_string()),
            ("hop_samples", self.hop_samples.to_string()),
            ("window", self.window.clone()),
            ("filterbank", self.filterbank.clone()),
            ("bands", self.bands.to_string()),
            ("scale", self.scale.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_differing_spec_is_named() {
        let own = FeatureSpec::of_this_program();
        let other = FeatureSpec { bands: 64, ..own.clone() };
        assert!(own.require(&own).is_ok());
        assert_ne!(own.hash(), other.hash());
        assert!(own.require(&other).unwrap_err().to_string().contains("features.bands: the model expects 64"));
    }
}
