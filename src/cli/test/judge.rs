//! What was expected beside what happened: every expectation needs a happening of its own, and no effect may be left over.

use crate::core::effect::Proposed;
use crate::core::rule::RuleSet;
use crate::core::rule::parse::RuleTest;
use crate::core::rule::parse::examples::{Expectation, Expected, When};
use crate::core::rule::parse::proposals::Offered;
use crate::core::rule::proposal::Money;
use crate::core::time::Time;

use super::course::{Course, Happened, Told, What};
use crate::cli::timeline::{ago, shown_subject};

/// Which happening answers which expectation, and what is wrong.
pub(super) struct Judgement {
    /// For each expectation the place of its happening.
    pub(super) met: Vec<Option<usize>>,
    /// For each unmet expectation, in the same places, what came closest.
    pub(super) nearest: Vec<Option<String>>,
    /// Effects that nobody expected.
    pub(super) surplus: Vec<usize>,
}

impl Judgement {
    pub(super) fn passed(&self) -> bool {
        self.surplus.is_empty() && self.met.iter().all(Option::is_some)
    }
}

pub(super) fn judge(test: &RuleTest, course: &Course) -> Judgement {
    let fits: Vec<Vec<usize>> = test
        .expect
        .iter()
        .map(|expected| {
            let all = course.happened.iter().enumerate();
            all.filter(|(_, happened)| {
                differences(expected, happened, course).is_some_and(|list| list.is_empty())
            })
            .map(|(place, _)| place)
            .collect()
        })
        .collect();
    let mut owner: Vec<Option<usize>> = vec![None; course.happened.len()];
    for index in 0..fits.len() {
        let mut tried = vec![false; course.happened.len()];
        assign(index, &fits, &mut owner, &mut tried);
    }
    let mut met = vec![None; test.expect.len()];
    for (place, index) in owner.iter().enumerate() {
        if let Some(index) = index
            && let Some(slot) = met.get_mut(*index)
        {
            *slot = Some(place);
        }
    }
    let free = |place: &usize| owner.get(*place).is_some_and(Option::is_none);
    let surplus: Vec<usize> = (0..course.happened.len())
        .filter(free)
        .filter(|place| course.happened.get(*place).is_some_and(Happened::is_effect))
        .collect();
    let nearest = test
        .expect
        .iter()
        .zip(&met)
        .map(|(expected, met)| if met.is_some() { None } else { closest(expected, course, &free) })
        .collect();
    Judgement { met, nearest, surplus }
}

/// Gives an expectation a happening, moving others to their second choice where that is needed.
fn assign(index: usize, fits: &[Vec<usize>], owner: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for place in fits.get(index).into_iter().flatten() {
        let Some(seen) = tried.get_mut(*place) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        let holder = owner.get(*place).copied().flatten();
        if holder.is_none_or(|holder| assign(holder, fits, owner, tried)) {
            if let Some(slot) = owner.get_mut(*place) {
                *slot = Some(index);
            }
            return true;
        }
    }
    false
}

/// The happening of the same kind that misses the expectation by least, and by what.
fn closest(expected: &Expectation, course: &Course, free: &dyn Fn(&usize) -> bool) -> Option<String> {
    let all = course.happened.iter().enumerate().filter(|(place, _)| free(place));
    all.filter_map(|(_, happened)| differences(expected, happened, course))
        .min_by_key(Vec::len)
        .map(|differences| differences.join(", "))
}

impl Happened {
    fn is_effect(&self) -> bool {
        match self.what {
            What::Ticket(..) | What::Notice(..) | What::Held(..) | What::Proposal(..) => true,
            What::Event { .. } | What::TimePassed | What::Finding(_) => false,
        }
    }
}

/// In what a happening differs from the expectation; [`None`] if it is something else altogether.
fn differences(expected: &Expectation, happened: &Happened, course: &Course) -> Option<Vec<String>> {
    let mut list = Vec::new();
    let told: &Told = match (&expected.what, &happened.what) {
        (Expected::Finding, What::Finding(told)) => told,
        (Expected::Ticket(word), What::Ticket(told, found)) if word == found => told,
        (Expected::Notice(template), What::Notice(told, found)) if template == found => told,
        (Expected::Notice(template), What::Held(told, found, reason)) if template == found => {
            list.push(format!("it was held: {reason}"));
            told
        }
        (Expected::Compensation(state, offered), What::Proposal(told, proposal)) => {
            let Proposed::Compensation(found) = &proposal.what else { return None };
            if *state != proposal.state {
                return None;
            }
            let fits = match (offered, found) {
                (None, _) => true,
                (Some(Offered::Undecided(wanted)), Err(found)) => wanted == found,
                (Some(Offered::Amount(amount, currency)), Ok(money)) => {
                    let is = |wanted: &String| wanted.eq_ignore_ascii_case(&money.currency);
                    *amount == money.amount && currency.as_ref().is_none_or(is)
                }
                (Some(_), _) => false,
            };
            if !fits {
                let found =
                    found.as_ref().map_or_else(|undecided| undecided.as_str().into(), Money::to_string);
                list.push(format!("it was {found}"));
            }
            told
        }
        (Expected::Action(state, name), What::Proposal(told, proposal)) => {
            let Proposed::Action(found) = &proposal.what else { return None };
            if *state != proposal.state || name.as_ref().is_some_and(|name| name != found) {
                return None;
            }
            told
        }
        _ => return None,
    };
    if happened.history {
        list.push("it happened in the history".to_owned());
    }
    if let Some(wanted) = expected.rule.as_deref().filter(|wanted| *wanted != told.rule) {
        list.push(format!("it was the rule {}, not {wanted}", told.rule));
    }
    let moment = |when: Option<When>| when.map(|when| course.moment(when));
    if let Some(at) = moment(expected.at).filter(|at| *at != happened.at) {
        list.push(off("at", happened.at, at, course));
    }
    if let Some(by) = moment(expected.by).filter(|by| *by < happened.at) {
        list.push(off("at", happened.at, by, course));
    }
    if let (Some(since), Some(found)) = (moment(expected.since), told.since)
        && since != found
    {
        list.push(off("since", found, since, course));
    }
    if let Some(account) = expected.account_id.as_deref()
        && told.account_id.as_deref() != Some(account)
    {
        list.push(format!("it was the account {}", told.account_id.as_deref().unwrap_or("of nobody")));
    }
    let differs = |(field, value): &(crate::core::event::TextField, String)| {
        told.subject.get(field.as_str()) != Some(value)
    };
    if expected.subject.iter().any(differs) {
        list.push(format!("it was about {}", shown_subject(&told.subject)));
    }
    Some(list)
}

fn off(what: &str, found: Time, wanted: Time, course: &Course) -> String {
    format!("{what} {}, not {}", ago(found, course.start), ago(wanted, course.start))
}

/// The names of rules that a test loads, the tested one first.
pub(super) fn loaded<'a>(rule: Option<&'a str>, test: &'a RuleTest) -> impl Iterator<Item = &'a str> {
    let others = test.with.iter().map(|(name, _)| name.as_str());
    rule.into_iter().chain(others.filter(move |name| Some(*name) != rule))
}

/// The rules by these names.
pub(super) fn pick(all: &RuleSet, names: impl Iterator<Item = String>) -> Vec<crate::core::rule::Rule> {
    names.filter_map(|name| all.find(&name).cloned()).collect()
}
