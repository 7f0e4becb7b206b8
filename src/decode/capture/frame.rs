//! From a captured frame to the datagram in it: link layer, IPv4 or IPv6, UDP (or a TCP segment).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Udp(Datagram<'a>),
    /// Payload of one segment, which may hold part of a message.
    Tcp(Datagram<'a>),
    /// A part of an IP packet: not put together.
    Fragment,
    Other,
}

/// Payload and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
    /// The capture does not hold all of it.
    pub(super) is_cut: bool,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
/// IEEE 802.1Q, 802.1ad, and the older number of the latter.
const VLAN: [u16; 3] = [0x8100, 0x88A8, 0x9100];
const MAX_TAGS: usize = 4;
const MAX_EXTENSIONS: usize = 8;

/// Link types are those of the tcpdump.org registry. Layers that are not known give [`Frame::Other`].
pub(super) fn read(link_type: u16, frame: &[u8]) -> Frame<'_> {
    network(link_type, frame).and_then(|(kind, packet)| ip(kind, packet)).unwrap_or(Frame::Other)
}

/// Ethernet type and what follows.
fn network(link_type: u16, frame: &[u8]) -> Option<(u16, &[u8])> {
    match link_type {
        1 => {
            let (mut kind, mut rest) = (u16_at(frame, 12)?, frame.get(14..)?);
            for _ in 0..MAX_TAGS {
                if VLAN.contains(&kind) {
                    (kind, rest) = (u16_at(rest, 2)?, rest.get(4..)?);
                }
            }
            Some((kind, rest))
        }
        // BSD loopback: the address family, whose number for IPv6 differs between systems, in either byte order.
        0 | 108 => by_version(frame.get(4..)?),
        12 | 14 | 101 | 228 | 229 => by_version(frame),
        113 => Some((u16_at(frame, 14)?, frame.get(16..)?)),
        276 => Some((u16_at(frame, 0)?, frame.get(20..)?)),
        _ => None,
    }
}

fn by_version(packet: &[u8]) -> Option<(u16, &[u8])> {
    match packet.first()? >> 4 {
        4 => Some((IPV4, packet)),
        6 => Some((IPV6, packet)),
        _ => None,
    }
}

fn ip(kind: u16, packet: &[u8]) -> Option<Frame<'_>> {
    match kind {
        IPV4 => ipv4(packet),
        IPV6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Frame<'_>> {
    let head = packet.first_chunk::<20>()?;
    let (head_bytes, whole_bytes) = (usize::from(head[0] & 0x0F) * 4, usize::from(u16_at(packet, 2)?));
    if head[0] >> 4 != 4 || head_bytes < 20 {
        return None;
    }
    // More fragments, or an offset.
    if u16_at(packet, 6)? & 0x3FFF != 0 {
        return Some(Frame::Fragment);
    }
    let address = |at: usize| IpAddr::from(Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]));
    // Behind the packet there may be Ethernet's padding; a length of 0 is left to the network card.
    let end = if whole_bytes == 0 { packet.len() } else { whole_bytes.min(packet.len()) };
    transport(head[9], (address(12), address(16)), packet.get(head_bytes..end)?)
}

fn ipv6(packet: &[u8]) -> Option<Frame<'_>> {
    let head = packet.first_chunk::<40>()?;
    let address = |at: usize| {
        let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bytes)))
    };
    let whole_bytes = usize::from(u16_at(packet, 4)?);
    let end = if whole_bytes == 0 { packet.len() } else { (40 + whole_bytes).min(packet.len()) };
    let (mut kind, mut rest) = (head[6], packet.get(40..end)?);
    for _ in 0..MAX_EXTENSIONS {
        match kind {
            // Hop-by-hop options, routing, destination options (RFC 8200, section 4).
            0 | 43 | 60 => {
                let bytes = 8 + usize::from(*rest.get(1)?) * 8;
                (kind, rest) = (*rest.first()?, rest.get(bytes..)?);
            }
            44 => return Some(Frame::Fragment),
            _ => break,
        }
    }
    transport(kind, (address(8)?, address(24)?), rest)
}

fn transport(kind: u8, (from, to): (IpAddr, IpAddr), segment: &[u8]) -> Option<Frame<'_>> {
    let (from, to) = (SocketAddr::new(from, u16_at(segment, 0)?), SocketAddr::new(to, u16_at(segment, 2)?));
    match kind {
        17 => {
            let bytes = usize::from(u16_at(segment, 4)?);
            let payload = segment.get(8..bytes.min(segment.len()))?;
            Some(Frame::Udp(Datagram { from, to, payload, is_cut: bytes > segment.len() }))
        }
        6 => {
            let head_bytes = usize::from(segment.get(12)? >> 4) * 4;
            Some(Frame::Tcp(Datagram { from, to, payload: segment.get(head_bytes..)?, is_cut: false }))
        }
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv4 and UDP around `hi`, port 1 to port 2.
    const PACKET: [u8; 30] =
        [0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i'];

    fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, rest.len() as u8, next, 64];
        packet.extend([0; 15].into_iter().chain([1]).chain([0; 15]).chain([2]));
        packet.extend(rest);
        packet
    }

    #[test]
    fn every_link_layer_leads_to_the_datagram() {
        let ethernet = |kinds: &[u8]| [&[0; 12][..], kinds, &PACKET[..], &[0; 16][..]].concat();
        let cases: [(u16, Vec<u8>); 8] = [
            (1, ethernet(&[8, 0])),
            (1, ethernet(&[0x81, 0, 0, 5, 8, 0])),
            (1, ethernet(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 8, 0])),
            (101, PACKET.to_vec()),
            (0, [&[2, 0, 0, 0][..], &PACKET].concat()),
            (113, [&[0; 14][..], &[8, 0], &PACKET].concat()),
            (276, [&[8, 0][..], &[0; 18], &PACKET].concat()),
            (228, PACKET.to_vec()),
        ];
        for (link_type, frame) in cases {
            let Frame::Udp(datagram) = read(link_type, &frame) else { panic!("link type {link_type}") };
            assert_eq!(datagram.payload, b"hi", "link type {link_type}");
            assert_eq!((datagram.from.to_string(), datagram.to.port()), ("192.0.2.1:1".to_owned(), 2));
            for bytes in 0..frame.len() {
                read(link_type, &frame[..bytes]);
            }
        }
        assert_eq!(read(147, &PACKET), Frame::Other);
    }

    #[test]
    fn ipv6_extensions_are_skipped_and_fragments_named() {
        let udp = [0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i'];
        let with_options = [&[17, 0, 0, 0, 0, 0, 0, 0][..], &udp].concat();
        for packet in [ipv6(17, &udp), ipv6(0, &with_options)] {
            let Frame::Udp(datagram) = read(101, &packet) else { panic!("no datagram") };
            assert_eq!((datagram.payload, datagram.to.to_string().as_str()), (&b"hi"[..], "[::2]:2"));
        }
        assert_eq!(read(101, &ipv6(44, &with_options)), Frame::Fragment);
        let mut part = PACKET;
        part[6] = 0x20;
        assert_eq!(read(101, &part), Frame::Fragment);
    }

    #[test]
    fn a_cut_datagram_is_known_as_such() {
        let Frame::Udp(datagram) = read(101, &PACKET[..29]) else { panic!("no datagram") };
        assert_eq!((datagram.payload, datagram.is_cut), (&b"h"[..], true));
    }
}
