//! Rules that hear the findings of others: sequences and correlations, from finding to ticket.

use super::*;

pub(super) const HEARING: &str = "
name: moved
topics: logins
detect: { kind: change, fields: [device_id], window: 5m }
incident: { close_after: 10m, cooldown: 0s }
---
name: payee
topics: logins
where: 'type == \"account.payee_changed\"'
detect: { kind: any }
incident: { close_after: 10m, cooldown: 0s }
---
name: takeover
topics: [logins, orders]
detect:
  kind: sequence
  within: 5m
  steps:
    - { name: login, finding: moved }
    - { name: change, when: 'type == \"account.payee_changed\" and device_id == login.device_id' }
    - { name: order, when: 'type == \"order.created\"' }
incident: { close_after: 10m, cooldown: 0s }
notice: { template: takeover, to: account, corrected: not_you }
---
name: both
topics: logins
detect: { kind: correlation, of: [moved, payee], type: temporal, window: 2m }
incident: { close_after: 10m, cooldown: 0s }
---
name: unexplained
topics: logins
detect: { kind: correlation, of: [moved, payee], type: absent, window: 2m }
incident: { close_after: 10m, cooldown: 0s }
---
name: worst
topics: logins
detect: { kind: correlation, of: [takeover, both], type: event_count, at_least: 2, window: 5m }
incident: { close_after: 10m, cooldown: 0s }
";

#[test]
fn findings_are_steps_of_a_sequence_and_correlate_through_several_layers_of_rules() {
    let events = [
        (0, "login.succeeded a1 device_id=d1"),
        (10, "login.succeeded a1 device_id=d2"),
        (40, "account.payee_changed a1 device_id=d2"),
        (60, "order.created a1 order_id=o1"),
        (70, "login.succeeded a2 device_id=d3"),
        (80, "login.succeeded a2 device_id=d4"),
    ];
    let lines = run(&rules(HEARING), &events, 240);
    let opened: Vec<&String> = lines.iter().filter(|line| line.contains("ticket.opened")).collect();
    assert_eq!(
        opened,
        [
            "10 ticket.opened moved a1 since 10",
            "40 ticket.opened payee a1 since 40",
            "40 ticket.opened both a1 since 40",
            "60 ticket.opened takeover a1 since 60",
            "60 ticket.opened worst a1 since 60",
            "80 ticket.opened moved a2 since 80",
            "205 ticket.opened unexplained a2 since 200",
        ]
    );
    assert!(lines.contains(&"60 notice opened takeover a1".to_owned()), "{lines:#?}");
}

#[test]
fn a_finding_that_proves_untrue_takes_with_it_what_was_made_of_it() {
    const UNTRUE: &str = "
name: failing
topics: orders
detect: { kind: frequency, count: 'type == \"order.failed\"', at_least: 2, window: 10m, unless: 'type == \"order.delivered\"' }
---
name: again
topics: orders
detect: { kind: correlation, of: [failing], type: event_count, at_least: 1, window: 10m }
---
name: and-tries-on
topics: orders
detect:
  kind: sequence
  within: 10m
  steps:
    - { name: trouble, finding: failing }
    - { name: try, when: 'type == \"order.created\"' }
notice: { template: worse, to: account, corrected: was_fine }
";
    // That a top-up worked between the two that failed is known only in the end.
    let events = [
        (0, "order.failed a1 order_id=o1"),
        (10, "order.failed a1 order_id=o2"),
        (20, "order.created a1 order_id=o3"),
        (5, "order.delivered a1 order_id=o4"),
    ];
    let lines = run(&rules(UNTRUE), &events, 30);
    for rule in ["failing", "again", "and-tries-on"] {
        let steps = (count(&lines, "ticket.opened", rule), count(&lines, "ticket.withdrawn", rule));
        assert_eq!(steps, (1, 1), "{rule}: {lines:#?}");
    }
    assert!(lines.contains(&"20 notice corrected was_fine a1".to_owned()), "{lines:#?}");
}

/// Logins, changes of the payee and orders of a few accounts.
pub(super) fn events(random: &mut Random, count: usize, length: i64) -> Vec<(i64, String)> {
    let mut events: Vec<(i64, String)> = (0..count)
        .map(|number| {
            let (account, device) = (random.below(3), random.below(2));
            let text = match random.below(4) {
                0 => format!("account.payee_changed a{account} device_id=d{device}"),
                1 => format!("order.created a{account} order_id=o{number}"),
                _ => format!("login.succeeded a{account} device_id=d{device}"),
            };
            (random.below(length), text)
        })
        .collect();
    events.sort();
    events
}

#[test]
fn restoring_them_at_any_point_changes_nothing_of_what_they_hear() {
    assert_restorable(&rules(HEARING), &events(&mut Random(17), 120, 2_400), 4_000, 7);
}

#[test]
fn the_order_of_arrival_leaves_the_same_incidents_of_what_is_heard() {
    // What a step remembers of a finding's event is not known where another event has brought the finding about.
    let rules = rules(&HEARING.replace(" and device_id == login.device_id", ""));
    assert_order_says_nothing(&rules, |random| events(random, 100, 3_000), 20, 10);
}
