//! Sources that are huge, fail, panic or cannot seek, and the limits that meet them.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clonewatch::decode::{DecodeError, Decoder, Limits, OpenOptions};
use symphonia::core::io::MediaSource;

use super::{decode, open, outcome, specimens, wav};
use crate::decode::{drain, ffmpeg, ffmpeg_is_there, speech_like, write_wav};

/// A source whose bytes are computed: nothing of its size is ever in memory.
struct Synthetic {
    bytes_at: Box<dyn Fn(u64) -> io::Result<u8> + Send + Sync>,
    length: u64,
    position: u64,
    is_seekable: bool,
    read_bytes: Arc<AtomicU64>,
}

impl Synthetic {
    fn new(
        length: u64,
        is_seekable: bool,
        bytes_at: impl Fn(u64) -> io::Result<u8> + Send + Sync + 'static,
    ) -> (Box<Self>, Arc<AtomicU64>) {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read_bytes);
        (Box::new(Self { bytes_at: Box::new(bytes_at), length, position: 0, is_seekable, read_bytes }), counter)
    }
}

impl Read for Synthetic {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.position.min(self.length)).unwrap();
        let count = buffer.len().min(left);
        for slot in &mut buffer[..count] {
            *slot = (self.bytes_at)(self.position)?;
            self.position += 1;
        }
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Synthetic {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        assert!(self.is_seekable);
        match to {
            SeekFrom::Start(position) => self.position = position,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(self.position)
    }
}

impl MediaSource for Synthetic {
    fn is_seekable(&self) -> bool {
        self.is_seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.is_seekable.then_some(self.length)
    }
}

/// An ID3v2 tag with a picture of 200 MiB in front of a WAV file.
fn picture_then_wav(is_seekable: bool) -> (Box<Synthetic>, Arc<AtomicU64>) {
    const PICTURE_BYTES: u64 = 200 << 20;
    let size = PICTURE_BYTES as u32;
    let mut head = b"ID3\x03\0\0".to_vec();
    head.extend([21, 14, 7, 0].map(|shift| (size >> shift & 0x7F) as u8));
    head.extend(b"APIC");
    let clip = wav(1, 1, 8_000, 16, 32_000, 32_000);
    let length = 10 + PICTURE_BYTES + clip.len() as u64;
    Synthetic::new(length, is_seekable, move |position| {
        let in_clip = position.checked_sub(10 + PICTURE_BYTES);
        Ok(in_clip.map_or_else(|| head.get(position as usize).copied().unwrap_or(0xFF), |p| clip[p as usize]))
    })
}

#[test]
fn a_huge_picture_is_skipped_unread() {
    let (source, read_bytes) = picture_then_wav(true);
    let mut decoder = Decoder::open(source, &OpenOptions::default(), &Limits::default()).unwrap();
    assert_eq!(drain(&mut decoder).planes[0].len(), 16_000);
    assert!(read_bytes.load(Ordering::Relaxed) < 100_000);
}

#[test]
fn a_huge_picture_in_a_pipe_hits_the_limit() {
    let (source, read_bytes) = picture_then_wav(false);
    let error = Decoder::open(source, &OpenOptions::default(), &Limits::default()).err().unwrap();
    assert!(matches!(error, DecodeError::Limit { which: "max_metadata_bytes", .. }), "{error}");
    assert!(read_bytes.load(Ordering::Relaxed) < 20 << 20);
}

#[test]
fn huge_pictures_in_flac_are_skipped_unread() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 16_000, 1, &speech_like(16_000, 1.0, 1));
    let path = dir.path().join("a.flac");
    ffmpeg(&["-i", source.to_str().unwrap(), "-ac", "1", path.to_str().unwrap()]);
    let clip = fs::read(&path).unwrap();
    // Ten blocks of the largest size go between the stream information (42 bytes in) and the other blocks.
    const PICTURE_BYTES: u64 = 0xFF_FFFF;
    const ADDED_BYTES: u64 = 10 * (4 + PICTURE_BYTES);
    let length = clip.len() as u64 + ADDED_BYTES;
    let (source, read_bytes) = Synthetic::new(length, true, move |position| {
        let Some(added) = position.checked_sub(42) else { return Ok(clip[position as usize]) };
        Ok(match added.checked_sub(ADDED_BYTES) {
            Some(rest) => clip[42 + rest as usize],
            None => [6, 0xFF, 0xFF, 0xFF].get((added % (4 + PICTURE_BYTES)) as usize).copied().unwrap_or(0xAA),
        })
    });
    let mut decoder = Decoder::open(source, &OpenOptions::default(), &Limits::default()).unwrap();
    assert_eq!(drain(&mut decoder).planes[0].len(), 16_000);
    assert!(read_bytes.load(Ordering::Relaxed) < 200_000);
}

#[test]
fn pipes_decode_without_seeking() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, bytes) in specimens(dir.path(), 1.0) {
        if file == "a.caf" {
            continue;
        }
        let whole = decode(bytes.clone()).unwrap().planes;
        let (source, _) = Synthetic::new(bytes.len() as u64, false, move |position| Ok(bytes[position as usize]));
        let mut decoder = Decoder::open(source, &OpenOptions::default(), &Limits::default())
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let piped = drain(&mut decoder).planes;
        let difference = piped[0].len().abs_diff(whole[0].len());
        assert!(difference < 4_096, "{file}: {} against {}", piped[0].len(), whole[0].len());
    }
}

#[test]
fn limits_end_the_stream_and_keep_what_came_before() {
    let bytes = wav(1, 1, 8_000, 16, 1_600_000, 1_600_000);
    let cases = [
        (Limits { max_bytes: 200_000, ..Limits::default() }, "max_bytes"),
        (Limits { max_decoded_secs: 10, ..Limits::default() }, "max_decoded_secs"),
    ];
    for (limits, expected) in cases {
        let result = open(bytes.clone(), &limits).map(|mut decoder| drain(&mut decoder));
        assert_eq!(outcome(&result), expected);
        assert!(result.unwrap().planes[0].len() > 50_000, "{expected}");
    }
    let no_time = Limits { max_wall_secs: 0, ..Limits::default() };
    assert_eq!(outcome(&open(bytes, &no_time).map(|mut decoder| drain(&mut decoder))), "max_wall_secs");
}

#[test]
fn a_source_that_fails_is_an_io_error() {
    let clip = wav(1, 1, 8_000, 16, 320_000, 320_000);
    let (source, _) = Synthetic::new(clip.len() as u64, true, move |position| {
        if position < 100_000 { Ok(clip[position as usize]) } else { Err(io::Error::other("bad sector")) }
    });
    let mut decoder = Decoder::open(source, &OpenOptions::default(), &Limits::default()).unwrap();
    let decoded = drain(&mut decoder);
    assert!(matches!(&decoded.end, Err(DecodeError::Io(error)) if error.to_string() == "bad sector"));
}

#[test]
fn a_panic_inside_becomes_a_result() {
    let clip = wav(1, 1, 8_000, 16, 320_000, 320_000);
    let (source, _) = Synthetic::new(clip.len() as u64, true, move |position| {
        assert!(position < 100_000, "this message must not be seen");
        Ok(clip[position as usize])
    });
    let mut decoder = Decoder::open(source, &OpenOptions::default(), &Limits::default()).unwrap();
    let decoded = drain(&mut decoder);
    assert!(matches!(&decoded.end, Err(DecodeError::Undecodable { .. })));
    assert!(decoded.planes[0].len() > 30_000);
}
