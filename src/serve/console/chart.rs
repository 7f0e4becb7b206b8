//! Charts as SVG, drawn on the server. Pure: numbers in, markup out.
//!
//! Horizontal places are shares of the width, so one drawing fits every screen; no style attributes, for the content
//! security policy forbids them. Whatever a chart shows is also in a table beside it, and its label says the gist.

use maud::{Markup, html};

use crate::{
    model::Thresholds,
    policy::Decision,
    report::{LLR_SPAN, signed},
    store::overview::{BIN_NATS, BINS, Day, HISTOGRAM_SPAN},
};

const SPARK_WIDTH: f64 = 132.0;
const SPARK_HEIGHT: f64 = 30.0;
const PLOT_HEIGHT: f64 = 140.0;
const LABELS_HEIGHT: f64 = 22.0;
/// Room above the highest bar, for its number.
const HEADROOM: f64 = 18.0;

/// A party's LLR at its last verdicts: a line that falls towards a clone.
pub(super) fn sparkline(trail: &[(f64, f64)], decision: Option<Decision>, thresholds: &Thresholds) -> Markup {
    let y = |llr: f64| {
        let span = f64::from(LLR_SPAN);
        let share = (span - llr.clamp(-span, span)) / (2.0 * span);
        2.0 + share * (SPARK_HEIGHT - 4.0)
    };
    let (first, last) = (trail.first().copied(), trail.last().copied());
    let label = match (first, last) {
        (Some((_, from)), Some((_, to))) => {
            format!("LLR at the last verdicts, from {} to {}", signed(from), signed(to))
        }
        _ => "no verdict yet".to_owned(),
    };
    let secs = match (first, last) {
        (Some((from, _)), Some((to, _))) => (to - from).max(1.0),
        _ => 1.0,
    };
    let x = |at: f64| 2.0 + (SPARK_WIDTH - 6.0) * (at - first.map_or(0.0, |(from, _)| from)) / secs;
    let points: Vec<String> = trail.iter().map(|(at, llr)| format!("{:.1},{:.1}", x(*at), y(*llr))).collect();
    let line = |llr: f64, class: &str| {
        html! { line class=(class) x1="0" x2=(SPARK_WIDTH) y1=(pixels(y(llr))) y2=(pixels(y(llr))) {} }
    };
    html! {
        svg.spark width=(SPARK_WIDTH) height=(SPARK_HEIGHT) role="img" aria-label=(label) {
            rect.ground x="0" y="0" width=(SPARK_WIDTH) height=(SPARK_HEIGHT) {}
            (line(f64::from(thresholds.spoof_below), "threshold"))
            (line(0.0, "zero"))
            polyline class=(tone(decision)) points=(points.join(" ")) {}
            @if let Some((at, llr)) = last {
                circle class=(tone(decision)) cx=(pixels(x(at))) cy=(pixels(y(llr))) r="2.5" {}
            }
        }
    }
}

/// Likely clones and live alerts, day by day.
pub(super) fn days(days: &[Day]) -> Markup {
    let most = days.iter().map(|day| day.cloned.max(day.alerts)).max().unwrap_or(0);
    let (cloned, alerts) = days.iter().fold((0, 0), |(c, a), day| (c + day.cloned, a + day.alerts));
    let slot = 100.0 / days.len().max(1) as f64;
    let label = format!("{cloned} likely cloned and {alerts} live alerts in {} days, at most {most} a day", days.len());
    html! {
        svg.chart width="100%" height=(PLOT_HEIGHT + LABELS_HEIGHT) role="img" aria-label=(label) {
            (base())
            @for (index, day) in days.iter().enumerate() {
                @let left = slot * index as f64;
                (bar((left + 0.14 * slot, 0.36 * slot), day.cloned, most, "bar cloned"))
                (bar((left + 0.50 * slot, 0.36 * slot), day.alerts, most, "bar alerts"))
                // The last is always named; on a narrow screen four names fit.
                @if (days.len() - 1 - index).is_multiple_of(4) {
                    text x=(share(left + 0.5 * slot)) y=(PLOT_HEIGHT + 16.0) text-anchor=(anchor(index, days.len())) {
                        (day_name(day))
                    }
                }
            }
        }
    }
}

/// How LLRs are distributed, with the thresholds of the policy.
pub(super) fn histogram(bins: &[u64; BINS], thresholds: &Thresholds) -> Markup {
    let most = bins.iter().copied().max().unwrap_or(0);
    let total: u64 = bins.iter().sum();
    let x = |llr: f64| 100.0 * (llr + HISTOGRAM_SPAN) / (2.0 * HISTOGRAM_SPAN);
    let (low, high) = (f64::from(thresholds.spoof_below), f64::from(thresholds.bona_fide_above));
    let below: u64 = bins.iter().enumerate().filter(|(index, _)| bin_end(*index) <= low).map(|(_, count)| count).sum();
    let label = format!(
        "{total} LLRs from −6 to +6: {below} below {}, where likely cloned begins; likely genuine begins at {}",
        signed(low),
        signed(high)
    );
    html! {
        svg.chart width="100%" height=(PLOT_HEIGHT + LABELS_HEIGHT) role="img" aria-label=(label) {
            (base())
            @for (index, count) in bins.iter().enumerate() {
                @let middle = bin_end(index) - BIN_NATS / 2.0;
                @let class = if middle < low { "bar cloned" } else if middle >= high { "bar genuine" } else { "bar open" };
                (bar((x(bin_end(index) - BIN_NATS) + 0.3, 100.0 / BINS as f64 - 0.6), *count, most, class))
            }
            @for llr in [low, high] {
                line.threshold x1=(share(x(llr))) x2=(share(x(llr))) y1="0" y2=(PLOT_HEIGHT) {}
            }
            @for (llr, anchor) in [(-6, "start"), (-4, "middle"), (-2, "middle"), (0, "middle"), (2, "middle"), (4, "middle"), (6, "end")] {
                text x=(share(x(f64::from(llr)))) y=(PLOT_HEIGHT + 16.0) text-anchor=(anchor) { (whole(llr)) }
            }
        }
    }
}

/// Where bin `index` of the histogram ends.
pub(super) fn bin_end(index: usize) -> f64 {
    (index + 1) as f64 * BIN_NATS - HISTOGRAM_SPAN
}

/// A share of a whole as a bar, for table cells; the number stands beside it.
pub(super) fn meter(part: u64, whole: u64) -> Markup {
    let width = 100.0 * part as f64 / whole.max(1) as f64;
    html! {
        svg.meter width="100%" height="12" aria-hidden="true" {
            rect.ground x="0" y="0" width="100%" height="12" {}
            rect.bar.open x="0" y="0" width=(share(width)) height="12" {}
        }
    }
}

fn base() -> Markup {
    html! { line.zero x1="0" x2="100%" y1=(PLOT_HEIGHT) y2=(PLOT_HEIGHT) {} }
}

/// A bar from the base line with its number on top; nothing where there is nothing to count.
fn bar((x, width): (f64, f64), count: u64, most: u64, class: &str) -> Markup {
    let height = (PLOT_HEIGHT - HEADROOM) * count as f64 / most.max(1) as f64;
    html! {
        @if count > 0 {
            rect class=(class) x=(share(x)) y=(pixels(PLOT_HEIGHT - height)) width=(share(width)) height=(pixels(height)) {}
            text.count x=(share(x + width / 2.0)) y=(pixels(PLOT_HEIGHT - height - 4.0)) text-anchor="middle" { (count) }
        }
    }
}

fn anchor(index: usize, count: usize) -> &'static str {
    if index == 0 {
        "start"
    } else if index + 1 == count {
        "end"
    } else {
        "middle"
    }
}

/// `11-24`.
pub(super) fn day_name(day: &Day) -> String {
    day.begins.to_string().get(5..10).unwrap_or_default().to_owned()
}

/// Class of the style sheet.
pub(super) fn tone(decision: Option<Decision>) -> &'static str {
    match decision {
        Some(Decision::Spoof) => "cloned",
        Some(Decision::BonaFide) => "genuine",
        Some(Decision::Inconclusive) => "open",
        None => "none",
    }
}

fn whole(llr: i32) -> String {
    if llr == 0 { "0".into() } else { format!("{llr:+}").replace('-', "−") }
}

fn share(percent: f64) -> String {
    format!("{percent:.2}%")
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Denoised, Insert},
        store::UnixMs,
    };

    const THRESHOLDS: Thresholds = Thresholds {
        spoof_below: -2.0,
        bona_fide_above: 1.0,
        min_speech_secs: 2.0,
        denoised: Denoised { above: 0.3, spoof_below: -4.0 },
        insert: Insert { spoof_below: -2.0, sum_below: -3.0, drop_nats: 2.0, min_windows: 3 },
    };

    #[test]
    fn sparklines_fall_towards_a_clone() {
        let drawn = sparkline(&[(3.0, 0.0), (5.0, -9.0)], Some(Decision::Spoof), &THRESHOLDS).0;
        assert!(drawn.contains(r#"points="2.0,15.0 128.0,28.0""#), "{drawn}");
        assert!(drawn.contains("from +0.00 to −9.00") && drawn.contains(r#"polyline class="cloned""#), "{drawn}");
        assert!(sparkline(&[], None, &THRESHOLDS).0.contains("no verdict yet"));
    }

    #[test]
    fn days_are_bars_of_their_counts() {
        let day = |index: i64, cloned: u64, alerts: u64| Day {
            begins: UnixMs(index * 86_400_000),
            cloned,
            inconclusive: 0,
            genuine: 0,
            alerts,
        };
        let drawn = days(&[day(0, 0, 0), day(1, 4, 2)]).0;
        assert!(drawn.contains("4 likely cloned and 2 live alerts in 2 days, at most 4 a day"), "{drawn}");
        assert_eq!(drawn.matches("<rect").count(), 2, "nothing is drawn for nothing");
        assert!(drawn.contains(r#"height="122.0""#) && drawn.contains(r#"height="61.0""#), "{drawn}");
        assert!(drawn.contains("01-02") && !days(&[]).0.contains("<rect"));
    }

    #[test]
    fn histograms_are_coloured_by_the_thresholds() {
        let mut bins = [0; BINS];
        (bins[0], bins[8], bins[14], bins[23]) = (3, 2, 1, 5);
        let drawn = histogram(&bins, &THRESHOLDS).0;
        assert!(drawn.contains("11 LLRs from −6 to +6: 3 below −2.00"), "{drawn}");
        for (class, count) in [("bar cloned", 1), ("bar open", 1), ("bar genuine", 2)] {
            assert_eq!(drawn.matches(class).count(), count, "{class}");
        }
    }
}
