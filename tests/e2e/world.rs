//! A simulated world through a real Kafka, a real producer and a real SMTP server, against the replay of its file.
//!
//! The world's day passes in minutes: the daemon reads what an hour brought, says what there is to say, and ends, hour
//! after hour. So mails go out while the trouble lasts, and the day has two dozen restarts.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::SignedDuration;

use crate::harness::daemon::Place;
use crate::harness::mailbox::Mailbox;
use crate::harness::settled::{Settled, shown};
use crate::harness::store;
use crate::harness::world::{self, World, topics};

/// Rules that span partitions may find and leave trouble one step earlier or later than replay does.
const JUDGING_STEP: SignedDuration = SignedDuration::from_secs(10);

#[test]
fn a_world_read_from_kafka_settles_as_its_replay_and_its_mails_arrive() {
    let world = World::simulate(&["--seed", "11", "--days", "1", "--accounts", "8000"]);
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(8);
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.set_customers(&world.customers());
    place.add_rules_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"));
    // The world lies in the past, and what it holds is meant to be told at once.
    place.set("notices", "max_age = \"0s\"\nper_minute = 100000\nper_rule = 100000\nper_incident = 100000");

    let replayed = world.replay(&place.path("forewarn.toml"));
    for part in world.parts(SignedDuration::from_hours(1)) {
        world::produce(&orders, &logins, part);
        place.run_until_end();
    }
    let settled = Settled::from_database(&place.path("forewarn.db"));

    assert!(!settled.incidents.is_empty(), "the world has trouble in it");
    let differing = replayed.differing_incidents(&settled, JUDGING_STEP);
    assert!(differing.is_empty(), "replay (left) and daemon (right) differ:\n{}", shown(&differing));
    let differing = replayed.differing_messages(&settled);
    println!("{} of {} messages differ:\n{}", differing.len(), replayed.told.len(), shown(&differing));
    assert!(differing.len() <= replayed.told.len() / 200, "more than one in two hundred");

    // Whoever was told has one mail; the others are those whose trouble was over before the daemon could know of it.
    let states = |state: &str| -> u64 {
        let query = format!("SELECT count(*) FROM notices WHERE account <> '' AND {state}");
        store::rows(&place.path("forewarn.db"), &query).unwrap()[0].parse().unwrap()
    };
    let (all, sent) = (states("1"), states("state = 'sent'"));
    let explained = states("hold IS NOT NULL OR state = 'cancelled' AND reason IN ('over', 'never_told')");
    println!("{} incidents, {all} messages, {sent} sent", settled.incidents.len());
    assert_eq!(all, sent + explained, "each message is sent, or there is a reason not to");
    let (opening, told) = (states("stage = 'opened'"), states("stage = 'opened' AND state = 'sent'"));
    assert!(
        told * 3 > opening,
        "a good part of the trouble outlasts the reading of its hour: {told} of {opening}"
    );
    let mails: Vec<_> = mailbox.mails();
    let identities: BTreeSet<&String> = mails.iter().map(|mail| &mail.message_id).collect();
    assert_eq!(identities.len(), mails.len(), "a mail came twice");
    // To customers, or to the managers of those who have one.
    assert_eq!(mails.len() as u64, sent);
}
