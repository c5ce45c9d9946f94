//! The topic for records that can't be read: each goes there as it came, with the reason and its origin in headers.
//!
//! Sending is asynchronous; [`DeadLetters::has_arrived`] says when everything up to some point has arrived, and no
//! offset is committed before that.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::align::Record;
use super::client::{Cluster, ConnectError, Role};
use super::context::Context;

/// How much of a record is kept when the broker refuses it for its size.
const KEPT_OF_TOO_LARGE: usize = 64 << 10;
/// Records that may be on their way; above it nothing more is read.
const MOST_WAITING: usize = 10_000;

/// Where unreadable records go.
pub struct DeadLetters {
    producer: BaseProducer<Deliveries>,
    topic: String,
    sent: usize,
}

/// Counts what has arrived, and keeps for another try what has not.
#[derive(Debug, Default)]
pub struct Deliveries {
    context: Context,
    /// The numbers of the records that are on their way.
    waiting: Mutex<BTreeSet<usize>>,
    refused: Mutex<Vec<Refused>>,
}

#[derive(Debug)]
struct Refused {
    number: usize,
    headers: OwnedHeaders,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    too_large: bool,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            }
            Err((error, message)) => {
                let too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
                tracing::warn!(%error, "an unreadable record did not reach the dead-letter topic yet");
                let refused = Refused {
                    number,
                    headers: message.headers().map(|headers| headers.detach()).unwrap_or_default(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().unwrap_or_default().to_vec(),
                    too_large,
                };
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(refused);
            }
        }
    }
}

/// Why and where a record could not be read.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    /// From a closed list; the label of the metric.
    pub reason: &'a str,
    /// For people.
    pub detail: &'a str,
    /// The name of the topic that the record came from.
    pub topic: &'a str,
}

impl DeadLetters {
    pub fn new(cluster: &Cluster, topic: &str) -> Result<Self, ConnectError> {
        let config = cluster.config(Role::Producer, "dead-letters");
        let producer = config.create_with_context(Deliveries::default()).map_err(ConnectError::options)?;
        Ok(Self { producer, topic: topic.to_owned(), sent: 0 })
    }

    pub fn send(&mut self, record: &Record<'_>, reason: Reason<'_>) {
        let header = |key, value| Header { key, value: Some(value) };
        let headers = OwnedHeaders::new_with_capacity(6)
            .insert(header("reason", reason.reason))
            .insert(header("detail", reason.detail))
            .insert(header("topic", reason.topic))
            .insert(header("partition", &record.partition.to_string()))
            .insert(header("offset", &record.offset.to_string()));
        self.sent += 1;
        let number = self.sent;
        self.waiting_numbers().insert(number);
        let payload = record.payload.unwrap_or_default();
        if !self.enqueue(number, headers.clone(), record.key, payload) {
            let (key, payload) = (record.key.map(<[u8]>::to_vec), payload.to_vec());
            self.refused().push(Refused { number, headers, key, payload, too_large: false });
        }
    }

    /// Lets deliveries be noted. `retry`: sends again what was refused, which is to be asked for about once a second.
    pub fn serve(&mut self, wait: Duration, retry: bool) {
        self.producer.poll(wait);
        if !retry {
            return;
        }
        let refused = std::mem::take(&mut *self.refused());
        for mut refused in refused {
            if refused.too_large && refused.payload.len() > KEPT_OF_TOO_LARGE {
                let size = refused.payload.len().to_string();
                refused.payload.truncate(KEPT_OF_TOO_LARGE);
                let header = Header { key: "truncated-from", value: Some(&size) };
                refused.headers = refused.headers.insert(header);
            }
            if !self.enqueue(
                refused.number,
                refused.headers.clone(),
                refused.key.as_deref(),
                &refused.payload,
            ) {
                self.refused().push(refused);
            }
        }
    }

    /// How many were sent so far; a point for [`DeadLetters::has_arrived`].
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Everything up to this point has arrived.
    pub fn has_arrived(&self, point: usize) -> bool {
        self.waiting_numbers().first().is_none_or(|number| *number > point)
    }

    /// Nothing more should be read until some of it has arrived.
    pub fn is_full(&self) -> bool {
        self.waiting() >= MOST_WAITING
    }

    pub fn waiting(&self) -> usize {
        self.waiting_numbers().len()
    }

    fn enqueue(&self, number: usize, headers: OwnedHeaders, key: Option<&[u8]>, payload: &[u8]) -> bool {
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, number);
        let mut record = record.payload(payload).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.producer.send(record).is_ok()
    }

    fn waiting_numbers(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.producer.context().waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Vec<Refused>> {
        self.producer.context().refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
