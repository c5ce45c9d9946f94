//! Ticket policy: which ticket an incident makes and where it goes.

use compact_str::CompactString;

use crate::core::effect::TicketSnapshot;
use crate::core::incident::Incident;
use crate::core::rule::{Rule, RuleState};

/// The ticket of an incident as it stands.
pub fn snapshot(rule: &Rule, incident: &Incident) -> TicketSnapshot {
    TicketSnapshot {
        rule_version: rule.version,
        shadow: rule.state == RuleState::Shadow,
        summary: CompactString::from(&rule.summary),
        category: CompactString::from(&rule.ticket.category),
        department: CompactString::from(&rule.ticket.department),
        severity: rule.ticket.severity,
        sla: CompactString::from(&rule.ticket.sla),
        since: incident.since,
        opened_at: incident.opened_at,
        started_at: incident.started_at,
        evidence: incident.evidence,
        affected: incident.affected_count(),
        facts: incident.facts.clone(),
    }
}
