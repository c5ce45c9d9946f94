//! A compacted topic as a table: read whole at the start, then followed. It belongs to no group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Cluster, ConnectError, Role};
use super::context::Context;
use super::native::BatchConsumer;
use super::probe::{Probe, Source};

const BATCH: usize = 1_000;
const REST: Duration = Duration::from_millis(20);
const REST_WHILE_FOLLOWING: Duration = Duration::from_millis(200);
/// Nothing at all for so long while there is more to read means that the cluster is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the rows of a compacted topic.
pub struct Table {
    consumer: BatchConsumer<Context>,
    topic: String,
    /// Of partitions that are not read to their noted end: that end.
    missing: BTreeMap<u32, i64>,
}

/// Follows a table in a thread of its own until dropped.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Table {
    /// Opens a topic at its beginning; `key` names it in the configuration.
    pub fn open(cluster: &Cluster, topic: &str, key: &str) -> Result<Self, ConnectError> {
        Self::open_some(cluster, topic, key, |_| true)
    }

    /// The same of some of its partitions.
    pub fn open_some(
        cluster: &Cluster,
        topic: &str,
        key: &str,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Self, ConnectError> {
        let probe = Probe::new(cluster)?;
        let count = probe.partition_count(topic, key)?;
        let mut missing = BTreeMap::new();
        let mut list = TopicPartitionList::with_capacity(count as usize);
        for partition in (0..count).filter(|partition| wanted(*partition)) {
            let range = probe.range(&Source { topic: topic.to_owned(), partition })?;
            if range.high > range.low {
                missing.insert(partition, range.high);
            }
            list.add_partition_offset(topic, partition as i32, Offset::Offset(range.low))
                .map_err(ConnectError::options)?;
        }
        let (consumer, _) = cluster.client::<BaseConsumer<_>>(Role::Table, topic)?;
        consumer.assign(&list).map_err(ConnectError::options)?;
        let no_queue = || ConnectError::options(KafkaError::Subscription("no consumer queue".to_owned()));
        let consumer = BatchConsumer::new(consumer, BATCH).ok_or_else(no_queue)?;
        Ok(Self { consumer, topic: topic.to_owned(), missing })
    }

    /// Reads everything that was there when it was opened. `row`: key, and value unless the row is deleted.
    pub fn read_whole(&mut self, mut row: impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), ConnectError> {
        let mut waited = Duration::ZERO;
        while !self.missing.is_empty() {
            if self.read(&mut row) > 0 {
                waited = Duration::ZERO;
                continue;
            }
            if waited >= PATIENCE {
                let last = self.consumer.consumer.context().watch.last_failure();
                let brokers = format!("while reading {}", self.topic);
                return Err(ConnectError::Unreachable { brokers, after: PATIENCE, last });
            }
            park_timeout(REST);
            waited += REST;
        }
        Ok(())
    }

    /// Goes on reading in the background.
    pub fn follow(
        mut self,
        mut row: impl FnMut(&[u8], Option<&[u8]>) + Send + 'static,
    ) -> std::io::Result<Follower> {
        let stop = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&stop);
        let thread = Builder::new().name("table".to_owned()).spawn(move || {
            while !ours.load(Ordering::Relaxed) {
                if self.read(&mut row) == 0 {
                    park_timeout(REST_WHILE_FOLLOWING);
                }
            }
        })?;
        Ok(Follower { stop, thread: Some(thread) })
    }

    fn read(&mut self, row: &mut impl FnMut(&[u8], Option<&[u8]>)) -> usize {
        let Self { consumer, topic, missing } = self;
        consumer.take(|polled| {
            let (partition, mut next) = (polled.partition(), polled.offset());
            match polled.error() {
                None => {
                    row(polled.key().unwrap_or_default(), polled.payload());
                    next += 1;
                }
                Some(RDKafkaErrorCode::PartitionEOF) => {}
                Some(code) => {
                    tracing::warn!(topic, partition, %code, "kafka could not deliver for a moment");
                    return;
                }
            }
            if missing.get(&partition).is_some_and(|end| next >= *end) {
                missing.remove(&partition);
            }
        })
    }
}

impl Drop for Follower {
    /// Does not wait for the thread: closing its consumer may take a while.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}
