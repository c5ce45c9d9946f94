//! What must be known of a cluster before anything is read: the partitions of the topics, and where to begin in each.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ANSWER_WITHIN, Cluster, ConnectError, Role};
use super::context::{Context, Watch};
use crate::core::event::Topic;
use crate::core::time::{Span, Time};

/// An answer that takes longer counts as none when it is only asked whether the cluster is there.
const PULSE_WITHIN: Duration = Duration::from_secs(2);

/// One partition of one topic, by their numbers and names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub topic: String,
    pub partition: u32,
}

/// Where a group without an offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    Earliest,
    Latest,
    At(Time),
}

/// The offsets that a partition has: the first one, and the one after its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub low: i64,
    pub high: i64,
}

/// Asks the cluster. Every question is bounded in time.
pub struct Probe {
    consumer: BaseConsumer<Context>,
    watch: Watch,
    brokers: String,
    answer_within: Duration,
}

impl Probe {
    pub fn new(cluster: &Cluster) -> Result<Self, ConnectError> {
        let (consumer, watch) = cluster.client(Role::Probe, "probe")?;
        Ok(Self { consumer, watch, brokers: cluster.brokers(), answer_within: ANSWER_WITHIN })
    }

    /// The partition counts of topics; those keyed by account must have equal ones. `key`: the topic's name in the
    /// configuration.
    pub fn partitions(&self, topics: &[(Topic, String)]) -> Result<Vec<u32>, ConnectError> {
        let mut counts = Vec::with_capacity(topics.len());
        for (topic, name) in topics {
            counts.push(self.partition_count(name, &format!("topics.{topic}"))?);
        }
        let keyed: Vec<_> = topics
            .iter()
            .zip(&counts)
            .filter(|((topic, _), _)| *topic != Topic::Catalog)
            .map(|((topic, name), count)| (*topic, name.clone(), *count))
            .collect();
        let unequal = keyed.windows(2).any(|pair| matches!(pair, [(.., one), (.., other)] if one != other));
        if unequal { Err(ConnectError::UnequalPartitions(keyed)) } else { Ok(counts) }
    }

    /// Whether the cluster answers soon and each partition of the topics has a broker that leads it.
    pub fn is_whole(&self, topics: &[(Topic, String)]) -> bool {
        topics.iter().all(|(_, name)| {
            let metadata = self.consumer.fetch_metadata(Some(name), PULSE_WITHIN);
            metadata.is_ok_and(|metadata| {
                let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                topic.is_some_and(|topic| topic.partitions().iter().all(|partition| partition.leader() >= 0))
            })
        })
    }

    /// Makes a topic of ours with the cluster's own defaults, if it is not there.
    pub async fn ensure_topic(&self, cluster: &Cluster, name: &str, key: &str) -> Result<(), ConnectError> {
        match self.partition_count(name, key) {
            Err(ConnectError::NoTopic { .. }) => {}
            found => return found.map(|_| ()),
        }
        let (admin, watch) = cluster.client::<AdminClient<Context>>(Role::Admin, "admin")?;
        let topic = NewTopic::new(name, -1, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().request_timeout(Some(self.answer_within));
        let refused = |reason| {
            let (topic, key, brokers) = (name.to_owned(), key.to_owned(), self.brokers.clone());
            ConnectError::CannotCreate { topic, key, brokers, reason }
        };
        match admin.create_topics([&topic], &options).await {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                    tracing::info!(topic = name, "topic created");
                    Ok(())
                }
                Some(Err((_, code))) => Err(refused(code.to_string())),
            },
            Err(error) => Err(refused(watch.last_failure().unwrap_or_else(|| error.to_string()))),
        }
    }

    /// How long the cluster keeps the records of those topics that it does not keep for good.
    pub async fn retention(
        &self,
        cluster: &Cluster,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Span>, ConnectError> {
        let (admin, watch) = cluster.client::<AdminClient<Context>>(Role::Admin, "admin")?;
        let asked: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(self.answer_within));
        let answers = admin.describe_configs(&asked, &options).await.map_err(|source| {
            let (brokers, last) = (self.brokers.clone(), watch.last_failure());
            let what = "how long topics are kept".to_owned();
            ConnectError::Refused { brokers, what, source: Box::new(source), last }
        })?;
        let kept = answers.into_iter().flatten().filter_map(|resource| {
            let setting = |name| resource.get(name).and_then(|entry| entry.value.as_deref());
            let deletes = setting("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
            let millis: i64 = setting("retention.ms")?.parse().ok()?;
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { return None };
            (deletes && millis >= 0).then(|| (name.clone(), Span::from_millis(millis)))
        });
        Ok(kept.collect())
    }

    pub fn partition_count(&self, name: &str, key: &str) -> Result<u32, ConnectError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(name), self.answer_within)
            .map_err(|error| self.failed(error, &format!("what partitions {name} has")))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let count = topic.map_or(0, |topic| topic.partitions().len() as u32);
        match topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from) {
            None if count > 0 => Ok(count),
            None | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                let (topic, key, brokers) = (name.to_owned(), key.to_owned(), self.brokers.clone());
                Err(ConnectError::NoTopic { topic, key, brokers })
            }
            Some(code) => {
                Err(self.failed(KafkaError::MetadataFetch(code), &format!("what partitions {name} has")))
            }
        }
    }

    pub fn range(&self, source: &Source) -> Result<Range, ConnectError> {
        let (low, high) = self
            .consumer
            .fetch_watermarks(&source.topic, source.partition as i32, self.answer_within)
            .map_err(|error| self.failed(error, &format!("the offsets of {}", source.topic)))?;
        Ok(Range { low, high })
    }

    /// The offsets that the group has committed, for those of the sources that have one.
    pub fn committed(&self, sources: &[Source]) -> Result<BTreeMap<Source, i64>, ConnectError> {
        let mut list = TopicPartitionList::with_capacity(sources.len());
        for source in sources {
            list.add_partition(&source.topic, source.partition as i32);
        }
        let list = self
            .consumer
            .committed_offsets(list, self.answer_within)
            .map_err(|error| self.failed(error, "the committed offsets of the group"))?;
        Ok(offsets(&list))
    }

    /// Where to begin in sources without an offset.
    pub fn begin(
        &self,
        sources: &[Source],
        ranges: &BTreeMap<Source, Range>,
        begin: Begin,
    ) -> Result<BTreeMap<Source, i64>, ConnectError> {
        let at_edge = |edge: fn(&Range) -> i64| {
            let known = sources.iter().filter_map(|source| Some((source.clone(), edge(ranges.get(source)?))));
            known.collect()
        };
        match begin {
            Begin::Earliest => Ok(at_edge(|range| range.low)),
            Begin::Latest => Ok(at_edge(|range| range.high)),
            Begin::At(_) if sources.is_empty() => Ok(BTreeMap::new()),
            Begin::At(time) => {
                let mut list = TopicPartitionList::with_capacity(sources.len());
                for source in sources {
                    let place = Offset::Offset(time.as_millis().max(0));
                    list.add_partition_offset(&source.topic, source.partition as i32, place)
                        .map_err(ConnectError::options)?;
                }
                let list = self
                    .consumer
                    .offsets_for_times(list, self.answer_within)
                    .map_err(|error| self.failed(error, "the offsets of a time"))?;
                // A partition whose records are all older has no offset for that time: it begins at its end.
                let mut found: BTreeMap<Source, i64> = at_edge(|range| range.high);
                found.extend(offsets(&list));
                Ok(found)
            }
        }
    }

    fn failed(&self, source: KafkaError, what: &str) -> ConnectError {
        // Errors wait in the queue until somebody looks.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        let (brokers, last) = (self.brokers.clone(), self.watch.last_failure());
        let code = source.rdkafka_error_code();
        let silent = [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::Resolve,
            RDKafkaErrorCode::Authentication,
        ];
        if code.is_some_and(|code| silent.contains(&code)) {
            ConnectError::Unreachable { brokers, after: self.answer_within, last }
        } else {
            ConnectError::Refused { brokers, what: what.to_owned(), source: Box::new(source), last }
        }
    }
}

fn offsets(list: &TopicPartitionList) -> BTreeMap<Source, i64> {
    let elements = list.elements();
    let known = elements.iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else { return None };
        let partition = u32::try_from(element.partition()).ok()?;
        Some((Source { topic: element.topic().to_owned(), partition }, offset))
    });
    known.collect()
}
