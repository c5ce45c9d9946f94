//! Event time: instants and spans in whole milliseconds. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// An instant of event time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// A length of event time, in milliseconds. Never negative when it comes from a rule file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Time {
    /// Before every event that can be read; the value of a clock that has not started.
    pub const MIN: Self = Self(i64::MIN / 4);
    /// After every event that can be read.
    pub const MAX: Self = Self(i64::MAX / 4);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The span from `earlier` to `self`; negative when `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0 - earlier.0)
    }

    /// The first multiple of `step` (counted from 1970) that is not before this instant.
    pub const fn round_up(self, step: Span) -> Self {
        Self(-((-self.0).div_euclid(step.0) * step.0))
    }
}

impl Span {
    pub const ZERO: Self = Self(0);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000)
    }

    pub const fn from_mins(minutes: i64) -> Self {
        Self(minutes * 60_000)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }
}

impl Add<Span> for Time {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Sub<Span> for Time {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// RFC 3339 in UTC, with milliseconds only where there are any: `2026-10-01T08:12:30Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// The form of the rule files: `90s`, `10m`, `2h`, `7d`, the largest unit that divides the span.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        for (millis, unit) in UNITS {
            if self.0 != 0 && self.0 % millis == 0 {
                return write!(f, "{}{unit}", self.0 / millis);
            }
        }
        if self.0 == 0 { write!(f, "0s") } else { write!(f, "{}ms", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rounded_up_to_the_next_step_and_one_on_a_step_stays() {
        let step = Span::from_secs(5);
        for (time, rounded) in [(0, 0), (1, 5_000), (5_000, 5_000), (5_001, 10_000), (-1, 0)] {
            assert_eq!(Time::from_millis(time).round_up(step), Time::from_millis(rounded), "{time} ms");
        }
    }

    #[test]
    fn spans_are_written_in_their_largest_whole_unit() {
        for (millis, text) in
            [(0, "0s"), (1_500, "1500ms"), (90_000, "90s"), (600_000, "10m"), (604_800_000, "7d")]
        {
            assert_eq!(Span::from_millis(millis).to_string(), text);
        }
    }
}
