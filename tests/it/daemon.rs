//! `clonewatch serve` as a process of its own, on a temporary folder, spoken to over its Unix socket.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use serde_json::Value;

use super::webhook::until;

/// Longest wait for an answer. Nothing is measured by it: it ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lines of the configuration, by section; `rest` brings sections of its own.
#[derive(Default, Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) server: &'a str,
    pub(super) queue: &'a str,
    pub(super) rest: &'a str,
}

impl Setup<'_> {
    /// The whole file, for a daemon in `folder`.
    pub(super) fn text(&self, folder: &Path) -> String {
        let at = |name: &str| folder.join(name).display().to_string();
        format!(
            "[server]\nunix_socket = '{}'\n{}\n[store]\ndir = '{}'\n[queue]\n{}\n{}\n",
            at("sock"),
            self.server,
            at("state"),
            self.queue,
            self.rest
        )
    }
}

/// The process and its folder: `clonewatch.toml`, `sock`, `state/`, `log`.
pub(super) struct Daemon {
    folder: tempfile::TempDir,
    child: Mutex<Child>,
}

impl Daemon {
    /// Starts one, and waits until it answers.
    pub(super) fn start(setup: &Setup<'_>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setup)
    }

    /// [`Daemon::start`] on a folder that may hold something already.
    pub(super) fn start_in(folder: tempfile::TempDir, setup: &Setup<'_>) -> Self {
        fs::write(folder.path().join("clonewatch.toml"), setup.text(folder.path())).unwrap();
        let child = Mutex::new(spawn(folder.path()));
        let daemon = Self { folder, child };
        daemon.until_ready();
        daemon
    }

    pub(super) fn until_ready(&self) {
        until("the daemon to answer", || {
            let ended = self.child.lock().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}; {}", self.log());
            self.ask("GET", "/healthz").is_ok_and(|reply| reply.status == 200)
        });
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(super) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(super) fn ended(&self) -> ExitStatus {
        self.child.lock().unwrap().wait().unwrap()
    }

    /// `kill -9`.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again after its end; does not wait until it answers.
    pub(super) fn spawn_again(&self) {
        *self.child.lock().unwrap() = spawn(self.folder.path());
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(super) fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.path("sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends `bytes` as they are, and reads the answer. What the daemon does not want to read may stay unsent.
    pub(super) fn raw(&self, bytes: &[u8]) -> io::Result<Reply> {
        let mut stream = self.connect()?;
        let sent = stream.write_all(bytes);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        match Reply::parse(&answer) {
            Some(reply) => Ok(reply),
            None => Err(sent.and(read.map(drop)).err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// A request with `headers` (each with its line break) and `body`.
    pub(super) fn send(&self, line: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: clonewatch\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// A request without a body.
    pub(super) fn ask(&self, method: &str, target: &str) -> io::Result<Reply> {
        self.send(&format!("{method} {target}"), "", b"")
    }

    pub(super) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target).unwrap()
    }

    /// Hands in `audio`.
    pub(super) fn upload(&self, query: &str, audio: &[u8]) -> io::Result<Reply> {
        self.send(&format!("POST /v1/scans{query}"), "Content-Type: application/octet-stream\r\n", audio)
    }

    /// Hands in `audio`, which must be accepted; its id.
    pub(super) fn submit(&self, query: &str, audio: &[u8]) -> String {
        let reply = self.upload(query, audio).unwrap();
        assert!(matches!(reply.status, 200 | 202), "{reply:?}; {}", self.log());
        reply.id()
    }

    /// Waits until scan `id` has ended; the scan.
    pub(super) fn finished(&self, id: &str) -> Value {
        let scan = || self.get(&format!("/v1/scans/{id}")).json();
        until(&format!("scan {id}; {}", self.log()), || matches!(scan()["state"].as_str(), Some("done" | "failed")));
        scan()
    }

    /// Names in the spool.
    pub(super) fn spool(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("state/spool")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The sum of the metric `name` over labels that contain `label`.
    pub(super) fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.get("/metrics").text();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Resident memory at its highest, in KiB, as the system counts it.
    pub(super) fn peak_rss_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    /// Resident memory, in KiB.
    pub(super) fn rss_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
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
    command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    // As the unit has it.
    command.env("MALLOC_ARENA_MAX", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let (head, body) = bytes.split_at(end);
        let head = String::from_utf8(head.to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let reply = Self { status, head, body: body.to_vec() };
        let is_whole = reply.header("content-length").is_none_or(|bytes| bytes.parse() == Ok(body.len()));
        is_whole.then_some(reply)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("no id: {self:?}")).to_owned()
    }

    /// Asserts that it is a problem, and gives its `code`.
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A clip of `samples/`.
pub(super) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// What `scan` prints for the file at `path`.
pub(super) fn scan_line(path: &Path) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.current_dir(path.parent().unwrap()).args(["scan", "--format", "jsonl"]).arg(path.file_name().unwrap());
    command.output().unwrap().stdout
}
