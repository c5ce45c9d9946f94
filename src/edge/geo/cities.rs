//! Where cities are, for databases that only name them: a CSV file of the operator's with the columns `region`, `city`, `latitude`,
//! `longitude` and, where known, `accuracy_km`. A line without a city is about the region's other places.

use std::collections::BTreeMap;

use crate::core::event::{Located, Place};

/// A city's own size and then some: what an address is off by that is known to be in it.
const USUAL_KM: f64 = 50.0;
const MOST: usize = 1_000_000;

pub struct Cities(BTreeMap<(String, String), Place>);

impl Cities {
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(bytes);
        let header = reader.headers().map_err(|error| error.to_string())?.clone();
        let column = |name: &str| {
            header.iter().position(|column| column.trim_start_matches('\u{feff}') == name).ok_or_else(|| {
                format!(
                    "it has no column `{name}`; expected region, city, latitude, longitude and accuracy_km"
                )
            })
        };
        let (region, city) = (column("region")?, column("city")?);
        let (latitude, longitude) = (column("latitude")?, column("longitude")?);
        let accuracy = column("accuracy_km").ok();
        let mut cities = BTreeMap::new();
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let number = |at: usize, range: std::ops::RangeInclusive<f64>| {
                let text = record.get(at).unwrap_or_default();
                let number = text.parse::<f64>().ok().filter(|number| range.contains(number));
                number.ok_or_else(|| {
                    format!("line {line} has {text:?} for a number from {} to {}", range.start(), range.end())
                })
            };
            let accuracy_km = match accuracy.filter(|at| record.get(*at).is_some_and(|text| !text.is_empty()))
            {
                Some(at) => number(at, 0.0..=20_000.0)?,
                None => USUAL_KM,
            };
            let (latitude, longitude) = (number(latitude, -90.0..=90.0)?, number(longitude, -180.0..=180.0)?);
            let text = |at: usize| record.get(at).unwrap_or_default().to_owned();
            cities.insert((text(region), text(city)), Place { latitude, longitude, accuracy_km });
            if cities.len() > MOST {
                return Err(format!("it has more than {MOST} lines"));
            }
        }
        Ok(Self(cities))
    }

    /// The city, or what is said of its region.
    pub fn find(&self, located: &Located<'_>) -> Option<Place> {
        let key = |city: &str| (located.region.to_string(), city.to_owned());
        let whole = || self.0.get(&key(""));
        self.0.get(&key(&located.city)).or_else(whole).copied()
    }
}
