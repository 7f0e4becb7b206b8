//! Verdicts: reached, reached again under another policy, overridden. Callers run these inside [`super::Store::write`].

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    JobId, Result, Summary, UnixMs,
    audit::{self, Entry},
    jobs, outbox,
    types::key_of,
};
use crate::policy::Decision;

/// A verdict with all that is stored of it.
#[derive(Debug, Clone)]
pub struct NewVerdict {
    /// Of this job.
    pub job: JobId,
    /// The line that `scan --format jsonl` prints, with its line break.
    pub result: Vec<u8>,
    /// [`crate::scan::Screening`] as JSON; `None` where the stored evidence was judged again.
    pub evidence: Option<Vec<u8>>,
    /// What is looked for.
    pub summary: Summary,
    /// Who asked for it.
    pub actor: String,
    /// Receivers of the event; see [`outbox`].
    pub endpoints: Vec<String>,
}

/// Whether the audio of a judged job stays in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For as long as `retention` says.
    Audio,
    /// It may be removed once this is committed.
    Nothing,
}

/// Ends a running job with its verdict: verdict, job, events and audit row together. `None` where the job is not
/// running any more (deleted, or ended already): nothing is stored then.
///
/// # Errors
/// The database's.
pub fn finish(tx: &Connection, verdict: &NewVerdict, keep: Keep, now: UnixMs) -> Result<Option<u32>> {
    let audio = if keep == Keep::Audio { "audio" } else { "NULL" };
    let sql = format!(
        "UPDATE jobs SET state = 'done', finished_ms = ?2, error = NULL, audio = {audio}
         WHERE id = ?1 AND state = 'running'"
    );
    if tx.prepare_cached(&sql)?.execute(params![verdict.job, now])? == 0 {
        return Ok(None);
    }
    add(tx, verdict, "scan.judged", now).map(Some)
}

/// Adds another verdict to a job that is done; `None` where it is not.
///
/// # Errors
/// The database's.
pub fn rejudge(tx: &Connection, verdict: &NewVerdict, now: UnixMs) -> Result<Option<u32>> {
    let mut is_done = tx.prepare_cached("SELECT 1 FROM jobs WHERE id = ?1 AND state = 'done'")?;
    if !is_done.exists([&verdict.job])? {
        return Ok(None);
    }
    add(tx, verdict, "scan.rejudged", now).map(Some)
}

/// Sends a job that is done back to the queue, to be heard again from its kept audio under `policy`. Whether it waits now.
///
/// # Errors
/// The database's.
pub fn hear_again(tx: &Connection, id: &JobId, policy: &str, actor: &str, now: UnixMs) -> Result<bool> {
    let sql = "UPDATE jobs SET state = 'queued', policy = ?2, attempts = 0
               WHERE id = ?1 AND state = 'done' AND audio IS NOT NULL";
    if tx.execute(sql, params![id, policy])? == 0 {
        return Ok(false);
    }
    let entry = Entry { policy: Some(policy), ..Entry::new(now, actor, "scan.heard_again").on(id) };
    audit::append(tx, &entry)?;
    Ok(true)
}

fn add(tx: &Connection, verdict: &NewVerdict, action: &str, now: UnixMs) -> Result<u32> {
    let NewVerdict { job, summary, .. } = verdict;
    let revision: u32 = tx
        .prepare_cached(
            "UPDATE jobs SET revision = revision + 1, policy = ?2, decision = ?3, reason = ?4, llr = ?5, action = ?6
             WHERE id = ?1 RETURNING revision",
        )?
        .query_row(
            params![job, summary.policy, summary.decision, summary.reason, summary.llr, summary.action],
            |row| row.get(0),
        )?;
    tx.prepare_cached(
        "INSERT INTO verdicts (job, revision, result, evidence, decision, reason, llr, policy, policy_sha256,
         model_id, model_sha256, actor, judged_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        job,
        revision,
        verdict.result,
        verdict.evidence,
        summary.decision,
        summary.reason,
        summary.llr,
        summary.policy,
        summary.policy_sha256,
        summary.model_id,
        summary.model_sha256,
        verdict.actor,
        now
    ])?;
    outbox::add(tx, job, "scan.finished", &verdict.endpoints, now)?;
    let sha256 = jobs::get(tx, job)?.map(|job| job.sha256);
    let entry = Entry {
        sha256: sha256.as_deref(),
        policy: Some(&summary.policy),
        policy_sha256: Some(&summary.policy_sha256),
        model_sha256: Some(&summary.model_sha256),
        decision: Some(key_of(&summary.decision)),
        revision: Some(revision),
        ..Entry::new(now, &verdict.actor, action).on(job)
    };
    audit::append(tx, &entry)?;
    Ok(revision)
}

/// A person's decision over the machine's.
#[derive(Debug, Clone)]
pub struct NewOverride {
    /// On this job.
    pub job: JobId,
    /// The person's decision.
    pub decision: Decision,
    /// Why.
    pub note: String,
    /// Who.
    pub actor: String,
    /// Receivers of the event; see [`outbox`].
    pub endpoints: Vec<String>,
}

/// Notes a person's decision on a job that is done. Whether there was such a job.
///
/// # Errors
/// The database's.
pub fn overrule(tx: &Connection, new: &NewOverride, now: UnixMs) -> Result<bool> {
    let changed = tx
        .prepare_cached(
            "UPDATE jobs SET override_decision = ?2, override_note = ?3, override_by = ?4, override_ms = ?5
             WHERE id = ?1 AND state = 'done'",
        )?
        .execute(params![new.job, new.decision, new.note, new.actor, now])?;
    if changed == 0 {
        return Ok(false);
    }
    let sha256 = jobs::get(tx, &new.job)?.map(|job| job.sha256);
    outbox::add(tx, &new.job, "scan.overridden", &new.endpoints, now)?;
    let entry = Entry {
        sha256: sha256.as_deref(),
        decision: Some(key_of(&new.decision)),
        note: Some(&new.note),
        ..Entry::new(now, &new.actor, "scan.overridden").on(&new.job)
    };
    audit::append(tx, &entry)?;
    Ok(true)
}

/// The result line of `revision`, or of the latest.
///
/// # Errors
/// The database's.
pub fn result(connection: &Connection, job: &JobId, revision: Option<u32>) -> Result<Option<Vec<u8>>> {
    let mut select = connection.prepare_cached(
        "SELECT result FROM verdicts WHERE job = ?1 AND (?2 IS NULL OR revision = ?2) ORDER BY revision DESC LIMIT 1",
    )?;
    Ok(select.query_row(params![job, revision], |row| row.get(0)).optional()?)
}

/// What judged a job last: the policy's SHA-256, the model's id and its SHA-256.
///
/// # Errors
/// The database's.
pub fn judged_by(connection: &Connection, job: &JobId) -> Result<Option<[String; 3]>> {
    let mut select = connection.prepare_cached(
        "SELECT policy_sha256, model_id, model_sha256 FROM verdicts WHERE job = ?1 ORDER BY revision DESC LIMIT 1",
    )?;
    Ok(select.query_row([job], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).optional()?)
}

/// Evidence that can be judged again, with the model that it is of.
#[derive(Debug, Clone)]
pub struct StoredEvidence {
    /// [`crate::scan::Screening`] as JSON.
    pub evidence: Vec<u8>,
    /// Of the model.
    pub model_id: String,
    /// Of the model.
    pub model_sha256: String,
}

/// The latest evidence on a job.
///
/// # Errors
/// The database's.
pub fn evidence(connection: &Connection, job: &JobId) -> Result<Option<StoredEvidence>> {
    let mut select = connection.prepare_cached(
        "SELECT evidence, model_id, model_sha256 FROM verdicts WHERE job = ?1 AND evidence IS NOT NULL
         ORDER BY revision DESC LIMIT 1",
    )?;
    let found = select.query_row([job], |row| {
        Ok(StoredEvidence { evidence: row.get(0)?, model_id: row.get(1)?, model_sha256: row.get(2)? })
    });
    Ok(found.optional()?)
}
