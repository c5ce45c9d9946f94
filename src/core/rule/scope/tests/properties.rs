//! Any order of arrival within lateness, any split over shards, any restart: the settled findings are those of the model.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model;
use super::support::{Order, World, at, decimal, flatline, ratio, rule};
use crate::core::event::TextField::{AccountId, Channel, Product, Region};
use crate::core::rule::scope::{Expected, Ratio, Side};
use crate::core::rule::verdict::Verdict;
use crate::core::rule::{Detect, Limit, Rule};
use crate::core::tests::seeded;
use crate::core::time::{Span, Time};

const LATENESS: i64 = 20_000;
/// The second through which everything is judged in the end.
const END: i64 = 400;

#[derive(Clone, Debug)]
struct Arrival {
    order: Order,
    delay: i64,
    /// Beyond its lateness: it must count nothing.
    late: bool,
}

/// Trouble of one channel in one region or in all, between two seconds.
#[derive(Clone, Debug)]
struct Trouble {
    channel: usize,
    region: Option<usize>,
    from: i64,
    until: i64,
}

const CHANNELS: [&str; 2] = ["alipay", "wechat"];
const REGIONS: [&str; 3] = ["east", "south", "west"];
const PRODUCTS: [&str; 2] = ["topup", "key"];

fn trouble() -> impl Strategy<Value = Trouble> {
    (0..2usize, proptest::option::of(0..3usize), 60..200i64, 5..60i64)
        .prop_map(|(channel, region, from, length)| Trouble { channel, region, from, until: from + length })
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let one = (
        0..280_000i64,
        0..40u32,
        0..2usize,
        0..3usize,
        0..2usize,
        0..100u32,
        prop_oneof![
            6 => Just(0i64),
            3 => 0..LATENESS,
            1 => Just(LATENESS)
        ],
        prop::bool::weighted(0.02),
    );
    let trouble = proptest::collection::vec(trouble(), 1..3);
    (proptest::collection::vec(one, 100..500), trouble).prop_map(|(events, troubles)| {
        let arrival = |(millis, account, channel, region, product, chance, delay, late)| {
            let hit = |trouble: &Trouble| {
                trouble.channel == channel
                    && trouble.region.is_none_or(|hit| hit == region)
                    && (trouble.from * 1_000..trouble.until * 1_000).contains(&millis)
            };
            let failed = chance < if troubles.iter().any(hit) { 85 } else { 6 };
            let (channel, region, product) = (CHANNELS[channel], REGIONS[region], PRODUCTS[product]);
            // Half of the events lie on whole seconds, where the edges of windows are.
            let millis = if chance % 2 == 0 { millis / 1_000 * 1_000 } else { millis };
            Arrival { order: Order { millis, account, channel, region, product, failed }, delay, late }
        };
        events.into_iter().map(arrival).collect()
    })
}

/// Runs the events as they arrive; judges and restarts where the chances say so.
fn run(rule: &Rule, shards: u32, arrivals: &[Arrival], chances: &[u8]) -> World {
    let mut arrivals: Vec<&Arrival> = arrivals.iter().collect();
    arrivals.sort_by_key(|arrival| (arrival.order.millis + arrival.delay, arrival.order.account));
    let mut world = World::new(rule.clone(), shards);
    let mut newest = 0;
    for (index, arrival) in arrivals.iter().enumerate() {
        let settled = Time::from_millis(arrival.order.millis + arrival.delay - LATENESS);
        world.observe(&arrival.order, settled, arrival.late);
        newest = newest.max(arrival.order.millis);
        let chance = chances[index % chances.len()];
        if chance < 120 {
            // Shards are judged behind, at, and (a shard that is read to its end) ahead of the newest event.
            let passed = newest + (i64::from(chance) - 60) * 100;
            world.judge(Time::from_millis(passed), settled);
        }
        if chance.is_multiple_of(61) {
            world.restart();
        }
    }
    world.judge(at(END), at(END - 20));
    world
}

fn rules() -> Vec<Rule> {
    let ratio = Ratio {
        limit: Limit::One(decimal("0.3")),
        window: Span::from_mins(1),
        min_samples: 8,
        confidence: decimal("0.9"),
        ..ratio()
    };
    let slices: &[&[_]] = &[&[Channel], &[Channel, Region], &[Channel, Product]];
    let distinct = Ratio { distinct: Some(AccountId), ..ratio.clone() };
    let below = Ratio {
        side: Side::Below,
        limit: Limit::One(decimal("0.04")),
        confidence: decimal("0.5"),
        ..ratio.clone()
    };
    vec![
        rule(&[&[Channel]], Detect::Ratio(ratio.clone())),
        rule(&[&[Channel, Region]], Detect::Ratio(distinct.clone())),
        rule(slices, Detect::Ratio(ratio)),
        rule(slices, Detect::Ratio(distinct)),
        rule(&[&[Channel]], Detect::Ratio(below)),
        rule(&[&[Channel, Region]], flatline(3, Span::from_mins(1), Expected::Seen)),
        rule(slices, flatline(2, Span::from_mins(1), Expected::Seen)),
    ]
}

#[test]
fn settled_findings_are_those_of_judging_each_step_once_from_all_events() {
    let rules = rules();
    let tallies: Vec<(Cell<u32>, Cell<u32>)> = rules.iter().map(|_| Default::default()).collect();
    let mut runner = TestRunner::new(seeded(Config { cases: 64, ..Config::default() }));
    let strategy = (arrivals(), 0..rules.len(), 1..4u32, proptest::collection::vec(any::<u8>(), 1..80));
    let result = runner.run(&strategy, |(arrivals, which, shards, chances)| {
        let rule = &rules[which];
        let world = run(rule, shards, &arrivals, &chances);
        let orders: Vec<Order> =
            arrivals.iter().filter(|arrival| !arrival.late).map(|arrival| arrival.order.clone()).collect();
        let expected = model::findings(
            rule,
            &orders,
            Span::from_secs(1),
            at(END) - if matches!(rule.detect, Detect::Flatline(_)) { rule.grace } else { Span::ZERO },
        );
        let settled = world.settled_findings();
        let missing: Vec<_> = expected.iter().filter(|finding| !settled.contains(finding)).collect();
        let wrong: Vec<_> = settled.iter().filter(|finding| !expected.contains(finding)).collect();
        prop_assert!(
            missing.is_empty() && wrong.is_empty(),
            "rule {which}: missing {missing:?}, wrong {wrong:?}"
        );
        let (found, withdrawn) = &tallies[which];
        for judged in &world.said {
            match judged.verdict {
                Verdict::Found { .. } => found.set(found.get() + 1),
                Verdict::Withdrawn { .. } | Verdict::Joined { .. } => withdrawn.set(withdrawn.get() + 1),
                _ => {}
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let total = |tally: fn(&(Cell<u32>, Cell<u32>)) -> u32| tallies.iter().map(tally).sum::<u32>();
    let (found, withdrawn) = (total(|tally| tally.0.get()), total(|tally| tally.1.get()));
    assert!(found >= 1_000 && withdrawn >= 100, "{found} found, {withdrawn} withdrawn");
    assert!(tallies.iter().all(|(found, _)| found.get() >= 20), "{tallies:?}");
}
