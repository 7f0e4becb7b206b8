//! Watched folders and webhooks of the running daemon: a file becomes a job like any other, is put away with the bytes of
//! `scan`, and its receivers are told once, whatever happens in between.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use clonewatch::store::{self, list, outbox};
use serde_json::Value;

use super::webhook::{Receiver, SECRET, status, text, until};

/// A daemon with a folder of its own.
struct Daemon {
    folder: tempfile::TempDir,
    child: Mutex<Child>,
}

impl Daemon {
    fn start(config: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        let config = config(folder.path());
        fs::write(folder.path().join("clonewatch.toml"), config).unwrap();
        let child = Mutex::new(spawn(folder.path()));
        Self { folder, child }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends it with `signal`, and starts another one on the same folder.
    fn restart(&self, signal: &str) {
        self.signal(signal);
        let mut child = self.child.lock().unwrap();
        child.wait().unwrap();
        *child = spawn(self.folder.path());
    }

    /// All jobs, newest first.
    fn jobs(&self) -> Vec<store::Job> {
        let Ok(connection) = store::open_readonly(&self.path("state")) else { return Vec::new() };
        list::list(&connection, &list::Filter::default(), 1_000).unwrap_or_default()
    }

    /// Events that wait or are dead.
    fn open_events(&self) -> u64 {
        let counts = store::open_readonly(&self.path("state")).and_then(|connection| outbox::counts(&connection));
        counts.map_or(0, |(waiting, dead)| waiting + dead)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn spawn(folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["serve", "--config"]).arg(folder.join("clonewatch.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The sections that every daemon here has; `watch` and `more` come after them.
fn config(folder: &Path, watch: &str, more: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "[server]\nunix_socket = '{}'\n[store]\ndir = '{}'\n[[watch]]\nname = 'intake'\ndir = '{}'\nsettle_secs = 0\n\
         {watch}\n{more}\n",
        at("sock"),
        at("state"),
        at("in"),
    )
}

fn desk(receiver: &Receiver) -> String {
    let url = format!("http://{}/", receiver.address);
    format!("[[webhooks]]\nname = 'desk'\nurl = '{url}'\nsecret = '{SECRET}'\nallow_networks = ['127.0.0.1']\n")
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// Puts a sample into the watched folder, whole at once.
fn drop_in(daemon: &Daemon, name: &str, target: &str) {
    fs::copy(sample(name), daemon.path("upload")).unwrap();
    fs::rename(daemon.path("upload"), daemon.path("in").join(target)).unwrap();
}

/// What `scan` prints for the same bytes under the name they were dropped in with.
fn scan(daemon: &Daemon, name: &str, target: &str) -> Vec<u8> {
    let path = daemon.path("in").join(target);
    let link = daemon.path("in").join(format!(".{target}"));
    fs::copy(sample(name), &link).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    let output: Output = command.args(["scan", "--format", "jsonl"]).arg(&link).output().unwrap();
    fs::remove_file(&link).unwrap();
    text(&output.stdout).replace(&link.display().to_string(), &path.display().to_string()).into_bytes()
}

#[test]
fn a_dropped_file_is_a_job_with_the_bytes_of_scan_and_one_event() {
    let receiver = Receiver::start(status(200));
    let daemon = Daemon::start(|folder| config(folder, "", &desk(&receiver)));
    drop_in(&daemon, "cloned-en-piper.m4a", "a.m4a");
    let (moved, result) = (daemon.path("in/flagged/a.m4a"), daemon.path("in/flagged/a.m4a.json"));
    until(&format!("the file; {}", daemon.log()), || moved.exists());
    let line = fs::read(&result).unwrap();
    assert_eq!(text(&line), text(&scan(&daemon, "cloned-en-piper.m4a", "a.m4a")));
    assert_eq!(fs::read(&moved).unwrap(), fs::read(sample("cloned-en-piper.m4a")).unwrap());
    // The same content again: put away by the same verdict, nobody is told twice.
    drop_in(&daemon, "cloned-en-piper.m4a", "again.m4a");
    until("the second file", || daemon.path("in/flagged/again.m4a").exists());
    until("the event", || !receiver.requests().is_empty() && daemon.open_events() == 0);
    let jobs = daemon.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].source.as_str(), jobs[0].submitted_by.as_str()), ("watch:intake", "watch:intake"));
    let requests = receiver.requests();
    assert!(requests.len() == 1 && requests[0].is_signed(), "{requests:?}");
    let event: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!((&event["data"]["id"], &event["data"]["action"]), (&jobs[0].id.as_str().into(), &"flag".into()));
    assert_eq!(fs::read_dir(daemon.path("state/spool")).unwrap().count(), 0, "no audio is kept");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    let output = doctor.arg("doctor").arg("--config").arg(daemon.path("clonewatch.toml")).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(0) && said.contains("sock: clonewatch answers"), "{said}");
    daemon.signal("-TERM");
    assert_eq!(daemon.child.lock().unwrap().wait().unwrap().code(), Some(0), "{}", daemon.log());
}

#[test]
fn kills_in_between_lose_no_file_and_judge_none_twice() {
    let receiver = Arc::new(Receiver::start(status(200)));
    let daemon = Daemon::start(|folder| config(folder, "", &desk(&receiver)));
    let clips = ["cloned-en-piper.m4a", "cloned-en-hibari.opus", "genuine-it-carlo.opus", "genuine-fr-june.mp3"];
    for (index, clip) in clips.iter().enumerate() {
        drop_in(&daemon, clip, clip);
        // At another stage of the work each time: found, copied, judged, put away.
        std::thread::sleep(std::time::Duration::from_millis(250 + 300 * index as u64));
        daemon.restart("-KILL");
    }
    let is_put_away = |clip: &str| {
        ["accepted", "review", "flagged"].iter().any(|folder| daemon.path("in").join(folder).join(clip).exists())
    };
    until("all files", || clips.iter().all(|clip| is_put_away(clip)));
    until("all events", || daemon.open_events() == 0 && daemon.jobs().len() == clips.len());
    daemon.restart("-TERM");
    until("the new daemon", || daemon.path("sock").exists());
    for clip in clips {
        let folders = ["accepted", "review", "flagged"].map(|folder| daemon.path("in").join(folder));
        let place = folders.iter().find(|folder| folder.join(clip).exists()).unwrap();
        assert_eq!(fs::read(place.join(format!("{clip}.json"))).unwrap(), scan(&daemon, clip, clip), "{clip}");
        assert!(!daemon.path("in").join(clip).exists());
    }
    let jobs = daemon.jobs();
    assert!(jobs.len() == clips.len() && jobs.iter().all(|job| job.revision == 1), "{jobs:?}");
    let mut told: Vec<String> = receiver.requests().iter().map(|r| r.header("webhook-id").to_owned()).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), clips.len(), "each event arrived, a repetition under the same id");
}

#[test]
fn a_reload_changes_folders_and_receivers() {
    let (first, second) = (Receiver::start(status(200)), Receiver::start(status(200)));
    let daemon = Daemon::start(|folder| config(folder, "", &desk(&first)));
    drop_in(&daemon, "hold-music.mp3", "one.mp3");
    until("the first file", || daemon.path("in/review/one.mp3").exists());
    until("its event", || first.requests().len() == 1);
    let changed = config(daemon.folder.path(), "on_done = 'tag'", &desk(&second));
    fs::write(daemon.path("clonewatch.toml"), changed).unwrap();
    daemon.signal("-HUP");
    until("the reload", || daemon.log().matches("watching").count() == 2);
    drop_in(&daemon, "cloned-en-piper.m4a", "two.m4a");
    until("the second file's result", || daemon.path("in/two.m4a.json").exists());
    assert!(daemon.path("in/two.m4a").exists());
    until("its event", || second.requests().len() == 1);
    assert_eq!(first.requests().len(), 1);
    // What cannot be used changes nothing.
    fs::write(daemon.path("clonewatch.toml"), "[[watch]]\nname = 'x'").unwrap();
    daemon.signal("-HUP");
    until("the refusal", || daemon.log().contains("the new configuration is refused"));
    drop_in(&daemon, "genuine-fr-june.mp3", "three.mp3");
    until("the third file's result", || daemon.path("in/three.mp3.json").exists());
    assert!(!daemon.log().contains("MfKQ9r8GKYqr"), "no secret is logged");
}
