//! The rule language by example: what its description shows can be loaded, or is answered with "not yet" where it is for
//! later. Each file in `language/` is an example of one section, completed where that shows a fragment only.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use forewarn::core::calendar::{Calendars, Written};
use forewarn::core::rule::RuleSet;
use forewarn::core::rule::parse::{LoadOptions, LoadedRule, RuleError, check_set, load, silences};

use crate::source::repository;

/// What the language names and this version does not have.
const NOT_YET: [&str; 7] = [
    "a learned limit",
    "the kind `baseline`",
    "the kind `login_risk`",
    "`greedy`",
    "`to_first(created)`",
    "`to_last(created)`",
    "`until`",
];

const KINDS: [&str; 15] = [
    "any",
    "cardinality",
    "change",
    "correlation",
    "deadline",
    "flatline",
    "frequency",
    "list",
    "metric",
    "new_term",
    "ratio",
    "reconcile",
    "sequence",
    "spike",
    "travel",
];

fn options() -> LoadOptions {
    let day = |name: &str| {
        let written = Written { spans: vec!["2026-11-11".to_owned()], ..Written::default() };
        (name.to_owned(), Arc::new(written.check("Asia/Shanghai").unwrap()))
    };
    let calendars: Calendars = ["business_hours", "promotions"].map(day).into();
    LoadOptions {
        read: |_, name| match name {
            "channels.txt" => Ok(b"alipay\nwechat\n".to_vec()),
            "x.txt" | "blocked.txt" => Ok(b"203.0.113.7\n10.0.0.0/8\n".to_vec()),
            _ => Err("no such file".to_owned()),
        },
        calendars: Arc::new(calendars),
        ..LoadOptions::default()
    }
}

/// The examples by the names of their files.
fn examples() -> Vec<(String, String)> {
    let entries = fs::read_dir(repository().join("tests/it/language")).unwrap();
    let mut examples: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    examples.sort();
    examples
}

/// The line that begins so.
fn said<'t>(text: &'t str, begin: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(begin))
}

fn read(name: &str, text: &str) -> Result<Vec<LoadedRule>, Vec<RuleError>> {
    let rules = load(text, name, &options())?;
    let errors = check_set(&rules);
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

#[test]
fn every_example_of_the_language_loads_or_is_for_later_and_says_so() {
    let mut later = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut loaded = Vec::new();
    let mut silent = None;
    for (name, text) in examples() {
        assert!(text.starts_with("# "), "{name} does not say which section it is from");
        if name == "silences.yaml" {
            silent = Some(text);
            continue;
        }
        match (said(&text, "# not yet: "), read(&name, &text)) {
            (None, Ok(rules)) => {
                kinds.extend(rules.iter().map(|loaded| loaded.rule.detect.kind()));
                loaded.extend(rules.into_iter().map(|loaded| loaded.rule));
            }
            (None, Err(errors)) => {
                let shown: Vec<String> = errors.iter().map(|error| error.render("error")).collect();
                panic!("{}", shown.join("\n\n"));
            }
            (Some(what), Ok(_)) => panic!("{name} loads, and says that {what} is for later"),
            (Some(what), Err(errors)) => {
                assert_eq!(errors[0].message, format!("{what} is not supported yet"), "{name}");
                let others = errors.iter().find(|error| !error.message.ends_with(" is not supported yet"));
                assert!(others.is_none(), "{name}: {}", others.unwrap().render("error"));
                later.insert(what.to_owned());
            }
        }
    }
    assert_eq!(later, NOT_YET.map(str::to_owned).into());
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), KINDS);

    let rules = RuleSet::new(loaded);
    let found = silences(silent.unwrap().as_bytes(), "silences.yaml", &options(), &[&rules]).unwrap();
    assert_eq!(found.0.len(), 2);
}
