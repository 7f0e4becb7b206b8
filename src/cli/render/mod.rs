//! Scan results as text, JSONL or CSV. Rendering only reads: the same result gives the same bytes.

mod csv;
mod jsonl;
mod strip;
mod text;

#[cfg(test)]
pub(crate) mod samples;

pub use self::{
    csv::Csv,
    jsonl::Jsonl,
    text::{Colour, Detail, Text},
};
pub(crate) use self::{
    strip::{clock, mark_of},
    text::Tone,
};

use crate::{
    model::Llr,
    policy::{Decision, Reason},
    scan::ScanResult,
    speech::FrameClass,
};

/// What judged the inputs; part of every machine-readable result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Of the model bundle.
    pub model_id: String,
    /// Of the model bundle.
    pub model_sha256: String,
    /// Of the policy.
    pub policy_id: String,
    /// Of this program.
    pub version: &'static str,
}

/// One way to write results.
pub trait Renderer {
    /// What stands before the first result; may be empty.
    fn header(&self) -> String;
    /// One result, every line ended.
    fn result(&self, result: &ScanResult) -> String;
}

/// Decimals of seconds and of LLRs in machine-readable output.
const SECS_DECIMALS: i32 = 2;
const LLR_DECIMALS: i32 = 2;
/// Decimals of the signal-to-noise ratio.
const SNR_DECIMALS: i32 = 1;
/// Decimals of the share of samples that are clipped.
const CLIPPING_DECIMALS: i32 = 3;
const DENOISED_DECIMALS: i32 = 2;

/// Rounds half away from zero; never gives -0.
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

/// An LLR as machine-readable output shows it.
pub fn rounded_llr(llr: Option<Llr>) -> Option<f64> {
    llr.map(|Llr(nats)| rounded(f64::from(nats), LLR_DECIMALS))
}

/// The decision's name in machine-readable output.
pub fn decision_key(decision: Decision) -> &'static str {
    match decision {
        Decision::BonaFide => "bona_fide",
        Decision::Spoof => "spoof",
        Decision::Inconclusive => "inconclusive",
    }
}

/// The reason's name in machine-readable output.
pub fn reason_key(reason: Reason) -> &'static str {
    match reason {
        Reason::NoSpeech => "no_speech",
        Reason::TooShort => "too_short",
        Reason::Uncertain => "uncertain",
        Reason::Denoised => "denoised",
        Reason::Undecodable => "undecodable",
        Reason::Damaged => "damaged",
        Reason::LimitReached => "limit_reached",
    }
}

/// Why a segment has no LLR. Speech is named where there is some, but less than can be judged.
fn why_not_key(why_not: Option<FrameClass>) -> &'static str {
    match why_not {
        Some(FrameClass::Silence) => "silence",
        Some(FrameClass::Music) => "music",
        Some(FrameClass::Tone) => "tone",
        Some(FrameClass::Noise) => "noise",
        Some(FrameClass::Speech) | None => "too_little_speech",
    }
}

/// `text` with control characters and direction overrides written out: a file name must not be able to drive the
/// terminal or to show itself as another name.
pub fn printable(text: &str) -> String {
    let overrides = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || overrides(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable() {
        for (value, decimals, expected) in
            [(-0.001, 2, "0.0"), (-4.305, 2, "-4.31"), (31.499_999, 1, "31.5"), (7.0, 2, "7.0"), (-0.0, 2, "0.0")]
        {
            assert_eq!(serde_json::to_string(&rounded(value, decimals)).unwrap(), expected, "{value}");
        }
        // An LLR that f32 holds as -4.3099998… is still -4.31.
        assert_eq!(rounded_llr(Some(Llr(-4.31))), Some(-4.31));
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}gpj.wav é 語"), "a\\u{1b}[2Jb\\n\\u{202e}gpj.wav é 語");
    }
}
