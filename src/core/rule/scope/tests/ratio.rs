//! `ratio` without slices, by example.

use super::support::{Order, World, at, decimal, ratio, rule};
use crate::core::event::TextField::{AccountId, Channel, DeviceId};
use crate::core::event::TextSet;
use crate::core::rule::scope::{Ratio, ScopeCounter, Side};
use crate::core::rule::verdict::{Moment, Verdict};
use crate::core::rule::{Detect, Limit};

const fn order(second: i64, account: u32, failed: bool) -> Order {
    Order { millis: second * 1_000, account, channel: "alipay", region: "east", product: "p", failed }
}

/// An order every ten seconds from `from` until before `until`, of which those fail that `fails` says.
fn orders(from: i64, until: i64, fails: impl Fn(i64) -> bool) -> Vec<Order> {
    (from..until).step_by(10).map(|second| order(second, second as u32, fails(second))).collect()
}

fn judged(detect: Ratio, orders: &[Order], until: i64) -> World {
    let mut world = World::new(rule(&[&[Channel]], Detect::Ratio(detect)), 3);
    world.run(orders, until);
    world
}

#[test]
fn a_share_shown_to_be_above_the_limit_is_found_at_each_step_until_it_is_not() {
    let orders = orders(0, 1_200, |second| (600..760).contains(&second));
    let world = judged(ratio(), &orders, 1_400);
    assert_eq!(world.changes(), ["alipay found 710 0.40 of 30", "alipay healthy 990"]);
    let found = world.lines().iter().filter(|line| line.contains("found")).count();
    assert_eq!(found, 46, "every five seconds");
}

#[test]
fn the_raw_share_does_not_suffice_and_with_no_confidence_it_does() {
    // 6 of 20 is 30 %, which a true share of 20 % shows now and then.
    let orders = orders(0, 200, |second| second % 40 == 0 || second == 10);
    assert_eq!(judged(ratio(), &orders, 300).changes(), [] as [&str; 0]);
    let raw = Ratio { confidence: decimal("0"), ..ratio() };
    assert_eq!(judged(raw, &orders, 300).changes()[0], "alipay found 190 0.30 of 20");
}

#[test]
fn fewer_than_min_samples_say_nothing_and_silence_after_trouble_is_not_health() {
    let few = orders(0, 190, |_| true);
    assert_eq!(judged(ratio(), &few, 600).changes(), [] as [&str; 0]);
    let enough = orders(0, 200, |_| true);
    let world = judged(ratio(), &enough, 600);
    assert_eq!(world.changes(), ["alipay found 190 1.00 of 20", "alipay quiet 490"], "when nothing is left");
    let found = world.lines().iter().filter(|line| line.contains("found")).count();
    assert_eq!(found, 22, "with fewer samples it is found no more, but not over either");
}

#[test]
fn below_is_the_mirror_and_waits_for_a_whole_window() {
    let detect = Ratio { side: Side::Below, limit: Limit::One(decimal("0.8")), ..ratio() };
    let orders = orders(0, 900, |second| second >= 500);
    // From the start the share of failures is nothing, far below 80 %.
    let world = judged(detect, &orders, 1_100);
    assert_eq!(world.changes(), ["alipay found 300 0.00 of 30", "alipay healthy 730"]);
}

#[test]
fn a_limit_may_depend_on_the_value() {
    let values = [("alipay".to_owned(), decimal("0.9"))].into();
    let limit = Limit::By { field: Channel, values, default: decimal("0.2") };
    let mut mixed = orders(0, 300, |second| second % 20 == 0);
    mixed.extend(mixed.clone().into_iter().map(|order| Order { channel: "wechat", ..order }));
    let world = judged(Ratio { limit, ..ratio() }, &mixed, 300);
    assert_eq!(world.changes(), ["wechat found 190 0.50 of 20"]);
    let Verdict::Found { evidence, .. } = world.said[0].verdict else { panic!("found first") };
    assert!((evidence.limit - 0.2).abs() < 1e-12 && !evidence.approximate);
}

#[test]
fn with_distinct_an_account_counts_once_however_often_it_fails() {
    let mut stubborn = orders(0, 300, |_| false);
    stubborn.extend((0..300).map(|second| order(second, 7, true)));
    assert_eq!(judged(ratio(), &stubborn, 300).changes().len(), 1);
    let distinct = Ratio { distinct: Some(AccountId), ..ratio() };
    assert_eq!(judged(distinct, &stubborn, 300).changes(), [] as [&str; 0]);
}

#[test]
fn a_late_event_that_makes_a_finding_untrue_withdraws_it() {
    let mut world = World::new(rule(&[&[Channel]], Detect::Ratio(ratio())), 2);
    for second in 0..20 {
        world.observe(&order(second, second as u32, second >= 11), at(-100), false);
    }
    world.judge(at(20), at(-100));
    assert_eq!(world.lines(), ["alipay found 20 0.45 of 20"]);
    world.observe(&order(19, 50, false), at(-100), false);
    world.judge(at(20), at(-100));
    assert_eq!(world.lines()[1..], ["alipay withdrawn 20"]);
    world.observe(&order(18, 51, true), at(-100), false);
    world.judge(at(20), at(-100));
    assert_eq!(world.lines()[2..], ["alipay found 20 0.45 of 22"]);
    world.observe(&order(17, 52, false), at(-100), true);
    world.judge(at(21), at(-100));
    assert_eq!(world.lines().len(), 3, "an event that is too late counts nothing");
}

#[test]
fn a_step_is_judged_only_when_time_has_passed_it() {
    let mut world = World::new(rule(&[&[Channel]], Detect::Ratio(ratio())), 1);
    for second in 0..30 {
        world.observe(&order(second, second as u32, true), at(-100), false);
    }
    world.judge(at(18), at(-100));
    assert!(world.said.is_empty());
    assert_eq!(world.judge.next_due(), Some(at(20)));
    world.judge(at(20), at(-100));
    assert_eq!(world.lines(), ["alipay found 20 1.00 of 21"]);
    assert_eq!(world.judge.next_due(), Some(at(25)), "a finding is repeated at the next step");
}

#[test]
fn trouble_is_dated_back_to_where_the_share_changed() {
    let orders = orders(0, 800, |second| (600..760).contains(&second));
    let world = judged(ratio(), &orders, 720);
    let found = world.said[0].subject;
    assert_eq!(world.judge.started_at(found, at(710)), Some(at(595)));
}

#[test]
fn everything_is_forgotten_when_nothing_can_concern_it_any_more() {
    let mut world =
        World::new(rule(&[&[Channel]], Detect::Ratio(Ratio { distinct: Some(AccountId), ..ratio() })), 2);
    world.run(&orders(0, 900, |second| second > 600), 900);
    assert_eq!(world.judge.subjects(), 1);
    world.run(&[], 0);
    for second in (900..4_000).step_by(5) {
        world.judge(at(second), at(second - 120));
    }
    assert_eq!((world.judge.subjects(), world.counters[0].subjects()), (0, 0));
    assert_eq!(world.counters[0].figures().symptoms, 0);
    assert_eq!(world.judge.next_due(), None);
}

#[test]
fn a_shard_counts_no_more_subjects_than_its_bound_and_counts_what_it_leaves_out() {
    let mut counter = ScopeCounter::new(&rule(&[&[Channel], &[DeviceId]], Detect::Ratio(ratio()))).unwrap();
    let moment = Moment { settled: at(0), now: at(10), late: false };
    for device in 0..100_100 {
        let mut event = order(10, 1, false).event();
        event.set_text(DeviceId, format!("d{device}").into());
        event.symbolize(TextSet::of(DeviceId));
        counter.observe(&event, moment);
    }
    assert_eq!((counter.subjects(), counter.figures().beyond_bound), (100_000, 101));
    counter.observe(&order(10, 1, false).event(), moment);
    assert_eq!(counter.figures().without_subject, 1, "no device");
    let mut overtaken = order(10, 1, false).event();
    overtaken.time = at(-60);
    counter.observe(&overtaken, moment);
    assert_eq!(counter.figures().overtaken, 1);
}
