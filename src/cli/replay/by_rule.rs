//! What each rule did: tickets, customers told, and how that meets their complaints. Rules in the shadow by what they would
//! have done.
//!
//! A complaint belongs to a rule that told its customer within a week before or after it. Where any message named the very order
//! that is complained of, only messages about that order count, so that other trouble of the same customer earns nothing. Two
//! rules that told the same customer both have the complaint.
//!
//! *Precision* lies between two figures. At least: of the customers told, the share that complained of it; but most who are told
//! need not complain any more. At most: the share told of what did not prove untrue afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use compact_str::CompactString;
use serde_json::{Map, Value, json};

use crate::core::effect::{EffectKind, IncidentId, Stage, TicketStep};
use crate::core::engine::Observed;
use crate::core::event::{Event, EventType, TextField};
use crate::core::rule::{RuleSet, RuleState};
use crate::core::time::Time;
use crate::delivery::notice::{Decision, HoldReason};
use crate::delivery::store::Planned;

use super::coverage::{belongs, median};

/// A message about trouble to one customer.
#[derive(Debug)]
struct Message {
    at: Time,
    order: Option<CompactString>,
    incident: IncidentId,
}

#[derive(Debug, Default)]
struct Seen {
    tickets: u64,
    reopened: u64,
    merged: u64,
    withdrawn: BTreeSet<IncidentId>,
    affected: BTreeSet<CompactString>,
    told: BTreeMap<CompactString, Vec<Message>>,
}

/// Collects what every rule does, and the complaints.
#[derive(Debug, Default)]
pub(super) struct ByRule {
    rules: BTreeMap<CompactString, Seen>,
    complaints: Vec<(Time, CompactString, Option<CompactString>)>,
}

/// A rule by its figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OfRule {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) shadow: bool,
    pub(super) tickets: u64,
    pub(super) reopened: u64,
    pub(super) merged: u64,
    pub(super) withdrawn: u64,
    pub(super) affected: u64,
    /// Customers told; in the shadow those whom it would have told.
    pub(super) told: u64,
    /// Of them those who were told of something that proved untrue, and nothing else.
    pub(super) told_untrue: u64,
    /// Of them those who complained of it.
    pub(super) complained: u64,
    /// Complaints that came after the message, and before it.
    pub(super) told_before: u64,
    pub(super) told_late: u64,
    pub(super) lead_median_s: Option<f64>,
}

impl ByRule {
    pub(super) fn event(&mut self, event: &Event<'_>, observed: Observed) {
        let is_new = event.event_type == EventType::ComplaintFiled && observed != Observed::Duplicate;
        let text = |field| event.text(field).map(CompactString::from);
        if let Some(account) = text(TextField::AccountId).filter(|_| is_new) {
            self.complaints.push((event.time, account, text(TextField::OrderId)));
        }
    }

    pub(super) fn planned(&mut self, planned: &Planned) {
        let effect = &planned.effect;
        if !self.rules.contains_key(&effect.rule) {
            self.rules.insert(effect.rule.clone(), Seen::default());
        }
        let Some(seen) = self.rules.get_mut(&effect.rule) else { return };
        match &effect.kind {
            EffectKind::Ticket { step, .. } => match step {
                TicketStep::Opened => seen.tickets += 1,
                TicketStep::Reopened => seen.reopened += 1,
                TicketStep::Merged(_) => seen.merged += 1,
                TicketStep::Withdrawn => {
                    seen.withdrawn.insert(effect.incident);
                }
                TicketStep::Updated | TicketStep::Escalated | TicketStep::Resolved(_) => {}
            },
            EffectKind::Affected { account_id, .. } => {
                seen.affected.insert(account_id.clone());
            }
            EffectKind::Proposal(_) => {}
            EffectKind::Notice { .. } => {
                let notice = match &planned.decision {
                    Some(
                        Decision::Send { notice, .. } | Decision::Held { reason: HoldReason::Shadow, notice },
                    ) => notice,
                    Some(Decision::Held { .. }) | None => return,
                };
                if notice.stage == Stage::Opened {
                    let order = notice.facts.text(TextField::OrderId).map(CompactString::from);
                    let message = Message { at: effect.at, order, incident: effect.incident };
                    seen.told.entry(notice.account_id.clone()).or_default().push(message);
                }
            }
        }
    }

    pub(super) fn complaints(&self) -> u64 {
        self.complaints.len() as u64
    }

    /// The rules that did anything, and all that are in the shadow.
    pub(super) fn figures(&self, rules: &RuleSet) -> Vec<OfRule> {
        let about_order = self.complaints_about_known_orders();
        let nothing = Seen::default();
        let figures = rules.rules.iter().filter_map(|rule| {
            let seen = self.rules.get(rule.name.as_str());
            let shadow = rule.state == RuleState::Shadow;
            if seen.is_none() && !shadow {
                return None;
            }
            let mut of_rule = self.of_rule(seen.unwrap_or(&nothing), &about_order);
            of_rule.name.clone_from(&rule.name);
            (of_rule.version, of_rule.shadow) = (rule.version, shadow);
            Some(of_rule)
        });
        figures.collect()
    }

    /// For each complaint whether some message named its very order.
    fn complaints_about_known_orders(&self) -> Vec<bool> {
        let named = |(time, account, order): &(Time, CompactString, Option<CompactString>)| {
            order.is_some()
                && self
                    .rules
                    .values()
                    .filter_map(|seen| seen.told.get(account))
                    .flatten()
                    .any(|message| message.order == *order && belongs(*time, message.at))
        };
        self.complaints.iter().map(named).collect()
    }

    fn of_rule(&self, seen: &Seen, about_order: &[bool]) -> OfRule {
        let mut of_rule = OfRule {
            name: String::new(),
            version: 0,
            shadow: false,
            tickets: seen.tickets,
            reopened: seen.reopened,
            merged: seen.merged,
            withdrawn: seen.withdrawn.len() as u64,
            affected: seen.affected.len() as u64,
            told: seen.told.len() as u64,
            told_untrue: 0,
            complained: 0,
            told_before: 0,
            told_late: 0,
            lead_median_s: None,
        };
        let untrue = |message: &Message| seen.withdrawn.contains(&message.incident);
        of_rule.told_untrue =
            seen.told.values().filter(|messages| messages.iter().all(untrue)).count() as u64;
        let (mut complained, mut leads) = (BTreeSet::new(), Vec::new());
        for ((time, account, order), about_order) in self.complaints.iter().zip(about_order) {
            let Some(messages) = seen.told.get(account) else { continue };
            let counts =
                |message: &&Message| belongs(*time, message.at) && (!about_order || message.order == *order);
            let Some(first) = messages.iter().filter(counts).map(|message| message.at).min() else {
                continue;
            };
            complained.insert(account);
            if first <= *time {
                of_rule.told_before += 1;
                leads.push(time.since(first).as_secs_f64());
            } else {
                of_rule.told_late += 1;
            }
        }
        leads.sort_by(f64::total_cmp);
        of_rule.lead_median_s = median(&leads);
        of_rule.complained = complained.len() as u64;
        of_rule
    }
}

impl OfRule {
    /// Between what and what the share of customers told who had the trouble lies; [`None`] where nobody was told.
    fn precision(&self) -> Option<(f64, f64)> {
        let share = |count: u64| count as f64 / self.told as f64;
        (self.told > 0).then(|| (share(self.complained), share(self.told - self.told_untrue)))
    }

    pub(super) fn as_json(&self, complaints: u64) -> Value {
        let mut line = Map::new();
        let mut insert = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        insert("rule", self.name.as_str().into());
        insert("version", version(self.version).into());
        insert("state", if self.shadow { "shadow" } else { "active" }.into());
        insert("tickets", self.tickets.into());
        insert("reopened", self.reopened.into());
        insert("merged", self.merged.into());
        insert("withdrawn", self.withdrawn.into());
        insert("affected", self.affected.into());
        insert(if self.shadow { "would_tell" } else { "told" }, self.told.into());
        insert("told_untrue", self.told_untrue.into());
        if complaints > 0 {
            insert("complained", self.complained.into());
            insert("told_before", self.told_before.into());
            insert("told_late", self.told_late.into());
            insert("coverage", rounded(self.told_before as f64 / complaints as f64));
            insert("lead_median_s", self.lead_median_s.map_or(Value::Null, Value::from));
            let precision = self
                .precision()
                .map(|(least, most)| json!({ "at_least": rounded(least), "at_most": rounded(most) }));
            insert("precision", precision.into());
        }
        Value::Object(line)
    }
}

/// How a rule's version is written everywhere.
pub(super) fn version(version: u64) -> String {
    format!("{version:016x}")
}

fn rounded(share: f64) -> Value {
    Value::from((share * 10_000.0).round() / 10_000.0)
}

/// The figures for people: one table for the rules that tell, one for those that would.
pub(super) fn write(figures: &[OfRule], complaints: u64, out: &mut impl Write) -> io::Result<()> {
    let (shadow, active): (Vec<&OfRule>, Vec<&OfRule>) = figures.iter().partition(|of_rule| of_rule.shadow);
    if !active.is_empty() && complaints > 0 {
        table(&active, complaints, "told", out)?;
    }
    if !shadow.is_empty() {
        writeln!(
            out,
            "\nin the shadow: no ticket was opened and nobody was told; this is what would have been"
        )?;
        table(&shadow, complaints, "would tell", out)?;
    }
    Ok(())
}

fn table(figures: &[&OfRule], complaints: u64, told: &str, out: &mut impl Write) -> io::Result<()> {
    let width = figures.iter().map(|of_rule| of_rule.name.len()).max().unwrap_or(0).max("rule".len());
    write!(out, "\n{:<width$}  {:>7}  {told:>10}", "rule", "tickets")?;
    if complaints > 0 {
        write!(
            out,
            "  {:>10}  {:>6}  {:>5}  {:>8}  {:>11}  {:>10}",
            "complained", "before", "late", "coverage", "median lead", "precision"
        )?;
    }
    writeln!(out)?;
    for of_rule in figures {
        write!(out, "{:<width$}  {:>7}  {:>10}", of_rule.name, of_rule.tickets, of_rule.told)?;
        if complaints > 0 {
            let lead = of_rule.lead_median_s.map_or_else(|| "-".to_owned(), |lead| format!("{lead:.0} s"));
            let precision = of_rule.precision().map_or_else(
                || "-".to_owned(),
                |(least, most)| format!("{:.0}–{:.0} %", 100.0 * least, 100.0 * most),
            );
            let coverage = format!("{:.1} %", 100.0 * of_rule.told_before as f64 / complaints as f64);
            write!(
                out,
                "  {:>10}  {:>6}  {:>5}  {coverage:>8}  {lead:>11}  {precision:>10}",
                of_rule.complained, of_rule.told_before, of_rule.told_late
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
