//! The daemon as a process, met over its sockets as its clients meet it.

mod access;
mod api;
mod crash;
mod limits;
mod live;
mod openapi;

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::webhook::until;

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_else(|| panic!("{key}: {self:?}")).to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Asserts that it is a problem with `status` and `code`.
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/problem+json")), "{self:?}");
        let problem = self.json();
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(status.into()), Some(code)));
    }
}

/// Sends a request, and reads to the end of the connection; `None` where that ends without an answer.
fn exchange(
    mut stream: impl Read + Write,
    request: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Option<Reply>> {
    let mut head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A refused body is answered, and closed, before all of it is sent.
    let _ = stream.write_all(body);
    read_reply(stream)
}

fn read_reply(mut stream: impl Read) -> std::io::Result<Option<Reply>> {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { return read.map(|_| None) };
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Some(Reply { status, head, body: all[end + 4..].to_vec() }))
}

/// A daemon with a folder of its own.
struct Daemon {
    folder: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    /// With more keys of `[server]`, and more sections.
    fn start(server: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), server, more);
        let child = spawn(folder.path());
        let daemon = Self { folder, child };
        daemon.wait_until_ready();
        daemon
    }

    fn wait_until_ready(&self) {
        until("ready", || matches!(self.try_send("GET /readyz", &[], b""), Ok(Some(reply)) if reply.status == 200));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(self.path("sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(stream)
    }

    fn try_send(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Option<Reply>> {
        exchange(self.connect()?, request, headers, body)
    }

    fn send(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(request, headers, body).unwrap().unwrap_or_else(|| panic!("{request}: no answer"))
    }

    fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), &[], b"")
    }

    fn post_json(&self, path: &str, body: &str) -> Reply {
        self.send(&format!("POST {path}"), &[("content-type", "application/json")], body.as_bytes())
    }

    /// Hands in `audio`, and waits for its verdict.
    fn judged(&self, query: &str, audio: &[u8]) -> Reply {
        let reply = self.send(&format!("POST /v1/scans{query}"), &[("prefer", "wait=60")], audio);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Ends it with `signal`; its exit code.
    fn end(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.child.wait().unwrap().code()
    }

    fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.wait_until_ready();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Names of files in the spool.
    fn spool(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("state/spool")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The database, opened behind the daemon's back.
    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("state/clonewatch.db")).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, server: &str, more: &str) {
    let at = |name: &str| folder.join(name).display().to_string();
    let text =
        format!("[server]\nunix_socket = '{}'\n{server}\n[store]\ndir = '{}'\n{more}\n", at("sock"), at("state"));
    fs::write(folder.join("clonewatch.toml"), text).unwrap();
}

fn spawn(folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clonewatch"));
    command.args(["serve", "--config"]).arg(folder.join("clonewatch.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)).unwrap()
}

/// A tenth of a second that no other `number` has, and that holds no speech.
fn short_wav(number: u32) -> Vec<u8> {
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data".to_vec();
    wav.extend_from_slice(&3_200_u32.to_le_bytes());
    wav.extend_from_slice(&number.to_le_bytes());
    wav.resize(44 + 3_200, 0);
    wav[4..8].copy_from_slice(&3_236_u32.to_le_bytes());
    wav
}

/// A copy of the shipped bundle under another id, which makes it another model: its manifest is what names it.
fn copy_of_bundle(at: &Path, id: &str) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut folders = fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
    let shipped = folders.find(|folder| folder.join("manifest.toml").exists()).unwrap();
    fs::create_dir(at).unwrap();
    for entry in fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, at.join(path.file_name().unwrap())).unwrap();
    }
    let manifest = fs::read_to_string(at.join("manifest.toml")).unwrap();
    let (first_line, rest) = manifest.split_once('\n').unwrap();
    assert!(first_line.starts_with("id = "), "{first_line}");
    fs::write(at.join("manifest.toml"), format!("id = \"{id}\"\n{rest}")).unwrap();
}
