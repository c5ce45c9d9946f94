//! Whether a high quantile surely lies below a limit, without computing it: enough samples do. In all but trouble that is
//! so, and few samples have to be looked at to see it.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::core::stats::sketch::bin_of;
use crate::core::time::{Span, Time};

use super::agg::Asked;
use super::packed::Packed;
use super::series::{Series, Shape};

/// A limit, brought down so far that what lies below it does so in the bins of a sketch as well.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    value: Decimal,
    millis: i64,
    bin: i32,
}

impl Near {
    /// [`None`] for limits that are not above nothing.
    pub fn of(limit: Decimal) -> Option<Self> {
        let value = limit.checked_mul(Decimal::new(97, 2)).filter(|value| *value > Decimal::ZERO)?;
        Some(Self { value, millis: value.to_i64().unwrap_or(i64::MAX), bin: bin_of(value) })
    }

    /// Whether what began then has lasted longer by now.
    fn is_exceeded(&self, begun: Time, asked: Asked) -> bool {
        asked.now.since(begun).as_millis() > self.millis
    }
}

/// The samples of a window: how many, and how many of them are, or may be, above the limit.
struct Standing {
    count: u64,
    above: u64,
}

impl Standing {
    /// How many more may be above the limit without the quantile being so; [`None`]: it may be even now. It lies between
    /// the values of two ranks that follow each other, counted from 0; rounding only makes them higher.
    fn room(&self, share: f64) -> Option<u64> {
        let rank = (self.count.checked_sub(1)? as f64 * share + 1e-6) as u64;
        self.count.checked_sub(self.above + rank + 2)
    }
}

/// `aged`: whether samples of buckets that have not ended are above the limit when they are old enough.
fn standing(near: &Near, shape: &Shape, series: &mut Series, asked: Asked, aged: bool) -> Option<Standing> {
    let range = series.buckets_between(shape, asked.from, asked.to);
    // No longer than what has passed since.
    let may_exceed = |sample: &Packed| !asked.ages || near.is_exceeded(sample.time(), asked);
    let exceeds = |sample: &&Packed| may_exceed(sample) && sample.value() > near.value;
    let samples = series.between(asked.from, asked.to);
    let mut count = samples.len() as u64;
    let mut above = samples.iter().filter(exceeds).count() as u64;
    if !range.is_empty() {
        let coarse = series.coarse_mut()?;
        let newest = coarse.newest;
        if aged {
            for (number, open) in coarse.open(range.clone()) {
                if near.is_exceeded(shape.start_of(number + 1).min(newest), asked) {
                    above += u64::from(open);
                }
            }
        }
        let totals = coarse.totals(asked.which, shape, range)?;
        count += totals.count;
        above += totals.bins().above(near.bin, count.saturating_sub(above));
    }
    Some(Standing { count, above })
}

/// How many samples the window has, if the quantile of them surely lies below the limit.
pub fn surely_below(
    near: &Near,
    share: f64,
    shape: &Shape,
    series: &mut Series,
    asked: Asked,
) -> Option<u64> {
    let standing = standing(near, shape, series, asked, true)?;
    standing.room(share).map(|_| standing.count)
}

/// Up to when the quantile of lengths of time surely lies below the limit, though they grow, if nothing that is not known
/// yet comes and nothing leaves. More that is short only makes it lower.
pub fn surely_below_until(
    near: &Near,
    share: f64,
    shape: &Shape,
    series: &mut Series,
    asked: Asked,
) -> Option<Time> {
    let mut room = standing(near, shape, series, asked, false)?.room(share)?;
    let range = series.buckets_between(shape, asked.from, asked.to);
    let newest = series.folded();
    room = room.checked_sub(series.coarse().map_or(0, |coarse| coarse.above(range.end, near.bin)))?;
    let open = series.coarse().into_iter().flat_map(|coarse| coarse.open(range.start..coarse.len()));
    let open = open.map(|(number, open)| (shape.start_of(number + 1).min(newest), u64::from(open)));
    // Those that are old already have been counted.
    let young = |sample: &&Packed| !near.is_exceeded(sample.time(), asked);
    let samples = series.between(asked.from, Time::MAX).iter().filter(young);
    let long = samples.filter(|sample| sample.value() > near.value);
    for (begun, count) in open.chain(long.map(|sample| (sample.time(), 1))) {
        match room.checked_sub(count) {
            Some(rest) => room = rest,
            None => return Some(begun + Span::from_millis(near.millis)),
        }
    }
    Some(Time::MAX)
}
