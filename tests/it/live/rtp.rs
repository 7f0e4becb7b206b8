//! Plain RTP ports.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clonewatch::rtp::Packet;
use serde_json::Value;

use super::{CLONED, GENUINE, follow, has_program, kinds, only_call, pace, result_of};
use crate::{
    capture::{self, Stream},
    daemon::{Daemon, Setup, sample, scan_line},
    webhook::until,
};

/// A free UDP port that is even, with the next even one free as well.
pub(super) fn free_ports() -> u16 {
    let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let ports = (0..200).filter_map(|_| {
        let port = UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port() & !1;
        (port < 65_000 && is_free(port) && is_free(port + 2)).then_some(port)
    });
    ports.into_iter().next().unwrap()
}

pub(super) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn daemon(port: u16, more: &str) -> Daemon {
    let rest = format!("[[live.rtp]]\nname = 'fork'\nlisten = '127.0.0.1:{port}'\nidle_secs = 2\n{more}\n");
    Daemon::start(&Setup { rest: &rest, ..Setup::default() })
}

/// A recording as RTP packets of 20 ms.
pub(super) fn spoken(name: &str, source: &str) -> Vec<Vec<u8>> {
    let data = capture::wav_data(&sample(name));
    Stream::new(0, source, "127.0.0.1:1", data).packets().into_iter().map(|(_, datagram)| datagram).collect()
}

/// Channel of a scan without its number.
pub(super) fn channel(result: &Value, index: usize) -> Value {
    let mut channel = result["channels"][index].clone();
    assert_eq!(channel["channel"], index);
    channel.as_object_mut().unwrap().remove("channel");
    channel
}

pub(super) fn scanned(path: &Path) -> Value {
    serde_json::from_slice(&scan_line(path)).unwrap()
}

/// Sends the packets of several parties side by side.
pub(super) fn send_together(daemon: &Daemon, parties: &[(&UdpSocket, SocketAddr, Vec<Vec<u8>>)]) {
    const PACKET_SECS: f64 = 0.02;
    let most = parties.iter().map(|(_, _, packets)| packets.len()).max().unwrap();
    pace(daemon, 0..most, most as f64 * PACKET_SECS, |i| {
        let packets = parties.iter().filter_map(|(socket, to, packets)| Some((socket, to, packets.get(i)?)));
        packets.map(|(socket, to, packet)| socket.send_to(packet, *to).map(|_| PACKET_SECS).unwrap()).sum()
    });
}

pub(super) fn alerts(events: &[Value]) -> Vec<&str> {
    let alerts = events.iter().filter(|event| event["type"] == "call.alert");
    alerts.map(|event| event["party"]["name"].as_str().unwrap()).collect()
}

#[test]
fn a_pair_of_ports_is_caller_and_agent_and_only_the_clone_raises_an_alert() {
    let port = free_ports();
    let daemon = daemon(port, "calls = 'pair'");
    let (caller, agent) = (socket(), socket());
    let to = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let (mut cloned, genuine) = (spoken(CLONED, "127.0.0.1:7"), spoken(GENUINE, "127.0.0.1:8"));
    // Out of order, repeated, and with what is no RTP in between.
    let count = cloned.len();
    (40..count - 8).step_by(8).for_each(|i| cloned.swap(i, i + 5));
    (50..count).step_by(50).for_each(|i| cloned.insert(i, cloned[i - 3].clone()));
    cloned.insert(60, b"\x80\xC8 a report".to_vec());
    caller.send_to(b"stray", to(port)).unwrap();
    send_together(
        &daemon,
        &[(&caller, to(port), cloned[..10].to_vec()), (&agent, to(port + 2), genuine[..10].to_vec())],
    );
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    let follower = follow(&daemon, &id);
    send_together(
        &daemon,
        &[(&caller, to(port), cloned[10..].to_vec()), (&agent, to(port + 2), genuine[10..].to_vec())],
    );

    let result = result_of(&daemon, &id);
    assert_eq!(channel(&result, 0), channel(&scanned(&sample(CLONED)), 0));
    assert_eq!(channel(&result, 1), channel(&scanned(&sample(GENUINE)), 0));
    let events = follower.join().unwrap();
    assert_eq!(alerts(&events), ["caller"]);
    assert_eq!(kinds(&events).last(), Some(&"call.ended"));
    let call = daemon.get(&format!("/v1/calls/{id}")).json();
    assert_eq!(call["party_names"], serde_json::json!(["caller", "agent"]));
    assert_eq!((&call["transport"], &call["ending"]), (&"rtp".into(), &"completed".into()));
}

#[test]
fn strangers_and_stray_packets_are_no_calls() {
    let port = free_ports();
    let closed = daemon(port, "allow = ['10.0.0.0/8']");
    let sender = socket();
    let packets = spoken(GENUINE, "127.0.0.1:9");
    for packet in &packets[..50] {
        sender.send_to(packet, ("127.0.0.1", port)).unwrap();
    }
    assert!(closed.get("/v1/calls").json()["calls"].as_array().unwrap().is_empty());
    drop(closed);

    let port = free_ports();
    let open = daemon(port, "max_calls = 1");
    sender.send_to(&packets[0], ("127.0.0.1", port)).unwrap();
    let (first, second) = (socket(), socket());
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    send_together(&open, &[(&first, to, packets[..20].to_vec())]);
    send_together(&open, &[(&second, to, packets[..20].to_vec())]);
    let peer = only_call(&open)["peer"].clone();
    assert_eq!(peer, first.local_addr().unwrap().to_string());
    until("the refusal in the log", || open.log().contains("as many calls go on as may on this port"));
}

/// Where packets came from, and each with its microsecond.
type Relayed = (SocketAddr, Vec<(u64, Vec<u8>)>);

/// Forwards what ffmpeg sends and keeps it, with its time.
fn relay(from: UdpSocket, to: SocketAddr) -> thread::JoinHandle<Relayed> {
    thread::spawn(move || {
        let out = socket();
        let (started, mut kept, mut buffer) = (Instant::now(), Vec::new(), [0; 2_048]);
        while let Ok((bytes, _)) = from.recv_from(&mut buffer) {
            from.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            out.send_to(&buffer[..bytes], to).unwrap();
            kept.push((started.elapsed().as_micros() as u64, buffer[..bytes].to_vec()));
        }
        (out.local_addr().unwrap(), kept)
    })
}

fn ffmpeg(clip: &str, codec: &[&str], port: u16) -> Child {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-readrate", "3", "-i"]).arg(sample(clip)).args(codec);
    ffmpeg.args(["-f", "rtp", &format!("rtp://127.0.0.1:{port}")]).stdout(Stdio::null());
    ffmpeg.spawn().unwrap()
}

#[test]
fn what_ffmpeg_sends_is_heard_as_a_capture_of_it_is() {
    let Some(folder) = crate::screener::ffmpeg_folder() else { return };
    let port = free_ports();
    let daemon = daemon(port, "payloads = { 111 = 'opus/48000/2' }");
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let cases: [(&str, &[&str], &str); 3] = [
        (CLONED, &["-c:a", "copy"], "spoof"),
        ("genuine-ru-ivrvoice.flac", &["-c:a", "g722", "-ar", "16000", "-t", "12"], "bona_fide"),
        ("cloned-en-kokoro.wav", &["-c:a", "libopus", "-ar", "48000", "-b:a", "32k", "-payload_type", "111"], "spoof"),
    ];
    for (index, (clip, codec, decision)) in cases.iter().enumerate() {
        let inlet = socket();
        let mut child = ffmpeg(clip, codec, inlet.local_addr().unwrap().port());
        let relay = relay(inlet, to);
        let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
        assert!(child.wait().unwrap().success());
        let (source, packets) = relay.join().unwrap();
        assert!(packets.iter().filter(|(_, packet)| Packet::parse(packet).is_some()).count() > 40);
        let framed = packets.into_iter().map(|(at, packet)| (at, capture::frame(source, to, &packet)));
        let media = format!("m=audio {port} RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n");
        let frames: Vec<_> = [capture::invite("127.0.0.1", &media)].into_iter().chain(framed).collect();
        let path = folder.path().join(format!("{index}.pcap"));
        std::fs::write(&path, capture::pcap(&frames)).unwrap();
        let (captured, heard) = (scanned(&path), result_of(&daemon, &id));
        assert_eq!(channel(&heard, 0), channel(&captured, 0), "{clip}");
        assert_eq!(heard["decision"], *decision, "{clip}");
        until("the end", || daemon.get("/v1/calls").json()["calls"].as_array().unwrap().is_empty());
    }
}

/// A media proxy without its kernel module, ended with the test.
struct Rtpengine {
    child: Child,
    control: UdpSocket,
    _folder: tempfile::TempDir,
}

impl Rtpengine {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_ports());
        let mut command = Command::new("rtpengine");
        command.args(["--foreground", "--log-stderr", "--table=-1", "--interface=127.0.0.1", "--port-min=37000"]);
        command.args(["--port-max=37100", &format!("--listen-ng=127.0.0.1:{port}")]);
        command.arg(format!("--pidfile={}", folder.path().join("pid").display())).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let control = socket();
        control.connect(("127.0.0.1", port)).unwrap();
        control.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let engine = Self { child, control, _folder: folder };
        until("rtpengine", || engine.ask("d7:command4:pinge").is_some_and(|answer| answer.contains("pong")));
        engine
    }

    /// One command of the ng protocol: a cookie and a dictionary in bencoding.
    fn ask(&self, dictionary: &str) -> Option<String> {
        static COOKIE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let cookie = format!("c{} ", COOKIE.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.control.send(format!("{cookie}{dictionary}").as_bytes()).ok()?;
        let mut buffer = [0; 8_192];
        let bytes = self.control.recv(&mut buffer).ok()?;
        std::str::from_utf8(&buffer[..bytes]).ok()?.strip_prefix(&cookie).map(str::to_owned)
    }

    /// Offers or answers for one side at `port`; the port that stands for it.
    fn side(&self, command: &str, port: u16) -> u16 {
        let sdp = format!(
            "v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=sendrecv\r\n"
        );
        let mut pairs = vec![("call-id", "c1"), ("command", command), ("from-tag", "a"), ("sdp", &sdp)];
        if command == "answer" {
            pairs.push(("to-tag", "b"));
        }
        let text = |text: &str| format!("{}:{text}", text.len());
        let body: String = pairs.iter().map(|(key, value)| text(key) + &text(value)).collect();
        let answer = self.ask(&format!("d{body}e")).unwrap();
        answer.split("m=audio ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_rtpengine_forwards_is_heard_unchanged() {
    if !has_program("rtpengine", "--version") {
        return;
    }
    let port = free_ports();
    let daemon = daemon(port, "");
    let engine = Rtpengine::start();
    let caller = socket();
    // The far end of the leg is our port.
    engine.side("offer", caller.local_addr().unwrap().port());
    let inlet = SocketAddr::from(([127, 0, 0, 1], engine.side("answer", port)));
    let packets = spoken(CLONED, "127.0.0.1:5");
    send_together(&daemon, &[(&caller, inlet, packets[..10].to_vec())]);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    send_together(&daemon, &[(&caller, inlet, packets[10..].to_vec())]);
    assert_eq!(channel(&result_of(&daemon, &id), 0), channel(&scanned(&sample(CLONED)), 0));
}
