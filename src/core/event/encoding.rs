//! A whole event as it waits in a checkpoint, and back.

use std::borrow::Cow;

use super::{Event, EventType, Fault, NumberField, Place, Symbol, TextField};
use crate::core::codec::{CorruptState, Reader, Writer};

impl Event<'_> {
    pub fn encode(&self, to: &mut Writer<'_>) {
        // Symbols follow from the texts, but for the source, of which there is nothing else.
        let Self { event_type, time, fault, expires_at, place, edition, source, texts, symbols: _, numbers } =
            self;
        to.byte(*event_type as u8);
        to.time(*time);
        to.byte(*fault as u8);
        to.option(*expires_at, Writer::time);
        to.option(*place, |to, place| {
            to.float(place.latitude);
            to.float(place.longitude);
            to.float(place.accuracy_km);
        });
        to.byte(*edition);
        to.symbol(*source);
        to.unsigned(texts.iter().flatten().count() as u64);
        for (field, text) in (0..).zip(texts) {
            if let Some(text) = text {
                to.byte(field);
                to.text(text);
            }
        }
        to.unsigned(numbers.iter().flatten().count() as u64);
        for (field, number) in (0..).zip(numbers) {
            if let Some(number) = number {
                to.byte(field);
                to.decimal(*number);
            }
        }
    }
}

impl<'a> Event<'a> {
    /// The event without its symbols; its texts lie where they are read from.
    pub fn decode(from: &mut Reader<'a>) -> Result<Self, CorruptState> {
        let event_type = *EventType::ALL.get(usize::from(from.byte()?)).ok_or(CorruptState)?;
        let time = from.time()?;
        let fault = *Fault::ALL.get(usize::from(from.byte()?)).ok_or(CorruptState)?;
        let expires_at = from.option(Reader::time)?;
        let place = from.option(|from| {
            let (latitude, longitude, accuracy_km) = (from.float()?, from.float()?, from.float()?);
            Ok(Place { latitude, longitude, accuracy_km })
        })?;
        let edition = from.byte()?;
        let source = from.symbol()?;
        let mut texts = [const { None }; TextField::COUNT];
        for _ in 0..from.count()? {
            let text = texts.get_mut(usize::from(from.byte()?)).ok_or(CorruptState)?;
            *text = Some(Cow::Borrowed(from.text()?));
        }
        let mut numbers = [None; NumberField::COUNT];
        for _ in 0..from.count()? {
            let number = numbers.get_mut(usize::from(from.byte()?)).ok_or(CorruptState)?;
            *number = Some(from.decimal()?);
        }
        let symbols = [Symbol::MISSING; TextField::COUNT];
        Ok(Self { event_type, time, fault, expires_at, place, edition, source, texts, symbols, numbers })
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::core::time::Time;

    fn full() -> Event<'static> {
        let mut event = Event::new(EventType::OrderFailed, Time::from_millis(1_790_000_000_123));
        event.fault = Fault::Channel;
        event.expires_at = Some(Time::from_millis(-1));
        event.place = Some(Place { latitude: 31.2, longitude: -121.5, accuracy_km: 0.5 });
        event.edition = 3;
        event.source = Symbol::of("/shop");
        for field in TextField::ALL {
            event.set_text(field, Cow::Owned(format!("{} 卡", field.as_str())));
        }
        for (number, field) in (-1..).zip(NumberField::ALL) {
            event.set_number(field, Decimal::new(number * 1_234_567, 2));
        }
        event
    }

    fn encoded(event: &Event<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        event.encode(&mut Writer(&mut bytes));
        bytes
    }

    #[test]
    fn a_full_event_and_an_empty_one_are_read_back_as_they_were() {
        for event in [full(), Event::new(EventType::StockLevel, Time::from_millis(0))] {
            let bytes = encoded(&event);
            let mut reader = Reader(&bytes);
            let read = Event::decode(&mut reader).unwrap();
            assert_eq!(reader.end(), Ok(()));
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let bytes = encoded(&full());
        for length in 0..bytes.len() {
            assert!(Event::decode(&mut Reader(&bytes[..length])).is_err(), "cut to {length}");
        }
    }
}
