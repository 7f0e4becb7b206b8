//! Errors as people see them: a page with one sentence, or the way to the sign-in.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;

use super::layout::Page;
use crate::{serve::http::problem::Problem, store::StoreError};

/// Why a page is not shown.
pub(in crate::serve) enum Refusal {
    /// Whoever asks must sign in first.
    SignIn {
        /// Where to go on then.
        next: String,
    },
    /// One of the API's own problems.
    Problem(Problem),
    /// Another one.
    Words {
        /// Of the answer.
        status: StatusCode,
        /// A sentence.
        words: String,
    },
}

/// Result of a page.
pub(super) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    /// With a sentence for people.
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self::Words { status, words: words.into() }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn { next } => {
                let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
                Redirect::to(&format!("/console/sign-in?next={next}")).into_response()
            }
            Self::Words { status, words } => page(status, &words),
            Self::Problem(problem) => {
                let mut response = page(problem.status_code(), problem.detail());
                let retry_after = problem.into_response().headers_mut().remove(header::RETRY_AFTER);
                response.headers_mut().extend(retry_after.map(|value| (header::RETRY_AFTER, value)));
                response
            }
        }
    }
}

fn page(status: StatusCode, words: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let content = html! {
        h1 { (title) }
        p { (words) }
        p { a href="/console" { "Back to the console" } }
    };
    let mut response = Page::new(title).show(&content);
    *response.status_mut() = status;
    response
}

/// Where there is no page.
pub(super) async fn no_page() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "There is no page here.")
}
