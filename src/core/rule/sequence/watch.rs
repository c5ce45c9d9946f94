//! Patterns at work: events and findings find their place in the course of their subject, and its matches are compared
//! with those that were told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::course::{Course, Entry, Kept};
use super::matcher::{Match, Matches, matches};
use super::{Heard, Sequence, Skip};
use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::event::{Event, Facts, Symbol, TextSet};
use crate::core::rule::condition::steps::{Asked, Value};
use crate::core::rule::proposal::StepAmount;
use crate::core::rule::table::{Keep, Overheard, SWEPT_AT_LEAST, Table, Watch};
use crate::core::rule::verdict::{Evidence, Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

const SUBJECT: u8 = b's';

/// What a rule looks for among the events and findings of a subject: a pure function of them.
pub trait Pattern: Send {
    fn asked(&self) -> &Asked;

    /// Findings of other rules that count.
    fn findings(&self) -> &[Heard];

    /// The matches that the entries make. Those that time completes are judged `grace` after it.
    fn matches(&self, entries: &[Entry], now: Time, grace: Span) -> Matches;

    /// How long after an entry another one may make a match with it.
    fn reach(&self) -> Span;

    fn skip(&self) -> Skip;

    /// Whether time alone can complete a match.
    fn is_completed_by_time(&self) -> bool;

    /// Whether an event with these answers can have a part in a match, or hinder one.
    fn concerns(&self, bits: u64) -> bool;

    /// Whether an entry with these answers can begin a match.
    fn may_begin(&self, bits: u64) -> bool;

    /// How many events a match needs at least, for the evidence.
    fn least(&self) -> u32;
}

impl Pattern for Sequence {
    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn findings(&self) -> &[Heard] {
        &self.findings
    }

    fn matches(&self, entries: &[Entry], now: Time, grace: Span) -> Matches {
        matches(self, entries, now, grace)
    }

    fn reach(&self) -> Span {
        self.within
    }

    fn skip(&self) -> Skip {
        self.skip
    }

    fn is_completed_by_time(&self) -> bool {
        !self.after.is_empty()
    }

    fn concerns(&self, bits: u64) -> bool {
        self.is_strict() || self.conditions().any(|condition| condition.may_hold(bits))
    }

    fn may_begin(&self, bits: u64) -> bool {
        self.steps.first().is_some_and(|step| step.when.may_hold(bits))
    }

    fn least(&self) -> u32 {
        self.steps.len() as u32
    }
}

/// The state of a rule in one shard.
#[derive(Debug)]
pub struct PatternWatch<P> {
    settings: P,
    grace: Span,
    subjects: Table<Kept>,
    /// When time alone may complete a match. Those that are not their subject's timer any more are void.
    timers: BinaryHeap<Reverse<(Time, Symbol)>>,
    /// What was paid in the matches of the last event or moment, by subject and time.
    paid: Vec<(Symbol, Time, StepAmount)>,
    given_up: u64,
    /// What is kept of an event, besides its account, where time alone may complete a match.
    kept: TextSet,
    /// The course of the subject at hand.
    course: Course,
    scratch: Vec<u8>,
}

impl<P: Pattern> PatternWatch<P> {
    pub fn new(settings: P, grace: Span, _lateness: Span) -> Self {
        Self {
            settings,
            grace,
            subjects: Table::default(),
            timers: BinaryHeap::new(),
            paid: Vec::new(),
            given_up: 0,
            kept: TextSet::ALL,
            course: Course::default(),
            scratch: Vec::new(),
        }
    }

    /// Where time alone completes a match, only these fields are told of.
    #[must_use]
    pub fn keeping(self, kept: TextSet) -> Self {
        Self { kept, ..self }
    }

    /// The encoded facts of an entry, where they are needed.
    fn facts_by(&mut self, encode: impl FnOnce(TextSet, &mut Writer<'_>)) -> Option<Box<[u8]>> {
        if !self.settings.is_completed_by_time() {
            return None;
        }
        self.scratch.clear();
        encode(self.kept, &mut Writer(&mut self.scratch));
        Some((*self.scratch).into())
    }

    /// Puts an entry into the course of its subject and says what has changed.
    fn take(&mut self, subject: Symbol, entry: Entry, moment: Moment, out: &mut Vec<Judged>) {
        let (slot, _) = self.subjects.find_or_insert(subject);
        let Some(kept) = self.subjects.at(slot) else { return };
        kept.open(&mut self.course);
        self.given_up += self.course.insert(entry);
        self.judge(subject, slot, moment, out);
    }

    /// Judges the course that is open, which is that of this subject, and closes it.
    fn judge(&mut self, subject: Symbol, slot: u32, moment: Moment, out: &mut Vec<Judged>) {
        let Self { settings, grace, subjects, timers, paid, given_up, course, scratch, .. } = self;
        let Some(kept) = subjects.change(slot) else { return };
        let Matches { found, due, given_up: no_room } =
            settings.matches(course.entries(), course.judged(moment.now, *grace), *grace);
        *given_up += no_room;
        paid.extend(found.iter().filter_map(|found| Some((subject, found.at, found.paid?))));
        if let Some(facts) = tell(settings, course, &found, subject, out) {
            kept.facts = Some(facts);
        }
        settle(settings, *grace, course, &found, moment);
        let ring = due.map_or(Time::MAX, |due| due + *grace);
        // A timer that has become too early rings in vain: to set another one each time would fill the heap.
        if ring < kept.timer {
            push(timers, (ring, subject));
            kept.timer = ring;
        }
        kept.close(course, scratch);
    }
}

/// Sets a timer. Room that is not used is a part of what a subject costs: an eighth, not as much again.
fn push(timers: &mut BinaryHeap<Reverse<(Time, Symbol)>>, timer: (Time, Symbol)) {
    if timers.len() == timers.capacity() {
        timers.reserve_exact((timers.len() / 8).max(4));
    }
    timers.push(Reverse(timer));
}

/// Says what is new among the matches and what is not there any more. Returns what the last of them is about, where time
/// alone has completed it.
fn tell(
    settings: &impl Pattern,
    course: &Course,
    found: &[Match],
    subject: Symbol,
    out: &mut Vec<Judged>,
) -> Option<Box<Facts>> {
    let floor = course.floor();
    for since in course.told() {
        if found.binary_search_by_key(since, |found| found.at).is_err() {
            out.push(Judged { subject, verdict: Verdict::Withdrawn { since: *since } });
        }
    }
    let mut facts = None;
    for found in found.iter().filter(|found| found.at >= floor) {
        if course.told().binary_search(&found.at).is_ok() {
            continue;
        }
        let evidence = Evidence {
            value: f64::from(found.events),
            limit: f64::from(settings.least()),
            samples: u64::from(found.events),
            approximate: false,
        };
        let encoded = course.entries().get(found.last).and_then(|entry| entry.facts.as_deref());
        facts = encoded.and_then(|encoded| Facts::decode(&mut Reader(encoded)).ok()).map(Box::new);
        out.push(Judged { subject, verdict: Verdict::Found { since: found.at, evidence } });
    }
    facts
}

/// Lets go of what no event can change any more.
fn settle(settings: &impl Pattern, grace: Span, course: &mut Course, found: &[Match], moment: Moment) {
    let settled = moment.settled.min(moment.now - grace);
    let mut used = 0;
    for settled in found.iter().filter(|found| found.at < settled) {
        match settings.skip() {
            Skip::NoSkip => {}
            Skip::ToNext => course.spend(settled.first),
            Skip::PastLastEvent => used = used.max(settled.last + 1),
        }
    }
    course.set_told(found.iter().map(|found| found.at).collect(), settled);
    course.drop_front(used);
    let is_over = |entry: &Entry| {
        is_over(settings, grace, settled, (entry.time, entry.bits)) || entry.spent && entry.time < settled
    };
    let over = course.entries().iter().take_while(|entry| is_over(entry)).count();
    course.drop_front(over);
}

/// Whether an entry of this time and with these answers can begin nothing more that is not settled.
fn is_over(settings: &impl Pattern, grace: Span, settled: Time, (time, bits): (Time, u64)) -> bool {
    time < settled && (time + settings.reach() + grace < settled || !settings.may_begin(bits))
}

impl<P: Pattern> Watch for PatternWatch<P> {
    fn observe(
        &mut self,
        subject: Symbol,
        starts: bool,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        self.paid.clear();
        if !starts || moment.late {
            return;
        }
        let answers =
            (0..).zip(&self.settings.asked().questions).filter(|(_, question)| question.holds(event));
        let bits = answers.fold(0, |bits, (bit, _)| bits | 1_u64 << bit);
        if !self.settings.concerns(bits) {
            return;
        }
        let values = self.settings.asked().fields.iter().map(|field| Value::of(*field, event)).collect();
        let facts = self.facts_by(|kept, to| Facts::encode_some(event, kept, to));
        let id = event.identity();
        self.take(subject, Entry { time: event.time, id, bits, values, facts, spent: false }, moment, out);
    }

    fn overhear(&mut self, subject: Symbol, heard: &Overheard<'_>, moment: Moment, out: &mut Vec<Judged>) {
        self.paid.clear();
        let of_rule = self.settings.findings().iter();
        let of_rule = of_rule.filter(|own| own.rule == heard.rule && own.opening == heard.opening);
        let bits = of_rule.fold(0, |bits, finding| bits | 1_u64 << finding.bit);
        if bits == 0 {
            return;
        }
        if heard.withdrawn {
            let Some(slot) = self.subjects.find(subject) else { return };
            if let Some(kept) = self.subjects.at(slot) {
                kept.open(&mut self.course);
            }
            if self.course.remove(heard.since, bits) {
                self.judge(subject, slot, moment, out);
            }
            return;
        }
        if heard.since < moment.settled {
            return;
        }
        let is_known = |entry: &Entry| entry.time == heard.since && entry.bits == bits;
        if let Some(kept) = self.subjects.get(subject) {
            kept.open(&mut self.course);
            if self.course.entries().iter().any(is_known) {
                return;
            }
        }
        let fields = self.settings.asked().fields.iter();
        let values = fields.map(|field| Value::of_facts(*field, heard.facts)).collect();
        let facts = self.facts_by(|kept, to| heard.facts.keeping(kept).encode(to));
        let id = Symbol::of(heard.rule);
        self.take(subject, Entry { time: heard.since, id, bits, values, facts, spent: false }, moment, out);
    }

    fn next_due(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        self.paid.clear();
        while let Some(Reverse((due, subject))) = self.timers.peek().copied()
            && due <= moment.now
        {
            self.timers.pop();
            let Some(slot) = self.subjects.find(subject) else { continue };
            if let Some(kept) = self.subjects.touch(slot).filter(|kept| kept.timer == due) {
                kept.timer = Time::MAX;
                kept.open(&mut self.course);
                self.judge(subject, slot, moment, out);
            }
        }
    }

    fn sweep(&mut self, moment: Moment) {
        let Self { settings, grace, subjects, course, scratch, .. } = self;
        let (settings, grace) = (&*settings, *grace);
        subjects.sweep(SWEPT_AT_LEAST, |_, kept| {
            if kept.timer <= moment.now {
                // Something is due that was not judged yet.
                return Keep::Unchanged;
            }
            // All but a few are at rest, and need not be matched to see it.
            let settled = moment.settled.min(moment.now - grace);
            if kept.resting().is_some_and(|first| !is_over(settings, grace, settled, first)) {
                return Keep::Unchanged;
            }
            kept.open(course);
            let before = course.extent();
            if course.entries().first().is_none_or(|first| first.time < moment.settled) {
                let found = settings.matches(course.entries(), course.judged(moment.now, grace), grace).found;
                settle(settings, grace, course, &found, moment);
            }
            if course.is_empty() {
                return Keep::Forget;
            }
            if course.extent() == before {
                return Keep::Unchanged;
            }
            kept.close(course, scratch);
            kept.shrink();
            Keep::Changed
        });
    }

    fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.subjects.get(subject)?.facts.as_deref()
    }

    fn paid(&self, subject: Symbol, since: Time) -> Option<StepAmount> {
        let of = |(of, at, _): &&(Symbol, Time, StepAmount)| *of == subject && *at == since;
        self.paid.iter().find(of).map(|(.., paid)| *paid)
    }

    fn drain_changes(&mut self, sink: Sink<'_>) {
        self.subjects.drain_changes(SUBJECT, sink);
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let Some((&SUBJECT, key)) = key.split_first() else { return Err(CorruptState) };
        let slot = self.subjects.restore(key, value)?;
        let subject = self.subjects.key_at(slot);
        let Self { settings, grace, subjects, timers, course, .. } = self;
        if let Some(kept) = subjects.touch(slot) {
            kept.open(course);
            let now = course.judged(Time::MIN, *grace);
            let due = settings.matches(course.entries(), now, *grace).due;
            if let Some(ring) = due.map(|due| due + *grace) {
                kept.timer = ring;
                push(timers, (ring, subject));
            }
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
