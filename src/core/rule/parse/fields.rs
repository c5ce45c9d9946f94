//! Taking a map apart: which fields it has, which it lacks, and what to say of those that nobody asked for.

use std::ops::Range;

use super::error::{RuleError, Source};
use super::words;
use super::yaml::{Entry, MAX_PROBLEMS, Node, Value};
use crate::core::calendar::Calendars;

/// What reading a file needs to know and collects.
pub struct Reading<'a> {
    pub source: &'a Source<'a>,
    /// The platform's own fields.
    pub extra: &'a [String],
    pub read: super::ReadBeside,
    pub calendars: &'a Calendars,
    /// The files and calendars that the rule has named so far, each with a hash of its values.
    pub files: Vec<(String, u64)>,
    pub errors: Vec<RuleError>,
}

impl Reading<'_> {
    pub fn report(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(span, message.into(), None);
    }

    pub fn report_help(&mut self, span: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(span, message.into(), Some(help.into()));
    }

    pub fn push(&mut self, span: &Range<usize>, message: String, help: Option<String>) {
        if self.errors.len() < MAX_PROBLEMS {
            self.errors.push(self.source.error(span, message).maybe_help(help));
        }
    }

    /// Reports what stands where `expected` should. Silent where it was reported before.
    pub fn expected(&mut self, expected: &str, node: &Node) {
        if !matches!(node.value, Value::Broken) {
            self.report(&node.span, format!("expected {expected}, found {}", describe(node)));
        }
    }
}

/// How an error message names a value.
pub fn describe(node: &Node) -> String {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Value::Scalar { text, .. } if text.chars().count() > 40 => {
            format!("`{}…`", text.chars().take(40).collect::<String>().replace('\n', " "))
        }
        Value::Scalar { text, .. } => format!("`{}`", text.replace('\n', " ")),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        Value::Broken => "something that can't be read".to_owned(),
    }
}

/// The fields of one map, of which each is asked for by name.
pub struct Fields<'n> {
    /// What the map is, for error messages: `a rule`, `incident`.
    pub what: &'static str,
    pub span: Range<usize>,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
    reported: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// [`None`], and an error, if the node is no map.
    pub fn of(node: &'n Node, what: &'static str, reading: &mut Reading<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self {
                what,
                span: node.span.clone(),
                entries,
                asked: Vec::new(),
                reported: Vec::new(),
                missing: Vec::new(),
            }),
            Value::Scalar { .. } | Value::List(_) | Value::Broken => {
                reading.expected(&format!("the fields of {what}"), node);
                None
            }
        }
    }

    /// A field that may be left out.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.asked.push(name);
        self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    /// A field that must be there.
    pub fn need(&mut self, name: &'static str) -> Option<&'n Node> {
        let found = self.take(name);
        if found.is_none() {
            self.missing.push(name);
        }
        found
    }

    /// Of these fields, which may each be left out, one must be there.
    pub fn missing(&mut self, names: &[&'static str], reading: &mut Reading<'_>) {
        let meant = |entry: &Entry| words::meant(&entry.key, names).is_some_and(|name| names.contains(&name));
        if !self.entries.iter().any(meant) {
            reading.report(&self.head(), format!("{} has no `{}`", self.what, names.join("` or `")));
        }
    }

    /// The fields of the language that are not supported yet: an error for those that are there.
    pub fn not_yet(&mut self, names: &[&'static str], reading: &mut Reading<'_>) {
        for entry in self.entries {
            if let Some(name) = names.iter().find(|name| **name == entry.key) {
                self.reported.push(name);
                reading.report(&entry.key_span, format!("`{name}` is not supported yet"));
            }
        }
    }

    /// All entries, for maps whose keys are the author's.
    pub fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == name)
    }

    pub fn key_span(&self, name: &str) -> Range<usize> {
        self.entries
            .iter()
            .find(|entry| entry.key == name)
            .map_or_else(|| self.head(), |entry| entry.key_span.clone())
    }

    /// Where to point at when something is missing: the map's first key.
    pub fn head(&self) -> Range<usize> {
        self.entries.first().map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// Reports the fields that are missing, and those that nobody has asked for.
    pub fn finish(self, reading: &mut Reading<'_>) {
        let is_known = |name: &str| self.asked.contains(&name) || self.reported.contains(&name);
        let unknown: Vec<&Entry> = self.entries.iter().filter(|entry| !is_known(&entry.key)).collect();
        let meant: Vec<&str> =
            unknown.iter().filter_map(|entry| words::meant(&entry.key, &self.asked)).collect();
        // What is there under another name is not missing.
        for name in self.missing.iter().filter(|name| !meant.contains(name)) {
            reading.report(&self.head(), format!("{} has no `{name}`", self.what));
        }
        for entry in unknown {
            let name = entry.key.as_str();
            let help = words::field_help(name, &self.asked);
            reading.push(&entry.key_span, format!("{} has no field `{name}`", self.what), Some(help));
        }
    }
}
