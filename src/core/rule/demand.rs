//! Which values of a field a rule demands of an event before it can concern the rule at all.
//!
//! With these the rules are indexed when they load, so that a rule for one kind of goods costs nothing for the others.

use std::collections::BTreeSet;

use super::Rule;
use super::condition::Condition;
use crate::core::event::{EventType, Symbol, TextField};

/// A rule that accepts more values than this is offered every event: it would gain little and fill the index.
const MOST_VALUES: usize = 64;

/// The values of which an event of this type must have one in this field, or it can neither start, count, end nor resolve
/// anything of the rule; [`None`] if others can.
pub fn demanded(rule: &Rule, event_type: EventType, field: TextField) -> Option<BTreeSet<Symbol>> {
    let starting =
        if rule.topics.contains(event_type) { of(&rule.filter, event_type, field)? } else { BTreeSet::new() };
    let ending = of(&rule.detect.ending(), event_type, field)?;
    let resolving = rule.incident.resolve_when.as_ref();
    let resolving = resolving.map_or(Some(BTreeSet::new()), |condition| of(condition, event_type, field))?;
    let values: BTreeSet<Symbol> = [starting, ending, resolving].into_iter().flatten().collect();
    (values.len() <= MOST_VALUES).then_some(values)
}

/// The values of the field with which the condition can hold for an event of this type; [`None`]: others too, or none.
fn of(condition: &Condition, event_type: EventType, field: TextField) -> Option<BTreeSet<Symbol>> {
    match condition {
        Condition::Never => Some(BTreeSet::new()),
        Condition::TypeIn(types) => (!types.contains(event_type)).then(BTreeSet::new),
        Condition::Not(inner) => match &**inner {
            Condition::TypeIn(types) => types.contains(event_type).then(BTreeSet::new),
            _ => None,
        },
        Condition::TextIn { field: compared, symbols, negated: false } if *compared == field => {
            Some(symbols.iter().copied().collect())
        }
        Condition::All(parts) => parts
            .iter()
            .filter_map(|part| of(part, event_type, field))
            .reduce(|one, other| one.intersection(&other).copied().collect()),
        Condition::Any(parts) => {
            let values: Option<Vec<_>> = parts.iter().map(|part| of(part, event_type, field)).collect();
            Some(values?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
