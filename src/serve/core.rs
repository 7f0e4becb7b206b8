//! What all parts of the daemon share: the store, the queue, what is in force, and who waits for what.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::Transaction;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::{
    admission::{Admission, Full, Load, Ticket},
    in_force::InForce,
    live::{Calls, Ending},
    metrics::Metrics,
    pulse::Pulse,
    queue::{Queue, Waiting},
};
use crate::store::{
    Audio, Job, JobId, NewJob, Result, Store, UnixMs,
    audit::{self, Entry},
    jobs::{self, Accepted},
    verdicts,
};

/// Shared by sockets, workers, watched folders and deliveries.
pub struct Core {
    /// Durable state.
    pub store: Store,
    /// Jobs that wait for a worker.
    pub queue: Arc<Queue>,
    /// Live calls.
    pub calls: Calls,
    /// What workers do, for the watchdog.
    pub pulse: Pulse,
    /// Numbers.
    pub metrics: Metrics,
    admission: Arc<Admission>,
    in_force: watch::Sender<Arc<InForce>>,
    ended: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
    /// Set at the drain deadline: running work stops at its next block.
    abort: AtomicBool,
    waiters: Mutex<HashMap<JobId, Vec<oneshot::Sender<()>>>>,
    running: Mutex<HashMap<JobId, Arc<AtomicBool>>>,
}

/// How far the daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Takes requests.
    Serving,
    /// Ends what it has begun.
    Stopping,
}

impl Core {
    /// The shared state around an open store; jobs that wait in it are put in the queue.
    ///
    /// # Errors
    /// The store's.
    pub fn new(store: Store, in_force: InForce) -> Result<Arc<Self>> {
        let core = Self {
            queue: Arc::default(),
            calls: Calls::default(),
            pulse: Pulse::new(in_force.config.queue.worker_count()),
            metrics: Metrics::default(),
            admission: Arc::default(),
            in_force: watch::Sender::new(Arc::new(in_force)),
            ended: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::Serving),
            abort: AtomicBool::new(false),
            waiters: Mutex::default(),
            running: Mutex::default(),
            store,
        };
        for job in core.store.read_blocking(jobs::queued)? {
            core.enqueue(&job, core.admission.readmit(job.bytes));
        }
        Ok(Arc::new(core))
    }

    /// What is in force now.
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.borrow())
    }

    /// Tells of reloads.
    pub fn reloads(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// Puts `in_force` in force.
    pub fn replace(&self, in_force: InForce) {
        self.in_force.send_replace(Arc::new(in_force));
    }

    /// Tells, by a number that grows, that jobs have ended or events were added to the outbox.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Wakes those who look at [`Core::ended`].
    pub fn announce(&self) {
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells when to stop.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Returns once the daemon is stopping.
    pub async fn stopping(&self) {
        // Fails only where the sender is gone, and it lives in `self`.
        let _ = self.phase().wait_for(|phase| *phase == Phase::Stopping).await;
    }

    /// Nothing new is begun from now on, but live calls are heard to their end.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
        self.queue.close();
    }

    /// Running work ends at its next block and is put back; live calls end without a result.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
        self.queue.close_live();
    }

    /// Whether running work is to end.
    pub fn is_aborting(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }

    /// What is inside.
    pub fn load(&self) -> Load {
        self.admission.load()
    }

    /// Lets a job of `bytes` in, for as long as its ticket lives.
    ///
    /// # Errors
    /// [`Full`].
    pub fn admit(&self, bytes: u64) -> std::result::Result<Ticket, Full> {
        let admitted = self.admission.admit(bytes, self.in_force().most());
        if admitted.is_err() {
            self.metrics.count("clonewatch_refused_total", &[("reason", "full")]);
        }
        admitted
    }

    /// Seconds after which there may be room: what is inside at the pace so far.
    pub fn retry_after_secs(&self) -> u64 {
        let ended = self.metrics.value("clonewatch_jobs_total", &[("outcome", "done")]).max(1.0);
        let mean_secs = (self.metrics.value("clonewatch_job_seconds_sum", &[]) / ended).max(0.1);
        let workers = self.in_force().config.queue.worker_count() as f64;
        // Half of what waits, so that whoever comes back finds some room and the workers something to do.
        (self.load().jobs as f64 * mean_secs / workers / 2.0).ceil().clamp(1.0, 300.0) as u64
    }

    /// Accepts a job whose audio is on disk under its final name, or sealed by `seal` in the same step, and queues it. Audio
    /// that makes no new job is removed from the spool. All of it happens also where the caller goes away meanwhile.
    ///
    /// # Errors
    /// The store's; nothing is accepted then.
    pub async fn accept(
        &self,
        new: NewJob,
        ticket: Ticket,
        seal: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Accepted> {
        let (queue, spool, id) = (Arc::clone(&self.queue), self.store.spool().clone(), new.id.clone());
        let work = move |tx: &Transaction<'_>| {
            seal()?;
            let accepted = jobs::accept(tx, &new, UnixMs::now())?;
            let job = jobs::get(tx, &new.id)?;
            Ok((accepted, job))
        };
        let after = move |outcome: &Result<(Accepted, Option<Job>)>| match outcome {
            Ok((Accepted::New(_), Some(job))) => {
                info!(scan = %job.id, bytes = job.bytes, policy = %job.policy, "accepted");
                queue.push(Waiting::new(job, ticket));
            }
            _ => spool.remove(&id),
        };
        let accepted = self.store.write_then(work, after).await;
        let accepted = accepted.inspect_err(|_| self.metrics.count("clonewatch_store_errors_total", &[]))?;
        Ok(accepted.0)
    }

    /// Has a job that is done heard again from its kept audio under `policy`. Whether it waits now.
    ///
    /// # Errors
    /// The store's.
    pub async fn hear_again(&self, id: &JobId, policy: String, actor: String, ticket: Ticket) -> Result<bool> {
        let (queue, wanted) = (Arc::clone(&self.queue), id.clone());
        let work = move |tx: &Transaction<'_>| {
            let waits = verdicts::hear_again(tx, &wanted, &policy, &actor, UnixMs::now())?;
            if waits { jobs::get(tx, &wanted) } else { Ok(None) }
        };
        let after = move |outcome: &Result<Option<Job>>| {
            if let Ok(Some(job)) = outcome {
                queue.push(Waiting::new(job, ticket));
            }
        };
        Ok(self.store.write_then(work, after).await?.is_some())
    }

    /// Lets a job wait for a worker.
    pub fn enqueue(&self, job: &Job, ticket: Ticket) {
        self.queue.push(Waiting::new(job, ticket));
    }

    /// Removes a job and what belongs to it; `false` where there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn delete(&self, id: &JobId, actor: String) -> Result<bool> {
        let (wanted, gone) = (id.clone(), id.clone());
        let (queue, spool) = (Arc::clone(&self.queue), self.store.spool().clone());
        let work = move |tx: &Transaction<'_>| jobs::delete(tx, &wanted, &actor, UnixMs::now());
        let after = move |outcome: &Result<bool>| {
            if matches!(outcome, Ok(true)) {
                queue.remove(&gone);
                spool.remove(&gone);
            }
        };
        let deleted = self.store.write_then(work, after).await?;
        if deleted {
            self.calls.tell(id, Ending::Deleted);
            if let Some(cancelled) = self.lock_running().get(id) {
                cancelled.store(true, Ordering::Relaxed);
            }
            self.job_ended(id);
        }
        Ok(deleted)
    }

    /// Marks `id` as running; the flag is set when it is deleted.
    pub(super) fn run_begins(&self, id: &JobId) -> Arc<AtomicBool> {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.lock_running().insert(id.clone(), Arc::clone(&cancelled));
        cancelled
    }

    pub(super) fn run_ends(&self, id: &JobId) {
        self.lock_running().remove(id);
    }

    /// Jobs that workers have.
    pub fn running_count(&self) -> usize {
        self.lock_running().len()
    }

    /// Fires when job `id` ends.
    pub fn wait_for(&self, id: &JobId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever gave up leaves nothing behind, also where the job never came to be.
        waiters.retain(|_, of_job| {
            of_job.retain(|waiter| !waiter.is_closed());
            !of_job.is_empty()
        });
        waiters.entry(id.clone()).or_default().push(sender);
        receiver
    }

    /// Tells those who wait for `id`.
    pub(super) fn job_ended(&self, id: &JobId) {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        for waiter in waiters.into_iter().flatten() {
            // Whoever waited may have gone away.
            let _ = waiter.send(());
        }
        self.announce();
    }

    /// Where the audio of `job` is, if it is still there.
    pub fn audio_path(&self, job: &Job) -> Option<PathBuf> {
        match job.audio.as_ref()? {
            Audio::Spool => Some(self.store.spool().path_of(&job.id)),
            Audio::At(path) => Some(path.clone()),
        }
    }

    /// Notes something in the audit log that concerns no scan.
    pub async fn audit(&self, action: &'static str, note: String) {
        let entry = move |tx: &Transaction<'_>| {
            audit::append(tx, &Entry { note: Some(&note), ..Entry::new(UnixMs::now(), "clonewatch", action) })
        };
        if let Err(error) = self.store.write(entry).await {
            warn!(%error, action, "the audit log could not be written");
        }
    }

    fn lock_running(&self) -> MutexGuard<'_, HashMap<JobId, Arc<AtomicBool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
