//! The engine's state as keyed records: what a checkpoint writes, what a restart reads.

use super::{Engine, Mark, REKEYED, Reach};
use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;

/// One changed key of a shard's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub shard: u32,
    pub key: &'a [u8],
    /// [`None`]: the key is gone.
    pub value: Option<&'a [u8]>,
}

/// What became of a record that was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    Kept,
    /// It belongs to a rule that has changed or is gone: its state starts anew, and the record may be deleted.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Meta = 0,
    Duplicates = 1,
    Watch = 2,
    Counter = 3,
    Judge = 4,
    Incident = 5,
    Waiting = 6,
}

/// Puts the part, and where it belongs to one rule that rule's name and what stands for its state, before a key.
fn prefix(out: &mut Vec<u8>, part: Part, rule: Option<&Mark>) {
    out.clear();
    let mut writer = Writer(out);
    writer.byte(part as u8);
    if let Some(mark) = rule {
        writer.text(&mark.name);
        writer.unsigned(mark.stamp());
    }
}

impl Mark {
    /// The version, and another number for each state of the same version that was filled anew.
    fn stamp(&self) -> u64 {
        if self.generation == 0 { self.version } else { Symbol(self.version).with(Symbol(self.generation)).0 }
    }
}

/// Adapts a detector's sink to one that sees whole records.
fn with_prefix(
    key: &mut Vec<u8>,
    shard: u32,
    sink: &mut dyn FnMut(Record<'_>),
    drain: impl FnOnce(Sink<'_>),
) {
    let length = key.len();
    drain(&mut |suffix, value| {
        key.truncate(length);
        key.extend_from_slice(suffix);
        sink(Record { shard, key, value });
    });
}

impl Engine {
    /// Hands out what changed since the last call. The caller writes it atomically with the input positions.
    pub fn drain_changes(&mut self, sink: &mut dyn FnMut(Record<'_>)) {
        let mut key = Vec::new();
        let rules = &self.marks;
        for state in self.shards.values_mut().chain([&mut self.scope.rekeyed]) {
            let shard = state.id;
            prefix(&mut key, Part::Meta, None);
            with_prefix(&mut key, shard, sink, |sink| state.encode_meta(sink));
            prefix(&mut key, Part::Duplicates, None);
            with_prefix(&mut key, shard, sink, |sink| state.duplicates.drain_changes(sink));
            for ((rule, watch), counter) in rules.iter().zip(&mut state.watches).zip(&mut state.counters) {
                if let Some(watch) = watch {
                    prefix(&mut key, Part::Watch, Some(rule));
                    with_prefix(&mut key, shard, sink, |sink| watch.drain_changes(sink));
                }
                if let Some(counter) = counter {
                    prefix(&mut key, Part::Counter, Some(rule));
                    with_prefix(&mut key, shard, sink, |sink| counter.drain_changes(sink));
                }
            }
            prefix(&mut key, Part::Incident, None);
            with_prefix(&mut key, shard, sink, |sink| state.incidents.drain_changes(sink));
        }
        for (rule, judge) in rules.iter().zip(&mut self.scope.judges) {
            if let Some(judge) = judge {
                prefix(&mut key, Part::Judge, Some(rule));
                with_prefix(&mut key, REKEYED, sink, |sink| judge.drain_changes(sink));
            }
        }
        self.scope.waiting.drain_changes(&mut |shard, rule, suffix, value| {
            if let Some(rule) = rules.get(usize::from(rule)) {
                prefix(&mut key, Part::Waiting, Some(rule));
                key.extend_from_slice(suffix);
                sink(Record { shard, key: &key, value });
            }
        });
        // The incidents of aggregated rules live beside those of re-keyed ones, under a shard number of their own.
        prefix(&mut key, Part::Incident, None);
        let incidents = &mut self.scope.incidents;
        with_prefix(&mut key, REKEYED - 1, sink, |sink| incidents.drain_changes(sink));
    }

    /// Puts back one record of a checkpoint; before the first event.
    pub fn restore(&mut self, shard: u32, key: &[u8], value: &[u8]) -> Result<Restored, CorruptState> {
        let mut reader = Reader(key);
        let part = reader.byte()?;
        let of_rule =
            [Part::Watch, Part::Counter, Part::Judge, Part::Waiting].iter().any(|known| *known as u8 == part);
        let rule = if of_rule {
            let (name, stamp) = (reader.text()?, reader.unsigned()?);
            let found = self.marks.iter().position(|mark| mark.name == name && mark.stamp() == stamp);
            let Some(found) = found else { return Ok(Restored::Stale) };
            Some(found)
        } else {
            None
        };
        let rest = reader.0;
        if part == Part::Judge as u8 {
            let judge = rule.and_then(|rule| self.scope.judges.get_mut(rule)).and_then(Option::as_mut);
            return kept(judge.map(|judge| judge.restore(rest, value)));
        }
        if part == Part::Incident as u8 && shard == REKEYED - 1 {
            self.scope.incidents.restore(rest, value)?;
            self.scope.causes = self.scope.known_causes();
            return Ok(Restored::Kept);
        }
        if part == Part::Waiting as u8 {
            let rule = rule.filter(|rule| self.plan.reaches.get(*rule) == Some(&Reach::Rekeyed));
            let Some(rule) = rule.filter(|_| self.shards.get(shard).is_some()) else {
                return Ok(Restored::Stale);
            };
            let rule = u16::try_from(rule).map_err(|_| CorruptState)?;
            self.scope.waiting.restore(shard, rule, rest, value)?;
            return Ok(Restored::Kept);
        }
        let state = if shard == REKEYED { Some(&mut self.scope.rekeyed) } else { self.shards.get_mut(shard) };
        let Some(state) = state else { return Ok(Restored::Stale) };
        let restored = match part {
            part if part == Part::Meta as u8 => Some(state.restore_meta(value)),
            part if part == Part::Duplicates as u8 => Some(state.duplicates.restore(rest, value)),
            part if part == Part::Incident as u8 => Some(state.incidents.restore(rest, value)),
            part if part == Part::Watch as u8 => rule
                .and_then(|rule| state.watches.get_mut(rule))
                .and_then(Option::as_mut)
                .map(|watch| watch.restore(rest, value)),
            part if part == Part::Counter as u8 => rule
                .and_then(|rule| state.counters.get_mut(rule))
                .and_then(Option::as_mut)
                .map(|counter| counter.restore(rest, value)),
            _ => return Err(CorruptState),
        };
        state.reschedule();
        if part == Part::Incident as u8 && shard == REKEYED {
            self.scope.causes = self.scope.known_causes();
        }
        kept(restored)
    }
}

fn kept(restored: Option<Result<(), CorruptState>>) -> Result<Restored, CorruptState> {
    restored.map_or(Ok(Restored::Stale), |result| result.map(|()| Restored::Kept))
}
