//! Telephone events to digits (RFC 4733, sections 2.3 and 3.2).

/// Watches the packets of events and says of each event once which digit it is.
#[derive(Debug, Default)]
pub(super) struct Digits {
    /// Timestamp and code of the last event: every packet of an event repeats them.
    last: Option<(u32, u8)>,
}

impl Digits {
    /// Takes one packet; the digit where it is the first that was seen of an event.
    pub(super) fn take(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let [code, ..] = *payload.first_chunk::<4>()?;
        let digit = match code {
            0..=9 => char::from(b'0' + code),
            10 => '*',
            11 => '#',
            12..=15 => char::from(b'A' + code - 12),
            _ => return None,
        };
        let event = Some((timestamp, code));
        (std::mem::replace(&mut self.last, event) != event).then_some(digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_many_packets_is_one_digit() {
        let mut digits = Digits::default();
        let packets = [(10, 1), (10, 1), (10, 1), (900, 1), (900, 1), (2_000, 11), (3_000, 12), (4_000, 16)];
        let seen: String = packets.iter().filter_map(|&(at, code)| digits.take(at, &[code, 0x0A, 0, 160])).collect();
        assert_eq!(seen, "11#A");
        assert_eq!(digits.take(5_000, &[1, 0, 0]), None);
    }
}
