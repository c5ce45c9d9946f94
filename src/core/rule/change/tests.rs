//! `change` against a model that sorts everything and looks back from each instant.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, Symbol};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment};
use crate::core::time::Time;

use TextField::{DeviceId, Ip};

fn rule(window: i64) -> Change {
    Change { fields: vec![DeviceId, Ip], window: seconds(window), missing_fires: false }
}

/// `device/ip`, either of which may be missing.
fn login(time: i64, shown: &str) -> Given {
    let (device, ip) = shown.split_once('/').unwrap();
    let texts = [(DeviceId, device), (Ip, ip)];
    let texts: Vec<_> = texts.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    given(1, EventType::LoginSucceeded, at(time), &texts)
}

fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({})", evidence.value))
}

/// Gives events in this order and expects these verdicts.
fn check(settings: &Change, events: &[(i64, &str)], expected: &[&str]) {
    let new = || Box::new(ChangeWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for (time, shown) in events {
        pair.observe(&login(*time, shown));
        pair.restart();
        pair.sweep();
    }
    assert_eq!(lines(&pair.said.all), expected);
}

#[test]
fn any_field_that_is_not_what_it_was_last_is_found_and_the_first_value_is_not() {
    let events = [(0, "d1/i1"), (10, "d1/i1"), (20, "d2/i1"), (30, "d2/i1"), (40, "d1/i2"), (50, "d1/i2")];
    check(&rule(3_600), &events, &["found 20 (1)", "found 40 (2)"]);
}

#[test]
fn what_was_seen_a_whole_window_ago_is_not_compared_with() {
    check(&rule(100), &[(0, "d1/"), (100, "d2/")], &[]);
    check(&rule(100), &[(1, "d1/"), (100, "d2/")], &["found 100 (1)"]);
    // The address was seen again since; the device was not.
    check(&rule(100), &[(0, "d1/i1"), (50, "/i1"), (100, "d2/i2")], &["found 100 (1)"]);
}

#[test]
fn a_field_that_is_missing_is_left_out_or_is_a_value_of_its_own() {
    let events = [(0, "d1/i1"), (10, "/i1"), (20, "d1/i1"), (30, "/"), (40, "d1/i2")];
    check(&rule(3_600), &events, &["found 40 (1)"]);
    let settings = Change { missing_fires: true, ..rule(3_600) };
    let expected = ["found 10 (1)", "found 20 (1)", "found 30 (2)", "found 40 (2)"];
    check(&settings, &events, &expected);
}

#[test]
fn two_values_at_one_instant_are_a_change_and_either_is_what_it_was_last() {
    check(&rule(3_600), &[(0, "d1/"), (0, "d2/"), (10, "d1/")], &["found 0 (1)"]);
    check(
        &rule(3_600),
        &[(0, "d2/"), (0, "d1/"), (10, "d2/"), (20, "d1/")],
        &["found 0 (1)", "found 20 (1)"],
    );
    check(&rule(3_600), &[(0, "d1/"), (0, "d2/"), (10, "d3/")], &["found 0 (1)", "found 10 (1)"]);
}

#[test]
fn an_event_that_arrives_late_moves_the_change_to_where_it_belongs() {
    let events = [(0, "d1/"), (60, "d2/"), (30, "d2/")];
    check(&rule(3_600), &events, &["found 60 (1)", "found 30 (1)", "withdrawn 60"]);
    let events = [(0, "d1/"), (60, "d1/"), (30, "d2/")];
    check(&rule(3_600), &events, &["found 30 (1)", "found 60 (1)"]);
}

#[test]
fn an_event_beyond_its_lateness_neither_changes_nor_is_compared_with() {
    check(&rule(3_600), &[(0, "d1/"), (300, "d1/"), (100, "d2/"), (310, "d1/")], &[]);
}

fn model(settings: &Change, events: &[&Given]) -> BTreeSet<Time> {
    let shown = |given: &Given, field| {
        let value = given.event.symbol(field);
        (value != Symbol::MISSING || settings.missing_fires).then_some(value)
    };
    let values = |time: Time, field| -> BTreeSet<Symbol> {
        let then = events.iter().filter(|given| given.event.time == time);
        then.filter_map(|given| shown(given, field)).collect()
    };
    let instants: BTreeSet<Time> = events.iter().map(|given| given.event.time).collect();
    let changed = |time: &Time| {
        settings.fields.iter().any(|field| {
            let now = values(*time, *field);
            let within =
                instants.range(..*time).rev().take_while(|before| **before > *time - settings.window);
            let last = within.map(|before| values(*before, *field)).find(|values| !values.is_empty());
            now.len() > 1 || last.is_some_and(|last| !now.is_subset(&last))
        })
    };
    instants.iter().copied().filter(changed).collect()
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn) = (0, 0);
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let fields = if random.percent(30) { vec![Ip] } else { vec![DeviceId, Ip] };
        let settings =
            Change { fields, window: seconds(random.between(5, 300)), missing_fires: random.percent(30) };
        let lateness = seconds(random.between(0, 60));
        let (length, values) = (random.between(20, 300), random.between(2, 4));
        let events: Vec<_> = (0..random.between(2, 40))
            .map(|_| {
                let value = |random: &mut Random, letter: char| match random.percent(85) {
                    true => format!("{letter}{}", random.below(values)),
                    false => String::new(),
                };
                let shown = format!("{}/{}", value(&mut random, 'd'), value(&mut random, 'i'));
                let starts = random.percent(90);
                let subject = Symbol(random.between(1, 2) as u64);
                Given { subject, starts, ..login(random.below(length), &shown) }
            })
            .collect();
        let new = || Box::new(ChangeWatch::new(settings.clone(), seconds(0), lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        let mut expected = BTreeSet::new();
        for subject in [Symbol(1), Symbol(2)] {
            let own: Vec<_> =
                events.iter().filter(|given| given.subject == subject && given.starts).collect();
            expected.extend(model(&settings, &own).into_iter().map(|time| (subject, time)));
        }
        assert_eq!(pair.said.found, expected, "seed {seed}, {settings:?}");
        assert_eq!(pair.watch().given_up(), 0);
        findings += expected.len();
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 10_000 && withdrawn > 500, "{findings} {withdrawn}");
}

#[test]
fn a_busy_subject_is_bounded_and_what_is_given_up_is_counted_and_never_found_wrongly() {
    let mut watch = ChangeWatch::new(rule(3_600), seconds(0), seconds(3_600));
    let (mut out, mut random) = (Vec::new(), Random::new(7));
    let moment = Moment { settled: at(0), now: at(3_000), late: false };
    for time in 0..2_000 {
        let event = login(time, &format!("d{}/", time / 100)).event;
        watch.observe(Symbol(1), true, &event, moment, &mut out);
        let early = login(random.below(time + 1), "d0/").event;
        if early.time < at(time - 150) {
            out.clear();
            watch.observe(Symbol(1), true, &early, moment, &mut out);
            assert!(out.is_empty(), "{:?}", lines(&out));
        }
    }
    for instant in 0..1_000 {
        let event = login(2_500, &format!("e{instant}/")).event;
        watch.observe(Symbol(1), true, &event, moment, &mut out);
    }
    assert!(watch.given_up() > 1_000, "{}", watch.given_up());
    watch.sweep(moment);
    assert!(watch.bytes() <= 2_048, "{} bytes with the tables of a watch", watch.bytes());
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_an_idle_one_nothing() {
    let mut watch = ChangeWatch::new(rule(600), seconds(5), seconds(120));
    let (mut out, count) = (Vec::new(), 100_000);
    for subject in 1..=count {
        let moment = Moment { settled: at(-120), now: at(0), late: false };
        watch.observe(Symbol(subject).with(Symbol(1)), true, &login(0, "d1/i1").event, moment, &mut out);
    }
    let bytes = watch.bytes() / count as usize;
    assert!(bytes <= 200, "{bytes} bytes a subject");
    for _ in 0..(count / 16) {
        watch.sweep(Moment { settled: at(600), now: at(720), late: false });
    }
    assert_eq!(watch.subjects(), 0);
}
