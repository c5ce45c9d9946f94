//! What lies before the first event: where an end usually comes before its start, the end may lie there, and the start is
//! not without one.
//!
//! Nothing of a key can lie before what it began with. So a key that began in plain sight is sure at once; any other one
//! only when all that is looked back on has been seen.

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Symbol, TypeSet};
use crate::core::rule::table::Recent;
use crate::core::time::Time;

use super::pending::{Pending, PendingSet};

/// Beginnings that are remembered in a shard, while they are wanted. Above it the oldest go, counted: their keys are then
/// not judged.
const MOST_KNOWN: usize = 1 << 20;

#[derive(Debug)]
pub struct Beginnings {
    /// The events that a key begins with.
    pub types: TypeSet,
    /// The time of the earliest event. [`Time::MAX`]: none has come; [`Time::MIN`]: nothing lies before it.
    first: Time,
    first_changed: bool,
    known: Recent,
    /// Starts whose limit has passed, while what their keys began with can still arrive.
    doubtful: PendingSet,
}

/// How the records of a checkpoint begin.
const FIRST: u8 = b'f';
const KNOWN: u8 = b'k';
const DOUBTFUL: u8 = b'd';

impl Beginnings {
    pub fn new(types: TypeSet, pending: PendingSet) -> Self {
        Self {
            types,
            first: Time::MAX,
            first_changed: false,
            known: Recent::new(MOST_KNOWN),
            doubtful: pending,
        }
    }

    /// Takes note that there was an event.
    pub fn hear(&mut self, time: Time) {
        if time < self.first {
            self.first = time;
            self.first_changed = true;
        }
    }

    pub fn know_all(&mut self) {
        self.hear(Time::MIN);
    }

    /// From when on everything is known.
    pub fn first(&self) -> Time {
        self.first
    }

    /// Remembers that a key began at this time; beginnings before `wanted` are forgotten. Returns the start that was in
    /// doubt because of it.
    pub fn began(&mut self, key: Symbol, time: Time, wanted: Time) -> Option<Pending> {
        if time >= wanted {
            self.known.mark(key, time, wanted);
        }
        let start = self.doubtful.get(key)?.start;
        if time <= start { self.doubtful.remove(key) } else { None }
    }

    /// Whether the key is known to have begun between these times.
    pub fn is_known(&mut self, key: Symbol, from: Time, to: Time) -> bool {
        self.known.times(key).any(|time| from <= time && time <= to)
    }

    /// A start in doubt; the first one of a key counts.
    pub fn doubt(&mut self, key: Symbol, pending: Pending) {
        self.doubtful.put(key, pending);
    }

    /// Another start of a key: one that is in doubt goes if this one comes before it. Returns whether it says nothing new.
    pub fn starts(&mut self, key: Symbol, time: Time) -> bool {
        let Some(start) = self.doubtful.get(key).map(|pending| pending.start) else { return false };
        if time < start {
            self.doubtful.remove(key);
        }
        time >= start
    }

    pub fn doubtful(&mut self) -> &mut PendingSet {
        &mut self.doubtful
    }

    /// Forgets what is not wanted any more. Returns how many starts stay in doubt for good.
    pub fn sweep(&mut self, settled: Time, wanted: Time) -> u64 {
        self.known.forget(wanted);
        self.doubtful.sweep();
        let mut left = 0;
        while self.doubtful.take_before(settled).is_some() {
            left += 1;
        }
        left
    }

    pub fn dropped(&self) -> u64 {
        self.known.dropped()
    }

    pub fn bytes(&self) -> usize {
        self.known.bytes() + self.doubtful.bytes()
    }

    pub fn subjects(&self) -> usize {
        self.doubtful.len()
    }

    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        if std::mem::take(&mut self.first_changed) {
            let mut value = Vec::new();
            Writer(&mut value).time(self.first);
            sink(&[FIRST], Some(&value));
        }
        self.known.drain_changes(KNOWN, &mut *sink);
        self.doubtful.drain_changes(DOUBTFUL, sink);
    }

    pub fn restore(&mut self, tag: u8, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match (tag, key) {
            (FIRST, []) => {
                let mut reader = Reader(value);
                self.first = reader.time()?;
                reader.end()
            }
            (KNOWN, key) => self.known.restore(key, value),
            (DOUBTFUL, key) => self.doubtful.restore(key, value),
            _ => Err(CorruptState),
        }
    }
}
