//! GSM 06.10 full rate (13 kbit/s), decoding only, bit-exact.
//!
//! Source: ETSI EN 300 961 (GSM 06.10) V8.0.1, clause 5.3; the numbers in comments are its clauses. Arithmetic is that
//! of clause 5.1: 16-bit words, saturating. A frame is 260 bits and gives 160 samples at 8 kHz.
//!
//! Two packings are in use: the plain file and RTP one (33 bytes: the nibble 0xD, then the bits from the most
//! significant on) and the one in WAV files (65 bytes for two frames, bits from the least significant on).

/// Samples of one frame.
pub(super) const FRAME_SAMPLES: usize = 160;
/// Bytes of one frame in plain packing.
pub(crate) const PLAIN_FRAME_BYTES: usize = 33;
/// Bytes of two frames in WAV packing.
pub(super) const WAV_PAIR_BYTES: usize = 65;

const SUBFRAMES: usize = 4;
const SUBFRAME_SAMPLES: usize = 40;
const PULSES: usize = 13;
/// Longest lag of the long-term predictor, in samples.
const MAX_LAG: usize = 120;

/// Bits of each coded log-area ratio, table 1.1.
const LAR_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];
/// Tables 4.1 and 4.2: inverse quantisation of the log-area ratios.
const LAR_B: [i16; 8] = [0, 0, 2048, -2560, 94, -1792, -341, -1144];
const LAR_MIC: [i16; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
const LAR_INVA: [i16; 8] = [13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708];
/// Table 4.3b: gain of the long-term predictor.
const QLB: [i16; 4] = [3277, 11469, 21299, 32767];
/// Table 4.6: normalised direct mantissa of the pulses.
const FAC: [i16; 8] = [18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767];

/// The coded parameters of one frame, table 1.1.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    lar: [i16; 8],
    subframes: [Subframe; SUBFRAMES],
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Subframe {
    lag: i16,
    gain: i16,
    grid: i16,
    maximum: i16,
    pulses: [i16; PULSES],
}

/// Decoder state between frames.
pub(crate) struct GsmDecoder {
    lar_previous: [i16; 8],
    lag: usize,
    /// Reconstructed short-term residual: the last [`MAX_LAG`] samples, then the current subframe.
    residual: [i16; MAX_LAG + SUBFRAME_SAMPLES],
    lattice: [i16; 9],
    deemphasis: i16,
}

impl GsmDecoder {
    pub(crate) fn new() -> Self {
        Self {
            lar_previous: [0; 8],
            lag: SUBFRAME_SAMPLES,
            residual: [0; MAX_LAG + SUBFRAME_SAMPLES],
            lattice: [0; 9],
            deemphasis: 0,
        }
    }

    /// Decodes a plain frame; false where its signature is missing, and then nothing is decoded.
    pub(crate) fn decode_plain(&mut self, bytes: &[u8; PLAIN_FRAME_BYTES], out: &mut Vec<f32>) -> bool {
        if bytes[0] >> 4 != 0xD {
            return false;
        }
        let mut bits = MsbFirst { bytes, position: 4 };
        self.decode_frame(&read_frame(|count| bits.take(count)), out);
        true
    }

    /// Decodes the two frames of a WAV block.
    pub(super) fn decode_wav_pair(&mut self, bytes: &[u8; WAV_PAIR_BYTES], out: &mut Vec<f32>) {
        let mut bits = LsbFirst { bytes, position: 0 };
        for _ in 0..2 {
            self.decode_frame(&read_frame(|count| bits.take(count)), out);
        }
    }

    fn decode_frame(&mut self, frame: &Frame, out: &mut Vec<f32>) {
        let mut residual = [0; FRAME_SAMPLES];
        for (subframe, target) in frame.subframes.iter().zip(residual.chunks_exact_mut(SUBFRAME_SAMPLES)) {
            self.long_term_synthesis(subframe);
            target.copy_from_slice(&self.residual[MAX_LAG..]);
            self.residual.copy_within(SUBFRAME_SAMPLES.., 0);
        }
        let lar = decode_lar(&frame.lar);
        for (range, interpolated) in interpolate(&self.lar_previous, &lar) {
            let reflection = interpolated.map(reflection_coefficient);
            for &sample in &residual[range] {
                let filtered = self.short_term_synthesis(&reflection, sample);
                out.push(f32::from(self.postprocess(filtered)) / 32_768.0);
            }
        }
        self.lar_previous = lar;
    }

    /// 5.3.1 and 5.3.2: pulses to excitation, plus the prediction from the past residual.
    fn long_term_synthesis(&mut self, subframe: &Subframe) {
        let mut excitation = [0; SUBFRAME_SAMPLES];
        let pulses = decode_pulses(subframe.maximum, &subframe.pulses);
        let grid = usize::from(subframe.grid.unsigned_abs());
        for (slot, pulse) in excitation[grid..].iter_mut().step_by(3).zip(pulses) {
            *slot = pulse;
        }
        let lag = usize::from(subframe.lag.unsigned_abs());
        if (SUBFRAME_SAMPLES..=MAX_LAG).contains(&lag) {
            self.lag = lag;
        }
        let gain = QLB[usize::from(subframe.gain.unsigned_abs()) & 3];
        for (k, pulse) in excitation.into_iter().enumerate() {
            let predicted = mult_r(gain, self.residual[MAX_LAG + k - self.lag]);
            self.residual[MAX_LAG + k] = pulse.saturating_add(predicted);
        }
    }

    /// 5.3.4: the lattice filter.
    fn short_term_synthesis(&mut self, reflection: &[i16; 8], sample: i16) -> i16 {
        let mut sri = sample;
        for i in (0..8).rev() {
            sri = sri.saturating_sub(mult_r(reflection[i], self.lattice[i]));
            self.lattice[i + 1] = self.lattice[i].saturating_add(mult_r(reflection[i], sri));
        }
        self.lattice[0] = sri;
        sri
    }

    /// 5.3.5 to 5.3.7: de-emphasis, upscaling, truncation to 13 bits.
    fn postprocess(&mut self, sample: i16) -> i16 {
        self.deemphasis = sample.saturating_add(mult_r(self.deemphasis, 28180));
        self.deemphasis.saturating_add(self.deemphasis) & !7
    }
}

/// 5.2.8: coded log-area ratios to log-area ratios.
fn decode_lar(coded: &[i16; 8]) -> [i16; 8] {
    std::array::from_fn(|i| {
        let shifted = (coded[i] + LAR_MIC[i]) << 10;
        let scaled = mult_r(LAR_INVA[i], shifted.saturating_sub(LAR_B[i] << 1));
        scaled.saturating_add(scaled)
    })
}

/// 5.2.9.1: the log-area ratios move from the previous frame's to this frame's in steps.
fn interpolate(previous: &[i16; 8], current: &[i16; 8]) -> [(std::ops::Range<usize>, [i16; 8]); 4] {
    let mix = |f: fn(i16, i16) -> i16| std::array::from_fn(|i| f(previous[i], current[i]));
    [
        (0..13, mix(|p, c| (p >> 2).saturating_add(c >> 2).saturating_add(p >> 1))),
        (13..27, mix(|p, c| (p >> 1).saturating_add(c >> 1))),
        (27..40, mix(|p, c| (p >> 2).saturating_add(c >> 2).saturating_add(c >> 1))),
        (40..160, *current),
    ]
}

/// 5.2.9.2: log-area ratio to reflection coefficient.
fn reflection_coefficient(lar: i16) -> i16 {
    let magnitude = if lar == i16::MIN { i16::MAX } else { lar.abs() };
    let coefficient = match magnitude {
        ..11_059 => magnitude << 1,
        11_059..20_070 => magnitude + 11_059,
        _ => (magnitude >> 2).saturating_add(26_112),
    };
    if lar < 0 { -coefficient } else { coefficient }
}

/// 5.2.15 and 5.2.16: block maximum and pulse codes to pulses.
fn decode_pulses(maximum: i16, codes: &[i16; PULSES]) -> [i16; PULSES] {
    let mut exponent = if maximum > 15 { (maximum >> 3) - 1 } else { 0 };
    let mut mantissa = maximum - (exponent << 3);
    if mantissa == 0 {
        (exponent, mantissa) = (-4, 7);
    } else {
        while mantissa <= 7 {
            mantissa = (mantissa << 1) | 1;
            exponent -= 1;
        }
        mantissa -= 8;
    }
    let factor = FAC[usize::from(mantissa.unsigned_abs()) & 7];
    let shift = 6 - exponent;
    let rounding = if shift > 0 { 1 << (shift - 1) } else { 0 };
    codes.map(|code| mult_r(factor, ((code << 1) - 7) << 12).saturating_add(rounding) >> shift)
}

/// Fractional product, rounded (5.1).
fn mult_r(a: i16, b: i16) -> i16 {
    let product = (i32::from(a) * i32::from(b) + 16_384) >> 15;
    i16::try_from(product).unwrap_or(i16::MAX)
}

fn read_frame(mut take: impl FnMut(u32) -> i16) -> Frame {
    let lar = LAR_BITS.map(&mut take);
    let subframes = std::array::from_fn(|_| Subframe {
        lag: take(7),
        gain: take(2),
        grid: take(2),
        maximum: take(6),
        pulses: std::array::from_fn(|_| take(3)),
    });
    Frame { lar, subframes }
}

struct MsbFirst<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl MsbFirst<'_> {
    fn take(&mut self, count: u32) -> i16 {
        (0..count).fold(0, |value, _| {
            let bit = self.bytes[self.position / 8] >> (7 - self.position % 8) & 1;
            self.position += 1;
            value << 1 | i16::from(bit)
        })
    }
}

struct LsbFirst<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl LsbFirst<'_> {
    fn take(&mut self, count: u32) -> i16 {
        (0..count).fold(0, |value, place| {
            let bit = self.bytes[self.position / 8] >> (self.position % 8) & 1;
            self.position += 1;
            value | i16::from(bit) << place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_signature_is_refused() {
        let mut decoder = GsmDecoder::new();
        let mut out = Vec::new();
        assert!(!decoder.decode_plain(&[0x0D; PLAIN_FRAME_BYTES], &mut out));
        assert!(out.is_empty());
        assert!(decoder.decode_plain(&[0xD0; PLAIN_FRAME_BYTES], &mut out));
        assert_eq!(out.len(), FRAME_SAMPLES);
    }

    #[test]
    fn any_bits_decode_to_finite_samples() {
        let mut decoder = GsmDecoder::new();
        let mut state = 1_u32;
        for _ in 0..200 {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let mut out = Vec::new();
            let bytes: [u8; WAV_PAIR_BYTES] = std::array::from_fn(|_| next());
            decoder.decode_wav_pair(&bytes, &mut out);
            assert_eq!(out.len(), 2 * FRAME_SAMPLES);
            assert!(out.iter().all(|x| x.abs() <= 1.0));
        }
    }

    #[test]
    fn both_packings_carry_the_same_bits() {
        let plain: [u8; PLAIN_FRAME_BYTES] = std::array::from_fn(|i| if i == 0 { 0xD5 } else { (i * 37) as u8 });
        let mut bits = MsbFirst { bytes: &plain, position: 4 };
        let frame = read_frame(|count| bits.take(count));
        assert_eq!(bits.position, 264);

        let mut packed = [0_u8; WAV_PAIR_BYTES];
        let mut place = 0;
        let mut source = MsbFirst { bytes: &plain, position: 4 };
        let _ = read_frame(|count| {
            let value = source.take(count);
            for bit in 0..count {
                packed[place / 8] |= ((value >> bit & 1) as u8) << (place % 8);
                place += 1;
            }
            value
        });
        let mut bits = LsbFirst { bytes: &packed, position: 0 };
        assert_eq!(read_frame(|count| bits.take(count)), frame);
    }
}
