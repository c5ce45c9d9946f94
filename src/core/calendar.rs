//! Calendars: which times belong to the hours of business, to a promotion, to a maintenance window. Looked up from event
//! time alone: time zones come from the tables that are built in, so that every machine answers the same.
//!
//! A moment is within the hours of a weekday if the clocks of the time zone show a time within them, from the first moment
//! to just before the last. So an hour that the clocks skip is missing, and one that they show twice counts twice.

mod measure;
#[cfg(test)]
mod tests;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time as Clock, Weekday};
use jiff::tz::TimeZone;

use crate::core::event::Symbol;
use crate::core::time::Time;

pub use measure::Measure;
pub use written::{Problem, Written, zone};

/// All calendars of one configuration, by name.
pub type Calendars = BTreeMap<String, Arc<Calendar>>;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Two weeks show whatever a week repeats, also where the clocks are changed in one of them.
const REPEATS_WITHIN: usize = 16;

/// Times that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    zone: TimeZone,
    /// From Monday on: milliseconds of the day, the end beyond it where the hours go on after midnight.
    weekly: [Vec<(i64, i64)>; 7],
    /// Days without hours.
    holidays: BTreeSet<Date>,
    /// Days with the hours of the week's first day that has any, whatever weekday they are.
    workdays: BTreeSet<Date>,
    /// Dated spans, in order, none of which touches another.
    spans: Vec<(Time, Time)>,
}

impl Calendar {
    /// Whether a moment belongs to it.
    pub fn holds(&self, time: Time) -> bool {
        let place = self.spans.partition_point(|(_, until)| *until <= time);
        if self.spans.get(place).is_some_and(|(from, _)| *from <= time) {
            return true;
        }
        let Some(local) = self.local(time) else { return false };
        let of_day = of_day(local.time());
        let within =
            |date: Date, at: i64| self.hours_of(date).iter().any(|(from, until)| *from <= at && at < *until);
        within(local.date(), of_day)
            || local.date().yesterday().is_ok_and(|yesterday| within(yesterday, of_day + DAY))
    }

    /// The first moment after this one at which [`Calendar::holds`] is different; [`Time::MAX`] where there is none.
    pub fn next_change(&self, time: Time) -> Time {
        let holds = self.holds(time);
        let differs = |moment: &Time| *moment > time && self.holds(*moment) != holds;
        let dated = self.spans.iter().flat_map(|(from, until)| [*from, *until]).find(|edge| differs(edge));
        let dated = dated.unwrap_or(Time::MAX);
        if self.weekly.iter().all(Vec::is_empty) {
            return dated;
        }
        let mut edges = Vec::new();
        for date in self.days_from(time) {
            edges.clear();
            self.edges_of(date, &mut edges);
            edges.sort_unstable();
            // Hours after midnight and changed clocks may put an edge of this day behind one of the next.
            if let Some(edge) = edges.iter().copied().find(|edge| differs(edge)) {
                return dated.min(edge);
            }
        }
        dated
    }

    /// The days on which anything may change from a moment on, in order: two weeks, and those about each exception later.
    fn days_from(&self, time: Time) -> impl Iterator<Item = Date> {
        let first = self.local(time).and_then(|local| local.date().yesterday().ok());
        let soon =
            first.into_iter().flat_map(|first| first.series(jiff::Span::new().days(1)).take(REPEATS_WITHIN));
        let later: BTreeSet<Date> = self
            .holidays
            .iter()
            .chain(&self.workdays)
            .filter(move |date| first.is_some_and(|first| **date > first))
            .filter_map(|date| date.yesterday().ok())
            .flat_map(|date| date.series(jiff::Span::new().days(1)).take(REPEATS_WITHIN))
            .collect();
        let beyond =
            first.and_then(|first| first.checked_add(jiff::Span::new().days(REPEATS_WITHIN as i64 - 1)).ok());
        soon.chain(later.into_iter().filter(move |date| beyond.is_some_and(|beyond| *date > beyond)))
    }

    /// The moments at which the hours of a day may begin or end, and those at which the clocks are changed on it.
    fn edges_of(&self, date: Date, edges: &mut Vec<Time>) {
        for (from, until) in self.hours_of(date) {
            edges.extend([*from, *until].iter().flat_map(|edge| self.moments(date, *edge)));
        }
        let midnight = self.moments(date, 0).next().and_then(timestamp);
        let changes = midnight.into_iter().flat_map(|midnight| self.zone.following(midnight));
        let next_day = self.moments(date, DAY).last().unwrap_or(Time::MAX);
        edges.extend(changes.map(|change| of(change.timestamp())).take_while(|change| *change <= next_day));
    }

    /// When the clocks show a time of a day: never, once or twice; where they skip it, both guesses.
    fn moments(&self, date: Date, of_day: i64) -> impl Iterator<Item = Time> {
        use jiff::tz::AmbiguousOffset as Offset;
        let days = jiff::Span::new().days(of_day.div_euclid(DAY));
        let clock = Clock::midnight().checked_add(jiff::Span::new().milliseconds(of_day.rem_euclid(DAY)));
        let shown = date.checked_add(days).ok().zip(clock.ok()).map(|(date, clock)| date.to_datetime(clock));
        let offsets = shown.map(|shown| match self.zone.to_ambiguous_timestamp(shown).offset() {
            Offset::Unambiguous { offset } => (shown, [Some(offset), None]),
            Offset::Gap { before, after } | Offset::Fold { before, after } => {
                (shown, [Some(before), Some(after)])
            }
        });
        offsets.into_iter().flat_map(|(shown, offsets)| {
            offsets
                .into_iter()
                .flatten()
                .filter_map(move |offset| Some(of(offset.to_timestamp(shown).ok()?)))
        })
    }

    fn hours_of(&self, date: Date) -> &[(i64, i64)] {
        if self.holidays.contains(&date) {
            return &[];
        }
        let own = self.weekly.get(usize::from(date.weekday().to_monday_zero_offset().unsigned_abs()));
        let first = || self.weekly.iter().find(|hours| !hours.is_empty());
        let hours = if self.workdays.contains(&date) { first() } else { own };
        hours.map_or(&[], Vec::as_slice)
    }

    fn local(&self, time: Time) -> Option<DateTime> {
        timestamp(time).map(|timestamp| self.zone.to_datetime(timestamp))
    }

    /// What it means, as one number that is the same on every machine.
    pub fn identity(&self) -> u64 {
        let zone = self.zone.iana_name().unwrap_or_default();
        let mut written = format!("{zone} {:?}", self.weekly);
        for date in self.holidays.iter() {
            written.push_str(&format!(" -{date}"));
        }
        for date in self.workdays.iter() {
            written.push_str(&format!(" +{date}"));
        }
        for (from, until) in &self.spans {
            written.push_str(&format!(" {from}/{until}"));
        }
        Symbol::of(&written).0
    }
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_millisecond(time.as_millis()).ok()
}

fn of(timestamp: Timestamp) -> Time {
    Time::from_millis(timestamp.as_millisecond())
}

fn of_day(clock: Clock) -> i64 {
    let minutes = i64::from(clock.hour()) * 60 + i64::from(clock.minute());
    minutes * MINUTE + i64::from(clock.second()) * 1_000 + i64::from(clock.millisecond())
}

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
