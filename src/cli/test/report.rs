//! A failed test in words: what was expected and did not happen, with its place in the file; what happened and was not
//! expected; and the course of events in which both stand.

use crate::core::effect::{Proposal, ProposalState, Proposed};
use crate::core::engine::Observed;
use crate::core::rule::parse::RuleTest;
use crate::core::time::Time;

use crate::cli::timeline::{ago, flush, shown_subject};

use super::course::{Course, Happened, Told, What};
use super::judge::Judgement;

/// Lines of a course that are shown without leaving some out.
const LINES: usize = 100;

/// Everything about a failed test.
pub(super) fn failure(test: &RuleTest, course: &Course, judgement: &Judgement) -> String {
    let mut lines = Vec::new();
    for ((expected, met), nearest) in test.expect.iter().zip(&judgement.met).zip(&judgement.nearest) {
        if met.is_some() {
            continue;
        }
        let note = match nearest {
            Some(difference) => format!("nearly: {difference}"),
            None => "nothing like it happened".to_owned(),
        };
        lines.push(format!("expected, and did not happen: {}", expected.place));
        lines.extend(expected.place.snippet(&note).lines().map(str::to_owned));
    }
    if !judgement.surplus.is_empty() {
        lines.push(format!("happened, and was not expected: {}", test.expect_place));
        let note = match judgement.surplus.len() {
            1 => "one effect is not in this list".to_owned(),
            more => format!("{more} effects are not in this list"),
        };
        lines.extend(test.expect_place.snippet(&note).lines().map(str::to_owned));
    }
    lines.push("what happened:".to_owned());
    lines.extend(timeline(test, course, judgement));
    lines.join("\n")
}

/// The course of the test, one line for each happening, effects beside what was expected.
fn timeline(test: &RuleTest, course: &Course, judgement: &Judgement) -> Vec<String> {
    let shown: Vec<(usize, &Happened)> = course
        .happened
        .iter()
        .enumerate()
        .filter(|(place, happened)| {
            !matches!(happened.what, What::Finding(_)) || judgement.met.contains(&Some(*place))
        })
        .collect();
    let width = shown.iter().map(|(_, happened)| ago(happened.at, course.start).len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut row = Vec::new();
    for (place, happened) in shown {
        let moment = format!("{:>width$}", ago(happened.at, course.start));
        let is_event = matches!(happened.what, What::Event { .. });
        if !is_event {
            flush(&mut row, &mut lines, width, "events");
        }
        let line = if is_event || matches!(happened.what, What::TimePassed) {
            format!("    {moment}  {}", words(&happened.what, course.start))
        } else if let Some(index) = judgement.met.iter().position(|met| *met == Some(place)) {
            let line = test.expect.get(index).map_or(0, |expected| expected.place.line);
            format!("  ✓ {moment}  {}  (line {line})", words(&happened.what, course.start))
        } else {
            let why = if happened.history { "the history may not fire" } else { "not expected" };
            format!("  ✗ {moment}  {}  ({why})", words(&happened.what, course.start))
        };
        if is_event { row.push(line) } else { lines.push(line) }
    }
    flush(&mut row, &mut lines, width, "events");
    if lines.is_empty() {
        lines.push("    nothing".to_owned());
    }
    shortened(lines)
}

/// A long course without its middle.
fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() <= LINES {
        return lines;
    }
    let end = lines.split_off(lines.len() - LINES / 2);
    let left_out = lines.len() - LINES / 2;
    lines.truncate(LINES / 2);
    lines.push(format!("    … {left_out} more lines"));
    lines.extend(end);
    lines
}

fn words(what: &What, start: Time) -> String {
    match what {
        What::Event { text, observed: Observed::Fresh } => text.clone(),
        What::Event { text, observed: Observed::Late } => format!("{text} (late)"),
        What::Event { text, observed: Observed::Duplicate } => format!("{text} (a duplicate)"),
        What::TimePassed => "(time passes)".to_owned(),
        What::Finding(told) => format!("finding of {} {}", told.rule, shown_subject(&told.subject)),
        What::Ticket(told, word) => {
            let since = told.since.map_or(String::new(), |since| format!(" since {}", ago(since, start)));
            format!(
                "ticket {} {} {}{since}; {}",
                word.as_str(),
                told.rule,
                shown_subject(&told.subject),
                told.evidence
            )
        }
        What::Notice(told, template) => format!("notice {template} {}", of_account(told)),
        What::Proposal(told, proposal) => format!("{} {}", proposed(proposal), of_account(told)),
        What::Held(told, template, reason) => {
            format!("notice {template} held ({reason}) {}", of_account(told))
        }
    }
}

/// As an expectation would say it.
fn proposed(proposal: &Proposal) -> String {
    let withdrawn = if proposal.state == ProposalState::Withdrawn { " withdrawn" } else { "" };
    match &proposal.what {
        Proposed::Action(name) => format!("action {name}{withdrawn}"),
        Proposed::Compensation(Ok(money)) => format!("compensation {money}{withdrawn}"),
        Proposed::Compensation(Err(undecided)) => {
            format!("compensation {}{withdrawn}", undecided.as_str())
        }
    }
}

fn of_account(told: &Told) -> String {
    format!("to {} ({})", told.account_id.as_deref().unwrap_or("nobody"), told.rule)
}
