//! A simulated world through a real Kafka, a real producer and a real SMTP server, against the replay of its file.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::daemon::Place;
use crate::harness::mailbox::Mailbox;
use crate::harness::settled::{Settled, shown};
use crate::harness::wait::{until, when};
use crate::harness::world::{World, topics};

#[test]
fn a_world_read_from_kafka_settles_as_its_replay_and_its_mails_arrive() {
    let world = World::simulate(&["--seed", "11", "--days", "2", "--accounts", "6000"]);
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(8);
    world.produce(&orders, &logins);
    let mut place = Place::new(&orders, &logins, &mailbox);
    place.set_customers(&world.customers());
    place.add_rules_from(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"));
    // The world lies in the past, and what it holds is meant to be told at once.
    place.set("notices", "max_age = \"0s\"\nper_minute = 100000\nper_rule = 100000\nper_incident = 100000");

    let replayed = world.replay(&place.path("forewarn.toml"));
    place.run_until_end();
    let settled = Settled::from_database(&place.path("forewarn.db"));

    assert!(!settled.incidents.is_empty(), "the world has trouble in it");
    let differing = replayed.differing_incidents(&settled);
    assert!(differing.is_empty(), "replay (left) and daemon (right) differ:\n{}", shown(&differing));
    let differing = replayed.differing_messages(&settled);
    let bound = replayed.told.len() / 200;
    assert!(
        differing.len() <= bound,
        "{} of {} messages differ between replay (left) and daemon (right), {bound} may:\n{}",
        differing.len(),
        replayed.told.len(),
        shown(&differing)
    );

    // Everybody who was told has a mail, and nobody has it twice.
    let told: BTreeSet<&String> = settled.told.iter().map(|told| &told.1).collect();
    let mails = until("every mail", || {
        let mails = mailbox.mails();
        when(mails.len() >= told.len(), mails.len()).map(|_| mails)
    });
    let identities: BTreeSet<&String> = mails.iter().map(|mail| &mail.message_id).collect();
    assert_eq!(identities.len(), mails.len(), "a mail came twice");
}
