//! `new_term`: a value, a combination or a place that this subject has not shown for a while.
//!
//! At the time *t* of an event a value is known if an event with `t - window < time < t` has shown it; events of one
//! instant don't make each other known. An event that lacks what is looked at is not looked at at all, unless
//! `missing` says that it fires. Only where each field must be new by itself does an event that lacks some of them make the
//! others known (an order tells of a device, though not of a country); it is neither new nor history. What came before a pause of a whole window is no history any more,
//! and to a subject without any history nothing is new.

mod known;
mod watch;

use crate::core::event::{Event, Symbol, TextField, TextSet};
use crate::core::time::Span;

pub use known::{MOST_FIELDS, MOST_PLACES};
pub use watch::NewTermWatch;

/// The settings of a new-term rule.
#[derive(Clone, Debug)]
pub struct NewTerm {
    pub of: Novelty,
    /// How long a value stays known after it was last seen.
    pub window: Span,
    pub min_history: History,
    /// What a missing field means: nothing, or a value of its own that may be new.
    pub missing_fires: bool,
    /// Values of `geo.network` whose place says nothing: such an event lacks `geo`.
    pub ignore_networks: Vec<Symbol>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Novelty {
    /// `every`: each of the fields must be new by itself; otherwise their combination is what counts.
    Values { fields: Vec<TextField>, every: bool },
    /// A place further than `radius_km` from each of the `last` known ones, less what both may be off.
    Place { radius_km: f64, last: usize },
}

/// What must be known of a subject before anything can be new to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// This many of its own events.
    Events(u32),
    /// This long since its first event.
    Since(Span),
}

impl NewTerm {
    pub fn symbols(&self) -> TextSet {
        let network =
            if self.ignore_networks.is_empty() { TextSet::EMPTY } else { TextSet::of(TextField::GeoNetwork) };
        match &self.of {
            Novelty::Values { fields, .. } => {
                fields.iter().fold(network, |set, field| set.or(TextSet::of(*field)))
            }
            Novelty::Place { .. } => network,
        }
    }

    /// Whether the event's place is that of a tunnel's exit, say, and not where its user is.
    fn is_elsewhere(&self, event: &Event<'_>) -> bool {
        !self.ignore_networks.is_empty()
            && self.ignore_networks.contains(&event.symbol(TextField::GeoNetwork))
    }
}

#[cfg(test)]
mod tests;
