//! Rewriting what is live: all segments but the one that is written to become one, in a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use super::SnapshotError;
use super::format::{Commit, Frame};
use super::live;
use super::log::RestoreError;
use super::segment::{ChunkPlace, Segment, chain_crc};
use super::writer::CHUNK_BYTES;

/// What is to be compacted.
#[derive(Debug)]
pub struct Work {
    pub directory: PathBuf,
    pub state_layout: u32,
    /// All chunks of the segments, in the order in which they were written.
    pub chunks: Vec<ChunkPlace>,
    /// The number of the newest of the segments; the new one takes its place.
    pub number: u64,
    /// The commit that the newest of the segments ends with.
    pub last: Commit,
}

/// What came of it: the chunks of the new segment, its size and its commit.
#[derive(Debug)]
pub struct Compacted {
    pub number: u64,
    pub chunks: Vec<ChunkPlace>,
    pub bytes: u64,
}

/// A compaction that is under way. Dropping it stops it; what was written aside is cleaned away by the next start.
#[derive(Debug)]
pub struct Compaction {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Compacted, SnapshotError>>>,
}

impl Compaction {
    pub fn start(work: Work) -> Result<Self, SnapshotError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("compact".to_owned()).spawn(move || work.run(&stopped)).map_err(
            |source| SnapshotError::Io { action: "start a thread for", path: "state".into(), source },
        )?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// The result, once it is there.
    pub fn result(&mut self) -> Option<Result<Compacted, SnapshotError>> {
        let finished = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        let thread = self.thread.take_if(|_| finished)?;
        Some(thread.join().unwrap_or(Err(SnapshotError::Ended)))
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _stopped = thread.join();
        }
    }
}

/// Why the visit of the live records ended early.
enum Early {
    Stopped,
    Failed(SnapshotError),
}

impl Work {
    fn run(self, stop: &AtomicBool) -> Result<Compacted, SnapshotError> {
        let mut output = Output {
            segment: Segment::create_aside(&self.directory, self.number, self.state_layout)?,
            frame: Frame::chunk(0),
            shard: 0,
            chunks: Vec::new(),
            chain: 0,
            sequence: self.last.sequence,
        };
        let visited = live::visit(&self.directory, &self.chunks, |record| {
            if stop.load(Ordering::Relaxed) {
                return Err(Early::Stopped);
            }
            output.push(record).map_err(Early::Failed)
        });
        match visited {
            Ok(()) => {}
            Err(RestoreError::Refused(Early::Stopped)) => return Err(SnapshotError::Ended),
            Err(RestoreError::Refused(Early::Failed(error)) | RestoreError::Snapshot(error)) => {
                return Err(error);
            }
        }
        output.flush()?;
        let commit = Commit {
            first_segment: self.number,
            chunks: output.chunks.len() as u32,
            chain: output.chain,
            ..self.last
        };
        output.segment.append(commit.encode().seal().0)?;
        let bytes = output.segment.bytes;
        output.segment.replace(&self.directory)?;
        Ok(Compacted { number: self.number, chunks: output.chunks, bytes })
    }
}

struct Output {
    segment: Segment,
    frame: Frame,
    shard: u32,
    chunks: Vec<ChunkPlace>,
    chain: u32,
    sequence: u64,
}

impl Output {
    fn push(&mut self, record: live::LiveRecord<'_>) -> Result<(), SnapshotError> {
        if record.shard != self.shard || self.frame.bytes() >= CHUNK_BYTES {
            self.flush()?;
            self.shard = record.shard;
            self.frame.restart(record.shard);
        }
        self.frame.push_record(record.key, Some(record.value));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let place = self.segment.append_chunk(&mut self.frame, self.shard, self.sequence)?;
        self.chain = chain_crc(self.chain, place.crc);
        self.chunks.push(place);
        Ok(())
    }
}
