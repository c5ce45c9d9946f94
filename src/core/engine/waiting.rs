//! Events of rules that span partitions, on their way to the shard of their subject: each waits until every partition
//! has passed it. The offsets of a checkpoint lie behind them, so they are a part of it.

use std::collections::BTreeMap;

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Event;
use crate::core::time::Time;

/// An event, and the rule that waits for it.
#[derive(Debug)]
pub(super) struct Rekeyed {
    stored: bool,
    pub rule: u16,
    /// The event as a checkpoint holds it: a tenth of what it takes otherwise.
    record: Box<[u8]>,
}

impl Rekeyed {
    /// The event without its symbols.
    pub fn event(&self) -> Result<Event<'_>, CorruptState> {
        let mut reader = Reader(&self.record);
        if reader.byte()? != VERSION {
            return Err(CorruptState);
        }
        let event = Event::decode(&mut reader)?;
        reader.end()?;
        Ok(event)
    }
}

/// Re-keyed events that may wait for the slowest partition. Beyond it the oldest are judged at once: in a backlog that
/// uneven, a finding a little out of order is better than memory without bound.
const BOUND: usize = 200_000;

const VERSION: u8 = 2;

/// The place of an event among those that wait, the same whatever the partitions' order of arrival: its time, the
/// partition that it comes from, and its number.
type Turn = (Time, u32, u64);

#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: BTreeMap<Turn, Rekeyed>,
    next: u64,
    scratch: Vec<u8>,
    /// What the last checkpoint holds and does not wait any more: partition, rule and number.
    gone: Vec<(u32, u16, u64)>,
}

/// Where the change of one waiting event belongs: partition and rule; its key and, unless it is gone, its record.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u32, u16, &[u8], Option<&[u8]>);

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the time up to which events must be judged at once because too many wait.
    pub fn push(&mut self, shard: u32, rule: u16, event: &Event<'_>) -> Option<Time> {
        let turn = (event.time, shard, self.next);
        self.scratch.clear();
        let mut writer = Writer(&mut self.scratch);
        writer.byte(VERSION);
        event.encode(&mut writer);
        self.events.insert(turn, Rekeyed { stored: false, rule, record: (*self.scratch).into() });
        self.next += 1;
        if self.events.len() <= BOUND {
            return None;
        }
        self.events.keys().nth(BOUND / 2).map(|(middle, ..)| *middle)
    }

    /// The next one that every partition has passed, in the order of their times.
    pub fn take(&mut self, passed: Time) -> Option<(Time, Rekeyed)> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= passed)?;
        let ((time, shard, number), taken) = first.remove_entry();
        if taken.stored {
            self.gone.push((shard, taken.rule, number));
        }
        Some((time, taken))
    }

    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for (shard, rule, number) in self.gone.drain(..) {
            sink(shard, rule, &number.to_be_bytes(), None);
        }
        for ((_, shard, number), waiting) in self.events.iter_mut().filter(|(_, waiting)| !waiting.stored) {
            sink(*shard, waiting.rule, &number.to_be_bytes(), Some(&waiting.record));
            waiting.stored = true;
        }
    }

    /// Puts back one record.
    pub fn restore(&mut self, shard: u32, rule: u16, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let number = u64::from_be_bytes(key.try_into().map_err(|_| CorruptState)?);
        let waiting = Rekeyed { stored: true, rule, record: value.into() };
        let time = waiting.event()?.time;
        self.next = self.next.max(number.saturating_add(1));
        self.events.insert((time, shard, number), waiting);
        Ok(())
    }

    /// Goes on waiting for other rules: `own` and `their` say which place a rule has now, if it has one. What the last
    /// checkpoint holds of them is written anew.
    pub fn carry_over(
        &mut self,
        theirs: Option<Self>,
        own: impl Fn(u16) -> Option<u16>,
        their: impl Fn(u16) -> Option<u16>,
    ) {
        let gone = std::mem::take(&mut self.gone);
        self.gone =
            gone.into_iter().filter_map(|(shard, rule, number)| Some((shard, own(rule)?, number))).collect();
        let mut all = Vec::new();
        for ((time, shard, number), mut waiting) in std::mem::take(&mut self.events) {
            let Some(rule) = own(waiting.rule) else { continue };
            if waiting.stored {
                self.gone.push((shard, rule, number));
            }
            (waiting.rule, waiting.stored) = (rule, false);
            all.push(((time, shard, number), waiting));
        }
        for (turn, mut waiting) in theirs.map(|theirs| theirs.events).unwrap_or_default() {
            if let Some(rule) = their(waiting.rule) {
                (waiting.rule, waiting.stored) = (rule, false);
                all.push((turn, waiting));
            }
        }
        all.sort_by_key(|(turn, _)| *turn);
        for ((time, shard, _), waiting) in all {
            self.events.insert((time, shard, self.next), waiting);
            self.next += 1;
        }
    }
}
