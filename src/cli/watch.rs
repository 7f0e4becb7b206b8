//! `clonewatch watch`: judges what is dropped into a folder, until it is told to stop.
//!
//! Flow: arguments → [`watch::Settings`] → [`watch::run`] with the engine of `scan`; each file that has been dealt with
//! is a line on standard output, trouble goes to standard error.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{
    engine::{EngineArgs, provenance},
    interrupt::Interrupt,
    note,
    render::{Jsonl, Renderer, printable},
};
use crate::{
    config::Layout,
    decode::{OpenOptions, extension_of},
    error::{Error, Exit, Result},
    model::sha256_hex,
    scan::Engine,
    watch::{self, Delivery, Depth, Desk, Folders, Judged, Ledger, Notices, Placing, Settings},
};

/// Arguments of `clonewatch watch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, with the folders in it
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where likely genuine recordings go [default: DIR/accepted]
    #[arg(long, value_name = "DIR", conflicts_with = "tag")]
    pub accepted: Option<PathBuf>,
    /// Where inconclusive recordings go [default: DIR/review]
    #[arg(long, value_name = "DIR", conflicts_with = "tag")]
    pub review: Option<PathBuf>,
    /// Where likely cloned recordings go [default: DIR/flagged]
    #[arg(long, value_name = "DIR", conflicts_with = "tag")]
    pub flagged: Option<PathBuf>,
    /// Leave files where they are, and only write each one's result beside it
    #[arg(long)]
    pub tag: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub engine: EngineArgs,
    /// Look every SECS seconds instead of asking the system for events: for network folders
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub poll: Option<u64>,
    /// Judge a file once it has not changed for SECS seconds
    #[arg(long, value_name = "SECS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub settle: u64,
    /// Leave out folders inside
    #[arg(long)]
    pub no_recurse: bool,
    /// Where to remember what has been judged [default: a file per folder in the user's state folder]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// How to write results to standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How to write results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line per file, for people
    Text,
    /// The JSON object that is also written beside the file
    Jsonl,
}

/// Watches until Ctrl-C or a polite kill, and then ends the files in work.
///
/// # Errors
/// The folder, a folder for results, the model, the policy or the state file cannot be used.
pub fn run(args: &Args) -> Result<Exit> {
    let engine = args.engine.load()?;
    let settings = settings_of(args);
    // Before the state is looked for by its resolved path.
    std::fs::read_dir(&args.folder).map_err(|e| Error::io(args.folder.display(), e))?;
    let ledger = Ledger::open(&args.state.clone().map_or_else(|| state_file(&args.folder), Ok)?)?;
    let interrupt = Interrupt::listen()?;
    let desk = Alone { format: args.format, jsonl: Jsonl(provenance(&engine)), engine };
    watch::run(&settings, ledger, &desk, interrupt.flag())?;
    Ok(Exit::BonaFide)
}

fn settings_of(args: &Args) -> Settings {
    let usual = Settings::new(args.folder.clone());
    let below = Folders::below(&args.folder);
    let folders = Folders {
        accepted: args.accepted.clone().unwrap_or(below.accepted),
        review: args.review.clone().unwrap_or(below.review),
        flagged: args.flagged.clone().unwrap_or(below.flagged),
        layout: Layout::Tree,
    };
    Settings {
        placing: if args.tag { Placing::Tag } else { Placing::Move(folders) },
        depth: if args.no_recurse { Depth::Folder } else { Depth::Tree },
        settle: Duration::from_secs(args.settle),
        rescan: args.poll.map_or(usual.rescan, Duration::from_secs),
        notices: if args.poll.is_some() { Notices::Walks } else { Notices::Events },
        threads: args.engine.thread_count(),
        ..usual
    }
}

/// Memory of `folder`: named by the folder's resolved path, so that it is found again however that is written.
fn state_file(folder: &Path) -> Result<PathBuf> {
    let resolved = folder.canonicalize().map_err(|e| Error::io(folder.display(), e))?;
    let name = format!("watch-{}.sqlite", &sha256_hex(resolved.as_os_str().as_encoded_bytes())[..16]);
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|path| path.join("clonewatch")))
        .or_else(|| set("HOME").map(|path| path.join(".local/state/clonewatch")));
    let state = state.ok_or_else(|| Error::Usage("--state: missing – there is no home folder to keep it in".into()))?;
    Ok(state.join(name))
}

/// The engine of `scan` at a desk of its own.
struct Alone {
    engine: Engine,
    jsonl: Jsonl,
    format: Format,
}

impl Desk for Alone {
    fn basis(&self) -> String {
        basis_of(&self.engine)
    }

    fn judge(&self, file: File, shown: &str) -> Result<Judged> {
        let options = OpenOptions { raw: None, extension: extension_of(Path::new(shown)) };
        let heard = self.engine.screen_file(file, shown.to_owned(), &options, &|| true)?;
        let result = heard.judge(&self.engine.policy);
        Ok(Judged {
            action: self.engine.policy.action(result.decision),
            line: self.jsonl.result(&result),
            shown: shown.to_owned(),
            sha256: result.input.sha256,
        })
    }

    fn delivered(&self, delivery: &Delivery) {
        let line = match self.format {
            Format::Jsonl => delivery.known.line.clone(),
            Format::Text => text_of(delivery),
        };
        let mut out = io::stdout().lock();
        // The work goes on where nobody reads any more: the files are what counts.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }

    fn trouble(&self, message: &str) {
        note(format_args!("clonewatch: {message}"));
    }
}

/// Model and policy, whatever their names.
fn basis_of(engine: &Engine) -> String {
    sha256_hex(format!("{} {:?}", engine.model.sha256(), engine.policy).as_bytes())
}

fn text_of(delivery: &Delivery) -> String {
    let result: Value = serde_json::from_str(&delivery.known.line).unwrap_or_default();
    let answer = match result["decision"].as_str() {
        Some("spoof") => "likely cloned",
        Some("bona_fide") => "likely genuine",
        _ => "inconclusive",
    };
    let llr = result["llr"].as_f64().map_or_else(String::new, |llr| format!("LLR {llr:+6.2}"));
    let moved_to = delivery.placed.moved_to.as_ref();
    let place = moved_to.map_or_else(String::new, |path| format!("  → {}", printable(&path.display().to_string())));
    let again = if delivery.is_repeated { "  (judged before)" } else { "" };
    format!("{answer:<15}  {llr:<10}  {}{place}{again}\n", printable(&delivery.shown))
}
