//! What a container says of itself: software, comments and times, and whether Content Credentials are in it.
//!
//! Flow: the demultiplexer's tags, of which those that tell where a recording comes from are kept, each cut to a bounded
//! length → a walk over boxes, chunks or frames for C2PA manifests, MP4's creation time and WAV's own tags (symphonia
//! 0.6.1 reads the latter and drops them).
//!
//! Limits: everything is read through the guard, so tags beyond `Limits::max_metadata_bytes` are not read. Strings come
//! as they are in the file: whoever shows them escapes them. Signatures of Content Credentials are not verified, and those
//! that are kept elsewhere are not looked for. Files signed by c2pa-rs 0.91.3 (WAV, MP3, FLAC, M4A, MP4, MOV) are recognised;
//! of Ogg, which it cannot sign, this follows the specification alone.

use std::io;

use serde::{Deserialize, Serialize};
use symphonia::core::{
    formats::{FormatOptions, FormatReader, probe::Hint},
    io::{MediaSource, MediaSourceStream},
    meta::{MetadataOptions, MetadataRevision, StandardTag, Tag},
};

use super::{
    Limits, panics, sniff,
    source::{Guard, Handle},
};

/// Tags kept of one file.
const MAX_TAGS: usize = 24;
/// Characters kept of a value, and of a name.
const MAX_VALUE_CHARS: usize = 240;
const MAX_NAME_CHARS: usize = 40;
/// Boxes, chunks, frames or pages looked at.
const MAX_PARTS: usize = 4_096;

/// What a container says of its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// In file order, each name and value once.
    pub entries: Vec<TagEntry>,
    /// Entries that were left out because there are too many.
    pub omitted: usize,
    /// Whether Content Credentials (C2PA) are in the file.
    pub credentials: Credentials,
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagEntry {
    /// What it is, such as `encoder`.
    pub name: String,
    /// As the file has it, cut to a bounded length.
    pub value: String,
    /// Bytes that were cut off.
    pub cut_bytes: usize,
}

/// Whether a C2PA manifest store is in the file. Nothing is said of its signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// A manifest store is there.
    Found,
    /// None is where this container would hold it.
    NotFound,
    /// This container is not one in which it is looked for.
    #[default]
    NotLookedFor,
}

impl Tags {
    /// Reads the tags of `source`. Whatever cannot be read is simply not there.
    pub fn read(source: Box<dyn MediaSource>, limits: &Limits) -> Self {
        panics::contain(|| Self::read_unguarded(&Guard::new(source, limits))).unwrap_or_default()
    }

    fn read_unguarded(guard: &Guard) -> Self {
        let mut tags = Self::default();
        tags.credentials = walk(guard, &mut tags).unwrap_or_default();
        let stream = MediaSourceStream::new(Box::new(Handle::new(guard, Vec::new(), 0)), Default::default());
        let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
        if let Ok(mut reader) = symphonia::default::get_probe().probe(&Hint::new(), stream, format, metadata) {
            tags.take_all(&mut *reader);
        }
        tags
    }

    fn take_all(&mut self, reader: &mut dyn FormatReader) {
        let mut metadata = reader.metadata();
        // The newest revision stays in the log whatever is popped, so it is read in place.
        while let Some(revision) = metadata.pop() {
            self.take(&revision);
        }
        if let Some(revision) = metadata.current() {
            self.take(revision);
        }
    }

    fn take(&mut self, revision: &MetadataRevision) {
        let per_track = revision.per_track.iter().flat_map(|track| &track.metadata.tags);
        for tag in revision.media.tags.iter().chain(per_track) {
            if let Some(name) = name_of(tag) {
                let value = tag.raw.value.to_string();
                self.add(name, &value, value.len());
            }
        }
    }

    /// A chunk of WAV, of which `body` is the beginning.
    fn add_riff(&mut self, name: [u8; 4], body: &[u8], whole_bytes: u32) {
        let known = RIFF_TAGS.iter().find(|(known, _)| **known == name);
        if let Some((_, name)) = known {
            let whole_bytes = whole_bytes as usize;
            let value = &body[..body.len().min(whole_bytes)];
            self.add(name, &String::from_utf8_lossy(value), whole_bytes);
        } else if name == *b"bext" {
            for (name, range) in [("description", 0..256), ("originator", 256..288), ("creation time", 320..338)] {
                let value = String::from_utf8_lossy(body.get(range).unwrap_or_default()).replace('\0', " ");
                self.add(name, &value, value.len());
            }
        }
    }

    /// `value` may be the beginning of one of `whole_bytes`.
    fn add(&mut self, name: &str, value: &str, whole_bytes: usize) {
        let unread_bytes = whole_bytes.saturating_sub(value.len());
        let value = value.trim_matches(['\0', ' ']);
        let kept: String = value.chars().take(MAX_VALUE_CHARS).collect();
        let cut_bytes = unread_bytes + value.len() - kept.len();
        let name = name.chars().take(MAX_NAME_CHARS).collect();
        let entry = TagEntry { name, value: kept, cut_bytes };
        if entry.value.is_empty() || self.entries.contains(&entry) {
            return;
        }
        if self.entries.len() < MAX_TAGS { self.entries.push(entry) } else { self.omitted += 1 }
    }
}

/// What a tag is called where it tells of the file's origin.
fn name_of(tag: &Tag) -> Option<&str> {
    match &tag.std {
        Some(StandardTag::Encoder(_)) => Some("encoder"),
        Some(StandardTag::EncodedBy(_)) => Some("encoded by"),
        Some(StandardTag::EncoderSettings(_)) => Some("encoder settings"),
        Some(StandardTag::EncodingDate(_)) => Some("encoding date"),
        Some(StandardTag::RecordingDate(_)) => Some("recording date"),
        Some(StandardTag::TaggingDate(_)) => Some("tagging date"),
        Some(StandardTag::Comment(_)) => Some("comment"),
        Some(StandardTag::Description(_)) => Some("description"),
        Some(StandardTag::TrackTitle(_)) => Some("title"),
        Some(StandardTag::Artist(_)) => Some("artist"),
        Some(StandardTag::Copyright(_)) => Some("copyright"),
        Some(StandardTag::Url(_)) => Some("address"),
        Some(_) => None,
        None => {
            // Words of tags without a standard meaning: Matroska's applications, iXML, tools' own keys.
            const WORDS: [&str; 8] =
                ["software", "tool", "app", "encod", "generator", "creat", "originator", "provenance"];
            let key = tag.raw.key.to_ascii_lowercase();
            WORDS.iter().any(|word| key.contains(word)).then_some(tag.raw.key.as_str())
        }
    }
}

/// Looks for Content Credentials, and adds tags that the demultiplexer does not give.
fn walk(guard: &Guard, tags: &mut Tags) -> io::Result<Credentials> {
    let mut head = [0; 12];
    let length = guard.read_at(0, &mut head)?;
    let base = sniff::skip_id3v2(guard)?;
    let found = |yes: bool| if yes { Credentials::Found } else { Credentials::NotFound };
    if base > 0 {
        return Ok(found(id3_has_c2pa(guard, base)?));
    }
    match (&head[..4], &head[4..8], &head[8..12]) {
        (b"RIFF" | b"RF64" | b"BW64", _, b"WAVE") => Ok(found(walk_riff(guard, tags)?)),
        (_, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip", _) => Ok(found(walk_mp4(guard, tags)?)),
        (b"OggS", ..) => Ok(found(ogg_has_c2pa(guard)?)),
        (b"fLaC", ..) => Ok(Credentials::NotFound),
        ([0xFF, second, ..], ..) if length == head.len() && second & 0xE0 == 0xE0 => Ok(Credentials::NotFound),
        _ => Ok(Credentials::NotLookedFor),
    }
}

/// Media types of a manifest store: today's, and that of files from before it was registered.
const C2PA_TYPES: [&[u8]; 2] = [b"application/c2pa", b"application/x-c2pa-manifest-store"];

/// C2PA specification 2.3, appendix A (MP3, FLAC): a GEOB frame of such a type.
fn id3_has_c2pa(guard: &Guard, end: u64) -> io::Result<bool> {
    let mut head = [0; 10];
    guard.read_at(0, &mut head)?;
    // ID3v2.4 sizes its frames in seven-bit bytes, ID3v2.3 in whole ones.
    let bits = if head[3] >= 4 { 7 } else { 8 };
    let sized = |bytes: &[u8]| bytes.iter().take(4).fold(0_u64, |sum, byte| sum << bits | u64::from(*byte));
    let mut position = 10;
    if head[5] & 0x40 != 0 {
        // An extended header comes first. Its size counts these four bytes in ID3v2.4 only.
        let mut size = [0; 4];
        guard.read_at(position, &mut size)?;
        position += sized(&size) + if bits == 7 { 0 } else { 4 };
    }
    for _ in 0..MAX_PARTS {
        let mut frame = [0; 74];
        if position >= end || guard.read_at(position, &mut frame)? < 10 || frame[0] == 0 {
            break;
        }
        // Behind the byte that names the encoding of other strings.
        let kind = frame[11..].split(|byte| *byte == 0).next().unwrap_or_default();
        if frame[..4] == *b"GEOB" && C2PA_TYPES.contains(&kind) {
            return Ok(true);
        }
        position += 10 + sized(&frame[4..8]);
    }
    Ok(false)
}

/// C2PA specification 2.3, appendix A (RIFF): a chunk `C2PA`.
/// Tags: the list `INFO` (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0", 1991) and `bext`
/// (EBU Tech 3285, version 2).
fn walk_riff(guard: &Guard, tags: &mut Tags) -> io::Result<bool> {
    let mut has_c2pa = false;
    let mut position = 12_u64;
    for _ in 0..MAX_PARTS {
        let mut head = [0; 8 + BEXT_BYTES];
        let length = guard.read_at(position, &mut head)?;
        let (Some(name), Some(size)) = (head.first_chunk::<4>(), head[4..].first_chunk::<4>()) else { break };
        if length < 8 {
            break;
        }
        let (body, size) = (&head[8..length], u32::from_le_bytes(*size));
        has_c2pa |= name == b"C2PA";
        tags.add_riff(*name, body, size);
        // The chunks of an INFO list lie inside it, and are walked like the others.
        let step = if name == b"LIST" && body.starts_with(b"INFO") { 4 } else { u64::from(size) + u64::from(size % 2) };
        position = position.saturating_add(8 + step);
    }
    Ok(has_c2pa)
}

/// Tags of the list `INFO` that are kept.
const RIFF_TAGS: [(&[u8; 4], &str); 6] = [
    (b"ISFT", "encoder"),
    (b"ICMT", "comment"),
    (b"IENC", "encoded by"),
    (b"ITCH", "encoded by"),
    (b"ICRD", "recording date"),
    (b"INAM", "title"),
];
/// Of a chunk that may be `bext`: up to its time; of a tag: more than is kept.
const BEXT_BYTES: usize = 4 * MAX_VALUE_CHARS;

/// C2PA specification 2.3, A.3.5 (Ogg): a logical stream of its own that begins with 0 and `c2pa`.
fn ogg_has_c2pa(guard: &Guard) -> io::Result<bool> {
    let mut position = 0_u64;
    for _ in 0..MAX_PARTS {
        let mut page = [0; 27 + 255 + 5];
        let length = guard.read_at(position, &mut page)?;
        // All logical streams begin before any goes on (RFC 3533, section 4).
        if length < 28 || page[..4] != *b"OggS" || page[5] & 2 == 0 {
            break;
        }
        let payload = 27 + usize::from(page[26]);
        if page[..length].get(payload..).is_some_and(|bytes| bytes.starts_with(b"\0c2pa")) {
            return Ok(true);
        }
        let payload_bytes: u64 = page[27..payload.min(length)].iter().map(|lacing| u64::from(*lacing)).sum();
        position += payload as u64 + payload_bytes;
    }
    Ok(false)
}

/// C2PA specification 2.3, appendix A (BMFF): a `uuid` box of this type, at the top level.
const C2PA_UUID: [u8; 16] = *b"\xD8\xFE\xC3\xD6\x1B\x0E\x48\x3C\x92\x97\x58\x28\x87\x7E\xC4\x81";
/// Seconds from 1904-01-01, MP4's epoch (ISO/IEC 14496-12, clause 8.2.2.3), to 1970-01-01.
const MP4_EPOCH_SECS: i64 = 2_082_844_800;

fn walk_mp4(guard: &Guard, tags: &mut Tags) -> io::Result<bool> {
    let mut has_c2pa = false;
    let mut position = 0_u64;
    for _ in 0..MAX_PARTS {
        let mut head = [0; 32];
        if guard.read_at(position, &mut head)? < 8 {
            break;
        }
        let at = |from: usize| u32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
        let long = u64::from(at(8)) << 32 | u64::from(at(12));
        let (box_bytes, head_bytes) = match at(0) {
            0 => (u64::MAX, 8),
            1 => (long, 16),
            short => (u64::from(short), 8),
        };
        match &head[4..8] {
            b"uuid" if head[head_bytes..].starts_with(&C2PA_UUID) => has_c2pa = true,
            b"mvhd" => {
                let since_1904 = if head[8] == 1 { u64::from(at(12)) << 32 | u64::from(at(16)) } else { at(12).into() };
                let secs = i64::try_from(since_1904).ok().filter(|secs| *secs > 0).map(|secs| secs - MP4_EPOCH_SECS);
                if let Some(time) = secs.and_then(|secs| jiff::Timestamp::from_second(secs).ok()) {
                    let time = time.to_string();
                    tags.add("creation time", &time, time.len());
                }
            }
            _ => {}
        }
        let step = if head[4..8] == *b"moov" { head_bytes as u64 } else { box_bytes.max(8) };
        position = position.saturating_add(step);
    }
    Ok(has_c2pa)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> Tags {
        Tags::read(Box::new(io::Cursor::new(bytes)), &Limits::default())
    }

    fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = [name, &(body.len() as u32).to_le_bytes(), body].concat();
        bytes.resize(bytes.len() + body.len() % 2, 0);
        bytes
    }

    fn boxed(name: &[u8], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), name, body].concat()
    }

    fn id3(frames: &[u8]) -> Vec<u8> {
        let size = frames.len() as u32;
        let seven = [21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8);
        [b"ID3\x04\0\0".as_slice(), &seven, frames].concat()
    }

    /// The same tag of version 2.`minor`, with an extended header of six more bytes.
    fn with_extended_header(mut tag: Vec<u8>, minor: u8) -> Vec<u8> {
        let own_bytes = if minor == 4 { 10 } else { 6 };
        (tag[3], tag[5]) = (minor, 0x40);
        tag[9] += 10;
        tag.splice(10..10, [0, 0, 0, own_bytes, 0, 0, 0, 0, 0, 0]);
        tag
    }

    #[test]
    fn content_credentials_are_found_where_each_container_holds_them() {
        let wav = |more: &[u8]| chunk(b"RIFF", &[b"WAVE", more].concat());
        let mp4 = |more: &[u8]| [boxed(b"ftyp", b"M4A \0\0\0\0"), more.to_vec()].concat();
        let geob = |kind: &[u8]| id3(&[b"GEOB\0\0\0\x16\0\0\0", kind, b"\0\0\0 "].concat());
        let ogg = |payload: &[u8]| [b"OggS\0\x02", [0; 20].as_slice(), &[1, payload.len() as u8], payload].concat();
        let uuid = |id: &[u8]| boxed(b"uuid", &[id, b"\0\0\0\0manifest"].concat());
        use Credentials::{Found, NotFound, NotLookedFor};
        for (bytes, expected) in [
            (wav(&[chunk(b"data", b"123"), chunk(b"C2PA", b"jumb")].concat()), Found),
            (wav(&chunk(b"data", b"C2PA")), NotFound),
            (mp4(&uuid(&C2PA_UUID)), Found),
            (mp4(&uuid(&[7; 16])), NotFound),
            (geob(b"application/c2pa"), Found),
            (geob(b"application/json"), NotFound),
            (geob(b"text/plain\0c2pa"), NotFound),
            (geob(b"application/c2pa-not"), NotFound),
            // As c2pa-rs 0.91.3 writes it, behind the encoder's own tag.
            (
                id3(b"TSSE\0\0\0\x0e\0\0\x03Lavf59.27.100GEOB\0\0\x18\x1e\0\0\x03application/c2pa\0c2pa\0\
                      c2pa manifest store\0\0\0\x0b\xf3jumb"),
                Found,
            ),
            (with_extended_header(geob(b"application/c2pa"), 4), Found),
            (with_extended_header(geob(b"application/x-c2pa-manifest-store"), 3), Found),
            (ogg(b"\0c2pa\x01\0"), Found),
            (ogg(b"OpusHead"), NotFound),
            (b"caff\0\x01\0\0desc and so on".to_vec(), NotLookedFor),
            (Vec::new(), NotLookedFor),
        ] {
            assert_eq!(read(bytes.clone()).credentials, expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn creation_time_of_mp4_is_read_unless_unset() {
        for (since_1904, expected) in [(0_u32, None), (3_786_825_600, Some("2023-12-31T00:00:00Z"))] {
            let mvhd = boxed(b"mvhd", &[[0; 4], since_1904.to_be_bytes(), [0; 4], [0; 4]].concat());
            let tags = read([boxed(b"ftyp", b"M4A \0\0\0\0"), boxed(b"moov", &mvhd)].concat());
            assert_eq!(tags.entries.first().map(|entry| entry.value.as_str()), expected);
        }
    }

    #[test]
    fn tags_of_wav_are_read_before_and_behind_its_samples() {
        let mut bext = [0; 602];
        bext[256..265].copy_from_slice(b"Voicemill");
        bext[320..338].copy_from_slice(b"2026-01-0210:11:12");
        let info = |chunks: &[u8]| chunk(b"LIST", &[b"INFO", chunks].concat());
        let body = [
            b"WAVE".to_vec(),
            chunk(b"bext", &bext),
            info(&chunk(b"ISFT", b"Lavf59")),
            chunk(b"data", &[0; 33]),
            info(&[chunk(b"ICMT", &[b'x'; 1_001]), chunk(b"ISFT", b"SoX\0")].concat()),
        ];
        let tags = read(chunk(b"RIFF", &body.concat()));
        let found: Vec<(&str, &str)> = tags.entries.iter().map(|e| (e.name.as_str(), e.value.as_str())).collect();
        let long = "x".repeat(MAX_VALUE_CHARS);
        let expected = [
            ("originator", "Voicemill"),
            ("creation time", "2026-01-0210:11:12"),
            ("encoder", "Lavf59"),
            ("comment", &long),
            ("encoder", "SoX"),
        ];
        assert_eq!(found, expected);
        assert_eq!(tags.entries[3].cut_bytes, 1_001 - MAX_VALUE_CHARS);
    }

    #[test]
    fn long_and_many_tags_are_bounded() {
        let mut tags = Tags::default();
        tags.add("comment", &"é".repeat(1_000), 1 << 20);
        assert_eq!(tags.entries[0].value.chars().count(), MAX_VALUE_CHARS);
        assert_eq!(tags.entries[0].cut_bytes, (1 << 20) - 2 * MAX_VALUE_CHARS);
        (0..100).for_each(|index| tags.add("comment", &index.to_string(), 0));
        tags.add("comment", "7", 0);
        assert_eq!((tags.entries.len(), tags.omitted), (MAX_TAGS, 100 + 1 - MAX_TAGS));
    }
}
