//! Genesys AudioHook.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use tungstenite::Message;

use super::{wire::*, *};

const KEY: &str = "clonewatch-screening";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const SESSION: &str = "30b0e395-84d3-4570-ac13-9a62d8f514c0";
const ORGANIZATION: &str = "d7934305-0972-4844-938e-9060eef73d05";

fn section() -> String {
    format!("[live.genesys]\napi_key = '{KEY}'\nclient_secret = '{}'\n", STANDARD.encode(SECRET))
}

/// A request to `host` as AudioHook signs it.
fn signed(host: &str, nonce: &str) -> Request<'static> {
    let now_secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let headers = [
        ("audiohook-organization-id", ORGANIZATION.to_owned()),
        ("audiohook-session-id", SESSION.to_owned()),
        ("audiohook-correlation-id", "e160e428-53e2-487c-977d-96989bf5c99d".to_owned()),
        ("x-api-key", KEY.to_owned()),
    ];
    let mut base = format!("\"@request-target\": /v1/live/genesys\n\"@authority\": {host}\n");
    let mut names = "\"@request-target\" \"@authority\"".to_owned();
    for (name, value) in &headers {
        base.push_str(&format!("\"{name}\": {value}\n"));
        names.push_str(&format!(" \"{name}\""));
    }
    let parameters = format!(
        "({names});keyid=\"{KEY}\";nonce=\"{nonce}\";alg=\"hmac-sha256\";created={now_secs};expires={}",
        now_secs + 30
    );
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(base.as_bytes());
    let signature = format!("sig1=:{}:", STANDARD.encode(mac.finalize().into_bytes()));
    let mut headers: Vec<_> = headers.into();
    headers.extend([("signature-input", format!("sig1={parameters}")), ("signature", signature)]);
    Request { headers, ..to("/v1/live/genesys") }
}

/// Writes the client's messages.
struct Client {
    seq: u64,
}

impl Client {
    fn say(&mut self, kind: &str, server_seq: u64, parameters: &Value) -> Step {
        self.seq += 1;
        let message = json!({
            "version": "2", "id": SESSION, "type": kind, "seq": self.seq, "serverseq": server_seq, "position": "PT0S",
            "parameters": parameters,
        });
        Step::Text(message.to_string())
    }

    fn open(&mut self, conversation: &str) -> Step {
        let media =
            |channels: &[&str]| json!({ "type": "audio", "format": "PCMU", "channels": channels, "rate": 8000 });
        let parameters = json!({
            "organizationId": ORGANIZATION, "conversationId": conversation,
            "participant": {
                "id": "883efee8-3d6c-4537-b500-6d7ca4b92fa0", "ani": "+1-555-555-1234", "aniName": "John Doe",
                "dnis": "+1-800-555-6789",
            },
            "media": [media(&["external", "internal"]), media(&["external"]), media(&["internal"])],
            "language": "en-US",
        });
        self.say("open", 0, &parameters)
    }
}

/// A whole session of `audio`, stereo, in messages of `bytes`, with a ping in the middle.
fn session(conversation: &str, audio: &[u8], bytes: usize) -> Vec<Step> {
    let mut client = Client { seq: 0 };
    let mut steps = vec![client.open(conversation), Step::Await("opened")];
    let parts: Vec<&[u8]> = audio.chunks(bytes).collect();
    for (index, part) in parts.iter().enumerate() {
        if index == parts.len() / 2 {
            steps.push(client.say("ping", 1, &json!({ "rtt": "PT0.05S" })));
            steps.push(Step::Await("pong"));
        }
        steps.push(Step::Audio(Message::binary(part.to_vec()), part.len() as f64 / 16_000.0));
    }
    steps.push(client.say("close", 2, &json!({ "reason": "end" })));
    steps.extend([Step::Await("closed"), Step::Close]);
    steps
}

fn check(daemon: &Daemon, conversation: &str, heard: &Heard, recorded: &Path) {
    let kinds: Vec<&str> = heard.texts.iter().map(|text| text["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["opened", "pong", "closed"]);
    let numbers: Vec<_> = heard.texts.iter().map(|text| (text["seq"].as_u64(), text["clientseq"].as_u64())).collect();
    assert_eq!(numbers, [(Some(1), Some(1)), (Some(2), Some(2)), (Some(3), Some(3))]);
    let media = &heard.texts[0]["parameters"]["media"];
    assert_eq!((media.as_array().unwrap().len(), &media[0]["channels"]), (1, &json!(["external", "internal"])));
    let (id, kept) = kept(daemon, conversation);
    assert_equals_scan(&result_of(daemon, &id), recorded);
    assert_eq!(alerts(&kept), [("call.alert".to_owned(), "external".to_owned())]);
    assert_eq!((&kept["transport"], &kept["ending"]), (&"genesys".into(), &"completed".into()));
    assert_eq!(
        (&kept["metadata"]["ani"], &kept["party_names"]),
        (&"+1-555-555-1234".into(), &json!(["external", "internal"]))
    );
}

#[test]
fn both_parties_of_a_session_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (cloned, genuine) = (ulaw(CLONED), ulaw(GENUINE));
    let recorded = recording(folder.path(), &[&cloned, &genuine]);
    let audio = interleaved(&[&cloned, &genuine]);
    let (daemon, port) = daemon_over_tcp(&section());
    // One size cuts frames in the middle.
    for (conversation, bytes) in
        [("090eaa2f-72fa-480a-83e0-8667ff89c0ec", 3_200), ("190eaa2f-72fa-480a-83e0-8667ff89c0ec", 1_601)]
    {
        let request = signed("localhost", &format!("a-nonce-of-its-own-{bytes:08}"));
        let heard = request.talk(&daemon, session(conversation, &audio, bytes));
        check(&daemon, conversation, &heard, &recorded);
    }
    let conversation = "290eaa2f-72fa-480a-83e0-8667ff89c0ec";
    let request = signed(&format!("127.0.0.1:{port}"), "a-nonce-of-the-other-client");
    if let Some(heard) = request.talk_python(port, session(conversation, &audio, 3_200)) {
        check(&daemon, conversation, &heard, &recorded);
    }
}

#[test]
fn a_probe_is_answered_and_is_no_call() {
    let daemon = Daemon::start(&Setup { rest: &section(), ..Setup::default() });
    let mut client = Client { seq: 0 };
    let steps = vec![
        client.open("00000000-0000-0000-0000-000000000000"),
        Step::Await("opened"),
        client.say("ping", 1, &json!({})),
        Step::Await("pong"),
        client.say("close", 2, &json!({ "reason": "end" })),
        Step::Await("closed"),
        Step::Close,
    ];
    let heard = signed("localhost", "a-nonce-of-the-only-probe").talk(&daemon, steps);
    assert_eq!(heard.texts.len(), 3);
    assert_eq!(daemon.metric("clonewatch_live_calls_total", ""), 0.0);
    assert!(daemon.get("/v1/scans").json()["scans"].as_array().unwrap().is_empty());
}

#[test]
fn wrong_signatures_and_replays_are_refused() {
    let (daemon, port) = daemon_over_tcp(&section());
    let good = || signed("localhost", "a-nonce-that-is-used-twice");
    assert!(good().open(&daemon).is_ok());
    assert_eq!(good().open(&daemon).err(), Some(401), "a nonce is spent");
    assert_eq!(signed("other.example.com", "a-nonce-for-another-host").open(&daemon).err(), Some(401));
    let mut changed = signed("localhost", "a-nonce-with-another-header");
    changed.headers[1].1 = "00000000-84d3-4570-ac13-9a62d8f514c0".into();
    assert_eq!(changed.open(&daemon).err(), Some(401));
    assert_eq!(daemon.metric("clonewatch_refused_total", "signature"), 3.0);
    let log = daemon.log();
    assert!(log.contains("this signature was used before") && !log.contains(&STANDARD.encode(SECRET)), "{log}");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /v1/live/genesys HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.contains(" 401 "), "unsigned, and without a token: {line}");
}

#[test]
fn who_breaks_the_protocol_is_asked_to_leave() {
    let rest = format!("[live]\nmax_calls = 1\n{}", section());
    let daemon = Daemon::start(&Setup { rest: &rest, ..Setup::default() });
    let mut nonce = 0;
    let mut talk = |steps: Vec<Step>| {
        nonce += 1;
        signed("localhost", &format!("a-nonce-of-its-own-{nonce:08}")).talk(&daemon, steps)
    };
    let info = |heard: &Heard| {
        let said = heard.texts.iter().find(|text| text["type"] == "disconnect").unwrap();
        let parameters = &said["parameters"];
        let text = |name: &str| parameters[name].as_str().unwrap().to_owned();
        (text("reason"), text("info"))
    };
    // It is told why, may close, and gets its answer.
    let mut client = Client { seq: 1 };
    let early = client.open("090eaa2f-72fa-480a-83e0-8667ff89c0ec");
    let mut client = Client { seq: 0 };
    let close = client.say("close", 1, &json!({ "reason": "disconnect" }));
    let heard = talk(vec![early, Step::Await("disconnect"), close, Step::Await("closed"), Step::Close]);
    assert_eq!(info(&heard), ("error".into(), "seq: 2 – must be 1".into()));

    let mut client = Client { seq: 0 };
    let open = match client.open("090eaa2f-72fa-480a-83e0-8667ff89c0ec") {
        Step::Text(text) => Step::Text(text.replace(ORGANIZATION, "x")),
        _ => unreachable!(),
    };
    let heard = talk(vec![open, Step::Await("disconnect"), Step::Close]);
    assert_eq!(info(&heard).0, "unauthorized");

    let mut client = Client { seq: 0 };
    let open = match client.open("090eaa2f-72fa-480a-83e0-8667ff89c0ec") {
        Step::Text(text) => Step::Text(text.replace("PCMU", "OPUS")),
        _ => unreachable!(),
    };
    let heard = talk(vec![open, Step::Await("disconnect"), Step::Close]);
    assert!(info(&heard).1.starts_with("media: none is PCMU"));

    let mut first = signed("localhost", "a-nonce-of-the-first-call").open(&daemon).unwrap();
    let Step::Text(open) = (Client { seq: 0 }).open("190eaa2f-72fa-480a-83e0-8667ff89c0ec") else { unreachable!() };
    first.send(Message::text(open)).unwrap();
    only_call(&daemon);
    let second = (Client { seq: 0 }).open("290eaa2f-72fa-480a-83e0-8667ff89c0ec");
    let heard = talk(vec![second, Step::Await("disconnect"), Step::Close]);
    assert_eq!(info(&heard), ("error".into(), "as many calls go on as may (live.max_calls)".into()));
    // One that goes away without `close`.
    drop(first);
    assert_eq!(kept(&daemon, "190eaa2f-72fa-480a-83e0-8667ff89c0ec").1["ending"], "disconnected");
}

#[test]
fn pauses_and_discarded_audio_are_silence() {
    let folder = tempfile::tempdir().unwrap();
    let (cloned, genuine) = (ulaw(CLONED), ulaw(GENUINE));
    let audio = interleaved(&[&cloned, &genuine]);
    let mut client = Client { seq: 0 };
    let conversation = "390eaa2f-72fa-480a-83e0-8667ff89c0ec";
    let mut steps = vec![client.open(conversation), Step::Await("opened")];
    let play = |audio: &[u8]| -> Vec<Step> {
        audio
            .chunks(1_600)
            .map(|part| Step::Audio(Message::binary(part.to_vec()), part.len() as f64 / 16_000.0))
            .collect()
    };
    steps.extend(play(&audio[..48_000]));
    steps.push(client.say("paused", 1, &json!({})));
    steps.push(client.say("ping", 1, &json!({})));
    steps.push(Step::Await("pong"));
    steps.push(client.say("resumed", 2, &json!({ "start": "PT3S", "discarded": "PT1.5S" })));
    steps.extend(play(&audio[48_000..64_000]));
    steps.push(client.say("discarded", 2, &json!({ "start": "PT5.5S", "discarded": "PT0.25S" })));
    steps.extend(play(&audio[64_000..]));
    steps.push(client.say("dtmf", 2, &json!({ "digit": "5" })));
    steps.push(client.say("close", 2, &json!({ "reason": "end" })));
    steps.extend([Step::Await("closed"), Step::Close]);
    let daemon = Daemon::start(&Setup { rest: &section(), ..Setup::default() });
    signed("localhost", "a-nonce-of-a-call-with-pauses").talk(&daemon, steps);
    let with_pauses = |samples: &[u8]| {
        // µ-law for zero.
        let silence = |samples: usize| vec![0xff; samples];
        [&samples[..24_000], &silence(12_000), &samples[24_000..32_000], &silence(2_000), &samples[32_000..]].concat()
    };
    let frames = cloned.len().min(genuine.len());
    let recorded = recording(folder.path(), &[&with_pauses(&cloned[..frames]), &with_pauses(&genuine[..frames])]);
    let (id, kept) = kept(&daemon, conversation);
    assert_equals_scan(&result_of(&daemon, &id), &recorded);
    assert_eq!(kept["metadata"]["dtmf"], "5");
}
