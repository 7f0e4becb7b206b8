//! What people do about scans: override, judge again, delete; one or many.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Redirect, Response},
    routing::post,
};

use super::{
    access::{Fields, Posted},
    history::query_of,
    refusal::Result,
};
use crate::{
    config::Scope,
    policy::Decision,
    serve::http::{
        App,
        extract::Id,
        judgement::{From, overrule_scan, rejudge_scan},
        problem::Problem,
    },
    store::JobId,
};

/// Most scans that one bulk action takes: more than a page of the history shows.
const MOST: usize = 100;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/console/scans/{id}/override", post(overrule))
        .route("/console/scans/{id}/rejudge", post(rejudge))
        .route("/console/scans/{id}/delete", post(delete))
        .route("/console/scans/bulk", post(bulk))
}

fn back_to(id: &JobId, done: &str) -> Response {
    Redirect::to(&format!("/console/scans/{id}?done={done}")).into_response()
}

async fn overrule(State(app): State<App>, Id(id): Id, posted: Posted) -> Result<Response> {
    let fields = &posted.fields;
    let decision = serde_json::from_value::<Decision>(fields.need("decision")?.into());
    let decision = decision.map_err(|_| Problem::bad("decision: must be bona_fide, spoof or inconclusive"))?;
    let note = fields.need("note")?.trim().to_owned();
    overrule_scan(&app.core, &posted.visitor.caller, &id, decision, note).await?;
    Ok(back_to(&id, "overridden"))
}

async fn rejudge(State(app): State<App>, Id(id): Id, posted: Posted) -> Result<Response> {
    let policy = posted.fields.need("policy")?.to_owned();
    let from = if posted.fields.get("from") == Some("audio") { From::Audio } else { From::Evidence };
    rejudge_scan(&app.core, &posted.visitor.caller, &id, policy, from).await?;
    Ok(back_to(&id, "rejudged"))
}

async fn delete(State(app): State<App>, Id(id): Id, posted: Posted) -> Result<Response> {
    posted.visitor.require(Scope::Admin)?;
    match app.core.delete(&id, posted.visitor.caller.name).await? {
        true => Ok(Redirect::to("/console/scans?done=deleted&count=1").into_response()),
        false => Err(Problem::no_scan().into()),
    }
}

/// Does the same to all that were chosen; what cannot be done to one does not keep the others from it.
async fn bulk(State(app): State<App>, posted: Posted) -> Result<Response> {
    let Posted { visitor, fields } = posted;
    visitor.require(Scope::Admin)?;
    let ids: Vec<JobId> = fields.all("id").filter_map(JobId::parse).take(MOST).collect();
    let done = match fields.need("action")? {
        "delete" => "deleted",
        "rejudge" => "rejudged",
        _ => return Err(Problem::bad("action: must be delete or rejudge").into()),
    };
    let mut count = 0;
    for id in &ids {
        let is_done = if done == "deleted" {
            app.core.delete(id, visitor.caller.name.clone()).await?
        } else {
            let policy = fields.need("policy")?.to_owned();
            rejudge_scan(&app.core, &visitor.caller, id, policy, From::Evidence).await.is_ok()
        };
        count += usize::from(is_done);
    }
    let back = query_of(&Fields::parse(fields.get("back").unwrap_or("").as_bytes()));
    let target = format!("/console/scans?{back}done={done}&count={count}&left={}", ids.len() - count);
    Ok(Redirect::to(&target).into_response())
}
