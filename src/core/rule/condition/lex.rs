//! The words of a condition: names, literals and signs, each with its place in the text.

use std::ops::Range;

use rust_decimal::Decimal;

use super::error::ConditionError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A field or a keyword; dotted names are one token.
    Name(String),
    Text(String),
    Number(Decimal),
    /// One of [`SIGNS`].
    Sign(&'static str),
    End,
}

impl Token {
    /// How an error message names what was found.
    pub fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Text(text) => format!("the text \"{text}\""),
            Self::Number(number) => format!("the number {number}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the condition".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Spanned {
    pub token: Token,
    pub span: Range<usize>,
}

/// Longer signs stand before those that they begin with.
const SIGNS: [&str; 11] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ","];

/// What authors of other languages write, and what it is here.
const FOREIGN: [(&str, &str); 5] =
    [("&&", "and"), ("||", "or"), ("=~", "starts_with, ends_with or contains"), ("=", "=="), ("!", "not")];

/// Splits a condition into its words; the last one is always [`Token::End`].
pub fn lex(source: &str) -> Result<Vec<Spanned>, ConditionError> {
    let mut tokens = Vec::new();
    let mut position = 0;
    while let Some(first) = source.get(position..).and_then(|rest| rest.chars().next()) {
        let rest = source.get(position..).unwrap_or_default();
        if first.is_whitespace() {
            position += first.len_utf8();
            continue;
        }
        let (token, length) = if first == '"' || first == '\'' {
            text(rest, first, position)?
        } else if first.is_ascii_digit()
            || (first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            number(rest, position)?
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else {
            sign(rest, first, position)?
        };
        tokens.push(Spanned { token, span: position..position + length });
        position += length;
    }
    tokens.push(Spanned { token: Token::End, span: source.len()..source.len() });
    Ok(tokens)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn sign(rest: &str, first: char, position: usize) -> Result<(Token, usize), ConditionError> {
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    if let Some((foreign, ours)) = FOREIGN.into_iter().find(|(foreign, _)| rest.starts_with(foreign)) {
        let span = position..position + foreign.len();
        return Err(ConditionError::new(span, format!("`{foreign}` is written `{ours}` here")));
    }
    let span = position..position + first.len_utf8();
    Err(ConditionError::new(span, format!("`{first}` means nothing in a condition"))
        .help("expected a field, a literal, a comparison (== != < <= > >= in), and, or, not or parentheses"))
}

fn text(rest: &str, quote: char, position: usize) -> Result<(Token, usize), ConditionError> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((offset, c)) = characters.next() {
        match c {
            c if c == quote => return Ok((Token::Text(value), offset + 1)),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\'' | '\\'))) => value.push(c),
                Some((end, c)) => {
                    let span = position + offset..position + end + c.len_utf8();
                    return Err(ConditionError::new(span, format!("unknown escape `\\{c}`"))
                        .help("expected \\\" \\' \\\\ \\n or \\t"));
                }
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(ConditionError::new(position..position + rest.len(), "this text is never closed")
        .help(format!("expected a closing {quote}")))
}

fn number(rest: &str, position: usize) -> Result<(Token, usize), ConditionError> {
    let length =
        rest.char_indices().skip(1).find(|(_, c)| !is_name(*c)).map_or(rest.len(), |(offset, _)| offset);
    let written = &rest[..length];
    match written.parse::<Decimal>() {
        Ok(number) => Ok((Token::Number(number.normalize()), length)),
        Err(_) => Err(ConditionError::new(
            position..position + length,
            format!("`{written}` is not a number"),
        )
        .help("expected digits with at most one point, such as 500 or 49.90; text goes in double quotes")),
    }
}
