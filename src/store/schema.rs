//! The schema, as the steps that lead to it. A step is never changed once released: a new one is added.

use std::path::Path;

use rusqlite::Connection;

use super::{Result, StoreError};

/// Step `n` leads from `user_version` `n` to `n + 1`.
pub(super) const STEPS: [&str; 4] = [
    // 1: jobs with their verdicts, events to deliver, the audit log.
    "CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
        name TEXT NOT NULL,
        label TEXT,
        source TEXT NOT NULL,
        actor TEXT NOT NULL,
        policy TEXT NOT NULL,
        audio TEXT,                          -- 'spool', an absolute path, or NULL once it is gone
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        accepted_ms INTEGER NOT NULL,
        started_ms INTEGER,
        finished_ms INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        revision INTEGER NOT NULL DEFAULT 0, -- of the latest verdict; 0: none yet
        decision TEXT,
        reason TEXT,
        llr REAL,
        action TEXT,
        override_decision TEXT,
        override_note TEXT,
        override_by TEXT,
        override_ms INTEGER
    ) STRICT;
    CREATE INDEX jobs_open ON jobs (state, attempts, seq) WHERE state IN ('queued', 'running');
    CREATE INDEX jobs_decision ON jobs (decision, seq);
    CREATE INDEX jobs_source ON jobs (source, seq);
    CREATE INDEX jobs_label ON jobs (label, seq) WHERE label IS NOT NULL;
    CREATE INDEX jobs_finished ON jobs (finished_ms) WHERE finished_ms IS NOT NULL;
    CREATE TABLE verdicts (
        seq INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        revision INTEGER NOT NULL,
        result BLOB NOT NULL,                -- the line that `scan --format jsonl` prints
        evidence BLOB,                       -- what it was judged from; NULL where an earlier revision's was used
        decision TEXT NOT NULL,
        reason TEXT,
        llr REAL,
        policy TEXT NOT NULL,
        policy_sha256 TEXT NOT NULL,
        model_id TEXT NOT NULL,
        model_sha256 TEXT NOT NULL,
        actor TEXT NOT NULL,
        judged_ms INTEGER NOT NULL,
        UNIQUE (job, revision)
    ) STRICT;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        kind TEXT NOT NULL,
        job TEXT NOT NULL,
        payload BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL,
        next_ms INTEGER NOT NULL,
        done_ms INTEGER,
        error TEXT,
        UNIQUE (event_id, endpoint)
    ) STRICT;
    CREATE INDEX outbox_due ON outbox (endpoint, next_ms) WHERE state = 'pending';
    CREATE INDEX outbox_done ON outbox (state, done_ms) WHERE state <> 'pending';
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        job TEXT,
        content TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE INDEX audit_job ON audit (job) WHERE job IS NOT NULL;
    CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
        BEGIN SELECT RAISE (ABORT, 'the audit log is only ever added to'); END;
    CREATE TRIGGER audit_keeps_content BEFORE UPDATE ON audit
        BEGIN SELECT RAISE (ABORT, 'the audit log is only ever added to'); END;",
    // 2: submissions that may be repeated.
    "CREATE TABLE idempotency (
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (scope, key)
    ) STRICT;
    CREATE INDEX idempotency_job ON idempotency (job);
    CREATE INDEX idempotency_created ON idempotency (created_ms);",
    // 3: live calls.
    "CREATE TABLE calls (
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        transport TEXT NOT NULL,
        external_id TEXT,
        peer TEXT NOT NULL,
        metadata TEXT NOT NULL,              -- JSON, text by text
        ending TEXT,                         -- JSON
        parties TEXT                         -- JSON, names in the order of the channels
    ) STRICT;
    CREATE TABLE call_events (
        seq INTEGER PRIMARY KEY,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        party TEXT NOT NULL,
        body TEXT NOT NULL                   -- the event as followers saw it, JSON
    ) STRICT;
    CREATE INDEX call_events_job ON call_events (job);",
    // 4: what is shown of judged files.
    "CREATE TABLE tags (
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        tags TEXT NOT NULL                   -- what the container says, JSON
    ) STRICT;
    CREATE TABLE pictures (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        channel INTEGER NOT NULL,
        top_hz INTEGER NOT NULL,
        end_secs REAL NOT NULL,
        png BLOB NOT NULL,
        UNIQUE (job, channel)
    ) STRICT;",
];

/// Brings `connection` up to date, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ours = STEPS.len() as i64;
    if found > ours {
        return Err(StoreError::Newer { path: path.to_owned(), found, ours });
    }
    for (index, step) in STEPS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
