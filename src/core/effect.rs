//! What must be done: the only thing that leaves the core.

use std::fmt;

use compact_str::CompactString;

use crate::core::event::Facts;
use crate::core::rule::Severity;
use crate::core::rule::proposal::{Money, Undecided};
use crate::core::rule::verdict::Evidence;
use crate::core::time::Time;

/// The identity of an incident (and of its ticket): made when it opens and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u128);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl IncidentId {
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

/// What a statistic is about, with the values of its fields: `{"channel": "alipay"}`. In the order of the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub Vec<(CompactString, CompactString)>);

impl Subject {
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }
}

/// Why an incident ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// There is evidence that all is well again.
    Recovered,
    /// Nothing more is heard, which is not recovery: nobody is told that it is solved.
    Quiet,
    /// Staff closed it.
    Closed,
    /// Its rule has gone, or no longer says so.
    RuleChanged,
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Quiet => "quiet",
            Self::Closed => "closed",
            Self::RuleChanged => "rule_changed",
        }
    }
}

/// Which message of an incident's life a notice is; unique with incident and account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Opened,
    Recovered,
    Corrected,
}

impl Stage {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Recovered => "recovered",
            Self::Corrected => "corrected",
        }
    }
}

/// One thing to be done, with the moment of its decision and the event time that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// When it was decided, waits and grace included.
    pub at: Time,
    pub incident: IncidentId,
    pub rule: CompactString,
    pub subject: Subject,
    pub kind: EffectKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EffectKind {
    /// A step in the life of a ticket. `revision` numbers the steps of one incident from 1 without gaps.
    Ticket { revision: u32, step: TicketStep, snapshot: TicketSnapshot },
    /// An account is touched by the incident, whether or not it is told.
    Affected { account_id: CompactString, facts: Box<Facts> },
    /// An account must be told. `shadow`: it would have to be, were the rule not in the shadow.
    Notice {
        account_id: CompactString,
        stage: Stage,
        template: CompactString,
        facts: Box<Facts>,
        shadow: bool,
    },
    /// Something is proposed to people and to the platform, or what was proposed is withdrawn.
    Proposal(Box<Proposal>),
}

/// What a rule proposes for one account, or for the subject as a whole: once for each incident and account.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The incident that was found; the effect's own is the ticket that shows it, another one where it has joined a cause.
    pub origin: IncidentId,
    /// Empty where it is about the subject as a whole.
    pub account_id: CompactString,
    pub what: Proposed,
    pub state: ProposalState,
    /// Steps of one proposal: what is written of it later has a higher number.
    pub number: u32,
    /// Shadow rules propose nothing to anybody: it is for the record.
    pub shadow: bool,
    /// The event that names the order and the card.
    pub facts: Option<Box<Facts>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Proposed {
    /// So much, or why a person has to say how much.
    Compensation(Result<Money, Undecided>),
    Action(CompactString),
}

impl Proposed {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Compensation(_) => "compensation",
            Self::Action(_) => "action",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalState {
    Proposed,
    /// What it was proposed for has proved untrue.
    Withdrawn,
}

impl Proposal {
    /// The name of the effect in the output of `replay`.
    pub const fn effect(&self) -> &'static str {
        match (&self.what, self.state) {
            (Proposed::Compensation(_), ProposalState::Proposed) => "compensation.proposed",
            (Proposed::Compensation(_), ProposalState::Withdrawn) => "compensation.withdrawn",
            (Proposed::Action(_), ProposalState::Proposed) => "action.proposed",
            (Proposed::Action(_), ProposalState::Withdrawn) => "action.withdrawn",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketStep {
    Opened,
    Updated,
    Reopened,
    Escalated,
    Resolved(EndReason),
    Withdrawn,
    /// The incident has joined another one, which explains it.
    Merged(IncidentId),
}

impl TicketStep {
    /// The name of the effect in the output of `replay`; a merge is an update.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "ticket.opened",
            Self::Updated | Self::Merged(_) => "ticket.updated",
            Self::Reopened => "ticket.reopened",
            Self::Escalated => "ticket.escalated",
            Self::Resolved(_) => "ticket.resolved",
            Self::Withdrawn => "ticket.withdrawn",
        }
    }
}

/// The whole of a ticket after a step, so that writing a step twice changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketSnapshot {
    pub rule_version: u64,
    /// Shadow rules do everything but tell people.
    pub shadow: bool,
    pub summary: CompactString,
    pub category: CompactString,
    pub department: CompactString,
    pub severity: Severity,
    pub sla: CompactString,
    /// The event time of the first finding.
    pub since: Time,
    pub opened_at: Time,
    /// Where the trouble is estimated to have begun; not later than `since`.
    pub started_at: Time,
    pub evidence: Evidence,
    pub affected: u32,
    pub facts: Option<Box<Facts>>,
}
