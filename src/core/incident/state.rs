//! What is remembered of one live incident, and its form in checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use super::{Finding, Key};
use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::effect::{EndReason, IncidentId, Subject, TicketStep};
use crate::core::event::{Facts, Symbol};
use crate::core::rule::Rule;
use crate::core::rule::proposal::StepAmount;
use crate::core::rule::verdict::Evidence;
use crate::core::time::{Span, Time};

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// The condition has to hold for the rule's `for`.
    Pending {
        until: Time,
    },
    /// A rule that spans partitions may explain it; it waits a short time for that.
    Waiting {
        until: Time,
    },
    Open,
    /// Part of another incident, which has the ticket.
    Joined {
        cause: Key,
        id: IncidentId,
    },
    /// Over; the same subject reopens it within the cooldown.
    Ended {
        at: Time,
        reason: EndReason,
    },
    /// People have asked not to hear of it: no ticket, no messages.
    Silenced,
    /// Proved untrue; kept a moment so that what belongs to it does not open another.
    Withdrawn {
        at: Time,
    },
    /// May be forgotten.
    Gone,
}

/// One customer that an incident touches.
#[derive(Clone, Debug, PartialEq)]
pub struct Affected {
    pub account_id: CompactString,
    pub facts: Option<Box<Facts>>,
    pub told: bool,
    /// Its own incident has joined this one. Whoever is to be told because of that is told at once, so it is not kept.
    pub joined: bool,
    pub offered: Offered,
}

/// Whether something was proposed for an account, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offered {
    #[default]
    No,
    /// By an incident of its own, which has joined this one.
    Before,
    Here,
}

/// One live incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub id: IncidentId,
    pub phase: Phase,
    pub subject: Subject,
    pub facts: Option<Box<Facts>>,
    /// What its compensation is a share of, where that is the amount of a sequence's step.
    pub(super) paid: Option<StepAmount>,
    pub since: Time,
    pub started_at: Time,
    pub opened_at: Time,
    /// It had ended before, and has come back.
    pub(super) reopened: bool,
    pub evidence: Evidence,
    /// Steps written so far.
    pub revision: u32,
    /// What the database had when it was adopted; 0 for a new one.
    pub known_revision: u32,
    /// Findings that may still be withdrawn, oldest first, and how many are beyond that.
    pub findings: Vec<Time>,
    pub settled_findings: u32,
    pub last_finding: Time,
    /// Since when the condition is false, and whether that was seen to be healthy.
    pub cleared: Option<(Time, bool)>,
    pub cooldown: Span,
    /// Every finding since it began was silenced.
    pub(super) silenced: bool,
    /// It opened when its rule was not to be heard yet: there is no ticket, nobody was told, and nobody will be of its end.
    pub(super) silent: bool,
    /// Its rule is not to be heard at present. Set before each step, never kept.
    pub(super) hushed: bool,
    /// People have asked not to hear of what happens now. Set before each step, never kept.
    pub(super) muted: bool,
    pub affected: BTreeMap<Symbol, Affected>,
    /// Which of them changed since the last checkpoint; each is a record of its own, since there may be many.
    pub(super) touched: BTreeSet<Symbol>,
    /// Accounts of an earlier incident of this subject, whose records the next checkpoint deletes.
    pub(super) forgotten: Vec<Symbol>,
    /// Customers beyond the bound on `affected`: counted, not named.
    pub affected_unnamed: u32,
    /// What the rule proposes for the subject as a whole was proposed.
    pub(super) subject_offered: bool,
    pub affected_reported: u32,
    /// It has opened (or opened again) at this time, and the ticket does not say so yet: first those whom it touches are
    /// gathered. Never set between two events.
    pub(super) unannounced: Option<(TicketStep, Time)>,
    /// When the rule's policy closes a point incident, or what follows a lasting one's end.
    pub(super) timer: Option<Time>,
    /// What was said of its opening to rules that wait for it.
    pub(super) opening: Option<Time>,
    /// The event with which it began, where that has arrived after the first one.
    pub(super) earlier: Option<Box<Facts>>,
}

impl Incident {
    pub(super) fn new(
        id: IncidentId,
        known_revision: u32,
        subject: Subject,
        facts: Option<Box<Facts>>,
        finding: &Finding<'_>,
        cooldown: Span,
    ) -> Self {
        Self {
            id,
            phase: Phase::Pending { until: finding.at },
            subject,
            facts,
            paid: finding.paid,
            since: finding.since,
            started_at: finding.started_at.min(finding.since),
            opened_at: finding.at,
            reopened: false,
            evidence: finding.evidence,
            revision: 0,
            known_revision,
            findings: vec![finding.since],
            settled_findings: 0,
            last_finding: finding.since,
            cleared: finding.over_since.map(|since| (since, true)),
            cooldown,
            silenced: false,
            silent: false,
            hushed: false,
            muted: false,
            affected: BTreeMap::new(),
            touched: BTreeSet::new(),
            forgotten: Vec::new(),
            affected_unnamed: 0,
            subject_offered: false,
            affected_reported: 0,
            unannounced: None,
            timer: None,
            opening: None,
            earlier: None,
        }
    }

    pub fn affected_count(&self) -> u32 {
        u32::try_from(self.affected.len()).unwrap_or(u32::MAX).saturating_add(self.affected_unnamed)
    }

    /// The account that the finding itself is about.
    pub(super) fn account(&self) -> Option<Symbol> {
        self.facts
            .as_ref()
            .filter(|facts| !facts.account_id.is_empty())
            .map(|facts| Symbol::of(&facts.account_id))
    }

    /// It is open, and there is a ticket that says so.
    pub fn is_told_of(&self) -> bool {
        self.phase == Phase::Open && !self.silent
    }

    /// When something happens to it by time alone.
    pub fn due(&self) -> Option<Time> {
        match self.phase {
            Phase::Pending { until } | Phase::Waiting { until } => Some(until),
            Phase::Gone => None,
            Phase::Open
            | Phase::Joined { .. }
            | Phase::Silenced
            | Phase::Ended { .. }
            | Phase::Withdrawn { .. } => self.timer,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer(out);
        writer.byte(VERSION);
        write_id(&mut writer, self.id);
        write_phase(&mut writer, self.phase);
        writer.unsigned(self.subject.0.len() as u64);
        for (name, value) in &self.subject.0 {
            writer.text(name);
            writer.text(value);
        }
        writer.option(self.facts.as_deref(), |writer, facts| facts.encode(writer));
        for time in [self.since, self.started_at, self.opened_at, self.last_finding] {
            writer.time(time);
        }
        writer.float(self.evidence.value);
        writer.float(self.evidence.limit);
        writer.unsigned(self.evidence.samples);
        writer.byte(
            u8::from(self.evidence.approximate)
                | u8::from(self.reopened) << 1
                | u8::from(self.silenced) << 2
                | u8::from(self.silent) << 3
                | u8::from(self.subject_offered) << 4,
        );
        writer.unsigned(u64::from(self.revision));
        writer.unsigned(u64::from(self.known_revision));
        writer.unsigned(self.findings.len() as u64);
        for time in &self.findings {
            writer.time(*time);
        }
        writer.unsigned(u64::from(self.settled_findings));
        writer.option(self.cleared, |writer, (time, healthy)| {
            writer.time(time);
            writer.bool(healthy);
        });
        writer.span(self.cooldown);
        writer.unsigned(u64::from(self.affected_unnamed));
        writer.unsigned(u64::from(self.affected_reported));
        writer.option(self.timer, Writer::time);
        writer.option(self.paid, |writer, paid| paid.encode(writer));
        if self.opening.is_some() || self.earlier.is_some() {
            writer.option(self.opening, Writer::time);
            writer.option(self.earlier.as_deref(), |writer, facts| facts.encode(writer));
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        if reader.byte()? != VERSION {
            return Err(CorruptState);
        }
        let id = read_id(reader)?;
        let phase = read_phase(reader)?;
        let mut subject = Vec::new();
        for _ in 0..reader.count()? {
            subject.push((CompactString::from(reader.text()?), CompactString::from(reader.text()?)));
        }
        let facts = reader.option(Facts::decode)?.map(Box::new);
        let [since, started_at, opened_at, last_finding] =
            [reader.time()?, reader.time()?, reader.time()?, reader.time()?];
        let (value, limit, samples) = (reader.float()?, reader.float()?, reader.unsigned()?);
        let flags = reader.byte()?;
        if flags > 0b1_1111 {
            return Err(CorruptState);
        }
        let evidence = Evidence { value, limit, samples, approximate: flags & 1 != 0 };
        let revision = reader.unsigned32()?;
        let known_revision = reader.unsigned32()?;
        let mut findings = Vec::new();
        for _ in 0..reader.count()? {
            findings.push(reader.time()?);
        }
        let settled_findings = reader.unsigned32()?;
        let cleared = reader.option(|reader| Ok((reader.time()?, reader.bool()?)))?;
        let cooldown = reader.span()?;
        let mut incident = Self {
            id,
            phase,
            subject: Subject(subject),
            facts,
            paid: None,
            since,
            started_at,
            opened_at,
            reopened: flags & 2 != 0,
            evidence,
            revision,
            known_revision,
            findings,
            settled_findings,
            last_finding,
            cleared,
            cooldown,
            silenced: flags & 4 != 0,
            silent: flags & 8 != 0,
            hushed: false,
            muted: false,
            affected: BTreeMap::new(),
            touched: BTreeSet::new(),
            forgotten: Vec::new(),
            affected_unnamed: reader.unsigned32()?,
            subject_offered: flags & 16 != 0,
            affected_reported: reader.unsigned32()?,
            unannounced: None,
            timer: reader.option(Reader::time)?,
            opening: None,
            earlier: None,
        };
        incident.paid = reader.option(StepAmount::decode)?;
        // Nobody waited for its opening, or an earlier version wrote it.
        if !reader.0.is_empty() {
            incident.opening = reader.option(Reader::time)?;
            incident.earlier = reader.option(Facts::decode)?.map(Box::new);
        }
        reader.end()?;
        Ok(incident)
    }
}

impl Affected {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer(out);
        writer.text(&self.account_id);
        writer.option(self.facts.as_deref(), |writer, facts| facts.encode(writer));
        writer.bool(self.told);
        writer.byte(self.offered as u8);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let account_id = CompactString::from(reader.text()?);
        let facts = reader.option(Facts::decode)?.map(Box::new);
        let told = reader.bool()?;
        let offered = match reader.byte()? {
            0 => Offered::No,
            1 => Offered::Before,
            2 => Offered::Here,
            _ => return Err(CorruptState),
        };
        reader.end()?;
        Ok(Self { account_id, facts, told, joined: false, offered })
    }
}

/// The version of the encoding; another one is refused, never misread.
const VERSION: u8 = 3;

fn write_id(writer: &mut Writer<'_>, id: IncidentId) {
    writer.symbol(Symbol((id.0 >> 64) as u64));
    writer.symbol(Symbol(id.0 as u64));
}

fn read_id(reader: &mut Reader<'_>) -> Result<IncidentId, CorruptState> {
    let (high, low) = (reader.symbol()?, reader.symbol()?);
    Ok(IncidentId(u128::from(high.0) << 64 | u128::from(low.0)))
}

fn write_phase(writer: &mut Writer<'_>, phase: Phase) {
    match phase {
        Phase::Pending { until } => {
            writer.byte(0);
            writer.time(until);
        }
        Phase::Waiting { until } => {
            writer.byte(1);
            writer.time(until);
        }
        Phase::Open => writer.byte(2),
        Phase::Joined { cause, id } => {
            writer.byte(3);
            writer.unsigned(u64::from(cause.rule));
            writer.symbol(cause.subject);
            write_id(writer, id);
        }
        Phase::Ended { at, reason } => {
            writer.byte(4);
            writer.time(at);
            writer.byte(reason as u8);
        }
        Phase::Withdrawn { at } => {
            writer.byte(5);
            writer.time(at);
        }
        Phase::Gone => writer.byte(6),
        Phase::Silenced => writer.byte(7),
    }
}

fn read_phase(reader: &mut Reader<'_>) -> Result<Phase, CorruptState> {
    Ok(match reader.byte()? {
        0 => Phase::Pending { until: reader.time()? },
        1 => Phase::Waiting { until: reader.time()? },
        2 => Phase::Open,
        3 => {
            let rule = u16::try_from(reader.unsigned()?).map_err(|_| CorruptState)?;
            Phase::Joined { cause: Key { rule, subject: reader.symbol()? }, id: read_id(reader)? }
        }
        4 => {
            let at = reader.time()?;
            let reason = match reader.byte()? {
                0 => EndReason::Recovered,
                1 => EndReason::Quiet,
                2 => EndReason::Closed,
                3 => EndReason::RuleChanged,
                _ => return Err(CorruptState),
            };
            Phase::Ended { at, reason }
        }
        5 => Phase::Withdrawn { at: reader.time()? },
        6 => Phase::Gone,
        7 => Phase::Silenced,
        _ => return Err(CorruptState),
    })
}

/// The key of an incident in checkpoints: the rule's name, so that it survives another order of rules.
pub(super) fn record_key(rule: &Rule, subject: Symbol) -> Vec<u8> {
    let mut key = Vec::with_capacity(rule.name.len() + 10);
    let mut writer = Writer(&mut key);
    writer.text(&rule.name);
    writer.symbol(subject);
    key
}

/// The rule's name, the subject, and the account where the record is about one that the incident touches.
pub(super) fn read_key(key: &[u8]) -> Result<(&str, Symbol, Option<Symbol>), CorruptState> {
    let mut reader = Reader(key);
    let (name, subject) = (reader.text()?, reader.symbol()?);
    let account = if reader.0.is_empty() { None } else { Some(reader.symbol()?) };
    reader.end()?;
    Ok((name, subject, account))
}
