//! When a rule that spans partitions is judged, and at which of these moments an event counts.
//!
//! Time is cut into judging steps of a sixtieth of the window, in whole seconds from one to ten; step `k` is the moment
//! `k × step` since 1970. An event enters at the first step whose window holds it and leaves at the first whose window
//! no longer does, so the windows that are judged hold exactly the events that their spans hold. Two cases are coarser,
//! and the evidence says so: a window that the step does not divide reaches back to the next whole step, and in a window
//! longer than ten minutes (where a sixtieth is more than ten seconds) the far edge moves in sixtieths of the window.

use crate::core::calendar::Measure;
use crate::core::time::{Span, Time};

/// The start of trouble is sought so far back, or two windows.
pub const LONGEST_LOOKBACK: Span = Span::from_mins(30);

/// What a window holds at its two ends, judged at the moment T with a span of w.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `T - w < time <= T`: an event at the moment itself counts.
    Through,
    /// `T - w <= time < T`: silence lasts up to, not through, the moment at which it is judged.
    UpTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Milliseconds of a step.
    step: i64,
    /// Steps of a window.
    window: i64,
    /// Steps by which the far edge moves.
    coarseness: i64,
    edge: Edge,
    divides: bool,
}

impl Steps {
    pub fn new(window: Span, edge: Edge) -> Self {
        let window = window.as_millis().max(1_000);
        let step = (window / 60_000).clamp(1, 10) * 1_000;
        let coarseness = (window / 60 / step).max(1);
        let divides = window.checked_rem(step) == Some(0);
        let steps = window / step + i64::from(!divides);
        Self { step, window: steps, coarseness, edge, divides }
    }

    /// The first step whose window holds an event of this time.
    pub fn entry(self, time: Time) -> i64 {
        match self.edge {
            Edge::Through => -(-time.as_millis()).div_euclid(self.step),
            Edge::UpTo => time.as_millis().div_euclid(self.step) + 1,
        }
    }

    /// The first step whose window no longer holds what entered at `entry`.
    pub fn exit(self, entry: i64) -> i64 {
        self.coarse(entry + self.window)
    }

    /// [`Steps::exit`] where only a calendar's time counts, for what happened at `time`: its window begins with what
    /// belongs to the calendar, and what does not lies before it.
    pub fn exit_within(self, calendar: &mut Measure, time: Time) -> i64 {
        let own = Span::from_millis(i64::from(calendar.holds(time)));
        self.coarse(self.reached(calendar.after(time, self.span() + own)))
    }

    /// The first step by which a whole window of the calendar has passed since another.
    pub fn whole_within(self, calendar: &mut Measure, step: i64) -> i64 {
        self.reached(calendar.after(self.time(step), self.span()))
    }

    fn coarse(self, exit: i64) -> i64 {
        if self.coarseness == 1 { exit } else { -(-exit).div_euclid(self.coarseness) * self.coarseness }
    }

    /// The first step that is not before this moment.
    fn reached(self, time: Time) -> i64 {
        -(-time.as_millis()).div_euclid(self.step)
    }

    fn span(self) -> Span {
        self.time(self.window).since(self.time(0))
    }

    /// The last step at or before this moment.
    pub fn passed(self, time: Time) -> i64 {
        time.as_millis().div_euclid(self.step)
    }

    pub fn time(self, step: i64) -> Time {
        Time::from_millis(step.saturating_mul(self.step))
    }

    /// The latest moment that lies before everything which enters at `entry`.
    pub fn before(self, entry: i64) -> Time {
        match self.edge {
            Edge::Through => self.time(entry - 1),
            Edge::UpTo => self.time(entry - 1) + Span::from_millis(-1),
        }
    }

    /// The steps of a window.
    pub fn window(self) -> i64 {
        self.window
    }

    /// How many steps back the start of trouble is sought: six windows, but no more than half an hour unless that is less
    /// than two windows.
    pub fn lookback(self) -> i64 {
        (6 * self.window).min(self.count(LONGEST_LOOKBACK)).max(2 * self.window)
    }

    /// The number of steps in a span, rounded up.
    pub fn count(self, span: Span) -> i64 {
        -(-span.as_millis()).div_euclid(self.step)
    }

    pub fn approximate(self) -> bool {
        self.coarseness > 1 || !self.divides
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_step_is_a_sixtieth_of_the_window_between_one_and_ten_seconds() {
        for (window, step, steps, approximate) in [
            (Span::from_secs(10), 1_000, 10, false),
            (Span::from_mins(1), 1_000, 60, false),
            (Span::from_secs(90), 1_000, 90, false),
            (Span::from_secs(125), 2_000, 63, true),
            (Span::from_mins(5), 5_000, 60, false),
            (Span::from_mins(10), 10_000, 60, false),
            (Span::from_mins(15), 10_000, 90, false),
            (Span::from_mins(60), 10_000, 360, true),
        ] {
            let grid = Steps::new(window, Edge::Through);
            assert_eq!((grid.step, grid.window, grid.approximate()), (step, steps, approximate), "{window}");
        }
    }

    #[test]
    fn a_window_holds_what_is_after_its_start_and_not_after_its_end() {
        let steps = Steps::new(Span::from_mins(5), Edge::Through);
        for (time, entry) in [(0, 0), (1, 1), (5_000, 1), (5_001, 2)] {
            assert_eq!(steps.entry(at(time)), entry, "{time}");
            for step in entry - 70..entry + 70 {
                let end = steps.time(step);
                let held = end - Span::from_mins(5) < at(time) && at(time) <= end;
                assert_eq!(held, (entry..steps.exit(entry)).contains(&step), "{time} at {end}");
            }
        }
    }

    #[test]
    fn a_silence_holds_its_start_and_not_its_end() {
        let steps = Steps::new(Span::from_mins(5), Edge::UpTo);
        for time in [0, 1, 4_999, 5_000, 5_001] {
            let entry = steps.entry(at(time));
            for step in entry - 70..entry + 70 {
                let end = steps.time(step);
                let held = end - Span::from_mins(5) <= at(time) && at(time) < end;
                assert_eq!(held, (entry..steps.exit(entry)).contains(&step), "{time} at {end}");
            }
        }
    }

    #[test]
    fn the_far_edge_of_a_long_window_moves_in_sixtieths_and_never_backward() {
        let steps = Steps::new(Span::from_mins(60), Edge::Through);
        let mut exits: Vec<i64> = (0..360).map(|entry| steps.exit(entry)).collect();
        assert!(exits.is_sorted());
        for (entry, exit) in (0..).zip(&exits) {
            assert!((360..366).contains(&(exit - entry)), "{entry} leaves at {exit}");
        }
        exits.dedup();
        assert_eq!(exits.len(), 61);
    }

    #[test]
    fn the_moment_before_an_entry_is_before_everything_that_enters_there() {
        for edge in [Edge::Through, Edge::UpTo] {
            let steps = Steps::new(Span::from_mins(5), edge);
            assert_eq!(steps.entry(steps.before(7)), 6, "{edge:?}");
            assert_eq!(steps.entry(steps.before(7) + Span::from_millis(1)), 7, "{edge:?}");
        }
    }
}
