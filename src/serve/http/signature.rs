//! Signatures of clouds over the request that opens a WebSocket. Pure: the time is handed in.
//!
//! Twilio: base64 of HMAC-SHA1, by the account's auth token, over the address as Twilio was told it (an upgrade has no form
//! fields to add). AudioHook: HTTP message signatures (draft 11 of what became RFC 9421, `"name": value` lines) with
//! hmac-sha256, over a fixed set of components, valid for seconds, each with a nonce.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// Oldest signature, and how far clocks may be apart, in seconds.
const MAX_AGE_SECS: i64 = 10;
const SKEW_SECS: i64 = 5;
/// How long a nonce is remembered: no signature is good for longer.
const NONCE_SECS: i64 = MAX_AGE_SECS + 2 * SKEW_SECS;
/// Shortest nonce, in characters: 128 bits as base64.
const MIN_NONCE_CHARS: usize = 22;
/// Nonces that are remembered at once; more genuine requests within seconds are refused.
const MAX_NONCES: usize = 65_536;
/// Longest header that is read.
const MAX_HEADER_BYTES: usize = 4_096;
/// What a signature must cover.
const COVERED: [&str; 6] = [
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
];

/// Whether `signature` is Twilio's over `url`. Twilio's own checks try an address with a slash at its end, too.
pub(super) fn is_twilio(signature: &str, url: &str, auth_token: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    let is_over = |url: &str| {
        let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(url.as_bytes());
        mac.verify_slice(&signature).is_ok()
    };
    is_over(url) || is_over(&format!("{url}/"))
}

/// A request that claims to be from AudioHook.
pub(super) struct Signed<'a> {
    /// `Signature-Input`.
    pub(super) input: &'a str,
    /// `Signature`.
    pub(super) signature: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    /// The value of a header, by its name in lower case.
    pub(super) header: &'a dyn Fn(&str) -> Option<String>,
}

/// What `Signature-Input` says.
#[derive(Debug, PartialEq)]
struct Input<'a> {
    label: &'a str,
    components: Vec<&'a str>,
    /// All behind `label=`: the last line of what is signed.
    parameters: &'a str,
    key_id: &'a str,
    nonce: &'a str,
    created: i64,
    expires: Option<i64>,
}

impl Signed<'_> {
    /// Checks it at `now_secs`; the nonce, which must not have been seen before.
    ///
    /// # Errors
    /// What is wrong, for the log.
    pub(super) fn check(&self, api_key: &str, secret: &[u8], now_secs: i64) -> Result<String, String> {
        if self.input.len().max(self.signature.len()) > MAX_HEADER_BYTES {
            return Err("the signature's headers are too long".into());
        }
        let input = Input::parse(self.input).ok_or("signature-input: not as AudioHook writes it")?;
        if let Some(missing) = COVERED.iter().find(|name| !input.components.contains(name)) {
            return Err(format!("signature-input: {missing:?} is not covered"));
        }
        if input.key_id != api_key || (self.header)("x-api-key").as_deref() != Some(api_key) {
            return Err("the API key is not live.genesys.api_key".into());
        }
        if input.nonce.len() < MIN_NONCE_CHARS {
            return Err(format!("nonce: must be {MIN_NONCE_CHARS} characters or more"));
        }
        let age_secs = now_secs.saturating_sub(input.created);
        if !(-SKEW_SECS..=MAX_AGE_SECS + SKEW_SECS).contains(&age_secs) {
            return Err(format!("created: {age_secs} s ago – must be at most {MAX_AGE_SECS} s: see the clocks"));
        }
        if input.expires.is_some_and(|expires| expires.saturating_add(SKEW_SECS) < now_secs) {
            return Err("the signature has expired".into());
        }
        let base = self.base(&input)?;
        let given = signature_of(self.signature, input.label).ok_or("signature: not as AudioHook writes it")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(base.as_bytes());
        mac.verify_slice(&given).map_err(|_| "the signature is not by live.genesys.client_secret")?;
        Ok(input.nonce.to_owned())
    }

    /// What is signed.
    fn base(&self, input: &Input<'_>) -> Result<String, String> {
        let mut base = String::new();
        for name in &input.components {
            let value = match *name {
                "@request-target" => Some(self.target.to_owned()),
                "@authority" => (self.header)("host"),
                name => (self.header)(name),
            };
            let value = value.ok_or_else(|| format!("{name:?} is signed but not there"))?;
            base.push_str(&format!("\"{name}\": {}\n", value.trim()));
        }
        base.push_str(&format!("\"@signature-params\": {}", input.parameters));
        Ok(base)
    }
}

impl<'a> Input<'a> {
    /// Reads `sig1=("@request-target" …);keyid="…";nonce="…";alg="hmac-sha256";created=…;expires=…`: one signature, strings
    /// without escapes, hmac-sha256 alone.
    fn parse(text: &'a str) -> Option<Self> {
        let (label, parameters) = text.trim().split_once('=')?;
        let (components, rest) = parameters.strip_prefix('(')?.split_once(')')?;
        let components: Vec<&str> = components.split(' ').map(unquoted).collect::<Option<_>>()?;
        let is_repeated = (1..components.len()).any(|index| components[..index].contains(&components[index]));
        let mut input = Self { label, components, parameters, key_id: "", nonce: "", created: i64::MIN, expires: None };
        for parameter in rest.strip_prefix(';')?.split(';') {
            match parameter.split_once('=')? {
                ("keyid", value) => input.key_id = unquoted(value)?,
                ("nonce", value) => input.nonce = unquoted(value)?,
                ("alg", "\"hmac-sha256\"") => {}
                ("created", value) => input.created = value.parse().ok()?,
                ("expires", value) => input.expires = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        (!is_repeated).then_some(input)
    }
}

fn unquoted(text: &str) -> Option<&str> {
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains(['"', '\\'])).then_some(text)
}

/// The bytes of `label=:BASE64:`.
fn signature_of(text: &str, label: &str) -> Option<Vec<u8>> {
    let value = text.trim().strip_prefix(label)?.strip_prefix("=:")?.strip_suffix(':')?;
    STANDARD.decode(value).ok()
}

/// Nonces of signatures that were accepted, oldest first.
#[derive(Default)]
pub(super) struct Nonces(Mutex<VecDeque<(i64, String)>>);

impl Nonces {
    /// Remembers `nonce` for as long as a signature with it would be accepted.
    ///
    /// # Errors
    /// It has been spent before.
    pub(super) fn spend(&self, nonce: String, now_secs: i64) -> Result<(), String> {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while spent.front().is_some_and(|(at_secs, _)| now_secs.saturating_sub(*at_secs) > NONCE_SECS) {
            spent.pop_front();
        }
        if spent.iter().any(|(_, known)| *known == nonce) {
            return Err("nonce: this signature was used before".into());
        }
        if spent.len() >= MAX_NONCES {
            return Err("nonce: too many signed requests in a few seconds".into());
        }
        spent.push_back((now_secs, nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_spent_once_and_then_forgotten() {
        let nonces = Nonces::default();
        assert_eq!(nonces.spend("a".into(), 100), Ok(()));
        assert_eq!(nonces.spend("b".into(), 110), Ok(()));
        assert!(nonces.spend("a".into(), 100 + NONCE_SECS).is_err());
        assert_eq!(nonces.spend("a".into(), 101 + NONCE_SECS), Ok(()));
        assert!(nonces.spend("b".into(), 101 + NONCE_SECS).is_err());
        assert_eq!(nonces.spend("c".into(), 1_000), Ok(()));
        assert_eq!(nonces.0.lock().unwrap().len(), 1);
    }

    /// From Twilio's documentation of request validation; what stands behind the address there are the form's fields.
    #[test]
    fn twilios_own_example_is_accepted_and_nothing_else() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675309Digits1234\
                   From+14158675309To+18005551212";
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        assert!(is_twilio(signature, url, "12345"));
        for (signature, url, token) in [
            (signature, url, "12346"),
            (signature, &url[1..], "12345"),
            ("", url, "12345"),
            ("RSOYDt4T1cUTdK1PDd93/VVr8B8", url, "12345"),
            ("RSOYDt4T1cUTdK1PDd93", url, "12345"),
        ] {
            assert!(!is_twilio(signature, url, token), "{signature} {url} {token}");
        }
    }

    const KEY: &str = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";
    const CREATED: i64 = 1_641_013_200;

    /// The example in the documentation of AudioHook, with `change` made to its headers.
    fn check(now_secs: i64, change: impl Fn(&str, &str) -> String) -> Result<String, String> {
        let headers = [
            ("host", "audiohook.example.com"),
            ("audiohook-organization-id", "d7934305-0972-4844-938e-9060eef73d05"),
            ("audiohook-session-id", "30b0e395-84d3-4570-ac13-9a62d8f514c0"),
            ("audiohook-correlation-id", "e160e428-53e2-487c-977d-96989bf5c99d"),
            ("x-api-key", KEY),
            ("signature", "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"),
            (
                "signature-input",
                "sig1=(\"@request-target\" \"@authority\" \"audiohook-organization-id\" \"audiohook-session-id\" \
                 \"audiohook-correlation-id\" \"x-api-key\");keyid=\"SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh\";\
                 nonce=\"VGhpc0lzQVVuaXF1ZU5vbmNl\";alg=\"hmac-sha256\";created=1641013200;expires=3282026430",
            ),
        ];
        let secret = STANDARD.decode("TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=").unwrap();
        let header = |name: &str| {
            let found = headers.iter().find(|(key, _)| *key == name)?;
            Some(change(name, found.1)).filter(|value| !value.is_empty())
        };
        let (input, signature) =
            (header("signature-input").unwrap_or_default(), header("signature").unwrap_or_default());
        let target = change("target", "/api/v1/voicebiometrics/ws");
        let signed = Signed { input: &input, signature: &signature, target: &target, header: &header };
        signed.check(KEY, &secret, now_secs)
    }

    #[test]
    fn audiohooks_own_example_is_accepted_while_it_is_new() {
        let same = |_: &str, value: &str| value.to_owned();
        for age_secs in [-5, 0, 15] {
            assert_eq!(check(CREATED + age_secs, same).as_deref(), Ok("VGhpc0lzQVVuaXF1ZU5vbmNl"), "{age_secs}");
        }
        for age_secs in [-6, 16, 1_000_000, i64::MAX - CREATED] {
            assert!(check(CREATED + age_secs, same).unwrap_err().starts_with("created"), "{age_secs}");
        }
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        for (header, from, to, expected) in [
            ("target", "ws", "wss", "the signature is not by"),
            ("host", "audiohook", "other", "the signature is not by"),
            ("audiohook-organization-id", "d79", "d78", "the signature is not by"),
            ("audiohook-session-id", "30b0e395-84d3-4570-ac13-9a62d8f514c0", "", "\"audiohook-session-id\" is signed"),
            ("x-api-key", "SGV", "sgv", "the API key"),
            ("signature", "NZB", "nZB", "the signature is not by"),
            ("signature", "sig1", "sig2", "signature: not as"),
            ("signature", "=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:", "=::", "the signature is not by"),
            ("signature-input", "nonce=\"VGhpc0lzQVVuaXF1ZU5vbmNl\"", "nonce=\"VGhp\"", "nonce: must"),
            ("signature-input", "nonce=\"VGhpc0lzQVVuaXF1ZU5vbmNl\";", "", "nonce: must"),
            ("signature-input", "expires=3282026430", "expires=1641013190", "the signature has expired"),
            ("signature-input", " \"@authority\"", "", "signature-input: \"@authority\" is not covered"),
            ("signature-input", "\"@authority\"", "\"@authority\" \"x-api-key\"", "signature-input: not as"),
            ("signature-input", "hmac-sha256", "none", "signature-input: not as"),
            ("signature-input", "created=1641013200;", "", "created"),
            ("signature-input", ";keyid", ";tag", "signature-input: not as"),
            ("signature-input", "(", "", "signature-input: not as"),
        ] {
            let change = |name: &str, value: &str| {
                if name == header { value.replace(from, to) } else { value.to_owned() }
            };
            let fault = check(CREATED, change).unwrap_err();
            assert!(fault.starts_with(expected), "{header}: {from} → {to}: {fault}");
        }
        let long = |name: &str, value: &str| if name == "signature" { value.repeat(100) } else { value.to_owned() };
        assert_eq!(check(CREATED, long).unwrap_err(), "the signature's headers are too long");
    }
}
