//! The state in Kafka: another machine goes on where one has stopped or died, and who comes back finds its own too old.

use std::ops::Range;

use crate::harness::broker;
use crate::harness::daemon::Place;
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::postgres::Schema;
use crate::harness::wait::{until, when};
use crate::harness::world::topics;

/// Whoever has forgotten the first two finds nothing in the third.
const THIRD_FAILURE: &str = r#"
name: failures
summary: The third failed order
owner: payments
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 3, window: 1h }
incident: { wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
"#;

#[test]
fn another_machine_goes_on_from_the_changelog_and_a_state_folder_that_is_too_old_is_given_up() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let changelog = broker::unique("changelog");
    let runtime = broker::runtime();
    let schema = runtime.block_on(Schema::new());
    let mut one = Place::new(&orders, &logins, &mailbox);
    one.replace("store", &format!("url = \"{}\"", schema.url("")));
    one.set("topics", &format!("changelog = \"{changelog}\""));
    one.add_rule("failures", THIRD_FAILURE);
    let other = one.elsewhere();
    let time = Timeline::recent();
    let fail = |nth: i64, accounts: Range<i64>| {
        let failed = |account: i64| {
            let (order, account) = (format!("o{account}-{nth}"), format!("a{account}"));
            time.topup_failed(nth * 10, &order, &account, "alipay", "E")
        };
        broker::produce(&orders, accounts.map(failed));
    };
    let tickets = |expected: i64| {
        until("a ticket for each of them", || {
            let count = runtime.block_on(schema.ask("SELECT count(*) FROM tickets"));
            when(count == expected, count)
        });
    };
    let shipped = |records: i64, keys: usize| {
        until("its offsets", || {
            let committed = broker::committed(&one.group, &orders);
            when(committed == records, committed)
        });
        until("its state in the changelog", || {
            let held = broker::read_all(&changelog).len();
            when(held >= keys, held)
        });
    };
    let log = |place: &Place| std::fs::read_to_string(place.path("daemon.log")).unwrap_or_default();
    let starts = |place: &Place, times: usize| {
        until("it to take over", || {
            when(log(place).matches("the shards are taken over").count() == times, log(place))
        });
    };

    let mut daemon = one.run();
    starts(&one, 1);
    fail(1, 0..50);
    fail(2, 0..50);
    shipped(100, 50);
    // On the same machine it neither waits for itself nor fetches anything.
    daemon.kill();
    let mut daemon = one.run();
    starts(&one, 2);
    assert!(!log(&one).contains("standing by") && !log(&one).contains("taken from the changelog"));
    daemon.kill();

    let mut elsewhere = other.run();
    fail(3, 0..50);
    tickets(50);
    assert!(log(&other).contains("the state is taken from the changelog"), "{}", log(&other));

    // What it has made of it goes back.
    fail(1, 50..100);
    fail(2, 50..100);
    until("them to be read", || {
        let committed = broker::committed(&one.group, &orders);
        when(committed == 250, committed)
    });
    assert!(elsewhere.stop().success());
    let mut daemon = one.run();
    starts(&one, 3);
    fail(3, 50..100);
    tickets(100);
    assert!(log(&one).contains("is given up") && log(&one).contains("taken from the changelog"));
    assert!(daemon.stop().success());
}

#[test]
fn a_changelog_that_is_not_as_it_must_be_is_refused_before_anything_is_touched() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    for (partitions, options, expected) in [
        (
            2,
            vec![("cleanup.policy", "compact")],
            "has 2 partitions; 4 are needed, two more than the 2 of the orders",
        ),
        (4, vec![("cleanup.policy", "delete")], "has cleanup.policy=delete; it must be compact"),
    ] {
        let changelog = broker::unique("changelog");
        broker::create(&changelog, partitions, &options);
        let mut place = Place::new(&orders, &logins, &mailbox);
        place.set("topics", &format!("changelog = \"{changelog}\""));
        place.add_rule("failures", THIRD_FAILURE);
        let (code, said) = place.run_and_fail();
        assert!(code.is_some_and(|code| code != 0), "{code:?}");
        assert!(said.contains(&format!("{changelog} (topics.changelog) {expected}")), "{said}");
    }
}
