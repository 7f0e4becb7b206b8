//! The screener: 16 kHz samples in, [`Evidence`] out. Files, batches, live calls and training all use this one path.

use crate::{
    model::Llr,
    speech::{FrameClass, Quality},
};

/// A stretch of one channel that was looked at as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Start, seconds from the first sample.
    pub start_secs: f64,
    /// End, seconds from the first sample.
    pub end_secs: f64,
    /// Seconds of speech inside.
    pub speech_secs: f32,
    /// Calibrated log-likelihood ratio; `None` where too little of it is speech.
    pub llr: Option<Llr>,
    /// What filled the segment where it was not judged.
    pub why_not: Option<FrameClass>,
}

/// Everything the policy needs about one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// LLR of the whole channel; `None` where no segment could be judged.
    pub llr: Option<Llr>,
    /// In time order, 4 s long, every 2 s.
    pub segments: Vec<Segment>,
    /// Length of the channel.
    pub duration_secs: f64,
    /// Seconds of speech, SNR, bandwidth, clipping.
    pub quality: Quality,
}
