//! One ticket per cause: how an account's incident joins the one that explains it, that of a rule that spans partitions or
//! another one of the same account.

use std::sync::Arc;

use super::life::AFFECTED_BOUND;
use super::state::{Affected, Incident, Phase};
use super::{Incidents, Key, Reach, propose};
use crate::core::effect::{Effect, IncidentId, Subject};
use crate::core::event::{Facts, Symbol, TextField};
use crate::core::rule::{Cover, Rule, RuleState};
use crate::core::time::Time;

/// An open incident that may explain others.
#[derive(Clone, Debug)]
pub struct Cause {
    pub key: Key,
    pub id: IncidentId,
    pub rule: String,
    pub subject: Subject,
    /// Its rule is in the shadow.
    pub shadow: bool,
    /// Its rule proposes something for those whom it touches.
    pub proposes: bool,
}

impl Cause {
    /// Whether `rule` says that this incident explains a finding with these facts. What is in the shadow explains nothing to
    /// staff and customers: they would hear of neither.
    pub fn explains(&self, rule: &Rule, facts: &Facts) -> bool {
        if self.shadow && rule.state != RuleState::Shadow {
            return false;
        }
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
    /// The open incidents, as causes.
    pub fn causes(&self) -> Vec<Cause> {
        let mut causes: Vec<Cause> = self
            .live
            .iter()
            .filter(|(_, incident)| incident.is_told_of())
            .filter_map(|(key, incident)| self.as_cause(*key, incident))
            .collect();
        causes.sort_by_key(|cause| cause.key);
        causes
    }

    /// A live incident, as the cause of others. What has no ticket explains nothing to anybody.
    pub fn cause(&self, key: Key) -> Option<Cause> {
        self.as_cause(key, self.live.get(&key).filter(|incident| !incident.silent)?)
    }

    fn as_cause(&self, key: Key, incident: &Incident) -> Option<Cause> {
        let rule = self.rules.rules.get(usize::from(key.rule))?;
        Some(Cause {
            key,
            id: incident.id,
            rule: rule.name.clone(),
            subject: incident.subject.clone(),
            shadow: rule.state == RuleState::Shadow,
            proposes: propose::proposes(rule),
        })
    }

    /// The open incident of the same account that explains a finding of `rule` with these facts.
    pub fn cause_beside(&self, rule: &Rule, facts: &Facts) -> Option<Cause> {
        self.kinship
            .of(Symbol::of(&facts.account_id))
            .filter_map(|key| Some((key, self.live.get(&key)?)))
            .filter(|(_, incident)| incident.is_told_of())
            .filter_map(|(key, incident)| self.as_cause(key, incident))
            .find(|cause| cause.explains(rule, facts))
    }

    /// Customers have met the trouble of an incident before now; one that has just opened is announced with them.
    pub fn meet(&mut self, key: Key, met: Vec<Affected>, at: Time, effects: &mut Vec<Effect>) {
        if self.live.get(&key).is_some_and(|incident| incident.unannounced.is_some()) {
            self.change(key, |rule, incident| {
                incident.muted = false;
                incident.announce(rule, met, effects);
            });
        } else {
            self.affect(key, met, at, effects);
        }
    }

    /// Announces what has opened, after what it explains of the same account has joined it.
    pub(super) fn announce_own(&mut self, effects: &mut Vec<Effect>) {
        if self.reach == Reach::Partitions {
            return;
        }
        while let Some(key) = self.opened.pop_front() {
            let Some((incident, at)) =
                self.live.get(&key).and_then(|incident| Some((incident, incident.unannounced?.1)))
            else {
                continue;
            };
            let mut joining = Vec::new();
            let mut met = Vec::new();
            let beside = self.kinship.beside(key, incident.account());
            let cause = self.as_cause(key, incident).filter(|_| !incident.silent && !beside.is_empty());
            if let Some(cause) = cause {
                for other in beside {
                    if self.is_explained(other, &cause) {
                        met.extend(self.join(other, &cause, at, &mut joining));
                    }
                }
            }
            self.meet(key, met, at, effects);
            effects.append(&mut joining);
        }
    }

    /// An incident is no longer open: what had joined it goes along with it to its own cause, or is let go.
    pub(super) fn let_go(&mut self, key: Key, account: Option<Symbol>, phase: Phase) {
        for other in self.kinship.beside(key, account) {
            let joined =
                |incident: &Incident| matches!(incident.phase, Phase::Joined { cause, .. } if cause == key);
            if !self.live.get(&other).is_some_and(joined) {
                continue;
            }
            self.change(other, |_, incident| match phase {
                Phase::Ended { at, .. } | Phase::Withdrawn { at } => incident.leave(at),
                Phase::Joined { .. } => incident.phase = phase,
                Phase::Pending { .. }
                | Phase::Waiting { .. }
                | Phase::Silenced
                | Phase::Open
                | Phase::Gone => {
                    incident.leave(incident.last_finding);
                }
            });
        }
    }

    /// Lets one incident join a cause; returns the accounts it brings.
    pub fn join(&mut self, key: Key, cause: &Cause, at: Time, effects: &mut Vec<Effect>) -> Vec<Affected> {
        self.date(at);
        let mut accounts = Vec::new();
        self.change(key, |rule, incident| {
            accounts = incident.join(rule, cause, at, effects);
        });
        accounts
    }

    /// The incidents that wait for a cause or have a ticket of their own, and that `cause` explains.
    pub fn explained_by(&self, cause: &Cause) -> Vec<Key> {
        let mut keys: Vec<Key> = self
            .live
            .iter()
            .filter(|(key, incident)| self.can_join(**key, incident, cause))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        keys
    }

    fn is_explained(&self, key: Key, cause: &Cause) -> bool {
        self.live.get(&key).is_some_and(|incident| self.can_join(key, incident, cause))
    }

    fn can_join(&self, key: Key, incident: &Incident, cause: &Cause) -> bool {
        matches!(incident.phase, Phase::Open | Phase::Waiting { .. } | Phase::Pending { .. })
            && self
                .rules
                .rules
                .get(usize::from(key.rule))
                .zip(incident.own_facts())
                .is_some_and(|(rule, facts)| cause.explains(rule, facts))
    }

    /// The cause is over: what had joined it is let go.
    pub fn leave(&mut self, cause: Key, at: Time) {
        self.date(at);
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
        let silences = Arc::clone(&self.silences);
        self.change(key, |rule, incident| {
            incident.muted = silences.over(&rule.name, &incident.subject, at).is_some();
            if incident.phase == Phase::Open {
                for account in accounts.into_iter().take(AFFECTED_BOUND) {
                    incident.affect(rule, account, at, effects);
                }
            }
        });
    }
}
