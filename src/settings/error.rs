//! What is wrong with the configuration: where it stands, what it is, what was expected.

use std::fmt;

use crate::core::rule::condition::nearest;

/// All that is wrong, one line each.
#[derive(Debug)]
pub struct SettingsError(pub Vec<Problem>);

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let line_end = if number > 0 { "\n" } else { "" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file with the line, or the environment variable.
    pub place: String,
    /// The key with its sections: `kafka.brokers`. Empty where the whole file is meant.
    pub key: String,
    /// What is wrong and what was expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, what } = self;
        match (place.is_empty(), key.is_empty()) {
            (true, true) => f.write_str(what),
            (true, false) => write!(f, "{key}: {what}"),
            (false, true) => write!(f, "{place}: {what}"),
            (false, false) => write!(f, "{place}: {key}: {what}"),
        }
    }
}

/// A name that is not known, with those that are.
pub(super) fn unknown(kind: &str, written: &str, known: &[&str]) -> String {
    // Values are few: whoever sees them all need not guess.
    let near = nearest(written, known.iter().copied()).filter(|_| kind != "value");
    let help = match near {
        Some(name) => format!("did you mean {name:?}?"),
        None if known.is_empty() => "none is expected here".to_owned(),
        None => format!("expected one of {}", known.join(", ")),
    };
    format!("unknown {kind} {written:?}; {help}")
}
