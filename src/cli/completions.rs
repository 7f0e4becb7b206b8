//! `clonewatch completions`: shell completions, from the same table that parses the arguments.

use clap::CommandFactory;

use super::{Cli, print};
use crate::error::{Exit, Result};

/// Arguments of `clonewatch completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to write completions for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Writes completions to standard output.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "clonewatch", &mut script);
    print(&script)
}
