//! The media of one recording session: its RTP ports, and the call that their voices belong to.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::warn;

use super::super::{
    Call, Ending,
    rtp::bind_udp,
    voices::{TICK, Voices, receive},
};
use crate::{
    config::is_allowed,
    rtp::{Media, PayloadMap},
    serve::webhook::guard::Network,
};

/// Streams of one session that are received; more are refused.
pub(in crate::serve::live) const MAX_STREAMS: usize = 8;
const MAX_DATAGRAM_BYTES: usize = 65_536;
/// Datagrams read after the session has ended: what the system still holds.
const MAX_LAST_DATAGRAMS: usize = 2_000;
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// Changes that wait.
pub(in crate::serve::live) const CHANGES: usize = 16;

/// One stream's port, name and payload types.
pub(in crate::serve::live) struct Track {
    pub(in crate::serve::live) socket: UdpSocket,
    /// What its party is called.
    pub(in crate::serve::live) name: String,
    pub(in crate::serve::live) payloads: PayloadMap,
}

/// What signalling tells a session's media.
pub(in crate::serve::live) enum Change {
    Add(Box<Track>),
    /// The stream of that number, counted over the tracks.
    Payloads(usize, PayloadMap),
    Note(String, String),
    End(Ending),
}

/// Hands out even ports (RFC 3550, section 11), one after the other, so that one is not used again at once.
pub(in crate::serve::live) struct Ports {
    address: IpAddr,
    first: u16,
    last: u16,
    next: u16,
}

impl Ports {
    pub(in crate::serve::live) fn new(address: IpAddr, [first, last]: [u16; 2]) -> Self {
        let first = first.next_multiple_of(2);
        Self { address, first, last, next: first }
    }

    /// A bound socket and its port; `None` where none is free.
    pub(in crate::serve::live) fn take(&mut self) -> Option<(UdpSocket, u16)> {
        let count = usize::from(self.last.saturating_sub(self.first)) / 2 + 1;
        for _ in 0..count {
            let port = self.next;
            self.next = if port.saturating_add(2) > self.last { self.first } else { port + 2 };
            if let Ok(socket) = bind_udp(SocketAddr::new(self.address, port)) {
                return Some((socket, port));
            }
        }
        None
    }
}

/// A session's media, going on.
pub(in crate::serve::live) struct Recording {
    pub(in crate::serve::live) call: Call,
    pub(in crate::serve::live) allowed: Vec<Network>,
    pub(in crate::serve::live) changes: mpsc::Receiver<Change>,
}

struct Stream {
    voices: Voices,
    name: String,
}

impl Recording {
    /// Receives until signalling or the core ends it; true where it was the core.
    pub(in crate::serve::live) async fn run(mut self, tracks: Vec<Track>) -> bool {
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for track in tracks {
            add(track, &mut sockets, &mut streams);
        }
        let started = Instant::now();
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (ending, is_ours) = loop {
            tokio::select! {
                // Once we have answered an offer, what comes is of the new payload types: changes go before packets. Those
                // that still wait are read by the new types, too: a type does not change its meaning (RFC 3264, 8.3.2).
                biased;
                change = self.changes.recv() => match change {
                    Some(Change::Add(track)) => add(*track, &mut sockets, &mut streams),
                    Some(Change::Payloads(index, payloads)) => {
                        if let Some(stream) = streams.get_mut(index) {
                            stream.voices.set_payloads(payloads);
                        }
                    }
                    Some(Change::Note(key, value)) => self.call.note(&key, &value),
                    Some(Change::End(ending)) => break (ending, false),
                    None => break (Ending::Disconnected, false),
                },
                ending = self.call.ended() => break (ending, true),
                _ = tick.tick() => {
                    for stream in &mut streams {
                        stream.voices.poll(&self.call, started.elapsed(), &naming(&stream.name));
                        stream.voices.pass_time(started.elapsed());
                    }
                }
                received = receive(&sockets, &mut buffer) => match received {
                    Ok((index, bytes, from)) => self.take(&mut streams[index], from, &buffer[..bytes], started.elapsed()),
                    Err(error) => {
                        warn!(call = %self.call.id(), %error, "RTP cannot be received");
                        sleep(RECEIVE_PAUSE).await;
                    }
                },
            }
        };
        self.take_rest(&sockets, &mut streams, (&mut buffer, started));
        self.call.end(ending);
        is_ours
    }

    fn take(&self, stream: &mut Stream, from: SocketAddr, datagram: &[u8], at: Duration) {
        if is_allowed(from.ip(), &self.allowed) {
            stream.voices.take(&self.call, datagram, at, &naming(&stream.name));
        }
    }

    /// A BYE may overtake the last packets.
    fn take_rest(&self, sockets: &[UdpSocket], streams: &mut [Stream], (buffer, started): (&mut [u8], Instant)) {
        for (socket, stream) in sockets.iter().zip(streams) {
            for _ in 0..MAX_LAST_DATAGRAMS {
                let Ok((bytes, from)) = socket.try_recv_from(buffer) else { break };
                self.take(stream, from, &buffer[..bytes], started.elapsed());
            }
            stream.voices.finish(&self.call, &naming(&stream.name));
        }
    }
}

fn add(track: Track, sockets: &mut Vec<UdpSocket>, streams: &mut Vec<Stream>) {
    let Track { socket, name, payloads, .. } = track;
    sockets.push(socket);
    streams.push(Stream { voices: Voices::new(payloads), name });
}

/// A further SSRC beside the first one is a party of its own.
fn naming(name: &str) -> impl Fn(usize) -> String {
    move |voice| if voice == 0 { name.to_owned() } else { format!("{name} ({})", voice + 1) }
}

/// What signalling remembers of a stream.
#[derive(Debug, Clone)]
pub(in crate::serve::live) struct Known {
    pub(in crate::serve::live) label: String,
    pub(in crate::serve::live) port: u16,
    pub(in crate::serve::live) payloads: PayloadMap,
    pub(in crate::serve::live) is_held: bool,
}

impl Known {
    pub(in crate::serve::live) fn of(media: &Media, (label, port): (String, u16)) -> Self {
        Self { label, port, payloads: media.payloads.clone(), is_held: media.is_held }
    }
}
