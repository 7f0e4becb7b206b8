//! Live calls against the running daemon: verdicts while the call goes on, alerts, results that equal `scan`'s, and what happens
//! to calls that end badly.

mod asterisk_ws;
mod audiosocket;
mod console;
mod core;
mod genesys;
mod pcm;
mod rtp;
mod siprec;
mod soak;
mod top;
mod twilio;
mod wire;

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use clonewatch::decode::{Decoder, Limits, OpenOptions};
use serde_json::Value;

use super::{
    daemon::{Daemon, Setup, sample, scan_line},
    tools::{has_program, has_tool},
    webhook::until,
};

pub(super) const GENUINE: &str = "genuine-it-menardi.ulaw.wav";
pub(super) const CLONED: &str = "cloned-en-piper.ulaw.wav";
/// How much faster than life audio is sent: the inbox holds ten seconds, and screening keeps up with more than this.
pub(super) const HASTE: f64 = 3.0;
/// Most seconds of audio that [`pace`] leaves unheard, of all parties.
const LEAD_SECS: f64 = 8.0;

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Rate and channels of a recording, as 16-bit samples: what its codec decodes to.
pub(super) fn decoded(path: &Path) -> (u32, Vec<Vec<i16>>) {
    let file = File::open(path).unwrap();
    let mut decoder = Decoder::open(Box::new(file), &OpenOptions::default(), &Limits::default()).unwrap();
    let info = decoder.info().clone();
    let mut channels = vec![Vec::new(); usize::from(info.channels)];
    while let Some(block) = decoder.next_block().unwrap() {
        for (index, channel) in channels.iter_mut().enumerate() {
            channel.extend(block.channel(index).iter().map(|sample| (sample * 32_768.0) as i16));
        }
    }
    (info.sample_rate_hz, channels)
}

/// Sends parts of audio to `daemon`, of `secs` in all, at [`HASTE`] or as fast as it hears them: a busy machine takes longer,
/// but skips nothing. `send` returns how many seconds it has sent, of all parties.
pub(super) fn pace<T>(
    daemon: &Daemon,
    parts: impl ExactSizeIterator<Item = T>,
    secs: f64,
    mut send: impl FnMut(T) -> f64,
) {
    let heard_secs = || daemon.metric("clonewatch_live_audio_seconds_total", "");
    let (start, count) = (std::time::Instant::now(), parts.len());
    let mut sent_secs = heard_secs();
    let mut allowed_secs = sent_secs + LEAD_SECS;
    for (index, part) in parts.enumerate() {
        sent_secs += send(part);
        if sent_secs > allowed_secs {
            until("what was sent to be heard", || sent_secs <= heard_secs() + LEAD_SECS);
            allowed_secs = heard_secs() + LEAD_SECS;
        }
        let due = Duration::from_secs_f64(secs / HASTE * (index + 1) as f64 / count as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
}

/// The one call that goes on.
pub(super) fn only_call(daemon: &Daemon) -> Value {
    let calls = || daemon.get("/v1/calls").json()["calls"].clone();
    until("a call", || calls().as_array().unwrap().len() == 1);
    calls()[0].clone()
}

/// Follows call `id` until its end.
pub(super) fn follow(daemon: &Daemon, id: &str) -> JoinHandle<Vec<Value>> {
    let mut stream: UnixStream = daemon.connect().unwrap();
    write!(stream, "GET /v1/calls/{id}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let (begun, began) = mpsc::sync_channel(1);
    let follower = thread::spawn(move || {
        let mut events = Vec::new();
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if let Some(data) = line.strip_prefix("data: ") {
                events.push(serde_json::from_str(data).unwrap());
                let _ = begun.try_send(());
            }
        }
        events
    });
    began.recv_timeout(Duration::from_secs(60)).expect("the state comes first");
    follower
}

/// Types of events, without those that come again and again.
pub(super) fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["type"].as_str().unwrap());
    kinds.filter(|kind| !matches!(*kind, "call.verdict" | "call.listening" | "call.note")).collect()
}

/// The result of call `id`, once it is there.
pub(super) fn result_of(daemon: &Daemon, id: &str) -> Value {
    assert_eq!(daemon.finished(id)["state"], "done", "{}", daemon.log());
    daemon.get(&format!("/v1/scans/{id}/result")).json()
}

/// Asserts that a call's channels are those that `scan` finds in the recording.
pub(super) fn assert_equals_scan(call: &Value, recording: &Path) {
    let scanned: Value = serde_json::from_slice(&scan_line(recording)).unwrap();
    assert_eq!(call["channels"], scanned["channels"], "{}", recording.display());
    assert_eq!((&call["decision"], &call["llr"]), (&scanned["decision"], &scanned["llr"]));
    assert!(!scanned["channels"][0]["segments"].as_array().unwrap().is_empty());
}

/// A daemon with an AudioSocket port, and more of `[live]`.
pub(super) fn daemon(live: &str) -> (Daemon, u16) {
    daemon_with(live, "")
}

pub(super) fn daemon_with(live: &str, audiosocket: &str) -> (Daemon, u16) {
    let port = free_port();
    let rest = format!("[live]\n{live}\n[live.audiosocket]\nlisten = '127.0.0.1:{port}'\n{audiosocket}\n");
    (Daemon::start(&Setup { rest: &rest, ..Setup::default() }), port)
}
