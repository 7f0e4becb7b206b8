//! `/v1/scans`: lists, one scan, its result, its removal.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    App,
    auth::Caller,
    extract::{Id, Params, json, text, with_type},
    problem::{Problem, ReadFaults, Result, WriteFaults},
};
use crate::{
    config::Scope,
    policy::Decision,
    serve::core::Core,
    store::{Job, JobId, State as JobState, UnixMs, jobs, list::Filter, verdicts},
};

/// Scans on a page unless asked otherwise, and at most.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Accepted at or after this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Accepted before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// With this decision of the machine's.
    decision: Option<Decision>,
    /// In this state.
    state: Option<JobState>,
    /// From this source.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    source: Option<String>,
    /// With this label.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    label: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[1-9][0-9]{0,17}$")]
    cursor: Option<String>,
    /// Scans on the page.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl Wanted {
    fn filter(self) -> Result<(Filter, u32)> {
        let time = |key: &str, value: Option<String>| {
            value.map(|value| UnixMs::parse(&value)).transpose().map_err(|e| Problem::bad(format!("{key}: {e}")))
        };
        let cursor = |cursor: String| {
            let row = cursor.parse::<i64>().ok().filter(|row| *row > 0);
            row.ok_or_else(|| Problem::bad("cursor: must be `next` of an earlier page"))
        };
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Problem::bad(format!("limit: must be 1-{MAX_PAGE}")));
        }
        let filter = Filter {
            since: time("since", self.since)?,
            until: time("until", self.until)?,
            decision: self.decision,
            state: self.state,
            source: self.source.map(|source| text("source", source)).transpose()?,
            label: self.label.map(|label| text("label", label)).transpose()?,
            before: self.cursor.map(cursor).transpose()?,
            ..Filter::default()
        };
        Ok((filter, limit))
    }
}

/// A page of scans, newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Page {
    scans: Vec<Job>,
    /// `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// A scan with its result.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes the answer in /openapi.json; its bytes are put together from stored ones")]
pub(super) struct ScanDetail {
    #[serde(flatten)]
    scan: Job,
    /// The object that `clonewatch scan --format jsonl` prints; null before there is one.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
}

/// List scans
#[utoipa::path(
    get, path = "/v1/scans", tag = "scans", params(Wanted),
    responses(
        (status = 200, description = "A page", body = Page),
        (status = 400, description = "A parameter that cannot be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn list(State(app): State<App>, caller: Caller, Params(wanted): Params<Wanted>) -> Result<Response> {
    caller.require(Scope::Read)?;
    let (filter, limit) = wanted.filter()?;
    let mut scans = app.core.store.read(move |c| crate::store::list::list(c, &filter, limit + 1)).await?;
    let has_more = scans.len() > limit as usize;
    scans.truncate(limit as usize);
    let next = scans.last().filter(|_| has_more).map(|last| last.seq.to_string());
    Ok(json(&Page { scans, next }))
}

/// See a scan
#[utoipa::path(
    get, path = "/v1/scans/{id}", tag = "scans", params(("id" = String, Path, description = "Of the scan")),
    responses(
        (status = 200, description = "The scan, with its result once there is one", body = ScanDetail),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No scan has this id", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn get(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response> {
    visible(&app.core, &caller, &id).await?;
    detail(&app.core, &id).await.map(|(response, _)| response)
}

/// Which result.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Number of the verdict; left out, the latest.
    #[param(minimum = 1)]
    revision: Option<u32>,
}

/// See a scan's result
///
/// The same bytes as `clonewatch scan --format jsonl` prints for the same audio, name, model and policy.
#[utoipa::path(
    get, path = "/v1/scans/{id}/result", tag = "scans",
    params(("id" = String, Path, description = "Of the scan"), Which),
    responses(
        (status = 200, description = "The result", body = Object),
        (status = 400, description = "A parameter that cannot be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No scan has this id, or no verdict this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is no result yet, or there will be none", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn result(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Params(which): Params<Which>,
) -> Result<Response> {
    let job = visible(&app.core, &caller, &id).await?;
    if job.revision == 0 {
        return Err(match job.state {
            JobState::Failed => Problem::conflict("failed", "the scan was given up: see its `error`"),
            _ => Problem::conflict("not_done", "the scan is not judged yet"),
        });
    }
    let line = app.core.store.read(move |c| verdicts::result(c, &id, which.revision)).await?;
    let line =
        line.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_such_revision", "no verdict has this number"))?;
    Ok(with_type("application/json", line))
}

/// Remove a scan
///
/// With its result and whatever is kept of its audio; the audit log keeps its rows.
#[utoipa::path(
    delete, path = "/v1/scans/{id}", tag = "scans", params(("id" = String, Path, description = "Of the scan")),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No scan has this id", body = Problem, content_type = "application/problem+json"),
        WriteFaults,
    )
)]
pub(super) async fn delete(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response> {
    caller.require(Scope::Admin)?;
    match app.core.delete(&id, caller.name).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::no_scan()),
    }
}

/// The job, where the caller may see it: all with `read`, its own with `submit`.
pub(in crate::serve) async fn visible(core: &Core, caller: &Caller, id: &JobId) -> Result<Job> {
    let id = id.clone();
    let job = core.store.read(move |c| jobs::get(c, &id)).await?;
    let may_see = |job: &Job| caller.may(Scope::Read) || (caller.may(Scope::Submit) && job.submitted_by == caller.name);
    job.filter(may_see).ok_or_else(Problem::no_scan)
}

/// The scan with its result's own bytes, and whether there is one.
pub(super) async fn detail(core: &Core, id: &JobId) -> Result<(Response, bool)> {
    let id = id.clone();
    let found = core.store.read(move |c| Ok((jobs::get(c, &id)?, verdicts::result(c, &id, None)?))).await?;
    let (Some(job), line) = found else { return Err(Problem::no_scan()) };
    let mut body = serde_json::to_vec(&job).expect("strings and numbers");
    // The object is left open for the result, whose bytes must stay as they are.
    body.pop();
    body.extend_from_slice(b",\"result\":");
    body.extend_from_slice(line.as_deref().map_or(b"null", <[u8]>::trim_ascii_end));
    body.push(b'}');
    Ok((with_type("application/json", body), job.state == JobState::Done))
}
