//! How often verdicts are refreshed: every second, and every 2 or 4 where the workers are short of time, so that no
//! speech goes unscreened for the sake of fresh numbers.
//!
//! What counts is how long parties wait for a worker. A verdict between two complete chunks costs a run of the encoder
//! of its own; at 4 s there are none but the first, and calls cost as little as files.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

/// A party that waits longer for a worker than this shows that they are short of time.
const LONG_WAIT: Duration = Duration::from_millis(300);
/// Once every party has been taken up within this for [`CALM`], verdicts come more often again.
const SHORT_WAIT: Duration = Duration::from_millis(60);
/// Least time between two steps towards rarer verdicts.
const STEP: Duration = Duration::from_secs(2);
const CALM: Duration = Duration::from_secs(15);
/// Seconds between verdicts, by level.
const REFRESH_SECS: [f64; 3] = [1.0, 2.0, 4.0];

/// Shared by all parties.
#[derive(Default)]
pub struct Pace {
    level: AtomicU8,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    changed: Option<Instant>,
    /// Since when no party has waited longer than [`SHORT_WAIT`].
    calm_since: Option<Instant>,
}

impl Pace {
    /// Seconds between two verdicts on a party.
    pub fn refresh_secs(&self) -> f64 {
        REFRESH_SECS[usize::from(self.level.load(Ordering::Relaxed)).min(REFRESH_SECS.len() - 1)]
    }

    /// A party was taken up at `now` after `waited`. The new pace, if it changes.
    pub fn took(&self, waited: Duration, now: Instant) -> Option<f64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calm_since = if waited > SHORT_WAIT { None } else { state.calm_since.or(Some(now)) };
        let is_calm = state.calm_since.is_some_and(|since| now.duration_since(since) >= CALM);
        let rested = |since: Option<Instant>, least| since.is_none_or(|since| now.duration_since(since) >= least);
        let level = self.level.load(Ordering::Relaxed);
        let next = if waited > LONG_WAIT && rested(state.changed, STEP) {
            (level + 1).min(REFRESH_SECS.len() as u8 - 1)
        } else if is_calm && rested(state.changed, CALM) {
            level.saturating_sub(1)
        } else {
            level
        };
        if next == level {
            return None;
        }
        state.changed = Some(now);
        self.level.store(next, Ordering::Relaxed);
        Some(self.refresh_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_in_steps_and_recovers_slowly() {
        let (pace, start) = (Pace::default(), Instant::now());
        let at = |secs: f64, waited_ms: u64| {
            pace.took(Duration::from_millis(waited_ms), start + Duration::from_secs_f64(secs))
        };
        assert_eq!((pace.refresh_secs(), at(0.0, 100)), (1.0, None), "a short wait is no reason");
        assert_eq!(at(0.1, 400), Some(2.0));
        assert_eq!(at(0.2, 900), None, "one step at a time");
        assert_eq!(at(2.2, 900), Some(4.0));
        assert_eq!(at(9.0, 900), None, "there is no slower one");
        assert_eq!(at(10.0, 5), None);
        assert_eq!(at(24.9, 5), None);
        assert_eq!(at(25.1, 5), Some(2.0));
        assert_eq!(at(30.0, 100), None, "not calm");
        assert_eq!(at(39.0, 5), None);
        assert_eq!(at(56.0, 5), Some(1.0));
    }
}
