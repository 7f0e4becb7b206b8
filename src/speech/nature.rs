//! What the sound around a frame is: speech, music, tones or noise. A few measures over 1.2 s, weighed by a logistic regression.

use std::ops::{AddAssign, Sub};

use super::{
    FrameClass,
    cues::{BANDS, Cues},
};

/// Frames on either side that a frame is judged by: 0.6 s, two or three syllables.
pub(super) const REACH_FRAMES: usize = 60;
/// Measures that are weighed.
pub(crate) const MEASURES: usize = 6;
/// Weights of the measures, see [`Surroundings::measures`]. Fitted by logistic regression to 5,552 genuine and synthetic
/// clips in 45 languages, part of them also through a telephone band, in pink noise and babble, and under music beds at
/// 10-20 dB, against 60 pieces played by a General MIDI synthesizer, synthesised chords and arpeggios, rhythms and noises.
const WEIGHTS: [f32; MEASURES] = [-13.4, 0.41, 1.58, -10.8, 15.4, 0.66];
const BIAS: f32 = -9.56;
/// A stretch of speech scores this somewhere.
const SURE: f32 = 1.0;
/// Speech that goes on scores this throughout.
const PLAUSIBLE: f32 = -1.0;
/// A stretch ends after this many frames that are not plausible.
const STRETCH_GAP_FRAMES: usize = 60;
/// Pitch strength from which a frame counts as voiced.
const VOICED: f32 = 0.75;
/// Largest change of the pitch period over 20 ms, as a logarithm, that is a glide and not another note.
const GLIDE: f32 = 0.06;
/// A frame with this share of its power in two spectral lines is pure: a tone or two, and hardly ever a vowel.
const PURE: f32 = 0.98;
/// Share of pure frames that makes a rejected sound a tone: dialled digits lose some to their on- and offsets.
const TONE_PURE: f32 = 0.45;
/// Largest share of frames with gliding pitch in a tone. With [`TONE_PURE`] it takes one in 10,000 windows of clean speech
/// for a tone, and every DTMF digit from 70 ms on down to 20 dB SNR.
const TONE_GLIDE: f32 = 0.03;
/// Share of voiced frames that makes a rejected sound music and not noise.
const MUSIC_VOICED: f32 = 0.35;
/// Share of power in standing peaks that makes a rejected sound music and not noise.
const MUSIC_STABLE: f32 = 0.1;
/// Bands lower than this under the floor are taken to be there, so that digital silence does not count as change.
const BELOW_FLOOR_DB: f32 = 15.0;

/// What one frame adds to the sums over a window.
#[derive(Debug, Clone, Copy, Default)]
struct Parts([f32; 11]);

const ACTIVE: usize = 0;
const STABLE: usize = 1;
const TRAVEL_DB: usize = 2;
const RESHAPING_DB: usize = 3;
const RISE: usize = 4;
const CHANGE: usize = 5;
const VOICING: usize = 6;
const GLIDING: usize = 7;
const TILT_DB: usize = 8;
const TILT_SQUARED: usize = 9;
const PURITY: usize = 10;

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, x)| *sum += x);
    }
}

impl Sub for Parts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

/// The surroundings of one frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// In the order of [`WEIGHTS`]: share of power in standing peaks; travel of the liveliest bands within 100 ms, dB;
    /// change of spectral shape within 50 ms, dB; share of rises in all change (plucked and struck sounds rise fast and
    /// decay slowly); share of frames with gliding pitch; spread of spectral tilt, dB (vowels and fricatives take turns).
    pub(crate) measures: [f32; MEASURES],
    /// Share of voiced frames.
    pub(crate) voiced: f32,
    /// Share of pure frames.
    pub(crate) pure: f32,
}

impl Surroundings {
    fn from_sums(sums: &Parts) -> Self {
        let per_active = |part: usize| sums.0[part] / sums.0[ACTIVE].max(1.0);
        let measures = [
            per_active(STABLE),
            per_active(TRAVEL_DB).min(11.0),
            per_active(RESHAPING_DB).min(6.0),
            sums.0[RISE] / sums.0[CHANGE].max(1e-6),
            per_active(GLIDING),
            (per_active(TILT_SQUARED) - per_active(TILT_DB).powi(2)).max(0.0).sqrt().min(15.0),
        ];
        Self { measures, voiced: per_active(VOICING), pure: per_active(PURITY) }
    }

    fn score(&self) -> f32 {
        if self.is_tone() {
            return f32::NEG_INFINITY;
        }
        BIAS + WEIGHTS.iter().zip(self.measures).map(|(weight, x)| weight * x).sum::<f32>()
    }

    fn is_tone(&self) -> bool {
        let [.., gliding, _] = self.measures;
        self.pure > TONE_PURE && gliding < TONE_GLIDE
    }

    /// Names what is not speech.
    fn kind(&self) -> FrameClass {
        let [stable, ..] = self.measures;
        if self.pure > TONE_PURE {
            FrameClass::Tone
        } else if self.voiced > MUSIC_VOICED || stable > MUSIC_STABLE {
            FrameClass::Music
        } else {
            FrameClass::Noise
        }
    }
}

/// Measures the surroundings of every frame; `active` says which frames are above the floor at `floor_db`.
pub(crate) fn surroundings(cues: &[Cues], active: &[bool], floor_db: f32) -> Vec<Surroundings> {
    let mut sums = Vec::with_capacity(cues.len() + 1);
    let mut total = Parts::default();
    sums.push(total);
    for (t, &active) in active.iter().enumerate() {
        total += parts(cues, t, active, floor_db - BELOW_FLOOR_DB);
        sums.push(total);
    }
    let around = |t: usize| sums[(t + REACH_FRAMES + 1).min(cues.len())] - sums[t.saturating_sub(REACH_FRAMES)];
    (0..cues.len()).map(|t| Surroundings::from_sums(&around(t))).collect()
}

fn parts(cues: &[Cues], t: usize, active: bool, lowest_db: f32) -> Parts {
    let change_since = |frames: usize| -> [f32; BANDS] {
        let (now, then) = (&cues[t].bands_db, &cues[t.saturating_sub(frames)].bands_db);
        std::array::from_fn(|b| now[b].max(lowest_db) - then[b].max(lowest_db))
    };
    let mut parts = Parts::default();
    let steps = change_since(2);
    parts.0[RISE] = steps.iter().map(|x| x.max(0.0).powi(2)).sum();
    parts.0[CHANGE] = steps.iter().map(|x| x * x).sum();
    if !active {
        return parts;
    }
    let (cue, before) = (&cues[t], &cues[t.saturating_sub(2)]);
    let voiced = cue.pitch > VOICED;
    let glide = (cue.period_samples / before.period_samples).ln().abs();
    let gliding = voiced && before.pitch > VOICED && glide > 0.0 && glide < GLIDE;
    let tilt_db = tilt(&cue.bands_db, lowest_db);
    parts.0[ACTIVE] = 1.0;
    parts.0[STABLE] = cue.stable;
    parts.0[TRAVEL_DB] = mean_of_liveliest_half(change_since(10)).min(20.0);
    parts.0[RESHAPING_DB] = spread(change_since(5)).min(10.0);
    parts.0[VOICING] = f32::from(voiced);
    parts.0[GLIDING] = f32::from(gliding);
    parts.0[TILT_DB] = tilt_db;
    parts.0[TILT_SQUARED] = tilt_db * tilt_db;
    parts.0[PURITY] = f32::from(cue.two_lines > PURE);
    parts
}

fn mean_of_liveliest_half(changes_db: [f32; BANDS]) -> f32 {
    let mut sizes = changes_db.map(f32::abs);
    sizes.sort_unstable_by(|a, b| b.total_cmp(a));
    sizes[..BANDS / 2].iter().sum::<f32>() / (BANDS / 2) as f32
}

fn spread(changes_db: [f32; BANDS]) -> f32 {
    let mean = changes_db.iter().sum::<f32>() / BANDS as f32;
    (changes_db.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / BANDS as f32).sqrt()
}

/// Level of the upper third of the bands (1.6-3.4 kHz) over the lower third (320-880 Hz), dB.
fn tilt(bands_db: &[f32; BANDS], lowest_db: f32) -> f32 {
    let third = BANDS / 3;
    let mean = |bands: &[f32]| bands.iter().map(|level| level.max(lowest_db)).sum::<f32>() / third as f32;
    mean(&bands_db[BANDS - third..]) - mean(&bands_db[..third])
}

/// Classes of all frames. `goes_on` says that the frames before the first one were speech.
pub(super) fn classes(around: &[Surroundings], active: &[bool], goes_on: bool) -> Vec<FrameClass> {
    let scores: Vec<f32> = around.iter().map(Surroundings::score).collect();
    let speech = plausible_stretches(&scores, active, goes_on);
    let class = |t: usize| match (active[t], speech[t]) {
        (false, _) => FrameClass::Silence,
        (true, true) => FrameClass::Speech,
        (true, false) => around[t].kind(),
    };
    (0..around.len()).map(class).collect()
}

/// Hysteresis: plausible frames are speech where their stretch holds a sure one or continues speech.
fn plausible_stretches(scores: &[f32], active: &[bool], goes_on: bool) -> Vec<bool> {
    let mut speech = vec![false; scores.len()];
    let (mut stretch, mut last, mut sure) = (Vec::new(), 0, goes_on);
    let mut settle = |stretch: &mut Vec<usize>, sure: bool| {
        if sure {
            stretch.iter().for_each(|&t| speech[t] = true);
        }
        stretch.clear();
    };
    for t in (0..scores.len()).filter(|&t| active[t] && scores[t] > PLAUSIBLE) {
        if t - last > STRETCH_GAP_FRAMES {
            settle(&mut stretch, sure);
            sure = false;
        }
        sure |= scores[t] > SURE;
        stretch.push(t);
        last = t;
    }
    settle(&mut stretch, sure);
    speech
}
