//! `frequency`: at least N (or at most, or a range) matching events in a sliding window, optionally distinct by a field,
//! optionally only those after the latest success.

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::condition::Condition;

/// The settings of a frequency rule.
#[derive(Clone, Debug)]
pub struct Frequency {
    pub count: Condition,
    pub at_least: Option<u32>,
    pub at_most: Option<u32>,
    pub window: Span,
    pub distinct: Option<TextField>,
    pub unless: Option<Condition>,
    /// Empty the window after a finding (count with reset).
    pub reset: bool,
}

impl Frequency {
    pub fn symbols(&self) -> TextSet {
        let mut fields = self.count.symbols();
        if let Some(condition) = &self.unless {
            fields = fields.or(condition.symbols());
        }
        self.distinct.map_or(fields, |field| fields.or(TextSet::of(field)))
    }
}
