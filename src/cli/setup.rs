//! What several verbs need before they start: rules from files, customers, settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::core::rule::parse::{self, LoadOptions, LoadedRule, RuleError};
use crate::core::rule::silence::Silences;
use crate::core::rule::{Rule, RuleSet};
use crate::settings::{Settings, SettingsError, Sources};

/// The configuration, or what holds without a file: the defaults and the environment.
pub(super) fn settings(config: Option<&Path>) -> Result<Settings, SettingsError> {
    Settings::load(&Sources { file: config.map(Path::to_owned), ..Sources::default() })
}

/// A rule file as it was read.
pub(super) struct RuleFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// What the configuration says that rule files need. Files that rules name are looked for beside the rule's own.
pub(super) fn load_options(settings: &Settings) -> LoadOptions {
    LoadOptions {
        extra: settings.events.extra.clone(),
        read: read_beside,
        calendars: Arc::clone(&settings.calendars),
    }
}

/// [`load_options`] where a configuration may be left out.
pub(super) fn load_options_without(settings: Option<&Settings>) -> LoadOptions {
    settings.map_or_else(|| LoadOptions { read: read_beside, ..LoadOptions::default() }, load_options)
}

/// The largest file that a rule may name.
const LARGEST_BESIDE: u64 = 64 << 20;

fn read_beside(rule_file: &str, name: &str) -> Result<Vec<u8>, String> {
    let path = Path::new(rule_file).parent().unwrap_or(Path::new("")).join(name);
    let data = std::fs::metadata(&path).map_err(|error| error.to_string())?;
    if !data.is_file() {
        return Err("it is not a file".to_owned());
    }
    if data.len() > LARGEST_BESIDE {
        return Err(format!("it is larger than {} MiB", LARGEST_BESIDE >> 20));
    }
    std::fs::read(&path).map_err(|error| error.to_string())
}

/// The rule files below `path` in the order of their names, or the file itself.
pub(super) fn rule_files(path: &Path) -> anyhow::Result<Vec<RuleFile>> {
    let mut paths = Vec::new();
    collect(path, &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(RuleFile { path, bytes })
        })
        .collect()
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        if !path.exists() {
            bail!("{} does not exist; expected a rule file or a directory of rule files", path.display());
        }
        into.push(path.to_owned());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?.path();
        let is_hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_rule_file = entry.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if is_hidden {
            continue;
        }
        if entry.is_dir() {
            collect(&entry, into)?;
        } else if is_rule_file {
            into.push(entry);
        }
    }
    Ok(())
}

/// Reads and checks the rules of several files together.
pub(super) fn load_rules(
    files: &[RuleFile],
    options: &LoadOptions,
) -> Result<Vec<LoadedRule>, Vec<RuleError>> {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match parse::load_bytes(&file.bytes, &file.path.display().to_string(), options) {
            Ok(loaded) => rules.extend(loaded.rules),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() {
        errors = parse::check_set(&rules);
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// The silences of a file, for rules of one of these sets; none where no file is given.
pub(super) fn silences(
    path: Option<&Path>,
    options: &LoadOptions,
    sets: &[&RuleSet],
) -> anyhow::Result<Arc<Silences>> {
    let Some(path) = path else { return Ok(Arc::default()) };
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let silences = parse::silences(&bytes, &path.display().to_string(), options, sets).map_err(|errors| {
        let shown: Vec<String> = errors.iter().map(|error| error.render("error")).collect();
        anyhow::anyhow!("the silences in {} cannot be used\n{}", path.display(), shown.join("\n"))
    })?;
    Ok(Arc::new(silences))
}

/// The rules below `path`, ready to run; all errors in one text otherwise.
pub(super) fn rule_set(path: &Path, options: &LoadOptions) -> anyhow::Result<Arc<RuleSet>> {
    let files = rule_files(path)?;
    let rules = load_rules(&files, options).map_err(|errors| {
        let shown: Vec<String> = errors.iter().map(|error| error.render("error")).collect();
        anyhow::anyhow!("the rules in {} cannot be used\n{}", path.display(), shown.join("\n"))
    })?;
    if rules.is_empty() {
        bail!("no rule was found in {}; expected files that end in .yaml", path.display());
    }
    let rules: Vec<Rule> = rules.into_iter().map(|loaded| loaded.rule).collect();
    Ok(Arc::new(RuleSet::new(rules)))
}
