//! What a careful author would look at again in rules that load: those that can never fire, that say what another one says, that
//! have more subjects than anything can hold, or that look further back than Kafka does.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::core::event::{TextField, TypeSet};
use crate::core::rule::condition::{Comparison, Condition};
use crate::core::rule::parse::{LoadedRule, RuleError};
use crate::core::rule::scope::{Expected, Flatline, Side};
use crate::core::rule::{Detect, Limit, Rule, RuleState};
use crate::settings::Settings;

use super::super::selection::Selection;
use super::surroundings::Kept;

/// Warnings about the rules that were asked for, those beside them in view.
pub(super) fn of_all(selection: &Selection) -> Vec<RuleError> {
    let Selection { rules, beside, .. } = selection;
    let mut warnings = Vec::new();
    let mut meanings: BTreeMap<String, &str> =
        beside.iter().filter_map(|other| Some((meaning(&other.rule)?, other.rule.name.as_str()))).collect();
    for LoadedRule { rule, origin, .. } in rules {
        let name = &rule.name;
        if let Some((why, help)) = never(rule) {
            warnings.push(origin.name.error(format!("`{name}` can never fire: {why}")).help(help));
        }
        if let Some((why, help)) = unbounded(rule) {
            warnings.push(origin.name.error(format!("`{name}` has {why}")).help(help));
        }
        let Some(meaning) = meaning(rule) else { continue };
        match meanings.get(&meaning) {
            Some(other) => {
                let message = format!("`{name}` finds exactly what `{other}` finds");
                warnings.push(origin.name.error(message).help("leave one of them out, or pause it"));
            }
            None => {
                meanings.insert(meaning, name);
            }
        }
    }
    warnings
}

/// Why no event can make it fire, and what to do about that.
fn never(rule: &Rule) -> Option<(String, &'static str)> {
    const RULES_OUT: &str = "one part of it rules out the other";
    if is_never(&[&rule.filter]) {
        return Some(("no event passes `where`".to_owned(), RULES_OUT));
    }
    let filter = &rule.filter;
    let (field, conditions): (&str, &[&Condition]) = match &rule.detect {
        Detect::Frequency(detect) => ("count", &[&detect.count]),
        Detect::Ratio(detect) => ("of", &[&detect.of, &detect.among]),
        Detect::Deadline(detect) => ("start", &[&detect.start]),
        Detect::Spike(detect) => ("count", &[&detect.count]),
        _ => ("where", &[]),
    };
    if let Some(condition) = conditions.iter().find(|condition| is_never(&[condition])) {
        let field = if conditions.first() == Some(condition) { field } else { "among" };
        return Some((format!("no event meets `{field}`"), RULES_OUT));
    }
    if is_never(&[&[filter], conditions].concat()) {
        let others = if conditions.len() > 1 { " and `among`" } else { "" };
        return Some((format!("`where` rules out `{field}`{others}"), "no event meets them together"));
    }
    match &rule.detect {
        Detect::Ratio(ratio) => {
            let beyond = match ratio.side {
                Side::Above => Decimal::ONE,
                Side::Below => Decimal::ZERO,
            };
            let is_beyond = matches!(&ratio.limit, Limit::One(limit) if *limit == beyond);
            let between = "expected a limit between 0% and 100%";
            is_beyond.then(|| ("no share is beyond its limit".to_owned(), between))
        }
        Detect::Frequency(frequency) => {
            let field = frequency.distinct?;
            let more_than_one = frequency.at_least.as_ref().is_some_and(|limit| limit.least() > 1);
            let is_subject = rule.groups.iter().all(|group| group.contains(&field));
            let another = "expected another `distinct`, or a `group_by` without it";
            (more_than_one && is_subject).then(|| (format!("each subject has one `{field}`"), another))
        }
        _ => None,
    }
}

/// Whether these together are false whatever the event: parts that exclude each other.
fn is_never(conditions: &[&Condition]) -> bool {
    let mut parts = Vec::new();
    let mut open = conditions.to_vec();
    while let Some(condition) = open.pop() {
        match condition {
            Condition::All(inner) => open.extend(inner.iter()),
            other => parts.push(other),
        }
    }
    parts.iter().enumerate().any(|(at, one)| {
        let alone = match one {
            Condition::Any(inner) => inner.iter().all(|part| is_never(&[part])),
            condition => condition.types().is_empty(),
        };
        alone || parts.iter().skip(at + 1).any(|other| exclude(one, other) || exclude(other, one))
    })
}

/// Whether no event meets both.
fn exclude(one: &Condition, other: &Condition) -> bool {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    match (one, other) {
        (
            Condition::TextIn { field, symbols, negated: false },
            Condition::TextIn { field: same, symbols: others, negated },
        ) if field == same => symbols.iter().all(|symbol| others.contains(symbol) == *negated),
        (Condition::FaultIn(one), Condition::FaultIn(other)) => one & other == 0,
        (Condition::Exists(field), Condition::Not(inner)) => {
            matches!(&**inner, Condition::Exists(same) if same == field)
        }
        (
            Condition::Number { field, order, literal },
            Condition::Number { field: same, order: second, literal: limit },
        ) if field == same => match (order, second) {
            (Greater, Less | LessOrEqual | Equal) | (GreaterOrEqual, Less) | (Equal, Less) => {
                literal >= limit
            }
            (GreaterOrEqual, LessOrEqual | Equal) | (Equal, LessOrEqual) => literal > limit,
            (Equal, Equal) => literal != limit,
            _ => false,
        },
        _ => false,
    }
}

/// What makes its subjects as many as there are events or orders, each of them held for long.
fn unbounded(rule: &Rule) -> Option<(&'static str, &'static str)> {
    let groups_by = |field: TextField| rule.groups.iter().flatten().any(|known| *known == field);
    match &rule.detect {
        Detect::Any | Detect::List(_) => None,
        _ if groups_by(TextField::Id) => Some((
            "a subject for every `id` of an event, and so a state that only grows",
            "group by what several events have in common",
        )),
        Detect::Flatline(Flatline { expect: Expected::Seen, .. }) if groups_by(TextField::OrderId) => Some((
            "a subject for every `order_id`, and each falls silent when the order is done",
            "group by what goes on speaking, or use the kind deadline",
        )),
        _ => None,
    }
}

/// What two rules have in common that look for the same, whatever becomes of what they find; [`None`]: it looks for nothing.
fn meaning(rule: &Rule) -> Option<String> {
    let Rule { topics, filter, groups, detect, except, pending, .. } = rule;
    (rule.state != RuleState::Paused)
        .then(|| format!("{topics:?} {filter:?} {groups:?} {detect:?} {except:?} {pending:?}"))
}

/// Rules that look further back than Kafka keeps the events of one of their topics.
pub(super) fn beyond_retention(selection: &Selection, kept: &[Kept]) -> Vec<RuleError> {
    let mut warnings = Vec::new();
    for LoadedRule { rule, origin, .. } in &selection.rules {
        let window = rule.window();
        let types = rule.types();
        let short = kept.iter().filter(|kept| !types.and(TypeSet::of_topic(kept.topic)).is_empty());
        for Kept { name, span, .. } in short.filter(|kept| kept.span < window) {
            let message = format!(
                "`{}` looks back {window}, and kafka keeps the events of {name} for {span}",
                rule.name
            );
            let help = format!(
                "new or changed it can't be filled and stays quiet until {window} have passed; raise retention.ms of the topic"
            );
            warnings.push(origin.name.error(message).help(help));
        }
    }
    warnings
}

/// Which rules see only what the platform says of places, where no location database is configured.
pub(super) fn idle(selection: &Selection, settings: &Settings) -> Option<String> {
    if settings.geo.is_some() {
        return None;
    }
    let asks = |loaded: &&LoadedRule| !loaded.rule.located_types().is_empty();
    let names: Vec<String> =
        selection.rules.iter().filter(asks).map(|loaded| format!("`{}`", loaded.rule.name)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "no location database is configured ([geo] database), so events without a `geo` of their own are idle for {}",
            names.join(", ")
        )
    })
}
