//! `deadline` at work: starts wait for their ends, and what is missed is found `grace` after its limit, so that
//! ordinary disorder finds nothing.

use crate::core::codec::{CorruptState, Sink, Writer};
use crate::core::event::{Event, Facts, Symbol};
use crate::core::rule::table::{Recent, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Deadline;
use super::overdue::{Left, OverdueSet};
use super::pending::{Pending, PendingSet};

/// Starts that wait in a shard. One more is not watched; it is counted.
const MOST_PENDING: usize = 1 << 22;
/// Ends that are remembered in a shard. Above it the oldest go: a start that arrives after its end by more than they
/// reach back is then taken for unended.
const MOST_RECENT: usize = 1 << 20;
/// The same where ends usually come first.
const MOST_SURE: usize = 1 << 22;
const PENDING: u8 = b'p';
const OVERDUE: u8 = b'o';
const RECENT: u8 = b'r';

/// The state of a deadline rule in one shard.
#[derive(Debug)]
pub struct DeadlineWatch {
    settings: Deadline,
    grace: Span,
    lateness: Span,
    /// How long before its start an end still meets it.
    back: Span,
    /// Nothing is awaited after a start whose end may be among those that were given up.
    only_where_sure: bool,
    pending: PendingSet,
    overdue: OverdueSet,
    /// Ends by key: for starts that arrive after them.
    ends: Recent,
    not_watched: u64,
    scratch: Vec<u8>,
}

impl DeadlineWatch {
    pub fn new(settings: Deadline, grace: Span, lateness: Span) -> Self {
        Self {
            pending: PendingSet::new(settings.within),
            settings,
            grace,
            lateness,
            back: lateness,
            only_where_sure: false,
            overdue: OverdueSet::default(),
            ends: Recent::new(MOST_RECENT),
            not_watched: 0,
            scratch: Vec::new(),
        }
    }

    /// An end meets a start that comes up to `back` after it. Where that is the usual order (`only_where_sure`), a start
    /// whose end may have been given up is not watched; it is counted.
    #[must_use]
    pub fn looking_back(self, back: Span, only_where_sure: bool) -> Self {
        let most = if only_where_sure { MOST_SURE } else { MOST_RECENT };
        Self { back: back.max(self.lateness), only_where_sure, ends: Recent::new(most), ..self }
    }

    fn limit(&self, start: Time) -> Time {
        start + self.settings.within
    }

    /// Whether an end at `end` is in time for a start at `start`.
    fn meets(&self, start: Time, end: Time) -> bool {
        start - self.back <= end && end < self.limit(start)
    }

    fn end(&mut self, key: Symbol, time: Time, moment: Moment, out: &mut Vec<Judged>) {
        let wanted = moment.settled - self.back;
        if time >= wanted {
            self.ends.mark(key, time, wanted);
        }
        if let Some(start) = self.pending.get(key).map(|pending| pending.start) {
            if self.meets(start, time) {
                self.pending.remove(key);
            } else if time >= self.limit(start) {
                self.pending.note_end(key, time);
            }
        }
        let Some((start, subject)) = self.overdue.get(key).map(|overdue| (overdue.start, overdue.subject))
        else {
            return;
        };
        let left = if self.meets(start, time) {
            let left = self.overdue.remove(key);
            if left.is_some_and(|left| !left.same_instant) {
                out.push(Judged { subject, verdict: Verdict::Withdrawn { since: self.limit(start) } });
            }
            left
        } else if time >= self.limit(start) {
            self.overdue.note_end(key, time)
        } else {
            None
        };
        resolve(subject, left, out);
    }

    fn start(&mut self, key: Symbol, subject: Symbol, event: &Event<'_>, out: &mut Vec<Judged>) {
        let time = event.time;
        if subject == Symbol::MISSING || self.is_met(key, time) {
            return;
        }
        if let Some((start, ended)) = self.overdue.get(key).map(|overdue| (overdue.start, overdue.ended)) {
            let over = ended.is_some_and(|ended| time > ended);
            if time < start {
                self.begin_earlier(key, subject, event, out);
                return;
            }
            if !over && !OverdueSet::is_given_up(self.limit(start), time) {
                return;
            }
        }
        match self.pending.get(key).map(|pending| (pending.start, pending.ended)) {
            Some((start, ended)) if time >= start => {
                // The one before ended too late and is only not judged yet.
                if time > ended
                    && let Some(pending) = self.pending.remove(key)
                {
                    self.miss(key, pending, out);
                } else {
                    return;
                }
            }
            Some(_) => {}
            None if self.pending.len() >= MOST_PENDING || self.is_unsure(time) => {
                self.not_watched += 1;
                return;
            }
            None => {}
        }
        let pending = self.pending_of(key, subject, event);
        self.pending.put(key, pending);
    }

    fn is_met(&mut self, key: Symbol, start: Time) -> bool {
        let (from, limit) = (start - self.back, self.limit(start));
        self.ends.times(key).any(|end| from <= end && end < limit)
    }

    fn is_unsure(&self, start: Time) -> bool {
        self.only_where_sure && self.ends.reaches_back_to() > start - self.back
    }

    fn pending_of(&mut self, key: Symbol, subject: Symbol, event: &Event<'_>) -> Pending {
        let limit = self.limit(event.time);
        let ended = self.ends.times(key).filter(|end| *end >= limit).min().unwrap_or(Time::MAX);
        self.scratch.clear();
        Facts::encode_event(event, &mut Writer(&mut self.scratch));
        Pending::new(event.time, subject, ended, (*self.scratch).into())
    }

    /// A start before the one that was missed: the key was missed earlier.
    fn begin_earlier(&mut self, key: Symbol, subject: Symbol, event: &Event<'_>, out: &mut Vec<Judged>) {
        let mut pending = self.pending_of(key, subject, event);
        let Some(before) =
            self.overdue.get(key).map(|overdue| (overdue.start, overdue.subject, overdue.ended))
        else {
            return;
        };
        let (start, other, ended) = before;
        pending.ended = pending.ended.min(ended.unwrap_or(Time::MAX));
        let left = self.overdue.remove(key);
        self.miss(key, pending, out);
        if left.is_some_and(|left| !left.same_instant) {
            out.push(Judged { subject: other, verdict: Verdict::Withdrawn { since: self.limit(start) } });
        }
    }

    /// Finds that a limit has passed.
    fn miss(&mut self, key: Symbol, pending: Pending, out: &mut Vec<Judged>) {
        let (subject, since) = (pending.subject, self.limit(pending.start));
        let within = self.settings.within.as_secs_f64();
        let evidence = Evidence { value: within, limit: within, samples: 1, approximate: false };
        let ended = pending.ended < Time::MAX;
        let left = self.overdue.put(key, pending);
        out.push(Judged { subject, verdict: Verdict::Found { since, evidence } });
        if ended {
            resolve(subject, Some(left), out);
        }
    }
}

fn resolve(subject: Symbol, left: Option<Left>, out: &mut Vec<Judged>) {
    if let Some(at) = left.and_then(|left| left.all_ended) {
        out.push(Judged { subject, verdict: Verdict::Resolved { at } });
    }
}

impl Watch for DeadlineWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        let ends = self.settings.end.holds(event);
        let starts = starts && !moment.late && self.settings.start.holds(event);
        let key = event.symbol(self.settings.key);
        if key == Symbol::MISSING || !(starts || ends) {
            return;
        }
        if ends {
            self.end(key, event.time, moment, out);
        }
        if starts {
            self.start(key, subject, event, out);
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.pending.earliest().map(|start| self.limit(start) + self.grace)
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        let missed = moment.now - self.grace - self.settings.within;
        while let Some((key, pending)) = self.pending.take_until(missed) {
            self.miss(key, pending, out);
        }
    }

    fn sweep(&mut self, moment: Moment) {
        self.ends.forget(moment.settled - self.back);
        self.pending.sweep();
        self.overdue.sweep(self.settings.within, self.lateness, moment.settled);
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.overdue.facts(subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.pending.drain_changes(PENDING, &mut *sink);
        self.overdue.drain_changes(OVERDUE, &mut *sink);
        self.ends.drain_changes(RECENT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&PENDING, key)) => self.pending.restore(key, value),
            Some((&OVERDUE, key)) => self.overdue.restore(key, value),
            Some((&RECENT, key)) => self.ends.restore(key, value),
            _ => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        self.pending.len() + self.overdue.subjects()
    }

    fn bytes(&self) -> usize {
        self.pending.bytes() + self.overdue.bytes() + self.ends.bytes()
    }

    fn given_up(&self) -> u64 {
        self.overdue.given_up() + self.ends.dropped() + self.not_watched
    }
}
