//! What others see of the daemon: its metrics, its health and its status, gathered once a second from those who know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;

use super::control::Control;
use super::effects;
use super::figures::{Board, Figures, Warming};
use super::service;
use crate::core::event::Symbol;
use crate::core::rule::{RuleSet, RuleState};
use crate::core::time::Time;
use crate::delivery::outbox::{self, WallClock};
use crate::delivery::store::{Applied, Planned, Store, StoreFigures};
use crate::edge::clock::Stopwatch;
use crate::edge::geo::watch::{Watch, WatchFigures};
use crate::edge::http::{
    CheckpointStatus, Condition, ErrorStatus, GeoStatus, Health, LagStatus, MemberStatus, OutboxStatus,
    Pages, Reload, ReloadStatus, RuleStatus, ShardStatus, Status, WarmingStatus,
};
use crate::edge::log::Recent;
use crate::edge::metrics::{CodeLabels, KafkaProblems, Loaded, Metrics, Reading, Retried};
use crate::settings::build;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The database is asked less often: its answer costs it a query.
const ASK_STORE_EVERY: u32 = 5;
/// A loop that has not turned for so many looks does not live.
const LOOKS_WITHOUT_A_TURN: u32 = 15;

/// Everything that is shown, shared by those who bring it in and those who ask.
pub struct Overview {
    metrics: Metrics,
    health: Arc<Health>,
    board: Arc<Board>,
    control: Arc<Control>,
    recent: Recent,
    clock: Arc<dyn WallClock>,
    store: Mutex<StoreFigures>,
    rules: Mutex<RuleStatus>,
    reload: Mutex<ReloadStatus>,
    group: String,
    started_at: Time,
    places: Option<Arc<Watch>>,
    /// What was told of the location files in the metrics.
    told_places: Mutex<(u64, u64)>,
}

impl Overview {
    pub fn new(
        rules: &RuleSet,
        group: String,
        board: Arc<Board>,
        control: Arc<Control>,
        recent: Recent,
        clock: Arc<dyn WallClock>,
        places: Option<Arc<Watch>>,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(Registry::new(), rules).context("the metrics cannot be registered")?;
        let started_at = clock.now();
        for loaded in [Loaded::Config, Loaded::Rules, Loaded::Customers] {
            metrics.note_load(loaded, true, started_at);
        }
        if places.is_some() {
            metrics.note_load(Loaded::Geo, true, started_at);
        }
        let health = Arc::new(Health::default());
        health.set(Condition::RulesLoaded, true);
        let (store, reload, rules) = (Mutex::default(), Mutex::default(), Mutex::new(loaded(rules)));
        let told_places = Mutex::default();
        Ok(Self {
            metrics,
            health,
            board,
            control,
            recent,
            clock,
            store,
            rules,
            reload,
            group,
            started_at,
            places,
            told_places,
        })
    }

    /// The pages that show it.
    pub fn pages(self: &Arc<Self>, reload: Reload) -> Pages {
        let (metrics, status) = (Arc::clone(self), Arc::clone(self));
        Pages {
            health: Arc::clone(&self.health),
            metrics: Box::new(move || metrics.metrics.text().map_err(|error| error.to_string())),
            status: Box::new(move || status.status()),
            reload,
        }
    }

    /// Brings everything up to date once a second, and feeds the watchdog while the worker's loop turns. Never ends.
    pub async fn keep_up<S: Store>(&self, store: &S) {
        let mut codes = CodeLabels::default();
        let (mut looks, mut turns, mut still) = (0_u32, self.control.turns(), 0_u32);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            looks = looks.wrapping_add(1);
            let now = self.control.turns();
            still = if now == turns { still + 1 } else { 0 };
            turns = now;
            self.health.set_alive(still < LOOKS_WITHOUT_A_TURN);
            let figures = self.board.read();
            self.health.set(Condition::Assigned, figures.inflow.assigned.0 > 0);
            self.health.set(Condition::StoreWritable, !figures.store_failing && turns > 0);
            self.metrics.note_unknown_faults(&self.board.take_unknown_faults(), &mut codes);
            self.show(&figures);
            if still == 0 {
                service::alive(&figures.status());
            }
            if looks.is_multiple_of(ASK_STORE_EVERY)
                && let Ok(figures) = store.figures().await
            {
                self.metrics.set_store(&figures, self.clock.now());
                *self.store.lock().unwrap_or_else(PoisonError::into_inner) = figures;
            }
        }
    }

    /// From now on the daemon is not ready: it drains.
    pub fn stop(&self) {
        self.health.set_stopping();
    }

    pub fn note_customers(&self, succeeded: bool) {
        self.metrics.note_load(Loaded::Customers, succeeded, self.clock.now());
    }

    /// Tells of location files that were read again since, or could not be.
    fn show_places(&self) {
        let Some(figures) = self.places.as_ref().map(|places| places.figures()) else { return };
        let mut told = self.told_places.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in told.0..figures.reloads {
            self.metrics.note_load(Loaded::Geo, true, self.clock.now());
        }
        for _ in told.1..figures.failures {
            self.metrics.note_load(Loaded::Geo, false, self.clock.now());
        }
        *told = (figures.reloads, figures.failures);
    }

    /// The rules have changed, or could not: then what was wrong.
    pub fn note_reload(&self, result: Result<&RuleSet, &str>) {
        let now = self.clock.now();
        self.metrics.note_load(Loaded::Rules, result.is_ok(), now);
        let mut reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        reload.at = now.to_string();
        reload.successful = result.is_ok();
        reload.failed += u64::from(result.is_err());
        reload.error = result.err().unwrap_or_default().to_owned();
        if let Ok(rules) = result {
            self.metrics.set_rules(rules);
            *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = loaded(rules);
        }
    }

    fn show(&self, figures: &Figures) {
        self.show_places();
        self.metrics.set_engine(&figures.engine);
        self.metrics.set_reloads(figures.warming.len(), figures.reload_pause, figures.longest_reload_pause);
        self.metrics.set_reading(&Reading {
            records: figures.records,
            bytes: figures.bytes,
            events: &figures.events,
            rejected: figures.rejected.clone(),
            lag: &figures.inflow.lag,
            assigned: figures.inflow.assigned,
            held_bytes: figures.inflow.held_bytes,
            overrun: figures.inflow.overrun,
            dead_letters_waiting: figures.dead_letters_waiting,
            problems: KafkaProblems {
                rebalances: figures.inflow.figures.rebalances,
                errors: figures.inflow.figures.errors,
                out_of_range: figures.inflow.figures.out_of_range,
                rebuilt: figures.inflow.figures.rebuilt,
                failed_commits: figures.inflow.failed_commits,
            },
            kafka_up: !figures.cluster_away,
            database_up: !figures.store_failing,
            checkpoints: figures.checkpoints,
            snapshot_bytes: figures.checkpoint_bytes,
            snapshot_age: figures.last_checkpoint.map(Stopwatch::elapsed),
        });
    }

    fn status(&self) -> Status {
        let figures = self.board.read();
        let now = self.clock.now();
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let subjects = figures.engine.rules.iter().map(|rule| rule.subjects as u64).sum();
        let lag = figures.inflow.lag.iter().map(|(topic, partition, records)| LagStatus {
            topic: topic.as_str().to_owned(),
            partition: *partition,
            records: *records,
        });
        let shards = figures.shard_times.iter().map(|(shard, time)| ShardStatus {
            shard: *shard,
            time: if *time > Time::MIN { time.to_string() } else { String::new() },
        });
        let errors = self.recent.list().into_iter().map(|error| ErrorStatus {
            at: error.at.to_string(),
            level: error.level.to_owned(),
            message: error.message,
        });
        Status {
            version: build::VERSION.to_owned(),
            revision: build::REVISION.to_owned(),
            now: now.to_string(),
            started_at: self.started_at.to_string(),
            alive: self.health.is_alive(),
            ready: self.health.is_ready(),
            missing: self.health.missing().into_iter().map(str::to_owned).collect(),
            doing: figures.status(),
            records: figures.records,
            rejected: figures.rejected.values().sum(),
            member: MemberStatus {
                group: self.group.clone(),
                assigned: figures.inflow.assigned.0 as u64,
                partitions: figures.inflow.assigned.1 as u64,
            },
            shards: shards.collect(),
            lag: lag.collect(),
            checkpoint: CheckpointStatus {
                completed: figures.checkpoints,
                age_seconds: figures.last_checkpoint.map(|last| last.elapsed().as_secs_f64()),
                bytes: figures.checkpoint_bytes,
            },
            rules: RuleStatus {
                subjects,
                bytes: figures.engine.bytes as u64,
                warming: figures.warming.iter().map(warming).collect(),
                ..self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
            },
            reload: ReloadStatus {
                pause_seconds: figures.reload_pause.map(|pause| pause.as_secs_f64()),
                ..self.reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
            },
            geo: self.places.as_ref().map(|places| {
                let WatchFigures { reloads, failures, problem } = places.figures();
                GeoStatus { reloads, failures, problem }
            }),
            incidents_open: figures.engine.open_incidents as u64,
            outbox: OutboxStatus {
                waiting: store.outbox_depth,
                oldest_age_seconds: store
                    .outbox_oldest
                    .map(|oldest| now.since(oldest).as_secs_f64().max(0.0)),
                held: store.held,
                unknown: store.unknown,
            },
            errors: errors.collect(),
        }
    }
}

/// The rules as they were loaded.
fn loaded(rules: &RuleSet) -> RuleStatus {
    let count = |state| rules.rules.iter().filter(|rule| rule.state == state).count() as u64;
    let version = rules
        .rules
        .iter()
        .fold(Symbol(0), |version, rule| version.with(Symbol::of(&rule.name)).with(Symbol(rule.version)));
    RuleStatus {
        active: count(RuleState::Active),
        shadow: count(RuleState::Shadow),
        paused: count(RuleState::Paused),
        version: format!("{:016x}", version.0),
        ..RuleStatus::default()
    }
}

fn warming(warming: &Warming) -> WarmingStatus {
    let until = warming.until.map(|until| until.to_string()).unwrap_or_default();
    WarmingStatus { rule: warming.rule.clone(), until }
}

impl effects::Observer for Arc<Overview> {
    fn written(&mut self, planned: &[Planned], applied: Applied, took: Duration, waited: Option<Duration>) {
        self.metrics.note_written(planned, applied, took, waited);
    }

    fn retried(&mut self) {
        self.metrics.note_retry(Retried::Database);
    }
}

impl outbox::Observer for Overview {
    fn finished(&self, result: outbox::SendResult, took: Option<Duration>) {
        self.metrics.note_sent(result.as_str(), took);
        if result == outbox::SendResult::Retried {
            self.metrics.note_retry(Retried::Smtp);
        }
    }
}
