//! `replay` beyond printing effects, as its user calls it: two rule sets over the same events.

use std::fs;

use serde_json::Value;

use crate::cli::{FAILED, GOOD_RULE, OK, Said, USAGE, fed, forewarn, written};

/// Failures of `account` at the given minutes of one hour.
fn failures(account: &str, minutes: &[u32]) -> String {
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

fn lines(said: &Said) -> Vec<Value> {
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
