//! Hostile and broken inputs: every one ends in a stated result, in bounded time, without a panic.

mod sources;

use std::{
    fs,
    io::Cursor,
    path::Path,
    time::{Duration, Instant},
};

use clonewatch::{
    audio::Resampler,
    decode::{DecodeError, Decoder, Limits, OpenOptions, RawSpec},
};

use crate::decode::{Decoded, drain, ffmpeg, ffmpeg_is_there, speech_like, write_wav};

fn open(bytes: Vec<u8>, limits: &Limits) -> Result<Decoder, DecodeError> {
    Decoder::open(Box::new(Cursor::new(bytes)), &OpenOptions::default(), limits)
}

fn decode(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
    open(bytes, &Limits::default()).map(|mut decoder| drain(&mut decoder))
}

/// One word for how it ended.
fn outcome(result: &Result<Decoded, DecodeError>) -> &'static str {
    match result.as_ref().map(|decoded| &decoded.end) {
        Ok(Ok(())) => "decoded",
        Ok(Err(error)) | Err(error) => match error {
            DecodeError::Undecodable { .. } => "undecodable",
            DecodeError::Limit { which, .. } => which,
            DecodeError::Io(_) => "io",
        },
    }
}

/// Deterministic noise bytes.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

/// A WAV file with a header of the caller's choice and silence of `data_bytes`.
fn wav(tag: u16, channels: u16, rate_hz: u32, bits: u16, claimed_bytes: u32, data_bytes: usize) -> Vec<u8> {
    let block_bytes = channels.wrapping_mul(bits / 8);
    let mut bytes = b"RIFF\xFF\xFF\xFF\x7FWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate_hz.to_le_bytes());
    bytes.extend(rate_hz.wrapping_mul(u32::from(block_bytes)).to_le_bytes());
    bytes.extend(block_bytes.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(claimed_bytes.to_le_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

/// An AIFF header for 16-bit samples at 8 kHz, with as many channels as the caller likes.
fn aiff(channels: u16) -> Vec<u8> {
    let mut bytes = b"FORM\x7F\xFF\xFF\xFFAIFFCOMM\0\0\0\x12".to_vec();
    bytes.extend(channels.to_be_bytes());
    bytes.extend(100_u32.to_be_bytes());
    bytes.extend(16_u16.to_be_bytes());
    bytes.extend([0x40, 0x0B, 0xFA, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(b"SSND\0\0\x10\x08\0\0\0\0\0\0\0\0");
    bytes.resize(bytes.len() + 0x1000, 0);
    bytes
}

#[test]
fn headers_that_make_no_sense() {
    let cases: [(&str, Vec<u8>, &str); 19] = [
        ("empty", vec![], "undecodable"),
        ("one byte", vec![0x52], "undecodable"),
        ("zip", [&b"PK\x03\x04"[..], &noise(3, 5_000)].concat(), "undecodable"),
        ("html", b"<!doctype html><html><body>404</body></html>".to_vec(), "undecodable"),
        ("zeros", vec![0; 300_000], "undecodable"),
        ("0 Hz", wav(1, 1, 0, 16, 32_000, 32_000), "undecodable"),
        ("4 GHz", wav(1, 1, u32::MAX, 16, 32_000, 32_000), "undecodable"),
        ("no channels", wav(1, 0, 8_000, 16, 32_000, 32_000), "undecodable"),
        ("65,535 channels", wav(1, 65_535, 8_000, 8, 320_000, 320_000), "max_channels"),
        ("65,535 float channels", wav(3, 65_535, 8_000, 64, 320_000, 320_000), "max_channels"),
        ("AIFF with 30,000 channels", aiff(30_000), "max_channels"),
        ("9 bytes per sample", wav(1, 1, 8_000, 72, 32_000, 32_000), "undecodable"),
        ("unknown tag", wav(0x4242, 1, 8_000, 16, 32_000, 32_000), "undecodable"),
        ("no data", wav(1, 1, 8_000, 16, 0, 0), "undecodable"),
        ("data length 0", wav(1, 1, 8_000, 16, 0, 32_000), "decoded"),
        ("data length unknown", wav(1, 1, 8_000, 16, u32::MAX, 32_000), "decoded"),
        ("data length too large", wav(1, 1, 8_000, 16, 2_000_000_000, 32_000), "decoded"),
        ("ADPCM blocks of 0 bytes", wav(2, 1, 8_000, 0, 32_000, 32_000), "undecodable"),
        ("Ogg page of noise", [&b"OggS"[..], &noise(9, 50_000)].concat(), "undecodable"),
    ];
    for (name, bytes, expected) in cases {
        let result = decode(bytes);
        assert_eq!(outcome(&result), expected, "{name}");
        if let Ok(decoded) = result {
            assert_eq!(decoded.planes[0].len(), 16_000, "{name}");
        }
    }
}

#[test]
fn not_a_number_becomes_silence_and_is_counted() {
    let mut bytes = wav(3, 1, 44_100, 32, 16_000, 0);
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.25];
    (0..4_000).for_each(|n| bytes.extend(values[n % 4].to_le_bytes()));
    let decoded = decode(bytes).unwrap();
    let mut resampler = Resampler::new(decoded.info.sample_rate_hz).unwrap();
    let mut out = Vec::new();
    resampler.push(&decoded.planes[0], &mut out);
    resampler.finish(&mut out);
    assert_eq!(resampler.unusable_samples(), 3_000);
    assert!(out.iter().all(|sample| sample.is_finite()));
}

#[test]
fn noise_is_undecodable() {
    for seed in 0..12 {
        let started = Instant::now();
        let result = decode(noise(seed, 600_000));
        assert_eq!(outcome(&result), "undecodable", "seed {seed}");
        assert!(started.elapsed() < Duration::from_secs(5), "seed {seed}: {:?}", started.elapsed());
    }
    let options = OpenOptions { raw: Some("g722".parse::<RawSpec>().unwrap()), extension: None };
    let mut decoder = Decoder::open(Box::new(Cursor::new(noise(1, 50_000))), &options, &Limits::default()).unwrap();
    assert!(drain(&mut decoder).end.is_ok());
}

/// A short clip in formats of every family.
fn specimens(dir: &Path, secs: f64) -> Vec<(&'static str, Vec<u8>)> {
    let source = dir.join("source.wav");
    write_wav(&source, 48_000, 2, &speech_like(48_000, secs, 2));
    [
        ("a.wav", "-c:a pcm_s16le -ar 16000"),
        ("ima.wav", "-c:a adpcm_ima_wav -ar 16000"),
        ("ms.wav", "-c:a adpcm_ms -ar 16000"),
        ("gsm.wav", "-c:a libgsm_ms -ar 8000 -ac 1"),
        ("a.aiff", "-c:a pcm_s16be -ar 16000"),
        ("a.caf", "-c:a pcm_s16le -ar 16000"),
        ("a.flac", "-c:a flac -ar 16000"),
        ("a.mp3", "-c:a libmp3lame -b:a 64k -ar 44100"),
        ("a.mp2", "-c:a mp2 -b:a 64k -ar 44100"),
        ("a.aac", "-c:a aac -b:a 64k -ar 44100"),
        ("a.m4a", "-c:a aac -b:a 64k -ar 44100 -movflags +faststart"),
        ("f.mp4", "-c:a aac -b:a 64k -ar 44100 -movflags frag_keyframe+empty_moov -frag_duration 200000"),
        ("a.ogg", "-c:a libvorbis -ar 44100"),
        ("silk.opus", "-c:a libopus -b:a 12k -application voip -ac 1"),
        ("hybrid.opus", "-c:a libopus -b:a 32k -application voip"),
        ("celt.opus", "-c:a libopus -b:a 96k"),
        ("a.webm", "-c:a libopus -b:a 32k"),
        ("a.mkv", "-c:a libmp3lame -b:a 64k"),
    ]
    .into_iter()
    .map(|(file, encode)| {
        let path = dir.join(file);
        let mut options = vec!["-i", source.to_str().unwrap()];
        options.extend(encode.split(' '));
        options.push(path.to_str().unwrap());
        ffmpeg(&options);
        (file, fs::read(&path).unwrap())
    })
    .collect()
}

#[test]
fn cut_files_give_what_there_is() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, bytes) in specimens(dir.path(), 3.0) {
        let whole = decode(bytes.clone()).unwrap().planes[0].len();
        for part in 1..24 {
            let cut = bytes.len() * part / 24;
            let result = decode(bytes[..cut].to_vec());
            let found = outcome(&result);
            assert!(["decoded", "undecodable"].contains(&found), "{file} cut at {cut}: {found}");
            if let Ok(decoded) = &result {
                assert!(decoded.planes[0].len() <= whole + 4_096, "{file} cut at {cut}");
            }
            // The CAF demultiplexer wants to see the end of the file first.
            if part > 16 && file != "a.caf" {
                assert_eq!(found, "decoded", "{file} cut at {cut} of {}: {:?}", bytes.len(), result.err());
            }
        }
    }
}

#[test]
fn flipped_bytes_never_panic_or_hang() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Where a flipped field asks for more, these caps answer within the test's time.
    let limits = Limits { max_decoded_secs: 20, max_wall_secs: 20, ..Limits::default() };
    for (file, bytes) in specimens(dir.path(), 1.0) {
        for round in 0..60_u32 {
            let mut broken = bytes.clone();
            let places = noise(round * 7 + 1, 8 * 8);
            for place in places.chunks_exact(8).take(1 + round as usize % 8) {
                let position = u32::from_le_bytes([place[0], place[1], place[2], place[3]]) as usize;
                // Half of the flips go to the header, where they do the most harm.
                let reach = if place[4] % 2 == 0 { bytes.len() } else { bytes.len().min(400) };
                broken[position % reach] = place[5];
            }
            let started = Instant::now();
            let found = open(broken, &limits).map(|mut decoder| drain(&mut decoder));
            assert_ne!(outcome(&found), "io", "{file}, round {round}");
            assert_ne!(outcome(&found), "max_wall_secs", "{file}, round {round}");
            assert!(started.elapsed() < Duration::from_secs(20), "{file}, round {round}: {:?}", started.elapsed());
        }
    }
}

#[test]
fn damage_in_the_middle_is_passed_over() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, bytes) in specimens(dir.path(), 6.0) {
        let before = decode(bytes.clone()).unwrap();
        let mut broken = bytes.clone();
        let place = bytes.len() * 2 / 3;
        broken[place..place + 700].copy_from_slice(&noise(5, 700));
        let decoded = decode(broken).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(decoded.end.is_ok(), "{file}: {:?}", decoded.end);
        let (rest, whole) = (decoded.planes[0].len(), before.planes[0].len());
        println!("{file}: {rest} of {whole} samples, {} damaged packets", decoded.damaged_packets);
        assert!(rest * 10 > whole * 6, "{file}: {rest} of {whole}");
    }
}

/// Decoders of constant memory: what an hour of audio takes is what a minute takes.
#[test]
fn blocks_stay_small() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, bytes) in specimens(dir.path(), 3.0) {
        let mut decoder = open(bytes, &Limits::default()).unwrap();
        while let Some(block) = decoder.next_block().unwrap() {
            assert!(block.samples() <= 16_384, "{file}: {} samples", block.samples());
        }
    }
}

#[test]
fn a_false_length_hides_nothing() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 48_000, 1, &speech_like(48_000, 5.0, 1));
    let path = dir.path().join("a.mp3");
    ffmpeg(&["-i", source.to_str().unwrap(), "-ac", "1", "-ar", "44100", path.to_str().unwrap()]);
    let mut bytes = fs::read(&path).unwrap();
    let tag = bytes.windows(4).position(|window| window == b"Xing" || window == b"Info").unwrap();
    // The number of frames follows the flags: 38 frames are about one second.
    bytes[tag + 8..tag + 12].copy_from_slice(&38_u32.to_be_bytes());
    let decoded = decode(bytes).unwrap();
    assert!(decoded.planes[0].len() > 44_100 * 9 / 2, "{}", decoded.planes[0].len());
}

#[test]
fn hours_of_silence_in_a_small_file_hit_the_limit() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silence.flac");
    let silence = "anullsrc=r=8000:cl=mono:d=36000";
    ffmpeg(&["-f", "lavfi", "-i", silence, "-c:a", "flac", "-frame_size", "16384", path.to_str().unwrap()]);
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() < 1_000_000, "{} bytes", bytes.len());
    let mut decoder = open(bytes, &Limits::default()).unwrap();
    assert_eq!(decoder.info().duration_secs, Some(36_000.0));
    let end = loop {
        match decoder.next_block() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the limit was passed over"),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, DecodeError::Limit { which: "max_decoded_secs", .. }), "{end}");
    assert!(decoder.decoded_secs() >= 21_600.0 && decoder.decoded_secs() < 21_610.0);
    assert!(decoder.next_block().unwrap().is_none());
}

#[test]
fn a_stream_that_changes_its_rate_is_not_half_judged() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 48_000, 1, &speech_like(48_000, 3.0, 1));
    let mut joined = Vec::new();
    for (file, rate) in [("a.mp3", "44100"), ("b.mp3", "32000")] {
        let path = dir.path().join(file);
        let input = source.to_str().unwrap();
        ffmpeg(&[
            "-i",
            input,
            "-ac",
            "1",
            "-ar",
            rate,
            "-write_xing",
            "0",
            "-id3v2_version",
            "0",
            path.to_str().unwrap(),
        ]);
        joined.extend(fs::read(&path).unwrap());
    }
    let decoded = decode(joined).unwrap();
    let end = &decoded.end;
    assert!(matches!(end, Err(DecodeError::Undecodable { detail, .. }) if detail.contains("changes")), "{end:?}");
    assert!(decoded.planes[0].len() > 2 * 44_100);
}
