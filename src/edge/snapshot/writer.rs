//! The worker's side of the snapshot: records are encoded where they are, the disk is waited for in another thread.
//!
//! A checkpoint is written in one go; its commit is given separately, when the effects that belong to it are durable.
//! In between the worker goes on with events.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::SnapshotError;
use super::format::{Checkpoint, Frame};
use super::log::Log;

/// A chunk with so many bytes is complete.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Full chunks that may wait for the disk; a worker with more to write waits itself.
const WAITING_CHUNKS: usize = 8;

/// Hands checkpoints to the thread that writes them.
#[derive(Debug)]
pub struct SnapshotWriter {
    to_disk: SyncSender<Message>,
    from_disk: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    chunk: Frame,
    shard: u32,
    spare: Vec<Frame>,
    sealed: Option<Checkpoint>,
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
    Chunk(u32, Frame),
    Commit(Checkpoint),
}

#[derive(Debug)]
enum Report {
    Written(Frame),
    Committed(Committed),
    Failed(SnapshotError),
}

/// Takes the records of a checkpoint.
#[derive(Debug)]
pub struct Records<'a> {
    writer: &'a mut SnapshotWriter,
    failed: Option<SnapshotError>,
}

impl SnapshotWriter {
    pub fn start(log: Log) -> Result<Self, SnapshotError> {
        let (to_disk, messages) = sync_channel(WAITING_CHUNKS);
        // Every message has one report. The worker takes them with each chunk that it sends, so they always fit.
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
            chunk: Frame::chunk(0),
            shard: 0,
            spare: Vec::new(),
            sealed: None,
            committed: None,
            written: 0,
        })
    }

    /// Writes chunks that were made elsewhere, as part of the next checkpoint.
    pub fn add(&mut self, chunks: Vec<(u32, Frame)>) -> Result<(), SnapshotError> {
        for (shard, chunk) in chunks {
            self.collect()?;
            self.send(Message::Chunk(shard, chunk))?;
        }
        Ok(())
    }

    /// Writes a checkpoint, all but its commit: what has changed since the last one, and where it stands.
    pub fn write(
        &mut self,
        checkpoint: Checkpoint,
        changes: impl FnOnce(&mut Records<'_>),
    ) -> Result<(), SnapshotError> {
        let mut records = Records { writer: self, failed: None };
        changes(&mut records);
        if let Some(error) = records.failed {
            return Err(error);
        }
        self.flush()?;
        self.sealed = Some(checkpoint);
        Ok(())
    }

    /// Gives the commit of the checkpoint that was written last. Its end is reported by [`SnapshotWriter::poll`].
    pub fn commit(&mut self) -> Result<(), SnapshotError> {
        match self.sealed.take() {
            Some(checkpoint) => self.send(Message::Commit(checkpoint)),
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

    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.collect()?;
        let next = self.spare.pop().unwrap_or_else(|| Frame::chunk(0));
        let full = std::mem::replace(&mut self.chunk, next);
        self.chunk.restart(self.shard);
        self.written += full.bytes() as u64;
        self.send(Message::Chunk(self.shard, full))
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
            Report::Written(frame) if self.spare.len() <= WAITING_CHUNKS => self.spare.push(frame),
            Report::Written(_) => {}
            Report::Committed(committed) => self.committed = Some(committed),
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }
}

impl Records<'_> {
    /// Adds a record; [`None`] is a tombstone. The records of one shard should come together.
    pub fn push(&mut self, shard: u32, key: &[u8], value: Option<&[u8]>) {
        let writer = &mut *self.writer;
        let elsewhere = shard != writer.shard;
        if (elsewhere || writer.chunk.bytes() >= CHUNK_BYTES) && self.failed.is_none() {
            self.failed = writer.flush().err();
        }
        if elsewhere {
            writer.shard = shard;
            writer.chunk.restart(shard);
        }
        if self.failed.is_none() {
            writer.chunk.push_record(key, value);
        }
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
            Message::Chunk(shard, mut frame) => match log.append(&mut frame, shard) {
                Ok(()) => Report::Written(frame),
                Err(error) => Report::Failed(error),
            },
            Message::Commit(checkpoint) => match log.commit(checkpoint) {
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
