//! Catching up: a day that nobody has read, in two topics of very different density, from the earliest offset on.

use serde_json::json;

use crate::harness::broker::Record;
use crate::harness::daemon::Place;
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::settled::{Settled, shown};
use crate::harness::world::{World, topics};

/// One rule reads both topics: a login from a new place is trouble only while orders of the account fail. Another
/// judges absence, and would call anything missing that has merely not been read yet.
const RULES: &str = r#"
name: repeated-topup-failures
summary: An account keeps failing to top up
owner: payments
topics: [orders, logins]
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed" and fault != "customer"', at_least: 3, window: 10m,
          unless: 'type == "login.succeeded"' }
incident: { cooldown: 2h, wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
notice: { template: topup_failing, to: account }
---
name: paid-not-delivered
summary: Paid, and nothing arrived in time
owner: fulfilment
topics: orders
group_by: [order_id]
detect: { kind: deadline, key: order_id, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 30m }
ticket: { category: not_delivered, department: supplier_relations, severity: high, sla: emergency }
notice: { template: delivery_late, to: account }
"#;

const DAY_SECONDS: i64 = 24 * 3_600;

/// Orders every second of a day, a login every 97 seconds.
fn day() -> Vec<Record> {
    let time = Timeline::from("2026-10-01T00:00:00Z");
    let mut events = Vec::new();
    for second in 0..DAY_SECONDS {
        let account = format!("a{}", second * 7_919 % 100);
        let order = format!("o{second}");
        match second % 50 {
            // Paid, and delivered in time, except one in a while.
            0 | 1 => {
                let fields = json!({ "order_id": order, "kind": "card_key", "channel": "alipay" });
                events.push((
                    second,
                    time.event(second, &format!("{order}-p"), "order.paid", &account, fields.clone()),
                ));
                if second % 5_000 != 0 {
                    let later = second + 60 + second % 1_700;
                    let delivered =
                        time.event(later, &format!("{order}-d"), "order.delivered", &account, fields);
                    events.push((later, delivered));
                }
            }
            _ => {
                events.push((second, time.topup_failed(second, &order, &account, "wechat", failure(second))));
            }
        }
        if second % 97 == 0 {
            let account = format!("a{}", second / 97 * 31 % 100);
            let login = time.event(second, &format!("l{second}"), "login.succeeded", &account, json!({}));
            events.push((second, login));
        }
    }
    events.sort_by_key(|(second, _)| *second);
    events.into_iter().map(|(_, event)| event).collect()
}

/// Most failures are the customer's own; every third hour has some that are not.
fn failure(second: i64) -> &'static str {
    if second / 3_600 % 3 == 0 { "CHANNEL_TIMEOUT" } else { "BALANCE_LOW" }
}

/// Rules that span partitions may find and leave trouble one step earlier or later than replay does.
const JUDGING_STEP: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

#[test]
fn a_backlog_of_a_day_in_two_topics_of_unequal_density_is_judged_as_replay_judges_it() {
    let customers: String = (0..100)
        .map(|number| {
            let customer =
                json!({ "account_id": format!("a{number}"), "email": format!("a{number}@example.com") });
            format!("{customer}\n")
        })
        .collect();
    let world = World::of(&day(), &customers);
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(4);
    world.produce(&orders, &logins);
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("backlog", RULES);
    place.set_customers(&customers);
    place.set("notices", "max_age = \"0s\"\nper_minute = 100000\nper_rule = 100000\nper_incident = 100000");
    let replayed = world.replay(&place.path("forewarn.toml"));
    place.run_until_end();
    let settled = Settled::from_database(&place.path("forewarn.db"));
    assert!(replayed.incidents.iter().any(|incident| incident.rule == "repeated-topup-failures"));
    assert!(replayed.incidents.iter().any(|incident| incident.rule == "paid-not-delivered"));
    let differing = replayed.differing_incidents(&settled, JUDGING_STEP);
    assert!(differing.is_empty(), "replay (left) and daemon (right) differ:\n{}", shown(&differing));
    let differing = replayed.differing_messages(&settled);
    assert!(differing.is_empty(), "replay (left) and daemon (right) differ:\n{}", shown(&differing));
}
