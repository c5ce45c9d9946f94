//! `frequency` against a model that sorts everything and begins from nothing at each instant.

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, Symbol, TypeSet};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

use EventType::{OrderDelivered, OrderFailed, OrderPaid};

fn rule(at_least: u32, window: i64) -> Frequency {
    Frequency {
        count: Condition::TypeIn(TypeSet::of(OrderFailed)),
        at_least: Some(at_least.into()),
        at_most: None,
        window: seconds(window),
        distinct: None,
        unless: Some(Condition::TypeIn(TypeSet::of(OrderDelivered))),
        reset: false,
    }
}

fn failed(subject: u64, time: i64) -> Given {
    given(subject, OrderFailed, at(time), &[])
}

fn of_order(subject: u64, time: i64, order: &str) -> Given {
    given(subject, OrderFailed, at(time), &[(TextField::OrderId, order)])
}

fn delivered(subject: u64, time: i64) -> Given {
    given(subject, OrderDelivered, at(time), &[])
}

/// One line per verdict, in seconds.
fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({})", evidence.value))
}

/// Gives events in this order, lets time pass after each, and expects these verdicts.
fn check(settings: Frequency, events: &[Given], pass: i64, expected: &[&str]) {
    let new = || Box::new(FrequencyWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let played = Pair::new(&new, seconds(120)).play(events, seconds(pass));
    assert_eq!(lines(&played.said.all), expected);
}

#[test]
fn it_fires_at_every_event_at_which_the_window_is_full_and_ends_when_it_is_not() {
    let events = [failed(1, 0), failed(1, 180), failed(1, 420), failed(1, 500)];
    check(rule(3, 600), &events, 0, &["found 420 (3)", "found 500 (4)"]);
    check(rule(3, 600), &events, 1_000, &["found 420 (3)", "found 500 (4)", "quiet 780"]);
}

#[test]
fn the_far_edge_of_the_window_is_outside_and_the_near_one_inside() {
    check(rule(2, 600), &[failed(1, 0), failed(1, 600)], 0, &[]);
    check(rule(2, 600), &[failed(1, 1), failed(1, 600)], 0, &["found 600 (2)"]);
    check(rule(3, 600), &[failed(1, 1), failed(1, 1), failed(1, 1)], 0, &["found 1 (3)"]);
}

#[test]
fn a_success_clears_what_came_before_it_and_at_its_instant() {
    let events = [failed(1, 0), failed(1, 1), delivered(1, 2), failed(1, 3), failed(1, 4)];
    check(rule(3, 600), &events, 900, &[]);
    let events = [failed(1, 0), failed(1, 1), failed(1, 2), delivered(1, 2)];
    check(rule(3, 600), &events, 900, &["found 2 (3)", "withdrawn 2", "healthy 2"]);
    let events = [failed(1, 0), failed(1, 1), failed(1, 2), delivered(1, 9), failed(1, 10)];
    check(rule(3, 600), &events, 900, &["found 2 (3)", "healthy 9"]);
}

#[test]
fn a_success_that_arrives_late_withdraws_what_it_disproves() {
    let events = [failed(1, 0), failed(1, 10), failed(1, 20), delivered(1, 15)];
    check(rule(3, 600), &events, 900, &["found 20 (3)", "withdrawn 20", "healthy 15"]);
    let events = [failed(1, 0), failed(1, 10), failed(1, 20), failed(1, 30), delivered(1, 5)];
    check(rule(3, 600), &events, 900, &["found 20 (3)", "found 30 (4)", "withdrawn 20", "quiet 610"]);
}

#[test]
fn a_success_of_a_subject_without_state_is_met_by_a_failure_that_arrives_late() {
    let events = [delivered(1, 50), failed(1, 40), failed(1, 45), failed(1, 55)];
    check(rule(3, 600), &events, 900, &[]);
    let events = [delivered(1, 50), failed(1, 40), failed(1, 45), failed(1, 48)];
    check(rule(3, 600), &events, 900, &["found 48 (3)", "healthy 50"]);
}

#[test]
fn a_success_of_a_subject_without_state_takes_no_table_entry() {
    let mut watch = FrequencyWatch::new(rule(3, 600), seconds(5), seconds(120));
    let mut out = Vec::new();
    for second in 0..10_000 {
        let event = delivered(second as u64 + 1, second).event;
        let moment = Moment { settled: at(second - 120), now: at(second), late: false };
        watch.observe(Symbol(second as u64 + 1), true, &event, moment, &mut out);
    }
    assert_eq!((watch.subjects(), out.len()), (0, 0));
    assert!(watch.bytes() < 20_000, "{} bytes", watch.bytes());
}

#[test]
fn an_event_beyond_its_lateness_opens_nothing_but_its_success_still_clears() {
    let events = [failed(1, 300), failed(1, 310), failed(2, 1_000), failed(1, 320)];
    check(rule(3, 3_600), &events, 0, &[]);
    let events = [failed(1, 300), failed(1, 310), failed(1, 320), failed(2, 1_000), delivered(1, 330)];
    check(rule(3, 3_600), &events, 9_000, &["found 320 (3)", "healthy 330"]);
    let events = [failed(1, 300), failed(1, 310), failed(1, 990), failed(2, 1_000), delivered(1, 330)];
    check(rule(3, 3_600), &events, 9_000, &["found 990 (3)", "withdrawn 990", "healthy 330"]);
}

#[test]
fn two_stretches_are_told_apart_even_before_time_itself_has_shown_the_end_of_the_first() {
    let new = || Box::new(FrequencyWatch::new(rule(2, 60), seconds(5), seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for time in [0, 1, 100, 101] {
        pair.observe(&failed(1, time));
    }
    assert_eq!(lines(&pair.said.all), ["found 1 (2)", "quiet 60", "found 101 (2)"]);
    pair.pass(seconds(1_000));
    assert_eq!(lines(&pair.said.all)[3..], ["quiet 160"]);
}

#[test]
fn a_window_with_reset_is_empty_after_a_finding() {
    let events: Vec<_> = (0..7).map(|time| failed(1, time)).collect();
    let mut settings = rule(3, 600);
    settings.reset = true;
    check(settings.clone(), &events, 900, &["found 2 (3)", "found 5 (3)", "quiet 605"]);
    // The second is the third of the first finding, once it is where it belongs.
    let events = [failed(1, 0), failed(1, 20), failed(1, 30), failed(1, 40), failed(1, 50), failed(1, 10)];
    check(settings, &events, 0, &["found 30 (3)", "found 20 (3)", "withdrawn 30", "found 50 (3)"]);
}

#[test]
fn distinct_counts_values_and_leaves_out_events_without_one() {
    let mut settings = rule(3, 600);
    settings.distinct = Some(TextField::OrderId);
    let events = [
        of_order(1, 0, "a"),
        of_order(1, 1, "b"),
        of_order(1, 2, "a"),
        failed(1, 3),
        of_order(1, 4, "c"),
        of_order(1, 601, "d"),
    ];
    check(settings, &events, 900, &["found 4 (3)", "found 601 (3)", "quiet 602"]);
}

#[test]
fn at_most_makes_a_range() {
    let mut settings = rule(2, 600);
    settings.at_most = Some(3.into());
    let events: Vec<_> = (0..5).map(|time| failed(1, time)).collect();
    check(settings, &events, 900, &["found 1 (2)", "found 2 (3)", "quiet 3"]);
}

#[test]
fn a_limit_may_depend_on_a_value_of_the_subject() {
    let mut settings = rule(9, 600);
    let values = [("alipay", 2), ("wechat", 3)];
    settings.at_least = Some(WholeLimit::by(TextField::Channel, values.into_iter(), 4));
    let mut events = Vec::new();
    for time in 0..5 {
        for (subject, channel) in [(1, "alipay"), (2, "wechat"), (3, "card")] {
            events.push(given(subject, OrderFailed, at(time), &[(TextField::Channel, channel)]));
        }
    }
    let new = || Box::new(FrequencyWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let mut pair = Pair::new(&new, seconds(120));
    for event in &events {
        pair.observe(event);
        pair.restart();
    }
    let first =
        |subject| pair.said.found.iter().find(|(found, _)| *found == Symbol(subject)).map(|(_, at)| *at);
    assert_eq!([1, 2, 3].map(first), [1, 2, 3].map(|second| Some(at(second))));
    let limit = |judged: &Judged| match judged.verdict {
        Verdict::Found { evidence, .. } => evidence.limit as u32,
        other => panic!("{other:?}"),
    };
    let limits: BTreeSet<_> = pair.said.all.iter().map(limit).collect();
    assert_eq!(limits, BTreeSet::from([2, 3, 4]));
}

#[test]
fn other_events_and_other_subjects_count_for_nothing() {
    let mut filtered = failed(1, 3);
    filtered.starts = false;
    let events = [failed(1, 0), failed(1, 1), failed(2, 2), given(1, OrderPaid, at(2), &[]), filtered];
    check(rule(3, 600), &events, 900, &[]);
}

/// What a subject's findings are, and where the last stretch ends.
struct Model {
    found: Vec<i64>,
    end: Option<(i64, bool)>,
}

fn model(settings: &Frequency, events: &[&Given]) -> Model {
    let window = settings.window.as_millis();
    let time_of = |given: &&Given| given.event.time.as_millis();
    let counted: Vec<(i64, Symbol)> = events
        .iter()
        .filter(|given| given.event.event_type == OrderFailed)
        .map(|given| (time_of(given), given.event.symbol(TextField::OrderId)))
        .filter(|(_, value)| settings.distinct.is_none() || *value != Symbol::MISSING)
        .collect();
    let cleared: BTreeSet<i64> =
        events.iter().filter(|given| given.event.event_type == OrderDelivered).map(time_of).collect();
    let instants: BTreeSet<i64> = counted.iter().map(|(time, _)| *time).collect();
    let value_at = |time: i64, wall: i64| {
        let success = cleared.range(..=time).next_back().copied().unwrap_or(i64::MIN);
        let inside = counted
            .iter()
            .filter(|(other, _)| *other <= time && *other > (time - window).max(success).max(wall));
        match settings.distinct {
            None => inside.count() as u32,
            Some(_) => inside.map(|(_, value)| value).collect::<BTreeSet<_>>().len() as u32,
        }
    };
    let holds = |value: u32| {
        value >= settings.at_least.as_ref().map_or(1, WholeLimit::most)
            && settings.at_most.as_ref().is_none_or(|most| value <= most.most())
    };
    let (mut found, mut wall) = (Vec::new(), i64::MIN);
    for time in &instants {
        if holds(value_at(*time, wall)) {
            found.push(*time);
            if settings.reset {
                wall = *time;
            }
        }
    }
    let end = found.last().map(|last| {
        // The first moment after the last finding at which the condition is false, looked for step by step.
        (*last..).map(|time| time.div_euclid(1_000) * 1_000).step_by(1_000).find_map(|time| {
            let healthy = cleared.range(*last..=time).next().is_some();
            let over = healthy
                || if settings.reset { time >= last + window } else { !holds(value_at(time, i64::MIN)) }
                || !settings.reset && settings.at_least.is_none() && time >= last + window;
            over.then_some((time, healthy))
        })
    });
    Model { found, end: end.flatten() }
}

fn random_rule(random: &mut Random) -> Frequency {
    let mut settings = rule(random.between(1, 4) as u32, random.between(1, 40));
    if random.percent(30) {
        settings.distinct = Some(TextField::OrderId);
    }
    if random.percent(20) {
        let least = settings.at_least.as_ref().map_or(1, WholeLimit::most);
        settings.at_most = Some((least + random.below(3) as u32).into());
    } else if random.percent(30) {
        settings.reset = true;
    }
    if random.percent(20) {
        settings.unless = None;
    }
    settings
}

fn random_events(random: &mut Random, unless: bool) -> Vec<Given> {
    let mut events = Vec::new();
    for _ in 0..random.between(5, 60) {
        let (subject, time) = (random.between(1, 3) as u64, random.below(90));
        events.push(if unless && random.percent(20) {
            delivered(subject, time)
        } else if random.percent(90) {
            of_order(subject, time, &random.below(5).to_string())
        } else {
            failed(subject, time)
        });
    }
    events
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn, mut ends) = (0, 0, 0);
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let settings = random_rule(&mut random);
        let events = random_events(&mut random, settings.unless.is_some());
        let lateness = seconds(random.between(0, 30));
        // An end that is judged once all has settled must be exact; one that is judged earlier may only come.
        let patient = random.percent(50);
        let grace = if patient { lateness + seconds(1) } else { seconds(random.below(5)) };
        let new = || Box::new(FrequencyWatch::new(settings.clone(), grace, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        for subject in 1..=3 {
            let own: Vec<_> = events.iter().filter(|given| given.subject == Symbol(subject)).collect();
            let model = model(&settings, &own);
            let stands: Vec<_> = pair
                .said
                .found
                .iter()
                .filter(|(found, _)| *found == Symbol(subject))
                .map(|(_, time)| time.as_millis())
                .collect();
            assert_eq!(stands, model.found, "seed {seed}, subject {subject}, {settings:?}");
            findings += stands.len();
            let Some((end, healthy)) = model.end else { continue };
            ends += 1;
            let last = pair.said.of(Symbol(subject)).rfind(|said| !matches!(said, Verdict::Withdrawn { .. }));
            // Once an event has ended it, an earlier one that arrives later changes nothing.
            let ranged = settings.at_most.is_some();
            let is_end = |said| {
                let Verdict::Cleared { at, healthy: other } = said else { return false };
                let later = at.as_millis() > end && (healthy || ranged);
                (at.as_millis() == end || later) && (other == healthy || ranged)
            };
            // A whole stretch that was withdrawn ends when that is known.
            let vanished = pair
                .said
                .of(Symbol(subject))
                .any(|said| matches!(said, Verdict::Withdrawn { since } if since >= Time::from_millis(end)));
            if patient && !vanished {
                assert!(
                    last.is_some_and(is_end),
                    "seed {seed}, subject {subject}: {end} {last:?} {settings:?}"
                );
            } else {
                assert!(matches!(last, Some(Verdict::Cleared { .. })), "seed {seed}: {last:?}");
            }
        }
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 15_000 && withdrawn > 1_000 && ends > 2_500, "{findings} {withdrawn} {ends}");
}

#[test]
fn above_64_entries_a_count_is_approximate_by_less_than_a_bucket_and_never_too_high() {
    let mut random = Random::new(7);
    let mut watch = FrequencyWatch::new(rule(100, 3_600), seconds(5), seconds(120));
    let (mut times, mut out, mut approximate, mut time) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..20_000 {
        time += random.below(40);
        times.push(time);
        let moment = Moment { settled: at(time - 120), now: at(time), late: false };
        watch.observe(Symbol(1), true, &failed(1, time).event, moment, &mut out);
        let exact = times.iter().rev().take_while(|other| **other > time - 3_600).count() as f64;
        let reach = 3_600 - 3_600 / 64 - 1;
        let least = times.iter().rev().take_while(|other| **other > time - reach).count() as f64;
        if let Some(Verdict::Found { evidence, .. }) = out.pop().map(|judged| judged.verdict) {
            assert!((least..=exact).contains(&evidence.value), "{least} {} {exact}", evidence.value);
            approximate += usize::from(evidence.approximate);
        }
        out.clear();
    }
    assert!(approximate > 15_000, "{approximate}");
    assert_eq!(watch.given_up(), 0);
    watch.sweep(Moment { settled: at(time - 120), now: at(time), late: false });
    assert!(watch.bytes() < 2_048, "a busy subject and the tables of a watch take {} bytes", watch.bytes());
}

#[test]
fn more_distinct_values_than_are_kept_still_pass_the_limit_and_say_that_they_are_more() {
    let mut settings = rule(100, 3_600);
    settings.distinct = Some(TextField::OrderId);
    let mut watch = FrequencyWatch::new(settings, seconds(5), seconds(0));
    let (mut out, mut found) = (Vec::new(), 0);
    for time in 0..3_000 {
        let event = of_order(1, time, &(time % 500).to_string()).event;
        let moment = Moment { settled: at(time), now: at(time), late: false };
        watch.observe(Symbol(1), true, &event, moment, &mut out);
        for judged in out.drain(..) {
            let Verdict::Found { evidence, .. } = judged.verdict else { panic!("{judged:?}") };
            let exact = (time + 1).min(500) as f64;
            assert!((100.0..=exact).contains(&evidence.value), "at {time}: {evidence:?}");
            assert_eq!(evidence.approximate, evidence.value < exact, "at {time}: {evidence:?}");
            found += 1;
        }
    }
    assert_eq!(found, 2_901);
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_an_idle_one_nothing() {
    let mut watch = FrequencyWatch::new(rule(3, 600), seconds(5), seconds(120));
    let mut out = Vec::new();
    let count = 100_000;
    for subject in 1..=count {
        let moment = Moment { settled: at(-120), now: at(0), late: false };
        let subject = Symbol(subject).with(Symbol(1));
        watch.observe(subject, true, &failed(1, 0).event, moment, &mut out);
    }
    let bytes = watch.bytes() / count as usize;
    assert!(bytes <= 200, "{bytes} bytes a subject");
    for _ in 0..(count / 16) {
        watch.sweep(Moment { settled: at(600), now: at(720), late: false });
    }
    assert_eq!(watch.subjects(), 0);
}
