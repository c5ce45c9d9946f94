//! An event while it is being filled: what each slot accepts, and what must be there in the end.

use std::borrow::Cow;

use super::value::{self, Scalar, TimeFormat};
use super::{MAX_ID_BYTES, MAX_TEXT_BYTES, RejectReason, Slot};
use crate::core::event::{Event, EventType, Place, Symbol, TextField, Topic};
use crate::core::time::Time;

/// The first instant of the year 2000.
const EARLIEST: Time = Time::from_millis(946_684_800_000);
/// The first instant of the year 2100.
const LATEST: Time = Time::from_millis(4_102_444_800_000);

pub(super) struct Draft<'e, 'a> {
    event: &'e mut Event<'a>,
    has_type: bool,
    has_time: bool,
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_km: f64,
    /// The first thing that is wrong.
    reject: Option<RejectReason>,
}

impl<'e, 'a> Draft<'e, 'a> {
    pub(super) fn new(event: &'e mut Event<'a>) -> Self {
        Self {
            event,
            has_type: false,
            has_time: false,
            latitude: None,
            longitude: None,
            accuracy_km: 0.0,
            reject: None,
        }
    }

    pub(super) fn refuse(&mut self, reason: RejectReason) {
        self.reject.get_or_insert(reason);
    }

    /// A value that the slot can't hold. An instant has its own word for it.
    pub(super) fn refuse_type(&mut self, slot: Slot) {
        match slot {
            Slot::Time => self.refuse(RejectReason::BadTime),
            Slot::Data | Slot::DataBase64 | Slot::SpecVersion | Slot::Source | Slot::Unknown => {}
            _ => self.refuse(RejectReason::WrongType(slot.as_str())),
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.reject.is_some()
    }

    /// Fills a slot that holds text (the type is one of them) with a text whose escapes are resolved.
    pub(super) fn set_text(&mut self, slot: Slot, text: Cow<'a, str>) {
        match slot {
            Slot::Type => match EventType::parse(&text) {
                Some(event_type) => {
                    self.event.event_type = event_type;
                    self.has_type = true;
                }
                None => self.refuse(RejectReason::UnknownType),
            },
            Slot::Text(field) => self.set_field(field, text),
            _ => self.refuse(RejectReason::WrongType(slot.as_str())),
        }
    }

    /// An empty text is the same as none.
    #[inline]
    fn set_field(&mut self, field: TextField, text: Cow<'a, str>) {
        match text {
            Cow::Borrowed("") => {}
            Cow::Borrowed(short) if short.len() <= MAX_ID_BYTES => self.event.set_text(field, text),
            _ => self.set_odd_field(field, text),
        }
    }

    #[cold]
    fn set_odd_field(&mut self, field: TextField, text: Cow<'a, str>) {
        let (length, limit) = (text.len(), max_bytes(field));
        if length == 0 {
            return;
        }
        // A raw NUL is no JSON, so only a text with escapes can hold one.
        if matches!(text, Cow::Owned(_)) && text.contains('\0') {
            return self.refuse(RejectReason::Nul);
        }
        if length > limit {
            if field != TextField::UserAgent {
                return self.refuse(RejectReason::TooLong(field.as_str()));
            }
            return self.event.set_text(field, cut(text, limit));
        }
        self.event.set_text(field, text);
    }

    /// Fills a slot that holds something other than text.
    pub(super) fn set_value(&mut self, slot: Slot, value: Scalar<'_>, format: TimeFormat) {
        let wrong = RejectReason::WrongType(slot.as_str());
        if matches!(value, Scalar::Text("")) {
            return;
        }
        match slot {
            Slot::Time => self.set_time(value::time(value, format)),
            // Zero is how some say that nothing expires.
            Slot::ExpiresAt => match value::time(value, format) {
                Some(time) => self.event.expires_at = (time.as_millis() != 0).then_some(time),
                None => self.refuse(wrong),
            },
            Slot::Number(field) => match value::decimal(value) {
                Some(number) => self.event.set_number(field, number),
                None => self.refuse(wrong),
            },
            Slot::Latitude => match value::coordinate(value).filter(|degrees| degrees.abs() <= 90.0) {
                Some(degrees) => self.latitude = Some(degrees),
                None => self.refuse(wrong),
            },
            Slot::Longitude => match value::coordinate(value).filter(|degrees| degrees.abs() <= 180.0) {
                Some(degrees) => self.longitude = Some(degrees),
                None => self.refuse(wrong),
            },
            Slot::Accuracy => match value::coordinate(value).filter(|radius| *radius >= 0.0) {
                Some(radius) => self.accuracy_km = radius,
                None => self.refuse(wrong),
            },
            Slot::Type | Slot::Text(_) | Slot::Geo => self.refuse(wrong),
            Slot::Data | Slot::DataBase64 | Slot::SpecVersion | Slot::Source | Slot::Unknown => {}
        }
    }

    pub(super) fn set_time(&mut self, time: Option<Time>) {
        match time {
            Some(time) if (EARLIEST..LATEST).contains(&time) => {
                self.event.time = time;
                self.has_time = true;
            }
            Some(_) => self.refuse(RejectReason::AbsurdTime),
            None => self.refuse(RejectReason::BadTime),
        }
    }

    /// Who made the event: with it, its id is unique. An empty text is the same as none.
    pub(super) fn set_source(&mut self, source: &str) {
        if source.len() > MAX_TEXT_BYTES {
            return self.refuse(RejectReason::TooLong(Slot::Source.as_str()));
        }
        if !source.is_empty() {
            self.event.source = Symbol::of(source);
        }
    }

    /// Whether nothing was wrong and nothing that must be there is missing.
    pub(super) fn finish(self) -> Result<(), RejectReason> {
        if let Some(reason) = self.reject {
            return Err(reason);
        }
        if self.event.text(TextField::Id).is_none() {
            return Err(RejectReason::MissingId);
        }
        if !self.has_type {
            return Err(RejectReason::MissingType);
        }
        if !self.has_time {
            return Err(RejectReason::MissingTime);
        }
        if self.event.event_type.topic() != Topic::Catalog && self.event.text(TextField::AccountId).is_none()
        {
            return Err(RejectReason::MissingAccount);
        }
        self.event.place = self.place();
        Ok(())
    }

    /// Where both coordinates are exactly zero, somebody did not know them: there is nothing but sea.
    fn place(&self) -> Option<Place> {
        let (latitude, longitude) = (self.latitude?, self.longitude?);
        let is_known = latitude != 0.0 || longitude != 0.0;
        is_known.then_some(Place { latitude, longitude, accuracy_km: self.accuracy_km })
    }
}

const fn max_bytes(field: TextField) -> usize {
    match field {
        TextField::Id
        | TextField::AccountId
        | TextField::OrderId
        | TextField::CardId
        | TextField::DeviceId
        | TextField::Ip => MAX_ID_BYTES,
        _ => MAX_TEXT_BYTES,
    }
}

/// The text up to a number of bytes, without half a character at its end.
fn cut(text: Cow<'_, str>, limit: usize) -> Cow<'_, str> {
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}
