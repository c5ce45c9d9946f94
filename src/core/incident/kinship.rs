//! Which incidents of one account may explain each other: those of rules local to a shard, looked up by account.

use std::collections::{BTreeMap, BTreeSet};

use super::Key;
use crate::core::event::Symbol;
use crate::core::rule::RuleSet;

/// The live incidents that matter to `covered_by` among rules local to a shard, by account.
#[derive(Debug)]
pub(super) struct Kinship {
    /// By rule: whether it covers another local rule, or another local one covers it.
    kin: Vec<bool>,
    by_account: BTreeSet<(Symbol, Key)>,
}

impl Kinship {
    pub(super) fn new(rules: &RuleSet) -> Self {
        let places: BTreeMap<&str, usize> =
            rules.rules.iter().enumerate().map(|(place, rule)| (rule.name.as_str(), place)).collect();
        let mut kin = vec![false; rules.rules.len()];
        for (place, rule) in rules.rules.iter().enumerate().filter(|(_, rule)| rule.is_local()) {
            let causes = rule.incident.covered_by.iter().filter_map(|cover| places.get(cover.rule.as_str()));
            for cause in causes.copied() {
                if rules.rules.get(cause).is_some_and(|cause| cause.is_local()) {
                    for related in [place, cause] {
                        if let Some(kin) = kin.get_mut(related) {
                            *kin = true;
                        }
                    }
                }
            }
        }
        Self { kin, by_account: BTreeSet::new() }
    }

    fn has(&self, key: Key) -> bool {
        self.kin.get(usize::from(key.rule)).copied().unwrap_or(false)
    }

    /// An incident has come, gone, or turned to another account.
    pub(super) fn moved(&mut self, key: Key, before: Option<Symbol>, after: Option<Symbol>) {
        if before == after || !self.has(key) {
            return;
        }
        if let Some(account) = before {
            self.by_account.remove(&(account, key));
        }
        if let Some(account) = after {
            self.by_account.insert((account, key));
        }
    }

    /// The incidents of an account, in the order of their keys.
    pub(super) fn of(&self, account: Symbol) -> impl Iterator<Item = Key> + '_ {
        let bound = |rule, subject| (account, Key { rule, subject: Symbol(subject) });
        self.by_account.range(bound(0, 0)..=bound(u16::MAX, u64::MAX)).map(|(_, key)| *key)
    }

    /// The incidents of the same account as this one, without it.
    pub(super) fn beside(&self, key: Key, account: Option<Symbol>) -> Vec<Key> {
        match account.filter(|_| self.has(key)) {
            Some(account) => self.of(account).filter(|other| *other != key).collect(),
            None => Vec::new(),
        }
    }
}
