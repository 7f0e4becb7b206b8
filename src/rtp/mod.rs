//! RTP: datagrams as they arrive in, mono samples of each voice out. For live ports, SIPREC and captured calls alike.
//!
//! Flow: datagram → [`Packet`] → [`Flow`] (which voice: SSRC) → [`Receiver`]: jitter buffer (order) → depayloader
//! (samples) → timeline (how much time passed without audio) → [`Event`]s.
//!
//! Nothing here waits: the buffer holds packets only while one before them is missing, so a stream in order passes
//! through at once. Arrival times are handed in. The RTP timestamps say how long a pause was; where they jump
//! beyond what the arrival times allow, the arrival times do.
//!
//! | payload | RTP clock | samples at |
//! |---|---|---|
//! | PCMU, PCMA, L16 | the rate | the rate |
//! | G.722 | 8 kHz (RFC 3551, section 4.5.2) | 16 kHz |
//! | GSM 06.10 | 8 kHz | 8 kHz |
//! | Opus | 48 kHz | 48 kHz, mixed to mono |
//! | comfort noise (PT 13) | | a gap |
//! | telephone-event | | DTMF digits |
//!
//! Limits: [`WINDOW_PACKETS`] and [`MAX_PAYLOAD_BYTES`] bound the buffer, [`MAX_VOICES`] the voices of a flow. Lost
//! packets are gaps, not concealed. Encrypted payloads (SRTP) cannot be told from others here. RTCP is ignored.

mod depayload;
mod dtmf;
mod flow;
mod jitter;
mod packet;
mod payload;
mod receiver;
mod sdp;
mod timeline;

pub use flow::{Flow, MAX_VOICES, Routed};
pub use jitter::{MAX_PAYLOAD_BYTES, WINDOW_PACKETS};
pub use packet::Packet;
pub use payload::{Codec, Format, PayloadMap};
pub use receiver::{Event, Receiver, Tally};
pub use sdp::{Media, Session};

pub(crate) use depayload::Depayloader;
