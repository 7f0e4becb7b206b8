//! Watched folders: what is dropped in is judged once, and its verdict put beside it or the file sorted by it.
//!
//! Flow: inotify events and a periodic walk → [`pending`](Pending) until the size is stable → worker threads: SHA-256,
//! then the [`Desk`] judges content that the [`Ledger`] does not know → result as JSON, file moved or left → ledger.
//!
//! - **Judged once.** The key is the content's SHA-256 with extension, model and policy, kept across restarts. The same
//!   content under another name gets the same verdict under its own name.
//! - **Nothing is lost.** Events only hasten: whatever they miss (a full queue, a network folder, a folder that was away)
//!   the walk finds. A crash at any moment is repaired by doing the same again, see [`Placed`].
//! - **Nothing is overwritten,** and nothing outside is touched: no symbolic link below the folder is followed, neither
//!   for reading nor for writing. Links are refused by name, hidden names and result folders are left out.
//! - **Bounded:** events, waiting files, folder depth and entries, kept verdicts, threads. What does not fit waits for the
//!   next walk.
//!
//! One thread owns all decisions, the workers only read and judge. It ends when told to, after the files in work.

mod engine;
mod events;
mod ledger;
mod pending;
mod place;
mod tree;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

pub use engine::run;
pub use ledger::{Known, Ledger};
pub use place::Placed;

use crate::{
    config::Layout,
    error::{Error, Result},
    policy::Action,
};

#[cfg(doc)]
use pending::Pending;

/// How one folder is watched.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder; paths in results begin with it as it is written here.
    pub folder: PathBuf,
    /// What is done with a judged file.
    pub placing: Placing,
    /// Whether folders inside are watched too.
    pub depth: Depth,
    /// A file is judged when two looks this far apart find the same size and time.
    pub settle: Duration,
    /// Time between walks through the whole folder.
    pub rescan: Duration,
    /// Whether the system is asked for events as well.
    pub notices: Notices,
    /// Files judged at once.
    pub threads: usize,
    /// Files that wait at once; more are found by a later walk.
    pub most_pending: usize,
    /// Events that wait at once; where more come, the folder is walked.
    pub most_events: usize,
}

/// Where the engine learns of new files from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notices {
    /// Events of the system, and walks.
    Events,
    /// Walks alone, for folders of other machines.
    Walks,
}

/// How far down a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Folders inside, too.
    Tree,
    /// Only files that lie in the folder itself.
    Folder,
}

/// What is done with a judged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placing {
    /// It is moved, its result beside it.
    Move(Folders),
    /// It stays, its result beside it.
    Tag,
}

/// Where judged files go, by what the policy says to do with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// [`Action::Accept`]: unless the policy says otherwise, what is likely genuine.
    pub accepted: PathBuf,
    /// [`Action::Review`]: what is inconclusive.
    pub review: PathBuf,
    /// [`Action::Flag`]: what is likely cloned.
    pub flagged: PathBuf,
    /// Whether folders inside the watched one are made again there.
    pub layout: Layout,
}

impl Folders {
    /// `accepted`, `review` and `flagged` in the watched folder itself.
    pub fn below(folder: &Path) -> Self {
        let [accepted, review, flagged] = ["accepted", "review", "flagged"].map(|name| folder.join(name));
        Self { accepted, review, flagged, layout: Layout::Tree }
    }
}

impl Settings {
    /// The usual: results sorted into the folder itself, judged after 2 s of quiet, walked once a minute.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            placing: Placing::Move(Folders::below(&folder)),
            folder,
            depth: Depth::Tree,
            settle: Duration::from_secs(2),
            rescan: Duration::from_secs(60),
            notices: Notices::Events,
            threads: 1,
            most_pending: 10_000,
            most_events: 4_096,
        }
    }
}

/// Who judges, and who is told.
pub trait Desk: Sync {
    /// Stands for everything but the file that a verdict depends on: model and policy. Part of the key.
    fn basis(&self) -> String;

    /// Judges an open file that is shown as `shown`.
    ///
    /// # Errors
    /// Only what is not the media's doing; the file is tried again later. [`Error::Interrupted`] is no fault: it is tried
    /// again as soon as may be.
    fn judge(&self, file: File, shown: &str) -> Result<Judged>;

    /// A file has been dealt with.
    fn delivered(&self, delivery: &Delivery);

    /// Something that a person should know, in one line; said once, not at every attempt.
    fn trouble(&self, message: &str);
}

/// A verdict of the [`Desk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What the policy says to do with the file.
    pub action: Action,
    /// As `scan --format jsonl` writes it, with the line feed.
    pub line: String,
    /// The path that the line shows; another than was asked for where the answer was there already.
    pub shown: String,
    /// Of the bytes that were judged.
    pub sha256: String,
}

/// A file that has been dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The path it was found under.
    pub shown: String,
    /// The verdict; its line names this file.
    pub known: Known,
    /// Where file and result are now.
    pub placed: Placed,
    /// Whether the verdict was given before, to a file of the same content.
    pub is_repeated: bool,
}

/// The verdict line given for the path `from`, for a file of the same content at `to`.
fn relabelled(line: &str, from: &str, to: &str) -> Result<String> {
    let head = |path: &str| {
        let path = serde_json::to_string(path).expect("a string is JSON");
        format!("{{\"schema\":\"clonewatch/1\",\"input\":{{\"path\":{path},")
    };
    let rest = line.strip_prefix(&head(from));
    rest.map(|rest| head(to) + rest).ok_or_else(|| Error::Fault(format!("the result kept for {from} begins otherwise")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_gets_the_same_line_under_its_own_name() {
        let line = r#"{"schema":"clonewatch/1","input":{"path":"in/a \"x\".wav","sha256":"cd"},"decision":"spoof"}"#;
        let copy = relabelled(line, "in/a \"x\".wav", "in/b\\.wav").unwrap();
        assert_eq!(copy, r#"{"schema":"clonewatch/1","input":{"path":"in/b\\.wav","sha256":"cd"},"decision":"spoof"}"#);
        assert!(relabelled(line, "in/b.wav", "in/c.wav").is_err());
    }
}
