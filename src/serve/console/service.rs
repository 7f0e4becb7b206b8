//! Handlers of the pages about the service: live calls, overview, settings, audit log.

use std::time::Instant;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use rusqlite::Transaction;
use serde::Deserialize;

use super::{
    access::{Posted, Visitor},
    audit,
    calls::{self, Shown},
    layout::{AUDIT, CALLS, OVERVIEW, Page, SETTINGS, form_token},
    overview,
    refusal::{Refusal, Result},
    settings,
};
use crate::{
    config::Scope,
    report,
    serve::{
        core::{Core, Reloaded},
        http::{
            App,
            auth::Caller,
            calls::follow,
            extract::{Id, Params, with_type},
            problem::Problem,
        },
        live::CallView,
    },
    store::{
        self, UnixMs,
        audit::{self as log, Entry},
        jobs, outbox,
    },
};

/// Dead events that are revived in one transaction.
const REVIVE: u32 = 1_000;
const SCRIPTS: [&str; 1] = ["live.js"];

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(CALLS.path, get(live_calls))
        .route("/console/calls/table", get(live_table))
        .route("/console/calls/{id}", get(live_call))
        .route("/console/calls/{id}/parties", get(live_parties))
        .route("/console/calls/{id}/events", get(live_events))
        .route(OVERVIEW.path, get(overview_page))
        .route(SETTINGS.path, get(settings_page))
        .route("/console/settings/reload", post(reload))
        .route("/console/settings/send-again", post(send_again))
        .route(AUDIT.path, get(audit_page))
}

/// `/console/calls`.
async fn live_calls(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let calls = shown_calls(&app.core);
    let body = html! {
        h1 { "Live calls" }
        (alert(&calls::standing_alerts(&calls)))
        p #live-status.note role="status" { "As of now; with scripts the page keeps itself up to date." }
        div data-live="/console/calls/table" { (calls::table(&calls, UnixMs::now())) }
    };
    Ok(Page::new("Live calls").of(&visitor).in_section(CALLS).with_scripts(&SCRIPTS).show(&body))
}

/// `/console/calls/table`: the changing part alone.
async fn live_table(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    visitor.require(Scope::Read)?;
    Ok(fragment(calls::table(&shown_calls(&app.core), UnixMs::now())))
}

fn shown_calls(core: &Core) -> Vec<Shown> {
    core.calls.list().into_iter().map(|call| shown(core, call)).collect()
}

/// Where alerts are read out when they come.
fn alert(words: &str) -> Markup {
    html! { p #alert.answer.small.cloned role="alert" hidden[words.is_empty()] { (words) } }
}

/// With the policy in force; one that a reload took away is replaced by the default for drawing.
fn shown(core: &Core, call: CallView) -> Shown {
    let in_force = core.in_force();
    let named = in_force.policy(&call.policy).or_else(|| in_force.policy(&in_force.config.default_policy));
    let thresholds = named.map_or(in_force.engine.model.manifest().thresholds, |named| named.policy.thresholds);
    let first_verdict_secs = in_force.config.live.first_verdict_speech_secs.max(thresholds.min_speech_secs);
    Shown { call, thresholds, first_verdict_secs }
}

/// `/console/calls/{id}`: a call that goes on; the result of one that is over.
async fn live_call(State(app): State<App>, visitor: Visitor, id: Result<Id, Problem>) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let Id(id) = id.map_err(|_| no_call())?;
    let result = format!("/console/scans/{id}");
    let Some(call) = app.core.calls.get(&id).filter(|call| call.ending.is_none()) else {
        let stored = app.core.store.read(move |c| jobs::get(c, &id)).await?;
        return stored.map(|_| Redirect::to(&result).into_response()).ok_or_else(no_call);
    };
    let title = format!("Call {}", calls::name_of(&call));
    let shown = shown(&app.core, call);
    let alerts: Vec<String> = shown.call.parties.iter().filter_map(|party| calls::alert_words(&party.view)).collect();
    let live = format!("/console/calls/{}/parties", shown.call.id);
    let events = format!("/console/calls/{}/events", shown.call.id);
    let body = html! {
        p { a href="/console/calls" { "All live calls" } }
        h1 { (title) }
        (alert(&alerts.join(" ")))
        p #live-status.note role="status" { "As of now; with scripts the page follows the call." }
        div data-live=(live) data-events=(events) data-result=(result) { (calls::parties(&shown)) }
        (report::legend(&shown.thresholds))
        section aria-labelledby="facts" { h2 #facts { "The call" } (calls::facts(&shown.call, UnixMs::now())) }
    };
    Ok(Page::new(&title).of(&visitor).in_section(CALLS).with_scripts(&SCRIPTS).show(&body))
}

/// `/console/calls/{id}/parties`: the changing part alone.
async fn live_parties(State(app): State<App>, visitor: Visitor, id: Result<Id, Problem>) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let Id(id) = id.map_err(|_| no_call())?;
    let call = app.core.calls.get(&id).ok_or_else(no_call)?;
    Ok(fragment(calls::parties(&shown(&app.core, call))))
}

/// `/console/calls/{id}/events`: what the API tells of the call, for a session.
async fn live_events(State(app): State<App>, visitor: Visitor, id: Result<Id, Problem>) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let Id(id) = id.map_err(|_| no_call())?;
    let watched = app.clone();
    // Whoever has signed out, or whose token is gone, hears no more.
    let may_see = move || visitor.session.as_ref().is_none_or(|id| may_still_read(&watched, id));
    follow(&app, &id, may_see).ok_or_else(no_call)
}

fn may_still_read(app: &App, session: &str) -> bool {
    let token = app.console.find(session, Instant::now()).map(|session| session.token);
    let caller = token.and_then(|token| Caller::of_hash(&app.core.in_force(), &token));
    caller.is_some_and(|caller| caller.may(Scope::Read))
}

fn no_call() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "There is no call of this address, and no result of one.")
}

/// A part of a page, for its script.
fn fragment(markup: Markup) -> Response {
    with_type("text/html; charset=utf-8", markup.0)
}

/// A button that changes something.
fn form(visitor: &Visitor, action: &str, button: &str, seq: Option<i64>) -> Markup {
    html! {
        form.actions method="post" action=(action) {
            (form_token(visitor))
            @if let Some(seq) = seq { input type="hidden" name="seq" value=(seq); }
            button.quiet { (button) }
        }
    }
}

/// `/console/overview`.
async fn overview_page(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let body = overview::content(&overview::Facts::gather(&app.core).await?);
    Ok(Page::new("Overview").of(&visitor).in_section(OVERVIEW).show(&body))
}

/// What came of what was pressed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Reloaded,
    Refused,
    Revived,
    Gone,
}

impl Told {
    fn words(self) -> &'static str {
        match self {
            Self::Reloaded => "The configuration was read again and is in force.",
            Self::Refused => {
                "The configuration has a fault and was refused: the old one stays in force. The log says what is wrong."
            }
            Self::Revived => "Sent again: delivery begins within seconds.",
            Self::Gone => "There is no such event any more.",
        }
    }

    fn redirect(self) -> Response {
        let key = match self {
            Self::Reloaded => "reloaded",
            Self::Refused => "refused",
            Self::Revived => "revived",
            Self::Gone => "gone",
        };
        Redirect::to(&format!("/console/settings?told={key}")).into_response()
    }
}

#[derive(Deserialize)]
struct SettingsQuery {
    told: Option<Told>,
}

/// `/console/settings`.
async fn settings_page(
    State(app): State<App>,
    visitor: Visitor,
    query: Result<Params<SettingsQuery>, Problem>,
) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let Params(query) = query?;
    let facts = settings::Facts::gather(&app.core).await?;
    let again = |words: &str, seq| form(&visitor, "/console/settings/send-again", words, seq);
    let send_again = |seq: i64| again(&format!("Send {seq} again"), Some(seq));
    let forms = settings::Forms {
        reload: form(&visitor, "/console/settings/reload", "Reload the configuration", None),
        send_again: &send_again,
        send_all: again("Send all again", None),
    };
    let body = settings::content(&facts, visitor.may(Scope::Admin).then_some(&forms), query.told.map(Told::words));
    Ok(Page::new("Settings").of(&visitor).in_section(SETTINGS).show(&body))
}

/// Reads the configuration again.
async fn reload(State(app): State<App>, Posted { visitor, .. }: Posted) -> Result<Response> {
    visitor.require(Scope::Admin)?;
    let told = tokio::select! {
        outcome = app.core.reload() => match outcome {
            Reloaded::Done => Told::Reloaded,
            Reloaded::Refused => Told::Refused,
        },
        () = app.core.stopping() => return Err(Problem::stopping().into()),
    };
    Ok(told.redirect())
}

/// Sends events again that were given up: the one of the field `seq`, or all.
async fn send_again(State(app): State<App>, Posted { visitor, fields }: Posted) -> Result<Response> {
    visitor.require(Scope::Admin)?;
    let wrong = |_| Refusal::new(StatusCode::BAD_REQUEST, "seq: must be the number of an event.");
    let seq = fields.get("seq").map(str::parse::<i64>).transpose().map_err(wrong)?;
    let revived = app.core.store.write(move |tx| revive(tx, seq, &visitor.caller.name)).await?;
    app.core.announce();
    Ok(if revived > 0 { Told::Revived } else { Told::Gone }.redirect())
}

/// How many events wait again.
fn revive(tx: &Transaction<'_>, seq: Option<i64>, actor: &str) -> store::Result<usize> {
    let now = UnixMs::now();
    let numbers = match seq {
        Some(seq) => vec![seq],
        None => outbox::dead(tx, 0, REVIVE)?.iter().map(|event| event.seq).collect(),
    };
    let mut revived = Vec::new();
    for number in numbers {
        if outbox::revive(tx, number, now)? {
            revived.push(number.to_string());
        }
    }
    if !revived.is_empty() {
        let note = format!("events {}", revived.join(", "));
        log::append(tx, &Entry { note: Some(&note), ..Entry::new(now, actor, "events.sent_again") })?;
    }
    Ok(revived.len())
}

#[derive(Deserialize)]
struct AuditQuery {
    before: Option<i64>,
    #[serde(default)]
    verify: bool,
}

/// `/console/audit`.
async fn audit_page(
    State(app): State<App>,
    visitor: Visitor,
    query: Result<Params<AuditQuery>, Problem>,
) -> Result<Response> {
    visitor.require(Scope::Read)?;
    let Params(query) = query?;
    let before = query.before.unwrap_or(0).max(0);
    let read = app.core.store.read(move |c| {
        Ok(audit::Shown {
            rows: log::before(c, before, audit::PAGE)?,
            head: log::head(c)?,
            is_first: before == 0,
            chain: query.verify.then(|| log::verify(c, None)).transpose()?,
        })
    });
    let body = audit::content(&read.await?);
    Ok(Page::new("Audit log").of(&visitor).in_section(AUDIT).show(&body))
}
