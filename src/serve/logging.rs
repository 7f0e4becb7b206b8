//! Log lines: text, JSON or the journal. Never audio, tokens, or a client's strings as they came.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Log, LogFormat, LogLevel},
    error::{Error, Result},
};

/// Sets logging up for the process.
///
/// # Errors
/// The journal cannot be reached, or logging was set up before.
pub(super) fn start(log: &Log) -> Result<()> {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let registry = tracing_subscriber::registry().with(level);
    registry.with(layer(log.format)?).try_init().map_err(|e| Error::Fault(format!("logging: {e}")))
}

type Filtered = tracing_subscriber::layer::Layered<LevelFilter, Registry>;

fn layer(format: LogFormat) -> Result<Box<dyn Layer<Filtered> + Send + Sync>> {
    let text = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    match format {
        LogFormat::Journald => journal().map_err(|e| Error::io("journal", e)),
        LogFormat::Auto if is_journal => {
            Ok(journal().unwrap_or_else(|_| text().with_ansi(false).without_time().boxed()))
        }
        LogFormat::Auto | LogFormat::Text => Ok(text().with_ansi(std::io::stderr().is_terminal()).boxed()),
        LogFormat::Json => Ok(text().json().boxed()),
    }
}

fn journal() -> std::io::Result<Box<dyn Layer<Filtered> + Send + Sync>> {
    Ok(tracing_journald::layer()?.with_field_prefix(Some("CLONEWATCH".into())).boxed())
}
