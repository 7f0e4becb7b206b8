//! `clonewatch model`: what a model bundle is, and whether it may be used.

use std::path::PathBuf;

use super::{print, render::printable};
use crate::{
    error::{Exit, Result},
    model::ModelBundle,
    scan::load_model,
};

/// Arguments of `clonewatch model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub action: Action,
}

/// What to do with the bundle.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Say what a bundle is: id, date, hash, shapes, thresholds
    Info {
        /// Bundle folder, or `light` [default: the built-in one]
        dir: Option<PathBuf>,
    },
    /// Check a bundle as loading does: hashes, features, shapes, golden self-test
    Verify {
        /// Bundle folder, or `light` [default: the built-in one]
        dir: Option<PathBuf>,
    },
}

/// Loads the bundle, which verifies it, and describes it.
///
/// # Errors
/// The bundle cannot be read or is refused.
pub fn run(args: &Args) -> Result<Exit> {
    let text = match &args.action {
        Action::Info { dir } => describe(&load_model(dir.as_deref())?),
        Action::Verify { dir } => {
            let bundle = load_model(dir.as_deref())?;
            format!("{}: verified, sha256 {}\n", printable(&bundle.manifest().id), bundle.sha256())
        }
    };
    print(text.as_bytes())
}

fn describe(bundle: &ModelBundle) -> String {
    let manifest = bundle.manifest();
    let (network, thresholds) = (&manifest.network, &manifest.thresholds);
    let rows = [
        ("id", manifest.id.clone()),
        ("date", manifest.date.clone()),
        ("sha256", bundle.sha256().to_owned()),
        ("features", manifest.features_sha256.clone()),
        (
            "encoder",
            format!("{} frames → {} × {}", network.chunk_frames, network.embedding_frames, network.embedding_dims),
        ),
        ("spoof below", format!("LLR {:+.2}", thresholds.spoof_below)),
        ("bona fide above", format!("LLR {:+.2}", thresholds.bona_fide_above)),
        ("least speech", format!("{} s", thresholds.min_speech_secs)),
    ];
    let mut text: String = rows.iter().map(|(name, value)| format!("{name:<16} {}\n", printable(value))).collect();
    for (name, sha256) in &manifest.files {
        text += &format!("{:<16} {} {sha256}\n", "file", printable(name));
    }
    text
}
