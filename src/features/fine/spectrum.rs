//! Cepstrum of the log power spectrum, and that spectrum without its envelope.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::num_complex::Complex32;

use super::{FineChunk, FineStats, Sums, maths::log10};
use crate::features::{FRAME_SAMPLES, FRAMES_PER_SEC, POWER_BINS, POWER_FLOOR};

/// Cepstral coefficients kept; the envelope is made of the first [`ENVELOPE`] of them.
const CEPSTRUM: usize = 120;
const ENVELOPE: usize = 20;
/// Brings cepstral coefficients near the spread of an orthonormal transform.
const CEPSTRUM_SCALE: f32 = 20.0;
/// Logarithms end at this much (log10 of power) under the chunk's largest, as those that the encoder reads.
pub(super) const RANGE: f32 = 8.0;
const VARIANCE_FLOOR: f32 = 1e-6;

/// Numbers of one frame.
const VALUES: usize = CEPSTRUM + POWER_BINS;
const SQUARES: Range<usize> = VALUES..2 * VALUES;
const CHANGES: Range<usize> = 2 * VALUES..3 * VALUES;
const SUMS: usize = 3 * VALUES;

pub(super) const DIMS: usize = CEPSTRUM + 2 * VALUES;

/// Appends mean cepstrum, deviations of cepstrum and residue, mean absolute changes of both from frame to frame.
pub(super) fn write(sums: &Sums, out: &mut Vec<f32>) {
    let (values, [frames, steps, ..]) = sums.read(SUMS);
    let means = || values[..VALUES].iter().map(|sum| sum / frames);
    out.extend(means().take(CEPSTRUM));
    let variances = values[SQUARES].iter().zip(means()).map(|(squares, mean)| squares / frames - mean * mean);
    out.extend(variances.map(|variance| variance.max(VARIANCE_FLOOR).sqrt()));
    out.extend(values[CHANGES].iter().map(|sum| sum / steps));
}

/// Counts are frames, and frames that follow another of speech.
pub(super) fn add(chunk: FineChunk<'_>, blocks: &mut [FineStats]) {
    let FineChunk { power, speech, .. } = chunk;
    let floor = log10(power.iter().copied().fold(0.0, f32::max) + POWER_FLOOR) - RANGE;
    let mut frames = Frames::new();
    let (mut before, mut now) = (vec![0.0; VALUES], vec![0.0; VALUES]);
    for (frame, power) in power.chunks_exact(POWER_BINS).enumerate().filter(|(frame, _)| speech[*frame]) {
        std::mem::swap(&mut before, &mut now);
        frames.values_into(power, floor, &mut now);
        let block = &mut blocks[frame / FRAMES_PER_SEC].spectrum;
        block.counts[0] += 1;
        let sums = block.values_mut(SUMS);
        sums[..VALUES].iter_mut().zip(&now).for_each(|(sum, value)| *sum += value);
        sums[SQUARES].iter_mut().zip(&now).for_each(|(sum, value)| *sum += value * value);
        if frame > 0 && speech[frame - 1] {
            let changes = now.iter().zip(&before).map(|(now, before)| (now - before).abs());
            sums[CHANGES].iter_mut().zip(changes).for_each(|(sum, change)| *sum += change);
            block.counts[1] += 1;
        }
    }
}

struct Transforms {
    to_cepstrum: Arc<dyn ComplexToReal<f32>>,
    to_spectrum: Arc<dyn RealToComplex<f32>>,
}

static TRANSFORMS: LazyLock<Transforms> = LazyLock::new(|| {
    let mut planner = RealFftPlanner::<f32>::new();
    Transforms {
        to_cepstrum: planner.plan_fft_inverse(FRAME_SAMPLES),
        to_spectrum: planner.plan_fft_forward(FRAME_SAMPLES),
    }
});

/// Room for one frame.
struct Frames {
    log_power: Vec<f32>,
    spectrum: Vec<Complex32>,
    cepstrum: Vec<f32>,
    scratch: Vec<Complex32>,
}

impl Frames {
    fn new() -> Self {
        let Transforms { to_cepstrum, to_spectrum } = &*TRANSFORMS;
        let scratch = to_cepstrum.get_scratch_len().max(to_spectrum.get_scratch_len());
        Self {
            log_power: vec![0.0; POWER_BINS],
            spectrum: vec![Complex32::default(); POWER_BINS],
            cepstrum: vec![0.0; FRAME_SAMPLES],
            scratch: vec![Complex32::default(); scratch],
        }
    }

    /// `[VALUES]`: cepstrum and residue of a frame's `power`.
    fn values_into(&mut self, power: &[f32], floor: f32, values: &mut [f32]) {
        let Self { log_power, spectrum, cepstrum, scratch } = self;
        for ((log, bin), power) in log_power.iter_mut().zip(&mut *spectrum).zip(power) {
            *log = log10(power + POWER_FLOOR).max(floor);
            *bin = Complex32::new(*log, 0.0);
        }
        let fits = "buffers have the transform's sizes";
        TRANSFORMS.to_cepstrum.process_with_scratch(spectrum, cepstrum, scratch).expect(fits);
        // Neither transform is normalised.
        cepstrum.iter_mut().for_each(|value| *value /= FRAME_SAMPLES as f32);
        let (coefficients, residue) = values.split_at_mut(CEPSTRUM);
        coefficients.iter_mut().zip(&*cepstrum).for_each(|(out, value)| *out = CEPSTRUM_SCALE * value);
        cepstrum[ENVELOPE..=FRAME_SAMPLES - ENVELOPE].fill(0.0);
        TRANSFORMS.to_spectrum.process_with_scratch(cepstrum, spectrum, scratch).expect(fits);
        for ((out, log), envelope) in residue.iter_mut().zip(log_power).zip(spectrum) {
            *out = *log - envelope.re;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fine::tests::noise;

    #[test]
    fn means_deviations_and_changes_are_those_of_the_definition() {
        let owned = noise(130);
        let mut found = Vec::new();
        write(&owned.whole().spectrum, &mut found);
        let frames: Vec<usize> = (0..130).filter(|frame| owned.speech[*frame]).collect();
        let floor = (owned.power.iter().copied().fold(0.0, f32::max) + POWER_FLOOR).log10() - RANGE;
        let power = |frame: usize, bin: usize| owned.power[frame * POWER_BINS + bin] + POWER_FLOOR;
        let log = |frame: usize, bin: usize| f64::from(power(frame, bin).log10().max(floor));
        let cosine = |q: usize, k: usize| (std::f64::consts::TAU * (q * k) as f64 / 400.0).cos();
        // Of a real, even spectrum: c[q] = (x[0] + (-1)^q x[200] + 2 Σ x[k] cos(2πqk/400)) / 400.
        let cepstrum = |frame: usize, q: usize| {
            let inner: f64 = (1..200).map(|k| log(frame, k) * cosine(q, k)).sum();
            (log(frame, 0) + log(frame, 200) * cosine(q, 200) + 2.0 * inner) / 400.0
        };
        let scaled = |frame: usize, q: usize| f64::from(CEPSTRUM_SCALE) * cepstrum(frame, q);
        let residue = |frame: usize, k: usize| {
            let envelope: f64 = (1..ENVELOPE).map(|q| 2.0 * cepstrum(frame, q) * cosine(q, k)).sum();
            log(frame, k) - cepstrum(frame, 0) - envelope
        };
        let mean = |value: &dyn Fn(usize) -> f64| frames.iter().map(|f| value(*f)).sum::<f64>() / frames.len() as f64;
        let steps: Vec<usize> = frames.iter().copied().filter(|f| *f > 0 && owned.speech[f - 1]).collect();
        let check = |index: usize, expected: f64| {
            assert!((f64::from(found[index]) - expected).abs() < 2e-3, "{index}: {}, not {expected}", found[index]);
        };
        for q in [0, 1, 19, 119] {
            check(q, mean(&|frame| scaled(frame, q)));
        }
        for k in [0, 50, 200] {
            let average = mean(&|frame| residue(frame, k));
            let variance = mean(&|frame| (residue(frame, k) - average).powi(2));
            check(CEPSTRUM + CEPSTRUM + k, variance.sqrt());
            let changes = steps.iter().map(|f| (residue(*f, k) - residue(f - 1, k)).abs());
            check(CEPSTRUM + VALUES + CEPSTRUM + k, changes.sum::<f64>() / steps.len() as f64);
        }
    }
}
