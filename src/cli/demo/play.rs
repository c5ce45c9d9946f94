//! Plays the world into Kafka at the platform's pace, as its producers would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::core::event::Topic;
use crate::core::time::Time;

use super::clock::PlatformClock;

/// A line of the world, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When it arrives at the broker.
    pub(super) at: Time,
    /// The time that the record is stamped with: the event's.
    pub(super) time: Time,
    pub(super) topic: Topic,
    pub(super) key: String,
    pub(super) payload: Vec<u8>,
}

/// Sends what is due this often.
const BEAT: Duration = Duration::from_millis(20);

/// The producer at work, on a thread of its own.
#[derive(Debug)]
pub(super) struct Player {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub(super) fn producer(brokers: &str) -> Result<BaseProducer> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "5")
        .create()
        .context("cannot make a producer for the embedded broker")
}

/// Sends lines at once and waits until the broker has them.
pub(super) fn send_now(producer: &BaseProducer, lines: &[Line]) -> Result<()> {
    for line in lines {
        send(producer, line);
    }
    producer.flush(Duration::from_secs(20)).context("the embedded broker does not take what it is sent")
}

fn send(producer: &BaseProducer, line: &Line) {
    let mut record = BaseRecord::to(line.topic.as_str())
        .key(line.key.as_str())
        .payload(line.payload.as_slice())
        .timestamp(line.time.as_millis());
    // A full queue empties as the broker answers; any other refusal is of this one record.
    while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) = producer.send(record)
    {
        producer.poll(Duration::from_millis(5));
        record = back;
    }
}

impl Player {
    /// Plays lines, which are in order of arrival, as the clock reaches them; none before it has started.
    pub(super) fn start(producer: BaseProducer, lines: Arc<Vec<Line>>, clock: PlatformClock) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let play = move || {
            for line in lines.iter() {
                while !stopped.load(Ordering::Relaxed) && !clock.has_reached(line.at) {
                    producer.poll(clock.until(line.at).min(BEAT));
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                send(&producer, line);
            }
            // What can't be handed over now is of no use any more.
            producer.flush(Duration::from_secs(3)).ok();
        };
        let thread = std::thread::Builder::new().name("platform".to_owned()).spawn(play);
        let thread = Some(thread.context("cannot start the simulated platform")?);
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to send either.
            thread.join().ok();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop();
    }
}
