//! Spectral peaks followed from frame to frame: notes, tones and hum stand still, the harmonics of a voice do not.
//!
//! The idea is that of continuous frequency activation (Seyerlehner et al. 2007, "Automatic music detection in television
//! productions"), on interpolated peaks instead of bins because 40 Hz bins are wider than what a voice moves in a frame.

use super::{
    BINS,
    cues::{BAND_FIRST, BAND_LAST},
};

/// Peaks kept per frame, from the lowest frequency up: more than a telephone band holds of resolved harmonics.
const PEAKS: usize = 16;
/// A peak moves less than this from one frame to the next while it stands still, in bins: 4 Hz.
const STILL_BINS: f32 = 0.1;
/// Frames that a peak must stand still to count: 120 ms, more than a steady vowel's harmonic, less than a short note.
const STILL_FRAMES: u16 = 12;
/// Power of a peak over the dips two or three bins away on its weaker flank: 6 dB, or it is ripple.
const PROMINENCE: f32 = 4.0;

#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    /// Frequency in bins, interpolated.
    at_bins: f32,
    /// Power of the peak's bin and its two neighbours.
    power: f32,
    /// Frames that its track is long: up to here at first, as a whole in the end.
    track_frames: u16,
    /// Place of the peak that it continues among those of the frame before.
    continues: Option<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Peaks {
    found: [Peak; PEAKS],
    count: usize,
}

impl Peaks {
    fn as_slice(&self) -> &[Peak] {
        &self.found[..self.count]
    }
}

/// For every frame of a chunk ([frames × 201], row-major) the power in peaks that stand still, in the unit of the input.
pub(super) fn stable_power(power: &[f32]) -> Vec<f32> {
    let mut frames: Vec<Peaks> = power.chunks_exact(BINS).map(find_peaks).collect();
    for t in 1..frames.len() {
        let (before, after) = frames.split_at_mut(t);
        link(&before[t - 1], &mut after[0]);
    }
    for t in (1..frames.len()).rev() {
        let (before, after) = frames.split_at_mut(t);
        spread_length(&mut before[t - 1], &after[0]);
    }
    let is_still = |peak: &&Peak| peak.track_frames >= STILL_FRAMES;
    frames.iter().map(|peaks| peaks.as_slice().iter().filter(is_still).map(|peak| peak.power).sum()).collect()
}

fn find_peaks(row: &[f32]) -> Peaks {
    let mut peaks = Peaks::default();
    // A window of seven bins around each bin of the band: the peak, its neighbours and the dips beside it.
    for (k, around) in (BAND_FIRST..=BAND_LAST).zip(row[BAND_FIRST - 3..].windows(7)) {
        let &[left3, left2, left, mid, right, right2, right3] = around else { continue };
        let dip = left3.min(left2).max(right3.min(right2));
        // Without short circuits: three branches that go either way cost more than three comparisons.
        let is_peak = (mid > left) & (mid >= right) & (mid >= PROMINENCE * dip);
        if !is_peak {
            continue;
        }
        let Some(slot) = peaks.found.get_mut(peaks.count) else { break };
        let at_bins = k as f32 + vertex(left, mid, right);
        *slot = Peak { at_bins, power: left + mid + right, track_frames: 1, continues: None };
        peaks.count += 1;
    }
    peaks
}

/// Offset of a peak from its bin, from a parabola through the three levels in dB; within half a bin.
fn vertex(left: f32, mid: f32, right: f32) -> f32 {
    let [left, mid, right] = [left, mid, right].map(|p| p.max(1e-20).ln());
    let bend = left - 2.0 * mid + right;
    if bend < -1e-6 { (0.5 * (left - right) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

fn link(before: &Peaks, now: &mut Peaks) {
    let mut j = 0;
    for peak in &mut now.found[..now.count] {
        while before.as_slice().get(j).is_some_and(|old| old.at_bins < peak.at_bins - STILL_BINS) {
            j += 1;
        }
        if let Some(old) = before.as_slice().get(j).filter(|old| old.at_bins <= peak.at_bins + STILL_BINS) {
            peak.track_frames = old.track_frames.saturating_add(1);
            peak.continues = u8::try_from(j).ok();
        }
    }
}

fn spread_length(before: &mut Peaks, now: &Peaks) {
    for peak in now.as_slice() {
        if let Some(old) = peak.continues.and_then(|j| before.found.get_mut(usize::from(j))) {
            old.track_frames = old.track_frames.max(peak.track_frames);
        }
    }
}
