//! Asterisk's AudioSocket, spoken as Asterisk does.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::*;

/// The other end of an AudioSocket.
pub(super) struct Asterisk(TcpStream);

impl Asterisk {
    pub(super) fn call(port: u16) -> Self {
        let mut socket = Self(TcpStream::connect(("127.0.0.1", port)).unwrap());
        socket.send(0x01, &[0x40; 16]).unwrap();
        socket
    }

    pub(super) fn send(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&[kind], length.as_slice(), payload].concat())
    }

    /// Plays `samples` in messages of `message` samples.
    pub(super) fn play(&mut self, daemon: &Daemon, (kind, rate_hz): (u8, u32), samples: &[i16], message: usize) {
        let secs = |part: &[i16]| part.len() as f64 / f64::from(rate_hz);
        pace(daemon, samples.chunks(message), secs(samples), |part| {
            let bytes: Vec<u8> = part.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            self.send(kind, &bytes).unwrap();
            secs(part)
        });
    }

    pub(super) fn hang_up(&mut self) {
        self.send(0x00, &[]).unwrap();
    }

    /// Everything that is sent back until the other side closes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}

#[test]
fn a_cloned_caller_raises_one_alert_and_the_result_is_scans() {
    let (daemon, port) = daemon("");
    let recording = sample(CLONED);
    let (rate_hz, channels) = decoded(&recording);
    for message in [160, 1_111] {
        let mut asterisk = Asterisk::call(port);
        let call = only_call(&daemon);
        assert_eq!(call["external_id"], "40404040-4040-4040-4040-404040404040");
        let id = call["id"].as_str().unwrap().to_owned();
        let follower = follow(&daemon, &id);
        asterisk.play(&daemon, (0x10, rate_hz), &channels[0], message);
        asterisk.send(0x03, b"5").unwrap();
        asterisk.hang_up();
        let events = follower.join().unwrap();
        assert_eq!(kinds(&events), ["call.state", "call.party", "call.alert", "call.ended"], "{events:#?}");
        check_events(&events, daemon.log().contains("workers are short of time"));
        assert_equals_scan(&result_of(&daemon, &id), &recording);
        let kept = daemon.get(&format!("/v1/calls/{id}")).json();
        assert_eq!((&kept["transport"], &kept["source"]), (&"audio_socket".into(), &"live:audio_socket".into()));
        assert_eq!((&kept["ending"], &kept["metadata"]["dtmf"]), (&"completed".into(), &"5".into()));
        assert_eq!((&kept["party_names"][0], &kept["events"][0]["type"]), (&"caller".into(), &"call.alert".into()));
    }
    let audit = daemon.get("/v1/audit").text();
    assert!(audit.contains("call.started") && audit.contains("call.alert"), "{audit}");
    assert_eq!(daemon.metric("clonewatch_live_alerts_total", "call.alert"), 2.0);
    assert_eq!(daemon.metric("clonewatch_live_skipped_seconds_total", ""), 0.0);
}

/// Verdicts come after three seconds of speech and a second apart, on a busy machine up to four, without gaps in the numbers, and
/// the alert names its evidence.
fn check_events(events: &[Value], is_busy: bool) {
    let verdicts: Vec<&Value> = events.iter().filter(|event| event["type"] == "call.verdict").collect();
    let secs = |event: &Value| event["party"]["audio_secs"].as_f64().unwrap();
    let speech_secs = verdicts[0]["party"]["speech_secs"].as_f64().unwrap();
    let (first, apart) = if is_busy { (7.0, 6.0) } else { (4.5, 3.0) };
    assert!((3.0..first).contains(&speech_secs), "the first verdict came after {speech_secs} s of speech");
    for pair in verdicts.windows(2) {
        assert!(secs(pair[1]) - secs(pair[0]) < apart, "verdicts at {} and {} s", secs(pair[0]), secs(pair[1]));
    }
    let numbers: Vec<u64> = events[1..].iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let alert = &events.iter().find(|event| event["type"] == "call.alert").unwrap()["party"]["alert"];
    assert!(alert["first_evidence_secs"].as_f64().unwrap() < alert["raised_secs"].as_f64().unwrap(), "{alert}");
    assert!(alert["llr"].as_f64().unwrap() < 0.0 && alert["retracted_at"].is_null(), "{alert}");
}

#[test]
fn a_genuine_caller_raises_none() {
    let (daemon, port) = daemon("");
    let recording = sample(GENUINE);
    let (rate_hz, channels) = decoded(&recording);
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    let follower = follow(&daemon, &id);
    asterisk.play(&daemon, (0x10, rate_hz), &channels[0], 320);
    asterisk.hang_up();
    let events = follower.join().unwrap();
    assert_eq!(kinds(&events), ["call.state", "call.party", "call.ended"]);
    assert_eq!(events.last().unwrap()["decision"], "bona_fide");
    assert_equals_scan(&result_of(&daemon, &id), &recording);
}

#[test]
fn other_rates_are_told_by_the_message_type() {
    let (daemon, port) = daemon("");
    let recording = sample("genuine-en-allison.wav");
    let (rate_hz, channels) = decoded(&recording);
    assert_eq!(rate_hz, 16_000);
    let mut asterisk = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    asterisk.play(&daemon, (0x12, rate_hz), &channels[0], 320);
    asterisk.hang_up();
    assert_equals_scan(&result_of(&daemon, &id), &recording);
}

#[test]
fn strangers_and_babblers_are_turned_away() {
    let (daemon, port) = daemon_with("", "allow = ['10.0.0.0/8']");
    assert!(Asterisk(TcpStream::connect(("127.0.0.1", port)).unwrap()).rest().is_empty());
    assert_eq!(daemon.metric("clonewatch_refused_total", "network"), 1.0);
    drop(daemon);

    let (daemon, port) = super::daemon("");
    let mut babbler = Asterisk(TcpStream::connect(("127.0.0.1", port)).unwrap());
    babbler.send(0x10, &[0; 320]).unwrap();
    assert!(babbler.rest().is_empty(), "a call begins with its UUID");
    let mut failing = Asterisk::call(port);
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    failing.send(0xff, &[0x04]).unwrap();
    assert_eq!(result_of(&daemon, &id)["reason"], "no_speech");
    let kept = daemon.get(&format!("/v1/calls/{id}")).json();
    assert_eq!(kept["ending"]["protocol_fault"], "the other side reports error 0x04");
}
