//! What the sender does with each answer of mail server and store, with both of them scripted.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::core::effect::{IncidentId, Stage};
use crate::delivery::customers::{Customer, Everybody};
use crate::delivery::notice::{HoldReason, Recipient, StaffKind, Via};
use crate::delivery::render::RenderSettings;
use crate::delivery::samples::{at, facts, subject};
use crate::delivery::store::{Addressee, Attempt, HandOver, Outgoing, StoreError};

/// A store that gives out what it was given, and keeps what it is told.
#[derive(Default)]
struct Script {
    due: Mutex<Vec<Outgoing>>,
    hand_over: Mutex<Option<Result<HandOver, StoreError>>>,
    ended: Mutex<Vec<Attempt>>,
    completions_that_fail: Mutex<u32>,
}

impl OutboxStore for Arc<Script> {
    async fn claim_due(&self, _: Time, limit: u32, _: Duration) -> Result<Vec<Outgoing>, StoreError> {
        let mut due = self.due.lock().unwrap();
        let count = due.len().min(limit as usize);
        Ok(due.drain(..count).collect())
    }

    async fn hand_over(&self, _: NoticeId, _: u32, _: Time) -> Result<HandOver, StoreError> {
        self.hand_over.lock().unwrap().take().unwrap_or(Ok(HandOver::Go))
    }

    async fn complete(&self, _: NoticeId, _: u32, result: Attempt) -> Result<bool, StoreError> {
        let mut fail = self.completions_that_fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(StoreError::TryAgain("busy".to_owned()));
        }
        self.ended.lock().unwrap().push(result);
        Ok(true)
    }
}

/// A mailer that gives the outcomes it was given, and keeps the mails.
#[derive(Clone, Default)]
struct Post {
    outcomes: Arc<Mutex<VecDeque<Outcome>>>,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Mailer for Post {
    async fn send(&self, mail: Mail, permission: impl Future<Output = bool> + Send) -> Outcome {
        let outcome = self.outcomes.lock().unwrap().pop_front().unwrap_or(Outcome::Accepted { reply: ok() });
        if !matches!(outcome, Outcome::Unreached { .. }) && !permission.await {
            return Outcome::Stopped;
        }
        self.mails.lock().unwrap().push(mail);
        outcome
    }
}

fn ok() -> String {
    "250 ok".to_owned()
}

struct Book;

impl Customers for Book {
    fn find(&self, account_id: &str) -> Option<Customer> {
        let mut customer = Everybody.find(account_id)?;
        customer.name = Some(Personal::new("李雷".to_owned()));
        match account_id {
            "gone" => return None,
            "silent" => customer.email = None,
            "refused" => customer.opt_outs = vec!["all".to_owned()],
            "firm" => customer.manager = Some(Personal::new("wang@example.com".to_owned())),
            _ => {}
        }
        Some(customer)
    }
}

fn notice(account: &str, attempt: u32) -> Outgoing {
    Outgoing {
        id: NoticeId(7),
        attempt,
        incident: IncidentId(1),
        rule: "r".into(),
        subject: subject(),
        decided_at: at(0),
        to: Addressee::Account {
            account_id: account.into(),
            stage: Stage::Opened,
            template: "channel_trouble".into(),
            recipient: if account == "firm" { Recipient::Manager } else { Recipient::Customer },
            via: Via::Email,
            locale: None,
            facts: Box::new(facts(account)),
        },
        ticket: None,
    }
}

struct Bench {
    store: Arc<Script>,
    post: Post,
    outbox: Outbox<Arc<Script>, Post>,
}

fn bench(settings: OutboxSettings, seconds: i64) -> Bench {
    let (store, post) = (Arc::new(Script::default()), Post::default());
    let parts = Parts {
        store: Arc::clone(&store),
        mailer: post.clone(),
        templates: Arc::new(Templates::shipped(RenderSettings::default()).expect("sound")),
        customers: Arc::new(Book),
        clock: Arc::new(move || at(seconds)),
        observer: Arc::new(()),
        wake: Arc::new(Notify::new()),
    };
    Bench { outbox: Outbox::new(parts, settings), store, post }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// How one message ends, given what the mail server does.
fn ends(settings: OutboxSettings, seconds: i64, message: Outgoing, outcome: Outcome) -> Attempt {
    let bench = bench(settings, seconds);
    bench.post.outcomes.lock().unwrap().push_back(outcome);
    bench.store.due.lock().unwrap().push(message);
    run(bench.outbox.drain());
    let mut ended = bench.store.ended.lock().unwrap();
    assert_eq!(ended.len(), 1);
    ended.remove(0)
}

#[test]
fn each_outcome_leads_to_what_is_written_about_it() {
    let settings = OutboxSettings::default;
    let reply = ok;
    let end = |outcome| ends(settings(), 60, notice("a1", 1), outcome);
    assert_eq!(end(Outcome::Accepted { reply: reply() }), Attempt::Sent { at: at(60), reply: reply() });
    assert_eq!(end(Outcome::Unconfirmed { reply: reply() }), Attempt::Unknown { at: at(60), reply: reply() });
    assert_eq!(end(Outcome::Refused { reply: reply() }), Attempt::Failed { reply: reply() });
    assert_eq!(end(Outcome::Unreached { reply: reply() }), Attempt::TryAgain { at: at(60), reply: reply() });
    let later = end(Outcome::TryLater { reply: reply() });
    assert!(
        matches!(later, Attempt::TryAgain { at: again, .. } if again > at(62) && again <= at(65)),
        "{later:?}"
    );

    let resend = OutboxSettings { resend_unconfirmed: true, ..settings() };
    let again = ends(resend, 60, notice("a1", 1), Outcome::Unconfirmed { reply: reply() });
    assert!(matches!(again, Attempt::TryAgain { .. }), "{again:?}");
    let last = ends(settings(), 60, notice("a1", 100), Outcome::TryLater { reply: reply() });
    assert_eq!(last, Attempt::Failed { reply: reply() });
}

#[test]
fn what_is_too_old_or_has_no_reader_is_not_sent() {
    let accepted = || Outcome::Accepted { reply: ok() };
    let hour = 3_600;
    let mut staff = notice("", 1);
    staff.to = Addressee::Staff { kind: StaffKind::Ticket, held: 0 };
    let held = |reason| Attempt::Held { reason };
    let cases = [
        (notice("a1", 1), 6 * hour + 1, Attempt::Expired),
        (notice("gone", 1), 60, held(HoldReason::UnknownCustomer)),
        (notice("silent", 1), 60, held(HoldReason::NoAddress)),
        (notice("refused", 1), 60, held(HoldReason::OptedOut)),
        (staff, 60, held(HoldReason::NoAddress)),
    ];
    for (message, seconds, expected) in cases {
        assert_eq!(ends(OutboxSettings::default(), seconds, message, accepted()), expected);
    }
    let forever = OutboxSettings { max_age: None, ..OutboxSettings::default() };
    let old = ends(forever, 90 * 24 * hour, notice("a1", 1), accepted());
    assert!(matches!(old, Attempt::Sent { .. }));
}

#[test]
fn a_message_that_is_no_longer_true_is_not_handed_over() {
    for (answer, expected) in [
        (Ok(HandOver::Stop), SendResult::Cancelled),
        (Err(StoreError::TryAgain("busy".to_owned())), SendResult::Retried),
    ] {
        let bench = bench(OutboxSettings::default(), 60);
        bench.store.due.lock().unwrap().push(notice("a1", 1));
        *bench.store.hand_over.lock().unwrap() = Some(answer);
        run(bench.outbox.drain());
        assert_eq!(bench.post.mails.lock().unwrap().len(), 0);
        let ended = bench.store.ended.lock().unwrap();
        match (&ended[0], expected) {
            (Attempt::Cancelled, SendResult::Cancelled) | (Attempt::TryAgain { .. }, SendResult::Retried) => {
            }
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn mails_carry_address_words_and_rule() {
    let bench = bench(OutboxSettings::default(), 60);
    bench.store.due.lock().unwrap().extend([notice("a1", 1), notice("firm", 1)]);
    run(bench.outbox.drain());
    let mails = bench.post.mails.lock().unwrap();
    assert_eq!(mails[0].to.expose(), "a1@customers.invalid");
    assert_eq!(mails[0].to_name.as_ref().map(|name| name.expose().as_str()), Some("李雷"));
    assert_eq!((mails[0].rule.as_str(), mails[0].subject.contains("o-a1")), ("r", true));
    assert!(mails[0].html.is_some());
    assert_eq!(mails[1].to.expose(), "wang@example.com");
    assert!(mails[1].text.starts_with("【客户经理】"));
}

#[test]
fn more_messages_than_may_be_on_their_way_at_once_are_all_sent() {
    let bench = bench(OutboxSettings { concurrency: 3, ..OutboxSettings::default() }, 60);
    bench.store.due.lock().unwrap().extend((0..50).map(|n| notice(&format!("a{n}"), 1)));
    run(bench.outbox.drain());
    assert_eq!(bench.store.ended.lock().unwrap().len(), 50);
}

#[test]
fn draining_ends_when_the_server_can_not_be_reached() {
    let bench = bench(OutboxSettings { concurrency: 1, ..OutboxSettings::default() }, 60);
    bench.post.outcomes.lock().unwrap().push_back(Outcome::Unreached { reply: String::new() });
    bench.store.due.lock().unwrap().extend([notice("a1", 1), notice("a2", 1)]);
    run(bench.outbox.drain());
    assert_eq!((bench.store.ended.lock().unwrap().len(), bench.store.due.lock().unwrap().len()), (1, 1));
}

#[test]
fn the_sender_stops_when_it_is_told_to_and_finishes_what_is_on_its_way() {
    let Bench { store, outbox, .. } = bench(OutboxSettings::default(), 60);
    store.due.lock().unwrap().push(notice("a1", 1));
    run(async {
        let shutdown = CancellationToken::new();
        let sender = tokio::spawn(outbox.run(shutdown.clone()));
        while store.ended.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        sender.await.expect("it ends");
    });
}

#[test]
fn a_server_that_can_not_be_reached_is_left_alone_longer_and_longer() {
    let mut pause = Pause::default();
    let mut rests = Vec::new();
    for _ in 0..9 {
        pause.until = None;
        pause.note(Some(Reach::NotReached));
        // Those that were on their way as well change nothing.
        pause.note(Some(Reach::NotReached));
        rests.push(pause.rest().expect("a pause").as_secs_f64().ceil());
    }
    assert_eq!(rests, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
    pause.note(Some(Reach::NotAsked));
    assert!(pause.rest().is_some());
    pause.note(Some(Reach::Reached));
    assert_eq!((pause.rest(), pause.failures), (None, 0));
}
