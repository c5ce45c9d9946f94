//! `frequency` at work: which events count or clear, and when a condition that nothing feeds any more has ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::core::codec::{CorruptState, Sink};
use crate::core::event::{Event, Symbol};
use crate::core::rule::table::{Keep, Recent, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Frequency;
use super::judge::{Arrival, Judge};
use super::window::Window;

/// Successes that are remembered for subjects without state. Above it the oldest go: an event that comes out of order
/// by more than they reach back may then be counted although a success followed it.
const MOST_RECENT: usize = 1 << 20;
const SUBJECT: u8 = b's';
const RECENT: u8 = b'r';

/// The state of a frequency rule in one shard.
#[derive(Debug)]
pub struct FrequencyWatch {
    settings: Frequency,
    grace: Span,
    judge: Judge,
    windows: Table<Window>,
    recent: Recent,
    /// When to look whether a subject's condition has ended. Those that are not their window's timer any more are void;
    /// a window whose condition goes on is looked at again.
    timers: BinaryHeap<Reverse<(Time, Symbol)>>,
}

impl FrequencyWatch {
    pub fn new(settings: Frequency, grace: Span, _lateness: Span) -> Self {
        Self {
            judge: Judge::new(&settings),
            settings,
            grace,
            windows: Table::default(),
            recent: Recent::new(MOST_RECENT),
            timers: BinaryHeap::new(),
        }
    }

    /// What the event stands for in a count; [`None`]: it doesn't count.
    fn counted(&self, starts: bool, event: &Event<'_>, moment: Moment) -> Option<Symbol> {
        if !starts || moment.late || !self.settings.count.holds(event) {
            return None;
        }
        match self.settings.distinct {
            None => Some(Symbol::MISSING),
            Some(field) => Some(event.symbol(field)).filter(|value| *value != Symbol::MISSING),
        }
    }

    /// The slot of the subject's window, unless an `unless` has nothing to clear.
    fn slot(&mut self, subject: Symbol, counts: bool, time: Time, moment: Moment) -> Option<u32> {
        if !counts {
            let slot = self.windows.find(subject);
            if slot.is_none() && !moment.late {
                self.recent.mark(subject, time, moment.settled);
            }
            return slot;
        }
        let (slot, _) = self.windows.find_or_insert(subject);
        if time <= self.recent.newest() {
            // It may come after a success that found nothing to clear then.
            let window = self.windows.change(slot)?;
            for cleared in self.recent.times(subject).filter(|cleared| *cleared >= time) {
                self.judge.unless(window, cleared, moment.settled);
            }
        }
        Some(slot)
    }
}

impl Watch for FrequencyWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        let clears = self.settings.unless.as_ref().is_some_and(|unless| unless.holds(event));
        let counted = self.counted(starts, event, moment);
        if !clears && counted.is_none() {
            return;
        }
        self.judge.take_limits(&self.settings, event);
        let Some(slot) = self.slot(subject, counted.is_some(), event.time, moment) else { return };
        let Some(window) = self.windows.change(slot) else { return };
        let judge = &mut self.judge;
        judge.drop_past(window, moment.settled);
        if clears {
            judge.unless(window, event.time, moment.settled);
        }
        if let Some(value) = counted {
            judge.count(window, event.time, value, moment.settled);
        }
        let arrival = Arrival {
            time: event.time,
            counts: counted.is_some(),
            clears,
            late: moment.late,
            settled: moment.settled,
        };
        judge.judge(window, arrival, |verdict| out.push(Judged { subject, verdict }));
        let due = window.until + self.grace;
        // A later end is met when the timer of the earlier one rings.
        if window.is_firing() && due < window.timer {
            window.timer = due;
            self.timers.push(Reverse((due, subject)));
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        while let Some(Reverse((due, subject))) = self.timers.peek().copied()
            && due <= moment.now
        {
            self.timers.pop();
            let Some(slot) = self.windows.find(subject) else { continue };
            let Some(window) = self.windows.touch(slot).filter(|window| window.timer == due) else {
                continue;
            };
            let until = window.until;
            window.timer = Time::MAX;
            if !window.is_firing() {
                continue;
            }
            if until + self.grace > due {
                window.timer = until + self.grace;
                self.timers.push(Reverse((window.timer, subject)));
                continue;
            }
            if let Some(window) = self.windows.change(slot) {
                window.stop();
            }
            out.push(Judged { subject, verdict: Verdict::Cleared { at: until, healthy: false } });
        }
    }

    fn sweep(&mut self, moment: Moment) {
        self.recent.forget(moment.settled);
        let judge = &self.judge;
        self.windows.sweep(SWEPT_AT_LEAST, |_, window| {
            let before = window.len();
            judge.forget(window, moment.settled);
            if window.is_empty() && !window.is_firing() {
                return Keep::Forget;
            }
            window.shrink();
            if window.len() == before { Keep::Unchanged } else { Keep::Changed }
        });
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.windows.drain_changes(SUBJECT, &mut *sink);
        self.recent.drain_changes(RECENT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&SUBJECT, key)) => {
                let slot = self.windows.restore(key, value)?;
                let subject = self.windows.key_at(slot);
                if let Some(window) = self.windows.touch(slot).filter(|window| window.is_firing()) {
                    window.timer = window.until + self.grace;
                    self.timers.push(Reverse((window.timer, subject)));
                }
                Ok(())
            }
            Some((&RECENT, key)) => self.recent.restore(key, value),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.windows.len()
    }

    fn bytes(&self) -> usize {
        self.windows.bytes()
            + self.recent.bytes()
            + self.timers.capacity() * size_of::<Reverse<(Time, Symbol)>>()
    }

    fn given_up(&self) -> u64 {
        self.judge.given_up() + self.recent.dropped()
    }
}
