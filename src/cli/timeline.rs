//! How a course of events is written for people: moments, spans, subjects, and long rows of events without their middle.

use crate::core::effect::Subject;
use crate::core::time::{Span, Time};

/// Events in a row that are shown without leaving some out.
const EVENTS_IN_A_ROW: usize = 12;

/// A moment, counted from a start: `7m`, `1h30m`, `-2d`.
pub(super) fn ago(time: Time, start: Time) -> String {
    let span = time.since(start);
    let sign = if span < Span::ZERO { "-" } else { "" };
    format!("{sign}{}", long(span))
}

/// The length of a span, whatever its sign: `1h30m`.
pub(super) fn long(span: Span) -> String {
    let mut rest = span.as_millis().saturating_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (millis, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    text
}

/// The length of a span as people say it: whole seconds, unless it is short.
pub(super) fn rounded(span: Span) -> String {
    let seconds = span.as_secs_f64().abs().round() as i64;
    if seconds < 10 { long(span) } else { long(Span::from_secs(seconds)) }
}

pub(super) fn shown_subject(subject: &Subject) -> String {
    let pairs: Vec<String> = subject.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// Writes a row of one kind of happening, a long one without its middle; `width` is that of the moments.
pub(super) fn flush(row: &mut Vec<String>, lines: &mut Vec<String>, width: usize, what: &str) {
    let half = EVENTS_IN_A_ROW / 2;
    if row.len() <= EVENTS_IN_A_ROW {
        lines.append(row);
        return;
    }
    let left_out = row.len() - 2 * half;
    lines.extend(row.drain(..half));
    lines.push(format!("    {:>width$}  … {left_out} more {what}", ""));
    lines.extend(row.drain(left_out..));
    row.clear();
}
