//! A mail server that is out of order: tickets open all the same, messages wait, and each arrives once.

use std::collections::BTreeSet;

use crate::harness::broker;
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::{Mailbox, Mood};
use crate::harness::wait::{until, when};
use crate::harness::world::topics;

#[test]
fn while_the_mail_server_is_away_tickets_open_and_messages_wait() {
    let mailbox = Mailbox::open();
    mailbox.set_mood(Mood::HangUp);
    let (orders, logins) = topics(2);
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    place.set_numbered_customers(20);
    let time = Timeline::recent();
    let failed = |number: i64| {
        time.topup_failed(number, &format!("o{number}"), &format!("a{number}"), "alipay", "CHANNEL_TIMEOUT")
    };
    broker::produce(&orders, (0..20).map(failed));

    let mut daemon = place.run();
    until("a ticket for each of them", || {
        let tickets = place.tickets()?;
        when(tickets.len() == 20, tickets.len())
    });
    assert!(mailbox.mails().is_empty());
    mailbox.set_mood(Mood::Defer);
    // Waiting in the outbox, they survive a crash.
    daemon.kill();
    let mut daemon = place.run();
    mailbox.set_mood(Mood::Accept);
    let mails = until("every mail", || {
        let mails = mailbox.mails();
        when(mails.len() >= 20, mails.len()).map(|_| mails)
    });
    let receivers: BTreeSet<&String> = mails.iter().flat_map(|mail| &mail.to).collect();
    assert_eq!((receivers.len(), mails.len()), (20, 20), "each of them once");
    assert!(daemon.stop().success());
}
