//! Policy: turns [`crate::screen::Evidence`] and thresholds into a [`Verdict`]. No I/O, no state.

use std::fmt;

use serde::Serialize;

use crate::screen::Evidence;

/// What is said of a channel or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Genuine human speech.
    BonaFide,
    /// Cloned, synthetic or converted speech.
    Spoof,
    /// It cannot be told, and [`Reason`] says why.
    Inconclusive,
}

/// Why a decision is inconclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing in the channel is speech.
    NoSpeech,
    /// Less speech than the policy asks for.
    TooShort,
    /// The LLR lies between the thresholds.
    Uncertain,
    /// The container or codec is not one that can be decoded, or the bytes are damaged from the start.
    Undecodable,
    /// The input hit one of [`crate::decode`]'s limits before it could be judged whole.
    LimitReached,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpeech => "no speech",
            Self::TooShort => "too little speech",
            Self::Uncertain => "the evidence points neither way",
            Self::Undecodable => "cannot be decoded",
            Self::LimitReached => "a limit was reached",
        })
    }
}

/// Evidence with what the policy makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// Why, where the answer is [`Decision::Inconclusive`].
    pub reason: Option<Reason>,
    /// What it rests on.
    pub evidence: Evidence,
}
