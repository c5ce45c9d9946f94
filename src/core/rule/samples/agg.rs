//! What is computed of the samples in a window: exactly from the samples themselves, or with what buckets keep of them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};

use crate::core::stats::sketch::bin_of;
use crate::core::time::Time;

use super::packed::Packed;
use super::series::{Series, Shape};
use super::totals::Totals;

/// An aggregate. Sums of decimals are decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agg {
    Count,
    /// How many different values.
    Distinct,
    Sum,
    Avg,
    Min,
    Max,
    /// In [0, 1]; linear interpolation (Hyndman and Fan's 7th).
    Quantile(Decimal),
    /// Of the population.
    Stddev,
    /// How often the most frequent value occurs.
    ModeCount,
    /// The time since the last event.
    SinceLast,
    First,
    Last,
}

/// What a bucket keeps of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Nothing,
    Sum,
    Lowest,
    Highest,
    First,
    Last,
    Sketch,
    Values,
}

impl Agg {
    pub const fn keeps(self) -> Keeps {
        match self {
            Self::Count | Self::SinceLast => Keeps::Nothing,
            Self::Sum | Self::Avg | Self::Stddev => Keeps::Sum,
            Self::Min => Keeps::Lowest,
            Self::Max => Keeps::Highest,
            Self::First => Keeps::First,
            Self::Last => Keeps::Last,
            Self::Quantile(_) => Keeps::Sketch,
            Self::Distinct | Self::ModeCount => Keeps::Values,
        }
    }

    pub const fn needs_squares(self) -> bool {
        matches!(self, Self::Stddev)
    }

    /// Whether it says how much there was, so that it falls when nothing more happens, in contrast to how things were.
    pub const fn is_amount(self) -> bool {
        matches!(self, Self::Count | Self::Distinct | Self::Sum | Self::ModeCount)
    }

    /// Whether it can become higher because a sample leaves the window. So can a sum, if what leaves is less than nothing;
    /// it is judged at events all the same.
    pub const fn rises_by_leaving(self) -> bool {
        matches!(self, Self::Avg | Self::Min | Self::Quantile(_) | Self::Stddev | Self::First)
    }
}

/// What a window came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// [`None`]: nothing in the window has a value.
    pub value: Option<Decimal>,
    pub samples: u64,
    pub approximate: bool,
}

/// The window that is asked about: `from < time <= to`, as seen at `now`.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub from: Time,
    pub to: Time,
    pub now: Time,
    /// Samples are lengths of time that began at their time: none is longer than what has passed since.
    pub ages: bool,
    /// Which of the two running totals follows this window.
    pub which: usize,
}

/// Room to sort values in.
#[derive(Debug, Default)]
pub struct Room {
    values: Vec<Decimal>,
    bins: Vec<i32>,
}

impl Room {
    pub fn tally(&mut self, shape: &Shape, series: &mut Series, asked: Asked) -> Tally {
        let range = series.buckets_between(shape, asked.from, asked.to);
        self.values.clear();
        let value_of = |sample: &Packed| {
            if asked.ages { sample.value().min(age(asked.now, sample.time())) } else { sample.value() }
        };
        let samples = series.between(asked.from, asked.to);
        let last = samples.last().map(Packed::time);
        self.values.extend(samples.iter().map(value_of));
        if range.is_empty() {
            let samples = self.values.len() as u64;
            let value = self.exact(shape.agg, last.map(|last| age(asked.now, last)));
            return Tally { value, samples, approximate: false };
        }
        // What has not ended is as old as the end of its bucket says, never older than it is.
        let mut open = Vec::new();
        let Some(coarse) = series.coarse_mut() else { return Tally::default() };
        for (number, count) in coarse.open(range.clone()) {
            let end = shape.start_of(number + 1).min(coarse.newest);
            open.push((age(asked.now, end).max(Decimal::ZERO), count));
        }
        let newest = coarse.newest;
        let of_buckets = match shape.agg.keeps() {
            keeps @ (Keeps::Lowest | Keeps::Highest | Keeps::First | Keeps::Last) => {
                one_of(keeps, coarse.values(shape, range.clone()))
            }
            Keeps::Nothing | Keeps::Sum | Keeps::Sketch | Keeps::Values => None,
        };
        let squares = coarse.squares(range.clone());
        let Some(totals) = coarse.totals(asked.which, shape, range) else { return Tally::default() };
        let count = totals.count + self.values.len() as u64;
        let value = match shape.agg {
            Agg::Count => Decimal::from_u64(count),
            Agg::SinceLast => Some(age(asked.now, last.unwrap_or(newest))),
            Agg::Sum => Some(self.sum(totals.sum, &open)),
            Agg::Avg => divide(self.sum(totals.sum, &open), count),
            Agg::Stddev => self.stddev_with(totals.sum, squares, count),
            Agg::Min | Agg::Max | Agg::First | Agg::Last => {
                let open = open.iter().map(|(age, _)| *age);
                let all = of_buckets.into_iter().chain(open).chain(self.values.iter().copied());
                one_of(shape.agg.keeps(), all)
            }
            Agg::Quantile(share) => self.quantile_with(share, totals, count, &open),
            Agg::Distinct => {
                self.values.sort_unstable();
                self.values.dedup();
                let new = self.values.iter().filter(|value| !totals.values().contains_key(value)).count();
                Decimal::from_usize(totals.values().len() + new)
            }
            Agg::ModeCount => self.mode_with(totals.values()),
        };
        Tally { value, samples: count, approximate: true }
    }

    fn exact(&mut self, agg: Agg, since_last: Option<Decimal>) -> Option<Decimal> {
        let count = self.values.len();
        match agg {
            Agg::Count => return (count > 0).then(|| Decimal::from(count as u64)),
            Agg::SinceLast => return since_last,
            Agg::First => return self.values.first().copied(),
            Agg::Last => return self.values.last().copied(),
            Agg::Min => return self.values.iter().min().copied(),
            Agg::Max => return self.values.iter().max().copied(),
            Agg::Sum => return (count > 0).then(|| self.sum(Decimal::ZERO, &[])),
            Agg::Avg => return divide(self.sum(Decimal::ZERO, &[]), count as u64),
            Agg::Stddev => return self.stddev(count as u64),
            Agg::Distinct | Agg::ModeCount | Agg::Quantile(_) => {}
        }
        self.values.sort_unstable();
        match agg {
            Agg::Quantile(share) => quantile(&self.values, share),
            Agg::ModeCount => self
                .values
                .chunk_by(|one, other| one == other)
                .map(<[Decimal]>::len)
                .max()
                .and_then(Decimal::from_usize),
            _ => {
                self.values.dedup();
                Decimal::from_usize(self.values.len()).filter(|count| !count.is_zero())
            }
        }
    }

    fn sum(&self, before: Decimal, open: &[(Decimal, u32)]) -> Decimal {
        let open =
            open.iter().map(|(age, count)| age.checked_mul(Decimal::from(*count)).unwrap_or(Decimal::MAX));
        self.values.iter().copied().chain(open).fold(before, plus)
    }

    fn stddev(&self, count: u64) -> Option<Decimal> {
        if count == 0 {
            return None;
        }
        let sum = self.values.iter().copied().fold(Decimal::ZERO, plus);
        let squares = self.values.iter().map(|value| square(*value)).fold(Decimal::ZERO, plus);
        deviation(count, sum, squares)
    }

    fn stddev_with(&self, sum: Decimal, squares: f64, count: u64) -> Option<Decimal> {
        let sum = self.values.iter().copied().fold(sum, plus).to_f64()?;
        let here = self.values.iter().filter_map(Decimal::to_f64).map(|value| value * value);
        let squares = squares + here.sum::<f64>();
        let number = count as f64;
        let spread = (number * squares - sum * sum).max(0.0);
        Decimal::from_f64(spread.sqrt() / number)
    }

    fn quantile_with(
        &mut self,
        share: Decimal,
        totals: &Totals,
        count: u64,
        open: &[(Decimal, u32)],
    ) -> Option<Decimal> {
        self.bins.clear();
        self.bins.extend(self.values.iter().map(|value| bin_of(*value)));
        for (age, count) in open {
            self.bins.extend(std::iter::repeat_n(bin_of(*age), *count as usize));
        }
        self.bins.sort_unstable();
        let (rank, between) = rank_of(share, count)?;
        let (low, high) = totals.bins().ranks(rank, &self.bins)?;
        Decimal::from_f64(low + (high - low) * between.to_f64()?)
    }

    fn mode_with(&mut self, counts: &BTreeMap<Decimal, u32>) -> Option<Decimal> {
        self.values.sort_unstable();
        let held = |value: &Decimal| counts.get(value).copied().unwrap_or(0) as usize;
        let runs = self.values.chunk_by(|one, other| one == other);
        let here = runs.filter_map(|run| Some(run.len() + held(run.first()?)));
        let there = counts.values().map(|count| *count as usize);
        here.chain(there).max().and_then(Decimal::from_usize)
    }
}

/// How long ago, in milliseconds.
fn age(now: Time, then: Time) -> Decimal {
    Decimal::from(now.since(then).as_millis())
}

fn one_of(keeps: Keeps, mut values: impl Iterator<Item = Decimal>) -> Option<Decimal> {
    match keeps {
        Keeps::Lowest => values.min(),
        Keeps::Highest => values.max(),
        Keeps::First => values.next(),
        Keeps::Last => values.last(),
        Keeps::Nothing | Keeps::Sum | Keeps::Sketch | Keeps::Values => None,
    }
}

/// A sum that stops at the largest number there is.
pub fn plus(one: Decimal, other: Decimal) -> Decimal {
    let bound = if other.is_sign_negative() { Decimal::MIN } else { Decimal::MAX };
    one.checked_add(other).unwrap_or(bound)
}

pub fn square(value: Decimal) -> Decimal {
    value.checked_mul(value).unwrap_or(Decimal::MAX)
}

/// The standard deviation of a population by its number, sum and sum of squares.
pub fn deviation(count: u64, sum: Decimal, squares: Decimal) -> Option<Decimal> {
    let number = Decimal::from(count);
    // n Σx² − (Σx)², in decimals: nothing is lost to rounding where amounts are of ordinary size.
    let spread = match (number.checked_mul(squares), sum.checked_mul(sum)) {
        (Some(squares), Some(square)) => plus(squares, -square).max(Decimal::ZERO).to_f64()?,
        _ => {
            let (number, sum) = (count as f64, sum.to_f64()?);
            (number * squares.to_f64()? - sum * sum).max(0.0)
        }
    };
    Decimal::from_f64(spread.sqrt() / count as f64)
}

pub fn divide(sum: Decimal, count: u64) -> Option<Decimal> {
    sum.checked_div(Decimal::from(count))
}

/// The rank below a quantile, and how far it lies on the way to the next one.
pub fn rank_of(share: Decimal, count: u64) -> Option<(u64, Decimal)> {
    let position = Decimal::from(count.checked_sub(1)?).checked_mul(share)?;
    let rank = position.trunc();
    Some((rank.to_u64()?, position - rank))
}

/// A quantile of all values, exactly.
pub fn quantile(sorted: &[Decimal], share: Decimal) -> Option<Decimal> {
    let (rank, between) = rank_of(share, sorted.len() as u64)?;
    let low = *sorted.get(rank as usize)?;
    match sorted.get(rank as usize + 1) {
        Some(high) if !between.is_zero() => {
            let step = plus(*high, -low).checked_mul(between).unwrap_or(Decimal::ZERO);
            Some(plus(low, step))
        }
        _ => Some(low),
    }
}
