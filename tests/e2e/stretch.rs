//! `replay` of a stretch of Kafka: what it finds equals what the same events give as files, and nobody notices it.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::SignedDuration;
use serde_json::Value;

use crate::harness::broker::{self, Record};
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::settled::{Settled, shown};
use crate::harness::wait::{until, when};
use crate::harness::world::{World, topics};

/// What `replay` says on both streams, and whether it succeeded.
fn replay(place: &Place, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["replay", "--format", "json", "-c"])
        .arg(place.path("forewarn.toml"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn replayed(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let (success, out, err) = replay(place, arguments);
    assert!(success, "{arguments:?}: {err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(lines: &[Value]) -> &Value {
    &lines.last().unwrap()["summary"]
}

#[test]
fn a_world_replayed_from_kafka_settles_as_its_file_does() {
    let world = World::simulate(&["--seed", "12", "--days", "1", "--accounts", "4000"]);
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(4);
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.set_customers(&world.customers());
    place.add_rules_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"));
    place.set("notices", "max_age = \"0s\"\nper_minute = 100000\nper_rule = 100000\nper_incident = 100000");
    let produced = world.produce(&orders, &logins);

    let file = world.replay(&place.path("forewarn.toml"));
    let (success, out, err) = replay(&place, &["--from", "earliest"]);
    assert!(success, "{err}");
    let kafka = Settled::from_replay(&out);

    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let summary = &last["summary"];
    let rejected: u64 =
        summary["rejected"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(summary["events"].as_u64().unwrap() + rejected, produced as u64, "every record is read once");
    assert!(file.incidents.len() >= 10, "{} incidents", file.incidents.len());
    let differing = file.differing_incidents(&kafka, SignedDuration::from_secs(1));
    assert!(differing.is_empty(), "file (left) and Kafka (right) differ:\n{}", shown(&differing));
    let differing = file.differing_messages(&kafka);
    assert!(differing.is_empty(), "file (left) and Kafka (right) differ:\n{}", shown(&differing));
}

/// A failure a minute, of ten accounts in turn; each account fails every ten minutes.
fn hours() -> Vec<Record> {
    let time = Timeline::from("2026-10-01T00:00:00Z");
    let failure = |minute: i64| {
        time.topup_failed(
            minute * 60,
            &format!("o{minute}"),
            &format!("a{}", minute % 10),
            "alipay",
            "CHANNEL_TIMEOUT",
        )
    };
    (0..240).map(failure).collect()
}

#[test]
fn a_stretch_between_times_or_offsets_equals_the_file_of_its_events() {
    let mailbox = Mailbox::open();
    let orders = broker::topic("orders", 1);
    let logins = broker::topic("logins", 1);
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.set_numbered_customers(10);
    let events = hours();
    broker::produce(&orders, events.clone());

    let part: String =
        events[60..90].iter().map(|event| format!("{}\n", String::from_utf8_lossy(&event.payload))).collect();
    fs::write(place.path("part.jsonl"), part).unwrap();
    let file = replayed(&place, &["--input", place.path("part.jsonl").to_str().unwrap()]);
    assert_eq!(summary(&file)["events"], 30);
    // A ticket and a message for each account, and the summary.
    assert_eq!(file.len(), 21);

    let topic = ["--topic", &orders];
    let times = ["--from", "2026-10-01T01:00:00Z", "--to", "2026-10-01T01:30:00Z"];
    for bounds in [times, ["--from", "60", "--to", "90"], ["--from", "0:60", "--to", "0:90"]] {
        assert_eq!(replayed(&place, &[topic.as_slice(), &bounds].concat()), file, "{bounds:?}");
    }
    // Without --topic all topics of the configuration are read, without bounds all that they hold.
    assert_eq!(summary(&replayed(&place, &["--to", "latest"]))["events"], 240);

    for (arguments, said) in [
        (["--topic", "nowhere", "--from", "0"], "there is no topic nowhere in kafka at"),
        (
            ["--topic", &orders, "--from", "240"],
            "no record lies between --from and --to; the offsets that kafka has: ",
        ),
        (["--topic", &orders, "--from", "3:0"], "none of the partitions that --from and --to name"),
    ] {
        let (success, _, err) = replay(&place, &arguments);
        assert!(!success && err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn a_replay_leaves_the_group_of_the_daemon_alone() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.set_numbered_customers(10);
    broker::produce(&orders, hours());
    place.run_until_end();
    let committed = broker::committed(&place.group, &orders);
    assert_eq!(committed, 240);

    let mut daemon = place.run();
    let config = place.path("forewarn.toml").display().to_string();
    until("the daemon to be ready", || {
        when(place.ask(&["status", "-c", &config]).status.success(), daemon.log())
    });
    let status = || -> Value {
        let output = place.ask(&["status", "-c", &config, "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let before = status()["member"].clone();
    assert_eq!(summary(&replayed(&place, &["--from", "0"]))["events"], 240);
    assert_eq!(broker::committed(&place.group, &orders), committed);
    assert_eq!(status()["member"], before);
    assert!(daemon.is_running());
    let assignments = daemon.log().matches("the group has shared out the partitions").count();
    daemon.stop();
    // Once in each of the two runs of the daemon.
    assert_eq!(assignments, 2, "{}", daemon.log());
}
