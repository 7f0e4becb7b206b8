//! The report as one JSON object, schema `clonewatch-eval/1`. Shares are 0-1, all values rounded to four decimals.

use serde::Serialize;

use super::{
    Setting,
    report::{Report, ReportRow},
};
use crate::{
    cli::render::rounded,
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
    model: Option<Model<'a>>,
    policy: Option<Policy<'a>>,
    version: &'static str,
    cost: Cost,
    interval: Interval,
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    sha256: &'a str,
}

#[derive(Serialize)]
struct Policy<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Cost {
    spoof_prior: f64,
    miss_cost: f64,
    false_acceptance_cost: f64,
    bayes_threshold_llr: f64,
}

#[derive(Serialize)]
struct Interval {
    level: f64,
    method: &'static str,
    clustered_by: Option<&'static str>,
}

#[derive(Serialize)]
struct Line<'a> {
    column: Option<&'a str>,
    value: &'a str,
    bona_fide: usize,
    spoof: usize,
    unscored: usize,
    clusters: usize,
    measures: Measures<'a>,
    versus_all_bona_fide: Option<Measures<'a>>,
}

/// The object and a line break.
pub fn object(setting: &Setting, report: &Report) -> String {
    let provenance = setting.provenance.as_ref();
    let cost = DetectionCost::ASVSPOOF5;
    let head = Head {
        schema: "clonewatch-eval/1",
        protocol: &setting.protocol,
        filters: &setting.filters,
        families: &setting.families,
        join: setting.join,
        failed: setting.failed_count,
        model: provenance.map(|p| Model { id: &p.model_id, sha256: &p.model_sha256 }),
        policy: provenance.map(|p| Policy { id: &p.policy_id }),
        version: env!("CARGO_PKG_VERSION"),
        cost: Cost {
            spoof_prior: cost.spoof_prior,
            miss_cost: cost.miss_cost,
            false_acceptance_cost: cost.false_acceptance_cost,
            bayes_threshold_llr: rounded(cost.bayes_threshold(), DECIMALS),
        },
        interval: Interval { level: 0.95, method: "percentile bootstrap", clustered_by: report.clustered_by },
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
        measures: Measures { summary, of: &Measure::ALL },
        versus_all_bona_fide: row.versus_all.as_ref().map(|summary| Measures { summary, of: &Measure::OF_RANKING }),
    }
}

/// Measures of one summary, as an object in the order of `of`.
struct Measures<'a> {
    summary: &'a Summary,
    of: &'static [Measure],
}

#[derive(Serialize)]
struct Value95 {
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl Serialize for Measures<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.of.iter().map(|&measure| (measure.key(), self.value(measure))))
    }
}

impl Measures<'_> {
    fn value(&self, measure: Measure) -> Option<Value95> {
        let estimate = self.summary.get(measure)?;
        let rounded = |value| rounded(value, DECIMALS);
        Some(Value95 {
            value: rounded(estimate.value),
            low: estimate.interval.map(|interval| rounded(interval.low)),
            high: estimate.interval.map(|interval| rounded(interval.high)),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
