//! Which rules `check` and `test` are about: those asked for, and the others beside them that they may name.
//!
//! Who checks a single file does not want to hear that a rule it names in `covered_by` stands in another one. So the files
//! beside it are read as well; what is wrong with those is not told, and a rule asked for replaces one of its name there,
//! which lets an editor check unsaved text.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::core::rule::parse::{self, LoadOptions, LoadedRule, RuleError, Suite};

use super::setup::{self, RuleFile};

/// The most files beside one asked for that are read.
const MOST_BESIDE: usize = 1_000;

/// Rules that can be used.
pub(super) struct Selection {
    pub(super) rules: Vec<LoadedRule>,
    /// Those that were not asked for.
    pub(super) beside: Vec<LoadedRule>,
    /// Tests in files of their own.
    pub(super) suites: Vec<Tests>,
    /// How many files were asked for.
    pub(super) files: usize,
}

/// Tests in a file of their own.
pub(super) struct Tests {
    pub(super) suite: Suite,
    /// The rules that the file names itself; [`None`]: those of the selection.
    pub(super) rules: Option<Vec<LoadedRule>>,
    /// Not asked for: they count, but are not run.
    pub(super) beside: bool,
}

/// What is wrong with the files asked for.
pub(super) struct Refused {
    pub(super) errors: Vec<RuleError>,
    pub(super) files: usize,
}

/// Reads `paths` (`-` is standard input), and `directory` beside them; without paths the directory itself, and without
/// that `default`.
pub(super) fn select(
    paths: &[PathBuf],
    directory: Option<&Path>,
    default: &Path,
    options: &LoadOptions,
) -> anyhow::Result<Result<Selection, Refused>> {
    let fallback = [directory.unwrap_or(default).to_owned()];
    let asked = if paths.is_empty() { &fallback } else { paths };
    let files = read(asked)?;
    let mut beside = if paths.is_empty() { Vec::new() } else { read_beside(asked, directory, &files)? };
    let mut errors = Vec::new();
    let mut rules = Vec::new();
    let mut suites = Vec::new();
    for file in &files {
        match parse::load_bytes(&file.bytes, &name(file), options) {
            Ok(loaded) => {
                rules.extend(loaded.rules);
                suites.extend(loaded.suites.into_iter().map(|suite| (suite, false)));
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    let stand_alone = |(suite, _): &(Suite, bool)| suite.rules.is_empty();
    if rules.is_empty() && suites.iter().any(stand_alone) && directory.is_none() && default.is_dir() {
        // Tests alone were asked for, and they do not say of which rules.
        let more = setup::rule_files(default)?;
        beside.extend(more.into_iter().filter(|file| !is_among(file, &files)).collect::<Vec<_>>());
    }
    let mut all = rules.clone();
    let mut known: BTreeSet<String> = rules.iter().map(|loaded| loaded.rule.name.clone()).collect();
    for file in &beside {
        let loaded = parse::load_bytes(&file.bytes, &name(file), options).unwrap_or_default();
        all.extend(loaded.rules.into_iter().filter(|loaded| known.insert(loaded.rule.name.clone())));
        suites.extend(loaded.suites.into_iter().map(|suite| (suite, true)));
    }
    if errors.is_empty() {
        let names: BTreeSet<String> = files.iter().map(name).collect();
        errors = parse::check_set(&all);
        errors.retain(|error| names.contains(&*error.place.file));
    }
    if !errors.is_empty() {
        return Ok(Err(Refused { errors, files: files.len() }));
    }
    let mut tests = Vec::new();
    for (suite, beside) in suites {
        match own_rules(&suite, options) {
            Ok(rules) => {
                let found = parse::check_suite(&suite, rules.as_deref().unwrap_or(&all));
                // What is wrong with files that were not asked for is not told.
                if beside && !found.is_empty() {
                    continue;
                }
                errors.extend(found);
                tests.push(Tests { suite, rules, beside });
            }
            Err(wrong) if !beside => errors.extend(wrong),
            Err(_) => {}
        }
    }
    if !errors.is_empty() {
        return Ok(Err(Refused { errors, files: files.len() }));
    }
    let beside = all.split_off(rules.len());
    Ok(Ok(Selection { rules, beside, suites: tests, files: files.len() }))
}

/// The rules that a file of tests names, if it names any.
fn own_rules(suite: &Suite, options: &LoadOptions) -> Result<Option<Vec<LoadedRule>>, Vec<RuleError>> {
    if suite.rules.is_empty() {
        return Ok(None);
    }
    let folder = Path::new(&*suite.file).parent().unwrap_or(Path::new(""));
    let mut files: Vec<RuleFile> = Vec::new();
    for (path, place) in &suite.rules {
        let found =
            setup::rule_files(&folder.join(path)).map_err(|error| vec![place.error(format!("{error:#}"))])?;
        files.extend(found.into_iter().filter(|file| !is_among(file, &files)).collect::<Vec<_>>());
    }
    let rules = setup::load_rules(&files, options)?;
    match suite.rules.first() {
        Some((_, place)) if rules.is_empty() => Err(vec![place.error("no rule was found there")]),
        _ => Ok(Some(rules)),
    }
}

fn name(file: &RuleFile) -> String {
    file.path.display().to_string()
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<RuleFile>> {
    let mut files: Vec<RuleFile> = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut bytes = Vec::new();
            let limit = parse::MAX_FILE as u64 + 1;
            io::stdin().lock().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
            files.push(RuleFile { path: PathBuf::from("<stdin>"), bytes });
        } else {
            let more = setup::rule_files(path)?;
            files.extend(more.into_iter().filter(|file| !is_among(file, &files)).collect::<Vec<_>>());
        }
    }
    Ok(files)
}

fn is_among(file: &RuleFile, files: &[RuleFile]) -> bool {
    let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    };
    files.iter().any(|known| known.path == file.path || same(&known.path, &file.path))
}

/// The files of the directory, or those beside the files asked for.
fn read_beside(
    asked: &[PathBuf],
    directory: Option<&Path>,
    files: &[RuleFile],
) -> anyhow::Result<Vec<RuleFile>> {
    let found = match directory {
        Some(directory) => setup::rule_files(directory)?,
        None => asked
            .iter()
            .filter(|path| path.is_file())
            .filter_map(|path| Some(path.canonicalize().ok()?.parent()?.to_owned()))
            .collect::<BTreeSet<PathBuf>>()
            .iter()
            .flat_map(|parent| siblings(parent))
            .take(MOST_BESIDE)
            .collect(),
    };
    Ok(found.into_iter().filter(|file| !is_among(file, files)).collect())
}

/// The rule files of a directory that can be read, not of those below it.
fn siblings(directory: &Path) -> Vec<RuleFile> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"))
        .filter(|path| {
            path.metadata().is_ok_and(|data| data.is_file() && data.len() <= parse::MAX_FILE as u64)
        })
        .collect();
    paths.sort();
    let read = |path: PathBuf| Some(RuleFile { bytes: std::fs::read(&path).ok()?, path });
    paths.into_iter().filter_map(read).collect()
}
