//! Error kinds, named for who must act, and the exit codes that scripts read.

use std::fmt;

/// Why a command could not do its work. Bad media is not here: it is a result, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator named something that does not exist or gave a value that is out of range.
    #[error("{0}")]
    Usage(String),
    /// A model bundle, policy or protocol file is unusable; the message names file, key, value and remedy.
    #[error("{0}")]
    Config(String),
    /// Reading or writing failed on this machine.
    #[error("{path}: {source}")]
    Io {
        /// What was being read or written.
        path: String,
        /// The system's own word on it.
        source: std::io::Error,
    },
    /// Our own mistake: an invariant did not hold.
    #[error("internal fault: {0}")]
    Fault(String),
    /// The user stopped the run (Ctrl-C).
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl fmt::Display, source: std::io::Error) -> Self {
        Self::Io { path: path.to_string(), source }
    }
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the process tells its caller. `Operational` beats `Spoof` beats `Inconclusive` beats `BonaFide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Every input was judged bona fide.
    BonaFide,
    /// At least one input is inconclusive, and none is a spoof.
    Inconclusive,
    /// At least one input is a spoof.
    Spoof,
    /// `doctor` found that something is wrong with this machine's set-up.
    Unsound,
    /// Something operational failed (bad arguments, unreadable file, fault).
    Operational,
}

impl Exit {
    /// The process exit code: 0, 3, 1, 2.
    pub fn code(self) -> u8 {
        match self {
            Self::BonaFide => 0,
            Self::Spoof | Self::Unsound => 1,
            Self::Operational => 2,
            Self::Inconclusive => 3,
        }
    }
}
