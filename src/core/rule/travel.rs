//! `travel`: two logins that nobody could have made by moving from one place to the other.
//!
//! Logins are taken in the order of their times (ties: by what they say, so that arrival never decides), and each is
//! judged against the one before it. The distance is the least that the stated accuracies allow; times are no better than
//! a second. The same address, or the same device within one network, has not moved. A place that the account
//! uses regularly is never impossible: one seen on at least three earlier logins, no two of them (nor the last of them and
//! this one) more than 30 days apart.

mod history;
mod watch;

use crate::core::event::{Symbol, TextField, TextSet};

pub use watch::TravelWatch;

/// The settings of a travel rule.
#[derive(Clone, Debug)]
pub struct Travel {
    pub faster_than_kmh: f64,
    pub further_than_km: f64,
    /// Values of `geo.network` whose place says nothing: such a login neither fires nor becomes the last place.
    pub ignore_networks: Vec<Symbol>,
}

impl Travel {
    pub fn symbols(&self) -> TextSet {
        TextSet::of(TextField::GeoNetwork).or(TextSet::of(TextField::Ip)).or(TextSet::of(TextField::DeviceId))
    }
}

#[cfg(test)]
mod tests;
