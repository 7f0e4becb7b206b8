//! CPU workers: many inputs on a fixed number of threads, results in input order, bounded memory.

use std::sync::{
    Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Results that may wait for an earlier, slower one, per thread.
const AHEAD_PER_THREAD: usize = 8;

/// Runs `work` on every item with `threads` threads and hands the results to `sink` on this thread, in item order.
///
/// Work on an item starts only when at most `8 × threads` earlier results are waiting. Once `stop` is set or `sink`
/// returns `false`, no further item is started; those that run are finished and handed over while they are in order.
pub fn ordered_map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> R + Sync,
    mut sink: impl FnMut(usize, R) -> bool,
) {
    let threads = threads.clamp(1, items.len().max(1));
    let queue = Queue {
        state: Mutex::new(State { next: 0, delivered: 0, ready: Default::default(), running: threads }),
        changed: Condvar::new(),
        ahead: threads * AHEAD_PER_THREAD,
        stop,
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Counted down also when `work` panics, so that the receiving side cannot wait for ever.
                let _leaving = Leaving(&queue);
                while let Some(index) = queue.claim(items.len()) {
                    queue.deliver(index, work(&items[index]));
                }
            });
        }
        let mut expected = 0;
        while let Some(result) = queue.receive(expected) {
            if !sink(expected, result) {
                stop.store(true, Ordering::Relaxed);
                queue.changed.notify_all();
                break;
            }
            expected += 1;
        }
    });
}

struct State<R> {
    next: usize,
    delivered: usize,
    ready: std::collections::BTreeMap<usize, R>,
    running: usize,
}

struct Queue<'a, R> {
    state: Mutex<State<R>>,
    changed: Condvar,
    ahead: usize,
    stop: &'a AtomicBool,
}

struct Leaving<'q, 'a, R>(&'q Queue<'a, R>);

impl<R> Drop for Leaving<'_, '_, R> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

impl<R> Queue<'_, R> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item to work on; waits while too many results are ahead of the slowest.
    fn claim(&self, items: usize) -> Option<usize> {
        let mut state = self.lock();
        while state.next < items && !self.stop.load(Ordering::Relaxed) {
            if state.next < state.delivered + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn deliver(&self, index: usize, result: R) {
        self.lock().ready.insert(index, result);
        self.changed.notify_all();
    }

    /// Result `expected`, or `None` where no thread is left that could bring it.
    fn receive(&self, expected: usize) -> Option<R> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.ready.remove(&expected) {
                state.delivered = expected + 1;
                self.changed.notify_all();
                return Some(result);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_takes_long() {
        let items: Vec<u64> = (0..100).collect();
        let mut seen = Vec::new();
        let work = |item: &u64| {
            std::thread::sleep(std::time::Duration::from_micros((item * 7919) % 500));
            item * 2
        };
        ordered_map(&items, 4, &AtomicBool::new(false), work, |index, result| {
            seen.push((index as u64, result));
            true
        });
        assert_eq!(seen, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
    }

    #[test]
    fn a_sink_that_has_enough_stops_the_work() {
        let items: Vec<usize> = (0..10_000).collect();
        let started = std::sync::atomic::AtomicUsize::new(0);
        let work = |item: &usize| {
            started.fetch_add(1, Ordering::Relaxed);
            *item
        };
        ordered_map(&items, 2, &AtomicBool::new(false), work, |index, _| index < 5);
        assert!(started.load(Ordering::Relaxed) <= 6 + 2 * AHEAD_PER_THREAD + 2);
        ordered_map(&[0_usize; 0], 2, &AtomicBool::new(false), |item| *item, |_, _| true);
    }
}
