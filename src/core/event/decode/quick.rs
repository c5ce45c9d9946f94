//! The one pass that most records take: texts are borrowed from the record, everything else is read from its own text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use sonic_rs::LazyValue;

use super::Slot;
use super::draft::Draft;
use super::value::TimeFormat;

/// The record is none of the usual ones; reading it with care will tell why.
pub(super) struct Unusual;

pub(super) fn read<'a>(json: &'a str, extra: &[String], draft: &mut Draft<'a>) -> Result<(), Unusual> {
    let mut deserializer = sonic_rs::Deserializer::from_str(json);
    (&mut deserializer).deserialize_map(TopVisitor { extra, draft }).map_err(|_| Unusual)?;
    deserializer.end().map_err(|_| Unusual)?;
    if draft.is_refused() { Err(Unusual) } else { Ok(()) }
}

struct TopVisitor<'d, 'a> {
    extra: &'d [String],
    draft: &'d mut Draft<'a>,
}

impl<'a> Visitor<'a> for TopVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(TopKey { extra: self.extra })? {
            match slot {
                Slot::Type | Slot::Text(_) => map.next_value_seed(TextSeed { slot, draft: self.draft })?,
                Slot::Geo => map.next_value_seed(GeoSeed { draft: self.draft })?,
                Slot::Unknown | Slot::Data => {
                    map.next_value::<IgnoredAny>()?;
                }
                Slot::SpecVersion => return Err(A::Error::custom("an envelope")),
                _ => {
                    let value = map.next_value::<LazyValue<'a>>()?;
                    self.draft.set_raw(slot, value.as_raw_str(), TimeFormat::Any);
                }
            }
        }
        Ok(())
    }
}

struct TopKey<'d> {
    extra: &'d [String],
}

impl<'a> DeserializeSeed<'a> for TopKey<'_> {
    type Value = Slot;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for TopKey<'_> {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Slot, E> {
        Ok(Slot::of_key(key, self.extra))
    }
}

struct TextSeed<'d, 'a> {
    slot: Slot,
    draft: &'d mut Draft<'a>,
}

impl<'a> DeserializeSeed<'a> for TextSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for TextSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.draft.set_text(self.slot, Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.draft.set_text(self.slot, Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.draft.set_text(self.slot, Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct GeoSeed<'d, 'a> {
    draft: &'d mut Draft<'a>,
}

impl<'a> DeserializeSeed<'a> for GeoSeed<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for GeoSeed<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(GeoKey)? {
            match slot {
                Slot::Text(_) => map.next_value_seed(TextSeed { slot, draft: self.draft })?,
                Slot::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let value = map.next_value::<LazyValue<'a>>()?;
                    self.draft.set_raw(slot, value.as_raw_str(), TimeFormat::Any);
                }
            }
        }
        Ok(())
    }
}

struct GeoKey;

impl<'a> DeserializeSeed<'a> for GeoKey {
    type Value = Slot;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for GeoKey {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Slot, E> {
        Ok(Slot::of_geo_key(key))
    }
}
