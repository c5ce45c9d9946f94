//! `reconcile` through the engine: orders within a shard, keys over all of them, and the ticket that a deadline has.

use super::*;

pub(super) const CHECKS: &str = "
name: after-refund
topics: orders
detect: { kind: reconcile, check: delivered_after_refund, within: 5m }
incident: { close_after: 10m, cooldown: 0s }
---
name: expired
topics: orders
detect: { kind: reconcile, check: payment_after_expiry, within: 5m }
incident: { close_after: 10m, cooldown: 0s }
---
name: many
topics: orders
detect: { kind: reconcile, check: many_keys, within: 5m }
incident: { close_after: 10m, cooldown: 0s }
---
name: no-key
topics: orders
detect: { kind: reconcile, check: paid_without_key, within: 1m }
incident: { close_after: 10m, cooldown: 0s }
---
name: not-paid
topics: orders
detect: { kind: reconcile, check: key_without_payment, within: 1m }
incident: { close_after: 10m, cooldown: 0s }
---
name: twice
topics: orders
detect: { kind: reconcile, check: key_sold_twice, within: 5m }
incident: { close_after: 10m, cooldown: 0s }
";

/// Orders of four accounts, of which now and then something goes wrong.
pub(super) fn orders(random: &mut Random, count: usize, length: i64) -> Vec<(i64, String)> {
    let mut events = Vec::new();
    for order in 0..count / 3 {
        let account = random.below(4);
        let begins = random.below(length);
        let mut add = |after: i64, kind: &str, rest: &str| {
            events.push((begins + after, format!("order.{kind} a{account} order_id=o{order}{rest}")));
        };
        add(0, "created", &format!(" expires_at={}", begins + 30));
        if random.below(8) > 0 {
            add(if random.below(5) == 0 { 40 } else { 5 }, "paid", "");
        }
        let card = if random.below(3) == 0 { random.below(5) as usize } else { 100 + order };
        if random.below(8) > 0 {
            add(50, "delivered", &format!(" card_id=k{card}"));
        }
        if random.below(5) == 0 {
            add(if random.below(3) > 0 { 45 } else { 200 }, "refunded", "");
        }
        if random.below(8) == 0 {
            add(55, "delivered", &format!(" card_id=m{order}"));
        }
    }
    events.sort();
    events
}

#[test]
fn a_key_is_found_in_two_accounts_of_two_shards_and_its_ticket_names_the_key() {
    let mut engine = Engine::new(rules(CHECKS), &[0, 1]);
    let mut lines = Vec::new();
    let sold = [
        (0, 0, "order.paid a1 order_id=o1"),
        (1, 1, "order.paid a2 order_id=o2"),
        (0, 10, "order.delivered a1 order_id=o1 card_id=k1"),
        (1, 20, "order.delivered a2 order_id=o2 card_id=k1"),
    ];
    for (number, (shard, second, written)) in sold.into_iter().enumerate() {
        let mut event = event(number, second, written);
        let now = event.time;
        engine.observe(shard, &mut event, now);
        engine.advance(1 - shard, now);
        engine.advance_scope(now);
        lines.extend(engine.drain_effects().map(|effect| line(&effect)));
    }
    assert_eq!(lines, ["20 ticket.opened twice k1 since 20", "20 affected a2"]);
}

#[test]
fn each_check_finds_what_it_is_about() {
    let events = [
        (0, "order.created a1 order_id=o1 expires_at=30"),
        (40, "order.paid a1 order_id=o1"),
        (50, "order.refunded a1 order_id=o1"),
        (60, "order.delivered a1 order_id=o1 card_id=k1"),
        (70, "order.delivered a1 order_id=o1 card_id=k2"),
        (90, "order.created a2 order_id=o2"),
        (100, "order.delivered a2 order_id=o2 card_id=k3"),
        (110, "order.paid a3 order_id=o3"),
    ];
    let lines = run(&rules(CHECKS), &events, 300);
    let opened: Vec<&str> =
        lines.iter().filter(|line| line.contains("ticket.opened")).map(String::as_str).collect();
    assert_eq!(
        opened,
        [
            "40 ticket.opened expired o1 since 40",
            "60 ticket.opened after-refund o1 since 60",
            "70 ticket.opened many o1 since 70",
            "165 ticket.opened not-paid o2 since 160",
            "175 ticket.opened no-key o3 since 170",
        ]
    );
}

#[test]
fn of_a_check_and_a_deadline_on_the_same_order_the_deadline_has_the_ticket() {
    const BOTH: &str = "
name: a-check
topics: orders
detect: { kind: reconcile, check: paid_without_key, within: 1m }
notice: { template: no_key, to: account }
---
name: late
topics: orders
detect: { kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 1m }
notice: { template: late, to: account }
";
    let opened = |text: &str| {
        let lines = run(&rules(text), &[(0, "order.paid a1 order_id=o1")], 300);
        lines.into_iter().filter(|line| line.contains("opened")).collect::<Vec<_>>()
    };
    assert_eq!(opened(BOTH), ["65 ticket.opened late o1 since 60", "65 notice opened late a1"]);
    let named = format!("{BOTH}incident: {{ covered_by: [a-check] }}\n");
    assert_eq!(opened(&named), ["65 ticket.opened a-check o1 since 60", "65 notice opened no_key a1"]);
}

#[test]
fn restoring_the_checks_at_any_point_changes_nothing() {
    assert_restorable(&rules(CHECKS), &orders(&mut Random(5), 180, 2_400), 4_500, 19);
}

#[test]
fn the_order_of_arrival_within_the_lateness_leaves_the_same_tickets_of_the_checks() {
    assert_order_says_nothing(&rules(CHECKS), |random| orders(random, 120, 3_000), 100, 20);
}

#[test]
fn what_is_kept_of_rekeyed_events_is_forgotten_once_no_event_can_concern_it() {
    let rules = rules(
        "
name: shared-device
topics: logins
where: 'type == \"login.succeeded\"'
group_by: [device_id]
detect: { kind: cardinality, field: account_id, window: 5m, above: 30 }
",
    );
    let events: Vec<(i64, String)> =
        (0..4_000).map(|login| (login, format!("login.succeeded a{login} device_id=d{login}"))).collect();
    let (mut most, mut looks) = (0, 0);
    drive(&rules, &events, 0, |engine| {
        most = most.max(engine.figures().rules[0].subjects);
        looks += 1;
    });
    // Those of seven minutes, and what the sweep has not come by yet.
    assert!(looks >= 4_000 && (420..900).contains(&most), "{most} devices after {looks} logins");
}
