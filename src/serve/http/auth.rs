//! Who asks, and what they may do: a bearer token, or the Unix socket's permissions.

use std::{fmt, net::SocketAddr};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use subtle::ConstantTimeEq;

use super::{
    App,
    problem::{Problem, Result},
};
use crate::{
    config::{Scope, Token, TokenHash},
    serve::in_force::InForce,
};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Over the Unix socket, as this user.
    Unix {
        /// User id, where the system tells.
        uid: Option<u32>,
    },
    /// Over TCP.
    Tcp {
        /// Where from.
        address: SocketAddr,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid: Some(uid) } => write!(f, "unix:uid={uid}"),
            Self::Unix { uid: None } => write!(f, "unix"),
            Self::Tcp { address } => write!(f, "{address}"),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Caller {
    /// For the audit log: a token's name, or `unix:uid=N`.
    pub(in crate::serve) name: String,
    scopes: Vec<Scope>,
    /// Policy of requests that name none.
    pub(in crate::serve) policy: Option<String>,
}

impl Caller {
    /// Fails unless the caller may do `scope`; `admin` may do all.
    pub(in crate::serve) fn require(&self, scope: Scope) -> Result<()> {
        if self.may(scope) {
            return Ok(());
        }
        let detail = format!("this needs the scope `{scope}`");
        Err(Problem::new(StatusCode::FORBIDDEN, "scope", detail))
    }

    /// A token's holder.
    fn of_token(token: &Token) -> Self {
        Self { name: token.name.clone(), scopes: token.scopes.clone(), policy: token.policy.clone() }
    }

    /// Whoever may use the Unix socket, without a token.
    pub(in crate::serve) fn over_socket(peer: &Peer, in_force: &InForce) -> Self {
        Self { name: peer.to_string(), scopes: in_force.config.server.unix_scopes.clone(), policy: None }
    }

    /// Who holds the token of this hash, as long as it is in force.
    pub(in crate::serve) fn of_hash(in_force: &InForce, hash: &TokenHash) -> Option<Self> {
        in_force.config.tokens.iter().find(|token| token.hash == *hash).map(Self::of_token)
    }

    /// Whether the caller may do anything at all.
    pub(in crate::serve) fn may_anything(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// Who holds `token`, which did not come as a bearer's.
    pub(in crate::serve) fn holding(app: &App, token: &str) -> Result<Self> {
        holder(&app.core.in_force(), token).ok_or_else(|| refused("the token is not known here"))
    }

    /// Whether the caller may do `scope`.
    pub(in crate::serve) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let in_force = app.core.in_force();
        match (parts.headers.get(header::AUTHORIZATION), parts.extensions.get::<Peer>()) {
            (Some(value), _) => {
                let token = value.to_str().ok().and_then(bearer);
                token.and_then(|token| holder(&in_force, token)).ok_or_else(|| refused("the token is not known here"))
            }
            (None, Some(peer @ Peer::Unix { .. })) => Ok(Self::over_socket(peer, &in_force)),
            (None, _) => Err(refused("a token is needed: `Authorization: Bearer …`")),
        }
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "token", detail)
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn holder(in_force: &InForce, token: &str) -> Option<Caller> {
    let hash = TokenHash::of(token);
    let is_same = |known: &TokenHash| bool::from(known.hex().as_bytes().ct_eq(hash.hex().as_bytes()));
    in_force.config.tokens.iter().find(|known| is_same(&known.hash)).map(Caller::of_token)
}
