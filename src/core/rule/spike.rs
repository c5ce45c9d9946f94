//! `spike`: this window against the one before it.
//!
//! At the time *t* the samples with `t - window < time <= t` are compared with those of the reference, which ends where
//! that window begins. Nothing is said before both windows are whole.

mod measure;
mod watch;

use rust_decimal::Decimal;

use crate::core::event::{Field, TextField, TextSet, TypeSet};
use crate::core::time::Span;

use super::condition::Condition;
use super::samples::Agg;

pub use measure::SpikeMeasure;
pub use watch::SpikeWatch;

/// The settings of a spike rule.
#[derive(Clone, Debug)]
pub struct Spike {
    pub count: Condition,
    pub agg: Agg,
    /// Where the aggregate is one of values.
    pub field: Option<Field>,
    pub window: Span,
    pub reference: Span,
    /// How many times as much, or as little.
    pub height: Decimal,
    pub direction: Direction,
    /// Samples that each window must have.
    pub min_reference: u32,
    pub min_current: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    Both,
}

impl Spike {
    pub fn types(&self) -> TypeSet {
        self.count.types()
    }

    pub fn symbols(&self) -> TextSet {
        let field: Option<TextField> = match self.field {
            Some(Field::Text(field)) => Some(field),
            _ => None,
        };
        field.map_or(self.count.symbols(), |field| self.count.symbols().or(TextSet::of(field)))
    }
}

#[cfg(test)]
mod tests;
