//! What a worker needs of its neighbours, and who they are in production. The loop knows nothing else of them, so that it
//! runs over simulated ones as it is.

use std::time::Duration;

use anyhow::Context as _;

use crate::core::engine;
use crate::core::event::Topic;
use crate::edge::kafka::{DeadLetters, Input, Intake, IntakeFigures, Pulse, Reading, Reason, Record};
use crate::edge::snapshot::{Checkpoint, SnapshotWriter};

/// The neighbours of one worker.
pub trait Neighbours {
    type Inflow: Inflow;
    type Checkpoints: Checkpoints;
    type Presence: Presence;
    type Unreadable: Unreadable;
}

/// Where records come from, and where it is said how far they were read.
pub trait Inflow {
    /// Takes part in the group and follows its decisions. To be called often, also while nothing may be read.
    fn serve(&mut self, reading: &mut impl Reading);

    /// Reads what is there, lowest event time first. 0: there is nothing to do at the moment.
    fn read(&mut self, reading: &mut impl Reading) -> usize;

    /// The cluster was away: whether there is more to read is asked anew.
    fn ask_again(&mut self, reading: &mut impl Reading);

    /// Where each input stands: what a checkpoint stores.
    fn inputs(&self) -> &[Input];

    /// Tells the group how far a checkpoint has come.
    fn commit(&mut self, places: &[(Topic, u32, i64)], wait: bool);

    /// Replaces what can't go on. To be called about once a second.
    fn repair(&mut self) -> anyhow::Result<()>;

    fn figures(&self) -> InflowFigures;

    /// Leaves the group and lets go of everything, without waiting for it.
    fn close(self);
}

/// How the inflow stands, for people.
#[derive(Clone, Debug, Default)]
pub struct InflowFigures {
    /// Records that were not read yet, by input.
    pub lag: Vec<(Topic, u32, i64)>,
    pub figures: IntakeFigures,
    /// Of the partitions those that are ours, and all.
    pub assigned: (usize, usize),
    pub held_bytes: usize,
    /// Records that were read out of turn because too many were held.
    pub overrun: u64,
    pub failed_commits: u64,
}

/// Where checkpoints are kept: the state and the offsets of one moment, valid together or not at all.
///
/// A checkpoint is written first, all but its commit, while the worker waits. It is *sealed* then, and nothing of it counts
/// before [`Checkpoints::commit`]; the worker gives that when everything decided up to that moment is durable. Only when
/// [`Checkpoints::poll`] says that it is kept does a restart begin from it.
pub trait Checkpoints {
    /// Writes a checkpoint, all but its commit: `changes` hands out what has changed since the last one.
    fn write(
        &mut self,
        checkpoint: Checkpoint,
        changes: impl FnOnce(&mut dyn FnMut(engine::Record<'_>)),
    ) -> anyhow::Result<()>;

    /// Whether a checkpoint waits for its commit.
    fn is_sealed(&self) -> bool;

    /// Gives the commit of the checkpoint that was written last.
    fn commit(&mut self) -> anyhow::Result<()>;

    /// Whether the checkpoint that was committed last has become valid since the last call.
    fn poll(&mut self) -> anyhow::Result<bool>;

    /// Waits until it is.
    fn wait(&mut self) -> anyhow::Result<()>;

    /// Bytes of state written so far.
    fn written_bytes(&self) -> u64;
}

/// Whether the cluster is there at all.
pub trait Presence {
    fn is_there(&self) -> bool;
}

/// Where records go that can't be read.
pub trait Unreadable {
    fn send(&mut self, record: &Record<'_>, reason: Reason<'_>);

    /// Lets arrivals be noted. `retry`: sends again what was refused, which is to be asked for about once a second.
    fn serve(&mut self, retry: bool);

    /// How many were sent so far; a point for [`Unreadable::has_arrived`].
    fn sent(&self) -> usize;

    /// Everything up to this point has arrived.
    fn has_arrived(&self, point: usize) -> bool;

    /// Nothing more should be read until some of it has arrived.
    fn is_full(&self) -> bool;

    fn waiting(&self) -> usize;
}

/// The neighbours in production: Kafka, and the state folder.
#[derive(Clone, Copy, Debug)]
pub struct Real;

impl Neighbours for Real {
    type Inflow = Intake;
    type Checkpoints = SnapshotWriter;
    type Presence = Pulse;
    type Unreadable = DeadLetters;
}

impl Inflow for Intake {
    fn serve(&mut self, reading: &mut impl Reading) {
        Self::serve(self, reading);
    }

    fn read(&mut self, reading: &mut impl Reading) -> usize {
        Self::read(self, reading)
    }

    fn ask_again(&mut self, reading: &mut impl Reading) {
        Self::ask_again(self, reading);
    }

    fn inputs(&self) -> &[Input] {
        Self::inputs(self)
    }

    fn commit(&mut self, places: &[(Topic, u32, i64)], wait: bool) {
        Self::commit(self, places, wait);
    }

    fn repair(&mut self) -> anyhow::Result<()> {
        Self::repair(self).context("cannot replace a client of kafka")
    }

    fn figures(&self) -> InflowFigures {
        InflowFigures {
            lag: self.lag(),
            figures: self.figures(),
            assigned: self.assigned(),
            held_bytes: self.held_bytes(),
            overrun: self.overrun(),
            failed_commits: self.failed_commits(),
        }
    }

    fn close(self) {
        Self::close(self);
    }
}

impl Checkpoints for SnapshotWriter {
    fn write(
        &mut self,
        checkpoint: Checkpoint,
        changes: impl FnOnce(&mut dyn FnMut(engine::Record<'_>)),
    ) -> anyhow::Result<()> {
        let written = Self::write(self, checkpoint, |records| {
            changes(&mut |record| records.push(record.shard, record.key, record.value));
        });
        written.context("cannot write a checkpoint")
    }

    fn is_sealed(&self) -> bool {
        Self::is_sealed(self)
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        Self::commit(self).context("cannot commit a checkpoint")
    }

    fn poll(&mut self) -> anyhow::Result<bool> {
        Ok(Self::poll(self).context("cannot commit a checkpoint")?.is_some())
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        Self::wait(self).map(drop).context("cannot commit a checkpoint")
    }

    fn written_bytes(&self) -> u64 {
        Self::written_bytes(self)
    }
}

impl Presence for Pulse {
    fn is_there(&self) -> bool {
        self.beats()
    }
}

impl Unreadable for DeadLetters {
    fn send(&mut self, record: &Record<'_>, reason: Reason<'_>) {
        Self::send(self, record, reason);
    }

    fn serve(&mut self, retry: bool) {
        Self::serve(self, Duration::ZERO, retry);
    }

    fn sent(&self) -> usize {
        Self::sent(self)
    }

    fn has_arrived(&self, point: usize) -> bool {
        Self::has_arrived(self, point)
    }

    fn is_full(&self) -> bool {
        Self::is_full(self)
    }

    fn waiting(&self) -> usize {
        Self::waiting(self)
    }
}
