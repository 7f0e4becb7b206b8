//! The jitter buffer: packets in any order in, packets in order out, each once.
//!
//! A packet whose turn it is leaves at once. One that is early waits until those before it have come, until one
//! [`WINDOW_PACKETS`] further on has come, or until it has waited [`MAX_HOLD`]. The first packets of a stream wait likewise,
//! since nobody knows which is the first.

use std::collections::BTreeMap;

use core::time::Duration;

use super::Packet;

/// How many packets later one may come and still find its place.
pub const WINDOW_PACKETS: u64 = 16;
/// Largest payload that is kept: 20 ms of two channels of 16 bits at 48 kHz are 3,840 bytes.
pub const MAX_PAYLOAD_BYTES: usize = 8_192;
/// How long a packet waits for those before it.
const MAX_HOLD: Duration = Duration::from_millis(400);
/// Jumps of the sequence number that are still the same sequence (RFC 3550, appendix A.1).
const MAX_DROPOUT: i64 = 3_000;
const MAX_MISORDER: i64 = 100;

/// A packet that waits its turn.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) payload_type: u8,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
    pub(super) arrival: Duration,
}

/// A packet whose turn has come.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) held: Held,
    /// Packets between it and the one before it that never came; `None` where the sequence began anew.
    pub(super) lost: Option<u64>,
}

/// What became of a packet that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Kept,
    /// Its turn is over, or it is here already.
    Late,
    /// Far from the sequence; believed once its successor comes.
    Stray,
}

/// The buffer of one SSRC.
#[derive(Debug, Default)]
pub(super) struct JitterBuffer {
    /// Extended sequence number that is due; `None` before the first packet has left.
    next: Option<u64>,
    highest: Option<u64>,
    held: BTreeMap<u64, Held>,
    /// A packet far from the sequence.
    stray: Option<(u16, Held)>,
    /// The sequence has begun anew, and those of the old one have left.
    is_new_sequence: bool,
}

impl JitterBuffer {
    /// Takes a packet. A sequence that begins anew makes those of the old one leave, through `out`.
    pub(super) fn put(&mut self, packet: &Packet<'_>, arrival: Duration, out: &mut Vec<Due>) -> Put {
        let held = Held {
            payload_type: packet.payload_type,
            timestamp: packet.timestamp,
            payload: packet.payload.to_vec(),
            arrival,
        };
        let Some(highest) = self.highest else {
            // Far above zero, so that packets before the first have a place.
            return self.keep((1 << 32) | u64::from(packet.sequence), held);
        };
        let delta = i64::from(packet.sequence.wrapping_sub(highest as u16).cast_signed());
        if (-MAX_MISORDER..=MAX_DROPOUT).contains(&delta) {
            self.stray = None;
            return self.keep(highest.saturating_add_signed(delta), held);
        }
        match self.stray.replace((packet.sequence, held)) {
            Some((before, first)) if before.wrapping_add(1) == packet.sequence => {
                self.drain(out);
                *self = Self { is_new_sequence: true, ..Self::default() };
                let (payload_type, timestamp, payload) =
                    (first.payload_type, first.timestamp, first.payload.as_slice());
                self.put(&Packet { sequence: before, payload_type, timestamp, payload, ..*packet }, first.arrival, out);
                self.put(packet, arrival, out)
            }
            _ => Put::Stray,
        }
    }

    fn keep(&mut self, sequence: u64, held: Held) -> Put {
        self.highest = self.highest.max(Some(sequence));
        if self.next.is_some_and(|next| sequence < next) || self.held.contains_key(&sequence) {
            return Put::Late;
        }
        self.held.insert(sequence, held);
        Put::Kept
    }

    /// Moves the packets whose turn it is at `now` to `out`.
    pub(super) fn take_due(&mut self, now: Duration, out: &mut Vec<Due>) {
        while let Some((&first, held)) = self.held.first_key_value() {
            let is_next = self.next == Some(first);
            let has_waited = now.saturating_sub(held.arrival) >= MAX_HOLD;
            let is_passed =
                self.highest.is_some_and(|highest| highest - first.min(self.next.unwrap_or(first)) >= WINDOW_PACKETS);
            if !(is_next || has_waited || is_passed) {
                break;
            }
            self.take_first(out);
        }
    }

    /// Moves everything to `out`.
    pub(super) fn drain(&mut self, out: &mut Vec<Due>) {
        while !self.held.is_empty() {
            self.take_first(out);
        }
    }

    fn take_first(&mut self, out: &mut Vec<Due>) {
        let Some((sequence, held)) = self.held.pop_first() else { return };
        let lost = match self.next {
            Some(next) => Some(sequence - next),
            None => (!std::mem::take(&mut self.is_new_sequence)).then_some(0),
        };
        out.push(Due { held, lost });
        self.next = Some(sequence + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequence numbers (as payload) that leave, when those of `order` come 20 ms apart.
    fn pass(order: &[u16]) -> Vec<(u16, Option<u64>)> {
        let mut buffer = JitterBuffer::default();
        let mut out = Vec::new();
        for (i, &sequence) in order.iter().enumerate() {
            let payload = sequence.to_be_bytes();
            let packet = Packet { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc: 0, payload: &payload };
            let arrival = Duration::from_millis(20 * i as u64);
            buffer.put(&packet, arrival, &mut out);
            buffer.take_due(arrival, &mut out);
            assert!(buffer.held.len() <= WINDOW_PACKETS as usize);
        }
        buffer.drain(&mut out);
        let number = |due: Due| (u16::from_be_bytes([due.held.payload[0], due.held.payload[1]]), due.lost);
        out.into_iter().map(number).collect()
    }

    #[test]
    fn order_is_restored_across_the_wrap() {
        assert_eq!(pass(&[65_535, 65_534, 0, 0, 65_535, 1]), [65_534, 65_535, 0, 1].map(|s| (s, Some(0))));
    }

    #[test]
    fn a_hole_is_passed_over_once_the_window_is_full() {
        let order: Vec<u16> = (0..40).filter(|s| *s != 20).chain([20]).collect();
        let passed = pass(&order);
        assert_eq!(passed.len(), 39);
        assert_eq!(passed[20], (21, Some(1)));
    }

    #[test]
    fn a_jump_is_believed_when_it_goes_on() {
        let order: Vec<u16> = (0..20).chain([30_000]).chain(20..22).chain([40_000, 40_001, 40_002]).collect();
        let passed = pass(&order);
        let numbers: Vec<u16> = passed.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(numbers, (0..22).chain([40_000, 40_001, 40_002]).collect::<Vec<u16>>());
        assert_eq!(passed[22], (40_000, None));
    }
}
