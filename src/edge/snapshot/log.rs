//! The log of segments: what a checkpoint is on disk, which segments are still needed, and what a restart finds.
//!
//! A checkpoint counts once its commit frame and everything before it is synced, in one sync. The commits themselves
//! say which segments are needed, so there is no second file that could disagree with them.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SnapshotError;
use super::compact::{Compaction, Work};
use super::format::{Checkpoint, Commit, Frame};
use super::live::{self, LiveRecord};
use super::segment::{ASIDE, ChunkPlace, Segment, chain_crc, scan, sync_directory};
use super::ship::Shipping;

/// When a log is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct CompactWhen {
    /// A smaller log is not worth it.
    pub bytes: u64,
    /// A log in more pieces than this is rewritten although it is small, so that the list of pieces stays short.
    pub chunks: usize,
}

/// A log is rewritten when it is this many times as large as what was live after the last time.
const TIMES_LIVE: u64 = 4;

impl Default for CompactWhen {
    fn default() -> Self {
        Self { bytes: 256 << 20, chunks: 100_000 }
    }
}

/// The snapshot's files, held by one process at a time.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    state_layout: u32,
    compact_when: CompactWhen,
    compaction: Option<Compaction>,
    /// Of `chunks` the first ones, which the running compaction rewrites.
    compacting: usize,
    segment: Segment,
    first_segment: u64,
    sequence: u64,
    /// The chunks of all valid checkpoints and of the one that is being written.
    chunks: Vec<ChunkPlace>,
    /// Bytes of all segments but the one that is written to.
    closed_bytes: u64,
    /// Bytes after the last rewriting.
    live_bytes: u64,
    pending_chunks: u32,
    chain: u32,
    /// The last commit.
    last: Option<Commit>,
    /// Whoever ships what is committed; then it must have arrived before it is rewritten.
    shipping: Option<Arc<Shipping>>,
    /// Held for as long as the log is open; let go last.
    _lock: File,
}

/// What was found when the log was opened.
#[derive(Debug)]
pub struct Found {
    /// The last complete checkpoint; [`None`] in a new directory.
    pub checkpoint: Option<Checkpoint>,
    /// Bytes of an unfinished checkpoint that were cut off.
    pub cut_bytes: u64,
}

impl Log {
    /// Opens the log in `directory`, which is made if it is missing, and cuts off what no commit covers.
    pub fn open(directory: &Path, state_layout: u32) -> Result<(Self, Found), SnapshotError> {
        Self::open_with(directory, state_layout, CompactWhen::default())
    }

    pub fn open_with(
        directory: &Path,
        state_layout: u32,
        compact_when: CompactWhen,
    ) -> Result<(Self, Found), SnapshotError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(SnapshotError::io("create", directory))?;
        let lock = lock(directory)?;
        let (numbers, aside) = list(directory)?;
        for path in aside {
            remove(&path)?;
        }
        let (mut end, cut_bytes) = find_end(directory, state_layout, numbers)?;
        let segment = match &end {
            Some(end) => Segment::reopen(directory, end.number, end.bytes)?,
            None => Segment::create(directory, 1, state_layout)?,
        };
        let mut log = Self {
            directory: directory.to_owned(),
            state_layout,
            compact_when,
            compaction: None,
            compacting: 0,
            first_segment: segment.number,
            segment,
            sequence: end.as_ref().map_or(0, |end| end.commit.sequence),
            chunks: Vec::new(),
            closed_bytes: 0,
            live_bytes: 0,
            pending_chunks: 0,
            chain: 0,
            last: None,
            shipping: None,
            _lock: lock,
        };
        if let Some(end) = &mut end {
            log.gather(end)?;
            log.remove_dead()?;
            log.last = Some(end.commit.clone());
        }
        Ok((log, Found { checkpoint: end.map(|end| end.commit.checkpoint), cut_bytes }))
    }

    /// Streams the live records of the last complete checkpoint. The sink says whether a record is still of use; for
    /// those that are not, chunks of tombstones are returned, to be written with the next checkpoint.
    pub fn restore<E>(
        &self,
        mut sink: impl FnMut(LiveRecord<'_>) -> Result<bool, E>,
    ) -> Result<Restored, RestoreError<E>> {
        let mut restored = Restored::default();
        live::visit(&self.directory, &self.chunks, |record| {
            restored.records += 1;
            if !sink(record)? {
                restored.stale += 1;
                restored.bury(record);
            }
            Ok(())
        })?;
        Ok(restored)
    }

    /// The last commit; 0 where there is none.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The oldest segment that is needed.
    #[cfg(test)]
    pub fn first_segment(&self) -> u64 {
        self.first_segment
    }

    /// From now on what is committed is shipped, and first what was committed and has not arrived.
    pub fn ship(&mut self, shipping: Arc<Shipping>) {
        let shipped = shipping.shipped();
        if let Some(last) = self.last.as_ref().filter(|last| last.sequence > shipped) {
            let first = self.chunks.partition_point(|chunk| chunk.sequence <= shipped);
            let due = self.chunks.get(first..).unwrap_or_default();
            shipping.push(due, last.sequence, last.checkpoint.clone());
        }
        self.shipping = Some(shipping);
    }

    /// Makes what was appended valid as the commit of another log.
    pub fn commit_as(&mut self, sequence: u64, checkpoint: Checkpoint) -> Result<(), SnapshotError> {
        self.sequence = sequence - 1;
        self.commit(checkpoint).map(drop)
    }

    /// Forgets everything. What is committed next follows on `sequence`.
    pub fn clear(&mut self, sequence: u64) -> Result<(), SnapshotError> {
        let (numbers, _) = list(&self.directory)?;
        // The newest first: what a crash leaves is an earlier checkpoint, whole.
        for number in numbers.into_iter().rev() {
            remove(&Segment::path(&self.directory, number))?;
        }
        sync_directory(&self.directory)?;
        self.segment = Segment::create(&self.directory, 1, self.state_layout)?;
        self.first_segment = 1;
        self.sequence = sequence;
        self.chunks.clear();
        (self.closed_bytes, self.live_bytes) = (0, 0);
        (self.pending_chunks, self.chain, self.last) = (0, 0, None);
        Ok(())
    }

    pub fn append(&mut self, chunk: &mut Frame, shard: u32) -> Result<(), SnapshotError> {
        if self.pending_chunks == 0 {
            // What was committed last may have arrived meanwhile.
            self.look_after_size()?;
        }
        let place = self.segment.append_chunk(chunk, shard, self.sequence + 1)?;
        self.pending_chunks += 1;
        self.chain = chain_crc(self.chain, place.crc);
        self.chunks.push(place);
        Ok(())
    }

    /// Makes the checkpoint and all its chunks valid.
    pub fn commit(&mut self, checkpoint: Checkpoint) -> Result<u64, SnapshotError> {
        self.take_compacted()?;
        self.sequence += 1;
        let commit = Commit {
            sequence: self.sequence,
            first_segment: self.first_segment,
            chunks: std::mem::take(&mut self.pending_chunks),
            chain: std::mem::take(&mut self.chain),
            checkpoint,
        };
        self.segment.append(commit.encode().seal().0)?;
        self.segment.sync()?;
        if let Some(shipping) = &self.shipping {
            let first = self.chunks.len() - commit.chunks as usize;
            let chunks = self.chunks.get(first..).unwrap_or_default();
            shipping.push(chunks, commit.sequence, commit.checkpoint.clone());
        }
        self.last = Some(commit);
        self.look_after_size()?;
        Ok(self.sequence)
    }

    /// Has the log rewritten when it has grown too large, once all of it has arrived where it is shipped to.
    fn look_after_size(&mut self) -> Result<(), SnapshotError> {
        let large = self.closed_bytes + self.segment.bytes
            > self.compact_when.bytes.max(TIMES_LIVE * self.live_bytes);
        let may = self.compaction.is_none()
            && self.shipping.as_ref().is_none_or(|shipping| shipping.shipped() >= self.sequence);
        if may
            && (large || self.chunks.len() > self.compact_when.chunks)
            && let Some(last) = self.last.clone()
        {
            self.start_compaction(last)?;
        }
        Ok(())
    }

    /// Closes the segment that ends with this commit and has it rewritten with those before it.
    fn start_compaction(&mut self, last: Commit) -> Result<(), SnapshotError> {
        let number = self.segment.number;
        self.closed_bytes += self.segment.bytes;
        self.segment = Segment::create(&self.directory, number + 1, self.state_layout)?;
        self.compacting = self.chunks.len();
        self.compaction = Some(Compaction::start(Work {
            directory: self.directory.clone(),
            state_layout: self.state_layout,
            chunks: self.chunks.clone(),
            number,
            last,
        })?);
        Ok(())
    }

    /// If a compaction has finished: its segment stands for all before it.
    fn take_compacted(&mut self) -> Result<(), SnapshotError> {
        let Some(result) = self.compaction.as_mut().and_then(Compaction::result) else { return Ok(()) };
        self.compaction = None;
        let compacted = result?;
        self.first_segment = compacted.number;
        self.closed_bytes = compacted.bytes;
        self.live_bytes = compacted.bytes;
        self.chunks.splice(..self.compacting, compacted.chunks);
        self.remove_dead()
    }

    /// Collects the chunks of the segments that the last commit needs. Each must be there and, but for the last one,
    /// end with a commit: it was synced before the next began.
    fn gather(&mut self, end: &mut End) -> Result<(), SnapshotError> {
        let mut first = end.commit.first_segment;
        let mut chunks = vec![std::mem::take(&mut end.chunks)];
        for number in (0..self.segment.number).rev() {
            if number < first {
                break;
            }
            let path = Segment::path(&self.directory, number);
            if !path.exists() {
                return Err(SnapshotError::Corrupt { path, offset: 0 });
            }
            let scan = scan(&self.directory, number, self.state_layout)?;
            let (commit, bytes) = match scan.last {
                Some((commit, bytes)) if bytes == scan.file_bytes => (commit, bytes),
                other => {
                    let offset = other.map_or(0, |(_, bytes)| bytes);
                    return Err(SnapshotError::Corrupt { path, offset });
                }
            };
            // A compaction may have replaced this segment without a commit after it having said so.
            first = first.max(commit.first_segment);
            self.closed_bytes += bytes;
            if commit.first_segment == number {
                self.live_bytes = bytes;
            }
            chunks.push(scan.chunks);
        }
        self.first_segment = first;
        self.chunks = chunks.into_iter().rev().flatten().collect();
        Ok(())
    }

    fn remove_dead(&mut self) -> Result<(), SnapshotError> {
        let (numbers, _) = list(&self.directory)?;
        let mut removed = false;
        for number in numbers.into_iter().filter(|number| *number < self.first_segment) {
            remove(&Segment::path(&self.directory, number))?;
            removed = true;
        }
        if removed { sync_directory(&self.directory) } else { Ok(()) }
    }
}

/// What a restore has read.
#[derive(Debug, Default)]
pub struct Restored {
    pub records: u64,
    /// Records that are of no use any more.
    pub stale: u64,
    /// Their tombstones.
    pub tombstones: Vec<(u32, Frame)>,
}

impl Restored {
    fn bury(&mut self, record: LiveRecord<'_>) {
        let full = |(shard, frame): &(u32, Frame)| {
            *shard != record.shard || frame.bytes() >= super::writer::CHUNK_BYTES
        };
        if self.tombstones.last().is_none_or(full) {
            self.tombstones.push((record.shard, Frame::chunk(record.shard)));
        }
        if let Some((_, frame)) = self.tombstones.last_mut() {
            frame.push_record(record.key, None);
        }
    }
}

/// Why a restore ended early.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError<E> {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The engine did not accept a record.
    #[error("{0}")]
    Refused(E),
}

/// Where the last complete checkpoint ends.
struct End {
    number: u64,
    commit: Commit,
    bytes: u64,
    chunks: Vec<ChunkPlace>,
}

/// Finds the last complete checkpoint; removes a newer segment without one. Also returns how many bytes no commit covers.
fn find_end(
    directory: &Path,
    state_layout: u32,
    mut numbers: Vec<u64>,
) -> Result<(Option<End>, u64), SnapshotError> {
    let mut cut_bytes = 0;
    let mut emptied = false;
    while let Some(number) = numbers.pop() {
        let path = Segment::path(directory, number);
        let scan = scan(directory, number, state_layout)?;
        if let Some(offset) = scan.damaged_at {
            return Err(SnapshotError::Corrupt { path, offset });
        }
        if let Some((commit, bytes)) = scan.last {
            cut_bytes += scan.file_bytes - bytes;
            return Ok((Some(End { number, commit, bytes, chunks: scan.chunks }), cut_bytes));
        }
        // Only the newest segment can be without a commit, and only the first one without another before it.
        if emptied || (numbers.is_empty() && number != 1) {
            return Err(SnapshotError::Corrupt { path, offset: 0 });
        }
        emptied = true;
        cut_bytes += scan.file_bytes;
        remove(&path)?;
    }
    Ok((None, cut_bytes))
}

fn lock(directory: &Path) -> Result<File, SnapshotError> {
    let path = directory.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(SnapshotError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SnapshotError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(SnapshotError::io("lock", &path)(error)),
    }
}

/// The numbers of the segments in a directory, ascending, and the files of unfinished ones. Others are left alone.
fn list(directory: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), SnapshotError> {
    let (mut numbers, mut aside) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(SnapshotError::io("list", directory))? {
        let path = entry.map_err(SnapshotError::io("list", directory))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(Segment::number_of);
        match (stem, path.extension()) {
            (Some(number), None) => numbers.push(number),
            (Some(_), Some(extension)) if extension == ASIDE => aside.push(path),
            _ => {}
        }
    }
    numbers.sort_unstable();
    Ok((numbers, aside))
}

fn remove(path: &Path) -> Result<(), SnapshotError> {
    fs::remove_file(path).map_err(SnapshotError::io("remove", path))
}
