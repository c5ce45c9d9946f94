//! What is decided for which messages, as rows of effects and the decisions that they lead to.

use super::*;
use crate::core::effect::EndReason;
use crate::core::event::Tier;
use crate::delivery::customers::{Everybody, Personal};
use crate::delivery::samples::{affected, at, notice, opened, resolved, step};

struct Book(Vec<Customer>);

impl Customers for Book {
    fn find(&self, account_id: &str) -> Option<Customer> {
        self.0.iter().find(|customer| customer.account_id == account_id).cloned()
    }
}

fn customer(account_id: &str) -> Customer {
    Customer {
        account_id: account_id.to_owned(),
        email: Some(Personal::new(format!("{account_id}@example.com"))),
        ..Customer::default()
    }
}

fn dispatcher(settings: NoticeSettings) -> Dispatcher {
    Dispatcher::new(settings, Arc::new(Everybody))
}

/// Decisions in short: `opened→a1` was sent, `opened→a1 held: reason`, `-` for none.
fn decide(dispatcher: &mut Dispatcher, effects: &[Effect]) -> Vec<String> {
    let mut decided = Vec::new();
    for effect in effects {
        let decision = dispatcher.decide(effect);
        if !matches!(effect.kind, EffectKind::Notice { .. }) {
            assert_eq!(decision, None, "only a notice is decided about");
            continue;
        }
        decided.push(match decision {
            None => "-".to_owned(),
            Some(Decision::Send { notice, .. }) => format!("{}→{}", notice.stage.as_str(), notice.account_id),
            Some(Decision::Held { reason, notice }) => {
                format!("{}→{} held: {reason}", notice.stage.as_str(), notice.account_id)
            }
        });
    }
    decided
}

fn limits(per_minute: u32, per_incident: u32) -> NoticeSettings {
    NoticeSettings {
        limits: Limits { per_minute, per_incident, ..Limits::default() },
        staff_mail: true,
        ..NoticeSettings::default()
    }
}

#[test]
fn a_customer_hears_once_of_each_stage_and_of_the_end_only_what_they_heard_the_beginning_of() {
    use Stage::{Corrected, Opened, Recovered};
    let effects = [
        opened(1),
        affected(1, "a1", 1),
        notice(1, "a1", Opened, 1),
        notice(1, "a1", Opened, 2),
        notice(1, "a2", Recovered, 3),
        notice(1, "a1", Recovered, 4),
        notice(1, "a1", Recovered, 5),
        notice(1, "a1", Corrected, 6),
        notice(2, "a1", Opened, 7),
    ];
    let decided = decide(&mut dispatcher(NoticeSettings::default()), &effects);
    assert_eq!(decided, ["opened→a1", "-", "-", "recovered→a1", "-", "corrected→a1", "opened→a1"]);
}

#[test]
fn who_was_told_of_the_symptom_is_not_told_of_the_cause_but_hears_of_its_end() {
    let effects = [
        opened(1),
        notice(1, "a1", Stage::Opened, 1),
        opened(2),
        step(1, 2, TicketStep::Merged(IncidentId(2)), 3),
        notice(2, "a1", Stage::Opened, 3),
        notice(2, "a2", Stage::Opened, 3),
        resolved(2, 2, 9),
        notice(2, "a1", Stage::Recovered, 9),
    ];
    let decided = decide(&mut dispatcher(NoticeSettings::default()), &effects);
    assert_eq!(decided, ["opened→a1", "-", "opened→a2", "recovered→a1"]);
}

#[test]
fn the_mode_decides_before_the_limits() {
    let effects = [notice(1, "a1", Stage::Opened, 1), notice(1, "a1", Stage::Recovered, 2)];
    let cases: [(Mode, [&str; 2]); 3] = [
        (Mode::Send, ["opened→a1", "recovered→a1"]),
        (Mode::Hold, ["opened→a1 held: mode_hold", "recovered→a1 held: mode_hold"]),
        (Mode::Off, ["opened→a1 held: mode_off", "-"]),
    ];
    for (mode, expected) in cases {
        let mut dispatcher = dispatcher(NoticeSettings { mode, ..NoticeSettings::default() });
        assert_eq!(decide(&mut dispatcher, &effects), expected, "{mode:?}");
    }
}

#[test]
fn above_a_limit_messages_are_held_with_their_reason_and_their_end_with_them() {
    let effects = [
        notice(1, "a1", Stage::Opened, 1),
        notice(1, "a2", Stage::Opened, 2),
        notice(1, "a3", Stage::Opened, 61),
        notice(2, "a4", Stage::Opened, 62),
        notice(3, "a5", Stage::Opened, 63),
        notice(1, "a1", Stage::Recovered, 64),
        notice(1, "a3", Stage::Recovered, 64),
    ];
    let decided = decide(&mut dispatcher(limits(2, 2)), &effects);
    let expected = [
        "opened→a1",
        "opened→a2",
        "opened→a3 held: limit_per_incident",
        "opened→a4",
        "opened→a5",
        "recovered→a1",
        "recovered→a3 held: limit_per_incident",
    ];
    assert_eq!(decided, expected);
}

#[test]
fn the_route_follows_tier_address_locale_and_refusal() {
    let mut customers: Vec<Customer> =
        ["plain", "silent", "refused", "english", "firm", "lonely-firm"].map(customer).into();
    customers[1].email = None;
    customers[2].opt_outs = vec!["channel_trouble".to_owned()];
    customers[3].locale = Some("en-US".to_owned());
    customers[4].tier = Tier::Enterprise;
    customers[4].manager = Some(Personal::new("wang@example.com".to_owned()));
    customers[4].locale = Some("en-US".to_owned());
    customers[5].tier = Tier::Enterprise;
    let mut dispatcher = Dispatcher::new(NoticeSettings::default(), Arc::new(Book(customers)));
    let cases = [
        ("plain", Ok((Recipient::Customer, Locale::ZhCn))),
        ("silent", Err(HoldReason::NoAddress)),
        ("refused", Err(HoldReason::OptedOut)),
        ("english", Ok((Recipient::Customer, Locale::En))),
        ("firm", Ok((Recipient::Manager, Locale::ZhCn))),
        ("lonely-firm", Ok((Recipient::Customer, Locale::ZhCn))),
        ("stranger", Err(HoldReason::UnknownCustomer)),
    ];
    for (account, expected) in cases {
        let got = match dispatcher.decide(&notice(1, account, Stage::Opened, 1)) {
            Some(Decision::Send { locale, notice, .. }) => Ok((notice.recipient, locale)),
            Some(Decision::Held { reason, .. }) => Err(reason),
            None => panic!("{account}: nothing decided"),
        };
        assert_eq!(got, expected, "{account}");
    }
}

#[test]
fn a_rule_for_account_managers_reaches_nobody_else() {
    let mut with_manager = customer("a1");
    with_manager.manager = Some(Personal::new("wang@example.com".to_owned()));
    let settings =
        NoticeSettings { manager_rules: ["channel-drop".to_owned()].into(), ..NoticeSettings::default() };
    let mut dispatcher = Dispatcher::new(settings, Arc::new(Book(vec![with_manager, customer("a2")])));
    let first = dispatcher.decide(&notice(1, "a1", Stage::Opened, 1));
    assert_eq!(first.map(|decision| decision.notice().recipient), Some(Recipient::Manager));
    let decided = decide(&mut dispatcher, &[notice(1, "a2", Stage::Opened, 1)]);
    assert_eq!(decided, ["opened→a2 held: no_address"]);
}

#[test]
fn staff_hear_of_each_ticket_and_once_per_incident_of_held_messages() {
    let mut dispatcher = dispatcher(limits(600, 1));
    let mut shadow = opened(3);
    if let EffectKind::Ticket { snapshot, .. } = &mut shadow.kind {
        snapshot.shadow = true;
    }
    let effects = [
        opened(1),
        step(1, 2, TicketStep::Updated, 1),
        notice(1, "a1", Stage::Opened, 1),
        notice(1, "a2", Stage::Opened, 1),
        notice(1, "a3", Stage::Opened, 1),
        shadow,
    ];
    let staff: Vec<_> =
        effects.into_iter().map(|effect| dispatcher.plan(effect).staff.map(|mail| mail.kind)).collect();
    let expected = [Some(StaffKind::Ticket), None, None, Some(StaffKind::Held), None, None];
    assert_eq!(staff, expected);
}

#[test]
fn what_is_in_the_shadow_is_held_and_uses_up_no_limit() {
    let mut dispatcher = dispatcher(limits(600, 1));
    let hidden = |account| {
        let mut effect = notice(1, account, Stage::Opened, 1);
        if let EffectKind::Notice { shadow, .. } = &mut effect.kind {
            *shadow = true;
        }
        effect
    };
    let effects =
        [hidden("a1"), hidden("a2"), notice(1, "a1", Stage::Opened, 2), notice(1, "a3", Stage::Opened, 2)];
    let decided = decide(&mut dispatcher, &effects);
    assert_eq!(decided[..2], ["opened→a1 held: shadow", "opened→a2 held: shadow"]);
    assert!(!decided[2].contains("held") && decided[3].ends_with("held: limit_per_incident"), "{decided:?}");
}

#[test]
fn without_an_address_for_staff_no_mail_is_planned() {
    let mut dispatcher = dispatcher(NoticeSettings::default());
    assert_eq!(dispatcher.plan(opened(1)).staff, None);
}

#[test]
fn a_restart_takes_up_who_was_told() {
    let mut dispatcher = dispatcher(limits(600, 2));
    let known = |account: &str, held| KnownNotice {
        incident: IncidentId(1),
        incident_ended_at: None,
        account_id: account.into(),
        stage: Stage::Opened,
        held,
    };
    dispatcher.restore([known("a1", None), known("a2", Some(HoldReason::NoAddress)), known("a3", None)]);
    let effects = [
        notice(1, "a1", Stage::Opened, 1),
        notice(1, "a2", Stage::Recovered, 2),
        notice(1, "a3", Stage::Recovered, 2),
        notice(1, "a4", Stage::Opened, 3),
    ];
    let decided = decide(&mut dispatcher, &effects);
    assert_eq!(decided, ["-", "-", "recovered→a3", "opened→a4 held: limit_per_incident"]);
}

#[test]
fn incidents_are_forgotten_two_days_after_their_end_and_when_there_are_too_many() {
    let mut dispatcher = dispatcher(NoticeSettings::default());
    for incident in 0..50 {
        dispatcher.decide(&notice(incident, "a1", Stage::Opened, 0));
        if incident < 20 {
            dispatcher.decide(&step(incident, 2, TicketStep::Resolved(EndReason::Quiet), 1));
        }
    }
    assert_eq!(dispatcher.remembered(), 50);
    dispatcher.decide(&step(99, 1, TicketStep::Opened, 3 * 86_400));
    assert_eq!(dispatcher.remembered(), 30);
    dispatcher.limit = 10;
    dispatcher.decide(&step(99, 2, TicketStep::Updated, 3 * 86_400 + 1));
    assert!(dispatcher.remembered() <= 10, "{}", dispatcher.remembered());
}

#[test]
fn a_decision_carries_what_the_message_needs() {
    let mut dispatcher = dispatcher(NoticeSettings::default());
    let effect = notice(7, "a1", Stage::Opened, 5);
    let Some(Decision::Send { via, locale, notice }) = dispatcher.decide(&effect) else {
        panic!("not sent");
    };
    assert_eq!((via, locale), (Via::Email, Locale::ZhCn));
    assert_eq!(notice.id, NoticeId::of(IncidentId(7), "a1", Stage::Opened));
    assert_eq!((notice.at, notice.template.as_str()), (at(5), "channel_trouble"));
    assert_eq!(notice.facts.text(crate::core::event::TextField::OrderId), Some("o-a1"));
}
