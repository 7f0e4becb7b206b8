//! Speech gate: says of each 10 ms frame whether it is speech, and measures the channel's quality.
//!
//! The gate sees the same short-time power spectra as the features (25 ms Hann frames, 10 ms hop, 201 bins of 40 Hz)
//! and works on whole chunks of `crate::features::CHUNK_FRAMES` frames, so its output cannot depend on how the
//! caller split the samples. State that outlives a chunk (noise floor, tallies) is a fixed set of numbers.

/// What one frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameClass {
    /// Human (or cloned) speech: judged.
    Speech,
    /// Nothing above the noise floor.
    Silence,
    /// Music, sung or instrumental.
    Music,
    /// Ring-back, dial or DTMF tone, beep.
    Tone,
    /// Anything else above the floor: hiss, hum, babble without a foreground voice.
    Noise,
}

/// Measures of one channel, over all of it that has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Seconds of frames classed as speech.
    pub speech_secs: f64,
    /// Speech level over noise floor in dB; `None` without speech.
    pub snr_db: Option<f32>,
    /// Highest frequency that carries speech energy, in Hz; `None` without speech.
    pub bandwidth_hz: Option<u32>,
    /// Share of samples at or next to full scale in flat runs, 0-1.
    pub clipping_ratio: f32,
    /// RMS level of speech frames in dB relative to full scale; `None` without speech.
    pub level_dbfs: Option<f32>,
}
