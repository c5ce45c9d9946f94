//! What is kept of one subject: of each field the last settled value, and all since then.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::table::{Small, State};
use crate::core::time::{Span, Time};

/// Fields that a rule may compare.
pub const MOST_FIELDS: usize = 8;
/// Values that are kept until they have settled: the room that a list of ours has after some growth. Above it the older
/// half is taken as settled; counted.
const MOST_SIGHTINGS: usize = 88;
const FLAGS: u32 = 4;
const FIELD: i64 = 0b1110;
const FOUND: i64 = 0b0001;

/// A value of a field at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Milliseconds, then the field, then whether a change was found at this instant.
    stamp: i64,
    /// The symbol of the value.
    pub value: u64,
}

impl Sighting {
    pub fn new(time: Time, field: usize, value: Symbol) -> Self {
        Self { stamp: time.as_millis() << FLAGS | (field as i64) << 1 & FIELD, value: value.0 }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.stamp >> FLAGS)
    }

    pub fn field(&self) -> usize {
        ((self.stamp & FIELD) >> 1) as usize
    }

    fn order(&self) -> (i64, u64) {
        (self.stamp & !FOUND, self.value)
    }
}

/// The state of one subject.
#[derive(Debug)]
pub struct Past {
    /// By time, field and value.
    sightings: Small<Sighting, 3>,
    /// What lies before has been given up, and is not judged any more.
    floor: Time,
}

impl Default for Past {
    fn default() -> Self {
        Self { sightings: Small::default(), floor: Time::MIN }
    }
}

impl Past {
    pub fn floor(&self) -> Time {
        self.floor
    }

    pub fn len(&self) -> usize {
        self.sightings.len()
    }

    pub fn newest(&self) -> Time {
        self.sightings.last().map_or(Time::MIN, Sighting::time)
    }

    /// Puts a sighting where it belongs. Returns how many were given up for want of room.
    pub fn insert(&mut self, sighting: Sighting) -> u64 {
        let mut given_up = 0;
        if self.sightings.len() >= MOST_SIGHTINGS {
            given_up = self.give_up();
        }
        let position = self.sightings.partition_point(|other| other.order() < sighting.order());
        if self.sightings.get(position).is_some_and(|other| other.order() == sighting.order()) {
            return given_up;
        }
        if self.sightings.len() >= MOST_SIGHTINGS {
            return given_up + 1;
        }
        self.sightings.insert(position, sighting);
        given_up
    }

    fn give_up(&mut self) -> u64 {
        let Some(middle) = self.sightings.get(self.sightings.len() / 2) else { return 0 };
        let (floor, before) = (middle.time(), self.sightings.len());
        self.keep_last_before(floor);
        let dropped = (before - self.sightings.len()) as u64;
        if dropped > 0 {
            self.floor = self.floor.max(floor);
        }
        dropped
    }

    /// Drops what no event can be compared with any more, since none can arrive before `settled`.
    pub fn settle(&mut self, settled: Time, window: Span) {
        let Some(first) = self.sightings.first() else { return };
        if first.time() <= settled - window {
            let gone = self.sightings.partition_point(|own| own.time() <= settled - window);
            self.sightings.drop_front(gone);
        }
        self.keep_last_before(settled);
    }

    /// Of what lies before a time, each field's last instant is enough.
    fn keep_last_before(&mut self, time: Time) {
        let past = self.sightings.partition_point(|own| own.time() < time);
        if past < 2 {
            return;
        }
        let mut last = [Time::MIN; MOST_FIELDS];
        for own in self.sightings.iter().take(past) {
            if let Some(last) = last.get_mut(own.field()) {
                *last = own.time();
            }
        }
        let is_last = |own: &Sighting| last.get(own.field()).is_some_and(|last| *last == own.time());
        if !self.sightings.iter().take(past).all(is_last) {
            self.sightings.retain(|own| own.time() >= time || is_last(own));
        }
    }

    /// The first position at or after a time.
    pub fn position(&self, time: Time) -> usize {
        self.sightings.partition_point(|own| own.time() < time)
    }

    /// The sightings of the instant that begins at a position.
    pub fn instant(&self, first: usize) -> &[Sighting] {
        let rest = self.sightings.get(first..).unwrap_or_default();
        let Some(time) = rest.first().map(Sighting::time) else { return &[] };
        let length = rest.iter().take_while(|own| own.time() == time).count();
        rest.get(..length).unwrap_or_default()
    }

    pub fn is_found(&self, first: usize) -> bool {
        self.instant(first).iter().any(|own| own.stamp & FOUND != 0)
    }

    pub fn set_found(&mut self, first: usize, found: bool) {
        let length = self.instant(first).len();
        for own in self.sightings.iter_mut().skip(first).take(length) {
            own.stamp = if found { own.stamp | FOUND } else { own.stamp & !FOUND };
        }
    }

    /// How many fields are not at this instant what they were last.
    pub fn changes(&self, first: usize, window: Span) -> usize {
        let fields = self.instant(first).chunk_by(|one, other| one.field() == other.field());
        fields.filter(|values| self.has_changed(first, values, window)).count()
    }

    fn has_changed(&self, first: usize, values: &[Sighting], window: Span) -> bool {
        let Some(own) = values.first() else { return false };
        if values.len() > 1 {
            return true;
        }
        let before = self.sightings.get(..first).unwrap_or_default();
        let Some(last) = before.iter().rposition(|other| other.field() == own.field()) else { return false };
        let Some(time) = before.get(last).map(Sighting::time) else { return false };
        if time <= own.time() - window {
            return false;
        }
        let known = before.iter().take(last + 1).rev().take_while(|other| other.time() == time);
        !known.filter(|other| other.field() == own.field()).any(|other| other.value == own.value)
    }

    pub fn shrink(&mut self) {
        self.sightings.shrink();
    }
}

impl State for Past {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.floor);
        to.unsigned(self.sightings.len() as u64);
        let mut before = 0;
        for own in self.sightings.iter() {
            to.signed(own.stamp.wrapping_sub(before));
            before = own.stamp;
            to.symbol(Symbol(own.value));
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut past = Self { floor: from.time()?, ..Self::default() };
        let mut stamp = 0_i64;
        for _ in 0..from.count()? {
            stamp = stamp.wrapping_add(from.signed()?);
            past.sightings.push(Sighting { stamp, value: from.symbol()?.0 });
        }
        Ok(past)
    }

    fn heap_bytes(&self) -> usize {
        self.sightings.heap_bytes()
    }
}
