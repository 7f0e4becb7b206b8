//! `[[tokens]]`: who may do what. Only hashes are configured, so that the file gives no access.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Faults, PLAIN_NAME, is_plain_name, repeated};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Hand in audio, and see what became of it with the id that was answered.
    Submit,
    /// See all jobs, verdicts, metrics.
    Read,
    /// Delete, re-judge, override, read the audit log.
    Admin,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Admin => "admin",
        })
    }
}

/// One holder of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Goes into the audit log.
    pub name: String,
    /// As `clonewatch token new` prints it.
    pub hash: TokenHash,
    /// What the holder may do.
    pub scopes: Vec<Scope>,
    /// Policy for the holder's requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// `sha256:` and 64 hexadecimal digits. Tokens carry 256 random bits, so a fast hash is enough: there is nothing to guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(String);

impl TokenHash {
    /// Of a token.
    pub fn of(token: &str) -> Self {
        Self(crate::model::sha256_hex(token.as_bytes()))
    }

    /// 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").map(str::to_ascii_lowercase);
        digits
            .filter(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .map(Self)
            .ok_or_else(|| "must be `sha256:` and 64 hexadecimal digits, as `clonewatch token new` prints".into())
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        format!("sha256:{}", hash.0)
    }
}

pub(super) fn check(tokens: &[Token], faults: &mut Faults) {
    for (index, token) in tokens.iter().enumerate() {
        if !is_plain_name(&token.name) {
            faults.add(&format!("tokens[{index}].name"), &token.name, PLAIN_NAME);
        }
        if token.scopes.is_empty() {
            faults.add(&format!("tokens[{index}].scopes"), "[]", "at least one of submit, read, admin");
        }
    }
    for (index, name) in repeated(tokens.iter().map(|token| token.name.as_str())) {
        faults.add(&format!("tokens[{index}].name"), name, "a name that no other token has");
    }
    for (index, _) in repeated(tokens.iter().map(|token| token.hash.hex())) {
        faults.add(&format!("tokens[{index}].hash"), "repeated", "a token of its own");
    }
}
