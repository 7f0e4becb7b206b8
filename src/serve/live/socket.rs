//! What transports over WebSockets have in common: reading, the first message, refusals, a close with a reason.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Ending, Refused};
use crate::serve::core::Core;

/// Longest time for a call to begin, and for a goodbye.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// A close frame holds 123 bytes of reason.
const MAX_REASON_BYTES: usize = 123;

/// Who is at the other end.
pub(in crate::serve) struct Client {
    pub(in crate::serve) peer: String,
    pub(in crate::serve) actor: String,
    pub(in crate::serve) policy: Option<String>,
}

/// What came over a socket.
pub(super) enum Received {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// Nothing more will come.
    Over(Ending),
}

/// Code and reason of a close.
pub(super) type Fault = (u16, String);

/// The next message.
pub(super) async fn receive(socket: &mut WebSocket) -> Received {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return Received::Text(text),
            Some(Ok(Message::Binary(bytes))) => return Received::Binary(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                // The answer to a close is written by the next read.
                let _ = timeout(PATIENCE, socket.recv()).await;
                // Without a status the other side has closed in good order too (RFC 6455, 7.1.5).
                let is_fine = frame.is_none_or(|frame| frame.code < 1_002);
                return Received::Over(if is_fine { Ending::Completed } else { Ending::Disconnected });
            }
            Some(Err(_)) | None => return Received::Over(Ending::Disconnected),
        }
    }
}

/// The next message of those that come before a call begins, which it must by `deadline`.
pub(super) async fn greeting(core: &Arc<Core>, socket: &mut WebSocket, deadline: Instant) -> Result<Received, Fault> {
    tokio::select! {
        received = timeout_at(deadline, receive(socket)) => {
            received.map_err(|_| (close_code::POLICY, "no call began in time".into()))
        }
        () = core.stopping() => Err((close_code::AWAY, "the service is stopping".into())),
    }
}

/// How a refusal is told.
pub(super) fn refusal(refused: &Refused) -> Fault {
    let code = match refused {
        Refused::Full => close_code::AGAIN,
        Refused::Stopping => close_code::AWAY,
        Refused::NoSuchPolicy | Refused::TooManyParties | Refused::Rate(_) => close_code::POLICY,
    };
    (code, refused.to_string())
}

/// Closes with `code` and as much of `reason` as finds room. What the other side still sends is read and left alone: a socket
/// that is dropped over unread bytes is reset, and the reason would be lost with it.
pub(super) async fn close(mut socket: WebSocket, (code, mut reason): Fault) {
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    let goodbye = async {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // However it ends, it was only a courtesy.
    let _ = timeout(PATIENCE, goodbye).await;
}

/// Closes after a call that ended so.
pub(super) async fn close_after(socket: WebSocket, ending: &Ending) {
    let fault = match ending {
        Ending::Completed | Ending::Disconnected => (close_code::NORMAL, "the call is over".into()),
        Ending::ProtocolFault(fault) => (close_code::INVALID, fault.clone()),
        _ => (close_code::AWAY, "the call is over".into()),
    };
    close(socket, fault).await;
}
