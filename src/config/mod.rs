//! Configuration: one TOML file → a validated [`Config`]. Unknown keys are refused, and every fault is named with file,
//! line, key, value and what was expected; all of them at once.
//!
//! Flow: text → [`Config`] by serde → secrets of the environment laid over it → each section checks itself.
//! Secrets come from, in this order: `CLONEWATCH_…` variables, files in `$CREDENTIALS_DIRECTORY`, the file itself.
//! [`Config::print`] writes the effective file; what it prints with [`Secrets::Shown`] reads back as the same value.

mod access;
mod console;
mod faults;
mod intake;
mod live;
mod notify;
mod policies;
mod secret;
mod server;
mod storage;
mod telephony;
mod vendors;

pub use access::{Scope, Token, TokenHash};
pub use console::Console;
pub use faults::Faults;
pub use intake::{Layout, OnDone, Watch};
pub use live::{AudioSocket, Live, is_allowed};
pub use notify::{Event, Syslog, SyslogFormat, SyslogTransport, Webhook};
pub use policies::DEFAULT_POLICY;
pub use secret::{Environment, Secret};
pub use server::{Log, LogFormat, LogLevel, Server, Tls};
pub use storage::{Model, Queue, Retention, Store};
pub use telephony::{RtpCalls, RtpPort, Siprec};
pub use vendors::{Genesys, Twilio};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    decode::Limits,
    error::{Error, Result},
    policy::PolicyRules,
};

/// Where the daemon looks for its file unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/clonewatch/clonewatch.toml";

/// Everything an operator may set. Sections and keys that are left out have their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of the policy for whoever names none: `default`, or one of `[policies.NAME]`.
    pub default_policy: String,
    /// Sockets, TLS and time limits.
    pub server: Server,
    /// Where state is kept.
    pub store: Store,
    /// How much work may wait.
    pub queue: Queue,
    /// Which model judges.
    pub model: Model,
    /// What one input may cost.
    pub limits: Limits,
    /// What is kept, and for how long.
    pub retention: Retention,
    /// Pages for people.
    pub console: Console,
    /// What is logged, and where.
    pub log: Log,
    /// Thresholds and actions under a name.
    pub policies: BTreeMap<String, PolicyRules>,
    /// Who may do what over TCP.
    pub tokens: Vec<Token>,
    /// Calls that are screened while they go on.
    pub live: Live,
    /// Folders whose files are judged as they come.
    pub watch: Vec<Watch>,
    /// Whom to tell of verdicts.
    pub webhooks: Vec<Webhook>,
    /// Verdicts as events of the system's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<Syslog>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_policy: DEFAULT_POLICY.into(),
            server: Server::default(),
            store: Store::default(),
            queue: Queue::default(),
            model: Model::default(),
            limits: Limits::default(),
            retention: Retention::default(),
            console: Console::default(),
            log: Log::default(),
            policies: BTreeMap::new(),
            tokens: Vec::new(),
            live: Live::default(),
            watch: Vec::new(),
            webhooks: Vec::new(),
            syslog: None,
        }
    }
}

/// Whether [`Config::print`] writes secrets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// `********` in their place: for people.
    Masked,
    /// As they are: for a file that is read again.
    Shown,
}

impl Config {
    /// Reads `path`, or the default place. A missing default file is an empty one; a missing named file is an error.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Config`] naming everything that is wrong in it.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let environment = Environment::of_process();
        let place = path.map_or_else(|| PathBuf::from(DEFAULT_PATH), Path::to_owned);
        let text = match std::fs::read_to_string(&place) {
            Ok(text) => text,
            Err(e) if path.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(place.display(), e)),
        };
        Self::parse(&text, &place.display().to_string(), &environment)
    }

    /// Reads `text`, which `file` names in errors.
    ///
    /// # Errors
    /// [`Error::Config`] naming everything that is wrong, one line each.
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|e| Error::Config(faults::of_parser(file, text, &e)))?;
        let mut faults = Faults::new(file, text);
        config.take_secrets(environment, &mut faults);
        config.check(&mut faults);
        faults.into_result().map(|()| config)
    }

    /// The effective file.
    ///
    /// # Errors
    /// [`Error::Fault`] where a value has no TOML form, which no value that was read has.
    pub fn print(&self, secrets: Secrets) -> Result<String> {
        let mut shown = self.clone();
        if secrets == Secrets::Masked {
            shown.webhooks.iter_mut().for_each(Webhook::mask);
            shown.live.mask();
        }
        toml::to_string_pretty(&shown).map_err(|e| Error::Fault(format!("printing the configuration: {e}")))
    }

    fn take_secrets(&mut self, environment: &Environment, faults: &mut Faults) {
        for (index, webhook) in self.webhooks.iter_mut().enumerate() {
            webhook.take_secret(environment, index, faults);
        }
        self.live.take_secrets(environment, faults);
        if let Some(tls) = &mut self.server.tls {
            tls.take_credentials(environment);
        }
    }

    fn check(&self, faults: &mut Faults) {
        self.server.check(faults);
        self.store.check(faults);
        self.queue.check(faults);
        self.model.check(faults);
        self.retention.check(faults);
        storage::check_limits(&self.limits, faults);
        policies::check(&self.policies, faults);
        access::check(&self.tokens, faults);
        self.live.check(faults);
        intake::check(&self.watch, faults);
        notify::check(&self.webhooks, self.syslog.as_ref(), faults);
        self.check_policy_names(faults);
        if self.server.tcp.is_some() && self.tokens.is_empty() {
            faults.add("tokens", "none", "at least one token where server.tcp is set: clonewatch token new NAME");
        }
    }

    /// Everything that names a policy must name one that exists.
    fn check_policy_names(&self, faults: &mut Faults) {
        let mut named = vec![("default_policy".to_owned(), Some(&self.default_policy))];
        let tokens = self.tokens.iter().enumerate();
        named.extend(tokens.map(|(i, token)| (format!("tokens[{i}].policy"), token.policy.as_ref())));
        let folders = self.watch.iter().enumerate();
        named.extend(folders.map(|(i, watch)| (format!("watch[{i}].policy"), watch.policy.as_ref())));
        let ports = self.live.rtp.iter().enumerate();
        named.extend(ports.map(|(i, port)| (format!("live.rtp[{i}].policy"), port.policy.as_ref())));
        let siprec = self.live.siprec.iter();
        named.extend(siprec.map(|siprec| ("live.siprec.policy".to_owned(), siprec.policy.as_ref())));
        for (key, name) in named {
            if let Some(name) = name.filter(|name| !self.has_policy(name)) {
                faults.add(&key, name, "`default` or the NAME of a [policies.NAME] section");
            }
        }
    }

    /// Whether a policy of that name exists.
    pub fn has_policy(&self, name: &str) -> bool {
        name == DEFAULT_POLICY || self.policies.contains_key(name)
    }
}

/// Whether `name` may stand in file names, metrics and logs as it is.
fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// What [`is_plain_name`] asks for, in words.
const PLAIN_NAME: &str = "1-64 letters, digits, `-` or `_`";

/// Names that come twice, with the index of the second.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let mut seen = std::collections::BTreeSet::new();
    names.enumerate().filter(|(_, name)| !seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests;
