//! Fast envelopes: log energies of 32 bands every millisecond, without what is slower than about 50 Hz. Pulses of the
//! voice and the noise between them show here, and how bands move together.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use realfft::{RealFftPlanner, RealToComplex};

use super::{FineChunk, FineStats, Sums, maths::ln};
use crate::features::{FRAMES_PER_SEC, HOP_SAMPLES};

/// Bands, 250 Hz wide: bins 1 to 32 of a transform of [`SHORT_SAMPLES`].
const BANDS: usize = 32;
const SHORT_SAMPLES: usize = 64;
const SHORT_HOP: usize = 16;
/// Short frames that belong to each frame of 10 ms; they lie around its centre.
const PER_FRAME: usize = HOP_SAMPLES / SHORT_HOP;
const FIRST_SAMPLE: usize = 96;
/// Added to powers before their logarithm: of the chunk's largest, and at least.
const RELATIVE_FLOOR: f32 = 3e-9;
const ABSOLUTE_FLOOR: f32 = 1e-20;
/// Short frames before and after of which the running mean is taken away: 20 ms in all.
const MEAN_REACH: usize = 10;
/// Bands that are compared with each other: neighbours joined by two.
const WIDE: usize = BANDS / 2;
/// Short frames between those that are multiplied, and between one such product and the next.
const LAG: usize = 2;

/// Short frames in one segment of the modulation spectrum, and how many of them must be speech.
const SEGMENT: usize = 64;
const SEGMENT_SPEECH: usize = 45;
/// Bins of a segment's spectrum, 15.6 Hz apart, where each modulation band begins; the end of the last.
const EDGES: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 33];
const MODULATIONS: usize = (EDGES.len() - 1) * BANDS;
const MODULATION_FLOOR: f32 = 1e-3;

const SECOND: Range<usize> = 0..BANDS;
const THIRD: Range<usize> = BANDS..2 * BANDS;
const FOURTH: Range<usize> = 2 * BANDS..3 * BANDS;
/// Second powers, and how many, of what is louder than the band's mean.
const LOUD: Range<usize> = 3 * BANDS..4 * BANDS;
const LOUD_COUNT: Range<usize> = 4 * BANDS..5 * BANDS;
const CHANGES: Range<usize> = 5 * BANDS..6 * BANDS;
const BENDS: Range<usize> = 6 * BANDS..7 * BANDS;
const WIDE_SECOND: Range<usize> = 7 * BANDS..7 * BANDS + WIDE;
/// `[WIDE × WIDE]`: each wide band by each [`LAG`] before.
const PRODUCTS: Range<usize> = WIDE_SECOND.end..WIDE_SECOND.end + WIDE * WIDE;
const MODULATION: Range<usize> = PRODUCTS.end..PRODUCTS.end + MODULATIONS;
const SUMS: usize = MODULATION.end;

const VARIANCE_FLOOR: f32 = 1e-6;
/// Added to deviations that are divided by.
const DEVIATION_FLOOR: f32 = 1e-3;

pub(super) const DIMS: usize = 6 * BANDS + WIDE * WIDE + MODULATIONS;

/// Appends deviations, those of loud moments, skewness, kurtosis, mean absolute first and second differences, lagged
/// correlations of wide bands, and ln of modulation powers `[modulation bands × BANDS]`.
pub(super) fn write(sums: &Sums, out: &mut Vec<f32>) {
    let (values, [frames, runs, products, segments]) = sums.read(SUMS);
    let deviations: Vec<f32> = values[SECOND].iter().map(|sum| (sum / frames).max(VARIANCE_FLOOR).sqrt()).collect();
    let scales: Vec<f32> = deviations.iter().map(|deviation| deviation + DEVIATION_FLOOR).collect();
    out.extend(&deviations);
    out.extend(values[LOUD].iter().zip(&values[LOUD_COUNT]).map(|(sum, count)| (sum / count.max(1.0)).sqrt()));
    out.extend(values[THIRD].iter().zip(&scales).map(|(sum, scale)| sum / frames / scale.powi(3)));
    out.extend(values[FOURTH].iter().zip(&scales).map(|(sum, scale)| sum / frames / scale.powi(4)));
    out.extend(values[CHANGES.start..BENDS.end].iter().map(|sum| sum / runs));
    let wide: Vec<f32> = values[WIDE_SECOND].iter().map(|sum| (sum / frames).sqrt() + DEVIATION_FLOOR).collect();
    for (row, scale) in values[PRODUCTS].chunks_exact(WIDE).zip(&wide) {
        out.extend(row.iter().zip(&wide).map(|(sum, other)| sum / products / (scale * other)));
    }
    out.extend(values[MODULATION].iter().map(|sum| (sum / segments + MODULATION_FLOOR).ln()));
}

struct Tables {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Periodic Hann window, `[64]`, of samples and of segments alike.
    window: Vec<f32>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let turn = |n: usize| std::f32::consts::TAU * n as f32 / SHORT_SAMPLES as f32;
    Tables {
        fft: RealFftPlanner::<f32>::new().plan_fft_forward(SHORT_SAMPLES),
        window: (0..SHORT_SAMPLES).map(|n| 0.5 - 0.5 * turn(n).cos()).collect(),
    }
});

/// Counts are short frames, those after [`LAG`] others of speech, those that were multiplied, and segments.
pub(super) fn add(chunk: FineChunk<'_>, blocks: &mut [FineStats]) {
    if !chunk.speech.contains(&true) {
        return;
    }
    let envelope = Envelope::of(chunk);
    envelope.add_frames(blocks);
    envelope.add_segments(blocks);
}

/// Envelopes of one chunk.
struct Envelope {
    /// `[short frames × BANDS]`: what is fast.
    fast: Vec<f32>,
    /// Likewise: the running mean.
    slow: Vec<f32>,
    speech: Vec<bool>,
}

impl Envelope {
    fn of(chunk: FineChunk<'_>) -> Self {
        let mut fast = log_energies(chunk.samples, PER_FRAME * chunk.speech.len());
        let slow = running_means(&fast);
        fast.iter_mut().zip(&slow).for_each(|(energy, mean)| *energy -= mean);
        let speech = chunk.speech.iter().flat_map(|is_speech| [*is_speech; PER_FRAME]).collect();
        Self { fast, slow, speech }
    }

    fn row(&self, short: usize) -> &[f32] {
        &self.fast[short * BANDS..(short + 1) * BANDS]
    }

    fn slow_row(&self, short: usize) -> &[f32] {
        &self.slow[short * BANDS..(short + 1) * BANDS]
    }

    fn speech_frames(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.speech.len()).filter(|short| self.speech[*short])
    }

    /// Mean of the slow part over speech, `[BANDS]`.
    fn mean_levels(&self) -> Vec<f32> {
        let mut levels = vec![0.0_f64; BANDS];
        for short in self.speech_frames() {
            levels.iter_mut().zip(self.slow_row(short)).for_each(|(level, value)| *level += f64::from(*value));
        }
        let count = self.speech_frames().count().max(1) as f64;
        levels.iter().map(|level| (level / count) as f32).collect()
    }

    fn add_frames(&self, blocks: &mut [FineStats]) {
        let levels = self.mean_levels();
        for short in self.speech_frames() {
            let block = &mut blocks[short / (PER_FRAME * FRAMES_PER_SEC)].envelope;
            block.counts[0] += 1;
            let is_run = short >= LAG && self.speech[short - 1] && self.speech[short - 2];
            block.counts[1] += u32::from(is_run);
            let sums = block.values_mut(SUMS);
            let now = self.row(short);
            for (band, (x, slow)) in now.iter().zip(self.slow_row(short)).enumerate() {
                let square = x * x;
                let is_loud = f32::from(u8::from(*slow > levels[band]));
                sums[SECOND.start + band] += square;
                sums[THIRD.start + band] += square * x;
                sums[FOURTH.start + band] += square * square;
                sums[LOUD.start + band] += square * is_loud;
                sums[LOUD_COUNT.start + band] += is_loud;
            }
            let wide_now = wide(now);
            sums[WIDE_SECOND].iter_mut().zip(wide_now).for_each(|(sum, x)| *sum += x * x);
            if !is_run {
                continue;
            }
            let (last, lagged) = (self.row(short - 1), self.row(short - LAG));
            for band in 0..BANDS {
                sums[CHANGES.start + band] += (now[band] - last[band]).abs();
                sums[BENDS.start + band] += (now[band] - 2.0 * last[band] + lagged[band]).abs();
            }
            if short.is_multiple_of(LAG) {
                let before = wide(lagged);
                for (products, x) in sums[PRODUCTS].chunks_exact_mut(WIDE).zip(wide_now) {
                    products.iter_mut().zip(before).for_each(|(sum, before)| *sum += x * before);
                }
                block.counts[2] += 1;
            }
        }
    }

    fn add_segments(&self, blocks: &mut [FineStats]) {
        let Tables { fft, window } = &*TABLES;
        let (mut spectrum, mut scratch) = (fft.make_output_vec(), fft.make_scratch_vec());
        let mut segment = vec![0.0; SEGMENT];
        for start in (0..(self.speech.len() + 1).saturating_sub(SEGMENT)).step_by(SEGMENT) {
            let speech = self.speech[start..start + SEGMENT].iter().filter(|is_speech| **is_speech).count();
            if speech < SEGMENT_SPEECH {
                continue;
            }
            let block = &mut blocks[(start + SEGMENT / 2) / (PER_FRAME * FRAMES_PER_SEC)].envelope;
            block.counts[3] += 1;
            let sums = &mut block.values_mut(SUMS)[MODULATION];
            for band in 0..BANDS {
                for (n, (out, weight)) in segment.iter_mut().zip(window).enumerate() {
                    *out = self.fast[(start + n) * BANDS + band] * weight;
                }
                let done = fft.process_with_scratch(&mut segment, &mut spectrum, &mut scratch);
                done.expect("buffers were made by this transform");
                for (index, edges) in EDGES.windows(2).enumerate() {
                    let bins = &spectrum[edges[0]..edges[1]];
                    sums[index * BANDS + band] +=
                        bins.iter().map(|bin| bin.norm_sqr()).sum::<f32>() / bins.len() as f32;
                }
            }
        }
    }
}

/// Means of neighbours in a row of `[BANDS]`.
fn wide(row: &[f32]) -> [f32; WIDE] {
    std::array::from_fn(|band| 0.5 * (row[2 * band] + row[2 * band + 1]))
}

/// ln of band energies, `[count × BANDS]`.
fn log_energies(samples: &[f32], count: usize) -> Vec<f32> {
    let Tables { fft, window } = &*TABLES;
    let (mut input, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
    let mut scratch = fft.make_scratch_vec();
    let mut energies = Vec::with_capacity(count * BANDS);
    for short in 0..count {
        let start = FIRST_SAMPLE + short * SHORT_HOP;
        let windowed = samples[start..start + SHORT_SAMPLES].iter().zip(window).map(|(sample, weight)| sample * weight);
        input.iter_mut().zip(windowed).for_each(|(out, value)| *out = value);
        let done = fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch);
        done.expect("buffers were made by this transform");
        energies.extend(spectrum[1..].iter().map(|bin| bin.norm_sqr()));
    }
    let floor = RELATIVE_FLOOR * energies.iter().copied().fold(0.0, f32::max) + ABSOLUTE_FLOOR;
    energies.iter_mut().for_each(|energy| *energy = ln(*energy + floor));
    energies
}

/// Means over [`MEAN_REACH`] rows before and as many from each row on, fewer at the ends. `[rows × BANDS]` both.
fn running_means(energies: &[f32]) -> Vec<f32> {
    let rows = energies.len() / BANDS;
    let row = |index: usize| &energies[index * BANDS..(index + 1) * BANDS];
    let mut means = Vec::with_capacity(energies.len());
    let mut sums = [0.0_f64; BANDS];
    let (mut first, mut end) = (0, 0);
    for index in 0..rows {
        while end < (index + MEAN_REACH).min(rows) {
            sums.iter_mut().zip(row(end)).for_each(|(sum, value)| *sum += f64::from(*value));
            end += 1;
        }
        while first + MEAN_REACH < index {
            sums.iter_mut().zip(row(first)).for_each(|(sum, value)| *sum -= f64::from(*value));
            first += 1;
        }
        means.extend(sums.iter().map(|sum| (sum / (end - first) as f64) as f32));
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fine::tests::{Owned, noise};

    fn written(owned: &Owned) -> Vec<f32> {
        let mut found = Vec::new();
        write(&owned.whole().envelope, &mut found);
        found
    }

    #[test]
    fn pulses_at_125_hertz_show_in_their_modulation_band_and_move_all_bands_together() {
        let pulses =
            (0..40_000).map(|n| if n % 128 == 0 { 1.0 } else { 1e-3 * ((n * 7_919 % 101) as f32 / 50.0 - 1.0) });
        let found = written(&Owned::of(pulses.collect(), |_| true));
        let modulation = &found[DIMS - MODULATIONS..];
        let of_band = |index: usize| (0..BANDS).map(|band| modulation[index * BANDS + band]).sum::<f32>();
        let loudest = (0..EDGES.len() - 1).max_by(|a, b| of_band(*a).total_cmp(&of_band(*b))).unwrap();
        // 125 Hz is bin 8 of 15.6 Hz.
        assert_eq!(EDGES[loudest], 8);
        let correlations = &found[6 * BANDS..6 * BANDS + WIDE * WIDE];
        // A quarter of the period later all bands are where the others are.
        assert!(correlations.iter().all(|value| (value - correlations[0]).abs() < 0.05), "{correlations:?}");
        let apart = &written(&noise(240))[6 * BANDS..6 * BANDS + WIDE * WIDE];
        assert!(apart[10].abs() < 0.1 && apart[10 * WIDE].abs() < 0.1, "bands of noise move by themselves");
    }

    #[test]
    fn running_means_are_means() {
        let energies: Vec<f32> = (0..50 * BANDS).map(|n| ((n * 7_919) % 101) as f32).collect();
        let means = running_means(&energies);
        for index in [0_usize, 5, 10, 30, 49] {
            let rows = index.saturating_sub(MEAN_REACH)..(index + MEAN_REACH).min(50);
            let expected = rows.clone().map(|row| energies[row * BANDS + 3]).sum::<f32>() / rows.len() as f32;
            assert!((means[index * BANDS + 3] - expected).abs() < 1e-3, "{index}");
        }
    }
}
