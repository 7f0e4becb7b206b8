//! `[[webhooks]]` and `[syslog]`: whom to tell of verdicts.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Environment, Faults, PLAIN_NAME, Secret, is_plain_name, repeated, secret::MASK};
use crate::{policy::Decision, serve::webhook::guard::Network};

/// One receiver of signed events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Names it in logs, metrics, the outbox and secrets' names.
    pub name: String,
    /// `https://…`, or `http://…` to a loopback address.
    pub url: String,
    /// `whsec_` and base64, as Standard Webhooks has it. May come from `CLONEWATCH_WEBHOOK_<NAME>` or the credential
    /// `webhook-<name>` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Which events it gets.
    #[serde(default = "all_events")]
    pub events: Vec<Event>,
    /// Only verdicts with one of these decisions; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// Networks besides the Internet that it may be in, such as `10.20.0.0/16` or `127.0.0.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_networks: Vec<Network>,
    /// A PEM file of the authorities to trust instead of the built-in ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<std::path::PathBuf>,
    /// Longest time for one delivery, in seconds.
    #[serde(default = "timeout_secs")]
    pub timeout_secs: u64,
    /// Deliveries are tried so often before the event goes to the dead letters.
    #[serde(default = "max_attempts")]
    pub max_attempts: u32,
}

fn all_events() -> Vec<Event> {
    vec![Event::ScanFinished, Event::ScanOverridden, Event::CallAlert, Event::CallRetracted]
}

fn timeout_secs() -> u64 {
    10
}

fn max_attempts() -> u32 {
    12
}

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A verdict was reached, also by judging again.
    #[serde(rename = "scan.finished")]
    ScanFinished,
    /// A person has decided otherwise.
    #[serde(rename = "scan.overridden")]
    ScanOverridden,
    /// A party of a live call is likely cloned.
    #[serde(rename = "call.alert")]
    CallAlert,
    /// Such an alert is taken back.
    #[serde(rename = "call.retracted")]
    CallRetracted,
}

impl Event {
    /// As it stands in events.
    pub fn key(self) -> &'static str {
        match self {
            Self::ScanFinished => "scan.finished",
            Self::ScanOverridden => "scan.overridden",
            Self::CallAlert => "call.alert",
            Self::CallRetracted => "call.retracted",
        }
    }
}

impl Webhook {
    /// Whether it wants `event` about a verdict with `decision`.
    pub fn wants(&self, event: Event, decision: Decision) -> bool {
        self.events.contains(&event) && (self.decisions.is_empty() || self.decisions.contains(&decision))
    }

    pub(super) fn mask(&mut self) {
        self.secret = self.secret.take().map(|_| Secret::new(MASK));
    }

    pub(super) fn take_secret(&mut self, environment: &Environment, index: usize, faults: &mut Faults) {
        match environment.secret(&format!("webhook-{}", self.name)) {
            Ok(Some(secret)) => self.secret = Some(secret),
            Ok(None) => {}
            Err(e) => faults.add(&format!("webhooks[{index}].secret"), e, "a readable credential"),
        }
    }
}

/// Verdicts as events in Common Event Format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// How they travel.
    pub transport: SyslogTransport,
    /// Receiver, for `udp` and `tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// How they are written.
    #[serde(default)]
    pub format: SyslogFormat,
    /// Only verdicts with one of these decisions; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// How syslog events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTransport {
    /// `/dev/log` of this machine.
    Local,
    /// RFC 5426.
    Udp,
    /// RFC 6587, counted octets.
    Tcp,
}

/// How syslog events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// Common Event Format.
    #[default]
    Cef,
    /// The event's JSON.
    Json,
}

pub(super) fn check(webhooks: &[Webhook], syslog: Option<&Syslog>, faults: &mut Faults) {
    for (index, webhook) in webhooks.iter().enumerate() {
        let key = |name: &str| format!("webhooks[{index}].{name}");
        if !is_plain_name(&webhook.name) {
            faults.add(&key("name"), &webhook.name, PLAIN_NAME);
        }
        if !webhook.url.starts_with("https://") && !webhook.url.starts_with("http://") {
            faults.add(&key("url"), &webhook.url, "an https:// address, or http:// to a loopback address");
        }
        match webhook.secret.as_ref().map(Secret::expose) {
            Some(MASK) => faults.add(&key("secret"), MASK, "the secret itself: check-config has masked this one"),
            Some(secret) if secret.starts_with("whsec_") => {}
            Some(_) => faults.add(&key("secret"), "(not shown)", "`whsec_` and base64"),
            None => {
                let name = webhook.name.to_ascii_uppercase().replace('-', "_");
                let expected = format!("here, in CLONEWATCH_WEBHOOK_{name} or the credential webhook-{}", webhook.name);
                faults.add(&key("secret"), "missing", &expected);
            }
        }
        faults.range(&key("timeout_secs"), webhook.timeout_secs, 1..=60);
        faults.range(&key("max_attempts"), webhook.max_attempts, 1..=100);
    }
    for (index, name) in repeated(webhooks.iter().map(|webhook| webhook.name.as_str())) {
        faults.add(&format!("webhooks[{index}].name"), name, "a name that no other webhook has");
    }
    if let Some(syslog) = syslog {
        let needs_address = syslog.transport != SyslogTransport::Local;
        if needs_address && syslog.address.is_none() {
            faults.add("syslog.address", "missing", "ADDRESS:PORT where syslog.transport is udp or tcp");
        }
    }
}
