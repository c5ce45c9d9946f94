//! Effects in the form of rows, encoded before they come to the writer, so that it only writes.

use crate::core::effect::{EffectKind, IncidentId, Stage, TicketStep};
use crate::core::time::Time;
use crate::delivery::notice::{Decision, HoldReason, Notice, StaffMail};
use crate::delivery::store::Planned;
use crate::edge::store::encode;
use crate::edge::store::sql::proposals::{self, NewProposal};

/// What one effect writes.
pub enum Row {
    Ticket(Box<Ticket>),
    Affected { incident: String, account: String, order_id: Option<String>, at: i64 },
    Notice(Box<NoticeRow>),
    Proposal(Box<NewProposal>),
}

pub struct Ticket {
    pub incident: IncidentId,
    pub at: i64,
    pub revision: u32,
    pub step: TicketStep,
    /// A later step of the same incident in this batch holds newer numbers, and nothing happens here but numbers.
    pub overtaken: bool,
    pub rule: String,
    pub rule_version: i64,
    pub subject: String,
    pub since: i64,
    pub started_at: i64,
    pub opened_at: i64,
    pub shadow: bool,
    pub summary: String,
    pub category: String,
    pub department: String,
    pub severity: &'static str,
    pub sla: String,
    pub value: f64,
    pub limit: f64,
    pub samples: i64,
    pub approximate: bool,
    pub affected: i64,
    pub facts: Option<String>,
    /// The account and order that the subject names: local rules touch nobody else.
    pub account: Option<(String, Option<String>)>,
}

/// A message for the outbox.
pub struct NoticeRow {
    pub id: String,
    pub incident: String,
    pub account: String,
    pub stage: &'static str,
    pub rule: String,
    pub subject: String,
    pub template: String,
    pub recipient: &'static str,
    pub via: &'static str,
    pub locale: Option<&'static str>,
    pub facts: Option<String>,
    pub order_id: Option<String>,
    pub decided_at: i64,
    pub hold: Option<HoldReason>,
}

pub fn encode(batch: &[Planned]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(batch.len() * 2);
    for (position, planned) in batch.iter().enumerate() {
        let effect = &planned.effect;
        match &effect.kind {
            EffectKind::Ticket { .. } => {
                let overtaken = is_overtaken(planned, batch.get(position + 1..).unwrap_or_default());
                rows.extend(ticket(planned, overtaken).map(Box::new).map(Row::Ticket));
            }
            EffectKind::Affected { account_id, facts } => rows.push(Row::Affected {
                incident: effect.incident.to_string(),
                account: account_id.to_string(),
                order_id: order_of(facts),
                at: effect.at.as_millis(),
            }),
            EffectKind::Notice { .. } => {}
            EffectKind::Proposal(proposal) => {
                rows.push(Row::Proposal(Box::new(proposals::encode(effect, proposal))));
            }
        }
        rows.extend(planned.decision.as_ref().and_then(notice).map(Box::new).map(Row::Notice));
        rows.extend(planned.staff.as_ref().map(staff).map(Box::new).map(Row::Notice));
    }
    rows
}

/// An update of numbers need not be written if the next step of the incident is an update as well.
fn is_overtaken(planned: &Planned, rest: &[Planned]) -> bool {
    let is_update = |planned: &Planned| {
        matches!(planned.effect.kind, EffectKind::Ticket { step: TicketStep::Updated, .. })
    };
    let is_step = |later: &&Planned| {
        later.effect.incident == planned.effect.incident
            && matches!(later.effect.kind, EffectKind::Ticket { .. })
    };
    is_update(planned) && rest.iter().find(is_step).is_some_and(is_update)
}

fn ticket(planned: &Planned, overtaken: bool) -> Option<Ticket> {
    let effect = &planned.effect;
    let EffectKind::Ticket { revision, step, snapshot } = &effect.kind else { return None };
    let facts = snapshot.facts.as_ref();
    let account = effect
        .subject
        .get("account_id")
        .or_else(|| effect.subject.get("order_id").and(facts).map(|facts| facts.account_id.as_str()))
        .filter(|account| !account.is_empty())
        .map(|account| (account.to_owned(), facts.and_then(|facts| order_of(facts))));
    Some(Ticket {
        incident: effect.incident,
        at: effect.at.as_millis(),
        revision: *revision,
        step: *step,
        overtaken,
        rule: effect.rule.to_string(),
        rule_version: snapshot.rule_version.cast_signed(),
        subject: encode::subject(&effect.subject),
        since: snapshot.since.as_millis(),
        started_at: snapshot.started_at.as_millis(),
        opened_at: snapshot.opened_at.as_millis(),
        shadow: snapshot.shadow,
        summary: snapshot.summary.to_string(),
        category: snapshot.category.to_string(),
        department: snapshot.department.to_string(),
        severity: snapshot.severity.as_str(),
        sla: snapshot.sla.to_string(),
        value: finite(snapshot.evidence.value),
        limit: finite(snapshot.evidence.limit),
        samples: i64::try_from(snapshot.evidence.samples).unwrap_or(i64::MAX),
        approximate: snapshot.evidence.approximate,
        affected: i64::from(snapshot.affected),
        facts: facts.map(|facts| encode::facts(facts)),
        account,
    })
}

/// SQLite has no NaN; it would become NULL and break the row.
fn finite(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number }
}

fn notice(decision: &Decision) -> Option<NoticeRow> {
    let (notice, locale, hold) = match decision {
        // `off` means that no message is written at all.
        Decision::Held { reason: HoldReason::ModeOff, .. } => return None,
        Decision::Held { reason, notice } => (notice, None, Some(*reason)),
        Decision::Send { notice, locale, .. } => (notice, Some(locale.as_str()), None),
    };
    let Notice { id, incident, account_id, stage, rule, subject, template, recipient, at, facts } = notice;
    Some(NoticeRow {
        id: id.to_string(),
        incident: incident.to_string(),
        account: account_id.to_string(),
        stage: stage.as_str(),
        rule: rule.to_string(),
        subject: encode::subject(subject),
        template: template.to_string(),
        recipient: recipient.as_str(),
        via: "email",
        locale,
        facts: Some(encode::facts(facts)),
        order_id: (*stage == Stage::Opened).then(|| order_of(facts)).flatten(),
        decided_at: at.as_millis(),
        hold,
    })
}

fn staff(mail: &StaffMail) -> NoticeRow {
    NoticeRow {
        id: mail.id.to_string(),
        incident: mail.incident.to_string(),
        account: String::new(),
        stage: mail.kind.as_str(),
        rule: mail.rule.to_string(),
        subject: encode::subject(&mail.subject),
        template: mail.kind.template().to_owned(),
        recipient: "staff",
        via: "email",
        locale: None,
        facts: None,
        order_id: None,
        decided_at: mail.at.as_millis(),
        hold: mail.held,
    }
}

fn order_of(facts: &crate::core::event::Facts) -> Option<String> {
    facts.text(crate::core::event::TextField::OrderId).map(str::to_owned)
}

/// A stored time.
pub const fn time(millis: i64) -> Time {
    Time::from_millis(millis)
}
