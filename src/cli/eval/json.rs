//! The report as one JSON object, schema `clonewatch-eval/1`. Shares are 0-1, all values rounded to four decimals.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Setting,
    report::{Report, ReportRow},
};
use crate::{
    cli::render::{Provenance, rounded},
    metrics::{DetectionCost, Measure, Summary},
};

const DECIMALS: i32 = 4;

#[derive(Serialize)]
struct Head<'a> {
    schema: &'static str,
    protocol: &'a str,
    filters: &'a [String],
    families: &'a str,
    join: Option<u16>,
    failed: usize,
    model: Option<Value>,
    policy: Option<Value>,
    version: &'static str,
    cost: Value,
    interval: Value,
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    column: Option<&'a str>,
    value: &'a str,
    bona_fide: usize,
    spoof: usize,
    unscored: usize,
    clusters: usize,
    measures: Map<String, Value>,
    versus_all_bona_fide: Option<Map<String, Value>>,
}

/// The object and a line break.
pub fn object(setting: &Setting, report: &Report) -> String {
    let model = |p: &Provenance| json!({ "id": p.model_id, "sha256": p.model_sha256 });
    let cost = DetectionCost::ASVSPOOF5;
    let head = Head {
        schema: "clonewatch-eval/1",
        protocol: &setting.protocol,
        filters: &setting.filters,
        families: &setting.families,
        join: setting.join,
        failed: setting.failed_count,
        model: setting.provenance.as_ref().map(model),
        policy: setting.provenance.as_ref().map(|p| json!({ "id": p.policy_id })),
        version: env!("CARGO_PKG_VERSION"),
        cost: json!({
            "spoof_prior": cost.spoof_prior,
            "miss_cost": cost.miss_cost,
            "false_acceptance_cost": cost.false_acceptance_cost,
            "bayes_threshold_llr": rounded(cost.bayes_threshold(), DECIMALS),
        }),
        interval: json!({ "level": 0.95, "method": "percentile bootstrap", "clustered_by": report.clustered_by }),
        rows: report.rows.iter().map(line).collect(),
    };
    let mut text = serde_json::to_string_pretty(&head).expect("plain structs of strings and numbers");
    text.push('\n');
    text
}

fn line(row: &ReportRow) -> Line<'_> {
    let summary = &row.summary;
    Line {
        column: row.column.as_deref(),
        value: &row.value,
        bona_fide: summary.bona_fide_count,
        spoof: summary.spoof_count,
        unscored: summary.unscored_count,
        clusters: summary.cluster_count,
        measures: measures(summary, &Measure::ALL),
        versus_all_bona_fide: row.versus_all.as_ref().map(|summary| measures(summary, &Measure::OF_RANKING)),
    }
}

fn measures(summary: &Summary, of: &[Measure]) -> Map<String, Value> {
    let value = |measure: &Measure| {
        summary.get(*measure).map_or(Value::Null, |estimate| {
            let end = |pick: fn(&crate::metrics::Interval) -> f64| {
                estimate.interval.as_ref().map(|interval| rounded(pick(interval), DECIMALS))
            };
            json!({
                "value": rounded(estimate.value, DECIMALS),
                "low": end(|interval| interval.low),
                "high": end(|interval| interval.high),
            })
        })
    };
    of.iter().map(|measure| (measure.key().to_owned(), value(measure))).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests as samples, *};

    #[test]
    fn one_object_with_every_measure() {
        let rows = samples::rows(&samples::TABLE);
        let report = Report::new(&samples::columns(), &rows, &["family".into()], 1);
        let setting = Setting {
            protocol: "p.csv".into(),
            filters: vec!["split=val".into()],
            families: "all".into(),
            join: None,
            provenance: None,
            failed_count: 0,
        };
        let value: Value = serde_json::from_str(&object(&setting, &report)).unwrap();
        assert_eq!(value["schema"], "clonewatch-eval/1");
        assert_eq!(value["rows"][0]["value"], "core");
        assert_eq!(value["rows"][0]["measures"]["eer"]["value"], 0.0);
        assert_eq!(value["rows"][0]["measures"]["eer"]["low"], Value::Null, "three sources are too few");
        assert_eq!(value["rows"][0]["measures"].as_object().unwrap().len(), Measure::ALL.len());
        assert_eq!(value["rows"][3]["measures"]["eer"], Value::Null);
        assert_eq!(value["rows"][3]["versus_all_bona_fide"]["eer"]["value"], 0.0);
        assert_eq!(value["interval"]["clustered_by"], "source");
    }
}
