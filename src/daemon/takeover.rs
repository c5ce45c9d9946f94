//! The worker's side of a change of rules: what must be filled from history is filled beside it, and between two turns of
//! its loop the new set takes over. Until then, and after any failure, the old one goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::effects::Batch;
use super::exchange::{Exchange, Standing};
use super::figures::Warming;
use super::history::{self, Filled, HistorySource, Task};
use super::neighbours::{Inflow as _, Neighbours};
use super::worker::Worker;
use crate::core::engine::{Mark, Successor};
use crate::core::incident::KnownIncident;
use crate::core::rule::RuleSet;
use crate::core::time::{Span, Time};
use crate::edge::clock::Stopwatch;

/// What a rule set that failed at the start waits before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A rule set that is to take over.
#[derive(Debug)]
pub struct Order {
    pub rules: Arc<RuleSet>,
    pub done: oneshot::Sender<Result<Done, String>>,
}

/// How it took over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Rules that were filled from history.
    pub filled: usize,
    /// For so long nothing was read.
    pub pause: Duration,
}

/// What is under way.
pub struct Takeover {
    pub orders: mpsc::Receiver<Order>,
    pub source: HistorySource,
    /// What the database knew at the start of rules that still have to be filled.
    pub known: Vec<KnownIncident>,
    filling: Option<Filling>,
    failed: Option<Stopwatch>,
}

struct Filling {
    rules: Arc<RuleSet>,
    names: Vec<String>,
    exchange: Arc<Exchange>,
    /// [`None`]: nobody has asked; rules were found changed at the start.
    done: Option<oneshot::Sender<Result<Done, String>>>,
    began: Stopwatch,
}

impl Takeover {
    pub fn new(orders: mpsc::Receiver<Order>, source: HistorySource, known: Vec<KnownIncident>) -> Self {
        Self { orders, source, known, filling: None, failed: None }
    }

    /// Rules wait for their history.
    pub fn is_filling(&self) -> bool {
        self.filling.is_some()
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        if let Some(filling) = &self.filling {
            filling.exchange.cancel();
        }
    }
}

impl<N: Neighbours> Worker<N> {
    /// To be called between two turns.
    pub fn tend_takeover(&mut self) -> anyhow::Result<()> {
        if let Ok(order) = self.takeover.orders.try_recv() {
            self.begin(order.rules, Some(order.done));
        } else if self.takeover.filling.is_none() && self.has_unfilled() {
            let waits = self.takeover.failed.is_some_and(|failed| failed.elapsed() < AGAIN_AFTER);
            if !waits {
                self.takeover.failed = None;
                let rules = Arc::clone(self.pipeline.engine.rules());
                self.begin(rules, None);
            }
        }
        let Some(filling) = &self.takeover.filling else { return Ok(()) };
        let exchange = Arc::clone(&filling.exchange);
        let mut captured = self.pipeline.captured.take().unwrap_or_default();
        let captures = exchange.serve(|| self.standing(), &mut captured);
        self.pipeline.captured = captures.then_some(captured);
        match exchange.take_result() {
            None => Ok(()),
            Some(Ok(filled)) => {
                if exchange.has_overflowed() {
                    // What it has not read is no longer known; it starts anew.
                    tracing::warn!("history is read again: too much came in at the end of it");
                    if let Some(Filling { rules, done, .. }) = self.takeover.filling.take() {
                        self.begin(rules, done);
                    }
                    return Ok(());
                }
                let stopped = Stopwatch::start();
                let Some(filling) = self.takeover.filling.take() else { return Ok(()) };
                self.pipeline.captured = None;
                self.finish_filling(filling, *filled, stopped);
                Ok(())
            }
            Some(Err(problem)) => {
                self.pipeline.captured = None;
                if let Some(filling) = self.takeover.filling.take() {
                    tracing::error!(problem, "rules could not be filled from history");
                    if let Some(done) = filling.done {
                        let _nobody_waits = done.send(Err(problem));
                    } else {
                        self.takeover.failed = Some(Stopwatch::start());
                    }
                }
                Ok(())
            }
        }
    }

    fn has_unfilled(&self) -> bool {
        !self.pipeline.engine.marks().iter().all(Mark::is_filled)
    }

    /// Begins to fill what must be filled; where there is nothing to read, the rules take over at once.
    fn begin(&mut self, rules: Arc<RuleSet>, done: Option<oneshot::Sender<Result<Done, String>>>) {
        let stopped = Stopwatch::start();
        if let Some(before) = self.takeover.filling.take() {
            before.exchange.cancel();
            self.pipeline.captured = None;
            if let Some(done) = before.done {
                let _nobody_waits = done.send(Err("another change of the rules took its place".to_owned()));
            }
        }
        let engine = &self.pipeline.engine;
        let change = engine.change_to(&rules);
        let names: Vec<String> = change.to_fill(&rules).map(str::to_owned).collect();
        let (shards, _) = engine.times();
        let oldest = shards.iter().map(|(_, now)| *now).filter(|now| *now > Time::MIN).min();
        let Some(oldest) = oldest.filter(|_| change.needs_history()) else {
            self.swap(rules, None, None);
            return self.report(done, Done { filled: 0, pause: stopped.elapsed() });
        };
        // What is open stays open only if the new rules are shown what has led to it.
        let named: Vec<&str> = names.iter().map(String::as_str).collect();
        let open_since = engine.oldest_open(&named).unwrap_or(oldest);
        let task = Task {
            rules: Arc::new(change.to_run(&rules)),
            shards: self.settings.shards,
            from: open_since.min(oldest) - change.history(&rules),
            known: std::mem::take(&mut self.takeover.known),
        };
        tracing::info!(rules = names.join(" "), from = %task.from, "rules are filled from history");
        let exchange = Arc::new(Exchange::default());
        match history::start(self.takeover.source.clone(), task, Arc::clone(&exchange)) {
            Ok(()) => {
                let began = Stopwatch::start();
                self.takeover.filling = Some(Filling { rules, names, exchange, done, began });
            }
            Err(error) => {
                tracing::error!(%error, "cannot start a thread");
                self.takeover.failed = Some(Stopwatch::start());
                if let Some(done) = done {
                    let _nobody_waits = done.send(Err(format!("cannot start a thread: {error}")));
                }
            }
        }
    }

    fn standing(&self) -> Standing {
        let (shards, scope) = self.pipeline.engine.times();
        let inputs = self.inflow.inputs().iter();
        Standing {
            next: inputs.map(|input| (input.topic, input.partition, input.next)).collect(),
            shards,
            scope,
        }
    }

    /// Shows the filled engine what is left, and lets the rules take over.
    fn finish_filling(&mut self, filling: Filling, mut filled: Filled, stopped: Stopwatch) {
        for record in filling.exchange.take_records() {
            filled.read_captured(&record);
        }
        let since = filled.since;
        self.swap(filling.rules, Some(filled), since);
        let done = Done { filled: filling.names.len(), pause: stopped.elapsed() };
        tracing::info!(
            rules = filling.names.join(" "),
            seconds = filling.began.elapsed().as_secs(),
            pause_ms = done.pause.as_millis() as u64,
            "rules are filled and have taken over"
        );
        self.report(filling.done, done);
    }

    fn swap(&mut self, rules: Arc<RuleSet>, filled: Option<Filled>, history_since: Option<Time>) {
        let warmed = filled.map(|filled| filled.engine);
        self.hand_on();
        self.pipeline.engine.swap(Successor { rules: Arc::clone(&rules), warmed, history_since });
        self.pipeline.events.locating.serve(&rules);
        self.settings.lateness = rules.rules.iter().map(|rule| rule.lateness).max().unwrap_or(Span::ZERO);
        let effects = self.pipeline.engine.drain_effects().collect();
        // What follows is decided by the new rules, and so is who hears of it.
        let number = self.next_batch_number();
        self.queue(Batch { number, effects, cause: None, rules: Some(rules) });
    }

    fn report(&mut self, done: Option<oneshot::Sender<Result<Done, String>>>, result: Done) {
        self.note_pause(result.pause);
        if let Some(done) = done {
            let _nobody_waits = done.send(Ok(result));
        }
    }

    /// The rules that are not whole yet.
    pub fn warming(&self) -> Vec<Warming> {
        let filling = self.takeover.filling.iter().flat_map(|filling| &filling.names);
        let mut warming: Vec<Warming> =
            filling.map(|name| Warming { rule: name.clone(), until: None }).collect();
        let now = self.pipeline.engine.times().0.iter().map(|(_, now)| *now).max().unwrap_or(Time::MIN);
        for mark in self.pipeline.engine.marks() {
            let is_listed = warming.iter().any(|other| other.rule == mark.name);
            if mark.quiet_until > now && !is_listed {
                let until = mark.is_filled().then_some(mark.quiet_until);
                warming.push(Warming { rule: mark.name.clone(), until });
            }
        }
        warming
    }
}
