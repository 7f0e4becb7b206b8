//! The overview: what was decided in the last days, how much waits, what is in force. Pure but for [`Facts::gather`].

use maud::{Markup, html};

use super::chart;
use crate::{
    cli::render::{printable, reason_key},
    model::Thresholds,
    policy::Decision,
    report::Tone,
    report::signed,
    serve::{admission::Load, core::Core},
    store::{self, UnixMs, outbox, overview::Overview},
};

/// Days that are counted.
const DAYS: u32 = 14;

/// All that the page shows.
pub(super) struct Facts {
    counted: Overview,
    queue_depth: usize,
    running: usize,
    load: Load,
    most: Load,
    live_calls: usize,
    max_calls: usize,
    refresh_secs: f64,
    /// Events that wait, and those given up.
    events: (u64, u64),
    /// Free and whole room on the store's disk, in bytes.
    disk: Option<(u64, u64)>,
    model: (String, String),
    policy: (String, Thresholds),
}

impl Facts {
    /// What is so now.
    pub(super) async fn gather(core: &Core) -> store::Result<Self> {
        let now = UnixMs::now();
        let read = core.store.read(move |c| Ok((store::overview::overview(c, DAYS, now)?, outbox::counts(c)?)));
        let (counted, events) = read.await?;
        let in_force = core.in_force();
        let config = &in_force.config;
        let thresholds = in_force.policy(&config.default_policy).map(|named| named.policy.thresholds);
        let manifest = in_force.engine.model.manifest();
        let disk = rustix::fs::statvfs(&config.store.dir).ok();
        Ok(Self {
            counted,
            queue_depth: core.queue.depth(),
            running: core.running_count(),
            load: core.load(),
            most: in_force.most(),
            live_calls: core.calls.count(),
            max_calls: config.live.max_calls,
            refresh_secs: core.calls.pace.refresh_secs(),
            events,
            disk: disk.map(|found| {
                (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize))
            }),
            model: (manifest.id.clone(), manifest.date.clone()),
            policy: (config.default_policy.clone(), thresholds.unwrap_or(manifest.thresholds)),
        })
    }
}

/// The page's content.
pub(super) fn content(facts: &Facts) -> Markup {
    let counted = &facts.counted;
    html! {
        h1 { "Overview" }
        (now(facts))
        section aria-labelledby="days" {
            h2 #days { "Alerts per day" }
            p.note { "The last " (DAYS) " days, UTC. What the program decided; what people decided instead stands below." }
            (chart::days(&counted.days))
            ul.legend {
                li { (swatch("bar cloned")) "scans and calls that ended likely cloned" }
                li { (swatch("bar alerts")) "alerts during calls" }
            }
            (days_table(counted))
        }
        section aria-labelledby="people" { h2 #people { "Decided by people" } (people(counted)) }
        section aria-labelledby="inconclusive" { h2 #inconclusive { "Inconclusive" } (inconclusive(counted)) }
        section aria-labelledby="scores" {
            h2 #scores { "Scores" }
            p.note {
                "LLRs of the same scans and calls; the dashed lines are the thresholds of the policy "
                (printable(&facts.policy.0)) "."
            }
            (chart::histogram(&counted.histogram, &facts.policy.1))
            (histogram_table(counted))
        }
    }
}

fn now(facts: &Facts) -> Markup {
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let thresholds = &facts.policy.1;
    let tile = |title: &str, number: String, rest: String| {
        html! { li { span.note { (title) } strong { (number) } span { (rest) } } }
    };
    let named = |title: &str, name: String, rest: String| {
        html! { li { span.note { (title) } strong.name { (name) } span { (rest) } } }
    };
    html! {
        ul.tiles {
            (tile("Live calls", facts.live_calls.to_string(), format!("of {}, a verdict every {} s", facts.max_calls, facts.refresh_secs)))
            (tile("Queue", facts.queue_depth.to_string(), format!("waiting, {} in work, {} of {} jobs inside", facts.running, facts.load.jobs, facts.most.jobs)))
            (tile("Events", facts.events.0.to_string(), format!("to deliver, {} given up", facts.events.1)))
            @if let Some((free, whole)) = facts.disk {
                (tile("Disk", gigabytes(free), format!("free of {}", gigabytes(whole))))
            }
            (named("Model", printable(&facts.model.0), format!("of {}", printable(&facts.model.1))))
            (named("Policy", printable(&facts.policy.0), format!(
                "cloned below {}, genuine from {} on",
                signed(thresholds.spoof_below),
                signed(thresholds.bona_fide_above),
            )))
        }
    }
}

fn swatch(class: &str) -> Markup {
    html! { svg.swatch width="14" height="14" aria-hidden="true" { rect class=(class) width="14" height="14" {} } }
}

fn days_table(counted: &Overview) -> Markup {
    html! {
        details {
            summary { "The numbers" }
            div.scroll role="region" aria-label="Verdicts by day" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Day" } th.number scope="col" { "Cloned" } th.number scope="col" { "Inconclusive" }
                        th.number scope="col" { "Genuine" } th.number scope="col" { "Live alerts" }
                    } }
                    tbody {
                        @for day in counted.days.iter().rev() {
                            tr {
                                th scope="row" { (day.begins.to_string().get(..10).unwrap_or_default()) }
                                td.number { (day.cloned) } td.number { (day.inconclusive) } td.number { (day.genuine) }
                                td.number { (day.alerts) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is in force: the program's decisions, less those that people changed, and more by what they changed them to.
fn people(counted: &Overview) -> Markup {
    let days = counted.days.iter();
    let (cloned, open, genuine) = days.fold((0, 0, 0), |(cloned, open, genuine), day| {
        (cloned + day.cloned, open + day.inconclusive, genuine + day.genuine)
    });
    let sum = |wanted: &dyn Fn(Decision, Decision) -> bool| -> u64 {
        let of_kind = counted.people.iter().filter(|(program, person, _)| wanted(*program, *person));
        of_kind.map(|(_, _, count)| count).sum()
    };
    let (looked_at, changed) = (sum(&|_, _| true), sum(&|program, person| program != person));
    let row = |decision: Decision, by_program: u64| {
        let taken = sum(&|program, person| program == decision && person != decision);
        let given = sum(&|program, person| program != decision && person == decision);
        let confirmed = sum(&|program, person| program == decision && person == decision);
        html! { tr {
            th scope="row" { (Tone::of(decision).of_file()) }
            td.number { (by_program) } td.number { (confirmed) } td.number { (taken) } td.number { (given) }
            td.number { strong { ((by_program + given).saturating_sub(taken)) } }
        } }
    };
    html! {
        @if looked_at == 0 {
            p { "Nothing was decided by people in these days: the program's decisions are in force." }
        } @else {
            p {
                (looked_at) " of " (cloned + open + genuine) " verdicts were looked at by people, " (changed)
                @if changed == 1 { " was" } @else { " were" } " changed."
            }
            div.scroll role="region" aria-label="Decisions in force" tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Decision" } th.number scope="col" { "Program" } th.number scope="col" { "Confirmed by people" }
                    th.number scope="col" { "Changed to another" } th.number scope="col" { "Changed to this" }
                    th.number scope="col" { "In force" }
                } }
                tbody {
                    (row(Decision::Spoof, cloned)) (row(Decision::Inconclusive, open)) (row(Decision::BonaFide, genuine))
                }
            } }
        }
    }
}

fn inconclusive(counted: &Overview) -> Markup {
    let (part, whole) = counted.days.iter().fold((0, 0), |(part, whole), day| {
        (part + day.inconclusive, whole + day.cloned + day.inconclusive + day.genuine)
    });
    html! {
        @if whole == 0 {
            p { "Nothing was judged yet." }
        } @else {
            p { strong { (format!("{:.0} %", 100.0 * part as f64 / whole as f64)) } (format!(" of {whole} verdicts: {part}.")) }
        }
        @if !counted.reasons.is_empty() {
            table {
                thead { tr { th scope="col" { "Why" } th.number scope="col" { "Verdicts" } th scope="col" { "Share" } } }
                tbody {
                    @for (reason, count) in &counted.reasons {
                        tr {
                            th scope="row" { (reason_key(*reason).replace('_', " ")) }
                            td.number { (count) }
                            td.share { (chart::meter(*count, part)) }
                        }
                    }
                }
            }
        }
    }
}

fn histogram_table(counted: &Overview) -> Markup {
    let last = counted.histogram.len() - 1;
    html! {
        details {
            summary { "The numbers" }
            table {
                thead { tr { th scope="col" { "LLR" } th.number scope="col" { "Verdicts" } } }
                tbody {
                    @for (index, count) in counted.histogram.iter().enumerate().filter(|(_, count)| **count > 0) {
                        @let end = chart::bin_end(index);
                        @let start = end - store::overview::BIN_NATS;
                        tr {
                            th scope="row" {
                                @if index == 0 { "below " (signed(end)) }
                                @else if index == last { (signed(start)) " and more" }
                                @else { (signed(start)) " to " (signed(end)) }
                            }
                            td.number { (count) }
                        }
                    }
                }
            }
        }
    }
}
