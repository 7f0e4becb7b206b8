//! Properties of the screener on real speech from `samples/`.

use super::tools::has_program;
use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use clonewatch::{
    decode::{Limits, first_channel_16k},
    model::{ModelBundle, embedded_files},
    screen::{Evidence, Screener},
};
use proptest::prelude::*;

static MODEL: LazyLock<Arc<ModelBundle>> =
    LazyLock::new(|| Arc::new(ModelBundle::load(&embedded_files()).expect("the embedded bundle loads")));

/// First channel of a sample at 16 kHz.
pub(crate) fn sample_16k(name: &str) -> Vec<f32> {
    decode_16k(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name))
}

fn decode_16k(path: &Path) -> Vec<f32> {
    let mut samples = Vec::new();
    first_channel_16k(path, &Limits::default(), |block| {
        samples.extend_from_slice(block);
        true
    })
    .unwrap();
    samples
}

fn screen<'a>(parts: impl IntoIterator<Item = &'a [f32]>) -> Evidence {
    let mut screener = Screener::new(Arc::clone(&MODEL));
    for part in parts {
        screener.push(part).unwrap();
    }
    screener.finish().unwrap()
}

const GENUINE: &str = "genuine-en-allison.wav";
const SYNTHETIC: &str = "cloned-en-kokoro.wav";

proptest! {
    // Each case runs the network on some seconds of audio.
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_the_samples_gives_the_same_evidence(splits in prop::collection::vec(1_usize..20_000, 1..12)) {
        let samples = sample_16k(GENUINE);
        let whole = screen([samples.as_slice()]);
        let mut rest = samples.as_slice();
        let mut parts = Vec::new();
        for split in splits.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, left) = rest.split_at((*split).min(rest.len()));
            parts.push(part);
            rest = left;
        }
        prop_assert_eq!(whole, screen(parts));
    }
}

#[test]
fn a_running_verdict_is_the_verdict_on_what_came_so_far() {
    let samples = sample_16k(SYNTHETIC);
    let mut screener = Screener::new(Arc::clone(&MODEL));
    let mut end = 0;
    // Inside a chunk, at the end of one, inside the next.
    for next in [40_000, 64_240, 70_000, samples.len()] {
        screener.push(&samples[end..next]).unwrap();
        end = next;
        let running = screener.so_far().unwrap();
        assert_eq!(running.evidence, screen([&samples[..end]]), "after {end} samples");
        assert_eq!(screener.speech_secs(), running.evidence.quality.speech_secs);
        assert!(running.recent_llr.is_some());
    }
    assert_eq!(screener.finish().unwrap(), screen([samples.as_slice()]), "asking changes nothing");
}

#[test]
fn level_does_not_matter() {
    for name in [GENUINE, SYNTHETIC] {
        let samples = sample_16k(name);
        let reference = screen([samples.as_slice()]);
        let llr = reference.llr.unwrap().0;
        for gain_db in [-24.0_f32, -9.0, -3.0] {
            let gain = 10_f32.powf(gain_db / 20.0);
            let scaled: Vec<f32> = samples.iter().map(|sample| sample * gain).collect();
            let other = screen([scaled.as_slice()]).llr.unwrap().0;
            // Only the feature floor, 100 dB down, can tell the levels apart.
            assert!((other - llr).abs() < 0.25, "{name} at {gain_db} dB: LLR {other:.3}, not {llr:.3}");
        }
    }
}

#[test]
fn the_sample_rate_of_the_file_matters_little() {
    let Some(folder) = ffmpeg_folder() else { return };
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for name in [GENUINE, SYNTHETIC] {
        let llr = screen([sample_16k(name).as_slice()]).llr.unwrap().0;
        for rate_hz in ["22050", "32000", "44100", "48000", "96000"] {
            let resampled = folder.path().join(format!("{rate_hz}.wav"));
            let mut ffmpeg = std::process::Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-y", "-i"]).arg(samples.join(name)).args(["-ar", rate_hz]).arg(&resampled);
            assert!(ffmpeg.status().unwrap().success());
            let other = screen([decode_16k(&resampled).as_slice()]).llr.unwrap().0;
            // ffmpeg's own filter takes a little off the top; telling 10 : 1 from 13 : 1 is what remains.
            assert!((other - llr).abs() < 0.35, "{name} at {rate_hz} Hz: LLR {other:.3}, not {llr:.3}");
        }
    }
}

/// A folder to work in, where ffmpeg is there; required when `CI=true`.
pub(crate) fn ffmpeg_folder() -> Option<tempfile::TempDir> {
    let found = has_program("ffmpeg", "-version");
    found.then(|| tempfile::tempdir().unwrap())
}

#[test]
fn silence_around_speech_moves_the_answer_little() {
    let samples = sample_16k(GENUINE);
    let llr = screen([samples.as_slice()]).llr.unwrap().0;
    let silence = vec![0.0; 4 * 16_000];
    let padded = screen([silence.as_slice(), &samples, &silence]);
    // Whole chunks of silence keep the grid on the speech, so its windows are the same.
    assert!((padded.llr.unwrap().0 - llr).abs() < 0.6, "LLR {:?}, not {llr:.3}", padded.llr);
    assert!(padded.segments.iter().any(|segment| segment.llr.is_none() && segment.why_not.is_some()));
}

#[test]
fn nothing_heard_is_nothing_said() {
    for samples in [vec![], vec![0.0; 100], vec![0.0; 80_000]] {
        let evidence = screen([samples.as_slice()]);
        assert_eq!(evidence.llr, None);
        assert_eq!(evidence.quality.speech_secs, 0.0);
    }
}

#[test]
fn segments_cover_the_channel_in_order() {
    let samples = sample_16k(GENUINE);
    let evidence = screen([samples.as_slice()]);
    let duration_secs = samples.len() as f64 / 16_000.0;
    assert_eq!(evidence.duration_secs, duration_secs);
    assert!(evidence.segments.windows(2).all(|pair| pair[1].start_secs - pair[0].start_secs == 2.0));
    assert!(evidence.segments.iter().all(|segment| segment.llr.is_none() || segment.why_not.is_none()));
    // A last frame of 25 ms may be missing from the grid.
    assert!(evidence.segments.last().unwrap().end_secs > duration_secs - 0.03);
}
