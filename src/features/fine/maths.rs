//! Logarithm and phase, exact enough for statistics and fit for vector units.

use std::f32::consts::{LN_2, TAU};

use rustfft::num_complex::Complex32;

/// Natural logarithm of a normal positive number, to about 1e-6: the exponent, and 2 atanh((m − 1) / (m + 1)) by its
/// series for the mantissa m.
pub(super) fn ln(value: f32) -> f32 {
    let bits = value.to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let series = 1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0 + t2 / 11.0))));
    exponent * LN_2 + 2.0 * t * series
}

/// Decimal logarithm of a normal positive number.
pub(super) fn log10(value: f32) -> f32 {
    ln(value) * std::f32::consts::LOG10_E
}

/// Phase in 1/256 turns, rounded; 0 of nothing. The arc tangent on 0..1 is the polynomial of Abramowitz and Stegun (1964),
/// 4.4.47, whose error of 1e-5 rad is a small part of a step.
pub(super) fn phase(bin: Complex32) -> u8 {
    let (across, up) = (bin.re.abs(), bin.im.abs());
    let ratio = across.min(up) / across.max(up).max(f32::MIN_POSITIVE);
    let square = ratio * ratio;
    let series =
        0.999_866 + square * (-0.330_299_5 + square * (0.180_141 + square * (-0.085_133 + square * 0.020_835_1)));
    let octant = ratio * series * (256.0 / TAU);
    let quadrant = if up > across { 64.0 - octant } else { octant };
    let half = if bin.re < 0.0 { 128.0 - quadrant } else { quadrant };
    let turn = if bin.im < 0.0 { -half } else { half };
    // Over -128..=128, so that truncation rounds.
    ((turn + 256.5) as i32) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library() {
        for exponent in -300..300 {
            let value = 10_f32.powf(exponent as f32 / 30.0);
            assert!((log10(value) - value.log10()).abs() < 2e-6, "{value}: {}", log10(value));
        }
    }

    #[test]
    fn phases_are_rounded_angles() {
        for step in 0..20_000 {
            let angle = (f64::from(step) / 20_000.0 - 0.5) * std::f64::consts::TAU;
            let found = phase(Complex32::new(3.0 * angle.cos() as f32, 3.0 * angle.sin() as f32));
            let apart = (f64::from(found) - angle / std::f64::consts::TAU * 256.0).rem_euclid(256.0);
            assert!(apart.min(256.0 - apart) < 0.501, "{angle}: {found}");
        }
        assert_eq!(phase(Complex32::default()), 0);
    }
}
