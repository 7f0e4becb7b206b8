//! What a reload exchanges: configuration, model, policies, TLS, all checked before any of it is in force.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tokio_rustls::rustls::ServerConfig;

use super::{admission::Load, tls};
use crate::{
    config::{Config, DEFAULT_POLICY, Event},
    decode::Limits,
    error::{Error, Result},
    model::{ModelBundle, sha256_hex},
    policy::{Decision, Policy},
    scan::{Engine, load_model},
};

/// One state of all that can be reloaded; immutable. Whoever works with one keeps it to the end of that work, so an old
/// model stays until its last job is done.
pub struct InForce {
    /// The file.
    pub config: Config,
    /// Model and limits.
    pub engine: Engine,
    /// By name, `default` among them.
    policies: BTreeMap<String, Arc<NamedPolicy>>,
    /// For TCP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A policy and what identifies its content.
pub struct NamedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Of its thresholds and actions.
    pub sha256: String,
}

impl InForce {
    /// Loads and checks whatever `config` names.
    ///
    /// # Errors
    /// A model, policy or certificate that cannot be used.
    pub fn load(config: Config) -> Result<Self> {
        let model = Arc::new(load_model(config.model.dir.as_deref())?);
        let policies = policies(&config, &model)?;
        let tls = config.server.tls.as_ref().map(tls::server_config).transpose()?;
        let limits: Limits = config.limits.clone();
        let policy = Policy::default_of(&model.manifest().thresholds);
        Ok(Self { config, engine: Engine { model, policy, limits }, policies, tls })
    }

    /// Reads `path` and loads what it names.
    ///
    /// # Errors
    /// As [`Config::load`] and [`InForce::load`].
    pub fn read(path: Option<&Path>) -> Result<Self> {
        Self::load(Config::load(path)?)
    }

    /// The policy called `name`.
    pub fn policy(&self, name: &str) -> Option<&Arc<NamedPolicy>> {
        self.policies.get(name)
    }

    /// All policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = (&String, &Arc<NamedPolicy>)> {
        self.policies.iter()
    }

    /// How much may be inside.
    pub fn most(&self) -> Load {
        Load { jobs: self.config.queue.max_jobs, bytes: self.config.queue.max_bytes }
    }

    /// Who is told of `event` with `decision`: names for the outbox.
    pub fn endpoints(&self, event: Event, decision: Decision) -> Vec<String> {
        let webhooks = self.config.webhooks.iter().filter(|webhook| webhook.wants(event, decision));
        let mut names: Vec<String> = webhooks.map(|webhook| webhook.name.clone()).collect();
        let syslog = self.config.syslog.as_ref();
        if syslog.is_some_and(|syslog| syslog.decisions.is_empty() || syslog.decisions.contains(&decision)) {
            names.push(SYSLOG.into());
        }
        names
    }
}

/// The outbox's name for the system's log; no webhook can have it.
pub const SYSLOG: &str = "(syslog)";

fn policies(config: &Config, model: &ModelBundle) -> Result<BTreeMap<String, Arc<NamedPolicy>>> {
    let defaults = &model.manifest().thresholds;
    let named = |policy: Policy| {
        let content = (&policy.thresholds, policy.ignore_silent_channels, &policy.actions);
        let sha256 = sha256_hex(&serde_json::to_vec(&content).expect("numbers and names"));
        Arc::new(NamedPolicy { policy, sha256 })
    };
    let mut policies = BTreeMap::from([(DEFAULT_POLICY.to_owned(), named(Policy::default_of(defaults)))]);
    for (name, rules) in &config.policies {
        let policy = Policy::from_rules(name.clone(), rules, defaults);
        let policy = policy.map_err(|fault| Error::Config(format!("policies.{name}.{fault}")))?;
        policies.insert(name.clone(), named(policy));
    }
    Ok(policies)
}
