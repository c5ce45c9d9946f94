//! Rules that hear the findings of others: sequences and correlations, from finding to ticket.

use super::*;

const HEARING: &str = "
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
    // The login from the second device arrives first; the one from the first device shows that nothing has changed.
    let events = [
        (0, "login.succeeded a1 device_id=d1"),
        (20, "login.succeeded a1 device_id=d2"),
        (40, "account.payee_changed a1 device_id=d2"),
        (60, "order.created a1 order_id=o1"),
        (10, "login.succeeded a1 device_id=d2"),
    ];
    let lines = run(&rules(HEARING), &events, 100);
    let of = |rule: &str| lines.iter().filter(|line| line.contains(rule)).cloned().collect::<Vec<_>>();
    // It has moved all the same, ten seconds earlier.
    assert_eq!(of("ticket.withdrawn"), Vec::<String>::new(), "{lines:#?}");
    let events = [
        (0, "login.succeeded a1 device_id=d1"),
        (400, "login.succeeded a1 device_id=d2"),
        (410, "account.payee_changed a1 device_id=d2"),
    ];
    assert_eq!(run(&rules(HEARING), &events, 500).iter().filter(|line| line.contains("both")).count(), 0);
    let events = [
        (0, "login.succeeded a1 device_id=d2"),
        (20, "login.succeeded a1 device_id=d1"),
        (30, "account.payee_changed a1 device_id=d1"),
        (19, "login.succeeded a1 device_id=d1"),
    ];
    let lines = run(&rules(HEARING), &events, 100);
    assert!(lines.iter().any(|line| line.starts_with("30 ticket.opened both")), "{lines:#?}");
}

/// Logins, changes of the payee and orders of a few accounts.
fn events(random: &mut Random, count: usize, length: i64) -> Vec<(i64, String)> {
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
    let rules = rules(HEARING);
    let events = events(&mut Random(17), 120, 2_400);
    let borrowed: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    let whole = run(&rules, &borrowed, 4_000);
    for rule in rules.rules.iter().map(|rule| rule.name.as_str()) {
        let opened = format!("ticket.opened {rule} ");
        assert!(whole.iter().any(|line| line.contains(&opened)), "{rule} never opened");
    }
    for cut in (0..events.len()).step_by(7) {
        assert_eq!(run_restored(&rules, &events, 4_000, cut), whole, "restored after {cut} events");
    }
}

#[test]
fn the_order_of_arrival_leaves_the_same_incidents_of_what_is_heard() {
    // What a step remembers of a finding's event is not known where another event has brought the finding about.
    let rules = rules(&HEARING.replace(" and device_id == login.device_id", ""));
    let (mut incidents, mut withdrawals) = (BTreeMap::new(), 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let events: Vec<(usize, i64, String)> = (0..)
            .zip(events(&mut random, 100, 3_000))
            .map(|(number, (second, text))| (number, second, text))
            .collect();
        let (expected, _) = settled(&rules, &events);
        let mut arriving: Vec<_> =
            events.iter().map(|event| (event.1 + random.below(100), event.clone())).collect();
        arriving.sort_by_key(|(arrival, event)| (*arrival, event.0));
        let arriving: Vec<_> = arriving.into_iter().map(|(_, event)| event).collect();
        let (standing, withdrawn) = settled(&rules, &arriving);
        assert_eq!(without_counterpart(&standing, &expected), Vec::<&Standing>::new(), "seed {seed}");
        assert_eq!(without_counterpart(&expected, &standing), Vec::<&Standing>::new(), "seed {seed}");
        for (name, ..) in &standing {
            *incidents.entry(name.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        withdrawals += withdrawn;
    }
    assert_eq!(incidents.len(), rules.rules.len(), "{incidents:?}");
    assert!(incidents.values().all(|count| *count >= 20), "too easy: {incidents:?}");
    assert!(withdrawals >= 10, "too easy: {withdrawals} withdrawals");
}
