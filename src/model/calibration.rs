//! Calibration: raw score to log-likelihood ratio, by bandwidth, noise and by how much speech the score rests on.

use serde::{Deserialize, Serialize};

use super::{HeadScores, Llr};
use crate::speech::Quality;

/// Affine maps fitted by cross-validation over sources; see the bundle's card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Channels whose measured bandwidth is below this are telephone band.
    pub split_hz: u32,
    /// Share of the other band's head in what the encoder's statistics say, 0-0.5: two heads err less together than one.
    pub other_share: f64,
    /// Share of the fine-spectrum head in the score.
    pub fine_share: FineShare,
    /// What noise adds to scores; without it nothing is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// Full-band map, by rising seconds of speech; never empty.
    pub full: Vec<Knot>,
    /// Telephone-band map, likewise.
    pub telephone: Vec<Knot>,
}

/// By band, 0-0.5: telephony leaves less of the fine spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineShare {
    /// In full-band channels.
    pub full: f64,
    /// In telephone band.
    pub telephone: f64,
}

/// How far noise moves the scores of genuine and of cloned speech towards genuine; taken off them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// SNR in dB at and below which the whole shift is taken off.
    pub loud_db: f32,
    /// SNR in dB at and above which none of it is; linear between.
    pub faint_db: f32,
    /// Shift in full-band channels, in units of score, at least 0.
    pub full: f64,
    /// Shift in telephone band, likewise.
    pub telephone: f64,
}

impl Noise {
    /// Share of the shift that counts at `snr_db`, 0-1; none where it was not measured.
    fn share(&self, snr_db: Option<f32>) -> f64 {
        snr_db.map_or(0.0, |snr_db| ((self.faint_db - snr_db) / (self.faint_db - self.loud_db)).clamp(0.0, 1.0).into())
    }
}

/// LLR = `scale`·score + `offset` at this much speech.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knot {
    /// Seconds of speech.
    pub speech_secs: f64,
    /// Nats per unit of score.
    pub scale: f64,
    /// Nats.
    pub offset: f64,
}

impl Calibration {
    /// Which heads and map count in a channel of `bandwidth_hz`. Not measured is taken as telephone band, whose are the more
    /// careful.
    pub(super) fn is_full_band(&self, bandwidth_hz: Option<u32>) -> bool {
        bandwidth_hz.is_some_and(|hz| hz >= self.split_hz)
    }

    /// The LLR of `scores` that rest on `speech_secs` of speech in a channel of this quality.
    pub fn llr(&self, scores: HeadScores, quality: &Quality, speech_secs: f64) -> Llr {
        let full_band = self.is_full_band(quality.bandwidth_hz);
        let (own, other, fine_share, knots) = if full_band {
            (scores.full, scores.telephone, self.fine_share.full, &self.full)
        } else {
            (scores.telephone, scores.full, self.fine_share.telephone, &self.telephone)
        };
        let shift = |noise: Noise| noise.share(quality.snr_db) * if full_band { noise.full } else { noise.telephone };
        let mix = |first: f64, second: f64, share: f64| (1.0 - share) * first + share * second;
        let encoded = mix(own.encoded.0.into(), other.encoded.0.into(), self.other_share);
        let score = mix(encoded, own.fine.0.into(), fine_share) - self.noise.map_or(0.0, shift);
        let (scale, offset) = interpolate(knots, speech_secs);
        Llr((scale * score + offset) as f32)
    }

    /// What is wrong with the tables, if anything: knots must exist, rise in time, and have finite, positive scales; shares and
    /// shifts must be in their ranges.
    pub(super) fn fault(&self) -> Option<String> {
        let FineShare { full, telephone } = self.fine_share;
        for (name, share) in
            [("other_share", self.other_share), ("fine_share.full", full), ("fine_share.telephone", telephone)]
        {
            if !(0.0..=0.5).contains(&share) {
                return Some(format!("calibration.{name}: expected 0-0.5"));
            }
        }
        let sound = |noise: Noise| {
            let Noise { loud_db, faint_db, full, telephone } = noise;
            let levels = loud_db.is_finite() && faint_db.is_finite() && loud_db < faint_db;
            levels && [full, telephone].iter().all(|shift| shift.is_finite() && *shift >= 0.0)
        };
        if !self.noise.is_none_or(sound) {
            return Some("calibration.noise: expected finite loud_db < faint_db, full and telephone at least 0".into());
        }
        [("calibration.full", &self.full), ("calibration.telephone", &self.telephone)].into_iter().find_map(
            |(name, knots)| {
                let rising = knots.windows(2).all(|pair| pair[0].speech_secs < pair[1].speech_secs);
                let sound =
                    |k: &Knot| k.speech_secs > 0.0 && k.scale > 0.0 && k.scale.is_finite() && k.offset.is_finite();
                let good = !knots.is_empty() && rising && knots.iter().all(sound);
                (!good).then(|| format!("{name}: expected at least one knot, rising speech_secs, scale > 0"))
            },
        )
    }
}

/// Scale and offset at `speech_secs`: linear in ln(seconds) between knots, constant outside.
fn interpolate(knots: &[Knot], speech_secs: f64) -> (f64, f64) {
    let after = knots.iter().position(|knot| knot.speech_secs >= speech_secs).unwrap_or(knots.len());
    match (after.checked_sub(1).and_then(|i| knots.get(i)), knots.get(after)) {
        (Some(a), Some(b)) => {
            let t = (speech_secs / a.speech_secs).ln() / (b.speech_secs / a.speech_secs).ln();
            (a.scale + t * (b.scale - a.scale), a.offset + t * (b.offset - a.offset))
        }
        (Some(only), None) | (None, Some(only)) => (only.scale, only.offset),
        (None, None) => (1.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BandScores, CmScore};

    fn knot(speech_secs: f64, scale: f64, offset: f64) -> Knot {
        Knot { speech_secs, scale, offset }
    }

    fn fine(full: f64, telephone: f64) -> FineShare {
        FineShare { full, telephone }
    }

    fn heard(bandwidth_hz: Option<u32>, snr_db: Option<f32>) -> Quality {
        Quality { bandwidth_hz, snr_db, ..Quality::default() }
    }

    #[test]
    fn takes_off_what_noise_adds() {
        let noise = Noise { loud_db: 15.0, faint_db: 30.0, full: 0.25, telephone: 0.5 };
        let (full, telephone) = (vec![knot(4.0, 2.0, 1.0)], vec![knot(4.0, 4.0, 0.0)]);
        let fine_share = fine(0.0, 0.0);
        let table = Calibration { split_hz: 4600, other_share: 0.0, fine_share, noise: Some(noise), full, telephone };
        let same = BandScores { encoded: CmScore(1.0), fine: CmScore(1.0), denoised: 0.0 };
        let scores = HeadScores { full: same, telephone: same };
        for (hz, snr_db, expected) in [
            (8000, None, 3.0),
            (8000, Some(80.0), 3.0),
            (8000, Some(30.0), 3.0),
            (8000, Some(22.5), 2.75),
            (8000, Some(15.0), 2.5),
            (8000, Some(-10.0), 2.5),
            (4000, Some(30.0), 4.0),
            (4000, Some(20.0), 4.0 - 4.0 / 3.0),
        ] {
            let llr = table.llr(scores, &heard(Some(hz), snr_db), 4.0).0;
            assert!((llr - expected).abs() < 1e-6, "{hz} Hz, {snr_db:?} dB: {llr}");
        }
        assert!(table.fault().is_none());
        let bad = |noise| Calibration { noise: Some(noise), ..table.clone() }.fault().is_some();
        assert!(bad(Noise { full: -0.1, ..noise }));
        assert!(bad(Noise { telephone: f64::NAN, ..noise }));
        assert!(bad(Noise { loud_db: 30.0, ..noise }));
        assert!(bad(Noise { faint_db: f32::INFINITY, ..noise }));
    }

    #[test]
    fn maps_by_bandwidth_and_interpolates_in_log_time() {
        let full = vec![knot(2.0, 1.0, 0.0), knot(8.0, 3.0, -1.0)];
        let telephone = vec![knot(4.0, 0.5, 0.25)];
        let fine_share = fine(0.0, 0.0);
        let table = Calibration { split_hz: 4600, other_share: 0.0, fine_share, noise: None, full, telephone };
        let band = |encoded, fine| BandScores { encoded: CmScore(encoded), fine: CmScore(fine), denoised: 0.0 };
        let scores = HeadScores { full: band(2.0, 6.0), telephone: band(4.0, -1.0) };
        let llr = |hz, secs| table.llr(scores, &heard(hz, None), secs).0;
        for (hz, secs, expected) in [
            (Some(8000), 0.5, 2.0),
            (Some(8000), 2.0, 2.0),
            (Some(8000), 4.0, 3.5),
            (Some(4600), 60.0, 5.0),
            (Some(4599), 9.0, 2.25),
            (None, 9.0, 2.25),
        ] {
            assert!((llr(hz, secs) - expected).abs() < 1e-6, "{hz:?} Hz, {secs} s: {}", llr(hz, secs));
        }
        assert!(table.fault().is_none());
        let mixed = Calibration { other_share: 0.25, ..table.clone() };
        assert!((mixed.llr(scores, &heard(Some(8000), None), 2.0).0 - 2.5).abs() < 1e-6);
        assert!((mixed.llr(scores, &heard(None, None), 9.0).0 - 2.0).abs() < 1e-6);
        let finer = Calibration { fine_share: fine(0.5, 0.25), ..mixed };
        assert!((finer.llr(scores, &heard(Some(8000), None), 2.0).0 - 4.25).abs() < 1e-6);
        // 0.5 · (0.75 · 3.5 - 0.25 · 1) + 0.25.
        assert!((finer.llr(scores, &heard(None, None), 9.0).0 - 1.4375).abs() < 1e-6);
        assert!(Calibration { other_share: 0.6, ..table.clone() }.fault().is_some());
        assert!(Calibration { fine_share: fine(0.4, -0.1), ..table.clone() }.fault().is_some());
        assert!(Calibration { full: vec![knot(4.0, 1.0, 0.0), knot(2.0, 1.0, 0.0)], ..table }.fault().is_some());
    }
}
