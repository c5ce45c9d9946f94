//! When the values of a subject are too few: from one event to the next, when that begins and ends.

use crate::core::rule::frequency::DistinctValues;
use crate::core::time::{Span, Time};

use super::shown::{Entry, Shown};

/// The stretch from one instant at which values were shown until before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub time: Time,
    /// Whether there are too few values at the instant itself.
    pub few: bool,
    /// The moment after it at which there begin to be too few.
    pub begin: Option<Time>,
    /// The next instant, or when the last value has left the window.
    pub end: Time,
    /// Nothing is left in the window at the end, so that the subject is not judged any more.
    pub silent: bool,
}

impl Segment {
    /// The moment by which the trouble of this stretch, as far as it lies before `from`, is known.
    pub fn trouble_before(&self, from: Time) -> Option<Time> {
        match self.begin.filter(|begin| *begin < from) {
            Some(begin) => Some(begin),
            None => (self.few && self.time < from).then_some(self.time),
        }
    }
}

/// How many different values the window that ends at `time` holds, and when the oldest of the `need` newest was shown.
/// It does not count further than that.
fn count(
    entries: &[Entry],
    time: Time,
    window: Span,
    need: usize,
    seen: &mut DistinctValues,
) -> (usize, Time) {
    seen.clear();
    let (mut found, mut oldest) = (0, time);
    let within = entries.iter().rev().skip_while(|entry| entry.time() > time);
    for entry in within.filter(|entry| !entry.is_mark()).take_while(|entry| entry.time() > time - window) {
        if seen.insert(entry.value) {
            found += 1;
            oldest = entry.time();
            if found >= need {
                break;
            }
        }
    }
    (found, oldest)
}

/// The number of different values in the window that ends at a moment, up to the limit.
pub fn values_at(shown: &Shown, time: Time, window: Span, seen: &mut DistinctValues) -> usize {
    count(&shown.entries, time, window, shown.limit as usize, seen).0
}

/// Puts the stretches from the last instant before `from` on into `out`.
pub fn segments(shown: &Shown, from: Time, window: Span, seen: &mut DistinctValues, out: &mut Vec<Segment>) {
    out.clear();
    let entries = &*shown.entries;
    let begin =
        entries.iter().rfind(|entry| !entry.is_mark() && entry.time() < from).map_or(Time::MIN, Entry::time);
    let (mut first, mut last) = (shown.first, shown.last);
    let mut position = 0;
    while let Some(time) = entries.get(position).map(Entry::time) {
        let length = entries.iter().skip(position).take_while(|entry| entry.time() == time).count();
        let is_instant = entries.get(position).is_some_and(|entry| !entry.is_mark());
        position += length;
        if !is_instant {
            continue;
        }
        if time > last {
            if last <= time - window {
                first = time;
            }
            last = time;
        }
        if time >= begin {
            let until = entries.get(..position).unwrap_or_default();
            let next = entries.iter().skip(position).find(|entry| !entry.is_mark()).map(Entry::time);
            out.push(segment(until, (time, first, next), window, shown.limit as usize, seen));
        }
    }
}

fn segment(
    entries: &[Entry],
    (time, first, next): (Time, Time, Option<Time>),
    window: Span,
    limit: usize,
    seen: &mut DistinctValues,
) -> Segment {
    let (values, oldest) = count(entries, time, window, limit, seen);
    let (whole, silence) = (first + window, time + window);
    let enough = values >= limit;
    let end = next.unwrap_or(Time::MAX).min(silence);
    let begin = if enough { whole.max(oldest + window) } else { whole };
    Segment {
        time,
        few: !enough && time >= whole,
        begin: Some(begin).filter(|begin| *begin > time && *begin < end),
        end,
        silent: silence <= next.unwrap_or(Time::MAX),
    }
}
