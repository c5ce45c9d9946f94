//! The documentation of rules: each example in it that is a whole rule loads, and does what its own tests say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use assert_cmd::Command;
use forewarn::core::rule::parse::schema;

use crate::source::repository;

/// Kinds whose section carries a whole rule with tests.
const SHOWN: [&str; 15] = [
    "any",
    "list",
    "change",
    "cardinality",
    "metric",
    "reconcile",
    "spike",
    "sequence",
    "correlation",
    "frequency",
    "ratio",
    "deadline",
    "flatline",
    "new_term",
    "travel",
];

/// The YAML blocks of the page that are rules with tests, by the name of the rule.
pub fn examples() -> BTreeMap<String, String> {
    let page = fs::read_to_string(repository().join("docs/rules.md")).unwrap();
    let blocks =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(yaml, _)| yaml);
    let rules = blocks.filter(|yaml| yaml.starts_with("name: ") && yaml.contains("\ntests:\n"));
    let named = |yaml: &str| (yaml["name: ".len()..].lines().next().unwrap().to_owned(), yaml.to_owned());
    rules.map(named).collect()
}

/// The calendars that the examples name, as the page shows them.
pub fn calendars() -> String {
    let page = fs::read_to_string(repository().join("docs/rules.md")).unwrap();
    let (_, calendars) = page.split_once("```toml\n[calendars").unwrap();
    format!("[calendars{}", calendars.split_once("```").unwrap().0)
}

#[test]
fn every_whole_rule_of_the_documentation_passes_its_tests_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let examples = examples();
    let config = folder.path().join("forewarn.toml");
    fs::write(&config, calendars()).unwrap();
    for (name, yaml) in &examples {
        fs::write(folder.path().join(format!("{name}.yaml")), yaml).unwrap();
    }
    for arguments in [&["check", "--deny-warnings", "--offline"] as &[&str], &["test"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .arg("-c")
            .arg(&config)
            .arg(folder.path())
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn the_section_of_a_kind_shows_a_rule_that_fires_and_one_that_keeps_quiet() {
    let mut shown = BTreeSet::new();
    for (name, yaml) in examples() {
        assert!(yaml.contains("ticket: opened") && yaml.contains("expect: []"), "{name}:\n{yaml}");
        let (_, kind) = yaml.split_once("kind: ").unwrap();
        shown.insert(kind.split([',', ' ', '\n']).next().unwrap().to_owned());
    }
    let missing: Vec<&str> = SHOWN.into_iter().filter(|kind| !shown.contains(*kind)).collect();
    assert!(missing.is_empty(), "kinds without an example in docs/rules.md: {missing:?}");
}

/// The words of a text that stand in code, between backticks or in a block.
fn code_words(text: &str) -> BTreeSet<&str> {
    let (blocks, prose): (Vec<_>, Vec<_>) =
        text.split("```").enumerate().partition(|(place, _)| place % 2 == 1);
    let spans = prose.into_iter().flat_map(|(_, prose)| prose.split('`').skip(1).step_by(2));
    let code = blocks.into_iter().map(|(_, block)| block).chain(spans);
    code.flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect()
}

#[test]
fn every_field_that_the_schema_knows_is_explained() {
    let page = fs::read_to_string(repository().join("docs/rules.md")).unwrap();
    let sections: BTreeMap<&str, &str> = page
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once("\n## ").map_or(section, |(section, _)| section))
        .filter_map(|section| Some((section.split_once(':')?.0, section)))
        .collect();
    let schema: serde_json::Value = serde_json::from_str(&schema::rules().to_string()).unwrap();
    let (mut missing, mut fields) = (Vec::new(), 0);
    for (map, definition) in schema["$defs"].as_object().unwrap() {
        let Some(properties) = definition["properties"].as_object() else { continue };
        // What stands inside of a kind is explained with it, what every rule has anywhere.
        let section = match map.as_str() {
            "pair" => "metric",
            "step" | "distinct" | "times" => "sequence",
            map => map,
        };
        let words = code_words(sections.get(section).copied().unwrap_or(&page));
        fields += properties.len();
        let unnamed = properties.keys().filter(|field| !words.contains(field.as_str()));
        missing.extend(unnamed.map(|field| format!("{map}.{field}")));
    }
    assert!(SHOWN.iter().all(|kind| sections.contains_key(kind)) && fields > 150, "{fields} fields");
    assert!(missing.is_empty(), "not in docs/rules.md: {missing:?}");
}
