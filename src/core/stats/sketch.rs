//! A sketch of many values that answers quantiles to within one per cent of the value, whatever the order in which
//! values came and sketches were added up.
//!
//! It is the DDSketch of Masson, Rim and Lee ("DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
//! Relative-Error Guarantees", PVLDB 12 (12), 2019) in the form with linear interpolation between powers of two: each
//! power is cut into 64 equal bins, so that a bin's middle is within 1/128 of all that it holds. The number of a bin
//! is read off the binary form of the value; no logarithm is taken, so every machine finds the same one. Bins are
//! counts: adding and taking away are exact.

use std::collections::BTreeMap;
use std::ops::Bound;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::core::codec::{CorruptState, Reader, Writer};

/// The bits of a mantissa that do not tell bins apart: 6 of 52 are left.
const IGNORED_BITS: u32 = 46;
/// Bins of one sketch; above it the lowest ones become one. Over 64 of them are needed for values that are twice as large.
const MOST_BINS: usize = 1_024;

/// The bin of a value. Bins are in the order of the values.
pub fn bin_of(value: Decimal) -> i32 {
    let float = value.to_f64().unwrap_or(0.0);
    let bin = (float.abs().to_bits() >> IGNORED_BITS) as i32;
    if float < 0.0 { -bin } else { bin }
}

/// The value in the middle of a bin.
pub fn middle_of(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let bits = u64::from(bin.unsigned_abs()) << IGNORED_BITS | 1 << (IGNORED_BITS - 1);
    let middle = f64::from_bits(bits);
    if bin < 0 { -middle } else { middle }
}

/// How many values lie in which bins, by bin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    bins: Vec<(i32, u32)>,
}

impl Sketch {
    /// Adds a value. Returns the bin that it counts in; [`None`] if bins have become one, so that other values count
    /// elsewhere than before.
    pub fn add(&mut self, bin: i32) -> Option<i32> {
        match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(place) => {
                let (bin, count) = self.bins.get_mut(place)?;
                *count += 1;
                Some(*bin)
            }
            // What is below the lowest bin of a full sketch counts there.
            Err(0) if self.bins.len() >= MOST_BINS => {
                let (lowest, count) = self.bins.first_mut()?;
                *count += 1;
                Some(*lowest)
            }
            Err(place) => {
                self.bins.insert(place, (bin, 1));
                if self.bins.len() <= MOST_BINS {
                    return Some(bin);
                }
                let (_, lowest) = self.bins.remove(0);
                if let Some((_, count)) = self.bins.first_mut() {
                    *count += lowest;
                }
                None
            }
        }
    }

    /// Takes one value away that was added. In a sketch that has become coarse it may be found one bin higher; returns
    /// where it was found.
    pub fn remove(&mut self, bin: i32) -> Option<i32> {
        let place = self.bins.partition_point(|(other, _)| *other < bin);
        let (bin, count) = self.bins.get_mut(place)?;
        let found = *bin;
        *count -= 1;
        if *count == 0 {
            self.bins.remove(place);
        }
        Some(found)
    }

    pub fn bins(&self) -> impl Iterator<Item = (i32, u32)> {
        self.bins.iter().copied()
    }

    pub fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<(i32, u32)>()
    }

    pub fn encode(&self, to: &mut Writer<'_>) {
        to.unsigned(self.bins.len() as u64);
        for (bin, count) in &self.bins {
            to.signed(i64::from(*bin));
            to.unsigned(u64::from(*count));
        }
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut sketch = Self::default();
        for _ in 0..from.count()? {
            let bin = i32::try_from(from.signed()?).map_err(|_| CorruptState)?;
            if sketch.bins.last().is_some_and(|(last, _)| *last >= bin) {
                return Err(CorruptState);
            }
            sketch.bins.push((bin, from.unsigned32()?));
        }
        Ok(sketch)
    }
}

/// Several sketches added up. Its bins never become one: no more than some ten thousand exist, and what they hold is the
/// same however it was added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bins {
    counts: BTreeMap<i32, u64>,
}

impl Bins {
    pub const fn new() -> Self {
        Self { counts: BTreeMap::new() }
    }

    pub fn clear(&mut self) {
        self.counts.clear();
    }

    pub fn add(&mut self, bin: i32, count: u64) {
        if count > 0 {
            *self.counts.entry(bin).or_default() += count;
        }
    }

    pub fn add_all(&mut self, sketch: &Sketch) {
        for (bin, count) in sketch.bins() {
            self.add(bin, u64::from(count));
        }
    }

    /// Takes away what was added.
    pub fn take(&mut self, bin: i32, count: u64) {
        if let Some(held) = self.counts.get_mut(&bin) {
            *held = held.saturating_sub(count);
            if *held == 0 {
                self.counts.remove(&bin);
            }
        }
    }

    /// Takes a sketch away that was added as it is.
    pub fn take_all(&mut self, sketch: &Sketch) {
        for (bin, count) in sketch.bins() {
            self.take(bin, u64::from(count));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (i32, u64)> {
        self.counts.iter().map(|(bin, count)| (*bin, *count))
    }

    pub fn encode(&self, to: &mut Writer<'_>) {
        to.unsigned(self.counts.len() as u64);
        for (bin, count) in self.iter() {
            to.signed(i64::from(bin));
            to.unsigned(count);
        }
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut bins = Self::default();
        for _ in 0..from.count()? {
            let bin = i32::try_from(from.signed()?).map_err(|_| CorruptState)?;
            if bins.counts.last_key_value().is_some_and(|(last, _)| *last >= bin) {
                return Err(CorruptState);
            }
            bins.add(bin, from.unsigned()?);
        }
        Ok(bins)
    }

    /// How many values lie above a bin; may stop counting once they are more than `most`.
    pub fn above(&self, bin: i32, most: u64) -> u64 {
        let mut above = 0;
        for (_, count) in self.counts.range((Bound::Excluded(bin), Bound::Unbounded)) {
            above += count;
            if above > most {
                break;
            }
        }
        above
    }

    /// The middle of the bin that holds the value of this rank (counted from 0 at the lowest), and of the next rank; `more`
    /// are bins of further values, in order.
    pub fn ranks(&self, rank: u64, more: &[i32]) -> Option<(f64, f64)> {
        let (mut seen, mut place, mut first) = (0, 0, None);
        let mut held = self.counts.iter().peekable();
        loop {
            let (bin, count) = match (held.peek(), more.get(place)) {
                (Some((bin, count)), None) => (**bin, **count),
                (Some((bin, count)), Some(other)) if *bin <= other => (**bin, **count),
                (_, Some(other)) => (*other, 0),
                (None, None) => return first.map(|first| (first, first)),
            };
            if count > 0 {
                held.next();
                seen += count;
            } else {
                place += 1;
                seen += 1;
            }
            if first.is_none() && seen > rank {
                first = Some(middle_of(bin));
            }
            if let Some(first) = first
                && seen > rank + 1
            {
                return Some((first, middle_of(bin)));
            }
        }
    }

    pub fn heap_bytes(&self) -> usize {
        self.counts.len() * size_of::<(i32, u64)>() * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn the_middle_of_a_values_bin_is_within_one_per_cent_of_it() {
        for mantissa in [1_i64, 3, 7, 99, 1_234, 65_535, 1_048_576, 999_999_999] {
            for scale in 0..20 {
                for value in [Decimal::new(mantissa, scale), -Decimal::new(mantissa, scale)] {
                    let (near, exact) = (middle_of(bin_of(value)), value.to_f64().unwrap());
                    assert!((near - exact).abs() <= 0.01 * exact.abs(), "{value}: {near}");
                }
            }
        }
        assert_eq!(middle_of(bin_of(Decimal::ZERO)), 0.0);
    }

    #[test]
    fn bins_are_in_the_order_of_the_values() {
        let values = ["-500", "-0.5", "-0.01", "0", "0.001", "1", "1.5", "1.99", "2", "1000000"];
        let bins: Vec<i32> = values.iter().map(|value| bin_of(decimal(value))).collect();
        assert!(bins.is_sorted(), "{bins:?}");
    }

    #[test]
    fn whatever_the_order_the_sketch_is_the_same_even_where_its_lowest_bins_have_become_one() {
        let values: Vec<i32> = (0..3_000).map(|step| step * 7 % 3_000).collect();
        let (mut one, mut other) = (Sketch::default(), Sketch::default());
        for value in &values {
            one.add(*value);
        }
        for value in values.iter().rev() {
            other.add(*value);
        }
        assert_eq!(one, other);
        assert_eq!(one.bins.len(), MOST_BINS);
        assert_eq!(one.bins().map(|(_, count)| count).sum::<u32>(), 3_000);
        assert_eq!(one.bins.last(), Some(&(2_999, 1)), "the high ones stay apart");
    }

    #[test]
    fn what_was_added_up_can_be_taken_away_again() {
        let mut sketch = Sketch::default();
        for value in 0..100 {
            sketch.add(value % 10);
        }
        let mut bins = Bins::default();
        bins.add_all(&sketch);
        bins.add_all(&sketch);
        bins.take_all(&sketch);
        assert_eq!(bins.ranks(49, &[]), Some((middle_of(4), middle_of(5))));
        assert_eq!(bins.ranks(99, &[]), Some((middle_of(9), middle_of(9))));
        assert_eq!(bins.ranks(9, &[0, 0]), Some((middle_of(0), middle_of(0))));
        bins.take_all(&sketch);
        assert_eq!((bins.ranks(0, &[]), bins.ranks(1, &[3, 5])), (None, Some((middle_of(5), middle_of(5)))));
    }
}
