//! Writes what calls decide to the store: their beginning, alerts, retractions and results, in that order, each once. Workers
//! only leave it here, since a write to disk takes longer than a verdict may.
//!
//! What waits is bounded by the calls: one beginning, one end, and two events for each of at most eight parties.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::Transaction;
use tokio::{sync::Notify, time::sleep};
use tracing::{error, info};

use super::{
    lock,
    registry::Inner,
    view::{CallEvent, CallView, Happening},
};
use crate::{
    cli::render,
    config::Event,
    policy::Decision,
    scan::Screening,
    serve::{
        core::{Core, Phase},
        in_force::InForce,
        judge::{Asked, Source, judge},
    },
    store::{
        self, JobId, UnixMs,
        calls::{self, NewCallEvent, StoredCall},
        jobs,
        verdicts::{self, Keep, NewVerdict},
    },
};

/// Pause before the store is tried again that could not be written.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What is to be stored.
pub(super) enum Record {
    Started(CallView),
    Told { event: Arc<CallEvent>, in_force: Arc<InForce> },
    Finished { call: Arc<Inner>, screening: Box<Screening>, bytes: u64 },
    Failed(JobId),
}

/// What waits to be stored.
#[derive(Clone, Default)]
pub(super) struct Records(Arc<(Mutex<VecDeque<Record>>, Notify)>);

impl Records {
    pub(super) fn add(&self, record: Record) {
        lock(&self.0.0).push_back(record);
        self.0.1.notify_one();
    }

    fn next(&self) -> Option<Record> {
        lock(&self.0.0).pop_front()
    }
}

/// Stores what comes until the daemon stops and no call is left.
pub(in crate::serve) async fn run(core: Arc<Core>) {
    let records = core.calls.records.clone();
    loop {
        while let Some(record) = records.next() {
            if !store(&core, record).await {
                return;
            }
        }
        let is_stopping = *core.phase().borrow() == Phase::Stopping;
        if is_stopping && (core.calls.count() == 0 || core.is_aborting()) {
            return;
        }
        tokio::select! {
            () = records.0.1.notified() => {}
            () = sleep(Duration::from_millis(500)) => {}
        }
    }
}

/// Whether it is stored; `false` where the daemon ends first.
async fn store(core: &Core, record: Record) -> bool {
    match record {
        Record::Started(view) => {
            let call = StoredCall::of(&view);
            let begin = move |tx: &Transaction<'_>| calls::begin(tx, &call);
            write(core, begin).await.is_some()
        }
        Record::Told { event, in_force } => {
            let kind = if event.kind == Happening::Alert { Event::CallAlert } else { Event::CallRetracted };
            // Whoever is told of spoofs is told also when an alert is taken back.
            let endpoints = in_force.endpoints(kind, Decision::Spoof);
            let metric = [("kind", event.kind.key())];
            core.metrics.count("clonewatch_live_alerts_total", &metric);
            let party = event.party.as_ref().map(|party| party.name.as_str()).unwrap_or_default();
            info!(call = %event.call, party = render::printable(party), kind = event.kind.key(), "alert");
            let new = NewCallEvent::of(&event, endpoints);
            let told = write(core, move |tx| calls::tell(tx, &new)).await.is_some();
            core.announce();
            told
        }
        Record::Finished { call, screening, bytes } => finish(core, &call, *screening, bytes).await,
        Record::Failed(id) => {
            let failed = id.clone();
            let fail = move |tx: &Transaction<'_>| {
                jobs::fail(tx, &failed, "the call's screening failed, see the log", UnixMs::now())
            };
            let stored = write(core, fail).await.is_some();
            core.calls.settled(core, &id, None);
            stored
        }
    }
}

async fn finish(core: &Core, call: &Inner, screening: Screening, bytes: u64) -> bool {
    let in_force = &call.in_force;
    let source =
        Source { model_id: &in_force.engine.model.manifest().id, model_sha256: in_force.engine.model.sha256() };
    let evidence = serde_json::to_vec(&screening).ok();
    let (sha256, view) = (screening.input.sha256.clone(), call.view());
    let asked = Asked { id: &call.id, policy: &call.policy.policy.id, actor: "clonewatch" };
    let verdict = NewVerdict { evidence, ..judge(in_force, &asked, screening, &source) };
    let decision = verdict.summary.decision;
    let work = move |tx: &Transaction<'_>| {
        calls::end(tx, &view, bytes, &sha256)?;
        verdicts::finish(tx, &verdict, Keep::Nothing, UnixMs::now())
    };
    let stored = write(core, work).await;
    if stored.flatten().is_some() {
        let decision = render::decision_key(decision);
        core.metrics.count("clonewatch_verdicts_total", &[("decision", decision)]);
        info!(scan = %call.id, decision, "a call ended");
    }
    core.calls.settled(core, &call.id, stored.flatten().map(|_| decision));
    stored.is_some()
}

/// Writes until it succeeds; `None` where the daemon ends first.
async fn write<R: Send + 'static>(
    core: &Core,
    work: impl Fn(&Transaction<'_>) -> store::Result<R> + Clone + Send + 'static,
) -> Option<R> {
    loop {
        match core.store.write(work.clone()).await {
            Ok(done) => return Some(done),
            Err(error) => {
                core.metrics.count("clonewatch_store_errors_total", &[]);
                error!(%error, "the store cannot be written: trying again");
                if core.is_aborting() {
                    return None;
                }
                sleep(STORE_PAUSE).await;
            }
        }
    }
}
