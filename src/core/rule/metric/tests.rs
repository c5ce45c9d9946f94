//! `metric` against a model that looks at every millisecond and computes from nothing each time.

mod model;

use std::collections::BTreeSet;

use super::*;
use crate::core::event::{EventType, NumberField, Symbol, TypeSet};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair as Both, Random, at, disordered, given, seconds, told};
use crate::core::rule::verdict::{Judged, Moment, Verdict};
use crate::core::time::Time;

use EventType::{OrderDelivered, OrderPaid};
use model::Model;

fn number(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn rule(agg: Agg, bound: Bound, limit: &str, window: Span) -> Metric {
    Metric {
        agg,
        of: Sampled::Field(Field::Number(NumberField::Amount)),
        window,
        bound,
        limit: Limit::One(number(limit)),
        min_samples: 1,
    }
}

fn share(text: &str) -> Agg {
    Agg::Quantile(number(text))
}

fn pairs(agg: Agg, bound: Bound, limit: Span, window: Span) -> Metric {
    let pair = Pair {
        key: TextField::OrderId,
        start: Condition::TypeIn(TypeSet::of(OrderPaid)),
        end: Condition::TypeIn(TypeSet::of(OrderDelivered)),
    };
    Metric { of: Sampled::Pair(Box::new(pair)), ..rule(agg, bound, &limit.as_millis().to_string(), window) }
}

fn amount(subject: u64, time: Time, amount: &str) -> Given {
    let mut given = given(subject, OrderPaid, time, &[]);
    given.event.set_number(NumberField::Amount, number(amount));
    given
}

fn order(subject: u64, event_type: EventType, time: Time, order: &str) -> Given {
    given(subject, event_type, time, &[(TextField::OrderId, order)])
}

/// One line per verdict, in seconds.
fn lines(said: &[Judged]) -> Vec<String> {
    told(said, |evidence| format!(" ({})", evidence.value))
}

/// Gives events in this order, lets time pass after each, and expects these verdicts.
fn check(settings: &Metric, events: &[Given], pass: i64, expected: &[&str]) {
    let new = || Box::new(MetricWatch::new(settings.clone(), seconds(5), seconds(120))) as Box<dyn Watch>;
    let played = Both::new(&new, seconds(120)).play(events, seconds(pass));
    assert_eq!(lines(&played.said.all), expected);
}

#[test]
fn a_sum_of_decimals_is_exact_and_ends_quietly_when_less_happens() {
    let settings = rule(Agg::Sum, Bound::AtLeast, "0.3", seconds(60));
    let events = [amount(1, at(0), "0.1"), amount(1, at(10), "0.1"), amount(1, at(20), "0.10")];
    check(&settings, &events, 0, &["found 20 (0.3)"]);
    check(&settings, &events, 900, &["found 20 (0.3)", "quiet 60"]);
    let settings = rule(Agg::Sum, Bound::Above, "0.3", seconds(60));
    check(&settings, &events, 900, &[]);
}

#[test]
fn an_average_is_found_when_what_held_it_down_leaves_the_window_and_recovers_with_a_sample() {
    let settings = rule(Agg::Avg, Bound::Above, "10", seconds(60));
    let events = [amount(1, at(0), "1"), amount(1, at(30), "12")];
    check(&settings, &events, 40, &["found 60 (12)"]);
    check(&settings, &events, 900, &["found 60 (12)", "quiet 90"]);
    let events = [amount(1, at(0), "1"), amount(1, at(30), "12"), amount(1, at(70), "3")];
    check(&settings, &events, 900, &["found 60 (12)", "healthy 70"]);
}

#[test]
fn what_asks_for_little_waits_for_a_whole_window() {
    let settings = rule(Agg::Count, Bound::Below, "3", seconds(60));
    let settings = Metric { of: Sampled::Events, ..settings };
    let events =
        [amount(1, at(0), "1"), amount(1, at(30), "1"), amount(1, at(50), "1"), amount(1, at(70), "1")];
    check(&settings, &events[..3], 20, &["found 60 (2)"]);
    check(&settings, &events, 9, &["found 60 (2)", "healthy 70"]);
    // After a silence as long as the window it begins anew.
    let events = [amount(1, at(0), "1"), amount(1, at(60), "1"), amount(1, at(90), "1")];
    check(&settings, &events, 0, &[]);
    check(&settings, &events, 60, &["found 120 (1)"]);
    check(&settings, &events, 900, &["found 120 (1)", "quiet 150"]);
}

#[test]
fn fewer_than_min_samples_say_nothing_and_show_no_recovery() {
    let mut settings = rule(Agg::Max, Bound::Above, "10", seconds(60));
    settings.min_samples = 2;
    let events = [amount(1, at(0), "50"), amount(1, at(40), "1")];
    check(&settings, &events, 900, &["found 40 (50)", "quiet 60"]);
    check(&settings, &events[..1], 900, &[]);
}

#[test]
fn the_time_since_the_last_event_grows_until_the_next_one_comes() {
    let settings = rule(Agg::SinceLast, Bound::AtLeast, "20000", seconds(60));
    let settings = Metric { of: Sampled::Events, ..settings };
    let events = [amount(1, at(0), "1"), amount(1, at(19), "1"), amount(1, at(50), "1")];
    check(&settings, &events[..2], 25, &["found 39 (20)"]);
    check(&settings, &events, 0, &["found 39 (20)", "healthy 50"]);
    check(
        &settings,
        &events,
        900,
        &["found 39 (20)", "healthy 50", "found 70 (20)", "found 79 (29)", "quiet 110"],
    );
    // An event that arrives late shows that it was not so.
    let events = [amount(1, at(0), "1"), amount(1, at(40), "1"), amount(1, at(10), "1")];
    check(
        &settings,
        &events,
        0,
        &["found 20 (20)", "healthy 40", "found 30 (20)", "withdrawn 20", "healthy 40"],
    );
}

#[test]
fn what_is_still_open_counts_with_its_age_so_that_time_alone_makes_it_true() {
    let settings = pairs(share("0.5"), Bound::Above, seconds(120), seconds(600));
    let events = [order(1, OrderPaid, at(0), "a"), order(1, OrderPaid, at(60), "b")];
    // The median of two is their middle.
    check(&settings, &events, 150, &["found 150.001 (120.001)"]);
    check(&settings, &events, 9_000, &["found 150.001 (120.001)", "found 600 (540)", "quiet 660"]);
    let ended = [events[0].clone(), events[1].clone(), order(1, OrderDelivered, at(100), "a")];
    check(&settings, &ended, 70, &[]);
    check(&settings, &ended, 120, &["found 200.001 (120.0005)"]);
}

#[test]
fn the_first_start_of_a_key_counts_and_an_end_counts_whatever_arrives_first() {
    let settings = pairs(Agg::Max, Bound::AtLeast, seconds(60), seconds(600));
    let events = [
        order(1, OrderPaid, at(0), "a"),
        order(1, OrderPaid, at(30), "a"),
        order(1, OrderDelivered, at(59), "a"),
    ];
    check(&settings, &events, 9_000, &[]);
    let events = [order(1, OrderDelivered, at(59), "a"), order(1, OrderPaid, at(0), "a")];
    check(&settings, &events, 9_000, &[]);
    let mut filtered = order(0, OrderDelivered, at(20), "a");
    filtered.starts = false;
    check(&settings, &[order(1, OrderPaid, at(0), "a"), filtered], 9_000, &[]);
    let events = [
        order(1, OrderPaid, at(0), "a"),
        order(1, OrderDelivered, at(64), "a"),
        order(1, OrderPaid, at(70), "b"),
    ];
    check(&settings, &events, 0, &["found 60 (60)", "found 70 (64)"]);
    // The end arrives after its limit and shows that the limit was kept.
    let events = [
        order(1, OrderPaid, at(0), "a"),
        order(2, OrderPaid, at(70), "b"),
        order(1, OrderDelivered, at(50), "a"),
    ];
    check(&settings, &events, 0, &["found 60 (60)", "withdrawn 60", "quiet 50"]);
}

#[test]
fn limits_may_depend_on_the_subject() {
    let mut settings = rule(Agg::Max, Bound::Above, "10", seconds(60));
    settings.limit = Limit::By {
        field: TextField::Channel,
        values: [("alipay".to_owned(), number("100"))].into(),
        default: number("10"),
    };
    let of = |channel: &str, subject, time| {
        let mut given = given(subject, OrderPaid, at(time), &[(TextField::Channel, channel)]);
        given.event.set_number(NumberField::Amount, number("50"));
        given
    };
    check(&settings, &[of("alipay", 1, 0), of("wechat", 2, 1)], 0, &["found 1 (50)"]);
}

#[test]
fn an_event_without_the_field_is_no_sample_and_one_beyond_its_lateness_neither() {
    let settings = rule(Agg::Count, Bound::AtLeast, "1", seconds(600));
    check(&settings, &[given(1, OrderPaid, at(0), &[])], 0, &[]);
    check(&settings, &[amount(2, at(500), "1"), amount(1, at(300), "1")], 0, &["found 500 (1)"]);
}

#[test]
fn texts_are_told_apart_and_counted() {
    let channels = |agg, limit| Metric {
        of: Sampled::Field(Field::Text(TextField::Channel)),
        ..rule(agg, Bound::AtLeast, limit, seconds(600))
    };
    let of = |time, channel: &str| given(1, OrderPaid, at(time), &[(TextField::Channel, channel)]);
    let events = [of(0, "a"), of(1, "b"), of(2, "a"), of(3, "c")];
    check(&channels(Agg::Distinct, "3"), &events, 0, &["found 3 (3)"]);
    check(&channels(Agg::ModeCount, "2"), &events, 0, &["found 2 (2)", "found 3 (2)"]);
}

fn random_rule(random: &mut Random) -> Metric {
    let window = Span::from_millis(random.between(5, 40));
    let bounds = Bound::ALL.map(|(_, bound)| bound);
    let bound = bounds[random.below(6) as usize];
    let aggs = [
        Agg::Count,
        Agg::Distinct,
        Agg::Sum,
        Agg::Avg,
        Agg::Min,
        Agg::Max,
        share("0.5"),
        share("0.9"),
        Agg::Stddev,
        Agg::ModeCount,
        Agg::First,
        Agg::Last,
    ];
    let mut settings = if random.percent(35) {
        let agg = [Agg::Sum, Agg::Avg, Agg::Min, Agg::Max, share("0.5"), share("0.95"), Agg::SinceLast]
            [random.below(7) as usize];
        let bound = bounds[random.below(4) as usize];
        let limit = Span::from_millis(random.between(1, (window.as_millis() - 1).min(25)));
        let settings = pairs(agg, bound, limit, window);
        if agg == Agg::SinceLast { Metric { of: Sampled::Events, ..settings } } else { settings }
    } else {
        let agg = aggs[random.below(12) as usize];
        let limit = match agg {
            Agg::Count | Agg::Distinct | Agg::ModeCount => random.between(1, 5).to_string(),
            Agg::Sum => random.between(2, 30).to_string(),
            Agg::Stddev => "2.5".to_owned(),
            _ => random.between(1, 8).to_string(),
        };
        rule(agg, bound, &limit, window)
    };
    settings.min_samples = random.between(1, 3) as u32;
    settings
}

fn random_events(random: &mut Random, settings: &Metric) -> Vec<Given> {
    let base = at(0).as_millis();
    let mut events = Vec::new();
    for number in 0..random.between(5, 50) {
        let subject = random.between(1, 3) as u64;
        let time = Time::from_millis(base + random.below(90));
        if settings.pair().is_some() {
            let key = format!("{subject}-{number}");
            events.push(order(subject, OrderPaid, time, &key));
            if random.percent(30) {
                events.push(order(subject, OrderPaid, time + Span::from_millis(random.below(3)), &key));
            }
            if random.percent(70) {
                let after = random.below(30) + 3;
                events.push(order(subject, OrderDelivered, time + Span::from_millis(after), &key));
                if random.percent(20) {
                    events.push(order(subject, OrderDelivered, time + Span::from_millis(after + 5), &key));
                }
            }
        } else if random.percent(95) {
            events.push(amount(subject, time, &format!("{}.{}", random.below(10), random.below(2) * 5)));
        } else {
            events.push(given(subject, OrderPaid, time, &[]));
        }
    }
    events
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    let (mut findings, mut withdrawn, mut ends, mut quiet) = (0, 0, 0, 0);
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let settings = random_rule(&mut random);
        let events = random_events(&mut random, &settings);
        let lateness = Span::from_millis(random.between(0, 30));
        let patient = random.percent(50);
        let grace =
            if patient { lateness + Span::from_millis(1) } else { Span::from_millis(random.below(5)) };
        let new = || Box::new(MetricWatch::new(settings.clone(), grace, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let both = Both::new(&new, lateness).run(&mut random, &arrivals, true);
        for subject in 1..=3 {
            let own: Vec<_> = events.iter().filter(|given| given.subject == Symbol(subject)).collect();
            let model = Model::new(&settings, &own);
            let (expected, end) = model.findings();
            let of_subject = both.said.found.iter().filter(|(found, _)| *found == Symbol(subject));
            let stands: Vec<i64> = of_subject.map(|(_, time)| time.as_millis()).collect();
            assert_eq!(stands, expected, "seed {seed}, subject {subject}, {settings:?} {:?}", model.samples);
            findings += stands.len();
            quiet += stands.iter().filter(|time| model.samples.iter().all(|(at, _)| at != *time)).count();
            let Some(end) = end else { continue };
            ends += 1;
            let last = both.said.of(Symbol(subject)).rfind(|said| !matches!(said, Verdict::Withdrawn { .. }));
            let Some(Verdict::Cleared { at, .. }) = last else {
                panic!("seed {seed}, subject {subject}: {last:?} and not an end at {end}, {settings:?}");
            };
            // An event that shows the end says so at once, and another one may prove it to have been earlier.
            let is_told = at.as_millis() == end || at.as_millis() > end && !model.holds(at.as_millis());
            assert!(!patient || is_told, "seed {seed}, subject {subject}: {at} for {end}, {settings:?}");
        }
        withdrawn += both.said.withdrawn;
    }
    assert!(
        findings > 15_000 && quiet > 4_000 && withdrawn > 500 && ends > 2_500,
        "{findings} findings, {quiet} of them without an event, {withdrawn} withdrawn, {ends} ends"
    );
}

#[test]
fn a_new_subject_costs_at_most_200_bytes_and_an_idle_one_nothing() {
    let mut watch =
        MetricWatch::new(rule(Agg::Sum, Bound::Above, "5000", seconds(600)), seconds(5), seconds(120));
    let mut out = Vec::new();
    let count = 100_000;
    for subject in 1..=count {
        let moment = Moment { settled: at(-120), now: at(0), late: false };
        watch.observe(Symbol(subject).with(Symbol(1)), true, &amount(1, at(0), "1").event, moment, &mut out);
    }
    let bytes = watch.bytes() / count as usize;
    assert!(bytes <= 200, "{bytes} bytes a subject");
    for _ in 0..(count / 16) {
        watch.sweep(Moment { settled: at(601), now: at(721), late: false });
    }
    assert_eq!(watch.subjects(), 0);
}

#[test]
fn a_busy_subject_is_found_in_buckets_within_bounded_memory() {
    let mut random = Random::new(7);
    for (agg, most) in [(Agg::Sum, 6_144), (Agg::Max, 6_144), (share("0.95"), 65_536)] {
        let settings = rule(agg, Bound::Above, "1", seconds(600));
        let mut watch = MetricWatch::new(settings, seconds(5), seconds(120));
        let (mut out, mut approximate, mut time) = (Vec::new(), 0, 0);
        for _ in 0..20_000 {
            time += random.below(3);
            let moment = Moment { settled: at(time - 120), now: at(time), late: false };
            let amount = amount(1, at(time), &random.between(2, 500).to_string());
            watch.observe(Symbol(1), true, &amount.event, moment, &mut out);
            let found = out.drain(..).filter_map(|judged| match judged.verdict {
                Verdict::Found { evidence, .. } => Some(evidence),
                _ => None,
            });
            let found: Vec<_> = found.collect();
            assert!(!found.is_empty(), "each event is found at {time}");
            approximate += usize::from(found.iter().any(|evidence| evidence.approximate));
            if time % 7 == 0 {
                watch.sweep(moment);
            }
        }
        assert!(approximate > 19_000, "{approximate}");
        let bytes = watch.bytes();
        assert!(bytes < most, "{agg:?}: a busy subject and the tables of a watch take {bytes} bytes");
    }
}

/// Of a busy subject the next moment to look at it is not sought anew at each event: a restored watch does seek it anew.
#[test]
fn a_busy_subject_says_the_same_after_a_restart_at_any_moment() {
    let (mut findings, mut quiet) = (0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let limit = random.between(2_000, 12_000);
        let bound = [Bound::Above, Bound::AtLeast][random.below(2) as usize];
        let share = share(["0.5", "0.75", "0.95"][random.below(3) as usize]);
        let mut settings = pairs(share, bound, Span::from_millis(limit), seconds(60));
        settings.min_samples = random.between(1, 40) as u32;
        let (mut time, mut events) = (at(0), Vec::new());
        for number in 0..500 {
            time += Span::from_millis(random.below(800));
            let key = number.to_string();
            events.push(order(1, OrderPaid, time, &key));
            // For a while everything is slow.
            let slow = (150..300).contains(&number) && random.percent(60);
            let length = if slow { random.below(3 * limit) } else { random.below(limit / 2) };
            if random.percent(95) {
                events.push(order(1, OrderDelivered, time + Span::from_millis(length), &key));
            }
        }
        let (lateness, grace) = (seconds(random.below(10)), seconds(random.below(6)));
        let new = || Box::new(MetricWatch::new(settings.clone(), grace, lateness)) as Box<dyn Watch>;
        let arrivals = disordered(&mut random, events.clone(), lateness);
        let said = Both::new(&new, lateness).run(&mut random, &arrivals, true).said;
        let at_events: BTreeSet<Time> = events.iter().map(|given| given.event.time).collect();
        findings += said.found.len();
        quiet += said.found.iter().filter(|(_, time)| !at_events.contains(time)).count();
    }
    assert!(findings > 1_000 && quiet > 40, "{findings} findings, {quiet} of them at no event");
}
