//! How a cause finds its customers: the accounts that showed the symptom, in every shard, from the start of the trouble.

use super::support::{Order, World, at, ratio, rule};
use crate::core::event::TextField::{Channel, OrderId, Region};
use crate::core::rule::Detect;
use crate::core::rule::verdict::Verdict;

fn order(second: i64, account: u32, failed: bool) -> Order {
    Order { millis: second * 1_000, account, channel: "alipay", region: "east", product: "p", failed }
}

#[test]
fn every_account_that_failed_since_the_trouble_began_is_named_once_with_its_latest_order() {
    let mut world = World::new(rule(&[&[Channel], &[Channel, Region]], Detect::Ratio(ratio())), 3);
    let mut orders: Vec<Order> =
        (0..600).step_by(5).map(|second| order(second, second as u32 % 50, false)).collect();
    orders.push(order(100, 7, true));
    orders.extend((600..660).map(|second| order(second, second as u32 % 20, true)));
    world.run(&orders, 660);
    let found = world.said.iter().find(|judged| matches!(judged.verdict, Verdict::Found { .. })).unwrap();
    let Verdict::Found { since, .. } = found.verdict else { unreachable!() };
    let began = world.judge.started_at(found.subject, since).unwrap();
    assert_eq!(began, at(595), "the first failure is at 600");
    let mut told: Vec<String> = Vec::new();
    for counter in &world.counters {
        for facts in counter.symptoms_after(found.subject, began) {
            let latest = format!("o{}-{}", facts.time.as_millis(), &facts.account_id[1..]);
            assert_eq!(facts.text(OrderId), Some(latest.as_str()));
            assert!(facts.time > at(639), "its last of three");
            told.push(facts.account_id.to_string());
        }
    }
    told.sort();
    let mut expected: Vec<String> = (0..20).map(|account| format!("a{account}")).collect();
    expected.sort();
    assert_eq!(told, expected, "and not the one at 100");
}

#[test]
fn an_event_says_of_which_subjects_it_is_a_symptom() {
    let mut world = World::new(rule(&[&[Channel], &[Channel, Region]], Detect::Ratio(ratio())), 1);
    assert_eq!(world.observe(&order(1, 1, false), at(0), false), []);
    let subjects = world.observe(&order(2, 1, true), at(0), false);
    assert_eq!(subjects.len(), 2);
    assert_eq!(world.observe(&order(3, 1, true), at(0), true), [], "one that is too late shows nothing");
    for subject in subjects {
        assert_eq!(world.counters[0].symptoms_after(subject, at(0)).len(), 1);
    }
}

#[test]
fn symptoms_are_kept_for_as_long_as_the_start_of_trouble_is_sought() {
    let mut world = World::new(rule(&[&[Channel]], Detect::Ratio(ratio())), 1);
    let subject = world.observe(&order(100, 1, true), at(0), false)[0];
    world.judge(at(2_020), at(1_900));
    assert_eq!(world.counters[0].symptoms_after(subject, at(0)).len(), 1);
    world.judge(at(2_022), at(1_901));
    assert_eq!(world.counters[0].symptoms_after(subject, at(0)).len(), 0);
}
