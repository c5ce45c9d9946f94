//! What an author can know of a rule before it goes live: how it meets complaints, what it would do in the shadow, and tests in
//! files of their own.

use std::fs;

use serde_json::{Value, json};

use crate::cli::{FAILED, GOOD_RULE, LINT, OK, Said, fed, forewarn, written};
use crate::replay::{failures, lines};

fn complaint(account: &str, minute: u32, order: Option<&str>) -> String {
    let order = order.map(|order| format!(r#","order_id":"{order}""#)).unwrap_or_default();
    format!(
        r#"{{"id":"c-{account}-{minute}","type":"complaint.filed","time":"2026-10-01T08:{minute:02}:30Z","account_id":"{account}","category":"topup"{order}}}
"#
    )
}

/// The rule that asks for two failures where [`GOOD_RULE`] asks for three.
fn hasty(state: &str) -> String {
    GOOD_RULE
        .replace("name: repeated-topup-failures", &format!("name: hasty\nstate: {state}"))
        .replace("at_least: 3", "at_least: 2")
}

fn replayed(rules: &str, input: &str, format: &str) -> Said {
    fed(&["replay", "--rules", rules, "--input", "-", "--format", format], input).ended(OK)
}

fn of_rule(said: &Said, name: &str) -> Value {
    let lines = lines(said);
    let rules = lines.last().unwrap()["summary"]["rules"].as_array().unwrap().clone();
    rules.into_iter().find(|rule| rule["rule"] == name).unwrap()
}

/// `a1` fails at 0, 2 and 4; `a2` at 5, 6 and 7; `a3` at 10 and 11.
fn events() -> String {
    failures("a1", &[0, 2, 4]) + &failures("a2", &[5, 6, 7]) + &failures("a3", &[10, 11])
}

#[test]
fn each_rule_is_measured_by_the_complaints_of_those_whom_it_told() {
    let (_rules, rules) = written("rules.yaml", &format!("{GOOD_RULE}---\n{}", hasty("active")));
    // Told by the first rule at 4 and 7, by the other one at 2, 6 and 11.
    let complaints = complaint("a1", 14, None) + &complaint("a2", 6, None) + &complaint("a9", 12, None);
    let said = replayed(&rules, &(events() + &complaints), "json");
    let careful = of_rule(&said, "repeated-topup-failures");
    let figures = |rule: &Value| {
        ["tickets", "told", "complained", "told_before", "told_late", "lead_median_s", "coverage"]
            .map(|name| rule[name].clone())
    };
    assert_eq!(
        figures(&careful),
        [json!(2), json!(2), json!(2), json!(1), json!(1), json!(630.0), json!(0.3333)]
    );
    assert_eq!(careful["precision"], json!({ "at_least": 1.0, "at_most": 1.0 }));
    let hasty = of_rule(&said, "hasty");
    assert_eq!(
        figures(&hasty),
        [json!(3), json!(3), json!(2), json!(2), json!(0), json!(390.0), json!(0.6667)]
    );
    assert_eq!(hasty["precision"], json!({ "at_least": 0.6667, "at_most": 1.0 }));

    let text = replayed(&rules, &(events() + &complaints), "text").out;
    let row = |name: &str| -> Vec<String> {
        let line = text.lines().rfind(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(
        row("rule"),
        [
            "rule",
            "tickets",
            "told",
            "complained",
            "before",
            "late",
            "coverage",
            "median",
            "lead",
            "precision"
        ]
    );
    assert_eq!(row("hasty"), ["hasty", "3", "3", "2", "2", "0", "66.7", "%", "390", "s", "67–100", "%"]);
}

#[test]
fn a_complaint_about_an_order_belongs_to_those_who_told_of_that_order() {
    let other = GOOD_RULE
        .replace("name: repeated-topup-failures", "name: other-trouble")
        .replace(r#"'kind == "topup"'"#, r#"'kind == "card_key"'"#);
    let (_rules, rules) = written("rules.yaml", &format!("{GOOD_RULE}---\n{other}"));
    let cards = failures("a1", &[10, 11, 12]).replace("topup", "card_key").replace("a1-o", "card-o");
    let input = events() + &cards + &complaint("a1", 20, Some("card-o12"));
    let said = replayed(&rules, &input, "json");
    assert_eq!(of_rule(&said, "other-trouble")["complained"], 1);
    assert_eq!(of_rule(&said, "repeated-topup-failures")["complained"], 0);
}

#[test]
fn what_proves_untrue_lowers_the_precision_that_a_rule_can_have() {
    let rule = GOOD_RULE
        .replace("window: 10m }", "window: 10m, unless: 'type == \"order.delivered\"' }")
        .replace("notice: {", "notice: { corrected: topup_was_fine,");
    let (_rules, rules) = written("rule.yaml", &rule);
    // What was delivered before the last failure arrives after it.
    let delivered = r#"{"id":"d","type":"order.delivered","time":"2026-10-01T08:03:30Z","account_id":"a1","order_id":"a1-o2","kind":"topup"}
"#;
    let input =
        failures("a1", &[0, 2, 4]) + delivered + &failures("a2", &[5, 6, 7]) + &complaint("a2", 30, None);
    let of_rule = of_rule(&replayed(&rules, &input, "json"), "repeated-topup-failures");
    assert_eq!(
        (&of_rule["withdrawn"], &of_rule["told"], &of_rule["told_untrue"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(of_rule["precision"], json!({ "at_least": 0.5, "at_most": 0.5 }));
}

#[test]
fn a_rule_in_the_shadow_says_what_it_would_have_done_and_changes_nothing_else() {
    let (_alone, alone) = written("rules.yaml", GOOD_RULE);
    let (_rules, rules) = written("rules.yaml", &format!("{GOOD_RULE}---\n{}", hasty("shadow")));
    let said = replayed(&rules, &events(), "json");
    let in_the_shadow = |line: &Value| line["rule"] == "hasty";
    let (shadow, others): (Vec<Value>, Vec<Value>) =
        lines(&said).into_iter().filter(|line| line["summary"].is_null()).partition(in_the_shadow);
    let before: Vec<Value> = lines(&replayed(&alone, &events(), "json"))
        .into_iter()
        .filter(|line| line["summary"].is_null())
        .collect();
    assert_eq!(others, before);
    let effects: Vec<_> = shadow
        .iter()
        .map(|line| (line["effect"].as_str().unwrap(), &line["shadow"], &line["reason"]))
        .collect();
    assert_eq!(effects.iter().filter(|(effect, ..)| *effect == "ticket.opened").count(), 3);
    assert!(
        effects.iter().all(|(effect, shadow, reason)| match *effect {
            "notice.held" => **reason == json!("shadow"),
            effect => effect.starts_with("ticket.") && **shadow == json!(true),
        }),
        "{effects:?}"
    );
    let of_rule = of_rule(&said, "hasty");
    assert_eq!(
        (&of_rule["state"], &of_rule["tickets"], &of_rule["would_tell"]),
        (&json!("shadow"), &json!(3), &json!(3))
    );
    assert_eq!(of_rule["told"], Value::Null);
    let opened = shadow.iter().find(|line| line["effect"] == "ticket.opened").unwrap();
    assert_eq!((opened["version"].as_str().unwrap().len(), &opened["version"]), (16, &of_rule["version"]));

    let text = replayed(&rules, &events(), "text").out;
    let (_, section) = text.split_once("in the shadow: no ticket was opened and nobody was told").unwrap();
    let row = section.lines().find(|line| line.starts_with("hasty")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["hasty", "3", "3"], "{text}");
}

#[test]
fn a_rule_that_leaves_the_shadow_gains_tickets_and_customers() {
    let (_was, was) = written("rules.yaml", &hasty("shadow"));
    let (_is, is) = written("rules.yaml", &hasty("active"));
    let against = |rules: &str, other: &str, format: &str| {
        let arguments = ["replay", "--rules", rules, "--against", other, "--input", "-", "--format", format];
        fed(&arguments, &events()).ended(OK)
    };
    let summary = |said: &Said| lines(said).last().unwrap()["summary"].clone();
    let gained = summary(&against(&is, &was, "json"));
    assert_eq!(gained["states"], json!([{ "rule": "hasty", "rules": "active", "against": "shadow" }]));
    let figures = |summary: &Value| {
        ["gained", "lost", "told_more", "told_less"].map(|name| summary["rules"][0][name].clone())
    };
    assert_eq!(figures(&gained), [json!(3), json!(0), json!(3), json!(0)]);
    assert_eq!(gained["held"], json!({ "rules": 0, "against": 0 }));
    assert_eq!(figures(&summary(&against(&was, &is, "json"))), [json!(0), json!(3), json!(0), json!(3)]);
    against(&is, &was, "text").reports(&["hasty: shadow → active", "customers told by any rule: 0 → 3"]);

    let arguments = ["replay", "--rules", &was, "--input", "-", "--explain", "a1"];
    fed(&arguments, &events()).ended(OK).reports(&[
        "the customer would be told: topup_failing (hasty, in the shadow)",
        "a1 would have been told, but the rule is in the shadow",
    ]);
}

#[test]
fn what_is_in_the_shadow_covers_only_what_is_in_the_shadow_too() {
    let cause = |state: &str| {
        GOOD_RULE
            .replace("name: repeated-topup-failures", &format!("name: cause\nstate: {state}"))
            .replace("at_least: 3", "at_least: 2")
    };
    let symptom = |state: &str| {
        GOOD_RULE
            .replace("{ wait: 0s }", "{ wait: 1m, covered_by: [cause] }")
            .replace("name: repeated-topup-failures", &format!("name: symptom\nstate: {state}"))
    };
    let opened = |cause_state: &str, symptom_state: &str| -> Vec<String> {
        let (_rules, rules) =
            written("rules.yaml", &format!("{}---\n{}", cause(cause_state), symptom(symptom_state)));
        let arguments = [
            "replay",
            "--rules",
            &rules,
            "--input",
            "-",
            "--format",
            "json",
            "--until",
            "2026-10-01T09:00:00Z",
        ];
        let said = fed(&arguments, &failures("a1", &[0, 2, 4])).ended(OK);
        let lines = lines(&said);
        let names =
            lines.iter().filter(|line| line["effect"] == "ticket.opened" || line["effect"] == "notice.sent");
        names
            .map(|line| format!("{} {}", line["effect"].as_str().unwrap(), line["rule"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(opened("active", "active"), ["ticket.opened cause", "notice.sent cause"]);
    assert_eq!(opened("shadow", "shadow"), ["ticket.opened cause"]);
    assert_eq!(opened("active", "shadow"), ["ticket.opened cause", "notice.sent cause"]);
    assert_eq!(
        opened("shadow", "active"),
        ["ticket.opened cause", "ticket.opened symptom", "notice.sent symptom"]
    );
}

const FIRES: &str = "
  - name: three failures
    rule: repeated-topup-failures
    events:
      - { at: 0s, type: order.failed, account_id: a1, kind: topup, fault: channel, repeat: 3, every: 2m }
    expect:
      - { at: 4m, ticket: opened, subject: { account_id: a1 } }
      - { at: 4m, notice: topup_failing, account_id: a1 }
";
const QUIET: &str = "
  - name: two failures
    rule: repeated-topup-failures
    events: [{ at: 0s, type: order.failed, account_id: a1, kind: topup, fault: channel, repeat: 2, every: 2m }]
    expect: []
";

#[test]
fn tests_in_a_file_of_their_own_run_with_the_rules_that_it_names_or_that_lie_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    put("rules/rule.yaml", GOOD_RULE);
    let named = put("tests/named.yaml", &format!("rules: ../rules\ntests:{FIRES}{QUIET}"));
    let beside = put("rules/beside.yaml", &format!("tests:{FIRES}"));
    let together = put(
        "tests/together.yaml",
        &format!("tests:{}", QUIET.replace("rule: repeated-topup-failures", "with: []")),
    );
    let passed = "ok    repeated-topup-failures › three failures\n";
    let said = forewarn(&["test", &named]).ended(OK);
    assert_eq!(
        said.out,
        format!("{passed}ok    repeated-topup-failures › two failures\n\n2 tests, 0 failed\n")
    );
    assert_eq!(forewarn(&["test", &beside]).ended(OK).out, format!("{passed}\n1 test, 0 failed\n"));
    let rules = folder.path().join("rules").display().to_string();
    let said = forewarn(&["test", &rules, &together]).ended(OK);
    said.reports(&[
        "ok    repeated-topup-failures › three failures in ten minutes",
        "ok    all rules › two failures",
        "3 tests, 0 failed",
    ]);
    // The same document may follow the rule in its file.
    let both = put("both/both.yaml", &format!("{GOOD_RULE}---\ntests:{QUIET}"));
    forewarn(&["test", &both, "--run", "two"]).ended(OK).reports(&["1 test, 0 failed"]);
    // Where rules are run, tests beside them are nothing to run.
    fed(&["replay", "--rules", &rules, "--input", "-"], &events()).ended(OK);
}

#[test]
fn a_file_of_tests_that_cannot_be_run_says_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules/rule.yaml"), GOOD_RULE).unwrap();
    for (text, said) in [
        (format!("rules: rulez\ntests:{FIRES}"), &["tests.yaml:1:8", "rulez", "does not exist"][..]),
        (
            format!("rules: rules\ntests:{}", FIRES.replace("repeated-topup", "repeated-topups")),
            &[
                "tests.yaml:4:11",
                "there is no rule `repeated-topups-failures`",
                "did you mean `repeated-topup-failures`?",
            ],
        ),
        (
            format!("rules: rules\ntests:{}", FIRES.replace("events:", "event:")),
            &["tests.yaml:", "a test has no field `event`"],
        ),
        (
            format!("rules: rules\nowner: me\ntests:{FIRES}"),
            &["tests.yaml:2:1", "a file of tests has no field `owner`"],
        ),
        (
            format!("rules: rules\ntests:{FIRES}{FIRES}"),
            &["another test of this rule is named `three failures` too"],
        ),
    ] {
        let path = folder.path().join("tests.yaml");
        fs::write(&path, text).unwrap();
        forewarn(&["test", path.to_str().unwrap()]).ended(FAILED).reports(said);
    }
}

#[test]
fn tests_in_files_of_their_own_count_where_a_rule_needs_tests() {
    let (head, _) = GOOD_RULE.split_once("tests:").unwrap();
    let (folder, rule) = written("rule.yaml", head);
    let check = |code| forewarn(&["check", "--deny-warnings", &rule]).ended(code);
    check(LINT).reports(&["has no tests"]);
    fs::write(folder.path().join("rule-tests.yaml"), format!("tests:{FIRES}")).unwrap();
    check(LINT).reports(&["no test in which it stays quiet"]);
    fs::write(folder.path().join("rule-tests.yaml"), format!("tests:{FIRES}{QUIET}")).unwrap();
    check(OK);
    // A file that is wrong is told where it is asked for, and counts for nothing.
    let broken = folder.path().join("rule-tests.yaml");
    fs::write(&broken, format!("tests:{}{QUIET}", FIRES.replace("repeated", "repeeted"))).unwrap();
    check(LINT).reports(&["has no tests"]);
    forewarn(&["check", &rule, broken.to_str().unwrap()])
        .ended(FAILED)
        .reports(&["there is no rule `repeeted-topup-failures`"]);
}

#[test]
fn junit_holds_a_suite_for_each_file_and_rule_and_a_failure_with_its_course() {
    let (folder, rule) = written("rule.yaml", GOOD_RULE);
    let failing = FIRES.replace("at: 4m, ticket", "at: 5m, ticket");
    fs::write(folder.path().join("more.yaml"), format!("tests:{failing}")).unwrap();
    let report = folder.path().join("results.xml");
    let more = folder.path().join("more.yaml");
    let call = ["test", &rule, more.to_str().unwrap(), "--junit", report.to_str().unwrap()];
    forewarn(&call)
        .ended(FAILED)
        .reports(&["FAIL  repeated-topup-failures › three failures", "nearly: at 4m, not 5m"]);
    let xml = fs::read_to_string(&report).unwrap();
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"2\" failures=\"1\">",
        "<testsuite name=\"repeated-topup-failures\" tests=\"1\" failures=\"0\"",
        "<testsuite name=\"repeated-topup-failures\" tests=\"1\" failures=\"1\"",
        "more.yaml\" line=\"2\">\n      <failure message=\"expected, and did not happen: ",
        "nearly: at 4m, not 5m",
    ] {
        assert!(xml.contains(part), "{part:?} is missing in:\n{xml}");
    }
    assert_eq!(xml.matches("<testcase ").count(), 2);
    assert_eq!(xml.matches("</testsuite>").count(), 2);
}
