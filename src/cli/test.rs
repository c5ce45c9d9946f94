//! `forewarn test`: the tests inside the rule files and in files of their own, on virtual time, through the engine and the
//! dispatcher of production.

mod course;
mod judge;
mod junit;
mod report;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::{Input, util::syntax};

use crate::core::event::TypeSet;
use crate::core::event::faults::FaultTable;
use crate::core::rule::parse::{LoadOptions, LoadedRule, RuleTest};
use crate::core::rule::silence::Silences;
use crate::core::rule::{RuleSet, RuleState};
use crate::daemon::locating;
use crate::edge::geo::Locator;

use super::selection::{self, Selection, Tests};
use super::setup;

/// Run the tests that stand in rule files, or in files of their own
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  forewarn test
  forewarn test rules/repeated-topup-failures.yaml
  forewarn test --run 'topup.*history' --junit results.xml
  forewarn test --silences silences.yaml
  forewarn test tests/evening.yaml

A file of tests names the rules that it is for; without `rules:` it is for those asked for beside it, those in its own
folder, or the configuration's. `rule:` says which one a test is about; without it all of them run together:
  rules: ../rules
  tests:
    - name: an outage is one ticket
      rule: channel-success-drop
      events: [ … ]
      expect: [ … ]

Exit code 0: every test passed; 1: one failed, none was found, or a rule is wrong.")]
pub struct TestArguments {
    /// The configuration: the platform's own fields and the fault table. Without it their defaults hold.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rule files, files of tests, or directories of them [default: the configuration's, or rules].
    #[arg(value_name = "PATHS")]
    paths: Vec<PathBuf>,
    /// Run only tests whose `rule › name` this regular expression finds.
    #[arg(long, value_name = "REGEX")]
    run: Option<String>,
    /// Also writes the results as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Silences that hold during the tests: what they cover opens no ticket and tells nobody.
    #[arg(long, value_name = "FILE")]
    silences: Option<PathBuf>,
}

/// How a test ended.
struct Result<'a> {
    /// The rule that is tested, or what stands for all of them.
    rule: &'a str,
    test: &'a RuleTest,
    failure: Option<String>,
}

pub fn run(arguments: &TestArguments) -> anyhow::Result<ExitCode> {
    let settings = setup::settings(arguments.config.as_deref())?;
    let options = setup::load_options(&settings);
    let events = settings.events;
    let chosen = arguments.run.as_deref().map(Chosen::new).transpose()?;
    let selection = load(&arguments.paths, &settings.rules.path, &options)?;
    let silences = {
        let named = selection.suites.iter().filter_map(|tests| tests.rules.as_deref());
        let sets: Vec<RuleSet> = std::iter::once(rule_set(selection.rules.iter().chain(&selection.beside)))
            .chain(named.map(|rules| rule_set(rules.iter())))
            .collect();
        let sets: Vec<&RuleSet> = sets.iter().collect();
        setup::silences(arguments.silences.as_deref(), &options, &sets)?
    };
    let named = selection.suites.iter().flat_map(|tests| tests.rules.iter().flatten());
    let all = selection.rules.iter().chain(&selection.beside).chain(named);
    let types = all.map(|loaded| loaded.rule.located_types()).fold(TypeSet::EMPTY, TypeSet::or);
    let locator = locating::locator(settings.geo.as_ref(), types)?;
    let surroundings =
        Surroundings { faults: &events.faults, silences: &silences, locator: locator.as_ref() };
    let results = run_all(&selection, surroundings, chosen.as_ref());
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit::write(&results))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    show(&results, &mut out).context("cannot write the results")?;
    if results.is_empty() {
        match &arguments.run {
            Some(pattern) => bail!("no test is named like `{pattern}`"),
            None => {
                bail!(
                    "no test was found; tests stand under `tests:` in a rule's file, or in a file of their own"
                )
            }
        }
    }
    let passed = results.iter().all(|result| result.failure.is_none());
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn load(paths: &[PathBuf], default: &Path, options: &LoadOptions) -> anyhow::Result<Selection> {
    match selection::select(paths, None, default, options)? {
        Ok(selection) if selection.rules.is_empty() && selection.suites.is_empty() => {
            bail!("no rule was found; expected YAML files")
        }
        Ok(selection) => Ok(selection),
        Err(refused) => {
            let shown: Vec<String> = refused.errors.iter().map(|error| error.render("error")).collect();
            bail!(
                "{} in the rules

{}",
                plural(refused.errors.len(), "error"),
                shown.join(
                    "

"
                )
            )
        }
    }
}

/// What stands for the rule where a test is about all of them.
const ALL_RULES: &str = "all rules";

fn rule_set<'a>(rules: impl Iterator<Item = &'a LoadedRule>) -> RuleSet {
    RuleSet::new(rules.map(|loaded| loaded.rule.clone()).collect())
}

/// What the rules of a test meet beside its events.
#[derive(Clone, Copy)]
struct Surroundings<'s> {
    faults: &'s FaultTable,
    silences: &'s Arc<Silences>,
    locator: Option<&'s Locator>,
}

fn run_all<'a>(
    selection: &'a Selection,
    surroundings: Surroundings<'_>,
    chosen: Option<&Chosen>,
) -> Vec<Result<'a>> {
    let Selection { rules, beside, suites, .. } = selection;
    let all = rule_set(rules.iter().chain(beside));
    let mut results = Vec::new();
    let mut run = |rule: Option<&'a str>, test: &'a RuleTest, all: &RuleSet| {
        let shown = rule.unwrap_or(ALL_RULES);
        if chosen.is_some_and(|chosen| !chosen.finds(&format!("{shown} › {}", test.name))) {
            return;
        }
        let picked = match (rule, test.with.is_empty()) {
            // A rule that is paused does nothing in production either.
            (None, true) => {
                all.rules.iter().filter(|rule| rule.state != RuleState::Paused).cloned().collect()
            }
            _ => judge::pick(all, judge::loaded(rule, test).map(str::to_owned)),
        };
        let course = course::run(test, picked, surroundings);
        let judgement = judge::judge(test, &course);
        let failure = (!judgement.passed()).then(|| report::failure(test, &course, &judgement));
        results.push(Result { rule: shown, test, failure });
    };
    for loaded in rules {
        for test in &loaded.tests {
            run(Some(loaded.rule.name.as_str()), test, &all);
        }
    }
    for Tests { suite, rules, .. } in suites.iter().filter(|tests| !tests.beside) {
        let own = rules.as_ref().map(|rules| rule_set(rules.iter()));
        for test in &suite.tests {
            run(test.rule.as_ref().map(|(name, _)| name.as_str()), test, own.as_ref().unwrap_or(&all));
        }
    }
    results
}

fn show(results: &[Result<'_>], out: &mut impl Write) -> io::Result<()> {
    for result in results {
        match &result.failure {
            None => writeln!(out, "ok    {} › {}", result.rule, result.test.name)?,
            Some(failure) => {
                writeln!(out, "FAIL  {} › {}", result.rule, result.test.name)?;
                for line in failure.lines() {
                    writeln!(out, "      {line}")?;
                }
            }
        }
    }
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    if !results.is_empty() {
        writeln!(out, "\n{}, {failed} failed", plural(results.len(), "test"))?;
    }
    out.flush()
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Which tests are run.
struct Chosen(dense::DFA<Vec<u32>>);

impl Chosen {
    fn new(pattern: &str) -> anyhow::Result<Self> {
        let limits = dense::Config::new().dfa_size_limit(Some(1 << 22)).determinize_size_limit(Some(1 << 22));
        let automaton = dense::Builder::new()
            .configure(limits)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build(pattern);
        automaton.map(Self).with_context(|| format!("--run `{pattern}` is not a regular expression"))
    }

    fn finds(&self, name: &str) -> bool {
        self.0.try_search_fwd(&Input::new(name)).is_ok_and(|found| found.is_some())
    }
}

#[cfg(test)]
mod tests;
