//! One ticket per cause: an outage and what it explains, and what explains what within one account.

use super::*;

pub(super) const COVERED: &str = "
name: channel-drop
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'type == \"order.failed\"', among: 'type in [\"order.paid\", \"order.failed\"] and fault != \"customer\"',
          above: 20%, window: 5m, min_samples: 20 }
keep_firing_for: 1m
notice: { template: channel_trouble, to: affected, recovered: trouble_over }
---
name: failing
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == \"order.failed\" and fault != \"customer\"', at_least: 3, window: 10m,
          unless: 'type == \"order.delivered\"' }
incident: { covered_by: [channel-drop], wait: 60s }
notice: { template: topup_failing, to: account }
";

/// Sixty customers pay well, then one a second fails on the same channel; `a0` fails again and again.
pub(super) fn outage() -> Vec<(i64, String)> {
    let mut events: Vec<(i64, String)> =
        (0..60).map(|number| (number * 5, format!("order.paid b{number} channel=alipay"))).collect();
    for second in 300..360 {
        let account = if second % 3 == 0 { "a0".to_owned() } else { format!("a{second}") };
        events.push((
            second,
            format!("order.failed {account} channel=alipay fault=channel order_id=o{second}"),
        ));
    }
    events
}

#[test]
fn an_outage_is_one_ticket_its_first_victims_are_told_and_whoever_fails_repeatedly_joins_it() {
    let events = outage();
    let events: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    let lines = run(&rules(COVERED), &events, 700);
    let opened: Vec<&String> = lines.iter().filter(|line| line.contains("ticket.opened")).collect();
    assert_eq!(opened.len(), 1, "{lines:#?}");
    assert!(opened[0].contains("channel-drop alipay"), "{opened:?}");
    let told: std::collections::BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.contains("notice opened channel_trouble"))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    let count = lines.iter().filter(|line| line.contains("notice opened")).count();
    assert_eq!(count, told.len(), "everybody hears once");
    assert!(told.contains("a0") && told.contains("a301"), "the first victims are told as well: {told:?}");
    assert_eq!(told.len(), 41, "forty who failed once, and one who failed again and again");
}

/// The accounts that are told of the channel, once these events have followed the outage.
fn told_of_the_channel(more: impl IntoIterator<Item = (i64, String)>) -> Vec<String> {
    let mut events = outage();
    events.extend(more);
    let events: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    let lines = run(&rules(COVERED), &events, 900);
    let told = lines.iter().filter_map(|line| line.split_once("notice opened channel_trouble "));
    told.map(|(_, account)| account.to_owned()).collect()
}

fn failed(second: i64, account: &str) -> (i64, String) {
    (second, format!("order.failed {account} channel=alipay fault=channel order_id={account}x{second}"))
}

#[test]
fn when_late_events_show_that_the_trouble_began_earlier_those_who_met_it_then_are_told() {
    let told = told_of_the_channel((270..300).map(|second| failed(second, &format!("early{second}"))));
    let early = told.iter().filter(|account| account.starts_with("early")).count();
    assert_eq!(early, 30, "{told:?}");
}

#[test]
fn who_meets_the_trouble_while_it_seems_to_be_over_is_told_if_it_goes_on() {
    let paid = (0..400).map(|number| (361 + number / 10, format!("order.paid c{number} channel=alipay")));
    let between = failed(410, "between");
    let again = (0..300).map(|number| failed(415 + number / 10, &format!("again{number}")));
    let over = told_of_the_channel(paid.clone().chain([between.clone()]));
    assert!(!over.contains(&"between".to_owned()), "it was over: {over:?}");
    let told = told_of_the_channel(paid.chain([between]).chain(again));
    assert!(told.contains(&"again0".to_owned()), "{told:?}");
    assert!(told.contains(&"between".to_owned()), "{told:?}");
}

#[test]
fn a_finding_that_nothing_explains_opens_its_own_ticket_after_the_wait() {
    let failures: Vec<(i64, &str)> =
        [0, 10, 20].map(|second| (second, "order.failed a1 fault=supplier channel=alipay")).to_vec();
    let lines = run(&rules(COVERED), &failures, 100);
    assert_eq!(
        lines,
        ["80 ticket.opened failing a1 since 20", "80 affected a1", "80 notice opened topup_failing a1",]
    );
}

#[test]
fn what_still_waits_for_a_cause_is_not_counted_as_open() {
    let mut engine = Engine::new(rules(COVERED), &[0]);
    for (number, second) in [0, 10, 20].into_iter().enumerate() {
        let mut failed = event(number, second, "order.failed a1 fault=supplier channel=alipay");
        engine.observe(0, &mut failed, at(second));
    }
    assert_eq!(engine.figures().open_incidents, 0);
    engine.advance(0, at(90));
    assert_eq!(engine.figures().open_incidents, 1);
}

#[test]
fn the_ticket_that_opens_says_how_many_it_touches() {
    let events = outage();
    let mut engine = Engine::new(rules(COVERED), &[0]);
    let mut counts = Vec::new();
    for (number, (second, written)) in events.iter().enumerate() {
        engine.observe(0, &mut event(number, *second, written), at(*second));
        engine.advance_scope(at(*second));
        counts.extend(engine.drain_effects().filter_map(|effect| match effect.kind {
            EffectKind::Ticket { step, snapshot, .. } => Some((step, snapshot.affected)),
            _ => None,
        }));
    }
    // By then 26 payments have failed, nine of them of one account.
    assert_eq!(counts, [(TicketStep::Opened, 18)]);
}

#[test]
fn where_only_some_have_the_trouble_those_are_told_whose_own_incident_joins() {
    let joined = COVERED.replace("to: affected", "to: joined");
    let events = outage();
    let mut events: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    // A customer who has met the symptom once, and again when the ticket has long been open.
    events.push((362, "order.failed a301 channel=alipay fault=channel"));
    events.push((363, "order.failed a301 channel=alipay fault=channel"));
    let lines = run(&rules(&joined), &events, 400);
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("notice opened")).collect();
    assert_eq!(told, ["325 notice opened channel_trouble a0", "363 notice opened channel_trouble a301"]);
}

pub(super) const COVERED_BESIDE: &str = "
name: thrice
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == \"order.failed\"', at_least: 3, window: 10m }
keep_firing_for: 0s
incident: { cooldown: 0s, resolve_when: 'type == \"order.delivered\"' }
notice: { template: topup_failing, to: account }
---
name: twice
topics: orders
group_by: [account_id, channel]
detect: { kind: frequency, count: 'type == \"order.failed\"', at_least: 2, window: 10m }
incident: { cooldown: 0s, covered_by: [{ rule: thrice, equal: [account_id] }], wait: WAIT }
notice: { template: channel_trouble, to: account }
";

fn beside(wait: &str, events: &[(i64, &str)], until: i64) -> Vec<String> {
    run(&rules(&COVERED_BESIDE.replace("WAIT", wait)), events, until)
}

#[test]
fn what_an_open_incident_of_the_same_account_explains_joins_it_without_a_ticket() {
    let events = [
        (0, "order.failed a1 channel=alipay"),
        (1, "order.failed a1 channel=wechat"),
        (2, "order.failed a1 channel=unionpay"),
        (3, "order.failed a1 channel=alipay"),
        (4, "order.failed a2 channel=alipay"),
        (5, "order.failed a2 channel=alipay"),
    ];
    assert_eq!(
        beside("0s", &events, 30),
        [
            "2 ticket.opened thrice a1 since 2",
            "2 affected a1",
            "2 notice opened topup_failing a1",
            // The fourth failure is the second on its channel. Another account's is a matter of its own.
            "5 ticket.opened twice a2/alipay since 5",
            "5 affected a2",
            "5 notice opened channel_trouble a2",
        ]
    );
}

#[test]
fn a_symptom_waits_for_a_cause_of_the_same_account_or_its_ticket_is_merged_and_nobody_hears_twice() {
    let events = [
        (0, "order.failed a1 channel=alipay"),
        (1, "order.failed a1 channel=alipay"),
        (5, "order.failed a1 channel=alipay"),
    ];
    let waited = ["5 ticket.opened thrice a1 since 5", "5 affected a1", "5 notice opened topup_failing a1"];
    assert_eq!(beside("10s", &events, 100), waited);
    let merged = [
        "1 ticket.opened twice a1/alipay since 1",
        "1 affected a1",
        "1 notice opened channel_trouble a1",
        "5 ticket.opened thrice a1 since 5",
        "5 affected a1",
        "5 ticket.updated twice a1/alipay merged",
    ];
    assert_eq!(beside("0s", &events, 100), merged);
}

#[test]
fn what_has_joined_a_cause_is_let_go_with_it() {
    let events = [
        (0, "order.failed a1 channel=alipay"),
        (1, "order.failed a1 channel=wechat"),
        (2, "order.failed a1 channel=unionpay"),
        (3, "order.failed a1 channel=alipay"),
        (10, "order.delivered a1"),
        // Within ten minutes it is the same trouble still; after that it is new.
        (2_000, "order.failed a1 channel=alipay"),
        (2_001, "order.failed a1 channel=alipay"),
    ];
    let lines = beside("0s", &events, 2_010);
    let tickets: Vec<&String> = lines.iter().filter(|line| line.contains("ticket.")).collect();
    assert_eq!(
        tickets,
        [
            "2 ticket.opened thrice a1 since 2",
            "10 ticket.resolved thrice a1 recovered",
            "2001 ticket.opened twice a1/alipay since 2001",
        ]
    );
}
