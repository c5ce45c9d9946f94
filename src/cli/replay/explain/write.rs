//! How an explanation is written: the timeline, then why, in sentences or as one JSON object a line. A contract.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::Explanation;
use super::line::Entry;
use crate::cli::format::Format;
use crate::cli::replay::output::{subject_json, time_json};
use crate::cli::replay::play::Counts;
use crate::cli::timeline::flush;

pub(in crate::cli::replay) fn write(
    explanation: &Explanation,
    counts: &Counts,
    format: Format,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut entries: Vec<&Entry> =
        explanation.entries.iter().filter(|entry| !entry.what.is_said_elsewhere()).collect();
    // What is due before an event is decided when the event is read.
    entries.sort_by_key(|entry| entry.at);
    match format {
        Format::Json => write_json(explanation, counts, &entries, out),
        Format::Text => write_text(explanation, counts, &entries, out),
    }
}

fn write_json(
    explanation: &Explanation,
    counts: &Counts,
    entries: &[&Entry],
    out: &mut impl Write,
) -> io::Result<()> {
    let asked = explanation.asked.value.as_str();
    for Entry { at, what } in entries {
        let mut line = Map::new();
        line.insert("at".into(), time_json(*at));
        line.insert("what".into(), what.name().into());
        if let Some(rule) = what.rule() {
            line.insert("rule".into(), rule.into());
        }
        if let Some(subject) = what.subject() {
            line.insert("subject".into(), subject_json(subject));
        }
        line.insert("text".into(), what.words(*at, asked, &explanation.rules).into());
        writeln!(out, "{}", Value::Object(line))?;
    }
    let why: Vec<Value> = explanation
        .why()
        .into_iter()
        .map(|why| json!({ "rule": why.rule, "outcome": why.outcome.as_str(), "text": why.text }))
        .collect();
    let summary = json!({ "summary": {
        "subject": asked, "events": explanation.events, "read": counts.events,
        "why": why, "of_accounts_and_orders": explanation.elsewhere(), "not_concerned": explanation.unconcerned(), "complaints": explanation.complaints(),
    }});
    writeln!(out, "{summary}")
}

fn write_text(
    explanation: &Explanation,
    counts: &Counts,
    entries: &[&Entry],
    out: &mut impl Write,
) -> io::Result<()> {
    let asked = explanation.asked.value.as_str();
    let Counts { events: read, .. } = counts;
    writeln!(out, "{asked}: {} of {read} events\n", explanation.events)?;
    if explanation.left_out > 0 {
        writeln!(out, "  … {} earlier lines are left out", explanation.left_out)?;
    }
    let width = entries.iter().map(|entry| entry.at.to_string().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut row: Vec<String> = Vec::new();
    let mut of = "";
    for Entry { at, what } in entries {
        // Long rows of one kind, of events or of messages, are shown without their middle.
        let name = if explanation.is_wide() && what.is_frequent() { "line" } else { what.name() };
        if of != name {
            flush(&mut row, &mut lines, width, like(of));
            of = name;
        }
        let mark = if what.rule().is_none() { ' ' } else { '→' };
        row.push(format!(
            "  {mark} {:<width$}  {}",
            at.to_string(),
            what.words(*at, asked, &explanation.rules)
        ));
    }
    flush(&mut row, &mut lines, width, like(of));
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\nwhy:")?;
    let answers = explanation.why();
    let width = answers.iter().map(|why| why.rule.len()).max().unwrap_or(0);
    for why in &answers {
        writeln!(out, "  {:<width$}  {}", why.rule, why.text)?;
    }
    let elsewhere = explanation.elsewhere();
    if !elsewhere.is_empty() {
        writeln!(out, "  about single accounts or orders, ask for one of them: {}", elsewhere.join(", "))?;
    }
    let unconcerned = explanation.unconcerned();
    if !unconcerned.is_empty() {
        writeln!(out, "  not about these events: {}", unconcerned.join(", "))?;
    }
    for complaint in explanation.complaints() {
        writeln!(out, "  {complaint}")?;
    }
    Ok(())
}

/// What a row of such lines that are left out is called.
fn like(name: &str) -> &'static str {
    match name {
        "event" => "events",
        "line" => "lines",
        _ => "like these",
    }
}
