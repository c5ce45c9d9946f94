//! `forewarn check`: whether rules can be used, and what a careful author would still do about them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use crate::core::rule::parse::{LoadOptions, LoadedRule, RuleError};
use crate::core::rule::{Detect, NoticePolicy, RuleState};
use crate::delivery::render::SHIPPED;

use super::selection::{self, Selection};
use super::setup;

/// The exit code of lint warnings with `--deny-warnings`.
const LINT: u8 = 3;

/// Checks the configuration and the rules before they go live.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn check
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
    /// Does not try the broker, the database and the mail server.
    #[arg(long)]
    offline: bool,
}

pub fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let events = setup::events(arguments.config.as_deref())?;
    let options = LoadOptions { extra: events.extra };
    let mut out = io::stdout().lock();
    let selected = selection::select(&arguments.paths, arguments.rules.as_deref(), &options)?;
    let Selection { rules, files, .. } = match selected {
        Ok(selection) => selection,
        Err(refused) => {
            for error in &refused.errors {
                writeln!(out, "{}\n", error.render("error"))?;
            }
            writeln!(out, "{} in {}", count(refused.errors.len(), "error"), count(refused.files, "file"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if rules.is_empty() {
        bail!("no rule was found in {}; expected YAML files", count(files, "file"));
    }
    let warnings: Vec<RuleError> = rules.iter().flat_map(lint).collect();
    for warning in &warnings {
        writeln!(out, "{}\n", warning.render("warning"))?;
    }
    writeln!(
        out,
        "{} in {}: no error, {}",
        count(rules.len(), "rule"),
        count(files, "file"),
        count(warnings.len(), "warning")
    )?;
    let denied = arguments.deny_warnings && !warnings.is_empty();
    Ok(if denied { ExitCode::from(LINT) } else { ExitCode::SUCCESS })
}

/// What works and should be better.
fn lint(loaded: &LoadedRule) -> Vec<RuleError> {
    let LoadedRule { rule, tests, origin } = loaded;
    let mut warnings = Vec::new();
    let mut warn = |message: String, help: &str| {
        warnings.push(origin.name.error(message).help(help));
    };
    if rule.state == RuleState::Active {
        let fires = tests.iter().any(|test| !test.expect.is_empty());
        let quiet = tests.iter().any(|test| test.expect.is_empty());
        let missing = match (fires, quiet) {
            (true, true) => None,
            (false, true) => Some("no test in which it fires"),
            (true, false) => Some("no test in which it stays quiet, `expect: []`"),
            (false, false) => Some("no tests"),
        };
        if let Some(missing) = missing {
            warn(format!("`{}` is active and has {missing}", rule.name), "add one under `tests`");
        }
    }
    if rule.owner.is_empty() {
        warn(format!("`{}` has no owner", rule.name), "say who answers for it: `owner: payments`");
    }
    if let Some(notice) = &rule.notice {
        for template in templates(notice).filter(|template| !SHIPPED.contains(template)) {
            warn(format!("there is no template `{template}`"), &format!("there are: {}", SHIPPED.join(", ")));
        }
        if notice.corrected.is_none() && matches!(rule.detect, Detect::Deadline(_)) {
            warn(
                format!("`{}` tells customers, and has no word for them when it was wrong", rule.name),
                "name a template in `notice.corrected`",
            );
        }
    }
    warnings
}

fn templates(notice: &NoticePolicy) -> impl Iterator<Item = &str> {
    [Some(notice.template.as_str()), notice.recovered.as_deref(), notice.corrected.as_deref()]
        .into_iter()
        .flatten()
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
