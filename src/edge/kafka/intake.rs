//! A worker's side of Kafka: one member of the group, one consumer per topic, records in the order of their shard.
//!
//! The member belongs to the group through one topic and reads nothing. What the group gives it of that topic, the
//! consumers are assigned of theirs, from offsets of our own: they belong to no group, so that many messages at once
//! can be taken from them and a rebalance never meets a half-read batch. Offsets are committed by the member.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::align::{Aligner, Input, Need, Reading, Record};
use super::client::{Cluster, ConnectError, Role};
use super::context::{Context, Watch};
use super::native::BatchConsumer;
use crate::core::event::Topic;
use crate::core::time::Time;
use crate::edge::clock::Stopwatch;

/// Where to go on in one partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Topic,
    pub partition: u32,
    pub shard: u32,
    pub next: i64,
    /// The newest event time that was read from it before; [`Time::MIN`] when nothing was.
    pub newest: Time,
    /// The offset after the last record when reading began.
    pub end: i64,
}

/// What a worker is built from.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Topics that are read, with their names in Kafka. The first one is the one that the group shares out.
    pub topics: Vec<(Topic, String)>,
    pub places: Vec<Place>,
    /// Records taken from a topic at once.
    pub batch: usize,
    pub held_bytes: usize,
    /// Read nothing from the ends of the places on.
    pub until_end: bool,
}

/// Reads records for one worker.
pub struct Intake {
    cluster: Cluster,
    /// [`None`]: it belongs to no group, and everything is its own.
    member: Option<BaseConsumer<Context>>,
    member_watch: Watch,
    readers: Vec<Reader>,
    aligner: Aligner,
    batch: usize,
    waker: Arc<Waker>,
    figures: IntakeFigures,
    /// Reused from call to call.
    order: Vec<(Need, usize)>,
}

/// What went wrong or was out of the ordinary so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeFigures {
    /// Changes of the assignment.
    pub rebalances: u64,
    /// Errors that readers were told of, apart from offsets out of range.
    pub errors: u64,
    /// Partitions whose offset does not exist in Kafka any more. Not zero is an alarm.
    pub out_of_range: u64,
    pub rebuilt: u64,
}

/// Wakes the worker when something has arrived.
#[derive(Debug, Default)]
pub struct Waker(std::sync::OnceLock<Thread>);

impl Waker {
    /// The thread that calls this is the one to be woken.
    pub fn claim(&self) {
        let _already_claimed = self.0.set(std::thread::current());
    }

    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

/// Longer than Kafka takes to answer a fetch, even under load; shorter than anybody should wait for others.
const PATIENCE: Duration = Duration::from_secs(2);

struct Reader {
    topic: Topic,
    name: String,
    name_for_native: CString,
    consumer: BatchConsumer<Context>,
    /// The places of its partitions in the aligner, by partition.
    inputs: Vec<usize>,
    /// Partitions with records in the batch at hand.
    touched: Vec<u32>,
    /// Since when nothing has come of each partition although it was asked for.
    silent: Vec<Stopwatch>,
}

impl Intake {
    pub fn new(cluster: Cluster, settings: IntakeSettings, waker: Arc<Waker>) -> Result<Self, ConnectError> {
        let (mut member, member_watch) = cluster.client::<BaseConsumer<_>>(Role::Member, "member")?;
        wake_on_arrival(&mut member, &waker);
        let lead = settings.topics.first().map(|(_, name)| name.as_str()).into_iter().collect::<Vec<_>>();
        member.subscribe(&lead).map_err(ConnectError::options)?;
        let intake = Self::detached(cluster, settings, waker)?;
        Ok(Self { member: Some(member), member_watch, ..intake })
    }

    /// One that takes no part in the group: it reads what it is told to and commits nothing.
    pub fn detached(
        cluster: Cluster,
        settings: IntakeSettings,
        waker: Arc<Waker>,
    ) -> Result<Self, ConnectError> {
        let mut inputs: Vec<_> = settings.places.iter().map(Input::from).collect();
        for (input, place) in inputs.iter_mut().zip(&settings.places) {
            input.stop_at = settings.until_end.then_some(place.end);
        }
        let aligner = Aligner::new(inputs, settings.held_bytes);
        let mut readers = Vec::with_capacity(settings.topics.len());
        for (topic, name) in &settings.topics {
            readers.push(Reader::new(&cluster, *topic, name, settings.batch, &waker, &aligner)?);
        }
        Ok(Self {
            cluster,
            member: None,
            member_watch: Watch::default(),
            readers,
            aligner,
            batch: settings.batch,
            waker,
            figures: IntakeFigures::default(),
            order: Vec::new(),
        })
    }

    /// Takes part in the group and follows its decisions. To be called often, also while nothing may be read.
    pub fn serve(&mut self, reading: &mut impl Reading) {
        while self.member.as_ref().is_some_and(|member| member.poll(Duration::ZERO).is_some()) {}
        if let Some(assigned) = self.member_watch.changed_assignment() {
            self.figures.rebalances += 1;
            tracing::info!(partitions = assigned.len(), "the group has shared out the partitions");
            self.follow(&assigned, reading);
        }
    }

    /// Takes everything that there is to itself.
    pub fn take_all(&mut self, reading: &mut impl Reading) {
        let all = self.aligner.inputs().iter().map(|input| input.partition).collect();
        self.follow(&all, reading);
    }

    /// The cluster was away: whether there is more to read is asked anew.
    pub fn ask_again(&mut self, reading: &mut impl Reading) {
        self.aligner.doubt(reading);
        for reader in &self.readers {
            reader.assign(&self.aligner);
        }
    }

    /// Reads what is there, at most a batch of each topic, lowest event time first. Returns how many records were
    /// taken or released: 0 means that there is nothing to do at the moment.
    pub fn read(&mut self, reading: &mut impl Reading) -> usize {
        let mut count = 0;
        self.order.clear();
        self.order
            .extend((0..).zip(&self.readers).map(|(index, reader)| (self.aligner.need(reader.topic), index)));
        self.order.sort_unstable();
        let most = self.order.first().map(|(need, _)| *need);
        for (need, index) in &self.order {
            let Some(reader) = self.readers.get_mut(*index) else { break };
            let room = self.aligner.has_room();
            let now = match need {
                // What is furthest behind is read alone as long as it has something.
                Need::Behind(_) => Some(*need) == most || (count == 0 && room),
                Need::AtRest => room,
                Need::Ahead => count == 0 && room,
            };
            if now {
                count += reader.read(&mut self.aligner, reading, &mut self.figures);
                reader.notice_stuck(&mut self.aligner);
            } else {
                reader.look(&mut self.aligner, reading);
            }
        }
        count + self.aligner.release(reading)
    }

    /// Replaces consumers that can't go on. To be called about once a second.
    pub fn repair(&mut self) -> Result<(), ConnectError> {
        if let Some((code, reason)) = self.member.as_ref().and_then(|member| member.client().fatal_error()) {
            tracing::error!(%code, reason, "the member of the group can't go on and is replaced");
            let lead = self.readers.first().map(|reader| reader.name.clone()).unwrap_or_default();
            let (mut member, watch) = self.cluster.client::<BaseConsumer<_>>(Role::Member, "member")?;
            wake_on_arrival(&mut member, &self.waker);
            member.subscribe(&[&lead]).map_err(ConnectError::options)?;
            discard(self.member.replace(member));
            self.member_watch = watch;
            self.figures.rebuilt += 1;
        }
        for index in 0..self.readers.len() {
            let Some(reader) = self.readers.get(index) else { break };
            let Some((code, reason)) = reader.consumer.consumer.client().fatal_error() else { continue };
            tracing::error!(topic = reader.name, %code, reason, "a consumer can't go on and is replaced");
            let (topic, name) = (reader.topic, reader.name.clone());
            let fresh = Reader::new(&self.cluster, topic, &name, self.batch, &self.waker, &self.aligner)?;
            fresh.assign(&self.aligner);
            if let Some(reader) = self.readers.get_mut(index) {
                discard(std::mem::replace(reader, fresh));
            }
            self.figures.rebuilt += 1;
        }
        Ok(())
    }

    /// Where each input stands: what a checkpoint stores.
    pub fn inputs(&self) -> &[Input] {
        self.aligner.inputs()
    }

    /// The partitions that are ours to read, and all that there are.
    pub fn assigned(&self) -> (usize, usize) {
        let inputs = self.aligner.inputs();
        (inputs.iter().filter(|input| input.active).count(), inputs.len())
    }

    pub fn held_bytes(&self) -> usize {
        self.aligner.held_bytes()
    }

    /// Records that went ahead of their turn because too many were held.
    pub fn overrun(&self) -> u64 {
        self.aligner.overrun()
    }

    pub fn figures(&self) -> IntakeFigures {
        self.figures
    }

    pub fn failed_commits(&self) -> u64 {
        self.member_watch.failed_commits()
    }

    /// Records that Kafka has and that were not read yet, by input, as far as the last fetches knew.
    pub fn lag(&self) -> Vec<(Topic, u32, i64)> {
        let mut lag = Vec::new();
        for reader in &self.readers {
            for index in &reader.inputs {
                let Some(input) = self.aligner.inputs().get(*index).filter(|input| input.active) else {
                    continue;
                };
                if let Some(end) = reader.consumer.known_end(&reader.name_for_native, input.partition) {
                    lag.push((input.topic, input.partition, (end - input.next).max(0)));
                }
            }
        }
        lag
    }

    /// Tells Kafka how far a checkpoint has come. A courtesy: a restart goes by the snapshot.
    pub fn commit(&self, places: &[(Topic, u32, i64)], wait: bool) {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition, next) in places {
            let Some(reader) = self.readers.iter().find(|reader| reader.topic == *topic) else { continue };
            let _refused_offset =
                list.add_partition_offset(&reader.name, *partition as i32, Offset::Offset(*next));
        }
        let Some(member) = self.member.as_ref().filter(|_| list.count() > 0) else { return };
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        if let Err(error) = member.commit(&list, mode) {
            tracing::warn!(%error, "offsets were not committed; the snapshot has them, the next commit repeats them");
        }
    }

    /// Leaves the group and lets go of everything, without waiting for it.
    pub fn close(self) {
        if let Some(member) = &self.member {
            member.unsubscribe();
        }
        discard((self.member, self.readers));
    }

    fn follow(&mut self, assigned: &BTreeSet<u32>, reading: &mut impl Reading) {
        let members = self.readers.first().map(|reader| reader.topic);
        for index in 0..self.aligner.inputs().len() {
            let Some(input) = self.aligner.inputs().get(index) else { break };
            let active = if input.topic == Topic::Catalog && members != Some(Topic::Catalog) {
                !assigned.is_empty()
            } else {
                assigned.contains(&input.partition)
            };
            self.aligner.set_active(index, active, reading);
        }
        for reader in &self.readers {
            reader.assign(&self.aligner);
        }
    }
}

impl From<&Place> for Input {
    fn from(place: &Place) -> Self {
        Self::new(place.topic, place.partition, place.shard, place.next, place.newest)
    }
}

impl Reader {
    fn new(
        cluster: &Cluster,
        topic: Topic,
        name: &str,
        batch: usize,
        waker: &Arc<Waker>,
        aligner: &Aligner,
    ) -> Result<Self, ConnectError> {
        let (mut consumer, _) = cluster.client::<BaseConsumer<_>>(Role::Reader, topic.as_str())?;
        wake_on_arrival(&mut consumer, waker);
        let no_queue = || ConnectError::options(KafkaError::Subscription("no consumer queue".to_owned()));
        let consumer = BatchConsumer::new(consumer, batch).ok_or_else(no_queue)?;
        let count = aligner.inputs().iter().filter(|input| input.topic == topic).count() as u32;
        let inputs: Vec<usize> = (0..count).filter_map(|partition| aligner.find(topic, partition)).collect();
        let silent = vec![Stopwatch::start(); inputs.len()];
        let name_for_native = CString::new(name).unwrap_or_default();
        Ok(Self {
            topic,
            name: name.to_owned(),
            name_for_native,
            consumer,
            inputs,
            touched: Vec::new(),
            silent,
        })
    }

    /// Assigns what is active, from where each was left.
    fn assign(&self, aligner: &Aligner) {
        let mut list = TopicPartitionList::new();
        for input in self.inputs.iter().filter_map(|index| aligner.inputs().get(*index)) {
            if input.active {
                let place = Offset::Offset(input.taken);
                let _refused_offset = list.add_partition_offset(&self.name, input.partition as i32, place);
            }
        }
        if let Err(error) = self.consumer.consumer.assign(&list) {
            tracing::error!(topic = self.name, %error, "could not assign partitions to a consumer");
        }
    }

    fn read(
        &mut self,
        aligner: &mut Aligner,
        reading: &mut impl Reading,
        figures: &mut IntakeFigures,
    ) -> usize {
        let Self { topic, name, consumer, inputs, touched, silent, .. } = self;
        touched.clear();
        let mut count = 0;
        consumer.take(|polled| {
            let partition = polled.partition();
            let Some(index) = inputs.get(partition as usize).copied() else { return };
            match polled.error() {
                None => {
                    count += 1;
                    if touched.last() != Some(&partition) {
                        touched.push(partition);
                        if let Some(silent) = silent.get_mut(partition as usize) {
                            silent.lap();
                        }
                    }
                    let shard = aligner.inputs().get(index).map_or(0, |input| input.shard);
                    let record = Record {
                        topic: *topic,
                        partition,
                        shard,
                        offset: polled.offset(),
                        timestamp: polled.timestamp(),
                        key: polled.key(),
                        payload: polled.payload(),
                        attributes: polled.attributes(),
                    };
                    aligner.arrive(index, &record, reading);
                }
                Some(RDKafkaErrorCode::PartitionEOF) => aligner.at_end(index, polled.offset(), reading),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    figures.out_of_range += 1;
                    let offset = aligner.inputs().get(index).map_or(-1, |input| input.taken);
                    tracing::error!(
                        topic = name,
                        partition,
                        offset,
                        "the next offset does not exist in kafka any more; the partition is not read on, restart to decide"
                    );
                    aligner.lose(index);
                }
                Some(code) => {
                    figures.errors += 1;
                    tracing::warn!(topic = name, partition, %code, "kafka could not deliver for a moment");
                }
            }
        });
        self.note_ends(aligner, reading);
        count
    }

    /// Partitions of which nothing comes, although they should have something, keep nobody waiting for long.
    fn notice_stuck(&self, aligner: &mut Aligner) {
        if aligner.held_bytes() == 0 {
            return;
        }
        for (index, silent) in self.inputs.iter().zip(&self.silent) {
            let starves = aligner.inputs().get(*index).is_some_and(Input::starves);
            if starves && silent.elapsed() > PATIENCE {
                aligner.note_stuck(*index);
            }
        }
    }

    /// Reads nothing, but takes note of what the last fetches have brought since.
    fn look(&mut self, aligner: &mut Aligner, reading: &mut impl Reading) {
        for silent in &mut self.silent {
            silent.lap();
        }
        for index in &self.inputs {
            let Some(input) = aligner.inputs().get(*index).filter(|input| input.active) else { continue };
            let (partition, taken) = (input.partition, input.taken);
            if self.consumer.known_end(&self.name_for_native, partition).is_some_and(|end| end > taken) {
                aligner.has_more(*index, reading);
            }
        }
    }

    /// Of the partitions just read, those whose last known record was among it have nothing unread.
    fn note_ends(&mut self, aligner: &mut Aligner, reading: &mut impl Reading) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for partition in &self.touched {
            let Some(index) = self.inputs.get(*partition as usize).copied() else { continue };
            let Some(taken) = aligner.inputs().get(index).map(|input| input.taken) else { continue };
            let end = self.consumer.known_end(&self.name_for_native, *partition);
            if end.is_some_and(|end| taken >= end) {
                aligner.at_end(index, taken, reading);
            }
        }
    }
}

fn wake_on_arrival(consumer: &mut BaseConsumer<Context>, waker: &Arc<Waker>) {
    let waker = Arc::clone(waker);
    consumer.set_nonempty_callback(move || waker.wake());
}

/// Closing a consumer can wait for the network for long; a thread of its own waits for it.
fn discard<T: Send + 'static>(consumers: T) {
    let builder = std::thread::Builder::new().name("close-kafka".to_owned());
    if let Err(error) = builder.spawn(move || drop(consumers)) {
        tracing::warn!(%error, "could not close a consumer in the background");
    }
}
