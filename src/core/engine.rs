//! Puts the core in order: an event or a moment goes in, effects come out.
//!
//! Same events, same effects: what the engine does depends on events, rules and event time alone. Production may read
//! topics in another interleaving than a replay; then the settled incidents are the same.

pub mod change;
mod checkpoint;
mod journal;
mod plan;
mod spanning;
mod swap;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;

use compact_str::CompactString;

use crate::core::by_shard::ByShard;
use crate::core::effect::{Effect, Subject};
use crate::core::event::{Event, EventType, Facts, Symbol, TextField, Topic};
use crate::core::incident::cover::Cause;
use crate::core::incident::{self, Affected, Finding, Incidents, Key, KnownIncident, Opening, Outcome};
use crate::core::rule::scope::judge::ScopeJudge;
use crate::core::rule::scope::slice_key;
use crate::core::rule::table::Overheard;
use crate::core::rule::verdict::{Judged, Verdict};
use crate::core::rule::{Rule, RuleSet, subject_key, subject_key_of};
use crate::core::shard::{REKEYED, Reach, Scratch, Shard};
use crate::core::time::{Span, Time};

pub use checkpoint::{Record, Restored};
use plan::Plan;
pub use swap::{Mark, Successor};

/// The memory of detectors is swept this often in event time.
const SWEEP_EVERY: Span = Span::from_secs(1);

/// What the engine did with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    Fresh,
    /// Older than every rule's lateness allows: it opens nothing, but it ends and clears.
    Late,
    Duplicate,
}

/// The rules, applied to the shards of one worker.
pub struct Engine {
    rules: Arc<RuleSet>,
    /// What stands for the state of each rule in checkpoints.
    marks: Vec<Mark>,
    /// The generation of the states that are filled next.
    generation: u64,
    /// The rules once more, taken out while an event is judged. Counting a reference up and down for each event would
    /// wait for every store on its way to memory: a twelfth of the time.
    lent: Option<Arc<RuleSet>>,
    plan: Plan,
    shards: ByShard<Shard>,
    scope: Scope,
    effects: Vec<Effect>,
    judged: Scratch,
    symptoms: Vec<Symbol>,
    next_sweep: Time,
    /// What the detectors have said, by rule, whatever became of it.
    #[cfg(test)]
    said: Vec<(u16, Judged)>,
}

/// The state of rules that span partitions.
struct Scope {
    judges: Vec<Option<ScopeJudge>>,
    incidents: Incidents,
    causes: Vec<Cause>,
    rekeyed: Shard,
    waiting: waiting::Waiting,
    now: Time,
    /// When sums were last judged.
    judged: Time,
    next_due: Time,
}

/// Counts for metrics and status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineFigures {
    /// Per rule: name, subjects held, bytes held, findings since the start.
    pub rules: Vec<RuleFigures>,
    pub open_incidents: usize,
    pub duplicates_held: usize,
    pub bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFigures {
    pub name: String,
    pub subjects: usize,
    pub bytes: usize,
    pub findings: u64,
}

impl Engine {
    pub fn new(rules: Arc<RuleSet>, shards: &[u32]) -> Self {
        let plan = Plan::new(&rules);
        let judges = rules
            .rules
            .iter()
            .zip(&plan.reaches)
            .map(|(rule, reach)| (*reach == Reach::Aggregated).then(|| ScopeJudge::new(rule)).flatten())
            .collect();
        let scope = Scope {
            judges,
            incidents: Incidents::new(Arc::clone(&rules), incident::Reach::Partitions),
            causes: Vec::new(),
            rekeyed: Shard::new(REKEYED, &rules, &plan.reaches),
            waiting: waiting::Waiting::default(),
            now: Time::MIN,
            judged: Time::MIN,
            next_due: Time::MIN,
        };
        let shards = ByShard::new(shards, |shard| Shard::new(shard, &rules, &plan.reaches));
        Self {
            lent: Some(Arc::clone(&rules)),
            marks: rules.rules.iter().map(|rule| Mark::new(rule, 0, Time::MIN)).collect(),
            generation: 1,
            rules,
            plan,
            shards,
            scope,
            effects: Vec::new(),
            judged: Vec::new(),
            symptoms: Vec::new(),
            next_sweep: Time::MIN,
            #[cfg(test)]
            said: Vec::new(),
        }
    }

    /// The same, where nothing lies before the first event. In production something always does: orders that were paid
    /// before it are delivered after it.
    #[must_use]
    pub fn from_the_beginning(mut self) -> Self {
        let shards = self.shards.values_mut().chain([&mut self.scope.rekeyed]);
        shards.flat_map(|shard| shard.watches.iter_mut().flatten()).for_each(|watch| watch.know_all());
        self
    }

    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Whether a rule looks at fields of the customer, which must then be looked up before an event is shown.
    pub const fn names_customers(&self) -> bool {
        self.plan.names_customers
    }

    /// Takes one event of a shard. `now` is the shard's time with this event read (see [`crate::core::clock`]): what is
    /// due before the event happens before it, what is due later after it.
    pub fn observe(&mut self, shard: u32, event: &mut Event<'_>, now: Time) -> Observed {
        let just_before = event.time - Span::from_millis(1);
        self.advance(shard, now.min(just_before));
        let observed = self.apply(shard, event);
        self.advance(shard, now);
        observed
    }

    fn apply(&mut self, shard: u32, event: &mut Event<'_>) -> Observed {
        event.symbolize(self.plan.symbols);
        let Some(state) = self.shards.get_mut(shard) else { return Observed::Duplicate };
        let newest = state.take_note(event);
        let (account, id) = (event.symbol(TextField::AccountId), event.identity());
        if state.duplicates.seen(account, id, newest) {
            return Observed::Duplicate;
        }
        let offers = std::mem::take(&mut self.plan.offers[event.event_type as usize]);
        let lent = self.lent.take();
        for index in offers.to(event) {
            if let Some(rule) = lent.as_ref().and_then(|rules| rules.rules.get(usize::from(index))) {
                self.offer(shard, index, rule, event);
            }
        }
        self.lent = lent;
        self.plan.offers[event.event_type as usize] = offers;
        if event.time < newest - self.plan.shortest_lateness { Observed::Late } else { Observed::Fresh }
    }

    /// Shows an event to one rule.
    fn offer(&mut self, shard: u32, index: u16, rule: &Rule, event: &Event<'_>) {
        let place = usize::from(index);
        let Some(state) = self.shards.get_mut(shard) else { return };
        let moment = state.moment(rule, self.plan.topics[place], Some(event));
        let at = event.time.max(state.now);
        match self.plan.reaches[place] {
            Reach::Local => {
                let starts = rule.topics.contains(event.event_type) && rule.filter.holds(event);
                let subject = rule.groups.first().and_then(|group| subject_key(group, event));
                let subject = subject.unwrap_or(Symbol::MISSING);
                let ends_by_key = rule.detect.ends_by_key();
                if let Some(watch) = &mut state.watches[place]
                    && (subject != Symbol::MISSING || ends_by_key)
                {
                    let mut judged = std::mem::take(&mut self.judged);
                    let starts = starts && subject != Symbol::MISSING;
                    watch.observe(subject, starts, event, moment, &mut judged);
                    if !judged.is_empty() {
                        self.take_local(shard, index, rule, &judged, Some(event), at);
                        judged.clear();
                    }
                    self.judged = judged;
                    self.note_due(shard, place);
                }
                self.resolve_local(shard, index, rule, event, at);
            }
            Reach::Aggregated => {
                if let Some(counter) = &mut state.counters[place] {
                    self.symptoms.clear();
                    self.symptoms.extend_from_slice(counter.observe(event, moment));
                }
                if event.event_type == EventType::StockLevel
                    && !moment.late
                    && let Some(judge) = &mut self.scope.judges[place]
                {
                    judge.take_stock(event);
                }
                self.affect_open_causes(index, event, at);
                self.resolve_scope(index, rule, event, at);
            }
            Reach::Rekeyed => self.rekey(shard, index, rule, event),
        }
    }

    /// A detector may have set a timer.
    fn note_due(&mut self, shard: u32, place: usize) {
        if let Some(state) = self.shards.get_mut(shard)
            && let Some(due) = state.watches[place].as_ref().and_then(|watch| watch.next_due())
        {
            state.next_due = state.next_due.min(due);
        }
    }

    /// Turns a local detector's judgements into incidents.
    fn take_local(
        &mut self,
        shard: u32,
        index: u16,
        rule: &Rule,
        judged: &[Judged],
        event: Option<&Event<'_>>,
        at: Time,
    ) {
        let judged = &*rule.unexcepted(judged);
        #[cfg(test)]
        self.said.extend(judged.iter().map(|judged| (index, *judged)));
        let Some(state) = self.shards.get_mut(shard) else { return };
        let Scope { incidents, rekeyed, causes, .. } = &mut self.scope;
        let join = |cause: &Cause, accounts: Vec<Affected>, effects: &mut Vec<Effect>| {
            let holder =
                if incidents.get(cause.key).is_some() { &mut *incidents } else { &mut rekeyed.incidents };
            holder.affect(cause.key, accounts, at, effects);
        };
        take_judgements(state, index, rule, judged, event, at, causes, &mut self.effects, join);
        if let Some(due) = state.incidents.next_due() {
            state.next_due = state.next_due.min(due);
        }
        if self.plan.listeners.get(usize::from(index)).is_some_and(|listeners| !listeners.is_empty()) {
            self.spread(shard, index, rule, judged, event, at);
            self.spread_openings(shard, event, at);
        }
    }

    /// Lets the rules that wait for another one's findings hear them. No circle of rules is ever loaded.
    fn spread(
        &mut self,
        shard: u32,
        index: u16,
        rule: &Rule,
        judged: &[Judged],
        event: Option<&Event<'_>>,
        at: Time,
    ) {
        for Judged { subject, verdict } in judged {
            let (since, withdrawn) = match *verdict {
                Verdict::Found { since, .. } => (since, false),
                Verdict::Withdrawn { since } => (since, true),
                Verdict::Cleared { .. } | Verdict::Resolved { .. } | Verdict::Joined { .. } => continue,
            };
            let Some(state) = self.shards.get_mut(shard) else { return };
            let stored = state.watches[usize::from(index)].as_ref().and_then(|watch| watch.facts(*subject));
            let of_event = || {
                let event = event?;
                let facts = Facts::of(event);
                // A late event may show that a later one was a finding; then only their subject is the same.
                let group = rule.groups.first().map_or(&[][..], Vec::as_slice);
                Some(if event.time == since { facts } else { facts.only(group) })
            };
            let Some(facts) = stored.cloned().or_else(of_event) else { continue };
            let heard = Overheard { rule: &rule.name, since, withdrawn, opening: false, facts: &facts };
            self.tell_listeners(shard, index, &heard, event, at);
        }
    }

    /// Lets rules hear of the tickets that have opened.
    fn spread_openings(&mut self, shard: u32, event: Option<&Event<'_>>, at: Time) {
        while let Some(state) = self.shards.get_mut(shard)
            && let Some(opening) = state.incidents.take_opening()
        {
            let rules = Arc::clone(&self.rules);
            let Some(rule) = rules.rules.get(usize::from(opening.key.rule)) else { continue };
            let Opening { since, withdrawn, ref facts, .. } = opening;
            let heard = Overheard { rule: &rule.name, since, withdrawn, opening: true, facts };
            self.tell_listeners(shard, opening.key.rule, &heard, event, at);
        }
    }

    fn tell_listeners(
        &mut self,
        shard: u32,
        index: u16,
        heard: &Overheard<'_>,
        event: Option<&Event<'_>>,
        at: Time,
    ) {
        let rules = Arc::clone(&self.rules);
        let listeners = self.plan.listeners.get(usize::from(index)).cloned().unwrap_or_default();
        for listener in listeners {
            let place = usize::from(listener);
            let Some(listening) = rules.rules.get(place) else { continue };
            let Some(state) = self.shards.get_mut(shard) else { return };
            let group = listening.groups.first().map_or(&[][..], Vec::as_slice);
            let Some(heard_by) = subject_key_of(group, |field| heard.facts.text(field)) else { continue };
            let moment = state.moment(listening, self.plan.topics[place], None);
            let Some(watch) = &mut state.watches[place] else { continue };
            let mut out = Vec::new();
            watch.overhear(heard_by, heard, moment, &mut out);
            if !out.is_empty() {
                self.take_local(shard, listener, listening, &out, event, at);
            }
            self.note_due(shard, place);
        }
    }

    fn resolve_local(&mut self, shard: u32, index: u16, rule: &Rule, event: &Event<'_>, at: Time) {
        let Some(condition) = &rule.incident.resolve_when else { return };
        let Some(state) = self.shards.get_mut(shard) else { return };
        if state.incidents.is_empty() || !condition.holds(event) {
            return;
        }
        resolve(&mut state.incidents, index, rule, event, at, &mut self.effects);
        if let Some(due) = state.incidents.next_due() {
            state.next_due = state.next_due.min(due);
        }
    }

    /// Lets a shard's time pass. It never runs backward.
    pub fn advance(&mut self, shard: u32, now: Time) {
        let Some(state) = self.shards.get_mut(shard) else { return };
        if now <= state.now {
            return;
        }
        while let Some(state) = self.shards.get_mut(shard)
            && state.next_due <= now
        {
            let due = state.next_due.max(state.now);
            state.now = due;
            self.fire(shard, due);
        }
        if let Some(state) = self.shards.get_mut(shard) {
            state.now = now;
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_EVERY;
            for state in self.shards.values_mut() {
                state.sweep(&self.rules, &self.plan.topics);
            }
        }
    }

    /// Does what is due in a shard at exactly this time: detectors in the order of the rules, then incidents.
    fn fire(&mut self, shard: u32, due: Time) {
        let rules = Arc::clone(&self.rules);
        for (index, rule) in (0..).zip(&rules.rules) {
            let place = usize::from(index);
            let Some(state) = self.shards.get_mut(shard) else { return };
            let moment = state.moment(rule, self.plan.topics[place], None);
            let Some(watch) = &mut state.watches[place] else { continue };
            if watch.next_due().is_none_or(|time| time > due) {
                continue;
            }
            let mut judged = std::mem::take(&mut self.judged);
            watch.advance(moment, &mut judged);
            self.take_local(shard, index, rule, &judged, None, due);
            judged.clear();
            self.judged = judged;
        }
        if let Some(state) = self.shards.get_mut(shard) {
            state.incidents.advance(due, &mut self.effects);
            self.spread_openings(shard, None, due);
        }
        if let Some(state) = self.shards.get_mut(shard) {
            state.reschedule();
        }
    }

    /// The effects since the last call, in the order of decision.
    pub fn drain_effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Takes over an incident that the database knows; before the first event.
    pub fn adopt(&mut self, known: &KnownIncident) {
        for state in self.shards.values_mut() {
            state.incidents.adopt(known.clone());
        }
        self.scope.incidents.adopt(known.clone());
        self.scope.rekeyed.incidents.adopt(known.clone());
    }

    /// A replay after a restart has caught up with what was read before it.
    pub fn caught_up(&mut self) {
        for state in self.shards.values_mut() {
            let now = state.now;
            state.incidents.caught_up(now, &mut self.effects);
        }
        let now = self.scope.now;
        self.scope.incidents.caught_up(now, &mut self.effects);
        self.scope.rekeyed.incidents.caught_up(now, &mut self.effects);
    }

    pub fn figures(&self) -> EngineFigures {
        let mut figures = EngineFigures::default();
        for (place, rule) in self.rules.rules.iter().enumerate() {
            let mut of_rule = RuleFigures { name: rule.name.clone(), ..RuleFigures::default() };
            for state in self.shards.values().chain([&self.scope.rekeyed]) {
                if let Some(watch) = &state.watches[place] {
                    of_rule.subjects += watch.subjects();
                    of_rule.bytes += watch.bytes();
                }
                if let Some(counter) = &state.counters[place] {
                    of_rule.bytes += counter.bytes();
                }
                of_rule.findings += state.incidents.findings[place];
            }
            if let Some(judge) = &self.scope.judges[place] {
                of_rule.subjects += judge.subjects();
                of_rule.bytes += judge.bytes();
            }
            of_rule.findings += self.scope.incidents.findings[place];
            figures.bytes += of_rule.bytes;
            figures.rules.push(of_rule);
        }
        for state in self.shards.values() {
            figures.duplicates_held += state.duplicates.len();
            figures.bytes += state.duplicates.bytes();
            figures.open_incidents += state.incidents.open();
        }
        figures.open_incidents += self.scope.incidents.open() + self.scope.rekeyed.incidents.open();
        figures
    }
}

/// Turns judgements of a shard's detector into steps of incidents. `joined` is called with the accounts that an incident
/// brings to the cause that explains it.
#[expect(
    clippy::too_many_arguments,
    reason = "one call site per kind of shard; a struct would only rename the list"
)]
fn take_judgements(
    state: &mut Shard,
    index: u16,
    rule: &Rule,
    judged: &[Judged],
    event: Option<&Event<'_>>,
    at: Time,
    causes: &[Cause],
    effects: &mut Vec<Effect>,
    mut joined: impl FnMut(&Cause, Vec<Affected>, &mut Vec<Effect>),
) {
    let group = rule.groups.first().map_or(&[][..], Vec::as_slice);
    for (place, Judged { subject, verdict }) in judged.iter().enumerate() {
        let key = Key { rule: index, subject: *subject };
        let Verdict::Found { since, evidence } = *verdict else {
            state.incidents.judge(key, *verdict, at, effects);
            continue;
        };
        let stored = state.watches[usize::from(index)].as_ref().and_then(|watch| watch.facts(*subject));
        let facts = || stored.cloned().or_else(|| event.map(Facts::of)).map(Box::new);
        let name = || match (stored, event) {
            (Some(facts), _) => subject_of(group, |field| facts.text(field)),
            (None, Some(event)) => subject_of(group, |field| event.text(field)),
            (None, None) => Subject::default(),
        };
        let over_since = judged.iter().skip(place).find_map(|later| match later.verdict {
            Verdict::Resolved { at } if later.subject == *subject => Some(at),
            _ => None,
        });
        let started_at = since;
        let paid = state.watches[usize::from(index)].as_ref().and_then(|watch| watch.paid(*subject, since));
        let finding =
            Finding { key, since, evidence, at, started_at, over_since, subject: &name, facts: &facts, paid };
        let own = if rule.incident.covered_by.is_empty() { None } else { facts() };
        let spanning = own.as_deref().and_then(|own| causes.iter().find(|cause| cause.explains(rule, own)));
        let beside = match (&own, spanning) {
            (Some(own), None) => state.incidents.cause_beside(rule, own),
            _ => None,
        };
        let outcome = state.incidents.find(&finding, spanning.or(beside.as_ref()), effects);
        let Outcome::Joined(accounts) = outcome else { continue };
        match (spanning, beside) {
            (Some(cause), _) => joined(cause, accounts, effects),
            (None, Some(cause)) => state.incidents.affect(cause.key, accounts, at, effects),
            (None, None) => {}
        }
    }
}

/// The subject with its names, in the order of the group.
fn subject_of<'a>(group: &[TextField], text: impl Fn(TextField) -> Option<&'a str>) -> Subject {
    Subject(
        group
            .iter()
            .map(|field| {
                (CompactString::from(field.as_str()), CompactString::from(text(*field).unwrap_or_default()))
            })
            .collect(),
    )
}

/// Ends the incidents that an event's `resolve_when` is tied to.
fn resolve(
    incidents: &mut Incidents,
    index: u16,
    rule: &Rule,
    event: &Event<'_>,
    at: Time,
    effects: &mut Vec<Effect>,
) {
    if rule.incident.resolve_on.is_empty() {
        for group in 0..rule.groups.len() {
            if let Some(subject) = slice_key(&rule.groups, group, event) {
                incidents.resolve(Key { rule: index, subject }, event.time, at, effects);
            }
        }
    } else {
        let tie = |field: TextField| event.text(field);
        incidents.resolve_tied(index, &rule.incident.resolve_on, &tie, event.time, at, effects);
    }
}

/// Which shard an input belongs to, and when: used by those who feed the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub shard: u32,
    pub topic: Topic,
}
