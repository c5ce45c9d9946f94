//! Conditions: a small filter language, parsed once, type-checked, and lowered to a tree over field slots.
//!
//! Text equality compares [`Symbol`]s, event types and faults are bit sets, so evaluating a condition allocates
//! nothing and hashes nothing.

mod error;
mod files;
mod fold;
mod lex;
mod lower;
pub mod steps;
mod syntax;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

use crate::core::event::{Event, Fault, Field, NumberField, Symbol, TextField, TextSet, TypeSet};
use crate::core::time::Time;

use super::list::Values;

pub use error::{ConditionError, nearest};
pub use files::{FileProblem, ReadFile};
pub use lower::{field_names, unknown_field};

/// The longest condition that is read, in bytes; longer ones are an error.
pub const MAX_SOURCE: usize = 8_192;
/// The deepest nesting of parentheses and `not`; deeper ones are an error.
pub const MAX_DEPTH: usize = 32;
/// The longest list after `in`; longer ones are an error.
pub const MAX_LIST: usize = 1_000;

/// A condition in lowered form. A comparison with a field that the event lacks is false, `!=` and `not in` too.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Always,
    Never,
    TypeIn(TypeSet),
    /// Bit `n` stands for the fault with discriminant `n`.
    FaultIn(u8),
    Exists(Field),
    /// The field's symbol is (or, negated, is present and is not) among these, sorted.
    TextIn {
        field: TextField,
        symbols: Box<[Symbol]>,
        negated: bool,
    },
    /// The field's value is (or, negated, is present and is not) among those of a file.
    Listed {
        field: TextField,
        values: Values,
        negated: bool,
    },
    /// Compares two fields of the same event.
    SameText {
        left: TextField,
        right: TextField,
        negated: bool,
    },
    TextOrder {
        field: TextField,
        order: Comparison,
        literal: Box<str>,
    },
    StartsWith {
        field: TextField,
        literal: Box<str>,
    },
    EndsWith {
        field: TextField,
        literal: Box<str>,
    },
    Contains {
        field: TextField,
        literal: Box<str>,
    },
    Cidr {
        field: TextField,
        network: Network,
    },
    Number {
        field: NumberField,
        order: Comparison,
        literal: Decimal,
    },
    NumberIn {
        field: NumberField,
        literals: Box<[Decimal]>,
        negated: bool,
    },
    /// Compares two fields of the same event.
    Numbers {
        left: NumberField,
        order: Comparison,
        right: NumberField,
    },
    Moment {
        field: MomentField,
        order: Comparison,
        literal: Time,
    },
    /// Compares two fields of the same event.
    Moments {
        left: MomentField,
        order: Comparison,
        right: MomentField,
    },
    Not(Box<Condition>),
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentField {
    Time,
    ExpiresAt,
}

impl MomentField {
    fn of(self, event: &Event<'_>) -> Option<Time> {
        match self {
            Self::Time => Some(event.time),
            Self::ExpiresAt => event.expires_at,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The same comparison with its sides exchanged.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// An IP network, both families as 128 bits (IPv4 mapped into IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub bits: u128,
    pub mask: u128,
}

impl Network {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`; bits beyond the length are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok()?;
        let (bits, length) = match address.parse().ok()? {
            std::net::IpAddr::V4(v4) if length <= 32 => (u128::from(v4.to_ipv6_mapped()), length + 96),
            std::net::IpAddr::V6(v6) if length <= 128 => (u128::from(v6), length),
            _ => return None,
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some(Self { bits: bits & mask, mask })
    }

    pub fn contains(&self, address: &str) -> bool {
        let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
        let bits = match address {
            std::net::IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
            std::net::IpAddr::V6(v6) => u128::from(v6),
        };
        bits & self.mask == self.bits
    }
}

impl Condition {
    /// Reads a condition; `extra` are the fields of the platform's own, and `read` reads the files that it names.
    pub fn parse(source: &str, extra: &[String], read: ReadFile<'_>) -> Result<Self, ConditionError> {
        lower::lower(&syntax::parse(source, read)?, extra)
    }

    /// Whether the condition is true of an event whose symbols were computed for [`Condition::symbols`].
    pub fn holds(&self, event: &Event<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::TypeIn(types) => types.contains(event.event_type),
            Self::FaultIn(faults) => faults & (1 << event.fault as u8) != 0,
            Self::Exists(field) => event.has(*field),
            Self::TextIn { field, symbols, negated } => {
                let symbol = event.symbol(*field);
                symbol != Symbol::MISSING && symbols.contains(&symbol) != *negated
            }
            Self::Listed { field, values, negated } => {
                let symbol = event.symbol(*field);
                symbol != Symbol::MISSING
                    && values.contain(symbol, || event.text(*field)?.parse().ok()) != *negated
            }
            Self::SameText { left, right, negated } => {
                let (left, right) = (event.symbol(*left), event.symbol(*right));
                left != Symbol::MISSING && right != Symbol::MISSING && (left == right) != *negated
            }
            Self::TextOrder { field, order, literal } => {
                event.text(*field).is_some_and(|text| order.holds(&text, &&**literal))
            }
            Self::StartsWith { field, literal } => {
                event.text(*field).is_some_and(|text| text.starts_with(&**literal))
            }
            Self::EndsWith { field, literal } => {
                event.text(*field).is_some_and(|text| text.ends_with(&**literal))
            }
            Self::Contains { field, literal } => {
                event.text(*field).is_some_and(|text| text.contains(&**literal))
            }
            Self::Cidr { field, network } => event.text(*field).is_some_and(|text| network.contains(text)),
            Self::Number { field, order, literal } => {
                event.number(*field).is_some_and(|number| order.holds(&number, literal))
            }
            Self::NumberIn { field, literals, negated } => {
                event.number(*field).is_some_and(|number| literals.contains(&number) != *negated)
            }
            Self::Numbers { left, order, right } => match (event.number(*left), event.number(*right)) {
                (Some(left), Some(right)) => order.holds(&left, &right),
                _ => false,
            },
            Self::Moment { field, order, literal } => {
                field.of(event).is_some_and(|moment| order.holds(&moment, literal))
            }
            Self::Moments { left, order, right } => match (left.of(event), right.of(event)) {
                (Some(left), Some(right)) => order.holds(&left, &right),
                _ => false,
            },
            Self::Not(inner) => !inner.holds(event),
            Self::All(parts) => parts.iter().all(|part| part.holds(event)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(event)),
        }
    }

    /// The event types under which the condition can be true; others need not be offered to it.
    pub fn types(&self) -> TypeSet {
        match self {
            Self::Never => TypeSet::EMPTY,
            Self::TypeIn(types) => *types,
            Self::Not(inner) => match &**inner {
                Self::TypeIn(types) => types.not(),
                _ => TypeSet::ALL,
            },
            Self::All(parts) => parts.iter().fold(TypeSet::ALL, |types, part| types.and(part.types())),
            Self::Any(parts) => parts.iter().fold(TypeSet::EMPTY, |types, part| types.or(part.types())),
            _ => TypeSet::ALL,
        }
    }

    /// The text fields whose symbols [`Condition::holds`] compares, and those of the customer that it looks at in any way:
    /// they are looked up only for who names them.
    pub fn symbols(&self) -> TextSet {
        match self {
            Self::Exists(Field::Text(field))
            | Self::TextOrder { field, .. }
            | Self::StartsWith { field, .. }
            | Self::EndsWith { field, .. }
            | Self::Contains { field, .. }
            | Self::Cidr { field, .. } => TextSet::of(*field).and(TextSet::CUSTOMER),
            Self::TextIn { field, .. } | Self::Listed { field, .. } => TextSet::of(*field),
            Self::SameText { left, right, .. } => TextSet::of(*left).or(TextSet::of(*right)),
            Self::Not(inner) => inner.symbols(),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().fold(TextSet::EMPTY, |fields, part| fields.or(part.symbols()))
            }
            _ => TextSet::EMPTY,
        }
    }

    /// `fault in […]`.
    pub fn faults(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::FaultIn(faults.into_iter().fold(0, |bits, fault| bits | 1 << fault as u8))
    }

    /// `field == "literal"`.
    pub fn text_is(field: TextField, literal: &str) -> Self {
        Self::TextIn { field, symbols: Box::new([Symbol::of(literal)]), negated: false }
    }
}
