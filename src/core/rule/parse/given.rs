//! What a test takes as given beside its events: who the customers are, and what nobody wants to hear of.

use super::super::RuleSet;
use super::examples::{When, when};
use super::fields::{Fields, Reading};
use super::yaml::{Node, Value};
use crate::core::event::{Field, TextField, Tier};

/// The most customers of one test, and the most silences.
const MOST: usize = 1_000;

/// A customer of a test, with what rules and messages may ask. Everybody else can be told as well, and rules know nothing
/// of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCustomer {
    pub account_id: String,
    pub tier: Tier,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub manager: Option<String>,
    pub opt_outs: Vec<String>,
}

/// A silence of a test, from its start or by the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestSilence {
    /// Every rule where left out.
    pub rule: Option<String>,
    pub fields: Vec<(TextField, String)>,
    pub from: When,
    pub until: When,
}

pub fn customers(node: &Node, reading: &mut Reading<'_>) -> Vec<TestCustomer> {
    let Value::List(items) = &node.value else {
        reading.expected("a list of customers such as [{ account_id: a1, tier: merchant }]", node);
        return Vec::new();
    };
    if items.len() > MOST {
        reading.report(&node.span, format!("expected at most {MOST} customers"));
        return Vec::new();
    }
    let mut customers: Vec<TestCustomer> = Vec::new();
    for item in items {
        let Some(customer) = customer(item, reading) else { continue };
        if customers.iter().any(|known| known.account_id == customer.account_id) {
            let message = format!("the customer `{}` is given twice", customer.account_id);
            reading.report(&item.span, message);
        }
        customers.push(customer);
    }
    customers
}

fn customer(node: &Node, reading: &mut Reading<'_>) -> Option<TestCustomer> {
    let mut fields = Fields::of(node, "a customer", reading)?;
    let account_id = fields.need("account_id").and_then(|node| reading.words(node, "an account"));
    let tiers = Tier::ALL.map(|tier| (tier.as_str(), tier));
    let tier = fields.take("tier").map_or(Some(Tier::default()), |node| reading.choice(node, &tiers));
    let mut text = |name, expected, reading: &mut Reading<'_>| {
        fields.take(name).and_then(|node| reading.words(node, expected))
    };
    let locale = text("locale", "a locale such as zh-CN", reading);
    let time_zone = text("time_zone", "a time zone such as Asia/Shanghai", reading);
    let manager = text("manager", "the address of the account manager", reading);
    let opt_outs = fields.take("opt_outs").map_or_else(Vec::new, |node| {
        let items = reading.items(node).iter();
        items.filter_map(|item| reading.words(item, "a rule, a template, email or all")).collect()
    });
    fields.finish(reading);
    Some(TestCustomer { account_id: account_id?, tier: tier?, locale, time_zone, manager, opt_outs })
}

/// `concerned` are the rules of the test; none: all that there are.
pub fn silences(node: &Node, concerned: &[&str], reading: &mut Reading<'_>) -> Vec<TestSilence> {
    let Value::List(items) = &node.value else {
        reading.expected(
            "a list of silences such as [{ match: { channel: alipay }, from: 0s, until: 1h }]",
            node,
        );
        return Vec::new();
    };
    if items.len() > MOST {
        reading.report(&node.span, format!("expected at most {MOST} silences"));
        return Vec::new();
    }
    items.iter().filter_map(|item| silence(item, concerned, reading)).collect()
}

fn silence(node: &Node, concerned: &[&str], reading: &mut Reading<'_>) -> Option<TestSilence> {
    let mut fields = Fields::of(node, "a silence", reading)?;
    let matched = fields.need("match").and_then(|node| matched(node, concerned, reading));
    let from = fields.need("from").and_then(|node| when(node, reading));
    let until_node = fields.need("until");
    let until = until_node.and_then(|node| when(node, reading));
    // Files of silences must say these; here they say nothing to anybody.
    for name in ["reason", "author"] {
        if let Some(node) = fields.take(name) {
            let _said = reading.words(node, "a few words");
        }
    }
    fields.finish(reading);
    let (from, until) = (from?, until?);
    let ends_first = match (from, until) {
        (When::After(from), When::After(until)) => until <= from,
        (When::At(from), When::At(until)) => until <= from,
        (When::After(_), When::At(_)) | (When::At(_), When::After(_)) => false,
    };
    if ends_first {
        let span = until_node.map_or(node.span.clone(), |node| node.span.clone());
        reading.report(&span, "the silence ends before it begins");
    }
    let (rule, fields) = matched?;
    Some(TestSilence { rule, fields, from, until })
}

type Matched = (Option<String>, Vec<(TextField, String)>);

fn matched(node: &Node, concerned: &[&str], reading: &mut Reading<'_>) -> Option<Matched> {
    let fields = Fields::of(node, "`match`", reading)?;
    if fields.entries().is_empty() {
        reading.report(&node.span, "expected a rule or a field of the subject, such as { channel: alipay }");
        return None;
    }
    let (mut rule, mut values) = (None, Vec::new());
    for entry in fields.entries() {
        let text = reading.text(&entry.value, "a name or a value")?;
        if entry.key == "rule" {
            if !concerned.is_empty() && !concerned.contains(&text) {
                let message = format!("this test has no rule `{text}`");
                let help = format!("its rules: {}", concerned.join(", "));
                reading.report_help(&entry.value.span, message, help);
            }
            rule = Some(text.to_owned());
            continue;
        }
        match RuleSet::field_named(&entry.key, reading.extra) {
            Some(Field::Text(field)) => values.push((field, text.to_owned())),
            _ => {
                let message = format!("`{}` is not a field of a subject", entry.key);
                reading.report_help(&entry.key_span, message, "expected `rule`, or a field that holds text");
            }
        }
    }
    Some((rule, values))
}
