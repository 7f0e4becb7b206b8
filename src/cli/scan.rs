//! `clonewatch scan`: judges files, folders and standard input, and answers with text, JSONL or CSV and an exit code.
//!
//! Flow: paths → [`Inputs`] → one file per thread at a time → results in input order → [`super::render`], and into a
//! [`crate::report`] where one is asked for.
//! Bad media is a result; an unreadable file is reported, and the rest goes on.

use std::{
    fs::File,
    io::{self, ErrorKind, IsTerminal, Write},
    path::{Path, PathBuf},
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
    report::{Basis, Plan, Portrait, ReportWriter, shell_command},
    scan::{Engine, ScanResult, Scanned},
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
    /// Write an HTML page with the evidence: spectrograms, segments, quality, provenance
    #[arg(long, value_name = "FILE.html", value_parser = html_name)]
    pub report: Option<PathBuf>,
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

    let mut report = args.report.as_ref().map(|path| begin_report(args, path, &engine, &inputs)).transpose()?;
    let batch = Batch { args, engine: &engine, inputs: &inputs, interrupt: &interrupt };
    let written = batch.scan_all(&mut tally, report.as_mut());
    match written {
        // Not all was delivered, so this must not look like a clean bill of health.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Operational),
        other => other?,
    }
    report.map_or(Ok(()), ReportWriter::finish)?;
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
    fn scan_all(&self, tally: &mut Tally, mut report: Option<&mut ReportWriter>) -> Result<()> {
        let sources = &self.inputs.sources;
        let renderer = renderer(self.args, self.engine);
        let mut out = io::stdout().lock();
        let fault = |e| Error::io("standard output", e);
        let mut print = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(fault);
        print(&renderer.header())?;
        let progress = Progress::new(sources.len(), self.inputs.total_bytes);
        let mut written = Ok(());
        let plan = report.as_deref().map(|report| report.plan().clone());
        let work = |source: &Source| self.scan_one(source, plan.as_ref());
        ordered_map(sources, self.args.engine.thread_count(), self.interrupt.flag(), work, |index, outcome| {
            progress.around(|| match &outcome {
                Ok((result, _)) => written = print(&renderer.result(result)),
                Err(error) => report_error(error),
            });
            if let (Ok(()), Some(report)) = (&written, report.as_deref_mut()) {
                written = report.add(outcome.as_ref().map(|(result, portrait)| (result, portrait.as_ref())));
            }
            tally.add(outcome.as_ref().map(|(result, _)| result));
            progress.advance(index + 1, sources.get(index).map_or(0, bytes_of));
            written.is_ok()
        });
        written
    }

    /// One input's result, and what the report shows of it beyond.
    fn scan_one(&self, source: &Source, plan: Option<&Plan>) -> Result<(ScanResult, Option<Portrait>)> {
        let (engine, raw) = (self.engine, self.args.raw);
        let then = |mut scanned: Scanned<'_>| {
            let is_shown = plan.is_some_and(|plan| plan.shows(scanned.result.decision));
            is_shown.then(|| Portrait::of(&mut scanned, &engine.limits, &|| true)).transpose()
        };
        match source {
            Source::File(path) => engine.scan_path_then(path, raw, then),
            Source::Stream(path) => {
                let shown = path.display().to_string();
                let stream = File::open(path).map_err(|e| Error::io(&shown, e))?;
                engine.scan_stream_then(stream, &shown, raw, then)
            }
            Source::Stdin => engine.scan_stream_then(io::stdin().lock(), "-", raw, then),
        }
    }
}

/// Takes only names of web pages: `--report` before a forgotten name must not replace a recording.
fn html_name(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension {
        Some(extension) if extension == "html" || extension == "htm" => Ok(path),
        _ => Err("the page to write – must end in .html".into()),
    }
}

fn begin_report(args: &Args, path: &Path, engine: &Engine, inputs: &Inputs) -> Result<ReportWriter> {
    let mut report = ReportWriter::begin(Plan {
        path: path.to_owned(),
        input_count: inputs.sources.len() + inputs.failures.len(),
        basis: Basis::of(&engine.model, &engine.policy),
        command: shell_command(&command_words(args)),
    })?;
    inputs.failures.iter().try_for_each(|error| report.add(Err(error)))?;
    Ok(report)
}

/// What has to be typed to get the same page; threads and format do not change it.
fn command_words(args: &Args) -> Vec<String> {
    /// Paths that a page repeats; a longer list came from a pattern that the shell had replaced.
    const MOST_PATHS: usize = 20;
    let text = |path: &PathBuf| path.display().to_string();
    let mut words = vec!["clonewatch".to_owned(), "scan".to_owned()];
    words.extend(args.paths.iter().take(MOST_PATHS).map(text));
    let omitted = args.paths.len().saturating_sub(MOST_PATHS);
    words.extend((omitted > 0).then(|| format!("({omitted} more paths)")));
    let paths = [("--model", &args.engine.model), ("--policy", &args.engine.policy)];
    for (name, value) in paths {
        words.extend(value.iter().flat_map(|path| [name.to_owned(), text(path)]));
    }
    words.extend(args.follow_symlinks.then(|| "--follow-symlinks".to_owned()));
    words.extend(args.raw.iter().flat_map(|raw| ["--raw".to_owned(), raw.to_string()]));
    words.extend(["--report".to_owned(), "report.html".to_owned()]);
    words
}

fn renderer(args: &Args, engine: &Engine) -> Box<dyn Renderer> {
    let colourful = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match args.format {
        Format::Jsonl => Box::new(Jsonl(provenance(engine))),
        Format::Csv => Box::new(Csv(provenance(engine))),
        Format::Text => Box::new(Text {
            colour: if colourful { Colour::Ansi } else { Colour::Never },
            detail: if args.verbose { Detail::Segments } else { Detail::Line },
            thresholds: engine.policy.thresholds,
        }),
    }
}

fn bytes_of(source: &Source) -> u64 {
    match source {
        Source::File(path) => path.metadata().map_or(0, |found| found.len()),
        Source::Stream(_) | Source::Stdin => 0,
    }
}
