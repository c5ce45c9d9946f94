//! Conditions of a sequence's steps: they may compare fields of an event with those of an earlier step's event.
//!
//! What an event can answer alone is asked once, when it arrives, and kept as one bit. What is left are comparisons of
//! values, of which an event keeps those that some step names.

use rust_decimal::Decimal;

use super::error::{ConditionError, nearest};
use super::files::ReadFile;
use super::fold::all;
use super::lower::{lower, unknown_field};
use super::syntax::{self, Name, Operand, Tree};
use super::{Comparison, Condition};
use crate::core::event::{Event, Facts, Field, NumberField, Symbol};
use crate::core::rule::RuleSet;
use crate::core::time::Time;

/// Questions that the steps of one sequence may ask of an event: the bits of one word.
pub const MOST_QUESTIONS: usize = 64;

/// What the steps of one sequence ask of an event and keep of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// One bit each.
    pub questions: Vec<Condition>,
    pub fields: Vec<Field>,
}

/// A step's condition over the bits and values of events.
#[derive(Clone, Debug, PartialEq)]
pub enum StepCondition {
    /// The bit of a question.
    Alone(u8),
    Compare {
        left: Source,
        order: Comparison,
        right: Source,
    },
    Not(Box<StepCondition>),
    All(Box<[StepCondition]>),
    Any(Box<[StepCondition]>),
}

/// Where a value comes from: its place among the fields, of the event itself or of an earlier step's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub step: Option<(u8, End)>,
    pub field: u8,
}

/// Which of the events of a step that repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

/// A field's value, kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    #[default]
    Missing,
    Text(Symbol),
    Number(Decimal),
    Moment(Time),
}

impl Value {
    pub fn of(field: Field, event: &Event<'_>) -> Self {
        match field {
            Field::Text(field) => Self::text(event.text(field)),
            Field::Number(field) => event.number(field).map_or(Self::Missing, Self::Number),
            Field::Time => Self::Moment(event.time),
            Field::ExpiresAt => event.expires_at.map_or(Self::Missing, Self::Moment),
            Field::Type | Field::Fault => Self::Missing,
        }
    }

    /// What is known of the event behind a finding that time alone has made.
    pub fn of_facts(field: Field, facts: &Facts) -> Self {
        match field {
            Field::Text(field) => Self::text(facts.text(field)),
            Field::Number(NumberField::Amount) => facts.amount.map_or(Self::Missing, Self::Number),
            Field::Number(NumberField::Quantity) => facts.quantity.map_or(Self::Missing, Self::Number),
            Field::Time => Self::Moment(facts.time),
            Field::Number(NumberField::Level | NumberField::Score)
            | Field::ExpiresAt
            | Field::Type
            | Field::Fault => Self::Missing,
        }
    }

    fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Missing, |text| Self::Text(Symbol::of(text)))
    }

    /// False where either is missing.
    pub fn compares(self, order: Comparison, other: Self) -> bool {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => order.holds(&left.0, &right.0),
            (Self::Number(left), Self::Number(right)) => order.holds(&left, &right),
            (Self::Moment(left), Self::Moment(right)) => order.holds(&left, &right),
            _ => false,
        }
    }
}

impl StepCondition {
    /// Whether it holds, given the event's bits and whatever a source stands for.
    pub fn holds(&self, bits: u64, value: &impl Fn(Source) -> Value) -> bool {
        match self {
            Self::Alone(bit) => bits >> bit & 1 != 0,
            Self::Compare { left, order, right } => value(*left).compares(*order, value(*right)),
            Self::Not(inner) => !inner.holds(bits, value),
            Self::All(parts) => parts.iter().all(|part| part.holds(bits, value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(bits, value)),
        }
    }

    /// Whether it can hold, whatever the earlier steps' events were.
    pub fn may_hold(&self, bits: u64) -> bool {
        match self {
            Self::Alone(bit) => bits >> bit & 1 != 0,
            Self::Compare { .. } => true,
            Self::Not(inner) => !inner.must_hold(bits),
            Self::All(parts) => parts.iter().all(|part| part.may_hold(bits)),
            Self::Any(parts) => parts.iter().any(|part| part.may_hold(bits)),
        }
    }

    fn must_hold(&self, bits: u64) -> bool {
        match self {
            Self::Alone(bit) => bits >> bit & 1 != 0,
            Self::Compare { .. } => false,
            Self::Not(inner) => !inner.may_hold(bits),
            Self::All(parts) => parts.iter().all(|part| part.must_hold(bits)),
            Self::Any(parts) => parts.iter().any(|part| part.must_hold(bits)),
        }
    }
}

impl Asked {
    /// The bit of a question.
    pub fn question(&mut self, condition: Condition) -> Option<u8> {
        let known = self.questions.iter().position(|known| *known == condition);
        let place = known.unwrap_or_else(|| {
            self.questions.push(condition);
            self.questions.len() - 1
        });
        (place < MOST_QUESTIONS).then_some(place as u8)
    }

    /// The place of a field's value.
    pub fn field(&mut self, field: Field) -> u8 {
        let known = self.fields.iter().position(|known| *known == field);
        let place = known.unwrap_or_else(|| {
            self.fields.push(field);
            self.fields.len() - 1
        });
        place as u8
    }

    /// Reads the condition of a step that comes after the named ones.
    pub fn parse(
        &mut self,
        source: &str,
        extra: &[String],
        read: ReadFile<'_>,
        earlier: &[&str],
    ) -> Result<StepCondition, ConditionError> {
        let tree = syntax::parse(source, read)?;
        let whole = 0..source.len();
        Lowering { asked: self, extra, earlier }.lower(&tree)?.ok_or_else(|| {
            ConditionError::new(whole, format!("the steps ask more than {MOST_QUESTIONS} questions"))
        })
    }
}

struct Lowering<'a> {
    asked: &'a mut Asked,
    extra: &'a [String],
    earlier: &'a [&'a str],
}

impl Lowering<'_> {
    /// [`None`]: there are too many questions.
    fn lower(&mut self, tree: &Tree) -> Result<Option<StepCondition>, ConditionError> {
        if !self.refers(tree) {
            let condition = lower(tree, self.extra).map_err(|error| self.name_step(tree, error))?;
            return Ok(self.asked.question(condition).map(StepCondition::Alone));
        }
        match tree {
            Tree::All(parts) => Ok(self.parts(parts, true)?.map(|parts| StepCondition::All(parts.into()))),
            Tree::Any(parts) => Ok(self.parts(parts, false)?.map(|parts| StepCondition::Any(parts.into()))),
            Tree::Not(inner) => Ok(self.lower(inner)?.map(|inner| StepCondition::Not(Box::new(inner)))),
            Tree::Compare { left: Operand::Field(left), order, right: Operand::Field(right) } => {
                self.compare(left, *order, right).map(Some)
            }
            Tree::Compare { left, right, .. } => {
                Err(only_fields(left.span().start..right.span().end.max(left.span().end)))
            }
            Tree::In { field, .. } | Tree::Test { field, .. } | Tree::Cidr { field, .. } => {
                Err(only_fields(field.span.clone()))
            }
            Tree::Exists(name) => Err(only_fields(name.span.clone())),
        }
    }

    /// What the event answers alone is joined to one question where all parts must hold.
    fn parts(&mut self, parts: &[Tree], joined: bool) -> Result<Option<Vec<StepCondition>>, ConditionError> {
        let mut lowered = Vec::with_capacity(parts.len());
        let mut alone = Vec::new();
        for part in parts {
            if joined && !self.refers(part) {
                alone.push(lower(part, self.extra).map_err(|error| self.name_step(part, error))?);
                continue;
            }
            let Some(part) = self.lower(part)? else { return Ok(None) };
            lowered.push(part);
        }
        if !alone.is_empty() {
            let Some(bit) = self.asked.question(all(alone)) else { return Ok(None) };
            lowered.insert(0, StepCondition::Alone(bit));
        }
        Ok(Some(lowered))
    }

    fn refers(&self, tree: &Tree) -> bool {
        let operand = |operand: &Operand| match operand {
            Operand::Field(name) => self.is_of_step(name),
            Operand::Literal(_) => false,
        };
        match tree {
            Tree::Any(parts) | Tree::All(parts) => parts.iter().any(|part| self.refers(part)),
            Tree::Not(inner) => self.refers(inner),
            Tree::Compare { left, right, .. } => operand(left) || operand(right),
            Tree::In { field, .. } | Tree::Test { field, .. } | Tree::Cidr { field, .. } => {
                self.is_of_step(field)
            }
            Tree::Exists(name) => self.is_of_step(name),
        }
    }

    /// An unknown name may be that of a step, misspelt.
    fn name_step(&self, tree: &Tree, error: ConditionError) -> ConditionError {
        let Tree::Compare { left, right, .. } = tree else { return error };
        let named = [left, right].into_iter().find_map(|operand| match operand {
            Operand::Field(name) if name.span == error.span => name.text.split_once('.'),
            _ => None,
        });
        let meant = named.and_then(|(step, field)| {
            let near = nearest(step, self.earlier.iter().copied())?;
            Some(format!("did you mean `{near}.{field}`?"))
        });
        error.maybe_help(meant)
    }

    fn is_of_step(&self, name: &Name) -> bool {
        name.text.split_once('.').is_some_and(|(step, _)| self.earlier.contains(&step))
    }

    fn compare(
        &mut self,
        left: &Name,
        order: Comparison,
        right: &Name,
    ) -> Result<StepCondition, ConditionError> {
        let ((one, left_source), (other, right_source)) = (self.source(left)?, self.source(right)?);
        let span = left.span.start..right.span.end;
        let is_order = !matches!(order, Comparison::Equal | Comparison::NotEqual);
        let fits = match (one, other) {
            (Field::Text(_), Field::Text(_)) if is_order => {
                let message = "two text fields can only be compared with == and !=";
                return Err(ConditionError::new(span, message));
            }
            (Field::Text(_), Field::Text(_)) | (Field::Number(_), Field::Number(_)) => true,
            (one, other) => is_moment(one) && is_moment(other),
        };
        if !fits {
            let message = format!("`{}` and `{}` can't be compared", left.text, right.text);
            return Err(
                ConditionError::new(span, message).help("expected two texts, two numbers or two times")
            );
        }
        Ok(StepCondition::Compare { left: left_source, order, right: right_source })
    }

    fn source(&mut self, name: &Name) -> Result<(Field, Source), ConditionError> {
        let of_step = name.text.split_once('.').and_then(|(step, rest)| {
            let step = self.earlier.iter().position(|earlier| *earlier == step)?;
            Some((step as u8, rest))
        });
        let (step, field) = match of_step {
            None => (None, name.text.as_str()),
            Some((step, rest)) => {
                let (end, field) = match rest.split_once('.') {
                    Some(("first", field)) => (End::First, field),
                    Some(("last", field)) => (End::Last, field),
                    _ => (End::Last, rest),
                };
                (Some((step, end)), field)
            }
        };
        let Some(known) = RuleSet::field_named(field, self.extra) else {
            let start = name.span.end - field.len().min(name.span.len());
            return Err(unknown_field(field, start..name.span.end, self.extra));
        };
        Ok((known, Source { step, field: self.asked.field(known) }))
    }
}

fn is_moment(field: Field) -> bool {
    matches!(field, Field::Time | Field::ExpiresAt)
}

fn only_fields(span: std::ops::Range<usize>) -> ConditionError {
    ConditionError::new(span, "a field of an earlier step can only be compared with a field")
        .help("what it must be by itself belongs into that step's own condition")
}
