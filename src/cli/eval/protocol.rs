//! Protocol files: which recordings, their truth, and any further columns to break results down by.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{
    error::{Error, Result},
    metrics::Class,
};

/// Families that are copy-synthesis of genuine speech: no cloned caller sounds like them, so the headline leaves them out.
const COPY_FAMILIES: [&str; 2] = ["vocoder", "codec"];

/// A protocol in memory. Every row has a field for every column.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// Header, in file order.
    pub columns: Vec<String>,
    /// In file order.
    pub rows: Vec<Row>,
}

/// One recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it lies: a relative path starts at the protocol's folder.
    pub path: PathBuf,
    /// The truth.
    pub class: Class,
    /// As in the file, one per column.
    pub fields: Vec<String>,
}

impl Protocol {
    /// Reads a CSV file with header.
    ///
    /// # Errors
    /// An unreadable file, a missing column `path` or `label`, a row of another length, an unknown label.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path.display(), e))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
            .map_err(|message| Error::Config(format!("{}: {message}", path.display())))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|e| e.to_string())?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        if let Some(twice) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name)) {
            return Err(format!("column {:?} stands twice in the header – every name must be its own", twice.1));
        }
        let at = |name: &str| {
            let found = columns.iter().position(|column| column == name);
            found.ok_or_else(|| format!("no column {name} – the header must have path and label"))
        };
        let (path_at, label_at) = (at("path")?, at("label")?);
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| e.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let fields: Vec<String> = record.iter().map(str::to_owned).collect();
            let class = class_of(&fields[label_at]).map_err(|message| format!("line {line}: {message}"))?;
            if fields[path_at].is_empty() {
                return Err(format!("line {line}: path is empty – expected a file name"));
            }
            rows.push(Row { path: folder.join(&fields[path_at]), class, fields });
        }
        Ok(Self { columns, rows })
    }

    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Takes columns out of header and rows.
    pub fn drop_columns(&mut self, names: &[&str]) {
        while let Some(at) = self.columns.iter().position(|column| names.contains(&column.as_str())) {
            self.columns.remove(at);
            self.rows.iter_mut().for_each(|row| drop(row.fields.remove(at)));
        }
    }

    /// Which rows pass every filter and, if spoofs, are of the families.
    ///
    /// # Errors
    /// A filter or family list on a column that is not there.
    pub fn select(&self, filters: &[Filter], families: &Families) -> Result<Vec<bool>> {
        let position = |name: &str| {
            let columns = || self.columns.join(", ");
            self.column(name).ok_or_else(|| Error::Usage(format!("no column {name} – there are {}", columns())))
        };
        let filters =
            filters.iter().map(|filter| Ok((position(&filter.column)?, filter))).collect::<Result<Vec<_>>>()?;
        let family_at = if *families == Families::All { None } else { Some(position("family")?) };
        let passes = |row: &Row| {
            filters.iter().all(|(at, filter)| filter.accepts(&row.fields[*at]))
                && (row.class == Class::BonaFide || family_at.is_none_or(|at| families.contain(&row.fields[at])))
        };
        Ok(self.rows.iter().map(passes).collect())
    }
}

fn class_of(label: &str) -> Result<Class, String> {
    match label {
        "bonafide" | "bona-fide" | "bona_fide" => Ok(Class::BonaFide),
        "spoof" => Ok(Class::Spoof),
        other => Err(format!("label {other:?} – must be bonafide or spoof")),
    }
}

/// One condition on a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    column: String,
    value: String,
    relation: Relation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
}

impl Filter {
    fn accepts(&self, field: &str) -> bool {
        (field == self.value) == (self.relation == Relation::Equal)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, value, relation) = match text.split_once('=') {
            Some((left, value)) => match left.strip_suffix('!') {
                Some(column) => (column, value, Relation::Unequal),
                None => (left, value, Relation::Equal),
            },
            None => return Err("expected COLUMN=VALUE or COLUMN!=VALUE".into()),
        };
        if column.is_empty() {
            return Err("the column before = is missing".into());
        }
        Ok(Self { column: column.into(), value: value.into(), relation })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = if self.relation == Relation::Equal { "=" } else { "!=" };
        write!(f, "{}{relation}{}", self.column, self.value)
    }
}

/// Which spoofs count; bona fide rows always do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Families {
    /// All of them.
    All,
    /// All but vocoder and codec copies of genuine speech.
    Core,
    /// These only.
    Only(Vec<String>),
}

impl Families {
    /// Whether a spoof of `family` counts.
    pub fn contain(&self, family: &str) -> bool {
        match self {
            Self::All => true,
            Self::Core => !COPY_FAMILIES.contains(&family),
            Self::Only(names) => names.iter().any(|name| name == family),
        }
    }
}

impl FromStr for Families {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "core" => Ok(Self::Core),
            "" => Err("expected all, core or family names".into()),
            list => Ok(Self::Only(list.split(',').map(|name| name.trim().to_owned()).collect())),
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Core => f.write_str("core"),
            Self::Only(names) => f.write_str(&names.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "path,label,split,family\na.wav,bonafide,val,human\nb.wav,spoof,val,vocoder\n\
                        /c.wav,spoof,train,tts\n";

    #[test]
    fn rows_are_selected_by_filters_and_families() {
        let protocol = Protocol::parse(TEXT, Path::new("/p")).unwrap();
        assert_eq!(protocol.rows[0].path, Path::new("/p/a.wav"));
        assert_eq!(protocol.rows[2].path, Path::new("/c.wav"));
        for (filters, families, expected) in [
            (&[][..], "all", [true, true, true]),
            (&[], "core", [true, false, true]),
            (&[], "vocoder", [true, true, false]),
            (&["split=val"], "all", [true, true, false]),
            (&["split!=val"], "all", [false, false, true]),
            (&["split=val", "family!=human"], "core", [false, false, false]),
        ] {
            let filters: Vec<Filter> = filters.iter().map(|filter| filter.parse().unwrap()).collect();
            let kept = protocol.select(&filters, &families.parse().unwrap()).unwrap();
            assert_eq!(kept, expected, "{filters:?} {families}");
        }
    }

    #[test]
    fn faults_name_line_and_remedy() {
        for (text, word) in [
            ("path,lable\n", "label"),
            ("path,label\na.wav,genuine\n", "line 2: label \"genuine\""),
            ("path,label\na.wav\n", "line: 2"),
            ("path,label,path\na.wav,spoof,b.wav\n", "column \"path\" stands twice"),
            ("path,label,split,split\n", "column \"split\" stands twice"),
            ("path,label\na.wav,spoof\n ,spoof\n", "line 3: path is empty"),
        ] {
            let message = Protocol::parse(text, Path::new("")).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
        let protocol = Protocol::parse(TEXT, Path::new("")).unwrap();
        let filter: Filter = "codec=mp3".parse().unwrap();
        assert!(protocol.select(&[filter], &Families::All).unwrap_err().to_string().contains("no column codec"));
        assert!("split".parse::<Filter>().is_err() && "=x".parse::<Filter>().is_err());
    }

    #[test]
    fn columns_are_dropped_from_header_and_rows() {
        let mut protocol = Protocol::parse(TEXT, Path::new("")).unwrap();
        protocol.drop_columns(&["split", "nothing"]);
        assert_eq!(protocol.columns, ["path", "label", "family"]);
        assert_eq!(protocol.rows[1].fields, ["b.wav", "spoof", "vocoder"]);
    }
}
