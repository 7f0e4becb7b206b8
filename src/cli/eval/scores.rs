//! A recording's outcome, and the CSV file that saves outcomes: the protocol's columns with six more behind them.

use std::path::Path;

use super::protocol::{Protocol, Row};
use crate::{
    cli::render::decision_key,
    error::{Error, Result},
    policy::Decision,
};

/// Columns that saved scores add to those of the protocol.
pub const COLUMNS: [&str; 6] = ["llr", "decision", "reason", "speech_secs", "measured_bandwidth_hz", "snr_db"];

/// What the model and the policy made of one recording: its worst channel's.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `None` where nothing could be judged.
    pub llr: Option<f32>,
    /// The policy's answer.
    pub decision: Decision,
    /// Why, where inconclusive: a key of the scan result.
    pub reason: String,
    /// Seconds of speech; `None` where nothing was decoded.
    pub speech_secs: Option<f64>,
    /// Highest frequency with speech energy, in Hz.
    pub bandwidth_hz: Option<u32>,
    /// Speech over noise floor, in dB.
    pub snr_db: Option<f32>,
}

/// A recording of the protocol with its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredRow {
    /// As in the protocol.
    pub row: Row,
    /// What came out.
    pub outcome: Outcome,
}

/// The scores file. LLRs keep every digit, so that tables computed from it are those of the first run.
pub fn to_csv(columns: &[String], rows: &[ScoredRow]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = columns.iter().map(String::as_str).chain(COLUMNS);
    writer.write_record(header).expect("a Vec takes any row");
    for ScoredRow { row, outcome } in rows {
        let added = [
            shown(outcome.llr),
            decision_key(outcome.decision).to_owned(),
            outcome.reason.clone(),
            shown(outcome.speech_secs),
            shown(outcome.bandwidth_hz),
            shown(outcome.snr_db),
        ];
        writer.write_record(row.fields.iter().chain(&added)).expect("every row is as long as the header");
    }
    writer.into_inner().expect("a Vec takes any bytes")
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Takes the outcomes out of a protocol that was read from a scores file.
///
/// # Errors
/// A missing column or a value that is none, with its row.
pub fn take_outcomes(protocol: &mut Protocol, path: &Path) -> Result<Vec<Outcome>> {
    let fault = |message: String| Error::Config(format!("{}: {message}", path.display()));
    let mut at = [0; COLUMNS.len()];
    for (slot, name) in at.iter_mut().zip(COLUMNS) {
        let found = protocol.column(name);
        *slot = found.ok_or_else(|| fault(format!("no column {name} – expected a file that --scores wrote")))?;
    }
    let outcomes = protocol.rows.iter().enumerate().map(|(index, row)| {
        outcome(&at.map(|position| row.fields[position].as_str()))
            .map_err(|message| fault(format!("row {}: {message}", index + 1)))
    });
    let outcomes = outcomes.collect::<Result<Vec<_>>>()?;
    protocol.drop_columns(&COLUMNS);
    Ok(outcomes)
}

fn outcome(fields: &[&str; COLUMNS.len()]) -> Result<Outcome, String> {
    let [llr, decision, reason, speech_secs, bandwidth_hz, snr_db] = fields;
    let decision = match *decision {
        "bona_fide" => Decision::BonaFide,
        "spoof" => Decision::Spoof,
        "inconclusive" => Decision::Inconclusive,
        other => return Err(format!("decision {other:?} – must be bona_fide, spoof or inconclusive")),
    };
    Ok(Outcome {
        llr: number("llr", llr)?,
        decision,
        reason: (*reason).to_owned(),
        speech_secs: number("speech_secs", speech_secs)?,
        bandwidth_hz: number("measured_bandwidth_hz", bandwidth_hz)?,
        snr_db: number("snr_db", snr_db)?,
    })
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{name} {text:?} – must be a number or empty"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Class;

    #[test]
    fn what_is_saved_is_what_is_read() {
        let outcome = |llr| Outcome {
            llr,
            decision: Decision::Inconclusive,
            reason: "uncertain".into(),
            speech_secs: Some(3.1),
            bandwidth_hz: Some(3400),
            snr_db: None,
        };
        let row = |path: &str| Row {
            path: path.into(),
            class: Class::Spoof,
            fields: [path, "spoof", "with, comma"].map(str::to_owned).to_vec(),
        };
        let columns = ["path", "label", "notes"].map(str::to_owned);
        let rows = [Some(-0.123_456_79), None].map(|llr| ScoredRow { row: row("a.wav"), outcome: outcome(llr) });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        std::fs::write(&path, to_csv(&columns, &rows)).unwrap();
        let mut protocol = Protocol::read(&path).unwrap();
        let outcomes = take_outcomes(&mut protocol, &path).unwrap();
        assert_eq!(outcomes, rows.clone().map(|row| row.outcome));
        assert_eq!(protocol.columns, columns);
        assert_eq!(protocol.rows[0].fields, rows[0].row.fields);
    }

    #[test]
    fn bad_values_are_named() {
        for (fields, word) in
            [(["x", "spoof", "", "", "", ""], "llr \"x\""), (["", "fake", "", "", "", ""], "decision \"fake\"")]
        {
            assert!(outcome(&fields).unwrap_err().contains(word));
        }
    }
}
