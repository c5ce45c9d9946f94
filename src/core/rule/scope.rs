//! `ratio` and `flatline` over subjects that span partitions (channel, supplier, region, …): each shard counts into
//! cumulative aggregates per judging step, their owner adds them up and judges each step once every shard has passed it.

pub mod counter;
pub mod judge;

use rust_decimal::Decimal;

use crate::core::event::{TextField, TextSet};
use crate::core::time::Span;

use super::Limit;
use super::condition::Condition;

/// The settings of a ratio rule.
#[derive(Clone, Debug)]
pub struct Ratio {
    pub of: Condition,
    pub among: Condition,
    pub limit: Limit,
    pub side: Side,
    pub window: Span,
    pub min_samples: u32,
    pub distinct: Option<TextField>,
    /// One-sided confidence in [0, 1): the bound at this confidence must be beyond the limit; 0 judges the raw share.
    pub confidence: Decimal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

/// The settings of a flatline rule.
#[derive(Clone, Debug)]
pub struct Flatline {
    pub fewer_than: u32,
    pub window: Span,
    pub expect: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Subjects that were seen once.
    Seen,
    /// These values of the (single) field of the subject, from the start.
    Listed(Vec<String>),
}

impl Ratio {
    pub fn symbols(&self) -> TextSet {
        let fields = self.of.symbols().or(self.among.symbols());
        self.distinct.map_or(fields, |field| fields.or(TextSet::of(field)))
    }
}

impl Flatline {
    pub fn symbols(&self) -> TextSet {
        TextSet::EMPTY
    }
}
