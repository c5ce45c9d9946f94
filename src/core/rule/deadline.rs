//! `deadline`: A not followed by B within T, per key.
//!
//! A start at *s* is met by an end with `s - lateness <= time < s + within`. The first start that is not met counts:
//! it is missed at `s + within`, and until an end comes at or after that, later starts of the key say nothing new. Other
//! kinds, in which an end usually comes first, let it meet starts for longer than the lateness, and find nothing of keys
//! whose end may lie before the first event.

mod beginnings;
mod overdue;
mod pending;
mod watch;

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::condition::Condition;

pub use watch::DeadlineWatch;

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

#[cfg(test)]
mod tests;
