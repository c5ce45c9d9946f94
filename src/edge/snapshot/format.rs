//! The bytes of the snapshot: segment header, frames, records and the commit that makes a checkpoint valid.
//!
//! All numbers are little-endian. A segment is a header and frames; a frame is its kind, the length and the CRC-32 of
//! its payload, and the payload. A checkpoint is any number of chunk frames (records) and one commit frame, which
//! repeats how many chunks and records there were and a CRC over the CRCs of all of them.

use crate::core::time::Time;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"forewarn";
/// The layout of these bytes. A segment of another layout is refused, never guessed at.
pub const FORMAT: u32 = 1;
pub const HEADER_BYTES: usize = 20;
pub const FRAME_HEADER_BYTES: usize = 9;

/// Where a reader of one topic's partition goes on, and what time it had seen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The name of the topic in Kafka, so that a renamed topic is not read from another one's offset.
    pub topic: String,
    pub partition: u32,
    pub next_offset: i64,
    /// The newest event time read from it; [`Time::MIN`] when nothing was.
    pub newest: Time,
}

/// What becomes valid together with the records of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub positions: Vec<Position>,
    /// The time of each shard, which never runs backward, a restart included.
    pub shard_times: Vec<(u32, Time)>,
}

/// One key of the state: a new value, or a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    pub shard: u32,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Chunk = 1,
    Commit = 2,
}

/// The payload of a commit frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub sequence: u64,
    /// The oldest segment that is still needed; the ones before it are dead.
    pub first_segment: u64,
    /// Bytes of all live records when they were last written out whole; 0 before that.
    pub live_bytes: u64,
    pub chunks: u32,
    pub chain: u32,
    pub checkpoint: Checkpoint,
}

/// Why a header is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    Torn,
    Foreign,
    /// Written in another layout of the log or of the state in it.
    Version {
        format: u32,
        state: u32,
    },
}

pub fn encode_header(state_layout: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[12..16].copy_from_slice(&state_layout.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub fn check_header(bytes: &[u8], state_layout: u32) -> Result<(), HeaderFault> {
    let mut reader = Reader(bytes);
    let magic = reader.take(8).ok_or(HeaderFault::Torn)?;
    let (Some(format), Some(state), Some(crc)) = (reader.u32(), reader.u32(), reader.u32()) else {
        return Err(HeaderFault::Torn);
    };
    if magic != MAGIC {
        let empty = bytes.iter().all(|byte| *byte == 0);
        return Err(if empty { HeaderFault::Torn } else { HeaderFault::Foreign });
    }
    if crc != bytes.get(..16).map_or(0, crc32fast::hash) {
        return Err(HeaderFault::Torn);
    }
    if format != FORMAT || state != state_layout {
        return Err(HeaderFault::Version { format, state });
    }
    Ok(())
}

/// Kind, payload length and checksum of the frame that starts with these bytes.
pub fn decode_frame_header(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<(FrameKind, u32, u32)> {
    let mut reader = Reader(bytes);
    let kind = match reader.u8()? {
        1 => FrameKind::Chunk,
        2 => FrameKind::Commit,
        _ => return None,
    };
    Some((kind, reader.u32()?, reader.u32()?))
}

/// A frame under construction: room for the header is kept in front, so that it is written in one piece.
#[derive(Debug)]
pub struct Frame {
    kind: FrameKind,
    bytes: Vec<u8>,
}

impl Frame {
    pub fn new(kind: FrameKind) -> Self {
        Self { kind, bytes: vec![0; FRAME_HEADER_BYTES] }
    }

    /// Empties the frame for the next payload and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
    }

    pub fn payload_bytes(&self) -> usize {
        self.bytes.len() - FRAME_HEADER_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.payload_bytes() == 0
    }

    pub fn push_record(&mut self, record: StoredRecord<'_>) {
        let value = record.value.unwrap_or_default();
        self.bytes.reserve(record.key.len() + value.len() + 15);
        push_varint(&mut self.bytes, u64::from(record.shard));
        push_varint(&mut self.bytes, record.key.len() as u64);
        push_varint(&mut self.bytes, record.value.map_or(0, |value| value.len() as u64 + 1));
        self.bytes.extend_from_slice(record.key);
        self.bytes.extend_from_slice(value);
    }

    /// Fills in the header; returns the whole frame and the checksum of its payload.
    pub fn seal(&mut self) -> (&[u8], u32) {
        let crc = crc32fast::hash(&self.bytes[FRAME_HEADER_BYTES..]);
        let length = self.payload_bytes() as u32;
        self.bytes[0] = self.kind as u8;
        self.bytes[1..5].copy_from_slice(&length.to_le_bytes());
        self.bytes[5..9].copy_from_slice(&crc.to_le_bytes());
        (&self.bytes, crc)
    }
}

impl Commit {
    pub fn encode(&self) -> Frame {
        let mut frame = Frame::new(FrameKind::Commit);
        let bytes = &mut frame.bytes;
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.first_segment.to_le_bytes());
        bytes.extend_from_slice(&self.live_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.chunks.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        push_varint(bytes, self.checkpoint.positions.len() as u64);
        for position in &self.checkpoint.positions {
            push_varint(bytes, position.topic.len() as u64);
            bytes.extend_from_slice(position.topic.as_bytes());
            bytes.extend_from_slice(&position.partition.to_le_bytes());
            bytes.extend_from_slice(&position.next_offset.to_le_bytes());
            bytes.extend_from_slice(&position.newest.as_millis().to_le_bytes());
        }
        push_varint(bytes, self.checkpoint.shard_times.len() as u64);
        for (shard, time) in &self.checkpoint.shard_times {
            bytes.extend_from_slice(&shard.to_le_bytes());
            bytes.extend_from_slice(&time.as_millis().to_le_bytes());
        }
        frame
    }

    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        let (sequence, first_segment, live_bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (chunks, chain) = (reader.u32()?, reader.u32()?);
        let mut checkpoint = Checkpoint::default();
        for _ in 0..reader.varint()? {
            let length = usize::try_from(reader.varint()?).ok()?;
            checkpoint.positions.push(Position {
                topic: std::str::from_utf8(reader.take(length)?).ok()?.to_owned(),
                partition: reader.u32()?,
                next_offset: reader.u64()? as i64,
                newest: Time::from_millis(reader.u64()? as i64),
            });
        }
        for _ in 0..reader.varint()? {
            checkpoint.shard_times.push((reader.u32()?, Time::from_millis(reader.u64()? as i64)));
        }
        reader.0.is_empty().then_some(Self { sequence, first_segment, live_bytes, chunks, chain, checkpoint })
    }
}

/// The records of a chunk; ends early, with [`None`] from [`Records::next_record`] and `is_whole` false, if it is broken.
#[derive(Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    whole: bool,
}

impl<'a> Records<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Self { reader: Reader(payload), whole: true }
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = StoredRecord<'a>;

    fn next(&mut self) -> Option<StoredRecord<'a>> {
        if self.reader.0.is_empty() || !self.whole {
            return None;
        }
        let record = self.reader.record();
        self.whole = record.is_some();
        record
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn record(&mut self) -> Option<StoredRecord<'a>> {
        let shard = u32::try_from(self.varint()?).ok()?;
        let key_bytes = usize::try_from(self.varint()?).ok()?;
        let value_bytes = usize::try_from(self.varint()?).ok()?;
        let key = self.take(key_bytes)?;
        let value = match value_bytes.checked_sub(1) {
            Some(length) => Some(self.take(length)?),
            None => None,
        };
        Some(StoredRecord { shard, key, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_size_are_read_as_they_were_written() {
        let long = vec![7; 70_000];
        let record = |shard, key, value| StoredRecord { shard, key, value };
        let rows = [
            record(0, b"", Some(b"")),
            record(3, b"key", None),
            record(3, b"key", Some(b"value")),
            record(u32::MAX, &long, Some(&long)),
            record(128, &[0; 127], Some(&[1; 128])),
        ];
        let mut frame = Frame::new(FrameKind::Chunk);
        for row in rows {
            frame.push_record(row);
        }
        let (bytes, _) = frame.seal();
        let mut records = Records::new(&bytes[FRAME_HEADER_BYTES..]);
        for row in rows {
            assert_eq!(records.next(), Some(row));
        }
        assert_eq!(records.next(), None);
        assert!(records.is_whole());
    }

    #[test]
    fn a_chunk_that_ends_inside_a_record_is_not_whole() {
        let mut frame = Frame::new(FrameKind::Chunk);
        frame.push_record(StoredRecord { shard: 1, key: b"key", value: Some(b"value") });
        let (bytes, _) = frame.seal();
        let payload = &bytes[FRAME_HEADER_BYTES..];
        for end in 1..payload.len() {
            let mut records = Records::new(&payload[..end]);
            assert_eq!(records.next(), None, "{end} bytes");
            assert!(!records.is_whole(), "{end} bytes");
        }
    }

    #[test]
    fn a_commit_is_read_as_it_was_written_and_never_with_bytes_missing() {
        let commit = Commit {
            sequence: 9,
            first_segment: 2,
            live_bytes: 1 << 40,
            chunks: 3,
            chain: 0xDEAD_BEEF,
            checkpoint: Checkpoint {
                positions: vec![Position {
                    topic: "orders".to_owned(),
                    partition: 7,
                    next_offset: 1 << 33,
                    newest: Time::MIN,
                }],
                shard_times: vec![(7, Time::from_millis(-5))],
            },
        };
        let mut frame = commit.encode();
        let (bytes, _) = frame.seal();
        let payload = &bytes[FRAME_HEADER_BYTES..];
        assert_eq!(Commit::decode(payload), Some(commit));
        for end in 0..payload.len() {
            assert_eq!(Commit::decode(&payload[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn a_header_of_another_layout_is_told_from_a_torn_one() {
        let header = encode_header(4);
        assert_eq!(check_header(&header, 4), Ok(()));
        assert_eq!(check_header(&header, 5), Err(HeaderFault::Version { format: FORMAT, state: 4 }));
        assert_eq!(check_header(&header[..19], 4), Err(HeaderFault::Torn));
        assert_eq!(check_header(&[0; 20], 4), Err(HeaderFault::Torn));
        assert_eq!(check_header(b"#!/bin/sh and some more text", 4), Err(HeaderFault::Foreign));
    }
}
