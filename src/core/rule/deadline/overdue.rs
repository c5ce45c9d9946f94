//! What was missed and has not ended, or has ended so lately that an event out of order may still change it.

use std::collections::BTreeMap;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, State, Table};
use crate::core::time::{Span, Time};

use super::pending::Pending;

/// Missed starts that a shard remembers. One more is still found, but nothing can withdraw or resolve it; it is counted.
const MOST: usize = 1 << 16;
/// After this time an end is not awaited any more; this is counted.
const GIVEN_UP_AFTER: Span = Span::from_mins(7 * 24 * 60);

/// A missed start.
#[derive(Debug, Default)]
pub struct Overdue {
    pub start: Time,
    pub subject: Symbol,
    /// The earliest end at or after the limit.
    pub ended: Option<Time>,
    facts: Box<[u8]>,
}

/// The missed starts of one subject.
#[derive(Debug)]
struct Missed {
    /// By start.
    keys: Vec<(Time, Symbol)>,
    /// How many of them have not ended.
    open: usize,
    /// What the messages name: the earliest of those that are open, else of all. A restart finds the same one.
    facts: Option<Facts>,
    facts_of: Symbol,
}

#[derive(Debug, Default)]
pub struct OverdueSet {
    keys: Table<Overdue>,
    subjects: BTreeMap<Symbol, Missed>,
    given_up: u64,
}

/// What a change leaves of a subject's trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Another key of the subject was missed at the same instant.
    pub same_instant: bool,
    /// When the last of the missed keys has ended, if all have.
    pub all_ended: Option<Time>,
}

impl OverdueSet {
    pub fn get(&self, key: Symbol) -> Option<&Overdue> {
        self.keys.get(key)
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    pub fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.subjects.get(&subject)?.facts.as_ref()
    }

    /// Whether nothing is awaited any more of what was missed at `limit`.
    pub fn is_given_up(limit: Time, time: Time) -> bool {
        time > limit + GIVEN_UP_AFTER
    }

    /// Remembers a missed start, in place of the one that the key may have.
    pub fn put(&mut self, key: Symbol, pending: Pending) -> Left {
        if self.keys.get(key).is_some() {
            self.remove(key);
        } else if self.keys.len() >= MOST {
            self.given_up += 1;
            return self.left(pending.subject, pending.start);
        }
        let ended = Some(pending.ended).filter(|ended| *ended < Time::MAX);
        let (start, subject) = (pending.start, pending.subject);
        let (slot, _) = self.keys.find_or_insert(key);
        if let Some(place) = self.keys.change(slot) {
            *place = Overdue { start, subject, ended, facts: pending.facts };
        }
        self.enter(key, slot);
        self.name(subject);
        self.left(subject, start)
    }

    fn name(&mut self, subject: Symbol) {
        let Self { keys, subjects, .. } = self;
        let Some(missed) = subjects.get_mut(&subject) else { return };
        let is_open = |key: &Symbol| keys.get(*key).is_some_and(|overdue| overdue.ended.is_none());
        let mut known = missed.keys.iter().map(|(_, key)| *key);
        let first = known.clone().next();
        let Some(named) = known.find(is_open).or(first).filter(|named| *named != missed.facts_of) else {
            return;
        };
        if let Some(overdue) = keys.get(named) {
            missed.facts = Facts::decode(&mut Reader(&overdue.facts)).ok();
            missed.facts_of = named;
        }
    }

    /// Forgets a missed start that proves untrue.
    pub fn remove(&mut self, key: Symbol) -> Option<Left> {
        let overdue = self.keys.remove(key)?;
        leave(&mut self.subjects, key, &overdue);
        Some(self.left(overdue.subject, overdue.start))
    }

    /// Notes an end at or after the limit. Returns what is left if it is the first.
    pub fn note_end(&mut self, key: Symbol, time: Time) -> Option<Left> {
        let overdue = self.keys.get_mut(key)?;
        let first = overdue.ended.is_none();
        overdue.ended = Some(overdue.ended.map_or(time, |ended| ended.min(time)));
        let (subject, start) = (overdue.subject, overdue.start);
        if !first {
            return None;
        }
        if let Some(missed) = self.subjects.get_mut(&subject) {
            missed.open = missed.open.saturating_sub(1);
        }
        Some(self.left(subject, start))
    }

    /// Forgets a few of those that no event can change any more, and gives up those that nobody ends.
    pub fn sweep(&mut self, within: Span, lateness: Span, settled: Time) {
        let Self { keys, subjects, given_up } = self;
        keys.sweep(SWEPT_AT_LEAST, |key, overdue| {
            let over = match overdue.ended {
                // While others of the subject are open it is still wanted: it resolves when they turn out untrue.
                Some(ended) => {
                    let open = subjects.get(&overdue.subject).is_some_and(|missed| missed.open > 0);
                    !open && ended.max(overdue.start + within) + lateness < settled
                }
                None => Self::is_given_up(overdue.start + within, settled),
            };
            if !over {
                return Keep::Unchanged;
            }
            *given_up += u64::from(overdue.ended.is_none());
            leave(subjects, key, overdue);
            Keep::Forget
        });
    }

    pub fn bytes(&self) -> usize {
        // A subject's facts take a few hundred bytes.
        self.keys.bytes() + self.subjects.len() * (size_of::<(Symbol, Missed)>() * 3 / 2 + 512)
    }

    pub fn drain_changes(&mut self, tag: u8, sink: Sink<'_>) {
        self.keys.drain_changes(tag, sink);
    }

    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let slot = self.keys.restore(key, value)?;
        self.enter(self.keys.key_at(slot), slot);
        Ok(())
    }

    /// Counts a key among those of its subject.
    fn enter(&mut self, key: Symbol, slot: u32) {
        let Some(overdue) = self.keys.at(slot) else { return };
        let empty = Missed { keys: Vec::new(), open: 0, facts: None, facts_of: Symbol::MISSING };
        let missed = self.subjects.entry(overdue.subject).or_insert(empty);
        missed.open += usize::from(overdue.ended.is_none());
        missed.keys.push((overdue.start, key));
        missed.keys.sort_unstable();
    }

    fn left(&self, subject: Symbol, start: Time) -> Left {
        let Some(missed) = self.subjects.get(&subject) else {
            return Left { same_instant: false, all_ended: None };
        };
        let ends = missed.keys.iter().filter_map(|(_, key)| self.keys.get(*key)?.ended);
        Left {
            same_instant: missed.keys.iter().any(|(other, _)| *other == start),
            all_ended: ends.max().filter(|_| missed.open == 0),
        }
    }
}

/// Takes a key from those of its subject.
fn leave(subjects: &mut BTreeMap<Symbol, Missed>, key: Symbol, overdue: &Overdue) {
    let Some(missed) = subjects.get_mut(&overdue.subject) else { return };
    missed.keys.retain(|(_, other)| *other != key);
    if missed.facts_of == key {
        missed.facts_of = Symbol::MISSING;
    }
    missed.open = missed.open.saturating_sub(usize::from(overdue.ended.is_none()));
    if missed.keys.is_empty() {
        subjects.remove(&overdue.subject);
    }
}

impl State for Overdue {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.start);
        to.symbol(self.subject);
        to.option(self.ended, Writer::time);
        to.0.extend_from_slice(&self.facts);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let start = from.time()?;
        let subject = from.symbol()?;
        let ended = from.option(Reader::time)?;
        let facts = std::mem::take(&mut from.0).into();
        Ok(Self { start, subject, ended, facts })
    }

    fn heap_bytes(&self) -> usize {
        self.facts.len()
    }
}
