//! What requests carry, checked once at the edge; whatever does not fit is answered as a problem.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{
    App,
    problem::{Problem, Result},
};
use crate::store::JobId;

/// Longest JSON body, in bytes.
const MAX_JSON_BYTES: usize = 64 << 10;
/// Longest text that a client gives, in characters.
pub(in crate::serve) const MAX_TEXT_CHARS: usize = 255;

/// The id in the path.
pub(in crate::serve) struct Id(pub(in crate::serve) JobId);

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| Problem::no_scan())?;
        JobId::parse(&text).map(Self).ok_or_else(Problem::no_scan)
    }
}

/// The query, as `T`.
pub(in crate::serve) struct Params<T>(pub(in crate::serve) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query.map(|Query(params)| Self(params)).map_err(|e| Problem::bad(format!("query: {}", source_text(&e))))
    }
}

/// A JSON body, as `T`.
pub(in crate::serve) struct JsonBody<T>(pub(in crate::serve) T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "Content-Type: must be application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail));
        }
        let bytes = axum::body::to_bytes(request.into_body(), MAX_JSON_BYTES).await.map_err(|e| body_problem(&e))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| Problem::bad(format!("body: {e}")))
    }
}

/// Why a body could not be read.
pub(in crate::serve) fn body_problem(error: &axum::Error) -> Problem {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(found) = cause {
        if found.is::<http_body_util::LengthLimitError>() {
            let detail = format!("body: longer than {MAX_JSON_BYTES} bytes");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        }
        if found.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut) {
            return Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "body: came too slowly");
        }
        cause = found.source();
    }
    Problem::bad("body: ended early or is malformed")
}

/// The innermost error's words.
fn source_text(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A client's text for `key`: not empty, not long, no control characters.
pub(in crate::serve) fn text(key: &str, value: String) -> Result<String> {
    if value.is_empty() || value.chars().count() > MAX_TEXT_CHARS || value.chars().any(char::is_control) {
        return Err(Problem::bad(format!(
            "{key}: must have 1-{MAX_TEXT_CHARS} characters, none of them control characters"
        )));
    }
    Ok(value)
}

/// A response with `value` as JSON.
pub(in crate::serve) fn json(value: &impl serde::Serialize) -> axum::response::Response {
    let body = serde_json::to_vec(value).expect("plain structs of strings and numbers");
    with_type("application/json", body)
}

/// A response with `body` of `kind`.
pub(in crate::serve) fn with_type(kind: &'static str, body: impl Into<Body>) -> axum::response::Response {
    let mut response = axum::response::Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, axum::http::HeaderValue::from_static(kind));
    response
}
