//! The few calls that the safe wrapper of librdkafka lacks: taking many messages at once, and the end of a partition
//! as the last fetch reported it. All unsafe code of this edge is here.
#![expect(
    unsafe_code,
    reason = "librdkafka's batch call and cached watermarks have no safe wrapper; a batch costs \
                                 about half of what polling message by message does"
)]

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_get_watermark_offsets, rd_kafka_header_get_last,
    rd_kafka_message_destroy, rd_kafka_message_headers, rd_kafka_message_t, rd_kafka_message_timestamp,
    rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_t, rd_kafka_resp_err_t,
    rd_kafka_timestamp_type_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::core::time::Time;

/// A consumer whose messages are taken many at a time. It must not be subscribed to a group: the batch call would
/// swallow its rebalances.
pub struct BatchConsumer<C: ConsumerContext> {
    // Dropped first: the queue belongs to the consumer.
    queue: Queue,
    pub consumer: BaseConsumer<C>,
    batch: Vec<*mut rd_kafka_message_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; `batch` holds no message between two calls.
unsafe impl<C: ConsumerContext> Send for BatchConsumer<C> {}

struct Queue(NonNull<rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference was ours since `rd_kafka_queue_get_consumer`, and the consumer still lives.
        unsafe { rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A message, or a report about a partition, on loan for the time of one call.
#[derive(Clone, Copy, Debug)]
pub struct Polled<'a>(&'a rd_kafka_message_t);

impl<C: ConsumerContext> BatchConsumer<C> {
    /// [`None`] for a consumer without `group.id`, which has no queue.
    pub fn new(consumer: BaseConsumer<C>, batch: usize) -> Option<Self> {
        // SAFETY: the handle is valid as long as the consumer.
        let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let queue = Queue(NonNull::new(queue)?);
        Some(Self { queue, consumer, batch: vec![std::ptr::null_mut(); batch.max(1)] })
    }

    /// Hands over what is there without waiting, at most one batch. Returns how many messages and reports there were.
    pub fn take(&mut self, mut sink: impl FnMut(Polled<'_>)) -> usize {
        // SAFETY: the array has room for as many pointers as are asked for.
        let taken = unsafe {
            rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), 0, self.batch.as_mut_ptr(), self.batch.len())
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        for message in self.batch.iter().take(taken) {
            // SAFETY: librdkafka filled the first `taken` places with messages that are ours until destroyed.
            if let Some(polled) = unsafe { message.as_ref() } {
                sink(Polled(polled));
            }
            // SAFETY: as above; the message is not used after this.
            unsafe { rd_kafka_message_destroy(*message) };
        }
        taken
    }

    /// The offset after the last record of a partition, as far as the last fetch knew; without the network.
    pub fn known_end(&self, topic: &CStr, partition: u32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the topic ends with a zero byte and both targets outlive the call.
        let code = unsafe {
            rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition as i32,
                &raw mut low,
                &raw mut high,
            )
        };
        (code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

/// `Attributes::HEADERS`, as librdkafka wants them.
const NAMES: [&CStr; 6] =
    [c"ce_id", c"ce_type", c"ce_time", c"ce_source", c"ce_specversion", c"content-type"];

impl<'a> Polled<'a> {
    pub fn partition(self) -> u32 {
        u32::try_from(self.0.partition).unwrap_or(u32::MAX)
    }

    pub fn offset(self) -> i64 {
        self.0.offset
    }

    /// [`None`] for a record.
    pub fn error(self) -> Option<RDKafkaErrorCode> {
        (self.0.err != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    /// [`None`] for a tombstone.
    pub fn payload(self) -> Option<&'a [u8]> {
        self.bytes(self.0.payload.cast(), self.0.len)
    }

    pub fn key(self) -> Option<&'a [u8]> {
        self.bytes(self.0.key.cast(), self.0.key_len)
    }

    /// When the record was made or stored, by the topic's configuration.
    pub fn timestamp(self) -> Option<Time> {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid and the target outlives the call.
        let millis = unsafe { rd_kafka_message_timestamp(self.0, &raw mut kind) };
        (millis >= 0 && kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
            .then(|| Time::from_millis(millis))
    }

    /// The headers that a CloudEvent has, where a record has any; of several of one name the last.
    pub fn attributes(self) -> [Option<&'a [u8]>; 6] {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is valid and the target outlives the call; the headers stay the message's own.
        let code = unsafe { rd_kafka_message_headers(self.0, &raw mut headers) };
        if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return [None; 6];
        }
        NAMES.map(|name| {
            let (mut value, mut length) = (std::ptr::null(), 0);
            // SAFETY: the headers are valid as long as the message, the targets outlive the call.
            let code =
                unsafe { rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut length) };
            let found = code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            found.then(|| self.bytes(value.cast(), length)).flatten()
        })
    }

    fn bytes(self, start: *const u8, length: usize) -> Option<&'a [u8]> {
        // SAFETY: librdkafka keeps `length` bytes there for as long as the message lives, which `'a` does not outlive.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, length) })
    }
}
