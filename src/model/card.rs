//! The error rates that a bundle's `CARD.md` states, as numbers: what a report says of the model's own mistakes.
//!
//! The card is verified by the manifest's hash of it, so the numbers belong to the model; they are read from the card's
//! table of results whose header begins with [`HEADER`], row by row, and a card without that table has none.

/// First columns of the table; the row's name stands in the first.
const HEADER: &str = "| val | genuine / spoof | unscored | EER % [95 %] | genuine called cloned % | \
                      spoofs called cloned % |";

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

/// The rows of the first such table in `card` that hold all of these numbers.
pub(super) fn measured_errors(card: &str) -> Vec<MeasuredErrors> {
    let rows = card.lines().skip_while(|line| !line.starts_with(HEADER)).skip(2);
    rows.take_while(|line| line.starts_with('|')).filter_map(row).collect()
}

fn row(line: &str) -> Option<MeasuredErrors> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [condition, counts, _, eer, false_alarms, caught, inconclusive, ..] = cells[..] else { return None };
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
        let rows = measured_errors(std::str::from_utf8(&files["CARD.md"]).unwrap());
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
    fn other_text_has_no_numbers() {
        let table = format!("{HEADER} more |\n|---|---|---|---|---|---|---|\n| a | 1 / 2 | 0 | x | y | z | 1/2 |\n");
        for card in ["", "| val |\n|---|\n| clean |", &table] {
            assert_eq!(measured_errors(card), [], "{card}");
        }
    }
}
