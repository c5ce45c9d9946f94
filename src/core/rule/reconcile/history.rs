//! What is remembered of one order or card: the events that are judged, what they are held against, and what of that has
//! settled.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::rule::table::{Small, State};
use crate::core::time::Time;

/// Entries of one subject: the room that a list of ours has after some growth. One more is left out and counted, so that
/// something may be missed, and nothing found wrongly.
pub const MOST_ENTRIES: usize = 92;

const FLAGS: u32 = 2;
const JUDGED: i64 = 0b10;
const FOUND: i64 = 0b01;

/// One event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds, then whether it is judged or held against others, then whether its instant was found.
    stamp: i64,
    /// Of a judged one its key or order, of the others what they say: a quantity, an expiry, a refund's time.
    pub value: i64,
}

impl Entry {
    pub fn judged(time: Time, value: u64) -> Self {
        Self { stamp: time.as_millis() << FLAGS | JUDGED, value: value.cast_signed() }
    }

    pub fn said(time: Time, value: i64) -> Self {
        Self { stamp: time.as_millis() << FLAGS, value }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.stamp >> FLAGS)
    }

    pub fn is_judged(&self) -> bool {
        self.stamp & JUDGED != 0
    }

    pub fn is_found(&self) -> bool {
        self.stamp & FOUND != 0
    }

    /// At one instant what is said comes before what is judged by it.
    fn order(&self) -> (i64, i64) {
        (self.stamp & !FOUND, self.value)
    }
}

/// The state of one subject.
#[derive(Debug)]
pub struct History {
    entries: Small<Entry, 1>,
    /// The greatest of what was said and has settled.
    known: i64,
    /// The latest time that matters, in milliseconds.
    last: i64,
}

/// What is known where nothing was said.
pub const NOTHING: i64 = i64::MIN;
/// What is known where nothing may be found any more: no quantity is greater, no expiry later.
pub const PARDONED: i64 = i64::MAX;

impl Default for History {
    fn default() -> Self {
        Self { entries: Small::default(), known: NOTHING, last: NOTHING }
    }
}

impl History {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn known(&self) -> i64 {
        self.known
    }

    /// Takes note of what was said at a time that has settled.
    pub fn learn(&mut self, said: i64) {
        self.known = self.known.max(said);
    }

    pub fn pardon(&mut self) {
        self.known = PARDONED;
    }

    /// Remembers the subject until so long after this time.
    pub fn keep_for(&mut self, time: Time) {
        self.last = self.last.max(time.as_millis());
    }

    /// Whether no event can concern the subject any more.
    pub fn is_over(&self, before: Time) -> bool {
        self.last <= before.as_millis() || (self.entries.is_empty() && self.known == NOTHING)
    }

    /// The greatest of what was said up to a time.
    pub fn known_at(&self, time: Time) -> i64 {
        let said = self.entries.iter().take_while(|own| own.time() <= time).filter(|own| !own.is_judged());
        said.map(|own| own.value).fold(self.known, i64::max)
    }

    /// Puts an entry where it belongs. Returns whether there was room for it.
    pub fn insert(&mut self, entry: Entry) -> bool {
        let position = self.entries.partition_point(|own| own.order() < entry.order());
        if self.entries.get(position).is_some_and(|own| own.order() == entry.order()) {
            return true;
        }
        if self.entries.len() >= MOST_ENTRIES {
            return false;
        }
        self.entries.insert(position, entry);
        true
    }

    pub fn position(&self, time: Time) -> usize {
        self.entries.partition_point(|own| own.time() < time)
    }

    /// The end of the instant that begins at a position.
    pub fn end_of(&self, position: usize) -> usize {
        let Some(time) = self.entries.get(position).map(Entry::time) else { return position };
        position + self.entries.iter().skip(position).take_while(|own| own.time() == time).count()
    }

    /// Notes whether the instant at these positions was found; returns whether it was before.
    pub fn set_found(&mut self, from: usize, to: usize, found: bool) -> bool {
        let mut was = false;
        for own in self.entries.get_mut(from..to).into_iter().flatten().filter(|own| own.is_judged()) {
            was |= own.is_found();
            own.stamp = own.stamp & !FOUND | if found { FOUND } else { 0 };
        }
        was
    }

    pub fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
    }

    pub fn shrink(&mut self) {
        self.entries.shrink();
    }
}

impl State for History {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.signed(self.known);
        to.signed(self.last);
        to.unsigned(self.entries.len() as u64);
        let mut before = 0;
        for own in self.entries.iter() {
            to.signed(own.stamp.wrapping_sub(before));
            before = own.stamp;
            to.signed(own.value);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut history = Self { known: from.signed()?, last: from.signed()?, ..Self::default() };
        let mut stamp = 0_i64;
        for _ in 0..from.count()? {
            stamp = stamp.wrapping_add(from.signed()?);
            history.entries.push(Entry { stamp, value: from.signed()? });
        }
        Ok(history)
    }

    fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes()
    }
}
