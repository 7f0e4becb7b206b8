//! Running totals from which [`Quality`] is read: a fixed set of numbers however long the stream.

use super::{
    BINS, FrameClass, Quality,
    cues::{self, Cues},
};

/// Hop between frames.
const HOP_SECS: f64 = 0.01;
/// Chunks with fewer silent frames than this estimate their noise from the dips within the speech.
const ENOUGH_SILENT_FRAMES: usize = 12;
/// Ends of the scale of SNRs: beyond them the figure means nothing.
const SNR_DB: std::ops::RangeInclusive<f32> = -10.0..=80.0;
/// Least power of a bin of the long-term spectrum over the mean of the telephone band: -47 dB, which tells the upper
/// band of quiet fricatives from the stop bands of resamplers and codecs (of 900 clips with known source rates).
const BANDWIDTH_SPAN: f64 = 2e-5;
/// A bin carries speech if it is this far above its noise: 3 dB.
const CLEAR_OF_NOISE: f64 = 2.0;
/// Width of a bin.
const BIN_HZ: usize = 40;

/// Totals over everything classified so far.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    speech_frames: u64,
    /// Sum of the mean squares of speech frames.
    speech_power: f64,
    noise_frames: u64,
    /// Noise floor's mean square times the frames that it stands for.
    noise_power: f64,
    /// Sum of the power spectra of speech frames, 201 bins.
    speech_spectrum: Vec<f64>,
    silent_frames: u64,
    /// Sum of the power spectra of those silent frames that are no louder than the noise floor, 201 bins: the louder half
    /// may hold the sibilants that the telephone band does not show.
    silent_spectrum: Vec<f64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            speech_frames: 0,
            speech_power: 0.0,
            noise_frames: 0,
            noise_power: 0.0,
            speech_spectrum: vec![0.0; BINS],
            silent_frames: 0,
            silent_spectrum: vec![0.0; BINS],
        }
    }

    /// Adds a chunk: `power` [frames × 201], with a class and the cues of each frame.
    pub(super) fn add(&mut self, power: &[f32], cues: &[Cues], classes: &[FrameClass]) {
        let noise = noise_power(cues, classes);
        let add_to =
            |spectrum: &mut [f64], row: &[f32]| spectrum.iter_mut().zip(row).for_each(|(sum, &p)| *sum += f64::from(p));
        for ((row, cue), class) in power.chunks_exact(BINS).zip(cues).zip(classes) {
            match class {
                FrameClass::Speech => {
                    add_to(&mut self.speech_spectrum, row);
                    self.speech_frames += 1;
                    self.speech_power += f64::from(cue.power);
                }
                FrameClass::Silence if noise.is_some_and(|noise| cue.power <= noise) => {
                    add_to(&mut self.silent_spectrum, row);
                    self.silent_frames += 1;
                }
                _ => {}
            }
        }
        if let Some(noise) = noise {
            self.noise_frames += cues.len() as u64;
            self.noise_power += f64::from(noise) * cues.len() as f64;
        }
    }

    pub(super) fn quality(&self) -> Quality {
        let speech_secs = self.speech_frames as f64 * HOP_SECS;
        if self.speech_frames == 0 {
            return Quality { speech_secs, ..Quality::default() };
        }
        let speech = (self.speech_power / self.speech_frames as f64) as f32;
        let noise = (self.noise_power / self.noise_frames.max(1) as f64) as f32;
        let snr_db = cues::to_db((speech - noise).max(0.0)) - cues::to_db(noise);
        Quality {
            speech_secs,
            snr_db: Some(snr_db.clamp(*SNR_DB.start(), *SNR_DB.end())),
            bandwidth_hz: self.bandwidth_hz(),
            clipping_ratio: 0.0,
            level_dbfs: Some(cues::to_db(speech)),
        }
    }

    /// Highest frequency at which the long-term spectrum of speech is near enough its middle and clear of the noise.
    fn bandwidth_hz(&self) -> Option<u32> {
        let middle = &self.speech_spectrum[cues::BAND_FIRST..=cues::BAND_LAST];
        let least = middle.iter().sum::<f64>() / middle.len() as f64 * BANDWIDTH_SPAN;
        let noise_scale = CLEAR_OF_NOISE * self.speech_frames as f64 / self.silent_frames.max(1) as f64;
        let carries = |k: usize| self.speech_spectrum[k] > least.max(noise_scale * self.silent_spectrum[k]);
        let top = (2..BINS).rev().find(|&k| (k - 2..=k).all(carries))?;
        u32::try_from(top * BIN_HZ).ok()
    }
}

/// Mean square of the noise floor of a chunk: the median of its silent frames, or else what its quietest frames leave.
fn noise_power(cues: &[Cues], classes: &[FrameClass]) -> Option<f32> {
    let silent = cues.iter().zip(classes).filter(|(_, class)| **class == FrameClass::Silence);
    let mut powers: Vec<f32> = silent.map(|(cue, _)| cue.power).collect();
    let mut share = 0.5;
    if powers.len() < ENOUGH_SILENT_FRAMES {
        powers = cues.iter().map(|cue| cue.power).collect();
        share = 0.03;
    }
    let place = ((powers.len() as f32 * share) as usize).min(powers.len().checked_sub(1)?);
    Some(*powers.select_nth_unstable_by(place, f32::total_cmp).1)
}
