//! The kinds that look at values, through the engine: within a shard and over several, from finding to ticket.

use super::*;

pub(super) const VALUES: &str = "
name: blocked
topics: logins
group_by: [ip]
detect: { kind: list, field: ip, in: [10.0.0.0/8] }
incident: { close_after: 10m, cooldown: 0s }
---
name: few-addresses
topics: logins
group_by: [device_id]
detect: { kind: cardinality, field: ip, window: 2m, below: 2 }
keep_firing_for: 1m
incident: { cooldown: 0s }
---
name: few-devices
topics: logins
detect: { kind: cardinality, field: device_id, window: 2m, below: 2 }
keep_firing_for: 1m
incident: { cooldown: 0s }
notice: { template: few, to: account }
---
name: many-accounts
topics: logins
group_by: [device_id]
detect: { kind: cardinality, field: account_id, window: 2m, above: { by: device_id, d1: 1, default: 2 } }
keep_firing_for: 1m
incident: { cooldown: 0s }
---
name: moved
topics: logins
detect: { kind: change, fields: [device_id, ip], window: 5m }
incident: { close_after: 10m, cooldown: 0s }
---
name: payee
topics: logins
where: 'type == \"account.payee_changed\"'
detect: { kind: any }
incident: { close_after: 10m, cooldown: 0s }
";

/// Logins that now and then come from another device or address.
pub(super) fn logins(random: &mut Random, count: usize, length: i64) -> Vec<(i64, String)> {
    let mut events: Vec<(i64, String)> = (0..count)
        .map(|_| {
            let kind = if random.below(20) == 0 { "account.payee_changed" } else { "login.succeeded" };
            let account = random.below(4);
            let device = if random.below(5) == 0 { random.below(4) } else { account };
            let ip = if random.below(5) == 0 { random.below(4) } else { 0 };
            let network = if random.below(12) == 0 { 10 } else { 11 };
            (random.below(length), format!("{kind} a{account} device_id=d{device} ip={network}.0.0.{ip}"))
        })
        .collect();
    events.sort();
    events
}

#[test]
fn what_comes_true_when_nothing_happens_is_told_of_the_subject_it_is_about() {
    let events = [
        (0, "login.succeeded a1 device_id=d1 ip=11.0.0.1"),
        (50, "login.succeeded a1 device_id=d2 ip=11.0.0.1"),
        (110, "login.succeeded a1 device_id=d2 ip=11.0.0.1"),
    ];
    let lines = run(&rules(VALUES), &events, 240);
    let of = |rule: &str| lines.iter().filter(|line| line.contains(rule)).cloned().collect::<Vec<_>>();
    assert_eq!(of("few-devices")[0], "125 ticket.opened few-devices a1 since 120");
    assert!(lines.contains(&"125 notice opened few a1".to_owned()), "{lines:#?}");
    assert_eq!(of("few-addresses"), ["175 ticket.opened few-addresses d2 since 170"]);
    assert_eq!(of("moved"), ["50 ticket.opened moved a1 since 50"]);
}

#[test]
fn restoring_them_at_any_point_changes_nothing() {
    let rules = rules(VALUES);
    let whole = assert_restorable(&rules, &logins(&mut Random(11), 150, 2_400), 4_000, 13);
    for rule in rules.rules.iter().map(|rule| rule.name.as_str()) {
        let (opened, resolved) =
            (count(&whole, "ticket.opened", rule), count(&whole, "ticket.resolved", rule));
        assert_eq!(resolved, opened, "{rule}");
    }
}

#[test]
fn the_order_of_arrival_within_the_lateness_leaves_the_same_incidents() {
    assert_order_says_nothing(&rules(VALUES), |random| logins(random, 150, 3_000), 100, 20);
}
