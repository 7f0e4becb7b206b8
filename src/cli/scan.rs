//! `clonewatch scan`: judges files, folders and standard input, and answers with text, JSONL or CSV and an exit code.
//!
//! Flow: paths → [`Inputs`] → one file per thread at a time → results in input order → [`super::render`].
//! Bad media is a result; an unreadable file is reported, and the rest goes on.

use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal, Write},
    path::PathBuf,
    time::Instant,
};

use super::{
    engine::{EngineArgs, provenance},
    inputs::{Inputs, Source, Symlinks},
    interrupt::Interrupt,
    note,
    progress::Progress,
    render::{Colour, Csv, Detail, Jsonl, Renderer, Text, printable},
    report_error,
    tally::Tally,
};
use crate::{
    decode::RawSpec,
    error::{Error, Exit, Result},
    pool::ordered_map,
    scan::{Engine, ScanResult},
};

/// Arguments of `clonewatch scan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders or patterns; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to write results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub engine: EngineArgs,
    /// Go through symbolic links inside folders
    #[arg(long)]
    pub follow_symlinks: bool,
    /// Read headerless audio: ulaw, alaw, s16le, g722 or gsm, with rate and channels where they are not 8000 and 1
    #[arg(long, value_name = "CODEC[:RATE[:CHANNELS]]")]
    pub raw: Option<RawSpec>,
    /// Draw each channel's segments (text only)
    #[arg(short, long)]
    pub verbose: bool,
}

/// How to write results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line per channel, for people
    Text,
    /// A JSON object per input
    Jsonl,
    /// A row per channel, with a header
    Csv,
}

/// Judges everything and writes the results to standard output.
///
/// # Errors
/// Model or policy that cannot be used, output that cannot be written. Single inputs that fail are reported instead.
pub fn run(args: &Args) -> Result<Exit> {
    let engine = args.engine.load()?;
    let symlinks = if args.follow_symlinks { Symlinks::Follow } else { Symlinks::Skip };
    let inputs = Inputs::find(&args.paths, symlinks);
    inputs.failures.iter().for_each(report_error);
    for folder in &inputs.empty_folders {
        note(format_args!("clonewatch: no audio found in {}", printable(&folder.display().to_string())));
    }
    let interrupt = Interrupt::listen()?;
    let mut tally = Tally::new(Instant::now());
    tally.failed_count = inputs.failures.len();
    tally.passed_over = inputs.passed_over;

    let batch = Batch { args, engine: &engine, inputs: &inputs, interrupt: &interrupt };
    match batch.scan_all(&mut tally) {
        // Not all was delivered, so this must not look like a clean bill of health.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Operational),
        other => other.map_err(|e| Error::io("standard output", e))?,
    }
    let is_summed_up = tally.is_batch() && (args.format == Format::Text || io::stderr().is_terminal());
    if is_summed_up && !tally.is_empty() {
        note(&tally);
    } else if tally.passed_over.count() > 0 {
        note(format_args!("clonewatch: {}", tally.passed_over));
    }
    if interrupt.is_raised() { Err(Error::Interrupted) } else { Ok(tally.exit()) }
}

/// One run: what is scanned, by what, and what may stop it.
struct Batch<'a> {
    args: &'a Args,
    engine: &'a Engine,
    inputs: &'a Inputs,
    interrupt: &'a Interrupt,
}

impl Batch<'_> {
    /// Scans and writes until the end, a signal, or output that cannot be written.
    fn scan_all(&self, tally: &mut Tally) -> io::Result<()> {
        let sources = &self.inputs.sources;
        let renderer = renderer(self.args, self.engine);
        let mut out = io::stdout().lock();
        out.write_all(renderer.header().as_bytes())?;
        let progress = Progress::new(sources.len(), self.inputs.total_bytes);
        let mut written = out.flush();
        let threads = self.args.engine.thread_count();
        let work = |source: &Source| scan_one(self.engine, source, self.args.raw);
        ordered_map(sources, threads, self.interrupt.flag(), work, |index, outcome| {
            progress.around(|| match &outcome {
                Ok(result) => written = out.write_all(renderer.result(result).as_bytes()).and_then(|()| out.flush()),
                Err(error) => report_error(error),
            });
            tally.add(outcome.as_ref());
            progress.advance(index + 1, sources.get(index).map_or(0, bytes_of));
            written.is_ok()
        });
        written
    }
}

fn renderer(args: &Args, engine: &Engine) -> Box<dyn Renderer> {
    let colourful = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match args.format {
        Format::Jsonl => Box::new(Jsonl(provenance(engine))),
        Format::Csv => Box::new(Csv(provenance(engine))),
        Format::Text => Box::new(Text {
            colour: if colourful { Colour::Ansi } else { Colour::Never },
            detail: if args.verbose { Detail::Segments } else { Detail::Line },
        }),
    }
}

fn scan_one(engine: &Engine, source: &Source, raw: Option<RawSpec>) -> Result<ScanResult> {
    match source {
        Source::File(path) => engine.scan_path(path, raw),
        Source::Stream(path) => {
            let shown = path.display().to_string();
            let stream = File::open(path).map_err(|e| Error::io(&shown, e))?;
            engine.scan_stream(stream, &shown, raw)
        }
        Source::Stdin => engine.scan_stream(io::stdin().lock(), "-", raw),
    }
}

fn bytes_of(source: &Source) -> u64 {
    match source {
        Source::File(path) => path.metadata().map_or(0, |found| found.len()),
        Source::Stream(_) | Source::Stdin => 0,
    }
}
