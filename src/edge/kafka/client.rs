//! How our clients of Kafka are set up, and what is said when a cluster can't be used.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

use super::context::{Context, Watch};
use crate::core::event::Topic;

/// How long a question to the cluster may take before it counts as unreachable.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the cluster is and what the operator wants of librdkafka. Some options are secrets, so it is never printed.
#[derive(Clone)]
pub struct Cluster {
    pub brokers: Vec<String>,
    pub group: String,
    /// Handed through last, so that they win over our own choices.
    pub options: BTreeMap<String, String>,
}

/// Why Kafka can't be used. The text says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("librdkafka refuses the options in [kafka]: {0}")]
    Options(Box<KafkaError>),
    #[error("no answer from kafka at {brokers} (kafka.brokers) within {} s{}", .after.as_secs(), last_words(.last))]
    Unreachable { brokers: String, after: Duration, last: Option<String> },
    #[error("kafka at {brokers} did not say {what}: {source}{}", reason(.last))]
    Refused { brokers: String, what: String, source: Box<KafkaError>, last: Option<String> },
    #[error("there is no topic {topic} in kafka at {brokers}; create it, or correct {key}")]
    NoTopic { topic: String, key: String, brokers: String },
    #[error(
        "there is no topic {topic} in kafka at {brokers}, and it could not be created: {reason}; create it, or correct \
         {key}"
    )]
    CannotCreate { topic: String, key: String, brokers: String, reason: String },
    #[error(
        "topics keyed by account need the same number of partitions, so that an account has the same partition in \
         each of them, but {}", counts(.0)
    )]
    UnequalPartitions(Vec<(Topic, String, u32)>),
    #[error(
        "{topic} partition {partition} must be read on from offset {wanted}, but kafka has only {low} to {high}; \
         {}", gap_advice(*.wanted, *.low)
    )]
    OutOfRange { topic: String, partition: u32, wanted: i64, low: i64, high: i64 },
}

impl ConnectError {
    pub(super) fn options(error: KafkaError) -> Self {
        Self::Options(Box::new(error))
    }
}

fn reason(last: &Option<String>) -> String {
    last.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

/// What the client said last, as the reason.
fn last_words(last: &Option<String>) -> String {
    last.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

fn counts(topics: &[(Topic, String, u32)]) -> String {
    let count = |(topic, name, count): &(Topic, String, u32)| format!("{name} (topics.{topic}) has {count}");
    let counts: Vec<_> = topics.iter().map(count).collect();
    counts.join(", ")
}

fn gap_advice(wanted: i64, low: i64) -> String {
    if wanted < low {
        let lost = low - wanted;
        format!(
            "{lost} records are gone by retention; to accept that and go on, start once with --accept-gaps"
        )
    } else {
        "the topic was made anew or is another one; start with an empty state folder and a new group"
            .to_owned()
    }
}

/// Which of our clients a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Asks about topics and offsets.
    Probe,
    /// Creates topics.
    Admin,
    /// Belongs to the group and reads nothing.
    Member,
    /// Reads what the worker gives it.
    Reader,
    /// Reads a compacted topic whole.
    Table,
    Producer,
}

impl Cluster {
    pub fn brokers(&self) -> String {
        self.brokers.join(",")
    }

    /// A client with a context that can be watched.
    pub fn client<T: FromClientConfigAndContext<Context>>(
        &self,
        role: Role,
        name: &str,
    ) -> Result<(T, Watch), ConnectError> {
        let context = Context::default();
        let watch = context.watch.clone();
        let client = self.config(role, name).create_with_context(context).map_err(ConnectError::options)?;
        Ok((client, watch))
    }

    pub(super) fn config(&self, role: Role, name: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Notice);
        let mut set = |key: &str, value: &str| {
            config.set(key, value);
        };
        set("bootstrap.servers", &self.brokers());
        set("client.id", &format!("forewarn-{name}"));
        set("reconnect.backoff.max.ms", "2000");
        match role {
            Role::Producer => {
                set("enable.idempotence", "true");
                set("acks", "all");
                set("linger.ms", "5");
                set("queue.buffering.max.kbytes", "65536");
                set("compression.type", "lz4");
                // A record that came from Kafka must fit back into it; the broker has the last word on the size.
                set("message.max.bytes", "100000000");
            }
            Role::Admin => {}
            Role::Probe | Role::Member | Role::Reader | Role::Table => {
                set("group.id", &self.group);
                set("enable.auto.commit", "false");
                set("enable.auto.offset.store", "false");
                set("auto.offset.reset", "error");
                set("isolation.level", "read_committed");
                set("allow.auto.create.topics", "false");
                set("enable.partition.eof", "true");
                // A consumer whose queue is full would otherwise stand still for a second.
                set("fetch.queue.backoff.ms", "10");
                // An answer for every record that arrives costs the broker more than the records do: with these, half of
                // it and a tenth of the delay at thousands of records a second. A quiet topic is heard within 10 ms.
                set("fetch.min.bytes", "32768");
                set("fetch.wait.max.ms", "10");
                // Small pieces of every partition in turn keep the partitions close to each other in a backlog, and
                // what is fetched ahead stays small beside the state.
                set("fetch.message.max.bytes", "65536");
                set("queued.min.messages", "5000");
                set("queued.max.messages.kbytes", "16384");
            }
        }
        if role == Role::Member {
            set("partition.assignment.strategy", "cooperative-sticky");
            set("session.timeout.ms", "6000");
            set("heartbeat.interval.ms", "2000");
            set("max.poll.interval.ms", "60000");
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        if role == Role::Reader || role == Role::Table {
            // The group's member alone is known to the coordinator by this name.
            config.remove("group.instance.id");
            config.remove("group.protocol");
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(options: &[(&str, &str)]) -> Cluster {
        Cluster {
            brokers: vec!["a:9092".to_owned(), "b:9092".to_owned()],
            group: "group".to_owned(),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn the_operators_options_win_over_ours() {
        let config = cluster(&[("fetch.wait.max.ms", "1")]).config(Role::Reader, "orders");
        assert_eq!(config.get("fetch.wait.max.ms"), Some("1"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("bootstrap.servers"), Some("a:9092,b:9092"));
    }

    #[test]
    fn only_the_member_carries_the_identity_in_the_group() {
        let cluster = cluster(&[("group.instance.id", "one"), ("group.protocol", "consumer")]);
        assert_eq!(cluster.config(Role::Member, "member").get("group.instance.id"), Some("one"));
        assert_eq!(cluster.config(Role::Reader, "orders").get("group.instance.id"), None);
        assert_eq!(cluster.config(Role::Reader, "orders").get("group.protocol"), None);
    }

    #[test]
    fn every_error_says_where_and_what_was_expected() {
        let unreachable = ConnectError::Unreachable {
            brokers: "a:9092".to_owned(),
            after: Duration::from_secs(10),
            last: Some("connection refused".to_owned()),
        };
        let unequal = ConnectError::UnequalPartitions(vec![
            (Topic::Orders, "o".to_owned(), 8),
            (Topic::Logins, "l".to_owned(), 4),
        ]);
        let gap =
            ConnectError::OutOfRange { topic: "o".to_owned(), partition: 3, wanted: 5, low: 10, high: 20 };
        for (error, text) in [
            (unreachable, "no answer from kafka at a:9092 (kafka.brokers) within 10 s: connection refused"),
            (unequal, "but o (topics.orders) has 8, l (topics.logins) has 4"),
            (gap, "5 records are gone by retention"),
        ] {
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
