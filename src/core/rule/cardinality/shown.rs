//! What is kept of one subject whose values may become too few: when it showed which value, and what was said of that.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::frequency::DistinctValues;
use crate::core::rule::table::{Small, State};
use crate::core::time::{Span, Time};

/// Entries that are kept besides as many values as the limit asks for. Above it the older half is taken as settled;
/// counted.
const MOST_UNSETTLED: usize = 64;
const FLAGS: u32 = 2;
const FOUND: i64 = 1;
const MARK: i64 = 2;

/// A value that was shown, or the mark of a moment between two events that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds, then whether it is a mark, then whether the moment was found.
    stamp: i64,
    pub value: u64,
}

impl Entry {
    fn new(time: Time, flags: i64, value: u64) -> Self {
        Self { stamp: time.as_millis() << FLAGS | flags, value }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.stamp >> FLAGS)
    }

    pub fn is_mark(&self) -> bool {
        self.stamp & MARK != 0
    }

    pub fn is_found(&self) -> bool {
        self.stamp & FOUND != 0
    }

    fn order(&self) -> (i64, u64) {
        (self.stamp & !FOUND, self.value)
    }
}

/// The state of one subject.
#[derive(Debug)]
pub struct Shown {
    /// By time; marks after the values of their instant.
    pub entries: Small<Entry, 2>,
    /// Of the settled entries: since when there was no pause of a window, and the last of them; [`Time::MIN`]: there are
    /// none. Of those only what later moments may need is kept.
    pub first: Time,
    pub last: Time,
    /// All that was to be found up to here has been said.
    pub judged: Time,
    /// When the watch looks at it next; [`Time::MAX`]: never.
    pub timer: Time,
    pub limit: u32,
    /// Something was found, and its end was not told yet.
    pub open: bool,
    /// The facts of the subject, encoded.
    pub facts: Box<[u8]>,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            entries: Small::default(),
            first: Time::MIN,
            last: Time::MIN,
            judged: Time::MIN,
            timer: Time::MAX,
            limit: 0,
            open: false,
            facts: Box::default(),
        }
    }
}

impl Shown {
    /// The values, oldest first.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.is_mark())
    }

    pub fn newest(&self) -> Time {
        self.values().next_back().map_or(Time::MIN, Entry::time)
    }

    /// Puts a value where it belongs.
    pub fn insert(&mut self, time: Time, value: Symbol) {
        let entry = Entry::new(time, 0, value.0);
        let position = self.entries.partition_point(|other| other.order() < entry.order());
        if self.entries.get(position).is_some_and(|other| other.order() == entry.order()) {
            return;
        }
        // As many at one instant as the limit asks for are enough for all that follows.
        let same = self.values().filter(|other| other.time() == time);
        if same.count() < self.limit as usize {
            let found = self.is_found(time);
            self.entries.insert(position, Entry::new(time, if found { FOUND } else { 0 }, value.0));
        }
    }

    /// Makes room for one more before there is too much. Returns how many were given up for that.
    pub fn make_room(&mut self, horizon: Time, window: Span, seen: &mut DistinctValues) -> u64 {
        if self.entries.len() < MOST_UNSETTLED / 2 + self.limit as usize {
            return 0;
        }
        self.settle(horizon, window, seen);
        if self.entries.len() < MOST_UNSETTLED + self.limit as usize {
            return 0;
        }
        let unsettled = self.entries.partition_point(|entry| entry.time() <= self.last);
        let middle = unsettled + (self.entries.len() - unsettled) / 2;
        let Some(horizon) = self.entries.get(middle).map(Entry::time) else { return 0 };
        let before = self.entries.len();
        self.settle(horizon, window, seen);
        self.judged = self.judged.max(horizon);
        (before - self.entries.len()) as u64
    }

    /// Drops what no moment from `horizon` on can need, since nothing can arrive before it.
    pub fn settle(&mut self, horizon: Time, window: Span, seen: &mut DistinctValues) {
        let settled = self.entries.partition_point(|entry| entry.time() <= self.last);
        let past = self.entries.partition_point(|entry| entry.time() < horizon);
        let gone = horizon - window;
        if past <= settled && self.entries.first().is_none_or(|entry| entry.time() > gone) {
            return;
        }
        for position in settled..past {
            let Some(entry) = self.entries.get(position).filter(|entry| !entry.is_mark()) else { continue };
            let time = entry.time();
            if time > self.last {
                if self.last <= time - window {
                    self.first = time;
                }
                self.last = time;
            }
        }
        self.keep_newest(past, gone, seen);
    }

    /// Of the first `past` entries, only the newest of each value, of as many values as the limit asks for.
    fn keep_newest(&mut self, past: usize, gone: Time, seen: &mut DistinctValues) {
        seen.clear();
        let mut kept = 0;
        // From the newest on, those that stay move up to where the past ends.
        for position in (0..past).rev() {
            let Some(entry) = self.entries.get(position).copied() else { continue };
            if entry.is_mark() || entry.time() <= gone || kept >= self.limit as usize {
                continue;
            }
            if seen.insert(entry.value) {
                kept += 1;
                if let Some(place) = self.entries.get_mut(past - kept) {
                    *place = entry;
                }
            }
        }
        self.entries.drop_front(past - kept);
    }

    /// Whether something was found at this moment.
    pub fn is_found(&self, time: Time) -> bool {
        let from = self.entries.partition_point(|entry| entry.time() < time);
        let own = self.entries.iter().skip(from).take_while(|entry| entry.time() == time);
        own.into_iter().any(Entry::is_found)
    }

    /// Notes that something was found at a moment, or that it was not after all. Where no value was shown then, a mark is
    /// set.
    pub fn set_found(&mut self, time: Time, found: bool) {
        let from = self.entries.partition_point(|entry| entry.time() < time);
        let mut is_event = false;
        for entry in self.entries.iter_mut().skip(from).take_while(|entry| entry.time() == time) {
            if !entry.is_mark() {
                is_event = true;
                entry.stamp = if found { entry.stamp | FOUND } else { entry.stamp & !FOUND };
            }
        }
        self.entries.retain(|entry| !(entry.is_mark() && entry.time() == time));
        if found && !is_event {
            self.entries.insert(from, Entry::new(time, MARK | FOUND, 0));
        }
    }

    /// The latest moment at which something was found.
    pub fn last_found(&self) -> Time {
        self.entries.iter().rfind(|entry| entry.is_found()).map_or(Time::MIN, Entry::time)
    }
}

impl State for Shown {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Writer<'_>) {
        for time in [self.first, self.last, self.judged, self.timer] {
            to.time(time);
        }
        to.unsigned(u64::from(self.limit));
        to.bool(self.open);
        to.unsigned(self.entries.len() as u64);
        let mut before = 0;
        for entry in self.entries.iter() {
            to.signed(entry.stamp.wrapping_sub(before));
            before = entry.stamp;
            to.symbol(Symbol(entry.value));
        }
        to.unsigned(self.facts.len() as u64);
        to.0.extend_from_slice(&self.facts);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut shown = Self {
            first: from.time()?,
            last: from.time()?,
            judged: from.time()?,
            timer: from.time()?,
            limit: from.unsigned32()?,
            open: from.bool()?,
            ..Self::default()
        };
        let mut stamp = 0_i64;
        for _ in 0..from.count()? {
            stamp = stamp.wrapping_add(from.signed()?);
            shown.entries.push(Entry { stamp, value: from.symbol()?.0 });
        }
        let length = from.count()?;
        let facts: Result<Vec<u8>, CorruptState> = (0..length).map(|_| from.byte()).collect();
        shown.facts = facts?.into();
        Ok(shown)
    }

    fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes() + self.facts.len()
    }
}
