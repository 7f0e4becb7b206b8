//! The screener: 16 kHz samples in, [`Evidence`] out. Files, batches, live calls and training all use this one path.
//!
//! Flow: [`SpeechFront`] frames, transforms and gates the samples on a fixed grid of 4 s chunks → the encoder runs once
//! on each chunk that holds speech, beside the statistics of its fine spectrum → one-second blocks of statistics → scores
//! for every 4 s window, every 2 s → LLRs.
//! The grid starts at the first sample, so no split of the samples into pushes can change a bit of the result.

mod front;
mod windows;

use std::{convert::Infallible, sync::Arc};

use serde::{Deserialize, Serialize};

pub use front::{GatedChunk, SpeechFront};

use crate::{
    features::{CHUNK_FRAMES, FEATURE_FLOOR, FineStats, MEL_BANDS},
    model::{Llr, ModelBundle, ModelError},
    speech::{FrameClass, Quality},
};
use windows::Windows;

/// A stretch of one channel that was looked at as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Start, seconds from the first sample.
    pub start_secs: f64,
    /// End, seconds from the first sample.
    pub end_secs: f64,
    /// Seconds of speech inside.
    pub speech_secs: f64,
    /// Calibrated log-likelihood ratio; `None` where too little of it is speech.
    pub llr: Option<Llr>,
    /// What filled the segment where it was not judged; `None` there means speech, but too little of it.
    pub why_not: Option<FrameClass>,
}

/// Everything the policy needs about one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// LLR of the whole channel; `None` where no segment could be judged.
    pub llr: Option<Llr>,
    /// How much the channel sounds as if a noise suppressor had cleaned it, about 0-1; `None` as `llr`, and in evidence kept
    /// from before this was measured.
    #[serde(default)]
    pub denoised: Option<f32>,
    /// In time order, 4 s long (the last may be shorter), every 2 s.
    pub segments: Vec<Segment>,
    /// Length of the channel.
    pub duration_secs: f64,
    /// Seconds of speech, SNR, bandwidth, clipping.
    pub quality: Quality,
}

/// A channel in the middle of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Of everything so far.
    pub evidence: Evidence,
    /// Of the windows in the last [`RECENT_SECS`]; `None` where none of them could be judged.
    pub recent_llr: Option<Llr>,
}

/// What counts as recent in a running channel.
pub const RECENT_SECS: usize = 10;

/// Screens one channel. Its memory does not grow with the stream, apart from one window score per two seconds.
pub struct Screener {
    front: SpeechFront,
    encoder: Encoder,
}

/// What stands behind the front: encoder and pooled windows.
struct Encoder {
    model: Arc<ModelBundle>,
    windows: Windows,
}

/// What the networks read of one chunk; empty where nothing in it is speech.
#[derive(Default)]
struct Heard {
    /// `[frames × dims]`, row-major.
    embeddings: Vec<f32>,
    /// By seconds.
    fine: Vec<FineStats>,
}

impl Screener {
    /// A screener at the start of a channel.
    pub fn new(model: Arc<ModelBundle>) -> Self {
        let windows = Windows::new(model.manifest().network.embedding_dims);
        let encoder = Encoder { model, windows };
        Self { front: SpeechFront::new(), encoder }
    }

    /// Takes any number of 16 kHz samples in -1..1.
    ///
    /// # Errors
    /// The network failed: our fault or a broken bundle, never the audio's.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        let encoder = &mut self.encoder;
        self.front.push(samples, |chunk| encoder.take(&chunk))
    }

    /// Ends the channel and says what was found.
    ///
    /// # Errors
    /// As [`Screener::push`].
    pub fn finish(mut self) -> Result<Evidence, ModelError> {
        let encoder = &mut self.encoder;
        self.front.finish(|chunk| encoder.take(&chunk))?;
        encoder.windows.finish(&encoder.model)?;
        Ok(self.evidence(&self.encoder.windows, self.front.quality()))
    }

    /// What [`Screener::finish`] would say if the channel ended here; it goes on as if nobody had asked. Costs a run of the
    /// encoder where the incomplete chunk holds speech.
    ///
    /// # Errors
    /// As [`Screener::push`].
    pub fn so_far(&self) -> Result<Running, ModelError> {
        let encoder = &self.encoder;
        let mut windows = encoder.windows.clone();
        let quality = self.front.peek(|chunk| {
            let heard = encoder.hear(&chunk)?;
            windows.take(&encoder.model, &heard, chunk.classes)
        })?;
        windows.finish(&encoder.model)?;
        Ok(self.running(&windows, quality))
    }

    /// What is known of the chunks that are complete; costs nothing of the encoder's time.
    pub fn complete(&self) -> Running {
        self.running(&self.encoder.windows, self.front.quality())
    }

    /// Chunks of the grid that are complete.
    pub fn complete_chunks(&self) -> u64 {
        self.front.chunks()
    }

    /// Seconds of speech so far, the incomplete chunk included.
    pub fn speech_secs(&self) -> f64 {
        match self.front.peek(|_| Ok::<_, Infallible>(())) {
            Ok(quality) => quality.speech_secs,
            Err(never) => match never {},
        }
    }

    fn running(&self, windows: &Windows, quality: Quality) -> Running {
        let model = &self.encoder.model;
        let (recent, secs) = windows.recent_scores(RECENT_SECS).unzip();
        let recent_llr = recent.zip(secs).map(|(scores, secs)| model.llr(scores, &quality, secs));
        Running { evidence: self.evidence(windows, quality), recent_llr }
    }

    fn evidence(&self, windows: &Windows, quality: Quality) -> Evidence {
        let duration_secs = self.front.duration_secs();
        let model = &self.encoder.model;
        let segments = windows.segments(model, &quality, duration_secs);
        let scores = windows.mean_scores();
        let llr = scores.map(|scores| model.llr(scores, &quality, quality.speech_secs));
        let denoised = scores.map(|scores| model.denoised(scores, quality.bandwidth_hz));
        Evidence { llr, denoised, segments, duration_secs, quality }
    }
}

impl Encoder {
    fn take(&mut self, chunk: &GatedChunk<'_>) -> Result<(), ModelError> {
        let heard = self.hear(chunk)?;
        self.windows.take(&self.model, &heard, chunk.classes)
    }

    /// What the networks read of the chunk; nothing where nothing in it is speech. It is large, so a stream does not keep its
    /// room between chunks.
    fn hear(&self, chunk: &GatedChunk<'_>) -> Result<Heard, ModelError> {
        let mut heard = Heard::default();
        if chunk.classes.contains(&FrameClass::Speech) {
            let mut log_mel = Vec::with_capacity(CHUNK_FRAMES * MEL_BANDS);
            log_mel.extend_from_slice(chunk.log_mel);
            log_mel.resize(CHUNK_FRAMES * MEL_BANDS, FEATURE_FLOOR);
            self.model.encode(&log_mel, &mut heard.embeddings)?;
            heard.fine = chunk.fine_blocks();
        }
        Ok(heard)
    }
}
