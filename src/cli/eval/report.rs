//! The numbers of an evaluation: headline rows, then a row per value of every breakdown column.
//!
//! A row of spoofs only (a family, a generator) has no EER of its own. As is usual for attacks in ASVspoof it gets one
//! against *all* bona fide recordings of the set, kept apart from the rest as [`ReportRow::versus_all`].

use std::collections::{BTreeSet, HashMap};

use super::{NO_STOP, protocol::Families, scores::ScoredRow};
use crate::{
    error::{Error, Result},
    metrics::{Class, Panel, Steps, Summary, Trial},
    pool::ordered_map,
};

/// Breakdowns by what the speech gate measured, for calibration per kind of line.
pub const MEASURED_COLUMNS: [&str; 3] = ["measured_band", "measured_snr", "measured_speech"];
/// Asks for no breakdown at all.
const NO_COLUMN: &str = "none";
/// Upper ends of the bands, in Hz: telephone speech ends at 3.4-4 kHz, wideband telephony at 7 kHz (ITU-T G.712, G.722).
const BAND_ENDS_HZ: [(u32, &str); 2] = [(4000, "up_to_4khz"), (7000, "4_to_7khz")];
/// Upper ends of the classes of signal-to-noise ratio, in dB.
const SNR_ENDS_DB: [(f32, &str); 3] = [(16.0, "up_to_16db"), (24.0, "16_to_24db"), (40.0, "24_to_40db")];
/// Upper ends of the classes of speech length, in seconds.
const SPEECH_ENDS_SECS: [(f64, &str); 3] = [(2.0, "up_to_2s"), (3.0, "2_to_3s"), (10.0, "3_to_10s")];
/// Trials of one value of this column err together, so intervals draw them together.
const CLUSTER_COLUMN: &str = "source";
/// Never broken down by unless asked for: identities, free text, measures.
const NOT_BY_DEFAULT: [&str; 6] = ["path", "label", "notes", "license", "pair_id", "duration_s"];
/// More values than this make no table that a person reads.
const MOST_VALUES: usize = 40;

/// All rows, headline first.
#[derive(Debug)]
pub struct Report {
    /// Column whose values are the bootstrap's clusters; `None` where each recording is its own.
    pub clustered_by: Option<&'static str>,
    /// Headline rows have no column.
    pub rows: Vec<ReportRow>,
}

/// Measures of one set of recordings.
#[derive(Debug)]
pub struct ReportRow {
    /// Breakdown column; `None` for the headline.
    pub column: Option<String>,
    /// Value in that column, or `core` or `all`.
    pub value: String,
    /// Of these recordings.
    pub summary: Summary,
    /// Of these spoofs with all bona fide recordings of the set, where the row holds spoofs only.
    pub versus_all: Option<Summary>,
    /// For the DET curve, where both classes are present.
    pub steps: Option<Steps>,
}

impl ReportRow {
    /// What a legend calls it.
    pub fn title(&self) -> String {
        match &self.column {
            Some(column) => format!("{column} = {}", self.value),
            None => self.value.clone(),
        }
    }
}

/// What a row is made of: positions in the list of trials.
struct RowPlan {
    column: Option<String>,
    value: String,
    members: Vec<usize>,
}

/// Checks what `--by` asked for, which needs no scores yet.
///
/// # Errors
/// A column that is not there.
pub fn check_breakdown(columns: &[String], asked: &[String]) -> Result<()> {
    let is_there =
        |name: &String| name == NO_COLUMN || MEASURED_COLUMNS.contains(&name.as_str()) || columns.contains(name);
    match asked.iter().find(|name| !is_there(name)) {
        Some(name) => Err(Error::Usage(format!("--by {name}: no such column – there are {}", columns.join(", ")))),
        None => Ok(()),
    }
}

/// Columns to break down by: those asked for, which [`check_breakdown`] has passed, or all that make a readable table.
pub fn breakdown_columns(columns: &[String], rows: &[ScoredRow], asked: &[String]) -> Vec<String> {
    if asked.iter().any(|name| name == NO_COLUMN) {
        return Vec::new();
    }
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let candidates = columns.iter().filter(|name| !NOT_BY_DEFAULT.contains(&name.as_str())).cloned();
    let readable = |name: &String| {
        let values: BTreeSet<&str> = rows.iter().map(|row| value_of(columns, row, name)).collect();
        // Two recordings a value on average: otherwise it is an identity, not a kind.
        (2..=MOST_VALUES).contains(&values.len()) && 2 * values.len() <= rows.len()
    };
    candidates.chain(MEASURED_COLUMNS.map(str::to_owned)).filter(readable).collect()
}

fn value_of<'a>(columns: &[String], scored: &'a ScoredRow, name: &str) -> &'a str {
    let outcome = &scored.outcome;
    match name {
        "measured_band" => return class_of(outcome.bandwidth_hz, &BAND_ENDS_HZ, "over_7khz"),
        "measured_snr" => return class_of(outcome.snr_db, &SNR_ENDS_DB, "over_40db"),
        "measured_speech" => return class_of(outcome.speech_secs, &SPEECH_ENDS_SECS, "over_10s"),
        _ => {}
    }
    let at = columns.iter().position(|column| column == name);
    at.and_then(|at| scored.row.fields.get(at)).map_or("", String::as_str)
}

/// The name of the first class whose upper end is not below `value`.
fn class_of<T: PartialOrd>(value: Option<T>, ends: &[(T, &'static str)], above: &'static str) -> &'static str {
    let Some(value) = value else { return "unknown" };
    ends.iter().find(|(end, _)| value <= *end).map_or(above, |(_, name)| name)
}

impl Report {
    /// Measures `rows`, overall and by each column of `by`, with `threads` threads.
    pub fn new(columns: &[String], rows: &[ScoredRow], by: &[String], threads: usize) -> Self {
        let clustered_by = columns.iter().any(|column| column == CLUSTER_COLUMN).then_some(CLUSTER_COLUMN);
        let trials = trials(columns, rows, clustered_by);
        let mut plans = headline(columns, rows);
        for name in by {
            plans.extend(breakdown(columns, rows, name));
        }
        let mut measured = Vec::with_capacity(plans.len());
        ordered_map(
            &plans,
            threads,
            &NO_STOP,
            |plan| measure(plan, &trials),
            |_, row| {
                measured.push(row);
                true
            },
        );
        Self { clustered_by, rows: measured }
    }
}

fn trials(columns: &[String], rows: &[ScoredRow], clustered_by: Option<&str>) -> Vec<Trial> {
    let mut clusters: HashMap<&str, u32> = HashMap::new();
    let mut cluster_count = 0;
    let mut trials = Vec::with_capacity(rows.len());
    for scored in rows {
        let source = clustered_by.map_or("", |name| value_of(columns, scored, name));
        // Recordings without a source are clusters of their own.
        let known = clusters.get(source).copied().filter(|_| !source.is_empty());
        let cluster = known.unwrap_or(cluster_count);
        if known.is_none() {
            clusters.insert(source, cluster);
            cluster_count += 1;
        }
        let ScoredRow { row, outcome } = scored;
        trials.push(Trial { class: row.class, llr: outcome.llr.map(f64::from), decision: outcome.decision, cluster });
    }
    trials
}

/// `core` where the protocol tells copies from clones, and `all`.
fn headline(columns: &[String], rows: &[ScoredRow]) -> Vec<RowPlan> {
    let plan = |value: &str, members| RowPlan { column: None, value: value.into(), members };
    let is_core =
        |row: &ScoredRow| row.row.class == Class::BonaFide || Families::Core.contain(value_of(columns, row, "family"));
    let core: Vec<usize> = (0..rows.len()).filter(|&index| is_core(&rows[index])).collect();
    let all = plan("all", (0..rows.len()).collect());
    let core_has_spoofs = core.iter().any(|&index| rows[index].row.class == Class::Spoof);
    if core.len() < rows.len() && core_has_spoofs { vec![plan("core", core), all] } else { vec![all] }
}

/// A plan for every value of a column, numbers by size and words by alphabet.
fn breakdown(columns: &[String], rows: &[ScoredRow], name: &str) -> Vec<RowPlan> {
    let mut members: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        members.entry(value_of(columns, row, name)).or_default().push(index);
    }
    let mut values: Vec<(&str, Vec<usize>)> = members.into_iter().collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::INFINITY);
    values.sort_by(|a, b| number(a.0).total_cmp(&number(b.0)).then_with(|| a.0.cmp(b.0)));
    let plan =
        |(value, members): (&str, Vec<usize>)| RowPlan { column: Some(name.into()), value: value.into(), members };
    values.into_iter().map(plan).collect()
}

fn measure(plan: &RowPlan, trials: &[Trial]) -> ReportRow {
    let mut own: Vec<Trial> = plan.members.iter().map(|&index| trials[index]).collect();
    let summary = Summary::new(&own);
    let steps = Panel::new(&own).steps();
    let versus_all = (summary.bona_fide_count == 0).then(|| {
        own.extend(trials.iter().filter(|trial| trial.class == Class::BonaFide));
        Summary::new(&own)
    });
    let versus_all = versus_all.filter(|summary| summary.bona_fide_count > 0);
    ReportRow { column: plan.column.clone(), value: plan.value.clone(), summary, versus_all, steps }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        cli::eval::{protocol::Row, scores::Outcome},
        metrics::Measure,
        policy::Decision,
    };

    pub(in super::super) fn columns() -> Vec<String> {
        ["path", "label", "family", "source"].map(str::to_owned).to_vec()
    }

    /// Rows of (family, source, LLR); `human` is bona fide, LLR 0 is the policy's threshold.
    pub(in super::super) fn rows(table: &[(&str, &str, f32)]) -> Vec<ScoredRow> {
        let row = |&(family, source, llr): &(&str, &str, f32)| {
            let class = if family == "human" { Class::BonaFide } else { Class::Spoof };
            let outcome = Outcome {
                llr: Some(llr),
                decision: if llr < 0.0 { Decision::Spoof } else { Decision::BonaFide },
                reason: String::new(),
                speech_secs: Some(4.0),
                bandwidth_hz: Some(if llr < 0.0 { 3400 } else { 7600 }),
                snr_db: None,
            };
            let fields = ["x.wav", "-", family, source].map(str::to_owned).to_vec();
            ScoredRow { row: Row { path: "x.wav".into(), class, fields }, outcome }
        };
        table.iter().map(row).collect()
    }

    pub(in super::super) const TABLE: [(&str, &str, f32); 6] = [
        ("human", "s1", 2.0),
        ("human", "s2", 1.0),
        ("tts", "s1", -2.0),
        ("tts", "s3", -1.0),
        ("vocoder", "s1", 3.0),
        ("vocoder", "s2", 1.5),
    ];

    #[test]
    fn headline_and_breakdown_rows() {
        let (columns, rows) = (columns(), rows(&TABLE));
        let report = Report::new(&columns, &rows, &["family".into(), MEASURED_COLUMNS[0].into()], 2);
        let titles: Vec<String> = report.rows.iter().map(ReportRow::title).collect();
        assert_eq!(
            titles,
            [
                "core",
                "all",
                "family = human",
                "family = tts",
                "family = vocoder",
                "measured_band = over_7khz",
                "measured_band = up_to_4khz"
            ]
        );
        let eer = |summary: &Summary| summary.get(Measure::Eer).map(|estimate| estimate.value);
        assert_eq!(eer(&report.rows[0].summary), Some(0.0));
        assert!(eer(&report.rows[1].summary) > Some(0.2));
        assert_eq!(eer(&report.rows[3].summary), None);
        assert_eq!(report.rows[3].versus_all.as_ref().map(eer), Some(Some(0.0)));
        assert!(report.rows[2].versus_all.is_none(), "genuine speech alone is compared with nothing");
        assert_eq!(report.rows[0].summary.cluster_count, 3);
    }

    #[test]
    fn default_columns_are_kinds_not_identities() {
        let (columns, rows) = (columns(), rows(&TABLE));
        assert_eq!(breakdown_columns(&columns, &rows, &[]), ["family", "source", MEASURED_COLUMNS[0]]);
        assert!(breakdown_columns(&columns, &rows, &["none".into()]).is_empty());
        let error = check_breakdown(&columns, &["family".into(), "codec".into()]).unwrap_err();
        assert!(error.to_string().contains("--by codec"));
        assert!(check_breakdown(&columns, &["none".into(), MEASURED_COLUMNS[0].into()]).is_ok());
        assert!(breakdown_columns(&columns, &rows[..3], &[]).is_empty());
    }
}
