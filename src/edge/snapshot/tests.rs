//! The snapshot as a whole: against a map that never crashes, and against crashes at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::core::time::Time;

const LAYOUT: u32 = 1;

type Key = (u32, Vec<u8>);
type Live = BTreeMap<Key, Vec<u8>>;

/// What the snapshot stands for, without files: keys, their values, and which have changed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naive {
    live: Live,
    changed: BTreeSet<Key>,
}

impl Naive {
    fn set(&mut self, key: Key, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.live.insert(key.clone(), value),
            None => self.live.remove(&key),
        };
        self.changed.insert(key);
    }

    fn drain(&mut self, sink: &mut dyn FnMut(StoredRecord<'_>)) {
        for key in std::mem::take(&mut self.changed) {
            let value = self.live.get(&key).map(Vec::as_slice);
            sink(StoredRecord { shard: key.0, key: &key.1, value });
        }
    }

    fn again(&mut self, slice: u32, of: u32) {
        let slice_of = |key: &Key| u32::from(key.1.first().copied().unwrap_or_default()) % of;
        self.changed.extend(self.live.keys().filter(|key| slice_of(key) == slice).cloned());
    }
}

fn checkpoint(number: i64) -> Checkpoint {
    let position =
        Position { topic: "orders".to_owned(), partition: 0, next_offset: number, newest: Time::MIN };
    Checkpoint { positions: vec![position], shard_times: vec![(0, Time::from_millis(number))] }
}

fn write(writer: &mut SnapshotWriter, state: &mut Naive, number: i64) {
    writer.write(state, Naive::drain, Naive::again, checkpoint(number)).unwrap();
    writer.commit().unwrap();
    writer.wait().unwrap();
}

fn restored(directory: &Path) -> (Option<i64>, Live) {
    let (log, found) = Log::open(directory, LAYOUT).unwrap();
    let mut live = BTreeMap::new();
    log.restore(|record| {
        let key = (record.shard, record.key.to_vec());
        match record.value {
            Some(value) => live.insert(key, value.to_vec()),
            None => live.remove(&key),
        };
        Ok::<(), String>(())
    })
    .unwrap();
    (found.checkpoint.map(|checkpoint| checkpoint.positions[0].next_offset), live)
}

fn changes() -> impl Strategy<Value = Vec<(u32, u8, Option<Vec<u8>>)>> {
    let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..200));
    proptest::collection::vec((0..3_u32, any::<u8>(), value), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn checkpoints_sweeps_and_restarts_give_what_the_naive_map_holds(
        rounds in proptest::collection::vec((changes(), proptest::bool::weighted(0.2)), 1..40)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let open = || Log::open(directory.path(), LAYOUT).unwrap().0;
        let mut writer = SnapshotWriter::start_with_small_log(open(), 2_000).unwrap();
        let mut state = Naive::default();
        for (number, (changes, restart)) in rounds.into_iter().enumerate() {
            for (shard, key, value) in changes {
                state.set((shard, vec![key]), value);
            }
            write(&mut writer, &mut state, number as i64);
            if restart {
                drop(writer);
                prop_assert_eq!(restored(directory.path()), (Some(number as i64), state.live.clone()));
                writer = SnapshotWriter::start_with_small_log(open(), 2_000).unwrap();
            }
        }
        drop(writer);
        prop_assert_eq!(restored(directory.path()).1, state.live);
    }
}

#[test]
fn dead_segments_are_forgotten_and_the_log_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), LAYOUT).unwrap();
    let mut writer = SnapshotWriter::start_with_small_log(log, 4_000).unwrap();
    let mut state = Naive::default();
    let mut largest = 0;
    for number in 0..2_000 {
        for key in 0..5_u8 {
            let key = key.wrapping_mul(51).wrapping_add(number as u8);
            state.set((0, vec![key]), Some(vec![key; 40]));
        }
        write(&mut writer, &mut state, number);
        let bytes: u64 = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        largest = largest.max(bytes);
    }
    drop(writer);
    assert_eq!(restored(directory.path()), (Some(1_999), state.live));
    assert!(largest < 100_000, "256 keys of 45 bytes took up to {largest} bytes");
}

/// Two checkpoints in one segment, with the state after the first and the second, and where the first one ends.
fn two_checkpoints(directory: &Path) -> (Vec<u8>, usize, [Live; 2]) {
    let (log, _) = Log::open(directory, LAYOUT).unwrap();
    let mut writer = SnapshotWriter::start_with_small_log(log, 1 << 30).unwrap();
    let mut state = Naive::default();
    for key in 0..6 {
        state.set((key, vec![key as u8]), Some(vec![key as u8; 9]));
    }
    write(&mut writer, &mut state, 1);
    let first = state.live.clone();
    let path = segment::Segment::path(directory, 1);
    let end = fs::metadata(&path).unwrap().len() as usize;
    state.set((0, vec![0]), None);
    state.set((1, vec![1]), Some(b"changed".to_vec()));
    state.set((9, vec![9]), Some(b"new".to_vec()));
    write(&mut writer, &mut state, 2);
    drop(writer);
    (fs::read(path).unwrap(), end, [first, state.live])
}

#[test]
fn a_crash_at_any_byte_of_the_last_checkpoint_leaves_the_one_before_it_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, end, [first, second]) = two_checkpoints(directory.path());
    assert_eq!(restored(directory.path()), (Some(2), second));
    let path = segment::Segment::path(directory.path(), 1);
    for length in end..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(restored(directory.path()), (Some(1), first.clone()), "cut at {length}");
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, end, "the torn tail is gone");
    }
    for position in end..bytes.len() {
        let mut unwritten = bytes.clone();
        unwritten[position] ^= 0x55;
        fs::write(&path, &unwritten).unwrap();
        assert_eq!(restored(directory.path()), (Some(1), first.clone()), "wrong byte at {position}");
    }
}

#[test]
fn a_crash_in_the_first_checkpoint_of_all_leaves_an_empty_state() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, end, _) = two_checkpoints(directory.path());
    let path = segment::Segment::path(directory.path(), 1);
    for length in 0..end {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(restored(directory.path()), (None, BTreeMap::new()), "cut at {length}");
    }
}

#[test]
fn damage_before_later_checkpoints_is_refused_not_taken_for_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(directory.path(), LAYOUT).unwrap();
    let mut writer = SnapshotWriter::start_with_small_log(log, 1 << 30).unwrap();
    let mut state = Naive::default();
    for number in 0..4 {
        state.set((0, vec![number as u8]), Some(vec![1; 20]));
        write(&mut writer, &mut state, number);
    }
    drop(writer);
    let path = segment::Segment::path(directory.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Log::open(directory.path(), LAYOUT).unwrap_err();
    assert!(matches!(error, SnapshotError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is cut off");
}

#[test]
fn a_checkpoint_without_its_commit_does_not_exist() {
    let directory = tempfile::tempdir().unwrap();
    let (log, found) = Log::open(directory.path(), LAYOUT).unwrap();
    let mut writer = SnapshotWriter::start(log, &found).unwrap();
    let mut state = Naive::default();
    state.set((0, vec![1]), Some(vec![1]));
    write(&mut writer, &mut state, 1);
    state.set((0, vec![1]), Some(vec![2]));
    writer.write(&mut state, Naive::drain, Naive::again, checkpoint(2)).unwrap();
    assert!(writer.is_sealed());
    drop(writer);
    assert_eq!(restored(directory.path()), (Some(1), BTreeMap::from([((0, vec![1]), vec![1])])));
}

#[test]
fn two_processes_never_share_a_folder() {
    let directory = tempfile::tempdir().unwrap();
    let (held, _) = Log::open(directory.path(), LAYOUT).unwrap();
    let error = Log::open(directory.path(), LAYOUT).unwrap_err();
    assert!(matches!(error, SnapshotError::Locked { .. }), "{error}");
    drop(held);
    Log::open(directory.path(), LAYOUT).unwrap();
}

#[test]
fn state_of_another_layout_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    two_checkpoints(directory.path());
    let error = Log::open(directory.path(), LAYOUT + 1).unwrap_err().to_string();
    assert!(error.contains("format 1.1, this version reads 1.2; run the version that wrote it"), "{error}");
}

#[test]
fn a_segment_that_is_missing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(directory.path(), LAYOUT).unwrap();
    log.commit(checkpoint(1), None).unwrap();
    log.begin_sweep().unwrap();
    log.commit(checkpoint(2), None).unwrap();
    drop(log);
    fs::remove_file(segment::Segment::path(directory.path(), 1)).unwrap();
    let error = Log::open(directory.path(), LAYOUT).unwrap_err();
    assert!(matches!(error, SnapshotError::Corrupt { .. }), "{error}");
}
