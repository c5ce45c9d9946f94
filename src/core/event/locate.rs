//! Where an event came from, when the platform did not say: what a location database knows of its address.

use std::borrow::Cow;

use super::{Event, Place, TextField};

/// What a database knows of an address. Empty texts are unknown ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Located<'a> {
    pub country: Cow<'a, str>,
    pub region: Cow<'a, str>,
    pub city: Cow<'a, str>,
    pub asn: Option<u32>,
    pub network: Cow<'a, str>,
    pub place: Option<Place>,
}

const FIELDS: [TextField; 5] = [
    TextField::GeoCountry,
    TextField::GeoRegion,
    TextField::GeoCity,
    TextField::GeoAsn,
    TextField::GeoNetwork,
];

impl<'a> Event<'a> {
    /// Whether the platform has said where it was: then no database is asked, not even for what is left out.
    pub fn is_located(&self) -> bool {
        self.place.is_some() || FIELDS.iter().any(|field| self.text(*field).is_some())
    }

    /// Fills what the platform left open. `edition` tells the databases apart that places were looked up in; never 0.
    pub fn locate(&mut self, located: Located<'a>, edition: u8) {
        let Located { country, region, city, asn, network, place } = located;
        let asn = asn.map_or(Cow::Borrowed(""), |number| Cow::Owned(number.to_string()));
        for (field, text) in FIELDS.into_iter().zip([country, region, city, asn, network]) {
            if !text.is_empty() {
                self.set_text(field, text);
            }
        }
        if place.is_some() {
            self.place = place;
            self.edition = edition;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventType;
    use crate::core::time::Time;

    #[test]
    fn what_a_database_knows_fills_an_event_and_what_it_does_not_stays_absent() {
        let mut event = Event::new(EventType::LoginSucceeded, Time::MIN);
        assert!(!event.is_located());
        let place = Place { latitude: 22.5, longitude: 114.1, accuracy_km: 20.0 };
        let located = Located {
            country: "CN".into(),
            city: "Shenzhen".into(),
            asn: Some(4134),
            place: Some(place),
            ..Located::default()
        };
        event.locate(located, 3);
        assert!(event.is_located());
        let texts = FIELDS.map(|field| event.text(field));
        assert_eq!(texts, [Some("CN"), None, Some("Shenzhen"), Some("4134"), None]);
        assert_eq!((event.place, event.edition), (Some(place), 3));
    }
}
