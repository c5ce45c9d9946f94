//! `metric`: a number computed over a sliding window (a sum, an average, a percentile, the time since something began …)
//! beyond a limit.
//!
//! The condition is a function of event time: at the time *t* the samples with `t - window < time <= t` count. It is
//! judged at every event, and, where it can become true without one, whenever a sample leaves the window or what is
//! still open has grown old enough.

mod measure;
mod pairs;
mod watch;

use rust_decimal::Decimal;

use crate::core::event::{Field, TextField, TextSet, TypeSet};
use crate::core::time::Span;

use super::Limit;
use super::condition::Condition;
use super::samples::Agg;

pub use measure::{LimitOf, MetricMeasure, sample_of};
pub use watch::MetricWatch;

/// The settings of a metric rule.
#[derive(Clone, Debug)]
pub struct Metric {
    pub agg: Agg,
    pub of: Sampled,
    pub window: Span,
    pub bound: Bound,
    /// Lengths of time in milliseconds.
    pub limit: Limit,
    pub min_samples: u32,
}

/// What is a sample, and what its value.
#[derive(Clone, Debug)]
pub enum Sampled {
    /// Every event; it has no value.
    Events,
    /// Events with this field, and its value.
    Field(Field),
    /// What begins and ends: a sample has the time of its beginning, and its value is how long it took or, until it
    /// ends, how long ago it began.
    Pair(Box<Pair>),
}

#[derive(Clone, Debug)]
pub struct Pair {
    pub key: TextField,
    pub start: Condition,
    pub end: Condition,
}

/// On which side of the limit the condition is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    NotEqual,
}

impl Bound {
    pub const ALL: [(&str, Self); 6] = [
        ("above", Self::Above),
        ("at_least", Self::AtLeast),
        ("below", Self::Below),
        ("at_most", Self::AtMost),
        ("equal", Self::Equal),
        ("not_equal", Self::NotEqual),
    ];

    pub fn holds(self, value: Decimal, limit: Decimal) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Equal => value == limit,
            Self::NotEqual => value != limit,
        }
    }
}

impl Metric {
    pub fn pair(&self) -> Option<&Pair> {
        match &self.of {
            Sampled::Pair(pair) => Some(pair),
            Sampled::Events | Sampled::Field(_) => None,
        }
    }

    /// Whether its values are lengths of time.
    pub fn is_time(&self) -> bool {
        self.pair().is_some() || self.agg == Agg::SinceLast
    }

    /// Types that start or count.
    pub fn types(&self) -> TypeSet {
        self.pair().map_or(TypeSet::ALL, |pair| pair.start.types())
    }

    pub fn ending_types(&self) -> TypeSet {
        self.pair().map_or(TypeSet::EMPTY, |pair| pair.end.types())
    }

    pub fn symbols(&self) -> TextSet {
        let fields = match &self.of {
            Sampled::Field(Field::Text(field)) => TextSet::of(*field),
            Sampled::Field(_) | Sampled::Events => TextSet::EMPTY,
            Sampled::Pair(pair) => TextSet::of(pair.key).or(pair.start.symbols()).or(pair.end.symbols()),
        };
        self.limit.field().map_or(fields, |field| fields.or(TextSet::of(field)))
    }
}

#[cfg(test)]
mod tests;
