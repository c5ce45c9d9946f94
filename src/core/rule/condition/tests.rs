//! Conditions from text to verdict: what parses, what is refused and how, and what each form evaluates to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::core::tests::seeded;
use proptest::prelude::*;

use super::lower::lower;
use super::syntax::{Items, LiteralValue, Operand, TextTest, Tree};
use super::*;
use crate::core::event::EventType;

fn extra() -> Vec<String> {
    vec!["coupon".to_owned(), "shop.level".to_owned()]
}

fn no_files(name: &str) -> Result<String, FileProblem> {
    Err(FileProblem { message: format!("{name} is not there"), help: "" })
}

fn parsed(source: &str) -> Condition {
    Condition::parse(source, &extra(), &mut no_files).unwrap_or_else(|error| panic!("{source}: {error:?}"))
}

/// `source` with its error written below: the bytes it is about, the message, the help.
fn error(source: &str) -> String {
    let error = match Condition::parse(source, &extra(), &mut no_files) {
        Ok(condition) => panic!("{source} was read as {condition:?}"),
        Err(error) => error,
    };
    let about = source.get(error.span.clone()).expect("the span lies on character boundaries");
    match error.help {
        Some(help) => format!("{about} | {} | {help}", error.message),
        None => format!("{about} | {}", error.message),
    }
}

#[test]
fn what_is_asked_of_types_and_faults_becomes_one_set_each() {
    let types = |names: &[&str]| {
        names.iter().fold(TypeSet::EMPTY, |set, name| set.or(TypeSet::of(EventType::parse(name).unwrap())))
    };
    for (source, lowered) in [
        (r#"type == "order.paid""#, Condition::TypeIn(types(&["order.paid"]))),
        (
            r#"type == "order.paid" or type in ["order.failed"]"#,
            Condition::TypeIn(types(&["order.paid", "order.failed"])),
        ),
        (r#"type starts_with "card.""#, Condition::TypeIn(types(&["card.redeemed", "card.redeem_failed"]))),
        (r#"type == "order.paid" and type == "order.failed""#, Condition::Never),
        (r#"not (type == "order.paid") or type == "order.paid""#, Condition::Always),
        (r#"fault != "customer""#, Condition::FaultIn(0b11_1101)),
        (r#"fault in ["none"] and exists(fault)"#, Condition::FaultIn(1)),
        (
            r#"fault != "customer" and (type == "order.failed") and fault != "none""#,
            Condition::All(Box::new([
                Condition::TypeIn(types(&["order.failed"])),
                Condition::FaultIn(0b11_1100),
            ])),
        ),
        (r#"not not (channel == "alipay")"#, Condition::text_is(TextField::Channel, "alipay")),
        (r#""alipay" == channel"#, Condition::text_is(TextField::Channel, "alipay")),
        (r#"channel == "b" or channel == "a" or channel in ["a"]"#, parsed(r#"channel in ["a", "b"]"#)),
        (r#"amount == "500.00""#, parsed("amount == 500")),
        ("500 < amount", parsed("amount > 500")),
    ] {
        assert_eq!(parsed(source), lowered, "{source}");
    }
}

#[test]
fn fields_literals_and_operators_are_read_in_all_their_forms() {
    for source in [
        "geo.country == 'CN'",
        r#"coupon == "x" and shop.level in ["1", "2",]"#,
        r#"region != geo.region"#,
        r#"amount >= -1.50 and quantity in [1, 2, 3]"#,
        r#"amount < level"#,
        r#"time > expires_at"#,
        r#"time >= "2026-10-01T00:00:00+08:00""#,
        r#"cidr(ip, "10.0.0.0/8") or cidr(ip, "2001:db8::/32")"#,
        r#"exists(card_id) and not exists(error_code)"#,
        r#"user_agent contains "\"quoted\" \\ and \n" and product starts_with "游戏点卡""#,
        "\n  type == \"order.paid\"\n  and kind == \"topup\"\n",
    ] {
        parsed(source);
    }
}

#[test]
fn errors_point_at_the_words_they_are_about_and_name_the_nearest() {
    for (source, expected) in [
        (r#"typ == "order.paid""#, "typ | unknown field `typ` | did you mean `type`?"),
        (r#"country == "CN""#, "country | unknown field `country` | did you mean `geo.country`?"),
        (
            r#"type == "order.fail""#,
            r#""order.fail" | unknown event type "order.fail" | did you mean "order.failed"?"#,
        ),
        (r#"fault == "custommer""#, r#""custommer" | unknown fault "custommer" | did you mean "customer"?"#),
        (
            r#"fault == "bank""#,
            r#""bank" | unknown fault "bank" | faults: none, customer, channel, supplier, platform, unknown"#,
        ),
        ("kind == topup", r#"topup | unknown field `topup` | text goes in double quotes: "topup""#),
        ("channel == 5", r#"5 | `channel` is text, and 5 is a number | text goes in double quotes: "5""#),
        (
            r#"amount > "much""#,
            r#""much" | `amount` is a number, and "much" is not | expected a decimal such as 500 or "49.90""#,
        ),
        (r#"kind = "topup""#, "= | `=` is written `==` here"),
        (r#"kind == "a" && kind == "b""#, "&& | `&&` is written `and` here"),
        ("!exists(kind)", "! | `!` is written `not` here"),
        (r#"kind == "topup"#, r#""topup | this text is never closed | expected a closing ""#),
        ("", " | the condition is empty | leave the field out to let every event through"),
        (
            "kind",
            "kind | expected a comparison after this | expected == != < <= > >= in, not in, starts_with, ends_with or contains",
        ),
        (r#"(kind == "a""#, " | expected `)` to close the parenthesis, found the end of the condition"),
        (r#"kind == "a")"#, ") | this parenthesis closes nothing"),
        (
            r#"kind == "a" kind == "b""#,
            "kind | expected `and`, `or` or the end of the condition, found `kind`",
        ),
        (
            "1 < quantity < 5",
            "< | comparisons do not chain | join two of them: 5 < quantity and quantity < 10",
        ),
        (r#"kind in []"#, "[] | the list is empty | no event would meet it"),
        (
            r#"customer.tier == "gold""#,
            r#""gold" | unknown tier "gold" | tiers: individual, merchant, enterprise"#,
        ),
        (
            r#"customer.tier in ["merchant", "enterprize"]"#,
            r#""enterprize" | unknown tier "enterprize" | did you mean "enterprise"?"#,
        ),
        (
            r#"customer.tier < "merchant""#,
            "customer.tier | `customer.tier` has no order | expected == != in or not in",
        ),
        (
            "customer.locale > 5",
            r#"5 | `customer.locale` is text, and 5 is a number | text goes in double quotes: "5""#,
        ),
        (
            r#"customer.tire == "merchant""#,
            "customer.tire | unknown field `customer.tire` | did you mean `customer.tier`?",
        ),
        (
            r#"customer.email ends_with "example.com""#,
            "customer.email | `customer.email` is personal, and no rule looks at it | what rules may ask of a customer: customer.tier, customer.locale, customer.time_zone",
        ),
        ("exists(customer)", "customer | unknown field `customer` | did you mean `customer.tier`?"),
        ("ip == login.ip", r#"login.ip | unknown field `login.ip` | text goes in double quotes: "login.ip""#),
        (
            r#"login.ip == "::1""#,
            "login.ip | unknown field `login.ip` | fields of an earlier step are written `step.field`, and only in a sequence, after that step",
        ),
        (
            r#"cidr(ip, "10.0.0.0")"#,
            r#""10.0.0.0" | this is not a network | expected an address, a slash and a length, such as "10.0.0.0/8" or "2001:db8::/32""#,
        ),
        (r#"exsts(kind)"#, "exsts | unknown function `exsts` | did you mean `exists`?"),
        (
            r#"starts_with(kind, "a")"#,
            r#"starts_with | `starts_with` stands between a field and a text | expected: product starts_with "text""#,
        ),
        (r#"type < "order.paid""#, "type | `type` has no order | expected == != in or not in"),
        (
            r#"geo.latitude > 5"#,
            "geo.latitude | `geo.latitude` can't be compared | places are judged by the kinds travel and new_term; geo.country, geo.region and geo.city are text",
        ),
        (
            "amount == 5x",
            "5x | `5x` is not a number | expected digits with at most one point, such as 500 or 49.90; text goes in double quotes",
        ),
        (
            "kind ~ 5",
            "~ | `~` means nothing in a condition | expected a field, a literal, a comparison (== != < <= > >= in), and, or, not or parentheses",
        ),
        (r#"kind is "topup""#, "is | expected a comparison, found `is` | did you mean `in`?"),
        (
            r#"产品 == "点卡""#,
            r#"产品 | unknown field `产品` | a field of the platform's own must be declared first: [events] extra = ["…"]"#,
        ),
    ] {
        assert_eq!(error(source), expected, "{source}");
    }
}

#[test]
fn length_depth_and_lists_are_bounded() {
    let deep = format!("{}exists(kind){}", "(".repeat(40), ")".repeat(40));
    assert!(error(&deep).contains("nested more than 32 deep"));
    let nots = format!("{}exists(kind)", "not ".repeat(5_000 / 4));
    assert!(error(&nots).contains("nested more than 32 deep"));
    let long = format!("kind == \"{}\"", "a".repeat(MAX_SOURCE));
    assert!(error(&long).contains("at most 8192 are allowed"));
    let list = format!("quantity in [{}]", "1,".repeat(MAX_LIST + 1));
    assert!(error(&list).contains("more than 1000 values"));
}

#[test]
fn a_missing_field_makes_every_comparison_false_and_its_denial_true() {
    let mut event = Event::new(EventType::OrderPaid, Time::from_millis(0));
    for source in [
        r#"kind == "a""#,
        r#"kind != "a""#,
        r#"kind in ["a"]"#,
        r#"kind not in ["a"]"#,
        r#"kind < "a""#,
        r#"kind contains """#,
        "amount == 1",
        "amount != 1",
        "amount not in [1]",
        "amount <= quantity",
        "kind == product",
        "kind != product",
        r#"expires_at < "2026-10-01T00:00:00Z""#,
        "time < expires_at",
        r#"cidr(ip, "0.0.0.0/0")"#,
        "exists(kind)",
    ] {
        let condition = parsed(source);
        event.symbolize(condition.symbols());
        assert!(!condition.holds(&event), "{source}");
        assert!(parsed(&format!("not ({source})")).holds(&event), "not ({source})");
    }
}

#[test]
fn networks_hold_the_addresses_that_share_their_prefix() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.1.2.3/8", "10.9.9.9", "9.0.0.1"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("::/0", "2001:db8::1", "not an address"),
    ] {
        let network = Network::parse(network).unwrap();
        assert!(network.contains(inside) && !network.contains(outside), "{network:?}");
    }
    for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "/8", "x/8", "10.0.0.0/-1"] {
        assert_eq!(Network::parse(text), None, "{text}");
    }
}

// The naive evaluator: the tree as it was written, over an event as a table of named texts and numbers.

#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Plain {
    Text(String),
    Number(Decimal),
}

type Table = BTreeMap<&'static str, Plain>;

fn naive(tree: &Tree, event: &Table) -> bool {
    let literal = |field: &str, literal: &LiteralValue| match literal {
        LiteralValue::Number(number) => Plain::Number(*number),
        LiteralValue::Text(text) if ["amount", "quantity"].contains(&field) => {
            Plain::Number(text.parse().unwrap())
        }
        LiteralValue::Text(text) => Plain::Text(text.clone()),
    };
    match tree {
        Tree::Any(parts) => parts.iter().any(|part| naive(part, event)),
        Tree::All(parts) => parts.iter().all(|part| naive(part, event)),
        Tree::Not(inner) => !naive(inner, event),
        Tree::Compare { left, order, right } => {
            let names = [left, right].map(|operand| match operand {
                Operand::Field(name) => name.text.as_str(),
                Operand::Literal(_) => "",
            });
            let field = names.concat();
            let value = |operand: &Operand| match operand {
                Operand::Field(name) => event.get(name.text.as_str()).cloned(),
                Operand::Literal(found) => Some(literal(&field, &found.value)),
            };
            match (value(left), value(right)) {
                (Some(left), Some(right)) => match order {
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right,
                    Comparison::Less => left < right,
                    Comparison::LessOrEqual => left <= right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterOrEqual => left >= right,
                },
                _ => false,
            }
        }
        Tree::In { list: Items::File(_), .. } => panic!("no files here"),
        Tree::In { field, list: Items::Written(list), negated } => {
            event.get(field.text.as_str()).is_some_and(|value| {
                list.iter().any(|item| literal(&field.text, &item.value) == *value) != *negated
            })
        }
        Tree::Test { field, test, literal } => match (event.get(field.text.as_str()), &literal.value) {
            (Some(Plain::Text(text)), LiteralValue::Text(literal)) => match test {
                TextTest::StartsWith => text.starts_with(literal),
                TextTest::EndsWith => text.ends_with(literal),
                TextTest::Contains => text.contains(literal),
            },
            _ => false,
        },
        Tree::Exists(name) => event.contains_key(name.text.as_str()),
        Tree::Cidr { .. } => unreachable!("not generated"),
    }
}

fn arbitrary_event() -> impl Strategy<Value = (Table, Event<'static>)> {
    let text = || prop::option::of(prop::sample::select(vec!["a", "b", "ab", "ba", ""]));
    let number = || prop::option::of(0_i64..4);
    (
        prop::sample::select(EventType::ALL.to_vec()),
        prop::sample::select(Fault::ALL.to_vec()),
        [text(), text(), text()],
        [number(), number()],
    )
        .prop_map(|(event_type, fault, texts, numbers)| {
            let mut event = Event::new(event_type, Time::from_millis(0));
            event.fault = fault;
            let mut table = Table::new();
            table.insert("type", Plain::Text(event_type.as_str().to_owned()));
            table.insert("fault", Plain::Text(fault.as_str().to_owned()));
            for (field, value) in
                [TextField::Kind, TextField::GeoCountry, TextField::Extra0].iter().zip(texts)
            {
                if let Some(value) = value {
                    event.set_text(*field, Cow::Borrowed(value));
                    let name = if *field == TextField::Extra0 { "coupon" } else { field.as_str() };
                    table.insert(name, Plain::Text(value.to_owned()));
                }
            }
            for (field, value) in [NumberField::Amount, NumberField::Quantity].iter().zip(numbers) {
                if let Some(value) = value {
                    event.set_number(*field, Decimal::from(value));
                    table.insert(field.as_str(), Plain::Number(Decimal::from(value)));
                }
            }
            (table, event)
        })
}

fn arbitrary_source() -> impl Strategy<Value = String> {
    let text_field = || prop::sample::select(vec!["kind", "geo.country", "coupon"]);
    let text = || prop::sample::select(vec!["a", "b", "ab", ""]);
    let order = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let equality = || prop::sample::select(vec!["==", "!="]);
    let set = || prop::sample::select(vec!["in", "not in"]);
    let number = || prop::sample::select(vec!["0", "1", "\"2.0\"", "3"]);
    let number_field = || prop::sample::select(vec!["amount", "quantity"]);
    let event_type = || prop::sample::select(EventType::ALL.to_vec());
    let fault = || prop::sample::select(Fault::ALL.to_vec());
    let leaf = prop_oneof![
        (text_field(), order(), text()).prop_map(|(f, o, t)| format!("{f} {o} \"{t}\"")),
        (text_field(), order(), text()).prop_map(|(f, o, t)| format!("'{t}' {o} {f}")),
        (text_field(), equality(), text_field()).prop_map(|(f, o, g)| format!("{f} {o} {g}")),
        (text_field(), set(), text(), text()).prop_map(|(f, s, t, u)| format!("{f} {s} [\"{t}\", \"{u}\"]")),
        (text_field(), prop::sample::select(vec!["starts_with", "ends_with", "contains"]), text())
            .prop_map(|(f, o, t)| format!("{f} {o} \"{t}\"")),
        (number_field(), order(), number()).prop_map(|(f, o, n)| format!("{f} {o} {n}")),
        (number_field(), order(), number_field()).prop_map(|(f, o, g)| format!("{f} {o} {g}")),
        (number_field(), set(), number(), number()).prop_map(|(f, s, n, m)| format!("{f} {s} [{n}, {m}]")),
        (equality(), event_type()).prop_map(|(o, t)| format!("type {o} \"{t}\"")),
        (set(), event_type(), event_type()).prop_map(|(s, t, u)| format!("type {s} [\"{t}\", \"{u}\"]")),
        prop::sample::select(vec!["order.", "card"]).prop_map(|t| format!("type starts_with \"{t}\"")),
        (equality(), fault()).prop_map(|(o, f)| format!("fault {o} \"{f}\"")),
        (set(), fault(), fault()).prop_map(|(s, f, g)| format!("fault {s} [\"{f}\", \"{g}\"]")),
        prop::sample::select(vec!["kind", "coupon", "amount", "type"]).prop_map(|f| format!("exists({f})")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(") and ("))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(") or ("))),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("not ({a}) or ({b}) and ({c})")),
        ]
    })
}

proptest! {
    #![proptest_config(seeded(ProptestConfig::default()))]

    #[test]
    fn the_lowered_form_says_what_the_written_one_says(
        source in arbitrary_source(),
        events in prop::collection::vec(arbitrary_event(), 1..20),
    ) {
        let tree = syntax::parse(&source, &mut no_files).unwrap();
        let lowered = lower(&tree, &extra()).unwrap();
        for (table, mut event) in events {
            event.symbolize(lowered.symbols());
            prop_assert_eq!(lowered.holds(&event), naive(&tree, &table), "{:?} of {:?}", lowered, table);
            prop_assert!(
                !lowered.holds(&event) || lowered.types().contains(event.event_type),
                "{:?} holds outside its types", lowered
            );
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(source in "[a-z .\"'()\\[\\],<>=!0-9\\\\-产]{0,60}") {
        if let Err(error) = Condition::parse(&source, &extra(), &mut no_files) {
            prop_assert!(source.get(error.span).is_some());
        }
    }
}

#[test]
fn fields_of_the_customer_are_asked_like_those_of_the_event_and_are_missing_where_nobody_knows_them() {
    let cases = [
        (r#"customer.tier == "merchant""#, true, false),
        (r#"customer.tier != "individual""#, true, false),
        (r#"customer.tier in ["individual", "enterprise"]"#, false, false),
        (r#"not (customer.tier == "merchant")"#, false, true),
        (r#"customer.locale starts_with "zh" and customer.tier == "merchant""#, true, false),
        (r#"customer.locale contains "CN""#, true, false),
        (r#"customer.locale ends_with "TW""#, false, false),
        (r#"customer.locale >= "zh""#, true, false),
        ("customer.locale == region", true, false),
        ("exists(customer.time_zone)", false, false),
        ("exists(customer.locale)", true, false),
    ];
    for (source, known, unknown) in cases {
        let condition = parsed(source);
        assert_ne!(condition.symbols().and(TextSet::CUSTOMER), TextSet::EMPTY, "{source} is looked up");
        let mut event = Event::new(EventType::OrderPaid, Time::from_millis(0));
        event.set_text(TextField::Region, Cow::Borrowed("zh_CN"));
        event.symbolize(condition.symbols());
        assert_eq!(condition.holds(&event), unknown, "{source} of an unknown customer");
        event.set_text(TextField::CustomerTier, Cow::Borrowed("merchant"));
        event.set_text(TextField::CustomerLocale, Cow::Borrowed("zh_CN"));
        event.symbolize(condition.symbols());
        assert_eq!(condition.holds(&event), known, "{source}");
    }
    let none = parsed(r#"kind == "topup" and user_agent contains "x" and exists(ip)"#);
    assert_eq!(none.symbols().and(TextSet::CUSTOMER), TextSet::EMPTY);
    assert_eq!(none.symbols(), TextSet::of(TextField::Kind), "what is not compared is not hashed");
}
