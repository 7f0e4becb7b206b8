//! `/v1/calls`: live calls, and what happens to them as Server-Sent Events or over a WebSocket.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequestParts, Request, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    App,
    auth::Caller,
    extract::{Id, json},
    problem::{Problem, ReadFaults, Result},
};
use crate::{
    config::Scope,
    serve::{
        core::Core,
        live::{CallEvent, CallView, Happening},
    },
    store::{
        JobId,
        calls::{self, KeptCall},
    },
};

/// Pause between two signs of life to a follower.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Live calls.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct LiveCalls {
    /// Oldest first.
    calls: Vec<CallView>,
    /// Most that may go on.
    max_calls: usize,
    /// Seconds between two verdicts on a party: 1, or 2 or 4 where the machine is short of time.
    refresh_secs: f64,
}

/// List live calls
#[utoipa::path(
    get, path = "/v1/calls", tag = "calls",
    responses(
        (status = 200, description = "All that go on", body = LiveCalls),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Response> {
    caller.require(Scope::Read)?;
    let calls = &app.core.calls;
    let max_calls = app.core.in_force().config.live.max_calls;
    Ok(json(&LiveCalls { calls: calls.list(), max_calls, refresh_secs: calls.pace.refresh_secs() }))
}

/// A call, live or kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum AnyCall {
    /// It goes on, or has ended a moment ago.
    Live(Box<CallView>),
    /// It is over.
    Kept(Box<KeptCall>),
}

/// Get a call
///
/// The result of a call that is over is at `/v1/scans/{id}/result`.
#[utoipa::path(
    get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 200, description = "The call", body = AnyCall),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such call", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn get(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response> {
    caller.require(Scope::Read)?;
    if let Some(call) = app.core.calls.get(&id).filter(|call| call.ending.is_none()) {
        return Ok(json(&AnyCall::Live(Box::new(call))));
    }
    let kept = app.core.store.read(move |c| calls::get(c, &id)).await?;
    Ok(json(&AnyCall::Kept(Box::new(kept.ok_or_else(no_call)?))))
}

/// Follow a live call
///
/// Server-Sent Events: first `call.state` with the call as it stands, then every event as it happens, each a JSON object
/// whose `type` is the event's name; it ends with `call.ended`. With `Upgrade: websocket` the same objects come as text
/// messages. `seq` grows by one: a gap shows that the follower was too slow.
#[utoipa::path(
    get, path = "/v1/calls/{id}/events", tag = "calls", params(("id" = String, Path, description = "The call's id")),
    responses(
        (status = 101, description = "A WebSocket that was asked for"),
        (status = 200, description = "Events", body = CallEvent, content_type = "text/event-stream"),
        (status = 401, description = "No token, or an unknown one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call goes on", body = Problem, content_type = "application/problem+json"),
        ReadFaults,
    )
)]
pub(super) async fn events(State(app): State<App>, caller: Caller, Id(id): Id, request: Request) -> Result<Response> {
    caller.require(Scope::Read)?;
    let (mut parts, _) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) {
        let follower = Follower::of(&app, &id).ok_or_else(no_call)?;
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
        let upgrade = upgrade.map_err(|e| Problem::bad(format!("Upgrade: {e}")))?;
        return Ok(upgrade.on_upgrade(move |socket| over_websocket(socket, follower)));
    }
    follow(&app, &id, || true).ok_or_else(no_call)
}

/// The events of call `id` as Server-Sent Events, as long as they may be seen; `None` where no such call goes on.
pub(in crate::serve) fn follow(app: &App, id: &JobId, may_see: impl Fn() -> bool + Send + 'static) -> Option<Response> {
    let events = stream::unfold((Follower::of(app, id)?, may_see), |(mut follower, may_see)| async move {
        let (name, data) = follower.next().await.filter(|_| may_see())?;
        Some((Ok::<_, Infallible>(Event::default().event(name).data(data)), (follower, may_see)))
    });
    Some(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn no_call() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_call", "no call has this id")
}

/// The call as it stands when somebody begins to follow it.
#[derive(Serialize)]
struct Standing<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    call: &'a CallView,
}

/// One who follows a call.
struct Follower {
    core: Arc<Core>,
    receiver: Receiver<Arc<CallEvent>>,
    first: Option<CallView>,
    is_over: bool,
}

impl Follower {
    /// Of a call that goes on.
    fn of(app: &App, id: &JobId) -> Option<Self> {
        let (view, receiver) = app.core.calls.follow(id).filter(|(view, _)| view.ending.is_none())?;
        Some(Self { core: Arc::clone(&app.core), receiver, first: Some(view), is_over: false })
    }

    /// Name and JSON of the next event; `None` after the last.
    async fn next(&mut self) -> Option<(&'static str, String)> {
        if let Some(call) = self.first.take() {
            let standing = Standing { r#type: "call.state", call: &call };
            return Some((standing.r#type, serde_json::to_string(&standing).ok()?));
        }
        if self.is_over {
            return None;
        }
        loop {
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                // The last events of calls that end with the daemon are in the store.
                () = self.core.stopping() => return None,
            };
            match received {
                Ok(event) => {
                    self.is_over = event.kind == Happening::Ended;
                    return Some((event.kind.key(), serde_json::to_string(&*event).ok()?));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

async fn over_websocket(mut socket: WebSocket, mut follower: Follower) {
    loop {
        tokio::select! {
            event = follower.next() => {
                let Some((_, event)) = event else { break };
                if socket.send(Message::Text(event.into())).await.is_err() {
                    return;
                }
            }
            // Nothing is expected; pings are answered by reading on.
            received = socket.recv() => if !matches!(received, Some(Ok(Message::Ping(_) | Message::Pong(_)))) { return },
            () = tokio::time::sleep(KEEP_ALIVE) => {
                if socket.send(Message::Ping(Default::default())).await.is_err() {
                    return;
                }
            }
        }
    }
    let close = CloseFrame { code: close_code::NORMAL, reason: "the call is over".into() };
    // The other side may have gone.
    let _ = socket.send(Message::Close(Some(close))).await;
}
