//! ITU-T G.722 at 64 kbit/s, decoding only, bit-exact.
//!
//! Source: Recommendation ITU-T G.722 (09/2012); the names in comments are its blocks. Each byte gives two samples at
//! 16 kHz: six bits for the band below 4 kHz, two bits for the band above, joined by a quadrature mirror filter.

/// Table 11: inverse quantiser of the lower band, 6 bits.
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// The same with 4 bits, which drive the adaptation.
const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
/// Inverse quantiser of the higher band, 2 bits.
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
/// Logarithmic scale factor multipliers, lower band, by 4-bit code (tables WL and RL42 joined).
const WL: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
/// The same for the higher band, by 2-bit code (tables WH and RH2 joined).
const WH: [i32; 4] = [798, -214, 798, -214];
/// 2^(i/32) in units of 1/2048.
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Half of the 24 coefficients of the quadrature mirror filter.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// What differs between the two bands' scale factors.
struct Scale {
    max_log: i32,
    shift: i32,
}

const LOW: Scale = Scale { max_log: 18_432, shift: 8 };
const HIGH: Scale = Scale { max_log: 22_528, shift: 10 };

/// Decoder state.
pub(crate) struct G722Decoder {
    low: Band,
    high: Band,
    /// Past sums and differences of the two bands, newest last.
    mirror: [i32; 24],
}

impl G722Decoder {
    pub(crate) fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8), mirror: [0; 24] }
    }

    /// Decodes every byte to two samples.
    pub(crate) fn decode(&mut self, bytes: &[u8], out: &mut Vec<f32>) {
        for &byte in bytes {
            let pair = self.decode_byte(byte);
            out.extend(pair.map(|sample| f32::from(sample) / 32_768.0));
        }
    }

    fn decode_byte(&mut self, byte: u8) -> [i16; 2] {
        let code_low = usize::from(byte & 0x3F);
        let code_high = usize::from(byte >> 6);

        // INVQBL, RECONS, LIMIT; then INVQAL feeds the predictor.
        let low = (self.low.prediction + ((self.low.scale * QM6[code_low]) >> 15)).clamp(-16_384, 16_383);
        let adapting = (self.low.scale * QM4[code_low >> 2]) >> 15;
        self.low.rescale(WL[code_low >> 2], &LOW);
        self.low.adapt(adapting);

        let difference = (self.high.scale * QM2[code_high]) >> 15;
        let high = (self.high.prediction + difference).clamp(-16_384, 16_383);
        self.high.rescale(WH[code_high], &HIGH);
        self.high.adapt(difference);

        self.join(low, high)
    }

    /// The receive quadrature mirror filter (RECA, RECB, ACCUMC, ACCUMD).
    fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        self.mirror.copy_within(2.., 0);
        self.mirror[22] = low + high;
        self.mirror[23] = low - high;
        let odd: i32 = (0..12).map(|i| self.mirror[2 * i + 1] * QMF[11 - i]).sum();
        let even: i32 = (0..12).map(|i| self.mirror[2 * i] * QMF[i]).sum();
        [odd, even].map(|sum| saturate(sum >> 11) as i16)
    }
}

/// Adaptive predictor and scale factor of one band; index 0 of each array is the newest value.
struct Band {
    prediction: i32,
    zero_part: i32,
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    differences: [i32; 6],
    zeros: [i32; 6],
    log_scale: i32,
    scale: i32,
}

impl Band {
    fn new(scale: i32) -> Self {
        Self {
            prediction: 0,
            zero_part: 0,
            reconstructed: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            differences: [0; 6],
            zeros: [0; 6],
            log_scale: 0,
            scale,
        }
    }

    /// LOGSCL and SCALEL (LOGSCH and SCALEH).
    fn rescale(&mut self, multiplier: i32, scale: &Scale) {
        self.log_scale = (((self.log_scale * 127) >> 7) + multiplier).clamp(0, scale.max_log);
        let mantissa = ILB[(self.log_scale >> 6 & 31) as usize];
        let shift = scale.shift - (self.log_scale >> 11);
        self.scale = if shift < 0 { mantissa << -shift } else { mantissa >> shift } << 2;
    }

    /// Block 4: takes the quantised difference and predicts the next sample.
    fn adapt(&mut self, difference: i32) {
        let reconstructed = saturate(self.prediction + difference);
        let partial = saturate(self.zero_part + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        self.predict();
    }

    /// UPPOL2 and UPPOL1.
    fn adapt_poles(&mut self, partial: i32) {
        let same_as = |past: i32| (partial < 0) == (past < 0);
        let four_first = saturate(self.poles[0] << 2);
        let leaning = if same_as(self.partial[0]) { -four_first } else { four_first }.min(32_767);
        let step = if same_as(self.partial[1]) { 128 } else { -128 };
        let second = (step + (leaning >> 7) + ((self.poles[1] * 32_512) >> 15)).clamp(-12_288, 12_288);

        let step = if same_as(self.partial[0]) { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        let first = saturate(step + ((self.poles[0] * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, past) in self.zeros.iter_mut().zip(self.differences) {
            let signed_step = if (difference < 0) == (past < 0) { step } else { -step };
            *zero = saturate(signed_step + ((*zero * 32_640) >> 15));
        }
    }

    /// FILTEP, FILTEZ, PREDIC.
    fn predict(&mut self) {
        let part = |coefficient: i32, value: i32| (coefficient * saturate(2 * value)) >> 15;
        let pole_part =
            saturate(part(self.poles[0], self.reconstructed[0]) + part(self.poles[1], self.reconstructed[1]));
        let zero_part: i32 = self.zeros.iter().zip(self.differences).map(|(&zero, d)| part(zero, d)).sum();
        self.zero_part = saturate(zero_part);
        self.prediction = saturate(pole_part + self.zero_part);
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_table_is_the_power_series() {
        for (i, &value) in ILB.iter().enumerate() {
            let exact = 2048.0 * (i as f64 / 32.0).exp2();
            assert!((exact - f64::from(value)).abs() < 1.0, "{i}: {value} against {exact}");
        }
    }

    #[test]
    fn any_bytes_decode_without_overflow() {
        let mut decoder = G722Decoder::new();
        let mut out = Vec::new();
        let mut state = 7_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(50_000)
        .collect();
        decoder.decode(&noise, &mut out);
        for byte in [0x00, 0x3F, 0x7F, 0xFF, 0x04, 0x20, 0xC4] {
            decoder.decode(&[byte; 4_000], &mut out);
        }
        assert!(out.iter().all(|x| x.abs() <= 1.0));
    }
}
