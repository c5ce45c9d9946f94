//! The fields of `spike`: what is compared, over which two windows, and how many times it must be the other.

use rust_decimal::Decimal;

use super::super::super::metric::Sampled;
use super::super::super::samples::Agg;
use super::super::super::spike::{Direction, Spike};
use super::super::defaults;
use super::super::fields::{Fields, Reading};
use super::super::yaml::Node;
use super::{MOST_EVENTS, condition_or_always, metric};

/// How many windows the reference may be long.
const LONGEST_REFERENCE: i64 = 24;

pub fn spike(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Spike> {
    const DIRECTIONS: [(&str, Direction); 3] =
        [("up", Direction::Up), ("down", Direction::Down), ("both", Direction::Both)];
    fields.what = "a spike";
    let count = condition_or_always(fields.take("count"), reading);
    let (agg_node, field_node) = (fields.take("agg"), fields.take("field"));
    let window = fields.need("window").and_then(|node| reading.length(node));
    let reference = fields.take("reference").map_or(window, |node| reading.length(node));
    let height = fields.need("height").and_then(|node| height(node, reading));
    let direction =
        fields.take("direction").map_or(Some(Direction::Up), |node| reading.choice(node, &DIRECTIONS));
    let mut samples = |name, default, least| {
        fields.take(name).map_or(Some(default), |node| reading.whole(node, least..=MOST_EVENTS))
    };
    let min_reference = samples("min_reference", defaults::MIN_REFERENCE, 1);
    let min_current = samples("min_current", defaults::MIN_CURRENT, 0);
    if let (Some(window), Some(reference)) = (window, reference)
        && reference.as_millis() > window.as_millis().saturating_mul(LONGEST_REFERENCE)
    {
        reading.report_help(
            &fields.key_span("reference"),
            format!("the reference is longer than {LONGEST_REFERENCE} windows"),
            "what is usual over a longer time is for the kind baseline",
        );
    }
    let of = compared(agg_node, field_node, reading);
    fields.finish(reading);
    let (agg, of) = of?;
    let field = match of {
        Sampled::Field(field) => Some(field),
        Sampled::Events | Sampled::Pair(_) => None,
    };
    Some(Spike {
        count: count?,
        agg,
        field,
        window: window?,
        reference: reference?,
        height: height?,
        direction: direction?,
        min_reference: min_reference?,
        min_current: min_current?,
    })
}

fn compared(agg: Option<&Node>, field: Option<&Node>, reading: &mut Reading<'_>) -> Option<(Agg, Sampled)> {
    let Some(node) = agg else {
        if let Some(field) = field {
            reading.report_help(
                &field.span,
                "a field is compared by an aggregate",
                "name it in `agg`: sum, avg, p95 …",
            );
            return None;
        }
        return Some((Agg::Count, Sampled::Events));
    };
    let agg = metric::agg(node, reading)?;
    if agg == Agg::SinceLast {
        reading.report(&node.span, "the time since the last event is nothing to compare windows by");
        return None;
    }
    Some((agg, metric::sampled(agg, Some(node), field, reading)?))
}

fn height(node: &Node, reading: &mut Reading<'_>) -> Option<Decimal> {
    const EXPECTED: &str = "a number above 1, at most 1000, such as 3 or 1.5";
    let text = reading.text(node, EXPECTED)?;
    let height = text.parse::<Decimal>().ok();
    let height = height.filter(|height| *height > Decimal::ONE && *height <= Decimal::ONE_THOUSAND);
    if height.is_none() {
        reading.expected(EXPECTED, node);
    }
    height
}
