//! Transports over WebSockets, spoken by two clients: the one that tests are written with, over the Unix socket, and Python's
//! `websockets`, over TCP with a token.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clonewatch::config::TokenHash;
use serde_json::json;
use tungstenite::{Message, WebSocket, client::IntoClientRequest};

use super::*;

/// What a client does.
pub(super) enum Step {
    Text(String),
    Binary(Vec<u8>),
    /// Text or binary with so many seconds of audio, which are waited for at [`HASTE`].
    Audio(Message, f64),
    /// Waits for a message that contains this.
    Await(&'static str),
    Close,
}

/// What it hears.
pub(super) struct Heard {
    pub(super) texts: Vec<Value>,
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    pub(super) subprotocol: Option<String>,
}

/// The request for a socket.
pub(super) struct Request<'a> {
    pub(super) target: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) subprotocol: Option<&'static str>,
}

pub(super) fn to(target: &str) -> Request<'_> {
    Request { target, headers: Vec::new(), subprotocol: None }
}

pub(super) const TOKEN: &str = "a-token-for-tests";

/// A daemon with a TCP port for the holder of [`TOKEN`].
pub(super) fn daemon_over_tcp(rest: &str) -> (Daemon, u16) {
    let port = free_port();
    let hash = TokenHash::of(TOKEN);
    let token = format!("[[tokens]]\nname = 'pbx'\nhash = 'sha256:{}'\nscopes = ['submit']\n", hash.hex());
    let server = format!("tcp = '127.0.0.1:{port}'");
    let rest = format!("{rest}\n{token}");
    (Daemon::start(&Setup { server: &server, rest: &rest, ..Setup::default() }), port)
}

impl Request<'_> {
    /// Opens the socket over the Unix socket; the status where that is refused.
    pub(super) fn open(&self, daemon: &Daemon) -> Result<WebSocket<UnixStream>, u16> {
        let mut request = format!("ws://localhost{}", self.target).into_client_request().unwrap();
        let headers = self.headers.iter().map(|(name, value)| (*name, value.clone()));
        let protocol = self.subprotocol.map(|protocol| ("sec-websocket-protocol", protocol.to_owned()));
        for (name, value) in headers.chain(protocol) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tungstenite::client(request, daemon.connect().unwrap()) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Takes `steps` over the Unix socket.
    pub(super) fn talk(&self, daemon: &Daemon, steps: Vec<Step>) -> Heard {
        let mut socket = self.open(daemon).unwrap();
        let mut texts = Vec::new();
        let begun = std::time::Instant::now();
        let mut due_secs = 0.0;
        for step in steps {
            match step {
                Step::Text(text) => socket.send(Message::text(text)).unwrap(),
                Step::Binary(bytes) => socket.send(Message::binary(bytes)).unwrap(),
                Step::Audio(message, secs) => {
                    socket.send(message).unwrap();
                    due_secs += secs / HASTE;
                    thread::sleep(Duration::from_secs_f64(due_secs).saturating_sub(begun.elapsed()));
                }
                Step::Await(part) => loop {
                    let Message::Text(text) = socket.read().unwrap() else { continue };
                    texts.push(serde_json::from_str(&text).unwrap());
                    if text.contains(part) {
                        break;
                    }
                },
                Step::Close => socket.close(None).unwrap(),
            }
        }
        listen(&mut socket, texts)
    }

    /// Takes `steps` with Python's `websockets`, over TCP; `None` where that is missing.
    pub(super) fn talk_python(&self, port: u16, steps: Vec<Step>) -> Option<Heard> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/websockets/bin/python");
        if !has_tool("websockets (made by .ci/run)", Command::new(&python).args(["-c", "import websockets"])) {
            return None;
        }
        let steps: Vec<Value> = steps.into_iter().flat_map(written).collect();
        let headers: serde_json::Map<String, Value> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let script = json!({
            "uri": format!("ws://127.0.0.1:{port}{}", self.target),
            "headers": headers,
            "subprotocols": self.subprotocol.into_iter().collect::<Vec<_>>(),
            "steps": steps,
        });
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/live/client.py");
        let mut command = Command::new(python);
        command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let heard: Value = serde_json::from_slice(&output.stdout).unwrap();
        let texts = heard["texts"].as_array().unwrap().iter();
        Some(Heard {
            texts: texts.map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect(),
            code: heard["code"].as_u64().map(|code| code.try_into().unwrap()),
            reason: heard["reason"].as_str().unwrap_or_default().to_owned(),
            subprotocol: heard["subprotocol"].as_str().map(str::to_owned),
        })
    }
}

/// A step as the Python client reads it.
fn written(step: Step) -> Vec<Value> {
    match step {
        Step::Text(text) => vec![json!(["text", text])],
        Step::Binary(bytes) => vec![json!(["binary", STANDARD.encode(bytes)])],
        Step::Audio(Message::Text(text), secs) => vec![json!(["text", text.as_str()]), json!(["sleep", secs / HASTE])],
        Step::Audio(message, secs) => {
            vec![json!(["binary", STANDARD.encode(message.into_data())]), json!(["sleep", secs / HASTE])]
        }
        Step::Await(part) => vec![json!(["await", part])],
        Step::Close => vec![json!(["close"])],
    }
}

/// Reads until the other side closes.
pub(super) fn listen(socket: &mut WebSocket<UnixStream>, mut texts: Vec<Value>) -> Heard {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => texts.push(serde_json::from_str(&text).unwrap_or_else(|_| json!(text.as_str()))),
            Ok(Message::Close(frame)) => {
                let code = frame.as_ref().map(|frame| frame.code.into());
                let reason = frame.map_or_else(String::new, |frame| frame.reason.to_string());
                return Heard { texts, code, reason, subprotocol: None };
            }
            Ok(_) => {}
            Err(error) => panic!("{error} after {texts:#?}"),
        }
    }
}

/// The bytes of a µ-law recording.
pub(super) fn ulaw(name: &str) -> Vec<u8> {
    let wav = fs::read(sample(name)).unwrap();
    let start = wav.windows(4).position(|name| name == b"data").unwrap() + 8;
    let bytes = u32::from_le_bytes(wav[start - 4..start].try_into().unwrap()) as usize;
    wav[start..start + bytes].to_vec()
}

/// A µ-law recording at 8 kHz of `channels`, as long as the shortest.
pub(super) fn recording(folder: &Path, channels: &[&[u8]]) -> PathBuf {
    let count = u16::try_from(channels.len()).unwrap();
    let data = interleaved(channels);
    let header = [
        b"WAVEfmt ".as_slice(),
        &18_u32.to_le_bytes(),
        &7_u16.to_le_bytes(),
        &count.to_le_bytes(),
        &8_000_u32.to_le_bytes(),
        &(8_000 * u32::from(count)).to_le_bytes(),
        &count.to_le_bytes(),
        &8_u16.to_le_bytes(),
        &[0, 0],
        b"data",
        &u32::try_from(data.len()).unwrap().to_le_bytes(),
    ]
    .concat();
    let bytes = u32::try_from(header.len() + data.len()).unwrap().to_le_bytes();
    let path = folder.join("call.wav");
    fs::write(&path, [b"RIFF".as_slice(), &bytes, &header, &data].concat()).unwrap();
    path
}

/// Samples of one byte, one of each channel in turn.
pub(super) fn interleaved(channels: &[&[u8]]) -> Vec<u8> {
    let frames = channels.iter().map(|channel| channel.len()).min().unwrap();
    (0..frames).flat_map(|frame| channels.iter().map(move |channel| channel[frame])).collect()
}

/// The call that the other side names `name`, once it is over: its id, and what is kept of it.
pub(super) fn kept(daemon: &Daemon, name: &str) -> (String, Value) {
    let found = || {
        let scans = daemon.get("/v1/scans").json()["scans"].clone();
        scans.as_array().unwrap().iter().find(|scan| scan["name"] == name).cloned()
    };
    until(&format!("call {name}; {}", daemon.log()), || found().is_some());
    let id = found().unwrap()["id"].as_str().unwrap().to_owned();
    daemon.finished(&id);
    let kept = daemon.get(&format!("/v1/calls/{id}")).json();
    (id, kept)
}

/// Types of the alerts of a kept call, with the party's name.
pub(super) fn alerts(kept: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = kept["events"].as_array().unwrap().iter();
    events.map(|event| (text(&event["type"]), text(&event["party"]["name"]))).collect()
}
