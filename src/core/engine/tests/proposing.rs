//! What is proposed to whom, when, and how often.

use std::collections::BTreeMap;

use super::*;
use crate::core::effect::ProposalState;
use covering::COVERED_BESIDE;

const LATE: &str = "
name: late
topics: orders
group_by: [order_id]
detect: { kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 1m }
grace: 5s
incident: { cooldown: 1h }
notice: { template: delivery_late, to: account, corrected: delivery_was_fine }
compensation: { propose: 5% of start.amount, cap: \"50.00 CNY\" }
action: { propose: deliver_again }
";

fn proposals(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("compensation.") || line.contains("action."))
        .collect()
}

#[test]
fn a_ticket_that_opens_proposes_what_its_rule_says_after_the_customer_is_told() {
    let lines = run(&rules(LATE), &[(0, "order.paid a1 order_id=o1 amount=99.90 currency=CNY")], 80);
    assert_eq!(
        lines,
        [
            "65 ticket.opened late o1 since 60",
            "65 affected a1",
            "65 notice opened delivery_late a1",
            "65 compensation.proposed 5.00 CNY a1",
            "65 action.proposed deliver_again a1",
        ]
    );
}

#[test]
fn what_comes_back_within_its_cooldown_is_compensated_once() {
    let paid = |second| (second, "order.paid a1 order_id=o1 amount=20 currency=CNY");
    let delivered = |second| (second, "order.delivered a1 order_id=o1");
    let lines = run(&rules(LATE), &[paid(0), delivered(100), paid(400), delivered(500), paid(9_000)], 9_100);
    assert_eq!(count(&lines, "ticket.reopened", "late"), 1, "{lines:#?}");
    assert_eq!(
        proposals(&lines),
        [
            "65 compensation.proposed 1.00 CNY a1",
            "65 action.proposed deliver_again a1",
            // Beyond the cooldown it is another incident.
            "9065 compensation.proposed 1.00 CNY a1",
            "9065 action.proposed deliver_again a1",
        ]
    );
}

#[test]
fn what_is_over_before_the_ticket_opens_is_not_compensated() {
    let events = [(0, "order.paid a1 order_id=o1 amount=20"), (62, "order.delivered a1 order_id=o1")];
    let lines = run(&rules(LATE), &events, 200);
    assert_eq!((count(&lines, "ticket.resolved", "late"), proposals(&lines).len()), (1, 0), "{lines:#?}");
}

#[test]
fn what_proves_untrue_is_withdrawn_and_proposed_again_when_it_is_true_after_all() {
    let events = [
        (0, "order.paid a1 order_id=o1 amount=20 currency=CNY"),
        (70, "order.created a2 order_id=o2"),
        // It had been delivered in time.
        (30, "order.delivered a1 order_id=o1"),
    ];
    let lines = run(&rules(LATE), &events, 200);
    assert_eq!(
        proposals(&lines),
        [
            "65 compensation.proposed 1.00 CNY a1",
            "65 action.proposed deliver_again a1",
            "70 compensation.withdrawn 1.00 CNY a1",
            "70 action.withdrawn deliver_again a1",
        ]
    );
}

#[test]
fn a_person_says_how_much_where_the_event_does_not() {
    let lines = run(&rules(LATE), &[(0, "order.paid a1 order_id=o1 currency=CNY")], 80);
    assert!(lines.contains(&"65 compensation.proposed no_amount a1".to_owned()), "{lines:#?}");
    let free = run(&rules(LATE), &[(0, "order.paid a1 order_id=o1 amount=0.05 currency=CNY")], 80);
    assert_eq!(proposals(&free), ["65 action.proposed deliver_again a1"], "nothing is not proposed");
}

const DROP: &str = "
name: channel-drop
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'type == \"order.failed\"', among: 'type in [\"order.paid\", \"order.failed\"]',
          above: 20%, window: 5m, min_samples: 20 }
keep_firing_for: 1m
notice: { template: channel_trouble, to: affected }
PROPOSE
---
name: failing
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == \"order.failed\"', at_least: 3, window: 10m }
incident: { covered_by: [channel-drop], wait: 60s }
compensation: { propose: \"3.00 CNY\" }
";

fn outage(rule: &str) -> Vec<String> {
    let events = covering::outage();
    let events: Vec<(i64, String)> =
        events.into_iter().map(|(second, text)| (second, format!("{text} amount=10 currency=CNY"))).collect();
    let events: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    run(&rules(rule), &events, 700)
}

#[test]
fn each_account_that_an_outage_touches_is_offered_its_share_once_and_the_subject_is_acted_on_once() {
    let both = "compensation: { propose: 5% of amount }\naction: { propose: route_around, for: subject }";
    let lines = outage(&DROP.replace("PROPOSE", both));
    let mut offered: BTreeMap<&str, usize> = BTreeMap::new();
    for line in proposals(&lines) {
        let account = line.rsplit(' ').next().unwrap();
        if line.contains("compensation.proposed") {
            assert!(line.contains(" 0.50 CNY "), "whose rule proposes is the cause: {line}");
        }
        *offered.entry(account).or_default() += 1;
    }
    assert_eq!(offered.remove(""), Some(1), "the channel itself: {lines:#?}");
    assert_eq!(offered.len(), 41, "forty who failed once, and one who failed again and again");
    assert!(offered.values().all(|count| *count == 1), "{offered:?}");
}

#[test]
fn those_who_join_a_cause_that_proposes_nothing_bring_what_their_own_rule_proposes() {
    let lines = outage(&DROP.replace("PROPOSE", ""));
    assert_eq!(proposals(&lines), ["325 compensation.proposed 3.00 CNY a0"]);
    let mut engine = Engine::new(rules(&DROP.replace("PROPOSE", "")), &[0]);
    let mut shown = Vec::new();
    let mut opened = Vec::new();
    for (number, (second, written)) in covering::outage().iter().enumerate() {
        engine.observe(0, &mut event(number, *second, written), at(*second));
        engine.advance_scope(at(*second));
        for effect in engine.drain_effects() {
            match effect.kind {
                EffectKind::Ticket { step: TicketStep::Opened, .. } => opened.push(effect.incident),
                EffectKind::Proposal(proposal) => shown.push((effect.incident, proposal.origin)),
                _ => {}
            }
        }
    }
    assert_eq!((shown.len(), opened.len()), (1, 1));
    assert_eq!(shown[0].0, opened[0], "it is shown on the ticket of the cause");
    assert_ne!(shown[0].1, opened[0], "and it is of the incident that has joined");
}

#[test]
fn where_only_those_who_join_have_the_trouble_only_they_are_offered_anything() {
    let rule = DROP
        .replace("PROPOSE", "compensation: { propose: \"1.00 CNY\" }")
        .replace("to: affected", "to: joined");
    assert_eq!(proposals(&outage(&rule)), ["325 compensation.proposed 1.00 CNY a0"]);
}

#[test]
fn a_ticket_that_is_merged_is_not_compensated_again_by_its_cause() {
    let fixed = |amount| format!("compensation: {{ propose: \"{amount} CNY\" }}");
    let rule = COVERED_BESIDE.replace("WAIT", "0s").replace("\n---", &format!("\n{}\n---", fixed("2.00")));
    let rule = format!("{rule}{}", fixed("1.00"));
    let events = [
        (0, "order.failed a1 channel=alipay"),
        (1, "order.failed a1 channel=alipay"),
        (5, "order.failed a1 channel=alipay"),
    ];
    let lines = run(&rules(&rule), &events, 100);
    assert_eq!(proposals(&lines), ["1 compensation.proposed 1.00 CNY a1"]);
    // What waits joins before it has proposed anything.
    let waits = run(&rules(&rule.replace("wait: 0s", "wait: 10s")), &events, 100);
    assert_eq!(proposals(&waits), ["5 compensation.proposed 2.00 CNY a1"]);
}

#[test]
fn shadow_rules_propose_for_the_record_alone_and_nothing_on_the_ticket_of_another_rule() {
    let shadow = |rule: &str| rule.replace("name: late", "name: late\nstate: shadow");
    let mut engine = Engine::new(rules(&shadow(LATE)), &[0]);
    engine.observe(0, &mut event(0, 0, "order.paid a1 order_id=o1 amount=20 currency=CNY"), at(0));
    engine.advance(0, at(100));
    let marks: Vec<bool> = engine
        .drain_effects()
        .filter_map(|effect| match effect.kind {
            EffectKind::Proposal(proposal) => Some(proposal.shadow),
            _ => None,
        })
        .collect();
    assert_eq!(marks, [true, true]);
    let joins = DROP.replace("PROPOSE", "").replace("name: failing", "name: failing\nstate: shadow");
    assert_eq!(proposals(&outage(&joins)), [""; 0]);
}

const STEPS: &str = "
name: emptied
topics: [logins, orders]
detect:
  kind: sequence
  within: 10m
  steps:
    - { name: order, when: 'type == \"order.created\"', times: 1..2 }
    - { name: change, when: 'type == \"account.payee_changed\"' }
incident: { cooldown: 0s }
compensation: { propose: 50% of order.amount, cap: \"100.00 CNY\" }
";

#[test]
fn a_share_may_be_of_the_amount_of_a_step() {
    let events = [
        (0, "order.created a1 order_id=o1 amount=30 currency=CNY"),
        (10, "order.created a1 order_id=o2 amount=90 currency=CNY"),
        (20, "account.payee_changed a1"),
        (30, "order.created a2 order_id=o3 amount=900 currency=CNY"),
        (40, "account.payee_changed a2"),
        (50, "order.created a3 order_id=o3 amount=900 currency=USD"),
        (60, "account.payee_changed a3"),
    ];
    let offers = |rule: &str| {
        let lines = run(&rules(rule), &events, 70);
        proposals(&lines).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        offers(STEPS),
        [
            "20 compensation.proposed 45.00 CNY a1",
            "40 compensation.proposed 100.00 CNY a2",
            "60 compensation.proposed other_currency a3",
        ]
    );
    let first = offers(&STEPS.replace("order.amount", "order.first.amount"));
    assert_eq!(first[0], "20 compensation.proposed 15.00 CNY a1");
}

#[test]
fn a_step_that_waits_for_its_cause_remembers_its_amount_through_a_checkpoint() {
    let rule = format!(
        "{}\n---\nname: never\ntopics: orders\ndetect: {{ kind: frequency, at_least: 99, window: 1m }}\n",
        STEPS.replace("cooldown: 0s", "covered_by: [never], wait: 5m")
    );
    let events: Vec<(i64, String)> = [
        (0, "order.created a1 order_id=o1 amount=30 currency=CNY"),
        (20, "account.payee_changed a1"),
        (30, "order.created a2 order_id=o9 amount=1"),
        (40, "order.created a2 order_id=o9 amount=1"),
    ]
    .map(|(second, text)| (second, text.to_owned()))
    .to_vec();
    let plain: Vec<(i64, &str)> = events.iter().map(|(second, text)| (*second, text.as_str())).collect();
    let whole = run(&rules(&rule), &plain, 500);
    assert_eq!(proposals(&whole), ["320 compensation.proposed 15.00 CNY a1"]);
    for cut in 1..events.len() {
        assert_eq!(run_restored(&rules(&rule), &events, 500, cut), whole, "restored after {cut} events");
    }
}

/// Whatever happens, at the end each incident and account stands with what was proposed for it exactly once, and with
/// nothing where it was withdrawn: a book that is kept of the effects says so.
#[test]
fn nobody_is_offered_anything_twice_whatever_happens() {
    let text = format!("{LATE}\n---{}", DROP.replace("PROPOSE", "compensation: { propose: 5% of amount }"));
    let (mut offered, mut withdrawn, mut tickets) = (0, 0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut arrivals: Vec<(i64, i64, String)> = (0..150)
            .map(|number| {
                let (second, account) = (random.below(900), random.below(12));
                let order = format!("o{}", random.below(40));
                let kind = ["paid", "paid", "failed", "failed", "delivered"][random.below(5) as usize];
                let text = format!(
                    "order.{kind} a{account} order_id={order} channel=alipay amount={number} currency=CNY"
                );
                (second + random.below(100), second, text)
            })
            .collect();
        arrivals.sort();
        let mut engine = Engine::new(rules(&text), &[0]);
        let mut book: BTreeMap<(u128, String, &str), (bool, u32)> = BTreeMap::new();
        let mut open: BTreeMap<u128, bool> = BTreeMap::new();
        let mut now = Time::MIN;
        for (number, (_, second, written)) in arrivals.iter().enumerate() {
            let mut event = event(number, *second, written);
            now = now.max(event.time);
            engine.observe(0, &mut event, now);
            engine.advance_scope(now);
        }
        engine.advance(0, at(3_000));
        engine.advance_scope(at(3_000));
        for effect in engine.drain_effects() {
            if let EffectKind::Ticket { step, .. } = &effect.kind {
                open.insert(effect.incident.0, *step != TicketStep::Withdrawn);
            }
            let EffectKind::Proposal(proposal) = effect.kind else { continue };
            let key = (proposal.origin.0, proposal.account_id.to_string(), proposal.what.kind());
            let stands = proposal.state == ProposalState::Proposed;
            let before = book.insert(key.clone(), (stands, proposal.number));
            assert_ne!(before.map(|(stood, _)| stood), Some(stands), "seed {seed}: {key:?} twice");
            assert!(before.is_some() || stands, "seed {seed}: {key:?} withdrawn, and never proposed");
            assert!(
                before.is_none_or(|(_, number)| number < proposal.number),
                "seed {seed}: {key:?} out of order"
            );
        }
        for ((origin, ..), (stands, _)) in &book {
            let withdrawn_ticket = open.get(origin) == Some(&false);
            assert!(!withdrawn_ticket || !stands, "seed {seed}: it stands though its ticket was withdrawn");
        }
        offered += book.len();
        withdrawn += book.values().filter(|(stands, _)| !stands).count();
        tickets += open.len();
    }
    assert!(offered > 500 && withdrawn > 20 && tickets > 200, "{offered} {withdrawn} {tickets}");
}
