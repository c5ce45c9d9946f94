//! One subject's parts over all shards: what each window holds at a step.
//!
//! Per step the newest part of every shard is kept as long as it can change. What can't is folded by the step at which it
//! leaves the window, and once it has left, for the window of reference by the step at which it leaves that. So a subject
//! holds some sixty to hundred and twenty parts for each window, besides the steps that are not final.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};

use super::part::{EXACT, Keeps, Part, Values};
use super::steps::Steps;
use super::summed::Tallies;
use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Symbol;
use crate::core::rule::samples::agg::{deviation, divide, plus, quantile, rank_of};
use crate::core::rule::samples::{Agg, Tally};
use crate::core::stats::distinct::union;
use crate::core::stats::sketch::Bins;
use crate::core::time::Span;

/// The window of reference is told apart in so many stretches at most.
const REFERENCE_STRETCHES: i64 = 120;

/// The windows of a rule in steps, and what is kept of their events.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub steps: Steps,
    reference: Option<Reference>,
    keeps: Keeps,
}

/// The window before, which ends where the other begins.
#[derive(Clone, Copy, Debug)]
struct Reference {
    steps: i64,
    /// Steps by which its far edge moves.
    coarseness: i64,
}

impl Frame {
    pub fn new(steps: Steps, reference: Option<Span>, keeps: Keeps) -> Self {
        let reference = reference.map(|span| {
            let span = steps.count(span);
            Reference { steps: span, coarseness: (span / REFERENCE_STRETCHES).max(1) }
        });
        Self { steps, reference, keeps }
    }

    /// The step at which what leaves the window at `exit` leaves that of reference.
    fn gone(self, exit: i64) -> i64 {
        let Some(reference) = self.reference else { return exit };
        -(-(exit + reference.steps)).div_euclid(reference.coarseness) * reference.coarseness
    }

    /// How long a subject must have been there, in steps.
    fn whole(self) -> i64 {
        self.steps.window() + self.reference.map_or(0, |reference| reference.steps)
    }

    fn approximate(self) -> bool {
        self.steps.approximate() || self.reference.is_some_and(|reference| reference.coarseness > 1)
    }
}

/// Events by their number and what is kept of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sample {
    count: u32,
    part: Option<Part>,
}

impl Sample {
    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        match (&mut self.part, &other.part) {
            (Some(own), Some(other)) => own.merge(other),
            (own @ None, other) => own.clone_from(other),
            (Some(_), None) => {}
        }
    }

    fn bins(&self, each: impl FnMut(i32, u64)) {
        if let Some(Part::Values(values)) = &self.part {
            values.bins(each);
        }
    }

    fn heap_bytes(&self) -> usize {
        self.part.as_ref().map_or(0, Part::heap_bytes)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(self.count.into());
        writer.option(self.part.as_ref(), |writer, part| part.write(writer));
    }

    fn read(keeps: Keeps, reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let count = reader.unsigned32()?;
        let part = if reader.bool()? { Part::read(keeps, reader)? } else { None };
        Ok(Self { count, part })
    }
}

/// A step that can still change.
#[derive(Clone, Debug)]
struct Cell {
    step: i64,
    total: Sample,
    shards: Vec<(u32, Sample)>,
}

/// What counts until before a step.
#[derive(Clone, Debug)]
struct Bucket {
    until: i64,
    sample: Sample,
}

/// Final samples of a window, by the step at which they leave it, and for quantiles all of them together.
#[derive(Clone, Debug, Default)]
struct Folded {
    buckets: VecDeque<Bucket>,
    bins: Bins,
}

impl Folded {
    fn push(&mut self, until: i64, sample: Sample) {
        sample.bins(|bin, count| self.bins.add(bin, count));
        match self.buckets.back_mut().filter(|last| last.until == until) {
            Some(last) => last.sample.merge(&sample),
            None => self.buckets.push_back(Bucket { until, sample }),
        }
    }

    fn pop(&mut self, settled: i64) -> Option<Bucket> {
        let bucket = self.buckets.pop_front_if(|bucket| bucket.until <= settled)?;
        bucket.sample.bins(|bin, count| self.bins.take(bin, count));
        Some(bucket)
    }

    fn heap_bytes(&self) -> usize {
        let parts: usize = self.buckets.iter().map(|bucket| bucket.sample.heap_bytes()).sum();
        parts + self.buckets.capacity() * size_of::<Bucket>() + self.bins.heap_bytes()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(self.buckets.len() as u64);
        for bucket in &self.buckets {
            writer.signed(bucket.until);
            bucket.sample.write(writer);
        }
    }

    fn read(keeps: Keeps, reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut folded = Self::default();
        for _ in 0..reader.count()? {
            let until = reader.signed()?;
            folded.push(until, Sample::read(keeps, reader)?);
        }
        Ok(folded)
    }
}

/// Which of the two windows is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    Current,
    Reference,
}

#[derive(Clone, Debug)]
pub struct Held {
    frame: Frame,
    /// The value that the subject's limit depends on.
    pub limit_of: Symbol,
    cells: VecDeque<Cell>,
    current: Folded,
    reference: Folded,
    /// Of what is final: since which step the subject has been heard of without a gap as long as the rule looks back, and
    /// the last step at which it was.
    begun: Option<i64>,
    latest: i64,
}

impl Held {
    pub fn new(frame: Frame) -> Self {
        Self {
            frame,
            limit_of: Symbol::MISSING,
            cells: VecDeque::new(),
            current: Folded::default(),
            reference: Folded::default(),
            begun: None,
            latest: i64::MIN,
        }
    }

    /// The last step that changes by what enters at `step`.
    pub fn last_change(&self, step: i64) -> i64 {
        self.frame.gone(self.frame.steps.exit(step))
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.current.buckets.is_empty() && self.reference.buckets.is_empty()
    }

    /// Takes what a shard says of a step, in place of what it said before. Returns whether that changes anything.
    pub fn merge(&mut self, shard: u32, step: i64, count: u32, part: Option<&Part>) -> bool {
        let position = self.cells.partition_point(|cell| cell.step < step);
        if self.cells.get(position).is_none_or(|cell| cell.step != step) {
            self.cells.insert(position, Cell { step, total: Sample::default(), shards: Vec::new() });
        }
        let Some(cell) = self.cells.get_mut(position) else { return false };
        match cell.shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, sample)) if sample.count == count && sample.part.as_ref() == part => return false,
            Some((_, sample)) => *sample = Sample { count, part: part.cloned() },
            None => cell.shards.push((shard, Sample { count, part: part.cloned() })),
        }
        // Not what is new is added but all added up again: a smallest value can't be taken back.
        cell.total = Sample::default();
        cell.shards.iter().for_each(|(_, sample)| cell.total.merge(sample));
        true
    }

    /// Makes final what no event can change any more. Returns the last step that is.
    pub fn settle(&mut self, settled: i64, evaluated: i64) -> Option<i64> {
        let mut last = None;
        while let Some(cell) = self.cells.pop_front_if(|cell| cell.step < settled && cell.step <= evaluated) {
            if cell.total.count > 0 {
                (self.begun, self.latest) = self.begun_with(self.begun, self.latest, cell.step);
            }
            self.current.push(self.frame.steps.exit(cell.step), cell.total);
            last = Some(cell.step);
        }
        while let Some(Bucket { until, sample }) = self.current.pop(settled) {
            if self.frame.reference.is_some() {
                self.reference.push(self.frame.gone(until), sample);
            }
        }
        while self.reference.pop(settled).is_some() {}
        last
    }

    fn begun_with(&self, begun: Option<i64>, latest: i64, step: i64) -> (Option<i64>, i64) {
        let goes_on = begun.filter(|_| step - latest < self.frame.whole());
        (Some(goes_on.unwrap_or(step)), step)
    }

    /// The steps after `after` at which anything changes, in order.
    pub fn changes(&self, after: i64) -> Vec<i64> {
        let frame = self.frame;
        let mut changes: Vec<i64> = Vec::new();
        let (mut begun, mut latest) = (self.begun, self.latest);
        changes.extend(begun.map(|begun| begun + frame.whole()));
        for cell in &self.cells {
            let exit = frame.steps.exit(cell.step);
            (begun, latest) = self.begun_with(begun, latest, cell.step);
            changes.extend([cell.step, exit, frame.gone(exit)]);
            changes.extend(begun.map(|begun| begun + frame.whole()));
        }
        for bucket in &self.current.buckets {
            changes.extend([bucket.until, frame.gone(bucket.until)]);
        }
        changes.extend(self.reference.buckets.iter().map(|bucket| bucket.until));
        changes.retain(|step| *step > after);
        changes.sort_unstable();
        changes.dedup();
        changes
    }

    /// What the windows of a step hold. For a step that is not yet final.
    pub fn tallies(&self, agg: Agg, step: i64) -> Tallies {
        let (mut begun, mut latest) = (self.begun, self.latest);
        for cell in self.cells.iter().filter(|cell| cell.step <= step && cell.total.count > 0) {
            (begun, latest) = self.begun_with(begun, latest, cell.step);
        }
        let reference = match self.frame.reference {
            Some(_) => self.tally(agg, step, Window::Reference),
            None => Tally::default(),
        };
        Tallies {
            current: self.tally(agg, step, Window::Current),
            reference,
            whole: begun.is_some_and(|begun| begun + self.frame.whole() <= step),
        }
    }

    /// In which window what leaves the first one at `exit` is, at a step after it has entered.
    fn window_at(&self, exit: i64, step: i64) -> Option<Window> {
        if step < exit {
            Some(Window::Current)
        } else if step < self.frame.gone(exit) {
            Some(Window::Reference)
        } else {
            None
        }
    }

    /// The samples that are not in the order of the final ones of this window at a step.
    fn others(&self, step: i64, window: Window) -> impl Iterator<Item = &Sample> {
        let cells = self.cells.iter().filter(move |cell| cell.step <= step);
        let cells = cells.map(|cell| (self.frame.steps.exit(cell.step), &cell.total));
        let passed = self.current.buckets.iter().filter(move |_| window == Window::Reference);
        let passed = passed.map(|bucket| (bucket.until, &bucket.sample));
        let inside = cells.chain(passed).filter(move |(exit, _)| self.window_at(*exit, step) == Some(window));
        inside.map(|(_, sample)| sample)
    }

    fn folded(&self, window: Window) -> &Folded {
        match window {
            Window::Current => &self.current,
            Window::Reference => &self.reference,
        }
    }

    fn tally(&self, agg: Agg, step: i64, window: Window) -> Tally {
        let folded = &self.folded(window).buckets;
        let folded = folded.iter().filter(|bucket| bucket.until > step).map(|bucket| &bucket.sample);
        let inside: Vec<&Sample> = folded.chain(self.others(step, window)).collect();
        let count: u64 = inside.iter().map(|sample| u64::from(sample.count)).sum();
        if count == 0 {
            return Tally::default();
        }
        let parts = inside.iter().filter_map(|sample| sample.part.as_ref());
        let sum = || {
            parts.clone().fold((Decimal::ZERO, Decimal::ZERO), |(sum, squares), part| match part {
                Part::Sum(value) => (plus(sum, *value), squares),
                Part::Squares(value, square) => (plus(sum, *value), plus(squares, *square)),
                _ => (sum, squares),
            })
        };
        let extremes = parts.clone().filter_map(|part| match part {
            Part::Lowest(value) | Part::Highest(value) => Some(*value),
            _ => None,
        });
        let (value, sketched) = match agg {
            Agg::Count => (Decimal::from_u64(count), false),
            Agg::Sum => (Some(sum().0), false),
            Agg::Avg => (divide(sum().0, count), false),
            Agg::Stddev => {
                let (sum, squares) = sum();
                (deviation(count, sum, squares), false)
            }
            Agg::Min => (extremes.min(), false),
            Agg::Max => (extremes.max(), false),
            Agg::Quantile(share) if count <= EXACT as u64 => {
                let mut values: Vec<Decimal> = Vec::with_capacity(EXACT);
                for part in parts {
                    if let Part::Values(Values::Few(few)) = part {
                        values.extend(few);
                    }
                }
                values.sort_unstable();
                (quantile(&values, share), false)
            }
            Agg::Quantile(share) => (self.quantile(share, count, step, window), true),
            Agg::Distinct => {
                let sets = parts.filter_map(|part| match part {
                    Part::Distinct(values) => Some(values),
                    _ => None,
                });
                let (number, sketched) = union(sets);
                (Decimal::from_u64(number), sketched)
            }
            Agg::ModeCount | Agg::SinceLast | Agg::First | Agg::Last => (None, false),
        };
        Tally { value, samples: count, approximate: sketched || self.frame.approximate() }
    }

    /// From the bins of all final samples, less what has left by now, and what is not final.
    fn quantile(&self, share: Decimal, count: u64, step: i64, window: Window) -> Option<Decimal> {
        let folded = self.folded(window);
        let mut bins = folded.bins.clone();
        for left in folded.buckets.iter().take_while(|bucket| bucket.until <= step) {
            left.sample.bins(|bin, count| bins.take(bin, count));
        }
        for sample in self.others(step, window) {
            sample.bins(|bin, count| bins.add(bin, count));
        }
        let (rank, between) = rank_of(share, count)?;
        let (low, high) = bins.ranks(rank, &[])?;
        Decimal::from_f64(low + (high - low) * between.to_f64()?)
    }

    pub fn bytes(&self) -> usize {
        let each = |cell: &Cell| {
            let shards =
                cell.shards.iter().map(|(_, sample)| sample.heap_bytes() + size_of::<(u32, Sample)>());
            cell.total.heap_bytes() + shards.sum::<usize>()
        };
        size_of::<Self>()
            + self.cells.capacity() * size_of::<Cell>()
            + self.cells.iter().map(each).sum::<usize>()
            + self.current.heap_bytes()
            + self.reference.heap_bytes()
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.option(self.begun, Writer::signed);
        writer.signed(self.latest);
        self.current.write(writer);
        self.reference.write(writer);
        writer.unsigned(self.cells.len() as u64);
        for cell in &self.cells {
            writer.signed(cell.step);
            writer.unsigned(cell.shards.len() as u64);
            for (shard, sample) in &cell.shards {
                writer.unsigned(u64::from(*shard));
                sample.write(writer);
            }
        }
    }

    pub fn read(frame: Frame, reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut held = Self::new(frame);
        held.begun = reader.option(Reader::signed)?;
        held.latest = reader.signed()?;
        held.current = Folded::read(frame.keeps, reader)?;
        held.reference = Folded::read(frame.keeps, reader)?;
        for _ in 0..reader.count()? {
            let mut cell = Cell { step: reader.signed()?, total: Sample::default(), shards: Vec::new() };
            for _ in 0..reader.count()? {
                let shard = reader.unsigned32()?;
                let sample = Sample::read(frame.keeps, reader)?;
                cell.total.merge(&sample);
                cell.shards.push((shard, sample));
            }
            held.cells.push_back(cell);
        }
        Ok(held)
    }
}
