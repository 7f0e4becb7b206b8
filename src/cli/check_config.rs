//! `clonewatch check-config`: is the file fit to serve with, and what does it amount to?

use std::path::PathBuf;

use super::print;
use crate::{
    config::{Config, Secrets},
    error::{Exit, Result},
    serve::in_force::InForce,
};

/// Arguments of `clonewatch check-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file [default: /etc/clonewatch/clonewatch.toml, where there is one]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Checks the file and what it names (model, policies, certificates), and prints the effective one, secrets masked.
///
/// # Errors
/// Everything that is wrong with it.
pub fn run(args: &Args) -> Result<Exit> {
    let in_force = InForce::load(Config::load(args.file.as_deref())?)?;
    print(in_force.config.print(Secrets::Masked)?.as_bytes())
}
