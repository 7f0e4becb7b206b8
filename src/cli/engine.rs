//! Arguments that choose model, policy and threads, shared by every command that judges audio.

use std::{path::PathBuf, sync::Arc, thread};

use super::render::Provenance;
use crate::{
    decode::Limits,
    error::{Error, Result},
    policy::Policy,
    scan::{Engine, load_model},
};

/// Which model and policy judge, and how many threads work.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// Model bundle to use instead of the built-in one
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Policy file (TOML) whose thresholds replace the model's
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl EngineArgs {
    /// Loads and verifies the model and reads the policy.
    ///
    /// # Errors
    /// A bundle or policy that cannot be read or is refused.
    pub fn load(&self) -> Result<Engine> {
        let model = load_model(self.model.as_deref())?;
        let defaults = &model.manifest().thresholds;
        let policy = match &self.policy {
            None => Policy::default_of(defaults),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Error::io(path.display(), e))?;
                Policy::from_toml(&text, defaults).map_err(|e| Error::Config(format!("{}: {e}", path.display())))?
            }
        };
        Ok(Engine { model: Arc::new(model), policy, limits: Limits::default() })
    }

    /// How many threads to start.
    pub fn thread_count(&self) -> usize {
        self.threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// What goes into every result of `engine`.
pub fn provenance(engine: &Engine) -> Provenance {
    Provenance {
        model_id: engine.model.manifest().id.clone(),
        model_sha256: engine.model.sha256().to_owned(),
        policy_id: engine.policy.id.clone(),
        version: env!("CARGO_PKG_VERSION"),
    }
}
