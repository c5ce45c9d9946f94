//! Limits: one for all, or one for each value of a field of the subject.

use std::ops::RangeInclusive;

use rust_decimal::Decimal;

use crate::core::event::TextField;
use crate::core::rule::Limit;
use crate::core::rule::limit::WholeLimit;

use super::super::fields::{Fields, Reading};
use super::super::yaml::{Node, Value};

/// What a limit depends on: the field, its values with their limits, and the limit of all others.
struct PerValue<T> {
    field: TextField,
    values: Vec<(String, T)>,
    default: T,
}

/// `20%`, or `{ by: channel, alipay: 10%, default: 20% }`.
pub fn share_limit(node: &Node, reading: &mut Reading<'_>) -> Option<Limit> {
    limit(node, reading, |node, reading| reading.share(node))
}

/// A decimal, or one for each value of a field.
pub fn limit(
    node: &Node,
    reading: &mut Reading<'_>,
    read: impl Fn(&Node, &mut Reading<'_>) -> Option<Decimal>,
) -> Option<Limit> {
    if !matches!(node.value, Value::Map(_)) {
        return read(node, reading).map(Limit::One);
    }
    let PerValue { field, values, default } = per_value(node, reading, read)?;
    Some(Limit::By { field, values: values.into_iter().collect(), default })
}

/// `3`, or `{ by: channel, alipay: 10, default: 20 }`.
pub fn whole_limit(node: &Node, range: RangeInclusive<u32>, reading: &mut Reading<'_>) -> Option<WholeLimit> {
    if !matches!(node.value, Value::Map(_)) {
        return reading.whole(node, range).map(WholeLimit::from);
    }
    let limits = per_value(node, reading, |node, reading| reading.whole(node, range.clone()))?;
    let values = limits.values.iter().map(|(value, limit)| (value.as_str(), *limit));
    Some(WholeLimit::by(limits.field, values, limits.default))
}

fn per_value<T>(
    node: &Node,
    reading: &mut Reading<'_>,
    read: impl Fn(&Node, &mut Reading<'_>) -> Option<T>,
) -> Option<PerValue<T>> {
    let mut map = Fields::of(node, "a limit per value", reading)?;
    let (by, rest) = (map.take("by"), map.take("default"));
    for (name, node) in [("by", by), ("default", rest)] {
        if node.is_none() {
            map.missing(&[name], reading);
        }
    }
    let field = by.and_then(|node| reading.text_field(node));
    let default = rest.and_then(|node| read(node, reading));
    let mut values = Vec::new();
    for entry in map.entries().iter().filter(|entry| entry.key != "by" && entry.key != "default") {
        values.push((entry.key.clone(), read(&entry.value, reading)?));
    }
    Some(PerValue { field: field?, values, default: default? })
}
