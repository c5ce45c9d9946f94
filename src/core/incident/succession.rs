//! What becomes of incidents when other rules take over: those of rules that stay go on, those of rules that say something
//! else go on as far as these agree, those of rules that are gone end or are left to staff.

use std::sync::Arc;

use hashbrown::HashMap;

use super::kinship::Kinship;
use super::state::{self, Incident, Phase};
use super::{Incidents, Key};
use crate::core::effect::{Effect, EndReason};
use crate::core::event::Symbol;
use crate::core::rule::{OnRemove, Rule, RuleSet};
use crate::core::time::Time;

/// What becomes of a rule; the number is its place in the new set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It says what it said.
    Stays(u16),
    /// Another version has taken its place, with a state of its own.
    Replaced(u16),
    /// It is no longer judged; the number, if it is still there (paused).
    Ends(Option<u16>),
}

impl Fate {
    const fn place(self) -> Option<u16> {
        match self {
            Self::Stays(place) | Self::Replaced(place) => Some(place),
            Self::Ends(place) => place,
        }
    }
}

/// The change from one rule set to another.
pub struct Succession<'a> {
    pub rules: &'a Arc<RuleSet>,
    /// By the old rules.
    pub fates: &'a [Fate],
    /// By the rules of the engine that was warmed: their places in the new set.
    pub warmed: &'a [u16],
    /// By the new rules.
    pub quiet_until: &'a [Time],
    pub at: Time,
}

impl Incidents {
    /// By rule: what opens before these times opens silently.
    pub fn set_quiet(&mut self, until: &[Time]) {
        self.quiet_until = until.to_vec();
    }

    /// Where the rules of the checkpoint that is put back next stand now, by their places then.
    pub fn set_moved(&mut self, moved: &[Option<u16>]) {
        self.moved = moved.to_vec();
    }

    /// Since when the oldest incident of these rules is open.
    pub fn oldest_open(&self, rules: &[u16]) -> Option<Time> {
        let of_rules = self.live.iter().filter(|(key, _)| rules.contains(&key.rule));
        let open = of_rules.filter(|(_, incident)| incident.is_told_of());
        open.map(|(_, incident)| incident.started_at).min()
    }

    /// Goes over to other rules. `warmed`: what the replaced ones would have now, had they always been there.
    pub fn succeed(&mut self, change: &Succession<'_>, warmed: Option<&mut Self>, effects: &mut Vec<Effect>) {
        let old_rules = std::mem::replace(&mut self.rules, Arc::clone(change.rules));
        let mut fresh = warmed.map(|warmed| warmed.hand_over(change)).unwrap_or_default();
        self.recount(change);
        self.kinship = Kinship::new(change.rules);
        self.awaited = change.rules.awaited_openings();
        self.quiet_until = change.quiet_until.to_vec();
        self.now = change.at;
        self.due.clear();
        self.early.clear();
        self.opened.clear();
        let changed = std::mem::take(&mut self.changed);
        for key in changed {
            match change.fates.get(usize::from(key.rule)).map(|fate| (fate.place(), key)) {
                Some((Some(rule), key)) => drop(self.changed.insert(Key { rule, ..key })),
                Some((None, key)) => self.orphan(&old_rules, key),
                None => {}
            }
        }
        let mut live: Vec<(Key, Incident)> = std::mem::take(&mut self.live).into_iter().collect();
        live.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut incident) in live {
            let fate = change.fates.get(usize::from(key.rule)).copied().unwrap_or(Fate::Ends(None));
            let old_rule = old_rules.rules.get(usize::from(key.rule));
            if let Phase::Joined { cause, id } = incident.phase {
                match change.fates.get(usize::from(cause.rule)).and_then(|fate| fate.place()) {
                    Some(rule) => incident.phase = Phase::Joined { cause: Key { rule, ..cause }, id },
                    None => incident.leave(change.at),
                }
                if let Some(rule) = fate.place() {
                    self.changed.insert(Key { rule, ..key });
                }
            }
            match fate {
                Fate::Stays(rule) => drop(self.live.insert(Key { rule, ..key }, incident)),
                Fate::Replaced(rule) => {
                    let key = Key { rule, ..key };
                    let Some(new_rule) = change.rules.rules.get(usize::from(rule)) else { continue };
                    let told: Vec<Symbol> = incident.affected.keys().copied().collect();
                    let successor = fresh.remove(&key);
                    let kept = succeed_one(new_rule, incident, successor, change.at, effects);
                    self.forget_accounts(new_rule, key, &told, kept.as_ref());
                    self.changed.insert(key);
                    if let Some(kept) = kept {
                        self.live.insert(key, kept);
                    }
                }
                Fate::Ends(place) => {
                    let Some(old_rule) = old_rule else { continue };
                    // Where it is paused, its own new text says what that means for what is open.
                    let new_rule = place.and_then(|place| change.rules.rules.get(usize::from(place)));
                    let on_remove = new_rule.unwrap_or(old_rule).incident.on_remove;
                    if incident.is_told_of() && on_remove == OnRemove::Resolve {
                        incident.end(old_rule, EndReason::RuleChanged, change.at, effects);
                    }
                    self.bury(key, old_rule, &incident);
                    self.orphan(&old_rules, key);
                }
            }
        }
        let mut fresh: Vec<(Key, Incident)> = fresh.into_iter().collect();
        fresh.sort_unstable_by_key(|(key, _)| *key);
        for (key, mut incident) in fresh {
            if let Some(rule) = change.rules.rules.get(usize::from(key.rule)) {
                incident.take_up_known(rule, change.at, effects);
            }
            self.changed.insert(key);
            self.live.insert(key, incident);
        }
        for (key, incident) in &self.live {
            self.kinship.moved(*key, None, incident.account());
            if let Some(due) = incident.due() {
                self.due.insert((due, *key));
            }
        }
    }

    /// Gives its incidents away, under the places that their rules have in the new set.
    fn hand_over(&mut self, change: &Succession<'_>) -> HashMap<Key, Incident> {
        let place = |rule: u16| change.warmed.get(usize::from(rule)).copied();
        let live = std::mem::take(&mut self.live).into_iter();
        let taken = live.filter_map(|(key, mut incident)| {
            let rule = place(key.rule)?;
            if !change.fates.contains(&Fate::Replaced(rule)) && !change.is_new(rule) {
                return None;
            }
            if let Phase::Joined { cause, id } = incident.phase {
                incident.phase = Phase::Joined { cause: Key { rule: place(cause.rule)?, ..cause }, id };
            }
            incident.touched = incident.affected.keys().copied().collect();
            incident.forgotten.clear();
            Some((Key { rule, ..key }, incident))
        });
        taken.collect()
    }

    /// Counts go on under the new places.
    fn recount(&mut self, change: &Succession<'_>) {
        let old = std::mem::replace(&mut self.findings, vec![0; change.rules.rules.len()]);
        for (count, fate) in old.into_iter().zip(change.fates) {
            if let Some(sum) = fate.place().and_then(|place| self.findings.get_mut(usize::from(place))) {
                *sum += count;
            }
        }
    }

    /// The records of accounts that its successor does not have are deleted.
    fn forget_accounts(&mut self, rule: &Rule, key: Key, before: &[Symbol], kept: Option<&Incident>) {
        let is_kept = |account: &&Symbol| kept.is_some_and(|kept| kept.affected.contains_key(*account));
        let gone: Vec<Symbol> = before.iter().filter(|account| !is_kept(account)).copied().collect();
        if !gone.is_empty() {
            self.gone.push((state::record_key(rule, key.subject), gone));
        }
    }

    fn orphan(&mut self, old_rules: &RuleSet, key: Key) {
        if let Some(rule) = old_rules.rules.get(usize::from(key.rule)) {
            self.orphaned.push(state::record_key(rule, key.subject));
        }
    }

    /// Lets go of what has joined an incident that is not open any more.
    pub fn release(&mut self, is_open: impl Fn(Key) -> bool, at: Time) {
        let mut left: Vec<(Key, Key)> = Vec::new();
        for (key, incident) in &self.live {
            if let Phase::Joined { cause, .. } = incident.phase
                && !is_open(cause)
                && !self.live.get(&cause).is_some_and(Incident::is_told_of)
            {
                left.push((*key, cause));
            }
        }
        left.sort_unstable();
        for (_, cause) in left {
            self.leave(cause, at);
        }
    }
}

impl Succession<'_> {
    /// No old rule has become this one.
    fn is_new(&self, rule: u16) -> bool {
        self.fates.iter().all(|fate| fate.place() != Some(rule))
    }
}

/// What is left of a subject's incident when another version of its rule takes over. `fresh`: how the subject stands
/// by the new version.
fn succeed_one(
    rule: &Rule,
    mut old: Incident,
    fresh: Option<Incident>,
    at: Time,
    effects: &mut Vec<Effect>,
) -> Option<Incident> {
    let has_ticket = old.revision > 0 && !old.silent;
    let is_joined = matches!(old.phase, Phase::Joined { .. });
    if !has_ticket && !is_joined && fresh.is_some() {
        let mut fresh = fresh?;
        fresh.take_up_known(rule, at, effects);
        return Some(fresh);
    }
    let goes_on = fresh.as_ref().is_some_and(|fresh| {
        matches!(
            fresh.phase,
            Phase::Open
                | Phase::Pending { .. }
                | Phase::Waiting { .. }
                | Phase::Joined { .. }
                | Phase::Silenced
        )
    });
    match old.phase {
        Phase::Open if !has_ticket => (!rule.detect.lasts()).then_some(old),
        Phase::Open | Phase::Joined { .. } if goes_on => {
            old.carry_on(rule, fresh?);
            Some(old)
        }
        Phase::Open => {
            let reason = match fresh.as_ref().map(|fresh| fresh.phase) {
                Some(Phase::Ended { reason, .. }) => reason,
                Some(_) => EndReason::RuleChanged,
                // What is a point in time stays as it was found; a condition that is not true any more ends.
                None if !rule.detect.lasts() => return Some(old),
                None => EndReason::RuleChanged,
            };
            if reason != EndReason::RuleChanged || rule.incident.on_remove == OnRemove::Resolve {
                old.end(rule, reason, at, effects);
            }
            Some(old)
        }
        Phase::Joined { .. } => Some(old),
        Phase::Ended { .. } | Phase::Withdrawn { .. } => match fresh.filter(|_| goes_on) {
            Some(mut fresh) => {
                if fresh.id == old.id {
                    fresh.revision = old.revision;
                    fresh.reopened = true;
                }
                for (account, known) in &mut fresh.affected {
                    known.told |= old.affected.get(account).is_some_and(|old| old.told);
                }
                Some(fresh)
            }
            None => Some(old),
        },
        Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced | Phase::Gone => None,
    }
}

impl Incident {
    /// The ticket stays, and what is found is what the new version finds.
    fn carry_on(&mut self, rule: &Rule, fresh: Self) {
        self.findings = fresh.findings;
        self.settled_findings = fresh.settled_findings;
        self.last_finding = fresh.last_finding;
        self.evidence = fresh.evidence;
        self.cleared = fresh.cleared;
        for (symbol, account) in fresh.affected {
            self.affected.entry(symbol).or_insert(account);
        }
        self.touched = self.affected.keys().copied().collect();
        if self.phase == Phase::Open {
            self.arm(rule);
        }
    }

    /// The database has a ticket of this very incident, from an earlier run: it goes on, as it stands now.
    fn take_up_known(&mut self, rule: &Rule, at: Time, effects: &mut Vec<Effect>) {
        if self.known_revision > 0 {
            self.silent = false;
            self.catch_up(rule, at, effects);
        }
    }
}
