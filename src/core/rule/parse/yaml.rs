//! YAML text → trees of nodes that know their place. Nothing is interpreted here: `00123` and `no` stay what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// The deepest nesting; deeper files are an error.
const MAX_DEPTH: usize = 48;
/// The most nodes that aliases may add; more are an error, so that a small file can't unfold into a huge one.
const MAX_UNFOLDED: usize = 50_000;
/// The most problems that are collected from one file.
pub const MAX_PROBLEMS: usize = 100;

#[derive(Clone, Debug)]
pub struct Node {
    pub span: Range<usize>,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// `plain`: without quotes, and not a block.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that was already reported.
    Broken,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub value: Node,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

impl Node {
    /// YAML's null: nothing at all, `~` or `null`.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) | Value::Broken => false,
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } | Value::Broken => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }
}

/// Reads all documents of a file. A document that can't be read is left out, with a problem that says why.
pub fn read(text: &str) -> (Vec<Node>, Vec<Problem>) {
    let mut options =
        granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { end: text.len(), ..Builder::default() };
    let mut documents = Vec::new();
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, span))) => documents.extend(builder.take(event, &span)),
            Some(Err(error)) => {
                let start = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                let message = match error.info().as_str() {
                    "recursion limit exceeded" => format!("this is nested more than {MAX_DEPTH} deep"),
                    info => format!("this is not YAML: {info}"),
                };
                builder.report(start..start, message, hint(&error.info()));
                builder.forget_document();
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
        if builder.problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    (documents, builder.problems)
}

fn hint(info: &str) -> Option<String> {
    let quoting = ["mapping values", "tag", "anchor", "alias", "flow", "plain"];
    let help = "a text with : # ! & * or braces in it needs quotes; conditions always stand in single quotes";
    quoting.iter().any(|word| info.contains(word)).then(|| help.to_owned())
}

#[derive(Default)]
struct Builder {
    end: usize,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    unfolded: usize,
    problems: Vec<Problem>,
}

/// A list or map that has not ended yet.
struct Open {
    start: usize,
    anchor: usize,
    tagged: bool,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Key>, known: BTreeSet<String> },
}

struct Key {
    text: String,
    span: Range<usize>,
    usable: bool,
}

impl Builder {
    /// Takes the next event; hands out a document when it is whole.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<Node> {
        let range = span.byte_range().unwrap_or(self.end..self.end);
        let tagged = self.tag(&event, span);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value =
                    if tagged { Value::Broken } else { Value::Scalar { text: text.into_owned(), plain } };
                self.finish(Node { span: range, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { start: range.start, anchor, tagged, kind: OpenKind::List(Vec::new()) });
                None
            }
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Map { entries: Vec::new(), key: None, known: BTreeSet::new() };
                self.open.push(Open { start: range.start, anchor, tagged, kind });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.kind {
                    _ if open.tagged => Value::Broken,
                    OpenKind::List(items) => Value::List(items),
                    OpenKind::Map { entries, .. } => Value::Map(entries),
                };
                self.finish(Node { span: open.start..range.end.max(open.start), value }, open.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.unfold(anchor, range);
                self.finish(node, 0)
            }
            Event::DocumentStart(..) => {
                self.forget_document();
                None
            }
            _ => None,
        }
    }

    /// Whether the node carries a tag, which is reported: nothing in a rule file has one.
    fn tag(&mut self, event: &Event<'_>, span: &Span) -> bool {
        let Some(tag) = event.tag() else { return false };
        if tag.core_suffix() == Some("str") {
            return false;
        }
        let place = span.tag_span().and_then(|span| span.byte_range());
        let message = format!("YAML reads `{}` as a tag, which means nothing here", tag.original());
        let help = "conditions always stand in single quotes: 'not exists(card_id)'".to_owned();
        self.report(place.or(span.byte_range()).unwrap_or(self.end..self.end), message, Some(help));
        true
    }

    fn unfold(&mut self, anchor: usize, span: Range<usize>) -> Node {
        let (message, help) = match self.anchors.get(&anchor) {
            None => ("this alias stands within what it repeats".to_owned(), None),
            Some(node) => {
                self.unfolded += node.size();
                if self.unfolded <= MAX_UNFOLDED {
                    return Node { span, value: node.value.clone() };
                }
                (format!("aliases unfold this file to more than {MAX_UNFOLDED} values"), None)
            }
        };
        self.report(span.clone(), message, help);
        Node { span, value: Value::Broken }
    }

    /// Puts a whole node where it belongs; hands it out if it is a document.
    fn finish(&mut self, node: Node, anchor: usize) -> Option<Node> {
        if anchor != 0 {
            self.unfolded += node.size();
            let kept = if self.unfolded <= MAX_UNFOLDED { node.value.clone() } else { Value::Broken };
            self.anchors.insert(anchor, Node { span: node.span.clone(), value: kept });
        }
        let Some(open) = self.open.last_mut() else { return Some(node) };
        let mut problem = None;
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key, known } => match key.take() {
                Some(Key { text, span, usable: true }) => {
                    entries.push(Entry { key: text, key_span: span, value: node });
                }
                Some(_) => {}
                None => {
                    let (text, message) = match node.value {
                        Value::Scalar { text, .. } if known.insert(text.clone()) => (text, None),
                        Value::Scalar { text, .. } => {
                            let message = format!("`{text}` is given twice");
                            (text, Some(message))
                        }
                        Value::Broken => (String::new(), Some(String::new())),
                        Value::List(_) | Value::Map(_) => {
                            (String::new(), Some("expected a name before the colon".to_owned()))
                        }
                    };
                    let usable = message.is_none();
                    problem = message
                        .filter(|message| !message.is_empty())
                        .map(|message| (node.span.clone(), message));
                    *key = Some(Key { text, span: node.span, usable });
                }
            },
        }
        if let Some((span, message)) = problem {
            self.report(span, message, None);
        }
        None
    }

    fn report(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { span, message, help });
        }
    }

    fn forget_document(&mut self) {
        self.open.clear();
        self.anchors.clear();
    }
}
