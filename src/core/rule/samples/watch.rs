//! A condition over the samples of each subject at work in one shard: samples come, leave and grow, and what follows from it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rust_decimal::Decimal;

use crate::core::codec::{CorruptState, Sink, Writer};
use crate::core::event::{Event, Facts, Symbol, TextSet};
use crate::core::rule::table::{Keep, SWEPT_AT_LEAST, Table};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::{Span, Time};

use super::judge::{Change, Judge, Measure};
use super::series::Sample;
use super::watched::{Newest, Watched};

/// The state of such a rule in one shard.
#[derive(Debug)]
pub struct SampleWatch<M> {
    judge: Judge<M>,
    grace: Span,
    subjects: Table<Watched>,
    /// When to look at a subject without an event. Those that are not their subject's timer any more are void.
    timers: BinaryHeap<Reverse<(Time, Symbol)>>,
    /// The facts behind what the last passing of time has found.
    speaking: BTreeMap<Symbol, Facts>,
    /// What is kept of the newest event besides its account.
    kept: TextSet,
    given_up: u64,
    scratch: Vec<u8>,
}

impl<M: Measure> SampleWatch<M> {
    pub fn new(measure: M, grace: Span) -> Self {
        Self {
            judge: Judge::new(measure),
            grace,
            subjects: Table::default(),
            timers: BinaryHeap::new(),
            speaking: BTreeMap::new(),
            kept: TextSet::ALL,
            given_up: 0,
            scratch: Vec::new(),
        }
    }

    /// Of the newest event only these fields are told of when time alone finds something.
    #[must_use]
    pub fn keeping(mut self, kept: TextSet) -> Self {
        self.kept = kept;
        self
    }

    /// Puts in a sample of an event and judges it.
    pub fn take(
        &mut self,
        subject: Symbol,
        value: Decimal,
        event: &Event<'_>,
        moment: Moment,
        out: &mut Vec<Judged>,
    ) {
        self.speaking.clear();
        let (slot, _) = self.subjects.find_or_insert(subject);
        let Some(watched) = self.subjects.change(slot) else { return };
        let first = out.len();
        let mut say = |verdict| out.push(Judged { subject, verdict });
        pass(&mut self.judge, watched, moment.now, self.grace, &mut say);
        forget(&self.judge, watched, moment.settled);
        let before = (watched.series.folded(), watched.limit_of);
        watched.limit_of = self.judge.measure.limit_of(event);
        let known = watched.newest.as_ref().map_or(Time::MIN, Newest::time);
        if self.judge.is_restless() && event.time >= known {
            self.scratch.clear();
            Facts::encode_some(event, self.kept, &mut Writer(&mut self.scratch));
            match &mut watched.newest {
                Some(Newest(facts)) if facts.len() == self.scratch.len() => {
                    facts.copy_from_slice(&self.scratch);
                }
                newest => *newest = Some(Newest((*self.scratch).into())),
            }
        }
        self.given_up +=
            watched.series.insert(self.judge.measure.shape(), Sample { time: event.time, value });
        self.judge.arrived(watched, event.time, true, moment, say);
        let change = Change { time: event.time, old: None, new: value };
        if before != (watched.series.folded(), watched.limit_of)
            || out.len() > first
            || !keeps_timer(&self.judge, watched, &change, moment.now, self.grace)
        {
            self.set_timer(subject, slot);
        }
    }

    /// Changes the samples of a subject that is known, and judges again from `time` on. `changed`: the only one that is
    /// another now, where there is one.
    pub fn amend(
        &mut self,
        subject: Symbol,
        time: Time,
        moment: Moment,
        out: &mut Vec<Judged>,
        changed: Option<Change>,
        change: impl FnOnce(&M, &mut Watched),
    ) {
        self.speaking.clear();
        let Some(slot) = self.subjects.find(subject) else { return };
        let Some(watched) = self.subjects.change(slot) else { return };
        let first = out.len();
        let mut say = |verdict| out.push(Judged { subject, verdict });
        pass(&mut self.judge, watched, moment.now, self.grace, &mut say);
        let folded = watched.series.folded();
        change(&self.judge.measure, watched);
        self.judge.arrived(watched, time, false, moment, say);
        speak(&mut self.speaking, watched, subject, out.get(first..).unwrap_or_default());
        let keeps = |change| keeps_timer(&self.judge, watched, &change, moment.now, self.grace);
        if folded != watched.series.folded() || out.len() > first || !changed.is_some_and(keeps) {
            self.set_timer(subject, slot);
        }
    }

    pub fn measure(&self) -> &M {
        &self.judge.measure
    }

    /// A later moment is found when the timer of the earlier one rings.
    fn set_timer(&mut self, subject: Symbol, slot: u32) {
        let Some(watched) = self.subjects.touch(slot) else { return };
        let due = self.judge.next_quiet(watched) + self.grace;
        if due < watched.timer && due < Time::MAX {
            watched.timer = due;
            if self.timers.len() == self.timers.capacity() {
                // As the table does: an eighth more, not as much again.
                self.timers.reserve_exact((self.timers.len() / 8).max(4));
            }
            self.timers.push(Reverse((due, subject)));
        }
    }

    pub fn next_due(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    pub fn advance(&mut self, moment: Moment, out: &mut Vec<Judged>) {
        self.speaking.clear();
        while let Some(Reverse((due, subject))) = self.timers.peek().copied()
            && due <= moment.now
        {
            self.timers.pop();
            let Some(slot) = self.subjects.find(subject) else { continue };
            if self.subjects.at(slot).is_none_or(|watched| watched.timer != due) {
                continue;
            }
            let Some(watched) = self.subjects.change(slot) else { continue };
            watched.timer = Time::MAX;
            let first = out.len();
            self.judge.passed(watched, due - self.grace, |verdict| out.push(Judged { subject, verdict }));
            speak(&mut self.speaking, watched, subject, out.get(first..).unwrap_or_default());
            self.set_timer(subject, slot);
        }
    }

    pub fn sweep(&mut self, moment: Moment) {
        let judge = &self.judge;
        self.subjects.sweep(SWEPT_AT_LEAST, |_, watched| {
            let before = watched.series.times(judge.measure.shape()).count();
            forget(judge, watched, moment.settled);
            if watched.series.is_empty() && !watched.is_firing() {
                return Keep::Forget;
            }
            let after = watched.series.times(judge.measure.shape()).count();
            if before == after { Keep::Unchanged } else { Keep::Changed }
        });
    }

    pub fn facts(&self, subject: Symbol) -> Option<&Facts> {
        self.speaking.get(&subject)
    }

    pub fn drain_changes(&mut self, tag: u8, sink: Sink<'_>) {
        self.subjects.drain_changes(tag, sink);
    }

    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let slot = self.subjects.restore(key, value)?;
        let subject = self.subjects.key_at(slot);
        self.set_timer(subject, slot);
        Ok(())
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    pub fn bytes(&self) -> usize {
        self.subjects.bytes() + self.timers.capacity() * size_of::<Reverse<(Time, Symbol)>>()
    }

    /// Values that were not told apart because a subject has too many.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}

/// Judges what left or grew by now. Nothing does before the subject's timer that makes a condition true.
fn pass<M: Measure>(
    judge: &mut Judge<M>,
    watched: &mut Watched,
    now: Time,
    grace: Span,
    say: impl FnMut(Verdict),
) {
    if watched.is_firing() || watched.timer <= now {
        judge.passed(watched, now - grace, say);
    } else {
        watched.swept = watched.swept.max(now - grace);
    }
}

/// Whether the timer that the subject has is early enough after a change as well; nothing was said of it meanwhile.
fn keeps_timer<M: Measure>(
    judge: &Judge<M>,
    watched: &Watched,
    change: &Change,
    now: Time,
    grace: Span,
) -> bool {
    !watched.is_firing()
        && watched.timer < Time::MAX
        && watched.timer > now
        && !judge.measure.hastens(watched, change, watched.timer - grace)
}

/// Keeps the facts of a subject's newest event for what was found without one of its own.
fn speak(speaking: &mut BTreeMap<Symbol, Facts>, watched: &Watched, subject: Symbol, judged: &[Judged]) {
    let found = |judged: &Judged| matches!(judged.verdict, Verdict::Found { .. });
    if judged.iter().any(found)
        && let Some(Ok(facts)) = watched.newest.as_ref().map(Newest::facts)
    {
        speaking.insert(subject, facts);
    }
}

/// Drops what can concern no moment from `settled` on, and has been judged.
fn forget<M: Measure>(judge: &Judge<M>, watched: &mut Watched, settled: Time) {
    let shape = judge.measure.shape();
    let mut gone = settled - shape.reach;
    if judge.is_restless() || watched.is_firing() {
        gone = gone.min(watched.swept - shape.reach);
    }
    watched.settle(settled - Span::from_millis(1));
    watched.series.drop_before(shape, gone);
}
