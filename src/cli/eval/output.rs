//! A file that is opened before long work begins and filled after it: a name that cannot be written costs no hours.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Keeps what the file held until [`OutputFile::write`]; a file that was not there before and is never written goes
/// away again.
pub struct OutputFile {
    path: PathBuf,
    file: File,
    is_to_be_removed: bool,
}

impl OutputFile {
    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path.display(), e);
        let (file, is_to_be_removed) = match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path).map_err(io)?, false)
            }
            Err(e) => return Err(io(e)),
        };
        Ok(Self { path: path.to_owned(), file, is_to_be_removed })
    }

    /// Replaces the file's content.
    ///
    /// # Errors
    /// It cannot be written to its end.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        self.is_to_be_removed = false;
        self.replace(bytes).map_err(|e| Error::io(self.path.display(), e))
    }

    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // Pipes and devices have no length to set.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(bytes)?;
        self.file.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_to_be_removed {
            // Nothing is lost where it stays: it is empty.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_content_stays_until_the_new_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.csv"), folder.path().join("new.csv"));
        fs::write(&old, "old and long").unwrap();
        let files = [&old, &new].map(|path| OutputFile::open(path).unwrap());
        drop(files);
        assert_eq!((fs::read_to_string(&old).unwrap().as_str(), new.exists()), ("old and long", false));
        for path in [&old, &new] {
            OutputFile::open(path).unwrap().write(b"new").unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "new");
        }
        assert!(OutputFile::open(folder.path()).is_err());
    }
}
