//! First bytes of a file: which way to go, and the name of what cannot be decoded.

use std::io;

use super::{names, source::Guard};

/// Bytes looked at; an ASF header's stream list lies within.
pub(super) const HEAD_BYTES: usize = 8_192;

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// RIFF or RF64 with WAVE.
    Wav,
    /// Sun/NeXT `.snd`.
    Au,
    /// FLAC with its own header.
    Flac,
    /// A container that the demultiplexers know by an unmistakable mark.
    Container,
    /// A container or codec that cannot be decoded.
    Undecodable { container: Option<&'static str>, codec: Option<String>, detail: &'static str },
    /// Nothing certain: MP3 and ADTS begin with a weak mark, raw audio with none.
    Unknown,
}

/// Judges the head of a file.
pub(super) fn kind(head: &[u8]) -> Kind {
    let at = |offset: usize, mark: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(mark));
    if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") {
        return Kind::Wav;
    }
    if at(0, b".snd") {
        return Kind::Au;
    }
    if at(0, b"fLaC") {
        return Kind::Flac;
    }
    if at(0, b"OggS") && at(28, b"Speex   ") {
        return undecodable(Some("ogg"), Some("speex"));
    }
    let is_mp4 = [&b"ftyp"[..], b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"].iter().any(|mark| at(4, mark));
    if is_mp4 || at(0, b"OggS") || at(0, b"FORM") || at(0, b"caff") || at(0, b"\x1A\x45\xDF\xA3") {
        return Kind::Container;
    }
    if at(0, ASF_HEADER) {
        let codec = asf_codec(head);
        return Kind::Undecodable { container: Some("asf"), codec, detail: UNSUPPORTED };
    }
    MARKS
        .iter()
        .find(|&&(offset, mark, ..)| at(offset, mark))
        .map(|&(_, _, container, codec)| undecodable(container, codec))
        .or_else(|| ac3(head))
        .or_else(|| (at(0, b"\x47") && at(188, b"\x47") && at(376, b"\x47")).then(|| undecodable(Some("mpegts"), None)))
        .unwrap_or(Kind::Unknown)
}

const UNSUPPORTED: &str = "this format is not supported";

/// Offset, mark, container, codec.
type Mark = (usize, &'static [u8], Option<&'static str>, Option<&'static str>);

const MARKS: [Mark; 26] = [
    (0, b"#!AMR-WB", Some("amr"), Some("amr_wb")),
    (0, b"#!AMR", Some("amr"), Some("amr_nb")),
    (0, b"#!SILK_V3", None, Some("silk")),
    (0, b"#!EVS_MC1.0", None, Some("evs")),
    (0, b"MAC ", None, Some("ape")),
    (0, b"wvpk", None, Some("wavpack")),
    (0, b"TTA1", None, Some("tta")),
    (0, b"MPCK", None, Some("musepack")),
    (0, b"MP+", None, Some("musepack")),
    (0, b"\x7F\xFE\x80\x01", None, Some("dts")),
    (0, b"DSD ", Some("dsf"), Some("dsd")),
    (0, b"FRM8", Some("dsdiff"), Some("dsd")),
    (0, b".ra\xFD", Some("realaudio"), None),
    (0, b".RMF", Some("realmedia"), None),
    (0, b"FLV\x01", Some("flv"), None),
    (8, b"AVI ", Some("avi"), None),
    (0, b"\x00\x00\x01\xBA", Some("mpegps"), None),
    (0, b"riff\x2E\x91\xCF\x11", Some("w64"), None),
    (0, b"MThd", Some("midi"), None),
    (0, b"PK\x03\x04", Some("zip"), None),
    (0, b"\x1F\x8B", Some("gzip"), None),
    (0, b"%PDF-", Some("pdf"), None),
    (0, b"\x89PNG", Some("png"), None),
    (0, b"\xFF\xD8\xFF\xE0", Some("jpeg"), None),
    (0, b"GIF8", Some("gif"), None),
    (0, b"\x7FELF", Some("elf"), None),
];

fn undecodable(container: Option<&'static str>, codec: Option<&str>) -> Kind {
    Kind::Undecodable { container, codec: codec.map(str::to_owned), detail: UNSUPPORTED }
}

/// AC-3 and E-AC-3 share a sync word; the bit stream identification tells them apart (ETSI TS 102 366, clause E.1.3.1.6).
fn ac3(head: &[u8]) -> Option<Kind> {
    let &[0x0B, 0x77, _, _, _, bsid_byte] = head.first_chunk::<6>()? else {
        return None;
    };
    let codec = match bsid_byte >> 3 {
        0..=10 => "ac3",
        11..=16 => "eac3",
        _ => return None,
    };
    Some(undecodable(None, Some(codec)))
}

/// Advanced Systems Format specification (2004), section 10.1: header object and audio media stream type.
const ASF_HEADER: &[u8] = b"\x30\x26\xB2\x75\x8E\x66\xCF\x11";
const ASF_AUDIO: &[u8] = b"\x40\x9E\x69\xF8\x4D\x5B\xCF\x11\xA8\xFD\x00\x80\x5F\x5C\x44\x2B";

fn asf_codec(head: &[u8]) -> Option<String> {
    /// From the stream type to the format tag, section 3.3 of the specification.
    const TO_TAG_BYTES: usize = 54;
    let start = head.windows(ASF_AUDIO.len()).position(|window| window == ASF_AUDIO)?;
    let tag = head.get(start + TO_TAG_BYTES..)?.first_chunk::<2>()?;
    Some(names::wav_tag(u16::from_le_bytes(*tag)))
}

/// Where the ID3v2 tags at the start of the file end. They are skipped unread: a picture in one may be of any size.
pub(super) fn skip_id3v2(guard: &Guard) -> io::Result<u64> {
    const MAX_TAGS: usize = 16;
    let mut position = 0;
    for _ in 0..MAX_TAGS {
        let mut head = [0; 10];
        let got = guard.read_at(position, &mut head)?;
        if got < head.len() || !head.starts_with(b"ID3") || head[6..].iter().any(|&byte| byte >= 0x80) {
            break;
        }
        let body_bytes = head[6..].iter().fold(0, |sum, &byte| sum << 7 | u64::from(byte));
        let footer_bytes = if head[5] & 0x10 == 0 { 0 } else { 10 };
        position += 10 + body_bytes + footer_bytes;
    }
    Ok(position)
}

/// The FLAC header reduced to its stream information, and where the frames begin: pictures, comments and padding are
/// skipped unread. `None` where it is not such a header.
pub(super) fn shorten_flac(guard: &Guard, base: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    const STREAM_INFO_BYTES: usize = 34;
    const MAX_BLOCKS: usize = 10_000;
    let mut prefix = vec![0; 8 + STREAM_INFO_BYTES];
    if guard.read_at(base, &mut prefix)? < prefix.len() || prefix[4] & 0x7F != 0 {
        return Ok(None);
    }
    let mut is_last = prefix[4] & 0x80 != 0;
    prefix[4] |= 0x80;
    let mut position = base + prefix.len() as u64;
    for _ in 0..MAX_BLOCKS {
        if is_last {
            return Ok(Some((prefix, position)));
        }
        let mut head = [0; 4];
        if guard.read_at(position, &mut head)? < head.len() {
            return Ok(None);
        }
        is_last = head[0] & 0x80 != 0;
        position += 4 + u64::from(u32::from_be_bytes([0, head[1], head[2], head[3]]));
    }
    Ok(None)
}

/// The four-character code of the first audio track of an MP4 file, in words, by walking its boxes
/// (ISO/IEC 14496-12, clause 4.2).
pub(super) fn mp4_codec(guard: &Guard) -> Option<String> {
    const MAX_BOXES: usize = 4_096;
    const CONTAINERS: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
    let mut position = 0_u64;
    let mut is_sound = false;
    for _ in 0..MAX_BOXES {
        let mut head = [0; 24];
        if guard.read_at(position, &mut head).ok()? < 8 {
            return None;
        }
        let kind = [head[4], head[5], head[6], head[7]];
        let (box_bytes, head_bytes) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            1 => (u64::from_be_bytes(*head[8..].first_chunk()?), 16),
            short => (u64::from(short), 8),
        };
        match &kind {
            b"trak" => is_sound = false,
            b"hdlr" => is_sound |= head[16..20] == *b"soun",
            b"stsd" if is_sound => {
                let mut entry = [0; 24];
                guard.read_at(position, &mut entry).ok()?;
                return Some(names::mp4_sample_entry([entry[20], entry[21], entry[22], entry[23]]));
            }
            _ => {}
        }
        let step = if CONTAINERS.contains(&&kind) { head_bytes } else { box_bytes.max(8) };
        position = position.checked_add(step)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecodable_formats_are_named() {
        let cases: [(&[u8], Option<&str>, Option<&str>); 7] = [
            (b"#!AMR\n<\x91", Some("amr"), Some("amr_nb")),
            (b"#!AMR-WB\n", Some("amr"), Some("amr_wb")),
            (b"\x0B\x77\x1C\x5A\x14\x40\x43", None, Some("ac3")),
            (b"\x0B\x77\x01\x5F\x34\x86\x00", None, Some("eac3")),
            (b"PK\x03\x04\x14\x00", Some("zip"), None),
            (b"wvpk\x00\x00", None, Some("wavpack")),
            (b"RIFF\x00\x00\x00\x00AVI ", Some("avi"), None),
        ];
        for (head, container, codec) in cases {
            let expected = Kind::Undecodable { container, codec: codec.map(str::to_owned), detail: UNSUPPORTED };
            assert_eq!(kind(head), expected, "{head:?}");
        }
    }

    #[test]
    fn short_heads_are_unknown() {
        for head in [&b""[..], b"R", b"RIFF", b"\x0B\x77", b"\xFF\xFB\x90"] {
            assert_eq!(kind(head), Kind::Unknown, "{head:?}");
        }
    }
}
