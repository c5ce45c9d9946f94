//! What is logged, and in which form: text for people, JSON for machines, always on stderr.
//!
//! No message and no field holds anything about a person: values about people print as `***` by their type. The latest
//! warnings and errors are kept for the status page.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::core::time::Time;
use crate::edge::clock;
use crate::settings::{LogFormat, LogSettings};

/// Warnings and errors that are kept; the oldest go first.
const KEPT: usize = 20;
/// A longer line is cut.
const LONGEST: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "log.level is {level:?}: {reason}; expected a level such as \"info\", or directives such as \"info,forewarn::edge=debug\""
    )]
    Level { level: String, reason: String },
    #[error("logging was set up before")]
    Twice,
}

/// A warning or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub at: Time,
    pub level: &'static str,
    pub message: String,
}

/// The latest warnings and errors.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Remembered>>>);

impl Recent {
    /// The latest first.
    pub fn list(&self) -> Vec<Remembered> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }

    fn keep(&self, remembered: Remembered) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(remembered);
    }
}

/// Starts logging for the whole process.
pub fn start(settings: &LogSettings) -> Result<Recent, LogError> {
    let filter = filter(&settings.level)?;
    let recent = Recent::default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Text => Box::new(lines.with_ansi(std::io::stderr().is_terminal())),
        LogFormat::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false))
        }
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(Keeper(recent.clone()))
        .try_init()
        .map_err(|_| LogError::Twice)?;
    Ok(recent)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|reason| LogError::Level { level: level.to_owned(), reason: reason.to_string() })
}

/// Puts warnings and errors aside.
struct Keeper(Recent);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let mut line = Line::default();
        event.record(&mut line);
        self.0.keep(Remembered { at: clock::now(), level, message: line.finish() });
    }
}

/// The message, then the fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn finish(self) -> String {
        let mut line = self.message + &self.fields;
        if let Some(end) = (0..=LONGEST).rev().find(|end| line.is_char_boundary(*end)) {
            line.truncate(end);
        }
        line
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text can't fail.
        let _written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::customers::Personal;

    #[test]
    fn the_latest_warnings_and_errors_are_kept_and_nothing_else() {
        let recent = Recent::default();
        let subscriber = tracing_subscriber::registry().with(Keeper(recent.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("not this");
            for number in 0..KEPT {
                tracing::warn!(number, "the database is slow");
            }
            tracing::error!(to = ?Personal::new("a@example.com"), "lost");
        });
        let list = recent.list();
        assert_eq!(list.len(), KEPT);
        assert_eq!(
            list.first().map(|kept| (kept.level, kept.message.as_str())),
            Some(("error", "lost to=***"))
        );
        assert_eq!(list.last().map(|kept| kept.message.as_str()), Some("the database is slow number=1"));
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_its_key() {
        for level in ["info", "warn,forewarn::edge=debug", "off"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let told = filter("forewarn=loud").expect_err("no level").to_string();
        assert!(told.starts_with("log.level is \"forewarn=loud\": "), "{told}");
    }
}
