//! Twilio Media Streams and Telnyx media streaming.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use tungstenite::Message;

use super::{wire::*, *};

const URL: &str = "wss://screen.example.com/v1/live/twilio";
const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn twilio_section() -> String {
    format!("[live.twilio]\npublic_url = '{URL}'\nauth_token = '{AUTH_TOKEN}'\n")
}

fn signed(url: &str) -> Request<'static> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(AUTH_TOKEN.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Request { headers: vec![("x-twilio-signature", signature)], ..to("/v1/live/twilio") }
}

fn start(call: &str, tracks: &[&str]) -> Vec<Step> {
    let start = json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0",
        "start": {
            "accountSid": "AC123", "streamSid": "MZ18ad3ab5a668481ce02b83e7395059f0", "callSid": call, "tracks": tracks,
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": { "queue": "sales" },
        },
    });
    let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
    vec![Step::Text(connected.to_string()), Step::Text(start.to_string())]
}

/// Piece `chunk` (from 1) of a track, with so many bytes in each.
fn media(track: &str, chunk: usize, bytes: usize, payload: &[u8]) -> Step {
    let timestamp = (chunk - 1) * bytes / 8;
    let media = json!({
        "event": "media", "sequenceNumber": "3", "streamSid": "MZ1",
        "media": {
            "track": track, "chunk": chunk.to_string(), "timestamp": timestamp.to_string(),
            "payload": STANDARD.encode(payload),
        },
    });
    Step::Audio(Message::text(media.to_string()), payload.len() as f64 / 8_000.0)
}

fn stop() -> Vec<Step> {
    let dtmf = json!({ "event": "dtmf", "dtmf": { "track": "inbound_track", "digit": "7" } });
    let stop = json!({ "event": "stop", "stop": { "accountSid": "AC123", "callSid": "CA1" } });
    [dtmf, stop].map(|message| Step::Text(message.to_string())).into()
}

/// A call of a cloned caller with a genuine agent, in pieces of `bytes`.
fn both_parties(call: &str, bytes: usize) -> Vec<Step> {
    let (cloned, genuine) = (ulaw(CLONED), ulaw(GENUINE));
    let pieces = cloned.chunks(bytes).zip(genuine.chunks(bytes)).enumerate();
    let mut steps = start(call, &["inbound", "outbound"]);
    for (index, (inbound, outbound)) in pieces {
        let outbound = media("outbound", index + 1, bytes, &outbound[..inbound.len().min(outbound.len())]);
        let Step::Audio(outbound, _) = outbound else { unreachable!() };
        steps.push(Step::Audio(outbound, 0.0));
        steps.push(media("inbound", index + 1, bytes, inbound));
    }
    steps.extend(stop());
    steps
}

/// The same as a recording, of which the outbound channel is as long as the inbound.
fn both_recorded(folder: &Path) -> std::path::PathBuf {
    let (cloned, genuine) = (ulaw(CLONED), ulaw(GENUINE));
    recording(folder, &[&cloned, &genuine])
}

fn check_both(daemon: &Daemon, call: &str, recorded: &Path) {
    let (id, kept) = kept(daemon, call);
    assert_equals_scan(&result_of(daemon, &id), recorded);
    assert_eq!(alerts(&kept), [("call.alert".to_owned(), "inbound".to_owned())]);
    assert_eq!((&kept["ending"], &kept["metadata"]["queue"]), (&"completed".into(), &"sales".into()));
    assert_eq!((&kept["metadata"]["dtmf"], &kept["party_names"][1]), (&"7".into(), &"outbound".into()));
}

#[test]
fn both_parties_of_a_twilio_call_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = both_recorded(folder.path());
    let daemon = Daemon::start(&Setup { rest: &twilio_section(), ..Setup::default() });
    for (call, bytes) in [("CA20", 160), ("CA123", 1_000)] {
        let heard = signed(URL).talk(&daemon, both_parties(call, bytes));
        assert_eq!((heard.code, heard.texts.len()), (Some(1000), 0), "{}", heard.reason);
        check_both(&daemon, call, &recorded);
        assert_eq!(kept(&daemon, call).1["transport"], "twilio");
    }
}

#[test]
fn a_client_that_is_not_ours_plays_twilio() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, port) = daemon_over_tcp(&twilio_section());
    let Some(heard) = signed(URL).talk_python(port, both_parties("CA9", 160)) else { return };
    assert_eq!(heard.code, Some(1000), "{}", heard.reason);
    check_both(&daemon, "CA9", &both_recorded(folder.path()));
}

#[test]
fn lost_pieces_are_silence_and_disorder_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = ulaw(CLONED);
    let last = samples.len() / 160;
    let mut pieces: Vec<usize> = (0..=last).filter(|index| !(100..110).contains(index) && *index != 200).collect();
    // Swapped, late within the window, repeated, and one far too late.
    pieces.swap(20, 21);
    pieces[40..45].reverse();
    pieces.insert(60, pieces[59]);
    pieces.insert(250, 200);
    let mut steps = start("CA7", &["inbound"]);
    for index in pieces {
        let end = samples.len().min((index + 1) * 160);
        steps.push(media("inbound", index + 1, 160, &samples[index * 160..end]));
    }
    steps.extend(stop());
    let daemon = Daemon::start(&Setup { rest: &twilio_section(), ..Setup::default() });
    signed(URL).talk(&daemon, steps);
    // µ-law for zero.
    samples[16_000..17_600].fill(0xff);
    samples[32_000..32_160].fill(0xff);
    let (id, _) = kept(&daemon, "CA7");
    assert_equals_scan(&result_of(&daemon, &id), &recording(folder.path(), &[&samples]));
}

#[test]
fn who_signs_wrongly_and_who_does_not_sign_is_turned_away() {
    let (daemon, port) = daemon_over_tcp(&twilio_section());
    assert_eq!(signed("wss://other.example.com/v1/live/twilio").open(&daemon).err(), Some(401));
    assert_eq!(daemon.metric("clonewatch_refused_total", "signature"), 1.0);
    assert!(daemon.log().contains("live.twilio.public_url") && !daemon.log().contains(AUTH_TOKEN));
    assert!(signed(URL).open(&daemon).is_ok() && to("/v1/live/twilio").open(&daemon).is_ok());
    let status = |target: &str, header: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
        )
        .unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let basic = |password: &str| format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("pbx:{password}")));
    for (target, header, expected) in [
        ("/v1/live/twilio", String::new(), 401),
        ("/v1/live/twilio", format!("Authorization: Bearer {TOKEN}\r\n"), 101),
        ("/v1/live/twilio", basic(TOKEN), 101),
        ("/v1/live/twilio", basic("wrong"), 401),
        ("/v1/live/twilio?token=a-token-for-tests", String::new(), 401),
        ("/v1/live/telnyx?token=a-token-for-tests", String::new(), 101),
        ("/v1/live/telnyx?token=wrong", String::new(), 401),
        ("/v1/live/telnyx?token=a-token-for-tests", basic("wrong"), 401),
        ("/v1/live/pcm?token=a-token-for-tests", String::new(), 401),
        ("/v1/calls", basic(TOKEN), 401),
    ] {
        assert_eq!(status(target, &header), expected, "{target} {header}");
    }
    assert!(!daemon.log().contains(TOKEN), "tokens are never logged");
}

#[test]
fn broken_streams_are_closed_with_a_reason_and_keep_what_was_heard() {
    let daemon = Daemon::start(&Setup::default());
    let talk = |steps: Vec<Step>| {
        let heard = to("/v1/live/twilio").talk(&daemon, steps);
        (heard.code.unwrap(), heard.reason)
    };
    let twice = start("CA1", &[]).into_iter().chain(start("CA1", &[]));
    for (steps, code, expected) in [
        (vec![Step::Binary(vec![0; 160])], 1003, "a media stream is made of text"),
        (vec![Step::Text("{".into())], 1007, "no message of a media stream"),
        (stop().into_iter().take(1).collect(), 1008, "`start` must come first"),
        (twice.collect(), 1007, "`start` came twice"),
    ] {
        let (got, reason) = talk(steps);
        assert!(got == code && reason.starts_with(expected), "{got} {reason}: {expected}");
    }
    let mut steps = start("CA4", &["inbound"]);
    steps.extend((1..=300).map(|chunk| media("inbound", chunk, 160, &[0xff; 160])));
    steps.push(Step::Text(r#"{"event":"media","media":{"payload":"?"}}"#.into()));
    assert_eq!(talk(steps), (1007, "media.payload: must be base64".into()));
    let (id, kept) = kept(&daemon, "CA4");
    assert_eq!(kept["ending"]["protocol_fault"], "media.payload: must be base64");
    assert_eq!(result_of(&daemon, &id)["input"]["duration_secs"], 6.0);
    let tracks: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let tracks: Vec<&str> = tracks.iter().map(String::as_str).collect();
    assert_eq!(talk(start("CA5", &tracks)), (1007, "a call has at most 8 parties".into()));
}

#[test]
fn a_caller_that_disappears_leaves_its_result() {
    let daemon = Daemon::start(&Setup::default());
    let mut socket = to("/v1/live/twilio").open(&daemon).unwrap();
    let mut steps = start("CA6", &["inbound"]);
    steps.extend(
        ulaw(CLONED)[..48_000].chunks(160).enumerate().map(|(index, part)| media("inbound", index + 1, 160, part)),
    );
    for step in steps {
        match step {
            Step::Text(text) => socket.send(Message::text(text)).unwrap(),
            Step::Audio(message, _) => socket.send(message).unwrap(),
            _ => unreachable!(),
        }
    }
    drop(socket);
    let (id, kept) = kept(&daemon, "CA6");
    assert_eq!(
        (&kept["ending"], &result_of(&daemon, &id)["input"]["duration_secs"]),
        (&"disconnected".into(), &6.0.into())
    );
}

/// A Telnyx call of one track, in pieces of `bytes` that come in the order that `order` makes of them.
fn telnyx(call: &str, encoding: &str, rate_hz: u32, pieces: Vec<(usize, Vec<u8>)>, piece_secs: f64) -> Vec<Step> {
    let start = json!({
        "event": "start", "sequence_number": "1", "stream_id": "32DE0DEA-53CB-4B21-89A4-9E1819C043BC",
        "start": {
            "user_id": "3E6F995F", "call_control_id": call, "from": "+13122010094", "to": "+13122123456",
            "media_format": { "encoding": encoding, "sample_rate": rate_hz, "channels": 1 },
        },
    });
    let mut steps =
        vec![Step::Text(r#"{"event":"connected","version":"1.0.0"}"#.into()), Step::Text(start.to_string())];
    steps.extend(pieces.into_iter().map(|(index, payload)| {
        let media = json!({
            "event": "media", "sequence_number": "4", "stream_id": "32DE0DEA",
            "media": {
                "track": "inbound", "chunk": (index + 1).to_string(),
                "timestamp": ((index as f64 * piece_secs * 1_000.0) as u64).to_string(), "payload": STANDARD.encode(payload),
            },
        });
        Step::Audio(Message::text(media.to_string()), piece_secs)
    }));
    steps.push(Step::Text(r#"{"event":"stop","sequence_number":"9","stop":{"call_control_id":"v2:1"}}"#.into()));
    steps
}

/// Pieces by threes: 2, 3, 1, 5, 6, 4, ….
fn shuffled<T>(mut pieces: Vec<T>) -> Vec<T> {
    pieces.chunks_mut(3).for_each(|three| three.rotate_left(1));
    pieces
}

#[test]
fn telnyx_pieces_come_out_of_order_and_in_other_codecs() {
    let (daemon, port) = daemon_over_tcp("");
    let samples = ulaw(GENUINE);
    for (call, bytes) in [("v2:20", 160), ("v2:60", 480)] {
        let pieces = samples.chunks(bytes).map(<[u8]>::to_vec).enumerate().collect();
        let steps = telnyx(call, "PCMU", 8_000, shuffled(pieces), bytes as f64 / 8_000.0);
        let heard = if bytes == 160 {
            let request =
                Request { target: &format!("/v1/live/telnyx?token={TOKEN}"), headers: Vec::new(), subprotocol: None };
            let Some(heard) = request.talk_python(port, steps) else { continue };
            heard
        } else {
            to("/v1/live/telnyx").talk(&daemon, steps)
        };
        assert_eq!(heard.code, Some(1000), "{}", heard.reason);
        let (id, kept) = kept(&daemon, call);
        assert_equals_scan(&result_of(&daemon, &id), &sample(GENUINE));
        assert_eq!((&kept["transport"], &kept["metadata"]["from"]), (&"telnyx".into(), &"+13122010094".into()));
        assert_eq!((alerts(&kept).len(), &kept["decision"]), (0, &"bona_fide".into()));
    }
    assert!(!daemon.log().contains(TOKEN), "tokens are never logged");
    // 16 bits as RTP has them.
    let recorded = sample("genuine-en-allison.wav");
    let (rate_hz, channels) = decoded(&recorded);
    let pieces = channels[0].chunks(320).map(|part| part.iter().flat_map(|sample| sample.to_be_bytes()).collect());
    to("/v1/live/telnyx").talk(&daemon, telnyx("v2:l16", "L16", rate_hz, shuffled(pieces.enumerate().collect()), 0.02));
    let (id, _) = kept(&daemon, "v2:l16");
    assert_equals_scan(&result_of(&daemon, &id), &recorded);
    let heard = to("/v1/live/telnyx").talk(&daemon, telnyx("v2:amr", "AMR-WB", 16_000, Vec::new(), 0.02));
    assert_eq!((heard.code, heard.reason.starts_with("codec: \"amr-wb\"")), (Some(1007), true), "{}", heard.reason);
}
