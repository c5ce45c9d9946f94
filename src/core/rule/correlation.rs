//! `correlation`: findings of several rules about one subject, taken together.
//!
//! It is judged as a sequence is: what was found of a subject lately is kept in the order of event time, and every finding, or
//! its withdrawal, leads to a new judgement of all of it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::condition::steps::{Asked, Value};
use super::sequence::{Entry, Heard, Match, Matches, Pattern, Skip};
use crate::core::time::{Span, Time};

/// Rules that one correlation can hear.
pub const MOST_RULES: usize = 16;

/// The settings of a correlation.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// In the order in which the rule names them; the bit of each is its place.
    pub of: Vec<Heard>,
    pub judged: Judged,
    pub window: Span,
    /// One question that no event answers for each rule, and the field whose values are counted.
    pub asked: Asked,
}

/// What must be among the findings of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// So many, of whichever rule.
    EventCount { at_least: u32 },
    /// So many values of the field.
    ValueCount { at_least: u32 },
    /// One of each rule.
    Temporal,
    /// One of each rule, in their order.
    TemporalOrdered,
    /// One of each rule but the last, and none of the last for a window after it; or before it either.
    Absent { both_ways: bool },
}

impl Correlation {
    /// Whether it is about a finding that does not come.
    pub fn misses(&self) -> bool {
        matches!(self.judged, Judged::Absent { .. })
    }

    fn is_of(entry: &Entry, place: usize) -> bool {
        entry.bits >> place & 1 != 0
    }

    /// The entries of the window that ends with, and includes, the entry at a place.
    fn window<'a>(&self, entries: &'a [Entry], at: usize) -> &'a [Entry] {
        let Some(last) = entries.get(at) else { return &[] };
        let first = entries.partition_point(|entry| entry.time <= last.time - self.window);
        entries.get(first..=at).unwrap_or_default()
    }

    /// How many findings show what is looked for, the last of `window` being one of them.
    fn shown_by(&self, window: &[Entry]) -> Option<u32> {
        let last = window.last()?;
        match self.judged {
            Judged::EventCount { at_least } => Some(window.len() as u32).filter(|count| *count >= at_least),
            Judged::ValueCount { at_least } => {
                let value = |entry: &Entry| entry.values.first().copied().unwrap_or_default();
                let values: BTreeSet<Value> = window.iter().map(value).collect();
                let count = values.iter().filter(|value| **value != Value::Missing).count() as u32;
                (value(last) != Value::Missing && count >= at_least).then_some(count)
            }
            Judged::Temporal => self.has_each(window, self.of.len()),
            Judged::TemporalOrdered => {
                let mut wanted = 0;
                // The last of them must be the finding at hand, so those before it are looked for before it.
                for entry in window {
                    wanted += usize::from(wanted + 1 < self.of.len() && Self::is_of(entry, wanted));
                }
                let whole = wanted + 1 == self.of.len() && Self::is_of(last, wanted);
                whole.then_some(self.of.len() as u32)
            }
            Judged::Absent { .. } => {
                let others = self.of.len() - 1;
                let is_other = (0..others).any(|place| Self::is_of(last, place));
                is_other.then(|| self.has_each(window, others)).flatten()
            }
        }
    }

    fn has_each(&self, window: &[Entry], rules: usize) -> Option<u32> {
        let has = |place: usize| window.iter().any(|entry| Self::is_of(entry, place));
        (0..rules).all(has).then_some(rules as u32)
    }

    /// Whether the last of the rules, which is missed, was found near a moment after all.
    fn is_missed(&self, entries: &[Entry], since: Time, both_ways: bool) -> bool {
        let missed = self.of.len() - 1;
        let from = if both_ways { since - self.window } else { since };
        let near = |entry: &&Entry| entry.time >= from && entry.time < since + self.window;
        !entries.iter().filter(near).any(|entry| Self::is_of(entry, missed))
    }
}

impl Pattern for Correlation {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn findings(&self) -> &[Heard] {
        &self.of
    }

    fn matches(&self, entries: &[Entry], now: Time, grace: Span) -> Matches {
        let mut matches = Matches::default();
        for (at, entry) in entries.iter().enumerate() {
            let Some(events) = self.shown_by(self.window(entries, at)) else { continue };
            let mut found = Match { at: entry.time, first: at, last: at, events, paid: None };
            if let Judged::Absent { both_ways } = self.judged {
                if !self.is_missed(entries, entry.time, both_ways) {
                    continue;
                }
                found.at = entry.time + self.window;
                if found.at + grace > now {
                    matches.due = Some(matches.due.map_or(found.at, |due: Time| due.min(found.at)));
                    continue;
                }
            }
            matches.found.push(found);
        }
        matches.found.dedup_by_key(|found| found.at);
        matches
    }

    fn reach(&self) -> Span {
        // What is missed may have been found a window before what was found a window ago.
        self.window + self.window
    }

    fn skip(&self) -> Skip {
        Skip::NoSkip
    }

    fn is_completed_by_time(&self) -> bool {
        self.misses()
    }

    /// Findings alone count.
    fn concerns(&self, _bits: u64) -> bool {
        false
    }

    fn may_begin(&self, _bits: u64) -> bool {
        true
    }

    fn least(&self) -> u32 {
        match self.judged {
            Judged::EventCount { at_least } | Judged::ValueCount { at_least } => at_least,
            Judged::Temporal | Judged::TemporalOrdered => self.of.len() as u32,
            Judged::Absent { .. } => self.of.len() as u32 - 1,
        }
    }
}
