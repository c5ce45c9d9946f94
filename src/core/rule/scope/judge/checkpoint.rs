//! The judge's state as a checkpoint holds it: a record per subject, another where
//! the catalog names it, and one for what was said lately.

use super::{Outcome, ScopeJudge, plan};
use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;
use crate::core::rule::scope::aggregate::Aggregate;
use crate::core::rule::scope::catalog::Shelf;
use crate::core::rule::scope::encoding::{key, open, parse_key, start};
use crate::core::rule::scope::slices::{Chosen, State};

const SUBJECT: u8 = 4;
const JUDGEMENT: u8 = 5;
const SHELF: u8 = 6;

impl ScopeJudge {
    /// Hands out what changed since the last call: key and encoded value, [`None`] for what is gone.
    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for symbol in self.removed.drain(..) {
            if !self.subjects.contains_key(&symbol) {
                sink(&key(SUBJECT, symbol.0), None);
            }
        }
        for (symbol, aggregate) in self.subjects.iter_mut().filter(|(_, aggregate)| aggregate.unsaved) {
            aggregate.unsaved = false;
            aggregate.saved_before = true;
            aggregate.write(&mut start(&mut self.buffer));
            sink(&key(SUBJECT, symbol.0), Some(&self.buffer));
        }
        for symbol in std::mem::take(&mut self.unsaved_shelves) {
            match self.shelves.get(&symbol) {
                Some(shelf) => {
                    shelf.write(&mut start(&mut self.buffer));
                    self.saved_shelves.insert(symbol);
                    sink(&key(SHELF, symbol.0), Some(&self.buffer));
                }
                None if self.saved_shelves.remove(&symbol) => sink(&key(SHELF, symbol.0), None),
                None => {}
            }
        }
        if std::mem::take(&mut self.unsaved) {
            let mut writer = start(&mut self.buffer);
            for step in [self.judged, self.started] {
                writer.unsigned(u64::from(step.is_some()));
                writer.signed(step.unwrap_or_default());
            }
            writer.signed(self.settled);
            writer.unsigned(self.outcomes.len() as u64);
            self.outcomes.iter().for_each(|outcome| outcome.write(&mut writer));
            sink(&key(JUDGEMENT, 0), Some(&self.buffer));
        }
    }

    /// Puts back one key of a checkpoint, in any order. Called before the first event.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let (tag, number) = parse_key(key)?;
        let mut reader = open(value)?;
        match tag {
            SUBJECT => {
                let mut aggregate = Aggregate::read(
                    Symbol(number),
                    self.test.summed().map(|summed| summed.frame),
                    &mut reader,
                )?;
                self.place(&mut aggregate);
                if aggregate.has_fired() {
                    self.firing.insert(aggregate.symbol);
                }
                // Looking at a subject again changes nothing, and finds what comes next.
                let next = (aggregate.evaluated > i64::MIN / 2).then_some(aggregate.evaluated + 1);
                plan(&mut self.agenda, &mut aggregate, next);
                self.subjects.insert(aggregate.symbol, Box::new(aggregate));
            }
            JUDGEMENT => {
                for step in [&mut self.judged, &mut self.started] {
                    let present = reader.unsigned()? == 1;
                    *step = Some(reader.signed()?).filter(|_| present);
                }
                self.settled = reader.signed()?;
                self.outcomes =
                    (0..reader.count()?).map(|_| Outcome::read(&mut reader)).collect::<Result<_, _>>()?;
                self.unsaved = false;
            }
            SHELF => {
                self.shelves.insert(Symbol(number), Shelf::read(&mut reader)?);
                self.saved_shelves.insert(Symbol(number));
            }
            _ => return Err(CorruptState),
        }
        reader.end()
    }
}

impl Outcome {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.signed(self.step);
        for symbols in [&self.found, &self.ended] {
            writer.unsigned(symbols.len() as u64);
            symbols.iter().for_each(|symbol| writer.symbol(*symbol));
        }
        writer.unsigned(self.joined.len() as u64);
        for (subject, into) in &self.joined {
            writer.symbol(*subject);
            writer.symbol(*into);
        }
        writer.unsigned(self.state.chosen.len() as u64);
        for chosen in &self.state.chosen {
            writer.symbol(chosen.subject);
            writer.signed(chosen.fired);
        }
        writer.unsigned(self.state.waiting.len() as u64);
        for (subject, since) in &self.state.waiting {
            writer.symbol(*subject);
            writer.signed(*since);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let step = reader.signed()?;
        let found = (0..reader.count()?).map(|_| reader.symbol()).collect::<Result<_, _>>()?;
        let ended = (0..reader.count()?).map(|_| reader.symbol()).collect::<Result<_, _>>()?;
        let joined = (0..reader.count()?).map(|_| Ok((reader.symbol()?, reader.symbol()?)));
        let joined = joined.collect::<Result<_, CorruptState>>()?;
        let chosen =
            (0..reader.count()?).map(|_| Ok(Chosen { subject: reader.symbol()?, fired: reader.signed()? }));
        let chosen = chosen.collect::<Result<_, CorruptState>>()?;
        let waiting = (0..reader.count()?).map(|_| Ok((reader.symbol()?, reader.signed()?)));
        let waiting = waiting.collect::<Result<_, CorruptState>>()?;
        Ok(Self { step, found, ended, joined, state: State { chosen, waiting } })
    }
}
