//! A limit on a number of things, the same for all or by the value of one field of the subject.

use crate::core::event::{Event, Symbol, TextField, TextSet};

/// `3`, or `{ by: channel, alipay: 10, default: 20 }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeLimit {
    default: u32,
    by: Option<By>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct By {
    field: TextField,
    /// Sorted.
    values: Box<[(Symbol, u32)]>,
}

impl From<u32> for WholeLimit {
    fn from(limit: u32) -> Self {
        Self { default: limit, by: None }
    }
}

impl WholeLimit {
    pub fn by<'a>(field: TextField, values: impl Iterator<Item = (&'a str, u32)>, default: u32) -> Self {
        let mut values: Vec<_> = values.map(|(value, limit)| (Symbol::of(value), limit)).collect();
        values.sort_unstable();
        Self { default, by: Some(By { field, values: values.into() }) }
    }

    /// The limit of an event's subject, which the field is a part of.
    pub fn of(&self, event: &Event<'_>) -> u32 {
        self.by.as_ref().map_or(self.default, |by| self.of_value(by, event.symbol(by.field)))
    }

    fn of_value(&self, by: &By, value: Symbol) -> u32 {
        let place = by.values.binary_search_by_key(&value, |(value, _)| *value);
        place.ok().and_then(|place| by.values.get(place)).map_or(self.default, |(_, limit)| *limit)
    }

    /// The limit of a subject by the value of its field, which [`WholeLimit::field`] names.
    pub fn at(&self, value: Symbol) -> u32 {
        self.by.as_ref().map_or(self.default, |by| self.of_value(by, value))
    }

    /// At least so many is more than this.
    #[must_use]
    pub fn plus_one(&self) -> Self {
        let mut next = self.clone();
        next.default = next.default.saturating_add(1);
        for (_, limit) in next.by.iter_mut().flat_map(|by| by.values.iter_mut()) {
            *limit = limit.saturating_add(1);
        }
        next
    }

    /// The field that it depends on.
    pub fn field(&self) -> Option<TextField> {
        self.by.as_ref().map(|by| by.field)
    }

    pub fn symbols(&self) -> TextSet {
        self.field().map_or(TextSet::EMPTY, TextSet::of)
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        let values = self.by.iter().flat_map(|by| by.values.iter().map(|(_, limit)| *limit));
        values.chain([self.default])
    }

    pub fn least(&self) -> u32 {
        self.all().min().unwrap_or(self.default)
    }

    pub fn most(&self) -> u32 {
        self.all().max().unwrap_or(self.default)
    }

    /// A subject's limit here and there, where there may be above here: a range that nothing is in.
    pub fn beyond(&self, most: &Self) -> Option<(u32, u32)> {
        let (one, other) = (&self.by, &most.by);
        let values =
            one.iter().chain(other).flat_map(|by| by.values.iter().map(|(value, _)| (by.field, *value)));
        let of = |limit: &Self, by: &Option<By>, field, value| match by {
            Some(by) if by.field == field => limit.of_value(by, value),
            _ => limit.default,
        };
        values
            .map(|(field, value)| (of(self, one, field, value), of(most, other, field, value)))
            .chain([(self.default, most.default)])
            .find(|(low, high)| low > high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventType;
    use crate::core::rule::table::testing::{at, given};

    #[test]
    fn a_subject_has_the_limit_of_its_value_and_the_others_have_the_default() {
        let values = [("alipay", 10), ("wechat", 30)];
        let limit = WholeLimit::by(TextField::Channel, values.into_iter(), 20);
        let of = |limit: &WholeLimit, channel: &str| {
            let texts = [(TextField::Channel, channel)];
            limit.of(&given(1, EventType::OrderPaid, at(0), &texts).event)
        };
        assert_eq!(["alipay", "wechat", "card"].map(|channel| of(&limit, channel)), [10, 30, 20]);
        assert_eq!((limit.most(), limit.field()), (30, Some(TextField::Channel)));
        let one = WholeLimit::from(7);
        assert_eq!((of(&one, "alipay"), one.most(), one.field()), (7, 7, None));
    }

    #[test]
    fn a_range_that_is_empty_for_one_value_is_noticed() {
        let by = |limit: u32| WholeLimit::by(TextField::Channel, [("alipay", limit)].into_iter(), 5);
        assert_eq!(by(3).beyond(&by(3)), None);
        assert_eq!(by(4).beyond(&by(3)), Some((4, 3)));
        assert_eq!(WholeLimit::from(4).beyond(&by(3)), Some((4, 3)));
        assert_eq!(WholeLimit::from(6).beyond(&by(9)), Some((6, 5)));
        assert_eq!(WholeLimit::from(2).beyond(&3.into()), None);
    }
}
