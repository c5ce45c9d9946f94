//! Incidents: from findings to a problem with a life. It decides when one opens, waits for a cause, grows, ends, is
//! reopened or withdrawn, and who is told at each step.
//!
//! One [`Incidents`] holds those of one shard (rules local to an account or order) or those of the rules that span
//! partitions. How an account's incident joins the one that explains it is in [`cover`].

pub mod cover;
mod ending;
pub mod journal;
mod kinship;
mod life;
mod opening;
mod propose;
mod state;
pub mod succession;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;

use crate::core::codec::{CorruptState, Reader, Sink, Writer};
use crate::core::effect::{Effect, IncidentId, Subject};
use crate::core::event::{Facts, Symbol, TextField};
use crate::core::rule::proposal::StepAmount;
use crate::core::rule::silence::Silences;
use crate::core::rule::verdict::{Evidence, Verdict};
use crate::core::rule::{Rule, RuleSet};
use crate::core::time::{Span, Time};

pub use opening::Opening;
pub use state::{Affected, Incident, Offered, Phase};

use cover::Cause;
use journal::{Journal, Turn};
use kinship::Kinship;

/// Which incident: at most one per rule and subject is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The rule's place in the rule set.
    pub rule: u16,
    pub subject: Symbol,
}

/// An incident that the database knows, given to the core after a restart so that a replay continues it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownIncident {
    pub id: IncidentId,
    pub rule: CompactString,
    pub subject: Subject,
    pub since: Time,
    /// [`None`] while it is open.
    pub ended_at: Option<Time>,
    pub revision: u32,
}

/// A finding as the incident layer takes it in.
pub struct Finding<'a> {
    pub key: Key,
    pub since: Time,
    pub evidence: Evidence,
    /// When it is made: the event's time or the moment of the judgement, whichever is later.
    pub at: Time,
    /// Where the trouble is estimated to have begun.
    pub started_at: Time,
    /// It is over already, since this moment: the ticket opens and resolves at once, and nobody is told.
    pub over_since: Option<Time>,
    /// The subject with its names; asked for only when an incident is made.
    pub subject: &'a dyn Fn() -> Subject,
    /// The event behind it; [`None`] for findings about many events.
    pub facts: &'a dyn Fn() -> Option<Box<Facts>>,
    /// What the compensation is a share of, where that is the amount of a sequence's step.
    pub paid: Option<StepAmount>,
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It feeds an incident that was there.
    Fed,
    /// An incident was made; it waits for its time or for a cause that explains it.
    Pending,
    /// An incident opened, or opened again.
    Opened,
    /// It is part of the cause that explains it, which has to name these accounts.
    Joined(Vec<Affected>),
}

/// Who gathers the customers of an incident that opens, before its ticket says how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that belongs to it is here: it is announced at once.
    Account,
    /// They are in every shard: whoever holds the shards takes [`Incidents::take_opened`] and calls
    /// [`Incidents::meet`].
    Partitions,
}

/// What depends on an incident's state.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    due: Option<Time>,
    account: Option<Symbol>,
    is_open: bool,
    phase: Option<Phase>,
}

/// The live incidents of a shard, or of the rules that span shards.
#[derive(Debug)]
pub struct Incidents {
    rules: Arc<RuleSet>,
    reach: Reach,
    kinship: Kinship,
    live: HashMap<Key, Incident>,
    /// Opened, and not announced yet.
    opened: VecDeque<Key>,
    /// By rule: whether another one waits for its openings; and what it has not been told of yet.
    awaited: Vec<bool>,
    openings: VecDeque<Opening>,
    due: BTreeSet<(Time, Key)>,
    known: BTreeMap<(CompactString, Subject), KnownIncident>,
    changed: BTreeSet<Key>,
    /// Records of accounts whose incident is forgotten, to be deleted by the next checkpoint.
    gone: Vec<(Vec<u8>, Vec<Symbol>)>,
    /// Records of incidents whose rule is gone, to be deleted as well.
    orphaned: Vec<Vec<u8>>,
    /// Where the rules of a checkpoint stand now, by their places then; empty: where they stood.
    moved: Vec<Option<u16>>,
    /// Accounts that were restored before their incident.
    early: HashMap<Key, Vec<(Symbol, Affected)>>,
    silences: Arc<Silences>,
    /// By rule: what opens before this time opens silently.
    quiet_until: Vec<Time>,
    /// When that happens which is going on.
    now: Time,
    /// Kept for whoever asks why.
    journal: Option<Journal>,
    /// Findings since the start, by rule.
    pub findings: Vec<u64>,
    /// Those of them that a silence covered.
    pub silenced: u64,
}

impl Incidents {
    pub fn new(rules: Arc<RuleSet>, reach: Reach) -> Self {
        let findings = vec![0; rules.rules.len()];
        Self {
            quiet_until: vec![Time::MIN; rules.rules.len()],
            now: Time::MIN,
            kinship: Kinship::new(&rules),
            reach,
            opened: VecDeque::new(),
            awaited: rules.awaited_openings(),
            openings: VecDeque::new(),
            rules,
            live: HashMap::new(),
            due: BTreeSet::new(),
            known: BTreeMap::new(),
            changed: BTreeSet::new(),
            gone: Vec::new(),
            orphaned: Vec::new(),
            moved: Vec::new(),
            early: HashMap::new(),
            silences: Arc::default(),
            journal: None,
            findings,
            silenced: 0,
        }
    }

    /// What people have asked not to hear of; from here on.
    pub fn silence(&mut self, silences: &Arc<Silences>) {
        self.silences = Arc::clone(silences);
    }

    pub fn get(&self, key: Key) -> Option<&Incident> {
        self.live.get(&key)
    }

    /// Incidents that are open, for figures: those that wait, are silent or have joined another one have no ticket of their own.
    pub fn open(&self) -> usize {
        self.live.values().filter(|incident| incident.is_told_of()).count()
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Takes over what the database knows, before the first event.
    pub fn adopt(&mut self, known: KnownIncident) {
        self.known.insert((known.rule.clone(), known.subject.clone()), known);
    }

    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Takes one finding. `cause`: the open incident that explains it, if there is one.
    pub fn find(
        &mut self,
        finding: &Finding<'_>,
        cause: Option<&Cause>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let key = finding.key;
        let rules = Arc::clone(&self.rules);
        let Some(rule) = rules.rules.get(usize::from(key.rule)) else { return Outcome::Fed };
        if let Some(count) = self.findings.get_mut(usize::from(key.rule)) {
            *count += 1;
        }
        self.date(finding.at);
        let silences = Arc::clone(&self.silences);
        let before = self.standing(key);
        let hushed = self.is_hushed(key);
        let is_silenced = |subject: &Subject| silences.over(&rule.name, subject, finding.since).is_some();
        let outcome = match self.live.get_mut(&key) {
            Some(incident) => {
                let silenced = is_silenced(&incident.subject);
                self.silenced += u64::from(silenced);
                incident.hushed = hushed;
                incident.feed(rule, finding, silenced, cause, effects)
            }
            None => {
                let mut incident = self.make(rule, finding);
                incident.silenced = is_silenced(&incident.subject);
                incident.hushed = hushed;
                self.silenced += u64::from(incident.silenced);
                let outcome = incident.start(rule, finding.at, cause, effects);
                self.live.insert(key, incident);
                outcome
            }
        };
        self.note(key, Turn::Found { since: finding.since, evidence: finding.evidence });
        self.settle(key, rule, before);
        self.announce_own(effects);
        outcome
    }

    /// Takes any other verdict.
    pub fn judge(&mut self, key: Key, verdict: Verdict, at: Time, effects: &mut Vec<Effect>) {
        self.date(at);
        self.note_verdict(key, verdict);
        self.change(key, |rule, incident| match verdict {
            // A finding is taken by `find`, a wider slice's take-over by `join`.
            Verdict::Found { .. } | Verdict::Joined { .. } => {}
            Verdict::Withdrawn { since } => incident.withdraw(rule, since, at, effects),
            Verdict::Cleared { at: since, healthy } => incident.clear(rule, since, healthy, at, effects),
            Verdict::Resolved { at: since } => incident.resolve(rule, since, at, effects),
        });
        self.announce_own(effects);
    }

    /// An event that met the rule's `resolve_when` for this subject.
    pub fn resolve(&mut self, key: Key, event_time: Time, at: Time, effects: &mut Vec<Effect>) {
        self.date(at);
        self.note_verdict(key, Verdict::Resolved { at: event_time });
        self.change(key, |rule, incident| incident.resolve(rule, event_time, at, effects));
    }

    /// An event that met the rule's `resolve_when` and is tied to incidents by other fields than their subject.
    pub fn resolve_tied<'a>(
        &mut self,
        rule: u16,
        fields: &[TextField],
        value_of: &dyn Fn(TextField) -> Option<&'a str>,
        event_time: Time,
        at: Time,
        effects: &mut Vec<Effect>,
    ) {
        let tied = |incident: &Incident| {
            fields.iter().all(|field| {
                let of_incident = incident
                    .subject
                    .get(field.as_str())
                    .or_else(|| incident.facts.as_ref().and_then(|facts| facts.text(*field)));
                of_incident.is_some() && of_incident == value_of(*field)
            })
        };
        let mut keys: Vec<Key> = self
            .live
            .iter()
            .filter(|(key, incident)| key.rule == rule && tied(incident))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        for key in keys {
            self.resolve(key, event_time, at, effects);
        }
    }

    /// Does what is due at or before `now`, in order, up to an opening that has to be announced first.
    pub fn advance(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.opened.is_empty()
            && let Some((time, key)) = self.due.first().copied().filter(|(time, _)| *time <= now)
        {
            self.due.remove(&(time, key));
            self.date(time);
            self.change(key, |rule, incident| incident.due_now(rule, time, effects));
            self.announce_own(effects);
        }
    }

    /// The next incident that has opened and waits to be announced, with those whom it touches.
    pub fn take_opened(&mut self) -> Option<Key> {
        self.opened.pop_front()
    }

    /// Applies `act` to a live incident and keeps its timer, its place and its checkpoint mark right.
    fn change(&mut self, key: Key, act: impl FnOnce(&Rule, &mut Incident)) {
        let rules = Arc::clone(&self.rules);
        let Some(rule) = rules.rules.get(usize::from(key.rule)) else { return };
        let (before, hushed) = (self.standing(key), self.is_hushed(key));
        let Some(incident) = self.live.get_mut(&key) else { return };
        incident.hushed = hushed;
        act(rule, incident);
        self.settle(key, rule, before);
    }

    fn is_hushed(&self, key: Key) -> bool {
        self.quiet_until.get(usize::from(key.rule)).is_some_and(|until| self.now < *until)
    }

    fn standing(&self, key: Key) -> Standing {
        self.live.get(&key).map_or_else(Standing::default, |incident| Standing {
            due: incident.due(),
            account: incident.account(),
            is_open: incident.phase == Phase::Open,
            phase: Some(incident.phase),
        })
    }

    /// Puts right what depends on an incident that may have changed.
    fn settle(&mut self, key: Key, rule: &Rule, before: Standing) {
        self.changed.insert(key);
        self.note_phase(key, before.phase);
        self.note_opening(key, rule, before.phase);
        let Some(incident) = self.live.get(&key) else { return };
        let phase = incident.phase;
        if incident.unannounced.is_some() {
            self.opened.push_back(key);
        }
        let gone = phase == Phase::Gone;
        let (due, account) = if gone { (None, None) } else { (incident.due(), incident.account()) };
        self.reschedule(key, before.due, due);
        self.kinship.moved(key, before.account, account);
        if before.is_open && phase != Phase::Open {
            self.let_go(key, before.account, phase);
        }
        if gone && let Some(incident) = self.live.remove(&key) {
            self.bury(key, rule, &incident);
        }
    }

    fn reschedule(&mut self, key: Key, before: Option<Time>, after: Option<Time>) {
        if let Some(time) = before {
            self.due.remove(&(time, key));
        }
        if let Some(time) = after {
            self.due.insert((time, key));
        }
    }

    fn make(&self, rule: &Rule, finding: &Finding<'_>) -> Incident {
        let subject = (finding.subject)();
        let facts = (finding.facts)();
        let slack = rule.lateness + rule.incident.cooldown;
        let known = self.known.get(&(CompactString::from(&rule.name), subject.clone())).filter(|known| {
            finding.since >= known.since - slack
                && known.ended_at.is_none_or(|end| finding.since <= end + slack)
        });
        let id = known.map_or_else(|| identity(rule, &subject, finding.since), |known| known.id);
        let known_revision = known.map_or(0, |known| known.revision);
        Incident::new(id, known_revision, subject, facts, finding, rule.incident.cooldown)
    }

    /// After a replay has caught up: incidents whose numbering the database is ahead of are written once more, so that
    /// what it shows is what the core holds.
    pub fn caught_up(&mut self, at: Time, effects: &mut Vec<Effect>) {
        self.known.clear();
        let mut keys: Vec<Key> = self.live.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.change(key, |rule, incident| incident.catch_up(rule, at, effects));
        }
    }

    /// Hands out what changed since the last checkpoint.
    pub fn drain_changes(&mut self, sink: Sink<'_>) {
        for name in std::mem::take(&mut self.orphaned) {
            sink(&name, None);
        }
        for (mut name, accounts) in std::mem::take(&mut self.gone) {
            let length = name.len();
            for account in accounts {
                name.truncate(length);
                Writer(&mut name).symbol(account);
                sink(&name, None);
            }
        }
        let mut value = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            let Some(rule) = self.rules.rules.get(usize::from(key.rule)) else { continue };
            let mut name = state::record_key(rule, key.subject);
            let Some(incident) = self.live.get_mut(&key) else {
                sink(&name, None);
                continue;
            };
            value.clear();
            incident.encode(&mut value);
            sink(&name, Some(&value));
            let length = name.len();
            for account in std::mem::take(&mut incident.forgotten) {
                name.truncate(length);
                Writer(&mut name).symbol(account);
                sink(&name, None);
            }
            for account in std::mem::take(&mut incident.touched) {
                name.truncate(length);
                Writer(&mut name).symbol(account);
                value.clear();
                if let Some(affected) = incident.affected.get(&account) {
                    affected.encode(&mut value);
                    sink(&name, Some(&value));
                }
            }
        }
    }

    /// Puts back one record of a checkpoint; one whose rule is gone is left to the database.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), CorruptState> {
        let (rule_name, subject, account) = state::read_key(key)?;
        let Some(rule) = self.rules.rules.iter().position(|rule| rule.name == rule_name) else {
            return Ok(());
        };
        let key = Key { rule: u16::try_from(rule).map_err(|_| CorruptState)?, subject };
        if let Some(account) = account {
            let affected = Affected::decode(&mut Reader(value))?;
            match self.live.get_mut(&key) {
                Some(incident) => drop(incident.affected.insert(account, affected)),
                None => self.early.entry(key).or_default().push((account, affected)),
            }
            return Ok(());
        }
        let mut incident = Incident::decode(&mut Reader(value))?;
        if let Phase::Joined { cause, id } = incident.phase
            && !self.moved.is_empty()
        {
            match self.moved.get(usize::from(cause.rule)).copied().flatten() {
                Some(rule) => incident.phase = Phase::Joined { cause: Key { rule, ..cause }, id },
                None => incident.leave(incident.last_finding),
            }
        }
        incident.affected.extend(self.early.remove(&key).unwrap_or_default());
        self.reschedule(key, None, incident.due());
        self.kinship.moved(key, None, incident.account());
        self.live.insert(key, incident);
        Ok(())
    }

    /// An incident's accounts are forgotten with it.
    fn bury(&mut self, key: Key, rule: &Rule, incident: &Incident) {
        if !incident.affected.is_empty() || !incident.forgotten.is_empty() {
            let accounts = incident.affected.keys().chain(&incident.forgotten).copied().collect();
            self.gone.push((state::record_key(rule, key.subject), accounts));
        }
    }
}

/// The id of an incident that opens now: the same for the same rule, subject and first finding, so that a replay of the
/// same events makes the same id.
fn identity(rule: &Rule, subject: &Subject, since: Time) -> IncidentId {
    let mut text = String::new();
    for (name, value) in &subject.0 {
        text.extend([name.as_str(), "=", value.as_str(), "\u{1f}"]);
    }
    text.push_str(&rule.name);
    text.push('\u{1f}');
    text.push_str(&since.as_millis().to_string());
    let low = Symbol::of(&text);
    text.push('\u{1f}');
    let high = Symbol::of(&text).with(low);
    IncidentId(u128::from(high.0) << 64 | u128::from(low.0))
}

/// How long a withdrawn or merged incident is remembered, so that what feeds it late does not open a new one.
const AFTERLIFE: Span = Span::from_mins(10);
