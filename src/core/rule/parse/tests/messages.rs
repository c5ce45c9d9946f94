//! What the author of a file sees that has wrong names, conditions or values.

use super::complaints;

#[test]
fn unknown_names_are_answered_with_the_nearest_one() {
    insta::assert_snapshot!(complaints(r#"
name: x
topic: orders
detect:
  kind: frequncy
  num_events: 3
"#), @r"
    error: a rule has no field `topic`
     --> rules/x.yaml:3:1
      |
    3 | topic: orders
      | ^^^^^
      = it is called `topics` here (one topic or a list)

    error: unknown kind `frequncy`
     --> rules/x.yaml:5:9
      |
    5 |   kind: frequncy
      |         ^^^^^^^^
      = did you mean `frequency`?
    ");
    insta::assert_snapshot!(complaints(r#"
name: x
topics: order
sumary: An account keeps failing
detect: { kind: frequency, num_events: 3, timeframe: 10m, threshhold: 5 }
"#), @r"
    error: expected orders, logins, catalog or feedback, found `order`
     --> rules/x.yaml:3:9
      |
    3 | topics: order
      |         ^^^^^
      = did you mean `orders`?

    error: a rule has no field `sumary`
     --> rules/x.yaml:4:1
      |
    4 | sumary: An account keeps failing
      | ^^^^^^
      = did you mean `summary`?

    error: a frequency has no field `num_events`
     --> rules/x.yaml:5:28
      |
    5 | detect: { kind: frequency, num_events: 3, timeframe: 10m, threshhold: 5 }
      |                            ^^^^^^^^^^
      = it is called `at_least` here (the window is not emptied after a finding unless `reset: true`)

    error: a frequency has no field `timeframe`
     --> rules/x.yaml:5:43
      |
    5 | detect: { kind: frequency, num_events: 3, timeframe: 10m, threshhold: 5 }
      |                                           ^^^^^^^^^
      = it is called `window` here (a duration such as 10m)

    error: a frequency has no field `threshhold`
     --> rules/x.yaml:5:59
      |
    5 | detect: { kind: frequency, num_events: 3, timeframe: 10m, threshhold: 5 }
      |                                                           ^^^^^^^^^^
      = expected one of: kind, count, at_least, at_most, window, distinct, unless, reset
    ");
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
realert: 2h
is_enabled: true
group_by: [acount_id, amount]
detect: { kind: percentage_match }
"#), @r"
    error: a rule has no field `realert`
     --> rules/x.yaml:4:1
      |
    4 | realert: 2h
      | ^^^^^^^
      = it is called `cooldown` here (in `incident`; it counts from the incident's end, not from the last match)

    error: a rule has no field `is_enabled`
     --> rules/x.yaml:5:1
      |
    5 | is_enabled: true
      | ^^^^^^^^^^
      = it is called `state` here (active, shadow or paused)

    error: unknown field `acount_id`
     --> rules/x.yaml:6:12
      |
    6 | group_by: [acount_id, amount]
      |            ^^^^^^^^^
      = did you mean `account_id`?

    error: unknown kind `percentage_match`
     --> rules/x.yaml:7:17
      |
    7 | detect: { kind: percentage_match }
      |                 ^^^^^^^^^^^^^^^^
      = it is called `ratio` here (judged by a confidence bound; `confidence: 0%` judges the raw share)
    ");
}

#[test]
fn errors_in_conditions_point_into_the_condition() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
where: 'kind == "topup" and region == ''north''  and type == "order.fail"'
detect:
  kind: frequency
  count: "type == \"order.failed\" and \
          fault != \"custommer\""
  unless: >-
    type == "order.delivered"
    and kind = "topup"
  at_least: 3
  window: 10m
"#), @r#"
    error: unknown event type "order.fail"
     --> rules/x.yaml:4:62
      |
    4 | where: 'kind == "topup" and region == ''north''  and type == "order.fail"'
      |                                                              ^^^^^^^^^^^^
      = did you mean "order.failed"?

    error: unknown fault "custommer"
     --> rules/x.yaml:8:21
      |
    8 |           fault != \"custommer\""
      |                     ^^^^^^^^^^^^
      = did you mean "customer"?

    error: `=` is written `==` here
      --> rules/x.yaml:11:14
       |
    11 |     and kind = "topup"
       |              ^
    "#);
}

#[test]
fn conditions_must_be_quoted_and_can_be_neither_null_nor_tagged() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
where: kind == "topup"
detect:
  kind: frequency
  count: !exists(card_id)
  unless: null
  at_least: 3
  window: 10m
incident: { resolve_when: }
"#), @r#"
    error: a condition stands in single quotes
     --> rules/x.yaml:4:8
      |
    4 | where: kind == "topup"
      |        ^^^^^^^^^^^^^^^
      = YAML would cut it at ` #` or stumble over a colon; write it: 'kind == "topup"'

    error: YAML reads `!exists(card_id)` as a tag, which means nothing here
     --> rules/x.yaml:7:10
      |
    7 |   count: !exists(card_id)
      |          ^^^^^^^^^^^^^^^^
      = conditions always stand in single quotes: 'not exists(card_id)'

    error: expected a condition in single quotes, found nothing
     --> rules/x.yaml:8:11
      |
    8 |   unless: null
      |           ^^^^

    error: expected a condition in single quotes, found nothing
      --> rules/x.yaml:11:25
       |
    11 | incident: { resolve_when: }
       |                         ^
    "#);
    insta::assert_snapshot!(complaints("name: x\nwhere: type: order.paid\n"), @r"
    error: this is not YAML: mapping values are not allowed in this context
     --> rules/x.yaml:2:12
      |
    2 | where: type: order.paid
      |            ^
      = a text with : # ! & * or braces in it needs quotes; conditions always stand in single quotes
    ");
}

#[test]
fn values_of_the_wrong_kind_are_named_beside_what_was_expected() {
    insta::assert_snapshot!(complaints(r#"
name: Not a name
summary: ''
state: on
topics: [orders, logins, payments]
group_by: account_id
for: 10
grace: [5s]
lateness: -2m
keep_firing_for: 5 minutes
detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
ticket: { severity: urgent, department: }
notice: topup_failing
runbook: wiki
"#), @r"
    error: expected a name such as paid-not-delivered, found `Not a name`
     --> rules/x.yaml:2:7
      |
    2 | name: Not a name
      |       ^^^^^^^^^^
      = letters, digits, `-`, `_` and `.`, at most 100 bytes

    error: expected one line about what is wrong, found an empty text
     --> rules/x.yaml:3:10
      |
    3 | summary: ''
      |          ^^

    error: expected active, shadow or paused, found `on`
     --> rules/x.yaml:4:8
      |
    4 | state: on
      |        ^^
      = it is called `active` here

    error: expected orders, logins, catalog or feedback, found `payments`
     --> rules/x.yaml:5:26
      |
    5 | topics: [orders, logins, payments]
      |                          ^^^^^^^^

    error: expected a duration such as 30s, 10m, 2h or 7d, found `10`
     --> rules/x.yaml:7:6
      |
    7 | for: 10
      |      ^^

    error: expected a duration such as 30s, 10m, 2h or 7d, found a list
     --> rules/x.yaml:8:8
      |
    8 | grace: [5s]
      |        ^^^^

    error: `-2m` is out of range; expected 0s to 3660d
     --> rules/x.yaml:9:11
      |
    9 | lateness: -2m
      |           ^^^

    error: expected a duration such as 30s, 10m, 2h or 7d, found `5 minutes`
      --> rules/x.yaml:10:18
       |
    10 | keep_firing_for: 5 minutes
       |                  ^^^^^^^^^

    error: expected a whole number from 1 to 1000000, found `0`
      --> rules/x.yaml:11:38
       |
    11 | detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
       |                                      ^

    error: expected a whole number from 1 to 1000000, found `2.5`
      --> rules/x.yaml:11:50
       |
    11 | detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
       |                                                  ^^^

    error: expected a duration longer than 0s
      --> rules/x.yaml:11:63
       |
    11 | detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
       |                                                               ^^

    error: expected true or false, found `yes`
      --> rules/x.yaml:11:74
       |
    11 | detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
       |                                                                          ^^^

    error: expected a field that holds text, and `type` does not
      --> rules/x.yaml:11:89
       |
    11 | detect: { kind: frequency, at_least: 0, at_most: 2.5, window: 0s, reset: yes, distinct: type }
       |                                                                                         ^^^^

    error: expected low, medium, high or critical, found `urgent`
      --> rules/x.yaml:12:21
       |
    12 | ticket: { severity: urgent, department: }
       |                     ^^^^^^
       = it is called `critical` here

    error: expected a department such as payments, found nothing
      --> rules/x.yaml:12:39
       |
    12 | ticket: { severity: urgent, department: }
       |                                       ^

    error: expected the fields of `notice`, found `topup_failing`
      --> rules/x.yaml:13:9
       |
    13 | notice: topup_failing
       |         ^^^^^^^^^^^^^

    error: expected an address such as https://…, found `wiki`
      --> rules/x.yaml:14:10
       |
    14 | runbook: wiki
       |          ^^^^
    ");
}

#[test]
fn shares_and_limits_say_how_they_are_written() {
    insta::assert_snapshot!(complaints(r#"
name: x
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'fault != "none"', above: 0.2, window: 5m, confidence: 100% }
---
name: y
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'fault != "none"', above: { by: region, east: 120% }, below: 5%, window: 5m }
"#), @r#"
    error: expected a share from 0% to 100%, such as 20%, found `0.2`
     --> rules/x.yaml:5:54
      |
    5 | detect: { kind: ratio, of: 'fault != "none"', above: 0.2, window: 5m, confidence: 100% }
      |                                                      ^^^
      = for 0.2 write 20%

    error: no number of events gives a confidence of 100%
     --> rules/x.yaml:5:83
      |
    5 | detect: { kind: ratio, of: 'fault != "none"', above: 0.2, window: 5m, confidence: 100% }
      |                                                                                   ^^^^

    error: a ratio has either `above` or `below`
      --> rules/x.yaml:10:82
       |
    10 | detect: { kind: ratio, of: 'fault != "none"', above: { by: region, east: 120% }, below: 5%, window: 5m }
       |                                                                                  ^^^^^
    "#);
}
