//! What is said of a message's fate, for everything that a mail server can do with it.

mod server;

use mail_parser::MessageParser;

use self::server::{Behaviour, Security, Server};
use super::*;
use crate::core::time::Time;
use crate::delivery::customers::Personal;
use crate::delivery::notice::NoticeId;

fn mail(to: &str) -> Mail {
    Mail {
        id: NoticeId(7),
        rule: "r".to_owned(),
        to: Personal::new(to.to_owned()),
        to_name: None,
        subject: "订单 o1".to_owned(),
        text: "您好".to_owned(),
        html: None,
        at: Time::from_millis(0),
    }
}

fn settings(server: &Server) -> MailSettings {
    let (host, port) = (server.address.ip().to_string(), server.address.port());
    let mut settings =
        MailSettings::new(host, port, Protection::None, "Yunka <service@example.com>".to_owned());
    settings.timeout = Duration::from_millis(500);
    settings.reply_timeout = Duration::from_millis(1);
    settings
}

fn mailer(settings: MailSettings) -> SmtpMailer {
    SmtpMailer::new(settings).expect("sound settings")
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

async fn send(mailer: &SmtpMailer, to: &str) -> Outcome {
    mailer.send(mail(to), std::future::ready(true)).await
}

/// The outcome in short: `accepted`, `refused recipient: 550 no`.
fn short(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted { .. } => "accepted".to_owned(),
        Outcome::Unconfirmed { reply } => format!("unconfirmed {reply}"),
        Outcome::TryLater { reply } => format!("later {reply}"),
        Outcome::Refused { reply } => format!("refused {reply}"),
        Outcome::Unreached { reply } => format!("unreached {reply}"),
        Outcome::Stopped => "stopped".to_owned(),
    }
}

/// Sends messages one after the other to a server of which each connection behaves as told.
fn fates(behaviours: Vec<Behaviour>, messages: usize) -> (Vec<String>, Server) {
    let mut fates = Vec::new();
    let mut server = None;
    run(async {
        let started = Server::start(Security::None, behaviours).await;
        let mailer = mailer(settings(&started));
        for _ in 0..messages {
            fates.push(short(send(&mailer, "li@example.com").await));
        }
        server = Some(started);
    });
    (fates, server.expect("started"))
}

#[test]
fn messages_are_taken_one_after_the_other_on_one_connection() {
    let (fates, server) = fates(Vec::new(), 3);
    assert_eq!(fates, ["accepted"; 3]);
    assert_eq!((server.messages(), server.connections()), (3, 1));
    let seen = server.seen.lock().unwrap();
    let parsed = MessageParser::default().parse(&seen.messages[0]).expect("readable");
    assert_eq!(parsed.subject(), Some("订单 o1"));
    assert!(seen.commands.contains(&"MAIL FROM:<service@example.com>".to_owned()));
    assert!(seen.commands.contains(&"RCPT TO:<li@example.com>".to_owned()));
}

#[test]
fn a_refusal_is_about_its_own_message_only() {
    let cases = [
        (Behaviour { dots: ["451 later"].into(), ..Behaviour::default() }, "later reply: 451 later"),
        (Behaviour { dots: ["554 no"].into(), ..Behaviour::default() }, "refused reply: 554 no"),
        (
            Behaviour { recipients: ["451 later"].into(), ..Behaviour::default() },
            "later recipient: 451 later",
        ),
        (
            Behaviour { recipients: ["550 5.1.1 <LI@example.com> unknown"].into(), ..Behaviour::default() },
            "refused recipient: 550 5.1.1 <***> unknown",
        ),
        (Behaviour { sender: Some("552 too much"), ..Behaviour::default() }, "refused sender: 552 too much"),
        (Behaviour { data: Some("450 busy"), ..Behaviour::default() }, "later data: 450 busy"),
    ];
    for (behaviour, expected) in cases {
        let (fates, server) = fates(vec![behaviour], 2);
        assert_eq!(fates, [expected, "accepted"]);
        assert_eq!((server.messages(), server.connections()), (1, 1), "{expected}");
    }
}

#[test]
fn a_server_that_can_not_be_talked_to_is_said_to_be_unreached() {
    let cases = [
        (Behaviour { mute: true, ..Behaviour::default() }, "unreached greeting: no answer within 0.5 s"),
        (
            Behaviour { greeting: Some("554 go away"), ..Behaviour::default() },
            "unreached greeting: 554 go away",
        ),
        (Behaviour { sender: Some("421 closing"), ..Behaviour::default() }, "unreached sender: 421 closing"),
        (
            Behaviour { sender: Some("530 log in first"), ..Behaviour::default() },
            "unreached sender: 530 log in first",
        ),
    ];
    for (behaviour, expected) in cases {
        let (fates, _) = fates(vec![behaviour], 2);
        assert_eq!(fates, [expected, "accepted"]);
    }
}

#[test]
fn a_message_without_a_reply_is_unconfirmed_and_its_connection_is_never_used_again() {
    let stall = Behaviour { dots: ["stall"].into(), ..Behaviour::default() };
    let hang_up = Behaviour { dots: ["hang up"].into(), ..Behaviour::default() };
    let refuse = Behaviour { dots: ["554 no"].into(), ..Behaviour::default() };
    // The trap: a late reply to the first message, taken for that to the second.
    let (fates, server) = fates(vec![stall, hang_up, refuse], 4);
    let expected = [
        "unconfirmed reply: no answer within 0.501 s",
        "unconfirmed reply: incomplete response",
        "refused reply: 554 no",
        "accepted",
    ];
    assert_eq!(fates, expected);
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_is_replaced_unseen() {
    let behaviour = || Behaviour { hang_up_when_idle: true, ..Behaviour::default() };
    let (fates, server) = fates(vec![behaviour(), behaviour(), behaviour()], 3);
    assert_eq!(fates, ["accepted"; 3]);
    assert_eq!((server.messages(), server.connections()), (3, 3));
}

#[test]
fn without_permission_nothing_is_handed_over() {
    run(async {
        let server = Server::start(Security::None, []).await;
        let mailer = mailer(settings(&server));
        let outcome = mailer.send(mail("li@example.com"), std::future::ready(false)).await;
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!(server.messages(), 0);
        assert_eq!(short(send(&mailer, "li@example.com").await), "accepted");
    });
}

#[test]
fn permission_is_asked_only_when_the_server_is_ready_for_the_message() {
    run(async {
        let behaviour = Behaviour { recipients: ["550 no"].into(), ..Behaviour::default() };
        let server = Server::start(Security::None, [behaviour]).await;
        let mailer = mailer(settings(&server));
        let permission = async { panic!("asked for a message that is not wanted") };
        let outcome = mailer.send(mail("li@example.com"), permission).await;
        assert_eq!(short(outcome), "refused recipient: 550 no");
    });
}

#[test]
fn what_is_no_address_is_refused_without_asking_the_server() {
    run(async {
        let server = Server::start(Security::None, []).await;
        let mailer = mailer(settings(&server));
        for address in ["", "li", "li@", "a b@example.com", "li@example.com\r\nRCPT TO:<x@example.com>"] {
            let outcome = short(send(&mailer, address).await);
            assert_eq!(outcome, "refused the address is not a mail address", "{address:?}");
        }
        assert_eq!(server.connections(), 0);
        let outcome = short(send(&mailer, "李雷@example.com").await);
        assert!(outcome.starts_with("refused recipient: 553"), "{outcome}");
    });
}

#[test]
fn connections_are_renewed_after_so_many_messages_and_so_long() {
    run(async {
        let server = Server::start(Security::None, []).await;
        let renewing = mailer(MailSettings { mails_per_connection: 2, ..settings(&server) });
        for _ in 0..5 {
            assert_eq!(short(send(&renewing, "li@example.com").await), "accepted");
        }
        assert_eq!(server.connections(), 3);
        let ageing = mailer(MailSettings { connection_age: Duration::ZERO, ..settings(&server) });
        for _ in 0..2 {
            assert_eq!(short(send(&ageing, "li@example.com").await), "accepted");
        }
        assert_eq!(server.connections(), 5);
    });
}

#[test]
fn no_more_connections_are_open_than_allowed() {
    run(async {
        let server = Server::start(Security::None, []).await;
        let mailer = mailer(MailSettings { connections: 2, ..settings(&server) });
        let mut sends = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mailer = mailer.clone();
            sends.spawn(async move { short(send(&mailer, "li@example.com").await) });
        }
        while let Some(outcome) = sends.join_next().await {
            assert_eq!(outcome.expect("no panic"), "accepted");
        }
        assert_eq!(server.messages(), 20);
        assert!(server.connections() <= 2, "{}", server.connections());
    });
}

#[test]
fn tls_and_login_work_both_ways_and_nothing_is_said_without_them() {
    for (security, protection) in
        [(Security::StartTls, Protection::StartTls), (Security::Implicit, Protection::Implicit)]
    {
        run(async {
            let server = Server::start(security, []).await;
            let mut secure = settings(&server);
            secure.protection = protection;
            secure.timeout = Duration::from_secs(10);
            secure.login = Some(("service".to_owned(), "secret".to_owned().into()));
            let untrusting = mailer(secure.clone());
            let outcome = short(send(&untrusting, "li@example.com").await);
            assert!(outcome.starts_with("unreached tls: "), "{outcome}");
            assert!(outcome.contains("UnknownIssuer") || outcome.contains("certificate"), "{outcome}");

            secure.ca_pem = Some(server.ca_pem.clone());
            let trusting = mailer(secure.clone());
            assert_eq!(trusting.probe().await, Ok(()));
            assert_eq!(short(send(&trusting, "li@example.com").await), "accepted");
            assert_eq!(server.messages(), 1);

            secure.login = Some(("service".to_owned(), "wrong".to_owned().into()));
            let outcome = short(send(&mailer(secure), "li@example.com").await);
            assert_eq!(outcome, "unreached login: 535 5.7.8 who are you");
            assert_eq!(server.seen.lock().unwrap().logins.len(), 3);
        });
    }
    run(async {
        let server = Server::start(Security::None, []).await;
        let strict = mailer(MailSettings { protection: Protection::StartTls, ..settings(&server) });
        let outcome = short(send(&strict, "li@example.com").await);
        assert_eq!(outcome, "unreached tls: the server does not offer STARTTLS");
    });
}

#[test]
fn settings_that_no_mail_can_be_sent_with_are_refused() {
    let sound =
        MailSettings::new("localhost".to_owned(), 25, Protection::Implicit, "a@example.com".to_owned());
    let cases = [
        (MailSettings { from: "nobody".to_owned(), ..sound.clone() }, "\"nobody\" is not a mailbox"),
        (
            MailSettings { ca_pem: Some(b"junk".to_vec()), ..sound.clone() },
            "the authorities for the mail server",
        ),
        (MailSettings { host: "a b".to_owned(), ..sound }, "\"a b\" is not a name"),
    ];
    for (settings, expected) in cases {
        let error = SmtpMailer::new(settings).expect_err(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_brand_is_the_name_in_the_mailbox() {
    for (from, expected) in [("云卡 <a@example.com>", "云卡"), ("a@example.com", "a@example.com")] {
        let settings = MailSettings::new("localhost".to_owned(), 25, Protection::None, from.to_owned());
        assert_eq!(mailer(settings).brand(), expected);
    }
}
