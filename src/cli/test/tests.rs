//! Tests of `forewarn test`.

use super::*;
use crate::core::rule::parse::{self, LoadOptions};

const RULE: &str = r#"
name: failing
topics: orders
detect: { kind: frequency, count: 'type == "order.failed" and fault != "customer"', at_least: 3, window: 10m }
notice: { template: topup_failing }
tests:
"#;

/// The outcome of tests written below the rule above.
fn outcome(tests: &str) -> String {
    outcome_of(&format!("{RULE}{tests}"))
}

fn outcome_of(text: &str) -> String {
    let rules = parse::load(text, "rules/failing.yaml", &LoadOptions::default())
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(ToString::to_string).collect::<String>()));
    let selection = Selection { rules, beside: Vec::new(), suites: Vec::new(), files: 1 };
    let results = run_all(&selection, alone(&FaultTable::default(), &Arc::default()), None);
    let mut out = Vec::new();
    show(&results, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Without silences and location files.
fn alone<'s>(faults: &'s FaultTable, silences: &'s Arc<Silences>) -> Surroundings<'s> {
    Surroundings { faults, silences, locator: None }
}

#[test]
fn a_test_whose_effects_are_exactly_the_expected_ones_passes() {
    let shown = outcome(
        r#"
  - name: it fires
    events:
      - { at: 0s, type: order.failed, account_id: a1, repeat: 3, every: 1m }
    expect:
      - { at: 2m, notice: topup_failing, account_id: a1 }
      - { at: 2m, since: 2m, ticket: opened, subject: { account_id: a1 } }
      - { at: 2m, finding: failing }
  - name: each repetition may be of another account
    events:
      - { at: 0s, type: order.failed, account_id: "a{n}", repeat: 3, every: 1m }
    expect: []
  - name: the fault follows from the code
    events:
      - { at: 0s, type: order.failed, account_id: a1, error_code: WRONG_PASSWORD, repeat: 3, every: 1m }
    expect: []
"#,
    );
    assert_eq!(
        shown,
        "ok    failing › it fires\nok    failing › each repetition may be of another account\nok    failing › the fault follows from the code\n\n3 tests, 0 failed\n"
    );
}

#[test]
fn a_failure_shows_the_expectation_with_a_caret_and_the_course_of_events() {
    let shown = outcome(
        r#"
  - name: too late
    events:
      - { at: 0s, type: order.failed, account_id: a1, repeat: 20, every: 1s }
    expect:
      - { at: 3m, ticket: opened }
      - { notice: delivery_late, account_id: a1 }
"#,
    );
    insta::assert_snapshot!(shown, @r"
    FAIL  failing › too late
          expected, and did not happen: rules/failing.yaml:12:9
             |
          12 |       - { at: 3m, ticket: opened }
             |         ^^^^^^^^^^^^^^^^^^^^^^^^^^ nearly: at 2s, not 3m
          expected, and did not happen: rules/failing.yaml:13:9
             |
          13 |       - { notice: delivery_late, account_id: a1 }
             |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ nothing like it happened
          happened, and was not expected: rules/failing.yaml:11:5
             |
          11 |     expect:
             |     ^^^^^^ 2 effects are not in this list
          what happened:
               0s  order.failed account_id=a1
               1s  order.failed account_id=a1
               2s  order.failed account_id=a1
            ✗  2s  ticket opened failing { account_id: a1 } since 2s; value 3, limit 3, 3 samples, 1 affected  (not expected)
            ✗  2s  notice topup_failing to a1 (failing)  (not expected)
               3s  order.failed account_id=a1
               4s  order.failed account_id=a1
               5s  order.failed account_id=a1
               6s  order.failed account_id=a1
               7s  order.failed account_id=a1
               8s  order.failed account_id=a1
                   … 5 more events
              14s  order.failed account_id=a1
              15s  order.failed account_id=a1
              16s  order.failed account_id=a1
              17s  order.failed account_id=a1
              18s  order.failed account_id=a1
              19s  order.failed account_id=a1

    1 test, 1 failed
    ");
}

#[test]
fn a_notice_for_account_managers_is_held_where_a_customer_has_none() {
    let rule = "name: to-managers\ntopics: orders\nwhere: 'type == \"order.failed\"'\ngroup_by: [account_id]\n\
        detect: { kind: any }\nticket: { category: c, department: d, severity: low }\n\
        notice: { template: delivery_late, to: manager }\ntests:\n";
    let test = |account: &str, notices: &str| {
        format!(
            "  - name: for {account}\n    customers:\n      - {{ account_id: alone, tier: enterprise }}\n      \
            - {{ account_id: kept, tier: individual, manager: li@example.com }}\n    events:\n      \
            - {{ at: 0s, type: order.failed, account_id: {account}, order_id: o1 }}\n    expect:\n      \
            - {{ ticket: opened }}\n{notices}"
        )
    };
    let told = "      - { notice: delivery_late }\n";
    for (account, sent) in [("alone", false), ("kept", true), ("unnamed", true)] {
        let text = outcome_of(&format!("{rule}{}", test(account, told)));
        assert_eq!(text.contains("held"), !sent, "{account}: {text}");
        assert_eq!(text.ends_with("1 test, 0 failed\n"), sent, "{account}: {text}");
    }
}

#[test]
fn what_happens_in_the_history_counts_against_the_test() {
    let shown = outcome(
        r#"
  - name: warm
    history:
      - { at: -1d, type: order.failed, account_id: a1, repeat: 3, every: 1m }
    events:
      - { at: 0s }
    expect: []
"#,
    );
    assert!(shown.contains("-23h58m  ticket opened failing { account_id: a1 }"), "{shown}");
    assert!(shown.contains("(the history may not fire)"), "{shown}");
}

#[test]
fn findings_are_expected_by_rule_subject_account_and_moment_and_count_only_where_they_are_named() {
    let found = |expected: &str| {
        outcome(&format!(
            "  - name: found\n    events: [{{ at: 0s, type: order.failed, account_id: \"a{{n}}\", repeat: 2, every: 1s }}, {{ at: 3s, type: order.failed, account_id: a2, repeat: 3, every: 1s }}]\n    expect:\n      - {{ at: 4s, ticket: opened }}\n      - {{ at: 4s, notice: topup_failing }}\n      - {expected}\n"
        ))
    };
    for met in [
        "{ finding: failing, subject: { account_id: a2 }, account_id: a2, at: 4s, since: 4s }",
        "{ finding: failing, by: 5s, since: 5s }",
    ] {
        let shown = found(met);
        assert!(shown.ends_with("1 test, 0 failed\n"), "{met}: {shown}");
    }
    for (unmet, why) in [
        ("{ finding: failing, subject: { account_id: a1 } }", "it was about { account_id: a2 }"),
        ("{ finding: failing, account_id: a1 }", "it was the account a2"),
        ("{ finding: failing, since: 3s }", "since 4s, not 3s"),
        ("{ finding: failing, at: 6s }", "at 4s, not 6s"),
    ] {
        let shown = found(unmet);
        assert!(shown.contains(&format!("nearly: {why}")), "{unmet}: {shown}");
    }
}

#[test]
fn a_test_runs_on_until_what_hears_of_a_late_finding_is_decided_too() {
    let text = r#"
name: late
topics: orders
detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 30m }
incident: { wait: 0s }
---
name: late-and-silent
topics: [orders, logins]
group_by: [account_id]
detect:
  kind: sequence
  within: 1h
  steps:
    - { name: late, finding: late }
    - { name: seen, when: 'type == "login.succeeded"', not: true }
tests:
  - name: nobody came to see
    with: [late]
    events: [{ at: 0s, type: order.paid, account_id: a1, order_id: o1 }]
    expect:
      - { ticket: opened, rule: late, by: 31m }
      - { ticket: opened, rule: late-and-silent, by: 92m }
"#;
    let rules = parse::load(text, "rules/late.yaml", &LoadOptions::default())
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(ToString::to_string).collect::<String>()));
    let selection = Selection { rules, beside: Vec::new(), suites: Vec::new(), files: 1 };
    let results = run_all(&selection, alone(&FaultTable::default(), &Arc::default()), None);
    assert!(results[0].failure.is_none(), "{}", results[0].failure.clone().unwrap_or_default());
}

#[test]
fn the_ends_of_incidents_belong_to_a_test_only_as_far_as_it_lets_time_pass() {
    let events = "{ at: 0s, type: order.failed, account_id: a1, repeat: 3, every: 1m }";
    let opened = "      - { at: 2m, ticket: opened }\n      - { at: 2m, notice: topup_failing }\n";
    let short = format!("  - name: short\n    events: [{events}]\n    expect:\n{opened}");
    let long = format!(
        "  - name: long\n    events: [{events}, {{ at: 40m }}]\n    expect:\n{opened}      - {{ at: 15m, ticket: resolved }}\n"
    );
    let shown = outcome(&format!("{short}{long}"));
    assert!(shown.ends_with("2 tests, 0 failed\n"), "{shown}");
}

#[test]
fn repetitions_are_put_between_other_events_by_their_time() {
    let shown = outcome(
        r#"
  - name: woven
    events:
      - { at: 0s, type: order.failed, account_id: a, repeat: 3, every: 10s }
      - { at: 5s, type: order.failed, account_id: b, repeat: 2, every: 10s }
      - { at: 1m, type: order.paid, account_id: c }
    expect: [{ ticket: withdrawn }]
"#,
    );
    let order: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.trim_start().split_once("  ").filter(|(_, what)| what.starts_with("order")))
        .map(|(at, what)| if what.ends_with("=a") || what.ends_with("=b") { at } else { "last" })
        .collect();
    assert_eq!(order, ["0s", "5s", "10s", "15s", "20s", "last"], "{shown}");
}

#[test]
fn a_regular_expression_chooses_tests_by_rule_and_name() {
    let name = "repeated-topup-failures › the customer's own wrong password";
    for (pattern, finds) in
        [("password", true), ("^repeated.*own", true), ("› the", true), ("^own", false), ("a|b|topup", true)]
    {
        assert_eq!(Chosen::new(pattern).unwrap().finds(name), finds, "{pattern}");
    }
    assert!(Chosen::new("(").is_err());
    assert!(Chosen::new("(.{1000}){1000}").is_err(), "too large to build");
}

#[test]
fn junit_names_rule_test_file_and_line_and_escapes_what_xml_would_read() {
    let text = format!(
        "{RULE}  - name: \"a <b> & \\\"c\\\"\"\n    events: [{{ at: 0s }}]\n    expect: [{{ ticket: opened }}]\n"
    );
    let rules = parse::load(&text, "rules/failing.yaml", &LoadOptions::default()).unwrap();
    let selection = Selection { rules, beside: Vec::new(), suites: Vec::new(), files: 1 };
    let results = run_all(&selection, alone(&FaultTable::default(), &Arc::default()), None);
    let xml = junit::write(&results);
    assert!(xml.contains("<testsuites tests=\"1\" failures=\"1\">"), "{xml}");
    assert!(
        xml.contains(
            "<testcase classname=\"failing\" name=\"a &lt;b&gt; &amp; &quot;c&quot;\" file=\"rules/failing.yaml\" line=\"7\">"
        ),
        "{xml}"
    );
}

#[test]
fn the_shipped_rules_pass_their_own_tests() {
    let rules = [Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")];
    let selection = load(&rules, Path::new("rules"), &LoadOptions::default()).unwrap();
    let results = run_all(&selection, alone(&FaultTable::default(), &Arc::default()), None);
    let failures: Vec<&str> = results.iter().filter_map(|result| result.failure.as_deref()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(results.len() >= 2 * selection.rules.len());
}
