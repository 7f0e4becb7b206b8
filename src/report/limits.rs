//! What a verdict does not say, with the error rates that the model's card states.

use maud::{Markup, html};

use super::{
    Basis,
    basis::{CONDITIONS, PASSAGES},
};
use crate::cli::render::printable;

const SENTENCES: [&str; 7] = [
    "It is a statistical judgement by a small neural network, not proof: a reason to look closer, or not to.",
    "The LLR (log-likelihood ratio, natural logarithm) says how much better one explanation fits the speech than the \
     other. It is not the probability that the voice is cloned: that depends on how common clones are among your \
     recordings.",
    "It says nothing about who speaks, and nothing about the words.",
    "A clone that is played over a loudspeaker and recorded again may pass as genuine.",
    "A genuine voice that was strongly processed (noise removal, restoration, studio effects) may look cloned.",
    "Edits of a few words inside a genuine sentence, and voices over loud babble, are mostly missed.",
    "Somebody who optimises audio against this program can evade it.",
];

/// The limits, for people who would otherwise read too much into an answer.
pub fn limits(basis: &Basis) -> Markup {
    let is_default = basis.thresholds == basis.model_thresholds;
    html! {
        ul.limits { @for sentence in SENTENCES { li { (sentence) } } }
        @if basis.measured_errors.is_empty() {
            p {
                "The model " (printable(&basis.provenance.model_id)) " comes without a table of measured errors: how often \
                 it is wrong is not known."
            }
        } @else {
            p {
                "How often the model " (printable(&basis.provenance.model_id)) " is wrong, measured on recordings and \
                 generators that it was not trained on, at its own thresholds"
                @if !is_default { " (the policy of this report has others)" }
                ":"
            }
            (error_table(basis))
        }
    }
}

fn error_table(basis: &Basis) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Measured errors" { table.errors {
            thead { tr {
                th scope="col" { "Recordings" }
                th.number scope="col" { "Genuine called cloned" }
                th.number scope="col" { "Clones called cloned" }
                th.number scope="col" { "Inconclusive, genuine / cloned" }
                th.number scope="col" { "Equal error rate [95 %]" }
                th.number scope="col" { "Tested, genuine / cloned" }
            } }
            tbody { @for (condition, words) in CONDITIONS { @if let Some(row) = basis.condition(condition) { tr {
                th scope="row" { (words) }
                td.number { (row.false_alarm_percent) " %" }
                td.number { (row.caught_percent) " %" }
                td.number { (row.inconclusive_percent.0) " / " (row.inconclusive_percent.1) " %" }
                td.number { (row.eer_percent) " %" }
                td.number { (row.genuine_count) " / " (row.spoof_count) }
            } } }
            @for passages in PASSAGES { @if let Some(row) = basis.passage_condition(passages.condition) { tr {
                th scope="row" { (passages.words) ", with or without a cloned passage of " (passages.secs) }
                td.number { (row.false_alarm_percent) " %" }
                td.number { (row.found_percent) " %" }
                td.number { "–" } td.number { "–" }
                td.number { (row.genuine_count) " / " (row.spliced_count) }
            } } } }
        } }
    }
}
