//! The bytes of the snapshot: segment header, frames, records and the commit that makes a checkpoint valid.
//!
//! All numbers are little-endian. A segment is a header and frames; a frame is its kind, the length and the CRC-32 of
//! its payload, and the payload. A checkpoint is any number of chunk frames (records of one shard each) and one commit
//! frame, which repeats how many chunks there were and a CRC over the CRCs of all of them. In a chunk, each key is
//! written as what it shares with the one before it and the rest: keys of one rule begin alike.

use crate::core::engine::Mark;
use crate::core::rule::OnRemove;
use crate::core::time::Time;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"forewarn";
/// The layout of these bytes. A segment of another layout is refused, never guessed at.
pub const FORMAT: u32 = 1;
pub const HEADER_BYTES: usize = 20;
pub const FRAME_HEADER_BYTES: usize = 9;
/// What a chunk's payload begins with.
const SHARD_BYTES: usize = 4;

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
    /// What stands for the rules' states in the records, in the order of the rules.
    pub rules: Vec<Mark>,
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
    last_key: Vec<u8>,
}

impl Frame {
    pub fn chunk(shard: u32) -> Self {
        let mut frame = Self::new(FrameKind::Chunk);
        frame.restart(shard);
        frame
    }

    fn new(kind: FrameKind) -> Self {
        Self { kind, bytes: vec![0; FRAME_HEADER_BYTES], last_key: Vec::new() }
    }

    /// Empties a chunk, for the records of another shard, and keeps its memory.
    pub fn restart(&mut self, shard: u32) {
        self.bytes.truncate(FRAME_HEADER_BYTES);
        self.bytes.extend_from_slice(&shard.to_le_bytes());
        self.last_key.clear();
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a chunk holds no records.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME_HEADER_BYTES + SHARD_BYTES
    }

    pub fn push_record(&mut self, key: &[u8], value: Option<&[u8]>) {
        let shared = self.last_key.iter().zip(key).take_while(|(one, other)| one == other).count();
        let rest = key.get(shared..).unwrap_or_default();
        let bytes = value.unwrap_or_default();
        self.bytes.reserve(rest.len() + bytes.len() + 15);
        push_varint(&mut self.bytes, shared as u64);
        push_varint(&mut self.bytes, rest.len() as u64);
        push_varint(&mut self.bytes, value.map_or(0, |value| value.len() as u64 + 1));
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(bytes);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(rest);
    }

    /// Fills in the header; returns the whole frame and the checksum of its payload.
    pub fn seal(&mut self) -> (&[u8], u32) {
        let crc = crc32fast::hash(&self.bytes[FRAME_HEADER_BYTES..]);
        let length = (self.bytes.len() - FRAME_HEADER_BYTES) as u32;
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
        if !self.checkpoint.rules.is_empty() {
            push_varint(bytes, self.checkpoint.rules.len() as u64);
        }
        for mark in &self.checkpoint.rules {
            push_varint(bytes, mark.name.len() as u64);
            bytes.extend_from_slice(mark.name.as_bytes());
            bytes.extend_from_slice(&mark.version.to_le_bytes());
            bytes.extend_from_slice(&mark.generation.to_le_bytes());
            bytes.extend_from_slice(&mark.quiet_until.as_millis().to_le_bytes());
        }
        let kept = (0..).zip(&self.checkpoint.rules).filter(|(_, mark)| mark.on_remove == OnRemove::Keep);
        for (place, _) in kept {
            push_varint(bytes, place);
        }
        frame
    }

    pub fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        let (sequence, first_segment) = (reader.u64()?, reader.u64()?);
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
        // An earlier version wrote none.
        let rules = if reader.0.is_empty() { 0 } else { reader.varint()? };
        for _ in 0..rules {
            let length = usize::try_from(reader.varint()?).ok()?;
            checkpoint.rules.push(Mark {
                name: std::str::from_utf8(reader.take(length)?).ok()?.to_owned(),
                version: reader.u64()?,
                generation: reader.u64()?,
                quiet_until: Time::from_millis(reader.u64()? as i64),
                on_remove: OnRemove::Resolve,
            });
        }
        // An earlier version wrote none of these either.
        while !reader.0.is_empty() {
            let place = usize::try_from(reader.varint()?).ok()?;
            checkpoint.rules.get_mut(place)?.on_remove = OnRemove::Keep;
        }
        Some(Self { sequence, first_segment, chunks, chain, checkpoint })
    }
}

/// The shard that the records of a chunk belong to.
pub fn shard_of_chunk(payload: &[u8]) -> Option<u32> {
    Reader(payload).u32()
}

/// The records of one chunk, taken apart.
#[derive(Debug, Default)]
pub struct Records {
    keys: Vec<u8>,
    /// Of each record where its key ends in `keys`, and where its value lies in the payload.
    places: Vec<(u32, Option<(u32, u32)>)>,
}

impl Records {
    /// Takes a chunk's payload apart, reusing memory; [`None`] if it is broken.
    pub fn parse(&mut self, payload: &[u8]) -> Option<()> {
        self.keys.clear();
        self.places.clear();
        let mut reader = Reader(payload);
        reader.u32()?;
        let mut last_key = 0..0;
        while !reader.0.is_empty() {
            let shared = usize::try_from(reader.varint()?).ok()?;
            let rest = usize::try_from(reader.varint()?).ok()?;
            let value = usize::try_from(reader.varint()?).ok()?;
            if shared > last_key.len() {
                return None;
            }
            let start = self.keys.len();
            self.keys.extend_from_within(last_key.start..last_key.start + shared);
            self.keys.extend_from_slice(reader.take(rest)?);
            last_key = start..self.keys.len();
            let value = match value.checked_sub(1) {
                Some(length) => {
                    let start = payload.len() - reader.0.len();
                    reader.take(length)?;
                    Some((start as u32, (start + length) as u32))
                }
                None => None,
            };
            self.places.push((self.keys.len() as u32, value));
        }
        Some(())
    }

    /// Key and value of each record, the last one first.
    pub fn newest_first<'a>(
        &'a self,
        payload: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        (0..self.places.len()).rev().filter_map(move |index| {
            let (end, value) = *self.places.get(index)?;
            let start =
                index.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |before| before.0);
            let key = self.keys.get(start as usize..end as usize)?;
            let value = match value {
                Some((start, end)) => Some(payload.get(start as usize..end as usize)?),
                None => None,
            };
            Some((key, value))
        })
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
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (&'a [u8], Option<&'a [u8]>);

    fn chunk(rows: &[Row<'_>]) -> Vec<u8> {
        let mut frame = Frame::chunk(7);
        for (key, value) in rows {
            frame.push_record(key, *value);
        }
        frame.seal().0[FRAME_HEADER_BYTES..].to_vec()
    }

    #[test]
    fn records_of_every_size_are_read_as_they_were_written() {
        let long = vec![7; 70_000];
        let rows: [Row<'_>; 7] = [
            (b"", Some(b"")),
            (b"key", None),
            (b"key", Some(b"value")),
            (b"ke", Some(b"shorter")),
            (b"keys and more", Some(b"longer")),
            (&long, Some(&long)),
            (&[7; 127], Some(&[1; 128])),
        ];
        let payload = chunk(&rows);
        assert_eq!(shard_of_chunk(&payload), Some(7));
        let mut records = Records::default();
        for _again in 0..2 {
            records.parse(&payload).unwrap();
            let read: Vec<_> = records.newest_first(&payload).collect();
            assert!(read.into_iter().eq(rows.into_iter().rev()));
        }
    }

    #[test]
    fn a_chunk_that_ends_inside_a_record_is_broken() {
        let payload = chunk(&[(b"key", Some(b"value"))]);
        for end in SHARD_BYTES + 1..payload.len() {
            assert_eq!(Records::default().parse(&payload[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn a_commit_is_read_as_it_was_written_and_never_with_bytes_missing() {
        let commit = Commit {
            sequence: 9,
            first_segment: 2,
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
                rules: Vec::new(),
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
    fn a_commit_says_which_state_of_which_rule_its_records_are_of() {
        let mark = |on_remove| Mark {
            name: "failing".to_owned(),
            version: u64::MAX,
            generation: 3,
            quiet_until: Time::MAX,
            on_remove,
        };
        for fates in [vec![OnRemove::Resolve], vec![OnRemove::Keep, OnRemove::Resolve, OnRemove::Keep]] {
            let rules = fates.into_iter().map(mark).collect();
            let checkpoint = Checkpoint { rules, ..Checkpoint::default() };
            let commit = Commit { sequence: 1, first_segment: 1, chunks: 0, chain: 0, checkpoint };
            let mut frame = commit.encode();
            let payload = frame.seal().0[FRAME_HEADER_BYTES..].to_vec();
            assert_eq!(Commit::decode(&payload), Some(commit.clone()));
            assert_ne!(Commit::decode(&payload[..payload.len() - 1]), Some(commit));
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
