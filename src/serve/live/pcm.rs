//! Plain PCM over a WebSocket: text that says what comes, then binary audio. FreeSWITCH's mod_audio_fork and
//! mod_audio_stream, jambonz `listen` and Vonage speak dialects of it, which [`Opening`] all reads.
//!
//! What comes may be told by the query (`?rate=8000&format=mulaw`), by a first text message of JSON, or by both: the message
//! wins. Members that are not ours become the call's metadata. Audio must come at about its own pace: more than 10 s ahead
//! of the workers is skipped.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Map, Value};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::Instant,
};

use super::{
    Call, CallEvent, Ending, NewCall, Party, Refused, Transport,
    digits::Digits,
    socket::{Client, PATIENCE, Received, close, close_after, greeting, receive, refusal},
};
use crate::{decode::parts::SampleCoding, serve::core::Core};

/// Subprotocols that are agreed to.
pub(in crate::serve) const SUBPROTOCOLS: [&str; 2] = ["audio.drachtio.org", "audio.jambonz.org"];
/// Largest message: a second of stereo at 48 kHz in 32 bits, and then some.
pub(in crate::serve) const MAX_MESSAGE_BYTES: usize = 512 << 10;

/// What comes, as query and message have it.
#[derive(Debug, Clone, Default)]
pub(in crate::serve) struct Opening {
    /// By the first of their [`NAMES`].
    known: BTreeMap<&'static str, Value>,
    /// What is not ours: it becomes the call's metadata.
    other: Map<String, Value>,
}

/// Members that are ours, each with the names that dialects have for it.
const NAMES: [&[&str]; 10] = [
    // Samples per second of each channel.
    &["rate", "sampleRate", "sample_rate", "sample_rate_hz"],
    // 1 or 2, interleaved; jambonz and mod_audio_fork say `stereo` instead.
    &["channels"],
    &["mixType", "mix_type"],
    // `s16le`, `s16be`, `mulaw`, `alaw` or `f32le`; Vonage has a media type such as `audio/l16;rate=16000`.
    &["format"],
    &["content-type"],
    // Names of the channels' parties.
    &["parties"],
    // The other side's name for the call.
    &["external_id", "callSid", "call_sid", "uuid"],
    // Name of the policy, whether the call's events come back as text, what else there is to say.
    &["policy"],
    &["verdicts"],
    &["metadata"],
];

/// A stream that can be heard.
#[derive(Debug, PartialEq)]
struct Plan {
    rate_hz: u32,
    coding: SampleCoding,
    parties: Vec<String>,
}

impl Opening {
    /// From a request's query.
    pub(in crate::serve) fn of_query(query: &[(String, String)]) -> Self {
        let mut opening = Self::default();
        opening.take(query.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect());
        // A query may hold what is for others.
        opening.other.clear();
        opening
    }

    /// What `text` says, and `self` where it says nothing. Text that is no JSON object says nothing.
    fn overlaid(mut self, text: &str) -> Self {
        if let Ok(said) = serde_json::from_str(text) {
            self.take(said);
        }
        self
    }

    fn take(&mut self, mut said: Map<String, Value>) {
        for names in NAMES {
            let found = names.iter().find(|name| said.get(**name).is_some_and(|value| !value.is_null()));
            if let Some(value) = found.and_then(|name| said.remove(*name)) {
                self.known.insert(names[0], value);
            }
        }
        self.other.append(&mut said);
    }

    fn text(&self, name: &str) -> Option<String> {
        self.known.get(name).map(text_of)
    }

    /// A number, also where it comes as text.
    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let parse = |text: String| text.parse().map_err(|_| format!("{name}: {text:?} – must be a number"));
        self.text(name).map(parse).transpose()
    }

    fn wants_verdicts(&self) -> bool {
        self.text("verdicts").as_deref() == Some("true")
    }

    fn parties(&self) -> Vec<String> {
        match self.known.get("parties") {
            Some(Value::Array(names)) => names.iter().map(text_of).collect(),
            Some(names) => text_of(names).split(',').map(str::to_owned).collect(),
            None => Vec::new(),
        }
    }

    fn plan(&self) -> Result<Plan, String> {
        let media = self.text("content-type").unwrap_or_default();
        let told_hz = media.split(';').find_map(|part| part.trim().strip_prefix("rate=")?.parse().ok());
        let rate_hz = self.number("rate")?.or(told_hz).ok_or("rate: missing – samples per second, such as 8000")?;
        let format = self.text("format").unwrap_or_else(|| "s16le".into());
        let coding = match format.to_ascii_lowercase().as_str() {
            "s16le" | "l16" | "linear16" | "slin" => SampleCoding::S16le,
            "s16be" => SampleCoding::S16be,
            "mulaw" | "ulaw" | "pcmu" => SampleCoding::Ulaw,
            "alaw" | "pcma" => SampleCoding::Alaw,
            "f32le" => SampleCoding::F32le,
            _ => return Err(format!("format: {format:?} – must be s16le, s16be, mulaw, alaw or f32le")),
        };
        let is_stereo = self.text("mixType").as_deref() == Some("stereo");
        let channels: u16 = self.number("channels")?.unwrap_or(if is_stereo { 2 } else { 1 });
        if !(1..=2).contains(&channels) {
            return Err(format!("channels: {channels} – must be 1 or 2"));
        }
        let mut parties = self.parties();
        let defaults = ["caller", "agent"].map(str::to_owned);
        parties.extend(defaults.into_iter().skip(parties.len()));
        parties.truncate(usize::from(channels));
        Ok(Plan { rate_hz, coding, parties })
    }

    /// Whatever else was said, as text.
    fn metadata(&self) -> BTreeMap<String, String> {
        let given = self.known.get("metadata").and_then(Value::as_object);
        let all = self.other.iter().chain(given.into_iter().flatten()).filter(|(key, _)| *key != "event");
        all.map(|(key, value)| (key.clone(), text_of(value))).collect()
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Screens what comes over `socket`.
pub(in crate::serve) async fn hear(core: Arc<Core>, mut socket: WebSocket, opening: Opening, client: Client) {
    let (opening, audio) = match greeting(&core, &mut socket, Instant::now() + PATIENCE).await {
        Ok(Received::Text(text)) => (opening.overlaid(&text), None),
        Ok(Received::Binary(audio)) => (opening, Some(audio)),
        Ok(Received::Over(_)) => return,
        Err(fault) => return close(socket, fault).await,
    };
    let opened = opening.plan().map_err(|fault| (close_code::INVALID, fault)).and_then(|plan| {
        let call = core.open_call(new_call(&opening, client)).map_err(|refused| refusal(&refused))?;
        let ear = Ear::new(&call, &plan).map_err(|refused| refusal(&refused))?;
        Ok((call, ear))
    });
    let (call, mut ear) = match opened {
        Ok(opened) => opened,
        Err(fault) => return close(socket, fault).await,
    };
    if let Some(audio) = audio {
        ear.hear(&audio);
    }
    let mut told = opening.wants_verdicts().then(|| call.events());
    if told.is_some() {
        let hello = serde_json::json!({ "type": "call.accepted", "call": call.id() }).to_string();
        // Should it fail, so does the next read.
        let _ = socket.send(Message::Text(hello.into())).await;
    }
    let ending = converse(&call, &mut ear, &mut socket, told.as_mut()).await;
    drop(ear);
    call.end(ending.clone());
    if let Some(told) = &mut told {
        tell_rest(&core, &mut socket, told).await;
    }
    close_after(socket, &ending).await;
}

fn new_call(opening: &Opening, client: Client) -> NewCall {
    NewCall {
        transport: Transport::Pcm,
        external_id: opening.text("external_id"),
        peer: client.peer,
        metadata: opening.metadata(),
        policy: opening.text("policy").or(client.policy),
        actor: client.actor,
    }
}

/// Takes messages until the call ends.
async fn converse(
    call: &Call,
    ear: &mut Ear,
    socket: &mut WebSocket,
    mut told: Option<&mut Receiver<Arc<CallEvent>>>,
) -> Ending {
    loop {
        tokio::select! {
            received = receive(socket) => match received {
                Received::Binary(audio) => ear.hear(&audio),
                Received::Text(text) => if let Some(ending) = ear.read(call, &text) { return ending },
                Received::Over(ending) => return ending,
            },
            event = next(&mut told) => if send(socket, &event).await.is_err() { return Ending::Disconnected },
            ending = call.ended() => return ending,
        }
    }
}

/// The next event for a client that wants them; otherwise waits for ever.
async fn next(told: &mut Option<&mut Receiver<Arc<CallEvent>>>) -> Arc<CallEvent> {
    let Some(receiver) = told else { return std::future::pending().await };
    loop {
        match receiver.recv().await {
            Ok(event) => return event,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

async fn send(socket: &mut WebSocket, event: &CallEvent) -> Result<(), axum::Error> {
    let text = serde_json::to_string(event).expect("strings and numbers");
    socket.send(Message::Text(text.into())).await
}

/// Tells what happens after the last audio, up to the result.
async fn tell_rest(core: &Core, socket: &mut WebSocket, told: &mut Receiver<Arc<CallEvent>>) {
    loop {
        let event = tokio::select! {
            event = told.recv() => event,
            () = tokio::time::sleep(PATIENCE) => return,
            () = core.stopping() => return,
        };
        match event {
            Ok(event) => {
                if send(socket, &event).await.is_err() || event.kind == super::Happening::Ended {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Turns messages into the parties' audio.
struct Ear {
    coding: SampleCoding,
    parties: Vec<Party>,
    /// Bytes of a frame that the last message cut.
    rest: Vec<u8>,
    samples: Vec<f32>,
    digits: Digits,
}

impl Ear {
    fn new(call: &Call, plan: &Plan) -> Result<Self, Refused> {
        let parties = plan.parties.iter().map(|name| call.party(name, plan.rate_hz)).collect::<Result<_, _>>()?;
        Ok(Self { coding: plan.coding, parties, rest: Vec::new(), samples: Vec::new(), digits: Digits::default() })
    }

    fn hear(&mut self, audio: &[u8]) {
        self.rest.extend_from_slice(audio);
        let channels = self.parties.len();
        let whole = self.rest.len() - self.rest.len() % (self.coding.bytes() * channels);
        for (channel, party) in self.parties.iter_mut().enumerate() {
            self.samples.clear();
            self.coding.decode_channel(&self.rest[..whole], channel, channels, &mut self.samples);
            party.push(&self.samples);
        }
        self.rest.drain(..whole);
    }

    /// How the call ends, if `text` ends it.
    fn read(&mut self, call: &Call, text: &str) -> Option<Ending> {
        let said: Value = serde_json::from_str(text).ok()?;
        let kind = said["type"].as_str().or(said["event"].as_str()).unwrap_or_default();
        match kind.rsplit(':').next().unwrap_or_default() {
            "stop" | "disconnected" => return Some(Ending::Completed),
            "dtmf" => {
                let digit = said["digit"].as_str().or(said["dtmf"].as_str()).unwrap_or_default();
                self.digits.press(call, digit);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(query: &[(&str, &str)], text: &str) -> Result<Plan, String> {
        let query: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Opening::of_query(&query).overlaid(text).plan()
    }

    #[test]
    fn dialects_are_understood() {
        let of = |rate_hz, coding, parties: &[&str]| {
            Ok(Plan { rate_hz, coding, parties: parties.iter().map(|name| (*name).to_owned()).collect() })
        };
        let vonage = r#"{"event":"websocket:connected","content-type":"audio/l16;rate=16000","caller":"447700900000"}"#;
        let jambonz = r#"{"callSid":"b5f0","direction":"inbound","sampleRate":8000,"mixType":"stereo"}"#;
        let own = r#"{"rate":48000,"channels":2,"format":"f32le","parties":["guest"],"metadata":{"queue":7}}"#;
        assert_eq!(plan(&[], vonage), of(16_000, SampleCoding::S16le, &["caller"]));
        assert_eq!(plan(&[], jambonz), of(8_000, SampleCoding::S16le, &["caller", "agent"]));
        assert_eq!(plan(&[], own), of(48_000, SampleCoding::F32le, &["guest", "agent"]));
        let fork = r#"{"uuid":"9a","callSid":"b5f0","sampleRate":"8000","mixType":"mono"}"#;
        assert_eq!(plan(&[("rate", "16000")], fork), of(8_000, SampleCoding::S16le, &["caller"]));
        let fork = Opening::default().overlaid(fork);
        assert_eq!((fork.text("external_id").as_deref(), fork.metadata()["uuid"].as_str()), (Some("b5f0"), "9a"));
        let free = [("rate", "16000"), ("format", "mulaw")];
        assert_eq!(plan(&free, "any text at all"), of(16_000, SampleCoding::Ulaw, &["caller"]));
        let metadata = Opening::default().overlaid(own).metadata();
        assert_eq!(metadata.get("queue").map(String::as_str), Some("7"));
        let metadata = Opening::default().overlaid(vonage).metadata();
        assert_eq!(metadata.into_iter().collect::<Vec<_>>(), [("caller".to_owned(), "447700900000".to_owned())]);
    }

    #[test]
    fn what_cannot_be_heard_is_named() {
        for (query, text, expected) in [
            (vec![], "{}", "rate: missing"),
            (vec![("rate", "many")], "", "rate: \"many\" – must be a number"),
            (vec![("rate", "8000")], r#"{"format":"g729"}"#, "format: \"g729\""),
            (vec![("rate", "8000"), ("channels", "3")], "", "channels: 3"),
        ] {
            let fault = plan(&query, text).unwrap_err();
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}
