//! One partition's keyed state: what its rules remember, its incidents, its duplicates, and how late an event may be.
//!
//! The same structure serves rules that span partitions but keep order-dependent state per thin subject (ip, device):
//! one more shard, fed with re-keyed events once every partition has passed them.

use std::sync::Arc;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::duplicates::Duplicates;
use crate::core::event::{Event, Topic};
use crate::core::incident::{self, Incidents};
use crate::core::rule::scope::counter::ScopeCounter;
use crate::core::rule::scope::is_summed;
use crate::core::rule::table::Watch;
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::rule::{Rule, RuleSet, watch_for};
use crate::core::time::{Span, Time};

/// An input of a rule that has been silent holds the rule's memory back by at most this long beyond its lateness.
pub(super) const SILENT_INPUT_BOUND: Span = Span::from_mins(60);

/// The shard number under which the state of rules that span partitions is kept.
pub const REKEYED: u32 = u32::MAX;

/// Who judges a rule's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The shard that holds the account or order.
    Local,
    /// Few, busy subjects: counted in each shard, judged by the owner of the sums.
    Aggregated,
    /// Many, thin subjects: events are re-keyed and judged in one more shard.
    Rekeyed,
}

pub fn reach(rule: &Rule) -> Reach {
    if is_summed(rule) {
        Reach::Aggregated
    } else if rule.is_local() {
        Reach::Local
    } else {
        Reach::Rekeyed
    }
}

/// The state of one partition.
pub struct Shard {
    pub(super) id: u32,
    /// By rule; [`None`] where another kind of state serves the rule.
    pub(super) watches: Vec<Option<Box<dyn Watch>>>,
    pub(super) counters: Vec<Option<ScopeCounter>>,
    pub(super) incidents: Incidents,
    pub(super) duplicates: Duplicates,
    newest: [Time; Topic::ALL.len()],
    pub(super) now: Time,
    /// When something is due next; recomputed when it may have changed.
    pub(super) next_due: Time,
    meta_changed: bool,
}

impl Shard {
    pub(super) fn new(id: u32, rules: &Arc<RuleSet>, reaches: &[Reach]) -> Self {
        let longest_lateness =
            rules.rules.iter().map(|rule| rule.lateness).max().unwrap_or(Span::from_mins(2));
        let watches = rules
            .rules
            .iter()
            .zip(reaches)
            .map(|(rule, reach)| {
                let here = if id == REKEYED { Reach::Rekeyed } else { Reach::Local };
                (*reach == here).then(|| watch_for(rule)).flatten()
            })
            .collect();
        let counters = rules
            .rules
            .iter()
            .zip(reaches)
            .map(|(rule, reach)| {
                (*reach == Reach::Aggregated && id != REKEYED).then(|| ScopeCounter::new(rule)).flatten()
            })
            .collect();
        Self {
            id,
            watches,
            counters,
            incidents: Incidents::new(Arc::clone(rules), incident::Reach::Account),
            duplicates: Duplicates::new(longest_lateness),
            newest: [Time::MIN; Topic::ALL.len()],
            now: Time::MIN,
            next_due: Time::MAX,
            meta_changed: false,
        }
    }

    /// Takes note of an event's time in its own topic-partition; returns the shard's newest event time.
    pub(super) fn take_note(&mut self, event: &Event<'_>) -> Time {
        let newest = &mut self.newest[event.event_type.topic() as usize];
        if event.time > *newest {
            *newest = event.time;
            self.meta_changed = true;
        }
        self.newest.into_iter().max().unwrap_or(Time::MIN)
    }

    /// The newest event time that each topic has shown here.
    pub(super) fn newest(&self) -> [Time; Topic::ALL.len()] {
        self.newest
    }

    /// Takes note of topics that other shards have read, as far as time has passed: what was not sent here, since no rule
    /// has a use for it, shows all the same that its topic is heard.
    pub(super) fn take_note_of(&mut self, heard: [Time; Topic::ALL.len()], passed: Time) {
        for (newest, heard) in self.newest.iter_mut().zip(heard) {
            let heard = heard.min(passed);
            if heard > *newest {
                *newest = heard;
                self.meta_changed = true;
            }
        }
    }

    /// What a detector of `rule` may know about the moment of an event (or of the present, without one).
    pub(super) fn moment(&self, rule: &Rule, topics: u8, event: Option<&Event<'_>>) -> Moment {
        let mut oldest_input = self.now;
        for topic in Topic::ALL {
            let newest = self.newest[topic as usize];
            if topics & (1 << topic as u8) != 0 && newest > Time::MIN {
                oldest_input = oldest_input.min(newest);
            }
        }
        let settled = oldest_input.max(self.now - SILENT_INPUT_BOUND) - rule.lateness;
        let late = event.is_some_and(|event| {
            let newest = self.newest[event.event_type.topic() as usize];
            event.time < (newest - rule.lateness).max(settled)
        });
        Moment { settled, now: self.now, late }
    }

    /// Its records are to be written once more.
    pub(super) fn note_change(&mut self) {
        self.meta_changed = true;
    }

    /// Looks up anew when something is due by time alone.
    pub(super) fn reschedule(&mut self) {
        let watches = self.watches.iter().flatten().filter_map(|watch| watch.next_due());
        self.next_due = watches.chain(self.incidents.next_due()).min().unwrap_or(Time::MAX);
    }

    pub(super) fn encode_meta(&mut self, sink: Sink<'_>) {
        if !std::mem::take(&mut self.meta_changed) {
            return;
        }
        let mut value = Vec::new();
        let mut writer = Writer(&mut value);
        writer.byte(META_VERSION);
        for newest in self.newest {
            writer.time(newest);
        }
        writer.time(self.now);
        sink(&[], Some(&value));
    }

    pub(super) fn restore_meta(&mut self, value: &[u8]) -> Result<(), CorruptState> {
        let mut reader = Reader(value);
        if reader.byte()? != META_VERSION {
            return Err(CorruptState);
        }
        for newest in &mut self.newest {
            *newest = reader.time()?;
        }
        self.now = reader.time()?;
        reader.end()
    }

    /// Lets the detectors forget what no event can concern any more.
    pub(super) fn sweep(&mut self, rules: &RuleSet, topics: &[u8]) {
        for (index, rule) in rules.rules.iter().enumerate() {
            let moment = self.moment(rule, topics[index], None);
            if let Some(watch) = &mut self.watches[index] {
                watch.sweep(moment);
            }
            if let Some(counter) = &mut self.counters[index] {
                counter.sweep(moment);
            }
        }
    }
}

/// The topics that concern a rule, as bits.
pub fn topics_of(rule: &Rule) -> u8 {
    crate::core::event::EventType::ALL
        .into_iter()
        .filter(|event_type| rule.types().contains(*event_type))
        .fold(0, |bits, event_type| bits | 1 << event_type.topic() as u8)
}

/// A detector's judgements, reused from event to event.
pub(super) type Scratch = Vec<Judged>;

const META_VERSION: u8 = 1;
