//! `spike` as its author writes it.

use rust_decimal::Decimal;

use super::{complaints, detecting};
use crate::core::event::{EventType, Field, NumberField, TypeSet};
use crate::core::rule::Detect;
use crate::core::rule::condition::Condition;
use crate::core::rule::samples::Agg;
use crate::core::rule::spike::{Direction, Spike};
use crate::core::time::Span;

fn spike(detect: &str) -> Spike {
    match detecting(&format!("kind: spike, {detect}")) {
        Detect::Spike(spike) => spike,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fields_of_a_spike_are_read() {
    let read = spike(
        r#"count: 'type == "order.created"', window: 10m, reference: 1h, height: 1.5, direction: both, min_reference: 20, min_current: 5"#,
    );
    assert_eq!(read.count, Condition::TypeIn(TypeSet::of(EventType::OrderCreated)));
    assert_eq!((read.agg, read.field), (Agg::Count, None));
    assert_eq!((read.window, read.reference), (Span::from_mins(10), Span::from_mins(60)));
    assert_eq!((read.height, read.direction), (Decimal::new(15, 1), Direction::Both));
    assert_eq!((read.min_reference, read.min_current), (20, 5));
}

#[test]
fn what_a_spike_leaves_out_has_its_default() {
    let read = spike("agg: p95, field: amount, window: 10m, height: 3");
    assert_eq!(read.count, Condition::Always);
    assert_eq!(
        (read.agg, read.field),
        (Agg::Quantile(Decimal::new(95, 2)), Some(Field::Number(NumberField::Amount)))
    );
    assert_eq!((read.reference, read.direction), (read.window, Direction::Up));
    assert_eq!((read.min_reference, read.min_current), (10, 0));
}

#[test]
fn what_is_wrong_with_a_spike_is_said() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
detect: { kind: spike, spike_height: 3, timeframe: 10m, direction: sideways, min_reference: 0 }
---
name: y
topics: orders
detect: { kind: spike, field: amount, window: 10m, reference: 10h, height: 1 }
---
name: z
topics: orders
detect: { kind: spike, agg: since_last, window: 10m, height: 3 }
"#), @r"
    error: a spike has no field `spike_height`
     --> rules/x.yaml:4:24
      |
    4 | detect: { kind: spike, spike_height: 3, timeframe: 10m, direction: sideways, min_reference: 0 }
      |                        ^^^^^^^^^^^^
      = it is called `height` here

    error: a spike has no field `timeframe`
     --> rules/x.yaml:4:41
      |
    4 | detect: { kind: spike, spike_height: 3, timeframe: 10m, direction: sideways, min_reference: 0 }
      |                                         ^^^^^^^^^
      = it is called `window` here (a duration such as 10m)

    error: expected up, down or both, found `sideways`
     --> rules/x.yaml:4:68
      |
    4 | detect: { kind: spike, spike_height: 3, timeframe: 10m, direction: sideways, min_reference: 0 }
      |                                                                    ^^^^^^^^

    error: expected a whole number from 1 to 1000000, found `0`
     --> rules/x.yaml:4:93
      |
    4 | detect: { kind: spike, spike_height: 3, timeframe: 10m, direction: sideways, min_reference: 0 }
      |                                                                                             ^

    error: a field is compared by an aggregate
     --> rules/x.yaml:8:31
      |
    8 | detect: { kind: spike, field: amount, window: 10m, reference: 10h, height: 1 }
      |                               ^^^^^^
      = name it in `agg`: sum, avg, p95 …

    error: the reference is longer than 24 windows
     --> rules/x.yaml:8:52
      |
    8 | detect: { kind: spike, field: amount, window: 10m, reference: 10h, height: 1 }
      |                                                    ^^^^^^^^^
      = what is usual over a longer time is for the kind baseline

    error: expected a number above 1, at most 1000, such as 3 or 1.5, found `1`
     --> rules/x.yaml:8:76
      |
    8 | detect: { kind: spike, field: amount, window: 10m, reference: 10h, height: 1 }
      |                                                                            ^

    error: the time since the last event is nothing to compare windows by
      --> rules/x.yaml:12:29
       |
    12 | detect: { kind: spike, agg: since_last, window: 10m, height: 3 }
       |                             ^^^^^^^^^^
    ");
}
