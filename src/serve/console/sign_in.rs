//! Signing in with a token, and out again.

use std::time::Instant;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use tracing::info;

use super::{
    access::{Fields, Posted, cookie, fields_of, is_encrypted, session_id},
    layout::Page,
    refusal::Result,
    session::LIFE,
};
use crate::{
    config::TokenHash,
    serve::http::{App, Peer, auth::Caller},
    store::{
        UnixMs,
        audit::{self, Entry},
    },
};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/console/sign-in", get(ask).post(take)).route("/console/sign-out", post(end))
}

async fn ask(uri: Uri) -> Response {
    let query = Fields::parse(uri.query().unwrap_or("").as_bytes());
    form(next_of(&query), None)
}

fn form(next: &str, fault: Option<&str>) -> Response {
    let content: Markup = html! {
        h1 { "Sign in" }
        @if let Some(fault) = fault { p.fault role="alert" { (fault) } }
        form.card method="post" action="/console/sign-in" {
            input type="hidden" name="next" value=(next);
            // Password managers ask for a name; there is none to fill in.
            input type="text" name="username" value="token" autocomplete="username" hidden;
            label for="token" { "Token" }
            input #token type="password" name="token" required autocomplete="current-password" autofocus;
            p.note { "As " code { "clonewatch token new" } " printed it. What you may do here is what the token may do." }
            button { "Sign in" }
        }
    };
    Page::new("Sign in").show(&content)
}

/// Where to go on; only to our own pages.
fn next_of(fields: &Fields) -> &str {
    let is_ours = |next: &&str| {
        next.strip_prefix("/console").is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            && next.bytes().all(|byte| byte.is_ascii_graphic())
    };
    fields.get("next").filter(is_ours).unwrap_or("/console")
}

async fn take(State(app): State<App>, peer: Option<Extension<Peer>>, request: Request) -> Result<Response> {
    let is_encrypted = is_encrypted(peer.as_deref(), &app);
    let old = session_id(request.headers(), is_encrypted).map(str::to_owned);
    let fields = fields_of(request).await?;
    let (token, next) = (fields.need("token")?.trim(), next_of(&fields));
    let Ok(caller) = Caller::holding(&app, token) else {
        app.core.metrics.count("clonewatch_refused_total", &[("reason", "sign_in")]);
        let mut response = form(next, Some("This token is not known here."));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Ok(response);
    };
    if let Some(old) = old {
        app.console.end(&old);
    }
    let id = app.console.begin(TokenHash::of(token), Instant::now());
    info!(name = caller.name, "signed in to the console");
    app.core
        .store
        .write(move |tx| audit::append(tx, &Entry::new(UnixMs::now(), &caller.name, "console.signed_in")))
        .await?;
    Ok(with_cookie(Redirect::to(next), &cookie(&id, LIFE.as_secs(), is_encrypted)))
}

async fn end(State(app): State<App>, peer: Option<Extension<Peer>>, posted: Posted) -> Response {
    if let Some(id) = posted.visitor.session {
        app.console.end(&id);
    }
    with_cookie(Redirect::to("/console/sign-in"), &cookie("", 0, is_encrypted(peer.as_deref(), &app)))
}

fn with_cookie(redirect: Redirect, cookie: &str) -> Response {
    let mut response = redirect.into_response();
    response.headers_mut().extend(HeaderValue::from_str(cookie).map(|value| (header::SET_COOKIE, value)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, expected) in [
            ("/console/scans?state=done", "/console/scans?state=done"),
            ("/console", "/console"),
            ("/console?x", "/console?x"),
            ("//evil.example/console", "/console"),
            ("https://evil.example/", "/console"),
            ("/console.evil.example", "/console"),
            ("/console/\r\nSet-Cookie: a=b", "/console"),
            ("", "/console"),
        ] {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
            assert_eq!(next_of(&Fields::parse(query.as_bytes())), expected);
        }
    }
}
