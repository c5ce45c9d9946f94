//! The log of segments: what a checkpoint is on disk, which segments are still needed, and what a restart finds.
//!
//! A checkpoint counts once its commit frame and everything before it is synced, in one sync. The commit itself says
//! which segments are needed, so there is no second file that could disagree with it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::SnapshotError;
use super::format::{Checkpoint, Commit, Frame, FrameKind, Records, StoredRecord};
use super::segment::{Frames, Segment, chain_crc, scan, sync_directory};

/// The snapshot's files, held by one process at a time.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    state_layout: u32,
    /// Held for as long as the log is open.
    _lock: File,
    segment: Segment,
    first_segment: u64,
    sweep_start: Option<u64>,
    sequence: u64,
    live_bytes: u64,
    chunks: u32,
    chain: u32,
}

/// What was found when the log was opened.
#[derive(Debug)]
pub struct Found {
    /// The last complete checkpoint; [`None`] in a new directory.
    pub checkpoint: Option<Checkpoint>,
    /// Bytes of an unfinished checkpoint that were cut off.
    pub cut_bytes: u64,
    /// Bytes of the segments that are needed.
    pub total_bytes: u64,
    pub live_bytes: u64,
}

impl Log {
    /// Opens the log in `directory`, which is made if it is missing, and cuts off what no commit covers.
    pub fn open(directory: &Path, state_layout: u32) -> Result<(Self, Found), SnapshotError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(SnapshotError::io("create", directory))?;
        let lock = lock(directory)?;
        let mut numbers = segment_numbers(directory)?;
        let mut cut_bytes = 0;
        while let Some(number) = numbers.pop() {
            let path = Segment::path(directory, number);
            let scan = scan(directory, number, state_layout)?;
            if let Some(offset) = scan.damaged_at {
                return Err(SnapshotError::Corrupt { path, offset });
            }
            let Some((commit, end)) = scan.last else {
                // Only the newest segment can be without a commit, and only the first one without another before it.
                if cut_bytes > 0 || (numbers.is_empty() && number != 1) {
                    return Err(SnapshotError::Corrupt { path, offset: 0 });
                }
                cut_bytes += scan.file_bytes.max(1);
                remove(&path)?;
                continue;
            };
            cut_bytes += scan.file_bytes - end;
            let mut log = Self {
                directory: directory.to_owned(),
                state_layout,
                _lock: lock,
                segment: Segment::reopen(directory, number, end)?,
                first_segment: commit.first_segment,
                sweep_start: None,
                sequence: commit.sequence,
                live_bytes: commit.live_bytes,
                chunks: 0,
                chain: 0,
            };
            log.remove_dead()?;
            let total_bytes = log.check_whole()?;
            let live_bytes = commit.live_bytes;
            return Ok((
                log,
                Found { checkpoint: Some(commit.checkpoint), cut_bytes, total_bytes, live_bytes },
            ));
        }
        let segment = Segment::create(directory, 1, state_layout)?;
        let log = Self {
            directory: directory.to_owned(),
            state_layout,
            _lock: lock,
            segment,
            first_segment: 1,
            sweep_start: None,
            sequence: 0,
            live_bytes: 0,
            chunks: 0,
            chain: 0,
        };
        Ok((log, Found { checkpoint: None, cut_bytes, total_bytes: 0, live_bytes: 0 }))
    }

    /// Streams the records of the last complete checkpoint and of all before it, oldest first: of several records of
    /// one key the last one counts.
    pub fn restore<E>(
        &self,
        mut sink: impl FnMut(StoredRecord<'_>) -> Result<(), E>,
    ) -> Result<u64, RestoreError<E>> {
        let mut count = 0;
        for number in self.first_segment..=self.segment.number {
            let path = Segment::path(&self.directory, number);
            let mut frames = Frames::open(&path, self.state_layout)?;
            while let Some((kind, _)) = frames.next_frame()? {
                if kind == FrameKind::Commit {
                    continue;
                }
                let mut records = Records::new(&frames.payload);
                for record in &mut records {
                    sink(record).map_err(RestoreError::Refused)?;
                    count += 1;
                }
                if !records.is_whole() {
                    return Err(SnapshotError::Corrupt { path, offset: frames.position }.into());
                }
            }
        }
        Ok(count)
    }

    pub fn append(&mut self, chunk: &mut Frame) -> Result<(), SnapshotError> {
        let (bytes, crc) = chunk.seal();
        self.segment.append(bytes)?;
        self.chunks += 1;
        self.chain = chain_crc(self.chain, crc);
        Ok(())
    }

    /// Starts a new segment, from which on every live key is going to be written again. Between checkpoints only.
    pub fn begin_sweep(&mut self) -> Result<(), SnapshotError> {
        self.segment = Segment::create(&self.directory, self.segment.number + 1, self.state_layout)?;
        self.sweep_start = Some(self.segment.number);
        Ok(())
    }

    /// Makes the checkpoint and all its chunks valid. `swept`: since [`Log::begin_sweep`] every live key was written,
    /// so many bytes in all; the segments before it are then dead and are removed.
    pub fn commit(&mut self, checkpoint: Checkpoint, swept: Option<u64>) -> Result<u64, SnapshotError> {
        if let Some(live_bytes) = swept {
            self.first_segment = self.sweep_start.take().unwrap_or(self.first_segment);
            self.live_bytes = live_bytes;
        }
        self.sequence += 1;
        let mut frame = Commit {
            sequence: self.sequence,
            first_segment: self.first_segment,
            live_bytes: self.live_bytes,
            chunks: std::mem::take(&mut self.chunks),
            chain: std::mem::take(&mut self.chain),
            checkpoint,
        }
        .encode();
        let (bytes, _) = frame.seal();
        self.segment.append(bytes)?;
        self.segment.sync()?;
        if swept.is_some() {
            self.remove_dead()?;
        }
        Ok(self.sequence)
    }

    fn remove_dead(&mut self) -> Result<(), SnapshotError> {
        let dead =
            segment_numbers(&self.directory)?.into_iter().filter(|number| *number < self.first_segment);
        let mut removed = false;
        for number in dead {
            remove(&Segment::path(&self.directory, number))?;
            removed = true;
        }
        if removed { sync_directory(&self.directory) } else { Ok(()) }
    }

    /// Every needed segment but the last must be there and end with a commit: it was synced before the next began.
    fn check_whole(&mut self) -> Result<u64, SnapshotError> {
        let mut total = self.segment.bytes;
        for number in self.first_segment..self.segment.number {
            let path = Segment::path(&self.directory, number);
            if !path.exists() {
                return Err(SnapshotError::Corrupt { path, offset: 0 });
            }
            let scan = scan(&self.directory, number, self.state_layout)?;
            let end = scan.last.map_or(0, |(_, end)| end);
            if end != scan.file_bytes {
                return Err(SnapshotError::Corrupt { path, offset: end });
            }
            total += scan.file_bytes;
        }
        Ok(total)
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

/// The segments in a directory, ascending. Other files are left alone.
fn segment_numbers(directory: &Path) -> Result<Vec<u64>, SnapshotError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(SnapshotError::io("list", directory))? {
        let entry = entry.map_err(SnapshotError::io("list", directory))?;
        numbers.extend(entry.file_name().to_str().and_then(Segment::number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove(path: &Path) -> Result<(), SnapshotError> {
    fs::remove_file(path).map_err(SnapshotError::io("remove", path))
}
