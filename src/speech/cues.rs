//! What one frame sounds like: level, spectral peaks that stand still, pitch. Shares and ratios, so gain drops out.

use super::{BINS, pitch, tracks};

/// First bin of the telephone band, 320 Hz: the gate must see the same of a call as of a studio recording (ITU-T G.712).
pub(super) const BAND_FIRST: usize = 8;
/// Last bin of the telephone band, 3400 Hz.
pub(super) const BAND_LAST: usize = 85;
/// Bands that change over time is measured in.
pub(super) const BANDS: usize = 12;
/// Lower edges of the bands in bins, about one critical band apart (Zwicker 1961), and the end of the last.
const BAND_EDGES: [usize; BANDS + 1] = [8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 58, 70, 86];
/// Sum of |X|² over both halves of the spectrum for a mean square of 1: 400 points times the window's energy of 150.
const FULL_SCALE_POWER: f32 = 400.0 * 150.0;
/// Half the main lobe of a Hann window in bins: a pure tone keeps its power within this distance of its peak.
const LOBE_BINS: usize = 2;

/// Measures of one frame.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cues {
    /// Mean square of the whole spectrum.
    pub(crate) power: f32,
    /// Level in the telephone band, dB relative to full scale.
    pub(crate) band_db: f32,
    /// Levels of the bands, dB.
    pub(crate) bands_db: [f32; BANDS],
    /// Share of the telephone band's power in peaks that stand still, 0-1.
    pub(crate) stable: f32,
    /// Share of the telephone band's power in its two strongest spectral lines, 0-1.
    pub(crate) two_lines: f32,
    /// Strength of the pitch period, 0-1.
    pub(crate) pitch: f32,
    /// Pitch period in samples at 16 kHz; 0 without one.
    pub(crate) period_samples: f32,
}

/// Largest sum of powers that is believed: far above anything audio holds, far below overflow.
const MOST_POWER: f32 = 1e30;

/// Level of a power relative to full scale; -200 dB stands for nothing.
pub(super) fn to_db(power: f32) -> f32 {
    10.0 * power.max(1e-20).log10()
}

/// Mean square of the samples whose one-sided power spectrum sums to `sum` (DC and Nyquist count double, which is nothing).
pub(super) fn mean_square(sum: f32) -> f32 {
    2.0 * sum.clamp(0.0, MOST_POWER) / FULL_SCALE_POWER
}

/// Measures every frame of a chunk: `power` is [frames × 201], row-major.
pub(super) fn measure(power: &[f32]) -> Vec<Cues> {
    let stable = tracks::stable_power(power);
    let mut cues: Vec<Cues> =
        power.chunks_exact(BINS).zip(stable).map(|(row, stable)| measure_frame(row, stable)).collect();
    // The pitch moves slowly against 20 ms, so every other frame borrows its neighbour's.
    for (t, row) in power.chunks_exact(BINS).enumerate().step_by(2) {
        let found = pitch::find(row);
        for cue in cues.iter_mut().skip(t).take(2) {
            cue.pitch = found.strength;
            cue.period_samples = found.period_samples;
        }
    }
    cues
}

fn measure_frame(row: &[f32], stable_power: f32) -> Cues {
    let mut bands_db = [0.0; BANDS];
    let mut band_power = 0.0;
    for (level, edges) in bands_db.iter_mut().zip(BAND_EDGES.windows(2)) {
        let sum: f32 = row[edges[0]..edges[1]].iter().sum();
        band_power += sum;
        *level = to_db(mean_square(sum));
    }
    let share = |part: f32| (part.min(MOST_POWER) / band_power.clamp(f32::MIN_POSITIVE, MOST_POWER)).clamp(0.0, 1.0);
    Cues {
        power: mean_square(row.iter().sum()),
        band_db: to_db(mean_square(band_power)),
        bands_db,
        stable: share(stable_power),
        two_lines: share(two_lines_power(&row[BAND_FIRST..=BAND_LAST])),
        pitch: 0.0,
        period_samples: 0.0,
    }
}

/// Power of the two strongest lines of a telephone band, each with its main lobe; the lobes do not overlap.
fn two_lines_power(band: &[f32]) -> f32 {
    let first = strongest(band);
    let (below, rest) = band.split_at(first.saturating_sub(LOBE_BINS));
    let above = rest.get(first - below.len() + LOBE_BINS + 1..).unwrap_or_default();
    let second = [below, above].map(|part| lobe_power(part, strongest(part))).into_iter().fold(0.0, f32::max);
    lobe_power(band, first) + second
}

/// The first of the strongest bins.
fn strongest(bins: &[f32]) -> usize {
    let most = bins.iter().copied().fold(0.0, f32::max);
    bins.iter().position(|&p| p == most).unwrap_or(0)
}

fn lobe_power(bins: &[f32], centre: usize) -> f32 {
    bins.iter().skip(centre.saturating_sub(LOBE_BINS)).take(centre.min(LOBE_BINS) + LOBE_BINS + 1).sum()
}
