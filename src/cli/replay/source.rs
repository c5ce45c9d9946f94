//! What is replayed: the lines of files or the records of partitions, each input in its own order, all of them merged lowest
//! time first.
//!
//! The next to be read is the input whose time will be lowest with its next event read. So files of one topic may follow each
//! other (one a day, say) or run beside each other: an event is never late because another file was read ahead. A partition
//! is judged as its own shard of production; all files together are one, in which each topic is one partition.

use anyhow::Context as _;

use crate::core::event::decode::{Attributes, Decoder, RejectReason, Scratch};
use crate::core::event::{Event, Topic};
use crate::core::time::{Span, Time};
use crate::edge::kafka::Track;

use super::input::Lines;

/// The number of later lines of its topic that an event which jumps ahead is compared with.
const COMPARED_AHEAD: usize = 10;

/// Where events come from.
pub(super) enum Feed {
    Lines(Box<Lines>),
    Records(Box<Track>),
}

impl Feed {
    fn advance(&mut self) -> anyhow::Result<bool> {
        match self {
            Self::Lines(lines) => lines.advance(),
            Self::Records(track) => track.advance().context("cannot read the events"),
        }
    }

    /// What is behind and what there is in all, bytes of a file or records; [`None`] where nobody knows that.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match self {
            Self::Lines(lines) => lines.progress(),
            Self::Records(track) => Some(track.progress()),
        }
    }
}

/// One input of a replay.
pub(super) struct Source {
    pub(super) feed: Feed,
    pub(super) shard: u32,
    /// The newest event time read.
    pub(super) newest: Time,
    /// What its time will be with the next event read; [`None`] at the end.
    pub(super) next: Option<Time>,
    /// The lines after the current one were looked at already and bear out its time.
    pub(super) vouched: bool,
}

/// What decoding events takes.
pub(super) struct Reader {
    pub(super) decoder: Decoder,
    pub(super) scratch: Scratch,
}

/// By how much an event may be ahead, and of what.
pub(super) struct Pace {
    pub(super) max_ahead: Span,
    /// By topic, of all files.
    pub(super) newest_of_topic: [Time; Topic::ALL.len()],
}

impl Feed {
    pub(super) fn decode<'a>(&'a self, reader: &'a mut Reader) -> Result<Event<'a>, RejectReason> {
        let Reader { decoder, scratch } = reader;
        match self {
            Self::Lines(lines) => decoder.decode(lines.current(), scratch),
            Self::Records(track) => {
                decoder.decode_with(track.payload(), Attributes::of(track.attributes()), scratch)
            }
        }
    }
}

impl Source {
    pub(super) fn new(feed: Feed, shard: u32) -> Self {
        Self { feed, shard, newest: Time::MIN, next: None, vouched: false }
    }

    /// Moves on. `alone`: no other input has to be compared with, so the next event need not be looked at yet.
    pub(super) fn advance(&mut self, reader: &mut Reader, pace: &Pace, alone: bool) -> anyhow::Result<()> {
        self.vouched = false;
        self.next = if !self.feed.advance()? {
            None
        } else if alone {
            Some(self.newest)
        } else {
            Some(self.time_of_next(reader, pace)?)
        };
        Ok(())
    }

    /// What is refused does not move the time, and comes at once.
    fn time_of_next(&mut self, reader: &mut Reader, pace: &Pace) -> anyhow::Result<Time> {
        let Ok(event) = self.feed.decode(reader) else { return Ok(self.newest) };
        let (time, topic) = (event.time, event.event_type.topic());
        let jumps = self.is_suspicious(time, topic, pace) && self.jumps_ahead(time, topic, reader, pace)?;
        Ok(if jumps { self.newest } else { self.newest.max(time) })
    }

    /// Whether it must be asked if the current event claims a time that would drag the clock along.
    pub(super) fn is_suspicious(&self, time: Time, topic: Topic, pace: &Pace) -> bool {
        match self.feed {
            Feed::Lines(_) => {
                !self.vouched && time.since(pace.newest_of_topic[topic as usize]) > pace.max_ahead
            }
            Feed::Records(_) => !self.vouched,
        }
    }

    /// The answer: a record is compared with its time in Kafka; a file has no such times, and there it counts whether the next
    /// lines of the topic follow.
    pub(super) fn jumps_ahead(
        &mut self,
        time: Time,
        topic: Topic,
        reader: &mut Reader,
        pace: &Pace,
    ) -> anyhow::Result<bool> {
        let jumps = match &mut self.feed {
            Feed::Records(track) => track.timestamp().is_some_and(|stored| time > stored + pace.max_ahead),
            Feed::Lines(lines) => {
                let Reader { decoder, scratch } = reader;
                let (mut compared, mut ahead_of) = (0, 0);
                lines.look_ahead(|line| {
                    if let Ok(next) = decoder.decode(line, scratch)
                        && next.event_type.topic() == topic
                    {
                        compared += 1;
                        ahead_of += usize::from(time.since(next.time) > pace.max_ahead);
                    }
                    compared < COMPARED_AHEAD && ahead_of == compared
                })?;
                compared > 0 && ahead_of == compared
            }
        };
        self.vouched = !jumps;
        Ok(jumps)
    }
}
