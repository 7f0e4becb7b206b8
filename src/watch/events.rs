//! The system's events for one folder tree, into a bounded queue. Whatever does not fit raises a flag instead, and the
//! folder is walked.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};

use super::engine::Message;

/// Subscribed until dropped.
pub(super) struct Events {
    _watcher: RecommendedWatcher,
}

impl Events {
    /// Asks for the events of `folder` and everything below; later folders included.
    ///
    /// # Errors
    /// The system gives no (more) watches.
    pub(super) fn subscribe(
        folder: &Path,
        queue: SyncSender<Message>,
        missed: Arc<AtomicBool>,
    ) -> notify::Result<Self> {
        let handler = move |event: notify::Result<Event>| {
            let paths = match event {
                Ok(event) if event.need_rescan() => None,
                Ok(event) if is_of_interest(&event.kind) => Some(event.paths),
                Ok(_) => return,
                Err(_) => None,
            };
            let is_queued = paths.is_some_and(|paths| queue.try_send(Message::Event(paths)).is_ok());
            if !is_queued {
                missed.store(true, Ordering::Relaxed);
            }
        };
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(handler, config)?;
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(Self { _watcher: watcher })
    }
}

/// Reading, ours too, is not news; the end of writing is.
fn is_of_interest(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// The part of an event's path below `folder`.
pub(super) fn below(folder: &Path, path: &Path) -> Option<PathBuf> {
    path.strip_prefix(folder).ok().map(Path::to_owned)
}
