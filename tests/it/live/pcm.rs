//! PCM over a WebSocket.

use std::net::TcpStream;

use tungstenite::{Message, WebSocket, client::IntoClientRequest};

use super::*;

/// A WebSocket over the daemon's Unix socket.
fn open(daemon: &Daemon, target: &str) -> Result<WebSocket<UnixStream>, Box<tungstenite::Error>> {
    let request = format!("ws://localhost{target}").into_client_request().unwrap();
    match tungstenite::client(request, daemon.connect().unwrap()) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
        Err(interrupted) => panic!("{interrupted}"),
    }
}

fn read_until_closed(socket: &mut WebSocket<UnixStream>) -> (Vec<Value>, Option<u16>) {
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => said.push(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => return (said, frame.map(|frame| frame.code.into())),
            Ok(_) => {}
            Err(error) => panic!("{error} after {said:#?}"),
        }
    }
}

#[test]
fn both_parties_of_a_call_are_told_apart() {
    let daemon = Daemon::start(&Setup::default());
    let recording = sample("call-agent-left-caller-right.wav");
    let (rate, channels) = decoded(&recording);
    let both: Vec<u8> =
        channels[0].iter().zip(&channels[1]).flat_map(|(l, r)| [l.to_le_bytes(), r.to_le_bytes()]).flatten().collect();
    let secs = channels[0].len() as f64 / f64::from(rate);
    // One size cuts frames in the middle.
    for message in [1_280, 3_001] {
        let mut socket = open(&daemon, "/v1/live/pcm?verdicts=true").unwrap();
        let opening = format!(
            r#"{{"rate":{rate},"channels":2,"parties":["agent","caller"],"external_id":"q-7","queue":"sales"}}"#
        );
        socket.send(Message::text(opening)).unwrap();
        pace(both.chunks(message), secs, |part| socket.send(Message::binary(part.to_vec())).unwrap());
        socket.send(Message::text(r#"{"type":"stop"}"#)).unwrap();
        let (said, code) = read_until_closed(&mut socket);
        assert_eq!(code, Some(1000));
        assert_eq!(said[0]["type"], "call.accepted");
        let id = said[0]["call"].as_str().unwrap();
        let alerts: Vec<&Value> = said.iter().filter(|event| event["type"] == "call.alert").collect();
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        assert_eq!((&alerts[0]["party"]["name"], &alerts[0]["party"]["index"]), (&"caller".into(), &1.into()));
        let last = said.last().unwrap();
        assert_eq!((&last["type"], &last["decision"]), (&"call.ended".into(), &"spoof".into()));
        assert_equals_scan(&result_of(&daemon, id), &recording);
        let kept = daemon.get(&format!("/v1/calls/{id}")).json();
        assert_eq!((&kept["name"], &kept["metadata"]["queue"]), (&"q-7".into(), &"sales".into()));
    }
}

#[test]
fn companded_audio_needs_no_text_at_all() {
    let daemon = Daemon::start(&Setup::default());
    let recording = sample(CLONED);
    let wav = std::fs::read(&recording).unwrap();
    let start = wav.windows(4).position(|name| name == b"data").unwrap() + 8;
    let mut socket = open(&daemon, "/v1/live/pcm?rate=8000&format=mulaw").unwrap();
    let audio = &wav[start..];
    socket.send(Message::binary(audio[..160].to_vec())).unwrap();
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    // The events of a call over a WebSocket of their own.
    let mut follower = open(&daemon, &format!("/v1/calls/{id}/events")).unwrap();
    pace(audio[160..].chunks(160), audio.len() as f64 / 8_000.0, |part| {
        socket.send(Message::binary(part.to_vec())).unwrap();
    });
    socket.close(None).unwrap();
    let (events, code) = read_until_closed(&mut follower);
    assert_eq!((kinds(&events), code), (vec!["call.state", "call.alert", "call.ended"], Some(1000)));
    assert_equals_scan(&result_of(&daemon, &id), &recording);
    assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], "completed");
}

#[test]
fn what_cannot_be_heard_is_refused_with_a_reason() {
    let daemon = Daemon::start(&Setup { rest: "[live]\nmax_calls = 1\n", ..Setup::default() });
    let refused = |first: Message| {
        let mut socket = open(&daemon, "/v1/live/pcm").unwrap();
        socket.send(first).unwrap();
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => {
                    break frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (code, reason) = refused(Message::text("{}")).unwrap();
    assert!(code == 1007 && reason.starts_with("rate: missing"), "{code} {reason}");
    let (code, reason) = refused(Message::text(r#"{"rate":8000,"policy":"none"}"#)).unwrap();
    assert!(code == 1008 && reason.starts_with("policy"), "{code} {reason}");
    let mut first = open(&daemon, "/v1/live/pcm?rate=8000").unwrap();
    first.send(Message::text("{}")).unwrap();
    only_call(&daemon);
    assert_eq!(refused(Message::text(r#"{"rate":8000}"#)).unwrap().0, 1013);
    assert_eq!(daemon.get("/v1/live/pcm").problem(), "upgrade_required");
    assert_eq!(daemon.get(&format!("/v1/calls/{}/events", "0".repeat(32))).problem(), "no_such_call");
}

#[test]
fn over_tcp_a_token_is_needed() {
    let port = free_port();
    let token = format!("[[tokens]]\nname = 'pbx'\nhash = 'sha256:{}'\nscopes = ['submit']\n", "0".repeat(64));
    let server = format!("tcp = '127.0.0.1:{port}'");
    let _daemon = Daemon::start(&Setup { server: &server, rest: &token, ..Setup::default() });
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("ws://127.0.0.1:{port}/v1/live/pcm").into_client_request().unwrap();
    match tungstenite::client(request, stream) {
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => assert_eq!(answer.status(), 401),
        other => panic!("{other:?}"),
    }
}
