//! When a running verdict becomes an alert, and when that is taken back. Pure: times are seconds of the party's audio.
//!
//! Hysteresis: the verdict must be `spoof` for a while to raise the alert, and `bona_fide` for a longer while to take it
//! back; `inconclusive` in between changes nothing. A party has one alert at most, and at most one retraction: what comes
//! after is told by the verdicts and by the result.

use crate::policy::{Decision, Verdict};

/// How long a verdict must stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    /// `spoof`, to raise the alert, in seconds.
    pub(super) raise_after_secs: f64,
    /// `bona_fide`, to take it back, in seconds.
    pub(super) retract_after_secs: f64,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Raised,
    Retracted,
}

/// Where a verdict stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// More audio may come.
    Running,
    /// It is the last word on the party.
    Final,
}

/// One party's alert.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert {
    /// Since when the verdict has been the same, and which.
    standing: Option<(Decision, f64)>,
    is_raised: bool,
    is_retracted: bool,
}

impl Alert {
    /// Takes the verdict at `at_secs`.
    pub(super) fn step(&mut self, rule: Rule, decision: Decision, at_secs: f64, moment: Moment) -> Option<Change> {
        let since = match self.standing {
            Some((standing, since)) if standing == decision => since,
            _ => at_secs,
        };
        self.standing = Some((decision, since));
        let stood = |secs: f64| moment == Moment::Final || at_secs - since >= secs;
        match decision {
            Decision::Spoof if !self.is_raised && stood(rule.raise_after_secs) => {
                self.is_raised = true;
                Some(Change::Raised)
            }
            Decision::BonaFide if self.is_raised && !self.is_retracted && stood(rule.retract_after_secs) => {
                self.is_retracted = true;
                Some(Change::Retracted)
            }
            _ => None,
        }
    }
}

/// Where the evidence for a verdict begins, in seconds: its stretch, or the first window that speaks against the voice.
pub(super) fn first_evidence_secs(verdict: &Verdict) -> Option<f64> {
    let speaks_against = |llr: &Option<crate::model::Llr>| llr.is_some_and(|llr| llr.0 < 0.0);
    let first = || verdict.evidence.segments.iter().find(|segment| speaks_against(&segment.llr));
    verdict.stretch.map(|stretch| stretch.start_secs).or_else(|| first().map(|segment| segment.start_secs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{BonaFide, Inconclusive, Spoof};

    const RULE: Rule = Rule { raise_after_secs: 1.0, retract_after_secs: 5.0 };

    type Changes = Vec<(usize, Change)>;

    /// Verdicts one second apart; the last is the final one where `is_final`.
    fn changes(decisions: &[Decision], is_final: bool) -> Changes {
        let mut alert = Alert::default();
        let last = decisions.len() - 1;
        let step = |(second, decision): (usize, &Decision)| {
            let moment = if is_final && second == last { Moment::Final } else { Moment::Running };
            Some((second, alert.step(RULE, *decision, second as f64, moment)?))
        };
        decisions.iter().enumerate().filter_map(step).collect()
    }

    #[test]
    fn alerts_come_once_and_go_slowly() {
        let long_genuine = [vec![Spoof; 3], vec![BonaFide; 7]].concat();
        let cases: [(&str, Vec<Decision>, Changes); 6] = [
            ("one spoof verdict is not enough", vec![Spoof, Inconclusive, Spoof, BonaFide], vec![]),
            ("two are, and more change nothing", vec![Inconclusive, Spoof, Spoof, Spoof], vec![(2, Change::Raised)]),
            ("doubt changes nothing", vec![Spoof, Spoof, Inconclusive, Spoof, Spoof], vec![(1, Change::Raised)]),
            ("genuine for long takes it back", long_genuine.clone(), vec![(1, Change::Raised), (8, Change::Retracted)]),
            (
                "and it stays so",
                [long_genuine, vec![Spoof; 4]].concat(),
                vec![(1, Change::Raised), (8, Change::Retracted)],
            ),
            ("genuine is no alert", vec![BonaFide; 9], vec![]),
        ];
        for (name, decisions, expected) in cases {
            assert_eq!(changes(&decisions, false), expected, "{name}");
        }
    }

    #[test]
    fn the_last_word_counts_at_once() {
        assert_eq!(changes(&[Inconclusive, Spoof], true), [(1, Change::Raised)]);
        assert_eq!(changes(&[Spoof, Spoof, BonaFide], true), [(1, Change::Raised), (2, Change::Retracted)]);
    }
}
