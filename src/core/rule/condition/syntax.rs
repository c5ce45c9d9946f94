//! The grammar of conditions: words → tree. Names are not looked up here, see [`super::lower`].
//!
//! ```text
//! or      = and { "or" and }
//! and     = unary { "and" unary }
//! unary   = "not" unary | "(" or ")" | "exists" "(" name ")" | "cidr" "(" name "," text ")" | compared
//! compared = operand ( ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) operand
//!                    | [ "not" ] "in" ( "[" literal { "," literal } "]" | "file" "(" text ")" )
//!                    | ( "starts_with" | "ends_with" | "contains" ) text )
//! ```

use std::ops::Range;

use rust_decimal::Decimal;

use super::error::{ConditionError, nearest};
use super::files::{File, ReadFile};
use super::lex::{Spanned, Token, lex};
use super::{Comparison, MAX_DEPTH, MAX_LIST, MAX_SOURCE};

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    pub value: LiteralValue,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LiteralValue {
    Text(String),
    Number(Decimal),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Field(Name),
    Literal(Literal),
}

impl Operand {
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Field(name) => name.span.clone(),
            Self::Literal(literal) => literal.span.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

impl TextTest {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
            Self::Contains => "contains",
        }
    }

    pub fn holds(self, text: &str, literal: &str) -> bool {
        match self {
            Self::StartsWith => text.starts_with(literal),
            Self::EndsWith => text.ends_with(literal),
            Self::Contains => text.contains(literal),
        }
    }
}

/// What stands after `in`.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    Written(Vec<Literal>),
    File(File),
}

/// A condition as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Any(Vec<Tree>),
    All(Vec<Tree>),
    Not(Box<Tree>),
    Compare { left: Operand, order: Comparison, right: Operand },
    In { field: Name, list: Items, negated: bool },
    Test { field: Name, test: TextTest, literal: Literal },
    Exists(Name),
    Cidr { field: Name, network: Literal },
}

pub fn parse(source: &str, read: ReadFile<'_>) -> Result<Tree, ConditionError> {
    if source.len() > MAX_SOURCE {
        return Err(ConditionError::new(
            0..source.len(),
            format!("the condition is {} bytes long; at most {MAX_SOURCE} are allowed", source.len()),
        ));
    }
    let mut parser = Parser { tokens: lex(source)?, position: 0, depth: 0, read };
    if parser.peek().token == Token::End {
        return Err(ConditionError::new(0..source.len(), "the condition is empty")
            .help("leave the field out to let every event through"));
    }
    let tree = parser.any()?;
    parser.end()?;
    Ok(tree)
}

const KEYWORDS: [&str; 10] =
    ["and", "or", "not", "in", "starts_with", "ends_with", "contains", "cidr", "exists", "file"];

const COMPARED: &str = "expected == != < <= > >= in, not in, starts_with, ends_with or contains";

struct Parser<'a> {
    tokens: Vec<Spanned>,
    position: usize,
    depth: usize,
    read: ReadFile<'a>,
}

impl Parser<'_> {
    fn peek(&self) -> &Spanned {
        static END: Spanned = Spanned { token: Token::End, span: 0..0 };
        self.tokens.get(self.position).or(self.tokens.last()).unwrap_or(&END)
    }

    fn next(&mut self) -> Spanned {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn at_name(&self, keyword: &str) -> bool {
        matches!(&self.peek().token, Token::Name(name) if name == keyword)
    }

    fn take_name(&mut self, keyword: &str) -> bool {
        let found = self.at_name(keyword);
        if found {
            self.position += 1;
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().token, Token::Sign(found) if found == sign);
        if found {
            self.position += 1;
        }
        found
    }

    fn expect_sign(&mut self, sign: &str, why: &str) -> Result<Range<usize>, ConditionError> {
        let found = self.next();
        match found.token {
            Token::Sign(written) if written == sign => Ok(found.span),
            other => Err(ConditionError::new(
                found.span,
                format!("expected `{sign}` {why}, found {}", other.describe()),
            )),
        }
    }

    fn any(&mut self) -> Result<Tree, ConditionError> {
        self.deeper()?;
        let mut parts = vec![self.all()?];
        while self.take_name("or") {
            parts.push(self.all()?);
        }
        self.depth -= 1;
        Ok(one_or(parts, Tree::Any))
    }

    fn all(&mut self) -> Result<Tree, ConditionError> {
        let mut parts = vec![self.unary()?];
        while self.take_name("and") {
            parts.push(self.unary()?);
        }
        Ok(one_or(parts, Tree::All))
    }

    fn deeper(&mut self) -> Result<(), ConditionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ConditionError::new(
                self.peek().span.clone(),
                format!("the condition is nested more than {MAX_DEPTH} deep"),
            ));
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Tree, ConditionError> {
        if self.take_name("not") {
            self.deeper()?;
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Tree::Not(Box::new(inner)));
        }
        if self.take_sign("(") {
            let inner = self.any()?;
            self.expect_sign(")", "to close the parenthesis")?;
            return Ok(inner);
        }
        let calls =
            matches!(self.tokens.get(self.position + 1), Some(Spanned { token: Token::Sign("("), .. }));
        match &self.peek().token {
            Token::Name(name) if calls => {
                let name = name.clone();
                self.call(&name)
            }
            _ => self.compared(),
        }
    }

    fn call(&mut self, function: &str) -> Result<Tree, ConditionError> {
        let start = self.next().span;
        match function {
            "exists" => {
                self.expect_sign("(", "after exists")?;
                let field = self.field()?;
                self.expect_sign(")", "after the field")?;
                Ok(Tree::Exists(field))
            }
            "cidr" => {
                self.expect_sign("(", "after cidr")?;
                let field = self.field()?;
                self.expect_sign(",", "between the field and the network")?;
                let network = self.literal()?;
                self.expect_sign(")", "after the network")?;
                Ok(Tree::Cidr { field, network })
            }
            "starts_with" | "ends_with" | "contains" => {
                Err(ConditionError::new(start, format!("`{function}` stands between a field and a text"))
                    .help(format!("expected: product {function} \"text\"")))
            }
            _ => {
                let near =
                    nearest(function, ["exists", "cidr"]).map(|name| format!("did you mean `{name}`?"));
                Err(ConditionError::new(start, format!("unknown function `{function}`"))
                    .help("expected exists(field) or cidr(field, \"10.0.0.0/8\")")
                    .maybe_help(near))
            }
        }
    }

    fn compared(&mut self) -> Result<Tree, ConditionError> {
        let left = self.operand()?;
        let sign = self.next();
        let tree = match &sign.token {
            Token::Sign(written) => match comparison(written) {
                Some(order) => Tree::Compare { left, order, right: self.operand()? },
                None => return Err(no_comparison(&left, &sign)),
            },
            Token::Name(word) => match (word.as_str(), left) {
                ("in", Operand::Field(field)) => Tree::In { field, list: self.items()?, negated: false },
                ("not", Operand::Field(field)) => {
                    if !self.take_name("in") {
                        return Err(ConditionError::new(
                            self.peek().span.clone(),
                            "expected `in` after `not`",
                        ));
                    }
                    Tree::In { field, list: self.items()?, negated: true }
                }
                ("not_in", _) => {
                    return Err(ConditionError::new(
                        sign.span,
                        "`not_in` is written `not in` in a condition",
                    ));
                }
                (word, left) => match (text_test(word), left) {
                    (Some(test), Operand::Field(field)) => {
                        Tree::Test { field, test, literal: self.literal()? }
                    }
                    (None, left) if word != "in" && word != "not" => return Err(no_comparison(&left, &sign)),
                    (_, left) => {
                        return Err(ConditionError::new(
                            left.span(),
                            format!("expected a field before `{word}`, found a literal"),
                        ));
                    }
                },
            },
            _ => return Err(no_comparison(&left, &sign)),
        };
        if let Token::Sign(written) = self.peek().token
            && comparison(written).is_some()
        {
            return Err(ConditionError::new(self.peek().span.clone(), "comparisons do not chain")
                .help("join two of them: 5 < quantity and quantity < 10"));
        }
        Ok(tree)
    }

    fn operand(&mut self) -> Result<Operand, ConditionError> {
        match self.peek().token {
            Token::Text(_) | Token::Number(_) => self.literal().map(Operand::Literal),
            Token::Name(_) | Token::Sign(_) | Token::End => self.field().map(Operand::Field),
        }
    }

    fn field(&mut self) -> Result<Name, ConditionError> {
        let found = self.next();
        match found.token {
            Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                Ok(Name { text: name, span: found.span })
            }
            other => Err(ConditionError::new(
                found.span,
                format!("expected a field or a literal, found {}", other.describe()),
            )),
        }
    }

    fn literal(&mut self) -> Result<Literal, ConditionError> {
        let found = self.next();
        let value = match found.token {
            Token::Text(text) => LiteralValue::Text(text),
            Token::Number(number) => LiteralValue::Number(number),
            Token::Name(name) => {
                return Err(ConditionError::new(
                    found.span,
                    format!("expected a literal, found the name `{name}`"),
                )
                .help(format!("text goes in double quotes: \"{name}\"")));
            }
            other => {
                return Err(ConditionError::new(
                    found.span,
                    format!("expected a literal, found {}", other.describe()),
                ));
            }
        };
        Ok(Literal { value, span: found.span })
    }

    fn items(&mut self) -> Result<Items, ConditionError> {
        if !self.at_name("file") {
            return self.list().map(Items::Written);
        }
        let start = self.next().span.start;
        self.expect_sign("(", "after file")?;
        let name = self.literal()?;
        let end = self.expect_sign(")", "after the name of the file")?.end;
        let LiteralValue::Text(text) = name.value else {
            return Err(ConditionError::new(name.span, "expected the name of a file")
                .help("text goes in double quotes: file(\"x.txt\")"));
        };
        let read = (self.read)(&text).map_err(|problem| problem.at(start..end))?;
        Ok(Items::File(File { name: text, text: read, span: start..end }))
    }

    fn list(&mut self) -> Result<Vec<Literal>, ConditionError> {
        let start = self.expect_sign("[", "to begin the list")?.start;
        let mut list = Vec::new();
        loop {
            if self.take_sign("]") {
                break;
            }
            list.push(self.literal()?);
            if list.len() > MAX_LIST {
                let span = start..self.peek().span.start;
                return Err(ConditionError::new(span, format!("the list has more than {MAX_LIST} values")));
            }
            if !self.take_sign(",") {
                self.expect_sign("]", "or `,` after a value of the list")?;
                break;
            }
        }
        if list.is_empty() {
            let end = self.peek().span.start;
            return Err(ConditionError::new(start..end, "the list is empty").help("no event would meet it"));
        }
        Ok(list)
    }

    fn end(&mut self) -> Result<(), ConditionError> {
        let found = self.next();
        match found.token {
            Token::End => Ok(()),
            Token::Sign(")") => Err(ConditionError::new(found.span, "this parenthesis closes nothing")),
            other => Err(ConditionError::new(
                found.span,
                format!("expected `and`, `or` or the end of the condition, found {}", other.describe()),
            )),
        }
    }
}

fn no_comparison(left: &Operand, found: &Spanned) -> ConditionError {
    if found.token == Token::End {
        return ConditionError::new(left.span(), "expected a comparison after this").help(COMPARED);
    }
    let near = match &found.token {
        Token::Name(word) => nearest(word, KEYWORDS).map(|name| format!("did you mean `{name}`?")),
        _ => None,
    };
    ConditionError::new(
        found.span.clone(),
        format!("expected a comparison, found {}", found.token.describe()),
    )
    .help(COMPARED)
    .maybe_help(near)
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn text_test(word: &str) -> Option<TextTest> {
    [TextTest::StartsWith, TextTest::EndsWith, TextTest::Contains]
        .into_iter()
        .find(|test| test.as_str() == word)
}

fn one_or(mut parts: Vec<Tree>, make: impl FnOnce(Vec<Tree>) -> Tree) -> Tree {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            make(parts)
        }
        (_, None) => make(parts),
    }
}
