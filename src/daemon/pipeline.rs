//! What happens to a record: decoded, shown to the engine, counted; or, unreadable, sent to the dead-letter topic.
//!
//! Nothing here allocates, takes a lock or reads a clock for an ordinary event; counts are handed on in bulk.

use super::events::EventReader;
use super::exchange::Captured;
use super::neighbours::Unreadable;
use crate::core::clock::Clocks;
use crate::core::engine::{Engine, Observed};
use crate::core::event::decode::{Attributes, RejectReason};
use crate::core::event::{EventType, Topic};
use crate::core::time::{Span, Time};
use crate::edge::kafka::{Reading, Reason, Record};

/// The way of a record through one worker.
pub struct Pipeline<D> {
    pub events: EventReader,
    pub engine: Engine,
    pub clocks: Clocks,
    pub dead_letters: D,
    /// The names of the topics in Kafka.
    pub names: Vec<(Topic, String)>,
    pub counts: Counts,
    /// The time of the record that led to the first of the effects that wait in the engine.
    pub cause: Option<Time>,
    /// What was read while rules are filled from history, for these; [`None`]: nobody needs it.
    pub captured: Option<Vec<Captured>>,
    /// When, by the time of the shards, rules that span them are looked at next.
    pub next_scope_pass: Time,
}

/// As fine as the finest step in which they are judged.
pub const SCOPE_PASS_EVERY: Span = Span::from_secs(1);

/// Events since the counts were taken last.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub records: u64,
    pub bytes: u64,
    /// By event type: fresh, late, duplicate.
    pub events: [[u64; 3]; EventType::ALL.len()],
    pub rejected: Vec<(&'static str, u64)>,
}

impl Counts {
    fn reject(&mut self, reason: &'static str) {
        match self.rejected.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((reason, 1)),
        }
    }

    /// Adds what was counted since, and begins anew.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl<D: Unreadable> Reading for Pipeline<D> {
    fn record(&mut self, record: &Record<'_>) -> Option<Time> {
        let payload = record.payload.unwrap_or_default();
        self.counts.records += 1;
        self.counts.bytes += payload.len() as u64;
        let names_customers = self.engine.names_customers();
        let attributes = Attributes::of(record.attributes);
        let read = self.events.read(payload, attributes, record.timestamp, names_customers);
        let mut event = match read {
            Ok(event) => event,
            Err(reason) => {
                self.reject(record, reason);
                return None;
            }
        };
        let time = event.time;
        self.clocks.read(record.shard, record.topic, time);
        let now = self.clocks.shard_time(record.shard);
        let had_effects = self.engine.has_effects();
        if let Some(captured) = &mut self.captured {
            captured.push(Captured::new(record, now, self.engine.scope_time()));
        }
        let observed = self.engine.observe(record.shard, &mut event, now);
        if !had_effects && self.engine.has_effects() {
            self.cause = record.timestamp;
        }
        if let Some(counts) = self.counts.events.get_mut(event.event_type as usize) {
            counts[match observed {
                Observed::Fresh => 0,
                Observed::Late => 1,
                Observed::Duplicate => 2,
            }] += 1;
        }
        if now >= self.next_scope_pass {
            // A batch may span hours of a backlog; what spans partitions is judged in between, as it would have been then.
            self.next_scope_pass = now + SCOPE_PASS_EVERY;
            self.pass_scope();
        }
        Some(time)
    }

    fn unread(&mut self, shard: u32, topic: Topic, unread: bool) {
        self.clocks.set_unread(shard, topic, unread);
    }
}

impl<D: Unreadable> Pipeline<D> {
    /// Lets the time of every shard pass, and of the rules that span them. `idle`: monotonic time since the last call.
    pub fn pass(&mut self, shards: u32, idle: Option<Span>) {
        self.events.locating.refresh();
        if let Some(elapsed) = idle {
            self.clocks.idle(elapsed);
        }
        for shard in 0..shards {
            let now = self.clocks.shard_time(shard);
            self.engine.advance(shard, now);
        }
        self.pass_scope();
    }

    fn pass_scope(&mut self) {
        let now = self.clocks.scope_time();
        self.engine.advance_scope(now);
    }

    fn reject(&mut self, record: &Record<'_>, reason: RejectReason) {
        self.counts.reject(reason.as_str());
        let name = self.names.iter().find(|(topic, _)| *topic == record.topic);
        let detail = reason.to_string();
        self.dead_letters.send(
            record,
            Reason {
                reason: reason.as_str(),
                detail: &detail,
                topic: name.map_or(record.topic.as_str(), |(_, name)| name.as_str()),
            },
        );
    }
}
