//! Which rule has the ticket where a check and a deadline are about the same order: the deadline, unless it names the
//! check itself.

use std::collections::BTreeSet;

use crate::core::event::TextField;
use crate::core::rule::parse::WAIT;
use crate::core::rule::{Cover, Detect, Rule, RuleState};

use super::Check;

/// Lets each check on orders be covered by the deadlines on orders, as if it had named them, except where a circle would
/// come of it. `rules` are in the order of their names.
pub fn yield_to_deadlines(rules: &mut [Rule]) {
    let deadlines: Vec<(String, RuleState)> =
        rules.iter().filter(|rule| is_on_orders(rule)).map(|rule| (rule.name.clone(), rule.state)).collect();
    for place in 0..rules.len() {
        let Some(rule) = rules.get(place) else { continue };
        let (name, state) = (rule.name.clone(), rule.state);
        let Some(check) = check_on_orders(rule) else { continue };
        for (deadline, its_state) in &deadlines {
            // What is not told of by the deadline is told of by the check.
            let tells = *its_state == RuleState::Active || *its_state == state;
            if !tells || *its_state == RuleState::Paused || leads_to(rules, deadline, &name) {
                continue;
            }
            let Some(policy) = rules.get_mut(place).map(|rule| &mut rule.incident) else { continue };
            if policy.covered_by.iter().any(|cover| cover.rule == *deadline) {
                continue;
            }
            // Only what is missing may be missed by both at once.
            if policy.covered_by.is_empty() && check == Check::PaidWithoutKey {
                policy.wait = WAIT;
            }
            policy.covered_by.push(Cover { rule: deadline.clone(), equal: None });
        }
    }
}

fn is_on_orders(rule: &Rule) -> bool {
    matches!(&rule.detect, Detect::Deadline(deadline) if deadline.key == TextField::OrderId)
        && rule.groups.iter().all(|group| group.contains(&TextField::OrderId))
}

fn check_on_orders(rule: &Rule) -> Option<Check> {
    match &rule.detect {
        Detect::Reconcile(reconcile) if reconcile.check.subject() == TextField::OrderId => {
            Some(reconcile.check)
        }
        _ => None,
    }
}

/// Whether a rule is covered by another one, directly or not. `rules` are in the order of their names.
fn leads_to(rules: &[Rule], from: &str, to: &str) -> bool {
    let mut open = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        let place = rules.binary_search_by(|rule| rule.name.as_str().cmp(next));
        if seen.insert(next)
            && let Some(rule) = place.ok().and_then(|place| rules.get(place))
        {
            open.extend(rule.incident.covered_by.iter().map(|cover| cover.rule.as_str()));
        }
    }
    false
}
