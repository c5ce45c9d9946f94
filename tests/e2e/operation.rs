//! The daemon as those see it who operate it: refused configurations, metrics, health, and how it stops.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::broker;
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::wait::{until, when};
use crate::harness::world::topics;

fn get(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no header")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no status")?;
    Ok((status, body.to_owned()))
}

/// The alerts, and the page for those who get them.
fn alerts_and_explanation() -> (String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    (read("deploy/alerts.yaml"), read("docs/operations.md"))
}

/// What alerts and explanation name is there.
fn check_watched(text: &str) -> Result<(), String> {
    let (alerts, explanation) = alerts_and_explanation();
    let is_in_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = [alerts, explanation].join(" ");
    for name in words.split(|character| !is_in_name(character)).filter(|word| word.starts_with("forewarn_")) {
        if !text.contains(&format!("# HELP {name} ")) {
            return Err(format!("there is no metric {name} in\n{text}"));
        }
    }
    Ok(())
}

fn check_metrics(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool can't be run ({error}); scripts/test installs it"));
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn alerts_are_well_formed_and_explained() {
    let output = Command::new("promtool")
        .args(["check", "rules", "deploy/alerts.yaml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let output =
        output.unwrap_or_else(|error| panic!("promtool can't be run ({error}); scripts/test installs it"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    let (alerts, explained) = alerts_and_explanation();
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let unexplained: Vec<&str> = names.filter(|name| !explained.contains(&format!("| {name}, "))).collect();
    assert_eq!(unexplained, [""; 0]);
}

#[test]
fn metrics_are_well_formed_and_name_nobody_and_health_tells_alive_from_ready() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.set_customers("{\"account_id\":\"account-number-one\",\"email\":\"ada@example.com\"}\n");
    let time = Timeline::recent();
    broker::produce(&orders, [time.topup_failed(0, "o1", "account-number-one", "alipay", "CHANNEL_TIMEOUT")]);
    let mut daemon = place.run();
    until("readiness", || match get(place.http, "/-/ready") {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(get(place.http, "/-/healthy").unwrap().0, 200);
    until("the mail", || when(!mailbox.mails().is_empty(), mailbox.mails()));
    let counted = [
        "forewarn_ticket_steps_total{step=\"opened\"} 1",
        "forewarn_messages_total{result=\"sent\"} 1",
        "forewarn_detection_latency_seconds_count 1",
    ];
    let text = until("what happened to be counted", || {
        let (_, text) = get(place.http, "/metrics")?;
        match counted.iter().find(|line| !text.contains(**line)) {
            None => Ok(text),
            Some(missing) => Err(format!("{missing} is missing in\n{text}")),
        }
    });
    check_metrics(&text);
    // The database is asked for its figures every few seconds.
    until("all that alerts watch", || check_watched(&get(place.http, "/metrics")?.1));
    for name in ["forewarn_build_info", "forewarn_events_total", "process_resident_memory_bytes"] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    for personal in ["account-number-one", "ada@example.com"] {
        assert!(!text.contains(personal), "{personal} stands in\n{text}");
    }
    assert!(daemon.stop().success());
    assert!(!daemon.log().contains("ada@example.com"), "{}", daemon.log());
}

#[test]
fn an_unreachable_broker_is_named() {
    let mailbox = Mailbox::open();
    let mut place = Place::new("orders", "logins", &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.replace("kafka", "brokers = [\"127.0.0.1:1\"]\ngroup = \"g\"");
    let (code, said) = place.run_and_fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn topics_with_unequal_partition_counts_are_refused_by_name_and_number() {
    let mailbox = Mailbox::open();
    let (orders, logins) = (broker::topic("orders", 4), broker::topic("logins", 3));
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    let (code, said) = place.run_and_fail();
    assert_eq!(code, Some(1), "{said}");
    for word in [orders.as_str(), logins.as_str(), "4", "3"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let mailbox = Mailbox::open();
    let orders = broker::topic("orders", 2);
    let missing = broker::unique("missing");
    let place = Place::new(&orders, &missing, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    let (code, said) = place.run_and_fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&missing), "{said}");
}

#[test]
fn a_rule_that_looks_back_further_than_a_topic_is_kept_is_told_by_check() {
    let mailbox = Mailbox::open();
    let logins = broker::topic("logins", 1);
    let orders = broker::unique("orders");
    broker::create(&orders, 1, &[("retention.ms", "86400000")]);
    let place = Place::new(&orders, &logins, &mailbox);
    let rule = "owner: o\nstate: shadow\ngroup_by: [account_id]\ndetect: { kind: frequency, at_least: 3, window: 2d }\n";
    place.add_rule("kept", &format!("name: kept\ntopics: logins\n{rule}"));
    place.add_rule("short", &format!("name: short\ntopics: orders\n{rule}"));
    let said = place.ask(&["check", "-c", "forewarn.toml"]);
    let out = String::from_utf8(said.stdout).unwrap();
    let told = format!("`short` looks back 2d, and kafka keeps the events of {orders} for 1d");
    assert!(out.contains(&told) && out.contains("no error, 1 warning"), "{out}");
}
