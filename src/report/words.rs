//! Verdicts, evidence and times in plain words.

use super::Basis;
use crate::{
    model::{Llr, Thresholds},
    policy::{Decision, Reason, Verdict},
    scan::ScanResult,
    screen::{Evidence, Segment},
    speech::FrameClass,
};

/// What a colour, a sign and a bar stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Likely a clone.
    Cloned,
    /// Neither.
    Open,
    /// Likely genuine.
    Genuine,
}

impl Tone {
    /// Of a decision.
    pub fn of(decision: Decision) -> Self {
        match decision {
            Decision::Spoof => Self::Cloned,
            Decision::BonaFide => Self::Genuine,
            Decision::Inconclusive => Self::Open,
        }
    }

    /// Which side of the thresholds an LLR lies on.
    pub fn of_llr(Llr(llr): Llr, thresholds: &Thresholds) -> Self {
        if llr < thresholds.spoof_below {
            Self::Cloned
        } else if llr >= thresholds.bona_fide_above {
            Self::Genuine
        } else {
            Self::Open
        }
    }

    /// Class of the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Cloned => "cloned",
            Self::Genuine => "genuine",
            Self::Open => "open",
        }
    }

    /// A mark that tells the three apart without colour.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Cloned => "▼",
            Self::Genuine => "▲",
            Self::Open => "◆",
        }
    }

    /// What a segment on that side says.
    pub fn of_segment(self) -> &'static str {
        match self {
            Self::Cloned => "points to a clone",
            Self::Genuine => "points to a genuine voice",
            Self::Open => "undecided",
        }
    }

    /// What a decision on that side says.
    pub fn of_file(self) -> &'static str {
        match self {
            Self::Cloned => "Likely cloned",
            Self::Open => "Inconclusive",
            Self::Genuine => "Likely genuine",
        }
    }
}

/// Channel's segments, counted by what they say.
pub(super) struct Counts {
    pub(super) cloned: usize,
    pub(super) open: usize,
    pub(super) genuine: usize,
}

impl Counts {
    pub(super) fn of(segments: &[Segment], thresholds: &Thresholds) -> Self {
        let tones = || segments.iter().filter_map(|segment| segment.llr).map(|llr| Tone::of_llr(llr, thresholds));
        let count = |tone: Tone| tones().filter(|found| *found == tone).count();
        Self { cloned: count(Tone::Cloned), open: count(Tone::Open), genuine: count(Tone::Genuine) }
    }

    pub(super) fn total(&self) -> usize {
        self.cloned + self.open + self.genuine
    }

    fn agreement(&self) -> String {
        let total = self.total();
        match (self.cloned, self.open, self.genuine) {
            (0, 0, 0) => "no segment could be judged".into(),
            (_, 0, 0) | (0, _, 0) | (0, 0, _) if total == 1 => "one segment".into(),
            (_, 0, 0) | (0, _, 0) | (0, 0, _) => format!("all {total} segments agree"),
            (cloned, open, genuine) => {
                let parts = [(cloned, "to a clone"), (genuine, "to a genuine voice"), (open, "neither way")];
                let said = parts
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, to)| format!("{count} point{} {to}", if count == 1 { "s" } else { "" }));
                format!("of {total} segments {}", list(said.collect()))
            }
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(mut parts: Vec<String>) -> String {
    match parts.pop() {
        None => String::new(),
        Some(last) if parts.is_empty() => last,
        Some(last) => format!("{} and {last}", parts.join(", ")),
    }
}

/// The answer on a file in a few words.
pub fn file_title(result: &ScanResult) -> String {
    let single = <&[_; 1]>::try_from(result.channels.as_slice()).ok().map(|[only]| &only.verdict);
    match (result.decision, result.reason) {
        (Decision::Inconclusive, Some(reason @ (Reason::Undecodable | Reason::Damaged | Reason::LimitReached))) => {
            format!("Inconclusive: {reason}")
        }
        _ if single.is_some_and(|verdict| verdict.decision == result.decision) => {
            single.map_or_else(String::new, title)
        }
        (Decision::Inconclusive, Some(reason)) => format!("Inconclusive: {reason}"),
        (Decision::Inconclusive, None) => "Inconclusive".into(),
        (Decision::Spoof, _) => "Likely cloned".into(),
        (Decision::BonaFide, _) => "Likely genuine".into(),
    }
}

/// The answer on a channel in a few words.
pub(super) fn title(verdict: &Verdict) -> String {
    let speech_secs = verdict.evidence.quality.speech_secs;
    match (verdict.decision, verdict.reason) {
        (Decision::Spoof, _) if verdict.stretch.is_some() => "A passage is likely cloned".into(),
        (Decision::Spoof, _) => "Likely cloned".into(),
        (Decision::BonaFide, _) => "Likely genuine".into(),
        (Decision::Inconclusive, Some(Reason::TooShort)) => {
            format!("Inconclusive: {speech_secs:.1} s of speech is too little")
        }
        (Decision::Inconclusive, Some(reason)) => format!("Inconclusive: {reason}"),
        (Decision::Inconclusive, None) => "Inconclusive".into(),
    }
}

/// How much was judged and whether its parts agree.
pub(super) fn found(verdict: &Verdict, basis: &Basis) -> String {
    let evidence = &verdict.evidence;
    let counts = Counts::of(&evidence.segments, &basis.thresholds);
    let (speech_secs, duration_secs) = (evidence.quality.speech_secs, evidence.duration_secs);
    if counts.total() == 0 {
        let heard = list(not_judged(evidence));
        let instead = if heard.is_empty() { String::new() } else { format!("; heard instead: {heard}") };
        return format!("{speech_secs:.1} s of speech in {duration_secs:.1} s, nothing that could be judged{instead}.");
    }
    let judged_secs = judged_secs(&evidence.segments).min(duration_secs);
    let [judged, whole, speech] = [judged_secs, duration_secs, speech_secs].map(length);
    format!("{judged} of {whole} judged ({speech} of speech): {}.", counts.agreement())
}

/// Length of what at least one judged segment covers.
fn judged_secs(segments: &[Segment]) -> f64 {
    let mut end_secs = 0.0_f64;
    let mut sum_secs = 0.0;
    for segment in segments.iter().filter(|segment| segment.llr.is_some()) {
        sum_secs += segment.end_secs - segment.start_secs.max(end_secs);
        end_secs = segment.end_secs;
    }
    sum_secs
}

/// Where the answer lies in the channel.
pub(super) fn place(verdict: &Verdict, basis: &Basis) -> String {
    const MOST_RUNS: usize = 4;
    let segments = &verdict.evidence.segments;
    if let Some(stretch) = verdict.stretch {
        let span = span(stretch.start_secs, stretch.end_secs);
        let is_outside =
            |segment: &&Segment| segment.start_secs < stretch.start_secs || segment.end_secs > stretch.end_secs;
        let outside: Vec<Segment> = segments.iter().filter(is_outside).cloned().collect();
        return match (verdict.decision, Counts::of(&outside, &basis.thresholds).cloned) {
            (Decision::Spoof, 0) => format!("{span}; the rest sounds different."),
            (Decision::Spoof, 1) => format!("{span} decided; one more segment points to a clone."),
            (Decision::Spoof, more) => format!("{span} decided; {more} more segments point to a clone."),
            _ => format!("{span} is what raises doubt."),
        };
    }
    if verdict.reason == Some(Reason::TooShort) {
        return "There is too little speech to say.".into();
    }
    if Counts::of(segments, &basis.thresholds).total() == 0 {
        return "Nowhere: there was nothing to judge.".into();
    }
    let is_held = verdict.reason == Some(Reason::Denoised);
    let wanted = if is_held { Tone::Cloned } else { Tone::of(verdict.decision) };
    let says = |segment: &Segment| segment.llr.map(|llr| Tone::of_llr(llr, &basis.thresholds));
    if segments.iter().filter_map(says).all(|tone| tone == wanted) {
        return format!("Throughout what was judged, {}.", span(0.0, verdict.evidence.duration_secs));
    }
    let runs = segments.chunk_by(|a, b| says(a) == says(b)).filter(|run| run.first().and_then(says) == Some(wanted));
    let mut runs: Vec<String> =
        runs.filter_map(|run| Some(span(run.first()?.start_secs, run.last()?.end_secs))).collect();
    if runs.is_empty() {
        return "In the recording as a whole; no segment by itself says so.".into();
    }
    if runs.len() > MOST_RUNS {
        let more = format!("{} more places", runs.len() - MOST_RUNS + 1);
        runs.truncate(MOST_RUNS - 1);
        runs.push(more);
    }
    format!("Most clearly at {}.", list(runs))
}

/// How far the answer can be trusted.
pub(super) fn certainty(verdict: &Verdict, basis: &Basis) -> String {
    let quality = &verdict.evidence.quality;
    if verdict.reason == Some(Reason::TooShort) {
        return format!("No answer: at least {} s of speech are needed.", basis.thresholds.min_speech_secs);
    }
    let Some(Llr(llr)) = verdict.llr else {
        return "No answer: it is neither called genuine nor cloned.".into();
    };
    if verdict.reason == Some(Reason::Denoised) {
        let below = signed(basis.thresholds.denoised.spoof_below);
        return format!(
            "No answer: it sounds cloned (LLR {}), but noise suppression has cleaned it, and genuine speech that was cleaned \
             often sounds so. It would be called cloned below LLR {below}.",
            signed(llr)
        );
    }
    let mut text = strength(llr, if verdict.stretch.is_some() { "this passage" } else { "the speech" });
    if verdict.stretch.is_some() {
        return text + &passage_figures(verdict, basis);
    }
    if let Some((errors, condition)) = basis.errors_like(quality.bandwidth_hz, quality.speech_secs) {
        let condition = format!("{condition}{}", basis.reservation());
        text += &match verdict.decision {
            Decision::Spoof => format!(
                " In tests ({condition}) {} % of {} genuine recordings were wrongly called cloned.",
                errors.false_alarm_percent, errors.genuine_count
            ),
            Decision::BonaFide => {
                let missed = (100.0 - errors.caught_percent - errors.inconclusive_percent.1).max(0.0);
                format!(
                    " In tests ({condition}) {missed:.0} % of {} cloned recordings were wrongly called genuine.",
                    errors.spoof_count
                )
            }
            Decision::Inconclusive => format!(
                " In tests ({condition}) {} % of genuine and {} % of cloned recordings ended like this.",
                errors.inconclusive_percent.0, errors.inconclusive_percent.1
            ),
        };
    } else {
        text += " How often this model is wrong about such recordings is not known here.";
    }
    text
}

/// What was measured of passages that decide.
fn passage_figures(verdict: &Verdict, basis: &Basis) -> String {
    if verdict.decision != Decision::Spoof {
        return " How often genuine recordings hold a passage that raises doubt was not measured.".into();
    }
    let Evidence { quality, duration_secs, .. } = &verdict.evidence;
    let Some((errors, passages)) = basis.passages_like(quality.bandwidth_hz, *duration_secs) else {
        return " How often this model finds such passages in genuine recordings is not known here.".into();
    };
    format!(
        " In tests ({}{}) {} % of {} genuine recordings were wrongly said to hold a cloned passage; {} % of {} cloned \
         passages of {} were found.",
        passages.words,
        basis.reservation(),
        errors.false_alarm_percent,
        errors.genuine_count,
        errors.found_percent,
        errors.spliced_count,
        passages.secs
    )
}

/// The verbal scale of ENFSI's Guideline for Evaluative Reporting (2015); its words above 1,000 are left out.
fn grade(llr: f32) -> &'static str {
    match llr.abs().exp() {
        ..2.0 => "No evidence",
        ..10.0 => "Weak evidence",
        ..100.0 => "Moderate evidence",
        ..1_000.0 => "Moderately strong evidence",
        _ => "Strong evidence",
    }
}

/// How sure a channel's answer is, for a list of channels; nothing where there is no answer.
pub(super) fn grade_of(verdict: &Verdict) -> Option<String> {
    let Llr(llr) = verdict.llr.filter(|_| verdict.reason != Some(Reason::TooShort))?;
    Some(format!("{} (LLR {}).", grade(llr), signed(llr)))
}

/// An LLR in words.
fn strength(llr: f32, what: &str) -> String {
    let (strength, ratio) = (grade(llr), llr.abs().exp());
    let odds = match ratio {
        ..2.0 => String::new(),
        ..100.0 => format!("{ratio:.0}"),
        ..1_000.0 => format!("{:.0}", (ratio / 10.0).round() * 10.0),
        _ => "more than 1,000".into(),
    };
    let (this, other) = if llr < 0.0 { ("a clone", "a genuine voice") } else { ("a genuine voice", "a clone") };
    let llr = signed(llr);
    if odds.is_empty() {
        return format!("{strength} either way (LLR {llr}): both explain {what} about equally well.");
    }
    format!("{strength} (LLR {llr}): {this} explains {what} {odds} times better than {other}.")
}

/// With a true minus sign and two decimals.
pub fn signed(llr: impl Into<f64>) -> String {
    format!("{:+.2}", crate::cli::render::rounded(llr.into(), 2)).replace('-', "−")
}

/// What was heard where nothing was judged: `0:06–0:12 music`.
fn not_judged(evidence: &Evidence) -> Vec<String> {
    const MOST: usize = 3;
    let why = |segment: &Segment| segment.llr.is_none().then_some(segment.why_not);
    let runs = evidence.segments.chunk_by(|a, b| why(a) == why(b));
    let named = runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        why(first).map(|why| format!("{} ({})", why_not(why), span(first.start_secs, last.end_secs)))
    });
    named.take(MOST).collect()
}

/// Why a segment was not judged.
pub(super) fn why_not(class: Option<FrameClass>) -> &'static str {
    match class {
        Some(FrameClass::Music) => "music",
        Some(FrameClass::Noise) => "too noisy",
        Some(FrameClass::Tone) => "tone",
        Some(FrameClass::Silence) => "silence",
        Some(FrameClass::Speech) | None => "too little speech",
    }
}

/// `1.4 s`, `59 s`, or from two minutes on `2:05`.
fn length(secs: f64) -> String {
    match secs {
        ..10.0 => format!("{secs:.1} s"),
        ..120.0 => format!("{secs:.0} s"),
        _ => clock(secs),
    }
}

/// `0:06–0:12`.
pub(super) fn span(start_secs: f64, end_secs: f64) -> String {
    format!("{}–{}", clock(start_secs), clock(end_secs))
}

/// `m:ss`, or `h:mm:ss` from an hour on; the nearest second.
pub(super) fn clock(secs: f64) -> String {
    let whole = secs.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llrs_become_words() {
        for (llr, words) in [
            (-0.001, "No evidence either way (LLR +0.00)"),
            (-1.5, "Weak evidence (LLR −1.50): a clone explains the speech 4 times better than a genuine voice."),
            (2.5, "Moderate evidence (LLR +2.50): a genuine voice explains the speech 12 times better"),
            (-6.26, "Moderately strong evidence (LLR −6.26): a clone explains the speech 520 times better"),
            (-8.0, "Strong evidence (LLR −8.00): a clone explains the speech more than 1,000 times better"),
        ] {
            let found = strength(llr, "the speech");
            assert!(found.starts_with(words), "{found}");
        }
    }

    #[test]
    fn agreement_is_counted() {
        for ((cloned, open, genuine), words) in [
            ((0, 0, 0), "no segment could be judged"),
            ((1, 0, 0), "one segment"),
            ((9, 0, 0), "all 9 segments agree"),
            ((0, 2, 7), "of 9 segments 7 point to a genuine voice and 2 point neither way"),
            ((3, 2, 1), "of 6 segments 3 point to a clone, 1 points to a genuine voice and 2 point neither way"),
        ] {
            assert_eq!(Counts { cloned, open, genuine }.agreement(), words);
        }
    }

    #[test]
    fn overlapping_segments_are_measured_once() {
        let segment = |start_secs: f64, judged: bool| Segment {
            start_secs,
            end_secs: start_secs + 4.0,
            speech_secs: 3.0,
            llr: judged.then_some(Llr(1.0)),
            why_not: None,
        };
        let segments = [segment(0.0, true), segment(2.0, true), segment(4.0, false), segment(10.0, true)];
        assert_eq!(judged_secs(&segments), 10.0);
        assert_eq!([1.44, 58.7, 3_580.5].map(length), ["1.4 s", "59 s", "59:41"]);
        assert_eq!((clock(59.6).as_str(), clock(3_725.0).as_str()), ("1:00", "1:02:05"));
    }
}
