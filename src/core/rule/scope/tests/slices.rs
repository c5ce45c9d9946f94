//! Which slice is the ticket, by example: a channel sold in several regions and of several products.

use super::support::{Order, World, ratio, rule};
use crate::core::event::TextField::{Channel, Product, Region};
use crate::core::rule::scope::{Expected, Ratio};
use crate::core::rule::{Detect, Rule};
use crate::core::time::Span;

const REGIONS: [&str; 6] = ["east", "south", "west", "north", "centre", "coast"];
const PRODUCTS: [&str; 3] = ["topup", "key", "game"];

fn sliced(detect: Detect) -> Rule {
    rule(&[&[Channel], &[Channel, Region], &[Channel, Product]], detect)
}

/// Chance from a fixed seed, in percent.
struct Chance(u64);

impl Chance {
    fn percent(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % 100
    }

    fn one_of(&mut self, all: &[&'static str]) -> &'static str {
        all[self.percent() as usize % all.len()]
    }
}

/// Orders at an even pace until `until`, of which `fails` per cent fail.
fn orders(seed: u64, each: i64, until: i64, fails: impl Fn(&Order) -> u32) -> Vec<Order> {
    let mut chance = Chance(seed);
    (0..until * 1_000)
        .step_by(each as usize)
        .map(|millis| {
            let (region, product) = (chance.one_of(&REGIONS), chance.one_of(&PRODUCTS));
            let account = chance.percent() * 100 + chance.percent();
            let mut order = Order { millis, account, channel: "alipay", region, product, failed: false };
            order.failed = chance.percent() < fails(&order);
            order
        })
        .collect()
}

fn during(order: &Order, from: i64, until: i64) -> bool {
    (from * 1_000..until * 1_000).contains(&order.millis)
}

/// What changed, without the numbers.
fn stages(world: &World) -> Vec<String> {
    let words = |line: String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let joined =
        |line: &str| line.contains("joined").then(|| line.rsplit_once(' ').map(|(head, _)| head.to_owned()));
    let lines = world.changes().into_iter();
    lines.map(|line| joined(&line).flatten().unwrap_or_else(|| words(line))).collect()
}

fn judged(seed: u64, each: i64, until: i64, fails: impl Fn(&Order) -> u32) -> World {
    let mut world = World::new(sliced(Detect::Ratio(ratio())), 3);
    world.run(&orders(seed, each, until, fails), until);
    world
}

#[test]
fn trouble_in_one_region_is_that_regions_alone() {
    for seed in 0..6 {
        let world = judged(seed, 300, 1_800, |order| {
            if order.region == "east" && during(order, 600, 1_200) { 90 } else { 4 }
        });
        assert_eq!(stages(&world), ["alipay/east found", "alipay/east healthy"], "seed {seed}");
        let found: i64 = world.changes()[0].split(' ').nth(2).unwrap().parse().unwrap();
        assert!((600..720).contains(&found), "seed {seed}: found at {found}");
        let world = judged(seed, 300, found, |order| {
            if order.region == "east" && during(order, 600, 1_200) { 90 } else { 4 }
        });
        let started = world.judge.started_at(world.said[0].subject, super::support::at(found)).unwrap();
        assert!((585..=625).contains(&(started.as_millis() / 1_000)), "seed {seed}: began at {started}");
    }
}

#[test]
fn trouble_with_one_product_is_that_products_alone() {
    for seed in 0..6 {
        let world = judged(seed, 300, 1_800, |order| {
            if order.product == "key" && during(order, 600, 1_200) { 80 } else { 4 }
        });
        assert_eq!(stages(&world), ["alipay/key found", "alipay/key healthy"], "seed {seed}");
    }
}

#[test]
fn when_the_whole_channel_fails_no_slice_of_it_opens_first_or_after() {
    for seed in 0..6 {
        let world = judged(seed, 300, 1_800, |order| if during(order, 600, 1_200) { 80 } else { 4 });
        assert_eq!(stages(&world), ["alipay found", "alipay healthy"], "seed {seed}");
    }
}

#[test]
fn two_failing_regions_are_the_channel_when_it_fires_itself() {
    for seed in 0..6 {
        let world = judged(seed, 300, 1_800, |order| {
            if ["east", "west"].contains(&order.region) && during(order, 600, 1_200) { 90 } else { 4 }
        });
        let stages = stages(&world);
        assert_eq!(stages.last().map(String::as_str), Some("alipay healthy"), "seed {seed}: {stages:?}");
        let left = stages.iter().filter(|stage| stage.contains("/") && stage.contains("healthy"));
        assert_eq!(left.count(), 0, "seed {seed}: {stages:?}");
    }
}

#[test]
fn a_region_joins_the_channel_when_the_rest_of_it_fails_as_well() {
    for seed in 0..6 {
        let world = judged(seed, 300, 2_400, |order| match order.region {
            "east" if during(order, 600, 1_500) => 90,
            _ if during(order, 900, 1_500) => 80,
            _ => 4,
        });
        let expected = ["alipay/east found", "alipay found", "alipay/east joined alipay", "alipay healthy"];
        assert_eq!(stages(&world), expected, "seed {seed}");
    }
}

#[test]
fn in_a_thin_channel_something_is_found_though_no_rest_can_be_judged() {
    for seed in 0..6 {
        // A third of ten orders a minute is from the failing region.
        let mut orders = orders(seed, 3_000, 2_400, |order| {
            if order.region == "east" && during(order, 600, 1_800) { 100 } else { 0 }
        });
        orders.retain(|order| ["east", "south", "west"].contains(&order.region));
        for order in &mut orders {
            order.region = if order.region == "east" { "east" } else { "south" };
        }
        let mut world = World::new(sliced(Detect::Ratio(Ratio { min_samples: 10, ..ratio() })), 2);
        world.run(&orders, 2_400);
        let found: i64 = world.changes()[0].split(' ').nth(2).unwrap().parse().unwrap();
        assert!((600..960).contains(&found), "seed {seed}: {:?}", world.changes());
        let mut subjects: Vec<_> = world.said.iter().map(|judged| judged.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        assert!(subjects.len() <= 2, "seed {seed}: {:?}", world.changes());
    }
}

#[test]
fn a_silent_region_is_named_and_a_silent_channel_once_for_all_its_regions() {
    let silence = super::support::flatline(1, Span::from_mins(5), Expected::Seen);
    let all = orders(1, 500, 1_800, |_| 0);
    let without = |quiet: &dyn Fn(&Order) -> bool| {
        let mut world = World::new(sliced(silence.clone()), 2);
        let kept: Vec<Order> = all.iter().filter(|order| !quiet(order)).cloned().collect();
        world.run(&kept, 1_800);
        stages(&world)
    };
    assert_eq!(without(&|_| false), [] as [&str; 0]);
    let east = without(&|order| order.region == "east" && during(order, 600, 1_200));
    assert_eq!(east, ["alipay/east found", "alipay/east healthy"]);
    assert_eq!(without(&|order| during(order, 600, 1_200)), ["alipay found", "alipay healthy"]);
}
