//! Tests of `forewarn check`.

use std::path::Path;

use super::*;
use crate::core::event::Topic;
use crate::core::rule::parse::{self, LoadOptions};
use crate::core::time::Span;
use crate::delivery::render::RenderSettings;

fn shipped() -> Templates {
    Templates::shipped(RenderSettings::default()).unwrap()
}

fn warnings(text: &str) -> Vec<String> {
    let rules = parse::load(text, "rules/x.yaml", &LoadOptions::default()).unwrap();
    let templates = shipped();
    let all = rules.iter().flat_map(|loaded| lint(loaded, &BTreeSet::new(), Some(&templates)));
    all.map(|warning| warning.message).collect()
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
    assert_eq!(warnings(&text), ["`x` has no owner", "there is no template `topup_faling`"]);
}

#[test]
fn a_template_without_one_of_the_languages_is_told_and_a_whole_one_of_ones_own_is_not() {
    let given = |files: &[&str]| {
        let own = files.iter().map(|name| ((*name).to_owned(), "words".to_owned())).collect();
        let templates = Templates::load(RenderSettings::default(), own).unwrap();
        let text = format!("owner: o\nstate: shadow\n{RULE}notice: {{ template: ours }}\n");
        let rules = parse::load(&text, "rules/x.yaml", &LoadOptions::default()).unwrap();
        let warnings = lint(&rules[0], &BTreeSet::new(), Some(&templates));
        warnings.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    let english = ["en/ours.subject", "en/ours.txt"];
    assert_eq!(given(&[]), ["there is no template `ours`"]);
    assert_eq!(given(&english), ["the template `ours` lacks zh-CN/ours.subject, zh-CN/ours.txt"]);
    let whole = [&english[..], &["zh-CN/ours.subject", "zh-CN/ours.txt"]].concat();
    assert_eq!(given(&whole[..3]), ["the template `ours` lacks zh-CN/ours.txt"]);
    assert_eq!(given(&whole), Vec::<String>::new());
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
    let none = BTreeSet::new();
    let templates = shipped();
    let alone = selection.rules.iter().flat_map(|loaded| lint(loaded, &none, Some(&templates)));
    let all = alone.chain(lint::of_all(&selection));
    let warnings: Vec<String> = all.map(|warning| warning.render("warning")).collect();
    assert!(warnings.is_empty(), "{}", warnings.join("\n\n"));
}

fn selected(text: &str) -> Selection {
    let rules = parse::load(text, "rules/x.yaml", &LoadOptions::default()).unwrap();
    Selection { rules, beside: Vec::new(), suites: Vec::new(), files: 1 }
}

fn messages(warnings: Vec<RuleError>) -> Vec<String> {
    warnings.into_iter().map(|warning| warning.message).collect()
}

/// What is said of rules together, in one line each.
fn together(text: &str) -> Vec<String> {
    messages(lint::of_all(&selected(text)))
}

#[test]
fn a_rule_that_can_never_fire_is_told() {
    let head = "name: x\ntopics: orders\n";
    let count =
        |count: &str| format!("detect: {{ kind: frequency, count: '{count}', at_least: 3, window: 10m }}");
    let any = |condition: &str| format!("where: '{condition}'\ndetect: {{ kind: any }}");
    for (rest, why) in [
        (any("kind == \"topup\" and kind == \"card_key\""), Some("no event passes `where`")),
        (any("kind in [\"topup\", \"card_key\"] and kind == \"card_key\""), None),
        (any("kind == \"topup\" and kind != \"topup\""), Some("no event passes `where`")),
        (any("kind == \"topup\" or kind == \"card_key\""), None),
        (any("amount > 500 and amount < 100"), Some("no event passes `where`")),
        (any("amount > 100 and amount < 500"), None),
        (any("amount >= 100 and amount <= 100"), None),
        (any("exists(ip) and not exists(ip)"), Some("no event passes `where`")),
        (
            count("fault == \"channel\" and kind == \"topup\" and kind == \"direct\""),
            Some("no event meets `count`"),
        ),
        (
            format!("where: 'kind == \"topup\"'\n{}", count("kind == \"direct\"")),
            Some("`where` rules out `count`"),
        ),
        (format!("where: 'kind == \"topup\"'\n{}", count("channel == \"direct\"")), None),
        (count("fault == \"channel\" or fault == \"supplier\""), None),
        (
            "group_by: [channel]\ndetect: { kind: ratio, of: 'fault != \"none\"', above: 100%, window: 5m }"
                .to_owned(),
            Some("no share is beyond its limit"),
        ),
        (
            "detect: { kind: frequency, at_least: 2, window: 10m, distinct: account_id }".to_owned(),
            Some("each subject has one `account_id`"),
        ),
        ("detect: { kind: frequency, at_least: 2, window: 10m, distinct: order_id }".to_owned(), None),
    ] {
        let expected: Vec<String> = why.iter().map(|why| format!("`x` can never fire: {why}")).collect();
        assert_eq!(together(&format!("{head}{rest}\n")), expected, "{rest}");
    }
}

#[test]
fn a_rule_that_says_what_another_one_says_is_told() {
    let rule = |name: &str, rest: &str| {
        format!(
            "name: {name}\ntopics: orders\ndetect: {{ kind: frequency, at_least: 3, window: 10m }}\n{rest}---\n"
        )
    };
    let same = rule("a", "") + &rule("b", "ticket: { severity: high }\n");
    assert_eq!(together(&same), ["`b` finds exactly what `a` finds"]);
    let others = ["where: 'kind == \"topup\"'\n", "group_by: [order_id]\n", "state: paused\n", "for: 5m\n"];
    for other in others {
        assert_eq!(together(&(rule("a", "") + &rule("b", other))), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn a_subject_for_every_event_is_told() {
    let rule =
        |kind: &str| format!("name: x\ntopics: orders\ngroup_by: [channel, id]\ndetect: {{ {kind} }}\n");
    let told = "`x` has a subject for every `id` of an event, and so a state that only grows";
    assert_eq!(together(&rule("kind: frequency, at_least: 3, window: 10m")), [told]);
    assert_eq!(together(&rule("kind: any")), Vec::<String>::new());
    let silent = |field: &str| {
        format!("name: x\ntopics: orders\ngroup_by: [{field}]\ndetect: {{ kind: flatline, window: 15m }}\n")
    };
    let told = "`x` has a subject for every `order_id`, and each falls silent when the order is done";
    assert_eq!(together(&silent("order_id")), [told]);
    assert_eq!(together(&silent("channel")), Vec::<String>::new());
}

#[test]
fn a_window_longer_than_kafka_keeps_the_events_is_told() {
    let kept = |topic: Topic, days: i64| Kept {
        topic,
        name: format!("the-{topic}"),
        span: Span::from_mins(days * 24 * 60),
    };
    let selection =
        selected("name: x\ntopics: logins\ndetect: { kind: new_term, fields: [geo.country], window: 30d }\n");
    let told = |kept: &[Kept]| messages(lint::beyond_retention(&selection, kept));
    assert_eq!(
        told(&[kept(Topic::Logins, 7)]),
        ["`x` looks back 30d, and kafka keeps the events of the-logins for 7d"]
    );
    assert_eq!(told(&[kept(Topic::Logins, 30)]), Vec::<String>::new());
    assert_eq!(told(&[kept(Topic::Orders, 7)]), Vec::<String>::new(), "a topic that it does not read");
}

#[test]
fn rules_that_ask_for_places_are_named_where_no_database_knows_them() {
    let text = "name: x\ntopics: logins\ndetect: { kind: travel }\n---\nname: y\ntopics: logins\ndetect: { kind: any }\n";
    let selection = selected(text);
    let mut settings = setup::settings(None).unwrap();
    let note = lint::idle(&selection, &settings).unwrap();
    assert!(note.ends_with("are idle for `x`"), "{note}");
    settings.geo =
        Some(crate::settings::GeoSettings { database: "city.mmdb".into(), networks: None, cities: None });
    assert_eq!(lint::idle(&selection, &settings), None);
}
