//! The fixed header of an RTP packet, with what may follow it (RFC 3550, section 5.1).

/// One RTP packet, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Mostly the first packet after a pause.
    pub marker: bool,
    /// 0-127, without those that RTCP uses.
    pub payload_type: u8,
    /// Counts packets, modulo 2^16.
    pub sequence: u16,
    /// Counts ticks of the payload's clock, modulo 2^32.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Without header, contributing sources, extension and padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram; `None` where it is no RTP packet, or RTCP on the same port (RFC 5761, section 4).
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = datagram.split_first_chunk::<12>()?;
        let [flags, kind, ..] = *head;
        let payload_type = kind & 0x7F;
        if flags >> 6 != 2 || (64..=95).contains(&payload_type) {
            return None;
        }
        rest = rest.get(usize::from(flags & 0x0F) * 4..)?;
        if flags & 0x10 != 0 {
            let ([_, _, high, low], body) = rest.split_first_chunk::<4>()?;
            rest = body.get(usize::from(u16::from_be_bytes([*high, *low])) * 4..)?;
        }
        if flags & 0x20 != 0 {
            let padding_bytes = usize::from(*rest.last()?);
            let kept_bytes = rest.len().checked_sub(padding_bytes).filter(|_| padding_bytes > 0)?;
            rest = &rest[..kept_bytes];
        }
        let u32_at = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some(Self {
            marker: kind & 0x80 != 0,
            payload_type,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32_at(4),
            ssrc: u32_at(8),
            payload: rest,
        })
    }

    /// The packet's bytes, with the plainest header there is.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, u8::from(self.marker) << 7 | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(self.payload);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Packet<'static> =
        Packet { marker: true, payload_type: 8, sequence: 0x0102, timestamp: 3, ssrc: 4, payload: &[9, 8] };

    #[test]
    fn headers_with_everything_in_them_parse() {
        let plain = PLAIN.to_bytes();
        assert_eq!(Packet::parse(&plain), Some(PLAIN));
        let mut full = plain.clone();
        full[0] = 0x80 | 0x20 | 0x10 | 2;
        // Two contributing sources, an extension of one word, then payload and three bytes of padding.
        full.splice(12..12, [0; 8].into_iter().chain([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]));
        full.extend([0, 0, 3]);
        assert_eq!(Packet::parse(&full), Some(PLAIN));
    }

    #[test]
    fn what_is_cut_or_no_rtp_is_refused() {
        let plain = PLAIN.to_bytes();
        let changed = |at: usize, byte: u8| {
            let mut bytes = plain.clone();
            bytes[at] = byte;
            bytes
        };
        let cases = [
            ("cut header", plain[..11].to_vec()),
            ("version 1", changed(0, 0x40)),
            ("contributing sources beyond the end", changed(0, 0x8F)),
            ("extension beyond the end", changed(0, 0x90)),
            ("padding beyond the end", changed(0, 0xA0)),
            ("RTCP sender report", changed(1, 200)),
            ("RTCP on the same port", changed(1, 72)),
        ];
        for (name, bytes) in cases {
            assert_eq!(Packet::parse(&bytes), None, "{name}");
        }
        let zero_padding = [changed(0, 0xA0), vec![0]].concat();
        assert_eq!(Packet::parse(&zero_padding), None);
    }
}
