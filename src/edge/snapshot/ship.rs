//! What of the log goes to a changelog elsewhere, and how far that has come.
//!
//! The log is written first; what each of its commits made valid is shipped after it, from the files, by whoever takes it
//! from here. What is not shipped yet is never rewritten, so that after a pause of any length the rest can follow.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::format::{self, Checkpoint, Commit, FRAME_HEADER_BYTES, FrameKind};
use super::live;
use super::log::RestoreError;
use super::segment::ChunkPlace;

/// The layout of a marker's bytes before its frame.
const VERSION: u8 = 1;

/// How far a changelog has come: the checkpoint that its records add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The run that has written it.
    pub run: i64,
    pub sequence: u64,
    pub checkpoint: Checkpoint,
}

/// Why a marker can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerFault {
    Damaged,
    /// Of another layout of markers or of the state.
    Version,
}

impl Marker {
    pub fn encode(&self, state_layout: u32) -> Vec<u8> {
        let commit = Commit {
            sequence: self.sequence,
            first_segment: 0,
            chunks: 0,
            chain: 0,
            checkpoint: self.checkpoint.clone(),
        };
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&state_layout.to_le_bytes());
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(commit.encode().seal().0);
        bytes
    }

    pub fn decode(bytes: &[u8], state_layout: u32) -> Result<Self, MarkerFault> {
        let (version, rest) = bytes.split_first().ok_or(MarkerFault::Damaged)?;
        let (layout, rest) = rest.split_first_chunk().ok_or(MarkerFault::Damaged)?;
        if *version != VERSION || u32::from_le_bytes(*layout) != state_layout {
            return Err(MarkerFault::Version);
        }
        let (run, rest) = rest.split_first_chunk().ok_or(MarkerFault::Damaged)?;
        let (header, payload) = rest.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(MarkerFault::Damaged)?;
        let (kind, length, crc) = format::decode_frame_header(header).ok_or(MarkerFault::Damaged)?;
        let is_whole =
            kind == FrameKind::Commit && payload.len() == length as usize && crc32fast::hash(payload) == crc;
        let commit = Some(payload).filter(|_| is_whole).and_then(Commit::decode);
        let commit = commit.ok_or(MarkerFault::Damaged)?;
        Ok(Self { run: i64::from_le_bytes(*run), sequence: commit.sequence, checkpoint: commit.checkpoint })
    }
}

/// Chunks on their way, between the log and whoever ships them.
#[derive(Debug)]
pub struct Shipping {
    directory: PathBuf,
    run: i64,
    due: Mutex<Due>,
    changed: Condvar,
    /// The last commit that has arrived.
    shipped: AtomicU64,
}

#[derive(Debug, Default)]
struct Due {
    chunks: Vec<ChunkPlace>,
    last: Option<Marker>,
    closed: bool,
}

/// What is to be shipped together.
#[derive(Debug)]
pub struct Shipment {
    directory: PathBuf,
    chunks: Vec<ChunkPlace>,
    pub marker: Marker,
}

impl Shipping {
    /// `shipped`: the commit up to which a changelog has everything.
    pub fn new(directory: &Path, run: i64, shipped: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            run,
            due: Mutex::default(),
            changed: Condvar::new(),
            shipped: AtomicU64::new(shipped),
        }
    }

    /// The last commit that has arrived.
    pub fn shipped(&self) -> u64 {
        self.shipped.load(Ordering::Acquire)
    }

    pub(super) fn push(&self, chunks: &[ChunkPlace], sequence: u64, checkpoint: Checkpoint) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.chunks.extend_from_slice(chunks);
        due.last = Some(Marker { run: self.run, sequence, checkpoint });
        self.changed.notify_all();
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Waits for something to ship; an error says that nothing more will come.
    pub fn next(&self, patience: Duration) -> Result<Option<Shipment>, Closed> {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_timeout_while(due, patience, |due| due.last.is_none() && !due.closed);
        let (mut due, _) = wait.unwrap_or_else(PoisonError::into_inner);
        match due.last.take() {
            Some(marker) => {
                let (directory, chunks) = (self.directory.clone(), std::mem::take(&mut due.chunks));
                Ok(Some(Shipment { directory, chunks, marker }))
            }
            None if due.closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// What has come since belongs to the same shipment.
    pub fn join(&self, shipment: &mut Shipment) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(marker) = due.last.take() {
            shipment.chunks.append(&mut due.chunks);
            shipment.marker = marker;
        }
    }

    pub fn arrived(&self, shipment: &Shipment) {
        self.shipped.fetch_max(shipment.marker.sequence, Ordering::AcqRel);
    }
}

/// Nothing more will be shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Shipment {
    /// Visits the newest value of each key, shard by shard; [`None`]: the key is gone.
    pub fn visit<E>(
        &self,
        sink: impl FnMut(u32, &[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), RestoreError<E>> {
        live::visit_newest(&self.directory, &self.chunks, sink)
    }
}
