//! Jobs: accepted, taken, put back, given up, removed. Callers run these inside [`super::Store::write`].

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Audio, Job, JobId, NewJob, Result, State, UnixMs,
    audit::{self, Entry},
};

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A new job.
    New(JobId),
    /// The same submission came before, under the same idempotency key: its job.
    Known(JobId),
    /// Another submission came before under that key.
    Conflict,
}

/// Accepts `job`, or finds the one that its idempotency key stands for.
///
/// # Errors
/// The database's.
pub fn accept(tx: &Connection, job: &NewJob, now: UnixMs) -> Result<Accepted> {
    let fingerprint = format!("{}:{}", job.sha256, job.policy);
    if let Some(key) = &job.idempotency_key
        && let Some((known, seen)) = known(tx, &job.actor, key)?
    {
        return Ok(if seen == fingerprint { Accepted::Known(known) } else { Accepted::Conflict });
    }
    tx.prepare_cached(
        "INSERT INTO jobs (id, state, name, label, source, actor, policy, audio, bytes, sha256, accepted_ms)
         VALUES (?1, 'queued', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        job.id,
        job.name,
        job.label,
        job.source,
        job.actor,
        job.policy,
        job.audio,
        i64::try_from(job.bytes).unwrap_or(i64::MAX),
        job.sha256,
        now
    ])?;
    if let Some(key) = &job.idempotency_key {
        tx.prepare_cached(
            "INSERT INTO idempotency (scope, key, fingerprint, job, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![job.actor, key, fingerprint, job.id, now])?;
    }
    let entry = Entry {
        sha256: Some(&job.sha256),
        policy: Some(&job.policy),
        ..Entry::new(now, &job.actor, "scan.accepted").on(&job.id)
    };
    audit::append(tx, &entry)?;
    Ok(Accepted::New(job.id.clone()))
}

fn known(tx: &Connection, scope: &str, key: &str) -> Result<Option<(JobId, String)>> {
    let mut select = tx.prepare_cached("SELECT job, fingerprint FROM idempotency WHERE scope = ?1 AND key = ?2")?;
    Ok(select.query_row([scope, key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// One job.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: &JobId) -> Result<Option<Job>> {
    let sql = format!("SELECT {} FROM jobs WHERE id = ?1", Job::COLUMNS);
    Ok(connection.prepare_cached(&sql)?.query_row([id], Job::of_row).optional()?)
}

/// Jobs that wait, those first that were tried least, then in order of acceptance: a job that brings the process down
/// does not keep the others from being judged.
///
/// # Errors
/// The database's.
pub fn queued(connection: &Connection) -> Result<Vec<Job>> {
    let sql = format!("SELECT {} FROM jobs WHERE state = 'queued' ORDER BY attempts, seq", Job::COLUMNS);
    let jobs = connection.prepare_cached(&sql)?.query_map([], Job::of_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(jobs)
}

/// A worker takes a waiting job; `None` where it does not wait any more.
///
/// # Errors
/// The database's.
pub fn start(tx: &Connection, id: &JobId, now: UnixMs) -> Result<Option<Job>> {
    let started = tx
        .prepare_cached(
            "UPDATE jobs SET state = 'running', started_ms = ?2, attempts = attempts + 1
             WHERE id = ?1 AND state = 'queued'",
        )?
        .execute(params![id, now])?;
    if started == 0 { Ok(None) } else { get(tx, id) }
}

/// Why a job goes back to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The process ends in good order: the attempt does not count.
    Shutdown,
    /// The attempt failed, by a fault of ours.
    Fault,
}

/// Puts a running job back. Whether it waits now.
///
/// # Errors
/// The database's.
pub fn requeue(tx: &Connection, id: &JobId, why: Again) -> Result<bool> {
    let forgiven = i64::from(why == Again::Shutdown);
    let mut update = tx.prepare_cached(
        "UPDATE jobs SET state = 'queued', attempts = max(attempts - ?2, 0) WHERE id = ?1 AND state = 'running'",
    )?;
    Ok(update.execute(params![id, forgiven])? > 0)
}

/// Puts all running jobs back: when the store opens, nobody runs them. How many there were.
///
/// # Errors
/// The database's.
pub fn requeue_running(tx: &Connection) -> Result<usize> {
    Ok(tx.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'", [])?)
}

/// Gives a running job up. Its audio may be removed from the spool afterwards.
///
/// # Errors
/// The database's.
pub fn fail(tx: &Connection, id: &JobId, error: &str, now: UnixMs) -> Result<bool> {
    let failed = tx
        .prepare_cached(
            "UPDATE jobs SET state = 'failed', error = ?2, finished_ms = ?3, audio = NULL
             WHERE id = ?1 AND state = 'running'",
        )?
        .execute(params![id, error, now])?;
    if failed > 0 {
        let entry = Entry { note: Some(error), ..Entry::new(now, "clonewatch", "scan.failed").on(id) };
        audit::append(tx, &entry)?;
    }
    Ok(failed > 0)
}

/// Removes a job with its verdicts. Its audio may be removed from the spool afterwards.
///
/// # Errors
/// The database's.
pub fn delete(tx: &Connection, id: &JobId, actor: &str, now: UnixMs) -> Result<bool> {
    let Some(job) = get(tx, id)? else { return Ok(false) };
    tx.execute("DELETE FROM jobs WHERE id = ?1", [id])?;
    tx.execute("DELETE FROM outbox WHERE job = ?1 AND state = 'pending'", [id])?;
    let entry = Entry { sha256: Some(&job.sha256), ..Entry::new(now, actor, "scan.deleted").on(id) };
    audit::append(tx, &entry)?;
    Ok(true)
}

/// Ids of jobs whose audio is in the spool.
///
/// # Errors
/// The database's.
pub fn spooled(connection: &Connection) -> Result<BTreeSet<String>> {
    let mut select = connection.prepare("SELECT id FROM jobs WHERE audio = ?1")?;
    let ids = select.query_map([Audio::Spool], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(ids)
}

/// What is over its time: audio, jobs, idempotency keys.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    /// Kept audio of jobs that ended before this.
    pub audio_before: UnixMs,
    /// Jobs that ended before this; `None` keeps all.
    pub results_before: Option<UnixMs>,
    /// Idempotency keys that are older.
    pub keys_before: UnixMs,
}

/// Purges what is over its time; jobs whose audio may be removed from the spool now.
///
/// # Errors
/// The database's.
pub fn purge(tx: &Connection, expiry: &Expiry, now: UnixMs) -> Result<Vec<JobId>> {
    let ids = |sql: &str, before: UnixMs| -> Result<Vec<JobId>> {
        let mut select = tx.prepare_cached(sql)?;
        Ok(select.query_map([before], |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()?)
    };
    let ended = "state IN ('done', 'failed') AND finished_ms < ?1";
    let audio = ids(&format!("SELECT id FROM jobs WHERE audio = 'spool' AND {ended}"), expiry.audio_before)?;
    for id in &audio {
        tx.execute("UPDATE jobs SET audio = NULL WHERE id = ?1", [id])?;
        audit::append(tx, &Entry::new(now, "clonewatch", "audio.purged").on(id))?;
    }
    let mut free = audio;
    if let Some(before) = expiry.results_before {
        for id in ids(&format!("SELECT id FROM jobs WHERE {ended}"), before)? {
            delete(tx, &id, "clonewatch", now)?;
            free.push(id);
        }
    }
    tx.execute("DELETE FROM idempotency WHERE created_ms < ?1", [expiry.keys_before])?;
    Ok(free)
}

/// How many jobs there are in `state`.
///
/// # Errors
/// The database's.
pub fn count(connection: &Connection, state: State) -> Result<u64> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM jobs WHERE state = ?1")?
        .query_row([state], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
