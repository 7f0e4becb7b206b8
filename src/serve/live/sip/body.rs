//! The parts of a request's body: a session description, and a recording's metadata (RFC 7866, section 9.1).

use ezk_sip_types::Name;

use super::Request;

/// Parts of one body.
const MAX_PARTS: usize = 8;

/// What a body holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::serve::live) struct Body {
    pub(in crate::serve::live) description: Option<String>,
    pub(in crate::serve::live) metadata: Option<String>,
    /// There is something else in it, and nothing that is known.
    pub(in crate::serve::live) is_foreign: bool,
}

impl Body {
    /// Takes the body of `request` apart.
    pub(in crate::serve::live) fn of(request: &Request) -> Self {
        let kind = request.header(&Name::CONTENT_TYPE).unwrap_or_default();
        let text = String::from_utf8_lossy(&request.body);
        let mut body = Self::default();
        match boundary(kind) {
            Some(boundary) => {
                for part in text.split(&format!("--{boundary}")).skip(1).take(MAX_PARTS) {
                    let part = part.trim_start_matches(['\r', '\n']);
                    let found = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"));
                    if let Some((head, text)) = found {
                        body.put(&part_kind(head), text.trim_end());
                    }
                }
            }
            None => body.put(kind, &text),
        }
        body.is_foreign = !request.body.is_empty() && body.description.is_none() && body.metadata.is_none();
        body
    }

    fn put(&mut self, kind: &str, text: &str) {
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/sdp" => self.description = Some(format!("{text}\r\n")),
            // The second is what drafts had, and devices still send.
            "application/rs-metadata+xml" | "application/rs-metadata" => self.metadata = Some(text.to_owned()),
            _ => {}
        }
    }
}

fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    value.filter(|value| !value.is_empty())
}

fn part_kind(head: &str) -> String {
    let line = head.lines().filter_map(|line| line.split_once(':'));
    let mut kinds = line.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-type"));
    kinds.next().map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn body(kind: &str, text: &str) -> Body {
        let message = format!(
            "INVITE sip:a SIP/2.0\r\nVia: x\r\nFrom: x\r\nTo: x\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        Body::of(&Request::parse(&Bytes::from(message)).unwrap())
    }

    #[test]
    fn parts_are_found() {
        let parts = "pre\r\n--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n--b1\r\n\
            content-type: application/rs-metadata+xml; charset=utf-8\r\nContent-Disposition: recording-session\r\n\r\n<a/>\r\n--b1--\r\n";
        let found = body("Multipart/Mixed; boundary=\"b1\"", parts);
        assert_eq!(found.description.as_deref(), Some("v=0\r\nm=audio 1 RTP/AVP 0\r\n"));
        assert_eq!(found.metadata.as_deref(), Some("<a/>"));
        let plain = body("application/sdp", "v=0\r\n");
        assert_eq!((plain.description.is_some(), plain.is_foreign), (true, false));
        assert!(body("text/plain", "hello").is_foreign);
        assert!(body("multipart/mixed;boundary=", "--").is_foreign);
        assert!(!body("text/plain", "").is_foreign);
    }
}
