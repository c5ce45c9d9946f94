//! Which events were seen already: producers repeat themselves, and a replay after a crash reads some records twice.
//!
//! An event's identity is its account and id. It is remembered for as long as a repetition could still do harm, that
//! is for one `lateness` of event time and at most two: two generations of hashes, the older dropped whole. Beyond
//! that a repetition is late anyway and opens nothing.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;
use crate::core::time::{Span, Time};

/// The identities of the events of one shard that were seen lately.
#[derive(Debug)]
pub struct Duplicates {
    retention: Span,
    /// Both generations together, so that one look into memory is enough. The lowest bit of an identity says which.
    seen: HashTable<u64>,
    /// The lowest bit of the identities of the current generation.
    mark: u64,
    current: Generation,
    previous: Generation,
    /// Identities since the last checkpoint.
    fresh: Vec<u64>,
    /// Number of the chunk that the next checkpoint writes.
    chunk: u64,
    gone: Vec<u64>,
}

#[derive(Debug, Default)]
struct Generation {
    count: usize,
    began: Option<Time>,
    chunks: Vec<u64>,
}

/// At most this many identities are remembered per generation; at the bound it is closed early, so that a burst
/// shortens the memory instead of growing it.
const GENERATION_BOUND: usize = 4_000_000;

/// All but the bit of the generation.
const IDENTITY: u64 = !1;

/// Where an identity belongs in the table; the bit of the generation has no part in it.
fn place(identity: u64) -> u64 {
    (identity & IDENTITY).rotate_right(1)
}

impl Duplicates {
    pub fn new(retention: Span) -> Self {
        Self {
            retention,
            seen: HashTable::new(),
            mark: 0,
            current: Generation::default(),
            previous: Generation::default(),
            fresh: Vec::new(),
            chunk: 0,
            gone: Vec::new(),
        }
    }

    /// From here on events are remembered for this long.
    pub fn set_retention(&mut self, retention: Span) {
        self.retention = retention;
    }

    /// Remembers an event; true if it was seen before. `newest` is the newest event time of its shard.
    pub fn seen(&mut self, account: Symbol, id: Symbol, newest: Time) -> bool {
        let began = *self.current.began.get_or_insert(newest);
        if newest.since(began) >= self.retention || self.current.count >= GENERATION_BOUND {
            self.turn(newest);
        }
        let identity = account.with(id).0 & IDENTITY;
        let new = self.insert(identity | self.mark);
        if new {
            self.current.count += 1;
            self.fresh.push(identity);
        }
        !new
    }

    /// Puts an identity in unless it is there, in whichever generation.
    fn insert(&mut self, marked: u64) -> bool {
        let is_same = |other: &u64| (*other ^ marked) & IDENTITY == 0;
        match self.seen.entry(place(marked), is_same, |other| place(*other)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(marked);
                true
            }
        }
    }

    fn turn(&mut self, newest: Time) {
        let mark = self.mark;
        self.seen.retain(|identity| *identity & 1 == mark);
        self.mark ^= 1;
        std::mem::swap(&mut self.previous, &mut self.current);
        self.gone.append(&mut self.current.chunks);
        self.current.count = 0;
        self.current.began = Some(newest);
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub fn bytes(&self) -> usize {
        // A control byte beside each slot of the table.
        self.seen.capacity() * 9 * 8 / 7 + self.fresh.capacity() * 8
    }

    /// Hands out the identities since the last checkpoint as one record, and drops those of generations that ended.
    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for chunk in self.gone.drain(..) {
            sink(&chunk.to_be_bytes(), None);
        }
        if self.fresh.is_empty() {
            return;
        }
        let mut value = Vec::with_capacity(self.fresh.len() * 8 + 10);
        Writer(&mut value).time(self.current.began.unwrap_or_default());
        for identity in self.fresh.drain(..) {
            value.extend_from_slice(&identity.to_le_bytes());
        }
        sink(&self.chunk.to_be_bytes(), Some(&value));
        self.current.chunks.push(self.chunk);
        self.chunk += 1;
    }

    /// Puts back one record. Which generation it belonged to shows in the time at which that began.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let chunk = u64::from_be_bytes(key.try_into().map_err(|_| CorruptState)?);
        let mut reader = Reader(value);
        let began = reader.time()?;
        if self.current.began.is_some_and(|current| current < began) {
            std::mem::swap(&mut self.previous, &mut self.current);
            self.mark ^= 1;
        }
        let is_older = self.current.began.is_some_and(|current| current > began);
        let mark = if is_older { self.mark ^ 1 } else { self.mark };
        let mut count = 0;
        while !reader.0.is_empty() {
            let identity = u64::from_le_bytes(reader.bytes()?) & IDENTITY;
            count += usize::from(self.insert(identity | mark));
        }
        let generation = if is_older { &mut self.previous } else { &mut self.current };
        generation.began = Some(began);
        generation.chunks.push(chunk);
        generation.count += count;
        self.chunk = self.chunk.max(chunk + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn an_event_is_recognised_again_for_the_retention_and_forgotten_after_twice_that() {
        let mut duplicates = Duplicates::new(Span::from_secs(120));
        let (account, id) = (Symbol::of("a1"), Symbol::of("e1"));
        assert!(!duplicates.seen(account, id, at(0)));
        assert!(duplicates.seen(account, id, at(119)));
        assert!(duplicates.seen(account, id, at(239)), "the generation before is still looked at");
        assert!(!duplicates.seen(account, Symbol::of("e2"), at(240)));
        assert!(!duplicates.seen(account, id, at(360)), "beyond that a repetition is late anyway");
    }

    #[test]
    fn ids_are_unique_only_within_an_account() {
        let mut duplicates = Duplicates::new(Span::from_secs(120));
        assert!(!duplicates.seen(Symbol::of("a1"), Symbol::of("e1"), at(0)));
        assert!(!duplicates.seen(Symbol::of("a2"), Symbol::of("e1"), at(0)));
    }

    #[test]
    fn a_checkpoint_brings_back_both_generations_and_tombstones_follow_the_one_that_ended() {
        let mut store = std::collections::BTreeMap::new();
        let mut duplicates = Duplicates::new(Span::from_secs(120));
        let mut checkpoint = |duplicates: &mut Duplicates| {
            duplicates.drain_changes(&mut |key, value| match value {
                Some(value) => drop(store.insert(key.to_vec(), value.to_vec())),
                None => drop(store.remove(key)),
            });
            store.clone()
        };
        let mut stored = std::collections::BTreeMap::new();
        for second in (0..500).step_by(10) {
            duplicates.seen(Symbol::of("a"), Symbol::of(&second.to_string()), at(second));
            stored = checkpoint(&mut duplicates);
        }
        let mut restored = Duplicates::new(Span::from_secs(120));
        for (key, value) in &stored {
            restored.restore(key, value).unwrap();
        }
        assert_eq!(restored.len(), duplicates.len());
        assert!(stored.len() <= 25, "{} chunks are kept", stored.len());
        for second in (0..500).step_by(10) {
            let id = Symbol::of(&second.to_string());
            assert_eq!(
                restored.seen(Symbol::of("a"), id, at(500)),
                duplicates.seen(Symbol::of("a"), id, at(500)),
                "event at {second}"
            );
        }
    }
}
