//! Rules that change while the daemon runs: nothing is skipped or counted twice, what is new finds what it would have found
//! had it always been there, and what is wrong changes nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::broker::{self, Record};
use crate::harness::daemon::Place;
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::store;
use crate::harness::wait::{pass, until, when};
use crate::harness::world::topics;

const TOKEN: &str = "token-of-the-test-0123";

/// At any change a hundred accounts have failed once or twice and will fail again: only who knows of these finds them.
const REPEATED: &str = r#"
name: repeated
topics: orders
group_by: [account_id]
detect: { kind: frequency, count: 'type == "order.failed"', at_least: 3, window: 20m }
incident: { wait: 0s }
"#;

/// Every order that is paid and not delivered.
const UNDELIVERED: &str = r#"
name: undelivered
topics: orders
group_by: [order_id]
detect: { kind: deadline, start: 'type == "order.paid"', end: 'type == "order.delivered"', within: 5m }
grace: 0s
lateness: 10s
"#;

/// Counts what it sees: each ticket's evidence says how many events there were, so that one too many or too few shows.
const COUNTING: &str = r#"
name: counting
topics: orders
group_by: [channel]
detect: { kind: metric, agg: count, window: 5h, at_least: "TOTAL" }
keep_firing_for: 0s
"#;

fn post(address: SocketAddr, path: &str, token: &str) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(text)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no header")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}

fn status(place: &Place) -> Result<serde_json::Value, String> {
    let address = place.http.to_string();
    let output = place.ask(&["status", "--at", &address, "--format", "json"]);
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// What happens in the second of that number: an order that now and then is not delivered, and failures of accounts that
/// fail three times, five hundred seconds apart.
fn round(time: &Timeline, number: i64) -> Vec<Record> {
    let event = |kind: &str, account: String, order: String| {
        let fields = json!({ "order_id": order, "channel": format!("c{}", number % 2) });
        time.event(number, &format!("{kind}-{order}"), kind, &account, fields)
    };
    let buyer = || format!("a{}", number % 200);
    let mut records = vec![event("order.paid", buyer(), format!("o{number}"))];
    if number % 7 > 0 {
        records.push(event("order.delivered", buyer(), format!("o{number}")));
    }
    for before in [0, 500, 1_000] {
        let first = number - before;
        if first >= 0 && first % 10 == 0 {
            let account = format!("f{}", first / 10);
            records.push(event("order.failed", account, format!("f{number}-{before}")));
        }
    }
    records
}

/// The subjects of a rule's tickets, by the number in their name.
fn tickets(place: &Place, rule: &str) -> BTreeSet<i64> {
    let query = format!("SELECT subject FROM incidents WHERE rule = '{rule}'");
    let number = |subject: &String| {
        let digits: String = subject.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    store::rows(&place.path("forewarn.db"), &query).unwrap().iter().map(number).collect()
}

const ROUNDS: i64 = 3_000;

#[test]
fn two_rule_sets_swap_under_load_and_nothing_is_skipped_or_counted_twice() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(4);
    let time = Timeline::recent();
    let all: Vec<Record> = (0..ROUNDS).flat_map(|number| round(&time, number)).collect();
    let of_channel = |name: &str| {
        let wanted = format!("\"channel\":\"{name}\"");
        all.iter().filter(|record| String::from_utf8_lossy(&record.payload).contains(&wanted)).count()
    };
    assert!(of_channel("c0") > 1_000);

    let mut place = Place::new(&orders, &logins, &mailbox);
    place.set("http", &format!("reload_token = \"{TOKEN}\""));
    place.set("rules", "watch = false");
    let counting = |name: &str, total: usize| {
        COUNTING.replace("counting", name).replace("TOTAL", &total.to_string())
            + &format!("where: 'channel == \"{}\"'\n", if name.ends_with('0') { "c0" } else { "c1" })
    };
    // Met by exactly the last event of each channel: one skipped, and it is never met; one twice, and another is met first.
    let exact = [counting("kept-0", of_channel("c0")), counting("kept-1", of_channel("c1"))].join("---");
    let beyond =
        [counting("over-0", of_channel("c0") + 1), counting("over-1", of_channel("c1") + 1)].join("---");
    place.add_rule("kept", &exact);
    place.add_rule("beyond", &beyond);
    place.add_rule("undelivered", UNDELIVERED);
    place.add_rule("goes", &REPEATED.replace("repeated", "goes").replace("at_least: 3", "at_least: 1"));

    let sent = Arc::new(AtomicI64::new(0));
    let is_done = Arc::new(AtomicBool::new(false));
    let mut daemon = place.run();
    let producer = {
        let (sent, orders, time) =
            (Arc::clone(&sent), orders.clone(), Timeline::from(&time.at(0).to_string()));
        let is_done = Arc::clone(&is_done);
        thread::spawn(move || {
            for first in (0..ROUNDS).step_by(50) {
                broker::produce(&orders, (first..first + 50).flat_map(|number| round(&time, number)));
                sent.store(first + 50, Ordering::SeqCst);
                if !is_done.load(Ordering::SeqCst) {
                    pass(Duration::from_millis(100));
                }
            }
        })
    };
    // The oldest second up to which some shard has certainly read.
    let read_up_to = || {
        let status = status(&place).unwrap();
        let times = status["shards"].as_array().unwrap().iter();
        let oldest =
            times.map(|shard| shard["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()).min();
        oldest.unwrap().duration_since(time.at(0)).as_secs()
    };
    let wait_for = |rounds: i64| {
        until("events to flow", || {
            let read = status(&place).map(|status| status["records"].as_i64().unwrap_or(0)).unwrap_or(0);
            when(sent.load(Ordering::SeqCst) >= rounds && read > rounds, read)
        });
    };

    // Another set takes over under load: one rule goes, one is new, the two that count stay.
    wait_for(ROUNDS / 3);
    place.add_rule("repeated", REPEATED);
    place.add_rule("late", &UNDELIVERED.replace("undelivered", "late"));
    std::fs::remove_file(place.path("rules").join("goes.yaml")).unwrap();
    let before = read_up_to();
    let (code, body) = post(place.http, "/-/reload", TOKEN).unwrap();
    let first = (before, sent.load(Ordering::SeqCst));
    assert_eq!(code, 200, "{body}");
    println!("first change: {body}");
    assert!(body.contains("filled from history"), "{body}");

    // A wrong file changes nothing, and says where.
    place.add_rule("wrong", "name: wrong\ntopics: orders\ndetect: { kind: nonsense }\n");
    let (code, body) = post(place.http, "/-/reload", TOKEN).unwrap();
    assert_eq!(code, 422, "{body}");
    assert!(body.contains("wrong.yaml:3"), "{body}");
    let text = status(&place).unwrap();
    assert_eq!(text["reload"]["successful"], false, "{text}");
    std::fs::remove_file(place.path("rules").join("wrong.yaml")).unwrap();

    // And another one, later in the load.
    wait_for(ROUNDS * 2 / 3);
    place.add_rule("again", &REPEATED.replace("repeated", "again"));
    let before = read_up_to();
    let (code, body) = post(place.http, "/-/reload", TOKEN).unwrap();
    let second = (before, sent.load(Ordering::SeqCst));
    assert_eq!(code, 200, "{body}");
    println!("second change: {body}");
    is_done.store(true, Ordering::SeqCst);
    producer.join().unwrap();

    let counted = || [tickets(&place, "kept-0"), tickets(&place, "kept-1")].map(|tickets| tickets.len());
    until("the last event to be counted", || when(counted() == [1, 1], counted()));
    until("all to be read", || {
        let status = status(&place)?;
        when(status["records"].as_u64() == Some(all.len() as u64), status["records"].clone())
    });
    assert_eq!(tickets(&place, "over-0").len() + tickets(&place, "over-1").len(), 0, "none is counted twice");
    let figures = status(&place).unwrap();
    let pause = figures["reload"]["pause_seconds"].as_f64().unwrap();
    println!("reading stood still for {:.1} ms", pause * 1_000.0);
    assert!(daemon.stop().success());

    // The same rules, loaded from the start, over the same events.
    let always = Place::new(&orders, &logins, &mailbox);
    always.add_rule("rules", &[REPEATED, UNDELIVERED].join("---"));
    always.run_until_end();
    // There time stops with the last event, here it runs on.
    let decided = |numbers: BTreeSet<i64>| -> BTreeSet<i64> {
        numbers.into_iter().filter(|number| *number < ROUNDS - 400).collect()
    };
    let expected = decided(tickets(&always, "undelivered"));
    assert_eq!(decided(tickets(&place, "undelivered")), expected, "it stays through both changes");
    for (rule, (before, after)) in [("late", first), ("repeated", first), ("again", second)] {
        let (of_rule, to_find) = match rule {
            "late" => (decided(tickets(&place, rule)), expected.clone()),
            _ => (tickets(&place, rule), tickets(&always, "repeated")),
        };
        // What was found before the change nobody hears of; what is found after it is the same.
        let found_at = |number: &i64| if rule == "late" { number + 300 } else { number * 10 + 1_000 };
        let later = |than: i64| -> BTreeSet<i64> {
            to_find.iter().filter(|number| found_at(number) > than).copied().collect()
        };
        println!("{rule}: {} found, change between {before} and {after}", of_rule.len());
        assert!(of_rule.is_superset(&later(after)), "{rule}: {:?}", later(after).difference(&of_rule));
        assert!(later(before).is_superset(&of_rule), "{rule}: {:?}", of_rule.difference(&later(before)));
        assert!(later(after).len() > 20, "too easy: {rule}");
        // Of those some began before the change.
        let began_before =
            |number: &&i64| if rule == "late" { **number < before } else { **number * 10 < before };
        assert!(later(after).iter().filter(began_before).count() > 5, "too easy: {rule}");
    }
}

/// A ticket for each account that has failed so often within an hour.
fn failing(name: &str, at_least: u32) -> String {
    REPEATED
        .replace("repeated", name)
        .replace("at_least: 3", &format!("at_least: {at_least}"))
        .replace("window: 20m", "window: 1h")
}

fn fail(orders: &str, time: &Timeline, failures: &[(i64, i64)]) {
    let failure = |(second, account): &(i64, i64)| {
        time.topup_failed(*second, &format!("o{second}"), &format!("a{account}"), "alipay", "CHANNEL_TIMEOUT")
    };
    broker::produce(orders, failures.iter().map(failure));
}

/// So many rules are at work, none of them still waiting for its history, and so many records are read.
fn is_at_work(place: &Place, rules: u64, records: u64) -> Result<(), String> {
    let status = status(place)?;
    let warming = status["rules"]["warming"].as_array().map_or(0, Vec::len);
    let seen = (status["rules"]["active"].as_u64(), warming, status["records"].as_u64());
    when(seen == (Some(rules), 0, Some(records)), seen).map(|_| ())
}

#[test]
fn other_files_or_a_signal_change_the_rules_and_what_is_wrong_changes_nothing() {
    for (way, watch) in [("other files", true), ("a signal", false)] {
        let mailbox = Mailbox::open();
        let (orders, logins) = topics(2);
        let time = Timeline::recent();
        let mut place = Place::new(&orders, &logins, &mailbox);
        place.set("rules", &format!("watch = {watch}"));
        place.add_rule("first", &failing("first", 2));
        let mut daemon = place.run();
        fail(&orders, &time, &[(0, 0)]);
        until("the first failure", || is_at_work(&place, 1, 1));
        let announce = || {
            if !watch {
                daemon.signal("-HUP");
            }
        };

        place.add_rule("second", &failing("second", 2));
        announce();
        until(&format!("{way} to bring another rule"), || is_at_work(&place, 2, 1));
        fail(&orders, &time, &[(10, 0)]);
        let found = || [tickets(&place, "first"), tickets(&place, "second")];
        let both = BTreeSet::from([0]);
        until("both rules to find what began before", || {
            when(found() == [both.clone(), both.clone()], found())
        });

        place.add_rule("wrong", "name: wrong\ntopics: orders\ndetect: { kind: nonsense }\n");
        announce();
        until(&format!("{way} to be refused"), || {
            let reload = status(&place)?["reload"].clone();
            when(reload["failed"] == 1 && reload["error"].to_string().contains("wrong.yaml:3"), reload)
        });
        until("the rules to be as before", || is_at_work(&place, 2, 2));
        assert!(daemon.stop().success());
    }
}

#[test]
fn rules_that_change_while_the_daemon_is_down_are_filled_and_those_that_go_end_their_tickets() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let time = Timeline::recent();
    let place = Place::new(&orders, &logins, &mailbox);
    let kept = failing("kept", 1).replace("incident: {", "incident: { on_remove: keep,");
    let rules = [("gone", failing("gone", 1)), ("kept", kept), ("paused", failing("paused", 1))];
    for (name, text) in
        rules.into_iter().chain([("stays", failing("stays", 2)), ("changed", failing("changed", 9))])
    {
        place.add_rule(name, &text);
    }
    let mut daemon = place.run();
    fail(&orders, &time, &[(0, 0), (1, 0), (2, 1)]);
    until("three failures", || is_at_work(&place, 5, 3));
    let (one, both) = (BTreeSet::from([0]), BTreeSet::from([0, 1]));
    let of = |names: [&str; 5]| names.map(|name| tickets(&place, name));
    let all = ["gone", "kept", "paused", "stays", "changed"];
    let first = [both.clone(), both.clone(), both.clone(), one, BTreeSet::new()];
    until("their tickets", || when(of(all) == first, of(all)));
    assert!(daemon.stop().success());

    for gone in ["gone", "kept"] {
        std::fs::remove_file(place.path("rules").join(format!("{gone}.yaml"))).unwrap();
    }
    place.add_rule("paused", &format!("state: paused\n{}", failing("paused", 1).trim_start()));
    place.add_rule("changed", &failing("changed", 2));
    let mut daemon = place.run();
    until("the rules to be filled", || is_at_work(&place, 2, 0));
    fail(&orders, &time, &[(3, 1)]);
    // That the first account had failed twice was so before: nobody hears of it.
    let second = [both.clone(), both.clone(), both.clone(), both, BTreeSet::from([1])];
    until("the second account's ticket", || when(of(all) == second, of(all)));
    assert!(daemon.stop().success());
    let states = |rule: &str| {
        let query = format!(
            "SELECT DISTINCT t.state || coalesce(' ' || t.reason, '') FROM tickets t JOIN incidents i ON i.id = t.id
             WHERE i.rule = '{rule}'"
        );
        store::rows(&place.path("forewarn.db"), &query).unwrap()
    };
    assert_eq!(
        all.map(states),
        [
            vec!["resolved rule_changed"],
            vec!["open"],
            vec!["resolved rule_changed"],
            vec!["open"],
            vec!["open"]
        ]
    );
}
