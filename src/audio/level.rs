//! Level of one channel: its peak, and how much of it is clipped.

/// Shortest run of equal samples that counts as clipped, in samples.
const RUN_SAMPLES: u64 = 3;

/// A run counts where it lies within this factor of the channel's own peak (about 0.09 dB): converters clip the
/// positive and the negative side one step apart.
const OWN_PEAK_FACTOR: f32 = 0.99;

/// Below this peak (-1 dB relative to full scale) a channel is not regarded as clipped.
const NEAR_FULL_SCALE: f32 = 0.891_251;

/// Measures peak and clipping of one channel at its source rate, where clipping still shows as flat tops.
///
/// Works sample by sample in constant memory, so the result does not depend on how the input is split.
#[derive(Debug, Clone, Default)]
pub struct LevelMeter {
    peak: f32,
    reference_peak: f32,
    run_value: f32,
    run_samples: u64,
    clipped_samples: u64,
    total_samples: u64,
}

impl LevelMeter {
    /// A meter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next samples, nominal range ±1. Samples that are not finite count as 0.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.push_one(if sample.is_finite() { sample } else { 0.0 });
        }
        self.total_samples = self.total_samples.saturating_add(samples.len() as u64);
    }

    /// Largest magnitude so far; 1.0 is full scale.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// Samples seen so far.
    pub fn total_samples(&self) -> u64 {
        self.total_samples
    }

    /// Share of samples, 0-1, in runs of at least three equal samples at the channel's own peak (within 1 %), where
    /// that peak is within 1 dB of full scale or above it; otherwise 0.
    pub fn clipping_ratio(&self) -> f32 {
        if self.total_samples == 0 || self.peak < NEAR_FULL_SCALE {
            return 0.0;
        }
        (self.clipped_samples as f64 / self.total_samples as f64) as f32
    }

    fn push_one(&mut self, sample: f32) {
        let magnitude = sample.abs();
        if magnitude > self.peak {
            self.peak = magnitude;
            if magnitude * OWN_PEAK_FACTOR > self.reference_peak {
                self.reference_peak = magnitude;
                self.clipped_samples = 0;
            }
        }
        if sample != self.run_value {
            self.run_value = sample;
            self.run_samples = 1;
            return;
        }
        self.run_samples += 1;
        if magnitude < self.peak * OWN_PEAK_FACTOR || magnitude < NEAR_FULL_SCALE {
            return;
        }
        if self.run_samples == RUN_SAMPLES {
            self.clipped_samples += RUN_SAMPLES;
        } else if self.run_samples > RUN_SAMPLES {
            self.clipped_samples += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(samples: &[f32]) -> LevelMeter {
        let mut meter = LevelMeter::new();
        meter.push(samples);
        meter
    }

    #[test]
    fn flat_tops_count_and_smooth_tops_do_not() {
        let cases: [(&[f32], f32); 6] = [
            (&[], 0.0),
            (&[0.0, 0.5, 1.0, 0.5], 0.0),
            (&[0.0, 1.0, 1.0, 0.0], 0.0),
            (&[0.0, 1.0, 1.0, 1.0], 0.75),
            (&[0.999, 0.999, 0.999, 0.0, -1.0, -1.0, -1.0, 0.0], 0.75),
            (&[0.5, 0.5, 0.5, 0.5], 0.0),
        ];
        for (samples, expected) in cases {
            assert_eq!(meter(samples).clipping_ratio(), expected, "{samples:?}");
        }
    }

    #[test]
    fn runs_below_the_final_peak_are_forgotten() {
        let clipped_low_then_loud = [0.9, 0.9, 0.9, 0.9, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(meter(&clipped_low_then_loud).clipping_ratio(), 0.0);
    }

    #[test]
    fn unusable_samples_do_not_poison_the_peak() {
        let measured = meter(&[f32::NAN, f32::INFINITY, 0.25]);
        assert_eq!(measured.peak(), 0.25);
        assert_eq!(measured.total_samples(), 3);
    }

    #[test]
    fn split_does_not_matter() {
        let samples: Vec<f32> = (0..4000).map(|n| (1.3 * (n as f32 * 0.01).sin()).clamp(-1.0, 1.0)).collect();
        let whole = meter(&samples);
        let mut parts = LevelMeter::new();
        samples.chunks(7).for_each(|part| parts.push(part));
        assert_eq!(whole.clipping_ratio().to_bits(), parts.clipping_ratio().to_bits());
        assert!(whole.clipping_ratio() > 0.2);
    }
}
