//! The command line: one file per subcommand. This table is what parses, completes and documents itself.

pub mod audit;
#[cfg(unix)]
pub mod bench;
pub mod check_config;
pub mod completions;
#[cfg(unix)]
pub mod doctor;
pub mod engine;
pub mod eval;
pub mod features;
pub mod inputs;
pub mod interrupt;
pub mod man;
pub mod model;
pub mod progress;
pub mod render;
pub mod scan;
pub mod serve;
pub mod tally;
pub mod token;
#[cfg(unix)]
pub mod top;
#[cfg(unix)]
pub mod watch;
pub mod webhook;

use std::{
    fmt,
    io::{self, Write},
};

use clap::{Parser, Subcommand};

use crate::error::{Error, Exit, Result};

/// What scripts and people need to know before anything else.
const EXIT_CODES: &str = "Exit status: 0 every input is likely genuine, 1 one is likely cloned, \
3 one is inconclusive and none cloned, 2 something failed or the run was interrupted.";

/// Screens calls and clips for cloned voices, on your own machine
#[derive(Debug, Parser)]
#[command(name = "clonewatch", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge files, folders or standard input
    Scan(scan::Args),
    /// Measure error rates on labelled recordings
    Eval(eval::Args),
    /// Export features for training, as the network will see them
    Features(features::Args),
    /// Describe or verify a model bundle
    Model(model::Args),
    /// Judge what is dropped into a folder, and sort it
    #[cfg(unix)]
    Watch(watch::Args),
    /// Check this machine for everything the daemon needs
    #[cfg(unix)]
    Doctor(doctor::Args),
    /// Measure how much this machine carries
    #[cfg(unix)]
    Bench(bench::Args),
    /// Try receivers of events out, and send events again
    Webhook(webhook::Args),
    /// Run the service: HTTP API, watched folders, webhooks
    Serve(serve::Args),
    /// Watch the service's queue and live calls in the terminal
    #[cfg(unix)]
    Top(top::Args),
    /// Check a configuration file and print the effective one
    CheckConfig(check_config::Args),
    /// Make access tokens for the service
    Token(token::Args),
    /// Verify the service's audit log
    Audit(audit::Args),
    /// Write completions for a shell
    Completions(completions::Args),
    /// Write manual pages
    Man(man::Args),
}

impl Cli {
    /// Runs the command that was asked for.
    ///
    /// # Errors
    /// What stopped it as a whole; failures of single inputs were reported on the way and are in the exit code.
    pub fn run(&self) -> Result<Exit> {
        match &self.command {
            Command::Scan(args) => scan::run(args),
            Command::Eval(args) => eval::run(args),
            Command::Features(args) => features::run(args),
            Command::Model(args) => model::run(args),
            #[cfg(unix)]
            Command::Watch(args) => watch::run(args),
            #[cfg(unix)]
            Command::Doctor(args) => doctor::run(args),
            #[cfg(unix)]
            Command::Bench(args) => bench::run(args),
            Command::Webhook(args) => webhook::run(args),
            Command::Serve(args) => serve::run(args),
            #[cfg(unix)]
            Command::Top(args) => top::run(args),
            Command::CheckConfig(args) => check_config::run(args),
            Command::Token(args) => token::run(args),
            Command::Audit(args) => audit::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// Writes `bytes` to standard output. A reader that has gone away is no one's error, but not success either.
///
/// # Errors
/// Standard output cannot be written.
fn print(bytes: &[u8]) -> Result<Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Exit::BonaFide),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Operational),
        Err(error) => Err(Error::io("standard output", error)),
    }
}

/// A line on standard error. Where nobody can read it any more, the work goes on all the same.
fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// `1 spoof`, `2 spoofs`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Names an error on standard error.
pub fn report_error(error: &Error) {
    let text = error.to_string();
    // Indented, so that a line break in a file name cannot pass for a message of its own.
    let lines: Vec<String> = text.lines().map(render::printable).collect();
    note(format_args!("clonewatch: {}", lines.join("\n  ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
