//! Live calls: audio of each party in, a verdict that is refreshed while they talk, alerts, and a result at the end.
//!
//! ```text
//!  transport ─ Party::push ─ inbox (10 s at most) ─ worker: scan::Lane ─ policy ─ alert rule ─┬─ events: SSE, WebSocket
//!                                                                                             └─ recorder ─ store, outbox
//! ```
//! Each transport is a file of its own here; all end in [`Core::open_call`], [`Call`] and [`Party`], which never wait.
//! Workers take a party up when enough of its audio waits, before any file. The result of a call is an ordinary scan with one
//! channel per party: what `scan` would say of the same decoded samples, bit for bit, gaps being silence.
//!
//! Limits: 10 s of audio per party wait at most, then audio is skipped and counted; calls, parties, metadata and lengths are
//! bounded; an event's follower that is too slow misses events and sees so by their numbers.

mod alert;
pub(super) mod asterisk_ws;
mod audiosocket;
mod coding;
mod digits;
pub(super) mod genesys;
mod hearing;
mod inbox;
mod listeners;
mod order;
mod pace;
pub(super) mod pcm;
mod recorder;
mod registry;
mod rtp;
mod sip;
mod siprec;
pub(super) mod socket;
pub(super) mod twilio;
mod view;
mod voices;

pub use pace::Pace;
pub use registry::Calls;
pub use view::{AlertView, CallEvent, CallView, Happening, PartyDetail, PartyState, PartyView};

pub use hearing::Shared;
pub(super) use hearing::hear;
pub(super) use listeners::Listeners;
pub(super) use recorder::run as record;
pub(super) use registry::keep;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use serde::{Deserialize, Serialize};

use self::registry::Inner;
use super::core::Core;
use crate::{audio::SOURCE_RATES_HZ, store::JobId};

/// Most parties of a call.
pub const MAX_PARTIES: usize = 8;
/// Most entries of a call's metadata, and characters of a name and of a value.
const MAX_NOTES: usize = 32;
const MAX_KEY_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;

/// What brings a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// PCM over a WebSocket.
    Pcm,
    /// Twilio Media Streams.
    Twilio,
    /// Telnyx media streaming.
    Telnyx,
    /// Genesys AudioHook.
    Genesys,
    /// Asterisk AudioSocket.
    AudioSocket,
    /// Asterisk's WebSocket channel.
    AsteriskWs,
    /// Plain RTP.
    Rtp,
    /// SIPREC.
    Siprec,
}

impl Transport {
    /// As it stands in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Pcm => "pcm",
            Self::Twilio => "twilio",
            Self::Telnyx => "telnyx",
            Self::Genesys => "genesys",
            Self::AudioSocket => "audio_socket",
            Self::AsteriskWs => "asterisk_ws",
            Self::Rtp => "rtp",
            Self::Siprec => "siprec",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// In good order.
    Completed,
    /// The other side went away.
    Disconnected,
    /// No audio came for too long.
    IdleTimeout,
    /// It reached the longest length.
    TooLong,
    /// The daemon stops.
    Shutdown,
    /// Its scan was deleted.
    Deleted,
    /// The other side broke its protocol: how.
    ProtocolFault(String),
}

/// A call to be screened.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// What brings it.
    pub transport: Transport,
    /// The other side's name for it.
    pub external_id: Option<String>,
    /// Address of the other side.
    pub peer: String,
    /// What the other side says of it. Bounded: what is too much is left out, what is too long is cut.
    pub metadata: BTreeMap<String, String>,
    /// Name of the policy; `None` for the default one.
    pub policy: Option<String>,
    /// For the audit log.
    pub actor: String,
}

/// Why a call or a party is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// As many calls go on as may.
    Full,
    /// The daemon stops.
    Stopping,
    /// There is no policy of that name.
    NoSuchPolicy,
    /// The call has as many parties as it may.
    TooManyParties,
    /// Audio of that rate cannot be screened, in Hz.
    Rate(u32),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "as many calls go on as may (live.max_calls)"),
            Self::Stopping => write!(f, "the service is stopping"),
            Self::NoSuchPolicy => write!(f, "policy: there is none of this name"),
            Self::TooManyParties => write!(f, "a call has at most {MAX_PARTIES} parties"),
            Self::Rate(hz) => write!(f, "sample rate: {hz} Hz – must be 4000-192000"),
        }
    }
}

/// A call that goes on. Dropping it ends it as [`Ending::Disconnected`].
pub struct Call {
    core: Weak<Core>,
    inner: Arc<Inner>,
    is_ended: bool,
}

impl Core {
    /// Takes a call.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open_call(self: &Arc<Self>, new: NewCall) -> Result<Call, Refused> {
        let opened = self.calls.open(self, new);
        if let Err(refused) = &opened {
            let reason = if *refused == Refused::Full { "live_full" } else { "live" };
            self.metrics.count("clonewatch_refused_total", &[("reason", reason)]);
        }
        Ok(Call { core: Arc::downgrade(self), inner: opened?, is_ended: false })
    }
}

impl Call {
    /// Names it.
    pub fn id(&self) -> &JobId {
        &self.inner.id
    }

    /// A party joins, with audio of `sample_rate_hz`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn party(&self, name: &str, sample_rate_hz: u32) -> Result<Party, Refused> {
        check_rate(sample_rate_hz)?;
        let Some(core) = self.core.upgrade() else { return Err(Refused::Stopping) };
        let shared = self.inner.join(&core, cut(name, MAX_KEY_CHARS), sample_rate_hz)?;
        Ok(Party { core: self.core.clone(), shared })
    }

    /// The other side tells something more, such as the digits that were pressed.
    pub fn note(&self, key: &str, value: &str) {
        self.inner.note(key, value);
    }

    /// Follows what happens to it.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<Arc<CallEvent>> {
        self.inner.follow()
    }

    /// Returns once the call should be ended from our side, and how.
    pub async fn ended(&self) -> Ending {
        self.inner.told_to_end().await
    }

    /// Ends it; its result is stored a little later.
    pub fn end(mut self, ending: Ending) {
        self.end_as(ending);
    }

    fn end_as(&mut self, ending: Ending) {
        if let Some(core) = self.core.upgrade().filter(|_| !self.is_ended) {
            self.inner.end(&core, ending);
        }
        self.is_ended = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end_as(Ending::Disconnected);
    }
}

/// One party's audio. Nothing here waits.
pub struct Party {
    core: Weak<Core>,
    shared: Arc<hearing::Shared>,
}

impl Party {
    /// Takes samples in -1..1 at the party's rate. What finds no room is skipped and counted.
    pub fn push(&mut self, samples: &[f32]) {
        self.with_inbox(|inbox| inbox.push(samples));
    }

    /// So many samples' time passed without audio: a pause, loss, silence that is not sent.
    pub fn skip(&mut self, samples: u64) {
        self.with_inbox(|inbox| inbox.skip(samples));
    }

    /// What follows has another rate.
    ///
    /// # Errors
    /// [`Refused::Rate`].
    pub fn set_rate(&mut self, sample_rate_hz: u32) -> Result<(), Refused> {
        check_rate(sample_rate_hz)?;
        self.with_inbox(|inbox| inbox.set_rate(sample_rate_hz));
        Ok(())
    }

    fn with_inbox(&self, change: impl FnOnce(&mut inbox::Inbox)) {
        let is_wanted = {
            let mut inbox = self.shared.inbox();
            change(&mut inbox);
            inbox.take_up()
        };
        if let Some(core) = self.core.upgrade().filter(|_| is_wanted) {
            core.queue.push_live(Arc::clone(&self.shared));
        }
    }
}

fn check_rate(sample_rate_hz: u32) -> Result<(), Refused> {
    if SOURCE_RATES_HZ.contains(&sample_rate_hz) { Ok(()) } else { Err(Refused::Rate(sample_rate_hz)) }
}

/// The first `chars` of `text`, without control characters.
fn cut(text: &str, chars: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
