//! As much of SIP as a recording server needs (RFC 3261, RFC 7866): messages, descriptions, metadata, dialogs.
//!
//! Messages and dialogs touch no socket and no clock; `sockets` and `recording` do, and [`super::siprec`] joins them.

mod answer;
mod body;
mod dialog;
mod message;
mod metadata;
mod recording;
mod sockets;

pub(super) use answer::{Offered, answer, is_acceptable};
pub(super) use body::Body;
pub(super) use dialog::{Dialog, Due, Repeat};
pub(super) use message::{MAX_MESSAGE_BYTES, Request, Response, split_message};
pub(super) use metadata::Metadata;
pub(super) use recording::{CHANGES, Change, Known, MAX_STREAMS, Ports, Recording, Track};
pub(super) use sockets::{Incoming, Reply, serve_connection};
