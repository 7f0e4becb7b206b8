//! The clips of `samples/` through the running program: every one listed, every one judged as listed.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    clip: Vec<Clip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clip {
    file: String,
    truth: String,
    decision: String,
    source: String,
    licence: String,
    channels: Option<Vec<String>>,
    insert_secs: Option<(f64, f64)>,
}

fn index() -> Vec<Clip> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/index.toml");
    toml::from_str::<Index>(&std::fs::read_to_string(path).unwrap()).unwrap().clip
}

/// The program's JSON for every sample, by file name, and its exit code.
fn scan_samples(options: &[&str]) -> (BTreeMap<String, Value>, Option<i32>) {
    let run = Command::new(env!("CARGO_BIN_EXE_clonewatch"))
        .args(["scan", "samples", "--format", "jsonl"])
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let lines = String::from_utf8(run.stdout).unwrap();
    let results = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let named = results.map(|value| {
        let path = value["input"]["path"].as_str().unwrap().to_owned();
        (path.trim_start_matches("samples/").to_owned(), value)
    });
    (named.collect(), run.status.code())
}

#[test]
fn every_sample_is_judged_as_its_index_says() {
    let (results, code) = scan_samples(&[]);
    assert_eq!(code, Some(1), "the samples hold spoofs");
    let clips = index();
    assert_eq!(results.len(), clips.len(), "index.toml and the folder differ: {:?}", results.keys());
    for clip in clips {
        let result = &results[&clip.file];
        assert!(!clip.source.is_empty() && !clip.licence.is_empty(), "{}: source and licence", clip.file);
        assert_eq!(result["decision"], clip.decision, "{}: truth is {}", clip.file, clip.truth);
        if let Some(channels) = clip.channels {
            let found: Vec<&str> =
                result["channels"].as_array().unwrap().iter().map(|c| c["decision"].as_str().unwrap()).collect();
            assert_eq!(found, channels, "{}", clip.file);
        }
    }
}

#[test]
fn the_lowest_segments_of_the_spliced_recording_lie_in_its_insert() {
    let (results, _) = scan_samples(&[]);
    for clip in index() {
        let Some((from_secs, to_secs)) = clip.insert_secs else { continue };
        let segments = results[&clip.file]["channels"][0]["segments"].as_array().unwrap();
        let mut judged: Vec<(f64, f64)> = segments
            .iter()
            .filter_map(|s| {
                Some((s["llr"].as_f64()?, f64::midpoint(s["start_secs"].as_f64()?, s["end_secs"].as_f64()?)))
            })
            .collect();
        judged.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (llr, middle_secs) in &judged[..3] {
            assert!((from_secs..to_secs).contains(middle_secs), "{}: LLR {llr} at {middle_secs} s", clip.file);
        }
    }
}

#[test]
fn the_light_model_errs_towards_inconclusive() {
    let (results, _) = scan_samples(&["--model", "light"]);
    let mut caught = 0;
    for clip in index() {
        let result = &results[&clip.file];
        assert_eq!(result["model"]["id"], "clonewatch-10-light");
        let decision = result["decision"].as_str().unwrap();
        assert!(
            decision == clip.decision || decision == "inconclusive" || clip.decision == "inconclusive",
            "{}: {decision}, the standard model says {}",
            clip.file,
            clip.decision
        );
        caught += i32::from(decision == "spoof");
        assert!(clip.truth != "bonafide" || decision != "spoof", "{} is genuine", clip.file);
    }
    assert!(caught >= 5, "only {caught} samples are called cloned");
}

#[test]
fn the_samples_stay_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let bytes: u64 = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 6_000_000, "{bytes} bytes");
}
