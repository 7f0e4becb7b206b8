//! The spool: one file per job whose audio has come in and is not judged yet, or is kept.
//!
//! `<id>.part` is being written; `<id>.audio` is complete and on disk. A `.part` that outlives the process, or an
//! `.audio` that no job knows, is removed when the store opens.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{JobId, Result, StoreError};

/// The folder.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        make_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where the complete audio of `job` is.
    pub fn path_of(&self, job: &JobId) -> PathBuf {
        self.dir.join(format!("{job}.audio"))
    }

    fn part_of(&self, job: &JobId) -> PathBuf {
        self.dir.join(format!("{job}.part"))
    }

    /// A new file for the audio of `job`, readable by its owner only.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(&self, job: &JobId) -> Result<File> {
        let path = self.part_of(job);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
        file.map_err(|e| StoreError::io(&path, e))
    }

    /// Gives the audio of `job`, which is on disk already, its final name, and puts that on disk too.
    ///
    /// # Errors
    /// The disk is full or fails; the job must not be accepted then.
    pub fn publish(&self, job: &JobId) -> Result<()> {
        let part = self.part_of(job);
        fs::rename(&part, self.path_of(job)).map_err(|e| StoreError::io(&part, e))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|e| StoreError::io(&self.dir, e))
    }

    /// Removes whatever there is of `job`'s audio.
    pub fn remove(&self, job: &JobId) {
        // What is not there is removed; what cannot be is swept when the store opens next.
        let _ = fs::remove_file(self.part_of(job));
        let _ = fs::remove_file(self.path_of(job));
    }

    /// Removes files that belong to none of the jobs in `known`; how many there were.
    pub(super) fn sweep(&self, known: &BTreeSet<String>) -> Result<usize> {
        let fault = |e| StoreError::io(&self.dir, e);
        let mut swept = 0;
        for entry in fs::read_dir(&self.dir).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if !name.strip_suffix(".audio").is_some_and(|id| known.contains(id)) {
                fs::remove_file(&path).map_err(|e| StoreError::io(&path, e))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

/// Makes `dir`, for its owner only, where it is missing.
pub(super) fn make_private_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| StoreError::io(dir, e))
}
