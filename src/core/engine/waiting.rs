//! Events of rules that span partitions, on their way to the shard of their subject: each waits until every partition
//! has passed it. The offsets of a checkpoint lie behind them, so they are a part of it.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::Event;
use crate::core::time::Time;

/// An event, and the rule that waits for it.
#[derive(Debug)]
pub(super) struct Rekeyed {
    /// The partition that it comes from, and its number there.
    shard: u32,
    number: u64,
    stored: bool,
    pub rule: u16,
    pub event: Event<'static>,
}

/// Re-keyed events that may wait for the slowest partition. Beyond it the oldest are judged at once: in a backlog that
/// uneven, a finding a little out of order is better than memory without bound.
const BOUND: usize = 200_000;

const VERSION: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: Vec<Rekeyed>,
    next: u64,
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
    pub fn push(&mut self, shard: u32, rule: u16, event: Event<'static>) -> Option<Time> {
        self.events.push(Rekeyed { shard, number: self.next, stored: false, rule, event });
        self.next += 1;
        if self.events.len() <= BOUND {
            return None;
        }
        self.sort();
        self.events.get(BOUND / 2).map(|middle| middle.event.time)
    }

    /// The same order whatever the partitions' order of arrival.
    fn sort(&mut self) {
        self.events.sort_by_key(|waiting| (waiting.event.time, waiting.shard, waiting.number));
    }

    /// Those that every partition has passed, in the order of their times.
    pub fn take(&mut self, passed: Time) -> Vec<Rekeyed> {
        self.sort();
        let ready = self.events.partition_point(|waiting| waiting.event.time <= passed);
        let rest = self.events.split_off(ready);
        let taken = std::mem::replace(&mut self.events, rest);
        let stored = taken.iter().filter(|taken| taken.stored);
        self.gone.extend(stored.map(|taken| (taken.shard, taken.rule, taken.number)));
        taken
    }

    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for (shard, rule, number) in self.gone.drain(..) {
            sink(shard, rule, &number.to_be_bytes(), None);
        }
        let mut value = Vec::new();
        for waiting in self.events.iter_mut().filter(|waiting| !waiting.stored) {
            value.clear();
            let mut writer = Writer(&mut value);
            writer.byte(VERSION);
            waiting.event.encode(&mut writer);
            sink(waiting.shard, waiting.rule, &waiting.number.to_be_bytes(), Some(&value));
            waiting.stored = true;
        }
    }

    /// Puts back one record; the event is returned so that its symbols can be computed.
    pub fn restore(
        &mut self,
        shard: u32,
        rule: u16,
        key: &[u8],
        value: &[u8],
    ) -> Result<&mut Event<'static>, CorruptState> {
        let number = u64::from_be_bytes(key.try_into().map_err(|_| CorruptState)?);
        let mut reader = Reader(value);
        if reader.byte()? != VERSION {
            return Err(CorruptState);
        }
        let event = Event::decode(&mut reader)?;
        reader.end()?;
        self.next = self.next.max(number.saturating_add(1));
        self.events.push(Rekeyed { shard, number, stored: true, rule, event });
        self.events.last_mut().map(|waiting| &mut waiting.event).ok_or(CorruptState)
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
        for waiting in std::mem::take(&mut self.events) {
            let Some(rule) = own(waiting.rule) else { continue };
            if waiting.stored {
                self.gone.push((waiting.shard, rule, waiting.number));
            }
            all.push(Rekeyed { rule, stored: false, ..waiting });
        }
        for waiting in theirs.map(|theirs| theirs.events).unwrap_or_default() {
            if let Some(rule) = their(waiting.rule) {
                all.push(Rekeyed { rule, stored: false, ..waiting });
            }
        }
        self.events = all;
        self.sort();
        for waiting in &mut self.events {
            waiting.number = self.next;
            self.next += 1;
        }
    }
}
