//! The loop of a worker: read, decide, hand on, checkpoint. One thread, and nothing in it waits for the database, the
//! disk or the network, except for records.
//!
//! A checkpoint holds the state and the offsets of one moment. It is committed when the effects decided up to that
//! moment are in the database and the unreadable records up to it in their topic; meanwhile the loop goes on.
//!
//! The loop is a function of the time that passes from step to step and of what its neighbours say, so that a simulation can
//! run it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::control::Control;
use super::effects::{Batch, Durable};
use super::figures::{Board, Figures};
use super::neighbours::{Checkpoints as _, Inflow as _, Neighbours, Presence as _, Unreadable as _};
use super::pipeline::Pipeline;
use super::takeover::Takeover;
use crate::core::event::Topic;
use crate::core::time::{Span, Time};
use crate::edge::clock::Stopwatch;
use crate::edge::kafka::Waker;
use crate::edge::snapshot::{Checkpoint, Position};

/// How long the loop waits for records before it looks at the time again.
const REST: Duration = Duration::from_millis(20);
/// The same while everything is made durable.
const LAST_REST: Duration = Duration::from_millis(5);
/// A longer pause of the loop itself counts as this much passing time: what arrived meanwhile has not been read.
const LONGEST_LAP: Duration = Duration::from_secs(1);
/// The first checkpoints follow each other closely, so that even a daemon that is killed again and again gets on.
const FIRST_CHECKPOINT: Duration = Duration::from_secs(1);
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What drives a worker besides its parts.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    pub shards: u32,
    /// A checkpoint is due when so much time has passed since the last one.
    pub checkpoint_every: Duration,
    /// Stop at the offsets that were the ends when reading began.
    pub until_end: bool,
    /// An event may be this late; then a restart has caught up.
    pub lateness: Span,
}

/// One worker with everything it needs.
pub struct Worker<N: Neighbours> {
    pub settings: WorkerSettings,
    pub inflow: N::Inflow,
    pub pipeline: Pipeline<N::Unreadable>,
    pub presence: N::Presence,
    pub checkpoints: N::Checkpoints,
    pub batches: mpsc::Sender<Batch>,
    pub durable: Arc<Durable>,
    pub waker: Arc<Waker>,
    pub control: Arc<Control>,
    pub board: Arc<Board>,
    /// Where each input ended when reading began, in the order of the inflow's inputs.
    pub ends: Vec<i64>,
    pub progress: Progress,
    /// Other rules that are to take over.
    pub takeover: Takeover,
}

/// What the loop remembers.
#[derive(Debug, Default)]
pub struct Progress {
    /// Batches that found no place in the queue yet.
    outbound: VecDeque<Batch>,
    last_batch: u64,
    pending: Option<Pending>,
    catching_up: CatchingUp,
    cluster_away: bool,
    figures: Figures,
    since_checkpoint: Duration,
    checkpoint_after: Duration,
    since_housekeeping: Duration,
    /// It is to stop; `true`: the last checkpoint is written.
    finishing: Option<bool>,
}

/// A checkpoint that is written but not committed, or committed but not yet confirmed.
#[derive(Debug)]
struct Pending {
    batch: u64,
    dead_letters: usize,
    places: Vec<(Topic, u32, i64)>,
}

/// How far a restart has got with what it reads for the second time.
#[derive(Clone, Copy, Debug, Default)]
enum CatchingUp {
    #[default]
    Reading,
    /// The noted ends were reached at this time.
    Settling(Time),
    Done,
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There may be more to do at once.
    GoOn,
    /// There is nothing to do for so long, unless something arrives.
    Rest(Duration),
    /// `false`: not everything became durable in the time that a stop may take.
    End { everything_durable: bool },
}

impl<N: Neighbours> Worker<N> {
    /// Runs until it is told to stop, or has read what it was to read; then everything is made durable. `false`: that
    /// did not succeed in the time that a stop may take.
    pub fn run(mut self) -> anyhow::Result<bool> {
        self.waker.claim();
        self.set_out()?;
        let mut lap = Stopwatch::start();
        loop {
            match self.step(lap.lap())? {
                Next::GoOn => {}
                Next::Rest(pause) => park_timeout(pause),
                Next::End { everything_durable } => {
                    self.inflow.close();
                    return Ok(everything_durable);
                }
            }
        }
    }

    /// To be called once before the first step, so that a crash before the first checkpoint begins where this start began.
    pub fn set_out(&mut self) -> anyhow::Result<()> {
        self.write_checkpoint()?;
        self.checkpoints.commit()?;
        self.checkpoints.wait().context("cannot write the first checkpoint")?;
        self.progress.pending = None;
        self.progress.checkpoint_after = FIRST_CHECKPOINT.min(self.settings.checkpoint_every);
        Ok(())
    }

    /// One step of the loop; `lap`: the time since the one before.
    pub fn step(&mut self, lap: Duration) -> anyhow::Result<Next> {
        if self.progress.finishing.is_none() && self.control.is_stopping() {
            self.progress.finishing = Some(false);
        }
        if let Some(is_written) = self.progress.finishing {
            return self.finish(lap, is_written);
        }
        let count = self.turn(lap)?;
        self.tend_takeover()?;
        let progress = &mut self.progress;
        progress.since_checkpoint += lap;
        if progress.since_checkpoint >= progress.checkpoint_after && progress.pending.is_none() {
            progress.since_checkpoint = Duration::ZERO;
            progress.checkpoint_after = (progress.checkpoint_after * 2).min(self.settings.checkpoint_every);
            self.write_checkpoint()?;
        }
        if self.is_housekeeping_due(lap) {
            self.keep_house()?;
        }
        let is_done = count == 0 && !self.takeover.is_filling() && self.is_at_end();
        if self.settings.until_end && is_done {
            self.progress.finishing = Some(false);
            return Ok(Next::GoOn);
        }
        Ok(if count == 0 { Next::Rest(REST) } else { Next::GoOn })
    }

    fn is_housekeeping_due(&mut self, lap: Duration) -> bool {
        self.progress.since_housekeeping += lap;
        let is_due = self.progress.since_housekeeping >= HOUSEKEEPING;
        if is_due {
            self.progress.since_housekeeping = Duration::ZERO;
        }
        is_due
    }

    /// One turn: records, time, effects, and what has become durable. Returns how many records there were.
    fn turn(&mut self, lap: Duration) -> anyhow::Result<usize> {
        self.inflow.serve(&mut self.pipeline);
        let may_read = self.progress.outbound.is_empty() && !self.pipeline.dead_letters.is_full();
        let count = if may_read { self.inflow.read(&mut self.pipeline) } else { 0 };
        self.watch_cluster();
        let may_pass = may_read && !self.settings.until_end && !self.progress.cluster_away;
        let idle = may_pass.then(|| Span::from_millis(lap.min(LONGEST_LAP).as_millis() as i64));
        self.pipeline.pass(self.settings.shards, idle);
        self.catch_up();
        self.hand_on();
        self.settle()?;
        Ok(count)
    }

    /// While the cluster is away no time passes by itself; when it is back, it is asked anew what is unread.
    fn watch_cluster(&mut self) {
        let away = !self.presence.is_there();
        if self.progress.cluster_away && !away {
            tracing::info!("kafka is back");
            self.inflow.ask_again(&mut self.pipeline);
        } else if away && !self.progress.cluster_away {
            tracing::warn!("kafka does not answer, or a partition has no leader; event time stands still");
        }
        self.progress.cluster_away = away;
    }

    /// Once everything from before the start is read and settled, what only the database knows is up to people.
    fn catch_up(&mut self) {
        match self.progress.catching_up {
            CatchingUp::Done => {}
            CatchingUp::Reading if self.is_at_end() => {
                self.progress.catching_up = CatchingUp::Settling(self.pipeline.clocks.scope_time());
            }
            CatchingUp::Reading => {}
            CatchingUp::Settling(since) => {
                if self.pipeline.clocks.scope_time() >= since + self.settings.lateness {
                    self.pipeline.engine.caught_up();
                    self.progress.catching_up = CatchingUp::Done;
                }
            }
        }
    }

    /// Everything up to the ends that were noted at the start was read.
    fn is_at_end(&self) -> bool {
        self.inflow.inputs().iter().zip(&self.ends).all(|(input, end)| input.has_reached(*end))
    }

    /// Gives the effects to the database, as far as there is room.
    pub fn hand_on(&mut self) {
        if self.pipeline.engine.has_effects() {
            let effects = self.pipeline.engine.drain_effects().collect();
            let (number, cause) = (self.next_batch_number(), self.pipeline.cause.take());
            self.queue(Batch { number, effects, cause, rules: None });
        }
        while let Some(batch) = self.progress.outbound.pop_front() {
            if let Err(refused) = self.batches.try_send(batch) {
                let (mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch)) =
                    refused;
                self.progress.outbound.push_front(batch);
                return;
            }
        }
    }

    pub fn next_batch_number(&mut self) -> u64 {
        self.progress.last_batch += 1;
        self.progress.last_batch
    }

    /// How many batches there were so far.
    #[cfg(test)]
    pub fn batches_made(&self) -> u64 {
        self.progress.last_batch
    }

    pub fn queue(&mut self, batch: Batch) {
        self.progress.outbound.push_back(batch);
    }

    /// A change of the rules has stopped reading for so long.
    pub fn note_pause(&mut self, pause: Duration) {
        let figures = &mut self.progress.figures;
        figures.reload_pause = Some(pause);
        figures.longest_reload_pause = figures.longest_reload_pause.max(pause);
    }

    /// Writes the state and the offsets of this moment, all but the commit.
    fn write_checkpoint(&mut self) -> anyhow::Result<()> {
        self.hand_on();
        let Self { inflow, pipeline, checkpoints, settings, .. } = self;
        let mut checkpoint = Checkpoint::default();
        let mut places = Vec::new();
        for input in inflow.inputs() {
            let name = pipeline.names.iter().find(|(topic, _)| *topic == input.topic);
            checkpoint.positions.push(Position {
                topic: name.map_or_else(String::new, |(_, name)| name.clone()),
                partition: input.partition,
                next_offset: input.next,
                newest: input.newest,
            });
            if input.active {
                places.push((input.topic, input.partition, input.next));
            }
        }
        checkpoint.shard_times =
            (0..settings.shards).map(|shard| (shard, pipeline.clocks.shard_time(shard))).collect();
        checkpoint.rules = pipeline.engine.marks().to_vec();
        let engine = &mut pipeline.engine;
        checkpoints.write(checkpoint, |sink| engine.drain_changes(sink))?;
        self.progress.pending = Some(Pending {
            batch: self.progress.last_batch,
            dead_letters: self.pipeline.dead_letters.sent(),
            places,
        });
        Ok(())
    }

    /// Commits the checkpoint that waits once what it depends on is durable, and then its offsets.
    fn settle(&mut self) -> anyhow::Result<()> {
        let Some(pending) = &self.progress.pending else { return Ok(()) };
        if self.checkpoints.is_sealed() {
            if pending.dead_letters > 0 {
                self.pipeline.dead_letters.serve(false);
            }
            let durable = self.durable.number() >= pending.batch
                && self.pipeline.dead_letters.has_arrived(pending.dead_letters);
            if durable {
                self.checkpoints.commit()?;
            }
        }
        if self.checkpoints.poll()? {
            self.inflow.commit(&pending.places, false);
            self.progress.figures.checkpoints += 1;
            self.progress.figures.last_checkpoint = Some(Stopwatch::start());
            self.progress.pending = None;
        }
        Ok(())
    }

    fn keep_house(&mut self) -> anyhow::Result<()> {
        self.pipeline.dead_letters.serve(true);
        self.inflow.repair()?;
        self.post_figures();
        self.control.note_turn();
        Ok(())
    }

    fn post_figures(&mut self) {
        let warming = self.warming();
        let figures = &mut self.progress.figures;
        figures.add(&self.pipeline.counts.take());
        figures.inflow = self.inflow.figures();
        figures.dead_letters_waiting = self.pipeline.dead_letters.waiting();
        figures.checkpoint_bytes = self.checkpoints.written_bytes();
        figures.engine = self.pipeline.engine.figures();
        figures.warming = warming;
        figures.cluster_away = self.progress.cluster_away;
        figures.store_failing = self.durable.is_failing();
        let clocks = &mut self.pipeline.clocks;
        figures.shard_times =
            (0..self.settings.shards).map(|shard| (shard, clocks.shard_time(shard))).collect();
        self.board.post(figures.clone(), self.pipeline.events.scratch.take_unknown_faults());
    }

    /// A step on the way to the end, which makes everything durable: effects, unreadable records, one last checkpoint and its
    /// offsets.
    fn finish(&mut self, lap: Duration, is_written: bool) -> anyhow::Result<Next> {
        self.inflow.serve(&mut self.pipeline);
        self.hand_on();
        let retry = self.is_housekeeping_due(lap);
        self.pipeline.dead_letters.serve(retry);
        self.settle()?;
        if self.progress.pending.is_some() {
            let too_late = self.control.is_out_of_time();
            return Ok(if too_late {
                Next::End { everything_durable: false }
            } else {
                Next::Rest(LAST_REST)
            });
        }
        if !is_written {
            self.write_checkpoint()?;
            self.progress.finishing = Some(true);
            return Ok(Next::GoOn);
        }
        let places: Vec<_> = self.inflow.inputs().iter().filter(|input| input.active).collect();
        let places: Vec<_> = places.iter().map(|input| (input.topic, input.partition, input.next)).collect();
        self.inflow.commit(&places, true);
        self.post_figures();
        Ok(Next::End { everything_durable: true })
    }
}
