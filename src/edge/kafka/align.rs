//! Which record is read next: the input with the lowest event time comes first, what is ahead waits.
//!
//! An input is one partition of one topic; a shard is fed by the same partition of several topics. Consumers deliver
//! topics and partitions in any interleaving, most of all when a backlog is read. Records of an input that has run
//! ahead of another one, which has unread records, are held here until that one has caught up. What is held is bounded
//! in bytes; above the bound the lowest of what is held goes ahead, and is counted.
//!
//! Within a shard that is a matter of right and wrong: an order must not be late because the logins were read first.
//! Between shards it only keeps rules that span them close to those that don't, so that a channel's outage is known
//! when its customers' own failures are judged; there a partition from which nothing comes holds nobody back.

use super::held::{HeldRecords, SpareBlocks};
use crate::core::event::Topic;
use crate::core::time::{Span, Time};

/// An input may run this much ahead of the others before its records wait. It is far below the usual lateness, so
/// nothing is judged differently, and it lets a batch go through undivided.
const SLACK: Span = Span::from_secs(5);

/// A record on its way to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub topic: Topic,
    pub partition: u32,
    pub shard: u32,
    pub offset: i64,
    /// The time that Kafka has for it.
    pub timestamp: Option<Time>,
    pub key: Option<&'a [u8]>,
    /// [`None`]: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The headers of a CloudEvent, as `Attributes::of` takes them.
    pub attributes: [Option<&'a [u8]>; 6],
}

/// How much the records of a topic are needed; the most needed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// One of its inputs was read up to this event time, and others of its shard may wait for it.
    Behind(Time),
    /// Nothing is known to be unread; there may be something new.
    AtRest,
    /// What was taken waits for others.
    Ahead,
}

/// What is done with records, in the order in which they are read.
pub trait Reading {
    /// Returns the event time of the record, [`None`] if it holds no event.
    fn record(&mut self, record: &Record<'_>) -> Option<Time>;
    /// Whether an input of a shard has records that were not read yet.
    fn unread(&mut self, shard: u32, topic: Topic, unread: bool);
}

/// One partition of one topic.
#[derive(Debug)]
pub struct Input {
    pub topic: Topic,
    pub partition: u32,
    pub shard: u32,
    /// Assigned to us.
    pub active: bool,
    /// The newest event time read; [`Time::MIN`] when nothing was.
    pub newest: Time,
    /// The offset after the last record that was read.
    pub next: i64,
    /// The offset after the last record that was taken from Kafka, read or held.
    pub taken: i64,
    /// Nothing is read from here on.
    pub stop_at: Option<i64>,
    /// Nothing is left in Kafka, as far as we know.
    at_end: bool,
    /// Its offset does not exist in Kafka, so that it can't be read on.
    pub lost: bool,
    /// Nothing has come from it for a while although there should be something.
    stuck: bool,
    unread: bool,
    held: HeldRecords,
}

impl Input {
    pub fn new(topic: Topic, partition: u32, shard: u32, next: i64, newest: Time) -> Self {
        Self {
            topic,
            partition,
            shard,
            active: false,
            newest,
            next,
            taken: next,
            stop_at: None,
            at_end: false,
            lost: false,
            stuck: false,
            unread: false,
            held: HeldRecords::default(),
        }
    }

    /// Everything up to where it stops, or to the offset that is asked for, was read.
    pub fn has_reached(&self, offset: i64) -> bool {
        self.next >= offset
    }

    fn stops_here(&self) -> bool {
        self.stop_at.is_some_and(|end| self.taken >= end)
    }

    /// What is not ours, or not known to be read to its end, may hold anything: its shard's time must not run on.
    fn has_unread(&self) -> bool {
        !self.active || !self.at_end || !self.held.is_empty()
    }

    fn note_read(&mut self, time: Option<Time>, next: i64) {
        self.newest = time.map_or(self.newest, |time| self.newest.max(time));
        self.next = if self.at_end && self.held.is_empty() { self.taken } else { next };
    }

    /// Others of its shard wait for it.
    fn holds_back(&self) -> bool {
        self.active && !self.lost && self.has_unread()
    }

    /// Records are needed from Kafka before its shard can go on in order.
    pub fn starves(&self) -> bool {
        self.active && !self.at_end && !self.lost && self.held.is_empty()
    }
}

/// The inputs of a worker.
#[derive(Debug)]
pub struct Aligner {
    inputs: Vec<Input>,
    /// The inputs of each shard, by shard and topic.
    shards: Vec<Vec<usize>>,
    /// No input that others wait for is further behind than this, as far as was looked.
    front: Time,
    held_bytes: usize,
    held_limit: usize,
    spare: SpareBlocks,
    /// Records that went ahead of their turn because the bound was reached.
    overrun: u64,
}

impl Aligner {
    pub fn new(inputs: Vec<Input>, held_limit: usize) -> Self {
        let count = inputs.iter().map(|input| input.shard as usize + 1).max().unwrap_or(0);
        let mut shards = vec![Vec::new(); count];
        for (index, input) in inputs.iter().enumerate() {
            if let Some(shard) = shards.get_mut(input.shard as usize) {
                shard.push(index);
            }
        }
        Self {
            inputs,
            shards,
            front: Time::MIN,
            held_bytes: 0,
            held_limit,
            spare: SpareBlocks::default(),
            overrun: 0,
        }
    }

    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    pub fn find(&self, topic: Topic, partition: u32) -> Option<usize> {
        self.inputs.iter().position(|input| input.topic == topic && input.partition == partition)
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub fn overrun(&self) -> u64 {
        self.overrun
    }

    /// An input has come to us or has gone. One that goes is forgotten back to what was read of it.
    pub fn set_active(&mut self, index: usize, active: bool, reading: &mut impl Reading) {
        let Some(input) = self.inputs.get_mut(index) else { return };
        if input.active != active {
            input.active = active;
            self.held_bytes -= input.held.bytes();
            input.held.clear(&mut self.spare);
            input.taken = input.next;
            input.at_end = input.stops_here();
            // Whoever listens may have thought otherwise so far: it is said in any case.
            input.unread = !input.has_unread();
        }
        self.tell(index, reading);
    }

    /// It is no longer known whether there is more to read: until Kafka says so again, there is.
    pub fn doubt(&mut self, reading: &mut impl Reading) {
        for index in 0..self.inputs.len() {
            if let Some(input) = self.inputs.get_mut(index) {
                input.at_end = input.stops_here();
            }
            self.tell(index, reading);
        }
    }

    /// Takes a record from Kafka: reads it now, or holds it until its turn. Records that were taken before are ignored.
    pub fn arrive(&mut self, index: usize, record: &Record<'_>, reading: &mut impl Reading) {
        let Some(input) = self.inputs.get_mut(index) else { return };
        if !input.active || record.offset < input.taken {
            return;
        }
        if let Some(end) = input.stop_at.filter(|end| record.offset >= *end) {
            return self.at_end(index, end, reading);
        }
        input.taken = record.offset + 1;
        input.at_end = input.stops_here();
        if std::mem::take(&mut input.stuck) {
            self.front = self.front.min(input.newest);
        }
        let ends = input.at_end;
        let waits = !input.held.is_empty();
        if !input.unread {
            self.tell(index, reading);
        }
        if !waits && self.may_read(index) {
            self.read(index, record, reading);
        } else {
            self.hold(index, record);
        }
        if ends {
            self.tell(index, reading);
        }
    }

    /// Kafka has nothing more for an input at the moment; `offset` is where its next record will be.
    pub fn at_end(&mut self, index: usize, offset: i64, reading: &mut impl Reading) {
        let Some(input) = self.inputs.get_mut(index) else { return };
        let offset = input.stop_at.map_or(offset, |end| offset.min(end));
        if !input.active || offset < input.taken {
            return;
        }
        input.at_end = true;
        input.stuck = false;
        input.taken = offset;
        if input.held.is_empty() {
            input.next = offset;
        }
        self.tell(index, reading);
    }

    /// Kafka has more for an input than was taken.
    pub fn has_more(&mut self, index: usize, reading: &mut impl Reading) {
        if let Some(input) = self.inputs.get_mut(index) {
            input.at_end = input.stops_here();
        }
        self.tell(index, reading);
    }

    /// An input can't be read on; it no longer holds back the reading of others, only the time of its shard.
    pub fn lose(&mut self, index: usize) {
        if let Some(input) = self.inputs.get_mut(index) {
            input.lost = true;
        }
    }

    /// Nothing comes from an input although there should be something. Until it does, no other shard waits for it.
    pub fn note_stuck(&mut self, index: usize) {
        if let Some(input) = self.inputs.get_mut(index) {
            input.stuck = true;
        }
    }

    /// Reads what was held and whose turn has come, and what must go because too much is held. Returns how many.
    pub fn release(&mut self, reading: &mut impl Reading) -> usize {
        if self.held_bytes == 0 {
            return 0;
        }
        let mut count = 0;
        while let Some((index, until)) = self.next_held() {
            count += self.read_held(index, until, reading);
        }
        while self.held_bytes > self.held_limit {
            let fullest = (0..self.shards.len())
                .max_by_key(|shard| self.held_in(*shard).map(|index| self.held_len(index)).sum::<usize>());
            let Some(index) = fullest.and_then(|shard| self.lowest_held(shard)) else { break };
            let read = self.read_held(index, Time::MIN, reading);
            self.overrun += read as u64;
            count += read;
        }
        count
    }

    /// How much the records of a topic are needed from Kafka.
    pub fn need(&self, topic: Topic) -> Need {
        let of_topic = self.inputs.iter().filter(|input| input.topic == topic);
        let (mut behind, mut holds) = (None, false);
        for input in of_topic {
            holds |= !input.held.is_empty();
            if input.starves() && behind.is_none_or(|time| input.newest < time) {
                behind = Some(input.newest);
            }
        }
        match behind {
            Some(time) => Need::Behind(time),
            None if holds => Need::Ahead,
            None => Need::AtRest,
        }
    }

    /// Whether more may be held; if not, only what is furthest behind should be taken.
    pub fn has_room(&self) -> bool {
        self.held_bytes < self.held_limit
    }

    fn held_in(&self, shard: usize) -> impl Iterator<Item = usize> {
        self.shards.get(shard).into_iter().flatten().copied()
    }

    fn held_len(&self, index: usize) -> usize {
        self.inputs.get(index).map_or(0, |input| input.held.len())
    }

    /// Nothing unread is further behind than the slack allows.
    fn may_read(&mut self, index: usize) -> bool {
        let Some(input) = self.inputs.get(index) else { return false };
        let newest = input.newest;
        if newest > self.front + SLACK {
            self.look_at_front();
        }
        newest <= self.front + SLACK && self.is_in_step(index)
    }

    /// Nothing unread of the same shard is further behind than the slack allows, stuck or not.
    fn is_in_step(&self, index: usize) -> bool {
        self.inputs.get(index).is_some_and(|input| input.newest <= self.step_of(input.shard))
    }

    /// The event time up to which the inputs of a shard may be read.
    fn step_of(&self, shard: u32) -> Time {
        let inputs = self.held_in(shard as usize).filter_map(|index| self.inputs.get(index));
        let behind = inputs.filter(|input| input.holds_back()).map(|input| input.newest);
        behind.min().map_or(Time::MAX, |newest| newest + SLACK)
    }

    fn look_at_front(&mut self) {
        let waited_for = self.inputs.iter().filter(|input| input.holds_back() && !input.stuck);
        self.front = waited_for.map(|input| input.newest).min().unwrap_or(Time::MAX);
    }

    /// The input with the lowest of what is held and whose turn has come, and the event time at which its turn ends.
    fn next_held(&mut self) -> Option<(usize, Time)> {
        self.look_at_front();
        let front = self.front + SLACK;
        (0..)
            .zip(&self.inputs)
            .filter(|(_, input)| !input.held.is_empty())
            .map(|(index, input)| (input, index, front.min(self.step_of(input.shard))))
            .filter(|(input, _, until)| input.newest <= *until)
            .min_by_key(|(input, ..)| input.newest)
            .map(|(_, index, until)| (index, until))
    }

    fn lowest_held(&self, shard: usize) -> Option<usize> {
        self.held_in(shard)
            .filter(|index| self.held_len(*index) > 0)
            .min_by_key(|index| self.inputs.get(*index).map_or(Time::MAX, |input| input.newest))
    }

    fn hold(&mut self, index: usize, record: &Record<'_>) {
        let Some(input) = self.inputs.get_mut(index) else { return };
        let before = input.held.bytes();
        input.held.push(record, &mut self.spare);
        self.held_bytes += input.held.bytes() - before;
    }

    /// Reads what is held of an input, at least one record, until one is newer than `until`. Returns how many it were.
    fn read_held(&mut self, index: usize, until: Time, reading: &mut impl Reading) -> usize {
        let mut count = 0;
        while let Some(input) = self.inputs.get_mut(index)
            && (count == 0 || input.newest <= until)
            && let Some(record) = input.held.first(input.topic, input.partition, input.shard)
        {
            let (time, next) = (reading.record(&record), record.offset + 1);
            self.held_bytes -= input.held.pop(&mut self.spare);
            input.note_read(time, next);
            count += 1;
        }
        self.tell(index, reading);
        count
    }

    fn read(&mut self, index: usize, record: &Record<'_>, reading: &mut impl Reading) {
        let time = reading.record(record);
        if let Some(input) = self.inputs.get_mut(index) {
            input.note_read(time, record.offset + 1);
        }
    }

    /// Says so if it has changed whether an input has unread records.
    fn tell(&mut self, index: usize, reading: &mut impl Reading) {
        let Some(input) = self.inputs.get_mut(index) else { return };
        let unread = input.has_unread();
        if unread {
            self.front = self.front.min(input.newest);
        }
        if unread != input.unread {
            input.unread = unread;
            reading.unread(input.shard, input.topic, unread);
        }
    }
}

#[cfg(test)]
mod tests;
