//! Silences, as their author uses them: what they cover opens no ticket and tells nobody, and a wrong file says where.

use serde_json::Value;

use crate::cli::{FAILED, GOOD_RULE, OK, Said, fed, forewarn, written};
use crate::replay::{failures, lines};

/// A silence of `matched` that ends at this minute and second after eight.
fn silence(matched: &str, until: &str) -> String {
    format!(
        "- match: {matched}\n  from: 2026-10-01T08:00:00Z\n  until: 2026-10-01T08:{until}Z\n  reason: \
         maintenance\n  author: li\n"
    )
}

fn replayed(silences: &str, events: &str) -> Vec<Value> {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let (_silences, file) = written("silences.yaml", silences);
    let arguments = ["replay", "--rules", &rules, "--silences", &file, "--input", "-", "--format", "json"];
    lines(&fed(&arguments, events).ended(OK))
}

fn effects(lines: &[Value]) -> Vec<String> {
    let said = |line: &Value| {
        Some(format!(
            "{} {} {}",
            line["at"].as_str()?,
            line["effect"].as_str()?,
            line["subject"]["account_id"]
        ))
    };
    lines.iter().filter_map(said).collect()
}

#[test]
fn what_a_silence_covers_opens_no_ticket_and_tells_nobody() {
    let events = failures("a1", &[0, 2, 4]) + &failures("a2", &[5, 6, 7]);
    let lines = replayed(&silence("{ rule: repeated-topup-failures, account_id: a1 }", "30:00"), &events);
    let expected = [r#"2026-10-01T08:07:00Z ticket.opened "a2""#, r#"2026-10-01T08:07:00Z notice.sent "a2""#];
    assert_eq!(effects(&lines), expected);
    assert_eq!(lines.last().unwrap()["summary"]["silenced"], 1);
    for all in ["{ rule: repeated-topup-failures }", "{ account_id: a1 }"] {
        let lines = replayed(&silence(all, "30:00"), &failures("a1", &[0, 2, 4]));
        assert_eq!(effects(&lines), Vec::<String>::new(), "{all}");
    }
}

#[test]
fn a_silence_ends_just_before_its_last_moment() {
    let lines = replayed(&silence("{ account_id: a1 }", "04:00"), &failures("a1", &[0, 2, 4]));
    assert_eq!(effects(&lines).len(), 2, "{lines:?}");
    let lines = replayed(&silence("{ account_id: a1 }", "04:01"), &failures("a1", &[0, 2, 4]));
    assert_eq!(effects(&lines).len(), 0, "{lines:?}");
}

#[test]
fn what_goes_on_after_a_silence_opens_with_the_history_that_it_has() {
    let lines = replayed(&silence("{ account_id: a1 }", "05:00"), &failures("a1", &[0, 2, 4, 6]));
    assert_eq!(effects(&lines)[0], r#"2026-10-01T08:06:00Z ticket.opened "a1""#);
    assert_eq!(lines[0]["since"], "2026-10-01T08:04:00Z", "found first while it was silenced");
    assert_eq!(lines[0]["value"], 4);
}

#[test]
fn what_was_open_before_stays_open_and_what_ended_is_not_reopened() {
    // The silence begins at 08:00, the ticket opens at 07:58; its condition clears, and comes back silenced.
    let early = |minutes: &[u32]| failures("a1", minutes).replace("T08:", "T07:").replace("a1-", "a1-early-");
    let events = early(&[50, 54, 58]) + &failures("a1", &[30, 31, 32]);
    let said = effects(&replayed(&silence("{ account_id: a1 }", "50:00"), &events));
    let steps: Vec<&str> = said.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(steps, ["ticket.opened", "notice.sent", "ticket.resolved"], "{said:?}");
    let unsilenced = effects(&replayed(&silence("{ account_id: other }", "50:00"), &events));
    assert!(unsilenced.iter().any(|line| line.contains("ticket.reopened")), "{unsilenced:?}");
}

#[test]
fn an_explanation_says_who_asked_for_the_silence_and_why() {
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    let (_silences, file) = written("silences.yaml", &silence("{ account_id: a1 }", "30:00"));
    let arguments =
        ["replay", "--rules", &rules, "--silences", &file, "--input", "-", "--explain", "account_id=a1"];
    let said: Said = fed(&arguments, &failures("a1", &[0, 2, 4])).ended(OK);
    said.reports(&[
        "is silenced: no ticket opens, nobody is told",
        "no ticket for what was found at 2026-10-01T08:04:00Z: silenced until 2026-10-01T08:30:00Z by li: maintenance",
    ]);
}

#[test]
fn tests_take_silences_too() {
    let dated = GOOD_RULE.replace("at: 0s, type", "time: 2026-10-01T08:00:00Z, type");
    let quiet = format!("{}    expect: []\n", dated.split("    expect:").next().unwrap());
    let (_rules, rules) = written("rule.yaml", &quiet);
    forewarn(&["test", &rules]).ended(FAILED);
    let (_silences, file) = written("silences.yaml", &silence("{ rule: repeated-topup-failures }", "30:00"));
    forewarn(&["test", &rules, "--silences", &file]).ended(OK);
}

#[test]
fn a_wrong_file_says_where_and_what_was_expected() {
    let good = silence("{ rule: repeated-topup-failures }", "30:00");
    let (_rules, rules) = written("rule.yaml", GOOD_RULE);
    for (text, words) in [
        (
            good.replace("repeated-", "repaeted-"),
            &["silences.yaml:1:18", "there is no rule", "repeated-topup-failures"] as &[&str],
        ),
        (good.replace("match:", "mach:"), &["silences.yaml:1:3", "match"]),
        (
            good.replace("{ rule: repeated-topup-failures }", "{ channel: alipay }"),
            &["silences.yaml:1:12", "`channel` is not a field", "account_id"],
        ),
        (
            good.replace("{ rule: repeated-topup-failures }", "{}"),
            &["silences.yaml:1:10", "expected a rule or a field"],
        ),
        (
            good.replace("2026-10-01T08:30:00Z", "tomorrow"),
            &["silences.yaml:3:10", "expected a time such as"],
        ),
        (
            good.replace("T08:30:00Z", "T07:30:00Z"),
            &["silences.yaml:3:10", "expected a time after its start"],
        ),
        (good.replace("  author: li\n", ""), &["silences.yaml:1:3", "a silence has no `author`"]),
        ("match: {}\n".to_owned(), &["silences.yaml:1:1", "expected a list of silences"]),
        ("- match: [\n".to_owned(), &["silences.yaml:"]),
    ] {
        let (_silences, file) = written("silences.yaml", &text);
        let arguments = ["replay", "--rules", &rules, "--silences", &file, "--input", "-"];
        fed(&arguments, "").ended(FAILED).names(words);
        forewarn(&["test", &rules, "--silences", &file]).ended(FAILED).names(words);
    }
    fed(&["replay", "--rules", &rules, "--silences", "/nowhere.yaml", "--input", "-"], "")
        .ended(FAILED)
        .names(&["/nowhere.yaml"]);
}

const CHANNEL_RULE: &str = r#"name: channel-failing
summary: A channel fails
topics: orders
group_by: [channel]
detect: { kind: ratio, of: 'type == "order.failed"', among: 'type in ["order.paid", "order.failed"]', above: 30%, window: 2m, min_samples: 8, confidence: 0% }
for: 3m
notice: { template: channel_trouble, to: affected }
"#;

/// A payment every ten seconds from 07:50 to 08:30, each of another account; all fail from 07:58 to 08:20.
fn failing_channel() -> String {
    let payment = |number: u32| {
        let seconds = 7 * 3_600 + 50 * 60 + number * 10;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let failed = (48..180).contains(&number);
        let (kind, code) =
            if failed { ("failed", r#","error_code":"CHANNEL_TIMEOUT""#) } else { ("paid", "") };
        format!(
            r#"{{"id":"p{number}","type":"order.{kind}","time":"2026-10-01T{hour:02}:{minute:02}:{second:02}Z","account_id":"a{number}","order_id":"o{number}","channel":"alipay"{code}}}
"#
        )
    };
    (0..240).map(payment).collect()
}

fn channel_effects(from: &str, until: &str) -> Vec<(String, String)> {
    let (_rules, rules) = written("rule.yaml", CHANNEL_RULE);
    let silence = silence("{ channel: alipay }", "00:00")
        .replace("2026-10-01T08:00:00Z\n  until", &format!("2026-10-01T{from}Z\n  until"))
        .replace("until: 2026-10-01T08:00:00Z", &format!("until: 2026-10-01T{until}Z"));
    let (_silences, file) = written("silences.yaml", &silence);
    let arguments = ["replay", "--rules", &rules, "--silences", &file, "--input", "-", "--format", "json"];
    let said = lines(&fed(&arguments, &failing_channel()).ended(OK));
    let effect =
        |line: &Value| Some((line["effect"].as_str()?.to_owned(), line["at"].as_str()?[11..16].to_owned()));
    said.iter().filter_map(effect).collect()
}

#[test]
fn what_has_lasted_through_a_silence_opens_when_it_ends_without_waiting_anew() {
    let opened = |effects: &[(String, String)]| {
        effects.iter().find(|(effect, _)| effect == "ticket.opened").map(|(_, at)| at.clone())
    };
    assert_eq!(opened(&channel_effects("05:00:00", "06:00:00")).as_deref(), Some("08:01"));
    assert_eq!(opened(&channel_effects("07:50:00", "08:10:00")).as_deref(), Some("08:10"));
    assert_eq!(opened(&channel_effects("07:50:00", "09:00:00")), None);
}

#[test]
fn who_meets_an_open_trouble_during_a_silence_is_not_told() {
    let told = |effects: &[(String, String)], from: &str, until: &str| {
        let sent = effects.iter().filter(|(effect, _)| effect == "notice.sent");
        sent.filter(|(_, at)| (from..until).contains(&at.as_str())).count()
    };
    let without = channel_effects("05:00:00", "06:00:00");
    assert_eq!(told(&without, "08:05", "08:10"), 30, "{without:?}");
    let with = channel_effects("08:05:00", "08:10:00");
    assert_eq!(told(&with, "08:05", "08:10"), 0, "{with:?}");
    assert_eq!(told(&with, "00:00", "08:05"), told(&without, "00:00", "08:05"));
    assert_eq!(told(&with, "08:10", "08:20"), told(&without, "08:10", "08:20"));
}

#[test]
fn a_test_may_have_silences_of_its_own() {
    let silenced = |until: &str| {
        GOOD_RULE.replacen(
            "    events:",
            &format!(
                "    silences: [{{ match: {{ account_id: a1 }}, from: 0s, until: {until} }}]\n    events:"
            ),
            1,
        )
    };
    for (until, code) in [("5m", FAILED), ("10s", OK)] {
        let (_rules, rules) = written("rule.yaml", &silenced(until));
        forewarn(&["test", &rules]).ended(code);
    }
}
