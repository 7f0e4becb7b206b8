//! Streams without packets: samples or fixed-size frames from one byte position to another.
//!
//! WAV and AU headers end here as well as headerless telephone audio, so a length field that lies costs nothing: data
//! ends where the file ends.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::{
    DecodeError, PlanarBlock, StreamInfo,
    g722::G722Decoder,
    gsm::{self, GsmDecoder},
    pcm::SampleCoding,
    source::Guard,
};
use crate::audio::SOURCE_RATES_HZ;

/// Samples per channel that one block holds at most.
const BLOCK_SAMPLES: usize = 8_192;

/// Interleaved channels that a [`RawSpec`] may name.
const SPEC_CHANNELS: RangeInclusive<u16> = 1..=8;

/// Codecs of headerless files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawCodec {
    /// ITU-T G.711 µ-law.
    Ulaw,
    /// ITU-T G.711 A-law.
    Alaw,
    /// 16-bit linear, little-endian.
    S16le,
    /// ITU-T G.722 at 64 kbit/s, mono.
    G722,
    /// GSM 06.10 full rate in frames of 33 bytes, mono.
    Gsm,
}

impl RawCodec {
    /// Name in [`RawSpec`]'s notation.
    const NAMES: [(&'static str, Self); 5] =
        [("ulaw", Self::Ulaw), ("alaw", Self::Alaw), ("s16le", Self::S16le), ("g722", Self::G722), ("gsm", Self::Gsm)];

    fn default_rate_hz(self) -> u32 {
        if self == Self::G722 { 16_000 } else { 8_000 }
    }

    fn is_mono(self) -> bool {
        matches!(self, Self::G722 | Self::Gsm)
    }
}

/// What a file without a header holds, written `ulaw|alaw|s16le|g722|gsm[:rate[:channels]]`; without a rate 8,000 Hz
/// (G.722: 16,000 Hz), without channels one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSpec {
    /// Codec.
    pub codec: RawCodec,
    /// Sample rate in Hz.
    pub sample_rate_hz: u32,
    /// Interleaved channels; one for G.722 and GSM.
    pub channels: u16,
}

impl RawSpec {
    /// One channel of `codec` at its usual rate.
    pub fn new(codec: RawCodec) -> Self {
        Self { codec, sample_rate_hz: codec.default_rate_hz(), channels: 1 }
    }

    /// The codec that a file name extension (without dot, any case) stands for, where the file has no header.
    pub fn from_extension(extension: &str) -> Option<Self> {
        let codec = match extension.to_ascii_lowercase().as_str() {
            "ul" | "ulaw" | "mulaw" | "pcmu" => RawCodec::Ulaw,
            "al" | "alaw" | "pcma" => RawCodec::Alaw,
            "g722" => RawCodec::G722,
            "gsm" => RawCodec::Gsm,
            _ => return None,
        };
        Some(Self::new(codec))
    }

    fn check(&self) -> Result<(), String> {
        let Self { codec, sample_rate_hz, channels } = *self;
        let (lowest, highest) = SOURCE_RATES_HZ.into_inner();
        if !SOURCE_RATES_HZ.contains(&sample_rate_hz) {
            return Err(format!("rate: {sample_rate_hz} – must be {lowest}-{highest} Hz"));
        }
        if codec.is_mono() && channels != 1 {
            return Err(format!("channels: {channels} – must be 1 for g722 and gsm"));
        }
        if !SPEC_CHANNELS.contains(&channels) {
            return Err(format!("channels: {channels} – must be {}-{}", SPEC_CHANNELS.start(), SPEC_CHANNELS.end()));
        }
        Ok(())
    }
}

impl fmt::Display for RawSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = RawCodec::NAMES.iter().find(|(_, codec)| *codec == self.codec).map_or("", |(name, _)| name);
        write!(f, "{name}:{}:{}", self.sample_rate_hz, self.channels)
    }
}

impl FromStr for RawSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected ulaw|alaw|s16le|g722|gsm[:rate[:channels]], such as ulaw:8000:2";
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let codec = RawCodec::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, codec)| codec);
        let mut spec = Self::new(codec.ok_or_else(|| format!("{name:?} is no raw codec: {expected}"))?);
        if let Some(rate) = parts.next() {
            spec.sample_rate_hz = rate.parse().map_err(|_| format!("{rate:?} is no sample rate in Hz: {expected}"))?;
        }
        if let Some(channels) = parts.next() {
            spec.channels = channels.parse().map_err(|_| format!("{channels:?} is no channel count: {expected}"))?;
        }
        if parts.next().is_some() {
            return Err(format!("{text:?} has too many parts: {expected}"));
        }
        spec.check()?;
        Ok(spec)
    }
}

/// Everything that can be cut into units of a fixed number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Samples(SampleCoding),
    G722,
    /// Frames of 33 bytes.
    Gsm,
    /// Blocks of 65 bytes, two frames each.
    GsmWav,
}

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Samples(coding) => coding.name(),
            Self::G722 => "g722",
            Self::Gsm | Self::GsmWav => "gsm",
        }
    }

    /// Bytes and samples per channel of one unit.
    fn unit(self, channels: u16) -> (usize, usize) {
        match self {
            Self::Samples(coding) => (coding.bytes() * usize::from(channels), 1),
            Self::G722 => (1, 2),
            Self::Gsm => (gsm::PLAIN_FRAME_BYTES, gsm::FRAME_SAMPLES),
            Self::GsmWav => (gsm::WAV_PAIR_BYTES, 2 * gsm::FRAME_SAMPLES),
        }
    }
}

impl From<RawCodec> for Coding {
    fn from(codec: RawCodec) -> Self {
        match codec {
            RawCodec::Ulaw => Self::Samples(SampleCoding::Ulaw),
            RawCodec::Alaw => Self::Samples(SampleCoding::Alaw),
            RawCodec::S16le => Self::Samples(SampleCoding::S16le),
            RawCodec::G722 => Self::G722,
            RawCodec::Gsm => Self::Gsm,
        }
    }
}

/// Where the data of a stream lies and how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawLayout {
    pub(super) coding: Coding,
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u16,
    /// First byte of the data.
    pub(super) start: u64,
    /// Bytes of data as the header claims them; `None` is "until the end".
    pub(super) claimed_bytes: Option<u64>,
}

impl RawLayout {
    pub(super) fn info(&self, container: &str, duration_secs: Option<f64>) -> StreamInfo {
        StreamInfo {
            container: container.to_owned(),
            codec: self.coding.name().to_owned(),
            sample_rate_hz: self.sample_rate_hz,
            channels: self.channels,
            duration_secs,
        }
    }
}

enum State {
    Stateless(SampleCoding),
    G722(Box<G722Decoder>),
    Gsm(Box<GsmDecoder>),
    GsmWav(Box<GsmDecoder>),
}

/// Reads a [`RawLayout`] block by block.
pub(super) struct RawStream {
    guard: Guard,
    container: &'static str,
    layout: RawLayout,
    state: State,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    unit_bytes: usize,
    damaged_units: u64,
}

impl RawStream {
    pub(super) fn new(guard: Guard, container: &'static str, layout: RawLayout) -> Self {
        let (unit_bytes, unit_samples) = layout.coding.unit(layout.channels);
        let state = match layout.coding {
            Coding::Samples(coding) => State::Stateless(coding),
            Coding::G722 => State::G722(Box::new(G722Decoder::new())),
            Coding::Gsm => State::Gsm(Box::new(GsmDecoder::new())),
            Coding::GsmWav => State::GsmWav(Box::new(GsmDecoder::new())),
        };
        let end = layout.claimed_bytes.map_or(u64::MAX, |bytes| layout.start.saturating_add(bytes));
        let buffer = vec![0; unit_bytes * (BLOCK_SAMPLES / unit_samples).max(1)];
        guard.audio_begins();
        Self { guard, container, layout, state, position: layout.start, end, buffer, unit_bytes, damaged_units: 0 }
    }

    pub(super) fn info(&self) -> StreamInfo {
        self.layout.info(self.container, self.duration_secs())
    }

    /// Length by the bytes that are there, where the source knows its length.
    fn duration_secs(&self) -> Option<f64> {
        let (unit_bytes, unit_samples) = self.layout.coding.unit(self.layout.channels);
        let bytes = self.guard.bytes()?.min(self.end).saturating_sub(self.layout.start);
        let samples = bytes / unit_bytes as u64 * unit_samples as u64;
        Some(samples as f64 / f64::from(self.layout.sample_rate_hz))
    }

    pub(super) fn damaged_units(&self) -> u64 {
        self.damaged_units
    }

    /// Fills `block`; false at the end.
    pub(super) fn next(&mut self, block: &mut PlanarBlock) -> Result<bool, DecodeError> {
        loop {
            let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let wanted = self.buffer.len().min(left);
            self.guard.packet_begins();
            let got = match self.guard.read_at(self.position, &mut self.buffer[..wanted]) {
                Ok(got) => got,
                Err(error) => return Err(self.guard.trouble().unwrap_or(DecodeError::Io(error))),
            };
            let whole = got - got % self.unit_bytes;
            if whole == 0 {
                return Ok(false);
            }
            self.position += whole as u64;
            self.decode(whole, block);
            if block.samples() > 0 {
                return Ok(true);
            }
        }
    }

    fn decode(&mut self, bytes: usize, block: &mut PlanarBlock) {
        let data = &self.buffer[..bytes];
        let planes = block.reset(usize::from(self.layout.channels));
        match &mut self.state {
            State::Stateless(coding) => {
                let channels = planes.len();
                for (channel, plane) in planes.iter_mut().enumerate() {
                    coding.decode_channel(data, channel, channels, plane);
                }
            }
            State::G722(decoder) => decoder.decode(data, &mut planes[0]),
            State::Gsm(decoder) => {
                for frame in data.as_chunks().0 {
                    self.damaged_units += u64::from(!decoder.decode_plain(frame, &mut planes[0]));
                }
            }
            State::GsmWav(decoder) => {
                data.as_chunks().0.iter().for_each(|pair| decoder.decode_wav_pair(pair, &mut planes[0]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_parse() {
        let spec = |codec, sample_rate_hz, channels| RawSpec { codec, sample_rate_hz, channels };
        let cases = [
            ("ulaw", Some(spec(RawCodec::Ulaw, 8_000, 1))),
            ("alaw:16000", Some(spec(RawCodec::Alaw, 16_000, 1))),
            ("s16le:44100:2", Some(spec(RawCodec::S16le, 44_100, 2))),
            ("g722", Some(spec(RawCodec::G722, 16_000, 1))),
            ("gsm:8000:1", Some(spec(RawCodec::Gsm, 8_000, 1))),
            ("", None),
            ("mp3", None),
            ("ulaw:", None),
            ("ulaw:fast", None),
            ("ulaw:8000:0", None),
            ("gsm:8000:2", None),
            ("ulaw:0", None),
            ("ulaw:3999", None),
            ("ulaw:192001", None),
            ("ulaw:8000:9", None),
            ("s16le:192000:8", Some(spec(RawCodec::S16le, 192_000, 8))),
            ("ulaw:8000:1:1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<RawSpec>().ok(), expected, "{text:?}");
        }
        let message = |text: &str| text.parse::<RawSpec>().unwrap_err();
        assert_eq!(message("ulaw:8000:0"), "channels: 0 – must be 1-8");
        assert_eq!(message("gsm:8000:0"), "channels: 0 – must be 1 for g722 and gsm");
        assert_eq!(message("ulaw:0"), "rate: 0 – must be 4000-192000 Hz");
    }

    #[test]
    fn extensions_are_recognised_in_any_case() {
        for (extension, codec) in [("UL", RawCodec::Ulaw), ("alaw", RawCodec::Alaw), ("g722", RawCodec::G722)] {
            assert_eq!(RawSpec::from_extension(extension).unwrap().codec, codec);
        }
        assert_eq!(RawSpec::from_extension("wav"), None);
    }
}
