//! How well a set of tickets and notices meets the truth of a world.
//!
//! What counts, strictly:
//!
//! - A ticket **names** a problem if its subject has the problem's fields with the problem's values and no others (an
//!   order's ticket may name its account as well), it belongs to a moment (`since`) from the problem's start to five
//!   minutes after its end, and it opens, or reopens, no later than ten minutes after the end. Only that makes a
//!   problem *ticketed*: a ticket for the channel is not one for its outage in a single region, nor the other way round.
//! - A ticket **belongs** to a problem if it names it, or if it lies in the same time and is about a part of it: a wider
//!   or narrower slice of the same channel or supplier, or an account or order that the problem touched by then. For an
//!   account or order that time lasts until it is over for them: an order that a supplier has left lying is late because of
//!   that, and its ticket is one more of that cause, though the supplier works again. Each ticket that opens counts,
//!   whether it is merged or withdrawn later.
//! - A ticket is **false** if it belongs to no problem. Reopening one for nothing is as bad as opening one.
//! - The first notice of an incident to an account is **true** if the incident's ticket belongs to a problem that had
//!   touched this account by then, and that was over for it for no more than ten minutes. A later notice of the same incident
//!   (that it is solved, say) is true if the problem touched the account. Held notices tell nobody anything.
//! - A true notice is **needless** if all that had touched the account was a hiccup: payments that failed for a minute or two,
//!   of which nobody would have complained. A ticket for a hiccup is needless in the same way and not false; that a hiccup
//!   has no ticket is no fault.
//! - A complainer is **told before** if a true notice about the very problem that they complain of came before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::time::{Span, Time};

use super::truth::{Problem, ProblemKind, Touched, Truth, parse_time};

/// A ticket may belong to a moment this long after the end of its problem: windows lag behind.
const SINCE_AFTER_END: Span = Span::from_mins(5);
/// After this long nobody is helped by a ticket, or by being told.
const TOLD_AFTER_END: Span = Span::from_mins(10);

/// What a detector said.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    Ticket(Ticket),
    /// A ticket has joined another one.
    Merged {
        incident: String,
    },
    Notice(Notice),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    pub incident: String,
    pub rule: String,
    pub subject: BTreeMap<String, String>,
    pub at: Time,
    pub since: Time,
    pub reopened: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub incident: String,
    pub rule: String,
    pub account_id: String,
    pub at: Time,
}

impl Claim {
    /// Reads a line of `replay --format json`; [`None`] for those that claim nothing.
    pub fn of_line(line: &serde_json::Value) -> Option<Self> {
        let text = |field: &str| line.get(field).and_then(serde_json::Value::as_str);
        let time = |field: &str| text(field).and_then(parse_time);
        let incident = text("incident")?.to_owned();
        let rule = text("rule").unwrap_or_default().to_owned();
        match text("effect")? {
            // Nobody sees what a rule finds in the shadow.
            "ticket.opened" | "ticket.reopened" if line.get("shadow").is_some() => None,
            step @ ("ticket.opened" | "ticket.reopened") => {
                let subject = line.get("subject")?.as_object()?;
                let subject = subject
                    .iter()
                    .map(|(name, value)| {
                        (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    })
                    .collect();
                let at = time("at")?;
                let since = time("since").unwrap_or(at);
                let reopened = step == "ticket.reopened";
                Some(Self::Ticket(Ticket { incident, rule, subject, at, since, reopened }))
            }
            "ticket.updated" if line.get("merged_into").is_some() => Some(Self::Merged { incident }),
            "notice.sent" => {
                let account_id = text("account_id")?.to_owned();
                Some(Self::Notice(Notice { incident, rule, account_id, at: time("at")? }))
            }
            _ => None,
        }
    }
}

/// The figures of one kind of problem, or of all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub planted: u32,
    pub ticketed: u32,
    /// Problems with any ticket at all, and the tickets that belong to them.
    pub with_tickets: u32,
    pub tickets: u32,
    pub complaints: u32,
    pub told_before: u32,
    pub touched: u32,
    pub told: u32,
}

/// How well the claims meet the truth.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub all: Figures,
    pub kinds: BTreeMap<ProblemKind, Figures>,
    pub merged: u32,
    pub false_tickets: Vec<Ticket>,
    pub notices: u32,
    pub true_notices: u32,
    /// True ones about nothing but a hiccup.
    pub needless_notices: u32,
    /// Hiccups that got a ticket.
    pub needless_tickets: u32,
    pub false_notices: Vec<Notice>,
    /// Problems that no ticket names, by their place in the truth.
    pub missed: Vec<usize>,
    /// Complaints that no notice came before, as problem and place among its complaints.
    pub untold: Vec<(usize, usize)>,
    /// From the first true notice to the complaint, of those who were told before, sorted.
    pub leads: Vec<Span>,
    pub leads_of_kinds: BTreeMap<ProblemKind, Vec<Span>>,
}

impl Score {
    pub fn lead_median(&self) -> Option<Span> {
        median(&self.leads)
    }

    pub fn lead_median_of(&self, kind: ProblemKind) -> Option<Span> {
        median(self.leads_of_kinds.get(&kind)?)
    }
}

fn median(sorted: &[Span]) -> Option<Span> {
    sorted.get(sorted.len() / 2).copied()
}

/// Why and how a ticket is a problem's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    Part,
    Names,
}

/// The truth in a form that answers quickly.
struct Known<'t> {
    truth: &'t Truth,
    touched: Vec<BTreeMap<&'t str, &'t Touched>>,
    /// Whose order it is.
    orders: Vec<BTreeMap<&'t str, &'t str>>,
}

impl<'t> Known<'t> {
    fn new(truth: &'t Truth) -> Self {
        let touched = |problem: &'t Problem| {
            problem.affected.iter().map(|touched| (touched.account_id.as_str(), touched)).collect()
        };
        let orders = |problem: &'t Problem| {
            let of = |touched: &'t Touched| {
                touched.order_ids.iter().map(|order| (order.as_str(), touched.account_id.as_str()))
            };
            problem.affected.iter().flat_map(of).collect()
        };
        Self {
            truth,
            touched: truth.problems.iter().map(touched).collect(),
            orders: truth.problems.iter().map(orders).collect(),
        }
    }

    /// When the account met the problem.
    fn met(&self, problem: usize, account: &str) -> Option<Time> {
        self.touched.get(problem)?.get(account).map(|touched| touched.since)
    }

    /// When the problem was over for an account.
    fn over(&self, problem: usize, account: &str) -> Time {
        let touched = self.touched.get(problem).and_then(|touched| touched.get(account));
        let end = self.truth.problems.get(problem).map_or(Time::MIN, |problem| problem.to);
        touched.and_then(|touched| touched.until).map_or(end, |until| until.max(end))
    }

    fn is_hiccup(&self, problem: usize) -> bool {
        self.truth.problems.get(problem).is_some_and(|problem| problem.kind == ProblemKind::Hiccup)
    }

    fn owner(&self, problem: usize, order: &str) -> Option<&'t str> {
        self.orders.get(problem)?.get(order).copied()
    }

    /// The problem that a ticket belongs to, named ones first.
    fn problem_of(&self, ticket: &Ticket) -> Option<(Bond, usize)> {
        let bonds = self.truth.problems.iter().enumerate().filter_map(|(index, problem)| {
            Some((self.bond(index, problem, ticket)?, std::cmp::Reverse(index)))
        });
        bonds.max().map(|(bond, std::cmp::Reverse(index))| (bond, index))
    }

    fn bond(&self, index: usize, problem: &Problem, ticket: &Ticket) -> Option<Bond> {
        let field = |name: &str| ticket.subject.get(name).map(String::as_str);
        let order = field("order_id");
        let account = order.and_then(|order| self.owner(index, order)).or_else(|| field("account_id"));
        let end = account.map_or(problem.to, |account| self.over(index, account));
        let in_time = ticket.since >= problem.from
            && ticket.since <= end + SINCE_AFTER_END
            && ticket.at <= end + TOLD_AFTER_END;
        if !in_time {
            return None;
        }
        let account_fits = |account: &str| self.met(index, account).is_some_and(|met| met <= ticket.at);
        if let Some(order) = order {
            let owner = self.owner(index, order)?;
            let fits = field("account_id").is_none_or(|account| account == owner && account_fits(account));
            let named = problem.subject.get("order_id").is_some_and(|named| named == order);
            return fits.then_some(if named { Bond::Names } else { Bond::Part });
        }
        if ticket.subject == problem.subject {
            return field("account_id").is_none_or(account_fits).then_some(Bond::Names);
        }
        if let Some(account) = field("account_id") {
            return account_fits(account).then_some(Bond::Part);
        }
        // Slices: they share at least one field, and agree wherever they share one.
        let mut shared = 0;
        for (name, value) in &problem.subject {
            match field(name) {
                Some(of_ticket) if of_ticket != value => return None,
                Some(_) => shared += 1,
                None => {}
            }
        }
        (shared > 0).then_some(Bond::Part)
    }
}

/// The place in the truth of the problem that a ticket belongs to; [`None`]: to none.
pub fn problem_of(truth: &Truth, ticket: &Ticket) -> Option<usize> {
    Known::new(truth).problem_of(ticket).map(|(_, problem)| problem)
}

/// Compares what was claimed with the truth.
pub fn score(truth: &Truth, claims: &[Claim]) -> Score {
    let known = Known::new(truth);
    let mut scoring = Scoring {
        known: &known,
        score: Score::default(),
        problem_of: BTreeMap::new(),
        named: BTreeSet::new(),
        tickets: BTreeMap::new(),
        told: BTreeMap::new(),
        seen: BTreeSet::new(),
    };
    for claim in claims {
        match claim {
            Claim::Ticket(ticket) => scoring.ticket(ticket),
            Claim::Merged { .. } => scoring.score.merged += 1,
            Claim::Notice(notice) => scoring.notice(notice),
        }
    }
    scoring.finish()
}

struct Scoring<'k, 't> {
    known: &'k Known<'t>,
    score: Score,
    /// Problems that each incident's tickets belong to.
    problem_of: BTreeMap<&'k str, BTreeSet<usize>>,
    named: BTreeSet<usize>,
    tickets: BTreeMap<usize, u32>,
    /// First true notice by problem and account.
    told: BTreeMap<(usize, &'k str), Time>,
    seen: BTreeSet<(&'k str, &'k str)>,
}

impl<'k> Scoring<'k, '_> {
    fn ticket(&mut self, ticket: &'k Ticket) {
        let Some((bond, problem)) = self.known.problem_of(ticket) else {
            self.score.false_tickets.push(ticket.clone());
            return;
        };
        self.problem_of.entry(&ticket.incident).or_default().insert(problem);
        if bond == Bond::Names {
            self.named.insert(problem);
        }
        if !ticket.reopened {
            *self.tickets.entry(problem).or_default() += 1;
        }
    }

    fn notice(&mut self, notice: &'k Notice) {
        self.score.notices += 1;
        let first = self.seen.insert((&notice.incident, &notice.account_id));
        let problems = self.problem_of.get(notice.incident.as_str());
        let (mut is_true, mut is_needless) = (false, true);
        for problem in problems.into_iter().flatten() {
            let Some(met) = self.known.met(*problem, &notice.account_id) else { continue };
            let end = self.known.over(*problem, &notice.account_id);
            let in_time = met <= notice.at && notice.at <= end + TOLD_AFTER_END;
            if first && !in_time {
                continue;
            }
            is_true = true;
            is_needless &= self.known.is_hiccup(*problem);
            if first {
                self.told.entry((*problem, &notice.account_id)).or_insert(notice.at);
            }
        }
        if is_true {
            self.score.true_notices += 1;
            self.score.needless_notices += u32::from(is_needless);
        } else {
            self.score.false_notices.push(notice.clone());
        }
    }

    fn finish(mut self) -> Score {
        for (index, problem) in self.known.truth.problems.iter().enumerate() {
            let tickets = self.tickets.get(&index).copied().unwrap_or(0);
            let mut figures = Figures {
                planted: 1,
                ticketed: u32::from(self.named.contains(&index)),
                with_tickets: u32::from(tickets > 0),
                tickets,
                complaints: problem.complaints.len() as u32,
                touched: problem.affected.len() as u32,
                ..Figures::default()
            };
            if figures.ticketed == 0 && problem.kind != ProblemKind::Hiccup {
                self.score.missed.push(index);
            }
            for (place, complaint) in problem.complaints.iter().enumerate() {
                match self.told.get(&(index, complaint.account_id.as_str())) {
                    Some(told) if *told < complaint.at => {
                        figures.told_before += 1;
                        let lead = complaint.at.since(*told);
                        self.score.leads.push(lead);
                        self.score.leads_of_kinds.entry(problem.kind).or_default().push(lead);
                    }
                    _ => self.score.untold.push((index, place)),
                }
            }
            figures.told = problem
                .affected
                .iter()
                .filter(|touched| self.told.contains_key(&(index, touched.account_id.as_str())))
                .count() as u32;
            if problem.kind == ProblemKind::Hiccup {
                self.score.needless_tickets += u32::from(figures.tickets > 0);
            } else {
                self.score.all.add(&figures);
            }
            self.score.kinds.entry(problem.kind).or_default().add(&figures);
        }
        self.score.leads.sort_unstable();
        self.score.leads_of_kinds.values_mut().for_each(|leads| leads.sort_unstable());
        self.score
    }
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.planted += other.planted;
        self.ticketed += other.ticketed;
        self.with_tickets += other.with_tickets;
        self.tickets += other.tickets;
        self.complaints += other.complaints;
        self.told_before += other.told_before;
        self.touched += other.touched;
        self.told += other.told;
    }

    pub fn tickets_per_cause(&self) -> f64 {
        share(self.tickets, self.with_tickets)
    }
}

/// `part` of `whole`; nothing of nothing is 0.
pub fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

#[cfg(test)]
mod tests;
