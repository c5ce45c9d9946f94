//! `sequence`: things that happen to one subject one after the other, or that fail to happen.
//!
//! Steps, contiguity and what is skipped after a match follow SASE+ (Agrawal et al., SIGMOD 2008) in the words of Flink
//! CEP. What a subject has shown lately is kept, in the order of event time, and judged anew with each event: so that
//! the order of arrival says nothing.

mod course;
mod matcher;
mod watch;

#[cfg(test)]
mod tests;

pub use course::Entry;
pub use matcher::{Match, Matches};
pub use watch::{Pattern, PatternWatch};

use super::condition::Condition;
use super::condition::steps::{Asked, End, StepCondition};
use crate::core::event::{Field, NumberField, TextField, TextSet, TypeSet};
use crate::core::time::Span;

/// Steps of one sequence.
pub const MOST_STEPS: usize = 16;

/// The settings of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// From the first event to the last, which is earlier than this after it.
    pub within: Span,
    /// What must happen, in this order.
    pub steps: Vec<Step>,
    /// What must not happen after the last step.
    pub after: Vec<Guard>,
    pub skip: Skip,
    pub asked: Asked,
    /// Findings of other rules that are steps.
    pub findings: Vec<Heard>,
    /// Whose amount the rule's compensation is a share of.
    pub paid: Option<Paid>,
}

/// An event of a step, and the places of its amount and currency among the values that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    step: u8,
    end: End,
    amount: u8,
    currency: u8,
}

/// Something that must happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    pub when: StepCondition,
    /// What must not happen between the step before and this one.
    pub guards: Vec<Guard>,
    pub then: Then,
    pub times: Times,
    pub distinct: Vec<Distinct>,
    pub optional: bool,
}

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    pub when: StepCondition,
    /// Only the very next event of the subject counts.
    pub next: bool,
}

/// How a step follows the one before, and its own events each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// With nothing in between.
    Next,
    /// Others may lie in between; the first event that fits is taken.
    FollowedBy,
    /// Others may lie in between, also such as fit.
    FollowedByAny,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub least: u32,
    pub most: Option<u32>,
}

impl Times {
    pub const ONCE: Self = Self { least: 1, most: Some(1) };

    fn has_room_after(self, count: u32) -> bool {
        self.most.is_none_or(|most| count < most)
    }

    fn holds(self, count: usize) -> bool {
        count >= self.least as usize && self.most.is_none_or(|most| count <= most as usize)
    }
}

/// How many values a field must show among the events of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distinct {
    /// Its place among the values that are kept.
    pub field: u8,
    pub values: Times,
}

/// What a match leaves for further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Everything.
    NoSkip,
    /// What does not begin with the same event.
    ToNext,
    /// What begins after its last event.
    PastLastEvent,
}

/// The findings of a rule, or the openings of its tickets, as a question of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub rule: String,
    /// Openings alone count.
    pub opening: bool,
    /// The bit that is set for them.
    pub bit: u8,
}

impl Paid {
    pub const fn of(self) -> (u8, End) {
        (self.step, self.end)
    }
}

impl Sequence {
    /// Whether it matters what lies between the events that fit.
    pub fn is_strict(&self) -> bool {
        let guards = || self.steps.iter().flat_map(|step| &step.guards).chain(&self.after);
        self.steps.iter().any(|step| step.then == Then::Next) || guards().any(|guard| guard.next)
    }

    /// The rule's compensation is a share of the amount of this step's event.
    pub fn pay_for(&mut self, (step, end): (u8, End)) {
        let amount = self.asked.field(Field::Number(NumberField::Amount));
        let currency = self.asked.field(Field::Text(TextField::Currency));
        self.paid = Some(Paid { step, end, amount, currency });
    }

    /// The types of events that some step asks about.
    pub fn types(&self) -> TypeSet {
        if self.is_strict() {
            return TypeSet::ALL;
        }
        self.asked.questions.iter().fold(TypeSet::EMPTY, |types, question| types.or(question.types()))
    }

    pub fn symbols(&self) -> TextSet {
        let kept = self.asked.fields.iter().map(|field| match field {
            Field::Text(field) => TextSet::of(*field).and(TextSet::CUSTOMER),
            _ => TextSet::EMPTY,
        });
        self.asked.questions.iter().map(Condition::symbols).chain(kept).fold(TextSet::EMPTY, TextSet::or)
    }

    fn conditions(&self) -> impl Iterator<Item = &StepCondition> {
        let guards = self.steps.iter().flat_map(|step| &step.guards).chain(&self.after);
        self.steps.iter().map(|step| &step.when).chain(guards.map(|guard| &guard.when))
    }
}
