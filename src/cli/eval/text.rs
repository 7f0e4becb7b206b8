//! The report as tables for people: headlines with every interval, breakdowns with the columns that matter.

use std::fmt::Write;

use super::{
    Setting,
    report::{Report, ReportRow},
};
use crate::{
    cli::{
        counted,
        render::{printable, rounded},
    },
    metrics::{Estimate, Measure, Summary, Unit},
};

/// Measures and their names in a headline.
const HEADLINE: [(Measure, &str); 15] = [
    (Measure::Eer, "EER (ROC convex hull)"),
    (Measure::MinDcf, "minDCF (ASVspoof 5)"),
    (Measure::ActDcf, "actDCF (ASVspoof 5)"),
    (Measure::Cllr, "Cllr, bits"),
    (Measure::MinCllr, "minCllr, bits"),
    (Measure::CalibrationLoss, "Cllr - minCllr, bits"),
    (Measure::Auc, "AUC"),
    (Measure::SpoofCaught, "spoofs caught"),
    (Measure::SpoofPassed, "spoofs taken for genuine"),
    (Measure::SpoofInconclusive, "spoofs inconclusive"),
    (Measure::GenuinePassed, "genuine passed"),
    (Measure::GenuineFlagged, "genuine called cloned"),
    (Measure::GenuineInconclusive, "genuine inconclusive"),
    (Measure::SpoofMeanLlr, "mean LLR of spoofs"),
    (Measure::GenuineMeanLlr, "mean LLR of genuine"),
];

/// Everything, ready to print.
pub fn tables(setting: &Setting, report: &Report) -> String {
    let mut text = head(setting, report);
    for row in report.rows.iter().filter(|row| row.column.is_none()) {
        text += &headline(row, unit_of(report));
    }
    let broken_down: Vec<&ReportRow> = report.rows.iter().filter(|row| row.column.is_some()).collect();
    for group in broken_down.chunk_by(|a, b| a.column == b.column) {
        text += &breakdown(group);
    }
    if broken_down.iter().any(|row| row.versus_all.is_some()) {
        text += "\n* spoofs only: compared with all genuine recordings of the set\n";
    }
    text
}

fn head(setting: &Setting, report: &Report) -> String {
    let mut text = format!("protocol  {}", printable(&setting.protocol));
    for filter in &setting.filters {
        line(&mut text, format_args!("\n          where {}", printable(filter)));
    }
    text.push('\n');
    line(&mut text, format_args!("families  {}\n", printable(&setting.families)));
    if let Some(join) = setting.join {
        line(&mut text, format_args!("joined    {join} recordings each\n"));
    }
    if let Some(provenance) = &setting.provenance {
        let hash = provenance.model_sha256.get(..12).unwrap_or("");
        line(
            &mut text,
            format_args!(
                "model     {} (sha256 {hash}…), policy {}\n",
                printable(&provenance.model_id),
                printable(&provenance.policy_id)
            ),
        );
    }
    let unit = unit_of(report);
    line(&mut text, format_args!("intervals 95 %, bootstrap by {unit}\n"));
    if setting.failed_count > 0 {
        line(&mut text, format_args!("left out  {} that could not be read\n", setting.failed_count));
    }
    text
}

/// What the bootstrap draws.
fn unit_of(report: &Report) -> &'static str {
    report.clustered_by.unwrap_or("recording")
}

fn headline(row: &ReportRow, unit: &str) -> String {
    let summary = &row.summary;
    let mut text = format!(
        "\n{}: {} genuine, {}, {}",
        row.value,
        summary.bona_fide_count,
        counted(summary.spoof_count, "spoof"),
        counted(summary.cluster_count, unit)
    );
    if summary.unscored_count > 0 {
        line(&mut text, format_args!(", {} not scored", summary.unscored_count));
    }
    text.push('\n');
    for (measure, name) in HEADLINE {
        if let Some(estimate) = summary.get(measure) {
            line(&mut text, format_args!("  {name:<26}{}\n", shown(measure, &estimate)));
        }
    }
    text
}

fn breakdown(group: &[&ReportRow]) -> String {
    let title = group.first().and_then(|row| row.column.as_deref()).unwrap_or("");
    let width = group.iter().map(|row| name_of(row).chars().count()).chain([title.chars().count()]).max().unwrap_or(0);
    let mut text = format!(
        "\n{title:<width$} {:>7} {:>6}  {:<22} {:>6} {:>6}  {:<20} {:<20} {:>8}\n",
        "genuine", "spoofs", "EER %", "Cllr", "loss", "caught %", "false alarms %", "mean LLR"
    );
    for row in group {
        line(
            &mut text,
            format_args!(
                "{:<width$} {:>7} {:>6}  {:<22} {:>6} {:>6}  {:<20} {:<20} {:>8}\n",
                name_of(row),
                row.summary.bona_fide_count,
                row.summary.spoof_count,
                eer_of(row),
                plain(&row.summary, Measure::Cllr),
                plain(&row.summary, Measure::CalibrationLoss),
                percent(&row.summary, Measure::SpoofCaught),
                percent(&row.summary, Measure::GenuineFlagged),
                mean_llr(&row.summary),
            ),
        );
    }
    text
}

fn name_of(row: &ReportRow) -> String {
    if row.value.is_empty() { "(none)".into() } else { printable(&row.value) }
}

fn eer_of(row: &ReportRow) -> String {
    match &row.versus_all {
        Some(summary) => format!("{} *", percent(summary, Measure::Eer)),
        None => percent(&row.summary, Measure::Eer),
    }
}

fn percent(summary: &Summary, measure: Measure) -> String {
    summary.get(measure).map_or_else(|| "-".into(), |estimate| with_interval(&estimate, 100.0, 1))
}

fn plain(summary: &Summary, measure: Measure) -> String {
    summary.get(measure).map_or_else(|| "-".into(), |estimate| format!("{:.2}", rounded(estimate.value, 2)))
}

/// Only where there is one class: two means do not fit one column.
fn mean_llr(summary: &Summary) -> String {
    let means = (summary.get(Measure::SpoofMeanLlr), summary.get(Measure::GenuineMeanLlr));
    match means {
        (Some(only), None) | (None, Some(only)) => format!("{:+.2}", rounded(only.value, 2)),
        _ => "-".into(),
    }
}

fn shown(measure: Measure, estimate: &Estimate) -> String {
    match measure.unit() {
        Unit::Share => format!("{} %", with_interval(estimate, 100.0, 1)),
        Unit::Number => with_interval(estimate, 1.0, 3),
    }
}

fn with_interval(estimate: &Estimate, scale: f64, decimals: i32) -> String {
    let number = |value: f64| {
        let value = rounded(value * scale, decimals);
        if decimals == 1 { format!("{value:.1}") } else { format!("{value:.3}") }
    };
    match &estimate.interval {
        Some(interval) => format!("{} [{}, {}]", number(estimate.value), number(interval.low), number(interval.high)),
        None => number(estimate.value),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    out.write_fmt(text).expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests as samples, *};

    #[test]
    fn tables_hold_headlines_breakdowns_and_the_footnote() {
        let rows = samples::rows(&samples::TABLE);
        let report = Report::new(&samples::columns(), &rows, &["family".into()], 1);
        let setting = Setting {
            protocol: "p.csv".into(),
            filters: vec!["split=val".into()],
            families: "all".into(),
            join: Some(8),
            provenance: None,
            failed_count: 2,
        };
        let text = tables(&setting, &report);
        for expected in [
            "where split=val",
            "joined    8",
            "left out  2",
            "core: 2 genuine, 2 spoofs, 3 sources",
            "EER (ROC convex hull)     0.0 %",
            "spoofs caught             50.0 %",
            "tts           0      2  0.0 * ",
            "-1.50",
            "* spoofs only",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        let one_each = samples::rows(&samples::TABLE[1..3]);
        let text = tables(&setting, &Report::new(&samples::columns(), &one_each, &[], 1));
        assert!(text.contains("all: 1 genuine, 1 spoof, 2 sources\n"), "{text}");
    }
}
