//! The course of a replay: the lines of all inputs in order, through one engine or several, on virtual time. What is done
//! with what they say is up to whoever looks on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::core::engine::{Engine, Observed};
use crate::core::event::decode::{Decoder, EventSettings, RejectReason, Scratch};
use crate::core::event::{Event, TextField, Topic};
use crate::core::incident::journal::Note;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Customers;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::store::Planned;

use super::RulesSetup;
use super::input::Lines;
use super::progress::Progress;

/// The number of later lines of its topic that an event which jumps ahead is compared with.
const COMPARED_AHEAD: usize = 10;

/// There is one shard: in a replayed file each topic is one partition.
const SHARD: u32 = 0;

/// Counts of what happened to the events. What is late is so for the first rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) rejected: BTreeMap<&'static str, u64>,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    /// Findings that a silence covered; [`None`] where there are no silences.
    pub(super) silenced: Option<u64>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, late, duplicates, rejected, silenced } = self;
        let rejected: u64 = rejected.values().sum();
        write!(f, "{events} events, {rejected} rejected, {late} late, {duplicates} duplicates")?;
        match silenced {
            Some(silenced) => write!(f, ", {silenced} findings silenced"),
            None => Ok(()),
        }
    }
}

/// What looks on while events are replayed.
pub(super) trait Onlooker {
    /// An event was read, before what follows from it.
    fn event(&mut self, event: &Event<'_>, observed: Observed);

    /// Whether [`Onlooker::note`] is to be called.
    const WANTS_NOTES: bool = false;

    /// What became of findings; before what follows from it.
    fn note(&mut self, _note: &Note) {}

    /// What follows, in the order of decision. `side`: the place of the rules that decided it.
    fn planned(&mut self, side: usize, planned: &Planned) -> anyhow::Result<()>;
}

struct Source {
    lines: Lines,
    newest: Time,
    more: bool,
}

/// Rules and what they have come to know.
struct Side {
    engine: Engine,
    dispatcher: Dispatcher,
}

impl Side {
    fn advance(&mut self, now: Time) {
        self.engine.advance(SHARD, now);
        self.engine.advance_scope(now);
    }
}

pub(super) struct Play<O> {
    sources: Vec<Source>,
    decoder: Decoder,
    scratch: Scratch,
    max_ahead: Span,
    sides: Vec<Side>,
    /// Where rules look at fields of the customer.
    customers: Option<Arc<dyn Customers>>,
    pub(super) onlooker: O,
    pub(super) counts: Counts,
    now: Time,
    newest_of_topic: [Time; Topic::ALL.len()],
    progress: Progress,
}

impl<O: Onlooker> Play<O> {
    pub(super) fn new(
        events: &EventSettings,
        sides: &[&RulesSetup],
        inputs: Vec<Lines>,
        onlooker: O,
    ) -> anyhow::Result<Self> {
        let mut sources = Vec::new();
        for mut lines in inputs {
            let more = lines.advance().context("cannot read the events")?;
            sources.push(Source { lines, newest: Time::MIN, more });
        }
        let side = |setup: &&RulesSetup| {
            let mut engine = Engine::new(Arc::clone(&setup.rules), &[SHARD]);
            if let Some(silences) = &setup.silences {
                engine.silence(silences);
            }
            if O::WANTS_NOTES {
                engine.keep_journal();
            }
            let dispatcher = Dispatcher::new(setup.notices.clone(), Arc::clone(&setup.customers));
            Side { engine, dispatcher }
        };
        Ok(Self {
            sources,
            decoder: Decoder::new(events.clone()),
            scratch: Scratch::default(),
            max_ahead: events.max_ahead,
            sides: sides.iter().map(side).collect(),
            customers: sides
                .iter()
                .find(|side| side.rules.names_customers())
                .map(|side| Arc::clone(&side.customers)),
            onlooker,
            counts: Counts {
                silenced: sides.iter().find_map(|side| side.silences.as_ref()).map(|_| 0),
                ..Counts::default()
            },
            now: Time::MIN,
            newest_of_topic: [Time::MIN; Topic::ALL.len()],
            progress: Progress::new(),
        })
    }

    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        while let Some(place) = self.lowest() {
            self.read_one(place, false)?;
            if let Some(source) = self.sources.get_mut(place) {
                source.more = source.lines.advance().context("cannot read the events")?;
            }
            self.show_effects()?;
        }
        self.time_passes();
        self.advance();
        self.progress.finish(self.counts.events);
        self.show_effects()
    }

    /// The source to read next: of those with unread lines the one whose newest event is oldest.
    fn lowest(&self) -> Option<usize> {
        let unread = self.sources.iter().enumerate().filter(|(_, source)| source.more);
        unread.min_by_key(|(_, source)| source.newest).map(|(place, _)| place)
    }

    /// `vouched`: the lines that follow have been looked at already and bear out the event's time.
    fn read_one(&mut self, place: usize, vouched: bool) -> anyhow::Result<()> {
        let others = self.sources.iter().enumerate().filter(|(other, source)| source.more && *other != place);
        let lowest_other = others.map(|(_, source)| source.newest).min();
        let Some(Source { lines, newest, .. }) = self.sources.get_mut(place) else { return Ok(()) };
        let profile;
        let mut event = match self.decoder.decode(lines.current(), &mut self.scratch) {
            Ok(event) => event,
            Err(reason) => {
                self.reject(reason);
                return Ok(());
            }
        };
        let (time, topic) = (event.time, event.event_type.topic());
        if !vouched && time.since(self.newest_of_topic[topic as usize]) > self.max_ahead {
            return if self.jumps_ahead(place, time, topic)? {
                self.reject(RejectReason::TooFarAhead);
                Ok(())
            } else {
                self.read_one(place, true)
            };
        }
        if let Some(customers) = &self.customers {
            profile = event.text(TextField::AccountId).and_then(|account| customers.profile(account));
            if let Some(profile) = &profile {
                profile.describe(&mut event);
            }
        }
        *newest = event.time.max(*newest);
        let newest_of_topic = &mut self.newest_of_topic[event.event_type.topic() as usize];
        *newest_of_topic = event.time.max(*newest_of_topic);
        self.now = self.now.max(lowest_other.map_or(*newest, |lowest| lowest.min(*newest)));
        self.counts.events += 1;
        for (place, side) in self.sides.iter_mut().enumerate() {
            let observed = side.engine.observe(SHARD, &mut event, self.now);
            if place == 0 {
                match observed {
                    Observed::Fresh => {}
                    Observed::Late => self.counts.late += 1,
                    Observed::Duplicate => self.counts.duplicates += 1,
                }
                self.onlooker.event(&event, observed);
            }
            side.engine.advance_scope(self.now);
        }
        self.progress.tick(self.counts.events);
        Ok(())
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.counts.rejected.entry(reason.as_str()).or_default() += 1;
    }

    /// Whether the current line is an event far ahead of its topic that the next lines of the topic do not follow: it
    /// would drag the clock along. A file has no arrival times to compare with.
    fn jumps_ahead(&mut self, place: usize, time: Time, topic: Topic) -> anyhow::Result<bool> {
        let Some(source) = self.sources.get_mut(place) else { return Ok(false) };
        let (mut compared, mut ahead_of) = (0, 0);
        let (decoder, scratch, max_ahead) = (&self.decoder, &mut self.scratch, self.max_ahead);
        source
            .lines
            .look_ahead(|line| {
                if let Ok(next) = decoder.decode(line, scratch)
                    && next.event_type.topic() == topic
                {
                    compared += 1;
                    ahead_of += usize::from(time.since(next.time) > max_ahead);
                }
                compared < COMPARED_AHEAD && ahead_of == compared
            })
            .context("cannot read the events")?;
        Ok(compared > 0 && ahead_of == compared)
    }

    /// At the end of the input everything is read: time is that of the newest event.
    fn time_passes(&mut self) {
        let newest = self.sources.iter().map(|source| source.newest).max().unwrap_or(Time::MIN);
        self.now = self.now.max(newest);
    }

    pub(super) fn pass(&mut self, until: Time) -> anyhow::Result<()> {
        if until < self.now {
            bail!("--until {until} lies before the last event, {}", self.now);
        }
        // In steps, so that what spans partitions is judged step by step as it would be in production.
        while self.now < until {
            self.now = (self.now + Span::from_secs(1)).min(until);
            self.advance();
            self.show_effects()?;
        }
        Ok(())
    }

    fn advance(&mut self) {
        for side in &mut self.sides {
            side.advance(self.now);
        }
    }

    fn show_effects(&mut self) -> anyhow::Result<()> {
        if let (Some(silenced), Some(side)) = (&mut self.counts.silenced, self.sides.first()) {
            *silenced = side.engine.silenced();
        }
        for (place, side) in self.sides.iter_mut().enumerate() {
            if O::WANTS_NOTES {
                for note in side.engine.drain_notes() {
                    self.onlooker.note(&note);
                }
            }
            if !side.engine.has_effects() {
                continue;
            }
            for effect in side.engine.drain_effects() {
                let planned = side.dispatcher.plan(effect);
                self.onlooker.planned(place, &planned)?;
            }
        }
        Ok(())
    }
}
