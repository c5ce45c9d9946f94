//! `replay --explain SUBJECT`: everything that happened to one account, order or other subject, and why it got a ticket or
//! got none.

mod line;
mod why;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;

use crate::core::effect::{Effect, EffectKind, IncidentId, Stage, Subject, TicketStep};
use crate::core::engine::Observed;
use crate::core::event::{Event, EventType, Field, TextField};
use crate::core::incident::Phase;
use crate::core::incident::journal::{Note, Turn};
use crate::core::rule::silence::Silences;
use crate::core::rule::{Rule, RuleSet, RuleState};
use crate::core::time::Time;
use crate::delivery::notice::Decision;
use crate::delivery::store::Planned;

use super::play::Onlooker;
use line::{Entry, What};

pub(super) use write::write;

/// Lines that are kept; of a busy subject the oldest give way.
const ENTRIES_BOUND: usize = 100_000;

/// Whom or what is asked about.
pub(super) struct Asked {
    pub(super) value: String,
    /// The field that has to hold it; any where left out.
    pub(super) field: Option<TextField>,
}

impl Asked {
    /// `a42`, or `account_id=a42` where a value may stand in several fields.
    pub(super) fn parse(text: &str, extra: &[String]) -> Self {
        let named = text.split_once('=').and_then(|(name, value)| match RuleSet::field_named(name, extra) {
            Some(Field::Text(field)) => Some(Self { value: value.to_owned(), field: Some(field) }),
            _ => None,
        });
        named.unwrap_or_else(|| Self { value: text.to_owned(), field: None })
    }

    fn may_stand_in(&self, field: TextField) -> bool {
        self.field.is_none_or(|wanted| wanted == field)
    }

    fn is_of(&self, event: &Event<'_>) -> bool {
        let holds = |field: TextField| event.text(field) == Some(&self.value);
        self.field.map_or_else(|| TextField::ALL.into_iter().any(holds), holds)
    }

    fn is_subject(&self, subject: &Subject) -> bool {
        let fields = || subject.0.iter().filter(|(_, value)| *value == self.value);
        self.field.map_or_else(
            || fields().next().is_some(),
            |field| fields().any(|(name, _)| name == field.as_str()),
        )
    }

    fn is_account(&self, account_id: &str) -> bool {
        self.may_stand_in(TextField::AccountId) && account_id == self.value
    }

    /// Whether what happened to this subject, by an event of this account and order, concerns whoever is asked about.
    fn concerns(&self, subject: &Subject, account_id: Option<&str>, order_id: Option<&str>) -> bool {
        self.is_subject(subject)
            || account_id.is_some_and(|account| self.is_account(account))
            || (self.may_stand_in(TextField::OrderId) && order_id == Some(&self.value))
    }
}

/// What is known of an incident, whether or not it got a ticket.
#[derive(Clone, Debug)]
struct Life {
    rule: CompactString,
    subject: Subject,
    /// It is about whoever is asked about, or touches them.
    concerns: bool,
    /// Only touches them: it is about something else.
    touches: bool,
    found: Option<Time>,
    findings: u64,
    phase: Option<Phase>,
    /// What was found proved untrue last, and when that was seen.
    untrue: Option<Time>,
    opened_at: Option<Time>,
    /// Until when it was silenced, why and by whom.
    silenced: Option<String>,
    shadow: bool,
    ended: Option<(Time, &'static str)>,
    /// The incident that explains it.
    cause: Option<IncidentId>,
    told: BTreeMap<CompactString, (Time, &'static str)>,
    held: BTreeMap<CompactString, &'static str>,
}

/// What a rule made of the events of whoever is asked about.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    /// Events that its topics and `where` let through.
    at: u64,
    /// Those of them that it counts, where it counts some only.
    counted: u64,
}

pub(super) struct Explanation {
    asked: Asked,
    rules: Arc<RuleSet>,
    entries: VecDeque<Entry>,
    left_out: u64,
    events: u64,
    lives: BTreeMap<IncidentId, Life>,
    looked: Vec<Looked>,
    complaints: Vec<Time>,
    silences: Arc<Silences>,
    /// When whoever is asked about was told first.
    told_first: Option<Time>,
    /// Accounts behind the events.
    accounts: BTreeSet<CompactString>,
}

impl Explanation {
    pub(super) fn new(asked: Asked, rules: Arc<RuleSet>, silences: Arc<Silences>) -> Self {
        Self {
            asked,
            looked: vec![Looked::default(); rules.rules.len()],
            rules,
            entries: VecDeque::new(),
            left_out: 0,
            events: 0,
            lives: BTreeMap::new(),
            complaints: Vec::new(),
            silences,
            told_first: None,
            accounts: BTreeSet::new(),
        }
    }

    /// Whether any event, incident or message is about whoever is asked about.
    pub(super) fn knows_anything(&self) -> bool {
        self.events > 0 || !self.entries.is_empty()
    }

    fn push(&mut self, at: Time, what: What) {
        if self.entries.len() >= ENTRIES_BOUND {
            self.entries.pop_front();
            self.left_out += 1;
        }
        self.entries.push_back(Entry { at, what });
    }

    fn rule(&self, place: u16) -> Option<&Rule> {
        self.rules.rules.get(usize::from(place))
    }

    fn life(&mut self, incident: IncidentId, rule: &str, subject: &Subject) -> &mut Life {
        self.lives.entry(incident).or_insert_with(|| Life {
            rule: CompactString::from(rule),
            subject: subject.clone(),
            concerns: false,
            touches: false,
            found: None,
            findings: 0,
            phase: None,
            untrue: None,
            opened_at: None,
            silenced: None,
            shadow: false,
            ended: None,
            cause: None,
            told: BTreeMap::new(),
            held: BTreeMap::new(),
        })
    }

    fn look(&mut self, event: &Event<'_>) {
        for (rule, looked) in self.rules.rules.iter().zip(&mut self.looked) {
            if rule.state == RuleState::Paused
                || !rule.topics.contains(event.event_type)
                || !rule.filter.holds(event)
            {
                continue;
            }
            looked.at += 1;
            looked.counted += u64::from(why::counts(rule, event));
        }
    }

    fn ticket(&mut self, effect: &Effect, concerns: bool) {
        let EffectKind::Ticket { step, snapshot, .. } = &effect.kind else { return };
        let life = self.life(effect.incident, &effect.rule, &effect.subject);
        life.concerns |= concerns;
        life.shadow = snapshot.shadow;
        match step {
            TicketStep::Opened => life.opened_at = life.opened_at.or(Some(effect.at)),
            TicketStep::Reopened => life.ended = None,
            TicketStep::Updated | TicketStep::Escalated => {}
            TicketStep::Resolved(reason) => life.ended = Some((effect.at, reason.as_str())),
            TicketStep::Withdrawn => life.ended = Some((effect.at, "withdrawn")),
            TicketStep::Merged(cause) => {
                life.cause = Some(*cause);
                life.ended = Some((effect.at, "merged"));
            }
        }
        if concerns {
            let (rule, subject) = (effect.rule.clone(), effect.subject.clone());
            let what = What::Ticket { rule, subject, step: *step, snapshot: Box::new(snapshot.clone()) };
            self.push(effect.at, what);
        }
    }

    fn message(&mut self, effect: &Effect, decision: Option<&Decision>, concerns: bool) {
        let EffectKind::Notice { account_id, stage, template, .. } = &effect.kind else { return };
        let Some(decision) = decision else { return };
        let asked_account = self.asked.is_account(account_id);
        let life = self.life(effect.incident, &effect.rule, &effect.subject);
        life.touches |= asked_account;
        let how = match decision {
            Decision::Send { via, .. } => {
                if *stage == Stage::Opened {
                    life.told.entry(account_id.clone()).or_insert((effect.at, via.as_str()));
                    if asked_account {
                        self.told_first = self.told_first.or(Some(effect.at));
                    }
                }
                Ok(via.as_str())
            }
            Decision::Held { reason, .. } => {
                life.held.entry(account_id.clone()).or_insert(reason.as_str());
                Err(reason.as_str())
            }
        };
        if concerns || asked_account {
            let (rule, account_id) = (effect.rule.clone(), account_id.clone());
            let (stage, template) = (*stage, template.clone());
            self.push(effect.at, What::Message { rule, account_id, stage, template, how });
        }
    }
}

impl Onlooker for Explanation {
    const WANTS_NOTES: bool = true;

    fn event(&mut self, event: &Event<'_>, observed: Observed) {
        if !self.asked.is_of(event) {
            return;
        }
        self.events += 1;
        if let Some(account) = event.text(TextField::AccountId) {
            // Enough to say that there are several.
            if self.accounts.len() < 2 {
                self.accounts.insert(CompactString::from(account));
            }
        }
        if observed != Observed::Duplicate {
            self.look(event);
            if event.event_type == EventType::ComplaintFiled {
                self.complaints.push(event.time);
            }
        }
        let text = line::describe(event, &self.asked.value);
        self.push(event.time, What::Event { text, observed });
    }

    fn note(&mut self, note: &Note) {
        let concerns =
            self.asked.concerns(&note.subject, note.account_id.as_deref(), note.order_id.as_deref());
        if !concerns {
            return;
        }
        let Some(name) = self.rule(note.rule).map(|rule| rule.name.clone()) else { return };
        let silenced = match note.turn {
            Turn::Found { since, .. } => self.silences.over(&name, &note.subject, since).map(|silence| {
                format!("silenced until {} by {}: {}", silence.until, silence.author, silence.reason)
            }),
            _ => None,
        };
        let life = self.life(note.incident, &name, &note.subject);
        life.concerns = true;
        life.silenced = silenced.or(life.silenced.take());
        match note.turn {
            Turn::Found { since, .. } => {
                life.found = life.found.or(Some(since));
                life.findings += 1;
            }
            Turn::Untrue { .. } => life.untrue = Some(note.at),
            Turn::Cleared { .. } => {}
            Turn::Moved { to, .. } => {
                if let Phase::Joined { id, .. } = to {
                    life.cause = Some(id);
                }
                if to == Phase::Gone && life.opened_at.is_none() && life.ended.is_none() {
                    life.ended = Some((note.at, "dropped"));
                }
                // That a life is forgotten after its end says nothing.
                if to != Phase::Gone {
                    life.phase = Some(to);
                }
            }
        }
        let (rule, subject) = (CompactString::from(name), note.subject.clone());
        self.push(note.at, What::Turn { rule, subject, turn: note.turn });
    }

    fn planned(&mut self, _side: usize, planned: &Planned) -> anyhow::Result<()> {
        let effect = &planned.effect;
        let known = self.lives.get(&effect.incident).is_some_and(|life| life.concerns);
        let concerns = known || self.asked.is_subject(&effect.subject);
        match &effect.kind {
            EffectKind::Ticket { .. } => self.ticket(effect, concerns),
            EffectKind::Affected { account_id, facts } => {
                let order = facts.text(TextField::OrderId);
                if !concerns && self.asked.concerns(&Subject::default(), Some(account_id), order) {
                    self.life(effect.incident, &effect.rule, &effect.subject).touches = true;
                    let (rule, subject) = (effect.rule.clone(), effect.subject.clone());
                    self.push(effect.at, What::Touched { rule, subject });
                }
            }
            EffectKind::Notice { .. } => self.message(effect, planned.decision.as_ref(), concerns),
            EffectKind::Proposal(proposal) => {
                if concerns || self.asked.is_account(&proposal.account_id) {
                    let (rule, proposal) = (effect.rule.clone(), proposal.clone());
                    self.push(effect.at, What::Proposal { rule, proposal });
                }
            }
        }
        Ok(())
    }
}
