//! What rows are made of.

use std::{fmt, path::PathBuf, time::SystemTime};

use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize, Serializer};

use crate::policy::{Action, Decision, Reason};

/// Milliseconds since 1970 by the wall clock: for people to read, never to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// What the wall clock says.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `self` less `ms`.
    pub fn minus(self, ms: i64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// `self` and `ms`.
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Reads `2026-11-24T10:59:52Z` and the like.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<jiff::Timestamp>();
        parsed.map(|at| Self(at.as_millisecond())).map_err(|_| "must be a time such as 2026-11-24T10:59:52Z".into())
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "1970-01-01T00:00:00.000Z"),
        }
    }
}

impl Serialize for UnixMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ToSql for UnixMs {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for UnixMs {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

/// Random lower-case hexadecimal digits, two for each of `N` bytes.
///
/// # Panics
/// The system has no random numbers, without which nothing may go on.
pub fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every supported system has a source of random numbers");
    crate::model::hex(&bytes)
}

/// Names a job to its clients: 32 hexadecimal digits that cannot be guessed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// A new one.
    pub fn random() -> Self {
        Self(random_hex::<16>())
    }

    /// Reads one that came from outside.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for JobId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for JobId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

/// Where a job is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Has a verdict.
    Done,
    /// Given up, see `error`.
    Failed,
}

/// An enum that is stored under its name in JSON.
macro_rules! stored_by_name {
    ($($kind:ty),+) => {$(
        impl ToSql for $kind {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(key_of(self)))
            }
        }

        impl FromSql for $kind {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let name = serde_json::Value::from(value.as_str()?);
                serde_json::from_value(name).map_err(|e| FromSqlError::Other(e.into()))
            }
        }
    )+};
}

stored_by_name!(State, Decision, Reason, Action);

/// The name of a unit variant in JSON.
pub(super) fn key_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Where a job's audio is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audio {
    /// In the spool, which owns it.
    Spool,
    /// In a file that belongs to somebody else and is never removed here.
    At(PathBuf),
}

impl ToSql for Audio {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Spool => Ok(ToSqlOutput::from("spool")),
            Self::At(path) => match path.to_str().filter(|_| path.is_absolute()) {
                Some(text) => Ok(ToSqlOutput::from(text)),
                None => Err(rusqlite::Error::InvalidPath(path.clone())),
            },
        }
    }
}

impl FromSql for Audio {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value.as_str()? {
            "spool" => Self::Spool,
            path => Self::At(path.into()),
        })
    }
}

/// A job to be accepted. Its audio is on disk already.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Made by [`JobId::random`].
    pub id: JobId,
    /// File name as it was submitted: `path` of the result.
    pub name: String,
    /// The client's own mark.
    pub label: Option<String>,
    /// Where it came from: `api`, `watch:NAME`, or what the client said.
    pub source: String,
    /// Who submitted it.
    pub actor: String,
    /// Name of the policy.
    pub policy: String,
    /// Where the audio is.
    pub audio: Audio,
    /// Size of the audio.
    pub bytes: u64,
    /// Of the audio.
    pub sha256: String,
    /// `Idempotency-Key`, if one came with it; it counts per actor.
    pub idempotency_key: Option<String>,
}

/// What a person decided instead.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Override {
    /// The person's decision.
    pub decision: Decision,
    /// Why.
    pub note: String,
    /// Who.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: UnixMs,
}

/// The part of a verdict that is looked for and told on.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The file's decision.
    pub decision: Decision,
    /// Why, where inconclusive.
    pub reason: Option<Reason>,
    /// As the result shows it.
    pub llr: Option<f64>,
    /// What the policy says to do.
    pub action: Action,
    /// Name of the policy.
    pub policy: String,
    /// Of the policy's thresholds and actions.
    pub policy_sha256: String,
    /// Of the model.
    pub model_id: String,
    /// Of the model.
    pub model_sha256: String,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Scan)]
pub struct Job {
    /// Names it.
    #[schema(value_type = String, example = "0f8fad5bd9cb469fa165708677289500")]
    pub id: JobId,
    /// Where it is on its way.
    pub state: State,
    /// File name as submitted.
    pub name: String,
    /// The client's own mark.
    pub label: Option<String>,
    /// Where it came from.
    pub source: String,
    /// Who submitted it.
    pub submitted_by: String,
    /// Name of the policy that judges or judged it.
    pub policy: String,
    /// Size of the audio.
    pub bytes: u64,
    /// Of the audio.
    pub sha256: String,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: UnixMs,
    /// When a worker took it last.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<UnixMs>,
    /// When it was done or given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<UnixMs>,
    /// Why it was given up.
    pub error: Option<String>,
    /// Whether its audio is still here.
    pub audio_kept: bool,
    /// Number of the latest verdict; 0 before the first.
    pub revision: u32,
    /// The machine's decision.
    pub decision: Option<Decision>,
    /// Why, where inconclusive.
    pub reason: Option<Reason>,
    /// Of the worst channel.
    pub llr: Option<f64>,
    /// What the policy says to do.
    pub action: Option<Action>,
    /// What a person decided instead.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// Where the audio is.
    #[serde(skip)]
    pub audio: Option<Audio>,
    /// Row number: orders jobs by acceptance whatever the clock did.
    #[serde(skip)]
    pub seq: i64,
    /// How often a worker took it.
    #[serde(skip)]
    pub attempts: u32,
}

impl Job {
    /// Columns that [`Job::of_row`] reads, in its order.
    pub(super) const COLUMNS: &'static str = "id, state, name, label, source, actor, policy, bytes, sha256, \
        accepted_ms, started_ms, finished_ms, error, audio, revision, decision, reason, llr, action, \
        override_decision, override_note, override_by, override_ms, seq, attempts";

    pub(super) fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let audio: Option<Audio> = row.get(13)?;
        let overridden = match row.get::<_, Option<Decision>>(19)? {
            None => None,
            Some(decision) => Some(Override { decision, note: row.get(20)?, by: row.get(21)?, at: row.get(22)? }),
        };
        Ok(Self {
            id: row.get(0)?,
            state: row.get(1)?,
            name: row.get(2)?,
            label: row.get(3)?,
            source: row.get(4)?,
            submitted_by: row.get(5)?,
            policy: row.get(6)?,
            bytes: row.get::<_, i64>(7)?.unsigned_abs(),
            sha256: row.get(8)?,
            accepted_at: row.get(9)?,
            started_at: row.get(10)?,
            finished_at: row.get(11)?,
            error: row.get(12)?,
            audio_kept: audio.is_some(),
            audio,
            revision: row.get(14)?,
            decision: row.get(15)?,
            reason: row.get(16)?,
            llr: row.get(17)?,
            action: row.get(18)?,
            overridden,
            seq: row.get(23)?,
            attempts: row.get(24)?,
        })
    }
}
