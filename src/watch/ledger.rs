//! What a watched folder remembers across restarts: verdicts by content, and which files have been tagged. One SQLite
//! file, locked for as long as it is open, so that no two watchers work on one folder's memory.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, params};

use super::tree::Stamp;
use crate::{
    error::{Error, Result},
    policy::Action,
};

/// Verdicts that are kept; of more, the oldest are forgotten, and such a file would be judged again.
const MAX_VERDICTS: u32 = 20_000;
/// Written into the file; a ledger of another layout is refused.
const LAYOUT: i32 = 1;

const TABLES: &str = "
CREATE TABLE verdicts (
    key TEXT PRIMARY KEY, shown TEXT NOT NULL, action TEXT NOT NULL, line TEXT NOT NULL
) STRICT;
CREATE TABLE tagged (
    path BLOB PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL, result BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// A verdict as it was first given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The path it was given for, as the line shows it.
    pub shown: String,
    /// What the policy said to do.
    pub action: Action,
    /// The line of JSON, with its line feed.
    pub line: String,
}

/// The open memory.
pub struct Ledger {
    file: PathBuf,
    db: Connection,
}

impl Ledger {
    /// Opens `file`, or makes it.
    ///
    /// # Errors
    /// It cannot be written, is in use by another watcher, or is none of ours.
    pub fn open(file: &Path) -> Result<Self> {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display(), e))?;
        }
        let failed = |e: rusqlite::Error| fault(file, &e);
        let db = Connection::open(file).map_err(failed)?;
        db.busy_timeout(std::time::Duration::from_millis(500)).map_err(failed)?;
        db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;")
            .map_err(failed)?;
        // Takes the lock at once, and keeps it.
        db.execute_batch("BEGIN EXCLUSIVE").map_err(failed)?;
        let layout: i32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        match layout {
            LAYOUT => {}
            0 => db.execute_batch(&format!("{TABLES} PRAGMA user_version = {LAYOUT};")).map_err(failed)?,
            other => {
                let shown = file.display();
                return Err(Error::Config(format!("{shown}: layout {other} – expected {LAYOUT}; name another file")));
            }
        }
        db.execute_batch("COMMIT").map_err(failed)?;
        Ok(Self { file: file.to_owned(), db })
    }

    /// What was said of this content.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn verdict(&self, key: &str) -> Result<Option<Known>> {
        let row = self.db.query_row("SELECT shown, action, line FROM verdicts WHERE key = ?1", [key], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
        });
        let row: Option<(String, String, String)> = row.optional().map_err(|e| fault(&self.file, &e))?;
        // An action that this version does not know is judged again.
        Ok(row.and_then(|(shown, action, line)| Some(Known { shown, action: action_of(&action)?, line })))
    }

    /// Keeps a verdict.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn remember(&self, key: &str, known: &Known) -> Result<()> {
        let action = key_of(known.action);
        let insert = "INSERT OR REPLACE INTO verdicts (key, shown, action, line) VALUES (?1, ?2, ?3, ?4)";
        let oldest = "DELETE FROM verdicts WHERE rowid <= (SELECT max(rowid) FROM verdicts) - ?1";
        self.db
            .execute(insert, params![key, known.shown, action, known.line])
            .and_then(|_| self.db.execute(oldest, [MAX_VERDICTS]))
            .map_err(|e| fault(&self.file, &e))?;
        Ok(())
    }

    /// Whether the file has been tagged and still is as `stamp` says.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn is_tagged(&self, path: &Path, stamp: Stamp) -> Result<bool> {
        let query = "SELECT device, inode, size_bytes, modified_ns FROM tagged WHERE path = ?1";
        let row = self.db.query_row(query, [path.as_os_str().as_bytes()], |row| {
            Ok(Stamp {
                identity: (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64),
                size_bytes: row.get::<_, i64>(2)? as u64,
                modified_ns: row.get(3)?,
            })
        });
        Ok(row.optional().map_err(|e| fault(&self.file, &e))? == Some(stamp))
    }

    /// The result file that was written for `path`, whatever its content was then.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn result_of(&self, path: &Path) -> Result<Option<PathBuf>> {
        let query = "SELECT result FROM tagged WHERE path = ?1";
        let row = self.db.query_row(query, [path.as_os_str().as_bytes()], |row| row.get::<_, Vec<u8>>(0)).optional();
        Ok(row.map_err(|e| fault(&self.file, &e))?.map(|name| path_of(&name)))
    }

    /// Keeps that `path` has been tagged with the file `result`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn tag(&self, path: &Path, stamp: Stamp, result: &Path) -> Result<()> {
        let insert = "INSERT OR REPLACE INTO tagged VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (device, inode) = (stamp.identity.0 as i64, stamp.identity.1 as i64);
        let row = params![
            path.as_os_str().as_bytes(),
            device,
            inode,
            stamp.size_bytes as i64,
            stamp.modified_ns,
            result.as_os_str().as_bytes(),
        ];
        self.db.execute(insert, row).map_err(|e| fault(&self.file, &e))?;
        Ok(())
    }

    /// Forgets tagged files for which `is_there` says no.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn forget_missing(&self, is_there: impl Fn(&Path) -> bool) -> Result<()> {
        self.forget(is_there).map_err(|e| fault(&self.file, &e))
    }

    fn forget(&self, is_there: impl Fn(&Path) -> bool) -> rusqlite::Result<()> {
        const PAGE: usize = 1_000;
        let mut query = self.db.prepare("SELECT path FROM tagged WHERE path > ?1 ORDER BY path LIMIT ?2")?;
        let mut last = Vec::new();
        loop {
            let page: Vec<Vec<u8>> =
                query.query_map(params![last, PAGE as i64], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            for path in page.iter().filter(|path| !is_there(&path_of(path))) {
                self.db.execute("DELETE FROM tagged WHERE path = ?1", [path])?;
            }
            match page.into_iter().last() {
                Some(path) => last = path,
                None => return Ok(()),
            }
        }
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

fn key_of(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Review => "review",
        Action::Flag => "flag",
    }
}

fn action_of(key: &str) -> Option<Action> {
    [Action::Accept, Action::Review, Action::Flag].into_iter().find(|action| key_of(*action) == key)
}

fn fault(file: &Path, error: &rusqlite::Error) -> Error {
    let file = file.display();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            Error::Usage(format!("{file}: in use by another clonewatch – stop it, or give this one another file"))
        }
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => Error::Config(format!(
            "{file}: not a watch ledger, or damaged – move it away; files that are still in the folder are judged again"
        )),
        _ => Error::io(file, std::io::Error::other(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(shown: &str) -> Known {
        Known { shown: shown.into(), action: Action::Flag, line: "{}\n".into() }
    }

    #[test]
    fn verdicts_and_tags_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/watch.sqlite");
        let stamp = Stamp { identity: (u64::MAX, 7), size_bytes: 9, modified_ns: -5 };
        let odd = Path::new(OsStr::from_bytes(b"a/\xff.wav"));
        {
            let ledger = Ledger::open(&file).unwrap();
            ledger.remember("k", &known("a.wav")).unwrap();
            ledger.tag(odd, stamp, Path::new("a/x.json")).unwrap();
            ledger.tag(Path::new("gone.wav"), stamp, Path::new("gone.wav.json")).unwrap();
        }
        let ledger = Ledger::open(&file).unwrap();
        assert_eq!(ledger.verdict("k").unwrap(), Some(known("a.wav")));
        assert_eq!(ledger.verdict("l").unwrap(), None);
        assert!(ledger.is_tagged(odd, stamp).unwrap());
        assert!(!ledger.is_tagged(odd, Stamp { size_bytes: 8, ..stamp }).unwrap());
        ledger.forget_missing(|path| path == odd).unwrap();
        assert_eq!(ledger.result_of(odd).unwrap(), Some("a/x.json".into()));
        assert_eq!(ledger.result_of(Path::new("gone.wav")).unwrap(), None);
    }

    #[test]
    fn a_ledger_has_one_owner_and_foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("watch.sqlite");
        let ledger = Ledger::open(&file).unwrap();
        let refusal = Ledger::open(&file).err().unwrap().to_string();
        assert!(refusal.contains("in use by another clonewatch"), "{refusal}");
        drop(ledger);
        std::fs::write(&file, "not a database, and long enough to be told from an empty one").unwrap();
        let refusal = Ledger::open(&file).err().unwrap().to_string();
        assert!(refusal.contains("not a watch ledger"), "{refusal}");
    }

    #[test]
    fn only_the_newest_verdicts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("watch.sqlite")).unwrap();
        ledger.db.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
        (0..=MAX_VERDICTS).for_each(|number| ledger.remember(&number.to_string(), &known("a")).unwrap());
        ledger.db.execute_batch("COMMIT").unwrap();
        assert_eq!(ledger.verdict("0").unwrap(), None);
        assert!(ledger.verdict("1").unwrap().is_some() && ledger.verdict(&MAX_VERDICTS.to_string()).unwrap().is_some());
    }
}
