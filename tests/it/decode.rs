//! Every format is encoded by ffmpeg, decoded here and by ffmpeg, and compared.

use super::tools::has_program;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use clonewatch::decode::{DecodeError, Decoder, Limits, OpenOptions, StreamInfo};

/// A format to try: how ffmpeg writes it and how close the two decoders must be.
struct Case {
    file: &'static str,
    /// ffmpeg's output options.
    encode: &'static str,
    container: &'static str,
    codec: &'static str,
    sample_rate_hz: u32,
    channels: u16,
    /// Signal to difference, in dB, where both are aligned.
    min_snr_db: f64,
    /// Samples by which our start may differ from ffmpeg's (encoder delay that only one of them trims).
    max_lag: usize,
    /// Samples by which the lengths may differ, lag aside.
    max_length_difference: usize,
}

/// Bit-exact codecs differ by rounding to 32-bit floats at most.
const EXACT: f64 = 120.0;

const fn case(
    file: &'static str,
    encode: &'static str,
    names: (&'static str, &'static str),
    shape: (u32, u16),
    tolerance: (f64, usize, usize),
) -> Case {
    Case {
        file,
        encode,
        container: names.0,
        codec: names.1,
        sample_rate_hz: shape.0,
        channels: shape.1,
        min_snr_db: tolerance.0,
        max_lag: tolerance.1,
        max_length_difference: tolerance.2,
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("u8.wav", "-c:a pcm_u8 -ar 8000 -ac 1", ("wav", "pcm_u8"), (8_000, 1), (EXACT, 0, 0)),
    case("s16.wav", "-c:a pcm_s16le -ar 44100 -ac 2", ("wav", "pcm_s16le"), (44_100, 2), (EXACT, 0, 0)),
    case("s24.wav", "-c:a pcm_s24le -ar 96000 -ac 2", ("wav", "pcm_s24le"), (96_000, 2), (EXACT, 0, 0)),
    case("s32.wav", "-c:a pcm_s32le -ar 48000 -ac 1", ("wav", "pcm_s32le"), (48_000, 1), (EXACT, 0, 0)),
    case("six.wav", "-c:a pcm_s16le -ar 16000 -ac 6", ("wav", "pcm_s16le"), (16_000, 6), (EXACT, 0, 0)),
    case("f32.wav", "-c:a pcm_f32le -ar 22050 -ac 1", ("wav", "pcm_f32le"), (22_050, 1), (EXACT, 0, 0)),
    case("f64.wav", "-c:a pcm_f64le -ar 11025 -ac 1", ("wav", "pcm_f64le"), (11_025, 1), (EXACT, 0, 0)),
    case("rf64.wav", "-c:a pcm_s16le -ar 16000 -ac 1 -rf64 always", ("wav", "pcm_s16le"), (16_000, 1), (EXACT, 0, 0)),
    case("ulaw.wav", "-c:a pcm_mulaw -ar 8000 -ac 2", ("wav", "pcm_mulaw"), (8_000, 2), (EXACT, 0, 0)),
    case("alaw.wav", "-c:a pcm_alaw -ar 8000 -ac 1", ("wav", "pcm_alaw"), (8_000, 1), (EXACT, 0, 0)),
    case("ima.wav", "-c:a adpcm_ima_wav -ar 22050 -ac 2", ("wav", "adpcm_ima_wav"), (22_050, 2), (60.0, 0, 4_096)),
    case("ms.wav", "-c:a adpcm_ms -ar 22050 -ac 1", ("wav", "adpcm_ms"), (22_050, 1), (60.0, 0, 4_096)),
    case("gsm.wav", "-c:a libgsm_ms -ar 8000 -ac 1", ("wav", "gsm"), (8_000, 1), (EXACT, 0, 0)),
    case("g722.wav", "-c:a g722 -ar 16000 -ac 1", ("wav", "g722"), (16_000, 1), (EXACT, 0, 0)),
    case("mp3.wav", "-c:a libmp3lame -b:a 64k -ar 22050 -ac 1 -f wav", ("mp3", "mp3"), (22_050, 1), (60.0, 3_000, 3_000)),
    case("s16.au", "-c:a pcm_s16be -ar 16000 -ac 1", ("au", "pcm_s16be"), (16_000, 1), (EXACT, 0, 0)),
    case("ulaw.au", "-c:a pcm_mulaw -ar 8000 -ac 1", ("au", "pcm_mulaw"), (8_000, 1), (EXACT, 0, 0)),
    case("s16.aiff", "-c:a pcm_s16be -ar 44100 -ac 2", ("aiff", "pcm_s16be"), (44_100, 2), (EXACT, 0, 0)),
    case("alaw.aifc", "-c:a pcm_alaw -ar 8000 -ac 1 -f aiff", ("aiff", "pcm_alaw"), (8_000, 1), (EXACT, 0, 0)),
    case("s16.caf", "-c:a pcm_s16le -ar 44100 -ac 2", ("caf", "pcm_s16le"), (44_100, 2), (EXACT, 0, 0)),
    case("alac.caf", "-c:a alac -ar 44100 -ac 2", ("caf", "alac"), (44_100, 2), (EXACT, 0, 0)),
    case("16.flac", "-c:a flac -ar 44100 -ac 2", ("flac", "flac"), (44_100, 2), (EXACT, 0, 0)),
    case("24.flac", "-c:a flac -sample_fmt s32 -ar 96000 -ac 1", ("flac", "flac"), (96_000, 1), (EXACT, 0, 0)),
    case("flac.ogg", "-c:a flac -ar 16000 -ac 1", ("ogg", "flac"), (16_000, 1), (EXACT, 0, 0)),
    case("cbr.mp3", "-c:a libmp3lame -b:a 128k -ar 44100 -ac 2", ("mp3", "mp3"), (44_100, 2), (60.0, 1_200, 1_200)),
    case("vbr.mp3", "-c:a libmp3lame -q:a 4 -ar 48000 -ac 1", ("mp3", "mp3"), (48_000, 1), (60.0, 1_200, 1_200)),
    case("low.mp3", "-c:a libmp3lame -b:a 16k -ar 11025 -ac 1", ("mp3", "mp3"), (11_025, 1), (60.0, 1_200, 1_200)),
    case("plain.mp3", "-c:a libmp3lame -b:a 64k -ar 22050 -ac 1 -write_xing 0 -id3v2_version 0", ("mp3", "mp3"), (22_050, 1), (60.0, 2_400, 2_400)),
    case("two.mp2", "-c:a mp2 -b:a 128k -ar 44100 -ac 2", ("mp2", "mp2"), (44_100, 2), (60.0, 1_200, 1_200)),
    case("lc.aac", "-c:a aac -b:a 96k -ar 44100 -ac 2", ("adts", "aac"), (44_100, 2), (60.0, 1_200, 1_200)),
    case("lc.m4a", "-c:a aac -b:a 64k -ar 48000 -ac 1", ("mp4", "aac"), (48_000, 1), (60.0, 1_200, 2_400)),
    case("fast.m4a", "-c:a aac -b:a 64k -ar 16000 -ac 1 -movflags +faststart", ("mp4", "aac"), (16_000, 1), (60.0, 1_200, 2_400)),
    case("pieces.mp4", "-c:a aac -b:a 64k -ar 32000 -ac 2 -movflags frag_keyframe+empty_moov -frag_duration 500000", ("mp4", "aac"), (32_000, 2), (60.0, 1_200, 2_400)),
    case("alac.m4a", "-c:a alac -ar 44100 -ac 2", ("mp4", "alac"), (44_100, 2), (EXACT, 0, 0)),
    case("opus.mp4", "-c:a libopus -b:a 32k -ac 1", ("mp4", "opus"), (48_000, 1), (60.0, 400, 1_000)),
    case("s16.mov", "-c:a pcm_s16le -ar 48000 -ac 2", ("mp4", "pcm_s16le"), (48_000, 2), (EXACT, 0, 0)),
    case("vorbis.ogg", "-c:a libvorbis -q:a 3 -ar 44100 -ac 2", ("ogg", "vorbis"), (44_100, 2), (60.0, 0, 0)),
    case("vorbis.webm", "-c:a libvorbis -q:a 3 -ar 44100 -ac 1", ("matroska", "vorbis"), (44_100, 1), (60.0, 1_024, 2_048)),
    case("silk.opus", "-c:a libopus -b:a 12k -application voip -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("hybrid.opus", "-c:a libopus -b:a 28k -application voip -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("celt.opus", "-c:a libopus -b:a 96k -application audio -ac 2", ("ogg", "opus"), (48_000, 2), (60.0, 0, 0)),
    case("lowdelay.opus", "-c:a libopus -b:a 64k -application lowdelay -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("frames2.opus", "-c:a libopus -b:a 96k -frame_duration 2.5 -ac 2", ("ogg", "opus"), (48_000, 2), (60.0, 0, 0)),
    case("frames5.opus", "-c:a libopus -b:a 64k -frame_duration 5 -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("frames10.opus", "-c:a libopus -b:a 24k -application voip -frame_duration 10 -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("frames40.opus", "-c:a libopus -b:a 24k -application voip -frame_duration 40 -ac 2", ("ogg", "opus"), (48_000, 2), (60.0, 0, 0)),
    case("frames60.opus", "-c:a libopus -b:a 16k -application voip -frame_duration 60 -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("frames120.opus", "-c:a libopus -b:a 96k -frame_duration 120 -ac 2", ("ogg", "opus"), (48_000, 2), (60.0, 0, 0)),
    case("narrow.opus", "-c:a libopus -b:a 8k -application voip -cutoff 4000 -ac 1", ("ogg", "opus"), (48_000, 1), (60.0, 0, 0)),
    case("surround.opus", "-c:a libopus -b:a 192k -ac 6", ("ogg", "opus"), (48_000, 6), (60.0, 0, 0)),
    case("opus.webm", "-c:a libopus -b:a 32k -ac 1", ("matroska", "opus"), (48_000, 1), (60.0, 0, 1_000)),
    case("opus.mkv", "-c:a libopus -b:a 48k -ac 2", ("matroska", "opus"), (48_000, 2), (60.0, 0, 1_000)),
    case("aac.mkv", "-c:a aac -b:a 64k -ar 44100 -ac 1", ("matroska", "aac"), (44_100, 1), (60.0, 1_200, 2_400)),
    case("flac.mkv", "-c:a flac -ar 16000 -ac 1", ("matroska", "flac"), (16_000, 1), (EXACT, 0, 0)),
    case("s16.mkv", "-c:a pcm_s16le -ar 16000 -ac 2", ("matroska", "pcm_s16le"), (16_000, 2), (EXACT, 0, 0)),
    case("raw.ul", "-c:a pcm_mulaw -ar 8000 -ac 1 -f mulaw", ("raw", "pcm_mulaw"), (8_000, 1), (EXACT, 0, 0)),
    case("raw.alaw", "-c:a pcm_alaw -ar 8000 -ac 1 -f alaw", ("raw", "pcm_alaw"), (8_000, 1), (EXACT, 0, 0)),
    case("raw.gsm", "-c:a libgsm -ar 8000 -ac 1 -f gsm", ("raw", "gsm"), (8_000, 1), (EXACT, 0, 0)),
    case("raw.g722", "-c:a g722 -ar 16000 -ac 1 -f g722", ("raw", "g722"), (16_000, 1), (EXACT, 0, 0)),
];

/// How ffmpeg must be told to read a file.
fn input_options(file: &str) -> &'static [&'static str] {
    match file.rsplit('.').next() {
        Some("ul") => &["-f", "mulaw", "-ar", "8000", "-ac", "1"],
        Some("alaw") => &["-f", "alaw", "-ar", "8000", "-ac", "1"],
        Some("gsm") => &["-c:a", "libgsm"],
        // The reference decoder; ffmpeg's own resamples the speech layer in another way.
        Some("opus") => &["-c:a", "libopus", "-request_sample_fmt", "flt"],
        Some("webm" | "mkv" | "mp4") if file.contains("opus.") => &["-c:a", "libopus", "-request_sample_fmt", "flt"],
        _ => &[],
    }
}

/// Whether ffmpeg is there.
pub(crate) fn ffmpeg_is_there() -> bool {
    has_program("ffmpeg", "-version")
}

pub(crate) fn ffmpeg(options: &[&str]) {
    let output = Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(options).output().unwrap();
    assert!(output.status.success(), "ffmpeg {options:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Voiced sound with moving formants, pauses and fricative noise; `channels` differ by a delay.
pub(crate) fn speech_like(sample_rate_hz: u32, secs: f64, channels: usize) -> Vec<f32> {
    let rate = f64::from(sample_rate_hz);
    let mono: Vec<f64> = {
        let mut state = 1_u32;
        let mut phase = 0.0;
        (0..(rate * secs) as usize)
            .map(|n| {
                let t = n as f64 / rate;
                phase += (120.0 + 30.0 * (3.0 * t).sin()) / rate;
                let first_hz = 500.0 + 250.0 * (5.0 * t).sin();
                let second_hz = 1_600.0 + 600.0 * (3.7 * t).cos();
                let voiced: f64 = (1..40)
                    .map(|k| {
                        let hz = 120.0 * f64::from(k);
                        let shape = |centre: f64, width: f64| (-((hz - centre) / width).powi(2)).exp();
                        let level = shape(first_hz, 200.0) + 0.5 * shape(second_hz, 300.0) + 0.02;
                        if hz * 1.3 < rate / 2.0 {
                            level * (std::f64::consts::TAU * phase * f64::from(k)).sin()
                        } else {
                            0.0
                        }
                    })
                    .sum();
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f64::from(state >> 8) / f64::from(1 << 23) - 1.0;
                match (t * 4.0) as u64 % 5 {
                    0 => 0.0005 * noise,
                    1 => 0.1 * noise,
                    _ => 0.12 * voiced + 0.001 * noise,
                }
            })
            .collect()
    };
    let at = |n: usize, channel: usize| mono.get(n.wrapping_sub(channel * 17)).copied().unwrap_or(0.0) as f32;
    (0..mono.len()).flat_map(|n| (0..channels).map(move |channel| (n, channel))).map(|(n, c)| at(n, c)).collect()
}

pub(crate) fn write_wav(path: &Path, sample_rate_hz: u32, channels: u16, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: sample_rate_hz,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
}

/// Everything a decoder gave.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) info: StreamInfo,
    pub(crate) planes: Vec<Vec<f32>>,
    pub(crate) damaged_packets: u64,
    pub(crate) end: Result<(), DecodeError>,
}

pub(crate) fn decode_file(path: &Path, options: &OpenOptions, limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::open(Box::new(File::open(path).unwrap()), options, limits)?;
    Ok(drain(&mut decoder))
}

pub(crate) fn drain(decoder: &mut Decoder) -> Decoded {
    let mut planes = vec![Vec::new(); usize::from(decoder.info().channels)];
    let end = loop {
        match decoder.next_block() {
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
            Ok(Some(block)) => {
                assert_eq!(block.channels(), planes.len());
                for (index, plane) in planes.iter_mut().enumerate() {
                    assert_eq!(block.channel(index).len(), block.samples());
                    plane.extend_from_slice(block.channel(index));
                }
            }
        }
    };
    Decoded { info: decoder.info().clone(), planes, damaged_packets: decoder.damaged_packets(), end }
}

fn options_for(path: &Path) -> OpenOptions {
    OpenOptions { raw: None, extension: Some(path.extension().unwrap().to_str().unwrap().to_owned()) }
}

fn decode_by_ffmpeg(path: &Path, channels: u16) -> Vec<Vec<f32>> {
    let raw = path.with_extension("f32");
    let mut options = input_options(path.to_str().unwrap()).to_vec();
    options.extend(["-i", path.to_str().unwrap(), "-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "f32le"]);
    options.push(raw.to_str().unwrap());
    ffmpeg(&options);
    let bytes = fs::read(&raw).unwrap();
    let samples: Vec<f32> = bytes.as_chunks().0.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
    let channels = usize::from(channels);
    (0..channels).map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect()).collect()
}

fn snr_db(reference: &[f32], ours: &[f32]) -> f64 {
    let (mut signal, mut noise) = (1e-12, 1e-30);
    for (&a, &b) in reference.iter().zip(ours) {
        signal += f64::from(a) * f64::from(a);
        noise += (f64::from(a) - f64::from(b)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// The best ratio over lags of up to `max_lag` either way, with the lag (positive: we start later than ffmpeg).
fn aligned_snr_db(reference: &[f32], ours: &[f32], max_lag: usize) -> (f64, i64) {
    let at = |lag: i64, limit: usize| {
        let skip = usize::try_from(lag.unsigned_abs()).unwrap();
        let (r, o) = if lag >= 0 {
            (&reference[skip.min(reference.len())..], ours)
        } else {
            (reference, &ours[skip.min(ours.len())..])
        };
        let common = r.len().min(o.len());
        // Edges differ where only one side trims: they are left out when lags are allowed.
        let edge = if max_lag > 0 { (2 * max_lag).min(common / 4) } else { 0 };
        let end = (common - edge).min(edge.saturating_add(limit));
        snr_db(&r[edge..end], &o[edge..end])
    };
    let max_lag = max_lag as i64;
    let best = (-max_lag..=max_lag).map(|lag| (at(lag, 4_000), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    (at(best.1, usize::MAX), best.1)
}

fn check(case: &Case, source: &Path, dir: &Path) -> Result<(), String> {
    let path = dir.join(case.file);
    let mut options = vec!["-i", source.to_str().unwrap(), "-map_metadata", "-1"];
    options.extend(case.encode.split(' '));
    options.push(path.to_str().unwrap());
    ffmpeg(&options);

    let ours = decode_file(&path, &options_for(&path), &Limits::default()).map_err(|error| error.to_string())?;
    ours.end.as_ref().map_err(ToString::to_string)?;
    let info = &ours.info;
    let found = (info.container.as_str(), info.codec.as_str(), info.sample_rate_hz, info.channels);
    if found != (case.container, case.codec, case.sample_rate_hz, case.channels) {
        return Err(format!("found {found:?}"));
    }
    if ours.damaged_packets > 0 {
        return Err(format!("{} damaged packets", ours.damaged_packets));
    }
    let reference = decode_by_ffmpeg(&path, case.channels);
    for (channel, (theirs, plane)) in reference.iter().zip(&ours.planes).enumerate() {
        let (ratio_db, lag) = if case.channels <= 2 {
            aligned_snr_db(theirs, plane, case.max_lag)
        } else {
            // ffmpeg sorts the channels of surround sound, the decoder does not.
            ours.planes.iter().map(|plane| (snr_db(theirs, plane), 0)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
        };
        let difference = theirs.len().abs_diff(plane.len());
        println!(
            "{:16} channel {channel}: {ratio_db:6.1} dB, lag {lag}, {} against {} samples",
            case.file,
            plane.len(),
            theirs.len()
        );
        if ratio_db < case.min_snr_db || difference > case.max_length_difference {
            return Err(format!("channel {channel}: {ratio_db:.1} dB, lag {lag}, length off by {difference}"));
        }
        let claimed = info.duration_secs.unwrap_or(3.0);
        if (claimed - 3.0).abs() > 0.2 {
            return Err(format!("claims {claimed} s"));
        }
    }
    Ok(())
}

#[test]
fn every_format_decodes_as_ffmpeg_does() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 48_000, 2, &speech_like(48_000, 3.0, 2));
    let failures: Vec<String> = CASES
        .iter()
        .filter_map(|case| check(case, &source, dir.path()).err().map(|error| format!("{}: {error}", case.file)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_audio_track_of_a_video_is_found() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 16_000, 1, &speech_like(16_000, 2.0, 1));
    for (file, encode) in [
        ("v.mp4", "-c:v libx264 -c:a aac -ac 1"),
        ("v.mov", "-c:v mpeg4 -c:a pcm_s16le"),
        ("v.webm", "-c:v libvpx -b:v 100k -c:a libopus -ac 1"),
        ("v.mkv", "-c:v libx264 -c:a libmp3lame -ac 1"),
    ] {
        let path = dir.path().join(file);
        let mut options =
            vec!["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2", "-i", source.to_str().unwrap()];
        options.extend(encode.split(' '));
        options.extend(["-shortest", path.to_str().unwrap()]);
        ffmpeg(&options);
        let decoded = decode_file(&path, &options_for(&path), &Limits::default()).unwrap();
        decoded.end.unwrap();
        let secs = decoded.planes[0].len() as f64 / f64::from(decoded.info.sample_rate_hz);
        assert!((secs - 2.0).abs() < 0.2, "{file}: {secs} s");
    }
}

#[test]
fn opus_gain_in_the_header_is_applied() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 48_000, 1, &speech_like(48_000, 1.0, 1));
    let path = dir.path().join("plain.opus");
    ffmpeg(&["-i", source.to_str().unwrap(), "-ac", "1", "-c:a", "libopus", "-b:a", "32k", path.to_str().unwrap()]);
    let plain = decode_file(&path, &OpenOptions::default(), &Limits::default()).unwrap();

    let mut bytes = fs::read(&path).unwrap();
    let head = bytes.windows(8).position(|window| window == b"OpusHead").unwrap();
    // -6.0206 dB in units of 1/256 dB: half the amplitude.
    bytes[head + 16..head + 18].copy_from_slice(&(-1_541_i16).to_le_bytes());
    fix_first_ogg_page(&mut bytes);
    let quiet_path = dir.path().join("quiet.opus");
    fs::write(&quiet_path, bytes).unwrap();
    let quiet = decode_file(&quiet_path, &OpenOptions::default(), &Limits::default()).unwrap();

    let doubled: Vec<f32> = quiet.planes[0].iter().map(|sample| 2.0 * sample).collect();
    assert_eq!(doubled.len(), plain.planes[0].len());
    assert!(snr_db(&plain.planes[0], &doubled) > 60.0);
}

/// Recomputes the check sum of the first page (RFC 3533, section 6).
fn fix_first_ogg_page(bytes: &mut [u8]) {
    let segments = usize::from(bytes[26]);
    let body: usize = bytes[27..27 + segments].iter().map(|&segment| usize::from(segment)).sum();
    let page = &mut bytes[..27 + segments + body];
    page[22..26].fill(0);
    let sum = page.iter().fold(0_u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn unsupported_codecs_are_named() {
    if !ffmpeg_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.wav");
    write_wav(&source, 48_000, 2, &speech_like(48_000, 1.0, 2));
    let cases: [(&str, &str, Option<&str>, &str); 9] = [
        ("a.ac3", "-c:a ac3", None, "ac3"),
        ("a.eac3", "-c:a eac3", None, "eac3"),
        ("ac3.mp4", "-c:a ac3", Some("mp4"), "ac3"),
        ("a.wma", "-c:a wmav2", Some("asf"), "wmav2"),
        ("g726.wav", "-c:a g726 -ar 8000 -ac 1", Some("wav"), "g726"),
        ("a.wv", "-c:a wavpack", None, "wavpack"),
        ("speex.ogg", "-c:a libspeex -ar 16000 -ac 1", Some("ogg"), "speex"),
        ("ac3.mkv", "-c:a ac3", Some("matroska"), "ac3"),
        ("ulaw.mov", "-c:a pcm_mulaw -ar 8000 -ac 1", Some("mp4"), "pcm_mulaw"),
    ];
    for (file, encode, container, codec) in cases {
        let path: PathBuf = dir.path().join(file);
        let mut options = vec!["-i", source.to_str().unwrap()];
        options.extend(encode.split(' '));
        options.push(path.to_str().unwrap());
        ffmpeg(&options);
        match decode_file(&path, &options_for(&path), &Limits::default()) {
            Err(DecodeError::Undecodable { container: c, codec: Some(found), .. }) => {
                assert_eq!((c.as_deref(), found.as_str()), (container, codec), "{file}");
            }
            other => panic!("{file}: {:?}", other.map(|decoded| decoded.info)),
        }
    }
}
