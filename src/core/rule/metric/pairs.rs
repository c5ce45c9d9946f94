//! What has begun, by key: so that an end finds the sample of its beginning, and the other way round where the end
//! arrives first.

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::Symbol;
use crate::core::rule::table::{Keep, Recent, SWEPT_AT_LEAST, State, Table};
use crate::core::time::{Span, Time};

/// Beginnings that are watched in a shard. One more is not; it is counted.
const MOST: usize = 1 << 22;
/// Ends that are remembered in a shard. Above it the oldest go: a beginning that arrives after its end by more than they
/// reach back is then taken for open.
const MOST_ENDS: usize = 1 << 20;

/// A beginning.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub subject: Symbol,
    pub start: Time,
    /// [`Time::MAX`]: not yet.
    pub end: Time,
}

impl Default for Begun {
    fn default() -> Self {
        Self { subject: Symbol::MISSING, start: Time::MIN, end: Time::MAX }
    }
}

/// What has changed for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new one, with its end if that is known.
    New {
        start: Time,
        end: Time,
    },
    /// The one that began at `old` has begun earlier.
    Earlier {
        old: (Time, Time),
        start: Time,
        end: Time,
    },
    /// Its end is another than it was.
    Ends {
        subject: Symbol,
        start: Time,
        old: Time,
        end: Time,
    },
    Nothing,
}

#[derive(Debug)]
pub struct Pairs {
    window: Span,
    lateness: Span,
    begun: Table<Begun>,
    ends: Recent,
    not_watched: u64,
}

impl Pairs {
    pub fn new(window: Span, lateness: Span) -> Self {
        Self { window, lateness, begun: Table::default(), ends: Recent::new(MOST_ENDS), not_watched: 0 }
    }

    /// The first end of what began at `start`, of those that have arrived before it and ended nothing up to `after`.
    fn known_end(&mut self, key: Symbol, start: Time, after: Time) -> Time {
        let from = start - self.lateness;
        let ends = self.ends.times(key).filter(|end| *end >= from && *end > after);
        ends.min().map_or(Time::MAX, |end| end.max(start))
    }

    pub fn start(&mut self, key: Symbol, subject: Symbol, start: Time) -> Step {
        let Some(begun) = self.begun.get(key).copied() else {
            if self.begun.len() >= MOST {
                self.not_watched += 1;
                return Step::Nothing;
            }
            return self.begin(key, subject, start, Time::MIN);
        };
        if start < begun.start {
            let end = self.known_end(key, start, Time::MIN).min(begun.end);
            if end < begun.start || begun.subject != subject || start + self.window <= begun.start {
                // Something of its own, which that one followed.
                return Step::New { start, end };
            }
            self.put(key, Begun { subject, start, end });
            return Step::Earlier { old: (begun.start, begun.end), start, end };
        }
        // The first beginning counts until it has ended or left the window.
        if start <= begun.end && start < begun.start + self.window {
            return Step::Nothing;
        }
        let after = if begun.end < Time::MAX { begun.end } else { Time::MIN };
        self.begin(key, subject, start, after)
    }

    fn begin(&mut self, key: Symbol, subject: Symbol, start: Time, after: Time) -> Step {
        let end = self.known_end(key, start, after);
        self.put(key, Begun { subject, start, end });
        Step::New { start, end }
    }

    fn put(&mut self, key: Symbol, begun: Begun) {
        let (slot, _) = self.begun.find_or_insert(key);
        if let Some(place) = self.begun.touch(slot) {
            *place = begun;
        }
    }

    pub fn end(&mut self, key: Symbol, time: Time, settled: Time) -> Step {
        let wanted = settled - self.lateness;
        if time >= wanted {
            self.ends.mark(key, time, wanted);
        }
        let Some(begun) = self.begun.get(key).copied() else { return Step::Nothing };
        let end = time.max(begun.start);
        if time < begun.start - self.lateness || end >= begun.end {
            return Step::Nothing;
        }
        if let Some(begun) = self.begun.get_mut(key) {
            begun.end = end;
        }
        Step::Ends { subject: begun.subject, start: begun.start, old: begun.end, end }
    }

    /// Forgets beginnings that have left the window, and ended ones whose end nothing can change any more.
    pub fn sweep(&mut self, settled: Time) {
        self.ends.forget(settled - self.lateness);
        let window = self.window;
        self.begun.sweep(SWEPT_AT_LEAST, |_, begun| {
            let over = begun.start + window < settled || begun.end < settled;
            if over { Keep::Forget } else { Keep::Unchanged }
        });
    }

    pub fn drain_changes(&mut self, (begun, ends): (u8, u8), sink: Sink<'_>) {
        self.begun.drain_changes(begun, &mut *sink);
        self.ends.drain_changes(ends, sink);
    }

    pub fn restore_begun(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        self.begun.restore(key, value).map(|_| ())
    }

    pub fn restore_end(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        self.ends.restore(key, value)
    }

    pub fn bytes(&self) -> usize {
        self.begun.bytes() + self.ends.bytes()
    }

    pub fn given_up(&self) -> u64 {
        self.ends.dropped() + self.not_watched
    }
}

impl State for Begun {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.symbol(self.subject);
        to.time(self.start);
        to.option(Some(self.end).filter(|end| *end < Time::MAX), Writer::time);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let (subject, start) = (from.symbol()?, from.time()?);
        Ok(Self { subject, start, end: from.option(Reader::time)?.unwrap_or(Time::MAX) })
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}
