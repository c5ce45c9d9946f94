//! One line of a subject's timeline: what happened, in a plain sentence.

use compact_str::CompactString;

use crate::cli::timeline::shown_subject;
use crate::core::effect::{Proposal, ProposalState, Proposed, Stage, Subject, TicketSnapshot, TicketStep};
use crate::core::engine::Observed;
use crate::core::event::{Event, Fault, NumberField, TextField};
use crate::core::incident::Phase;
use crate::core::incident::journal::Turn;
use crate::core::rule::verdict::Evidence;
use crate::core::rule::{Rule, RuleSet};
use crate::core::time::Time;

/// What happened to whoever is asked about.
pub(super) struct Entry {
    pub(super) at: Time,
    pub(super) what: What,
}

pub(super) enum What {
    Event {
        text: String,
        observed: Observed,
    },
    Turn {
        rule: CompactString,
        subject: Subject,
        turn: Turn,
    },
    /// A ticket about something else touches them.
    Touched {
        rule: CompactString,
        subject: Subject,
    },
    Ticket {
        rule: CompactString,
        subject: Subject,
        step: TicketStep,
        snapshot: Box<TicketSnapshot>,
    },
    /// `how`: by which way it was sent, or why it was held back.
    Message {
        rule: CompactString,
        account_id: CompactString,
        stage: Stage,
        template: CompactString,
        how: Result<&'static str, &'static str>,
    },
    Proposal {
        rule: CompactString,
        proposal: Box<Proposal>,
    },
}

impl What {
    /// The kind of line, for scripts; also what rows of equal lines are gathered by.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Turn { turn, .. } => match turn {
                Turn::Found { .. } => "finding",
                Turn::Untrue { .. } => "finding.withdrawn",
                Turn::Cleared { .. } => "finding.over",
                Turn::Moved { to, .. } => match to {
                    Phase::Pending { .. } => "pending",
                    Phase::Waiting { .. } => "waiting",
                    Phase::Joined { .. } => "joined",
                    Phase::Silenced => "silenced",
                    Phase::Open | Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => "dropped",
                },
            },
            Self::Touched { .. } => "affected",
            Self::Ticket { step, .. } => step.as_str(),
            Self::Message { how: Ok(_), .. } => "notice.sent",
            Self::Message { how: Err(_), .. } => "notice.held",
            Self::Proposal { proposal, .. } => proposal.effect(),
        }
    }

    pub(super) fn rule(&self) -> Option<&str> {
        match self {
            Self::Event { .. } => None,
            Self::Turn { rule, .. }
            | Self::Touched { rule, .. }
            | Self::Ticket { rule, .. }
            | Self::Message { rule, .. }
            | Self::Proposal { rule, .. } => Some(rule),
        }
    }

    pub(super) const fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Turn { subject, .. } | Self::Touched { subject, .. } | Self::Ticket { subject, .. } => {
                Some(subject)
            }
            Self::Event { .. } | Self::Message { .. } | Self::Proposal { .. } => None,
        }
    }

    /// Whether the ticket's own lines say it already.
    pub(super) const fn is_said_elsewhere(&self) -> bool {
        match self {
            Self::Turn { turn: Turn::Moved { from, to }, .. } => match to {
                Phase::Open | Phase::Ended { .. } => true,
                // What had joined a cause is let go with it.
                Phase::Withdrawn { .. } => true,
                Phase::Gone => {
                    !matches!(from, Some(Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced))
                }
                Phase::Pending { .. } | Phase::Waiting { .. } | Phase::Silenced | Phase::Joined { .. } => {
                    false
                }
            },
            _ => false,
        }
    }

    /// Whether there are many such lines where many accounts are asked about at once.
    pub(super) const fn is_frequent(&self) -> bool {
        match self {
            Self::Event { .. } | Self::Touched { .. } | Self::Message { .. } | Self::Proposal { .. } => true,
            Self::Turn { turn, .. } => matches!(turn, Turn::Found { .. } | Turn::Cleared { .. }),
            Self::Ticket { .. } => false,
        }
    }

    pub(super) fn words(&self, at: Time, asked: &str, rules: &RuleSet) -> String {
        match self {
            Self::Event { text, observed: Observed::Fresh, .. } => text.clone(),
            Self::Event { text, observed: Observed::Late, .. } => {
                format!("{text} (late: it opens nothing any more)")
            }
            Self::Event { text, observed: Observed::Duplicate, .. } => {
                format!("{text} (a duplicate: it counts for nothing)")
            }
            Self::Turn { rule, subject, turn } => {
                let about = about(subject, asked);
                turn_words(rule, &about, *turn, at, rules)
            }
            Self::Touched { rule, subject } => {
                format!("touched by the ticket of {rule} {}", shown_subject(subject))
            }
            Self::Ticket { rule, subject, step, snapshot } => {
                ticket_words(rule, &about(subject, asked), *step, snapshot)
            }
            Self::Proposal { rule, proposal } => proposal_words(rule, proposal, asked),
            Self::Message { rule, account_id, stage, template, how } => {
                let whom = if account_id == asked { "the customer" } else { account_id.as_str() };
                let of = match stage {
                    Stage::Opened => "",
                    Stage::Recovered => " that it is over",
                    Stage::Corrected => " that it was not so",
                };
                match how {
                    Ok(via) => format!("{whom} is told{of} by {via}: {template} ({rule})"),
                    Err("shadow") => format!("{whom} would be told{of}: {template} ({rule}, in the shadow)"),
                    Err(reason) => format!("{whom} is not told{of}, {reason}: {template} ({rule})"),
                }
            }
        }
    }
}

fn proposal_words(rule: &str, proposal: &Proposal, asked: &str) -> String {
    let whom = match proposal.account_id.as_str() {
        "" => "the subject",
        account if account == asked => "the customer",
        account => account,
    };
    let verb = match (proposal.state, proposal.shadow) {
        (ProposalState::Withdrawn, _) => "is withdrawn",
        (ProposalState::Proposed, false) => "is proposed",
        (ProposalState::Proposed, true) => "would be proposed (in the shadow: it is for the record)",
    };
    let what = match &proposal.what {
        Proposed::Action(name) => name.to_string(),
        Proposed::Compensation(Ok(money)) => format!("compensation of {money}"),
        Proposed::Compensation(Err(undecided)) => format!("compensation ({})", undecided.as_str()),
    };
    format!("{what} {verb} for {whom} ({rule})")
}

/// The subject, where it is not exactly what was asked about.
fn about(subject: &Subject, asked: &str) -> String {
    match subject.0.as_slice() {
        [(_, value)] if value == asked => String::new(),
        _ => format!(" {}", shown_subject(subject)),
    }
}

fn numbers(evidence: &Evidence) -> String {
    let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let about = if evidence.approximate { "about " } else { "" };
    format!(
        "value {about}{}, limit {}, {} sample{}",
        round(evidence.value),
        round(evidence.limit),
        evidence.samples,
        if evidence.samples == 1 { "" } else { "s" }
    )
}

fn turn_words(rule: &str, about: &str, turn: Turn, at: Time, rules: &RuleSet) -> String {
    match turn {
        Turn::Found { since, evidence } => {
            let of = if since == at { String::new() } else { format!(", at {since}") };
            format!("{rule}{about} finds it{of}: {}", numbers(&evidence))
        }
        Turn::Untrue { since } => {
            format!("{rule}{about} takes back what it found at {since}: an event that belongs earlier came")
        }
        Turn::Cleared { since } => format!("{rule}{about} sees that it is over since {since}"),
        Turn::Moved { to, .. } => match to {
            Phase::Pending { until } => {
                format!("{rule}{about} waits until {until}: it opens if that lasts so long (`for`)")
            }
            Phase::Waiting { until } => {
                let causes = rules.find(rule).map_or_else(String::new, causes);
                format!("{rule}{about} waits until {until} for what may explain it: {causes}")
            }
            Phase::Joined { cause, .. } => {
                let cause = rules.rules.get(usize::from(cause.rule)).map_or("", |rule| rule.name.as_str());
                format!("{rule}{about} joins the incident of {cause}, which explains it")
            }
            Phase::Silenced => {
                format!("{rule}{about} is silenced: no ticket opens, nobody is told")
            }
            Phase::Open | Phase::Ended { .. } | Phase::Withdrawn { .. } | Phase::Gone => {
                format!("{rule}{about} drops it: nothing was opened, nobody was told")
            }
        },
    }
}

pub(super) fn causes(rule: &Rule) -> String {
    let names: Vec<&str> = rule.incident.covered_by.iter().map(|cover| cover.rule.as_str()).collect();
    names.join(", ")
}

fn ticket_words(rule: &str, about: &str, step: TicketStep, snapshot: &TicketSnapshot) -> String {
    let numbers = numbers(&snapshot.evidence);
    let touched = match snapshot.affected {
        0 => String::new(),
        1 => ", 1 customer".to_owned(),
        more => format!(", {more} customers"),
    };
    let shadow = if snapshot.shadow { " (in the shadow: nobody is told)" } else { "" };
    match step {
        TicketStep::Opened => {
            let severity = snapshot.severity.as_str();
            format!("ticket opens, {rule}{about}, severity {severity}{shadow}: {numbers}{touched}")
        }
        TicketStep::Updated => format!("ticket of {rule}{about} grows: {numbers}{touched}"),
        TicketStep::Reopened => format!("ticket of {rule}{about} opens again: {numbers}{touched}"),
        TicketStep::Escalated => format!("ticket of {rule}{about} is escalated"),
        TicketStep::Resolved(reason) => format!("ticket of {rule}{about} ends: {}", reason.as_str()),
        TicketStep::Withdrawn => format!("ticket of {rule}{about} is withdrawn: it was never true"),
        TicketStep::Merged(_) => format!("ticket of {rule}{about} is merged into the one that explains it"),
    }
}

/// An event in a few words: its type and what rules mostly look at; not who or where from.
pub(super) fn describe(event: &Event<'_>, asked: &str) -> String {
    const SHOWN: [TextField; 12] = [
        TextField::AccountId,
        TextField::OrderId,
        TextField::Kind,
        TextField::Product,
        TextField::Supplier,
        TextField::Channel,
        TextField::Region,
        TextField::CardId,
        TextField::ErrorCode,
        TextField::Category,
        TextField::GeoCountry,
        TextField::GeoCity,
    ];
    let mut text = event.event_type.as_str().to_owned();
    for field in SHOWN {
        if let Some(value) = event.text(field).filter(|value| *value != asked) {
            text.push_str(&format!(" {}={value}", field.as_str()));
        }
    }
    if let Some(amount) = event.number(NumberField::Amount) {
        text.push_str(&format!(" amount={amount}"));
    }
    if event.fault != Fault::None {
        text.push_str(&format!(" fault={}", event.fault));
    }
    text
}
