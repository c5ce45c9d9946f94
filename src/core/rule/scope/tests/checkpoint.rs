//! What a checkpoint holds, by example; that a restart changes nothing is among the properties.

use super::support::{Order, World, at, ratio, rule};
use crate::core::event::TextField::Channel;
use crate::core::rule::Detect;
use crate::core::rule::scope::{ScopeCounter, ScopeJudge};

#[test]
fn damaged_state_is_refused() {
    let rule = rule(&[&[Channel]], Detect::Ratio(ratio()));
    let mut world = World::new(rule.clone(), 1);
    let order = Order { millis: 1, account: 1, channel: "alipay", region: "r", product: "p", failed: true };
    world.observe(&order, at(-100), false);
    world.judge(at(10), at(-100));
    let mut records = Vec::new();
    world.counters[0]
        .drain_changes(&mut |key, value| records.push((true, key.to_vec(), value.unwrap().to_vec())));
    world.judge.drain_changes(&mut |key, value| records.push((false, key.to_vec(), value.unwrap().to_vec())));
    assert!(records.len() >= 4);
    for (counter, key, value) in records {
        for end in 0..value.len() {
            let result = if counter {
                ScopeCounter::new(&rule).unwrap().restore(&key, &value[..end])
            } else {
                ScopeJudge::new(&rule).unwrap().restore(&key, &value[..end])
            };
            assert!(result.is_err(), "{key:?} cut at {end}");
        }
    }
}

#[test]
fn nothing_is_stored_again_that_has_not_changed() {
    let mut world = World::new(rule(&[&[Channel]], Detect::Ratio(ratio())), 1);
    let order = Order { millis: 1, account: 1, channel: "alipay", region: "r", product: "p", failed: true };
    world.observe(&order, at(-100), false);
    world.judge(at(10), at(-100));
    world.counters[0].drain_changes(&mut |_, _| {});
    world.judge.drain_changes(&mut |_, _| {});
    world.counters[0].drain_changes(&mut |key, _| panic!("{key:?}"));
    world.judge.drain_changes(&mut |key, _| panic!("{key:?}"));
}
