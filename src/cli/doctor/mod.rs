//! `clonewatch doctor`: looks at everything the daemon needs on this machine, and says of each what is wrong and how to put
//! it right. It changes nothing, and may run beside the daemon.

mod capacity;
mod clock;
mod places;
mod sockets;

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;

use super::{print, render::printable};
use crate::{
    config::Config,
    error::{Error, Exit, Result},
    model::ModelBundle,
    scan::load_model,
    serve::webhook::{client_of, syslog},
};

/// What the exit status means here.
const EXIT_CODES: &str =
    "Exit status: 0 nothing is wrong (warnings may remain), 1 something is, 2 the check itself failed.";

/// Arguments of `clonewatch doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Configuration of the daemon [default: /etc/clonewatch/clonewatch.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to write the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How to write the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for each, and its remedy below
    Text,
    /// One JSON object
    Json,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Finding {
    level: Level,
    topic: &'static str,
    what: String,
    /// What to do, where something is wrong.
    remedy: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, topic, what: what.into(), remedy: None }
    }

    fn warn(topic: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, topic, what: what.into(), remedy: Some(remedy.into()) }
    }

    fn fail(topic: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, topic, what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// The findings as one JSON object.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    worst: Level,
    findings: &'a [Finding],
}

/// Looks at everything.
///
/// # Errors
/// The findings cannot be written.
pub fn run(args: &Args) -> Result<Exit> {
    let mut findings = Vec::new();
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => {
            findings.push(Finding::ok("configuration", described(args, &config)));
            config
        }
        Err(error) => {
            let remedy = "clonewatch check-config names every fault; the rest is checked with the defaults";
            findings.push(Finding::fail("configuration", error.to_string(), remedy));
            Config::default()
        }
    };
    let model = load_model(config.model.dir.as_deref());
    findings.push(of_model(model.as_ref()));
    findings.extend(places::check(&config));
    findings.extend(sockets::check(&config));
    findings.extend(receivers(&config));
    findings.extend(clock::check(model.as_ref().ok().map(|model| model.manifest().date.as_str()), &config));
    if let Ok(model) = model {
        findings.push(capacity::check(&Arc::new(model), config.queue.worker_count())?);
    }
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let text = match args.format {
        Format::Text => findings.iter().map(line_of).collect(),
        Format::Json => json_of(&findings, worst)?,
    };
    match print(text.as_bytes())? {
        Exit::BonaFide if worst == Level::Fail => Ok(Exit::Unsound),
        other => Ok(other),
    }
}

fn described(args: &Args, config: &Config) -> String {
    let place = args.config.clone().unwrap_or_else(|| crate::config::DEFAULT_PATH.into());
    let is_there = if place.exists() { "" } else { " (missing: defaults)" };
    let counts = [
        (config.tokens.len(), "tokens"),
        (config.policies.len(), "policies"),
        (config.watch.len(), "watched folders"),
        (config.webhooks.len(), "webhooks"),
    ];
    let counts: Vec<String> = counts.iter().map(|(count, noun)| format!("{count} {noun}")).collect();
    format!("{}{is_there}: {}", place.display(), counts.join(", "))
}

fn of_model(model: std::result::Result<&ModelBundle, &Error>) -> Finding {
    match model {
        Ok(model) => {
            let (id, sha256) = (&model.manifest().id, model.sha256());
            Finding::ok("model", format!("{id}: every hash and the golden self-test agree, sha256 {sha256}"))
        }
        Err(error) => {
            let remedy = "restore the bundle's folder, or leave model.dir out to use the built-in model";
            Finding::fail("model", error.to_string(), remedy)
        }
    }
}

/// Receivers are looked at, not spoken to: `clonewatch webhook test` does that.
fn receivers(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for webhook in &config.webhooks {
        findings.push(match client_of(webhook) {
            Ok(_) => {
                let tried = format!("clonewatch webhook test {} tries it", webhook.name);
                Finding::ok("webhook", format!("{}: address and secret are well formed; {tried}", webhook.name))
            }
            Err(error) => Finding::fail("webhook", error.to_string(), "correct it in [[webhooks]]"),
        });
    }
    if let Some(Err(error)) = config.syslog.as_ref().map(syslog::Receiver::new) {
        findings.push(Finding::fail("syslog", error, "correct it in [syslog]"));
    }
    findings
}

fn line_of(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let lines: Vec<String> = finding.what.lines().map(printable).collect();
    let mut text = format!("{level:<5} {:<14} {}\n", finding.topic, lines.join("; "));
    if let Some(remedy) = &finding.remedy {
        text += &format!("{:20} → {}\n", "", printable(remedy));
    }
    text
}

fn json_of(findings: &[Finding], worst: Level) -> Result<String> {
    let report = Report { version: env!("CARGO_PKG_VERSION"), worst, findings };
    let text = serde_json::to_string_pretty(&report).map_err(|e| Error::Fault(format!("report: {e}")))?;
    Ok(text + "\n")
}
