//! The second, strict reading of the merged layers: every error knows its key and the layer it came from.
//!
//! Texts from the environment become numbers, truth values and lists where such are expected; in the file they must be
//! written as what they are.

use std::fmt;

use config::{Value, ValueKind};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::unknown;

/// The layer above the file; what it holds is text.
pub(super) const ENVIRONMENT: &str = "the environment";

/// An error of one value. The path grows as it comes up from the value to the root.
#[derive(Debug)]
pub(super) struct ValueError {
    path: Vec<String>,
    pub(super) origin: Option<String>,
    pub(super) what: String,
}

impl ValueError {
    fn within(mut self, key: &str, origin: Option<&str>) -> Self {
        self.path.push(key.to_owned());
        self.origin = self.origin.or_else(|| origin.map(str::to_owned));
        self
    }

    pub(super) fn key(&self) -> String {
        let steps: Vec<_> = self.path.iter().rev().map(String::as_str).collect();
        steps.join(".")
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for ValueError {}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { path: Vec::new(), origin: None, what: what.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "u16" => "a whole number up to 65535".to_owned(),
            "u32" => "a whole number up to 4294967295".to_owned(),
            "u64" => "a whole number".to_owned(),
            other => other.to_owned(),
        };
        Self::custom(format_args!("expected {expected}, found {}", Found(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("value", variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::custom(unknown("key", field, expected));
        error.path.push(field.to_owned());
        error
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("{field:?} is missing"))
    }
}

/// The words of the configuration for what was found.
struct Found<'f>(Unexpected<'f>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Map => f.write_str("a table"),
            Unexpected::Seq => f.write_str("a list"),
            Unexpected::Str(text) => write!(f, "the text {text:?}"),
            Unexpected::Bool(flag) => write!(f, "{flag}"),
            Unexpected::Signed(number) => write!(f, "the number {number}"),
            Unexpected::Unsigned(number) => write!(f, "the number {number}"),
            Unexpected::Float(number) => write!(f, "the number {number}"),
            other => write!(f, "{other}"),
        }
    }
}

/// A value of the merged layers, as a source to read from.
#[derive(Clone, Copy)]
pub(super) struct Strict<'v>(pub(super) &'v Value);

impl Strict<'_> {
    fn is_text_only(self) -> bool {
        self.0.origin() == Some(ENVIRONMENT)
    }

    fn unexpected(self) -> Unexpected<'static> {
        match &self.0.kind {
            ValueKind::Boolean(flag) => Unexpected::Bool(*flag),
            ValueKind::I64(number) => Unexpected::Signed(*number),
            ValueKind::U64(number) => Unexpected::Unsigned(*number),
            ValueKind::Float(number) => Unexpected::Float(*number),
            ValueKind::Table(_) => Unexpected::Map,
            ValueKind::Array(_) => Unexpected::Seq,
            ValueKind::Nil => Unexpected::Unit,
            ValueKind::String(_) => Unexpected::Other("a text"),
            ValueKind::I128(_) | ValueKind::U128(_) => Unexpected::Other("a very large number"),
        }
    }

    fn text(&self) -> Option<&str> {
        if let ValueKind::String(text) = &self.0.kind { Some(text) } else { None }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match (&self.0.kind, self.text()) {
            (ValueKind::I64(number), _) => visitor.visit_i64(*number),
            (ValueKind::U64(number), _) => visitor.visit_u64(*number),
            (_, Some(text)) if self.is_text_only() => match text.trim().parse::<i64>() {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
            },
            _ => self.wrong(&visitor),
        }
    }

    fn wrong<T>(self, expected: &dyn Expected) -> Result<T, ValueError> {
        let found = self.text().map_or_else(|| self.unexpected(), Unexpected::Str);
        Err(de::Error::invalid_type(found, expected))
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.number(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Strict<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match &self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(flag) => visitor.visit_bool(*flag),
            ValueKind::I64(number) => visitor.visit_i64(*number),
            ValueKind::U64(number) => visitor.visit_u64(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Array(items) => visitor.visit_seq(Items { items: items.iter(), at: 0 }),
            ValueKind::Table(members) => {
                // Sorted, so that of several errors it is always the same that is told.
                let mut members: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                members.sort_by_key(|(key, _)| *key);
                visitor.visit_map(Members { members: members.into_iter(), current: None })
            }
            ValueKind::I128(_) | ValueKind::U128(_) => self.wrong(&visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match (&self.0.kind, self.text()) {
            (ValueKind::Boolean(flag), _) => visitor.visit_bool(*flag),
            (_, Some("true")) if self.is_text_only() => visitor.visit_bool(true),
            (_, Some("false")) if self.is_text_only() => visitor.visit_bool(false),
            _ => self.wrong(&visitor),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.0.kind == ValueKind::Nil { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// In the environment, points between commas are the items.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.text() {
            Some(text) if self.is_text_only() => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                visitor.visit_seq(de::value::SeqDeserializer::new(items))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.text() {
            Some(text) => {
                let text: StrDeserializer<'_, ValueError> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            None => self.wrong(&format!("one of {}", variants.join(", ")).as_str()),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0.kind {
            ValueKind::Table(_) => self.deserialize_any(visitor),
            _ => self.wrong(&"a section"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0.kind {
            ValueKind::Table(_) => self.deserialize_any(visitor),
            _ => self.wrong(&"a table"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.text() {
            Some(text) => visitor.visit_str(text),
            None => self.wrong(&"a text"),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'v> {
    items: std::slice::Iter<'v, Value>,
    at: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let number = self.at;
        self.at += 1;
        seed.deserialize(Strict(value))
            .map(Some)
            .map_err(|error| error.within(&number.to_string(), value.origin()))
    }
}

struct Members<'v> {
    members: std::vec::IntoIter<(&'v str, &'v Value)>,
    current: Option<(&'v str, &'v Value)>,
}

impl<'de> de::MapAccess<'de> for Members<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.members.next() else { return Ok(None) };
        self.current = Some((key, value));
        let name: StrDeserializer<'_, ValueError> = key.into_deserializer();
        seed.deserialize(name).map(Some).map_err(|mut error| {
            error.origin = deepest_origin(value);
            error
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        let Some((key, value)) = self.current.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(Strict(value)).map_err(|error| error.within(key, value.origin()))
    }
}

/// A table has no layer of its own; the first of its members has.
fn deepest_origin(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Table(members) => {
            let mut origins: Vec<_> = members.values().filter_map(deepest_origin).collect();
            origins.sort();
            origins.pop()
        }
        _ => value.origin().map(str::to_owned),
    }
}

/// Reads the whole of the merged layers.
pub(super) fn read<T: de::DeserializeOwned>(value: &Value) -> Result<T, ValueError> {
    T::deserialize(Strict(value))
}
