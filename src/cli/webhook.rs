//! `clonewatch webhook`: tries receivers out, lists events that could not be delivered, and sends them again.

use std::{path::PathBuf, time::Instant};

use super::{counted, note, print, render::printable};
use crate::{
    config::{Config, Webhook},
    error::{Error, Exit, Result},
    serve::webhook::{client_of, send_test},
    store::{self, UnixMs, outbox},
};

/// Dead events that are listed at once.
const PAGE: u32 = 1_000;

/// Arguments of `clonewatch webhook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration of the daemon [default: /etc/clonewatch/clonewatch.toml]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub action: Action,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Send a signed test event, now and once, and say what came of it
    Test {
        /// A receiver of the configuration [default: all]
        name: Option<String>,
    },
    /// List events that were given up, newest first
    Dead {
        /// Print JSON, one object per line
        #[arg(long)]
        json: bool,
    },
    /// Send events again that were given up; the running daemon takes them up within seconds
    Retry {
        /// Their numbers, as `dead` lists them
        #[arg(value_name = "NUMBER", required_unless_present = "all")]
        numbers: Vec<i64>,
        /// All of them
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

/// Does it.
///
/// # Errors
/// The configuration or the store cannot be used; a receiver or a number that does not exist.
pub fn run(args: &Args) -> Result<Exit> {
    let config = Config::load(args.config.as_deref())?;
    match &args.action {
        Action::Test { name } => test(&config, name.as_deref()),
        Action::Dead { json } => dead(&config, *json),
        Action::Retry { numbers, all } => retry(&config, if *all { None } else { Some(numbers) }),
    }
}

fn test(config: &Config, name: Option<&str>) -> Result<Exit> {
    let wanted: Vec<&Webhook> =
        config.webhooks.iter().filter(|webhook| name.is_none_or(|name| webhook.name == name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        let asked = name.map_or_else(String::new, |name| format!("{name}: "));
        return Err(Error::Usage(format!("{asked}no such receiver – the configuration has: {}", listed(&names))));
    }
    let mut exit = Exit::BonaFide;
    for webhook in wanted {
        let client = client_of(webhook)?;
        let started = Instant::now();
        let said = match send_test(&client) {
            Ok(()) => format!("delivered in {:.1} s", started.elapsed().as_secs_f64()),
            Err(failure) => {
                exit = Exit::Operational;
                failure.why
            }
        };
        print(format!("{}: {}\n", webhook.name, printable(&said)).as_bytes())?;
    }
    Ok(exit)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn dead(config: &Config, json: bool) -> Result<Exit> {
    let connection = store::open_readonly(&config.store.dir)?;
    let mut before = 0;
    loop {
        let page = outbox::dead(&connection, before, PAGE)?;
        let Some(last) = page.last() else { return Ok(Exit::BonaFide) };
        before = last.seq;
        let lines: String =
            page.iter().map(|delivery| if json { json_of(delivery) } else { line_of(delivery) }).collect();
        if print(lines.as_bytes())? == Exit::Operational {
            return Ok(Exit::Operational);
        }
    }
}

fn json_of(delivery: &outbox::Delivery) -> String {
    serde_json::to_string(delivery).expect("strings and numbers") + "\n"
}

fn line_of(delivery: &outbox::Delivery) -> String {
    let outbox::Delivery { seq, endpoint, kind, event_id, attempts, created_at, error, .. } = delivery;
    let error = printable(error.as_deref().unwrap_or_default());
    let attempts = counted(*attempts as usize, "attempt");
    format!("{seq:>6}  {created_at}  {endpoint}  {kind}  {event_id}  {attempts}: {error}\n")
}

fn retry(config: &Config, numbers: Option<&[i64]>) -> Result<Exit> {
    let mut connection = store::open_beside(&config.store.dir)?;
    let tx = connection.transaction().map_err(store::StoreError::from)?;
    let count = match numbers {
        Some(numbers) => {
            for number in numbers {
                if !outbox::revive(&tx, *number, UnixMs::now())? {
                    let message = "no dead event of that number – see clonewatch webhook dead";
                    return Err(Error::Usage(format!("{number}: {message}")));
                }
            }
            numbers.len()
        }
        None => revive_all(&tx)?,
    };
    tx.commit().map_err(store::StoreError::from)?;
    note(format_args!("clonewatch: {} to be sent again", counted(count, "event")));
    Ok(Exit::BonaFide)
}

fn revive_all(tx: &rusqlite::Connection) -> Result<usize> {
    let mut count = 0;
    loop {
        let page = outbox::dead(tx, 0, PAGE)?;
        if page.is_empty() {
            return Ok(count);
        }
        for delivery in page {
            count += usize::from(outbox::revive(tx, delivery.seq, UnixMs::now())?);
        }
    }
}
