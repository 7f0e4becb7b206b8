//! Live calls: the table of those that go on, and a page that follows one. Pure: views in, markup out.

use maud::{Markup, html};
use serde_json::Value;

use super::chart;
use crate::{
    cli::render::{clock, printable, reason_key},
    model::Thresholds,
    policy::Decision,
    report,
    serve::live::{CallView, PartyDetail, PartyState, PartyView},
    store::{UnixMs, calls::KeptCall},
};

/// A call and where its policy draws the lines.
pub(super) struct Shown {
    pub(super) call: CallView,
    pub(super) thresholds: Thresholds,
    pub(super) first_verdict_secs: f64,
}

/// All calls, those with a standing alert first.
pub(super) fn table(calls: &[Shown], now: UnixMs) -> Markup {
    let mut calls: Vec<&Shown> = calls.iter().collect();
    calls.sort_by_key(|shown| !shown.call.parties.iter().any(|party| stands(&party.view)));
    html! {
        @if calls.is_empty() {
            p.note { "No calls at the moment. They appear here by themselves." }
        } @else {
            div.scroll role="region" aria-label="Calls" tabindex="0" {
                table.calls {
                    thead { tr {
                        th scope="col" { "Party" } th scope="col" { "So far" } th scope="col" { "LLR" }
                        th.number scope="col" { "Now" } th.number scope="col" { "Last 10 s" } th.number scope="col" { "Speech" }
                    } }
                    @for shown in calls { tbody { (rows(shown, now)) } }
                }
            }
        }
    }
}

fn rows(Shown { call, thresholds, first_verdict_secs }: &Shown, now: UnixMs) -> Markup {
    html! {
        tr.call {
            th scope="rowgroup" colspan="6" {
                a href=(format!("/console/calls/{}", call.id)) { (name_of(call)) }
                " " span.note { (call.transport.key().replace('_', " ")) ", for " (age(call, now)) }
            }
        }
        @if call.parties.is_empty() { tr { td colspan="6" { span.note { "no audio yet" } } } }
        @for party in &call.parties {
            @let view = &party.view;
            tr class=(chart::tone(view.decision)) data-alert=[row_alert(call, view)] {
                td { (printable(&view.name)) }
                td {
                    (badge(view))
                    @if let Some(words) = alert_mark(view) { br; span.alarm { (words) } }
                    @if view.decision.is_none() && view.state == PartyState::Listening {
                        br; span.note { (format!("{:.1} of {first_verdict_secs:.0} s of speech", view.speech_secs)) }
                    }
                }
                td { (chart::sparkline(&party.trail, view.decision, thresholds)) }
                td.number { (llr(view.llr)) }
                td.number { (llr(view.llr_last_10_secs)) }
                td.number { (clock(view.speech_secs)) }
            }
        }
    }
}

/// A standing alert, with the call's name.
fn row_alert(call: &CallView, view: &PartyView) -> Option<String> {
    alert_words(view).filter(|_| stands(view)).map(|words| format!("{}: {words}", name_of(call)))
}

/// All standing alerts, as they are read out on the page of all calls.
pub(super) fn standing_alerts(calls: &[Shown]) -> String {
    let of_call =
        |call: &CallView| call.parties.iter().filter_map(|party| row_alert(call, &party.view)).collect::<Vec<_>>();
    calls.iter().flat_map(|shown| of_call(&shown.call)).collect::<Vec<_>>().join(" ")
}

/// What a call is, apart from what its parties say.
pub(super) fn facts(call: &CallView, now: UnixMs) -> Markup {
    let mut facts = vec![
        ("brought by", call.transport.key().replace('_', " ")),
        ("from", call.peer.clone()),
        (
            "began",
            format!(
                "{} UTC, {} ago",
                call.started_at.to_string().get(..19).unwrap_or_default().replace('T', " "),
                age(call, now)
            ),
        ),
        ("policy", call.policy.clone()),
    ];
    if let Some(id) = &call.external_id {
        facts.insert(0, ("its own name", id.clone()));
    }
    facts.extend(call.metadata.iter().map(|(key, value)| (key.as_str(), value.clone())));
    html! {
        dl { @for (key, value) in facts { div { dt { (printable(key)) } dd { (printable(&value)) } } } }
    }
}

/// What is kept of a call that is over: what the other side said of it, and its alerts.
pub(super) fn kept(call: &KeptCall) -> Markup {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = call.metadata.as_object().into_iter().flatten();
    html! {
        dl.facts {
            @if let Some(id) = &call.external_id { div { dt { "Its own name" } dd { (printable(id)) } } }
            div { dt { "Brought by" } dd { (printable(&call.transport.replace('_', " "))) ", from " (printable(&call.peer)) } }
            @for (channel, party) in call.parties().iter().enumerate() {
                div { dt { "Channel " (channel) } dd { (printable(party)) } }
            }
            @for (key, value) in fields { div { dt { (printable(key)) } dd { (printable(&text(value))) } } }
            @if call.events.is_empty() { div { dt { "Alerts" } dd { "none during the call" } } }
            @for event in &call.events { div { dt { "Alert" } dd { (printable(&kept_words(event))) } } }
        }
    }
}

/// An alert or its retraction, as it was told.
fn kept_words(event: &Value) -> String {
    let name = event["party"]["name"].as_str().unwrap_or("a party");
    let alert = &event["party"]["alert"];
    let at = alert["raised_secs"].as_f64().map_or_else(|| "–".into(), clock);
    match event["type"].as_str() {
        Some("call.retracted") => format!("on {name}, raised at {at}, taken back: later speech sounded genuine"),
        _ => format!("{name} likely cloned, raised at {at}, LLR {}", llr(alert["llr"].as_f64())),
    }
}

/// The parties of one call, with their evidence so far.
pub(super) fn parties(shown: &Shown) -> Markup {
    html! {
        @if shown.call.parties.is_empty() { p.note { "No audio yet." } }
        @for party in &shown.call.parties { (party_section(party, shown)) }
    }
}

fn party_section(party: &PartyDetail, shown: &Shown) -> Markup {
    let view = &party.view;
    let label = format!("Segments of {} so far, also told by the LLR above", printable(&view.name));
    html! {
        section.party data-alert=[alert_words(view)] {
            div class={ "answer small " (chart::tone(view.decision)) } {
                h2 { (printable(&view.name)) ": " (words(view)) }
                p {
                    @match view.llr {
                        Some(_) => {
                            "LLR " strong { (llr(view.llr)) }
                            @if view.llr_last_10_secs.is_some() { ", of the last 10 s " (llr(view.llr_last_10_secs)) }
                            "; "
                            (format!("{:.0} s of speech in {:.0} s", view.speech_secs, view.audio_secs))
                        }
                        None => {
                            (format!("{:.1} s of speech in {:.0} s", view.speech_secs, view.audio_secs))
                            @if view.state == PartyState::Listening {
                                (format!("; a first verdict comes after {:.0} s of speech", shown.first_verdict_secs))
                            }
                        }
                    }
                    "."
                }
                @if let Some(words) = alert_mark(view) { p.alarm { (words) } }
            }
            @if let Some(verdict) = &party.latest {
                (report::figure(verdict, None, &shown.thresholds, &label))
                p.trend { span.note { "LLR at the last verdicts " } (chart::sparkline(&party.trail, view.decision, &shown.thresholds)) }
            }
            (quality(view))
        }
    }
}

fn quality(view: &PartyView) -> Markup {
    let mut notes = vec![format!("{} Hz", view.sample_rate_hz)];
    notes.extend(view.bandwidth_hz.map(|hz| format!("speech up to {hz} Hz")));
    notes.extend(view.snr_db.map(|db| format!("{db:.0} dB above the noise")));
    for (secs, what) in [(view.gap_secs, "without audio"), (view.skipped_secs, "not heard: this machine was too slow")]
    {
        if secs >= 0.1 {
            notes.push(format!("{secs:.1} s {what}"));
        }
    }
    notes.extend(view.latency_secs.map(|secs| format!("last verdict after {:.0} ms", secs * 1e3)));
    html! { p.note { (notes.join(", ")) } }
}

/// As calls are named in lists.
pub(super) fn name_of(call: &CallView) -> String {
    printable(call.external_id.as_deref().unwrap_or(call.id.as_str()))
}

fn age(call: &CallView, now: UnixMs) -> String {
    clock(now.minus(call.started_at.0).0.max(0) as f64 / 1e3)
}

fn badge(view: &PartyView) -> Markup {
    let mark = match view.decision {
        Some(Decision::Spoof) => "▼ ",
        Some(Decision::BonaFide) => "▲ ",
        Some(Decision::Inconclusive) => "◆ ",
        None => "",
    };
    html! { span.sign aria-hidden="true" { (mark) } (words(view)) }
}

fn words(view: &PartyView) -> String {
    match (view.state, view.decision) {
        (PartyState::Failed, _) => "not screened to the end, see the log".into(),
        (_, None) => "listening".into(),
        (_, Some(Decision::Spoof)) => "likely cloned".into(),
        (_, Some(Decision::BonaFide)) => "likely genuine".into(),
        (_, Some(Decision::Inconclusive)) => {
            let reason = view.reason.map(|reason| reason_key(reason).replace('_', " "));
            format!("inconclusive{}", reason.map_or_else(String::new, |reason| format!(": {reason}")))
        }
    }
}

/// Whether an alert stands.
fn stands(view: &PartyView) -> bool {
    view.alert.as_ref().is_some_and(|alert| alert.retracted_at.is_none())
}

fn alert_mark(view: &PartyView) -> Option<String> {
    let alert = view.alert.as_ref()?;
    let at = clock(alert.raised_secs);
    Some(if alert.retracted_at.is_some() { format!("alert of {at} taken back") } else { format!("Alert at {at}") })
}

/// An alert as it is read out.
pub(super) fn alert_words(view: &PartyView) -> Option<String> {
    let (alert, name) = (view.alert.as_ref()?, printable(&view.name));
    let at = clock(alert.raised_secs);
    Some(match (&alert.retracted_at, alert.first_evidence_secs) {
        (Some(_), _) => format!("The alert on {name}, raised at {at}, was taken back: later speech sounds genuine."),
        (None, Some(first)) => {
            format!(
                "Alert: {name} is likely cloned. Raised at {at}, LLR {}, evidence from {} on.",
                llr(alert.llr),
                clock(first)
            )
        }
        (None, None) => format!("Alert: {name} is likely cloned. Raised at {at}, LLR {}.", llr(alert.llr)),
    })
}

fn llr(llr: Option<f64>) -> String {
    llr.map_or_else(|| "–".into(), report::signed)
}
