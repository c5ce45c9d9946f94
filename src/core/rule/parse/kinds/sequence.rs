//! `sequence`: its steps, what must not happen between them, and what they say of each other.

use crate::core::event::Field;
use crate::core::rule::RuleSet;
use crate::core::rule::condition::Condition;
use crate::core::rule::condition::steps::{Asked, MOST_QUESTIONS, StepCondition};
use crate::core::rule::sequence::{Distinct, Guard, Heard, MOST_STEPS, Sequence, Skip, Step, Then, Times};

use super::super::fields::{Fields, Reading};
use super::super::yaml::{Node, Value};

const STEPS: &str = "a list of steps such as - { name: login, when: 'type == \"login.succeeded\"' }";
const TIMES: &str = "a number such as 3, or a range such as 2..4 or 1..";
/// A step or a field is to show at most so many.
const MOST_TIMES: u32 = 64;

pub fn sequence(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<Sequence> {
    fields.what = "a sequence";
    let within = fields.need("within").and_then(|node| reading.length(node));
    let steps = fields.need("steps").and_then(|node| steps(node, reading));
    let skip = fields.take("skip").map_or(Some(Skip::PastLastEvent), |node| skip(node, reading));
    fields.finish(reading);
    let Steps { steps, after, asked, findings } = steps?;
    Some(Sequence { within: within?, steps, after, skip: skip?, asked, findings, paid: None })
}

fn skip(node: &Node, reading: &mut Reading<'_>) -> Option<Skip> {
    if let Value::Scalar { text, .. } = &node.value
        && (text.starts_with("to_first") || text.starts_with("to_last"))
    {
        reading.report_help(
            &node.span,
            format!("`{text}` is not supported yet"),
            "expected no_skip, to_next or past_last_event",
        );
        return None;
    }
    let choices =
        [("no_skip", Skip::NoSkip), ("to_next", Skip::ToNext), ("past_last_event", Skip::PastLastEvent)];
    reading.choice(node, &choices)
}

#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
    after: Vec<Guard>,
    asked: Asked,
    findings: Vec<Heard>,
}

fn steps(node: &Node, reading: &mut Reading<'_>) -> Option<Steps> {
    let Value::List(items) = &node.value else {
        reading.expected(STEPS, node);
        return None;
    };
    if items.len() > MOST_STEPS {
        reading.report(
            &node.span,
            format!("{} steps are too many; at most {MOST_STEPS} can be given", items.len()),
        );
        return None;
    }
    let mut all = Steps::default();
    let mut names: Vec<String> = Vec::new();
    let mut whole = true;
    for item in items {
        whole &= all.read(item, &mut names, reading).is_some();
    }
    if !whole {
        return None;
    }
    let (first, last) = (all.steps.first(), all.steps.last());
    let (Some(first), Some(last)) = (first, last) else {
        reading.report(&node.span, "a sequence has at least one step that is not `not: true`");
        return None;
    };
    if !first.guards.is_empty() {
        reading.report_help(
            &node.span,
            "a sequence can't begin with a step that must not happen",
            "nothing says since when; put what begins it first",
        );
        return None;
    }
    if let Some(step) = [first, last].into_iter().find(|step| step.optional) {
        let message = format!("the first and the last step must happen, and `{}` is optional", step.name);
        reading.report_help(&node.span, message, "leave the step out instead");
        return None;
    }
    Some(all)
}

impl Steps {
    fn read(&mut self, node: &Node, names: &mut Vec<String>, reading: &mut Reading<'_>) -> Option<()> {
        let mut fields = Fields::of(node, "a step", reading)?;
        let name = fields.need("name").and_then(|node| name(node, names, reading));
        let not = fields.take("not").map_or(Some(false), |node| reading.flag(node));
        let optional = fields.take("optional").map_or(Some(false), |node| reading.flag(node));
        let then = fields.take("then").map_or(Some(Then::FollowedBy), |node| {
            let choices = [
                ("next", Then::Next),
                ("followed_by", Then::FollowedBy),
                ("followed_by_any", Then::FollowedByAny),
            ];
            reading.choice(node, &choices)
        });
        let times = fields.take("times").map_or(Some(Times::ONCE), |node| times(node, reading));
        let distinct = fields.take("distinct").map_or(Some(Vec::new()), |node| self.distinct(node, reading));
        let when = match (fields.take("when"), fields.take("finding"), fields.take("opening")) {
            (Some(node), None, None) => self.when(node, reading),
            (None, Some(node), None) => self.heard(node, false, reading),
            (None, None, Some(node)) => self.heard(node, true, reading),
            (None, None, None) => {
                fields.missing(&["when", "finding", "opening"], reading);
                None
            }
            (when, ..) => {
                let name = if when.is_some() && fields.has("finding") { "finding" } else { "opening" };
                let message = "a step has one of `when`, `finding` and `opening`";
                reading.report(&fields.key_span(name), message);
                None
            }
        };
        fields.not_yet(&["greedy", "until"], reading);
        if not == Some(true) {
            let said = ["times", "distinct", "optional"].into_iter().find(|name| fields.has(name));
            if let Some(name) = said {
                let message = format!("`{name}` says nothing of what must not happen");
                reading.report(&fields.key_span(name), message);
                return None;
            }
        }
        fields.finish(reading);
        let (name, when, then) = (name?, when?, then?);
        if not? {
            if then == Then::FollowedByAny {
                reading.report(&node.span, "what must not happen is `then: followed_by` or `then: next`");
                return None;
            }
            self.after.push(Guard { when, next: then == Then::Next });
            return Some(());
        }
        names.push(name.clone());
        self.steps.push(Step {
            name,
            when,
            guards: std::mem::take(&mut self.after),
            then,
            times: times?,
            distinct: distinct?,
            optional: optional?,
        });
        Some(())
    }

    fn when(&mut self, node: &Node, reading: &mut Reading<'_>) -> Option<StepCondition> {
        let earlier: Vec<&str> = self.steps.iter().map(|step| step.name.as_str()).collect();
        reading.parsed_condition(node, |text, extra, read| self.asked.parse(text, extra, read, &earlier))
    }

    /// A bit that no event sets by itself.
    fn heard(&mut self, node: &Node, opening: bool, reading: &mut Reading<'_>) -> Option<StepCondition> {
        let rule = reading.name(node, "the name of a rule")?;
        let is_known = |heard: &&Heard| heard.rule == rule && heard.opening == opening;
        let known = self.findings.iter().find(is_known).map(|heard| heard.bit);
        let bit = known.or_else(|| {
            let bit = self.asked.questions.len();
            self.asked.questions.push(Condition::Never);
            (bit < MOST_QUESTIONS).then_some(bit as u8)
        });
        let Some(bit) = bit else {
            reading.report(&node.span, format!("the steps ask more than {MOST_QUESTIONS} questions"));
            return None;
        };
        if known.is_none() {
            self.findings.push(Heard { rule, opening, bit });
        }
        Some(StepCondition::Alone(bit))
    }

    /// `{ channel: 2.. }`.
    fn distinct(&mut self, node: &Node, reading: &mut Reading<'_>) -> Option<Vec<Distinct>> {
        let Value::Map(entries) = &node.value else {
            reading.expected("a field and how many values it shows, such as { channel: 2.. }", node);
            return None;
        };
        let mut distinct = Vec::new();
        for entry in entries {
            let Some(Field::Text(field)) = RuleSet::field_named(&entry.key, reading.extra) else {
                reading.report(
                    &entry.key_span,
                    format!("expected a field that holds text, found `{}`", entry.key),
                );
                return None;
            };
            let values = times(&entry.value, reading)?;
            distinct.push(Distinct { field: self.asked.field(Field::Text(field)), values });
        }
        Some(distinct)
    }
}

/// A name that conditions can use: no field's, and no other step's.
fn name(node: &Node, names: &[String], reading: &mut Reading<'_>) -> Option<String> {
    let name = reading.name(node, "the name of a step")?;
    let is_field = name == "geo" || RuleSet::field_named(&name, reading.extra).is_some();
    if is_field || name.contains('.') {
        let message = format!("`{name}` can't name a step");
        reading.report_help(&node.span, message, "expected a name without dots that no field has");
        return None;
    }
    if names.contains(&name) {
        reading.report(&node.span, format!("another step is named `{name}` too"));
        return None;
    }
    Some(name)
}

/// `3`, `2..4`, `1..`.
fn times(node: &Node, reading: &mut Reading<'_>) -> Option<Times> {
    let text = reading.text(node, TIMES)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=MOST_TIMES).contains(number));
    let times = match text.split_once("..") {
        None => number(text).map(|exactly| Times { least: exactly, most: Some(exactly) }),
        Some((least, "")) => number(least).map(|least| Times { least, most: None }),
        Some((least, most)) => match (number(least), number(most)) {
            (Some(least), Some(most)) if least <= most => Some(Times { least, most: Some(most) }),
            _ => None,
        },
    };
    if times.is_none() {
        reading.report_help(
            &node.span,
            format!("expected {TIMES}, found `{text}`"),
            format!("numbers from 1 to {MOST_TIMES}, the smaller one first"),
        );
    }
    times
}
