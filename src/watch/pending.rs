//! Files that have been seen and are not judged yet: each waits until two looks, a settle time apart, agree. Bounded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::tree::Stamp;

/// First wait after a failure; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// Longest wait after a failure.
const LAST_RETRY: Duration = Duration::from_secs(3_600);

/// Waiting files by path.
#[derive(Debug)]
pub(super) struct Pending {
    entries: BTreeMap<PathBuf, Entry>,
    settle: Duration,
    most_files: usize,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    /// What the last look saw, and when.
    seen: Option<(Stamp, Instant)>,
    failures: u32,
    is_in_work: bool,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// The file waits now.
    Taken,
    /// It does not: a later walk must find it again.
    Full,
}

impl Pending {
    /// Nothing waits.
    pub(super) fn new(settle: Duration, most_files: usize) -> Self {
        Self { entries: BTreeMap::new(), settle, most_files }
    }

    /// Whether another file would find room.
    pub(super) fn room(&self) -> Room {
        if self.entries.len() < self.most_files { Room::Taken } else { Room::Full }
    }

    /// Something happened to `path`: it is looked at now, or, where it waits already, a settle time from now.
    pub(super) fn touch(&mut self, path: &Path, now: Instant) -> Room {
        if let Some(entry) = self.entries.get_mut(path) {
            (entry.due, entry.failures) = (now + self.settle, 0);
            return Room::Taken;
        }
        if self.room() == Room::Full {
            return Room::Full;
        }
        self.entries.insert(path.to_owned(), Entry { due: now, seen: None, failures: 0, is_in_work: false });
        Room::Taken
    }

    /// A walk found `path`. Unlike [`Pending::touch`] this hastens and delays nothing that waits already.
    pub(super) fn found(&mut self, path: &Path, now: Instant) -> Room {
        if self.entries.contains_key(path) { Room::Taken } else { self.touch(path, now) }
    }

    /// Files whose next look is due; not those in work.
    pub(super) fn due(&self, now: Instant) -> Vec<PathBuf> {
        let is_due = |entry: &Entry| entry.due <= now && !entry.is_in_work;
        self.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(path, _)| path.clone()).collect()
    }

    /// When the next look is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.is_in_work).map(|entry| entry.due).min()
    }

    /// The file is being judged: not looked at until it is put back or removed.
    pub(super) fn take(&mut self, path: &Path) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.is_in_work = true;
        }
    }

    /// A look at `path` saw `stamp`: `true` where it is settled. Otherwise the next look is a settle time away.
    pub(super) fn look(&mut self, path: &Path, stamp: Stamp, now: Instant) -> bool {
        let settle = self.settle;
        let Some(entry) = self.entries.get_mut(path) else { return false };
        match entry.seen {
            Some((seen, at)) if seen == stamp && now.duration_since(at) >= settle => true,
            Some((seen, at)) if seen == stamp => {
                entry.due = at + settle;
                false
            }
            _ => {
                (entry.seen, entry.due) = (Some((stamp, now)), now + settle);
                false
            }
        }
    }

    /// Looks again later, without a fault of the file.
    pub(super) fn postpone(&mut self, path: &Path, now: Instant) {
        if let Some(entry) = self.entries.get_mut(path) {
            (entry.due, entry.is_in_work) = (now + self.settle, false);
        }
    }

    /// The file could not be dealt with: tried again later, ever more seldom.
    pub(super) fn fail(&mut self, path: &Path, now: Instant) {
        if let Some(entry) = self.entries.get_mut(path) {
            let wait = FIRST_RETRY.saturating_mul(1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX));
            entry.due = now + wait.min(LAST_RETRY);
            entry.failures = entry.failures.saturating_add(1);
            entry.is_in_work = false;
        }
    }

    /// The file is done with, or gone.
    pub(super) fn remove(&mut self, path: &Path) {
        self.entries.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    fn stamp(size_bytes: u64) -> Stamp {
        Stamp { identity: (1, 2), size_bytes, modified_ns: 0 }
    }

    #[test]
    fn two_equal_looks_a_settle_time_apart_are_needed() {
        let (start, path) = (Instant::now(), Path::new("a.wav"));
        let mut pending = Pending::new(SETTLE, 10);
        assert_eq!(pending.touch(path, start), Room::Taken);
        assert_eq!(pending.due(start), [path]);
        // (seconds, size, settled)
        for (secs, size, settled) in [(0, 1, false), (4, 1, false), (5, 2, false), (9, 2, false), (10, 2, true)] {
            assert_eq!(pending.look(path, stamp(size), start + Duration::from_secs(secs)), settled, "at {secs} s");
        }
    }

    #[test]
    fn an_event_delays_the_next_look_and_a_walk_does_not() {
        let (start, path) = (Instant::now(), Path::new("a.wav"));
        let mut pending = Pending::new(SETTLE, 10);
        pending.touch(path, start);
        pending.look(path, stamp(1), start);
        assert_eq!(pending.next_due(), Some(start + SETTLE));
        pending.found(path, start + Duration::from_secs(2));
        assert_eq!(pending.next_due(), Some(start + SETTLE));
        pending.touch(path, start + Duration::from_secs(2));
        assert_eq!(pending.next_due(), Some(start + SETTLE + Duration::from_secs(2)));
    }

    #[test]
    fn failures_are_retried_ever_more_seldom_but_for_ever() {
        let (start, path) = (Instant::now(), Path::new("a.wav"));
        let mut pending = Pending::new(SETTLE, 10);
        pending.touch(path, start);
        for wait_secs in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            pending.fail(path, start);
            assert_eq!(pending.next_due(), Some(start + Duration::from_secs(wait_secs)));
        }
        (0..100).for_each(|_| pending.fail(path, start));
        assert_eq!(pending.next_due(), Some(start + LAST_RETRY));
        pending.touch(path, start);
        pending.fail(path, start);
        assert_eq!(pending.next_due(), Some(start + FIRST_RETRY), "a change starts afresh");
    }

    #[test]
    fn what_finds_no_room_is_said_to() {
        let start = Instant::now();
        let mut pending = Pending::new(SETTLE, 2);
        let rooms = ["a", "b", "c", "a"].map(|name| pending.touch(Path::new(name), start));
        assert_eq!(rooms, [Room::Taken, Room::Taken, Room::Full, Room::Taken]);
        pending.remove(Path::new("a"));
        assert_eq!(pending.found(Path::new("c"), start), Room::Taken);
    }
}
