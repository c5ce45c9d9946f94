//! Rules over subjects that span partitions, few and busy (channel, supplier, region, …): each shard counts into
//! cumulative aggregates per judging step, their owner adds them up and judges each step once every shard has passed it.
//! `ratio` and `flatline` always, other kinds where [`is_summed`] says so.
//!
//! [`ScopeCounter`] is the shard's side, [`ScopeJudge`] the owner's; a [`Partial`] is all that goes from one to the other.

mod aggregate;
mod appearances;
mod catalog;
mod cells;
pub mod counter;
mod encoding;
mod held;
mod identity;
pub mod judge;
mod onset;
mod part;
mod ratio;
mod slices;
pub mod steps;
mod summed;
mod symptoms;

use std::sync::Arc;

use rust_decimal::Decimal;

use crate::core::calendar::Calendar;
use crate::core::effect::Subject;
use crate::core::event::{Event, EventType, Symbol, TextField, TextSet, TypeSet};
use crate::core::time::Span;

use part::Part;

use super::condition::Condition;
use super::limit::WholeLimit;
use super::{Detect, Limit, subject_key};

pub use counter::{CounterFigures, ScopeCounter};
pub use judge::ScopeJudge;
pub use summed::is_summed;

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
    pub fewer_than: WholeLimit,
    pub window: Span,
    pub expect: Expected,
    /// What lies outside of it is no silence.
    pub calendar: Option<Arc<Calendar>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Subjects that were seen once.
    Seen,
    /// These values of the (single) field of the subject, from the start.
    Listed(Vec<String>),
    /// What the catalog says is in stock.
    Catalog,
}

impl Ratio {
    pub fn symbols(&self) -> TextSet {
        let fields = self.of.symbols().or(self.among.symbols());
        self.distinct.map_or(fields, |field| fields.or(TextSet::of(field)))
    }
}

impl Flatline {
    /// What tells it which subjects to expect, whatever the rule's topics and filter say.
    pub fn telling_types(&self) -> TypeSet {
        match self.expect {
            Expected::Catalog => TypeSet::of(EventType::StockLevel),
            Expected::Seen | Expected::Listed(_) => TypeSet::EMPTY,
        }
    }

    pub fn symbols(&self) -> TextSet {
        match self.expect {
            Expected::Catalog => TextSet::of(TextField::Product).or(TextSet::of(TextField::Supplier)),
            Expected::Seen | Expected::Listed(_) => TextSet::EMPTY,
        }
    }
}

/// What one shard has counted for one subject at one judging step: sums since the beginning, of which the newest counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partial<'a> {
    /// The index of the slice among the rule's groups.
    pub group: u8,
    pub subject: Symbol,
    pub step: i64,
    /// How many more the windows hold from this step on.
    pub among: i32,
    pub of: i32,
    /// The events themselves that enter at this step.
    pub seen: u32,
    pub seen_of: u32,
    /// What is kept of their values.
    pub part: Option<&'a Part>,
}

/// The identity of an event's subject in one of the rule's slices; [`None`] if the event lacks a field of it. The slices
/// of a rule never share one, even where their values do.
pub fn slice_key(groups: &[Vec<TextField>], group: usize, event: &Event<'_>) -> Option<Symbol> {
    subject_key(groups.get(group)?, event).map(|key| in_group(key, group))
}

/// [`subject_key`] from the symbols of the values.
fn key_of(values: impl Iterator<Item = Symbol>) -> Symbol {
    values.fold(Symbol(0x51), Symbol::with)
}

fn in_group(key: Symbol, group: usize) -> Symbol {
    if group == 0 { key } else { key.with(Symbol(group as u64)) }
}

/// The fields of a subject with their values, in the order of the slice.
pub fn subject_fields(group: &[TextField], event: &Event<'_>) -> Subject {
    let value = |field: &TextField| (field.as_str().into(), event.text(*field).unwrap_or_default().into());
    Subject(group.iter().map(value).collect())
}

fn edge_of(detect: &Detect) -> steps::Edge {
    if matches!(detect, Detect::Flatline(_)) { steps::Edge::UpTo } else { steps::Edge::Through }
}

#[cfg(test)]
mod tests;
