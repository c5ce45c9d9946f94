//! A rule's version: a hash of what it means. Comments, tests, the order of fields and the kind of quotes do not matter; the
//! values of the files that it names do, though neither their order nor how often they are given.

use super::yaml::{Node, Value};
use crate::core::event::Symbol;
use crate::core::rule::list::values_of;

pub fn of(rule: &Node, files: &[(String, u64)]) -> u64 {
    let mut written = String::new();
    write(rule, 0, &mut written);
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    files.dedup();
    for (name, values) in files {
        written.push_str(&format!("{}:{name}={values}", name.len()));
    }
    Symbol::of(&written).0
}

/// A hash of the values of a file.
pub fn of_values(text: &str) -> u64 {
    let mut values: Vec<Symbol> = values_of(text).map(|(_, value)| Symbol::of(value)).collect();
    values.sort_unstable();
    values.dedup();
    values.into_iter().fold(Symbol(1), Symbol::with).0
}

fn write(node: &Node, depth: usize, written: &mut String) {
    match &node.value {
        Value::Scalar { text, .. } => {
            // The length comes first, so that no two trees are written alike.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            written.push_str(&format!("{}:{text}", text.len()));
        }
        Value::List(items) => {
            written.push('[');
            for item in items {
                write(item, depth + 1, written);
            }
            written.push(']');
        }
        Value::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().filter(|entry| depth > 0 || entry.key != "tests").collect();
            entries.sort_by(|one, other| one.key.cmp(&other.key));
            written.push('{');
            for entry in entries {
                written.push_str(&format!("{}:{}=", entry.key.len(), entry.key));
                write(&entry.value, depth + 1, written);
            }
            written.push('}');
        }
        Value::Broken => {}
    }
}
