//! `[[watch]]`: folders whose files are judged as they come.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Faults, PLAIN_NAME, is_plain_name, repeated};

/// One folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Source of its jobs is `watch:NAME`.
    pub name: String,
    /// The folder; absolute.
    pub dir: PathBuf,
    /// Policy for its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Go through folders inside.
    #[serde(default = "yes")]
    pub recursive: bool,
    /// What becomes of a judged file.
    #[serde(default)]
    pub on_done: OnDone,
    /// How outputs are laid out.
    #[serde(default)]
    pub layout: Layout,
    /// Where `accepted/`, `review/` and `flagged/` are; left out, in the folder itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_dir: Option<PathBuf>,
    /// A file whose size has not changed for so long is complete, in seconds.
    #[serde(default = "settle_secs")]
    pub settle_secs: u64,
    /// The whole folder is looked through so often, in seconds, whatever the system reports.
    #[serde(default = "rescan_secs")]
    pub rescan_secs: u64,
    /// Look every `rescan_secs` only, without the system's events: for network folders.
    #[serde(default)]
    pub poll: bool,
}

fn yes() -> bool {
    true
}

fn settle_secs() -> u64 {
    2
}

fn rescan_secs() -> u64 {
    60
}

/// What becomes of a judged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDone {
    /// It is moved to the folder of its action, with the result beside it.
    #[default]
    Move,
    /// It stays, and the result is written beside it.
    Tag,
}

/// How moved files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Folders inside the watched one are made again.
    #[default]
    Tree,
    /// All files in one folder per action.
    Flat,
}

pub(super) fn check(folders: &[Watch], faults: &mut Faults) {
    for (index, watch) in folders.iter().enumerate() {
        let key = |name: &str| format!("watch[{index}].{name}");
        if !is_plain_name(&watch.name) {
            faults.add(&key("name"), &watch.name, PLAIN_NAME);
        }
        if !watch.dir.is_absolute() {
            faults.add(&key("dir"), watch.dir.display(), "an absolute path");
        }
        if let Some(dir) = watch.output_dir.as_ref().filter(|dir| !dir.is_absolute()) {
            faults.add(&key("output_dir"), dir.display(), "an absolute path");
        }
        faults.range(&key("settle_secs"), watch.settle_secs, 0..=3_600);
        faults.range(&key("rescan_secs"), watch.rescan_secs, 1..=86_400);
    }
    for (index, name) in repeated(folders.iter().map(|watch| watch.name.as_str())) {
        faults.add(&format!("watch[{index}].name"), name, "a name that no other folder has");
    }
}
