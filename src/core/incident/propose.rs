//! What is proposed for those whom an incident touches, and when: with the ticket, once for each incident and account, to
//! those who would be told. What proves untrue is withdrawn.

use compact_str::CompactString;

use super::cover::Cause;
use super::state::{Affected, Incident, Offered};
use crate::core::effect::{Effect, EffectKind, IncidentId, Proposal, ProposalState, Proposed};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::proposal::ActionScope;
use crate::core::rule::{Audience, Rule, RuleState};
use crate::core::time::Time;

/// Whether a rule proposes anything at all.
pub(super) fn proposes(rule: &Rule) -> bool {
    rule.compensation.is_some() || rule.action.is_some()
}

impl Affected {
    /// As a cause takes it over. `own`: its own incident has joined that one.
    pub(super) fn brought(&self, own: bool) -> Self {
        let offered = self.offered.min(Offered::Before);
        Self { joined: own || self.joined, offered, ..self.clone() }
    }
}

impl Incident {
    /// Proposes for an account what the rule says, unless that was done before.
    pub(super) fn propose(&mut self, rule: &Rule, symbol: Symbol, at: Time, effects: &mut Vec<Effect>) {
        if self.muted || self.silent || !proposes(rule) {
            return;
        }
        let Some(account) = self.affected.get(&symbol).filter(|account| account.offered == Offered::No)
        else {
            return;
        };
        let joined_only = rule.notice.as_ref().is_some_and(|notice| notice.to == Audience::Joined);
        if joined_only && !account.joined {
            return;
        }
        self.write_proposals(rule, account, self.id, ProposalState::Proposed, at, effects);
        if let Some(account) = self.affected.get_mut(&symbol) {
            account.offered = Offered::Here;
            self.touched.insert(symbol);
        }
    }

    /// Proposes what is about the subject as a whole, and once.
    pub(super) fn propose_for_subject(&mut self, rule: &Rule, at: Time, effects: &mut Vec<Effect>) {
        let asked = rule.action.as_ref().filter(|action| action.scope == ActionScope::Subject);
        if self.muted || self.silent || self.subject_offered || asked.is_none() {
            return;
        }
        self.subject_offered = true;
        self.write_subject_proposal(rule, ProposalState::Proposed, at, effects);
    }

    /// It has joined a cause that proposes nothing itself: what its own rule proposes is shown on that ticket.
    pub(super) fn propose_to_cause(
        &mut self,
        rule: &Rule,
        cause: &Cause,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        // A shadow rule has nothing to say on the ticket of another one.
        if cause.proposes || rule.state != RuleState::Active || !proposes(rule) || self.muted {
            return;
        }
        let Some(symbol) = self.account() else { return };
        let Some(account) = self.affected.get(&symbol).filter(|account| account.offered == Offered::No)
        else {
            return;
        };
        self.write_proposals(rule, account, cause.id, ProposalState::Proposed, at, effects);
        if let Some(account) = self.affected.get_mut(&symbol) {
            account.offered = Offered::Here;
            self.touched.insert(symbol);
        }
    }

    /// It was never true: neither is what was proposed because of it. `shown_on`: the ticket that shows it.
    pub(super) fn withdraw_proposals(
        &mut self,
        rule: &Rule,
        shown_on: IncidentId,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let here = self.affected.iter().filter(|(_, account)| account.offered == Offered::Here);
        let offered: Vec<Symbol> = here.map(|(symbol, _)| *symbol).collect();
        for symbol in offered {
            if let Some(account) = self.affected.get(&symbol) {
                self.write_proposals(rule, account, shown_on, ProposalState::Withdrawn, at, effects);
            }
            if let Some(account) = self.affected.get_mut(&symbol) {
                account.offered = Offered::No;
                self.touched.insert(symbol);
            }
        }
        if std::mem::take(&mut self.subject_offered) {
            self.write_subject_proposal(rule, ProposalState::Withdrawn, at, effects);
        }
    }

    fn write_proposals(
        &self,
        rule: &Rule,
        account: &Affected,
        shown_on: IncidentId,
        state: ProposalState,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let facts = account.facts.as_deref().or(self.facts.as_deref());
        let step = self.paid.filter(|_| self.account() == Some(Symbol::of(&account.account_id)));
        let offer = rule.compensation.as_ref().and_then(|compensation| compensation.offer(facts, step));
        let action = rule.action.as_ref().filter(|action| action.scope == ActionScope::Affected);
        let action = action.map(|action| Proposed::Action(action.name.clone()));
        for what in offer.map(Proposed::Compensation).into_iter().chain(action) {
            let (account_id, facts) = (account.account_id.clone(), facts.cloned());
            self.write_proposal(rule, account_id, facts, what, shown_on, state, at, effects);
        }
    }

    fn write_subject_proposal(&self, rule: &Rule, state: ProposalState, at: Time, effects: &mut Vec<Effect>) {
        let Some(action) = &rule.action else { return };
        let (what, facts) = (Proposed::Action(action.name.clone()), self.facts.as_deref().cloned());
        let nobody = CompactString::default();
        self.write_proposal(rule, nobody, facts, what, self.id, state, at, effects);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one proposal, each from another place")]
    fn write_proposal(
        &self,
        rule: &Rule,
        account_id: CompactString,
        facts: Option<Facts>,
        what: Proposed,
        shown_on: IncidentId,
        state: ProposalState,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        // The ticket's step before it: whatever is written of the same proposal later comes after a further step.
        let number = self.revision * 2 + u32::from(state == ProposalState::Withdrawn);
        let shadow = rule.state != RuleState::Active;
        let facts = facts.map(Box::new);
        let proposal = Proposal { origin: self.id, account_id, what, state, number, shadow, facts };
        let effect = self.effect(rule, at, EffectKind::Proposal(Box::new(proposal)));
        effects.push(Effect { incident: shown_on, ..effect });
    }
}
