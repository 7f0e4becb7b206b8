//! What judged: model, policy, thresholds and the model's own measured errors, as every page needs them.

use crate::{
    cli::render::Provenance,
    model::{MeasuredErrors, ModelBundle, PassageErrors, Thresholds},
    policy::Policy,
};

/// Length from which on the card's figures for recordings of ten minutes describe a channel better than those for a minute:
/// the longer it is, the further a passage must stand out.
const LASTING_FROM_SECS: f64 = 180.0;

/// Recordings with and without a cloned passage that a card has figures for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passages {
    /// Row of the card.
    pub(super) condition: &'static str,
    /// The recordings, in words.
    pub(super) words: &'static str,
    /// Length of the passages.
    pub(super) secs: &'static str,
}

/// Those that are shown: of each band the shorter ones first.
pub(super) const PASSAGES: [Passages; 4] = [
    Passages { condition: "val", words: "full band, 30-80 s", secs: "4-10 s" },
    Passages { condition: "val, lasting", words: "full band, ten minutes of many voices", secs: "2-10 s" },
    Passages { condition: "val, telephone", words: "telephone, 30-80 s", secs: "4-10 s" },
    Passages { condition: "val, lasting, telephone", words: "telephone, ten minutes of many voices", secs: "2-10 s" },
];

/// Speech from which on the card's figures for three joined clips (about 10 s) describe a channel better than those for
/// one clip of at most 4 s.
const JOINED_FROM_SECS: f64 = 8.0;

/// The measured conditions that are shown: row of the card, in words.
pub(super) const CONDITIONS: [(&str, &str); 4] = [
    ("clean", "full band, up to 4 s"),
    ("clean, 3 clips of a voice joined", "full band, about 10 s of one voice"),
    ("phone", "telephone, up to 4 s"),
    ("phone, 3 clips of a voice joined", "telephone, about 10 s of one voice"),
];

/// Who judged, and by what.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// Names and hashes.
    pub provenance: Provenance,
    /// In force.
    pub thresholds: Thresholds,
    /// Of the model, which its error rates were measured at.
    pub model_thresholds: Thresholds,
    /// From the model's card; may be empty.
    pub measured_errors: Vec<MeasuredErrors>,
    /// Of passages in recordings, from the same card; may be empty.
    pub passage_errors: Vec<PassageErrors>,
    /// Bandwidth below which a channel counts as telephone band.
    pub telephone_below_hz: u32,
}

impl Basis {
    /// Of a model and a policy.
    pub fn of(model: &ModelBundle, policy: &Policy) -> Self {
        let manifest = model.manifest();
        Self {
            provenance: Provenance {
                model_id: manifest.id.clone(),
                model_sha256: model.sha256().to_owned(),
                policy_id: policy.id.clone(),
                version: env!("CARGO_PKG_VERSION"),
            },
            thresholds: policy.thresholds,
            model_thresholds: manifest.thresholds,
            measured_errors: model.measured_errors().to_vec(),
            passage_errors: model.passage_errors().to_vec(),
            telephone_below_hz: manifest.calibration.split_hz,
        }
    }

    /// Whether a channel of that bandwidth is telephone band, to the model.
    pub(super) fn is_telephone(&self, bandwidth_hz: Option<u32>) -> bool {
        bandwidth_hz.is_none_or(|hz| hz < self.telephone_below_hz)
    }

    /// The measured condition that comes nearest to a channel, with its words.
    pub(super) fn errors_like(
        &self,
        bandwidth_hz: Option<u32>,
        speech_secs: f64,
    ) -> Option<(&MeasuredErrors, &'static str)> {
        let first = if self.is_telephone(bandwidth_hz) { 2 } else { 0 };
        let (condition, words) = CONDITIONS[first + usize::from(speech_secs >= JOINED_FROM_SECS)];
        Some((self.condition(condition)?, words))
    }

    /// The measured recordings, with and without a cloned passage, that come nearest to a channel.
    pub(super) fn passages_like(
        &self,
        bandwidth_hz: Option<u32>,
        duration_secs: f64,
    ) -> Option<(&PassageErrors, Passages)> {
        let first = if self.is_telephone(bandwidth_hz) { 2 } else { 0 };
        let passages = PASSAGES[first + usize::from(duration_secs >= LASTING_FROM_SECS)];
        Some((self.passage_condition(passages.condition)?, passages))
    }

    pub(super) fn passage_condition(&self, name: &str) -> Option<&PassageErrors> {
        self.passage_errors.iter().find(|row| row.condition == name)
    }

    /// What figures that were measured at the model's thresholds lack, where the policy has others.
    pub(super) fn reservation(&self) -> &'static str {
        if self.thresholds == self.model_thresholds { "" } else { ", at the model's own thresholds" }
    }

    /// Forgets all figures: they are not of the model that judged.
    pub fn without_figures(&mut self) {
        self.measured_errors.clear();
        self.passage_errors.clear();
    }

    pub(super) fn condition(&self, name: &str) -> Option<&MeasuredErrors> {
        self.measured_errors.iter().find(|row| row.condition == name)
    }
}
