//! Errors as `application/problem+json` (RFC 9457). What a client may know is in them; the rest is in the log.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::error;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response as Answer, ResponseBuilder},
};

use crate::store::StoreError;

/// What went wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::serve) struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// For programs: stays the same between versions.
    code: &'static str,
    /// For people: thing, value, what was expected.
    detail: String,
    #[serde(skip)]
    retry_after_secs: Option<u64>,
}

/// Answers of every route that reads the store, for its documentation.
pub(in crate::serve) struct ReadFaults;

/// Answers of every route that writes to the store, for its documentation.
pub(in crate::serve) struct WriteFaults;

/// Answers of every route that takes a call over a WebSocket, for its documentation.
pub(in crate::serve) struct CallAnswers;

impl IntoResponses for CallAnswers {
    fn responses() -> BTreeMap<String, RefOr<Answer>> {
        let faults = [
            ("400", "The query cannot be read"),
            ("401", "No token or signature, or one that is not accepted"),
            ("403", "The token lacks the scope `submit`"),
            ("426", "No WebSocket"),
            ("503", "Stopping: see Retry-After"),
        ];
        let faults = faults.map(|(status, description)| (status.to_owned(), problem_answer(description)));
        let mut answers = BTreeMap::from(faults);
        answers.insert("101".into(), ResponseBuilder::new().description("Go on").build().into());
        answers
    }
}

impl IntoResponses for ReadFaults {
    fn responses() -> BTreeMap<String, RefOr<Answer>> {
        [("500", "An internal fault: the log says more"), ("503", "Full, or stopping: see Retry-After")]
            .map(|(status, description)| (status.to_owned(), problem_answer(description)))
            .into()
    }
}

impl IntoResponses for WriteFaults {
    fn responses() -> BTreeMap<String, RefOr<Answer>> {
        let mut answers = ReadFaults::responses();
        answers.insert("507".into(), problem_answer("The disk is full"));
        answers
    }
}

fn problem_answer(description: &str) -> RefOr<Answer> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build().into()
}

/// Result of a handler.
pub(in crate::serve) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// With `status`, `code` for programs and `detail` for people.
    pub(in crate::serve) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            retry_after_secs: None,
        }
    }

    /// Of the answer.
    pub(in crate::serve) fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What people may know.
    pub(in crate::serve) fn detail(&self) -> &str {
        &self.detail
    }

    /// A policy that is not in force here.
    pub(in crate::serve) fn no_policy() -> Self {
        Self::conflict("no_such_policy", "policy: there is none of this name, see /v1/policies")
    }

    /// A request that cannot be meant so.
    pub(in crate::serve) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// There is no such scan, or none that the caller may see.
    pub(in crate::serve) fn no_scan() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_scan", "no scan has this id")
    }

    /// The scan is in a state in which this cannot be done.
    pub(in crate::serve) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// No room; come back later.
    pub(in crate::serve) fn full(retry_after_secs: u64) -> Self {
        let detail = "as much work waits as may: try again later";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "full", detail);
        Self { retry_after_secs: Some(retry_after_secs), ..problem }
    }

    /// The daemon stops.
    pub(in crate::serve) fn stopping() -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the service is stopping: try again later");
        Self { retry_after_secs: Some(5), ..problem }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        error!(%error, "a request failed");
        match error {
            StoreError::DiskFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "the disk is full: nothing was accepted")
            }
            StoreError::Closed => Self::stopping(),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "an internal fault; the log says more"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("strings and numbers");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status_code();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
