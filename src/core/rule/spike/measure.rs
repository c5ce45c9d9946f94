//! The condition of a spike: two windows, one after the other, and how many times the one is the other.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::core::event::{Event, Symbol};
use crate::core::rule::samples::agg::{Agg, Asked, Room, Tally};
use crate::core::rule::samples::judge::{Measure, Reading};
use crate::core::rule::samples::series::Shape;
use crate::core::rule::samples::watched::Watched;
use crate::core::rule::verdict::Evidence;
use crate::core::time::{Span, Time};

use super::{Direction, Spike};

#[derive(Debug)]
pub struct SpikeMeasure {
    shape: Shape,
    /// When a sample leaves the window for the reference, and when it leaves that.
    leaves: [Span; 2],
    height: Decimal,
    direction: Direction,
    min_reference: u64,
    min_current: u64,
    /// What the reference is multiplied by so that both are rates; (1, 1) where they are no amounts.
    rate: (Decimal, Decimal),
    room: Room,
}

impl SpikeMeasure {
    pub fn new(settings: &Spike) -> Self {
        let reach = settings.window + settings.reference;
        let is_rate = matches!(settings.agg, Agg::Count | Agg::Sum);
        let span = |span: Span| if is_rate { Decimal::from(span.as_millis()) } else { Decimal::ONE };
        Self {
            shape: Shape::new(settings.agg, settings.window, reach),
            leaves: [settings.window, reach],
            height: settings.height,
            direction: settings.direction,
            min_reference: u64::from(settings.min_reference),
            min_current: u64::from(settings.min_current),
            rate: (span(settings.window), span(settings.reference)),
            room: Room::default(),
        }
    }

    /// Which way the current value is beyond the reference, if it is.
    fn beyond(&self, current: Decimal, reference: Decimal) -> Option<Direction> {
        let times = |one: Decimal, other: Decimal| one.checked_mul(other).unwrap_or(Decimal::MAX);
        let (current, usual) = (times(current, self.rate.1), times(reference, self.rate.0));
        let up = current > Decimal::ZERO && usual >= Decimal::ZERO && current >= times(usual, self.height);
        let down = usual > Decimal::ZERO && times(current, self.height) <= usual;
        match self.direction {
            Direction::Up | Direction::Both if up => Some(Direction::Up),
            Direction::Down | Direction::Both if down => Some(Direction::Down),
            Direction::Up | Direction::Down | Direction::Both => None,
        }
    }

    /// What the two windows came to. `whole`: whether the subject was there for all of both.
    pub fn judge(&self, current: Tally, reference: Tally, whole: impl FnOnce() -> bool) -> Reading {
        // Of what is counted there is none, of values there is nothing to say.
        let none = self.shape.agg.is_amount().then_some(Decimal::ZERO);
        let (value, usual) = (current.value.or(none), reference.value.or(none));
        let enough =
            current.samples >= self.min_current && reference.samples >= self.min_reference && whole();
        let beyond = match (value, usual) {
            (Some(value), Some(usual)) if enough => self.beyond(value, usual),
            _ => None,
        };
        let number = |number: Option<Decimal>| number.and_then(|number| number.to_f64()).unwrap_or(0.0);
        let share = number(Some(self.rate.0)) / number(Some(self.rate.1));
        let (usual, height) = (number(usual) * share, number(Some(self.height)));
        let falls = beyond == Some(Direction::Down) || self.direction == Direction::Down;
        let evidence = Evidence {
            value: number(value),
            limit: if falls { usual / height } else { usual * height },
            samples: current.samples + reference.samples,
            approximate: current.approximate || reference.approximate,
        };
        Reading { holds: beyond.is_some(), evidence }
    }

    /// Whether it can become true because nothing more happens.
    pub fn finds_falls(&self) -> bool {
        self.direction != Direction::Up
    }
}

impl Measure for SpikeMeasure {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn leaves(&self) -> &[Span] {
        &self.leaves
    }

    fn turns(&self) -> bool {
        true
    }

    fn drifts(&self) -> bool {
        false
    }

    /// A spike that lasts becomes the reference: that it is none any more says nothing about the trouble.
    fn recovers(&self, _reading: &Reading, _by_event: bool) -> bool {
        false
    }

    fn limit_of(&self, _event: &Event<'_>) -> Symbol {
        Symbol::MISSING
    }

    fn read(&mut self, watched: &mut Watched, time: Time) -> Reading {
        let begins = time - self.leaves[0];
        let asked = |from, to, which| Asked { from, to, now: time, ages: false, which };
        let series = &mut watched.series;
        let current = self.room.tally(&self.shape, series, asked(begins, time, 0));
        let reference = self.room.tally(&self.shape, series, asked(time - self.shape.reach, begins, 1));
        let whole = || watched.series.begun(&self.shape, time) + self.shape.reach <= time;
        self.judge(current, reference, whole)
    }
}
