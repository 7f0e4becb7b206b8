//! Ctrl-C (and a polite kill): the first lets running work finish, the second ends the process at once.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use super::note;
use crate::error::{Error, Exit, Result};

/// Listens until dropped; its thread is joined then.
pub struct Interrupt {
    raised: Arc<AtomicBool>,
    finished: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Starts to listen.
    ///
    /// # Errors
    /// The system gives no thread or no signal handler.
    pub fn listen() -> Result<Self> {
        Self::saying(Some("clonewatch: finishing the files in progress; once more to stop at once"))
    }

    /// [`Interrupt::listen`] without a word on standard error.
    ///
    /// # Errors
    /// As there.
    pub fn listen_quietly() -> Result<Self> {
        Self::saying(None)
    }

    fn saying(words: Option<&'static str>) -> Result<Self> {
        let fault = |e: std::io::Error| Error::Fault(format!("signal handler: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
        let raised = Arc::new(AtomicBool::new(false));
        let (finished, until_finished) = oneshot::channel();
        let flag = Arc::clone(&raised);
        // Registered before this returns, so that no signal falls into the gap.
        let mut signals = {
            let _inside = runtime.enter();
            Signals::register().map_err(fault)?
        };
        let watch = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = raise_then_exit(&mut signals, &flag, words) => {}
                    _ = until_finished => {}
                }
            });
        };
        let thread = thread::Builder::new().name("signals".into()).spawn(watch).map_err(fault)?;
        Ok(Self { raised, finished: Some(finished), thread: Some(thread) })
    }

    /// Set once the user wants to stop.
    pub fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// Whether the user wants to stop.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // Both fail only where the thread has ended already.
        let _ = self.finished.take().map(|finished| finished.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn raise_then_exit(signals: &mut Signals, flag: &AtomicBool, words: Option<&str>) {
    signals.next().await;
    flag.store(true, Ordering::Relaxed);
    if let Some(words) = words {
        note(words);
    }
    signals.next().await;
    process::exit(Exit::Operational.code().into());
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn register() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn register() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler the signal ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
