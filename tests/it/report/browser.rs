//! Reports in a real browser: from disk, without a network, on a narrow and a wide screen, light and dark.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{super::tools::has_program, Folder, hostile_recording, run, sample};

/// Whether Node and Chromium are there.
fn has_browser() -> bool {
    ["node", "chromium"].into_iter().all(|name| has_program(name, "--version"))
}

/// What the browser found of a page, once per width and colour scheme.
fn views(folder: &Folder, page: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/report.mjs");
    let output = Command::new("node").arg(script).arg(page).arg(folder.path("")).output().expect("node starts");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

#[test]
fn reports_open_from_disk_with_nothing_asked_and_nothing_wrong() {
    if !has_browser() {
        return;
    }
    let folder = Folder::new();
    let (one, batch) = (folder.path("one.html"), folder.path("batch.html"));
    let hostile = folder.arg(hostile_recording(&folder));
    run(&["scan", "--report", &one.display().to_string(), &sample("cloned-en-piper.m4a")]);
    let paths = [sample("hold-music.mp3"), sample("genuine-en-allison.wav"), hostile, sample("cloned-en-piper.m4a")];
    let page = batch.display().to_string();
    run(&[&["scan", "--report", &page][..], &paths.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    for (page, heading) in [(&one, "Likely cloned"), (&batch, "4 recordings: 1 likely cloned")] {
        let found = views(&folder, page);
        assert_eq!(found.len(), 4);
        for view in &found {
            assert!(view["heading"].as_str().is_some_and(|text| text.contains(heading)), "{view}");
            assert_eq!(view["requests"].as_array().map(Vec::len), Some(1), "the page itself and no more: {view}");
            assert_eq!(view["complaints"].as_array().map(Vec::len), Some(0), "{view}");
            assert_eq!(view["overflow"], 0, "nothing sticks out: {view}");
            assert!(view["pdf_bytes"].as_u64() > Some(10_000), "it prints: {view}");
        }
        assert_ne!(found[0]["background"], found[1]["background"], "light and dark");
    }
    let sorted = &views(&folder, &batch)[0];
    assert_eq!(sorted["before"], serde_json::json!(["1", "2", "1", "0"]));
    assert_eq!(sorted["sorted"], serde_json::json!(["0", "1", "1", "2"]));
    assert!(fs::metadata(folder.path("batch-1280-light.pdf")).is_ok_and(|pdf| pdf.len() > 10_000));
}
