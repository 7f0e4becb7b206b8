//! Asterisk's WebSocket channel (`chan_websocket`): control messages as text, one party's audio in binary ones.
//!
//! Asterisk sends `MEDIA_START` with the format, then audio, at the end it closes. Control messages are lines such as
//! `DTMF_END digit:5`, or JSON objects with `event` from 20.18, 22.8 and 23.2 on, if so configured; we answer in kind. The
//! channel is answered by Asterisk itself when we accept the connection, so the one thing that is ever sent is `HANGUP`,
//! where we end the call. Source: Asterisk's documentation of the channel driver.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Call, Ending, NewCall, Party, Transport,
    coding::Decoder,
    digits::Digits,
    socket::{Client, Fault, PATIENCE, Received, close, close_after, greeting, receive, refusal},
};
use crate::serve::core::Core;

/// What Asterisk asks for.
pub(in crate::serve) const SUBPROTOCOLS: [&str; 1] = ["media"];
/// Asterisk's own limit is just below.
pub(in crate::serve) const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// What the query asks for.
pub(in crate::serve) struct Wishes {
    party: String,
    external_id: Option<String>,
    policy: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl Wishes {
    /// From a request's query.
    pub(in crate::serve) fn of_query(query: &[(String, String)]) -> Self {
        let mut metadata: BTreeMap<String, String> = query.iter().cloned().collect();
        let mut take = |name: &str| metadata.remove(name);
        let (party, external_id, policy) = (take("party"), take("external_id"), take("policy"));
        Self { party: party.unwrap_or_else(|| "caller".into()), external_id, policy, metadata }
    }
}

/// How control messages are written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Json,
}

/// A control message.
#[derive(Debug, PartialEq)]
struct Control {
    event: String,
    fields: BTreeMap<String, String>,
    style: Style,
}

impl Control {
    /// Reads `EVENT name:value …` or `{"event":"EVENT","name":"value",…}`.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('{') { Self::of_json(text) } else { Self::of_line(text) }
    }

    fn of_line(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let event = words.next().ok_or("a control message is empty")?.to_owned();
        let fields = words.filter_map(|word| word.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { event, fields, style: Style::Plain })
    }

    fn of_json(text: &str) -> Result<Self, String> {
        let members: BTreeMap<String, Value> =
            serde_json::from_str(text).map_err(|e| format!("a control message is no JSON object: {e}"))?;
        let event = members.get("event").and_then(Value::as_str).ok_or("a control message has no `event`")?.to_owned();
        let mut fields = BTreeMap::new();
        for (name, value) in members {
            match value {
                // The channel's variables, beside the message's own members.
                Value::Object(variables) => {
                    fields.extend(variables.into_iter().map(|(name, value)| (name, text_of(&value))))
                }
                value => _ = fields.insert(name, text_of(&value)),
            }
        }
        fields.remove("event");
        Ok(Self { event, fields, style: Style::Json })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The call that a `MEDIA_START` begins.
    fn new_call(&self, wishes: Wishes, client: Client) -> NewCall {
        let names = ["channel_id", "channel", "connection_id"].into_iter();
        let own_id = names.filter_map(|name| self.fields.get(name)).next().cloned();
        let mut metadata = wishes.metadata;
        let is_told = |name: &&String| !matches!(name.as_str(), "format" | "optimal_frame_size" | "ptime");
        metadata.extend(self.fields.iter().filter(|(name, _)| is_told(name)).map(|(n, v)| (n.clone(), v.clone())));
        NewCall {
            transport: Transport::AsteriskWs,
            external_id: wishes.external_id.or(own_id),
            peer: client.peer,
            metadata,
            policy: wishes.policy.or(client.policy),
            actor: client.actor,
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Screens what comes over `socket`.
pub(in crate::serve) async fn hear(core: Arc<Core>, mut socket: WebSocket, wishes: Wishes, client: Client) {
    let (start, decoder) = match begin(&core, &mut socket).await {
        Ok(Some(begun)) => begun,
        Ok(None) => return,
        Err(fault) => return close(socket, fault).await,
    };
    let (style, name) = (start.style, wishes.party.clone());
    let taken = core.open_call(start.new_call(wishes, client)).and_then(|call| {
        let party = call.party(&name, decoder.sample_rate_hz())?;
        Ok((Ear { party, decoder, samples: Vec::new(), digits: Digits::default() }, call))
    });
    let (mut ear, call) = match taken {
        Ok(taken) => taken,
        Err(refused) => return close(socket, refusal(&refused)).await,
    };
    let ending = converse(&call, &mut ear, &mut socket).await;
    if !matches!(ending, Ending::Completed | Ending::Disconnected) {
        let hang_up = if style == Style::Json { r#"{"command":"HANGUP"}"# } else { "HANGUP" };
        // The other side may be gone.
        let _ = socket.send(Message::Text(hang_up.into())).await;
    }
    drop(ear);
    call.end(ending.clone());
    close_after(socket, &ending).await;
}

/// Waits for `MEDIA_START`; `None` where the other side goes away.
async fn begin(core: &Arc<Core>, socket: &mut WebSocket) -> Result<Option<(Control, Decoder)>, Fault> {
    let text = match greeting(core, socket, Instant::now() + PATIENCE).await? {
        Received::Text(text) => text,
        Received::Binary(_) => return Err((close_code::POLICY, "MEDIA_START must come first".into())),
        Received::Over(_) => return Ok(None),
    };
    let start = Control::parse(&text).map_err(|fault| (close_code::INVALID, fault))?;
    if start.event != "MEDIA_START" {
        return Err((close_code::POLICY, "MEDIA_START must come first".into()));
    }
    let decoder = Decoder::of_asterisk(start.field("format")).map_err(|fault| (close_code::INVALID, fault))?;
    Ok(Some((start, decoder)))
}

async fn converse(call: &Call, ear: &mut Ear, socket: &mut WebSocket) -> Ending {
    loop {
        let received = tokio::select! {
            received = receive(socket) => received,
            ending = call.ended() => return ending,
        };
        match received {
            Received::Binary(audio) => ear.hear(&audio),
            Received::Text(text) => match Control::parse(&text) {
                Ok(control) if control.event == "DTMF_END" => ear.digits.press(call, control.field("digit")),
                Ok(control) if control.event == "MEDIA_START" => {
                    return Ending::ProtocolFault("MEDIA_START came twice".into());
                }
                // MEDIA_XON, MEDIA_XOFF and others tell of audio that we would send.
                Ok(_) => {}
                Err(fault) => return Ending::ProtocolFault(fault),
            },
            Received::Over(ending) => return ending,
        }
    }
}

/// What listens to one channel.
struct Ear {
    party: Party,
    decoder: Decoder,
    samples: Vec<f32>,
    digits: Digits,
}

impl Ear {
    fn hear(&mut self, audio: &[u8]) {
        self.samples.clear();
        self.decoder.decode(audio, &mut self.samples);
        self.party.push(&self.samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "MEDIA_START connection_id:e226e283-c90a-4ea9-9e37-389000b9ef47 channel:WebSocket/clonewatch/0x5140 \
                        format:ulaw optimal_frame_size:160";
    const JSON: &str = r#"{"event":"MEDIA_START","connection_id":"clonewatch","channel":"WebSocket/clonewatch/0x5140",
        "channel_id":"1761245643.1","format":"ulaw","optimal_frame_size":160,"ptime":20,
        "channel_variables":{"DIALEDPEERNUMBER":"clonewatch/c(ulaw)","QUEUE":"sales"}}"#;

    #[test]
    fn both_styles_say_the_same() {
        for (text, style, id) in
            [(LINE, Style::Plain, "WebSocket/clonewatch/0x5140"), (JSON, Style::Json, "1761245643.1")]
        {
            let control = Control::parse(text).unwrap();
            assert_eq!(
                (control.event.as_str(), control.field("format"), control.style),
                ("MEDIA_START", "ulaw", style)
            );
            let query = [("policy", "desk"), ("agent", "7")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            let client = Client { peer: "p".into(), actor: "a".into(), policy: None };
            let call = control.new_call(Wishes::of_query(&query), client);
            assert_eq!((call.external_id.as_deref(), call.policy.as_deref()), (Some(id), Some("desk")));
            assert_eq!(
                (call.metadata.get("agent").map(String::as_str), call.metadata.get("format")),
                (Some("7"), None)
            );
            assert_eq!(call.metadata.contains_key("QUEUE"), style == Style::Json);
        }
        for text in ["DTMF_END digit:5", r#"{"event":"DTMF_END","channel_id":"1.1","digit":"5"}"#] {
            let control = Control::parse(text).unwrap();
            assert_eq!((control.event.as_str(), control.field("digit")), ("DTMF_END", "5"));
        }
        let status = Control::parse("STATUS queue_length:43 xon_level:800 media_paused:false").unwrap();
        assert_eq!((status.event.as_str(), status.fields.len()), ("STATUS", 3));
    }

    #[test]
    fn what_is_no_control_message_is_named() {
        for (text, expected) in [
            ("", "a control message is empty"),
            (" \n ", "a control message is empty"),
            ("{", "a control message is no JSON object"),
            ("{}", "a control message has no `event`"),
            (r#"{"event":7}"#, "a control message has no `event`"),
            (
                &format!(r#"{{"event":"X","y":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000)),
                "a control message is no JSON",
            ),
        ] {
            let fault = Control::parse(text).unwrap_err();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
    }
}
