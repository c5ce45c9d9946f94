//! Tests of reading rule files: what is understood, and what the author of a wrong one sees.

//! Rule files from text to rule: every field, every default, and the errors with their places.

mod calendars;
mod contradictions;
mod given;
mod kinds;
mod messages;
mod metric;
mod proposals;
mod reconcile;
mod sequence;
mod spike;

use super::*;
use crate::core::calendar::Written;
use crate::core::event::{EventType, Fault, Symbol, TextField, TypeSet};
use crate::core::rule::condition::Condition;
use crate::core::rule::limit::WholeLimit;
use crate::core::rule::list::Builder;
use crate::core::rule::new_term::{History, Novelty};
use crate::core::rule::scope::{Expected as Seen, Side};
use crate::core::rule::{Audience, Detect, Limit, RuleState, Severity};
use crate::core::time::{Span, Time};
use examples::{Expected, TicketWord, When};

fn options() -> LoadOptions {
    LoadOptions { extra: vec!["coupon".to_owned()], read: beside, calendars: Arc::new(calendars()) }
}

/// The calendars of these tests.
fn calendars() -> Calendars {
    let day = |date: &str| Written { spans: vec![date.to_owned()], ..Written::default() };
    ["business_hours", "promotions"]
        .map(|name| (name.to_owned(), Arc::new(day("2026-11-11").check("Asia/Shanghai").unwrap())))
        .into()
}

/// The files beside the rule files of these tests.
fn beside(rule_file: &str, name: &str) -> Result<Vec<u8>, String> {
    assert_eq!(rule_file, "rules/x.yaml");
    Ok(match name {
        "blocked.txt" => {
            b"\xEF\xBB\xBF# seen in May\r\n10.0.0.0/8\r\n\r\n  192.168.1.1  \r\n192.168.1.1\r\n".to_vec()
        }
        "channels.txt" => b"wechat\nalipay\n# and one by its number\n00123\nalipay\n".to_vec(),
        "networks.txt" => b"10.0.0.0/8\n10.0.0.0/33\n# 1/2\n2001:db8::/200\n".to_vec(),
        "empty.txt" => b"# nothing yet\n\n".to_vec(),
        "junk.txt" => b"one\ntwo \xFF\n".to_vec(),
        _ => return Err("no such file".to_owned()),
    })
}

fn one(text: &str) -> LoadedRule {
    match load(text, "rules/x.yaml", &options()) {
        Ok(mut rules) if rules.len() == 1 => rules.remove(0),
        Ok(rules) => panic!("{} rules", rules.len()),
        Err(errors) => panic!("{}", shown(&errors)),
    }
}

fn shown(errors: &[RuleError]) -> String {
    errors.iter().map(RuleError::to_string).collect::<Vec<_>>().join("\n\n")
}

/// A rule around the fields of `detect`.
fn detecting(detect: &str) -> Detect {
    one(&format!("name: x\ntopics: [orders, logins]\ngroup_by: [channel]\ndetect: {{ {detect} }}"))
        .rule
        .detect
}

const TOPUP: &str = r#"
name: repeated-topup-failures
summary: An account keeps failing to top up
owner: payments
state: shadow
topics: orders
where: 'kind == "topup"'
group_by: [account_id]
detect:
  kind: frequency
  count: 'type == "order.failed" and fault != "customer"'
  at_least: 3
  window: 10m
  unless: 'type == "order.delivered" and kind == "topup"'   # only failures after the latest success count
for: 30s
incident:
  cooldown: 3d
  resolve_when: 'type == "order.delivered" and kind == "topup"'
  resolve_on: [account_id, product]
  covered_by: [channel-success-drop, { rule: product-trouble, equal: [product] }]
ticket:  { category: topup_failure, department: payments, severity: high, sla: emergency }
notice:  { template: topup_failing, to: account, recovered: topup_works }
runbook: https://wiki.example.com/topup
"#;

#[test]
fn the_fields_of_every_rule_are_read() {
    let rule = one(TOPUP).rule;
    assert_eq!(rule.name, "repeated-topup-failures");
    assert_eq!((rule.owner.as_str(), rule.state), ("payments", RuleState::Shadow));
    assert_eq!(rule.topics, TypeSet::of_topic(crate::core::event::Topic::Orders));
    assert_eq!(rule.filter, Condition::text_is(TextField::Kind, "topup"));
    assert_eq!(rule.groups, [[TextField::AccountId]]);
    assert_eq!((rule.pending, rule.grace), (Span::from_secs(30), defaults::GRACE));
    assert_eq!(rule.incident.cooldown, Span::from_mins(3 * 24 * 60));
    assert_eq!(rule.incident.cooldown_max, rule.incident.cooldown, "never shorter than the cooldown");
    assert_eq!(rule.incident.resolve_on, [TextField::AccountId, TextField::Product]);
    assert_eq!(rule.incident.wait, WAIT);
    let covers = &rule.incident.covered_by;
    assert_eq!((covers[0].rule.as_str(), &covers[0].equal), ("channel-success-drop", &None));
    assert_eq!(covers[1].equal, Some(vec![TextField::Product]));
    assert_eq!((rule.ticket.severity, rule.ticket.sla.as_str()), (Severity::High, "emergency"));
    let notice = rule.notice.expect("a notice");
    assert_eq!((notice.to, notice.recovered.as_deref()), (Audience::Account, Some("topup_works")));
    let Detect::Frequency(detect) = rule.detect else { panic!("{:?}", rule.detect) };
    assert_eq!((detect.at_least, detect.at_most, detect.window), (Some(3.into()), None, Span::from_mins(10)));
    assert!(detect.unless.is_some() && !detect.reset && detect.distinct.is_none());
}

#[test]
fn what_is_left_out_has_its_default() {
    let rule = one("name: x-y\ntopics: logins\ndetect: { kind: travel }").rule;
    assert_eq!((rule.summary.as_str(), rule.state), ("x-y", RuleState::Active));
    assert_eq!(rule.groups, [[TextField::AccountId]]);
    assert_eq!((rule.incident.wait, rule.ticket.category.as_str()), (Span::ZERO, "x_y"));
    let Detect::Travel(travel) = rule.detect else { panic!() };
    assert_eq!((travel.faster_than_kmh, travel.further_than_km), (900.0, 100.0));
    assert_eq!(travel.ignore_networks, ["vpn", "relay", "satellite"].map(Symbol::of));

    let rule = one("name: x\ntopics: logins\ndetect: { kind: deadline, start: 'type == \"login.failed\"', end: 'type == \"login.succeeded\"', within: 1h }").rule;
    let Detect::Deadline(deadline) = &rule.detect else { panic!() };
    assert_eq!((deadline.key, &rule.groups[0][..]), (TextField::AccountId, &[TextField::AccountId][..]));

    let slices = "name: x\ntopics: orders\nslices: [[channel], [channel, region]]\nnotice: { template: t }\ndetect: { kind: ratio, of: 'fault != \"none\"', above: 20%, window: 5m }";
    let rule = one(slices).rule;
    assert_eq!(rule.groups, [vec![TextField::Channel], vec![TextField::Channel, TextField::Region]]);
    assert_eq!(rule.notice.map(|notice| notice.to), Some(Audience::Affected));
}

#[test]
fn each_kind_has_all_its_fields() {
    let Detect::Frequency(frequency) = detecting(
        "kind: frequency, count: 'exists(ip)', at_least: 2, at_most: 5, window: 1h30m, distinct: order_id, reset: true",
    ) else {
        panic!()
    };
    assert_eq!(
        (frequency.at_most, frequency.distinct, frequency.reset),
        (Some(5.into()), Some(TextField::OrderId), true)
    );
    assert_eq!(frequency.window, Span::from_mins(90));

    let Detect::Ratio(ratio) = detecting(
        "kind: ratio, of: 'fault != \"none\"', among: 'exists(ip)', below: { by: channel, alipay: 10%, default: 99.5% }, window: 5m, min_samples: 50, distinct: account_id, confidence: 0%",
    ) else {
        panic!()
    };
    assert_eq!((ratio.side, ratio.min_samples, ratio.confidence), (Side::Below, 50, "0".parse().unwrap()));
    let Limit::By { field, values, default } = ratio.limit else { panic!() };
    assert_eq!(
        (field, values["alipay"], default),
        (TextField::Channel, "0.1".parse().unwrap(), "0.995".parse().unwrap())
    );

    let Detect::NewTerm(new) = detecting(
        "kind: new_term, fields: [geo.country, device_id], match: every, window: 90d, min_history: 7d, missing: fire",
    ) else {
        panic!()
    };
    assert_eq!(
        new.of,
        Novelty::Values { fields: vec![TextField::GeoCountry, TextField::DeviceId], every: true }
    );
    assert_eq!((new.min_history, new.missing_fires), (History::Since(Span::from_mins(7 * 1440)), true));

    let Detect::NewTerm(new) =
        detecting("kind: new_term, place: geo, radius_km: 20.5, last: 7, min_history: 5")
    else {
        panic!()
    };
    assert_eq!((new.of, new.min_history), (Novelty::Place { radius_km: 20.5, last: 7 }, History::Events(5)));

    assert!(matches!(detecting("kind: any"), Detect::Any));

    let cardinality = |detect: &str| match detecting(detect) {
        Detect::Cardinality(cardinality) => cardinality,
        other => panic!("{other:?}"),
    };
    let above = cardinality("kind: cardinality, field: account_id, window: 1h, above: 20");
    assert_eq!((above.field, above.window), (TextField::AccountId, Span::from_mins(60)));
    assert_eq!((above.side, above.limit), (Side::Above, 20.into()));
    let below =
        "kind: cardinality, field: product, window: 1h, below: { by: channel, alipay: 4, default: 2 }";
    let below = cardinality(below);
    let limit = WholeLimit::by(TextField::Channel, [("alipay", 4)].into_iter(), 2);
    assert_eq!((below.side, below.limit), (Side::Below, limit.clone()));
    let Detect::Frequency(frequency) =
        detecting("kind: frequency, window: 1h, at_least: { by: channel, alipay: 4, default: 2 }")
    else {
        panic!()
    };
    assert_eq!(frequency.at_least, Some(limit));

    let Detect::Change(change) =
        detecting("kind: change, fields: [device_id, ip], window: 1d, missing: fire")
    else {
        panic!()
    };
    assert_eq!(change.fields, [TextField::DeviceId, TextField::Ip]);
    assert_eq!((change.window, change.missing_fires), (Span::from_mins(1440), true));
    let Detect::Change(change) = detecting("kind: change, fields: ip") else { panic!() };
    assert_eq!((change.fields, change.missing_fires), (vec![TextField::Ip], false));
    assert_eq!(change.window, defaults::CHANGE_WINDOW);

    let list = |detect: &str| match detecting(detect) {
        Detect::List(list) => list,
        other => panic!("{other:?}"),
    };
    let written = list("kind: list, field: product, not_in: ['00123', 产品, x y]");
    assert_eq!((written.field, written.not_in), (TextField::Product, true));
    let mut values = Builder::new(TextField::Product);
    ["x y", "00123", "产品"].iter().for_each(|value| values.add(value).unwrap());
    assert_eq!(written.values, values.build());
    let file = list("kind: list, field: ip, in: file(\"blocked.txt\")");
    assert_eq!((file.field, file.not_in), (TextField::Ip, false));
    assert_eq!(file.values, list("kind: list, field: ip, in: [192.168.1.1, 10.0.0.0/8]").values);

    let Detect::Flatline(flat) =
        detecting("kind: flatline, fewer_than: 2, window: 15m, expect: [alipay, '00123', 产品]")
    else {
        panic!()
    };
    assert_eq!(flat.fewer_than, 2.into());
    assert_eq!(flat.expect, Seen::Listed(vec!["alipay".into(), "00123".into(), "产品".into()]));
    let Detect::Flatline(flat) = detecting("kind: flatline, window: 15m, expect: seen") else { panic!() };
    assert_eq!((flat.fewer_than, flat.expect), (1.into(), Seen::Seen));
    let Detect::Flatline(flat) = detecting("kind: flatline, window: 15m, expect: file('channels.txt')")
    else {
        panic!()
    };
    assert_eq!(flat.expect, Seen::Listed(vec!["00123".into(), "alipay".into(), "wechat".into()]));
}

#[test]
fn the_version_follows_the_meaning_and_not_the_writing() {
    let version = |text: &str| one(text).rule.version;
    let base = version("name: x\ntopics: orders\ndetect: { kind: frequency, at_least: 3, window: 10m }");
    for same in [
        "# a comment\ntopics: orders\nname: 'x'\ndetect:\n  window: 10m\n  kind: frequency\n  at_least: 3\n",
        "name: x\ntopics: orders\ndetect: { kind: frequency, at_least: 3, window: 10m }\ntests: [{ name: t, events: [{ at: 1m }], expect: [] }]",
    ] {
        assert_eq!(version(same), base, "{same}");
    }
    for other in [
        "name: x\ntopics: orders\ndetect: { kind: frequency, at_least: 4, window: 10m }",
        "name: y\ntopics: orders\ndetect: { kind: frequency, at_least: 3, window: 10m }",
        "name: x\ntopics: logins\ndetect: { kind: frequency, at_least: 3, window: 10m }",
    ] {
        assert_ne!(version(other), base, "{other}");
    }
}

#[test]
fn the_version_follows_the_values_of_the_files_that_a_rule_names() {
    fn commented(_: &str, _: &str) -> Result<Vec<u8>, String> {
        Ok(b"# two products\nb\na\n\na".to_vec())
    }
    let version = |detect: &str, read: ReadBeside| {
        let text = format!("name: x\ntopics: orders\ngroup_by: [channel]\n{detect}");
        let options = LoadOptions { read, ..options() };
        load(&text, "rules/x.yaml", &options).unwrap().remove(0).rule.version
    };
    for detect in [
        "detect: { kind: list, field: product, in: file('x.txt') }",
        "detect: { kind: any }\nwhere: 'product in file(\"x.txt\")'",
        "detect: { kind: any }\nincident: { resolve_when: 'product in file(\"x.txt\")' }",
        "detect: { kind: flatline, window: 15m, expect: file('x.txt') }",
        "detect: { kind: sequence, within: 1h, steps: [{ name: a, when: 'product in file(\"x.txt\")' }, { name: b, when: 'amount > 5' }] }",
    ] {
        let base = version(detect, commented);
        assert_eq!(base, version(detect, |_, _| Ok(b"a\nb\n".to_vec())), "the same values: {detect}");
        assert_ne!(base, version(detect, |_, _| Ok(b"a\nc\n".to_vec())), "{detect}");
    }
    // What another rule of the file names has nothing to do with it.
    let alone = version("detect: { kind: any }", commented);
    let text = "name: a\ntopics: orders\nwhere: 'product in file(\"x.txt\")'\ndetect: { kind: any }\n---\nname: x\ntopics: orders\ngroup_by: [channel]\ndetect: { kind: any }";
    let both = load(text, "rules/x.yaml", &LoadOptions { read: commented, ..options() }).unwrap();
    assert_eq!(both[1].rule.version, alone);
}

#[test]
fn tests_are_read_by_the_type_of_each_field() {
    let rule = one(r#"
name: x
topics: orders
detect: { kind: frequency, at_least: 3, window: 10m }
tests:
  - name: the first
    with: [x]
    history:
      - { at: -2d, type: login.succeeded, account_id: 00123, geo: { country: NO, latitude: 59.9, longitude: 10.7 } }
    events:
      - { at: 0s, type: order.failed, account_id: 00123, fault: channel, amount: 0050.00, coupon: yes, repeat: 5, every: 10s }
      - { time: "2026-10-01T08:00:00Z", type: order.paid, account_id: a, expires_at: 2026-10-02T08:00:00Z }
      - { at: 40m }
    expect:
      - { at: 8m, since: 7m, ticket: opened, subject: { account_id: 00123 } }
      - { by: 1h30m, notice: topup_failing, account_id: 00123, rule: x }
      - { finding: x, at: 7m }
"#);
    let test = &rule.tests[0];
    assert_eq!((test.name.as_str(), test.place.line, test.with[0].0.as_str()), ("the first", 6, "x"));
    let login = test.history[0].event.as_ref().unwrap();
    assert_eq!(test.history[0].at, When::After(Span::from_mins(-2 * 1440)));
    assert_eq!(login.text(TextField::AccountId), Some("00123"));
    assert_eq!(login.text(TextField::GeoCountry), Some("NO"));
    assert_eq!(login.location.unwrap().latitude, 59.9);
    let failed = test.events[0].event.as_ref().unwrap();
    let event = failed.event("e1", Time::from_millis(5), Fault::Unknown);
    assert_eq!((event.event_type, event.fault), (EventType::OrderFailed, Fault::Channel));
    assert_eq!(event.text(TextField::Extra0), Some("yes"));
    assert_eq!(event.text(TextField::Id), Some("e1"));
    assert_eq!((test.events[0].repeat, test.events[0].every), (5, Span::from_secs(10)));
    assert!(test.events[1].event.as_ref().unwrap().expires_at.is_some());
    assert!(test.events[2].event.is_none());
    assert_eq!(test.expect[0].what, Expected::Ticket(TicketWord::Opened));
    assert_eq!(test.expect[0].subject, [(TextField::AccountId, "00123".to_owned())]);
    assert_eq!(
        (test.expect[1].by, test.expect[1].rule.as_deref()),
        (Some(When::After(Span::from_mins(90))), Some("x"))
    );
    assert_eq!((&test.expect[2].what, test.expect[2].place.line), (&Expected::Finding, 17));
}

#[test]
fn a_file_may_hold_several_rules_and_none() {
    let rule = |name: &str| {
        format!("name: {name}\ntopics: orders\ndetect: {{ kind: frequency, at_least: 3, window: 10m }}\n")
    };
    let text = format!("\u{feff}# a family\n---\n{}---\n# nothing here\n---\n{}...\n", rule("a"), rule("b"));
    let names: Vec<_> =
        load(&text, "x", &options()).unwrap().into_iter().map(|loaded| loaded.rule.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(load("", "x", &options()).unwrap().is_empty());
    assert!(load("# only a comment\r\n", "x", &options()).unwrap().is_empty());
}

#[test]
fn aliases_repeat_what_they_name() {
    let text = "name: x\ntopics: orders\ndetect: { kind: frequency, count: &c 'exists(ip)', unless: *c, at_least: 3, window: 10m }";
    let Detect::Frequency(detect) = one(text).rule.detect else { panic!() };
    assert_eq!(detect.unless, Some(detect.count));
}

/// What the author of a wrong file sees.
fn complaints(text: &str) -> String {
    match load(text, "rules/x.yaml", &options()) {
        Ok(rules) => shown(&check_set(&rules)),
        Err(errors) => shown(&errors),
    }
}
