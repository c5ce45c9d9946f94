//! Effects for tests of delivery and of the edges that carry it out.

use compact_str::CompactString;
use rust_decimal::Decimal;

use crate::core::effect::{
    Effect, EffectKind, EndReason, IncidentId, Proposal, ProposalState, Proposed, Stage, Subject,
    TicketSnapshot, TicketStep,
};
use crate::core::event::{EventType, Facts, TextField};
use crate::core::rule::Severity;
use crate::core::rule::verdict::Evidence;
use crate::core::time::Time;

/// Noon, UTC.
pub const START: i64 = 1_790_856_000_000;

pub fn at(seconds: i64) -> Time {
    Time::from_millis(START + seconds * 1_000)
}

pub fn facts(account_id: &str) -> Facts {
    Facts {
        event_type: EventType::OrderFailed,
        time: at(-60),
        account_id: account_id.into(),
        texts: Box::new([
            (TextField::OrderId, format!("o-{account_id}").into()),
            (TextField::Kind, "topup".into()),
            (TextField::Product, "phone-100".into()),
            (TextField::Channel, "alipay".into()),
            (TextField::Currency, "CNY".into()),
        ]),
        amount: Some(Decimal::new(10_000, 2)),
        quantity: None,
    }
}

pub fn subject() -> Subject {
    Subject(vec![("channel".into(), "alipay".into())])
}

fn effect(incident: u128, seconds: i64, kind: EffectKind) -> Effect {
    Effect {
        at: at(seconds),
        incident: IncidentId(incident),
        rule: "channel-drop".into(),
        subject: subject(),
        kind,
    }
}

pub fn step(incident: u128, revision: u32, step: TicketStep, seconds: i64) -> Effect {
    let snapshot = TicketSnapshot {
        rule_version: 11,
        shadow: false,
        summary: "A channel fails".into(),
        category: "payment_channel".into(),
        department: "payments".into(),
        severity: Severity::High,
        sla: "emergency".into(),
        since: at(0),
        opened_at: at(0),
        started_at: at(-60),
        evidence: Evidence { value: 0.41, limit: 0.2, samples: 64, approximate: false },
        affected: revision,
        facts: Some(Box::new(facts("a1"))),
    };
    effect(incident, seconds, EffectKind::Ticket { revision, step, snapshot })
}

pub fn opened(incident: u128) -> Effect {
    step(incident, 1, TicketStep::Opened, 0)
}

pub fn resolved(incident: u128, revision: u32, seconds: i64) -> Effect {
    step(incident, revision, TicketStep::Resolved(EndReason::Recovered), seconds)
}

pub fn notice(incident: u128, account_id: &str, stage: Stage, seconds: i64) -> Effect {
    let template = match stage {
        Stage::Opened => "channel_trouble",
        Stage::Recovered => "trouble_over",
        Stage::Corrected => "delivery_was_fine",
    };
    let account_id = CompactString::from(account_id);
    let facts = Box::new(facts(&account_id));
    effect(
        incident,
        seconds,
        EffectKind::Notice { account_id, stage, template: template.into(), facts, shadow: false },
    )
}

pub fn affected(incident: u128, account_id: &str, seconds: i64) -> Effect {
    let facts = Box::new(facts(account_id));
    effect(incident, seconds, EffectKind::Affected { account_id: account_id.into(), facts })
}

/// The first proposal of an incident for an account, or that it is withdrawn (an even number, an odd one).
pub fn proposed(incident: u128, account_id: &str, what: Proposed, number: u32, seconds: i64) -> Effect {
    let state = if number.is_multiple_of(2) { ProposalState::Proposed } else { ProposalState::Withdrawn };
    let proposal = Proposal {
        origin: IncidentId(incident),
        account_id: account_id.into(),
        what,
        state,
        number,
        shadow: false,
        facts: Some(Box::new(facts(account_id))),
    };
    effect(incident, seconds, EffectKind::Proposal(Box::new(proposal)))
}

/// The effect with another subject (and so another incident of the same rule).
pub fn about(mut effect: Effect, channel: &str) -> Effect {
    effect.subject = Subject(vec![("channel".into(), channel.into())]);
    effect
}
