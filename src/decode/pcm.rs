//! Samples that are coded one by one: linear PCM, floating point, µ-law and A-law.

/// How one sample is stored. Linear codings are left-justified: 12 bits in two bytes read as 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleCoding {
    U8,
    S8,
    S16le,
    S16be,
    S24le,
    S24be,
    S32le,
    S32be,
    F32le,
    F32be,
    F64le,
    F64be,
    Ulaw,
    Alaw,
}

impl SampleCoding {
    /// Bytes per sample.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::S8 | Self::Ulaw | Self::Alaw => 1,
            Self::S16le | Self::S16be => 2,
            Self::S24le | Self::S24be => 3,
            Self::S32le | Self::S32be | Self::F32le | Self::F32be => 4,
            Self::F64le | Self::F64be => 8,
        }
    }

    /// Name as users of audio tools know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::U8 => "pcm_u8",
            Self::S8 => "pcm_s8",
            Self::S16le => "pcm_s16le",
            Self::S16be => "pcm_s16be",
            Self::S24le => "pcm_s24le",
            Self::S24be => "pcm_s24be",
            Self::S32le => "pcm_s32le",
            Self::S32be => "pcm_s32be",
            Self::F32le => "pcm_f32le",
            Self::F32be => "pcm_f32be",
            Self::F64le => "pcm_f64le",
            Self::F64be => "pcm_f64be",
            Self::Ulaw => "pcm_mulaw",
            Self::Alaw => "pcm_alaw",
        }
    }

    /// Decodes the samples of one channel out of interleaved `bytes`, nominal range ±1; a cut sample at the end is
    /// dropped.
    pub(crate) fn decode_channel(self, bytes: &[u8], channel: usize, channels: usize, out: &mut Vec<f32>) {
        let width = self.bytes();
        let frames = bytes.chunks_exact(width * channels);
        out.extend(frames.map(|frame| self.decode(&frame[channel * width..(channel + 1) * width])));
    }

    fn decode(self, b: &[u8]) -> f32 {
        match self {
            Self::U8 => (f32::from(b[0]) - 128.0) / 128.0,
            Self::S8 => f32::from(b[0].cast_signed()) / 128.0,
            Self::S16le => f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0,
            Self::S16be => f32::from(i16::from_be_bytes([b[0], b[1]])) / 32_768.0,
            Self::S24le => scale_32(i32::from_le_bytes([0, b[0], b[1], b[2]])),
            Self::S24be => scale_32(i32::from_be_bytes([b[0], b[1], b[2], 0])),
            Self::S32le => scale_32(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Self::S32be => scale_32(i32::from_be_bytes([b[0], b[1], b[2], b[3]])),
            Self::F32le => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F32be => f32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            Self::F64le => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Self::F64be => f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Self::Ulaw => f32::from(ulaw_to_linear(b[0])) / 32_768.0,
            Self::Alaw => f32::from(alaw_to_linear(b[0])) / 32_768.0,
        }
    }
}

fn scale_32(sample: i32) -> f32 {
    (f64::from(sample) / 2_147_483_648.0) as f32
}

/// µ-law to 16-bit linear. ITU-T G.711 (11/1988), table 2b: 14-bit values, here times 4.
pub(super) fn ulaw_to_linear(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let magnitude = (((i16::from(bits & 0x0F) << 3) + 0x84) << segment) - 0x84;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// A-law to 16-bit linear. ITU-T G.711 (11/1988), table 1b: 13-bit values, here times 8.
pub(super) fn alaw_to_linear(code: u8) -> i16 {
    let bits = code ^ 0x55;
    let step = i16::from(bits & 0x0F) << 4;
    let magnitude = match (bits >> 4) & 7 {
        0 => step + 8,
        segment => (step + 0x108) << (segment - 1),
    };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companding_ends_and_zero_match_the_standard() {
        // ITU-T G.711 tables: the extreme values are ±8031 (of 14 bits) and ±4032 (of 13 bits).
        assert_eq!([ulaw_to_linear(0x80), ulaw_to_linear(0x00)], [8_031 * 4, -8_031 * 4]);
        assert_eq!([ulaw_to_linear(0xFF), ulaw_to_linear(0x7F)], [0, 0]);
        assert_eq!([alaw_to_linear(0xAA), alaw_to_linear(0x2A)], [4_032 * 8, -4_032 * 8]);
        assert_eq!([alaw_to_linear(0xD5), alaw_to_linear(0x55)], [8, -8]);
    }

    #[test]
    fn linear_codings_agree_on_a_half() {
        let cases: [(SampleCoding, &[u8]); 12] = [
            (SampleCoding::U8, &[192]),
            (SampleCoding::S8, &[64]),
            (SampleCoding::S16le, &[0, 64]),
            (SampleCoding::S16be, &[64, 0]),
            (SampleCoding::S24le, &[0, 0, 64]),
            (SampleCoding::S24be, &[64, 0, 0]),
            (SampleCoding::S32le, &[0, 0, 0, 64]),
            (SampleCoding::S32be, &[64, 0, 0, 0]),
            (SampleCoding::F32le, &0.5_f32.to_le_bytes()),
            (SampleCoding::F32be, &0.5_f32.to_be_bytes()),
            (SampleCoding::F64le, &0.5_f64.to_le_bytes()),
            (SampleCoding::F64be, &0.5_f64.to_be_bytes()),
        ];
        for (coding, bytes) in cases {
            let mut out = Vec::new();
            coding.decode_channel(bytes, 0, 1, &mut out);
            assert_eq!(out, [0.5], "{coding:?}");
            assert_eq!(coding.bytes(), bytes.len(), "{coding:?}");
        }
    }

    #[test]
    fn channels_come_apart_and_a_cut_frame_is_dropped() {
        let mut left = Vec::new();
        let mut right = Vec::new();
        let bytes = [0, 64, 0, 192, 0, 32, 0, 224, 0];
        SampleCoding::S16le.decode_channel(&bytes, 0, 2, &mut left);
        SampleCoding::S16le.decode_channel(&bytes, 1, 2, &mut right);
        assert_eq!((left, right), (vec![0.5, 0.25], vec![-0.5, -0.25]));
    }
}
