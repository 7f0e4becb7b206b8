//! All that comes from one address and port to another: packets of one voice, or of several that SSRCs tell apart.
//!
//! A new SSRC is believed after [`PROBATION_PACKETS`] in sequence, so that stray datagrams make no voices. It goes on
//! with the voice that has been silent since the newcomer's first packet (transfer, re-INVITE, restart), and is a further
//! voice where none has.

use std::ops::RangeInclusive;

use core::time::Duration;

use super::{Event, MAX_PAYLOAD_BYTES, Packet, PayloadMap, Receiver};

/// Voices at once in one flow.
pub const MAX_VOICES: usize = 8;
/// Packets that make an SSRC a voice.
const PROBATION_PACKETS: usize = 3;
/// Sequence numbers within which they must lie.
const PROBATION_SPAN: u16 = 16;
/// SSRCs on probation at once.
const MAX_CANDIDATES: usize = 4;
/// An empty packet has nothing to say, and larger ones are kept nowhere.
const PAYLOAD_BYTES: RangeInclusive<usize> = 1..=MAX_PAYLOAD_BYTES;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// It went to a voice.
    Taken,
    /// It waits until its SSRC has shown itself to be one.
    Waiting,
    /// It is no RTP packet, or of one voice too many.
    Refused,
}

/// The voices of one flow.
pub struct Flow {
    payloads: PayloadMap,
    voices: Vec<Voice>,
    candidates: Vec<Candidate>,
}

struct Voice {
    ssrc: u32,
    receiver: Receiver,
    last_packet: u64,
}

struct Candidate {
    ssrc: u32,
    /// Counted over the flow.
    first_packet: u64,
    /// Sequence number, datagram, arrival.
    waiting: Vec<(u16, Vec<u8>, Duration)>,
}

impl Flow {
    /// A flow whose packets are to be read by `payloads`.
    pub fn new(payloads: PayloadMap) -> Self {
        Self { payloads, voices: Vec::new(), candidates: Vec::new() }
    }

    /// Takes one datagram. `sink` gets the voice's number, from 0, and what came of it.
    pub fn push(&mut self, datagram: &[u8], arrival: Duration, sink: &mut dyn FnMut(usize, Event<'_>)) -> Routed {
        let Some(packet) = Packet::parse(datagram).filter(|packet| PAYLOAD_BYTES.contains(&packet.payload.len()))
        else {
            return Routed::Refused;
        };
        let count = self.voices.iter().map(|voice| voice.last_packet).max().unwrap_or(0) + 1;
        if let Some(index) = self.voices.iter().position(|voice| voice.ssrc == packet.ssrc) {
            let voice = &mut self.voices[index];
            voice.last_packet = count;
            voice.receiver.push(&packet, arrival, &mut |event| sink(index, event));
            return Routed::Taken;
        }
        let at = match self.candidates.iter().position(|candidate| candidate.goes_on_with(&packet)) {
            Some(at) => at,
            None => {
                self.candidates.retain(|candidate| candidate.ssrc != packet.ssrc);
                if self.candidates.len() >= MAX_CANDIDATES {
                    self.candidates.remove(0);
                }
                self.candidates.push(Candidate { ssrc: packet.ssrc, first_packet: count, waiting: Vec::new() });
                self.candidates.len() - 1
            }
        };
        let candidate = &mut self.candidates[at];
        if candidate.waiting.iter().all(|(sequence, ..)| *sequence != packet.sequence) {
            candidate.waiting.push((packet.sequence, datagram.to_vec(), arrival));
        }
        if candidate.waiting.len() < PROBATION_PACKETS {
            return Routed::Waiting;
        }
        let candidate = self.candidates.remove(at);
        self.admit(candidate, sink)
    }

    /// Makes the candidate a voice, an old one or a new one.
    fn admit(&mut self, candidate: Candidate, sink: &mut dyn FnMut(usize, Event<'_>)) -> Routed {
        let silent = self.voices.iter().rposition(|voice| voice.last_packet < candidate.first_packet);
        match silent {
            Some(index) => {
                let voice = &mut self.voices[index];
                voice.ssrc = candidate.ssrc;
                voice.receiver.restart(&mut |event| sink(index, event));
            }
            None if self.voices.len() < MAX_VOICES => {
                let receiver = Receiver::new(self.payloads.clone());
                self.voices.push(Voice { ssrc: candidate.ssrc, receiver, last_packet: 0 });
            }
            None => return Routed::Refused,
        }
        for (_, datagram, arrival) in candidate.waiting {
            self.push(&datagram, arrival, sink);
        }
        Routed::Taken
    }

    /// Gives up waiting for what should have come by `now`.
    pub fn poll(&mut self, now: Duration, sink: &mut dyn FnMut(usize, Event<'_>)) {
        for (index, voice) in self.voices.iter_mut().enumerate() {
            voice.receiver.poll(now, &mut |event| sink(index, event));
        }
    }

    /// Plays what waits: the end.
    pub fn finish(&mut self, sink: &mut dyn FnMut(usize, Event<'_>)) {
        for (index, voice) in self.voices.iter_mut().enumerate() {
            voice.receiver.finish(&mut |event| sink(index, event));
        }
    }

    /// New meanings of payload types.
    pub fn set_payloads(&mut self, payloads: PayloadMap) {
        for voice in &mut self.voices {
            voice.receiver.set_payloads(payloads.clone());
        }
        self.payloads = payloads;
    }

    /// The voices so far, in the order in which they came.
    pub fn receivers(&self) -> impl Iterator<Item = &Receiver> {
        self.voices.iter().map(|voice| &voice.receiver)
    }
}

impl Candidate {
    fn goes_on_with(&self, packet: &Packet<'_>) -> bool {
        let is_near = |before: u16| packet.sequence.wrapping_sub(before).cast_signed().unsigned_abs() <= PROBATION_SPAN;
        self.ssrc == packet.ssrc && self.waiting.iter().all(|(sequence, ..)| is_near(*sequence))
    }
}
