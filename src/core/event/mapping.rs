//! Platforms with other field names: where in a record each field lies, and how its values read in our words.
//!
//! A field that is not mapped keeps its own name at the top of the record. All pointers of a mapping are followed in
//! one pass over the record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sonic_rs::LazyValue;
use thiserror::Error;

use super::decode::{Slot, TimeFormat};

/// A pointer with more steps than this is a mistake; the bound keeps the reader's recursion bounded.
const MAX_POINTER_STEPS: usize = 16;

/// Where one field lies and how its values read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldMapping {
    /// JSON pointers (RFC 6901); the first that leads to a value counts. A step of digits is a place in a list.
    pub pointers: Vec<String>,
    /// The platform's values in our words; those that are not listed stay as they are.
    pub values: BTreeMap<String, String>,
    /// The value where no pointer leads to one.
    pub default: Option<String>,
    pub time_format: TimeFormat,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MappingError {
    #[error("there is no field `{field}`")]
    UnknownField { field: String },
    #[error(
        "`{pointer}` of field `{field}` is not a JSON pointer: it starts with `/` and has at most {MAX_POINTER_STEPS} steps"
    )]
    BadPointer { field: String, pointer: String },
    #[error("field `{field}` has neither a pointer nor a default")]
    Nowhere { field: String },
    #[error("field `{field}` is no instant, so it has no time format")]
    NoInstant { field: String },
}

/// All mapped fields, ready to be applied.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    fields: Vec<MappedField>,
    root: Node,
    pointers: usize,
}

#[derive(Clone, Debug)]
struct MappedField {
    slot: Slot,
    /// Numbers of pointers, in the order of their preference.
    pointers: Vec<usize>,
    values: BTreeMap<String, String>,
    default: Option<String>,
    time_format: TimeFormat,
}

/// One step of the pointers, merged where they begin alike.
#[derive(Clone, Debug, Default)]
struct Node {
    step: String,
    place: Option<usize>,
    /// The pointers that end here.
    ends: Vec<usize>,
    below: Vec<Node>,
}

impl Mapping {
    pub fn new(
        fields: impl IntoIterator<Item = (String, FieldMapping)>,
        extra: &[String],
    ) -> Result<Self, MappingError> {
        let mut mapping = Self::default();
        for (field, written) in fields {
            let slot = Slot::of_name(&field, extra);
            let slot = slot.ok_or_else(|| MappingError::UnknownField { field: field.clone() })?;
            if written.pointers.is_empty() && written.default.is_none() {
                return Err(MappingError::Nowhere { field });
            }
            if written.time_format != TimeFormat::Any && !matches!(slot, Slot::Time | Slot::ExpiresAt) {
                return Err(MappingError::NoInstant { field });
            }
            let mut pointers = Vec::new();
            for pointer in written.pointers {
                let Some(steps) = steps(&pointer) else {
                    return Err(MappingError::BadPointer { field, pointer });
                };
                mapping.root.add(&steps, mapping.pointers);
                pointers.push(mapping.pointers);
                mapping.pointers += 1;
            }
            mapping.fields.push(MappedField {
                slot,
                pointers,
                values: written.values,
                default: written.default,
                time_format: written.time_format,
            });
        }
        Ok(mapping)
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether a slot is filled from here and from nowhere else.
    pub(super) fn fills(&self, slot: Slot) -> bool {
        self.fields.iter().any(|field| field.slot == slot)
    }

    /// Our word for an event type that the platform calls so, where the mapping has one.
    pub(super) fn type_named(&self, theirs: &str) -> Option<&str> {
        let of_type = self.fields.iter().find(|field| field.slot == Slot::Type)?;
        of_type.values.get(theirs).map(String::as_str)
    }

    /// Hands out the raw text of each mapped field's value. What is no JSON has been refused before.
    pub(super) fn apply<'a>(&self, json: &'a str, sink: &mut dyn FnMut(Slot, Cow<'a, str>, TimeFormat)) {
        if self.is_empty() {
            return;
        }
        let mut found: Vec<Option<Cow<'a, str>>> = vec![None; self.pointers];
        self.root.follow(json, &mut found);
        for field in &self.fields {
            let value = field
                .pointers
                .iter()
                .find_map(|pointer| found.get(*pointer)?.clone().filter(|raw| raw != "null"));
            if let Some(raw) = field.translate(value) {
                sink(field.slot, raw, field.time_format);
            }
        }
    }
}

impl MappedField {
    /// The value in our words, as raw JSON.
    fn translate<'a>(&self, raw: Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        let Some(raw) = raw else {
            return self.default.as_deref().map(quoted);
        };
        if self.values.is_empty() {
            return Some(raw);
        }
        let translated = if raw.starts_with('"') {
            let text = sonic_rs::from_str::<String>(&raw).ok()?;
            self.values.get(&text)
        } else {
            self.values.get(raw.as_ref())
        };
        Some(translated.map_or(raw, |value| quoted(value)))
    }
}

fn quoted<'a>(text: &str) -> Cow<'a, str> {
    Cow::Owned(sonic_rs::to_string(text).unwrap_or_default())
}

/// The steps of a JSON pointer with their escapes resolved.
fn steps(pointer: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = pointer
        .strip_prefix('/')?
        .split('/')
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    (steps.len() <= MAX_POINTER_STEPS).then_some(steps)
}

impl Node {
    fn add(&mut self, steps: &[String], number: usize) {
        let Some((step, rest)) = steps.split_first() else {
            self.ends.push(number);
            return;
        };
        let known = self.below.iter().position(|node| node.step == *step);
        let at = known.unwrap_or_else(|| {
            self.below.push(Self { step: step.clone(), place: step.parse().ok(), ..Self::default() });
            self.below.len() - 1
        });
        if let Some(node) = self.below.get_mut(at) {
            node.add(rest, number);
        }
    }

    /// Follows all pointers from here on; what leads nowhere is left out.
    fn follow<'a>(&self, json: &'a str, found: &mut [Option<Cow<'a, str>>]) {
        let mut deserializer = sonic_rs::Deserializer::from_str(json);
        let walk = Walk { node: self, found };
        // An error means that a value was no container; the pointers through it lead nowhere.
        drop((&mut deserializer).deserialize_any(walk));
    }

    fn take<'a, E: Error>(&self, value: &LazyValue<'a>, found: &mut [Option<Cow<'a, str>>]) -> Result<(), E> {
        let raw = value.as_raw_cow();
        if let (Cow::Borrowed(raw), false) = (&raw, self.below.is_empty())
            && raw.starts_with(['{', '['])
        {
            self.follow(raw, found);
        }
        for end in &self.ends {
            if let Some(place) = found.get_mut(*end) {
                *place = Some(raw.clone());
            }
        }
        Ok(())
    }
}

struct Walk<'w, 'a> {
    node: &'w Node,
    found: &'w mut [Option<Cow<'a, str>>],
}

impl<'a> Visitor<'a> for Walk<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(NextStep { node: self.node })? {
            match node {
                Some(node) => node.take(&map.next_value::<LazyValue<'a>>()?, self.found)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(value) = items.next_element::<LazyValue<'a>>()? {
            if let Some(node) = self.node.below.iter().find(|node| node.place == Some(at)) {
                node.take(&value, self.found)?;
            }
            at += 1;
        }
        Ok(())
    }
}

struct NextStep<'w> {
    node: &'w Node,
}

impl<'a, 'w> DeserializeSeed<'a> for NextStep<'w> {
    type Value = Option<&'w Node>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'w> Visitor<'_> for NextStep<'w> {
    type Value = Option<&'w Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.node.below.iter().find(|node| node.step == key))
    }
}
