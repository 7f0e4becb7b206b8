//! Telling others of verdicts: signed webhooks after Standard Webhooks 1.0, and events for syslog.
//!
//! Flow: a verdict and its events are one transaction of the store → one thread per receiver takes what is due from the
//! outbox → [`client`] or [`syslog`] sends it → delivered, tried again later, or dead.
//!
//! - **At least once.** An event leaves the outbox only when the receiver has said 2xx. Each attempt carries the same
//!   `webhook-id`; receivers drop repetitions by it. Order is not promised.
//! - **Retries** are spread: 2 s after the first failure, four times as long after each further one, at most six hours,
//!   a quarter more or less at random; a later `Retry-After` is heeded. After `max_attempts`, or a 410, the event is dead:
//!   `clonewatch webhook dead` lists those, `clonewatch webhook retry` sends them again.
//! - **A receiver that is down** costs one batch per pause, which grows to a minute, and holds up no other receiver.
//! - **Bounded:** messages at once and time per receiver, size of answers. Events wait in the store, not in memory.

pub mod cef;
pub mod client;
pub mod guard;
pub mod sign;
pub mod syslog;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver as Wakes, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use client::{Client, Failure, Message, Target};
use sign::Keys;

/// Name of the syslog receiver in the outbox; no webhook can have it.
pub const SYSLOG: &str = "(syslog)";

use crate::{
    config::{Config, Webhook},
    error::{Error, Result},
    store::{Store, StoreError, UnixMs, outbox},
};

/// Messages to one receiver at the same time.
pub(crate) const MOST_AT_ONCE: usize = 4;
/// Attempts for syslog, whose receiver has no setting of its own.
const SYSLOG_ATTEMPTS: u32 = 12;
/// Longest sleep: how soon an event that nobody woke us for is sent.
const TICK: Duration = Duration::from_secs(1);
/// First wait after a failure, its growth, and the longest.
const FIRST_RETRY_MS: i64 = 2_000;
const RETRY_GROWTH: i64 = 4;
const LAST_RETRY_MS: i64 = 6 * 3_600 * 1_000;
/// Longest pause of a receiver that answers nothing at all.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// The threads that deliver. Dropping it lets messages that are under way end, and joins them.
pub struct Notifier {
    lines: Vec<Line>,
}

struct Line {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Notifier {
    /// Starts a thread for each receiver of `config`; `holder` has the store with the outbox.
    ///
    /// # Errors
    /// A receiver whose settings cannot be used; the system gives no thread.
    pub fn start<H: AsRef<Store> + Send + Sync + 'static>(holder: &Arc<H>, config: &Config) -> Result<Self> {
        let mut posts = Vec::new();
        for webhook in &config.webhooks {
            let client = client_of(webhook)?;
            posts.push(Post {
                store: Arc::clone(holder) as Holder,
                name: webhook.name.clone(),
                max_attempts: webhook.max_attempts,
                way: Way::Webhook(client),
            });
        }
        if let Some(syslog) = &config.syslog {
            let receiver = syslog::Receiver::new(syslog).map_err(Error::Config)?;
            let (store, name) = (Arc::clone(holder) as Holder, SYSLOG.to_owned());
            posts.push(Post { store, name, max_attempts: SYSLOG_ATTEMPTS, way: Way::Syslog(receiver) });
        }
        Ok(Self { lines: posts.into_iter().map(Line::start).collect::<Result<_>>()? })
    }

    /// There are new events.
    pub fn wake(&self) {
        for wake in self.lines.iter().filter_map(|line| line.wake.as_ref()) {
            // Full means that it is about to wake anyway.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        self.lines.iter_mut().for_each(|line| line.wake = None);
        for thread in self.lines.iter_mut().filter_map(|line| line.thread.take()) {
            // Fails only where the thread has panicked; its events are still in the outbox.
            let _ = thread.join();
        }
    }
}

impl Line {
    fn start(post: Post) -> Result<Self> {
        let (wake, wakes) = sync_channel(1);
        let thread = thread::Builder::new().name(format!("notify-{}", post.name));
        let thread = thread.spawn(move || post.run(&wakes)).map_err(|e| Error::io("thread", e))?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }
}

/// The way to the receiver `webhook`.
///
/// # Errors
/// Its address, secret or certificates cannot be used; the message names the key.
pub fn client_of(webhook: &Webhook) -> Result<Client> {
    let fault = |e: String| Error::Config(format!("webhook {}: {e}", webhook.name));
    let secret = webhook.secret.as_ref().map_or("", |secret| secret.expose());
    let target = Target {
        url: &webhook.url,
        keys: Keys::parse(secret).map_err(|e| fault(format!("secret: {e}")))?,
        allowed: webhook.allow_networks.clone(),
        ca: webhook.ca.as_deref(),
        timeout: Duration::from_secs(webhook.timeout_secs),
    };
    Client::new(target).map_err(fault)
}

/// Sends an event that only says that the way works.
///
/// # Errors
/// Why it did not arrive.
pub fn send_test(client: &Client) -> std::result::Result<(), Failure> {
    let now = UnixMs::now();
    let body = serde_json::json!({ "type": "clonewatch.test", "timestamp": now, "data": {} }).to_string();
    let id = format!("evt_{}", crate::store::random_hex::<16>());
    client.send(Message { id: &id, timestamp_secs: now.0.div_euclid(1_000), body: body.as_bytes() })
}

/// Whoever has the store.
type Holder = Arc<dyn AsRef<Store> + Send + Sync>;

/// One receiver.
struct Post {
    store: Holder,
    name: String,
    max_attempts: u32,
    way: Way,
}

enum Way {
    Webhook(Client),
    Syslog(syslog::Receiver),
}

/// What a round of deliveries came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing was due.
    Idle,
    /// Something arrived.
    Arrived,
    /// Nothing of what was sent did.
    Down,
}

impl Post {
    fn run(&self, wakes: &Wakes<()>) {
        let mut pause = TICK;
        loop {
            let wait = match self.deliver_due(UnixMs::now()) {
                Ok(Round::Arrived) => Duration::ZERO,
                Ok(Round::Idle) => TICK,
                Ok(Round::Down) => {
                    pause = (pause * 2).min(LAST_PAUSE);
                    pause
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(endpoint = self.name, %error, "the outbox cannot be read or written");
                    LAST_PAUSE
                }
            };
            if wait == Duration::ZERO {
                pause = TICK;
            }
            if sleep(wakes, wait) == Sleep::Stopped {
                return;
            }
        }
    }

    /// Sends what is due, at most [`MOST_AT_ONCE`] of it, and notes what came of each.
    fn deliver_due(&self, now: UnixMs) -> std::result::Result<Round, StoreError> {
        let endpoint = self.name.clone();
        let due = self.store.as_ref().as_ref().read_blocking(move |connection| {
            // Where the clock was put back, nothing waits longer than it was ever meant to.
            let horizon = now.plus(LAST_RETRY_MS * 2);
            let late = outbox::next_due(connection, &endpoint)?.filter(|next| *next > horizon);
            outbox::due(connection, &endpoint, late.unwrap_or(now), MOST_AT_ONCE as u32)
        })?;
        if due.is_empty() {
            return Ok(Round::Idle);
        }
        let outcomes = self.send_all(&due);
        let has_arrived = outcomes.iter().any(Result::is_ok);
        let max_attempts = self.max_attempts;
        for (delivery, outcome) in due.iter().zip(&outcomes) {
            if let Err(failure) = outcome {
                let (event, attempt) = (&delivery.event_id, delivery.attempts + 1);
                tracing::warn!(endpoint = self.name, event, attempt, error = failure.why, "not delivered");
            }
        }
        let done = UnixMs::now();
        self.store.as_ref().as_ref().write_blocking(move |tx| {
            for (delivery, outcome) in due.iter().zip(outcomes) {
                match outcome {
                    Ok(()) => outbox::delivered(tx, delivery.seq, done)?,
                    Err(failure) => {
                        let attempts = delivery.attempts.saturating_add(1);
                        let is_last = failure.is_final || attempts >= max_attempts;
                        let retry_at = (!is_last).then(|| done.plus(wait_ms(attempts, &failure, random_ratio())));
                        outbox::failed(tx, delivery.seq, &failure.why, retry_at, done)?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(if has_arrived { Round::Arrived } else { Round::Down })
    }

    fn send_all(&self, due: &[outbox::Delivery]) -> Vec<std::result::Result<(), Failure>> {
        thread::scope(|scope| {
            let sent: Vec<_> = due.iter().map(|delivery| scope.spawn(|| self.send(delivery))).collect();
            let outcome = |sent: thread::ScopedJoinHandle<'_, std::result::Result<(), Failure>>| {
                sent.join().unwrap_or_else(|_| Err(Failure::of("a panic while sending".into())))
            };
            sent.into_iter().map(outcome).collect()
        })
    }

    fn send(&self, delivery: &outbox::Delivery) -> std::result::Result<(), Failure> {
        match &self.way {
            Way::Syslog(receiver) => receiver.send(&delivery.payload),
            Way::Webhook(client) => client.send(Message {
                id: &delivery.event_id,
                timestamp_secs: UnixMs::now().0.div_euclid(1_000),
                body: &delivery.payload,
            }),
        }
    }
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Over,
    Stopped,
}

fn sleep(wakes: &Wakes<()>, wait: Duration) -> Sleep {
    match wakes.recv_timeout(wait) {
        Ok(()) | Err(RecvTimeoutError::Timeout) => Sleep::Over,
        Err(RecvTimeoutError::Disconnected) => Sleep::Stopped,
    }
}

/// Wait after the `attempts`-th failure; `ratio` in 0..1 spreads it by a quarter to either side.
fn wait_ms(attempts: u32, failure: &Failure, ratio: f64) -> i64 {
    let growth = RETRY_GROWTH.checked_pow(attempts.saturating_sub(1)).unwrap_or(i64::MAX);
    let wait_ms = FIRST_RETRY_MS.saturating_mul(growth).min(LAST_RETRY_MS);
    let asked_ms = failure.retry_after_secs.and_then(|secs| i64::try_from(secs).ok()?.checked_mul(1_000)).unwrap_or(0);
    let spread_ms = (wait_ms as f64 * (0.75 + ratio / 2.0)) as i64;
    spread_ms.max(asked_ms.min(LAST_RETRY_MS))
}

/// Uniform in 0..1. Without random numbers the middle: spreading is a courtesy.
fn random_ratio() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_heed_the_receiver() {
        let failure = |retry_after_secs| Failure { retry_after_secs, ..Failure::of("HTTP 503".into()) };
        for (attempts, asked, ratio, expected_ms) in [
            (1, None, 0.5, 2_000),
            (1, None, 0.0, 1_500),
            (1, None, 1.0, 2_500),
            (2, None, 0.5, 8_000),
            (6, None, 0.5, 2_048_000),
            (8, None, 0.5, LAST_RETRY_MS),
            (4_000, None, 0.5, LAST_RETRY_MS),
            (1, Some(1), 0.5, 2_000),
            (1, Some(90), 0.5, 90_000),
            (1, Some(u64::MAX), 0.5, 2_000),
            (1, Some(10_000_000), 0.5, LAST_RETRY_MS),
        ] {
            assert_eq!(wait_ms(attempts, &failure(asked), ratio), expected_ms, "{attempts} {asked:?} {ratio}");
        }
    }
}
