//! From the paths of the command line to a list of inputs: files, folders, patterns, standard input.
//!
//! A file that is named is always tried. In a folder only names with a known audio or video extension are taken, hidden
//! names and (unless asked for) symbolic links are passed over, and what was passed over is counted.

use std::{
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::counted;
use crate::error::{Error, Result};

/// Extensions that a folder walk takes, lower case. Those that cannot be decoded are here too: passing over a recording
/// without a word would look like a clean bill of health.
const AUDIO_EXTENSIONS: [&str; 80] = [
    "3g2", "3gp", "aac", "ac3", "adts", "aif", "aifc", "aiff", "al", "alaw", "amr", "ape", "asf", "au", "avi", "awb",
    "bw64", "caf", "cap", "dff", "dsf", "dts", "eac3", "ec3", "evs", "flac", "flv", "g722", "g729", "gsm", "m2ts",
    "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp1", "mp2", "mp3", "mp4", "mpa", "mpc", "mpeg", "mpg", "mpga", "mts",
    "mulaw", "oga", "ogg", "ogv", "opus", "pcap", "pcapng", "pcm", "pcma", "pcmu", "ra", "raw", "rf64", "rm", "rmvb",
    "silk", "sln", "sln16", "snd", "spx", "ts", "tta", "ul", "ulaw", "vob", "vox", "w64", "wav", "wave", "webm", "wma",
    "wmv", "wv",
];
/// Folders inside folders; deeper ones are refused.
const MAX_DEPTH: usize = 64;

/// Where one input's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A regular file.
    File(PathBuf),
    /// A pipe or device that was named.
    Stream(PathBuf),
    /// Standard input.
    Stdin,
}

/// What the paths of the command line stand for.
#[derive(Debug, Default)]
pub struct Inputs {
    /// In order of the command line, folders sorted by name.
    pub sources: Vec<Source>,
    /// Bytes of the regular files.
    pub total_bytes: u64,
    /// What lay in folders and was not taken.
    pub passed_over: PassedOver,
    /// Folders of the command line in which there was nothing to take.
    pub empty_folders: Vec<PathBuf>,
    /// Paths that lead nowhere: reported, and the rest goes on.
    pub failures: Vec<Error>,
}

/// Entries of folders that were not taken, by why. A hidden folder or a link to one counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Not audio by name, or no regular file.
    pub other_count: usize,
    /// Symbolic links.
    pub link_count: usize,
    /// Names that begin with a dot.
    pub hidden_count: usize,
}

impl PassedOver {
    /// All of them.
    pub fn count(&self) -> usize {
        self.other_count + self.link_count + self.hidden_count
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = format!("{} that --follow-symlinks would take", counted(self.link_count, "symbolic link"));
        let kinds = [
            (self.other_count, format!("{} not audio by name", self.other_count)),
            (self.link_count, links),
            (self.hidden_count, format!("{} hidden", self.hidden_count)),
        ];
        let kinds: Vec<String> = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect();
        write!(f, "{} passed over ({})", self.count(), kinds.join(", "))
    }
}

/// Whether folder walks go through symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Pass over them.
    Skip,
    /// Go through them, but never in a circle.
    Follow,
}

impl Inputs {
    /// Resolves `paths`.
    pub fn find(paths: &[PathBuf], symlinks: Symlinks) -> Self {
        let mut inputs = Self::default();
        for path in paths {
            if let Err(error) = inputs.add(path, symlinks) {
                inputs.failures.push(error);
            }
        }
        inputs
    }

    fn add(&mut self, path: &Path, symlinks: Symlinks) -> Result<()> {
        if path.as_os_str() == "-" {
            return self.add_stdin();
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.add_folder(path, symlinks),
            Ok(found) if found.is_file() => {
                self.add_file(path, found.len());
                Ok(())
            }
            Ok(_) => {
                self.sources.push(Source::Stream(path.to_owned()));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.add_pattern(path, symlinks, error),
            Err(error) => Err(Error::io(path.display(), error)),
        }
    }

    fn add_folder(&mut self, path: &Path, symlinks: Symlinks) -> Result<()> {
        let before = (self.sources.len(), self.failures.len());
        self.walk(path, symlinks, &mut Vec::new())?;
        if before == (self.sources.len(), self.failures.len()) {
            self.empty_folders.push(path.to_owned());
        }
        Ok(())
    }

    fn add_stdin(&mut self) -> Result<()> {
        if self.sources.contains(&Source::Stdin) {
            return Err(Error::Usage("-: standard input was named twice – it can be read once".into()));
        }
        self.sources.push(Source::Stdin);
        Ok(())
    }

    fn add_file(&mut self, path: &Path, bytes: u64) {
        self.sources.push(Source::File(path.to_owned()));
        self.total_bytes = self.total_bytes.saturating_add(bytes);
    }

    /// A name with `*`, `?` or `[` that is no file: some shells leave patterns to the program.
    fn add_pattern(&mut self, path: &Path, symlinks: Symlinks, missing: std::io::Error) -> Result<()> {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let Some(pattern) = pattern else { return Err(Error::io(path.display(), missing)) };
        let matches = glob::glob(pattern).map_err(|e| Error::Usage(format!("{pattern}: {e}")))?;
        let mut any = false;
        for found in matches {
            any = true;
            let found = found.map_err(|e| Error::io(e.path().display().to_string(), e.into()))?;
            // What matched exists, so this cannot come back here unless it vanished meanwhile.
            if let Err(error) = fs::metadata(&found) {
                self.failures.push(Error::io(found.display(), error));
            } else if let Err(error) = self.add(&found, symlinks) {
                self.failures.push(error);
            }
        }
        if any { Ok(()) } else { Err(Error::Usage(format!("{pattern}: no file matches"))) }
    }

    /// Takes a folder's files and folders in order of name. `above` holds the resolved folders that lead here.
    fn walk(&mut self, folder: &Path, symlinks: Symlinks, above: &mut Vec<PathBuf>) -> Result<()> {
        let resolved = folder.canonicalize().map_err(|e| Error::io(folder.display(), e))?;
        if above.contains(&resolved) {
            return Ok(());
        }
        if above.len() >= MAX_DEPTH {
            return Err(Error::Usage(format!("{}: more than {MAX_DEPTH} folders deep", folder.display())));
        }
        above.push(resolved);
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|e| Error::io(folder.display(), e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if let Err(error) = self.take_entry(&entry, symlinks, above) {
                self.failures.push(error);
            }
        }
        above.pop();
        Ok(())
    }

    fn take_entry(&mut self, entry: &fs::DirEntry, symlinks: Symlinks, above: &mut Vec<PathBuf>) -> Result<()> {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            self.passed_over.hidden_count += 1;
            return Ok(());
        }
        let path = entry.path();
        let mut kind = entry.file_type().map_err(|e| Error::io(path.display(), e))?;
        if kind.is_symlink() {
            if symlinks == Symlinks::Skip {
                self.passed_over.link_count += 1;
                return Ok(());
            }
            kind = fs::metadata(&path).map_err(|e| Error::io(path.display(), e))?.file_type();
        }
        if kind.is_dir() {
            return self.walk(&path, symlinks, above);
        }
        // Pipes and devices in a folder could block for ever.
        if !kind.is_file() || !has_audio_extension(&path) {
            self.passed_over.other_count += 1;
            return Ok(());
        }
        let bytes = fs::metadata(&path).map_err(|e| Error::io(path.display(), e))?.len();
        self.add_file(&path, bytes);
        Ok(())
    }
}

/// Whether a folder walk takes a file of this name.
pub fn has_audio_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| AUDIO_EXTENSIONS.binary_search(&extension.as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.wav", "a.MP3", "notes.txt", ".hidden.wav", "noext", "sub/c.flac", "sub/.git/d.wav", "a1/z.ogg"]
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"1234").unwrap();
        }
        folder
    }

    fn names(inputs: &Inputs, root: &Path) -> Vec<String> {
        let shown = |source: &Source| match source {
            Source::File(path) => path.strip_prefix(root).unwrap().display().to_string(),
            other => format!("{other:?}"),
        };
        inputs.sources.iter().map(shown).collect()
    }

    #[test]
    fn extensions_are_sorted_for_the_search() {
        assert!(AUDIO_EXTENSIONS.is_sorted());
    }

    #[test]
    fn folders_are_walked_by_name_and_the_rest_is_counted() {
        let folder = tree();
        let inputs = Inputs::find(&[folder.path().to_owned()], Symlinks::Skip);
        assert_eq!(names(&inputs, folder.path()), ["a.MP3", "a1/z.ogg", "b.wav", "sub/c.flac"]);
        assert_eq!(inputs.passed_over, PassedOver { other_count: 2, link_count: 0, hidden_count: 2 });
        assert_eq!(inputs.passed_over.to_string(), "4 passed over (2 not audio by name, 2 hidden)");
        assert_eq!((inputs.total_bytes, inputs.empty_folders.len()), (16, 0));
        assert!(inputs.failures.is_empty());
    }

    #[test]
    fn whatever_the_decoders_name_is_taken() {
        for extension in [
            "WV", "tta", "mpc", "dts", "ac3", "eac3", "dsf", "dff", "rm", "mulaw", "pcmu", "pcma", "silk", "pcap",
            "pcapng", "cap",
        ] {
            assert!(has_audio_extension(&Path::new("a").with_extension(extension)), "{extension}");
        }
        assert!(!has_audio_extension(Path::new("wav")) && !has_audio_extension(Path::new("a.txt")));
    }

    #[test]
    fn folders_without_audio_are_named() {
        let folder = tree();
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let inputs = Inputs::find(&[empty.clone(), folder.path().join("sub")], Symlinks::Skip);
        assert_eq!((inputs.empty_folders, inputs.sources.len()), (vec![empty], 1));
    }

    #[test]
    fn named_files_are_taken_whatever_their_name_and_missing_ones_reported() {
        let folder = tree();
        let paths = ["notes.txt", "gone.wav", "*.wav", "*.nothing", "sub"].map(|name| folder.path().join(name));
        let inputs = Inputs::find(&paths, Symlinks::Skip);
        assert_eq!(names(&inputs, folder.path()), ["notes.txt", ".hidden.wav", "b.wav", "sub/c.flac"]);
        let failures: Vec<String> = inputs.failures.iter().map(ToString::to_string).collect();
        assert!(failures[0].contains("gone.wav") && failures[1].contains("no file matches"), "{failures:?}");
    }

    #[test]
    fn standard_input_is_read_once() {
        let inputs = Inputs::find(&["-".into(), "-".into()], Symlinks::Skip);
        assert_eq!((inputs.sources.len(), inputs.failures.len()), (1, 1));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_on_demand_and_never_in_a_circle() {
        let folder = tree();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("sub/up")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b.wav"), folder.path().join("link.wav")).unwrap();
        let paths = [folder.path().to_owned()];
        let skipped = Inputs::find(&paths, Symlinks::Skip);
        assert_eq!((skipped.sources.len(), skipped.passed_over.link_count), (4, 2));
        let followed = Inputs::find(&paths, Symlinks::Follow);
        assert_eq!(names(&followed, folder.path()), ["a.MP3", "a1/z.ogg", "b.wav", "link.wav", "sub/c.flac"]);
    }
}
