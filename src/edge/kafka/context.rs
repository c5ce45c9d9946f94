//! What librdkafka reports from its own threads and from within polls: log lines, the assignment, results of commits.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::edge::clock::Stopwatch;

/// What goes on is said again after this long.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Shared by a client and whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    last_failure: Mutex<Option<String>>,
    last_told: Mutex<Option<(String, Stopwatch)>>,
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
        let text = said(text).to_owned();
        *self.0.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// Whether a log should say this again: a cluster that is away says the same many times a second.
    fn is_news(&self, text: &str) -> bool {
        let mut told = self.0.last_told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(last, since): &(String, Stopwatch)| last == text && since.elapsed() < SAID_AGAIN_AFTER;
        if told.as_ref().is_some_and(known) {
            return false;
        }
        *told = Some((text.to_owned(), Stopwatch::start()));
        true
    }

    fn note_assignment(&self, change: impl FnOnce(&mut BTreeSet<u32>)) {
        change(&mut self.0.assigned.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.store(true, Ordering::Release);
    }
}

/// What librdkafka says without the thread and the broker before it, which the error names, and its timing behind.
fn said(text: &str) -> &str {
    let text = text
        .split_once("]: ")
        .filter(|(thread, _)| thread.starts_with("[thrd:"))
        .map_or(text, |(_, rest)| rest);
    let is_broker = |name: &str| !name.contains(' ') && name.contains('/');
    let text = text.split_once(": ").filter(|(name, _)| is_broker(name)).map_or(text, |(_, rest)| rest);
    text.split(" (after ").next().unwrap_or(text)
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
                if self.watch.is_news(said(message)) {
                    tracing::warn!(facility, message, "kafka client reports an error");
                }
            }
            // Options are given to readers and writers alike; each leaves aside what is not for it.
            RDKafkaLogLevel::Warning
                if facility == "CONFWARN" && message.contains("will be ignored by this") =>
            {
                tracing::debug!(facility, message, "kafka client warns");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client warns"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "kafka client reports");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client reports"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down follows from what was said of each; that says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.watch.note_failure(reason);
        }
        if self.watch.is_news(said(reason)) {
            tracing::warn!(%error, reason, "kafka client reports an error");
        }
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

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_librdkafka_says_is_kept_without_its_own_affairs() {
        let refused = "Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        for (text, expected) in [
            (
                "[thrd:127.0.0.1:1/bootstrap]: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection \
                 refused (after 0ms in state CONNECT, 1 identical error(s) suppressed)",
                refused,
            ),
            (refused, refused),
            ("SASL authentication error: wrong password", "SASL authentication error: wrong password"),
        ] {
            assert_eq!(said(text), expected);
        }
    }
}
