//! One recording session's dialog, seen from the server (RFC 3261, section 12).

use std::time::{Duration, Instant};

use ezk_sip_types::Name;

use super::{Request, message};

/// RFC 3261, section 17.1.1.1 and appendix A: estimate of the round trip, and the longest interval.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// A final answer that nobody acknowledges is given up after so many T1.
const GIVE_UP: u32 = 64;

/// The answer to an INVITE, sent again until it is acknowledged (RFC 3261, section 13.3.1.4).
#[derive(Debug)]
pub(in crate::serve::live) struct Repeat {
    pub(in crate::serve::live) bytes: Vec<u8>,
    next: Instant,
    interval: Duration,
    give_up: Instant,
}

/// What to do with an answer that has not been acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve::live) enum Due {
    Wait,
    Send,
    GiveUp,
}

impl Repeat {
    pub(in crate::serve::live) fn new(bytes: Vec<u8>, now: Instant) -> Self {
        Self { bytes, next: now + T1, interval: T1, give_up: now + T1 * GIVE_UP }
    }

    pub(in crate::serve::live) fn due(&mut self, now: Instant) -> Due {
        if now >= self.give_up {
            return Due::GiveUp;
        }
        if now < self.next {
            return Due::Wait;
        }
        self.interval = (self.interval * 2).min(T2);
        self.next = now + self.interval;
        Due::Send
    }
}

/// What both sides have agreed upon.
#[derive(Debug)]
pub(in crate::serve::live) struct Dialog {
    pub(in crate::serve::live) call_id: String,
    pub(in crate::serve::live) tag: String,
    /// `From` of what we send: the `To` of what came, with our tag.
    local: String,
    remote: String,
    /// Where the other side wants requests.
    target: String,
    routes: Vec<String>,
    /// Of the last request that came.
    pub(in crate::serve::live) last_cseq: u32,
    /// The last INVITE's number, and its answer.
    pub(in crate::serve::live) invite_cseq: u32,
    pub(in crate::serve::live) invite_answer: Vec<u8>,
    pub(in crate::serve::live) repeat: Option<Repeat>,
    /// Answers with a description so far.
    pub(in crate::serve::live) version: u32,
}

impl Dialog {
    /// The dialog that our answer to `invite` makes.
    pub(in crate::serve::live) fn new(invite: &Request, tag: &str) -> Self {
        let header = |name| invite.header(name).unwrap_or_default().to_owned();
        let cseq = invite.cseq().map_or(0, |(number, _)| number);
        Self {
            call_id: invite.call_id().to_owned(),
            tag: tag.to_owned(),
            local: format!("{};tag={tag}", header(&Name::TO)),
            remote: header(&Name::FROM),
            target: address_of(&header(&Name::CONTACT)),
            routes: invite.headers.get_raw(&Name::RECORD_ROUTE).map(|route| route.as_str().to_owned()).collect(),
            last_cseq: cseq,
            invite_cseq: cseq,
            invite_answer: Vec::new(),
            repeat: None,
            version: 0,
        }
    }

    /// Our BYE, where the other side has said where it wants it.
    pub(in crate::serve::live) fn bye(&self, (via, branch): (&str, &str)) -> Option<Vec<u8>> {
        if self.target.is_empty() {
            return None;
        }
        let via = format!("{via};branch=z9hG4bK{branch};rport");
        let mut headers = vec![
            ("Via", via.as_str()),
            ("Max-Forwards", "70"),
            ("From", &self.local),
            ("To", &self.remote),
            ("Call-ID", &self.call_id),
            ("CSeq", "1 BYE"),
        ];
        headers.extend(self.routes.iter().map(|route| ("Route", route.as_str())));
        Some(message::request(&format!("BYE {} SIP/2.0", self.target), &headers))
    }
}

/// The address in a `Contact`: what stands in angle brackets, or before parameters.
fn address_of(contact: &str) -> String {
    let inside = contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside);
    let address = inside.unwrap_or_else(|| contact.split(';').next().unwrap_or_default()).trim();
    address.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::serve::live::sip::message::tests::INVITE;

    #[test]
    fn our_bye_goes_to_the_contact_with_the_sides_exchanged() {
        let invite = Request::parse(&Bytes::from_static(INVITE.as_bytes())).unwrap();
        let dialog = Dialog::new(&invite, "b2");
        let bye = String::from_utf8(dialog.bye(("SIP/2.0/UDP 192.0.2.5:5060", "9")).unwrap()).unwrap();
        assert!(bye.starts_with("BYE sip:src@192.0.2.1:5060 SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("\r\nFrom: <sip:srs@192.0.2.5>;tag=b2\r\n"), "{bye}");
        assert!(bye.contains("\r\nTo: <sip:src@192.0.2.1;tag=no>;tag=a1\r\n"), "{bye}");
    }

    #[test]
    fn answers_are_repeated_ever_less_often_and_then_given_up() {
        let start = Instant::now();
        let mut repeat = Repeat::new(Vec::new(), start);
        let sent: Vec<u64> = (0..320)
            .map(|tenth| tenth * 100)
            .filter(|ms| repeat.due(start + Duration::from_millis(*ms)) == Due::Send)
            .collect();
        assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(repeat.due(start + Duration::from_secs(32)), Due::GiveUp);
    }
}
