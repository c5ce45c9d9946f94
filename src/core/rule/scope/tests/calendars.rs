//! Silence measured in a calendar's time, against a model that looks at every step of it.

use std::sync::Arc;

use proptest::prelude::*;

use super::support::{Order, World, at, flatline, rule};
use crate::core::calendar::{Calendar, Written};
use crate::core::event::TextField::Channel;
use crate::core::rule::Detect;
use crate::core::rule::scope::Expected;
use crate::core::tests::seeded;
use crate::core::time::{Span, Time};

const STEP: i64 = 10;
/// A Monday in UTC.
const START: i64 = 1_780_272_000;
const LENGTH: i64 = 30 * 3_600;

fn calendar(edges: &[i64]) -> Calendar {
    let clock = |minute: &i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let hours =
        edges.chunks_exact(2).map(|pair| format!("{}-{}", clock(&pair[0]), clock(&pair[1]))).collect();
    let written = Written { hours: [("mon-sun".to_owned(), hours)].into(), ..Written::default() };
    written.check("UTC").unwrap()
}

/// For every step the number of steps of the calendar before it.
fn passed(calendar: &Calendar) -> Vec<i64> {
    let mut passed = vec![0];
    for step in 0..LENGTH / STEP {
        passed.push(passed[step as usize] + i64::from(calendar.holds(at(START + step * STEP))));
    }
    passed
}

proptest! {
    #![proptest_config(seeded(ProptestConfig { cases: 40, ..ProptestConfig::default() }))]

    #[test]
    fn a_window_holds_what_the_last_minutes_of_the_calendar_hold(
        edges in proptest::collection::btree_set(0..288i64, 2..14),
        mut millis in proptest::collection::vec(0..LENGTH * 1_000, 1..120),
        window in prop_oneof![Just(10), Just(15)],
        fewer_than in 1..4u32,
    ) {
        let edges: Vec<i64> = edges.into_iter().map(|edge| edge * 5).collect();
        let calendar = calendar(&edges);
        let passed = passed(&calendar);
        let mut detect = flatline(fewer_than, Span::from_mins(window), Expected::Seen);
        if let Detect::Flatline(flatline) = &mut detect {
            flatline.calendar = Some(Arc::new(calendar));
        }
        let rule = rule(&[&[Channel]], detect);
        millis.sort_unstable();
        let order = |millis: &i64| Order {
            millis: START * 1_000 + millis, account: *millis as u32, channel: "alipay", region: "r", product: "p", failed: false,
        };
        let mut world = World::new(rule, 3);
        let mut orders = millis.iter().map(order).peekable();
        for step in 0..LENGTH / STEP {
            let now = START + step * STEP;
            while let Some(order) = orders.next_if(|order| order.millis < now * 1_000) {
                world.observe(&order, at(now - 120), false);
            }
            world.judge(at(now + 5), at(now - 120));
        }
        let found: Vec<Time> = world.settled_findings().into_iter().map(|(time, _)| time).collect();
        let window = window * 60 / STEP;
        let first = (millis[0] / 1_000).div_euclid(STEP) + 1;
        let mut expected = Vec::new();
        for step in first..LENGTH / STEP {
            let so_far = passed[step as usize];
            if so_far - passed[first as usize] < window {
                continue;
            }
            // The latest step since which a window of the calendar has passed.
            let start = passed.partition_point(|passed| *passed <= so_far - window) as i64 - 1;
            let held = millis.iter().filter(|millis| (start * STEP * 1_000..step * STEP * 1_000).contains(*millis));
            if held.count() < fewer_than as usize {
                expected.push(at(START + step * STEP));
            }
        }
        prop_assert_eq!(found, expected, "{:?}", edges);
    }
}

#[test]
fn a_night_is_no_silence_and_what_speaks_in_it_is_heard() {
    let mut detect = flatline(1, Span::from_mins(10), Expected::Listed(vec!["alipay".to_owned()]));
    if let Detect::Flatline(flatline) = &mut detect {
        flatline.calendar = Some(Arc::new(calendar(&[9 * 60, 18 * 60])));
    }
    let order = |second: i64| Order {
        millis: (START + second) * 1_000,
        account: 1,
        channel: "alipay",
        region: "r",
        product: "p",
        failed: false,
    };
    let (nine, six, day) = (9 * 3_600, 18 * 3_600, 24 * 3_600);
    let run = |orders: &[i64], until: i64| {
        let mut world = World::new(rule(&[&[Channel]], detect.clone()), 1);
        world.run(&orders.iter().map(|second| order(*second)).collect::<Vec<_>>(), START + until);
        let seconds = |time: Time| time.as_millis() / 1_000 - START;
        world.settled_findings().first().map(|(time, _)| seconds(*time))
    };
    // Four minutes before the evening and six after the morning; one at the beginning of a window is in it.
    assert_eq!(run(&[nine, six - 240], day + nine + 600), Some(nine + 610));
    let spoken: Vec<i64> = (nine..six).step_by(300).collect();
    let spoken = |more: i64| -> Vec<i64> { spoken.iter().copied().chain([more]).collect() };
    assert_eq!(run(&spoken(six - 240), day + nine + 400), Some(day + nine + 370));
    // At night nothing is missed, and who speaks then has spoken before the morning.
    assert_eq!(run(&spoken(six - 240), day + nine), None);
    assert_eq!(run(&spoken(six + 3_600), day + nine + 599), None);
    assert_eq!(run(&spoken(six + 3_600), day + nine + 700), Some(day + nine + 600));
}
