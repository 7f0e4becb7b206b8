//! Plain RTP: UDP ports where media forks arrive without signalling (`[[live.rtp]]`).
//!
//! A call begins with the first voice and ends when no packet has come for a while. Nothing authenticates RTP, so a port is
//! bound to loopback or takes packets only from the networks that the configuration names.
//!
//! Limits: calls per port, [`MAX_FLOWS_PER_CALL`], and those of [`crate::rtp`].

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{info, warn};

use super::{
    Call, Ending, NewCall, Transport,
    voices::{TICK, Voices, receive},
};
use crate::{
    config::{RtpCalls, RtpPort, is_allowed},
    error::{Error, Result},
    rtp::{Packet, PayloadMap},
    serve::core::{Core, Phase},
};

/// Pairs of ports from which one call's packets may come.
const MAX_FLOWS_PER_CALL: usize = 8;
/// Largest datagram.
const MAX_DATAGRAM_BYTES: usize = 65_536;
/// Pause after the system refused to receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);
/// Packets of one SSRC that begin a call, how long they may wait for each other, and how many may wait for more.
const KNOCK_PACKETS: usize = 3;
const KNOCK_LIFE: Duration = Duration::from_secs(5);
const MAX_KNOCKING: usize = 64;
/// Packets that wait of all SSRCs of a call to be.
const MAX_WAITING: usize = 12;
/// A refused call is said so often at most.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// A port whose sockets are open.
pub(in crate::serve) struct Port {
    config: RtpPort,
    payloads: PayloadMap,
    sockets: Vec<UdpSocket>,
}

impl Port {
    /// Opens the sockets of `config`; inside the runtime.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub(in crate::serve) fn open(config: &RtpPort) -> Result<Self> {
        let count = if config.calls == RtpCalls::Pair { 2 } else { 1 };
        let bind = |index: u16| {
            let address = SocketAddr::new(config.listen.ip(), config.listen.port() + 2 * index);
            bind_udp(address).map_err(|e| Error::Config(format!("live.rtp.listen: {address}: {e}")))
        };
        let sockets = (0..count).map(bind).collect::<Result<Vec<_>>>()?;
        info!(name = config.name, address = %config.listen, "listening for RTP");
        Ok(Self { config: config.clone(), payloads: config.payload_map(), sockets })
    }
}

pub(super) fn bind_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// What tells calls apart on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Source(SocketAddr),
    Address(IpAddr),
}

/// A packet that came before its call.
struct Knock {
    ssrc: u32,
    port: usize,
    from: SocketAddr,
    datagram: Vec<u8>,
}

/// What there is of a call.
enum State {
    /// Packets that may be the beginning of one.
    Knocking {
        waiting: Vec<Knock>,
        since: Instant,
    },
    Going(Box<Going>),
}

struct Going {
    call: Call,
    flows: Vec<Strand>,
    last_packet: Instant,
}

/// Packets from one source to one of our ports.
struct Strand {
    port: usize,
    from: SocketAddr,
    voices: Voices,
}

/// Serves a port until the service stops and its calls have ended.
pub(in crate::serve) async fn run(core: Arc<Core>, port: Port) {
    let mut server = Server { core, port, calls: HashMap::new(), started: Instant::now(), refused: None };
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let phase = server.core.phase();
    while *phase.borrow() == Phase::Serving || !server.calls.is_empty() {
        tokio::select! {
            received = receive(&server.port.sockets, &mut buffer) => match received {
                Ok((port, bytes, from)) => server.take(port, from, &buffer[..bytes]),
                Err(error) => {
                    warn!(name = server.port.config.name, %error, "RTP cannot be received");
                    sleep(RECEIVE_PAUSE).await;
                }
            },
            _ = tick.tick() => server.tick(),
        }
    }
}

struct Server {
    core: Arc<Core>,
    port: Port,
    calls: HashMap<Key, State>,
    started: Instant,
    /// When a call was last said to be refused.
    refused: Option<Instant>,
}

impl Server {
    fn take(&mut self, port: usize, from: SocketAddr, datagram: &[u8]) {
        let config = &self.port.config;
        let Some(packet) = Packet::parse(datagram).filter(|_| is_allowed(from.ip(), &config.allow)) else {
            return;
        };
        let key = match config.calls {
            RtpCalls::Source => Key::Source(from),
            RtpCalls::Pair => Key::Address(from.ip()),
        };
        if let Some(State::Going(going)) = self.calls.get_mut(&key) {
            going.take((port, from, datagram), (&self.port, self.started.elapsed()));
            return;
        }
        let knock = Knock { ssrc: packet.ssrc, port, from, datagram: datagram.to_vec() };
        let Some(waiting) = self.knock(key, knock) else { return };
        let Some(call) = self.begin(from) else {
            self.calls.remove(&key);
            return;
        };
        let mut going = Box::new(Going { call, flows: Vec::new(), last_packet: Instant::now() });
        for Knock { port, from, datagram, .. } in waiting {
            going.take((port, from, &datagram), (&self.port, self.started.elapsed()));
        }
        self.calls.insert(key, State::Going(going));
    }

    /// One datagram is no call yet; some of one SSRC are, and are given back.
    fn knock(&mut self, key: Key, knock: Knock) -> Option<Vec<Knock>> {
        if !self.calls.contains_key(&key) && self.calls.len() >= self.port.config.max_calls + MAX_KNOCKING {
            return None;
        }
        let fresh = || State::Knocking { waiting: Vec::new(), since: Instant::now() };
        let State::Knocking { waiting, .. } = self.calls.entry(key).or_insert_with(fresh) else { return None };
        let ssrc = knock.ssrc;
        if waiting.len() >= MAX_WAITING {
            waiting.remove(0);
        }
        waiting.push(knock);
        let alike = waiting.iter().filter(|other| other.ssrc == ssrc).count();
        (alike >= KNOCK_PACKETS).then(|| std::mem::take(waiting))
    }

    fn begin(&mut self, from: SocketAddr) -> Option<Call> {
        let config = &self.port.config;
        let new = NewCall {
            transport: Transport::Rtp,
            external_id: None,
            peer: from.to_string(),
            metadata: [("port".to_owned(), config.name.clone())].into(),
            policy: config.policy.clone(),
            actor: format!("rtp:{}", config.name),
        };
        let going = self.calls.values().filter(|state| matches!(state, State::Going(_))).count();
        let opened = if going < config.max_calls {
            self.core.open_call(new).map_err(|refused| refused.to_string())
        } else {
            Err(format!("as many calls go on as may on this port ({})", config.max_calls))
        };
        opened
            .inspect_err(|reason| {
                if self.refused.is_none_or(|at| at.elapsed() > REFUSED_EVERY) {
                    self.refused = Some(Instant::now());
                    warn!(name = config.name, %from, reason, "a call is not taken");
                }
            })
            .ok()
    }

    /// Ends calls that fell silent or that we are told to end, and plays what waits too long.
    fn tick(&mut self) {
        let idle = Duration::from_secs(self.port.config.idle_secs);
        let mut over = Vec::new();
        self.calls.retain(|_, state| !matches!(state, State::Knocking { since, .. } if since.elapsed() >= KNOCK_LIFE));
        for (key, state) in &mut self.calls {
            let State::Going(going) = state else { continue };
            let told = going.call.ended().now_or_never();
            // A fork has no other way to say that it is over.
            let silent = (going.last_packet.elapsed() >= idle).then_some(Ending::Completed);
            if let Some(ending) = told.or(silent) {
                over.push((*key, ending));
                continue;
            }
            for strand in &mut going.flows {
                let name = name_of(self.port.config.calls, strand.port);
                strand.voices.poll(&going.call, self.started.elapsed(), &name);
            }
        }
        for (key, ending) in over {
            let Some(State::Going(going)) = self.calls.remove(&key) else { continue };
            let Going { call, flows, .. } = *going;
            for mut strand in flows {
                strand.voices.finish(&call, &name_of(self.port.config.calls, strand.port));
            }
            call.end(ending);
        }
    }
}

impl Going {
    fn take(&mut self, (port, from, datagram): (usize, SocketAddr, &[u8]), (own, at): (&Port, Duration)) {
        self.last_packet = Instant::now();
        let known = self.flows.iter().position(|strand| strand.port == port && strand.from == from);
        let index = match known {
            Some(index) => index,
            None if self.flows.len() < MAX_FLOWS_PER_CALL => {
                self.flows.push(Strand { port, from, voices: Voices::new(own.payloads.clone()) });
                self.flows.len() - 1
            }
            None => return,
        };
        let name = name_of(own.config.calls, port);
        self.flows[index].voices.take(&self.call, datagram, at, &name);
    }
}

/// Names of the voices that come in on a port.
fn name_of(calls: RtpCalls, port: usize) -> impl Fn(usize) -> String {
    move |voice| match (calls, port, voice) {
        (RtpCalls::Source, ..) => format!("voice-{}", voice + 1),
        (RtpCalls::Pair, 0, 0) => "caller".to_owned(),
        (RtpCalls::Pair, _, 0) => "agent".to_owned(),
        (RtpCalls::Pair, 0, more) => format!("caller-{}", more + 1),
        (RtpCalls::Pair, _, more) => format!("agent-{}", more + 1),
    }
}
