//! `cardinality`: too many, or too few, different values of a field in a sliding window.
//!
//! `above` is judged at each event that shows a value, by counting back from it. `below` may come true when nothing
//! happens, as a value leaves the window, so it is judged like an absence: `grace` later, and not before a subject has been
//! there for a whole window.

mod above;
mod below;
mod segments;
mod shown;

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::limit::WholeLimit;
use super::scope::Side;
use super::table::Watch;

/// The most values that a limit may ask for.
pub const MOST_VALUES: u32 = super::frequency::MOST_DISTINCT as u32;

/// The settings of a cardinality rule.
#[derive(Clone, Debug)]
pub struct Cardinality {
    pub field: TextField,
    pub window: Span,
    pub side: Side,
    pub limit: WholeLimit,
}

impl Cardinality {
    pub fn symbols(&self) -> TextSet {
        self.limit.symbols().or(TextSet::of(self.field))
    }

    /// The detector; `group` are the fields of the rule's subject.
    pub fn watch(&self, group: &[TextField], grace: Span, lateness: Span) -> Box<dyn Watch> {
        match self.side {
            Side::Above => Box::new(above::AboveWatch::new(self, grace, lateness)),
            Side::Below => Box::new(below::BelowWatch::new(self, group, grace)),
        }
    }
}

#[cfg(test)]
mod tests;
