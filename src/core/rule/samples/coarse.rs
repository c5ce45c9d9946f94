//! What becomes of samples above the bound: buckets a sixty-fourth of the window wide, and running totals over those that
//! a window holds, so that judging costs the same however many events there are.

use std::collections::BTreeMap;
use std::ops::Range;

use rust_decimal::Decimal;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::stats::sketch::{Bins, Sketch, bin_of};
use crate::core::time::Time;

use super::MOST_VALUES;
use super::agg::{Keeps, plus, square};
use super::series::{OPEN, Sample, Shape};

/// Buckets beyond those that the rule looks back on, for events out of order.
const SPARE: usize = 16;

/// The samples of one stretch.
#[derive(Debug)]
pub struct Bucket {
    pub number: i64,
    pub count: u32,
    /// Of these, how many have not ended.
    pub open: u32,
    /// The sum, the lowest, the highest, the first or the last value, whichever the rule asks for.
    pub value: Decimal,
    pub more: Option<Box<More>>,
}

/// What only some aggregates need of a bucket.
#[derive(Debug)]
pub enum More {
    /// The time of the first or last value.
    At(Time),
    Squares(Decimal),
    Sketch(Sketch),
    Values(BTreeMap<Decimal, u32>),
}

/// What became of a value that a bucket was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Apart,
    /// It counts in this bin of a sketch.
    Bin(i32),
    /// The sketch has become coarser by it.
    Coarser,
    /// There is no room for it.
    Not,
}

#[derive(Debug, Default)]
pub struct Coarse {
    pub buckets: Vec<Bucket>,
    /// The latest sample among them.
    pub newest: Time,
    /// For the window and for the one before it; made anew after a restart.
    totals: [Totals; 2],
}

/// Buckets added up.
#[derive(Debug, Default)]
pub struct Totals {
    range: Range<usize>,
    pub count: u64,
    pub sum: Decimal,
    pub squares: Decimal,
    pub bins: Bins,
    pub values: BTreeMap<Decimal, u32>,
}

impl Coarse {
    /// Puts a sample into its bucket. Returns how many values were given up at a bound.
    pub fn add(&mut self, shape: &Shape, sample: Sample) -> u64 {
        let number = shape.bucket_of(sample.time);
        let place = self.buckets.partition_point(|bucket| bucket.number < number);
        if self.buckets.get(place).is_none_or(|bucket| bucket.number != number) {
            if place < self.buckets.len() {
                self.forget_totals();
            }
            if self.buckets.len() == self.buckets.capacity() {
                // Room for a few more, exactly: busy subjects must not take up a power of two.
                self.buckets.reserve_exact(8);
            }
            self.buckets.insert(place, Bucket::new(number));
            let most = (shape.reach.as_millis() / shape.width.as_millis()) as usize + SPARE;
            if self.buckets.len() > most {
                self.drop_front(1);
                return self.add(shape, sample);
            }
        }
        let values: usize = match shape.agg.keeps() {
            Keeps::Values => self.buckets.iter().map(Bucket::values).sum(),
            _ => 0,
        };
        let Some(bucket) = self.buckets.get_mut(place) else { return 0 };
        let told = bucket.add(shape, sample, values < MOST_VALUES);
        for totals in self.totals.iter_mut().filter(|totals| totals.range.contains(&place)) {
            totals.gain(shape, sample, told);
        }
        u64::from(told == Told::Not)
    }

    /// Takes a sample out of its bucket, as far as the bucket tells it apart. Returns whether the bucket is there.
    pub fn take(&mut self, shape: &Shape, sample: Sample) -> bool {
        let number = shape.bucket_of(sample.time);
        let place = self.buckets.partition_point(|bucket| bucket.number < number);
        let Some(bucket) = self.buckets.get_mut(place).filter(|bucket| bucket.number == number) else {
            return false;
        };
        bucket.count = bucket.count.saturating_sub(1);
        let bin = if sample.value == OPEN {
            bucket.open = bucket.open.saturating_sub(1);
            None
        } else {
            match (shape.agg.keeps(), bucket.more.as_deref_mut()) {
                (Keeps::Sketch, Some(More::Sketch(sketch))) => sketch.remove(bin_of(sample.value)),
                (Keeps::Sum, _) => {
                    bucket.value = plus(bucket.value, -sample.value);
                    None
                }
                _ => None,
            }
        };
        for totals in self.totals.iter_mut().filter(|totals| totals.range.contains(&place)) {
            totals.lose(sample, bin);
        }
        true
    }

    pub fn drop_front(&mut self, count: usize) {
        for totals in &mut self.totals {
            if totals.range.start < count {
                totals.clear();
            } else {
                totals.range = totals.range.start - count..totals.range.end - count;
            }
        }
        self.buckets.drain(..count.min(self.buckets.len()));
    }

    fn forget_totals(&mut self) {
        self.totals.iter_mut().for_each(Totals::clear);
    }

    /// The totals of a range of buckets; `which` of the two, so that each follows its window.
    pub fn totals(&mut self, which: usize, shape: &Shape, range: Range<usize>) -> Option<&Totals> {
        let totals = self.totals.get_mut(which)?;
        totals.cover(shape, &self.buckets, range);
        Some(totals)
    }

    pub fn heap_bytes(&self) -> usize {
        let more = self.buckets.iter().filter_map(|bucket| bucket.more.as_deref()).map(More::bytes);
        let totals = self.totals.iter().map(|totals| {
            totals.bins.heap_bytes() + totals.values.len() * size_of::<(Decimal, u32)>() * 3 / 2
        });
        size_of::<Self>()
            + self.buckets.capacity() * size_of::<Bucket>()
            + more.sum::<usize>()
            + totals.sum::<usize>()
    }
}

impl Totals {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn cover(&mut self, shape: &Shape, buckets: &[Bucket], range: Range<usize>) {
        let held = self.range.clone();
        let part = |from: usize, to: usize| buckets.get(from..to).unwrap_or_default();
        if held.start >= range.end || range.start >= held.end {
            self.clear();
            part(range.start, range.end).iter().for_each(|bucket| self.add(shape, bucket));
        } else {
            let new = part(range.start, held.start.max(range.start));
            let newer = part(held.end.min(range.end), range.end);
            new.iter().chain(newer).for_each(|bucket| self.add(shape, bucket));
            let old = part(held.start, range.start.max(held.start));
            let older = part(range.end.min(held.end), held.end);
            old.iter().chain(older).for_each(|bucket| self.take(shape, bucket));
        }
        self.range = range;
    }

    fn add(&mut self, shape: &Shape, bucket: &Bucket) {
        self.count += u64::from(bucket.count);
        if shape.agg.keeps() == Keeps::Sum {
            self.sum = plus(self.sum, bucket.value);
        }
        match bucket.more.as_deref() {
            Some(More::Squares(squares)) => self.squares = plus(self.squares, *squares),
            Some(More::Sketch(sketch)) => self.bins.add_all(sketch),
            Some(More::Values(values)) => {
                for (value, count) in values {
                    *self.values.entry(*value).or_default() += count;
                }
            }
            Some(More::At(_)) | None => {}
        }
    }

    fn take(&mut self, shape: &Shape, bucket: &Bucket) {
        self.count -= u64::from(bucket.count);
        if shape.agg.keeps() == Keeps::Sum {
            self.sum = plus(self.sum, -bucket.value);
        }
        match bucket.more.as_deref() {
            Some(More::Squares(squares)) => self.squares = plus(self.squares, -*squares),
            Some(More::Sketch(sketch)) => self.bins.take_all(sketch),
            Some(More::Values(values)) => {
                for (value, count) in values {
                    if let Some(held) = self.values.get_mut(value) {
                        *held = held.saturating_sub(*count);
                        if *held == 0 {
                            self.values.remove(value);
                        }
                    }
                }
            }
            Some(More::At(_)) | None => {}
        }
    }

    /// A sample has gone from one of the buckets, where it counted in this bin.
    fn lose(&mut self, sample: Sample, bin: Option<i32>) {
        match bin {
            Some(bin) => self.bins.take(bin, 1),
            None if sample.value == OPEN => {}
            None => return self.clear(),
        }
        self.count = self.count.saturating_sub(1);
    }

    /// A sample has come into one of the buckets.
    fn gain(&mut self, shape: &Shape, sample: Sample, told: Told) {
        self.count += 1;
        if sample.value == OPEN {
            return;
        }
        match shape.agg.keeps() {
            Keeps::Sum => {
                self.sum = plus(self.sum, sample.value);
                if shape.agg.needs_squares() {
                    self.squares = plus(self.squares, square(sample.value));
                }
            }
            Keeps::Sketch => match told {
                Told::Bin(bin) => self.bins.add(bin, 1),
                // What was there before counts elsewhere now: it is added up anew.
                Told::Apart | Told::Not | Told::Coarser => self.clear(),
            },
            Keeps::Values if told != Told::Not => *self.values.entry(sample.value).or_default() += 1,
            Keeps::Values | Keeps::Nothing | Keeps::Lowest | Keeps::Highest | Keeps::First | Keeps::Last => {}
        }
    }
}

impl Bucket {
    fn new(number: i64) -> Self {
        Self { number, count: 0, open: 0, value: Decimal::ZERO, more: None }
    }

    fn values(&self) -> usize {
        match self.more.as_deref() {
            Some(More::Values(values)) => values.len(),
            _ => 0,
        }
    }

    /// `room`: whether one more value can be told apart.
    fn add(&mut self, shape: &Shape, sample: Sample, room: bool) -> Told {
        let first = self.count == self.open;
        self.count = self.count.saturating_add(1);
        if sample.value == OPEN {
            self.open += 1;
            return Told::Apart;
        }
        let value = sample.value;
        let more = &mut self.more;
        match shape.agg.keeps() {
            Keeps::Nothing => {}
            Keeps::Sum => {
                self.value = plus(self.value, value);
                if shape.agg.needs_squares() {
                    match more.get_or_insert_with(|| Box::new(More::Squares(Decimal::ZERO))).as_mut() {
                        More::Squares(squares) => *squares = plus(*squares, square(value)),
                        More::At(_) | More::Sketch(_) | More::Values(_) => {}
                    }
                }
            }
            Keeps::Lowest => self.value = if first { value } else { self.value.min(value) },
            Keeps::Highest => self.value = if first { value } else { self.value.max(value) },
            Keeps::First | Keeps::Last => {
                let at = match more.as_deref() {
                    Some(More::At(at)) => Some((*at, self.value)),
                    _ => None,
                };
                let new = (sample.time, value);
                let wanted = if shape.agg.keeps() == Keeps::First {
                    at.is_none_or(|at| new < at)
                } else {
                    at.is_none_or(|at| new > at)
                };
                if wanted {
                    self.value = value;
                    self.more = Some(Box::new(More::At(sample.time)));
                }
            }
            Keeps::Sketch => {
                match more.get_or_insert_with(|| Box::new(More::Sketch(Sketch::default()))).as_mut() {
                    More::Sketch(sketch) => {
                        return sketch.add(bin_of(value)).map_or(Told::Coarser, Told::Bin);
                    }
                    More::At(_) | More::Squares(_) | More::Values(_) => {}
                }
            }
            Keeps::Values => {
                match more.get_or_insert_with(|| Box::new(More::Values(BTreeMap::new()))).as_mut() {
                    More::Values(values) if room || values.contains_key(&value) => {
                        *values.entry(value).or_default() += 1;
                    }
                    More::Values(_) => return Told::Not,
                    More::At(_) | More::Squares(_) | More::Sketch(_) => {}
                }
            }
        }
        Told::Apart
    }

    pub fn encode(&self, to: &mut Writer<'_>) {
        to.signed(self.number);
        to.unsigned(u64::from(self.count));
        to.unsigned(u64::from(self.open));
        to.0.extend_from_slice(&self.value.serialize());
        match self.more.as_deref() {
            None => to.byte(0),
            Some(More::At(time)) => {
                to.byte(1);
                to.time(*time);
            }
            Some(More::Squares(squares)) => {
                to.byte(2);
                to.0.extend_from_slice(&squares.serialize());
            }
            Some(More::Sketch(sketch)) => {
                to.byte(3);
                sketch.encode(to);
            }
            Some(More::Values(values)) => {
                to.byte(4);
                to.unsigned(values.len() as u64);
                for (value, count) in values {
                    to.0.extend_from_slice(&value.serialize());
                    to.unsigned(u64::from(*count));
                }
            }
        }
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut bucket = Self::new(from.signed()?);
        (bucket.count, bucket.open) = (from.unsigned32()?, from.unsigned32()?);
        bucket.value = Decimal::deserialize(from.bytes()?);
        let more = match from.byte()? {
            0 => return Ok(bucket),
            1 => More::At(from.time()?),
            2 => More::Squares(Decimal::deserialize(from.bytes()?)),
            3 => More::Sketch(Sketch::decode(from)?),
            4 => {
                let mut values = BTreeMap::new();
                for _ in 0..from.count()? {
                    let value = Decimal::deserialize(from.bytes()?);
                    values.insert(value, from.unsigned32()?);
                }
                More::Values(values)
            }
            _ => return Err(CorruptState),
        };
        bucket.more = Some(Box::new(more));
        Ok(bucket)
    }
}

impl More {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::At(_) | Self::Squares(_) => 0,
                Self::Sketch(sketch) => sketch.heap_bytes(),
                Self::Values(values) => values.len() * size_of::<(Decimal, u32)>() * 3 / 2,
            }
    }
}
