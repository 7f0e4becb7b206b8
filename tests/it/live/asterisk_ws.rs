//! Asterisk's WebSocket channel, spoken as Asterisk does.

use base64::{Engine, engine::general_purpose::STANDARD};
use tungstenite::Message;

use super::{wire::*, *};

fn channel(target: &str) -> Request<'_> {
    Request { target, headers: Vec::new(), subprotocol: Some("media") }
}

fn start(style: &str, format: &str) -> Step {
    let channel = "WebSocket/clonewatch/0x5140001a0040";
    Step::Text(match style {
        "plain-text" => {
            format!("MEDIA_START connection_id:clonewatch channel:{channel} format:{format} optimal_frame_size:160")
        }
        _ => format!(
            r#"{{"event":"MEDIA_START","connection_id":"clonewatch","channel":"{channel}","channel_id":"1761245643.1",
               "format":"{format}","optimal_frame_size":160,"ptime":20,"channel_variables":{{"QUEUE":"sales"}}}}"#
        ),
    })
}

fn play(audio: &[u8], frame: usize, bytes_per_sec: f64) -> impl Iterator<Item = Step> {
    audio.chunks(frame).map(move |part| Step::Audio(Message::binary(part.to_vec()), part.len() as f64 / bytes_per_sec))
}

#[test]
fn a_cloned_caller_raises_the_alert_in_either_style() {
    let (daemon, port) = daemon_over_tcp("");
    let audio = ulaw(CLONED);
    for (style, frame, id) in
        [("plain-text", 160, "WebSocket/clonewatch/0x5140001a0040"), ("json", 1_111, "1761245643.1")]
    {
        let mut steps = vec![start(style, "ulaw")];
        steps.extend(play(&audio, frame, 8_000.0));
        let dtmf = if style == "json" { r#"{"event":"DTMF_END","digit":"5"}"# } else { "DTMF_END digit:5" };
        let xon = if style == "json" { r#"{"event":"MEDIA_XON"}"# } else { "MEDIA_XON" };
        steps.extend([Step::Text(xon.into()), Step::Text(dtmf.into()), Step::Close]);
        let credentials = STANDARD.encode(format!("asterisk:{TOKEN}"));
        let basic = ("authorization", format!("Basic {credentials}"));
        let request = Request { headers: vec![basic], ..channel("/v1/live/asterisk?party=customer&agent=7") };
        if style == "json" {
            request.talk(&daemon, steps);
        } else {
            let Some(heard) = request.talk_python(port, steps) else { continue };
            assert_eq!((heard.subprotocol.as_deref(), heard.texts.len()), (Some("media"), 0));
        }
        let (call, kept) = kept(&daemon, id);
        assert_equals_scan(&result_of(&daemon, &call), &sample(CLONED));
        assert_eq!(alerts(&kept), [("call.alert".to_owned(), "customer".to_owned())]);
        assert_eq!((&kept["transport"], &kept["ending"]), (&"asterisk_ws".into(), &"completed".into()));
        assert_eq!((&kept["metadata"]["dtmf"], &kept["metadata"]["agent"]), (&"5".into(), &"7".into()));
    }
}

#[test]
fn a_genuine_caller_in_linear_audio_raises_none() {
    let daemon = Daemon::start(&Setup::default());
    let recorded = sample("genuine-en-allison.wav");
    let (rate_hz, channels) = decoded(&recorded);
    let bytes: Vec<u8> = channels[0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(rate_hz, 16_000);
    let mut steps = vec![start("json", "slin16")];
    // One size cuts samples.
    steps.extend(play(&bytes, 641, 32_000.0));
    steps.push(Step::Close);
    channel("/v1/live/asterisk?external_id=q-9").talk(&daemon, steps);
    let (call, kept) = kept(&daemon, "q-9");
    assert_equals_scan(&result_of(&daemon, &call), &recorded);
    assert_eq!((alerts(&kept).len(), &kept["decision"]), (0, &"bona_fide".into()));
    assert_eq!(kept["metadata"]["QUEUE"], "sales");
}

#[test]
fn channels_are_hung_up_in_their_own_style() {
    for (style, hang_up) in
        [("plain-text", serde_json::json!("HANGUP")), ("json", serde_json::json!({"command":"HANGUP"}))]
    {
        let daemon = Daemon::start(&Setup { rest: "[live]\nidle_secs = 1\n", ..Setup::default() });
        let heard = channel("/v1/live/asterisk").talk(&daemon, vec![start(style, "ulaw")]);
        assert_eq!((heard.texts, heard.code), (vec![hang_up], Some(1001)));
    }
}

#[test]
fn what_is_no_channel_is_refused_with_a_reason() {
    let daemon = Daemon::start(&Setup { rest: "[live]\nmax_calls = 1\n", ..Setup::default() });
    let refused = |first: Step| {
        let heard = channel("/v1/live/asterisk").talk(&daemon, vec![first]);
        (heard.code.unwrap(), heard.reason)
    };
    for (first, code, expected) in [
        (Step::Binary(vec![0; 160]), 1008, "MEDIA_START must come first"),
        (Step::Text("ANSWER".into()), 1008, "MEDIA_START must come first"),
        (Step::Text("{".into()), 1007, "a control message is no JSON object"),
        (start("plain-text", "g729"), 1007, "format: \"g729\""),
        (start("plain-text", ""), 1007, "format: \"\""),
    ] {
        let (got, reason) = refused(first);
        assert!(got == code && reason.starts_with(expected), "{got} {reason}: {expected}");
    }
    let mut first = channel("/v1/live/asterisk").open(&daemon).unwrap();
    let Step::Text(text) = start("json", "alaw") else { unreachable!() };
    first.send(Message::text(text)).unwrap();
    let id = only_call(&daemon)["id"].as_str().unwrap().to_owned();
    assert_eq!(refused(start("json", "ulaw")).0, 1013);
    // One that goes away without a word.
    drop(first);
    assert_eq!(result_of(&daemon, &id)["reason"], "no_speech");
    assert_eq!(daemon.get(&format!("/v1/calls/{id}")).json()["ending"], "disconnected");
}
