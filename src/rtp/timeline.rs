//! How much time passed without audio between two packets.

use core::time::Duration;

/// How far timestamps may run ahead of the arrival times and still be believed.
const MAX_AHEAD: Duration = Duration::from_secs(2);
/// Waiting below this is the network's, where only the arrival times speak.
const MIN_WAIT: Duration = Duration::from_millis(200);
/// Timestamps that are off by less than 1/200 s (5 ms) between two packets are rounded ones.
const ROUNDING: u32 = 200;

/// Follows the timestamps of one stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    /// Timestamp that the next packet should have; `None` where the timestamps began anew.
    expected: Option<u32>,
    clock_hz: u32,
    arrival: Duration,
    length: Duration,
}

/// What the timeline needs to know of a packet of audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) timestamp: u32,
    pub(super) clock_hz: u32,
    pub(super) arrival: Duration,
    /// Packets lost before it; `None` where the sequence began anew.
    pub(super) lost: Option<u64>,
    pub(super) samples: usize,
    pub(super) sample_rate_hz: u32,
}

impl Timeline {
    /// The timestamps to come have nothing to do with those before.
    pub(super) fn break_here(&mut self) {
        if let Some(last) = &mut self.last {
            last.expected = None;
        }
    }

    /// Samples of silence that belong before this packet.
    pub(super) fn advance(&mut self, now: Moment) -> u64 {
        let ticks = (now.samples as u64 * u64::from(now.clock_hz) / u64::from(now.sample_rate_hz.max(1))) as u32;
        let length = Duration::from_secs_f64(now.samples as f64 / f64::from(now.sample_rate_hz.max(1)));
        let mut expected = now.timestamp.wrapping_add(ticks);
        let gap_samples = match self.last {
            None => 0,
            Some(last) => match last.expected.filter(|_| now.lost.is_some() && last.clock_hz == now.clock_hz) {
                None => waited_samples(last, now),
                Some(due) => {
                    let jump = now.timestamp.wrapping_sub(due).cast_signed();
                    let is_rounding = now.lost == Some(0) && jump.unsigned_abs() < now.clock_hz / ROUNDING;
                    if is_rounding {
                        expected = due.wrapping_add(ticks);
                    }
                    if is_rounding { 0 } else { jump_samples(jump, last, now) }
                }
            },
        };
        self.last = Some(Last { expected: Some(expected), clock_hz: now.clock_hz, arrival: now.arrival, length });
        gap_samples
    }
}

/// By the timestamps, as far as the arrival times bear them out.
fn jump_samples(jump: i32, last: Last, now: Moment) -> u64 {
    let Ok(ticks) = u64::try_from(jump) else { return 0 };
    let jumped = Duration::from_secs_f64(ticks as f64 / f64::from(now.clock_hz.max(1)));
    if jumped > now.arrival.saturating_sub(last.arrival).saturating_add(MAX_AHEAD) {
        return waited_samples(last, now);
    }
    ticks * u64::from(now.sample_rate_hz) / u64::from(now.clock_hz.max(1))
}

/// By the arrival times alone.
fn waited_samples(last: Last, now: Moment) -> u64 {
    let waited = now.arrival.saturating_sub(last.arrival).saturating_sub(last.length);
    if waited < MIN_WAIT { 0 } else { (waited.as_secs_f64() * f64::from(now.sample_rate_hz)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_follow_the_timestamps_unless_they_are_absurd() {
        // Timestamp, arrival in ms, lost packets; the silence expected before the packet. 20 ms each at 8 kHz.
        let cases: [(u32, u64, Option<u64>, u64); 11] = [
            (u32::MAX - 159, 0, Some(0), 0),
            (0, 20, Some(0), 0),
            // Rounded timestamps do not add up.
            (163, 40, Some(0), 0),
            (317, 60, Some(0), 0),
            // Two lost packets; a pause of a minute.
            (800, 100, Some(2), 320),
            (480_960, 60_100, Some(0), 480_000),
            // Backwards; then absurdly far ahead, with 20 ms and with 1 s between the arrivals.
            (1_000, 60_120, Some(0), 0),
            (900_000_000, 60_140, Some(0), 0),
            (1_900_000_000, 61_160, Some(0), 8_000),
            // A new sequence after half a second.
            (7, 61_680, None, 4_000),
            (167, 61_700, Some(0), 0),
        ];
        let mut timeline = Timeline::default();
        for (timestamp, arrival_ms, lost, silence) in cases {
            let arrival = Duration::from_millis(arrival_ms);
            let moment = Moment { timestamp, clock_hz: 8_000, arrival, lost, samples: 160, sample_rate_hz: 8_000 };
            assert_eq!(timeline.advance(moment), silence, "{timestamp} at {arrival_ms} ms");
        }
    }
}
