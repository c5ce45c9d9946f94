//! The schema that editors check rule files by: it is the one that is shipped, knows every field that is read, takes whatever
//! is a rule, and refuses what has the wrong shape.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use boon::{Compiler, Draft, SchemaIndex, Schemas, ValidationError};
use forewarn::core::rule::parse::{LoadOptions, RuleError, load, schema};
use serde_json::Value;

use crate::cli::{OK, forewarn};
use crate::docs;
use crate::source::repository;
use crate::yaml::documents;

const FILE: &str = "rules/rules.schema.json";

/// A validator that is not ours, as editors have one.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

/// That the schema is one by the rules of its own language is checked when it is compiled.
fn validator() -> Validator {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    let address = "https://forewarn.example/rules.schema.json";
    compiler.add_resource(address, schema::rules()).unwrap();
    let index = compiler.compile(address, &mut schemas).unwrap();
    Validator { schemas, index }
}

/// What the schema has to say of the rules of a file, each with its place.
fn complaints(validator: &Validator, text: &str) -> Vec<String> {
    let documents = documents(text);
    let rules = documents.iter().filter(|document| !document.is_null());
    let mut complaints = Vec::new();
    for rule in rules {
        if let Err(error) = validator.schemas.validate(rule, validator.index) {
            innermost(&error, &mut complaints);
        }
    }
    complaints
}

fn innermost(error: &ValidationError<'_, '_>, into: &mut Vec<String>) {
    into.push(format!("{}: {}", error.instance_location.to_string(), error.kind));
    for cause in &error.causes {
        innermost(cause, into);
    }
}

fn read(text: &str) -> Result<(), Vec<RuleError>> {
    let options = LoadOptions {
        extra: vec!["coupon".to_owned()],
        read: |_, _| Ok(b"203.0.113.7\n".to_vec()),
        ..LoadOptions::default()
    };
    load(text, "rules/x.yaml", &options).map(|_| ())
}

fn shipped() -> Vec<PathBuf> {
    let files = fs::read_dir(repository().join("rules")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect()
}

#[test]
fn the_shipped_schema_is_the_one_that_is_printed() {
    let printed = forewarn(&["schema", "rules"]).ended(OK).out;
    let shipped = fs::read_to_string(repository().join(FILE)).unwrap_or_default();
    assert!(printed == shipped, "{FILE} is not current; forewarn schema rules > {FILE}");
}

#[test]
fn every_shipped_rule_names_the_schema_and_keeps_to_it() {
    let schema = validator();
    let files = shipped();
    assert!(files.len() >= 12, "{} files", files.len());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let line = "# yaml-language-server: $schema=rules.schema.json\n";
        assert!(text.starts_with(line), "{}: expected the first line\n{line}", path.display());
        let complaints = complaints(&schema, &text);
        assert!(complaints.is_empty(), "{}: {complaints:#?}", path.display());
    }
    for (name, text) in docs::examples() {
        let complaints = complaints(&schema, &text);
        assert!(complaints.is_empty(), "{name} of the documentation: {complaints:#?}");
    }
}

/// A rule with one map of each name of the schema, that map being `HERE`.
const MAPS: [(&str, &str); 30] = [
    ("rule", "HERE"),
    ("incident", "incident: HERE"),
    ("cover", "incident: { covered_by: [HERE] }"),
    ("ticket", "ticket: HERE"),
    ("notice", "notice: HERE"),
    ("compensation", "compensation: HERE"),
    ("action", "action: HERE"),
    ("test", "tests: [HERE]"),
    ("customer", "tests: [{ name: t, customers: [HERE], events: [{ at: 0s }], expect: [] }]"),
    ("silence", "tests: [{ name: t, silences: [HERE], events: [{ at: 0s }], expect: [] }]"),
    (
        "geo",
        "tests: [{ name: t, events: [{ at: 0s, type: order.paid, account_id: a, geo: HERE }], expect: [] }]",
    ),
    ("expectation", "tests: [{ name: t, events: [{ at: 0s }], expect: [HERE] }]"),
    ("any", "detect: HERE"),
    ("frequency", "detect: HERE"),
    ("ratio", "detect: HERE"),
    ("metric", "detect: HERE"),
    ("pair", "detect: { kind: metric, agg: p95, pair: HERE, window: 1h, above: 1m }"),
    ("spike", "detect: HERE"),
    ("flatline", "detect: HERE"),
    ("deadline", "detect: HERE"),
    ("new_term", "detect: HERE"),
    ("cardinality", "detect: HERE"),
    ("change", "detect: HERE"),
    ("list", "detect: HERE"),
    ("travel", "detect: HERE"),
    ("sequence", "detect: HERE"),
    ("step", "detect: { kind: sequence, within: 1h, steps: [HERE] }"),
    ("reconcile", "detect: HERE"),
    ("correlation", "detect: HERE"),
    ("heard", "detect: { kind: correlation, type: event_count, window: 1h, at_least: 2, of: [HERE] }"),
];

#[test]
fn the_schema_names_exactly_the_fields_that_are_read() {
    let schema = schema::rules();
    let Value::Object(definitions) = &schema["$defs"] else { panic!() };
    let mut described: BTreeSet<&str> = definitions
        .iter()
        .filter(|(_, map)| map["additionalProperties"] == Value::Bool(false))
        .map(|(name, _)| name.as_str())
        .collect();
    for (name, around) in MAPS {
        assert!(described.remove(name), "{name} is not described");
        // A name that is like no other, so that the answer lists all there are.
        let unknown = "xqzwvkj";
        let is_kind = definitions[name]["properties"]["kind"]["enum"] == serde_json::json!([name]);
        let text = if name == "rule" {
            format!("{unknown}: 1")
        } else {
            let kind = if is_kind { format!("kind: {name}, ") } else { String::new() };
            format!(
                "name: x\ntopics: orders\n{}",
                around.replace("HERE", &format!("{{ {kind}{unknown}: 1 }}"))
            )
        };
        let errors = read(&text).unwrap_err();
        let told = errors.iter().find(|error| error.message.contains(unknown));
        let told = told.unwrap_or_else(|| panic!("{name}: nothing is said of {unknown}: {errors:#?}"));
        let (_, listed) = told.help.as_deref().unwrap().split_once("expected one of: ").unwrap();
        let read: BTreeSet<&str> = listed.split(", ").collect();
        let Value::Object(properties) = &definitions[name]["properties"] else { panic!() };
        let known: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(known, read, "the fields of {name}: schema (src/core/rule/parse/schema/) and reader");
    }
    assert!(described.is_empty(), "maps of the schema that MAPS does not reach: {described:?}");
}

/// A rule of each kind, and beside it what else its kind can have.
const KINDS: [&str; 16] = [
    "kind: any",
    "kind: frequency, at_least: 3, window: 10m",
    "kind: ratio, of: 'type == \"order.failed\"', above: 20%, window: 5m",
    "kind: metric, agg: sum, field: amount, window: 1h, above: 5000",
    "kind: metric, agg: p95, window: 1h, above: 2m, pair: { key: order_id, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"' }",
    "kind: spike, window: 10m, height: 3",
    "kind: flatline, window: 15m",
    "kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 30m",
    "kind: new_term, fields: [product]",
    "kind: new_term, place: geo",
    "kind: cardinality, field: product, window: 1h, above: 20",
    "kind: change, fields: [ip]",
    "kind: list, field: ip, in: [203.0.113.7]",
    "kind: sequence, within: 1h, steps: [{ name: a, when: 'type == \"order.paid\"' }, { name: b, when: 'type == \"order.delivered\"' }]",
    "kind: reconcile, check: many_keys",
    "kind: correlation, of: [y, z], type: temporal, window: 1h",
];

/// Values of every shape that any field has, and of some that none has.
const VALUES: [&str; 30] = [
    "3",
    "'3'",
    "0",
    "1.5",
    "-1",
    "10m",
    "0s",
    "1h30m",
    "20%",
    "99.9%",
    "true",
    "false",
    "word",
    "two words",
    "''",
    "null",
    "[]",
    "[product]",
    "[product, ip]",
    "[a, b]",
    "{ by: channel, alipay: 3, default: 5 }",
    "{ by: channel, alipay: 3%, default: 5% }",
    "'type == \"order.paid\"'",
    "account_id",
    "amount",
    "file(\"x.txt\")",
    "up",
    "fire",
    "p99.5",
    "2..4",
];

#[test]
fn whatever_is_a_rule_keeps_to_the_schema_and_what_has_the_wrong_shape_does_not() {
    let schema = validator();
    let definitions = schema::rules();
    let (mut both, mut neither, mut unseen) = (0, 0, 0);
    let mut try_one = |text: &str| {
        let complaints = complaints(&schema, text);
        match (read(text), complaints.is_empty()) {
            (Ok(()), true) => both += 1,
            (Err(_), false) => neither += 1,
            // What a value means is not for a schema to know.
            (Err(_), true) => unseen += 1,
            (Ok(()), false) => panic!("this is a rule, and the schema says:\n{complaints:#?}\n{text}"),
        }
    };
    let frame = |detect: &str| {
        format!("name: x\ntopics: orders\ngroup_by: [channel, order_id]\ndetect: {{ {detect} }}\n")
    };
    for detect in KINDS {
        let grouped = frame(detect);
        let text = if detect.contains("reconcile") {
            grouped.replace("group_by: [channel, order_id]\n", "")
        } else {
            grouped
        };
        assert!(read(&text).is_ok(), "{:#?}\n{text}", read(&text));
        try_one(&text);
        let kind = detect["kind: ".len()..].split(',').next().unwrap();
        let Value::Object(fields) = &definitions["$defs"][kind]["properties"] else { panic!("{kind}") };
        for name in fields.keys().filter(|name| *name != "kind") {
            for value in VALUES {
                // In place of what is there, or beside it.
                let there = detect.split(", ").position(|field| field.starts_with(&format!("{name}: ")));
                let text = match there {
                    Some(at) if !detect.contains('{') && !detect.contains('[') => {
                        let mut fields: Vec<String> = detect.split(", ").map(str::to_owned).collect();
                        fields[at] = format!("{name}: {value}");
                        frame(&fields.join(", "))
                    }
                    Some(_) => continue,
                    None => frame(&format!("{detect}, {name}: {value}")),
                };
                try_one(&text);
            }
        }
    }
    for map in ["rule", "incident", "ticket", "notice", "test", "expectation"] {
        let Value::Object(fields) = &definitions["$defs"][map]["properties"] else { panic!("{map}") };
        for name in
            fields.keys().filter(|name| !["name", "topics", "detect", "group_by"].contains(&name.as_str()))
        {
            for value in VALUES {
                let field = format!("{name}: {value}");
                let line = match map {
                    "rule" => field,
                    "notice" if name != "template" => format!("notice: {{ template: t, {field} }}"),
                    "test" => {
                        let rest = [("events", "[{ at: 0s }]"), ("expect", "[]")];
                        let rest: Vec<String> = rest
                            .iter()
                            .filter(|(other, _)| other != name)
                            .map(|(name, value)| format!("{name}: {value}"))
                            .collect();
                        format!("tests: [{{ name: t, {}, {field} }}]", rest.join(", "))
                    }
                    "expectation" if !["finding", "ticket", "notice"].contains(&name.as_str()) => {
                        format!(
                            "tests: [{{ name: t, events: [{{ at: 0s }}], expect: [{{ ticket: opened, {field} }}] }}]"
                        )
                    }
                    "expectation" => {
                        format!("tests: [{{ name: t, events: [{{ at: 0s }}], expect: [{{ {field} }}] }}]")
                    }
                    _ => format!("{map}: {{ {field} }}"),
                };
                try_one(&format!("{}{line}\n", frame("kind: any")));
            }
        }
    }
    assert!(both > 200 && neither > 1_500 && unseen < neither / 4, "{both} {neither} {unseen}");
}

#[test]
fn what_is_missing_or_unknown_is_told_by_the_schema_too() {
    let schema = validator();
    let good = "name: x\ntopics: [orders, logins]\ndetect: { kind: frequency, at_least: 3, window: 10m }\n";
    assert_eq!(complaints(&schema, good), Vec::<String>::new());
    for (right, wrong, place) in [
        ("name: x\n", "", ""),
        ("name: x", "name: two words", "/name"),
        ("orders", "order", "/topics"),
        ("frequency", "frequncy", "/detect/kind"),
        ("at_least: 3, ", "", "/detect"),
        ("at_least", "num_events", "/detect"),
        ("window: 10m", "window: 10", "/detect/window"),
        ("window: 10m", "window: 10 minutes", "/detect/window"),
        ("detect", "incident: { cooldown: null }\ndetect", "/incident/cooldown"),
        ("detect", "severity: high\ndetect", ""),
        ("detect", "ticket: { severity: urgent }\ndetect", "/ticket/severity"),
        ("detect", "notice: { to: account }\ndetect", "/notice"),
        ("detect", "group_by: [type]\ndetect", "/group_by"),
        ("detect", "group_by: [channel]\nslices: [[channel]]\ndetect", ""),
        (
            "detect",
            "tests: [{ name: t, events: [{ type: order.paid }], expect: [] }]\ndetect",
            "/tests/0/events/0",
        ),
        (
            "detect",
            "tests: [{ name: t, events: [{ at: 1m, type: order.payed, account_id: a }], expect: [] }]\ndetect",
            "/tests/0/events/0/type",
        ),
    ] {
        let text = good.replacen(right, wrong, 1);
        assert!(read(&text).is_err(), "{text}");
        let complaints = complaints(&schema, &text);
        assert!(
            complaints.iter().any(|complaint| complaint.starts_with(&format!("{place}: "))),
            "{text}: {complaints:#?}"
        );
    }
}
