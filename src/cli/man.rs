//! `clonewatch man`: manual pages, from the same table that parses the arguments.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory};

use super::{Cli, print};
use crate::error::{Error, Exit, Result};

/// Arguments of `clonewatch man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the page of every command into this folder instead of the main page to standard output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// The folder or standard output cannot be written.
pub fn run(args: &Args) -> Result<Exit> {
    let mut command = Cli::command();
    command.build();
    match &args.out {
        None => {
            let page = page(command).map_err(|e| Error::io("standard output", e))?;
            print(&page)
        }
        Some(folder) => {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder.display(), e))?;
            write_all(command, "clonewatch", folder)?;
            Ok(Exit::BonaFide)
        }
    }
}

/// Writes `clonewatch.1`, `clonewatch-scan.1` and so on, down to commands of commands.
fn write_all(command: Command, name: &str, folder: &Path) -> Result<()> {
    for child in command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help") {
        let child_name = format!("{name}-{}", child.get_name());
        write_all(child.clone(), &child_name, folder)?;
    }
    let path = folder.join(format!("{name}.1"));
    // clap wants its names for ever; there is one per command.
    let command = command.name(name.to_owned().leak() as &'static str);
    let page = page(command).map_err(|e| Error::io(path.display(), e))?;
    fs::write(&path, page).map_err(|e| Error::io(path.display(), e))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
