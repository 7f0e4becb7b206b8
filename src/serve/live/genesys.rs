//! Genesys AudioHook: a session of JSON messages, with both parties' audio in binary ones.
//!
//! `open` is answered with `opened` and one of the media that are offered; then audio comes, `ping` is answered with `pong`,
//! `close` with `closed`. What we want to end, we ask for with `disconnect`, and the client closes. A pause and what the
//! client discards are gaps. A connection that only probes opens no call. No audio and no verdict is sent back.

mod protocol;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::ws::{Message, WebSocket, close_code};
use serde_json::{Value, json};

use super::{
    Call, Ending, NewCall, Party, Refused, Transport,
    digits::Digits,
    socket::{Client, PATIENCE, Received, close, greeting, receive, refusal},
};
use crate::{decode::parts::SampleCoding, serve::core::Core};

pub(in crate::serve) use protocol::Claim;
use protocol::{Media, Open, RATE_HZ, Said, Session};

/// Largest message that AudioHook sends.
pub(in crate::serve) const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Longest time for a probe.
const PROBE: Duration = Duration::from_secs(30);
/// How far the client's idea of a gap may be ahead of the clock, in seconds.
const MAX_AHEAD_SECS: f64 = 2.0;
/// A pause is heard as silence while it lasts, less this, so that the client's own figure for it is never passed.
const PAUSE_MARGIN_SECS: f64 = 1.0;

/// Screens what comes over `socket`.
pub(in crate::serve) async fn hear(core: Arc<Core>, socket: WebSocket, claim: Claim, client: Client) {
    let mut line = Line { socket, session: Session::new(&claim) };
    let open = match line.begin(&core).await {
        Ok(Some(open)) => open,
        Ok(None) => return,
        Err(goodbye) => return line.dismiss(goodbye).await,
    };
    if !open.is_claimed(&claim) {
        let info = "organizationId: is not that of the request's header".into();
        return line.dismiss(Goodbye { reason: "unauthorized", info, code: close_code::POLICY }).await;
    }
    let Some(media) = open.choose() else {
        return line.dismiss(Goodbye::fault("media: none is PCMU at 8000 Hz".into())).await;
    };
    if open.is_probe() {
        return line.probe(&media).await;
    }
    let taken = core.open_call(new_call(&open, client)).and_then(|call| Ok((Ear::new(&call, &media)?, call)));
    let (ear, call) = match taken {
        Ok(taken) => taken,
        Err(refused) => {
            let (code, info) = refusal(&refused);
            return line.dismiss(Goodbye { reason: "error", info, code }).await;
        }
    };
    // Should it fail, so does the next read.
    let _ = line.opened(&media).await;
    let ending = line.converse(&call, ear).await;
    call.end(ending.clone());
    match ending {
        Ending::Completed => line.closed().await,
        Ending::Disconnected => {}
        Ending::ProtocolFault(fault) => line.dismiss(Goodbye::fault(fault)).await,
        _ => {
            let info = "the call is not screened any longer".into();
            line.dismiss(Goodbye { reason: "completed", info, code: close_code::AWAY }).await;
        }
    }
}

fn new_call(open: &Open, client: Client) -> NewCall {
    NewCall {
        transport: Transport::Genesys,
        external_id: Some(open.conversation_id().to_owned()),
        peer: client.peer,
        metadata: open.metadata(),
        policy: open.policy().or(client.policy),
        actor: client.actor,
    }
}

/// Why we want a session to end.
struct Goodbye {
    reason: &'static str,
    info: String,
    /// Of the close frame, should the client not close.
    code: u16,
}

impl Goodbye {
    fn fault(info: String) -> Self {
        Self { reason: "error", info, code: close_code::INVALID }
    }
}

/// The session and its socket.
struct Line {
    socket: WebSocket,
    session: Session,
}

impl Line {
    async fn say(&mut self, kind: &str, parameters: Value) -> Result<(), axum::Error> {
        let text = self.session.say(kind, &parameters);
        self.socket.send(Message::Text(text.into())).await
    }

    async fn opened(&mut self, media: &Media) -> Result<(), axum::Error> {
        self.say("opened", json!({ "startPaused": false, "media": [media.offered] })).await
    }

    /// Waits for `open`; `None` where the other side goes away.
    async fn begin(&mut self, core: &Arc<Core>) -> Result<Option<Box<Open>>, Goodbye> {
        let received = greeting(core, &mut self.socket, tokio::time::Instant::now() + PATIENCE).await;
        let received = received.map_err(|(code, info)| Goodbye { reason: "error", info, code })?;
        match received {
            Received::Over(_) => Ok(None),
            Received::Binary(_) => Err(Goodbye::fault("audio came before `open`".into())),
            Received::Text(text) => match self.session.take(&text).map_err(Goodbye::fault)? {
                Said::Open(open) => Ok(Some(open)),
                _ => Err(Goodbye::fault("`open` must come first".into())),
            },
        }
    }

    /// Answers somebody who only wants to know whether we are here.
    async fn probe(mut self, media: &Media) {
        let probed = async {
            self.opened(media).await.ok()?;
            loop {
                let Received::Text(text) = receive(&mut self.socket).await else { return None };
                match self.session.take(&text).ok()? {
                    Said::Ping => self.say("pong", json!({})).await.ok()?,
                    Said::Close(_) => return Some(()),
                    _ => {}
                }
            }
        };
        match tokio::time::timeout(PROBE, probed).await {
            Ok(Some(())) => self.closed().await,
            _ => close(self.socket, (close_code::NORMAL, "the probe is over".into())).await,
        }
    }

    /// Answers `close`, and leaves it to the client to close the socket.
    async fn closed(mut self) {
        let _ = self.say("closed", json!({})).await;
        let _ = tokio::time::timeout(PATIENCE, self.until_over()).await;
        close(self.socket, (close_code::NORMAL, "the session is closed".into())).await;
    }

    /// Asks the client to close, and answers it.
    async fn dismiss(mut self, goodbye: Goodbye) {
        let parameters = json!({ "reason": goodbye.reason, "info": goodbye.info });
        let closing = async {
            self.say("disconnect", parameters).await.ok()?;
            loop {
                match receive(&mut self.socket).await {
                    Received::Over(_) => return None,
                    Received::Binary(_) => {}
                    Received::Text(text) => {
                        if matches!(self.session.take(&text), Ok(Said::Close(_))) {
                            self.say("closed", json!({})).await.ok()?;
                            self.until_over().await;
                            return None;
                        }
                    }
                }
            }
        };
        let _: Result<Option<()>, _> = tokio::time::timeout(PATIENCE, closing).await;
        close(self.socket, (goodbye.code, goodbye.info)).await;
    }

    async fn until_over(&mut self) {
        while !matches!(receive(&mut self.socket).await, Received::Over(_)) {}
    }

    async fn converse(&mut self, call: &Call, mut ear: Ear) -> Ending {
        loop {
            let received = tokio::select! {
                received = receive(&mut self.socket) => received,
                ending = call.ended() => return ending,
            };
            let text = match received {
                Received::Text(text) => text,
                Received::Binary(audio) => {
                    ear.hear(&audio);
                    continue;
                }
                // Before `close` that is no good order, whatever the code.
                Received::Over(_) => return Ending::Disconnected,
            };
            match self.session.take(&text) {
                Ok(Said::Ping) => {
                    ear.wait();
                    if self.say("pong", json!({})).await.is_err() {
                        return Ending::Disconnected;
                    }
                }
                Ok(Said::Close(_)) => return Ending::Completed,
                Ok(Said::Open(_)) => return Ending::ProtocolFault("`open` came twice".into()),
                Ok(said) => ear.take(call, said),
                Err(fault) => return Ending::ProtocolFault(fault),
            }
        }
    }
}

/// What listens to one session.
struct Ear {
    parties: Vec<Party>,
    /// Bytes of a frame that the last message cut.
    rest: Vec<u8>,
    samples: Vec<f32>,
    digits: Digits,
    /// When audio, or a gap, came last.
    last: Instant,
    pause: Option<Pause>,
}

/// No audio comes, and that is known.
struct Pause {
    since: Instant,
    /// Seconds of it that were heard as silence.
    heard_secs: f64,
}

impl Ear {
    fn new(call: &Call, media: &Media) -> Result<Self, Refused> {
        let parties = media.channels.iter().map(|name| call.party(name, RATE_HZ)).collect::<Result<_, _>>()?;
        Ok(Self {
            parties,
            rest: Vec::new(),
            samples: Vec::new(),
            digits: Digits::default(),
            last: Instant::now(),
            pause: None,
        })
    }

    fn hear(&mut self, audio: &[u8]) {
        self.last = Instant::now();
        self.rest.extend_from_slice(audio);
        let channels = self.parties.len();
        let whole = self.rest.len() - self.rest.len() % channels;
        for (channel, party) in self.parties.iter_mut().enumerate() {
            self.samples.clear();
            SampleCoding::Ulaw.decode_channel(&self.rest[..whole], channel, channels, &mut self.samples);
            party.push(&self.samples);
        }
        self.rest.drain(..whole);
    }

    fn take(&mut self, call: &Call, said: Said) {
        match said {
            Said::Paused => {
                self.pause.get_or_insert_with(|| Pause { since: Instant::now(), heard_secs: 0.0 });
            }
            Said::Resumed(secs) => {
                if let Some(pause) = self.pause.take() {
                    let most_secs = pause.since.elapsed().as_secs_f64() + MAX_AHEAD_SECS;
                    self.skip(secs.min(most_secs) - pause.heard_secs);
                }
            }
            Said::Discarded(secs) => self.skip(secs.min(self.last.elapsed().as_secs_f64() + MAX_AHEAD_SECS)),
            Said::Dtmf(digit) => self.digits.press(call, &digit),
            Said::Error(message) => call.note("error", &message),
            Said::Open(_) | Said::Ping | Said::Close(_) | Said::Other => {}
        }
    }

    /// The client is there: a pause lasts on, and is no idleness.
    fn wait(&mut self) {
        let Some(pause) = &mut self.pause else { return };
        let secs = pause.since.elapsed().as_secs_f64() - PAUSE_MARGIN_SECS - pause.heard_secs;
        if secs > 0.0 {
            pause.heard_secs += secs;
            self.skip(secs);
        }
    }

    fn skip(&mut self, secs: f64) {
        self.last = Instant::now();
        let samples = (secs.max(0.0) * f64::from(RATE_HZ)).round() as u64;
        self.parties.iter_mut().for_each(|party| party.skip(samples));
    }
}
