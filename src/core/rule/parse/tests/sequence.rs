//! What the author of a wrong sequence or correlation sees.

use super::*;

/// The first message about a rule with this `detect`, and what is said to help.
fn complaint(detect: &str) -> String {
    let text = format!("name: x\ntopics: logins\ndetect:\n{detect}");
    let errors = load(&text, "rules/x.yaml", &options()).unwrap_err();
    let first = errors.first().unwrap();
    format!("{}:{} {}", first.place.line, first.place.column, first.render("error").replace('\n', " "))
}

fn expect(detect: &str, place: &str, parts: &[&str]) {
    let complaint = complaint(detect);
    assert!(complaint.starts_with(place), "{complaint}");
    for part in parts {
        assert!(complaint.contains(part), "{part:?} in {complaint}");
    }
}

fn steps(steps: &[&str]) -> String {
    let steps: String = steps.iter().map(|step| format!("    - {{ {step} }}\n")).collect();
    format!("  kind: sequence\n  within: 2h\n  steps:\n{steps}")
}

#[test]
fn a_wrong_sequence_is_answered_with_the_place_and_what_was_expected() {
    let login = "name: login, when: 'type == \"login.succeeded\"'";
    for (detect, place, parts) in [
        (steps(&["name: a, when: 'type == \"login.succeded\"'"]), "7:33", &["did you mean"] as &[&str]),
        (steps(&[login, "name: b, when: 'ip == logon.ip'"]), "8:31", &["did you mean `login.ip`"]),
        (
            steps(&[login, "name: b, when: 'login.ip == \"10.0.0.1\"'"]),
            "8:25",
            &["only be compared with a field"],
        ),
        (steps(&[login, "name: b, when: 'ip < login.ip'"]), "8:25", &["== and !="]),
        (steps(&[login, "name: login, when: 'exists(ip)'"]), "8:15", &["another step is named"]),
        (steps(&["name: ip, when: 'exists(ip)'"]), "7:15", &["can't name a step"]),
        (steps(&["name: a, when: 'exists(ip)', not: true", login]), "7:5", &["can't begin"]),
        (steps(&["name: a, when: 'exists(ip)', not: true, times: 2"]), "7:49", &["what must not happen"]),
        (steps(&["name: a, when: 'exists(ip)', times: 4..2"]), "7:45", &["a range such as 2..4"]),
        (
            steps(&["name: a, when: 'exists(ip)', finding: y"]),
            "7:38",
            &["one of `when`, `finding` and `opening`"],
        ),
        (steps(&["name: a"]), "7:9", &["`when` or `finding` or `opening`"]),
        (steps(&[login, "name: b, when: 'exists(ip)', optional: true"]), "7:5", &["`b` is optional"]),
        (steps(&[login, "name: b, finding: y, opening: y"]), "8:30", &["one of `when`, `finding` and"]),
        (steps(&[login, "name: b, opening: [y]"]), "8:27", &["the name of a rule"]),
        (format!("{}  skip: to_first(login)\n", steps(&[login])), "8:9", &["not supported yet"]),
    ] {
        expect(&detect, place, parts);
    }
}

#[test]
fn a_wrong_correlation_is_answered_with_the_place_and_what_was_expected() {
    let of = |fields: &str| format!("  {{ kind: correlation, window: 1h, {fields} }}\n");
    for (fields, parts) in [
        ("of: [a, b], type: temporel", &["did you mean `temporal`"] as &[&str]),
        ("of: [a], type: temporal", &["expected at least 2 rules"]),
        ("of: [a, a], type: temporal", &["`a` is given twice"]),
        ("of: [{ opening: a }, { opening: a }], type: temporal", &["`a` is given twice"]),
        ("of: [a, { openning: b }], type: temporal", &["has no field `openning`"]),
        ("of: [a], type: event_count", &["has no `at_least`"]),
        ("of: [a], type: value_count, at_least: 2", &["has no `field`"]),
        ("of: [a, b], type: temporal, at_least: 2", &["`at_least` belongs to the type event_count"]),
        ("of: [a, b], type: temporal, both_ways: true", &["`both_ways` belongs to the type absent"]),
    ] {
        expect(&of(fields), "4:", parts);
    }
}

#[test]
fn rules_hear_only_rules_that_are_there_near_them_and_do_not_hear_them() {
    let any = "topics: logins\ndetect: { kind: any }\n";
    let hears = |rule: &str| {
        format!(
            "topics: logins\ndetect: {{ kind: correlation, of: [{rule}], type: event_count, at_least: 2, window: 1h }}\n"
        )
    };
    let complaints = |text: &str| {
        let errors = check_set(&load(text, "rules/x.yaml", &options()).unwrap());
        errors.iter().map(|error| error.render("error")).collect::<Vec<_>>().join("\n")
    };
    let loud = format!("name: loud\n{any}---\nname: x\n{}", hears("loud"));
    assert_eq!(complaints(&loud), "");
    let unknown = complaints(&format!("name: loud\n{any}---\nname: x\n{}", hears("lout")));
    assert!(
        unknown.contains("there is no rule `lout`") && unknown.contains("did you mean `loud`"),
        "{unknown}"
    );
    let spanning = format!("name: loud\ngroup_by: [ip]\n{any}---\nname: x\n{}", hears("loud"));
    assert!(complaints(&spanning).contains("can't hear findings of `loud`"));
    let circle = format!("name: x\n{}---\nname: y\n{}", hears("y"), hears("x"));
    assert_eq!(complaints(&circle).matches("in a circle").count(), 2);
}
