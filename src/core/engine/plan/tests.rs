//! Which rules an event is offered to: all that it may concern, and of the others as few as one look-up can tell.

use super::*;
use crate::core::event::Topic;
use crate::core::rule::parse::{self, LoadOptions};
use crate::core::rule::table::testing::Random;
use crate::core::time::Time;
use std::borrow::Cow;

fn rules(text: &str) -> RuleSet {
    let loaded = parse::load(text, "test.yaml", &LoadOptions::default()).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(|error| error.render("error")).collect::<Vec<_>>().join("\n"))
    });
    RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect())
}

fn event(plan: &Plan, event_type: EventType, texts: &[(TextField, &str)]) -> Event<'static> {
    let mut event = Event::new(event_type, Time::from_millis(1_000));
    for (field, text) in texts {
        event.set_text(*field, Cow::Owned((*text).to_owned()));
    }
    event.symbolize(plan.symbols);
    event
}

/// The names of the rules that the event is offered to.
fn offered<'a>(rules: &'a RuleSet, plan: &Plan, event: &Event<'_>) -> Vec<&'a str> {
    let offers = plan.offers[event.event_type as usize].to(event);
    offers.map(|index| rules.rules[usize::from(index)].name.as_str()).collect()
}

const BY_KIND: &str = r#"
name: a-any-kind
topics: orders
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 3, window: 10m }
---
name: b-keys
topics: orders
where: 'kind == "card_key"'
detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }
---
name: c-topups
topics: orders
where: 'kind == "topup"'
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 3, window: 10m,
          unless: 'type == "order.delivered" and kind == "topup"' }
---
name: d-topups-of-a-channel
topics: orders
where: 'channel == "alipay" and kind in ["topup", "direct"] and type == "order.failed"'
detect: { kind: any }
---
name: e-paused
topics: orders
state: paused
where: 'kind == "topup"'
detect: { kind: any }
---
name: f-ends-anywhere
topics: orders
where: 'kind == "topup" and type == "order.failed"'
detect: { kind: any }
incident: { resolve_when: 'type == "order.failed" and channel == "wechat"' }
"#;

#[test]
fn an_event_is_offered_to_the_rules_for_its_kind_of_goods_and_those_for_any() {
    use EventType::{OrderDelivered, OrderFailed, OrderPaid};
    let rules = rules(BY_KIND);
    let plan = Plan::new(&rules);
    type Texts = [(TextField, &'static str)];
    let cases: [(EventType, &Texts, &[&str]); 8] = [
        (
            OrderFailed,
            &[(TextField::Kind, "topup")],
            &["a-any-kind", "c-topups", "d-topups-of-a-channel", "f-ends-anywhere"],
        ),
        (
            OrderFailed,
            &[(TextField::Kind, "direct")],
            &["a-any-kind", "d-topups-of-a-channel", "f-ends-anywhere"],
        ),
        // What may end an incident is looked at whatever the filter says.
        (OrderFailed, &[(TextField::Kind, "membership")], &["a-any-kind", "f-ends-anywhere"]),
        (OrderFailed, &[], &["a-any-kind", "f-ends-anywhere"]),
        (OrderPaid, &[(TextField::Kind, "card_key")], &["b-keys"]),
        (OrderPaid, &[(TextField::Kind, "topup")], &[]),
        // A deadline's end counts whatever `where` says; a frequency's `unless` says of which kind.
        (OrderDelivered, &[(TextField::Kind, "topup")], &["b-keys", "c-topups"]),
        (OrderDelivered, &[(TextField::Kind, "card_key")], &["b-keys"]),
    ];
    for (event_type, texts, expected) in cases {
        let event = event(&plan, event_type, texts);
        assert_eq!(offered(&rules, &plan, &event), expected, "{event_type:?} {texts:?}");
    }
}

/// A condition over a few fields and values, as an author might write one.
fn condition(random: &mut Random, depth: i64) -> String {
    let word = |random: &mut Random| ["x", "y", "z"][random.below(3) as usize];
    let field = |random: &mut Random| ["kind", "channel", "product"][random.below(3) as usize];
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => format!("{} == \"{}\"", field(random), word(random)),
        1 => format!("{} != \"{}\"", field(random), word(random)),
        2 => format!("{} in [\"{}\", \"{}\"]", field(random), word(random), word(random)),
        3 => format!("exists({})", field(random)),
        4 => "type == \"order.failed\"".to_owned(),
        5 => "type != \"order.failed\"".to_owned(),
        6 => format!("not ({})", condition(random, depth - 1)),
        7 => format!("({}) and ({})", condition(random, depth - 1), condition(random, depth - 1)),
        _ => format!("({}) or ({})", condition(random, depth - 1), condition(random, depth - 1)),
    }
}

#[test]
fn no_rule_that_an_event_can_start_end_or_resolve_is_left_out() {
    let (mut offers, mut concerned, mut left_out) = (0, 0, 0);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut rule = |index: usize| {
            // Most are for one kind, or nothing would ever be left out.
            let mut condition = |depth| match random.below(5) {
                0 => condition(&mut random, depth),
                _ => format!("kind == \"x\" and ({})", condition(&mut random, depth)),
            };
            format!(
                "name: rule-{index}\ntopics: orders\nwhere: '{}'\ndetect: {{ kind: frequency, at_least: 1, window: 1m, \
                 count: '{}', unless: '{}' }}\nincident: {{ resolve_when: '{}' }}\n",
                condition(2),
                condition(1),
                condition(1),
                condition(1)
            )
        };
        let text: Vec<String> = (0..6).map(&mut rule).collect();
        let Ok(loaded) = parse::load(&text.join("---\n"), "test.yaml", &LoadOptions::default()) else {
            continue;
        };
        let rules = RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect());
        let plan = Plan::new(&rules);
        for event_type in EventType::ALL.into_iter().filter(|event_type| event_type.topic() == Topic::Orders)
        {
            let fields = [TextField::Kind, TextField::Channel, TextField::Product];
            let mut value = || ["x", "y", "z", "other", ""][random.below(5) as usize];
            let texts: Vec<(TextField, &str)> = fields
                .map(|field| (field, value()))
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let event = event(&plan, event_type, &texts);
            let shown: Vec<u16> = plan.offers[event_type as usize].to(&event).collect();
            assert!(shown.is_sorted(), "seed {seed}: rules are asked in their order");
            for (index, rule) in (0..).zip(&rules.rules) {
                let resolves =
                    rule.incident.resolve_when.as_ref().is_some_and(|condition| condition.holds(&event));
                let concerns = rule.filter.holds(&event) || rule.detect.ending().holds(&event) || resolves;
                // Of what `where` lets through, a rule that could not count the event need not see it.
                let needs = concerns && rule.types().contains(event_type);
                assert!(!needs || shown.contains(&index), "seed {seed}, {texts:?}, {event_type:?}: {rule:?}");
                offers += 1;
                concerned += usize::from(needs);
                left_out += usize::from(!shown.contains(&index));
            }
        }
    }
    assert!(
        concerned > 3_000 && left_out > 1_000,
        "of {offers}, {concerned} concerned and {left_out} left out"
    );
}
