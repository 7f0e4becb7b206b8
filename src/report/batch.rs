//! The top of a batch's page: counts, what is left out, the table, and small strips of what was flagged.

use maud::{Markup, PreEscaped, html};

use super::{
    Basis,
    answer::sign,
    figure::small_strip,
    strip::legend,
    words::{self, Tone, signed},
};
use crate::{
    cli::render::printable,
    policy::{Decision, Verdict},
    scan::ScanResult,
};

/// What the table keeps of one input.
pub(super) struct Row {
    outcome: Outcome,
    name: String,
    llr: Option<f32>,
    speech_secs: f64,
    duration_secs: Option<f64>,
    /// Whether the page has a section for it.
    pub(super) has_section: bool,
}

enum Outcome {
    Judged { tone: Tone, title: String },
    Failed { message: String },
}

impl Row {
    pub(super) fn of(result: &ScanResult, has_section: bool) -> Self {
        let (tone, title) = (Tone::of(result.decision), words::file_title(result));
        let speech = result.channels.iter().map(|channel| channel.verdict.evidence.quality.speech_secs);
        Self {
            outcome: Outcome::Judged { tone, title },
            name: printable(&result.input.path),
            llr: result.llr.map(|llr| llr.0),
            speech_secs: speech.sum(),
            duration_secs: result.input.duration_secs,
            has_section,
        }
    }

    pub(super) fn failed(message: &str) -> Self {
        let outcome = Outcome::Failed { message: printable(message) };
        Self { outcome, name: String::new(), llr: None, speech_secs: 0.0, duration_secs: None, has_section: false }
    }

    fn tone(&self) -> Option<Tone> {
        match self.outcome {
            Outcome::Judged { tone, .. } => Some(tone),
            Outcome::Failed { .. } => None,
        }
    }
}

/// Title of the page: the counts, and what a run that was stopped did not come to.
pub(super) fn title(rows: &[Row], input_count: usize) -> String {
    let count = |tone: Option<Tone>| rows.iter().filter(|row| row.tone() == tone).count();
    let counted = [
        (count(Some(Tone::Cloned)), "likely cloned"),
        (count(Some(Tone::Open)), "inconclusive"),
        (count(Some(Tone::Genuine)), "likely genuine"),
    ];
    let mut parts: Vec<String> = counted.iter().map(|(count, words)| format!("{count} {words}")).collect();
    let failed = count(None);
    if failed > 0 {
        parts.push(format!("{failed} could not be read"));
    }
    let ending = if input_count == 1 { "" } else { "s" };
    let inputs = if rows.len() < input_count {
        format!("Stopped after {} of {input_count} recording{ending}", rows.len())
    } else {
        format!("{input_count} recording{ending}")
    };
    format!("{inputs}: {}", words::list(parts))
}

/// Counts as headline, then the notes on what is left out. What was not judged is not genuine.
pub(super) fn headline(rows: &[Row], input_count: usize, notes: &[String]) -> Markup {
    let is_whole = !rows.is_empty() && rows.len() == input_count;
    let is_all_genuine = is_whole && rows.iter().all(|row| row.tone() == Some(Tone::Genuine));
    let tone = match rows.iter().any(|row| row.tone() == Some(Tone::Cloned)) {
        true => Tone::Cloned,
        false if is_all_genuine => Tone::Genuine,
        false => Tone::Open,
    };
    html! {
        div class=(format!("answer {}", tone.class())) {
            p.name { "clonewatch batch report" }
            h1 { (sign(tone)) (title(rows, input_count)) }
        }
        @for note in notes { p.note { (note) } }
    }
}

/// One row per input; those with a section link to it.
pub(super) fn table(rows: &[Row]) -> Markup {
    html! {
        div.scroll { table.sortable {
            thead { tr {
                th.number scope="col" { "No." } th scope="col" { "Answer" } th scope="col" { "Recording" }
                th.number scope="col" { "LLR" } th.number scope="col" { "Speech" } th.number scope="col" { "Length" }
            } }
            tbody { @for (index, row) in rows.iter().enumerate() { (table_row(index + 1, row)) } }
        } }
    }
}

fn table_row(number: usize, row: &Row) -> Markup {
    // Sorted by answer, the worst come first.
    let rank = row.tone().map_or(3, |tone| tone as u8);
    html! {
        tr class=(row.tone().map_or("none", Tone::class)) {
            td.number { (number) }
            td data-key=(rank) { @match &row.outcome {
                Outcome::Judged { tone, title } => { (sign(*tone)) (title) },
                Outcome::Failed { message } => { "could not be read: " (message) },
            } }
            td.wrap { @if row.has_section { a href=(format!("#file-{number}")) { (row.name) } } @else { (row.name) } }
            td.number data-key=(row.llr.map_or_else(String::new, |llr| format!("{llr:.4}"))) {
                @match row.llr { Some(llr) => (signed(llr)), None => "–" }
            }
            td.number data-key=(format!("{:.2}", row.speech_secs)) { (format!("{:.1} s", row.speech_secs)) }
            td.number data-key=(row.duration_secs.map_or_else(String::new, |secs| format!("{secs:.2}"))) {
                @match row.duration_secs { Some(secs) => (words::clock(secs)), None => "–" }
            }
        }
    }
}

/// A small strip of a flagged file's worst channel.
pub(super) fn multiple(number: usize, result: &ScanResult, basis: &Basis) -> Option<Markup> {
    let flagged = |verdict: &&Verdict| verdict.decision == Decision::Spoof;
    let verdict = result.channels.iter().map(|channel| &channel.verdict).find(flagged)?;
    let label = format!("{}. {}", words::title(verdict), words::place(verdict, basis));
    Some(html! {
        li {
            a.wrap href=(format!("#file-{number}")) { (number) " · " (printable(&result.input.path)) }
            p { (label) }
            (small_strip(verdict, &basis.thresholds, &label))
        }
    })
}

/// The small strips, already rendered, with their legend.
pub(super) fn multiples(items: &str, basis: &Basis) -> Markup {
    html! { (legend(&basis.thresholds)) ul.multiples { (PreEscaped(items)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_looks_genuine() {
        let row = |tone: Tone| Row {
            outcome: Outcome::Judged { tone, title: tone.of_file().into() },
            name: "a.wav".into(),
            llr: None,
            speech_secs: 0.0,
            duration_secs: None,
            has_section: false,
        };
        use Tone::{Cloned, Genuine, Open};
        for (rows, input_count, class, words) in [
            (vec![row(Genuine)], 1, "genuine", "1 recording: 0 likely cloned, 0 inconclusive and 1 likely genuine"),
            (vec![row(Genuine)], 3, "open", "Stopped after 1 of 3 recordings: 0 likely cloned, 0 inconclusive and 1 "),
            (vec![row(Genuine), row(Cloned)], 3, "cloned", "Stopped after 2 of 3 recordings: 1 likely cloned"),
            (vec![row(Genuine), row(Open)], 2, "open", "2 recordings: "),
            (vec![row(Genuine), Row::failed("x")], 2, "open", "1 likely genuine and 1 could not be read"),
            (vec![], 0, "open", "0 recordings: "),
        ] {
            let found = headline(&rows, input_count, &[]).0;
            assert!(found.contains(&format!("\"answer {class}\"")) && found.contains(words), "{found}");
        }
    }
}
