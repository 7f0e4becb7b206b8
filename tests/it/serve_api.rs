//! The HTTP API as its clients meet it: the daemon as a process, curl at the other end.

mod access;
mod description;
mod judgement;
mod lists;

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use super::{
    tools::has_tool,
    webhook::{text, until},
};

/// A policy that calls nothing cloned.
const LENIENT: &str = "[policies.lenient]\nspoof_below = -50.0\nbona_fide_above = -40.0\n[policies.lenient.insert]\nspoof_below = -90.0\n";

/// False, with a word on it, where curl is missing; in CI that is a failure.
fn has_curl() -> bool {
    has_tool("curl", Command::new("curl").arg("--version"))
}

/// A daemon on a folder of its own.
struct Daemon {
    folder: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    /// With `config` after the sections that every daemon here has.
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), config);
        Self { folder, child }
    }

    /// Ends it in good order, and starts another one on the same folder.
    fn restart(&mut self, config: &str) {
        self.stop();
        self.child = spawn(self.folder.path(), config);
    }

    fn stop(&mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Port of the TCP listener.
    fn port(&self) -> u16 {
        let log = self.log();
        let port = log.rsplit("address=127.0.0.1:").next().and_then(|rest| rest.split_whitespace().next());
        port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {log}"))
    }

    /// What `path` answers over the Unix socket to curl with `args`.
    fn ask(&self, args: &[&str], path: &str) -> Answer {
        let socket = self.path("sock").display().to_string();
        Answer::of(curl(&[&["--unix-socket", &socket], args].concat(), &format!("http://localhost{path}")))
    }

    /// Hands a sample in and waits for its verdict; the scan.
    fn judged(&self, sample: &str, args: &[&str], query: &str) -> Value {
        let body = format!("@{}", samples().join(sample).display());
        let args = [&["-H", "Prefer: wait=60", "--data-binary", &body], args].concat();
        let answer = self.ask(&args, &format!("/v1/scans?{query}"));
        assert_eq!(answer.status, 200, "{}\n{}", answer.body_text(), self.log());
        answer.json()
    }

    fn id(scan: &Value) -> &str {
        scan["id"].as_str().unwrap()
    }

    /// One of the program's commands on this daemon's configuration.
    fn command(&self, args: &[&str]) -> Output {
        let config = self.path("clonewatch.toml");
        clonewatch().args(args).arg("--config").arg(config).output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a daemon answers at `socket`.
fn answers(socket: &Path) -> bool {
    let asked = UnixStream::connect(socket).and_then(|mut stream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: clonewatch\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

fn spawn(folder: &Path, config: &str) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let socket = folder.join("sock");
    let config = config.replace("FOLDER", &folder.display().to_string());
    // Keys of [server] that a test adds come first.
    let own = format!("unix_socket = '{}'\n[store]\ndir = '{}'\n", at("sock"), at("state"));
    let whole = match config.strip_prefix("[server]\n") {
        Some(rest) => {
            let (keys, sections) = rest.split_at(rest.find('[').unwrap_or(rest.len()));
            format!("[server]\n{keys}{own}{sections}")
        }
        None => format!("[server]\n{own}{config}"),
    };
    fs::write(folder.join("clonewatch.toml"), whole).unwrap();
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = clonewatch();
    command.args(["serve", "--config"]).arg(folder.join("clonewatch.toml"));
    command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    // The socket is there before the others are open: an answer over it comes after.
    until("the daemon to answer", || {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(!has_ended(&child), "it ended: {}", log());
        answers(&socket)
    });
    child
}

/// A child that has ended is a zombie until it is waited for.
fn has_ended(child: &Child) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| stat.contains(") Z "))
}

fn clonewatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_clonewatch"))
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// The line that `scan` prints for a sample by its own name.
fn scan(sample: &str) -> String {
    let mut command = clonewatch();
    command.current_dir(samples()).args(["scan", "--format", "jsonl", sample]);
    text(&command.output().unwrap().stdout)
}

fn curl(args: &[&str], url: &str) -> Output {
    Command::new("curl").args(["-sS", "-i", "-m", "90", "-H", "Expect:"]).args(args).arg(url).output().unwrap()
}

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(output: Output) -> Self {
        let whole = output.stdout;
        let end = whole.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", text(&output.stderr)));
        let head = text(&whole[..end]);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Self { status, head, body: whole[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next().unwrap_or("")
    }

    fn body_text(&self) -> String {
        text(&self.body)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head, self.body_text()))
    }

    /// Checks that it is a problem with this status and code.
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.head, self.body_text());
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str().unwrap()), (status, code), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["type"] == "about:blank");
        assert!(problem["detail"].as_str().unwrap().len() > 5, "{problem}");
    }
}

#[test]
fn a_raw_upload_that_waits_gets_the_bytes_of_scan() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start("");
    for sample in ["cloned-en-piper.m4a", "genuine-fr-june.gsm", "hold-music.mp3"] {
        let scan_of = scan(sample);
        let whole = daemon.judged(sample, &[], &format!("name={sample}"));
        assert_eq!(whole["state"], "done");
        assert_eq!(whole["result"], serde_json::from_str::<Value>(&scan_of).unwrap());
        let answer = daemon.ask(&[], &format!("/v1/scans/{}/result", Daemon::id(&whole)));
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.body_text(), scan_of, "{sample}");
        let detail = daemon.ask(&[], &format!("/v1/scans/{}", Daemon::id(&whole)));
        assert!(detail.body_text().contains(scan_of.trim_end()), "the result's own bytes are in the scan");
        assert_eq!(whole["audio_kept"], false);
    }
    assert_eq!(fs::read_dir(daemon.path("state/spool")).unwrap().count(), 0, "no audio is kept");
}

#[test]
fn a_form_that_does_not_wait_gets_an_id_to_ask_for() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start("[server]\nmax_wait_secs = 61\n");
    let file = format!("file=@{}", samples().join("genuine-fr-june.mp3").display());
    let form = ["-F", &file, "-F", "label=case 7", "-F", "source=desk"];
    let answer = daemon.ask(&form, "/v1/scans");
    assert_eq!(answer.status, 202, "{}", answer.body_text());
    let scan_of = answer.json();
    assert_eq!((&scan_of["result"], &scan_of["llr"]), (&Value::Null, &Value::Null));
    let location = answer.header("location");
    assert_eq!(location, format!("/v1/scans/{}", Daemon::id(&scan_of)));
    until("the verdict", || daemon.ask(&[], location).json()["state"] == "done");
    let done = daemon.ask(&[], location).json();
    assert_eq!((&done["label"], &done["source"]), (&"case 7".into(), &"desk".into()));
    assert_eq!(done["name"], "genuine-fr-june.mp3", "the file's own name");
    assert_eq!(daemon.ask(&[], &format!("{location}/result")).body_text(), scan("genuine-fr-june.mp3"));
    let capped = daemon.ask(&["-H", "Prefer: respond-async, wait=600", "-F", &file], "/v1/scans?name=x.mp3");
    assert_eq!((capped.status, capped.header("preference-applied")), (200, "wait=61"), "no longer than is allowed");
}

#[test]
fn an_idempotency_key_stands_for_one_job() {
    if !has_curl() {
        return;
    }
    let daemon = Daemon::start(LENIENT);
    let key = ["-H", "Idempotency-Key: order 66"];
    let body = format!("@{}", samples().join("cloned-en-piper.m4a").display());
    let first = daemon.ask(&[&key[..], &["--data-binary", &body]].concat(), "/v1/scans");
    assert_eq!(first.status, 202);
    // The second waits for the first one's verdict.
    let again = daemon.judged("cloned-en-piper.m4a", &key, "");
    assert_eq!(Daemon::id(&again), Daemon::id(&first.json()));
    let other = format!("@{}", samples().join("hold-music.mp3").display());
    daemon.ask(&[&key[..], &["--data-binary", &other]].concat(), "/v1/scans").is_problem(422, "idempotency_key");
    let policy = daemon.ask(&[&key[..], &["--data-binary", &body]].concat(), "/v1/scans?policy=lenient");
    policy.is_problem(422, "idempotency_key");
    assert_eq!(daemon.ask(&[], "/v1/scans").json()["scans"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(daemon.path("state/spool")).unwrap().count(), 0, "what was refused is gone");
}

#[test]
fn flagged_audio_is_kept_as_long_as_asked_and_can_be_heard_again() {
    if !has_curl() {
        return;
    }
    let kept = format!("[retention]\nflagged_audio_days = 1\n{LENIENT}");
    let mut daemon = Daemon::start(&kept);
    let spooled = |daemon: &Daemon| fs::read_dir(daemon.path("state/spool")).unwrap().count();
    let genuine = daemon.judged("genuine-es-allison.m4a", &[], "");
    assert_eq!((&genuine["audio_kept"], spooled(&daemon)), (&false.into(), 0));
    let cloned = daemon.judged("cloned-en-piper.m4a", &[], "");
    assert_eq!((&cloned["audio_kept"], spooled(&daemon)), (&true.into(), 1));
    daemon.restart(&kept);
    let place = format!("/v1/scans/{}", Daemon::id(&cloned));
    assert_eq!(daemon.ask(&[], &place).json()["audio_kept"], true);
    let again = daemon.ask(&["--json", r#"{"policy":"default","from":"audio"}"#], &format!("{place}/rejudge"));
    assert_eq!((again.status, again.json()["judged_from"].as_str()), (202, Some("audio")));
    until("the second verdict", || daemon.ask(&[], &place).json()["revision"] == 2);
    let results = [1, 2].map(|n| daemon.ask(&[], &format!("{place}/result?revision={n}")).body_text());
    assert_eq!(results[0], results[1], "the same audio, model and policy");
    // Nothing is to be kept any more.
    daemon.restart(LENIENT);
    until("the purge", || spooled(&daemon) == 0);
    until("the note of it", || daemon.ask(&[], &place).json()["audio_kept"] == false);
    let log = daemon.ask(&[], &format!("/v1/audit?scan={}", Daemon::id(&cloned))).body_text();
    assert!(log.contains("audio.purged"), "{log}");
    let none = daemon.ask(&["--json", r#"{"policy":"default","from":"audio"}"#], &format!("{place}/rejudge"));
    none.is_problem(409, "no_audio");
}
