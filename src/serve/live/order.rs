//! Puts numbered pieces of a track in order: duplicates and late ones go, short disorder is mended, loss becomes a gap.
//! Pure: arrival times are handed in.
//!
//! A piece is played at once where nothing can be missing before it: its number is the next one, or its timestamp shows no
//! time between. Others wait for those before them until [`WINDOW`] wait. Some vendors count the pieces of all tracks in
//! one row, so numbers alone prove no loss: a gap is as long as both numbers and timestamps say. Timestamps that run ahead
//! by more than [`MIN_PAUSE_MS`] are a pause even where no number is missing. No gap is longer than the time that passed.

use std::{collections::BTreeMap, time::Duration};

/// Pieces that wait for one before them.
const WINDOW: usize = 10;
/// Timestamps are whole milliseconds, and rounded.
const ROUNDING_MS: f64 = 5.0;
/// Shortest pause between pieces without a number missing, in milliseconds: below it is the sender's unsteadiness.
const MIN_PAUSE_MS: f64 = 200.0;
/// How far a gap may be ahead of the arrival times, in milliseconds.
const MAX_AHEAD_MS: f64 = 2_000.0;

/// A piece of one track.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    /// Counts up.
    pub(super) number: u64,
    /// Since the stream began, where the vendor says so.
    pub(super) timestamp_ms: Option<u64>,
    pub(super) payload: Vec<u8>,
}

/// What is to be played next.
#[derive(Debug, PartialEq)]
pub(super) enum Next<'a> {
    /// Milliseconds without audio.
    Gap(f64),
    Payload(&'a [u8]),
}

/// Plays what is next; how many milliseconds of audio that was.
pub(super) trait Play: FnMut(Next<'_>) -> f64 {}
impl<F: FnMut(Next<'_>) -> f64> Play for F {}

/// The order of one track.
#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: BTreeMap<u64, Piece>,
    last: Option<Last>,
}

/// The piece that was played last.
#[derive(Debug, Clone, Copy)]
struct Last {
    number: u64,
    /// Where its audio ends.
    end_ms: Option<f64>,
    length_ms: f64,
    arrival: Duration,
}

impl Order {
    /// Takes a piece that arrived `arrival` after the stream began.
    pub(super) fn take(&mut self, piece: Piece, arrival: Duration, play: &mut impl Play) {
        if self.last.is_some_and(|last| piece.number <= last.number) {
            return;
        }
        self.waiting.entry(piece.number).or_insert(piece);
        while let Some(first) = self.waiting.first_entry() {
            let is_due = self.last.map_or(*first.key() <= 1, |last| last.follows(first.get()));
            if !is_due && self.waiting.len() < WINDOW {
                return;
            }
            self.play_first(arrival, play);
        }
    }

    /// Plays what waits: nothing more comes.
    pub(super) fn finish(&mut self, arrival: Duration, play: &mut impl Play) {
        while !self.waiting.is_empty() {
            self.play_first(arrival, play);
        }
    }

    fn play_first(&mut self, arrival: Duration, play: &mut impl Play) {
        let Some((number, piece)) = self.waiting.pop_first() else { return };
        let gap_ms = self.last.map_or(0.0, |last| last.gap_ms(&piece, arrival));
        if gap_ms > 0.0 {
            play(Next::Gap(gap_ms));
        }
        let length_ms = play(Next::Payload(&piece.payload));
        let end_ms = piece.timestamp_ms.map(|start_ms| start_ms as f64 + length_ms);
        self.last = Some(Last { number, end_ms, length_ms, arrival });
    }
}

impl Last {
    /// Whether nothing is missing between this and `piece`.
    fn follows(&self, piece: &Piece) -> bool {
        Some(piece.number) == self.number.checked_add(1) || self.between_ms(piece).is_some_and(|ms| ms < ROUNDING_MS)
    }

    /// Time between, by the timestamps.
    fn between_ms(&self, piece: &Piece) -> Option<f64> {
        Some(piece.timestamp_ms? as f64 - self.end_ms?)
    }

    /// How long nothing is to be heard before `piece`.
    fn gap_ms(&self, piece: &Piece, arrival: Duration) -> f64 {
        let missing = piece.number.saturating_sub(self.number).saturating_sub(1);
        let by_numbers_ms = missing as f64 * self.length_ms;
        let by_time_ms = self.between_ms(piece);
        let gap_ms = match by_time_ms {
            None => by_numbers_ms,
            Some(ms) if ms >= MIN_PAUSE_MS && ms > by_numbers_ms && missing == 0 => ms,
            Some(ms) if ms >= ROUNDING_MS => ms.min(by_numbers_ms),
            Some(_) => 0.0,
        };
        let passed_ms = arrival.saturating_sub(self.arrival).as_secs_f64() * 1_000.0;
        gap_ms.min(passed_ms + MAX_AHEAD_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces as number, timestamp, arrival in ms; what is played, gaps as negative milliseconds. Every piece is 20 ms long.
    fn played(pieces: &[(u64, Option<u64>, u64)]) -> Vec<i64> {
        let (mut order, mut heard) = (Order::default(), Vec::new());
        let mut play = |next: Next<'_>| match next {
            Next::Gap(ms) => {
                heard.push(-(ms as i64));
                0.0
            }
            Next::Payload(payload) => {
                heard.push(i64::from(payload[0]));
                20.0
            }
        };
        for &(number, timestamp_ms, arrival_ms) in pieces {
            let piece = Piece { number, timestamp_ms, payload: vec![number as u8] };
            order.take(piece, Duration::from_millis(arrival_ms), &mut play);
            assert!(order.waiting.len() < WINDOW);
        }
        order.finish(Duration::from_millis(pieces.last().unwrap().2), &mut play);
        heard
    }

    #[test]
    fn pieces_are_put_in_order() {
        let told = |numbers: &[u64]| numbers.iter().map(|&n| (n, Some(n * 20), n * 20)).collect::<Vec<_>>();
        let untold = |numbers: &[u64]| numbers.iter().map(|&n| (n, None, n * 20)).collect::<Vec<_>>();
        for (what, pieces, expected) in [
            ("in order", told(&[1, 2, 3]), vec![1, 2, 3]),
            ("later tracks begin anywhere", told(&[90, 91]), vec![90, 91]),
            ("swapped at the start", told(&[2, 1, 3]), vec![1, 2, 3]),
            ("swapped", told(&[1, 3, 2, 4]), vec![1, 2, 3, 4]),
            ("shuffled", told(&[1, 5, 4, 3, 2, 6]), vec![1, 2, 3, 4, 5, 6]),
            ("twice", told(&[1, 2, 2, 1, 3, 3]), vec![1, 2, 3]),
            ("lost", told(&[1, 2, 5, 6]), vec![1, 2, -40, 5, 6]),
            ("lost, without timestamps", untold(&[1, 2, 5, 6]), vec![1, 2, -40, 5, 6]),
            (
                "too late",
                told(&[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 2, 13]),
                vec![1, -20, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
            ),
            // Numbers that another track shares.
            ("every other", (0..3).map(|n| (2 * n + 1, Some(n * 20), n * 20)).collect(), vec![1, 3, 5]),
            ("every other, one lost", vec![(1, Some(0), 0), (3, Some(20), 20), (7, Some(60), 60)], vec![1, 3, -20, 7]),
            // A sender that is unsteady, one that paused for a second, one that lies.
            ("unsteady", vec![(1, Some(0), 0), (2, Some(47), 40), (3, Some(60), 60)], vec![1, 2, 3]),
            ("paused", vec![(1, Some(0), 0), (2, Some(1_020), 1_020)], vec![1, -1_000, 2]),
            ("lying", vec![(1, Some(0), 0), (2, Some(u64::MAX), 100)], vec![1, -2_100, 2]),
            ("backwards", vec![(1, Some(9_000), 0), (2, Some(0), 100)], vec![1, 2]),
            ("far", vec![(1, None, 0), (u64::MAX, None, 100), (3, None, 120)], vec![1, -20, 3, -2_000]),
        ] {
            let mut heard = played(&pieces);
            heard.truncate(expected.len());
            assert_eq!(heard, expected, "{what}");
        }
    }
}
