//! Commands that take a protocol: `eval` and `features`.

use std::{fs, time::Duration};

use serde_json::Value;

use super::{Folder, clonewatch, code, run, silence, text, wait};

#[test]
fn eval_scores_saves_and_recomputes() {
    let folder = Folder::with_batch(8);
    let mut protocol = String::from("path,label,family,source\n");
    for index in 0..8 {
        let (label, family) = if index % 2 == 0 { ("bonafide", "human") } else { ("spoof", "tts") };
        protocol += &format!("{index:03}.wav,{label},{family},s{}\n", index / 2);
    }
    fs::write(folder.path("protocol.csv"), &protocol).expect("a writable folder");
    let (list, scores, det) = (folder.arg("protocol.csv"), folder.arg("scores.csv"), folder.arg("det.svg"));
    let output = run(&["eval", &list, "--format", "json", "--scores", &scores, "--det", &det]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    let all = &report["rows"][0];
    assert_eq!((&all["bona_fide"], &all["spoof"], &all["unscored"]), (&4.into(), &4.into(), &8.into()));
    assert_eq!(all["measures"]["spoof_inconclusive"]["value"], 1.0);
    assert_eq!(all["measures"]["eer"], Value::Null, "silence has no LLR");
    assert!(fs::read_to_string(&det).expect("written").starts_with("<svg"));
    let again = run(&["eval", "--from-scores", &scores, "--format", "json"]);
    let recomputed: Value = serde_json::from_slice(&again.stdout).expect("a JSON object");
    assert_eq!(recomputed["rows"], report["rows"]);
    let joined = run(&["eval", &list, "--join", "2", "--by", "family", "--where", "source!=s3"]);
    assert_eq!(code(&joined), 2, "no source has two recordings of one label: {}", text(&joined.stderr));
    fs::write(folder.path("bad.csv"), "path,label\nx.wav,fake\n").expect("a writable folder");
    let output = run(&["eval", &folder.arg("bad.csv")]);
    assert!(code(&output) == 2 && text(&output.stderr).contains("line 2: label \"fake\""), "{}", text(&output.stderr));
}

/// Writes a protocol of files that are not there and gives its path: whatever reads one of them says so.
fn list_of_missing(folder: &Folder) -> String {
    let rows = "path,label,family\ngone.wav,bonafide,human\ngone-too.wav,spoof,tts\n";
    fs::write(folder.path("list.csv"), rows).expect("a writable folder");
    folder.arg("list.csv")
}

#[test]
fn eval_refuses_before_it_scores() {
    let folder = Folder::new();
    let list = list_of_missing(&folder);
    for (more, word) in [
        (["--by", "foo"], "--by foo: no such column"),
        (["--scores", "/nonexistent/scores.csv"], "/nonexistent/scores.csv"),
        (["--det", &folder.arg("")], "clonewatch: "),
    ] {
        let output = run(&[&["eval", &list][..], &more].concat());
        let errors = text(&output.stderr);
        assert!(code(&output) == 2 && errors.contains(word) && output.stdout.is_empty(), "{more:?}: {errors}");
        assert!(!errors.contains("gone"), "{more:?}: {errors}");
    }
    let scores = folder.arg("scores.csv");
    assert_eq!(code(&run(&["eval", &list, "--by", "foo", "--scores", &scores])), 2);
    assert!(!folder.path("scores.csv").exists(), "nothing was scored, so nothing is left behind");
}

#[test]
fn protocols_that_cannot_be_meant_are_refused() {
    let folder = Folder::new();
    for (rows, word) in [
        ("path,label,path\na.wav,spoof,b.wav\n", "column \"path\" stands twice"),
        ("path,label\na.wav,spoof\n,spoof\n", "line 3: path is empty"),
    ] {
        fs::write(folder.path("list.csv"), rows).expect("a writable folder");
        for args in [
            &["eval", &folder.arg("list.csv")][..],
            &["features", "--out", &folder.arg("out"), &folder.arg("list.csv")],
        ] {
            let output = run(args);
            assert!(code(&output) == 2 && text(&output.stderr).contains(word), "{args:?}: {output:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_does_not_cost_the_tables() {
    let folder = Folder::with_batch(2);
    fs::write(folder.path("list.csv"), "path,label\n000.wav,bonafide\n001.wav,spoof\n").expect("a writable folder");
    let output = run(&["eval", &folder.arg("list.csv"), "--scores", "/dev/full", "--det", "/dev/full"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stdout).contains("all: 1 genuine, 1 spoof, 2 recordings"), "{output:?}");
    assert_eq!(text(&output.stderr).matches("/dev/full").count(), 2, "{output:?}");
}

#[test]
fn features_of_nothing_are_no_success() {
    let folder = Folder::new();
    let output = run(&["features", &list_of_missing(&folder), "--out", &folder.arg("out")]);
    let errors = text(&output.stderr);
    assert!(code(&output) == 2 && errors.contains("gone.wav"), "{errors}");
    assert!(errors.contains("0 of 2 files") && errors.contains("none of its files could be used"), "{errors}");
}

#[test]
fn features_leave_out_what_is_longer_than_an_hour() {
    let folder = Folder::with_batch(1);
    // Headerless A-law at 8 kHz: 3,605 s.
    let hour = fs::File::create(folder.path("hour.al")).expect("a writable folder");
    hour.set_len(3_605 * 8_000).expect("a writable folder");
    fs::write(folder.path("list.csv"), "path,label\nhour.al,spoof\n000.wav,spoof\n").expect("a writable folder");
    let output = run(&["features", &folder.arg("list.csv"), "--out", &folder.arg("out")]);
    let errors = text(&output.stderr);
    assert!(code(&output) == 0 && errors.contains("1 of 2 files"), "{errors}");
    assert!(errors.contains("hour.al: max_decoded_secs: ") && errors.contains("3600"), "{errors}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_features_with_whole_files() {
    let folder = Folder::new();
    silence(&folder.path("long.wav"), 600.0);
    let rows = "long.wav,spoof\n".repeat(500);
    fs::write(folder.path("list.csv"), format!("path,label\n{rows}")).expect("a writable folder");
    let mut child = clonewatch()
        .args(["features", "--threads", "2", &folder.arg("list.csv"), "--out", &folder.arg("out")])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    // Something beyond its header has been written, so the listening has begun.
    while fs::metadata(folder.path("out/logmel.npy")).map_or(0, |found| found.len()) <= 128 {
        assert!(child.try_wait().expect("a child of ours").is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill exists").success());
    assert_eq!(wait(&mut child), 2);
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut errors).expect("UTF-8");
    assert!(errors.ends_with("clonewatch: interrupted\n"), "{errors}");
    let index = fs::read_to_string(folder.path("out/index.csv")).expect("written");
    let count = index.lines().count() - 1;
    assert!(count < 500 && errors.contains(&format!("{count} of 500 files")), "{errors}");
}
