//! The answer to an offer (RFC 3264): audio that can be decoded is received, everything else refused.

use std::{fmt::Write as _, net::IpAddr};

use crate::rtp::{Codec, Media, Session};

/// What is offered, with the port that we give to each stream; `None` refuses it.
pub(in crate::serve::live) struct Offered<'a> {
    pub(in crate::serve::live) session: &'a Session,
    pub(in crate::serve::live) ports: &'a [Option<u16>],
}

/// Whether we can hear a stream: plain RTP, audio, and a codec that can be decoded.
pub(in crate::serve::live) fn is_acceptable(media: &Media) -> bool {
    media.kind == "audio" && media.port != 0 && !media.is_encrypted() && !kept(media, is_voice).is_empty()
}

/// The description that we answer with. `version` counts the answers of a dialog.
pub(in crate::serve::live) fn answer(offered: &Offered<'_>, address: IpAddr, version: u32) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = format!(
        "v=0\r\no=clonewatch {version} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n"
    );
    for (media, port) in offered.session.media.iter().zip(offered.ports) {
        section(&mut text, media, *port);
    }
    text
}

fn section(text: &mut String, media: &Media, port: Option<u16>) {
    let chosen = if port.is_some() { kept(media, is_known) } else { media.payload_types.clone() };
    let numbers: Vec<String> = chosen.iter().map(u8::to_string).collect();
    let _ = write!(text, "m={} {} {} {}\r\n", media.kind, port.unwrap_or(0), media.protocol, numbers.join(" "));
    if port.is_none() {
        return;
    }
    for number in chosen {
        if let Some(format) = media.payloads.get(number) {
            let channels = if format.codec == Codec::Opus { "/2" } else { "" };
            let _ = write!(text, "a=rtpmap:{number} {}/{}{channels}\r\n", format.name, format.clock_hz);
        }
    }
    if let Some(label) = &media.label {
        let _ = write!(text, "a=label:{label}\r\n");
    }
    text.push_str(if media.is_held { "a=inactive\r\n" } else { "a=recvonly\r\n" });
}

fn kept(media: &Media, wanted: fn(Codec) -> bool) -> Vec<u8> {
    let is_wanted = |number: &&u8| media.payloads.get(**number).is_some_and(|format| wanted(format.codec));
    media.payload_types.iter().filter(is_wanted).copied().collect()
}

fn is_voice(codec: Codec) -> bool {
    is_known(codec) && !matches!(codec, Codec::ComfortNoise | Codec::TelephoneEvent)
}

fn is_known(codec: Codec) -> bool {
    !matches!(codec, Codec::Unsupported | Codec::Video)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_is_received_and_the_rest_refused() {
        let offer = "c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 18 0 96 101\r\na=rtpmap:96 opus/48000/2\r\na=label:1\r\n\
            a=sendonly\r\nm=audio 4002 RTP/AVP 8\r\na=inactive\r\nm=video 4004 RTP/AVP 99\r\nm=audio 4006 RTP/SAVP 0\r\n\
            m=audio 4008 RTP/AVP 18 101\r\n";
        let session = Session::parse(offer).unwrap();
        let acceptable: Vec<bool> = session.media.iter().map(is_acceptable).collect();
        assert_eq!(acceptable, [true, true, false, false, false]);
        let ports = [Some(20_000), Some(20_002), None, None, None];
        let text = answer(&Offered { session: &session, ports: &ports }, "192.0.2.5".parse().unwrap(), 1);
        assert_eq!(
            text,
            "v=0\r\no=clonewatch 1 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 0 96 101\r\na=rtpmap:0 pcmu/8000\r\na=rtpmap:96 opus/48000/2\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=label:1\r\na=recvonly\r\n\
             m=audio 20002 RTP/AVP 8\r\na=rtpmap:8 pcma/8000\r\na=inactive\r\n\
             m=video 0 RTP/AVP 99\r\nm=audio 0 RTP/SAVP 0\r\nm=audio 0 RTP/AVP 18 101\r\n"
        );
    }
}
