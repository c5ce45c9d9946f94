//! `metric` as its author writes it.

use rust_decimal::Decimal;

use super::{complaints, detecting};
use crate::core::event::{Field, NumberField, TextField};
use crate::core::rule::metric::{Bound, Metric, Sampled};
use crate::core::rule::samples::Agg;
use crate::core::rule::{Detect, Limit};
use crate::core::time::Span;

fn metric(detect: &str) -> Metric {
    match detecting(&format!("kind: metric, {detect}")) {
        Detect::Metric(metric) => metric,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_fields_of_a_metric_are_read() {
    let read = metric(r#"agg: sum, field: amount, window: 1h, above: "5000.50""#);
    assert_eq!((read.agg, read.bound, read.window), (Agg::Sum, Bound::Above, Span::from_mins(60)));
    assert_eq!(read.limit, Limit::One(Decimal::new(500_050, 2)));
    assert!(matches!(read.of, Sampled::Field(Field::Number(NumberField::Amount))));
    assert_eq!(read.min_samples, 1);
    let read = metric("agg: p99.9, field: score, window: 1h, at_most: -3, min_samples: 20");
    assert_eq!((read.agg, read.bound), (Agg::Quantile(Decimal::new(999, 3)), Bound::AtMost));
    assert_eq!((read.limit, read.min_samples), (Limit::One(Decimal::from(-3)), 20));
    assert_eq!(
        metric("agg: median, field: level, window: 1h, equal: 0").agg,
        Agg::Quantile(Decimal::new(5, 1))
    );
    let read = metric("agg: count, window: 1h, above: { by: channel, alipay: 100, default: 20 }");
    let values = [("alipay".to_owned(), Decimal::from(100))].into();
    assert_eq!(read.limit, Limit::By { field: TextField::Channel, values, default: Decimal::from(20) });
    assert!(matches!(read.of, Sampled::Events));
}

#[test]
fn times_have_durations_for_limits() {
    let read = metric(
        r#"agg: p95, pair: { start: 'type == "order.paid"', end: 'type == "order.delivered"' }, window: 10m, above: 2m"#,
    );
    assert_eq!(read.limit, Limit::One(Decimal::from(120_000)));
    assert_eq!(read.pair().map(|pair| pair.key), Some(TextField::OrderId));
    assert_eq!(metric("agg: since_last, window: 1h, at_least: 90s").limit, Limit::One(Decimal::from(90_000)));
}

#[test]
fn what_is_wrong_with_a_metric_is_said() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
detect: { kind: metric, agg: mean, metric_agg_key: amount, window: 1h }
---
name: y
topics: orders
detect: { kind: metric, agg: sum, window: 1h, above: 5, below: much }
---
name: z
topics: orders
group_by: [account_id]
detect: { kind: metric, agg: p95, field: channel, window: 1h, above: { by: channel, alipay: 5, default: 10 } }
"#), @r"
    error: a metric has no `above` or `at_least` or `below` or `at_most` or `equal` or `not_equal`
     --> rules/x.yaml:4:11
      |
    4 | detect: { kind: metric, agg: mean, metric_agg_key: amount, window: 1h }
      |           ^^^^

    error: expected one of count, distinct, sum, avg, min, max, median, p50 to p99.9, stddev, mode_count, since_last, first, last, found `mean`
     --> rules/x.yaml:4:30
      |
    4 | detect: { kind: metric, agg: mean, metric_agg_key: amount, window: 1h }
      |                              ^^^^
      = it is called `avg` here

    error: a metric has no field `metric_agg_key`
     --> rules/x.yaml:4:36
      |
    4 | detect: { kind: metric, agg: mean, metric_agg_key: amount, window: 1h }
      |                                    ^^^^^^^^^^^^^^
      = it is called `field` here

    error: this needs the values of a field
     --> rules/x.yaml:8:30
      |
    8 | detect: { kind: metric, agg: sum, window: 1h, above: 5, below: much }
      |                              ^^^
      = name it in `field`, or give the `start` and `end` of a `pair`

    error: a metric has one limit, and `above` is one already
     --> rules/x.yaml:8:57
      |
    8 | detect: { kind: metric, agg: sum, window: 1h, above: 5, below: much }
      |                                                         ^^^^^

    error: expected a field that holds a number, and `channel` does not
      --> rules/x.yaml:13:42
       |
    13 | detect: { kind: metric, agg: p95, field: channel, window: 1h, above: { by: channel, alipay: 5, default: 10 } }
       |                                          ^^^^^^^
       = expected amount, quantity, level or score
    ");
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
detect: { kind: metric, agg: stddev, pair: { start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }, field: amount, window: 10m, above: 10m }
---
name: y
topics: orders
detect: { kind: metric, agg: p20, field: amount, window: 1h, above: 5s }
---
name: z
topics: orders
detect: { kind: metric, agg: since_last, window: 1h, equal: 5m }
---
name: v
topics: orders
group_by: [account_id]
detect: { kind: metric, agg: distinct, field: channel, window: 1h, above: { by: channel, alipay: 5, default: 10000 } }
---
name: w
topics: orders
group_by: [account_id]
detect: { kind: metric, agg: distinct, field: ip, window: 1h, above: { by: channel, alipay: 5, default: 10 } }
"#), @r#"
    error: with `pair`, this says nothing
     --> rules/x.yaml:4:30
      |
    4 | detect: { kind: metric, agg: stddev, pair: { start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }, field: amount, w
      |                              ^^^^^^
      = expected one of sum, avg, min, max, median, p50 to p99.9: of the time from start to end

    error: `pair` has no field `within`
     --> rules/x.yaml:4:111
      |
    4 | detect: { kind: metric, agg: stddev, pair: { start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }, field: amount, w
      |                                                                                                               ^^^^^^
      = expected one of: key, start, end

    error: a metric has either `field` or `pair`
     --> rules/x.yaml:4:125
      |
    4 | detect: { kind: metric, agg: stddev, pair: { start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }, field: amount, w
      |                                                                                                                             ^^^^^

    error: the limit is not shorter than the window, 10m
     --> rules/x.yaml:4:160
      |
    4 | field: amount, window: 10m, above: 10m }
      |                                    ^^^
      = what began longer ago than the window does not count any more

    error: expected a percentile from p50 to p99.9, found `p20`
     --> rules/x.yaml:8:30
      |
    8 | detect: { kind: metric, agg: p20, field: amount, window: 1h, above: 5s }
      |                              ^^^

    error: a time is never equal to a limit but in passing
      --> rules/x.yaml:12:61
       |
    12 | detect: { kind: metric, agg: since_last, window: 1h, equal: 5m }
       |                                                             ^^
       = expected `above`, `at_least`, `below` or `at_most`

    error: at most 4096 values are told apart
      --> rules/x.yaml:17:110
       |
    17 | detect: { kind: metric, agg: distinct, field: channel, window: 1h, above: { by: channel, alipay: 5, default: 10000 } }
       |                                                                                                              ^^^^^

    error: the limit depends on `channel`, which is not in the rule's subject
      --> rules/x.yaml:22:9
       |
    22 | detect: { kind: metric, agg: distinct, field: ip, window: 1h, above: { by: channel, alipay: 5, default: 10 } }
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}
