//! The moments at which a condition over a sliding window can change, visited in order.

use crate::core::time::{Span, Time};

use super::judge::{Measure, Reading};
use super::packed::Packed;
use super::watched::Watched;

const TICK: Span = Span::from_millis(1);

/// A moment at which the condition was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub time: Time,
    /// An event that counts has this time; otherwise something left or grew.
    pub is_event: bool,
}

/// What a walk does after a visit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Go {
    On,
    Stop,
}

/// Room for the moments of a walk.
#[derive(Debug, Default)]
pub struct Walk {
    points: Vec<Point>,
}

impl Walk {
    /// Visits the moments after `after`: every event that is kept, and what leaves or grows up to `quiet_until`.
    pub fn visit<M: Measure>(
        &mut self,
        measure: &mut M,
        watched: &mut Watched,
        (after, quiet_until): (Time, Time),
        mut visit: impl FnMut(Point, Reading) -> Go,
    ) {
        self.gather(measure, watched, after, quiet_until);
        if !measure.drifts() {
            for point in &self.points {
                let reading = measure.read(watched, point.time);
                if visit(*point, reading) == Go::Stop {
                    return;
                }
            }
            return;
        }
        let mut before = (after, None);
        let end = Point { time: quiet_until + TICK, is_event: false };
        for point in self.points.iter().copied().chain([end]) {
            let until = (point.time - TICK).min(quiet_until);
            let (from, was) = before;
            if let Some(time) = (until > from).then(|| turn(measure, watched, (from, was), until)).flatten() {
                let reading = measure.read(watched, time);
                if visit(Point { time, is_event: false }, reading) == Go::Stop {
                    return;
                }
            }
            if point.time > quiet_until && !point.is_event {
                return;
            }
            let reading = measure.read(watched, point.time);
            before = (point.time, Some(reading.holds));
            if visit(point, reading) == Go::Stop {
                return;
            }
        }
    }

    fn gather<M: Measure>(&mut self, measure: &M, watched: &Watched, after: Time, quiet_until: Time) {
        let points = &mut self.points;
        points.clear();
        let events = watched.series.samples().iter().map(Packed::time).filter(|time| *time > after);
        points.extend(events.map(|time| Point { time, is_event: true }));
        if quiet_until > after {
            for span in measure.leaves() {
                let leaving = watched.series.times(measure.shape()).map(|time| time + *span);
                let leaving =
                    leaving.skip_while(|time| *time <= after).take_while(|time| *time <= quiet_until);
                points.extend(leaving.map(|time| Point { time, is_event: false }));
            }
        }
        points.sort_unstable_by_key(|point| (point.time, !point.is_event));
        points.dedup_by_key(|point| point.time);
    }

    /// The first moment after `from` at which something can change without an event; it may be somewhat early.
    pub fn next_quiet<M: Measure>(&mut self, measure: &mut M, watched: &mut Watched, from: Time) -> Time {
        let leaves = measure.leaves().iter().filter_map(|span| {
            watched.series.times(measure.shape()).map(|time| time + *span).find(|time| *time > from)
        });
        let next = leaves.min().unwrap_or(Time::MAX);
        if !measure.drifts() || watched.series.is_empty() {
            return next;
        }
        if let Some(quiet) = measure.surely_quiet_until(watched, from).filter(|quiet| *quiet > from) {
            return next.min(quiet);
        }
        self.gather(measure, watched, from, Time::MIN);
        let last = Point { time: next.min(watched.series.newest() + measure.shape().reach), is_event: false };
        let mut before = (from, None);
        for point in self.points.iter().copied().filter(|point| point.time < last.time).chain([last]) {
            let until = point.time - TICK;
            if let Some(time) = (until > before.0).then(|| turn(measure, watched, before, until)).flatten() {
                return time;
            }
            before = (point.time, None);
        }
        next
    }
}

/// Where, between two moments without an event, the condition changes because something grows; it does so once at most.
fn turn<M: Measure>(
    measure: &mut M,
    watched: &mut Watched,
    (from, was): (Time, Option<bool>),
    until: Time,
) -> Option<Time> {
    let was = was.unwrap_or_else(|| measure.read(watched, from).holds);
    if measure.read(watched, until).holds == was {
        return None;
    }
    let (mut low, mut high) = (from.as_millis(), until.as_millis());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if measure.read(watched, Time::from_millis(middle)).holds == was {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(Time::from_millis(high))
}
