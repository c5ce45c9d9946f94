//! `[geo]`: the location files.

use super::super::GeoSettings;
use super::Check;

impl Check<'_> {
    pub(super) fn geo(&mut self) -> Option<GeoSettings> {
        let raw = &self.layers.raw.geo;
        for (key, given) in [("geo.networks", raw.networks.is_some()), ("geo.cities", raw.cities.is_some())] {
            if given && raw.database.is_none() {
                self.wrong(key, "says nothing without geo.database; expected a location database there");
            }
        }
        let database = raw.database.clone()?;
        Some(GeoSettings { database, networks: raw.networks.clone(), cities: raw.cities.clone() })
    }
}
