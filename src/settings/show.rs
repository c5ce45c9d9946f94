//! The configuration as it holds, in its own language, without its secrets.

use std::fmt::Write as _;

use serde_json::Value;

use super::ShowOrigin;
use super::layers::Layers;
use super::secret::{HIDDEN, SECRET_OPTIONS};

pub(super) fn show(layers: &Layers, origin: ShowOrigin) -> String {
    let mut raw = layers.raw.clone();
    if let Some(smtp) = &mut raw.smtp {
        smtp.password = smtp.password.as_ref().map(|_| HIDDEN.to_owned());
    }
    raw.http.reload_token = raw.http.reload_token.as_ref().map(|_| HIDDEN.to_owned());
    for (name, value) in &mut raw.kafka.options.0 {
        if SECRET_OPTIONS.contains(&name.as_str()) {
            HIDDEN.clone_into(value);
        }
    }
    raw.store.url = Some(match raw.store.url {
        Some(url) if !url.starts_with("sqlite:") => HIDDEN.to_owned(),
        Some(url) => url,
        None => "sqlite:forewarn.db".to_owned(),
    });
    if raw.store.url_file.is_some() {
        raw.store.url = None;
    }
    let root = serde_json::to_value(&raw).unwrap_or_default();
    let mut shown = Shown { layers, origin, text: String::new() };
    shown.table("", &root);
    shown.text
}

struct Shown<'l> {
    layers: &'l Layers,
    origin: ShowOrigin,
    text: String,
}

impl Shown<'_> {
    /// A table's own values first, then the tables in it under headers of their own.
    fn table(&mut self, path: &str, table: &Value) {
        let Value::Object(members) = table else { return };
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let (tables, values): (Vec<_>, Vec<_>) = members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .partition(|(key, value)| value.is_object() && !is_written_inline(&below(key)));
        if !path.is_empty() && !values.is_empty() {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.write(format_args!("{gap}[{path}]\n"));
        }
        for (key, value) in values {
            self.write(format_args!("{} = {}", bare(key), Inline(value)));
            if self.origin == ShowOrigin::Yes {
                let layer = self.layers.layer(&below(key));
                self.write(format_args!("  # {layer}"));
            }
            self.text.push('\n');
        }
        for (key, value) in tables {
            self.table(&below(&bare(key)), value);
        }
    }

    fn write(&mut self, words: std::fmt::Arguments<'_>) {
        // Writing to a text can't fail.
        let _written = self.text.write_fmt(words);
    }
}

/// Tables whose keys hold points or are somebody's own words read better on one line.
fn is_written_inline(path: &str) -> bool {
    path == "kafka.options" || (path.starts_with("events.mapping.") || path.matches('.').count() > 1)
}

/// A key as TOML writes it.
fn bare(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    // JSON's escapes are all known to TOML.
    Value::from(text).to_string()
}

/// A value on one line.
struct Inline<'v>(&'v Value);

impl std::fmt::Display for Inline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Value::Array(items) => {
                f.write_str("[")?;
                for (number, item) in items.iter().enumerate() {
                    let gap = if number > 0 { ", " } else { "" };
                    write!(f, "{gap}{}", Inline(item))?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                let members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
                f.write_str("{")?;
                for (number, (key, value)) in members.iter().enumerate() {
                    let gap = if number > 0 { ", " } else { " " };
                    write!(f, "{gap}{} = {}", bare(key), Inline(value))?;
                }
                f.write_str(if members.is_empty() { "}" } else { " }" })
            }
            Value::String(text) => f.write_str(&quoted(text)),
            Value::Null => f.write_str("\"\""),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "{number}"),
        }
    }
}
