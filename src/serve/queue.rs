//! Jobs that wait for a worker, in memory: those first that were tried least, then in order of acceptance. The store
//! holds the same jobs; this is only their order and what wakes a thread.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::admission::Ticket;
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

/// The queue. As long as its tickets' limit.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<(u32, i64), Waiting>,
    is_closed: bool,
}

impl Queue {
    /// Adds a job.
    pub fn push(&self, job: Waiting) {
        self.lock().waiting.insert((job.attempts, job.seq), job);
        self.changed.notify_one();
    }

    /// The next job; waits for one. `None` once the queue is closed, whatever still waits.
    pub fn take(&self) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some((_, job)) = state.waiting.pop_first() {
                return Some(job);
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

    /// Nothing is handed out any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
