//! `[live]`: calls that are screened while they go on.

use serde::{Deserialize, Serialize};

use super::{Faults, RtpPort, Siprec, telephony};

/// Limits and rules for all live calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Most calls at once; beyond, calls are refused.
    pub max_calls: usize,
    /// Seconds of speech before a party's first verdict. A policy that asks for more is waited for.
    pub first_verdict_speech_secs: f64,
    /// A verdict `spoof` that has stood for so many seconds of audio raises the alert.
    pub raise_after_secs: f64,
    /// A verdict `bona_fide` that has stood for so many seconds of audio takes the alert back.
    pub retract_after_secs: f64,
    /// A call that has brought no audio for so long is ended, in seconds.
    pub idle_secs: u64,
    /// Longest call, in seconds.
    pub max_call_secs: u64,
    /// Where RTP comes without signalling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rtp: Vec<RtpPort>,
    /// The recording server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub siprec: Option<Siprec>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            max_calls: 200,
            first_verdict_speech_secs: 3.0,
            raise_after_secs: 1.0,
            retract_after_secs: 10.0,
            idle_secs: 60,
            max_call_secs: 4 * 3_600,
            rtp: Vec::new(),
            siprec: None,
        }
    }
}

impl Live {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.range("live.max_calls", self.max_calls, 0..=100_000);
        faults.range("live.first_verdict_speech_secs", self.first_verdict_speech_secs, 1.0..=60.0);
        faults.range("live.raise_after_secs", self.raise_after_secs, 0.0..=60.0);
        faults.range("live.retract_after_secs", self.retract_after_secs, 0.0..=600.0);
        faults.range("live.idle_secs", self.idle_secs, 1..=3_600);
        faults.range("live.max_call_secs", self.max_call_secs, 10..=86_400);
        telephony::check(&self.rtp, self.siprec.as_ref(), faults);
    }
}
