//! The contract of stores on PostgreSQL, and what only a server shared by several daemons goes through.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use forewarn::delivery::notice::NoticeId;
use forewarn::edge::store::{Database, OpenError, Options};
use tokio::task::JoinSet;

use crate::contract;
use crate::core::effect::{Effect, IncidentId, Stage};
use crate::delivery::customers::Everybody;
use crate::delivery::dispatch::{Dispatcher, NoticeSettings};
use crate::delivery::ownership::ANYBODY;
use crate::delivery::samples::{about, at, notice, opened, resolved};
use crate::delivery::store::{Attempt, HandOver, OutboxStore, Planned, Store, StoreError};
use crate::harness::broker;
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::{Mailbox, Mood};
use crate::harness::postgres::{self, Schema};
use crate::harness::wait::{until, when};
use crate::harness::world::topics;

const LEASE: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(test);
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            run(async { contract::$name(Schema::new().await.open().await).await });
        }
    )+};
}

contract!(
    writing_a_batch_again_changes_nothing,
    a_message_goes_out_once_and_the_ticket_says_who_was_told,
    what_waits_is_cancelled_when_the_trouble_ends_and_no_recovery_follows,
    the_end_is_told_only_after_the_beginning_has_left,
    a_message_is_stopped_at_the_last_moment_if_it_is_no_longer_true,
    a_reopened_incident_tells_those_who_were_not_told_in_time,
    attempts_are_fenced_by_their_number,
    a_lease_that_runs_out_gives_back_what_was_not_handed_over,
    each_end_of_an_attempt_is_kept,
    only_one_incident_of_a_rule_and_subject_is_open,
    a_merged_incident_hands_its_customers_to_the_cause,
    held_messages_wait_for_a_person,
    a_held_message_is_not_released_by_a_reopening,
    staff_see_find_and_act_on_tickets,
    a_restart_knows_what_is_open_or_ended_lately,
    incidents_whose_rule_is_gone_end_and_nobody_hears_of_it,
    the_outbox_shows_its_depth_and_age,
    a_claimed_message_carries_what_it_needs,
    what_is_in_the_shadow_is_kept_apart_and_nobody_gets_it,
);

#[test]
fn what_is_proposed_is_kept_once_withdrawn_once_and_goes_with_a_merged_incident() {
    run(async {
        let (one, other) = (Schema::new().await, Schema::new().await);
        contract::proposals::what_is_proposed_is_kept_once_and_withdrawn_once(one.open().await).await;
        contract::proposals::what_a_merged_incident_has_proposed_is_shown_by_the_other(other.open().await)
            .await;
    });
}

#[test]
fn a_run_that_lost_its_shards_is_shut_out() {
    run(async {
        let places = [Schema::new().await, Schema::new().await, Schema::new().await];
        contract::ownership::a_new_owner_shuts_the_one_before_out(places[0].open().await).await;
        contract::ownership::who_has_lost_its_shards_loses_its_claims(places[1].open().await).await;
        contract::ownership::nobody_takes_over_from_who_is_well(places[2].open().await, true).await;
    });
}

#[test]
fn a_replay_from_any_point_leads_to_the_same_rows() {
    run(async {
        let (one, other) = (Schema::new().await, Schema::new().await);
        contract::a_replay_from_any_point_leads_to_the_same_rows(one.open().await, other.open().await).await;
    });
}

fn plan(effects: impl IntoIterator<Item = Effect>) -> Vec<Planned> {
    let mut dispatcher = Dispatcher::new(NoticeSettings::default(), std::sync::Arc::new(Everybody));
    effects.into_iter().map(|effect| dispatcher.plan(effect)).collect()
}

/// An incident of its own subject, with a message to an account of its own.
fn trouble(number: u128) -> [Effect; 2] {
    [opened(number), notice(number, &format!("a{number}"), Stage::Opened, 1)]
        .map(|effect| about(effect, &format!("c{number}")))
}

fn sent(seconds: i64) -> Attempt {
    Attempt::Sent { at: at(seconds), reply: String::new() }
}

/// Claims and sends until nothing is left; what was handed over with which attempt.
async fn deliver(store: Database) -> Vec<(NoticeId, u32)> {
    let mut handed = Vec::new();
    loop {
        let claimed = store.claim_due(at(2), 3, LEASE).await.unwrap();
        if claimed.is_empty() && store.figures().await.unwrap().outbox_depth == 0 {
            return handed;
        }
        for outgoing in claimed {
            let answer = store.hand_over(outgoing.id, outgoing.attempt, at(2)).await.unwrap();
            assert_eq!(answer, HandOver::Go);
            handed.push((outgoing.id, outgoing.attempt));
            assert!(store.complete(outgoing.id, outgoing.attempt, sent(3)).await.unwrap());
        }
    }
}

#[test]
fn daemons_that_deliver_side_by_side_send_every_message_once() {
    run(async {
        let schema = Schema::new().await;
        let stores = [schema.open().await, schema.open().await];
        stores[0].apply(&ANYBODY, &plan((1..=100).flat_map(trouble))).await.unwrap();
        let mut tasks = JoinSet::new();
        for store in stores.iter().flat_map(|store| [store, store, store, store]) {
            tasks.spawn(deliver(store.clone()));
        }
        // More comes while they are at it.
        stores[1].apply(&ANYBODY, &plan((101..=200).flat_map(trouble))).await.unwrap();
        let mut attempts = BTreeMap::<NoticeId, Vec<u32>>::new();
        let delivered = tokio::time::timeout(Duration::from_secs(120), tasks.join_all());
        for handed in delivered.await.expect("nothing is left over") {
            for (id, attempt) in handed {
                attempts.entry(id).or_default().push(attempt);
            }
        }
        assert_eq!(attempts.len(), 200);
        assert!(attempts.values().all(|attempts| attempts == &[1]), "{attempts:?}");
        assert_eq!(
            schema.ask("SELECT count(*) FROM notices WHERE state = 'sent' AND attempts = 1").await,
            200
        );
    });
}

#[test]
fn who_comes_back_after_the_lease_finds_the_message_in_other_hands() {
    run(async {
        let schema = Schema::new().await;
        let (slow, quick) = (schema.open().await, schema.open().await);
        slow.apply(&ANYBODY, &plan(trouble(1))).await.unwrap();
        let first = slow.claim_due(at(2), 10, LEASE).await.unwrap().remove(0);
        assert_eq!(quick.claim_due(at(61), 10, LEASE).await.unwrap(), []);
        let second = quick.claim_due(at(63), 10, LEASE).await.unwrap().remove(0);
        assert_eq!((first.id, first.attempt, second.attempt), (second.id, 1, 2));
        assert_eq!(slow.hand_over(first.id, first.attempt, at(64)).await.unwrap(), HandOver::Stop);
        assert!(!slow.complete(first.id, first.attempt, sent(64)).await.unwrap());
        assert_eq!(quick.hand_over(second.id, second.attempt, at(65)).await.unwrap(), HandOver::Go);
        assert!(quick.complete(second.id, second.attempt, sent(66)).await.unwrap());
        let told = quick.ticket(&IncidentId(1).to_string()).await.unwrap().remove(0);
        assert_eq!((told.notices[0].state.as_str(), told.notices[0].sent_at), ("sent", Some(at(66))));
    });
}

#[test]
fn of_daemons_that_find_the_same_trouble_one_opens_it() {
    run(async {
        let schema = Schema::new().await;
        let stores = [schema.open().await, schema.open().await];
        let mut tasks = JoinSet::new();
        for number in 1..=16_u128 {
            let store = stores[usize::try_from(number % 2).unwrap()].clone();
            tasks.spawn(async move { store.apply(&ANYBODY, &plan([opened(number)])).await });
        }
        for applied in tasks.join_all().await {
            assert_eq!(applied.unwrap().written, 1);
        }
        assert_eq!(schema.ask("SELECT count(*) FROM incidents WHERE ended_at IS NULL").await, 1);
        assert_eq!(schema.ask("SELECT count(*) FROM tickets WHERE state = 'merged'").await, 15);
        // Whoever goes past the daemon is held up by the database.
        let mut other = schema.connect().await;
        let second = sqlx::query(
            "INSERT INTO incidents SELECT 'x', rule, rule_version, subject, since, started_at, opened_at, NULL, NULL, 1
             FROM incidents WHERE ended_at IS NULL",
        );
        let error = second.execute(&mut other).await.unwrap_err().to_string();
        assert!(error.contains("incidents_one_open"), "{error}");
    });
}

#[test]
fn an_end_and_a_failed_attempt_at_the_same_time_leave_nothing_waiting() {
    run(async {
        let schema = Schema::new().await;
        let stores = [schema.open().await, schema.open().await];
        for number in 1..=20_u128 {
            stores[0].apply(&ANYBODY, &plan(trouble(number))).await.unwrap();
            let claimed = stores[0].claim_due(at(2), 10, LEASE).await.unwrap().remove(0);
            let end = plan([about(resolved(number, 2, 5), &format!("c{number}"))]);
            let again = Attempt::TryAgain { at: at(9), reply: String::new() };
            let (ended, completed) = tokio::join!(
                stores[1].apply(&ANYBODY, &end),
                stores[0].complete(claimed.id, claimed.attempt, again)
            );
            assert!(ended.unwrap().written == 1 && completed.unwrap());
        }
        assert_eq!(schema.ask("SELECT count(*) FROM notices WHERE state = 'cancelled'").await, 20);
    });
}

#[test]
fn daemons_that_start_at_once_make_the_tables_once() {
    run(async {
        let schema = Schema::new().await;
        let opened = tokio::join!(schema.open(), schema.open(), schema.open(), schema.open());
        drop(opened);
        assert_eq!(schema.ask("SELECT max(version) FROM _sqlx_migrations").await, 3);
    });
}

#[test]
fn what_is_wrong_with_a_database_is_said_without_its_password() {
    run(async {
        let schema = Schema::new().await;
        let fail = async |url: &str| match Database::attach(&postgres::settings(url)).await {
            Ok(_) => panic!("attached"),
            Err(error) => {
                assert!(!error.to_string().contains("secret"), "{error}");
                error
            }
        };
        let nobody = fail("postgres://li:secret@127.0.0.1:1/x").await.to_string();
        assert!(nobody.starts_with("cannot use the database postgres://127.0.0.1:1/x: "), "{nobody}");
        assert!(nobody.contains("refused"), "{nobody}");

        let (_, rest) = postgres::address().split_once('@').unwrap();
        let stranger = fail(&format!("postgres://li:secret@{rest}")).await.to_string();
        assert!(stranger.contains("password authentication failed for user \"li\""), "{stranger}");

        assert!(matches!(fail(&schema.url("")).await, OpenError::Empty { .. }));
        schema
            .tell(&format!(
                "CREATE ROLE {0}_li LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA {0} TO {0}_li",
                schema.name
            ))
            .await;
        let address = format!("postgres://{0}_li:secret@{rest}?options[search_path]={0}", schema.name);
        let forbidden = fail(&address).await.to_string();
        let expected = format!("the user {0}_li may not make any in the schema {0}", schema.name);
        assert!(forbidden.contains(&expected), "{forbidden}");
        let opened = Database::open(&postgres::settings(&address), Options::default()).await;
        let text = opened.unwrap_err().to_string();
        assert!(text.contains("permission denied for schema"), "{text}");

        schema.open().await.finish().await;
        schema.tell("UPDATE _sqlx_migrations SET version = 7 WHERE version = 3").await;
        let other = fail(&schema.url("")).await.to_string();
        assert!(other.contains("has schema 7, this forewarn needs 3"), "{other}");
        let opened = Database::open(&schema.settings(""), Options::default()).await;
        assert!(matches!(opened, Err(OpenError::OtherVersion { found: 7, .. })));
    });
}

#[test]
fn a_server_that_ends_its_connections_is_connected_to_again() {
    run(async {
        let schema = Schema::new().await;
        let store = schema.open().await;
        // The connections take turns: all of them are made, and all of them are ended.
        for number in 1..=12 {
            store.apply(&ANYBODY, &plan(trouble(number))).await.unwrap();
        }
        let (name, others) = (&schema.name, "pid <> pg_backend_pid()");
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}' AND {others}"
        );
        schema.tell(&end).await;
        for number in 13..=24 {
            store.apply(&ANYBODY, &plan(trouble(number))).await.unwrap();
        }

        // In the middle of a transaction, which waits for somebody's lock.
        let mut holder = schema.connect().await;
        sqlx::query("SELECT pg_advisory_lock(7301594018232291)").execute(&mut holder).await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.apply(&ANYBODY, &plan(trouble(25))).await }
        });
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
        );
        let begun = async {
            while schema.ask(&waits).await == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), begun).await.expect("it waits for the lock");
        schema.tell(&format!("{end} AND wait_event_type = 'Lock'")).await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error, StoreError::TryAgain(_)), "{error}");
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut holder).await.unwrap();
        let applied = store.apply(&ANYBODY, &plan(trouble(25))).await.unwrap();
        assert_eq!((applied.written, applied.repeated), (2, 0), "it had written nothing");
    });
}

#[test]
fn a_standby_is_to_be_tried_again_and_a_missing_table_is_not() {
    run(async {
        let schema = Schema::new().await;
        schema.open().await.finish().await;
        let settings = schema.settings("&options[default_transaction_read_only]=on");
        let standby = Database::attach(&settings).await.unwrap();
        let error = standby.apply(&ANYBODY, &plan(trouble(1))).await.unwrap_err();
        assert!(matches!(error, StoreError::TryAgain(_)), "{error}");
        // Reading works there.
        assert_eq!(standby.figures().await.unwrap().open_incidents, 0);
        let store = schema.open().await;
        schema.tell("DROP TABLE proposals").await;
        assert_eq!(store.ticket("00").await.unwrap(), [], "without a ticket, nothing is asked about it");
        store.apply(&ANYBODY, &plan(trouble(1))).await.unwrap();
        let error = store.ticket("00").await.unwrap_err();
        assert!(matches!(error, StoreError::GiveUp(_)), "{error}");
    });
}

#[test]
fn a_caller_that_stops_waiting_leaves_no_transaction_behind() {
    run(async {
        let schema = Schema::new().await;
        let store = schema.open().await;
        for number in 1..=20_u128 {
            let batch = plan(trouble(number));
            let write = store.apply(&ANYBODY, &batch);
            // Polled once, then dropped at its first wait.
            tokio::select! { biased; _ = write => {}, () = std::future::ready(()) => {} }
        }
        store.apply(&ANYBODY, &plan(trouble(99))).await.unwrap();
        store.finish().await;
        assert_eq!(schema.ask("SELECT count(*) FROM incidents").await, 21);
        let open =
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = ";
        assert_eq!(schema.ask(&format!("{open}'{}'", schema.name)).await, 0);
    });
}

#[test]
fn texts_of_any_length_and_content_are_kept() {
    run(async {
        let schema = Schema::new().await;
        let store = schema.open().await;
        let long: String =
            (0..4_000_u32).map(|number| char::from_u32(0x4e00 + number * 7 % 20_000).unwrap()).collect();
        let effects = [
            about(opened(1), &long),
            about(opened(2), "a\0b"),
            about(notice(2, "a\0b", Stage::Opened, 1), "a\0b"),
        ];
        store.apply(&ANYBODY, &plan(effects.clone())).await.unwrap();
        assert_eq!(store.apply(&ANYBODY, &plan(effects)).await.unwrap().written, 0);
        let known = store.known_incidents(at(0)).await.unwrap();
        let values: Vec<_> = known.iter().map(|incident| incident.subject.0[0].1.as_str()).collect();
        assert_eq!(values, [long.as_str(), "a\0b"]);
        assert_eq!(store.known_notices(at(0)).await.unwrap()[0].account_id, "a\u{fffd}b");
    });
}

#[test]
fn a_daemon_killed_while_it_writes_opens_each_ticket_once_and_tells_each_customer_once() {
    let mailbox = Mailbox::open();
    mailbox.set_mood(Mood::HangUp);
    let (orders, logins) = topics(2);
    let runtime = broker::runtime();
    let schema = runtime.block_on(Schema::new());
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.replace("store", &format!("url = \"{}\"", schema.url("")));
    place.set("notices", "per_minute = 100000\nper_rule = 100000\nper_incident = 100000");
    place.add_rule("failures", EVERY_FAILURE);
    place.set_numbered_customers(500);
    let time = Timeline::recent();
    let failed = |number: i64| {
        time.topup_failed(number / 10, &format!("o{number}"), &format!("a{number}"), "alipay", "E")
    };
    broker::produce(&orders, (0..250).map(failed));

    let mut daemon = place.run();
    let tickets = || Ok::<_, String>(runtime.block_on(schema.ask("SELECT count(*) FROM tickets")));
    let tables = || runtime.block_on(schema.ask("SELECT count(to_regclass('proposals'))"));
    until("the tables", || when(tables() == 1, ()));
    until("the first tickets", || tickets().and_then(|count| when(count > 0, count)));
    broker::produce(&orders, (250..500).map(failed));
    daemon.kill();

    let mut daemon = place.run();
    until("a ticket for each of them", || tickets().and_then(|count| when(count == 500, count)));
    mailbox.set_mood(Mood::Accept);
    let count = |state: &str| {
        let query = format!("SELECT count(*) FROM notices WHERE account <> '' AND state = '{state}'");
        runtime.block_on(schema.ask(&query))
    };
    // What was in the hands of the dead is known at once, also whether it may have arrived.
    until("every mail", || {
        let (sent, unknown) = (count("sent"), count("unknown"));
        when(sent + unknown == 500, (sent, unknown))
    });
    let mails = mailbox.mails();
    let identities: std::collections::BTreeSet<&String> = mails.iter().map(|mail| &mail.message_id).collect();
    assert_eq!(identities.len(), mails.len(), "a mail came twice");
    let mails = i64::try_from(mails.len()).unwrap();
    assert!(count("sent") <= mails && mails <= 500, "{mails} mails, {} sent", count("sent"));
    assert_eq!(place.tickets().unwrap().len(), 100, "the command line reads it as well");
    assert!(daemon.stop().success());
}

#[test]
fn a_daemon_stands_by_takes_over_and_shuts_out_the_one_before() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let runtime = broker::runtime();
    let schema = runtime.block_on(Schema::new());
    let mut one = Place::new(&orders, &logins, &mailbox);
    one.replace("store", &format!("url = \"{}\"", schema.url("")));
    one.set("notices", "per_minute = 100000\nper_rule = 100000\nper_incident = 100000");
    one.add_rule("failures", EVERY_FAILURE);
    one.set_numbered_customers(300);
    let other = one.elsewhere();
    let time = Timeline::recent();
    let fail = |numbers: std::ops::Range<i64>| {
        let failed = |number: i64| {
            time.topup_failed(number / 10, &format!("o{number}"), &format!("a{number}"), "alipay", "E")
        };
        broker::produce(&orders, numbers.map(failed));
    };
    let count = |query: &str| runtime.block_on(schema.ask(query));
    let told = |expected: i64| {
        until("a mail for each of them", || {
            let sent = count("SELECT count(*) FROM notices WHERE account <> '' AND state = 'sent'");
            when(sent == expected, sent)
        });
    };
    let says = |place: &Place, text: &str| {
        until(text, || {
            let log = std::fs::read_to_string(place.path("daemon.log")).unwrap_or_default();
            when(log.contains(text), ())
        });
    };

    let mut first = one.run();
    fail(0..100);
    until("its tables", || when(count("SELECT count(to_regclass('shards'))") == 1, ()));
    told(100);
    let mut second = other.run();
    says(&other, "standing by");
    assert!(first.stop().success());
    fail(100..200);
    told(200);

    // The one that works is stopped for longer than its lease, and goes on when another has taken its place.
    let mut first = one.run();
    says(&one, "standing by");
    second.signal("-STOP");
    fail(200..300);
    told(300);
    second.signal("-CONT");
    let status = second.wait(Duration::from_secs(60));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    assert!(second.log().contains("another daemon has taken over"), "{}", second.log());

    assert!(first.stop().success());
    assert_eq!(count("SELECT count(*) FROM tickets"), 300);
    let mails = mailbox.mails();
    let addresses: std::collections::BTreeSet<&String> = mails.iter().map(|mail| &mail.message_id).collect();
    assert_eq!((mails.len(), addresses.len()), (300, 300));
}
