//! That tickets have opened, for rules that wait for it.
//!
//! An opening has the time from which its condition had lasted for as long as the rule asks and waits, whenever that was
//! known. What arrives late can show that it began earlier, or that it never did: then what was said of it is taken back.

use super::state::{Incident, Phase};
use super::{Incidents, Key};
use crate::core::event::{EventType, Facts, TextField};
use crate::core::rule::Rule;
use crate::core::time::{Span, Time};

/// A ticket has opened, or that is taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    pub key: Key,
    pub since: Time,
    pub withdrawn: bool,
    /// Of the event with which the trouble began, where one stands for it; else of its subject alone.
    pub facts: Facts,
}

impl Incidents {
    /// The next opening that a rule waits for.
    pub fn take_opening(&mut self) -> Option<Opening> {
        self.openings.pop_front()
    }

    /// Says what is new of an incident that may have changed; `before`: its phase until then.
    pub(super) fn note_opening(&mut self, key: Key, rule: &Rule, before: Option<Phase>) {
        if !self.awaited.get(usize::from(key.rule)).is_some_and(|awaited| *awaited) {
            return;
        }
        let Some(incident) = self.live.get_mut(&key) else { return };
        let said = incident.opening;
        let stands = incident.opening_at(rule, before);
        if said == stands {
            return;
        }
        incident.opening = stands;
        for (since, withdrawn) in [(said, true), (stands, false)] {
            if let Some(since) = since {
                let facts = incident.opening_facts(rule);
                self.openings.push_back(Opening { key, since, withdrawn, facts });
            }
        }
    }
}

impl Incident {
    /// When its ticket has opened, as far as is known; [`None`] if it has not.
    fn opening_at(&self, rule: &Rule, before: Option<Phase>) -> Option<Time> {
        let waits = if rule.incident.covered_by.is_empty() { Span::ZERO } else { rule.incident.wait };
        match self.phase {
            Phase::Open | Phase::Ended { .. } if !self.silent => {
                let stands = !self.findings.is_empty() || self.settled_findings > 0;
                stands.then(|| self.since + rule.pending + waits)
            }
            // That the cause it had joined is over says nothing about it.
            Phase::Withdrawn { .. } if !matches!(before, Some(Phase::Joined { .. })) => None,
            _ => self.opening,
        }
    }

    fn opening_facts(&self, rule: &Rule) -> Facts {
        let facts = self.earlier.as_ref().or(self.facts.as_ref());
        let group = rule.groups.first().map_or(&[][..], Vec::as_slice);
        match facts {
            Some(facts) if facts.time == self.since => (**facts).clone(),
            Some(facts) => Facts::clone(facts).only(group),
            None => {
                let named = |field: &TextField| Some((*field, self.subject.get(field.as_str())?.into()));
                let texts = group.iter().filter(|field| **field != TextField::AccountId).filter_map(named);
                Facts {
                    event_type: EventType::OrderCreated,
                    time: self.since,
                    account_id: self.subject.get(TextField::AccountId.as_str()).unwrap_or_default().into(),
                    texts: texts.collect(),
                    amount: None,
                    quantity: None,
                }
            }
        }
    }
}
