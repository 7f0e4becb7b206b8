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
    /// Model bundle to use instead of the built-in one: a folder (one called light is ./light), or `light` for the
    /// built-in light one
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
                let fault = |e: String| Error::Config(format!("{}: {}", path.display(), one_line(&e)));
                Policy::from_toml(&text, defaults).map_err(fault)?
            }
        };
        Ok(Engine { model: Arc::new(model), policy, limits: Limits::default() })
    }

    /// How many threads to start.
    pub fn thread_count(&self) -> usize {
        threads_or_cores(self.threads)
    }
}

/// Threads that were asked for, or one per core.
pub fn threads_or_cores(asked: Option<u16>) -> usize {
    asked.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// The TOML parser's drawing of the fault as `line L, column C: KEY = VALUE – what is wrong`; one line stays as it is.
fn one_line(message: &str) -> String {
    const MOST_CHARS: usize = 80;
    let Some((place, rest)) = message.trim().split_once('\n') else { return message.trim().to_owned() };
    let place = place.trim_start_matches("TOML parse error at ").trim_end_matches(':');
    // `2 | spoof_bellow = 1.0` is a line of the file, `  | ^^^^` points into it, the rest is words.
    let (drawn, words): (Vec<&str>, Vec<&str>) = rest
        .lines()
        .partition(|line| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|'));
    let source = drawn.iter().filter_map(|line| line.split_once('|')).find(|(number, _)| !number.trim().is_empty());
    let source: String = source.map_or("", |(_, text)| text.trim()).chars().take(MOST_CHARS).collect();
    format!("{place}: {source} – {}", words.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_policy_files_take_one_line() {
        let drawn = "TOML parse error at line 2, column 1\n  |\n2 | spoof_bellow = 1.0\n  | ^^^^^^^^^^^^\n\
                     unknown field `spoof_bellow`, expected `id`\n";
        for (message, expected) in [
            (drawn, "line 2, column 1: spoof_bellow = 1.0 – unknown field `spoof_bellow`, expected `id`"),
            ("min_speech_secs: 0 – must be 0.5-3600", "min_speech_secs: 0 – must be 0.5-3600"),
        ] {
            assert_eq!(one_line(message), expected);
        }
    }
}
