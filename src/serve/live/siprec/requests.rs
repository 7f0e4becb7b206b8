//! What the recording server answers to each request.

use std::time::Instant;

use bytes::Bytes;
use ezk_sip_types::Name;
use tokio::sync::mpsc;
use tracing::info;

use super::{Server, Session};
use crate::{
    rtp::{Media, Session as Description},
    serve::live::{
        Ending, NewCall, Refused, Transport,
        sip::{
            Body, CHANGES, Change, Dialog, Known, MAX_STREAMS, Metadata, Offered, Recording, Repeat, Reply, Request,
            Response, Track, answer, is_acceptable,
        },
    },
};

const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE";
const ACCEPT: &str = "application/sdp, application/rs-metadata+xml, multipart/mixed";
/// Extensions that a request may require: RFC 7866 and RFC 4028.
const SUPPORTED: [&str; 2] = ["siprec", "timer"];
/// Seconds after which a refused session may be tried again.
const RETRY_AFTER: &str = "10";
/// Shortest session interval, in seconds (RFC 4028, section 4).
const MIN_SESSION_SECS: u32 = 90;

/// A refusal: status, reason, and a header line that says more.
type Refusal = (u16, &'static str, Option<(&'static str, String)>);

/// What an offer comes to.
struct Agreed {
    streams: Vec<Known>,
    tracks: Vec<Track>,
    ports: Vec<Option<u16>>,
}

impl Server {
    /// Takes one message; responses to our BYE and what cannot be answered are passed over.
    pub(super) fn take(&mut self, message: &Bytes, reply: &Reply) {
        let Some(mut request) = Request::parse(message) else { return };
        request.source = Some(reply.peer());
        if request.method == "ACK" {
            self.acknowledged(&request);
            return;
        }
        let response = match self.refusal(&request, reply) {
            Some(refusal) => Some(refuse(&request, refusal)),
            None => match request.method.as_str() {
                "OPTIONS" => Some(Response::to(&request, 200, "OK", &random()).with("Accept", ACCEPT)),
                "INVITE" if request.to_tag().is_none() => self.invite(&request, reply),
                "INVITE" | "UPDATE" => self.change(&request, reply),
                "BYE" => Some(self.bye(&request)),
                "CANCEL" => Some(self.cancel(&request)),
                _ => Some(refuse(&request, (405, "Method Not Allowed", None))),
            },
        };
        if let Some(response) = response {
            reply.send(&common(response).to_bytes());
        }
    }

    fn refusal(&self, request: &Request, reply: &Reply) -> Option<Refusal> {
        if !self.is_allowed(reply.peer()) {
            return Some((403, "Forbidden", None));
        }
        let required = request.tokens(&Name::REQUIRE);
        let foreign: Vec<&str> =
            required.iter().map(String::as_str).filter(|option| !SUPPORTED.contains(option)).collect();
        (!foreign.is_empty()).then(|| (420, "Bad Extension", Some(("Unsupported", foreign.join(", ")))))
    }

    fn acknowledged(&mut self, request: &Request) {
        let Some(session) = self.sessions.get_mut(request.call_id()) else { return };
        if request.cseq().is_some_and(|(number, _)| number == session.dialog.invite_cseq) {
            session.dialog.repeat = None;
        }
    }

    /// A new session, or an INVITE that comes again because its answer was lost.
    fn invite(&mut self, request: &Request, reply: &Reply) -> Option<Response> {
        if let Some(session) = self.sessions.get(request.call_id()) {
            let is_repeated = request.cseq().is_some_and(|(number, _)| number == session.dialog.invite_cseq);
            if is_repeated {
                reply.send(&session.dialog.invite_answer);
                return None;
            }
            return Some(refuse(request, (482, "Loop Detected", None)));
        }
        match self.open(request, reply) {
            Ok(response) => self.answer_invite(request, response, reply),
            Err(refusal) => Some(refuse(request, refusal)),
        }
    }

    fn open(&mut self, request: &Request, reply: &Reply) -> Result<Response, Refusal> {
        let body = Body::of(request);
        let offer = offer_of(&body)?.ok_or((488, "Not Acceptable Here", warning("an offer is needed")))?;
        if self.sessions.len() >= self.config.max_calls {
            return Err(busy("as many sessions go on as may"));
        }
        let metadata = read_metadata(&body, request);
        let agreed = self.agree(&offer, &[], &metadata)?;
        let new = NewCall {
            transport: Transport::Siprec,
            external_id: Some(request.call_id().to_owned()),
            peer: reply.peer().to_string(),
            metadata: notes(&metadata).into_iter().collect(),
            policy: self.config.policy.clone(),
            actor: "siprec".to_owned(),
        };
        let call = self.core.open_call(new).map_err(|refused| match refused {
            Refused::Full | Refused::Stopping => busy(&refused.to_string()),
            other => (500, "Server Internal Error", warning(&other.to_string())),
        })?;
        let (changes, receiver) = mpsc::channel(CHANGES);
        let recording = Recording { call, allowed: self.config.allow.clone(), changes: receiver };
        let call_id = request.call_id().to_owned();
        let tracks = agreed.tracks;
        self.recordings.spawn(async move { (call_id, recording.run(tracks).await) });
        let mut dialog = Dialog::new(request, &random());
        dialog.version = 1;
        let description = answer(&Offered { session: &offer, ports: &agreed.ports }, self.address, dialog.version);
        let response = Response::to(request, 200, "OK", &dialog.tag).with_description(description);
        let session = Session { dialog, changes, streams: agreed.streams, reply: reply.clone() };
        self.sessions.insert(request.call_id().to_owned(), session);
        Ok(response)
    }

    /// Completes a 200 to an INVITE, keeps it for repetition, and sends it.
    fn answer_invite(&mut self, request: &Request, mut response: Response, reply: &Reply) -> Option<Response> {
        for route in request.headers.get_raw(&Name::RECORD_ROUTE) {
            response.add("Record-Route", route);
        }
        response.add("Contact", &self.contact(reply));
        add_session_timer(request, &mut response);
        let bytes = common(response).to_bytes();
        reply.send(&bytes);
        if let Some(session) = self.sessions.get_mut(request.call_id()) {
            session.dialog.invite_cseq = request.cseq().map_or(0, |(number, _)| number);
            session.dialog.invite_answer.clone_from(&bytes);
            session.dialog.repeat = Some(Repeat::new(bytes, Instant::now()));
            session.reply = reply.clone();
        }
        None
    }

    /// A re-INVITE or UPDATE: streams, codecs, hold, participants.
    fn change(&mut self, request: &Request, reply: &Reply) -> Option<Response> {
        let is_invite = request.method == "INVITE";
        let number = request.cseq().map_or(0, |(number, _)| number);
        let (known, version) = match self.sessions.get_mut(request.call_id()) {
            Some(session) if request.to_tag() == Some(&session.dialog.tag) => {
                if is_invite && number == session.dialog.invite_cseq {
                    reply.send(&session.dialog.invite_answer);
                    return None;
                }
                if number < session.dialog.last_cseq {
                    return Some(refuse(
                        request,
                        (500, "Server Internal Error", warning("the request is out of order")),
                    ));
                }
                session.dialog.last_cseq = number;
                session.dialog.version += 1;
                (session.streams.clone(), session.dialog.version)
            }
            _ => return Some(refuse(request, (481, "Call/Transaction Does Not Exist", None))),
        };
        let body = Body::of(request);
        let metadata = read_metadata(&body, request);
        let mut response = Response::to(request, 200, "OK", "");
        match offer_of(&body) {
            Err(refusal) => return Some(refuse(request, refusal)),
            Ok(None) if is_invite => {
                return Some(refuse(request, (488, "Not Acceptable Here", warning("an offer is needed"))));
            }
            Ok(None) => {}
            Ok(Some(offer)) => {
                let agreed = match self.agree(&offer, &known, &metadata) {
                    Ok(agreed) => agreed,
                    Err(refusal) => return Some(refuse(request, refusal)),
                };
                let offered = Offered { session: &offer, ports: &agreed.ports };
                response = response.with_description(answer(&offered, self.address, version));
                self.apply(request.call_id(), &known, agreed);
            }
        }
        if let Some(session) = self.sessions.get(request.call_id()) {
            for (key, value) in notes(&metadata) {
                let _ = session.changes.try_send(Change::Note(key, value));
            }
        }
        if is_invite {
            return self.answer_invite(request, response, reply);
        }
        response.add("Contact", &self.contact(reply));
        add_session_timer(request, &mut response);
        Some(response)
    }

    /// Tells the media what a new description changes.
    fn apply(&mut self, call_id: &str, before: &[Known], agreed: Agreed) {
        let Some(session) = self.sessions.get_mut(call_id) else { return };
        let mut changes = Vec::new();
        for (index, stream) in agreed.streams.iter().enumerate() {
            match before.get(index) {
                Some(old) => {
                    if old.payloads != stream.payloads {
                        changes.push(Change::Payloads(index, stream.payloads.clone()));
                    }
                    if old.is_held != stream.is_held {
                        changes.push(Change::Note(format!("hold.{}", stream.label), stream.is_held.to_string()));
                    }
                }
                None => break,
            }
        }
        changes.extend(agreed.tracks.into_iter().map(|track| Change::Add(Box::new(track))));
        session.streams = agreed.streams;
        for change in changes {
            // The other side waits for our answer before it changes anything else, so there is room.
            let _ = session.changes.try_send(change);
        }
    }

    /// Ports for the acceptable streams of an offer: those that they have, and new ones.
    fn agree(&mut self, offer: &Description, known: &[Known], metadata: &Metadata) -> Result<Agreed, Refusal> {
        let mut agreed = Agreed { streams: known.to_vec(), tracks: Vec::new(), ports: Vec::new() };
        for (position, media) in offer.media.iter().enumerate() {
            if !is_acceptable(media) {
                agreed.ports.push(None);
                continue;
            }
            let label = label_of(media, position);
            if let Some(stream) = agreed.streams.iter_mut().find(|stream| stream.label == label) {
                *stream = Known::of(media, (label, stream.port));
                agreed.ports.push(Some(stream.port));
                continue;
            }
            if agreed.streams.len() >= MAX_STREAMS {
                agreed.ports.push(None);
                continue;
            }
            let (socket, port) = self.ports.take().ok_or_else(|| busy("no RTP port is free"))?;
            let speaker = metadata.speakers.get(&label).and_then(|speaker| speaker.shown());
            let name = speaker.map_or_else(|| format!("stream-{label}"), str::to_owned);
            agreed.streams.push(Known::of(media, (label, port)));
            agreed.tracks.push(Track { socket, name, payloads: media.payloads.clone() });
            agreed.ports.push(Some(port));
        }
        if agreed.ports.iter().all(Option::is_none) {
            let has_audio = offer.media.iter().any(|media| media.kind == "audio" && media.port != 0);
            let is_encrypted = offer.media.iter().any(Media::is_encrypted);
            let said = match (has_audio, is_encrypted) {
                (false, _) => "no audio is offered",
                (true, true) => "SRTP is not supported: send RTP/AVP",
                (true, false) => "none of the codecs is supported: offer PCMU, PCMA, G722, L16 or opus",
            };
            return Err((488, "Not Acceptable Here", warning(said)));
        }
        Ok(agreed)
    }

    fn bye(&mut self, request: &Request) -> Response {
        match self.sessions.get(request.call_id()) {
            Some(session) if request.to_tag() == Some(&session.dialog.tag) => {
                let _ = session.changes.try_send(Change::End(Ending::Completed));
                // The recording ends by itself; its Call-ID is free again at once.
                self.sessions.remove(request.call_id());
                Response::to(request, 200, "OK", "")
            }
            _ => refuse(request, (481, "Call/Transaction Does Not Exist", None)),
        }
    }

    /// Every INVITE is answered at once, so there is nothing left to cancel.
    fn cancel(&mut self, request: &Request) -> Response {
        match self.sessions.get(request.call_id()) {
            Some(session) => Response::to(request, 200, "OK", &session.dialog.tag),
            None => refuse(request, (481, "Call/Transaction Does Not Exist", None)),
        }
    }

    fn contact(&self, reply: &Reply) -> String {
        format!("<sip:clonewatch@{};transport={}>;+sip.srs", self.host(), reply.transport().to_ascii_lowercase())
    }
}

fn common(response: Response) -> Response {
    response.with("Allow", ALLOW).with("Supported", &SUPPORTED.join(", "))
}

fn refuse(request: &Request, (status, reason, more): Refusal) -> Response {
    info!(method = request.method, status, reason, ?more, "a SIP request is refused");
    let response = Response::to(request, status, reason, &random());
    match more {
        Some((name, value)) => {
            let response = response.with(name, &value);
            if status == 503 { response.with("Retry-After", RETRY_AFTER) } else { response }
        }
        None => response,
    }
}

fn busy(said: &str) -> Refusal {
    (503, "Service Unavailable", warning(said))
}

/// RFC 3261, section 20.43.
fn warning(said: &str) -> Option<(&'static str, String)> {
    Some(("Warning", format!("399 clonewatch \"{}\"", said.replace('"', "'"))))
}

fn offer_of(body: &Body) -> Result<Option<Description>, Refusal> {
    if body.is_foreign {
        return Err((415, "Unsupported Media Type", Some(("Accept", ACCEPT.to_owned()))));
    }
    let Some(text) = &body.description else { return Ok(None) };
    Description::parse(text)
        .map(Some)
        .ok_or_else(|| (400, "Bad Request", warning("the session description is unreadable")))
}

/// Metadata that cannot be read costs names, not the recording.
fn read_metadata(body: &Body, request: &Request) -> Metadata {
    let read = body.metadata.as_deref().map(Metadata::parse);
    read.unwrap_or_else(|| Ok(Metadata::default())).unwrap_or_else(|error| {
        info!(call_id = request.call_id(), error, "recording metadata cannot be read");
        Metadata::default()
    })
}

/// For the call's metadata.
fn notes(metadata: &Metadata) -> Vec<(String, String)> {
    let session = metadata.session_id.iter().map(|id| ("session_id".to_owned(), id.clone()));
    let speakers = metadata.speakers.iter().filter_map(|(label, who)| {
        let parts: Vec<&str> = who.name.iter().chain(&who.aor).map(String::as_str).collect();
        (!parts.is_empty()).then(|| (format!("participant.{label}"), parts.join(", ")))
    });
    session.chain(speakers).collect()
}

fn label_of(media: &Media, position: usize) -> String {
    media.label.clone().unwrap_or_else(|| (position + 1).to_string())
}

/// Refreshing is left to the other side (RFC 4028, section 9).
fn add_session_timer(request: &Request, response: &mut Response) {
    let interval =
        request.header(&Name::SESSION_EXPIRES).and_then(|value| value.split(';').next()?.trim().parse().ok());
    if let Some(secs) = interval {
        let secs: u32 = secs;
        response.add("Session-Expires", &format!("{};refresher=uac", secs.max(MIN_SESSION_SECS)));
        if request.tokens(&Name::SUPPORTED).iter().any(|option| option == "timer") {
            response.add("Require", "timer");
        }
    }
}

/// A tag or branch that nobody guesses.
pub(super) fn random() -> String {
    let mut bytes = [0; 8];
    // Without randomness the tag is a known one, and dialogs are still told apart by their Call-ID.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
