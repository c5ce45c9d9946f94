//! Too few different values: what each event means for its subject, and what comes true when nothing happens.
//!
//! Findings are the moments at which a value leaves and too few are left (or at which a subject with too few has been
//! there for a whole window), and the events between that and the end: the event that brings enough, or the moment at
//! which the window is empty. What is silent altogether has nothing to count; that is for a flatline to find.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Event, Facts, Symbol, TextField};
use crate::core::rule::frequency::DistinctValues;
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::Cardinality;
use super::segments::{Segment, segments, values_at};
use super::shown::{Entry, Shown};

const SUBJECT: u8 = b's';

/// The state of a rule with `below` in one shard.
#[derive(Debug)]
pub struct BelowWatch {
    settings: Cardinality,
    group: Vec<TextField>,
    subjects: Table<Shown>,
    judge: Judge,
    timers: BinaryHeap<Reverse<(Time, Symbol)>>,
    /// The subjects of the findings that were made by time passing just now.
    facts: BTreeMap<Symbol, Facts>,
    given_up: u64,
}

#[derive(Debug)]
struct Judge {
    window: Span,
    grace: Span,
    seen: DistinctValues,
    segments: Vec<Segment>,
}

/// What is looked at again.
#[derive(Clone, Copy)]
struct Review {
    /// Nothing has changed before.
    from: Time,
    /// When the event at hand was shown; it is found each time.
    arrival: Option<Time>,
    /// What came true up to here is said.
    until: Time,
}

impl BelowWatch {
    pub fn new(settings: &Cardinality, group: &[TextField], grace: Span) -> Self {
        let judge =
            Judge { window: settings.window, grace, seen: DistinctValues::default(), segments: Vec::new() };
        Self {
            settings: settings.clone(),
            group: group.to_vec(),
            subjects: Table::default(),
            judge,
            timers: BinaryHeap::new(),
            facts: BTreeMap::new(),
            given_up: 0,
        }
    }
}

/// The facts of a subject, without what differs from event to event.
fn facts_of(group: &[TextField], event: &Event<'_>) -> Box<[u8]> {
    let mut facts = Facts::of(event);
    facts.texts = facts.texts.iter().filter(|(field, _)| group.contains(field)).cloned().collect();
    (facts.amount, facts.quantity) = (None, None);
    let mut encoded = Vec::new();
    facts.encode(&mut Writer(&mut encoded));
    encoded.into()
}

impl Judge {
    /// Says what has changed from a moment on, and sets the timer for what comes next.
    fn review(&mut self, shown: &mut Shown, review: Review, mut say: impl FnMut(Verdict)) {
        let mut stretches = std::mem::take(&mut self.segments);
        segments(shown, review.from, self.window, &mut self.seen, &mut stretches);
        let withdrew = withdraw(shown, &stretches, review.from, &mut say);
        let mut next = Time::MAX;
        // Whether the trouble that the walk is in was told.
        let mut told = stretches
            .first()
            .and_then(|stretch| stretch.trouble_before(review.from))
            .is_some_and(|moment| moment <= shown.judged || shown.is_found(moment));
        // It is over by now, though it is too early to say so.
        let mut ending = false;
        for stretch in &stretches {
            if stretch.time >= review.from {
                if stretch.few {
                    let again = review.arrival == Some(stretch.time);
                    told =
                        self.tell(shown, stretch.time, told || stretch.time <= review.until, again, &mut say);
                    if !told {
                        next = next.min(stretch.time);
                    }
                } else {
                    if told {
                        end(shown, stretch.time, true, &mut say);
                    }
                    told = false;
                }
            }
            if let Some(begin) = stretch.begin.filter(|begin| *begin >= review.from) {
                told = self.tell(shown, begin, begin <= review.until, false, &mut say);
                if !told {
                    next = next.min(begin);
                }
            }
            if stretch.silent && told {
                if stretch.end <= review.until {
                    end(shown, stretch.end, false, &mut say);
                } else {
                    next = next.min(stretch.end);
                    ending = true;
                }
            }
            told &= !stretch.silent;
        }
        if withdrew && !told && !ending {
            // What stood is not true.
            end(shown, review.arrival.unwrap_or(review.from), true, &mut say);
        }
        self.segments = stretches;
        if next < Time::MAX {
            shown.timer = shown.timer.min(next + self.grace);
        }
    }

    /// Says what was found at a moment, if it is time for that and it was not said before. Returns whether it is said.
    fn tell(
        &mut self,
        shown: &mut Shown,
        since: Time,
        due: bool,
        again: bool,
        say: &mut impl FnMut(Verdict),
    ) -> bool {
        let before = shown.is_found(since);
        if before && !again {
            return true;
        }
        if !before && !due {
            return false;
        }
        let value = values_at(shown, since, self.window, &mut self.seen);
        shown.set_found(since, true);
        shown.open = true;
        let (value, limit, samples) = (value as f64, f64::from(shown.limit), value as u64);
        say(Verdict::Found { since, evidence: Evidence { value, limit, samples, approximate: false } });
        true
    }
}

/// Takes back what was found from a moment on and is not true. Returns whether there was any.
fn withdraw(shown: &mut Shown, stretches: &[Segment], from: Time, say: &mut impl FnMut(Verdict)) -> bool {
    let holds = |time: Time| {
        stretches.iter().any(|stretch| stretch.begin == Some(time) || stretch.few && stretch.time == time)
    };
    let wrong = |entry: &&Entry| entry.time() >= from && entry.is_found() && !holds(entry.time());
    let mut any = false;
    while let Some(since) = shown.entries.iter().find(wrong).map(Entry::time) {
        shown.set_found(since, false);
        say(Verdict::Withdrawn { since });
        any = true;
    }
    any
}

/// Says that the trouble is over, unless it has come back since.
fn end(shown: &mut Shown, at: Time, healthy: bool, say: &mut impl FnMut(Verdict)) {
    if shown.open && shown.last_found() <= at {
        shown.open = false;
        say(Verdict::Cleared { at, healthy });
    }
}

impl Watch for BelowWatch {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        self.facts.clear();
        let value = event.symbol(self.settings.field);
        if !starts || moment.late || value == Symbol::MISSING {
            return;
        }
        let (slot, is_new) = self.subjects.find_or_insert(subject);
        let Some(shown) = self.subjects.change(slot) else { return };
        if is_new {
            shown.facts = facts_of(&self.group, event);
            shown.limit = self.settings.limit.of(event);
        }
        let (window, until, timer) = (self.judge.window, moment.now - self.judge.grace, shown.timer);
        if timer > moment.now {
            shown.judged = shown.judged.max(until);
        }
        let horizon = moment.settled.min(shown.judged);
        self.given_up += shown.make_room(horizon, window, &mut self.judge.seen);
        if event.time <= shown.last {
            self.given_up += 1;
            return;
        }
        shown.insert(event.time, value);
        // What is due goes first, though time has not been let pass up to here.
        let is_due = shown.timer <= moment.now;
        let from = if is_due { event.time.min(shown.judged + Span::from_millis(1)) } else { event.time };
        if is_due {
            shown.timer = Time::MAX;
        }
        let review = Review { from, arrival: Some(event.time), until };
        self.judge.review(shown, review, |verdict| out.push(Judged { subject, verdict }));
        if is_due {
            shown.judged = shown.judged.max(until);
        }
        if shown.timer != timer && shown.timer < Time::MAX {
            self.timers.push(Reverse((shown.timer, subject)));
        }
    }

    fn next_due(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        self.facts.clear();
        while let Some(Reverse((due, subject))) = self.timers.peek().copied()
            && due <= moment.now
        {
            self.timers.pop();
            let Some(slot) = self.subjects.find(subject) else { continue };
            if self.subjects.at(slot).is_none_or(|shown| shown.timer != due) {
                continue;
            }
            let Some(shown) = self.subjects.change(slot) else { continue };
            shown.timer = Time::MAX;
            let until = moment.now - self.judge.grace;
            let review = Review { from: shown.judged + Span::from_millis(1), arrival: None, until };
            let before = out.len();
            self.judge.review(shown, review, |verdict| out.push(Judged { subject, verdict }));
            shown.judged = shown.judged.max(until);
            if shown.timer < Time::MAX {
                self.timers.push(Reverse((shown.timer, subject)));
            }
            if out.len() > before
                && let Ok(facts) = Facts::decode(&mut Reader(&shown.facts))
            {
                self.facts.insert(subject, facts);
            }
        }
    }

    fn sweep(&mut self, moment: Moment) {
        let Judge { window, grace, seen, .. } = &mut self.judge;
        let (window, until) = (*window, moment.now - *grace);
        self.subjects.sweep(SWEPT_AT_LEAST, |_, shown| {
            let judged = if shown.timer > moment.now { shown.judged.max(until) } else { shown.judged };
            let horizon = moment.settled.min(judged);
            if shown.newest().max(shown.last) <= horizon - window && !shown.open && shown.timer == Time::MAX {
                return Keep::Forget;
            }
            let before = shown.entries.len();
            shown.settle(horizon, window, seen);
            shown.entries.shrink();
            if shown.entries.len() == before {
                return Keep::Unchanged;
            }
            shown.judged = judged;
            Keep::Changed
        });
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.facts.get(&subject)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.subjects.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let Some((&SUBJECT, key)) = key.split_first() else { return Err(CorruptState) };
        let slot = self.subjects.restore(key, value)?;
        let subject = self.subjects.key_at(slot);
        if let Some(shown) = self.subjects.at(slot).filter(|shown| shown.timer < Time::MAX) {
            self.timers.push(Reverse((shown.timer, subject)));
        }
        Ok(())
    }

    fn subjects(&self) -> usize {
        self.subjects.len()
    }

    fn bytes(&self) -> usize {
        self.subjects.bytes() + self.timers.capacity() * size_of::<Reverse<(Time, Symbol)>>()
    }

    fn given_up(&self) -> u64 {
        self.given_up
    }
}
