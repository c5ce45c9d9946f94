//! The course of a test: its events through the engine and the dispatcher of production, on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::CompactString;

use crate::core::effect::{Effect, EffectKind, IncidentId, Proposal, Stage, Subject, TicketStep};
use crate::core::engine::{Engine, Observed};
use crate::core::event::faults::FaultTable;
use crate::core::event::{Fault, TextField, Topic};
use crate::core::incident::journal::{Note, Turn};
use crate::core::rule::parse::RuleTest;
use crate::core::rule::parse::examples::{Step, TestEvent, TicketWord, When};
use crate::core::rule::parse::given::TestCustomer;
use crate::core::rule::silence::{Silence, Silences};
use crate::core::rule::{Detect, Rule, RuleSet, RuleState};
use crate::core::time::{Span, Time};
use crate::daemon;
use crate::delivery::customers::{Customer, Customers, Everybody, Personal, Profile};
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::delivery::notice::Decision;
use crate::edge::geo::Locator;

use super::Surroundings;

/// When a test starts that names no time itself: a Monday morning in Shanghai.
const START: Time = Time::from_millis(1_767_578_400_000);
const SHARD: u32 = 0;
/// Rules that span partitions are judged in steps that are at most this long.
const LONGEST_STEP: Span = Span::from_secs(10);
const SECOND: Span = Span::from_secs(1);
/// Where nothing was heard for so long, time passes in larger steps.
const CALM_AFTER: Span = Span::from_mins(120);

/// One thing that happened, in order.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) at: Time,
    pub(super) what: What,
    pub(super) history: bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Event {
        text: String,
        observed: Observed,
    },
    TimePassed,
    Finding(Told),
    Ticket(Told, TicketWord),
    Notice(Told, CompactString),
    /// A notice that must wait for a person, and why.
    Held(Told, CompactString, &'static str),
    Proposal(Told, Box<Proposal>),
}

/// What an effect says that can be expected of it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) rule: CompactString,
    pub(super) subject: Subject,
    pub(super) since: Option<Time>,
    pub(super) account_id: Option<CompactString>,
    /// The numbers of a ticket, for people.
    pub(super) evidence: String,
}

/// A test's start and everything that happened in it.
pub(super) struct Course {
    pub(super) start: Time,
    pub(super) happened: Vec<Happened>,
}

impl Course {
    pub(super) fn moment(&self, when: When) -> Time {
        moment(self.start, when)
    }
}

fn moment(start: Time, when: When) -> Time {
    match when {
        When::After(span) => start + span,
        When::At(time) => time,
    }
}

/// Runs a test of these rules. All of them are active, whatever their files say:
/// a rule that is still in the shadow is tested as what it is going to be.
pub(super) fn run(test: &RuleTest, rules: Vec<Rule>, surroundings: Surroundings<'_>) -> Course {
    let Surroundings { faults, silences, locator } = surroundings;
    let rules = rules.into_iter().map(|rule| Rule { state: RuleState::Active, ..rule }).collect();
    let rules = Arc::new(RuleSet::new(rules));
    let steps = || test.history.iter().chain(&test.events);
    let start = steps().find_map(|step| match step.at {
        When::At(time) => Some(time),
        When::After(_) => None,
    });
    let start = start.unwrap_or(START);
    let begin = steps().map(|step| moment(start, step.at)).min().unwrap_or(start);
    let customers = Arc::new(Invited::of(&test.customers));
    let silences = given(test, start, silences);
    let notices =
        NoticeSettings { manager_rules: daemon::manager_rules(&rules), ..NoticeSettings::default() };
    let mut run = Run {
        engine: Engine::new(Arc::clone(&rules), &[SHARD]).from_the_beginning(),
        dispatcher: Dispatcher::new(notices, Arc::<Invited>::clone(&customers)),
        customers,
        rules,
        faults,
        locator,
        now: begin,
        calm_since: begin,
        history: true,
        incidents: BTreeMap::new(),
        happened: Vec::new(),
        arrived: 0,
    };
    run.engine.silence(&silences);
    run.engine.keep_journal();
    run.engine.advance(SHARD, begin);
    run.engine.advance_scope(begin);
    run.steps(&test.history, start);
    run.history = false;
    run.steps(&test.events, start);
    run.end();
    Course { start, happened: run.happened }
}

/// The silences that hold during a test: those of all tests, and its own.
fn given(test: &RuleTest, start: Time, silences: &Arc<Silences>) -> Arc<Silences> {
    if test.silences.is_empty() {
        return Arc::clone(silences);
    }
    let own = test.silences.iter().map(|silence| Silence {
        rule: silence.rule.clone(),
        fields: silence
            .fields
            .iter()
            .map(|(field, value)| (CompactString::from(field.as_str()), CompactString::from(value)))
            .collect(),
        from: moment(start, silence.from),
        until: moment(start, silence.until),
        reason: String::new(),
        author: String::new(),
    });
    Arc::new(Silences(silences.0.iter().cloned().chain(own).collect()))
}

/// The customers of a test: everybody can be told, and those that it names are known.
struct Invited(BTreeMap<String, (Customer, Arc<Profile>)>);

impl Invited {
    fn of(customers: &[TestCustomer]) -> Self {
        let known = |written: &TestCustomer| {
            let customer = Customer {
                tier: written.tier,
                locale: written.locale.clone(),
                time_zone: written.time_zone.clone(),
                manager: written.manager.clone().map(Personal::new),
                opt_outs: written.opt_outs.clone(),
                ..Everybody.find(&written.account_id).unwrap_or_default()
            };
            let profile = Arc::new(Profile::of(&customer));
            (written.account_id.clone(), (customer, profile))
        };
        Self(customers.iter().map(known).collect())
    }
}

impl Customers for Invited {
    fn find(&self, account_id: &str) -> Option<Customer> {
        match self.0.get(account_id) {
            Some((customer, _)) => Some(customer.clone()),
            // Nothing else is known of them that could keep a message back.
            None => Everybody.find(account_id).map(|customer| Customer {
                manager: Some(Personal::new(format!("manager-of-{account_id}@customers.invalid"))),
                ..customer
            }),
        }
    }

    fn profile(&self, account_id: &str) -> Option<Arc<Profile>> {
        self.0.get(account_id).map(|(_, profile)| Arc::clone(profile))
    }
}

struct Run<'a> {
    engine: Engine,
    customers: Arc<Invited>,
    dispatcher: Dispatcher,
    rules: Arc<RuleSet>,
    faults: &'a FaultTable,
    locator: Option<&'a Locator>,
    now: Time,
    /// When the last event was heard.
    calm_since: Time,
    history: bool,
    incidents: BTreeMap<IncidentId, Time>,
    happened: Vec<Happened>,
    arrived: usize,
}

impl Run<'_> {
    /// Events arrive in the order of the list; repetitions of one are put between the later ones by their time.
    fn steps(&mut self, steps: &[Step], start: Time) {
        let mut repeated: BTreeSet<(Time, usize, u32)> = BTreeSet::new();
        for (index, step) in steps.iter().enumerate() {
            let at = moment(start, step.at);
            self.repetitions(steps, &mut repeated, start, at);
            match &step.event {
                Some(event) if step.repeat > 1 => self.arrive(&event.numbered(1), at),
                Some(event) => self.arrive(event, at),
                None => {
                    self.pass(at);
                    self.note(What::TimePassed, at);
                }
            }
            if step.repeat > 1 {
                repeated.insert((at + step.every, index, 1));
            }
        }
        self.repetitions(steps, &mut repeated, start, Time::MAX);
    }

    fn repetitions(
        &mut self,
        steps: &[Step],
        repeated: &mut BTreeSet<(Time, usize, u32)>,
        start: Time,
        until: Time,
    ) {
        while let Some((at, index, count)) = repeated.first().copied().filter(|(at, ..)| *at <= until) {
            repeated.remove(&(at, index, count));
            let Some(step) = steps.get(index) else { return };
            if let Some(event) = &step.event {
                self.arrive(&event.numbered(count + 1), at);
            }
            if count + 1 < step.repeat {
                let next = Span::from_millis(step.every.as_millis().saturating_mul(i64::from(count + 1)));
                repeated.insert((moment(start, step.at) + next, index, count + 1));
            }
        }
    }

    fn arrive(&mut self, written: &TestEvent, time: Time) {
        if time > self.now {
            self.pass(time - Span::from_millis(1));
        }
        self.now = self.now.max(time);
        self.calm_since = self.now;
        self.arrived += 1;
        let id = format!("event-{}", self.arrived);
        let fault = match written.text(TextField::ErrorCode) {
            _ if !written.event_type.is_failure() => Fault::None,
            Some(code) => self.faults.fault(code),
            None => Fault::Unknown,
        };
        let profile = written.text(TextField::AccountId).and_then(|account| self.customers.profile(account));
        let mut event = written.event(&id, time, fault);
        if let Some(profile) = &profile {
            profile.describe(&mut event);
        }
        if let Some(locator) = self.locator {
            locator.locate(&mut event);
        }
        let observed = self.engine.observe(SHARD, &mut event, self.now);
        self.engine.advance_scope(self.now);
        self.note(What::Event { text: describe(written), observed }, time);
        self.collect(None);
    }

    /// Lets time pass in small steps, so that accounts and what spans partitions move on together as they would in
    /// production.
    fn pass(&mut self, until: Time) {
        while self.now < until {
            let calm = self.now.since(self.calm_since) > CALM_AFTER;
            let step = if calm { Span::from_mins(1) } else { SECOND };
            self.now = (self.now + step).min(until);
            self.engine.advance(SHARD, self.now);
            self.engine.advance_scope(self.now);
            self.collect(None);
        }
    }

    /// Runs on until every wait, grace and deadline is decided. The ends of incidents do not belong to that.
    fn end(&mut self) {
        let end = self.now;
        let until = end
            + self
                .rules
                .rules
                .iter()
                .map(|rule| decided_after(rule, &self.rules))
                .max()
                .unwrap_or(Span::ZERO);
        while self.now < until {
            self.now = (self.now + SECOND).min(until);
            self.engine.advance(SHARD, self.now);
            self.engine.advance_scope(self.now);
            self.collect(Some(end));
        }
    }

    /// Writes down what the engine has decided. `end`: the test's last moment, when it is over.
    fn collect(&mut self, end: Option<Time>) {
        let effects: Vec<Effect> = self.engine.drain_effects().collect();
        self.collect_findings(end);
        let mut opened_now = BTreeSet::new();
        for effect in effects {
            let keep = end.is_none_or(|end| self.belongs(&effect, end, &mut opened_now));
            self.write_down(effect, keep);
        }
    }

    /// Whether an effect after the test's last moment belongs to the test.
    fn belongs(&self, effect: &Effect, end: Time, opened_now: &mut BTreeSet<IncidentId>) -> bool {
        let lasting = |rule: &Rule| match rule.detect {
            Detect::Ratio(_) => Some(LONGEST_STEP),
            Detect::Flatline(_) | Detect::Cardinality(_) | Detect::Spike(_) => Some(Span::ZERO),
            // What has begun is waited for as for a deadline; what merely leaves a window is not.
            Detect::Metric(ref metric) if !metric.is_time() => Some(Span::ZERO),
            Detect::Any
            | Detect::Metric(_)
            | Detect::Change(_)
            | Detect::List(_)
            | Detect::Frequency(_)
            | Detect::Deadline(_)
            | Detect::Reconcile(_)
            | Detect::NewTerm(_)
            | Detect::Sequence(_)
            | Detect::Correlation(_)
            | Detect::Travel(_) => None,
        };
        let slack = self.rules.find(&effect.rule).and_then(lasting);
        let since = match &effect.kind {
            EffectKind::Ticket { snapshot, .. } => Some(snapshot.since),
            EffectKind::Affected { .. } | EffectKind::Notice { .. } | EffectKind::Proposal(_) => {
                self.incidents.get(&effect.incident).copied()
            }
        };
        if let (Some(slack), Some(since)) = (slack, since)
            && since > end + slack
        {
            return false;
        }
        match &effect.kind {
            EffectKind::Ticket { step: TicketStep::Opened, .. } => {
                opened_now.insert(effect.incident);
                true
            }
            EffectKind::Ticket { step: TicketStep::Resolved(_), .. }
            | EffectKind::Notice { stage: Stage::Recovered, .. } => opened_now.contains(&effect.incident),
            EffectKind::Ticket { step: TicketStep::Escalated, .. } => false,
            EffectKind::Ticket { .. }
            | EffectKind::Affected { .. }
            | EffectKind::Notice { .. }
            | EffectKind::Proposal(_) => true,
        }
    }

    fn write_down(&mut self, effect: Effect, keep: bool) {
        let planned = self.dispatcher.plan(effect);
        let Effect { at, incident, rule, subject, kind } = planned.effect;
        let mut told = Told { rule, subject, since: None, account_id: None, evidence: String::new() };
        let what = match kind {
            EffectKind::Ticket { step, snapshot, .. } => {
                self.incidents.insert(incident, snapshot.since);
                told.since = Some(snapshot.since);
                told.account_id = snapshot
                    .facts
                    .as_ref()
                    .map(|facts| facts.account_id.clone())
                    .filter(|account_id| !account_id.is_empty());
                let evidence = &snapshot.evidence;
                told.evidence = format!(
                    "value {}, limit {}, {} samples, {} affected",
                    rounded(evidence.value),
                    rounded(evidence.limit),
                    evidence.samples,
                    snapshot.affected
                );
                if let TicketStep::Resolved(reason) = step {
                    told.evidence = format!("{}, {}", reason.as_str(), told.evidence);
                }
                What::Ticket(told, word(step))
            }
            EffectKind::Notice { account_id, template, .. } => {
                told.since = self.incidents.get(&incident).copied();
                told.account_id = Some(account_id);
                match planned.decision {
                    Some(Decision::Send { .. }) => What::Notice(told, template),
                    Some(Decision::Held { reason, .. }) => What::Held(told, template, reason.as_str()),
                    // Told already.
                    None => return,
                }
            }
            EffectKind::Proposal(proposal) => {
                told.since = self.incidents.get(&incident).copied();
                told.account_id =
                    Some(proposal.account_id.clone()).filter(|account_id| !account_id.is_empty());
                What::Proposal(told, proposal)
            }
            EffectKind::Affected { .. } => return,
        };
        if keep {
            self.happened.push(Happened { at, what, history: self.history });
        }
    }

    fn collect_findings(&mut self, end: Option<Time>) {
        for Note { at, rule, subject, account_id, turn, .. } in self.engine.drain_notes() {
            let Turn::Found { since, .. } = turn else { continue };
            let Some(rule) = self.rules.rules.get(usize::from(rule)) else { continue };
            // What lasts is found again and again, for as long as time passes.
            if end.is_some() && rule.detect.lasts() {
                continue;
            }
            let rule = CompactString::from(&rule.name);
            let told = Told { rule, subject, since: Some(since), account_id, evidence: String::new() };
            self.happened.push(Happened { at, what: What::Finding(told), history: self.history });
        }
    }

    fn note(&mut self, what: What, at: Time) {
        self.happened.push(Happened { at, what, history: self.history });
    }
}

/// How long after the last event something of a rule may still be undecided: what it hears of may be found late itself. No circle
/// of rules is ever loaded.
fn decided_after(rule: &Rule, rules: &RuleSet) -> Span {
    let heard =
        rule.detect.hears().filter_map(|name| rules.find(name)).map(|rule| decided_after(rule, rules));
    undecided(rule) + heard.max().unwrap_or(Span::ZERO)
}

fn undecided(rule: &Rule) -> Span {
    let within = match &rule.detect {
        Detect::Deadline(deadline) => deadline.within,
        Detect::Reconcile(reconcile) if reconcile.check.is_absence() => reconcile.within,
        Detect::Correlation(correlation) if correlation.misses() => correlation.window,
        Detect::Sequence(sequence) if !sequence.after.is_empty() => sequence.within,
        // The longest that something takes to grow too old.
        Detect::Metric(metric) if metric.is_time() => metric.window,
        Detect::Any
        | Detect::Cardinality(_)
        | Detect::Metric(_)
        | Detect::Spike(_)
        | Detect::Change(_)
        | Detect::List(_)
        | Detect::Frequency(_)
        | Detect::Reconcile(_)
        | Detect::NewTerm(_)
        | Detect::Sequence(_)
        | Detect::Correlation(_)
        | Detect::Travel(_) => Span::ZERO,
        Detect::Ratio(_) | Detect::Flatline(_) => LONGEST_STEP,
    };
    within + rule.grace + rule.pending + rule.incident.wait + SECOND
}

const fn word(step: TicketStep) -> TicketWord {
    match step {
        TicketStep::Opened => TicketWord::Opened,
        TicketStep::Updated => TicketWord::Updated,
        TicketStep::Reopened => TicketWord::Reopened,
        TicketStep::Escalated => TicketWord::Escalated,
        TicketStep::Resolved(_) => TicketWord::Resolved,
        TicketStep::Withdrawn => TicketWord::Withdrawn,
        TicketStep::Merged(_) => TicketWord::Merged,
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// An event in a few words: its type and what was given of it.
fn describe(event: &TestEvent) -> String {
    let mut text = event.event_type.as_str().to_owned();
    for (field, value) in &event.texts {
        text.push_str(&format!(" {}={value}", field.as_str()));
    }
    for (field, value) in &event.numbers {
        text.push_str(&format!(" {}={value}", field.as_str()));
    }
    if let Some(fault) = event.fault {
        text.push_str(&format!(" fault={fault}"));
    }
    if let Some(place) = event.location {
        text.push_str(&format!(" at {},{}", place.latitude, place.longitude));
    }
    if event.event_type.topic() == Topic::Feedback {
        text.push_str(" (feedback)");
    }
    text
}
