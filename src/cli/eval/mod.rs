//! `clonewatch eval`: error rates of a model on labelled recordings, with 95 % intervals and breakdowns.
//!
//! Flow: protocol CSV → filters → scored recordings (or a file of saved scores) → [`Report`] → text or JSON, DET, scores.

pub mod json;
pub mod output;
pub mod protocol;
pub mod report;
pub mod score;
pub mod scores;
pub mod text;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{
    engine::{EngineArgs, provenance},
    interrupt::Interrupt,
    print,
    render::Provenance,
    report_error,
};
use crate::{
    error::{Error, Exit, Result},
    metrics::{Curve, det_svg},
};
use output::OutputFile;
use protocol::{Families, Filter, Protocol};
use report::Report;
use scores::ScoredRow;

/// Arguments of `clonewatch eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV with header; needs columns path (relative to the file) and label (bonafide or spoof)
    #[arg(required_unless_present = "from_scores")]
    pub protocol: Option<PathBuf>,
    /// How to write the tables
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Draw the detection error trade-off into this file
    #[arg(long, value_name = "FILE.svg")]
    pub det: Option<PathBuf>,
    /// Save every recording's score into this file
    #[arg(long, value_name = "FILE.csv")]
    pub scores: Option<PathBuf>,
    /// Compute the tables from saved scores, without any audio
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["protocol", "scores", "join", "model", "policy"])]
    pub from_scores: Option<PathBuf>,
    /// Take only rows where this holds (COLUMN=VALUE or COLUMN!=VALUE); may be repeated
    #[arg(long = "where", value_name = "FILTER")]
    pub filters: Vec<Filter>,
    /// Spoof families to take: all, core (all but vocoder and codec copies) or a list with commas
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub families: Families,
    /// Break down by this column; may be repeated [default: every column with 2 to 40 values; "none" for none]
    #[arg(long, value_name = "COLUMN")]
    pub by: Vec<String>,
    /// Score every N recordings of the same label and alike in the columns of --join-by as one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub join: Option<u16>,
    /// What joined recordings have in common
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "speaker,system,source")]
    pub join_by: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub engine: EngineArgs,
}

/// How to write the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables for people
    Text,
    /// One JSON object
    Json,
}

/// What an evaluation was made of, for the head of its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The protocol or scores file.
    pub protocol: String,
    /// Filters as given.
    pub filters: Vec<String>,
    /// Families as given.
    pub families: String,
    /// Recordings joined into one.
    pub join: Option<u16>,
    /// What judged; unknown for saved scores.
    pub provenance: Option<Provenance>,
    /// Recordings that could not be read.
    pub failed_count: usize,
}

/// Files that the evaluation goes to, besides standard output.
struct Outputs {
    scores: Option<OutputFile>,
    det: Option<OutputFile>,
}

impl Outputs {
    fn open(args: &Args) -> Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::open).transpose();
        Ok(Self { scores: open(&args.scores)?, det: open(&args.det)? })
    }
}

/// Scores (or reads scores), measures and writes. Columns and output files are tried before anything is scored.
///
/// # Errors
/// Unusable protocol, model or policy; output that cannot be written; interruption.
pub fn run(args: &Args) -> Result<Exit> {
    let (scored, outputs) = match &args.from_scores {
        Some(path) => read_scores(args, path)?,
        None => score_protocol(args)?,
    };
    let (rows, columns, setting) = scored;
    let mut exits = vec![if setting.failed_count > 0 { Exit::Operational } else { Exit::BonaFide }];
    // A file that takes no more bytes must not cost the tables, so what fails from here on is reported.
    let mut save = |file: Option<OutputFile>, bytes: &dyn Fn() -> Vec<u8>| {
        if let Some(Err(error)) = file.map(|file| file.write(&bytes())) {
            report_error(&error);
            exits.push(Exit::Operational);
        }
    };
    save(outputs.scores, &|| scores::to_csv(&columns, &rows));
    let by = report::breakdown_columns(&columns, &rows, &args.by);
    let report = Report::new(&columns, &rows, &by, args.engine.thread_count());
    save(outputs.det, &|| draw_det(&setting, &report, &args.by).into_bytes());
    let text = match args.format {
        Format::Text => text::tables(&setting, &report),
        Format::Json => json::object(&setting, &report),
    };
    exits.push(print(text.as_bytes())?);
    Ok(exits.into_iter().max().unwrap_or(Exit::Operational))
}

type Scored = (Vec<ScoredRow>, Vec<String>, Setting);

fn setting(args: &Args, protocol: &Path, provenance: Option<Provenance>, failed_count: usize) -> Setting {
    Setting {
        protocol: protocol.display().to_string(),
        filters: args.filters.iter().map(ToString::to_string).collect(),
        families: args.families.to_string(),
        join: args.join,
        provenance,
        failed_count,
    }
}

fn read_scores(args: &Args, path: &Path) -> Result<(Scored, Outputs)> {
    let mut protocol = Protocol::read(path)?;
    let outcomes = scores::take_outcomes(&mut protocol, path)?;
    let kept = protocol.select(&args.filters, &args.families)?;
    let (columns, rows) = (protocol.columns, protocol.rows);
    report::check_breakdown(&columns, &args.by)?;
    let outputs = Outputs::open(args)?;
    let rows: Vec<ScoredRow> = rows
        .into_iter()
        .zip(outcomes)
        .zip(kept)
        .filter_map(|((row, outcome), keep)| keep.then_some(ScoredRow { row, outcome }))
        .collect();
    Ok(((rows, columns, setting(args, path, None, 0)), outputs))
}

fn score_protocol(args: &Args) -> Result<(Scored, Outputs)> {
    let path = args.protocol.as_deref().ok_or_else(|| Error::Usage("a protocol or --from-scores is needed".into()))?;
    let mut protocol = Protocol::read(path)?;
    protocol.drop_columns(&scores::COLUMNS);
    let kept = protocol.select(&args.filters, &args.families)?;
    let mut keep = kept.into_iter();
    protocol.rows.retain(|_| keep.next().unwrap_or(false));
    if protocol.rows.is_empty() {
        return Err(Error::Usage(format!("{}: no row is left after the filters", path.display())));
    }
    report::check_breakdown(&protocol.columns, &args.by)?;
    let engine = args.engine.load()?;
    let recordings = score::recordings(&protocol, args.join, &args.join_by)?;
    let outputs = Outputs::open(args)?;
    let interrupt = Interrupt::listen()?;
    let (rows, failed_count) = score::score_all(&engine, recordings, args.engine.thread_count(), &interrupt);
    if interrupt.is_raised() {
        return Err(Error::Interrupted);
    }
    Ok(((rows, protocol.columns, setting(args, path, Some(provenance(&engine)), failed_count)), outputs))
}

/// Headline rows, and those of columns that were asked for, as far as colours reach.
fn draw_det(setting: &Setting, report: &Report, asked: &[String]) -> String {
    const MOST_CURVES: usize = 6;
    let curves: Vec<Curve> = report
        .rows
        .iter()
        .filter(|row| row.column.as_ref().is_none_or(|column| asked.contains(column)))
        .filter_map(|row| row.steps.as_ref().map(|steps| Curve::new(row.title(), steps)))
        .take(MOST_CURVES)
        .collect();
    det_svg(&format!("Detection error trade-off, {}", setting.protocol), &curves)
}

/// Never raised: for work that Ctrl-C may simply end.
static NO_STOP: AtomicBool = AtomicBool::new(false);

/// Whether a person watches standard error.
fn is_watched() -> bool {
    io::stderr().is_terminal()
}
