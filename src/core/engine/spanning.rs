//! Rules whose subjects span partitions: merging the shards' aggregates, feeding re-keyed events, and bringing causes and
//! their customers together.

use std::sync::Arc;

use super::{Engine, Scope, take_judgements};
use crate::core::event::{Event, Facts, Symbol, Topic};
use crate::core::incident::cover::Cause;
use crate::core::incident::{Affected, Finding, Key, Offered};
use crate::core::rule::verdict::{Evidence, Judged, Verdict};
use crate::core::rule::{Rule, subject_key};
use crate::core::shard::SILENT_INPUT_BOUND;
use crate::core::time::Time;

impl Engine {
    /// Judges the rules that span partitions up to `now`, the time that every shard with unread records has passed.
    pub fn advance_scope(&mut self, now: Time) {
        if now <= self.scope.now || (now < self.scope.next_due && self.scope.waiting.is_empty()) {
            return;
        }
        self.scope.now = now;
        let fed = self.feed_rekeyed(now);
        if now < self.scope.next_due {
            // Sums are judged at their steps, however many re-keyed events come in between.
            if fed {
                self.refresh_causes(now);
                let incidents = self.scope.incidents.next_due().unwrap_or(Time::MAX);
                self.scope.next_due = self.scope.next_due.min(incidents);
            }
            return;
        }
        let judged_before = std::mem::replace(&mut self.scope.judged, now);
        self.scope.rekeyed.sweep(&self.rules, &self.plan.topics);
        let rules = Arc::clone(&self.rules);
        let mut verdicts = Vec::new();
        for (index, rule) in (0..).zip(&rules.rules) {
            self.judge_aggregates(index, rule, now, &mut verdicts);
        }
        // After a leap (in a backlog, after a silence) many steps are judged at once. What was found and what ended in
        // them happens in the order of time, and an incident whose time is over between two of them ends between them.
        verdicts.sort_by_key(|(at, ..)| *at);
        for (at, index, judged) in verdicts {
            // What is judged again is decided now, whenever it was.
            let at = at.max(judged_before);
            self.advance_incidents(at);
            self.take_aggregate(index, judged, at);
        }
        self.advance_incidents(now);
        self.refresh_causes(now);
        let judges = self.scope.judges.iter().flatten().filter_map(|judge| judge.next_due());
        let incidents = self.scope.incidents.next_due();
        let next_step = crate::core::time::Span::from_secs(1);
        self.scope.next_due =
            judges.chain(incidents).min().unwrap_or(Time::MAX).min((now + next_step).round_up(next_step));
    }

    /// Judges one rule's steps up to `now`; each verdict goes out with the moment of its decision.
    fn judge_aggregates(
        &mut self,
        index: u16,
        rule: &Rule,
        now: Time,
        verdicts: &mut Vec<(Time, u16, Judged)>,
    ) {
        let place = usize::from(index);
        let Some(judge) = &mut self.scope.judges[place] else { return };
        let mut settled = now;
        for shard in self.shards.values_mut() {
            settled = settled.min(shard.moment(rule, self.plan.topics[place], None).settled);
            if let Some(counter) = &mut shard.counters[place] {
                counter.flush(&mut |subject, partial| judge.merge(shard.id, subject, partial));
            }
        }
        let mut judged = std::mem::take(&mut self.judged);
        // A partition that has never been heard of holds the memory of the others back no longer than a silent one.
        let settled = settled.max(now - SILENT_INPUT_BOUND - rule.lateness);
        judge.judge(now, settled, &mut judged);
        for judged in judged.drain(..).filter(|judged| !rule.is_excepted(judged.verdict)) {
            let (Verdict::Found { since: time, .. }
            | Verdict::Withdrawn { since: time }
            | Verdict::Cleared { at: time, .. }
            | Verdict::Resolved { at: time }
            | Verdict::Joined { at: time, .. }) = judged.verdict;
            verdicts.push((time + rule.grace.min(now.since(time)), index, judged));
        }
        self.judged = judged;
    }

    fn take_aggregate(&mut self, index: u16, judged: Judged, at: Time) {
        #[cfg(test)]
        self.said.push((index, judged));
        let key = Key { rule: index, subject: judged.subject };
        match judged.verdict {
            Verdict::Found { since, evidence } => self.scope_found(key, since, evidence, at),
            Verdict::Joined { into, .. } => self.join_wider(key, Key { rule: index, subject: into }, at),
            other => {
                self.scope.incidents.judge(key, other, at, &mut self.effects);
                self.gather_opened(at);
            }
        }
    }

    fn scope_found(&mut self, key: Key, since: Time, evidence: Evidence, at: Time) {
        let Some(judge) = &self.scope.judges[usize::from(key.rule)] else { return };
        let name = || judge.subject_fields(key.subject).cloned().unwrap_or_default();
        let finding = Finding {
            key,
            since,
            evidence,
            at,
            started_at: judge.started_at(key.subject, since).unwrap_or(since),
            over_since: None,
            subject: &name,
            facts: &|| None,
            paid: None,
        };
        let standing = |scope: &Scope| {
            scope.incidents.get(key).map(|incident| (incident.started_at, incident.lapsed().is_some()))
        };
        let before = standing(&self.scope);
        self.scope.incidents.find(&finding, None, &mut self.effects);
        self.gather_opened(at);
        if let (Some((begun, lapsed)), Some((begun_now, lapsed_now))) = (before, standing(&self.scope))
            && (begun_now < begun || lapsed && !lapsed_now)
        {
            self.gather_more(key, at);
        }
    }

    /// The trouble of an open incident began earlier than was thought, or has come back before it was over: those who have
    /// met it before, or in between, belong to it too.
    fn gather_more(&mut self, key: Key, at: Time) {
        let met = self.met_symptom(key);
        self.scope.incidents.affect(key, met, at, &mut self.effects);
    }

    /// The accounts that have shown the symptom since the trouble of an incident began, as far as it is remembered.
    fn met_symptom(&self, key: Key) -> Vec<Affected> {
        let Some(incident) = self.scope.incidents.get(key) else { return Vec::new() };
        let counters =
            self.shards.values().filter_map(|shard| shard.counters[usize::from(key.rule)].as_ref());
        let symptoms = counters.flat_map(|counter| counter.symptoms_after(key.subject, incident.started_at));
        symptoms.map(affected).collect()
    }

    /// Lets the time of incidents pass; what opens is announced before anything else happens.
    fn advance_incidents(&mut self, now: Time) {
        loop {
            self.scope.incidents.advance(now, &mut self.effects);
            if !self.gather_opened(now) {
                return;
            }
        }
    }

    fn gather_opened(&mut self, now: Time) -> bool {
        let mut any = false;
        while let Some(key) = self.scope.incidents.take_opened() {
            any = true;
            self.gather(key, now);
        }
        any
    }

    /// An incident that spans partitions has opened: every shard answers with the accounts that met its symptom, and the
    /// accounts' own incidents that it explains join it. The ticket that opens then says how many it touches.
    fn gather(&mut self, key: Key, at: Time) {
        if self.scope.incidents.get(key).is_none() {
            self.gather_rekeyed(key, at);
            return;
        }
        let cause = self.scope.incidents.cause(key);
        // Those who were told of their own incident come first, so that they do not hear twice.
        let mut joining = Vec::new();
        let mut met = Vec::new();
        if let Some(cause) = &cause {
            for shard in self.shards.values_mut().chain([&mut self.scope.rekeyed]) {
                for explained in shard.incidents.explained_by(cause) {
                    met.extend(shard.incidents.join(explained, cause, at, &mut joining));
                }
            }
        }
        met.extend(self.met_symptom(key));
        self.scope.incidents.meet(key, met, at, &mut self.effects);
        self.effects.append(&mut joining);
        if let Some(cause) =
            cause.filter(|cause| self.scope.causes.iter().all(|known| known.key != cause.key))
        {
            self.scope.causes.push(cause);
        }
    }

    /// The same for an incident whose events were re-keyed. Who met its symptom only it knows; what it explains joins it.
    fn gather_rekeyed(&mut self, key: Key, at: Time) {
        let Some(cause) = self.scope.rekeyed.incidents.cause(key) else { return };
        let mut joining = Vec::new();
        let mut met = Vec::new();
        for shard in self.shards.values_mut() {
            for explained in shard.incidents.explained_by(&cause) {
                met.extend(shard.incidents.join(explained, &cause, at, &mut joining));
            }
        }
        self.scope.rekeyed.incidents.affect(key, met, at, &mut self.effects);
        self.effects.append(&mut joining);
    }

    /// A wider slice explains a narrower one: its incident merges into the wider one, customers and all.
    fn join_wider(&mut self, narrow: Key, wide: Key, at: Time) {
        let Some(cause) = self.scope.incidents.cause(wide) else { return };
        let accounts = self.scope.incidents.join(narrow, &cause, at, &mut self.effects);
        self.scope.incidents.affect(wide, accounts, at, &mut self.effects);
    }

    /// Brings the list of open causes up to date; what had joined one that is over is let go.
    fn refresh_causes(&mut self, now: Time) {
        let causes = self.scope.known_causes();
        let known = std::mem::replace(&mut self.scope.causes, causes);
        let is_new = |cause: &&Cause| known.iter().all(|known| known.key != cause.key);
        let fresh: Vec<Key> = self.scope.causes.iter().filter(is_new).map(|cause| cause.key).collect();
        for old in known {
            if self.scope.causes.iter().any(|cause| cause.key == old.key) {
                continue;
            }
            for shard in self.shards.values_mut().chain([&mut self.scope.rekeyed]) {
                shard.incidents.leave(old.key, now);
            }
            self.scope.incidents.leave(old.key, now);
        }
        for key in fresh {
            self.gather(key, now);
        }
    }

    /// An event was a symptom of what a rule counts: the customers of an open incident grow.
    pub(super) fn affect_open_causes(&mut self, index: u16, event: &Event<'_>, at: Time) {
        if self.scope.causes.is_empty() {
            return;
        }
        for subject in std::mem::take(&mut self.symptoms) {
            let key = Key { rule: index, subject };
            let Some(incident) = self.scope.incidents.get(key) else { continue };
            if event.time >= incident.started_at && incident.lapsed().is_none() {
                let account = affected(Facts::of(event));
                self.scope.incidents.affect(key, [account], at, &mut self.effects);
            }
        }
    }

    pub(super) fn resolve_scope(&mut self, index: u16, rule: &Rule, event: &Event<'_>, at: Time) {
        let Some(condition) = &rule.incident.resolve_when else { return };
        if !self.scope.incidents.is_empty() && condition.holds(event) {
            super::resolve(&mut self.scope.incidents, index, rule, event, at, &mut self.effects);
        }
    }

    /// Sends an event to the shard of its subject, if it can start, end or resolve anything there; it is judged once every
    /// partition has passed it.
    pub(super) fn rekey(&mut self, shard: u32, index: u16, rule: &Rule, event: &Event<'_>) {
        let starts = || rule.topics.contains(event.event_type) && rule.filter.holds(event);
        let has_subject = || rule.groups.first().is_some_and(|group| subject_key(group, event).is_some());
        let resolves = || rule.incident.resolve_when.as_ref().is_some_and(|condition| condition.holds(event));
        if !(starts() && has_subject() || self.plan.endings[usize::from(index)].holds(event) || resolves()) {
            return;
        }
        if let Some(middle) = self.scope.waiting.push(shard, index, event) {
            self.feed_rekeyed(middle);
        }
    }

    /// Returns whether there was anything to judge.
    fn feed_rekeyed(&mut self, now: Time) -> bool {
        let rules = Arc::clone(&self.rules);
        let mut heard = [Time::MIN; Topic::ALL.len()];
        for shard in self.shards.values_mut() {
            heard.iter_mut().zip(shard.newest()).for_each(|(heard, newest)| *heard = newest.max(*heard));
        }
        let mut any = false;
        while let Some((time, waited)) = self.scope.waiting.take(now) {
            let index = waited.rule;
            let (Some(rule), Ok(mut event)) = (rules.rules.get(usize::from(index)), waited.event()) else {
                continue;
            };
            event.symbolize(self.plan.symbols);
            self.pass_rekeyed(time);
            self.scope.rekeyed.take_note_of(heard, time);
            self.observe_rekeyed(index, rule, &event);
            any = true;
        }
        any |= self.pass_rekeyed(now);
        self.scope.rekeyed.take_note_of(heard, now);
        any
    }

    fn observe_rekeyed(&mut self, index: u16, rule: &Rule, event: &Event<'_>) {
        let state = &mut self.scope.rekeyed;
        state.take_note(event);
        let place = usize::from(index);
        let moment = state.moment(rule, self.plan.topics[place], Some(event));
        let at = event.time.max(state.now);
        let starts = rule.topics.contains(event.event_type) && rule.filter.holds(event);
        let subject = rule.groups.first().and_then(|group| subject_key(group, event));
        let ends_by_key = rule.detect.ends_by_key().then_some(Symbol::MISSING);
        let starts = starts && subject.is_some();
        if let (Some(watch), Some(subject)) = (&mut state.watches[place], subject.or(ends_by_key)) {
            let mut judged = std::mem::take(&mut self.judged);
            watch.observe(subject, starts, event, moment, &mut judged);
            self.take_rekeyed(index, rule, &judged, Some(event), at);
            judged.clear();
            self.judged = judged;
        }
        if let Some(condition) = &rule.incident.resolve_when
            && condition.holds(event)
        {
            let incidents = &mut self.scope.rekeyed.incidents;
            super::resolve(incidents, index, rule, event, at, &mut self.effects);
        }
        self.scope.rekeyed.reschedule();
    }

    fn take_rekeyed(
        &mut self,
        index: u16,
        rule: &Rule,
        judged: &[Judged],
        event: Option<&Event<'_>>,
        at: Time,
    ) {
        #[cfg(test)]
        self.said.extend(judged.iter().map(|judged| (index, *judged)));
        let Scope { incidents, rekeyed, causes, .. } = &mut self.scope;
        // What joins another incident of this kind is written down once this is done with.
        let mut beside = Vec::new();
        let join = |cause: &Cause, accounts: Vec<Affected>, effects: &mut Vec<_>| {
            if incidents.get(cause.key).is_some() {
                incidents.affect(cause.key, accounts, at, effects);
            } else {
                beside.push((cause.key, accounts));
            }
        };
        let judged = rule.unexcepted(judged);
        take_judgements(rekeyed, index, rule, &judged, event, at, causes, &mut self.effects, join);
        for (key, accounts) in beside {
            rekeyed.incidents.affect(key, accounts, at, &mut self.effects);
        }
    }

    /// Returns whether anything was due.
    fn pass_rekeyed(&mut self, now: Time) -> bool {
        let due = self.scope.rekeyed.next_due <= now;
        while self.scope.rekeyed.next_due <= now {
            let rules = Arc::clone(&self.rules);
            let due = self.scope.rekeyed.next_due.max(self.scope.rekeyed.now);
            self.scope.rekeyed.now = due;
            for (index, rule) in (0..).zip(&rules.rules) {
                let place = usize::from(index);
                let moment = self.scope.rekeyed.moment(rule, self.plan.topics[place], None);
                let Some(watch) = &mut self.scope.rekeyed.watches[place] else { continue };
                if watch.next_due().is_none_or(|time| time > due) {
                    continue;
                }
                let mut judged = std::mem::take(&mut self.judged);
                watch.advance(moment, &mut judged);
                self.take_rekeyed(index, rule, &judged, None, due);
                judged.clear();
                self.judged = judged;
            }
            self.scope.rekeyed.incidents.advance(due, &mut self.effects);
            self.scope.rekeyed.reschedule();
        }
        self.scope.rekeyed.now = self.scope.rekeyed.now.max(now);
        due
    }
}

impl Scope {
    /// The open incidents that span partitions, however their events came together.
    pub(super) fn known_causes(&self) -> Vec<Cause> {
        let mut causes = self.incidents.causes();
        causes.append(&mut self.rekeyed.incidents.causes());
        causes.sort_by_key(|cause| cause.key);
        causes
    }
}

fn affected(facts: Facts) -> Affected {
    Affected {
        account_id: facts.account_id.clone(),
        facts: Some(Box::new(facts)),
        told: false,
        joined: false,
        offered: Offered::No,
    }
}
