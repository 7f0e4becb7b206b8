//! A channel's figure: spectrogram, segment strip under it, axes beside and below.
//!
//! Horizontal places are shares of the width and vertical ones pixels, so one drawing fits every screen without bending
//! its letters. No style attributes: the same fragments stand under a strict content security policy.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{Markup, html};

use super::{
    spectrogram::Picture,
    strip::{self, Place, percent, px},
    words::clock,
};
use crate::{model::Thresholds, policy::Verdict};

const PICTURE_HEIGHT: f32 = 180.0;
const STRIP_HEIGHT: f32 = 120.0;
const GAP: f32 = 6.0;
const TIMES_HEIGHT: f32 = 20.0;
/// Most marks on the time axis: labels of hours still fit a narrow screen.
const MOST_TICKS: f64 = 6.0;
const TICK_SECS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0];

/// A spectrogram and where it comes from.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Address of the PNG: a `data:` one in a report.
    pub href: String,
    /// Frequency at the upper edge.
    pub top_hz: u32,
    /// Time at the right edge.
    pub end_secs: f64,
}

impl Shown {
    /// Embedded in the page.
    pub fn embedded(picture: &Picture) -> Self {
        let href = format!("data:image/png;base64,{}", STANDARD.encode(&picture.png));
        Self { href, top_hz: picture.top_hz, end_secs: picture.end_secs }
    }
}

/// The figure of one channel; without `picture` the strip alone. `label` says what it is to those who do not see it.
pub fn figure(verdict: &Verdict, picture: Option<&Shown>, thresholds: &Thresholds, label: &str) -> Markup {
    let evidence = &verdict.evidence;
    let secs = evidence.duration_secs;
    let place = Place { top: picture.map_or(0.0, |_| PICTURE_HEIGHT + GAP), height: STRIP_HEIGHT };
    let bottom = place.top + place.height;
    let height = px(bottom + TIMES_HEIGHT);
    html! {
        figure.evidence {
            div.plot {
                svg.axis width="58" height=(height) aria-hidden="true" { (axis(picture, thresholds, place)) }
                svg.graph width="100%" height=(height) role="img" aria-label=(label) data-secs=(format!("{secs:.2}")) {
                    @if let Some(shown) = picture {
                        rect.dark x="0" y="0" width="100%" height=(px(PICTURE_HEIGHT)) {}
                        image href=(shown.href) x="0" y="0" width=(percent(shown.end_secs, secs))
                            height=(px(PICTURE_HEIGHT)) preserveAspectRatio="none" {}
                    }
                    (strip::strip(&evidence.segments, secs, thresholds, place))
                    @if let Some(stretch) = &verdict.stretch {
                        (strip::stretch_frame(stretch, secs, 1.0, bottom - 2.0))
                    }
                    (times(secs, bottom))
                }
            }
            (caption(verdict, picture))
        }
    }
}

fn caption(verdict: &Verdict, picture: Option<&Shown>) -> Markup {
    html! {
        figcaption {
            @if picture.is_some() { "Above: spectrogram, the louder the brighter. Below: " } @else { "Shown: " }
            @match strip::segments_per_bar(&verdict.evidence.segments) {
                1 => "one bar per segment of 4 s, at its middle 2 s.",
                many => { "one bar per " (many) " segments of 4 s; it shows the one that looks most like a clone." },
            }
            @if verdict.stretch.is_some() { " The frame marks the passage that decided." }
        }
    }
}

/// The strip alone, small.
pub fn small_strip(verdict: &Verdict, thresholds: &Thresholds, label: &str) -> Markup {
    let place = Place { top: 0.0, height: 56.0 };
    let secs = verdict.evidence.duration_secs;
    html! {
        svg.graph width="100%" height=(px(place.height + TIMES_HEIGHT)) role="img" aria-label=(label) {
            (strip::strip(&verdict.evidence.segments, secs, thresholds, place))
            @if let Some(stretch) = &verdict.stretch { (strip::stretch_frame(stretch, secs, 1.0, place.height - 2.0)) }
            (times(secs, place.height))
        }
    }
}

fn axis(picture: Option<&Shown>, thresholds: &Thresholds, place: Place) -> Markup {
    let label = |y: f32, text: String| html! { text x="52" y=(px(y)) text-anchor="end" { (text) } };
    let step_khz = picture.map_or(1, |shown| if shown.top_hz > 4_000 { 2 } else { 1 });
    let top_khz = picture.map_or(0, |shown| shown.top_hz / 1_000);
    html! {
        @if let Some(shown) = picture {
            @for khz in (step_khz..=top_khz).step_by(step_khz as usize) {
                @let y = PICTURE_HEIGHT * (1.0 - khz as f32 * 1_000.0 / shown.top_hz as f32);
                (label(y.max(6.0) + 4.0, format!("{khz} kHz")))
            }
            (label(PICTURE_HEIGHT, "0".into()))
        }
        (label(place.top + 11.0, "genuine".into()))
        (label(place.y(thresholds.bona_fide_above) + 4.0, super::words::signed(thresholds.bona_fide_above)))
        (label(place.y(thresholds.spoof_below) + 4.0, super::words::signed(thresholds.spoof_below)))
        (label(place.top + place.height - 2.0, "cloned".into()))
    }
}

/// Marks and labels below `y`.
fn times(secs: f64, y: f32) -> Markup {
    let step_secs = TICK_SECS.into_iter().find(|step| secs / step <= MOST_TICKS).unwrap_or(7_200.0);
    let ticks: Vec<f64> = (0..).map(|index| f64::from(index) * step_secs).take_while(|at| *at < secs).collect();
    html! {
        @for at in ticks {
            // Labels would stick out at either end.
            @let anchor = if at == 0.0 { "start" } else if at > secs * 0.93 { "end" } else { "middle" };
            line.tick x1=(percent(at, secs)) x2=(percent(at, secs)) y1=(px(y)) y2=(px(y + 4.0)) {}
            text x=(percent(at, secs)) y=(px(y + 16.0)) text-anchor=(anchor) { (clock(at)) }
        }
    }
}
