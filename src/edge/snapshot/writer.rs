//! The worker's side of the snapshot: records are encoded where they are, the disk is waited for in another thread.
//!
//! A checkpoint is begun, filled and sealed in one go; its commit is given separately, when the effects that belong
//! to it are durable. In between the worker goes on with events.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::format::{Checkpoint, Frame, FrameKind, StoredRecord};
use super::log::{Found, Log};
use super::sweep::Sweep;
use super::{SLICES, SnapshotError};

const CHUNK_BYTES: usize = 256 << 10;
/// Full chunks that may wait for the disk; a worker with more to write waits itself.
const WAITING_CHUNKS: usize = 8;

/// Hands checkpoints to the thread that writes them.
#[derive(Debug)]
pub struct SnapshotWriter {
    to_disk: SyncSender<Message>,
    from_disk: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    chunk: Frame,
    spare: Vec<Frame>,
    sweep: Sweep,
    sealed: Option<(Checkpoint, Option<u64>)>,
    committed: Option<Committed>,
    written: u64,
}

/// A checkpoint that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub sequence: u64,
}

#[derive(Debug)]
enum Message {
    BeginSweep,
    Chunk(Frame),
    Commit(Checkpoint, Option<u64>),
}

#[derive(Debug)]
enum Report {
    Written(Frame),
    Committed(Committed),
    Failed(SnapshotError),
}

impl SnapshotWriter {
    pub fn start(log: Log, found: &Found) -> Result<Self, SnapshotError> {
        Self::start_with(log, Sweep::new(found.total_bytes, found.live_bytes))
    }

    fn start_with(log: Log, sweep: Sweep) -> Result<Self, SnapshotError> {
        let (to_disk, messages) = sync_channel(WAITING_CHUNKS);
        // Every message has at most one report, so the reports of a whole checkpoint fit if the worker takes them
        // with each chunk that it sends.
        let (reports, from_disk) = sync_channel(2 * WAITING_CHUNKS + 2);
        let thread = Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || write_all(log, &messages, &reports))
            .map_err(|source| SnapshotError::Io {
                action: "start a thread for",
                path: "state".into(),
                source,
            })?;
        Ok(Self {
            to_disk,
            from_disk,
            thread: Some(thread),
            chunk: Frame::new(FrameKind::Chunk),
            spare: Vec::new(),
            sweep,
            sealed: None,
            committed: None,
            written: 0,
        })
    }

    /// Writes a checkpoint, all but its commit. `changes` hands over the keys that have changed since the last one;
    /// `again` makes a slice (of [`SLICES`]) of all keys count as changed, so that `changes` hands it over, too.
    pub fn write<S>(
        &mut self,
        state: &mut S,
        mut changes: impl FnMut(&mut S, &mut dyn FnMut(StoredRecord<'_>)),
        mut again: impl FnMut(&mut S, u32, u32),
        checkpoint: Checkpoint,
    ) -> Result<(), SnapshotError> {
        if self.sweep.begin() {
            self.send(Message::BeginSweep)?;
        }
        let changed = self.drain(state, &mut changes)?;
        let slices = self.sweep.slices(changed);
        let count = slices.end - slices.start;
        let mut swept = 0;
        for slice in slices {
            again(state, slice, SLICES);
            swept += self.drain(state, &mut changes)?;
        }
        self.flush()?;
        let complete = self.sweep.end(changed, count, swept);
        self.sealed = Some((checkpoint, complete));
        Ok(())
    }

    /// Gives the commit of the checkpoint that was written last. Its end is reported by [`SnapshotWriter::poll`].
    pub fn commit(&mut self) -> Result<(), SnapshotError> {
        match self.sealed.take() {
            Some((checkpoint, swept)) => self.send(Message::Commit(checkpoint, swept)),
            None => Ok(()),
        }
    }

    /// Whether a checkpoint waits for [`SnapshotWriter::commit`].
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// The checkpoint that has become valid since the last call, if any.
    pub fn poll(&mut self) -> Result<Option<Committed>, SnapshotError> {
        self.collect()?;
        Ok(self.committed.take())
    }

    /// Waits for the commit that was given last.
    pub fn wait(&mut self) -> Result<Committed, SnapshotError> {
        loop {
            if let Some(committed) = self.committed.take() {
                return Ok(committed);
            }
            let report = self.from_disk.recv().map_err(|_| SnapshotError::Ended)?;
            self.take(report)?;
        }
    }

    /// Bytes of records written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written
    }

    fn drain<S>(
        &mut self,
        state: &mut S,
        changes: &mut impl FnMut(&mut S, &mut dyn FnMut(StoredRecord<'_>)),
    ) -> Result<u64, SnapshotError> {
        let before = self.written + self.chunk.payload_bytes() as u64;
        let mut failed = None;
        changes(state, &mut |record| {
            self.chunk.push_record(record);
            if self.chunk.payload_bytes() >= CHUNK_BYTES && failed.is_none() {
                failed = self.flush().err();
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(self.written + self.chunk.payload_bytes() as u64 - before),
        }
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.collect()?;
        let mut next = self.spare.pop().unwrap_or_else(|| Frame::new(FrameKind::Chunk));
        next.clear();
        let full = std::mem::replace(&mut self.chunk, next);
        self.written += full.payload_bytes() as u64;
        self.send(Message::Chunk(full))
    }

    fn send(&mut self, message: Message) -> Result<(), SnapshotError> {
        if self.to_disk.send(message).is_ok() {
            return Ok(());
        }
        // The thread has ended; its last report says why.
        self.collect()?;
        Err(SnapshotError::Ended)
    }

    fn collect(&mut self) -> Result<(), SnapshotError> {
        loop {
            match self.from_disk.try_recv() {
                Ok(report) => self.take(report)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(SnapshotError::Ended),
            }
        }
    }

    fn take(&mut self, report: Report) -> Result<(), SnapshotError> {
        match report {
            Report::Written(frame) => self.spare.push(frame),
            Report::Committed(committed) => self.committed = Some(committed),
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    /// Waits until the thread has let go of the files. What was not committed is cut off by the next start.
    fn drop(&mut self) {
        let (nobody, _) = sync_channel(0);
        self.to_disk = nobody;
        let (_, nothing) = sync_channel(0);
        self.from_disk = nothing;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn write_all(mut log: Log, messages: &Receiver<Message>, reports: &SyncSender<Report>) {
    while let Ok(message) = messages.recv() {
        let report = match message {
            Message::BeginSweep => match log.begin_sweep() {
                Ok(()) => continue,
                Err(error) => Report::Failed(error),
            },
            Message::Chunk(mut frame) => match log.append(&mut frame) {
                Ok(()) => Report::Written(frame),
                Err(error) => Report::Failed(error),
            },
            Message::Commit(checkpoint, swept) => match log.commit(checkpoint, swept) {
                Ok(sequence) => Report::Committed(Committed { sequence }),
                Err(error) => Report::Failed(error),
            },
        };
        let failed = matches!(report, Report::Failed(_));
        if reports.send(report).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
impl SnapshotWriter {
    pub fn start_with_small_log(log: Log, small_log_bytes: u64) -> Result<Self, SnapshotError> {
        Self::start_with(log, Sweep::with_small_log(small_log_bytes))
    }
}
