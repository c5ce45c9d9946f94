//! Rule files that are wrong in every way that authors and tools have: each is answered with the file, the line, a mark under
//! what is wrong and words about it, soon, and never by falling over.

use std::fs;
use std::time::Duration;

use assert_cmd::Command;

/// A rule that is sound but for what is put in place of a line.
const SOUND: &str = "name: x\ntopics: orders\nowner: o\nwhere: 'kind == \"topup\"'\ngroup_by: [account_id]\ndetect: { kind: frequency, at_least: 3, window: 10m }\n";

/// What `check` says of one file, called `x.yaml`.
fn said(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.yaml"), bytes).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["check", "x.yaml"])
        .current_dir(folder.path())
        .env_clear()
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert!(err.is_empty(), "{err}");
    out
}

/// Each error of an answer: its words, its place, and whether a mark is under something.
fn errors(said: &str) -> Vec<(String, String, bool)> {
    let blocks = said.split("\n\n").filter(|block| block.starts_with("error: "));
    let read = |block: &str| {
        let place = block.lines().nth(1).unwrap_or_default().trim().trim_start_matches("--> ").to_owned();
        let is_mark = |line: &str| line.trim_start().starts_with("| ") && line.ends_with('^');
        (block.to_owned(), place, block.lines().any(is_mark))
    };
    blocks.map(read).collect()
}

fn with(line: &str, other: &str) -> String {
    let begin = SOUND.lines().find(|known| known.starts_with(line)).unwrap();
    SOUND.replace(begin, other)
}

/// One rule with another one's findings in it.
fn hearing(name: &str, other: &str) -> String {
    format!(
        "name: {name}\ntopics: orders\ndetect:\n  kind: sequence\n  within: 1h\n  steps:\n    - {{ name: one, finding: {other} }}\n    - {{ name: two, when: 'type == \"order.paid\"' }}\n---\n"
    )
}

fn correlating(name: &str, other: &str) -> String {
    format!(
        "name: {name}\ntopics: orders\ndetect: {{ kind: correlation, of: [{other}], type: event_count, window: 1h, at_least: 2 }}\n---\n"
    )
}

fn covered(name: &str, other: &str) -> String {
    format!(
        "name: {name}\ntopics: orders\ngroup_by: [account_id]\ndetect: {{ kind: frequency, at_least: 3, window: 10m }}\nincident: {{ covered_by: [{other}] }}\n---\n"
    )
}

#[test]
fn every_bad_rule_is_answered_with_its_place_and_a_mark() {
    let circle = |make: fn(&str, &str) -> String| make("a", "b") + &make("b", "c") + &make("c", "a");
    let bomb = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("{text}a{level}: &a{level} [{inner}]\n")
    });
    let place = "events of this rule have no field of the subject of `places`";
    let places =
        "name: places\ntopics: logins\ngroup_by: [geo.country]\ndetect: { kind: flatline, window: 5m }\n";
    for (text, at, message) in [
        (with("topics", "topics: 7"), "2:9", "expected orders, logins, catalog or feedback, found `7`"),
        (
            with("topics", "topics: { orders: true }"),
            "2:9",
            "expected orders, logins, catalog or feedback, found a map",
        ),
        (with("owner", "owner: [a, b]"), "3:8", "expected a team or a person, found a list"),
        (with("detect", "detect: frequency"), "6:9", "expected the fields of `detect`, found `frequency`"),
        (
            with("detect", "detect: { kind: frequency, at_least: three, window: 10m }"),
            "6:38",
            "expected a whole number",
        ),
        (
            with("detect", "detect: { kind: frequency, at_least: 3, window: 10 }"),
            "6:49",
            "expected a duration",
        ),
        (with("group_by", "group_by: account_id: x"), "5:21", "this is not YAML"),
        (with("owner", "ownner: o"), "3:1", "a rule has no field `ownner`"),
        (
            with("detect", "detect: { kind: frequency, at_least: 3, windov: 10m }"),
            "6:41",
            "a frequency has no field `windov`",
        ),
        (with("where", "where:"), "4:6", "expected a condition in single quotes, found nothing"),
        (with("where", "where: ~"), "4:8", "expected a condition in single quotes, found nothing"),
        (with("where", "where: !not kind == 1"), "4:8", "YAML reads `!not` as a tag"),
        (with("where", "where: kind == 1"), "4:8", "a condition stands in single quotes"),
        (with("where", "where: 'kind = \"topup\"'"), "4:14", "`=` is written `==` here"),
        (with("where", "where: 'kin == \"topup\"'"), "4:9", "unknown field `kin`"),
        (circle(covered), "5:26", "rules cover each other in a circle"),
        (circle(hearing), "1:7", "`b` hears `a` itself, directly or not"),
        (circle(correlating), "1:7", "rules hear each other's findings in a circle"),
        (covered("a", "a"), "5:26", "rules cover each other in a circle"),
        (hearing("a", "a"), "1:7", "a rule can't hear itself"),
        (format!("{}{places}", covered("a", "places")), "5:26", place),
        (format!("{SOUND}---\n{SOUND}"), "8:7", "another rule is named `x` too"),
        (
            with("detect", "detect: { kind: reconcile, check: many_keys, within: 10m }"),
            "5:11",
            "the check many_keys is about `order_id` alone",
        ),
        (
            format!("x: {}{}", "[".repeat(5_000), "]".repeat(5_000)),
            "1:52",
            "this is nested more than 48 deep",
        ),
        (
            (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
            "49:49",
            "this is nested more than 48 deep",
        ),
        (bomb, "5:20", "aliases unfold this file to more than 50000 values"),
        ("- x\n".repeat(100_000), "1:1", "expected the fields of a rule, found a list"),
        (
            format!("{SOUND}{}", "# nothing\n".repeat(100_000)) + "detect: 7\n",
            "100007:1",
            "`detect` is given twice",
        ),
        ("{{{{".to_owned(), "1:4", "this is not YAML: unclosed bracket"),
        (
            format!("where: '{}'\n{SOUND}", "(".repeat(4_000)),
            "1:41",
            "the condition is nested more than 32 deep",
        ),
        (
            with("where", &format!("where: 'kind == \"{}\"'", "x".repeat(20_000))),
            "4:9",
            "the condition is 20010 bytes long; at most 8192 are allowed",
        ),
    ] {
        let begin: String = text.chars().take(400).collect();
        let said = said(text.as_bytes());
        let errors = errors(&said);
        let shown: String = said.chars().take(2_000).collect();
        println!("{shown}\n");
        let found = errors
            .iter()
            .find(|(said, place, _)| said.contains(message) && place.starts_with(&format!("x.yaml:{at}")));
        assert!(found.is_some(), "expected {at} {message:?} of\n{begin}\n{shown}");
        assert!(found.unwrap().2, "without a mark: {shown}");
        assert!(errors.len() <= 100, "{} errors", errors.len());
    }
}

#[test]
fn what_is_no_text_is_answered_with_the_line_where_it_begins() {
    let bytes = [SOUND.as_bytes(), b"# \xff\xfe\n"].concat();
    let all = errors(&said(&bytes));
    let [(message, place, true)] = all.as_slice() else { panic!("{all:?}") };
    assert!(message.starts_with("error: the file is not UTF-8 from here on"), "{message}");
    assert_eq!(place, "x.yaml:7:3");
    let empty = errors(&said(b"# no rule\n"));
    assert_eq!(empty[0].0, "error: no rule was found in 1 rule file");
}
