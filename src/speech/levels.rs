//! Which frames are above the channel's noise floor, by the channel's own levels.

use super::{FrameClass, cues::Cues};

/// A chunk whose loudest frames are below this is silence whatever it holds, dB relative to full scale.
const DIGITAL_SILENCE_DB: f32 = -75.0;
/// Widest span between the loudest frames and what counts as the floor, so that gated silence does not pull it down.
const FLOOR_SPAN_DB: f32 = 60.0;
/// Frames this far below the loudest ones are inaudible beside them.
const AUDIBLE_SPAN_DB: f32 = 38.0;
/// How far above the floor a frame must be.
const MARGIN_DB: f32 = 6.0;
/// The margin is at most this share of the range, so that dense speech in noise is not cut to pieces.
const MARGIN_SHARE: f32 = 0.4;
/// A chunk with less range than this is all floor or all signal: a background that was heard under something decides, or
/// else the other cues.
const STEADY_RANGE_DB: f32 = 10.0;
/// The carried floor rises by no more than this per chunk.
const FLOOR_RISE_DB: f32 = 6.0;
/// The carried level of speech falls by this per chunk without any.
const SPEECH_FALL_DB: f32 = 3.0;

/// Which frames of a chunk are above the floor.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity {
    pub(super) active: Vec<bool>,
    /// Where the floor lies, dB in the telephone band.
    pub(super) floor_db: f32,
}

/// What is known of the channel's levels from earlier chunks, dB in the telephone band.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Levels {
    floor_db: Option<f32>,
    /// The floor was seen beneath something louder, so it is no signal of its own.
    floor_is_background: bool,
    /// Loudest frame of the last speech.
    speech_db: Option<f32>,
}

impl Levels {
    /// Says of each frame of a chunk whether it is above the floor.
    pub(super) fn activity(&mut self, cues: &[Cues]) -> Activity {
        let smooth = smoothed_levels(cues);
        let mut sorted = smooth.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let quantile = |share: f32| sorted.get((share * sorted.len() as f32) as usize).or(sorted.last()).copied();
        let (Some(low_db), Some(loud_db)) = (quantile(0.05), quantile(0.98)) else { return Activity::default() };
        if loud_db < DIGITAL_SILENCE_DB {
            return Activity { active: vec![false; cues.len()], floor_db: DIGITAL_SILENCE_DB };
        }
        let chunk_floor_db = low_db.max(loud_db - FLOOR_SPAN_DB);
        let floor_db = self.floor_db.map_or(chunk_floor_db, |old| chunk_floor_db.min(old + FLOOR_RISE_DB));
        let is_steady = loud_db - floor_db < STEADY_RANGE_DB;
        self.floor_is_background |= !is_steady;
        self.floor_db = Some(floor_db);
        let threshold_db = self.threshold_db(floor_db, loud_db);
        Activity { active: smooth.iter().map(|&level| level > threshold_db).collect(), floor_db }
    }

    fn threshold_db(&self, floor_db: f32, loud_db: f32) -> f32 {
        let audible_db = self.speech_db.map_or(loud_db, |speech| speech.max(loud_db)) - AUDIBLE_SPAN_DB;
        if !self.floor_is_background {
            return audible_db;
        }
        let range_db = (loud_db - floor_db).max(STEADY_RANGE_DB);
        audible_db.max(floor_db + MARGIN_DB.min(MARGIN_SHARE * range_db))
    }

    /// Takes note of how loud the frames were that turned out to be speech.
    pub(super) fn learn(&mut self, cues: &[Cues], classes: &[FrameClass]) {
        let speech = cues.iter().zip(classes).filter(|(_, class)| **class == FrameClass::Speech);
        let loudest = speech.map(|(cue, _)| cue.band_db).reduce(f32::max);
        self.speech_db = loudest.or(self.speech_db.map(|old| old - SPEECH_FALL_DB));
    }
}

/// Levels averaged over three frames: one loud frame is a click, not an onset.
fn smoothed_levels(cues: &[Cues]) -> Vec<f32> {
    let at = |t: usize| cues[t.min(cues.len() - 1)].band_db;
    (0..cues.len()).map(|t| (at(t.saturating_sub(1)) + at(t) + at(t + 1)) / 3.0).collect()
}
