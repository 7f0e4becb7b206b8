//! Whole files with something wrong or unusual about them, through the engine. Made by ffmpeg from `samples/`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clonewatch::{
    decode::Limits,
    policy::{Decision, Policy, Reason},
    scan::{Engine, ScanResult, load_model},
};

use crate::screener::ffmpeg_folder;

fn engine() -> Engine {
    let model = Arc::new(load_model(None).unwrap());
    let policy = Policy::default_of(&model.manifest().thresholds);
    Engine { model, policy, limits: Limits::default() }
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name).display().to_string()
}

fn make(folder: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let status = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(args).arg(&path).status().unwrap();
    assert!(status.success(), "ffmpeg {args:?}");
    path
}

fn scan(path: &Path) -> ScanResult {
    engine().scan_path(path, None).unwrap()
}

fn decisions(result: &ScanResult) -> Vec<(u16, Decision)> {
    result.channels.iter().map(|channel| (channel.channel, channel.verdict.decision)).collect()
}

#[test]
fn every_audio_track_is_judged() {
    let Some(folder) = ffmpeg_folder() else { return };
    let (genuine, cloned) = (sample("genuine-ru-ivrvoice.flac"), sample("cloned-en-kokoro.wav"));
    for name in ["two.mkv", "two.mp4"] {
        let args = ["-i", &genuine, "-i", &cloned, "-map", "0:a", "-map", "1:a", "-c:a", "aac", "-b:a", "96k"];
        let result = scan(&make(folder.path(), name, &args));
        assert_eq!(decisions(&result), [(0, Decision::BonaFide), (1, Decision::Spoof)], "{name}");
        assert_eq!(result.decision, Decision::Spoof, "{name}");
    }
}

#[test]
fn a_track_that_cannot_be_decoded_is_not_called_genuine() {
    let Some(folder) = ffmpeg_folder() else { return };
    let genuine = sample("genuine-ru-ivrvoice.flac");
    let args = ["-i", &genuine, "-map", "0:a", "-map", "0:a", "-c:a:0", "aac", "-c:a:1", "ac3"];
    let result = scan(&make(folder.path(), "film.mkv", &args));
    assert_eq!((result.decision, result.reason), (Decision::Inconclusive, Some(Reason::Damaged)), "{result:?}");
}

#[test]
fn files_that_are_cut_or_overwritten_are_not_called_genuine() {
    let Some(folder) = ffmpeg_folder() else { return };
    let genuine = sample("genuine-ru-ivrvoice.flac");
    let whole = std::fs::read(&genuine).unwrap();
    let cut = folder.path().join("cut.flac");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let mp3 = std::fs::read(make(folder.path(), "whole.mp3", &["-i", &genuine, "-b:a", "64k"])).unwrap();
    let overwritten = folder.path().join("overwritten.mp3");
    let flip = |(i, byte): (usize, &u8)| if i > 2_000 && i % 97 == 0 { byte ^ 0x55 } else { *byte };
    std::fs::write(&overwritten, mp3.iter().enumerate().map(flip).collect::<Vec<u8>>()).unwrap();
    for path in [cut, overwritten] {
        let result = scan(&path);
        assert_eq!(result.decision, Decision::Inconclusive, "{}: {:?}", path.display(), result.detail);
        assert!(result.detail.is_some(), "{}", path.display());
    }
}

#[test]
fn one_voice_on_two_channels_is_judged_once_also_after_lossy_coding() {
    let Some(folder) = ffmpeg_folder() else { return };
    let genuine = sample("genuine-ru-ivrvoice.flac");
    for (name, codec) in
        [("twin.wav", "pcm_s16le"), ("twin.mp3", "libmp3lame"), ("twin.m4a", "aac"), ("twin.opus", "libopus")]
    {
        let args = ["-i", &genuine, "-ac", "2", "-c:a", codec, "-b:a", "96k"];
        let result = scan(&make(folder.path(), name, &args));
        assert_eq!(decisions(&result), [(0, Decision::BonaFide)], "{name}");
        assert_eq!(result.input.channels, Some(2), "{name}");
    }
}

#[test]
fn channels_that_part_late_are_told_apart() {
    let Some(folder) = ffmpeg_folder() else { return };
    let (genuine, cloned) = (sample("genuine-ru-ivrvoice.flac"), sample("cloned-en-kokoro.wav"));
    let filter = "[0:a]aresample=16000,asplit=3[a][b][c];[1:a]aresample=16000[d];[b][d]concat=n=2:v=0:a=1[right];\
                  [a][c]concat=n=2:v=0:a=1[left];[left][right]join=inputs=2:channel_layout=stereo";
    let args = ["-i", &genuine, "-i", &cloned, "-filter_complex", filter];
    let result = scan(&make(folder.path(), "late.wav", &args));
    assert_eq!(result.channels.len(), 2);
    assert_eq!(result.channels[0].verdict.decision, Decision::BonaFide);
    assert_ne!(result.channels[1].verdict.decision, Decision::BonaFide);
}

#[test]
fn clipping_is_measured_before_resampling() {
    let Some(folder) = ffmpeg_folder() else { return };
    let genuine = sample("genuine-ru-ivrvoice.flac");
    for (gain, clipped) in [("volume=-6dB", false), ("volume=18dB", true)] {
        let path = make(folder.path(), "loud.wav", &["-i", &genuine, "-ar", "44100", "-af", gain]);
        let ratio = scan(&path).channels[0].verdict.evidence.quality.clipping_ratio;
        assert_eq!(ratio > 0.01, clipped, "{gain}: {ratio}");
    }
}
