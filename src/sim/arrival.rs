//! The order in which events arrive: nearly that in which they happened, with duplicates, stragglers and junk.

use crate::core::event::Topic;
use crate::core::time::{Span, Time};

use super::dice::{Dice, Purpose, span_of_seconds};
use super::record::{Record, account_name};

/// A line on its way to the reader.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Time,
    pub record: Record,
    pub form: Form,
}

/// What becomes of a record on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Whole,
    /// The same once more.
    Copy,
    /// Something that cannot be read, in this many ways.
    Junk(u8),
}

/// The ways in which a line can be junk.
const KINDS_OF_JUNK: u32 = 8;

impl Arrival {
    fn rank(&self) -> (Time, u32, u32, Form) {
        (self.at, self.record.account, self.record.number, self.form)
    }

    /// Appends the line, without its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.form {
            Form::Whole | Form::Copy => self.record.write(out),
            Form::Junk(kind) => self.write_junk(kind, out),
        }
    }

    pub fn topic(&self) -> Topic {
        self.record.topic()
    }

    /// The record's key: the account, as a producer would set it.
    pub fn key(&self) -> String {
        account_name(self.record.account)
    }

    fn write_junk(&self, kind: u8, out: &mut Vec<u8>) {
        let (account, event_type) = (self.record.account, self.record.event_type);
        let start = out.len();
        match kind {
            0 => {
                self.record.write(out);
                out.truncate(start + (out.len() - start) / 2);
            }
            1 => out.extend_from_slice(b"heartbeat ok"),
            2 => out.extend_from_slice(br#"{"type":"order.paid","time":"2026-10-05T00:00:00Z"}"#),
            3 => out.extend(
                format!(r#"{{"id":"j{account}","type":"{event_type}","time":"1970-01-01T00:00:00Z","account_id":"a{account}"}}"#)
                    .bytes(),
            ),
            4 => out.extend(
                format!(r#"{{"id":"j{account}","type":"{event_type}","time":"2100-01-01T00:00:00Z","account_id":"a{account}"}}"#)
                    .bytes(),
            ),
            5 => out.extend(
                format!(r#"{{"id":{account},"type":["{event_type}"],"time":true,"account_id":{{}}}}"#).bytes(),
            ),
            6 => out.extend_from_slice(b"[]"),
            _ => out.extend(
                format!(r#"{{"id":"j{account}","type":"order.exploded","time":"2026-10-05T00:00:00Z","account_id":"a{account}"}}"#)
                    .bytes(),
            ),
        }
    }
}

/// Brings the lines into the order of arrival.
pub fn sort(arrivals: &mut [Arrival]) {
    arrivals.sort_unstable_by_key(Arrival::rank);
}

/// Sends records on their way.
#[derive(Debug)]
pub struct Road {
    seed: u64,
    slot: u64,
    dice: Dice,
}

impl Road {
    pub fn new(seed: u64) -> Self {
        Self { seed, slot: 0, dice: Dice::new(seed, Purpose::Arrival, 0, 0) }
    }

    /// Each slot of a world has luck of its own, so that a longer world begins like a shorter one.
    pub fn next_slot(&mut self) {
        self.slot += 1;
        self.dice = Dice::new(self.seed, Purpose::Arrival, self.slot, 0);
    }

    /// When a record arrives, and what else comes of it.
    pub fn send(&mut self, record: Record, sink: &mut impl FnMut(Arrival)) {
        let delay = self.delay();
        let at = record.time + delay;
        let luck = self.dice.unit();
        if luck < 0.010_5 {
            // Most duplicates follow at once; a few come when nobody expects them any more.
            let seconds = if luck < 0.000_5 {
                self.dice.between(180.0, 1_800.0)
            } else {
                self.dice.exponential(3.0).min(60.0)
            };
            sink(Arrival { at: at + span_of_seconds(seconds), record: record.clone(), form: Form::Copy });
        } else if luck < 0.010_7 {
            let kind = self.dice.below(KINDS_OF_JUNK) as u8;
            sink(Arrival { at, record: record.clone(), form: Form::Junk(kind) });
        }
        sink(Arrival { at, record, form: Form::Whole });
    }

    fn delay(&mut self) -> Span {
        let luck = self.dice.unit();
        let seconds = if luck < 0.000_2 {
            self.dice.between(5.0, 60.0)
        } else if luck < 0.01 {
            self.dice.between(0.5, 5.0)
        } else {
            0.02 + self.dice.exponential(0.08)
        };
        span_of_seconds(seconds)
    }
}
