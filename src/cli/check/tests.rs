//! Tests of `forewarn check`.

use std::path::Path;

use super::*;
use crate::core::rule::parse::{self, LoadOptions};

fn warnings(text: &str) -> Vec<String> {
    let rules = parse::load(text, "rules/x.yaml", &LoadOptions::default()).unwrap();
    rules.iter().flat_map(|loaded| lint(loaded, &BTreeSet::new())).map(|warning| warning.message).collect()
}

const RULE: &str = "name: x\ntopics: orders\ndetect: { kind: frequency, at_least: 3, window: 10m }\n";

#[test]
fn an_active_rule_needs_a_test_in_which_it_fires_and_one_in_which_it_is_quiet() {
    let quiet = "  - { name: q, events: [{ at: 1m }], expect: [] }\n";
    let fires = "  - { name: f, events: [{ at: 1m }], expect: [{ ticket: opened }] }\n";
    for (rest, expected) in [
        (String::new(), vec!["`x` is active and has no tests"]),
        (format!("tests:\n{quiet}"), vec!["`x` is active and has no test in which it fires"]),
        (
            format!("tests:\n{fires}"),
            vec!["`x` is active and has no test in which it stays quiet, `expect: []`"],
        ),
        (format!("tests:\n{fires}{quiet}"), vec![]),
        ("state: shadow\n".to_owned(), vec![]),
    ] {
        assert_eq!(warnings(&format!("owner: o\n{RULE}{rest}")), expected, "{rest}");
    }
}

#[test]
fn templates_that_there_are_not_and_rules_without_an_owner_are_told() {
    let text =
        format!("{RULE}state: shadow\nnotice: {{ template: topup_faling, recovered: trouble_over }}\n");
    assert_eq!(
        warnings(&text),
        ["`x` has no owner", "there is no template `topup_faling` among the shipped ones"]
    );
}

#[test]
fn a_rule_that_tells_customers_what_may_prove_wrong_needs_a_word_for_that() {
    for (check, needs) in
        [("key_without_payment", true), ("many_keys", true), ("delivered_after_refund", false)]
    {
        let text = format!(
            "name: x\nowner: o\nstate: shadow\ntopics: orders\ndetect: {{ kind: reconcile, check: {check} }}\nnotice: {{ template: delivery_late }}\n"
        );
        let said = "`x` tells customers, and has no word for them when it was wrong";
        assert_eq!(warnings(&text), if needs { vec![said] } else { vec![] }, "{check}");
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_single_file_may_name_rules_of_the_files_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let covered = "name: a\ntopics: orders\ndetect: { kind: frequency, at_least: 3, window: 10m }\nincident: { covered_by: [b] }\n";
    let covering = "name: b\ntopics: orders\ngroup_by: [channel]\ndetect: { kind: ratio, of: 'fault != \"none\"', above: 20%, window: 5m }\n";
    let path = write(directory.path(), "a.yaml", covered);
    let options = LoadOptions::default();
    let select =
        || selection::select(std::slice::from_ref(&path), None, Path::new("rules"), &options).unwrap();

    let Err(refused) = select() else { panic!("`b` is nowhere") };
    assert_eq!(refused.errors[0].message, "there is no rule `b`");
    write(directory.path(), "broken.yaml", "name: [");
    write(directory.path(), "b.yaml", covering);
    let Ok(selection) = select() else { panic!("`b` stands beside it") };
    let names =
        |rules: &[LoadedRule]| rules.iter().map(|loaded| loaded.rule.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&selection.rules), names(&selection.beside)),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );

    // The whole directory hides nothing.
    let all = selection::select(&[directory.path().to_owned()], None, Path::new("rules"), &options).unwrap();
    assert!(all.is_err());
}

#[test]
fn a_rule_asked_for_replaces_the_one_of_its_name_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "x.yaml", RULE);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = write(elsewhere.path(), "new.yaml", RULE);
    let options = LoadOptions::default();
    let Ok(selection) =
        selection::select(&[path], Some(directory.path()), Path::new("rules"), &options).unwrap()
    else {
        panic!()
    };
    assert_eq!((selection.rules.len(), selection.beside.len()), (1, 0));
}

#[test]
fn the_shipped_rules_have_no_warnings() {
    let rules = [Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")];
    let selected = selection::select(&rules, None, Path::new("rules"), &LoadOptions::default()).unwrap();
    let Ok(selection) = selected else { panic!("the shipped rules have errors") };
    let warnings: Vec<String> = selection
        .rules
        .iter()
        .flat_map(|loaded| lint(loaded, &BTreeSet::new()))
        .map(|warning| warning.render("warning"))
        .collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n\n"));
}
