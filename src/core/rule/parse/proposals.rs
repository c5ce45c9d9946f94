//! `compensation` and `action`: what a rule proposes, for how much of what, and how often.

use std::ops::Range;

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::super::condition::{nearest, steps::End, unknown_field};
use super::super::proposal::{
    Action, ActionScope, Base, Compensation, Money, Undecided, Worth, minor_digits,
};
use super::super::{Detect, RuleSet};
use super::examples::Expected;
use super::fields::{Fields, Reading};
use super::yaml::Node;
use crate::core::effect::ProposalState;
use crate::core::event::{Field, NumberField};

const WORTH: &str = "a share such as 5% of amount, or an amount such as \"10.00 CNY\"";
const MONEY: &str = "an amount and its currency such as \"50.00 CNY\"";
/// Ten times what was paid. More is a slip of the finger.
const MOST_PERCENT: Decimal = Decimal::from_parts(1_000, 0, 0, false, 0);

/// The event of a sequence's step, by the place of the step.
type OfStep = (u8, End);

/// Reads `{ propose: 5% of start.amount, cap: "50.00 CNY" }`, and whose amount it is where that is a step's.
pub fn compensation(
    node: &Node,
    detect: Option<&Detect>,
    reading: &mut Reading<'_>,
) -> Option<(Compensation, Option<OfStep>)> {
    let mut fields = Fields::of(node, "`compensation`", reading)?;
    let worth = fields.need("propose").and_then(|node| worth(node, detect, reading));
    let cap_node = fields.take("cap");
    let cap = cap_node.map(|node| money(node, MONEY, reading));
    if let (Some(_), Some((Worth::Fixed(_), _))) = (cap_node, &worth) {
        reading.report(&fields.key_span("cap"), "`cap` says nothing beside an amount that is fixed");
    }
    fields.finish(reading);
    let (worth, of_step) = worth?;
    let cap = match cap {
        None => None,
        Some(cap) => Some(cap?),
    };
    Some((Compensation { worth, cap }, of_step))
}

/// Reads `{ propose: reissue_key, for: affected }`.
pub fn action(node: &Node, reading: &mut Reading<'_>) -> Option<Action> {
    let mut fields = Fields::of(node, "`action`", reading)?;
    let name = fields.need("propose").and_then(|node| reading.name(node, "an action such as reissue_key"));
    let scopes = [("affected", ActionScope::Affected), ("subject", ActionScope::Subject)];
    let scope = fields.take("for").map_or(Some(ActionScope::Affected), |node| reading.choice(node, &scopes));
    fields.finish(reading);
    Some(Action { name: CompactString::from(name?), scope: scope? })
}

fn worth(node: &Node, detect: Option<&Detect>, reading: &mut Reading<'_>) -> Option<(Worth, Option<OfStep>)> {
    let text = reading.text(node, WORTH)?;
    let Some((percent, rest)) = text.split_once('%') else {
        return money(node, WORTH, reading).map(|money| (Worth::Fixed(money), None));
    };
    let percent_span = reading.within(node, text, &(0..percent.len() + 1));
    let Some(share) = percent.trim().parse::<Decimal>().ok() else {
        reading.expected(WORTH, node);
        return None;
    };
    if share <= Decimal::ZERO || share > MOST_PERCENT {
        let message = format!("expected a share above 0% and up to {MOST_PERCENT}%, found {share}%");
        reading.report(&percent_span, message);
        return None;
    }
    let Some(named) = rest.trim_start().strip_prefix("of ").map(str::trim).filter(|named| !named.is_empty())
    else {
        let help = format!("for instance {share}% of amount");
        reading.report_help(&node.span, format!("a share of what? expected {WORTH}"), help);
        return None;
    };
    let start = text.len() - text.trim_end().len();
    let end = text.len() - start;
    let span = reading.within(node, text, &(end - named.len()..end));
    let (of, of_step) = base(named, &span, detect, reading)?;
    Some((Worth::Share { share: (share / Decimal::ONE_HUNDRED).normalize(), of }, of_step))
}

/// `amount`, `start.amount` of a deadline, `order.amount` of a sequence's step.
fn base(
    named: &str,
    span: &Range<usize>,
    detect: Option<&Detect>,
    reading: &mut Reading<'_>,
) -> Option<(Base, Option<OfStep>)> {
    let (owner, field) = match named.rsplit_once('.') {
        Some((owner, field)) => (Some(owner), field),
        None => (None, named),
    };
    let known = RuleSet::field_named(named, reading.extra).or(RuleSet::field_named(field, reading.extra));
    match known {
        Some(Field::Number(NumberField::Amount)) => {}
        Some(_) => {
            let message = format!("`{named}` is not an amount of money");
            reading.report_help(
                span,
                message,
                "expected `amount`, of the event, a step or a deadline's start",
            );
            return None;
        }
        None => {
            let error = unknown_field(field, span.clone(), reading.extra);
            reading.push(span, error.message, error.help);
            return None;
        }
    }
    let Some(owner) = owner else { return Some((Base::Event, None)) };
    match detect {
        Some(Detect::Deadline(_)) if owner == "start" => Some((Base::Event, None)),
        Some(Detect::Sequence(sequence)) => {
            let (step, end) = match owner.split_once('.') {
                Some((step, "first")) => (step, End::First),
                Some((step, "last")) => (step, End::Last),
                _ => (owner, End::Last),
            };
            if let Some(place) = sequence.steps.iter().position(|known| known.name == step) {
                return Some((Base::Step, Some((place as u8, end))));
            }
            let names = sequence.steps.iter().map(|step| step.name.as_str());
            let near = nearest(step, names).map(|near| format!("did you mean `{near}.amount`?"));
            reading.push(span, format!("no step that must happen is named `{step}`"), near);
            None
        }
        // What is wrong with the kind itself was said already.
        None => None,
        Some(other) => {
            let message = format!("a rule of the kind {} has no `{owner}`", other.kind());
            let help = match other {
                Detect::Deadline(_) => "did you mean `start.amount`?",
                _ => "expected `amount`: that of the event behind the finding",
            };
            reading.report_help(span, message, help);
            None
        }
    }
}

/// `50.00 CNY`.
fn money(node: &Node, expected: &str, reading: &mut Reading<'_>) -> Option<Money> {
    let text = reading.text(node, expected)?;
    let read = text.trim().split_once(' ').and_then(|(amount, currency)| {
        let currency = currency.trim();
        let is_name = (3..=12).contains(&currency.len()) && currency.bytes().all(|c| c.is_ascii_alphabetic());
        let amount = amount.parse::<Decimal>().ok().filter(|amount| *amount > Decimal::ZERO)?;
        is_name.then(|| Money { amount, currency: CompactString::from(currency) })
    });
    let Some(money) = read else {
        reading.expected(expected, node);
        return None;
    };
    let digits = minor_digits(&money.currency);
    if money.amount.normalize().scale() > digits {
        let message = format!("{money} has more digits than {} has: at most {digits}", money.currency);
        reading.report(&node.span, message);
        return None;
    }
    let mut amount = money.amount;
    amount.rescale(digits);
    Some(Money { amount, ..money })
}

/// How much is expected to be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// In whatever currency where none is given.
    Amount(Decimal, Option<String>),
    Undecided(Undecided),
}

/// Reads `compensation: "2.50 CNY"`, or `proposed` or `withdrawn` with or without an `amount` beside it.
pub fn expected_compensation(
    node: &Node,
    amount: Option<&Node>,
    reading: &mut Reading<'_>,
) -> Option<Expected> {
    const EXPECTED: &str = "proposed, withdrawn, or an amount such as \"2.50 CNY\"";
    let state = state(reading.text(node, EXPECTED)?);
    match (state, amount) {
        (Some(state), None) => Some(Expected::Compensation(state, None)),
        (Some(state), Some(amount)) => {
            let offered = offered(amount, "an amount such as \"2.50 CNY\"", reading)?;
            Some(Expected::Compensation(state, Some(offered)))
        }
        (None, None) => {
            Some(Expected::Compensation(ProposalState::Proposed, Some(offered(node, EXPECTED, reading)?)))
        }
        (None, Some(amount)) => {
            reading.report(&amount.span, "the amount is given twice");
            None
        }
    }
}

/// Reads `action: reissue_key`, or `proposed` or `withdrawn`.
pub fn expected_action(node: &Node, reading: &mut Reading<'_>) -> Option<Expected> {
    let name = reading.name(node, "the name of an action, proposed or withdrawn")?;
    Some(match state(&name) {
        Some(state) => Expected::Action(state, None),
        None => Expected::Action(ProposalState::Proposed, Some(name)),
    })
}

fn state(word: &str) -> Option<ProposalState> {
    match word {
        "proposed" => Some(ProposalState::Proposed),
        "withdrawn" => Some(ProposalState::Withdrawn),
        _ => None,
    }
}

fn offered(node: &Node, expected: &str, reading: &mut Reading<'_>) -> Option<Offered> {
    let text = reading.text(node, expected)?;
    if let Some(undecided) = Undecided::ALL.into_iter().find(|undecided| undecided.as_str() == text) {
        return Some(Offered::Undecided(undecided));
    }
    if let Ok(amount) = text.parse::<Decimal>() {
        return Some(Offered::Amount(amount, None));
    }
    let Money { amount, currency } = money(node, expected, reading)?;
    Some(Offered::Amount(amount, Some(currency.to_string())))
}
