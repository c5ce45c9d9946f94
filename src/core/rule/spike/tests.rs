//! `spike` against a model that looks at every millisecond and computes from nothing each time.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, NumberField, Symbol, TypeSet};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Verdict};
use crate::core::time::Time;

use EventType::{OrderCreated, OrderPaid};

fn rule(window: Span, height: &str, direction: Direction) -> Spike {
    Spike {
        count: Condition::TypeIn(TypeSet::of(OrderCreated)),
        agg: Agg::Count,
        field: None,
        window,
        reference: window,
        height: height.parse().unwrap(),
        direction,
        min_reference: 1,
        min_current: 0,
    }
}

fn created(subject: u64, time: Time, amount: i64) -> Given {
    let mut given = given(subject, OrderCreated, time, &[]);
    given.event.set_number(NumberField::Amount, Decimal::from(amount));
    given
}

/// One line per verdict, in seconds.
fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({} of {})", evidence.value, evidence.limit))
}

/// Gives events in this order, lets time pass after each, and expects these verdicts.
fn check(settings: &Spike, times: &[i64], pass: i64, expected: &[&str]) {
    let new = || Box::new(SpikeWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let events: Vec<Given> = times.iter().map(|time| created(1, at(*time), 1)).collect();
    let played = Pair::new(&new, seconds(120)).play(&events, seconds(pass));
    assert_eq!(lines(&played.said.all), expected);
}

#[test]
fn several_times_as_much_as_before_is_found_once_both_windows_are_whole() {
    let settings = rule(seconds(60), "3", Direction::Up);
    // One in the reference, three in the window; before two minutes have passed nothing is said.
    check(&settings, &[0, 30, 100, 101, 102], 0, &[]);
    check(&settings, &[0, 30, 40, 121, 122, 123], 0, &[]);
    check(&settings, &[0, 61, 121, 122, 123], 0, &["found 123 (3 of 3)"]);
    check(&settings, &[0, 61, 121, 122, 123], 600, &["found 123 (3 of 3)", "quiet 181"]);
}

#[test]
fn a_fall_is_found_by_time_alone() {
    let settings = Spike { min_reference: 3, ..rule(seconds(60), "3", Direction::Down) };
    check(&settings, &[0, 50, 61, 62, 110], 100, &["found 122 (1 of 1)", "found 170 (0 of 1)", "quiet 181"]);
}

#[test]
fn windows_of_different_lengths_are_compared_as_rates() {
    let settings = Spike { reference: seconds(120), ..rule(seconds(60), "2", Direction::Up) };
    // Two in two minutes are one in a minute.
    check(&settings, &[0, 70, 71, 185], 0, &[]);
    check(&settings, &[0, 70, 71, 185, 186], 0, &["found 186 (2 of 2)"]);
}

#[test]
fn other_events_do_not_count() {
    let settings = rule(seconds(60), "2", Direction::Up);
    let new = || Box::new(SpikeWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for time in [0, 61, 121, 122] {
        pair.observe(&given(1, OrderPaid, at(time), &[]));
    }
    assert!(pair.said.all.is_empty() && pair.watch().subjects() == 0);
}

/// What a subject's findings are, and where the last stretch ends.
fn model(settings: &Spike, samples: &[(i64, Decimal)]) -> (Vec<i64>, Option<i64>) {
    let (window, reference) = (settings.window.as_millis(), settings.reference.as_millis());
    let of = |from: i64, to: i64| {
        let inside = samples.iter().filter(|(at, _)| *at > from && *at <= to);
        let values: Vec<Decimal> = inside.map(|(_, value)| *value).collect();
        let (count, sum) = (Decimal::from(values.len() as u64), values.iter().sum::<Decimal>());
        let value = match settings.agg {
            Agg::Count => Some(count),
            Agg::Sum => Some(sum),
            Agg::Max => values.iter().max().copied(),
            _ => sum.checked_div(count),
        };
        (values.len(), value)
    };
    let holds = |time: i64| {
        let mut begun = time;
        for (at, _) in samples.iter().rev().filter(|(at, _)| *at <= time) {
            if begun - at >= window + reference {
                break;
            }
            begun = *at;
        }
        let ((now, current), (then, usual)) =
            (of(time - window, time), of(time - window - reference, time - window));
        let (Some(current), Some(usual)) = (current, usual) else { return false };
        if begun + window + reference > time
            || now < settings.min_current as usize
            || then < settings.min_reference as usize
        {
            return false;
        }
        let is_rate = matches!(settings.agg, Agg::Count | Agg::Sum);
        let (w, r) = if is_rate { (window, reference) } else { (1, 1) };
        let (current, usual) = (current * Decimal::from(r), usual * Decimal::from(w));
        let up = current > Decimal::ZERO && current >= usual * settings.height;
        let down = usual > Decimal::ZERO && current * settings.height <= usual;
        up && settings.direction != Direction::Down || down && settings.direction != Direction::Up
    };
    let (Some((first, _)), Some((last, _))) = (samples.first(), samples.last()) else {
        return (Vec::new(), None);
    };
    let moments: BTreeSet<i64> =
        samples.iter().flat_map(|(at, _)| [*at, at + window, at + window + reference]).collect();
    let (mut found, mut end) = (Vec::new(), None);
    for time in *first..=last + window + reference {
        let holds = holds(time);
        if holds && moments.contains(&time) {
            found.push(time);
            end = None;
        } else if !holds && !found.is_empty() && end.is_none() {
            end = Some(time);
        }
    }
    (found, end)
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn, mut ends) = (0, 0, 0);
    let base = at(0).as_millis();
    for seed in 0..1_000 {
        let mut random = Random::new(seed);
        let window = Span::from_millis(random.between(4, 20));
        let direction = [Direction::Up, Direction::Down, Direction::Both][random.below(3) as usize];
        let mut settings = rule(window, ["1.5", "2", "3"][random.below(3) as usize], direction);
        settings.agg = [Agg::Count, Agg::Count, Agg::Sum, Agg::Max, Agg::Avg][random.below(5) as usize];
        settings.field = (settings.agg != Agg::Count).then_some(Field::Number(NumberField::Amount));
        settings.reference = Span::from_millis(random.between(4, 40));
        settings.min_reference = random.between(1, 3) as u32;
        settings.min_current = random.below(3) as u32;
        let events: Vec<Given> = (0..random.between(5, 60))
            .map(|_| {
                let time = Time::from_millis(base + random.below(100));
                created(random.between(1, 2) as u64, time, random.below(9))
            })
            .collect();
        let lateness = Span::from_millis(random.between(0, 30));
        let patient = random.percent(50);
        let grace =
            if patient { lateness + Span::from_millis(1) } else { Span::from_millis(random.below(5)) };
        let new = || Box::new(SpikeWatch::new(settings.clone(), grace, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        for subject in 1..=2 {
            let own = events.iter().filter(|given| given.subject == Symbol(subject));
            let sample = |given: &Given| {
                (given.event.time.as_millis(), given.event.number(NumberField::Amount).unwrap())
            };
            let mut samples: Vec<(i64, Decimal)> = own.map(sample).collect();
            samples.sort();
            let (expected, end) = model(&settings, &samples);
            let of_subject = pair.said.found.iter().filter(|(found, _)| *found == Symbol(subject));
            let stands: Vec<i64> = of_subject.map(|(_, time)| time.as_millis()).collect();
            assert_eq!(stands, expected, "seed {seed}, subject {subject}, {settings:?} {samples:?}");
            findings += stands.len();
            let Some(end) = end else { continue };
            ends += 1;
            let last = pair.said.of(Symbol(subject)).rfind(|said| !matches!(said, Verdict::Withdrawn { .. }));
            let told = matches!(last, Some(Verdict::Cleared { at, .. }) if at.as_millis() >= end || !patient);
            assert!(told, "seed {seed}, subject {subject}: {last:?} for {end}, {settings:?}");
        }
        withdrawn += pair.said.withdrawn;
    }
    assert!(
        findings > 5_000 && withdrawn > 300 && ends > 700,
        "{findings} findings, {withdrawn} withdrawn, {ends} ends"
    );
}
