//! `replay` beyond printing effects, as its user calls it: two rule sets over the same events, and why one subject got a ticket or
//! got none.

use std::fs;

use serde_json::Value;

use crate::cli::{FAILED, GOOD_RULE, OK, Said, USAGE, fed, forewarn, written};

/// Failures of `account` at the given minutes of one hour.
pub fn failures(account: &str, minutes: &[u32]) -> String {
    minutes
        .iter()
        .map(|minute| {
            format!(
                r#"{{"id":"{account}-{minute}","type":"order.failed","time":"2026-10-01T08:{minute:02}:00Z","account_id":"{account}","order_id":"{account}-o{minute}","kind":"topup","channel":"alipay","error_code":"CHANNEL_TIMEOUT"}}
"#
            )
        })
        .collect()
}

pub fn lines(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `a1` fails three times in ten minutes, `a2` twice, `a3` three times in more than ten.
fn three_accounts() -> String {
    failures("a1", &[0, 2, 4]) + &failures("a2", &[5, 6]) + &failures("a3", &[10, 16, 22])
}

fn against(rules: &str, other: &str, format: &str) -> Said {
    let arguments = ["replay", "--rules", rules, "--against", other, "--input", "-", "--format", format];
    fed(&arguments, &three_accounts()).ended(OK)
}

#[test]
fn a_rule_that_asks_for_less_gains_tickets_and_opens_others_earlier() {
    let (_old, old) = written("rule.yaml", GOOD_RULE);
    let (_new, new) = written("rule.yaml", &GOOD_RULE.replace("at_least: 3", "at_least: 2"));
    let said = against(&new, &old, "json");
    let lines = lines(&said);
    let (summary, changes) = lines.split_last().unwrap();
    let short = |line: &Value| {
        let about =
            line["subject"]["account_id"].as_str().or(line["account_id"].as_str()).unwrap().to_owned();
        (line["difference"].as_str().unwrap().to_owned(), about)
    };
    let expected = [
        ("ticket.moved", "a1"),
        ("ticket.gained", "a2"),
        ("customer.gained", "a2"),
        ("ticket.gained", "a3"),
        ("customer.gained", "a3"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(what, who)| ((*what).to_owned(), (*who).to_owned())).collect();
    assert_eq!(changes.iter().map(short).collect::<Vec<_>>(), expected, "{}", said.out);
    assert_eq!(changes[0]["was"], "2026-10-01T08:04:00Z");
    assert_eq!(changes[0]["at"], "2026-10-01T08:02:00Z");
    assert_eq!(changes[0]["moved_s"], -120.0);
    let summary = &summary["summary"];
    assert_eq!(summary["changed"][0], "repeated-topup-failures");
    let rule = &summary["rules"][0];
    assert_eq!((&rule["tickets"]["rules"], &rule["tickets"]["against"]), (&3.into(), &1.into()));
    assert_eq!((&rule["gained"], &rule["lost"], &rule["moved"]), (&2.into(), &0.into(), &1.into()));
    assert_eq!((&rule["told_more"], &rule["told_less"]), (&2.into(), &0.into()));
    assert_eq!(summary["customers"]["told_earlier"], 1);
}

#[test]
fn the_other_way_round_what_was_gained_is_lost() {
    let (_old, old) = written("rule.yaml", GOOD_RULE);
    let (_new, new) = written("rule.yaml", &GOOD_RULE.replace("at_least: 3", "at_least: 2"));
    let said = against(&old, &new, "text");
    said.reports(&[
        "ticket.lost",
        "account_id=a2",
        "customer.lost",
        "ticket.moved",
        "2m later, was 2026-10-01T08:02:00Z",
        "changed: repeated-topup-failures",
        "3 → 1",
        "customers told by any rule: 3 → 1; 0 more, 2 fewer, 0 earlier, 1 later",
    ]);
}

#[test]
fn rules_that_mean_the_same_make_no_difference() {
    let (_old, old) = written("rule.yaml", GOOD_RULE);
    let (_new, new) = written("other.yaml", &format!("# said otherwise\n{GOOD_RULE}"));
    let said = against(&old, &new, "text");
    assert_eq!(
        said.out,
        "8 events, 0 rejected, 0 late, 0 duplicates\nno difference: both do the same over these events\n"
    );
}

#[test]
fn a_rule_that_only_one_set_has_is_named() {
    let (old_folder, old) = written("rule.yaml", GOOD_RULE);
    let other = GOOD_RULE.replace("name: repeated-topup-failures", "name: topups-failing");
    fs::write(old_folder.path().join("other.yaml"), other).unwrap();
    let both = old_folder.path().display().to_string();
    against(&both, &old, "text").reports(&["only in --rules: topups-failing", "ticket.gained"]);
    against(&old, &both, "text").reports(&["only in --against: topups-failing", "ticket.lost"]);
}

#[test]
fn a_directory_to_compare_with_that_cannot_be_used_is_an_error() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let call = |other: &str| forewarn(&["replay", "--rules", &rules, "--against", other, "--input", "-"]);
    call("/nowhere/rules").ended(FAILED).names(&["/nowhere/rules"]);
    let (_wrong, wrong) = written("wrong.yaml", &GOOD_RULE.replace("at_least", "at_leest"));
    call(&wrong).ended(FAILED).names(&["wrong.yaml:7:", "at_least"]);
    forewarn(&["replay", "--rules", &rules, "--input", "-", "--against"]).ended(USAGE);
}

/// A rule that explains what [`GOOD_RULE`] finds.
const CAUSE: &str = r#"name: account-blocked
summary: Nothing works for an account
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed" and fault != "customer"', at_least: 5, window: 10m }
notice: { template: topup_failing, to: account }
---
"#;

fn explained(rules: &str, subject: &str, format: &str) -> Said {
    let more = failures("a4", &[24, 25, 26, 27, 28]);
    let complaint = r#"{"id":"c1","type":"complaint.filed","time":"2026-10-01T08:40:00Z","account_id":"a1","category":"topup"}
"#;
    let input = format!("{}{complaint}", three_accounts() + &more);
    fed(&["replay", "--rules", rules, "--input", "-", "--explain", subject, "--format", format], &input)
}

#[test]
fn a_subject_that_got_a_ticket_is_told_why_and_who_was_told_when() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let said = explained(&rules, "a1", "text").ended(OK);
    said.reports(&[
        "a1: 4 of 14 events\n",
        "    2026-10-01T08:00:00Z  order.failed order_id=a1-o0 kind=topup channel=alipay",
        "→ 2026-10-01T08:04:00Z  repeated-topup-failures finds it: value 3, limit 3, 3 samples\n",
        "→ 2026-10-01T08:04:00Z  ticket opens, repeated-topup-failures, severity high",
        "→ 2026-10-01T08:04:00Z  the customer is told by email: topup_failing (repeated-topup-failures)",
        "ticket { account_id: a1 } opened at 2026-10-01T08:04:00Z; a1 was told at 2026-10-01T08:04:00Z by email",
        "complained at 2026-10-01T08:40:00Z, 36m after being told",
    ]);
}

#[test]
fn a_subject_that_got_no_ticket_is_told_why_not() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let said = explained(&rules, "a3", "text").ended(OK);
    assert!(!said.out.contains("ticket opens"), "{}", said.out);
    said.reports(&["no finding: looked at 3 events; 3 met `count`, never enough of them within 10m"]);
}

#[test]
fn what_another_incident_explains_names_it() {
    let rule = GOOD_RULE.replace("{ wait: 0s }", "{ wait: 3m, covered_by: [account-blocked] }");
    let (_rules, rules) = written("rules.yaml", &format!("{CAUSE}{rule}"));
    let said = explained(&rules, "account_id=a4", "json").ended(OK);
    let lines = lines(&said);
    let (summary, course) = lines.split_last().unwrap();
    let whats: Vec<&str> = course.iter().filter_map(|line| line["what"].as_str()).collect();
    let tickets = whats.iter().filter(|what| **what == "ticket.opened").count();
    assert!(whats.contains(&"waiting") && whats.contains(&"joined") && tickets == 1, "{}", said.out);
    let why = summary["summary"]["why"].as_array().unwrap();
    let joined = why.iter().find(|why| why["rule"] == "repeated-topup-failures").unwrap();
    assert_eq!(joined["outcome"], "joined");
    let text = "no ticket of its own for what was found at 2026-10-01T08:26:00Z: it is part of the one of \
                account-blocked { account_id: a4 }, opened at 2026-10-01T08:28:00Z; \
                a4 was told at 2026-10-01T08:28:00Z by email";
    assert_eq!(joined["text"], text);
}

#[test]
fn what_many_accounts_share_is_told_without_what_is_their_own() {
    let channel =
        CAUSE.replace("group_by: [account_id]", "group_by: [channel]").replace("to: account", "to: affected");
    let (_rules, rules) = written("rules.yaml", &format!("{channel}{GOOD_RULE}"));
    let said = explained(&rules, "channel=alipay", "text").ended(OK);
    assert!(!said.out.contains("ticket opens, repeated-topup-failures"), "{}", said.out);
    said.reports(&[
        "alipay: 13 of 14 events",
        "ticket opens, account-blocked, severity",
        "about single accounts or orders, ask for one of them: repeated-topup-failures",
    ]);
}

#[test]
fn what_is_undecided_at_the_end_says_until_when() {
    let rule = GOOD_RULE.replace("{ wait: 0s }", "{ wait: 3m, covered_by: [account-blocked] }");
    let (_rules, rules) = written("rules.yaml", &format!("{CAUSE}{rule}"));
    let input = failures("a1", &[0, 2, 4]);
    let call = |more: &[&str]| {
        let arguments = [&["replay", "--rules", &rules, "--input", "-", "--explain", "a1"], more].concat();
        fed(&arguments, &input).ended(OK)
    };
    call(&[]).reports(&[
        "waits until 2026-10-01T08:07:00Z for what may explain it: account-blocked",
        "no ticket yet for what was found at 2026-10-01T08:04:00Z",
        "it opens at 2026-10-01T08:07:00Z unless one of these explains it: account-blocked",
    ]);
    call(&["--until", "2026-10-01T08:10:00Z"])
        .reports(&["ticket { account_id: a1 } opened at 2026-10-01T08:07:00Z"]);
}

#[test]
fn a_subject_that_nothing_names_is_an_error() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    explained(&rules, "a99", "text").ended(FAILED).names(&["none of the 14 events names `a99`"]);
    explained(&rules, "order_id=a1", "text").ended(FAILED).names(&["order_id=a1"]);
    let both = ["replay", "--rules", &rules, "--input", "-", "--explain", "a1", "--against", &rules];
    forewarn(&both).ended(USAGE);
}

/// [`GOOD_RULE`] for merchants alone.
fn for_merchants() -> String {
    GOOD_RULE.replacen("'kind == \"topup\"'", "'kind == \"topup\" and customer.tier == \"merchant\"'", 1)
}

#[test]
fn a_rule_may_ask_who_the_customer_is_and_knows_nobody_without_a_file_of_them() {
    let (_rules, rules) = written("rule.yaml", &for_merchants());
    let events = failures("a1", &[0, 2, 4]) + &failures("a2", &[5, 6, 7]) + &failures("a3", &[10, 11, 12]);
    let customers = "{\"account_id\":\"a1\"}\n{\"account_id\":\"a2\",\"tier\":\"merchant\",\"email\":\"two@example.com\"}\n";
    let (_customers, customers) = written("customers.jsonl", customers);
    let replay = ["replay", "--rules", &rules, "--input", "-", "--format", "json"];
    let said = fed(&[&replay[..], &["--customers", &customers]].concat(), &events).ended(OK);
    let opened = |said: &Said| -> Vec<String> {
        let opened = lines(said).into_iter().filter(|line| line["effect"] == "ticket.opened");
        opened.map(|line| line["subject"]["account_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(opened(&said), ["a2"], "{}", said.out);
    assert!(!said.err.contains("note:"), "{}", said.err);
    let said = fed(&replay, &events).ended(OK);
    assert!(opened(&said).is_empty(), "{}", said.out);
    assert!(said.err.contains("no customers are given (--customers)"), "{}", said.err);
}
