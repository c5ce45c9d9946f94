//! One rule set takes over from another between two events: what is unchanged goes on with its state, what is new or has
//! changed takes the state of an engine that was filled from history, and what was seen, and when, stays known.

use std::sync::Arc;

use super::change::{Change, Source};
use super::plan::Plan;
use super::{Engine, Scope};
use crate::core::incident::Incidents;
use crate::core::incident::succession::{Fate, Succession};
use crate::core::rule::scope::counter::ScopeCounter;
use crate::core::rule::scope::judge::ScopeJudge;
use crate::core::rule::table::Watch;
use crate::core::rule::{OnRemove, Rule, RuleSet, watch_for};
use crate::core::shard::{REKEYED, Reach, Shard};
use crate::core::time::{Span, Time};

/// What stands for a rule's state in checkpoints, and from when on it is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub name: String,
    pub version: u64,
    /// Counted up with each state that is filled anew, so that no record of an earlier one is taken for it.
    pub generation: u64,
    /// What its conditions find before this time opens silently. [`Time::MAX`]: it still has to be filled.
    pub quiet_until: Time,
    /// What becomes of its open incidents when it is taken away.
    pub on_remove: OnRemove,
}

impl Mark {
    pub(super) fn new(rule: &Rule, generation: u64, quiet_until: Time) -> Self {
        Self {
            name: rule.name.clone(),
            version: rule.version,
            generation,
            quiet_until,
            on_remove: rule.incident.on_remove,
        }
    }

    pub fn is_filled(&self) -> bool {
        self.quiet_until < Time::MAX
    }
}

/// A rule set with what it needs to take over.
pub struct Successor {
    pub rules: Arc<RuleSet>,
    /// Has run the rules that [`Change::to_run`] names over everything that this engine has read, and as far back as they
    /// need; [`None`] where there is nothing to read.
    pub warmed: Option<Box<Engine>>,
    /// Since when there is history, if it begins too late for some rule.
    pub history_since: Option<Time>,
}

impl Engine {
    /// Runs so that nobody hears of anything: everything that it finds opens silently.
    pub fn hush(&mut self) {
        let quiet = vec![Time::MAX; self.rules.rules.len()];
        for incidents in self.all_incidents() {
            incidents.set_quiet(&quiet);
        }
    }

    fn all_incidents(&mut self) -> impl Iterator<Item = &mut Incidents> {
        let Scope { incidents, rekeyed, .. } = &mut self.scope;
        let shards = self.shards.values_mut().chain([rekeyed]).map(|state| &mut state.incidents);
        shards.chain([incidents])
    }

    /// What stands for the rules' states in checkpoints, in the order of the rules.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Goes on with the states that a checkpoint has; before its records are put back. Rules of which it has none are not
    /// heard until they are filled.
    pub fn resume(&mut self, marks: &[Mark]) {
        if marks.is_empty() {
            return;
        }
        self.generation = marks.iter().map(|mark| mark.generation).max().unwrap_or(0) + 1;
        let mut resumed = Vec::with_capacity(self.rules.rules.len());
        for rule in &self.rules.rules {
            let known = marks.iter().find(|mark| mark.name == rule.name && mark.version == rule.version);
            resumed.push(known.cloned().unwrap_or_else(|| Mark::new(rule, self.generation, Time::MAX)));
        }
        let place = |mark: &Mark| {
            let place = self.rules.rules.iter().position(|rule| rule.name == mark.name)?;
            u16::try_from(place).ok()
        };
        let moved: Vec<Option<u16>> = marks.iter().map(place).collect();
        self.marks = resumed;
        self.be_quiet();
        for incidents in self.all_incidents() {
            incidents.set_moved(&moved);
        }
    }

    fn be_quiet(&mut self) {
        let quiet: Vec<Time> = self.marks.iter().map(|mark| mark.quiet_until).collect();
        for incidents in self.all_incidents() {
            incidents.set_quiet(&quiet);
        }
    }

    /// What changes when these rules take over.
    pub fn change_to(&self, rules: &RuleSet) -> Change {
        Change::between(&self.rules, rules, |place| self.marks.get(place).is_some_and(Mark::is_filled))
    }

    /// The times up to which shards and what spans them have been judged: by shard, and of the scope.
    pub fn times(&self) -> (Vec<(u32, Time)>, Time) {
        (self.shards.values().map(|state| (state.id, state.now)).collect(), self.scope.now)
    }

    /// The time up to which what spans shards was judged.
    pub const fn scope_time(&self) -> Time {
        self.scope.now
    }

    /// Since when the oldest incident is open whose rule has one of these names.
    pub fn oldest_open(&self, names: &[&str]) -> Option<Time> {
        let shards = self.shards.values().chain([&self.scope.rekeyed]).map(|state| &state.incidents);
        let places: Vec<u16> = (0..)
            .zip(&self.rules.rules)
            .filter(|(_, rule)| names.contains(&rule.name.as_str()))
            .map(|(place, _)| place)
            .collect();
        shards.chain([&self.scope.incidents]).filter_map(|incidents| incidents.oldest_open(&places)).min()
    }

    /// Lets another rule set take over, between two events.
    pub fn swap(&mut self, successor: Successor) {
        let Successor { rules, warmed, history_since } = successor;
        let change = self.change_to(&rules);
        let mut warmed = warmed;
        if let Some(warmed) = &mut warmed {
            warmed.catch_up_with(self);
        }
        let places = Places::new(&self.rules, &rules, &change, warmed.as_deref());
        let marks = self.marks_after(&rules, &change, history_since);
        let plan = Plan::new(&rules);
        let quiet: Vec<Time> = marks.iter().map(|mark| mark.quiet_until).collect();
        self.swap_incidents(&rules, &places, &quiet, warmed.as_deref_mut());
        for state in self.shards.values_mut() {
            let other = warmed.as_mut().and_then(|warmed| warmed.shards.get_mut(state.id));
            state.swap_rules(&rules, &plan.reaches, &places, other);
        }
        let other = warmed.as_mut().map(|warmed| &mut warmed.scope.rekeyed);
        self.scope.rekeyed.swap_rules(&rules, &plan.reaches, &places, other);
        let mut none = Vec::new();
        let theirs = warmed.as_mut().map_or(&mut none, |warmed| &mut warmed.scope.judges);
        self.scope.judges = places.take(&mut self.scope.judges, theirs, |place| {
            let aggregated = plan.reaches.get(place) == Some(&Reach::Aggregated);
            rules.rules.get(place).filter(|_| aggregated).and_then(ScopeJudge::new)
        });
        self.swap_waiting(&places, warmed.as_deref_mut());
        self.scope.causes = self.scope.known_causes();
        self.scope.next_due = Time::MIN;
        self.rules = Arc::clone(&rules);
        self.lent = Some(rules);
        self.plan = plan;
        self.marks = marks;
        self.generation += 1;
    }

    /// Lets time pass up to where another engine stands. What is found on the way, nobody hears of.
    fn catch_up_with(&mut self, other: &Self) {
        for state in other.shards.values() {
            self.advance(state.id, state.now);
        }
        self.advance_scope(other.scope.now);
        self.effects.clear();
    }

    fn marks_after(&self, rules: &RuleSet, change: &Change, history_since: Option<Time>) -> Vec<Mark> {
        let now = self.shards.values().map(|state| state.now).max().unwrap_or(Time::MIN);
        let marks = rules.rules.iter().zip(&change.sources).map(|(rule, source)| match source {
            Source::Kept(place) => {
                self.marks.get(*place).cloned().unwrap_or_else(|| Mark::new(rule, self.generation, Time::MIN))
            }
            Source::Nothing => Mark::new(rule, self.generation, Time::MIN),
            Source::History => {
                let whole_at = history_since.map_or(Time::MIN, |since| since + rule.history(rules));
                let quiet_until = if whole_at > now { whole_at } else { Time::MIN };
                Mark::new(rule, self.generation, quiet_until)
            }
        });
        marks.collect()
    }

    fn swap_incidents(
        &mut self,
        rules: &Arc<RuleSet>,
        places: &Places,
        quiet_until: &[Time],
        mut warmed: Option<&mut Self>,
    ) {
        let succession =
            |at| Succession { rules, fates: &places.fates, warmed: &places.warmed, quiet_until, at };
        let scope = &mut self.scope;
        let theirs = warmed.as_mut().map(|warmed| &mut warmed.scope.incidents);
        scope.incidents.succeed(&succession(scope.now), theirs, &mut self.effects);
        let theirs = warmed.as_mut().map(|warmed| &mut warmed.scope.rekeyed.incidents);
        scope.rekeyed.incidents.succeed(&succession(scope.rekeyed.now), theirs, &mut self.effects);
        for state in self.shards.values_mut() {
            let theirs = warmed.as_mut().and_then(|warmed| warmed.shards.get_mut(state.id));
            let theirs = theirs.map(|theirs| &mut theirs.incidents);
            state.incidents.succeed(&succession(state.now), theirs, &mut self.effects);
        }
        let is_open = |key| {
            let incident = scope.incidents.get(key);
            incident.is_some_and(crate::core::incident::Incident::is_told_of)
        };
        for state in self.shards.values_mut().chain([&mut scope.rekeyed]) {
            let now = state.now;
            state.incidents.release(is_open, now);
        }
        scope.incidents.release(|_| false, scope.now);
    }

    /// Re-keyed events that wait for the slowest partition go on waiting, for the rule that they concern.
    fn swap_waiting(&mut self, places: &Places, warmed: Option<&mut Self>) {
        let own = |rule: u16| match places.fates.get(usize::from(rule))? {
            Fate::Stays(place) => Some(*place),
            Fate::Replaced(_) | Fate::Ends(_) => None,
        };
        let their = |rule: u16| {
            let place = *places.warmed.get(usize::from(rule))?;
            places.is_from_history(place).then_some(place)
        };
        let theirs = warmed.map(|warmed| std::mem::take(&mut warmed.scope.waiting));
        self.scope.waiting.carry_over(theirs, own, their);
    }
}

/// Where each rule's state comes from, and where each old rule goes.
struct Places {
    sources: Vec<Source>,
    fates: Vec<Fate>,
    /// By the rules of the warmed engine: their places in the new set.
    warmed: Vec<u16>,
}

impl Places {
    fn new(old: &RuleSet, new: &RuleSet, change: &Change, warmed: Option<&Engine>) -> Self {
        let place_of = |name: &str| new.rules.iter().position(|rule| rule.name == name);
        let fate = |rule: &Rule| {
            let Some(place) = place_of(&rule.name) else { return Fate::Ends(None) };
            let number = place as u16;
            match change.sources.get(place) {
                Some(Source::Kept(_)) => Fate::Stays(number),
                Some(Source::History) => Fate::Replaced(number),
                Some(Source::Nothing) | None => Fate::Ends(Some(number)),
            }
        };
        let of_warmed = warmed.map(|warmed| warmed.rules.rules.as_slice()).unwrap_or_default();
        Self {
            sources: change.sources.clone(),
            fates: old.rules.iter().map(fate).collect(),
            warmed: of_warmed
                .iter()
                .map(|rule| place_of(&rule.name).map_or(u16::MAX, |place| place as u16))
                .collect(),
        }
    }

    fn is_from_history(&self, place: u16) -> bool {
        self.sources.get(usize::from(place)) == Some(&Source::History)
    }

    /// The states of the new rules: ours, the warmed engine's, or new ones.
    fn take<T>(
        &self,
        ours: &mut [Option<T>],
        theirs: &mut [Option<T>],
        make: impl Fn(usize) -> Option<T>,
    ) -> Vec<Option<T>> {
        let mut states = Vec::with_capacity(self.sources.len());
        for (place, source) in self.sources.iter().enumerate() {
            let warmed = self.warmed.iter().position(|other| usize::from(*other) == place);
            states.push(match (source, warmed) {
                (Source::Kept(old), _) => ours.get_mut(*old).and_then(Option::take),
                (Source::History, Some(warmed)) => theirs.get_mut(warmed).and_then(Option::take),
                (Source::History, None) | (Source::Nothing, _) => make(place),
            });
        }
        states
    }
}

impl Shard {
    fn swap_rules(
        &mut self,
        rules: &RuleSet,
        reaches: &[Reach],
        places: &Places,
        mut warmed: Option<&mut Self>,
    ) {
        let reach_here = if self.id == REKEYED { Reach::Rekeyed } else { Reach::Local };
        let rule = |place: usize, reach: Reach| {
            rules.rules.get(place).filter(|_| reaches.get(place) == Some(&reach))
        };
        let (mut no_watches, mut no_counters) = (Vec::new(), Vec::new());
        let theirs = warmed.as_mut().map_or(&mut no_watches, |warmed| &mut warmed.watches);
        let watch = |place| rule(place, reach_here).and_then(watch_for);
        self.watches = places.take::<Box<dyn Watch>>(&mut self.watches, theirs, watch);
        let theirs = warmed.map_or(&mut no_counters, |warmed| &mut warmed.counters);
        let is_keyed = self.id != REKEYED;
        let counter = |place| rule(place, Reach::Aggregated).filter(|_| is_keyed).and_then(ScopeCounter::new);
        self.counters = places.take(&mut self.counters, theirs, counter);
        let longest = rules.rules.iter().map(|rule| rule.lateness).max();
        self.duplicates.set_retention(longest.unwrap_or(Span::from_mins(2)));
        self.note_change();
        self.reschedule();
    }
}
