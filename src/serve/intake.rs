//! Watched folders of the daemon: one thread for each, whose files become jobs like any other and are put away once these
//! have a verdict.
//!
//! Flow: [`watch::run`] finds a settled file → copied into the spool → accepted under a key made of its content → judged by
//! the daemon's workers → its result line, from the store, goes beside the file. The key makes a crash in between
//! harmless: the second submission finds the first one's job.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use super::core::Core;
use crate::{
    config::{OnDone, Watch},
    decode::extension_of,
    error::{Error, Result},
    model::{hex, sha256_hex},
    store::{
        Audio, Job, JobId, NewJob, State,
        jobs::{self, Accepted},
        verdicts,
    },
    watch::{self, Delivery, Depth, Desk, Folders, Judged, Ledger, Notices, Placing, Settings},
};

/// How long a folder that cannot be watched waits for another try.
const RETRY: Duration = Duration::from_secs(30);

/// The threads of all watched folders. Dropping it ends them, and waits; jobs that they submitted go on.
pub(super) struct Intake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Intake {
    /// Starts to watch every folder of the configuration.
    pub(super) fn start(core: &Arc<Core>, handle: &Handle) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for config in &core.in_force().config.watch {
            let folder = Folder {
                core: Arc::clone(core),
                handle: handle.clone(),
                config: config.clone(),
                stop: Arc::clone(&stop),
            };
            match thread::Builder::new().name(format!("watch-{}", config.name)).spawn(move || folder.run()) {
                Ok(thread) => threads.push(thread),
                Err(error) => error!(folder = config.name, %error, "no thread to watch it"),
            }
        }
        Self { stop, threads }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Fails only where the thread has panicked; its files are still in the folder.
            let _ = thread.join();
        }
    }
}

/// One watched folder.
struct Folder {
    core: Arc<Core>,
    handle: Handle,
    config: Watch,
    stop: Arc<AtomicBool>,
}

impl Folder {
    /// Watches until told to stop; what keeps it from watching is logged, and tried again.
    fn run(&self) {
        while let Err(error) = self.watch() {
            error!(folder = self.config.name, %error, "cannot be watched; tried again");
            let deadline = std::time::Instant::now() + RETRY;
            while std::time::Instant::now() < deadline {
                if self.is_stopping() {
                    return;
                }
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn watch(&self) -> Result<()> {
        let config = &self.core.in_force().config;
        let ledger = Ledger::open(&config.store.dir.join(format!("watch-{}.sqlite", self.config.name)))?;
        info!(folder = self.config.name, dir = %self.config.dir.display(), "watching");
        watch::run(&self.settings(config.queue.worker_count()), ledger, self, &self.stop)
    }

    fn settings(&self, workers: usize) -> Settings {
        let config = &self.config;
        let below = Folders::below(config.output_dir.as_ref().unwrap_or(&config.dir));
        let folders = Folders { layout: config.layout, ..below };
        Settings {
            placing: if config.on_done == OnDone::Tag { Placing::Tag } else { Placing::Move(folders) },
            depth: if config.recursive { Depth::Tree } else { Depth::Folder },
            settle: Duration::from_secs(config.settle_secs),
            rescan: Duration::from_secs(config.rescan_secs),
            notices: if config.poll { Notices::Walks } else { Notices::Events },
            // One more than can be judged at once, so that no worker waits for a copy.
            threads: workers + 1,
            ..Settings::new(config.dir.clone())
        }
    }

    fn policy_name(&self) -> String {
        let in_force = self.core.in_force();
        self.config.policy.clone().unwrap_or_else(|| in_force.config.default_policy.clone())
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.core.is_aborting()
    }

    /// Copies the file into the spool and accepts it, or finds the job that it already is.
    fn submit(&self, file: &File, shown: &str) -> Result<JobId> {
        let bytes = file.metadata().map_err(|e| Error::io(shown, e))?.len();
        let ticket = self.core.admit(bytes).map_err(|_| Error::Interrupted)?;
        let (id, spool) = (JobId::random(), self.core.store.spool().clone());
        let mut copy = spool.create(&id)?;
        let sha256 = self.copy(file, bytes, &mut copy, shown).inspect_err(|_| spool.remove(&id))?;
        let (actor, policy) = (format!("watch:{}", self.config.name), self.policy_name());
        let extension = extension_of(Path::new(shown)).unwrap_or_default();
        let key = sha256_hex(format!("{sha256} {extension} {policy} {}", self.basis()).as_bytes());
        let new = NewJob {
            id: id.clone(),
            name: shown.to_owned(),
            label: None,
            source: actor.clone(),
            actor,
            policy,
            audio: Audio::Spool,
            bytes,
            sha256,
            idempotency_key: Some(key),
        };
        // Written out here: inside the transaction all other writers would wait for it.
        if let Err(error) = copy.sync_all() {
            spool.remove(&id);
            return Err(Error::io("spool", error));
        }
        let (sealed, publisher) = (id.clone(), spool.clone());
        let accepted = self.handle.block_on(self.core.accept(new, ticket, move || publisher.publish(&sealed)));
        match accepted {
            Ok(Accepted::New(id)) => Ok(id),
            Ok(Accepted::Known(known)) => {
                spool.remove(&id);
                Ok(known)
            }
            Ok(Accepted::Conflict) => {
                spool.remove(&id);
                Err(Error::Fault("the same content under another policy".into()))
            }
            Err(error) => {
                spool.remove(&id);
                Err(error.into())
            }
        }
    }

    /// Copies `bytes` of a file, and gives their SHA-256.
    fn copy(&self, mut file: &File, bytes: u64, copy: &mut File, shown: &str) -> Result<String> {
        let failed = |e: io::Error| Error::io(shown, e);
        file.rewind().map_err(failed)?;
        let (mut hasher, mut buffer, mut source) = (Sha256::new(), vec![0; 1 << 16], file.take(bytes));
        loop {
            if self.is_stopping() {
                return Err(Error::Interrupted);
            }
            let count = source.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                return Ok(hex(&hasher.finalize()));
            }
            hasher.update(&buffer[..count]);
            copy.write_all(&buffer[..count]).map_err(|e| Error::io("spool", e))?;
        }
    }

    /// Waits until the job has ended, or the daemon stops.
    fn wait(&self, id: &JobId) -> Result<Job> {
        loop {
            // Asked for before the look, so that an end in between is not missed.
            let ended = self.core.wait_for(id);
            let wanted = id.clone();
            let job = self.core.store.read_blocking(move |connection| jobs::get(connection, &wanted))?;
            match job {
                None => return Err(Error::Usage("its job was deleted".into())),
                Some(job) if matches!(job.state, State::Done | State::Failed) => return Ok(job),
                Some(_) if self.is_stopping() => return Err(Error::Interrupted),
                // The time limit is for a wish to stop, which wakes nobody.
                Some(_) => {
                    drop(self.handle.block_on(async { tokio::time::timeout(Duration::from_millis(500), ended).await }))
                }
            }
        }
    }
}

impl Desk for Folder {
    fn basis(&self) -> String {
        let in_force = self.core.in_force();
        let policy = in_force.policy(&self.policy_name()).map(|named| named.sha256.clone()).unwrap_or_default();
        format!("{} {policy}", in_force.engine.model.sha256())
    }

    fn judge(&self, file: File, shown: &str) -> Result<Judged> {
        let id = self.submit(&file, shown)?;
        let job = self.wait(&id)?;
        if let Some(error) = job.error.filter(|_| job.state == State::Failed) {
            return Err(Error::Fault(error));
        }
        let line = self.core.store.read_blocking(move |connection| verdicts::result(connection, &id, None))?;
        let line = line.and_then(|line| String::from_utf8(line).ok());
        let (Some(line), Some(action)) = (line, job.action) else {
            return Err(Error::Fault("its job has no verdict".into()));
        };
        Ok(Judged { action, line, shown: job.name, sha256: job.sha256 })
    }

    fn delivered(&self, delivery: &Delivery) {
        let place: &PathBuf = delivery.placed.moved_to.as_ref().unwrap_or(&delivery.placed.result);
        let place = crate::cli::render::printable(&place.display().to_string());
        self.core.metrics.count("clonewatch_watch_files_total", &[("folder", &self.config.name)]);
        info!(folder = self.config.name, place, is_repeated = delivery.is_repeated, "put away");
    }

    fn trouble(&self, message: &str) {
        warn!(folder = self.config.name, "{message}");
    }
}
