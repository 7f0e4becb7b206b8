//! What the service says of itself: health, version, model, policies, audit log, metrics.

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};

use super::{
    App,
    auth::Caller,
    extract::{Params, json, with_type},
    problem::{Problem, ReadFaults, Result},
};
use crate::{
    config::Scope,
    model::{Denoised, Insert},
    policy::Action,
    serve::{core::Phase, metrics::label_text},
    store::{
        JobId,
        audit::{self as log, Head},
        outbox,
    },
};

/// A policy in force.
#[derive(Serialize, utoipa::ToSchema)]
struct PolicyView {
    id: String,
    /// Of thresholds and actions.
    sha256: String,
    /// Whether requests that name none get this one.
    is_default: bool,
    spoof_below: f32,
    bona_fide_above: f32,
    min_speech_secs: f64,
    denoised: Denoised,
    insert: Insert,
    ignore_silent_channels: bool,
    actions: ActionsView,
}

/// What to do, by decision.
#[derive(Serialize, utoipa::ToSchema)]
struct ActionsView {
    bona_fide: Action,
    inconclusive: Action,
    spoof: Action,
}

/// Policies in force.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Policies {
    policies: Vec<PolicyView>,
}

/// List policies
#[utoipa::path(
    get, path = "/v1/policies", tag = "service",
    responses(
        (status = 200, description = "Those in force", body = Policies),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn policies(State(app): State<App>, caller: Caller) -> Result<Response> {
    let in_force = app.core.in_force();
    let default = caller.policy.as_ref().unwrap_or(&in_force.config.default_policy);
    let view = |(name, named): (&String, &std::sync::Arc<crate::serve::in_force::NamedPolicy>)| {
        let policy = &named.policy;
        PolicyView {
            id: policy.id.clone(),
            sha256: named.sha256.clone(),
            is_default: name == default,
            spoof_below: policy.thresholds.spoof_below,
            bona_fide_above: policy.thresholds.bona_fide_above,
            min_speech_secs: policy.thresholds.min_speech_secs,
            denoised: policy.thresholds.denoised,
            insert: policy.thresholds.insert,
            ignore_silent_channels: policy.ignore_silent_channels,
            actions: ActionsView {
                bona_fide: policy.actions.bona_fide,
                inconclusive: policy.actions.inconclusive,
                spoof: policy.actions.spoof,
            },
        }
    };
    Ok(json(&Policies { policies: in_force.policies().map(view).collect() }))
}

/// The model in force.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ModelView {
    id: String,
    date: String,
    sha256: String,
    features_sha256: String,
}

/// See the model
#[utoipa::path(
    get, path = "/v1/model", tag = "service",
    responses(
        (status = 200, description = "The one in force", body = ModelView),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn model(State(app): State<App>, _: Caller) -> Response {
    let in_force = app.core.in_force();
    let (model, manifest) = (&in_force.engine.model, in_force.engine.model.manifest());
    json(&ModelView {
        id: manifest.id.clone(),
        date: manifest.date.clone(),
        sha256: model.sha256().to_owned(),
        features_sha256: manifest.features_sha256.clone(),
    })
}

/// Which rows of the audit log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Rows {
    /// Rows after this one.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// About this scan.
    #[param(pattern = "^[0-9a-f]{32}$")]
    scan: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A row of the audit log.
#[derive(Serialize, utoipa::ToSchema)]
struct RowView {
    seq: i64,
    /// What was done.
    #[schema(value_type = Object)]
    entry: serde_json::Value,
    /// `entry` as it is hashed: `hash` is SHA-256 of `previous`, a line break and this.
    content: String,
    previous: String,
    /// SHA-256 of `previous`, a line break and `content`.
    hash: String,
}

/// A part of the audit log.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AuditLog {
    rows: Vec<RowView>,
    /// The last row there is: note it elsewhere, and `clonewatch audit verify --head` will ask for it.
    head: Head,
}

/// Read the audit log
#[utoipa::path(
    get, path = "/v1/audit", tag = "service", params(Rows),
    responses(
        (status = 200, description = "Rows, oldest first", body = AuditLog),
        (status = 400, description = "A parameter that cannot be meant so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn audit(State(app): State<App>, caller: Caller, Params(rows): Params<Rows>) -> Result<Response> {
    caller.require(Scope::Read)?;
    let limit = rows.limit.unwrap_or(100);
    let after = rows.after.unwrap_or(0);
    if !(1..=1_000).contains(&limit) || after < 0 {
        return Err(Problem::bad("limit: must be 1-1000, and after: not below 0"));
    }
    let scan = rows.scan.map(|scan| JobId::parse(&scan).ok_or_else(|| Problem::bad("scan: must be a scan's id")));
    let scan = scan.transpose()?;
    let read = app.core.store.read(move |c| Ok((log::after(c, after, scan.as_ref(), limit)?, log::head(c)?)));
    let (records, head) = read.await?;
    let row = |record: log::Record| RowView {
        seq: record.seq,
        entry: serde_json::from_str(&record.content).unwrap_or_default(),
        content: record.content,
        previous: record.previous,
        hash: record.hash,
    };
    Ok(json(&AuditLog { rows: records.into_iter().map(row).collect(), head }))
}

/// How it is.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", tag = "service", security(()),
    responses(
        (status = 200, description = "It is", body = Health),
        (status = 503, description = "Its store or its workers are stuck", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn healthz(State(app): State<App>) -> Result<Response> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let alive = tokio::time::timeout(PATIENCE, app.core.store.read(|c| log::head(c).map(drop))).await;
    let is_stuck = app.core.pulse.longest_stall() > Duration::from_secs(60);
    match alive {
        Ok(Ok(())) if !is_stuck => Ok(json(&Health { status: "ok" })),
        _ => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", "the store or a worker does not answer")),
    }
}

/// May work be handed in?
#[utoipa::path(
    get, path = "/readyz", tag = "service", security(()),
    responses(
        (status = 200, description = "It may", body = Health),
        (status = 503, description = "Full, or stopping: see Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<Response> {
    let core = &app.core;
    if *core.phase().borrow() == Phase::Stopping {
        return Err(Problem::stopping());
    }
    let (load, most) = (core.load(), core.in_force().most());
    if load.jobs >= most.jobs || load.bytes >= most.bytes {
        return Err(Problem::full(core.retry_after_secs()));
    }
    Ok(json(&Health { status: "ready" }))
}

/// What runs.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
}

/// Which version runs?
#[utoipa::path(
    get, path = "/version", tag = "service", security(()),
    responses((status = 200, description = "This one", body = Version))
)]
pub(super) async fn version() -> Response {
    json(&Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}

/// Numbers for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses(
        (status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response> {
    caller.require(Scope::Read)?;
    let core = &app.core;
    let (pending, dead) = core.store.read(outbox::counts).await?;
    let in_force = core.in_force();
    let build = [("version", env!("CARGO_PKG_VERSION")), ("model", in_force.engine.model.manifest().id.as_str())];
    let load = core.load();
    let gauges = [
        ("clonewatch_build_info", label_text(&build), 1.0),
        ("clonewatch_inside_bytes", String::new(), load.bytes as f64),
        ("clonewatch_inside_jobs", String::new(), load.jobs as f64),
        ("clonewatch_live_calls", String::new(), core.calls.count() as f64),
        ("clonewatch_live_refresh_seconds", String::new(), core.calls.pace.refresh_secs()),
        ("clonewatch_live_waiting_parties", String::new(), core.queue.live_depth() as f64),
        ("clonewatch_queue_depth", String::new(), core.queue.depth() as f64),
        ("clonewatch_outbox_events", label_text(&[("state", "pending")]), pending as f64),
        ("clonewatch_outbox_events", label_text(&[("state", "dead")]), dead as f64),
    ];
    Ok(with_type("text/plain; version=0.0.4; charset=utf-8", core.metrics.render(&gauges)))
}

/// The API's description
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", security(()),
    responses((status = 200, description = "This document, OpenAPI 3.1", body = Object))
)]
pub(super) async fn openapi(State(app): State<App>) -> Response {
    with_type("application/json", app.openapi.to_string())
}
