//! `compensation` and `action`: what is understood, and what the author of a wrong one sees.

use super::{complaints, one};
use crate::core::rule::Detect;
use crate::core::rule::proposal::{ActionScope, Money, Worth};

const DEADLINE: &str = "
name: x
topics: orders
detect: { kind: deadline, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 5m }
";
const SEQUENCE: &str = "
name: x
topics: [logins, orders]
detect:
  kind: sequence
  within: 2h
  steps:
    - { name: login, when: 'type == \"login.succeeded\"' }
    - { name: order, when: 'type == \"order.created\"', times: 1..3 }
";

#[test]
fn a_compensation_is_a_share_or_fixed_and_an_action_is_for_each_or_once() {
    let cases = [
        (DEADLINE, "5% of start.amount, cap: \"50.00 CNY\"", "share 0.05 Event, at most 50.00 CNY"),
        (DEADLINE, "0.5 % of  amount", "share 0.005 Event"),
        (DEADLINE, "\"10 CNY\"", "10.00 CNY"),
        (DEADLINE, "1000 JPY", "1000 JPY"),
        (SEQUENCE, "300% of order.amount", "share 3 Step of Some((1, Last))"),
        (SEQUENCE, "5% of order.first.amount", "share 0.05 Step of Some((1, First))"),
        (SEQUENCE, "5% of amount", "share 0.05 Event"),
    ];
    for (rule, written, expected) in cases {
        let rule = one(&format!("{rule}compensation: {{ propose: {written} }}")).rule;
        let compensation = rule.compensation.unwrap();
        let paid = if let Detect::Sequence(sequence) = &rule.detect { sequence.paid } else { None };
        let mut shown = match compensation.worth {
            Worth::Fixed(money) => money.to_string(),
            Worth::Share { share, of } => format!("share {share} {of:?}"),
        };
        if let Some(paid) = paid {
            assert!(shown.ends_with("Step"), "{written}");
            shown.push_str(&format!(" of {:?}", Some(paid.of())));
        }
        if let Some(Money { amount, currency }) = compensation.cap {
            shown.push_str(&format!(", at most {amount} {currency}"));
        }
        assert_eq!(shown, expected, "{written}");
    }
    let action = |written: &str| one(&format!("{DEADLINE}action: {{ {written} }}")).rule.action.unwrap();
    assert_eq!(action("propose: reissue_key").scope, ActionScope::Affected);
    assert_eq!(action("propose: route_around, for: subject").scope, ActionScope::Subject);
}

#[expect(clippy::too_many_lines, reason = "it is one file's errors")]
#[test]
fn a_wrong_proposal_says_where_and_what_was_expected() {
    insta::assert_snapshot!(complaints(&format!(r#"{DEADLINE}
compensation: {{ propose: 5% of begin.amount, cap: 50 }}
action: {{ propose: "give it back", for: everybody }}
---{DEADLINE}compensation: {{ propose: 5%, cap: "0.505 CNY", currency: CNY }}
---{DEADLINE}compensation: {{ propose: 5% of quantity }}
---{DEADLINE}compensation: {{ propose: 5% of start.amuont, cap: "1.5 JPY" }}
---{DEADLINE}compensation: {{ propose: 0% of amount }}
---{DEADLINE}compensation: {{ propose: "5.00", cap: "1 CNY" }}
---{DEADLINE}compensation: {{ propose: "5.00 CNY", cap: "1 CNY" }}
---{DEADLINE}compensation: 5% of amount
action: {{ }}
---{SEQUENCE}compensation: {{ propose: 5% of ordr.amount }}
---
name: y
topics: orders
detect: {{ kind: any }}
compensation: {{ propose: 2000% of start.amount }}
---
name: z
topics: orders
detect: {{ kind: any }}
compensation: {{ propose: 20% of start.amount }}
"#)), @r#"
    error: a rule of the kind deadline has no `begin`
     --> rules/x.yaml:6:32
      |
    6 | compensation: { propose: 5% of begin.amount, cap: 50 }
      |                                ^^^^^^^^^^^^
      = did you mean `start.amount`?

    error: expected an amount and its currency such as "50.00 CNY", found `50`
     --> rules/x.yaml:6:51
      |
    6 | compensation: { propose: 5% of begin.amount, cap: 50 }
      |                                                   ^^

    error: expected an action such as reissue_key, found `give it back`
     --> rules/x.yaml:7:20
      |
    7 | action: { propose: "give it back", for: everybody }
      |                    ^^^^^^^^^^^^^^
      = letters, digits, `-`, `_` and `.`, at most 100 bytes

    error: expected affected or subject, found `everybody`
     --> rules/x.yaml:7:41
      |
    7 | action: { propose: "give it back", for: everybody }
      |                                         ^^^^^^^^^

    error: a share of what? expected a share such as 5% of amount, or an amount such as "10.00 CNY"
      --> rules/x.yaml:12:26
       |
    12 | compensation: { propose: 5%, cap: "0.505 CNY", currency: CNY }
       |                          ^^
       = for instance 5% of amount

    error: 0.505 CNY has more digits than CNY has: at most 2
      --> rules/x.yaml:12:35
       |
    12 | compensation: { propose: 5%, cap: "0.505 CNY", currency: CNY }
       |                                   ^^^^^^^^^^^

    error: `compensation` has no field `currency`
      --> rules/x.yaml:12:48
       |
    12 | compensation: { propose: 5%, cap: "0.505 CNY", currency: CNY }
       |                                                ^^^^^^^^
       = expected one of: propose, cap

    error: `quantity` is not an amount of money
      --> rules/x.yaml:17:32
       |
    17 | compensation: { propose: 5% of quantity }
       |                                ^^^^^^^^
       = expected `amount`, of the event, a step or a deadline's start

    error: unknown field `amuont`
      --> rules/x.yaml:22:32
       |
    22 | compensation: { propose: 5% of start.amuont, cap: "1.5 JPY" }
       |                                ^^^^^^^^^^^^
       = did you mean `amount`?

    error: 1.5 JPY has more digits than JPY has: at most 0
      --> rules/x.yaml:22:51
       |
    22 | compensation: { propose: 5% of start.amuont, cap: "1.5 JPY" }
       |                                                   ^^^^^^^^^

    error: expected a share above 0% and up to 1000%, found 0%
      --> rules/x.yaml:27:26
       |
    27 | compensation: { propose: 0% of amount }
       |                          ^^

    error: expected a share such as 5% of amount, or an amount such as "10.00 CNY", found `5.00`
      --> rules/x.yaml:32:26
       |
    32 | compensation: { propose: "5.00", cap: "1 CNY" }
       |                          ^^^^^^

    error: `cap` says nothing beside an amount that is fixed
      --> rules/x.yaml:37:38
       |
    37 | compensation: { propose: "5.00 CNY", cap: "1 CNY" }
       |                                      ^^^

    error: expected the fields of `compensation`, found `5% of amount`
      --> rules/x.yaml:42:15
       |
    42 | compensation: 5% of amount
       |               ^^^^^^^^^^^^

    error: `action` has no `propose`
      --> rules/x.yaml:43:9
       |
    43 | action: { }
       |         ^^^

    error: no step that must happen is named `ordr`
      --> rules/x.yaml:53:32
       |
    53 | compensation: { propose: 5% of ordr.amount }
       |                                ^^^^^^^^^^^
       = did you mean `order.amount`?

    error: expected a share above 0% and up to 1000%, found 2000%
      --> rules/x.yaml:58:26
       |
    58 | compensation: { propose: 2000% of start.amount }
       |                          ^^^^^

    error: a rule of the kind any has no `start`
      --> rules/x.yaml:63:33
       |
    63 | compensation: { propose: 20% of start.amount }
       |                                 ^^^^^^^^^^^^
       = expected `amount`: that of the event behind the finding
    "#);
}

#[test]
fn expectations_of_proposals_say_what_they_may_be() {
    insta::assert_snapshot!(complaints(&format!(r#"{DEADLINE}
tests:
  - name: what is offered
    events: [{{ at: 0s, type: order.paid, account_id: a1, order_id: o1 }}]
    expect:
      - {{ compensation: "2.50 CNY", account_id: a1 }}
      - {{ compensation: 2.50 }}
      - {{ compensation: proposed }}
      - {{ compensation: withdrawn, amount: no_amount }}
      - {{ action: reissue_key, at: 5m }}
      - {{ action: withdrawn }}
      - {{ compensation: some }}
      - {{ compensation: proposed, amount: much }}
      - {{ compensation: 3, amount: 3 }}
      - {{ compensation: proposed, action: proposed }}
      - {{ ticket: opened, amount: 3 }}
"#)), @r#"
    error: expected proposed, withdrawn, or an amount such as "2.50 CNY", found `some`
      --> rules/x.yaml:16:25
       |
    16 |       - { compensation: some }
       |                         ^^^^

    error: expected an amount such as "2.50 CNY", found `much`
      --> rules/x.yaml:17:43
       |
    17 |       - { compensation: proposed, amount: much }
       |                                           ^^^^

    error: the amount is given twice
      --> rules/x.yaml:18:36
       |
    18 |       - { compensation: 3, amount: 3 }
       |                                    ^

    error: an expected effect is exactly one of `ticket`, `notice`, `compensation`, `action` and `finding`
      --> rules/x.yaml:19:11
       |
    19 |       - { compensation: proposed, action: proposed }
       |           ^^^^^^^^^^^^
       = for instance { at: 8m, ticket: opened } and, in a line of its own, { at: 8m, notice: topup_failing }

    error: `amount` belongs to `compensation`
      --> rules/x.yaml:20:35
       |
    20 |       - { ticket: opened, amount: 3 }
       |                                   ^
    "#);
}
