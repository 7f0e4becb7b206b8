//! The outbox: events that were decided together with what they tell of, and are delivered at least once.
//!
//! An event has one row per receiver (`endpoint`: a webhook's name, or `syslog`). Rows wait as `pending` until their
//! time, end as `delivered`, or as `dead` when no attempt is left.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{JobId, Result, UnixMs, jobs, random_hex};

/// What an event looks like to its receivers.
#[derive(Serialize)]
struct Payload<'a, D> {
    r#type: &'a str,
    timestamp: UnixMs,
    data: &'a D,
}

/// One event for one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Row number.
    pub seq: i64,
    /// The same for all receivers, and at each attempt.
    pub event_id: String,
    /// Name of the receiver.
    pub endpoint: String,
    /// `scan.finished`, `scan.overridden`, `call.alert` or `call.retracted`.
    pub kind: String,
    /// The job that it is about.
    pub job: JobId,
    /// JSON, byte for byte what is signed and sent.
    #[serde(skip)]
    pub payload: Vec<u8>,
    /// Attempts so far.
    pub attempts: u32,
    /// When the event came to be.
    pub created_at: UnixMs,
    /// When it is due.
    pub next_at: UnixMs,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

const COLUMNS: &str = "seq, event_id, endpoint, kind, job, payload, attempts, created_ms, next_ms, error";

impl Delivery {
    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            event_id: row.get(1)?,
            endpoint: row.get(2)?,
            kind: row.get(3)?,
            job: row.get(4)?,
            payload: row.get(5)?,
            attempts: row.get(6)?,
            created_at: row.get(7)?,
            next_at: row.get(8)?,
            error: row.get(9)?,
        })
    }
}

/// Adds an event of `kind` about `job`, as it stands now, for each of `endpoints`.
///
/// # Errors
/// The database's.
pub fn add(tx: &Connection, job: &JobId, kind: &str, endpoints: &[String], now: UnixMs) -> Result<()> {
    let Some(job) = jobs::get(tx, job)?.filter(|_| !endpoints.is_empty()) else { return Ok(()) };
    add_data(tx, &job.id, kind, &job, endpoints, now)
}

/// [`add`], with data of its own, which must hold the job's.
///
/// # Errors
/// The database's.
pub fn add_data(
    tx: &Connection,
    job: &JobId,
    kind: &str,
    data: &impl Serialize,
    endpoints: &[String],
    now: UnixMs,
) -> Result<()> {
    let event_id = format!("evt_{}", random_hex::<16>());
    let payload = serde_json::to_vec(&Payload { r#type: kind, timestamp: now, data }).expect("strings and numbers");
    let mut insert = tx.prepare_cached(
        "INSERT INTO outbox (event_id, endpoint, kind, job, payload, created_ms, next_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )?;
    for endpoint in endpoints {
        insert.execute(params![event_id, endpoint, kind, job, payload, now])?;
    }
    Ok(())
}

/// Up to `limit` events for `endpoint` whose time has come, oldest first.
///
/// # Errors
/// The database's.
pub fn due(connection: &Connection, endpoint: &str, now: UnixMs, limit: u32) -> Result<Vec<Delivery>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM outbox WHERE state = 'pending' AND endpoint = ?1 AND next_ms <= ?2
         ORDER BY next_ms, seq LIMIT ?3"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params![endpoint, now, limit], Delivery::of_row)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
}

/// When the next event for `endpoint` is due.
///
/// # Errors
/// The database's.
pub fn next_due(connection: &Connection, endpoint: &str) -> Result<Option<UnixMs>> {
    let mut select =
        connection.prepare_cached("SELECT min(next_ms) FROM outbox WHERE state = 'pending' AND endpoint = ?1")?;
    Ok(select.query_row([endpoint], |row| row.get(0))?)
}

/// Notes that the receiver has it.
///
/// # Errors
/// The database's.
pub fn delivered(tx: &Connection, seq: i64, now: UnixMs) -> Result<()> {
    tx.prepare_cached(
        "UPDATE outbox SET state = 'delivered', attempts = attempts + 1, done_ms = ?2, error = NULL WHERE seq = ?1",
    )?
    .execute(params![seq, now])?;
    Ok(())
}

/// Notes that an attempt failed; without a `retry_at` the event is dead.
///
/// # Errors
/// The database's.
pub fn failed(tx: &Connection, seq: i64, error: &str, retry_at: Option<UnixMs>, now: UnixMs) -> Result<()> {
    tx.prepare_cached(
        "UPDATE outbox SET attempts = attempts + 1, error = ?2, next_ms = coalesce(?3, next_ms),
         state = CASE WHEN ?3 IS NULL THEN 'dead' ELSE 'pending' END,
         done_ms = CASE WHEN ?3 IS NULL THEN ?4 END WHERE seq = ?1",
    )?
    .execute(params![seq, error, retry_at, now])?;
    Ok(())
}

/// Events that were given up, newest first, after row `before` (0: from the newest).
///
/// # Errors
/// The database's.
pub fn dead(connection: &Connection, before: i64, limit: u32) -> Result<Vec<Delivery>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM outbox WHERE state = 'dead' AND (?1 = 0 OR seq < ?1) ORDER BY seq DESC LIMIT ?2"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params![before, limit], Delivery::of_row)?;
    Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
}

/// Lets a dead event be tried again. Whether there was one.
///
/// # Errors
/// The database's.
pub fn revive(tx: &Connection, seq: i64, now: UnixMs) -> Result<bool> {
    let sql = "UPDATE outbox SET state = 'pending', attempts = 0, next_ms = ?2, done_ms = NULL
               WHERE seq = ?1 AND state = 'dead'";
    Ok(tx.execute(sql, params![seq, now])? > 0)
}

/// How many events wait, and how many are dead.
///
/// # Errors
/// The database's.
pub fn counts(connection: &Connection) -> Result<(u64, u64)> {
    let count = |state: &str| -> Result<u64> {
        let mut select = connection.prepare_cached("SELECT count(*) FROM outbox WHERE state = ?1")?;
        Ok(select.query_row([state], |row| row.get::<_, i64>(0))?.unsigned_abs())
    };
    Ok((count("pending")?, count("dead")?))
}

/// Removes delivered events that are older than `before`. Dead ones stay until somebody looks.
///
/// # Errors
/// The database's.
pub fn purge(tx: &Connection, before: UnixMs) -> Result<usize> {
    Ok(tx.execute("DELETE FROM outbox WHERE state = 'delivered' AND done_ms < ?1", [before])?)
}
