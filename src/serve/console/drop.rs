//! *Drop a file*: audio goes in as over the API, with the same limits and the same admission. The page's script sends several
//! files and shows how far they are; without it the form sends one, and leads to its page.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use super::{
    access::{Fields, Visitor},
    layout::{DROP, Page, form_token},
    refusal::Result,
};
use crate::{
    cli::render::printable,
    config::Scope,
    serve::{
        http::{
            App,
            extract::Params,
            upload::{self, About},
        },
        in_force::InForce,
    },
};

/// The form's token, where the body is the audio itself.
const FORM_TOKEN: HeaderName = HeaderName::from_static("x-form-token");

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console", get(page)).route("/console/upload", post(take))
}

async fn page(State(app): State<App>, visitor: Visitor) -> Response {
    let in_force = app.core.in_force();
    let content = html! {
        h1 { "Is this voice cloned?" }
        @if visitor.may(Scope::Submit) {
            (form(&visitor, &in_force))
        } @else {
            p { "You may not hand in audio: that needs the scope " code { "submit" } "." }
        }
        (promises(&in_force))
    };
    Page::new("Drop a file").of(&visitor).in_section(DROP).with_scripts(&["drop.js"]).show(&content)
}

fn form(visitor: &Visitor, in_force: &InForce) -> Markup {
    let max_bytes = in_force.config.queue.max_upload_bytes;
    html! {
        form #drop method="post" action="/console/upload" enctype="multipart/form-data" data-max-bytes=(max_bytes) {
            // First, so that it has come before the file does.
            (form_token(visitor))
            div.zone {
                label for="file" { "Drop audio or video here, or choose files" }
                // The script takes several, and needs no button.
                input #file type="file" name="file" required accept="audio/*,video/*,.gsm,.opus,.amr,.pcap,.pcapng,.ul,.al";
                p.note { "WAV, FLAC, MP3, M4A, Opus, Ogg, MP4, G.711, GSM and more, up to " (megabytes(max_bytes)) " each." }
            }
            div.fields {
                div { label for="policy" { "Policy" } (policies(in_force, visitor.caller.policy.as_deref())) }
                div {
                    label for="label" { "Label (optional)" }
                    input #label type="text" name="label" maxlength="255" placeholder="case number, programme, …";
                }
            }
            noscript { button { "Hand in" } }
        }
        section #progress hidden aria-label="Files handed in" aria-live="polite" { ul.files {} }
    }
}

/// A choice of policies; `preferred` or the default one is set.
pub(super) fn policies(in_force: &InForce, preferred: Option<&str>) -> Markup {
    let preferred = preferred.unwrap_or(&in_force.config.default_policy);
    html! {
        select #policy name="policy" {
            @for (name, _) in in_force.policies() {
                option value=(name) selected[name == preferred] { (printable(name)) }
            }
        }
    }
}

fn promises(in_force: &InForce) -> Markup {
    let days = in_force.config.retention.flagged_audio_days;
    html! {
        section {
            h2 { "What becomes of the audio" }
            p {
                "It is judged on this machine and goes nowhere else. "
                @if days > 0 {
                    "What is likely cloned is kept for " (days) " days (" code { "retention.flagged_audio_days" } "); the rest is \
                     removed once it is judged."
                } @else {
                    "It is removed once it is judged."
                }
                " To play it beside its segments, this page uses your browser's own copy."
                @if in_force.config.console.keep_pictures {
                    " The spectrogram is kept with the verdict (" code { "console.keep_pictures" } ")."
                }
            }
        }
    }
}

fn megabytes(bytes: u64) -> String {
    match bytes >> 20 {
        mebibytes if mebibytes > 0 && bytes.is_multiple_of(1 << 30) => format!("{} GiB", mebibytes >> 10),
        0 => format!("{} KiB", bytes >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

async fn take(State(app): State<App>, visitor: Visitor, uri: Uri, request: Request) -> Result<Response> {
    if upload::is_form(request.headers()) {
        return take_form(app, visitor, request).await;
    }
    visitor.check_form(request.headers().get(FORM_TOKEN).and_then(|token| token.to_str().ok()))?;
    let query = Fields::parse(uri.query().unwrap_or("").as_bytes());
    let about = About::from_console(query.get("name"), query.get("label"), query.get("policy"));
    // Scripts read the API's own answers.
    let answer = upload::submit(State(app), visitor.caller, Params(about), request).await;
    Ok(answer.unwrap_or_else(IntoResponse::into_response))
}

/// Without a script: waits a while for the verdict, and leads to its page.
async fn take_form(app: App, visitor: Visitor, mut request: Request) -> Result<Response> {
    request.headers_mut().insert("prefer", HeaderValue::from_static("wait=20"));
    let about = About::from_form(visitor.form_token);
    let answer = upload::submit(State(app), visitor.caller, Params(about), request).await?;
    let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
    let id = place.and_then(|place| place.rsplit('/').next()).unwrap_or_default();
    Ok(Redirect::to(&format!("/console/scans/{id}")).into_response())
}
