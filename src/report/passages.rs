//! How often passages inside genuine recordings are found, and found where there are none: the card's table under "Inserts".
//!
//! Read from the card of the embedded bundle, whose hash the manifest holds; other bundles keep no card at hand, and then
//! pages say that it is not known.

use crate::model::{ModelBundle, embedded_files, sha256_hex};

/// First columns of the table; the row's name stands in the first.
const HEADER: &str = "| recordings | genuine / spliced | genuine: as a whole % | by insert rule % | either % | \
                      spliced: as a whole % | by insert rule % |";

/// The measured conditions that are shown: row of the card, in words. Recordings have 30-70 s, passages 4-10 s.
pub(super) const CONDITIONS: [(&str, &str); 2] = [("val", "full band"), ("val, telephone", "telephone")];

/// What was measured on one kind of recordings, at the bundle's own thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageErrors {
    pub(super) condition: String,
    pub(super) genuine_count: u32,
    pub(super) spliced_count: u32,
    /// Genuine recordings said to hold a cloned passage.
    pub(super) false_alarm_percent: f32,
    /// Recordings with one in which it was found.
    pub(super) found_percent: f32,
}

/// Of the model in force, where it is the embedded one.
pub(super) fn passage_errors(model: &ModelBundle) -> Vec<PassageErrors> {
    let files = embedded_files();
    let text = |name: &str| files.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let is_embedded = text("manifest.toml").is_some_and(|text| sha256_hex(text.as_bytes()) == model.sha256());
    text("CARD.md").filter(|_| is_embedded).map(rows).unwrap_or_default()
}

fn rows(card: &str) -> Vec<PassageErrors> {
    let lines = card.lines().skip_while(|line| !line.starts_with(HEADER)).skip(2);
    lines.take_while(|line| line.starts_with('|')).filter_map(row).collect()
}

fn row(line: &str) -> Option<PassageErrors> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [condition, counts, _, false_alarms, _, _, found, ..] = cells[..] else { return None };
    let (genuine, spliced) = counts.split_once('/')?;
    Some(PassageErrors {
        condition: condition.to_owned(),
        genuine_count: genuine.trim().parse().ok()?,
        spliced_count: spliced.trim().parse().ok()?,
        false_alarm_percent: false_alarms.parse().ok()?,
        found_percent: found.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_embedded_card() {
        let model = ModelBundle::load(&embedded_files()).unwrap();
        let rows = passage_errors(&model);
        for (name, _) in CONDITIONS {
            let row =
                rows.iter().find(|row| row.condition == name).unwrap_or_else(|| panic!("{name} is not in the card"));
            assert!(row.genuine_count > 0 && row.spliced_count > 0, "{row:?}");
            assert!(row.false_alarm_percent < row.found_percent, "{row:?}");
        }
    }

    #[test]
    fn columns_are_told_apart() {
        let card =
            format!("text\n{HEADER} more |\n|---|\n| val | 90 / 80 | 1 | 2 | 3 | 4 | 5 | 6 |\n| val | x |\n\n| a |");
        let expected = PassageErrors {
            condition: "val".into(),
            genuine_count: 90,
            spliced_count: 80,
            false_alarm_percent: 2.0,
            found_percent: 5.0,
        };
        assert_eq!(rows(&card), [expected]);
        assert_eq!(rows("| recordings |\n|---|\n| val |"), []);
    }
}
