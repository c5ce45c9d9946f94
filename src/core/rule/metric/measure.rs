//! The condition of a metric: the value of a window, and on which side of the limit it lies.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::core::event::{Event, Field, Symbol, TextField};
use crate::core::rule::Limit;
use crate::core::rule::samples::agg::{Agg, Asked, Room, Tally};
use crate::core::rule::samples::below::{Near, surely_below, surely_below_until};
use crate::core::rule::samples::judge::{Change, Measure, Reading};
use crate::core::rule::samples::series::{OPEN, Shape};
use crate::core::rule::samples::watched::Watched;
use crate::core::rule::verdict::Evidence;
use crate::core::time::{Span, Time};

use super::{Bound, Metric};

/// A limit that is looked up by the symbol of the value that it depends on.
#[derive(Clone, Debug)]
pub struct LimitOf {
    field: Option<TextField>,
    values: Vec<(Symbol, Decimal, Option<Near>)>,
    default: (Decimal, Option<Near>),
}

impl LimitOf {
    pub fn new(limit: &Limit) -> Self {
        match limit {
            Limit::One(limit) => {
                Self { field: None, values: Vec::new(), default: (*limit, Near::of(*limit)) }
            }
            Limit::By { field, values, default } => {
                let values = values.iter();
                let values =
                    values.map(|(value, limit)| (Symbol::of(value), *limit, Near::of(*limit))).collect();
                Self { field: Some(*field), values, default: (*default, Near::of(*default)) }
            }
        }
    }

    pub fn of(&self, event: &Event<'_>) -> Symbol {
        self.field.map_or(Symbol::MISSING, |field| event.symbol(field))
    }

    pub fn at(&self, value: Symbol) -> Decimal {
        self.find(value).0
    }

    fn find(&self, value: Symbol) -> (Decimal, Option<Near>) {
        let known = self.values.iter().find(|(known, ..)| *known == value);
        known.map_or(self.default, |(_, limit, near)| (*limit, *near))
    }
}

#[derive(Debug)]
pub struct MetricMeasure {
    agg: Agg,
    shape: Shape,
    leaves: [Span; 1],
    bound: Bound,
    limit: LimitOf,
    min_samples: u64,
    /// The share of a quantile that shall not be above its limit.
    high: Option<f64>,
    /// Samples are ages.
    ages: bool,
    drifts: bool,
    /// What one is in the evidence: lengths of time are told in seconds.
    unit: f64,
    room: Room,
}

impl MetricMeasure {
    pub fn new(settings: &Metric) -> Self {
        Self {
            agg: settings.agg,
            shape: Shape::new(settings.agg, settings.window, settings.window),
            leaves: [settings.window],
            bound: settings.bound,
            limit: LimitOf::new(&settings.limit),
            min_samples: u64::from(settings.min_samples),
            high: match (settings.agg, settings.bound) {
                (Agg::Quantile(share), Bound::Above | Bound::AtLeast) => share.to_f64(),
                _ => None,
            },
            ages: settings.pair().is_some(),
            drifts: settings.is_time(),
            unit: if settings.is_time() { 1_000.0 } else { 1.0 },
            room: Room::default(),
        }
    }

    /// Whether the condition asks for little, so that a window that is not whole yet proves nothing.
    pub fn asks_for_little(&self) -> bool {
        matches!(self.bound, Bound::Below | Bound::AtMost)
    }

    const fn asked(&self, time: Time) -> Asked {
        let from = Time::from_millis(time.as_millis() - self.shape.reach.as_millis());
        Asked { from, to: time, now: time, ages: self.ages, which: 0 }
    }

    /// The field that the limit depends on.
    pub fn limit_field(&self) -> Option<TextField> {
        self.limit.field
    }

    /// What a window came to, of a subject with this value. `whole`: whether the subject was there for all of it.
    pub fn judge(&self, tally: Tally, limit_of: Symbol, whole: impl FnOnce() -> bool) -> Reading {
        let limit = self.limit.at(limit_of);
        let value = tally.value.filter(|_| tally.samples >= self.min_samples);
        let holds =
            value.is_some_and(|value| self.bound.holds(value, limit)) && (!self.asks_for_little() || whole());
        let number = |number: Decimal| number.to_f64().unwrap_or(0.0) / self.unit;
        let evidence = Evidence {
            value: tally.value.map_or(0.0, number),
            limit: number(limit),
            samples: tally.samples,
            approximate: tally.approximate,
        };
        Reading { holds, evidence }
    }
}

impl Measure for MetricMeasure {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn leaves(&self) -> &[Span] {
        &self.leaves
    }

    fn turns(&self) -> bool {
        match self.bound {
            Bound::Above | Bound::AtLeast => self.agg.rises_by_leaving(),
            Bound::Below | Bound::AtMost | Bound::Equal | Bound::NotEqual => true,
        }
    }

    fn drifts(&self) -> bool {
        self.drifts
    }

    /// A high quantile of ages does not rise by one that is short, nor by one that stops growing.
    fn hastens(&self, watched: &Watched, change: &Change, until: Time) -> bool {
        let rises =
            matches!(self.bound, Bound::Above | Bound::AtLeast) && matches!(self.agg, Agg::Quantile(_));
        if !rises || !self.ages || change.old.is_some_and(|old| old != OPEN) {
            return true;
        }
        // Well below the limit, so that it is there in the bins of a sketch as well.
        let Some(short) = (self.limit.at(watched.limit_of) * Decimal::new(97, 2)).to_i64() else {
            return true;
        };
        let is_short = if change.new == OPEN {
            change.time + Span::from_millis(short) >= until
        } else {
            change.new <= Decimal::from(short)
        };
        // One that comes late leaves early.
        let leaves = change.old.is_none() && change.time + self.shape.reach < until;
        // A window that is too small for a judgement may become one that is not.
        let from = until - self.shape.reach;
        let range = watched.series.buckets_between(&self.shape, from, until);
        let buckets = watched.series.coarse().map(|coarse| coarse.slice(range));
        let held: u64 = buckets.unwrap_or_default().iter().map(|bucket| u64::from(bucket.count())).sum();
        !is_short || leaves || held + watched.series.between(from, until).len() as u64 <= self.min_samples
    }

    fn surely_quiet_until(&mut self, watched: &mut Watched, from: Time) -> Option<Time> {
        let (share, near) = (self.high.filter(|_| self.ages)?, self.limit.find(watched.limit_of).1?);
        let asked = self.asked(from);
        surely_below_until(&near, share, &self.shape, &mut watched.series, asked)
    }

    fn recovers(&self, reading: &Reading, by_event: bool) -> bool {
        // That fewer things happen is no sign of health where the trouble was that many did.
        reading.evidence.samples >= self.min_samples && (by_event || !self.agg.is_amount())
    }

    fn limit_of(&self, event: &Event<'_>) -> Symbol {
        self.limit.of(event)
    }

    fn read(&mut self, watched: &mut Watched, time: Time) -> Reading {
        let asked = self.asked(time);
        if let Some(share) = self.high
            && let (limit, Some(near)) = self.limit.find(watched.limit_of)
            && let Some(samples) = surely_below(&near, share, &self.shape, &mut watched.series, asked)
        {
            let limit = limit.to_f64().unwrap_or(0.0) / self.unit;
            return Reading { holds: false, evidence: Evidence { samples, limit, ..Evidence::default() } };
        }
        let tally = self.room.tally(&self.shape, &mut watched.series, asked);
        let whole = || watched.series.begun(&self.shape, time) + self.shape.reach <= time;
        self.judge(tally, watched.limit_of, whole)
    }
}

/// The value of an event as a sample; [`None`]: it is none.
pub fn sample_of(field: Option<Field>, event: &Event<'_>) -> Option<Decimal> {
    match field {
        None => Some(Decimal::ZERO),
        Some(Field::Number(field)) => event.number(field),
        Some(Field::Text(field)) => Some(event.symbol(field))
            .filter(|value| *value != Symbol::MISSING)
            .map(|value| Decimal::from(value.0)),
        Some(Field::Type | Field::Fault | Field::Time | Field::ExpiresAt) => None,
    }
}
