//! `in file("x.txt")`: the values stand in a file beside the rule's, one a line.
//!
//! A field that holds text may have a million of them, and a file for `ip` may hold networks, as in the kind `list`. For a
//! type, a fault, a tier or a number the file stands for a list that is written out.

use std::ops::Range;

use super::error::ConditionError;
use super::lower::{is_among, resolve};
use super::syntax::{Literal, LiteralValue, Name};
use super::{Condition, MAX_LIST};
use crate::core::event::{Field, TextField};
use crate::core::rule::list::{Values, values_of};

/// Reads the file of that name; says what is wrong with it otherwise, and what helps.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> Result<String, FileProblem>;

/// Why the values of a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    pub message: String,
    pub help: &'static str,
}

impl FileProblem {
    pub fn at(self, span: Range<usize>) -> ConditionError {
        ConditionError::new(span, self.message).help(self.help)
    }
}

/// A file as a condition names it.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: String,
    pub text: String,
    pub span: Range<usize>,
}

/// `field in file("x.txt")`.
pub fn in_file(
    name: &Name,
    file: &File,
    negated: bool,
    extra: &[String],
) -> Result<Condition, ConditionError> {
    if let Field::Text(field) = resolve(name, extra)?
        && field != TextField::CustomerTier
    {
        let values =
            Values::read(field, &file.text).map_err(|wrong| wrong.of(&file.name).at(file.span.clone()))?;
        return Ok(Condition::Listed { field, values, negated });
    }
    let literal =
        |text: &str| Literal { value: LiteralValue::Text(text.to_owned()), span: file.span.clone() };
    let list: Vec<Literal> =
        values_of(&file.text).take(MAX_LIST + 1).map(|(_, value)| literal(value)).collect();
    if list.len() > MAX_LIST {
        let message =
            format!("{} has more than {MAX_LIST} values, which is too many for `{}`", file.name, name.text);
        return Err(ConditionError::new(file.span.clone(), message));
    }
    if list.is_empty() {
        return Err(ConditionError::new(file.span.clone(), format!("{} has no values", file.name))
            .help("no event would meet it"));
    }
    is_among(name, &list, negated, extra).map_err(|error| match error.span == file.span {
        true => ConditionError { message: format!("{}: {}", file.name, error.message), ..error },
        false => error,
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use rust_decimal::Decimal;

    use super::*;
    use crate::core::event::{Event, EventType, NumberField};
    use crate::core::time::Time;

    /// The files of these tests.
    fn read(name: &str) -> Result<String, FileProblem> {
        Ok(match name {
            "products.txt" => "# sold out\ncard-50\n\n  00123 \n点卡\n".to_owned(),
            "networks.txt" => "10.0.0.0/8\n2001:db8::1\ntoken\n".to_owned(),
            "wrong.txt" => "10.0.0.0/8\n10.0.0.0/40\n".to_owned(),
            "amounts.txt" => "50\n99.90\n".to_owned(),
            "types.txt" => "order.paid\norder.failed\n".to_owned(),
            "many.txt" => (0..=MAX_LIST).map(|n| format!("{n}\n")).collect(),
            "empty.txt" => "# nothing\n".to_owned(),
            _ => return Err(FileProblem { message: format!("cannot read {name}"), help: "write it" }),
        })
    }

    fn parse(source: &str) -> Result<Condition, ConditionError> {
        Condition::parse(source, &[], &mut read)
    }

    fn holds(source: &str, event_type: EventType, texts: &[(TextField, &str)], amount: Option<&str>) -> bool {
        let condition = parse(source).unwrap();
        let mut event = Event::new(event_type, Time::from_millis(0));
        for (field, text) in texts {
            event.set_text(*field, Cow::Borrowed(text));
        }
        if let Some(amount) = amount {
            event.set_number(NumberField::Amount, amount.parse::<Decimal>().unwrap());
        }
        event.symbolize(condition.symbols());
        assert!(!condition.holds(&event) || condition.types().contains(event_type));
        condition.holds(&event)
    }

    #[test]
    fn a_value_is_in_the_file_or_it_is_not_and_a_field_that_is_missing_is_neither() {
        use TextField::{Ip, Product};
        let (within, without) =
            (r#"product in file("products.txt")"#, r#"product not in file("products.txt")"#);
        for (product, is_in) in [("card-50", true), ("00123", true), ("点卡", true), ("123", false)] {
            assert_eq!(holds(within, EventType::OrderPaid, &[(Product, product)], None), is_in, "{product}");
            assert_eq!(
                holds(without, EventType::OrderPaid, &[(Product, product)], None),
                !is_in,
                "{product}"
            );
        }
        assert!(!holds(within, EventType::OrderPaid, &[], None));
        assert!(!holds(without, EventType::OrderPaid, &[], None));
        assert!(holds(&format!("not ({within})"), EventType::OrderPaid, &[], None));
        let networks = r#"ip in file("networks.txt") and type == "order.paid""#;
        for (ip, is_in) in [("10.9.8.7", true), ("2001:0db8::1", true), ("token", true), ("11.0.0.1", false)]
        {
            assert_eq!(holds(networks, EventType::OrderPaid, &[(Ip, ip)], None), is_in, "{ip}");
        }
        assert!(!holds(networks, EventType::OrderFailed, &[(Ip, "10.9.8.7")], None));
    }

    #[test]
    fn for_a_type_or_a_number_a_file_is_a_list_that_is_written_out() {
        let types = parse(r#"type not in file("types.txt")"#).unwrap();
        assert_eq!(types, parse(r#"type not in ["order.paid", "order.failed"]"#).unwrap());
        let amounts = r#"amount in file("amounts.txt")"#;
        assert!(holds(amounts, EventType::OrderPaid, &[], Some("99.9")));
        assert!(!holds(amounts, EventType::OrderPaid, &[], Some("50.01")));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_where_it_is_named() {
        for (source, expected) in [
            (r#"ip in file("gone.txt")"#, r#"file("gone.txt") | cannot read gone.txt | write it"#),
            (
                r#"ip in file("wrong.txt")"#,
                r#"file("wrong.txt") | wrong.txt has values that are not networks: line 2, `10.0.0.0/40` | expected an address, a slash and a length, such as 10.0.0.0/8 or 2001:db8::/32"#,
            ),
            (
                r#"ip in file("empty.txt")"#,
                r#"file("empty.txt") | empty.txt has no values | expected at least one value"#,
            ),
            (
                r#"fault in file("empty.txt")"#,
                r#"file("empty.txt") | empty.txt has no values | no event would meet it"#,
            ),
            (
                r#"type in file("amounts.txt")"#,
                r#"file("amounts.txt") | amounts.txt: unknown event type "50" | event types: "#,
            ),
            (
                r#"amount in file("many.txt")"#,
                r#"file("many.txt") | many.txt has more than 1000 values, which is too many for `amount` | "#,
            ),
            (
                r#"ip in file(5)"#,
                r#"5 | expected the name of a file | text goes in double quotes: file("x.txt")"#,
            ),
            (r#"ip in file "x""#, r#""x" | expected `(` after file, found the text "x" | "#),
            (
                r#"time in file("amounts.txt")"#,
                r#"time | `time` is a time, which is not in a list | expected == != < <= > >="#,
            ),
        ] {
            let error = parse(source).unwrap_err();
            let said = format!(
                "{} | {} | {}",
                &source[error.span.clone()],
                error.message,
                error.help.clone().unwrap_or_default()
            );
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
