//! `deadline`: A not followed by B within T, per key.

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::condition::Condition;

/// The settings of a deadline rule.
#[derive(Clone, Debug)]
pub struct Deadline {
    pub key: TextField,
    pub start: Condition,
    pub end: Condition,
    pub within: Span,
}

impl Deadline {
    pub fn symbols(&self) -> TextSet {
        self.start.symbols().or(self.end.symbols()).or(TextSet::of(self.key))
    }
}
