//! What is kept of one subject: the values it has shown, and the events that an earlier one may still set in another
//! light.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::table::{Small, State};
use crate::core::time::{Span, Time};

use super::History;

/// Fields of which each must be new by itself.
pub const MOST_FIELDS: usize = 8;
/// Places that a rule may look back on.
pub const MOST_PLACES: usize = 64;
/// Values per field and subject. Above it the one not seen for longest is forgotten and would be new again; counted.
pub const MOST_VALUES: usize = 32;
/// Values of all fields of a subject together, so that a busy one does not cost more than in other kinds.
pub const MOST_TOGETHER: usize = 80;
/// Events that are kept until they have settled. Above it the oldest is taken as settled; counted.
const MOST_SIGHTINGS: usize = 24;
/// The value of a field that an event lacks.
const NOTHING: u64 = u64::MAX;
const FLAGS: u32 = 4;
const FIELD: i64 = 0b111;
const FOUND: i64 = 0b1000;

/// A value of a field at a time. Events of a rule with several fields are as many of these in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Milliseconds, then whether the event was found new, then the field.
    stamp: i64,
    pub value: u64,
}

impl Sighting {
    pub fn new(time: Time, field: usize, value: u64) -> Self {
        Self { stamp: time.as_millis() << FLAGS | field as i64 & FIELD, value }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.stamp >> FLAGS)
    }

    pub fn field(&self) -> usize {
        (self.stamp & FIELD) as usize
    }

    pub fn found(&self) -> bool {
        self.stamp & FOUND != 0
    }

    /// What stands for a field that the event lacks.
    pub fn nothing(time: Time, field: usize) -> Self {
        Self::new(time, field, NOTHING)
    }

    pub fn is_nothing(&self) -> bool {
        self.value == NOTHING
    }

    pub fn set_found(&mut self, found: bool) {
        self.stamp = if found { self.stamp | FOUND } else { self.stamp & !FOUND };
    }
}

/// How far back the events of a subject go without a pause of a whole window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    pub events: u32,
    first: Time,
    last: Time,
}

impl Past {
    const NONE: Self = Self { events: 0, first: Time::MAX, last: Time::MIN };

    fn add(&mut self, time: Time, window: Span) {
        self.at(time, window);
        self.events = self.events.saturating_add(1);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    /// What is left of it at a time.
    fn at(&mut self, time: Time, window: Span) {
        if self.last <= time - window {
            *self = Self::NONE;
        }
    }

    pub fn suffices(&self, needed: History, time: Time) -> bool {
        match needed {
            // To a stranger nothing is new.
            History::Events(count) => self.events >= count.max(1),
            History::Since(span) => self.events > 0 && self.first <= time - span,
        }
    }
}

/// The state of one subject.
#[derive(Debug)]
pub struct Known {
    /// The settled values, each with the time at which it was last seen; of each field in no order.
    values: Small<Sighting, 2>,
    /// The events since, by time.
    sightings: Small<Sighting, 2>,
    past: Past,
}

impl Default for Known {
    fn default() -> Self {
        Self { values: Small::default(), sightings: Small::default(), past: Past::NONE }
    }
}

/// Whether an event shows all that the rule looks at.
pub fn is_whole(event: &[Sighting]) -> bool {
    !event.iter().any(Sighting::is_nothing)
}

/// The bounds of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub window: Span,
    /// Sightings per event.
    pub fields: usize,
    /// Values per field.
    pub values: usize,
    /// A value too many is not forgotten by the rule's wish, but for want of room.
    pub counts: bool,
}

impl Known {
    /// Puts an event in, after those of its instant, and returns the position of its first sighting.
    pub fn insert(&mut self, sightings: &[Sighting], bounds: Bounds) -> (usize, u64) {
        let Some(time) = sightings.first().map(Sighting::time) else { return (0, 0) };
        let mut position = self.sightings.partition_point(|other| other.time() <= time);
        for (offset, sighting) in sightings.iter().enumerate() {
            self.sightings.insert(position + offset, *sighting);
        }
        let mut given_up = 0;
        if self.sightings.len() > MOST_SIGHTINGS.max(4 * bounds.fields) {
            given_up = 1 + self.take_as_settled(bounds.fields, bounds);
            position = position.saturating_sub(bounds.fields);
        }
        (position, given_up)
    }

    /// Takes events before which nothing can arrive any more into what is known. Returns how many values were given up.
    pub fn settle(&mut self, settled: Time, bounds: Bounds) -> u64 {
        let count = self.sightings.iter().take_while(|sighting| sighting.time() < settled).count();
        self.take_as_settled(count, bounds)
    }

    /// Forgets values that were not seen for a whole window. Returns whether there were any.
    pub fn forget(&mut self, settled: Time, window: Span) -> bool {
        let before = self.values.len();
        self.values.retain(|value| value.time() > settled - window);
        self.values.len() < before
    }

    fn take_as_settled(&mut self, count: usize, bounds: Bounds) -> u64 {
        let mut given_up = 0;
        for position in 0..count.min(self.sightings.len()) {
            let Some(mut sighting) = self.sightings.get(position).copied() else { break };
            sighting.set_found(false);
            let event = self.sightings.get(position..position + bounds.fields).unwrap_or_default();
            if position % bounds.fields == 0 && is_whole(event) {
                self.past.add(sighting.time(), bounds.window);
            }
            if sighting.is_nothing() {
                continue;
            }
            given_up += u64::from(self.learn(sighting, bounds.values) && bounds.counts);
        }
        self.sightings.drop_front(count);
        given_up
    }

    /// Returns whether another value had to go.
    fn learn(&mut self, sighting: Sighting, most: usize) -> bool {
        let same = |other: &&mut Sighting| other.value == sighting.value && other.field() == sighting.field();
        if let Some(known) = self.values.iter_mut().find(same) {
            known.stamp = known.stamp.max(sighting.stamp);
            return false;
        }
        self.values.push(sighting);
        let own = |other: &&Sighting| other.field() == sighting.field();
        if self.values.iter().filter(own).count() <= most {
            return false;
        }
        let oldest = self.values.iter().filter(own).map(|other| (other.stamp, other.value)).min();
        let position = self.values.iter().position(|other| Some((other.stamp, other.value)) == oldest);
        if let Some(position) = position {
            self.values.remove(position);
        }
        true
    }

    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    pub fn set_found(&mut self, position: usize, found: bool) {
        if let Some(sighting) = self.sightings.get_mut(position) {
            sighting.set_found(found);
        }
    }

    /// What was seen before a time, the settled values first; only what is still known then.
    pub fn before(&self, time: Time, window: Span) -> impl Iterator<Item = &Sighting> {
        let recent = self.sightings.iter().take_while(move |sighting| sighting.time() < time);
        let seen = self.values.iter().chain(recent);
        seen.filter(move |sighting| sighting.time() > time - window)
    }

    /// The history before a time.
    pub fn past(&self, time: Time, bounds: Bounds) -> Past {
        let mut past = self.past;
        let events = self.sightings.chunks(bounds.fields).filter(|event| is_whole(event));
        let events = events.filter_map(|event| event.first());
        for sighting in events.take_while(|sighting| sighting.time() < time) {
            past.add(sighting.time(), bounds.window);
        }
        past.at(time, bounds.window);
        past
    }

    pub fn newest(&self) -> Time {
        let seen = self.values.iter().chain(self.sightings.last()).map(Sighting::time);
        seen.fold(self.past.last, Time::max)
    }

    pub fn shrink(&mut self) {
        self.values.shrink();
        self.sightings.shrink();
    }
}

impl State for Known {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.unsigned(u64::from(self.past.events));
        to.time(self.past.first);
        to.time(self.past.last);
        for list in [&self.values, &self.sightings] {
            to.unsigned(list.len() as u64);
            for sighting in list.iter() {
                to.signed(sighting.stamp);
                to.symbol(Symbol(sighting.value));
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let past = Past { events: from.unsigned32()?, first: from.time()?, last: from.time()? };
        let mut known = Self { past, ..Self::default() };
        for list in [&mut known.values, &mut known.sightings] {
            for _ in 0..from.count()? {
                list.push(Sighting { stamp: from.signed()?, value: from.symbol()?.0 });
            }
        }
        Ok(known)
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes() + self.sightings.heap_bytes()
    }
}
