//! What is told of a live call: its state for whoever asks, and its events for whoever follows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Ending, Transport};
use crate::{
    cli::render::rounded_llr,
    policy::{Decision, Reason, Verdict},
    screen::Segment,
    store::{JobId, UnixMs},
};

/// Segments that go with every verdict event: the last 10 s.
const EVENT_SEGMENTS: usize = 5;
/// Verdicts that a party's trail holds.
const TRAIL: usize = 120;

/// Where a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartyState {
    /// There is not enough speech yet.
    Listening,
    /// It has a verdict, which goes on changing.
    Judged,
    /// It has its last verdict.
    Ended,
    /// A fault of the program ended its screening; the log says more.
    Failed,
}

/// One party as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PartyView {
    /// Its channel in the result.
    pub index: usize,
    /// `caller`, `agent`, `inbound`, …: as the transport tells.
    pub name: String,
    /// Where it is.
    pub state: PartyState,
    /// Of the audio that came in last.
    pub sample_rate_hz: u32,
    /// Seconds screened so far, silence included.
    pub audio_secs: f64,
    /// Seconds of speech among them.
    pub speech_secs: f64,
    /// Seconds in which no audio came: loss, pause, silence that was not sent.
    pub gap_secs: f64,
    /// Seconds of audio that came and were not screened, because the machine was too slow.
    pub skipped_secs: f64,
    /// So far; null while listening.
    pub decision: Option<Decision>,
    /// Why, where inconclusive.
    pub reason: Option<Reason>,
    /// Natural-log likelihood ratio so far; more than 0 favours a genuine voice.
    pub llr: Option<f64>,
    /// The same of the last 10 s alone.
    pub llr_last_10_secs: Option<f64>,
    /// Highest frequency with speech.
    pub bandwidth_hz: Option<u32>,
    /// Speech over noise.
    pub snr_db: Option<f32>,
    /// From the arrival of the last audio in it to the verdict.
    pub latency_secs: Option<f64>,
    /// Raised once, if ever.
    pub alert: Option<AlertView>,
    /// The last segments.
    #[schema(value_type = Vec<Object>)]
    pub segments: Vec<Segment>,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AlertView {
    /// When it was raised.
    #[schema(value_type = String, format = DateTime)]
    pub raised_at: UnixMs,
    /// The same in seconds of the party's audio.
    pub raised_secs: f64,
    /// Where the evidence begins, in seconds of the party's audio.
    pub first_evidence_secs: Option<f64>,
    /// When it was raised.
    pub llr: Option<f64>,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retracted_at: Option<UnixMs>,
}

/// A party with its past.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PartyDetail {
    /// As it stands.
    #[serde(flatten)]
    pub view: PartyView,
    /// Seconds and LLR so far at the last verdicts, oldest first.
    pub trail: Vec<(f64, f64)>,
}

impl PartyDetail {
    pub(super) fn new(index: usize, name: String, sample_rate_hz: u32) -> Self {
        let view = PartyView {
            index,
            name,
            state: PartyState::Listening,
            sample_rate_hz,
            audio_secs: 0.0,
            speech_secs: 0.0,
            gap_secs: 0.0,
            skipped_secs: 0.0,
            decision: None,
            reason: None,
            llr: None,
            llr_last_10_secs: None,
            bandwidth_hz: None,
            snr_db: None,
            latency_secs: None,
            alert: None,
            segments: Vec::new(),
        };
        Self { view, trail: Vec::new() }
    }

    /// Takes a verdict.
    pub(super) fn judged(&mut self, verdict: &Verdict, recent_llr: Option<crate::model::Llr>) {
        let (view, evidence) = (&mut self.view, &verdict.evidence);
        view.decision = Some(verdict.decision);
        view.reason = verdict.reason;
        view.llr = rounded_llr(verdict.llr);
        view.llr_last_10_secs = rounded_llr(recent_llr);
        view.speech_secs = evidence.quality.speech_secs;
        view.bandwidth_hz = evidence.quality.bandwidth_hz;
        view.snr_db = evidence.quality.snr_db;
        let first = evidence.segments.len().saturating_sub(EVENT_SEGMENTS);
        view.segments = evidence.segments[first..].to_vec();
        if let Some(llr) = view.llr {
            if self.trail.len() == TRAIL {
                self.trail.remove(0);
            }
            self.trail.push((view.audio_secs, llr));
        }
    }
}

/// A call that goes on, or has just ended.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CallView {
    /// Names it; its result is the scan of the same id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// What brought it.
    pub transport: Transport,
    /// The other side's name for it.
    pub external_id: Option<String>,
    /// Who brings it: an address.
    pub peer: String,
    /// Who is behind it, for the audit log.
    pub actor: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: UnixMs,
    /// Name of the policy.
    pub policy: String,
    /// What the other side said of it.
    pub metadata: BTreeMap<String, String>,
    /// How it ended; null while it goes on.
    pub ending: Option<Ending>,
    /// In the order in which they came.
    pub parties: Vec<PartyDetail>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum Happening {
    /// The call began.
    #[serde(rename = "call.started")]
    Started,
    /// A party joined.
    #[serde(rename = "call.party")]
    Party,
    /// The other side told something: see `metadata`.
    #[serde(rename = "call.note")]
    Note,
    /// A party is heard, but has not said enough for a verdict.
    #[serde(rename = "call.listening")]
    Listening,
    /// A party's verdict so far.
    #[serde(rename = "call.verdict")]
    Verdict,
    /// A party is likely cloned.
    #[serde(rename = "call.alert")]
    Alert,
    /// The alert on a party is taken back.
    #[serde(rename = "call.retracted")]
    Retracted,
    /// The call is over and its result is stored.
    #[serde(rename = "call.ended")]
    Ended,
}

impl Happening {
    /// As it stands in events.
    pub fn key(self) -> &'static str {
        match self {
            Self::Started => "call.started",
            Self::Party => "call.party",
            Self::Note => "call.note",
            Self::Listening => "call.listening",
            Self::Verdict => "call.verdict",
            Self::Alert => "call.alert",
            Self::Retracted => "call.retracted",
            Self::Ended => "call.ended",
        }
    }
}

/// One event of a call.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CallEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Happening,
    /// Which call.
    #[schema(value_type = String)]
    pub call: JobId,
    /// From 1 for each call, without gaps: a follower sees by it what it missed.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: UnixMs,
    /// The party that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyView>,
    /// The call's decision, with `call.ended`; null where its screening failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How it ended, with `call.ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What the other side told, with `call.note`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<(String, String)>,
}
