//! The written form of facts and subjects in a database: JSON that people can read and later versions can extend.

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::core::effect::Subject;
use crate::core::event::{EventType, Facts, TextField};
use crate::core::time::Time;

/// A subject with its fields in the order of the rule, which is part of its identity.
pub fn subject(subject: &Subject) -> String {
    let pairs: Vec<[&str; 2]> =
        subject.0.iter().map(|(field, value)| [field.as_str(), value.as_str()]).collect();
    Value::from_iter(pairs.into_iter().map(|pair| json!(pair))).to_string()
}

pub fn read_subject(text: &str) -> Option<Subject> {
    let Value::Array(pairs) = serde_json::from_str(text).ok()? else { return None };
    let pair = |pair: &Value| {
        Some((CompactString::from(pair.get(0)?.as_str()?), CompactString::from(pair.get(1)?.as_str()?)))
    };
    pairs.iter().map(pair).collect::<Option<Vec<_>>>().map(Subject)
}

pub fn facts(facts: &Facts) -> String {
    let texts: Map<String, Value> =
        facts.texts.iter().map(|(field, text)| (field.as_str().to_owned(), json!(text.as_str()))).collect();
    json!({
        "type": facts.event_type.as_str(),
        "time": facts.time.as_millis(),
        "account_id": facts.account_id.as_str(),
        "texts": texts,
        "amount": facts.amount.map(|amount| amount.to_string()),
        "quantity": facts.quantity.map(|quantity| quantity.to_string()),
    })
    .to_string()
}

pub fn read_facts(text: &str) -> Option<Facts> {
    let value: Value = serde_json::from_str(text).ok()?;
    let texts = value.get("texts")?.as_object()?;
    let number = |name: &str| value.get(name)?.as_str()?.parse::<Decimal>().ok();
    Some(Facts {
        event_type: EventType::parse(value.get("type")?.as_str()?)?,
        time: Time::from_millis(value.get("time")?.as_i64()?),
        account_id: value.get("account_id")?.as_str()?.into(),
        texts: TextField::ALL
            .into_iter()
            .filter_map(|field| Some((field, texts.get(field.as_str())?.as_str()?.into())))
            .collect(),
        amount: number("amount"),
        quantity: number("quantity"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::samples;

    #[test]
    fn facts_and_subjects_are_read_back_as_they_were() {
        let mut written = samples::facts("a \"quoted\"\n一");
        written.quantity = Some(Decimal::new(3, 0));
        assert_eq!(read_facts(&facts(&written)), Some(written));
        let written = Subject(vec![("region".into(), "华东".into()), ("channel".into(), "\"x\"".into())]);
        assert_eq!(subject(&written), r#"[["region","华东"],["channel","\"x\""]]"#);
        assert_eq!(read_subject(&subject(&written)), Some(written));
        assert_eq!(read_subject(&subject(&Subject::default())), Some(Subject::default()));
    }

    #[test]
    fn what_another_version_wrote_is_no_panic() {
        for text in ["", "{}", "[1]", "[[\"a\"]]", "{\"type\":\"nonesuch\"}", "null"] {
            assert_eq!(read_facts(text), None, "{text}");
            if text != "[]" {
                assert_eq!(read_subject(text), None, "{text}");
            }
        }
    }
}
