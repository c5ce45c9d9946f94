//! Databases in MaxMind's format: with the nested records of MaxMind's own, or the flat ones of DB-IP and others.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use maxminddb::Reader;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::core::event::{Located, Place};

/// Said of a city where the database says nothing: what such places are usually off by.
const USUAL_KM: f64 = 50.0;

pub struct Mmdb(Reader<Vec<u8>>);

impl Mmdb {
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        // What is cut off or damaged is better found now than at some address.
        reader.verify().map_err(|error| error.to_string())?;
        Ok(Self(reader))
    }

    pub fn find(&self, address: IpAddr) -> Option<Located<'_>> {
        let record: Record<'_> = self.0.lookup(address).ok()?.decode().ok()??;
        Some(record.located())
    }
}

/// What is read of a record, whichever form it has.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    country: Named<'a>,
    country_code: Named<'a>,
    subdivisions: Named<'a>,
    region: Named<'a>,
    state1: Named<'a>,
    city: Named<'a>,
    location: Coordinates,
    latitude: Number,
    longitude: Number,
    accuracy_radius: Number,
    traits: Traits<'a>,
    autonomous_system_number: Number,
    asn: Number,
    autonomous_system_organization: Named<'a>,
    is_anonymous: bool,
    is_anonymous_vpn: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coordinates {
    latitude: Number,
    longitude: Number,
    accuracy_radius: Number,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Traits<'a> {
    autonomous_system_number: Number,
    autonomous_system_organization: Named<'a>,
    is_anonymous: bool,
    is_anonymous_proxy: bool,
    is_anonymous_vpn: bool,
    is_satellite_provider: bool,
}

impl<'a> Record<'a> {
    fn located(self) -> Located<'a> {
        let first = |names: [Named<'a>; 3]| {
            Cow::Borrowed(names.into_iter().map(|name| name.0).find(|name| !name.is_empty()).unwrap_or(""))
        };
        let number = |numbers: [Number; 3]| numbers.into_iter().find_map(|number| number.0);
        let Traits { autonomous_system_number, autonomous_system_organization, .. } = self.traits;
        let hides = [
            self.is_anonymous,
            self.is_anonymous_vpn,
            self.traits.is_anonymous,
            self.traits.is_anonymous_proxy,
            self.traits.is_anonymous_vpn,
        ];
        let network = if hides.contains(&true) {
            Cow::Borrowed("vpn")
        } else if self.traits.is_satellite_provider {
            Cow::Borrowed("satellite")
        } else {
            first([self.autonomous_system_organization, autonomous_system_organization, Named::default()])
        };
        let asn = number([self.autonomous_system_number, self.asn, autonomous_system_number]);
        Located {
            country: first([self.country, self.country_code, Named::default()]),
            region: first([self.subdivisions, self.region, self.state1]),
            city: first([self.city, Named::default(), Named::default()]),
            asn: asn.filter(|asn| (1.0..=f64::from(u32::MAX)).contains(asn)).map(|asn| asn as u32),
            network,
            place: place(
                number([self.location.latitude, self.latitude, Number(None)]),
                number([self.location.longitude, self.longitude, Number(None)]),
                number([self.location.accuracy_radius, self.accuracy_radius, Number(None)]),
            ),
        }
    }
}

/// Where both coordinates are exactly zero, nobody knew them.
fn place(latitude: Option<f64>, longitude: Option<f64>, accuracy_km: Option<f64>) -> Option<Place> {
    let (latitude, longitude) = (latitude?, longitude?);
    let is_sound =
        latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude != 0.0 || longitude != 0.0);
    let accuracy_km = accuracy_km.filter(|radius| *radius >= 0.0).unwrap_or(USUAL_KM);
    is_sound.then_some(Place { latitude, longitude, accuracy_km })
}

/// A name: a text by itself, the code or English name of a map, the first of a list.
#[derive(Clone, Copy, Debug, Default)]
struct Named<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = &'de str;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<&'de str, E> {
                Ok(text)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<&'de str, A::Error> {
                let mut best: (u8, &str) = (0, "");
                while let Some(key) = map.next_key::<&str>()? {
                    let rank = match key {
                        "iso_code" | "code" => 4,
                        "names" => 3,
                        "en" => 2,
                        "name" | "zh-CN" => 1,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let name: Named<'de> = map.next_value()?;
                    if rank > best.0 && !name.0.is_empty() {
                        best = (rank, name.0);
                    }
                }
                Ok(best.1)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<&'de str, A::Error> {
                let first: Option<Named<'de>> = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first.map_or("", |name| name.0))
            }
        }
        deserializer.deserialize_any(Names).map(Named)
    }
}

/// A number of any type, or a text that is one.
#[derive(Clone, Copy, Debug, Default)]
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl Visitor<'_> for Numbers {
            type Value = Option<f64>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Option<f64>, E> {
                Ok(Some(number))
            }

            fn visit_f32<E>(self, number: f32) -> Result<Option<f64>, E> {
                Ok(Some(f64::from(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Option<f64>, E> {
                Ok(Some(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Option<f64>, E> {
                Ok(Some(number as f64))
            }

            fn visit_str<E>(self, text: &str) -> Result<Option<f64>, E> {
                Ok(text.trim_start_matches("AS").parse().ok().filter(|number: &f64| number.is_finite()))
            }
        }
        deserializer.deserialize_any(Numbers).map(Number)
    }
}
