//! What the rules of one configuration must have to do with each other: names, and who covers whom.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Rule;
use super::super::condition::nearest;
use super::error::RuleError;
use super::{LoadedRule, Origin};
use crate::core::event::{TextField, TextSet, Topic, TypeSet};

/// Checks rules that are to be loaded together.
pub fn check_set(rules: &[LoadedRule]) -> Vec<RuleError> {
    let mut errors = Vec::new();
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
    cycles(&by_name, &mut errors);
    errors.sort_by(|one, other| {
        let key = |error: &RuleError| (error.place.file.clone(), error.place.line, error.place.column);
        key(one).cmp(&key(other))
    });
    errors
}

fn covers(loaded: &LoadedRule, by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    for (cover, place) in loaded.rule.incident.covered_by.iter().zip(&loaded.origin.covered_by) {
        let Some(other) = by_name.get(cover.rule.as_str()) else {
            let near = nearest(&cover.rule, by_name.keys().copied());
            errors.push(
                place
                    .error(format!("there is no rule `{}`", cover.rule))
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
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

fn examples(loaded: &LoadedRule, by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    let named = loaded.tests.iter().flat_map(|test| {
        let with = test.with.iter().map(|(name, place)| (name, place));
        let expected =
            test.expect.iter().filter_map(|expected| Some((expected.rule.as_ref()?, &expected.place)));
        with.chain(expected)
    });
    for (name, place) in named {
        if !by_name.contains_key(name.as_str()) {
            let near = nearest(name, by_name.keys().copied());
            errors.push(
                place
                    .error(format!("there is no rule `{name}`"))
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
        }
    }
}

/// Two rules that cover each other would wait for each other.
fn cycles(by_name: &BTreeMap<&str, &LoadedRule>, errors: &mut Vec<RuleError>) {
    for (name, loaded) in by_name {
        let Origin { covered_by, .. } = &loaded.origin;
        for (cover, place) in loaded.rule.incident.covered_by.iter().zip(covered_by) {
            let mut seen = BTreeSet::new();
            let mut open = vec![cover.rule.as_str()];
            while let Some(next) = open.pop() {
                if next == *name {
                    let help = if cover.rule == *name {
                        "a rule can't cover itself".to_owned()
                    } else {
                        format!("`{}` is covered by `{name}` itself, directly or not", cover.rule)
                    };
                    errors.push(place.error("rules cover each other in a circle").help(help));
                    break;
                }
                if seen.insert(next)
                    && let Some(other) = by_name.get(next)
                {
                    open.extend(other.rule.incident.covered_by.iter().map(|cover| cover.rule.as_str()));
                }
            }
        }
    }
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
    let mut fields = F::EXTRA.into_iter().fold(TextSet::of(F::Id), |set, field| set.or(TextSet::of(field)));
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
