//! The loop of a worker: read, decide, hand on, checkpoint. One thread, and nothing in it waits for the database, the
//! disk or the network, except for records.
//!
//! A checkpoint holds the state and the offsets of one moment. It is committed when the effects decided up to that
//! moment are in the database and the unreadable records up to it in their topic; meanwhile the loop goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::control::Control;
use super::effects::{Batch, Durable};
use super::figures::{Board, Figures};
use super::pipeline::Pipeline;
use super::takeover::Takeover;
use crate::core::event::Topic;
use crate::core::time::{Span, Time};
use crate::edge::clock::Stopwatch;
use crate::edge::kafka::{Intake, Pulse, Waker};
use crate::edge::snapshot::{Checkpoint, Position, SnapshotWriter};

/// How long the loop waits for records before it looks at the time again.
const REST: Duration = Duration::from_millis(20);
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
pub struct Worker {
    pub settings: WorkerSettings,
    pub intake: Intake,
    pub pipeline: Pipeline,
    pub pulse: Pulse,
    pub snapshot: SnapshotWriter,
    pub batches: mpsc::Sender<Batch>,
    pub durable: Arc<Durable>,
    pub waker: Arc<Waker>,
    pub control: Arc<Control>,
    pub board: Arc<Board>,
    /// Where each input ended when reading began, in the order of the intake's inputs.
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

impl Worker {
    /// Runs until it is told to stop, or has read what it was to read; then everything is made durable. `false`: that
    /// did not succeed in the time that a stop may take.
    pub fn run(mut self) -> anyhow::Result<bool> {
        self.waker.claim();
        // So that a crash before the first checkpoint begins where this start began.
        self.write_checkpoint()?;
        self.snapshot.commit()?;
        self.snapshot.wait().context("cannot write the first checkpoint")?;
        self.progress.pending = None;
        let (mut lap, mut housekeeping) = (Stopwatch::start(), Stopwatch::start());
        let mut since_checkpoint = Stopwatch::start();
        let mut interval = FIRST_CHECKPOINT.min(self.settings.checkpoint_every);
        loop {
            if self.control.is_stopping() {
                break;
            }
            let count = self.turn(lap.lap())?;
            self.tend_takeover()?;
            if since_checkpoint.elapsed() >= interval && self.progress.pending.is_none() {
                since_checkpoint.lap();
                interval = (interval * 2).min(self.settings.checkpoint_every);
                self.write_checkpoint()?;
            }
            if housekeeping.elapsed() >= HOUSEKEEPING {
                housekeeping.lap();
                self.keep_house()?;
            }
            let is_done = count == 0 && !self.takeover.is_filling() && self.is_at_end();
            if self.settings.until_end && is_done {
                break;
            }
            if count == 0 {
                park_timeout(REST);
            }
        }
        self.finish()
    }

    /// One turn: records, time, effects, and what has become durable. Returns how many records there were.
    fn turn(&mut self, lap: Duration) -> anyhow::Result<usize> {
        self.intake.serve(&mut self.pipeline);
        let may_read = self.progress.outbound.is_empty() && !self.pipeline.dead_letters.is_full();
        let count = if may_read { self.intake.read(&mut self.pipeline) } else { 0 };
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
        let away = !self.pulse.beats();
        if self.progress.cluster_away && !away {
            tracing::info!("kafka is back");
            self.intake.ask_again(&mut self.pipeline);
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
        self.intake.inputs().iter().zip(&self.ends).all(|(input, end)| input.has_reached(*end))
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
        let Self { intake, pipeline, snapshot, settings, .. } = self;
        let mut checkpoint = Checkpoint::default();
        let mut places = Vec::new();
        for input in intake.inputs() {
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
        snapshot
            .write(checkpoint, |records| {
                engine.drain_changes(&mut |record| records.push(record.shard, record.key, record.value));
            })
            .context("cannot write a checkpoint")?;
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
        if self.snapshot.is_sealed() {
            if pending.dead_letters > 0 {
                self.pipeline.dead_letters.serve(Duration::ZERO, false);
            }
            let durable = self.durable.number() >= pending.batch
                && self.pipeline.dead_letters.has_arrived(pending.dead_letters);
            if durable {
                self.snapshot.commit().context("cannot commit a checkpoint")?;
            }
        }
        if self.snapshot.poll().context("cannot commit a checkpoint")?.is_some() {
            self.intake.commit(&pending.places, false);
            self.progress.figures.checkpoints += 1;
            self.progress.figures.last_checkpoint = Some(Stopwatch::start());
            self.progress.pending = None;
        }
        Ok(())
    }

    fn keep_house(&mut self) -> anyhow::Result<()> {
        self.pipeline.dead_letters.serve(Duration::ZERO, true);
        self.intake.repair().context("cannot replace a client of kafka")?;
        self.post_figures();
        self.control.note_turn();
        Ok(())
    }

    fn post_figures(&mut self) {
        let warming = self.warming();
        let figures = &mut self.progress.figures;
        figures.add(&self.pipeline.counts.take());
        figures.lag = self.intake.lag();
        figures.intake = self.intake.figures();
        figures.assigned = self.intake.assigned();
        figures.held_bytes = self.intake.held_bytes();
        figures.overrun = self.intake.overrun();
        figures.failed_commits = self.intake.failed_commits();
        figures.dead_letters_waiting = self.pipeline.dead_letters.waiting();
        figures.checkpoint_bytes = self.snapshot.written_bytes();
        figures.engine = self.pipeline.engine.figures();
        figures.warming = warming;
        figures.cluster_away = self.progress.cluster_away;
        figures.store_failing = self.durable.is_failing();
        let clocks = &mut self.pipeline.clocks;
        figures.shard_times =
            (0..self.settings.shards).map(|shard| (shard, clocks.shard_time(shard))).collect();
        self.board.post(figures.clone(), self.pipeline.events.scratch.take_unknown_faults());
    }

    /// Makes everything durable: effects, unreadable records, one last checkpoint and its offsets.
    fn finish(mut self) -> anyhow::Result<bool> {
        let mut retry = Stopwatch::start();
        let mut written = false;
        loop {
            self.intake.serve(&mut self.pipeline);
            self.hand_on();
            let due = retry.elapsed() >= HOUSEKEEPING;
            if due {
                retry.lap();
            }
            self.pipeline.dead_letters.serve(Duration::ZERO, due);
            self.settle()?;
            if self.progress.pending.is_none() {
                if written {
                    break;
                }
                self.write_checkpoint()?;
                written = true;
                continue;
            }
            if self.control.is_out_of_time() {
                self.intake.close();
                return Ok(false);
            }
            park_timeout(Duration::from_millis(5));
        }
        let places: Vec<_> = self.intake.inputs().iter().filter(|input| input.active).collect();
        let places: Vec<_> = places.iter().map(|input| (input.topic, input.partition, input.next)).collect();
        self.intake.commit(&places, true);
        self.post_figures();
        self.intake.close();
        Ok(true)
    }
}
