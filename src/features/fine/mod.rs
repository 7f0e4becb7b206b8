//! Statistics of the fine spectrum, of phase and of fast envelopes over speech: what the powers of 80 mel bands in 25 ms
//! do not hold. Vocoders place harmonics, noise and phase in ways of their own.
//!
//! Flow: [`fine_blocks`] turns a gated chunk into one [`FineStats`] per second → these merge over any span →
//! [`FineStats::write`] for the network. Everything is made of sums over speech frames, and nothing reaches beyond its
//! chunk. What belongs to several frames counts in the second of the middle or last one.

mod envelope;
mod maths;
mod modulation;
mod phase;
mod spectrum;

use super::FRAMES_PER_SEC;

/// Numbers in the statistics of one span.
pub const FINE_DIMS: usize = spectrum::DIMS + phase::DIMS + modulation::DIMS + envelope::DIMS;

/// One chunk of the fixed grid, or its beginning.
#[derive(Clone, Copy)]
pub struct FineChunk<'a> {
    /// 16 kHz samples, from the first of the first frame; those of the last frame are complete.
    pub samples: &'a [f32],
    /// |X|² of the frames, `[frames × POWER_BINS]`, row-major.
    pub power: &'a [f32],
    /// `[frames]`.
    pub speech: &'a [bool],
}

/// Sums over the speech frames of a span, which add up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FineStats {
    spectrum: Sums,
    phase: Sums,
    modulation: Sums,
    envelope: Sums,
}

/// Sums of one kind, and over how many of what they are.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sums {
    counts: [u32; 4],
    /// Empty where nothing was added yet.
    values: Vec<f32>,
}

impl FineStats {
    /// Adds `other`'s span to this one.
    pub fn merge(&mut self, other: &Self) {
        self.spectrum.merge(&other.spectrum);
        self.phase.merge(&other.phase);
        self.modulation.merge(&other.modulation);
        self.envelope.merge(&other.envelope);
    }

    /// Writes `[FINE_DIMS]`: spectrum, phase, modulation, envelope, as their modules say.
    pub fn write(&self, out: &mut Vec<f32>) {
        out.clear();
        spectrum::write(&self.spectrum, out);
        phase::write(&self.phase, out);
        modulation::write(&self.modulation, out);
        envelope::write(&self.envelope, out);
    }
}

impl Sums {
    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        let values = self.values_mut(other.values.len());
        values.iter_mut().zip(&other.values).for_each(|(sum, more)| *sum += more);
    }

    /// `[length]`, zeros at first.
    fn values_mut(&mut self, length: usize) -> &mut [f32] {
        if self.values.is_empty() {
            self.values = vec![0.0; length];
        }
        &mut self.values
    }

    /// `[length]`, and the counts with at least one of each, to divide by.
    fn read(&self, length: usize) -> (std::borrow::Cow<'_, [f32]>, [f32; 4]) {
        let values = if self.values.is_empty() { vec![0.0; length].into() } else { self.values.as_slice().into() };
        (values, self.counts.map(|count| count.max(1) as f32))
    }
}

/// Statistics of a chunk by seconds.
pub fn fine_blocks(chunk: FineChunk<'_>) -> Vec<FineStats> {
    let mut blocks = vec![FineStats::default(); chunk.speech.len().div_ceil(FRAMES_PER_SEC)];
    spectrum::add(chunk, &mut blocks);
    phase::add(chunk, &mut blocks);
    modulation::add(chunk, &mut blocks);
    envelope::add(chunk, &mut blocks);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{CHUNK_FRAMES, FRAME_SAMPLES, FrontEnd, HOP_SAMPLES};

    pub(super) struct Owned {
        pub(super) samples: Vec<f32>,
        pub(super) power: Vec<f32>,
        pub(super) speech: Vec<bool>,
    }

    impl Owned {
        pub(super) fn of(samples: Vec<f32>, is_speech: impl Fn(usize) -> bool) -> Self {
            let mut power = Vec::new();
            FrontEnd::new().push(&samples, |frame| power.extend_from_slice(frame.power));
            let frames = power.len() / crate::features::POWER_BINS;
            Self { samples, power, speech: (0..frames).map(is_speech).collect() }
        }

        pub(super) fn chunk(&self) -> FineChunk<'_> {
            FineChunk { samples: &self.samples, power: &self.power, speech: &self.speech }
        }

        pub(super) fn whole(&self) -> FineStats {
            let mut whole = FineStats::default();
            fine_blocks(self.chunk()).iter().for_each(|block| whole.merge(block));
            whole
        }
    }

    /// Noise whose level and colour change, with a gap in the speech.
    pub(super) fn noise(frames: usize) -> Owned {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let mut last = 0.0;
        let samples = (0..samples_of(frames)).map(|n| {
            last = 0.7 * last + random();
            last * (0.02 + 0.1 * (n as f32 * 0.001).sin().abs())
        });
        Owned::of(samples.collect(), |frame| !(150..170).contains(&frame) && frame % 37 != 0)
    }

    fn samples_of(frames: usize) -> usize {
        if frames == 0 { 0 } else { (frames - 1) * HOP_SAMPLES + FRAME_SAMPLES }
    }

    #[test]
    fn seconds_of_a_chunk_hold_each_frame_once() {
        let owned = noise(CHUNK_FRAMES);
        assert_eq!(fine_blocks(owned.chunk()).len(), 4);
        let whole = owned.whole();
        let runs = |length: usize| owned.speech.windows(length).filter(|run| run.iter().all(|s| *s)).count() as u32;
        assert_eq!(whole.spectrum.counts, [runs(1), runs(2), 0, 0]);
        assert_eq!(whole.phase.counts, [runs(3), 0, 0, 0]);
        assert_eq!(whole.envelope.counts[0], 10 * runs(1));
        let mut written = Vec::new();
        whole.write(&mut written);
        assert_eq!(written.len(), FINE_DIMS);
    }

    #[test]
    fn loudness_moves_nothing_but_the_mean_level() {
        let quiet = noise(CHUNK_FRAMES);
        let loud = Owned::of(quiet.samples.iter().map(|sample| sample * 4.0).collect(), |frame| quiet.speech[frame]);
        let written = |owned: &Owned| {
            let mut out = Vec::new();
            owned.whole().write(&mut out);
            out
        };
        for (index, (quiet, loud)) in written(&quiet).into_iter().zip(written(&loud)).enumerate().skip(1) {
            // Constants under the logarithms are small, not nothing; phases may round otherwise.
            assert!((quiet - loud).abs() < 0.02 * quiet.abs().max(1.0), "{index}: {quiet}, then {loud}");
        }
    }

    #[test]
    fn silence_and_nothing_give_finite_numbers() {
        for frames in [0, 1, 2, 7, 99, 128, CHUNK_FRAMES] {
            for is_speech in [false, true] {
                let owned = Owned::of(vec![0.0; samples_of(frames)], |_| is_speech);
                let mut written = Vec::new();
                owned.whole().write(&mut written);
                assert!(written.iter().all(|value| value.is_finite()), "{frames} frames");
            }
        }
    }
}
