//! The error rates that a bundle's `CARD.md` states, as numbers: what a report says of the model's own mistakes.
//!
//! The card is verified by the manifest's hash of it, so the numbers belong to the model; they are read from the card's
//! tables, row by row, and a card without a table has none of its numbers.

/// First columns of the table of clips; the row's name stands in the first, as in the next.
const CLIPS: &str = "| val | genuine / spoof | unscored | EER % [95 %] | genuine called cloned % | \
                      spoofs called cloned % |";

/// First columns of the table of recordings with a cloned passage.
const PASSAGES: &str = "| recordings | genuine / spliced | genuine: as a whole % | by insert rule % | either % | \
                        spliced: as a whole % | by insert rule % |";

/// Error rates on one measured condition, at the bundle's own thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredErrors {
    /// Name of the row, such as `phone, 3 clips of a voice joined`.
    pub condition: String,
    /// Genuine trials.
    pub genuine_count: u32,
    /// Spoofed trials.
    pub spoof_count: u32,
    /// Equal error rate with its interval, as printed: `16.1 [11-21]`.
    pub eer_percent: String,
    /// Genuine trials called cloned.
    pub false_alarm_percent: f32,
    /// Spoofed trials called cloned.
    pub caught_percent: f32,
    /// Genuine and spoofed trials that stay inconclusive.
    pub inconclusive_percent: (f32, f32),
}

/// How often passages inside recordings are found, and found where there are none, at the bundle's own thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageErrors {
    /// Name of the row, such as `val, telephone`.
    pub condition: String,
    /// Genuine recordings.
    pub genuine_count: u32,
    /// Recordings with a cloned passage.
    pub spliced_count: u32,
    /// Genuine recordings said to hold a cloned passage.
    pub false_alarm_percent: f32,
    /// Recordings with one in which it was found.
    pub found_percent: f32,
}

/// All that is read of a card.
#[derive(Debug, Default)]
pub(super) struct Card {
    pub(super) clips: Vec<MeasuredErrors>,
    pub(super) passages: Vec<PassageErrors>,
}

impl Card {
    pub(super) fn read(card: &str) -> Self {
        Self { clips: rows(card, CLIPS, clip_row), passages: rows(card, PASSAGES, passage_row) }
    }
}

/// The rows of the first table under `header` that hold all of its numbers.
fn rows<T>(card: &str, header: &str, row: impl Fn(&[&str]) -> Option<T>) -> Vec<T> {
    let lines = card.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let cells = |line: &str| row(&line.trim().trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    lines.take_while(|line| line.starts_with('|')).filter_map(cells).collect()
}

fn passage_row(cells: &[&str]) -> Option<PassageErrors> {
    let [condition, counts, _, false_alarms, _, _, found, ..] = *cells else { return None };
    let (genuine, spliced) = counts.split_once('/')?;
    Some(PassageErrors {
        condition: condition.to_owned(),
        genuine_count: genuine.trim().parse().ok()?,
        spliced_count: spliced.trim().parse().ok()?,
        false_alarm_percent: false_alarms.parse().ok()?,
        found_percent: found.parse().ok()?,
    })
}

fn clip_row(cells: &[&str]) -> Option<MeasuredErrors> {
    let [condition, counts, _, eer, false_alarms, caught, inconclusive, ..] = *cells else { return None };
    let (genuine, spoof) = counts.split_once('/')?;
    let (genuine_open, spoof_open) = inconclusive.split_once('/')?;
    Some(MeasuredErrors {
        condition: condition.to_owned(),
        genuine_count: genuine.trim().parse().ok()?,
        spoof_count: spoof.trim().parse().ok()?,
        eer_percent: eer.replace("**", ""),
        false_alarm_percent: false_alarms.parse().ok()?,
        caught_percent: caught.parse().ok()?,
        inconclusive_percent: (genuine_open.parse().ok()?, spoof_open.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_embedded_card() {
        let files = crate::model::embedded_files();
        let card = Card::read(std::str::from_utf8(&files["CARD.md"]).unwrap());
        for name in ["val", "val, telephone", "val, lasting", "val, lasting, telephone"] {
            let row = card.passages.iter().find(|row| row.condition == name);
            let row = row.unwrap_or_else(|| panic!("{name} is not in the card"));
            assert!(row.genuine_count > 0 && row.spliced_count > 0, "{row:?}");
            assert!(row.false_alarm_percent < row.found_percent, "{row:?}");
        }
        let rows = card.clips;
        let named = |name: &str| rows.iter().find(|row| row.condition == name);
        for name in
            ["clean", "phone", "clean, 3 clips of a voice joined", "phone, 3 clips of a voice joined", "babble-15db"]
        {
            let row = named(name).unwrap_or_else(|| panic!("{name} is not in the card"));
            assert!(row.genuine_count > 0 && row.spoof_count > 0 && row.eer_percent.contains('['), "{row:?}");
            assert!(row.false_alarm_percent < row.caught_percent || name.starts_with("babble"), "{row:?}");
        }
        assert_eq!(named("clean, unseen generators"), None, "it has no genuine trials");
    }

    #[test]
    fn columns_of_passages_are_told_apart() {
        let card =
            format!("text\n{PASSAGES} more |\n|---|\n| val | 90 / 80 | 1 | 2 | 3 | 4 | 5 | 6 |\n| val | x |\n\n| a |");
        let expected = PassageErrors {
            condition: "val".into(),
            genuine_count: 90,
            spliced_count: 80,
            false_alarm_percent: 2.0,
            found_percent: 5.0,
        };
        assert_eq!(Card::read(&card).passages, [expected]);
        assert_eq!(Card::read("| recordings |\n|---|\n| val |").passages, []);
    }

    #[test]
    fn other_text_has_no_numbers() {
        let table = format!("{CLIPS} more |\n|---|---|---|---|---|---|---|\n| a | 1 / 2 | 0 | x | y | z | 1/2 |\n");
        for card in ["", "| val |\n|---|\n| clean |", &table] {
            let card_read = Card::read(card);
            assert!(card_read.clips.is_empty() && card_read.passages.is_empty(), "{card}");
        }
    }
}
