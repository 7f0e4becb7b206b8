//! *Queue and history*: what waits and runs, and what was judged, filtered and page by page.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
    routing::get,
};
use maud::{Markup, html};

use super::{
    access::{Fields, Visitor},
    drop::policies,
    layout::{HISTORY, Page, form_token, notice, time},
    refusal::{Refusal, Result},
};
use crate::{
    cli::render::printable,
    config::Scope,
    policy::Decision,
    report::Tone,
    serve::{http::App, in_force::InForce},
    store::{
        Job, State as JobState, UnixMs,
        list::{self, Filter},
    },
};

/// Scans on a page.
const PAGE: u32 = 50;
/// Most that wait or run that are shown above.
const MOST_OPEN: u32 = 20;
/// Fields that make up what is asked for, besides the page.
const ASKED: [&str; 7] = ["text", "decision", "state", "source", "label", "since", "until"];
const DAY_MS: i64 = 86_400_000;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console/scans", get(page))
}

async fn page(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let query = Fields::parse(uri.query().unwrap_or("").as_bytes());
    let filter = filter_of(&query)?;
    let (open, mut scans) = app
        .core
        .store
        .read(move |c| {
            let mut open = Vec::new();
            for state in [JobState::Running, JobState::Queued] {
                let of_state = Filter { state: Some(state), ..Filter::default() };
                open.extend(list::list(c, &of_state, MOST_OPEN)?);
            }
            Ok((open, list::list(c, &filter, PAGE + 1)?))
        })
        .await?;
    let has_more = scans.len() > PAGE as usize;
    scans.truncate(PAGE as usize);
    let older = scans.last().filter(|_| has_more).map(|last| last.seq);
    let in_force = app.core.in_force();
    let content = html! {
        h1 { "History" }
        @if let Some(words) = done_words(&query) { (notice(&words)) }
        (filters(&query))
        div #results {
            @if !open.is_empty() { (now(&open, app.core.queue.depth())) }
            (judged(&visitor, &in_force, &query, &scans))
        }
        (pages(&query, older))
    };
    Ok(Page::new("History").of(&visitor).in_section(HISTORY).with_scripts(&["history.js"]).show(&content))
}

fn filter_of(query: &Fields) -> Result<Filter> {
    let bad = |key: &str, expected: &str| Refusal::new(StatusCode::BAD_REQUEST, format!("{key}: {expected}"));
    let named = |key: &'static str| query.get(key).map(serde_json::Value::from);
    let day = |key: &str, days: i64| -> Result<Option<UnixMs>> {
        let Some(date) = query.get(key) else { return Ok(None) };
        let begins = UnixMs::parse(&format!("{date}T00:00:00Z"));
        begins.map(|at| Some(at.plus(days * DAY_MS))).map_err(|_| bad(key, "must be a date such as 2026-11-24"))
    };
    let decision = named("decision").map(serde_json::from_value::<Decision>).transpose();
    let state = named("state").map(serde_json::from_value::<JobState>).transpose();
    let before = query.get("before").map(str::parse::<i64>).transpose();
    let text = |key: &'static str| query.get(key).map(|text| text.trim().to_owned());
    Ok(Filter {
        since: day("since", 0)?,
        until: day("until", 1)?,
        decision: decision.map_err(|_| bad("decision", "must be bona_fide, spoof or inconclusive"))?,
        state: state.map_err(|_| bad("state", "must be queued, running, done or failed"))?,
        source: text("source"),
        label: text("label"),
        text: text("text"),
        before: before.map_err(|_| bad("before", "must be a number"))?,
        is_over: query.get("state").is_none(),
    })
}

/// What was asked for, to be asked again: `a=b&` for each.
pub(super) fn query_of(query: &Fields) -> String {
    let mut text = String::new();
    for key in ASKED {
        if let Some(value) = query.get(key) {
            text += &form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish();
            text.push('&');
        }
    }
    text
}

/// What a form did that led here.
pub(super) fn done_words(query: &Fields) -> Option<String> {
    let number = |key: &'static str| query.get(key).and_then(|text| text.parse::<u32>().ok());
    let what = match query.get("done")? {
        "overridden" => "Overridden.",
        "rejudged" => "Judged again",
        "deleted" => "Deleted",
        _ => return None,
    };
    Some(match (number("count"), number("left").unwrap_or(0)) {
        (None, _) => format!("{}.", what.trim_end_matches('.')),
        (Some(count), 0) => format!("{what}: {count}."),
        (Some(count), left) => format!("{what}: {count}; not possible: {left}."),
    })
}

fn filters(query: &Fields) -> Markup {
    let value = |key: &'static str| query.get(key);
    let is_asked = ASKED.iter().skip(1).any(|key| query.get(key).is_some());
    let input = |key: &'static str, title: &str, kind: &str| {
        html! { div { label for=(key) { (title) } input id=(key) type=(kind) name=(key) value=[value(key)] maxlength="255"; } }
    };
    let select = |key: &'static str, title: &str, choices: &[(&str, &str)]| {
        html! { div { label for=(key) { (title) } select id=(key) name=(key) {
            option value="" { "any" }
            @for (name, words) in choices { option value=(name) selected[value(key) == Some(*name)] { (words) } }
        } } }
    };
    html! {
        form.card.filters method="get" action="/console/scans" role="search" {
            (input("text", "File name, or beginning of its SHA-256", "search"))
            details open[is_asked] {
                summary { "More filters" }
                div.fields {
                    (select("decision", "Decision", &[
                        ("spoof", "Likely cloned"), ("inconclusive", "Inconclusive"), ("bona_fide", "Likely genuine"),
                    ]))
                    (select("state", "State", &[
                        ("queued", "waiting"), ("running", "running"), ("done", "judged"), ("failed", "given up"),
                    ]))
                    (input("source", "Source", "text"))
                    (input("label", "Label", "text"))
                    (input("since", "From day (UTC)", "date"))
                    (input("until", "To day (UTC)", "date"))
                }
            }
            div.actions {
                button { "Show" }
                @if is_asked || value("text").is_some() { a href="/console/scans" { "Show all" } }
            }
        }
    }
}

fn now(open: &[Job], waiting: usize) -> Markup {
    html! {
        section #open {
            h2 { "Now" }
            p.note { (waiting) " waiting" }
            ul.files {
                @for job in open {
                    li {
                        a href=(format!("/console/scans/{}", job.id)) { (printable(&job.name)) }
                        span.note { (state_words(job.state)) ", " (printable(&job.source)) ", " (time(job.accepted_at)) }
                    }
                }
            }
        }
    }
}

fn state_words(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "waiting",
        JobState::Running => "running",
        JobState::Done => "judged",
        JobState::Failed => "given up",
    }
}

fn judged(visitor: &Visitor, in_force: &InForce, query: &Fields, scans: &[Job]) -> Markup {
    let is_admin = visitor.may(Scope::Admin);
    html! {
        section {
            h2 { "Judged" }
            @if scans.is_empty() {
                p { "Nothing here." }
            } @else {
                form method="post" action="/console/scans/bulk" {
                    @if is_admin {
                        (form_token(visitor))
                        input type="hidden" name="back" value=(query_of(query));
                    }
                    table.cards {
                        thead { tr {
                            @if is_admin { th scope="col" { span.unseen { "Chosen" } } }
                            th scope="col" { "File" }
                            th scope="col" { "Decision" }
                            th.number scope="col" { "LLR" }
                            th scope="col" { "Source" }
                            th scope="col" { "Accepted" }
                        } }
                        tbody { @for job in scans { (row(job, is_admin)) } }
                    }
                    @if is_admin { (bulk(in_force)) }
                }
            }
        }
    }
}

fn row(job: &Job, is_admin: bool) -> Markup {
    let name = printable(&job.name);
    let tone = job.decision.map(Tone::of);
    html! {
        tr class=(tone.map_or("none", Tone::class)) {
            @if is_admin {
                td { input type="checkbox" name="id" value=(job.id) aria-label=(format!("Choose {name}")); }
            }
            td.wrap {
                a href=(format!("/console/scans/{}", job.id)) { (name) }
                @if let Some(label) = &job.label { " " span.label { (printable(label)) } }
            }
            td {
                @match tone {
                    Some(tone) => { span.sign aria-hidden="true" { (tone.mark()) } " " (tone.of_file()) },
                    None => (state_words(job.state)),
                }
                @if let Some(reason) = job.reason { span.note { ": " (reason) } }
                @if let Some(by_person) = &job.overridden {
                    br; strong { "Person: " (Tone::of(by_person.decision).of_file()) }
                }
            }
            td.number { @match job.llr {
                Some(llr) => { span.unit { "LLR " } (format!("{llr:+.2}").replace('-', "−")) },
                None => "–",
            } }
            td.wrap { (printable(&job.source)) }
            td { (time(job.accepted_at)) }
        }
    }
}

fn bulk(in_force: &InForce) -> Markup {
    html! {
        fieldset.card.bulk {
            legend { "With those chosen" }
            div.actions {
                label for="policy" { "Judge again by" }
                (policies(in_force, None))
                button.quiet name="action" value="rejudge" { "Judge again" }
            }
            details {
                summary { "Delete" }
                p { "Results and kept audio are removed for good." }
                button name="action" value="delete" { "Delete those chosen for good" }
            }
        }
    }
}

fn pages(query: &Fields, older: Option<i64>) -> Markup {
    let asked = query_of(query);
    html! {
        nav.actions aria-label="Pages of the history" {
            @if query.get("before").is_some() { a.button href=(format!("/console/scans?{asked}")) { "Newest" } }
            @if let Some(before) = older {
                a.button rel="next" href=(format!("/console/scans?{asked}before={before}")) { "Older" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_can_be_asked_again() {
        let query = Fields::parse(b"text=a%26b%22%3E&decision=spoof&before=7&done=deleted&evil=1&label=");
        assert_eq!(query_of(&query), "text=a%26b%22%3E&decision=spoof&");
        assert_eq!(
            done_words(&Fields::parse(b"done=deleted&count=2&left=1")).as_deref(),
            Some("Deleted: 2; not possible: 1.")
        );
        assert_eq!(done_words(&Fields::parse(b"done=overridden")).as_deref(), Some("Overridden."));
        assert_eq!(done_words(&Fields::parse(b"done=%3Cscript%3E")), None);
    }

    #[test]
    fn days_are_whole() {
        let filter = |query: &str| filter_of(&Fields::parse(query.as_bytes())).ok();
        let day = filter("since=2026-11-24&until=2026-11-24").unwrap();
        assert_eq!(day.until.unwrap().0 - day.since.unwrap().0, DAY_MS);
        assert!(
            filter("since=yesterday").is_none() && filter("decision=fake").is_none() && filter("before=x").is_none()
        );
        assert!(filter("").unwrap().is_over && !filter("state=queued").unwrap().is_over);
    }
}
