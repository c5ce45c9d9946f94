//! `correlation`: which rules, what must be among their findings, and within which time.

use crate::core::event::Field;
use crate::core::rule::condition::Condition;
use crate::core::rule::condition::steps::Asked;
use crate::core::rule::correlation::{Correlation, Judged, MOST_RULES};
use crate::core::rule::sequence::Heard;

use super::super::fields::{Fields, Reading};
use super::super::yaml::{Node, Value};

/// Findings that are kept of a subject bound what can be asked of them.
const MOST_FINDINGS: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    EventCount,
    ValueCount,
    Temporal,
    TemporalOrdered,
    Absent,
}

pub fn correlation(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Correlation> {
    fields.what = "a correlation";
    let mut asked = Asked::default();
    let of = fields.need("of").and_then(|node| rules(node, &mut asked, reading).map(|of| (of, node)));
    let window = fields.need("window").and_then(|node| reading.length(node));
    let of_type = fields.need("type").and_then(|node| {
        let choices = [
            ("event_count", Type::EventCount),
            ("value_count", Type::ValueCount),
            ("temporal", Type::Temporal),
            ("temporal_ordered", Type::TemporalOrdered),
            ("absent", Type::Absent),
        ];
        reading.choice(node, &choices)
    });
    let counts = matches!(of_type, Some(Type::EventCount | Type::ValueCount));
    let at_least = take_if(&mut fields, "at_least", counts, "event_count and value_count", of_type, reading);
    let at_least = at_least.map(|node| reading.whole(node, 1..=MOST_FINDINGS));
    let is_values = of_type == Some(Type::ValueCount);
    let field = take_if(&mut fields, "field", is_values, "value_count", of_type, reading);
    let field = field.map(|node| reading.text_field(node));
    let is_absent = of_type == Some(Type::Absent);
    let both_ways = take_if(&mut fields, "both_ways", is_absent, "absent", of_type, reading);
    let both_ways = both_ways.map_or(Some(false), |node| reading.flag(node));
    for (name, needed, given) in
        [("at_least", counts, at_least.is_some()), ("field", is_values, field.is_some())]
    {
        if needed && !given {
            fields.missing(&[name], reading);
        }
    }
    fields.finish(reading);
    let ((of, node), of_type) = (of?, of_type?);
    let least = if counts { 1 } else { 2 };
    if of.len() < least {
        reading.report(&node.span, format!("expected at least {least} rules"));
        return None;
    }
    let judged = match of_type {
        Type::EventCount => Judged::EventCount { at_least: at_least?? },
        Type::ValueCount => Judged::ValueCount { at_least: at_least?? },
        Type::Temporal => Judged::Temporal,
        Type::TemporalOrdered => Judged::TemporalOrdered,
        Type::Absent => Judged::Absent { both_ways: both_ways? },
    };
    if let Some(field) = field {
        asked.field(Field::Text(field?));
    }
    Some(Correlation { of, judged, window: window?, asked })
}

/// A field that says something with some types only.
fn take_if<'n>(
    fields: &mut Fields<'n>,
    name: &'static str,
    fits: bool,
    types: &str,
    of_type: Option<Type>,
    reading: &mut Reading<'_>,
) -> Option<&'n Node> {
    let node = fields.take(name)?;
    if !fits && of_type.is_some() {
        reading.report(&fields.key_span(name), format!("`{name}` belongs to the type {types}"));
    }
    Some(node)
}

/// A rule's name, or `{ opening: … }` where the openings of its tickets alone count.
fn heard(node: &Node, reading: &mut Reading<'_>) -> Option<(String, bool)> {
    const EXPECTED: &str = "the name of a rule";
    if !matches!(node.value, Value::Map(_)) {
        return Some((reading.name(node, EXPECTED)?, false));
    }
    let mut fields = Fields::of(node, "an entry of `of`", reading)?;
    let rule = fields.need("opening").and_then(|node| reading.name(node, EXPECTED));
    fields.finish(reading);
    Some((rule?, true))
}

fn rules(node: &Node, asked: &mut Asked, reading: &mut Reading<'_>) -> Option<Vec<Heard>> {
    let items = reading.items(node);
    if items.len() > MOST_RULES {
        reading.report(&node.span, format!("expected at most {MOST_RULES} rules"));
        return None;
    }
    let mut of: Vec<Heard> = Vec::with_capacity(items.len());
    for item in items {
        let (rule, opening) = heard(item, reading)?;
        if of.iter().any(|heard| heard.rule == rule && heard.opening == opening) {
            reading.report(&item.span, format!("`{rule}` is given twice"));
            return None;
        }
        of.push(Heard { rule, opening, bit: asked.questions.len() as u8 });
        // No event answers it.
        asked.questions.push(Condition::Never);
    }
    Some(of)
}
