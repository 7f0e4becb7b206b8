//! The clonewatch program: parse, run, map to an exit code.

use std::process::ExitCode;

use clap::Parser;
use clonewatch::{
    cli::{Cli, report_error},
    error::Exit,
};

fn main() -> ExitCode {
    // On unusable arguments clap explains and exits with 2, as it does for every operational error here.
    let exit = Cli::parse().run().unwrap_or_else(|error| {
        report_error(&error);
        Exit::Operational
    });
    ExitCode::from(exit.code())
}
