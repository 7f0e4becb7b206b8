//! Lists of jobs: filtered, newest first, page by page.

use rusqlite::{Connection, ToSql};

use super::{Job, Result, State, UnixMs};
use crate::policy::Decision;

/// What to list; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Accepted at or after this.
    pub since: Option<UnixMs>,
    /// Accepted before this.
    pub until: Option<UnixMs>,
    /// With this decision of the machine's.
    pub decision: Option<Decision>,
    /// In this state.
    pub state: Option<State>,
    /// From this source.
    pub source: Option<String>,
    /// With this label.
    pub label: Option<String>,
    /// With this text in the file name, or as the beginning of the audio's SHA-256.
    pub text: Option<String>,
    /// Row number that the page begins under.
    pub before: Option<i64>,
    /// Only what is done or was given up.
    pub is_over: bool,
}

/// Up to `limit` jobs.
///
/// # Errors
/// The database's.
pub fn list(connection: &Connection, filter: &Filter, limit: u32) -> Result<Vec<Job>> {
    let Filter { since, until, decision, state, source, label, text, before, is_over } = filter;
    let text = text.as_ref().map(|text| text.to_ascii_lowercase());
    let asked: [(&str, Option<&dyn ToSql>); 8] = [
        ("accepted_ms >= ?", since.as_ref().map(|value| value as _)),
        ("accepted_ms < ?", until.as_ref().map(|value| value as _)),
        ("decision = ?", decision.as_ref().map(|value| value as _)),
        ("state = ?", state.as_ref().map(|value| value as _)),
        ("source = ?", source.as_ref().map(|value| value as _)),
        ("label = ?", label.as_ref().map(|value| value as _)),
        (
            "EXISTS (SELECT 1 FROM (SELECT ? AS wanted) WHERE instr(lower(name), wanted) OR instr(sha256, wanted) = 1)",
            text.as_ref().map(|value| value as _),
        ),
        ("seq < ?", before.as_ref().map(|value| value as _)),
    ];
    let asked = asked.iter().filter_map(|(condition, value)| value.map(|value| (*condition, value)));
    let (mut conditions, values): (Vec<&str>, Vec<&dyn ToSql>) = asked.unzip();
    if *is_over {
        conditions.push("state IN ('done', 'failed')");
    }
    let wanted = if conditions.is_empty() { "1".into() } else { conditions.join(" AND ") };
    let sql = format!("SELECT {} FROM jobs WHERE {wanted} ORDER BY seq DESC LIMIT {limit}", Job::COLUMNS);
    let mut select = connection.prepare_cached(&sql)?;
    let jobs = select.query_map(values.as_slice(), Job::of_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(jobs)
}
