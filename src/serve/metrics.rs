//! Numbers for Prometheus. Counters are named where they are counted; their meaning is in [`HELP`].

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Name, kind and meaning of everything that is exported.
const HELP: &[(&str, &str, &str)] = &[
    ("clonewatch_build_info", "gauge", "Always 1; the labels say what runs."),
    ("clonewatch_config_reloads_total", "counter", "Reloads of the configuration, by outcome."),
    ("clonewatch_faults_total", "counter", "Attempts to judge that failed by a fault of the program, by kind."),
    ("clonewatch_http_requests_total", "counter", "Requests answered, by route, method and status."),
    ("clonewatch_http_request_seconds_sum", "counter", "Time from a request's headers to its answer, by route."),
    ("clonewatch_inside_bytes", "gauge", "Bytes of audio that wait, are judged or come in."),
    ("clonewatch_inside_jobs", "gauge", "Jobs that wait, are judged or come in."),
    ("clonewatch_job_seconds_sum", "counter", "Time that workers spent on jobs that ended."),
    ("clonewatch_jobs_total", "counter", "Jobs that ended, by outcome."),
    ("clonewatch_live_alerts_total", "counter", "Alerts on parties of live calls and their retractions, by kind."),
    ("clonewatch_live_audio_seconds_total", "counter", "Seconds of live audio that were screened."),
    ("clonewatch_live_calls", "gauge", "Live calls whose result is not stored yet."),
    ("clonewatch_live_calls_total", "counter", "Live calls that began, by transport."),
    ("clonewatch_live_parties_total", "counter", "Parties that joined live calls."),
    (
        "clonewatch_live_refresh_seconds",
        "gauge",
        "Time between two verdicts on a party: more than 1 where workers are short of time.",
    ),
    (
        "clonewatch_live_skipped_seconds_total",
        "counter",
        "Seconds of live audio that came faster than they could be screened.",
    ),
    ("clonewatch_live_verdict_seconds_sum", "counter", "Time from the arrival of audio to the verdict on it."),
    ("clonewatch_live_verdicts_total", "counter", "Verdicts on parties of live calls."),
    ("clonewatch_live_waiting_parties", "gauge", "Parties of live calls that wait for a worker."),
    ("clonewatch_outbox_events", "gauge", "Events that wait for delivery or were given up, by state."),
    ("clonewatch_queue_depth", "gauge", "Jobs that wait for a worker."),
    ("clonewatch_refused_total", "counter", "Submissions refused, by reason."),
    ("clonewatch_store_errors_total", "counter", "Writes to the store that failed."),
    ("clonewatch_verdicts_total", "counter", "Verdicts, by decision."),
    ("clonewatch_watch_files_total", "counter", "Files of watched folders that were judged and put away, by folder."),
];

/// All counters, by name and labels.
#[derive(Default)]
pub struct Metrics {
    values: Mutex<BTreeMap<(&'static str, String), f64>>,
}

impl Metrics {
    /// Adds `by` to a counter. Label values must come from a small set: routes, names of the configuration.
    pub fn add(&self, name: &'static str, labels: &[(&str, &str)], by: f64) {
        *self.lock().entry((name, label_text(labels))).or_default() += by;
    }

    /// Counts one.
    pub fn count(&self, name: &'static str, labels: &[(&str, &str)]) {
        self.add(name, labels, 1.0);
    }

    /// Counts time.
    pub fn time(&self, name: &'static str, labels: &[(&str, &str)], spent: Duration) {
        self.add(name, labels, spent.as_secs_f64());
    }

    /// The value of a counter without labels.
    pub fn value(&self, name: &'static str, labels: &[(&str, &str)]) -> f64 {
        self.lock().get(&(name, label_text(labels))).copied().unwrap_or(0.0)
    }

    /// Everything in Prometheus' text format, with `gauges` as they are now.
    pub fn render(&self, gauges: &[(&'static str, String, f64)]) -> String {
        let mut all = self.lock().clone();
        all.extend(gauges.iter().map(|(name, labels, value)| ((*name, labels.clone()), *value)));
        let mut text = String::new();
        let mut described = "";
        for ((name, labels), value) in &all {
            if *name != described {
                let (kind, help) =
                    HELP.iter().find(|(known, ..)| known == name).map_or(("untyped", ""), |h| (h.1, h.2));
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
                described = name;
            }
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), f64>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `{name="value",…}`, escaped; nothing where there are no labels.
pub fn label_text(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.count("clonewatch_verdicts_total", &[("decision", "spoof")]);
        metrics.count("clonewatch_verdicts_total", &[("decision", "a\"b")]);
        metrics.count("clonewatch_verdicts_total", &[("decision", "spoof")]);
        assert_eq!(
            metrics.render(&[("clonewatch_queue_depth", String::new(), 3.0)]),
            "# HELP clonewatch_queue_depth Jobs that wait for a worker.\n# TYPE clonewatch_queue_depth gauge\n\
             clonewatch_queue_depth 3\n\
             # HELP clonewatch_verdicts_total Verdicts, by decision.\n# TYPE clonewatch_verdicts_total counter\n\
             clonewatch_verdicts_total{decision=\"a\\\"b\"} 1\nclonewatch_verdicts_total{decision=\"spoof\"} 2\n"
        );
    }
}
