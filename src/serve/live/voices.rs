//! From datagrams to the parties of a call: what plain RTP and SIPREC have in common.

use std::{
    io,
    net::SocketAddr,
    task::{Poll, ready},
    time::Duration,
};

use tokio::{io::ReadBuf, net::UdpSocket};
use tracing::info;

use super::{Call, Party, digits::Digits};
use crate::rtp::{Event, Flow, PayloadMap, Routed};

/// How often holes are looked for that nothing will fill, and calls for their end.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A party of a session that goes on, but sends nothing, is given silence so often.
const SILENCE: Duration = Duration::from_secs(10);

/// The voices that come from one place to another.
pub(super) struct Voices {
    flow: Flow,
    parties: Vec<Option<Seat>>,
    digits: Digits,
    is_refused: bool,
}

/// A party, and how far its time has come.
struct Seat {
    party: Party,
    sample_rate_hz: u32,
    /// When it was last given anything.
    marked: Duration,
    /// Samples of silence that it was given before a timestamp said so.
    ahead_samples: u64,
}

impl Voices {
    /// Read by `payloads`.
    pub(super) fn new(payloads: PayloadMap) -> Self {
        Self { flow: Flow::new(payloads), parties: Vec::new(), digits: Digits::default(), is_refused: false }
    }

    /// Takes a datagram. `name` names the party that a voice, counted from 0, becomes.
    pub(super) fn take(
        &mut self,
        call: &Call,
        datagram: &[u8],
        at: Duration,
        name: &dyn Fn(usize) -> String,
    ) -> Routed {
        let Self { flow, parties, digits, is_refused } = self;
        let mut hearing = Hearing { call, name, parties, digits, is_refused, at };
        flow.push(datagram, at, &mut |voice, event| hearing.take(voice, event))
    }

    /// Gives up waiting for packets that should have come.
    pub(super) fn poll(&mut self, call: &Call, at: Duration, name: &dyn Fn(usize) -> String) {
        let Self { flow, parties, digits, is_refused } = self;
        let mut hearing = Hearing { call, name, parties, digits, is_refused, at };
        flow.poll(at, &mut |voice, event| hearing.take(voice, event));
    }

    /// Lets time pass for parties that send nothing: a call on hold is not over.
    pub(super) fn pass_time(&mut self, at: Duration) {
        for seat in self.parties.iter_mut().flatten() {
            let silent = at.saturating_sub(seat.marked);
            if silent >= SILENCE {
                let samples = (silent.as_secs_f64() * f64::from(seat.sample_rate_hz)) as u64;
                seat.party.skip(samples);
                seat.ahead_samples += samples;
                seat.marked = at;
            }
        }
    }

    /// Plays what waits.
    pub(super) fn finish(&mut self, call: &Call, name: &dyn Fn(usize) -> String) {
        let Self { flow, parties, digits, is_refused } = self;
        let mut hearing = Hearing { call, name, parties, digits, is_refused, at: Duration::ZERO };
        flow.finish(&mut |voice, event| hearing.take(voice, event));
    }

    /// New meanings of payload types.
    pub(super) fn set_payloads(&mut self, payloads: PayloadMap) {
        self.flow.set_payloads(payloads);
    }
}

struct Hearing<'a> {
    call: &'a Call,
    name: &'a dyn Fn(usize) -> String,
    parties: &'a mut Vec<Option<Seat>>,
    at: Duration,
    digits: &'a mut Digits,
    is_refused: &'a mut bool,
}

impl Hearing<'_> {
    fn take(&mut self, voice: usize, event: Event<'_>) {
        if self.parties.len() <= voice {
            self.parties.resize_with(voice + 1, || None);
        }
        match (&mut self.parties[voice], event) {
            (None, Event::Rate(rate_hz)) => self.join(voice, rate_hz),
            (Some(seat), Event::Rate(rate_hz)) => {
                seat.ahead_samples = seat.ahead_samples * u64::from(rate_hz) / u64::from(seat.sample_rate_hz);
                seat.sample_rate_hz = rate_hz;
                if let Err(refused) = seat.party.set_rate(rate_hz) {
                    info!(call = %self.call.id(), %refused, "a party is not heard on");
                    self.parties[voice] = None;
                }
            }
            (Some(seat), Event::Samples(samples)) => {
                (seat.marked, seat.ahead_samples) = (self.at, 0);
                seat.party.push(samples);
            }
            (Some(seat), Event::Gap(samples)) => {
                let already = std::mem::take(&mut seat.ahead_samples);
                seat.party.skip(samples.saturating_sub(already));
            }
            (_, Event::Dtmf(digit)) => {
                self.digits.press(self.call, digit.encode_utf8(&mut [0; 4]));
            }
            (None, _) => {}
        }
    }

    fn join(&mut self, voice: usize, rate_hz: u32) {
        match self.call.party(&(self.name)(voice), rate_hz) {
            Ok(party) => {
                let seat = Seat { party, sample_rate_hz: rate_hz, marked: self.at, ahead_samples: 0 };
                self.parties[voice] = Some(seat);
            }
            Err(refused) if !*self.is_refused => {
                *self.is_refused = true;
                info!(call = %self.call.id(), %refused, "a party is not taken");
                self.call.note("refused_party", &refused.to_string());
            }
            Err(_) => {}
        }
    }
}

/// The next datagram on any of the sockets: which one, how many bytes of `buffer`, and from where.
pub(super) async fn receive(sockets: &[UdpSocket], buffer: &mut [u8]) -> io::Result<(usize, usize, SocketAddr)> {
    std::future::poll_fn(|context| {
        for (index, socket) in sockets.iter().enumerate() {
            let mut buffer = ReadBuf::new(buffer);
            if let Poll::Ready(received) = socket.poll_recv_from(context, &mut buffer) {
                let from = ready!(Poll::Ready(received))?;
                return Poll::Ready(Ok((index, buffer.filled().len(), from)));
            }
        }
        Poll::Pending
    })
    .await
}
