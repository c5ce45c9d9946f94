//! Two rule sets over the same events: which tickets correspond, which are gained, lost or moved in time, and which
//! customers are told by one of them only.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use crate::core::effect::{EffectKind, IncidentId, Subject, TicketStep};
use crate::core::engine::Observed;
use crate::core::event::Event;
use crate::core::rule::{RuleSet, RuleState, Severity};
use crate::core::time::{Span, Time};
use crate::delivery::notice::{Decision, HoldReason};
use crate::delivery::store::Planned;

use super::coverage::{Coverage, CoverageFigures, told};
use super::play::Onlooker;

/// A ticket's life, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticket {
    pub(super) incident: IncidentId,
    pub(super) rule: CompactString,
    pub(super) subject: Subject,
    pub(super) severity: Severity,
    pub(super) shadow: bool,
    pub(super) since: Time,
    pub(super) opened_at: Time,
    /// When it ended, and how; [`None`] while it is open.
    pub(super) ended: Option<(Time, &'static str)>,
}

impl Ticket {
    /// How it ended, or that it has not.
    pub(super) fn end(&self) -> &'static str {
        self.ended.map_or("open", |(_, how)| how)
    }

    fn until(&self) -> Time {
        self.ended.map_or(Time::MAX, |(at, _)| at)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.since <= other.until() && other.since <= self.until()
    }
}

/// When a customer was told first, and of what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FirstTold {
    pub(super) at: Time,
    pub(super) rule: CompactString,
    pub(super) template: CompactString,
}

/// What one rule set did.
#[derive(Debug, Default)]
struct Seen {
    tickets: BTreeMap<IncidentId, Ticket>,
    /// The customers whom each rule told.
    told: BTreeMap<CompactString, BTreeSet<CompactString>>,
    first_told: BTreeMap<CompactString, FirstTold>,
    held: u64,
    coverage: Coverage,
}

impl Seen {
    fn take(&mut self, planned: &Planned) {
        let effect = &planned.effect;
        if let EffectKind::Ticket { step, snapshot, .. } = &effect.kind {
            let ticket = self.tickets.entry(effect.incident).or_insert_with(|| Ticket {
                incident: effect.incident,
                rule: effect.rule.clone(),
                subject: effect.subject.clone(),
                severity: snapshot.severity,
                shadow: snapshot.shadow,
                since: snapshot.since,
                opened_at: effect.at,
                ended: None,
            });
            ticket.since = ticket.since.min(snapshot.since);
            match step {
                TicketStep::Opened | TicketStep::Updated | TicketStep::Escalated => {}
                TicketStep::Reopened => ticket.ended = None,
                TicketStep::Resolved(reason) => ticket.ended = Some((effect.at, reason.as_str())),
                TicketStep::Withdrawn => ticket.ended = Some((effect.at, "withdrawn")),
                TicketStep::Merged(_) => ticket.ended = Some((effect.at, "merged")),
            }
        }
        // What is not said in the shadow waits for nobody.
        let held = |decision: &Decision| matches!(decision, Decision::Held { reason, .. } if *reason != HoldReason::Shadow);
        self.held += u64::from(planned.decision.as_ref().is_some_and(held));
        self.coverage.planned(planned);
        if let Some(notice) = told(planned) {
            let of_rule = self.told.entry(effect.rule.clone()).or_default();
            of_rule.insert(notice.account_id.clone());
            self.first_told.entry(notice.account_id.clone()).or_insert_with(|| FirstTold {
                at: effect.at,
                rule: effect.rule.clone(),
                template: notice.template.clone(),
            });
        }
    }

    fn by_subject(&self) -> BTreeMap<(&str, &Subject), Vec<&Ticket>> {
        let mut found: BTreeMap<_, Vec<&Ticket>> = BTreeMap::new();
        for ticket in self.tickets.values() {
            found.entry((ticket.rule.as_str(), &ticket.subject)).or_default().push(ticket);
        }
        for tickets in found.values_mut() {
            tickets.sort_by_key(|ticket| (ticket.since, ticket.opened_at));
        }
        found
    }
}

/// Looks on while both rule sets are at work: the rules in question are the first side, what they are compared with the
/// second.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    rules: Seen,
    against: Seen,
}

impl Onlooker for Comparison {
    fn event(&mut self, event: &Event<'_>, observed: Observed) {
        self.rules.coverage.event(event, observed);
        self.against.coverage.event(event, observed);
    }

    fn planned(&mut self, side: usize, planned: &Planned) -> anyhow::Result<()> {
        let seen = if side == 0 { &mut self.rules } else { &mut self.against };
        seen.take(planned);
        Ok(())
    }
}

/// One thing that only one rule set does, or that they do differently.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    TicketGained(Ticket),
    TicketLost(Ticket),
    /// Opened at another time; [`Ticket::opened_at`] is that of the rules in question.
    TicketMoved(Ticket, Time),
    /// It ended in another way.
    TicketEnded(Ticket, &'static str),
    CustomerGained(CompactString, FirstTold),
    CustomerLost(CompactString, FirstTold),
}

impl Change {
    pub(super) fn at(&self) -> Time {
        match self {
            Self::TicketGained(ticket) | Self::TicketLost(ticket) | Self::TicketMoved(ticket, _) => {
                ticket.opened_at
            }
            Self::TicketEnded(ticket, _) => ticket.until(),
            Self::CustomerGained(_, told) | Self::CustomerLost(_, told) => told.at,
        }
    }
}

/// A rule by its figures; each pair is that of the rules in question and that of what they are compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OfRule {
    pub(super) name: String,
    pub(super) tickets: [u64; 2],
    pub(super) gained: u64,
    pub(super) lost: u64,
    /// How much later its tickets open; negative: earlier. Those that open at the same time are not in it.
    pub(super) moved: Vec<Span>,
    pub(super) ended: u64,
    pub(super) told: [u64; 2],
    pub(super) told_more: u64,
    pub(super) told_less: u64,
}

impl OfRule {
    pub(super) fn is_the_same(&self) -> bool {
        self.gained + self.lost + self.ended + self.told_more + self.told_less == 0 && self.moved.is_empty()
    }
}

/// All differences, in the order of time, and the figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Difference {
    pub(super) changes: Vec<Change>,
    pub(super) rules: Vec<OfRule>,
    /// Rules that both sets have and that do not mean the same.
    pub(super) changed: Vec<String>,
    /// Of them those whose state is another one: their name, what it was and what it is.
    pub(super) states: Vec<(String, &'static str, &'static str)>,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    /// Customers told by any rule.
    pub(super) told: [u64; 2],
    pub(super) told_earlier: u64,
    pub(super) told_later: u64,
    pub(super) held: [u64; 2],
    pub(super) coverage: [CoverageFigures; 2],
}

impl Comparison {
    pub(super) fn difference(&self, rules: &RuleSet, against: &RuleSet) -> Difference {
        let mut found = Difference {
            told: [self.rules.first_told.len() as u64, self.against.first_told.len() as u64],
            held: [self.rules.held, self.against.held],
            coverage: [self.rules.coverage.counts(), self.against.coverage.counts()],
            ..Difference::default()
        };
        for rule in &rules.rules {
            match against.find(&rule.name) {
                None => found.added.push(rule.name.clone()),
                Some(other) if other.version != rule.version || other.state != rule.state => {
                    found.changed.push(rule.name.clone());
                    if other.state != rule.state {
                        found.states.push((rule.name.clone(), name_of(other.state), name_of(rule.state)));
                    }
                }
                Some(_) => {}
            }
        }
        let removed = against.rules.iter().filter(|rule| rules.find(&rule.name).is_none());
        found.removed = removed.map(|rule| rule.name.clone()).collect();
        let mut of_rules: BTreeMap<CompactString, OfRule> = BTreeMap::new();
        for rule in rules.rules.iter().chain(&against.rules) {
            let named = || OfRule { name: rule.name.clone(), ..OfRule::default() };
            of_rules.entry(CompactString::from(&rule.name)).or_insert_with(named);
        }
        for (name, of_rule) in &mut of_rules {
            let nobody = BTreeSet::new();
            let one = self.rules.told.get(name).unwrap_or(&nobody);
            let other = self.against.told.get(name).unwrap_or(&nobody);
            of_rule.told = [one.len() as u64, other.len() as u64];
            of_rule.told_more = one.difference(other).count() as u64;
            of_rule.told_less = other.difference(one).count() as u64;
        }
        let hidden = [hidden(rules, against), hidden(against, rules)];
        self.compare_tickets(&hidden, &mut of_rules, &mut found.changes);
        self.compare_customers(&mut found);
        found.changes.sort_by_key(Change::at);
        found.rules = of_rules.into_values().collect();
        found
    }

    /// `hidden`: the rules of each side whose tickets count for nothing.
    fn compare_tickets(
        &self,
        hidden: &[BTreeSet<&str>; 2],
        of_rules: &mut BTreeMap<CompactString, OfRule>,
        changes: &mut Vec<Change>,
    ) {
        let (ours, theirs) = (self.rules.by_subject(), self.against.by_subject());
        let subjects: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for subject in subjects {
            let of_rule = of_rules.entry(CompactString::from(subject.0)).or_default();
            let [one, other] = [(&ours, &hidden[0]), (&theirs, &hidden[1])].map(|(tickets, hidden)| {
                let found = tickets.get(subject).filter(|_| !hidden.contains(subject.0));
                found.map_or(&[][..], Vec::as_slice)
            });
            of_rule.tickets[0] += one.len() as u64;
            of_rule.tickets[1] += other.len() as u64;
            for pair in pairs(one, other) {
                match pair {
                    (Some(ticket), None) => {
                        of_rule.gained += 1;
                        changes.push(Change::TicketGained(ticket.clone()));
                    }
                    (None, Some(ticket)) => {
                        of_rule.lost += 1;
                        changes.push(Change::TicketLost(ticket.clone()));
                    }
                    (Some(ticket), Some(was)) => {
                        if ticket.opened_at != was.opened_at {
                            of_rule.moved.push(ticket.opened_at.since(was.opened_at));
                            changes.push(Change::TicketMoved(ticket.clone(), was.opened_at));
                        }
                        if ticket.end() != was.end() {
                            of_rule.ended += 1;
                            changes.push(Change::TicketEnded(ticket.clone(), was.end()));
                        }
                    }
                    (None, None) => {}
                }
            }
        }
    }

    fn compare_customers(&self, found: &mut Difference) {
        let (ours, theirs) = (&self.rules.first_told, &self.against.first_told);
        for (account, told) in ours {
            match theirs.get(account) {
                None => found.changes.push(Change::CustomerGained(account.clone(), told.clone())),
                Some(was) => {
                    found.told_earlier += u64::from(told.at < was.at);
                    found.told_later += u64::from(told.at > was.at);
                }
            }
        }
        for (account, told) in theirs {
            if !ours.contains_key(account) {
                found.changes.push(Change::CustomerLost(account.clone(), told.clone()));
            }
        }
    }
}

/// The rules that are in the shadow here and not there: nobody sees their tickets here.
fn hidden<'a>(here: &'a RuleSet, there: &RuleSet) -> BTreeSet<&'a str> {
    let shadow = |rules: &RuleSet, name: &str| rules.find(name).map(|rule| rule.state == RuleState::Shadow);
    let names = here.rules.iter().map(|rule| rule.name.as_str());
    names.filter(|name| shadow(here, name) == Some(true) && shadow(there, name) == Some(false)).collect()
}

const fn name_of(state: RuleState) -> &'static str {
    match state {
        RuleState::Active => "active",
        RuleState::Shadow => "shadow",
        RuleState::Paused => "paused",
    }
}

/// Which tickets of one rule and subject correspond: in the order of time, those whose spans overlap, each with one at most.
fn pairs<'a>(one: &[&'a Ticket], other: &[&'a Ticket]) -> Vec<(Option<&'a Ticket>, Option<&'a Ticket>)> {
    let (mut ours, mut theirs) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    let mut found = Vec::new();
    loop {
        match (ours.peek(), theirs.peek()) {
            (Some(ticket), Some(was)) if ticket.overlaps(was) => found.push((ours.next(), theirs.next())),
            (Some(ticket), Some(was)) if ticket.since > was.since => found.push((None, theirs.next())),
            (Some(_), _) => found.push((ours.next(), None)),
            (None, Some(_)) => found.push((None, theirs.next())),
            (None, None) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(since: i64, ended: Option<i64>) -> Ticket {
        Ticket {
            incident: IncidentId(since as u128),
            rule: "failing".into(),
            subject: Subject::default(),
            severity: Severity::High,
            shadow: false,
            since: Time::from_millis(since),
            opened_at: Time::from_millis(since + 5),
            ended: ended.map(|at| (Time::from_millis(at), "quiet")),
        }
    }

    fn paired(one: &[Ticket], other: &[Ticket]) -> Vec<(Option<i64>, Option<i64>)> {
        let (one, other): (Vec<_>, Vec<_>) = (one.iter().collect(), other.iter().collect());
        let since = |ticket: Option<&Ticket>| ticket.map(|ticket| ticket.since.as_millis());
        pairs(&one, &other).into_iter().map(|(one, other)| (since(one), since(other))).collect()
    }

    #[test]
    fn tickets_correspond_when_their_spans_overlap_and_only_once() {
        let one = [ticket(10, Some(20)), ticket(50, Some(60)), ticket(100, None)];
        let other = [ticket(5, Some(8)), ticket(15, Some(55)), ticket(90, Some(101))];
        let expected = [(None, Some(5)), (Some(10), Some(15)), (Some(50), None), (Some(100), Some(90))];
        assert_eq!(paired(&one, &other), expected);
    }

    #[test]
    fn what_only_one_set_has_stays_alone() {
        assert_eq!(paired(&[ticket(1, None)], &[]), [(Some(1), None)]);
        assert_eq!(paired(&[], &[ticket(1, None)]), [(None, Some(1))]);
        assert_eq!(paired(&[ticket(1, Some(2))], &[ticket(3, None)]), [(Some(1), None), (None, Some(3))]);
    }
}
