//! What a replay prints: one effect per line in the order of decision, and the summary at the end. A contract.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::core::effect::{EffectKind, Proposal, Proposed, Subject, TicketStep};
use crate::core::event::TextField;
use crate::core::rule::RuleSet;
use crate::core::time::Time;
use crate::delivery::notice::{Decision, Notice};
use crate::delivery::proposal::ProposalId;
use crate::delivery::store::Planned;

use super::by_rule::{self, ByRule};
use super::coverage::Coverage;
use super::play::Counts;
use crate::cli::format::Format;

/// Writes effects as they are decided.
pub(super) struct Printer<W> {
    out: W,
    format: Format,
    counts: BTreeMap<&'static str, u64>,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, format: Format) -> Self {
        Self { out, format, counts: BTreeMap::new() }
    }

    pub(super) fn print(&mut self, planned: &Planned) -> io::Result<()> {
        let Some((name, line)) = line_of(planned) else { return Ok(()) };
        *self.counts.entry(name).or_default() += 1;
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")
            }
            Format::Text => writeln!(self.out, "{}", text_of(name, &line)),
        }
    }

    pub(super) fn summarize(
        &mut self,
        counts: &Counts,
        coverage: &Coverage,
        by_rule: &ByRule,
        rules: &RuleSet,
    ) -> io::Result<()> {
        let (of_rules, complaints) = (by_rule.figures(rules), by_rule.complaints());
        let Counts { events, rejected, late, duplicates, silenced } = counts;
        let effects = &self.counts;
        match self.format {
            Format::Json => {
                let mut summary = json!({ "summary": {
                    "events": events, "rejected": rejected, "late": late, "duplicates": duplicates,
                    "effects": effects, "coverage": coverage.figures(),
                    "rules": of_rules.iter().map(|of_rule| of_rule.as_json(complaints)).collect::<Vec<_>>(),
                }});
                if let (Some(silenced), Some(summary)) = (silenced, summary["summary"].as_object_mut()) {
                    summary.insert("silenced".into(), (*silenced).into());
                }
                writeln!(self.out, "{summary}")?;
            }
            Format::Text => {
                writeln!(self.out, "\n{counts}")?;
                for (name, count) in effects {
                    writeln!(self.out, "{count:>8}  {name}")?;
                }
                write!(self.out, "{coverage}")?;
                by_rule::write(&of_rules, complaints, &mut self.out)?;
            }
        }
        self.out.flush()
    }
}

pub(super) fn subject_json(subject: &Subject) -> Value {
    Value::Object(
        subject.0.iter().map(|(name, value)| (name.to_string(), Value::from(value.as_str()))).collect(),
    )
}

pub(super) fn time_json(time: Time) -> Value {
    Value::from(time.to_string())
}

/// The line of an effect; [`None`] for what is no effect to the outside.
fn line_of(planned: &Planned) -> Option<(&'static str, Map<String, Value>)> {
    let effect = &planned.effect;
    let mut line = Map::new();
    let name = match (&effect.kind, &planned.decision) {
        (EffectKind::Ticket { step, .. }, _) => step.as_str(),
        (EffectKind::Proposal(proposal), _) => proposal.effect(),
        (EffectKind::Notice { .. }, Some(Decision::Send { .. })) => "notice.sent",
        (EffectKind::Notice { .. }, Some(Decision::Held { .. })) => "notice.held",
        (EffectKind::Notice { .. }, None) | (EffectKind::Affected { .. }, _) => return None,
    };
    line.insert("at".into(), time_json(effect.at));
    line.insert("effect".into(), name.into());
    let id = match (&effect.kind, &planned.decision) {
        (EffectKind::Ticket { revision, .. }, _) => format!("{}-{revision}", effect.incident),
        (EffectKind::Proposal(proposal), _) => ProposalId::of(proposal).to_string(),
        (_, Some(Decision::Send { notice, .. } | Decision::Held { notice, .. })) => notice.id.to_string(),
        _ => String::new(),
    };
    line.insert("id".into(), id.into());
    line.insert("incident".into(), effect.incident.to_string().into());
    line.insert("rule".into(), effect.rule.as_str().into());
    match (&effect.kind, &planned.decision) {
        (EffectKind::Ticket { step, snapshot, .. }, _) => {
            line.insert("version".into(), by_rule::version(snapshot.rule_version).into());
            line.insert("subject".into(), subject_json(&effect.subject));
            line.insert("severity".into(), snapshot.severity.as_str().into());
            line.insert("since".into(), time_json(snapshot.since));
            line.insert("started_at".into(), time_json(snapshot.started_at));
            line.insert("value".into(), number_json(snapshot.evidence.value));
            line.insert("limit".into(), number_json(snapshot.evidence.limit));
            line.insert("samples".into(), snapshot.evidence.samples.into());
            line.insert("affected".into(), snapshot.affected.into());
            if snapshot.shadow {
                line.insert("shadow".into(), true.into());
            }
            match step {
                TicketStep::Merged(cause) => {
                    line.insert("merged_into".into(), cause.to_string().into());
                }
                TicketStep::Resolved(reason) => {
                    line.insert("reason".into(), reason.as_str().into());
                }
                TicketStep::Opened
                | TicketStep::Updated
                | TicketStep::Reopened
                | TicketStep::Escalated
                | TicketStep::Withdrawn => {}
            }
        }
        (EffectKind::Proposal(proposal), _) => {
            line.insert("subject".into(), subject_json(&effect.subject));
            proposal_fields(&mut line, proposal);
        }
        (_, Some(Decision::Send { via, locale, notice })) => {
            notice_fields(&mut line, notice);
            line.insert("via".into(), via.to_string().into());
            line.insert("locale".into(), locale.to_string().into());
        }
        (_, Some(Decision::Held { reason, notice })) => {
            notice_fields(&mut line, notice);
            line.insert("reason".into(), reason.to_string().into());
        }
        (_, None) => {}
    }
    Some((name, line))
}

fn notice_fields(line: &mut Map<String, Value>, notice: &Notice) {
    line.insert("subject".into(), subject_json(&notice.subject));
    line.insert("account_id".into(), notice.account_id.as_str().into());
    line.insert("template".into(), notice.template.as_str().into());
    line.insert("stage".into(), notice.stage.as_str().into());
    if let Some(order) = notice.facts.text(TextField::OrderId) {
        line.insert("order_id".into(), order.into());
    }
}

fn proposal_fields(line: &mut Map<String, Value>, proposal: &Proposal) {
    if !proposal.account_id.is_empty() {
        line.insert("account_id".into(), proposal.account_id.as_str().into());
    }
    match &proposal.what {
        Proposed::Action(name) => drop(line.insert("action".into(), name.as_str().into())),
        Proposed::Compensation(Ok(money)) => {
            // A text, so that no reader makes a binary fraction of it.
            line.insert("amount".into(), money.amount.to_string().into());
            line.insert("currency".into(), money.currency.as_str().into());
        }
        Proposed::Compensation(Err(undecided)) => {
            line.insert("amount".into(), Value::Null);
            line.insert("reason".into(), undecided.as_str().into());
        }
    }
    for field in [TextField::OrderId, TextField::CardId] {
        if let Some(text) = proposal.facts.as_ref().and_then(|facts| facts.text(field)) {
            line.insert(field.as_str().into(), text.into());
        }
    }
    if proposal.shadow {
        line.insert("shadow".into(), true.into());
    }
}

/// Rounded to six digits, so that a share reads as a share and not as its binary neighbour.
fn number_json(value: f64) -> Value {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.fract() == 0.0 && rounded.abs() < 1e15 { Value::from(rounded as i64) } else { json!(rounded) }
}

fn text_of(name: &str, line: &Map<String, Value>) -> String {
    let text = |field: &str| line.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let subject = line.get("subject").and_then(Value::as_object).map_or_else(String::new, |fields| {
        let fields: Vec<String> = fields
            .iter()
            .map(|(field, value)| format!("{field}={}", value.as_str().unwrap_or_default()))
            .collect();
        fields.join(" ")
    });
    let mut written = format!("{}  {name:<16} {:<26} {subject}", text("at"), text("rule"));
    if let Some(account) = line.get("account_id").and_then(Value::as_str) {
        let what = ["template", "via", "action", "amount", "currency"].map(text);
        let what: Vec<String> = what.into_iter().filter(|text| !text.is_empty()).collect();
        written.push_str(&format!("  → {account} {}", what.join(" ")));
    }
    if name == "ticket.opened" {
        let number = |field: &str| line.get(field).map(Value::to_string).unwrap_or_default();
        written.push_str(&format!(
            "  value {} limit {} samples {} affected {}",
            number("value"),
            number("limit"),
            number("samples"),
            number("affected")
        ));
    }
    for field in ["reason", "merged_into"] {
        if line.contains_key(field) {
            written.push_str(&format!("  {field} {}", text(field)));
        }
    }
    if line.contains_key("shadow") {
        written.push_str("  (shadow)");
    }
    written
}
