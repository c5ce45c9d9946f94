//! What can't be read: counted, put aside with the reason, and never in the way of what can.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::broker::{self, Record};
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::world::topics;

/// Payloads that are no events, each with the partition's own good event behind it.
fn unreadable(time: &Timeline) -> Vec<(&'static str, Vec<u8>)> {
    let event = |kind: &str, at: &str| {
        json!({ "id": "x", "type": kind, "time": at, "account_id": "a9", "order_id": "o9" }).to_string()
    };
    let now = time.at(0).to_string();
    let deep = format!("{{\"id\":\"x\",\"extra\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let mut invalid = event("order.failed", &now).into_bytes();
    invalid.splice(20..22, [0xFF, 0xFE]);
    let mut huge = event("order.failed", &now).into_bytes();
    huge.truncate(huge.len() - 1);
    huge.extend(format!(",\"amount\":{}}}", "9".repeat(100_000)).into_bytes());
    vec![
        ("an empty record", Vec::new()),
        ("a truncated one", br#"{"id":"x","type":"order.fai"#.to_vec()),
        ("no object", b"[1,2,3]".to_vec()),
        ("a type of another kind", br#"{"id":5,"type":{"a":1},"time":[],"account_id":true}"#.to_vec()),
        ("no account", json!({ "id": "x", "type": "order.failed", "time": now }).to_string().into_bytes()),
        ("a time in 1970", event("order.failed", "1970-01-01T00:00:00Z").into_bytes()),
        ("a time in 2100", event("order.failed", "2100-01-01T00:00:00Z").into_bytes()),
        ("a time of ten minutes from now", event("order.failed", &time.at(600).to_string()).into_bytes()),
        ("an unknown type", event("order.exploded", &now).into_bytes()),
        ("ten megabytes", vec![b'x'; 10 << 20]),
        ("NUL bytes", vec![0; 64]),
        ("invalid UTF-8", invalid),
        ("deep nesting", deep.into_bytes()),
        ("a huge number", huge),
    ]
}

#[test]
fn records_that_cannot_be_read_are_put_aside_with_their_reason_and_stop_nothing() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(1);
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.set("notices", "mode = \"off\"");
    let time = Timeline::recent();
    let bad = unreadable(&time);
    let timestamp = Some(time.at(0).as_millisecond());
    let mut records = vec![time.topup_failed(0, "o1", "before", "alipay", "CHANNEL_TIMEOUT")];
    records.extend(bad.iter().map(|(_, payload)| Record {
        key: "a9".to_owned(),
        payload: payload.clone(),
        timestamp,
        ..Record::default()
    }));
    records.push(time.topup_failed(1, "o2", "after", "alipay", "CHANNEL_TIMEOUT"));
    broker::produce(&orders, records);

    place.run_until_end();

    let subjects: Vec<String> =
        place.tickets().unwrap().iter().map(|ticket| ticket["subject"]["account_id"].to_string()).collect();
    assert_eq!(subjects.len(), 2, "the events around them are judged, and nothing else is: {subjects:?}");
    assert_eq!(broker::committed(&place.group, &orders), i64::try_from(bad.len()).unwrap() + 2);

    let aside = broker::read_all(&place.dead_letters());
    let by_offset: BTreeMap<String, &Record> = aside
        .iter()
        .map(|record| (record.headers.get("offset").cloned().unwrap_or_default(), record))
        .collect();
    for (number, (what, payload)) in bad.iter().enumerate() {
        let Some(record) = by_offset.get(&(number + 1).to_string()) else {
            panic!("{what} (offset {}) is missing among {:?}", number + 1, by_offset.keys());
        };
        assert_eq!(record.headers.get("topic"), Some(&orders), "{what}");
        assert_eq!(record.headers.get("partition").map(String::as_str), Some("0"), "{what}");
        assert!(!record.headers.get("reason").is_none_or(String::is_empty), "{what}");
        assert!(record.payload == *payload || payload.len() > 1 << 20, "{what} is kept as it came");
    }
    assert_eq!(aside.len(), bad.len(), "nothing else is put aside");
}
