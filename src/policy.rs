//! Policy: turns [`crate::screen::Evidence`] and thresholds into a [`Verdict`]. No I/O, no state.

use std::{
    fmt, iter,
    ops::{Range, RangeInclusive},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Llr, Thresholds},
    screen::{Evidence, Segment},
};

/// Less speech than this is none: the gate may take a click for it.
const LEAST_SPEECH_SECS: f64 = 0.2;

/// What is said of a channel or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Genuine human speech.
    BonaFide,
    /// Cloned, synthetic or converted speech.
    Spoof,
    /// It cannot be told, and [`Reason`] says why.
    Inconclusive,
}

/// Why a decision is inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing in the channel is speech.
    NoSpeech,
    /// Less speech than the policy asks for.
    TooShort,
    /// The LLR lies between the thresholds.
    Uncertain,
    /// The LLR is that of a spoof, but noise suppression has cleaned the speech, which can make genuine speech sound so.
    Denoised,
    /// The container or codec is not one that can be decoded, or the bytes are damaged from the start.
    Undecodable,
    /// Part of the input is damaged, missing or in a track that cannot be decoded, so it was not heard whole.
    Damaged,
    /// The input hit one of [`crate::decode`]'s limits before it could be judged whole.
    LimitReached,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpeech => "no speech",
            Self::TooShort => "too little speech",
            Self::Uncertain => "the evidence points neither way",
            Self::Denoised => "it sounds cloned, but noise suppression can do that",
            Self::Undecodable => "cannot be decoded",
            Self::Damaged => "part of it could not be heard",
            Self::LimitReached => "a limit was reached",
        })
    }
}

/// Evidence with what the policy makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// Why, where the answer is [`Decision::Inconclusive`].
    pub reason: Option<Reason>,
    /// The LLR that decided: the whole channel's, or the stretch's where one decided.
    pub llr: Option<Llr>,
    /// The stretch that decided, where the channel as a whole would not have: a cloned insert with
    /// [`Decision::Spoof`], one that puts the rest in doubt with [`Reason::Uncertain`] or [`Reason::Denoised`].
    pub stretch: Option<Stretch>,
    /// What it rests on.
    pub evidence: Evidence,
}

/// A part of a channel that stands out from the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Start of its first segment, seconds.
    pub start_secs: f64,
    /// End of its last segment, seconds.
    pub end_secs: f64,
    /// Mean LLR of the segments that decided: those at its ends may only look like them.
    pub llr: Llr,
}

/// Thresholds and actions under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Goes into every result.
    pub id: String,
    /// Where decisions change.
    pub thresholds: Thresholds,
    /// Whether a channel without speech beside one with speech leaves the file's decision to the other. Default: no.
    pub ignore_silent_channels: bool,
    /// What to do with a file, by its decision.
    pub actions: Actions,
}

/// What to do with a judged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Let it pass.
    Accept,
    /// A person should listen.
    Review,
    /// Hold it and raise an alarm.
    Flag,
}

/// An action per decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Actions {
    /// Default: accept.
    pub bona_fide: Action,
    /// Default: review.
    pub inconclusive: Action,
    /// Default: flag.
    pub spoof: Action,
}

impl Default for Actions {
    fn default() -> Self {
        Self { bona_fide: Action::Accept, inconclusive: Action::Review, spoof: Action::Flag }
    }
}

/// A policy as it is written down: what it leaves out is the model's default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRules {
    /// Needed in a policy file; left out where a section's name stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// LLR below this: spoof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoof_below: Option<f32>,
    /// LLR from here on: bona fide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bona_fide_above: Option<f32>,
    /// Least seconds of speech for any decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speech_secs: Option<f64>,
    /// See [`Policy::ignore_silent_channels`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_silent_channels: Option<bool>,
    /// What cleaned speech needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denoised: Option<DenoisedRules>,
    /// When a stretch decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert: Option<InsertRules>,
    /// What to do, by decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<ActionRules>,
}

/// `[denoised]` of a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoisedRules {
    /// Measure above which speech counts as cleaned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f32>,
    /// LLR below which cleaned speech is a spoof all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoof_below: Option<f32>,
}

/// `[insert]` of a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsertRules {
    /// Mean LLR of the stretch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoof_below: Option<f32>,
    /// Its LLRs added up, overlaps counted once; lower in a channel of more than a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_below: Option<f32>,
    /// Nats below the median of the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_nats: Option<f32>,
    /// Windows that the stretch must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_windows: Option<usize>,
}

/// `[actions]` of a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRules {
    /// See [`Actions::bona_fide`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bona_fide: Option<Action>,
    /// See [`Actions::inconclusive`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inconclusive: Option<Action>,
    /// See [`Actions::spoof`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoof: Option<Action>,
}

impl Actions {
    fn of(rules: Option<&ActionRules>) -> Self {
        let (rules, defaults) = (rules.cloned().unwrap_or_default(), Self::default());
        Self {
            bona_fide: rules.bona_fide.unwrap_or(defaults.bona_fide),
            inconclusive: rules.inconclusive.unwrap_or(defaults.inconclusive),
            spoof: rules.spoof.unwrap_or(defaults.spoof),
        }
    }
}

impl Policy {
    /// The thresholds that the model was shipped with.
    pub fn default_of(thresholds: &Thresholds) -> Self {
        let (ignore_silent_channels, actions) = (false, Actions::default());
        Self { id: "default".into(), thresholds: *thresholds, ignore_silent_channels, actions }
    }

    /// Reads a policy file over the model's defaults.
    ///
    /// # Errors
    /// Unknown keys and values out of range, with key, value and what was expected.
    pub fn from_toml(text: &str, defaults: &Thresholds) -> Result<Self, String> {
        let rules: PolicyRules = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        let id = rules.id.clone().ok_or("id: missing – must have 1-64 characters")?;
        if id.is_empty() || id.len() > 64 {
            return Err(format!("id: {id:?} – must have 1-64 characters"));
        }
        Self::from_rules(id, &rules, defaults)
    }

    /// Lays `rules` over the model's defaults.
    ///
    /// # Errors
    /// Values out of range, with key, value and what was expected.
    pub fn from_rules(id: String, rules: &PolicyRules, defaults: &Thresholds) -> Result<Self, String> {
        let mut thresholds = *defaults;
        if let Some(given) = &rules.denoised {
            let denoised = &mut thresholds.denoised;
            denoised.above = given.above.unwrap_or(denoised.above);
            denoised.spoof_below = given.spoof_below.unwrap_or(denoised.spoof_below);
        }
        let insert = &mut thresholds.insert;
        if let Some(given) = &rules.insert {
            insert.spoof_below = given.spoof_below.unwrap_or(insert.spoof_below);
            insert.sum_below = given.sum_below.unwrap_or(insert.sum_below);
            insert.drop_nats = given.drop_nats.unwrap_or(insert.drop_nats);
            insert.min_windows = given.min_windows.unwrap_or(insert.min_windows);
        }
        thresholds.spoof_below = rules.spoof_below.unwrap_or(thresholds.spoof_below);
        thresholds.bona_fide_above = rules.bona_fide_above.unwrap_or(thresholds.bona_fide_above);
        thresholds.min_speech_secs = rules.min_speech_secs.unwrap_or(thresholds.min_speech_secs);
        if let Some(message) = thresholds_fault(&thresholds) {
            return Err(message);
        }
        let ignore_silent_channels = rules.ignore_silent_channels.unwrap_or(false);
        Ok(Self { id, thresholds, ignore_silent_channels, actions: Actions::of(rules.actions.as_ref()) })
    }

    /// What to do with a file that was decided so.
    pub fn action(&self, decision: Decision) -> Action {
        match decision {
            Decision::BonaFide => self.actions.bona_fide,
            Decision::Inconclusive => self.actions.inconclusive,
            Decision::Spoof => self.actions.spoof,
        }
    }

    /// A file's decision from its channels' verdicts: the worst one, spoof before inconclusive before bona fide, then
    /// the lowest LLR.
    pub fn worst<'v>(&self, verdicts: impl Iterator<Item = &'v Verdict> + Clone) -> Option<&'v Verdict> {
        let rank = |decision: Decision| match decision {
            Decision::Spoof => 0,
            Decision::Inconclusive => 1,
            Decision::BonaFide => 2,
        };
        let is_silent = |verdict: &Verdict| verdict.reason == Some(Reason::NoSpeech);
        let llr = |verdict: &Verdict| verdict.llr.map_or(f32::INFINITY, |llr| llr.0);
        let skips_silence = self.ignore_silent_channels && verdicts.clone().any(|verdict| !is_silent(verdict));
        verdicts
            .filter(|verdict| !(skips_silence && is_silent(verdict)))
            .min_by(|a, b| rank(a.decision).cmp(&rank(b.decision)).then(llr(a).total_cmp(&llr(b))))
    }

    /// Applies the policy to one channel.
    pub fn judge(&self, evidence: Evidence) -> Verdict {
        let (mut decision, mut reason) = self.decide(&evidence);
        let mut stretch = None;
        if decision == Decision::BonaFide || matches!(reason, Some(Reason::Uncertain | Reason::Denoised)) {
            if let Some((found, answer)) = self.passage(&evidence) {
                stretch = Some(found);
                (decision, reason) = answer;
            } else if decision == Decision::BonaFide {
                stretch = self.doubt(&evidence.segments);
                reason = stretch.map(|_| Reason::Uncertain);
                decision = if stretch.is_some() { Decision::Inconclusive } else { decision };
            }
        }
        let llr = stretch.map_or(evidence.llr, |stretch| Some(stretch.llr));
        Verdict { decision, reason, llr, stretch, evidence }
    }

    /// The decision on the channel as a whole.
    fn decide(&self, evidence: &Evidence) -> (Decision, Option<Reason>) {
        let thresholds = &self.thresholds;
        let speech_secs = evidence.quality.speech_secs;
        let inconclusive = |reason| (Decision::Inconclusive, Some(reason));
        if speech_secs < LEAST_SPEECH_SECS {
            return inconclusive(Reason::NoSpeech);
        }
        match evidence.llr.filter(|_| speech_secs >= thresholds.min_speech_secs) {
            None => inconclusive(Reason::TooShort),
            Some(llr) if llr.0 < thresholds.spoof_below => self.low(evidence, llr),
            Some(Llr(llr)) if llr >= thresholds.bona_fide_above => (Decision::BonaFide, None),
            Some(_) => inconclusive(Reason::Uncertain),
        }
    }

    /// The answer to a channel's LLR that is that of a spoof.
    fn low(&self, evidence: &Evidence, llr: Llr) -> (Decision, Option<Reason>) {
        if self.is_cleaned(evidence) && llr.0 >= self.thresholds.denoised.spoof_below { HELD } else { SPOOF }
    }

    fn is_cleaned(&self, evidence: &Evidence) -> bool {
        evidence.denoised.is_some_and(|measure| measure > self.thresholds.denoised.above)
    }

    /// A cloned insert, and the answer to it; in cleaned speech one that is low enough for that, before any other.
    fn passage(&self, evidence: &Evidence) -> Option<(Stretch, (Decision, Option<Reason>))> {
        let Thresholds { denoised, insert, .. } = self.thresholds;
        let found = |below: f32| self.insert(&evidence.segments, below);
        if self.is_cleaned(evidence) {
            let low = found(insert.spoof_below.min(denoised.spoof_below)).map(|stretch| (stretch, SPOOF));
            low.or_else(|| found(insert.spoof_below).map(|stretch| (stretch, HELD)))
        } else {
            found(insert.spoof_below).map(|stretch| (stretch, SPOOF))
        }
    }

    /// The stretch that stands out most as a cloned insert: a run of judged neighbours whose LLRs lie below `spoof_below` on
    /// average, and low enough when added up, and far under the median of the rest of the channel. Its times go as far as its
    /// neighbours look like it.
    fn insert(&self, segments: &[Segment], spoof_below: f32) -> Option<Stretch> {
        let rule = &self.thresholds.insert;
        let llrs = llrs_of(segments);
        let mut judged: Vec<f32> = llrs.iter().copied().flatten().collect();
        judged.sort_by(f32::total_cmp);
        let sum_below = rule.sum_below - length_nats(judged.len());
        let (_, mut run, mean, rest) = runs(&llrs, rule.min_windows..=rule.min_windows.max(MAX_WINDOWS))
            .filter_map(|(run, mean)| {
                let sum = mean * windows_counted(run.len());
                if mean >= spoof_below || sum >= sum_below {
                    return None;
                }
                let rest = median_without(&judged, llrs[run.clone()].iter().copied().flatten().collect())?;
                (rest - mean >= rule.drop_nats).then_some((sum, run, mean, rest))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        let alike = |llr: &&Option<f32>| llr.is_some_and(|llr| llr < f32::midpoint(mean, rest));
        run.end += llrs[run.end..].iter().take_while(alike).count();
        run.start -= llrs[..run.start].iter().rev().take_while(alike).count();
        stretch_of(&segments[run], mean)
    }

    /// The worst ten seconds, where they look so unlike genuine speech that the whole cannot be called genuine: half as far
    /// as a cloned insert, and further in long channels.
    fn doubt(&self, segments: &[Segment]) -> Option<Stretch> {
        let llrs = llrs_of(segments);
        let beyond = length_nats(llrs.iter().flatten().count()) / windows_counted(DOUBT_WINDOWS);
        let doubt = self.thresholds.insert.spoof_below / 2.0 - beyond;
        let (run, mean) = runs(&llrs, DOUBT_WINDOWS..=DOUBT_WINDOWS)
            .filter(|(_, mean)| *mean < doubt)
            .min_by(|a, b| a.1.total_cmp(&b.1))?;
        stretch_of(&segments[run], mean)
    }
}

/// The answers to speech that sounds cloned, and to cleaned speech that does.
const SPOOF: (Decision, Option<Reason>) = (Decision::Spoof, None);
const HELD: (Decision, Option<Reason>) = (Decision::Inconclusive, Some(Reason::Denoised));

fn llrs_of(segments: &[Segment]) -> Vec<Option<f32>> {
    segments.iter().map(|segment| segment.llr.map(|Llr(llr)| llr)).collect()
}

fn stretch_of(segments: &[Segment], mean: f32) -> Option<Stretch> {
    let (first, last) = (segments.first()?, segments.last()?);
    Some(Stretch { start_secs: first.start_secs, end_secs: last.end_secs, llr: Llr(mean) })
}

/// Most windows of a run: a minute. What goes on longer is found by a part of it.
const MAX_WINDOWS: usize = 30;

/// Judged windows of a channel of a minute.
const MINUTE_WINDOWS: f32 = 30.0;

/// Windows of a stretch that can put a channel in doubt: 10 s.
const DOUBT_WINDOWS: usize = 4;

/// Windows that neighbours of this number count for: they overlap by half.
fn windows_counted(neighbours: usize) -> f32 {
    (neighbours + 1) as f32 / 2.0
}

/// Nats that are asked of a stretch beyond those in a channel of a minute. The more stretches there are, the lower the lowest
/// of them lies by chance; with one cloned stretch in a channel of any length, the odds that it is this one fall as the number
/// of windows grows.
fn length_nats(judged: usize) -> f32 {
    (judged as f32 / MINUTE_WINDOWS).ln().max(0.0)
}

/// All runs of judged neighbours of these lengths, with their mean LLR.
fn runs(llrs: &[Option<f32>], lengths: RangeInclusive<usize>) -> impl Iterator<Item = (Range<usize>, f32)> {
    // Of the LLRs before each place: their sum, and how many are missing.
    let before: Vec<(f64, usize)> = iter::once((0.0, 0))
        .chain(llrs.iter().scan((0.0, 0), |(sum, missing), llr| {
            *sum += llr.map_or(0.0, f64::from);
            *missing += usize::from(llr.is_none());
            Some((*sum, *missing))
        }))
        .collect();
    let last = llrs.len();
    lengths.flat_map(move |length| (length..=last).map(move |end| end - length..end)).filter_map(move |run| {
        let ((sum, missing), (end_sum, end_missing)) = (before[run.start], before[run.end]);
        let mean = (end_sum - sum) / run.len() as f64;
        (missing == end_missing).then_some((run, mean as f32))
    })
}

/// Median of `sorted` without the values `left_out`, all of which are in it.
fn median_without(sorted: &[f32], mut left_out: Vec<f32>) -> Option<f32> {
    left_out.sort_by(f32::total_cmp);
    let mut at = sorted.len().saturating_sub(left_out.len()) / 2;
    for value in &left_out {
        at += usize::from(sorted.get(at).is_some_and(|found| value <= found));
    }
    sorted.get(at).copied()
}

/// What is wrong with the thresholds, if anything: key, value, what was expected.
pub fn thresholds_fault(thresholds: &Thresholds) -> Option<String> {
    let Thresholds { spoof_below, bona_fide_above, min_speech_secs, denoised, insert } = *thresholds;
    if !spoof_below.is_finite() || !bona_fide_above.is_finite() || spoof_below > bona_fide_above {
        Some(format!("spoof_below: {spoof_below} – must be a number not above bona_fide_above ({bona_fide_above})"))
    } else if !denoised.above.is_finite() {
        Some(format!("denoised.above: {} – must be a number", denoised.above))
    } else if !denoised.spoof_below.is_finite() {
        Some(format!("denoised.spoof_below: {} – must be a number", denoised.spoof_below))
    } else if !insert.spoof_below.is_finite() {
        Some(format!("insert.spoof_below: {} – must be a number", insert.spoof_below))
    } else if !insert.sum_below.is_finite() {
        Some(format!("insert.sum_below: {} – must be a number", insert.sum_below))
    } else if !(0.5..=3600.0).contains(&min_speech_secs) {
        Some(format!("min_speech_secs: {min_speech_secs} – must be 0.5-3600"))
    } else if !(1..=1000).contains(&insert.min_windows) {
        Some(format!("insert.min_windows: {} – must be 1-1000", insert.min_windows))
    } else if !(0.0..=1000.0).contains(&insert.drop_nats) {
        Some(format!("insert.drop_nats: {} – must be 0-1000", insert.drop_nats))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Denoised, Insert},
        speech::Quality,
    };

    const THRESHOLDS: Thresholds = Thresholds {
        spoof_below: -1.0,
        bona_fide_above: 0.5,
        min_speech_secs: 2.0,
        denoised: Denoised { above: 0.3, spoof_below: -4.0 },
        insert: Insert { spoof_below: -2.0, sum_below: -3.0, drop_nats: 3.0, min_windows: 2 },
    };

    fn evidence(llr: Option<f32>, speech_secs: f64, segments: &[Option<f32>]) -> Evidence {
        let segment = |(i, llr): (usize, &Option<f32>)| Segment {
            start_secs: 2.0 * i as f64,
            end_secs: 2.0 * i as f64 + 4.0,
            speech_secs: 4.0,
            llr: llr.map(Llr),
            why_not: None,
        };
        Evidence {
            llr: llr.map(Llr),
            denoised: llr.map(|_| 0.0),
            segments: segments.iter().enumerate().map(segment).collect(),
            duration_secs: 30.0,
            quality: Quality { speech_secs, ..Quality::default() },
        }
    }

    #[test]
    fn decisions() {
        let policy = Policy::default_of(&THRESHOLDS);
        let calm = [Some(2.0); 8];
        let mut insert = [Some(2.0); 8];
        insert[3] = Some(-4.0);
        let one_window = insert;
        insert[4] = Some(-3.0);
        let doubtful = [Some(2.0), Some(-1.2), Some(-1.2), Some(-1.2), Some(-1.2), Some(2.0), Some(2.0)];
        for (llr, speech_secs, segments, decision, reason) in [
            (Some(2.0), 20.0, &doubtful[..], Decision::Inconclusive, Some(Reason::Uncertain)),
            (None, 0.0, &[][..], Decision::Inconclusive, Some(Reason::NoSpeech)),
            (None, 0.5, &[], Decision::Inconclusive, Some(Reason::TooShort)),
            (Some(-9.0), 1.9, &[], Decision::Inconclusive, Some(Reason::TooShort)),
            (Some(-1.01), 2.0, &[], Decision::Spoof, None),
            (Some(-1.0), 2.0, &[], Decision::Inconclusive, Some(Reason::Uncertain)),
            (Some(0.5), 2.0, &calm, Decision::BonaFide, None),
            (Some(2.0), 20.0, &one_window, Decision::BonaFide, None),
            (Some(2.0), 20.0, &insert, Decision::Spoof, None),
            (
                Some(0.0),
                20.0,
                &[Some(-2.5), Some(-2.5), Some(-1.0), Some(0.0)],
                Decision::Inconclusive,
                Some(Reason::Uncertain),
            ),
        ] {
            let verdict = policy.judge(evidence(llr, speech_secs, segments));
            assert_eq!((verdict.decision, verdict.reason), (decision, reason), "{llr:?} {speech_secs} {segments:?}");
        }
    }

    #[test]
    fn cleaned_speech_needs_more_to_be_called_a_spoof() {
        let policy = Policy::default_of(&THRESHOLDS);
        for (denoised, llr, decision, reason) in [
            (Some(0.31), -3.9, Decision::Inconclusive, Some(Reason::Denoised)),
            (Some(0.31), -4.0, Decision::Inconclusive, Some(Reason::Denoised)),
            (Some(0.31), -4.1, Decision::Spoof, None),
            (Some(0.3), -3.9, Decision::Spoof, None),
            (None, -3.9, Decision::Spoof, None),
            (Some(0.9), 0.0, Decision::Inconclusive, Some(Reason::Uncertain)),
            (Some(0.9), 0.6, Decision::BonaFide, None),
        ] {
            let verdict = policy.judge(Evidence { denoised, ..evidence(Some(llr), 20.0, &[]) });
            assert_eq!((verdict.decision, verdict.reason), (decision, reason), "{denoised:?} {llr}");
        }
        for (llr, insert_llr, decision, reason) in [
            (2.0, -3.75, Decision::Inconclusive, Some(Reason::Denoised)),
            (2.0, -4.25, Decision::Spoof, None),
            (-1.5, -4.25, Decision::Spoof, None),
        ] {
            let mut segments = [Some(2.0); 9];
            segments[3..6].fill(Some(insert_llr));
            let verdict = policy.judge(Evidence { denoised: Some(0.4), ..evidence(Some(llr), 20.0, &segments) });
            assert_eq!((verdict.decision, verdict.reason), (decision, reason), "{llr} {insert_llr}");
            assert_eq!(verdict.llr, Some(Llr(insert_llr)));
        }
    }

    #[test]
    fn an_insert_is_named_with_its_times_and_its_own_llr() {
        let mut segments = [Some(2.0); 9];
        segments[3..6].fill(Some(-4.0));
        segments[6] = Some(-1.5);
        segments[2] = Some(-1.5);
        let verdict = Policy::default_of(&THRESHOLDS).judge(evidence(Some(1.0), 20.0, &segments));
        let stretch = verdict.stretch.unwrap();
        assert_eq!((stretch.start_secs, stretch.end_secs), (4.0, 16.0));
        assert_eq!((verdict.llr, verdict.evidence.llr), (Some(Llr(-3.0)), Some(Llr(1.0))));
    }

    #[test]
    fn evidence_of_a_stretch_adds_up_and_long_channels_need_more_of_it() {
        let thresholds = Thresholds { insert: Insert { sum_below: -4.5, ..THRESHOLDS.insert }, ..THRESHOLDS };
        let policy = Policy::default_of(&thresholds);
        let found = |windows: usize, llr: f32, of: usize| {
            let mut segments = vec![Some(2.0); of];
            segments[7..7 + windows].fill(Some(llr));
            let verdict = policy.judge(evidence(Some(1.0), 20.0, &segments));
            verdict.stretch.filter(|_| verdict.decision == Decision::Spoof)
        };
        // Two windows hold the evidence of 1.5, three of 2; as much as 30 windows is asked of any channel up to a minute.
        assert_eq!(found(2, -2.9, 30), None);
        assert_eq!(found(3, -2.2, 30), None);
        for (windows, llr, of) in [(2, -3.1, 30), (3, -2.3, 30), (3, -2.3, 12), (6, -2.1, 60), (9, -2.1, 200)] {
            let stretch = found(windows, llr, of).unwrap();
            assert_eq!((stretch.start_secs, stretch.end_secs), (14.0, 14.0 + 2.0 * (windows + 1) as f64), "{windows}");
        }
        // e times the judged windows cost a nat; of a long insert all windows count.
        assert_eq!(found(3, -2.3, 82), None);
        assert!(found(3, -2.8, 81).is_some());
        assert_eq!(found(4, -2.1, 600), None);
        assert!(found(9, -2.1, 600).is_some() && found(300, -2.1, 20_000).is_some());
        let mut silent = vec![None; 200];
        silent[..20].fill(Some(2.0));
        silent[7..10].fill(Some(-2.3));
        assert_eq!(policy.judge(evidence(Some(1.0), 20.0, &silent)).decision, Decision::Spoof);
        // Doubt is harder to raise in a long channel, too.
        for (of, decision) in [(60, Decision::Inconclusive), (600, Decision::BonaFide)] {
            let mut segments = vec![Some(2.0); of];
            segments[7..11].fill(Some(-1.5));
            assert_eq!(policy.judge(evidence(Some(1.0), 20.0, &segments)).decision, decision, "{of}");
        }
    }

    #[test]
    fn the_stretch_that_stands_out_most_decides() {
        let mut segments = [Some(2.0); 30];
        segments[3..5].fill(Some(-2.5));
        segments[20..23].fill(Some(-4.0));
        let policy = Policy::default_of(&THRESHOLDS);
        let stretch = policy.judge(evidence(Some(1.0), 20.0, &segments)).stretch.unwrap();
        assert_eq!((stretch.start_secs, stretch.end_secs, stretch.llr), (40.0, 48.0, Llr(-4.0)));
        // In cleaned speech the neighbours that only look like it do not count.
        segments[19] = Some(-1.5);
        segments[23] = Some(-1.5);
        segments[20..23].fill(Some(-4.2));
        let verdict =
            |denoised| policy.judge(Evidence { denoised: Some(denoised), ..evidence(Some(1.0), 20.0, &segments) });
        assert_eq!((verdict(0.4).decision, verdict(0.4).llr), (Decision::Spoof, Some(Llr(-4.2))));
        assert!(verdict(0.0).llr.unwrap().0 > -4.0);
    }

    #[test]
    fn more_windows_than_a_minute_has_can_be_asked_for() {
        let insert = Insert { min_windows: 40, ..THRESHOLDS.insert };
        let policy = Policy::default_of(&Thresholds { insert, ..THRESHOLDS });
        for (windows, decision) in [(39, Decision::BonaFide), (40, Decision::Spoof)] {
            let mut segments = vec![Some(9.0); 120];
            segments[50..50 + windows].fill(Some(-2.1));
            // Neighbours make a run of 39 no run of 40: its mean rises above the rule's.
            segments[50 + windows] = Some(90.0);
            segments[49] = Some(90.0);
            let decided = policy.judge(evidence(Some(1.0), 90.0, &segments)).decision;
            assert_eq!(decided == Decision::Spoof, decision == Decision::Spoof, "{windows}");
        }
    }

    #[test]
    fn a_median_leaves_out_what_it_is_told() {
        let sorted = [1.0, 2.0, 2.0, 3.0, 4.0, 7.0];
        for (left_out, expected) in [
            (vec![], Some(3.0)),
            (vec![2.0], Some(3.0)),
            (vec![7.0, 4.0], Some(2.0)),
            (vec![2.0, 1.0, 2.0], Some(4.0)),
            (vec![4.0, 3.0, 7.0, 2.0], Some(2.0)),
            (sorted.to_vec(), None),
        ] {
            assert_eq!(median_without(&sorted, left_out.clone()), expected, "{left_out:?}");
        }
    }

    #[test]
    fn silent_channels_decide_unless_the_policy_leaves_them_out() {
        let strict = Policy::default_of(&THRESHOLDS);
        let lenient = Policy { ignore_silent_channels: true, ..strict.clone() };
        let verdict = |llr: Option<f32>, speech_secs| strict.judge(evidence(llr, speech_secs, &[Some(2.0); 4]));
        let (genuine, cloned, silent) = (verdict(Some(2.0), 20.0), verdict(Some(-3.0), 20.0), verdict(None, 0.0));
        let unsure = verdict(Some(0.0), 20.0);
        for (channels, by_strict, by_lenient) in [
            (vec![&genuine, &silent], &silent, &genuine),
            (vec![&silent, &cloned], &cloned, &cloned),
            (vec![&silent, &unsure, &genuine], &unsure, &unsure),
            (vec![&silent, &silent], &silent, &silent),
        ] {
            assert_eq!(strict.worst(channels.iter().copied()), Some(by_strict));
            assert_eq!(lenient.worst(channels.iter().copied()), Some(by_lenient));
        }
    }

    #[test]
    fn policy_files_override_defaults_and_refuse_nonsense() {
        let policy = Policy::from_toml(
            "id = 'desk'\nspoof_below = -3.0\n[insert]\nmin_windows = 4\nsum_below = -7.0",
            &THRESHOLDS,
        )
        .unwrap();
        assert_eq!((policy.id.as_str(), policy.thresholds.spoof_below), ("desk", -3.0));
        assert_eq!((policy.thresholds.insert.sum_below, policy.thresholds.insert.spoof_below), (-7.0, -2.0));
        assert_eq!((policy.thresholds.insert.min_windows, policy.thresholds.insert.drop_nats), (4, 3.0));
        let policy = Policy::from_toml("id = 'desk'\n[denoised]\nspoof_below = -5.0", &THRESHOLDS).unwrap();
        assert_eq!((policy.thresholds.denoised.spoof_below, policy.thresholds.denoised.above), (-5.0, 0.3));
        for (text, word) in [
            ("spoof_below = -3.0", "id"),
            ("id = 'x'\nspoof_bellow = 1.0", "spoof_bellow"),
            ("id = 'x'\nspoof_below = 9.0", "bona_fide_above"),
            ("id = 'x'\nmin_speech_secs = 0.0", "0.5-3600"),
            ("id = 'x'\n[insert]\nmin_windows = 0", "1-1000"),
            ("id = 'x'\n[insert]\nsum_below = nan", "insert.sum_below"),
            ("id = 'x'\n[denoised]\nabove = nan", "denoised.above"),
        ] {
            let message = Policy::from_toml(text, &THRESHOLDS).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
