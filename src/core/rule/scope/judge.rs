//! The owner's side of a rule that spans partitions: adds the shards' sums up and judges each step once every shard has
//! passed it.
//!
//! A step is judged for all subjects together, since which slice is the ticket depends on the others. When a late event
//! changes a sum, the steps from there on are judged again, from the state that held before, and what differs is said:
//! once nothing can change any more, what was found is what judging each step once would have found.

mod checkpoint;
mod questions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashMap;

use super::aggregate::{Aggregate, Judgeable};
use super::catalog::{Shelf, Standing};
use super::identity::SymbolHash;
use super::ratio::Test;
use super::slices::{Chosen, Selection, Spans, State, View, select};
use super::steps::Steps;
use super::summed::Summed;
use super::{Expected, Partial, edge_of, in_group, key_of, slice_key, subject_fields};
use crate::core::calendar::Measure;
use crate::core::effect::Subject;
use crate::core::event::{Event, Symbol, TextField};
use crate::core::rule::verdict::{Judged, Verdict};
use crate::core::rule::{Detect, Rule};
use crate::core::time::{Span, Time};

/// More subjects than this are not judged in a rule, and that is counted.
const MOST_SUBJECTS: usize = 100_000;
/// So many judged steps are remembered at most; it is reached only if time never settles.
const MOST_STEPS: usize = 4_096;
/// A subject that nobody listed and that has been silent this long, or twenty windows, is no longer expected.
pub const EXPECTED_FOR: Span = Span::from_mins(7 * 24 * 60);

/// The judgement of one rule.
#[derive(Debug)]
pub struct ScopeJudge {
    test: Test,
    groups: Vec<Vec<TextField>>,
    steps: Steps,
    /// In whose time the window is measured.
    calendar: Option<Measure>,
    spans: Spans,
    grace: Span,
    expectation: Expectation,
    /// For so many steps back events are remembered to tell when trouble began.
    remembered: i64,
    /// Boxed, so that little is moved when the table grows and a subject is judged.
    subjects: HashMap<Symbol, Box<Aggregate>, SymbolHash>,
    /// What the catalog says of them, where it says what is expected.
    shelves: BTreeMap<Symbol, Shelf>,
    unsaved_shelves: BTreeSet<Symbol>,
    saved_shelves: BTreeSet<Symbol>,
    /// At which step each subject is looked at next.
    agenda: BTreeSet<(i64, Symbol)>,
    /// Subjects that fire or fired at a step that is not final.
    firing: BTreeSet<Symbol>,
    /// The last step that was judged, and the first that was ever passed.
    judged: Option<i64>,
    started: Option<i64>,
    /// The first step that can still change.
    settled: i64,
    /// What was said of the steps that can still change, and of the last one that can't.
    outcomes: VecDeque<Outcome>,
    beyond_bound: u64,
    removed: Vec<Symbol>,
    /// The subjects that the present judgement looked at.
    visited: Vec<Symbol>,
    unsaved: bool,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expectation {
    /// Nothing is expected of a subject.
    Nothing,
    /// Subjects that were seen, for so many steps after their last event.
    Seen(i64),
    /// These, from the start.
    Listed,
    /// What the catalog says is in stock, until it says otherwise.
    Catalog,
}

/// What was said of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    step: i64,
    found: Vec<Symbol>,
    ended: Vec<Symbol>,
    joined: Vec<(Symbol, Symbol)>,
    state: State,
}

impl ScopeJudge {
    /// [`None`] for a rule of another kind.
    pub fn new(rule: &Rule) -> Option<Self> {
        let test = Test::new(rule)?;
        let (steps, listed) = match (&rule.detect, test.summed()) {
            (_, Some(summed)) => (summed.frame.steps, None),
            (Detect::Ratio(ratio), _) => (Steps::new(ratio.window, edge_of(&rule.detect)), None),
            (Detect::Flatline(flatline), _) => {
                (Steps::new(flatline.window, edge_of(&rule.detect)), Some(&flatline.expect))
            }
            _ => return None,
        };
        let calendar = match &rule.detect {
            Detect::Flatline(flatline) => flatline.calendar.clone().map(Measure::new),
            _ => None,
        };
        let everything = rule.groups.iter().any(Vec::is_empty);
        let expectation = match listed {
            None => Expectation::Nothing,
            Some(Expected::Catalog) => Expectation::Catalog,
            Some(Expected::Seen) if !everything => {
                Expectation::Seen(steps.count(EXPECTED_FOR).max(20 * steps.window()))
            }
            Some(_) => Expectation::Listed,
        };
        let awaits = expectation != Expectation::Nothing || test.summed().is_some_and(Summed::awaits);
        let grace = if awaits { rule.grace } else { Span::ZERO };
        let mut judge = Self {
            test,
            groups: rule.groups.clone(),
            steps,
            calendar,
            spans: Spans { window: steps.window(), patience: (steps.window() / 5).max(1) },
            grace,
            expectation,
            remembered: steps.lookback() + steps.count(rule.pending),
            subjects: HashMap::default(),
            shelves: BTreeMap::new(),
            unsaved_shelves: BTreeSet::new(),
            saved_shelves: BTreeSet::new(),
            agenda: BTreeSet::new(),
            firing: BTreeSet::new(),
            judged: None,
            started: None,
            settled: i64::MIN,
            outcomes: VecDeque::new(),
            beyond_bound: 0,
            removed: Vec::new(),
            visited: Vec::new(),
            unsaved: true,
            buffer: Vec::new(),
        };
        judge.expect_from_the_start(listed);
        Some(judge)
    }

    /// Registers the subjects that are expected before they are seen.
    fn expect_from_the_start(&mut self, expected: Option<&Expected>) {
        let mut subjects = Vec::new();
        for (index, group) in (0u8..).zip(&self.groups) {
            match (expected, group.as_slice()) {
                (Some(_), []) => subjects.push((index, Subject::default())),
                (Some(Expected::Listed(values)), [field]) => {
                    let named = |value: &String| Subject(vec![(field.as_str().into(), value.into())]);
                    subjects.extend(values.iter().map(|value| (index, named(value))));
                }
                _ => {}
            }
        }
        for (group, fields) in subjects {
            let symbol = symbol_of(group, &fields);
            self.register(symbol, group, &fields, i64::MIN / 2);
        }
    }

    /// Takes what a shard says of a subject at a step, in place of what it said before.
    pub fn merge(&mut self, shard: u32, fields: &Subject, partial: Partial<'_>) {
        if !self.subjects.contains_key(&partial.subject) {
            if self.expectation == Expectation::Listed && !self.groups.iter().any(Vec::is_empty) {
                return;
            }
            if self.subjects.len() >= MOST_SUBJECTS {
                self.beyond_bound += 1;
                return;
            }
            self.register(partial.subject, partial.group, fields, partial.step - 1);
        }
        // What is expected stays so through any silence.
        let forgotten = match self.expectation {
            Expectation::Nothing => self.remembered,
            Expectation::Seen(_) | Expectation::Listed | Expectation::Catalog => i64::MAX / 4,
        };
        let Some(aggregate) = self.subjects.get_mut(&partial.subject) else { return };
        if !aggregate.merge(shard, partial, forgotten) {
            return;
        }
        aggregate.evaluated = aggregate.evaluated.min(partial.step - 1);
        plan(
            &mut self.agenda,
            aggregate,
            Some(aggregate.due.map_or(partial.step, |due| due.min(partial.step))),
        );
        if self.started.is_some_and(|started| partial.step - 1 < started) {
            self.start_at(partial.step - 1);
        }
    }

    /// Takes what the catalog says of a subject's goods.
    pub fn take_stock(&mut self, event: &Event<'_>) {
        if self.expectation != Expectation::Catalog {
            return;
        }
        for (index, group) in (0u8..).zip(&self.groups.clone()) {
            let Some(symbol) = slice_key(&self.groups, usize::from(index), event) else { continue };
            let entry = self.steps.entry(event.time).max(self.settled);
            if !self.subjects.contains_key(&symbol) {
                if self.subjects.len() >= MOST_SUBJECTS {
                    self.beyond_bound += 1;
                    continue;
                }
                self.register(symbol, index, &subject_fields(group, event), entry - 1);
            }
            let shelf = self.shelves.entry(symbol).or_default();
            shelf.report(event, self.steps);
            self.unsaved_shelves.insert(symbol);
            let Some(aggregate) = self.subjects.get_mut(&symbol) else { continue };
            aggregate.evaluated = aggregate.evaluated.min(entry - 1);
            let due = aggregate.due.map_or(entry, |due| due.min(entry));
            plan(&mut self.agenda, aggregate, Some(due));
        }
    }

    fn register(&mut self, symbol: Symbol, group: u8, fields: &Subject, evaluated: i64) {
        let known = (evaluated, self.settled.saturating_sub(1));
        let frame = self.test.summed().map(|summed| summed.frame);
        let mut aggregate = Aggregate::new(symbol, group, fields.clone(), known, frame);
        self.place(&mut aggregate);
        self.subjects.insert(symbol, Box::new(aggregate));
    }

    /// Sets what follows from a subject's fields and the rule.
    fn place(&self, aggregate: &mut Aggregate) {
        let Some(group) = self.groups.get(usize::from(aggregate.group)) else { return };
        aggregate.limit = self.test.limit_of(group, &aggregate.fields);
        if let (Some(held), Some(field)) =
            (&mut aggregate.held, self.test.summed().and_then(Summed::limit_field))
        {
            let place = group.iter().position(|name| *name == field);
            let value = place.and_then(|place| aggregate.fields.0.get(place));
            held.limit_of = value.map_or(Symbol::MISSING, |(_, value)| Symbol::of(value));
        }
        let mut wider: Vec<(usize, Symbol)> = Vec::new();
        for (index, other) in (0u8..).zip(&self.groups) {
            if other.len() >= group.len() || !other.iter().all(|field| group.contains(field)) {
                continue;
            }
            let fields = other.iter().filter_map(|field| group.iter().position(|own| own == field));
            let fields = fields.filter_map(|position| aggregate.fields.0.get(position).cloned());
            wider.push((other.len(), symbol_of(index, &Subject(fields.collect()))));
        }
        wider.sort_by(|one, other| other.cmp(one));
        aggregate.wider = wider.into_iter().map(|(_, symbol)| symbol).collect();
    }

    /// Counts from this step on for what is expected from the start.
    fn start_at(&mut self, step: i64) {
        self.started = Some(step);
        self.unsaved = true;
        if self.expectation == Expectation::Listed {
            let from = self.whole_after(step);
            for aggregate in self.subjects.values_mut() {
                let judged = if self.judged.is_some() { aggregate.evaluated } else { i64::MAX };
                aggregate.evaluated = judged.min(from - 1);
                plan(&mut self.agenda, aggregate, Some(aggregate.due.map_or(from, |due| due.min(from))));
            }
        }
    }

    /// The step at which a whole window has passed since another.
    fn whole_after(&mut self, step: i64) -> i64 {
        match &mut self.calendar {
            None => step + self.steps.window(),
            Some(calendar) => self.steps.whole_within(calendar, step),
        }
    }

    fn judgeable(&mut self, aggregate: &Aggregate) -> Judgeable {
        let since =
            |step: Option<i64>, judge: &mut Self| step.map_or(i64::MAX, |step| judge.whole_after(step));
        match self.expectation {
            Expectation::Listed => Judgeable::one(since(self.started, self), i64::MAX),
            Expectation::Seen(kept) => {
                Judgeable::one(since(aggregate.first, self), aggregate.last.saturating_add(kept))
            }
            Expectation::Catalog => {
                let shelf = self.shelves.get(&aggregate.symbol);
                let stretches = shelf.map(|shelf| shelf.stretches(self.steps)).unwrap_or_default();
                Judgeable::of(stretches.map(|stretch| {
                    let (from, until) = stretch?;
                    Some((self.whole_after(from), until))
                }))
            }
            Expectation::Nothing if self.test.needs_whole_window() => {
                Judgeable::one(since(aggregate.first, self), i64::MAX)
            }
            Expectation::Nothing => Judgeable::default(),
        }
    }

    /// Judges every step that all shards have passed. No event before `settled` can still come; everything that the
    /// shards counted up to now must have been merged.
    pub fn judge(&mut self, passed: Time, settled: Time, out: &mut Vec<Judged>) {
        let target = self.steps.passed(passed - self.grace);
        let target = self.judged.map_or(target, |judged| judged.max(target));
        // What was merged lies no earlier than what was settled when it was last judged.
        let final_before = self.settled;
        self.settled = self.settled.max(self.steps.entry(settled));
        if self.started.is_none() {
            let passed = self.steps.passed(passed);
            // An event enters what is expected at the step after its time.
            let first = self.agenda.first().map_or(passed, |(step, _)| passed.min(*step - 1));
            self.start_at(first);
        }
        let mut visited = std::mem::take(&mut self.visited);
        let changed = self.evaluate(target, &mut visited);
        let next = match self.judged {
            Some(judged) => changed.max(final_before).min(judged + 1),
            None => changed,
        };
        self.decide(next, target, out);
        self.unsaved |= self.judged != Some(target);
        self.judged = Some(target);
        self.settle(target, &mut visited);
        self.visited = visited;
    }

    /// Brings the intervals of everything due up to date. Returns the first step that this may have changed.
    fn evaluate(&mut self, target: i64, visited: &mut Vec<Symbol>) -> i64 {
        let mut changed = target;
        while let Some((step, symbol)) = self.agenda.first().copied().filter(|(step, _)| *step <= target) {
            self.agenda.pop_first();
            changed = changed.min(step);
            let Some(mut aggregate) = self.subjects.remove(&symbol) else { continue };
            aggregate.due = None;
            let judgeable = self.judgeable(&aggregate);
            let limit = aggregate.limit;
            match self.test.summed() {
                Some(summed) => aggregate.evaluate_summed(target, summed),
                None => aggregate.evaluate(target, judgeable, |counts| self.test.fires(limit, counts)),
            }
            if aggregate.has_fired() {
                self.firing.insert(symbol);
            }
            let next = aggregate.next_change(judgeable);
            plan(&mut self.agenda, &mut aggregate, next);
            self.subjects.insert(symbol, aggregate);
            visited.push(symbol);
        }
        changed
    }

    /// Says what is to be said of the steps from `from` through `target`, and of those that were judged before what is
    /// different now.
    fn decide(&mut self, from: i64, target: i64, out: &mut Vec<Judged>) {
        let kept = self.outcomes.partition_point(|outcome| outcome.step < from);
        let mut said = self.outcomes.split_off(kept);
        let mut state = self.outcomes.back().map(|outcome| outcome.state.clone()).unwrap_or_default();
        let mut step = from - 1;
        loop {
            let next = if state.is_empty() { self.fires_next(step) } else { Some(step + 1) };
            let next = next.into_iter().chain(said.front().map(|outcome| outcome.step)).min();
            let Some(next) = next.filter(|next| *next <= target) else { break };
            step = next;
            let before = said.pop_front_if(|outcome| outcome.step == step).unwrap_or_default();
            let firing: Vec<Symbol> =
                self.firing.iter().copied().filter(|symbol| self.fires(*symbol, step)).collect();
            let Selection { state: after, ended, joined } = select(&state, step, &firing, self.spans, self);
            let found =
                after.chosen.iter().filter(|chosen| chosen.fired == step).map(|chosen| chosen.subject);
            let outcome = Outcome { step, found: found.collect(), ended, joined, state: after };
            self.say(&before, &outcome, &firing, out);
            state.clone_from(&outcome.state);
            self.outcomes.push_back(outcome);
            self.unsaved = true;
            if self.outcomes.len() > 2 * MOST_STEPS {
                self.forget_outcomes();
            }
        }
    }

    /// Says how a step's outcome differs from what was said of it before.
    fn say(&self, before: &Outcome, now: &Outcome, firing: &[Symbol], out: &mut Vec<Judged>) {
        let time = self.steps.time(now.step);
        let mut push = |subject: Symbol, verdict: Verdict| out.push(Judged { subject, verdict });
        for subject in before.found.iter().copied().filter(|subject| !now.found.contains(subject)) {
            let explains =
                |chosen: &&Chosen| firing.contains(&subject) && self.is_related(chosen.subject, subject);
            match now.state.chosen.iter().find(explains) {
                Some(chosen) => push(subject, Verdict::Joined { into: chosen.subject, at: time }),
                None => push(subject, Verdict::Withdrawn { since: time }),
            }
        }
        for subject in now.found.iter().copied().filter(|subject| !before.found.contains(subject)) {
            if let Some(aggregate) = self.subjects.get(&subject) {
                let evidence = match self.test.summed() {
                    Some(summed) => aggregate.reading(now.step, summed).evidence,
                    None => {
                        let counts = aggregate.counts(now.step);
                        self.test.evidence(aggregate.limit, counts, self.steps.approximate())
                    }
                };
                push(subject, Verdict::Found { since: time, evidence });
            }
        }
        for (subject, into) in now.joined.iter().copied().filter(|joined| !before.joined.contains(joined)) {
            push(subject, Verdict::Joined { into, at: time });
        }
        for subject in now.ended.iter().copied().filter(|subject| !before.ended.contains(subject)) {
            let healthy =
                self.subjects.get(&subject).is_some_and(|aggregate| self.shows_health(aggregate, now.step));
            push(subject, Verdict::Cleared { at: time, healthy });
        }
    }

    fn shows_health(&self, aggregate: &Aggregate, step: i64) -> bool {
        match self.test.summed() {
            Some(summed) => summed.shows_health(&aggregate.reading(step, summed)),
            None => self.test.shows_health(aggregate.limit, aggregate.counts(step)),
        }
    }

    fn is_related(&self, one: Symbol, other: Symbol) -> bool {
        self.wider(one).contains(&other) || self.wider(other).contains(&one)
    }

    fn fires(&self, symbol: Symbol, step: i64) -> bool {
        self.subjects.get(&symbol).is_some_and(|aggregate| aggregate.fires_at(step))
    }

    fn fires_next(&self, after: i64) -> Option<i64> {
        let aggregates = self.firing.iter().filter_map(|symbol| self.subjects.get(symbol));
        aggregates.filter_map(|aggregate| aggregate.fires_next(after)).min()
    }

    /// Makes final what can't be judged again, and forgets what is over.
    fn settle(&mut self, target: i64, visited: &mut Vec<Symbol>) {
        let settled = self.settled.min(target + 1);
        self.firing.retain(|symbol| {
            self.subjects.get_mut(symbol).is_some_and(|aggregate| !aggregate.forget_firing(settled))
        });
        for symbol in visited.drain(..) {
            let Some(aggregate) = self.subjects.get_mut(&symbol) else { continue };
            aggregate.settle(settled, self.remembered);
            let shelf = self.shelves.get_mut(&symbol);
            if shelf.is_some_and(|shelf| shelf.settle(settled, self.steps)) {
                self.unsaved_shelves.insert(symbol);
            }
            let on_shelf = self.shelves.get(&symbol).map(Shelf::standing);
            let stays = self.expectation == Expectation::Listed || on_shelf == Some(Standing::Expected);
            if aggregate.due.is_some() || stays {
                continue;
            }
            // Whenever it is looked at, it is forgotten only after a silence that makes it new.
            let may_change = on_shelf == Some(Standing::Open);
            if !may_change && aggregate.is_over(settled) && aggregate.last + self.remembered < settled {
                if aggregate.saved_before {
                    self.removed.push(symbol);
                }
                self.subjects.remove(&symbol);
                if self.shelves.remove(&symbol).is_some() {
                    self.unsaved_shelves.insert(symbol);
                }
            } else {
                let idle = (aggregate.last + self.remembered).max(target + self.steps.window());
                plan(&mut self.agenda, aggregate, Some(idle));
            }
        }
        self.forget_outcomes();
    }

    /// Keeps the outcomes of steps that can still change, and the last one before them.
    fn forget_outcomes(&mut self) {
        let open = self.outcomes.partition_point(|outcome| outcome.step < self.settled);
        let gone = open.saturating_sub(1).max(self.outcomes.len().saturating_sub(MOST_STEPS));
        self.outcomes.drain(..gone);
    }

    /// When there is something to judge next; the time that all shards must have passed.
    pub fn next_due(&self) -> Option<Time> {
        if self.started.is_none() && self.expectation == Expectation::Listed {
            return Some(Time::MIN);
        }
        let active = self.outcomes.back().is_some_and(|outcome| !outcome.state.is_empty());
        let step = self.judged.filter(|_| active).map(|judged| judged + 1);
        let planned = self.agenda.first().map(|(step, _)| *step);
        step.into_iter().chain(planned).min().map(|step| self.steps.time(step) + self.grace)
    }
}

/// Puts a subject on the agenda, in place of where it was.
fn plan(agenda: &mut BTreeSet<(i64, Symbol)>, aggregate: &mut Aggregate, step: Option<i64>) {
    if aggregate.due == step {
        return;
    }
    if let Some(due) = aggregate.due {
        agenda.remove(&(due, aggregate.symbol));
    }
    aggregate.due = step;
    if let Some(step) = step {
        agenda.insert((step, aggregate.symbol));
    }
}

/// The identity that an event with these values has in a slice.
fn symbol_of(group: u8, fields: &Subject) -> Symbol {
    let values = fields.0.iter().map(|(_, value)| Symbol::of(value));
    in_group(key_of(values), usize::from(group))
}
