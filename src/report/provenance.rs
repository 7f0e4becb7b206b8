//! Where a verdict comes from, so that another person gets the same one: model, policy, version, command.

use maud::{Markup, html};

use super::{Basis, words::signed};
use crate::cli::render::printable;

/// Names, hashes and thresholds, and how to repeat it.
pub fn provenance(basis: &Basis, command: Option<&str>) -> Markup {
    let (names, thresholds) = (&basis.provenance, &basis.thresholds);
    html! {
        dl.facts {
            div { dt { "Program" } dd { "clonewatch " (names.version) } }
            div { dt { "Model" } dd.hash { (printable(&names.model_id)) ", SHA-256 " (names.model_sha256) } }
            div { dt { "Policy" } dd {
                (printable(&names.policy_id)) ": cloned below LLR " (signed(thresholds.spoof_below))
                ", genuine from " (signed(thresholds.bona_fide_above)) ", at least " (thresholds.min_speech_secs)
                " s of speech; cleaned by noise suppression (above " (thresholds.denoised.above) "), cloned below "
                (signed(thresholds.denoised.spoof_below)) "; a passage decides below "
                (signed(thresholds.insert.spoof_below)) " on average and "
                (signed(thresholds.insert.sum_below)) " added up (overlaps counted once; lower by ln(segments / 30) in longer channels), "
                (thresholds.insert.drop_nats) " under the rest, over " (thresholds.insert.min_windows) " segments"
            } }
            @if let Some(command) = command {
                div { dt { "To repeat" } dd { code.command { (command) } } }
            }
        }
        // A page that was not made by a command may also hold what a person decided.
        p.note {
            "The same file, model, policy and version give the same "
            @if command.is_some() { "report, byte for byte." } @else { "verdict." }
        }
    }
}

/// `words` as a shell takes them; what could mislead a reader or a terminal is written out (`$'…'`, as in bash and zsh).
pub fn shell_command(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if printable(word) == *word {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if printable(c.encode_utf8(&mut [0; 4])) != c.to_string() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let words = ["clonewatch", "a b.wav", "it's", "x\n\u{202e}'y", "", "--format=csv"].map(String::from);
        assert_eq!(
            shell_command(&words),
            r"clonewatch 'a b.wav' 'it'\''s' $'x\U0000000a\U0000202e\'y' '' --format=csv"
        );
    }
}
