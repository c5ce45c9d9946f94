//! The snapshot as a whole: against a map that never crashes, and against crashes at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::core::rule::table::testing::Random;
use crate::core::tests::seeded;
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

    fn drain(&mut self, records: &mut Records<'_>) {
        for key in std::mem::take(&mut self.changed) {
            records.push(key.0, &key.1, self.live.get(&key).map(Vec::as_slice));
        }
    }
}

const NEVER: CompactWhen = CompactWhen { bytes: u64::MAX, chunks: usize::MAX };
const OFTEN: CompactWhen = CompactWhen { bytes: 2_000, chunks: 100 };

fn start(directory: &Path, compact_when: CompactWhen) -> SnapshotWriter {
    SnapshotWriter::start(Log::open_with(directory, LAYOUT, compact_when).unwrap().0).unwrap()
}

fn checkpoint(number: i64) -> Checkpoint {
    let position =
        Position { topic: "orders".to_owned(), partition: 0, next_offset: number, newest: Time::MIN };
    let shard_times = vec![(0, Time::from_millis(number))];
    Checkpoint { positions: vec![position], shard_times, ..Checkpoint::default() }
}

fn write(writer: &mut SnapshotWriter, state: &mut Naive, number: i64) {
    writer.write(checkpoint(number), |records| state.drain(records)).unwrap();
    writer.commit().unwrap();
    writer.wait().unwrap();
}

fn restored(directory: &Path) -> (Option<i64>, Live) {
    let (log, found) = Log::open(directory, LAYOUT).unwrap();
    let mut live = BTreeMap::new();
    log.restore(|record| {
        let twice = live.insert((record.shard, record.key.to_vec()), record.value.to_vec());
        assert_eq!(twice, None, "every live record is read once");
        Ok::<_, String>(true)
    })
    .unwrap();
    (found.checkpoint.map(|checkpoint| checkpoint.positions[0].next_offset), live)
}

fn changes() -> impl Strategy<Value = Vec<(u32, u8, Option<Vec<u8>>)>> {
    let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..200));
    proptest::collection::vec((0..3_u32, any::<u8>(), value), 0..40)
}

proptest! {
    #![proptest_config(seeded(ProptestConfig { cases: 24, ..ProptestConfig::default() }))]

    #[test]
    fn checkpoints_compactions_and_restarts_give_what_the_naive_map_holds(
        rounds in proptest::collection::vec((changes(), proptest::bool::weighted(0.2)), 1..40)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = start(directory.path(), OFTEN);
        let mut state = Naive::default();
        for (number, (changes, restart)) in rounds.into_iter().enumerate() {
            for (shard, key, value) in changes {
                state.set((shard, vec![key]), value);
            }
            write(&mut writer, &mut state, number as i64);
            if restart {
                drop(writer);
                prop_assert_eq!(restored(directory.path()), (Some(number as i64), state.live.clone()));
                writer = start(directory.path(), OFTEN);
            }
        }
        drop(writer);
        prop_assert_eq!(restored(directory.path()).1, state.live);
    }
}

#[test]
fn dead_segments_are_forgotten_and_the_log_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = start(directory.path(), OFTEN);
    let mut state = Naive::default();
    let size = || -> u64 {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries.filter_map(|entry| entry.unwrap().metadata().ok()).map(|file| file.len()).sum()
    };
    let mut written = 0;
    let mut number = 0;
    // What is live takes about 12 kB. The rewriting happens beside this, so it may come a little later.
    while written < 500_000 || size() > 70_000 {
        for key in 0..5_u8 {
            let key = key.wrapping_mul(51).wrapping_add(number as u8);
            state.set((0, vec![key]), Some(vec![key; 40]));
            written += 45;
        }
        write(&mut writer, &mut state, number);
        number += 1;
        assert!(number < 100_000, "the log has {} bytes for 12 kB", size());
    }
    drop(writer);
    assert_eq!(restored(directory.path()), (Some(number - 1), state.live));
}

/// Two checkpoints in one segment, with the state after the first and the second, and where the first one ends.
fn two_checkpoints(directory: &Path) -> (Vec<u8>, usize, [Live; 2]) {
    let mut writer = start(directory, NEVER);
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
    let mut writer = start(directory.path(), NEVER);
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
    let mut writer = start(directory.path(), NEVER);
    let mut state = Naive::default();
    state.set((0, vec![1]), Some(vec![1]));
    write(&mut writer, &mut state, 1);
    state.set((0, vec![1]), Some(vec![2]));
    writer.write(checkpoint(2), |records| state.drain(records)).unwrap();
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
fn a_crash_at_any_point_of_a_compaction_loses_nothing_and_revives_nothing() {
    // The state: a key that was deleted in the newest of the segments that are rewritten, and one that lives on.
    let build = |directory: &Path| {
        let mut writer = start(directory, NEVER);
        let mut state = Naive::default();
        state.set((0, b"gone".to_vec()), Some(vec![1; 30]));
        state.set((1, b"lives".to_vec()), Some(vec![2; 30]));
        write(&mut writer, &mut state, 1);
        state.set((0, b"gone".to_vec()), None);
        write(&mut writer, &mut state, 2);
        state.live
    };
    let directory = tempfile::tempdir().unwrap();
    let live = build(directory.path());
    // Compacted at the next commit, which the new segment then ends with.
    let at_once = CompactWhen { bytes: 0, chunks: 0 };
    let (mut log, _) = Log::open_with(directory.path(), LAYOUT, at_once).unwrap();
    log.commit(checkpoint(3)).unwrap();
    let before = fs::read(segment::Segment::path(directory.path(), 1)).unwrap();
    while fs::read(segment::Segment::path(directory.path(), 1)).unwrap() == before {
        std::thread::yield_now();
    }
    drop(log);
    assert_eq!(restored(directory.path()), (Some(3), live.clone()), "replaced, and nothing after it");

    let crashed = tempfile::tempdir().unwrap();
    build(crashed.path());
    let aside = segment::Segment::path(crashed.path(), 1).with_extension(segment::ASIDE);
    fs::write(&aside, b"half a segment").unwrap();
    assert_eq!(restored(crashed.path()), (Some(2), live), "before it was replaced");
    assert!(!aside.exists());
}

#[test]
fn records_that_nobody_wants_any_more_are_buried() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = start(directory.path(), NEVER);
    let mut state = Naive::default();
    for key in 0..10 {
        state.set((u32::from(key % 3), vec![key]), Some(vec![key]));
    }
    write(&mut writer, &mut state, 1);
    drop(writer);
    let (log, _) = Log::open(directory.path(), LAYOUT).unwrap();
    let read = log.restore(|record| Ok::<_, String>(record.key[0] < 4)).unwrap();
    assert_eq!((read.records, read.stale), (10, 6));
    let mut writer = SnapshotWriter::start(log).unwrap();
    writer.add(read.tombstones).unwrap();
    write(&mut writer, &mut Naive::default(), 2);
    drop(writer);
    state.live.retain(|key, _| key.1[0] < 4);
    assert_eq!(restored(directory.path()), (Some(2), state.live));
}

#[test]
fn a_segment_that_is_missing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    two_checkpoints(directory.path());
    let (first, second) =
        (segment::Segment::path(directory.path(), 1), segment::Segment::path(directory.path(), 2));
    fs::rename(first, second).unwrap();
    let error = Log::open(directory.path(), LAYOUT).unwrap_err();
    assert!(matches!(error, SnapshotError::Corrupt { .. }), "{error}");
}

/// What a changelog holds after some shipments, and the checkpoint that it adds up to.
#[derive(Default)]
struct Mirror {
    rows: Live,
    marker: Option<Marker>,
}

impl Mirror {
    fn take(&mut self, shipment: &Shipment) {
        let visited = shipment.visit(|shard, key, value| {
            match value {
                Some(value) => self.rows.insert((shard, key.to_vec()), value.to_vec()),
                None => self.rows.remove(&(shard, key.to_vec())),
            };
            Ok::<_, std::convert::Infallible>(())
        });
        visited.unwrap();
        self.marker = Some(shipment.marker.clone());
    }
}

#[test]
fn what_is_shipped_adds_up_to_a_checkpoint_after_whatever_pauses_restarts_and_compactions() {
    let (mut shipments, mut joined, mut compactions) = (0, 0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let open = |shipped: u64| {
            let mut log = Log::open_with(folder.path(), LAYOUT, OFTEN).unwrap().0;
            let shipping = Arc::new(Shipping::new(folder.path(), 1, shipped));
            log.ship(Arc::clone(&shipping));
            (log, shipping)
        };
        let (mut log, mut shipping) = open(0);
        let (mut now, mut mirror) = (Live::new(), Mirror::default());
        // What was true at each commit.
        let mut history = BTreeMap::from([(0, Live::new())]);
        let mut first_segment = 1;
        for _ in 0..120 {
            for shard in 0..2 {
                let mut frame = Frame::chunk(shard);
                for _ in 0..random.below(6) {
                    let key = vec![b'k', random.below(12) as u8];
                    let value = random.percent(70).then(|| vec![7; random.below(60) as usize]);
                    frame.push_record(&key, value.as_deref());
                    match value {
                        Some(value) => now.insert((shard, key), value),
                        None => now.remove(&(shard, key)),
                    };
                }
                if !frame.is_empty() {
                    log.append(&mut frame, shard).unwrap();
                }
            }
            let sequence = log.commit(checkpoint(history.len() as i64)).unwrap();
            history.insert(sequence, now.clone());
            compactions += u32::from(log.first_segment() > first_segment);
            first_segment = log.first_segment();
            if random.percent(40) {
                let Ok(Some(mut shipment)) = shipping.next(Duration::ZERO) else { continue };
                // A transaction that fails is tried again with what has come since, or never.
                if random.percent(20) {
                    shipping.join(&mut shipment);
                    joined += 1;
                }
                mirror.take(&shipment);
                shipping.arrived(&shipment);
                shipments += 1;
                let marker = mirror.marker.as_ref().unwrap();
                assert_eq!(mirror.rows, history[&marker.sequence], "seed {seed}, commit {}", marker.sequence);
            }
            if random.percent(8) {
                drop(log);
                let marker = mirror.marker.as_ref();
                (log, shipping) = open(marker.map_or(0, |marker| marker.sequence));
            }
        }
        let bytes = mirror.marker.as_ref().map(|marker| marker.encode(LAYOUT)).unwrap();
        assert_eq!(Marker::decode(&bytes, LAYOUT).ok(), mirror.marker);
        assert_eq!(Marker::decode(&bytes, LAYOUT + 1), Err(MarkerFault::Version));
        for end in 0..bytes.len() {
            assert!(Marker::decode(&bytes[..end], LAYOUT).is_err());
        }
    }
    assert!(shipments > 1_000 && joined > 100 && compactions > 100, "{shipments} {joined} {compactions}");
}

#[test]
fn a_log_that_is_cleared_takes_over_another_ones_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut frame = Frame::chunk(0);
    {
        let mut log = Log::open_with(folder.path(), LAYOUT, NEVER).unwrap().0;
        frame.push_record(b"old", Some(b"1"));
        log.append(&mut frame, 0).unwrap();
        log.commit(checkpoint(1)).unwrap();
        log.clear(0).unwrap();
    }
    // Nothing is left, though nothing else was written yet.
    let (mut log, found) = Log::open_with(folder.path(), LAYOUT, NEVER).unwrap();
    assert_eq!(found.checkpoint, None);
    frame.restart(0);
    frame.push_record(b"new", Some(b"2"));
    log.append(&mut frame, 0).unwrap();
    log.commit_as(41, checkpoint(9)).unwrap();
    drop(log);
    let (mut log, found) = Log::open_with(folder.path(), LAYOUT, NEVER).unwrap();
    assert_eq!((found.checkpoint, log.sequence()), (Some(checkpoint(9)), 41));
    assert_eq!(log.commit(checkpoint(10)).unwrap(), 42);
}
