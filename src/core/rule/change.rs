//! `change`: a field of a subject that is not what it was last.
//!
//! Each field is compared with the last value that the subject showed in it, if that is within the window; any of them
//! suffices. What happened at one instant is judged together, so that arrival never decides: two values at one instant are
//! a change, whichever came first, and after them either is what it was last. A field that an event lacks is left
//! out (or, with `missing: fire`, is a value like any other).

mod past;
mod watch;

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

pub use past::MOST_FIELDS;
pub use watch::ChangeWatch;

/// The settings of a change rule.
#[derive(Clone, Debug)]
pub struct Change {
    /// At most [`MOST_FIELDS`].
    pub fields: Vec<TextField>,
    /// What was seen longer ago is not compared with.
    pub window: Span,
    /// An event that lacks a field counts as one with a value of its own.
    pub missing_fires: bool,
}

impl Change {
    pub fn symbols(&self) -> TextSet {
        self.fields.iter().fold(TextSet::EMPTY, |fields, field| fields.or(TextSet::of(*field)))
    }
}

#[cfg(test)]
mod tests;
