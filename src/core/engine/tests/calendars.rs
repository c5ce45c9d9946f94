//! Rules that find nothing during a calendar, silence that is none outside of one, and silence that is not proved yet.

use super::*;
use crate::core::calendar::Written;
use crate::core::clock::Clocks;
use crate::core::rule::parse::LoadOptions;

/// The rules of these tests may name `maintenance`, from second 1,200 until before second 1,800.
pub fn options() -> LoadOptions {
    let spans = vec![format!("{}/{}", at(1_200), at(1_800))];
    let maintenance = Written { spans, ..Written::default() }.check("UTC").unwrap();
    let calendars = [("maintenance".to_owned(), Arc::new(maintenance))];
    LoadOptions { calendars: Arc::new(calendars.into()), ..LoadOptions::default() }
}

const SILENT: &str = "
name: silent
topics: orders
group_by: [channel]
except: [maintenance]
detect: { kind: flatline, window: 5m, expect: [alipay] }
";

fn paid(seconds: impl Iterator<Item = i64>) -> Vec<(i64, &'static str)> {
    seconds.map(|second| (second, "order.paid a1 channel=alipay")).collect()
}

#[test]
fn nothing_is_found_during_a_calendar_and_what_lasts_is_found_at_its_end() {
    let silent = run(&rules(SILENT), &paid((0..=1_000).step_by(100)), 2_000);
    assert_eq!(silent, ["1805 ticket.opened silent alipay since 1800"]);
    let before = run(&rules(SILENT), &paid((0..=800).step_by(100)), 2_000);
    assert_eq!(
        before,
        ["1105 ticket.opened silent alipay since 1105"].map(|line| line.replace("1105 ", "1110 "))
    );
    let without =
        run(&rules(&SILENT.replace("except: [maintenance]\n", "")), &paid((0..=1_000).step_by(100)), 1_400);
    assert_eq!(without, ["1310 ticket.opened silent alipay since 1305"]);
}

#[test]
fn what_was_open_before_a_calendar_may_end_in_it() {
    let events = paid((0..=600).step_by(100).chain((1_300..2_000).step_by(100)));
    let lines = run(&rules(SILENT), &events, 2_000);
    assert_eq!(
        lines,
        ["910 ticket.opened silent alipay since 905", "1605 ticket.resolved silent alipay recovered"]
    );
}

#[test]
fn single_events_are_not_found_during_a_calendar_at_all() {
    let rule = "
name: each
topics: orders
except: maintenance
detect: { kind: any }
";
    let lines = run(
        &rules(rule),
        &[
            (1_199, "order.paid a1 order_id=o1"),
            (1_200, "order.paid a2 order_id=o2"),
            (1_799, "order.paid a3 order_id=o3"),
            (1_800, "order.paid a4 order_id=o4"),
        ],
        2_000,
    );
    let opened: Vec<&String> = lines.iter().filter(|line| line.contains("opened each")).collect();
    assert_eq!(opened, ["1199 ticket.opened each a1 since 1199", "1800 ticket.opened each a4 since 1800"]);
}

#[test]
fn what_others_hear_of_a_rule_is_what_it_finds() {
    let rule = "
name: each
topics: orders
except: maintenance
where: 'type == \"order.paid\"'
detect: { kind: any }
---
name: twice
topics: orders
detect: { kind: correlation, of: [each], type: event_count, at_least: 2, window: 1h }
";
    let events = [
        (1_000, "order.paid a1 order_id=o1"),
        (1_300, "order.paid a1 order_id=o2"),
        (1_500, "order.paid a1 order_id=o3"),
        (1_900, "order.paid a1 order_id=o4"),
    ];
    let lines = run(&rules(rule), &events, 2_000);
    let opened: Vec<&String> = lines.iter().filter(|line| line.contains("opened twice")).collect();
    assert_eq!(opened, ["1900 ticket.opened twice a1 since 1900"]);
}

/// Two partitions; `alipay` is heard of in the second one.
fn partitions(steps: &[(u32, i64, &str, bool)]) -> Vec<String> {
    let mut engine = Engine::new(rules(&SILENT.replace("except: [maintenance]\n", "")), &[0, 1]);
    let mut clocks = Clocks::new(&[0, 1]);
    for shard in [0, 1] {
        clocks.set_unread(shard, Topic::Orders, true);
    }
    let mut lines = Vec::new();
    for (number, (shard, second, written, more)) in steps.iter().enumerate() {
        let mut event = event(number, *second, written);
        clocks.read(*shard, Topic::Orders, event.time);
        engine.observe(*shard, &mut event, clocks.shard_time(*shard));
        clocks.set_unread(*shard, Topic::Orders, *more);
        engine.advance_scope(clocks.scope_time());
        lines.extend(engine.drain_effects().map(|effect| line(&effect)));
    }
    lines
}

#[test]
fn a_partition_that_is_merely_quiet_or_unread_is_not_silence() {
    let other = |second| (0, second, "order.paid a1 channel=wechat", true);
    let alipay = |second, more| (1, second, "order.paid a2 channel=alipay", more);
    // The second partition has more to read, and its time stands at 100.
    let unread: Vec<_> = [alipay(100, true)].into_iter().chain((1..40).map(|n| other(n * 60))).collect();
    assert_eq!(partitions(&unread), [""; 0]);
    // What it had to say all the while.
    let read = unread.iter().copied().chain((2..40).map(|n| alipay(n * 60, true)));
    assert_eq!(partitions(&read.collect::<Vec<_>>()), [""; 0]);
    // It is read to its end and quiet, while the first one tells of the channel.
    let first = (1..40).map(|n| (0, n * 60, "order.paid a1 channel=alipay", true));
    let quiet: Vec<_> = [alipay(100, false)].into_iter().chain(first).collect();
    assert_eq!(partitions(&quiet), [""; 0]);
    // Read to its end, and nobody tells of the channel: that is silence.
    let silent: Vec<_> = [alipay(100, false)].into_iter().chain((2..10).map(|n| other(n * 60))).collect();
    assert_eq!(partitions(&silent).len(), 1);
}
