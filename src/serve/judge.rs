//! One job on a worker: audio → evidence → verdict → store. Bad media is a verdict; our own faults put the job back, until
//! it was tried often enough.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Transaction;
use tracing::{error, info, warn};

use super::{
    core::Core,
    in_force::InForce,
    live,
    queue::{Waiting, Work},
};
use crate::{
    cli::render::{self, Jsonl, Provenance, Renderer},
    config::{DEFAULT_POLICY, Event},
    decode::{OpenOptions, extension_of},
    error::{Error, Result},
    policy::Decision,
    report::Portrait,
    scan::{Scanned, Screening},
    store::{
        self, Audio, Job, JobId, Summary, UnixMs,
        jobs::{self, Again},
        portraits,
        verdicts::{self, Keep, NewVerdict},
    },
};

/// Pause before the store is tried again that could not be written.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Takes jobs until the queue is closed.
pub(super) fn work(core: &Arc<Core>, worker: usize) {
    while let Some(work) = core.queue.take() {
        core.pulse.beat(worker);
        match work {
            Work::Live(party, since) => live::hear(core, &party, since),
            Work::Job(waiting) => {
                let id = waiting.id.clone();
                Run { core, worker }.one(waiting);
                core.run_ends(&id);
            }
        }
        core.pulse.rest(worker);
    }
}

/// What became of a job's audio.
enum Heard {
    Findings(Box<Findings>),
    /// The job was deleted, or the daemon stops.
    Stopped,
    Fault(String),
}

struct Findings {
    screening: Screening,
    /// What is shown of it, where that is wanted and could be had.
    portrait: Option<Arc<Portrait>>,
}

struct Run<'a> {
    core: &'a Arc<Core>,
    worker: usize,
}

impl Run<'_> {
    fn one(&self, waiting: Waiting) {
        let core = self.core;
        let started = Instant::now();
        let cancelled = core.run_begins(&waiting.id);
        let id = waiting.id.clone();
        let Some(job) = self.write(move |tx| jobs::start(tx, &id, UnixMs::now())).flatten() else { return };
        let in_force = core.in_force();
        if job.attempts > in_force.config.queue.max_attempts {
            return self.give_up(&job, "the process ended each time");
        }
        let pulse = || {
            core.pulse.beat(self.worker);
            // Callers do not wait for files.
            while let Some((party, since)) = core.queue.take_live() {
                live::hear(core, &party, since);
                core.pulse.beat(self.worker);
            }
            !cancelled.load(Ordering::Relaxed) && !core.is_aborting()
        };
        match hear(core, &in_force, &job, &pulse) {
            Heard::Findings(findings) => self.finish(&in_force, &job, *findings, started.elapsed()),
            Heard::Stopped => {
                let id = job.id.clone();
                self.write(move |tx| jobs::requeue(tx, &id, Again::Shutdown));
            }
            Heard::Fault(fault) => self.fault(&in_force, job, &fault, waiting),
        }
    }

    fn finish(&self, in_force: &InForce, job: &Job, findings: Findings, spent: Duration) {
        let Findings { screening, portrait } = findings;
        let core = self.core;
        let provenance =
            Source { model_id: &in_force.engine.model.manifest().id, model_sha256: in_force.engine.model.sha256() };
        let evidence = serde_json::to_vec(&screening).ok();
        let asked = Asked { id: &job.id, policy: &job.policy, actor: "clonewatch" };
        let verdict = judge(in_force, &asked, screening, &provenance);
        let verdict = NewVerdict { evidence, ..verdict };
        let decision = verdict.summary.decision;
        let is_kept = decision == Decision::Spoof
            && in_force.config.retention.flagged_audio_days > 0
            && job.audio == Some(Audio::Spool);
        let keep = if is_kept { Keep::Audio } else { Keep::Nothing };
        let finished = self.write(move |tx| {
            let finished = verdicts::finish(tx, &verdict, keep, UnixMs::now())?;
            if let (Some(_), Some(portrait)) = (finished, &portrait) {
                portraits::keep(tx, &verdict.job, portrait)?;
            }
            Ok(finished)
        });
        // `None`: the store could not be written, so the job is done again after the next start.
        let Some(finished) = finished else { return };
        if keep == Keep::Nothing || finished.is_none() {
            core.store.spool().remove(&job.id);
        }
        if finished.is_some() {
            let decision = render::decision_key(decision);
            core.metrics.time("clonewatch_job_seconds_sum", &[], spent);
            core.metrics.count("clonewatch_jobs_total", &[("outcome", "done")]);
            core.metrics.count("clonewatch_verdicts_total", &[("decision", decision)]);
            info!(scan = %job.id, decision, secs = spent.as_secs_f64(), "judged");
        }
        core.job_ended(&job.id);
    }

    fn fault(&self, in_force: &InForce, mut job: Job, fault: &str, waiting: Waiting) {
        let core = self.core;
        core.metrics.count("clonewatch_faults_total", &[("kind", "judge")]);
        if job.attempts < in_force.config.queue.max_attempts {
            warn!(scan = %job.id, attempt = job.attempts, fault = render::printable(fault), "will be tried again");
            let id = job.id.clone();
            if self.write(move |tx| jobs::requeue(tx, &id, Again::Fault)) == Some(true) {
                // Others come first now, and a passing fault has time to pass.
                job.state = store::State::Queued;
                core.enqueue(&job, waiting.ticket);
                thread::sleep(Duration::from_millis(100));
            }
            return;
        }
        self.give_up(&job, fault);
    }

    fn give_up(&self, job: &Job, fault: &str) {
        let core = self.core;
        error!(scan = %job.id, attempts = job.attempts, fault = render::printable(fault), "given up");
        let reason = format!("given up after {} attempts: {fault}", job.attempts);
        let id = job.id.clone();
        if self.write(move |tx| jobs::fail(tx, &id, &reason, UnixMs::now())).is_some() {
            core.metrics.count("clonewatch_jobs_total", &[("outcome", "failed")]);
            core.store.spool().remove(&job.id);
            core.job_ended(&job.id);
        }
    }

    /// Writes until it succeeds; `None` where the daemon ends first.
    fn write<R: Send + 'static>(
        &self,
        work: impl Fn(&Transaction<'_>) -> store::Result<R> + Clone + Send + 'static,
    ) -> Option<R> {
        loop {
            match self.core.store.write_blocking(work.clone()) {
                Ok(done) => return Some(done),
                Err(error) => {
                    self.core.metrics.count("clonewatch_store_errors_total", &[]);
                    error!(%error, "the store cannot be written: trying again");
                    if self.core.is_aborting() {
                        return None;
                    }
                    self.core.pulse.beat(self.worker);
                    thread::sleep(STORE_PAUSE);
                }
            }
        }
    }
}

fn hear(core: &Core, in_force: &InForce, job: &Job, pulse: &dyn Fn() -> bool) -> Heard {
    let screened = catch_unwind(AssertUnwindSafe(|| screen(core, in_force, job, pulse)));
    match screened {
        Ok(Ok(screening)) => {
            let drawn = catch_unwind(AssertUnwindSafe(|| draw(core, in_force, job, &screening, pulse)));
            // A verdict does not wait for its pictures.
            let portrait = match drawn {
                Ok(Ok(portrait)) => portrait.map(Arc::new),
                Ok(Err(Error::Interrupted)) | Err(_) => None,
                Ok(Err(error)) => {
                    warn!(scan = %job.id, error = render::printable(&error.to_string()), "without pictures");
                    None
                }
            };
            Heard::Findings(Box::new(Findings { screening, portrait }))
        }
        Ok(Err(Error::Interrupted)) => Heard::Stopped,
        Ok(Err(error)) => Heard::Fault(error.to_string()),
        Err(_) => Heard::Fault("a panic, see the log".into()),
    }
}

fn screen(core: &Core, in_force: &InForce, job: &Job, pulse: &dyn Fn() -> bool) -> Result<Screening> {
    let (file, options) = audio(core, job)?;
    in_force.engine.screen_file(file, job.name.clone(), &options, pulse)
}

fn audio(core: &Core, job: &Job) -> Result<(File, OpenOptions)> {
    let path = core.audio_path(job).ok_or_else(|| Error::Fault("its audio is gone".into()))?;
    let file = File::open(&path).map_err(|e| Error::io(path.display(), e))?;
    Ok((file, OpenOptions { raw: None, extension: extension_of(Path::new(&job.name)) }))
}

/// What the console shows of a file beyond its verdict, where that is kept.
fn draw(
    core: &Core,
    in_force: &InForce,
    job: &Job,
    screening: &Screening,
    pulse: &dyn Fn() -> bool,
) -> Result<Option<Portrait>> {
    let console = &in_force.config.console;
    if !(console.enabled && console.keep_pictures) {
        return Ok(None);
    }
    let (mut file, options) = audio(core, job)?;
    // Pictures show what was heard; which policy judges it does not matter.
    let result = &screening.clone().judge(&in_force.engine.policy);
    let mut scanned = Scanned { file: &mut file, options: &options, result };
    Portrait::of(&mut scanned, &in_force.engine.limits, pulse).map(Some)
}

/// What evidence was made by.
pub(super) struct Source<'a> {
    pub(super) model_id: &'a str,
    pub(super) model_sha256: &'a str,
}

/// Which scan is judged, by which policy, for whom.
pub(super) struct Asked<'a> {
    pub(super) id: &'a JobId,
    pub(super) policy: &'a str,
    pub(super) actor: &'a str,
}

/// Applies the policy that is asked for. A policy that a reload took away is replaced by the default one, and the result says so
/// by its id.
pub(super) fn judge(in_force: &InForce, asked: &Asked<'_>, screening: Screening, source: &Source<'_>) -> NewVerdict {
    let named = in_force.policy(asked.policy).or_else(|| {
        warn!(scan = %asked.id, policy = %asked.policy, "the policy is gone: judged by the default one");
        in_force.policy(&in_force.config.default_policy).or_else(|| in_force.policy(DEFAULT_POLICY))
    });
    let named = named.expect("the policy `default` always exists");
    let policy = &named.policy;
    let result = screening.judge(policy);
    let provenance = Provenance {
        model_id: source.model_id.to_owned(),
        model_sha256: source.model_sha256.to_owned(),
        policy_id: policy.id.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let summary = Summary {
        decision: result.decision,
        reason: result.reason,
        llr: render::rounded_llr(result.llr),
        action: policy.action(result.decision),
        policy: policy.id.clone(),
        policy_sha256: named.sha256.clone(),
        model_id: source.model_id.to_owned(),
        model_sha256: source.model_sha256.to_owned(),
    };
    NewVerdict {
        job: asked.id.clone(),
        result: Jsonl(provenance).result(&result).into_bytes(),
        evidence: None,
        endpoints: in_force.endpoints(Event::ScanFinished, summary.decision),
        summary,
        actor: asked.actor.to_owned(),
    }
}

/// Judges the stored evidence on `id` by `policy`. `None` where there is none.
///
/// # Errors
/// The store's, or evidence that cannot be read.
pub(super) fn judge_again(
    tx: &Transaction<'_>,
    in_force: &InForce,
    id: &JobId,
    policy: &str,
    actor: &str,
) -> store::Result<Option<u32>> {
    let Some(stored) = verdicts::evidence(tx, id)? else { return Ok(None) };
    let fault = |e: serde_json::Error| store::StoreError::Evidence(e.to_string());
    let screening: Screening = serde_json::from_slice(&stored.evidence).map_err(fault)?;
    let source = Source { model_id: &stored.model_id, model_sha256: &stored.model_sha256 };
    verdicts::rejudge(tx, &judge(in_force, &Asked { id, policy, actor }, screening, &source), UnixMs::now())
}
