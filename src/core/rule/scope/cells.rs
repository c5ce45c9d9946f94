//! One subject's counts in one shard, as differences over judging steps.
//!
//! An event adds one where it enters and takes one away where it leaves; what a window holds at a step is the sum of all
//! differences up to there. So an event that comes late is put in its place at the cost of one that comes in time, and
//! the differences of several shards add up to those of all.

use rust_decimal::Decimal;

use super::encoding::number;
use super::part::{Keeps, Part};
use crate::core::codec::{CorruptState, Reader, Writer};

/// What changes at one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub step: i64,
    pub among: i32,
    pub of: i32,
    /// The events themselves (not their distinct values) that enter here, which show when trouble began.
    pub seen: u32,
    pub seen_of: u32,
    /// What is kept of their values, where the rule asks for it.
    pub part: Option<Box<Part>>,
    /// Changed since it was last handed to the owner of the aggregates.
    unsent: bool,
}

/// The cells of a subject, by step.
#[derive(Clone, Debug, Default)]
pub struct Cells(Vec<Cell>);

impl Cells {
    /// Counts an event that entered here.
    pub fn see(&mut self, step: i64, of: bool) {
        if let Some(cell) = self.at(step) {
            cell.seen += 1;
            cell.seen_of += u32::from(of);
        }
    }

    /// Counts an event by its value.
    pub fn sample(&mut self, step: i64, keeps: Keeps, value: Decimal) {
        let Some(cell) = self.at(step) else { return };
        cell.seen += 1;
        match &mut cell.part {
            Some(part) => part.add(value),
            empty => *empty = keeps.first(value).map(Box::new),
        }
    }

    /// Counts one more among (and of) those that the windows from `entry` until before `exit` hold.
    pub fn count(&mut self, entry: i64, exit: i64, among: i32, of: i32) {
        for (step, sign) in [(entry, 1), (exit, -1)] {
            if let Some(cell) = self.at(step) {
                cell.among += sign * among;
                cell.of += sign * of;
            }
        }
    }

    fn at(&mut self, step: i64) -> Option<&mut Cell> {
        // Events mostly come in the order of their times.
        let is_last = self.0.last().is_some_and(|cell| cell.step == step);
        let position =
            if is_last { self.0.len() - 1 } else { self.0.partition_point(|cell| cell.step < step) };
        if self.0.get(position).is_none_or(|cell| cell.step != step) {
            self.0.insert(position, Cell { step, ..Cell::default() });
        }
        let cell = self.0.get_mut(position)?;
        cell.unsent = true;
        Some(cell)
    }

    /// Hands out the cells that changed since the last call.
    pub fn send(&mut self, mut sink: impl FnMut(&Cell)) {
        for cell in self.0.iter_mut().filter(|cell| cell.unsent) {
            sink(cell);
            cell.unsent = false;
        }
    }

    /// Drops what can't change any more and has been sent.
    pub fn forget_before(&mut self, step: i64) {
        let gone = self.0.iter().take_while(|cell| cell.step < step && !cell.unsent).count();
        self.0.drain(..gone);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&self) -> usize {
        let parts = self.0.iter().filter_map(|cell| cell.part.as_deref());
        let parts: usize = parts.map(|part| size_of::<Part>() + part.heap_bytes()).sum();
        parts + self.0.capacity() * size_of::<Cell>()
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(self.0.len() as u64);
        let mut before = 0;
        for cell in &self.0 {
            writer.signed(cell.step - before);
            before = cell.step;
            for count in [cell.among.into(), cell.of.into(), cell.seen.into(), cell.seen_of.into()] {
                writer.signed(count);
            }
            if let Some(part) = &cell.part {
                part.write(writer);
            }
        }
    }

    /// Everything that is read back counts as not yet sent: sending a sum twice changes nothing.
    pub fn read(keeps: Keeps, reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut step = 0i64;
        let cells = (0..reader.count()?).map(|_| {
            step = step.checked_add(reader.signed()?).ok_or(CorruptState)?;
            let (among, of) = (number(reader)?, number(reader)?);
            let (seen, seen_of) = (number(reader)?, number(reader)?);
            let part = Part::read(keeps, reader)?.map(Box::new);
            Ok(Cell { step, among, of, seen, seen_of, part, unsent: true })
        });
        cells.collect::<Result<_, _>>().map(Self)
    }
}
