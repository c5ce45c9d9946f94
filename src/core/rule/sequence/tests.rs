//! `sequence` against a model that tries every way to take events for steps.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{Event, EventType, Symbol, TextField};
use crate::core::rule::Detect;
use crate::core::rule::parse::{LoadOptions, load};
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::table::{Overheard, Watch};
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::time::Time;

const GRACE: Span = Span::from_secs(5);

fn settings(detect: &str) -> Sequence {
    let text = format!("name: x\ntopics: logins\ndetect:\n  kind: sequence\n{detect}");
    match load(&text, "x.yaml", &LoadOptions::default()) {
        Ok(rules) => match rules.into_iter().next().unwrap().rule.detect {
            Detect::Sequence(sequence) => sequence,
            other => panic!("{}", other.kind()),
        },
        Err(errors) => panic!("{text}\n{errors:#?}"),
    }
}

fn step(fields: &str) -> String {
    format!("    - {{ {fields} }}\n")
}

fn is(letter: &str) -> String {
    format!("when: 'device_id == \"{letter}\"'")
}

/// `letter` or `letter/value`: the device and the address of a login.
fn login(time: i64, shown: &str) -> Given {
    let (letter, value) = shown.split_once('/').unwrap_or((shown, "v"));
    let id = format!("{time}-{shown}");
    let texts = [(TextField::DeviceId, letter), (TextField::Ip, value), (TextField::Id, &*id)];
    given(1, EventType::LoginSucceeded, at(time), &texts)
}

fn watch(settings: &Sequence) -> impl Fn() -> Box<dyn Watch> {
    || Box::new(PatternWatch::new(settings.clone(), GRACE, seconds(120)))
}

fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({})", evidence.value))
}

/// Gives events in this order, lets time pass, and expects these verdicts.
fn check(detect: &str, events: &[(i64, &str)], expected: &[&str]) {
    let settings = settings(detect);
    let new = watch(&settings);
    let mut pair = Pair::new(&new, seconds(120));
    for (time, shown) in events {
        pair.observe(&login(*time, shown));
        pair.restart();
        pair.sweep();
        pair.advance();
    }
    pair.pass(seconds(10_000));
    assert_eq!(lines(&pair.said.all), expected, "{detect}{events:?}");
}

fn two(first: &str, second: &str) -> String {
    format!("  within: 100s\n  steps:\n{}{}", step(first), step(second))
}

#[test]
fn steps_happen_one_after_the_other_within_less_than_the_span() {
    let rule = two(&format!("name: one, {}", is("a")), &format!("name: two, {}", is("b")));
    check(&rule, &[(0, "a"), (50, "x"), (99, "b")], &["found 99 (2)"]);
    check(&rule, &[(0, "a"), (100, "b")], &[]);
    check(&rule, &[(0, "b"), (1, "a")], &[]);
    // Each match uses up what lies before its end.
    check(&rule, &[(0, "a"), (1, "a"), (2, "b"), (3, "b")], &["found 2 (2)"]);
    check(&format!("{rule}  skip: to_next\n"), &[(0, "a"), (1, "a"), (2, "b"), (3, "b")], &["found 2 (2)"]);
    let any =
        two(&format!("name: one, {}", is("a")), &format!("name: two, {}, then: followed_by_any", is("b")));
    let no_skip = format!("{any}  skip: no_skip\n");
    check(&no_skip, &[(0, "a"), (2, "b"), (3, "b")], &["found 2 (2)", "found 3 (2)"]);
}

#[test]
fn next_means_that_nothing_lies_between() {
    let rule = two(&format!("name: one, {}", is("a")), &format!("name: two, {}, then: next", is("b")));
    check(&rule, &[(0, "a"), (1, "b")], &["found 1 (2)"]);
    check(&rule, &[(0, "a"), (1, "x"), (2, "b")], &[]);
    check(&rule, &[(0, "a"), (2, "b"), (1, "x")], &["found 2 (2)", "withdrawn 2"]);
}

#[test]
fn fields_of_earlier_steps_are_compared_the_first_and_the_last_of_a_step_that_repeats() {
    let same =
        two(&format!("name: one, {}", is("a")), "name: two, when: 'device_id == \"b\" and ip == one.ip'");
    check(&same, &[(0, "a/p"), (1, "b/q"), (2, "b/p")], &["found 2 (2)"]);
    for (end, expected) in [("first.", "found 3 (3)"), ("last.", "found 2 (3)"), ("", "found 2 (3)")] {
        let second = format!("name: two, when: 'device_id == \"b\" and ip == one.{end}ip'");
        let rule = two(&format!("name: one, {}, times: 2", is("a")), &second);
        check(&rule, &[(0, "a/p"), (1, "a/q"), (2, "b/q"), (3, "b/p")], &[expected]);
    }
    let other = two(&format!("name: one, {}", is("a")), "name: two, when: 'not (ip == one.ip)'");
    check(&other, &[(0, "a/p"), (1, "b/p"), (2, "b/q")], &["found 2 (2)"]);
}

#[test]
fn a_step_repeats_as_often_as_it_says_and_shows_as_many_values() {
    let times = |times: &str| {
        two(&format!("name: one, {}, times: {times}", is("a")), &format!("name: two, {}", is("b")))
    };
    let events = [(0, "a"), (1, "x"), (2, "a"), (3, "a"), (4, "b")];
    check(&times("3"), &events, &["found 4 (4)"]);
    check(&times("2.."), &events, &["found 4 (4)"]);
    check(&times("2..2"), &events, &["found 4 (3)"]);
    check(&times("4.."), &events, &[]);
    let distinct = format!(
        "  within: 100s\n  steps:\n{}",
        step(&format!("name: one, {}, times: 1.., distinct: {{ ip: 3.. }}", is("a")))
    );
    check(&distinct, &[(0, "a/p"), (1, "a/q"), (2, "a/p"), (3, "a/r")], &["found 3 (4)"]);
}

#[test]
fn an_optional_step_may_be_left_out() {
    let rule = format!(
        "  within: 100s\n  steps:\n{}{}{}",
        step(&format!("name: one, {}", is("a"))),
        step(&format!("name: two, {}, optional: true", is("b"))),
        step(&format!("name: three, {}", is("c")))
    );
    check(&rule, &[(0, "a"), (1, "c")], &["found 1 (2)"]);
    check(&rule, &[(0, "a"), (1, "b"), (2, "c")], &["found 2 (3)"]);
}

#[test]
fn what_must_not_happen_hinders_between_its_neighbours_and_at_the_end() {
    let between = format!(
        "  within: 100s\n  steps:\n{}{}{}",
        step(&format!("name: one, {}", is("a"))),
        step(&format!("name: calm, {}, not: true", is("n"))),
        step(&format!("name: two, {}", is("b")))
    );
    check(&between, &[(0, "a"), (1, "x"), (2, "b")], &["found 2 (2)"]);
    check(&between, &[(0, "a"), (1, "n"), (2, "b")], &[]);
    check(&between, &[(0, "n"), (1, "a"), (2, "b"), (3, "n")], &["found 2 (2)"]);
    check(&between, &[(0, "a"), (2, "b"), (1, "n")], &["found 2 (2)", "withdrawn 2"]);
    let last = two(&format!("name: one, {}", is("a")), &format!("name: calm, {}, not: true", is("n")));
    check(&last, &[(0, "a"), (50, "x")], &["found 100 (1)"]);
    check(&last, &[(0, "a"), (50, "n")], &[]);
    // One at the limit does not hinder any more; one from before it does, however late it comes.
    check(&last, &[(0, "a"), (100, "n")], &["found 100 (1)"]);
    check(&last, &[(0, "a"), (110, "x"), (99, "n")], &["found 100 (1)", "withdrawn 100"]);
}

#[test]
fn a_finding_of_another_rule_is_a_step_until_it_is_withdrawn() {
    let rule = two("name: one, finding: other", "name: two, when: 'device_id == \"b\" and ip == one.ip'");
    let settings = settings(&rule);
    let mut watch = PatternWatch::new(settings, GRACE, seconds(120));
    let origin = login(0, "z/p");
    let facts = crate::core::event::Facts::of(&origin.event);
    let moment = Moment { settled: at(-120), now: at(0), late: false };
    let mut out = Vec::new();
    let heard =
        |withdrawn| Overheard { rule: "other", since: at(0), withdrawn, opening: false, facts: &facts };
    watch.overhear(Symbol(1), &heard(false), moment, &mut out);
    watch.overhear(Symbol(1), &Overheard { rule: "unheard", ..heard(false) }, moment, &mut out);
    for (time, shown) in [(1, "b/q"), (2, "b/p")] {
        watch.observe(Symbol(1), true, &login(time, shown).event, moment, &mut out);
    }
    watch.overhear(Symbol(1), &heard(true), moment, &mut out);
    assert_eq!(lines(&out), ["found 2 (2)", "withdrawn 2"]);
}

/// When matches are complete: from each event, every way to take later ones for the steps.
fn model(settings: &Sequence, events: &[Given]) -> BTreeSet<Time> {
    let mut events: Vec<&Event<'_>> = events.iter().map(|given| &given.event).collect();
    events.sort_by_key(|event| (event.time, event.symbol(TextField::Id)));
    let mut ways = Vec::new();
    for first in 0..events.len() {
        if holds(settings, &settings.steps[0].when, &events, &[first], first) {
            go(settings, &events, &mut vec![first], &mut ways);
        }
    }
    ways.sort_by_key(|(at, first, _)| (*at, *first));
    let mut stand: Vec<(Time, usize, usize)> = Vec::new();
    for (at, first, last) in ways {
        let is_void = match settings.skip {
            Skip::NoSkip => false,
            Skip::ToNext => stand.iter().any(|other| other.1 == first),
            Skip::PastLastEvent => stand.iter().any(|other| first <= other.2),
        };
        if !is_void {
            stand.push((at, first, last));
        }
    }
    stand.into_iter().map(|(at, ..)| at).collect()
}

fn holds(
    settings: &Sequence,
    when: &StepCondition,
    events: &[&Event<'_>],
    taken: &[usize],
    at: usize,
) -> bool {
    use crate::core::rule::condition::steps::Value;
    let questions = settings.asked.questions.iter().enumerate();
    let bits = questions.fold(0, |bits, (bit, question)| bits | u64::from(question.holds(events[at])) << bit);
    when.holds(bits, &|source| {
        let event = events[source.step.map_or(at, |(step, _)| taken[usize::from(step)])];
        Value::of(settings.asked.fields[usize::from(source.field)], event)
    })
}

fn go(
    settings: &Sequence,
    events: &[&Event<'_>],
    taken: &mut Vec<usize>,
    ways: &mut Vec<(Time, usize, usize)>,
) {
    let (first, last) = (taken[0], taken[taken.len() - 1]);
    let limit = events[first].time + settings.within;
    let Some(step) = settings.steps.get(taken.len()) else {
        let later = last + 1..events.len();
        let hinders = |at: usize| {
            let hinders = |guard: &Guard| holds(settings, &guard.when, events, taken, at);
            events[at].time < limit && settings.after.iter().any(hinders)
        };
        match settings.after.is_empty() {
            true => ways.push((events[last].time, first, last)),
            false if !later.into_iter().any(hinders) => ways.push((limit, first, last)),
            false => {}
        }
        return;
    };
    for at in last + 1..events.len() {
        let hinders = |guard: &Guard| holds(settings, &guard.when, events, taken, at);
        if events[at].time >= limit || step.guards.iter().any(hinders) {
            return;
        }
        if holds(settings, &step.when, events, taken, at) {
            taken.push(at);
            go(settings, events, taken, ways);
            taken.pop();
            if step.then == Then::FollowedBy {
                return;
            }
        }
        if step.then == Then::Next {
            return;
        }
    }
}

fn random_rule(random: &mut Random) -> String {
    let mut rule = format!("  within: {}s\n", random.between(20, 90));
    let skip = ["no_skip", "to_next", "past_last_event"][random.below(3) as usize];
    rule.push_str(&format!("  skip: {skip}\n  steps:\n"));
    let count = random.between(1, 3);
    for place in 0..count {
        if place > 0 && random.percent(30) {
            rule.push_str(&step(&format!("name: n{place}, {}, not: true", is("n"))));
        }
        let letter = ["a", "b"][random.below(2) as usize];
        let then = ["next", "followed_by", "followed_by_any"][random.below(3) as usize];
        let compared = if place > 0 && random.percent(40) { " and ip == s0.ip" } else { "" };
        rule.push_str(&step(&format!(
            "name: s{place}, when: 'device_id == \"{letter}\"{compared}', then: {then}"
        )));
    }
    if count == 1 || random.percent(30) {
        rule.push_str(&step(&format!("name: last, {}, not: true", is("n"))));
    }
    rule
}

#[test]
fn whatever_the_rule_and_the_order_of_arrival_those_matches_stand_that_the_model_finds() {
    let (mut findings, mut withdrawals) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let rule = random_rule(&mut random);
        let settings = settings(&rule);
        let events: Vec<Given> = (0..random.between(1, 25))
            .map(|number| {
                let letter = ["a", "a", "b", "b", "n", "x"][random.below(6) as usize];
                let value = ["p", "q"][random.below(2) as usize];
                // No two at one instant: each finding is then of one event.
                login(random.below(12) * 25 + number, &format!("{letter}/{value}"))
            })
            .collect();
        let lateness = seconds(random.between(0, 40));
        let new = || Box::new(PatternWatch::new(settings.clone(), GRACE, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        let expected: BTreeSet<_> =
            model(&settings, &events).into_iter().map(|time| (Symbol(1), time)).collect();
        assert_eq!(pair.said.found, expected, "seed {seed}\n{rule}");
        findings += pair.said.found.len();
        withdrawals += pair.said.withdrawn;
    }
    assert!(findings > 2_000 && withdrawals > 40, "{findings} findings, {withdrawals} withdrawals");
}

#[test]
fn a_subject_that_has_grown_quiet_is_forgotten_and_a_busy_one_stays_bounded() {
    let settings = settings(&two(&format!("name: one, {}", is("a")), &format!("name: two, {}", is("b"))));
    let mut watch = PatternWatch::new(settings, GRACE, seconds(120));
    let mut out = Vec::new();
    let moment = |now: i64| Moment { settled: at(now - 120), now: at(now), late: false };
    for number in 0..400 {
        watch.observe(Symbol(1), true, &login(0, &format!("a/{number}")).event, moment(0), &mut out);
    }
    assert!(watch.bytes() < 64 << 10, "{}", watch.bytes());
    assert!(watch.given_up() > 0);
    watch.sweep(moment(1_000));
    assert_eq!((watch.subjects(), out.len()), (0, 0));
}
