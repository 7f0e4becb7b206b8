//! Log-mel features: framing, FFT and filterbank, the same for files, calls and training.
//!
//! Flow: [`FrontEnd::push`] takes any number of 16 kHz samples and hands out one [`Frame`] for each 10 ms hop that has
//! its 25 ms of samples complete. Each frame is computed once, from the same samples whatever the split into pushes,
//! so results are bit-identical for any chunking.

mod filterbank;
mod fine;
mod spec;

use std::sync::{Arc, LazyLock};

use realfft::{RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex32;

pub use filterbank::Filterbank;
pub use fine::{FINE_DIMS, FineChunk, FineStats, fine_blocks};
pub use spec::{FeatureSpec, SpecError};

/// Samples in one analysis frame: 25 ms at 16 kHz.
pub const FRAME_SAMPLES: usize = 400;
/// Samples between the starts of neighbouring frames: 10 ms at 16 kHz.
pub const HOP_SAMPLES: usize = 160;
/// Bins of the power spectrum, 40 Hz apart, 0 to 8 kHz.
pub const POWER_BINS: usize = FRAME_SAMPLES / 2 + 1;
/// Mel bands of one frame.
pub const MEL_BANDS: usize = 80;
/// Frames in one chunk of the fixed grid on which the gate and the encoder work: 4 s.
pub const CHUNK_FRAMES: usize = 400;
/// Frames per second.
pub const FRAMES_PER_SEC: usize = crate::audio::SAMPLE_RATE_HZ as usize / HOP_SAMPLES;
/// Smallest mel power that is told from zero; its logarithm pads incomplete chunks.
pub const POWER_FLOOR: f32 = 1e-10;
/// Feature value of a frame without any energy: log10 of [`POWER_FLOOR`].
pub const FEATURE_FLOOR: f32 = -10.0;

/// One analysis frame, valid until the next.
pub struct Frame<'a> {
    /// What it is made of, `[FRAME_SAMPLES]`.
    pub samples: &'a [f32],
    /// Linear power |X|², `[POWER_BINS]`.
    pub power: &'a [f32],
    /// log10 of the mel band powers, `[MEL_BANDS]`.
    pub log_mel: &'a [f32],
}

/// Streaming front end of one channel: samples in, frames out.
#[derive(Clone)]
pub struct FrontEnd {
    transform: FrameTransform,
    filterbank: Arc<Filterbank>,
    /// Samples not yet left behind by the frame grid; shorter than one frame between pushes.
    pending: Vec<f32>,
    power: Vec<f32>,
    log_mel: Vec<f32>,
}

/// Windowed transform of one frame, with room for it.
#[derive(Clone)]
pub(crate) struct FrameTransform {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Arc<[f32]>,
    windowed: Vec<f32>,
    spectrum: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl FrameTransform {
    /// All share their tables.
    pub(crate) fn new() -> Self {
        static FIRST: LazyLock<FrameTransform> = LazyLock::new(|| {
            let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FRAME_SAMPLES);
            let (spectrum, scratch) = (fft.make_output_vec(), fft.make_scratch_vec());
            let window = hann_periodic().into();
            FrameTransform { fft, window, windowed: vec![0.0; FRAME_SAMPLES], spectrum, scratch }
        });
        FIRST.clone()
    }

    /// X, `[POWER_BINS]`, of `samples` `[FRAME_SAMPLES]`.
    pub(crate) fn of(&mut self, samples: &[f32]) -> &[Complex32] {
        for ((out, sample), weight) in self.windowed.iter_mut().zip(samples).zip(&*self.window) {
            *out = sample * weight;
        }
        let done = self.fft.process_with_scratch(&mut self.windowed, &mut self.spectrum, &mut self.scratch);
        done.expect("buffers were made by this transform");
        &self.spectrum
    }
}

impl Default for FrontEnd {
    fn default() -> Self {
        Self::new()
    }
}

impl FrontEnd {
    /// A front end at the start of a stream. All share their tables.
    pub fn new() -> Self {
        static FILTERBANK: LazyLock<Arc<Filterbank>> = LazyLock::new(|| Arc::new(Filterbank::mel_slaney()));
        Self {
            transform: FrameTransform::new(),
            filterbank: FILTERBANK.clone(),
            pending: Vec::new(),
            power: vec![0.0; POWER_BINS],
            log_mel: vec![0.0; MEL_BANDS],
        }
    }

    /// Takes samples and calls `sink` for each frame that they complete. Frame `t` covers samples
    /// `HOP_SAMPLES·t .. HOP_SAMPLES·t + FRAME_SAMPLES`; an incomplete last frame is never handed out.
    pub fn push(&mut self, samples: &[f32], mut sink: impl FnMut(Frame<'_>)) {
        let mut rest = samples;
        loop {
            let (taken, left) = rest.split_at(rest.len().min(FRAME_SAMPLES - self.pending.len()));
            self.pending.extend_from_slice(taken);
            rest = left;
            if self.pending.len() < FRAME_SAMPLES {
                return;
            }
            self.analyse();
            sink(Frame { samples: &self.pending, power: &self.power, log_mel: &self.log_mel });
            self.pending.drain(..HOP_SAMPLES);
        }
    }

    fn analyse(&mut self) {
        for (power, bin) in self.power.iter_mut().zip(self.transform.of(&self.pending)) {
            *power = bin.norm_sqr();
        }
        self.filterbank.log10_into(&self.power, &mut self.log_mel);
    }
}

/// Periodic Hann window, `[FRAME_SAMPLES]`: 0.5 − 0.5 cos(2πn/N).
fn hann_periodic() -> Vec<f32> {
    (0..FRAME_SAMPLES)
        .map(|n| (0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / FRAME_SAMPLES as f64).cos()) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(samples: &[f32], split: usize) -> Vec<Vec<f32>> {
        let mut front = FrontEnd::new();
        let mut frames = Vec::new();
        for part in samples.chunks(split) {
            front.push(part, |frame| frames.push(frame.log_mel.to_vec()));
        }
        frames
    }

    #[test]
    fn a_clip_of_four_seconds_has_398_frames_for_any_split() {
        let samples: Vec<f32> = (0..64_000).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
        let whole = frames_of(&samples, samples.len());
        assert_eq!(whole.len(), (64_000 - FRAME_SAMPLES) / HOP_SAMPLES + 1);
        for split in [1, 159, 160, 401, 7_777] {
            assert_eq!(whole, frames_of(&samples, split), "split {split}");
        }
    }

    #[test]
    fn a_tone_peaks_in_its_band_and_silence_is_the_floor() {
        let tone: Vec<f32> = (0..FRAME_SAMPLES).map(|n| (n as f32 * 1000.0 * 0.000_392_699_1).sin()).collect();
        let frame = &frames_of(&tone, 64)[0];
        let peak = (0..MEL_BANDS).max_by(|a, b| frame[*a].total_cmp(&frame[*b])).unwrap();
        let centre_hz = Filterbank::centres_hz()[peak];
        assert!((centre_hz - 1000.0).abs() < 60.0, "{centre_hz}");
        assert!(frames_of(&[0.0; FRAME_SAMPLES], 400)[0].iter().all(|value| *value == FEATURE_FLOOR));
    }
}
