//! The daemon: builds everything in order, with all that can fail first; one worker loop; stops and drains.
//!
//! Settings, rules, cluster, database, snapshot, customers: only when all of them are usable does the worker join the
//! group and read. It is told to stop by a signal (a second one ends the process at once), by the end of the input
//! where that was asked for, or by its own failure.

mod control;
mod effects;
mod figures;
mod messages;
mod pages;
pub mod people;
mod pipeline;
mod places;
mod restore;
mod service;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::core::clock::Clocks;
use crate::core::event::Topic;
use crate::core::event::decode::{Decoder, Scratch};
use crate::core::rule::{Audience, Rule, RuleSet};
use crate::core::time::Span;
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::delivery::store::{OutboxStore, Store};
use crate::edge::kafka::{Cluster, DeadLetters, Intake, IntakeSettings, Probe, Pulse, Waker};
use crate::edge::snapshot::SnapshotWriter;
use crate::edge::store::sqlite::{SqliteOptions, SqliteStore};
use crate::settings::{KafkaSettings, Settings, TopicSettings};
use control::Control;
use effects::{Durable, EffectWriter, WAITING_BATCHES};
use figures::Board;
use people::People;
use pipeline::{Counts, Pipeline};
use worker::{Progress, Worker, WorkerSettings};

/// What the daemon is built from.
pub struct Setup {
    pub settings: Settings,
    pub rules: Arc<RuleSet>,
}

/// What is asked of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop at the offsets that were the ends at the start, with everything durable.
    pub until_end: bool,
    /// Go on at the oldest record where retention has taken what was to be read next.
    pub accept_gaps: bool,
}

/// Of the time that a restart may take for reading again, what lies between two checkpoints. The rest is for the
/// commit to become durable.
const CHECKPOINT_SHARE: f64 = 0.6;

/// Runs the daemon until it is stopped.
pub fn run(setup: Setup, options: RunOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let store = SqliteStore::open(&setup.settings.store.path, SqliteOptions::default()).await?;
        let result = serve(&setup, store.clone(), options).await;
        // What was handed in is written, and the next start finds the file free.
        if tokio::time::timeout(LAST_MOMENTS, store.finish()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve<S>(setup: &Setup, store: S, options: RunOptions) -> anyhow::Result<()>
where
    S: Store + OutboxStore + Clone + 'static,
{
    let shutdown_timeout = setup.settings.shutdown_timeout;
    let waker = Arc::new(Waker::default());
    let control = Arc::new(Control::default());
    let durable = Arc::new(Durable::default());
    let give_up = CancellationToken::new();
    let (batches, queue) = mpsc::channel(WAITING_BATCHES);
    let people = People::open(setup.settings.customers.as_ref(), &cluster(&setup.settings.kafka))?;
    let customers = people.customers();
    let wake_outbox = Arc::new(Notify::new());
    let outbox =
        messages::outbox(&setup.settings, store.clone(), Arc::clone(&customers), Arc::clone(&wake_outbox))?;
    let mut dispatcher = Dispatcher::new(notice_settings(&setup.settings, &setup.rules), customers);
    let board = Arc::new(Board::default());
    let parts = Parts {
        waker: Arc::clone(&waker),
        control: Arc::clone(&control),
        durable: Arc::clone(&durable),
        board: Arc::clone(&board),
    };
    let shown = match setup.settings.http.listen {
        Some(address) => Some(pages::Shown::bind(address, &setup.rules).await?),
        None => None,
    };
    let worker = build_worker(setup, &store, &mut dispatcher, options, batches, parts).await?;
    let hidden = CancellationToken::new();
    if let Some(shown) = shown {
        let sources = pages::Sources {
            board: Arc::clone(&board),
            control: Arc::clone(&control),
            rules: Arc::clone(&setup.rules),
            group: setup.settings.kafka.group.clone(),
        };
        tokio::spawn(shown.serve(store.clone(), sources, hidden.clone()));
    }
    let writer = EffectWriter {
        store,
        dispatcher,
        durable,
        waker: Arc::clone(&waker),
        outbox: wake_outbox,
        observer: Unobserved,
        give_up: give_up.clone(),
    };
    let mut writer = tokio::spawn(writer.run(queue));
    let stop_sending = CancellationToken::new();
    let until_end = options.until_end;
    let told_to_stop = stop_sending.clone();
    let mut sender = tokio::spawn(async move {
        let Some(outbox) = outbox else { return };
        if until_end {
            // What the end of the input has still to say is sent once all of it is decided.
            told_to_stop.cancelled().await;
            outbox.drain().await;
        } else {
            outbox.run(told_to_stop).await;
        }
    });
    let (done, mut ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("worker".to_owned()).spawn(move || {
        // If nobody waits any more, the process is about to end.
        let _nobody_waits = done.send(worker.run());
    });
    let _thread = thread.context("cannot start the worker")?;
    let mut service = service::Service::start(Arc::clone(&control), board);
    service.ready();

    let mut outcome = None;
    tokio::select! {
        result = &mut ended => outcome = Some(result),
        signal = service::stop_signal() => tracing::info!(signal = signal?, "stopping"),
        () = people.keep_up() => {}
        // It ends with the worker, whose result may come a moment later.
        _ = &mut writer => outcome = tokio::time::timeout(LAST_MOMENTS, &mut ended).await.ok(),
    }
    control.stop();
    waker.wake();
    service.stopping();
    tokio::spawn(service::exit_on_next_signal());
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            let timer = tokio::time::timeout(shutdown_timeout, &mut ended);
            if let Ok(outcome) = timer.await {
                outcome
            } else {
                control.end_time();
                give_up.cancel();
                waker.wake();
                let last = tokio::time::timeout(LAST_MOMENTS, ended).await;
                last.context("the worker did not stop in time; it is read again after the next start")?
            }
        }
    };
    let everything_durable = outcome.context("the worker has ended unexpectedly")??;
    if !everything_durable {
        anyhow::bail!(
            "stopped after {} s with effects that are not durable yet; they are decided again after the next start",
            shutdown_timeout.as_secs()
        );
    }
    if !writer.is_finished() {
        writer.await.context("the task that writes effects has ended unexpectedly")?;
    }
    stop_sending.cancel();
    hidden.cancel();
    // What is not sent in time stays in the outbox.
    let sent = tokio::time::timeout(shutdown_timeout, &mut sender).await;
    sent.is_err().then(|| tracing::warn!("messages are left in the outbox; the next start sends them"));
    tracing::info!("stopped, everything is durable");
    Ok(())
}

/// What a worker gets to let go after its time is over.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

struct Parts {
    waker: Arc<Waker>,
    control: Arc<Control>,
    durable: Arc<Durable>,
    board: Arc<Board>,
}

async fn build_worker<S: Store>(
    setup: &Setup,
    store: &S,
    dispatcher: &mut Dispatcher,
    options: RunOptions,
    batches: mpsc::Sender<effects::Batch>,
    parts: Parts,
) -> anyhow::Result<Worker> {
    let Setup { settings, rules } = setup;
    let events = &settings.events;
    let topics = topics(&settings.topics);
    anyhow::ensure!(
        !topics.is_empty(),
        "no topic is configured; name at least topics.orders or topics.logins"
    );
    let cluster = cluster(&settings.kafka);
    let (log, found) = restore::open(&settings.state.dir)?;
    let checkpoint = found.checkpoint;
    let probe = Probe::new(&cluster)?;
    probe.ensure_topic(&cluster, &settings.topics.dead_letter, "topics.dead_letter").await?;
    let places =
        places::find(&probe, &topics, checkpoint.as_ref(), settings.kafka.start, options.accept_gaps)?;
    if places.skipped > 0 {
        tracing::error!(
            records = places.skipped,
            "records were lost to retention and are skipped, as accepted"
        );
    }
    let shards: Vec<u32> = (0..places.shards).collect();
    let mut engine = crate::core::engine::Engine::new(Arc::clone(rules), &shards);
    let mut clocks = Clocks::new(&shards);
    let restored = restore::records(&log, &mut engine)?;
    for (shard, time) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.shard_times) {
        clocks.resume(*shard, *time);
    }
    for place in &places.places {
        clocks.read(place.shard, place.topic, place.newest);
    }
    restore::known(store, rules, checkpoint.as_ref(), &mut engine, dispatcher).await?;
    let mut snapshot = SnapshotWriter::start(log)?;
    snapshot.add(restored.tombstones)?;
    tracing::info!(
        records = restored.records,
        outdated = restored.stale,
        cut_bytes = found.cut_bytes,
        "state is restored"
    );
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
        Arc::clone(&parts.waker),
    )?;
    let pipeline = Pipeline {
        decoder: Arc::new(Decoder::new(events.clone())),
        scratch: Scratch::default(),
        engine,
        clocks,
        dead_letters: DeadLetters::new(&cluster, &settings.topics.dead_letter)?,
        names: topics.clone(),
        max_ahead: events.max_ahead,
        counts: Counts::default(),
        cause: None,
    };
    Ok(Worker {
        settings: WorkerSettings {
            shards: places.shards,
            checkpoint_every: settings.state.recovery.mul_f64(CHECKPOINT_SHARE),
            until_end: options.until_end,
            lateness: rules.rules.iter().map(|rule| rule.lateness).max().unwrap_or(Span::ZERO),
        },
        intake,
        pipeline,
        pulse: Pulse::start(probe, topics).context("cannot start a thread")?,
        snapshot,
        batches,
        durable: parts.durable,
        waker: parts.waker,
        control: parts.control,
        board: parts.board,
        ends,
        progress: Progress::default(),
    })
}

/// The topics that are read, the one that the group shares out first.
fn topics(settings: &TopicSettings) -> Vec<(Topic, String)> {
    let named = [
        (Topic::Orders, &settings.orders),
        (Topic::Logins, &settings.logins),
        (Topic::Feedback, &settings.feedback),
        (Topic::Catalog, &settings.catalog),
    ];
    named.into_iter().filter_map(|(topic, name)| Some((topic, name.clone()?))).collect()
}

/// What is decided about messages, as the configuration and the rules say.
pub fn notice_settings(settings: &Settings, rules: &RuleSet) -> NoticeSettings {
    let to_manager = |rule: &&Rule| rule.notice.as_ref().is_some_and(|notice| notice.to == Audience::Manager);
    NoticeSettings {
        mode: settings.notices.mode,
        limits: settings.notices.limits,
        locale: settings.locale,
        manager_rules: rules.rules.iter().filter(to_manager).map(|rule| rule.name.clone()).collect(),
        staff_mail: !settings.departments.is_empty() && settings.smtp.is_some(),
    }
}

fn cluster(settings: &KafkaSettings) -> Cluster {
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

/// Until there are metrics.
struct Unobserved;

impl effects::Observer for Unobserved {
    fn written(
        &mut self,
        _: &[crate::delivery::store::Planned],
        _: crate::delivery::store::Applied,
        _: Duration,
        _: Option<Duration>,
    ) {
    }
}
