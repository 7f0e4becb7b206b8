//! `clonewatch serve`: the daemon.

use std::path::PathBuf;

use crate::{
    error::{Exit, Result},
    serve,
};

/// Arguments of `clonewatch serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file [default: /etc/clonewatch/clonewatch.toml, where there is one]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub fn run(args: &Args) -> Result<Exit> {
    serve::run(args.config.clone()).map(|()| Exit::BonaFide)
}
