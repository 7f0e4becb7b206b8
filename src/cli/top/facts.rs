//! What the daemon says of itself, as far as the screen shows it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::Client;
use crate::{
    error::{Error, Result},
    policy::Decision,
};

/// One look at the daemon.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) model: String,
    pub(super) live: Live,
    pub(super) numbers: Numbers,
    /// Why there is nothing newer.
    pub(super) trouble: Option<String>,
}

/// `/v1/calls`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Live {
    pub(super) calls: Vec<Call>,
    pub(super) max_calls: usize,
    pub(super) refresh_secs: f64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) external_id: Option<String>,
    pub(super) parties: Vec<Party>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) decision: Option<Decision>,
    pub(super) speech_secs: f64,
    pub(super) skipped_secs: f64,
    pub(super) llr: Option<f64>,
    pub(super) llr_last_10_secs: Option<f64>,
    pub(super) alert: Option<Alert>,
    /// Seconds and LLR.
    pub(super) trail: Vec<(f64, f64)>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Alert {
    pub(super) raised_secs: f64,
    pub(super) retracted_at: Option<String>,
}

impl Call {
    /// Whether an alert stands.
    pub(super) fn is_alarming(&self) -> bool {
        let stands = |alert: &Alert| alert.retracted_at.is_none();
        self.parties.iter().any(|party| party.alert.as_ref().is_some_and(stands))
    }
}

impl Facts {
    /// Asks for all of it.
    pub(super) fn ask(client: &Client) -> Result<Self> {
        Ok(Self {
            version: parsed::<Version>(client, "/version")?.version,
            model: parsed::<Model>(client, "/v1/model")?.id,
            live: parsed(client, "/v1/calls")?,
            numbers: Numbers::read(&client.get("/metrics")?),
            trouble: None,
        })
    }
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

fn parsed<T: for<'de> Deserialize<'de>>(client: &Client, target: &str) -> Result<T> {
    let body = client.get(target)?;
    serde_json::from_str(&body)
        .map_err(|e| Error::Usage(format!("{target}: not an answer of clonewatch {}: {e}", env!("CARGO_PKG_VERSION"))))
}

/// Prometheus' text format: name and labels → value.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(lines.filter_map(pair).collect())
    }

    /// The number under `name`; 0 where nothing was counted yet.
    pub(super) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_name_and_labels() {
        let text = "# HELP a b 3\n# TYPE a gauge\na 7\nb{kind=\"x y\"} 2.5\nbroken\nc nan?\n";
        let numbers = Numbers::read(text);
        let found = ["a", "b{kind=\"x y\"}", "c", "broken", "none"].map(|name| numbers.get(name));
        assert_eq!(found, [7.0, 2.5, 0.0, 0.0, 0.0]);
    }
}
