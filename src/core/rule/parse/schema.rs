//! The JSON Schema of rule files, by which editors complete and check them: a description of every map of the language, in the
//! words that the documentation uses, and its lowering to draft 2020-12.
//!
//! A schema knows less than `forewarn check` does: neither conditions nor what the parts of a rule have to do with each other.
//! Whatever rules are read, it takes; a test holds it to the names that the readers of the maps ask for.

mod frame;
mod kinds;

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map as Object, Value, json};

use crate::core::event::{EventType, Fault, NumberField, TextField, Topic};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of rule files. The keywords of JSON Schema stand in the order of the alphabet, so that it is the same text
/// wherever it is made.
pub fn rules() -> Value {
    let mut definitions = Object::<String, Value>::new();
    for (name, definition) in common() {
        definitions.insert(name.to_owned(), definition);
    }
    for map in frame::maps().iter().chain(&kinds::maps()) {
        definitions.insert(map.name.to_owned(), map.schema());
    }
    definitions.insert("detect".to_owned(), detect());
    json!({
        "$schema": DIALECT,
        "title": "forewarn rules",
        "description": "One rule of forewarn; several stand in one file as YAML documents. `forewarn check` knows more than this schema does.",
        "$ref": "#/$defs/rule",
        "$defs": definitions,
    })
}

/// A map of the language: whose fields it has, by the name of its definition and as error messages call it.
struct Map {
    name: &'static str,
    fields: Vec<Form>,
    choices: Vec<Choice>,
    /// What fields of other names hold, where there may be any.
    others: Option<Shape>,
}

/// One field of a map.
struct Form {
    name: &'static str,
    shape: Shape,
    needed: bool,
    default: Option<String>,
    says: &'static str,
}

/// Fields of which so many must be there.
enum Choice {
    One(&'static [&'static str]),
    AtMostOne(&'static [&'static str]),
    AtLeastOne(&'static [&'static str]),
}

/// What a field holds.
#[derive(Clone)]
enum Shape {
    /// One of the common definitions, or another map.
    Of(&'static str),
    Words(Vec<&'static str>),
    Whole(RangeInclusive<u32>),
    ListOf(Box<Shape>),
    /// A list, or one item without the brackets.
    Several(Box<Shape>),
    AnyOf(Vec<Shape>),
    /// A limit that may depend on the value of a field.
    Limit(Box<Shape>),
}

fn map(name: &'static str, fields: Vec<Form>) -> Map {
    Map { name, fields, choices: Vec::new(), others: None }
}

fn field(name: &'static str, shape: Shape, says: &'static str) -> Form {
    Form { name, shape, needed: false, default: None, says }
}

impl Form {
    fn needed(mut self) -> Self {
        self.needed = true;
        self
    }

    fn default(mut self, value: impl Display) -> Self {
        self.default = Some(value.to_string());
        self
    }

    fn schema(&self) -> Value {
        let mut schema = self.shape.schema();
        let says = match &self.default {
            Some(default) => format!("{}. Default: {default}", self.says),
            None => self.says.to_owned(),
        };
        if let Value::Object(object) = &mut schema {
            object.insert("description".to_owned(), says.into());
        }
        schema
    }
}

impl Map {
    fn choose(mut self, choice: Choice) -> Self {
        self.choices.push(choice);
        self
    }

    fn others(mut self, shape: Shape) -> Self {
        self.others = Some(shape);
        self
    }

    fn schema(&self) -> Value {
        let properties: Object<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
        let needed: Vec<&str> =
            self.fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": self.others.as_ref().map_or(Value::Bool(false), Shape::schema),
        });
        if let Value::Object(object) = &mut schema {
            if !needed.is_empty() {
                object.insert("required".to_owned(), needed.into());
            }
            if !self.choices.is_empty() {
                object.insert("allOf".to_owned(), self.choices.iter().map(Choice::schema).collect());
            }
        }
        schema
    }
}

impl Choice {
    fn schema(&self) -> Value {
        let required = |names: &[&str]| -> Vec<Value> {
            names.iter().map(|name| json!({ "required": [name] })).collect()
        };
        match self {
            Self::One(names) => json!({ "oneOf": required(names) }),
            Self::AtLeastOne(names) => json!({ "anyOf": required(names) }),
            Self::AtMostOne(names) => {
                let pairs: Vec<Value> = names
                    .iter()
                    .enumerate()
                    .flat_map(|(index, one)| names.iter().skip(index + 1).map(move |other| [one, other]))
                    .map(|pair| json!({ "required": pair }))
                    .collect();
                json!({ "not": { "anyOf": pairs } })
            }
        }
    }
}

impl Shape {
    fn several(self) -> Self {
        Self::Several(Box::new(self))
    }

    fn schema(&self) -> Value {
        match self {
            Self::Of(name) => json!({ "$ref": format!("#/$defs/{name}") }),
            Self::Words(words) => json!({ "enum": words }),
            Self::Whole(range) => json!({
                "type": ["integer", "string"],
                "pattern": "^\\+?[0-9]+$",
                "minimum": range.start(),
                "maximum": range.end(),
            }),
            Self::ListOf(shape) => json!({ "type": "array", "items": shape.schema() }),
            Self::Several(shape) => {
                json!({ "anyOf": [shape.schema(), { "type": "array", "items": shape.schema() }] })
            }
            Self::AnyOf(shapes) => {
                json!({ "anyOf": shapes.iter().map(Self::schema).collect::<Vec<_>>() })
            }
            Self::Limit(shape) => {
                let limits = json!({
                    "type": "object",
                    "description": "A limit for each value of a field of the subject, and one for all others",
                    "properties": { "by": { "$ref": "#/$defs/text_field" }, "default": shape.schema() },
                    "required": ["by", "default"],
                    "additionalProperties": shape.schema(),
                });
                json!({ "anyOf": [shape.schema(), limits] })
            }
        }
    }
}

/// `detect`: by its kind, which fields there are.
fn detect() -> Value {
    let kinds: Vec<&str> =
        super::words::KINDS.iter().filter(|(_, supported)| *supported).map(|(kind, _)| *kind).collect();
    let by_kind: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
                "then": { "$ref": format!("#/$defs/{kind}") },
            })
        })
        .collect();
    json!({
        "type": "object",
        "description": "What is looked for",
        "properties": { "kind": { "enum": kinds } },
        "required": ["kind"],
        "allOf": by_kind,
    })
}

/// What many fields hold.
fn common() -> Vec<(&'static str, Value)> {
    let scalar = json!(["string", "number", "boolean"]);
    let texts = || TextField::ALL.into_iter().filter(|field| !TextField::EXTRA.contains(field));
    let known: Vec<&str> = texts().map(TextField::as_str).collect();
    let fixed = ["type", "fault", "time", "expires_at"];
    let no_text: Vec<&str> = fixed.into_iter().chain(NumberField::ALL.map(NumberField::as_str)).collect();
    let file = "^file\\(";
    vec![
        ("text", json!({ "type": scalar })),
        ("name", json!({ "type": scalar, "pattern": "^[^\\s/:,;!?#'\"]{1,100}$" })),
        (
            "duration",
            json!({
                "type": "string",
                "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
                "minLength": 2,
                "examples": ["30s", "10m", "2h", "7d"],
            }),
        ),
        (
            "share",
            json!({ "type": "string", "pattern": "^\\+?[0-9_.]+\\s*%$", "examples": ["20%", "99.9%"] }),
        ),
        ("number", json!({ "type": ["number", "string"], "pattern": "^[-+]?[0-9_.]+$" })),
        ("flag", json!({ "enum": [true, false, "true", "false"] })),
        (
            "condition",
            json!({
                "type": "string",
                "minLength": 1,
                "examples": ["type == \"order.failed\" and fault != \"customer\""],
                "markdownDescription": "A condition, in single quotes",
            }),
        ),
        ("event_type", json!({ "enum": EventType::ALL.map(EventType::as_str) })),
        ("fault", json!({ "enum": Fault::ALL.map(Fault::as_str) })),
        ("topic", json!({ "enum": Topic::ALL.map(Topic::as_str) })),
        // The platform's own fields are declared in the configuration, which an editor does not know.
        (
            "text_field",
            json!({
                "anyOf": [{ "enum": known }, { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }],
                "not": { "enum": no_text },
            }),
        ),
        ("file", json!({ "type": "string", "pattern": file, "examples": ["file(\"blocked.txt\")"] })),
        ("moment", json!({ "type": "string", "examples": ["7m", "2026-10-01T08:00:00Z"] })),
        ("percentile", json!({ "type": "string", "pattern": "^p[0-9]{2}(\\.[0-9]+)?$" })),
        ("distinct", json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/times" } })),
        (
            "times",
            json!({ "type": ["integer", "string"], "pattern": "^[0-9]+(\\.\\.[0-9]*)?$", "minimum": 1, "maximum": 64 }),
        ),
    ]
}
