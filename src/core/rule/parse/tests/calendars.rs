//! Calendars that rules name: what is read, and what the author sees of one that is not there.

use super::*;

#[test]
fn calendars_are_taken_from_the_configuration_and_are_a_part_of_what_a_rule_means() {
    let text = "name: x\ntopics: orders\ngroup_by: [channel]\nexcept: [promotions, business_hours]\ndetect: { kind: flatline, window: 15m, calendar: business_hours }";
    let rule = one(text).rule;
    assert_eq!(rule.except.len(), 2);
    let Detect::Flatline(flatline) = &rule.detect else { panic!() };
    assert!(flatline.calendar.as_ref().unwrap().holds(Time::from_millis(1_794_369_600_000)), "in November");
    let other = Written { spans: vec!["2026-11-12".to_owned()], ..Written::default() }.check("Asia/Shanghai");
    let mut calendars = calendars();
    calendars.insert("promotions".to_owned(), Arc::new(other.unwrap()));
    let options = LoadOptions { calendars: Arc::new(calendars), ..options() };
    let changed = load(text, "rules/x.yaml", &options).unwrap().remove(0).rule;
    assert_ne!(changed.version, rule.version);
}

#[test]
fn a_calendar_that_is_not_there_is_told_with_its_place_and_where_calendars_stand() {
    let told = complaints(
        r#"
name: x
topics: orders
group_by: [channel]
except: [promotion, christmas]
detect: { kind: flatline, window: 15m, calendar: [business_hours] }
---
name: y
topics: orders
group_by: [channel]
except: []
detect: { kind: flatline, window: 15m, calender: business_hours }
"#,
    );
    for expected in [
        "error: there is no calendar `promotion`\n --> rules/x.yaml:5:10",
        "did you mean `promotions`?",
        "error: there is no calendar `christmas`\n --> rules/x.yaml:5:21",
        "calendars of the configuration: business_hours, promotions",
        "error: expected the name of a calendar, found a list\n --> rules/x.yaml:6:50",
        "error: expected 1 to 16 calendars",
        "did you mean `calendar`?",
    ] {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
    let text = "name: x\ntopics: orders\nexcept: promotions\ndetect: { kind: any }";
    let without = shown(&load(text, "rules/x.yaml", &LoadOptions::default()).unwrap_err());
    let expected =
        "calendars stand in the configuration, under [calendars.promotions]; name its file with -c";
    assert!(without.contains(expected), "{without}");
}
