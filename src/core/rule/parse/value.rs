//! Single values: durations, shares, numbers, names of fields, conditions. Each reader reports what it expected.

use std::ops::{Range, RangeInclusive};

use rust_decimal::Decimal;

use super::super::RuleSet;
use super::super::condition::{Condition, ConditionError, ReadFile, unknown_field};
use super::fields::Reading;
use super::words;
use super::yaml::{Node, Value};
use crate::core::event::{Field, TextField};
use crate::core::time::Span;

/// The longest duration that a rule may name.
const LONGEST: i64 = 3_660 * 86_400_000;
const DURATION: &str = "a duration such as 30s, 10m, 2h or 7d";

impl Reading<'_> {
    /// The text of a scalar, quoted or not.
    pub fn text<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) | Value::Broken => {
                self.expected(expected, node);
                None
            }
        }
    }

    /// A text that is not blank.
    pub fn words(&mut self, node: &Node, expected: &str) -> Option<String> {
        let text = self.text(node, expected)?;
        if text.trim().is_empty() {
            self.report(&node.span, format!("expected {expected}, found an empty text"));
            return None;
        }
        Some(text.to_owned())
    }

    /// A name of the author's: of a rule, a template, a department.
    pub fn name(&mut self, node: &Node, expected: &str) -> Option<String> {
        let text = self.text(node, expected)?;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 100 || !text.chars().all(plain) {
            self.report_help(
                &node.span,
                format!("expected {expected}, found `{text}`"),
                "letters, digits, `-`, `_` and `.`, at most 100 bytes",
            );
            return None;
        }
        Some(text.to_owned())
    }

    pub fn duration(&mut self, node: &Node) -> Option<Span> {
        let text = self.text(node, DURATION)?;
        if text == "learned" {
            self.report_help(
                &node.span,
                "a learned limit is not supported yet",
                format!("expected {DURATION}"),
            );
            return None;
        }
        match parse_duration(text) {
            Some(span) if (0..=LONGEST).contains(&span.as_millis()) => Some(span),
            Some(_) => {
                self.report(&node.span, format!("`{text}` is out of range; expected 0s to 3660d"));
                None
            }
            None => {
                self.expected(DURATION, node);
                None
            }
        }
    }

    /// A duration that is not zero.
    pub fn length(&mut self, node: &Node) -> Option<Span> {
        let span = self.duration(node)?;
        if span == Span::ZERO {
            self.report(&node.span, "expected a duration longer than 0s");
            return None;
        }
        Some(span)
    }

    /// `20%`, as 0.2.
    pub fn share(&mut self, node: &Node) -> Option<Decimal> {
        const EXPECTED: &str = "a share from 0% to 100%, such as 20%";
        let text = self.text(node, EXPECTED)?;
        let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<Decimal>().ok());
        match number {
            Some(percent) if percent >= Decimal::ZERO && percent <= Decimal::ONE_HUNDRED => {
                Some((percent / Decimal::ONE_HUNDRED).normalize())
            }
            _ => {
                let bare = text
                    .parse::<Decimal>()
                    .ok()
                    .filter(|bare| *bare >= Decimal::ZERO && *bare <= Decimal::ONE);
                let help = bare
                    .map(|bare| format!("for {bare} write {}%", (bare * Decimal::ONE_HUNDRED).normalize()));
                let found = super::fields::describe(node);
                self.push(&node.span, format!("expected {EXPECTED}, found {found}"), help);
                None
            }
        }
    }

    pub fn whole(&mut self, node: &Node, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let text = self.text(node, &expected)?;
        match text.parse::<u32>() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.expected(&expected, node);
                None
            }
        }
    }

    /// A number that is measured, such as kilometres.
    pub fn measure(&mut self, node: &Node, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let text = self.text(node, &expected)?;
        // Through decimal, so that `nan`, `inf` and `1e9` are not numbers here.
        let number = text.parse::<Decimal>().ok().and_then(|number| f64::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        self.expected(&expected, node);
        None
    }

    pub fn flag(&mut self, node: &Node) -> Option<bool> {
        self.choice(node, &[("true", true), ("false", false)])
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = match names.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.join(", "),
        };
        let text = self.text(node, &expected)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = words::choice_help(text, &names);
            self.push(&node.span, format!("expected {expected}, found `{text}`"), help);
        }
        found
    }

    /// A condition. It must be quoted, since YAML would cut or misread it otherwise.
    pub fn condition(&mut self, node: &Node) -> Option<Condition> {
        self.parsed_condition(node, Condition::parse)
    }

    /// A condition that `parse` reads.
    pub fn parsed_condition<T>(
        &mut self,
        node: &Node,
        parse: impl FnOnce(&str, &[String], ReadFile<'_>) -> Result<T, ConditionError>,
    ) -> Option<T> {
        let text = self.text(node, "a condition in single quotes")?;
        if matches!(node.value, Value::Scalar { plain: true, .. }) {
            let quoted = text.replace('\'', "\"");
            let help = if quoted.chars().count() > 80 { String::new() } else { format!(": '{quoted}'") };
            self.report_help(
                &node.span,
                "a condition stands in single quotes",
                format!("YAML would cut it at ` #` or stumble over a colon; write it{help}"),
            );
            return None;
        }
        match self.with_files(|extra, read| parse(text, extra, read)) {
            Ok(condition) => Some(condition),
            Err(error) => {
                let span = self.within(node, text, &error.span);
                self.push(&span, error.message, error.help);
                None
            }
        }
    }

    /// Where bytes of a scalar's value stand in the file. The two differ by quotes, escapes and folded lines: the value's
    /// characters are looked up one after the other in what was written.
    pub fn within(&self, node: &Node, value: &str, span: &Range<usize>) -> Range<usize> {
        let Some(written) = self.source.text.get(node.span.clone()) else { return node.span.clone() };
        // A block's text begins without a sign of its own.
        let quoted = written.starts_with(['\'', '"']);
        let mut raw = written.char_indices().skip(usize::from(quoted)).peekable();
        let (mut start, mut end) = (None, node.span.start + 1);
        for (offset, c) in value.char_indices() {
            let at = loop {
                match raw.next() {
                    Some((at, found)) if found == c || (c.is_whitespace() && found.is_whitespace()) => {
                        break at;
                    }
                    Some(_) => {}
                    None => return node.span.clone(),
                }
            };
            if c == '\'' && written.starts_with('\'') {
                // Within single quotes, a quote is written twice.
                raw.next_if(|(_, found)| *found == '\'');
            }
            if offset >= span.start && start.is_none() {
                start = Some(node.span.start + at);
            }
            if offset < span.end {
                end = node.span.start + at + c.len_utf8();
            }
        }
        let start = start.unwrap_or(end);
        start..end.max(start)
    }

    /// The name of a field that holds text.
    pub fn text_field(&mut self, node: &Node) -> Option<TextField> {
        let name = self.text(node, "the name of a field")?;
        match RuleSet::field_named(name, self.extra) {
            Some(Field::Text(field)) => Some(field),
            Some(Field::Type | Field::Fault | Field::Time | Field::ExpiresAt | Field::Number(_)) => {
                self.report(&node.span, format!("expected a field that holds text, and `{name}` does not"));
                None
            }
            None => {
                let error = unknown_field(name, node.span.clone(), self.extra);
                self.push(&node.span, error.message, error.help);
                None
            }
        }
    }

    /// A list of fields, or one field without the brackets. At most 8, none of them twice.
    pub fn text_fields(&mut self, node: &Node) -> Option<Vec<TextField>> {
        let items = self.items(node);
        let mut fields = Vec::with_capacity(items.len());
        for item in items {
            let field = self.text_field(item)?;
            if fields.contains(&field) {
                self.report(&item.span, format!("`{field}` is given twice"));
                return None;
            }
            fields.push(field);
        }
        if fields.len() > 8 {
            self.report(&node.span, "expected at most 8 fields");
            return None;
        }
        Some(fields)
    }

    /// The items of a list; a single value stands for a list of itself.
    pub fn items<'n>(&self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) | Value::Broken => std::slice::from_ref(node),
        }
    }
}

/// `90s`, `10m`, `1h30m`; [`None`] if it is not a duration.
pub fn parse_duration(text: &str) -> Option<Span> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut total: i64 = 0;
    let mut last = i64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..length)? {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        // Larger units come first, each at most once.
        if unit >= last {
            return None;
        }
        last = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(length..)?;
    }
    (last != i64::MAX).then_some(Span::from_millis(if negative { -total } else { total }))
}
