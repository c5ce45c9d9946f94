//! One life of the daemon: built as after any start, from the last checkpoint and the database, and run step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::database::Unreliable;
use super::neighbours::{Cluster, DeadLetters, Partitions, Simulated, State, shuffle};
use super::outside::{Life, Outside};
use super::platform::TOPICS;
use super::post::Post;
use crate::core::event::Topic;
use crate::core::event::decode::{Decoder, EventSettings};
use crate::core::rule::RuleSet;
use crate::core::time::{Span, Time};
use crate::daemon::build::Shared;
use crate::daemon::effects::{Batch, EffectWriter, Observer, WAITING_BATCHES};
use crate::daemon::events::EventReader;
use crate::daemon::history::HistorySource;
use crate::daemon::locating::Locating;
use crate::daemon::pipeline::{Counts, Pipeline};
use crate::daemon::takeover::Takeover;
use crate::daemon::worker::{Next, Progress, Worker, WorkerSettings};
use crate::daemon::{manager_rules, restore};
use crate::delivery::customers::Everybody;
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::delivery::outbox::{Outbox, OutboxSettings, Parts};
use crate::delivery::ownership::{Ownership, Taken};
use crate::delivery::render::Templates;
use crate::delivery::store::{Applied, Planned, Store as _, StoreError};
use crate::edge::kafka::{Cluster as KafkaCluster, Place};
use crate::edge::store::Database;

const CHECKPOINT_EVERY: Duration = Duration::from_secs(8);
/// Longer than the slowest message takes.
const LEASE: Duration = Duration::from_secs(90);

/// What all lives are built from.
#[derive(Clone)]
pub struct Kit {
    pub rules: Arc<RuleSet>,
    pub templates: Arc<Templates>,
    pub outside: Outside,
    pub database: Database,
}

struct Nobody;

impl Observer for Nobody {
    fn written(&mut self, _: &[Planned], _: Applied, _: Duration, _: Option<Duration>) {}
    fn retried(&mut self) {}
}

/// A daemon that runs.
pub struct Daemon {
    pub life: Life,
    outside: Outside,
    worker: Worker<Simulated>,
    /// What the worker hands on, on its way to the writer.
    handed: mpsc::Receiver<Batch>,
    batches: mpsc::Sender<Batch>,
    decided: u64,
    writer: JoinHandle<Result<(), StoreError>>,
    shared: Shared,
    /// The time of the simulation when this life's own clock was at zero.
    began: Arc<AtomicI64>,
    passed: i64,
    // Last: what runs in it holds parts of the others.
    runtime: Runtime,
}

/// How a life stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Runs(Next),
    /// It has crashed, or has found that its shards are another's.
    Over,
}

impl Daemon {
    /// Starts a daemon. [`None`]: it has crashed while it started, or could not.
    pub fn start(parts: &Kit, life: Life) -> Option<Self> {
        let Kit { rules, templates, outside, database } = parts;
        {
            let mut things = outside.things();
            things.light_fuse();
            things.books.insert(life, super::outside::Book::default());
            things.note(life, || "starts".to_owned());
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().ok()?;
        let store = Unreliable { life, outside: outside.clone(), database: database.clone() };
        let customers = Arc::new(Everybody);
        let shared = Shared::new(Arc::<Everybody>::clone(&customers));
        let settings = NoticeSettings { manager_rules: manager_rules(rules), ..NoticeSettings::default() };
        let mut dispatcher = Dispatcher::new(settings, Arc::<Everybody>::clone(&customers));
        let (batches, handed) = mpsc::channel(WAITING_BATCHES);
        let taken = runtime.block_on(take_over(&store));
        let ownership = taken?;
        let (worker, began) = {
            let worker =
                runtime.block_on(build(parts, life, &store, &mut dispatcher, batches, &shared)).ok()?;
            (worker, Arc::new(AtomicI64::new(outside.things().now)))
        };
        let clock: Arc<dyn crate::delivery::outbox::WallClock> = {
            let _inside = runtime.enter();
            let (began, zero) = (Arc::clone(&began), Instant::now());
            Arc::new(move || {
                let passed = Instant::now().duration_since(zero).as_millis() as i64;
                Time::from_millis(began.load(Ordering::Relaxed) + passed)
            })
        };
        let wake = Arc::new(Notify::new());
        let (to_writer, queue) = mpsc::channel(WAITING_BATCHES);
        let writer = EffectWriter {
            store: store.clone(),
            ownership,
            dispatcher,
            durable: Arc::clone(&shared.durable),
            waker: Arc::clone(&shared.waker),
            outbox: Arc::clone(&wake),
            observer: Nobody,
            clock: Arc::clone(&clock),
            give_up: CancellationToken::new(),
        };
        let writer = runtime.spawn(writer.run(queue));
        let parts = Parts {
            store,
            mailer: Post { life, outside: outside.clone() },
            templates: Arc::clone(templates),
            customers,
            clock,
            observer: Arc::new(()),
            wake,
        };
        let settings = OutboxSettings {
            concurrency: 3,
            poll: Duration::from_secs(5),
            lease: LEASE,
            retry_longest: Span::from_secs(60),
            ..OutboxSettings::default()
        };
        runtime.spawn(Outbox::new(parts, settings).run(CancellationToken::new()));
        let outside = outside.clone();
        let mut daemon = Self {
            life,
            outside,
            worker,
            handed,
            batches: to_writer,
            decided: 0,
            writer,
            shared,
            began,
            passed: 0,
            runtime,
        };
        if daemon.worker.set_out().is_err() {
            daemon.crash();
            return None;
        }
        Some(daemon)
    }

    /// Lets time pass for what waits, then lets the worker take one step.
    pub fn step(&mut self, lap: Duration) -> Standing {
        self.runtime.block_on(async {
            tokio::time::sleep(lap).await;
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        self.passed += lap.as_millis() as i64;
        if !self.outside.step(self.life, "a turn of the loop") {
            return Standing::Over;
        }
        let written_before = self.worker.checkpoints.writes;
        let next = self.worker.step(lap);
        self.hand_on();
        if self.worker.checkpoints.writes > written_before {
            let sealed = self.worker.batches_made();
            if let Some(book) = self.outside.things().books.get_mut(&self.life) {
                book.sealed = sealed;
            }
        }
        let is_dead = self.outside.things().dead.contains(&self.life);
        match next {
            Ok(next) if !is_dead && !self.writer.is_finished() => Standing::Runs(next),
            Ok(next @ Next::End { .. }) if !is_dead => Standing::Runs(next),
            Ok(_) | Err(_) => Standing::Over,
        }
    }

    /// Brings what the worker has decided to the writer, as far as there is room.
    fn hand_on(&mut self) {
        while let Ok(place) = self.batches.try_reserve() {
            let Ok(batch) = self.handed.try_recv() else { break };
            self.decided += batch.effects.len() as u64;
            let mut things = self.outside.things();
            if let Some(book) = things.books.get_mut(&self.life) {
                book.decided.insert(batch.number, self.decided);
            }
            drop(things);
            place.send(batch);
        }
    }

    /// After a sleep the clocks of this life go on as those of all others have gone on.
    pub fn wake(&mut self) {
        let now = self.outside.things().now;
        self.began.store(now - self.passed, Ordering::Relaxed);
    }

    pub fn stop(&self) {
        self.shared.control.stop();
    }

    /// The event time that every shard has reached.
    pub fn time(&mut self) -> Time {
        self.worker.pipeline.clocks.scope_time()
    }

    /// Everything that is not durable is lost.
    pub fn crash(mut self) {
        self.outside.things().dead.insert(self.life);
        self.worker.checkpoints.crash();
    }
}

async fn take_over(store: &Unreliable) -> Option<Ownership> {
    let shards: Vec<u32> = (0..store.outside.things().platform.shards).collect();
    match store.take_over(&shards, "simulated", Duration::from_secs(15), None).await {
        Ok(Taken::Mine(ownership)) => Some(ownership),
        Ok(Taken::Held(_)) | Err(_) => None,
    }
}

async fn build(
    parts: &Kit,
    life: Life,
    store: &Unreliable,
    dispatcher: &mut Dispatcher,
    batches: mpsc::Sender<Batch>,
    shared: &Shared,
) -> anyhow::Result<Worker<Simulated>> {
    let Kit { rules, outside, .. } = parts;
    let (places, shards, checkpoint, records) = found(outside);
    let (resumed, ()) = restore::resume(rules, shards, &places, checkpoint.as_ref(), |engine| {
        for (number, ((shard, key), value)) in records.iter().enumerate() {
            anyhow::ensure!(number % 64 > 0 || outside.step(life, "restoring the state"), "crashed");
            engine.restore(*shard, key, value).map_err(|_| anyhow::anyhow!("a record cannot be read"))?;
        }
        Ok(())
    })?;
    let restore::Resumed { mut engine, clocks } = resumed;
    let known = restore::known(store, rules, checkpoint.as_ref(), &mut engine, dispatcher).await?;
    let ends = places.iter().map(|place| place.end).collect();
    let decoder = Arc::new(Decoder::new(EventSettings::default()));
    let max_ahead = Span::from_mins(5);
    let (_nobody_orders, orders) = mpsc::channel(1);
    let names: Vec<(Topic, String)> =
        TOPICS.iter().map(|topic| (*topic, topic.as_str().to_owned())).collect();
    let source = HistorySource {
        cluster: KafkaCluster { brokers: Vec::new(), group: String::new(), options: BTreeMap::new() },
        topics: names.clone(),
        decoder: Arc::clone(&decoder),
        customers: Arc::clone(&shared.customers),
        places: None,
        max_ahead,
        batch: 1,
        held_bytes: 1,
        share: 1.0,
    };
    let locating = Locating::new(None, rules);
    Ok(Worker {
        settings: WorkerSettings {
            shards,
            checkpoint_every: CHECKPOINT_EVERY,
            until_end: false,
            lateness: rules.rules.iter().map(|rule| rule.lateness).max().unwrap_or(Span::ZERO),
        },
        inflow: Partitions::new(life, outside, &places),
        pipeline: Pipeline {
            events: EventReader::new(decoder, Arc::clone(&shared.customers), locating, max_ahead),
            engine,
            clocks,
            dead_letters: DeadLetters::new(life, outside),
            names,
            counts: Counts::default(),
            cause: None,
            captured: None,
            next_scope_pass: Time::MIN,
        },
        presence: Cluster(outside.clone()),
        checkpoints: State::new(life, outside),
        batches,
        durable: Arc::clone(&shared.durable),
        waker: Arc::clone(&shared.waker),
        control: Arc::clone(&shared.control),
        board: Arc::clone(&shared.board),
        ends,
        progress: Progress::default(),
        takeover: Takeover::new(orders, source, known),
    })
}

type Records = Vec<((u32, Vec<u8>), Vec<u8>)>;

/// What a start finds: where to read from, and the last checkpoint with its records, in any order.
fn found(outside: &Outside) -> (Vec<Place>, u32, Option<crate::edge::snapshot::Checkpoint>, Records) {
    let mut things = outside.things();
    let checkpoint = things.kept.checkpoint.clone();
    let shards = things.platform.shards;
    let mut places = Vec::new();
    for partition in &things.platform.partitions {
        let position = checkpoint.iter().flat_map(|checkpoint| &checkpoint.positions).find(|position| {
            position.topic == partition.topic.as_str() && position.partition == partition.number
        });
        places.push(Place {
            topic: partition.topic,
            partition: partition.number,
            shard: partition.number % shards,
            next: position.map_or(0, |position| position.next_offset),
            newest: position.map_or(Time::MIN, |position| position.newest),
            end: partition.end(things.now),
        });
    }
    let mut records: Records = things.kept.records.clone().into_iter().collect();
    if things.faults {
        shuffle(&mut records, &mut things);
    }
    (places, shards, checkpoint, records)
}
