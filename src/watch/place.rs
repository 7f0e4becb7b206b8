//! Where results go: a line of JSON beside the file, and the file itself into the folder of its decision.
//!
//! The result is written before the file moves, both under names that nothing had. So a crash at any moment leaves
//! either nothing, or a result with exactly the bytes that a second attempt writes: the attempt finds its own traces
//! and goes on, without a journal of its own.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    Folders, Placing,
    ledger::{Known, Ledger},
    tree::{Existing, Stamp, Tree, make_output},
};
use crate::{
    config::Layout,
    error::{Error, Result},
    policy::Action,
    scan::sha256_of,
};

/// Names tried for one file before giving up.
const MAX_NUMBER: u32 = 9_999;
/// A result file larger than this is none of ours.
const MAX_RESULT_BYTES: u64 = 16 << 20;

/// Writes results and moves files.
pub(super) struct Places {
    placing: Placing,
    /// Opened when first needed, and again where a folder was replaced.
    outputs: [Option<Tree>; 3],
}

/// Where a file and its result ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The file, where it was moved.
    pub moved_to: Option<PathBuf>,
    /// The JSON.
    pub result: PathBuf,
}

impl Places {
    /// Makes the folders for results, and checks that none of them holds the watched one.
    pub(super) fn new(placing: &Placing, watched: &Path) -> Result<Self> {
        let root = watched.canonicalize().map_err(|e| Error::io(watched.display(), e))?;
        for folder in folders_of(placing) {
            make_output(folder).map_err(|e| Error::io(folder.display(), e))?;
            let resolved = folder.canonicalize().map_err(|e| Error::io(folder.display(), e))?;
            if root.starts_with(&resolved) {
                let (folder, watched) = (folder.display(), watched.display());
                return Err(Error::Usage(format!(
                    "{folder}: holds the watched folder {watched} – name another folder"
                )));
            }
        }
        Ok(Self { placing: placing.clone(), outputs: [None, None, None] })
    }

    /// Folders for results that lie in the watched folder, relative to it: what is in them has been judged.
    pub(super) fn inside(&self, watched: &Path) -> Vec<PathBuf> {
        let Ok(root) = watched.canonicalize() else { return Vec::new() };
        let below = |folder: &Path| folder.canonicalize().ok()?.strip_prefix(&root).ok().map(Path::to_owned);
        folders_of(&self.placing).into_iter().filter_map(below).collect()
    }

    /// Delivers the verdict on the file `below`, unless that has changed since.
    pub(super) fn place(&mut self, tree: &Tree, below: &Path, stamp: Stamp, verdict: Verdict<'_>) -> Result<Placed> {
        let Verdict { known, sha256, ledger } = verdict;
        let Placing::Move(folders) = &self.placing else { return tag(tree, below, stamp, known, ledger) };
        let (index, folder) = place_of(folders, known.action);
        let name = if folders.layout == Layout::Flat { below.file_name().unwrap_or_default().as_ref() } else { below };
        let output = self.output(index, &folder)?;
        let failed = |path: &Path, e: std::io::Error| Error::io(folder.join(path).display(), e);
        for number in 1..=MAX_NUMBER {
            let target = numbered(name, number);
            let result = result_name(&target);
            let placed = Placed { moved_to: Some(folder.join(&target)), result: folder.join(&result) };
            let is_ours = output.read(&result, MAX_RESULT_BYTES).as_deref() == Some(known.line.as_bytes());
            if is_ours && is_same(output, &target, sha256) {
                // Moved by copying, with a crash before the original was removed; or the same file once more.
                tree.remove(below, stamp).map_err(|e| Error::io(below.display(), e))?;
                return Ok(placed);
            }
            if output.exists(&target) || (!is_ours && output.exists(&result)) {
                continue;
            }
            if !is_ours {
                match output.write(&result, known.line.as_bytes(), Existing::Keep) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    other => other.map_err(|e| failed(&result, e))?,
                }
            }
            match tree.move_to(below, stamp, output, &target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    // A result without its file would be read as an answer about something else.
                    if !output.exists(&target) {
                        withdraw(output, &result);
                    }
                    return Err(failed(&target, error));
                }
                Ok(()) => return Ok(placed),
            }
        }
        Err(Error::Usage(format!(
            "{}: {MAX_NUMBER} files of that name are in {} – clear it",
            below.display(),
            folder.display()
        )))
    }

    fn output(&mut self, index: usize, folder: &Path) -> Result<&Tree> {
        let slot = &mut self.outputs[index];
        if !slot.as_ref().is_some_and(Tree::is_current) {
            make_output(folder).map_err(|e| Error::io(folder.display(), e))?;
            *slot = Some(Tree::open(folder).map_err(|e| Error::io(folder.display(), e))?);
        }
        Ok(slot.as_ref().expect("opened just now"))
    }
}

/// What is delivered, and the memory that must know of it.
pub(super) struct Verdict<'a> {
    pub(super) known: &'a Known,
    pub(super) sha256: &'a str,
    pub(super) ledger: &'a Ledger,
}

/// Writes the result beside the file. One that was written for this path before is replaced; others are left alone.
fn tag(tree: &Tree, below: &Path, stamp: Stamp, known: &Known, ledger: &Ledger) -> Result<Placed> {
    let shown = |path: &Path| tree.path().join(path);
    let failed = |path: &Path, e: std::io::Error| Error::io(shown(path).display(), e);
    if tree.stamp(below).map_err(|e| failed(below, e))? != Some(stamp) {
        return Err(failed(below, std::io::Error::new(ErrorKind::Interrupted, "changed while it was judged")));
    }
    let earlier = ledger.result_of(below)?;
    for number in 1..=MAX_NUMBER {
        let result = numbered(&result_name(below), number);
        let is_earlier = earlier.as_ref() == Some(&result);
        let is_written = tree.read(&result, MAX_RESULT_BYTES).as_deref() == Some(known.line.as_bytes());
        if !is_written {
            let existing = if is_earlier { Existing::Replace } else { Existing::Keep };
            match tree.write(&result, known.line.as_bytes(), existing) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other.map_err(|e| failed(&result, e))?,
            }
        }
        ledger.tag(below, stamp, &result)?;
        return Ok(Placed { moved_to: None, result: shown(&result) });
    }
    Err(Error::Usage(format!("{}: {MAX_NUMBER} results are beside it – clear them", shown(below).display())))
}

fn withdraw(output: &Tree, result: &Path) {
    if let Ok(Some(stamp)) = output.stamp(result) {
        let _ = output.remove(result, stamp);
    }
}

fn is_same(output: &Tree, target: &Path, sha256: &str) -> bool {
    let found = output.file(target).map(|(mut file, _)| sha256_of(&mut file, "", &|| true));
    matches!(found, Ok(Ok(found)) if found == sha256)
}

fn place_of(folders: &Folders, action: Action) -> (usize, PathBuf) {
    match action {
        Action::Accept => (0, folders.accepted.clone()),
        Action::Review => (1, folders.review.clone()),
        Action::Flag => (2, folders.flagged.clone()),
    }
}

fn folders_of(placing: &Placing) -> Vec<&Path> {
    match placing {
        Placing::Tag => Vec::new(),
        Placing::Move(folders) => vec![&folders.accepted, &folders.review, &folders.flagged],
    }
}

/// `a/b.mp3` → `a/b.mp3.json`.
fn result_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// `a/b.mp3` → `a/b-2.mp3`; the first keeps its name.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_of_results_and_further_files() {
        for (path, number, name, result) in [
            ("a/b.mp3", 1, "a/b.mp3", "a/b.mp3.json"),
            ("a/b.mp3", 2, "a/b-2.mp3", "a/b-2.mp3.json"),
            ("c.tar.wav", 10, "c.tar-10.wav", "c.tar-10.wav.json"),
        ] {
            let found = numbered(Path::new(path), number);
            assert_eq!((found.as_path(), result_name(&found).as_path()), (Path::new(name), Path::new(result)));
        }
    }

    #[test]
    fn a_result_folder_must_not_hold_the_watched_one() {
        let folder = tempfile::tempdir().unwrap();
        let watched = folder.path().join("in");
        fs::create_dir(&watched).unwrap();
        let placing = |flagged: &Path| Placing::Move(Folders { flagged: flagged.into(), ..Folders::below(&watched) });
        for outer in [folder.path(), &watched] {
            let refusal = Places::new(&placing(outer), &watched).err().unwrap().to_string();
            assert!(refusal.contains("holds the watched folder"), "{refusal}");
        }
        let places = Places::new(&placing(&folder.path().join("out")), &watched).unwrap();
        assert_eq!(places.inside(&watched), [Path::new("accepted"), Path::new("review")]);
    }
}
