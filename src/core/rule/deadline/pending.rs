//! What has started and neither ended nor been missed yet: cheap to enter and to leave, since nearly all end soon,
//! and in order of time only where judgement is near.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, State, Table};
use crate::core::time::{Span, Time};

/// A start that waits for its end.
#[derive(Debug)]
pub struct Pending {
    pub start: Time,
    pub subject: Symbol,
    /// The earliest end at or after the limit, known before the limit was judged; [`Time::MAX`]: none.
    pub ended: Time,
    /// The encoded facts of the start.
    pub facts: Box<[u8]>,
    next: u32,
    previous: u32,
}

const NONE: u32 = u32::MAX;

impl Pending {
    pub fn new(start: Time, subject: Symbol, ended: Time, facts: Box<[u8]>) -> Self {
        Self { start, subject, ended, facts, next: NONE, previous: NONE }
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new(Time::MIN, Symbol::MISSING, Time::MAX, Box::default())
    }
}

/// Starts by key, and by time in buckets without order. The bucket whose turn has come is put in order.
#[derive(Debug)]
pub struct PendingSet {
    starts: Table<Pending>,
    /// Milliseconds per bucket.
    width: i64,
    /// The first slot of each bucket's list.
    buckets: BTreeMap<i64, u32>,
    /// Starts whose bucket lies before `ripe_before`.
    ripe: BTreeSet<(Time, Symbol)>,
    ripe_before: i64,
}

impl PendingSet {
    pub fn new(within: Span) -> Self {
        Self {
            starts: Table::default(),
            width: (within.as_millis() / 512).max(1),
            buckets: BTreeMap::new(),
            ripe: BTreeSet::new(),
            ripe_before: i64::MIN,
        }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn get(&self, key: Symbol) -> Option<&Pending> {
        self.starts.get(key)
    }

    /// Notes an end that came too late for a start which is not judged yet.
    pub fn note_end(&mut self, key: Symbol, time: Time) {
        if let Some(pending) = self.starts.get_mut(key) {
            pending.ended = pending.ended.min(time);
        }
    }

    /// Puts a start in, in place of the one that the key may have.
    pub fn put(&mut self, key: Symbol, pending: Pending) {
        let (slot, new) = self.starts.find_or_insert(key);
        if !new {
            self.unlink(slot);
        }
        if let Some(place) = self.starts.touch(slot) {
            *place = pending;
        }
        self.link(slot);
    }

    pub fn remove(&mut self, key: Symbol) -> Option<Pending> {
        let slot = self.starts.find(key)?;
        self.unlink(slot);
        self.starts.remove(key)
    }

    /// A time before which no start lies.
    pub fn earliest(&self) -> Option<Time> {
        let bucket = self.buckets.first_key_value().map(|(bucket, _)| Time::from_millis(bucket * self.width));
        let ripe = self.ripe.first().map(|(start, _)| *start);
        bucket.into_iter().chain(ripe).min()
    }

    /// Takes out the earliest start at or before a time.
    pub fn take_until(&mut self, time: Time) -> Option<(Symbol, Pending)> {
        while let Some((bucket, first)) =
            self.buckets.first_key_value().map(|(bucket, first)| (*bucket, *first))
            && bucket * self.width <= time.as_millis()
        {
            self.buckets.remove(&bucket);
            self.ripe_before = self.ripe_before.max(bucket + 1);
            let mut slot = first;
            while let Some(start) = self.starts.at(slot).map(|pending| pending.start) {
                self.ripe.insert((start, self.starts.key_at(slot)));
                slot = self.starts.at(slot).map_or(NONE, |pending| pending.next);
            }
        }
        let (start, key) = self.ripe.first().copied().filter(|(start, _)| *start <= time)?;
        self.ripe.remove(&(start, key));
        self.starts.remove(key).map(|pending| (key, pending))
    }

    /// Takes out the earliest start before a time.
    pub fn take_before(&mut self, time: Time) -> Option<(Symbol, Pending)> {
        self.take_until(time - Span::from_millis(1))
    }

    pub fn bytes(&self) -> usize {
        // A node of a B-tree is about two thirds full.
        let trees =
            self.buckets.len() * size_of::<(i64, u32)>() + self.ripe.len() * size_of::<(Time, Symbol)>();
        self.starts.bytes() + trees * 3 / 2
    }

    /// Measures a few of the states again; nothing is forgotten here.
    pub fn sweep(&mut self) {
        self.starts.sweep(SWEPT_AT_LEAST, |_, _| Keep::Unchanged);
    }

    pub fn drain_changes(&mut self, tag: u8, sink: Sink<'_>) {
        self.starts.drain_changes(tag, sink);
    }

    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let slot = self.starts.restore(key, value)?;
        self.link(slot);
        Ok(())
    }

    fn bucket_of(&self, start: Time) -> i64 {
        start.as_millis().div_euclid(self.width)
    }

    fn link(&mut self, slot: u32) {
        let Some(start) = self.starts.at(slot).map(|pending| pending.start) else { return };
        let bucket = self.bucket_of(start);
        if bucket < self.ripe_before {
            self.ripe.insert((start, self.starts.key_at(slot)));
            return;
        }
        let next = self.buckets.insert(bucket, slot).unwrap_or(NONE);
        if let Some(pending) = self.starts.touch(slot) {
            (pending.next, pending.previous) = (next, NONE);
        }
        if let Some(next) = self.starts.touch(next) {
            next.previous = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(pending) = self.starts.at(slot) else { return };
        let (start, next, previous) = (pending.start, pending.next, pending.previous);
        let bucket = self.bucket_of(start);
        if bucket < self.ripe_before {
            self.ripe.remove(&(start, self.starts.key_at(slot)));
            return;
        }
        if let Some(next) = self.starts.touch(next) {
            next.previous = previous;
        }
        match self.starts.touch(previous) {
            Some(before) => before.next = next,
            None if next == NONE => drop(self.buckets.remove(&bucket)),
            None => drop(self.buckets.insert(bucket, next)),
        }
    }
}

impl State for Pending {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.start);
        to.symbol(self.subject);
        to.option(Some(self.ended).filter(|ended| *ended < Time::MAX), Writer::time);
        to.0.extend_from_slice(&self.facts);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let start = from.time()?;
        let subject = from.symbol()?;
        let ended = from.option(Reader::time)?.unwrap_or(Time::MAX);
        // The rest are the facts, whatever they are.
        let facts = std::mem::take(&mut from.0).into();
        Ok(Self::new(start, subject, ended, facts))
    }

    fn heap_bytes(&self) -> usize {
        self.facts.len()
    }
}
