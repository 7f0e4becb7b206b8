//! Draws what is known as lines. Pure: the same facts and size give the same lines.
//!
//! One line per party, those of alarming calls first, the rest oldest first; at 80 columns everything fits, and more
//! room goes to the names of calls.

use super::facts::{Call, Facts, Party};
use crate::{
    cli::render::{Colour, Tone, clock, llr_mark, printable},
    policy::Decision,
};

/// Columns of a party's line besides the call's name.
const FIXED_COLUMNS: usize = 64;
/// Verdicts in a trend.
const TREND: usize = 12;
const PARTY_COLUMNS: usize = 10;

/// Room to draw in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    /// `None`: as many as it takes.
    pub(super) rows: Option<usize>,
}

impl Size {
    /// Paper: scripts and pipes.
    pub(super) const PAGE: Self = Self { columns: 80, rows: None };
}

/// The screen, line by line.
pub(super) fn draw(facts: &Facts, size: Size, colour: Colour) -> Vec<String> {
    let columns = size.columns.max(60);
    let mut lines = head(facts, colour);
    lines.push(colour.paint(Tone::Faint, &titles(columns)));
    let mut calls: Vec<&Call> = facts.live.calls.iter().collect();
    calls.sort_by_key(|call| !call.is_alarming());
    let mut parties: Vec<String> = calls.iter().flat_map(|call| call_lines(call, columns, colour)).collect();
    if parties.is_empty() {
        parties.push("no live calls".into());
    }
    let room = size.rows.map_or(usize::MAX, |rows| rows.saturating_sub(lines.len() + 1));
    if parties.len() > room {
        let hidden = parties.len() - room.saturating_sub(1);
        parties.truncate(room.saturating_sub(1));
        parties.push(colour.paint(Tone::Faint, &format!("… {hidden} more")));
    }
    lines.extend(parties);
    lines
}

fn head(facts: &Facts, colour: Colour) -> Vec<String> {
    let (live, numbers) = (&facts.live, &facts.numbers);
    let verdicts = |decision: &str| numbers.get(&format!("clonewatch_verdicts_total{{decision=\"{decision}\"}}"));
    let alerts = |kind: &str| numbers.get(&format!("clonewatch_live_alerts_total{{kind=\"{kind}\"}}"));
    let outbox = |state: &str| numbers.get(&format!("clonewatch_outbox_events{{state=\"{state}\"}}"));
    let mut lines = vec![
        format!("clonewatch {}, model {}", printable(&facts.version), printable(&facts.model)),
        format!(
            "calls     {} of {}, a verdict every {} s, {} parties wait for a worker",
            live.calls.len(),
            live.max_calls,
            live.refresh_secs,
            numbers.get("clonewatch_live_waiting_parties"),
        ),
        format!(
            "queue     {} waiting, {} inside ({})",
            numbers.get("clonewatch_queue_depth"),
            numbers.get("clonewatch_inside_jobs"),
            megabytes(numbers.get("clonewatch_inside_bytes")),
        ),
        format!(
            "verdicts  {} cloned, {} inconclusive, {} genuine since the start",
            verdicts("spoof"),
            verdicts("inconclusive"),
            verdicts("bona_fide"),
        ),
        format!(
            "alerts    {} raised, {} taken back; events: {} to deliver, {} given up",
            alerts("call.alert"),
            alerts("call.retracted"),
            outbox("pending"),
            outbox("dead"),
        ),
        String::new(),
    ];
    if let Some(trouble) = &facts.trouble {
        lines[0] = colour.paint(Tone::Cloned, &printable(trouble));
    }
    lines
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

fn titles(columns: usize) -> String {
    let call = columns - FIXED_COLUMNS;
    format!(
        "{:call$} {:PARTY_COLUMNS$} {:<10} {:>7} {:>6} {:>6} {:TREND$} {:<6}",
        "CALL", "PARTY", "VERDICT", "SPEECH", "LLR", "10 S", "TREND", "ALERT"
    )
}

fn call_lines(call: &Call, columns: usize, colour: Colour) -> Vec<String> {
    let width = columns - FIXED_COLUMNS;
    let name = fitting(call.external_id.as_deref().unwrap_or(&call.id), width);
    if call.parties.is_empty() {
        return vec![format!("{name} {}", colour.paint(Tone::Faint, "no audio yet"))];
    }
    let blank = " ".repeat(width);
    let line = |(index, party): (usize, &Party)| {
        let name = if index == 0 { &name } else { &blank };
        format!("{name} {}", party_line(party, colour))
    };
    call.parties.iter().enumerate().map(line).collect()
}

fn party_line(party: &Party, colour: Colour) -> String {
    let (tone, words) = verdict(party);
    let llr = |llr: Option<f64>| llr.map_or_else(|| "–".into(), |llr| format!("{llr:+.2}"));
    let skip = party.trail.len().saturating_sub(TREND);
    let trend: String = party.trail.iter().skip(skip).map(|(_, llr)| llr_mark(*llr as f32)).collect();
    let trend = colour.paint(tone, &format!("{trend:TREND$}"));
    let (alarm, alert) = match &party.alert {
        None if party.skipped_secs > 0.0 => (Tone::Open, "late".to_owned()),
        None => (Tone::Faint, String::new()),
        Some(alert) if alert.retracted_at.is_some() => (Tone::Faint, "(over)".to_owned()),
        Some(alert) => (Tone::Cloned, format!("! {}", clock(alert.raised_secs))),
    };
    let text = format!(
        "{} {} {:>7} {:>6} {:>6} {trend} {}",
        fitting(&party.name, PARTY_COLUMNS),
        colour.paint(tone, &format!("{words:<10}")),
        clock(party.speech_secs),
        llr(party.llr),
        llr(party.llr_last_10_secs),
        colour.paint(alarm, &alert),
    );
    if colour == Colour::Never { text.trim_end().to_owned() } else { text }
}

fn verdict(party: &Party) -> (Tone, &'static str) {
    match (party.state.as_str(), party.decision) {
        ("failed", _) => (Tone::Open, "failed"),
        (_, None) => (Tone::Faint, "listening"),
        (_, Some(Decision::Spoof)) => (Tone::Cloned, "cloned"),
        (_, Some(Decision::BonaFide)) => (Tone::Genuine, "genuine"),
        (_, Some(Decision::Inconclusive)) => (Tone::Open, "undecided"),
    }
}

/// `text`, safe to print, in exactly `width` characters.
fn fitting(text: &str, width: usize) -> String {
    let shown = printable(text);
    if shown.chars().count() <= width {
        return format!("{shown:width$}");
    }
    let kept: String = shown.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::{
        super::facts::{Alert, Live, Numbers},
        *,
    };

    fn party(name: &str, llr: Option<f64>, alert: Option<Alert>) -> Party {
        let decision = llr.map(|llr| if llr < -2.0 { Decision::Spoof } else { Decision::BonaFide });
        let trail = llr.map(|llr| (0..40).map(|i| (f64::from(i), llr)).collect()).unwrap_or_default();
        Party {
            name: name.into(),
            state: "judged".into(),
            decision,
            speech_secs: 63.0,
            llr,
            llr_last_10_secs: llr,
            alert,
            trail,
            ..Party::default()
        }
    }

    fn call(id: &str, parties: Vec<Party>) -> Call {
        Call { id: id.into(), external_id: None, parties }
    }

    fn facts(calls: Vec<Call>) -> Facts {
        let numbers = Numbers::read("clonewatch_queue_depth 3\nclonewatch_verdicts_total{decision=\"spoof\"} 2\n");
        let live = Live { calls, max_calls: 200, refresh_secs: 1.0 };
        Facts { version: "1".into(), model: "m".into(), live, numbers, trouble: None }
    }

    #[test]
    fn parties_are_aligned_and_alarming_calls_come_first() {
        let raised = Alert { raised_secs: 5.0, retracted_at: None };
        let over = Alert { raised_secs: 5.0, retracted_at: Some("now".into()) };
        let calls = vec![
            call("first", vec![party("agent", Some(2.5), None), party("caller", Some(-0.5), Some(over))]),
            call("second", vec![party("caller", Some(-4.31), Some(raised))]),
            call("third", Vec::new()),
        ];
        let lines = draw(&facts(calls), Size::PAGE, Colour::Never);
        assert!(lines.iter().any(|line| line == "queue     3 waiting, 0 inside (0.0 MB)"), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("verdicts  2 cloned, 0 inconclusive")), "{lines:#?}");
        assert_eq!(
            lines[6..],
            [
                "CALL             PARTY      VERDICT     SPEECH    LLR   10 S TREND        ALERT ",
                "second           caller     cloned        1:03  -4.31  -4.31 ▇▇▇▇▇▇▇▇▇▇▇▇ ! 0:05",
                "first            agent      genuine       1:03  +2.50  +2.50 ▃▃▃▃▃▃▃▃▃▃▃▃",
                "                 caller     genuine       1:03  -0.50  -0.50 ▅▅▅▅▅▅▅▅▅▅▅▅ (over)",
                "third            no audio yet",
            ]
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn hostile_names_are_cut_and_written_out() {
        let name = "\u{1b}[2J\u{202e}".to_owned() + &"x".repeat(200);
        let calls = vec![Call { external_id: Some(name.clone()), ..call("id", vec![party(&name, None, None)]) }];
        let mut facts = facts(calls);
        facts.trouble = Some(name);
        for line in draw(&facts, Size { rows: Some(24), ..Size::PAGE }, Colour::Never).iter().skip(1) {
            assert!(!line.contains(['\u{1b}', '\u{202e}']) && line.chars().count() <= 80, "{line:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let calls = (0..30).map(|index| call(&index.to_string(), vec![party("caller", None, None)])).collect();
        let lines = draw(&facts(calls), Size { columns: 80, rows: Some(24) }, Colour::Never);
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (23, Some("… 15 more")));
    }
}
