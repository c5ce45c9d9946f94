//! The fields of `metric`: which aggregate of what, over which window, beyond which limit.

use rust_decimal::Decimal;

use super::super::super::metric::{Bound, Metric, Pair, Sampled};
use super::super::super::samples::{Agg, MOST_VALUES};
use super::super::super::{Limit, RuleSet};
use super::super::defaults;
use super::super::fields::{Fields, Reading};
use super::super::words;
use super::super::yaml::Node;
use super::MOST_EVENTS;
use super::limits::limit;
use crate::core::event::{Field, TextField, Topic, TypeSet};
use crate::core::time::Span;

const AGGS: &str = "one of count, distinct, sum, avg, min, max, median, p50 to p99.9, stddev, mode_count, since_last, first, last";
const NUMBERS: &str = "expected amount, quantity, level or score";

pub fn metric(mut fields: Fields<'_>, topics: TypeSet, reading: &mut Reading<'_>) -> Option<Metric> {
    fields.what = "a metric";
    let agg_node = fields.need("agg");
    let agg = agg_node.and_then(|node| agg(node, reading));
    let field_node = fields.take("field");
    let pair_node = fields.take("pair");
    let window = fields.need("window").and_then(|node| reading.length(node));
    let min_samples = fields
        .take("min_samples")
        .map_or(Some(defaults::METRIC_SAMPLES), |node| reading.whole(node, 1..=MOST_EVENTS));
    let bound = bound(&mut fields, reading);
    let pair = pair_node.map(|node| pair(node, topics, reading));
    let of = match (agg, pair) {
        (Some(agg), None) => sampled(agg, agg_node, field_node, reading),
        (Some(agg), Some(pair)) => {
            if field_node.is_some() {
                reading.report(&fields.key_span("field"), "a metric has either `field` or `pair`");
            }
            if !takes_time(agg)
                && let Some(node) = agg_node
            {
                reading.report_help(
                    &node.span,
                    "with `pair`, this says nothing",
                    "expected one of sum, avg, min, max, median, p50 to p99.9: of the time from start to end",
                );
            }
            pair.map(|pair| Sampled::Pair(Box::new(pair)))
        }
        (None, _) => None,
    };
    fields.finish(reading);
    let (bound, limit_node) = bound?;
    let (agg, of, window) = (agg?, of?, window?);
    let is_time = agg == Agg::SinceLast || matches!(of, Sampled::Pair(_));
    let limit = if is_time {
        time_limit(limit_node, bound, window, reading)
    } else {
        limit(limit_node, reading, |node, reading| number(node, agg, reading))
    };
    Some(Metric { agg, of, window, bound, limit: limit?, min_samples: min_samples? })
}

/// An aggregate by its name.
pub fn agg(node: &Node, reading: &mut Reading<'_>) -> Option<Agg> {
    const NAMED: [(&str, Agg); 12] = [
        ("count", Agg::Count),
        ("distinct", Agg::Distinct),
        ("sum", Agg::Sum),
        ("avg", Agg::Avg),
        ("min", Agg::Min),
        ("max", Agg::Max),
        ("median", Agg::Quantile(Decimal::from_parts(5, 0, 0, false, 1))),
        ("stddev", Agg::Stddev),
        ("mode_count", Agg::ModeCount),
        ("since_last", Agg::SinceLast),
        ("first", Agg::First),
        ("last", Agg::Last),
    ];
    let text = reading.text(node, AGGS)?;
    if let Some((_, agg)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Some(*agg);
    }
    let percent = text.strip_prefix('p').and_then(|percent| percent.parse::<Decimal>().ok());
    if let Some(percent) = percent {
        let (low, high) = (Decimal::from(50), Decimal::new(999, 1));
        if (low..=high).contains(&percent) {
            return Some(Agg::Quantile((percent / Decimal::ONE_HUNDRED).normalize()));
        }
        reading.report(&node.span, format!("expected a percentile from p50 to p99.9, found `{text}`"));
        return None;
    }
    let help = words::choice_help(text, &NAMED.map(|(name, _)| name));
    reading.push(&node.span, format!("expected {AGGS}, found `{text}`"), help);
    None
}

/// What of an event is a sample.
pub fn sampled(
    agg: Agg,
    agg_node: Option<&Node>,
    field: Option<&Node>,
    reading: &mut Reading<'_>,
) -> Option<Sampled> {
    let Some(node) = field else {
        if matches!(agg, Agg::Count | Agg::SinceLast) {
            return Some(Sampled::Events);
        }
        if let Some(node) = agg_node {
            reading.report_help(
                &node.span,
                "this needs the values of a field",
                "name it in `field`, or give the `start` and `end` of a `pair`",
            );
        }
        return None;
    };
    let name = reading.text(node, "the name of a field")?;
    match RuleSet::field_named(name, reading.extra) {
        Some(field @ Field::Number(_)) => Some(Sampled::Field(field)),
        Some(field @ Field::Text(_)) => {
            if matches!(agg, Agg::Count | Agg::SinceLast | Agg::Distinct | Agg::ModeCount) {
                return Some(Sampled::Field(field));
            }
            let message = format!("expected a field that holds a number, and `{name}` does not");
            reading.report_help(&node.span, message, NUMBERS);
            None
        }
        Some(Field::Type | Field::Fault | Field::Time | Field::ExpiresAt) => {
            reading.report_help(&node.span, format!("`{name}` is nothing to compute with"), NUMBERS);
            None
        }
        None => {
            reading.text_field(node);
            None
        }
    }
}

fn pair(node: &Node, topics: TypeSet, reading: &mut Reading<'_>) -> Option<Pair> {
    let mut fields = Fields::of(node, "`pair`", reading)?;
    let logins_only = topics.and(TypeSet::of_topic(Topic::Logins).not()).is_empty();
    let default = if logins_only { TextField::AccountId } else { TextField::OrderId };
    let key = fields.take("key").map_or(Some(default), |node| reading.text_field(node));
    let start = fields.need("start").and_then(|node| reading.condition(node));
    let end = fields.need("end").and_then(|node| reading.condition(node));
    fields.finish(reading);
    Some(Pair { key: key?, start: start?, end: end? })
}

/// Whether it makes sense of what is still growing: it grows with it.
const fn takes_time(agg: Agg) -> bool {
    matches!(agg, Agg::Sum | Agg::Avg | Agg::Min | Agg::Max | Agg::Quantile(_))
}

fn bound<'n>(fields: &mut Fields<'n>, reading: &mut Reading<'_>) -> Option<(Bound, &'n Node)> {
    let mut found = None;
    for (name, bound) in Bound::ALL {
        let Some(node) = fields.take(name) else { continue };
        if let Some((_, _, first)) = found {
            reading.report(
                &fields.key_span(name),
                format!("a metric has one limit, and `{first}` is one already"),
            );
            continue;
        }
        found = Some((bound, node, name));
    }
    if found.is_none() {
        fields.missing(&Bound::ALL.map(|(name, _)| name), reading);
    }
    found.map(|(bound, node, _)| (bound, node))
}

/// A decimal; for what is counted, a whole number that can be told.
fn number(node: &Node, agg: Agg, reading: &mut Reading<'_>) -> Option<Decimal> {
    const EXPECTED: &str = "a number such as 5000 or \"99.90\"";
    let text = reading.text(node, EXPECTED)?;
    let Ok(number) = text.parse::<Decimal>() else {
        reading.expected(EXPECTED, node);
        return None;
    };
    if agg == Agg::Distinct && number > Decimal::from(MOST_VALUES as u64) {
        reading.report(&node.span, format!("at most {MOST_VALUES} values are told apart"));
        return None;
    }
    Some(number)
}

/// A duration within the window, in milliseconds.
fn time_limit(node: &Node, bound: Bound, window: Span, reading: &mut Reading<'_>) -> Option<Limit> {
    if matches!(bound, Bound::Equal | Bound::NotEqual) {
        reading.report_help(
            &node.span,
            "a time is never equal to a limit but in passing",
            "expected `above`, `at_least`, `below` or `at_most`",
        );
        return None;
    }
    limit(node, reading, |node, reading| {
        let span = reading.duration(node)?;
        if span >= window {
            reading.report_help(
                &node.span,
                format!("the limit is not shorter than the window, {window}"),
                "what began longer ago than the window does not count any more",
            );
            return None;
        }
        Some(Decimal::from(span.as_millis()))
    })
}
