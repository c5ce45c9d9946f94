//! Our own source as the tidiness tests see it: files, their modules, their code without comments and string
//! contents, and the crate paths that the code names.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file of this repository.
pub struct Source {
    /// Relative to the repository: `src/core/engine.rs`.
    pub path: String,
    pub text: String,
    /// The text with comments, string and character contents blanked; line breaks stay where they are.
    pub code: String,
}

/// A crate path that the code names: `crate::edge::{mail, store}` gives two.
pub struct Named {
    pub line: usize,
    pub segments: Vec<String>,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder`, in the order of their names.
pub fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&repository().join(folder), &mut paths);
    paths.sort();
    paths.iter().map(|path| Source::read(path)).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned();
        let code = blank(&text);
        Self { path, text, code }
    }

    /// The module that the file is: `src/core/rule/table.rs` is `core::rule::table`; `lib` and `main` are the root.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        match path {
            "lib" => Vec::new(),
            _ => path.split('/').map(str::to_owned).collect(),
        }
    }

    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Where the code of the tests at the end of the file begins, counted in bytes of `code`.
    pub fn tests_start(&self) -> usize {
        if self.is_test() { 0 } else { self.code.find("#[cfg(test)]\nmod ").unwrap_or(self.code.len()) }
    }

    pub fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// `path:line` of every place of the code that holds `word` as a word of its own.
    pub fn places_of(&self, word: &str) -> Vec<(usize, String)> {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .match_indices(word)
            .filter(|(at, found)| {
                let before = self.code[..*at].chars().next_back();
                let after = self.code[at + found.len()..].chars().next();
                let opens = !word.starts_with(is_name) || !before.is_some_and(is_name);
                let closes = !word.ends_with(is_name) || !after.is_some_and(is_name);
                opens && closes
            })
            .map(|(at, _)| (at, format!("{}:{}", self.path, self.line_of(at))))
            .collect()
    }

    /// The crate paths that the code names, `super` resolved.
    pub fn named(&self) -> Vec<Named> {
        let mut named = Vec::new();
        for root in ["crate::", "forewarn::", "super::"] {
            for (at, _) in self.places_of(root) {
                // The second `super` of `super::super` is read as a part of the first.
                if self.code[..at].ends_with("::") {
                    continue;
                }
                let mut reader = Reader { rest: &self.code[at..], found: Vec::new() };
                reader.tree(&[]);
                let line = self.line_of(at);
                for segments in reader.found {
                    named.push(Named { line, segments: self.resolve(&segments) });
                }
            }
        }
        named
    }

    fn resolve(&self, segments: &[String]) -> Vec<String> {
        let mut module = if segments[0] == "super" { self.module() } else { Vec::new() };
        for segment in segments {
            match segment.as_str() {
                "crate" | "forewarn" => {}
                "super" => {
                    module.pop();
                }
                _ => module.push(segment.clone()),
            }
        }
        module
    }
}

/// Reads one path or use tree.
struct Reader<'a> {
    rest: &'a str,
    found: Vec<Vec<String>>,
}

impl Reader<'_> {
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix('{') {
                self.rest = rest;
                return self.group(&path);
            }
            let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            if end == 0 {
                break;
            }
            path.push(self.rest[..end].to_owned());
            self.rest = &self.rest[end..];
            match self.rest.strip_prefix("::") {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        self.found.push(path);
    }

    fn group(&mut self, prefix: &[String]) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '*');
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return;
            }
            if self.rest.is_empty() {
                return;
            }
            self.tree(prefix);
            // A renamed import goes on with `as name`.
            let end = self.rest.find([',', '}', '{']).unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
        }
    }
}

/// Blanks what is not code, so that a word in a comment or a text is never taken for one in the code.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(bytes, at);
        if end == at {
            let length = text[at..].chars().next().map_or(1, char::len_utf8);
            code.push_str(&text[at..at + length]);
            at += length;
        } else {
            code.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The end of the comment, string or character that begins at `at`; `at` itself where none does.
fn skipped(bytes: &[u8], at: usize) -> usize {
    let find = |needle: &[u8], from: usize| {
        (from..bytes.len()).find(|&i| bytes[i..].starts_with(needle)).unwrap_or(bytes.len())
    };
    match bytes[at] {
        b'/' if bytes[at..].starts_with(b"//") => find(b"\n", at),
        b'/' if bytes[at..].starts_with(b"/*") => (find(b"*/", at + 2) + 2).min(bytes.len()),
        b'"' => string_end(bytes, at + 1),
        b'r' if !at.checked_sub(1).is_some_and(|i| is_name(bytes[i]) && bytes[i] != b'b') => {
            let hashes = bytes[at + 1..].iter().take_while(|&&b| b == b'#').count();
            if bytes.get(at + 1 + hashes) == Some(&b'"') {
                let mut close = vec![b'"'];
                close.resize(1 + hashes, b'#');
                (find(&close, at + 2 + hashes) + close.len()).min(bytes.len())
            } else {
                at
            }
        }
        // A character, and not a lifetime: it closes again.
        b'\'' if bytes.get(at + 1) == Some(&b'\\') => (find(b"'", at + 3) + 1).min(bytes.len()),
        b'\'' => match (at + 2..(at + 6).min(bytes.len())).find(|&i| bytes[i] == b'\'') {
            Some(end) if end == at + 2 || bytes[at + 1] >= 0x80 => end + 1,
            _ => at,
        },
        _ => at,
    }
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
}

#[test]
fn words_in_comments_texts_and_characters_are_not_code() {
    for (text, code) in [
        ("a // tokio\nb", "a         \nb"),
        ("a /* x\ny */ b", "a     \n     b"),
        (r#"f("a\"b", c)"#, "f(      , c)"),
        (r##"r#"a"b"# c"##, "         c"),
        ("b'x' 'y' &'a str '\\'' z", "b        &'a str      z"),
    ] {
        assert_eq!(blank(text), code, "{text}");
    }
}

#[test]
fn every_path_of_a_grouped_import_is_found_and_super_is_resolved() {
    let text = "use crate::{core::time::{Span, Time as T}, edge::mail};\nfn f() { super::store::open() }";
    let named: Vec<String> =
        source("src/edge/kafka.rs", text).named().iter().map(|named| named.segments.join("::")).collect();
    assert_eq!(named, ["core::time::Span", "core::time::Time", "edge::mail", "edge::store::open"]);
}
