//! Signatures after Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, base64, one per secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret. Standard Webhooks 1.0, "Signature scheme": between 24 and 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets shared with one receiver. While they are being changed there are two: messages are signed with each, and
/// the receiver accepts either.
pub struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads one or more secrets, `whsec_` and base64 each, with spaces between them.
    ///
    /// # Errors
    /// What is wrong, without showing any of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Vec<Vec<u8>> = text.split_ascii_whitespace().map(parse_one).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err("empty – must be `whsec_` and base64".into()) } else { Ok(Self(keys)) }
    }

    /// The `webhook-signature` header of a message.
    pub fn sign(&self, id: &str, timestamp_secs: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().map(|key| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(format!("{id}.{timestamp_secs}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn parse_one(text: &str) -> Result<Vec<u8>, String> {
    let encoded = text.strip_prefix(PREFIX).ok_or("must begin with `whsec_`")?;
    let key = STANDARD.decode(encoded).map_err(|_| "must be `whsec_` and base64")?;
    if SECRET_BYTES.contains(&key.len()) {
        Ok(key)
    } else {
        Err(format!("{} bytes – must be {}-{}", key.len(), SECRET_BYTES.start(), SECRET_BYTES.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks reference libraries, and two of our own; the signatures were computed with
    /// `printf '%s' "$id.$timestamp.$body" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64`.
    #[test]
    fn signatures() {
        for (secret, id, timestamp_secs, body, expected) in [
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "evt_1",
                1_764_000_000,
                "",
                "v1,9N/nykDeZr00QLDa9Cv4vJRAdg7Sg0zPKtJHExfNZBA=",
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "evt_2",
                0,
                "{\"name\":\"é\"}",
                "v1,9aGPL2jOHPbUXFiTM5MfNvSOy0jfw99y/0X0+gf1lBg= v1,nYkqapR4F/dCPea5y6xSCmxk6chdzVXghVPUu+ky9bc=",
            ),
        ] {
            assert_eq!(Keys::parse(secret).unwrap().sign(id, timestamp_secs, body.as_bytes()), expected, "{id}");
        }
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_being_shown() {
        for (text, word) in [
            ("", "empty"),
            ("sec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with"),
            ("whsec_***", "base64"),
            ("whsec_c2hvcnQ=", "5 bytes"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_", "0 bytes"),
        ] {
            let message = Keys::parse(text).err().unwrap();
            assert!(message.contains(word) && !message.contains("MfKQ"), "{text}: {message}");
        }
    }
}
