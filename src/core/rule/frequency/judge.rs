//! How a window is judged: at each of its instants by what lies between it and the far edge, and on the whole by
//! until when the last finding stands.

use crate::core::event::{Event, Symbol};
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::verdict::{Evidence, Verdict};
use crate::core::time::{Span, Time};

use super::Frequency;
use super::condense::{DistinctValues, EXACT, MOST_DISTINCT, SLACK};
use super::window::{CONDENSED, Entry, FOUND, UNLESS, Window, instant, instant_ending};

/// Whether, and until when, the condition is true at present.
enum Standing {
    /// At none of the instants that are kept.
    Unknown,
    /// Until this time if nothing more happens.
    Until(Time),
    Over {
        at: Time,
        healthy: bool,
    },
}

/// What one instant's window holds.
#[derive(Clone, Copy)]
struct Measure {
    value: u64,
    samples: u64,
    approximate: bool,
    /// The oldest entry without which there would be fewer than `need`.
    pivot: Option<Time>,
}

/// An event that was put into a window, and what to judge again.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub time: Time,
    pub counts: bool,
    pub clears: bool,
    /// Beyond its lateness: it takes findings back, but makes none.
    pub late: bool,
    pub settled: Time,
}

/// The rule's numbers, and room to count distinct values in.
#[derive(Debug)]
pub struct Judge {
    pub(super) window: Span,
    /// Of the subject at hand.
    at_least: Option<u64>,
    at_most: Option<u64>,
    pub(super) distinct: bool,
    reset: bool,
    /// Entries that a subject may have.
    pub(super) most: usize,
    pub(super) values: DistinctValues,
    pub(super) given_up: u64,
}

impl Judge {
    pub fn new(settings: &Frequency) -> Self {
        let least = settings.at_least.as_ref().map(WholeLimit::most);
        let most = settings.at_most.as_ref().map(WholeLimit::most);
        let limit = least.unwrap_or(1).max(most.unwrap_or(0).saturating_add(1));
        // Enough distinct values to tell whether either limit is passed; of plain counts, buckets keep the rest.
        let distinct_most = (limit as usize).clamp(EXACT, MOST_DISTINCT);
        Self {
            window: settings.window,
            at_least: least.map(u64::from),
            at_most: most.map(u64::from),
            distinct: settings.distinct.is_some(),
            reset: settings.reset,
            most: if settings.distinct.is_some() { distinct_most } else { EXACT } + SLACK,
            values: DistinctValues::default(),
            given_up: 0,
        }
    }

    /// Goes over to the limits of an event's subject.
    pub fn take_limits(&mut self, settings: &Frequency, event: &Event<'_>) {
        self.at_least = settings.at_least.as_ref().map(|limit| u64::from(limit.of(event)));
        self.at_most = settings.at_most.as_ref().map(|limit| u64::from(limit.of(event)));
    }

    /// Entries that were dropped from the far edge of a window although they counted.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Drops what has left every window that can still be judged. Called for every event, it looks no further.
    pub fn drop_past(&self, window: &mut Window, settled: Time) {
        let gone = settled - self.window;
        let dropped = window.entries.iter().take_while(|entry| entry.time() <= gone).count();
        window.entries.drop_front(dropped);
    }

    /// Drops whatever can count at no instant from `settled` on.
    pub fn forget(&self, window: &mut Window, settled: Time) {
        self.drop_past(window, settled);
        let mut dropped = 0;
        for (position, entry) in window.entries.iter().enumerate() {
            if entry.time() >= settled {
                break;
            }
            if entry.is(UNLESS) {
                dropped = position + 1;
            } else if self.reset && entry.is(FOUND) {
                // It stays itself, as the finding that stands.
                dropped = position;
            }
        }
        window.entries.drop_front(dropped);
    }

    /// Puts an event that counts where it belongs.
    pub fn count(&mut self, window: &mut Window, time: Time, value: Symbol, settled: Time) {
        let after = Entry::new(time, UNLESS, 0).stamp;
        let position = window.entries.partition_point(|entry| entry.stamp < after);
        let same = window.entries.iter_mut().take(position).rev().take_while(|entry| entry.time() == time);
        if self.distinct {
            if same.into_iter().any(|entry| entry.mark == value.0) {
                return;
            }
            window.entries.insert(position, Entry::new(time, 0, value.0));
        } else if let Some(entry) = same.into_iter().next() {
            entry.mark += 1;
            return;
        } else {
            window.entries.insert(position, Entry::new(time, 0, 1));
        }
        self.condense(window, settled);
    }

    /// Puts an `unless` where it belongs.
    pub fn unless(&mut self, window: &mut Window, time: Time, settled: Time) {
        let entry = Entry::new(time, UNLESS, 0);
        let position = window.entries.partition_point(|other| other.stamp < entry.stamp);
        if window.entries.get(position) != Some(&entry) {
            window.entries.insert(position, entry);
            self.condense(window, settled);
        }
    }

    /// Judges the instants that an arrival concerns, says what has changed, and brings up to date until when the
    /// condition is true.
    pub fn judge(&mut self, window: &mut Window, arrival: Arrival, mut say: impl FnMut(Verdict)) {
        if arrival.counts && window.is_firing() && arrival.time > window.until {
            self.close_gap(window, arrival.time, &mut say);
        }
        let from = arrival.time.max(arrival.settled);
        // The first entry of the first instant to be judged.
        let mut position = window.entries.partition_point(|entry| entry.time() < from);
        let mut found = None;
        while position < window.entries.len() {
            let Some((time, last)) = instant(&window.entries, position) else {
                position += 1;
                continue;
            };
            let measure = self.judge_instant(window, arrival, (position, last, time), &mut say);
            found = measure.map(|measure| (last, measure)).or(found);
            position = last + 1;
        }
        self.settle(window, arrival, found, &mut say);
    }

    /// A finding after the end of the last stretch: that stretch is over, though no moment for saying so has come yet.
    fn close_gap(&mut self, window: &mut Window, time: Time, say: &mut impl FnMut(Verdict)) {
        let is_newest = window.entries.last().is_some_and(|entry| entry.time() == time);
        let Some((_, last)) = instant_ending(&window.entries, time).filter(|_| is_newest) else { return };
        let measure = self.measure_at(&window.entries, last);
        if self.holds(&measure) {
            say(Verdict::Cleared { at: window.until, healthy: false });
            window.stop();
        }
    }

    /// Judges one instant and says what has changed. Returns what was measured if the condition was found true.
    fn judge_instant(
        &mut self,
        window: &mut Window,
        arrival: Arrival,
        (first, last, time): (usize, usize, Time),
        say: &mut impl FnMut(Verdict),
    ) -> Option<Measure> {
        let measure = self.measure_at(&window.entries, last);
        let holds = self.holds(&measure);
        let entries = window.entries.get_mut(first..=last)?;
        let was = entries.iter().any(|entry| entry.is(FOUND));
        let here = arrival.counts && time == arrival.time;
        if holds == was && !(holds && here) || holds && arrival.late {
            return None;
        }
        entries.iter_mut().for_each(|entry| entry.set_found(holds));
        if holds {
            say(Verdict::Found { since: time, evidence: self.evidence(&measure) });
        } else {
            say(Verdict::Withdrawn { since: time });
        }
        holds.then_some(measure)
    }

    /// Until when the condition is true now, and whether that has just ended.
    fn settle(
        &mut self,
        window: &mut Window,
        arrival: Arrival,
        found: Option<(usize, Measure)>,
        say: &mut impl FnMut(Verdict),
    ) {
        if !window.is_firing() && found.is_none() {
            return;
        }
        if let Some((last, Measure { pivot: Some(pivot), .. })) = found
            && last + 1 == window.entries.len()
            && !self.reset
        {
            // By far the most frequent case: a finding with nothing after it, which has just been measured.
            window.until = pivot + self.window;
            return;
        }
        match self.standing(window, arrival.settled) {
            Standing::Until(until) => window.until = until,
            Standing::Over { at, healthy } => {
                say(Verdict::Cleared { at, healthy });
                window.stop();
            }
            // What stood is so old that only its end is awaited, or a success before that.
            Standing::Unknown
                if window.until <= arrival.settled && !(arrival.clears && arrival.time <= window.until) => {}
            Standing::Unknown => {
                say(Verdict::Cleared { at: arrival.time, healthy: arrival.clears });
                window.stop();
            }
        }
    }

    fn standing(&mut self, window: &Window, settled: Time) -> Standing {
        let entries = &*window.entries;
        let Some(last) = entries.iter().rposition(|entry| entry.is(FOUND)) else { return Standing::Unknown };
        let pivot = if self.reset {
            entries.get(last).map(|entry| entry.time())
        } else {
            self.measure_at(entries, last).pivot
        };
        // What it stood on is gone already: all of that has settled, and its end was known before.
        let until = pivot.map_or(window.until, |pivot| pivot + self.window);
        if pivot.is_none() && until > settled {
            return Standing::Unknown;
        }
        let later = entries.get(last + 1..).unwrap_or_default();
        let cleared = later.iter().find(|entry| entry.is(UNLESS)).map(|entry| entry.time());
        // Events that count end it only where there are too many of them.
        let exceeded = later.iter().find(|entry| !self.reset && !entry.is(UNLESS)).map(|entry| entry.time());
        if let Some(at) = cleared.filter(|at| *at <= until && exceeded.is_none_or(|exceeded| *at <= exceeded))
        {
            return Standing::Over { at, healthy: true };
        }
        if let Some(at) = exceeded.filter(|at| *at < until) {
            return Standing::Over { at, healthy: false };
        }
        Standing::Until(until)
    }

    fn holds(&self, measure: &Measure) -> bool {
        measure.value >= self.at_least.unwrap_or(1) && self.at_most.is_none_or(|most| measure.value <= most)
    }

    fn evidence(&self, measure: &Measure) -> Evidence {
        Evidence {
            value: measure.value as f64,
            limit: self.at_least.or(self.at_most).unwrap_or(1) as f64,
            samples: measure.samples,
            approximate: measure.approximate,
        }
    }

    /// Counts back from the last entry of an instant to the far edge of its window.
    fn measure_at(&mut self, entries: &[Entry], last: usize) -> Measure {
        let need = self.at_least.unwrap_or(1);
        let mut measure = Measure { value: 0, samples: 0, approximate: false, pivot: None };
        let Some(time) = entries.get(last).map(|entry| entry.time()) else { return measure };
        if entries.get(last + 1).is_some_and(|next| next.is(UNLESS) && next.time() == time) {
            return measure;
        }
        let edge = time - self.window;
        self.values.clear();
        for entry in entries.iter().take(last + 1).rev() {
            let is_wall = entry.is(UNLESS) || self.reset && entry.is(FOUND) && entry.time() < time;
            if is_wall || entry.time() <= edge {
                break;
            }
            measure.approximate |= entry.is(CONDENSED);
            if self.distinct {
                measure.samples += 1;
                measure.value += u64::from(self.values.insert(entry.mark));
            } else {
                measure.samples += entry.mark;
                measure.value = measure.samples;
            }
            if measure.pivot.is_none() && measure.value >= need {
                measure.pivot = Some(entry.time());
            }
        }
        measure
    }
}
