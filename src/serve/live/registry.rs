//! All live calls: taken, looked up, told to end, gathered when their last party has ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{broadcast, watch},
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{
    Ending, MAX_KEY_CHARS, MAX_NOTES, MAX_PARTIES, MAX_VALUE_CHARS, NewCall, Refused, Transport, cut,
    hearing::{Outcome, Shared},
    lock,
    pace::Pace,
    recorder::{Record, Records},
    view::{CallEvent, CallView, Happening},
};
use crate::{
    model::hex,
    policy::{Decision, Reason},
    scan::{InputInfo, ScreenedChannel, Screening, Stop},
    serve::{
        core::{Core, Phase},
        in_force::{InForce, NamedPolicy},
    },
    store::{JobId, UnixMs},
};

/// Events that wait for a follower that is slow.
const FOLLOW_EVENTS: usize = 256;
/// How often calls are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A call that has ended can be looked at for so long where its result comes from.
const LINGER: Duration = Duration::from_secs(10);

/// The calls.
#[derive(Default)]
pub struct Calls {
    calls: Mutex<HashMap<JobId, Arc<Inner>>>,
    /// How often verdicts are refreshed.
    pub pace: Pace,
    pub(super) records: Records,
    /// Calls whose result is not stored yet.
    open: AtomicUsize,
}

/// One call.
pub(super) struct Inner {
    pub(super) id: JobId,
    pub(super) in_force: Arc<InForce>,
    pub(super) policy: Arc<NamedPolicy>,
    transport: Transport,
    external_id: Option<String>,
    peer: String,
    pub(super) actor: String,
    started_at: UnixMs,
    started: Instant,
    metadata: Mutex<BTreeMap<String, String>>,
    parties: Mutex<Parties>,
    /// What we want to become of it.
    told: watch::Sender<Option<Ending>>,
    events: broadcast::Sender<Arc<CallEvent>>,
    seq: AtomicU64,
    /// Wakes the recorder.
    records: Records,
}

#[derive(Default)]
struct Parties {
    all: Vec<Arc<Shared>>,
    /// Those that have not ended.
    open: usize,
    ending: Option<Ending>,
    ended: Option<Instant>,
}

impl Calls {
    pub(super) fn open(&self, core: &Core, new: NewCall) -> Result<Arc<Inner>, Refused> {
        if *core.phase().borrow() == Phase::Stopping {
            return Err(Refused::Stopping);
        }
        let in_force = core.in_force();
        let policy = new.policy.as_ref().unwrap_or(&in_force.config.default_policy);
        let policy = Arc::clone(in_force.policy(policy).ok_or(Refused::NoSuchPolicy)?);
        let mut calls = lock(&self.calls);
        if self.open.load(Ordering::Relaxed) >= in_force.config.live.max_calls {
            return Err(Refused::Full);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        let metadata = new.metadata.into_iter().take(MAX_NOTES);
        let metadata = metadata.map(|(key, value)| (cut(&key, MAX_KEY_CHARS), cut(&value, MAX_VALUE_CHARS)));
        let inner = Arc::new(Inner {
            id: JobId::random(),
            in_force,
            policy,
            transport: new.transport,
            external_id: new.external_id.map(|id| cut(&id, MAX_VALUE_CHARS)),
            peer: cut(&new.peer, MAX_VALUE_CHARS),
            actor: new.actor,
            started_at: UnixMs::now(),
            started: Instant::now(),
            metadata: Mutex::new(metadata.collect()),
            parties: Mutex::default(),
            told: watch::Sender::new(None),
            events: broadcast::Sender::new(FOLLOW_EVENTS),
            seq: AtomicU64::new(0),
            records: self.records.clone(),
        });
        calls.insert(inner.id.clone(), Arc::clone(&inner));
        drop(calls);
        info!(call = %inner.id, transport = inner.transport.key(), "a call began");
        core.metrics.count("clonewatch_live_calls_total", &[("transport", inner.transport.key())]);
        self.records.add(Record::Started(inner.view()));
        inner.publish(Happening::Started, |_| {});
        Ok(inner)
    }

    /// Calls whose result is not stored yet.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// All that go on, oldest first.
    pub fn list(&self) -> Vec<CallView> {
        let calls: Vec<Arc<Inner>> = lock(&self.calls).values().cloned().collect();
        let mut views: Vec<CallView> = calls.iter().map(|call| call.view()).filter(|v| v.ending.is_none()).collect();
        views.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        views
    }

    /// One that goes on or has ended a moment ago.
    pub fn get(&self, id: &JobId) -> Option<CallView> {
        self.find(id).map(|call| call.view())
    }

    /// Follows what happens to a call; first what is known of it now.
    pub fn follow(&self, id: &JobId) -> Option<(CallView, broadcast::Receiver<Arc<CallEvent>>)> {
        let call = self.find(id)?;
        let events = call.follow();
        Some((call.view(), events))
    }

    /// Wants a call to end.
    pub fn tell(&self, id: &JobId, ending: Ending) {
        if let Some(call) = self.find(id) {
            call.tell(ending);
        }
    }

    fn find(&self, id: &JobId) -> Option<Arc<Inner>> {
        lock(&self.calls).get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Inner>> {
        lock(&self.calls).values().cloned().collect()
    }

    /// The result of a call is stored, or cannot be.
    pub(super) fn settled(&self, core: &Core, call: &JobId, decision: Option<Decision>) {
        let Some(call) = self.find(call) else { return };
        call.publish(Happening::Ended, |event| {
            event.decision = decision;
            event.ending = lock(&call.parties).ending.clone();
        });
        lock(&call.parties).ended = Some(Instant::now());
        self.open.fetch_sub(1, Ordering::Relaxed);
        core.announce();
    }
}

/// Looks after calls until the daemon stops and none is left: idle and overlong ones are told to end, those that have ended are
/// forgotten after a while.
pub(in crate::serve) async fn keep(core: Arc<Core>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let is_stopping = *core.phase().borrow() == Phase::Stopping;
        if is_stopping && (core.calls.count() == 0 || core.is_aborting()) {
            return;
        }
        for call in core.calls.all() {
            if is_stopping {
                call.tell(Ending::Shutdown);
            }
            call.check();
            let is_over = lock(&call.parties).ended.is_some_and(|ended| ended.elapsed() > LINGER);
            if is_over {
                lock(&core.calls.calls).remove(&call.id);
            }
        }
    }
}

impl Inner {
    /// Seconds of speech before a first verdict.
    pub(super) fn first_verdict_secs(&self) -> f64 {
        self.in_force.config.live.first_verdict_speech_secs.max(self.policy.policy.thresholds.min_speech_secs)
    }

    pub(super) fn join(
        self: &Arc<Self>,
        core: &Core,
        name: String,
        sample_rate_hz: u32,
    ) -> Result<Arc<Shared>, Refused> {
        let mut parties = lock(&self.parties);
        if parties.all.len() >= MAX_PARTIES {
            return Err(Refused::TooManyParties);
        }
        let shared = Shared::new(Arc::clone(self), parties.all.len(), name, sample_rate_hz);
        let shared = Arc::new(shared.map_err(|_| Refused::Rate(sample_rate_hz))?);
        parties.all.push(Arc::clone(&shared));
        parties.open += 1;
        drop(parties);
        core.metrics.count("clonewatch_live_parties_total", &[]);
        self.publish_party(Happening::Party, &shared);
        Ok(shared)
    }

    pub(super) fn note(&self, key: &str, value: &str) {
        let (key, value) = (cut(key, MAX_KEY_CHARS), cut(value, MAX_VALUE_CHARS));
        {
            let mut metadata = lock(&self.metadata);
            if metadata.len() >= MAX_NOTES && !metadata.contains_key(&key) {
                return;
            }
            metadata.insert(key.clone(), value.clone());
        }
        self.publish(Happening::Note, |event| event.note = Some((key, value)));
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<CallEvent>> {
        self.events.subscribe()
    }

    pub(super) async fn told_to_end(&self) -> Ending {
        let mut told = self.told.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let ending = told.wait_for(Option::is_some).await.map(|ending| ending.clone());
        ending.ok().flatten().unwrap_or(Ending::Shutdown)
    }

    pub(super) fn tell(&self, ending: Ending) {
        self.told.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert(ending);
            is_first
        });
    }

    fn check(&self) {
        let live = &self.in_force.config.live;
        if self.started.elapsed() > Duration::from_secs(live.max_call_secs) {
            return self.tell(Ending::TooLong);
        }
        let last = lock(&self.parties).all.iter().map(|party| party.last_audio()).max();
        if last.unwrap_or(self.started).elapsed() > Duration::from_secs(live.idle_secs) {
            self.tell(Ending::IdleTimeout);
        }
    }

    pub(super) fn end(self: &Arc<Self>, core: &Arc<Core>, ending: Ending) {
        let all = {
            let mut parties = lock(&self.parties);
            parties.ending = Some(ending);
            parties.all.clone()
        };
        if all.is_empty() {
            return self.gather(core);
        }
        for party in all {
            let is_wanted = {
                let mut inbox = party.inbox();
                inbox.close();
                inbox.take_up()
            };
            if is_wanted {
                core.queue.push_live(party);
            }
        }
    }

    /// A party has ended; with the last one the call has.
    pub(super) fn party_ended(self: &Arc<Self>, core: &Arc<Core>) {
        let is_last = {
            let mut parties = lock(&self.parties);
            parties.open -= 1;
            parties.open == 0
        };
        if is_last {
            self.gather(core);
        }
    }

    /// Puts the result together and hands it to the recorder.
    fn gather(self: &Arc<Self>, core: &Core) {
        let all = lock(&self.parties).all.clone();
        let outcomes: Vec<Outcome> = all.iter().filter_map(|party| party.outcome()).collect();
        if outcomes.len() < all.len() || outcomes.iter().any(|outcome| outcome.evidence.is_none()) {
            warn!(call = %self.id, "a call ended without a result");
            core.calls.records.add(Record::Failed(self.id.clone()));
            return;
        }
        let bytes = outcomes.iter().map(|outcome| outcome.samples * 4).sum();
        let screening = self.screening(&all, outcomes);
        core.calls.records.add(Record::Finished { call: Arc::clone(self), screening: Box::new(screening), bytes });
    }

    /// The call as an input that was screened. Its SHA-256 is of the parties' digests one after another, each of the samples that
    /// came as 32-bit little-endian floats.
    fn screening(&self, parties: &[Arc<Shared>], outcomes: Vec<Outcome>) -> Screening {
        let digests: Vec<u8> = outcomes.iter().flat_map(|outcome| outcome.sha256).collect();
        let rate = parties.first().map(|party| lock(&party.detail).view.sample_rate_hz);
        let skipped_secs: f64 = outcomes.iter().map(|outcome| outcome.skipped_secs).sum();
        let stopped = if parties.is_empty() {
            Some(Stop { reason: Reason::NoSpeech, detail: "the call brought no audio".into() })
        } else if skipped_secs > 0.0 {
            let detail = format!("{skipped_secs:.1} s of audio came faster than they could be screened");
            Some(Stop { reason: Reason::Damaged, detail })
        } else {
            None
        };
        let channels: Vec<ScreenedChannel> = outcomes
            .into_iter()
            .zip(0..)
            .filter_map(|(outcome, channel)| outcome.evidence.map(|evidence| ScreenedChannel { channel, evidence }))
            .collect();
        let longest = channels.iter().map(|channel| channel.evidence.duration_secs).max_by(f64::total_cmp);
        let input = InputInfo {
            path: self.name(),
            sha256: hex(&Sha256::digest(digests)),
            container: Some("call".into()),
            codec: Some(self.transport.key().into()),
            sample_rate_hz: rate,
            channels: u16::try_from(parties.len()).ok(),
            duration_secs: longest,
        };
        Screening { input, channels, stopped }
    }

    /// As it stands in lists.
    pub(super) fn name(&self) -> String {
        self.external_id.clone().unwrap_or_else(|| self.id.to_string())
    }

    pub(super) fn view(&self) -> CallView {
        let (ending, all) = {
            let parties = lock(&self.parties);
            (parties.ending.clone(), parties.all.clone())
        };
        CallView {
            id: self.id.clone(),
            transport: self.transport,
            external_id: self.external_id.clone(),
            peer: self.peer.clone(),
            actor: self.actor.clone(),
            started_at: self.started_at,
            policy: self.policy.policy.id.clone(),
            metadata: lock(&self.metadata).clone(),
            ending,
            parties: all.iter().map(|party| lock(&party.detail).clone()).collect(),
        }
    }

    pub(super) fn publish_party(&self, kind: Happening, party: &Shared) {
        let view = lock(&party.detail).view.clone();
        let event = self.publish(kind, |event| event.party = Some(view));
        if matches!(kind, Happening::Alert | Happening::Retracted) {
            self.records.add(Record::Told { event, in_force: Arc::clone(&self.in_force) });
        }
    }

    fn publish(&self, kind: Happening, fill: impl FnOnce(&mut CallEvent)) -> Arc<CallEvent> {
        let mut event = CallEvent {
            kind,
            call: self.id.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed) + 1,
            at: UnixMs::now(),
            party: None,
            decision: None,
            ending: None,
            note: None,
        };
        fill(&mut event);
        let event = Arc::new(event);
        // Nobody may follow.
        let _ = self.events.send(Arc::clone(&event));
        event
    }
}
