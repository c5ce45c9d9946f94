//! `forewarn check`: whether rules can be used, and what a careful author would still do about them.

mod lint;
mod surroundings;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::core::rule::condition::nearest;
use crate::core::rule::parse::{LoadedRule, Place, RuleError};
use crate::core::rule::{Detect, NoticePolicy, RuleState};
use crate::delivery::render::Templates;
use crate::settings::{Settings, SettingsError};

use super::selection::{self, Selection};
use super::setup;
use surroundings::Kept;

/// The exit code of lint warnings with `--deny-warnings`.
const LINT: u8 = 3;

/// Check the configuration and the rules before they go live
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn check -c forewarn.toml                        rules, broker, database and mail server too
  forewarn check rules/repeated-topup-failures.yaml
  cat new-rule.yaml | forewarn check - --deny-warnings

Exit code 0: all is well, warnings may have been shown; 1: something is wrong or no rule was found;
3: warnings, with --deny-warnings.")]
pub struct CheckArguments {
    /// The configuration, which is checked as well.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rule files, directories of them, or `-` for one on standard input.
    #[arg(value_name = "PATHS")]
    paths: Vec<PathBuf>,
    /// A directory of rules [default: the configuration's, or rules]. With PATHS, rules that those may name.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Warnings end with exit code 3.
    #[arg(long)]
    deny_warnings: bool,
    /// Do not try the broker, the database and the mail server.
    #[arg(long)]
    offline: bool,
}

pub fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let mut report = Report { out: io::stdout().lock(), errors: 0, warnings: 0 };
    let settings = match setup::settings(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(SettingsError(problems)) => {
            for problem in &problems {
                report.error(problem)?;
            }
            // Without it, nobody knows which fields rules may name.
            return report.finish("configuration, rules not looked at", arguments.deny_warnings);
        }
    };
    let templates = surroundings::templates(&settings);
    let (unreachable, kept) = match &arguments.config {
        Some(_) if !arguments.offline => surroundings::neighbours(&settings)?,
        _ => (Vec::new(), Vec::new()),
    };
    let known = Known { settings: &settings, templates: templates.as_ref().ok(), kept: &kept };
    let checked = rules(arguments, &known, &mut report)?;
    let broken = templates.err().into_iter().flatten();
    for problem in broken.chain(surroundings::locations(&settings)).chain(unreachable) {
        report.error(&problem)?;
    }
    let checked = if arguments.config.is_some() { format!("configuration, {checked}") } else { checked };
    report.finish(&checked, arguments.deny_warnings)
}

/// What rules lean on.
#[derive(Clone, Copy)]
struct Known<'k> {
    settings: &'k Settings,
    /// [`None`]: they can't be read, and what can't be read is not missed.
    templates: Option<&'k Templates>,
    kept: &'k [Kept],
}

/// Checks the rules; returns in words what was read.
fn rules(
    arguments: &CheckArguments,
    known: &Known<'_>,
    report: &mut Report<impl Write>,
) -> anyhow::Result<String> {
    let Known { settings, templates, kept } = *known;
    let options = setup::load_options(settings);
    let directory = arguments.rules.as_deref();
    Ok(match selection::select(&arguments.paths, directory, &settings.rules.path, &options)? {
        Err(refused) => {
            for error in &refused.errors {
                report.error(error.render("error").trim_start_matches("error: "))?;
            }
            count(refused.files, "rule file")
        }
        Ok(selection) if selection.rules.is_empty() && selection.suites.iter().all(|tests| tests.beside) => {
            let files = count(selection.files, "rule file");
            let error = match selection.files {
                0 => "no rule file was found; expected files that end in .yaml".to_owned(),
                _ => format!("no rule was found in {files}"),
            };
            report.error(error)?;
            files
        }
        Ok(selection) => {
            let tested = tested_elsewhere(&selection);
            let warnings = selection.rules.iter().flat_map(|loaded| lint(loaded, &tested, templates));
            let together = lint::of_all(&selection).into_iter();
            for warning in warnings.chain(together).chain(lint::beyond_retention(&selection, kept)) {
                report.warning(&warning)?;
            }
            if let Some(note) = lint::idle(&selection, settings) {
                report.note(&note)?;
            }
            format!("{} in {}", count(selection.rules.len(), "rule"), count(selection.files, "file"))
        }
    })
}

/// Tells what is wrong as it is found, and counts it.
struct Report<W> {
    out: W,
    errors: usize,
    warnings: usize,
}

impl<W: Write> Report<W> {
    fn error(&mut self, what: impl Display) -> io::Result<()> {
        self.errors += 1;
        writeln!(self.out, "error: {what}\n")
    }

    fn warning(&mut self, warning: &RuleError) -> io::Result<()> {
        self.warnings += 1;
        writeln!(self.out, "{}\n", warning.render("warning"))
    }

    /// What is no mistake, and worth knowing.
    fn note(&mut self, note: &str) -> io::Result<()> {
        writeln!(self.out, "note: {note}\n")
    }

    fn finish(mut self, checked: &str, deny_warnings: bool) -> anyhow::Result<ExitCode> {
        let (errors, warnings) = (count(self.errors, "error"), count(self.warnings, "warning"));
        writeln!(self.out, "{checked}: {errors}, {warnings}")?;
        Ok(match (self.errors, self.warnings) {
            (1.., _) => ExitCode::FAILURE,
            (0, 1..) if deny_warnings => ExitCode::from(LINT),
            (0, _) => ExitCode::SUCCESS,
        })
    }
}

/// The tests in files of their own that are about one rule, as (rule, whether something is expected to happen).
fn tested_elsewhere(selection: &Selection) -> BTreeSet<(&str, bool)> {
    let tests = selection.suites.iter().flat_map(|tests| &tests.suite.tests);
    tests.filter_map(|test| Some((test.rule.as_ref()?.0.as_str(), !test.expect.is_empty()))).collect()
}

/// What works and should be better. `tested`: by files of tests.
fn lint(
    loaded: &LoadedRule,
    tested: &BTreeSet<(&str, bool)>,
    templates: Option<&Templates>,
) -> Vec<RuleError> {
    let LoadedRule { rule, tests, origin } = loaded;
    let mut warnings = Vec::new();
    let name = &origin.name;
    let mut warn = |place: &Place, message: String, help: &str| {
        warnings.push(place.error(message).help(help));
    };
    if rule.state == RuleState::Active {
        let is_tested = |fires: bool| {
            tests.iter().any(|test| test.expect.is_empty() != fires)
                || tested.contains(&(rule.name.as_str(), fires))
        };
        let (fires, quiet) = (is_tested(true), is_tested(false));
        let missing = match (fires, quiet) {
            (true, true) => None,
            (false, true) => Some("no test in which it fires"),
            (true, false) => Some("no test in which it stays quiet, `expect: []`"),
            (false, false) => Some("no tests"),
        };
        if let Some(missing) = missing {
            warn(name, format!("`{}` is active and has {missing}", rule.name), "add one under `tests`");
        }
    }
    if rule.owner.is_empty() {
        warn(name, format!("`{}` has no owner", rule.name), "say who answers for it: `owner: payments`");
    }
    if let Some(notice) = &rule.notice {
        for (name, place) in named(notice).zip(&origin.templates) {
            if let Some((message, help)) = templates.and_then(|templates| lacks(name, templates)) {
                warn(place, message, &help);
            }
        }
        let may_prove_wrong = match &rule.detect {
            Detect::Deadline(_) => true,
            Detect::Reconcile(reconcile) => reconcile.check.may_prove_wrong(),
            _ => false,
        };
        if notice.corrected.is_none() && may_prove_wrong {
            warn(
                name,
                format!("`{}` tells customers, and has no word for them when it was wrong", rule.name),
                "name a template in `notice.corrected`",
            );
        }
    }
    warnings
}

/// The templates that it names, in the order of their places.
fn named(notice: &NoticePolicy) -> impl Iterator<Item = &str> {
    [Some(notice.template.as_str()), notice.recovered.as_deref(), notice.corrected.as_deref()]
        .into_iter()
        .flatten()
}

/// What a template lacks that a rule names, and what to do about it.
fn lacks(name: &str, templates: &Templates) -> Option<(String, String)> {
    let missing = templates.missing(name);
    if missing.is_empty() {
        return None;
    }
    if missing.len() < Templates::PARTS {
        let help = "customers who read that language can't be told; add it to the folder `notices.templates`";
        return Some((format!("the template `{name}` lacks {}", missing.join(", ")), help.to_owned()));
    }
    let names = templates.names();
    let names = || names.iter().map(String::as_str);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
    };
    Some((format!("there is no template `{name}`"), help))
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests;
