//! Rules in their checked form: what was written, lowered to what is evaluated per event.
//!
//! The written form and its errors are in [`parse`]; conditions in [`condition`]; each detection kind in a module of
//! its own, which holds its settings, its state per subject and how it judges.

pub mod cardinality;
pub mod change;
pub mod condition;
pub mod correlation;
pub mod deadline;
pub mod demand;
pub mod frequency;
pub mod history;
mod kept;
pub mod limit;
pub mod list;
pub mod metric;
pub mod new_term;
pub mod parse;
pub mod point;
pub mod proposal;
pub mod reconcile;
pub mod samples;
pub mod scope;
pub mod sequence;
pub mod silence;
pub mod spike;
pub mod table;
pub mod travel;
pub mod verdict;
mod whereabouts;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::core::calendar::Calendar;
use crate::core::event::{Event, Field, Symbol, TextField, TextSet, TypeSet};
use crate::core::time::Span;
use condition::Condition;
use verdict::{Judged, Verdict};

/// A rule that is ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub summary: String,
    pub owner: String,
    pub state: RuleState,
    /// Hash of the rule's meaning (not of its comments or tests), on every finding and ticket.
    pub version: u64,
    /// The types of the topics that the rule names.
    pub topics: TypeSet,
    /// What starts or counts; never limits `end`, `unless`, `resolve_when`.
    pub filter: Condition,
    /// The subjects: one group for `group_by`, several for `slices` (scope rules only).
    pub groups: Vec<Vec<TextField>>,
    pub detect: Detect,
    /// During these nothing is found.
    pub except: Vec<Arc<Calendar>>,
    /// Pending before it opens.
    pub pending: Span,
    /// Healthy this long before the incident ends.
    pub keep_firing: Span,
    /// Absence is judged this much after its limit.
    pub grace: Span,
    pub lateness: Span,
    pub incident: IncidentPolicy,
    pub ticket: TicketPolicy,
    pub notice: Option<NoticePolicy>,
    /// What those are offered whom its incidents touch.
    pub compensation: Option<proposal::Compensation>,
    /// What the platform could do about it.
    pub action: Option<proposal::Action>,
    pub runbook: Option<String>,
    /// What is kept of an event that time alone may make a finding of: all, until the rules of a set are known.
    pub kept: TextSet,
}

impl Rule {
    /// Whether an account's or order's shard can judge the rule alone; otherwise it spans partitions.
    pub fn is_local(&self) -> bool {
        self.groups
            .iter()
            .all(|group| group.iter().any(|field| matches!(field, TextField::AccountId | TextField::OrderId)))
    }

    /// Whether it is found in the shard of its account or order, and not in sums over all shards.
    pub fn is_judged_in_shards(&self) -> bool {
        self.is_local() && !matches!(self.detect, Detect::Ratio(_) | Detect::Flatline(_))
    }

    /// What is left of judgements where nothing is found during the calendars of `except`. What was open before goes on, and
    /// may end in them.
    pub fn unexcepted<'j>(&self, judged: &'j [Judged]) -> Cow<'j, [Judged]> {
        if self.except.is_empty() {
            return Cow::Borrowed(judged);
        }
        Cow::Owned(judged.iter().copied().filter(|judged| !self.is_excepted(judged.verdict)).collect())
    }

    pub fn is_excepted(&self, verdict: Verdict) -> bool {
        let (Verdict::Found { since, .. } | Verdict::Withdrawn { since }) = verdict else { return false };
        self.except.iter().any(|calendar| calendar.holds(since))
    }

    /// Whether `for` has a meaning: something can show, before the ticket opens, that it need not.
    pub fn pends(&self) -> bool {
        let ends = matches!(self.detect, Detect::Deadline(_));
        ends || self.detect.lasts() || self.incident.resolve_when.is_some()
    }

    /// Event types that the rule must see at all, for any of its roles.
    pub fn types(&self) -> TypeSet {
        let mut types = self.topics.and(self.filter.types()).and(self.detect.types());
        types = types.or(self.detect.ending_types());
        if let Some(condition) = &self.incident.resolve_when {
            types = types.or(condition.types());
        }
        types
    }

    /// Text fields whose symbols must be computed before the rule sees an event.
    pub fn symbols(&self) -> TextSet {
        let mut fields = self.filter.symbols().or(self.detect.symbols());
        for field in self.groups.iter().flatten().chain(&self.incident.resolve_on) {
            fields = fields.or(TextSet::of(*field));
        }
        if let Some(condition) = &self.incident.resolve_when {
            fields = fields.or(condition.symbols());
        }
        fields
    }
}

/// The identity of a subject within a rule: the symbol of its fields' values, [`None`] if the event lacks one.
pub fn subject_key(group: &[TextField], event: &Event<'_>) -> Option<Symbol> {
    let mut key = Symbol(0x51);
    for field in group {
        let symbol = event.symbol(*field);
        if symbol == Symbol::MISSING {
            return None;
        }
        key = key.with(symbol);
    }
    Some(key)
}

/// [`subject_key`] of values that are at hand as texts.
pub fn subject_key_of<'a>(
    group: &[TextField],
    text: impl Fn(TextField) -> Option<&'a str>,
) -> Option<Symbol> {
    let mut key = Symbol(0x51);
    for field in group {
        key = key.with(Symbol::of(text(*field)?));
    }
    Some(key)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleState {
    Active,
    /// Everything but telling people.
    Shadow,
    Paused,
}

/// The detection kinds. Each variant holds the settings of its kind.
#[derive(Clone, Debug)]
pub enum Detect {
    Any,
    Cardinality(cardinality::Cardinality),
    Change(change::Change),
    Correlation(correlation::Correlation),
    Frequency(frequency::Frequency),
    Ratio(scope::Ratio),
    Deadline(deadline::Deadline),
    NewTerm(new_term::NewTerm),
    Travel(travel::Travel),
    Flatline(scope::Flatline),
    List(list::List),
    Metric(metric::Metric),
    Reconcile(reconcile::Reconcile),
    Sequence(sequence::Sequence),
    Spike(spike::Spike),
}

impl Detect {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Cardinality(_) => "cardinality",
            Self::Change(_) => "change",
            Self::Correlation(_) => "correlation",
            Self::Frequency(_) => "frequency",
            Self::Ratio(_) => "ratio",
            Self::Deadline(_) => "deadline",
            Self::NewTerm(_) => "new_term",
            Self::Travel(_) => "travel",
            Self::Flatline(_) => "flatline",
            Self::List(_) => "list",
            Self::Metric(_) => "metric",
            Self::Reconcile(_) => "reconcile",
            Self::Sequence(_) => "sequence",
            Self::Spike(_) => "spike",
        }
    }

    /// Types that start or count (before the rule's own filter).
    fn types(&self) -> TypeSet {
        match self {
            Self::Frequency(detect) => detect.count.types(),
            Self::Ratio(detect) => detect.among.types(),
            Self::Deadline(detect) => detect.start.types(),
            Self::Metric(detect) => detect.types(),
            Self::Reconcile(detect) => detect.types(),
            Self::Sequence(detect) => detect.types(),
            Self::Correlation(_) => TypeSet::EMPTY,
            Self::Spike(detect) => detect.types(),
            Self::Any
            | Self::Cardinality(_)
            | Self::Change(_)
            | Self::NewTerm(_)
            | Self::Travel(_)
            | Self::Flatline(_)
            | Self::List(_) => TypeSet::ALL,
        }
    }

    /// Types that end, clear, or tell what to expect, whatever the rule's filter and topics say.
    fn ending_types(&self) -> TypeSet {
        match self {
            Self::Frequency(detect) => detect.unless.as_ref().map_or(TypeSet::EMPTY, Condition::types),
            Self::Deadline(detect) => detect.end.types(),
            Self::Metric(detect) => detect.ending_types(),
            Self::Reconcile(detect) => detect.ending_types(),
            Self::Flatline(detect) => detect.telling_types(),
            Self::Any
            | Self::Cardinality(_)
            | Self::Change(_)
            | Self::Correlation(_)
            | Self::Ratio(_)
            | Self::NewTerm(_)
            | Self::Travel(_)
            | Self::Spike(_)
            | Self::Sequence(_)
            | Self::List(_) => TypeSet::EMPTY,
        }
    }

    fn symbols(&self) -> TextSet {
        match self {
            Self::Any | Self::Correlation(_) => TextSet::EMPTY,
            Self::Cardinality(detect) => detect.symbols(),
            Self::Change(detect) => detect.symbols(),
            Self::Frequency(detect) => detect.symbols(),
            Self::Ratio(detect) => detect.symbols(),
            Self::Deadline(detect) => detect.symbols(),
            Self::NewTerm(detect) => detect.symbols(),
            Self::Travel(detect) => detect.symbols(),
            Self::Flatline(detect) => detect.symbols(),
            Self::List(detect) => detect.symbols(),
            Self::Metric(detect) => detect.symbols(),
            Self::Reconcile(detect) => detect.symbols(),
            Self::Sequence(detect) => detect.symbols(),
            Self::Spike(detect) => detect.symbols(),
        }
    }

    /// The rules whose findings or openings it hears.
    pub fn hears(&self) -> impl Iterator<Item = &str> {
        self.heard().iter().map(|heard| heard.rule.as_str())
    }

    /// What it hears of other rules.
    pub fn heard(&self) -> &[sequence::Heard] {
        match self {
            Self::Sequence(detect) => &detect.findings,
            Self::Correlation(detect) => &detect.of,
            _ => &[],
        }
    }

    /// The condition that ends or clears, whatever the rule's filter says; [`Condition::Never`] for kinds without one.
    pub fn ending(&self) -> Condition {
        match self {
            Self::Frequency(detect) => detect.unless.clone().unwrap_or(Condition::Never),
            Self::Deadline(detect) => detect.end.clone(),
            _ => Condition::TypeIn(self.ending_types()),
        }
    }

    /// Whether what it waits for ends by a key of its own, with or without the subject's fields.
    pub const fn ends_by_key(&self) -> bool {
        matches!(self, Self::Deadline(_) | Self::Metric(metric::Metric { of: metric::Sampled::Pair(_), .. }))
    }

    /// Whether the condition lasts (the incident ends when it has been false for `keep_firing_for`), in contrast to
    /// kinds whose findings are points.
    pub const fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Frequency(_)
                | Self::Ratio(_)
                | Self::Flatline(_)
                | Self::Cardinality(_)
                | Self::Metric(_)
                | Self::Spike(_)
        )
    }
}

/// A limit that may depend on the value of one field: `above: { by: channel, alipay: 10%, default: 20% }`.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    One(Decimal),
    By { field: TextField, values: BTreeMap<String, Decimal>, default: Decimal },
}

impl Limit {
    /// The field that it depends on.
    pub fn field(&self) -> Option<TextField> {
        match self {
            Self::By { field, .. } => Some(*field),
            Self::One(_) => None,
        }
    }
}

/// The life of a rule's incidents.
#[derive(Clone, Debug)]
pub struct IncidentPolicy {
    /// After an incident's end, the time in which the same subject reopens it instead of opening a new one.
    pub cooldown: Span,
    /// The longest cooldown; it doubles with each reopening up to here.
    pub cooldown_max: Span,
    pub resolve_when: Option<Condition>,
    /// The fields that tie `resolve_when` to the incident; empty means the subject.
    pub resolve_on: Vec<TextField>,
    /// A point incident closes this long after its last finding.
    pub close_after: Span,
    pub covered_by: Vec<Cover>,
    /// How long a finding that a scope rule may explain waits for it.
    pub wait: Span,
    /// What becomes of open incidents when the rule goes, or no longer says what it said.
    pub on_remove: OnRemove,
}

/// What becomes of a rule's open incidents without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemove {
    /// They end; nobody is told that all is well.
    #[default]
    Resolve,
    /// Their tickets stay open for staff to close.
    Keep,
}

/// One entry of `covered_by`: another rule whose open incident explains this rule's findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    pub rule: String,
    /// Fields of the finding's event that must equal the other incident's subject; [`None`] means all of its subject.
    pub equal: Option<Vec<TextField>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketPolicy {
    pub category: String,
    pub department: String,
    pub severity: Severity,
    /// The name of a service-level class: `emergency`, `normal`, `complex` or one of the configuration's.
    pub sla: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePolicy {
    pub template: String,
    pub to: Audience,
    /// The template of the message that the trouble is over; [`None`]: none is sent.
    pub recovered: Option<String>,
    /// The template of the correction when a finding is withdrawn.
    pub corrected: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The account of the finding.
    Account,
    /// Every account that showed the symptom which a scope rule counts.
    Affected,
    /// Those whose own incident has joined this one: where only some who meet the symptom have the trouble, it says whom.
    Joined,
    /// The account manager.
    Manager,
}

/// The rules of one configuration, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Rule>,
}

impl RuleSet {
    pub fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by(|one, other| one.name.cmp(&other.name));
        reconcile::yielding::yield_to_deadlines(&mut rules);
        kept::keep_what_is_read(&mut rules);
        Self { rules }
    }

    pub fn find(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// Text fields whose symbols must be computed per event.
    pub fn symbols(&self) -> TextSet {
        self.rules.iter().fold(TextSet::EMPTY, |fields, rule| fields.or(rule.symbols()))
    }

    /// By rule: whether another one that is not paused waits for its openings.
    pub fn awaited_openings(&self) -> Vec<bool> {
        let waiting = self.rules.iter().filter(|rule| rule.state != RuleState::Paused);
        let heard = waiting.flat_map(|rule| rule.detect.heard()).filter(|heard| heard.opening);
        let awaited: BTreeSet<&str> = heard.map(|heard| heard.rule.as_str()).collect();
        self.rules.iter().map(|rule| awaited.contains(rule.name.as_str())).collect()
    }

    /// Whether a rule that is not paused looks at fields of the customer.
    pub fn names_customers(&self) -> bool {
        let named = self.rules.iter().filter(|rule| rule.state != RuleState::Paused);
        named.fold(TextSet::EMPTY, |fields, rule| fields.or(rule.symbols())).and(TextSet::CUSTOMER)
            != TextSet::EMPTY
    }

    /// The types of events whose place some rule looks at.
    pub fn located_types(&self) -> TypeSet {
        self.rules.iter().fold(TypeSet::EMPTY, |types, rule| types.or(rule.located_types()))
    }

    /// The fields that a rule may name, by their written name; the platform's own come from the configuration.
    pub fn field_named(name: &str, extra: &[String]) -> Option<Field> {
        use crate::core::event::NumberField;
        match name {
            "type" => return Some(Field::Type),
            "fault" => return Some(Field::Fault),
            "time" => return Some(Field::Time),
            "expires_at" => return Some(Field::ExpiresAt),
            _ => {}
        }
        if let Some(position) = extra.iter().position(|declared| declared == name) {
            return TextField::EXTRA.get(position).copied().map(Field::Text);
        }
        let text = TextField::ALL
            .into_iter()
            .filter(|field| !TextField::EXTRA.contains(field))
            .find(|field| field.as_str() == name);
        let number = NumberField::ALL.into_iter().find(|field| field.as_str() == name);
        text.map(Field::Text).or(number.map(Field::Number))
    }
}

/// The detector of a rule that is judged per subject; [`None`] for kinds that are counted and summed instead.
pub fn watch_for(rule: &Rule) -> Option<Box<dyn table::Watch>> {
    let Rule { grace, lateness, .. } = *rule;
    Some(match &rule.detect {
        Detect::Any => Box::new(point::PointWatch(point::Any)),
        Detect::Cardinality(settings) => {
            settings.watch(rule.groups.first().map_or(&[][..], Vec::as_slice), grace, lateness)
        }
        Detect::Change(settings) => Box::new(change::ChangeWatch::new(settings.clone(), grace, lateness)),
        Detect::List(settings) => Box::new(point::PointWatch(settings.clone())),
        Detect::Frequency(settings) => {
            Box::new(frequency::FrequencyWatch::new(settings.clone(), grace, lateness))
        }
        Detect::Deadline(settings) => {
            Box::new(deadline::DeadlineWatch::new(settings.clone(), grace, lateness).keeping(rule.kept))
        }
        Detect::Travel(settings) => Box::new(travel::TravelWatch::new(settings.clone(), grace, lateness)),
        Detect::Spike(settings) => {
            Box::new(spike::SpikeWatch::new(settings.clone(), grace, lateness).keeping(rule.kept))
        }
        Detect::Metric(settings) => {
            Box::new(metric::MetricWatch::new(settings.clone(), grace, lateness).keeping(rule.kept))
        }
        Detect::Reconcile(settings) => settings.watch(grace, lateness, rule.kept),
        Detect::Correlation(settings) => {
            Box::new(sequence::PatternWatch::new(settings.clone(), grace, lateness).keeping(rule.kept))
        }
        Detect::Sequence(settings) => {
            Box::new(sequence::PatternWatch::new(settings.clone(), grace, lateness).keeping(rule.kept))
        }
        Detect::NewTerm(settings) => Box::new(new_term::NewTermWatch::new(settings.clone(), grace, lateness)),
        Detect::Ratio(_) | Detect::Flatline(_) => return None,
    })
}
