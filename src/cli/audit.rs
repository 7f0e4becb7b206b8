//! `clonewatch audit`: is the audit log whole?

use std::path::PathBuf;

use super::print;
use crate::{
    config::Config,
    error::{Error, Exit, Result},
    store::{
        self,
        audit::{Chain, Head, verify},
    },
};

/// Arguments of `clonewatch audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub action: Action,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Follow the chain of hashes from the first row to the last; works beside a running daemon
    Verify {
        /// Configuration file [default: /etc/clonewatch/clonewatch.toml, where there is one]
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A row that was noted earlier, and must still be there
        #[arg(long, value_name = "ROW:HASH")]
        head: Option<String>,
    },
}

/// Follows the chain.
///
/// # Errors
/// A store that cannot be read, or a chain that is broken.
pub fn run(args: &Args) -> Result<Exit> {
    let Action::Verify { config, head } = &args.action;
    let expected = head.as_deref().map(parse_head).transpose()?;
    let dir = Config::load(config.as_deref())?.store.dir;
    let connection = store::open_readonly(&dir)?;
    match verify(&connection, expected.as_ref())? {
        Chain::Whole(head) => print(format!("whole: {} rows, head {}:{}\n", head.seq, head.seq, head.hash).as_bytes()),
        Chain::Broken { seq, why } => {
            Err(Error::Config(format!("{}: audit row {seq}: {why}", dir.join(store::DATABASE).display())))
        }
    }
}

fn parse_head(text: &str) -> Result<Head> {
    let parts = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash)));
    let parts = parts.filter(|(seq, hash)| *seq >= 0 && hash.len() == 64);
    let (seq, hash) = parts.ok_or_else(|| Error::Usage(format!("--head: {text} – must be ROW:HASH, as printed")))?;
    Ok(Head { seq, hash: hash.to_owned() })
}
