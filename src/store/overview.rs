//! Counts for people who watch the service: verdicts by day, reasons, LLRs, alerts, all as the program decided; and apart
//! from these what people decided instead.

use rusqlite::{Connection, params};

use super::{Result, UnixMs};
use crate::policy::{Decision, Reason};

const DAY_MS: i64 = 86_400_000;
/// LLRs beyond ± this are counted in the outermost bins.
pub const HISTOGRAM_SPAN: f64 = 6.0;
/// Width of a bin in nats.
pub const BIN_NATS: f64 = 0.5;
/// Bins of the histogram.
pub const BINS: usize = 24;

/// One day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its first moment.
    pub begins: UnixMs,
    /// Scans and calls that ended likely cloned.
    pub cloned: u64,
    /// … inconclusive.
    pub inconclusive: u64,
    /// … likely genuine.
    pub genuine: u64,
    /// Alerts on live calls.
    pub alerts: u64,
}

/// What was decided since the first of its days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Oldest first, the last is today.
    pub days: Vec<Day>,
    /// Why verdicts were inconclusive, the most frequent reason first.
    pub reasons: Vec<(Reason, u64)>,
    /// LLRs of files and calls, from −[`HISTOGRAM_SPAN`] on, [`BIN_NATS`] wide each.
    pub histogram: [u64; BINS],
    /// What people decided: the program's decision, the person's, and how often.
    pub people: Vec<(Decision, Decision, u64)>,
}

/// The last `days` days up to `now`.
///
/// # Errors
/// The database's.
pub fn overview(connection: &Connection, days: u32, now: UnixMs) -> Result<Overview> {
    let first_day = now.0.div_euclid(DAY_MS) - i64::from(days) + 1;
    let since = UnixMs(first_day * DAY_MS);
    let empty = |index: u32| Day {
        begins: since.plus(i64::from(index) * DAY_MS),
        cloned: 0,
        inconclusive: 0,
        genuine: 0,
        alerts: 0,
    };
    let mut all: Vec<Day> = (0..days).map(empty).collect();
    let index = |day: i64| usize::try_from(day - first_day).unwrap_or(usize::MAX);
    let mut select = connection.prepare_cached(
        "SELECT finished_ms / 86400000, decision, count(*) FROM jobs
         WHERE finished_ms >= ?1 AND decision IS NOT NULL GROUP BY 1, 2",
    )?;
    let rows = select.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, count(row, 2)?)))?;
    for row in rows {
        let (day, decision, count) = row?;
        // A clock that was set back leaves days to come.
        let Some(day) = all.get_mut(index(day)) else { continue };
        match decision {
            Decision::Spoof => day.cloned += count,
            Decision::Inconclusive => day.inconclusive += count,
            Decision::BonaFide => day.genuine += count,
        }
    }
    let mut select = connection.prepare_cached(
        "SELECT at_ms / 86400000, count(*) FROM call_events WHERE kind = 'call.alert' AND at_ms >= ?1 GROUP BY 1",
    )?;
    for row in select.query_map([since], |row| Ok((row.get(0)?, count(row, 1)?)))? {
        let (day, count) = row?;
        if let Some(day) = all.get_mut(index(day)) {
            day.alerts = count;
        }
    }
    Ok(Overview {
        days: all,
        reasons: reasons(connection, since)?,
        histogram: histogram(connection, since)?,
        people: people(connection, since)?,
    })
}

fn people(connection: &Connection, since: UnixMs) -> Result<Vec<(Decision, Decision, u64)>> {
    let mut select = connection.prepare_cached(
        "SELECT decision, override_decision, count(*) FROM jobs
         WHERE finished_ms >= ?1 AND decision IS NOT NULL AND override_decision IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let rows = select.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, count(row, 2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn reasons(connection: &Connection, since: UnixMs) -> Result<Vec<(Reason, u64)>> {
    let mut select = connection.prepare_cached(
        "SELECT reason, count(*) FROM jobs WHERE finished_ms >= ?1 AND decision = 'inconclusive' AND reason IS NOT NULL
         GROUP BY 1 ORDER BY 2 DESC, 1",
    )?;
    let rows = select.query_map([since], |row| Ok((row.get(0)?, count(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn histogram(connection: &Connection, since: UnixMs) -> Result<[u64; BINS]> {
    let mut select = connection.prepare_cached(
        "SELECT min(CAST((max(llr, -?2) + ?2) / ?3 AS INTEGER), ?4), count(*) FROM jobs
         WHERE finished_ms >= ?1 AND llr IS NOT NULL GROUP BY 1",
    )?;
    let rows = select.query_map(params![since, HISTOGRAM_SPAN, BIN_NATS, BINS as i64 - 1], |row| {
        Ok((row.get::<_, i64>(0)?, count(row, 1)?))
    })?;
    let mut histogram = [0; BINS];
    for row in rows {
        let (bin, count) = row?;
        if let Some(bin) = usize::try_from(bin).ok().and_then(|bin| histogram.get_mut(bin)) {
            *bin = count;
        }
    }
    Ok(histogram)
}

fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted_by_day_reason_and_llr() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection, std::path::Path::new("memory")).unwrap();
        let now = UnixMs(100 * DAY_MS + 5);
        let add = |id: u32, day: i64, decision: &str, reason: Option<&str>, llr: Option<f64>| {
            let sql =
                "INSERT INTO jobs (id, state, name, source, actor, policy, bytes, sha256, accepted_ms, finished_ms,
                       decision, reason, llr) VALUES (?1, 'done', '', '', '', '', 0, '', 0, ?2, ?3, ?4, ?5)";
            connection.execute(sql, params![format!("{id:032}"), day * DAY_MS, decision, reason, llr]).unwrap();
        };
        add(1, 100, "spoof", None, Some(-9.0));
        add(2, 100, "bona_fide", None, Some(6.0));
        add(3, 99, "inconclusive", Some("uncertain"), Some(-0.25));
        add(4, 99, "inconclusive", Some("too_short"), None);
        add(5, 99, "inconclusive", Some("too_short"), None);
        add(6, 98, "spoof", None, Some(-9.0));
        add(7, 101, "spoof", None, Some(0.0));
        let event =
            "INSERT INTO call_events (job, at_ms, kind, party, body) SELECT id, ?1, ?2, '', '' FROM jobs LIMIT 1";
        connection.execute(event, params![100 * DAY_MS, "call.alert"]).unwrap();
        connection.execute(event, params![100 * DAY_MS, "call.retracted"]).unwrap();
        let overrule = "UPDATE jobs SET override_decision = ?2 WHERE id = ?1";
        for (id, decision) in [(1, "bona_fide"), (4, "spoof"), (5, "spoof"), (6, "bona_fide")] {
            connection.execute(overrule, params![format!("{id:032}"), decision]).unwrap();
        }
        let found = overview(&connection, 2, now).unwrap();
        assert_eq!(
            found.people,
            [(Decision::Inconclusive, Decision::Spoof, 2), (Decision::Spoof, Decision::BonaFide, 1)],
            "of the days that are counted"
        );
        let day = |begins: i64, cloned, inconclusive, genuine, alerts| Day {
            begins: UnixMs(begins * DAY_MS),
            cloned,
            inconclusive,
            genuine,
            alerts,
        };
        assert_eq!(found.days, [day(99, 0, 3, 0, 0), day(100, 1, 0, 1, 1)]);
        assert_eq!(found.reasons, [(Reason::TooShort, 2), (Reason::Uncertain, 1)]);
        let bins: Vec<(usize, u64)> = (0..).zip(found.histogram).filter(|(_, count)| *count > 0).collect();
        assert_eq!(bins, [(0, 1), (11, 1), (12, 1), (23, 1)]);
    }
}
