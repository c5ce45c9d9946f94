//! The words of the shipped messages, and what is refused when templates are loaded.

use super::*;
use crate::core::effect::Subject;
use crate::core::event::{EventType, Facts, TextField};
use crate::delivery::customers::Personal;
use crate::delivery::notice::{NoticeId, Recipient, Via};
use crate::delivery::samples::{at, facts, subject};
use crate::delivery::store::Addressee;

fn templates() -> Templates {
    let settings = RenderSettings { brand: "Yunka".to_owned(), ..RenderSettings::default() };
    Templates::shipped(settings).expect("the shipped templates are sound")
}

fn outgoing(template: &str, subject: Subject, facts: Facts, recipient: Recipient) -> Outgoing {
    Outgoing {
        id: NoticeId(1),
        attempt: 1,
        incident: crate::core::effect::IncidentId(0xabcd_ef01 << 96),
        rule: "r".into(),
        subject,
        decided_at: at(0),
        to: Addressee::Account {
            account_id: "a1".into(),
            stage: crate::core::effect::Stage::Opened,
            template: template.into(),
            recipient,
            via: Via::Email,
            locale: None,
            facts: Box::new(facts),
        },
        ticket: None,
    }
}

fn login_facts() -> Facts {
    let texts = [
        (TextField::Ip, "203.0.113.7"),
        (TextField::DeviceId, "iPhone 17"),
        (TextField::GeoCountry, "JP"),
        (TextField::GeoCity, "Tokyo"),
    ];
    Facts {
        event_type: EventType::LoginSucceeded,
        texts: texts.map(|(field, text)| (field, text.into())).into(),
        amount: None,
        ..facts("a1")
    }
}

fn li() -> Customer {
    Customer {
        account_id: "a1".to_owned(),
        name: Some(Personal::new("李雷".to_owned())),
        ..Customer::default()
    }
}

#[test]
fn every_shipped_template_is_there_in_every_language_and_both_forms() {
    let templates = templates();
    for name in SHIPPED {
        assert!(templates.has(name), "{name}");
        for locale in Locale::ALL {
            let html = format!("{locale}/{name}.html");
            assert!(templates.environment.get_template(&html).is_ok(), "{html}");
        }
    }
    assert!(!templates.has("nonesuch"));
}

#[test]
fn a_message_names_the_order_what_happened_what_happens_next_and_when() {
    let message = outgoing("topup_failing", subject(), facts("a1"), Recipient::Customer);
    let chinese = templates().customer(&message, &li(), Locale::ZhCn, at(0)).expect("rendered");
    assert_eq!(chinese.subject, "订单 o-a1 充值没有成功，我们正在处理");
    insta::assert_snapshot!(chinese.text, @r###"
    李雷，您好：

    您的充值连续几次没有成功。问题不在您的操作，我们已经发现，支付团队正在处理。

      订单号：o-a1
      商品：phone-100
      类型：充值
      金额：¥100.00
      支付渠道：支付宝
      时间：10月1日 19:59（北京时间）

    接下来：我们会逐笔核对。已经扣款的，会为您补充到账或原路退回，目标是在 10月1日 20:30 前有结果。

    您现在：请先不要重复支付。急用的话，可以换一个支付方式另下一单，不会影响这一单的处理。

    给您添麻烦了，抱歉。

    --
    Yunka
    编号 FW-ABCDEF01。联系客服时报上它，您不必再把事情说一遍。
    这封邮件由系统在发现问题后自动发出，直接回复即可联系到我们。
    "###);
    let english = templates().customer(&message, &Customer::default(), Locale::En, at(0)).expect("rendered");
    insta::assert_snapshot!(english.text, @r###"
    Hello,

    Your top-up has failed several times in a row. It is not your mistake: we
    have seen it, and our payments team is working on it.

      Order:    o-a1
      Product:  phone-100
      Kind:     top-up
      Amount:   100.00 CNY
      Payment:  Alipay
      Time:     1 October, 19:59 (Beijing time)

    What happens next: We check each payment. If you were charged, you get the
    top-up or your money back; we aim to have it settled by 1 October, 20:30.

    What you can do: Please don’t pay again for this order. If you need it
    now, place a new one with another way to pay; this one is looked after all
    the same.

    We are sorry for the trouble.

    --
    Yunka
    Reference FW-ABCDEF01. Give it to our support and you need not explain
    anything again. This message was sent automatically when we found the
    problem. Just reply to reach us.
    "###);
    let html = chinese.html.expect("has html");
    for expected in ["lang=\"zh-CN\"", "o-a1", "¥100.00", "支付宝", "10月1日 20:30", "李雷", "FW-ABCDEF01"]
    {
        assert!(html.contains(expected), "{expected} is missing in\n{html}");
    }
}

#[test]
fn a_message_about_a_login_names_the_place_and_asks_for_no_secret() {
    let message = outgoing("login_new_place", Subject::default(), login_facts(), Recipient::Customer);
    let mut customer = li();
    customer.time_zone = Some("Asia/Tokyo".to_owned());
    let rendered = templates().customer(&message, &customer, Locale::ZhCn, at(0)).expect("rendered");
    assert_eq!(rendered.subject, "您的账户在 日本 Tokyo 登录，是您本人吗？");
    insta::assert_snapshot!(rendered.text, @r###"
    李雷，您好：

    您的账户刚刚在一个没有登录过的地方登录。也许只是您出门了，但我们想先让您知道。

      登录时间：10月1日 20:59（UTC+9）
      登录地点：日本 Tokyo
      设备：iPhone 17
      IP 地址：203.0.113.7

    如果是您本人：什么都不用做。

    如果不是您：请马上打开 App 或网站修改密码，并退出其他设备。我们的账户安全团队也在核查，目标是在 10月1日 22:00 前完成；只要您回复这封邮件，我们会优先处理。

    我们不会在邮件里要您的密码或验证码。

    --
    Yunka
    编号 FW-ABCDEF01。联系客服时报上它，您不必再把事情说一遍。
    这封邮件由系统在发现问题后自动发出，直接回复即可联系到我们。
    "###);
}

#[test]
fn an_account_manager_is_asked_to_pass_it_on() {
    let message = outgoing("delivery_late", subject(), facts("a1"), Recipient::Manager);
    for (locale, expected) in
        [(Locale::ZhCn, "【客户经理】客户 李雷（账户 a1）"), (Locale::En, "[For the account manager]")]
    {
        let rendered = templates().customer(&message, &li(), locale, at(0)).expect("rendered");
        assert!(rendered.text.starts_with(expected), "{}", rendered.text);
    }
}

#[test]
fn what_an_event_says_is_escaped_in_html_and_can_not_break_out_of_the_subject() {
    let mut nasty = facts("a1");
    nasty.texts = Box::new([
        (TextField::OrderId, "o1\r\nBcc: all@example.com".into()),
        (TextField::Product, "<script>alert(1)</script>".into()),
    ]);
    let message = outgoing("delivery_late", subject(), nasty, Recipient::Customer);
    let rendered = templates().customer(&message, &li(), Locale::En, at(0)).expect("rendered");
    assert!(!rendered.subject.contains(['\r', '\n']), "{:?}", rendered.subject);
    assert!(!rendered.html.expect("has html").contains("<script>"));
}

#[test]
fn what_is_in_trouble_is_named_by_what_is_known_of_it() {
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(Fields, &str, &str); 6] = [
        (&[("channel", "alipay")], "支付宝支付", "Alipay payments"),
        (&[("channel", "wechat"), ("region", "东北")], "东北地区的微信支付", "WeChat Pay payments in 东北"),
        (&[("channel", "x9"), ("product", "p1")], "x9 支付（p1）", "x9 payments for p1"),
        (&[("supplier", "S1")], "S1 的供货", "Deliveries from S1"),
        (&[("product", "p1")], "p1 的交易", "Orders of p1"),
        (&[], "交易", "Payments"),
    ];
    for (fields, chinese, english) in cases {
        let subject =
            Subject(fields.iter().map(|(field, value)| ((*field).into(), (*value).into())).collect());
        assert_eq!(labels::trouble(&subject, Locale::ZhCn), chinese);
        assert_eq!(labels::trouble(&subject, Locale::En), english);
    }
}

#[test]
fn zones_are_named_as_readers_know_them() {
    for (zone, chinese, english) in [
        ("Asia/Shanghai", "北京时间", "Beijing time"),
        ("Asia/Tokyo", "UTC+9", "UTC+9"),
        ("Asia/Kolkata", "UTC+5:30", "UTC+5:30"),
        ("UTC", "UTC", "UTC"),
    ] {
        let zone = labels::zone(zone).expect("known");
        assert_eq!(labels::zone_name(at(0), &zone, Locale::ZhCn), chinese);
        assert_eq!(labels::zone_name(at(0), &zone, Locale::En), english);
    }
    assert!(labels::zone("Mars/Olympus").is_none());
}

#[test]
fn numbers_read_as_shares_or_counts() {
    for (value, is_share, expected) in [
        (0.41, true, "41%"),
        (0.205, true, "20.5%"),
        (3.0, false, "3"),
        (2.456, false, "2.46"),
        (0.5, false, "0.5"),
    ] {
        assert_eq!(labels::number(value, is_share), expected);
    }
}

#[test]
fn a_bad_template_is_refused_when_it_is_loaded_with_its_name_line_and_reason() {
    let cases = [
        (
            "zh-CN/topup_failing.txt",
            "line one\n{{ order.idd }}",
            "zh-CN/topup_failing.txt: line 2: undefined value",
        ),
        ("en/topup_failing.subject", "{% if %}", "en/topup_failing.subject: line 1: syntax error"),
        ("en/topup_failing.txt", "{{ 1 | nonesuch }}", "en/topup_failing.txt: line 1: unknown filter"),
        ("en/topup_failing.txt", " \n ", "en/topup_failing: the subject or the text is empty"),
        (
            "zh-CN/topup_failing.txt",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "zh-CN/topup_failing.txt: line 1: engine ran out of fuel",
        ),
    ];
    for (name, source, expected) in cases {
        let overrides = [(name.to_owned(), source.to_owned())].into();
        let errors = Templates::load(RenderSettings::default(), overrides).expect_err(name);
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.starts_with(&format!("template {expected}")), "{text}");
        assert_eq!(errors.len(), 1, "{text}");
    }
}

#[test]
fn a_template_of_ones_own_is_usable_once_it_is_there_in_every_language() {
    let own =
        |locale: &str, part: &str| (format!("{locale}/mine.{part}"), "{{ order.id }} {{ brand }}".to_owned());
    let half: BTreeMap<_, _> = [own("zh-CN", "subject"), own("zh-CN", "txt"), own("en", "subject")].into();
    let templates = Templates::load(RenderSettings::default(), half.clone()).expect("sound");
    assert!(!templates.has("mine"));
    let whole = half.into_iter().chain([own("en", "txt")]).collect();
    let templates = Templates::load(RenderSettings::default(), whole).expect("sound");
    assert!(templates.has("mine"));
    let message = outgoing("mine", subject(), facts("a1"), Recipient::Customer);
    let rendered = templates.customer(&message, &li(), Locale::En, at(0)).expect("rendered");
    assert_eq!((rendered.subject.as_str(), rendered.html), ("o-a1 forewarn", None));
}

#[test]
fn provinces_are_named_in_the_reader_s_language_and_other_regions_as_the_platform_does() {
    let trouble = |region: &str, locale| {
        labels::trouble(
            &Subject(vec![("channel".into(), "alipay".into()), ("region".into(), region.into())]),
            locale,
        )
    };
    assert_eq!(trouble("guangdong", Locale::ZhCn), "广东地区的支付宝支付");
    assert_eq!(trouble("Guangdong", Locale::En), "Alipay payments in Guangdong");
    assert_eq!(trouble("zone-7", Locale::ZhCn), "zone-7 地区的支付宝支付");
}
