//! `clonewatch top`: the daemon's queue and live calls in the terminal, once a second.
//!
//! Flow: [`client`] asks the daemon → [`facts`] reads its answers → [`screen`] draws them as lines → [`terminal`] shows
//! these and reads keys. The daemon's own HTTP API is all that is used, so it works from elsewhere too.

mod client;
mod facts;
mod screen;
mod terminal;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{client::Client, facts::Facts, screen::Size, terminal::Terminal};
use super::{interrupt::Interrupt, print, render::Colour};
use crate::{
    config::Server,
    error::{Exit, Result},
};

/// Time between two looks.
const REFRESH: Duration = Duration::from_secs(1);

/// Arguments of `clonewatch top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The daemon's Unix socket [default: /run/clonewatch/clonewatch.sock]
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub socket: Option<PathBuf>,
    /// The daemon's address, such as https://clonewatch.example.com:8750; the token, of scope `read`, is in
    /// CLONEWATCH_TOKEN
    #[arg(long)]
    pub url: Option<String>,
    /// A PEM file of the authorities to trust with --url instead of the built-in ones
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// Print what there is now, and end; so does any output that is no terminal
    #[arg(long)]
    pub once: bool,
}

/// Shows the daemon until `q` is pressed.
///
/// # Errors
/// The daemon cannot be asked, or not by this token.
pub fn run(args: &Args) -> Result<Exit> {
    let client = match &args.url {
        Some(url) => Client::over_tcp(url, args.ca.as_deref())?,
        None => Client::over_unix(args.socket.clone().unwrap_or_else(|| Server::default().unix_socket)),
    };
    if args.once || !io::stdout().is_terminal() {
        let lines = screen::draw(&Facts::ask(&client)?, Size::PAGE, Colour::Never);
        return print((lines.join("\n") + "\n").as_bytes());
    }
    // Asked before the screen is taken, so that a wrong address is an ordinary error.
    let mut facts = Facts::ask(&client)?;
    let interrupt = Interrupt::listen_quietly()?;
    let mut terminal = Terminal::take()?;
    loop {
        let asked = Instant::now();
        terminal.show(&screen::draw(&facts, terminal.size(), Colour::Ansi))?;
        while let Some(left) = REFRESH.checked_sub(asked.elapsed()) {
            if terminal.wants_to_end(left)? || interrupt.is_raised() {
                return Ok(Exit::BonaFide);
            }
        }
        match Facts::ask(&client) {
            Ok(new) => facts = new,
            // It may come back: a restart must not end the watch.
            Err(error) => facts.trouble = Some(error.to_string()),
        }
    }
}
