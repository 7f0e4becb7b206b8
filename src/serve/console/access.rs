//! Who looks at a page, and what came from its forms.

use std::time::Instant;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};
use subtle::ConstantTimeEq;

use super::{
    guard,
    refusal::{Refusal, Result},
};
use crate::{
    config::Scope,
    serve::http::{
        App, Peer,
        auth::Caller,
        extract::body_problem,
        upload::{FORM_TOKEN, FORM_WORDS},
    },
};

/// Name of the cookie with TLS: one that only this very host can set. No other is looked at then, or a neighbouring host
/// could put its own session into the browser.
const ENCRYPTED_COOKIE: &str = "__Host-clonewatch";
/// … and without.
const PLAIN_COOKIE: &str = "clonewatch";
/// Longest form, in bytes.
const MAX_FORM_BYTES: usize = 64 << 10;

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Visitor {
    /// With scopes as they are in force now.
    pub(super) caller: Caller,
    /// For the forms on the page.
    pub(super) form_token: String,
    /// Id of the session that it is by, if it is by one: it can be ended.
    pub(super) session: Option<String>,
}

impl Visitor {
    /// Fails unless the visitor may do `scope`.
    pub(super) fn require(&self, scope: Scope) -> Result<()> {
        Ok(self.caller.require(scope)?)
    }

    /// Whether the visitor may do `scope`.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.caller.may(scope)
    }

    /// Fails unless `token` is the one that this visitor's pages hold.
    pub(super) fn check_form(&self, token: Option<&str>) -> Result<()> {
        let is_same = |token: &str| bool::from(token.as_bytes().ct_eq(self.form_token.as_bytes()));
        if token.is_some_and(is_same) {
            return Ok(());
        }
        Err(Refusal::new(StatusCode::FORBIDDEN, FORM_WORDS))
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let in_force = app.core.in_force();
        let peer = parts.extensions.get::<Peer>();
        if let Some(id) = session_id(&parts.headers, is_encrypted(peer, app))
            && let Some(session) = app.console.find(id, Instant::now())
        {
            match Caller::of_hash(&in_force, &session.token) {
                Some(caller) => {
                    let (form_token, session) = (session.form_token, Some(id.to_owned()));
                    return Ok(Self { caller, form_token, session });
                }
                None => app.console.end(id),
            }
        }
        if let Some(peer @ Peer::Unix { .. }) = peer {
            let caller = Caller::over_socket(peer, &in_force);
            if caller.may_anything() && guard::is_local(&parts.headers) {
                let form_token = app.console.socket_form_token.clone();
                return Ok(Self { caller, form_token, session: None });
            }
        }
        Err(match parts.method {
            Method::GET => Refusal::SignIn { next: parts.uri.to_string() },
            _ => Refusal::new(StatusCode::UNAUTHORIZED, "You are not signed in any more."),
        })
    }
}

/// What the session's cookie holds.
pub(super) fn session_id(headers: &HeaderMap, is_encrypted: bool) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == cookie_name(is_encrypted)).map(|(_, id)| id)
}

fn cookie_name(is_encrypted: bool) -> &'static str {
    if is_encrypted { ENCRYPTED_COOKIE } else { PLAIN_COOKIE }
}

/// Whether requests of `peer` come over TLS.
pub(super) fn is_encrypted(peer: Option<&Peer>, app: &App) -> bool {
    matches!(peer, Some(Peer::Tcp { .. })) && app.core.in_force().config.server.tls.is_some()
}

/// `Set-Cookie` for a session that lasts `max_age_secs`.
pub(super) fn cookie(id: &str, max_age_secs: u64, is_encrypted: bool) -> String {
    let (name, secure) = (cookie_name(is_encrypted), if is_encrypted { "; Secure" } else { "" });
    format!("{name}={id}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Strict{secure}")
}

/// A form that one of our own pages sent.
pub(super) struct Posted {
    /// Who sent it.
    pub(super) visitor: Visitor,
    /// What is in it.
    pub(super) fields: Fields,
}

/// Fields of a form, in its order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// From `a=b&c=d`.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first field of this name that is not empty.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All fields of this name that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// [`Fields::get`], where it must be there.
    pub(super) fn need<'a>(&'a self, name: &'a str) -> Result<&'a str> {
        self.get(name)
            .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, format!("The field {name} must be filled in.")))
    }
}

/// The body's fields, whoever sent them.
pub(super) async fn fields_of(request: Request) -> Result<Fields> {
    let bytes = axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES).await.map_err(|e| body_problem(&e))?;
    Ok(Fields::parse(&bytes))
}

impl FromRequest<App> for Posted {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let fields = fields_of(Request::from_parts(parts, body)).await?;
        visitor.check_form(fields.get(FORM_TOKEN))?;
        Ok(Self { visitor, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_only_a_cookie_of_this_very_host_counts() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=b; clonewatch=planted; x".parse().unwrap());
        assert_eq!((session_id(&headers, true), session_id(&headers, false)), (None, Some("planted")));
        headers.append(header::COOKIE, "__Host-clonewatch=own".parse().unwrap());
        assert_eq!((session_id(&headers, true), session_id(&headers, false)), (Some("own"), Some("planted")));
        assert_eq!(cookie("x", 5, true), "__Host-clonewatch=x; Path=/; Max-Age=5; HttpOnly; SameSite=Strict; Secure");
    }
}
