//! Fills new and changed rules from what Kafka still has: an engine of their own reads, in a thread of its own and at a
//! bounded speed, up to where the worker is, and then what the worker has read since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::Context as _;

use super::events::EventReader;
use super::exchange::{Captured, Exchange, Standing};
use super::locating::Locating;
use super::pipeline::SCOPE_PASS_EVERY;
use crate::core::clock::Clocks;
use crate::core::engine::Engine;
use crate::core::event::Topic;
use crate::core::event::decode::{Attributes, Decoder};
use crate::core::incident::KnownIncident;
use crate::core::rule::RuleSet;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Customers;
use crate::edge::clock::Stopwatch;
use crate::edge::geo::watch::Watch;
use crate::edge::kafka::{
    Begin, Cluster, Intake, IntakeSettings, Place, Probe, Reading, Record, Source, Waker,
};

/// So much is left to the worker at most: it stands still while it reads this.
const LEFT_TO_WORKER: usize = 2_000;
/// Nothing has come for so long although there should be something: history can't be read.
const PATIENCE: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(5);

/// What the thread is built from.
#[derive(Clone)]
pub struct HistorySource {
    pub cluster: Cluster,
    pub topics: Vec<(Topic, String)>,
    pub decoder: Arc<Decoder>,
    pub customers: Arc<dyn Customers>,
    /// The location files, where there are any.
    pub places: Option<Arc<Watch>>,
    pub max_ahead: Span,
    pub batch: usize,
    pub held_bytes: usize,
    /// Of one core, while it reads what is old.
    pub share: f64,
}

/// What is to be filled.
pub struct Task {
    /// The rules to run.
    pub rules: Arc<RuleSet>,
    pub shards: u32,
    /// Event time to begin at.
    pub from: Time,
    /// Tickets of these rules that the database has.
    pub known: Vec<KnownIncident>,
}

/// An engine that has read what the worker has, or nearly: the rest waits in the exchange.
pub struct Filled {
    pub engine: Box<Engine>,
    /// Since when there is history, if retention has taken what is older.
    pub since: Option<Time>,
    reader: Reader,
}

impl std::fmt::Debug for Filled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filled").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Filled {
    /// Reads what the worker has read in the meantime.
    pub fn read_captured(&mut self, record: &Captured) {
        self.reader.read_captured(&mut self.engine, record);
    }
}

/// Starts the thread; what comes of it is left in the exchange.
pub fn start(source: HistorySource, task: Task, exchange: Arc<Exchange>) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name("history".to_owned());
    builder.spawn(move || {
        let filled = fill(&source, task, &exchange);
        exchange.finish(filled.map(Box::new).map_err(|error| format!("{error:#}")));
    })?;
    Ok(())
}

fn fill(source: &HistorySource, task: Task, exchange: &Exchange) -> anyhow::Result<Filled> {
    let shards: Vec<u32> = (0..task.shards).collect();
    let locating = Locating::new(source.places.clone(), &task.rules);
    let mut engine = Box::new(Engine::new(task.rules, &shards));
    engine.hush();
    for known in &task.known {
        engine.adopt(known);
    }
    let mut reader = Reader {
        events: EventReader::new(
            Arc::clone(&source.decoder),
            Arc::clone(&source.customers),
            locating,
            source.max_ahead,
        ),
        clocks: Clocks::new(&shards),
        max_ahead: source.max_ahead,
        next_scope_pass: Time::MIN,
        limits: Standing::default(),
        next: BTreeMap::new(),
        cut: BTreeMap::new(),
    };
    let probe = Probe::new(&source.cluster)?;
    let mut is_first = true;
    'rounds: loop {
        exchange.ask();
        let standing = loop {
            anyhow::ensure!(!exchange.is_cancelled(), "another change came before it was done");
            if let Some(standing) = exchange.answer() {
                break standing;
            }
            park_timeout(REST);
        };
        if is_first {
            reader.begin(&probe, source, &standing, task.from)?;
        }
        let share = if is_first { source.share } else { 1.0 };
        is_first = false;
        reader.limits = standing.clone();
        reader.catch_up(&mut engine, source, &standing, share, exchange)?;
        loop {
            anyhow::ensure!(!exchange.is_cancelled(), "another change came before it was done");
            if exchange.has_overflowed() {
                continue 'rounds;
            }
            let records = exchange.take_records();
            for record in &records {
                reader.read_captured(&mut engine, record);
            }
            if records.len() <= LEFT_TO_WORKER {
                return Ok(Filled { engine, since: reader.since(), reader });
            }
        }
    }
}

/// Reads records into an engine that nobody hears.
struct Reader {
    events: EventReader,
    clocks: Clocks,
    /// An event is at most so much later than Kafka's time of its record.
    max_ahead: Span,
    next_scope_pass: Time,
    /// The times that the worker has reached: nothing is judged beyond them.
    limits: Standing,
    /// Where each partition is read on.
    next: BTreeMap<(Topic, u32), i64>,
    /// Partitions of which retention has taken what would be needed, with the time of their first event.
    cut: BTreeMap<(Topic, u32), Option<Time>>,
}

impl Reader {
    /// Finds where to begin.
    fn begin(
        &mut self,
        probe: &Probe,
        source: &HistorySource,
        standing: &Standing,
        from: Time,
    ) -> anyhow::Result<()> {
        let name = |topic: Topic| {
            let named = source.topics.iter().find(|(known, _)| *known == topic);
            named.map(|(_, name)| name.clone()).unwrap_or_default()
        };
        let mut sources = BTreeMap::new();
        let mut ranges = BTreeMap::new();
        for (topic, partition, _) in &standing.next {
            let place = Source { topic: name(*topic), partition: *partition };
            ranges.insert(place.clone(), probe.range(&place)?);
            sources.insert(place, (*topic, *partition));
        }
        let wanted: Vec<Source> = sources.keys().cloned().collect();
        let begun = probe.begin(&wanted, &ranges, Begin::At(from - self.max_ahead))?;
        for (place, key) in sources {
            let (Some(begin), Some(range)) = (begun.get(&place), ranges.get(&place)) else { continue };
            let worker = standing.next.iter().find(|(topic, partition, _)| (*topic, *partition) == key);
            let end = worker.map_or(range.high, |(.., next)| *next);
            self.next.insert(key, (*begin).min(end));
            if *begin <= range.low && range.low > 0 {
                self.cut.insert(key, None);
            }
        }
        Ok(())
    }

    /// Reads from Kafka up to where the worker was.
    fn catch_up(
        &mut self,
        engine: &mut Engine,
        source: &HistorySource,
        standing: &Standing,
        share: f64,
        exchange: &Exchange,
    ) -> anyhow::Result<()> {
        let shards = standing.shards.len().max(1) as u32;
        let mut places = Vec::with_capacity(standing.next.len());
        for (topic, partition, end) in &standing.next {
            let next = self.next.get(&(*topic, *partition)).copied().unwrap_or(*end).min(*end);
            let (topic, partition) = (*topic, *partition);
            places.push(Place {
                topic,
                partition,
                shard: partition % shards,
                next,
                newest: Time::MIN,
                end: *end,
            });
        }
        let ends: Vec<i64> = places.iter().map(|place| place.end).collect();
        let waker = Arc::new(Waker::default());
        waker.claim();
        let settings = IntakeSettings {
            topics: source.topics.clone(),
            places,
            batch: source.batch,
            held_bytes: source.held_bytes,
            until_end: true,
        };
        let mut intake = Intake::detached(source.cluster.clone(), settings, waker)?;
        let mut reading = Replay { reader: self, engine };
        intake.take_all(&mut reading);
        let mut progress = Stopwatch::start();
        loop {
            let work = Stopwatch::start();
            let count = intake.read(&mut reading);
            if intake.inputs().iter().zip(&ends).all(|(input, end)| input.has_reached(*end)) {
                break;
            }
            anyhow::ensure!(!exchange.is_cancelled(), "another change came before it was done");
            if count > 0 {
                progress.lap();
                park_timeout(work.elapsed().mul_f64((1.0 - share) / share));
                continue;
            }
            anyhow::ensure!(
                progress.elapsed() < PATIENCE,
                "kafka has given none of the history that it should have for {} s",
                PATIENCE.as_secs()
            );
            intake.repair().context("cannot replace a client of kafka")?;
            park_timeout(REST);
        }
        for (topic, partition, end) in &standing.next {
            self.next.insert((*topic, *partition), *end);
        }
        intake.close();
        Ok(())
    }

    fn read_captured(&mut self, engine: &mut Engine, record: &Captured) {
        self.next.insert((record.topic, record.partition), record.offset + 1);
        engine.advance_scope(record.scope);
        let attributes = Attributes::of(record.attributes.each_ref().map(Option::as_deref));
        // What was too far ahead was not captured.
        let read = self.events.read(&record.payload, attributes, None, engine.names_customers());
        let Ok(mut event) = read else { return };
        engine.observe(record.shard, &mut event, record.now);
        engine.drain_effects();
    }

    /// Since when history is whole, if it is cut: what began last.
    fn since(&self) -> Option<Time> {
        let now = self.limits.shards.iter().map(|(_, now)| *now).max().unwrap_or(Time::MIN);
        self.cut.values().map(|first| first.unwrap_or(now)).max()
    }
}

/// A reader with its engine, as Kafka's records come.
struct Replay<'a> {
    reader: &'a mut Reader,
    engine: &'a mut Engine,
}

impl Reading for Replay<'_> {
    fn record(&mut self, record: &Record<'_>) -> Option<Time> {
        let Self { reader, engine } = self;
        let attributes = Attributes::of(record.attributes);
        let payload = record.payload.unwrap_or_default();
        let names_customers = engine.names_customers();
        let mut event = reader.events.read(payload, attributes, record.timestamp, names_customers).ok()?;
        let time = event.time;
        if let Some(first) = reader.cut.get_mut(&(record.topic, record.partition)) {
            first.get_or_insert(time);
        }
        reader.clocks.read(record.shard, record.topic, time);
        let limit = reader.limits.shards.iter().find(|(shard, _)| *shard == record.shard);
        let limit = limit.map_or(Time::MIN, |(_, now)| *now);
        let now = reader.clocks.shard_time(record.shard).min(limit);
        engine.observe(record.shard, &mut event, now);
        if now >= reader.next_scope_pass {
            reader.next_scope_pass = now + SCOPE_PASS_EVERY;
            let scope = reader.clocks.scope_time().min(reader.limits.scope);
            engine.advance_scope(scope);
        }
        engine.drain_effects();
        Some(time)
    }

    fn unread(&mut self, shard: u32, topic: Topic, unread: bool) {
        self.reader.clocks.set_unread(shard, topic, unread);
    }
}
