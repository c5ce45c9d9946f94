//! The closing figures: computed from what was planted and what was seen (tickets in the store, mails in the mailbox),
//! never from what the daemon says of itself.

use std::collections::BTreeMap;

use crate::core::effect::Stage;
use crate::core::time::{Span, Time};
use crate::delivery::notice::NoticeId;
use crate::delivery::store::TicketRow;
use crate::sim::score::{Claim, Notice, Score, Ticket, problem_of as place_of, score};
use crate::sim::truth::{Problem, ProblemKind, Truth};

use super::mailbox::Letter;

/// What the audience is told at the end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Closing {
    /// Problems that had lasted long enough to be known, or were found before.
    pub(super) planted: u32,
    /// Problems that had begun only just before the end.
    pub(super) fresh: u32,
    pub(super) found: u32,
    pub(super) tickets: usize,
    pub(super) false_tickets: usize,
    pub(super) touched: u32,
    pub(super) told: u32,
    pub(super) complaints: u32,
    pub(super) told_before: u32,
    pub(super) lead: Option<Span>,
    pub(super) notices: u32,
    pub(super) false_notices: u32,
}

/// How long a problem of this kind must have lasted before anybody can know of it.
const fn knowable_after(kind: ProblemKind) -> Span {
    match kind {
        ProblemKind::ChannelOutage | ProblemKind::ChannelRegionOutage => Span::from_mins(8),
        ProblemKind::SilentChannel => Span::from_mins(18),
        ProblemKind::SupplierStall | ProblemKind::SupplierDelay | ProblemKind::PaidNotDelivered => {
            Span::from_mins(35)
        }
        ProblemKind::BadCardBatch => Span::from_mins(90),
        ProblemKind::RepeatedTopupFailures | ProblemKind::CredentialStuffing | ProblemKind::PasswordSpray => {
            Span::from_mins(8)
        }
        ProblemKind::AccountTakeover => Span::from_mins(30),
        ProblemKind::DoubleDelivery | ProblemKind::LatePayment | ProblemKind::ForeignLogin => {
            Span::from_mins(2)
        }
        // Nobody has to find it.
        ProblemKind::Hiccup => Span::from_mins(24 * 60),
    }
}

fn has_begun(problem: &Problem, end: Time) -> bool {
    problem.affected.iter().any(|touched| touched.since <= end)
}

/// What had happened by the end.
fn until(truth: &Truth, end: Time) -> Truth {
    let mut truth = truth.clone();
    truth.problems.retain(|problem| has_begun(problem, end));
    for problem in &mut truth.problems {
        problem.affected.retain(|touched| touched.since <= end);
        problem.complaints.retain(|complaint| complaint.at <= end);
    }
    truth
}

/// Whether nobody could know of it by the end: nobody has met it for long enough.
fn is_fresh(problem: &Problem, end: Time) -> bool {
    let first = problem.affected.iter().map(|touched| touched.since).min();
    first.is_none_or(|first| first + knowable_after(problem.kind) > end)
}

/// The account that a letter went to, by the customers' addresses.
pub(super) fn account_of<'a>(letter: &Letter, accounts: &'a BTreeMap<String, String>) -> Option<&'a str> {
    accounts.get(letter.to.trim_matches(['<', '>'])).map(String::as_str)
}

/// The incident and the stage that a letter is about: its identity is made of them.
pub(super) fn incident_of<'a>(
    letter: &Letter,
    account: &str,
    tickets: &'a [TicketRow],
) -> Option<(&'a TicketRow, Stage)> {
    let id = letter.message_id.split('@').next().unwrap_or_default();
    tickets.iter().find_map(|ticket| {
        [Stage::Opened, Stage::Recovered, Stage::Corrected]
            .into_iter()
            .find(|stage| NoticeId::of(ticket.id, account, *stage).to_string() == id)
            .map(|stage| (ticket, stage))
    })
}

fn claimed(ticket: &TicketRow) -> Ticket {
    let subject = ticket.subject.0.iter();
    Ticket {
        incident: ticket.id.to_string(),
        rule: ticket.rule.to_string(),
        subject: subject.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        at: ticket.opened_at,
        since: ticket.since,
        reopened: false,
    }
}

/// The planted problem that a ticket belongs to.
pub(super) fn problem_of<'t>(truth: &'t Truth, ticket: &TicketRow) -> Option<&'t Problem> {
    truth.problems.get(place_of(truth, &claimed(ticket))?)
}

/// Tickets and letters as claims that can be scored. A letter counts from its arrival in the mailbox, not before.
pub(super) fn claims(
    tickets: &[TicketRow],
    letters: &[Letter],
    accounts: &BTreeMap<String, String>,
) -> Vec<Claim> {
    let mut claims: Vec<Claim> = tickets.iter().map(|ticket| Claim::Ticket(claimed(ticket))).collect();
    for letter in letters {
        let Some(account) = account_of(letter, accounts) else { continue };
        if let Some((ticket, stage)) = incident_of(letter, account, tickets)
            && stage != Stage::Corrected
        {
            claims.push(Claim::Notice(Notice {
                incident: ticket.id.to_string(),
                rule: ticket.rule.to_string(),
                account_id: account.to_owned(),
                at: letter.at,
            }));
        }
    }
    claims
}

/// The closing figures at the platform's time `end`.
pub(super) fn closing(truth: &Truth, claims: &[Claim], end: Time) -> Closing {
    let so_far = until(truth, end);
    let Score { all, leads, missed, .. } = score(&so_far, claims);
    let missed = missed.iter().filter_map(|place| so_far.problems.get(*place));
    let fresh = missed.filter(|problem| is_fresh(problem, end)).count() as u32;
    // What was said of a problem is true even of those who met it after the end.
    let Score { notices, false_notices, false_tickets, .. } = score(truth, claims);
    Closing {
        planted: all.planted - fresh,
        fresh,
        found: all.ticketed,
        tickets: claims.iter().filter(|claim| matches!(claim, Claim::Ticket(_))).count(),
        false_tickets: false_tickets.len(),
        touched: all.touched,
        told: all.told,
        complaints: all.complaints,
        told_before: all.told_before,
        lead: leads.get(leads.len() / 2).copied(),
        notices,
        false_notices: false_notices.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use compact_str::CompactString;

    use super::*;
    use crate::core::effect::{IncidentId, Subject};
    use crate::sim::truth::{Complaint, Problem, Touched};

    fn at(minute: i64) -> Time {
        Time::from_millis(minute * 60_000)
    }

    fn problem(kind: ProblemKind, from: i64, subject: &[(&str, &str)], touched: &[(&str, i64)]) -> Problem {
        Problem {
            id: String::new(),
            kind,
            subject: subject.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            from: at(from),
            to: at(from + 30),
            strength: 1.0,
            affected: touched
                .iter()
                .map(|(account, since)| Touched {
                    account_id: (*account).to_owned(),
                    since: at(*since),
                    until: None,
                    order_ids: vec![],
                })
                .collect(),
            complaints: touched
                .iter()
                .map(|(account, since)| Complaint {
                    account_id: (*account).to_owned(),
                    order_id: None,
                    at: at(since + 20),
                })
                .collect(),
        }
    }

    fn truth() -> Truth {
        let outage = problem(
            ProblemKind::ChannelRegionOutage,
            0,
            &[("channel", "alipay"), ("region", "hubei")],
            &[("a1", 1), ("a2", 2), ("a3", 25)],
        );
        let fresh = problem(ProblemKind::SilentChannel, 28, &[("channel", "card")], &[("a9", 28)]);
        Truth {
            seed: 0,
            from: at(0),
            to: at(60),
            accounts: 10,
            events: 0,
            duplicates: 0,
            junk: 0,
            problems: vec![outage, fresh],
            look_alikes: vec![],
            complaints_without_cause: vec![],
        }
    }

    fn row(id: u128, subject: &[(&str, &str)], since: i64) -> TicketRow {
        let subject =
            subject.iter().map(|(name, value)| (CompactString::new(name), CompactString::new(value)));
        TicketRow {
            id: IncidentId(id),
            rule: CompactString::new("rule"),
            rule_version: 0x1a2b,
            shadow: false,
            subject: Subject(subject.collect()),
            state: "open".to_owned(),
            reason: None,
            severity: String::new(),
            summary: String::new(),
            category: String::new(),
            department: String::new(),
            sla: String::new(),
            since: at(since),
            started_at: at(since),
            opened_at: at(since),
            ended_at: None,
            merged_into: None,
            revision: 1,
            value: 0.0,
            limit: 0.0,
            samples: 0,
            approximate: false,
            affected: 0,
            told: 0,
            facts: None,
        }
    }

    fn letter(incident: u128, account: &str, minute: i64) -> Letter {
        Letter {
            at: at(minute),
            to: format!("<{account}@mail.example>"),
            message_id: NoticeId::of(IncidentId(incident), account, Stage::Opened)
                .message_id("platform.example"),
            subject: String::new(),
            from: String::new(),
            text: String::new(),
        }
    }

    #[test]
    fn closing_figures_are_those_counted_by_hand() {
        let accounts: BTreeMap<String, String> =
            (1..10).map(|n| (format!("a{n}@mail.example"), format!("a{n}"))).collect();
        let tickets =
            [row(1, &[("channel", "alipay"), ("region", "hubei")], 5), row(2, &[("account_id", "a7")], 6)];
        let mut letters =
            vec![letter(1, "a1", 5), letter(1, "a2", 24), letter(1, "a3", 26), letter(1, "a8", 26)];
        // Staff's mail is nobody's notice.
        letters.push(Letter { to: "<payments@platform.example>".to_owned(), ..letter(1, "a1", 5) });
        let claims = claims(&tickets, &letters, &accounts);
        assert_eq!(claims.len(), 6);
        // At minute 30 the silence of minute 28 cannot be known, and a3 has not complained yet.
        let expected = Closing {
            planted: 1,
            fresh: 1,
            found: 1,
            tickets: 2,
            false_tickets: 1,
            // With the one who met the silence.
            touched: 4,
            told: 3,
            complaints: 2,
            // a1 was told at 5 and complained at 21; a2 was told at 24 and had complained at 22.
            told_before: 1,
            lead: Some(Span::from_mins(16)),
            notices: 4,
            false_notices: 1,
        };
        assert_eq!(closing(&truth(), &claims, at(30)), expected);
    }
}
