//! What decoding accepts, in which words it refuses, and that nothing makes it fall over.

use crate::core::tests::seeded;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::core::event::mapping::FieldMapping;
use crate::core::event::{EventType, Fault, NumberField, TextField};
use crate::core::time::Time;

const PLAIN: &str =
    r#"{"id":"e1","type":"order.failed","time":"2026-10-01T08:12:30.123Z","account_id":"a1"}"#;

fn with<T>(
    settings: EventSettings,
    payload: &[u8],
    look: impl FnOnce(Result<Event<'_>, RejectReason>) -> T,
) -> T {
    let mut scratch = Scratch::default();
    look(Decoder::new(settings).decode(payload, &mut scratch))
}

fn reject(payload: impl AsRef<[u8]>) -> Option<RejectReason> {
    with(EventSettings::default(), payload.as_ref(), |read| read.err())
}

/// The plain event with more members before its end.
fn plus(members: &str) -> String {
    format!("{},{members}}}", PLAIN.trim_end_matches('}'))
}

fn text(payload: &str, field: TextField) -> Option<String> {
    with(EventSettings::default(), payload.as_bytes(), |read| {
        read.expect(payload).text(field).map(str::to_owned)
    })
}

#[test]
fn a_whole_event_fills_every_field() {
    let payload = r#"{"id":"e1","type":"order.failed","time":"2026-10-01T08:12:30.123Z","order_id":"o1","account_id":"a1",
        "kind":"topup","product":"p","supplier":"s","channel":"alipay","region":"CN-31","amount":"99.90","currency":"CNY",
        "quantity":2,"expires_at":1790842350,"error_code":"CHANNEL_TIMEOUT","card_id":"k","ip":"10.1.2.3","device_id":"d",
        "user_agent":"Mozilla/5.0","category":"c","level":0,"score":4.5,"unheard_of":{"deep":[1,2,{"x":null}]},
        "geo":{"country":"CN","region":"SH","city":"上海","latitude":31.23,"longitude":"121.47","accuracy_km":5,"asn":4134,
        "network":"mobile","other":[]}}"#;
    with(EventSettings::default(), payload.as_bytes(), |read| {
        let event = read.expect("an event");
        assert_eq!(event.event_type, EventType::OrderFailed);
        assert_eq!(event.time, Time::from_millis(1_790_842_350_123));
        assert_eq!(event.expires_at, Some(Time::from_millis(1_790_842_350_000)));
        assert_eq!(event.fault, Fault::Channel);
        assert_eq!(event.number(NumberField::Amount), Some(Decimal::new(9_990, 2)));
        assert_eq!(event.number(NumberField::Score), Some(Decimal::new(45, 1)));
        let place = event.place.expect("a place");
        assert_eq!((place.latitude, place.longitude, place.accuracy_km), (31.23, 121.47, 5.0));
        let others = [&TextField::EXTRA[..], &TextField::CUSTOMER].concat();
        let missing: Vec<_> =
            TextField::ALL.into_iter().filter(|field| event.text(*field).is_none()).collect();
        assert_eq!(missing, others);
        assert_eq!(event.text(TextField::GeoCity), Some("上海"));
        assert_eq!(event.text(TextField::GeoAsn), Some("4134"));
    });
}

#[test]
fn each_defect_has_its_reason() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for (payload, reason) in [
        (String::new(), RejectReason::Empty),
        (" ".repeat(MAX_BYTES + 1), RejectReason::TooLarge),
        ("[".repeat(100_000), RejectReason::TooDeep),
        (plus(&format!(r#""x":{}{}"#, "[".repeat(40), "]".repeat(40))), RejectReason::TooDeep),
        (plus("\"channel\":\"a\0b\""), RejectReason::Nul),
        (plus(r#""channel":"a\u0000b""#), RejectReason::Nul),
        ("nonsense".to_owned(), RejectReason::NotJson),
        (PLAIN.trim_end_matches('}').to_owned(), RejectReason::NotJson),
        (format!("{PLAIN}{PLAIN}"), RejectReason::NotJson),
        (plus(r#""channel":"\ud800""#), RejectReason::NotJson),
        (plus(r#""x":"unfinished"#), RejectReason::NotJson),
        ("[1]".to_owned(), RejectReason::NotAnObject),
        ("\"text\"".to_owned(), RejectReason::NotAnObject),
        ("{}".to_owned(), RejectReason::MissingId),
        (PLAIN.replace("\"e1\"", "\"\""), RejectReason::MissingId),
        (PLAIN.replace("\"e1\"", "null"), RejectReason::MissingId),
        (PLAIN.replace("type", "kind"), RejectReason::MissingType),
        (PLAIN.replace("order.failed", "order.lost"), RejectReason::UnknownType),
        (PLAIN.replace("\"time\"", "\"when\""), RejectReason::MissingTime),
        (PLAIN.replace("2026-10-01T", "tomorrow "), RejectReason::BadTime),
        (PLAIN.replace("\"2026-10-01T08:12:30.123Z\"", "{}"), RejectReason::BadTime),
        (PLAIN.replace("2026", "1970"), RejectReason::AbsurdTime),
        (PLAIN.replace("2026", "2100"), RejectReason::AbsurdTime),
        (PLAIN.replace("account_id", "account"), RejectReason::MissingAccount),
        (PLAIN.replace("\"a1\"", "{\"id\":1}"), RejectReason::WrongType("account_id")),
        (PLAIN.replace("\"a1\"", "true"), RejectReason::WrongType("account_id")),
        (plus(r#""amount":"a lot""#), RejectReason::WrongType("amount")),
        (plus(r#""amount":1e999"#), RejectReason::WrongType("amount")),
        (plus(r#""geo":"CN""#), RejectReason::WrongType("geo")),
        (plus(r#""geo":{"latitude":91,"longitude":0}"#), RejectReason::WrongType("geo.latitude")),
        (plus(r#""expires_at":"never""#), RejectReason::WrongType("expires_at")),
        (PLAIN.replace("a1", &"a".repeat(MAX_ID_BYTES + 1)), RejectReason::TooLong("account_id")),
        (plus(&format!(r#""channel":"{long}""#)), RejectReason::TooLong("channel")),
    ] {
        let shown: String = payload.chars().take(120).collect();
        assert_eq!(reject(&payload), Some(reason), "{shown}");
    }
    assert_eq!(reject(b"{\"id\":\"\xFF\"}"), Some(RejectReason::NotUtf8));
}

#[test]
fn what_platforms_do_in_practice_is_accepted() {
    for payload in [
        format!("\u{feff}{PLAIN}"),
        format!(" \n{PLAIN}\r\n"),
        plus(r#""error_code":null,"geo":null,"amount":null,"expires_at":0,"channel":"""#),
        plus(r#""channel":"old","channel":"new""#),
        plus(r#""big":1e999,"huge":123456789012345678901234567890"#),
        plus(r#""data":[1,2]"#),
        PLAIN.replace("\"2026-10-01T08:12:30.123Z\"", "1790842350"),
        PLAIN.replace("order.failed", "stock.level").replace("account_id", "nobody"),
    ] {
        assert_eq!(reject(&payload), None, "{payload}");
    }
}

#[test]
fn texts_keep_what_was_written() {
    for (members, field, expected) in [
        (r#""channel":"ali\"pay\/\u4e2d\ud83d\ude00""#, TextField::Channel, "ali\"pay/中😀"),
        (r#""order_id":12345678901234567890123"#, TextField::OrderId, "12345678901234567890123"),
        (r#""order_id":42"#, TextField::OrderId, "42"),
        (r#""order_id":-1.50"#, TextField::OrderId, "-1.50"),
        (r#""order_id":"00123""#, TextField::OrderId, "00123"),
        (r#""geo":{"asn":"AS4134"}"#, TextField::GeoAsn, "AS4134"),
        (r#""k\u0069nd":"topup""#, TextField::Kind, "topup"),
        (r#""channel":"old","channel":"new""#, TextField::Channel, "new"),
    ] {
        assert_eq!(text(&plus(members), field).as_deref(), Some(expected), "{members}");
    }
}

#[test]
fn a_user_agent_of_any_length_is_cut_and_not_refused() {
    let agent = "ü".repeat(MAX_TEXT_BYTES);
    let kept = text(&plus(&format!(r#""user_agent":"{agent}""#)), TextField::UserAgent).expect("kept");
    assert_eq!(kept, "ü".repeat(MAX_TEXT_BYTES / 2));
    let escaped = text(&plus(&format!(r#""user_agent":"\n{agent}""#)), TextField::UserAgent).expect("kept");
    assert_eq!(escaped.len(), MAX_TEXT_BYTES - 1);
}

#[test]
fn texts_without_escapes_are_borrowed_from_the_record() {
    let payload = plus(r#""channel":"alipay""#);
    let (start, end) = (payload.as_ptr() as usize, payload.as_ptr() as usize + payload.len());
    with(EventSettings::default(), payload.as_bytes(), |read| {
        let event = read.expect("an event");
        for field in [TextField::Id, TextField::AccountId, TextField::Channel] {
            let text = event.text(field).expect("there").as_ptr() as usize;
            assert!((start..end).contains(&text), "{field}");
        }
    });
}

#[test]
fn nobody_lives_at_zero_degrees() {
    with(EventSettings::default(), plus(r#""geo":{"latitude":0,"longitude":0.0}"#).as_bytes(), |read| {
        assert_eq!(read.expect("an event").place, None);
    });
    with(EventSettings::default(), plus(r#""geo":{"latitude":0,"longitude":10}"#).as_bytes(), |read| {
        assert!(read.expect("an event").place.is_some());
    });
}

#[test]
fn cloud_events_are_read_in_both_modes() {
    let inside = r#"{"id":"not this","account_id":"a1","order_id":"o1","channel":"alipay"}"#;
    for payload in [
        format!(
            r#"{{"specversion":"1.0","id":"e1","type":"order.paid","time":"2026-10-01T08:12:30Z","source":"/shop","data":{inside}}}"#
        ),
        format!(
            r#"{{"data":{inside},"time":"2026-10-01T08:12:30Z","type":"order.paid","id":"e1","specversion":"1.0"}}"#
        ),
    ] {
        with(EventSettings::default(), payload.as_bytes(), |read| {
            let event = read.expect("an event");
            assert_eq!(event.event_type, EventType::OrderPaid);
            assert_eq!(event.text(TextField::Id), Some("e1"));
            assert_eq!(event.text(TextField::Channel), Some("alipay"));
        });
    }
    let attributes = Attributes { spec_version: Some(b"1.0"), ..binary() };
    assert_eq!(headed(inside, attributes), Ok((EventType::OrderPaid, "e1".to_owned())));
}

/// The headers of binary mode, without a version.
fn binary() -> Attributes<'static> {
    Attributes {
        id: Some(b"e1"),
        event_type: Some(b"order.paid"),
        time: Some(b"2026-10-01T08:12:30Z"),
        ..Attributes::default()
    }
}

/// What is read of a record with headers: its type and id.
fn headed(payload: &str, attributes: Attributes<'_>) -> Result<(EventType, String), RejectReason> {
    let mut scratch = Scratch::default();
    let decoder = Decoder::new(EventSettings::default());
    let event = decoder.decode_with(payload.as_bytes(), attributes, &mut scratch)?;
    Ok((event.event_type, event.text(TextField::Id).unwrap_or_default().to_owned()))
}

const STRUCTURED: Attributes<'static> = Attributes {
    content_type: Some(b" application/CloudEvents+json; charset=utf-8"),
    id: None,
    event_type: None,
    time: None,
    source: None,
    spec_version: None,
};

/// An envelope with these members, and an event in it.
fn envelope(members: &str) -> String {
    format!(
        r#"{{"id":"e1","type":"order.paid","time":"2026-10-01T08:12:30Z","source":"/shop","data":{{"account_id":"a1"}}{members}}}"#
    )
}

#[test]
fn a_cloud_event_that_is_none_has_its_reason() {
    let one = |members: &str| headed(&envelope(members), STRUCTURED).err();
    assert_eq!(one(r#","specversion":"1.0""#), None);
    for (members, reason) in [
        ("", RejectReason::NoSpecVersion),
        (r#","specversion":"0.3""#, RejectReason::OtherSpecVersion),
        (r#","specversion":"1.0.0""#, RejectReason::OtherSpecVersion),
        (r#","specversion":1.0"#, RejectReason::OtherSpecVersion),
        (r#","specversion":null"#, RejectReason::OtherSpecVersion),
        (r#","specversion":"1.0","specversion":"9""#, RejectReason::OtherSpecVersion),
        (r#","specversion":"9","specversion":"1.0""#, RejectReason::OtherSpecVersion),
        (r#","specversion":"1.0","data_base64":"eyJ9""#, RejectReason::DataBase64),
        (r#","specversion":"1.0","data":"{\"account_id\":\"a1\"}""#, RejectReason::WrongType("data")),
        (r#","specversion":"1.0","data":[{"account_id":"a1"}]"#, RejectReason::WrongType("data")),
        (r#","specversion":"1.0","data":null"#, RejectReason::MissingAccount),
        (r#","specversion":"1.0","source":7"#, RejectReason::WrongType("source")),
        (r#","specversion":"1.0","source":"a\u0000""#, RejectReason::Nul),
    ] {
        assert_eq!(one(members), Some(reason), "{members}");
    }
    let batch = format!("[{}]", envelope(r#","specversion":"1.0""#));
    assert_eq!(headed(&batch, Attributes::default()), Err(RejectReason::NotAnObject));
    let content_type = Some(&b"application/cloudevents-batch+json"[..]);
    let told = Attributes { content_type, ..Attributes::default() };
    assert_eq!(headed(&batch, told), Err(RejectReason::Batch));
    assert_eq!(headed(PLAIN, STRUCTURED), Err(RejectReason::NoSpecVersion));
    // Without an envelope around it these are members like any other.
    assert_eq!(reject(plus(r#""data_base64":"eyJ9","source":7,"data":[]"#)), None);
}

#[test]
fn hostile_cloud_events_are_refused_or_read_as_one_event() {
    let version = r#","specversion":"1.0""#;
    let id = |members: &str| headed(&envelope(&format!("{version}{members}")), STRUCTURED).map(|(_, id)| id);
    assert_eq!(id(r#","id":"e2","data":{"account_id":"a2"}"#), Ok("e2".to_owned()), "the last one counts");
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(id(&format!(r#","source":"{long}""#)), Err(RejectReason::TooLong("source")));
    assert_eq!(id(&format!(r#","id":"{long}""#)), Err(RejectReason::TooLong("id")));
    assert_eq!(id(&format!(r#","x":"{}""#, "x".repeat(MAX_BYTES))), Err(RejectReason::TooLarge));
    let nested = |depth: usize| {
        format!(r#","data":{}{}"#, r#"{"data":"#.repeat(depth), "1".to_owned() + &"}".repeat(depth))
    };
    assert_eq!(id(&nested(40)), Err(RejectReason::TooDeep));
    assert_eq!(id(&nested(4)), Err(RejectReason::MissingAccount), "an envelope is opened once");
    let read = |attributes: Attributes<'_>| headed(r#"{"account_id":"a1"}"#, attributes).err();
    for (attributes, reason) in [
        (Attributes { id: Some(b"e\xff"), ..binary() }, RejectReason::NotUtf8),
        (Attributes { event_type: Some(b"\xff"), ..binary() }, RejectReason::NotUtf8),
        (Attributes { source: Some(b"\xff"), ..binary() }, RejectReason::NotUtf8),
        (Attributes { id: Some(b"e\0"), ..binary() }, RejectReason::Nul),
        (Attributes { id: Some(long.as_bytes()), ..binary() }, RejectReason::TooLong("id")),
        (Attributes { source: Some(long.as_bytes()), ..binary() }, RejectReason::TooLong("source")),
        (Attributes { spec_version: Some(b"0.3"), ..binary() }, RejectReason::OtherSpecVersion),
        (Attributes { spec_version: Some(b""), ..binary() }, RejectReason::OtherSpecVersion),
        (Attributes { id: Some(b""), ..binary() }, RejectReason::MissingId),
        (Attributes { time: Some(b"now"), ..binary() }, RejectReason::BadTime),
    ] {
        assert_eq!(read(attributes), Some(reason), "{attributes:?}");
    }
    assert_eq!(read(Attributes { content_type: Some(b"\xff\xfe"), ..binary() }), None);
}

#[test]
fn the_type_of_binary_mode_is_translated_as_the_mapping_says() {
    let values = [("com.example.paid", "order.paid")];
    let values = values.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).into();
    let mapping = mapping(&[("type", FieldMapping { values, ..at(&["/type"]) })]);
    let decoder = Decoder::new(EventSettings { mapping, ..EventSettings::default() });
    for (event_type, read) in [
        (&b"com.example.paid"[..], Ok(EventType::OrderPaid)),
        (b"order.failed", Ok(EventType::OrderFailed)),
        (b"com.example.other", Err(RejectReason::UnknownType)),
    ] {
        let attributes = Attributes { event_type: Some(event_type), ..binary() };
        let mut scratch = Scratch::default();
        let event = decoder.decode_with(br#"{"account_id":"a1"}"#, attributes, &mut scratch);
        assert_eq!(event.map(|event| event.event_type), read);
    }
}

#[test]
fn an_id_is_unique_within_its_source() {
    let identity = |payload: &str, attributes: Attributes<'_>| {
        let mut scratch = Scratch::default();
        let decoder = Decoder::new(EventSettings::default());
        let mut event = decoder.decode_with(payload.as_bytes(), attributes, &mut scratch).expect(payload);
        event.symbolize(crate::core::event::TextSet::of(TextField::Id));
        event.identity()
    };
    let structured = |source: &str| {
        let members = format!(r#","specversion":"1.0","source":"{source}""#);
        identity(&envelope(&members), STRUCTURED)
    };
    let headers = |source: Option<&'static [u8]>| {
        identity(r#"{"account_id":"a1","source":"of its own"}"#, Attributes { source, ..binary() })
    };
    assert_eq!(structured("/shop"), headers(Some(b"/shop")), "in either mode");
    assert_ne!(structured("/shop"), structured("/mall"));
    assert_eq!(structured(""), headers(None));
    assert_eq!(headers(None), identity(PLAIN, Attributes::default()), "an event without a source");
}

#[test]
fn the_platforms_own_fields_lie_in_their_slots() {
    let settings =
        EventSettings { extra: vec!["coupon".to_owned(), "vip".to_owned()], ..EventSettings::default() };
    for (members, coupon, vip) in [
        (r#""coupon":"C1","vip":true"#, Some("C1"), Some("true")),
        (r#""coupon":1.50"#, Some("1.50"), None),
        (r#""vip":null"#, None, None),
    ] {
        with(settings.clone(), plus(members).as_bytes(), |read| {
            let event = read.expect("an event");
            assert_eq!(
                (event.text(TextField::Extra0), event.text(TextField::Extra1)),
                (coupon, vip),
                "{members}"
            );
        });
    }
}

fn mapping(fields: &[(&str, FieldMapping)]) -> Mapping {
    let fields = fields.iter().map(|(field, mapping)| ((*field).to_owned(), mapping.clone()));
    Mapping::new(fields, &["coupon".to_owned()]).expect("a mapping")
}

fn at(pointers: &[&str]) -> FieldMapping {
    FieldMapping {
        pointers: pointers.iter().map(|pointer| (*pointer).to_owned()).collect(),
        ..FieldMapping::default()
    }
}

#[test]
fn a_platform_with_other_names_is_mapped() {
    let words = [("PAY_FAIL", "order.failed"), ("3", "order.paid")];
    let values = words.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).into();
    let settings = EventSettings {
        extra: vec!["coupon".to_owned()],
        mapping: mapping(&[
            ("id", at(&["/header/eventId"])),
            ("type", FieldMapping { values, ..at(&["/header/event", "/event"]) }),
            ("time", FieldMapping { time_format: TimeFormat::Microseconds, ..at(&["/header/ts"]) }),
            ("account_id", at(&["/body/user/uid"])),
            ("channel", at(&["/body/pay~1ment/0/way"])),
            ("currency", FieldMapping { default: Some("CNY".to_owned()), ..at(&["/body/currency"]) }),
            ("geo.country", at(&["/body/user/cc"])),
            ("coupon", at(&["/body/promo"])),
            ("kind", FieldMapping { default: Some("topup".to_owned()), ..at(&[]) }),
        ]),
        ..EventSettings::default()
    };
    let record = r#"{"type":7,"time":false,"header":{"eventId":99,"event":"PAY_FAIL","ts":1790842350123456},
        "body":{"user":{"uid":"u\u0031","cc":"CN"},"pay/ment":[{"way":"alipay"},{"way":"card"}],"promo":12},
        "product":"p","kind":"not this"}"#;
    with(settings.clone(), record.as_bytes(), |read| {
        let event = read.expect("an event");
        assert_eq!(event.event_type, EventType::OrderFailed);
        assert_eq!(event.time, Time::from_millis(1_790_842_350_123));
        for (field, expected) in [
            (TextField::Id, "99"),
            (TextField::AccountId, "u1"),
            (TextField::Channel, "alipay"),
            (TextField::Currency, "CNY"),
            (TextField::GeoCountry, "CN"),
            (TextField::Extra0, "12"),
            (TextField::Product, "p"),
            (TextField::Kind, "topup"),
        ] {
            assert_eq!(event.text(field), Some(expected), "{field}");
        }
    });
    let other = record.replace(r#""event":"PAY_FAIL","#, "").replace(r#""type":7"#, r#""event":3"#);
    with(settings, other.as_bytes(), |read| {
        assert_eq!(read.expect("an event").event_type, EventType::OrderPaid);
    });
}

#[test]
fn a_mapped_field_that_is_not_there_is_missing() {
    let settings =
        EventSettings { mapping: mapping(&[("account_id", at(&["/user/uid"]))]), ..EventSettings::default() };
    for payload in
        [PLAIN.to_owned(), plus(r#""user":{"uid":null}"#), plus(r#""user":"me""#), plus(r#""user":[]"#)]
    {
        with(settings.clone(), payload.as_bytes(), |read| {
            assert_eq!(read.err(), Some(RejectReason::MissingAccount), "{payload}");
        });
    }
}

#[test]
fn every_reason_has_its_own_label_and_a_sentence_without_the_record() {
    let labels: std::collections::BTreeSet<_> =
        RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(labels.len(), RejectReason::ALL.len());
    assert!(RejectReason::ALL.iter().all(|reason| reason.to_string().starts_with("the ")));
}

/// JSON of any shape under the keys that decoding looks at.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        Just("-0".to_owned()),
        Just(r#""\u0000""#.to_owned()),
        Just(r#""2026-10-01T08:12:30Z""#.to_owned()),
        Just(r#""order.paid""#.to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        ".{0,12}".prop_map(|text| format!("{text:?}")),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let key = prop::sample::select(vec![
            "id",
            "type",
            "time",
            "account_id",
            "geo",
            "amount",
            "latitude",
            "data",
            "specversion",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(seeded(ProptestConfig::default()))]

    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        reject(payload);
    }

    #[test]
    fn no_json_makes_it_panic_and_it_is_never_called_broken(payload in json()) {
        if serde_json::from_str::<serde_json::Value>(&payload).is_ok() {
            prop_assert_ne!(reject(&payload), Some(RejectReason::NotJson), "{}", payload);
        }
    }

    #[test]
    fn a_damaged_event_is_read_or_refused(at in 0_usize..400, byte in any::<u8>(), length in 0_usize..400) {
        let mut payload = plus(r#""amount":12.5,"geo":{"latitude":1,"asn":5},"channel":"a\nb""#).into_bytes();
        if let Some(place) = payload.get_mut(at) {
            *place = byte;
        }
        payload.truncate(length);
        reject(payload);
    }

    #[test]
    fn the_quick_and_the_careful_pass_agree(payload in json()) {
        let extra = ["x".to_owned()];
        let settings = EventSettings { extra: extra.to_vec(), ..EventSettings::default() };
        let (mut one, mut other) = (blank(), blank());
        let mut draft = Draft::new(&mut one);
        if quick::read(&payload, &extra, &mut draft).is_ok() {
            let finished = draft.finish();
            let mut draft = Draft::new(&mut other);
            prop_assert!(careful::read(&payload, &settings, &mut draft).is_ok(), "{}", payload);
            prop_assert_eq!(finished, draft.finish(), "{}", payload);
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}"), "{}", payload);
        }
    }
}
