//! The layers and what each of them says: the file, over it the environment, over that the flags.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};

use super::error::{Problem, SettingsError};
use super::raw::RawSettings;
use super::strict::{self, ENVIRONMENT, ValueError};

const PREFIX: &str = "FOREWARN";
const SEPARATOR: &str = "__";
const FLAGS: &str = "the command line";
/// A larger file is no configuration.
const MAX_FILE: u64 = 4 << 20;

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; [`None`]: only the environment and the defaults.
    pub file: Option<PathBuf>,
    /// Keys with their values as flags gave them: `("rules.path", "rules")`.
    pub flags: Vec<(String, String)>,
    /// What stands for the process's environment; [`None`]: that itself.
    pub environment: Option<Vec<(String, String)>>,
}

/// The written form of all layers together, and which layer each value came from.
#[derive(Clone, Debug)]
pub struct Layers {
    pub(super) raw: RawSettings,
    root: Value,
    file: Option<PathBuf>,
    text: String,
}

impl Layers {
    pub fn read(sources: &Sources) -> Result<Self, SettingsError> {
        let text = match &sources.file {
            Some(path) => read_file(path)?,
            None => String::new(),
        };
        let mut builder = Config::builder().add_source(File::from_str(&text, FileFormat::Toml));
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(sources.environment.clone().map(|pairs| pairs.into_iter().collect()));
        builder = builder.add_source(environment);
        for (key, value) in &sources.flags {
            let value = Value::new(Some(&FLAGS.to_owned()), ValueKind::String(value.clone()));
            builder = builder.set_override(key, value).map_err(|error| in_file(sources, &error))?;
        }
        let root = builder.build().map_err(|error| in_file(sources, &error))?.cache;
        let mut layers = Self { raw: RawSettings::default(), root, file: sources.file.clone(), text };
        match strict::read(&layers.root) {
            Ok(raw) => layers.raw = raw,
            Err(error) => return Err(SettingsError(vec![layers.problem_of(&error)])),
        }
        Ok(layers)
    }

    fn problem_of(&self, error: &ValueError) -> Problem {
        let key = error.key();
        Problem { place: self.place_of(&key, error.origin.as_deref()), key, what: error.what.clone() }
    }

    /// A problem with a key that was read well.
    pub(super) fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        let origin = self.origin(key);
        Problem { place: self.place_of(key, origin.as_deref()), key: key.to_owned(), what: what.into() }
    }

    fn place_of(&self, key: &str, origin: Option<&str>) -> String {
        match origin {
            Some(ENVIRONMENT) => {
                let name = key.to_uppercase().replace('.', SEPARATOR);
                format!("environment variable {PREFIX}{SEPARATOR}{name}")
            }
            Some(origin) => origin.to_owned(),
            None => match &self.file {
                Some(file) => match line_of(&self.text, key) {
                    Some(line) => format!("{}:{line}", file.display()),
                    None => file.display().to_string(),
                },
                None => String::new(),
            },
        }
    }

    /// The layer that a key's value came from, where it is not the file.
    fn origin(&self, key: &str) -> Option<String> {
        find(&self.root, key)?.origin().map(str::to_owned)
    }

    /// The layer that a key's value came from, in words.
    pub(super) fn layer(&self, key: &str) -> String {
        match find(&self.root, key) {
            None => "default".to_owned(),
            Some(value) => match (value.origin(), &self.file) {
                (Some(origin), _) => origin.to_owned(),
                (None, Some(file)) => file.display().to_string(),
                (None, None) => "default".to_owned(),
            },
        }
    }
}

fn find<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    let ValueKind::Table(members) = &root.kind else { return None };
    // Names of options hold points themselves, so the whole rest of the key is tried as well.
    if let Some(value) = members.get(key) {
        return Some(value);
    }
    let (first, rest) = key.split_once('.')?;
    find(members.get(first)?, rest)
}

fn read_file(path: &Path) -> Result<String, SettingsError> {
    let wrong = |what: String| {
        SettingsError(vec![Problem { place: path.display().to_string(), key: String::new(), what }])
    };
    let about = std::fs::metadata(path)
        .map_err(|error| wrong(format!("cannot read the configuration file: {error}")))?;
    if !about.is_file() && about.is_dir() {
        return Err(wrong("is a folder; expected the configuration file".to_owned()));
    }
    if about.len() > MAX_FILE {
        return Err(wrong(format!("is larger than {} MiB; expected the configuration file", MAX_FILE >> 20)));
    }
    std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot read the configuration file: {error}")))
}

fn in_file(sources: &Sources, error: &ConfigError) -> SettingsError {
    let place = sources.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let what = match error {
        ConfigError::FileParse { cause, .. } => {
            let mut what = String::from("is not TOML\n");
            for line in cause.to_string().lines() {
                // Writing to a text can't fail.
                let _written = writeln!(what, "  {line}");
            }
            what.trim_end().to_owned()
        }
        other => other.to_string(),
    };
    SettingsError(vec![Problem { place, key: String::new(), what }])
}

/// The line where a key stands. The parser that merges the layers does not keep places, so this looks for the header
/// of its section and for the key below it; inside inline tables it finds the line of the table.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let steps: Vec<&str> = key.split('.').collect();
    let mut best: Option<(usize, usize)> = None;
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            note(&mut best, &steps, &section, number);
        } else if let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = name.trim().replace(['"', '\''], "");
            let whole = if section.is_empty() { name } else { format!("{section}.{name}") };
            note(&mut best, &steps, &whole, number);
        }
    }
    best.map(|(_, number)| number + 1)
}

/// Remembers a line that names the beginning of a key, if it names more of it than the ones before.
fn note(best: &mut Option<(usize, usize)>, steps: &[&str], name: &str, number: usize) {
    let named: Vec<&str> = name.split('.').map(str::trim).collect();
    let is_start = steps.len() >= named.len() && steps.iter().zip(&named).all(|(step, name)| step == name);
    if is_start && best.is_none_or(|(length, _)| named.len() > length) {
        *best = Some((named.len(), number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_in_all_ways_to_write_it() {
        let text = "time_zone = \"UTC\"\n[kafka]\n# group = \"x\"\ngroup = \"a\"\noptions = { \"a.b\" = 1 }\n\
                    [events.mapping]\ntype = \"/t\"\n[events.mapping.time]\npointer = \"/x\"\nlog.level = \"info\"";
        for (key, line) in [
            ("time_zone", Some(1)),
            ("kafka", Some(2)),
            ("kafka.group", Some(4)),
            ("kafka.options.a.b", Some(5)),
            ("kafka.unheard_of", Some(2)),
            ("events.mapping.type", Some(7)),
            ("events.mapping.time.pointer", Some(9)),
            ("smtp.host", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }
}
