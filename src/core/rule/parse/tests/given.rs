//! What a test takes as given beside its events, and what the author sees of a mistake there.

use super::*;
use crate::core::event::Tier;

fn rule(test: &str) -> String {
    format!(
        "name: x\ntopics: orders\ndetect: {{ kind: frequency, at_least: 3, window: 10m }}\ntests:\n  - name: t\n    with: [y]\n{test}    events: [{{ at: 0s }}]\n    expect: []\n"
    )
}

#[test]
fn customers_and_silences_are_read_with_their_defaults() {
    let loaded = one(&rule(
        "    customers: [{ account_id: 00123, tier: merchant, locale: zh_CN, opt_outs: all }, { account_id: a2 }]\n    silences: [{ match: { rule: y, channel: alipay }, from: 0s, until: 2026-10-01T00:00:00Z }]\n",
    ));
    let test = &loaded.tests[0];
    let [first, second] = test.customers.as_slice() else { panic!("{:?}", test.customers) };
    assert_eq!((first.account_id.as_str(), first.tier), ("00123", Tier::Merchant));
    assert_eq!(
        (first.locale.as_deref(), first.opt_outs.as_slice()),
        (Some("zh_CN"), &["all".to_owned()][..])
    );
    assert_eq!((second.tier, &second.time_zone), (Tier::Individual, &None));
    let [silence] = test.silences.as_slice() else { panic!("{:?}", test.silences) };
    assert_eq!(silence.rule.as_deref(), Some("y"));
    assert_eq!(silence.fields, [(TextField::Channel, "alipay".to_owned())]);
    assert_eq!(silence.from, When::After(Span::ZERO));
}

#[test]
fn mistakes_in_them_are_told_with_their_place() {
    insta::assert_snapshot!(complaints(&rule(
        "    customers:\n      - { account_id: a1, tier: gold }\n      - { tier: merchant }\n      - { account_id: a1, email: x }\n    silences:\n      - { match: { rule: z }, from: 0s, until: 1h }\n      - { match: {}, from: 0s, until: 1h }\n      - { match: { amount: 5 }, from: 2h, until: 1h }\n",
    )), @r#"
    error: expected individual, merchant or enterprise, found `gold`
     --> rules/x.yaml:8:33
      |
    8 |       - { account_id: a1, tier: gold }
      |                                 ^^^^

    error: a customer has no `account_id`
     --> rules/x.yaml:9:11
      |
    9 |       - { tier: merchant }
      |           ^^^^

    error: a customer has no field `email`
      --> rules/x.yaml:10:27
       |
    10 |       - { account_id: a1, email: x }
       |                           ^^^^^
       = expected one of: account_id, tier, locale, time_zone, manager, opt_outs

    error: this test has no rule `z`
      --> rules/x.yaml:12:26
       |
    12 |       - { match: { rule: z }, from: 0s, until: 1h }
       |                          ^
       = its rules: x, y

    error: expected a rule or a field of the subject, such as { channel: alipay }
      --> rules/x.yaml:13:18
       |
    13 |       - { match: {}, from: 0s, until: 1h }
       |                  ^^

    error: `amount` is not a field of a subject
      --> rules/x.yaml:14:20
       |
    14 |       - { match: { amount: 5 }, from: 2h, until: 1h }
       |                    ^^^^^^
       = expected `rule`, or a field that holds text

    error: the silence ends before it begins
      --> rules/x.yaml:14:50
       |
    14 |       - { match: { amount: 5 }, from: 2h, until: 1h }
       |                                                  ^^
    "#);
    insta::assert_snapshot!(complaints(
        "name: x\ntopics: orders\ndetect: { kind: any }\ntests:\n  - { name: t, events: [{ at: 0s, type: order.paid, account_id: a1, customer.tier: merchant }], expect: [] }"
    ), @r#"
    error: no event says `customer.tier`
     --> rules/x.yaml:5:69
      |
    5 |   - { name: t, events: [{ at: 0s, type: order.paid, account_id: a1, customer.tier: merchant }], expect: [] }
      |                                                                     ^^^^^^^^^^^^^
      = customers stand beside the events: `customers: [{ account_id: a1, tier: merchant }]`
    "#);
}
