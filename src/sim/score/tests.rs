//! The figures of a tiny world, computed by hand.

use std::collections::BTreeMap;

use super::*;
use crate::sim::truth::{Complaint, Touched};

fn at(minute: i64) -> Time {
    Time::from_millis(minute * 60_000)
}

fn subject(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn ticket(incident: &str, fields: &[(&str, &str)], since: i64) -> Claim {
    Claim::Ticket(Ticket {
        incident: incident.to_owned(),
        rule: "rule".to_owned(),
        subject: subject(fields),
        at: at(since),
        since: at(since),
        reopened: false,
    })
}

fn notice(incident: &str, account: &str, minute: i64) -> Claim {
    Claim::Notice(Notice {
        incident: incident.to_owned(),
        rule: "rule".to_owned(),
        account_id: account.to_owned(),
        at: at(minute),
    })
}

fn problem(
    kind: ProblemKind,
    fields: &[(&str, &str)],
    (from, to): (i64, i64),
    touched: &[(&str, i64)],
    complaints: &[(&str, i64)],
) -> Problem {
    Problem {
        id: "p".to_owned(),
        kind,
        subject: subject(fields),
        from: at(from),
        to: at(to),
        strength: 1.0,
        affected: touched
            .iter()
            .map(|(account, since)| Touched {
                account_id: (*account).to_owned(),
                since: at(*since),
                until: None,
                order_ids: vec![format!("o-{account}")],
            })
            .collect(),
        complaints: complaints
            .iter()
            .map(|(account, minute)| Complaint {
                account_id: (*account).to_owned(),
                order_id: None,
                at: at(*minute),
            })
            .collect(),
    }
}

/// An outage of alipay in hubei from minute 10 to 40 that touches a1, a2 and a3; a lost order of a7; an intruder at a9.
fn world() -> Truth {
    Truth {
        seed: 0,
        from: at(0),
        to: at(1_000),
        accounts: 10,
        events: 0,
        duplicates: 0,
        junk: 0,
        problems: vec![
            problem(
                ProblemKind::ChannelRegionOutage,
                &[("channel", "alipay"), ("region", "hubei")],
                (10, 40),
                &[("a1", 11), ("a2", 12), ("a3", 30)],
                &[("a1", 14), ("a2", 50), ("a3", 60)],
            ),
            problem(
                ProblemKind::PaidNotDelivered,
                &[("order_id", "o-a7")],
                (100, 400),
                &[("a7", 100)],
                &[("a7", 170)],
            ),
            problem(ProblemKind::ForeignLogin, &[("account_id", "a9")], (200, 440), &[("a9", 200)], &[]),
        ],
        look_alikes: vec![],
        complaints_without_cause: vec![],
    }
}

#[test]
fn a_hand_made_world_gives_the_figures_computed_by_hand() {
    let claims = [
        // The outage: its ticket, a second one for the whole channel, and one for an account that it touched.
        ticket("i1", &[("channel", "alipay"), ("region", "hubei")], 15),
        ticket("i2", &[("channel", "alipay")], 20),
        ticket("i3", &[("account_id", "a2")], 16),
        // a1 complained at minute 14 already; a2 is told in time; a4 was never touched.
        notice("i1", "a1", 15),
        notice("i1", "a2", 15),
        notice("i1", "a4", 16),
        notice("i1", "a3", 31),
        // The lost order is found, its customer told before the complaint.
        ticket("i4", &[("order_id", "o-a7")], 130),
        notice("i4", "a7", 131),
        // Nobody finds the intruder; these three are false: another account, another region, long after the end.
        ticket("i5", &[("account_id", "a5")], 201),
        ticket("i6", &[("channel", "alipay"), ("region", "hunan")], 20),
        ticket("i7", &[("channel", "alipay"), ("region", "hubei")], 60),
        notice("i7", "a1", 61),
    ];
    let score = score(&world(), &claims);
    let expected = Figures {
        planted: 3,
        ticketed: 2,
        with_tickets: 2,
        tickets: 4,
        complaints: 4,
        told_before: 3,
        touched: 5,
        told: 4,
    };
    assert_eq!(score.all, expected);
    assert_eq!(score.all.tickets_per_cause(), 2.0);
    assert_eq!((score.notices, score.true_notices), (6, 4));
    let accounts: Vec<&str> = score.false_notices.iter().map(|notice| notice.account_id.as_str()).collect();
    assert_eq!(accounts, ["a4", "a1"]);
    let incidents: Vec<&str> = score.false_tickets.iter().map(|ticket| ticket.incident.as_str()).collect();
    assert_eq!(incidents, ["i5", "i6", "i7"]);
    assert_eq!(score.missed, [2]);
    assert_eq!(score.untold, [(0, 0)]);
    // Leads: a2 35 minutes, a3 29, a7 39.
    assert_eq!(score.lead_median(), Some(Span::from_mins(35)));
    assert_eq!(score.kinds[&ProblemKind::ChannelRegionOutage].tickets, 3);
}

#[test]
fn a_ticket_of_another_width_belongs_to_the_problem_but_does_not_name_it() {
    for fields in
        [&[("channel", "alipay")][..], &[("channel", "alipay"), ("product", "x")], &[("region", "hubei")]]
    {
        let score = score(&world(), &[ticket("i", fields, 15)]);
        assert_eq!((score.all.ticketed, score.all.tickets), (0, 1), "{fields:?}");
        assert!(score.false_tickets.is_empty(), "{fields:?}");
    }
}

#[test]
fn an_account_that_meets_the_problem_later_makes_its_ticket_false() {
    let score = score(&world(), &[ticket("i", &[("account_id", "a3")], 20)]);
    assert_eq!(score.false_tickets.len(), 1);
}

#[test]
fn an_order_that_is_still_held_makes_a_ticket_of_its_cause_and_a_settled_one_a_false_one() {
    let mut world = world();
    world.problems[0].affected[0].until = Some(at(70));
    let claims = [
        ticket("i1", &[("order_id", "o-a1")], 65),
        notice("i1", "a1", 66),
        ticket("i2", &[("order_id", "o-a1")], 90),
        notice("i2", "a1", 90),
        // That of a2 was settled with the end of the problem.
        ticket("i3", &[("order_id", "o-a2")], 65),
    ];
    let score = score(&world, &claims);
    assert_eq!((score.all.tickets, score.false_tickets.len()), (1, 2));
    assert_eq!((score.notices, score.true_notices), (2, 1));
}

#[test]
fn a_second_notice_of_an_incident_may_come_after_its_end() {
    let named = ticket("i", &[("channel", "alipay"), ("region", "hubei")], 15);
    let claims = [named, notice("i", "a2", 16), notice("i", "a2", 55), notice("i", "a3", 55)];
    let score = score(&world(), &claims);
    assert_eq!((score.notices, score.true_notices), (3, 2));
}

#[test]
fn reopening_names_a_problem_and_is_no_further_ticket() {
    let mut claim = ticket("i", &[("channel", "alipay"), ("region", "hubei")], 15);
    if let Claim::Ticket(ticket) = &mut claim {
        ticket.reopened = true;
    }
    let score = score(&world(), &[claim]);
    assert_eq!((score.all.ticketed, score.all.tickets), (1, 0));
}

#[test]
fn lines_of_replay_are_read_and_others_passed_over() {
    let read = |line: serde_json::Value| Claim::of_line(&line);
    let line = serde_json::json!({"at": "1970-01-01T00:15:00Z", "effect": "ticket.opened", "id": "t", "incident": "i",
        "rule": "rule", "subject": {"channel": "alipay", "region": "hubei"}, "since": "1970-01-01T00:15:00Z"});
    assert_eq!(read(line), Some(ticket("i", &[("channel", "alipay"), ("region", "hubei")], 15)));
    let line = serde_json::json!({"at": "1970-01-01T00:16:00Z", "effect": "notice.sent", "incident": "i", "rule": "rule",
        "account_id": "a1"});
    assert_eq!(read(line), Some(notice("i", "a1", 16)));
    let line = serde_json::json!({"at": "1970-01-01T00:16:00Z", "effect": "ticket.updated", "incident": "i",
        "merged_into": "j"});
    assert_eq!(read(line), Some(Claim::Merged { incident: "i".to_owned() }));
    for line in [
        serde_json::json!({"summary": {"events": 5}}),
        serde_json::json!({"at": "1970-01-01T00:16:00Z", "effect": "notice.held", "incident": "i", "account_id": "a1"}),
        serde_json::json!({"at": "1970-01-01T00:16:00Z", "effect": "ticket.resolved", "incident": "i"}),
    ] {
        assert_eq!(read(line.clone()), None, "{line}");
    }
}

#[test]
fn a_hiccup_need_not_be_found_and_a_notice_of_it_is_true_and_needless() {
    let mut truth = world();
    truth.problems = vec![
        problem(ProblemKind::Hiccup, &[("channel", "jdpay")], (10, 12), &[("a1", 11), ("a2", 11)], &[]),
        problem(ProblemKind::ChannelOutage, &[("channel", "card")], (10, 40), &[("a1", 12)], &[]),
    ];
    let silent = score(&truth, &[]);
    assert_eq!((silent.all.planted, silent.missed.as_slice()), (1, &[1][..]));

    let claims = [
        ticket("i1", &[("channel", "jdpay")], 12),
        notice("i1", "a1", 12),
        notice("i1", "a3", 12),
        ticket("i2", &[("channel", "card")], 15),
        notice("i2", "a1", 15),
    ];
    let score = score(&truth, &claims);
    assert_eq!((score.false_tickets.len(), score.needless_tickets), (0, 1));
    assert_eq!((score.true_notices, score.needless_notices, score.false_notices.len()), (2, 1, 1));
    assert_eq!((score.all.tickets, score.kinds[&ProblemKind::Hiccup].ticketed), (1, 1));
}
