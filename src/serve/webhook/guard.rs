//! Which addresses an event may be sent to: those of the Internet, and those of networks that the operator has named.
//! So a name that resolves into the machine's own networks (by mistake or by malice) reaches nothing there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A network in CIDR form, such as `10.20.0.0/16`; an address alone stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        let shift = if self.address.is_ipv4() { 32 } else { 128 } - self.prefix_bits;
        let prefix = |address| bits(address).checked_shr(shift).unwrap_or(0);
        same_family && prefix(self.address) == prefix(address)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?}: not a network – must be such as 10.20.0.0/16, fd12::/48 or 127.0.0.1");
        let (address, prefix_bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let most_bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix_bits.map_or(Ok(most_bits), |bits| bits.parse().map_err(|_| fault()))?;
        if prefix_bits <= most_bits { Ok(Self { address, prefix_bits }) } else { Err(fault()) }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

/// Why an event must not go to `address`, unless one of `allowed` holds it.
pub fn refusal(address: IpAddr, allowed: &[Network]) -> Option<&'static str> {
    // An IPv4 address in IPv6 clothes is what it is underneath.
    let address = address.to_canonical();
    if allowed.iter().any(|network| network.contains(address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

/// IANA IPv4 special-purpose address registry, with multicast and the reserved class E.
fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let refused: [(&str, [u8; 4], u32); 15] = [
        ("unspecified", [0, 0, 0, 0], 8),
        ("private", [10, 0, 0, 0], 8),
        ("shared by a provider", [100, 64, 0, 0], 10),
        ("loopback", [127, 0, 0, 0], 8),
        ("link-local", [169, 254, 0, 0], 16),
        ("private", [172, 16, 0, 0], 12),
        ("reserved", [192, 0, 0, 0], 24),
        ("for documentation", [192, 0, 2, 0], 24),
        ("reserved", [192, 88, 99, 0], 24),
        ("private", [192, 168, 0, 0], 16),
        ("for benchmarks", [198, 18, 0, 0], 15),
        ("for documentation", [198, 51, 100, 0], 24),
        ("for documentation", [203, 0, 113, 0], 24),
        ("multicast", [224, 0, 0, 0], 4),
        ("reserved", [240, 0, 0, 0], 4),
    ];
    let holds = |base: [u8; 4], prefix_bits| Network { address: base.into(), prefix_bits }.contains(address.into());
    refused.into_iter().find(|(_, base, bits)| holds(*base, *bits)).map(|(why, ..)| why)
}

/// Only global unicast (2000::/3) is allowed, less what the IANA IPv6 special-purpose address registry takes out of it.
fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    match address.segments() {
        // Protocol assignments, Teredo among them: the real destination is another.
        [0x2001, 0..=0x01ff, ..] => Some("reserved"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("for documentation"),
        [0x2002, ..] => Some("a tunnel"),
        [0x2000..=0x3fff, ..] => None,
        [0xfc00..=0xfdff, ..] => Some("private"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        _ => Some("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machines_own_networks_are_refused() {
        for (address, expected) in [
            ("127.0.0.1", Some("loopback")),
            ("127.255.0.9", Some("loopback")),
            ("0.0.0.0", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("172.15.255.255", None),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.168.1.1", Some("private")),
            ("169.254.169.254", Some("link-local")),
            ("100.100.100.200", Some("shared by a provider")),
            ("100.128.0.1", None),
            ("192.0.0.192", Some("reserved")),
            ("198.19.0.1", Some("for benchmarks")),
            ("203.0.113.7", Some("for documentation")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.250", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("8.8.8.8", None),
            ("::1", Some("loopback")),
            ("::", Some("reserved")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::ffff:8.8.8.8", None),
            ("::127.0.0.1", Some("reserved")),
            ("64:ff9b::7f00:1", Some("reserved")),
            ("64:ff9b:1::1", Some("reserved")),
            ("2002:7f00:1::", Some("a tunnel")),
            ("2001::1", Some("reserved")),
            ("2001:db8::1", Some("for documentation")),
            ("fd00:ec2::254", Some("private")),
            ("fc00::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("reserved")),
            ("ff02::1", Some("multicast")),
            ("2606:4700:4700::1111", None),
        ] {
            assert_eq!(refusal(address.parse().unwrap(), &[]), expected, "{address}");
        }
    }

    #[test]
    fn named_networks_are_allowed_and_no_others() {
        let allowed: Vec<Network> =
            ["10.20.0.0/16", "127.0.0.1", "fd12:3456::/32"].map(|text| text.parse().unwrap()).into();
        for (address, is_allowed) in [
            ("10.20.255.1", true),
            ("10.21.0.1", false),
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12:3456:1::1", true),
            ("fd12:3457::1", false),
        ] {
            assert_eq!(refusal(address.parse().unwrap(), &allowed).is_none(), is_allowed, "{address}");
        }
        let all: [Network; 2] = ["0.0.0.0/0", "::/0"].map(|text| text.parse().unwrap());
        assert!(["10.0.0.1", "fe80::1"].iter().all(|address| refusal(address.parse().unwrap(), &all).is_none()));
    }

    #[test]
    fn networks_are_written_as_they_are_read() {
        assert_eq!("10.20.0.0/16".parse::<Network>().unwrap().to_string(), "10.20.0.0/16");
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "example.org", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().unwrap_err().contains("not a network"), "{text}");
        }
    }
}
