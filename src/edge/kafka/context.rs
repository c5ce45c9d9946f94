//! What librdkafka reports from its own threads and from within polls: log lines, the assignment, results of commits.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

/// Shared by a client and whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    last_failure: Mutex<Option<String>>,
    assigned: Mutex<BTreeSet<u32>>,
    changed: AtomicBool,
    failed_commits: AtomicU64,
}

impl Watch {
    /// The last thing that went wrong, in librdkafka's words: the reason that a call's own error often lacks.
    pub fn last_failure(&self) -> Option<String> {
        self.0.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The partitions that the group has given to us, if that has changed since the last call.
    pub fn changed_assignment(&self) -> Option<BTreeSet<u32>> {
        let changed = self.0.changed.swap(false, Ordering::Acquire);
        changed.then(|| self.0.assigned.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    pub fn failed_commits(&self) -> u64 {
        self.0.failed_commits.load(Ordering::Relaxed)
    }

    fn note_failure(&self, text: &str) {
        *self.0.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    fn note_assignment(&self, change: impl FnOnce(&mut BTreeSet<u32>)) {
        change(&mut self.0.assigned.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.store(true, Ordering::Release);
    }
}

/// The context of every client of ours.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub watch: Watch,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                self.watch.note_failure(message);
                tracing::warn!(facility, message, "kafka client reports an error");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client warns"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "kafka client reports");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client reports"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.note_failure(reason);
        tracing::warn!(%error, reason, "kafka client reports an error");
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ConsumerContext for Context {
    /// Only accepts what the group decided and notes it. The member never reads: it stands at the end, paused; the
    /// records are read by consumers of their own, which the worker gives the same partitions, outside of callbacks.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let numbers =
            partitions.elements().into_iter().filter_map(|element| element.partition().try_into().ok());
        let numbers: Vec<u32> = numbers.collect();
        let result = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let placed = partitions.set_all_offsets(Offset::End);
            let assigned = if cooperative {
                consumer.incremental_assign(partitions)
            } else {
                consumer.assign(partitions)
            };
            self.watch.note_assignment(|assigned| {
                if !cooperative {
                    assigned.clear();
                }
                assigned.extend(numbers);
            });
            placed.and(assigned).and_then(|()| consumer.pause(partitions))
        } else {
            self.watch.note_assignment(|assigned| assigned.retain(|number| !numbers.contains(number)));
            if cooperative { consumer.incremental_unassign(partitions) } else { consumer.unassign() }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "could not take over what the group decided");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.watch.0.failed_commits.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "offsets were not committed; the snapshot has them, the next commit repeats them");
        }
    }
}
