//! The pass for everything unusual: value by value from its own text, with mappings and envelopes, naming the first
//! thing that is wrong.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use sonic_rs::LazyValue;

use super::attributes::SPEC_VERSION;
use super::draft::Draft;
use super::value::{self, Scalar, TimeFormat};
use super::{EventSettings, RejectReason, Slot};
use crate::core::event::TextField;

/// Returns whether the record is a CloudEvents envelope.
pub(super) fn read<'a>(
    json: &'a str,
    settings: &EventSettings,
    draft: &mut Draft<'_, 'a>,
) -> Result<bool, RejectReason> {
    // sonic-rs takes "\ud-83d" for an escape, in what it passes over too. Escapes are seldom enough to look twice.
    if json.contains('\\') && serde_json::from_str::<IgnoredAny>(json).is_err() {
        return Err(reason(json));
    }
    let inner = |key: &[u8]| Slot::of_key(key, &settings.extra);
    let top = |key: &[u8]| Slot::of_envelope_key(key).unwrap_or_else(|| inner(key));
    let mut envelope = Envelope::default();
    let mut own = Vec::new();
    read_object(json, &top, &mut |slot, raw| match slot {
        Slot::SpecVersion => envelope.take_version(&raw),
        Slot::Data => envelope.data = Some(raw),
        Slot::DataBase64 => envelope.has_bytes |= raw != "null",
        Slot::Source => {
            // A platform may call a field of its own so.
            own.push((inner(b"source"), raw.clone()));
            envelope.source = Some(raw);
        }
        _ => own.push((slot, raw)),
    })
    .map_err(|NotAnObject| reason(json))?;
    let is_envelope = envelope.is_one;
    if is_envelope {
        // What is inside comes first, so that the envelope's own id, type and time win.
        own.splice(0..0, envelope.open(&inner, draft)?);
    }
    for (slot, raw) in own {
        if !settings.mapping.fills(slot) {
            set(draft, slot, raw, TimeFormat::Any);
        }
    }
    settings.mapping.apply(json, &mut |slot, raw, format| set(draft, slot, raw, format));
    Ok(is_envelope)
}

/// What makes a record an envelope, and what it holds besides the event's own fields. Of what stands twice the last counts.
#[derive(Default)]
struct Envelope<'a> {
    is_one: bool,
    is_other_version: bool,
    has_bytes: bool,
    data: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
}

impl<'a> Envelope<'a> {
    fn take_version(&mut self, raw: &str) {
        self.is_one = true;
        self.is_other_version |= value::string(raw).as_deref() != Some(SPEC_VERSION);
    }

    /// The members of the event inside.
    fn open(
        self,
        slot_of: &dyn Fn(&[u8]) -> Slot,
        draft: &mut Draft<'_, 'a>,
    ) -> Result<Vec<(Slot, Cow<'a, str>)>, RejectReason> {
        if self.is_other_version {
            return Err(RejectReason::OtherSpecVersion);
        }
        if self.has_bytes {
            return Err(RejectReason::DataBase64);
        }
        match self.source.as_deref() {
            None | Some("null") => {}
            Some(raw) => match value::string(raw) {
                Some(source) if source.contains('\0') => draft.refuse(RejectReason::Nul),
                Some(source) => draft.set_source(&source),
                None => draft.refuse(RejectReason::WrongType(Slot::Source.as_str())),
            },
        }
        let mut inside = Vec::new();
        match self.data {
            Some(Cow::Borrowed(data)) if data.starts_with('{') => {
                read_object(data, slot_of, &mut |slot, raw| inside.push((slot, raw)))
                    .map_err(|NotAnObject| RejectReason::NotJson)?;
            }
            None => {}
            Some(data) if data == "null" => {}
            Some(_) => return Err(RejectReason::WrongType(Slot::Data.as_str())),
        }
        Ok(inside)
    }
}

/// Fills a slot from the raw text of a JSON value of any type.
fn set<'a>(draft: &mut Draft<'_, 'a>, slot: Slot, raw: Cow<'a, str>, format: TimeFormat) {
    let holds_text = matches!(slot, Slot::Type | Slot::Text(_));
    let is_own = matches!(slot, Slot::Text(field) if TextField::EXTRA.contains(&field));
    match (raw.as_bytes().first(), &raw) {
        (Some(b'n'), _) => {}
        (Some(b'"'), _) => match unquoted(raw) {
            Some(text) if holds_text => draft.set_text(slot, text),
            Some(text) if slot != Slot::Geo => draft.set_value(slot, Scalar::Text(&text), format),
            Some(_) => draft.refuse_type(slot),
            None => draft.refuse(RejectReason::NotJson),
        },
        // Identifiers are numbers on some platforms; their digits are the text.
        (Some(b'-' | b'0'..=b'9'), _) if matches!(slot, Slot::Text(_)) => draft.set_text(slot, raw),
        (Some(b't' | b'f'), _) if is_own => draft.set_text(slot, raw),
        (Some(b'{'), Cow::Borrowed(raw)) if slot == Slot::Geo => {
            let read = read_object(raw, &Slot::of_geo_key, &mut |slot, raw| {
                set(draft, slot, raw, TimeFormat::Any);
            });
            if read.is_err() {
                draft.refuse(RejectReason::NotJson);
            }
        }
        (Some(b'-' | b'0'..=b'9'), _) => draft.set_value(slot, Scalar::Number(&raw), format),
        _ => draft.refuse_type(slot),
    }
}

fn unquoted(raw: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match raw {
        Cow::Borrowed(raw) => value::string(raw),
        Cow::Owned(raw) => Some(Cow::Owned(value::string(&raw)?.into_owned())),
    }
}

/// Why a text that could not be read as an object could not.
fn reason(json: &str) -> RejectReason {
    if json.contains('\0') {
        return RejectReason::Nul;
    }
    let is_json = serde_json::from_str::<IgnoredAny>(json).is_ok();
    let is_object = json.trim_start().starts_with('{');
    if is_json && !is_object { RejectReason::NotAnObject } else { RejectReason::NotJson }
}

struct NotAnObject;

/// Hands out the raw text of each value whose key has a slot, in the order of the record.
fn read_object<'a>(
    json: &'a str,
    slot_of: &dyn Fn(&[u8]) -> Slot,
    sink: &mut dyn FnMut(Slot, Cow<'a, str>),
) -> Result<(), NotAnObject> {
    let mut deserializer = sonic_rs::Deserializer::from_str(json);
    (&mut deserializer).deserialize_map(ObjectVisitor { slot_of, sink }).map_err(|_| NotAnObject)?;
    deserializer.end().map_err(|_| NotAnObject)
}

struct ObjectVisitor<'d, 'a> {
    slot_of: &'d dyn Fn(&[u8]) -> Slot,
    sink: &'d mut dyn FnMut(Slot, Cow<'a, str>),
}

impl<'a> Visitor<'a> for ObjectVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(slot) = map.next_key_seed(Key { slot_of: self.slot_of })? {
            if slot == Slot::Unknown {
                map.next_value::<IgnoredAny>()?;
            } else {
                (self.sink)(slot, map.next_value::<LazyValue<'a>>()?.as_raw_cow());
            }
        }
        Ok(())
    }
}

struct Key<'d> {
    slot_of: &'d dyn Fn(&[u8]) -> Slot,
}

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = Slot;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Slot, E> {
        Ok((self.slot_of)(key.as_bytes()))
    }
}
