//! Messages of AudioHook, version 2, and the order that they must keep. Pure.
//!
//! Both sides count their messages from 1 (`seq`) and repeat the last number that they have seen of the other side
//! (`serverseq`, `clientseq`). Durations are ISO 8601 in seconds (`PT1.25S`). Source: Genesys' AudioHook protocol reference.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Calls of a connection that only asks whether it may connect.
const NULL_UUID: &str = "00000000-0000-0000-0000-000000000000";
/// Of all media.
pub(super) const RATE_HZ: u32 = 8_000;

/// What the request's headers claim.
#[derive(Default)]
pub(in crate::serve) struct Claim {
    pub(in crate::serve) session_id: Option<String>,
    pub(in crate::serve) organization_id: Option<String>,
}

/// One session's numbers.
pub(super) struct Session {
    id: Option<String>,
    seq: u64,
    client_seq: u64,
}

/// What a message of the client says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Open(Box<Open>),
    Ping,
    Paused,
    /// Seconds that were left out by the pause.
    Resumed(f64),
    /// Seconds that were lost.
    Discarded(f64),
    Dtmf(String),
    /// Why: `end`, `error`, `disconnect`, `reconnect`.
    Close(String),
    /// Something went wrong at the client.
    Error(String),
    /// `update`, and whatever comes with newer versions.
    Other,
}

#[derive(Deserialize)]
struct Message {
    version: String,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    seq: u64,
    serverseq: u64,
    parameters: Map<String, Value>,
}

/// What the client offers.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Open {
    organization_id: String,
    conversation_id: String,
    #[serde(default)]
    participant: Map<String, Value>,
    media: Vec<Value>,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    custom_config: Option<Value>,
}

/// Media that are agreed to.
#[derive(Debug, PartialEq)]
pub(super) struct Media {
    /// As it was offered.
    pub(super) offered: Value,
    /// Names of the interleaved channels.
    pub(super) channels: Vec<String>,
}

impl Session {
    /// One that `claim` begins.
    pub(super) fn new(claim: &Claim) -> Self {
        Self { id: claim.session_id.clone(), seq: 0, client_seq: 0 }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong, for the client.
    pub(super) fn take(&mut self, text: &str) -> Result<Said, String> {
        let message: Message = serde_json::from_str(text).map_err(|e| format!("no message of AudioHook: {e}"))?;
        if message.version != "2" {
            return Err(format!("version: {:?} – must be \"2\"", message.version));
        }
        if Some(message.seq) != self.client_seq.checked_add(1) {
            return Err(format!("seq: {} – must be {}", message.seq, self.client_seq.saturating_add(1)));
        }
        if message.serverseq > self.seq {
            return Err(format!("serverseq: {} – must be at most {}", message.serverseq, self.seq));
        }
        let id = self.id.get_or_insert_with(|| message.id.clone());
        if *id != message.id {
            return Err("id: is not the session's".into());
        }
        self.client_seq = message.seq;
        Said::of(&message.kind, message.parameters)
    }

    /// Writes a message.
    pub(super) fn say(&mut self, kind: &str, parameters: &Value) -> String {
        self.seq += 1;
        json!({
            "version": "2",
            "id": self.id.as_deref().unwrap_or(NULL_UUID),
            "type": kind,
            "seq": self.seq,
            "clientseq": self.client_seq,
            "parameters": parameters,
        })
        .to_string()
    }
}

impl Said {
    fn of(kind: &str, parameters: Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| {
            let value = parameters.get(name).and_then(Value::as_str);
            value.map(str::to_owned).ok_or_else(|| format!("{kind}: {name} is missing"))
        };
        let secs = |name: &str| secs_of(&text(name)?).ok_or_else(|| format!("{kind}: {name} must be as PT1.5S"));
        Ok(match kind {
            "open" => {
                let open = serde_json::from_value(Value::Object(parameters));
                Self::Open(Box::new(open.map_err(|e| format!("open: {e}"))?))
            }
            "ping" => Self::Ping,
            "paused" => Self::Paused,
            "resumed" => Self::Resumed(secs("discarded")?),
            "discarded" => Self::Discarded(secs("discarded")?),
            "dtmf" => Self::Dtmf(text("digit")?),
            "close" => Self::Close(text("reason")?),
            "error" => Self::Error(text("message")?),
            _ => Self::Other,
        })
    }
}

impl Open {
    /// Whether the client only asks whether it may connect: there is no call.
    pub(super) fn is_probe(&self) -> bool {
        self.conversation_id == NULL_UUID
    }

    /// Whether it is what the request's headers claim.
    pub(super) fn is_claimed(&self, claim: &Claim) -> bool {
        claim.organization_id.as_ref().is_none_or(|id| *id == self.organization_id)
    }

    /// The media to be heard: PCMU with as many of the parties as there are.
    pub(super) fn choose(&self) -> Option<Media> {
        let known = self.media.iter().filter_map(|offered| {
            let is_ours = offered["type"] == "audio" && offered["format"] == "PCMU" && offered["rate"] == RATE_HZ;
            let channels = offered["channels"].as_array().filter(|_| is_ours)?.iter();
            let channels: Option<Vec<String>> = channels.map(|name| name.as_str().map(str::to_owned)).collect();
            let channels = channels.filter(|channels| (1..=2).contains(&channels.len()))?;
            Some(Media { offered: offered.clone(), channels })
        });
        // Of several that are equal the first: the client's order is its preference.
        known.reduce(|best, next| if next.channels.len() > best.channels.len() { next } else { best })
    }

    pub(super) fn conversation_id(&self) -> &str {
        &self.conversation_id
    }

    /// What the configuration of the integration says, where it is an object.
    fn config(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.custom_config.iter().filter_map(Value::as_object).flatten()
    }

    pub(super) fn policy(&self) -> Option<String> {
        let (_, policy) = self.config().find(|(key, _)| *key == "policy")?;
        policy.as_str().map(str::to_owned)
    }

    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let config = self.config().map(|(key, value)| (key.clone(), text(value)));
        let participant = self.participant.iter().map(|(key, value)| match key.as_str() {
            "id" => ("participant_id".to_owned(), text(value)),
            _ => (key.clone(), text(value)),
        });
        let mut metadata: BTreeMap<String, String> = config.chain(participant).collect();
        metadata.insert("organization_id".into(), self.organization_id.clone());
        metadata.extend(self.language.iter().map(|language| ("language".to_owned(), language.clone())));
        metadata
    }
}

/// Seconds of `PT1.25S`.
fn secs_of(text: &str) -> Option<f64> {
    let secs: f64 = text.strip_prefix("PT")?.strip_suffix('S')?.parse().ok()?;
    (secs.is_finite() && secs >= 0.0).then_some(secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "e160e428-53e2-487c-977d-96989bf5c99d";

    fn message(kind: &str, seq: u64, parameters: &Value) -> String {
        json!({"version":"2","id":ID,"type":kind,"seq":seq,"serverseq":0,"position":"PT0S","parameters":parameters})
            .to_string()
    }

    fn open(media: &Value) -> Open {
        let parameters = json!({
            "organizationId": "d7934305-0972-4844-938e-9060eef73d05",
            "conversationId": "090eaa2f-72fa-480a-83e0-8667ff89c0ec",
            "participant": {"id":"883efee8-3d6c-4537-b500-6d7ca4b92fa0","ani":"+1-555-555-1234","aniName":"John Doe",
                "dnis":"+1-800-555-6789"},
            "media": media,
            "language": "en-US",
            "customConfig": {"policy":"desk","queue":7},
        });
        match Session::new(&Claim::default()).take(&message("open", 1, &parameters)) {
            Ok(Said::Open(open)) => *open,
            other => panic!("{other:?}"),
        }
    }

    fn media(format: &str, rate: u32, channels: &[&str]) -> Value {
        json!({"type":"audio","format":format,"channels":channels,"rate":rate})
    }

    #[test]
    fn the_media_with_most_parties_are_chosen() {
        let (both, external, internal) = (["external", "internal"], ["external"], ["internal"]);
        let [stereo, mono, other] =
            [media("PCMU", 8_000, &both), media("PCMU", 8_000, &external), media("PCMU", 8_000, &internal)];
        for (offered, chosen) in [
            (json!([stereo, mono, other]), Some(&stereo)),
            (json!([mono, other, stereo]), Some(&stereo)),
            (json!([other, mono]), Some(&other)),
            (json!([media("L16", 8_000, &both), mono]), Some(&mono)),
            (json!([media("PCMU", 16_000, &both)]), None),
            (json!([media("PCMU", 8_000, &["a", "b", "c"]), media("PCMU", 8_000, &[]), 7, null]), None),
            (json!([]), None),
        ] {
            assert_eq!(open(&offered).choose().map(|media| media.offered).as_ref(), chosen, "{offered}");
        }
    }

    #[test]
    fn an_open_names_and_describes_the_call() {
        let open = open(&json!([]));
        assert_eq!((open.is_probe(), open.policy().as_deref()), (false, Some("desk")));
        let metadata = open.metadata();
        for (key, value) in [("ani", "+1-555-555-1234"), ("queue", "7"), ("language", "en-US")] {
            assert_eq!(metadata[key], value);
        }
        let claim = |id: &str| Claim { session_id: None, organization_id: Some(id.into()) };
        assert!(open.is_claimed(&claim("d7934305-0972-4844-938e-9060eef73d05")) && open.is_claimed(&Claim::default()));
        assert!(!open.is_claimed(&claim("x")));
    }

    #[test]
    fn messages_are_read_in_their_order() {
        let claim = Claim { session_id: Some(ID.into()), organization_id: None };
        let mut session = Session::new(&claim);
        for (index, (kind, parameters, said)) in [
            ("ping", json!({"rtt":"PT0.1S"}), Said::Ping),
            ("paused", json!({}), Said::Paused),
            ("resumed", json!({"start":"PT1S","discarded":"PT2.25S"}), Said::Resumed(2.25)),
            ("discarded", json!({"start":"PT1S","discarded":"PT0S"}), Said::Discarded(0.0)),
            ("update", json!({"language":"de-DE"}), Said::Other),
            ("news", json!({}), Said::Other),
            ("dtmf", json!({"digit":"5"}), Said::Dtmf("5".into())),
            ("error", json!({"code":408,"message":"late"}), Said::Error("late".into())),
            ("close", json!({"reason":"end"}), Said::Close("end".into())),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(session.take(&message(kind, index as u64 + 1, &parameters)), Ok(said));
        }
        let said: Value = serde_json::from_str(&session.say("pong", &json!({}))).unwrap();
        let expected = json!({"version":"2","id":ID,"type":"pong","seq":1,"clientseq":9,"parameters":{}});
        assert_eq!(said, expected);
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        let ping = message("ping", 1, &json!({}));
        let deep = format!("{}{}", "{\"parameters\":".repeat(10_000), "}".repeat(10_000));
        for (text, expected) in [
            ("", "no message"),
            ("[]", "no message"),
            (deep.as_str(), "no message"),
            (&ping.replace("\"2\"", "\"3\""), "version"),
            (&ping.replace("\"seq\":1", "\"seq\":2"), "seq: 2 – must be 1"),
            (&ping.replace("\"seq\":1", "\"seq\":-1"), "no message"),
            (&ping.replace("\"serverseq\":0", "\"serverseq\":1"), "serverseq: 1 – must be at most 0"),
            (&ping.replace(ID, "x"), "id:"),
            (&message("open", 1, &json!({})), "open: missing field"),
            (&message("close", 1, &json!({})), "close: reason is missing"),
            (&message("resumed", 1, &json!({"discarded":"PT-1S"})), "resumed: discarded must be"),
            (&message("resumed", 1, &json!({"discarded":"PTinfS"})), "resumed: discarded must be"),
            (&message("resumed", 1, &json!({"discarded":7})), "resumed: discarded is missing"),
        ] {
            let claim = Claim { session_id: Some(ID.into()), organization_id: None };
            let fault = Session::new(&claim).take(text).unwrap_err();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
    }
}
