//! A message in the form that travels: headers, text and HTML as alternatives.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use crate::delivery::outbox::Mail;

/// The header's type and name, so that readers and filters see what made the message.
macro_rules! text_header {
    ($type:ident, $name:literal) => {
        #[derive(Clone)]
        struct $type(String);

        impl Header for $type {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self(text.to_owned()))
            }

            fn display(&self) -> HeaderValue {
                HeaderValue::new(Self::name(), self.0.clone())
            }
        }
    };
}

text_header!(Rule, "X-Forewarn-Rule");
text_header!(AutoSubmitted, "Auto-Submitted");

pub fn build(from: &Mailbox, to: Address, mail: &Mail) -> Result<Vec<u8>, String> {
    let name = mail.to_name.as_ref().map(|name| name.expose().trim().to_owned());
    let name = name.filter(|name| !name.is_empty() && !name.contains(char::is_control));
    let since_epoch = Duration::from_millis(u64::try_from(mail.at.as_millis()).unwrap_or(0));
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(name, to))
        .subject(mail.subject.as_str())
        .date(SystemTime::UNIX_EPOCH + since_epoch)
        .message_id(Some(format!("<{}>", mail.id.message_id(from.email.domain()))))
        .header(AutoSubmitted("auto-generated".to_owned()))
        .header(Rule(mail.rule.chars().filter(|letter| !letter.is_control()).collect()));
    let message = match &mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(mail.text.clone())),
    };
    message.map(|message| message.formatted()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders};

    use super::*;
    use crate::core::time::Time;
    use crate::delivery::customers::Personal;
    use crate::delivery::notice::NoticeId;

    fn mail() -> Mail {
        Mail {
            id: NoticeId(0xabc),
            rule: "repeated-topup-failures".to_owned(),
            to: Personal::new("li@example.com".to_owned()),
            to_name: Some(Personal::new("李雷".to_owned())),
            subject: "订单 T20261001-88213307 充值没有成功，我们正在处理，请您先不要重复支付".to_owned(),
            text: "您好：\n\n.一行以点开头\n".to_owned(),
            html: Some("<p>您好</p>".to_owned()),
            at: Time::from_millis(1_790_842_320_000),
        }
    }

    #[test]
    fn a_message_has_the_headers_and_both_forms_and_reads_back_as_it_was_written() {
        let from: Mailbox = "云卡客服 <service@example.com>".parse().expect("a mailbox");
        let address = || "li@example.com".parse().expect("an address");
        let bytes = build(&from, address(), &mail()).expect("built");
        assert!(bytes.is_ascii(), "everything is encoded, so that any server can pass it on");
        assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
        let parsed = MessageParser::default().parse(&bytes).expect("readable");
        assert_eq!(parsed.subject(), Some(mail().subject.as_str()));
        assert_eq!(parsed.message_id(), Some("00000000000000000000000000000abc@example.com"));
        let header = |name: &'static str| parsed.header(name).and_then(|value| value.as_text());
        assert_eq!(header("X-Forewarn-Rule"), Some("repeated-topup-failures"));
        assert_eq!(header("Auto-Submitted"), Some("auto-generated"));
        assert_eq!(
            parsed.from().and_then(|from| from.first()).and_then(|from| from.name()),
            Some("云卡客服")
        );
        assert_eq!(parsed.to().and_then(|to| to.first()).and_then(|to| to.name()), Some("李雷"));
        assert_eq!(parsed.date().map(|date| date.to_rfc3339()).as_deref(), Some("2026-10-01T08:12:00Z"));
        assert_eq!(parsed.body_text(0).as_deref().map(|text| text.replace('\r', "")), Some(mail().text));
        assert_eq!(parsed.body_html(0).as_deref(), Some("<p>您好</p>"));
        let kinds: Vec<_> = parsed.parts.iter().filter_map(|part| part.content_type()?.subtype()).collect();
        assert_eq!(kinds, ["alternative", "plain", "html"]);
        // The same message twice has the same identity, so that a reader's program shows it once.
        let again = build(&from, address(), &mail()).expect("built");
        let again =
            MessageParser::default().parse(&again).and_then(|again| again.message_id().map(str::to_owned));
        assert_eq!(again.as_deref(), parsed.message_id());
    }

    #[test]
    fn nothing_in_a_name_a_rule_or_a_subject_makes_a_header_of_its_own() {
        let from: Mailbox = "service@example.com".parse().expect("a mailbox");
        let mut nasty = mail();
        nasty.to_name = Some(Personal::new("Li\r\nBcc: all@example.com".to_owned()));
        nasty.rule = "r\r\nX-Evil: 1".to_owned();
        nasty.subject = "s\r\nX-Evil: 2".to_owned();
        nasty.html = None;
        let bytes = build(&from, "li@example.com".parse().expect("an address"), &nasty).expect("built");
        let parsed = MessageParser::default().parse(&bytes).expect("readable");
        assert!(parsed.header("X-Evil").is_none() && parsed.header("Bcc").is_none());
    }
}
