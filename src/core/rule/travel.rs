//! `travel`: two logins that nobody could have made by moving from one place to the other.

use crate::core::event::{Symbol, TextField, TextSet};

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
