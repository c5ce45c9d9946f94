//! What every store must do, whatever database it is. Each check is given a store that is new and empty.

#[path = "contract/ownership.rs"]
pub mod ownership;
#[path = "contract/proposals.rs"] // also where another crate includes this file
pub mod proposals;

use std::time::Duration;

use crate::core::effect::{Effect, EffectKind, EndReason, IncidentId, Stage, Subject, TicketStep};
use crate::core::time::Time;
use crate::delivery::customers::Locale;
use crate::delivery::dispatch::{Dispatcher, Mode, NoticeSettings};
use crate::delivery::guard::Limits;
use crate::delivery::notice::{HoldReason, NoticeId};
use crate::delivery::ownership::ANYBODY;
use crate::delivery::samples::{about, affected, at, notice, opened, resolved, step};
use crate::delivery::store::{
    ActionResult, Addressee, Applied, Attempt, HandOver, Outgoing, Planned, Store, TicketDetail, TicketFilter,
};

const LEASE: Duration = Duration::from_secs(60);

fn dispatcher() -> Dispatcher {
    let settings = NoticeSettings { staff_mail: true, ..NoticeSettings::default() };
    Dispatcher::new(settings, std::sync::Arc::new(crate::delivery::customers::Everybody))
}

/// Effects with what a dispatcher that has seen nothing else decides about them.
fn plan(effects: impl IntoIterator<Item = Effect>) -> Vec<Planned> {
    let mut dispatcher = dispatcher();
    effects.into_iter().map(|effect| dispatcher.plan(effect)).collect()
}

async fn write(store: &impl Store, effects: impl IntoIterator<Item = Effect>) -> Applied {
    store.apply(&ANYBODY, &plan(effects)).await.expect("written")
}

async fn claim(store: &impl Store, seconds: i64) -> Vec<Outgoing> {
    store.claim_due(at(seconds), 100, LEASE).await.expect("claimed")
}

/// In short what a message is: `opened→a1`, `ticket`.
fn name(outgoing: &Outgoing) -> String {
    match &outgoing.to {
        Addressee::Account { account_id, stage, .. } => format!("{}→{account_id}", stage.as_str()),
        Addressee::Staff { kind, .. } => kind.as_str().to_owned(),
    }
}

fn names(claimed: &[Outgoing]) -> Vec<String> {
    claimed.iter().map(name).collect()
}

/// Claims what is due, sends it all, and says what it was.
async fn send(store: &impl Store, seconds: i64) -> Vec<String> {
    let claimed = claim(store, seconds).await;
    for outgoing in &claimed {
        let handed = store.hand_over(outgoing.id, outgoing.attempt, at(seconds)).await.expect("asked");
        assert_eq!(handed, HandOver::Go, "{}", name(outgoing));
        finish(store, outgoing, sent(seconds)).await;
    }
    names(&claimed)
}

async fn finish(store: &impl Store, outgoing: &Outgoing, result: Attempt) {
    assert!(store.complete(outgoing.id, outgoing.attempt, result).await.expect("completed"));
}

fn sent(seconds: i64) -> Attempt {
    Attempt::Sent { at: at(seconds), reply: "250 ok".to_owned() }
}

async fn detail(store: &impl Store, incident: u128) -> TicketDetail {
    let id = IncidentId(incident).to_string();
    store.ticket(&id).await.expect("read").pop().expect("there is such a ticket")
}

/// The messages of an incident with their states: `opened→a1 sent`.
async fn states(store: &impl Store, incident: u128) -> Vec<String> {
    let notices = detail(store, incident).await.notices;
    let line = |notice: &crate::delivery::store::NoticeRow| {
        let reason = notice.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        match notice.account_id.as_str() {
            "" => format!("{} {}{reason}", notice.stage, notice.state),
            account => format!("{}→{account} {}{reason}", notice.stage, notice.state),
        }
    };
    notices.iter().map(line).collect()
}

async fn state(store: &impl Store, incident: u128) -> (String, Option<String>) {
    let ticket = detail(store, incident).await.ticket;
    (ticket.state, ticket.reason)
}

pub async fn writing_a_batch_again_changes_nothing(store: impl Store) {
    let effects = [
        opened(1),
        affected(1, "a1", 1),
        notice(1, "a1", Stage::Opened, 1),
        step(1, 2, TicketStep::Updated, 2),
        resolved(1, 3, 9),
        notice(1, "a1", Stage::Recovered, 9),
    ];
    let first = write(&store, effects.clone()).await;
    assert_eq!((first.repeated, first.superseded), (0, 0));
    let before = (detail(&store, 1).await, store.figures().await.expect("read"));
    let again = write(&store, effects).await;
    assert_eq!(again, Applied { written: 0, repeated: first.written, superseded: 0 });
    assert_eq!((detail(&store, 1).await, store.figures().await.expect("read")), before);
}

pub async fn a_replay_from_any_point_leads_to_the_same_rows(store: impl Store, other: impl Store) {
    let effects = [
        opened(1),
        notice(1, "a1", Stage::Opened, 1),
        about(opened(2), "wechat"),
        step(2, 2, TicketStep::Merged(IncidentId(1)), 2),
        notice(1, "a2", Stage::Opened, 3),
        resolved(1, 2, 4),
        notice(1, "a2", Stage::Recovered, 4),
        step(1, 3, TicketStep::Reopened, 5),
        step(1, 4, TicketStep::Withdrawn, 6),
    ];
    write(&store, effects.clone()).await;
    // As after crashes: pieces of the stream are written again, each from some point on.
    for start in 0..effects.len() {
        for end in start..effects.len() {
            write(&other, effects[start.min(1)..end].iter().cloned()).await;
        }
        write(&other, effects[..=start].iter().cloned()).await;
    }
    write(&other, effects).await;
    for incident in [1, 2] {
        let (one, two) = (detail(&store, incident).await, detail(&other, incident).await);
        assert_eq!(one.ticket, two.ticket);
        assert_eq!(one.steps, two.steps);
        assert_eq!(states(&store, incident).await, states(&other, incident).await);
    }
}

pub async fn a_message_goes_out_once_and_the_ticket_says_who_was_told(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1), affected(1, "a2", 1)]).await;
    assert_eq!(send(&store, 5).await, ["ticket", "opened→a1"]);
    assert_eq!(send(&store, 6).await, [""; 0]);
    let detail = detail(&store, 1).await;
    assert_eq!((detail.ticket.affected, detail.ticket.told), (2, 1));
    let told: Vec<_> = detail.affected.iter().map(|row| (row.account_id.as_str(), row.told_at)).collect();
    assert_eq!(told, [("a1", Some(at(5))), ("a2", None)]);
    assert_eq!(detail.affected[0].order_id.as_deref(), Some("o-a1"));
}

pub async fn what_waits_is_cancelled_when_the_trouble_ends_and_no_recovery_follows(store: impl Store) {
    let endings = [
        TicketStep::Resolved(EndReason::Recovered),
        TicketStep::Resolved(EndReason::Quiet),
        TicketStep::Withdrawn,
    ];
    for (incident, ending) in (1..).zip(endings) {
        let stage = if ending == TicketStep::Withdrawn { Stage::Corrected } else { Stage::Recovered };
        let effects = [
            opened(incident),
            notice(incident, "a1", Stage::Opened, 1),
            step(incident, 2, ending, 9),
            notice(incident, "a1", stage, 9),
        ];
        write(&store, effects).await;
        let staff =
            if ending == TicketStep::Withdrawn { "ticket cancelled (over)" } else { "ticket pending" };
        let end = format!("{}→a1 cancelled (never_told)", stage.as_str());
        assert_eq!(states(&store, incident).await, [staff, "opened→a1 cancelled (over)", &end], "{ending:?}");
    }
}

pub async fn the_end_is_told_only_after_the_beginning_has_left(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1), notice(1, "a2", Stage::Opened, 1)]).await;
    let claimed = claim(&store, 2).await;
    assert_eq!(names(&claimed), ["ticket", "opened→a1", "opened→a2"]);
    for outgoing in &claimed {
        store.hand_over(outgoing.id, outgoing.attempt, at(2)).await.expect("asked");
    }
    let mut dispatcher = dispatcher();
    let ends = [
        notice(1, "a1", Stage::Opened, 1),
        notice(1, "a2", Stage::Opened, 1),
        resolved(1, 2, 9),
        notice(1, "a1", Stage::Recovered, 9),
        notice(1, "a2", Stage::Recovered, 9),
    ];
    let ends: Vec<_> = ends.into_iter().map(|effect| dispatcher.plan(effect)).collect();
    store.apply(&ANYBODY, &ends).await.expect("written");
    // Both beginnings are on their way: their ends wait for them.
    assert_eq!(names(&claim(&store, 10).await), [""; 0]);
    finish(&store, &claimed[1], sent(11)).await;
    let again = Attempt::TryAgain { at: at(12), reply: "451 later".to_owned() };
    finish(&store, &claimed[2], again).await;
    assert_eq!(send(&store, 20).await, ["recovered→a1"]);
    let expected = [
        "ticket sending",
        "opened→a1 sent",
        "opened→a2 cancelled (over)",
        "recovered→a1 sent",
        "recovered→a2 cancelled (never_told)",
    ];
    assert_eq!(states(&store, 1).await, expected);
}

pub async fn a_message_is_stopped_at_the_last_moment_if_it_is_no_longer_true(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1)]).await;
    let claimed = claim(&store, 2).await;
    write(&store, [resolved(1, 2, 3)]).await;
    let answers = [HandOver::Go, HandOver::Stop];
    for (outgoing, expected) in claimed.iter().zip(answers) {
        let answer = store.hand_over(outgoing.id, outgoing.attempt, at(4)).await.expect("asked");
        assert_eq!(answer, expected, "{}", name(outgoing));
    }
    finish(&store, &claimed[1], Attempt::Cancelled).await;
    assert_eq!(states(&store, 1).await, ["ticket sending", "opened→a1 cancelled (over)"]);
}

pub async fn a_reopened_incident_tells_those_who_were_not_told_in_time(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1), resolved(1, 2, 3)]).await;
    write(&store, [step(1, 3, TicketStep::Reopened, 5)]).await;
    assert_eq!(send(&store, 6).await, ["ticket", "opened→a1"]);
    assert_eq!(state(&store, 1).await, ("open".to_owned(), None));
}

pub async fn attempts_are_fenced_by_their_number(store: impl Store) {
    write(&store, [opened(1)]).await;
    let first = claim(&store, 2).await.remove(0);
    finish(&store, &first, Attempt::TryAgain { at: at(30), reply: String::new() }).await;
    assert_eq!(names(&claim(&store, 29).await), [""; 0]);
    let second = claim(&store, 30).await.remove(0);
    assert_eq!((first.attempt, second.attempt, first.id), (1, 2, second.id));
    // The first sender comes back late: it may neither hand over nor complete.
    let late = store.hand_over(first.id, first.attempt, at(31)).await.expect("asked");
    assert_eq!(late, HandOver::Stop);
    assert!(!store.complete(first.id, first.attempt, sent(31)).await.expect("asked"));
    finish(&store, &second, sent(32)).await;
}

pub async fn a_lease_that_runs_out_gives_back_what_was_not_handed_over(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1)]).await;
    let claimed = claim(&store, 0).await;
    store.hand_over(claimed[1].id, claimed[1].attempt, at(1)).await.expect("asked");
    assert_eq!(names(&claim(&store, 60).await), [""; 0]);
    assert_eq!(names(&claim(&store, 61).await), ["ticket"]);
    assert_eq!(states(&store, 1).await, ["ticket sending", "opened→a1 unknown (interrupted)"]);
    assert_eq!(store.figures().await.expect("read").unknown, 1);
}

pub async fn each_end_of_an_attempt_is_kept(store: impl Store) {
    let cases = [
        (Attempt::Unknown { at: at(9), reply: String::new() }, "unknown (no_answer)"),
        (Attempt::Failed { reply: "550 no such user".to_owned() }, "failed (refused)"),
        (Attempt::Expired, "held (expired)"),
        (Attempt::Held { reason: HoldReason::NoAddress }, "held (no_address)"),
        (Attempt::Cancelled, "cancelled (over)"),
    ];
    for (incident, (result, expected)) in (1..).zip(cases) {
        let effects = [opened(incident), notice(incident, "a1", Stage::Opened, 1)];
        write(&store, effects.map(|effect| about(effect, &format!("c{incident}")))).await;
        for outgoing in claim(&store, 2).await {
            let is_staff = matches!(outgoing.to, Addressee::Staff { .. });
            finish(&store, &outgoing, if is_staff { sent(2) } else { result.clone() }).await;
        }
        assert_eq!(
            states(&store, incident).await,
            ["ticket sent".to_owned(), format!("opened→a1 {expected}")]
        );
    }
    assert_eq!(store.release_held(None, "li", at(9)).await.expect("asked"), 0);
    assert_eq!(names(&claim(&store, 99).await), [""; 0]);
}

pub async fn only_one_incident_of_a_rule_and_subject_is_open(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1), notice(1, "a2", Stage::Opened, 1)]).await;
    let claimed = claim(&store, 2).await;
    finish(&store, &claimed[1], sent(3)).await;
    let applied =
        write(&store, [opened(2), notice(2, "a1", Stage::Opened, 4), notice(2, "a3", Stage::Opened, 4)])
            .await;
    assert_eq!(applied.superseded, 1);
    assert_eq!(state(&store, 1).await, ("merged".to_owned(), Some("superseded".to_owned())));
    assert_eq!(state(&store, 2).await.0, "open");
    assert_eq!(store.figures().await.expect("read").open_incidents, 1);
    // Whom the first one told, or is about to tell, the second one does not tell again.
    let expected = ["opened→a1 sent", "opened→a2 sending", "ticket pending", "opened→a3 pending"];
    assert_eq!(states(&store, 2).await, expected);
    // Another subject of the rule is another matter.
    assert_eq!(write(&store, [about(opened(3), "wechat")]).await.superseded, 0);
}

pub async fn a_merged_incident_hands_its_customers_to_the_cause(store: impl Store) {
    let symptom = |effect: Effect| about(effect, "symptom");
    let effects = [
        symptom(opened(1)),
        symptom(notice(1, "a1", Stage::Opened, 1)),
        symptom(affected(1, "a1", 1)),
        opened(2),
        symptom(step(1, 2, TicketStep::Merged(IncidentId(2)), 3)),
    ];
    write(&store, effects.clone()).await;
    // Told in the name of the symptom, whose message was on its way; the cause adds nothing, even if asked to.
    write(&store, [notice(2, "a1", Stage::Opened, 3)]).await;
    assert_eq!(send(&store, 4).await, ["opened→a1", "ticket"]);
    write(&store, effects).await;
    assert_eq!(send(&store, 5).await, [""; 0]);
    let mut dispatcher = dispatcher();
    let end = [notice(2, "a1", Stage::Opened, 3), resolved(2, 2, 9), notice(2, "a1", Stage::Recovered, 9)];
    let end: Vec<_> = end.into_iter().map(|effect| dispatcher.plan(effect)).collect();
    store.apply(&ANYBODY, &end).await.expect("written");
    assert_eq!(send(&store, 10).await, ["recovered→a1"]);
    let cause = detail(&store, 2).await;
    assert_eq!((cause.ticket.told, cause.affected.len()), (1, 1));
    assert_eq!(cause.affected[0].told_at, Some(at(4)));
    let symptom = detail(&store, 1).await.ticket;
    assert_eq!((symptom.state.as_str(), symptom.merged_into), ("merged", Some(IncidentId(2))));
}

pub async fn held_messages_wait_for_a_person(store: impl Store) {
    let limits = Limits { per_incident: 1, ..Limits::default() };
    let settings = NoticeSettings { limits, staff_mail: true, ..NoticeSettings::default() };
    let mut dispatcher =
        Dispatcher::new(settings, std::sync::Arc::new(crate::delivery::customers::Everybody));
    let mut apply = |effects: Vec<Effect>| -> Vec<Planned> {
        effects.into_iter().map(|effect| dispatcher.plan(effect)).collect()
    };
    let beginning = ["a1", "a2", "a3"].map(|account| notice(1, account, Stage::Opened, 1));
    let batch = apply([vec![opened(1)], beginning.to_vec()].concat());
    store.apply(&ANYBODY, &batch).await.expect("written");
    let claimed = claim(&store, 2).await;
    assert_eq!(names(&claimed), ["ticket", "opened→a1", "held"]);
    assert!(matches!(claimed[2].to, Addressee::Staff { held: 2, .. }));
    assert!(claimed[2].ticket.is_some());
    for outgoing in &claimed {
        finish(&store, outgoing, sent(2)).await;
    }
    let held = store.figures().await.expect("read").held;
    assert_eq!(held.get("limit_per_incident"), Some(&2));
    assert_eq!(store.release_held(Some(IncidentId(9)), "li", at(3)).await.expect("asked"), 0);
    assert_eq!(store.release_held(Some(IncidentId(1)), "li", at(3)).await.expect("asked"), 2);
    assert_eq!(send(&store, 4).await, ["opened→a2", "opened→a3"]);
    // Since a person let them go, their end goes out as well.
    let batch = apply(vec![resolved(1, 2, 5), notice(1, "a2", Stage::Recovered, 5)]);
    store.apply(&ANYBODY, &batch).await.expect("written");
    assert_eq!(send(&store, 6).await, ["recovered→a2"]);
    let steps = detail(&store, 1).await.steps;
    let released = steps.iter().find(|step| step.step == "released").expect("a step");
    assert_eq!((released.actor.as_str(), released.detail.as_deref()), ("li", Some("2")));
}

pub async fn a_held_message_is_not_released_by_a_reopening(store: impl Store) {
    let settings = NoticeSettings { mode: Mode::Hold, ..NoticeSettings::default() };
    let mut dispatcher =
        Dispatcher::new(settings, std::sync::Arc::new(crate::delivery::customers::Everybody));
    let effects = [
        opened(1),
        notice(1, "a1", Stage::Opened, 1),
        resolved(1, 2, 3),
        step(1, 3, TicketStep::Reopened, 4),
    ];
    let batch: Vec<_> = effects.into_iter().map(|effect| dispatcher.plan(effect)).collect();
    store.apply(&ANYBODY, &batch).await.expect("written");
    assert_eq!(states(&store, 1).await, ["opened→a1 held (mode_hold)"]);
}

pub async fn staff_see_find_and_act_on_tickets(store: impl Store) {
    let minute = 60;
    for (incident, channel) in [(1, "alipay"), (2, "wechat"), (3, "union")] {
        let mut ticket = about(opened(incident), channel);
        if let EffectKind::Ticket { snapshot, .. } = &mut ticket.kind {
            snapshot.opened_at = at(i64::try_from(incident).unwrap() * minute);
        }
        write(&store, [ticket, about(affected(incident, &format!("a{incident}"), 1), channel)]).await;
    }
    let list = async |filter: TicketFilter| {
        let filter = TicketFilter { limit: 10, ..filter };
        let rows = store.tickets(&filter).await.expect("read");
        rows.into_iter().map(|row| row.id.0).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(list(TicketFilter::default()).await, [3, 2, 1]);
    assert_eq!(list(TicketFilter { account: some("a2"), ..TicketFilter::default() }).await, [2]);
    assert_eq!(list(TicketFilter { order: some("o-a3"), ..TicketFilter::default() }).await, [3]);
    assert_eq!(list(TicketFilter { since: Some(at(120)), ..TicketFilter::default() }).await, [3, 2]);
    let limited = store.tickets(&TicketFilter { limit: 1, ..TicketFilter::default() }).await.expect("read");
    assert_eq!(limited.len(), 1);

    let act = async |incident, seconds| {
        store.acknowledge(IncidentId(incident), "li", at(seconds)).await.expect("asked")
    };
    assert_eq!(act(1, 200).await, ActionResult::Done);
    assert_eq!(act(1, 201).await, ActionResult::Already);
    assert_eq!(act(9, 201).await, ActionResult::NotFound);
    assert_eq!(list(TicketFilter { state: some("acknowledged"), ..TicketFilter::default() }).await, [1]);
    write(&store, [step(1, 2, TicketStep::Updated, 210)]).await;
    assert_eq!(state(&store, 1).await.0, "acknowledged");

    write(&store, [notice(1, "a9", Stage::Opened, 211)]).await;
    let close =
        async || store.close(IncidentId(1), "wang", at(220), Some("as planned")).await.expect("asked");
    assert_eq!(close().await, ActionResult::Done);
    assert_eq!(close().await, ActionResult::Already);
    assert_eq!(act(1, 230).await, ActionResult::Ended);
    // What staff have closed stays closed, and tells nobody any more.
    write(&store, [step(1, 3, TicketStep::Updated, 230), notice(1, "a8", Stage::Opened, 231)]).await;
    assert_eq!(state(&store, 1).await, ("closed".to_owned(), Some("closed".to_owned())));
    let told = states(&store, 1).await;
    assert_eq!(told, ["ticket pending", "opened→a9 cancelled (over)", "opened→a8 cancelled (over)"]);
    let steps: Vec<_> =
        detail(&store, 1).await.steps.into_iter().map(|step| (step.actor, step.step)).collect();
    let expected = [
        ("forewarn", "opened"),
        ("li", "acknowledged"),
        ("forewarn", "updated"),
        ("wang", "closed"),
        ("forewarn", "updated"),
    ];
    assert_eq!(steps, expected.map(|(actor, step)| (actor.to_owned(), step.to_owned())));

    assert_eq!(store.ticket("0000").await.expect("read").len(), 3);
    assert_eq!(store.ticket("%").await.expect("read").len(), 0);
    assert_eq!(store.ticket("ffff").await.expect("read").len(), 0);
}

pub async fn a_restart_knows_what_is_open_or_ended_lately(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1), resolved(1, 2, 100)]).await;
    write(&store, [about(opened(2), "wechat"), about(notice(2, "a2", Stage::Opened, 1), "wechat")]).await;
    let ids = async |after: Time| {
        let known = store.known_incidents(after).await.expect("read");
        known
            .into_iter()
            .map(|incident| (incident.id.0, incident.revision, incident.ended_at))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(at(99)).await, [(1, 2, Some(at(100))), (2, 1, None)]);
    assert_eq!(ids(at(100)).await, [(2, 1, None)]);
    let known = store.known_incidents(at(100)).await.expect("read").remove(0);
    assert_eq!(known.subject, Subject(vec![("channel".into(), "wechat".into())]));
    assert_eq!((known.rule.as_str(), known.since, known.rule_version), ("channel-drop", at(0), 11));
    let notices = store.known_notices(at(100)).await.expect("read");
    let accounts: Vec<_> = notices.iter().map(|notice| (notice.account_id.as_str(), notice.held)).collect();
    assert_eq!(accounts, [("a2", None)]);
}

pub async fn incidents_whose_rule_is_gone_end_and_nobody_hears_of_it(store: impl Store) {
    let effects = [
        opened(1),
        notice(1, "a1", Stage::Opened, 1),
        about(opened(2), "wechat"),
        about(opened(3), "unionpay"),
        about(resolved(3, 2, 5), "unionpay"),
    ];
    write(&store, effects).await;
    let ids = [IncidentId(1), IncidentId(3), IncidentId(4)];
    assert_eq!(store.end_without_rule(&ids, at(9)).await.expect("ended"), 1);
    assert_eq!(store.end_without_rule(&ids, at(12)).await.expect("asked"), 0, "once is enough");
    assert_eq!(state(&store, 1).await, ("resolved".to_owned(), Some("rule_changed".to_owned())));
    assert_eq!(state(&store, 2).await, ("open".to_owned(), None));
    assert_eq!(state(&store, 3).await.1.as_deref(), Some("recovered"), "it had ended before");
    let ticket = detail(&store, 1).await;
    assert_eq!((ticket.ticket.ended_at, ticket.ticket.revision), (Some(at(9)), 2));
    assert_eq!(ticket.steps.last().map(|step| step.step.as_str()), Some("resolved"));
    assert!(send(&store, 10).await.iter().all(|name| !name.contains("a1")), "what waited is cancelled");
    // The rule is back, and finds it again.
    write(&store, [step(1, 3, TicketStep::Reopened, 20)]).await;
    assert_eq!(state(&store, 1).await.0, "open");
}

pub async fn the_outbox_shows_its_depth_and_age(store: impl Store) {
    assert_eq!(store.figures().await.expect("read").outbox_oldest, None);
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 7)]).await;
    let figures = store.figures().await.expect("read");
    assert_eq!((figures.outbox_depth, figures.outbox_oldest), (2, Some(at(0))));
    assert_eq!(send(&store, 8).await.len(), 2);
    assert_eq!(store.figures().await.expect("read").outbox_depth, 0);
}

pub async fn a_claimed_message_carries_what_it_needs(store: impl Store) {
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 7)]).await;
    let claimed = claim(&store, 8).await;
    let EffectKind::Notice { facts, .. } = notice(1, "a1", Stage::Opened, 7).kind else { panic!() };
    let Addressee::Account { account_id, locale, facts: read, template, .. } = &claimed[1].to else {
        panic!("not to an account");
    };
    assert_eq!(
        (account_id.as_str(), *locale, template.as_str()),
        ("a1", Some(Locale::ZhCn), "channel_trouble")
    );
    assert_eq!(read, &facts);
    assert_eq!(claimed[1].id, NoticeId::of(IncidentId(1), "a1", Stage::Opened));
    assert_eq!(claimed[0].ticket.as_ref().map(|ticket| ticket.samples), Some(64));
}

pub async fn what_is_in_the_shadow_is_kept_apart_and_nobody_gets_it(store: impl Store) {
    let hidden = |effect: Effect| {
        let mut effect = about(effect, "wechat");
        effect.rule = "hidden".into();
        match &mut effect.kind {
            EffectKind::Ticket { snapshot, .. } => snapshot.shadow = true,
            EffectKind::Notice { shadow, .. } => *shadow = true,
            EffectKind::Proposal(proposal) => proposal.shadow = true,
            EffectKind::Affected { .. } => {}
        }
        effect
    };
    write(&store, [opened(1), notice(1, "a1", Stage::Opened, 1)]).await;
    let effects = [
        opened(2),
        affected(2, "a1", 1),
        affected(2, "a2", 1),
        notice(2, "a1", Stage::Opened, 1),
        notice(2, "a2", Stage::Opened, 1),
    ];
    write(&store, effects.map(hidden)).await;
    assert_eq!(states(&store, 2).await, ["opened→a1 held (shadow)", "opened→a2 held (shadow)"]);
    let mut gone = send(&store, 2).await;
    gone.sort();
    assert_eq!(gone, ["opened→a1", "ticket"]);
    assert_eq!(store.release_held(None, "li", at(3)).await.expect("asked"), 0);
    assert!(store.figures().await.expect("read").held.is_empty());

    let list = async |shadow| {
        let filter = TicketFilter { limit: 10, shadow, ..TicketFilter::default() };
        let rows = store.tickets(&filter).await.expect("read");
        rows.into_iter().map(|row| (row.id.0, row.shadow, row.rule_version)).collect::<Vec<_>>()
    };
    assert_eq!(list(false).await, [(1, false, 11)]);
    assert_eq!(list(true).await, [(2, true, 11)]);

    let rows = async |since| store.in_the_shadow(at(since)).await.expect("read");
    let row = rows(-60).await.pop().expect("a rule");
    assert_eq!((row.rule.as_str(), row.version, row.versions), ("hidden", 11, 1));
    assert_eq!((row.tickets, row.open, row.affected, row.would_tell, row.told_by_others), (1, 1, 2, 2, 1));
    assert_eq!((row.first_opened, row.last_opened), (Some(at(0)), Some(at(0))));
    assert_eq!(rows(1).await, []);

    // Explained by a ticket that staff see, it brings nothing into it.
    let before = (states(&store, 1).await, detail(&store, 1).await.affected);
    write(&store, [hidden(step(2, 2, TicketStep::Merged(IncidentId(1)), 10))]).await;
    assert_eq!((states(&store, 1).await, detail(&store, 1).await.affected), before);
    let row = rows(-60).await.pop().expect("a rule");
    assert_eq!((row.tickets, row.open, row.merged, row.would_tell), (1, 0, 1, 2));
}
