//! What is kept of one subject: the events that may have a part in a match, in the order of their time.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::condition::steps::Value;
use crate::core::rule::table::State;
use crate::core::time::{Span, Time};

/// Events that are kept of one subject. Above it the oldest goes; counted.
pub const MOST_ENTRIES: usize = 96;
/// And so many bytes of them, where steps compare values or time alone may complete a match.
const MOST_BYTES: usize = 1_700;
/// A time told from the one before, half a hash, the answers and how many values.
const ENTRY_BYTES: usize = 10;
const VALUE_BYTES: usize = 9;

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
    /// Encoded, where a match may be completed by time alone.
    pub facts: Option<Box<[u8]>>,
    /// It has begun a match that stands, and begins no further one.
    pub spent: bool,
}

impl Entry {
    fn order(&self) -> (Time, Symbol, u64) {
        (self.time, self.id, self.bits)
    }
}

/// The state of one subject, while it is looked at.
#[derive(Debug)]
pub struct Course {
    entries: Vec<Entry>,
    /// When matches were found that can still be withdrawn, in order.
    told: Vec<Time>,
    /// Matches from before this time were told long ago.
    floor: Time,
}

impl Default for Course {
    fn default() -> Self {
        Self { entries: Vec::new(), told: Vec::new(), floor: Time::MIN }
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
    pub fn insert(&mut self, mut entry: Entry) -> u64 {
        // Half of it tells events of one instant apart as well.
        entry.id = Symbol(entry.id.0 >> 32);
        let place = self.entries.partition_point(|other| other.order() < entry.order());
        self.entries.insert(place, entry);
        let mut given_up = 0;
        while self.entries.len() > MOST_ENTRIES || self.entries.len() > 1 && self.bytes() > MOST_BYTES {
            self.entries.remove(0);
            given_up += 1;
        }
        if given_up == 0 {
            return 0;
        }
        // What was told stays true although it can't be seen any more.
        if let Some(last) = self.told.last() {
            self.floor = self.floor.max(*last + Span::from_millis(1));
            self.told.clear();
        }
        given_up
    }

    /// About what its entries cost.
    fn bytes(&self) -> usize {
        let facts = |entry: &Entry| entry.facts.as_ref().map_or(0, |facts| facts.len() + 2);
        let of_entry = |entry: &Entry| ENTRY_BYTES + entry.values.len() * VALUE_BYTES + facts(entry);
        self.entries.iter().map(of_entry).sum()
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
}

/// A course as it is kept between events: in as few bytes as in a checkpoint, since a busy subject has many entries.
#[derive(Debug)]
pub struct Kept {
    bytes: Vec<u8>,
    /// What a match that time alone has completed is about.
    pub facts: Option<Box<Facts>>,
    /// The timer that is set; in no checkpoint.
    pub timer: Time,
}

impl Default for Kept {
    fn default() -> Self {
        Self { bytes: Vec::new(), facts: None, timer: Time::MAX }
    }
}

impl Kept {
    /// Reads it into room that is used again and again.
    pub fn open(&self, course: &mut Course) {
        // What cannot be read was refused when it was restored.
        if self.bytes.is_empty() || course.read(&mut Reader(&self.bytes)).is_err() {
            course.clear();
        }
    }

    pub fn close(&mut self, course: &Course, scratch: &mut Vec<u8>) {
        scratch.clear();
        course.write(&mut Writer(scratch));
        self.bytes.clear();
        if self.bytes.capacity() < scratch.len() {
            self.bytes.reserve_exact(scratch.len());
        }
        self.bytes.extend_from_slice(scratch);
    }

    /// The time and the answers of its first entry, where that has begun no match that stands and nothing was told that
    /// may still be withdrawn.
    pub fn resting(&self) -> Option<(Time, u64)> {
        let mut from = Reader(&self.bytes);
        from.time().ok()?;
        if from.count().ok()? > 0 || from.count().ok()? == 0 {
            return None;
        }
        let time = Time::from_millis(from.signed().ok()?);
        from.bytes::<4>().ok()?;
        let (bits, flags) = (from.unsigned().ok()?, from.unsigned().ok()?);
        (flags & 1 == 0).then_some((time, bits))
    }

    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

impl State for Kept {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Writer<'_>) {
        to.0.extend_from_slice(&self.bytes);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let bytes = from.0.to_vec();
        Course::default().read(from)?;
        Ok(Self { bytes, ..Self::default() })
    }

    fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.facts.as_ref().map_or(0, |facts| size_of_val(&**facts))
    }
}

impl Course {
    fn clear(&mut self) {
        self.entries.clear();
        self.told.clear();
        self.floor = Time::MIN;
    }

    fn write(&self, to: &mut Writer<'_>) {
        to.time(self.floor);
        to.unsigned(self.told.len() as u64);
        for time in &self.told {
            to.time(*time);
        }
        to.unsigned(self.entries.len() as u64);
        let mut before = Time::from_millis(0);
        for entry in &self.entries {
            to.signed(entry.time.as_millis().wrapping_sub(before.as_millis()));
            before = entry.time;
            to.0.extend_from_slice(&(entry.id.0 as u32).to_le_bytes());
            to.unsigned(entry.bits);
            to.unsigned(
                (entry.values.len() as u64) << 2
                    | u64::from(entry.facts.is_some()) << 1
                    | u64::from(entry.spent),
            );
            for value in &entry.values {
                encode_value(*value, to);
            }
            if let Some(facts) = entry.facts.as_deref() {
                to.slice(facts);
            }
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<(), CorruptState> {
        self.clear();
        self.floor = from.time()?;
        for _ in 0..from.count()? {
            self.told.push(from.time()?);
        }
        let mut before = 0_i64;
        for _ in 0..from.count()? {
            before = before.wrapping_add(from.signed()?);
            let time = Time::from_millis(before);
            let id = Symbol(u64::from(u32::from_le_bytes(from.bytes()?)));
            let (bits, flags) = (from.unsigned()?, from.unsigned()?);
            let values = (0..flags >> 2).map(|_| decode_value(from)).collect::<Result<_, _>>()?;
            let facts = if flags & 2 != 0 { Some(from.slice()?.into()) } else { None };
            self.entries.push(Entry { time, id, bits, values, facts, spent: flags & 1 != 0 });
        }
        Ok(())
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
            to.decimal(number);
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
        2 => Value::Number(from.decimal()?),
        3 => Value::Moment(from.time()?),
        _ => return Err(CorruptState),
    })
}
