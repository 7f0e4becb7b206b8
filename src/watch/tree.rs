//! A folder tree that strangers may write to: every name is resolved below one open folder, and no symbolic link is
//! ever followed, so that nothing in it can lead a reader or a writer elsewhere.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::Depth;

use rustix::fs::{self as sys, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};

/// Folders inside folders; what lies deeper is not looked at.
const MAX_DEPTH: usize = 64;
const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Entries of one folder that are looked at; a walk keeps their names in memory.
const MAX_ENTRIES: usize = 200_000;
/// Temporary names of ours: hidden, so that no walk takes them for an input.
const PARTIAL_PREFIX: &str = ".clonewatch-";
const PARTIAL_SUFFIX: &str = ".partial";
/// A temporary file that nobody has written to for this long was left behind by a crash.
const PARTIAL_STALE_SECS: i64 = 3_600;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// File system and inode.
    pub(super) identity: (u64, u64),
    /// Size in bytes.
    pub(super) size_bytes: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub(super) modified_ns: i64,
}

/// An open folder and the path it was opened by.
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
    root: OwnedFd,
    identity: (u64, u64),
}

/// What a walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A symbolic link, which is not followed.
    Link,
}

impl Tree {
    /// Opens `path`; links in `path` itself are the operator's and are followed.
    ///
    /// # Errors
    /// There is no such folder, or it may not be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = sys::open(path, FOLDER_FLAGS.difference(OFlags::NOFOLLOW), Mode::empty())?;
        let identity = identity_of(&sys::fstat(&root)?);
        Ok(Self { path: path.to_owned(), root, identity })
    }

    /// The path it was opened by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to this folder: it may have been removed, renamed or mounted over.
    pub(super) fn is_current(&self) -> bool {
        sys::stat(&self.path).is_ok_and(|found| identity_of(&found) == self.identity)
    }

    /// Opens a folder below the root.
    fn folder(&self, below: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for name in names(below)? {
            folder = sys::openat(&folder, name, FOLDER_FLAGS, Mode::empty())?;
        }
        Ok(folder)
    }

    /// Opens a folder below the root, and makes it where it is missing.
    fn make_folder(&self, below: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for name in names(below)? {
            let made = sys::mkdirat(&folder, name, Mode::from_raw_mode(0o700));
            if !matches!(made, Ok(()) | Err(rustix::io::Errno::EXIST)) {
                made?;
            }
            let inner = sys::openat(&folder, name, FOLDER_FLAGS, Mode::empty())?;
            if made.is_ok() {
                // Whoever may look into the folder above may look into this one, whatever the process's umask.
                sys::fchmod(&inner, Mode::from_raw_mode(sys::fstat(&folder)?.st_mode & 0o777))?;
            }
            folder = inner;
        }
        Ok(folder)
    }

    /// The folder that holds `below`, and the name in it.
    fn parent<'p>(&self, below: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = below.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        Ok((self.folder(below.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// It is missing, a link, no regular file, or may not be read.
    pub(super) fn file(&self, below: &Path) -> io::Result<(File, Stamp)> {
        let (parent, name) = self.parent(below)?;
        // Non-blocking: a pipe that somebody has put there instead must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = sys::openat(&parent, name, flags, Mode::empty())?;
        let found = sys::fstat(&file)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Ok((file.into(), stamp_of(&found))),
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// The file's present state; `None` where there is no regular file of that name.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn stamp(&self, below: &Path) -> io::Result<Option<Stamp>> {
        Ok(self.entry(below)?.filter(|(kind, _)| *kind == FileType::RegularFile).map(|(_, stamp)| stamp))
    }

    /// Whether the name is a symbolic link.
    pub(super) fn is_link(&self, below: &Path) -> bool {
        matches!(self.entry(below), Ok(Some((FileType::Symlink, _))))
    }

    /// Whether the name is a folder.
    pub(super) fn is_folder(&self, below: &Path) -> bool {
        matches!(self.entry(below), Ok(Some((FileType::Directory, _))))
    }

    /// Whether there is anything of that name.
    pub(super) fn exists(&self, below: &Path) -> bool {
        matches!(self.entry(below), Ok(Some(_)))
    }

    fn entry(&self, below: &Path) -> io::Result<Option<(FileType, Stamp)>> {
        let found = self
            .parent(below)
            .and_then(|(parent, name)| sys::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from));
        match found {
            Ok(found) => Ok(Some((FileType::from_raw_mode(found.st_mode), stamp_of(&found)))),
            // NOTDIR and LOOP: a folder on the way is none, or is a link.
            Err(error) if matches!(error.raw_os_error(), Some(code) if absent_codes().contains(&code)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a regular file of at most `most_bytes`; `None` where it is missing, larger or cannot be read.
    pub(super) fn read(&self, below: &Path, most_bytes: u64) -> Option<Vec<u8>> {
        let (file, stamp) = self.file(below).ok()?;
        let mut bytes = Vec::new();
        let is_small = stamp.size_bytes <= most_bytes;
        (is_small && file.take(most_bytes).read_to_end(&mut bytes).is_ok()).then_some(bytes)
    }

    /// Writes a file as a whole: a reader sees the old content, or the new, or none.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] where [`Existing::Keep`] forbids to replace what is there; whatever the system says.
    pub(super) fn write(&self, below: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
        let folder = self.make_folder(below.parent().unwrap_or(Path::new("")))?;
        let name = below.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        let partial = Partial::create(&folder)?;
        (&partial.file).write_all(bytes)?;
        sys::fchmod(&partial.file, Mode::from_raw_mode(0o644))?;
        partial.file.sync_all()?;
        match existing {
            Existing::Keep => rename_new(&folder, partial.name.as_ref(), &folder, name)?,
            Existing::Replace => sys::renameat(&folder, partial.name.as_str(), &folder, name)?,
        }
        partial.keep();
        sync_folder(&folder)
    }

    /// Moves the file `below` of this tree, which must still be as `stamp` says, to `target` of `other`. Replaces nothing.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] where the target is taken, [`ErrorKind::Interrupted`] where the file has changed;
    /// whatever the system says.
    pub(super) fn move_to(&self, below: &Path, stamp: Stamp, other: &Self, target: &Path) -> io::Result<()> {
        if self.stamp(below)? != Some(stamp) {
            return Err(io::Error::new(ErrorKind::Interrupted, "changed while it was judged"));
        }
        let (from, name) = self.parent(below)?;
        let to = other.make_folder(target.parent().unwrap_or(Path::new("")))?;
        let target_name = target.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        match rename_new(&from, name, &to, target_name) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                self.copy_to(below, stamp, (&to, target_name))?;
                self.remove(below, stamp)
            }
            other => other,
        }?;
        sync_folder(&to)?;
        sync_folder(&from)
    }

    fn copy_to(&self, below: &Path, stamp: Stamp, (to, name): (&OwnedFd, &OsStr)) -> io::Result<()> {
        let (mut source, opened) = self.file(below)?;
        let partial = Partial::create(to)?;
        let copied_bytes = io::copy(&mut source, &mut &partial.file)?;
        if opened != stamp || copied_bytes != stamp.size_bytes {
            return Err(io::Error::new(ErrorKind::Interrupted, "changed while it was copied"));
        }
        let found = source.metadata()?;
        partial.file.set_permissions(found.permissions())?;
        partial.file.set_modified(found.modified()?)?;
        partial.file.sync_all()?;
        rename_new(to, partial.name.as_ref(), to, name)?;
        partial.keep();
        Ok(())
    }

    /// Removes a file that is still as `stamp` says.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] where it has changed; whatever the system says.
    pub(super) fn remove(&self, below: &Path, stamp: Stamp) -> io::Result<()> {
        let (parent, name) = self.parent(below)?;
        if stamp_of(&sys::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?) != stamp {
            return Err(io::Error::new(ErrorKind::Interrupted, "changed while it was judged"));
        }
        Ok(sys::unlinkat(&parent, name, AtFlags::empty())?)
    }

    /// Visits files and links at `start` and below, in order of name within a folder, until `visit` gives `false`.
    /// Hidden names and the folders in `skip` (relative to the root) are left out; temporary files that a crash has
    /// left behind are removed. Folders that cannot be read go to `unreadable`.
    pub(super) fn walk(&self, start: &Path, (skip, depth): (&[PathBuf], Depth), visitor: &mut impl Visitor) {
        let most_deep = if depth == Depth::Tree { MAX_DEPTH } else { 0 };
        match self.folder(start) {
            Ok(folder) => {
                walk_folder(&folder, start, (skip, most_deep), visitor);
            }
            Err(error) => visitor.unreadable(start, &error),
        }
    }
}

/// `false` where the visitor wants no more.
fn walk_folder(
    folder: &OwnedFd,
    below: &Path,
    (skip, most_deep): (&[PathBuf], usize),
    visitor: &mut impl Visitor,
) -> bool {
    let entries = match entries_of(folder) {
        Ok(entries) => entries,
        Err(error) => {
            visitor.unreadable(below, &error);
            return true;
        }
    };
    for (name, kind) in entries {
        let path = below.join(&name);
        let goes_on = match kind {
            _ if name.as_bytes().starts_with(b".") => {
                remove_stale_partial(folder, &name);
                true
            }
            FileType::Directory if path.components().count() > most_deep || skip.contains(&path) => true,
            FileType::Directory => match sys::openat(folder, &name, FOLDER_FLAGS, Mode::empty()) {
                Ok(inner) => walk_folder(&inner, &path, (skip, most_deep), visitor),
                Err(error) => {
                    visitor.unreadable(&path, &error.into());
                    true
                }
            },
            FileType::RegularFile => visitor.visit(&path, Kind::File),
            FileType::Symlink => visitor.visit(&path, Kind::Link),
            _ => true,
        };
        if !goes_on {
            return false;
        }
    }
    true
}

/// Makes a folder, and those above it, where they are missing, with the permissions of the one above.
pub(super) fn make_output(path: &Path) -> io::Result<()> {
    let nearest = path.ancestors().find(|above| above.as_os_str().is_empty() || above.exists());
    let nearest = nearest.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
    let below = path.strip_prefix(nearest).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    Tree::open(nearest)?.make_folder(below).map(drop)
}

/// Who is told what a walk meets.
pub(super) trait Visitor {
    /// A file or link; `false` ends the walk.
    fn visit(&mut self, below: &Path, kind: Kind) -> bool;
    /// A folder that cannot be read.
    fn unreadable(&mut self, below: &Path, error: &io::Error);
}

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and writing fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// The names in a folder, sorted, with their kinds.
fn entries_of(folder: &OwnedFd) -> io::Result<Vec<(std::ffi::OsString, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say it in the listing.
            FileType::Unknown => sys::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
            kind => kind,
        };
        if entries.len() >= MAX_ENTRIES {
            return Err(io::Error::other(format!(
                "more than {MAX_ENTRIES} entries – spread them over several folders"
            )));
        }
        entries.push((name, kind));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// A temporary file, removed again unless it is kept.
struct Partial<'f> {
    folder: &'f OwnedFd,
    name: String,
    file: File,
    is_kept: std::cell::Cell<bool>,
}

impl<'f> Partial<'f> {
    fn create(folder: &'f OwnedFd) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..16 {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
            let name = format!("{PARTIAL_PREFIX}{:016x}{PARTIAL_SUFFIX}", u64::from_le_bytes(random));
            match sys::openat(folder, name.as_str(), flags, Mode::from_raw_mode(0o600)) {
                Ok(file) => return Ok(Self { folder, name, file: file.into(), is_kept: false.into() }),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// It has been given its final name.
    fn keep(&self) {
        self.is_kept.set(true);
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            let _ = sys::unlinkat(self.folder, self.name.as_str(), AtFlags::empty());
        }
    }
}

fn remove_stale_partial(folder: &OwnedFd, name: &OsStr) {
    let bytes = name.as_bytes();
    if !bytes.starts_with(PARTIAL_PREFIX.as_bytes()) || !bytes.ends_with(PARTIAL_SUFFIX.as_bytes()) {
        return;
    }
    let Ok(found) = sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64);
    let is_ours = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if is_ours && now.saturating_sub(found.st_mtime) > PARTIAL_STALE_SECS {
        let _ = sys::unlinkat(folder, name, AtFlags::empty());
    }
}

/// Renames, but never over something.
fn rename_new(from: impl AsFd, name: &OsStr, to: impl AsFd, target: &OsStr) -> io::Result<()> {
    use rustix::io::Errno;
    match sys::renameat_with(&from, name, &to, target, RenameFlags::NOREPLACE) {
        // Some network file systems know no such flag: look first there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if sys::statat(&to, target, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            Ok(sys::renameat(&from, name, &to, target)?)
        }
        other => Ok(other?),
    }
}

/// Makes a rename last. Some network file systems refuse to; they answer for themselves then.
fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    match sys::fsync(folder) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn absent_codes() -> [i32; 3] {
    use rustix::io::Errno;
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error)
}

/// The names of a relative path; `..` and absolute paths are refused.
fn names(below: &Path) -> io::Result<Vec<&OsStr>> {
    let name = |component| match component {
        Component::Normal(name) => Ok(name),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, "leads out of the folder")),
    };
    below.components().map(name).collect()
}

fn identity_of(found: &sys::Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

fn stamp_of(found: &sys::Stat) -> Stamp {
    let modified_ns = (found.st_mtime).saturating_mul(1_000_000_000).saturating_add(found.st_mtime_nsec as i64);
    Stamp { identity: identity_of(found), size_bytes: found.st_size as u64, modified_ns }
}
