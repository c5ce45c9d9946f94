//! The neighbours of a simulated worker: partitions that are read in any interleaving, checkpoints that may be torn, a cluster
//! that may be away, a topic for unreadable records.

use std::collections::{BTreeSet, VecDeque};

use super::outside::{Change, Life, Outside, Things};
use super::platform::TOPICS;
use crate::core::engine;
use crate::core::event::Topic;
use crate::core::time::Time;
use crate::daemon::neighbours::{Checkpoints, Inflow, InflowFigures, Neighbours, Presence, Unreadable};
use crate::edge::kafka::{Aligner, Input, Need, Place, Reading, Reason, Record};
use crate::edge::snapshot::Checkpoint;

/// The neighbours in a simulation.
pub struct Simulated;

impl Neighbours for Simulated {
    type Inflow = Partitions;
    type Checkpoints = State;
    type Presence = Cluster;
    type Unreadable = DeadLetters;
}

/// Records held at most, in bytes: none ever goes ahead of its turn.
const HELD_BYTES: usize = 4 << 20;
/// After so many milliseconds without anything an input keeps nobody waiting.
const PATIENCE: i64 = 2_000;

/// A member of the group that reads the partitions which it is given.
pub struct Partitions {
    life: Life,
    outside: Outside,
    aligner: Aligner,
    assigned: BTreeSet<u32>,
    /// When the group shares the partitions out again.
    rebalance_at: i64,
    /// Until when nothing comes of each input, and since when nothing has come.
    stalled: Vec<(i64, i64)>,
    /// Commits on their way.
    commits: VecDeque<(i64, Topic, u32, i64)>,
}

impl Partitions {
    pub fn new(life: Life, outside: &Outside, places: &[Place]) -> Self {
        let mut things = outside.things();
        let joined = things.now + if things.faults { things.random.below(4_000) } else { 0 };
        let stalled = vec![(0, things.now); places.len()];
        drop(things);
        Self {
            life,
            outside: outside.clone(),
            aligner: Aligner::new(places.iter().map(Input::from).collect(), HELD_BYTES),
            assigned: BTreeSet::new(),
            rebalance_at: joined,
            stalled,
            commits: VecDeque::new(),
        }
    }

    fn follow(&mut self, reading: &mut impl Reading) {
        for index in 0..self.aligner.inputs().len() {
            let partition = self.aligner.inputs()[index].partition;
            self.aligner.set_active(index, self.assigned.contains(&partition), reading);
        }
    }

    /// What the group decides now: mostly that everything is ours, in trouble only a part of it for a while.
    fn share_out(&mut self) -> bool {
        let mut things = self.outside.things();
        if things.now < self.rebalance_at {
            return false;
        }
        let shards = things.platform.shards;
        if things.owner != self.life {
            self.rebalance_at = i64::MAX;
            self.assigned.clear();
            return true;
        }
        let partial = things.is_troubled() && things.random.percent(25);
        let random = &mut things.random;
        self.assigned = (0..shards).filter(|_| !partial || random.percent(50)).collect();
        let pause = if partial { random.between(500, 8_000) } else { random.between(10_000, 200_000) };
        self.rebalance_at = things.now + pause;
        let assigned = self.assigned.clone();
        things.note(self.life, || format!("is given {assigned:?}"));
        true
    }

    /// Takes some records of a topic's partitions, each as far as it likes.
    fn fetch(&mut self, topic: Topic, reading: &mut impl Reading) -> usize {
        let mut count = 0;
        let mut inputs = self.inputs_of(topic);
        if self.outside.things().faults {
            shuffle(&mut inputs, &mut self.outside.things());
        }
        for index in inputs {
            count += self.fetch_input(index, reading);
        }
        count
    }

    fn fetch_input(&mut self, index: usize, reading: &mut impl Reading) -> usize {
        let input = &self.aligner.inputs()[index];
        let (topic, partition, shard, taken) = (input.topic, input.partition, input.shard, input.taken);
        let mut things = self.outside.things();
        let now = things.now;
        if self.stalled[index].0 > now || things.away.kafka > now {
            return 0;
        }
        if things.fault(15) {
            self.stalled[index].0 = now + things.random.below(4_000);
            return 0;
        }
        let Some(log) = things.partition(topic, partition) else { return 0 };
        let end = log.end(now);
        let most = if things.faults { things.random.between(1, 60) } else { 100 };
        // A consumer may be given again what it was given before.
        let again = i64::from(things.fault(20));
        let from = (taken - again).max(0);
        let until = (taken + most).min(end);
        let log = things.partition(topic, partition).map(|log| &log.records).into_iter().flatten();
        let skipped = usize::try_from(from).unwrap_or(0);
        let records: Vec<_> = (from..until).zip(log.skip(skipped).cloned()).collect();
        drop(things);
        let count = (until - taken).max(0) as usize;
        for (offset, produced) in records {
            let record = Record {
                topic,
                partition,
                shard,
                offset,
                timestamp: Some(Time::from_millis(produced.at)),
                key: None,
                payload: Some(produced.payload.as_bytes()),
                attributes: [None; 6],
            };
            self.aligner.arrive(index, &record, reading);
        }
        if until >= end {
            self.aligner.at_end(index, until.max(taken), reading);
        }
        self.stalled[index].1 = now;
        count
    }

    fn inputs_of(&self, topic: Topic) -> Vec<usize> {
        let inputs = (0..).zip(self.aligner.inputs());
        inputs.filter(|(_, input)| input.topic == topic && input.active).map(|(index, _)| index).collect()
    }

    /// Reads nothing, but takes note of what there is.
    fn look(&mut self, topic: Topic, reading: &mut impl Reading) {
        for index in self.inputs_of(topic) {
            let input = &self.aligner.inputs()[index];
            let (partition, taken) = (input.partition, input.taken);
            let things = self.outside.things();
            let end = things.partition(topic, partition).map_or(0, |log| log.end(things.now));
            self.stalled[index].1 = things.now;
            drop(things);
            if end > taken {
                self.aligner.has_more(index, reading);
            }
        }
    }

    fn notice_stuck(&mut self) {
        let now = self.outside.things().now;
        for index in 0..self.aligner.inputs().len() {
            if self.aligner.inputs()[index].starves() && now - self.stalled[index].1 > PATIENCE {
                self.aligner.note_stuck(index);
            }
        }
    }

    fn deliver_commits(&mut self) {
        let mut things = self.outside.things();
        while let Some((at, topic, partition, next)) = self.commits.front().copied() {
            if at > things.now {
                return;
            }
            self.commits.pop_front();
            // The group refuses who is no longer a member of it.
            if things.owner == self.life && !things.dead.contains(&self.life) && !things.fault(100) {
                things.commit(self.life, topic, partition, next);
            }
        }
    }
}

pub fn shuffle<T>(items: &mut [T], things: &mut Things) {
    for index in (1..items.len()).rev() {
        items.swap(index, things.random.below(index as i64 + 1) as usize);
    }
}

impl Inflow for Partitions {
    fn serve(&mut self, reading: &mut impl Reading) {
        self.deliver_commits();
        if self.share_out() {
            self.follow(reading);
        }
    }

    fn read(&mut self, reading: &mut impl Reading) -> usize {
        if !self.outside.step(self.life, "reading") {
            return 0;
        }
        let mut order: Vec<_> = TOPICS.iter().map(|topic| (self.aligner.need(*topic), *topic)).collect();
        order.sort_by_key(|(need, _)| *need);
        let most = order.first().map(|(need, _)| *need);
        let mut count = 0;
        for (need, topic) in order {
            let room = self.aligner.has_room();
            let now = match need {
                Need::Behind(_) => Some(need) == most || (count == 0 && room),
                Need::AtRest => room,
                Need::Ahead => count == 0 && room,
            };
            if now {
                count += self.fetch(topic, reading);
                self.notice_stuck();
            } else {
                self.look(topic, reading);
            }
        }
        count + self.aligner.release(reading)
    }

    fn ask_again(&mut self, reading: &mut impl Reading) {
        self.aligner.doubt(reading);
    }

    fn inputs(&self) -> &[Input] {
        self.aligner.inputs()
    }

    fn commit(&mut self, places: &[(Topic, u32, i64)], wait: bool) {
        if !self.outside.step(self.life, "committing offsets") {
            return;
        }
        let mut things = self.outside.things();
        let delay = if things.faults && !wait { things.random.below(3_000) } else { 0 };
        let at = things.now + delay;
        drop(things);
        self.commits.extend(places.iter().map(|(topic, partition, next)| (at, *topic, *partition, *next)));
        self.deliver_commits();
    }

    fn repair(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn figures(&self) -> InflowFigures {
        InflowFigures::default()
    }

    fn close(self) {}
}

/// Where checkpoints are kept. What was not committed is gone with the daemon.
pub struct State {
    life: Life,
    outside: Outside,
    sealed: Option<(Checkpoint, Vec<Change>)>,
    /// On its way to the disk, and when it is there.
    committing: Option<(i64, Checkpoint, Vec<Change>)>,
    pub writes: u64,
}

impl State {
    pub fn new(life: Life, outside: &Outside) -> Self {
        Self { life, outside: outside.clone(), sealed: None, committing: None, writes: 0 }
    }

    /// The daemon has crashed: what was on its way has arrived whole, or not at all.
    pub fn crash(&mut self) {
        let Some((_, checkpoint, changes)) = self.committing.take() else { return };
        let mut things = self.outside.things();
        if things.owner != self.life {
            return;
        }
        let arrives = things.random.percent(50);
        things.note(self.life, || format!("the last checkpoint was torn: {}", !arrives));
        if arrives {
            things.keep(self.life, checkpoint, changes);
        }
    }

    fn is_ours(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.outside.things().owner == self.life, "another daemon keeps the state now");
        Ok(())
    }

    fn arrive(&mut self, at_once: bool) -> anyhow::Result<bool> {
        let now = self.outside.things().now;
        if self.committing.as_ref().is_none_or(|(at, ..)| *at > now && !at_once) {
            return Ok(false);
        }
        self.is_ours()?;
        let Some((_, checkpoint, changes)) = self.committing.take() else { return Ok(false) };
        let mut things = self.outside.things();
        things.note(self.life, || format!("keeps a checkpoint of {} changes", changes.len()));
        things.keep(self.life, checkpoint, changes);
        Ok(true)
    }
}

impl Checkpoints for State {
    fn write(
        &mut self,
        checkpoint: Checkpoint,
        changes: impl FnOnce(&mut dyn FnMut(engine::Record<'_>)),
    ) -> anyhow::Result<()> {
        let mut taken = self.sealed.take().map(|(_, changes)| changes).unwrap_or_default();
        changes(&mut |record| {
            let (key, value) = (record.key.to_vec(), record.value.map(<[u8]>::to_vec));
            taken.push(Change { shard: record.shard, key, value });
        });
        anyhow::ensure!(self.outside.step(self.life, "writing a checkpoint"), "crashed");
        self.writes += 1;
        self.sealed = Some((checkpoint, taken));
        Ok(())
    }

    fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.outside.step(self.life, "committing a checkpoint"), "crashed");
        self.is_ours()?;
        let Some((checkpoint, changes)) = self.sealed.take() else { return Ok(()) };
        let mut things = self.outside.things();
        let delay = if things.faults { things.random.below(2_000) } else { 0 };
        self.committing = Some((things.now + delay, checkpoint, changes));
        Ok(())
    }

    fn poll(&mut self) -> anyhow::Result<bool> {
        anyhow::ensure!(!self.outside.things().dead.contains(&self.life), "crashed");
        let kept = self.arrive(false)?;
        anyhow::ensure!(!kept || self.outside.step(self.life, "a checkpoint is kept"), "crashed");
        Ok(kept)
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.outside.step(self.life, "waiting for a checkpoint"), "crashed");
        self.arrive(true).map(drop)
    }

    fn written_bytes(&self) -> u64 {
        0
    }
}

/// Whether Kafka is there, as it was seen about a second ago.
pub struct Cluster(pub Outside);

impl Presence for Cluster {
    fn is_there(&self) -> bool {
        let things = self.0.things();
        !(things.away.kafka_since + 1_000..things.away.kafka + 700).contains(&things.now)
    }
}

/// The topic for unreadable records: they arrive a little later, or are refused at first.
pub struct DeadLetters {
    life: Life,
    outside: Outside,
    sent: usize,
    /// Those on their way, with when they arrive.
    waiting: Vec<(usize, i64, (Topic, u32, i64))>,
}

impl DeadLetters {
    pub fn new(life: Life, outside: &Outside) -> Self {
        Self { life, outside: outside.clone(), sent: 0, waiting: Vec::new() }
    }
}

impl Unreadable for DeadLetters {
    fn send(&mut self, record: &Record<'_>, _: Reason<'_>) {
        self.sent += 1;
        let mut things = self.outside.things();
        let at = things.now + if things.faults { things.random.below(6_000) } else { 0 };
        self.waiting.push((self.sent, at, (record.topic, record.partition, record.offset)));
    }

    fn serve(&mut self, _: bool) {
        let mut things = self.outside.things();
        if things.dead.contains(&self.life) {
            return;
        }
        let now = things.now;
        self.waiting.retain(|(_, at, place)| {
            let waits = *at > now;
            if !waits {
                things.dead_letters.insert(*place);
            }
            waits
        });
    }

    fn sent(&self) -> usize {
        self.sent
    }

    fn has_arrived(&self, point: usize) -> bool {
        self.waiting.iter().all(|(number, ..)| *number > point)
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= 3
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
