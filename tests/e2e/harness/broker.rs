//! The real Kafka: topics of a test's own, producing, reading back, and what a group has committed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const ANSWER: Duration = Duration::from_secs(30);

/// One record, to be written or as it was read.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub partition: Option<i32>,
    pub key: String,
    pub payload: Vec<u8>,
    pub timestamp: Option<i64>,
    pub headers: BTreeMap<String, String>,
}

/// The address of the broker that all tests share.
pub fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| given().unwrap_or_else(start))
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says in the environment where its broker listens"
)]
fn given() -> Option<String> {
    std::env::var("FOREWARN_TEST_KAFKA").ok().filter(|address| !address.is_empty())
}

fn start() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka");
    let output = Command::new(&script).arg("start").output().unwrap();
    assert!(
        output.status.success(),
        "no Kafka to test against: `{} start` failed\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A name that no other test and no other run uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a topic of its own that keeps records of any age.
pub fn topic(name: &str, partitions: i32) -> String {
    let name = unique(name);
    create(&name, partitions, &[]);
    name
}

pub fn create(name: &str, partitions: i32, options: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    for (key, value) in options {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ANSWER));
    let results = runtime().block_on(admin.create_topics([&topic], &options)).unwrap();
    for result in results {
        assert!(result.is_ok(), "topic {name} could not be made: {result:?}");
    }
}

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address());
    config
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Writes the records in their order and returns once the broker has them all.
pub fn produce(topic: &str, records: impl IntoIterator<Item = Record>) {
    let producer: BaseProducer = client()
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("message.max.bytes", "33554432")
        .create()
        .unwrap();
    for record in records {
        send(&producer, topic, &record);
    }
    producer.flush(ANSWER).unwrap();
}

fn send(producer: &BaseProducer, topic: &str, record: &Record) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    loop {
        let mut message =
            BaseRecord::to(topic).key(&record.key).payload(&record.payload).headers(headers.clone());
        message.partition = record.partition;
        message.timestamp = record.timestamp;
        match producer.send(message) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(50));
            }
            Err((error, _)) => panic!("{topic}: {error}"),
        }
    }
}

/// Everything that is in a topic now, partition by partition.
pub fn read_all(topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = client()
        .set("group.id", unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let partitions = partitions(&consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    let mut ended = 0;
    while ended < partitions {
        match consumer.poll(ANSWER) {
            Some(Ok(message)) => records.push(owned(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            other => panic!("{topic}: {other:?}"),
        }
    }
    records
}

fn owned(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map(|headers| headers.iter().collect::<Vec<_>>()).unwrap_or_default();
    Record {
        partition: Some(message.partition()),
        key: message.key().map(text).unwrap_or_default(),
        payload: message.payload().unwrap_or_default().to_vec(),
        timestamp: message.timestamp().to_millis(),
        headers: headers
            .into_iter()
            .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
            .collect(),
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).unwrap();
    i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
}

/// How many records of a topic a group has committed, all partitions together.
pub fn committed(group: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions(&consumer, topic) {
        asked.add_partition(topic, partition);
    }
    let offsets = consumer.committed_offsets(asked, ANSWER).unwrap();
    offsets
        .elements()
        .iter()
        .filter_map(|element| element.offset().to_raw())
        .filter(|offset| *offset > 0)
        .sum()
}
