//! Rule files: from YAML text to [`Rule`]s, with errors that say file, line, column and what was expected.
//!
//! The way of a file: `yaml` (text → nodes with places) → `form` and `kinds` (nodes → rules, field by field) → `set` (what rules
//! must have to do with each other). As many errors as there are come out of one run.

mod calendars;
mod defaults;
pub mod error;
pub mod examples;
mod fields;
mod files;
mod form;
pub mod given;
mod kinds;
pub mod proposals;
pub mod schema;
mod set;
mod silences;
#[cfg(test)]
mod tests;
mod value;
mod version;
mod words;
mod yaml;

use std::sync::Arc;

use super::Rule;
use crate::core::calendar::Calendars;
pub use defaults::WAIT;
pub use error::{Place, RuleError, Source};
pub use examples::{RuleTest, Suite};
use fields::Reading;
pub use set::{check_set, check_suite};
pub use silences::silences;
pub use value::parse_duration;

/// The largest rule file, in bytes; larger ones are an error.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// What the configuration says that rule files need.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The platform's own fields, as `[events] extra` declares them.
    pub extra: Vec<String>,
    pub read: ReadBeside,
    pub calendars: Arc<Calendars>,
}

/// Reads a file that a rule names. It gets the rule file's path and the name as it is written, and says why it failed.
pub type ReadBeside = fn(&str, &str) -> Result<Vec<u8>, String>;

impl Default for LoadOptions {
    /// Without fields of the platform's own, and where rules stand alone.
    fn default() -> Self {
        Self {
            extra: Vec::new(),
            read: |_, _| Err("no files are read here".to_owned()),
            calendars: Arc::default(),
        }
    }
}

/// A rule with what belongs to it in its file.
#[derive(Clone, Debug)]
pub struct LoadedRule {
    pub rule: Rule,
    pub tests: Vec<RuleTest>,
    pub origin: Origin,
}

/// Where in its file a rule says what other rules must agree with.
#[derive(Clone, Debug)]
pub struct Origin {
    pub name: Place,
    /// One for each entry of `covered_by`.
    pub covered_by: Vec<Place>,
    /// One for each template that the notice names: the first one, `recovered`, `corrected`.
    pub templates: Vec<Place>,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct LoadedFile {
    pub rules: Vec<LoadedRule>,
    /// Documents that hold tests and no rule.
    pub suites: Vec<Suite>,
}

/// Reads the rules of one file. Rules of several files must then pass [`check_set`] together.
pub fn load(text: &str, file: &str, options: &LoadOptions) -> Result<Vec<LoadedRule>, Vec<RuleError>> {
    load_file(text, file, options).map(|loaded| loaded.rules)
}

/// Reads everything in one file. Tests that stand alone must pass [`check_suite`] with the rules that they are for.
pub fn load_file(text: &str, file: &str, options: &LoadOptions) -> Result<LoadedFile, Vec<RuleError>> {
    if text.len() > MAX_FILE {
        let error = Place::of_file(file).error(format!("the file is larger than {} MiB", MAX_FILE >> 20));
        return Err(vec![error]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    let (documents, problems) = yaml::read(text);
    let mut reading = Reading {
        source: &source,
        extra: &options.extra,
        read: options.read,
        calendars: &options.calendars,
        files: Vec::new(),
        errors: Vec::new(),
    };
    for problem in problems {
        reading.push(&problem.span, problem.message, problem.help);
    }
    let mut loaded = LoadedFile::default();
    for document in documents.iter().filter(|document| !document.is_null()) {
        if examples::is_suite(document) {
            loaded.suites.extend(examples::suite(document, &mut reading));
        } else {
            loaded.rules.extend(form::rule(document, &mut reading));
        }
    }
    let mut errors = reading.errors;
    if errors.is_empty() {
        return Ok(loaded);
    }
    errors.sort_by_key(|error| (error.place.line, error.place.column));
    Err(errors)
}

/// Reads the bytes of one file, which must be UTF-8.
pub fn load_bytes(bytes: &[u8], file: &str, options: &LoadOptions) -> Result<LoadedFile, Vec<RuleError>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => load_file(text, file, options),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            let source = Source::new(file, valid);
            let problem = source
                .error(&(valid.len()..valid.len()), "the file is not UTF-8 from here on")
                .help("save it as UTF-8");
            Err(vec![problem])
        }
    }
}
