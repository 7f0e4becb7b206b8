//! Live calls: a job of their own kind, what was known of them, and the events worth keeping. Callers run these inside
//! [`super::Store::write`].

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::{
    Job, JobId, Result, UnixMs,
    audit::{self, Entry},
    jobs, outbox,
};
use crate::serve::live::{CallEvent, CallView};

/// A call's rows, from what is known at its start.
#[derive(Debug, Clone)]
pub struct StoredCall {
    id: JobId,
    transport: &'static str,
    external_id: Option<String>,
    peer: String,
    actor: String,
    policy: String,
    metadata: String,
    started: UnixMs,
}

impl StoredCall {
    /// From what is told of it.
    pub fn of(view: &CallView) -> Self {
        Self {
            id: view.id.clone(),
            transport: view.transport.key(),
            external_id: view.external_id.clone(),
            peer: view.peer.clone(),
            actor: view.actor.clone(),
            policy: view.policy.clone(),
            metadata: metadata_of(view),
            started: view.started_at,
        }
    }

    fn name(&self) -> &str {
        self.external_id.as_deref().unwrap_or(self.id.as_str())
    }

    fn source(&self) -> String {
        format!("live:{}", self.transport)
    }
}

fn metadata_of(view: &CallView) -> String {
    serde_json::to_string(&view.metadata).expect("strings")
}

/// A call begins.
///
/// # Errors
/// The database's.
pub fn begin(tx: &Connection, call: &StoredCall) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO jobs (id, state, name, source, actor, policy, bytes, sha256, accepted_ms, started_ms, attempts)
         VALUES (?1, 'running', ?2, ?3, ?4, ?5, 0, '', ?6, ?6, 1)",
    )?
    .execute(params![call.id, call.name(), call.source(), call.actor, call.policy, call.started])?;
    tx.prepare_cached("INSERT INTO calls (job, transport, external_id, peer, metadata) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![call.id, call.transport, call.external_id, call.peer, call.metadata])?;
    let entry =
        Entry { policy: Some(&call.policy), ..Entry::new(call.started, &call.actor, "call.started").on(&call.id) };
    audit::append(tx, &entry)
}

/// A call has ended: what was learnt of it meanwhile. Its verdict comes by [`super::verdicts::finish`].
///
/// # Errors
/// The database's.
pub fn end(tx: &Connection, view: &CallView, bytes: u64, sha256: &str) -> Result<()> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    tx.prepare_cached("UPDATE jobs SET bytes = ?2, sha256 = ?3 WHERE id = ?1")?
        .execute(params![view.id, bytes, sha256])?;
    let ending = serde_json::to_string(&view.ending).expect("names and text");
    let parties: Vec<&str> = view.parties.iter().map(|party| party.view.name.as_str()).collect();
    let parties = serde_json::to_string(&parties).expect("strings");
    tx.prepare_cached("UPDATE calls SET metadata = ?2, ending = ?3, parties = ?4 WHERE job = ?1")?.execute(params![
        view.id,
        metadata_of(view),
        ending,
        parties
    ])?;
    Ok(())
}

/// An event that is kept and told.
#[derive(Debug, Clone)]
pub struct NewCallEvent {
    call: JobId,
    at: UnixMs,
    kind: &'static str,
    party: String,
    body: Value,
    endpoints: Vec<String>,
}

impl NewCallEvent {
    /// From what followers see, for these receivers.
    pub fn of(event: &CallEvent, endpoints: Vec<String>) -> Self {
        Self {
            call: event.call.clone(),
            at: event.at,
            kind: event.kind.key(),
            party: event.party.as_ref().map(|party| party.name.clone()).unwrap_or_default(),
            body: serde_json::to_value(event).expect("strings and numbers"),
            endpoints,
        }
    }
}

/// Keeps an event and has it told. Nothing happens where the call was deleted meanwhile.
///
/// # Errors
/// The database's.
pub fn tell(tx: &Connection, event: &NewCallEvent) -> Result<()> {
    let Some(job) = jobs::get(tx, &event.call)? else { return Ok(()) };
    tx.prepare_cached("INSERT INTO call_events (job, at_ms, kind, party, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![event.call, event.at, event.kind, event.party, event.body.to_string()])?;
    let data = Told { job: &job, call: &event.body };
    outbox::add_data(tx, &job.id, event.kind, &data, &event.endpoints, event.at)?;
    let note = format!("party {}", event.party);
    audit::append(tx, &Entry { note: Some(&note), ..Entry::new(event.at, "clonewatch", event.kind).on(&event.call) })
}

/// What receivers get: the scan as in every event, and what happened to the call.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    job: &'a Job,
    call: &'a Value,
}

/// Calls that went on when the process ended: given up, for their audio is gone. How many there were.
///
/// # Errors
/// The database's.
pub fn give_up_open(tx: &Connection, now: UnixMs) -> Result<usize> {
    let mut select = tx.prepare("SELECT id FROM jobs WHERE state = 'running' AND id IN (SELECT job FROM calls)")?;
    let open: Vec<JobId> = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in &open {
        jobs::fail(tx, id, "the service ended during the call", now)?;
    }
    Ok(open.len())
}

/// A call as it is kept.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct KeptCall {
    /// Its scan.
    #[serde(flatten)]
    pub scan: Job,
    /// What brought it.
    pub transport: String,
    /// The other side's name for it.
    pub external_id: Option<String>,
    /// Who brought it: an address.
    pub peer: String,
    /// What the other side said of it.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// How it ended; null where it did not, or the service ended first.
    #[schema(value_type = Option<Object>)]
    pub ending: Option<Value>,
    /// Names of its parties, in the order of the result's channels.
    #[schema(value_type = Vec<String>)]
    pub party_names: Value,
    /// Alerts and retractions, oldest first.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Value>,
}

impl KeptCall {
    /// [`KeptCall::party_names`].
    pub fn parties(&self) -> Vec<String> {
        let names = self.party_names.as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// A call with its events.
///
/// # Errors
/// The database's.
pub fn get(connection: &Connection, id: &JobId) -> Result<Option<KeptCall>> {
    let Some(scan) = jobs::get(connection, id)? else { return Ok(None) };
    let json = |row: &Row<'_>, column: usize| -> rusqlite::Result<Option<Value>> {
        Ok(row.get::<_, Option<String>>(column)?.and_then(|text| serde_json::from_str(&text).ok()))
    };
    let events: Vec<Value> = connection
        .prepare_cached("SELECT body FROM call_events WHERE job = ?1 ORDER BY seq")?
        .query_map([id], |row| json(row, 0))?
        .filter_map(rusqlite::Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    let kept = connection
        .prepare_cached("SELECT transport, external_id, peer, metadata, ending, parties FROM calls WHERE job = ?1")?
        .query_row([id], |row| {
            Ok(KeptCall {
                scan,
                transport: row.get(0)?,
                external_id: row.get(1)?,
                peer: row.get(2)?,
                metadata: json(row, 3)?.unwrap_or_default(),
                ending: json(row, 4)?.filter(|ending| !ending.is_null()),
                party_names: json(row, 5)?.unwrap_or_else(|| Value::Array(Vec::new())),
                events,
            })
        });
    Ok(kept.optional()?)
}
