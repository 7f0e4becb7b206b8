//! `[[live.rtp]]` and `[live.siprec]`: calls that come as RTP, with SIP before it or without.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{Faults, PLAIN_NAME, is_plain_name, repeated};
use crate::{
    rtp::{Format, PayloadMap},
    serve::webhook::guard::Network,
};

/// A UDP port, or a pair of them, where RTP comes without signalling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtpPort {
    /// Who brings its calls, in the audit log.
    pub name: String,
    /// Address and port.
    pub listen: SocketAddr,
    /// How packets belong together.
    #[serde(default)]
    pub calls: RtpCalls,
    /// Who may send; needed beyond this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Dynamic payload types, such as `111 = "opus/48000/2"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub payloads: BTreeMap<String, String>,
    /// Policy of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Most calls at once on this port.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
    /// A call without a packet for so long has ended, in seconds.
    #[serde(default = "idle_secs")]
    pub idle_secs: u64,
}

/// How packets belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RtpCalls {
    /// What comes from one address and port is a call, each SSRC a party.
    #[default]
    Source,
    /// What comes from one address is a call: the caller on this port, the agent on the next even one.
    Pair,
}

/// The SIPREC recording server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Siprec {
    /// For SIP, over UDP and TCP.
    pub listen: SocketAddr,
    /// Where RTP is sent to; left out, the address of `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_address: Option<IpAddr>,
    /// First and last UDP port for RTP.
    #[serde(default = "media_ports")]
    pub media_ports: [u16; 2],
    /// Who may call and send; needed beyond this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Policy of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Most recording sessions at once.
    #[serde(default = "max_calls")]
    pub max_calls: usize,
}

fn max_calls() -> usize {
    100
}

fn idle_secs() -> u64 {
    30
}

fn media_ports() -> [u16; 2] {
    [20_000, 20_999]
}

impl RtpPort {
    /// What payload types stand for.
    pub fn payload_map(&self) -> PayloadMap {
        let mut map = PayloadMap::default();
        for (number, text) in &self.payloads {
            if let (Ok(number), Ok(format)) = (number.parse(), Format::parse(text)) {
                map.set(number, format);
            }
        }
        map
    }

    fn check(&self, key: &dyn Fn(&str) -> String, faults: &mut Faults) {
        if !is_plain_name(&self.name) {
            faults.add(&key("name"), &self.name, PLAIN_NAME);
        }
        check_open(&key("allow"), self.listen.ip(), &self.allow, faults);
        if self.listen.port() > u16::MAX - 2 && self.calls == RtpCalls::Pair {
            faults.add(&key("listen"), self.listen, "a port with room for another two above");
        }
        for (number, text) in &self.payloads {
            let key = key(&format!("payloads.{number}"));
            if !number.parse::<u8>().is_ok_and(|number| number < 128) {
                faults.add(&key, number, "a payload type of 0-127");
            }
            if let Err(wrong) = Format::parse(text) {
                faults.add(&key, text, &wrong);
            }
        }
        faults.range(&key("max_calls"), self.max_calls, 1..=10_000);
        faults.range(&key("idle_secs"), self.idle_secs, 1..=3_600);
    }
}

pub(super) fn check(ports: &[RtpPort], siprec: Option<&Siprec>, faults: &mut Faults) {
    for (index, port) in ports.iter().enumerate() {
        port.check(&|name| format!("live.rtp[{index}].{name}"), faults);
    }
    for (index, name) in repeated(ports.iter().map(|port| port.name.as_str())) {
        faults.add(&format!("live.rtp[{index}].name"), name, "a name that no other port has");
    }
    let Some(siprec) = siprec else { return };
    check_open("live.siprec.allow", siprec.listen.ip(), &siprec.allow, faults);
    if siprec.listen.ip().is_unspecified() && siprec.media_address.is_none() {
        faults.add("live.siprec.media_address", "none", "an address that senders reach, as listen names none");
    }
    let [first, last] = siprec.media_ports;
    if first < 1_024 || last < first {
        faults.add("live.siprec.media_ports", format!("{first}-{last}"), "the first and the last of ports above 1023");
    }
    faults.range("live.siprec.max_calls", siprec.max_calls, 1..=10_000);
}

/// RTP, SIPREC and AudioSocket authenticate nobody, so beyond this machine the senders must be named.
pub(super) fn check_open(key: &str, address: IpAddr, allowed: &[Network], faults: &mut Faults) {
    if !address.is_loopback() && allowed.is_empty() {
        faults.add(key, "none", "the networks that may send, as there is no other protection beyond loopback");
    }
}
