//! Pitch of one frame: the strongest period in the autocorrelation of the lower telephone band.
//!
//! The autocorrelation is the cosine transform of the power spectrum, divided by that of the window so that long periods
//! are not put at a disadvantage (Boersma 1993, "Accurate short-term analysis of the fundamental frequency").

use std::{f32::consts::TAU, sync::LazyLock};

/// Bins it looks at, 160-2000 Hz: several harmonics of any voice, and little else.
const BINS_USED: std::ops::RangeInclusive<usize> = 4..=50;
const BIN_COUNT: usize = 47;
/// Shortest period in samples at 16 kHz: 400 Hz.
const SHORTEST_SAMPLES: usize = 40;
/// Step between periods in samples.
const STEP_SAMPLES: usize = 2;
/// Periods tried, up to 200 samples: 80 Hz.
const PERIODS: usize = 81;
/// A longer period must beat a shorter one by this factor, or multiples of the true period would win.
const LONGER_MUST_GAIN: f32 = 1.05;

/// What [`find`] found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pitch {
    /// Normalised autocorrelation at the period, 0-1.
    pub(super) strength: f32,
    /// Period in samples at 16 kHz; 0 without one.
    pub(super) period_samples: f32,
}

/// For each period the cosines of the bins used, over the window's own autocorrelation.
static COSINES: LazyLock<Vec<[f32; BIN_COUNT]>> = LazyLock::new(|| {
    let window: Vec<f32> = (0..400).map(|n| 0.5 - 0.5 * (TAU * n as f32 / 400.0).cos()).collect();
    let overlap = |lag: usize| window.iter().zip(&window[lag..]).map(|(a, b)| a * b).sum::<f32>();
    let row = |i: usize| {
        let lag = SHORTEST_SAMPLES + STEP_SAMPLES * i;
        let scale = overlap(0) / overlap(lag);
        std::array::from_fn(|k| scale * (TAU * ((k + BINS_USED.start()) * lag) as f32 / 400.0).cos())
    };
    (0..PERIODS).map(row).collect()
});

/// Finds the pitch of one frame's power spectrum (201 bins).
pub(super) fn find(row: &[f32]) -> Pitch {
    let used = &row[BINS_USED];
    let energy: f32 = used.iter().sum();
    if energy <= f32::MIN_POSITIVE || !energy.is_finite() {
        return Pitch::default();
    }
    let mut best = Pitch::default();
    let (mut before_last, mut last) = (f32::MAX, f32::MAX);
    for (i, cosines) in COSINES.iter().enumerate() {
        let value = dot(cosines, used) / energy;
        if last > before_last && last >= value && last > best.strength * LONGER_MUST_GAIN {
            best = Pitch { strength: last, period_samples: (SHORTEST_SAMPLES + STEP_SAMPLES * (i - 1)) as f32 };
        }
        (before_last, last) = (last, value);
    }
    Pitch { strength: best.strength.min(1.0), ..best }
}

/// Four running sums, which the compiler turns into vector code; one sum would have to keep its order.
fn dot(a: &[f32; BIN_COUNT], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 4];
    for (x, y) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for i in 0..4 {
            sums[i] += x[i] * y[i];
        }
    }
    let rest: f32 = a.chunks_exact(4).remainder().iter().zip(b.chunks_exact(4).remainder()).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}
