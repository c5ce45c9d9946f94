//! The tests inside rule files, and in files of their own: events at moments of a made-up time, and the effects that are expected of them.

use std::ops::Range;

use rust_decimal::Decimal;

use super::super::RuleSet;
use super::super::condition::{nearest, unknown_field};
use super::error::Place;
use super::fields::{Fields, Reading};
use super::given::{self, TestCustomer, TestSilence};
use super::proposals::{self, Offered};
use super::value::parse_duration;
use super::yaml::{Node, Value};
use crate::core::effect::ProposalState;
use crate::core::event::{self, Event, EventType, Fault, Field, NumberField, TextField, Topic};
use crate::core::time::{Span, Time};

/// The most events of one test, repetitions included.
const MAX_EVENTS: u32 = 100_000;
/// The most repetitions of one expectation.
const MAX_REPEATED: u32 = 1_000;

/// A test as it was written.
#[derive(Clone, Debug)]
pub struct RuleTest {
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// In a file of tests: the rule that is tested; without one, all rules are.
    pub rule: Option<(String, Place)>,
    /// Other rules that are loaded beside the one that is tested.
    pub with: Vec<(String, Place)>,
    /// The customers that rules and messages know.
    pub customers: Vec<TestCustomer>,
    pub silences: Vec<TestSilence>,
    /// Events that warm the rule and may not fire.
    pub history: Vec<Step>,
    pub events: Vec<Step>,
    pub expect: Vec<Expectation>,
    /// Where the word `expect` stands.
    pub expect_place: Place,
}

/// A moment, from the test's start or by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    After(Span),
    At(Time),
}

#[derive(Clone, Debug)]
pub struct Step {
    pub place: Place,
    pub at: When,
    /// [`None`] lets time pass.
    pub event: Option<Box<TestEvent>>,
    pub repeat: u32,
    pub every: Span,
}

/// An event of a test: nothing but what was written.
#[derive(Clone, Debug)]
pub struct TestEvent {
    pub event_type: EventType,
    pub fault: Option<Fault>,
    pub expires_at: Option<Time>,
    pub location: Option<event::Place>,
    pub texts: Vec<(TextField, String)>,
    pub numbers: Vec<(NumberField, Decimal)>,
}

impl TestEvent {
    pub fn text(&self, field: TextField) -> Option<&str> {
        self.texts.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }

    /// The event in its n-th repetition.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let mut event = self.clone();
        for (_, text) in &mut event.texts {
            if text.contains("{n}") {
                *text = numbered(text, number);
            }
        }
        event
    }

    /// The event at a moment. `id` is used where the test gives none, `fault` where it gives neither fault nor code.
    pub fn event<'a>(&'a self, id: &'a str, time: Time, fault: Fault) -> Event<'a> {
        let mut event = Event::new(self.event_type, time);
        event.fault = self.fault.unwrap_or(fault);
        event.expires_at = self.expires_at;
        event.place = self.location;
        event.set_text(TextField::Id, id.into());
        for (field, value) in &self.texts {
            event.set_text(*field, value.as_str().into());
        }
        for (field, value) in &self.numbers {
            event.set_number(*field, *value);
        }
        event
    }
}

#[derive(Clone, Debug)]
pub struct Expectation {
    pub place: Place,
    pub what: Expected,
    /// Which rule does it, where several are loaded.
    pub rule: Option<String>,
    /// Fields of the subject that are given; the others may be anything.
    pub subject: Vec<(TextField, String)>,
    pub account_id: Option<String>,
    pub at: Option<When>,
    pub by: Option<When>,
    pub since: Option<When>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Finding,
    Ticket(TicketWord),
    /// The name of the template.
    Notice(String),
    Compensation(ProposalState, Option<Offered>),
    /// The name of the action, where it is given.
    Action(ProposalState, Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketWord {
    Opened,
    Updated,
    Merged,
    Reopened,
    Escalated,
    Resolved,
    Withdrawn,
}

impl TicketWord {
    pub const ALL: [(&'static str, Self); 7] = [
        ("opened", Self::Opened),
        ("updated", Self::Updated),
        ("merged", Self::Merged),
        ("reopened", Self::Reopened),
        ("escalated", Self::Escalated),
        ("resolved", Self::Resolved),
        ("withdrawn", Self::Withdrawn),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, word)| *word == self).map_or("", |(name, _)| name)
    }
}

/// Tests in a file of their own.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file, as it was named.
    pub file: std::sync::Arc<str>,
    /// Files or directories of the rules that are tested, as they are written: from this file's own directory. None: the rules
    /// that are loaded beside it.
    pub rules: Vec<(String, Place)>,
    pub tests: Vec<RuleTest>,
}

/// Whether a document holds tests and no rule.
pub fn is_suite(node: &Node) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    let has = |name: &str| entries.iter().any(|entry| entry.key == name);
    has("tests") && !["name", "detect", "topics"].into_iter().any(has)
}

/// A document of tests: `rules:` and `tests:`.
pub fn suite(node: &Node, reading: &mut Reading<'_>) -> Option<Suite> {
    let mut fields = Fields::of(node, "a file of tests", reading)?;
    let mut rules = Vec::new();
    if let Some(node) = fields.take("rules") {
        for item in reading.items(node) {
            let expected = "a rule file or a directory of them, such as ../rules";
            if let Some(path) = reading.words(item, expected) {
                rules.push((path, reading.source.place(&item.span)));
            }
        }
    }
    let tests = fields.need("tests").map(|node| list(node, Of::Suite, reading)).unwrap_or_default();
    fields.finish(reading);
    Some(Suite { file: reading.source.file.clone(), rules, tests })
}

/// Where tests stand.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// In the file of the rule of this name, if it could be read.
    Rule(Option<&'a str>),
    Suite,
}

pub fn tests(node: &Node, rule: Option<&str>, reading: &mut Reading<'_>) -> Vec<RuleTest> {
    list(node, Of::Rule(rule), reading)
}

fn list(node: &Node, of: Of<'_>, reading: &mut Reading<'_>) -> Vec<RuleTest> {
    let Value::List(items) = &node.value else {
        reading.expected("a list of tests", node);
        return Vec::new();
    };
    let mut tests: Vec<RuleTest> = Vec::new();
    for item in items {
        let Some(test) = test(item, of, reading) else { continue };
        let same = |known: &RuleTest| {
            known.name == test.name
                && known.rule.as_ref().map(|(name, _)| name) == test.rule.as_ref().map(|(name, _)| name)
        };
        if tests.iter().any(same) {
            reading.report(&item.span, format!("another test of this rule is named `{}` too", test.name));
        }
        tests.push(test);
    }
    tests
}

fn test(node: &Node, of: Of<'_>, reading: &mut Reading<'_>) -> Option<RuleTest> {
    let mut fields = Fields::of(node, "a test", reading)?;
    let tested = match of {
        Of::Rule(_) => None,
        Of::Suite => fields.take("rule").and_then(|node| {
            Some((
                reading.name(node, "the name of the rule that is tested")?,
                reading.source.place(&node.span),
            ))
        }),
    };
    let rule = match of {
        Of::Rule(rule) => rule,
        Of::Suite => tested.as_ref().map(|(name, _)| name.as_str()),
    };
    let name_node = fields.need("name");
    let name = name_node.and_then(|node| reading.words(node, "a sentence about what is tested"));
    let mut with = Vec::new();
    if let Some(node) = fields.take("with") {
        for item in reading.items(node) {
            if let Some(name) = reading.name(item, "the name of a rule") {
                with.push((name, reading.source.place(&item.span)));
            }
        }
    }
    let history = fields.take("history").map(|node| steps(node, reading)).unwrap_or_default();
    let events_node = fields.need("events");
    let events = events_node.map(|node| steps(node, reading)).unwrap_or_default();
    if let Some(node) =
        events_node.filter(|node| matches!(&node.value, Value::List(items) if items.is_empty()))
    {
        reading.report(&node.span, "a test needs at least one event, or `- { at: 40m }` to let time pass");
    }
    let count = history.iter().chain(&events).map(|step| step.repeat).fold(0, u32::saturating_add);
    if count > MAX_EVENTS {
        reading
            .report(&fields.key_span("events"), format!("{count} events; at most {MAX_EVENTS} are allowed"));
    }
    let expect_node = fields.need("expect");
    let expect = expect_node.map(|node| expectations(node, rule, reading)).unwrap_or_default();
    let expect_place = reading.source.place(&fields.key_span("expect"));
    let place = reading.source.place(&name_node.map_or(fields.head(), |node| node.span.clone()));
    let customers = fields.take("customers").map(|node| given::customers(node, reading)).unwrap_or_default();
    let concerned: Vec<&str> = rule.into_iter().chain(with.iter().map(|(name, _)| name.as_str())).collect();
    let silences_node = fields.take("silences");
    let silences = silences_node.map(|node| given::silences(node, &concerned, reading)).unwrap_or_default();
    fields.finish(reading);
    Some(RuleTest {
        name: name?,
        place,
        rule: tested,
        with,
        customers,
        silences,
        history,
        events,
        expect,
        expect_place,
    })
}

fn steps(node: &Node, reading: &mut Reading<'_>) -> Vec<Step> {
    let Value::List(items) = &node.value else {
        reading.expected("a list of events", node);
        return Vec::new();
    };
    items.iter().filter_map(|item| step(item, reading)).collect()
}

fn step(node: &Node, reading: &mut Reading<'_>) -> Option<Step> {
    let mut fields = Fields::of(node, "an event", reading)?;
    let place = reading.source.place(&fields.head());
    let (at_node, time_node) = (fields.take("at"), fields.take("time"));
    let at = match (at_node, time_node) {
        (Some(node), None) | (None, Some(node)) => when(node, reading),
        (None, None) => {
            fields.missing(&["at"], reading);
            None
        }
        (Some(_), Some(_)) => {
            reading.report(&fields.key_span("time"), "an event has either `at` or `time`");
            None
        }
    };
    let repeat_node = fields.take("repeat");
    let repeat = repeat_node.map_or(Some(1), |node| reading.whole(node, 1..=MAX_EVENTS));
    let every_node = fields.take("every");
    let every = every_node.map_or(Some(Span::ZERO), |node| reading.duration(node));
    if every_node.is_some() != repeat_node.is_some() {
        reading.report(&fields.head(), "`repeat` and `every` belong together");
    }
    let event = if fields.entries().iter().all(|entry| matches!(entry.key.as_str(), "at" | "time")) {
        None
    } else {
        Some(Box::new(event(fields, reading)?))
    };
    Some(Step { place, at: at?, event, repeat: repeat?, every: every? })
}

fn event(mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Option<TestEvent> {
    let type_node = fields.take("type");
    if type_node.is_none() {
        fields.missing(&["type"], reading);
    }
    let event_type = type_node.and_then(|node| event_type(node, reading));
    let fault = match fields.take("fault") {
        None => None,
        Some(node) => Some(reading.choice(node, &Fault::ALL.map(|fault| (fault.as_str(), fault)))?),
    };
    let mut event = TestEvent {
        event_type: event_type?,
        fault,
        expires_at: None,
        location: None,
        texts: Vec::new(),
        numbers: Vec::new(),
    };
    for entry in fields.entries() {
        match entry.key.as_str() {
            "at" | "time" | "repeat" | "every" | "type" | "fault" => {}
            "geo" => geo(&entry.value, &mut event, reading),
            name => field(name, &entry.key_span, &entry.value, &mut event, reading),
        }
    }
    if event.event_type.topic() != Topic::Catalog && event.text(TextField::AccountId).is_none() {
        reading.report_help(
            &fields.head(),
            "this event has no `account_id`",
            "every event must have one, except in catalog; nothing but `id` and `time` is filled in",
        );
    }
    Some(event)
}

fn event_type(node: &Node, reading: &mut Reading<'_>) -> Option<EventType> {
    let text = reading.text(node, "an event type such as order.paid")?;
    let found = EventType::parse(text);
    if found.is_none() {
        let near = nearest(text, EventType::ALL.map(EventType::as_str));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        reading.push(&node.span, format!("unknown event type `{text}`"), help);
    }
    found
}

fn field(name: &str, key: &Range<usize>, node: &Node, event: &mut TestEvent, reading: &mut Reading<'_>) {
    match RuleSet::field_named(name, reading.extra) {
        Some(Field::Text(field)) if TextField::CUSTOMER.contains(&field) => reading.report_help(
            key,
            format!("no event says `{name}`"),
            "customers stand beside the events: `customers: [{ account_id: a1, tier: merchant }]`",
        ),
        Some(Field::Text(field)) => {
            if let Some(text) = reading.text(node, "a text") {
                event.texts.push((field, text.to_owned()));
            }
        }
        Some(Field::Number(field)) => {
            let Some(text) = reading.text(node, "a number such as 49.90") else { return };
            match text.parse::<Decimal>() {
                Ok(number) => event.numbers.push((field, number)),
                Err(_) => reading.expected("a number such as 49.90", node),
            }
        }
        Some(Field::ExpiresAt) => {
            match reading.text(node, "a time such as 2026-10-01T08:00:00Z").map(parse_time) {
                Some(Some(time)) => event.expires_at = Some(time),
                Some(None) => reading.expected("a time such as 2026-10-01T08:00:00Z", node),
                None => {}
            }
        }
        Some(Field::Type | Field::Fault | Field::Time) | None => {
            let error = unknown_field(name, key.clone(), reading.extra);
            reading.push(key, error.message, error.help);
        }
    }
}

fn geo(node: &Node, event: &mut TestEvent, reading: &mut Reading<'_>) {
    let Some(mut fields) = Fields::of(node, "`geo`", reading) else { return };
    for (name, field) in [
        ("country", TextField::GeoCountry),
        ("region", TextField::GeoRegion),
        ("city", TextField::GeoCity),
        ("asn", TextField::GeoAsn),
        ("network", TextField::GeoNetwork),
    ] {
        if let Some(text) = fields.take(name).and_then(|node| reading.text(node, "a text")) {
            event.texts.push((field, text.to_owned()));
        }
    }
    let latitude = fields.take("latitude").map(|node| reading.measure(node, -90.0..=90.0));
    let longitude = fields.take("longitude").map(|node| reading.measure(node, -180.0..=180.0));
    let accuracy = fields.take("accuracy_km").map(|node| reading.measure(node, 0.0..=20_000.0));
    match (latitude, longitude) {
        (Some(Some(latitude)), Some(Some(longitude))) => {
            let accuracy_km = accuracy.flatten().unwrap_or(0.0);
            event.location = Some(event::Place { latitude, longitude, accuracy_km });
        }
        (None, None) | (Some(None), _) | (_, Some(None)) => {}
        (Some(_), None) => fields.missing(&["longitude"], reading),
        (None, Some(_)) => fields.missing(&["latitude"], reading),
    }
    fields.finish(reading);
}

fn expectations(node: &Node, rule: Option<&str>, reading: &mut Reading<'_>) -> Vec<Expectation> {
    let Value::List(items) = &node.value else {
        reading.expected("a list of effects, or [] for none at all", node);
        return Vec::new();
    };
    items.iter().flat_map(|item| expectation(item, rule, reading)).collect()
}

/// One expectation, or as many as it is to be repeated.
fn expectation(node: &Node, rule: Option<&str>, reading: &mut Reading<'_>) -> Vec<Expectation> {
    let Some(mut fields) = Fields::of(node, "an expected effect", reading) else { return Vec::new() };
    let repeat = fields.take("repeat").map_or(Some(1), |node| reading.whole(node, 1..=MAX_REPEATED));
    let expected = one_expectation(node, fields, rule, reading);
    let (Some(expected), Some(repeat)) = (expected, repeat) else { return Vec::new() };
    if repeat == 1 {
        return vec![expected];
    }
    let numbered = |number: u32| Expectation {
        account_id: expected.account_id.as_ref().map(|account| numbered(account, number)),
        subject: expected.subject.iter().map(|(field, value)| (*field, numbered(value, number))).collect(),
        ..expected.clone()
    };
    (1..=repeat).map(numbered).collect()
}

/// A text in its n-th repetition: `{n}` stands for the number, so that repetitions may be of many accounts.
fn numbered(text: &str, number: u32) -> String {
    text.replace("{n}", &number.to_string())
}

fn one_expectation(
    node: &Node,
    mut fields: Fields<'_>,
    rule: Option<&str>,
    reading: &mut Reading<'_>,
) -> Option<Expectation> {
    let place = reading.source.place(&node.span);
    let mut named_rule = fields.take("rule").and_then(|node| reading.name(node, "the name of a rule"));
    let finding = fields.take("finding");
    let ticket = fields.take("ticket");
    let notice = fields.take("notice");
    let (compensation, action) = (fields.take("compensation"), fields.take("action"));
    let amount = fields.take("amount");
    if let (None, Some(node)) = (compensation, amount) {
        reading.report(&node.span, "`amount` belongs to `compensation`");
    }
    let what = match (finding, ticket, notice, compensation, action) {
        (Some(node), None, None, None, None) => {
            let name = reading.name(node, "the name of the rule that finds it")?;
            // Others that are loaded beside the tested rule find things too.
            named_rule = if name == "true" { rule.map(str::to_owned) } else { Some(name) };
            Some(Expected::Finding)
        }
        (None, Some(node), None, None, None) => reading.choice(node, &TicketWord::ALL).map(Expected::Ticket),
        (None, None, Some(node), None, None) => {
            reading.name(node, "the name of a template").map(Expected::Notice)
        }
        (None, None, None, Some(node), None) => proposals::expected_compensation(node, amount, reading),
        (None, None, None, None, Some(node)) => proposals::expected_action(node, reading),
        _ => {
            reading.report_help(
                &fields.head(),
                "an expected effect is exactly one of `ticket`, `notice`, `compensation`, `action` and `finding`",
                "for instance { at: 8m, ticket: opened } and, in a line of its own, { at: 8m, notice: topup_failing }",
            );
            None
        }
    };
    let subject = fields.take("subject").map(|node| subject(node, reading)).unwrap_or_default();
    let account_id =
        fields.take("account_id").and_then(|node| reading.text(node, "an account")).map(str::to_owned);
    let mut moment = |name, reading: &mut Reading<'_>| fields.take(name).and_then(|node| when(node, reading));
    let (at, by, since) = (moment("at", reading), moment("by", reading), moment("since", reading));
    if at.is_some() && by.is_some() {
        reading.report(&fields.key_span("by"), "an expected effect has either `at` or `by`");
    }
    fields.finish(reading);
    Some(Expectation { place, what: what?, rule: named_rule, subject, account_id, at, by, since })
}

fn subject(node: &Node, reading: &mut Reading<'_>) -> Vec<(TextField, String)> {
    let Some(fields) = Fields::of(node, "`subject`", reading) else { return Vec::new() };
    let mut subject = Vec::new();
    for entry in fields.entries() {
        match RuleSet::field_named(&entry.key, reading.extra) {
            Some(Field::Text(field)) => {
                if let Some(text) = reading.text(&entry.value, "a text") {
                    subject.push((field, text.to_owned()));
                }
            }
            Some(Field::Type | Field::Fault | Field::Time | Field::ExpiresAt | Field::Number(_)) => {
                reading.report(&entry.key_span, format!("`{}` can't be in a subject", entry.key));
            }
            None => {
                let error = unknown_field(&entry.key, entry.key_span.clone(), reading.extra);
                reading.push(&entry.key_span, error.message, error.help);
            }
        }
    }
    subject
}

pub fn when(node: &Node, reading: &mut Reading<'_>) -> Option<When> {
    const EXPECTED: &str = "a span from the test's start such as 7m, or a time such as 2026-10-01T08:00:00Z";
    let text = reading.text(node, EXPECTED)?;
    let found = parse_duration(text).map(When::After).or_else(|| parse_time(text).map(When::At));
    if found.is_none() {
        reading.expected(EXPECTED, node);
    }
    found
}

pub fn parse_time(text: &str) -> Option<Time> {
    let timestamp = text.parse::<jiff::Timestamp>().ok()?;
    Some(Time::from_millis(timestamp.as_millisecond()))
}
