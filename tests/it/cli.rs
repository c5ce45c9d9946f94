//! The command line as scripts see it: data on stdout, everything else on stderr, and the exit code. Whatever needs a
//! broker is tested end to end; this is what can be tried on any machine.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

pub const OK: i32 = 0;
pub const FAILED: i32 = 1;
pub const USAGE: i32 = 2;
pub const LINT: i32 = 3;

pub const GOOD_RULE: &str = r#"name: repeated-topup-failures
summary: An account keeps failing to top up
owner: payments
topics: orders
where: 'kind == "topup"'
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed" and fault != "customer"', at_least: 3, window: 10m }
incident: { wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
notice: { template: topup_failing, to: account }
tests:
  - name: three failures in ten minutes
    events:
      - { at: 0s, type: order.failed, account_id: a1, kind: topup, channel: alipay, error_code: CHANNEL_TIMEOUT, repeat: 3, every: 2m }
    expect:
      - { at: 4m, ticket: opened, subject: { account_id: a1 } }
      - { at: 4m, notice: topup_failing, account_id: a1 }
"#;

/// What a call said and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// What was said on either stream: the findings of `check` and `test` are their data.
    #[track_caller]
    pub fn reports(self, words: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        for word in words {
            assert!(all.contains(word), "{word:?} is missing in:\n{all}");
        }
        self
    }

    #[track_caller]
    pub fn names(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.err.contains(word),
                "{word:?} is missing in stderr:\n{}\nstdout:\n{}",
                self.err,
                self.out
            );
        }
        self
    }
}

pub fn forewarn(arguments: &[&str]) -> Said {
    fed(arguments, "")
}

pub fn fed(arguments: &[&str], input: &str) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(arguments)
        .env_clear()
        .write_stdin(input)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with one file; the folder goes when the value does.
pub fn written(name: &str, text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn every_verb_explains_itself_with_examples() {
    let mut seen = 0;
    let mut waiting: Vec<Vec<String>> = verbs_of(&[]);
    while let Some(verb) = waiting.pop() {
        let mut arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
        waiting.extend(verbs_of(&arguments));
        arguments.push("--help");
        let said = forewarn(&arguments).ended(OK);
        let example = format!("\n  forewarn {}", verb.join(" "));
        assert!(said.out.contains("\nExamples:\n") && said.out.contains(&example), "{verb:?}:\n{}", said.out);
        assert!(said.err.is_empty(), "{verb:?}: {}", said.err);
        seen += 1;
    }
    assert!(seen >= 17, "{seen} verbs");
}

/// The verbs below the given ones, as their help lists them.
fn verbs_of(above: &[&str]) -> Vec<Vec<String>> {
    let said = forewarn(&[above, &["--help"]].concat()).ended(OK);
    let listed = said.out.lines().skip_while(|line| *line != "Commands:").skip(1);
    // Wrapped descriptions begin further right than names do.
    let named = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    let path = |name: &str| above.iter().copied().chain([name]).map(str::to_owned).collect();
    // `help` is explained by all the others.
    names.filter(|name| *name != "help").map(path).collect()
}

#[test]
fn a_wrong_call_is_a_usage_error_on_stderr() {
    for arguments in [&["nonsense"] as &[&str], &["replay"], &["replay", "--nonsense"], &["ticket"], &[]] {
        let said = forewarn(arguments).ended(USAGE);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{arguments:?}: {}", said.out);
    }
}

#[test]
fn replay_prints_one_effect_a_line_and_a_summary_last() {
    let (_rules, rule) = written("rule.yaml", GOOD_RULE);
    let events: String = (0..3)
        .map(|number| {
            format!(
                r#"{{"id":"e{number}","type":"order.failed","time":"2026-10-01T08:0{number}:00Z","account_id":"a1","order_id":"o{number}","kind":"topup","channel":"alipay","error_code":"CHANNEL_TIMEOUT"}}
"#
            )
        })
        .collect();
    let input = format!("{events}not an event\n");
    let said = fed(&["replay", "--rules", &rule, "--input", "-", "--format", "json"], &input).ended(OK);
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let effects: Vec<&str> = lines.iter().filter_map(|line| line["effect"].as_str()).collect();
    assert_eq!(effects, ["ticket.opened", "notice.sent"], "{}", said.out);
    let opened = &lines[0];
    assert_eq!(opened["at"], "2026-10-01T08:02:00Z");
    assert_eq!(opened["since"], "2026-10-01T08:02:00Z");
    assert_eq!(opened["subject"]["account_id"], "a1");
    for field in ["id", "incident", "rule", "severity", "value", "limit", "samples", "affected"] {
        assert!(!opened[field].is_null(), "{field} is missing in {opened}");
    }
    assert_eq!(opened["incident"], lines[1]["incident"]);
    let summary = &lines[2]["summary"];
    assert_eq!(summary["events"].as_u64(), Some(3), "{summary}");
    assert_eq!(summary["rejected"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(), 1);
    assert_eq!(summary["effects"]["notice.sent"], 1);
}

#[test]
fn replay_says_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world").display().to_string();
    forewarn(&["simulate", "--seed", "5", "--days", "1", "--accounts", "500", "--out", &world]).ended(OK);
    let (_rules, rule) = written("rule.yaml", GOOD_RULE);
    let events = format!("{world}/events.jsonl");
    let replay =
        || forewarn(&["replay", "--rules", &rule, "--input", &events, "--format", "json"]).ended(OK).out;
    let first = replay();
    assert!(first.contains(r#""summary""#));
    assert_eq!(first, replay());
}

#[test]
fn simulate_writes_the_same_world_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let out = folder.path().join(name).display().to_string();
        forewarn(&["simulate", "--seed", "9", "--days", "1", "--accounts", "300", "--out", &out]).ended(OK);
        ["events.jsonl", "customers.jsonl", "truth.json"]
            .map(|file| fs::read(format!("{out}/{file}")).unwrap())
    };
    assert!(read("one") == read("two"));
}

#[test]
fn a_missing_input_is_named() {
    let (_rules, rule) = written("rule.yaml", GOOD_RULE);
    let said = forewarn(&["replay", "--rules", &rule, "--input", "/nowhere/events.jsonl"]).ended(FAILED);
    said.names(&["/nowhere/events.jsonl"]);
}

#[test]
fn a_good_rule_passes_check_and_its_tests_run() {
    let (_rules, rule) = written("rule.yaml", GOOD_RULE);
    forewarn(&["check", &rule]).ended(OK);
    let said = forewarn(&["test", &rule]).ended(OK);
    assert!(said.out.contains("three failures in ten minutes") || said.out.contains('1'), "{}", said.out);
}

#[test]
fn a_failing_test_shows_the_place_in_the_file() {
    let (_rules, rule) = written("rule.yaml", &GOOD_RULE.replace("at: 4m, ticket", "at: 5m, ticket"));
    let said = forewarn(&["test", &rule]).ended(FAILED);
    let all = format!("{}{}", said.out, said.err);
    let line = GOOD_RULE.lines().position(|line| line.contains("ticket: opened")).unwrap() + 1;
    assert!(all.contains(&format!("rule.yaml:{line}")), "{all}");
    assert!(all.contains("three failures in ten minutes"), "{all}");
}

#[test]
fn an_error_in_a_rule_shows_file_line_column_and_the_nearest_name() {
    for (right, wrong, nearest) in [
        ("at_least: 3", "at_leest: 3", "at_least"),
        (r#"kind == "topup"#, r#"knd == "topup"#, "kind"),
        ("order.failed", "order.faild", "order.failed"),
        ("kind: frequency", "kind: frequenzy", "frequency"),
    ] {
        let (_rules, rule) = written("rule.yaml", &GOOD_RULE.replacen(right, wrong, 1));
        let said = forewarn(&["check", &rule]).ended(FAILED);
        let line = GOOD_RULE.lines().position(|line| line.contains(right)).unwrap() + 1;
        said.reports(&[&format!("rule.yaml:{line}:"), "^", nearest]);
    }
}

#[test]
fn check_takes_a_rule_from_stdin_and_no_rule_is_a_failure() {
    fed(&["check", "-"], GOOD_RULE).ended(OK);
    let empty = tempfile::tempdir().unwrap();
    let said = forewarn(&["check", "--rules", &empty.path().display().to_string()]).ended(FAILED);
    said.reports(&["no rule"]);
}

#[test]
fn warnings_alone_are_well_unless_they_are_denied() {
    let (_rules, rule) =
        written("rule.yaml", GOOD_RULE.replace("tests:", "unused:").split("unused:").next().unwrap());
    forewarn(&["check", &rule]).ended(OK).reports(&["warning"]);
    forewarn(&["check", "--deny-warnings", &rule]).ended(LINT).reports(&["warning"]);
}

#[test]
fn the_example_configuration_is_the_one_in_the_repository_and_is_valid() {
    let said = forewarn(&["config", "example"]).ended(OK);
    let kept = fs::read_to_string(crate::source::repository().join("deploy/forewarn.toml")).unwrap();
    assert!(said.out == kept, "`forewarn config example > deploy/forewarn.toml` brings it up to date");
}

#[test]
fn a_wrong_configuration_names_file_and_key() {
    for (text, words) in [
        ("[kafka]\nbrokrs = [\"127.0.0.1:9092\"]\n", &["brokrs", "brokers"] as &[&str]),
        ("[kafka]\nworkers = \"many\"\n", &["kafka.workers"]),
        ("[nonsense]\n", &["nonsense"]),
        (
            "[smtp]\nhost = \"h\"\nfrom = \"a@b.c\"\nuser = \"u\"\npassword_file = \"/nowhere/secret\"\n",
            &["/nowhere/secret", "password_file"],
        ),
    ] {
        let (_folder, path) = written("forewarn.toml", text);
        let said = forewarn(&["config", "show", "-c", &path]).ended(FAILED);
        said.names(&["forewarn.toml"]).names(words);
    }
}

#[test]
fn secrets_are_not_shown() {
    let (_secret_folder, secret) = written("password", "hunter2\n");
    let inline = "password = \"hunter2\"".to_owned();
    for (password, shown) in [(inline, "***".to_owned()), (format!("password_file = \"{secret}\""), secret)] {
        let text = format!("[smtp]\nhost = \"h\"\nfrom = \"a@b.c\"\nuser = \"u\"\n{password}\n");
        let (_folder, path) = written("forewarn.toml", &text);
        let said = forewarn(&["config", "show", "-c", &path]).ended(OK);
        assert!(said.out.contains(&shown) && !said.out.contains("hunter2"), "{}", said.out);
    }
}

#[test]
fn version_names_itself_for_people_and_for_scripts() {
    assert!(forewarn(&["version"]).ended(OK).out.starts_with("forewarn "));
    let said = forewarn(&["version", "--format", "json"]).ended(OK);
    let version: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_files_that_rules_name_are_looked_for_beside_them() {
    let rule = r#"name: blocked
topics: logins
detect: { kind: list, field: ip, in: file("lists/blocked.txt") }
tests:
  - name: an address on the list
    events:
      - { at: 0s, type: login.succeeded, account_id: a1, ip: 10.1.2.3 }
      - { at: 0s, type: login.succeeded, account_id: a2, ip: 11.1.2.3 }
    expect:
      - { at: 0s, ticket: opened, subject: { account_id: a1 } }
---
name: payee-changed-from-there
topics: logins
where: 'type == "account.payee_changed" and ip in file("lists/blocked.txt")'
detect: { kind: any }
tests:
  - name: an address on the list
    events:
      - { at: 0s, type: account.payee_changed, account_id: a1, ip: 10.1.2.3 }
      - { at: 0s, type: account.payee_changed, account_id: a2, ip: 11.1.2.3 }
    expect:
      - { at: 0s, ticket: opened, subject: { account_id: a1 } }
---
name: channel-silent
topics: orders
group_by: [channel]
detect: { kind: flatline, window: 15m, expect: file("lists/channels.txt") }
tests:
  - name: one of the two that are expected
    events:
      - { at: 0s, type: order.paid, account_id: a1, channel: alipay, repeat: 30, every: 60s }
    expect:
      - { ticket: opened, subject: { channel: wechat } }
"#;
    let (folder, path) = written("blocked.yaml", rule);
    forewarn(&["check", &path])
        .ended(FAILED)
        .reports(&["cannot read lists/blocked.txt", "blocked.yaml:3:38"]);
    let lists = folder.path().join("lists");
    fs::create_dir_all(lists.join("blocked.txt")).unwrap();
    fs::write(lists.join("channels.txt"), "alipay\nwechat\n").unwrap();
    forewarn(&["check", &path]).ended(FAILED).reports(&["it is not a file", "blocked.yaml:14:51"]);
    fs::remove_dir(lists.join("blocked.txt")).unwrap();
    fs::write(lists.join("blocked.txt"), "# networks\n10.0.0.0/8\n").unwrap();
    forewarn(&["check", &path]).ended(OK);
    forewarn(&["test", &path]).ended(OK);
    forewarn(&["test", &folder.path().display().to_string()]).ended(OK);
}
