//! What the author sees of fields that are not supported yet, contradict each other or can't be read at all.

use super::complaints;

#[test]
fn what_the_language_names_and_this_version_lacks_is_said_so() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
except: [promotions]
detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: learned, learn_by: [product] }
incident: { on_remove: keep }
---
name: y
topics: orders
detect: { kind: baseline, bucket: 1m }
"#), @r#"
    error: a learned limit is not supported yet
     --> rules/x.yaml:5:100
      |
    5 | detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: learned, learn_by: [product] }
      |                                                                                                    ^^^^^^^
      = expected a duration such as 30s, 10m, 2h or 7d

    error: `learn_by` is not supported yet
     --> rules/x.yaml:5:109
      |
    5 | detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: learned, learn_by: [product] }
      |                                                                                                             ^^^^^^^^

    error: the kind `baseline` is not supported yet
      --> rules/x.yaml:10:17
       |
    10 | detect: { kind: baseline, bucket: 1m }
       |                 ^^^^^^^^
    "#);
}

#[test]
fn fields_that_contradict_each_other_are_errors() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
slices: [[account_id], [channel]]
detect: { kind: ratio, of: 'fault != "none"', above: 20%, below: 10%, window: 5m }
---
name: y
topics: logins
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 5, at_most: 3, window: 10m }
---
name: z
topics: logins
group_by: [channel]
detect: { kind: new_term, fields: [geo.country], place: geo, radius_km: 20 }
notice: { template: t, to: account }
incident: { cooldown: 2d, cooldown_max: 1d, resolve_on: [ip] }
"#), @r#"
    error: a slice can't be about one account or order
     --> rules/x.yaml:4:10
      |
    4 | slices: [[account_id], [channel]]
      |          ^^^^^^^^^^^^
      = slices find the narrowest channel, region, product or supplier that explains the trouble

    error: a ratio has either `above` or `below`
     --> rules/x.yaml:5:59
      |
    5 | detect: { kind: ratio, of: 'fault != "none"', above: 20%, below: 10%, window: 5m }
      |                                                           ^^^^^

    error: no number is at least 5 and at most 3
     --> rules/x.yaml:9:74
      |
    9 | detect: { kind: frequency, count: 'type == "order.failed"', at_least: 5, at_most: 3, window: 10m }
      |                                                                          ^^^^^^^

    error: a new_term has either `fields` or `place`
      --> rules/x.yaml:14:50
       |
    14 | detect: { kind: new_term, fields: [geo.country], place: geo, radius_km: 20 }
       |                                                  ^^^^^

    error: this rule's subject has no account to tell
      --> rules/x.yaml:15:28
       |
    15 | notice: { template: t, to: account }
       |                            ^^^^^^^
       = expected `affected`: every account that met the trouble

    error: `cooldown_max` is shorter than `cooldown`, 2d
      --> rules/x.yaml:16:41
       |
    16 | incident: { cooldown: 2d, cooldown_max: 1d, resolve_on: [ip] }
       |                                         ^^

    error: `resolve_on` says nothing without `resolve_when`
      --> rules/x.yaml:16:45
       |
    16 | incident: { cooldown: 2d, cooldown_max: 1d, resolve_on: [ip] }
       |                                             ^^^^^^^^^^
    "#);
}

#[test]
fn rules_of_a_set_must_agree() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: orders
detect: { kind: frequency, at_least: 3, window: 10m }
incident: { covered_by: [chanel-drop, new-place, { rule: channel-drop, equal: [supplier] }, b] }
tests: [{ name: t, with: [nothing], events: [{ at: 1m }], expect: [] }]
---
name: b
topics: orders
detect: { kind: frequency, at_least: 3, window: 10m }
incident: { covered_by: [a] }
---
name: channel-drop
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'fault != "none"', above: 20%, window: 5m }
---
name: new-place
topics: logins
group_by: [geo.country]
detect: { kind: flatline, window: 5m }
---
name: a
topics: orders
detect: { kind: frequency, at_least: 3, window: 10m }
"#), @r"
    error: there is no rule `chanel-drop`
     --> rules/x.yaml:5:26
      |
    5 | incident: { covered_by: [chanel-drop, new-place, { rule: channel-drop, equal: [supplier] }, b] }
      |                          ^^^^^^^^^^^
      = did you mean `channel-drop`?

    error: events of this rule have no field of the subject of `new-place`
     --> rules/x.yaml:5:39
      |
    5 | incident: { covered_by: [chanel-drop, new-place, { rule: channel-drop, equal: [supplier] }, b] }
      |                                       ^^^^^^^^^
      = its subject: geo.country

    error: `supplier` is not in the subject of `channel-drop`
     --> rules/x.yaml:5:58
      |
    5 | incident: { covered_by: [chanel-drop, new-place, { rule: channel-drop, equal: [supplier] }, b] }
      |                                                          ^^^^^^^^^^^^
      = its subject: channel

    error: rules cover each other in a circle
     --> rules/x.yaml:5:93
      |
    5 | incident: { covered_by: [chanel-drop, new-place, { rule: channel-drop, equal: [supplier] }, b] }
      |                                                                                             ^
      = `b` is covered by `a` itself, directly or not

    error: there is no rule `nothing`
     --> rules/x.yaml:6:27
      |
    6 | tests: [{ name: t, with: [nothing], events: [{ at: 1m }], expect: [] }]
      |                           ^^^^^^^

    error: rules cover each other in a circle
      --> rules/x.yaml:11:26
       |
    11 | incident: { covered_by: [a] }
       |                          ^
       = `a` is covered by `b` itself, directly or not

    error: another rule is named `a` too
      --> rules/x.yaml:23:7
       |
    23 | name: a
       |       ^
       = the first one stands at rules/x.yaml:2:7
    ");
}

#[test]
fn tests_that_can_not_be_run_are_errors() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
detect: { kind: frequency, at_least: 3, window: 10m }
tests:
  - name: a
    events:
      - { at: 1m, type: order.payed, account_id: a1 }
      - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      - { type: order.paid, account_id: a1 }
      - { at: 3m, type: order.paid, coupon: x, geo: { latitude: 95, longitude: 3 } }
    expect:
      - { at: 8m, ticket: open }
      - { at: 8m, by: 9m, ticket: opened, notice: t }
      - { at: 8m, finding: x, since: 3m }
  - name: b
    expect: none
"#), @r"
    error: unknown event type `order.payed`
     --> rules/x.yaml:8:25
      |
    8 |       - { at: 1m, type: order.payed, account_id: a1 }
      |                         ^^^^^^^^^^^
      = did you mean `order.paid`?

    error: `repeat` and `every` belong together
     --> rules/x.yaml:9:11
      |
    9 |       - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      |           ^^

    error: this event has no `account_id`
     --> rules/x.yaml:9:11
      |
    9 |       - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      |           ^^
      = every event must have one, except in catalog; nothing but `id` and `time` is filled in

    error: expected a span from the test's start such as 7m, or a time such as 2026-10-01T08:00:00Z, found `soon`
     --> rules/x.yaml:9:15
      |
    9 |       - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      |               ^^^^

    error: unknown field `account`
     --> rules/x.yaml:9:39
      |
    9 |       - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      |                                       ^^^^^^^
      = did you mean `account_id`?

    error: expected a number such as 49.90, found `much`
     --> rules/x.yaml:9:60
      |
    9 |       - { at: soon, type: order.paid, account: a1, amount: much, repeat: 3 }
      |                                                            ^^^^

    error: an event has no `at`
      --> rules/x.yaml:10:11
       |
    10 |       - { type: order.paid, account_id: a1 }
       |           ^^^^

    error: this event has no `account_id`
      --> rules/x.yaml:11:11
       |
    11 |       - { at: 3m, type: order.paid, coupon: x, geo: { latitude: 95, longitude: 3 } }
       |           ^^
       = every event must have one, except in catalog; nothing but `id` and `time` is filled in

    error: expected a number from -90 to 90, found `95`
      --> rules/x.yaml:11:65
       |
    11 |       - { at: 3m, type: order.paid, coupon: x, geo: { latitude: 95, longitude: 3 } }
       |                                                                 ^^

    error: expected opened, updated, merged, reopened, escalated, resolved or withdrawn, found `open`
      --> rules/x.yaml:13:27
       |
    13 |       - { at: 8m, ticket: open }
       |                           ^^^^
       = did you mean `opened`?

    error: an expected effect is exactly one of `ticket`, `notice`, `compensation`, `action` and `finding`
      --> rules/x.yaml:14:11
       |
    14 |       - { at: 8m, by: 9m, ticket: opened, notice: t }
       |           ^^
       = for instance { at: 8m, ticket: opened } and, in a line of its own, { at: 8m, notice: topup_failing }

    error: an expected effect has either `at` or `by`
      --> rules/x.yaml:14:19
       |
    14 |       - { at: 8m, by: 9m, ticket: opened, notice: t }
       |                   ^^

    error: a test has no `events`
      --> rules/x.yaml:16:5
       |
    16 |   - name: b
       |     ^^^^

    error: expected a list of effects, or [] for none at all, found `none`
      --> rules/x.yaml:17:13
       |
    17 |     expect: none
       |             ^^^^
    ");
}

#[test]
fn broken_yaml_costs_one_document_and_not_the_file() {
    insta::assert_snapshot!(complaints("name: [a\n---\nname: b\ntopics: orders\nname: c\n---\n- x\n---\n? [a]\n: b\n---\nname: \"\ttab\n"), @r"
    error: this is not YAML: unclosed bracket '['
     --> rules/x.yaml:1:7
      |
    1 | name: [a
      |       ^

    error: a rule has no `detect`
     --> rules/x.yaml:3:1
      |
    3 | name: b
      | ^^^^

    error: `name` is given twice
     --> rules/x.yaml:5:1
      |
    5 | name: c
      | ^^^^

    error: expected the fields of a rule, found a list
     --> rules/x.yaml:7:1
      |
    7 | - x
      | ^^^

    error: a rule has no `name`
     --> rules/x.yaml:9:1
      |
    9 | ? [a]
      | ^^^^^

    error: a rule has no `topics`
     --> rules/x.yaml:9:1
      |
    9 | ? [a]
      | ^^^^^

    error: a rule has no `detect`
     --> rules/x.yaml:9:1
      |
    9 | ? [a]
      | ^^^^^

    error: expected a name before the colon
     --> rules/x.yaml:9:3
      |
    9 | ? [a]
      |   ^^^

    error: this is not YAML: invalid indentation in multiline quoted scalar
      --> rules/x.yaml:13:1
       |
    13 |
       | ^
    ");
}
