//! From protocol rows to outcomes: each recording alone, or several of one speaker joined as a call would have them.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{
    is_watched,
    protocol::{Protocol, Row},
    scores::{Outcome, ScoredRow},
};
use crate::{
    cli::{counted, interrupt::Interrupt, note, progress::Progress, render::reason_key, report_error},
    decode::first_channel_16k,
    error::{Error, Result},
    policy::Verdict,
    pool::ordered_map,
    scan::{Engine, ScanResult},
    screen::Screener,
};

/// What a field of joined rows says where they differ.
const MIXED: &str = "mixed";

/// One thing to score.
pub struct Recording {
    row: Row,
    /// One file, or several to be heard one after the other.
    files: Vec<std::path::PathBuf>,
}

/// Rows as recordings of their own, or joined by `join` where that many are of one kind: of one class and alike in the
/// columns `join_by`, as far as the protocol has them. The rest is left out.
///
/// # Errors
/// No `join` rows of any kind.
pub fn recordings(protocol: &Protocol, join: Option<u16>, join_by: &[String]) -> Result<Vec<Recording>> {
    let Some(join) = join.map(usize::from) else {
        let alone = |row: &Row| Recording { files: vec![row.path.clone()], row: row.clone() };
        return Ok(protocol.rows.iter().map(alone).collect());
    };
    let keys = ["label"].into_iter().chain(join_by.iter().map(String::as_str));
    let keys: Vec<usize> = keys.filter_map(|name| protocol.column(name)).collect();
    let mut order: Vec<Vec<&str>> = Vec::new();
    let mut kinds: HashMap<Vec<&str>, Vec<&Row>> = HashMap::new();
    for row in &protocol.rows {
        let kind: Vec<&str> = keys.iter().map(|&at| row.fields[at].as_str()).collect();
        kinds
            .entry(kind.clone())
            .or_insert_with(|| {
                order.push(kind);
                Vec::new()
            })
            .push(row);
    }
    let groups = order.iter().filter_map(|kind| kinds.get(kind)).flat_map(|rows| rows.chunks_exact(join));
    let joined: Vec<Recording> = groups.map(joined).collect();
    let left_out = protocol.rows.len() - joined.len() * join;
    note(format_args!(
        "clonewatch: {} of {join} joined files; {} left over",
        counted(joined.len(), "recording"),
        counted(left_out, "file")
    ));
    if joined.is_empty() {
        let by = join_by.join(" and ");
        return Err(Error::Usage(format!("--join {join}: no {by} has that many files")));
    }
    Ok(joined)
}

fn joined(rows: &[&Row]) -> Recording {
    let mut row = rows[0].clone();
    for (at, field) in row.fields.iter_mut().enumerate() {
        if rows.iter().any(|other| other.fields[at] != *field) {
            *field = MIXED.into();
        }
    }
    Recording { row, files: rows.iter().map(|row| row.path.clone()).collect() }
}

/// Scores everything with `threads` threads; recordings that cannot be read are reported and counted.
pub fn score_all(
    engine: &Engine,
    recordings: Vec<Recording>,
    threads: usize,
    interrupt: &Interrupt,
) -> (Vec<ScoredRow>, usize) {
    let progress = Progress::new(if is_watched() { recordings.len() } else { 0 }, recordings.len() as u64);
    let mut scored = Vec::with_capacity(recordings.len());
    let mut failed_count = 0;
    let work = |recording: &Recording| score(engine, recording);
    ordered_map(&recordings, threads, interrupt.flag(), work, |index, outcome| {
        match outcome {
            Ok(outcome) => scored.push(ScoredRow { row: recordings[index].row.clone(), outcome }),
            Err(error) => {
                failed_count += 1;
                progress.around(|| report_error(&error));
            }
        }
        progress.advance(index + 1, 1);
        true
    });
    (scored, failed_count)
}

fn score(engine: &Engine, recording: &Recording) -> Result<Outcome> {
    match recording.files.as_slice() {
        [file] => engine.scan_path(file, None).map(|result| of_scan(&result)),
        files => screen_joined(engine, files).map(|verdict| of_verdict(&verdict)),
    }
}

/// A file's outcome is that of the channel that decided it.
fn of_scan(result: &ScanResult) -> Outcome {
    let deciding =
        result.channels.iter().map(|channel| &channel.verdict).find(|verdict| {
            verdict.llr == result.llr && (verdict.decision == result.decision || result.detail.is_some())
        });
    let quality = deciding.map(|verdict| verdict.evidence.quality);
    Outcome {
        llr: result.llr.map(|llr| llr.0),
        decision: result.decision,
        reason: result.reason.map_or("", reason_key).to_owned(),
        speech_secs: quality.map(|quality| quality.speech_secs),
        bandwidth_hz: quality.and_then(|quality| quality.bandwidth_hz),
        snr_db: quality.and_then(|quality| quality.snr_db),
    }
}

fn of_verdict(verdict: &Verdict) -> Outcome {
    let quality = verdict.evidence.quality;
    Outcome {
        llr: verdict.llr.map(|llr| llr.0),
        decision: verdict.decision,
        reason: verdict.reason.map_or("", reason_key).to_owned(),
        speech_secs: Some(quality.speech_secs),
        bandwidth_hz: quality.bandwidth_hz,
        snr_db: quality.snr_db,
    }
}

/// One screener hears the first channel of every file in turn.
fn screen_joined(engine: &Engine, files: &[std::path::PathBuf]) -> Result<Verdict> {
    let mut screener = Screener::new(Arc::clone(&engine.model));
    for file in files {
        push_file(engine, file, &mut screener)?;
    }
    screener.finish().map(|evidence| engine.policy.judge(evidence)).map_err(|e| Error::Fault(e.to_string()))
}

fn push_file(engine: &Engine, path: &Path, screener: &mut Screener) -> Result<()> {
    let mut failure = None;
    let decoded = first_channel_16k(path, &engine.limits, |samples| {
        failure = screener.push(samples).err();
        failure.is_none()
    });
    if let Some(e) = failure {
        return Err(Error::Fault(format!("{}: {e}", path.display())));
    }
    decoded.map_err(|e| Error::Config(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Class;

    #[test]
    fn rows_of_one_kind_are_joined_in_order() {
        let row = |path: &str, speaker: &str, language: &str| Row {
            path: path.into(),
            class: Class::Spoof,
            fields: [path, "spoof", speaker, language].map(str::to_owned).to_vec(),
        };
        let protocol = Protocol {
            columns: ["path", "label", "speaker", "language"].map(str::to_owned).to_vec(),
            rows: vec![
                row("1", "a", "en"),
                row("2", "b", "en"),
                row("3", "a", "en"),
                row("4", "b", "de"),
                row("5", "a", "en"),
            ],
        };
        let by = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let voice = by(&["speaker", "system"]);
        let joined = recordings(&protocol, Some(2), &voice).unwrap();
        let files: Vec<Vec<&str>> =
            joined.iter().map(|r| r.files.iter().filter_map(|file| file.to_str()).collect()).collect();
        assert_eq!(files, [["1", "3"], ["2", "4"]]);
        assert_eq!(joined[1].row.fields, ["mixed", "spoof", "b", "mixed"]);
        assert!(recordings(&protocol, Some(4), &voice).is_err());
        assert_eq!(recordings(&protocol, Some(4), &by(&["language"])).unwrap_or_default().len(), 1);
        assert_eq!(recordings(&protocol, None, &voice).unwrap().len(), 5);
    }
}
