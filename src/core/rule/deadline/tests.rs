//! `deadline` against a model that knows all events of a key beforehand.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::core::event::{EventType, Facts, Symbol, TypeSet};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

use EventType::{OrderDelivered, OrderPaid};

fn rule(within: i64) -> Deadline {
    Deadline {
        key: TextField::OrderId,
        start: Condition::TypeIn(TypeSet::of(OrderPaid)),
        end: Condition::TypeIn(TypeSet::of(OrderDelivered)),
        within: seconds(within),
    }
}

fn paid(subject: u64, time: i64, order: &str) -> Given {
    given(subject, OrderPaid, at(time), &[(TextField::OrderId, order), (TextField::AccountId, "a1")])
}

fn delivered(time: i64, order: &str) -> Given {
    let mut given = given(0, OrderDelivered, at(time), &[(TextField::OrderId, order)]);
    given.starts = false;
    given
}

fn lines(said: &[Judged]) -> Vec<String> {
    let second = |time: Time| time.since(at(0)).as_secs_f64();
    let line = |judged: &Judged| match judged.verdict {
        Verdict::Found { since, .. } => format!("{} found {}", judged.subject.0, second(since)),
        Verdict::Withdrawn { since } => format!("{} withdrawn {}", judged.subject.0, second(since)),
        Verdict::Resolved { at } => format!("{} resolved {}", judged.subject.0, second(at)),
        other => panic!("{other:?} is not for this kind to say"),
    };
    said.iter().map(line).collect()
}

/// Gives events in this order, with a lateness of two minutes and a grace of five seconds.
fn check(settings: Deadline, events: &[Given], pass: i64, expected: &[&str]) {
    let new = || Box::new(DeadlineWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let played = Pair::new(&new, seconds(120)).play(events, seconds(pass));
    assert_eq!(lines(&played.said.all), expected);
}

#[test]
fn a_start_without_an_end_is_missed_at_its_limit_and_judged_a_grace_later() {
    check(rule(600), &[paid(1, 0, "o1")], 604, &[]);
    check(rule(600), &[paid(1, 0, "o1")], 605, &["1 found 600"]);
}

#[test]
fn an_end_before_the_limit_meets_it_and_one_at_the_limit_does_not() {
    check(rule(600), &[paid(1, 0, "o1"), delivered(599, "o1")], 9_000, &[]);
    check(rule(600), &[paid(1, 0, "o1"), delivered(600, "o1")], 9_000, &["1 found 600", "1 resolved 600"]);
}

#[test]
fn an_end_between_limit_and_judgement_resolves_at_the_moment_of_the_finding() {
    let events = [paid(1, 0, "o1"), delivered(603, "o1")];
    check(rule(600), &events, 1, &[]);
    check(rule(600), &events, 2, &["1 found 600", "1 resolved 603"]);
}

#[test]
fn an_end_counts_up_to_the_lateness_before_its_start() {
    check(rule(600), &[delivered(0, "o1"), paid(1, 120, "o1")], 9_000, &[]);
    check(rule(600), &[delivered(0, "o1"), paid(1, 121, "o1")], 9_000, &["1 found 721"]);
    check(rule(600), &[paid(1, 100, "o1"), delivered(0, "o1")], 9_000, &[]);
}

#[test]
fn an_end_that_arrives_after_the_finding_withdraws_or_resolves_it() {
    let events = [paid(1, 0, "o1"), paid(2, 700, "o2"), delivered(590, "o1")];
    check(rule(600), &events, 0, &["1 found 600", "1 withdrawn 600"]);
    let events = [paid(1, 0, "o1"), paid(2, 700, "o2"), delivered(650, "o1")];
    check(rule(600), &events, 0, &["1 found 600", "1 resolved 650"]);
    // Beyond its lateness it opens nothing, but it still ends.
    let events = [paid(1, 0, "o1"), paid(2, 1_000, "o2"), delivered(500, "o1")];
    check(rule(600), &events, 0, &["1 found 600", "1 withdrawn 600"]);
}

#[test]
fn the_first_start_counts() {
    let events = [paid(1, 0, "o1"), paid(1, 300, "o1")];
    check(rule(600), &events, 9_000, &["1 found 600"]);
    let events = [paid(1, 60, "o1"), paid(1, 0, "o1")];
    check(rule(600), &events, 605, &["1 found 600"]);
    // Even after a later one was found wanting.
    let events = [paid(1, 60, "o1"), paid(2, 110, "o2"), paid(1, 0, "o1"), delivered(140, "o1")];
    check(
        rule(20),
        &events,
        0,
        &["1 found 80", "1 found 20", "1 withdrawn 80", "2 found 130", "1 resolved 140"],
    );
}

#[test]
fn a_start_that_arrives_beyond_its_lateness_opens_nothing() {
    check(rule(600), &[paid(1, 1_000, "o1"), delivered(1_001, "o1"), paid(2, 500, "o2")], 9_000, &[]);
}

#[test]
fn a_subject_is_resolved_once_none_of_its_keys_is_overdue() {
    let events = [paid(1, 0, "o1"), paid(1, 10, "o2"), delivered(700, "o1"), delivered(710, "o2")];
    check(rule(600), &events, 0, &["1 found 600", "1 found 610", "1 resolved 710"]);
    // Two at one instant: the finding is untrue only when both are.
    let events = [
        paid(1, 0, "o1"),
        paid(1, 0, "o2"),
        paid(2, 650, "o3"),
        delivered(599, "o1"),
        delivered(598, "o2"),
        delivered(651, "o3"),
    ];
    check(rule(600), &events, 0, &["1 found 600", "1 found 600", "1 withdrawn 600"]);
    // The last open one turns out untrue: what remains has ended before.
    let events = [paid(1, 0, "o1"), paid(1, 10, "o2"), delivered(700, "o1"), delivered(605, "o2")];
    check(rule(600), &events, 0, &["1 found 600", "1 found 610", "1 withdrawn 610", "1 resolved 700"]);
}

#[test]
fn a_key_may_start_anew_after_its_end() {
    let events = [paid(1, 0, "o1"), delivered(10, "o1"), paid(1, 131, "o1")];
    check(rule(600), &events, 9_000, &["1 found 731"]);
    let events = [paid(1, 0, "o1"), delivered(700, "o1"), paid(1, 900, "o1")];
    check(rule(600), &events, 9_000, &["1 found 600", "1 resolved 700", "1 found 1500"]);
}

#[test]
fn the_facts_are_those_of_the_start_that_was_missed_first() {
    let mut watch = DeadlineWatch::new(rule(600), seconds(5), seconds(120));
    let mut out = Vec::new();
    let moment = |now| Moment { settled: at(now - 120), now: at(now), late: false };
    for (time, order) in [(0, "o1"), (10, "o2")] {
        watch.observe(Symbol(1), true, &paid(1, time, order).event, moment(time), &mut out);
    }
    assert_eq!(watch.facts(Symbol(1)), None);
    watch.advance(moment(1_000), &mut out);
    let expected = Facts::of(&paid(1, 0, "o1").event);
    assert_eq!(watch.facts(Symbol(1)), Some(&expected));
    assert_eq!(watch.subjects(), 1);
}

#[test]
fn what_nobody_ends_is_given_up_after_a_week_and_counted() {
    let mut watch = DeadlineWatch::new(rule(600), seconds(5), seconds(120));
    let mut out = Vec::new();
    let moment = |now| Moment { settled: at(now - 120), now: at(now), late: false };
    watch.observe(Symbol(1), true, &paid(1, 0, "o1").event, moment(0), &mut out);
    watch.advance(moment(700), &mut out);
    watch.sweep(moment(7 * 86_400));
    assert_eq!((watch.subjects(), watch.given_up()), (1, 0));
    watch.sweep(moment(7 * 86_400 + 721));
    assert_eq!((watch.subjects(), watch.given_up()), (0, 1));
}

#[test]
fn starts_that_end_soon_leave_nothing_behind() {
    let mut watch = DeadlineWatch::new(rule(1_800), seconds(5), seconds(120));
    let mut out = Vec::new();
    for step in 0..100_000 {
        let moment = Moment { settled: at(step / 100 - 120), now: at(step / 100), late: false };
        let order = step.to_string();
        watch.observe(Symbol(1), true, &paid(1, step / 100, &order).event, moment, &mut out);
        if step >= 500 {
            let order = (step - 500).to_string();
            watch.observe(Symbol(1), false, &delivered(step / 100, &order).event, moment, &mut out);
        }
        watch.sweep(moment);
    }
    assert_eq!((watch.subjects(), out.len()), (500, 0));
    let (pending, ends) = (500 * 250, 24_000 * 2 * 20);
    assert!(watch.bytes() < pending + ends, "{} bytes", watch.bytes());
}

/// The findings of one key, and whether the last of them has ended.
fn model(within: i64, lateness: i64, events: &[(i64, u64, bool)]) -> (Vec<(u64, i64)>, bool) {
    let ends: BTreeSet<i64> = events.iter().filter(|(.., start)| !start).map(|(time, ..)| *time).collect();
    let starts: BTreeSet<(i64, u64)> =
        events.iter().filter(|(.., start)| *start).map(|(time, subject, _)| (*time, *subject)).collect();
    let (mut found, mut overdue_until) = (Vec::new(), i64::MIN);
    for (start, subject) in starts {
        let met = ends.range(start - lateness..start + within).next().is_some();
        if !met && start > overdue_until {
            found.push((subject, start + within));
            overdue_until = ends.range(start + within..).next().copied().unwrap_or(i64::MAX);
        }
    }
    (found, overdue_until < i64::MAX)
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn, mut resolved) = (0, 0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let (within, lateness) = (random.between(1, 40), random.between(0, 60));
        let grace = random.below(5);
        let length = random.between(20, 150);
        let mut events = Vec::new();
        let mut by_key: BTreeMap<i64, Vec<(i64, u64, bool)>> = BTreeMap::new();
        for _ in 0..random.between(3, 40) {
            let (key, time) = (random.below(4), random.below(length));
            // Two subjects with two keys each.
            let (subject, is_start) = (key as u64 % 2 + 1, random.percent(55));
            by_key.entry(key).or_default().push((time, subject, is_start));
            let order = key.to_string();
            events.push(if is_start { paid(subject, time, &order) } else { delivered(time, &order) });
        }
        let settings = rule(within);
        let new = || {
            Box::new(DeadlineWatch::new(settings.clone(), seconds(grace), seconds(lateness)))
                as Box<dyn Watch>
        };
        let arrivals = disordered(&mut random, events, seconds(lateness));
        let pair = Pair::new(&new, seconds(lateness)).run(&mut random, &arrivals, true);
        let models: Vec<_> = by_key.values().map(|events| model(within, lateness, events)).collect();
        let expected: BTreeSet<_> = models
            .iter()
            .flat_map(|(found, _)| found)
            .map(|(subject, time)| (Symbol(*subject), at(*time)))
            .collect();
        assert_eq!(pair.said.found, expected, "seed {seed}, within {within}, lateness {lateness}");
        for subject in [1, 2] {
            let own: Vec<_> =
                models.iter().filter(|(found, _)| found.iter().any(|(other, _)| *other == subject)).collect();
            let stands = |said: &Verdict| match said {
                Verdict::Found { since, .. } => expected.contains(&(Symbol(subject), *since)),
                said => matches!(said, Verdict::Resolved { .. }),
            };
            let last = pair.said.of(Symbol(subject)).rfind(stands);
            if !own.is_empty() {
                let over = own.iter().all(|(_, over)| *over);
                assert_eq!(matches!(last, Some(Verdict::Resolved { .. })), over, "seed {seed}: {last:?}");
                resolved += usize::from(over);
            }
        }
        findings += expected.len();
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 4_000 && withdrawn > 200 && resolved > 600, "{findings} {withdrawn} {resolved}");
}
