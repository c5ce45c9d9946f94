//! The course of a replay: the lines of all inputs in order, through one engine or several, on virtual time. What is done
//! with what they say is up to whoever looks on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::bail;

use crate::core::engine::{Engine, Observed};
use crate::core::event::decode::{Decoder, EventSettings, RejectReason, Scratch};
use crate::core::event::{Event, TextField, Topic};
use crate::core::incident::journal::Note;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Customers;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::store::Planned;
use crate::edge::geo::Locator;

use super::RulesSetup;
use super::progress::Progress;
use super::source::{Pace, Reader, Source};

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

/// Rules and what they have come to know.
struct Side {
    engine: Engine,
    dispatcher: Dispatcher,
}

impl Side {
    fn advance(&mut self, shards: u32, now: Time) {
        for shard in 0..shards {
            self.engine.advance(shard, now);
        }
        self.engine.advance_scope(now);
    }
}

pub(super) struct Play<O> {
    sources: Vec<Source>,
    shards: u32,
    reader: Reader,
    pace: Pace,
    /// For what any of the sides asks: all of them are to see the same events.
    locator: Option<Locator>,
    sides: Vec<Side>,
    /// Where rules look at fields of the customer.
    customers: Option<Arc<dyn Customers>>,
    pub(super) onlooker: O,
    pub(super) counts: Counts,
    now: Time,
    progress: Progress,
}

impl<O: Onlooker> Play<O> {
    pub(super) fn new(
        events: &EventSettings,
        sides: &[&RulesSetup],
        sources: Vec<Source>,
        progress: Progress,
        onlooker: O,
    ) -> anyhow::Result<Self> {
        let shards = sources.iter().map(|source| source.shard + 1).max().unwrap_or(1);
        let all: Vec<u32> = (0..shards).collect();
        let side = |setup: &&RulesSetup| {
            let mut engine = Engine::new(Arc::clone(&setup.rules), &all);
            if let Some(silences) = &setup.silences {
                engine.silence(silences);
            }
            if O::WANTS_NOTES {
                engine.keep_journal();
            }
            let dispatcher = Dispatcher::new(setup.notices.clone(), Arc::clone(&setup.customers));
            Side { engine, dispatcher }
        };
        let mut play = Self {
            sources,
            shards,
            reader: Reader { decoder: Decoder::new(events.clone()), scratch: Scratch::default() },
            pace: Pace { max_ahead: events.max_ahead, newest_of_topic: [Time::MIN; Topic::ALL.len()] },
            locator: sides.iter().filter_map(|side| side.locator.clone()).reduce(Locator::and),
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
            progress,
        };
        for place in 0..play.sources.len() {
            play.move_on(place)?;
        }
        Ok(play)
    }

    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        while let Some(place) = self.lowest() {
            self.read_one(place)?;
            self.move_on(place)?;
            self.show_effects()?;
        }
        self.time_passes();
        self.advance();
        self.progress.finish(self.counts.events);
        self.show_effects()
    }

    /// The source to read next: of those with unread events the one whose time will be lowest.
    fn lowest(&self) -> Option<usize> {
        let unread =
            self.sources.iter().enumerate().filter_map(|(place, source)| Some((place, source.next?)));
        unread.min_by_key(|(_, next)| *next).map(|(place, _)| place)
    }

    fn move_on(&mut self, place: usize) -> anyhow::Result<()> {
        let alone = self.sources.len() == 1;
        let Some(source) = self.sources.get_mut(place) else { return Ok(()) };
        source.advance(&mut self.reader, &self.pace, alone)
    }

    fn read_one(&mut self, place: usize) -> anyhow::Result<()> {
        let others = self.sources.iter().enumerate().filter(|(other, _)| *other != place);
        let lowest_other = others.filter_map(|(_, source)| source.next).min();
        let Some(source) = self.sources.get_mut(place) else { return Ok(()) };
        let profile;
        let mut event = match source.feed.decode(&mut self.reader) {
            Ok(event) => event,
            Err(reason) => {
                self.reject(reason);
                return Ok(());
            }
        };
        let (time, topic) = (event.time, event.event_type.topic());
        if source.is_suspicious(time, topic, &self.pace) {
            return if source.jumps_ahead(time, topic, &mut self.reader, &self.pace)? {
                self.reject(RejectReason::TooFarAhead);
                Ok(())
            } else {
                self.read_one(place)
            };
        }
        if let Some(customers) = &self.customers {
            profile = event.text(TextField::AccountId).and_then(|account| customers.profile(account));
            if let Some(profile) = &profile {
                profile.describe(&mut event);
            }
        }
        source.newest = time.max(source.newest);
        let newest_of_topic = &mut self.pace.newest_of_topic[topic as usize];
        *newest_of_topic = time.max(*newest_of_topic);
        self.now = self.now.max(lowest_other.map_or(source.newest, |lowest| lowest.min(source.newest)));
        self.counts.events += 1;
        if let Some(locator) = &self.locator {
            locator.locate(&mut event);
        }
        for (place, side) in self.sides.iter_mut().enumerate() {
            let observed = side.engine.observe(source.shard, &mut event, self.now);
            if place == 0 {
                match observed {
                    Observed::Fresh => {}
                    Observed::Late => self.counts.late += 1,
                    Observed::Duplicate => self.counts.duplicates += 1,
                }
                self.onlooker.event(&event, observed);
            }
            side.advance(self.shards, self.now);
        }
        self.progress.tick(self.counts.events, || all_progress(&self.sources));
        Ok(())
    }

    fn reject(&mut self, reason: RejectReason) {
        *self.counts.rejected.entry(reason.as_str()).or_default() += 1;
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
            side.advance(self.shards, self.now);
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
            let mut effects: Vec<_> = side.engine.drain_effects().collect();
            if self.shards > 1 {
                // What is due in several shards is decided shard by shard.
                effects.sort_by_key(|effect| effect.at);
            }
            for effect in effects {
                let planned = side.dispatcher.plan(effect);
                self.onlooker.planned(place, &planned)?;
            }
        }
        Ok(())
    }
}

/// How much of all inputs is read, and how much there is; [`None`] where nobody knows that.
fn all_progress(sources: &[Source]) -> Option<(u64, u64)> {
    let each: Option<Vec<(u64, u64)>> = sources.iter().map(|source| source.feed.progress()).collect();
    let sum = |(read, all): (u64, u64), (more, more_all): (u64, u64)| (read + more, all + more_all);
    each.map(|each| each.into_iter().fold((0, 0), sum))
}
