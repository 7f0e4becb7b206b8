//! Who may bring a call over a WebSocket.
//!
//! A token with the scope `submit`, as `Authorization: Bearer …` or as the password of `Basic` (telephony servers send no
//! other), or the Unix socket. Twilio and Genesys sign instead, where their sections are configured. Telnyx sends no
//! header of ours at all, so there the query may hold the token; queries are never logged.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{
        FromRequestParts, Query, WebSocketUpgrade,
        ws::{WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tracing::warn;

use super::{
    App,
    auth::{Caller, Peer},
    problem::{Problem, Result},
    signature::{self, Signed},
};
use crate::{
    config::Scope,
    serve::{core::Core, live::socket::Client},
};

/// A request to bring a call.
pub(super) struct Visit {
    app: App,
    parts: Parts,
    query: Vec<(String, String)>,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
}

/// How a route's sockets behave.
pub(super) struct Manner {
    pub(super) protocols: &'static [&'static str],
    pub(super) max_message_bytes: usize,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let query = Query::try_from_uri(&parts.uri).map_err(|e| Problem::bad(format!("query: {e}")))?;
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await;
        Ok(Self { app: app.clone(), parts: parts.clone(), query: query.0, upgrade })
    }
}

impl Visit {
    /// The query's pairs.
    pub(super) fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The value of header `name`, where it is text; several are joined.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values = self.parts.headers.get_all(name).iter();
        let values: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
        values.filter(|values| !values.is_empty()).map(|values| values.join(", "))
    }

    /// Known by a token or the Unix socket.
    pub(super) async fn by_token(&mut self) -> Result<Client> {
        let password = self.parts.headers.get(header::AUTHORIZATION).and_then(|value| password(value.to_str().ok()?));
        let caller = match password {
            Some(token) => Caller::holding(&self.app, &token)?,
            None => Caller::from_request_parts(&mut self.parts, &self.app).await?,
        };
        caller.require(Scope::Submit)?;
        Ok(self.client(caller.name, caller.policy))
    }

    /// As [`Visit::by_token`], or by `?token=`.
    pub(super) async fn by_query_token(&mut self) -> Result<Client> {
        let token = self.query.iter().find(|(name, _)| name == "token").map(|(_, token)| token);
        match token {
            Some(token) if !self.parts.headers.contains_key(header::AUTHORIZATION) => {
                let caller = Caller::holding(&self.app, token)?;
                caller.require(Scope::Submit)?;
                Ok(self.client(caller.name, caller.policy))
            }
            _ => self.by_token().await,
        }
    }

    /// Known by Twilio's signature, or else a token.
    pub(super) async fn by_twilio(&mut self) -> Result<Client> {
        let in_force = self.app.core.in_force();
        let token = in_force.config.live.twilio.as_ref().and_then(|twilio| Some((twilio, twilio.auth_token.as_ref()?)));
        match (token, self.header("x-twilio-signature")) {
            (Some((twilio, token)), Some(signature)) => {
                if !signature::is_twilio(&signature, &twilio.public_url, token.expose()) {
                    let expected =
                        "the signature is not Twilio's over live.twilio.public_url by live.twilio.auth_token";
                    return Err(self.refused(expected));
                }
                Ok(self.client("twilio".into(), None))
            }
            _ => self.by_token().await,
        }
    }

    /// Known by AudioHook's signature, or else a token.
    pub(super) async fn by_genesys(&mut self) -> Result<Client> {
        let in_force = self.app.core.in_force();
        let known = in_force.config.live.genesys.as_ref().and_then(|genesys| Some((&genesys.api_key, genesys.key()?)));
        let (Some((api_key, key)), Some(input)) = (known, self.header("signature-input")) else {
            return self.by_token().await;
        };
        let target = self.parts.uri.path_and_query().map_or("", |target| target.as_str());
        let signature = self.header("signature").unwrap_or_default();
        let signed = Signed { input: &input, signature: &signature, target, header: &|name| self.header(name) };
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let now_secs = i64::try_from(now_secs).unwrap_or(i64::MAX);
        let nonce = signed.check(api_key, &key, now_secs);
        match nonce.and_then(|nonce| self.app.nonces.spend(nonce, now_secs)) {
            Ok(()) => Ok(self.client("genesys".into(), None)),
            Err(fault) => Err(self.refused(&fault)),
        }
    }

    fn client(&self, actor: String, policy: Option<String>) -> Client {
        Client { peer: self.peer(), actor, policy }
    }

    fn peer(&self) -> String {
        self.parts.extensions.get::<Peer>().map_or_else(|| "unknown".to_owned(), Peer::to_string)
    }

    /// What exactly is wrong with a signature is for the log alone.
    fn refused(&self, fault: &str) -> Problem {
        self.app.core.metrics.count("clonewatch_refused_total", &[("reason", "signature")]);
        warn!(peer = self.peer(), fault, "a signed call is refused");
        Problem::new(StatusCode::UNAUTHORIZED, "signature", "the signature is not accepted; the service's log says why")
    }

    /// Answers, and hands the socket over.
    pub(super) fn open<F>(
        self,
        manner: &Manner,
        hear: impl FnOnce(Arc<Core>, WebSocket) -> F + Send + 'static,
    ) -> Result<Response>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upgrade = self.upgrade.map_err(|rejection| {
            let detail = format!("a WebSocket is wanted: {rejection}");
            Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail)
        })?;
        let upgrade = upgrade.protocols(manner.protocols.iter().copied());
        let upgrade = upgrade.max_message_size(manner.max_message_bytes).max_frame_size(manner.max_message_bytes);
        let core = Arc::clone(&self.app.core);
        Ok(upgrade.on_upgrade(move |socket| hear(core, socket)))
    }
}

/// The password of `Basic …` (RFC 7617).
fn password(value: &str) -> Option<String> {
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(credentials).ok()?;
    credentials.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::password;

    #[test]
    fn passwords_of_basic_are_read_and_nothing_else() {
        for (value, expected) in [
            ("Basic dXNlcjpwYTpzcw==", Some("pa:ss")),
            ("basic  Og== ", Some("")),
            ("Basic dXNlcg==", None),
            ("Basic !", None),
            ("Basic //79", None),
            ("Bearer dXNlcjpwYXNz", None),
            ("Basic", None),
        ] {
            assert_eq!(password(value).as_deref(), expected, "{value}");
        }
    }
}
