//! What is wrong with a condition, where in its text, and what was expected instead.

use std::ops::Range;

/// An error with the bytes of the condition's text that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

impl ConditionError {
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

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
}

/// The name among `known` that a slip of the finger turns into `written`, or that was cut short or drawn out.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let is_cut = |name: &str| {
        let shorter = written.len().min(name.len());
        shorter >= 4 && (name.starts_with(&written) || written.starts_with(name))
    };
    known
        .into_iter()
        .map(|name| (if is_cut(name) { 1 } else { strsim::damerau_levenshtein(&written, name) }, name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(3) / 3).min(3))
        .min_by_key(|(distance, name)| (*distance, !is_cut(name)))
        .map(|(_, name)| name)
}
