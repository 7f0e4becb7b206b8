//! The HTTP API: routes, and what every request passes through (id, time limits, log line, metrics).
//!
//! The routes' documentation is their contract: `/openapi.json` is made from it. [`upload`] takes audio in, [`scans`]
//! shows and removes jobs, [`calls`] tells of live calls, [`judgement`] judges again and overrides, [`info`] tells about the service.

pub(in crate::serve) mod auth;
pub(in crate::serve) mod calls;
pub(in crate::serve) mod extract;
mod info;
pub(in crate::serve) mod judgement;
pub(in crate::serve) mod problem;
pub(in crate::serve) mod scans;
mod signature;
mod streams;
mod timed;
pub(in crate::serve) mod upload;
mod visit;

pub use auth::Peer;

use std::{sync::Arc, time::Duration, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::{self, Next},
    response::Response,
};
use tracing::{Instrument, info};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{problem::Problem, timed::TimedBody};
use super::{
    console::{self, Console},
    core::Core,
};
use crate::store::random_hex;

/// What handlers see.
#[derive(Clone)]
pub struct App {
    pub(in crate::serve) core: Arc<Core>,
    /// Who is signed in to the console.
    pub(in crate::serve) console: Arc<Console>,
    /// `/openapi.json`.
    openapi: Arc<str>,
    /// Of signed requests.
    nonces: Arc<signature::Nonces>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "clonewatch",
        description = "Screens audio for cloned voices. Errors are application/problem+json; `code` tells them apart."
    ),
    security(("token" = [])),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(upload::submit, scans::list))
        .routes(routes!(scans::get, scans::delete))
        .routes(routes!(scans::result))
        .routes(routes!(judgement::rejudge))
        .routes(routes!(judgement::overrule))
        .routes(routes!(calls::list))
        .routes(routes!(calls::get))
        .routes(routes!(calls::events))
        .routes(routes!(streams::pcm))
        .routes(routes!(streams::twilio))
        .routes(routes!(streams::telnyx))
        .routes(routes!(streams::genesys))
        .routes(routes!(streams::asterisk))
        .routes(routes!(info::policies))
        .routes(routes!(info::model))
        .routes(routes!(info::audit))
        .routes(routes!(info::healthz))
        .routes(routes!(info::readyz))
        .routes(routes!(info::version))
        .routes(routes!(info::metrics))
        .routes(routes!(info::openapi))
}

/// The API's description, OpenAPI 3.1.
pub fn openapi() -> String {
    let (_, document) = documented().split_for_parts();
    document.to_pretty_json().expect("strings and numbers")
}

/// All routes over `core`.
pub fn router(core: Arc<Core>) -> Router {
    let app = App { core, console: Arc::default(), openapi: openapi().into(), nonces: Arc::default() };
    let (router, _) = documented().split_for_parts();
    router
        .merge(console::router(&app))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", "there is nothing here; see /openapi.json")
}

async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this is not done here; see /openapi.json")
}

/// What every request passes through.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    let method = method_name(request.method());
    let limits = app.core.in_force();
    let (idle, total) = (limits.config.server.body_idle_secs, limits.config.server.body_timeout_secs);
    let timed = |body| Body::new(TimedBody::new(body, Duration::from_secs(idle), Duration::from_secs(total)));
    let span = tracing::info_span!("request", id = id.as_str());
    let mut response = next.run(request.map(timed)).instrument(span.clone()).await;
    let (status, spent) = (response.status(), started.elapsed());
    let labels = [("route", route.as_str()), ("method", method), ("status", status.as_str())];
    app.core.metrics.count("clonewatch_http_requests_total", &labels);
    app.core.metrics.time("clonewatch_http_request_seconds_sum", &[("route", route.as_str())], spent);
    span.in_scope(|| info!(method, route, status = status.as_u16(), secs = spent.as_secs_f64(), "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The client's own id where it is harmless in a log, or a new one.
fn request_id(request: &Request) -> String {
    let is_plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_plain);
    given.map_or_else(random_hex::<8>, str::to_owned)
}

/// Methods that clients invent must not become labels.
fn method_name(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        _ => "OTHER",
    }
}
