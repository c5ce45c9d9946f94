//! The naive model: every step judged once, from all events, without any aggregate.

use std::collections::{BTreeMap, BTreeSet};

use super::support::Order;
use crate::core::effect::Subject;
use crate::core::event::{Event, Symbol, TextField};
use crate::core::rule::scope::onset::{Seen, onset};
use crate::core::rule::scope::ratio::{Counts, Test};
use crate::core::rule::scope::slices::{Rest, Spans, State, View, select};
use crate::core::rule::scope::steps::{Edge, Steps};
use crate::core::rule::scope::{in_group, key_of, slice_key, subject_fields};
use crate::core::rule::{Detect, Rule};
use crate::core::time::{Span, Time};

struct Known {
    group: u8,
    fields: Subject,
    events: Vec<(Time, bool, Symbol)>,
    wider: Vec<Symbol>,
}

struct Model<'a> {
    rule: &'a Rule,
    test: Test,
    window: Span,
    step: Span,
    distinct: bool,
    subjects: BTreeMap<Symbol, Known>,
}

/// The findings of a rule over these orders, at steps of `step`, through `end`.
pub fn findings(rule: &Rule, orders: &[Order], step: Span, end: Time) -> Vec<(Time, Symbol)> {
    let (window, distinct) = match &rule.detect {
        Detect::Ratio(ratio) => (ratio.window, ratio.distinct.is_some()),
        Detect::Flatline(flatline) => (flatline.window, false),
        _ => unreachable!("only rules over partitions"),
    };
    let mut model =
        Model { rule, test: Test::new(rule).unwrap(), window, step, distinct, subjects: BTreeMap::new() };
    for order in orders {
        model.add(&order.event());
    }
    let Some(first) = orders.iter().map(|order| order.millis).min() else { return Vec::new() };
    let steps = window.as_millis() / step.as_millis();
    let spans = Spans { window: steps, patience: (steps / 5).max(1) };
    let (mut state, mut found) = (State::default(), Vec::new());
    for index in first / step.as_millis()..=end.as_millis() / step.as_millis() {
        let firing: Vec<Symbol> =
            model.subjects.keys().copied().filter(|subject| model.fires(*subject, index)).collect();
        state = select(&state, index, &firing, spans, &model).state;
        let chosen = state.chosen.iter().filter(|chosen| chosen.fired == index);
        found.extend(chosen.map(|chosen| (model.time(index), chosen.subject)));
    }
    found
}

impl Model<'_> {
    fn add(&mut self, event: &Event<'_>) {
        let failed = matches!(&self.rule.detect, Detect::Ratio(ratio) if ratio.of.holds(event));
        for index in 0..self.rule.groups.len() {
            let subject = slice_key(&self.rule.groups, index, event).unwrap();
            let known = self.subjects.entry(subject).or_insert_with(|| Known {
                group: index as u8,
                fields: subject_fields(&self.rule.groups[index], event),
                events: Vec::new(),
                wider: wider(self.rule, index, event),
            });
            known.events.push((event.time, failed, event.symbol(TextField::AccountId)));
        }
    }

    fn time(&self, step: i64) -> Time {
        Time::from_millis(step * self.step.as_millis())
    }

    fn entry(&self, time: Time) -> i64 {
        let step = self.step.as_millis();
        if self.is_flatline() {
            time.as_millis().div_euclid(step) + 1
        } else {
            time.round_up(self.step).as_millis() / step
        }
    }

    fn is_flatline(&self) -> bool {
        matches!(self.rule.detect, Detect::Flatline(_))
    }

    fn held(&self, subject: Symbol, step: i64) -> impl Iterator<Item = &(Time, bool, Symbol)> {
        let (end, flat) = (self.time(step), self.is_flatline());
        let start = end - self.window;
        self.subjects[&subject].events.iter().filter(move |(time, _, _)| {
            if flat { start <= *time && *time < end } else { start < *time && *time <= end }
        })
    }

    fn counts(&self, subject: Symbol, step: i64) -> Counts {
        if self.distinct {
            let all: BTreeSet<Symbol> = self.held(subject, step).map(|(_, _, account)| *account).collect();
            let of: BTreeSet<Symbol> =
                self.held(subject, step).filter(|(_, of, _)| *of).map(|(_, _, account)| *account).collect();
            return Counts { among: all.len() as i64, of: of.len() as i64 };
        }
        let of = self.held(subject, step).filter(|(_, of, _)| *of).count();
        Counts { among: self.held(subject, step).count() as i64, of: of as i64 }
    }

    fn fires(&self, subject: Symbol, step: i64) -> bool {
        let known = &self.subjects[&subject];
        let first = known.events.iter().map(|(time, _, _)| *time).min().unwrap();
        // The window is whole once it has passed since the step at which the first event entered.
        if self.test.needs_whole_window() && self.time(step) < self.time(self.entry(first)) + self.window {
            return false;
        }
        let limit = self.test.limit_of(&self.rule.groups[usize::from(known.group)], &known.fields);
        self.test.fires(limit, self.counts(subject, step))
    }

    fn seen(&self, subject: Symbol) -> Vec<Seen> {
        let mut seen: BTreeMap<i64, Seen> = BTreeMap::new();
        for (time, of, _) in &self.subjects[&subject].events {
            let step = self.entry(*time);
            let bucket = seen.entry(step).or_insert(Seen { step, among: 0, of: 0 });
            bucket.among += 1;
            bucket.of += u32::from(*of);
        }
        seen.into_values().collect()
    }
}

fn wider(rule: &Rule, group: usize, event: &Event<'_>) -> Vec<Symbol> {
    let own = &rule.groups[group];
    let mut wider: Vec<(usize, usize)> = (0..rule.groups.len())
        .filter(|other| {
            let fields = &rule.groups[*other];
            fields.len() < own.len() && fields.iter().all(|field| own.contains(field))
        })
        .map(|other| (rule.groups[other].len(), other))
        .collect();
    wider.sort_unstable_by(|one, other| other.cmp(one));
    let symbol = |(_, other): (usize, usize)| {
        in_group(key_of(rule.groups[other].iter().map(|field| event.symbol(*field))), other)
    };
    wider.into_iter().map(symbol).collect()
}

impl View for Model<'_> {
    fn wider(&self, subject: Symbol) -> &[Symbol] {
        &self.subjects[&subject].wider
    }

    fn group(&self, subject: Symbol) -> u8 {
        self.subjects[&subject].group
    }

    fn lingers(&self, subject: Symbol, step: i64) -> bool {
        let known = &self.subjects[&subject];
        let limit = self.test.limit_of(&self.rule.groups[usize::from(known.group)], &known.fields);
        self.test.lingers(limit, self.counts(subject, step))
    }

    fn rest(&self, wide: Symbol, narrow: Symbol, step: i64) -> Rest {
        let limit = self.test.limit_of(
            &self.rule.groups[usize::from(self.subjects[&wide].group)],
            &self.subjects[&wide].fields,
        );
        let since = || {
            let window = self.window.as_millis() / self.step.as_millis();
            let steps = Steps::new(self.window, Edge::Through);
            let from = match self.test.share_limit(limit) {
                Some(background) => onset(self.seen(narrow).into_iter(), step, steps, background),
                None => step - window / 5 + 1,
            };
            let between = |subject| {
                let seen = self.seen(subject).into_iter().filter(|seen| (from..=step).contains(&seen.step));
                seen.fold(Counts::default(), |sum, seen| Counts {
                    among: sum.among + i64::from(seen.among),
                    of: sum.of + i64::from(seen.of),
                })
            };
            (between(wide), between(narrow))
        };
        self.test.rest(limit, self.counts(wide, step), self.counts(narrow, step), since)
    }
}
