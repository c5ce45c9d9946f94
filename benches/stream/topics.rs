//! Writing the stream to Kafka, and the loop that only counts, against which everything is measured.

use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::generator::Generator;
use crate::{Stream, Topics};

const ANSWER: Duration = Duration::from_secs(60);

impl Topics {
    pub fn orders(&self) -> String {
        format!("{}-orders", self.prefix)
    }

    pub fn logins(&self) -> String {
        format!("{}-logins", self.prefix)
    }

    /// The same partition of both topics for one account.
    pub fn partition(&self, account: u32) -> i32 {
        (i64::from(account.wrapping_mul(0x9E37_79B1) >> 8) % i64::from(self.partitions.max(1))) as i32
    }
}

pub fn create(topics: &Topics) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &topics.broker).create()?;
    let (orders, logins) = (topics.orders(), topics.logins());
    // Kept whatever their age; in segments that a snapshot of the disk can bear.
    let topic =
        |name| NewTopic::new(name, topics.partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let wanted = [topic(&orders), topic(&logins)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = AdminOptions::new().operation_timeout(Some(ANSWER));
    for result in runtime.block_on(admin.create_topics(&wanted, &options))? {
        match result {
            // A pace follows its warm-up into the same topics.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("topic {name}: {code}"),
        }
    }
    Ok(())
}

/// `linger`: how long a record may wait for others to travel with.
pub fn producer(topics: &Topics, linger: &str) -> Result<BaseProducer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", &topics.broker)
        .set("linger.ms", linger)
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "1000000")
        .create()?)
}

pub fn produce(topics: &Topics, stream: &Stream) -> Result<()> {
    let producer = producer(topics, "50")?;
    let (orders, logins) = (topics.orders(), topics.logins());
    let mut generator = Generator::new(stream);
    let mut line = Vec::new();
    while let Some(event) = generator.next(&mut line) {
        let topic = if event.is_login { &logins } else { &orders };
        send(&producer, topic, topics.partition(event.account), event.account, &line, event.time)?;
    }
    producer.flush(ANSWER)?;
    Ok(())
}

pub fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    account: u32,
    payload: &[u8],
    time: i64,
) -> Result<()> {
    let key = format!("a{account:08}");
    loop {
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(payload).timestamp(time);
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Records and bytes of both topics.
pub fn count(topics: &Topics) -> Result<(u64, u64)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &topics.broker)
        .set("group.id", "bench-count")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for topic in [topics.orders(), topics.logins()] {
        for partition in 0..topics.partitions {
            assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    let (mut records, mut bytes, mut ended) = (0, 0, 0);
    while ended < topics.partitions * 2 {
        match consumer.poll(ANSWER) {
            Some(Ok(message)) => {
                records += 1;
                bytes += message.payload_len() as u64;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => bail!("no answer from {}", topics.broker),
        }
    }
    Ok((records, bytes))
}
