//! Captured calls: each RTP stream of a pcap is judged as a recording of the same audio would be.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use clonewatch::{
    decode::Limits,
    model::ModelBundle,
    policy::{Decision, Policy, Reason},
    report::{Picture, Portrait},
    rtp::Packet,
    scan::{Engine, ScanResult, Scanned, load_model},
};

pub(crate) const GENUINE: &str = "genuine-it-menardi.ulaw.wav";
pub(crate) const CLONED: &str = "cloned-en-piper.ulaw.wav";

static MODEL: LazyLock<Arc<ModelBundle>> = LazyLock::new(|| Arc::new(load_model(None).unwrap()));

pub(crate) fn engine(limits: Limits) -> Engine {
    let model = Arc::clone(&MODEL);
    let policy = Policy::default_of(&model.manifest().thresholds);
    Engine { model, policy, limits }
}

pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// The bytes of a WAV's data chunk.
pub(crate) fn wav_data(path: &Path) -> Vec<u8> {
    let wav = std::fs::read(path).unwrap();
    let mut at = 12;
    loop {
        let bytes = u32::from_le_bytes(wav[at + 4..at + 8].try_into().unwrap()) as usize;
        if &wav[at..at + 4] == b"data" {
            return wav[at + 8..at + 8 + bytes].to_vec();
        }
        at += 8 + bytes + bytes % 2;
    }
}

/// A stream to be: payloads of 20 ms with 160 ticks between them.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) payload_type: u8,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) data: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(payload_type: u8, from: &str, to: &str, data: Vec<u8>) -> Self {
        Self { payload_type, from: from.parse().unwrap(), to: to.parse().unwrap(), data }
    }

    /// Microsecond and datagram of each packet.
    pub(crate) fn packets(&self) -> Vec<(u64, Vec<u8>)> {
        let ssrc = u32::from(self.from.port());
        let packet = |(i, payload): (usize, &[u8])| {
            let (sequence, timestamp) = (65_000_u16.wrapping_add(i as u16), (i as u32).wrapping_mul(160));
            let packet = Packet { marker: i == 0, payload_type: self.payload_type, sequence, timestamp, ssrc, payload };
            (i as u64 * 20_000, packet.to_bytes())
        };
        self.data.chunks(160).enumerate().map(packet).collect()
    }
}

/// An Ethernet frame of IPv4 and UDP.
pub(crate) fn frame(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let octets = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().octets(),
        SocketAddr::V6(_) => panic!("IPv4 is written only"),
    };
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((28 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(octets(from));
    frame.extend(octets(to));
    frame.extend(from.port().to_be_bytes());
    frame.extend(to.port().to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// Microsecond and frame of each packet, in order of time.
pub(crate) fn frames(streams: &[Stream]) -> Vec<(u64, Vec<u8>)> {
    let framed = |stream: &Stream| {
        let (from, to) = (stream.from, stream.to);
        stream.packets().into_iter().map(|(at, datagram)| (at, frame(from, to, &datagram))).collect::<Vec<_>>()
    };
    let mut frames: Vec<_> = streams.iter().flat_map(framed).collect();
    frames.sort_by_key(|(at, _)| *at);
    frames
}

pub(crate) fn pcap(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        file.extend(field.to_le_bytes());
    }
    for (at, frame) in frames {
        let secs = 1_700_000_000 + at / 1_000_000;
        for field in [secs as u32, (at % 1_000_000) as u32, frame.len() as u32, frame.len() as u32] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// Big-endian, with nanoseconds, a block of no interest, and padding.
fn pcapng(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let length = (12 + padded as u32).to_be_bytes();
        [&kind.to_be_bytes()[..], &length, body, &vec![0; padded - body.len()], &length].concat()
    };
    let mut file = block(0x0A0D_0D0A, &[0x1A, 0x2B, 0x3C, 0x4D, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    file.extend(block(1, &[0, 1, 0, 0, 0, 4, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]));
    file.extend(block(5, &[0; 13]));
    for (at, frame) in frames {
        let nanos = at * 1_000;
        let mut body = vec![0; 4];
        body.extend(nanos.to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend(frame);
        file.extend(block(6, &body));
    }
    file
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn scan(path: &Path) -> ScanResult {
    engine(Limits::default()).scan_path(path, None).unwrap()
}

fn call() -> [Stream; 2] {
    let agent = Stream::new(0, "192.0.2.1:4000", "192.0.2.2:5000", wav_data(&sample(GENUINE)));
    let caller = Stream::new(0, "192.0.2.2:5000", "192.0.2.1:4000", wav_data(&sample(CLONED)));
    [agent, caller]
}

#[test]
fn streams_are_judged_as_recordings_of_the_same_audio_are() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(&call());
    for (name, bytes) in [("pcap", pcap(&frames)), ("pcapng", pcapng(&frames))] {
        let result = scan(&write(folder.path(), &format!("call.{name}"), &bytes));
        assert_eq!((result.input.container.as_deref(), result.input.codec.as_deref()), (Some(name), Some("pcmu")));
        assert_eq!((result.input.sample_rate_hz, result.input.channels), (Some(8_000), Some(2)));
        assert_eq!((result.decision, result.channels.len()), (Decision::Spoof, 2), "{:?}", result.detail);
        for (channel, recording) in result.channels.iter().zip([GENUINE, CLONED]) {
            let expected = &scan(&sample(recording)).channels[0].verdict;
            assert_eq!(&channel.verdict, expected, "{recording} in {name}");
        }
    }
}

#[test]
fn streams_are_drawn_as_recordings_of_the_same_audio_are() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write(folder.path(), "call.pcap", &pcap(&frames(&call())));
    let limits = Limits::default();
    let drawn = |path: &Path| {
        let draw = |mut scanned: Scanned<'_>| Portrait::of(&mut scanned, &limits, &|| true);
        engine(Limits::default()).scan_path_then(path, None, draw).unwrap().1.pictures
    };
    let pictures = drawn(&capture);
    assert_eq!(pictures.iter().map(|picture| picture.channel).collect::<Vec<_>>(), [0, 1]);
    for (picture, recording) in pictures.into_iter().zip([GENUINE, CLONED]) {
        let expected = drawn(&sample(recording));
        assert_eq!([Picture { channel: 0, ..picture }].as_slice(), expected, "{recording}");
    }
}

#[test]
fn g722_is_judged_as_a_recording_of_the_same_audio_is() {
    let Some(folder) = crate::screener::ffmpeg_folder() else { return };
    let path = folder.path().join("a.wav");
    let clip = sample("cloned-en-kokoro.wav");
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(clip).args(["-c:a", "g722", "-ar", "16000", "-ac", "1"]).arg(&path);
    assert!(ffmpeg.status().unwrap().success());
    let stream = Stream::new(9, "192.0.2.1:4000", "192.0.2.2:5000", wav_data(&path));
    let result = scan(&write(folder.path(), "a.pcap", &pcap(&frames(&[stream]))));
    assert_eq!(result.input.codec.as_deref(), Some("g722"));
    assert_eq!(result.channels[0].verdict, scan(&path).channels[0].verdict);
}

/// A SIP message in which `address` says by what its owner receives.
pub(crate) fn invite(address: &str, media: &str) -> (u64, Vec<u8>) {
    let text = format!(
        "INVITE sip:b@example.com SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 {address}\r\n{media}"
    );
    (0, frame("192.0.2.9:5060".parse().unwrap(), "192.0.2.8:5060".parse().unwrap(), text.as_bytes()))
}

#[test]
fn what_cannot_be_heard_is_said_and_never_called_genuine() {
    let folder = tempfile::tempdir().unwrap();
    let [agent, _] = call();
    let other = |payload_type| Stream::new(payload_type, "192.0.2.3:5000", "192.0.2.1:4100", vec![7; 160 * 200]);
    let sdp = |media: &str| invite("192.0.2.1", media);
    let lost = |frames: Vec<(u64, Vec<u8>)>| frames.into_iter().enumerate().filter(|(i, _)| i % 4 != 3).map(|(_, f)| f);
    let cases = [
        ("g729", frames(&[agent.clone(), other(18)]), Reason::Undecodable, "g729 is not supported"),
        ("dynamic", frames(&[agent.clone(), other(97)]), Reason::Undecodable, "payload type 97"),
        (
            "named",
            [vec![sdp("m=audio 4100 RTP/AVP 97\r\na=rtpmap:97 AMR-WB/16000\r\n")], frames(&[agent.clone(), other(97)])]
                .concat(),
            Reason::Undecodable,
            "amr-wb is not supported",
        ),
        (
            "encrypted",
            [vec![sdp("m=audio 4100 RTP/SAVP 0\r\n")], frames(&[agent.clone(), other(0)])].concat(),
            Reason::Undecodable,
            "from 192.0.2.3:5000 to 192.0.2.1:4100 is encrypted",
        ),
        (
            "lost",
            lost(frames(std::slice::from_ref(&agent))).collect(),
            Reason::Damaged,
            "25 % of its packets are missing",
        ),
    ];
    for (name, frames, reason, detail) in cases {
        let result = scan(&write(folder.path(), name, &pcap(&frames)));
        assert_eq!(
            (result.decision, result.reason),
            (Decision::Inconclusive, Some(reason)),
            "{name}: {:?}",
            result.detail
        );
        assert!(result.detail.as_deref().is_some_and(|said| said.contains(detail)), "{name}: {:?}", result.detail);
        assert_eq!(result.channels.len(), 1, "{name}");
    }
}

#[test]
fn dynamic_payload_types_are_known_from_sip_messages() {
    let folder = tempfile::tempdir().unwrap();
    let [mut agent, _] = call();
    agent.payload_type = 98;
    let sdp = invite("192.0.2.2", "m=audio 5000 RTP/AVP 98\r\na=rtpmap:98 PCMU/8000\r\n");
    // The message may also come after the audio.
    let frames = [frames(&[agent]), vec![sdp]].concat();
    let result = scan(&write(folder.path(), "call.cap", &pcap(&frames)));
    assert_eq!(result.channels[0].verdict, scan(&sample(GENUINE)).channels[0].verdict);
}

#[test]
fn limits_hold_for_captures() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "call.pcap", &pcap(&frames(&call())));
    let cases = [
        (Limits { max_streams: 1, ..Limits::default() }, "max_streams"),
        (Limits { max_decoded_secs: 2, ..Limits::default() }, "max_decoded_secs"),
        (Limits { max_bytes: 20_000, ..Limits::default() }, "max_bytes"),
    ];
    for (limits, which) in cases {
        let result = engine(limits).scan_path(&path, None).unwrap();
        assert!(result.detail.as_deref().is_some_and(|detail| detail.contains(which)), "{which}: {:?}", result.detail);
        assert_ne!(result.decision, Decision::BonaFide, "{which}");
    }
}

#[test]
fn captures_without_calls_and_broken_ones_are_inconclusive() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = ("192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
    let dns: Vec<_> = (0..50_u8).map(|i| (u64::from(i), frame(from, to, &[i; 40]))).collect();
    let good = pcap(&frames(&call()));
    let mut huge_record = good[..24].to_vec();
    huge_record.extend([0xFF; 40]);
    let cases = [
        ("dns", pcap(&dns), "no RTP stream among 50 UDP datagrams"),
        ("empty", good[..24].to_vec(), "no RTP stream among 0 UDP datagrams"),
        ("head", good[..20].to_vec(), "ends within its header"),
        ("huge", huge_record, "a record of"),
    ];
    for (name, bytes, detail) in cases {
        let result = scan(&write(folder.path(), name, &bytes));
        assert_eq!(result.reason, Some(Reason::Undecodable), "{name}");
        assert!(result.detail.as_deref().is_some_and(|said| said.contains(detail)), "{name}: {:?}", result.detail);
    }
    // Any cut and any flipped byte: no panic, no wrong acquittal of nothing.
    let small = pcapng(&frames(&call())[..40]);
    for at in (0..small.len()).step_by(211) {
        let mut bytes = small.clone();
        bytes[at] ^= 0xFF;
        assert_ne!(scan(&write(folder.path(), "flipped", &bytes)).decision, Decision::BonaFide);
        assert_ne!(scan(&write(folder.path(), "cut", &small[..at])).decision, Decision::BonaFide);
    }
}
