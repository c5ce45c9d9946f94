//! How the difference between two rule sets is written: one change per line in the order of time, and the summary per
//! rule at the end. A contract.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::cli::timeline::rounded;
use crate::core::effect::Subject;
use crate::core::time::{Span, Time};

use super::compare::{Change, Difference, FirstTold, OfRule, Ticket};
use super::coverage::median;
use super::output::{subject_json, time_json};
use super::play::Counts;
use crate::cli::format::Format;

pub(super) fn write(
    difference: &Difference,
    counts: &Counts,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    for change in &difference.changes {
        match format {
            Format::Json => writeln!(out, "{}", Value::Object(line_of(change)))?,
            Format::Text => writeln!(out, "{}", text_of(change))?,
        }
    }
    match format {
        Format::Json => writeln!(out, "{}", summary_json(difference, counts)),
        Format::Text => write_summary(difference, counts, out),
    }
}

const fn name_of(change: &Change) -> &'static str {
    match change {
        Change::TicketGained(_) => "ticket.gained",
        Change::TicketLost(_) => "ticket.lost",
        Change::TicketMoved(..) => "ticket.moved",
        Change::TicketEnded(..) => "ticket.ended",
        Change::CustomerGained(..) => "customer.gained",
        Change::CustomerLost(..) => "customer.lost",
    }
}

/// A time without an end is none.
fn moment(time: Time) -> Value {
    if time == Time::MAX { Value::Null } else { time_json(time) }
}

fn line_of(change: &Change) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("at".into(), moment(change.at()));
    line.insert("difference".into(), name_of(change).into());
    match change {
        Change::TicketGained(ticket) | Change::TicketLost(ticket) => {
            ticket_fields(&mut line, ticket);
            line.insert("end".into(), ticket.end().into());
        }
        Change::TicketMoved(ticket, was) => {
            ticket_fields(&mut line, ticket);
            line.insert("was".into(), time_json(*was));
            line.insert("moved_s".into(), json!(ticket.opened_at.since(*was).as_secs_f64()));
        }
        Change::TicketEnded(ticket, was) => {
            ticket_fields(&mut line, ticket);
            line.insert("end".into(), ticket.end().into());
            line.insert("was".into(), (*was).into());
        }
        Change::CustomerGained(account, FirstTold { rule, template, .. })
        | Change::CustomerLost(account, FirstTold { rule, template, .. }) => {
            line.insert("account_id".into(), account.as_str().into());
            line.insert("rule".into(), rule.as_str().into());
            line.insert("template".into(), template.as_str().into());
        }
    }
    line
}

fn ticket_fields(line: &mut Map<String, Value>, ticket: &Ticket) {
    line.insert("incident".into(), ticket.incident.to_string().into());
    line.insert("rule".into(), ticket.rule.as_str().into());
    line.insert("subject".into(), subject_json(&ticket.subject));
    line.insert("severity".into(), ticket.severity.as_str().into());
    line.insert("since".into(), time_json(ticket.since));
    if ticket.shadow {
        line.insert("shadow".into(), true.into());
    }
}

fn text_of(change: &Change) -> String {
    let name = name_of(change);
    let about = |ticket: &Ticket| {
        let at = change.at();
        let at = if at == Time::MAX { "(still open)".to_owned() } else { at.to_string() };
        let shadow = if ticket.shadow { "  (shadow)" } else { "" };
        format!("{at:<24}  {name:<16} {:<26} {}{shadow}", ticket.rule, shown(&ticket.subject))
    };
    match change {
        Change::TicketGained(ticket) | Change::TicketLost(ticket) => {
            format!("{}  severity {}, {}", about(ticket), ticket.severity.as_str(), ended(ticket.end()))
        }
        Change::TicketMoved(ticket, was) => {
            format!("{}  {}, was {was}", about(ticket), shifted(ticket.opened_at.since(*was)))
        }
        Change::TicketEnded(ticket, was) => {
            format!("{}  {}, was {}", about(ticket), ended(ticket.end()), ended(was))
        }
        Change::CustomerGained(account, told) | Change::CustomerLost(account, told) => {
            format!("{:<24}  {name:<16} {:<26} {account}  {}", told.at.to_string(), told.rule, told.template)
        }
    }
}

fn ended(how: &str) -> String {
    if how == "open" { "still open".to_owned() } else { format!("ends {how}") }
}

fn shown(subject: &Subject) -> String {
    let fields: Vec<String> = subject.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join(" ")
}

/// `1m30s earlier`.
fn shifted(by: Span) -> String {
    let words = if by < Span::ZERO { "earlier" } else { "later" };
    format!("{} {words}", rounded(by))
}

/// The one in the middle of how much later tickets open.
fn median_shift(moved: &[Span]) -> Option<Span> {
    let mut seconds: Vec<f64> = moved.iter().map(|span| span.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    median(&seconds).map(|seconds| Span::from_secs(seconds.round() as i64))
}

fn summary_json(difference: &Difference, counts: &Counts) -> Value {
    let pair = |[rules, against]: [u64; 2]| json!({ "rules": rules, "against": against });
    let rules: Vec<Value> = difference
        .rules
        .iter()
        .map(|rule| {
            json!({
                "rule": rule.name, "tickets": pair(rule.tickets), "gained": rule.gained, "lost": rule.lost,
                "moved": rule.moved.len(), "moved_median_s": median_shift(&rule.moved).map(Span::as_secs_f64),
                "ended_otherwise": rule.ended, "told": pair(rule.told),
                "told_more": rule.told_more, "told_less": rule.told_less,
            })
        })
        .collect();
    let (gained, lost) = customers(difference);
    json!({ "summary": {
        "events": counts.events, "rejected": counts.rejected, "late": counts.late,
        "duplicates": counts.duplicates,
        "changed": difference.changed, "added": difference.added, "removed": difference.removed,
        "states": difference.states.iter().map(|(name, was, is)| json!({ "rule": name, "rules": is, "against": was }))
            .collect::<Vec<_>>(),
        "rules": rules,
        "customers": {
            "told": pair(difference.told), "gained": gained, "lost": lost,
            "told_earlier": difference.told_earlier, "told_later": difference.told_later,
        },
        "held": pair(difference.held),
        "coverage": {
            "rules": difference.coverage[0].as_json(), "against": difference.coverage[1].as_json(),
        },
    }})
}

/// Customers whom only one side tells.
fn customers(difference: &Difference) -> (usize, usize) {
    let count =
        |wanted: fn(&Change) -> bool| difference.changes.iter().filter(|change| wanted(change)).count();
    (
        count(|change| matches!(change, Change::CustomerGained(..))),
        count(|change| matches!(change, Change::CustomerLost(..))),
    )
}

fn write_summary(difference: &Difference, counts: &Counts, out: &mut impl Write) -> io::Result<()> {
    if !difference.changes.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{counts}")?;
    for (names, what) in [
        (&difference.changed, "changed"),
        (&difference.added, "only in --rules"),
        (&difference.removed, "only in --against"),
    ] {
        if !names.is_empty() {
            writeln!(out, "{what}: {}", names.join(", "))?;
        }
    }
    for (name, was, is) in &difference.states {
        writeln!(out, "{name}: {was} → {is}")?;
    }
    let (different, same): (Vec<&OfRule>, Vec<&OfRule>) =
        difference.rules.iter().partition(|rule| !rule.is_the_same());
    if different.is_empty() {
        return writeln!(out, "no difference: both do the same over these events");
    }
    let width = different.iter().map(|rule| rule.name.len()).max().unwrap_or(0).max("rule".len());
    writeln!(
        out,
        "\n{:<width$}  {:>13}  {:>6} {:>5} {:>5}  {:>14}  {:>5} {:>5}",
        "rule", "tickets", "gained", "lost", "moved", "customers told", "more", "fewer"
    )?;
    for rule in &different {
        let [tickets, told] = [rule.tickets, rule.told].map(|[now, was]| format!("{was} → {now}"));
        write!(
            out,
            "{:<width$}  {tickets:>13}  {:>6} {:>5} {:>5}  {told:>14}  {:>5} {:>5}",
            rule.name,
            rule.gained,
            rule.lost,
            rule.moved.len(),
            rule.told_more,
            rule.told_less
        )?;
        match median_shift(&rule.moved) {
            Some(shift) => writeln!(out, "  median move {}", shifted(shift))?,
            None => writeln!(out)?,
        }
    }
    if !same.is_empty() {
        let names: Vec<&str> = same.iter().map(|rule| rule.name.as_str()).collect();
        writeln!(out, "no difference: {}", names.join(", "))?;
    }
    write_customers(difference, out)
}

fn write_customers(difference: &Difference, out: &mut impl Write) -> io::Result<()> {
    let [told, was] = difference.told;
    let (gained, lost) = customers(difference);
    writeln!(
        out,
        "\ncustomers told by any rule: {was} → {told}; {gained} more, {lost} fewer, {} earlier, {} later",
        difference.told_earlier, difference.told_later
    )?;
    if difference.held != [0, 0] {
        writeln!(out, "messages held back: {} → {}", difference.held[1], difference.held[0])?;
    }
    let [now, was] = &difference.coverage;
    if now.complaints == 0 {
        return Ok(());
    }
    write!(
        out,
        "{} complaints, told before: {} → {}, told late: {} → {}, never told: {} → {}",
        now.complaints,
        was.told_before,
        now.told_before,
        was.told_late,
        now.told_late,
        was.never_told,
        now.never_told
    )?;
    match (was.lead_median_s, now.lead_median_s) {
        (Some(before), Some(after)) => writeln!(out, "; median lead {before:.0} s → {after:.0} s"),
        _ => writeln!(out),
    }
}
