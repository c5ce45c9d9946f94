//! The order of reading: against any interleaving in which consumers may deliver.

use std::collections::BTreeMap;

use crate::core::tests::seeded;
use proptest::prelude::*;

use super::*;

const ORDERS: usize = 0;
const LOGINS: usize = 1;

/// Reads records whose payload is their event time, and keeps what was read.
#[derive(Debug, Default)]
struct Journal {
    read: Vec<(Topic, u32, i64, Time)>,
    unread: BTreeMap<(u32, Topic), bool>,
}

impl Reading for Journal {
    fn record(&mut self, record: &Record<'_>) -> Option<Time> {
        let time = Time::from_millis(str::from_utf8(record.payload?).unwrap().parse().ok()?);
        self.read.push((record.topic, record.shard, record.offset, time));
        Some(time)
    }

    fn unread(&mut self, shard: u32, topic: Topic, unread: bool) {
        self.unread.insert((shard, topic), unread);
    }
}

fn aligner(shards: u32, held_limit: usize) -> (Aligner, Journal) {
    let mut inputs = Vec::new();
    for shard in 0..shards {
        inputs.push(Input::new(Topic::Orders, shard, shard, 0, Time::MIN));
        inputs.push(Input::new(Topic::Logins, shard, shard, 0, Time::MIN));
    }
    let (mut aligner, mut journal) = (Aligner::new(inputs, held_limit), Journal::default());
    for index in 0..aligner.inputs().len() {
        aligner.set_active(index, true, &mut journal);
    }
    (aligner, journal)
}

fn arrive(aligner: &mut Aligner, journal: &mut Journal, index: usize, offset: i64, seconds: i64) {
    let input = &aligner.inputs()[index];
    let payload = (seconds * 1_000).to_string();
    let record = Record {
        topic: input.topic,
        partition: input.partition,
        shard: input.shard,
        offset,
        timestamp: None,
        key: None,
        payload: Some(payload.as_bytes()),
        attributes: [None; 6],
    };
    aligner.arrive(index, &record, journal);
    aligner.release(journal);
}

fn seconds_read(journal: &Journal) -> Vec<i64> {
    journal.read.iter().map(|(_, _, _, time)| time.as_millis() / 1_000).collect()
}

#[test]
fn what_is_ahead_waits_for_what_is_behind_and_unread() {
    let (mut aligner, mut journal) = aligner(1, 1 << 20);
    for (offset, seconds) in [(0, 100), (1, 200), (2, 300)] {
        arrive(&mut aligner, &mut journal, ORDERS, offset, seconds);
    }
    assert_eq!(seconds_read(&journal), [100], "nothing of the logins was read yet");
    assert_eq!(aligner.need(Topic::Logins), Need::Behind(Time::MIN));
    assert_eq!(aligner.need(Topic::Orders), Need::Ahead);
    arrive(&mut aligner, &mut journal, LOGINS, 0, 150);
    assert_eq!(seconds_read(&journal), [100, 150, 200]);
    arrive(&mut aligner, &mut journal, LOGINS, 1, 400);
    assert_eq!(seconds_read(&journal), [100, 150, 200, 400, 300]);
    assert_eq!(aligner.held_bytes(), 0);
    assert_eq!((aligner.inputs()[ORDERS].next, aligner.inputs()[LOGINS].next), (3, 2));
}

#[test]
fn shards_are_read_in_step_unless_one_is_stuck() {
    let (mut aligner, mut journal) = aligner(2, 1 << 20);
    for logins in [LOGINS, 2 + LOGINS] {
        aligner.at_end(logins, 0, &mut journal);
    }
    for (offset, seconds) in [(0, 100), (1, 103), (2, 110), (3, 200)] {
        arrive(&mut aligner, &mut journal, ORDERS, offset, seconds);
    }
    assert_eq!(seconds_read(&journal), [100], "nothing of the other shard was read yet");
    arrive(&mut aligner, &mut journal, 2 + ORDERS, 0, 104);
    assert_eq!(seconds_read(&journal), [100, 104, 103, 110], "one record may step over the slack");
    aligner.note_stuck(2 + ORDERS);
    aligner.release(&mut journal);
    assert_eq!(seconds_read(&journal), [100, 104, 103, 110, 200], "nobody waits for what does not come");
    arrive(&mut aligner, &mut journal, 2 + ORDERS, 1, 105);
    arrive(&mut aligner, &mut journal, ORDERS, 4, 201);
    assert_eq!(
        seconds_read(&journal),
        [100, 104, 103, 110, 200, 105],
        "it has come to life, and is waited for again"
    );
}

#[test]
fn an_input_at_its_end_a_lost_one_and_one_that_is_not_ours_hold_nothing_back() {
    for hinder in 0..3 {
        let (mut aligner, mut journal) = aligner(1, 1 << 20);
        match hinder {
            0 => aligner.at_end(LOGINS, 0, &mut journal),
            1 => aligner.lose(LOGINS),
            _ => aligner.set_active(LOGINS, false, &mut journal),
        }
        arrive(&mut aligner, &mut journal, ORDERS, 0, 100);
        arrive(&mut aligner, &mut journal, ORDERS, 1, 900);
        assert_eq!(seconds_read(&journal), [100, 900], "case {hinder}");
        let time_stands_still = journal.unread[&(0, Topic::Logins)];
        assert_eq!(time_stands_still, hinder != 0, "what may hold records stops the time of its shard");
    }
}

#[test]
fn above_the_bound_the_lowest_of_what_is_held_goes_ahead_and_is_counted() {
    let (mut aligner, mut journal) = aligner(1, 300);
    for offset in 0..10 {
        arrive(&mut aligner, &mut journal, ORDERS, offset, 100 * (offset + 1));
        assert!(aligner.held_bytes() <= 300);
    }
    assert_eq!(aligner.overrun(), 5, "four of about 70 bytes fit");
    assert_eq!(seconds_read(&journal), [100, 200, 300, 400, 500, 600]);
    assert!(aligner.has_room());
}

#[test]
fn an_input_that_goes_is_forgotten_back_to_what_was_read_and_goes_on_there() {
    let (mut aligner, mut journal) = aligner(1, 1 << 20);
    arrive(&mut aligner, &mut journal, ORDERS, 0, 100);
    arrive(&mut aligner, &mut journal, ORDERS, 1, 200);
    assert_eq!((aligner.inputs()[ORDERS].next, aligner.inputs()[ORDERS].taken), (1, 2));
    aligner.set_active(ORDERS, false, &mut journal);
    assert_eq!((aligner.held_bytes(), aligner.inputs()[ORDERS].taken), (0, 1));
    aligner.set_active(ORDERS, true, &mut journal);
    aligner.at_end(LOGINS, 0, &mut journal);
    arrive(&mut aligner, &mut journal, ORDERS, 1, 200);
    arrive(&mut aligner, &mut journal, ORDERS, 1, 200);
    assert_eq!(seconds_read(&journal), [100, 200], "and nothing is read twice");
}

#[test]
fn a_partition_ends_at_the_last_record_at_a_gap_after_it_and_where_it_is_to_stop() {
    let (mut aligner, mut journal) = aligner(1, 1 << 20);
    let unread = |journal: &Journal| journal.unread[&(0, Topic::Orders)];
    assert!(unread(&journal));
    aligner.at_end(LOGINS, 0, &mut journal);
    arrive(&mut aligner, &mut journal, ORDERS, 0, 100);
    assert!(unread(&journal));
    aligner.at_end(ORDERS, 3, &mut journal);
    assert!(!unread(&journal));
    assert_eq!(aligner.inputs()[ORDERS].next, 3, "transaction markers are behind us");
    aligner.doubt(&mut journal);
    assert!(unread(&journal), "the cluster was away");
    aligner.inputs[ORDERS].stop_at = Some(4);
    arrive(&mut aligner, &mut journal, LOGINS, 0, 100);
    arrive(&mut aligner, &mut journal, ORDERS, 3, 101);
    assert!(!unread(&journal));
    arrive(&mut aligner, &mut journal, ORDERS, 4, 102);
    assert_eq!((seconds_read(&journal), aligner.inputs()[ORDERS].next), (vec![100, 100, 101], 4));
}

proptest! {
    #![proptest_config(seeded(ProptestConfig::default()))]

    #[test]
    fn whatever_the_interleaving_nothing_is_lost_doubled_or_read_too_far_ahead(
        steps in proptest::collection::vec((0_usize..6, 1..30_usize, 0..60_i64), 1..120)
    ) {
        let (mut aligner, mut journal) = aligner(3, usize::MAX);
        let mut newest = [0_i64; 6];
        let mut offsets = [0_i64; 6];
        let mut sent = BTreeMap::new();
        for (index, count, pace) in steps {
            for _ in 0..count {
                newest[index] += pace;
                sent.insert((aligner.inputs()[index].topic, index as u32 / 2, offsets[index]), newest[index]);
                arrive(&mut aligner, &mut journal, index, offsets[index], newest[index]);
                offsets[index] += 1;
                for shard in 0..3 {
                    let times = [shard * 2, shard * 2 + 1].map(|input| aligner.inputs()[input].newest);
                    let apart = times[0].as_millis().abs_diff(times[1].as_millis());
                    // One record may step over the slack; the next one then waits.
                    prop_assert!(times.contains(&Time::MIN) || apart <= 65_000, "{times:?}");
                }
            }
        }
        for (index, offset) in offsets.iter().enumerate() {
            aligner.at_end(index, *offset, &mut journal);
        }
        while aligner.release(&mut journal) > 0 {}
        prop_assert_eq!(aligner.held_bytes(), 0);
        prop_assert_eq!(journal.read.len(), sent.len());
        let mut next = BTreeMap::new();
        for (topic, shard, offset, time) in &journal.read {
            prop_assert_eq!(sent[&(*topic, *shard, *offset)] * 1_000, time.as_millis());
            prop_assert_eq!(std::mem::replace(next.entry((*topic, *shard)).or_insert(0), offset + 1), *offset);
        }
        prop_assert!(journal.unread.values().all(|unread| !unread));
    }
}

#[test]
fn an_input_with_nothing_to_read_before_it_stops_is_said_to_hold_nothing_unread() {
    let mut input = Input::new(Topic::Logins, 0, 0, 0, Time::MIN);
    input.stop_at = Some(0);
    let (mut aligner, mut journal) = (Aligner::new(vec![input], 1_000), Journal::default());
    aligner.set_active(0, true, &mut journal);
    assert_eq!(journal.unread, BTreeMap::from([((0, Topic::Logins), false)]), "or time would wait for it");
}
