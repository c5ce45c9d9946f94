//! The contract of stores on SQLite, and what only a file in the hands of several processes can go through.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use super::memory::SqliteMemory;
use super::*;
use crate::core::effect::IncidentId;
use crate::delivery::ownership::ANYBODY;
use crate::delivery::samples::{at, opened};
use crate::delivery::store::{ActionResult, Attempt, HandOver, OutboxStore as _, Planned, Store as _};
use crate::edge::store::sql::{apply, outbox, rows};
use crate::edge::store::{Database, Options, contract};
use crate::settings::StoreSettings;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("forewarn.db")
    }

    fn settings(&self) -> StoreSettings {
        StoreSettings::Sqlite(self.file())
    }

    async fn open(&self) -> Database {
        Database::open(&self.settings(), Options::default()).await.expect("opened")
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(async {
                    let folder = Folder::new();
                    contract::$name(folder.open().await).await;
                });
            }
        )+

        #[test]
        fn a_database_in_memory_does_the_same() {
            let memory = SqliteMemory::open();
            run(async {
                $(
                    memory.clear();
                    contract::$name(Database::in_memory(&memory)).await;
                )+
            });
        }
    };
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
        let (one, other) = (Folder::new(), Folder::new());
        contract::proposals::what_is_proposed_is_kept_once_and_withdrawn_once(one.open().await).await;
        contract::proposals::what_a_merged_incident_has_proposed_is_shown_by_the_other(other.open().await)
            .await;
    });
}

#[test]
fn a_run_that_lost_its_shards_is_shut_out() {
    run(async {
        let places = [Folder::new(), Folder::new(), Folder::new()];
        contract::ownership::a_new_owner_shuts_the_one_before_out(places[0].open().await).await;
        contract::ownership::who_has_lost_its_shards_loses_its_claims(places[1].open().await).await;
        contract::ownership::nobody_takes_over_from_who_is_well(places[2].open().await, false).await;
    });
}

#[test]
fn a_replay_from_any_point_leads_to_the_same_rows() {
    run(async {
        let (one, other) = (Folder::new(), Folder::new());
        contract::a_replay_from_any_point_leads_to_the_same_rows(one.open().await, other.open().await).await;
    });
}

fn planned(effect: crate::core::effect::Effect) -> Vec<Planned> {
    vec![Planned { effect, decision: None, staff: None }]
}

#[test]
fn a_second_daemon_on_the_same_file_is_refused_and_the_command_line_is_not() {
    run(async {
        let folder = Folder::new();
        let missing = Database::attach(&folder.settings()).await.expect_err("nothing there").to_string();
        assert!(missing.starts_with("there is no database"), "{missing}");
        let daemon = folder.open().await;
        let refused = Database::open(&folder.settings(), Options::default()).await.expect_err("locked");
        let text = refused.to_string();
        assert!(text.starts_with("another forewarn uses the database"), "{text}");
        daemon.apply(&ANYBODY, &planned(opened(1))).await.expect("written");
        let command = Database::attach(&folder.settings()).await.expect("attached");
        let acknowledged = command.acknowledge(IncidentId(1), "li", at(9)).await.expect("written");
        assert_eq!(acknowledged, ActionResult::Done);
        assert_eq!(daemon.ticket("00").await.expect("read")[0].ticket.state, "acknowledged");
        command.finish().await;
        daemon.finish().await;
    });
}

#[test]
fn a_restart_keeps_everything_and_takes_back_what_the_dead_had_claimed() {
    run(async {
        let folder = Folder::new();
        let database = folder.settings();
        for (resend, expected) in [(false, "unknown"), (true, "pending")] {
            let store = Database::open(&database, Options::default()).await.expect("opened");
            let incident = if resend { 2 } else { 1 };
            let mut effects = vec![
                opened(incident),
                crate::delivery::samples::notice(incident, "a1", crate::core::effect::Stage::Opened, 1),
            ];
            effects = effects
                .into_iter()
                .map(|effect| crate::delivery::samples::about(effect, &format!("c{incident}")))
                .collect();
            let settings =
                crate::delivery::dispatch::NoticeSettings { staff_mail: true, ..Default::default() };
            let everybody = std::sync::Arc::new(crate::delivery::customers::Everybody);
            let mut dispatcher = crate::delivery::dispatch::Dispatcher::new(settings, everybody);
            let batch: Vec<_> = effects.into_iter().map(|effect| dispatcher.plan(effect)).collect();
            store.apply(&ANYBODY, &batch).await.expect("written");
            let claimed = store.claim_due(at(2), 10, Duration::from_secs(3_600)).await.expect("claimed");
            let [.., staff, customer] = claimed.as_slice() else { panic!("two were due") };
            let go = store.hand_over(customer.id, customer.attempt, at(2)).await.expect("asked");
            assert_eq!(go, HandOver::Go);
            assert_eq!(staff.attempt, 1);
            // As after a kill: nothing is completed, the lock is gone.
            store.finish().await;
            let options = Options { resend_unconfirmed: resend };
            let store = Database::open(&database, options).await.expect("opened");
            let id = IncidentId(incident).to_string();
            let notices = store.ticket(&id).await.expect("read").remove(0).notices;
            let states: Vec<_> = notices.iter().map(|notice| notice.state.as_str()).collect();
            assert_eq!(states, ["pending", expected]);
            let mut again = store.claim_due(at(3), 10, Duration::from_secs(3_600)).await.expect("claimed");
            let first = again.remove(0);
            assert_eq!(first.attempt, 2);
            for outgoing in again.iter().chain([&first]) {
                let done = Attempt::Sent { at: at(4), reply: String::new() };
                assert!(store.complete(outgoing.id, outgoing.attempt, done).await.expect("completed"));
            }
            store.finish().await;
        }
    });
}

#[test]
fn a_database_that_another_process_holds_is_to_be_tried_again_and_a_damaged_one_is_not() {
    run(async {
        let folder = Folder::new();
        let store = SqliteFile::open(&folder.file()).await.expect("opened");
        let mut other = connect_options(&folder.file()).connect().await.expect("connected");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("begun");
        fn nothing<'c>(_: &'c mut (dyn Connection + 'c)) -> Work<'c, ()> {
            Box::pin(async { Ok(()) })
        }
        // The wait is shortened for the test; what is written waits in the caller, nothing is lost.
        let shorten: Job = Box::new(|connection| {
            Box::pin(async move {
                drop(sqlx::query("PRAGMA busy_timeout = 1").execute(connection).await);
            })
        });
        assert!(store.jobs.send(Message::Work(shorten)).await.is_ok());
        let busy = store.write(nothing).await.expect_err("locked");
        assert!(matches!(busy, StoreError::TryAgain(_)), "{busy}");
        assert!(busy.to_string().contains("database is locked"), "{busy}");
        sqlx::query("ROLLBACK").execute(&mut other).await.expect("ended");
        store.write(nothing).await.expect("free again");
        sqlx::query("DROP TABLE notices").execute(&mut other).await.expect("dropped");
        let broken =
            store.read(|connection| Box::pin(outbox::figures(connection))).await.expect_err("no such table");
        assert!(matches!(broken, StoreError::GiveUp(_)), "{broken}");
    });
}

#[test]
fn a_caller_that_stops_waiting_leaves_no_transaction_behind() {
    run(async {
        let folder = Folder::new();
        let store = folder.open().await;
        for incident in 1..=20_u128 {
            let batch = planned(crate::delivery::samples::about(opened(incident), &format!("c{incident}")));
            let write = store.apply(&ANYBODY, &batch);
            // Polled once, then dropped at its first wait.
            tokio::select! { biased; _ = write => {}, () = std::future::ready(()) => {} }
        }
        store
            .apply(&ANYBODY, &planned(crate::delivery::samples::about(opened(99), "c99")))
            .await
            .expect("written");
        assert_eq!(store.figures().await.expect("read").open_incidents, 21);
    });
}

#[test]
fn a_failed_batch_writes_nothing_of_itself() {
    run(async {
        let folder = Folder::new();
        let store = SqliteFile::open(&folder.file()).await.expect("opened");
        fn work<'c>(connection: &'c mut (dyn Connection + 'c)) -> Work<'c, ()> {
            Box::pin(async move {
                apply::batch(connection, &rows::encode(&planned(opened(1)))).await?;
                Err(sqlx::Error::Protocol("on purpose".to_owned()))
            })
        }
        store.write(work).await.expect_err("fails");
        store.finish().await;
        let store = folder.open().await;
        assert_eq!(store.figures().await.expect("read").open_incidents, 0);
        store.apply(&ANYBODY, &planned(opened(1))).await.expect("written");
    });
}

#[test]
fn another_version_of_the_schema_is_refused() {
    run(async {
        let folder = Folder::new();
        folder.open().await.finish().await;
        let mut other = connect_options(&folder.file()).connect().await.expect("connected");
        sqlx::query("UPDATE _sqlx_migrations SET version = 7 WHERE version = 3")
            .execute(&mut other)
            .await
            .expect("changed");
        let attached = Database::attach(&folder.settings()).await.expect_err("another schema").to_string();
        assert!(attached.contains("has schema 7, this forewarn needs 3"), "{attached}");
        let opened = Database::open(&folder.settings(), Options::default()).await;
        assert!(matches!(opened, Err(OpenError::Migration { .. })));
    });
}
