//! *Drop a file*: audio goes in as over the API, with the same limits and the same admission.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use maud::{Markup, html};

use super::{
    access::{Fields, Visitor},
    layout::{DROP, Page},
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
        noscript { p.fault {
            "This page hands files in by JavaScript, which is switched off. Without it: "
            code { "curl -T FILE --unix-socket … http://localhost/v1/scans" }
        } }
        form #drop data-token=(visitor.form_token) data-max-bytes=(max_bytes) {
            div.zone {
                label for="file" { "Drop audio or video here, or choose files" }
                input #file type="file" multiple accept="audio/*,video/*,.gsm,.opus,.amr,.pcap,.pcapng,.ul,.al";
                p.note { "WAV, FLAC, MP3, M4A, Opus, Ogg, MP4, G.711, GSM and more, up to " (megabytes(max_bytes)) " each." }
            }
            div.fields {
                div { label for="policy" { "Policy" } (policies(in_force, visitor.caller.policy.as_deref())) }
                div {
                    label for="label" { "Label (optional)" }
                    input #label type="text" name="label" maxlength="255" placeholder="case number, programme, …";
                }
            }
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
    visitor.check_form(request.headers().get(FORM_TOKEN).and_then(|token| token.to_str().ok()))?;
    let query = Fields::parse(uri.query().unwrap_or("").as_bytes());
    let about = About::from_console(query.get("name"), query.get("label"), query.get("policy"));
    // Scripts read the API's own answers.
    let answer = upload::submit(State(app), visitor.caller, Params(about), request).await;
    Ok(answer.unwrap_or_else(IntoResponse::into_response))
}
