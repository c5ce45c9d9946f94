//! What the daemon shows of itself over HTTP: metrics, health and status, from the figures that the worker leaves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::figures::{Board, Figures};
use crate::core::rule::{RuleSet, RuleState};
use crate::delivery::store::{Store, StoreFigures};
use crate::edge::clock;
use crate::edge::http::{
    self, Condition, Health, LagStatus, MemberStatus, OutboxStatus, Pages, RuleStatus, Status,
};
use crate::edge::metrics::{KafkaProblems, Loaded, Metrics, Reading};

/// How often the database is asked for its figures, and the loop for whether it turns.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// An address that was taken before anything else starts.
pub struct Shown {
    listener: TcpListener,
    metrics: Arc<Metrics>,
}

/// What the pages are made from.
#[derive(Clone)]
pub struct Sources {
    pub board: Arc<Board>,
    pub control: Arc<Control>,
    pub rules: Arc<RuleSet>,
    pub group: String,
}

impl Shown {
    pub async fn bind(address: SocketAddr, rules: &RuleSet) -> anyhow::Result<Self> {
        let metrics = Metrics::new(Registry::new(), rules).context("cannot register the metrics")?;
        metrics.set_rules(rules);
        for loaded in [Loaded::Config, Loaded::Rules, Loaded::Customers] {
            metrics.note_load(loaded, true, clock::now());
        }
        Ok(Self { listener: http::bind(address).await?, metrics: Arc::new(metrics) })
    }

    /// Answers until the shutdown.
    pub async fn serve<S: Store>(self, store: S, sources: Sources, shutdown: CancellationToken) {
        let health = Arc::new(Health::default());
        health.set(Condition::RulesLoaded, true);
        let stored = Arc::new(Mutex::new(StoreFigures::default()));
        let started_at = clock::now().to_string();
        let pages = Pages {
            health: Arc::clone(&health),
            metrics: {
                let (metrics, sources, stored) =
                    (Arc::clone(&self.metrics), sources.clone(), Arc::clone(&stored));
                Box::new(move || {
                    let figures = sources.board.read();
                    set_figures(&metrics, &figures);
                    let stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
                    metrics.set_store(&stored, clock::now());
                    metrics.text().map_err(|error| error.to_string())
                })
            },
            status: {
                let (sources, health, stored) = (sources.clone(), Arc::clone(&health), Arc::clone(&stored));
                Box::new(move || {
                    let stored = stored.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    status(&sources, &health, &stored, &started_at)
                })
            },
        };
        let look = async {
            let mut turns = sources.control.turns();
            let mut looks = tokio::time::interval(LOOK_EVERY);
            loop {
                let figures = sources.board.read();
                health.set(Condition::Assigned, figures.assigned.0 > 0);
                if let Ok(fresh) = store.figures().await {
                    *stored.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                    health.set(Condition::StoreWritable, !figures.store_failing);
                }
                looks.tick().await;
                let now = sources.control.turns();
                health.set_alive(now != turns || turns == 0);
                turns = now;
            }
        };
        tokio::select! {
            result = http::serve(self.listener, pages, shutdown) => {
                if let Err(error) = result {
                    tracing::error!(%error, "metrics, health and status are not shown any more");
                }
            }
            () = look => {}
        }
    }
}

fn set_figures(metrics: &Metrics, figures: &Figures) {
    metrics.set_reading(&Reading {
        records: figures.records,
        bytes: figures.bytes,
        events: &figures.events,
        rejected: figures.rejected.clone(),
        lag: &figures.lag,
        assigned: figures.assigned,
        held_bytes: figures.held_bytes,
        overrun: figures.overrun,
        dead_letters_waiting: figures.dead_letters_waiting,
        problems: KafkaProblems {
            rebalances: figures.intake.rebalances,
            errors: figures.intake.errors,
            out_of_range: figures.intake.out_of_range,
            rebuilt: figures.intake.rebuilt,
            failed_commits: figures.failed_commits,
        },
        kafka_up: !figures.cluster_away,
        database_up: !figures.store_failing,
        checkpoints: figures.checkpoints,
        snapshot_bytes: figures.checkpoint_bytes,
        snapshot_age: None,
    });
    metrics.set_engine(&figures.engine);
}

fn status(sources: &Sources, health: &Health, stored: &StoreFigures, started_at: &str) -> Status {
    let figures = sources.board.read();
    let now = clock::now();
    let count = |state| sources.rules.rules.iter().filter(|rule| rule.state == state).count() as u64;
    let oldest = stored.outbox_oldest.map(|oldest| now.since(oldest).as_secs_f64().max(0.0));
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: now.to_string(),
        started_at: started_at.to_owned(),
        alive: true,
        ready: health.is_ready(),
        missing: health.missing().into_iter().map(str::to_owned).collect(),
        doing: figures.status(),
        records: figures.records,
        rejected: figures.rejected.values().sum(),
        member: MemberStatus {
            group: sources.group.clone(),
            assigned: figures.assigned.0 as u64,
            partitions: figures.assigned.1 as u64,
        },
        lag: figures
            .lag
            .iter()
            .map(|(topic, partition, records)| LagStatus {
                topic: topic.as_str().to_owned(),
                partition: *partition,
                records: *records,
            })
            .collect(),
        rules: RuleStatus {
            active: count(RuleState::Active),
            shadow: count(RuleState::Shadow),
            paused: count(RuleState::Paused),
            subjects: figures.engine.rules.iter().map(|rule| rule.subjects as u64).sum(),
            bytes: figures.engine.bytes as u64,
        },
        incidents_open: stored.open_incidents,
        outbox: OutboxStatus {
            waiting: stored.outbox_depth,
            oldest_age_seconds: oldest,
            held: stored.held.clone(),
            unknown: stored.unknown,
        },
        ..Status::default()
    }
}
