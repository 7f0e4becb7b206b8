//! The lines of a session description that matter here (RFC 8866): where audio goes, and by which payload types.
//!
//! Reads what devices really write: unknown lines and attributes are passed over, and so is what makes no sense.

use core::net::IpAddr;

use super::{Format, PayloadMap};

/// Media sections that are read; later ones are passed over.
const MAX_MEDIA: usize = 16;
/// Longest description.
const MAX_BYTES: usize = 64 * 1_024;
/// Longest label.
const MAX_LABEL_BYTES: usize = 64;

/// A session description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// In the order of their `m=` lines.
    pub media: Vec<Media>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …
    pub kind: String,
    /// Where its owner wants to receive; 0 refuses the stream.
    pub port: u16,
    /// Its own `c=` line's address, or the session's.
    pub address: Option<IpAddr>,
    /// `RTP/AVP`, `RTP/SAVP`, …
    pub protocol: String,
    /// Payload types of the `m=` line, in order of preference.
    pub payload_types: Vec<u8>,
    /// What the payload types stand for.
    pub payloads: PayloadMap,
    /// `a=label` (RFC 4574).
    pub label: Option<String>,
    /// `a=inactive`, or `a=recvonly`: nothing will be sent.
    pub is_held: bool,
}

impl Session {
    /// Reads a description; `None` where there is no `m=` line in it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.get(..text.len().min(MAX_BYTES))?;
        let mut session = Self::default();
        let mut address = None;
        let mut is_held = false;
        for line in text.lines() {
            let Some((key, value)) = line.trim_end().split_once('=') else { continue };
            let count = session.media.len();
            match (key, session.media.last_mut()) {
                ("m", _) if count < MAX_MEDIA => session.media.extend(Media::parse(value, address, is_held)),
                ("m", _) => break,
                ("c", None) => address = connection(value),
                ("c", Some(media)) => media.address = connection(value).or(media.address),
                ("a", None) => is_held = held(value).unwrap_or(is_held),
                ("a", Some(media)) => media.attribute(value),
                _ => {}
            }
        }
        (!session.media.is_empty()).then_some(session)
    }
}

impl Media {
    /// Whether its RTP is encrypted (RFC 3711, RFC 5764).
    pub fn is_encrypted(&self) -> bool {
        self.protocol.contains("SAVP")
    }

    fn parse(value: &str, address: Option<IpAddr>, is_held: bool) -> Option<Self> {
        let mut parts = value.split_whitespace();
        let kind = parts.next()?.to_ascii_lowercase();
        let port = parts.next()?.split('/').next()?.parse().ok()?;
        let protocol = parts.next()?.to_ascii_uppercase();
        let payload_types = parts.filter_map(|number| number.parse().ok()).filter(|&number| number < 128).collect();
        Some(Self {
            kind,
            port,
            address,
            protocol,
            payload_types,
            payloads: PayloadMap::default(),
            label: None,
            is_held,
        })
    }

    fn attribute(&mut self, value: &str) {
        let (name, rest) = value.split_once(':').unwrap_or((value, ""));
        match name {
            "rtpmap" => {
                let parts = rest.trim().split_once(char::is_whitespace);
                let read = parts.and_then(|(number, text)| Some((number.parse().ok()?, Format::parse(text).ok()?)));
                if let Some((number, format)) = read {
                    self.payloads.set(number, format);
                }
            }
            "label" => self.label = Some(rest.trim().chars().take(MAX_LABEL_BYTES).collect()),
            _ => self.is_held = held(name).unwrap_or(self.is_held),
        }
    }
}

fn connection(value: &str) -> Option<IpAddr> {
    let address = value.split_whitespace().nth(2)?;
    address.split('/').next()?.parse().ok()
}

fn held(attribute: &str) -> Option<bool> {
    match attribute.trim() {
        "inactive" | "recvonly" => Some(true),
        "sendrecv" | "sendonly" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Codec;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 96 0 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=sendonly\r\na=label:1\r\n\
        m=audio 30002/2 RTP/SAVP 8\r\nc=IN IP6 2001:db8::1\r\na=inactive\r\na=label:2\r\n\
        m=video 0 RTP/AVP 99\r\n";

    #[test]
    fn media_sections_are_read() {
        let session = Session::parse(OFFER).unwrap();
        let [first, second, third] = session.media.as_slice() else { panic!("{session:?}") };
        assert_eq!((first.port, first.label.as_deref(), first.is_held), (30_000, Some("1"), false));
        assert_eq!(first.payload_types, [96, 0, 101]);
        assert_eq!(first.payloads.get(96).map(|format| format.codec), Some(Codec::Opus));
        assert_eq!((second.port, second.is_held, second.is_encrypted()), (30_002, true, true));
        assert_eq!(second.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((third.kind.as_str(), third.port), ("video", 0));
    }

    #[test]
    fn nonsense_is_passed_over() {
        assert_eq!(Session::parse(""), None);
        assert_eq!(Session::parse("m=audio\nm=audio x RTP/AVP 0\n"), None);
        let session =
            Session::parse("c=\nc=IN IP4\nm=audio 1 RTP/AVP 300 0\na=rtpmap:\na=rtpmap:x y\na=\n=\n").unwrap();
        assert_eq!(session.media[0].payload_types, [0]);
        let many = "m=audio 1 RTP/AVP 0\n".repeat(100);
        assert_eq!(Session::parse(&many).unwrap().media.len(), MAX_MEDIA);
    }
}
