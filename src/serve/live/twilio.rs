//! Twilio Media Streams, and Telnyx media streaming, which is close to it: JSON with audio in base64.
//!
//! `connected`, then `start` with the call's names, codec and tracks, then `media`, `dtmf` and `mark`, at last `stop`. A track is a
//! party: `inbound` is what the other end of the line says, `outbound` what it hears. Pieces are put in order first
//! ([`super::order`]). Nothing is sent back. Sources: Twilio's "Media Streams – WebSocket Messages" and Telnyx's "Stream
//! call media over WebSocket".

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::ws::{WebSocket, close_code};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value};

use super::{
    Call, Ending, NewCall, Party, Transport,
    coding::Decoder,
    digits::Digits,
    order::{Next, Order, Piece},
    socket::{Client, Fault, PATIENCE, Received, close, close_after, greeting, receive, refusal},
};
use crate::serve::core::Core;

/// Largest message: seconds of audio in base64.
pub(in crate::serve) const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// Twilio has one codec, and says it in every `start`.
const DEFAULT_CODEC: (&str, u32) = ("PCMU", 8_000);

/// A message. Members of both vendors, under both names.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    start: Option<Box<Start>>,
    #[serde(alias = "streamSid")]
    stream_id: Option<String>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    dtmf: Option<Dtmf>,
}

/// What a message says.
#[derive(Debug)]
enum Said<'a> {
    Start(Box<Start>, Option<String>),
    Media(Media<'a>),
    Dtmf(Dtmf),
    Stop,
    /// `connected`, `mark`, `error`, and whatever comes with newer versions.
    Other,
}

/// What a call is, and how it sounds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Start {
    #[serde(alias = "callSid", alias = "call_control_id")]
    call_id: Option<String>,
    tracks: Vec<String>,
    #[serde(alias = "mediaFormat")]
    media_format: Option<MediaFormat>,
    #[serde(alias = "customParameters")]
    custom_parameters: Map<String, Value>,
    /// `accountSid`, `from`, `to`, `call_session_id`, `client_state` and others.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct MediaFormat {
    encoding: String,
    #[serde(alias = "sampleRate", deserialize_with = "number")]
    sample_rate: u64,
    #[serde(default)]
    channels: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Media<'a> {
    #[serde(borrow, default)]
    track: Cow<'a, str>,
    #[serde(default, deserialize_with = "maybe_number")]
    chunk: Option<u64>,
    #[serde(default, deserialize_with = "maybe_number")]
    timestamp: Option<u64>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Dtmf {
    digit: String,
}

/// Both vendors write numbers as strings, in most places.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Whole(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Number::deserialize(deserializer)? {
        Number::Whole(number) => Some(number),
        Number::Text(text) => text.parse().ok(),
        Number::Other(_) => None,
    })
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    maybe_number(deserializer)?.ok_or_else(|| serde::de::Error::custom("must be a number"))
}

impl<'a> Said<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let message: Message<'a> =
            serde_json::from_str(text).map_err(|e| format!("no message of a media stream: {e}"))?;
        let missing = || format!("no message of a media stream: {:?} without its member", message.event);
        Ok(match &*message.event {
            "start" => Self::Start(message.start.ok_or_else(missing)?, message.stream_id),
            "media" => Self::Media(message.media.ok_or_else(missing)?),
            "dtmf" => Self::Dtmf(message.dtmf.ok_or_else(missing)?),
            "stop" => Self::Stop,
            _ => Self::Other,
        })
    }
}

impl Start {
    /// Name and rate of the codec.
    fn codec(&self) -> Result<(&str, u32), String> {
        let Some(format) = &self.media_format else { return Ok(DEFAULT_CODEC) };
        if format.channels.as_ref().and_then(Value::as_u64).is_some_and(|channels| channels != 1) {
            return Err("media format: a track must have one channel".into());
        }
        let rate_hz = u32::try_from(format.sample_rate).map_err(|_| "media format: no such sample rate")?;
        Ok((&format.encoding, rate_hz))
    }

    fn new_call(&self, transport: Transport, stream_id: Option<String>, client: Client) -> NewCall {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let all = self.other.iter().chain(&self.custom_parameters);
        let mut metadata: BTreeMap<String, String> = all.map(|(key, value)| (key.clone(), text(value))).collect();
        let policy = self.custom_parameters.get("policy").map(text).or(client.policy);
        metadata.extend(stream_id.map(|id| ("stream_id".to_owned(), id)));
        NewCall {
            transport,
            external_id: self.call_id.clone(),
            peer: client.peer,
            metadata,
            policy,
            actor: client.actor,
        }
    }
}

/// Screens what comes over `socket` from Twilio or Telnyx.
pub(in crate::serve) async fn hear(core: Arc<Core>, mut socket: WebSocket, transport: Transport, client: Client) {
    let (start, stream_id) = match begin(&core, &mut socket).await {
        Ok(Some(begun)) => begun,
        Ok(None) => return,
        Err(fault) => return close(socket, fault).await,
    };
    let call = match core.open_call(start.new_call(transport, stream_id, client)) {
        Ok(call) => call,
        Err(refused) => return close(socket, refusal(&refused)).await,
    };
    let ending = converse(&call, &start, &mut socket).await;
    call.end(ending.clone());
    close_after(socket, &ending).await;
}

/// Waits for `start`; `None` where the other side goes away.
async fn begin(core: &Arc<Core>, socket: &mut WebSocket) -> Result<Option<(Box<Start>, Option<String>)>, Fault> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let text = match greeting(core, socket, deadline).await? {
            Received::Text(text) => text,
            Received::Binary(_) => return Err((close_code::UNSUPPORTED, "a media stream is made of text".into())),
            Received::Over(_) => return Ok(None),
        };
        match Said::parse(&text).map_err(|fault| (close_code::INVALID, fault))? {
            Said::Start(start, stream_id) => return Ok(Some((start, stream_id))),
            Said::Other => {}
            Said::Media(_) | Said::Dtmf(_) | Said::Stop => {
                return Err((close_code::POLICY, "`start` must come first".into()));
            }
        }
    }
}

async fn converse(call: &Call, start: &Start, socket: &mut WebSocket) -> Ending {
    let mut ear = match Ear::new(call, start) {
        Ok(ear) => ear,
        Err(fault) => return Ending::ProtocolFault(fault),
    };
    let ending = loop {
        let received = tokio::select! {
            received = receive(socket) => received,
            ending = call.ended() => break ending,
        };
        let heard = match received {
            Received::Text(text) => ear.take(&text),
            Received::Binary(_) => Err("a media stream is made of text".into()),
            Received::Over(ending) => break ending,
        };
        match heard {
            Ok(None) => {}
            Ok(Some(ending)) => break ending,
            Err(fault) => break Ending::ProtocolFault(fault),
        }
    };
    ear.finish();
    ending
}

/// What listens to one stream.
struct Ear<'a> {
    call: &'a Call,
    codec: (&'a str, u32),
    tracks: Vec<(String, Track)>,
    digits: Digits,
    begun: Instant,
}

/// One party.
struct Track {
    order: Order,
    speaker: Speaker,
    /// Pieces that came, for streams that do not count them.
    count: u64,
}

struct Speaker {
    party: Party,
    decoder: Decoder,
    samples: Vec<f32>,
}

impl<'a> Ear<'a> {
    fn new(call: &'a Call, start: &'a Start) -> Result<Self, String> {
        let mut ear =
            Self { call, codec: start.codec()?, tracks: Vec::new(), digits: Digits::default(), begun: Instant::now() };
        // A codec that cannot be decoded is told before any audio comes.
        Decoder::of_rtp(ear.codec.0, ear.codec.1)?;
        for name in &start.tracks {
            ear.track(name)?;
        }
        Ok(ear)
    }

    /// The track of that name, which may be new.
    fn track(&mut self, name: &str) -> Result<&mut Track, String> {
        let known = self.tracks.iter().position(|(known, _)| known == name);
        let index = match known {
            Some(index) => index,
            None => {
                let decoder = Decoder::of_rtp(self.codec.0, self.codec.1)?;
                let party = self.call.party(name, decoder.sample_rate_hz()).map_err(|refused| refused.to_string())?;
                let speaker = Speaker { party, decoder, samples: Vec::new() };
                self.tracks.push((name.to_owned(), Track { order: Order::default(), speaker, count: 0 }));
                self.tracks.len() - 1
            }
        };
        Ok(&mut self.tracks[index].1)
    }

    /// How the call ends, if `text` ends it.
    fn take(&mut self, text: &str) -> Result<Option<Ending>, String> {
        match Said::parse(text)? {
            Said::Media(media) => self.hear(media)?,
            Said::Dtmf(dtmf) => self.digits.press(self.call, &dtmf.digit),
            Said::Stop => return Ok(Some(Ending::Completed)),
            Said::Start(..) => return Err("`start` came twice".into()),
            Said::Other => {}
        }
        Ok(None)
    }

    fn hear(&mut self, media: Media<'_>) -> Result<(), String> {
        let payload = STANDARD.decode(media.payload.as_bytes()).map_err(|_| "media.payload: must be base64")?;
        let arrival = self.begun.elapsed();
        let name = if media.track.is_empty() { "inbound" } else { &media.track };
        let track = self.track(name)?;
        track.count += 1;
        let piece = Piece { number: media.chunk.unwrap_or(track.count), timestamp_ms: media.timestamp, payload };
        track.order.take(piece, arrival, &mut |next| track.speaker.play(next));
        Ok(())
    }

    fn finish(mut self) {
        let arrival: Duration = self.begun.elapsed();
        for (_, track) in &mut self.tracks {
            track.order.finish(arrival, &mut |next| track.speaker.play(next));
        }
    }
}

impl Speaker {
    /// Milliseconds of audio that were played.
    fn play(&mut self, next: Next<'_>) -> f64 {
        let per_ms = f64::from(self.decoder.sample_rate_hz()) / 1_000.0;
        match next {
            Next::Gap(ms) => {
                self.party.skip((ms * per_ms).round() as u64);
                0.0
            }
            Next::Payload(payload) => {
                self.samples.clear();
                self.decoder.decode(payload, &mut self.samples);
                self.party.push(&self.samples);
                self.samples.len() as f64 / per_ms
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Start {
        match Said::parse(text).unwrap() {
            Said::Start(start, _) => *start,
            other => panic!("{other:?}"),
        }
    }

    const TWILIO: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1",
        "tracks":["inbound","outbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
        "customParameters":{"FirstName":"Jane","policy":"desk"}},"streamSid":"MZ1"}"#;
    const TELNYX: &str = r#"{"event":"start","sequence_number":"1","stream_id":"32DE","start":{"user_id":"3E6F",
        "call_control_id":"v2:T02","call_session_id":"ff55","from":"+13122010094","to":"+13122123456","tags":["A"],
        "client_state":"aGF2","custom_parameters":{"customer_id":7},
        "media_format":{"encoding":"PCMA","sample_rate":8000,"channels":1}}}"#;

    #[test]
    fn calls_are_named_and_described() {
        let client = || Client { peer: "p".into(), actor: "a".into(), policy: Some("token's".into()) };
        let twilio = start(TWILIO);
        assert_eq!((twilio.codec(), twilio.tracks.len()), (Ok(("audio/x-mulaw", 8_000)), 2));
        let call = twilio.new_call(Transport::Twilio, Some("MZ1".into()), client());
        assert_eq!((call.external_id.as_deref(), call.policy.as_deref()), (Some("CA1"), Some("desk")));
        assert_eq!((call.metadata["FirstName"].as_str(), call.metadata["stream_id"].as_str()), ("Jane", "MZ1"));
        let telnyx = start(TELNYX);
        assert_eq!(telnyx.codec(), Ok(("PCMA", 8_000)));
        let call = telnyx.new_call(Transport::Telnyx, None, client());
        assert_eq!((call.external_id.as_deref(), call.policy.as_deref()), (Some("v2:T02"), Some("token's")));
        let expected = [("customer_id", "7"), ("from", "+13122010094"), ("tags", r#"["A"]"#)];
        assert!(expected.iter().all(|(key, value)| call.metadata[*key] == *value), "{:?}", call.metadata);
    }

    #[test]
    fn messages_are_read_and_broken_ones_are_not() {
        for (text, expected) in [
            (r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#, "Other"),
            (r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"my label"}}"#, "Other"),
            (r#"{"event":"error","payload":{"code":100003},"stream_id":"32DE"}"#, "Other"),
            (r#"{"event":"stop","sequenceNumber":"5","stop":{"accountSid":"AC1","callSid":"CA1"}}"#, "Stop"),
            (r#"{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"1"}}"#, "Dtmf"),
            (
                r#"{"event":"media","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"/w=="}}"#,
                "chunk: Some(2)",
            ),
            (r#"{"event":"media","media":{"chunk":2,"timestamp":5,"payload":""}}"#, "timestamp: Some(5)"),
            (r#"{"event":"media","media":{"chunk":"-1","payload":""}}"#, "chunk: None"),
            (r#"{"event":"start","start":{}}"#, "Start"),
            (r#"{"event":"media"}"#, "no message"),
            (r#"{"event":"media","media":{"payload":7}}"#, "no message"),
            (r#"{"event":"dtmf","dtmf":{}}"#, "no message"),
            (r#"{"event":7}"#, "no message"),
            (r#"["media"]"#, "no message"),
            ("{", "no message"),
            ("", "no message"),
            (&"[".repeat(10_000), "no message"),
        ] {
            let read = Said::parse(text).map_or_else(|fault| fault, |said| format!("{said:?}"));
            assert!(read.contains(expected), "{text}: {read}");
        }
        for format in [
            r#"{"encoding":"PCMU","sample_rate":8000,"channels":2}"#,
            r#"{"encoding":"PCMU","sample_rate":4294967296}"#,
        ] {
            let text = format!(r#"{{"event":"start","start":{{"media_format":{format}}}}}"#);
            assert!(start(&text).codec().is_err(), "{format}");
        }
    }
}
