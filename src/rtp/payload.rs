//! Payload types: which codec a packet's number stands for, fixed (RFC 3551, table 4) or as an SDP says.

use std::{collections::BTreeMap, ops::RangeInclusive};

/// What a payload is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// ITU-T G.711 µ-law.
    Pcmu,
    /// ITU-T G.711 A-law.
    Pcma,
    /// ITU-T G.722 at 64 kbit/s.
    G722,
    /// GSM 06.10 full rate.
    Gsm,
    /// 16-bit linear, network byte order, interleaved.
    L16 {
        /// Mixed to one.
        channels: u8,
    },
    /// RFC 7587.
    Opus,
    /// RFC 3389.
    ComfortNoise,
    /// RFC 4733.
    TelephoneEvent,
    /// Audio that cannot be decoded.
    Unsupported,
    /// Not audio at all.
    Video,
}

/// Codec, name and clock of one payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// How it is decoded.
    pub codec: Codec,
    /// As RFC 3551 or the SDP has it, in lower case.
    pub name: String,
    /// Ticks of the timestamp per second.
    pub clock_hz: u32,
}

/// Rates of samples that a payload may have, in Hz.
const RATES_HZ: RangeInclusive<u32> = 8_000..=48_000;
/// Longest codec name that is kept.
const MAX_NAME_BYTES: usize = 32;

impl Format {
    /// Reads the part of `a=rtpmap` after the number: `name/clock[/channels]` (RFC 8866, section 6.6).
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no codec: expected NAME/CLOCK[/CHANNELS], such as opus/48000/2");
        let mut parts = text.trim().split('/');
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let clock_hz: u32 = parts.next().and_then(|clock| clock.parse().ok()).ok_or_else(expected)?;
        let channels: u8 = parts.next().map_or(Ok(1), str::parse).map_err(|_| expected())?;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || clock_hz == 0 || parts.next().is_some() {
            return Err(expected());
        }
        Ok(Self { codec: codec_of(&name, clock_hz, channels), name, clock_hz })
    }

    /// Samples per second after decoding.
    pub fn sample_rate_hz(&self) -> u32 {
        match self.codec {
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
            _ => self.clock_hz,
        }
    }
}

fn codec_of(name: &str, clock_hz: u32, channels: u8) -> Codec {
    let is_usual_rate = RATES_HZ.contains(&clock_hz);
    match (name, channels) {
        ("pcmu", 1) if is_usual_rate => Codec::Pcmu,
        ("pcma", 1) if is_usual_rate => Codec::Pcma,
        ("l16", 1 | 2) if is_usual_rate => Codec::L16 { channels },
        ("g722", 1) if clock_hz == 8_000 => Codec::G722,
        ("gsm", 1) if clock_hz == 8_000 => Codec::Gsm,
        ("opus", _) if clock_hz == 48_000 => Codec::Opus,
        ("cn", _) => Codec::ComfortNoise,
        ("telephone-event", _) => Codec::TelephoneEvent,
        ("h264" | "h265" | "vp8" | "vp9" | "av1" | "h263-1998" | "rtx" | "ulpfec" | "flexfec-03", _) => Codec::Video,
        _ => Codec::Unsupported,
    }
}

/// RFC 3551, tables 4 and 5. 101 is no assignment, but what nearly everybody uses for DTMF.
const WELL_KNOWN: [(u8, &str); 23] = [
    (0, "pcmu/8000"),
    (3, "gsm/8000"),
    (4, "g723/8000"),
    (5, "dvi4/8000"),
    (6, "dvi4/16000"),
    (7, "lpc/8000"),
    (8, "pcma/8000"),
    (9, "g722/8000"),
    (10, "l16/44100/2"),
    (11, "l16/44100"),
    (12, "qcelp/8000"),
    (13, "cn/8000"),
    (14, "mpa/90000"),
    (15, "g728/8000"),
    (16, "dvi4/11025"),
    (17, "dvi4/22050"),
    (18, "g729/8000"),
    (19, "cn/8000"),
    (26, "h264/90000"),
    (31, "h264/90000"),
    (32, "h264/90000"),
    (34, "h264/90000"),
    (101, "telephone-event/8000"),
];

/// Payload types of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadMap {
    formats: BTreeMap<u8, Format>,
}

impl Default for PayloadMap {
    fn default() -> Self {
        let format = |text| Format::parse(text).expect("the table holds codecs");
        Self { formats: WELL_KNOWN.iter().map(|&(number, text)| (number, format(text))).collect() }
    }
}

impl PayloadMap {
    /// What `payload_type` stands for, where that is known.
    pub fn get(&self, payload_type: u8) -> Option<&Format> {
        self.formats.get(&payload_type)
    }

    /// Gives `payload_type` a meaning, also one of the fixed ones.
    pub fn set(&mut self, payload_type: u8, format: Format) {
        if payload_type < 128 {
            self.formats.insert(payload_type, format);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_and_dynamic_types_are_told_apart() {
        let mut map = PayloadMap::default();
        assert_eq!(
            map.get(9).map(|g722| (g722.codec, g722.clock_hz, g722.sample_rate_hz())),
            Some((Codec::G722, 8_000, 16_000))
        );
        assert_eq!(map.get(111), None);
        map.set(111, Format::parse("OPUS/48000/2").unwrap());
        map.set(200, Format::parse("pcmu/8000").unwrap());
        assert_eq!(map.get(111).map(|opus| opus.codec), Some(Codec::Opus));
        assert_eq!(map.get(200), None);
        assert_eq!(map.get(18).map(|g729| (g729.codec, g729.name.as_str())), Some((Codec::Unsupported, "g729")));
    }

    #[test]
    fn rtpmaps_parse() {
        let cases = [
            ("PCMU/8000", Some(Codec::Pcmu)),
            ("L16/16000/2", Some(Codec::L16 { channels: 2 })),
            ("L16/96000", Some(Codec::Unsupported)),
            ("AMR-WB/16000/1", Some(Codec::Unsupported)),
            ("telephone-event/8000", Some(Codec::TelephoneEvent)),
            ("opus", None),
            ("opus/0", None),
            ("/8000", None),
            ("opus/48000/2/1", None),
            ("opus/48000/x", None),
        ];
        for (text, codec) in cases {
            assert_eq!(Format::parse(text).ok().map(|format| format.codec), codec, "{text}");
        }
    }
}
