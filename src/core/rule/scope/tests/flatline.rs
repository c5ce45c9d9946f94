//! `flatline`, by example.

use super::support::{Order, World, at, flatline, rule};
use crate::core::event::TextField::Channel;
use crate::core::rule::Detect;
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::scope::Expected;
use crate::core::time::{Span, Time};

const MINUTES: Span = Span::from_mins(5);

fn order(second: i64, channel: &'static str) -> Order {
    Order {
        millis: second * 1_000,
        account: second as u32,
        channel,
        region: "r",
        product: "p",
        failed: false,
    }
}

fn orders(from: i64, until: i64) -> impl Iterator<Item = Order> {
    (from..until).step_by(30).map(|second| order(second, "alipay"))
}

fn seen(fewer_than: u32) -> World {
    World::new(rule(&[&[Channel]], flatline(fewer_than, MINUTES, Expected::Seen)), 2)
}

#[test]
fn a_subject_that_was_seen_and_falls_silent_is_found_after_a_whole_window() {
    let mut world = seen(1);
    let orders: Vec<Order> = orders(0, 601).chain(orders(1_500, 2_000)).collect();
    world.run(&orders, 2_000);
    // The last event at 600 belongs to the silence judged at 900, which holds its start, and not to the next.
    assert_eq!(world.changes(), ["alipay found 905 0.00 of 0", "alipay healthy 1505"]);
    assert_eq!(world.judge.started_at(world.said[0].subject, at(905)), Some(at(605)));
}

#[test]
fn it_is_judged_a_grace_after_the_limit() {
    let mut world = seen(1);
    for order in orders(0, 601) {
        world.observe(&order, at(0), false);
    }
    world.judge(at(909), at(0));
    assert!(world.said.is_empty());
    assert_eq!(world.judge.next_due(), Some(at(910)));
    world.judge(at(910), at(0));
    assert_eq!(world.lines(), ["alipay found 905 0.00 of 0"]);
}

#[test]
fn fewer_than_so_many_counts_them() {
    let mut world = seen(5);
    // Every 30 seconds there are ten in a window, from 1,200 on every two minutes, which makes two or three.
    let orders: Vec<Order> =
        orders(0, 1_200).chain((1_200..2_400).step_by(120).map(|second| order(second, "alipay"))).collect();
    world.run(&orders, 2_400);
    assert_eq!(world.changes(), ["alipay found 1415 4.00 of 4"]);
}

#[test]
fn each_subject_has_the_limit_of_its_value() {
    let mut detect = flatline(1, MINUTES, Expected::Seen);
    let Detect::Flatline(settings) = &mut detect else { panic!() };
    settings.fewer_than = WholeLimit::by(Channel, [("alipay", 5)].into_iter(), 2);
    let mut world = World::new(rule(&[&[Channel]], detect), 2);
    // Every two minutes, which makes two or three in a window.
    let both = (0..2_400).step_by(120).flat_map(|second| [order(second, "alipay"), order(second, "wechat")]);
    world.run(&both.collect::<Vec<_>>(), 2_300);
    assert_eq!(world.changes(), ["alipay found 305 2.00 of 2"]);
}

#[test]
fn a_new_subject_is_not_judged_before_a_whole_window_has_passed() {
    let mut world = seen(5);
    world.run(&[order(1_000, "alipay")], 1_290);
    assert!(world.said.is_empty());
    let mut world = seen(5);
    world.run(&[order(1_000, "alipay")], 1_400);
    assert_eq!(world.changes(), ["alipay found 1305 0.00 of 0"]);
}

#[test]
fn listed_subjects_are_expected_from_the_start_and_others_never() {
    let listed = Expected::Listed(vec!["alipay".to_owned(), "wechat".to_owned()]);
    let mut world = World::new(rule(&[&[Channel]], flatline(1, MINUTES, listed)), 2);
    assert_eq!(world.judge.next_due(), Some(Time::MIN), "time has to start");
    let mut all: Vec<Order> = orders(1_000, 2_000).collect();
    all.push(order(1_010, "card"));
    world.run(&all, 2_000);
    assert_eq!(world.changes(), ["wechat found 1300 0.00 of 0"]);
    assert_eq!(world.judge.subjects(), 2);
    let counted: usize = world.counters.iter().map(|counter| counter.subjects()).sum();
    assert_eq!(counted, 1, "nothing of others is counted");
}

#[test]
fn one_subject_for_everything_is_expected_from_the_start() {
    let mut world = World::new(rule(&[&[]], flatline(1, MINUTES, Expected::Seen)), 2);
    world.judge(at(1_000), at(0));
    world.judge(at(1_305), at(0));
    assert_eq!(world.lines(), [" found 1300 0.00 of 0"]);
    world.observe(&order(1_310, "alipay"), at(1_000), false);
    world.judge(at(1_320), at(1_000));
    assert_eq!(world.changes().last().unwrap(), " healthy 1315");
}

#[test]
fn an_event_that_comes_late_withdraws_the_silence_that_it_breaks() {
    let mut world = seen(1);
    world.run(&orders(0, 601).collect::<Vec<_>>(), 930);
    assert_eq!(world.lines().len(), 5);
    world.observe(&order(915, "alipay"), at(810), false);
    world.judge(at(930), at(810));
    assert_eq!(world.lines()[5..], ["alipay withdrawn 920", "alipay healthy 920", "alipay withdrawn 925"]);
    world.observe(&order(840, "alipay"), at(810), false);
    world.judge(at(930), at(810));
    assert_eq!(world.settled_findings(), []);
}

#[test]
fn a_subject_that_was_only_seen_is_given_up_after_a_week_and_is_not_healthy_then() {
    let mut world = seen(1);
    world.run(&orders(0, 601).collect::<Vec<_>>(), 1_000);
    for day in 1..9 {
        world.judge(at(day * 86_400), at(day * 86_400 - 120));
    }
    assert_eq!(world.changes().len(), 2);
    assert!(world.changes()[1].starts_with("alipay quiet") || world.changes()[1].starts_with("gone quiet"));
    world.judge(at(20 * 86_400), at(19 * 86_400));
    assert_eq!((world.judge.subjects(), world.judge.next_due()), (0, None));
}
