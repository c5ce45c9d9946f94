//! `frequency`: at least N (or at most, or a range) matching events in a sliding window, optionally distinct by a field,
//! optionally only those after the latest success.
//!
//! The condition is a function of event time. At the time *t* of an event that counts, the events with
//! `t - window < time <= t` count that lie after the latest `unless` at or before *t* (and, with `reset`, after the
//! latest finding before *t*). Events of one instant are judged together.

mod condense;
mod judge;
mod watch;
mod window;

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::condition::Condition;
use super::limit::WholeLimit;

pub use condense::{DistinctValues, MOST_DISTINCT};
pub use watch::FrequencyWatch;

/// The settings of a frequency rule.
#[derive(Clone, Debug)]
pub struct Frequency {
    pub count: Condition,
    pub at_least: Option<WholeLimit>,
    pub at_most: Option<WholeLimit>,
    pub window: Span,
    pub distinct: Option<TextField>,
    pub unless: Option<Condition>,
    /// Empty the window after a finding (count with reset).
    pub reset: bool,
}

impl Frequency {
    pub fn symbols(&self) -> TextSet {
        let mut fields = self.count.symbols();
        for limit in self.at_least.iter().chain(&self.at_most) {
            fields = fields.or(limit.symbols());
        }
        if let Some(condition) = &self.unless {
            fields = fields.or(condition.symbols());
        }
        self.distinct.map_or(fields, |field| fields.or(TextSet::of(field)))
    }
}

#[cfg(test)]
mod tests;
