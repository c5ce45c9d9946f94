//! One ticket per cause: how an account's incident joins the incident of a rule that spans partitions.

use super::life::AFFECTED_BOUND;
use super::state::{Affected, Phase};
use super::{Incidents, Key};
use crate::core::effect::{Effect, IncidentId, Subject};
use crate::core::event::{Facts, TextField};
use crate::core::rule::{Cover, Rule};
use crate::core::time::Time;

/// An open incident that may explain others.
#[derive(Clone, Debug)]
pub struct Cause {
    pub key: Key,
    pub id: IncidentId,
    pub rule: String,
    pub subject: Subject,
}

impl Cause {
    /// Whether `rule` says that this incident explains a finding with these facts.
    pub fn explains(&self, rule: &Rule, facts: &Facts) -> bool {
        rule.incident.covered_by.iter().any(|cover| cover.rule == self.rule && self.matches(cover, facts))
    }

    fn matches(&self, cover: &Cover, facts: &Facts) -> bool {
        self.subject.0.iter().all(|(name, value)| {
            let compared = cover
                .equal
                .as_ref()
                .is_none_or(|fields| fields.iter().any(|field| field.as_str() == name.as_str()));
            !compared || field_value(facts, name) == Some(value)
        })
    }
}

fn field_value<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    TextField::ALL.into_iter().find(|field| field.as_str() == name).and_then(|field| facts.text(field))
}

impl Incidents {
    /// The open incidents of the rule at `rule`, as causes.
    pub fn causes(&self) -> Vec<Cause> {
        let mut causes: Vec<Cause> = self
            .live
            .iter()
            .filter(|(_, incident)| incident.phase == Phase::Open)
            .filter_map(|(key, incident)| {
                let rule = self.rules.rules.get(usize::from(key.rule))?;
                Some(Cause {
                    key: *key,
                    id: incident.id,
                    rule: rule.name.clone(),
                    subject: incident.subject.clone(),
                })
            })
            .collect();
        causes.sort_by_key(|cause| cause.key);
        causes
    }

    /// Lets one incident join a cause; returns the accounts it brings.
    pub fn join(&mut self, key: Key, cause: &Cause, at: Time, effects: &mut Vec<Effect>) -> Vec<Affected> {
        let mut accounts = Vec::new();
        self.change(key, |rule, incident| {
            accounts = incident.join(rule, cause.key, cause.id, at, effects);
        });
        accounts
    }

    /// The incidents that wait for a cause or have a ticket of their own, and that `cause` explains.
    pub fn explained_by(&self, cause: &Cause) -> Vec<Key> {
        let mut keys: Vec<Key> = self
            .live
            .iter()
            .filter(|(key, incident)| {
                matches!(incident.phase, Phase::Open | Phase::Waiting { .. } | Phase::Pending { .. })
                    && self
                        .rules
                        .rules
                        .get(usize::from(key.rule))
                        .zip(incident.own_facts())
                        .is_some_and(|(rule, facts)| cause.explains(rule, facts))
            })
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The cause is over: what had joined it is let go.
    pub fn leave(&mut self, cause: Key, at: Time) {
        let mut keys: Vec<Key> = self
            .live
            .iter()
            .filter(|(_, incident)| matches!(incident.phase, Phase::Joined { cause: joined, .. } if joined == cause))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        for key in keys {
            self.change(key, |_, incident| incident.leave(at));
        }
    }

    /// Customers meet the trouble of an incident.
    pub fn affect(
        &mut self,
        key: Key,
        accounts: impl IntoIterator<Item = Affected>,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        self.change(key, |rule, incident| {
            if incident.phase == Phase::Open {
                for account in accounts.into_iter().take(AFFECTED_BOUND) {
                    incident.affect(rule, account, at, effects);
                }
            }
        });
    }
}
