//! Payloads of vendors' streams to samples, by the names that vendors give codecs.

use crate::{
    decode::parts::SampleCoding,
    rtp::{Depayloader, Format},
};

/// Samples before the order of a stream's bytes is decided.
const MIN_SAMPLES: usize = 40;

/// Decoder of one party.
pub(super) struct Decoder {
    kind: Kind,
    sample_rate_hz: u32,
    /// Bytes of a sample that the last payload cut.
    rest: Vec<u8>,
}

enum Kind {
    Rtp(Depayloader),
    Linear(SampleCoding),
    /// 16 bits whose order is not known yet.
    Either,
}

impl Decoder {
    /// For a media type of RTP: `PCMU`, `PCMA`, `G722`, `OPUS`, `L16`.
    ///
    /// # Errors
    /// What is wrong, for the other side.
    pub(super) fn of_rtp(name: &str, sample_rate_hz: u32) -> Result<Self, String> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("audio/").unwrap_or(&name);
        let (name, clock_hz) = match name {
            "x-mulaw" | "mulaw" | "pcmu" => ("pcmu", sample_rate_hz),
            "x-alaw" | "alaw" | "pcma" => ("pcma", sample_rate_hz),
            // Its clock is half its rate (RFC 3551, section 4.5.2).
            "g722" => ("g722", 8_000),
            "opus" => ("opus", 48_000),
            "l16" => return Ok(Self::new(Kind::Either, sample_rate_hz)),
            _ => return Err(format!("codec: {name:?} at {sample_rate_hz} Hz cannot be decoded here")),
        };
        let format = Format::parse(&format!("{name}/{clock_hz}"));
        let depayloader = format.as_ref().ok().and_then(Depayloader::new);
        match (format, depayloader) {
            (Ok(format), Some(depayloader)) => Ok(Self::new(Kind::Rtp(depayloader), format.sample_rate_hz())),
            _ => Err(format!("codec: {name:?} at {sample_rate_hz} Hz cannot be decoded here")),
        }
    }

    /// For one of Asterisk's formats: `ulaw`, `alaw`, `g722`, `opus`, `gsm`, `slin`, `slin16`, ….
    ///
    /// # Errors
    /// What is wrong, for the other side.
    pub(super) fn of_asterisk(name: &str) -> Result<Self, String> {
        let linear = |sample_rate_hz| Ok(Self::new(Kind::Linear(SampleCoding::S16le), sample_rate_hz));
        match name {
            "slin" => linear(8_000),
            "slin44" => linear(44_100),
            _ => match name.strip_prefix("slin").map(str::parse::<u32>) {
                Some(Ok(kilohertz @ (12 | 16 | 24 | 32 | 48 | 96 | 192))) => linear(kilohertz * 1_000),
                Some(_) => Err(format!("format: {name:?} is not known here")),
                None => match name {
                    "ulaw" => Self::of_rtp("pcmu", 8_000),
                    "alaw" => Self::of_rtp("pcma", 8_000),
                    "g722" | "opus" => Self::of_rtp(name, 8_000),
                    _ => Err(format!("format: {name:?} – must be slin…, ulaw, alaw, g722 or opus")),
                },
            },
        }
    }

    fn new(kind: Kind, sample_rate_hz: u32) -> Self {
        Self { kind, sample_rate_hz, rest: Vec::new() }
    }

    /// Of what comes out.
    pub(super) fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Appends the samples of `payload` to `samples`.
    pub(super) fn decode(&mut self, payload: &[u8], samples: &mut Vec<f32>) {
        if matches!(self.kind, Kind::Either)
            && let Some(coding) = order_of(payload)
        {
            self.kind = Kind::Linear(coding);
        }
        let coding = match &mut self.kind {
            Kind::Rtp(depayloader) => {
                // What is damaged is left out.
                depayloader.decode(payload, samples);
                return;
            }
            Kind::Linear(coding) => *coding,
            Kind::Either => SampleCoding::S16le,
        };
        self.rest.extend_from_slice(payload);
        let whole = self.rest.len() - self.rest.len() % coding.bytes();
        coding.decode_channel(&self.rest[..whole], 0, 1, samples);
        self.rest.drain(..whole);
    }
}

/// Big-endian as RTP has it, or little-endian as some send it: sound is smooth in its own order and noise in the other.
/// `None` where the payload does not tell.
fn order_of(payload: &[u8]) -> Option<SampleCoding> {
    let roughness = |read: fn([u8; 2]) -> i16| {
        let samples: Vec<i64> = payload.as_chunks::<2>().0.iter().map(|pair| i64::from(read(*pair))).collect();
        (samples.len() >= MIN_SAMPLES).then(|| samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<i64>())
    };
    let (little, big) = (roughness(i16::from_le_bytes)?, roughness(i16::from_be_bytes)?);
    if little.saturating_mul(2) < big {
        Some(SampleCoding::S16le)
    } else if big.saturating_mul(2) < little {
        Some(SampleCoding::S16be)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_vendors() {
        let rate = |decoder: Result<Decoder, String>| decoder.map(|decoder| decoder.sample_rate_hz());
        for (name, told_hz, expected) in [
            ("audio/x-mulaw", 8_000, Some(8_000)),
            ("PCMA", 8_000, Some(8_000)),
            ("G722", 8_000, Some(16_000)),
            ("G722", 16_000, Some(16_000)),
            ("OPUS", 16_000, Some(48_000)),
            ("L16", 16_000, Some(16_000)),
            ("AMR-WB", 16_000, None),
            ("PCMU", 0, None),
            ("", 8_000, None),
        ] {
            assert_eq!(rate(Decoder::of_rtp(name, told_hz)).ok(), expected, "{name}");
        }
        for (name, expected) in [
            ("slin", Some(8_000)),
            ("slin16", Some(16_000)),
            ("slin44", Some(44_100)),
            ("slin192", Some(192_000)),
            ("ulaw", Some(8_000)),
            ("g722", Some(16_000)),
            ("slin17", None),
            ("slin4294967295", None),
            ("PCMU", None),
            ("", None),
        ] {
            assert_eq!(rate(Decoder::of_asterisk(name)).ok(), expected, "{name}");
        }
    }

    #[test]
    fn samples_are_the_same_in_either_order_and_however_they_are_cut() {
        let wave: Vec<i16> = (0..400).map(|n| (f64::from(n) / 7.0).sin().mul_add(9_000.0, 50.0) as i16).collect();
        let expected: Vec<f32> = wave.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        for (bytes, size) in [
            (wave.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>(), 800),
            (wave.iter().flat_map(|sample| sample.to_be_bytes()).collect(), 160),
            (wave.iter().flat_map(|sample| sample.to_le_bytes()).collect(), 161),
        ] {
            let (mut decoder, mut samples) = (Decoder::of_rtp("L16", 8_000).unwrap(), Vec::new());
            bytes.chunks(size).for_each(|part| decoder.decode(part, &mut samples));
            assert_eq!(samples, expected, "{size}");
        }
        let (mut decoder, mut samples) = (Decoder::of_rtp("L16", 8_000).unwrap(), Vec::new());
        decoder.decode(&[0; 320], &mut samples);
        decoder.decode(&[], &mut samples);
        assert_eq!(samples, [0.0; 160]);
    }
}
