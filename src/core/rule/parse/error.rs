//! Errors of rule files: file, line, column, the line itself with a caret, and what was expected.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// At most this many characters of a line are shown around what an error is about.
const SHOWN: usize = 140;

/// A file's text, with what is needed to find lines in it.
#[derive(Debug)]
pub struct Source<'a> {
    pub file: Arc<str>,
    pub text: &'a str,
    line_starts: Vec<usize>,
}

/// A piece of one line of a file, enough of it to be shown when the file itself is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The line, cut around the piece where it is long.
    shown: Box<str>,
    /// Where the piece begins in `shown`, and how much of it is marked, in terminal cells.
    indent: usize,
    width: usize,
}

impl<'a> Source<'a> {
    pub fn new(file: &str, text: &'a str) -> Self {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        Self { file: file.into(), text, line_starts }
    }

    /// The place of a range of bytes. A range over several lines is shown by its first one.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let start = floor_boundary(self.text, span.start);
        let index = self.line_starts.partition_point(|line| *line <= start).saturating_sub(1);
        let line_start = self.line_starts.get(index).copied().unwrap_or(0);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let before = self.text.get(line_start..start).unwrap_or_default();
        let end = floor_boundary(self.text, span.end.max(start)).min(line_start + line.len()).max(start);
        let marked = self.text.get(start..end).unwrap_or_default().trim_end();
        let column = before.chars().count();
        let skip =
            if column + marked.chars().count().min(SHOWN / 2) > SHOWN { column - SHOWN / 4 } else { 0 };
        let shown: String =
            line.chars().skip(skip).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = cells(before.chars().skip(skip));
        let width = cells(marked.chars().take(SHOWN.saturating_sub(column - skip))).max(1);
        Place {
            file: self.file.clone(),
            line: index + 1,
            column: column + 1,
            shown: shown.into(),
            indent,
            width,
        }
    }

    pub fn error(&self, span: &Range<usize>, message: impl Into<String>) -> RuleError {
        self.place(span).error(message)
    }
}

impl Place {
    /// A place in a file of which nothing can be shown.
    pub fn of_file(file: &str) -> Self {
        Self { file: file.into(), line: 1, column: 1, shown: "".into(), indent: 0, width: 0 }
    }

    pub fn error(&self, message: impl Into<String>) -> RuleError {
        RuleError { place: self.clone(), message: message.into(), help: None }
    }

    /// The line with a caret below, and a note beside the caret.
    pub fn snippet(&self, note: &str) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (indent, carets) = (" ".repeat(self.indent), "^".repeat(self.width));
        let note = if note.is_empty() { String::new() } else { format!(" {note}") };
        let line = format!("{number} | {}", self.shown);
        format!("{margin} |\n{}\n{margin} | {indent}{carets}{note}", line.trim_end())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub place: Place,
    pub message: String,
    pub help: Option<String>,
}

impl RuleError {
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// The message with its place and caret, headed by `level`.
    pub fn render(&self, level: &str) -> String {
        let margin = " ".repeat(self.place.line.to_string().len());
        let mut text = format!("{level}: {}\n{margin}--> {}", self.message, self.place);
        if self.place.width > 0 {
            text.push('\n');
            text.push_str(&self.place.snippet(""));
        }
        if let Some(help) = &self.help {
            text.push_str(&format!("\n{margin} = {help}"));
        }
        text
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render("error"))
    }
}

impl std::error::Error for RuleError {}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0)
}

/// How many terminal cells the characters take: East Asian wide ones take two.
fn cells(characters: impl Iterator<Item = char>) -> usize {
    characters
        .map(|c| match c as u32 {
            0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF => 2,
            0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD => 2,
            _ => 1,
        })
        .sum()
}
