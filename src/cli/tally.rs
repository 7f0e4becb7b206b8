//! What a batch came to: counts, hours, speed, and the exit code they give.

use std::{fmt, time::Instant};

use super::{counted, inputs::PassedOver};
use crate::{
    error::{Error, Exit},
    policy::Decision,
    scan::ScanResult,
};

/// Counts of one run.
#[derive(Debug, Clone)]
pub struct Tally {
    started: Instant,
    spoof_count: usize,
    bona_fide_count: usize,
    inconclusive_count: usize,
    audio_secs: f64,
    /// Inputs that could not be read.
    pub failed_count: usize,
    /// What lay in folders and was not taken.
    pub passed_over: PassedOver,
}

impl Tally {
    /// Nothing yet.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            spoof_count: 0,
            bona_fide_count: 0,
            inconclusive_count: 0,
            audio_secs: 0.0,
            failed_count: 0,
            passed_over: PassedOver::default(),
        }
    }

    /// Counts one input.
    pub fn add(&mut self, outcome: Result<&ScanResult, &Error>) {
        let Ok(result) = outcome else {
            self.failed_count += 1;
            return;
        };
        self.audio_secs += result.input.duration_secs.unwrap_or(0.0);
        match result.decision {
            Decision::Spoof => self.spoof_count += 1,
            Decision::BonaFide => self.bona_fide_count += 1,
            Decision::Inconclusive => self.inconclusive_count += 1,
        }
    }

    fn judged_count(&self) -> usize {
        self.spoof_count + self.bona_fide_count + self.inconclusive_count
    }

    /// Whether there was nothing to judge, and nothing failed.
    pub fn is_empty(&self) -> bool {
        self.judged_count() + self.failed_count == 0
    }

    /// Whether there is anything that a single line of output does not say.
    pub fn is_batch(&self) -> bool {
        self.judged_count() + self.failed_count != 1 || self.passed_over.count() > 0
    }

    /// The worst that happened. Nothing judged at all is an operational error: it must not look like "all genuine".
    pub fn exit(&self) -> Exit {
        if self.failed_count > 0 || self.judged_count() == 0 {
            Exit::Operational
        } else if self.spoof_count > 0 {
            Exit::Spoof
        } else if self.inconclusive_count > 0 {
            Exit::Inconclusive
        } else {
            Exit::BonaFide
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed_secs = self.started.elapsed().as_secs_f64().max(1e-3);
        let count = self.judged_count();
        write!(f, "{}: ", counted(count, "file"))?;
        write!(f, "{} likely cloned, {} likely genuine, ", self.spoof_count, self.bona_fide_count)?;
        write!(f, "{} inconclusive", self.inconclusive_count)?;
        if self.failed_count > 0 {
            write!(f, ", {} could not be read", self.failed_count)?;
        }
        if self.passed_over.count() > 0 {
            write!(f, ", {}", self.passed_over)?;
        }
        let (hours, speed) = (self.audio_secs / 3600.0, self.audio_secs / elapsed_secs);
        write!(f, "; {hours:.2} h of audio in {elapsed_secs:.1} s ({speed:.0} × real time)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_by_the_worst() {
        for (spoof_count, inconclusive_count, bona_fide_count, failed_count, code) in
            [(0, 0, 3, 0, 0), (1, 1, 1, 0, 1), (0, 1, 5, 0, 3), (1, 1, 1, 1, 2), (0, 0, 0, 0, 2)]
        {
            let none = Tally::new(Instant::now());
            let tally = Tally { spoof_count, inconclusive_count, bona_fide_count, failed_count, ..none };
            assert_eq!(tally.exit().code(), code);
        }
    }
}
