//! What is kept of an event that time alone may make a finding of: what somebody reads of it, since a busy shard has very
//! many of them waiting.

use std::collections::{BTreeMap, BTreeSet};

use super::{Detect, Rule};
use crate::core::event::{TextField, TextSet, Topic, TypeSet};

/// What tickets and messages name of an order.
const ORDER: [TextField; 9] = [
    TextField::OrderId,
    TextField::Kind,
    TextField::Product,
    TextField::Supplier,
    TextField::Channel,
    TextField::Region,
    TextField::Currency,
    TextField::CardId,
    TextField::Category,
];
/// And of a login.
const LOGIN: [TextField; 5] =
    [TextField::Ip, TextField::DeviceId, TextField::GeoCountry, TextField::GeoRegion, TextField::GeoCity];

/// Says of each rule what it keeps. Who covers whom must be known before.
pub fn keep_what_is_read(rules: &mut [Rule]) {
    let heard: BTreeSet<String> =
        rules.iter().flat_map(|rule| rule.detect.hears()).map(str::to_owned).collect();
    let subjects: BTreeMap<String, TextSet> = rules
        .iter()
        .map(|rule| (rule.name.clone(), rule.groups.iter().flatten().copied().collect()))
        .collect();
    for rule in rules {
        // Who hears it, and who does what it proposes, may read all of it.
        let all = heard.contains(&rule.name) || rule.action.is_some();
        rule.kept = if all { TextSet::ALL } else { read(rule, &subjects) };
    }
}

/// What the rule itself, its tickets and its messages read.
fn read(rule: &Rule, subjects: &BTreeMap<String, TextSet>) -> TextSet {
    let own: TextSet = rule.groups.iter().flatten().chain(&rule.incident.resolve_on).copied().collect();
    let covers = rule.incident.covered_by.iter().map(|cover| match &cover.equal {
        Some(equal) => equal.iter().copied().collect(),
        None => subjects.get(&cover.rule).copied().unwrap_or(TextSet::EMPTY),
    });
    let read = covers.fold(own, TextSet::or);
    let tells = rule.notice.is_some() || rule.compensation.is_some();
    match &rule.detect {
        // The newest event has no more to do with it than any other of the window; customers are told of their own all the same.
        Detect::Metric(_) | Detect::Spike(_) if !tells => read,
        _ => read.or(named(rule.topics)),
    }
}

fn named(types: TypeSet) -> TextSet {
    let logins = TypeSet::of_topic(Topic::Logins);
    let login = if types.and(logins).is_empty() { &[][..] } else { &LOGIN };
    let order = if types.and(logins.not()).is_empty() { &[][..] } else { &ORDER };
    login.iter().chain(order).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::RuleSet;
    use crate::core::rule::parse::{LoadOptions, load};

    fn kept(text: &str, name: &str) -> TextSet {
        let loaded = load(text, "rules/x.yaml", &LoadOptions::default()).unwrap();
        let rules = RuleSet::new(loaded.into_iter().map(|loaded| loaded.rule).collect());
        rules.find(name).unwrap().kept
    }

    const LATE: &str = "name: late
topics: orders
group_by: [order_id]
detect: { kind: deadline, key: order_id, start: 'type == \"order.paid\"', end: 'type == \"order.delivered\"', within: 30m }
";

    #[test]
    fn of_an_order_that_waits_what_nobody_reads_is_not_kept() {
        let kept = kept(LATE, "late");
        for field in ORDER {
            assert!(kept.contains(field), "{field:?}");
        }
        for field in [TextField::Ip, TextField::DeviceId, TextField::UserAgent, TextField::GeoCity] {
            assert!(!kept.contains(field), "{field:?}");
        }
        let logins = LATE.replace("topics: orders", "topics: [orders, logins]");
        assert!(self::kept(&logins, "late").contains(TextField::Ip));
    }

    #[test]
    fn what_others_read_of_it_is_kept() {
        let cause = "---
name: cause
topics: orders
group_by: [geo.country]
detect: { kind: frequency, at_least: 3, window: 10m }
";
        let covered = format!("{LATE}incident: {{ covered_by: [cause] }}\n{cause}");
        assert!(kept(&covered, "late").contains(TextField::GeoCountry));
        let none = format!("{LATE}incident: {{ covered_by: [{{ rule: cause, equal: [] }}] }}\n{cause}");
        assert!(!kept(&none, "late").contains(TextField::GeoCountry));
        let ended = format!(
            "{LATE}incident: {{ resolve_when: 'type == \"login.succeeded\"', resolve_on: [device_id] }}\n"
        );
        assert!(kept(&ended, "late").contains(TextField::DeviceId));
        let heard = format!(
            "{LATE}---
name: then
topics: orders
group_by: [account_id]
detect: {{ kind: sequence, within: 1h, steps: [{{ name: a, finding: late }}, {{ name: b, when: 'ip == a.ip' }}] }}
"
        );
        assert_eq!(kept(&heard, "late"), TextSet::ALL);
        let acted = format!("{LATE}action: {{ propose: reissue_key }}\n");
        assert_eq!(kept(&acted, "late"), TextSet::ALL);
    }

    #[test]
    fn a_window_without_customers_to_tell_keeps_its_subject() {
        let metric = "name: slow
topics: orders
group_by: [account_id]
detect: { kind: metric, agg: avg, field: amount, window: 10m, below: 5 }
";
        assert_eq!(kept(metric, "slow"), TextSet::of(TextField::AccountId));
        let told = format!("{metric}notice: {{ template: topup_failing, to: account }}\n");
        assert!(kept(&told, "slow").contains(TextField::OrderId));
    }
}
