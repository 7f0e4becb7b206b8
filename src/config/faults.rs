//! Names what is wrong with a configuration file: file, line, key, value, what was expected.

use std::{fmt, ops::Range};

use toml::{Spanned, de::DeValue};

use crate::error::{Error, Result};

/// Longest value that an error repeats, in characters.
const MOST_CHARS: usize = 80;

/// Collects faults, so that an operator sees them all at once.
pub struct Faults<'a> {
    file: &'a str,
    text: &'a str,
    root: Option<Spanned<DeValue<'a>>>,
    lines: Vec<String>,
}

impl<'a> Faults<'a> {
    /// None so far in `file`, which holds `text`.
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let root = toml::de::DeTable::parse(text).ok();
        let root = root.map(|table| Spanned::new(table.span(), DeValue::Table(table.into_inner())));
        Self { file, text, root, lines: Vec::new() }
    }

    /// `key` (such as `tokens[0].name`) has a `value` that is not `expected`.
    pub fn add(&mut self, key: &str, value: impl fmt::Display, expected: &str) {
        let value: String = value.to_string().chars().take(MOST_CHARS).collect();
        let value = if value.is_empty() { "\"\"".into() } else { value };
        let place = self.span_of(key).map_or_else(String::new, |span| format!(":{}", line_of(self.text, span.start)));
        self.lines.push(format!("{}{place}: {key}: {value} – must be {expected}", self.file));
    }

    /// Adds the fault unless `value` lies in `range`.
    pub fn range<T: PartialOrd + fmt::Display>(&mut self, key: &str, value: T, range: std::ops::RangeInclusive<T>) {
        if !range.contains(&value) {
            self.add(key, value, &format!("{}-{}", range.start(), range.end()));
        }
    }

    /// All of them as one error.
    pub(super) fn into_result(self) -> Result<()> {
        if self.lines.is_empty() { Ok(()) } else { Err(Error::Config(self.lines.join("\n"))) }
    }

    /// Where the value of `key` stands, or the nearest table around it.
    fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let mut node = self.root.as_ref()?;
        let mut found = None;
        for part in key.split(['.', '[']) {
            let next = match (node.get_ref(), part.strip_suffix(']')) {
                (DeValue::Array(items), Some(index)) => items.get(index.parse::<usize>().ok()?),
                (DeValue::Table(table), None) => table.get(part),
                _ => None,
            };
            let Some(next) = next else { break };
            found = Some(next.span());
            node = next;
        }
        found
    }
}

/// The TOML parser's fault in one line.
pub(super) fn of_parser(file: &str, text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', "; ");
    let Some(span) = error.span() else { return format!("{file}: {message}") };
    let line = line_of(text, span.start);
    let source: String = text.lines().nth(line - 1).unwrap_or("").trim().chars().take(MOST_CHARS).collect();
    // A line that holds a secret is not repeated.
    let secret = ["secret", "auth_token"].into_iter().find(|name| source.contains(name));
    let source = secret.map_or(source, |name| format!("{name} = …"));
    format!("{file}:{line}: {source} – {message}")
}

/// Line of the byte at `offset`, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
