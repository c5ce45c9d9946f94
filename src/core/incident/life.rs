//! The steps of one incident's life. Each is a function of the incident, its rule and event time.

use compact_str::CompactString;

use super::cover::Cause;
use super::state::{Affected, Incident, Offered, Phase};
use super::{AFTERLIFE, Finding, Outcome};
use crate::core::desk;
use crate::core::effect::{Effect, EffectKind, EndReason, Stage, TicketStep};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::{Audience, Rule, RuleState};
use crate::core::time::{Span, Time};

/// Customers whom one incident names. Beyond it they are only counted: the guard has long stopped telling people by
/// then, and a person decides.
pub(super) const AFFECTED_BOUND: usize = 200_000;

/// Findings that can still be withdrawn; older ones count as settled.
const FINDINGS_BOUND: usize = 64;

impl Incident {
    /// The first finding was made: it opens at once unless something explains it already, or the rule lets it pend or wait
    /// for a cause.
    pub(super) fn start(
        &mut self,
        rule: &Rule,
        at: Time,
        cause: Option<&Cause>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.begin(rule, at, Span::ZERO, cause, effects)
    }

    /// `held`: how long its condition has lasted already.
    fn begin(
        &mut self,
        rule: &Rule,
        at: Time,
        held: Span,
        cause: Option<&Cause>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        if self.silenced {
            return self.fall_silent(rule);
        }
        if let Some(cause) = cause {
            return Outcome::Joined(self.join(rule, cause, at, effects));
        }
        if rule.pending > held && rule.pends() {
            self.pend(rule);
            return Outcome::Pending;
        }
        self.wait_or_open(rule, at)
    }

    /// It goes on without a ticket until it is over, or found where no silence covers it.
    fn fall_silent(&mut self, rule: &Rule) -> Outcome {
        self.phase = Phase::Silenced;
        self.arm(rule);
        Outcome::Pending
    }

    /// It opens once its condition has lasted, by the time of its first finding and not by that of its arrival.
    pub(super) fn pend(&mut self, rule: &Rule) {
        self.phase = Phase::Pending { until: self.since + rule.pending };
    }

    pub(super) fn wait_or_open(&mut self, rule: &Rule, at: Time) -> Outcome {
        if !rule.incident.covered_by.is_empty() && rule.incident.wait > Span::ZERO {
            self.phase = Phase::Waiting { until: at + rule.incident.wait };
            return Outcome::Pending;
        }
        self.open(rule, at);
        Outcome::Opened
    }

    /// A further finding about a subject that has an incident.
    pub(super) fn feed(
        &mut self,
        rule: &Rule,
        finding: &Finding<'_>,
        silenced: bool,
        cause: Option<&Cause>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        match self.phase {
            Phase::Silenced => {
                self.remember(finding);
                self.silenced &= silenced;
                // What has lasted through a silence need not last again.
                self.begin(rule, finding.at, finding.since.since(self.since), cause, effects)
            }
            Phase::Pending { .. } => {
                self.remember(finding);
                self.pend(rule);
                Outcome::Fed
            }
            Phase::Waiting { .. } | Phase::Joined { .. } => {
                self.remember(finding);
                Outcome::Fed
            }
            // What was found while the rule was not to be heard stays untold; what is found now is not.
            Phase::Open if self.silent && !self.hushed && !rule.detect.lasts() => {
                self.afresh(finding);
                self.silent = false;
                self.silenced = silenced;
                self.begin(rule, finding.at, Span::ZERO, cause, effects)
            }
            Phase::Open => {
                self.remember(finding);
                self.arm(rule);
                Outcome::Fed
            }
            Phase::Ended { at, .. } if finding.since <= at => {
                self.remember(finding);
                Outcome::Fed
            }
            Phase::Ended { .. } if silenced => Outcome::Fed,
            Phase::Ended { at, .. } if finding.since < at + self.cooldown => {
                self.reopened = true;
                self.afresh(finding);
                if let Some(cause) = cause {
                    // Trouble of another origin: who was told of the earlier one has not heard of this.
                    for account in self.affected.values_mut() {
                        account.told = false;
                    }
                    let mut joined = self.join(rule, cause, finding.at, effects);
                    for account in &mut joined {
                        account.offered = Offered::No;
                    }
                    return Outcome::Joined(joined);
                }
                self.phase = Phase::Open;
                self.silent = self.hushed;
                self.cooldown = (self.cooldown + self.cooldown).min(rule.incident.cooldown_max);
                self.arm(rule);
                self.unannounced = Some((self.opening_step(), finding.at));
                Outcome::Opened
            }
            Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => {
                let subject = std::mem::take(&mut self.subject);
                let id = super::identity(rule, &subject, finding.since);
                // Found again at the same moment, it is the same incident, and its numbering goes on.
                let revision = if id == self.id { self.revision } else { 0 };
                let affected = std::mem::take(&mut self.affected);
                let hushed = self.hushed;
                *self = Self::new(id, 0, subject, (finding.facts)(), finding, rule.incident.cooldown);
                self.hushed = hushed;
                self.revision = revision;
                self.silenced = silenced;
                if revision > 0 {
                    self.affected = affected;
                } else {
                    self.forgotten = affected.into_keys().collect();
                }
                self.start(rule, finding.at, cause, effects)
            }
        }
    }

    /// Where nothing was ever said of it, it has not come back but come.
    const fn opening_step(&self) -> TicketStep {
        if self.reopened && self.revision > 0 { TicketStep::Reopened } else { TicketStep::Opened }
    }

    /// What is remembered anew when the trouble comes back.
    fn afresh(&mut self, finding: &Finding<'_>) {
        self.since = finding.since;
        self.started_at = finding.started_at.min(finding.since);
        self.findings.clear();
        self.settled_findings = 0;
        self.cleared = None;
        // What was said of the time before stays as true as it was.
        (self.opening, self.earlier) = (None, None);
        if let Some(facts) = (finding.facts)() {
            self.facts = Some(facts);
        }
        self.remember(finding);
    }

    fn remember(&mut self, finding: &Finding<'_>) {
        if let Err(place) = self.findings.binary_search(&finding.since) {
            self.findings.insert(place, finding.since);
        }
        if self.findings.len() > FINDINGS_BOUND {
            self.findings.remove(0);
            self.settled_findings = self.settled_findings.saturating_add(1);
        }
        if finding.since < self.since {
            self.since = finding.since;
            self.earlier = (finding.facts)();
        }
        self.started_at = self.started_at.min(finding.started_at);
        if finding.since >= self.last_finding {
            self.last_finding = finding.since;
            self.evidence = finding.evidence;
        }
        // A late finding from before the end says nothing about what came after it.
        if self.cleared.is_some_and(|(cleared, _)| finding.since >= cleared) {
            self.cleared = None;
        }
    }

    /// The end of its condition, unless it was found true after that.
    pub(crate) fn lapsed(&self) -> Option<(Time, bool)> {
        self.cleared.filter(|(cleared, _)| *cleared >= self.last_finding)
    }

    /// Its timer has run out.
    pub(super) fn due_now(&mut self, rule: &Rule, now: Time, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Pending { .. } => {
                self.wait_or_open(rule, now);
            }
            Phase::Waiting { .. } => {
                self.open(rule, now);
                if matches!(self.lapsed(), Some((_, true))) {
                    self.end(rule, EndReason::Recovered, now, effects);
                }
            }
            Phase::Open => match self.lapsed() {
                Some((_, healthy)) => self.end(rule, reason(healthy), now, effects),
                None => self.end(rule, EndReason::Quiet, now, effects),
            },
            Phase::Joined { .. } | Phase::Silenced | Phase::Ended { .. } | Phase::Withdrawn { .. } => {
                self.phase = Phase::Gone;
            }
            Phase::Gone => {}
        }
    }

    pub(super) fn open(&mut self, rule: &Rule, at: Time) {
        self.phase = Phase::Open;
        self.silent = self.hushed;
        self.opened_at = at;
        self.arm(rule);
        self.count_own_account();
        self.unannounced = Some((self.opening_step(), at));
    }

    /// Says that it has opened, with everybody whom it touches so far, and then tells them.
    pub(super) fn announce(&mut self, rule: &Rule, met: Vec<Affected>, effects: &mut Vec<Effect>) {
        let Some((step, at)) = self.unannounced.take() else { return };
        let mut fresh = Vec::new();
        for account in met {
            let symbol = Symbol::of(&account.account_id);
            match self.affected.get_mut(&symbol) {
                Some(known) => {
                    known.told |= account.told;
                    known.joined |= account.joined;
                    known.offered = known.offered.max(account.offered);
                }
                None => fresh.extend(self.name(symbol, account).then_some(symbol)),
            }
        }
        self.step(rule, step, at, effects);
        self.propose_for_subject(rule, at, effects);
        self.touch_own_account(rule, at, effects);
        for symbol in fresh {
            self.write_touched(rule, symbol, at, effects);
        }
    }

    pub(super) fn end(&mut self, rule: &Rule, reason: EndReason, at: Time, effects: &mut Vec<Effect>) {
        self.announce(rule, Vec::new(), effects);
        self.phase = Phase::Ended { at, reason };
        // What arrives late may still belong to it, or show that it was never true.
        self.timer = Some(at + self.cooldown + rule.lateness);
        self.step(rule, TicketStep::Resolved(reason), at, effects);
        if reason == EndReason::Recovered {
            let recovered = rule.notice.as_ref().and_then(|notice| notice.recovered.as_deref());
            self.tell_those_told(rule, recovered, Stage::Recovered, at, effects);
        }
    }

    /// Sets the timer of an open incident.
    pub(super) fn arm(&mut self, rule: &Rule) {
        self.timer = match self.lapsed() {
            Some((since, _)) => Some(since + rule.keep_firing),
            None if rule.detect.lasts() => None,
            None => Some(self.last_finding + rule.incident.close_after),
        };
    }

    /// An account meets the trouble of an open incident. The first time it is counted and, where the rule says so, told.
    pub(crate) fn affect(&mut self, rule: &Rule, account: Affected, at: Time, effects: &mut Vec<Effect>) {
        let symbol = Symbol::of(&account.account_id);
        if let Some(known) = self.affected.get_mut(&symbol) {
            if account.joined && !known.joined {
                // It has met the symptom before; only now is it known to have the trouble.
                let (told, offered) = (known.told || account.told, known.offered.max(account.offered));
                *known = Affected { told, offered, ..account };
                self.touched.insert(symbol);
                self.tell(rule, symbol, at, effects);
                self.propose(rule, symbol, at, effects);
            }
            return;
        }
        if self.name(symbol, account) {
            self.write_touched(rule, symbol, at, effects);
        }
        if self.affected_count() >= self.affected_reported.saturating_mul(4).max(16) {
            self.step(rule, TicketStep::Updated, at, effects);
        }
    }

    /// Puts an account on the list, unless the list is full: then it is counted, and false is the answer.
    fn name(&mut self, symbol: Symbol, account: Affected) -> bool {
        if self.affected.len() >= AFFECTED_BOUND {
            self.affected_unnamed = self.affected_unnamed.saturating_add(1);
            return false;
        }
        self.affected.insert(symbol, account);
        self.touched.insert(symbol);
        true
    }

    /// Writes down that an account is touched and tells it where the rule says so.
    fn write_touched(&mut self, rule: &Rule, symbol: Symbol, at: Time, effects: &mut Vec<Effect>) {
        if let Some(account) = self.affected.get(&symbol) {
            self.write_affected(rule, account, at, effects);
        }
        self.tell(rule, symbol, at, effects);
        self.propose(rule, symbol, at, effects);
    }

    fn tell(&mut self, rule: &Rule, symbol: Symbol, at: Time, effects: &mut Vec<Effect>) {
        if self.muted || self.silent {
            return;
        }
        let Some(account) = self.affected.get(&symbol).filter(|account| !account.told) else { return };
        let notice = rule.notice.as_ref().filter(|notice| match notice.to {
            Audience::Affected => true,
            Audience::Joined => account.joined,
            Audience::Account | Audience::Manager => false,
        });
        if let Some(notice) = notice {
            self.write_notice(rule, account, &notice.template, Stage::Opened, at, effects);
            if let Some(account) = self.affected.get_mut(&symbol) {
                account.told = true;
            }
        }
    }

    /// The account that the finding itself is about, if there is one.
    fn count_own_account(&mut self) {
        if let Some(facts) = self.facts.as_ref().filter(|facts| !facts.account_id.is_empty()) {
            let account = Affected {
                account_id: facts.account_id.clone(),
                facts: Some(facts.clone()),
                told: false,
                joined: false,
                offered: Offered::No,
            };
            let symbol = Symbol::of(&facts.account_id);
            self.affected.entry(symbol).or_insert(account);
            self.touched.insert(symbol);
        }
    }

    fn touch_own_account(&mut self, rule: &Rule, at: Time, effects: &mut Vec<Effect>) {
        let Some(symbol) = self.facts.as_ref().map(|facts| Symbol::of(&facts.account_id)) else { return };
        let Some(mut account) = self.affected.get(&symbol).cloned() else { return };
        self.write_affected(rule, &account, at, effects);
        let over = matches!(self.lapsed(), Some((_, true)));
        // Where those are told whose own incident joins, the account of the event that tipped the scales need not be one.
        let is_meant = |to| to != Audience::Joined || account.joined;
        let notice = rule.notice.as_ref().filter(|notice| is_meant(notice.to));
        if let Some(notice) = notice.filter(|_| !account.told && !over && !self.silent) {
            account.told = true;
            self.write_notice(rule, &account, &notice.template, Stage::Opened, at, effects);
            self.affected.insert(symbol, account);
            self.touched.insert(symbol);
        }
        if !over {
            self.propose(rule, symbol, at, effects);
        }
    }

    pub(super) fn tell_those_told(
        &self,
        rule: &Rule,
        template: Option<&str>,
        stage: Stage,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let Some(template) = template else { return };
        for account in self.affected.values().filter(|account| account.told) {
            self.write_notice(rule, account, template, stage, at, effects);
        }
    }

    /// Joins the incident that explains this one. Returns the accounts that the other now has to name.
    pub(super) fn join(
        &mut self,
        rule: &Rule,
        cause: &Cause,
        at: Time,
        effects: &mut Vec<Effect>,
    ) -> Vec<Affected> {
        self.count_own_account();
        if self.is_told_of() {
            self.step(rule, TicketStep::Merged(cause.id), at, effects);
        }
        self.phase = Phase::Joined { cause: cause.key, id: cause.id };
        self.timer = None;
        if rule.state == RuleState::Shadow && !cause.shadow {
            // Nobody hears of it, not by way of a ticket that is none of its own either.
            return Vec::new();
        }
        self.propose_to_cause(rule, cause, at, effects);
        // Those of a narrower slice have met a symptom, no more.
        let own = self.facts.is_some();
        let known = self.affected.values();
        known.map(|account| account.brought(own)).collect()
    }

    /// The cause that this incident had joined is over.
    pub(super) fn leave(&mut self, at: Time) {
        self.phase = Phase::Withdrawn { at };
        self.timer = Some(at + AFTERLIFE);
    }

    /// The database is ahead in its numbering: go on from there and write the present state once more.
    pub(super) fn catch_up(&mut self, rule: &Rule, at: Time, effects: &mut Vec<Effect>) {
        if self.known_revision <= self.revision {
            return;
        }
        self.revision = self.known_revision;
        let step = match self.phase {
            Phase::Open => TicketStep::Updated,
            Phase::Ended { reason, .. } => TicketStep::Resolved(reason),
            Phase::Withdrawn { .. } => TicketStep::Withdrawn,
            Phase::Joined { id, .. } => TicketStep::Merged(id),
            Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced | Phase::Gone => return,
        };
        self.step(rule, step, at, effects);
    }

    pub(super) fn step(&mut self, rule: &Rule, step: TicketStep, at: Time, effects: &mut Vec<Effect>) {
        self.affected_reported = self.affected_count();
        if self.silent {
            return;
        }
        self.revision += 1;
        let snapshot = desk::snapshot(rule, self);
        let kind = EffectKind::Ticket { revision: self.revision, step, snapshot };
        effects.push(self.effect(rule, at, kind));
    }

    fn write_affected(&self, rule: &Rule, account: &Affected, at: Time, effects: &mut Vec<Effect>) {
        let Some(facts) = account.facts.clone().or_else(|| self.facts.clone()).filter(|_| !self.silent)
        else {
            return;
        };
        let kind = EffectKind::Affected { account_id: account.account_id.clone(), facts };
        effects.push(self.effect(rule, at, kind));
    }

    fn write_notice(
        &self,
        rule: &Rule,
        account: &Affected,
        template: &str,
        stage: Stage,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        if self.silent {
            return;
        }
        // What nobody was told of needs neither an end nor a correction.
        let shadow = match rule.state {
            RuleState::Active => false,
            RuleState::Shadow if stage == Stage::Opened => true,
            RuleState::Shadow | RuleState::Paused => return,
        };
        let Some(facts) = account.facts.clone().or_else(|| self.facts.clone()) else { return };
        let template = CompactString::from(template);
        let kind =
            EffectKind::Notice { account_id: account.account_id.clone(), stage, template, facts, shadow };
        effects.push(self.effect(rule, at, kind));
    }

    pub(super) fn effect(&self, rule: &Rule, at: Time, kind: EffectKind) -> Effect {
        let rule = CompactString::from(&rule.name);
        Effect { at, incident: self.id, rule, subject: self.subject.clone(), kind }
    }

    /// The event behind the incident, for matching it with what may explain it.
    pub(super) fn own_facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }
}

pub(super) const fn reason(healthy: bool) -> EndReason {
    if healthy { EndReason::Recovered } else { EndReason::Quiet }
}
