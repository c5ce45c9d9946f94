//! What becomes of samples above the bound: buckets a part of the window wide, and running totals over those that a
//! window holds, so that judging costs the same however many events there are.

use std::collections::BTreeMap;
use std::ops::Range;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::stats::sketch::{Sketch, bin_of};
use crate::core::time::Time;

use super::MOST_VALUES;
use super::agg::{Keeps, plus};
pub use super::packed::Bucket;
use super::packed::FURTHEST;
use super::series::{OPEN, Sample, Shape};
use super::totals::{More, Told, Totals};

/// Buckets beyond those that the rule looks back on, for events out of order.
const SPARE: usize = 8;

#[derive(Debug, Default)]
pub struct Coarse {
    /// The number from which those of the buckets are counted.
    base: i64,
    buckets: Vec<Bucket>,
    /// Of each bucket, how many samples have not ended; the squares; a sketch or the values: nothing where no rule asks.
    open: Vec<u32>,
    squares: Vec<f64>,
    more: Vec<Option<Box<More>>>,
    /// The latest sample among them.
    pub newest: Time,
    /// For the window and for the one before it; made anew after a restart.
    totals: [Totals; 2],
}

impl Coarse {
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The numbers of the buckets, in order.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = i64> + '_ {
        self.buckets.iter().map(|bucket| self.base + bucket.offset())
    }

    pub fn number(&self, place: usize) -> Option<i64> {
        self.buckets.get(place).map(|bucket| self.base + bucket.offset())
    }

    /// How many buckets have a number below this one.
    pub fn before(&self, number: i64) -> usize {
        self.buckets.partition_point(|bucket| self.base + bucket.offset() < number)
    }

    pub fn slice(&self, range: Range<usize>) -> &[Bucket] {
        self.buckets.get(range).unwrap_or_default()
    }

    /// Where among these buckets something is open, and how much of it.
    pub fn open(&self, range: Range<usize>) -> impl Iterator<Item = (i64, u32)> + '_ {
        let counts = self.open.iter().copied().enumerate().skip(range.start).take(range.len());
        counts.filter(|(_, open)| *open > 0).filter_map(|(place, open)| Some((self.number(place)?, open)))
    }

    /// How many values of the buckets from a place on lie above a bin.
    pub fn above(&self, place: usize, bin: i32) -> u64 {
        let sketches = self.more.iter().skip(place).flatten().filter_map(|more| match &**more {
            More::Sketch(sketch) => Some(sketch),
            More::Values(_) => None,
        });
        let above = sketches.flat_map(Sketch::bins).filter(|(other, _)| *other > bin);
        above.map(|(_, count)| u64::from(count)).sum()
    }

    /// The values of the buckets that have one.
    pub fn values(&self, shape: &Shape, range: Range<usize>) -> impl Iterator<Item = Decimal> + '_ {
        let placed = matches!(shape.agg.keeps(), Keeps::First | Keeps::Last);
        let open = |place: usize| self.open.get(place).copied().unwrap_or(0);
        let buckets = self.buckets.iter().enumerate().skip(range.start).take(range.len());
        let closed = buckets.filter(move |(place, bucket)| bucket.count() > open(*place));
        closed.map(move |(_, bucket)| if placed { bucket.placed().1 } else { bucket.value() })
    }

    /// The sum of the squares; added up anew each time, since fractions that are added and taken away do not cancel out.
    pub fn squares(&self, range: Range<usize>) -> f64 {
        self.squares.get(range).unwrap_or_default().iter().sum()
    }

    /// Puts a sample into its bucket. Returns how many values were given up at a bound.
    pub fn add(&mut self, shape: &Shape, sample: Sample) -> u64 {
        let number = shape.bucket_of(sample.time);
        let mut place = self.before(number);
        if self.number(place) != Some(number) {
            if place < self.buckets.len() {
                self.forget_totals();
            }
            self.make_room(shape, number);
            place = self.before(number);
            if self.number(place) != Some(number) {
                self.insert(place, number);
            }
        }
        let values: usize = match shape.agg.keeps() {
            Keeps::Values => self.more.iter().flatten().map(|more| more.values()).sum(),
            _ => 0,
        };
        let told = self.put(shape, place, sample, values < MOST_VALUES);
        let at = place as u32;
        for totals in self.totals.iter_mut().filter(|totals| totals.range.contains(&at)) {
            totals.gain(shape, sample, told);
        }
        u64::from(told == Told::Not)
    }

    /// Sees to it that one more bucket, of this number, finds its place.
    fn make_room(&mut self, shape: &Shape, number: i64) {
        if self.buckets.is_empty() {
            self.base = number;
        } else if number < self.base {
            let by = self.base - number;
            self.base = number;
            self.buckets.iter_mut().for_each(|bucket| *bucket = bucket.moved(by));
        } else if number - self.base > FURTHEST / 2 {
            // What lies so far back concerns no window any more; and what is left is counted from nearer by.
            let gone = self.before(number - FURTHEST / 2);
            self.drop_front(gone);
            let by = self.number(0).unwrap_or(number).min(number) - self.base;
            self.base += by;
            self.buckets.iter_mut().for_each(|bucket| *bucket = bucket.moved(-by));
        }
        let most = shape.most() + SPARE;
        if self.buckets.len() < most {
            return;
        }
        let newest = self.numbers().next_back().unwrap_or(number).max(number);
        self.join(shape, newest - shape.window_buckets());
        if self.buckets.len() >= most {
            self.drop_front(self.buckets.len() + 1 - most);
        }
    }

    fn insert(&mut self, place: usize, number: i64) {
        make_room(&mut self.buckets);
        self.buckets.insert(place, Bucket::new(number - self.base));
        open_up(&mut self.open, place);
        open_up(&mut self.squares, place);
        open_up(&mut self.more, place);
    }

    /// `room`: whether one more value can be told apart.
    fn put(&mut self, shape: &Shape, place: usize, sample: Sample, room: bool) -> Told {
        let open = self.open.get(place).copied().unwrap_or(0);
        let length = self.buckets.len();
        let Some(bucket) = self.buckets.get_mut(place) else { return Told::Apart };
        let first = bucket.count() == open;
        bucket.set_count(bucket.count().saturating_add(1));
        if sample.value == OPEN {
            if let Some(open) = column(&mut self.open, length).get_mut(place) {
                *open += 1;
            }
            return Told::Apart;
        }
        let value = sample.value;
        match shape.agg.keeps() {
            Keeps::Nothing => {}
            Keeps::Sum => {
                bucket.set_value(plus(bucket.value(), value));
                if shape.agg.needs_squares()
                    && let Some(squares) = column(&mut self.squares, length).get_mut(place)
                {
                    let value = value.to_f64().unwrap_or(0.0);
                    *squares += value * value;
                }
            }
            Keeps::Lowest if first || value < bucket.value() => bucket.set_value(value),
            Keeps::Highest if first || value > bucket.value() => bucket.set_value(value),
            Keeps::Lowest | Keeps::Highest => {}
            Keeps::First | Keeps::Last => {
                let new = (shape.place_of(sample.time), value);
                let wanted = if shape.agg.keeps() == Keeps::First {
                    new < bucket.placed()
                } else {
                    new > bucket.placed()
                };
                if first || wanted {
                    bucket.set_placed(new.0, value);
                }
            }
            Keeps::Sketch | Keeps::Values => {
                let Some(more) = column(&mut self.more, length).get_mut(place) else { return Told::Not };
                let more = more.get_or_insert_with(|| Box::new(More::new(shape.agg.keeps())));
                return more.add(value, room);
            }
        }
        Told::Apart
    }

    /// Takes a sample out of its bucket, as far as the bucket tells it apart. Returns whether the bucket is there.
    pub fn take(&mut self, shape: &Shape, sample: Sample) -> bool {
        let number = shape.bucket_of(sample.time);
        let place = self.before(number);
        if self.number(place) != Some(number) {
            return false;
        }
        let Some(bucket) = self.buckets.get_mut(place) else { return false };
        bucket.set_count(bucket.count().saturating_sub(1));
        let bin = if sample.value == OPEN {
            if let Some(open) = self.open.get_mut(place) {
                *open = open.saturating_sub(1);
            }
            None
        } else {
            match (shape.agg.keeps(), self.more.get_mut(place).and_then(Option::as_deref_mut)) {
                (Keeps::Sum, _) => {
                    bucket.set_value(plus(bucket.value(), -sample.value));
                    None
                }
                (Keeps::Sketch, Some(More::Sketch(sketch))) => sketch.remove(bin_of(sample.value)),
                _ => None,
            }
        };
        let at = place as u32;
        for totals in self.totals.iter_mut().filter(|totals| totals.range.contains(&at)) {
            totals.lose(sample, bin);
        }
        true
    }

    /// Joins buckets below this number that are in one stretch of the window of reference.
    pub fn join(&mut self, shape: &Shape, below: i64) {
        let end = self.before(below);
        if shape.joined <= 1 || end < 2 {
            return;
        }
        let group =
            |coarse: &Self, place: usize| coarse.number(place).map(|number| number.div_euclid(shape.joined));
        let mut place = 1;
        let mut joined = false;
        for _ in 1..end {
            if group(self, place - 1) == group(self, place) {
                self.join_with_next(shape, place - 1);
                joined = true;
            } else {
                place += 1;
            }
        }
        if joined {
            self.forget_totals();
        }
    }

    /// All of the next bucket counts in this one.
    fn join_with_next(&mut self, shape: &Shape, place: usize) {
        let (open, next_open) = (self.open.get(place).copied(), self.open.get(place + 1).copied());
        let (Some(own), Some(next)) =
            (self.buckets.get(place).copied(), self.buckets.get(place + 1).copied())
        else {
            return;
        };
        let (empty, next_empty) = (own.count() == open.unwrap_or(0), next.count() == next_open.unwrap_or(0));
        let mut sum = own;
        let value = match shape.agg.keeps() {
            _ if next_empty => None,
            Keeps::Sum => Some(plus(own.value(), next.value())),
            _ if empty => Some(next.value()),
            Keeps::Lowest => Some(own.value().min(next.value())),
            Keeps::Highest => Some(own.value().max(next.value())),
            Keeps::Last | Keeps::First | Keeps::Nothing | Keeps::Sketch | Keeps::Values => None,
        };
        match (shape.agg.keeps(), value) {
            (Keeps::First | Keeps::Last, _) => {
                // Of two stretches the later one's last value is the last, the earlier one's first the first.
                if !next_empty && (empty || shape.agg.keeps() == Keeps::Last) {
                    let (at, value) = next.placed();
                    sum.set_placed(at, value);
                }
            }
            (_, Some(value)) => sum.set_value(value),
            (_, None) => {}
        }
        sum.set_count(own.count().saturating_add(next.count()));
        if let Some(place) = self.buckets.get_mut(place) {
            *place = sum;
        }
        self.buckets.remove(place + 1);
        if let (Some(own), Some(next)) = (open, next_open) {
            self.open.remove(place + 1);
            if let Some(place) = self.open.get_mut(place) {
                *place = own + next;
            }
        }
        if place + 1 < self.squares.len() {
            let next = self.squares.remove(place + 1);
            if let Some(own) = self.squares.get_mut(place) {
                *own += next;
            }
        }
        if place + 1 < self.more.len() {
            let next = self.more.remove(place + 1);
            match (self.more.get_mut(place), next) {
                (Some(Some(own)), Some(next)) => own.merge(&next),
                (Some(own @ None), next) => *own = next,
                _ => {}
            }
        }
    }

    pub fn drop_front(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let gone = count as u32;
        for totals in &mut self.totals {
            if totals.range.start < gone {
                totals.clear();
            } else {
                totals.range = totals.range.start - gone..totals.range.end - gone;
            }
        }
        self.buckets.drain(..count.min(self.buckets.len()));
        self.open.drain(..count.min(self.open.len()));
        self.squares.drain(..count.min(self.squares.len()));
        self.more.drain(..count.min(self.more.len()));
    }

    fn forget_totals(&mut self) {
        self.totals.iter_mut().for_each(Totals::clear);
    }

    /// The totals of a range of buckets; `which` of the two, so that each follows its window.
    pub fn totals(&mut self, which: usize, shape: &Shape, range: Range<usize>) -> Option<&Totals> {
        let Self { buckets, more, totals, .. } = self;
        let totals = totals.get_mut(which)?;
        totals.cover(shape, buckets, more, range);
        Some(totals)
    }

    pub fn heap_bytes(&self) -> usize {
        let more = self.more.iter().flatten().map(|more| more.bytes()).sum::<usize>();
        let totals = self.totals.iter().map(Totals::heap_bytes);
        size_of::<Self>()
            + self.buckets.capacity() * size_of::<Bucket>()
            + self.open.capacity() * size_of::<u32>()
            + self.squares.capacity() * size_of::<f64>()
            + self.more.capacity() * size_of::<Option<Box<More>>>()
            + more
            + totals.sum::<usize>()
    }

    pub fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.newest);
        to.unsigned(self.buckets.len() as u64);
        for (place, (number, bucket)) in self.numbers().zip(&self.buckets).enumerate() {
            to.signed(number);
            let (head, low) = bucket.parts();
            to.0.extend_from_slice(&head.to_le_bytes());
            to.0.extend_from_slice(&low.to_le_bytes());
            to.unsigned(u64::from(self.open.get(place).copied().unwrap_or(0)));
            match (self.more.get(place).and_then(Option::as_deref), self.squares.get(place)) {
                (Some(More::Sketch(sketch)), _) => {
                    to.byte(3);
                    sketch.encode(to);
                }
                (Some(More::Values(values)), _) => {
                    to.byte(4);
                    to.unsigned(values.len() as u64);
                    for (value, count) in values {
                        to.decimal(*value);
                        to.unsigned(u64::from(*count));
                    }
                }
                (None, Some(squares)) => {
                    to.byte(2);
                    to.float(*squares);
                }
                (None, None) => to.byte(0),
            }
        }
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut coarse = Self { newest: from.time()?, ..Self::default() };
        let length = from.count()?;
        coarse.buckets.reserve_exact(length);
        for place in 0..length {
            let number = from.signed()?;
            if place == 0 {
                coarse.base = number;
            }
            let offset = number.checked_sub(coarse.base).filter(|offset| (0..=FURTHEST).contains(offset));
            let parts = (u64::from_le_bytes(from.bytes()?), u64::from_le_bytes(from.bytes()?));
            let bucket = Bucket::from_parts(offset.ok_or(CorruptState)?, parts);
            let open = from.unsigned32()?;
            if open > 0
                && let Some(place) = column(&mut coarse.open, length).get_mut(place)
            {
                *place = open;
            }
            let more = match from.byte()? {
                0 => None,
                2 => {
                    let squares = from.float()?;
                    if let Some(place) = column(&mut coarse.squares, length).get_mut(place) {
                        *place = squares;
                    }
                    None
                }
                3 => Some(More::Sketch(Sketch::decode(from)?)),
                4 => {
                    let mut values = BTreeMap::new();
                    for _ in 0..from.count()? {
                        let value = from.decimal()?;
                        values.insert(value, from.unsigned32()?);
                    }
                    Some(More::Values(values))
                }
                _ => return Err(CorruptState),
            };
            if let Some(more) = more
                && let Some(place) = column(&mut coarse.more, length).get_mut(place)
            {
                *place = Some(Box::new(more));
            }
            coarse.buckets.push(bucket);
        }
        Ok(coarse)
    }
}

/// Room for a few more, exactly: busy subjects must not take up a power of two.
fn make_room<T>(column: &mut Vec<T>) {
    if column.len() == column.capacity() {
        column.reserve_exact(4);
    }
}

/// One more entry in a column, if anything in it was asked for yet.
fn open_up<T: Default>(column: &mut Vec<T>, place: usize) {
    if column.len() >= place && !column.is_empty() {
        make_room(column);
        column.insert(place, T::default());
    }
}

/// A column that has as many entries as there are buckets, from the first on that is asked for.
fn column<T: Default>(column: &mut Vec<T>, length: usize) -> &mut Vec<T> {
    if column.len() < length {
        column.reserve_exact(length - column.len() + 4);
        column.resize_with(length, T::default);
    }
    column
}
