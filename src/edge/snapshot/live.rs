//! The live records of a log: of each key the newest value, unless it is a tombstone.
//!
//! Shard by shard, the newest chunk first, so that what must be remembered is the keys of one shard, eight bytes each,
//! and nothing is held that was written over since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hashbrown::HashTable;

use super::SnapshotError;
use super::format::Records;
use super::log::RestoreError;
use super::segment::{ChunkPlace, Segment};

/// One live key of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRecord<'a> {
    pub shard: u32,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// Visits every live record once. `chunks` are in the order in which they were written.
pub fn visit<E>(
    directory: &Path,
    chunks: &[ChunkPlace],
    mut sink: impl FnMut(LiveRecord<'_>) -> Result<(), E>,
) -> Result<(), RestoreError<E>> {
    visit_newest(directory, chunks, |shard, key, value| match value {
        Some(value) => sink(LiveRecord { shard, key, value }),
        None => Ok(()),
    })
}

/// Visits the newest record of every key, tombstones too.
pub fn visit_newest<E>(
    directory: &Path,
    chunks: &[ChunkPlace],
    mut sink: impl FnMut(u32, &[u8], Option<&[u8]>) -> Result<(), E>,
) -> Result<(), RestoreError<E>> {
    let mut files = BTreeMap::new();
    for chunk in chunks {
        if let std::collections::btree_map::Entry::Vacant(entry) = files.entry(chunk.segment) {
            let path = Segment::path(directory, chunk.segment);
            entry.insert(File::open(&path).map_err(SnapshotError::io("open", &path))?);
        }
    }
    let shards: BTreeSet<u32> = chunks.iter().map(|chunk| chunk.shard).collect();
    let (mut seen, mut payload, mut records) = (HashTable::new(), Vec::new(), Records::default());
    for shard in shards {
        seen.clear();
        for chunk in chunks.iter().rev().filter(|chunk| chunk.shard == shard) {
            let corrupt = || SnapshotError::Corrupt {
                path: Segment::path(directory, chunk.segment),
                offset: chunk.start,
            };
            let file = files.get(&chunk.segment).ok_or_else(corrupt)?;
            payload.resize(chunk.length as usize, 0);
            let path = Segment::path(directory, chunk.segment);
            file.read_exact_at(&mut payload, chunk.start).map_err(SnapshotError::io("read", &path))?;
            if crc32fast::hash(&payload) != chunk.crc {
                return Err(corrupt().into());
            }
            records.parse(&payload).ok_or_else(corrupt)?;
            for (key, value) in records.newest_first(&payload) {
                let hash = rapidhash::v3::rapidhash_v3(key);
                let entry = seen.entry(hash, |other| *other == hash, |other| *other);
                let hashbrown::hash_table::Entry::Vacant(entry) = entry else { continue };
                entry.insert(hash);
                sink(shard, key, value).map_err(RestoreError::Refused)?;
            }
        }
    }
    Ok(())
}
