//! Looks names up, checks types, and folds a condition's tree into [`Condition`].
//!
//! Comparisons of `type` and `fault` become bit sets and are merged, so that the usual rule asks once what an event is.

use std::ops::Range;

use rust_decimal::Decimal;

use super::error::{ConditionError, nearest};
use super::files::in_file;
use super::fold::{all, any, faults, not, types};
use super::syntax::{Items, Literal, LiteralValue, Name, Operand, TextTest, Tree};
use super::{Comparison, Condition, MomentField, Network};
use crate::core::event::{EventType, Fault, Field, NumberField, Symbol, TextField, Tier, TypeSet};
use crate::core::rule::RuleSet;
use crate::core::time::Time;

/// Names of places on the wire that only `travel` and `new_term` look at.
const PLACE_FIELDS: [&str; 4] = ["geo", "geo.latitude", "geo.longitude", "geo.accuracy_km"];

pub fn lower(tree: &Tree, extra: &[String]) -> Result<Condition, ConditionError> {
    match tree {
        Tree::Any(parts) => Ok(any(lower_parts(parts, extra)?)),
        Tree::All(parts) => Ok(all(lower_parts(parts, extra)?)),
        Tree::Not(inner) => Ok(not(lower(inner, extra)?)),
        Tree::Compare { left, order, right } => compare(left, *order, right, extra),
        Tree::In { field, list: Items::Written(list), negated } => is_among(field, list, *negated, extra),
        Tree::In { field, list: Items::File(file), negated } => in_file(field, file, *negated, extra),
        Tree::Test { field, test, literal } => text_test(field, *test, literal, extra),
        Tree::Exists(name) => Ok(match resolve(name, extra)? {
            Field::Type | Field::Fault | Field::Time => Condition::Always,
            field @ (Field::ExpiresAt | Field::Text(_) | Field::Number(_)) => Condition::Exists(field),
        }),
        Tree::Cidr { field, network } => cidr(field, network, extra),
    }
}

fn lower_parts(parts: &[Tree], extra: &[String]) -> Result<Vec<Condition>, ConditionError> {
    parts.iter().map(|part| lower(part, extra)).collect()
}

/// The names that a condition or a list of fields may use.
pub fn field_names(extra: &[String]) -> impl Iterator<Item = &str> {
    let texts = TextField::ALL.into_iter().filter(|field| !TextField::EXTRA.contains(field));
    let others: [&str; 4] = ["type", "fault", "time", "expires_at"];
    others
        .into_iter()
        .chain(texts.map(|field| -> &str { field.as_str() }))
        .chain(NumberField::ALL.into_iter().map(|field| -> &str { field.as_str() }))
        .chain(extra.iter().map(|name| name.as_str()))
}

/// What to say of a field name that nobody knows.
pub fn unknown_field(name: &str, span: Range<usize>, extra: &[String]) -> ConditionError {
    if PLACE_FIELDS.contains(&name) {
        return ConditionError::new(span, format!("`{name}` can't be compared"))
            .help("places are judged by the kinds travel and new_term; geo.country, geo.region and geo.city are text");
    }
    if let Some(error) = unknown_of_customer(name, &span) {
        return error;
    }
    let near = nearest(name, field_names(extra)).map(str::to_owned).or_else(|| {
        // `country` for `geo.country`, and the like.
        field_names(extra).find(|known| known.split('.').next_back() == Some(name)).map(str::to_owned)
    });
    let help = match (near, name.split_once('.')) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some((step, _))) if step != "geo" => {
            "fields of an earlier step are written `step.field`, and only in a sequence, after that step"
                .to_owned()
        }
        (None, _) => {
            "a field of the platform's own must be declared first: [events] extra = [\"…\"]".to_owned()
        }
    };
    ConditionError::new(span, format!("unknown field `{name}`")).help(help)
}

/// What is personal stays out of rules.
fn unknown_of_customer(name: &str, span: &Range<usize>) -> Option<ConditionError> {
    let of_customer = name.strip_prefix("customer.").or((name == "customer").then_some(""))?;
    let known = TextField::CUSTOMER.map(TextField::as_str);
    let personal = ["name", "email", "phone", "manager", "quiet_hours", "opt_outs"];
    let error = ConditionError::new(span.clone(), format!("unknown field `{name}`"));
    Some(if personal.contains(&of_customer) {
        ConditionError::new(span.clone(), format!("`{name}` is personal, and no rule looks at it"))
            .help(format!("what rules may ask of a customer: {}", joined(known)))
    } else if let Some(near) = nearest(name, known) {
        error.help(format!("did you mean `{near}`?"))
    } else {
        error.help(format!("what rules may ask of a customer: {}", joined(known)))
    })
}

pub fn resolve(name: &Name, extra: &[String]) -> Result<Field, ConditionError> {
    RuleSet::field_named(&name.text, extra).ok_or_else(|| unknown_field(&name.text, name.span.clone(), extra))
}

fn compare(
    left: &Operand,
    order: Comparison,
    right: &Operand,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    match (left, right) {
        (Operand::Field(name), Operand::Literal(literal)) => with_literal(name, order, literal, extra),
        (Operand::Literal(literal), Operand::Field(name)) => {
            with_literal(name, order.flipped(), literal, extra)
        }
        (Operand::Field(one), Operand::Field(other)) => fields(one, order, other, extra),
        (Operand::Literal(one), Operand::Literal(other)) => {
            Err(ConditionError::new(one.span.start..other.span.end, "this compares two literals")
                .help("expected a field on one side"))
        }
    }
}

fn fields(
    one: &Name,
    order: Comparison,
    other: &Name,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    let left = resolve(one, extra)?;
    let right = resolve(other, extra).map_err(|error| {
        // `kind == topup`: most likely a text without its quotes.
        let quoted = format!("text goes in double quotes: \"{}\"", other.text);
        let near = error.help.filter(|help| help.starts_with("did you mean"));
        let help = near.map_or(quoted.clone(), |near| format!("{quoted}; {near}"));
        ConditionError { help: Some(help), ..ConditionError::new(error.span, error.message) }
    })?;
    let span = one.span.start..other.span.end;
    match (left, right) {
        (Field::Text(left), Field::Text(right)) => {
            let negated = match order {
                Comparison::Equal => false,
                Comparison::NotEqual => true,
                Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual => {
                    return Err(ConditionError::new(
                        span,
                        "two text fields can only be compared with == and !=",
                    ));
                }
            };
            Ok(Condition::SameText { left, right, negated })
        }
        (Field::Number(left), Field::Number(right)) => Ok(Condition::Numbers { left, order, right }),
        (Field::Time | Field::ExpiresAt, Field::Time | Field::ExpiresAt) => {
            Ok(Condition::Moments { left: moment_field(left), order, right: moment_field(right) })
        }
        (left, right) => Err(ConditionError::new(
            span,
            format!("`{}` is {} and `{}` is {}", one.text, type_of(left), other.text, type_of(right)),
        )
        .help("expected two fields of the same type")),
    }
}

fn with_literal(
    name: &Name,
    order: Comparison,
    literal: &Literal,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    match resolve(name, extra)? {
        Field::Type => Ok(types(TypeSet::of(event_type(literal)?), is_negated(name, "type", order)?)),
        Field::Fault => Ok(faults(1 << fault(literal)? as u8, is_negated(name, "fault", order)?)),
        Field::Text(TextField::CustomerTier) => {
            let symbols = Box::new([Symbol::of(tier(literal)?)]);
            let negated = is_negated(name, "customer.tier", order)?;
            Ok(Condition::TextIn { field: TextField::CustomerTier, symbols, negated })
        }
        Field::Text(field) => {
            let text = text(name, literal)?;
            Ok(match order {
                Comparison::Equal | Comparison::NotEqual => Condition::TextIn {
                    field,
                    symbols: Box::new([Symbol::of(text)]),
                    negated: order == Comparison::NotEqual,
                },
                Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual => Condition::TextOrder { field, order, literal: text.into() },
            })
        }
        Field::Number(field) => Ok(Condition::Number { field, order, literal: number(name, literal)? }),
        field @ (Field::Time | Field::ExpiresAt) => {
            Ok(Condition::Moment { field: moment_field(field), order, literal: moment(name, literal)? })
        }
    }
}

/// `field in […]`.
pub fn is_among(
    name: &Name,
    list: &[Literal],
    negated: bool,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    match resolve(name, extra)? {
        Field::Type => {
            let mut set = TypeSet::EMPTY;
            for literal in list {
                set = set.or(TypeSet::of(event_type(literal)?));
            }
            Ok(types(set, negated))
        }
        Field::Fault => {
            let mut bits = 0;
            for literal in list {
                bits |= 1 << fault(literal)? as u8;
            }
            Ok(faults(bits, negated))
        }
        Field::Text(field) => {
            let mut symbols = Vec::with_capacity(list.len());
            for literal in list {
                symbols.push(Symbol::of(match field {
                    TextField::CustomerTier => tier(literal)?,
                    _ => text(name, literal)?,
                }));
            }
            symbols.sort_unstable();
            symbols.dedup();
            Ok(Condition::TextIn { field, symbols: symbols.into(), negated })
        }
        Field::Number(field) => {
            let mut literals = Vec::with_capacity(list.len());
            for literal in list {
                literals.push(number(name, literal)?);
            }
            literals.sort_unstable();
            literals.dedup();
            Ok(Condition::NumberIn { field, literals: literals.into(), negated })
        }
        Field::Time | Field::ExpiresAt => Err(ConditionError::new(
            name.span.clone(),
            format!("`{}` is a time, which is not in a list", name.text),
        )
        .help("expected == != < <= > >=")),
    }
}

fn text_test(
    name: &Name,
    test: TextTest,
    literal: &Literal,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    let field = resolve(name, extra)?;
    let LiteralValue::Text(written) = &literal.value else {
        return Err(ConditionError::new(
            literal.span.clone(),
            format!("expected text after `{}`", test.as_str()),
        )
        .help("text goes in double quotes"));
    };
    match field {
        Field::Text(field) => {
            let literal = written.as_str().into();
            Ok(match test {
                TextTest::StartsWith => Condition::StartsWith { field, literal },
                TextTest::EndsWith => Condition::EndsWith { field, literal },
                TextTest::Contains => Condition::Contains { field, literal },
            })
        }
        Field::Type => {
            let set = EventType::ALL
                .into_iter()
                .filter(|event_type| test.holds(event_type.as_str(), written))
                .fold(TypeSet::EMPTY, |set, event_type| set.or(TypeSet::of(event_type)));
            if set.is_empty() {
                return Err(ConditionError::new(
                    literal.span.clone(),
                    format!("no event type {} \"{written}\"", test.as_str().replace('_', " ")),
                )
                .help(format!("event types: {}", joined(EventType::ALL.map(EventType::as_str)))));
            }
            Ok(types(set, false))
        }
        Field::Fault | Field::Time | Field::ExpiresAt | Field::Number(_) => Err(ConditionError::new(
            name.span.clone(),
            format!("`{}` is for text, and `{}` is {}", test.as_str(), name.text, type_of(field)),
        )),
    }
}

fn cidr(name: &Name, literal: &Literal, extra: &[String]) -> Result<Condition, ConditionError> {
    let Field::Text(field) = resolve(name, extra)? else {
        return Err(ConditionError::new(
            name.span.clone(),
            "expected a text field that holds an address, such as `ip`",
        ));
    };
    let network = match &literal.value {
        LiteralValue::Text(text) => Network::parse(text),
        LiteralValue::Number(_) => None,
    };
    match network {
        Some(network) => Ok(Condition::Cidr { field, network }),
        None => Err(ConditionError::new(literal.span.clone(), "this is not a network")
            .help("expected an address, a slash and a length, such as \"10.0.0.0/8\" or \"2001:db8::/32\"")),
    }
}

fn event_type(literal: &Literal) -> Result<EventType, ConditionError> {
    word(literal, "event type", EventType::parse, EventType::ALL.map(EventType::as_str))
}

fn fault(literal: &Literal) -> Result<Fault, ConditionError> {
    word(literal, "fault", Fault::parse, Fault::ALL.map(Fault::as_str))
}

fn tier(literal: &Literal) -> Result<&'static str, ConditionError> {
    word(literal, "tier", Tier::parse, Tier::ALL.map(Tier::as_str)).map(Tier::as_str)
}

/// One of the words that a field knows.
fn word<T, const N: usize>(
    literal: &Literal,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
    known: [&'static str; N],
) -> Result<T, ConditionError> {
    let written = match &literal.value {
        LiteralValue::Text(text) => text.clone(),
        LiteralValue::Number(number) => number.to_string(),
    };
    parse(&written).ok_or_else(|| {
        let help = match nearest(&written, known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("{what}s: {}", joined(known)),
        };
        ConditionError::new(literal.span.clone(), format!("unknown {what} \"{written}\"")).help(help)
    })
}

fn text<'a>(name: &Name, literal: &'a Literal) -> Result<&'a str, ConditionError> {
    match &literal.value {
        LiteralValue::Text(text) => Ok(text),
        LiteralValue::Number(number) => Err(ConditionError::new(
            literal.span.clone(),
            format!("`{}` is text, and {number} is a number", name.text),
        )
        .help(format!("text goes in double quotes: \"{number}\""))),
    }
}

/// Amounts may be written as numbers or as text, since on the wire they are text as often as not.
fn number(name: &Name, literal: &Literal) -> Result<Decimal, ConditionError> {
    match &literal.value {
        LiteralValue::Number(number) => Ok(*number),
        LiteralValue::Text(text) => text.parse::<Decimal>().map(|number| number.normalize()).map_err(|_| {
            ConditionError::new(
                literal.span.clone(),
                format!("`{}` is a number, and \"{text}\" is not", name.text),
            )
            .help("expected a decimal such as 500 or \"49.90\"")
        }),
    }
}

fn moment(name: &Name, literal: &Literal) -> Result<Time, ConditionError> {
    let parsed = match &literal.value {
        LiteralValue::Text(text) => text.parse::<jiff::Timestamp>().ok(),
        LiteralValue::Number(_) => None,
    };
    parsed.map(|timestamp| Time::from_millis(timestamp.as_millisecond())).ok_or_else(|| {
        ConditionError::new(literal.span.clone(), format!("`{}` is a time, and this is not", name.text))
            .help("expected RFC 3339, such as \"2026-10-01T08:00:00Z\"")
    })
}

fn moment_field(field: Field) -> MomentField {
    if field == Field::ExpiresAt { MomentField::ExpiresAt } else { MomentField::Time }
}

/// Types and faults know equality only.
fn is_negated(name: &Name, what: &str, order: Comparison) -> Result<bool, ConditionError> {
    match order {
        Comparison::Equal => Ok(false),
        Comparison::NotEqual => Ok(true),
        Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => {
            Err(ConditionError::new(name.span.clone(), format!("`{what}` has no order"))
                .help("expected == != in or not in"))
        }
    }
}

const fn type_of(field: Field) -> &'static str {
    match field {
        Field::Type => "an event type",
        Field::Fault => "a fault",
        Field::Time | Field::ExpiresAt => "a time",
        Field::Text(_) => "text",
        Field::Number(_) => "a number",
    }
}

fn joined<const N: usize>(names: [&str; N]) -> String {
    names.join(", ")
}
