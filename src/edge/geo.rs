//! Where an address is: location databases in MaxMind's format or ip2region's, read whole into memory, with a table of cities for
//! the latter, which knows no coordinates. None is shipped.
//!
//! A set of files is one [`Locations`], and never changes: [`watch`] reads a new one when a file does, and everybody goes over to it
//! at once. Its edition, a hash of all it was read from, goes with each place, so that two places are only compared when both
//! were looked up in the same one.

mod cities;
mod mmdb;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod watch;
mod xdb;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::event::{Event, Located, TextField, TypeSet};
use crate::settings::GeoSettings;

use cities::Cities;
use mmdb::Mmdb;
use xdb::Xdb;

/// Larger files are refused: they are held in memory.
const LARGEST: u64 = 2 << 30;

/// Why a location file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no file, or larger than 2 GiB", path = path.display())]
    NoFile { path: PathBuf },
    #[error("{path} is no location database: {reason}", path = path.display())]
    Junk { path: PathBuf, reason: String },
}

enum Database {
    Mmdb(Mmdb),
    Xdb(Xdb),
}

/// What is known of addresses, at one edition.
pub struct Locations {
    database: Database,
    networks: Option<Mmdb>,
    cities: Option<Cities>,
    edition: u8,
}

impl Locations {
    /// Reads and checks all files.
    pub fn load(settings: &GeoSettings) -> Result<Self, GeoError> {
        let GeoSettings { database: path, networks, cities } = settings;
        let bytes = read(path)?;
        let mut hash = rapidhash::v3::rapidhash_v3(&bytes);
        let junk = |path: &Path| {
            let path = path.to_owned();
            move |reason| GeoError::Junk { path, reason }
        };
        let database = if path.extension().is_some_and(|ending| ending == "xdb") {
            Database::Xdb(Xdb::new(bytes).map_err(junk(path))?)
        } else {
            Database::Mmdb(Mmdb::new(bytes).map_err(junk(path))?)
        };
        let mut more = |path: &Option<PathBuf>| -> Result<Option<Vec<u8>>, GeoError> {
            let Some(path) = path else { return Ok(None) };
            let bytes = read(path)?;
            hash = hash.rotate_left(17) ^ rapidhash::v3::rapidhash_v3(&bytes);
            Ok(Some(bytes))
        };
        let (network_bytes, city_bytes) = (more(networks)?, more(cities)?);
        let or_empty = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let networks = network_bytes.map(|bytes| Mmdb::new(bytes).map_err(junk(&or_empty(networks))));
        let cities = city_bytes.map(|bytes| Cities::read(&bytes).map_err(junk(&or_empty(cities))));
        let edition = (hash % 7) as u8 + 1;
        Ok(Self { database, networks: networks.transpose()?, cities: cities.transpose()?, edition })
    }

    /// What is known of an address; [`None`] where that is nothing.
    pub fn find(&self, address: IpAddr) -> Option<Located<'_>> {
        let address = address.to_canonical();
        let found = match &self.database {
            Database::Mmdb(database) => database.find(address),
            Database::Xdb(database) => database.find(address).map(|mut located| {
                located.place = self.cities.as_ref().and_then(|cities| cities.find(&located));
                located
            }),
        };
        let of_network = self.networks.as_ref().and_then(|networks| networks.find(address));
        match (found, of_network) {
            (Some(mut located), Some(more)) => {
                located.asn = located.asn.or(more.asn);
                if located.network.is_empty() {
                    located.network = more.network;
                }
                Some(located)
            }
            (found, more) => found.or(more),
        }
    }

    /// Fills an event that has an address and no place of its own.
    pub fn locate<'a>(&'a self, event: &mut Event<'a>) {
        if event.is_located() {
            return;
        }
        let address = event.text(TextField::Ip).and_then(|text| text.parse().ok());
        if let Some(located) = address.and_then(|address| self.find(address)) {
            event.locate(located, self.edition);
        }
    }
}

/// Fills the events that some rule asks the place of.
#[derive(Clone)]
pub struct Locator {
    locations: Arc<Locations>,
    types: TypeSet,
}

impl Locator {
    /// `types`: those of events whose place some rule looks at.
    pub fn new(locations: Arc<Locations>, types: TypeSet) -> Self {
        Self { locations, types }
    }

    /// For the events of either of two that have the same files.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { types: self.types.or(other.types), ..self }
    }

    pub fn locate<'a>(&'a self, event: &mut Event<'a>) {
        if self.types.contains(event.event_type) {
            self.locations.locate(event);
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, GeoError> {
    let failed = |source| GeoError::Read { path: path.to_owned(), source };
    let data = std::fs::metadata(path).map_err(failed)?;
    if !data.is_file() || data.len() > LARGEST {
        return Err(GeoError::NoFile { path: path.to_owned() });
    }
    std::fs::read(path).map_err(failed)
}
