//! Events in, ticket and mail out.

use crate::harness::broker;
use crate::harness::daemon::Place;
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::wait::{until, when};

const REPEATED_FAILURES: &str = r#"
name: repeated-topup-failures
summary: An account keeps failing to top up
owner: payments
topics: orders
where: 'kind == "topup"'
group_by: [account_id]
detect:
  kind: frequency
  count: 'type == "order.failed" and fault != "customer"'
  at_least: 3
  window: 10m
incident: { cooldown: 2h, wait: 0s }
ticket: { category: topup_failure, department: payments, severity: high, sla: emergency }
notice: { template: topup_failing, to: account }
"#;

const CUSTOMER: &str = r#"{"account_id":"a1","name":"Ada","email":"ada@example.com","locale":"en","tier":"individual"}
"#;

#[test]
fn three_failures_become_one_ticket_and_one_mail_that_names_the_order() {
    let mailbox = Mailbox::open();
    let (orders, logins) = (broker::topic("orders", 2), broker::topic("logins", 2));
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("repeated-topup-failures", REPEATED_FAILURES);
    place.set_customers(CUSTOMER);
    let time = Timeline::recent();
    broker::produce(
        &orders,
        [
            time.topup_failed(0, "o1", "a1", "alipay", "CHANNEL_TIMEOUT"),
            time.topup_failed(60, "o2", "a1", "alipay", "CHANNEL_TIMEOUT"),
            time.topup_failed(120, "o3", "a1", "alipay", "CHANNEL_TIMEOUT"),
        ],
    );
    let mut daemon = place.run();
    let mails = until("the mail to the customer", || {
        let mails = mailbox.mails();
        when(mails.iter().any(|mail| mail.to == ["ada@example.com"]), mails)
    });
    let mail = mails.iter().find(|mail| mail.to == ["ada@example.com"]).unwrap();
    assert_eq!(mail.rule, "repeated-topup-failures");
    assert!(mail.text.contains("o3") && mail.html.contains("o3"), "the mail names its order: {mail:#?}");
    assert!(!mail.message_id.is_empty());

    let tickets = place.tickets().unwrap();
    assert_eq!(tickets.len(), 1, "{tickets:#?}");
    assert_eq!(tickets[0]["rule"], "repeated-topup-failures");
    assert_eq!(tickets[0]["subject"]["account_id"], "a1");
    assert_eq!(tickets[0]["severity"], "high");

    assert!(daemon.stop().success(), "SIGTERM ends it well");
    assert_eq!(broker::committed(&place.group, &orders), 3, "what is durable is committed");
}
