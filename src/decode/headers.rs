//! WAV (RIFF, RF64) and AU headers: where the samples lie and how they are coded.
//!
//! Recorders that crash or stream leave lengths of 0, 0xFFFFFFFF or more than there is; all of them are read as "until
//! the end of the file".

use std::io;

use super::{
    names,
    pcm::SampleCoding,
    raw::{Coding, RawLayout},
    source::Guard,
};

/// Most chunks looked at before the samples; more than any writer makes, so that a chain of empty ones ends.
const MAX_CHUNKS: usize = 10_000;

/// A length that the writer did not know.
const UNKNOWN_BYTES: u64 = u32::MAX as u64;

/// What a header leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Samples or frames to read directly.
    Layout(RawLayout),
    /// A stream with headers of its own (MP3 in WAV), from this byte on.
    Stream(u64),
    /// A codec that the packet decoders know within this container.
    Packets,
    /// A codec that cannot be decoded, or a header that makes no sense.
    Undecodable { codec: Option<String>, detail: String },
}

impl Lead {
    fn broken(detail: &str) -> Self {
        Self::Undecodable { codec: None, detail: detail.to_owned() }
    }
}

/// The fields of a WAV `fmt ` chunk that matter.
struct WavFormat {
    tag: u16,
    channels: u16,
    sample_rate_hz: u32,
    block_bytes: u16,
    bits: u16,
}

/// Reads the chunks of the WAV file that starts at `base`.
pub(super) fn read_wav(guard: &Guard, base: u64) -> io::Result<Lead> {
    let mut position = base + 12;
    let mut format = None;
    let mut long_data_bytes = None;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 8];
        if guard.read_at(position, &mut head)? < head.len() {
            return Ok(Lead::broken("the file ends before its data chunk"));
        }
        let chunk_bytes = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        let body = position + head.len() as u64;
        match &head[..4] {
            b"fmt " => {
                let mut fields = [0; 40];
                let wanted = fields.len().min(usize::try_from(chunk_bytes).unwrap_or(usize::MAX));
                let got = guard.read_at(body, &mut fields[..wanted])?;
                if got < 16 {
                    return Ok(Lead::broken("the fmt chunk is too short"));
                }
                format = Some(parse_format(&fields));
            }
            // RF64: the 32-bit length is all ones and the true one stands here (EBU Tech 3306, section 3.4).
            b"ds64" => {
                let mut fields = [0; 16];
                if guard.read_at(body, &mut fields)? == fields.len() {
                    long_data_bytes = fields[8..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                }
            }
            b"data" => {
                let data_bytes = if chunk_bytes == UNKNOWN_BYTES { long_data_bytes } else { Some(chunk_bytes) };
                return Ok(match format {
                    Some(format) => lead_of_wav(&format, body, data_bytes.filter(|&bytes| bytes != 0)),
                    None => Lead::broken("no fmt chunk before the data chunk"),
                });
            }
            _ => {}
        }
        position = body + chunk_bytes + chunk_bytes % 2;
    }
    Ok(Lead::broken("too many chunks before the data chunk"))
}

fn parse_format(fields: &[u8; 40]) -> WavFormat {
    let u16_at = |i: usize| u16::from_le_bytes([fields[i], fields[i + 1]]);
    const EXTENSIBLE: u16 = 0xFFFE;
    let tag = match u16_at(0) {
        // The first two bytes of the subformat are the tag proper.
        EXTENSIBLE => u16_at(24),
        tag => tag,
    };
    WavFormat {
        tag,
        channels: u16_at(2),
        sample_rate_hz: u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]),
        block_bytes: u16_at(12),
        bits: u16_at(14),
    }
}

fn lead_of_wav(format: &WavFormat, start: u64, claimed_bytes: Option<u64>) -> Lead {
    let layout = |coding, channels| {
        let sample_rate_hz = format.sample_rate_hz;
        Lead::Layout(RawLayout { coding, sample_rate_hz, channels, start, claimed_bytes })
    };
    let undecodable = |detail: String| Lead::Undecodable { codec: Some(names::wav_tag(format.tag)), detail };
    match format.tag {
        0x0001 | 0x0003 => match linear_coding(format) {
            Some(coding) => layout(Coding::Samples(coding), format.channels),
            None => undecodable(format!(
                "{} bits in blocks of {} bytes for {} channels make no sense",
                format.bits, format.block_bytes, format.channels
            )),
        },
        0x0006 => layout(Coding::Samples(SampleCoding::Alaw), format.channels),
        0x0007 => layout(Coding::Samples(SampleCoding::Ulaw), format.channels),
        0x0031 | 0x0065 | 0x028F if format.channels != 1 => undecodable("more than one channel".to_owned()),
        0x0031 => layout(Coding::GsmWav, 1),
        0x0065 | 0x028F => layout(Coding::G722, 1),
        0x0002 | 0x0011 => Lead::Packets,
        0x0050 | 0x0055 | 0x00FF | 0x1600 => Lead::Stream(start),
        _ => undecodable("this codec is not supported in WAV".to_owned()),
    }
}

fn linear_coding(format: &WavFormat) -> Option<SampleCoding> {
    let bytes = match format.block_bytes.checked_div(format.channels) {
        Some(bytes) if bytes > 0 => bytes,
        _ => format.bits.div_ceil(8),
    };
    match (format.tag, bytes) {
        (0x0003, 4) => Some(SampleCoding::F32le),
        (0x0003, 8) => Some(SampleCoding::F64le),
        (0x0001, 1) => Some(SampleCoding::U8),
        (0x0001, 2) => Some(SampleCoding::S16le),
        (0x0001, 3) => Some(SampleCoding::S24le),
        (0x0001, 4) => Some(SampleCoding::S32le),
        _ => None,
    }
}

/// Reads the header of the AU (Sun/NeXT `.snd`) file that starts at `base`.
pub(super) fn read_au(guard: &Guard, base: u64) -> io::Result<Lead> {
    let mut head = [0; 24];
    if guard.read_at(base, &mut head)? < head.len() {
        return Ok(Lead::broken("the file ends within its header"));
    }
    let field = |i: usize| u32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    let [offset, bytes, encoding, sample_rate_hz, channels] = [4, 8, 12, 16, 20].map(field);
    let coding = match encoding {
        1 => SampleCoding::Ulaw,
        2 => SampleCoding::S8,
        3 => SampleCoding::S16be,
        4 => SampleCoding::S24be,
        5 => SampleCoding::S32be,
        6 => SampleCoding::F32be,
        7 => SampleCoding::F64be,
        27 => SampleCoding::Alaw,
        _ => {
            let detail = "this encoding is not supported in AU".to_owned();
            return Ok(Lead::Undecodable { codec: Some(format!("au_{encoding}")), detail });
        }
    };
    Ok(Lead::Layout(RawLayout {
        coding: Coding::Samples(coding),
        sample_rate_hz,
        channels: u16::try_from(channels).unwrap_or(u16::MAX),
        start: base + u64::from(offset.max(24)),
        claimed_bytes: Some(u64::from(bytes)).filter(|&bytes| bytes != 0 && bytes != UNKNOWN_BYTES),
    }))
}
