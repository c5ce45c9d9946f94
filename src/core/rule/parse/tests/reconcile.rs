//! `reconcile` as its author writes it.

use super::{LoadedRule, complaints, one};
use crate::core::event::TextField;
use crate::core::rule::reconcile::{Check, Reconcile};
use crate::core::rule::{Cover, Detect, RuleSet};
use crate::core::time::Span;

fn reading(rest: &str) -> LoadedRule {
    one(&format!("name: x\ntopics: orders\ndetect: {{ kind: reconcile, {rest}"))
}

#[test]
fn each_check_has_its_own_subject_and_default() {
    for (check, subject, within) in [
        ("paid_without_key", "order_id", Span::from_mins(10)),
        ("key_without_payment", "order_id", Span::from_mins(10)),
        ("many_keys", "order_id", Span::from_mins(1_440)),
        ("key_sold_twice", "card_id", Span::from_mins(30 * 1_440)),
        ("payment_after_expiry", "order_id", Span::from_mins(1_440)),
        ("delivered_after_refund", "order_id", Span::from_mins(7 * 1_440)),
    ] {
        for rest in ["}".to_owned(), format!("}}\ngroup_by: [{subject}]")] {
            let rule = reading(&format!("check: {check} {rest}")).rule;
            let Detect::Reconcile(read) = rule.detect else { panic!("{:?}", rule.detect) };
            assert_eq!((read.check.as_str(), read.within), (check, within));
            assert_eq!(rule.groups, [[read.check.subject()]]);
            assert_eq!(read.check.subject().as_str(), subject);
        }
    }
    let rule = reading("check: many_keys, within: 90s }").rule;
    let expected = Reconcile { check: Check::ManyKeys, within: Span::from_secs(90) };
    assert!(matches!(rule.detect, Detect::Reconcile(read) if read == expected));
    assert!(rule.is_local());
    let rule = reading("check: key_sold_twice }").rule;
    assert!(!rule.is_local() && rule.groups == [[TextField::CardId]]);
}

#[test]
fn what_is_wrong_with_a_check_is_said() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: orders
group_by: [account_id]
detect: { kind: reconcile, check: many_keys, within: 10m }
---
name: b
topics: orders
group_by: [order_id, card_id]
detect: { kind: reconcile, check: key_sold_twice, window: 10m }
---
name: c
topics: orders
detect: { kind: reconcile, check: many_key, within: 0s }
---
name: d
topics: orders
where: 'type == "order.created"'
detect: { kind: reconcile, check: payment_after_expiry }
---
name: e
topics: orders
detect: { kind: reconcile }
"#), @"
    error: the check many_keys is about `order_id` alone
     --> rules/x.yaml:4:11
      |
    4 | group_by: [account_id]
      |           ^^^^^^^^^^^^
      = leave `group_by` out, or write `group_by: [order_id]`

    error: the check key_sold_twice is about `card_id` alone
     --> rules/x.yaml:9:11
      |
    9 | group_by: [order_id, card_id]
      |           ^^^^^^^^^^^^^^^^^^^
      = leave `group_by` out, or write `group_by: [card_id]`

    error: a reconcile has no field `window`
      --> rules/x.yaml:10:51
       |
    10 | detect: { kind: reconcile, check: key_sold_twice, window: 10m }
       |                                                   ^^^^^^
       = it is called `within` here (a duration such as 10m)

    error: expected paid_without_key, key_without_payment, many_keys, key_sold_twice, payment_after_expiry or delivered_after_refund, found `many_key`
      --> rules/x.yaml:14:35
       |
    14 | detect: { kind: reconcile, check: many_key, within: 0s }
       |                                   ^^^^^^^^
       = did you mean `many_keys`?

    error: expected a duration longer than 0s
      --> rules/x.yaml:14:53
       |
    14 | detect: { kind: reconcile, check: many_key, within: 0s }
       |                                                     ^^

    error: no event can start or count here
      --> rules/x.yaml:19:9
       |
    19 | detect: { kind: reconcile, check: payment_after_expiry }
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = `topics`, `where` and `check` have no event type in common

    error: a reconcile has no `check`
      --> rules/x.yaml:23:11
       |
    23 | detect: { kind: reconcile }
       |           ^^^^
    ");
}

/// The names of the rules that cover `x`, and how long it waits for them, after the rules were put together.
fn covers(check: &str, others: &str) -> (Vec<String>, Span) {
    let text = format!(
        "name: x\ntopics: orders\ndetect: {{ kind: reconcile, check: {check} }}\nincident: {{ cooldown: 0s }}\n---\n{others}"
    );
    let loaded = super::load(&text, "rules/x.yaml", &super::options()).unwrap();
    let set = RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect());
    let policy = &set.find("x").unwrap().incident;
    assert!(policy.covered_by.iter().all(|Cover { equal, .. }| equal.is_none()));
    (policy.covered_by.iter().map(|cover| cover.rule.clone()).collect(), policy.wait)
}

fn deadline(name: &str, rest: &str) -> String {
    format!(
        "name: {name}\ntopics: orders\n{rest}\ndetect: {{ kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 30m }}\n"
    )
}

#[test]
fn a_check_yields_to_the_deadlines_on_orders_unless_they_name_it() {
    let none = (Vec::new(), Span::ZERO);
    let yields = |wait: Span| (vec!["late".to_owned()], wait);
    let late = deadline("late", "");
    assert_eq!(covers("paid_without_key", &late), yields(Span::from_secs(60)));
    assert_eq!(covers("many_keys", &late), yields(Span::ZERO), "there is nothing to wait for");
    assert_eq!(covers("key_sold_twice", &late), none, "a card is no order");
    assert_eq!(covers("paid_without_key", &deadline("late", "group_by: [account_id]")), none);
    assert_eq!(covers("paid_without_key", &deadline("late", "incident: { covered_by: [x] }")), none);
    let by_way_of = |name: &str| {
        format!(
            "name: y\ntopics: orders\ndetect: {{ kind: any }}\nincident: {{ covered_by: [{name}] }}\n---\n"
        )
    };
    let late_by_y = deadline("late", "incident: { covered_by: [y] }");
    assert_eq!(covers("paid_without_key", &(by_way_of("x") + &late_by_y)), none, "by way of another rule");
    // What is not told by the deadline is told by the check.
    assert_eq!(covers("paid_without_key", &deadline("late", "state: shadow")), none);
    assert_eq!(covers("paid_without_key", &deadline("late", "state: paused")), none);
}
