//! The answer: what was found, where, and how sure, for a reader of ten seconds.

use maud::{Markup, html};

use super::{
    Basis, Exhibits,
    strip::{LLR_SPAN, px},
    words::{self, Tone, signed},
};
use crate::{
    cli::render::printable,
    model::{Llr, Thresholds},
    policy::{Decision, Reason, Verdict},
    scan::ScanResult,
};

/// How a heading is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Of the page.
    Page,
    /// Of one file among several.
    File,
}

/// The whole file's answer. A file with one channel has that channel's words.
pub fn file_answer(result: &ScanResult, exhibits: &Exhibits, basis: &Basis, level: Level) -> Markup {
    let tone = Tone::of(result.decision);
    let title = words::file_title(result);
    html! {
        div class=(format!("answer {}", tone.class())) {
            p.name { (printable(&result.input.path)) }
            @match level {
                Level::Page => h1 { (sign(tone)) (title) },
                Level::File => h2 { (sign(tone)) (title) },
            }
            @if let [only] = result.channels.as_slice() {
                (reasons(&only.verdict, basis))
            } @else if !result.channels.is_empty() {
                ul.channels {
                    @for channel in &result.channels {
                        @let tone = Tone::of(channel.verdict.decision);
                        li class=(tone.class()) {
                            (sign(tone)) (exhibits.channel_name(channel.channel)) ": " (words::title(&channel.verdict))
                            span.where {
                                " " (words::place(&channel.verdict, basis))
                                @if let Some(grade) = words::grade_of(&channel.verdict) { " " (grade) }
                            }
                        }
                    }
                }
            }
            @if let Some(detail) = &result.detail {
                p.stopped { "Not heard whole: " (printable(detail)) "." @if result.decision != Decision::Spoof {
                    " What was not heard cannot be called genuine."
                } }
            }
        }
    }
}

/// The answer on the channel of that name, where a file has several.
pub fn channel_answer(name: &str, verdict: &Verdict, basis: &Basis) -> Markup {
    let tone = Tone::of(verdict.decision);
    html! {
        div class=(format!("answer small {}", tone.class())) {
            h3 { (name) ": " (sign(tone)) (words::title(verdict)) }
            (reasons(verdict, basis))
        }
    }
}

fn reasons(verdict: &Verdict, basis: &Basis) -> Markup {
    html! {
        dl.reasons {
            div { dt { "Found" } dd { (words::found(verdict, basis)) } }
            div { dt { "Where" } dd { (words::place(verdict, basis)) } }
            div { dt { "How sure" } dd { (words::certainty(verdict, basis)) } }
        }
        @if let Some(llr) = verdict.llr.filter(|_| verdict.reason != Some(Reason::TooShort)) { (gauge(llr, &basis.thresholds)) }
    }
}

/// A mark that stands for the decision beside its words.
pub(super) fn sign(tone: Tone) -> Markup {
    html! { span.sign aria-hidden="true" { (tone.mark()) } " " }
}

/// The LLR on a line from cloned to genuine, with the zones between the thresholds.
pub fn gauge(Llr(llr): Llr, thresholds: &Thresholds) -> Markup {
    let x = |llr: f32| f64::from((llr.clamp(-LLR_SPAN, LLR_SPAN) + LLR_SPAN) / (2.0 * LLR_SPAN) * 100.0);
    let (low, high, at) = (x(thresholds.spoof_below), x(thresholds.bona_fide_above), x(llr));
    let zone = |tone: Tone, from: f64, to: f64| {
        html! {
            rect class=(format!("zone {}", tone.class())) x=(format!("{from:.2}%")) width=(format!("{:.2}%", to - from))
                y="14" height="12" {}
        }
    };
    let middle = format!("{:.2}%", f64::midpoint(low, high));
    html! {
        svg.gauge width="100%" height="44" role="img"
            aria-label=(format!("LLR {} on a scale from cloned to genuine", signed(llr))) {
            (zone(Tone::Cloned, 0.0, low)) (zone(Tone::Open, low, high)) (zone(Tone::Genuine, high, 100.0))
            svg.needle x=(format!("{at:.2}%")) y="4" overflow="visible" {
                path d="M-7 0 H7 L0 9 Z" {}
                rect x="-1.5" y="8" width="3" height="17" {}
            }
            text x="0" y="40" { "cloned" }
            text x=(middle) y="40" text-anchor="middle" { "undecided" }
            text x="100%" y=(px(40.0)) text-anchor="end" { "genuine" }
        }
    }
}
