//! The window of one subject: which of its events still count, at which of them the condition was true, and until
//! when it stays true if nothing more happens.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::table::{Small, State};
use crate::core::time::Time;

/// One instant (or, condensed, a stretch that begins at it) of events that count, or an `unless`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds, then three bits: `unless` (so that it sorts after the events of its instant), condensed, found.
    pub stamp: i64,
    /// How many events; of a distinct count, the value.
    pub mark: u64,
}

pub const FOUND: i64 = 1;
pub const CONDENSED: i64 = 2;
pub const UNLESS: i64 = 4;
const FLAGS: u32 = 3;

impl Entry {
    pub fn new(time: Time, flags: i64, mark: u64) -> Self {
        Self { stamp: time.as_millis() << FLAGS | flags, mark }
    }

    pub fn time(self) -> Time {
        Time::from_millis(self.stamp >> FLAGS)
    }

    pub fn is(self, flag: i64) -> bool {
        self.stamp & flag != 0
    }

    pub fn set_found(&mut self, found: bool) {
        self.stamp = if found { self.stamp | FOUND } else { self.stamp & !FOUND };
    }
}

/// What is kept of one subject.
#[derive(Debug)]
pub struct Window {
    /// By time.
    pub entries: Small<Entry, 3>,
    /// Until when the condition stays true by what is known; [`Time::MIN`]: it is not true.
    pub until: Time,
    /// When the watch looks at it next, so that no subject has two timers; [`Time::MAX`]: never.
    pub timer: Time,
}

impl Default for Window {
    fn default() -> Self {
        Self { entries: Small::default(), until: Time::MIN, timer: Time::MAX }
    }
}

impl Window {
    pub fn is_firing(&self) -> bool {
        self.until > Time::MIN
    }

    pub fn stop(&mut self) {
        self.until = Time::MIN;
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn shrink(&mut self) {
        self.entries.shrink();
    }
}

/// The time and last entry of the instant that begins at `first`, if events count there.
pub fn instant(entries: &[Entry], first: usize) -> Option<(Time, usize)> {
    let time = entries.get(first).filter(|entry| !entry.is(UNLESS))?.time();
    let more = entries.get(first + 1..)?.iter().take_while(|entry| !entry.is(UNLESS) && entry.time() == time);
    Some((time, first + more.count()))
}

/// The instant of events that count at `time`.
pub fn instant_ending(entries: &[Entry], time: Time) -> Option<(Time, usize)> {
    let after = Entry::new(time, UNLESS, 0).stamp;
    let last = entries.partition_point(|entry| entry.stamp < after).checked_sub(1)?;
    entries.get(last).filter(|entry| !entry.is(UNLESS) && entry.time() == time).map(|_| (time, last))
}

impl State for Window {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.until);
        to.unsigned(self.entries.len() as u64);
        let mut before = 0;
        for entry in self.entries.iter() {
            to.unsigned((entry.stamp - before) as u64);
            before = entry.stamp;
            // Counts are small and values are hashes; the first byte tells them apart.
            if entry.mark < 0x80 {
                to.byte(entry.mark as u8);
            } else {
                to.byte(0xFF);
                to.symbol(Symbol(entry.mark));
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut window = Self { until: from.time()?, ..Self::default() };
        let count = from.count()?;
        let mut stamp = 0_i64;
        for _ in 0..count {
            stamp = stamp.wrapping_add(from.unsigned()? as i64);
            let mark = match from.byte()? {
                0xFF => from.symbol()?.0,
                mark => u64::from(mark),
            };
            window.entries.push(Entry { stamp, mark });
        }
        Ok(window)
    }

    fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes()
    }
}
