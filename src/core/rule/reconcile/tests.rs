//! The checks against a model that knows all events of an order or card beforehand.

mod bounds;

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::*;
use crate::core::event::{NumberField, Symbol, TextSet};
use crate::core::rule::table::Watch;
use crate::core::rule::table::testing::{Given, Pair, Random, at, disordered, given, seconds};
use crate::core::rule::verdict::{Judged, Verdict};
use crate::core::time::Time;

use EventType::{OrderCancelled, OrderCreated, OrderDelivered, OrderPaid, OrderRefunded};
use TextField::{AccountId, CardId, OrderId};

const LATENESS: i64 = 120;

fn rule(check: Check, within: i64) -> Reconcile {
    Reconcile { check, within: seconds(within) }
}

/// `type key=value …`, with `subject` (1 where left out), `quantity` and `expires` in seconds.
fn event(time: i64, written: &str) -> Given {
    let mut words = written.split(' ');
    let event_type = EventType::parse(&format!("order.{}", words.next().unwrap())).unwrap();
    let pairs: Vec<_> = words.map(|word| word.split_once('=').unwrap()).collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let texts = [("card", CardId), ("order", OrderId), ("account", AccountId)];
    let texts: Vec<_> = texts.into_iter().filter_map(|(name, field)| Some((field, value(name)?))).collect();
    let subject = value("subject").map_or(1, |subject| subject.parse().unwrap());
    let mut given = given(subject, event_type, at(time), &texts);
    if let Some(quantity) = value("quantity") {
        given.event.set_number(NumberField::Quantity, quantity.parse::<Decimal>().unwrap());
    }
    given.event.expires_at = value("expires").map(|expires| at(expires.parse().unwrap()));
    given.starts = value("starts") != Some("no");
    given
}

fn lines(said: &[Judged]) -> Vec<String> {
    let second = |time: Time| time.since(at(0)).as_secs_f64();
    said.iter()
        .map(|judged| match judged.verdict {
            Verdict::Found { since, evidence } => {
                format!("found {}: {} beyond {}", second(since), evidence.value, evidence.limit)
            }
            Verdict::Withdrawn { since } => format!("withdrawn {}", second(since)),
            Verdict::Resolved { at } => format!("resolved {}", second(at)),
            other => panic!("{other:?} is not for this kind to say"),
        })
        .collect()
}

/// A watch that sees everything that there ever was.
fn whole(settings: Reconcile, grace: Span, lateness: Span) -> Box<dyn Watch> {
    let mut watch = settings.watch(grace, lateness, TextSet::ALL);
    watch.know_all();
    watch
}

/// Gives events in this order, with a lateness of two minutes and a grace of five seconds, and lets a day pass. Nothing lies
/// before them.
fn check(settings: Reconcile, events: &[(i64, &str)], expected: &[&str]) {
    play(&|| whole(settings, seconds(5), seconds(LATENESS)), events, expected);
}

/// The same, with everything before the first event unknown.
fn check_midway(settings: Reconcile, events: &[(i64, &str)], expected: &[&str]) {
    play(&|| settings.watch(seconds(5), seconds(LATENESS), TextSet::ALL), events, expected);
}

fn play(new: &dyn Fn() -> Box<dyn Watch>, events: &[(i64, &str)], expected: &[&str]) {
    let mut pair = Pair::new(new, seconds(LATENESS));
    for (time, written) in events {
        let given = event(*time, written);
        pair.wait_for(&given);
        pair.observe(&given);
        pair.advance();
        pair.restart();
        pair.sweep();
    }
    pair.pass(seconds(86_400));
    assert_eq!(lines(&pair.said.all), expected);
}

#[test]
fn paid_without_key_is_found_at_the_limit_and_a_key_or_the_money_in_time_meets_it() {
    let settings = rule(Check::PaidWithoutKey, 600);
    check(settings, &[(0, "paid order=o1")], &["found 600: 600 beyond 600"]);
    for end in ["delivered order=o1", "refunded order=o1", "cancelled order=o1"] {
        check(settings, &[(0, "paid order=o1"), (599, end)], &[]);
        let late = ["found 600: 600 beyond 600", "resolved 600"];
        check(settings, &[(0, "paid order=o1"), (600, end)], &late);
    }
    // A failure gives nobody their money back.
    check(settings, &[(0, "paid order=o1"), (10, "failed order=o1")], &["found 600: 600 beyond 600"]);
}

#[test]
fn a_payment_that_is_told_of_again_long_after_the_key_is_not_without_one() {
    let events = [(0, "paid order=o1"), (60, "delivered order=o1"), (80_000, "paid order=o1")];
    check(rule(Check::PaidWithoutKey, 600), &events, &[]);
}

#[test]
fn key_without_payment_is_found_unless_a_payment_came_before_or_comes_in_time() {
    let settings = rule(Check::KeyWithoutPayment, 600);
    check(settings, &[(0, "delivered order=o1")], &["found 600: 600 beyond 600"]);
    check(settings, &[(0, "delivered order=o1"), (599, "paid order=o1")], &[]);
    check(settings, &[(0, "paid order=o1"), (80_000, "delivered order=o1")], &[]);
    check(settings, &[(0, "paid order=o1"), (9, "delivered order=o1"), (99, "delivered order=o1")], &[]);
    let late = ["found 600: 600 beyond 600", "resolved 700"];
    check(settings, &[(0, "delivered order=o1"), (700, "paid order=o1")], &late);
    // Refunded or not: it was never paid.
    let events = [(0, "delivered order=o1"), (60, "refunded order=o1")];
    check(settings, &events, &["found 600: 600 beyond 600"]);
}

#[test]
fn a_key_whose_payment_may_lie_before_the_first_event_is_not_without_it() {
    let settings = rule(Check::KeyWithoutPayment, 600);
    check_midway(settings, &[(0, "delivered order=o1")], &[]);
    check_midway(settings, &[(0, "refunded order=o2 subject=2"), (3_000, "delivered order=o1")], &[]);
    // Of an order that was made in plain sight nothing lies before, however its news arrive.
    let found = ["found 3600: 3600 beyond 3600"];
    let long = rule(Check::KeyWithoutPayment, 3_600);
    check_midway(long, &[(-60, "created order=o1"), (0, "delivered order=o1")], &found);
    check_midway(long, &[(0, "delivered order=o1"), (-60, "created order=o1")], &found);
    let short = rule(Check::KeyWithoutPayment, 20);
    let found = ["found 20: 20 beyond 20"];
    check_midway(
        short,
        &[(0, "delivered order=o1"), (59, "paid order=o2"), (-60, "created order=o1")],
        &found,
    );
    let other = [(0, "delivered order=o1"), (59, "paid order=o2"), (-60, "created order=o2")];
    check_midway(short, &other, &[]);
    let paid =
        [(0, "delivered order=o1"), (59, "paid order=o2"), (-50, "paid order=o1"), (-60, "created order=o1")];
    check_midway(short, &paid, &[]);
    // After a week all that is looked back on has been seen.
    let week = REMEMBERED.as_secs_f64() as i64;
    check_midway(short, &[(0, "paid order=o2"), (week - 1, "delivered order=o1")], &[]);
    let found = format!("found {}: 20 beyond 20", week + 20);
    check_midway(short, &[(0, "paid order=o2"), (week, "delivered order=o1")], &[&found]);
}

#[test]
fn a_payment_from_before_that_arrives_late_withdraws_the_key_without_it() {
    let events = [(0, "delivered order=o1"), (30, "paid order=o2"), (-60, "paid order=o1")];
    check(rule(Check::KeyWithoutPayment, 20), &events, &["found 20: 20 beyond 20", "withdrawn 20"]);
}

#[test]
fn more_different_keys_than_the_quantity_are_found_and_the_same_key_again_is_not() {
    let settings = rule(Check::ManyKeys, 600);
    let events = [
        (0, "created order=o1 quantity=2"),
        (1, "delivered order=o1 card=k1"),
        (2, "delivered order=o1 card=k2"),
        (3, "delivered order=o1 card=k2"),
        (4, "delivered order=o1"),
    ];
    check(settings, &events, &[]);
    let events = [&events[..], &[(5, "delivered order=o1 card=k3")]].concat();
    check(settings, &events, &["found 5: 3 beyond 2"]);
    // One where nobody says how many.
    let events = [(0, "delivered card=k1"), (9, "delivered card=k2")];
    check(settings, &events, &["found 9: 2 beyond 1"]);
    check(settings, &[(0, "delivered card=k1"), (600, "delivered card=k2")], &[]);
    check(settings, &[(0, "delivered card=k1"), (9, "delivered card=k2 starts=no")], &[]);
}

#[test]
fn a_quantity_holds_whatever_the_filter_says_and_long_after_the_order_was_made() {
    let settings = rule(Check::ManyKeys, 60);
    let events = [
        (0, "created order=o1 quantity=2 starts=no"),
        (7_200, "delivered order=o1 card=k1"),
        (7_201, "delivered order=o1 card=k2"),
    ];
    check(settings, &events, &[]);
    let events = [(0, "delivered card=k1 quantity=2"), (1, "delivered card=k2 quantity=2")];
    check(settings, &events, &[]);
}

#[test]
fn a_quantity_that_arrives_late_withdraws_what_it_allows() {
    let events = [(0, "delivered card=k1"), (9, "delivered card=k2"), (-60, "paid quantity=2")];
    check(rule(Check::ManyKeys, 600), &events, &["found 9: 2 beyond 1", "withdrawn 9"]);
    // What is said later does not change what was so then.
    let events = [(0, "delivered card=k1"), (9, "delivered card=k2"), (60, "paid quantity=2")];
    check(rule(Check::ManyKeys, 600), &events, &["found 9: 2 beyond 1"]);
}

#[test]
fn a_key_that_goes_to_two_orders_is_found_at_the_second() {
    let settings = rule(Check::KeySoldTwice, 86_400);
    let twice = [(0, "delivered order=o1 account=a1"), (9, "delivered order=o1 account=a1")];
    check(settings, &twice, &[]);
    let events = [(0, "delivered order=o1 account=a1"), (80_000, "delivered order=o2 account=a1")];
    check(settings, &events, &["found 80000: 2 beyond 1"]);
    // Without orders, accounts tell sales apart.
    check(settings, &[(0, "delivered account=a1"), (9, "delivered account=a1")], &[]);
    let events = [(0, "delivered account=a1"), (9, "delivered account=a2")];
    check(settings, &events, &["found 9: 2 beyond 1"]);
    check(settings, &[(0, "delivered order=o1"), (86_400, "delivered order=o2")], &[]);
}

#[test]
fn a_payment_at_or_after_the_expiry_is_found_unless_the_order_was_paid_before() {
    let settings = rule(Check::PaymentAfterExpiry, 3_600);
    check(settings, &[(0, "created expires=900"), (899, "paid")], &[]);
    check(settings, &[(0, "created expires=900"), (900, "paid")], &["found 900: 0 beyond 0"]);
    check(settings, &[(0, "created expires=900"), (4_499, "paid")], &["found 4499: 3599 beyond 0"]);
    check(settings, &[(0, "created expires=900"), (4_500, "paid")], &[]);
    check(settings, &[(960, "paid expires=900")], &["found 960: 60 beyond 0"]);
    check(settings, &[(960, "paid")], &[]);
    let events = [(0, "created expires=900"), (60, "paid"), (1_800, "paid"), (3_000, "paid")];
    check(settings, &events, &[]);
    // The longest time that the order was given counts.
    let events = [(0, "created expires=900"), (600, "created expires=1800"), (1_200, "paid")];
    check(settings, &events, &[]);
}

#[test]
fn a_payment_in_time_or_an_expiry_that_arrives_late_puts_it_right() {
    let settings = rule(Check::PaymentAfterExpiry, 3_600);
    let events = [(0, "created expires=90"), (95, "paid"), (60, "paid")];
    check(settings, &events, &["found 95: 5 beyond 0", "withdrawn 95"]);
    check(settings, &[(95, "paid"), (0, "created expires=90")], &["found 95: 5 beyond 0"]);
    // Beyond its lateness it does not withdraw, but it is known from then on.
    let events = [(0, "created expires=90"), (1_000, "created expires=90"), (80, "paid"), (1_100, "paid")];
    check(settings, &events, &[]);
}

#[test]
fn a_delivery_after_a_refund_is_found_and_one_before_it_or_with_it_is_not() {
    let settings = rule(Check::DeliveredAfterRefund, 3_600);
    check(settings, &[(0, "refunded"), (60, "delivered")], &["found 60: 60 beyond 0"]);
    check(settings, &[(0, "refunded"), (0, "delivered")], &[]);
    check(settings, &[(0, "delivered"), (60, "refunded")], &[]);
    check(settings, &[(0, "refunded"), (3_600, "delivered")], &[]);
    check(settings, &[(60, "delivered"), (0, "refunded")], &["found 60: 60 beyond 0"]);
    check(settings, &[(0, "refunded starts=no"), (60, "delivered")], &["found 60: 60 beyond 0"]);
    // Long settled, and still remembered.
    let events = [(0, "refunded"), (3_000, "refunded"), (4_000, "delivered")];
    check(settings, &events, &["found 4000: 1000 beyond 0"]);
}

/// The instants that are to be found of one subject.
fn model(settings: &Reconcile, events: &[&Given]) -> BTreeSet<Time> {
    let within = settings.within;
    let of = |event_type: EventType| events.iter().filter(move |given| given.event.event_type == event_type);
    let ends = |types: &[EventType]| -> Vec<Time> {
        types.iter().flat_map(|event_type| of(*event_type)).map(|given| given.event.time).collect()
    };
    let missing = |start: EventType, ends: Vec<Time>| {
        let starts = of(start).filter(|given| given.starts).map(|given| given.event.time);
        let first = starts.filter(|start| ends.iter().all(|end| *end >= *start + within)).min();
        first.map(|start| start + within).into_iter().collect()
    };
    let distinct = |field: TextField, limit: &dyn Fn(Time) -> usize| -> BTreeSet<Time> {
        let delivered: Vec<(Time, Symbol)> = of(OrderDelivered)
            .filter(|given| given.starts && given.event.symbol(field) != Symbol::MISSING)
            .map(|given| (given.event.time, given.event.symbol(field)))
            .collect();
        let times = delivered.iter().map(|(time, _)| *time);
        times
            .filter(|time| {
                let window = delivered.iter().filter(|(own, _)| *own > *time - within && own <= time);
                window.map(|(_, value)| *value).collect::<BTreeSet<_>>().len() > limit(*time)
            })
            .collect()
    };
    let quantity = |time: Time| {
        let said = [OrderCreated, OrderPaid, OrderDelivered].into_iter().flat_map(of);
        let said = said.filter(|given| given.event.time <= time);
        let said = said.filter_map(|given| given.event.number(NumberField::Quantity)?.try_into().ok());
        said.max().unwrap_or(1).max(1)
    };
    match settings.check {
        Check::PaidWithoutKey => missing(OrderPaid, ends(&[OrderDelivered, OrderRefunded, OrderCancelled])),
        Check::KeyWithoutPayment => missing(OrderDelivered, ends(&[OrderPaid])),
        Check::ManyKeys => distinct(CardId, &quantity),
        Check::KeySoldTwice => distinct(OrderId, &|_| 1),
        Check::PaymentAfterExpiry => {
            let expiry = |time: Time| {
                let said = [OrderCreated, OrderPaid].into_iter().flat_map(of);
                said.filter(|given| given.event.time <= time).filter_map(|given| given.event.expires_at).max()
            };
            let paid: Vec<Time> =
                of(OrderPaid).filter(|given| given.starts).map(|given| given.event.time).collect();
            let in_time = |time: &Time| expiry(*time).is_some_and(|expiry| *time < expiry);
            let late = |time: &Time| {
                expiry(*time).is_some_and(|expiry| expiry <= *time && *time < expiry + within)
                    && !paid.iter().any(|before| before < time && in_time(before))
            };
            paid.iter().copied().filter(late).collect()
        }
        Check::DeliveredAfterRefund => {
            let refunds = ends(&[OrderRefunded]);
            let delivered = of(OrderDelivered).filter(|given| given.starts).map(|given| given.event.time);
            let after = |time: &Time| refunds.iter().any(|refund| refund < time && *time < *refund + within);
            delivered.filter(after).collect()
        }
    }
}

/// One event of some order: what it says and whether it is among what the filter lets through is chance.
fn chance(random: &mut Random, check: Check, length: i64) -> Given {
    let types = match check {
        Check::PaidWithoutKey => ["paid", "paid", "delivered", "refunded", "cancelled"],
        Check::KeyWithoutPayment => ["paid", "paid", "delivered", "delivered", "refunded"],
        Check::ManyKeys => ["created", "paid", "delivered", "delivered", "delivered"],
        Check::KeySoldTwice => ["delivered"; 5],
        Check::PaymentAfterExpiry => ["created", "created", "paid", "paid", "paid"],
        Check::DeliveredAfterRefund => ["refunded", "refunded", "delivered", "delivered", "delivered"],
    };
    let event_type = types[random.below(5) as usize];
    // Two orders or cards; of the absences, each event is about the order that is its subject.
    let subject = random.between(1, 2);
    let order = if check == Check::KeySoldTwice { random.between(1, 3) } else { subject };
    let mut written = format!("{event_type} subject={subject} order=o{order}");
    if random.percent(90) {
        written += &format!(" card=k{}", random.below(4));
    }
    if event_type != "delivered" && random.percent(30) {
        written += &format!(" quantity={}", random.between(1, 3));
    }
    // An order has one expiry, which some of its events tell.
    if random.percent(50) {
        written += &format!(" expires={}", length / (subject + 1));
    }
    if random.percent(15) {
        written += " starts=no";
    }
    event(random.below(length), &written)
}

#[test]
fn any_order_of_arrival_within_the_lateness_gives_the_findings_of_the_model() {
    for check in Check::ALL {
        let (mut findings, mut withdrawn) = (0, 0);
        // What is missing is seldom found and seldom taken back.
        let seeds = if check.is_absence() { 4_000 } else { 800 };
        for seed in 0..seeds {
            let mut random = Random::new(seed);
            let longest = if check.is_absence() { 30 } else { 120 };
            let settings = rule(check, random.between(3, longest));
            let (lateness, grace) = (seconds(random.between(0, 60)), seconds(random.below(5)));
            let length = random.between(20, 300);
            // An order of many events has all it needs.
            let most = if check.is_absence() { 8 } else { 30 };
            let events: Vec<_> =
                (0..random.between(2, most)).map(|_| chance(&mut random, check, length)).collect();
            let new = || whole(settings, grace, lateness);
            let arrivals = disordered(&mut random, events.clone(), lateness);
            let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
            let mut expected = BTreeSet::new();
            for subject in [Symbol(1), Symbol(2)] {
                let own: Vec<_> = events.iter().filter(|given| given.subject == subject).collect();
                expected.extend(model(&settings, &own).into_iter().map(|time| (subject, time)));
            }
            assert_eq!(pair.said.found, expected, "seed {seed}, {settings:?}, lateness {lateness}");
            assert_eq!(pair.watch().given_up(), 0);
            findings += expected.len();
            withdrawn += pair.said.withdrawn;
        }
        assert!(findings > 250, "{check:?}: {findings} findings");
        match check.may_prove_wrong() {
            true => assert!(withdrawn > 20, "{check:?}: {withdrawn} withdrawn"),
            false => assert_eq!(withdrawn, 0, "{check:?}"),
        }
    }
}

#[test]
fn any_order_of_arrival_gives_the_findings_of_the_orders_that_were_made_in_plain_sight() {
    let (mut findings, mut doubtful, mut withdrawn) = (0, 0, 0);
    for seed in 0..9_000 {
        let mut random = Random::new(seed);
        let settings = rule(Check::KeyWithoutPayment, random.between(3, 30));
        let (lateness, grace) = (seconds(random.between(0, 60)), seconds(random.below(5)));
        let length = random.between(20, 300);
        let mut events: Vec<_> =
            (0..random.between(2, 8)).map(|_| chance(&mut random, settings.check, length)).collect();
        let mut expected = BTreeSet::new();
        for subject in 1..=2 {
            let own = |given: &&Given| given.subject == Symbol(subject);
            let found = model(&settings, &events.iter().filter(own).collect::<Vec<_>>());
            let first = events.iter().filter(own).map(|given| given.event.time).min();
            if let Some(first) = first.filter(|_| random.percent(50)) {
                let before = first.since(at(0)).as_secs_f64() as i64 - random.below(30);
                events.push(event(before, &format!("created subject={subject} order=o{subject}")));
                expected.extend(found.into_iter().map(|time| (Symbol(subject), time)));
            } else {
                doubtful += found.len();
            }
        }
        let new = || settings.watch(grace, lateness, TextSet::ALL);
        let arrivals = disordered(&mut random, events, lateness);
        let pair = Pair::new(&new, lateness).run(&mut random, &arrivals, true);
        assert_eq!(pair.said.found, expected, "seed {seed}, {settings:?}, lateness {lateness}");
        findings += expected.len();
        withdrawn += pair.said.withdrawn;
    }
    assert!(findings > 200 && doubtful > 200, "{findings} findings, {doubtful} in doubt");
    assert!(withdrawn > 20, "{withdrawn} withdrawn");
}
