//! PCM over a WebSocket.

use base64::{Engine, engine::general_purpose::STANDARD};
use tungstenite::{Message, WebSocket};

use super::{wire::*, *};

/// A WebSocket over the daemon's Unix socket.
fn open(daemon: &Daemon, target: &str) -> WebSocket<UnixStream> {
    to(target).open(daemon).unwrap()
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
        let mut socket = open(&daemon, "/v1/live/pcm?verdicts=true");
        let opening = format!(
            r#"{{"rate":{rate},"channels":2,"parties":["agent","caller"],"external_id":"q-7","queue":"sales"}}"#
        );
        socket.send(Message::text(opening)).unwrap();
        pace(&daemon, both.chunks(message), secs, |part| {
            socket.send(Message::binary(part.to_vec())).unwrap();
            part.len() as f64 / 2.0 / f64::from(rate)
        });
        socket.send(Message::text(r#"{"type":"stop"}"#)).unwrap();
        let Heard { texts: said, code, .. } = listen(&mut socket, Vec::new());
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
    let mut socket = open(&daemon, "/v1/live/pcm?rate=8000&format=mulaw");
    let audio = ulaw(CLONED);
    socket.send(Message::binary(audio[..160].to_vec())).unwrap();
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    // The events of a call over a WebSocket of their own.
    let mut follower = open(&daemon, &format!("/v1/calls/{id}/events"));
    pace(&daemon, audio[160..].chunks(160), audio.len() as f64 / 8_000.0, |part| {
        socket.send(Message::binary(part.to_vec())).unwrap();
        part.len() as f64 / 8_000.0
    });
    socket.close(None).unwrap();
    let Heard { texts: events, code, .. } = listen(&mut follower, Vec::new());
    assert_eq!((kinds(&events), code), (vec!["call.state", "call.alert", "call.ended"], Some(1000)));
    assert_equals_scan(&result_of(&daemon, &id), &recording);
    assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], "completed");
}

#[test]
fn what_cannot_be_heard_is_refused_with_a_reason() {
    let daemon = Daemon::start(&Setup { rest: "[live]\nmax_calls = 1\n", ..Setup::default() });
    let refused = |first: Message| {
        let mut socket = open(&daemon, "/v1/live/pcm");
        socket.send(first).unwrap();
        let heard = listen(&mut socket, Vec::new());
        (heard.code.unwrap(), heard.reason)
    };
    let (code, reason) = refused(Message::text("{}"));
    assert!(code == 1007 && reason.starts_with("rate: missing"), "{code} {reason}");
    let (code, reason) = refused(Message::text(r#"{"rate":8000,"policy":"none"}"#));
    assert!(code == 1008 && reason.starts_with("policy"), "{code} {reason}");
    let mut first = open(&daemon, "/v1/live/pcm?rate=8000");
    first.send(Message::text("{}")).unwrap();
    only_call(&daemon);
    assert_eq!(refused(Message::text(r#"{"rate":8000}"#)).0, 1013);
    assert_eq!(daemon.get("/v1/live/pcm").problem(), "upgrade_required");
    assert_eq!(daemon.get(&format!("/v1/calls/{}/events", "0".repeat(32))).problem(), "no_such_call");
}

/// As FreeSWITCH's mod_audio_fork does, with the token as the password.
#[test]
fn a_client_that_is_not_ours_sends_pcm() {
    let (daemon, port) = daemon_over_tcp("");
    let recording = sample(CLONED);
    let (_, channels) = decoded(&recording);
    let bytes: Vec<u8> = channels[0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut steps =
        vec![Step::Text(r#"{"rate":8000,"external_id":"q-8","verdicts":true}"#.into()), Step::Await("call.accepted")];
    steps.extend(
        bytes.chunks(640).map(|part| Step::Audio(Message::binary(part.to_vec()), part.len() as f64 / 16_000.0)),
    );
    steps.extend([Step::Text(r#"{"type":"stop"}"#.into()), Step::Await("call.ended")]);
    let credentials = STANDARD.encode(format!("pbx:{TOKEN}"));
    let request = Request {
        target: "/v1/live/pcm",
        headers: vec![("authorization", format!("Basic {credentials}"))],
        subprotocol: Some("audio.drachtio.org"),
    };
    let Some(heard) = request.talk_python(port, steps) else { return };
    assert_eq!(
        (heard.code, heard.subprotocol.as_deref()),
        (Some(1000), Some("audio.drachtio.org")),
        "{}",
        heard.reason
    );
    assert_eq!(heard.texts.iter().filter(|text| text["type"] == "call.alert").count(), 1);
    assert_equals_scan(&result_of(&daemon, &kept(&daemon, "q-8").0), &recording);
}
