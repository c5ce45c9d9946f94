//! Effects on their way to the database: planned in the order of decision, written in one transaction per batch.
//!
//! A batch counts as durable once its transaction is committed; a checkpoint waits for that. A database that can't
//! be written to is tried again until it can, and meanwhile the queue fills and the worker stops reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::core::effect::Effect;
use crate::core::rule::RuleSet;
use crate::core::time::Time;
use crate::delivery::dispatch::Dispatcher;
use crate::delivery::outbox::WallClock;
use crate::delivery::ownership::Ownership;
use crate::delivery::store::{Applied, Planned, Store, StoreError};
use crate::edge::clock::Stopwatch;
use crate::edge::kafka::Waker;

/// Batches that may wait for the database. A worker whose batch finds no place stops reading.
pub const WAITING_BATCHES: usize = 64;
/// Effects written in one transaction, so that none holds the writer for long.
const EFFECTS_AT_ONCE: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Effects that were decided together.
#[derive(Debug)]
pub struct Batch {
    /// Counted up by the worker from 1.
    pub number: u64,
    pub effects: Vec<Effect>,
    /// The Kafka time of the record that led to the first of them.
    pub cause: Option<Time>,
    /// These rules have taken over after them.
    pub rules: Option<Arc<RuleSet>>,
}

/// How far the effects of a worker are safe, and whether the database can be written to.
#[derive(Debug, Default)]
pub struct Durable {
    number: AtomicU64,
    failing: AtomicBool,
}

impl Durable {
    /// All batches up to this number are committed.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

/// What a batch came to.
pub trait Observer: Send {
    /// Effects were written; `waited`: since the record that led to the first of them.
    fn written(&mut self, planned: &[Planned], applied: Applied, took: Duration, waited: Option<Duration>);
    /// They could not be written and are tried again.
    fn retried(&mut self);
}

/// Plans effects and writes them.
pub struct EffectWriter<S, O> {
    pub store: S,
    pub ownership: Ownership,
    pub dispatcher: Dispatcher,
    pub durable: Arc<Durable>,
    pub waker: Arc<Waker>,
    /// Told that there may be something to send.
    pub outbox: Arc<Notify>,
    pub observer: O,
    pub clock: Arc<dyn WallClock>,
    /// Cancelled when waiting for the database has to end.
    pub give_up: CancellationToken,
}

impl<S: Store, O: Observer> EffectWriter<S, O> {
    /// Runs until the worker is gone and its last batch is written, or nothing more can be.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Batch>) -> Result<(), StoreError> {
        let mut waiting = Vec::new();
        while batches.recv_many(&mut waiting, WAITING_BATCHES).await > 0 {
            let mut planned = Vec::new();
            let mut cause = None;
            let last = waiting.last().map_or(0, |batch| batch.number);
            for batch in waiting.drain(..) {
                cause = cause.or(batch.cause);
                for effect in batch.effects {
                    planned.push(self.dispatcher.plan(effect));
                    if planned.len() >= EFFECTS_AT_ONCE {
                        self.apply(&planned, cause.take()).await?;
                        planned.clear();
                    }
                }
                if let Some(rules) = batch.rules {
                    self.dispatcher.set_manager_rules(super::manager_rules(&rules));
                }
            }
            if !planned.is_empty() {
                self.apply(&planned, cause).await?;
            }
            self.durable.number.store(last, Ordering::Release);
            self.waker.wake();
        }
        Ok(())
    }

    /// Writes until it succeeds, unless it is told to give up or another run has taken over.
    async fn apply(&mut self, planned: &[Planned], cause: Option<Time>) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let watch = Stopwatch::start();
            let failure = match self.store.apply(&self.ownership, planned).await {
                Ok(applied) => {
                    self.durable.failing.store(false, Ordering::Relaxed);
                    let now = self.clock.now();
                    let waited = cause.map(|cause| now.since(cause).as_millis().max(0).unsigned_abs());
                    let waited = waited.map(Duration::from_millis);
                    self.observer.written(planned, applied, watch.elapsed(), waited);
                    self.outbox.notify_one();
                    return Ok(());
                }
                Err(error @ StoreError::TakenOver(_)) => return Err(error),
                Err(error @ StoreError::TryAgain(_)) => {
                    tracing::warn!(%error, "effects wait for the database");
                    error
                }
                Err(error @ StoreError::GiveUp(_)) => {
                    tracing::error!(%error, "effects cannot be written; nothing more is read until they can");
                    error
                }
            };
            self.durable.failing.store(true, Ordering::Relaxed);
            self.observer.retried();
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.give_up.cancelled() => return Err(failure),
            }
        }
    }
}
