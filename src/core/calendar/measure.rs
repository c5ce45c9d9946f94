//! Time as a calendar counts it: what lies outside of it takes no time.

use std::sync::Arc;

use super::Calendar;
use crate::core::time::{Span, Time};

/// So many stretches are looked at for one span; what would take more is taken as never over.
const MOST_STRETCHES: usize = 4_096;

/// Measures spans in a calendar's own time. What it has looked up serves the next moments as well.
#[derive(Clone, Debug)]
pub struct Measure {
    calendar: Arc<Calendar>,
    /// From here on, and until there, `ahead` holds what follows.
    from: Time,
    until: Time,
    /// Stretches of the calendar, in order; the first one may have begun earlier.
    ahead: Vec<(Time, Time)>,
    /// Whether the moments from `from` until `until` belong to the calendar.
    inside: bool,
}

impl Measure {
    pub fn new(calendar: Arc<Calendar>) -> Self {
        Self { calendar, from: Time::MAX, until: Time::MAX, ahead: Vec::new(), inside: false }
    }

    /// Whether a moment belongs to the calendar.
    pub fn holds(&mut self, time: Time) -> bool {
        self.look(time);
        self.inside
    }

    /// The first moment by which so much of the calendar has passed since `from`; [`Time::MAX`] where it ends before.
    pub fn after(&mut self, from: Time, span: Span) -> Time {
        self.look(from);
        let mut rest = span;
        for place in 0..MOST_STRETCHES {
            if place == self.ahead.len() && !self.look_further() {
                return Time::MAX;
            }
            let Some((start, end)) = self.ahead.get(place).copied() else { return Time::MAX };
            let start = start.max(from);
            let room = end.since(start);
            if rest <= room {
                return if rest == Span::ZERO { from } else { start + rest };
            }
            rest = Span::from_millis(rest.as_millis() - room.as_millis());
        }
        Time::MAX
    }

    fn look(&mut self, time: Time) {
        if self.from <= time && time < self.until {
            return;
        }
        self.from = time;
        self.until = self.calendar.next_change(time);
        self.inside = self.calendar.holds(time);
        self.ahead.clear();
        if self.inside {
            self.ahead.push((time, self.until));
        }
    }

    /// Finds the stretch after those that are known; `false`: there is none.
    fn look_further(&mut self) -> bool {
        let last = self.ahead.last().map_or(self.from, |(_, end)| *end);
        if last >= Time::MAX {
            return false;
        }
        let start = if self.calendar.holds(last) { last } else { self.calendar.next_change(last) };
        if start >= Time::MAX {
            return false;
        }
        self.ahead.push((start, self.calendar.next_change(start)));
        true
    }
}
