//! `[live.twilio]` and `[live.genesys]`: clouds that sign their requests.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Environment, Faults, Secret, secret::MASK};

/// `[live.twilio]`: calls from Twilio Media Streams, known by their signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    /// The address that Twilio is told: `wss://…/v1/live/twilio`. The signature is over it.
    pub public_url: String,
    /// The account's auth token. May come from `CLONEWATCH_TWILIO_AUTH_TOKEN` or the credential `twilio-auth-token` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<Secret>,
}

/// `[live.genesys]`: calls from Genesys AudioHook, known by their signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesys {
    /// The API key that the integration is given; it says who signs, and is no secret.
    pub api_key: String,
    /// The client secret, as base64. May come from `CLONEWATCH_GENESYS_CLIENT_SECRET` or the credential
    /// `genesys-client-secret` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
}

/// Shortest client secret, in bytes.
const MIN_SECRET_BYTES: usize = 16;

impl Genesys {
    /// The key that signatures are made with, where it is a usable one.
    pub fn key(&self) -> Option<Vec<u8>> {
        let key = STANDARD.decode(self.client_secret.as_ref()?.expose()).ok()?;
        (key.len() >= MIN_SECRET_BYTES).then_some(key)
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if self.api_key.is_empty() {
            faults.add("live.genesys.api_key", "", "the API key that the integration is given");
        }
        let place = ("live.genesys.client_secret", "genesys-client-secret", "base64 of 16 bytes or more");
        check_secret(place, self.client_secret.as_ref(), |_| self.key().is_some(), faults);
    }
}

impl Twilio {
    pub(super) fn check(&self, faults: &mut Faults) {
        if !self.public_url.starts_with("wss://") {
            faults.add("live.twilio.public_url", &self.public_url, "wss://…, as it stands in the TwiML");
        }
        let place = ("live.twilio.auth_token", "twilio-auth-token", "the account's auth token");
        check_secret(place, self.auth_token.as_ref(), |token| !token.is_empty(), faults);
    }
}

fn check_secret(
    (key, name, expected): (&str, &str, &str),
    secret: Option<&Secret>,
    is_good: impl Fn(&str) -> bool,
    faults: &mut Faults,
) {
    match secret.map(Secret::expose) {
        Some(MASK) => faults.add(key, MASK, "the secret itself: check-config has masked this one"),
        Some(secret) if is_good(secret) => {}
        Some(_) => faults.add(key, "(not shown)", expected),
        None => {
            let variable = name.to_ascii_uppercase().replace('-', "_");
            faults.add(key, "missing", &format!("here, in CLONEWATCH_{variable} or the credential {name}"));
        }
    }
}

/// Lays what `environment` has of the secret `name` over it.
pub(super) fn take_secret(
    secret: &mut Option<Secret>,
    (key, name): (&str, &str),
    environment: &Environment,
    faults: &mut Faults,
) {
    match environment.secret(name) {
        Ok(Some(found)) => *secret = Some(found),
        Ok(None) => {}
        Err(e) => faults.add(key, e, "a readable credential"),
    }
}

pub(super) fn mask(secret: &mut Option<Secret>) {
    *secret = secret.take().map(|_| Secret::new(MASK));
}
