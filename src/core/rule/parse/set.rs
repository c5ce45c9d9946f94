//! What the rules of one configuration must have to do with each other: names, and who covers whom.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Rule;
use super::super::condition::nearest;
use super::error::{Place, RuleError};
use super::yaml::MAX_PROBLEMS;
use super::{LoadedRule, Origin, RuleTest, Suite};
use crate::core::event::{TextField, TextSet, Topic, TypeSet};

/// The most rules of one configuration; more are an error.
pub const MAX_RULES: usize = 10_000;

/// Checks rules that are to be loaded together.
pub fn check_set(rules: &[LoadedRule]) -> Vec<RuleError> {
    let mut errors = Vec::new();
    if let Some(loaded) = rules.get(MAX_RULES) {
        let message = format!("{} rules are too many; at most {MAX_RULES} can be loaded", rules.len());
        return vec![loaded.origin.name.error(message)];
    }
    let mut by_name: BTreeMap<&str, &LoadedRule> = BTreeMap::new();
    for loaded in rules {
        match by_name.get(loaded.rule.name.as_str()) {
            Some(first) => errors.push(
                loaded
                    .origin
                    .name
                    .error(format!("another rule is named `{}` too", loaded.rule.name))
                    .help(format!("the first one stands at {}", first.origin.name)),
            ),
            None => {
                by_name.insert(&loaded.rule.name, loaded);
            }
        }
    }
    for loaded in rules {
        covers(loaded, &by_name, &mut errors);
        examples(loaded, &by_name, &mut errors);
    }
    for loaded in rules {
        hears(loaded, &by_name, &mut errors);
    }
    cycles(&by_name, &mut errors);
    errors.truncate(MAX_PROBLEMS);
    errors.sort_by(|one, other| {
        let key = |error: &RuleError| (error.place.file.clone(), error.place.line, error.place.column);
        key(one).cmp(&key(other))
    });
    errors
}

fn covers(loaded: &LoadedRule, by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    for (cover, place) in loaded.rule.incident.covered_by.iter().zip(&loaded.origin.covered_by) {
        let Some(other) = by_name.get(cover.rule.as_str()) else {
            errors.push(no_rule(place, &cover.rule, by_name));
            continue;
        };
        let subject: BTreeSet<TextField> = other.rule.groups.iter().flatten().copied().collect();
        let problem = match &cover.equal {
            Some(fields) => fields
                .iter()
                .find(|field| !subject.contains(field))
                .map(|field| format!("`{field}` is not in the subject of `{}`", cover.rule)),
            None => {
                let known = fields_of(&loaded.rule);
                (!subject.is_empty() && !subject.iter().any(|field| known.contains(*field)))
                    .then(|| format!("events of this rule have no field of the subject of `{}`", cover.rule))
            }
        };
        if let Some(problem) = problem {
            let names: Vec<&str> = subject.iter().map(|field| field.as_str()).collect();
            errors.push(place.error(problem).help(format!("its subject: {}", names.join(", "))));
        }
    }
}

/// A rule hears findings of the same shard, and none that its own findings lead to.
fn hears(loaded: &LoadedRule, by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    for name in loaded.rule.detect.hears() {
        let place = &loaded.origin.name;
        let Some(other) = by_name.get(name) else {
            errors.push(no_rule(place, name, by_name));
            continue;
        };
        if !loaded.rule.is_judged_in_shards() || !other.rule.is_judged_in_shards() {
            let message = format!("`{}` can't hear findings of `{name}`", loaded.rule.name);
            let help = "only rules that have account_id or order_id in `group_by` hear each other so far";
            errors.push(place.error(message).help(help));
        }
        let heard = |name| by_name.get(name).into_iter().flat_map(|loaded| loaded.rule.detect.hears());
        if leads_to(name, &loaded.rule.name, heard) {
            let help = if name == loaded.rule.name {
                "a rule can't hear itself".to_owned()
            } else {
                format!("`{name}` hears `{}` itself, directly or not", loaded.rule.name)
            };
            errors.push(place.error("rules hear each other's findings in a circle").help(help));
        }
    }
}

fn no_rule(place: &Place, name: &str, by_name: &BTreeMap<&str, &LoadedRule>) -> RuleError {
    let near = nearest(name, by_name.keys().copied());
    let error = place.error(format!("there is no rule `{name}`"));
    error.maybe_help(near.map(|near| format!("did you mean `{near}`?")))
}

/// Checks the tests of a file of their own with the rules that they are for.
pub fn check_suite(suite: &Suite, rules: &[LoadedRule]) -> Vec<RuleError> {
    let by_name = rules.iter().map(|loaded| (loaded.rule.name.as_str(), loaded)).collect();
    let mut errors = Vec::new();
    for (name, place) in suite.tests.iter().filter_map(|test| test.rule.as_ref()) {
        if !rules.iter().any(|loaded| loaded.rule.name == *name) {
            errors.push(no_rule(place, name, &by_name));
        }
    }
    named_in_tests(&suite.tests, &by_name, &mut errors);
    errors.truncate(MAX_PROBLEMS);
    errors
}

fn examples(loaded: &LoadedRule, by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    named_in_tests(&loaded.tests, by_name, errors);
}

fn named_in_tests(tests: &[RuleTest], by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    let named = tests.iter().flat_map(|test| {
        let with = test.with.iter().map(|(name, place)| (name, place));
        let expected =
            test.expect.iter().filter_map(|expected| Some((expected.rule.as_ref()?, &expected.place)));
        with.chain(expected)
    });
    for (name, place) in named {
        if !by_name.contains_key(name.as_str()) {
            errors.push(no_rule(place, name, by_name));
        }
    }
}

/// Rules that cover each other would wait for each other.
fn cycles(by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    let entangled = entangled(by_name);
    let covers = |name: &str| {
        let rules = by_name.get(name).filter(|loaded| entangled.contains(loaded.rule.name.as_str()));
        rules.into_iter().flat_map(|loaded| &loaded.rule.incident.covered_by).map(|cover| cover.rule.as_str())
    };
    for name in &entangled {
        let Some(loaded) = by_name.get(name) else { continue };
        let Origin { covered_by, .. } = &loaded.origin;
        for (cover, place) in loaded.rule.incident.covered_by.iter().zip(covered_by) {
            if leads_to(cover.rule.as_str(), name, covers) {
                let help = if cover.rule == *name {
                    "a rule can't cover itself".to_owned()
                } else {
                    format!("`{}` is covered by `{name}` itself, directly or not", cover.rule)
                };
                errors.push(place.error("rules cover each other in a circle").help(help));
            }
        }
    }
}

/// The rules that are left when those that nothing entangled covers are taken away, again and again: none, unless there is
/// a circle.
fn entangled<'a>(by_name: &BTreeMap<&'a str, &LoadedRule>) -> BTreeSet<&'a str> {
    let mut covering: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    let mut covers: BTreeMap<&'a str, usize> = BTreeMap::new();
    for (name, loaded) in by_name {
        let known =
            loaded.rule.incident.covered_by.iter().filter(|cover| by_name.contains_key(cover.rule.as_str()));
        for cover in known {
            covering.entry(cover.rule.as_str()).or_default().push(name);
            *covers.entry(name).or_default() += 1;
        }
    }
    let mut free: Vec<&str> = by_name.keys().copied().filter(|name| !covers.contains_key(name)).collect();
    while let Some(name) = free.pop() {
        for covered in covering.get(name).into_iter().flatten() {
            if let Some(count) = covers.get_mut(covered) {
                *count -= 1;
                if *count == 0 {
                    covers.remove(covered);
                    free.push(covered);
                }
            }
        }
    }
    covers.into_keys().collect()
}

/// Whether one rule leads to another, by whatever `next` says of each.
fn leads_to<'a, I: Iterator<Item = &'a str>>(from: &'a str, to: &str, next: impl Fn(&'a str) -> I) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(next(name));
        }
    }
    false
}

/// The fields that events of the rule's topics can have.
fn fields_of(rule: &Rule) -> TextSet {
    use TextField as F;
    const ORDERS: [TextField; 12] = [
        F::AccountId,
        F::OrderId,
        F::Kind,
        F::Product,
        F::Supplier,
        F::Channel,
        F::Region,
        F::Currency,
        F::ErrorCode,
        F::CardId,
        F::Ip,
        F::DeviceId,
    ];
    const LOGINS: [TextField; 10] = [
        F::AccountId,
        F::Ip,
        F::DeviceId,
        F::UserAgent,
        F::ErrorCode,
        F::GeoCountry,
        F::GeoRegion,
        F::GeoCity,
        F::GeoAsn,
        F::GeoNetwork,
    ];
    const CATALOG: [TextField; 3] = [F::AccountId, F::Product, F::Supplier];
    const FEEDBACK: [TextField; 3] = [F::AccountId, F::OrderId, F::Category];
    let own = TextSet::of(F::Id).or(TextSet::CUSTOMER);
    let mut fields = F::EXTRA.into_iter().fold(own, |set, field| set.or(TextSet::of(field)));
    for topic in Topic::ALL {
        if rule.topics.and(TypeSet::of_topic(topic)).is_empty() {
            continue;
        }
        let of_topic: &[TextField] = match topic {
            Topic::Orders => &ORDERS,
            Topic::Logins => &LOGINS,
            Topic::Catalog => &CATALOG,
            Topic::Feedback => &FEEDBACK,
        };
        fields = of_topic.iter().fold(fields, |set, field| set.or(TextSet::of(*field)));
    }
    fields
}
