//! `[live]`: calls that are screened while they go on.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{Environment, Faults, Genesys, RtpPort, Siprec, Twilio, telephony, vendors};
use crate::serve::webhook::guard::Network;

/// Limits and rules for all live calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Most calls at once; beyond, calls are refused.
    pub max_calls: usize,
    /// Seconds of speech before a party's first verdict. A policy that asks for more is waited for.
    pub first_verdict_speech_secs: f64,
    /// A verdict `spoof` that has stood for so many seconds of audio raises the alert.
    pub raise_after_secs: f64,
    /// A verdict `bona_fide` that has stood for so many seconds of audio takes the alert back.
    pub retract_after_secs: f64,
    /// A call that has brought no audio for so long is ended, in seconds.
    pub idle_secs: u64,
    /// Longest call, in seconds.
    pub max_call_secs: u64,
    /// Where RTP comes without signalling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rtp: Vec<RtpPort>,
    /// The recording server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub siprec: Option<Siprec>,
    /// Calls from Asterisk's AudioSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audiosocket: Option<AudioSocket>,
    /// Calls from Twilio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twilio: Option<Twilio>,
    /// Calls from Genesys Cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genesys: Option<Genesys>,
}

/// `[live.audiosocket]`: a TCP port for Asterisk's AudioSocket, which has no authentication and no encryption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioSocket {
    /// Address and port.
    pub listen: SocketAddr,
    /// Networks that may connect; none means this machine alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Name of the one party.
    #[serde(default = "caller")]
    pub party: String,
    /// Sample rates by message type, where they are not Asterisk's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates_hz: BTreeMap<String, u32>,
}

fn caller() -> String {
    "caller".into()
}

impl AudioSocket {
    /// The sample rate of audio messages of type `kind`, if that is one.
    pub fn rate_hz(&self, kind: u8) -> Option<u32> {
        let own = self.rates_hz.iter().find(|(key, _)| message_type(key) == Some(kind));
        own.map(|(_, rate)| *rate)
            .or_else(|| ASTERISK_RATES.iter().find(|(known, _)| *known == kind).map(|(_, hz)| *hz))
    }

    fn check(&self, faults: &mut Faults) {
        telephony::check_open("live.audiosocket.allow", self.listen.ip(), &self.allow, faults);
        for (kind, rate) in &self.rates_hz {
            let key = format!("live.audiosocket.rates_hz.{kind}");
            if message_type(kind).is_none() {
                faults.add(&key, kind, "a message type such as 0x10");
            }
            faults.range(&key, *rate, 4_000..=192_000);
        }
    }
}

fn message_type(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Signed linear audio by message type: Asterisk's `res_audiosocket.h`, from version 20.17 on; before, 0x10 alone.
const ASTERISK_RATES: [(u8, u32); 9] = [
    (0x10, 8_000),
    (0x11, 12_000),
    (0x12, 16_000),
    (0x13, 24_000),
    (0x14, 32_000),
    (0x15, 44_100),
    (0x16, 48_000),
    (0x17, 96_000),
    (0x18, 192_000),
];

/// Whether `address` may connect where `allow` is what a transport without authentication allows.
pub fn is_allowed(address: IpAddr, allow: &[Network]) -> bool {
    let address = address.to_canonical();
    if allow.is_empty() { address.is_loopback() } else { allow.iter().any(|network| network.contains(address)) }
}

impl Default for Live {
    fn default() -> Self {
        Self {
            max_calls: 200,
            first_verdict_speech_secs: 3.0,
            raise_after_secs: 1.0,
            retract_after_secs: 10.0,
            idle_secs: 60,
            max_call_secs: 4 * 3_600,
            rtp: Vec::new(),
            siprec: None,
            audiosocket: None,
            twilio: None,
            genesys: None,
        }
    }
}

impl Live {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("live.max_calls", self.max_calls, 0..=100_000);
        faults.range("live.first_verdict_speech_secs", self.first_verdict_speech_secs, 1.0..=60.0);
        faults.range("live.raise_after_secs", self.raise_after_secs, 0.0..=60.0);
        faults.range("live.retract_after_secs", self.retract_after_secs, 0.0..=600.0);
        faults.range("live.idle_secs", self.idle_secs, 1..=3_600);
        faults.range("live.max_call_secs", self.max_call_secs, 10..=86_400);
        telephony::check(&self.rtp, self.siprec.as_ref(), faults);
        if let Some(audiosocket) = &self.audiosocket {
            audiosocket.check(faults);
        }
        if let Some(twilio) = &self.twilio {
            twilio.check(faults);
        }
        if let Some(genesys) = &self.genesys {
            genesys.check(faults);
        }
    }

    pub(super) fn take_secrets(&mut self, environment: &Environment, faults: &mut Faults) {
        if let Some(twilio) = &mut self.twilio {
            let place = ("live.twilio.auth_token", "twilio-auth-token");
            vendors::take_secret(&mut twilio.auth_token, place, environment, faults);
        }
        if let Some(genesys) = &mut self.genesys {
            let place = ("live.genesys.client_secret", "genesys-client-secret");
            vendors::take_secret(&mut genesys.client_secret, place, environment, faults);
        }
    }

    pub(super) fn mask(&mut self) {
        if let Some(twilio) = &mut self.twilio {
            vendors::mask(&mut twilio.auth_token);
        }
        if let Some(genesys) = &mut self.genesys {
            vendors::mask(&mut genesys.client_secret);
        }
    }
}
