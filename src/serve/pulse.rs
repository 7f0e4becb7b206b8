//! Whether the workers get anywhere: each notes when it last finished a block of audio.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A worker that has nothing to do.
const IDLE: u64 = u64::MAX;

/// One beat per worker.
pub struct Pulse {
    since: Instant,
    /// Milliseconds from `since` to the last beat, or [`IDLE`].
    beats: Vec<AtomicU64>,
}

impl Pulse {
    /// For `workers` of them.
    pub fn new(workers: usize) -> Self {
        Self { since: Instant::now(), beats: (0..workers).map(|_| AtomicU64::new(IDLE)).collect() }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.beats.len()
    }

    /// Worker `index` got a step further.
    pub fn beat(&self, index: usize) {
        self.set(index, u64::try_from(self.since.elapsed().as_millis()).unwrap_or(IDLE - 1));
    }

    /// Worker `index` waits for work.
    pub fn rest(&self, index: usize) {
        self.set(index, IDLE);
    }

    fn set(&self, index: usize, value: u64) {
        if let Some(beat) = self.beats.get(index) {
            beat.store(value, Ordering::Relaxed);
        }
    }

    /// Longest time since the last step of a worker that has work.
    pub fn longest_stall(&self) -> Duration {
        let now = self.since.elapsed();
        let busy = self.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).filter(|beat| *beat != IDLE);
        busy.map(|beat| now.saturating_sub(Duration::from_millis(beat))).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_with_work_can_stall() {
        let mut pulse = Pulse::new(2);
        pulse.since -= Duration::from_secs(100);
        assert_eq!(pulse.longest_stall(), Duration::ZERO);
        pulse.set(0, 1_000);
        assert!(pulse.longest_stall() >= Duration::from_secs(99));
        pulse.beat(0);
        assert!(pulse.longest_stall() < Duration::from_secs(99));
        pulse.rest(0);
        assert_eq!(pulse.longest_stall(), Duration::ZERO);
    }
}
