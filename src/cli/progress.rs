//! Progress bar with time left, on standard error, and only where a person watches.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing at all.
pub struct Progress {
    bar: Option<ProgressBar>,
    file_count: usize,
}

impl Progress {
    /// A bar for `file_count` files of `total_bytes`, where standard error is a terminal and there is more than one.
    pub fn new(file_count: usize, total_bytes: u64) -> Self {
        let wanted = file_count > 1 && std::io::stderr().is_terminal();
        let bar = wanted.then(|| {
            let bar = ProgressBar::new(total_bytes);
            let style = ProgressStyle::with_template("{bar:32} {msg} files, {eta} left")
                .expect("the template names known fields only");
            bar.set_style(style);
            bar.set_message(format!("0/{file_count}"));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, file_count }
    }

    /// Counts `bytes` of a file that is finished, the `done_count`th.
    pub fn advance(&self, done_count: usize, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(format!("{done_count}/{}", self.file_count));
        }
    }

    /// Runs `write` with the bar out of the way, as both may share one terminal.
    pub fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
