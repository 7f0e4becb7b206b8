//! SIPREC: session border controllers call us as they would a recorder (RFC 7866), and send each party's audio apart.
//!
//! ```text
//!  UDP, TCP ─ whole messages ─ Server (this file: dialogs, answers, repetitions) ─ Change ─ Recording (one task a call: RTP)
//! ```
//! We answer every stream of audio that can be decoded with `recvonly` and refuse the others; participants' names become those
//! of the parties. A re-INVITE or UPDATE changes codecs, hold and names, and adds streams. Nothing is authenticated here:
//! bind to loopback or name the networks that may call.
//!
//! Limits: sessions ([`crate::config::Siprec::max_calls`] and those of all calls), streams, connections, bytes of a message.
//! No SRTP, no TLS, no digest authentication.

mod requests;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{info, warn};

use super::{
    Ending,
    rtp::bind_udp,
    sip::{Change, Dialog, Due, Incoming, Known, MAX_MESSAGE_BYTES, Ports, Reply, serve_connection},
    voices::TICK,
};
use crate::{
    config::Siprec,
    error::{Error, Result},
    serve::core::{Core, Phase},
};

/// SIP connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Messages that wait to be looked at.
const WAITING: usize = 256;
/// Pause after the system refused to receive or accept.
const PAUSE: Duration = Duration::from_millis(100);

/// The recording server with its sockets open.
pub(in crate::serve) struct Listening {
    config: Siprec,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

impl Listening {
    /// Opens the sockets of `config`; inside the runtime.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub(in crate::serve) fn open(config: &Siprec) -> Result<Self> {
        let fault = |e| Error::Config(format!("live.siprec.listen: {}: {e}", config.listen));
        let udp = bind_udp(config.listen).map_err(fault)?;
        let tcp = std::net::TcpListener::bind(config.listen).map_err(fault)?;
        tcp.set_nonblocking(true).map_err(fault)?;
        let tcp = TcpListener::from_std(tcp).map_err(fault)?;
        info!(address = %config.listen, "listening for SIPREC");
        Ok(Self { config: config.clone(), udp: Arc::new(udp), tcp })
    }
}

/// One recording session, as signalling knows it.
struct Session {
    dialog: Dialog,
    changes: mpsc::Sender<Change>,
    streams: Vec<Known>,
    /// For what we send of our own.
    reply: Reply,
}

struct Server {
    core: Arc<Core>,
    config: Siprec,
    /// What senders are told.
    address: IpAddr,
    ports: Ports,
    sessions: HashMap<String, Session>,
    /// Give the Call-ID, and whether the core ended the call.
    recordings: JoinSet<(String, bool)>,
}

/// Serves until the service stops and its sessions have ended.
pub(in crate::serve) async fn run(core: Arc<Core>, listening: Listening) {
    let Listening { config, udp, tcp } = listening;
    let address = config.media_address.unwrap_or_else(|| config.listen.ip());
    let ports = Ports::new(config.listen.ip(), config.media_ports);
    let recordings = JoinSet::new();
    let mut server = Server { core, address, ports, config, sessions: HashMap::new(), recordings };
    let (sender, mut incoming) = mpsc::channel::<Incoming>(WAITING);
    let mut connections = JoinSet::new();
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let phase = server.core.phase();
    while *phase.borrow() == Phase::Serving || !server.recordings.is_empty() {
        tokio::select! {
            received = udp.recv_from(&mut buffer) => match received {
                Ok((bytes, from)) => {
                    server.take(&Bytes::copy_from_slice(&buffer[..bytes]), &Reply::Udp(Arc::clone(&udp), from));
                }
                Err(error) => pause(&error).await,
            },
            accepted = tcp.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, from)) if server.is_allowed(from) => {
                    connections.spawn(serve_connection(stream, from, sender.clone()));
                }
                Ok(_) => {}
                Err(error) => pause(&error).await,
            },
            Some((message, reply)) = incoming.recv() => server.take(&message, &reply),
            Some(_) = connections.join_next() => {}
            Some(ended) = server.recordings.join_next() => server.recording_ended(ended.ok()),
            _ = tick.tick() => server.tick(Instant::now()),
        }
    }
    // Connections take their last messages with them.
    sleep(PAUSE).await;
    connections.shutdown().await;
}

async fn pause(error: &std::io::Error) {
    warn!(%error, "SIP cannot be received");
    sleep(PAUSE).await;
}

impl Server {
    fn is_allowed(&self, from: SocketAddr) -> bool {
        crate::config::is_allowed(from.ip(), &self.config.allow)
    }

    /// Sends answers again that nobody has acknowledged.
    fn tick(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            let Some(repeat) = &mut session.dialog.repeat else { continue };
            match repeat.due(now) {
                Due::Wait => {}
                Due::Send => session.reply.send(&repeat.bytes),
                Due::GiveUp => {
                    session.dialog.repeat = None;
                    let fault = "the answer was never acknowledged".to_owned();
                    let _ = session.changes.try_send(Change::End(Ending::ProtocolFault(fault)));
                }
            }
        }
    }

    /// A call that the core ended is ended on the wire, too.
    fn recording_ended(&mut self, ended: Option<(String, bool)>) {
        let Some((call_id, is_ours)) = ended else { return };
        // After a BYE the Call-ID may have been taken by another session.
        if self.sessions.get(&call_id).is_none_or(|session| !session.changes.is_closed()) {
            return;
        }
        let Some(session) = self.sessions.remove(&call_id).filter(|_| is_ours) else { return };
        let via = format!("SIP/2.0/{} {}", session.reply.transport(), self.host());
        if let Some(bye) = session.dialog.bye((&via, &requests::random())) {
            session.reply.send(&bye);
        }
    }

    /// Our own address and port, as they stand in headers.
    fn host(&self) -> String {
        SocketAddr::new(self.address, self.config.listen.port()).to_string()
    }
}
