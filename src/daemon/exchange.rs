//! What the worker and the thread that fills rules from history tell each other: how far the worker has read, what it has
//! read since, and the engine that is filled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::history::Filled;
use crate::core::event::Topic;
use crate::core::time::Time;
use crate::edge::kafka::Record;

/// Bytes of records that may wait to be read by the filled engine. Above it they are given up, and the thread reads on in
/// Kafka up to where the worker is by then.
const MOST_BYTES: usize = 32 << 20;

/// A record that the worker has read since it said where it was.
#[derive(Debug)]
pub struct Captured {
    pub topic: Topic,
    pub partition: u32,
    pub shard: u32,
    pub offset: i64,
    pub payload: Vec<u8>,
    pub attributes: [Option<Vec<u8>>; 6],
    /// The shard's time with this record read, and that of what spans shards.
    pub now: Time,
    pub scope: Time,
}

impl Captured {
    pub fn new(record: &Record<'_>, now: Time, scope: Time) -> Self {
        Self {
            topic: record.topic,
            partition: record.partition,
            shard: record.shard,
            offset: record.offset,
            payload: record.payload.unwrap_or_default().to_vec(),
            attributes: record.attributes.map(|attribute| attribute.map(<[u8]>::to_vec)),
            now,
            scope,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

/// Where the worker is, between two records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of each input the offset after the last record that was read.
    pub next: Vec<(Topic, u32, i64)>,
    /// The times up to which shards were judged, and what spans them.
    pub shards: Vec<(u32, Time)>,
    pub scope: Time,
}

/// Shared by the worker and the thread.
#[derive(Debug, Default)]
pub struct Exchange {
    cancelled: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The thread wants to know where the worker is, and from there on every record.
    asks: bool,
    standing: Option<Standing>,
    captures: bool,
    records: VecDeque<Captured>,
    bytes: usize,
    overflowed: bool,
    result: Option<Result<Box<Filled>, String>>,
}

impl Exchange {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The thread's question.
    pub fn ask(&self) {
        let mut inner = self.inner();
        (inner.asks, inner.captures, inner.overflowed, inner.bytes) = (true, false, false, 0);
        inner.standing = None;
        inner.records.clear();
    }

    /// The worker's answer, once.
    pub fn answer(&self) -> Option<Standing> {
        self.inner().standing.take()
    }

    /// The worker's side, between two turns: says where it stands if that is asked, and hands on what it has read. Returns
    /// whether records are to be captured from now on.
    pub fn serve(&self, standing: impl FnOnce() -> Standing, captured: &mut Vec<Captured>) -> bool {
        let mut inner = self.inner();
        if std::mem::take(&mut inner.asks) {
            captured.clear();
            inner.standing = Some(standing());
            inner.captures = true;
        }
        if inner.captures {
            inner.bytes += captured.iter().map(Captured::bytes).sum::<usize>();
            inner.records.extend(captured.drain(..));
        } else {
            captured.clear();
        }
        if inner.bytes > MOST_BYTES {
            inner.records.clear();
            (inner.bytes, inner.captures, inner.overflowed) = (0, false, true);
        }
        inner.captures
    }

    /// Too much has come in the meantime; what was captured is given up.
    pub fn has_overflowed(&self) -> bool {
        self.inner().overflowed
    }

    pub fn take_records(&self) -> VecDeque<Captured> {
        let mut inner = self.inner();
        inner.bytes = 0;
        std::mem::take(&mut inner.records)
    }

    pub fn finish(&self, result: Result<Box<Filled>, String>) {
        self.inner().result = Some(result);
    }

    pub fn take_result(&self) -> Option<Result<Box<Filled>, String>> {
        self.inner().result.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: usize) -> Captured {
        Captured {
            topic: Topic::Orders,
            partition: 0,
            shard: 0,
            offset: 1,
            payload: vec![0; bytes],
            attributes: [const { None }; 6],
            now: Time::MIN,
            scope: Time::MIN,
        }
    }

    #[test]
    fn what_is_read_after_the_answer_is_handed_on_and_what_was_read_before_it_is_not() {
        let exchange = Exchange::default();
        assert!(!exchange.serve(Standing::default, &mut vec![record(1)]));
        assert!(exchange.take_records().is_empty());
        exchange.ask();
        assert!(exchange.answer().is_none());
        assert!(exchange.serve(Standing::default, &mut vec![record(1)]));
        assert_eq!(exchange.answer(), Some(Standing::default()));
        assert!(exchange.take_records().is_empty(), "it was read before");
        assert!(exchange.serve(Standing::default, &mut vec![record(1), record(2)]));
        assert_eq!(exchange.take_records().len(), 2);
    }

    #[test]
    fn above_the_bound_everything_is_given_up_until_it_is_asked_anew() {
        let exchange = Exchange::default();
        exchange.ask();
        assert!(exchange.serve(Standing::default, &mut Vec::new()));
        assert!(!exchange.serve(Standing::default, &mut vec![record(MOST_BYTES)]));
        assert!(exchange.has_overflowed() && exchange.take_records().is_empty());
        assert!(!exchange.serve(Standing::default, &mut vec![record(1)]), "nothing with a gap before it");
        exchange.ask();
        assert!(exchange.serve(Standing::default, &mut Vec::new()) && !exchange.has_overflowed());
    }
}
