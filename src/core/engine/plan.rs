//! What is worked out once when rules load: who judges each rule, which of them an event is offered to, and who hears
//! whose findings.

use std::collections::BTreeMap;

use crate::core::event::{Event, EventType, Symbol, TextField, TextSet};
use crate::core::rule::condition::Condition;
use crate::core::rule::demand::demanded;
use crate::core::rule::{Rule, RuleSet, RuleState};
use crate::core::shard::{Reach, reach, topics_of};
use crate::core::time::Span;

pub(super) struct Plan {
    pub symbols: TextSet,
    /// Whether a rule looks at fields of the customer.
    pub names_customers: bool,
    pub reaches: Vec<Reach>,
    pub topics: Vec<u8>,
    /// For each rule what ends or clears.
    pub endings: Vec<Condition>,
    /// For each event type the rules that it may concern.
    pub offers: Vec<Offers>,
    /// For each rule those that hear its findings.
    pub listeners: Vec<Vec<u16>>,
    pub shortest_lateness: Span,
}

impl Plan {
    pub(super) fn new(rules: &RuleSet) -> Self {
        let hears = |rule: &Rule, name: &str| {
            rule.state != RuleState::Paused && rule.detect.hears().any(|heard| heard == name)
        };
        let listening = |name: &str| {
            let rules = (0..).zip(&rules.rules).filter(|(_, rule)| hears(rule, name));
            rules.map(|(index, _)| index).collect()
        };
        let listeners = rules.rules.iter().map(|rule| listening(&rule.name)).collect();
        let identity = TextSet::of(TextField::Id).or(TextSet::of(TextField::AccountId));
        Self {
            symbols: rules.symbols().or(identity),
            names_customers: rules.names_customers(),
            reaches: rules.rules.iter().map(reach).collect(),
            topics: rules.rules.iter().map(topics_of).collect(),
            endings: rules.rules.iter().map(|rule| rule.detect.ending()).collect(),
            offers: EventType::ALL.into_iter().map(|event_type| Offers::new(event_type, rules)).collect(),
            listeners,
            shortest_lateness: rules
                .rules
                .iter()
                .map(|rule| rule.lateness)
                .min()
                .unwrap_or(Span::from_mins(2)),
        }
    }
}

/// The rules that events of one type are offered to, in the order of the rules.
///
/// Of rules that demand one of a few values of a field (`kind == "topup"`), those are left out that the event's value
/// rules out. One field is asked for, the one that most rules of the type demand something of; so an event costs one
/// look-up here, however many rules there are for other kinds of goods, products or channels.
#[derive(Debug, Default)]
pub(super) struct Offers {
    field: Option<TextField>,
    /// The rules that demand these values of it, in the order of the values.
    by_value: Vec<(Symbol, Vec<u16>)>,
    /// The rules that demand nothing of it.
    always: Vec<u16>,
}

impl Offers {
    fn new(event_type: EventType, rules: &RuleSet) -> Self {
        let concerned = |rule: &Rule| rule.state != RuleState::Paused && rule.types().contains(event_type);
        let concerned: Vec<(u16, &Rule)> =
            (0..).zip(&rules.rules).filter(|(_, rule)| concerned(rule)).collect();
        let demanding = |field: TextField| {
            concerned.iter().filter(|(_, rule)| demanded(rule, event_type, field).is_some()).count()
        };
        // Of several fields that as many rules demand something of, the first.
        let fields = TextField::ALL.into_iter().rev().map(|field| (demanding(field), field));
        let most = fields.filter(|(rules, _)| *rules > 0).max_by_key(|(rules, _)| *rules);
        let mut offers = Self { field: most.map(|(_, field)| field), ..Self::default() };
        let mut by_value: BTreeMap<Symbol, Vec<u16>> = BTreeMap::new();
        for (index, rule) in concerned {
            match offers.field.and_then(|field| demanded(rule, event_type, field)) {
                Some(values) => {
                    for value in values {
                        by_value.entry(value).or_default().push(index);
                    }
                }
                None => offers.always.push(index),
            }
        }
        offers.by_value = by_value.into_iter().collect();
        offers
    }

    /// The rules that the event may concern.
    pub(super) fn to(&self, event: &Event<'_>) -> impl Iterator<Item = u16> {
        let demanding = self.field.and_then(|field| {
            let value = event.symbol(field);
            let found = self.by_value.binary_search_by_key(&value, |(known, _)| *known).ok()?;
            self.by_value.get(found)
        });
        InOrder(&self.always, demanding.map_or(&[], |(_, rules)| rules))
    }
}

/// Two lists of rules as one.
struct InOrder<'a>(&'a [u16], &'a [u16]);

impl Iterator for InOrder<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let Self(one, other) = self;
        let from = match (one.first(), other.first()) {
            (Some(first), Some(second)) if second < first => other,
            (None, Some(_)) => other,
            _ => one,
        };
        let (first, rest) = from.split_first()?;
        *from = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests;
