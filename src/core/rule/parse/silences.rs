//! Files of silences: a YAML list of `{ match: { rule, subject fields }, from, until, reason, author }`.

use compact_str::CompactString;

use super::super::condition::nearest;
use super::super::silence::{Silence, Silences};
use super::super::{Rule, RuleSet};
use super::error::{RuleError, Source};
use super::examples::parse_time;
use super::fields::{Fields, Reading};
use super::yaml::{self, Node, Value};
use super::{LoadOptions, MAX_FILE, Place};
use crate::core::event::Field;
use crate::core::time::Time;

/// The most silences of one file: each finding is compared with all of them.
const MOST: usize = 1_000;

/// Reads the silences of one file. The rules and subjects that they name must be there in one of the rule sets.
pub fn silences(
    bytes: &[u8],
    file: &str,
    options: &LoadOptions,
    sets: &[&RuleSet],
) -> Result<Silences, Vec<RuleError>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= MAX_FILE => text,
        Ok(_) => {
            let message = format!("the file is larger than {} MiB", MAX_FILE >> 20);
            return Err(vec![Place::of_file(file).error(message)]);
        }
        Err(_) => return Err(vec![Place::of_file(file).error("the file is not UTF-8")]),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    let (documents, problems) = yaml::read(text);
    let mut reading = Reading {
        source: &source,
        extra: &options.extra,
        read: options.read,
        calendars: &options.calendars,
        files: Vec::new(),
        errors: Vec::new(),
    };
    for problem in problems {
        reading.push(&problem.span, problem.message, problem.help);
    }
    let rules: Vec<&Rule> = sets.iter().flat_map(|set| &set.rules).collect();
    let mut found = Vec::new();
    for document in documents.iter().filter(|document| !document.is_null()) {
        let Value::List(items) = &document.value else {
            reading.expected("a list of silences, each beginning with `- match:`", document);
            continue;
        };
        found.extend(items.iter().filter_map(|item| silence(item, &rules, &mut reading)));
        if found.len() > MOST {
            reading.report(&document.span, format!("expected at most {MOST} silences"));
            break;
        }
    }
    let mut errors = reading.errors;
    if errors.is_empty() {
        return Ok(Silences(found));
    }
    errors.sort_by_key(|error| (error.place.line, error.place.column));
    Err(errors)
}

fn silence(node: &Node, rules: &[&Rule], reading: &mut Reading<'_>) -> Option<Silence> {
    let errors = reading.errors.len();
    let mut fields = Fields::of(node, "a silence", reading)?;
    let matched = fields.need("match").and_then(|node| matched(node, rules, reading));
    let from = fields.need("from").and_then(|node| time(node, reading));
    let until_node = fields.need("until");
    let until = until_node.and_then(|node| time(node, reading));
    let reason = fields.need("reason").and_then(|node| reading.words(node, "why, in a few words"));
    let author = fields.need("author").and_then(|node| reading.words(node, "who asked for it"));
    fields.finish(reading);
    if reading.errors.len() > errors {
        return None;
    }
    let (rule, fields) = matched?;
    let (from, until) = (from?, until?);
    if until <= from {
        let span = until_node.map_or(node.span.clone(), |node| node.span.clone());
        reading
            .report(&span, format!("the silence ends at {until}; expected a time after its start, {from}"));
        return None;
    }
    Some(Silence { rule, fields, from, until, reason: reason?, author: author? })
}

type Matched = (Option<String>, Vec<(CompactString, CompactString)>);

/// A rule, values of the subject, or both: a silence of everything is none that anybody means.
fn matched(node: &Node, rules: &[&Rule], reading: &mut Reading<'_>) -> Option<Matched> {
    let fields = Fields::of(node, "match", reading)?;
    if fields.entries().is_empty() {
        reading.report(
            &node.span,
            "expected a rule or a field of the subject, such as { rule: channel-success-drop }",
        );
        return None;
    }
    let (mut named, mut values) = (None, Vec::new());
    for entry in fields.entries().iter().filter(|entry| entry.key == "rule") {
        let name = reading.text(&entry.value, "the name of a rule")?;
        if !rules.iter().any(|rule| rule.name == name) {
            let near = nearest(name, rules.iter().map(|rule| rule.name.as_str()));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            reading.push(&entry.value.span, format!("there is no rule `{name}`"), help);
            return None;
        }
        named = Some(name.to_owned());
    }
    let concerned = || rules.iter().filter(|rule| named.as_ref().is_none_or(|name| *name == rule.name));
    for entry in fields.entries().iter().filter(|entry| entry.key != "rule") {
        let field = match RuleSet::field_named(&entry.key, reading.extra) {
            Some(Field::Text(field)) => Some(field),
            _ => None,
        };
        let is_subject =
            concerned().any(|rule| rule.groups.iter().flatten().any(|grouped| Some(*grouped) == field));
        if !is_subject {
            let mut known: Vec<&str> = concerned()
                .flat_map(|rule| rule.groups.iter().flatten())
                .map(|field| field.as_str())
                .collect();
            known.sort_unstable();
            known.dedup();
            let whose = if named.is_some() { "the rule's subject" } else { "the subject of any rule" };
            reading.push(
                &entry.key_span,
                format!("`{}` is not a field of {whose}", entry.key),
                Some(format!("expected `rule` or one of these: {}", known.join(", "))),
            );
            continue;
        }
        let value = reading.text(&entry.value, "a value of the field")?;
        let name = field.map_or(entry.key.as_str(), |field| field.as_str());
        values.push((CompactString::from(name), CompactString::from(value)));
    }
    Some((named, values))
}

fn time(node: &Node, reading: &mut Reading<'_>) -> Option<Time> {
    const EXPECTED: &str = "a time such as 2026-10-01T08:00:00Z";
    let found = parse_time(reading.text(node, EXPECTED)?);
    if found.is_none() {
        reading.expected(EXPECTED, node);
    }
    found
}
