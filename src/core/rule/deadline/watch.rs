//! `deadline` at work: starts wait for their ends, and what is missed is found `grace` after its limit, so that
//! ordinary disorder finds nothing.

use crate::core::codec::{CorruptState, Sink, Writer};
use crate::core::event::{Event, Facts, Symbol, TextSet, TypeSet};
use crate::core::rule::table::{Recent, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Deadline;
use super::beginnings::Beginnings;
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
    /// Where ends usually come first: nothing is missed of a key whose end may be among those that are not known.
    beginnings: Option<Beginnings>,
    pending: PendingSet,
    overdue: OverdueSet,
    /// Ends by key: for starts that arrive after them.
    ends: Recent,
    not_watched: u64,
    /// What is kept of a start besides its account.
    kept: TextSet,
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
            beginnings: None,
            overdue: OverdueSet::default(),
            ends: Recent::new(MOST_RECENT),
            not_watched: 0,
            kept: TextSet::ALL,
            scratch: Vec::new(),
        }
    }

    /// Of a start only these fields are told of when it was missed.
    #[must_use]
    pub fn keeping(self, kept: TextSet) -> Self {
        Self { kept, ..self }
    }

    /// An end meets a start that comes up to `back` after it.
    #[must_use]
    pub fn looking_back(self, back: Span) -> Self {
        Self { back: back.max(self.lateness), ..self }
    }

    /// Ends usually come first. Of a key that began out of sight, and whose end may lie there or have been given up, nothing
    /// is found; it is counted. `types`: what a key begins with.
    #[must_use]
    pub fn only_where_sure(self, types: TypeSet) -> Self {
        let beginnings = Some(Beginnings::new(types, PendingSet::new(self.settings.within)));
        Self { beginnings, ends: Recent::new(MOST_SURE), ..self }
    }

    fn limit(&self, start: Time) -> Time {
        start + self.settings.within
    }

    /// Whether an end at `end` is in time for a start at `start`.
    fn meets(&self, start: Time, end: Time) -> bool {
        start - self.back <= end && end < self.limit(start)
    }

    /// Takes note that there was an event, and says whether a key begins with it.
    fn hear(&mut self, event: &Event<'_>, moment: Moment) -> bool {
        let Some(beginnings) = &mut self.beginnings else { return false };
        if !moment.late {
            beginnings.hear(event.time);
        }
        beginnings.types.contains(event.event_type)
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
        let doubtful = self.beginnings.as_mut().map(Beginnings::doubtful);
        if let Some(start) = doubtful.and_then(|doubtful| doubtful.get(key)).map(|pending| pending.start) {
            let (met, late) = (self.meets(start, time), time >= self.limit(start));
            match self.beginnings.as_mut().map(Beginnings::doubtful) {
                Some(doubtful) if met => drop(doubtful.remove(key)),
                Some(doubtful) if late => doubtful.note_end(key, time),
                _ => {}
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

    /// A key begins. What is looked back on from its starts on need not all be known.
    fn begin(&mut self, key: Symbol, time: Time, moment: Moment, out: &mut Vec<Judged>) {
        if !self.is_unsure(time) {
            return;
        }
        let wanted = moment.settled - self.back;
        let doubtful = self.beginnings.as_mut().and_then(|beginnings| beginnings.began(key, time, wanted));
        if let Some(pending) = doubtful {
            self.judge(key, pending, moment, out);
        }
    }

    fn start(
        &mut self,
        key: Symbol,
        subject: Symbol,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
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
        if let Some(beginnings) = &mut self.beginnings
            && beginnings.starts(key, time)
        {
            return;
        }
        match self.pending.get(key).map(|pending| (pending.start, pending.ended)) {
            Some((start, ended)) if time >= start => {
                // The one before ended too late and is only not judged yet.
                if time > ended
                    && let Some(pending) = self.pending.remove(key)
                {
                    self.judge(key, pending, moment, out);
                } else {
                    return;
                }
            }
            Some(_) => {}
            None if self.pending.len() >= MOST_PENDING => {
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

    /// Whether an end that would meet a start at this time may be one that is not known.
    fn is_unsure(&self, start: Time) -> bool {
        let Some(beginnings) = &self.beginnings else { return false };
        self.ends.reaches_back_to().max(beginnings.first()) > start - self.back
    }

    /// Whether the end of a key that starts at this time may be one that is not known.
    fn is_doubtful(&mut self, key: Symbol, start: Time) -> bool {
        let reach = self.ends.reaches_back_to();
        let unsure = self.is_unsure(start);
        self.beginnings.as_mut().is_some_and(|beginnings| unsure && !beginnings.is_known(key, reach, start))
    }

    /// A limit has passed. Where the end may be one that is not known, what the key began with may still arrive.
    fn judge(&mut self, key: Symbol, pending: Pending, moment: Moment, out: &mut Vec<Judged>) {
        if !self.is_doubtful(key, pending.start) {
            return self.miss(key, pending, out);
        }
        match &mut self.beginnings {
            Some(beginnings) if pending.start >= moment.settled => beginnings.doubt(key, pending),
            _ => self.not_watched += 1,
        }
    }

    fn pending_of(&mut self, key: Symbol, subject: Symbol, event: &Event<'_>) -> Pending {
        let limit = self.limit(event.time);
        let ended = self.ends.times(key).filter(|end| *end >= limit).min().unwrap_or(Time::MAX);
        self.scratch.clear();
        Facts::encode_some(event, self.kept, &mut Writer(&mut self.scratch));
        Pending::new(event.time, subject, ended, (*self.scratch).into())
    }

    /// A start before the one that was missed: the key was missed earlier.
    fn begin_earlier(&mut self, key: Symbol, subject: Symbol, event: &Event<'_>, out: &mut Vec<Judged>) {
        if self.is_doubtful(key, event.time) {
            return;
        }
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
        let begins = self.hear(event, moment);
        if key == Symbol::MISSING || !(starts || ends || begins) {
            return;
        }
        if begins {
            self.begin(key, event.time, moment, out);
        }
        if ends {
            self.end(key, event.time, moment, out);
        }
        if starts {
            self.start(key, subject, event, moment, out);
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.pending.earliest().map(|start| self.limit(start) + self.grace)
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        let missed = moment.now - self.grace - self.settings.within;
        while let Some((key, pending)) = self.pending.take_until(missed) {
            self.judge(key, pending, moment, out);
        }
    }

    fn sweep(&mut self, moment: Moment) {
        self.ends.forget(moment.settled - self.back);
        if let Some(beginnings) = &mut self.beginnings {
            self.not_watched += beginnings.sweep(moment.settled, moment.settled - self.back);
        }
        self.pending.sweep();
        self.overdue.sweep(self.settings.within, self.lateness, moment.settled);
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.overdue.facts(subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.pending.drain_changes(PENDING, &mut *sink);
        self.overdue.drain_changes(OVERDUE, &mut *sink);
        self.ends.drain_changes(RECENT, &mut *sink);
        if let Some(beginnings) = &mut self.beginnings {
            beginnings.drain_changes(sink);
        }
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        match key.split_first() {
            Some((&PENDING, key)) => self.pending.restore(key, value),
            Some((&OVERDUE, key)) => self.overdue.restore(key, value),
            Some((&RECENT, key)) => self.ends.restore(key, value),
            Some((tag, key)) => self.beginnings.as_mut().ok_or(CorruptState)?.restore(*tag, key, value),
            None => Err(CorruptState),
        }
    }

    fn subjects(&self) -> usize {
        let doubtful = self.beginnings.as_ref().map_or(0, Beginnings::subjects);
        self.pending.len() + self.overdue.subjects() + doubtful
    }

    fn bytes(&self) -> usize {
        let beginnings = self.beginnings.as_ref().map_or(0, Beginnings::bytes);
        self.pending.bytes() + self.overdue.bytes() + self.ends.bytes() + beginnings
    }

    fn given_up(&self) -> u64 {
        let beginnings = self.beginnings.as_ref().map_or(0, Beginnings::dropped);
        self.overdue.given_up() + self.ends.dropped() + beginnings + self.not_watched
    }

    fn know_all(&mut self) {
        if let Some(beginnings) = &mut self.beginnings {
            beginnings.know_all();
        }
    }
}
