//! Audio of one party between its transport and a worker: bounded, never waits, and counts what it cannot hold.

use std::{collections::VecDeque, time::Instant};

/// Most audio that waits, in seconds; what comes beyond is skipped and screened as silence.
const MOST_SECS: f64 = 10.0;
/// Audio is kept in pieces of at most this many samples.
const PIECE_SAMPLES: usize = 16_000;

/// What came in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Audio in -1..1.
    Samples(Vec<f32>),
    /// So many samples' time without audio.
    Gap(u64),
    /// What follows has another rate, in Hz.
    Rate(u32),
}

/// What waits for a worker.
#[derive(Debug)]
pub(super) struct Inbox {
    pieces: VecDeque<Piece>,
    /// Of the newest piece.
    sample_rate_hz: u32,
    /// Of the oldest piece.
    taken_rate_hz: u32,
    /// Seconds of audio in `pieces`, gaps not counted.
    audio_secs: f64,
    /// Seconds in `pieces`.
    waiting_secs: f64,
    /// Seconds without audio, and of audio that found no room, since the start.
    gap_secs: f64,
    skipped_secs: f64,
    /// When the newest audio came.
    arrived: Instant,
    /// No more will come.
    is_closed: bool,
    /// A worker has the party, or will be given it.
    pub(super) is_taken_up: bool,
    /// A worker is wanted once so many seconds wait.
    pub(super) wanted_secs: f64,
}

/// What a worker takes at a time.
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    /// Seconds of audio in it, without gaps.
    pub(super) audio_secs: f64,
    pub(super) arrived: Instant,
    pub(super) gap_secs: f64,
    pub(super) skipped_secs: f64,
    pub(super) sample_rate_hz: u32,
    /// Nothing waits behind it, and nothing will come.
    pub(super) is_last: bool,
}

impl Inbox {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self {
            pieces: VecDeque::new(),
            sample_rate_hz,
            taken_rate_hz: sample_rate_hz,
            audio_secs: 0.0,
            waiting_secs: 0.0,
            gap_secs: 0.0,
            skipped_secs: 0.0,
            arrived: Instant::now(),
            is_closed: false,
            is_taken_up: false,
            wanted_secs: 0.0,
        }
    }

    /// Audio came in.
    pub(super) fn push(&mut self, samples: &[f32]) {
        if self.is_closed || samples.is_empty() {
            return;
        }
        let secs = self.secs(samples.len() as u64);
        self.arrived = Instant::now();
        if self.audio_secs + secs > MOST_SECS {
            self.skipped_secs += secs;
            return self.add_gap(samples.len() as u64);
        }
        self.audio_secs += secs;
        self.waiting_secs += secs;
        match self.pieces.back_mut() {
            Some(Piece::Samples(last)) if last.len() + samples.len() <= PIECE_SAMPLES => {
                last.extend_from_slice(samples)
            }
            _ => self.pieces.push_back(Piece::Samples(samples.to_vec())),
        }
    }

    /// Time passed without audio.
    pub(super) fn skip(&mut self, samples: u64) {
        if self.is_closed || samples == 0 {
            return;
        }
        self.gap_secs += self.secs(samples);
        self.arrived = Instant::now();
        self.add_gap(samples);
    }

    fn add_gap(&mut self, samples: u64) {
        self.waiting_secs += self.secs(samples);
        match self.pieces.back_mut() {
            Some(Piece::Gap(last)) => *last += samples,
            _ => self.pieces.push_back(Piece::Gap(samples)),
        }
    }

    /// Audio comes at another rate from now on.
    pub(super) fn set_rate(&mut self, sample_rate_hz: u32) {
        if self.is_closed || self.sample_rate_hz == sample_rate_hz {
            return;
        }
        self.sample_rate_hz = sample_rate_hz;
        self.pieces.push_back(Piece::Rate(sample_rate_hz));
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// When audio came last.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Whether a worker should take the party up now; it counts as taken up from here on.
    pub(super) fn take_up(&mut self) -> bool {
        let wanted = self.is_closed || self.waiting_secs >= self.wanted_secs;
        let takes = wanted && !self.is_taken_up;
        self.is_taken_up |= takes;
        takes
    }

    /// Up to about `secs` of what waits.
    pub(super) fn take(&mut self, secs: f64) -> Batch {
        let (mut pieces, mut taken_secs, mut rate_hz) = (Vec::new(), 0.0, self.taken_rate_hz);
        let audio_before = self.audio_secs;
        let waiting = self.pieces.len();
        for _ in 0..waiting {
            if taken_secs >= secs {
                break;
            }
            match self.pieces.pop_front() {
                Some(Piece::Gap(samples)) => {
                    let most = ((secs * f64::from(rate_hz)).ceil() as u64).max(1);
                    if samples > most {
                        self.pieces.push_front(Piece::Gap(samples - most));
                    }
                    taken_secs += samples.min(most) as f64 / f64::from(rate_hz);
                    pieces.push(Piece::Gap(samples.min(most)));
                }
                Some(Piece::Samples(samples)) => {
                    let piece_secs = samples.len() as f64 / f64::from(rate_hz);
                    self.audio_secs = (self.audio_secs - piece_secs).max(0.0);
                    taken_secs += piece_secs;
                    pieces.push(Piece::Samples(samples));
                }
                Some(Piece::Rate(next_hz)) => {
                    rate_hz = next_hz;
                    pieces.push(Piece::Rate(next_hz));
                }
                None => break,
            }
        }
        self.waiting_secs = if self.pieces.is_empty() { 0.0 } else { (self.waiting_secs - taken_secs).max(0.0) };
        self.taken_rate_hz = rate_hz;
        Batch {
            pieces,
            audio_secs: audio_before - self.audio_secs,
            arrived: self.arrived,
            gap_secs: self.gap_secs,
            skipped_secs: self.skipped_secs,
            sample_rate_hz: rate_hz,
            is_last: self.is_closed && self.pieces.is_empty(),
        }
    }

    fn secs(&self, samples: u64) -> f64 {
        samples as f64 / f64::from(self.sample_rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(batch: &Batch) -> Vec<i64> {
        let length = |piece: &Piece| match piece {
            Piece::Samples(samples) => samples.len() as i64,
            Piece::Gap(samples) => -(*samples as i64),
            Piece::Rate(_) => 0,
        };
        batch.pieces.iter().map(length).collect()
    }

    #[test]
    fn a_worker_is_wanted_once_enough_waits_and_only_one() {
        let mut inbox = Inbox::new(8_000);
        inbox.wanted_secs = 0.1;
        inbox.push(&[0.0; 799]);
        assert!(!inbox.take_up());
        inbox.push(&[0.0; 1]);
        assert!(inbox.take_up() && !inbox.take_up());
        assert_eq!(lengths(&inbox.take(4.0)), [800]);
        inbox.is_taken_up = false;
        assert!(!inbox.take_up());
        inbox.close();
        assert!(inbox.take_up(), "the end is always worth a worker");
        assert!(inbox.take(4.0).is_last);
    }

    #[test]
    fn it_is_bounded_and_time_goes_on() {
        let mut inbox = Inbox::new(8_000);
        for _ in 0..3_600 {
            inbox.push(&[0.1; 8_000]);
        }
        inbox.push(&[0.1; 8_000]);
        assert!(inbox.pieces.len() < 20, "{}", inbox.pieces.len());
        assert_eq!(inbox.skipped_secs, 3_591.0);
        let mut secs = 0.0;
        while inbox.waiting_secs > 0.0 {
            let batch = inbox.take(4.0);
            let taken: i64 = lengths(&batch).iter().map(|samples| samples.abs()).sum();
            assert!(taken <= 9 * 8_000, "a batch is bounded: {taken}");
            secs += taken as f64 / 8_000.0;
        }
        assert_eq!(secs, 3_601.0);
        inbox.push(&[0.1; 80]);
        assert_eq!(lengths(&inbox.take(4.0)), [80], "there is room again");
    }

    #[test]
    fn rates_keep_their_place() {
        let mut inbox = Inbox::new(8_000);
        inbox.push(&[0.1; 8_000]);
        inbox.set_rate(16_000);
        inbox.skip(16_000);
        inbox.push(&[0.1; 16_000]);
        assert_eq!(inbox.waiting_secs, 3.0);
        let batch = inbox.take(10.0);
        assert_eq!((lengths(&batch), batch.sample_rate_hz), (vec![8_000, 0, -16_000, 16_000], 16_000));
        assert_eq!((batch.gap_secs, inbox.waiting_secs), (1.0, 0.0));
    }
}
