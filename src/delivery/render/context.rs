//! The facts that templates may name. Every name is always there; what is not known is none.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use minijinja::{Value, context};

use crate::core::effect::{IncidentId, Subject};
use crate::core::event::{EventType, Facts, TextField};
use crate::core::time::{Span, Time};
use crate::delivery::customers::{Customer as CustomerFacts, Locale};
use crate::delivery::render::labels;
use crate::delivery::store::TicketRow;

/// What a message to a customer is made of.
pub struct Customer<'a> {
    pub brand: &'a str,
    pub locale: Locale,
    pub zone: &'a TimeZone,
    pub customer: &'a CustomerFacts,
    pub to_manager: bool,
    pub subject: &'a Subject,
    pub incident: IncidentId,
    pub facts: &'a Facts,
    pub next_by: Time,
}

impl Customer<'_> {
    pub fn values(&self) -> Value {
        let locale = self.locale;
        let name =
            self.customer.name.as_ref().map(|name| name.expose().as_str()).filter(|name| !name.is_empty());
        let greeting = match (locale, name, self.to_manager) {
            (Locale::ZhCn, Some(name), false) => format!("{name}，您好"),
            (Locale::ZhCn, ..) => "您好".to_owned(),
            (Locale::En, Some(name), false) => format!("Dear {name}"),
            (Locale::En, ..) => "Hello".to_owned(),
        };
        let trouble = labels::trouble(self.subject, locale);
        context! {
            brand => self.brand,
            locale => locale.as_str(),
            manager => self.to_manager,
            customer => context! {
                name => name,
                greeting => greeting,
                label => name.unwrap_or(self.customer.account_id.as_str()),
                account_id => self.customer.account_id.as_str(),
                tier => self.customer.tier.as_str(),
            },
            order => order(self.facts, locale),
            login => login(self.facts, locale),
            trouble => trouble,
            subject => fields(self.subject),
            happened_at => labels::moment(self.facts.time, self.zone, locale),
            zone => labels::zone_name(self.facts.time, self.zone, locale),
            next_by => labels::moment(self.next_by, self.zone, locale),
            reference => reference(self.incident),
        }
    }
}

/// What a message to staff is made of.
pub fn staff(brand: &str, locale: Locale, zone: &TimeZone, ticket: &TicketRow, held: u64) -> Value {
    let is_share = ticket.limit > 0.0 && ticket.limit < 1.0 && (0.0..=1.0).contains(&ticket.value);
    context! {
        brand => brand,
        locale => locale.as_str(),
        zone => labels::zone_name(ticket.opened_at, zone, locale),
        reference => reference(ticket.id),
        held => held,
        order => ticket.facts.as_ref().map_or_else(no_order, |facts| order(facts, locale)),
        ticket => context! {
            id => ticket.id.to_string(),
            rule => ticket.rule.as_str(),
            summary => ticket.summary.as_str(),
            subject => fields(&ticket.subject),
            subject_label => labels::subject(&ticket.subject, locale),
            state => ticket.state.as_str(),
            state_label => labels::state(&ticket.state, locale),
            severity => ticket.severity.as_str(),
            severity_label => labels::severity(&ticket.severity, locale),
            category => ticket.category.as_str(),
            department => ticket.department.as_str(),
            sla => ticket.sla.as_str(),
            since => labels::moment(ticket.since, zone, locale),
            started_at => labels::moment(ticket.started_at, zone, locale),
            opened_at => labels::moment(ticket.opened_at, zone, locale),
            value => labels::number(ticket.value, is_share),
            limit => labels::number(ticket.limit, is_share),
            samples => ticket.samples,
            approximate => ticket.approximate,
            affected => ticket.affected,
            told => ticket.told,
        },
    }
}

/// A short name for an incident that can be read out on the phone.
fn reference(incident: IncidentId) -> String {
    let digits = incident.to_string().to_uppercase();
    format!("FW-{}", digits.get(..8).unwrap_or(&digits))
}

fn fields(subject: &Subject) -> Value {
    let fields: BTreeMap<String, String> =
        subject.0.iter().map(|(field, value)| (field.to_string(), value.to_string())).collect();
    fields.into()
}

fn order(facts: &Facts, locale: Locale) -> Value {
    let currency = facts.text(TextField::Currency);
    let outcome = match facts.event_type {
        EventType::OrderDelivered => Some("delivered"),
        EventType::OrderRefunded => Some("refunded"),
        EventType::OrderCancelled => Some("cancelled"),
        _ => None,
    };
    context! {
        id => facts.text(TextField::OrderId),
        product => facts.text(TextField::Product),
        kind => facts.text(TextField::Kind).map(|kind| labels::kind(kind, locale)),
        amount => facts.amount.map(|amount| labels::amount(amount, currency, locale)),
        channel => facts.text(TextField::Channel).map(|channel| labels::channel(channel, locale)),
        supplier => facts.text(TextField::Supplier),
        region => facts.text(TextField::Region).map(|region| labels::region(region, locale)),
        outcome => outcome,
    }
}

fn no_order() -> Value {
    order(&empty_facts(EventType::OrderPaid, Time::MIN), Locale::ZhCn)
}

fn login(facts: &Facts, locale: Locale) -> Value {
    let place = labels::place(
        facts.text(TextField::GeoCountry),
        facts.text(TextField::GeoRegion),
        facts.text(TextField::GeoCity),
        locale,
    );
    context! {
        place => place,
        ip => facts.text(TextField::Ip),
        // An identifier without a space says nothing to a reader.
        device => facts.text(TextField::DeviceId).filter(|device| device.contains(' ')),
    }
}

fn empty_facts(event_type: EventType, time: Time) -> Facts {
    Facts { event_type, time, account_id: "".into(), texts: Box::new([]), amount: None, quantity: None }
}

/// What templates are checked with: everything that can be known, and as little as can be.
pub fn samples(brand: &str, locale: Locale, zone: &TimeZone) -> Vec<Value> {
    let time = Time::from_millis(1_790_842_320_000);
    let mut full = empty_facts(EventType::OrderDelivered, time);
    full.account_id = "a42".into();
    full.amount = Some(rust_decimal::Decimal::new(10_000, 2));
    full.texts = TextField::ALL.map(|field| (field, field.as_str().into())).into();
    let bare = empty_facts(EventType::LoginSucceeded, time);
    let named = CustomerFacts {
        account_id: "a42".to_owned(),
        name: Some(crate::delivery::customers::Personal::new("Li Lei".to_owned())),
        ..CustomerFacts::default()
    };
    let unnamed = CustomerFacts::default();
    let subject = Subject(vec![("channel".into(), "alipay".into()), ("region".into(), "east".into())]);
    let mut samples = Vec::new();
    for (facts, customer, subject, to_manager) in
        [(&full, &named, subject, false), (&bare, &unnamed, Subject::default(), true)]
    {
        let incident = IncidentId(7);
        let next_by = time + Span::from_mins(30);
        let message = Customer {
            brand,
            locale,
            zone,
            customer,
            to_manager,
            subject: &subject,
            incident,
            facts,
            next_by,
        };
        let ticket = sample_ticket(subject.clone(), time, facts);
        // One context for both kinds of reader, so that a template need not say which kind it is for.
        samples.push(context! { ..message.values(), ..staff(brand, locale, zone, &ticket, 12) });
    }
    samples
}

fn sample_ticket(subject: Subject, time: Time, facts: &Facts) -> TicketRow {
    TicketRow {
        id: IncidentId(7),
        rule: "channel-success-drop".into(),
        rule_version: 0x1a2b,
        shadow: false,
        subject,
        state: "open".to_owned(),
        reason: None,
        severity: "high".to_owned(),
        summary: "A payment channel fails more often than usual".to_owned(),
        category: "payment_channel".to_owned(),
        department: "payments".to_owned(),
        sla: "emergency".to_owned(),
        since: time,
        started_at: time,
        opened_at: time,
        ended_at: None,
        merged_into: None,
        revision: 1,
        value: 0.41,
        limit: 0.2,
        samples: 64,
        approximate: false,
        affected: 23,
        told: 21,
        facts: Some(Box::new(facts.clone())),
    }
}
