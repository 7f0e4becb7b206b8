//! What the SIP messages of a capture say of its streams: session descriptions, by the address that they name.

use std::{collections::BTreeMap, net::SocketAddr};

use super::frame::Datagram;
use crate::rtp::{Media, Session};

/// Addresses that are remembered.
const MAX_ENDPOINTS: usize = 4_096;

/// Where media goes, as all descriptions together say. A later one replaces an earlier one for the same address.
#[derive(Debug, Default)]
pub(super) struct Signalling {
    endpoints: BTreeMap<SocketAddr, Media>,
}

impl Signalling {
    /// Takes a datagram or segment, if it is a SIP message with a description in it.
    pub(super) fn take(&mut self, datagram: &Datagram<'_>) {
        let Some(text) = sip_description(datagram.payload) else { return };
        let Some(session) = Session::parse(&text) else { return };
        for media in session.media {
            let Some(address) = media.address.filter(|_| media.port != 0) else { continue };
            let endpoint = SocketAddr::new(address, media.port);
            if self.endpoints.len() < MAX_ENDPOINTS || self.endpoints.contains_key(&endpoint) {
                self.endpoints.insert(endpoint, media);
            }
        }
    }

    /// The description of whoever receives, else of whoever sends: payload types are the receiver's (RFC 3264,
    /// section 5.1), and with address translation only one of the two may be seen.
    pub(super) fn media(&self, from: SocketAddr, to: SocketAddr) -> Option<&Media> {
        self.endpoints.get(&to).or_else(|| self.endpoints.get(&from))
    }
}

/// The session description in a SIP message, also as one part of several.
fn sip_description(payload: &[u8]) -> Option<String> {
    let head = payload.get(..payload.len().min(512))?;
    let first_line = head.split(|&byte| byte == b'\r').next()?;
    if !first_line.starts_with(b"SIP/2.0 ") && !first_line.ends_with(b" SIP/2.0") {
        return None;
    }
    let text = String::from_utf8_lossy(payload);
    let start = text.find("\r\nv=0\r\n")? + 2;
    let body = &text[start..];
    Some(body[..body.find("\r\n--").unwrap_or(body.len())].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_found_in_messages_of_one_and_of_several_parts() {
        let part = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n";
        let one = format!("INVITE sip:a@b SIP/2.0\r\nFrom: x\r\n\r\n{part}");
        let two = format!(
            "SIP/2.0 200 OK\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{part}\r\n--b\r\nm=audio 1 RTP/AVP 0\r\n"
        );
        let (from, to): (SocketAddr, SocketAddr) =
            ("192.0.2.1:5060".parse().unwrap(), "192.0.2.7:4000".parse().unwrap());
        for text in [one, two] {
            let mut signalling = Signalling::default();
            signalling.take(&Datagram { from, to, payload: text.as_bytes(), is_cut: false });
            let media = signalling.media(from, to).unwrap();
            assert_eq!(media.payloads.get(96).map(|format| format.name.as_str()), Some("opus"));
            assert_eq!(signalling.endpoints.len(), 1);
        }
        for other in ["", "GET / HTTP/1.1\r\n\r\nv=0\r\n", "INVITE sip:a@b SIP/2.0\r\n\r\n"] {
            assert_eq!(sip_description(other.as_bytes()), None, "{other}");
        }
    }
}
