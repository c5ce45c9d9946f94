//! What plain thresholds say of the same events: three failures in ten minutes, success below 80 % in five minutes,
//! thirty minutes to delivery, a country that is new to the account, faster than 900 km/h.
//!
//! They are spared what they would do worse still: duplicates are taken out before they see them, a subject that has a
//! ticket gets no other for two hours, and a share is judged from ten payments on.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use crate::core::time::{Span, Time};

use super::score::{Claim, Notice, Ticket};
use super::truth::parse_time;

const FAILURES: usize = 3;
const FAILURE_WINDOW: Span = Span::from_mins(10);
const LEAST_SUCCESS: f64 = 0.8;
const SUCCESS_WINDOW: Span = Span::from_mins(5);
const LEAST_PAYMENTS: usize = 10;
const DELIVERY: Span = Span::from_mins(30);
const FASTEST_KMH: f64 = 900.0;
const NEAR_KM: f64 = 100.0;
const COOLDOWN: Span = Span::from_mins(120);
/// Times further from their neighbours than this are damage, not disorder.
const WORLD: Span = Span::from_mins(60 * 24 * 400);

/// The little that plain thresholds look at.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow, default)]
    order_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    region: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    geo: Option<Geo<'a>>,
}

#[derive(Debug, Deserialize)]
struct Geo<'a> {
    #[serde(borrow)]
    country: Cow<'a, str>,
    latitude: f64,
    longitude: f64,
}

type Slice = (String, String);

/// Plain thresholds at work.
#[derive(Debug, Default)]
pub struct Plain {
    now: Option<Time>,
    seen: BTreeSet<(String, String)>,
    failures: BTreeMap<String, VecDeque<Time>>,
    payments: BTreeMap<Slice, VecDeque<(Time, Option<String>)>>,
    due: VecDeque<(Time, String, String)>,
    open_orders: BTreeSet<String>,
    countries: BTreeMap<String, BTreeSet<String>>,
    last_place: BTreeMap<String, (Time, f64, f64)>,
    /// The latest ticket of a rule and subject, and until when it stands for others.
    standing: BTreeMap<(&'static str, String), (Time, String)>,
    tickets: u32,
    claims: Vec<Claim>,
}

impl Plain {
    /// Takes a line of the world; what cannot be read is passed over.
    pub fn observe(&mut self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return };
        let Some(time) = parse_time(&line.time) else { return };
        if self.now.is_some_and(|now| time.since(now) > WORLD || now.since(time) > WORLD) {
            return;
        }
        if !self.seen.insert((line.account_id.to_string(), line.id.to_string())) {
            return;
        }
        let now = self.now.map_or(time, |now| now.max(time));
        self.now = Some(now);
        self.miss_deliveries(now);
        match &*line.event_type {
            "order.failed" => {
                self.count_failure(&line, time);
                self.count_payment(&line, time, true);
                self.end_order(&line);
            }
            "order.paid" => {
                self.count_payment(&line, time, false);
                if let Some(order) = &line.order_id {
                    self.due.push_back((time + DELIVERY, order.to_string(), line.account_id.to_string()));
                    self.open_orders.insert(order.to_string());
                }
            }
            "order.delivered" | "order.refunded" | "order.cancelled" => self.end_order(&line),
            "login.succeeded" => self.look_at_place(&line, time),
            _ => {}
        }
    }

    pub fn into_claims(self) -> Vec<Claim> {
        self.claims
    }

    /// Opens a ticket unless the subject has one that still stands; returns the incident either way.
    fn find(&mut self, rule: &'static str, fields: &[(&str, &str)], since: Time) -> String {
        let now = self.now.unwrap_or(since);
        let subject: BTreeMap<String, String> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let key: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
        let key = (rule, key.join("/"));
        if let Some((until, incident)) = self.standing.get_mut(&key)
            && since <= *until
        {
            *until = since + COOLDOWN;
            return incident.clone();
        }
        self.tickets += 1;
        let incident = format!("plain-{}", self.tickets);
        self.standing.insert(key, (since + COOLDOWN, incident.clone()));
        let rule = rule.to_owned();
        self.claims.push(Claim::Ticket(Ticket {
            incident: incident.clone(),
            rule,
            subject,
            at: now,
            since,
            reopened: false,
        }));
        incident
    }

    fn tell(&mut self, rule: &'static str, incident: &str, account: &str, since: Time) {
        self.claims.push(Claim::Notice(Notice {
            incident: incident.to_owned(),
            rule: rule.to_owned(),
            account_id: account.to_owned(),
            at: self.now.unwrap_or(since),
        }));
    }

    fn count_failure(&mut self, line: &Line<'_>, time: Time) {
        let failures = self.failures.entry(line.account_id.to_string()).or_default();
        failures.push_back(time);
        while failures.front().is_some_and(|first| *first + FAILURE_WINDOW <= time) {
            failures.pop_front();
        }
        if failures.len() >= FAILURES {
            self.find_account("three-failures", &line.account_id, time);
        }
    }

    /// A ticket for an account, which is told when it opens.
    fn find_account(&mut self, rule: &'static str, account: &str, time: Time) {
        let before = self.tickets;
        let incident = self.find(rule, &[("account_id", account)], time);
        if self.tickets > before {
            self.tell(rule, &incident, account, time);
        }
    }

    fn count_payment(&mut self, line: &Line<'_>, time: Time, failed: bool) {
        let (Some(channel), Some(region)) = (&line.channel, &line.region) else { return };
        let payments = self.payments.entry((channel.to_string(), region.to_string())).or_default();
        payments.push_back((time, failed.then(|| line.account_id.to_string())));
        while payments.front().is_some_and(|(first, _)| *first + SUCCESS_WINDOW <= time) {
            payments.pop_front();
        }
        let all = payments.len();
        let failing: Vec<String> = payments.iter().filter_map(|(_, account)| account.clone()).collect();
        let success = 1.0 - failing.len() as f64 / all as f64;
        if all < LEAST_PAYMENTS || success >= LEAST_SUCCESS {
            return;
        }
        let rule = "success-below-80";
        let before = self.tickets;
        let incident = self.find(rule, &[("channel", channel), ("region", region)], time);
        if self.tickets > before {
            let accounts: BTreeSet<String> = failing.into_iter().collect();
            for account in accounts {
                self.tell(rule, &incident, &account, time);
            }
        } else if failed {
            self.tell(rule, &incident, &line.account_id, time);
        }
    }

    fn end_order(&mut self, line: &Line<'_>) {
        if let Some(order) = &line.order_id {
            self.open_orders.remove(&**order);
        }
    }

    fn miss_deliveries(&mut self, now: Time) {
        while self.due.front().is_some_and(|(due, ..)| *due <= now) {
            let Some((due, order, account)) = self.due.pop_front() else { return };
            if self.open_orders.remove(&order) {
                let rule = "thirty-minutes";
                let incident = self.find(rule, &[("order_id", &order)], due);
                self.tell(rule, &incident, &account, due);
            }
        }
    }

    fn look_at_place(&mut self, line: &Line<'_>, time: Time) {
        let Some(geo) = &line.geo else { return };
        let account = line.account_id.to_string();
        let countries = self.countries.entry(account.clone()).or_default();
        let known = countries.is_empty() || countries.contains(&*geo.country);
        countries.insert(geo.country.to_string());
        if !known {
            self.find_account("new-country", &account, time);
        }
        let here = (time, geo.latitude, geo.longitude);
        if let Some((before, latitude, longitude)) = self.last_place.insert(account.clone(), here) {
            let distance = kilometres((latitude, longitude), (geo.latitude, geo.longitude));
            let hours = time.since(before).as_secs_f64().abs() / 3_600.0;
            if distance > NEAR_KM && distance > FASTEST_KMH * hours {
                self.find_account("900-km-per-hour", &account, time);
            }
        }
    }
}

/// The great-circle distance between two places given as latitude and longitude.
fn kilometres(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (from_latitude, to_latitude) = (from.0.to_radians(), to.0.to_radians());
    let half_latitude = (to_latitude - from_latitude) / 2.0;
    let half_longitude = (to.1 - from.1).to_radians() / 2.0;
    let chord =
        half_latitude.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_longitude.sin().powi(2);
    2.0 * 6_371.0 * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of the tickets that these events open, in order; times are minutes.
    fn rules(events: &[(i64, &str)]) -> Vec<String> {
        let mut plain = Plain::default();
        for (number, (minute, fields)) in events.iter().enumerate() {
            let time = Time::from_millis(minute * 60_000);
            let line = format!(r#"{{"id":"{number}","time":"{time}","account_id":"a1",{fields}}}"#);
            plain.observe(line.as_bytes());
            plain.observe(line.as_bytes());
        }
        let ticket = |claim| match claim {
            Claim::Ticket(ticket) => Some(ticket.rule),
            Claim::Merged { .. } | Claim::Notice(_) => None,
        };
        plain.into_claims().into_iter().filter_map(ticket).collect()
    }

    const FAILED: &str = r#""type":"order.failed","order_id":"o1""#;
    const PAID: &str = r#""type":"order.paid","order_id":"o1""#;
    const DELIVERED: &str = r#""type":"order.delivered","order_id":"o1""#;
    const OTHER: &str = r#""type":"order.created","order_id":"o2""#;
    const SHANGHAI: &str =
        r#""type":"login.succeeded","geo":{"country":"CN","latitude":31.2,"longitude":121.5}"#;
    const TOKYO: &str =
        r#""type":"login.succeeded","geo":{"country":"JP","latitude":35.7,"longitude":139.7}"#;

    #[test]
    fn each_threshold_opens_its_ticket_and_no_other() {
        type Case = (&'static [(i64, &'static str)], &'static [&'static str]);
        let cases: [Case; 7] = [
            (&[(0, FAILED), (4, FAILED), (9, FAILED), (9, FAILED)], &["three-failures"]),
            (&[(0, FAILED), (4, FAILED), (10, FAILED)], &[]),
            (&[(0, PAID), (29, DELIVERED), (31, OTHER)], &[]),
            (&[(0, PAID), (30, OTHER)], &["thirty-minutes"]),
            (&[(0, SHANGHAI), (400, TOKYO)], &["new-country"]),
            (&[(0, SHANGHAI), (60, TOKYO)], &["new-country", "900-km-per-hour"]),
            (&[(0, TOKYO), (5, TOKYO)], &[]),
        ];
        for (events, expected) in cases {
            assert_eq!(rules(events), expected, "{events:?}");
        }
    }

    #[test]
    fn a_slice_is_judged_from_ten_payments_on() {
        let payment = |failed: bool| {
            let event_type = if failed { "order.failed" } else { "order.paid" };
            format!(r#""type":"{event_type}","channel":"alipay","region":"hubei""#)
        };
        let many = |good: usize, bad: usize| -> Vec<String> {
            let lines =
                std::iter::repeat_n(payment(false), good).chain(std::iter::repeat_n(payment(true), bad));
            let lines: Vec<String> = lines.collect();
            let events: Vec<(i64, &str)> = lines.iter().map(|line| (0, line.as_str())).collect();
            rules(&events)
        };
        assert_eq!(many(8, 2), [] as [&str; 0]);
        assert_eq!(many(7, 2), [] as [&str; 0]);
        assert!(many(9, 3).contains(&"success-below-80".to_owned()));
    }
}
