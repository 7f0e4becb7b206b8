//! SIP over UDP and TCP: whole messages in, bytes out. Connections are bounded, and end with the task that owns them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};
use tracing::debug;

use super::{MAX_MESSAGE_BYTES, split_message};

/// Answers that wait for a connection that is slow.
const REPLIES: usize = 64;
/// A connection on which nothing comes for so long is closed; a recording session's keep-alives are more frequent.
const SILENCE: Duration = Duration::from_secs(15 * 60);
const WRITE_TIME: Duration = Duration::from_secs(10);

/// The way back to whoever sent a message.
#[derive(Debug, Clone)]
pub(in crate::serve::live) enum Reply {
    Udp(Arc<UdpSocket>, SocketAddr),
    Tcp(mpsc::Sender<Vec<u8>>, SocketAddr),
}

impl Reply {
    pub(in crate::serve::live) fn peer(&self) -> SocketAddr {
        match self {
            Self::Udp(_, peer) | Self::Tcp(_, peer) => *peer,
        }
    }

    /// For `Via`.
    pub(in crate::serve::live) fn transport(&self) -> &'static str {
        match self {
            Self::Udp(..) => "UDP",
            Self::Tcp(..) => "TCP",
        }
    }

    /// Never waits: what finds no room is lost, as a datagram may be, and the other side asks again.
    pub(in crate::serve::live) fn send(&self, bytes: &[u8]) {
        let sent = match self {
            Self::Udp(socket, peer) => socket.try_send_to(bytes, *peer).map(drop).map_err(|error| error.to_string()),
            Self::Tcp(queue, _) => queue.try_send(bytes.to_vec()).map_err(|error| error.to_string()),
        };
        if let Err(error) = sent {
            debug!(peer = %self.peer(), error, "a SIP message could not be sent");
        }
    }
}

/// A message, and the way back.
pub(in crate::serve::live) type Incoming = (Bytes, Reply);

/// Serves one connection until either side closes it.
pub(in crate::serve::live) async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    incoming: mpsc::Sender<Incoming>,
) {
    let (mut read, mut write) = stream.into_split();
    let (reply, mut replies) = mpsc::channel::<Vec<u8>>(REPLIES);
    let reply = Reply::Tcp(reply, peer);
    let mut buffer = BytesMut::with_capacity(4_096);
    loop {
        tokio::select! {
            got = timeout(SILENCE, read.read_buf(&mut buffer)) => {
                if !matches!(got, Ok(Ok(1..))) || !forward(&mut buffer, &reply, &incoming).await {
                    break;
                }
            }
            Some(bytes) = replies.recv() => {
                if !matches!(timeout(WRITE_TIME, write.write_all(&bytes)).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
    }
}

/// Hands on the whole messages in `buffer`; false where the connection brings no SIP.
async fn forward(buffer: &mut BytesMut, reply: &Reply, incoming: &mpsc::Sender<Incoming>) -> bool {
    loop {
        // Keep-alives between messages (RFC 5626, section 3.5.1).
        let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let _ = buffer.split_to(blank);
        if buffer.is_empty() {
            return true;
        }
        match split_message(buffer) {
            Ok(Some(bytes)) => {
                if incoming.send((buffer.split_to(bytes).freeze(), reply.clone())).await.is_err() {
                    return false;
                }
            }
            Ok(None) => return buffer.len() <= MAX_MESSAGE_BYTES,
            Err(reason) => {
                debug!(peer = %reply.peer(), reason, "a SIP connection is closed");
                return false;
            }
        }
    }
}
