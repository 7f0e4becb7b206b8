//! Mel filterbank: power spectrum to log10 band powers.

use super::{FRAME_SAMPLES, MEL_BANDS, POWER_BINS, POWER_FLOOR};
use crate::audio::SAMPLE_RATE_HZ;

/// Triangular filters on the Slaney mel scale with area normalisation, 0 to 8 kHz.
///
/// Source: M. Slaney, Auditory Toolbox, Interval Technical Report 1998-010; the layout that librosa's
/// `filters.mel(sr=16000, n_fft=400, n_mels=80)` and the pretrained encoder use.
pub struct Filterbank {
    bands: Vec<Band>,
}

/// The non-zero part of one filter.
struct Band {
    first_bin: usize,
    weights: Vec<f32>,
}

/// Slope of the linear part: 200/3 Hz per mel up to 1 kHz.
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Where the scale turns logarithmic.
const BREAK_HZ: f64 = 1000.0;
/// Logarithmic part: 27 mels for a factor of 6.4.
const LOG_STEP: f64 = 0.068_751_777_420_949_12;

fn hz_to_mel(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / LINEAR_HZ_PER_MEL } else { BREAK_HZ / LINEAR_HZ_PER_MEL + (hz / BREAK_HZ).ln() / LOG_STEP }
}

fn mel_to_hz(mel: f64) -> f64 {
    let break_mel = BREAK_HZ / LINEAR_HZ_PER_MEL;
    if mel < break_mel { mel * LINEAR_HZ_PER_MEL } else { BREAK_HZ * ((mel - break_mel) * LOG_STEP).exp() }
}

/// Edges of the triangles in Hz, `[MEL_BANDS + 2]`: band `b` rises from edge `b` to `b + 1` and falls to `b + 2`.
fn edges_hz() -> Vec<f64> {
    let top_mel = hz_to_mel(f64::from(SAMPLE_RATE_HZ) / 2.0);
    (0..MEL_BANDS + 2).map(|i| mel_to_hz(top_mel * i as f64 / (MEL_BANDS + 1) as f64)).collect()
}

impl Filterbank {
    /// The filterbank of every shipped model.
    pub fn mel_slaney() -> Self {
        let bin_hz = f64::from(SAMPLE_RATE_HZ) / FRAME_SAMPLES as f64;
        let bands = edges_hz()
            .windows(3)
            .map(|edge| {
                let area = 2.0 / (edge[2] - edge[0]);
                let weight = |bin: usize| {
                    let hz = bin as f64 * bin_hz;
                    let rising = (hz - edge[0]) / (edge[1] - edge[0]);
                    let falling = (edge[2] - hz) / (edge[2] - edge[1]);
                    (rising.min(falling).max(0.0) * area) as f32
                };
                let first_bin = (0..POWER_BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
                let weights = (first_bin..POWER_BINS).map(weight).take_while(|weight| *weight > 0.0).collect();
                Band { first_bin, weights }
            })
            .collect();
        Self { bands }
    }

    /// Centre frequencies of the bands in Hz, `[MEL_BANDS]`.
    #[cfg(test)]
    pub(super) fn centres_hz() -> Vec<f64> {
        edges_hz()[1..=MEL_BANDS].to_vec()
    }

    /// log10 of the band powers, floored at [`POWER_FLOOR`]. `power`: `[POWER_BINS]`, `out`: `[MEL_BANDS]`.
    pub(super) fn log10_into(&self, power: &[f32], out: &mut [f32]) {
        for (out, band) in out.iter_mut().zip(&self.bands) {
            let sum: f32 =
                band.weights.iter().zip(&power[band.first_bin..]).map(|(weight, power)| weight * power).sum();
            *out = sum.max(POWER_FLOOR).log10();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_matches_its_published_anchors() {
        // Slaney: 15 mels at 1 kHz, 42 mels at 6.4 kHz.
        assert!((hz_to_mel(1000.0) - 15.0).abs() < 1e-9);
        assert!((hz_to_mel(6400.0) - 42.0).abs() < 1e-6);
        for hz in [0.0, 120.0, 999.0, 1001.0, 7999.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-6);
        }
    }

    #[test]
    fn every_band_has_weight_and_unit_area() {
        for (index, band) in Filterbank::mel_slaney().bands.iter().enumerate() {
            let area: f32 = band.weights.iter().sum::<f32>() * 40.0;
            assert!(!band.weights.is_empty(), "band {index} sees no bin");
            // 40 Hz bins sample the narrow low triangles coarsely.
            assert!((0.3..1.8).contains(&area), "band {index}: area {area}");
        }
    }
}
