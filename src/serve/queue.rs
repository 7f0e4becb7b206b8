//! What waits for a worker, in memory. Parties of live calls come first, in the order in which they asked; then jobs, those
//! first that were tried least, then in order of acceptance. The store holds the same jobs; this is only their order and
//! what wakes a thread. A party waits at most once, so calls bound their part.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{admission::Ticket, live::Shared};
use crate::store::{Job, JobId};

/// A job that waits.
pub struct Waiting {
    /// Names it.
    pub id: JobId,
    /// How often it was tried.
    pub attempts: u32,
    /// Its row.
    pub seq: i64,
    /// Its place inside.
    pub ticket: Ticket,
}

impl Waiting {
    /// `job`, with its place inside.
    pub fn new(job: &Job, ticket: Ticket) -> Self {
        Self { id: job.id.clone(), attempts: job.attempts, seq: job.seq, ticket }
    }
}

/// Work for a worker.
pub enum Work {
    /// A party of a live call, and since when it waits.
    Live(Arc<Shared>, Instant),
    /// A job.
    Job(Waiting),
}

/// The queue. As long as its tickets' limit.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    live: VecDeque<(Arc<Shared>, Instant)>,
    waiting: BTreeMap<(u32, i64), Waiting>,
    is_closed: bool,
    is_live_closed: bool,
}

impl Queue {
    /// Adds a job.
    pub fn push(&self, job: Waiting) {
        self.lock().waiting.insert((job.attempts, job.seq), job);
        self.changed.notify_one();
    }

    /// Adds a party that has taken itself up.
    pub fn push_live(&self, party: Arc<Shared>) {
        self.lock().live.push_back((party, Instant::now()));
        self.changed.notify_one();
    }

    /// The next party, if one waits: for workers between two blocks of a job.
    pub fn take_live(&self) -> Option<(Arc<Shared>, Instant)> {
        let mut state = self.lock();
        if state.is_live_closed { None } else { state.live.pop_front() }
    }

    /// The next piece of work; waits for one. `None` once all of the queue is closed, whatever still waits.
    pub fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.is_live_closed {
                return None;
            }
            if let Some((party, since)) = state.live.pop_front() {
                return Some(Work::Live(party, since));
            }
            let job = if state.is_closed { None } else { state.waiting.pop_first() };
            if let Some((_, job)) = job {
                return Some(Work::Job(job));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a job out, if it waits.
    pub fn remove(&self, id: &JobId) {
        self.lock().waiting.retain(|_, job| job.id != *id);
    }

    /// How many wait.
    pub fn depth(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Parties that wait.
    pub fn live_depth(&self) -> usize {
        self.lock().live.len()
    }

    /// No job is handed out any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Nothing is handed out any more.
    pub fn close_live(&self) {
        self.lock().is_live_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
