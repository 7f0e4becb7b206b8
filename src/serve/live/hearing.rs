//! A worker's side of a party: takes what waits in its inbox, screens it, and says what has changed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use sha2::{Digest, Sha256};
use tracing::{error, warn};

use super::{
    alert::{self, Alert, Change, Moment, Rule},
    inbox::{Batch, Inbox, Piece},
    lock,
    registry::Inner,
    view::{AlertView, Happening, PartyDetail, PartyState},
};
use crate::{
    cli::render::rounded_llr,
    error::Result,
    policy::{Reason, Verdict},
    scan::Lane,
    screen::{Evidence, Running},
    serve::core::Core,
    store::UnixMs,
};

/// Most audio that is screened before other parties get their turn, in seconds.
const TURN_SECS: f64 = 2.0;
/// Least audio between two looks at a party without a verdict, in seconds.
const LOOK_SECS: f64 = 0.1;
/// Pace at which only complete chunks bring a verdict, in seconds.
const CHUNKS_ONLY_SECS: f64 = 4.0;

/// A party, shared by its transport, workers and those who ask.
pub struct Shared {
    pub(super) call: Arc<Inner>,
    pub(super) detail: Mutex<PartyDetail>,
    inbox: Mutex<Inbox>,
    /// `None` once it has ended.
    hearing: Mutex<Option<Hearing>>,
    outcome: Mutex<Option<Outcome>>,
}

/// What a party ends with; no evidence where its screening failed.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) evidence: Option<Evidence>,
    pub(super) sha256: [u8; 32],
    pub(super) samples: u64,
    pub(super) skipped_secs: f64,
}

struct Hearing {
    lane: Lane,
    alert: Alert,
    /// Of the samples that came, and how many they were.
    hasher: Sha256,
    samples: u64,
    chunks: u64,
    /// Whether there is enough speech for verdicts.
    is_judged: bool,
    /// When to look again, in seconds of audio.
    next_secs: f64,
}

impl Shared {
    pub(super) fn new(call: Arc<Inner>, index: usize, name: String, sample_rate_hz: u32) -> Result<Self> {
        let first_secs = call.first_verdict_secs();
        let mut inbox = Inbox::new(sample_rate_hz);
        inbox.wanted_secs = TURN_SECS.min(first_secs);
        let hearing = Hearing {
            lane: Lane::new(&call.in_force.engine.model, sample_rate_hz)?,
            alert: Alert::default(),
            hasher: Sha256::new(),
            samples: 0,
            chunks: 0,
            is_judged: false,
            next_secs: first_secs,
        };
        Ok(Self {
            call,
            detail: Mutex::new(PartyDetail::new(index, name, sample_rate_hz)),
            inbox: Mutex::new(inbox),
            hearing: Mutex::new(Some(hearing)),
            outcome: Mutex::default(),
        })
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        lock(&self.outcome).clone()
    }

    /// Nothing more is heard.
    fn end(&self, evidence: Option<Evidence>, (hasher, samples): (Sha256, u64), skipped_secs: f64) {
        lock(&self.detail).view.state = if evidence.is_some() { PartyState::Ended } else { PartyState::Failed };
        *lock(&self.outcome) = Some(Outcome { evidence, sha256: hasher.finalize().into(), samples, skipped_secs });
    }

    /// When audio came last.
    pub(super) fn last_audio(&self) -> Instant {
        self.inbox().arrived()
    }
}

/// A worker's turn with a party that waited since `queued`.
pub(in crate::serve) fn hear(core: &Arc<Core>, party: &Arc<Shared>, queued: Instant) {
    let now = Instant::now();
    if let Some(refresh_secs) = core.calls.pace.took(now.duration_since(queued), now) {
        warn!(refresh_secs, "verdicts on live calls come at another pace: workers are short of time, or not any more");
    }
    let batch = party.inbox().take(TURN_SECS);
    let is_last = batch.is_last;
    let heard = catch_unwind(AssertUnwindSafe(|| turn(core, party, &batch)));
    let failed = match heard {
        Ok(Ok(())) => false,
        Ok(Err(error)) => {
            error!(call = %party.call.id, %error, "a party's screening failed");
            true
        }
        Err(_) => {
            error!(call = %party.call.id, "a party's screening failed: a panic, see above");
            true
        }
    };
    if failed {
        core.metrics.count("clonewatch_faults_total", &[("kind", "live")]);
        fail(party, batch.skipped_secs);
    }
    if is_last {
        return party.call.party_ended(core);
    }
    let is_wanted = {
        let mut inbox = party.inbox();
        inbox.is_taken_up = false;
        inbox.take_up()
    };
    if is_wanted {
        core.queue.push_live(Arc::clone(party));
    }
}

fn turn(core: &Core, party: &Shared, batch: &Batch) -> Result<()> {
    let mut guard = lock(&party.hearing);
    let Some(hearing) = guard.as_mut() else { return Ok(()) };
    for piece in &batch.pieces {
        hearing.push(piece)?;
    }
    let skipped_secs = {
        let view = &mut lock(&party.detail).view;
        let before = view.skipped_secs;
        view.audio_secs = hearing.lane.secs();
        view.gap_secs = batch.gap_secs;
        view.skipped_secs = batch.skipped_secs;
        view.sample_rate_hz = batch.sample_rate_hz;
        view.skipped_secs - before
    };
    core.metrics.add("clonewatch_live_skipped_seconds_total", &[], skipped_secs);
    core.metrics.add("clonewatch_live_audio_seconds_total", &[], batch.audio_secs);
    if batch.is_last {
        let hearing = guard.take().expect("it was there a moment ago");
        return hearing.finish(party, batch);
    }
    hearing.look(core, party, batch)
}

/// The party is out; the call goes on without it.
fn fail(party: &Shared, skipped_secs: f64) {
    let Some(hearing) = lock(&party.hearing).take() else { return };
    party.end(None, (hearing.hasher, hearing.samples), skipped_secs);
}

impl Hearing {
    fn push(&mut self, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Samples(samples) => {
                self.hasher.update(samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>());
                self.samples += samples.len() as u64;
                self.lane.push(samples)
            }
            Piece::Gap(samples) => self.lane.push_silence(*samples),
            Piece::Rate(sample_rate_hz) => self.lane.set_rate(*sample_rate_hz),
        }
    }

    /// Judges, where it is time to.
    fn look(&mut self, core: &Core, party: &Shared, batch: &Batch) -> Result<()> {
        let refresh_secs = core.calls.pace.refresh_secs();
        let chunks = self.lane.complete_chunks();
        let has_new_chunk = std::mem::replace(&mut self.chunks, chunks) != chunks;
        if self.is_judged && has_new_chunk {
            // Its verdict is there already, for nothing.
            let running = self.lane.complete();
            self.judge(core, party, running, batch.arrived);
            self.next_secs = self.lane.secs() + refresh_secs;
        } else if self.is_judged && self.lane.secs() >= self.next_secs {
            if refresh_secs < CHUNKS_ONLY_SECS {
                let running = self.lane.so_far()?;
                self.judge(core, party, running, batch.arrived);
            }
            self.next_secs = self.lane.secs() + refresh_secs;
        } else if !self.is_judged && self.lane.secs() >= self.next_secs {
            self.listen(core, party, batch.arrived)?;
        }
        party.inbox().wanted_secs = (self.next_secs - self.lane.secs()).clamp(LOOK_SECS, TURN_SECS);
        Ok(())
    }

    /// Looks whether there is enough speech for a first verdict. Speech comes no faster than time passes, so there is no need
    /// to look again before what is missing can have been said.
    fn listen(&mut self, core: &Core, party: &Shared, arrived: Instant) -> Result<()> {
        let speech_secs = self.lane.speech_secs();
        let wanted_secs = party.call.first_verdict_secs();
        lock(&party.detail).view.speech_secs = speech_secs;
        if speech_secs >= wanted_secs {
            let running = self.lane.so_far()?;
            self.is_judged = self.judge(core, party, running, arrived);
        }
        let missing_secs = if self.is_judged { core.calls.pace.refresh_secs() } else { wanted_secs - speech_secs };
        self.next_secs = self.lane.secs() + missing_secs.max(LOOK_SECS);
        if !self.is_judged {
            party.call.publish_party(Happening::Listening, party);
        }
        Ok(())
    }

    /// Whether there is a verdict.
    fn judge(&mut self, core: &Core, party: &Shared, running: Running, arrived: Instant) -> bool {
        let recent_llr = running.recent_llr;
        let verdict = Arc::new(party.call.policy.policy.judge(running.evidence));
        if matches!(verdict.reason, Some(Reason::NoSpeech | Reason::TooShort)) {
            return false;
        }
        let latency = arrived.elapsed();
        {
            let mut detail = lock(&party.detail);
            detail.judged(&verdict, recent_llr);
            detail.view.state = PartyState::Judged;
            detail.view.latency_secs = Some(latency.as_secs_f64());
        }
        core.metrics.time("clonewatch_live_verdict_seconds_sum", &[], latency);
        core.metrics.count("clonewatch_live_verdicts_total", &[]);
        apply(&mut self.alert, party, &verdict, (self.lane.secs(), Moment::Running));
        party.call.publish_party(Happening::Verdict, party);
        true
    }

    fn finish(self, party: &Shared, batch: &Batch) -> Result<()> {
        let Self { lane, mut alert, hasher, samples, .. } = self;
        let audio_secs = lane.secs();
        let finished = lane.finish();
        // Whatever happened, the party has an outcome.
        party.end(finished.as_ref().ok().cloned(), (hasher, samples), batch.skipped_secs);
        let verdict = Arc::new(party.call.policy.policy.judge(finished?));
        lock(&party.detail).judged(&verdict, None);
        apply(&mut alert, party, &verdict, (audio_secs, Moment::Final));
        party.call.publish_party(Happening::Verdict, party);
        Ok(())
    }
}

/// Raises or takes back the party's alert, where `verdict` does so.
fn apply(alert: &mut Alert, party: &Shared, verdict: &Verdict, (audio_secs, moment): (f64, Moment)) {
    let live = &party.call.in_force.config.live;
    let rule = Rule { raise_after_secs: live.raise_after_secs, retract_after_secs: live.retract_after_secs };
    let Some(change) = alert.step(rule, verdict.decision, audio_secs, moment) else { return };
    let now = UnixMs::now();
    let kind = {
        let view = &mut lock(&party.detail).view;
        match change {
            Change::Raised => {
                view.alert = Some(AlertView {
                    raised_at: now,
                    raised_secs: audio_secs,
                    first_evidence_secs: alert::first_evidence_secs(verdict),
                    llr: rounded_llr(verdict.llr),
                    retracted_at: None,
                });
                Happening::Alert
            }
            Change::Retracted => {
                if let Some(alert) = &mut view.alert {
                    alert.retracted_at = Some(now);
                }
                Happening::Retracted
            }
        }
    };
    party.call.publish_party(kind, party);
}
