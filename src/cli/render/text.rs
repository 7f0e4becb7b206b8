//! Results for a person: one aligned line per channel, colour only where asked for.

use super::{Renderer, printable, strip};
use crate::{
    model::{Llr, Thresholds},
    policy::{Decision, Reason, Verdict},
    scan::ScanResult,
};

/// Columns of the verdict, before the name. The longest, an inconclusive LLR, just fits.
const VERDICT_WIDTH: usize = 45;

/// Writes plain words.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// Whether to write ANSI colours.
    pub colour: Colour,
    /// Whether to draw each channel's segments.
    pub detail: Detail,
    /// Where a segment's colour changes.
    pub thresholds: Thresholds,
}

/// Whether to write ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// No escape sequences at all.
    Never,
    /// For a terminal.
    Ansi,
}

/// How much to write of each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One line.
    Line,
    /// And a strip of its segments.
    Segments,
}

/// What a stretch of text says, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Cloned,
    Genuine,
    Open,
    Faint,
}

impl Colour {
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        // SGR codes, ECMA-48: bold red, green, yellow, bright black.
        let code = match tone {
            Tone::Cloned => "1;31",
            Tone::Genuine => "32",
            Tone::Open => "33",
            Tone::Faint => "90",
        };
        match self {
            Self::Never => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

impl Renderer for Text {
    fn header(&self) -> String {
        match self.detail {
            Detail::Line => String::new(),
            Detail::Segments => strip::legend(self.pen()),
        }
    }

    fn result(&self, result: &ScanResult) -> String {
        let name = printable(&result.input.path);
        let mut text = String::new();
        for channel in &result.channels {
            let which =
                if result.channels.len() > 1 { format!("{name} (ch {})", channel.channel) } else { name.clone() };
            text += &self.line(&spoken(&channel.verdict), &which);
            if self.detail == Detail::Segments {
                let verdict = &channel.verdict;
                text += &strip::strip(&verdict.evidence.segments, verdict.stretch.as_ref(), self.pen());
            }
        }
        // What a channel's own verdict cannot say: why the file as a whole was not judged, or not to its end.
        if let Some(reason) = result.reason.filter(|_| result.channels.is_empty() || result.detail.is_some()) {
            let words = (Tone::Open, format!("inconclusive: {reason}"));
            text += &self.line(&words, &self.with_detail(&name, result.detail.as_deref()));
        } else if let Some(detail) = &result.detail {
            text += &self.line(&(Tone::Open, "stopped before the end".into()), &self.with_detail(&name, Some(detail)));
        }
        text
    }
}

impl Text {
    fn pen(&self) -> strip::Pen<'_> {
        strip::Pen { colour: self.colour, thresholds: &self.thresholds }
    }

    fn line(&self, (tone, words): &(Tone, String), name: &str) -> String {
        let gap = VERDICT_WIDTH.saturating_sub(words.chars().count());
        format!("{}{:gap$}  {name}\n", self.colour.paint(*tone, words), "")
    }

    fn with_detail(&self, name: &str, detail: Option<&str>) -> String {
        match detail {
            Some(detail) => format!("{name} {}", self.colour.paint(Tone::Faint, &format!("({})", printable(detail)))),
            None => name.to_owned(),
        }
    }
}

/// The verdict in plain words.
fn spoken(verdict: &Verdict) -> (Tone, String) {
    let speech_secs = verdict.evidence.quality.speech_secs;
    let scored = |words: &str| {
        let llr = verdict.llr.map_or_else(|| format!("{:>6}", "–"), |Llr(llr)| signed(llr, 6));
        format!("{words:<14}   LLR {llr} {speech_secs:>8.1} s speech")
    };
    if let Some(stretch) = verdict.stretch {
        let span = format!("{}–{}", strip::clock(stretch.start_secs), strip::clock(stretch.end_secs));
        let llr = stretch.llr.0;
        return match verdict.decision {
            Decision::Spoof => (Tone::Cloned, format!("{:<14}   LLR {} {span:>17}", "cloned insert", signed(llr, 6))),
            _ => (Tone::Open, format!("inconclusive: LLR {} at {span}", signed(llr, 0))),
        };
    }
    match (verdict.decision, verdict.reason) {
        (Decision::Spoof, _) => (Tone::Cloned, scored("likely cloned")),
        (Decision::BonaFide, _) => (Tone::Genuine, scored("likely genuine")),
        (Decision::Inconclusive, Some(Reason::TooShort)) if is_scattered(verdict) => {
            let words = format!("inconclusive: {speech_secs:.1} s of speech, but no 4 s window holds enough");
            (Tone::Open, words)
        }
        (Decision::Inconclusive, Some(Reason::TooShort)) => {
            (Tone::Open, format!("inconclusive: only {speech_secs:.1} s of speech"))
        }
        (Decision::Inconclusive, Some(Reason::Uncertain)) => match verdict.llr {
            Some(Llr(llr)) => (Tone::Open, format!("inconclusive: LLR {} points neither way", signed(llr, 0))),
            None => (Tone::Open, format!("inconclusive: {}", Reason::Uncertain)),
        },
        (Decision::Inconclusive, Some(Reason::Denoised)) => match verdict.llr {
            Some(Llr(llr)) => (Tone::Open, format!("inconclusive: LLR {}, but denoised", signed(llr, 0))),
            None => (Tone::Open, format!("inconclusive: {}", Reason::Denoised)),
        },
        (Decision::Inconclusive, Some(reason)) => (Tone::Open, format!("inconclusive: {reason}")),
        (Decision::Inconclusive, None) => (Tone::Open, "inconclusive".into()),
    }
}

/// Whether nothing could be judged though there is more speech than two windows hold: it lies in crumbs.
fn is_scattered(verdict: &Verdict) -> bool {
    let evidence = &verdict.evidence;
    let fullest_secs = evidence.segments.iter().map(|segment| segment.speech_secs).fold(0.0, f64::max);
    evidence.llr.is_none() && evidence.quality.speech_secs > 2.0 * fullest_secs
}

/// With its sign and two decimals; never "-0.00".
pub(super) fn signed(llr: f32, width: usize) -> String {
    format!("{:>+width$.2}", super::rounded(f64::from(llr), 2))
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    const PLAIN: Text = Text { colour: Colour::Never, detail: Detail::Line, thresholds: samples::THRESHOLDS };

    #[test]
    fn lines_are_aligned_and_plain() {
        assert_eq!(
            PLAIN.result(&samples::stereo()),
            "likely cloned    LLR  -4.31     31.5 s speech  caller.mp3 (ch 0)\n\
             inconclusive: no speech                        caller.mp3 (ch 1)\n"
        );
        assert_eq!(
            PLAIN.result(&samples::undecodable()),
            "inconclusive: cannot be decoded                x,y.amr (codec amr)\n"
        );
        let mut open = samples::spoof();
        open.channels = vec![samples::channel(0, Decision::Inconclusive, Some(Reason::Uncertain), Some(-0.001))];
        assert_eq!(PLAIN.result(&open), "inconclusive: LLR +0.00 points neither way     caller.mp3\n");
        open.channels = vec![samples::channel(0, Decision::Inconclusive, Some(Reason::TooShort), None)];
        assert_eq!(PLAIN.result(&open), "inconclusive: 31.5 s of speech, but no 4 s window holds enough  caller.mp3\n");
        open.channels[0].verdict.evidence.quality.speech_secs = 0.94;
        assert_eq!(PLAIN.result(&open), "inconclusive: only 0.9 s of speech             caller.mp3\n");
    }

    #[test]
    fn a_file_cut_short_says_so() {
        let mut result = samples::spoof();
        result.detail = Some("longer than 4 h".into());
        assert!(
            PLAIN
                .result(&result)
                .ends_with("stopped before the end                         caller.mp3 (longer than 4 h)\n")
        );
        result.channels = vec![samples::channel(0, Decision::BonaFide, None, Some(2.0))];
        (result.decision, result.reason) = (Decision::Inconclusive, Some(Reason::LimitReached));
        let text = PLAIN.result(&result);
        assert!(text.starts_with("likely genuine   LLR  +2.00") && text.contains("inconclusive: a limit was reached"));
    }

    #[test]
    fn colour_only_where_asked_for() {
        let coloured = Text { colour: Colour::Ansi, ..PLAIN }.result(&samples::spoof());
        assert!(coloured.starts_with("\u{1b}[1;31mlikely cloned"));
        assert!(!PLAIN.result(&samples::spoof()).contains('\u{1b}'));
    }
}
