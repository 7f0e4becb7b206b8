//! Sample-rate conversion of one channel to 16 kHz, streaming and delay-free.
//!
//! Flow: samples → (unusable ones become 0) → blocks of a fixed size → FFT filter of [`rubato`] → the filter's delay
//! is dropped → output. Because the blocks are of a fixed size, any split of the input gives the same bits.
//!
//! Limits: 4-192 kHz. The ratio is exact for every rate whose reduced fraction to 16 kHz has no term above 16,384 (all
//! usual rates, and all below that many hertz); any other rate is taken as a near fraction within 65 ppm, so that a
//! strange rate in a header costs neither memory nor time.

use std::ops::RangeInclusive;

use rubato::{
    Fft, FixedSync, Resampler as _, WindowFunction,
    audioadapter_buffers::{SizeError, direct::InterleavedSlice},
};

use super::SAMPLE_RATE_HZ;

/// Rates that can be converted, in Hz.
pub const SOURCE_RATES_HZ: RangeInclusive<u32> = 4_000..=192_000;

/// Shortest filter, in samples of the slower side: a Blackman-Harris window of 320 points keeps a pass band up to
/// 7.2 kHz of 8 kHz with a stop band below -90 dB (measured by this module's tests).
const MIN_FILTER_SAMPLES: u64 = 320;

/// Largest term of the reduced ratio source rate : 16 kHz; two blocks of this many samples are the filter's memory.
const MAX_RATIO_TERM: u64 = 16_384;

/// Magnitudes above this (integers of 32 bits stored unscaled) are no audio and would overflow in the filter.
const MAX_MAGNITUDE: f32 = 4_294_967_296.0;

/// Why a rate cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// The source rate lies outside [`SOURCE_RATES_HZ`].
    #[error("sample rate {0} Hz: must be 4,000-192,000 Hz")]
    UnsupportedRate(u32),
    /// The filter could not be built.
    #[error("resampler for {0} Hz: {1}")]
    Setup(u32, String),
}

/// Converts one channel to 16 kHz. Output sample `n` lies at time `n / 16000` s of the input.
pub struct Resampler {
    from_hz: u32,
    engine: Option<Engine>,
    input_samples: u64,
    output_samples: u64,
    unusable_samples: u64,
}

struct Engine {
    fft: Fft<f32>,
    block_in: Vec<f32>,
    filled: usize,
    block_out: Vec<f32>,
    delay_left: usize,
}

impl Resampler {
    /// A converter from `from_hz` to [`SAMPLE_RATE_HZ`]; at 16 kHz samples pass through unchanged.
    pub fn new(from_hz: u32) -> Result<Self, ResampleError> {
        if !SOURCE_RATES_HZ.contains(&from_hz) {
            return Err(ResampleError::UnsupportedRate(from_hz));
        }
        let engine = if from_hz == SAMPLE_RATE_HZ { None } else { Some(Engine::new(from_hz)?) };
        Ok(Self { from_hz, engine, input_samples: 0, output_samples: 0, unusable_samples: 0 })
    }

    /// Takes the next input samples and appends what is ready to `out`.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let already = out.len();
        self.input_samples += input.len() as u64;
        match &mut self.engine {
            None => {
                out.extend(input.iter().map(|&x| usable(x, &mut self.unusable_samples)));
            }
            Some(engine) => {
                let mut rest = input;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(engine.room()));
                    engine.fill(now.iter().map(|&x| usable(x, &mut self.unusable_samples)));
                    engine.run_if_full(out);
                    rest = later;
                }
            }
        }
        self.output_samples += (out.len() - already) as u64;
    }

    /// Appends the rest, so that all output together is `ceil(input · 16000 / from_hz)` samples, and starts anew.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let total = expected_samples(self.input_samples, self.from_hz);
        if let Some(engine) = &mut self.engine {
            let start = out.len();
            let missing = usize::try_from(total.saturating_sub(self.output_samples)).unwrap_or(usize::MAX);
            while out.len() - start < missing {
                engine.pad_and_run(out);
            }
            out.truncate(start + missing);
            engine.reset();
        }
        self.input_samples = 0;
        self.output_samples = 0;
    }

    /// Input samples so far that were not finite (or beyond ±2³²) and were taken as 0.
    pub fn unusable_samples(&self) -> u64 {
        self.unusable_samples
    }
}

impl Engine {
    fn new(from_hz: u32) -> Result<Self, ResampleError> {
        let (ratio_in, ratio_out) = ratio(u64::from(from_hz), u64::from(SAMPLE_RATE_HZ));
        // An even number of blocks keeps the filter's centre on a sample at both rates.
        let blocks = MIN_FILTER_SAMPLES.div_ceil(ratio_in.min(ratio_out)).next_multiple_of(2);
        let chunk = usize_of(ratio_in * blocks);
        let fft = Fft::new_custom(
            usize_of(ratio_in),
            usize_of(ratio_out),
            chunk,
            1,
            1,
            WindowFunction::BlackmanHarris,
            FixedSync::Both,
        )
        .map_err(|error| ResampleError::Setup(from_hz, error.to_string()))?;
        let (samples_in, samples_out) = (fft.input_frames_next(), fft.output_frames_next());
        let delay_left = fft.output_delay();
        Ok(Self { fft, block_in: vec![0.0; samples_in], filled: 0, block_out: vec![0.0; samples_out], delay_left })
    }

    fn room(&self) -> usize {
        self.block_in.len() - self.filled
    }

    fn fill(&mut self, samples: impl ExactSizeIterator<Item = f32>) {
        let end = self.filled + samples.len();
        for (slot, sample) in self.block_in[self.filled..end].iter_mut().zip(samples) {
            *slot = sample;
        }
        self.filled = end;
    }

    fn run_if_full(&mut self, out: &mut Vec<f32>) {
        if self.room() > 0 {
            return;
        }
        self.run().expect("the blocks have the size that the filter asked for");
        self.filled = 0;
        let skipped = self.delay_left.min(self.block_out.len());
        self.delay_left -= skipped;
        out.extend_from_slice(&self.block_out[skipped..]);
    }

    fn run(&mut self) -> Result<(), SizeError> {
        let input = InterleavedSlice::new(&self.block_in[..], 1, self.block_in.len())?;
        let samples_out = self.block_out.len();
        let mut output = InterleavedSlice::new_mut(&mut self.block_out[..], 1, samples_out)?;
        self.fft
            .process_into_buffer(&input, &mut output, None)
            .expect("one channel of the size that the filter asked for");
        Ok(())
    }

    fn pad_and_run(&mut self, out: &mut Vec<f32>) {
        self.block_in[self.filled..].fill(0.0);
        self.filled = self.block_in.len();
        self.run_if_full(out);
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.filled = 0;
        self.delay_left = self.fft.output_delay();
    }
}

fn usable(sample: f32, unusable_samples: &mut u64) -> f32 {
    // NaN compares false, too.
    if sample.abs() <= MAX_MAGNITUDE {
        sample
    } else {
        *unusable_samples += 1;
        0.0
    }
}

fn expected_samples(input_samples: u64, from_hz: u32) -> u64 {
    let scaled = u128::from(input_samples) * u128::from(SAMPLE_RATE_HZ);
    u64::try_from(scaled.div_ceil(u128::from(from_hz))).unwrap_or(u64::MAX)
}

fn usize_of(small: u64) -> usize {
    usize::try_from(small).expect("ratio terms are small")
}

/// `from : to` as a fraction with no term above [`MAX_RATIO_TERM`]: the last convergent of the continued fraction
/// that keeps to it.
fn ratio(from: u64, to: u64) -> (u64, u64) {
    let (mut numerator, mut denominator) = (from, to);
    let (mut previous, mut current) = ((0, 1), (1, 0));
    while denominator != 0 {
        let whole = numerator / denominator;
        let next = (whole * current.0 + previous.0, whole * current.1 + previous.1);
        if next.0.max(next.1) > MAX_RATIO_TERM {
            break;
        }
        (previous, current) = (current, next);
        (numerator, denominator) = (denominator, numerator % denominator);
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL_RATES_HZ: [u32; 14] =
        [4_000, 6_000, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000];

    fn convert(from_hz: u32, input: &[f32]) -> Vec<f32> {
        let mut resampler = Resampler::new(from_hz).unwrap();
        let mut out = Vec::new();
        resampler.push(input, &mut out);
        resampler.finish(&mut out);
        out
    }

    fn tone(rate_hz: u32, tone_hz: f64, secs: f64) -> Vec<f32> {
        let samples = (f64::from(rate_hz) * secs) as usize;
        let step = std::f64::consts::TAU * tone_hz / f64::from(rate_hz);
        (0..samples).map(|n| (0.5 * (step * n as f64).sin()) as f32).collect()
    }

    fn rms_db(samples: &[f32]) -> f64 {
        let power: f64 = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / samples.len() as f64;
        10.0 * (power + 1e-20).log10()
    }

    fn middle(samples: &[f32]) -> &[f32] {
        &samples[samples.len() / 4..samples.len() * 3 / 4]
    }

    #[test]
    fn ratios_of_usual_rates_are_exact() {
        for rate_hz in
            USUAL_RATES_HZ.into_iter().chain([7_350_u32, 11_127, 22_255, 37_800, 44_056, 47_952, 64_000, 176_400])
        {
            let (numerator, denominator) = ratio(u64::from(rate_hz), 16_000);
            assert_eq!(numerator * 16_000, denominator * u64::from(rate_hz), "{rate_hz}");
        }
    }

    #[test]
    fn ratios_of_strange_rates_are_close() {
        for rate_hz in (4_001_u32..192_000).step_by(1_237).chain([191_999_u32, 44_101, 47_999, 15_999, 16_001]) {
            let (numerator, denominator) = ratio(u64::from(rate_hz), 16_000);
            let relative = numerator as f64 * 16_000.0 / (denominator as f64 * f64::from(rate_hz)) - 1.0;
            assert!(relative.abs() < 65e-6, "{rate_hz}: {numerator}/{denominator}, off by {relative:e}");
        }
    }

    #[test]
    fn tones_keep_level_and_time() {
        for rate_hz in USUAL_RATES_HZ {
            let pass_hz = f64::from(rate_hz.min(SAMPLE_RATE_HZ)) * 0.45;
            for tone_hz in [50.0, 440.0, pass_hz * 0.7, pass_hz] {
                let out = convert(rate_hz, &tone(rate_hz, tone_hz, 1.0));
                let expected = tone(SAMPLE_RATE_HZ, tone_hz, 1.0);
                assert_eq!(out.len(), expected.len(), "{rate_hz}");
                let difference: Vec<f32> = middle(&out).iter().zip(middle(&expected)).map(|(a, b)| a - b).collect();
                let error_db = rms_db(&difference) - rms_db(middle(&expected));
                // A time error of a tenth of a sample would be -11 dB at 7.2 kHz; the pass band ripple is below this.
                assert!(error_db < -60.0, "{rate_hz} Hz, tone {tone_hz} Hz: error {error_db:.1} dB");
            }
        }
    }

    #[test]
    fn tones_above_eight_kilohertz_vanish() {
        for rate_hz in USUAL_RATES_HZ.into_iter().filter(|&rate_hz| rate_hz > SAMPLE_RATE_HZ) {
            let nyquist_hz = f64::from(rate_hz) / 2.0;
            for tone_hz in [8_000.0, 8_050.0, 8_800.0, 9_600.0, 10_500.0, nyquist_hz * 0.8, nyquist_hz * 0.99] {
                if tone_hz < 8_000.0 {
                    continue;
                }
                let level_db = rms_db(middle(&convert(rate_hz, &tone(rate_hz, tone_hz, 0.5))));
                // The tone comes in at -9 dB.
                assert!(level_db < -9.0 - 80.0, "{rate_hz} Hz, tone {tone_hz} Hz: {level_db:.1} dB");
            }
        }
    }

    #[test]
    fn images_vanish_when_going_up() {
        for (rate_hz, tone_hz) in [(8_000, 3_000.0), (8_000, 3_500.0), (11_025, 4_500.0), (4_000, 1_700.0)] {
            let out = convert(rate_hz, &tone(rate_hz, tone_hz, 1.0));
            let expected = tone(SAMPLE_RATE_HZ, tone_hz, 1.0);
            let difference: Vec<f32> = middle(&out).iter().zip(middle(&expected)).map(|(a, b)| a - b).collect();
            assert!(rms_db(&difference) < -9.0 - 80.0, "{rate_hz}: {:.1} dB", rms_db(&difference));
        }
    }

    #[test]
    fn length_is_the_input_duration_rounded_up() {
        for rate_hz in USUAL_RATES_HZ.into_iter().chain([44_101, 15_999, 191_999]) {
            for samples in [0_usize, 1, 2, 159, 160, 441, 882, 883, 4_000, 50_001] {
                let out = convert(rate_hz, &vec![0.25; samples]);
                let expected = (samples as u64 * 16_000).div_ceil(u64::from(rate_hz));
                assert_eq!(out.len() as u64, expected, "{rate_hz} Hz, {samples} samples");
            }
        }
    }

    #[test]
    fn an_impulse_stays_at_its_time() {
        for rate_hz in USUAL_RATES_HZ {
            let mut input = vec![0.0; rate_hz as usize];
            input[rate_hz as usize / 2] = 1.0;
            let out = convert(rate_hz, &input);
            let peak = (0..out.len()).max_by(|&a, &b| out[a].total_cmp(&out[b])).unwrap();
            let impulse_secs = f64::from(rate_hz / 2) / f64::from(rate_hz);
            let off_secs = (peak as f64 / 16_000.0 - impulse_secs).abs();
            assert!(off_secs <= 0.5 / 16_000.0, "{rate_hz}: peak at {peak}");
        }
    }

    #[test]
    fn unusable_samples_become_zero_and_are_counted() {
        for rate_hz in [16_000, 48_000] {
            let mut resampler = Resampler::new(rate_hz).unwrap();
            let mut out = Vec::new();
            resampler.push(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.5], &mut out);
            resampler.push(&vec![0.0; 4_800], &mut out);
            resampler.finish(&mut out);
            assert_eq!(resampler.unusable_samples(), 4);
            assert!(out.iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn rates_outside_the_range_are_refused() {
        for rate_hz in [0, 1, 3_999, 192_001, u32::MAX] {
            assert_eq!(Resampler::new(rate_hz).err(), Some(ResampleError::UnsupportedRate(rate_hz)));
        }
    }

    #[test]
    fn finish_starts_anew() {
        let input = tone(44_100, 1_000.0, 0.3);
        let mut resampler = Resampler::new(44_100).unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        resampler.push(&input, &mut first);
        resampler.finish(&mut first);
        resampler.push(&input, &mut second);
        resampler.finish(&mut second);
        assert!(first.iter().zip(&second).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn any_split_gives_the_same_bits(
            rate_hz in prop::sample::select(vec![8_000_u32, 11_025, 16_000, 22_050, 44_100, 48_000, 44_101]),
            input in prop::collection::vec(-1.0_f32..1.0, 0..6_000),
            cuts in prop::collection::vec(0_usize..6_000, 0..12),
        ) {
            let mut whole = Vec::new();
            let mut resampler = Resampler::new(rate_hz).unwrap();
            resampler.push(&input, &mut whole);
            resampler.finish(&mut whole);

            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut resampler = Resampler::new(rate_hz).unwrap();
            for pair in cuts.windows(2) {
                resampler.push(&input[pair[0]..pair[1]], &mut parts);
            }
            resampler.finish(&mut parts);

            prop_assert_eq!(whole.len(), parts.len());
            prop_assert!(whole.iter().zip(&parts).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
