//! Judging a scan again, and overriding what the machine decided.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};

use super::{
    App,
    auth::Caller,
    extract::{Id, JsonBody, json, text},
    problem::{Problem, Result, WriteFaults},
};
use crate::{
    config::{Event, Scope},
    policy::Decision,
    serve::{core::Core, judge::judge_again},
    store::{
        Job, JobId, State as JobState, UnixMs, jobs,
        verdicts::{self, NewOverride},
    },
};

/// How to judge again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    /// Name of the policy.
    #[schema(min_length = 1, max_length = 64)]
    policy: String,
    /// What to judge.
    #[serde(default)]
    from: From,
}

/// What is judged again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::serve) enum From {
    /// The stored evidence, of the model that heard it: at once, always possible.
    #[default]
    Evidence,
    /// The kept audio, by the model in force now: in the background.
    Audio,
}

/// What came of it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Rejudged {
    /// What was judged.
    judged_from: From,
    scan: Job,
}

/// Judge a scan again
///
/// From its stored evidence by default; from its audio, with the model in force now, where that was kept.
#[utoipa::path(
    post, path = "/v1/scans/{id}/rejudge", tag = "judgement",
    params(("id" = String, Path, description = "Of the scan")), request_body = Again,
    responses(
        (status = 200, description = "Judged from evidence", body = Rejudged),
        (status = 202, description = "Waits to be heard again", body = Rejudged),
        (status = 400, description = "A body that cannot be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No scan has this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Not judged yet, no policy of this name, or its audio was not kept", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "A body that is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "A body that is not JSON", body = Problem, content_type = "application/problem+json"),
        WriteFaults,
    )
)]
pub(super) async fn rejudge(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    JsonBody(again): JsonBody<Again>,
) -> Result<Response> {
    let core = &app.core;
    rejudge_scan(core, &caller, &id, again.policy, again.from).await?;
    let scan = core.store.read(move |c| jobs::get(c, &id)).await?.ok_or_else(Problem::no_scan)?;
    let mut response = json(&Rejudged { judged_from: again.from, scan });
    if again.from == From::Audio {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// Has scan `id` judged again under `policy`, where the caller may do that.
pub(in crate::serve) async fn rejudge_scan(
    core: &Core,
    caller: &Caller,
    id: &JobId,
    policy: String,
    from: From,
) -> Result<()> {
    caller.require(Scope::Admin)?;
    let in_force = core.in_force();
    if in_force.policy(&policy).is_none() {
        return Err(Problem::no_policy());
    }
    let (wanted, actor) = (id.clone(), caller.name.clone());
    let job = core.store.read(move |c| jobs::get(c, &wanted)).await?.ok_or_else(Problem::no_scan)?;
    if job.state != JobState::Done {
        return Err(Problem::conflict("not_done", "only a scan that is done can be judged again"));
    }
    match from {
        From::Evidence => {
            let wanted = id.clone();
            core.store.write(move |tx| judge_again(tx, &in_force, &wanted, &policy, &actor)).await?;
            core.announce();
        }
        From::Audio => {
            let ticket = core.admit(job.bytes).map_err(|_| Problem::full(core.retry_after_secs()))?;
            if !core.hear_again(id, policy, actor, ticket).await? {
                return Err(Problem::conflict("no_audio", "the audio was not kept (retention.flagged_audio_days)"));
            }
        }
    }
    Ok(())
}

/// A person's decision.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Overruling {
    /// What it is instead.
    decision: Decision,
    /// Why; goes into the audit log.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    note: String,
}

/// Override a decision
///
/// The machine's verdict stays beside it; decision and note go into the audit log.
#[utoipa::path(
    post, path = "/v1/scans/{id}/override", tag = "judgement",
    params(("id" = String, Path, description = "Of the scan")), request_body = Overruling,
    responses(
        (status = 200, description = "Noted", body = Job),
        (status = 400, description = "A body that cannot be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No scan has this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Not judged yet", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "A body that is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "A body that is not JSON", body = Problem, content_type = "application/problem+json"),
        WriteFaults,
    )
)]
pub(super) async fn overrule(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    JsonBody(overruling): JsonBody<Overruling>,
) -> Result<Response> {
    let core = &app.core;
    overrule_scan(core, &caller, &id, overruling.decision, overruling.note).await?;
    let job = core.store.read(move |c| jobs::get(c, &id)).await?.ok_or_else(Problem::no_scan)?;
    Ok(json(&job))
}

/// Notes a person's decision on scan `id`, where the caller may do that.
pub(in crate::serve) async fn overrule_scan(
    core: &Core,
    caller: &Caller,
    id: &JobId,
    decision: Decision,
    note: String,
) -> Result<()> {
    caller.require(Scope::Admin)?;
    let new = NewOverride {
        job: id.clone(),
        decision,
        note: text("note", note)?,
        actor: caller.name.clone(),
        endpoints: core.in_force().endpoints(Event::ScanOverridden, decision),
    };
    let was_done = core.store.write(move |tx| verdicts::overrule(tx, &new, UnixMs::now())).await?;
    if !was_done {
        let wanted = id.clone();
        core.store.read(move |c| jobs::get(c, &wanted)).await?.ok_or_else(Problem::no_scan)?;
        return Err(Problem::conflict("not_done", "only a scan that is done can be overridden"));
    }
    core.announce();
    Ok(())
}
