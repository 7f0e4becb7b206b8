//! `/v1/live/…`: calls that come over a WebSocket.

use std::sync::Arc;

use axum::{
    extract::{Query, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::Response,
};

use super::{
    App,
    auth::{Caller, Peer},
    problem::{Problem, Result},
};
use crate::{
    config::Scope,
    serve::live::pcm::{self, Client, MAX_MESSAGE_BYTES, Opening, SUBPROTOCOLS},
};

/// A request that is no upgrade.
fn no_websocket(rejection: &WebSocketUpgradeRejection) -> Problem {
    Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", format!("a WebSocket is wanted: {rejection}"))
}

/// Screen a call: PCM over a WebSocket
///
/// After the upgrade the client sends one text message of JSON (`rate`, `channels`, `format`, `parties`, `external_id`,
/// `metadata`, `policy`, `verdicts`), or says the same in the query, and then audio in binary messages of any size.
#[utoipa::path(
    get, path = "/v1/live/pcm", tag = "live",
    params(
        ("rate" = Option<u32>, Query, description = "Samples per second of each channel"),
        ("channels" = Option<u16>, Query, description = "1 or 2, interleaved"),
        ("format" = Option<String>, Query, description = "s16le (default), s16be, mulaw, alaw or f32le"),
        ("parties" = Option<String>, Query, description = "Names of the channels' parties, with commas"),
        ("external_id" = Option<String>, Query, description = "The client's name for the call"),
        ("policy" = Option<String>, Query, description = "Name of the policy"),
        ("verdicts" = Option<bool>, Query, description = "Whether the call's events come back as text"),
    ),
    responses(
        (status = 101, description = "Go on"),
        (status = 426, description = "No WebSocket", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `submit`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Stopping: see Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pcm(
    State(app): State<App>,
    caller: Caller,
    peer: Option<axum::Extension<Peer>>,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    caller.require(Scope::Submit)?;
    let upgrade = upgrade.map_err(|e| no_websocket(&e))?;
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.0.to_string());
    let client = Client { peer, actor: caller.name, policy: caller.policy };
    let (core, opening) = (Arc::clone(&app.core), Opening::of_query(&query));
    let upgrade = upgrade.protocols(SUBPROTOCOLS).max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| pcm::hear(core, socket, opening, client)))
}
