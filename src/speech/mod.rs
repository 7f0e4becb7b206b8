//! Speech gate: says of each 10 ms frame whether it is speech, and measures the channel's quality.
//!
//! The gate sees the same short-time power spectra as the features (25 ms Hann frames, 10 ms hop, 201 bins of 40 Hz)
//! and works on whole chunks of `crate::features::CHUNK_FRAMES` frames, so its output cannot depend on how the
//! caller split the samples. State that outlives a chunk (noise floor, tallies) is a fixed set of numbers.
//!
//! `levels` says which frames are above the channel's floor, `nature` which of those are speech from what surrounds
//! them, with the help of `tracks` and `pitch`; `tally` keeps the totals behind [`Quality`]. Everything rests on
//! levels relative to the channel's own and on the telephone band alone, so gain and bandwidth do not matter. Speech over
//! music or babble is speech while it stands 10 dB above; singing may be either; whispered speech may be missed.

mod cues;
mod levels;
mod nature;
mod pitch;
mod tally;
mod tracks;

use serde::{Deserialize, Serialize};

use self::{cues::Cues, levels::Levels, tally::Tally};

/// What one frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameClass {
    /// Human (or cloned) speech: judged.
    Speech,
    /// Nothing above the noise floor.
    Silence,
    /// Music, sung or instrumental.
    Music,
    /// Ring-back, dial or DTMF tone, beep.
    Tone,
    /// Anything else above the floor: hiss, hum, babble without a foreground voice.
    Noise,
}

/// Measures of one channel, over all of it that has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quality {
    /// Seconds of frames classed as speech.
    pub speech_secs: f64,
    /// Speech level over noise floor in dB, -10 to 80; `None` without speech. Where a recording has no pauses its quietest
    /// frames stand for the floor, and the figure is a lower bound.
    pub snr_db: Option<f32>,
    /// Highest frequency that carries speech energy, in Hz; `None` without speech. Audio once sampled at 8 kHz reads up to
    /// 4,240, where the slope of its resampler ends.
    pub bandwidth_hz: Option<u32>,
    /// Share of samples at or next to full scale in flat runs, 0-1.
    pub clipping_ratio: f32,
    /// RMS level of speech frames in dB relative to full scale; `None` without speech.
    pub level_dbfs: Option<f32>,
}

/// Bins of the power spectra that come in: 0-8 kHz in steps of 40 Hz.
const BINS: usize = 201;
/// Dips shorter than this between speech frames belong to the speech: 200 ms, a stop consonant or a breath.
const BRIDGE_FRAMES: usize = 20;
/// Speech shorter than this is a click or a blip: 80 ms.
const SHORTEST_FRAMES: usize = 8;

/// Tells speech from everything else, chunk by chunk.
#[derive(Debug, Clone)]
pub struct SpeechGate {
    levels: Levels,
    tally: Tally,
    /// Cues of the last frames of the chunk before, and which of them were above the floor.
    past: Vec<(Cues, bool)>,
    /// Frames since the last one of speech, up to `usize::MAX` for never.
    since_speech_frames: usize,
}

impl Default for SpeechGate {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechGate {
    /// A gate that has heard nothing.
    pub fn new() -> Self {
        Self { levels: Levels::default(), tally: Tally::new(), past: Vec::new(), since_speech_frames: usize::MAX }
    }

    /// Classifies one chunk of at most 400 frames; the chunks lie on a fixed grid from the start of the stream.
    ///
    /// `power` is [frames × 201], row-major: |X|² of 25 ms periodic Hann frames (400-point FFT at 16 kHz, samples within
    /// ±1, hop 10 ms, window not normalised). `out` is cleared and gets one class per frame.
    pub fn classify(&mut self, power: &[f32], out: &mut Vec<FrameClass>) {
        out.clear();
        let fresh = cues::measure(power);
        if fresh.is_empty() {
            return;
        }
        let activity = self.levels.activity(&fresh);
        let past_frames = self.past.len();
        let (mut heard, mut active): (Vec<Cues>, Vec<bool>) = self.past.iter().copied().unzip();
        heard.extend_from_slice(&fresh);
        active.extend_from_slice(&activity.active);
        let around = nature::surroundings(&heard, &active, activity.floor_db);
        let goes_on = self.since_speech_frames <= nature::REACH_FRAMES;
        out.extend(nature::classes(&around[past_frames..], &activity.active, goes_on));
        bridge_dips(out, self.since_speech_frames);
        drop_blips(out);
        self.levels.learn(&fresh, out);
        self.tally.add(power, &fresh, out);
        self.remember(&heard, &active, out);
    }

    /// Quality of everything classified so far. The clipping ratio is 0: spectra do not show it.
    pub fn quality(&self) -> Quality {
        self.tally.quality()
    }

    fn remember(&mut self, heard: &[Cues], active: &[bool], classes: &[FrameClass]) {
        let first = heard.len().saturating_sub(nature::REACH_FRAMES);
        self.past.clear();
        self.past.extend(heard[first..].iter().copied().zip(active[first..].iter().copied()));
        self.since_speech_frames = match classes.iter().rposition(|class| *class == FrameClass::Speech) {
            Some(last) => classes.len() - 1 - last,
            None => self.since_speech_frames.saturating_add(classes.len()),
        };
    }
}

fn is_speech(class: FrameClass) -> bool {
    class == FrameClass::Speech
}

/// Makes short dips between speech frames speech; the first frames may go on from speech before the chunk. Of a dip
/// across the end of a chunk only the part in the later chunk is bridged, for the earlier one has been given out.
fn bridge_dips(classes: &mut [FrameClass], since_speech_frames: usize) {
    let mut dip_frames = since_speech_frames;
    for t in 0..classes.len() {
        if !is_speech(classes[t]) {
            dip_frames = dip_frames.saturating_add(1);
            continue;
        }
        if dip_frames <= BRIDGE_FRAMES {
            classes[t.saturating_sub(dip_frames)..t].fill(FrameClass::Speech);
        }
        dip_frames = 0;
    }
}

/// Makes blips of speech noise, except at the chunk's ends, where speech may go on outside.
fn drop_blips(classes: &mut [FrameClass]) {
    let (mut start, chunk_frames) = (0, classes.len());
    for run in classes.chunk_by_mut(|a, b| is_speech(*a) == is_speech(*b)) {
        let end = start + run.len();
        if run.len() < SHORTEST_FRAMES && start > 0 && end < chunk_frames && is_speech(run[0]) {
            run.fill(FrameClass::Noise);
        }
        start = end;
    }
}
