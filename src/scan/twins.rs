//! Tells which channels carry the same recording, so that each voice is judged once.

use crate::decode::PlanarBlock;

/// Channels whose difference has less than this share of their energy (17 dB down) over a second are the same
/// recording: AAC with noise substitution leaves that much between the two channels of one voice, while two parties of
/// a call differ altogether in the first second in which one of them speaks alone.
const SAME_ENERGY_SHARE: f64 = 0.02;
/// Difference that never counts: one step of 16-bit audio per sample.
const SAME_SAMPLE: f64 = 1.0 / 32_768.0;

/// Watches channels that are taken for copies of each other.
pub(super) struct Twins {
    /// `leaders[c]` is the channel whose verdict stands for channel `c`.
    leaders: Vec<usize>,
    pairs: Vec<Pair>,
    samples: u64,
    window_samples: u64,
}

/// Two channels with the same leader, over the current second.
struct Pair {
    channels: [usize; 2],
    energy: f64,
    difference: f64,
}

impl Twins {
    pub(super) fn new(leaders: Vec<usize>, sample_rate_hz: u32) -> Self {
        let count = leaders.len();
        let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b]));
        let pairs = all
            .filter(|[a, b]| leaders[*a] == leaders[*b])
            .map(|channels| Pair { channels, energy: 0.0, difference: 0.0 })
            .collect();
        Self { leaders, pairs, samples: 0, window_samples: u64::from(sample_rate_hz) }
    }

    /// Takes the next block; new leaders, where a channel has come to differ from its own.
    pub(super) fn push(&mut self, block: &PlanarBlock) -> Option<Vec<usize>> {
        for pair in &mut self.pairs {
            let [a, b] = pair.channels.map(|channel| block.channel(channel));
            for (x, y) in a.iter().zip(b).filter(|(x, y)| x.is_finite() || y.is_finite()) {
                let (x, y) = (f64::from(*x), f64::from(*y));
                pair.energy += x * x + y * y;
                pair.difference += (x - y) * (x - y);
            }
        }
        self.samples += block.samples() as u64;
        if self.samples >= self.window_samples { self.check() } else { None }
    }

    /// Ends the current second, full or not. Only ever splits groups.
    pub(super) fn check(&mut self) -> Option<Vec<usize>> {
        let trifle = SAME_SAMPLE * SAME_SAMPLE * self.samples as f64;
        let alike = |pair: &Pair| pair.difference <= pair.energy * SAME_ENERGY_SHARE + trifle;
        let mut found: Vec<usize> = Vec::with_capacity(self.leaders.len());
        for channel in 0..self.leaders.len() {
            // Likeness is not transitive: whoever stands for others must stand for itself.
            let stands_for = |other: &usize| {
                found[*other] == *other
                    && self.pairs.iter().any(|pair| pair.channels == [*other, channel] && alike(pair))
            };
            found.push((0..channel).find(stands_for).unwrap_or(channel));
        }
        self.samples = 0;
        for pair in &mut self.pairs {
            (pair.energy, pair.difference) = (0.0, 0.0);
        }
        (found != self.leaders).then_some(found)
    }
}
