//! The facts: what the platform said, as the rest of the core sees it.
//!
//! An [`Event`] borrows from the record it was decoded from; [`Facts`] is the small owned part of it that an
//! incident, a ticket and a message to the customer need later.

pub mod decode;
mod encoding;
mod facts;
pub mod faults;
mod field;
mod locate;
pub mod mapping;

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::core::time::Time;

pub use facts::Facts;
pub use field::{EventType, Fault, Field, NumberField, Symbol, TextField, TextSet, Tier, Topic, TypeSet};
pub use locate::Located;

/// Where on the earth a login came from, as far as the platform or a location database knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
    /// Radius in km within which the true place lies; 0 where nothing is said about it.
    pub accuracy_km: f64,
}

/// One thing that happened on the platform.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    pub event_type: EventType,
    pub time: Time,
    pub fault: Fault,
    pub expires_at: Option<Time>,
    pub place: Option<Place>,
    /// Which edition of a location database the place was looked up in, 1 to 7; 0: the platform said it.
    pub edition: u8,
    /// Who made the event, of a CloudEvent; [`Symbol::MISSING`] where nobody says so.
    pub source: Symbol,
    texts: [Option<Cow<'a, str>>; TextField::COUNT],
    symbols: [Symbol; TextField::COUNT],
    numbers: [Option<Decimal>; NumberField::COUNT],
}

impl<'a> Event<'a> {
    pub fn new(event_type: EventType, time: Time) -> Self {
        Self {
            event_type,
            time,
            fault: Fault::None,
            expires_at: None,
            place: None,
            edition: 0,
            source: Symbol::MISSING,
            texts: [const { None }; TextField::COUNT],
            symbols: [Symbol::MISSING; TextField::COUNT],
            numbers: [None; NumberField::COUNT],
        }
    }

    pub fn set_text(&mut self, field: TextField, value: Cow<'a, str>) {
        self.texts[field.index()] = Some(value);
    }

    pub fn set_number(&mut self, field: NumberField, value: Decimal) {
        self.numbers[field.index()] = Some(value);
    }

    pub fn text(&self, field: TextField) -> Option<&str> {
        self.texts[field.index()].as_deref()
    }

    pub fn number(&self, field: NumberField) -> Option<Decimal> {
        self.numbers[field.index()]
    }

    /// A copy that outlives the record it was decoded from.
    pub fn to_owned(&self) -> Event<'static> {
        let texts =
            std::array::from_fn(|place| self.texts[place].as_ref().map(|text| Cow::Owned(text.to_string())));
        Event {
            event_type: self.event_type,
            time: self.time,
            fault: self.fault,
            expires_at: self.expires_at,
            place: self.place,
            edition: self.edition,
            source: self.source,
            texts,
            symbols: self.symbols,
            numbers: self.numbers,
        }
    }

    /// Computes the symbols of `fields`, so that conditions and subjects compare numbers, not strings.
    /// The engine calls it once per event with the fields that some rule looks at.
    pub fn symbolize(&mut self, fields: TextSet) {
        for field in fields.iter() {
            if let Some(text) = &self.texts[field.index()] {
                self.symbols[field.index()] = Symbol::of(text);
            }
        }
    }

    /// The symbol of a field, [`Symbol::MISSING`] if the event lacks it or it was not asked for.
    pub fn symbol(&self, field: TextField) -> Symbol {
        self.symbols[field.index()]
    }

    /// What no other event of the account has: its id, of CloudEvents with their source. For symbols that were computed.
    pub fn identity(&self) -> Symbol {
        let id = self.symbol(TextField::Id);
        if self.source == Symbol::MISSING { id } else { id.with(self.source) }
    }

    pub fn has(&self, field: Field) -> bool {
        match field {
            Field::Type | Field::Fault | Field::Time => true,
            Field::ExpiresAt => self.expires_at.is_some(),
            Field::Text(field) => self.texts[field.index()].is_some(),
            Field::Number(field) => self.numbers[field.index()].is_some(),
        }
    }
}
