//! Everything that a crash leaves as it is: Kafka's partitions and what was committed there, the checkpoints, the messages
//! that have arrived. It also decides about faults, and notes what must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::platform::{Partition, Platform};
use crate::core::event::Topic;
use crate::core::rule::table::testing::Random;
use crate::edge::snapshot::Checkpoint;

/// One life of the daemon, from its start to its crash.
pub type Life = u32;

/// How long after the last event faults go on, in milliseconds.
const TROUBLE_AFTER: i64 = 60_000;
/// Crashes and sleeps of one run.
const MOST_CRASHES: u32 = 8;

/// Shared by everything simulated.
#[derive(Clone)]
pub struct Outside(Arc<Mutex<Things>>);

pub struct Things {
    pub now: i64,
    pub platform: Platform,
    pub random: Random,
    pub faults: bool,
    /// The life whose shards they are.
    pub owner: Life,
    pub dead: BTreeSet<Life>,
    /// So many steps more until the next crash.
    fuse: Option<i64>,
    pub crashes: u32,
    pub sleeps: u32,
    /// Restoring was cut short at the last start.
    pub kept: Kept,
    /// Kafka's own notes of how far the group has come.
    pub committed: BTreeMap<(Topic, u32), i64>,
    pub dead_letters: BTreeSet<(Topic, u32, i64)>,
    /// By message: how often it has arrived.
    pub arrived: BTreeMap<u128, u32>,
    pub books: BTreeMap<Life, Book>,
    /// Until when which neighbour is away.
    pub away: Away,
    pub wrong: Vec<String>,
    pub trace: Option<Vec<String>>,
}

/// What a life has decided, and what of it is in the database.
#[derive(Debug, Default)]
pub struct Book {
    /// By number of the batch: how many effects were decided up to it.
    pub decided: BTreeMap<u64, u64>,
    pub durable: u64,
    /// How many batches were made when the checkpoint that waits was written.
    pub sealed: u64,
}

/// The last checkpoint that is valid.
#[derive(Debug, Default)]
pub struct Kept {
    pub checkpoint: Option<Checkpoint>,
    pub records: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
}

#[derive(Debug, Default)]
pub struct Away {
    pub database: i64,
    pub mail: i64,
    pub kafka_since: i64,
    pub kafka: i64,
}

impl Outside {
    pub fn new(seed: u64, faults: bool, traced: bool) -> Self {
        let platform = Platform::draw(seed);
        Self(Arc::new(Mutex::new(Things {
            now: super::platform::START,
            platform,
            random: Random::new(seed ^ 0x5EED_0FFA_0175),
            faults,
            owner: 0,
            dead: BTreeSet::new(),
            fuse: None,
            crashes: 0,
            sleeps: 0,
            kept: Kept::default(),
            committed: BTreeMap::new(),
            dead_letters: BTreeSet::new(),
            arrived: BTreeMap::new(),
            books: BTreeMap::new(),
            away: Away::default(),
            wrong: Vec::new(),
            trace: traced.then(Vec::new),
        })))
    }

    pub fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step at which the daemon may crash. `false`: it has, and whatever it still does is not done.
    pub fn step(&self, life: Life, what: &str) -> bool {
        self.things().step(life, what)
    }
}

impl Things {
    /// Faults happen while something goes on, and stop in time for all to be settled.
    pub fn is_troubled(&self) -> bool {
        self.faults && self.now < self.platform.last + TROUBLE_AFTER
    }

    /// A fault that happens in so many of a thousand cases.
    pub fn fault(&mut self, per_mille: i64) -> bool {
        self.is_troubled() && self.random.below(1_000) < per_mille
    }

    pub fn note(&mut self, life: Life, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let passed = self.now - super::platform::START;
            trace.push(format!("{:>4}.{:03} life {life}: {}", passed / 1_000, passed % 1_000, text()));
        }
    }

    /// Something has happened that must not.
    pub fn accuse(&mut self, life: Life, text: String) {
        self.note(life, || format!("WRONG: {text}"));
        self.wrong.push(text);
    }

    /// Draws when this life ends. Who was killed while restoring is often killed so again.
    pub fn light_fuse(&mut self) {
        let again = self.fuse.is_some_and(|left| left < -1);
        let kind = self.random.below(if again { 3 } else { 6 });
        let steps = match kind {
            0 | 1 => self.random.between(1, 14),
            2 | 3 => self.random.between(10, 500),
            _ => self.random.between(100, 4_000),
        };
        self.fuse = (self.is_troubled() && self.crashes < MOST_CRASHES).then_some(steps);
    }

    pub fn step(&mut self, life: Life, what: &str) -> bool {
        if self.dead.contains(&life) {
            return false;
        }
        if life != self.owner && self.owner > life {
            return true;
        }
        let Some(fuse) = &mut self.fuse else { return true };
        *fuse -= 1;
        if *fuse != 0 || !self.is_troubled() {
            return true;
        }
        self.crashes += 1;
        self.dead.insert(life);
        self.note(life, || format!("crashes at: {what}"));
        false
    }

    pub fn partition(&self, topic: Topic, number: u32) -> Option<&Partition> {
        let partitions = &self.platform.partitions;
        partitions.iter().find(|partition| partition.topic == topic && partition.number == number)
    }

    /// A checkpoint becomes valid: everything before it must be durable.
    pub fn keep(&mut self, life: Life, checkpoint: Checkpoint, changes: Vec<Change>) {
        self.check_effects(life);
        self.check_dead_letters(life, &checkpoint);
        for change in changes {
            match change.value {
                Some(value) => drop(self.kept.records.insert((change.shard, change.key), value)),
                None => drop(self.kept.records.remove(&(change.shard, change.key))),
            }
        }
        self.kept.checkpoint = Some(checkpoint);
    }

    fn check_effects(&mut self, life: Life) {
        let Some(book) = self.books.get(&life) else { return };
        let (sealed, durable) = (book.sealed, book.durable);
        let handed = book.decided.last_key_value().map_or(0, |(number, _)| *number);
        let due = book.decided.range(..=sealed).next_back().map_or(0, |(_, count)| *count);
        if handed < sealed || durable < due {
            self.accuse(
                life,
                format!("a checkpoint is kept with {durable} effects in the database, of {due} in batches up to {sealed} (handed on: {handed})"),
            );
        }
    }

    fn check_dead_letters(&mut self, life: Life, checkpoint: &Checkpoint) {
        let mut missing = Vec::new();
        for partition in &self.platform.partitions {
            let position = checkpoint.positions.iter().find(|position| {
                position.topic == partition.topic.as_str() && position.partition == partition.number
            });
            let next = position.map_or(0, |position| position.next_offset);
            for (offset, record) in (0..next).zip(&partition.records) {
                let place = (partition.topic, partition.number, offset);
                if record.unreadable && !self.dead_letters.contains(&place) {
                    missing.push(place);
                }
            }
        }
        for place in missing {
            self.accuse(life, format!("a checkpoint is kept without the unreadable record {place:?}"));
        }
    }

    /// The group's offsets must not be ahead of the checkpoint that a restart begins from.
    pub fn commit(&mut self, life: Life, topic: Topic, partition: u32, next: i64) {
        let kept = self.kept.checkpoint.iter().flat_map(|checkpoint| &checkpoint.positions);
        let mut of_input = kept.filter(|place| place.topic == topic.as_str() && place.partition == partition);
        let kept = of_input.next().map_or(0, |place| place.next_offset);
        if next > kept {
            self.accuse(
                life,
                format!("{} {partition} is committed at {next}, kept up to {kept}", topic.as_str()),
            );
        }
        self.committed.insert((topic, partition), next);
    }

    /// A message has arrived at its reader.
    pub fn receive(&mut self, life: Life, id: u128) {
        let count = self.arrived.entry(id).or_insert(0);
        *count += 1;
        let count = *count;
        if count > 1 {
            self.accuse(life, format!("the message {id:032x} has arrived {count} times"));
        }
    }
}

/// One changed key of the state.
#[derive(Clone, Debug)]
pub struct Change {
    pub shard: u32,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}
