//! Which part of an event a key of the record fills.

use crate::core::event::{NumberField, TextField};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Type,
    Time,
    ExpiresAt,
    Text(TextField),
    Number(NumberField),
    Latitude,
    Longitude,
    Accuracy,
    /// The object of the location fields.
    Geo,
    /// The event inside a CloudEvents envelope.
    Data,
    /// The same, not as JSON.
    DataBase64,
    /// What tells a CloudEvents envelope.
    SpecVersion,
    /// Who made the event in an envelope.
    Source,
    Unknown,
}

impl Slot {
    /// The name as people write it, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Time => "time",
            Self::ExpiresAt => "expires_at",
            Self::Text(field) => field.as_str(),
            Self::Number(field) => field.as_str(),
            Self::Latitude => "geo.latitude",
            Self::Longitude => "geo.longitude",
            Self::Accuracy => "geo.accuracy_km",
            Self::Geo => "geo",
            Self::Data => "data",
            Self::DataBase64 => "data_base64",
            Self::SpecVersion => "specversion",
            Self::Source => "source",
            Self::Unknown => "unknown",
        }
    }

    /// The slot of a key at the top of a record. By length first, so that few bytes are compared.
    pub(super) fn of_key(key: &[u8], extra: &[String]) -> Self {
        let known = match key.len() {
            2 => pick(key, [(b"id", Self::Text(TextField::Id)), (b"ip", Self::Text(TextField::Ip))]),
            3 => pick(key, [(b"geo", Self::Geo)]),
            4 => pick(
                key,
                [
                    (b"type", Self::Type),
                    (b"time", Self::Time),
                    (b"kind", Self::Text(TextField::Kind)),
                    (b"data", Self::Data),
                ],
            ),
            5 => pick(
                key,
                [(b"level", Self::Number(NumberField::Level)), (b"score", Self::Number(NumberField::Score))],
            ),
            6 => pick(
                key,
                [(b"amount", Self::Number(NumberField::Amount)), (b"region", Self::Text(TextField::Region))],
            ),
            7 => pick(
                key,
                [
                    (b"channel", Self::Text(TextField::Channel)),
                    (b"product", Self::Text(TextField::Product)),
                    (b"card_id", Self::Text(TextField::CardId)),
                ],
            ),
            8 => pick(
                key,
                [
                    (b"order_id", Self::Text(TextField::OrderId)),
                    (b"supplier", Self::Text(TextField::Supplier)),
                    (b"currency", Self::Text(TextField::Currency)),
                    (b"quantity", Self::Number(NumberField::Quantity)),
                    (b"category", Self::Text(TextField::Category)),
                ],
            ),
            9 => pick(key, [(b"device_id", Self::Text(TextField::DeviceId))]),
            10 => pick(
                key,
                [
                    (b"account_id", Self::Text(TextField::AccountId)),
                    (b"error_code", Self::Text(TextField::ErrorCode)),
                    (b"user_agent", Self::Text(TextField::UserAgent)),
                    (b"expires_at", Self::ExpiresAt),
                ],
            ),
            11 => pick(key, [(b"specversion", Self::SpecVersion)]),
            _ => None,
        };
        known.unwrap_or_else(|| Self::of_extra(key, extra))
    }

    /// [`Slot::of_key`] where the record may be an envelope: a plain event has no use for these, and may have a field of that
    /// name.
    pub(super) fn of_envelope_key(key: &[u8]) -> Option<Self> {
        match key {
            b"source" => Some(Self::Source),
            b"data_base64" => Some(Self::DataBase64),
            _ => None,
        }
    }

    #[cold]
    fn of_extra(key: &[u8], extra: &[String]) -> Self {
        let position = extra.iter().position(|declared| declared.as_bytes() == key);
        let field = position.and_then(|position| TextField::EXTRA.get(position));
        field.map_or(Self::Unknown, |field| Self::Text(*field))
    }

    /// The slot of a key inside `geo`.
    pub(super) fn of_geo_key(key: &[u8]) -> Self {
        match key {
            b"country" => Self::Text(TextField::GeoCountry),
            b"region" => Self::Text(TextField::GeoRegion),
            b"city" => Self::Text(TextField::GeoCity),
            b"asn" => Self::Text(TextField::GeoAsn),
            b"network" => Self::Text(TextField::GeoNetwork),
            b"latitude" => Self::Latitude,
            b"longitude" => Self::Longitude,
            b"accuracy_km" => Self::Accuracy,
            _ => Self::Unknown,
        }
    }

    /// The slot of a field's full name (`geo.country`), as a mapping names it; [`None`] for what no mapping can fill.
    pub fn of_name(name: &str, extra: &[String]) -> Option<Self> {
        let slot = match name.strip_prefix("geo.") {
            Some(key) => Self::of_geo_key(key.as_bytes()),
            None => Self::of_key(name.as_bytes(), extra),
        };
        (!matches!(slot, Self::Unknown | Self::Geo | Self::Data | Self::SpecVersion)).then_some(slot)
    }

    /// Every name that [`Slot::of_name`] knows, without the platform's own.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let has_key =
            |field: &TextField| !TextField::EXTRA.contains(field) && !TextField::CUSTOMER.contains(field);
        let texts = TextField::ALL.into_iter().filter(has_key);
        [Self::Type, Self::Time, Self::ExpiresAt, Self::Latitude, Self::Longitude, Self::Accuracy]
            .into_iter()
            .chain(texts.map(Self::Text))
            .chain(NumberField::ALL.into_iter().map(Self::Number))
            .map(Self::as_str)
    }
}

/// The slot of the name that a key equals.
#[inline]
fn pick<const LENGTH: usize, const COUNT: usize>(
    key: &[u8],
    names: [(&[u8; LENGTH], Slot); COUNT],
) -> Option<Slot> {
    let key: &[u8; LENGTH] = key.try_into().ok()?;
    names.into_iter().find(|(name, _)| *name == key).map(|(_, slot)| slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_under_its_own_name() {
        for name in Slot::names() {
            assert_eq!(Slot::of_name(name, &[]).map(Slot::as_str), Some(name));
        }
        let extra = ["coupon".to_owned(), "campaign".to_owned()];
        assert_eq!(Slot::of_name("campaign", &extra), Some(Slot::Text(TextField::Extra1)));
        for name in ["geo", "data", "campaign", "geo.id", "country"] {
            assert_eq!(Slot::of_name(name, &[]), None, "{name}");
        }
    }
}
