//! The audit log: who did what to which scan, as a chain of hashes.
//!
//! Each row holds its content as one line of JSON with a fixed order of keys, and SHA-256 over the hash before it, a line
//! break and that content. A row that is changed, taken out or put in breaks the chain from there on. Rows cut off at
//! the end leave a chain that is whole but shorter: note `head` somewhere else, and [`verify`] will ask for it.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{JobId, Result, UnixMs};
use crate::model::sha256_hex;

/// Hash before the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One thing that was done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Entry<'a> {
    /// When, RFC 3339.
    pub at: String,
    /// Who: a token's name, `unix:uid=N`, `watch:NAME` or `clonewatch`.
    pub actor: &'a str,
    /// What: `scan.accepted`, `scan.judged`, `scan.overridden`, …
    pub action: &'a str,
    /// Which scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<&'a str>,
    /// Of the audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<&'a str>,
    /// Name of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    /// Of the policy's thresholds and actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_sha256: Option<&'a str>,
    /// Of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<&'a str>,
    /// The machine's, or the person's who overrides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Revision of the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// In the person's own words, or what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// `actor` did `action`.
    pub fn new(now: UnixMs, actor: &'a str, action: &'a str) -> Self {
        Self { at: now.to_string(), actor, action, ..Self::default() }
    }

    /// … to `job`.
    pub fn on(mut self, job: &'a JobId) -> Self {
        self.scan = Some(job.as_str());
        self
    }
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: i64,
    /// The entry, JSON.
    pub content: String,
    /// Hash of the row before.
    pub previous: String,
    /// Of `previous`, a line break and `content`.
    pub hash: String,
}

impl Record {
    fn of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { seq: row.get(0)?, content: row.get(1)?, previous: row.get(2)?, hash: row.get(3)? })
    }
}

/// The last row's number and hash: what to note elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Head {
    /// Number of the last row; 0 where there is none.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// Adds a row.
///
/// # Errors
/// The database's.
pub fn append(connection: &Connection, entry: &Entry<'_>) -> Result<()> {
    let head = head(connection)?;
    let content = serde_json::to_string(entry).expect("strings and numbers");
    let hash = link(&head.hash, &content);
    let mut insert = connection
        .prepare_cached("INSERT INTO audit (seq, job, content, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![head.seq + 1, entry.scan, content, head.hash, hash])?;
    Ok(())
}

/// The last row.
///
/// # Errors
/// The database's.
pub fn head(connection: &Connection) -> Result<Head> {
    let mut last = connection.prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?;
    let found = last.query_row([], |row| Ok(Head { seq: row.get(0)?, hash: row.get(1)? })).optional()?;
    Ok(found.unwrap_or_else(|| Head { seq: 0, hash: GENESIS.into() }))
}

/// Up to `limit` rows after row `after`, of one scan or of all.
///
/// # Errors
/// The database's.
pub fn after(connection: &Connection, after: i64, job: Option<&JobId>, limit: u32) -> Result<Vec<Record>> {
    let mut select = connection.prepare_cached(
        "SELECT seq, content, previous, hash FROM audit
         WHERE seq > ?1 AND (?2 IS NULL OR job = ?2) ORDER BY seq LIMIT ?3",
    )?;
    Ok(select.query_map(params![after, job, limit], Record::of_row)?.collect::<rusqlite::Result<_>>()?)
}

/// Up to `limit` rows before row `before` (0: from the last), newest first.
///
/// # Errors
/// The database's.
pub fn before(connection: &Connection, before: i64, limit: u32) -> Result<Vec<Record>> {
    let mut select = connection.prepare_cached(
        "SELECT seq, content, previous, hash FROM audit WHERE ?1 = 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2",
    )?;
    Ok(select.query_map(params![before, limit], Record::of_row)?.collect::<rusqlite::Result<_>>()?)
}

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// All rows follow from each other.
    Whole(Head),
    /// The first row that does not.
    Broken {
        /// Its number, or the number that is missing.
        seq: i64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Walks along the whole chain; `expected` is a row noted earlier that must still be there.
///
/// # Errors
/// The database's.
pub fn verify(connection: &Connection, expected: Option<&Head>) -> Result<Chain> {
    const BATCH: u32 = 1_000;
    let mut head = Head { seq: 0, hash: GENESIS.into() };
    loop {
        let records = after(connection, head.seq, None, BATCH)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            if let Some(why) = fault(&head, &record, expected) {
                return Ok(Chain::Broken { seq: head.seq + 1, why });
            }
            head = Head { seq: record.seq, hash: record.hash };
        }
    }
    match expected.filter(|expected| expected.seq > head.seq) {
        Some(_) => Ok(Chain::Broken { seq: head.seq + 1, why: "missing: the log was cut off here" }),
        None => Ok(Chain::Whole(head)),
    }
}

fn fault(head: &Head, record: &Record, expected: Option<&Head>) -> Option<&'static str> {
    if record.seq != head.seq + 1 {
        Some("missing: a row was taken out")
    } else if record.previous != head.hash {
        Some("does not follow from the row before")
    } else if record.hash != link(&record.previous, &record.content) {
        Some("content was changed")
    } else if expected.is_some_and(|expected| expected.seq == record.seq && expected.hash != record.hash) {
        Some("is not the row that was noted")
    } else {
        None
    }
}

fn link(previous: &str, content: &str) -> String {
    sha256_hex(format!("{previous}\n{content}").as_bytes())
}
