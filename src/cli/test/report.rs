//! A failed test in words: what was expected and did not happen, with its place in the file; what happened and was not
//! expected; and the course of events in which both stand.

use crate::core::effect::Subject;
use crate::core::engine::Observed;
use crate::core::rule::parse::RuleTest;
use crate::core::time::Time;

use super::course::{Course, Happened, Told, What};
use super::judge::Judgement;

/// Events in a row that are shown without leaving some out.
const EVENTS_IN_A_ROW: usize = 12;
/// Lines of a course that are shown without leaving some out.
const LINES: usize = 100;

/// A moment, from the test's start: `7m`, `1h30m`, `-2d`.
pub(super) fn ago(time: Time, start: Time) -> String {
    let mut rest = time.since(start).as_millis();
    let mut text = String::new();
    if rest < 0 {
        text.push('-');
        rest = -rest;
    }
    if rest == 0 {
        return "0s".to_owned();
    }
    for (millis, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    text
}

pub(super) fn shown_subject(subject: &Subject) -> String {
    let pairs: Vec<String> = subject.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

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
            !matches!(happened.what, What::Finding { .. }) || judgement.met.contains(&Some(*place))
        })
        .collect();
    let width = shown.iter().map(|(_, happened)| ago(happened.at, course.start).len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut row = Vec::new();
    for (place, happened) in shown {
        let moment = format!("{:>width$}", ago(happened.at, course.start));
        let is_event = matches!(happened.what, What::Event { .. });
        if !is_event {
            flush(&mut row, &mut lines, width);
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
    flush(&mut row, &mut lines, width);
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

/// Writes a row of events, a long one without its middle.
fn flush(row: &mut Vec<String>, lines: &mut Vec<String>, width: usize) {
    let half = EVENTS_IN_A_ROW / 2;
    if row.len() <= EVENTS_IN_A_ROW {
        lines.append(row);
        return;
    }
    let left_out = row.len() - 2 * half;
    lines.extend(row.drain(..half));
    lines.push(format!("    {:>width$}  … {left_out} more events", ""));
    lines.extend(row.drain(left_out..));
    row.clear();
}

fn words(what: &What, start: Time) -> String {
    match what {
        What::Event { text, observed: Observed::Fresh } => text.clone(),
        What::Event { text, observed: Observed::Late } => format!("{text} (late)"),
        What::Event { text, observed: Observed::Duplicate } => format!("{text} (a duplicate)"),
        What::TimePassed => "(time passes)".to_owned(),
        What::Finding { rule } => format!("finding of {rule}"),
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
        What::Held(told, template, reason) => {
            format!("notice {template} held ({reason}) {}", of_account(told))
        }
    }
}

fn of_account(told: &Told) -> String {
    format!("to {} ({})", told.account_id.as_deref().unwrap_or("nobody"), told.rule)
}
