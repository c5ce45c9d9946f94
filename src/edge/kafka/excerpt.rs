//! A stretch of topics, read for its own sake: from offset to offset, each partition by itself.
//!
//! The partitions are assigned, so that no group takes note of it, and nothing is committed. Each has a queue of its own in
//! librdkafka, which fetches ahead a bounded number of records: one that is not asked for keeps nobody else waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Cluster, ConnectError, Role};
use super::context::{Context, Watch};
use super::probe::{Begin, Probe, Range, Source};
use crate::core::event::decode::Attributes;
use crate::core::time::Time;

/// A question that is repeated while a partition has nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Nothing at all for so long while there is more to read means that the cluster is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a stretch begins, or where it ends: that record is not part of it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Earliest,
    Latest,
    /// The first record whose timestamp in Kafka is not earlier.
    At(Time),
    /// The same offset in every partition.
    Offset(i64),
    /// An offset for each partition; those that are not named are left out.
    Offsets(BTreeMap<u32, i64>),
}

/// What is read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub source: Source,
    pub from: i64,
    /// The offset after its last record.
    pub to: i64,
    /// The offsets that Kafka has.
    pub kept: Range,
    /// Records that were asked for and that retention has removed.
    pub gone: u64,
}

/// Finds out what lies between two bounds in each partition of these topics. `key`: what named them.
pub fn stretches(
    cluster: &Cluster,
    topics: &[String],
    key: &str,
    from: &Bound,
    to: &Bound,
) -> Result<Vec<Stretch>, ConnectError> {
    let probe = Probe::new(cluster)?;
    let mut kept = BTreeMap::new();
    let mut sources = Vec::new();
    for topic in topics {
        for partition in 0..probe.partition_count(topic, key)? {
            let source = Source { topic: topic.clone(), partition };
            kept.insert(source.clone(), probe.range(&source)?);
            sources.push(source);
        }
    }
    let (from, to) = (places(&probe, &sources, &kept, from)?, places(&probe, &sources, &kept, to)?);
    let stretch = |source: Source| {
        let kept = *kept.get(&source)?;
        let (wanted, to) = (*from.get(&source)?, (*to.get(&source)?).min(kept.high));
        let from = wanted.max(kept.low);
        let gone = (from.min(to) - wanted).max(0).unsigned_abs();
        Some(Stretch { source, from, to, kept, gone })
    };
    Ok(sources.into_iter().filter_map(stretch).collect())
}

fn places(
    probe: &Probe,
    sources: &[Source],
    kept: &BTreeMap<Source, Range>,
    bound: &Bound,
) -> Result<BTreeMap<Source, i64>, ConnectError> {
    let begin = match bound {
        Bound::Earliest => Begin::Earliest,
        Bound::Latest => Begin::Latest,
        Bound::At(time) => Begin::At(*time),
        Bound::Offset(offset) => return Ok(sources.iter().map(|source| (source.clone(), *offset)).collect()),
        Bound::Offsets(offsets) => {
            let named = |source: &Source| Some((source.clone(), *offsets.get(&source.partition)?));
            return Ok(sources.iter().filter_map(named).collect());
        }
    };
    probe.begin(sources, kept, begin)
}

/// A record, or the room for one.
#[derive(Clone, Debug, Default)]
struct Kept {
    offset: i64,
    payload: Vec<u8>,
    timestamp: Option<Time>,
    attributes: [Option<Vec<u8>>; 6],
}

/// The records of one partition, one after the other.
pub struct Track {
    stretch: Stretch,
    consumer: Arc<BaseConsumer<Context>>,
    queue: PartitionQueue<Context>,
    watch: Watch,
    /// What arrived before the partition had its own queue.
    early: VecDeque<Kept>,
    current: Kept,
    /// The offset after the last record that was moved to.
    next: i64,
}

/// Opens the stretches that hold anything, in their order.
pub fn open(cluster: &Cluster, stretches: &[Stretch]) -> Result<Vec<Track>, ConnectError> {
    let wanted: Vec<&Stretch> = stretches.iter().filter(|stretch| stretch.from < stretch.to).collect();
    let (consumer, watch) = cluster.client::<BaseConsumer<_>>(Role::Table, "replay")?;
    let consumer = Arc::new(consumer);
    let mut list = TopicPartitionList::with_capacity(wanted.len());
    for Stretch { source, from, .. } in &wanted {
        list.add_partition_offset(&source.topic, source.partition as i32, Offset::Offset(*from))
            .map_err(ConnectError::options)?;
    }
    consumer.assign(&list).map_err(ConnectError::options)?;
    let mut tracks = Vec::with_capacity(wanted.len());
    for stretch in wanted {
        let Source { topic, partition } = &stretch.source;
        let queue = consumer.split_partition_queue(topic, *partition as i32);
        let no_queue = || ConnectError::options(KafkaError::Subscription(format!("no queue for {topic}")));
        tracks.push(Track {
            stretch: stretch.clone(),
            consumer: Arc::clone(&consumer),
            queue: queue.ok_or_else(no_queue)?,
            watch: watch.clone(),
            early: VecDeque::new(),
            current: Kept::default(),
            next: stretch.from,
        });
    }
    // From here on nothing comes to the common queue any more; what had come by then is little.
    while let Some(polled) = consumer.poll(Duration::ZERO) {
        let Ok(message) = polled else { continue };
        let of = |track: &&mut Track| {
            let Source { topic, partition } = &track.stretch.source;
            topic == message.topic() && i64::from(*partition) == i64::from(message.partition())
        };
        if let Some(track) = tracks.iter_mut().find(of) {
            let mut kept = Kept::default();
            kept.take(&message);
            track.early.push_back(kept);
        }
    }
    Ok(tracks)
}

impl Track {
    pub fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// How many records of the stretch lie behind, by their offsets, and how many it spans.
    pub fn progress(&self) -> (u64, u64) {
        let Stretch { from, to, .. } = self.stretch;
        ((self.next - from).unsigned_abs(), (to - from).unsigned_abs())
    }

    /// Moves to the next record; false at the end of the stretch.
    pub fn advance(&mut self) -> Result<bool, ConnectError> {
        let mut waited = Duration::ZERO;
        while self.next < self.stretch.to {
            if let Some(early) = self.early.pop_front() {
                self.current = early;
                return Ok(self.moved());
            }
            match self.queue.poll(LOOK_AGAIN) {
                Some(Ok(message)) => {
                    self.current.take(&message);
                    return Ok(self.moved());
                }
                // Records at the end were compacted away, or end a transaction.
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.stretch.to,
                Some(Err(error)) => self.complain(&error)?,
                None => {
                    // Errors wait in the common queue until somebody looks.
                    while self.consumer.poll(Duration::ZERO).is_some() {}
                    waited += LOOK_AGAIN;
                    if waited >= PATIENCE {
                        let Source { topic, partition } = &self.stretch.source;
                        let brokers = format!("while reading {topic} partition {partition}");
                        let last = self.watch.last_failure();
                        return Err(ConnectError::Unreachable { brokers, after: PATIENCE, last });
                    }
                }
            }
        }
        Ok(false)
    }

    /// Whether the current record belongs to the stretch.
    fn moved(&mut self) -> bool {
        self.next = (self.current.offset + 1).min(self.stretch.to);
        self.current.offset < self.stretch.to
    }

    fn complain(&self, error: &KafkaError) -> Result<(), ConnectError> {
        let Source { topic, partition } = &self.stretch.source;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let Range { low, high } = self.stretch.kept;
                let (topic, partition, wanted) = (topic.clone(), *partition, self.next);
                Err(ConnectError::OutOfRange { topic, partition, wanted, low, high })
            }
            _ => {
                tracing::warn!(topic, partition, %error, "kafka could not deliver for a moment");
                Ok(())
            }
        }
    }

    /// The current record; a tombstone is empty.
    pub fn payload(&self) -> &[u8] {
        &self.current.payload
    }

    pub fn timestamp(&self) -> Option<Time> {
        self.current.timestamp
    }

    pub fn attributes(&self) -> [Option<&[u8]>; 6] {
        self.current.attributes.each_ref().map(Option::as_deref)
    }
}

impl Kept {
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        self.offset = message.offset();
        self.payload.clear();
        self.payload.extend_from_slice(message.payload().unwrap_or_default());
        self.timestamp = message.timestamp().to_millis().map(Time::from_millis);
        self.attributes = [const { None }; 6];
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        for header in headers {
            let Some(place) = Attributes::HEADERS.iter().position(|name| *name == header.key) else {
                continue;
            };
            if let Some(slot) = self.attributes.get_mut(place) {
                *slot = header.value.map(<[u8]>::to_vec);
            }
        }
    }
}
