//! A daemon of the bench's own, in a temporary folder, and what the system and its metrics say of it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// Longest time for its start.
const START: Duration = Duration::from_secs(30);
/// Clock ticks per second of `/proc/PID/stat`: fixed for user space by Linux.
const TICKS: f64 = 100.0;

/// The process.
pub(super) struct Daemon {
    folder: tempfile::TempDir,
    child: Child,
    /// Of its AudioSocket.
    pub(super) port: u16,
}

/// What is known of it at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) cpu_secs: f64,
    pub(super) rss_bytes: f64,
    /// Audio screened, audio skipped, seconds between verdicts.
    pub(super) audio_secs: f64,
    pub(super) skipped_secs: f64,
    pub(super) refresh_secs: f64,
}

impl Daemon {
    /// Starts one for `calls` calls.
    pub(super) fn start(workers: usize, calls: usize) -> Result<Self> {
        let fault = |e| Error::io("the bench's daemon", e);
        let folder = tempfile::tempdir().map_err(fault)?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(fault)?.port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "[server]\nunix_socket = '{}'\nmax_connections = 65536\n[store]\ndir = '{}'\n[queue]\nworkers = {workers}\n\
             [log]\nlevel = 'warn'\nformat = 'text'\n[live]\nmax_calls = {calls}\n\
             [live.audiosocket]\nlisten = '127.0.0.1:{port}'\n",
            at("sock"),
            at("state")
        );
        fs::write(folder.path().join("clonewatch.toml"), text).map_err(fault)?;
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(folder.path().join("clonewatch.toml"));
        // As the unit has it.
        command.env("MALLOC_ARENA_MAX", "1");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(fault)?;
        let mut daemon = Self { folder, child, port };
        daemon.until_ready()?;
        Ok(daemon)
    }

    fn until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.get("/healthz").is_err() {
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended || start.elapsed() > START {
                return Err(Error::Fault("the bench's daemon did not start".into()));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Its Unix socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// The body of an answer.
    pub(super) fn get(&self, target: &str) -> Result<String> {
        let asked = UnixStream::connect(self.socket()).and_then(|mut stream| {
            stream.set_read_timeout(Some(START))?;
            write!(stream, "GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        let answer = asked.map_err(|e| Error::io("the bench's daemon", e))?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(body.to_owned())
    }

    pub(super) fn read(&self) -> Result<Reading> {
        let metrics = self.get("/metrics")?;
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
        };
        Ok(Reading {
            at: Instant::now(),
            cpu_secs: self.cpu_secs()?,
            rss_bytes: self.rss_bytes()?,
            audio_secs: value("clonewatch_live_audio_seconds_total"),
            skipped_secs: value("clonewatch_live_skipped_seconds_total"),
            refresh_secs: value("clonewatch_live_refresh_seconds"),
        })
    }

    /// User and system time: fields 14 and 15 of `/proc/PID/stat`, counted after the name's closing parenthesis.
    fn cpu_secs(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / TICKS)
    }

    fn rss_bytes(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.unwrap_or(0.0) * 1024.0)
    }

    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(&path).map_err(|e| Error::io(path, e))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
