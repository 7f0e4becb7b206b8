//! `clonewatch bench live`: how many live calls this machine carries. Starts a daemon of its own, calls it over loopback with
//! real speech at real time, and reports how late verdicts come, what was skipped, and what a call costs.

mod caller;
mod daemon;
mod report;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::{Error, Exit, Result};
use caller::{Calls, Speech};
use daemon::Daemon;

/// Measure this machine
#[derive(Debug, Parser)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Live calls: latency of verdicts, speech skipped, CPU and memory per call
    Live(LiveArgs),
}

#[derive(Debug, Parser)]
struct LiveArgs {
    /// Calls at once; several numbers are measured one after another
    #[arg(long, value_delimiter = ',', default_value = "10,20,40")]
    calls: Vec<usize>,
    /// Seconds that each number of calls is measured, after eight seconds in which calls begin
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    secs: u64,
    /// Recordings of speech that callers play over and over, at 8, 12, 16, 24, 32, 44.1 or 48 kHz
    #[arg(long, value_name = "FILE", default_value = "samples/call-agent-left-caller-right.wav")]
    audio: Vec<PathBuf>,
    /// Threads that judge; 0 means one per core
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

/// Runs the measurement that was asked for.
///
/// # Errors
/// Audio that cannot be read or played, a daemon that does not start, calls that are refused.
pub fn run(args: &Args) -> Result<Exit> {
    let What::Live(args) = &args.what;
    let speech = args.audio.iter().map(|path| Speech::read(path)).collect::<Result<Vec<_>>>()?.concat();
    let most = args.calls.iter().copied().max().unwrap_or(0);
    if !(1..=20_000).contains(&most) || args.calls.contains(&0) {
        return Err(Error::Usage("--calls: must be 1-20000".into()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Fault(format!("runtime: {e}")))?;
    super::print(format!("{}\n", report::HEAD).as_bytes())?;
    for &count in &args.calls {
        let daemon = Daemon::start(args.workers, count)?;
        let measured = runtime.block_on(async {
            let calls = Calls::begin(&daemon, &speech, count).await?;
            calls.measure(&daemon, args.secs).await
        })?;
        super::print(format!("{}\n", report::row(&measured)).as_bytes())?;
    }
    super::note(report::LEGEND);
    Ok(Exit::BonaFide)
}
