//! `[console]`: pages for people.

use serde::{Deserialize, Serialize};

/// The pages under `/console`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// Whether there are any.
    pub enabled: bool,
    /// Whether spectrograms and tags of judged files are kept with their verdicts, to be shown.
    pub keep_pictures: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self { enabled: true, keep_pictures: true }
    }
}
