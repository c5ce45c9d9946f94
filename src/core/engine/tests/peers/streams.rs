//! Those that look at streams of events and alerts: Flink CEP, Sigma's correlations, Prometheus, Alertmanager and Panther.

use super::super::covering::{COVERED, outage};
use super::*;

/// A sequence of devices: `a`, `b` …, each a second after the one before.
fn pattern(source: &'static str, steps: &[&str], skip: &str, letters: &str, expected: &[i64]) -> Case {
    let steps: Vec<String> = (0..)
        .zip(steps)
        .map(|(number, step): (usize, _)| {
            let (letter, more) = step.split_once(' ').unwrap_or((step, ""));
            format!("{{ name: s{number}, when: 'device_id contains \"{letter}\"'{more} }}")
        })
        .collect();
    let events = (0..)
        .zip(letters.split(' '))
        .map(|(second, letter)| (second, format!("login.failed a1 device_id={letter}")));
    Case {
        source,
        rule: format!(
            "topics: logins\ndetect: {{ kind: sequence, within: 10s, steps: [{}]{skip} }}\ngrace: 0s\n",
            steps.join(", ")
        ),
        events: events.collect(),
        found: expected.to_vec(),
    }
}

#[test]
fn contiguity_of_flink_cep() {
    const PAGE: &str = "docs/libs/cep: contiguity of `a b` over a, c, b1, b2";
    check(vec![
        pattern(PAGE, &["a", "b , then: next"], "", "a c b b", &[]),
        pattern(PAGE, &["a", "b"], "", "a c b b", &[2]),
        pattern(PAGE, &["a", "b , then: followed_by_any"], ", skip: no_skip", "a c b b", &[2, 3]),
        pattern("the same, next to each other", &["a", "b , then: next"], "", "a b", &[1]),
        pattern("notFollowedBy: `a !c b`", &["a", "c , not: true", "b"], "", "a c b", &[]),
        pattern("notFollowedBy: nothing between", &["a", "c , not: true", "b"], "", "a d b", &[2]),
        pattern(
            "notNext: only the very next one hinders",
            &["a", "c , not: true, then: next", "b"],
            "",
            "a d c b",
            &[3],
        ),
        pattern("notNext: it is the next one", &["a", "c , not: true, then: next", "b"], "", "a c b", &[]),
        pattern("times(2)", &["a", "b , times: 2"], "", "a b c b", &[3]),
        pattern("optional: with it and without", &["a", "b , optional: true", "c"], "", "a c a b c", &[1, 4]),
        pattern(
            "within: what comes a whole span later is too late",
            &["a", "b"],
            "",
            "a d d d d d d d d d b",
            &[],
        ),
        pattern("within: just before that", &["a", "b"], "", "a d d d d d d d d b", &[9]),
        pattern(
            "notFollowedBy at the end, with within (Flink 1.16)",
            &["a", "b , not: true"],
            "",
            "a c",
            &[10],
        ),
    ]);
}

#[test]
fn skip_strategies_of_flink_cep() {
    const PAGE: &str = "AfterMatchSkipITCase: `a b{2}` over ab1 … ab6, where each event is an a and a b";
    let steps = ["a", "b , times: 2"];
    let events = "ab ab ab ab ab ab";
    check(vec![
        pattern(PAGE, &steps, ", skip: no_skip", events, &[2, 3, 4, 5]),
        pattern(PAGE, &steps, ", skip: to_next", events, &[2, 3, 4, 5]),
        pattern(PAGE, &steps, ", skip: past_last_event", events, &[2, 5]),
        pattern(PAGE, &steps, "", events, &[2, 5]),
        // Three matches there, which begin with each of the three; here a moment is found once, whatever completes at it.
        pattern(
            "docs/libs/cep: `b+ c` over b1 b2 b3 c",
            &["b , times: 1..", "c"],
            ", skip: no_skip",
            "b b b c",
            &[3],
        ),
        pattern("the same, past the last event", &["b , times: 1..", "c"], "", "b b b c", &[3]),
    ]);
}

const HEARD: &str = "---
name: one
topics: logins
where: 'type == \"login.failed\"'
detect: { kind: any }
---
name: two
topics: logins
where: 'type == \"account.payee_changed\"'
detect: { kind: any }
";

#[test]
fn correlations_of_sigma() {
    const SPEC: &str = "sigma-correlation-rules-specification";
    let (failed, changed) = ("login.failed a1", "account.payee_changed a1");
    for (what, fields, events, expected) in [
        (
            "event_count, gte 3",
            "of: [one], type: event_count, at_least: 3",
            vec![(0, failed), (10, failed), (20, failed)],
            vec![20],
        ),
        (
            "event_count: not within the timespan",
            "of: [one], type: event_count, at_least: 3",
            vec![(0, failed), (10, failed), (60, failed)],
            vec![],
        ),
        (
            "group-by: another one's events",
            "of: [one], type: event_count, at_least: 2",
            vec![(0, failed), (10, "login.failed a2")],
            vec![],
        ),
        (
            "value_count: different values of the field",
            "of: [one], type: value_count, field: ip, at_least: 2",
            vec![
                (0, "login.failed a1 ip=10.0.0.1"),
                (10, "login.failed a1 ip=10.0.0.1"),
                (20, "login.failed a1 ip=10.0.0.2"),
            ],
            vec![20],
        ),
        (
            "temporal: both, in any order",
            "of: [one, two], type: temporal",
            vec![(0, changed), (10, failed)],
            vec![10],
        ),
        ("temporal: one alone", "of: [one, two], type: temporal", vec![(0, changed), (10, changed)], vec![]),
        (
            "temporal_ordered",
            "of: [one, two], type: temporal_ordered",
            vec![(0, failed), (10, changed)],
            vec![10],
        ),
        (
            "temporal_ordered: the other way round",
            "of: [one, two], type: temporal_ordered",
            vec![(0, changed), (10, failed)],
            vec![],
        ),
    ] {
        let text = format!(
            "name: x\ntopics: logins\ndetect: {{ kind: correlation, {fields}, window: 1m }}\n{HEARD}"
        );
        assert_eq!(found(&text, &each(&events), 200), expected, "{SPEC}: {what}");
    }
}

#[test]
fn for_and_keep_firing_for_of_prometheus() {
    let rule = |fields: &str| {
        format!(
            "name: x\ntopics: logins\ndetect: {{ kind: frequency, count: 'type == \"login.failed\"', at_least: 1, window: 60s }}\n\
             grace: 0s\n{fields}\nincident: {{ cooldown: 0s }}\n"
        )
    };
    // docs/configuration/alerting_rules: an alert is pending until it has been active for `for`, and one that has ceased to
    // be active before that never fires.
    let brief = each(&[(0, "login.failed a1")]);
    let steady = at_seconds((0..=300).step_by(30), "login.failed a1");
    assert_eq!(tickets(&rule("for: 90s\nkeep_firing_for: 0s"), &brief, 600), [""; 0]);
    assert_eq!(
        tickets(&rule("for: 90s\nkeep_firing_for: 0s"), &steady, 600),
        ["90 ticket.opened x a1 since 0", "360 ticket.resolved x a1 quiet"]
    );
    // keep_firing_for: it goes on for so long after the condition has ceased, and what becomes active again in that time
    // is the same alert.
    assert_eq!(
        tickets(&rule("keep_firing_for: 100s"), &steady, 600),
        ["0 ticket.opened x a1 since 0", "460 ticket.resolved x a1 quiet"]
    );
    let flapping = each(&[(0, "login.failed a1"), (120, "login.failed a1")]);
    assert_eq!(
        tickets(&rule("keep_firing_for: 100s"), &flapping, 600),
        ["0 ticket.opened x a1 since 0", "280 ticket.resolved x a1 quiet"]
    );
    assert_eq!(tickets(&rule("keep_firing_for: 30s"), &flapping, 600).len(), 4, "two alerts");
}

#[test]
fn inhibition_of_alertmanager() {
    // docs/alerting/latest/alertmanager, inhibition: a target is muted while a source with equal labels fires. There it
    // is muted, here it is part of the other's ticket; that it waits for a source which comes a little later is ours.
    let text = format!(
        "{COVERED}\n---\nname: x\ntopics: orders\ngroup_by: [account_id]\nwhere: 'type == \"order.refunded\"'\n\
         detect: {{ kind: any }}\nincident: {{ covered_by: [channel-drop], wait: 0s }}\n"
    );
    let with = |refund: &str| {
        let mut events = outage();
        events.push((358, refund.to_owned()));
        events.sort();
        tickets(&text, &events, 400)
    };
    assert_eq!(with("order.refunded z1 channel=alipay"), [""; 0], "the label is equal");
    assert_eq!(with("order.refunded z1 channel=wechat").len(), 1, "another channel");
    // There labels that both lack are equal; here what lacks the field is not explained by it.
    assert_eq!(with("order.refunded z1").len(), 1, "no channel at all");
}

#[test]
fn impossible_travel_of_panther() {
    // rules/standard_rules/impossible_travel_login.yml: from New York to Auckland in two hours; 900 km/h and 70 km are its limits.
    const NEW_YORK: &str = "login.succeeded a1 place=40.71427,-74.00597,0";
    const AUCKLAND: &str = "login.succeeded a1 place=-36.84853,174.76349,0";
    const LOS_ANGELES: &str = "login.succeeded a1 place=34.05223,-118.24368,0";
    let rule = |more: &str| {
        format!(
            "name: x\ntopics: logins\ndetect: {{ kind: travel, faster_than_kmh: 900, further_than_km: 70{more} }}\n"
        )
    };
    let hours = 3_600;
    for (what, more, events, expected) in [
        ("the first login has no history", "", vec![(0, AUCKLAND.to_owned())], false),
        (
            "New York, and Auckland two hours later",
            "",
            vec![(0, NEW_YORK.to_owned()), (2 * hours, AUCKLAND.to_owned())],
            true,
        ),
        (
            "there in a day: an airliner does that",
            "",
            vec![(0, NEW_YORK.to_owned()), (24 * hours, AUCKLAND.to_owned())],
            false,
        ),
        ("the same place", "", vec![(0, NEW_YORK.to_owned()), (10, NEW_YORK.to_owned())], false),
        // There these alert too, as less severe; here what a relay or a VPN shows is no place at all, unless a rule says so.
        (
            "Apple Private Relay",
            "",
            vec![(0, NEW_YORK.to_owned()), (2 * hours, format!("{LOS_ANGELES} geo.network=relay"))],
            false,
        ),
        (
            "a VPN",
            "",
            vec![(0, NEW_YORK.to_owned()), (2 * hours, format!("{LOS_ANGELES} geo.network=vpn"))],
            false,
        ),
        (
            "a VPN that counts",
            ", ignore_networks: []",
            vec![(0, NEW_YORK.to_owned()), (2 * hours, format!("{LOS_ANGELES} geo.network=vpn"))],
            true,
        ),
    ] {
        let last = events.last().unwrap().0;
        assert_eq!(!found(&rule(more), &events, last).is_empty(), expected, "{what}");
    }
}
