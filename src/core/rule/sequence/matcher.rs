//! Which matches the kept events of a subject make: a pure function of them and of the time.
//!
//! Every event that fits the first step begins a run; runs take events, branch where the rule allows it, and end by being
//! complete, by what must not happen, or by `within`.

use super::course::Entry;
use super::{Guard, Paid, Sequence, Skip, Step, Then};
use crate::core::event::Symbol;
use crate::core::rule::condition::steps::{End, Source, StepCondition, Value};
use crate::core::rule::proposal::StepAmount;
use crate::core::time::{Span, Time};

/// Runs that one subject may have at a time. Above it none begins or branches.
const MOST_RUNS: usize = 64;

/// A match: when it was complete, and which of the events began and ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub at: Time,
    pub first: usize,
    pub last: usize,
    pub events: u32,
    /// What the rule's compensation is a share of.
    pub paid: Option<StepAmount>,
}

/// What the events make.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// By time; of those of one instant the one that began first.
    pub found: Vec<Match>,
    /// When a match may be completed by time alone.
    pub due: Option<Time>,
    /// Runs that did not find room.
    pub given_up: u64,
}

/// A match in the making.
#[derive(Clone, Debug)]
struct Run {
    /// The step whose events are being taken, all before it being complete.
    step: usize,
    /// Of that step.
    count: u32,
    /// Of each step so far, the first and the last of its events; [`None`] for one that was left out.
    taken: Vec<Option<(usize, usize)>>,
    /// The values that the step's events have shown, for each of its `distinct`.
    seen: Vec<Vec<Value>>,
    first: usize,
    last: usize,
    events: u32,
    /// Nothing is missing but time.
    waits: bool,
}

/// Finds the matches. Those that time completes are judged `grace` after it.
pub fn matches(sequence: &Sequence, entries: &[Entry], now: Time, grace: Span) -> Matches {
    let mut matcher = Matcher { sequence, entries, runs: Vec::new(), found: Vec::new(), given_up: 0 };
    for at in 0..entries.len() {
        matcher.take(at, now, grace);
    }
    matcher.expire(Time::MAX, now, grace);
    let waiting = matcher.runs.iter().filter(|run| run.waits);
    let due = waiting.filter_map(|run| matcher.deadline(run)).min();
    matcher.found.sort_by_key(|found| (found.at, found.first));
    matcher.found.dedup_by_key(|found| found.at);
    Matches { found: matcher.found, due, given_up: matcher.given_up }
}

struct Matcher<'a> {
    sequence: &'a Sequence,
    entries: &'a [Entry],
    runs: Vec<Run>,
    found: Vec<Match>,
    given_up: u64,
}

impl Matcher<'_> {
    fn deadline(&self, run: &Run) -> Option<Time> {
        Some(self.entries.get(run.first)?.time + self.sequence.within)
    }

    fn take(&mut self, at: usize, now: Time, grace: Span) {
        let Some(entry) = self.entries.get(at) else { return };
        self.expire(entry.time, now, grace);
        let mut complete = Vec::new();
        let mut next = Vec::with_capacity(self.runs.len() + 1);
        let runs = std::mem::take(&mut self.runs);
        for run in runs {
            if self.deadline(&run).is_some_and(|deadline| deadline <= entry.time) {
                // Complete but for its grace; what comes after the deadline can't hinder it.
                next.extend(run.waits.then_some(run));
                continue;
            }
            self.offer(run, at, &mut next, &mut complete);
        }
        if let Some(run) = (!entry.spent).then(|| self.begin(at)).flatten() {
            self.settle_in(run, &mut next, &mut complete);
        }
        self.given_up += next.len().saturating_sub(MOST_RUNS) as u64;
        next.truncate(MOST_RUNS);
        self.runs = next;
        complete.sort_by_key(|run| run.first);
        for run in complete {
            self.complete(&run, entry.time);
        }
    }

    /// Runs whose time is over: complete, if nothing was missing but time.
    fn expire(&mut self, time: Time, now: Time, grace: Span) {
        loop {
            let over = |run: &&Run| {
                run.waits && self.deadline(run).is_some_and(|due| due <= time && due + grace <= now)
            };
            let first = self.runs.iter().filter(over).min_by_key(|run| (self.deadline(run), run.first));
            let Some(run) = first.cloned() else { return };
            let Some(deadline) = self.deadline(&run) else { return };
            self.runs.retain(|other| other.first != run.first || other.last != run.last || !other.waits);
            self.complete(&run, deadline);
        }
    }

    fn complete(&mut self, run: &Run, at: Time) {
        let is_void = match self.sequence.skip {
            Skip::NoSkip => false,
            // An earlier match of the same event has taken what this one would be made of.
            Skip::ToNext => self.found.iter().any(|found| found.first == run.first),
            Skip::PastLastEvent => self.found.iter().any(|found| run.first <= found.last),
        };
        if is_void {
            return;
        }
        let paid = self.paid(run);
        self.found.push(Match { at, first: run.first, last: run.last, events: run.events, paid });
        match self.sequence.skip {
            Skip::NoSkip => {}
            Skip::ToNext => self.runs.retain(|other| other.first != run.first),
            Skip::PastLastEvent => self.runs.retain(|other| other.first > run.last),
        }
    }

    fn paid(&self, run: &Run) -> Option<StepAmount> {
        let Paid { step, end, amount, currency } = self.sequence.paid?;
        let value = |field| self.value(run, Source { step: Some((step, end)), field }, run.last);
        Some(StepAmount {
            amount: if let Value::Number(amount) = value(amount) { Some(amount) } else { None },
            currency: if let Value::Text(currency) = value(currency) { currency } else { Symbol::MISSING },
        })
    }

    fn begin(&self, at: usize) -> Option<Run> {
        let blank = Run {
            step: 0,
            count: 0,
            taken: Vec::new(),
            seen: Vec::new(),
            first: at,
            last: at,
            events: 0,
            waits: false,
        };
        let step = self.sequence.steps.first()?;
        self.fits(&step.when, &blank, at).then(|| self.advanced(&blank, 0, at))
    }

    /// Shows an event to a run: what becomes of it goes to `next`, or to `complete`.
    fn offer(&self, run: Run, at: usize, next: &mut Vec<Run>, complete: &mut Vec<Run>) {
        let follows = at == run.last + 1;
        if run.waits {
            if !self.is_hindered(&self.sequence.after, &run, at, follows) {
                next.push(run);
            }
            return;
        }
        let Some(step) = self.sequence.steps.get(run.step) else { return };
        let (mut taken, mut stays) = (false, false);
        if self.is_whole(&run, step) {
            for (place, target) in self.sequence.steps.iter().enumerate().skip(run.step + 1) {
                if self.is_hindered(&target.guards, &run, at, follows) {
                    return;
                }
                let near = follows || target.then != Then::Next;
                stays |= target.then != Then::Next;
                if near && self.fits(&target.when, &run, at) {
                    taken = true;
                    self.settle_in(self.advanced(&run, place, at), next, complete);
                    stays = target.then == Then::FollowedByAny;
                    break;
                }
                if !target.optional {
                    break;
                }
            }
        }
        if step.times.has_room_after(run.count) {
            let near = follows || step.then != Then::Next;
            if near && self.fits(&step.when, &run, at) {
                taken = true;
                self.settle_in(self.repeated(&run, step, at), next, complete);
                stays |= step.then == Then::FollowedByAny;
            } else {
                stays |= step.then != Then::Next;
            }
        }
        if stays && (!taken || self.branches(&run)) {
            next.push(run);
        }
    }

    /// Whether a run also goes on without an event that fits.
    fn branches(&self, run: &Run) -> bool {
        let is_any = |place: usize| {
            self.sequence.steps.get(place).is_some_and(|step| step.then == Then::FollowedByAny)
        };
        is_any(run.step) || is_any(run.step + 1)
    }

    /// A run that has just taken an event goes on, waits for time to pass, or is complete.
    fn settle_in(&self, mut run: Run, next: &mut Vec<Run>, complete: &mut Vec<Run>) {
        let Some(step) = self.sequence.steps.get(run.step) else { return };
        let is_last = run.step + 1 == self.sequence.steps.len();
        if !is_last || !self.is_whole(&run, step) {
            next.push(run);
            return;
        }
        if !self.sequence.after.is_empty() {
            run.waits = true;
            next.push(run);
            return;
        }
        if self.sequence.skip == Skip::NoSkip && step.times.has_room_after(run.count) {
            next.push(run.clone());
        }
        complete.push(run);
    }

    fn advanced(&self, run: &Run, place: usize, at: usize) -> Run {
        let mut run = run.clone();
        run.taken.resize(place, None);
        run.taken.push(Some((at, at)));
        run.step = place;
        run.count = 1;
        run.events += 1;
        run.last = at;
        run.seen.clear();
        if let Some(step) = self.sequence.steps.get(place) {
            run.seen.resize(step.distinct.len(), Vec::new());
            self.see(&mut run, step, at);
        }
        run
    }

    fn repeated(&self, run: &Run, step: &Step, at: usize) -> Run {
        let mut run = run.clone();
        run.count += 1;
        run.events += 1;
        run.last = at;
        if let Some(Some((_, last))) = run.taken.last_mut() {
            *last = at;
        }
        self.see(&mut run, step, at);
        run
    }

    fn see(&self, run: &mut Run, step: &Step, at: usize) {
        let Some(entry) = self.entries.get(at) else { return };
        for (seen, distinct) in run.seen.iter_mut().zip(&step.distinct) {
            let value = entry.values.get(usize::from(distinct.field)).copied().unwrap_or_default();
            if value != Value::Missing && !seen.contains(&value) {
                seen.push(value);
            }
        }
    }

    /// Whether a run has enough of the events of the step that it is at.
    fn is_whole(&self, run: &Run, step: &Step) -> bool {
        let distinct = run.seen.iter().zip(&step.distinct);
        run.count >= step.times.least
            && distinct.into_iter().all(|(seen, distinct)| distinct.values.holds(seen.len()))
    }

    fn is_hindered(&self, guards: &[Guard], run: &Run, at: usize, follows: bool) -> bool {
        guards.iter().any(|guard| (follows || !guard.next) && self.fits(&guard.when, run, at))
    }

    fn fits(&self, condition: &StepCondition, run: &Run, at: usize) -> bool {
        let Some(entry) = self.entries.get(at) else { return false };
        condition.holds(entry.bits, &|source| self.value(run, source, at))
    }

    /// A value of the event at a place, or of an earlier one of the run.
    fn value(&self, run: &Run, source: Source, at: usize) -> Value {
        let place = match source.step {
            None => Some(at),
            Some((step, end)) => {
                let taken = run.taken.get(usize::from(step)).copied().flatten();
                taken.map(|(first, last)| if end == End::First { first } else { last })
            }
        };
        let entry = place.and_then(|place| self.entries.get(place));
        entry.and_then(|entry| entry.values.get(usize::from(source.field)).copied()).unwrap_or_default()
    }
}
