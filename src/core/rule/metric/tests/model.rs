//! What a metric is meant to find: looked for at every millisecond, computed from nothing each time.

use std::collections::BTreeSet;

use rust_decimal::prelude::ToPrimitive;

use super::*;

/// Samples of one subject in the model: time, value (of a pair: its length, if it has ended).
type Samples = Vec<(i64, Option<Decimal>)>;

pub struct Model<'a> {
    settings: &'a Metric,
    pub samples: Samples,
}

impl Model<'_> {
    pub fn new<'a>(settings: &'a Metric, events: &[&Given]) -> Model<'a> {
        let time = |given: &Given| given.event.time.as_millis();
        let mut samples: Samples = match settings.of {
            Sampled::Pair(_) => {
                let orders: BTreeSet<&str> =
                    events.iter().filter_map(|given| given.event.text(TextField::OrderId)).collect();
                let times = |wanted, order| {
                    let of = events.iter().filter(move |given| given.event.event_type == wanted);
                    of.filter(move |given| given.event.text(TextField::OrderId) == Some(order))
                        .map(|given| time(given))
                };
                let start = |order| times(OrderPaid, order).min();
                let sample = |order| {
                    let start = start(order)?;
                    let end = times(OrderDelivered, order).min();
                    Some((start, end.map(|end| Decimal::from((end - start).max(0)))))
                };
                orders.into_iter().filter_map(sample).collect()
            }
            Sampled::Events => events.iter().map(|given| (time(given), Some(Decimal::ZERO))).collect(),
            Sampled::Field(_) => events
                .iter()
                .map(|given| (time(given), given.event.number(NumberField::Amount)))
                .filter(|(_, value)| value.is_some())
                .collect(),
        };
        samples.sort();
        Model { settings, samples }
    }

    pub fn holds(&self, time: i64) -> bool {
        let settings = self.settings;
        let window = settings.window.as_millis();
        let inside = self.samples.iter().filter(|(at, _)| *at <= time && *at > time - window);
        let is_pair = settings.pair().is_some();
        let mut values: Vec<Decimal> = inside
            .clone()
            .map(|(at, value)| {
                let age = Decimal::from(time - at);
                if is_pair { value.map_or(age, |value| value.min(age)) } else { value.unwrap() }
            })
            .collect();
        let count = values.len();
        if count < settings.min_samples as usize || count == 0 {
            return false;
        }
        if matches!(settings.bound, Bound::Below | Bound::AtMost) {
            let mut begun = time;
            for (at, _) in self.samples.iter().rev().filter(|(at, _)| *at <= time) {
                if begun - at >= window {
                    break;
                }
                begun = *at;
            }
            if begun + window > time {
                return false;
            }
        }
        let sum: Decimal = values.iter().sum();
        let (first, last) = (values[0], values[count - 1]);
        values.sort();
        let number = Decimal::from(count as u64);
        let value = match settings.agg {
            Agg::Count => number,
            Agg::Sum => sum,
            Agg::Avg => sum / number,
            Agg::Min => values[0],
            Agg::Max => values[count - 1],
            Agg::First => first,
            Agg::Last => last,
            Agg::Distinct => Decimal::from(values.iter().collect::<BTreeSet<_>>().len() as u64),
            Agg::ModeCount => {
                let same = |value: &Decimal| values.iter().filter(|other| *other == value).count();
                Decimal::from(values.iter().map(same).max().unwrap() as u64)
            }
            Agg::SinceLast => Decimal::from(time - inside.map(|(at, _)| *at).max().unwrap()),
            Agg::Quantile(share) => {
                let position = Decimal::from(count as u64 - 1) * share;
                let low = position.trunc().to_u64().unwrap() as usize;
                let high = values[(low + 1).min(count - 1)];
                values[low] + (high - values[low]) * (position - position.trunc())
            }
            Agg::Stddev => {
                let mean = sum / number;
                let spread: Decimal = values.iter().map(|value| (*value - mean) * (*value - mean)).sum();
                Decimal::try_from((spread / number).to_f64().unwrap().sqrt()).unwrap()
            }
        };
        let Limit::One(limit) = settings.limit else { panic!("one limit") };
        settings.bound.holds(value, limit)
    }

    /// The moments at which it is found, and the first one after the last of them at which it is over.
    pub fn findings(&self) -> (Vec<i64>, Option<i64>) {
        let window = self.settings.window.as_millis();
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return (Vec::new(), None);
        };
        let restless = match self.settings.bound {
            Bound::Above | Bound::AtLeast => self.settings.agg.rises_by_leaving() || self.settings.is_time(),
            _ => true,
        };
        let comes: BTreeSet<i64> = self.samples.iter().map(|(at, _)| *at).collect();
        let goes: BTreeSet<i64> = comes.iter().map(|at| at + window).collect();
        let (mut found, mut end, mut before) = (Vec::new(), None, false);
        for time in first.0..=last.0 + window {
            let holds = self.holds(time);
            let moved = restless && (goes.contains(&time) || self.settings.is_time() && !before);
            if holds && (comes.contains(&time) || moved) {
                found.push(time);
                end = None;
            } else if !holds && !found.is_empty() && end.is_none() {
                end = Some(time);
            }
            before = holds;
        }
        (found, end)
    }
}
