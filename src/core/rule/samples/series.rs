//! The samples of one subject by time: each of them up to a bound, above it the older ones in buckets.

use std::ops::Range;

use rust_decimal::Decimal;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::rule::table::Small;
use crate::core::time::{Span, Time};

use super::EXACT;
use super::agg::Agg;
use super::coarse::Coarse;
use super::packed::Packed;

/// The value of what has begun and not ended: it is as old as it is.
pub const OPEN: Decimal = Decimal::MAX;

/// Samples that stay exact beside buckets: at least, and at most.
const NEWEST: usize = 8;
const BESIDE: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    pub time: Time,
    pub value: Decimal,
}

/// How samples become buckets.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub agg: Agg,
    /// Of a bucket: a sixty-fourth of the window; a thirty-second where there is a window of reference too, and a fortieth
    /// where a bucket keeps squares as well, so that none of them costs more than the others.
    pub width: Span,
    /// How long a sample concerns the rule.
    pub reach: Span,
    /// So many buckets are joined into one once they have left the window for that of reference, which then has
    /// thirty-two as well.
    pub joined: i64,
    window: Span,
}

impl Shape {
    pub fn new(agg: Agg, window: Span, reach: Span) -> Self {
        let reference = reach.as_millis() - window.as_millis();
        let pieces = if reference > 0 {
            EXACT as i64 / 2
        } else if agg.needs_squares() {
            40
        } else {
            EXACT as i64
        };
        let width = (window.as_millis() / pieces).max(1);
        let joined = (reference / pieces / width).max(1);
        Self { agg, width: Span::from_millis(width), reach, joined, window }
    }

    /// How many buckets the rule looks back on.
    pub fn most(&self) -> usize {
        let width = self.width.as_millis();
        let reference = self.reach.as_millis() - self.window.as_millis();
        (self.window.as_millis() / width + reference / (width * self.joined)) as usize
    }

    /// Buckets that are as long as the window together.
    pub fn window_buckets(&self) -> i64 {
        self.window.as_millis() / self.width.as_millis() + 1
    }

    /// Where in its bucket a moment lies, in 1024ths.
    pub fn place_of(&self, time: Time) -> u16 {
        let width = self.width.as_millis();
        (time.as_millis().rem_euclid(width) * 1_024 / width) as u16
    }

    pub fn bucket_of(&self, time: Time) -> i64 {
        time.as_millis().div_euclid(self.width.as_millis())
    }

    /// The moment for which all of a bucket stands: its beginning, so that it never stands for more than there is.
    pub fn start_of(&self, bucket: i64) -> Time {
        Time::from_millis(bucket.saturating_mul(self.width.as_millis()))
    }
}

#[derive(Debug, Default)]
pub struct Series {
    /// By time, then value: the same whatever the order of arrival.
    samples: Small<Packed, 1>,
    coarse: Option<Box<Coarse>>,
    /// Since when the subject has been heard of without a gap as long as the rule looks back.
    origin: Time,
}

impl Series {
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.coarse.is_none()
    }

    pub fn samples(&self) -> &[Packed] {
        &self.samples
    }

    /// The samples with `from < time <= to`.
    pub fn between(&self, from: Time, to: Time) -> &[Packed] {
        let first = self.samples.partition_point(|sample| sample.time() <= from);
        let last = self.samples.partition_point(|sample| sample.time() <= to);
        self.samples.get(first..last).unwrap_or_default()
    }

    pub fn coarse(&self) -> Option<&Coarse> {
        self.coarse.as_deref()
    }

    pub fn coarse_mut(&mut self) -> Option<&mut Coarse> {
        self.coarse.as_deref_mut()
    }

    /// The buckets with `from < start <= to`.
    pub fn buckets_between(&self, shape: &Shape, from: Time, to: Time) -> Range<usize> {
        let Some(coarse) = &self.coarse else { return 0..0 };
        // A bucket begins at or before a moment where its number is at most that of the moment's own.
        let first = coarse.before(shape.bucket_of(from) + 1);
        let last = coarse.before(shape.bucket_of(to) + 1);
        first..last.max(first)
    }

    /// The time up to which samples have become buckets: nothing at or before it is judged by itself any more.
    pub fn folded(&self) -> Time {
        self.coarse.as_ref().map_or(Time::MIN, |coarse| coarse.newest)
    }

    pub fn newest(&self) -> Time {
        self.samples.last().map_or(self.folded(), Packed::time)
    }

    /// Puts a sample where it belongs. Returns how many values were given up at a bound.
    pub fn insert(&mut self, shape: &Shape, sample: Sample) -> u64 {
        if self.is_empty() {
            self.origin = sample.time;
        } else if sample.time < self.origin {
            self.origin =
                if self.oldest(shape).since(sample.time) < shape.reach { sample.time } else { self.origin };
        }
        if let Some(coarse) = self.coarse.as_deref_mut().filter(|coarse| sample.time <= coarse.newest) {
            return coarse.add(shape, sample);
        }
        let place = self.samples.partition_point(|other| other.sample() <= sample);
        self.samples.insert(place, sample.into());
        let most = if self.coarse.is_some() { BESIDE } else { EXACT };
        if self.samples.len() <= most {
            return 0;
        }
        self.fold(shape)
    }

    fn fold(&mut self, shape: &Shape) -> u64 {
        let folded = self.samples.len().saturating_sub(NEWEST);
        let coarse = self.coarse.get_or_insert_default();
        let mut given_up = 0;
        for sample in self.samples.iter().take(folded) {
            given_up += coarse.add(shape, sample.sample());
            coarse.newest = coarse.newest.max(sample.time());
        }
        // Samples of one instant stay together: what is left is later than all that is folded.
        let newest = coarse.newest;
        let same = self.samples.iter().skip(folded).take_while(|sample| sample.time() == newest);
        let mut more = 0;
        for sample in same {
            given_up += coarse.add(shape, sample.sample());
            more += 1;
        }
        let kept = self.samples.iter().skip(folded + more).copied();
        let mut samples = Small::default();
        kept.for_each(|sample| samples.push(sample));
        self.samples = samples;
        given_up
    }

    /// Replaces the value of a sample, wherever it is by now.
    pub fn replace(&mut self, shape: &Shape, time: Time, old: Decimal, new: Decimal) {
        let origin = self.origin;
        if self.drop_one(shape, Sample { time, value: old }) {
            self.insert(shape, Sample { time, value: new });
            // It may have been the only one.
            self.origin = origin;
        }
    }

    /// Moves a sample to an earlier time, wherever it is by now.
    pub fn move_back(&mut self, shape: &Shape, old: Sample, new: Sample) {
        let origin = self.origin;
        if !self.drop_one(shape, old) {
            return;
        }
        self.insert(shape, new);
        if origin.since(new.time) < shape.reach {
            self.origin = origin.min(new.time);
        }
    }

    /// Takes a sample away, wherever it is by now. Returns whether it was there.
    pub fn drop_one(&mut self, shape: &Shape, sample: Sample) -> bool {
        if let Some(coarse) = self.coarse.as_deref_mut().filter(|coarse| sample.time <= coarse.newest) {
            return coarse.take(shape, sample);
        }
        let sample = Packed::from(sample);
        let place = self.samples.iter().position(|other| *other == sample);
        if let Some(place) = place {
            self.samples.remove(place);
        }
        place.is_some()
    }

    /// Drops what lies before a time.
    pub fn drop_before(&mut self, shape: &Shape, time: Time) {
        let mut dropped = None;
        if let Some(coarse) = &mut self.coarse {
            let gone = coarse.numbers().take_while(|number| shape.start_of(*number) < time).count();
            // The newest bucket that goes decides whether what follows goes on from it.
            for number in coarse.numbers().take(gone) {
                note_gap(&mut self.origin, &mut dropped, Some(shape.start_of(number)), shape.reach);
            }
            coarse.drop_front(gone);
            coarse.join(shape, shape.bucket_of(time + shape.reach - shape.window));
            if coarse.is_empty() {
                self.coarse = None;
            }
        }
        if self.coarse.is_none() {
            let gone = self.samples.partition_point(|sample| sample.time() < time);
            for sample in self.samples.iter().take(gone) {
                note_gap(&mut self.origin, &mut dropped, Some(sample.time()), shape.reach);
            }
            self.samples.drop_front(gone);
            self.samples.shrink();
        }
        if dropped.is_some() && !self.is_empty() {
            let oldest = Some(self.oldest(shape));
            note_gap(&mut self.origin, &mut dropped, oldest, shape.reach);
        }
    }

    fn oldest(&self, shape: &Shape) -> Time {
        match &self.coarse {
            Some(coarse) => coarse.number(0).map_or(coarse.newest, |number| shape.start_of(number)),
            None => self.samples.first().map_or(Time::MAX, Packed::time),
        }
    }

    /// Since when, as seen at `time`, the subject has been heard of without a gap as long as the rule looks back.
    pub fn begun(&self, shape: &Shape, time: Time) -> Time {
        let samples = self.samples.iter().rev().map(Packed::time);
        let numbers = self.coarse.iter().flat_map(|coarse| coarse.numbers().rev());
        let starts = numbers.map(|number| shape.start_of(number));
        let mut begun = time;
        for at in samples.chain(starts).filter(|at| *at <= time) {
            if begun.since(at) >= shape.reach {
                return begun;
            }
            begun = at;
            if time.since(at) >= shape.reach {
                return begun;
            }
        }
        if self.origin <= begun && self.oldest(shape) >= begun { self.origin } else { begun }
    }

    /// The times of all that can leave a window, the oldest first.
    pub fn times<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = Time> + 'a {
        let numbers = self.coarse.iter().flat_map(|coarse| coarse.numbers());
        numbers.map(|number| shape.start_of(number)).chain(self.samples.iter().map(Packed::time))
    }

    pub fn heap_bytes(&self) -> usize {
        self.samples.heap_bytes() + self.coarse.as_ref().map_or(0, |coarse| coarse.heap_bytes())
    }

    pub fn encode(&self, to: &mut Writer<'_>) {
        to.time(self.origin);
        to.unsigned(self.samples.len() as u64);
        for sample in self.samples.iter() {
            to.time(sample.time());
            to.decimal(sample.value());
        }
        to.option(self.coarse.as_ref(), |to, coarse| coarse.encode(to));
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut series = Self { origin: from.time()?, ..Self::default() };
        for _ in 0..from.count()? {
            let time = from.time()?;
            series.samples.push(Sample { time, value: from.decimal()? }.into());
        }
        series.coarse = from.option(Coarse::decode)?.map(Box::new);
        Ok(series)
    }
}

/// Moves the origin where one that goes is followed by a gap.
fn note_gap(origin: &mut Time, before: &mut Option<Time>, next: Option<Time>, reach: Span) {
    let Some(next) = next else { return };
    if before.is_some_and(|before| next.since(before) >= reach) {
        *origin = next;
    }
    *before = Some(next);
}
