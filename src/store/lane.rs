//! A thread that owns a connection and runs closures on it, one after the other.

use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Result, StoreError};

/// Closures that may wait; whoever brings more waits itself.
const WAITING: usize = 64;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread and the way to it. Dropping it joins the thread.
pub(super) struct Lane {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    pub(super) fn spawn(name: &str, mut connection: Connection) -> Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(WAITING);
        let run = move || {
            while let Some(work) = work.blocking_recv() {
                work(&mut connection);
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(|source| StoreError::Io { path: format!("thread {name}"), source })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (boxed, answer) = with_answer(work);
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(boxed).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn run_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (boxed, answer) = with_answer(work);
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.blocking_send(boxed).map_err(|_| StoreError::Closed)?;
        answer.blocking_recv().map_err(|_| StoreError::Closed)?
    }
}

fn with_answer<R: Send + 'static>(
    work: impl FnOnce(&mut Connection) -> Result<R> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<R>>) {
    let (sender, answer) = oneshot::channel();
    let boxed: Work = Box::new(move |connection| {
        // Whoever asked may have gone away; what was done stays done.
        let _ = sender.send(work(connection));
    });
    (boxed, answer)
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.queue = None;
        // Fails only where the thread has panicked, which its callers have seen as `Closed`.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
