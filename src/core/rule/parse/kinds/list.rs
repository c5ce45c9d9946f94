//! `list`: its values, written out or in a file of their own.

use crate::core::event::TextField;
use crate::core::rule::list::{Builder, List, MOST_VALUES, Values};

use super::super::fields::{Fields, Reading, describe};
use super::super::yaml::{Node, Value};

const EXPECTED: &str = "a list such as [a, b], or file(\"blocked.txt\")";
/// So many wrong lines of a file are shown.
const MOST_LINES_SHOWN: usize = 5;

pub fn list(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<List> {
    fields.what = "a list";
    let field = fields.need("field").and_then(|node| reading.text_field(node));
    let (within, without) = (fields.take("in"), fields.take("not_in"));
    let side = match (within, without) {
        (Some(node), None) => Some((node, false)),
        (None, Some(node)) => Some((node, true)),
        (None, None) => {
            fields.missing(&["in", "not_in"], reading);
            None
        }
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("not_in"), "a list has either `in` or `not_in`");
            None
        }
    };
    fields.finish(reading);
    let (node, not_in) = side?;
    let field = field?;
    Some(List { field, values: values(node, field, reading)?, not_in })
}

fn values(node: &Node, field: TextField, reading: &mut Reading<'_>) -> Option<Values> {
    match &node.value {
        Value::List(_) => written_out(node, field, reading),
        Value::Scalar { text, .. } if !node.is_null() => {
            let Some(name) = file_name(text) else {
                let found = describe(node);
                reading.report(&node.span, format!("expected {EXPECTED}, found {found}"));
                return None;
            };
            in_file(node, name, field, reading)
        }
        Value::Scalar { .. } | Value::Map(_) | Value::Broken => {
            reading.expected(EXPECTED, node);
            None
        }
    }
}

/// `x.txt` in `file("x.txt")`.
fn file_name(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("file(")?.strip_suffix(')')?.trim();
    let inner = inner
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))?;
    (!inner.is_empty()).then_some(inner)
}

fn written_out(node: &Node, field: TextField, reading: &mut Reading<'_>) -> Option<Values> {
    let mut builder = Builder::new(field);
    let errors = reading.errors.len();
    for item in reading.items(node) {
        let Some(value) = reading.words(item, "a value of the list") else { continue };
        if builder.add(&value).is_err() {
            reading.report_help(&item.span, "this is not a network", NETWORK);
        }
    }
    if reading.errors.len() > errors {
        return None;
    }
    built(builder, node, reading)
}

const NETWORK: &str = "expected an address, a slash and a length, such as 10.0.0.0/8 or 2001:db8::/32";

/// One value a line; blank lines and those that begin with `#` are left out.
fn in_file(node: &Node, name: &str, field: TextField, reading: &mut Reading<'_>) -> Option<Values> {
    let bytes = match (reading.read)(&reading.source.file, name) {
        Ok(bytes) => bytes,
        Err(reason) => {
            let help = "the name is taken from the folder of the rule's file";
            reading.report_help(&node.span, format!("cannot read {name}: {reason}"), help);
            return None;
        }
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            reading.report_help(
                &node.span,
                format!("{name} is not UTF-8 in line {line}"),
                "save it as UTF-8",
            );
            return None;
        }
    };
    let mut builder = Builder::new(field);
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let value = line.trim();
        if value.is_empty() || value.starts_with('#') {
            continue;
        }
        if builder.add(value).is_err() && wrong.len() < MOST_LINES_SHOWN {
            wrong.push(format!("line {number}, `{}`", value.chars().take(60).collect::<String>()));
        }
        if builder.len() > MOST_VALUES {
            break;
        }
    }
    if !wrong.is_empty() {
        let message = format!("{name} has values that are not networks: {}", wrong.join("; "));
        reading.report_help(&node.span, message, NETWORK);
        return None;
    }
    built(builder, node, reading)
}

fn built(builder: Builder, node: &Node, reading: &mut Reading<'_>) -> Option<Values> {
    if builder.is_empty() {
        reading.report_help(&node.span, "the list is empty", "expected at least one value");
        return None;
    }
    if builder.len() > MOST_VALUES {
        reading.report(&node.span, format!("the list has more than {MOST_VALUES} values"));
        return None;
    }
    Some(builder.build())
}
