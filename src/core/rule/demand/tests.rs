//! What rules demand, as their authors write it.

use super::*;
use crate::core::rule::parse::{self, LoadOptions};

/// What a rule with these lines demands of the field `kind` in a failed order.
fn check(lines: &str, expected: Option<&[&str]>) {
    let text = format!("name: rule\ntopics: orders\n{lines}\n");
    let loaded = parse::load(&text, "test.yaml", &LoadOptions::default());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{lines}: {}", errors[0].render("error")));
    let expected = expected.map(|values| values.iter().map(|value| Symbol::of(value)).collect());
    assert_eq!(demanded(&loaded[0].rule, EventType::OrderFailed, TextField::Kind), expected, "{lines}");
}

#[test]
fn a_filter_that_names_values_demands_one_of_them() {
    const ANY: &str = "detect: { kind: any }";
    let cases: [(&str, Option<&[&str]>); 12] = [
        ("kind == \"topup\"", Some(&["topup"])),
        ("kind in [\"topup\", \"direct\"] and amount > 5", Some(&["topup", "direct"])),
        ("kind == \"topup\" and kind in [\"topup\", \"direct\"]", Some(&["topup"])),
        ("kind == \"topup\" or kind == \"direct\"", Some(&["topup", "direct"])),
        // With any of these an event of another kind, or of none, can be let through.
        ("kind == \"topup\" or amount > 5", None),
        ("kind != \"topup\"", None),
        ("not (kind == \"topup\")", None),
        ("exists(kind)", None),
        ("channel == \"alipay\"", None),
        // Only what concerns the type of the event counts.
        ("kind == \"topup\" or type == \"order.paid\"", Some(&["topup"])),
        ("kind == \"topup\" or type != \"order.paid\"", None),
        ("kind == \"topup\" or type != \"order.failed\"", Some(&["topup"])),
    ];
    for (condition, expected) in cases {
        check(&format!("where: '{condition}'\n{ANY}"), expected);
    }
}

#[test]
fn what_ends_or_resolves_counts_whatever_the_filter_says() {
    const FILTER: &str = "where: 'kind == \"topup\" and type == \"order.failed\"'";
    let unless = |condition: &str| {
        format!("{FILTER}\ndetect: {{ kind: frequency, at_least: 2, window: 1m, unless: '{condition}' }}")
    };
    check(&unless("type == \"order.failed\" and kind == \"direct\""), Some(&["topup", "direct"]));
    check(&unless("type == \"order.failed\" and channel == \"alipay\""), None);
    check(&unless("type == \"order.delivered\" and channel == \"alipay\""), Some(&["topup"]));
    let resolve = |condition: &str| {
        format!("{FILTER}\ndetect: {{ kind: any }}\nincident: {{ resolve_when: '{condition}' }}")
    };
    check(&resolve("kind == \"card_key\""), Some(&["topup", "card_key"]));
    check(&resolve("exists(card_id)"), None);
    // The end of a deadline is found by its key alone.
    let deadline =
        "detect: { kind: deadline, start: 'kind == \"topup\"', end: 'type == \"order.failed\"', within: 1m }";
    check(&format!("{FILTER}\n{deadline}"), None);
}

#[test]
fn a_long_list_is_not_worth_an_index() {
    let list = |count: usize| {
        let values: Vec<String> = (0..count).map(|value| format!("\"v{value}\"")).collect();
        format!("where: 'kind in [{}]'\ndetect: {{ kind: any }}", values.join(", "))
    };
    check(&list(MOST_VALUES + 1), None);
    let text = format!("name: rule\ntopics: orders\n{}\n", list(MOST_VALUES));
    let loaded = parse::load(&text, "test.yaml", &LoadOptions::default()).unwrap();
    let demanded = demanded(&loaded[0].rule, EventType::OrderFailed, TextField::Kind);
    assert_eq!(demanded.map(|values| values.len()), Some(MOST_VALUES));
}
