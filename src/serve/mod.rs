//! The daemon: audio in over HTTP, verdicts out, through one durable store.
//!
//! ```text
//!  socket ─ http ─ spool ─ store (accepted) ─ queue ─ worker threads ─ store (verdict, event, audit) ─ http, outbox
//! ```
//! [`core::Core`] is what all parts share; [`in_force::InForce`] what a reload exchanges. tokio has the sockets, timers and
//! signals; judging runs on threads of its own ([`judge`]). Every task is awaited by [`run`].
//!
//! Start: configuration → logging → model → store (migrated, recovered) → sockets → ready. Stop (SIGTERM, Ctrl-C): no new
//! requests, open ones and running jobs may end until `server.drain_secs`, the rest is put back. `kill -9` at any moment
//! does the same by other means: what was accepted is on disk. SIGHUP reloads; a bad file changes nothing.

pub mod admission;
pub mod console;
pub mod core;
mod housekeeping;
pub mod http;
pub mod in_force;
mod intake;
mod judge;
mod listen;
pub mod live;
mod logging;
mod manager;
pub mod metrics;
mod outlets;
pub mod pulse;
pub mod queue;
mod reload;
mod tls;
pub mod webhook;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use self::{core::Core, in_force::InForce, listen::Sockets};
use crate::{
    config::Config,
    error::{Error, Result},
    store::Store,
};

/// Threads for sockets; each request costs them little.
const RUNTIME_THREADS: usize = 2;
/// Threads of the runtime's own for files.
const FILE_THREADS: usize = 8;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting: configuration, model, store, sockets.
pub fn run(path: Option<PathBuf>) -> Result<()> {
    let config = Config::load(path.as_deref())?;
    logging::start(&config.log)?;
    let in_force = InForce::load(config)?;
    let (store, recovered) = Store::open(&in_force.config.store.dir)?;
    info!(version = env!("CARGO_PKG_VERSION"), requeued = recovered.requeued, swept = recovered.swept, "starting");
    let core = Core::new(store, in_force)?;
    let fault = |e| Error::Fault(format!("runtime: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(FILE_THREADS)
        .enable_all()
        .build()
        .map_err(fault)?;
    let opened = {
        let _inside = runtime.enter();
        let config = &core.in_force().config;
        Sockets::open(config).and_then(|sockets| Ok((sockets, live::Listeners::open(config)?, Signals::register()?)))
    };
    let (sockets, listeners, signals) = opened?;
    let workers = start_workers(&core)?;
    let outlets = {
        let (core, handle) = (Arc::clone(&core), runtime.handle().clone());
        let named = thread::Builder::new().name("outlets".into());
        named.spawn(move || outlets::run(&core, &handle)).map_err(|e| Error::Fault(format!("thread: {e}")))?
    };
    runtime.block_on(serve(&core, (sockets, listeners), signals, path.as_deref()));
    if outlets.join().is_err() {
        warn!("watched folders and receivers ended by a panic, see above");
    }
    for worker in workers {
        // A worker's panics are caught and counted where they happen.
        let _ = worker.join();
    }
    info!("stopped");
    Ok(())
}

fn start_workers(core: &Arc<Core>) -> Result<Vec<JoinHandle<()>>> {
    let start = |index: usize| {
        let core = Arc::clone(core);
        let named = thread::Builder::new().name(format!("judge-{index}"));
        named.spawn(move || judge::work(&core, index)).map_err(|e| Error::Fault(format!("worker thread: {e}")))
    };
    (0..core.pulse.workers()).map(start).collect()
}

async fn serve(
    core: &Arc<Core>,
    (sockets, listeners): (Sockets, live::Listeners),
    mut signals: Signals,
    path: Option<&Path>,
) {
    let drain = Duration::from_secs(core.in_force().config.server.drain_secs);
    let mut tasks = JoinSet::new();
    tasks.spawn(sockets.serve(Arc::clone(core), http::router(Arc::clone(core)), drain));
    tasks.spawn(listeners.serve(Arc::clone(core)));
    tasks.spawn(manager::watchdog(Arc::clone(core)));
    tasks.spawn(housekeeping::run(Arc::clone(core)));
    tasks.spawn(live::keep(Arc::clone(core)));
    tasks.spawn(live::record(Arc::clone(core)));
    core.audit("service.started", env!("CARGO_PKG_VERSION").into()).await;
    manager::ready();
    while told(core, &mut signals).await == Told::Reload {
        manager::reloading();
        reload::reload(core, path).await;
        manager::ready();
    }
    info!(running = core.running_count(), waiting = core.queue.depth(), "stopping");
    manager::stopping();
    manager::extend(drain + Duration::from_secs(10));
    core.stop();
    drain_workers(core, drain, &mut signals).await;
    while tasks.join_next().await.is_some() {}
}

async fn told(core: &Core, signals: &mut Signals) -> Told {
    tokio::select! {
        told = signals.next() => told,
        () = core.reload_wanted() => Told::Reload,
    }
}

/// Waits for running jobs until the deadline or a second signal, then has them put back.
async fn drain_workers(core: &Core, drain: Duration, signals: &mut Signals) {
    let deadline = Instant::now() + drain;
    let mut ended = core.ended();
    while core.running_count() > 0 || core.calls.count() > 0 {
        tokio::select! {
            _ = ended.changed() => {}
            () = sleep(Duration::from_millis(100)) => {}
            () = tokio::time::sleep_until(deadline) => break,
            told = signals.next() => if told == Told::Stop { break },
        }
    }
    if core.running_count() > 0 {
        warn!(running = core.running_count(), "not done in time: put back");
    }
    core.abort();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn register() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|e| Error::Fault(format!("signal handler: {e}")));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
        }
    }
}
