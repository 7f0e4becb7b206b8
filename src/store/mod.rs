//! Durable state: jobs, verdicts, outbox, audit log and idempotency keys in SQLite, audio on its way in a spool folder.
//!
//! Flow: callers hand closures to [`Store::write`] or [`Store::read`]; one thread owns the writing connection and runs
//! each closure as one transaction, two more own reading ones. The functions that closures call are in [`jobs`],
//! [`verdicts`], [`list`], [`outbox`], [`overview`], [`portraits`] and [`audit`]; they take the time as an argument
//! and look at no clock.
//!
//! Crash-only: there is no clean-up that must run. A job counts as accepted once its audio and its row are on disk;
//! verdict, end of the job, events and audit row are one transaction; opening the store puts running jobs back and
//! removes spool files that no row knows. The order of things is the row number's, never the clock's.
//!
//! Limits: queues to the threads are bounded; the database must be on a local disk (it is locked by its owner).

pub mod audit;
pub mod calls;
pub mod jobs;
mod lane;
pub mod list;
pub mod outbox;
pub mod overview;
pub mod portraits;
mod schema;
mod spool;
mod types;
pub mod verdicts;

pub use spool::Spool;
pub use types::{Audio, Job, JobId, NewJob, Override, State, Summary, UnixMs, random_hex};

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use lane::Lane;

/// Threads that read.
const READERS: usize = 2;
/// Name of the database inside the folder.
pub const DATABASE: &str = "clonewatch.db";

/// Why the store did not do what was asked. Nothing of it was done then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk.
    #[error("the disk is full")]
    DiskFull,
    /// The store's threads have ended.
    #[error("the store is closed")]
    Closed,
    /// Another process holds the folder.
    #[error("{}: in use by another clonewatch – stop it first, or set store.dir to another folder", .0.display())]
    InUse(PathBuf),
    /// The database was written by a newer program.
    #[error("{}: schema {found} is newer than this program's ({ours}) – install the newer version", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest this program knows.
        ours: i64,
    },
    /// Stored evidence that this program cannot read.
    #[error("stored evidence: {0}")]
    Evidence(String),
    /// SQLite's own word.
    #[error("database: {0}")]
    Sql(rusqlite::Error),
    /// Reading or writing a file of the store failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's word.
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Sql(error),
        }
    }
}

impl StoreError {
    /// For a file of the store.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io { path: path.display().to_string(), source },
        }
    }
}

impl From<StoreError> for crate::error::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse(_) | StoreError::Newer { .. } => Self::Config(error.to_string()),
            StoreError::Io { path, source } => Self::Io { path, source },
            other => Self::Fault(other.to_string()),
        }
    }
}

/// Result with [`StoreError`].
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What opening the store found and put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Jobs that were running when the process ended, and wait again.
    pub requeued: usize,
    /// Spool files that belonged to no job.
    pub swept: usize,
}

/// The open store. Dropping it ends its threads after what they were given.
pub struct Store {
    writer: Lane,
    readers: Vec<Lane>,
    next_reader: AtomicUsize,
    spool: Spool,
    _lock: File,
}

impl Store {
    /// Opens or makes the store in `dir`, brings the schema up to date, and recovers from whatever ended the last
    /// process.
    ///
    /// # Errors
    /// The folder cannot be used, is in use, or holds a newer or broken database.
    pub fn open(dir: &Path) -> Result<(Self, Recovered)> {
        spool::make_private_dir(dir)?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE);
        let mut connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection, &path)?;
        let spool = Spool::open(&dir.join("spool"))?;
        let (requeued, known) = connection_recover(&mut connection)?;
        let recovered = Recovered { requeued, swept: spool.sweep(&known)? };
        let readers = (0..READERS).map(|_| Lane::spawn("store-read", open_reader(&path)?)).collect::<Result<_>>()?;
        let writer = Lane::spawn("store-write", connection)?;
        Ok((Self { writer, readers, next_reader: AtomicUsize::new(0), spool, _lock: lock }, recovered))
    }

    /// Where audio waits.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Runs `work` as one durable transaction; an error undoes all of it.
    ///
    /// # Errors
    /// What `work` returned, a full disk, or a closed store.
    pub async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.writer.run(|connection| transact(connection, work)).await
    }

    /// [`Store::write`], with `after` on its outcome: both happen also where the caller stops waiting for them. `after` runs on
    /// the writing thread, so it must be short and must not hold the store.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_then<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R> + Send + 'static,
        after: impl FnOnce(&Result<R>) + Send + 'static,
    ) -> Result<R> {
        let both = move |connection: &mut Connection| {
            let outcome = transact(connection, work);
            after(&outcome);
            outcome
        };
        self.writer.run(both).await
    }

    /// [`Store::write`] for threads; it must not be called on a runtime's thread.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.writer.run_blocking(|connection| transact(connection, work))
    }

    /// Runs `work` on a connection that only reads.
    ///
    /// # Errors
    /// What `work` returned, or a closed store.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.reader().run(|connection| work(connection)).await
    }

    /// [`Store::read`] for threads; it must not be called on a runtime's thread.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.reader().run_blocking(|connection| work(connection))
    }

    fn reader(&self) -> &Lane {
        let index = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        &self.readers[index]
    }
}

impl AsRef<Store> for Store {
    fn as_ref(&self) -> &Store {
        self
    }
}

/// Opens the database of the store in `dir` to read it beside the process that owns it.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_readonly(dir: &Path) -> Result<Connection> {
    let path = dir.join(DATABASE);
    fs::metadata(&path).map_err(|e| StoreError::io(&path, e))?;
    open_reader(&path)
}

/// Opens the database of the store in `dir` to write to it beside the process that owns it: short changes only.
///
/// # Errors
/// There is none, it cannot be written, or it has another schema than this program's.
pub fn open_beside(dir: &Path) -> Result<Connection> {
    let path = dir.join(DATABASE);
    fs::metadata(&path).map_err(|e| StoreError::io(&path, e))?;
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ours = schema::STEPS.len() as i64;
    if found == ours { Ok(connection) } else { Err(StoreError::Newer { path, found, ours }) }
}

fn open_reader(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

fn transact<R>(connection: &mut Connection, work: impl FnOnce(&Transaction<'_>) -> Result<R>) -> Result<R> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

fn connection_recover(connection: &mut Connection) -> Result<(usize, std::collections::BTreeSet<String>)> {
    transact(connection, |tx| {
        calls::give_up_open(tx, UnixMs::now())?;
        Ok((jobs::requeue_running(tx)?, jobs::spooled(tx)?))
    })
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| StoreError::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(e)) => Err(StoreError::io(&path, e)),
    }
}

#[cfg(test)]
mod tests;
