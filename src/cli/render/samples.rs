//! Hand-built results for the renderers' tests.

use super::Provenance;
use crate::{
    model::{Denoised, Insert, Llr, Thresholds},
    policy::{Decision, Reason, Stretch, Verdict},
    scan::{ChannelResult, InputInfo, ScanResult},
    screen::{Evidence, Segment},
    speech::{FrameClass, Quality},
};

pub(crate) const THRESHOLDS: Thresholds = Thresholds {
    spoof_below: -2.0,
    bona_fide_above: 1.0,
    min_speech_secs: 2.0,
    denoised: Denoised { above: 0.3, spoof_below: -4.0 },
    insert: Insert { spoof_below: -2.0, sum_below: -3.0, drop_nats: 2.0, min_windows: 3 },
};

pub(super) fn provenance() -> Provenance {
    Provenance { model_id: "m-1".into(), model_sha256: "ab12".into(), policy_id: "default".into(), version: "0.0.0" }
}

pub(super) fn input(path: &str) -> InputInfo {
    InputInfo {
        path: path.into(),
        sha256: "cd34".into(),
        container: Some("mp3".into()),
        codec: Some("mp3".into()),
        sample_rate_hz: Some(44_100),
        channels: Some(1),
        duration_secs: Some(61.204),
    }
}

pub(super) fn segment(start_secs: f64, llr: Option<f32>, why_not: Option<FrameClass>) -> Segment {
    Segment { start_secs, end_secs: start_secs + 4.0, speech_secs: 3.0, llr: llr.map(Llr), why_not }
}

pub(super) fn channel(channel: u16, decision: Decision, reason: Option<Reason>, llr: Option<f32>) -> ChannelResult {
    let quality = Quality {
        speech_secs: if reason == Some(Reason::NoSpeech) { 0.0 } else { 31.496 },
        snr_db: llr.map(|_| 24.14),
        bandwidth_hz: llr.map(|_| 7600),
        clipping_ratio: 0.0,
        level_dbfs: None,
    };
    let segments = vec![segment(0.0, llr, None), segment(2.0, None, Some(FrameClass::Music))];
    let evidence =
        Evidence { llr: llr.map(Llr), denoised: llr.map(|_| 0.04), segments, duration_secs: 61.204, quality };
    ChannelResult { channel, verdict: Verdict { decision, reason, llr: evidence.llr, stretch: None, evidence } }
}

/// One channel, likely cloned.
pub(super) fn spoof() -> ScanResult {
    ScanResult {
        input: input("caller.mp3"),
        decision: Decision::Spoof,
        reason: None,
        detail: None,
        llr: Some(Llr(-4.31)),
        channels: vec![channel(0, Decision::Spoof, None, Some(-4.31))],
    }
}

/// A channel that a stretch of it decided.
pub(super) fn insert() -> ScanResult {
    let mut result = spoof();
    result.channels[0].verdict.stretch = Some(Stretch { start_secs: 2.0, end_secs: 16.5, llr: Llr(-4.31) });
    result
}

/// A spoof and a silent channel.
pub(super) fn stereo() -> ScanResult {
    let mut result = spoof();
    result.input.channels = Some(2);
    result.channels.push(channel(1, Decision::Inconclusive, Some(Reason::NoSpeech), None));
    result
}

/// Nothing could be decoded.
pub(super) fn undecodable() -> ScanResult {
    let input = InputInfo {
        container: None,
        codec: Some("amr".into()),
        sample_rate_hz: None,
        channels: None,
        duration_secs: None,
        ..input("x,y.amr")
    };
    ScanResult {
        input,
        decision: Decision::Inconclusive,
        reason: Some(Reason::Undecodable),
        detail: Some("codec amr".into()),
        llr: None,
        channels: Vec::new(),
    }
}
