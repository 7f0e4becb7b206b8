//! Modulation spectrum: how fast the energies of bands rise and fall, 0.8 to 50 Hz.

use std::sync::{Arc, LazyLock};

use realfft::{RealFftPlanner, RealToComplex};

use super::{FineChunk, FineStats, Sums, maths::log10, spectrum::RANGE};
use crate::features::{FRAMES_PER_SEC, POWER_BINS, POWER_FLOOR};

/// Bands of bins 1 to 200: eight of five bins, then forty of four.
const BANDS: usize = 48;
/// Frames in one segment (1.28 s), and between the starts of neighbours.
const SEGMENT_FRAMES: usize = 128;
const SEGMENT_HOP: usize = 64;
/// Bins of a segment's spectrum, 0.78 Hz apart, where each modulation band begins; the end of the last.
const EDGES: [usize; 13] = [1, 2, 3, 4, 5, 8, 11, 15, 21, 29, 41, 57, 65];
/// Added to powers before their logarithm.
const FLOOR: f32 = 1e-4;

pub(super) const DIMS: usize = (EDGES.len() - 1) * BANDS;

/// Appends log10 of mean powers, `[modulation bands × BANDS]`.
pub(super) fn write(sums: &Sums, out: &mut Vec<f32>) {
    let (values, [speech_frames, ..]) = sums.read(DIMS);
    out.extend(values.iter().map(|sum| (sum / speech_frames + FLOOR).log10()));
}

struct Segments {
    fft: Arc<dyn RealToComplex<f32>>,
    /// Symmetric Hann window, `[SEGMENT_FRAMES]`.
    window: Vec<f32>,
}

static SEGMENTS: LazyLock<Segments> = LazyLock::new(|| {
    let turn = |n: usize| std::f32::consts::TAU * n as f32 / (SEGMENT_FRAMES - 1) as f32;
    Segments {
        fft: RealFftPlanner::<f32>::new().plan_fft_forward(SEGMENT_FRAMES),
        window: (0..SEGMENT_FRAMES).map(|n| 0.5 - 0.5 * turn(n).cos()).collect(),
    }
});

/// Segments are weighted by their speech frames, which is what is counted. The last of a chunk may be filled up with zeros.
pub(super) fn add(chunk: FineChunk<'_>, blocks: &mut [FineStats]) {
    let FineChunk { power, speech, .. } = chunk;
    let Segments { fft, window } = &*SEGMENTS;
    let energies = band_energies(power);
    let (mut spectrum, mut scratch) = (fft.make_output_vec(), fft.make_scratch_vec());
    let mut segment = vec![0.0; SEGMENT_FRAMES];
    for start in (0..=speech.len().saturating_sub(SEGMENT_FRAMES)).step_by(SEGMENT_HOP) {
        let frames = start..(start + SEGMENT_FRAMES).min(speech.len());
        let speech_frames = speech[frames.clone()].iter().filter(|is_speech| **is_speech).count();
        if speech_frames == 0 {
            continue;
        }
        let centre = (start + SEGMENT_FRAMES / 2).min(speech.len() - 1);
        let block = &mut blocks[centre / FRAMES_PER_SEC].modulation;
        block.counts[0] += speech_frames as u32;
        let sums = block.values_mut(DIMS);
        for band in 0..BANDS {
            let energy = || frames.clone().map(|frame| energies[frame * BANDS + band]);
            let mean = energy().sum::<f32>() / frames.len() as f32;
            segment.fill(0.0);
            for ((out, energy), weight) in segment.iter_mut().zip(energy()).zip(window) {
                *out = (energy - mean) * weight;
            }
            let done = fft.process_with_scratch(&mut segment, &mut spectrum, &mut scratch);
            done.expect("buffers were made by this transform");
            for (index, edges) in EDGES.windows(2).enumerate() {
                let bins = &spectrum[edges[0]..edges[1]];
                let power = bins.iter().map(|bin| bin.norm_sqr()).sum::<f32>() / bins.len() as f32;
                sums[index * BANDS + band] += power * speech_frames as f32;
            }
        }
    }
}

/// log10 of band energies, `[frames × BANDS]`.
fn band_energies(power: &[f32]) -> Vec<f32> {
    let bins = |band: usize| if band < 8 { 1 + 5 * band..6 + 5 * band } else { 9 + 4 * band..13 + 4 * band };
    let energy = |row: &[f32], band: usize| log10(row[bins(band)].iter().sum::<f32>() + POWER_FLOOR);
    let rows = power.chunks_exact(POWER_BINS);
    let mut energies: Vec<f32> = rows.flat_map(|row| (0..BANDS).map(move |band| energy(row, band))).collect();
    let floor = energies.iter().copied().fold(f32::NEG_INFINITY, f32::max) - RANGE;
    energies.iter_mut().for_each(|energy| *energy = energy.max(floor));
    energies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_that_swells_at_five_hertz_shows_there() {
        let mut power = vec![1e-4; 400 * POWER_BINS];
        for frame in 0..400 {
            power[frame * POWER_BINS + 25] = 10_f32.powf((std::f32::consts::TAU * 5.0 * frame as f32 / 100.0).sin());
        }
        let mut blocks = vec![FineStats::default(); 4];
        add(FineChunk { samples: &[], power: &power, speech: &[true; 400] }, &mut blocks);
        let mut whole = Sums::default();
        blocks.iter().for_each(|block| whole.merge(&block.modulation));
        let mut found = Vec::new();
        write(&whole, &mut found);
        let loudest = (0..DIMS).max_by(|a, b| found[*a].total_cmp(&found[*b])).unwrap();
        // Bin 25 is in the fifth band; 5 Hz is 6.4 bins of a segment's spectrum.
        assert_eq!((loudest / BANDS, loudest % BANDS), (4, 4));
    }
}
