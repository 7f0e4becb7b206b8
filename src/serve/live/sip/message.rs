//! SIP requests in, responses out.

use std::{fmt::Write as _, net::SocketAddr};

use bytes::Bytes;
use ezk_sip_types::{
    Headers, Name,
    msg::{Line, PullParser},
};

/// Largest message: an offer and its metadata take a few kilobytes.
pub(in crate::serve::live) const MAX_MESSAGE_BYTES: usize = 64 * 1_024;
/// Header lines of one message.
const MAX_HEADERS: usize = 200;
/// Name in `Server` and `User-Agent`.
const PRODUCT: &str = concat!("clonewatch/", env!("CARGO_PKG_VERSION"));

/// A request.
#[derive(Debug, Clone)]
pub(in crate::serve::live) struct Request {
    /// In capitals, as it came.
    pub(in crate::serve::live) method: String,
    pub(in crate::serve::live) headers: Headers,
    pub(in crate::serve::live) body: Bytes,
    /// Where it came from, for whoever asks.
    pub(in crate::serve::live) source: Option<SocketAddr>,
}

impl Request {
    /// Reads a whole message. `None` for a response, or where what a response needs is missing (RFC 3261, section 8.1.1).
    pub(in crate::serve::live) fn parse(message: &Bytes) -> Option<Self> {
        let mut lines = PullParser::new(message, 0);
        let first = std::str::from_utf8(lines.next()?.ok()?).ok()?;
        let (method, rest) = first.split_once(' ')?;
        if !rest.ends_with(" SIP/2.0") || method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let mut headers = Headers::new();
        for line in lines.by_ref().take(MAX_HEADERS) {
            let line = std::str::from_utf8(line.ok()?).ok()?;
            let (_, Line { name, value }) = Line::parse(message, line).ok()?;
            headers.insert(name, value.as_str().trim());
        }
        if lines.next().is_some() {
            return None;
        }
        let mut body = message.slice(lines.head_end().min(message.len())..);
        let request = Self { method: method.to_owned(), headers, body: Bytes::new(), source: None };
        if let Some(stated) = request.content_length() {
            body.truncate(stated);
        }
        let is_complete =
            [Name::VIA, Name::FROM, Name::TO, Name::CALL_ID].iter().all(|name| request.headers.contains(name));
        (is_complete && request.cseq()?.1 == request.method).then_some(Self { body, ..request })
    }

    /// First value of a header.
    pub(in crate::serve::live) fn header(&self, name: &Name) -> Option<&str> {
        self.headers.get_raw(name).next().map(|value| value.as_str())
    }

    /// All values of a header, those of comma-separated lists one by one.
    pub(in crate::serve::live) fn tokens(&self, name: &Name) -> Vec<String> {
        let values = self.headers.get_raw(name).flat_map(|value| value.as_str().split(','));
        values.map(|token| token.trim().to_ascii_lowercase()).filter(|token| !token.is_empty()).collect()
    }

    pub(in crate::serve::live) fn call_id(&self) -> &str {
        self.header(&Name::CALL_ID).unwrap_or_default()
    }

    /// Number and method.
    pub(in crate::serve::live) fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header(&Name::CSEQ)?.split_once(char::is_whitespace)?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// Of the party that we are.
    pub(in crate::serve::live) fn to_tag(&self) -> Option<&str> {
        tag_of(self.header(&Name::TO)?)
    }

    fn content_length(&self) -> Option<usize> {
        self.header(&Name::CONTENT_LENGTH)?.parse().ok()
    }
}

/// The `tag` parameter behind an address.
fn tag_of(value: &str) -> Option<&str> {
    // In angle brackets, parameters belong to the address.
    let parameters = value.rsplit_once('>').map_or(value, |(_, behind)| behind);
    parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("tag="))
}

/// The first `Via` with the port and address that its sender asked for (RFC 3581, section 4).
fn stamped(via: &str, source: SocketAddr) -> String {
    let (first, rest) = via.find(',').map_or((via, ""), |comma| via.split_at(comma));
    let stamp = |parameter: &str| match parameter.trim() {
        "rport" => format!("rport={};received={}", source.port(), source.ip()),
        other => other.to_owned(),
    };
    format!("{}{rest}", first.split(';').map(stamp).collect::<Vec<_>>().join(";"))
}

/// A response in the making.
#[derive(Debug)]
pub(in crate::serve::live) struct Response {
    text: String,
    body: String,
}

impl Response {
    /// A response to `request`; `tag` is our side's, unless the request has it already.
    pub(in crate::serve::live) fn to(request: &Request, status: u16, reason: &str, tag: &str) -> Self {
        let mut response = Self { text: format!("SIP/2.0 {status} {reason}\r\n"), body: String::new() };
        for (index, via) in request.headers.get_raw(&Name::VIA).enumerate() {
            match request.source.filter(|_| index == 0) {
                Some(source) => response.add("Via", &stamped(via, source)),
                None => response.add("Via", via),
            }
        }
        for (name, text) in [(Name::FROM, "From"), (Name::CALL_ID, "Call-ID"), (Name::CSEQ, "CSeq")] {
            response.add(text, request.header(&name).unwrap_or_default());
        }
        let to = request.header(&Name::TO).unwrap_or_default();
        match request.to_tag() {
            Some(_) => response.add("To", to),
            None => response.add("To", &format!("{to};tag={tag}")),
        }
        response.add("Server", PRODUCT);
        response
    }

    /// Adds a header line.
    pub(in crate::serve::live) fn add(&mut self, name: &str, value: &str) {
        // A value of several lines (folded) must not become a header of its own.
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = write!(self.text, "{name}: {value}\r\n");
    }

    /// The same with a header line.
    pub(in crate::serve::live) fn with(mut self, name: &str, value: &str) -> Self {
        self.add(name, value);
        self
    }

    /// The same with a session description.
    pub(in crate::serve::live) fn with_description(mut self, description: String) -> Self {
        self.add("Content-Type", "application/sdp");
        self.body = description;
        self
    }

    pub(in crate::serve::live) fn to_bytes(&self) -> Vec<u8> {
        format!("{}Content-Length: {}\r\n\r\n{}", self.text, self.body.len(), self.body).into_bytes()
    }
}

/// A request of ours, from head to end.
pub(super) fn request(line: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut response = Response { text: format!("{line}\r\n"), body: String::new() };
    headers.iter().for_each(|(name, value)| response.add(name, value));
    response.add("User-Agent", PRODUCT);
    response.to_bytes()
}

/// Length of the first message in what a connection has brought so far (RFC 3261, section 18.3); `Ok(None)` where it is not
/// all there yet.
///
/// # Errors
/// The connection brings no SIP, or more than may be.
pub(in crate::serve::live) fn split_message(buffer: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut lines = PullParser::new(buffer, 0);
    let mut body_bytes = None;
    for line in lines.by_ref() {
        let Ok(line) = line else {
            return if buffer.len() > MAX_MESSAGE_BYTES { Err("a message is too long") } else { Ok(None) };
        };
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).ok();
            body_bytes = value.and_then(|value| value.parse::<usize>().ok());
        }
    }
    let body_bytes = body_bytes.ok_or("a message has no Content-Length")?;
    let end = lines.head_end().saturating_add(body_bytes);
    if end > MAX_MESSAGE_BYTES {
        return Err("a message is too long");
    }
    Ok((end <= buffer.len()).then_some(end))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::serve::live::sip) const INVITE: &str = "INVITE sip:srs@192.0.2.5 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1,\r\n SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK0\r\n\
        Via: SIP/2.0/UDP 192.0.2.3;branch=z9hG4bK2\r\n\
        f: <sip:src@192.0.2.1;tag=no>;tag=a1\r\nt: <sip:srs@192.0.2.5>\r\ni: call-1\r\nCSeq: 1 INVITE\r\n\
        Require: siprec, timer\r\nContact: <sip:src@192.0.2.1:5060>;+sip.src\r\nl: 4\r\n\r\nbody and more";

    #[test]
    fn requests_with_short_names_and_folded_lines_are_read() {
        let request = Request::parse(&Bytes::from_static(INVITE.as_bytes())).unwrap();
        assert_eq!(
            (request.method.as_str(), request.call_id(), request.cseq()),
            ("INVITE", "call-1", Some((1, "INVITE")))
        );
        assert_eq!((request.to_tag(), &request.body[..]), (None, &b"body"[..]));
        assert_eq!(request.tokens(&Name::REQUIRE), ["siprec", "timer"]);
        let response = Response::to(&request, 200, "OK", "b2").with("X", "a\r\nY: b").to_bytes();
        let response = String::from_utf8(response).unwrap();
        assert!(response.contains("\r\nTo: <sip:srs@192.0.2.5>;tag=b2\r\n"), "{response}");
        assert!(response.contains("\r\nFrom: <sip:src@192.0.2.1;tag=no>;tag=a1\r\n"), "{response}");
        assert!(
            response.contains("branch=z9hG4bK1")
                && response.contains("\r\nVia: SIP/2.0/UDP 192.0.2.3;branch=z9hG4bK2\r\n")
        );
        assert!(!response.contains("\r\nY:") && response.ends_with("Content-Length: 0\r\n\r\n"), "{response}");
    }

    #[test]
    fn who_asks_for_its_port_is_told() {
        let source = "192.0.2.9:1234".parse().unwrap();
        let cases = [
            (
                "SIP/2.0/UDP a:1;rport;branch=z, SIP/2.0/UDP b;rport",
                "SIP/2.0/UDP a:1;rport=1234;received=192.0.2.9;branch=z, SIP/2.0/UDP b;rport",
            ),
            ("SIP/2.0/UDP a:1;branch=z", "SIP/2.0/UDP a:1;branch=z"),
        ];
        for (via, expected) in cases {
            assert_eq!(stamped(via, source), expected);
        }
    }

    #[test]
    fn what_cannot_be_answered_is_no_request() {
        let cases = [
            "SIP/2.0 200 OK\r\n\r\n",
            "INVITE sip:a SIP/2.0\r\nVia: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
            "",
            "INVITE sip:a SIP/2.0\r\nVia: x\r\nFrom: x\r\nTo: x\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n",
        ];
        for text in cases {
            assert!(Request::parse(&Bytes::from_static(text.as_bytes())).is_none(), "{text}");
        }
        for bytes in 0..INVITE.len() {
            let _ = Request::parse(&Bytes::from_static(&INVITE.as_bytes()[..bytes]));
        }
    }

    #[test]
    fn messages_of_a_stream_come_apart() {
        let whole = INVITE.len() - " and more".len();
        assert_eq!(split_message(INVITE.as_bytes()), Ok(Some(whole)));
        assert_eq!(split_message(&INVITE.as_bytes()[..whole - 1]), Ok(None));
        assert_eq!(split_message(b"INVITE sip:a SIP/2.0\r\nVia"), Ok(None));
        assert!(split_message(b"INVITE sip:a SIP/2.0\r\nVia: x\r\n\r\n").is_err());
        assert!(split_message(b"INVITE sip:a SIP/2.0\r\nl: 99999999999\r\n\r\n").is_err());
        assert!(split_message(&[b'a'; MAX_MESSAGE_BYTES + 1]).is_err());
    }
}
