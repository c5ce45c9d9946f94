//! `list`: its values, written out or in a file of their own.

use crate::core::event::TextField;
use crate::core::rule::list::{Builder, List, MOST_VALUES, NETWORK, Values};

use super::super::fields::{Fields, Reading, describe};
use super::super::files::name_in;
use super::super::yaml::{Node, Value};

const EXPECTED: &str = "a list such as [a, b], or file(\"blocked.txt\")";

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
            let Some(name) = name_in(text) else {
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

fn in_file(node: &Node, name: &str, field: TextField, reading: &mut Reading<'_>) -> Option<Values> {
    let text = reading.file(name, &node.span)?;
    match Values::read(field, &text) {
        Ok(values) => Some(values),
        Err(wrong) => {
            let problem = wrong.of(name);
            reading.report_help(&node.span, problem.message, problem.help);
            None
        }
    }
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
