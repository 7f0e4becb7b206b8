//! One voice: its packets in any order in, its samples in order out.

use std::collections::BTreeMap;

use core::time::Duration;

use super::{
    Codec, Format, Packet, PayloadMap,
    depayload::Depayloader,
    dtmf::Digits,
    jitter::{Due, JitterBuffer, MAX_PAYLOAD_BYTES, Put},
    timeline::{Moment, Timeline},
};

/// What comes of a voice's packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The samples to come have this rate, in Hz. Always before the first samples.
    Rate(u32),
    /// Mono, nominal range ±1.
    Samples(&'a [f32]),
    /// Samples of time that passed without audio: pause, comfort noise, loss.
    Gap(u64),
    /// A key was pressed.
    Dtmf(char),
}

/// Packets by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Gave audio.
    pub heard_packets: u64,
    /// Never came, or too late.
    pub lost_packets: u64,
    /// Came twice, or too late.
    pub late_packets: u64,
    /// Could not be decoded, though their codec can.
    pub damaged_packets: u64,
    /// By payload type: those whose codec is unknown or cannot be decoded.
    pub undecodable_packets: BTreeMap<u8, u64>,
}

/// Receives one SSRC at a time.
pub struct Receiver {
    payloads: PayloadMap,
    jitter: JitterBuffer,
    timeline: Timeline,
    digits: Digits,
    decoder: Option<(Format, Depayloader)>,
    sample_rate_hz: Option<u32>,
    samples: Vec<f32>,
    due: Vec<Due>,
    tally: Tally,
}

impl Receiver {
    /// A receiver of the payload types in `payloads`.
    pub fn new(payloads: PayloadMap) -> Self {
        Self {
            payloads,
            jitter: JitterBuffer::default(),
            timeline: Timeline::default(),
            digits: Digits::default(),
            decoder: None,
            sample_rate_hz: None,
            samples: Vec::new(),
            due: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Takes one packet that came at `arrival`, counted from any moment.
    pub fn push(&mut self, packet: &Packet<'_>, arrival: Duration, sink: &mut dyn FnMut(Event<'_>)) {
        if packet.payload.len() > MAX_PAYLOAD_BYTES {
            self.tally.damaged_packets += 1;
            return;
        }
        let mut due = std::mem::take(&mut self.due);
        if self.jitter.put(packet, arrival, &mut due) == Put::Late {
            self.tally.late_packets += 1;
        }
        self.jitter.take_due(arrival, &mut due);
        self.play(due, sink);
    }

    /// Gives up waiting for what should have come by `now`.
    pub fn poll(&mut self, now: Duration, sink: &mut dyn FnMut(Event<'_>)) {
        let mut due = std::mem::take(&mut self.due);
        self.jitter.take_due(now, &mut due);
        self.play(due, sink);
    }

    /// Plays what waits, and expects another SSRC with a sequence and timestamps of its own.
    pub fn restart(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        self.finish(sink);
        self.jitter = JitterBuffer::default();
        self.timeline.break_here();
        self.digits = Digits::default();
        self.decoder = None;
    }

    /// Plays what waits. The end, for whoever has no more packets.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        let mut due = std::mem::take(&mut self.due);
        self.jitter.drain(&mut due);
        self.play(due, sink);
    }

    /// New meanings of payload types, for packets to come.
    pub fn set_payloads(&mut self, payloads: PayloadMap) {
        self.payloads = payloads;
    }

    /// What became of the packets so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Name of the codec of the last packet of audio.
    pub fn codec_name(&self) -> Option<&str> {
        self.decoder.as_ref().map(|(format, _)| format.name.as_str())
    }

    /// What the payload types stand for.
    pub fn payloads(&self) -> &PayloadMap {
        &self.payloads
    }

    fn play(&mut self, mut due: Vec<Due>, sink: &mut dyn FnMut(Event<'_>)) {
        for packet in due.drain(..) {
            self.tally.lost_packets += packet.lost.unwrap_or(0);
            if packet.lost.is_none() {
                self.timeline.break_here();
            }
            self.play_one(&packet, sink);
        }
        self.due = due;
    }

    fn play_one(&mut self, packet: &Due, sink: &mut dyn FnMut(Event<'_>)) {
        let Due { held, lost } = packet;
        let format = self.payloads.get(held.payload_type);
        match format.map(|format| format.codec) {
            Some(Codec::TelephoneEvent) => {
                if let Some(digit) = self.digits.take(held.timestamp, &held.payload) {
                    sink(Event::Dtmf(digit));
                }
                return;
            }
            Some(Codec::ComfortNoise | Codec::Video) => return,
            _ => {}
        }
        if self.decoder.as_ref().map(|(current, _)| current) != format {
            self.decoder = format.and_then(|format| Some((format.clone(), Depayloader::new(format)?)));
        }
        let Some((format, decoder)) = &mut self.decoder else {
            *self.tally.undecodable_packets.entry(held.payload_type).or_default() += 1;
            return;
        };
        self.samples.clear();
        if !decoder.decode(&held.payload, &mut self.samples) {
            self.tally.damaged_packets += 1;
            return;
        }
        self.tally.heard_packets += 1;
        let sample_rate_hz = format.sample_rate_hz();
        if self.sample_rate_hz.replace(sample_rate_hz) != Some(sample_rate_hz) {
            sink(Event::Rate(sample_rate_hz));
        }
        let gap_samples = self.timeline.advance(Moment {
            timestamp: held.timestamp,
            clock_hz: format.clock_hz,
            arrival: held.arrival,
            lost: *lost,
            samples: self.samples.len(),
            sample_rate_hz,
        });
        if gap_samples > 0 {
            sink(Event::Gap(gap_samples));
        }
        sink(Event::Samples(&self.samples));
    }
}
