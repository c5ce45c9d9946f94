//! The buckets of a window added up, and what only some aggregates need of a bucket: a sketch, or the values themselves.

use std::collections::BTreeMap;
use std::ops::Range;

use rust_decimal::Decimal;

use crate::core::stats::sketch::{Bins, Sketch, bin_of};

use super::agg::{Keeps, plus};
use super::packed::Bucket;
use super::series::{OPEN, Sample, Shape};

/// What became of a value that a bucket was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Apart,
    /// It counts in this bin of a sketch.
    Bin(i32),
    /// The sketch has become coarser by it.
    Coarser,
    /// There is no room for it.
    Not,
}

/// What only some aggregates need of a bucket.
#[derive(Debug)]
pub enum More {
    Sketch(Sketch),
    Values(BTreeMap<Decimal, u32>),
}

/// Buckets added up.
#[derive(Debug, Default)]
pub struct Totals {
    /// Which buckets they are.
    pub range: Range<u32>,
    pub count: u64,
    pub sum: Decimal,
    more: Option<Box<TotalMore>>,
}

#[derive(Debug, Default)]
struct TotalMore {
    bins: Bins,
    values: BTreeMap<Decimal, u32>,
}

/// What a window's buckets hold of values that are told apart.
static NO_BINS: Bins = Bins::new();
static NO_VALUES: BTreeMap<Decimal, u32> = BTreeMap::new();

impl Totals {
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn bins(&self) -> &Bins {
        self.more.as_ref().map_or(&NO_BINS, |more| &more.bins)
    }

    pub fn values(&self) -> &BTreeMap<Decimal, u32> {
        self.more.as_ref().map_or(&NO_VALUES, |more| &more.values)
    }

    /// Moves on to a range of buckets.
    pub fn cover(
        &mut self,
        shape: &Shape,
        buckets: &[Bucket],
        more: &[Option<Box<More>>],
        range: Range<usize>,
    ) {
        let held = self.range.start as usize..self.range.end as usize;
        let both = |range: Range<usize>| {
            let more = range.clone().map(|place| more.get(place).and_then(Option::as_deref));
            buckets.get(range).unwrap_or_default().iter().zip(more)
        };
        if held.start >= range.end || range.start >= held.end {
            self.clear();
            both(range.clone()).for_each(|(bucket, more)| self.add(shape, *bucket, more));
        } else {
            let new = both(range.start..held.start.max(range.start));
            new.for_each(|(bucket, more)| self.add(shape, *bucket, more));
            let newer = both(held.end.min(range.end)..range.end);
            newer.for_each(|(bucket, more)| self.add(shape, *bucket, more));
            let old = both(held.start..range.start.max(held.start));
            old.for_each(|(bucket, more)| self.take(shape, *bucket, more));
            let older = both(range.end.min(held.end)..held.end);
            older.for_each(|(bucket, more)| self.take(shape, *bucket, more));
        }
        self.range = range.start as u32..range.end as u32;
    }

    fn add(&mut self, shape: &Shape, bucket: Bucket, more: Option<&More>) {
        self.count += u64::from(bucket.count());
        if shape.agg.keeps() == Keeps::Sum {
            self.sum = plus(self.sum, bucket.value());
        }
        let Some(more) = more else { return };
        let own = self.more.get_or_insert_default();
        match more {
            More::Sketch(sketch) => own.bins.add_all(sketch),
            More::Values(values) => {
                for (value, count) in values {
                    *own.values.entry(*value).or_default() += count;
                }
            }
        }
    }

    fn take(&mut self, shape: &Shape, bucket: Bucket, more: Option<&More>) {
        self.count = self.count.saturating_sub(u64::from(bucket.count()));
        if shape.agg.keeps() == Keeps::Sum {
            self.sum = plus(self.sum, -bucket.value());
        }
        let (Some(more), Some(own)) = (more, &mut self.more) else { return };
        match more {
            More::Sketch(sketch) => own.bins.take_all(sketch),
            More::Values(values) => {
                for (value, count) in values {
                    if let Some(held) = own.values.get_mut(value) {
                        *held = held.saturating_sub(*count);
                        if *held == 0 {
                            own.values.remove(value);
                        }
                    }
                }
            }
        }
    }

    /// A sample has gone from one of the buckets, where it counted in this bin.
    pub fn lose(&mut self, sample: Sample, bin: Option<i32>) {
        match (bin, &mut self.more) {
            (Some(bin), Some(more)) => more.bins.take(bin, 1),
            (None, _) if sample.value == OPEN => {}
            _ => return self.clear(),
        }
        self.count = self.count.saturating_sub(1);
    }

    /// A sample has come into one of the buckets.
    pub fn gain(&mut self, shape: &Shape, sample: Sample, told: Told) {
        self.count += 1;
        if sample.value == OPEN {
            return;
        }
        match shape.agg.keeps() {
            Keeps::Sum => self.sum = plus(self.sum, sample.value),
            Keeps::Sketch => match told {
                Told::Bin(bin) => self.more.get_or_insert_default().bins.add(bin, 1),
                // What was there before counts elsewhere now: it is added up anew.
                Told::Apart | Told::Not | Told::Coarser => self.clear(),
            },
            Keeps::Values if told != Told::Not => {
                *self.more.get_or_insert_default().values.entry(sample.value).or_default() += 1;
            }
            Keeps::Values | Keeps::Nothing | Keeps::Lowest | Keeps::Highest | Keeps::First | Keeps::Last => {}
        }
    }
}

impl Totals {
    pub fn heap_bytes(&self) -> usize {
        self.more.as_ref().map_or(0, |more| {
            size_of::<TotalMore>()
                + more.bins.heap_bytes()
                + more.values.len() * size_of::<(Decimal, u32)>() * 3 / 2
        })
    }
}

impl More {
    pub fn new(keeps: Keeps) -> Self {
        if keeps == Keeps::Sketch { Self::Sketch(Sketch::default()) } else { Self::Values(BTreeMap::new()) }
    }

    pub fn add(&mut self, value: Decimal, room: bool) -> Told {
        match self {
            Self::Sketch(sketch) => return sketch.add(bin_of(value)).map_or(Told::Coarser, Told::Bin),
            Self::Values(values) if room || values.contains_key(&value) => {
                *values.entry(value).or_default() += 1;
            }
            Self::Values(_) => return Told::Not,
        }
        Told::Apart
    }

    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Sketch(own), Self::Sketch(other)) => {
                for (bin, count) in other.bins() {
                    for _ in 0..count {
                        own.add(bin);
                    }
                }
            }
            (Self::Values(own), Self::Values(other)) => {
                for (value, count) in other {
                    *own.entry(*value).or_default() += count;
                }
            }
            (Self::Sketch(_), Self::Values(_)) | (Self::Values(_), Self::Sketch(_)) => {}
        }
    }

    pub fn values(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Sketch(_) => 0,
        }
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Sketch(sketch) => sketch.heap_bytes(),
                Self::Values(values) => values.len() * size_of::<(Decimal, u32)>() * 3 / 2,
            }
    }
}
