//! Captured calls: the RTP streams of a pcap or pcapng file.
//!
//! Two runs through the file, in constant memory: the first collects what SIP messages say of ports and payload types,
//! the second sorts datagrams by their addresses into [`Flow`]s, each voice of which is a stream. Streams are numbered in
//! the order in which they were first heard.
//!
//! Limits: [`MAX_FLOWS`] pairs of addresses; IP fragments and datagrams of which the capture kept only the beginning are passed over, and SIP messages
//! over TCP are understood only within one segment. What is encrypted (the description says SAVP), of an unknown payload
//! type, or of a codec that cannot be decoded is a [`Trouble`].

mod file;
mod frame;
mod signalling;

use std::{collections::BTreeMap, net::SocketAddr};

use symphonia::core::io::MediaSource;

use super::{DecodeError, Limits, source::Guard};
use crate::rtp::{Codec, Event, Flow, Packet, PayloadMap, Receiver};
use file::{CaptureFile, Record};
pub(crate) use file::{container, is_container};
use frame::Frame;
use signalling::Signalling;

/// Pairs of addresses with datagrams that look like RTP.
const MAX_FLOWS: usize = 1_024;
/// Packets below which a stream that cannot be decoded may be no RTP at all.
const MIN_TROUBLE_PACKETS: u64 = 25;
/// Share of a stream that may be missing before it counts as not heard whole.
const MAX_LOST_SHARE: f64 = 0.1;

/// What one run through the capture found besides audio.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Codecs of the streams that were heard, each once.
    pub(crate) codecs: Vec<String>,
    /// Streams that were not heard, or not whole.
    pub(crate) troubles: Vec<Trouble>,
    /// UDP datagrams.
    pub(crate) datagrams: u64,
    /// IP fragments and cut datagrams, which were passed over.
    pub(crate) passed_over: u64,
}

/// Why a stream was not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Its codec, where that is known.
    pub(crate) codec: Option<String>,
    /// For a person.
    pub(crate) detail: String,
    /// Heard in part.
    pub(crate) is_partial: bool,
}

/// First run: what the signalling in the capture says.
pub(crate) struct Descriptions(Signalling);

impl Descriptions {
    /// Reads the whole capture.
    ///
    /// # Errors
    /// As [`Listener::run`].
    pub(crate) fn read(
        source: Box<dyn MediaSource>,
        limits: &Limits,
        beat: &mut dyn FnMut() -> Result<(), crate::error::Error>,
    ) -> Result<Self, Failure> {
        let guard = Guard::new(source, limits);
        let mut signalling = Signalling::default();
        let mut file = CaptureFile::open(&guard)?;
        while let Some(record) = file.next()? {
            beat()?;
            if let Frame::Udp(datagram) | Frame::Tcp(datagram) = frame::read(record.link_type, record.data) {
                signalling.take(&datagram);
            }
        }
        Ok(Self(signalling))
    }
}

/// Why a run ended early.
pub(crate) enum Failure {
    /// The capture's doing.
    Media(DecodeError),
    /// Not the capture's doing.
    Other(crate::error::Error),
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Media(error)
    }
}

impl From<crate::error::Error> for Failure {
    fn from(error: crate::error::Error) -> Self {
        Self::Other(error)
    }
}

/// What takes the audio: the number of the stream, and what came of it.
type Sink<'a> = dyn FnMut(usize, Event<'_>) -> Result<(), Failure> + 'a;

/// Second run: the audio.
pub(crate) struct Listener {
    descriptions: Descriptions,
    flows: BTreeMap<(SocketAddr, SocketAddr), Heard>,
    streams: usize,
    found: Found,
}

struct Heard {
    flow: Flow,
    /// By the description: not to be decoded.
    is_encrypted: bool,
    encrypted_packets: u64,
    /// Stream numbers of the flow's voices, once there is audio of them.
    numbers: Vec<Option<usize>>,
}

impl Listener {
    /// Knows what the first run found.
    pub(crate) fn new(descriptions: Descriptions) -> Self {
        Self { descriptions, flows: BTreeMap::new(), streams: 0, found: Found::default() }
    }

    /// Reads the whole capture and hands all audio to `sink`.
    ///
    /// # Errors
    /// [`Failure::Media`] for a damaged file or a limit, and whatever `sink` says. What was found until then stays.
    pub(crate) fn run(
        &mut self,
        source: Box<dyn MediaSource>,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<(), Failure> {
        let guard = Guard::new(source, limits);
        let mut file = CaptureFile::open(&guard)?;
        while let Some(record) = file.next()? {
            self.take(&record, sink)?;
        }
        for heard in self.flows.values_mut() {
            let mut result = Ok(());
            let Heard { flow, numbers, .. } = heard;
            flow.finish(&mut |voice, event| pass(numbers, &mut self.streams, (voice, event), &mut result, sink));
            result?;
        }
        Ok(())
    }

    fn take(&mut self, record: &Record<'_>, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let datagram = match frame::read(record.link_type, record.data) {
            Frame::Udp(datagram) => datagram,
            Frame::Fragment => {
                self.found.passed_over += 1;
                return Ok(());
            }
            Frame::Tcp(_) | Frame::Other => return Ok(()),
        };
        self.found.datagrams += 1;
        if datagram.is_cut || record.is_cut {
            self.found.passed_over += 1;
            return Ok(());
        }
        let key = (datagram.from, datagram.to);
        let is_known = self.flows.contains_key(&key);
        if Packet::parse(datagram.payload).is_none() || (!is_known && self.flows.len() >= MAX_FLOWS) {
            return Ok(());
        }
        let heard = self.flows.entry(key).or_insert_with(|| Heard::new(&self.descriptions.0, key));
        if heard.is_encrypted {
            heard.encrypted_packets += 1;
            return Ok(());
        }
        let mut result = Ok(());
        let Heard { flow, numbers, .. } = heard;
        let mut forward = |voice, event: Event<'_>| {
            pass(numbers, &mut self.streams, (voice, event), &mut result, sink);
        };
        flow.push(datagram.payload, record.at, &mut forward);
        result
    }

    /// Of the run so far.
    pub(crate) fn found(mut self) -> Found {
        for ((from, to), heard) in &self.flows {
            if heard.encrypted_packets >= MIN_TROUBLE_PACKETS {
                let detail = format!("the stream from {from} to {to} is encrypted (SRTP)");
                self.found.troubles.push(Trouble { codec: Some("srtp".to_owned()), detail, is_partial: false });
            }
            for receiver in heard.flow.receivers() {
                self.found.add(receiver, &format!("the stream from {from} to {to}"));
            }
        }
        self.found
    }
}

impl Heard {
    fn new(signalling: &Signalling, (from, to): (SocketAddr, SocketAddr)) -> Self {
        let media = signalling.media(from, to);
        let payloads = media.map_or_else(PayloadMap::default, |media| media.payloads.clone());
        let is_encrypted = media.is_some_and(|media| media.is_encrypted() && media.kind == "audio");
        Self { flow: Flow::new(payloads), is_encrypted, encrypted_packets: 0, numbers: Vec::new() }
    }
}

/// Numbers a stream when it is first heard, and hands its events on until something fails.
fn pass(
    numbers: &mut Vec<Option<usize>>,
    streams: &mut usize,
    (voice, event): (usize, Event<'_>),
    result: &mut Result<(), Failure>,
    sink: &mut Sink<'_>,
) {
    if result.is_err() {
        return;
    }
    numbers.resize(numbers.len().max(voice + 1), None);
    let known = numbers[voice];
    if known.is_none() && !matches!(event, Event::Rate(_)) {
        return;
    }
    let number = known.unwrap_or_else(|| {
        *streams += 1;
        *streams - 1
    });
    numbers[voice] = Some(number);
    *result = sink(number, event);
}

impl Found {
    fn add(&mut self, receiver: &Receiver, name: &str) {
        let tally = receiver.tally();
        if tally.heard_packets > 0
            && let Some(codec) = receiver.codec_name()
            && !self.codecs.iter().any(|known| known == codec)
        {
            self.codecs.push(codec.to_owned());
        }
        for (&payload_type, &packets) in &tally.undecodable_packets {
            let format = receiver.payloads().get(payload_type);
            if packets < MIN_TROUBLE_PACKETS || format.is_some_and(|format| format.codec == Codec::Video) {
                continue;
            }
            let codec = format.map(|format| format.name.clone());
            let detail = match &codec {
                Some(codec) => format!("{name}: {codec} is not supported"),
                None => format!("{name}: no SIP message in the capture says what payload type {payload_type} is"),
            };
            self.troubles.push(Trouble { codec, detail, is_partial: tally.heard_packets > 0 });
        }
        let missing = tally.lost_packets.saturating_add(tally.damaged_packets);
        let share = missing as f64 / (tally.heard_packets + missing).max(1) as f64;
        if tally.heard_packets > 0 && share > MAX_LOST_SHARE {
            let detail = format!("{name}: {:.0} % of its packets are missing or damaged", 100.0 * share);
            self.troubles.push(Trouble { codec: None, detail, is_partial: true });
        }
    }
}
