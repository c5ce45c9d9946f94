//! One file of the snapshot: creating it, appending frames, finding the end of what is valid, reading it back.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::SnapshotError;
use super::format::{self, Commit, FRAME_HEADER_BYTES, Frame, FrameKind, HEADER_BYTES, HeaderFault};

const READ_BUFFER_BYTES: usize = 1 << 20;
/// The ending of a segment that is not finished.
pub const ASIDE: &str = "aside";
/// How far behind the first invalid byte commits are looked for.
const LOOK_BEHIND_BYTES: u64 = 64 << 20;

/// A segment that frames are appended to.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    path: PathBuf,
    file: File,
    pub bytes: u64,
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPlace {
    pub segment: u64,
    pub shard: u32,
    /// Of the payload.
    pub start: u64,
    pub length: u32,
    pub crc: u32,
    /// Of the commit that made it valid, or will.
    pub sequence: u64,
}

/// What a scan of a segment found.
#[derive(Debug)]
pub struct Scan {
    /// The chunks of all valid checkpoints, in the order in which they were written.
    pub chunks: Vec<ChunkPlace>,
    /// The last commit that is valid with everything before it, and where its frame ends.
    pub last: Option<(Commit, u64)>,
    pub file_bytes: u64,
    /// What follows is not the rest of one unfinished checkpoint: there are commits in it that were once synced.
    pub damaged_at: Option<u64>,
}

impl Segment {
    pub fn path(directory: &Path, number: u64) -> PathBuf {
        directory.join(format!("segment-{number:010}"))
    }

    /// The number in the name of a segment's file, [`None`] for other files.
    pub fn number_of(name: &str) -> Option<u64> {
        name.strip_prefix("segment-").filter(|digits| digits.len() == 10)?.parse().ok()
    }

    /// Creates an empty segment and makes its existence durable.
    pub fn create(directory: &Path, number: u64, state_layout: u32) -> Result<Self, SnapshotError> {
        let segment = Self::create_at(Self::path(directory, number), number, state_layout)?;
        sync_directory(directory)?;
        Ok(segment)
    }

    /// Creates an empty segment under a name of its own, to be put in its place by [`Segment::replace`].
    pub fn create_aside(directory: &Path, number: u64, state_layout: u32) -> Result<Self, SnapshotError> {
        Self::create_at(Self::path(directory, number).with_extension(ASIDE), number, state_layout)
    }

    /// Puts a finished segment in the place of the one of the same number, whole or not at all.
    pub fn replace(self, directory: &Path) -> Result<(), SnapshotError> {
        self.sync()?;
        let path = Self::path(directory, self.number);
        std::fs::rename(&self.path, &path).map_err(SnapshotError::io("rename", &path))?;
        sync_directory(directory)
    }

    fn create_at(path: PathBuf, number: u64, state_layout: u32) -> Result<Self, SnapshotError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(SnapshotError::io("create", &path))?;
        file.write_all(&format::encode_header(state_layout)).map_err(SnapshotError::io("write", &path))?;
        file.sync_all().map_err(SnapshotError::io("sync", &path))?;
        Ok(Self { number, path, file, bytes: HEADER_BYTES as u64 })
    }

    /// Opens a segment to go on after `valid_bytes`; what lies behind them is cut off.
    pub fn reopen(directory: &Path, number: u64, valid_bytes: u64) -> Result<Self, SnapshotError> {
        let path = Self::path(directory, number);
        let mut file =
            OpenOptions::new().write(true).open(&path).map_err(SnapshotError::io("open", &path))?;
        file.set_len(valid_bytes).map_err(SnapshotError::io("cut", &path))?;
        file.sync_all().map_err(SnapshotError::io("sync", &path))?;
        file.seek(SeekFrom::End(0)).map_err(SnapshotError::io("open", &path))?;
        Ok(Self { number, path, file, bytes: valid_bytes })
    }

    /// Appends a chunk and says where its payload lies.
    pub fn append_chunk(
        &mut self,
        frame: &mut Frame,
        shard: u32,
        sequence: u64,
    ) -> Result<ChunkPlace, SnapshotError> {
        let start = self.bytes + FRAME_HEADER_BYTES as u64;
        let (bytes, crc) = frame.seal();
        self.append(bytes)?;
        let length = (bytes.len() - FRAME_HEADER_BYTES) as u32;
        Ok(ChunkPlace { segment: self.number, shard, start, length, crc, sequence })
    }

    pub fn append(&mut self, frame: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(frame).map_err(SnapshotError::io("write", &self.path))?;
        self.bytes += frame.len() as u64;
        Ok(())
    }

    pub fn sync(&self) -> Result<(), SnapshotError> {
        self.file.sync_data().map_err(SnapshotError::io("sync", &self.path))
    }
}

/// Makes the names in a directory durable.
pub fn sync_directory(directory: &Path) -> Result<(), SnapshotError> {
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(SnapshotError::io("sync", directory))
}

/// Reads a segment to the end of what is valid.
pub fn scan(directory: &Path, number: u64, state_layout: u32) -> Result<Scan, SnapshotError> {
    let path = Segment::path(directory, number);
    let mut frames = Frames::open(&path, state_layout)?;
    let mut last = None;
    let mut places = Vec::new();
    let (mut chunks, mut chain, mut valid) = (0, 0, 0);
    while let Some((kind, crc)) = frames.next_frame()? {
        match kind {
            FrameKind::Chunk => {
                chunks += 1;
                chain = chain_crc(chain, crc);
                let Some(shard) = format::shard_of_chunk(&frames.payload) else { break };
                let length = frames.payload.len() as u32;
                let start = frames.position - u64::from(length);
                places.push(ChunkPlace { segment: number, shard, start, length, crc, sequence: 0 });
            }
            FrameKind::Commit => {
                let Some(commit) = Commit::decode(&frames.payload) else { break };
                if (commit.chunks, commit.chain) != (chunks, chain) {
                    break;
                }
                for place in places.iter_mut().skip(valid) {
                    place.sequence = commit.sequence;
                }
                (chunks, chain, valid) = (0, 0, places.len());
                last = Some((commit, frames.position));
            }
        }
    }
    let end = last.as_ref().map_or(HEADER_BYTES as u64, |(_, end)| *end);
    // A crash leaves at most one commit behind bytes that never reached the disk, that of the last checkpoint.
    let damaged = end < frames.file_bytes && commits_behind(&path, frames.position)? > 1;
    places.truncate(valid);
    let damaged_at = damaged.then_some(frames.position);
    Ok(Scan { chunks: places, last, file_bytes: frames.file_bytes, damaged_at })
}

/// The valid commit frames behind `position`, wherever they begin.
fn commits_behind(path: &Path, position: u64) -> Result<usize, SnapshotError> {
    let mut file = File::open(path).map_err(SnapshotError::io("open", path))?;
    file.seek(SeekFrom::Start(position)).map_err(SnapshotError::io("read", path))?;
    let mut bytes = Vec::new();
    file.take(LOOK_BEHIND_BYTES).read_to_end(&mut bytes).map_err(SnapshotError::io("read", path))?;
    let mut count = 0;
    let mut rest = bytes.as_slice();
    while let Some(start) = rest.iter().position(|byte| *byte == FrameKind::Commit as u8) {
        rest = &rest[start..];
        let Some(header) = rest.first_chunk() else { break };
        let commit = format::decode_frame_header(header).and_then(|(_, length, crc)| {
            let payload = rest.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length as usize)?;
            (crc32fast::hash(payload) == crc).then(|| Commit::decode(payload)).flatten()
        });
        count += usize::from(commit.is_some());
        rest = &rest[1..];
    }
    Ok(count)
}

/// The CRC over the CRCs of a checkpoint's chunks.
pub fn chain_crc(chain: u32, crc: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(chain);
    hasher.update(&crc.to_le_bytes());
    hasher.finalize()
}

/// The frames of a segment in order, as far as they are valid.
#[derive(Debug)]
pub struct Frames {
    path: PathBuf,
    reader: BufReader<File>,
    file_bytes: u64,
    /// Where the frame in `payload` ends.
    pub position: u64,
    pub payload: Vec<u8>,
    torn: bool,
}

impl Frames {
    pub fn open(path: &Path, state_layout: u32) -> Result<Self, SnapshotError> {
        let file = File::open(path).map_err(SnapshotError::io("open", path))?;
        let file_bytes = file.metadata().map_err(SnapshotError::io("open", path))?.len();
        let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, file);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        reader
            .by_ref()
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .map_err(SnapshotError::io("read", path))?;
        let torn = match format::check_header(&header, state_layout) {
            Ok(()) => false,
            Err(HeaderFault::Torn) => true,
            Err(HeaderFault::Foreign) => {
                return Err(SnapshotError::Foreign { path: path.to_owned() });
            }
            Err(HeaderFault::Version { format, state }) => {
                return Err(SnapshotError::Version {
                    path: path.to_owned(),
                    found: (format, state),
                    expected: (format::FORMAT, state_layout),
                });
            }
        };
        let position = HEADER_BYTES as u64;
        Ok(Self { path: path.to_owned(), reader, file_bytes, position, payload: Vec::new(), torn })
    }

    /// Reads the next valid frame into `payload`; [`None`] at the end and at the first byte that makes no sense.
    pub fn next_frame(&mut self) -> Result<Option<(FrameKind, u32)>, SnapshotError> {
        if self.torn {
            return Ok(None);
        }
        let mut header = [0; FRAME_HEADER_BYTES];
        if !self.fill(&mut header)? {
            return Ok(None);
        }
        let Some((kind, length, crc)) = format::decode_frame_header(&header) else {
            return Ok(self.stop());
        };
        let end = self.position + FRAME_HEADER_BYTES as u64 + u64::from(length);
        if end > self.file_bytes {
            return Ok(self.stop());
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length as usize, 0);
        let filled = self.fill(&mut payload)?;
        self.payload = payload;
        if !filled || crc32fast::hash(&self.payload) != crc {
            return Ok(self.stop());
        }
        self.position = end;
        Ok(Some((kind, crc)))
    }

    fn stop(&mut self) -> Option<(FrameKind, u32)> {
        self.torn = true;
        None
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, SnapshotError> {
        match self.reader.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.torn = true;
                Ok(false)
            }
            Err(error) => Err(SnapshotError::io("read", &self.path)(error)),
        }
    }
}
