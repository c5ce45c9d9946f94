//! Subjects that the catalog names: expected while something of theirs is in stock, whether they ever spoke or not.

use rust_decimal::Decimal;

use super::support::{World, at, flatline, rule};
use crate::core::event::{Event, EventType, NumberField, TextField, TextSet};
use crate::core::rule::scope::Expected;
use crate::core::rule::table::testing::Random;
use crate::core::rule::verdict::Moment;
use crate::core::time::{Span, Time};

/// A level of a product at a supplier, at a second.
#[derive(Clone, Copy, Debug)]
struct Level(i64, &'static str, &'static str, Option<i64>);

impl Level {
    fn event(self) -> Event<'static> {
        let Self(second, product, supplier, level) = self;
        let mut event = Event::new(EventType::StockLevel, at(second));
        event.set_text(TextField::Product, product.into());
        event.set_text(TextField::Supplier, supplier.into());
        if let Some(level) = level {
            event.set_number(NumberField::Level, Decimal::from(level));
        }
        event.symbolize(TextSet::of(TextField::Product).or(TextSet::of(TextField::Supplier)));
        event
    }
}

fn world(group: &[TextField]) -> World {
    let mut rule = rule(&[group], flatline(1, Span::from_mins(5), Expected::Catalog));
    rule.topics = crate::core::event::TypeSet::of_topic(crate::core::event::Topic::Orders);
    World::new(rule, 2)
}

fn sold(second: i64, product: &'static str) -> Event<'static> {
    let mut event = Event::new(EventType::OrderDelivered, at(second));
    event.set_text(TextField::Product, product.into());
    event.symbolize(TextSet::of(TextField::Product));
    event
}

/// Levels and sales in the order of arrival, each judged up to the newest before it.
fn run(world: &mut World, events: &[Event<'static>], until: i64) {
    let mut newest = Time::MIN;
    for event in events {
        newest = newest.max(event.time);
        let moment = Moment { settled: newest - Span::from_mins(2), now: newest, late: false };
        if event.event_type == EventType::StockLevel {
            world.judge.take_stock(event);
        } else {
            world.counters[0].observe(event, moment);
        }
        world.judge(newest, newest - Span::from_mins(2));
    }
    let end = if events.is_empty() { until } else { newest.as_millis() / 1_000 };
    for second in (end..=until).step_by(5).chain([until]).filter(|second| *second >= end) {
        world.judge(at(second), at(second - 120));
    }
}

fn first_found(world: &World) -> Option<i64> {
    world.settled_findings().first().map(|(time, _)| time.as_millis() / 1_000)
}

#[test]
fn what_the_catalog_names_is_expected_from_then_on_though_it_never_spoke() {
    let mut world = world(&[TextField::Product]);
    run(&mut world, &[Level(1_000, "p1", "s1", Some(5)).event()], 2_000);
    assert_eq!(world.changes(), ["p1 found 1305 0.00 of 0"]);
}

#[test]
fn what_is_sold_out_is_not_expected_and_what_comes_back_counts_anew() {
    let mut world = world(&[TextField::Product]);
    let levels = [
        Level(1_000, "p1", "s1", Some(5)),
        Level(1_200, "p1", "s1", Some(0)),
        Level(1_500, "p1", "s1", Some(20)),
    ];
    run(&mut world, &levels.map(Level::event), 2_500);
    assert_eq!(first_found(&world), Some(1_805));
    let mut world = super::catalog::world(&[TextField::Product]);
    let gone = [Level(1_000, "p1", "s1", Some(5)), Level(1_500, "p1", "s1", Some(0))];
    run(&mut world, &gone.map(Level::event), 5_000);
    assert_eq!(world.changes(), ["gone found 1305 0.00 of 0", "gone quiet 1505"]);
    assert_eq!(world.judge.subjects(), 0, "what is sold out is forgotten");
}

#[test]
fn a_product_of_several_suppliers_is_expected_while_one_of_them_has_it() {
    let levels = [
        Level(1_000, "p1", "s1", Some(5)),
        Level(1_100, "p1", "s2", None),
        Level(1_200, "p1", "s1", Some(0)),
    ];
    let mut of_product = world(&[TextField::Product]);
    run(&mut of_product, &levels.map(Level::event), 2_000);
    assert_eq!(first_found(&of_product), Some(1_305));
    let mut of_both = world(&[TextField::Product, TextField::Supplier]);
    run(&mut of_both, &levels.map(Level::event), 2_000);
    assert_eq!(of_both.changes(), ["p1/s2 found 1405 0.00 of 0"]);
}

#[test]
fn what_nobody_named_is_not_expected_and_what_speaks_is_not_silent() {
    let mut world = world(&[TextField::Product]);
    let mut events = vec![Level(1_000, "p1", "s1", Some(5)).event(), sold(1_010, "p2")];
    events.extend((1_020..2_000).step_by(200).map(|second| sold(second, "p1")));
    run(&mut world, &events, 2_100);
    assert_eq!(world.changes(), [""; 0]);
}

#[test]
fn what_is_in_stock_stays_expected_until_it_is_said_to_be_gone() {
    let mut world = world(&[TextField::Product]);
    run(&mut world, &[Level(1_000, "p1", "s1", Some(5)).event(), sold(1_400, "p1")], 1_500);
    for day in 1..30 {
        world.judge(at(day * 86_400), at(day * 86_400 - 120));
    }
    assert_eq!((world.judge.subjects(), world.changes().len()), (1, 3), "{:?}", world.changes());
    let gone = Level(30 * 86_400, "p1", "s1", Some(0)).event();
    run(&mut world, &[gone], 31 * 86_400);
    assert_eq!(world.changes().last().unwrap(), "gone quiet 2592005");
    world.judge(at(32 * 86_400), at(32 * 86_400 - 120));
    assert_eq!(world.judge.subjects(), 0);
}

#[test]
fn in_whatever_order_and_with_whatever_restarts_the_same_is_found_as_step_by_step() {
    let mut findings = 0;
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut events: Vec<(Event<'static>, bool)> = Vec::new();
        for _ in 0..random.between(1, 14) {
            let (second, supplier) =
                (random.between(1_000, 4_000), if random.percent(50) { "s1" } else { "s2" });
            let level = random.between(0, 1);
            events.push((Level(second, "p1", supplier, Some(level)).event(), true));
        }
        for _ in 0..random.between(0, 8) {
            events.push((sold(random.between(1_000, 4_000), "p1"), false));
        }
        let mut ordered = events.clone();
        ordered.sort_by_key(|(event, _)| (event.time, std::cmp::Reverse(event.number(NumberField::Level))));
        let expected = model(&ordered);
        let mut arriving = ordered;
        // Each is late by less than the lateness.
        let mut late: Vec<(i64, Event<'static>)> = arriving
            .drain(..)
            .map(|(event, _)| (event.time.as_millis() + random.between(0, 110) * 1_000, event))
            .collect();
        late.sort_by_key(|(arrival, _)| *arrival);
        let mut world = world(&[TextField::Product]);
        let half = late.len() / 2;
        let arriving: Vec<Event<'static>> = late.into_iter().map(|(_, event)| event).collect();
        run(&mut world, &arriving[..half], 0);
        world.restart();
        run(&mut world, &arriving[half..], 6_000);
        let found: Vec<i64> =
            world.settled_findings().into_iter().map(|(time, _)| time.as_millis() / 1_000).collect();
        assert_eq!(found, expected, "seed {seed}");
        findings += found.len();
    }
    assert!(findings > 5_000, "{findings}");
}

/// The steps of a silence, each judged by itself from everything in the order of time.
fn model(ordered: &[(Event<'static>, bool)]) -> Vec<i64> {
    let mut found = Vec::new();
    for step in (1_000..=5_995).step_by(5) {
        let (mut stocked, mut since) = (std::collections::BTreeSet::new(), None);
        let mut silent = true;
        for (event, is_level) in ordered {
            let second = event.time.as_millis() / 1_000;
            if second >= step {
                break;
            }
            if *is_level {
                let supplier = event.text(TextField::Supplier).unwrap().to_owned();
                let entry = second.div_euclid(5) * 5 + 5;
                match event.number(NumberField::Level) == Some(Decimal::ONE) {
                    true => stocked.insert(supplier),
                    false => stocked.remove(&supplier),
                };
                since = match stocked.is_empty() {
                    true => None,
                    false => since.or(Some(entry)),
                };
            } else if second >= step - 300 {
                silent = false;
            }
        }
        if silent && since.is_some_and(|since| step >= since + 300) {
            found.push(step);
        }
    }
    found
}
