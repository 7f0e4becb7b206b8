//! The segment strip: one bar per segment, up for genuine and down for cloned, and hatched where nothing was judged.
//!
//! Height and direction say what colour says. A segment is 4 s long and a new one begins every 2 s, so each bar stands
//! at the middle 2 s of its segment. Long channels are summarised: a bar then shows the lowest LLR of its segments.

use maud::{Markup, html};

use super::words::{Tone, signed, span, why_not};
use crate::{
    model::{Llr, Thresholds},
    policy::Stretch,
    screen::Segment,
    speech::FrameClass,
};

/// LLRs beyond ± this are drawn as if they were at it.
pub const LLR_SPAN: f32 = 6.0;
/// Most bars in one strip.
pub(super) const MAX_BARS: usize = 600;

/// More bars than this have no gaps between them: a gap would be as wide as a bar.
const FINE_BARS: usize = 100;

/// Where a strip stands inside its drawing, in pixels; its width is the drawing's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) top: f32,
    pub(super) height: f32,
}

impl Place {
    /// Height of an LLR's line.
    pub(super) fn y(self, llr: f32) -> f32 {
        let share = (LLR_SPAN - llr.clamp(-LLR_SPAN, LLR_SPAN)) / (2.0 * LLR_SPAN);
        self.top + share * self.height
    }
}

/// Neighbouring segments drawn as one.
struct Bar {
    start_secs: f64,
    end_secs: f64,
    /// Of what it stands for.
    span: String,
    llr: Option<Llr>,
    why_not: Option<FrameClass>,
}

/// How many segments one bar stands for.
pub(super) fn segments_per_bar(segments: &[Segment]) -> usize {
    segments.len().div_ceil(MAX_BARS).max(1)
}

fn bars(segments: &[Segment], duration_secs: f64) -> Vec<Bar> {
    let per_bar = segments_per_bar(segments);
    let groups: Vec<&[Segment]> = segments.chunks(per_bar).collect();
    let middle = |group: Option<&&[Segment]>| group.and_then(|group| group.first()).map(|first| first.start_secs + 1.0);
    let bar = |(index, group): (usize, &&[Segment])| {
        let judged = group.iter().filter_map(|segment| segment.llr);
        let first = group.first()?;
        Some(Bar {
            start_secs: if index == 0 { 0.0 } else { first.start_secs + 1.0 },
            end_secs: middle(groups.get(index + 1)).unwrap_or(duration_secs),
            span: span(first.start_secs, group.last()?.end_secs),
            llr: judged.min_by(|a, b| a.0.total_cmp(&b.0)),
            why_not: first.why_not,
        })
    };
    groups.iter().enumerate().filter_map(bar).collect()
}

/// Everything between the axes; the drawing must hold [`patterns`] or be on a page that does.
pub(super) fn strip(segments: &[Segment], duration_secs: f64, thresholds: &Thresholds, place: Place) -> Markup {
    let bars = bars(segments, duration_secs);
    let line = |llr: f32, class: &str| {
        html! { line class=(class) x1="0" x2="100%" y1=(px(place.y(llr))) y2=(px(place.y(llr))) {} }
    };
    html! {
        rect.ground x="0" y=(px(place.top)) width="100%" height=(px(place.height)) {}
        g.fine[bars.len() > FINE_BARS] {
            @for run in bars.chunk_by(|a, b| a.llr.is_none() && b.llr.is_none() && a.why_not == b.why_not) {
                @if let (Some(first), Some(last)) = (run.first(), run.last()) {
                    @match first.llr {
                        Some(llr) => (judged(first, llr, thresholds, place, duration_secs)),
                        None => (not_judged(first, last.end_secs, place, duration_secs)),
                    }
                }
            }
        }
        (line(thresholds.bona_fide_above, "threshold"))
        (line(thresholds.spoof_below, "threshold"))
        (line(0.0, "zero"))
    }
}

fn judged(bar: &Bar, llr: Llr, thresholds: &Thresholds, place: Place, duration_secs: f64) -> Markup {
    let tone = Tone::of_llr(llr, thresholds);
    let (zero, end) = (place.y(0.0), place.y(llr.0));
    // Even a bar of no height is seen.
    let height = (zero - end).abs().max(1.5);
    html! {
        rect class=(format!("bar {}", tone.class())) data-start=(format!("{:.2}", bar.start_secs))
            x=(percent(bar.start_secs, duration_secs)) y=(px(zero.min(end)))
            width=(percent(bar.end_secs - bar.start_secs, duration_secs)) height=(px(height)) {
            title { (bar.span) " " (tone.of_segment()) ", LLR " (signed(llr.0)) }
        }
    }
}

/// A run of bars that were not judged for one reason, of which `first` is the first.
fn not_judged(first: &Bar, end_secs: f64, place: Place, duration_secs: f64) -> Markup {
    let (start_secs, why) = (first.start_secs, why_not(first.why_not));
    html! {
        rect fill=(hatch(first.why_not)) x=(percent(start_secs, duration_secs)) y=(px(place.top))
            width=(percent(end_secs - start_secs, duration_secs)) height=(px(place.height)) {
            title { (span(start_secs, end_secs)) " not judged: " (why) }
        }
        // A label fits where the run takes an eighth of a narrow screen.
        @if end_secs - start_secs > duration_secs / 8.0 {
            text.why x=(percent(f64::midpoint(start_secs, end_secs), duration_secs)) y=(px(place.top + 14.0))
                text-anchor="middle" { (why) }
        }
    }
}

/// A frame around the stretch that decided.
pub(super) fn stretch_frame(stretch: &Stretch, duration_secs: f64, top: f32, height: f32) -> Markup {
    html! {
        rect.stretch x=(percent(stretch.start_secs, duration_secs)) y=(px(top)) height=(px(height))
            width=(percent(stretch.end_secs.min(duration_secs) - stretch.start_secs, duration_secs)) {
            title { (span(stretch.start_secs, stretch.end_secs)) " decided, LLR " (signed(stretch.llr.0)) }
        }
    }
}

fn hatch(class: Option<FrameClass>) -> &'static str {
    match class {
        Some(FrameClass::Music | FrameClass::Tone) => "url(#hatch-music)",
        Some(FrameClass::Noise) => "url(#hatch-noise)",
        Some(FrameClass::Silence | FrameClass::Speech) | None => "url(#hatch-quiet)",
    }
}

/// The hatchings, once a page.
pub fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                pattern #hatch-music width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect.grey width="8" height="8" {}
                    rect.ink width="3" height="8" {}
                }
                pattern #hatch-noise width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect.grey width="6" height="6" {}
                    circle.ink cx="2" cy="2" r="1.2" {}
                    circle.ink cx="5" cy="5" r="1.2" {}
                }
                pattern #hatch-quiet width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)" {
                    rect.grey width="8" height="8" {}
                    rect.ink width="1" height="8" {}
                }
            }
        }
    }
}

/// What bars, lines and hatchings mean.
pub fn legend(thresholds: &Thresholds) -> Markup {
    let swatch = |fill: &str| {
        html! { svg.swatch width="14" height="14" aria-hidden="true" { rect width="14" height="14" fill=(fill) {} } }
    };
    let bar = |tone: Tone, y: &str, height: &str| {
        html! {
            svg.swatch width="14" height="14" aria-hidden="true" {
                rect class=(format!("bar {}", tone.class())) x="2" width="10" y=(y) height=(height) {}
                line.zero x1="0" x2="14" y1="7" y2="7" {}
            }
        }
    };
    html! {
        ul.legend {
            li {
                (bar(Tone::Genuine, "0", "7"))
                "up: genuine voice (LLR " (signed(thresholds.bona_fide_above)) " or more)"
            }
            li { (bar(Tone::Cloned, "7", "7")) "down: clone (LLR below " (signed(thresholds.spoof_below)) ")" }
            li { (bar(Tone::Open, "4", "6")) "between the dashed lines: undecided" }
            li { (swatch("url(#hatch-music)")) "not judged: music or tone" }
            li { (swatch("url(#hatch-noise)")) "not judged: too noisy" }
            li { (swatch("url(#hatch-quiet)")) "not judged: silence or too little speech" }
        }
    }
}

/// A time as a share of the width.
pub(super) fn percent(secs: f64, duration_secs: f64) -> String {
    format!("{:.3}%", 100.0 * secs / duration_secs.max(1e-3))
}

/// A length in pixels, without more decimals than a screen shows.
pub(super) fn px(value: f32) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::samples::THRESHOLDS;

    fn segments(count: usize, llr: impl Fn(usize) -> Option<f32>) -> Vec<Segment> {
        let segment = |index: usize| Segment {
            start_secs: 2.0 * index as f64,
            end_secs: 2.0 * index as f64 + 4.0,
            speech_secs: 3.0,
            llr: llr(index).map(Llr),
            why_not: llr(index).is_none().then_some(FrameClass::Music),
        };
        (0..count).map(segment).collect()
    }

    #[test]
    fn height_and_direction_say_what_colour_says() {
        let place = Place { top: 0.0, height: 120.0 };
        let found = strip(&segments(3, |i| [Some(3.0), Some(-6.0), Some(0.5)][i]), 8.0, &THRESHOLDS, place).0;
        for bar in [
            r#"class="bar genuine" data-start="0.00" x="0.000%" y="30.0" width="37.500%" height="30.0""#,
            r#"class="bar cloned" data-start="3.00" x="37.500%" y="60.0" width="25.000%" height="60.0""#,
            r#"class="bar open" data-start="5.00" x="62.500%" y="55.0" width="37.500%" height="5.0""#,
        ] {
            assert!(found.contains(bar), "{bar} in {found}");
        }
    }

    #[test]
    fn what_was_not_judged_is_one_hatched_run_with_its_reason() {
        let place = Place { top: 0.0, height: 120.0 };
        let found = strip(&segments(5, |i| (i == 0).then_some(3.0)), 12.0, &THRESHOLDS, place).0;
        assert_eq!(found.matches("url(#hatch-music)").count(), 1);
        assert!(found.contains("0:03–0:12 not judged: music"), "{found}");
    }

    #[test]
    fn hours_are_summarised_and_keep_their_worst() {
        let place = Place { top: 0.0, height: 120.0 };
        let hours = segments(10_800, |i| Some(if i == 5_000 { -5.0 } else { 3.0 }));
        let found = strip(&hours, 21_602.0, &THRESHOLDS, place).0;
        assert_eq!(found.matches("bar cloned").count(), 1);
        assert_eq!(found.matches("class=\"bar").count(), MAX_BARS);
    }
}
