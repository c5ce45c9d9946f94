//! The worker, built from everything that can fail to be there.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::control::Control;
use super::effects::{Batch, Durable};
use super::events::EventReader;
use super::figures::Board;
use super::history::HistorySource;
use super::locating::Locating;
use super::neighbours::Real;
use super::origin::Origin;
use super::pipeline::{Counts, Pipeline};
use super::shipper::Shipper;
use super::takeover::{Order, Takeover};
use super::worker::{Progress, Worker, WorkerSettings};
use super::{RunOptions, Setup, places, restore};
use crate::core::event::Topic;
use crate::core::event::decode::Decoder;
use crate::core::time::{Span, Time};
use crate::delivery::customers::Customers;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::ownership::Ownership;
use crate::delivery::store::Store;
use crate::edge::geo::watch::Watch;
use crate::edge::kafka::{Cluster, DeadLetters, Intake, IntakeSettings, Probe, Pulse, Waker};
use crate::edge::snapshot::SnapshotWriter;
use crate::settings::{KafkaSettings, Settings, TopicSettings};

/// Of the time that a restart may take for reading again, what lies between two checkpoints. The rest is for the
/// commit to become durable.
const CHECKPOINT_SHARE: f64 = 0.6;

/// What the worker shares with its surroundings.
#[derive(Clone)]
pub struct Shared {
    /// Who rules may ask about.
    pub customers: Arc<dyn Customers>,
    pub waker: Arc<Waker>,
    pub control: Arc<Control>,
    pub durable: Arc<Durable>,
    pub board: Arc<Board>,
    /// The location files, where there are any.
    pub places: Option<Arc<Watch>>,
}

impl Shared {
    pub fn new(customers: Arc<dyn Customers>) -> Self {
        Self {
            customers,
            waker: Arc::default(),
            control: Arc::default(),
            durable: Arc::default(),
            board: Arc::default(),
            places: None,
        }
    }
}

/// Whether the cluster answers and has the topics as they should be. Until then nothing is made, changed or started.
pub fn probe(settings: &Settings) -> anyhow::Result<Probe> {
    let topics = topics(&settings.topics);
    anyhow::ensure!(
        !topics.is_empty(),
        "no topic is configured; name at least topics.orders or topics.logins"
    );
    let probe = Probe::new(&cluster(&settings.kafka))?;
    probe.partitions(&topics)?;
    Ok(probe)
}

/// How many shards there are.
fn shards(settings: &Settings, probe: &Probe) -> anyhow::Result<u32> {
    let topics = topics(&settings.topics);
    Ok(places::shard_count(&topics, &probe.partitions(&topics)?))
}

/// What goes into the worker and comes out of it.
pub struct Channels {
    pub batches: mpsc::Sender<Batch>,
    /// Rules that are to take over.
    pub orders: mpsc::Receiver<Order>,
}

/// A worker, what it may write, and what goes on beside it.
pub struct Built {
    pub worker: Worker<Real>,
    pub ownership: Ownership,
    /// To be dropped when the worker has ended: what it has committed last goes out then.
    pub shipper: Option<Shipper>,
}

/// Takes the shards over, restores the state, finds the places to read from, and joins the group.
pub async fn worker<S: Store>(
    setup: &Setup,
    store: &S,
    probe: Probe,
    dispatcher: &mut Dispatcher,
    options: RunOptions,
    channels: Channels,
    shared: Shared,
) -> anyhow::Result<Built> {
    let Setup { settings, rules, .. } = setup;
    let events = &settings.events;
    let topics = topics(&settings.topics);
    let cluster = cluster(&settings.kafka);
    let origin = Origin::find(settings, store, &probe, &cluster, shards(settings, &probe)?).await?;
    let Origin { log, checkpoint, ownership, outgoing, cut_bytes } = origin;
    probe.ensure_topic(&cluster, &settings.topics.dead_letter, "topics.dead_letter").await?;
    let places =
        places::find(&probe, &topics, checkpoint.as_ref(), settings.kafka.start, options.accept_gaps)?;
    if places.skipped > 0 {
        tracing::error!(
            records = places.skipped,
            "records were lost to retention and are skipped, as accepted"
        );
    }
    let (resumed, restored) =
        restore::resume(rules, places.shards, &places.places, checkpoint.as_ref(), |engine| {
            restore::records(&log, engine)
        })?;
    let restore::Resumed { mut engine, clocks } = resumed;
    let known = restore::known(store, rules, checkpoint.as_ref(), &mut engine, dispatcher).await?;
    let mut snapshot = SnapshotWriter::start(log)?;
    snapshot.add(restored.tombstones)?;
    tracing::info!(records = restored.records, outdated = restored.stale, cut_bytes, "state is restored");
    let ship = |(changelog, shipping)| Shipper::start(changelog, shipping);
    let shipper = outgoing.map(ship).transpose()?;
    let ends = places.places.iter().map(|place| place.end).collect();
    let intake = Intake::new(
        cluster.clone(),
        IntakeSettings {
            topics: topics.clone(),
            places: places.places,
            batch: settings.kafka.poll_batch,
            held_bytes: settings.kafka.held_bytes,
            until_end: options.until_end,
        },
        Arc::clone(&shared.waker),
    )?;
    let decoder = Arc::new(Decoder::new(events.clone()));
    let source = HistorySource {
        cluster: cluster.clone(),
        topics: topics.clone(),
        decoder: Arc::clone(&decoder),
        customers: Arc::clone(&shared.customers),
        places: shared.places.clone(),
        max_ahead: events.max_ahead,
        batch: settings.kafka.poll_batch,
        held_bytes: settings.kafka.held_bytes,
        share: settings.rules.history_share,
    };
    let pipeline = Pipeline {
        events: EventReader::new(
            decoder,
            shared.customers,
            Locating::new(shared.places.clone(), rules),
            events.max_ahead,
        ),
        engine,
        clocks,
        dead_letters: DeadLetters::new(&cluster, &settings.topics.dead_letter)?,
        names: topics.clone(),
        counts: Counts::default(),
        cause: None,
        captured: None,
        next_scope_pass: Time::MIN,
    };
    let worker = Worker {
        settings: WorkerSettings {
            shards: places.shards,
            checkpoint_every: settings.state.recovery.mul_f64(CHECKPOINT_SHARE),
            until_end: options.until_end,
            lateness: rules.rules.iter().map(|rule| rule.lateness).max().unwrap_or(Span::ZERO),
        },
        inflow: intake,
        pipeline,
        presence: Pulse::start(probe, topics).context("cannot start a thread")?,
        checkpoints: snapshot,
        batches: channels.batches,
        durable: shared.durable,
        waker: shared.waker,
        control: shared.control,
        board: shared.board,
        ends,
        progress: Progress::default(),
        takeover: Takeover::new(channels.orders, source, known),
    };
    Ok(Built { worker, ownership, shipper })
}

/// The topics that are read, the one that the group shares out first.
pub fn topics(settings: &TopicSettings) -> Vec<(Topic, String)> {
    let named = [
        (Topic::Orders, &settings.orders),
        (Topic::Logins, &settings.logins),
        (Topic::Feedback, &settings.feedback),
        (Topic::Catalog, &settings.catalog),
    ];
    named.into_iter().filter_map(|(topic, name)| Some((topic, name.clone()?))).collect()
}

pub fn cluster(settings: &KafkaSettings) -> Cluster {
    Cluster {
        brokers: settings.brokers.clone(),
        group: settings.group.clone(),
        options: settings
            .options
            .iter()
            .map(|(key, value)| (key.clone(), value.expose().to_owned()))
            .collect(),
    }
}
