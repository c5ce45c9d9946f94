//! What the author sees of what is wrong within the fields of one kind.

use super::complaints;

#[test]
fn a_list_says_which_of_its_values_are_wrong() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: logins
detect: { kind: list, compare_key: ip, blacklist: [a] }
---
name: b
topics: logins
detect: { kind: list, field: ip, in: [10.0.0.0/33, ""], not_in: [a] }
---
name: c
topics: logins
detect: { kind: list, field: ip, in: [10.0.0.0/33, ""] }
---
name: d
topics: logins
detect: { kind: list, field: time, in: [] }
---
name: e
topics: logins
detect: { kind: list, field: device_id, in: [] }
---
name: f
topics: logins
detect: { kind: any, count: 'exists(ip)' }
"#), @r#"
    error: a list has no field `compare_key`
     --> rules/x.yaml:4:23
      |
    4 | detect: { kind: list, compare_key: ip, blacklist: [a] }
      |                       ^^^^^^^^^^^
      = it is called `field` here

    error: a list has no field `blacklist`
     --> rules/x.yaml:4:40
      |
    4 | detect: { kind: list, compare_key: ip, blacklist: [a] }
      |                                        ^^^^^^^^^
      = it is called `in` here (a list, or file("blocked.txt"))

    error: a list has either `in` or `not_in`
     --> rules/x.yaml:8:57
      |
    8 | detect: { kind: list, field: ip, in: [10.0.0.0/33, ""], not_in: [a] }
      |                                                         ^^^^^^

    error: this is not a network
      --> rules/x.yaml:12:39
       |
    12 | detect: { kind: list, field: ip, in: [10.0.0.0/33, ""] }
       |                                       ^^^^^^^^^^^
       = expected an address, a slash and a length, such as 10.0.0.0/8 or 2001:db8::/32

    error: expected a value of the list, found an empty text
      --> rules/x.yaml:12:52
       |
    12 | detect: { kind: list, field: ip, in: [10.0.0.0/33, ""] }
       |                                                    ^^

    error: expected a field that holds text, and `time` does not
      --> rules/x.yaml:16:30
       |
    16 | detect: { kind: list, field: time, in: [] }
       |                              ^^^^

    error: the list is empty
      --> rules/x.yaml:20:45
       |
    20 | detect: { kind: list, field: device_id, in: [] }
       |                                             ^^
       = expected at least one value

    error: the kind any has no field `count`
      --> rules/x.yaml:24:22
       |
    24 | detect: { kind: any, count: 'exists(ip)' }
       |                      ^^^^^
       = expected one of: kind
    "#);
}

#[test]
fn a_list_in_a_file_says_which_of_its_lines_are_wrong() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: logins
detect: { kind: list, field: ip, in: blocked.txt }
---
name: b
topics: logins
detect: { kind: list, field: ip, in: file("networks.txt") }
---
name: c
topics: logins
detect: { kind: list, field: ip, in: file("empty.txt") }
---
name: d
topics: logins
detect: { kind: list, field: ip, in: file("junk.txt") }
---
name: e
topics: logins
detect: { kind: list, field: ip, not_in: file("gone.txt"), ignore_null: true }
"#), @r#"
    error: expected a list such as [a, b], or file("blocked.txt"), found `blocked.txt`
     --> rules/x.yaml:4:38
      |
    4 | detect: { kind: list, field: ip, in: blocked.txt }
      |                                      ^^^^^^^^^^^

    error: networks.txt has values that are not networks: line 2, `10.0.0.0/33`; line 4, `2001:db8::/200`
     --> rules/x.yaml:8:38
      |
    8 | detect: { kind: list, field: ip, in: file("networks.txt") }
      |                                      ^^^^^^^^^^^^^^^^^^^^
      = expected an address, a slash and a length, such as 10.0.0.0/8 or 2001:db8::/32

    error: empty.txt has no values
      --> rules/x.yaml:12:38
       |
    12 | detect: { kind: list, field: ip, in: file("empty.txt") }
       |                                      ^^^^^^^^^^^^^^^^^
       = expected at least one value

    error: junk.txt is not UTF-8 in line 2
      --> rules/x.yaml:16:38
       |
    16 | detect: { kind: list, field: ip, in: file("junk.txt") }
       |                                      ^^^^^^^^^^^^^^^^
       = save it as UTF-8

    error: cannot read gone.txt: no such file
      --> rules/x.yaml:20:42
       |
    20 | detect: { kind: list, field: ip, not_in: file("gone.txt"), ignore_null: true }
       |                                          ^^^^^^^^^^^^^^^^
       = the name is taken from the folder of the rule's file

    error: a list has no field `ignore_null`
      --> rules/x.yaml:20:60
       |
    20 | detect: { kind: list, field: ip, not_in: file("gone.txt"), ignore_null: true }
       |                                                            ^^^^^^^^^^^
       = expected one of: kind, field, in, not_in
    "#);
}

#[test]
fn a_change_says_what_it_compares_and_how() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: logins
detect: { kind: change, compare_key: ip, timeframe: 1d, ignore_null: true }
---
name: b
topics: logins
detect: { kind: change, fields: [], window: 0s, missing: skip }
---
name: c
topics: logins
detect: { kind: change, fields: [ip, adress, ip, amount] }
"#), @r#"
    error: a change has no field `compare_key`
     --> rules/x.yaml:4:25
      |
    4 | detect: { kind: change, compare_key: ip, timeframe: 1d, ignore_null: true }
      |                         ^^^^^^^^^^^
      = it is called `fields` here (a list of fields)

    error: a change has no field `timeframe`
     --> rules/x.yaml:4:42
      |
    4 | detect: { kind: change, compare_key: ip, timeframe: 1d, ignore_null: true }
      |                                          ^^^^^^^^^
      = it is called `window` here (a duration such as 10m)

    error: a change has no field `ignore_null`
     --> rules/x.yaml:4:57
      |
    4 | detect: { kind: change, compare_key: ip, timeframe: 1d, ignore_null: true }
      |                                                         ^^^^^^^^^^^
      = it is called `missing` here (ignore or fire)

    error: expected at least one field
     --> rules/x.yaml:8:33
      |
    8 | detect: { kind: change, fields: [], window: 0s, missing: skip }
      |                                 ^^

    error: expected a duration longer than 0s
     --> rules/x.yaml:8:45
      |
    8 | detect: { kind: change, fields: [], window: 0s, missing: skip }
      |                                             ^^

    error: expected ignore or fire, found `skip`
     --> rules/x.yaml:8:58
      |
    8 | detect: { kind: change, fields: [], window: 0s, missing: skip }
      |                                                          ^^^^

    error: unknown field `adress`
      --> rules/x.yaml:12:38
       |
    12 | detect: { kind: change, fields: [ip, adress, ip, amount] }
       |                                      ^^^^^^
       = a field of the platform's own must be declared first: [events] extra = ["…"]
    "#);
}

#[test]
fn numbers_and_limits_that_no_subject_can_have_are_errors() {
    insta::assert_snapshot!(complaints(r#"
name: a
topics: orders
detect: { kind: cardinality, cardinality_field: card_id, timeframe: 1h, max_cardinality: 3 }
---
name: b
topics: orders
detect: { kind: cardinality, field: account_id, window: 1h, above: 3 }
---
name: c
topics: orders
detect: { kind: cardinality, field: card_id, window: 1h, above: 3, below: 1 }
---
name: d
topics: orders
detect: { kind: cardinality, field: card_id, window: 1h, below: 1 }
---
name: e
topics: orders
detect: { kind: cardinality, field: card_id, window: 1h, above: { by: channel, alipay: 3.5 } }
---
name: f
topics: orders
detect: { kind: cardinality, field: card_id, window: 1h, above: { by: channel, alipay: 3, default: 4 } }
---
name: g
topics: orders
group_by: [channel]
detect: { kind: frequency, at_least: { by: channel, alipay: 3, default: 2 }, at_most: 2, window: 1h }
---
name: h
topics: orders
detect: { kind: frequency, at_least: 5000, distinct: ip, window: 1h }
"#), @r"
    error: a cardinality has no field `cardinality_field`
     --> rules/x.yaml:4:30
      |
    4 | detect: { kind: cardinality, cardinality_field: card_id, timeframe: 1h, max_cardinality: 3 }
      |                              ^^^^^^^^^^^^^^^^^
      = it is called `field` here

    error: a cardinality has no field `timeframe`
     --> rules/x.yaml:4:58
      |
    4 | detect: { kind: cardinality, cardinality_field: card_id, timeframe: 1h, max_cardinality: 3 }
      |                                                          ^^^^^^^^^
      = it is called `window` here (a duration such as 10m)

    error: a cardinality has no field `max_cardinality`
     --> rules/x.yaml:4:73
      |
    4 | detect: { kind: cardinality, cardinality_field: card_id, timeframe: 1h, max_cardinality: 3 }
      |                                                                         ^^^^^^^^^^^^^^^
      = it is called `above` here

    error: each subject has one `account_id`, since that is a part of it
     --> rules/x.yaml:8:9
      |
    8 | detect: { kind: cardinality, field: account_id, window: 1h, above: 3 }
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = expected another `field`, or a `group_by` without it

    error: a cardinality has either `above` or `below`
      --> rules/x.yaml:12:68
       |
    12 | detect: { kind: cardinality, field: card_id, window: 1h, above: 3, below: 1 }
       |                                                                    ^^^^^

    error: fewer than 1 is silence
      --> rules/x.yaml:16:65
       |
    16 | detect: { kind: cardinality, field: card_id, window: 1h, below: 1 }
       |                                                                 ^
       = a flatline finds that; here at least 2 are expected

    error: a limit per value has no `default`
      --> rules/x.yaml:20:67
       |
    20 | detect: { kind: cardinality, field: card_id, window: 1h, above: { by: channel, alipay: 3.5 } }
       |                                                                   ^^

    error: expected a whole number from 1 to 4095, found `3.5`
      --> rules/x.yaml:20:88
       |
    20 | detect: { kind: cardinality, field: card_id, window: 1h, above: { by: channel, alipay: 3.5 } }
       |                                                                                        ^^^

    error: the limit depends on `channel`, which is not in the rule's subject
      --> rules/x.yaml:24:9
       |
    24 | detect: { kind: cardinality, field: card_id, window: 1h, above: { by: channel, alipay: 3, default: 4 } }
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: no number is at least 3 and at most 2
      --> rules/x.yaml:29:78
       |
    29 | detect: { kind: frequency, at_least: { by: channel, alipay: 3, default: 2 }, at_most: 2, window: 1h }
       |                                                                              ^^^^^^^

    error: more than 4096 different values are not told apart
      --> rules/x.yaml:33:28
       |
    33 | detect: { kind: frequency, at_least: 5000, distinct: ip, window: 1h }
       |                            ^^^^^^^^
    ");
}
