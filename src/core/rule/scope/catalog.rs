//! What the catalog says of one subject: which of its goods are there, and so since when it should be heard of.
//!
//! A subject may stand for several goods (a product of several suppliers, a supplier of several products); it is expected
//! while any of them is in stock. A report without a level says that they are there. Reports count by their own time,
//! whatever the order in which they arrive.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use super::steps::Steps;
use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Event, NumberField, Symbol, TextField};
use crate::core::time::Time;

/// More goods than this are not told apart for one subject: further ones count as never named.
const MOST_GOODS: usize = 64;
/// More reports than this are not kept until they have settled: the older half counts as settled.
const MOST_REPORTS: usize = 128;
/// So many stretches of steps are judged at once; of more, the latest.
pub const STRETCHES: usize = 4;

/// Steps from the first to before the second.
pub type Stretch = (i64, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    time: Time,
    /// At one instant what is there comes first, so that a subject is not without anything in between.
    gone: bool,
    goods: Symbol,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// The goods that were in stock by the settled reports.
    stocked: Vec<Symbol>,
    /// Since which step it is expected by the settled reports.
    since: Option<i64>,
    /// Reports that may still be joined by earlier ones, in the order of their times.
    reports: VecDeque<Report>,
}

/// What is certain of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Reports may still be joined by earlier ones.
    Open,
    Expected,
    Gone,
}

/// Which goods a report is of.
fn goods_of(event: &Event<'_>) -> Symbol {
    [TextField::Product, TextField::Supplier]
        .map(|field| event.symbol(field))
        .into_iter()
        .fold(Symbol(0x51), Symbol::with)
}

impl Shelf {
    /// Takes a report of the stock of one of its goods.
    pub fn report(&mut self, event: &Event<'_>, steps: Steps) {
        let stocked = event.number(NumberField::Level).is_none_or(|level| level > Decimal::ZERO);
        let report = Report { time: event.time, gone: !stocked, goods: goods_of(event) };
        let place = self.reports.partition_point(|known| *known < report);
        if self.reports.get(place) != Some(&report) {
            self.reports.insert(place, report);
        }
        if self.reports.len() > MOST_REPORTS {
            let half: Vec<Report> = self.reports.drain(..MOST_REPORTS / 2).collect();
            half.into_iter().for_each(|report| self.apply(report, steps));
        }
    }

    pub fn standing(&self) -> Standing {
        match (self.reports.is_empty(), self.since) {
            (false, _) => Standing::Open,
            (true, Some(_)) => Standing::Expected,
            (true, None) => Standing::Gone,
        }
    }

    /// Takes the reports before a step as settled. Returns whether there were any.
    pub fn settle(&mut self, settled: i64, steps: Steps) -> bool {
        let mut any = false;
        while let Some(report) = self.reports.pop_front_if(|report| steps.entry(report.time) < settled) {
            self.apply(report, steps);
            any = true;
        }
        any
    }

    fn apply(&mut self, report: Report, steps: Steps) {
        apply(&mut self.stocked, report);
        self.since = match (self.stocked.is_empty(), self.since) {
            (true, _) => None,
            (false, Some(since)) => Some(since),
            (false, None) => Some(steps.entry(report.time)),
        };
    }

    /// The stretches in which it is expected, the last one perhaps without an end.
    pub fn stretches(&self, steps: Steps) -> [Option<Stretch>; STRETCHES] {
        let (mut stocked, mut since) = (self.stocked.clone(), self.since);
        let mut latest = VecDeque::new();
        for report in &self.reports {
            apply(&mut stocked, *report);
            let step = steps.entry(report.time);
            match (stocked.is_empty(), since) {
                (true, Some(from)) => {
                    latest.push_back((from, step));
                    since = None;
                }
                (false, None) => since = Some(step),
                _ => {}
            }
        }
        latest.extend(since.map(|from| (from, i64::MAX)));
        latest.drain(..latest.len().saturating_sub(STRETCHES));
        std::array::from_fn(|place| latest.get(place).copied())
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.stocked.capacity() * size_of::<Symbol>()
            + self.reports.capacity() * size_of::<Report>()
    }

    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.unsigned(self.stocked.len() as u64);
        self.stocked.iter().for_each(|goods| writer.symbol(*goods));
        writer.option(self.since, Writer::signed);
        writer.unsigned(self.reports.len() as u64);
        for report in &self.reports {
            writer.time(report.time);
            writer.symbol(report.goods);
            writer.unsigned(u64::from(report.gone));
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let stocked = (0..reader.count()?).map(|_| reader.symbol()).collect::<Result<_, _>>()?;
        let since = reader.option(Reader::signed)?;
        let mut reports = VecDeque::new();
        for _ in 0..reader.count()? {
            let (time, goods) = (reader.time()?, reader.symbol()?);
            reports.push_back(Report { time, goods, gone: reader.unsigned()? == 1 });
        }
        Ok(Self { stocked, since, reports })
    }
}

fn apply(stocked: &mut Vec<Symbol>, report: Report) {
    let place = stocked.iter().position(|goods| *goods == report.goods);
    match (report.gone, place) {
        (false, None) if stocked.len() < MOST_GOODS => stocked.push(report.goods),
        (true, Some(place)) => {
            stocked.swap_remove(place);
        }
        (false, _) | (true, None) => {}
    }
}
