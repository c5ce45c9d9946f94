//! kill -9 at random moments, with windows and deadlines open, while events flow. A few times here, twenty times and
//! with another seed in `scripts/crash`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::harness::broker::{self, Record};
use crate::harness::daemon::Place;
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::settled::{Settled, shown};
use crate::harness::store;
use crate::harness::wait::{pass, until_within, when};
use crate::harness::world::topics;

const RULES: &str = r#"
name: repeated-failures
summary: An account keeps failing
owner: payments
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 3, window: 20s }
incident: { wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
notice: { template: topup_failing, to: account }
---
name: not-delivered
summary: Paid, and nothing arrived in time
owner: fulfilment
topics: orders
group_by: [order_id]
detect: { kind: deadline, key: order_id, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 8s }
ticket: { category: not_delivered, department: supplier_relations, severity: high, sla: emergency }
notice: { template: delivery_late, to: account }
"#;

/// Each round has its own account: it fails three times within 12 s and gets two orders, one of them delivered.
const ROUNDS_PER_SECOND: u64 = 5;
const RECOVERY: Duration = Duration::from_secs(10);
/// Starting, waiting until the group has given up the member that was killed (`session.timeout.ms`: 6 s), joining, and
/// restoring the snapshot, on a loaded machine.
const START: Duration = Duration::from_secs(9);

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/crash says in the environment how often and with which seed"
)]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What one round writes at which second after its start.
fn round(time: &Timeline, number: u64) -> Vec<(i64, Record)> {
    let account = format!("a{number}");
    let start = i64::try_from(number / ROUNDS_PER_SECOND).unwrap();
    let mut events = Vec::new();
    for (number, after) in [0, 5, 12].into_iter().enumerate() {
        let at = start + after;
        events.push((at, time.topup_failed(at, &format!("{account}-f{number}"), &account, "alipay", "E")));
    }
    let order = |name: &str| json!({ "order_id": format!("{account}-{name}"), "kind": "card_key" });
    for (kind, name, after) in
        [("order.paid", "lost", 0), ("order.paid", "good", 1), ("order.delivered", "good", 6)]
    {
        let at = start + after;
        let id = format!("{account}-{name}-{kind}");
        events.push((at, time.event(at, &id, kind, &account, order(name))));
    }
    events
}

/// Writes every event when its second has come, until told to stop; then the rest of the rounds begun.
struct Platform {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicI64>,
    thread: thread::JoinHandle<u64>,
}

impl Platform {
    #[expect(clippy::disallowed_methods, reason = "events flow in real time")]
    fn start(topic: String) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = thread::spawn(move || {
            let time = Timeline::now();
            let started = Instant::now();
            let mut rounds = 0;
            let mut coming: Vec<(i64, Record)> = Vec::new();
            loop {
                let second = i64::try_from(started.elapsed().as_secs()).unwrap();
                if !stopped.load(Ordering::Relaxed) {
                    while i64::try_from(rounds / ROUNDS_PER_SECOND).unwrap() <= second {
                        coming.extend(round(&time, rounds));
                        rounds += 1;
                    }
                } else if coming.is_empty() {
                    return rounds;
                }
                coming.sort_by_key(|(at, _)| *at);
                let due = coming.partition_point(|(at, _)| *at <= second);
                let records: Vec<Record> = coming.drain(..due).map(|(_, record)| record).collect();
                let number = i64::try_from(records.len()).unwrap();
                broker::produce(&topic, records);
                count.fetch_add(number, Ordering::Relaxed);
                pass(Duration::from_millis(100));
            }
        });
        Self { stop, written, thread }
    }

    fn written(&self) -> i64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The number of rounds that there were.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn place(orders: &str, logins: &str, mailbox: &Mailbox) -> Place {
    let mut place = Place::new(orders, logins, mailbox);
    place.add_rule("crash", RULES);
    place.set("state", "recovery = \"10s\"");
    place.set("notices", "per_minute = 100000\nper_rule = 100000\nper_incident = 100000");
    place.set_numbered_customers(10_000);
    place
}

#[test]
fn a_daemon_killed_again_and_again_loses_nothing_and_says_nothing_twice() {
    let (kills, seed) = (setting("FOREWARN_CRASH_KILLS", 4), setting("FOREWARN_CRASH_SEED", 1));
    println!("{kills} kills, seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(4);
    let place = place(&orders, &logins, &mailbox);
    let platform = Platform::start(orders.clone());

    let mut committed = 0;
    let mut advanced = 0;
    for kill in 0..kills {
        let mut daemon = place.run();
        // Half of them early, while it restores and catches up; half of them in the middle of its work.
        let early = Duration::from_millis(500);
        let (shortest, longest) = if kill % 2 == 0 { (early, START) } else { (START, START + RECOVERY * 2) };
        let life = shortest.as_millis() as u64..longest.as_millis() as u64;
        let life = Duration::from_millis(random.random_range(life));
        let mut read_before = 0;
        if let Some(early) = life.checked_sub(RECOVERY + START) {
            pass(early + START);
            read_before = platform.written();
            pass(life - early - START);
        } else {
            pass(life);
        }
        assert!(daemon.is_running(), "it ended by itself");
        daemon.kill();
        let now = broker::committed(&place.group, &orders);
        println!("killed after {life:?}: committed {committed} → {now} of {}", platform.written());
        assert!(now >= committed, "committed offsets never go back");
        assert!(
            now >= read_before,
            "of what was there {RECOVERY:?} before the end, {} is read again",
            read_before - now
        );
        advanced += u64::from(now > committed);
        committed = now;
    }
    assert!(
        advanced * 2 >= kills,
        "committed offsets advance between kills: only {advanced} times of {kills}"
    );

    let mut daemon = place.run();
    let rounds = platform.end();
    let settle = |place: &Place| {
        let database = place.path("forewarn.db");
        until_within(Duration::from_secs(120), "all tickets", || {
            store::rows(&database, "SELECT 1 FROM tickets LIMIT 1")?;
            let settled = Settled::from_database(&database);
            when(settled.incidents.len() as u64 >= rounds * 2, settled.incidents.len()).map(|_| settled)
        })
    };
    let settled = settle(&place);

    let calm_mailbox = Mailbox::open();
    let calm = self::place(&orders, &logins, &calm_mailbox);
    let mut fault_free = calm.run();
    let reference = settle(&calm);
    // When each opened depends on when it was read, which the crashes delay.
    let differing = settled.differing_incidents(&reference, SignedDuration::from_hours(1));
    assert!(differing.is_empty(), "with crashes (left) and without (right) differ:\n{}", shown(&differing));
    assert_eq!(settled.incidents.len(), reference.incidents.len(), "a ticket is there twice");

    let withdrawn =
        store::rows(&place.path("forewarn.db"), "SELECT id FROM tickets WHERE state = 'withdrawn'");
    assert_eq!(withdrawn.unwrap(), [""; 0], "what was merely not read yet was taken for missing");

    let count = |state: &str| {
        let query = format!("SELECT count(*) FROM notices WHERE account <> '' AND state = '{state}'");
        store::rows(&place.path("forewarn.db"), &query).unwrap()[0].parse::<u64>().unwrap()
    };
    until_within(Duration::from_secs(120), "every mail", || {
        let (sent, unknown) = (count("sent"), count("unknown"));
        when(sent + unknown == rounds * 2, (sent, unknown, rounds * 2))
    });
    let customers = |mail: &crate::harness::mailbox::Mail| mail.to[0].ends_with("@example.com");
    let mails: Vec<_> = mailbox.mails().into_iter().filter(customers).collect();
    let identities: BTreeSet<&String> = mails.iter().map(|mail| &mail.message_id).collect();
    println!("{} tickets, {} mails, {} unknown", settled.incidents.len(), mails.len(), count("unknown"));
    assert_eq!(identities.len(), mails.len(), "a mail came twice");
    assert!(mails.len() as u64 + count("unknown") >= rounds * 2, "a mail is lost");

    assert!(daemon.stop().success());
    assert!(fault_free.stop().success());
}
