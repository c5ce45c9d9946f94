//! The state in a compacted topic: each checkpoint in one transaction, so that whoever reads it finds one or the next, on
//! whatever machine.
//!
//! A key is the shard and the engine's own key, which names the rule and what stands for the meaning of its state; a value
//! is a version, a CRC-32 and the engine's bytes; what is gone is a tombstone. Each shard has a partition. The one after
//! them is for what spans shards, and the last for markers: the offsets and times that the records add up to.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::client::{ANSWER_WITHIN, Cluster, ConnectError, Role};
use super::context::Context;
use super::probe::Probe;
use super::table::Table;

const KEY: &str = "topics.changelog";
const VERSION: u8 = 1;
const MARKER: u8 = 0;
const RECORD: u8 = 1;
/// Bytes of a value before the engine's own.
const HEAD: usize = 5;
/// How long the producer is given for a step of a transaction before it is asked again.
const STEP: Duration = Duration::from_secs(10);

/// Why the changelog can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the topic {topic} ({KEY}) {problem}")]
    Topic { topic: String, problem: String },
    #[error(
        "the topic {topic} ({KEY}) holds state that this version cannot read; run the version that wrote it, or name \
         another topic to begin without state there"
    )]
    Version { topic: String },
    #[error("the topic {topic} ({KEY}) holds a damaged record; name another topic to begin without it")]
    Damaged { topic: String },
    #[error("transactions with the topic {topic} ({KEY}) are not possible: {error}")]
    Transactions { topic: String, error: KafkaError },
}

/// Why a transaction has not taken place.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else writes the topic now, or nobody can.
    #[error("{0}")]
    Final(String),
    /// Another one may.
    #[error("{0}")]
    Again(String),
}

/// What goes wrong with one record that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Damaged,
    Version,
}

/// The changelog of one daemon, which alone may write it from now on.
pub struct Changelog {
    cluster: Cluster,
    topic: String,
    shards: u32,
    producer: BaseProducer<Quiet>,
}

/// Whatever does not arrive is a failed transaction.
struct Quiet(Context);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}

impl Changelog {
    /// Makes the topic if it is missing, looks whether it is as it must be, and shuts out whoever wrote it before.
    pub async fn open(
        probe: &Probe,
        cluster: &Cluster,
        topic: &str,
        shards: u32,
    ) -> Result<Self, ChangelogError> {
        make(probe, cluster, topic, shards + 2).await?;
        let transactions = |error| ChangelogError::Transactions { topic: topic.to_owned(), error };
        let producer: BaseProducer<Quiet> = cluster
            .config(Role::Producer, "changelog")
            .set("transactional.id", format!("forewarn-{topic}"))
            .set("transaction.timeout.ms", "60000")
            .create_with_context(Quiet(Context::default()))
            .map_err(|error| ConnectError::Options(Box::new(error)))?;
        producer.init_transactions(3 * STEP).map_err(transactions)?;
        Ok(Self { cluster: cluster.clone(), topic: topic.to_owned(), shards, producer })
    }

    /// The marker that the topic holds.
    pub fn marker(&self) -> Result<Option<Vec<u8>>, ChangelogError> {
        let mut found = None;
        let is_last = |partition| partition == self.shards + 1;
        let mut table = Table::open_some(&self.cluster, &self.topic, KEY, is_last)?;
        table.read_whole(|key, value| {
            if key == [MARKER] {
                found = value.map(<[u8]>::to_vec);
            }
        })?;
        Ok(found)
    }

    /// Reads everything but markers, each shard in the order in which it was written; later values replace earlier ones.
    /// Returns how many there were.
    pub fn read(&self, mut row: impl FnMut(u32, &[u8], Option<&[u8]>)) -> Result<u64, ChangelogError> {
        let is_of_shard = |partition| partition <= self.shards;
        let mut table = Table::open_some(&self.cluster, &self.topic, KEY, is_of_shard)?;
        let (mut count, mut failed) = (0, None);
        table.read_whole(|key, value| {
            let parsed = parse_key(key).ok_or(Fault::Damaged).and_then(|(shard, key)| {
                let value = value.map(|value| parse_value(key, value)).transpose()?;
                Ok((shard, key, value))
            });
            match parsed {
                Ok((shard, key, value)) => row(shard, key, value),
                Err(fault) => failed = failed.or(Some(fault)),
            }
            count += 1;
        })?;
        let topic = self.topic.clone();
        match failed {
            None => Ok(count),
            Some(Fault::Damaged) => Err(ChangelogError::Damaged { topic }),
            Some(Fault::Version) => Err(ChangelogError::Version { topic }),
        }
    }

    /// Writes rows and a marker in one transaction: all of it, or nothing.
    pub fn write(
        &self,
        rows: impl FnOnce(Put<'_>) -> Result<(), WriteError>,
        marker: &[u8],
    ) -> Result<(), WriteError> {
        self.producer.begin_transaction().map_err(WriteError::of)?;
        let mut name = Vec::new();
        let mut bytes = Vec::new();
        let written = rows(&mut |shard, key, value| {
            name.clear();
            name.push(RECORD);
            name.extend_from_slice(&shard.to_be_bytes());
            name.extend_from_slice(key);
            let value = value.map(|value| {
                bytes.clear();
                bytes.push(VERSION);
                bytes.extend_from_slice(&checksum(key, value).to_le_bytes());
                bytes.extend_from_slice(value);
                bytes.as_slice()
            });
            self.send(shard.min(self.shards), &name, value)
        });
        let written = written
            .and_then(|()| self.send(self.shards + 1, &[MARKER], Some(marker)))
            .and_then(|()| self.commit());
        if let Err(WriteError::Again(_)) = written {
            while let Err(error) = self.producer.abort_transaction(STEP) {
                WriteError::unless_again(error)?;
            }
        }
        written
    }

    /// Lets the client do its work for a while.
    pub fn rest(&self, time: Duration) {
        self.producer.poll(time);
    }

    fn send(&self, partition: u32, key: &[u8], value: Option<&[u8]>) -> Result<(), WriteError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(partition as i32).key(key);
        record.payload = value;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(Duration::from_millis(50));
                    record = back;
                }
                Err((error, _)) => return Err(WriteError::of(error)),
            }
        }
    }

    fn commit(&self) -> Result<(), WriteError> {
        loop {
            match self.producer.commit_transaction(STEP) {
                Ok(()) => return Ok(()),
                Err(error) => WriteError::unless_again(error)?,
            }
        }
    }
}

/// Takes a row: shard, key, and value unless the key is gone.
pub type Put<'p> = &'p mut dyn FnMut(u32, &[u8], Option<&[u8]>) -> Result<(), WriteError>;

impl WriteError {
    fn of(error: KafkaError) -> Self {
        match &error {
            KafkaError::Transaction(reason) if reason.is_fatal() => Self::Final(error.to_string()),
            _ => Self::Again(error.to_string()),
        }
    }

    /// The same call may still succeed.
    fn unless_again(error: KafkaError) -> Result<(), Self> {
        match &error {
            KafkaError::Transaction(reason) if reason.is_retriable() => Ok(()),
            _ => Err(Self::of(error)),
        }
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

fn parse_key(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (shard, key) = rest.split_first_chunk()?;
    (*kind == RECORD).then(|| (u32::from_be_bytes(*shard), key))
}

fn parse_value<'v>(key: &[u8], bytes: &'v [u8]) -> Result<&'v [u8], Fault> {
    let (head, value) = bytes.split_at_checked(HEAD).ok_or(Fault::Damaged)?;
    let (version, crc) = head.split_first().ok_or(Fault::Damaged)?;
    if *version != VERSION {
        return Err(Fault::Version);
    }
    let is_whole = checksum(key, value).to_le_bytes() == *crc;
    if is_whole { Ok(value) } else { Err(Fault::Damaged) }
}

/// Makes the topic, or looks whether it is as it must be.
async fn make(probe: &Probe, cluster: &Cluster, topic: &str, partitions: u32) -> Result<(), ChangelogError> {
    let wrong = |problem: String| ChangelogError::Topic { topic: topic.to_owned(), problem };
    let (admin, watch) = cluster.client::<AdminClient<Context>>(Role::Admin, "admin")?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
    match probe.partition_count(topic, KEY) {
        Ok(count) if count == partitions => {}
        Ok(count) => {
            let shards = partitions - 2;
            return Err(wrong(format!(
                "has {count} partitions; {partitions} are needed, two more than the {shards} of the orders"
            )));
        }
        Err(ConnectError::NoTopic { .. }) => {
            let new = NewTopic::new(topic, partitions as i32, TopicReplication::Fixed(-1))
                .set("cleanup.policy", "compact")
                .set("min.cleanable.dirty.ratio", "0.2");
            let refused = |reason: String| wrong(format!("is missing and could not be made: {reason}"));
            let made = admin.create_topics([&new], &options).await;
            let made =
                made.map_err(|error| refused(watch.last_failure().unwrap_or_else(|| error.to_string())))?;
            match made.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                    tracing::info!(topic, partitions, "topic created");
                }
                Some(Err((_, code))) => return Err(refused(code.to_string())),
            }
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let asked = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
    let asked = asked.map_err(|error| wrong(format!("cannot be looked at: {error}")))?;
    let policy = asked
        .into_iter()
        .flatten()
        .find_map(|resource| resource.get("cleanup.policy").and_then(|entry| entry.value.clone()));
    match policy.as_deref() {
        Some("compact") | None => Ok(()),
        Some(other) => Err(wrong(format!(
            "has cleanup.policy={other}; it must be compact, or state is lost that nobody has deleted"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written_or_not_at_all() {
        let (key, value) = (b"key".as_slice(), b"state".as_slice());
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checksum(key, value).to_le_bytes());
        bytes.extend_from_slice(value);
        assert_eq!(parse_value(key, &bytes), Ok(value));
        assert_eq!(parse_value(b"kex", &bytes), Err(Fault::Damaged), "the value of another key");
        for place in 1..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_eq!(parse_value(key, &other), Err(Fault::Damaged), "byte {place}");
            assert!(parse_value(key, &bytes[..place]).is_err());
        }
        bytes[0] += 1;
        assert_eq!(parse_value(key, &bytes), Err(Fault::Version));
        assert_eq!(parse_key(&[RECORD, 0, 0, 1, 2, 9]), Some((258, [9].as_slice())));
        assert_eq!(parse_key(&[MARKER, 0, 0, 1, 2, 9]), None);
        assert_eq!(parse_key(&[RECORD, 0, 0, 1]), None);
    }
}
