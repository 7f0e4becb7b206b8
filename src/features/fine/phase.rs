//! Second differences of phase: along time (how the instantaneous frequency of a bin changes), and across time and
//! frequency (how group delay changes, or the step of phase from bin to bin).

use std::{f32::consts::TAU, sync::LazyLock};

use super::{FineChunk, FineStats, Sums, maths};
use crate::features::{FRAME_SAMPLES, FRAMES_PER_SEC, FrameTransform, HOP_SAMPLES, POWER_BINS};

/// Pairs of neighbouring bins.
const PAIRS: usize = POWER_BINS - 1;

pub(super) const DIMS: usize = POWER_BINS + 2 * PAIRS;

/// Appends mean cosines along time, mean cosines and sines across.
pub(super) fn write(sums: &Sums, out: &mut Vec<f32>) {
    let (values, [middles, ..]) = sums.read(DIMS);
    out.extend(values.iter().map(|sum| sum / middles));
}

/// Cosines and sines by 1/256 turns.
static CIRCLE: LazyLock<([f32; 256], [f32; 256])> = LazyLock::new(|| {
    let turn = |n: usize| TAU * n as f32 / 256.0;
    (std::array::from_fn(|n| turn(n).cos()), std::array::from_fn(|n| turn(n).sin()))
});

/// Counts are frames between two others of speech.
pub(super) fn add(chunk: FineChunk<'_>, blocks: &mut [FineStats]) {
    let (cosines, sines) = &*CIRCLE;
    let speech = chunk.speech;
    let phases = phases_of(chunk);
    let row = |frame: usize| &phases[frame * POWER_BINS..(frame + 1) * POWER_BINS];
    let is_middle = |frame: &usize| speech[frame - 1] && speech[*frame] && speech[frame + 1];
    for frame in (1..speech.len().saturating_sub(1)).filter(is_middle) {
        let block = &mut blocks[frame / FRAMES_PER_SEC].phase;
        block.counts[0] += 1;
        let (before, now, after) = (row(frame - 1), row(frame), row(frame + 1));
        let (along_time, across) = block.values_mut(DIMS).split_at_mut(POWER_BINS);
        for (bin, sum) in along_time.iter_mut().enumerate() {
            *sum += cosines[usize::from(bend(before[bin], now[bin], after[bin]))];
        }
        let (in_cosines, in_sines) = across.split_at_mut(PAIRS);
        for (pair, (cosine, sine)) in in_cosines.iter_mut().zip(in_sines).enumerate() {
            let step = |row: &[u8]| row[pair + 1].wrapping_sub(row[pair]);
            let turn = usize::from(step(now).wrapping_sub(step(before)));
            *cosine += cosines[turn];
            *sine += sines[turn];
        }
    }
}

/// Second difference of three phases.
fn bend(before: u8, now: u8, after: u8) -> u8 {
    before.wrapping_add(after).wrapping_sub(now.wrapping_mul(2))
}

/// `[frames × POWER_BINS]` in 1/256 turns; zeros where there is no speech.
fn phases_of(chunk: FineChunk<'_>) -> Vec<u8> {
    let mut phases = vec![0; chunk.speech.len() * POWER_BINS];
    let mut transform = FrameTransform::new();
    for (frame, row) in phases.chunks_exact_mut(POWER_BINS).enumerate().filter(|(frame, _)| chunk.speech[*frame]) {
        let start = frame * HOP_SAMPLES;
        let spectrum = transform.of(&chunk.samples[start..start + FRAME_SAMPLES]);
        row.iter_mut().zip(spectrum).for_each(|(phase, bin)| *phase = maths::phase(*bin));
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::fine::tests::{Owned, noise};

    #[test]
    fn clicks_of_one_period_have_steps_of_phase_that_stay() {
        // 160 samples apart, so that every frame has them at the same places.
        let clicks = (0..20_000).map(|n| f32::from(u8::from(n % HOP_SAMPLES == 40))).collect();
        let mut found = Vec::new();
        write(&Owned::of(clicks, |_| true).whole().phase, &mut found);
        assert!(found[POWER_BINS..POWER_BINS + PAIRS].iter().all(|cosine| *cosine > 0.99), "{found:?}");
        assert!(found[POWER_BINS + PAIRS..].iter().all(|sine| sine.abs() < 0.1), "{found:?}");
    }

    #[test]
    fn a_steady_tone_goes_on_as_it_began_and_noise_does_not() {
        let tone = (0..20_000).map(|n| (n as f32 * TAU * 1_000.0 / 16_000.0).sin()).collect();
        let mut found = Vec::new();
        write(&Owned::of(tone, |_| true).whole().phase, &mut found);
        assert!(found[25] > 0.999, "{}", found[25]);
        found.clear();
        write(&noise(200).whole().phase, &mut found);
        let mean = found[..POWER_BINS].iter().sum::<f32>() / POWER_BINS as f32;
        assert!(mean.abs() < 0.2, "{mean}");
    }
}
