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
    /// What tells a CloudEvents envelope.
    SpecVersion,
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
            Self::SpecVersion => "specversion",
            Self::Unknown => "unknown",
        }
    }

    /// The slot of a key at the top of a record.
    pub(super) fn of_key(key: &str, extra: &[String]) -> Self {
        match key {
            "id" => Self::Text(TextField::Id),
            "type" => Self::Type,
            "time" => Self::Time,
            "account_id" => Self::Text(TextField::AccountId),
            "order_id" => Self::Text(TextField::OrderId),
            "kind" => Self::Text(TextField::Kind),
            "product" => Self::Text(TextField::Product),
            "supplier" => Self::Text(TextField::Supplier),
            "channel" => Self::Text(TextField::Channel),
            "region" => Self::Text(TextField::Region),
            "amount" => Self::Number(NumberField::Amount),
            "currency" => Self::Text(TextField::Currency),
            "quantity" => Self::Number(NumberField::Quantity),
            "expires_at" => Self::ExpiresAt,
            "error_code" => Self::Text(TextField::ErrorCode),
            "card_id" => Self::Text(TextField::CardId),
            "ip" => Self::Text(TextField::Ip),
            "device_id" => Self::Text(TextField::DeviceId),
            "user_agent" => Self::Text(TextField::UserAgent),
            "category" => Self::Text(TextField::Category),
            "level" => Self::Number(NumberField::Level),
            "score" => Self::Number(NumberField::Score),
            "geo" => Self::Geo,
            "data" => Self::Data,
            "specversion" => Self::SpecVersion,
            _ => Self::of_extra(key, extra),
        }
    }

    fn of_extra(key: &str, extra: &[String]) -> Self {
        let position = extra.iter().position(|declared| declared == key);
        let field = position.and_then(|position| TextField::EXTRA.get(position));
        field.map_or(Self::Unknown, |field| Self::Text(*field))
    }

    /// The slot of a key inside `geo`.
    pub(super) fn of_geo_key(key: &str) -> Self {
        match key {
            "country" => Self::Text(TextField::GeoCountry),
            "region" => Self::Text(TextField::GeoRegion),
            "city" => Self::Text(TextField::GeoCity),
            "asn" => Self::Text(TextField::GeoAsn),
            "network" => Self::Text(TextField::GeoNetwork),
            "latitude" => Self::Latitude,
            "longitude" => Self::Longitude,
            "accuracy_km" => Self::Accuracy,
            _ => Self::Unknown,
        }
    }

    /// The slot of a field's full name (`geo.country`), as a mapping names it; [`None`] for what no mapping can fill.
    pub fn of_name(name: &str, extra: &[String]) -> Option<Self> {
        let slot = match name.strip_prefix("geo.") {
            Some(key) => Self::of_geo_key(key),
            None => Self::of_key(name, extra),
        };
        (!matches!(slot, Self::Unknown | Self::Geo | Self::Data | Self::SpecVersion)).then_some(slot)
    }

    /// Every name that [`Slot::of_name`] knows, without the platform's own.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let texts = TextField::ALL.into_iter().filter(|field| !TextField::EXTRA.contains(field));
        [Self::Type, Self::Time, Self::ExpiresAt, Self::Latitude, Self::Longitude, Self::Accuracy]
            .into_iter()
            .chain(texts.map(Self::Text))
            .chain(NumberField::ALL.into_iter().map(Self::Number))
            .map(Self::as_str)
    }
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
