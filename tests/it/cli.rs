//! The program as its users meet it: a process with arguments, pipes, signals and an exit code.

mod lists;
mod walks;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Long enough for a slow machine; a hang is what it tells apart.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn clonewatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    clonewatch().args(args).output().expect("the program starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("not ended by a signal")
}

/// A mono or stereo 16 kHz WAV of `secs` seconds; `sample` gives channel and position in seconds.
pub(crate) fn write_wav(path: &Path, channels: u16, secs: f64, sample: impl Fn(u16, f64) -> f64) {
    let spec =
        hound::WavSpec { channels, sample_rate: 16_000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec).expect("a writable folder");
    for index in 0..(secs * 16_000.0) as u32 {
        for channel in 0..channels {
            let value = sample(channel, f64::from(index) / 16_000.0);
            writer.write_sample((value * 32_767.0) as i16).expect("a writable file");
        }
    }
    writer.finalize().expect("a writable file");
}

pub(crate) fn silence(path: &Path, secs: f64) {
    write_wav(path, 1, secs, |_, _| 0.0);
}

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `count` short silent files, named so that folder order is number order.
    pub(crate) fn with_batch(count: usize) -> Self {
        let folder = Self::new();
        silence(&folder.path("000.wav"), 0.3);
        for index in 1..count {
            fs::copy(folder.path("000.wav"), folder.path(&format!("{index:03}.wav"))).expect("a writable folder");
        }
        folder
    }
}

fn json_lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

/// Keys of an object in the order they are written, which `serde_json::Value` would sort.
fn key_order(object: &str, keys: &[&str]) {
    let mut from = 0;
    for key in keys {
        let at = object[from..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} after byte {from}"));
        from += at + 1;
    }
}

#[test]
fn jsonl_has_the_contracts_keys_in_order() {
    let folder = Folder::new();
    silence(&folder.path("quiet.wav"), 5.0);
    let output = run(&["scan", "--format", "jsonl", &folder.arg("quiet.wav")]);
    assert_eq!(code(&output), 3, "{}", text(&output.stderr));
    let line = text(&output.stdout);
    key_order(
        &line,
        &[
            "schema",
            "input",
            "path",
            "sha256",
            "container",
            "codec",
            "sample_rate_hz",
            "channels",
            "duration_secs",
            "decision",
            "reason",
            "llr",
            "channels",
            "channel",
            "decision",
            "reason",
            "llr",
            "speech_secs",
            "bandwidth_hz",
            "snr_db",
            "denoised",
            "clipping_ratio",
            "segments",
            "start_secs",
            "end_secs",
            "llr",
            "judged",
            "why_not",
            "stretch",
            "model",
            "id",
            "sha256",
            "policy",
            "id",
            "version",
        ],
    );
    let object: Value = serde_json::from_str(&line).expect("a JSON object");
    assert_eq!(object["schema"], "clonewatch/1");
    assert_eq!(object["input"]["duration_secs"], 5.0);
    assert_eq!(object["input"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!((&object["decision"], &object["reason"]), (&"inconclusive".into(), &"no_speech".into()));
    assert_eq!(object["llr"], Value::Null);
    assert_eq!(object["channels"][0]["segments"][0]["why_not"], "silence");
    assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
    let again = run(&["scan", "--format", "jsonl", &folder.arg("quiet.wav")]);
    assert_eq!(output.stdout, again.stdout, "same input, same bytes");
}

#[test]
fn bad_media_is_inconclusive_and_missing_files_are_errors() {
    let folder = Folder::new();
    fs::write(folder.path("noise.wav"), [0x5a; 5000]).expect("a writable folder");
    fs::write(folder.path("empty.mp3"), []).expect("a writable folder");
    let output = run(&["scan", "--format", "jsonl", &folder.arg("noise.wav"), &folder.arg("empty.mp3")]);
    assert_eq!(code(&output), 3, "{}", text(&output.stderr));
    for object in json_lines(&output) {
        assert_eq!(object["reason"], "undecodable");
        assert_eq!(object["channels"], Value::Array(Vec::new()));
    }
    let output = run(&["scan", "--format", "jsonl", &folder.arg("gone.wav"), &folder.arg("noise.wav")]);
    assert_eq!(code(&output), 2);
    assert_eq!(json_lines(&output).len(), 1, "the rest goes on");
    let errors = text(&output.stderr);
    assert!(errors.starts_with("clonewatch: ") && errors.contains("gone.wav"), "{errors}");
}

#[test]
fn csv_and_text_have_a_line_per_channel() {
    let folder = Folder::new();
    // Different channels: equal ones are judged once.
    write_wav(
        &folder.path("call.wav"),
        2,
        3.0,
        |channel, at| if channel == 0 { 0.0 } else { (at * 2000.0).sin() * 0.3 },
    );
    let csv = text(&run(&["scan", "--format", "csv", &folder.arg("call.wav")]).stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[0].starts_with("path,sha256,") && lines[0].ends_with(",version"));
    assert!(lines.iter().all(|line| line.matches(',').count() == lines[0].matches(',').count()));
    let output = run(&["scan", "-v", &folder.arg("call.wav")]);
    let shown = text(&output.stdout);
    assert!(shown.contains("call.wav (ch 0)\n") && shown.contains("call.wav (ch 1)\n"), "{shown}");
    assert!(shown.contains("not judged: 0:00–"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colour in a pipe");
    assert!(output.stderr.is_empty(), "one file needs no summary: {}", text(&output.stderr));
}

#[test]
fn folders_keep_their_order_whatever_the_threads() {
    let folder = Folder::with_batch(40);
    fs::write(folder.path("notes.txt"), "not audio").expect("a writable folder");
    let one = run(&["scan", "--format", "jsonl", "--threads", "1", &folder.arg("")]);
    let eight = run(&["scan", "--format", "jsonl", "--threads", "8", &folder.arg("")]);
    assert_eq!((code(&one), code(&eight)), (3, 3));
    assert_eq!(one.stdout, eight.stdout);
    let paths: Vec<String> =
        json_lines(&one).iter().map(|object| object["input"]["path"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(paths.len(), 40);
    assert!(paths.is_sorted());
    let summary = text(&run(&["scan", &folder.arg("")]).stderr);
    assert!(
        summary.contains("40 files: 0 likely cloned") && summary.contains("1 passed over (1 not audio by name)"),
        "{summary}"
    );
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let folder = Folder::new();
    silence(&folder.path("quiet.wav"), 2.0);
    let bytes = fs::read(folder.path("quiet.wav")).expect("just written");
    let mut child = clonewatch()
        .args(["scan", "--format", "jsonl", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(&bytes).expect("read by the program");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(code(&output), 3);
    let from_file = json_lines(&run(&["scan", "--format", "jsonl", &folder.arg("quiet.wav")]));
    let mut from_stdin = json_lines(&output);
    assert_eq!(from_stdin[0]["input"]["path"], "-");
    from_stdin[0]["input"]["path"] = from_file[0]["input"]["path"].clone();
    assert_eq!(from_stdin, from_file);
}

#[test]
fn headerless_audio_is_read_as_told() {
    let folder = Folder::new();
    fs::write(folder.path("call.ul"), [0xff; 16_000]).expect("a writable folder");
    let output = run(&["scan", "--format", "jsonl", "--raw", "ulaw:8000:2", &folder.arg("call.ul")]);
    assert_eq!(code(&output), 3, "{}", text(&output.stderr));
    let object = &json_lines(&output)[0];
    assert_eq!((&object["input"]["channels"], &object["input"]["duration_secs"]), (&2.into(), &1.0.into()));
}

#[test]
fn unusable_arguments_exit_with_2() {
    let folder = Folder::new();
    silence(&folder.path("quiet.wav"), 1.0);
    for (args, word) in [
        (vec!["scan"], "PATH"),
        (vec!["scan", "--fromat", "csv", "x"], "--fromat"),
        (vec!["scan", "--format", "xml", "x"], "xml"),
        (vec!["scan", "--threads", "0", "x"], "--threads"),
        (vec!["scan", "--raw", "mp3", "x"], "--raw"),
        (vec!["scan", "--raw", "ulaw:0", "x"], "4000-192000"),
        (vec!["scan", "--raw", "ulaw:8000:0", "x"], "channels: 0 – must be 1-8"),
        (vec!["scan", "--raw", "ulaw:8000:9", "x"], "channels: 9 – must be 1-8"),
        (vec!["features", "--threads", "0", "--out", "x", "x"], "--threads"),
        (vec!["scan", "--model", "/nonexistent", "x"], "/nonexistent"),
        (vec!["eval", "--where", "split", "x"], "COLUMN=VALUE"),
        (vec!["frobnicate"], "frobnicate"),
        (vec![], "Usage"),
    ] {
        let output = run(&args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(text(&output.stderr).contains(word), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    for (policy, word) in [
        ("id = 'x'\nspoof_bellow = 1.0", "policy.toml: line 2, column 1: spoof_bellow = 1.0 – unknown field"),
        ("id = 'x'\nspoof_below = 'low'", "policy.toml: line 2, column 15: spoof_below = 'low' – invalid type"),
        ("id = 'x'\nmin_speech_secs = 0", "policy.toml: min_speech_secs: 0 – must be"),
    ] {
        fs::write(folder.path("policy.toml"), policy).expect("a writable folder");
        let output = run(&["scan", "--policy", &folder.arg("policy.toml"), &folder.arg("quiet.wav")]);
        let errors = text(&output.stderr);
        assert!(code(&output) == 2 && errors.contains(word) && errors.lines().count() == 1, "{errors}");
    }
    let nothing = Folder::new();
    assert_eq!(code(&run(&["scan", &nothing.arg("")])), 2, "nothing judged is not 'all genuine'");
}

#[test]
fn help_version_completions_and_pages_come_from_the_table() {
    for args in [&["--help"][..], &["--version"], &["scan", "--help"], &["man"]] {
        let output = run(args);
        assert_eq!(code(&output), 0, "{args:?}");
        assert!(text(&output.stdout).contains("clonewatch"), "{args:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains("follow-symlinks"), "{shell}");
    }
    let folder = Folder::new();
    assert_eq!(code(&run(&["man", "--out", &folder.arg("pages")])), 0);
    let page = fs::read_to_string(folder.path("pages/clonewatch-scan.1")).expect("a page per command");
    assert!(page.contains("\\-\\-follow\\-symlinks"));
    assert!(folder.path("pages/clonewatch-model-verify.1").exists());
}

#[test]
fn the_builtin_model_is_sound() {
    let output = run(&["model", "verify"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&run(&["model", "info"]).stdout).contains("sha256"));
    assert_eq!(code(&run(&["model", "verify", "/nonexistent"])), 2);
}

/// Waits with patience, so that a hang fails the test and does not block it.
fn wait(child: &mut Child) -> i32 {
    let started = Instant::now();
    loop {
        match child.try_wait().expect("a child of ours") {
            Some(status) => return status.code().expect("not ended by a signal"),
            None if started.elapsed() > PATIENCE => {
                child.kill().expect("still running");
                panic!("the program hangs");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let folder = Folder::with_batch(200);
    let mut child = clonewatch()
        .args(["scan", "--format", "jsonl", &folder.arg("")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("{\"schema\""));
    // Not all was delivered, so the code must not say "all genuine".
    assert_eq!(wait(&mut child), 2);
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("UTF-8");
    assert_eq!(errors, "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_finishes_what_runs_and_says_so() {
    let folder = Folder::new();
    silence(&folder.path("000.wav"), 600.0);
    for index in 1..200 {
        fs::hard_link(folder.path("000.wav"), folder.path(&format!("{index:03}.wav"))).expect("a writable folder");
    }
    let mut child = clonewatch()
        .args(["scan", "--threads", "2", "--report", &folder.arg("page.html"), &folder.arg("")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill exists");
    assert!(killed.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(wait(&mut child), 2);
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("UTF-8");
    let line_count = 1 + rest.lines().count();
    assert!(line_count < 200, "the batch was stopped");
    assert!(errors.contains(&format!("{line_count} files: ")), "the summary counts what was printed: {errors}");
    assert!(errors.ends_with("clonewatch: interrupted\n"), "{errors}");
    let page = fs::read_to_string(folder.path("page.html")).expect("what was come to is written");
    assert!(page.contains(&format!("Stopped after {line_count} of 200 recordings: ")), "{line_count}");
    assert!(page.contains("This run was stopped before its end.") && page.ends_with("</html>\n"));
    assert_eq!(page.matches("<td class=\"wrap\">").count(), line_count, "a row for each");
}
