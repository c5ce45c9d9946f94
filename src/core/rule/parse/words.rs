//! The words of the language that an author may miss: names close by, other systems' words, and what is not supported yet.

mod elsewhere;
#[cfg(test)]
mod tests;

use super::super::condition::nearest;
use elsewhere::{FIELDS, KINDS_ELSEWHERE, VALUES, WITHOUT};

/// Every kind of the language, with whether it is supported.
pub const KINDS: [(&str, bool); 17] = [
    ("any", true),
    ("frequency", true),
    ("ratio", true),
    ("metric", true),
    ("spike", true),
    ("baseline", false),
    ("flatline", true),
    ("deadline", true),
    ("new_term", true),
    ("cardinality", true),
    ("change", true),
    ("list", true),
    ("travel", true),
    ("login_risk", false),
    ("sequence", true),
    ("reconcile", true),
    ("correlation", true),
];

/// Which of the `known` fields an author meant by `written`, if that can be guessed.
pub fn meant(written: &str, known: &[&'static str]) -> Option<&'static str> {
    foreign(written, known).map(|(_, ours, _)| *ours).or_else(|| nearest(written, known.iter().copied()))
}

fn foreign(
    written: &str,
    known: &[&'static str],
) -> Option<&'static (&'static str, &'static str, &'static str)> {
    FIELDS.iter().find(|(theirs, ours, note)| {
        theirs.eq_ignore_ascii_case(written) && (known.contains(ours) || note.starts_with("in `"))
    })
}

/// What to say of a field that is not `known` here.
pub fn field_help(written: &str, known: &[&'static str]) -> String {
    if written == "<<" {
        return "merge keys are not supported; write the fields out".to_owned();
    }
    if let Some((_, ours, note)) = foreign(written, known) {
        return called(ours, note);
    }
    if let Some((_, instead)) = WITHOUT.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(written)) {
        return (*instead).to_owned();
    }
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of: {}", known.join(", ")),
    }
}

/// What to say of a kind that there is not.
pub fn kind_help(written: &str) -> String {
    let elsewhere = KINDS_ELSEWHERE.iter().find(|(theirs, ..)| theirs.eq_ignore_ascii_case(written));
    if let Some((_, ours, note)) = elsewhere {
        return called(ours, note);
    }
    match nearest(written, KINDS.iter().map(|(kind, _)| *kind)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let supported: Vec<&str> =
                KINDS.iter().filter(|(_, supported)| *supported).map(|(kind, _)| *kind).collect();
            format!("expected one of: {}", supported.join(", "))
        }
    }
}

/// What to say of a word that is none of the `choices` here, if it can be guessed what it should be.
pub fn choice_help(written: &str, choices: &[&str]) -> Option<String> {
    let theirs = |(theirs, ours, _): &&(&str, &str, &str)| {
        theirs.eq_ignore_ascii_case(written) && choices.contains(ours)
    };
    match VALUES.iter().find(theirs) {
        Some((_, ours, note)) => Some(called(ours, note)),
        None => nearest(written, choices.iter().copied()).map(|near| format!("did you mean `{near}`?")),
    }
}

fn called(ours: &str, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    format!("it is called `{ours}` here{note}")
}
