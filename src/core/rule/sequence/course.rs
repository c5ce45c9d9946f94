//! What is kept of one subject: the events that may have a part in a match, in the order of their time.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::condition::steps::Value;
use crate::core::rule::table::State;
use crate::core::time::{Span, Time};

use rust_decimal::Decimal;

/// Events that are kept of one subject. Above it the oldest goes; counted.
pub const MOST_ENTRIES: usize = 96;

/// An event, or a finding of another rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub time: Time,
    /// Tells events of one instant apart.
    pub id: Symbol,
    /// The answers to the questions of the steps.
    pub bits: u64,
    /// In the order of the fields that the steps compare.
    pub values: Box<[Value]>,
    /// Where a match may be completed by time alone.
    pub facts: Option<Box<Facts>>,
    /// It has begun a match that stands, and begins no further one.
    pub spent: bool,
}

impl Entry {
    fn order(&self) -> (Time, Symbol, u64) {
        (self.time, self.id, self.bits)
    }
}

/// The state of one subject.
#[derive(Debug)]
pub struct Course {
    entries: Vec<Entry>,
    /// When matches were found that can still be withdrawn, in order.
    told: Vec<Time>,
    /// Matches from before this time were told long ago.
    floor: Time,
    /// What a match that time alone has completed is about.
    pub facts: Option<Box<Facts>>,
    /// The timer that is set; in no checkpoint.
    pub timer: Time,
}

impl Default for Course {
    fn default() -> Self {
        Self { entries: Vec::new(), told: Vec::new(), floor: Time::MIN, facts: None, timer: Time::MAX }
    }
}

impl Course {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn told(&self) -> &[Time] {
        &self.told
    }

    pub fn floor(&self) -> Time {
        self.floor
    }

    /// The time up to which it was judged at least: what time alone has completed was told `grace` later.
    pub fn judged(&self, now: Time, grace: Span) -> Time {
        self.told.last().map_or(now, |last| now.max(*last + grace))
    }

    /// Puts an entry where it belongs. Returns how many were given up for want of room.
    pub fn insert(&mut self, entry: Entry) -> u64 {
        let place = self.entries.partition_point(|other| other.order() < entry.order());
        self.entries.insert(place, entry);
        if self.entries.len() <= MOST_ENTRIES {
            return 0;
        }
        self.entries.remove(0);
        // What was told stays true although it can't be seen any more.
        if let Some(last) = self.told.last() {
            self.floor = self.floor.max(*last + Span::from_millis(1));
            self.told.clear();
        }
        1
    }

    /// A finding has been withdrawn.
    pub fn remove(&mut self, time: Time, bits: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.time != time || entry.bits != bits);
        self.entries.len() < before
    }

    pub fn set_told(&mut self, told: Vec<Time>, floor: Time) {
        self.floor = self.floor.max(floor);
        self.told = told;
        self.told.retain(|time| *time >= self.floor);
    }

    pub fn spend(&mut self, place: usize) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.spent = true;
        }
    }

    /// Forgets the first entries.
    pub fn drop_front(&mut self, count: usize) {
        self.entries.drain(..count.min(self.entries.len()));
    }

    /// What differs when something was let go of.
    pub fn extent(&self) -> (usize, usize, usize) {
        let spent = self.entries.iter().filter(|entry| entry.spent).count();
        (self.entries.len(), self.told.len(), spent)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.told.is_empty()
    }

    pub fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }
}

impl State for Course {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.floor);
        to.unsigned(self.told.len() as u64);
        for time in &self.told {
            to.time(*time);
        }
        to.unsigned(self.entries.len() as u64);
        for entry in &self.entries {
            to.time(entry.time);
            to.symbol(entry.id);
            to.unsigned(entry.bits);
            to.bool(entry.spent);
            to.unsigned(entry.values.len() as u64);
            for value in &entry.values {
                encode_value(*value, to);
            }
            to.option(entry.facts.as_deref(), |to, facts| facts.encode(to));
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut course = Self { floor: from.time()?, ..Self::default() };
        for _ in 0..from.count()? {
            course.told.push(from.time()?);
        }
        for _ in 0..from.count()? {
            let (time, id, bits, spent) = (from.time()?, from.symbol()?, from.unsigned()?, from.bool()?);
            let values = (0..from.count()?).map(|_| decode_value(from)).collect::<Result<_, _>>()?;
            let facts = from.option(Facts::decode)?.map(Box::new);
            course.entries.push(Entry { time, id, bits, values, facts, spent });
        }
        Ok(course)
    }

    fn heap_bytes(&self) -> usize {
        let values: usize = self.entries.iter().map(|entry| entry.values.len()).sum();
        let facts = self.entries.iter().filter(|entry| entry.facts.is_some()).count();
        self.entries.capacity() * size_of::<Entry>()
            + values * size_of::<Value>()
            + facts * size_of::<Facts>()
            + self.told.capacity() * size_of::<Time>()
    }
}

fn encode_value(value: Value, to: &mut Writer<'_>) {
    match value {
        Value::Missing => to.byte(0),
        Value::Text(symbol) => {
            to.byte(1);
            to.symbol(symbol);
        }
        Value::Number(number) => {
            to.byte(2);
            to.0.extend_from_slice(&number.serialize());
        }
        Value::Moment(time) => {
            to.byte(3);
            to.time(time);
        }
    }
}

fn decode_value(from: &mut Reader<'_>) -> Result<Value, CorruptState> {
    Ok(match from.byte()? {
        0 => Value::Missing,
        1 => Value::Text(from.symbol()?),
        2 => Value::Number(Decimal::deserialize(from.bytes()?)),
        3 => Value::Moment(from.time()?),
        _ => return Err(CorruptState),
    })
}
