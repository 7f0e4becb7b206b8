//! Front of the screener, also used alone to export training features: samples → gated chunks of features.

use crate::{
    audio::SAMPLE_RATE_HZ,
    features::{
        CHUNK_FRAMES, FRAME_SAMPLES, FineChunk, FineStats, FrontEnd, HOP_SAMPLES, MEL_BANDS, POWER_BINS, fine_blocks,
    },
    speech::{FrameClass, Quality, SpeechGate},
};

/// One chunk of the fixed grid: at most [`CHUNK_FRAMES`] frames, fewer only at the end of the channel.
pub struct GatedChunk<'a> {
    /// `[frames × MEL_BANDS]`, row-major.
    pub log_mel: &'a [f32],
    /// `[frames]`.
    pub classes: &'a [FrameClass],
    samples: &'a [f32],
    power: &'a [f32],
}

impl GatedChunk<'_> {
    /// Statistics of the chunk's fine spectrum by seconds.
    pub fn fine_blocks(&self) -> Vec<FineStats> {
        let speech: Vec<bool> = self.classes.iter().map(|class| *class == FrameClass::Speech).collect();
        fine_blocks(FineChunk { samples: self.samples, power: self.power, speech: &speech })
    }
}

/// Frames, transforms and gates one channel.
pub struct SpeechFront {
    front: FrontEnd,
    gate: SpeechGate,
    /// Of the incomplete chunk, as the next three.
    samples: Vec<f32>,
    power: Vec<f32>,
    log_mel: Vec<f32>,
    classes: Vec<FrameClass>,
    total_samples: u64,
    chunks: u64,
}

impl Default for SpeechFront {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechFront {
    /// A front at the start of a channel.
    pub fn new() -> Self {
        Self {
            front: FrontEnd::new(),
            gate: SpeechGate::new(),
            samples: Vec::new(),
            power: Vec::new(),
            log_mel: Vec::new(),
            classes: Vec::new(),
            total_samples: 0,
            chunks: 0,
        }
    }

    /// Takes 16 kHz samples; calls `sink` for each chunk that they complete and stops at its first error.
    ///
    /// # Errors
    /// Whatever `sink` returns.
    pub fn push<E>(&mut self, samples: &[f32], mut sink: impl FnMut(GatedChunk<'_>) -> Result<(), E>) -> Result<(), E> {
        self.total_samples += samples.len() as u64;
        let Self { front, gate, samples: held, power, log_mel, classes, chunks, .. } = self;
        let mut outcome = Ok(());
        front.push(samples, |frame| {
            if power.is_empty() {
                power.reserve_exact(CHUNK_FRAMES * POWER_BINS);
                held.reserve_exact((CHUNK_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES);
                log_mel.reserve_exact(CHUNK_FRAMES * MEL_BANDS);
            }
            power.extend_from_slice(frame.power);
            let known = if held.is_empty() { 0 } else { FRAME_SAMPLES - HOP_SAMPLES };
            held.extend_from_slice(&frame.samples[known..]);
            log_mel.extend_from_slice(frame.log_mel);
            if outcome.is_ok() && log_mel.len() == CHUNK_FRAMES * MEL_BANDS {
                gate.classify(power, classes);
                outcome = sink(GatedChunk { log_mel, classes, samples: held, power });
                *chunks += 1;
                power.clear();
                held.clear();
                log_mel.clear();
            }
        });
        outcome
    }

    /// Hands the incomplete last chunk to `sink`, if it has any frame.
    ///
    /// # Errors
    /// Whatever `sink` returns.
    pub fn finish<E>(&mut self, mut sink: impl FnMut(GatedChunk<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.log_mel.is_empty() {
            return Ok(());
        }
        self.gate.classify(&self.power, &mut self.classes);
        let Self { log_mel, classes, samples, power, .. } = self;
        let outcome = sink(GatedChunk { log_mel, classes, samples, power });
        self.samples.clear();
        self.power.clear();
        self.log_mel.clear();
        outcome
    }

    /// Hands the incomplete chunk to `sink` as [`SpeechFront::finish`] would, and leaves everything as it was. The quality
    /// with that chunk.
    ///
    /// # Errors
    /// Whatever `sink` returns.
    pub fn peek<E>(&self, sink: impl FnOnce(GatedChunk<'_>) -> Result<(), E>) -> Result<Quality, E> {
        if self.log_mel.is_empty() {
            return Ok(self.quality());
        }
        let (mut gate, mut classes) = (self.gate.clone(), Vec::with_capacity(CHUNK_FRAMES));
        gate.classify(&self.power, &mut classes);
        let (samples, power) = (self.samples.as_slice(), self.power.as_slice());
        sink(GatedChunk { log_mel: &self.log_mel, classes: &classes, samples, power })?;
        Ok(gate.quality())
    }

    /// Complete chunks so far.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Quality of all chunks gated so far, without clipping: resampling has rounded flat tops off.
    pub fn quality(&self) -> Quality {
        self.gate.quality()
    }

    /// Length of what was pushed.
    pub fn duration_secs(&self) -> f64 {
        self.total_samples as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}
