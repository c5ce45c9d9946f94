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

    error: the list is empty
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
