//! The daemon: builds everything in order, with all that can fail first; one worker loop; stops and drains.
//!
//! Settings, rules, cluster, database, snapshot, customers: only when all of them are usable does the worker join the
//! group and read. It is told to stop by a signal (a second one ends the process at once), by the end of the input
//! where that was asked for, or by its own failure.

pub mod build;
mod control;
mod effects;
mod events;
mod exchange;
mod figures;
mod history;
pub mod locating;
pub mod messages;
mod neighbours;
mod origin;
mod overview;
pub mod people;
mod pipeline;
mod places;
pub mod reload;
mod restore;
mod service;
mod shipper;
#[cfg(test)]
mod simulation;
mod takeover;
mod tenure;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::core::rule::{Audience, Rule, RuleSet};
use crate::delivery::customers::Customers;
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::delivery::outbox::WallClock;
use crate::delivery::ownership::Ownership;
use crate::delivery::store::{OutboxStore, Store};
use crate::edge::geo::watch::Watch;
use crate::edge::http::{self, Reload};
use crate::edge::kafka::Probe;
use crate::edge::log;
use crate::edge::store::{Database, Options};
use crate::settings::Settings;
use build::{Channels, Shared};
use effects::{EffectWriter, WAITING_BATCHES};
use neighbours::Real;
use overview::Overview;
use people::People;
use reload::{LoadRules, Reloads};
use shipper::Shipper;
use worker::Worker;

/// What the daemon is built from.
pub struct Setup {
    pub settings: Settings,
    pub rules: Arc<RuleSet>,
    /// What time it is for people. The demonstration's platform lives faster than its daemon.
    pub clock: Arc<dyn WallClock>,
    /// Reads the rules anew, when they are to change.
    pub load: LoadRules,
}

/// What is asked of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop at the offsets that were the ends at the start, with everything durable.
    pub until_end: bool,
    /// Go on at the oldest record where retention has taken what was to be read next.
    pub accept_gaps: bool,
}

/// Requests to change the rules that may wait.
const WAITING_RELOADS: usize = 16;
/// What each part gets to let go after its time is over.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// Runs the daemon until it is stopped.
pub fn run(setup: Setup, options: RunOptions) -> anyhow::Result<()> {
    let recent = log::start(&setup.settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let needs = Needs::find(&setup.settings).await?;
        let resend_unconfirmed = setup.settings.smtp.as_ref().is_some_and(|smtp| smtp.resend_unconfirmed);
        let store = Database::open(&setup.settings.store, Options { resend_unconfirmed }).await?;
        let result = serve(&setup, store.clone(), needs, options, recent).await;
        // What was handed in is written, and the next start finds the file free.
        if tokio::time::timeout(LAST_MOMENTS, store.finish()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What must be as the configuration says before anything is made, changed or started.
struct Needs {
    probe: Probe,
    people: People,
    places: Option<Arc<Watch>>,
    /// Where metrics, health and status are shown.
    listener: Option<TcpListener>,
}

impl Needs {
    async fn find(settings: &Settings) -> anyhow::Result<Self> {
        let listener = match settings.http.listen {
            Some(address) => Some(http::bind(address).await?),
            None => None,
        };
        let probe = build::probe(settings)?;
        let people = People::open(settings.customers.as_ref(), &build::cluster(&settings.kafka))?;
        let places = locating::watch(settings.geo.as_ref())?;
        Ok(Self { probe, people, listener, places })
    }
}

async fn serve<S>(
    setup: &Setup,
    store: S,
    needs: Needs,
    options: RunOptions,
    recent: log::Recent,
) -> anyhow::Result<()>
where
    S: Store + OutboxStore + Clone + 'static,
{
    let Setup { settings, rules, clock, load } = setup;
    let (give_up, stop_sending, stop_showing) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let Needs { probe, people, listener, places } = needs;
    let shared = Shared { places: places.clone(), ..Shared::new(people.customers()) };
    if rules.names_customers() && matches!(people, People::Nobody) {
        tracing::warn!(
            "rules look at fields of the customer, and [customers] names no file or topic of them"
        );
    }
    let overview = Overview::new(
        rules,
        settings.kafka.group.clone(),
        Arc::clone(&shared.board),
        Arc::clone(&shared.control),
        recent,
        Arc::clone(clock),
        places.clone(),
    )?;
    let overview = Arc::new(overview);
    let wake_outbox = Arc::new(Notify::new());
    let sender = Sender {
        settings,
        store: store.clone(),
        customers: people.customers(),
        wake: Arc::clone(&wake_outbox),
        overview: Arc::clone(&overview),
        clock: Arc::clone(clock),
        stop: stop_sending.clone(),
        until_end: options.until_end,
    };
    let sending = sender.prepare()?;
    let (ask, requests) = mpsc::channel(WAITING_RELOADS);
    let reload = Reload { token: settings.http.reload_token.clone(), requests: ask };
    show(listener, &overview, reload, stop_showing.clone());
    let mut dispatcher = Dispatcher::new(notice_settings(settings, rules), people.customers());
    let (batches, queue) = mpsc::channel(WAITING_BATCHES);
    let (orders, ordered) = mpsc::channel(1);
    let channels = Channels { batches, orders: ordered };
    let built =
        build::worker(setup, &store, probe, &mut dispatcher, options, channels, shared.clone()).await?;
    let build::Built { worker, ownership, shipper } = built;
    let writer = EffectWriter {
        store: store.clone(),
        ownership: ownership.clone(),
        dispatcher,
        durable: Arc::clone(&shared.durable),
        waker: Arc::clone(&shared.waker),
        outbox: wake_outbox,
        observer: Arc::clone(&overview),
        clock: Arc::clone(clock),
        give_up: give_up.clone(),
    };
    let mut writer = tokio::spawn(writer.run(queue));
    let mut sender = tokio::spawn(sending);
    let mut ended = start(worker)?;
    service::ready();
    let reloads = Reloads {
        load: Arc::clone(load),
        watched: settings.rules.watch.then(|| settings.rules.path.clone()),
        orders,
        requests,
        waker: Arc::clone(&shared.waker),
        overview: Arc::clone(&overview),
    };

    let (mut outcome, mut lost) = (None, None);
    tokio::select! {
        result = &mut ended => outcome = Some(result),
        signal = service::stop_signal() => tracing::info!(signal = signal?, "stopping"),
        () = people.keep_up(&overview) => {}
        () = overview.keep_up(&store) => {}
        result = reloads.keep_up(), if !options.until_end => result.context("cannot listen for SIGHUP")?,
        error = tenure::keep(&store, &ownership) => lost = Some(error),
        written = &mut writer => match written.context("the task that writes effects has ended unexpectedly")? {
            Err(error) => lost = Some(error),
            // It ends with the worker, whose result may come a moment later.
            Ok(()) => outcome = tokio::time::timeout(LAST_MOMENTS, &mut ended).await.ok(),
        },
    }
    overview.stop();
    if let Some(places) = places {
        places.end();
    }
    service::stopping();
    if let Some(error) = lost {
        tracing::error!(%error, "stopping at once; what is not durable is the other daemon's to decide");
        shared.control.stop();
        shared.control.end_time();
        give_up.cancel();
        shared.waker.wake();
        let _ended_or_not = tokio::time::timeout(LAST_MOMENTS, ended).await;
        anyhow::bail!("{error}; this one must not go on");
    }
    tokio::spawn(service::exit_on_next_signal());
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => stop(&shared, settings.shutdown_timeout, &give_up, &mut ended).await?,
    };
    let everything_durable = outcome.context("the worker has ended unexpectedly")??;
    anyhow::ensure!(
        everything_durable,
        "stopped after {} s with effects that are not durable yet; they are decided again after the next start",
        settings.shutdown_timeout.as_secs()
    );
    if !writer.is_finished() {
        writer.await.context("the task that writes effects has ended unexpectedly")??;
    }
    stop_sending.cancel();
    let sent = tokio::time::timeout(settings.shutdown_timeout, &mut sender).await;
    if sent.is_err() {
        tracing::warn!("messages are left in the outbox; the next start sends them");
    }
    let_go(&store, &ownership, shipper, settings.shutdown_timeout).await;
    stop_showing.cancel();
    tracing::info!("stopped, everything is durable");
    Ok(())
}

/// Leaves all of the state where whoever takes over finds it, and says that the shards are free.
async fn let_go(store: &impl Store, ownership: &Ownership, shipper: Option<Shipper>, within: Duration) {
    let shipped = tokio::task::spawn_blocking(move || drop(shipper));
    if tokio::time::timeout(within, shipped).await.is_err() {
        tracing::warn!("the changelog is behind; whoever takes over reads more events again");
    }
    if let Err(error) = store.let_go(ownership).await {
        tracing::warn!(%error, "the shards are not let go; another daemon waits until the lease is over");
    }
}

type Outcome = Result<anyhow::Result<bool>, oneshot::error::RecvError>;

/// Runs the worker in a thread of its own.
fn start(worker: Worker<Real>) -> anyhow::Result<oneshot::Receiver<anyhow::Result<bool>>> {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("worker".to_owned()).spawn(move || {
        // If nobody waits any more, the process is about to end.
        let _nobody_waits = done.send(worker.run());
    });
    thread.context("cannot start the worker")?;
    Ok(ended)
}

/// Tells the worker to make everything durable, and waits for that as long as a stop may take.
async fn stop(
    shared: &Shared,
    within: Duration,
    give_up: &CancellationToken,
    ended: &mut oneshot::Receiver<anyhow::Result<bool>>,
) -> anyhow::Result<Outcome> {
    shared.control.stop();
    shared.waker.wake();
    if let Ok(outcome) = tokio::time::timeout(within, &mut *ended).await {
        return Ok(outcome);
    }
    shared.control.end_time();
    give_up.cancel();
    shared.waker.wake();
    let last = tokio::time::timeout(LAST_MOMENTS, ended).await;
    last.context(
        "the worker did not stop in time; what it had not made durable is read again after the next start",
    )
}

/// Shows metrics, health and status, where the configuration says so.
fn show(listener: Option<TcpListener>, overview: &Arc<Overview>, reload: Reload, stop: CancellationToken) {
    let Some(listener) = listener else { return };
    let pages = overview.pages(reload);
    let _showing: JoinHandle<()> = tokio::spawn(async move {
        if let Err(error) = http::serve(listener, pages, stop).await {
            tracing::error!(%error, "metrics, health and status are no longer shown");
        }
    });
}

/// What the sending of messages is built from.
struct Sender<'s, S> {
    settings: &'s Settings,
    store: S,
    customers: Arc<dyn Customers>,
    wake: Arc<Notify>,
    overview: Arc<Overview>,
    clock: Arc<dyn WallClock>,
    stop: CancellationToken,
    until_end: bool,
}

impl<S: OutboxStore + 'static> Sender<'_, S> {
    /// Builds the sender. Its work is returned to be started when all else is ready.
    fn prepare(self) -> anyhow::Result<impl Future<Output = ()> + Send + use<S>> {
        let Self { settings, store, customers, wake, overview, clock, .. } = self;
        let outbox = messages::outbox(settings, store, customers, wake, overview, clock)?;
        let (stop, until_end) = (self.stop, self.until_end);
        Ok(async move {
            let Some(outbox) = outbox else { return };
            if until_end {
                // What the end of the input has still to say is sent once all of it is decided.
                stop.cancelled().await;
                outbox.drain().await;
            } else {
                outbox.run(stop).await;
            }
        })
    }
}

/// What is decided about messages, as the configuration and the rules say.
pub fn notice_settings(settings: &Settings, rules: &RuleSet) -> NoticeSettings {
    NoticeSettings {
        mode: settings.notices.mode,
        limits: settings.notices.limits,
        locale: settings.locale,
        manager_rules: manager_rules(rules),
        staff_mail: !settings.departments.is_empty() && settings.smtp.is_some(),
    }
}

/// The rules whose notices go to the account manager.
pub fn manager_rules(rules: &RuleSet) -> BTreeSet<String> {
    let to_manager = |rule: &&Rule| rule.notice.as_ref().is_some_and(|notice| notice.to == Audience::Manager);
    rules.rules.iter().filter(to_manager).map(|rule| rule.name.clone()).collect()
}
