//! One input from bytes to verdict: decode, screen every channel, apply the policy.

use serde::Serialize;

use crate::policy::{Decision, Reason, Verdict};

/// What is known of an input before any of it is judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputInfo {
    /// As the user named it; `-` for standard input.
    pub path: String,
    /// Of the input's bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Container, such as `wav` or `mp4`; `None` where it was not recognised.
    pub container: Option<String>,
    /// Codec found, such as `mp3`; named also where it cannot be decoded.
    pub codec: Option<String>,
    /// Of the source, before resampling.
    pub sample_rate_hz: Option<u32>,
    /// Of the source.
    pub channels: Option<u16>,
    /// Decoded length.
    pub duration_secs: Option<f64>,
}

/// One channel's verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelResult {
    /// Index in the source, from 0. Identical channels are judged once: the result stands at the first.
    pub channel: u16,
    /// Decision, reason and evidence.
    pub verdict: Verdict,
}

/// The result for one input: decision and reason are its worst channel's.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanResult {
    /// What was read.
    pub input: InputInfo,
    /// The worst channel's decision; inconclusive where no channel could be decoded.
    pub decision: Decision,
    /// Why, where inconclusive.
    pub reason: Option<Reason>,
    /// More about the reason for a person: the codec found, the limit that was hit.
    pub detail: Option<String>,
    /// The worst channel's LLR.
    pub llr: Option<crate::model::Llr>,
    /// In channel order.
    pub channels: Vec<ChannelResult>,
}
