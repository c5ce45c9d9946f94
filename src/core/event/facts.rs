//! The owned part of an event that outlives its record: what tickets and messages name.

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::{Event, EventType, NumberField, TextField, TextSet};
use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::time::Time;

/// What an incident remembers of the event that opened it, and what a message to the customer can name.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub event_type: EventType,
    pub time: Time,
    pub account_id: CompactString,
    /// The other text fields that the event has, in field order, without the record's own id.
    pub texts: Box<[(TextField, CompactString)]>,
    pub amount: Option<Decimal>,
    pub quantity: Option<Decimal>,
}

impl Facts {
    pub fn of(event: &Event<'_>) -> Self {
        let texts = TextField::ALL
            .into_iter()
            .filter(|field| !matches!(field, TextField::Id | TextField::AccountId))
            .filter_map(|field| Some((field, CompactString::from(event.text(field)?))))
            .collect();
        Self {
            event_type: event.event_type,
            time: event.time,
            account_id: CompactString::from(event.text(TextField::AccountId).unwrap_or_default()),
            texts,
            amount: event.number(NumberField::Amount),
            quantity: event.number(NumberField::Quantity),
        }
    }

    /// What is left when only these fields are known.
    #[must_use]
    pub fn only(self, fields: &[TextField]) -> Self {
        let account_id =
            if fields.contains(&TextField::AccountId) { self.account_id } else { CompactString::default() };
        let texts = self.texts.into_iter().filter(|(field, _)| fields.contains(field)).collect();
        Self { account_id, texts, amount: None, quantity: None, ..self }
    }

    /// What is left when only the account, the numbers and these fields are known.
    #[must_use]
    pub fn keeping(&self, kept: TextSet) -> Self {
        let texts = self.texts.iter().filter(|(field, _)| kept.contains(*field)).cloned().collect();
        Self { account_id: self.account_id.clone(), texts, ..*self }
    }

    pub fn text(&self, field: TextField) -> Option<&str> {
        if field == TextField::AccountId {
            return (!self.account_id.is_empty()).then_some(self.account_id.as_str());
        }
        self.texts.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }
}

impl Facts {
    /// Writes the account, the numbers and these fields of an event as [`Facts::encode`] would, without making facts first:
    /// most are never asked for.
    pub fn encode_some(event: &Event<'_>, kept: TextSet, writer: &mut Writer<'_>) {
        writer.byte(event.event_type as u8);
        writer.time(event.time);
        writer.text(event.text(TextField::AccountId).unwrap_or_default());
        let texts = || {
            let fields = TextField::ALL.into_iter();
            let fields = fields.filter(|field| !matches!(field, TextField::Id | TextField::AccountId));
            let fields = fields.filter(move |field| kept.contains(*field));
            fields.filter_map(|field| Some((field, event.text(field)?)))
        };
        writer.unsigned(texts().count() as u64);
        for (field, text) in texts() {
            writer.byte(field as u8);
            writer.text(text);
        }
        for field in [NumberField::Amount, NumberField::Quantity] {
            writer.option(event.number(field), Writer::decimal);
        }
    }

    /// The time in encoded facts.
    pub fn time_of(encoded: &[u8]) -> Time {
        let mut reader = Reader(encoded);
        let time = reader.byte().and_then(|_| reader.time());
        time.unwrap_or(Time::MIN)
    }

    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.byte(self.event_type as u8);
        writer.time(self.time);
        writer.text(&self.account_id);
        writer.unsigned(self.texts.len() as u64);
        for (field, text) in &self.texts {
            writer.byte(*field as u8);
            writer.text(text);
        }
        for number in [self.amount, self.quantity] {
            writer.option(number, Writer::decimal);
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let event_type = *EventType::ALL.get(usize::from(reader.byte()?)).ok_or(CorruptState)?;
        let time = reader.time()?;
        let account_id = CompactString::from(reader.text()?);
        let mut texts = Vec::new();
        for _ in 0..reader.count()? {
            let field = *TextField::ALL.get(usize::from(reader.byte()?)).ok_or(CorruptState)?;
            texts.push((field, CompactString::from(reader.text()?)));
        }
        let mut number = || reader.option(Reader::decimal);
        let (amount, quantity) = (number()?, number()?);
        Ok(Self { event_type, time, account_id, texts: texts.into(), amount, quantity })
    }
}
