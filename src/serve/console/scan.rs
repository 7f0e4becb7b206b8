//! A scan's page: its answer, its evidence, its audio, and what can be done about it; downloads.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
    routing::get,
};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    access::{Fields, Visitor},
    calls,
    dossier::{Dossier, Judged, is_call},
    drop::policies,
    history::done_words,
    layout::{HISTORY, Page, form_token, notice, time},
    refusal::{Refusal, Result},
};
use crate::{
    cli::render::printable,
    config::Scope,
    decode::capture::is_container,
    policy::Decision,
    report::{self, Exhibits, Level, Shown, Tone},
    scan::InputInfo,
    serve::{
        http::{
            App,
            extract::{Id, json, with_type},
            scans::visible,
        },
        in_force::InForce,
    },
    store::{Job, JobId, State as JobState, portraits, verdicts},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/console/scans/{id}", get(page))
        .route("/console/scans/{id}/state", get(state))
        .route("/console/scans/{id}/pictures/{channel}", get(picture))
        .route("/console/scans/{id}/result.json", get(result_file))
        .route("/console/scans/{id}/report.html", get(report_file))
}

async fn page(State(app): State<App>, visitor: Visitor, Id(id): Id, uri: Uri) -> Result<Response> {
    let dossier = Dossier::load(&app.core, &visitor.caller, &id).await?;
    let query = Fields::parse(uri.query().unwrap_or("").as_bytes());
    let in_force = app.core.in_force();
    let content = html! {
        @if let Some(words) = done_words(&query) { (notice(&words)) }
        (person(&dossier.job))
        @match &dossier.judged {
            Some(judged) => (verdict(&dossier, judged)),
            None => (unfinished(&dossier.job)),
        }
        @if let Some(call) = &dossier.call { section { h2 { "The call" } (calls::kept(call)) } }
        (about(&dossier.job))
        @if dossier.judged.is_some() { (downloads(&dossier.job)) }
        @if visitor.may(Scope::Admin) { (decisions(&visitor, &in_force, &dossier.job)) }
        @if let Some(judged) = &dossier.judged { (fine_print(judged)) }
    };
    let title = printable(&dossier.job.name);
    Ok(Page::new(&title).of(&visitor).in_section(HISTORY).with_scripts(&["scan.js"]).show(&content))
}

/// What a person decided, on top of whatever the program found.
fn person(job: &Job) -> Markup {
    html! {
        @if let Some(by_person) = &job.overridden {
            @let tone = Tone::of(by_person.decision);
            div class=(format!("answer small person {}", tone.class())) {
                h2 { "A person decided: " (tone.of_file()) }
                p { (printable(&by_person.note)) }
                p.note { (printable(&by_person.by)) ", " (time(by_person.at)) ". What the program found stays below." }
            }
        }
    }
}

fn verdict(dossier: &Dossier, judged: &Judged) -> Markup {
    html! {
        @if dossier.job.state != JobState::Done {
            p.notice #waiting role="status" data-scan=(dossier.job.id) { "It is being heard again; this is the verdict so far." }
        }
        @for change in &judged.changes { p.notice { (printable(change)) } }
        (report::file_answer(&judged.result, &dossier.exhibits, &judged.basis, Level::Page))
        (player(&dossier.job, &judged.result.input))
        @if dossier.exhibits.pictures.is_empty() && !judged.result.channels.is_empty() {
            @if is_call(&dossier.job) {
                p.note { "Without a spectrogram: it is drawn from the audio, and of calls none is kept." }
            } @else {
                p.note { "Without a spectrogram: none is kept of this scan (" code { "console.keep_pictures" } "), and drawing \
                          one takes the audio." }
            }
        }
        (report::file_evidence(&judged.result, &dossier.exhibits, &judged.basis))
    }
}

fn unfinished(job: &Job) -> Markup {
    let (title, words) = match job.state {
        JobState::Queued => ("Waiting", "It waits for its turn."),
        JobState::Running if is_call(job) => ("A call", "It goes on."),
        JobState::Running => ("Listening", "It is being judged."),
        JobState::Done => ("Judged", "The evidence was not kept."),
        JobState::Failed => ("Not judged", "It was given up."),
    };
    let is_open = matches!(job.state, JobState::Queued | JobState::Running);
    html! {
        div.answer.open {
            p.name { (printable(&job.name)) }
            h1 { (title) }
            p role="status" id=[is_open.then_some("waiting")] data-scan=(job.id) { (words) }
            @if is_open { noscript { p { a href=(format!("/console/scans/{}", job.id)) { "Look again" } } } }
            @if let Some(error) = &job.error { p.stopped { (printable(error)) } }
        }
    }
}

fn player(job: &Job, input: &InputInfo) -> Markup {
    let is_capture = input.container.as_deref().is_some_and(is_container);
    if is_call(job) || is_capture {
        return html! {
            section aria-labelledby="listen" {
                h2 #listen { "Listen" }
                @if is_capture { p { "Browsers cannot play captured network traffic." } }
                @else { p { "Calls are not recorded: there is nothing to play." } }
            }
        };
    }
    let channels = input.channels.unwrap_or(1);
    let source = job.audio_kept.then(|| format!("/console/scans/{}/audio", job.id));
    html! {
        section #player aria-labelledby="listen" data-sha256=(job.sha256) data-audio=[source] {
            h2 #listen { "Listen" }
            noscript { p.note { "Playing audio beside its segments takes JavaScript." } }
            audio controls hidden preload="metadata" {}
            p #player-note role="status" {
                @if job.audio_kept {
                    "The audio is kept here for a while; playing it is noted in the audit log."
                } @else {
                    "The audio was not kept. Choose the same file to hear it with its segments: it does not leave your browser."
                }
            }
            @if !job.audio_kept {
                // For the script to show.
                div #own-copy-field hidden {
                    label for="own-copy" { "Your copy of the file" }
                    input #own-copy type="file";
                }
            }
            @if channels > 1 {
                div #heard-channel-field hidden data-channels=(channels) {
                    label for="heard-channel" { "Hear" }
                    select #heard-channel {
                        option value="" { "all channels" }
                        @for channel in 0..channels { option value=(channel) { "channel " (channel) " alone" } }
                    }
                }
            }
            p.note #player-help hidden {
                "Choose a time in the picture or in the table of segments to hear it. In the picture, the arrow keys move by a \
                 segment and the space bar plays."
            }
        }
    }
}

fn about(job: &Job) -> Markup {
    html! {
        section {
            h2 { "This scan" }
            dl.facts {
                div { dt { "Accepted" } dd { (time(job.accepted_at)) " from " (printable(&job.source)) ", by " (printable(&job.submitted_by)) } }
                @if let Some(label) = &job.label { div { dt { "Label" } dd.wrap { (printable(label)) } } }
                @if let Some(at) = job.finished_at { div { dt { "Ended" } dd { (time(at)) } } }
                @if job.revision > 1 { div { dt { "Verdicts" } dd { (job.revision) ", this is the latest" } } }
                div { dt { "Id" } dd.hash { (job.id) } }
            }
        }
    }
}

fn downloads(job: &Job) -> Markup {
    html! {
        div.actions {
            a.button href=(format!("/console/scans/{}/report.html", job.id)) download { "Download the report (HTML)" }
            a.button href=(format!("/console/scans/{}/result.json", job.id)) download { "Download the result (JSON)" }
        }
    }
}

fn decisions(visitor: &Visitor, in_force: &InForce, job: &Job) -> Markup {
    let action = |name: &str| format!("/console/scans/{}/{name}", job.id);
    let choices = [Decision::Spoof, Decision::BonaFide, Decision::Inconclusive];
    html! {
        section.decisions {
            h2 { "Decide" }
            @if job.state == JobState::Done {
                form.card method="post" action=(action("override")) {
                    h3 { "Override the program" }
                    (form_token(visitor))
                    label for="decision" { "It is" }
                    select #decision name="decision" {
                        @for choice in choices {
                            option value=(crate::cli::render::decision_key(choice)) { (Tone::of(choice).of_file()) }
                        }
                    }
                    label for="note" { "Because" }
                    input #note type="text" name="note" required maxlength="255";
                    p.note { "Decision and reason go into the audit log, under your name." }
                    button { "Override" }
                }
                form.card method="post" action=(action("rejudge")) {
                    h3 { "Judge again" }
                    (form_token(visitor))
                    label for="policy" { "By the policy" }
                    (policies(in_force, Some(&job.policy)))
                    @if job.audio_kept {
                        label { input type="checkbox" name="from" value="audio"; " Hear the audio again, with the model in force now" }
                    }
                    p.note { "The verdict so far stays in the store." }
                    button { "Judge again" }
                }
            }
            details.card {
                summary { "Delete this scan" }
                form method="post" action=(action("delete")) {
                    (form_token(visitor))
                    p { "Its result and whatever is kept of its audio are removed for good. The audit log keeps its rows." }
                    button { "Delete for good" }
                }
            }
        }
    }
}

fn fine_print(judged: &Judged) -> Markup {
    html! {
        section { h2 { "What this does not say" } (report::limits(&judged.basis)) }
        section { h2 { "Where this comes from" } (report::provenance(&judged.basis, None)) }
    }
}

/// For scripts that wait.
#[derive(Serialize)]
struct StateView {
    state: JobState,
}

async fn state(State(app): State<App>, visitor: Visitor, Id(id): Id) -> Result<Response> {
    let job = visible(&app.core, &visitor.caller, &id).await?;
    Ok(json(&StateView { state: job.state }))
}

async fn picture(
    State(app): State<App>,
    visitor: Visitor,
    Path((id, channel)): Path<(String, u16)>,
) -> Result<Response> {
    let none = || Refusal::new(StatusCode::NOT_FOUND, "There is no such picture.");
    let id = JobId::parse(&id).ok_or_else(none)?;
    visible(&app.core, &visitor.caller, &id).await?;
    let pictures = app.core.store.read(move |c| portraits::pictures(c, &id, Some(channel))).await?;
    let picture = pictures.into_iter().next().ok_or_else(none)?;
    let mut response = with_type("image/png", picture.png);
    // A scan that is heard again gets new ones under the same address.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=60"));
    Ok(response)
}

async fn result_file(State(app): State<App>, visitor: Visitor, Id(id): Id) -> Result<Response> {
    visible(&app.core, &visitor.caller, &id).await?;
    let wanted = id.clone();
    let line = app.core.store.read(move |c| verdicts::result(c, &wanted, None)).await?;
    let line = line.ok_or_else(not_judged)?;
    Ok(attachment(with_type("application/json", line), &format!("clonewatch-{id}.json")))
}

async fn report_file(State(app): State<App>, visitor: Visitor, Id(id): Id) -> Result<Response> {
    let dossier = Dossier::load(&app.core, &visitor.caller, &id).await?;
    let judged = dossier.judged.ok_or_else(not_judged)?;
    let wanted = id.clone();
    let pictures = app.core.store.read(move |c| portraits::pictures(c, &wanted, None)).await?;
    let pictures = pictures.iter().map(|picture| (picture.channel, Shown::embedded(picture))).collect();
    let exhibits = Exhibits { pictures, ..dossier.exhibits };
    let page = report::one_page(&judged.result, &exhibits, &judged.basis, &person(&dossier.job));
    Ok(attachment(with_type("text/html; charset=utf-8", page), &format!("clonewatch-{id}.html")))
}

fn not_judged() -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "There is no verdict yet.")
}

/// A file to be saved; `name` is harmless.
pub(super) fn attachment(mut response: Response, name: &str) -> Response {
    const DISPOSITION: HeaderName = header::CONTENT_DISPOSITION;
    let value = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    response.headers_mut().extend(value.map(|value| (DISPOSITION, value)));
    response
}
