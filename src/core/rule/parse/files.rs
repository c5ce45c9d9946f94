//! The files that a rule names: `file("x.txt")`, beside the rule's own. What they say is a part of what the rule means.

use std::ops::Range;

use super::fields::Reading;
use super::version;
use crate::core::rule::condition::{FileProblem, ReadFile};

/// `x.txt` in `file("x.txt")`.
pub fn name_in(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("file(")?.strip_suffix(')')?.trim();
    let inner = inner
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| inner.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')))?;
    (!inner.is_empty()).then_some(inner)
}

impl Reading<'_> {
    /// The text of a file; what is wrong with it is reported.
    pub fn file(&mut self, name: &str, span: &Range<usize>) -> Option<String> {
        match self.with_files(|_, read| read(name)) {
            Ok(text) => Some(text),
            Err(problem) => {
                self.report_help(span, problem.message, problem.help);
                None
            }
        }
    }

    /// Lends out what reads the files; each of them is noted for the rule's version.
    pub fn with_files<T>(&mut self, with: impl FnOnce(&[String], ReadFile<'_>) -> T) -> T {
        let Self { source, extra, read, files, .. } = self;
        with(extra, &mut |name| {
            let bytes = read(&source.file, name).map_err(|reason| FileProblem {
                message: format!("cannot read {name}: {reason}"),
                help: "the name is taken from the folder of the rule's file",
            })?;
            let text = text_of(name, bytes)?;
            files.push((name.to_owned(), version::of_values(&text)));
            Ok(text)
        })
    }
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, FileProblem> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(FileProblem {
                message: format!("{name} is not UTF-8 in line {line}"),
                help: "save it as UTF-8",
            })
        }
    }
}
