//! The truth about a world: what was planted, whom it touched, who complains, and what merely looks like trouble.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::time::Time;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Truth {
    pub seed: u64,
    #[serde(with = "written_time")]
    pub from: Time,
    #[serde(with = "written_time")]
    pub to: Time,
    pub accounts: u32,
    pub events: u64,
    pub duplicates: u64,
    pub junk: u64,
    pub problems: Vec<Problem>,
    pub look_alikes: Vec<LookAlike>,
    pub complaints_without_cause: Vec<Complaint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    ChannelOutage,
    ChannelRegionOutage,
    SilentChannel,
    SupplierStall,
    SupplierDelay,
    BadCardBatch,
    RepeatedTopupFailures,
    PaidNotDelivered,
    DoubleDelivery,
    LatePayment,
    ForeignLogin,
    AccountTakeover,
    CredentialStuffing,
    PasswordSpray,
    /// Real, and over before anybody complains: nobody has to find it, and nobody is lied to who is told of it.
    Hiccup,
}

impl ProblemKind {
    pub const ALL: [Self; 15] = [
        Self::ChannelOutage,
        Self::ChannelRegionOutage,
        Self::SilentChannel,
        Self::SupplierStall,
        Self::SupplierDelay,
        Self::BadCardBatch,
        Self::RepeatedTopupFailures,
        Self::PaidNotDelivered,
        Self::DoubleDelivery,
        Self::LatePayment,
        Self::ForeignLogin,
        Self::AccountTakeover,
        Self::CredentialStuffing,
        Self::PasswordSpray,
        Self::Hiccup,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelOutage => "channel outage",
            Self::ChannelRegionOutage => "channel × region outage",
            Self::SilentChannel => "silent channel",
            Self::SupplierStall => "supplier stall",
            Self::SupplierDelay => "supplier delay",
            Self::BadCardBatch => "bad card batch",
            Self::RepeatedTopupFailures => "repeated top-up failures",
            Self::PaidNotDelivered => "paid, never delivered",
            Self::DoubleDelivery => "two keys for one order",
            Self::LatePayment => "paid after expiry",
            Self::ForeignLogin => "login from a foreign place",
            Self::AccountTakeover => "account takeover",
            Self::CredentialStuffing => "stuffing from one address",
            Self::PasswordSpray => "stuffing from many addresses",
            Self::Hiccup => "hiccup",
        }
    }
}

/// A planted problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    pub id: String,
    pub kind: ProblemKind,
    /// What the ticket should be about: `{"channel": "alipay", "region": "hubei"}`.
    pub subject: BTreeMap<String, String>,
    #[serde(with = "written_time")]
    pub from: Time,
    #[serde(with = "written_time")]
    pub to: Time,
    /// The share of what goes wrong while it lasts.
    pub strength: f64,
    pub affected: Vec<Touched>,
    pub complaints: Vec<Complaint>,
}

/// An account that met a problem.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Touched {
    pub account_id: String,
    /// When it met the problem first.
    #[serde(with = "written_time")]
    pub since: Time,
    /// When it was over for this account, where that is later than the end of the problem: a stalled supplier works again
    /// before the last order is delivered or refunded.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written_time::option")]
    pub until: Option<Time>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_ids: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Complaint {
    pub account_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    #[serde(with = "written_time")]
    pub at: Time,
}

/// Something harmless that a careless rule takes for trouble.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookAlike {
    pub kind: String,
    pub subject: BTreeMap<String, String>,
    #[serde(with = "written_time")]
    pub from: Time,
    #[serde(with = "written_time")]
    pub to: Time,
    pub accounts: Vec<String>,
}

/// Times as RFC 3339 text.
mod written_time {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::core::time::Time;

    pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        super::parse_time(&text).ok_or_else(|| serde::de::Error::custom("expected an RFC 3339 time"))
    }

    pub(super) mod option {
        use serde::{Deserializer, Serializer};

        use crate::core::time::Time;

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Time>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.collect_str(time),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Time>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

/// Reads an RFC 3339 time.
pub fn parse_time(text: &str) -> Option<Time> {
    text.parse::<jiff::Timestamp>().ok().map(|timestamp| Time::from_millis(timestamp.as_millisecond()))
}

/// The truth while it comes into being: what happened to whom, by problem.
#[derive(Debug, Default)]
pub struct Ledger {
    problems: BTreeMap<usize, Entry>,
    pub without_cause: Vec<Complaint>,
}

#[derive(Debug, Default)]
pub struct Entry {
    pub touched: BTreeMap<u32, Met>,
    pub complaints: Vec<Complaint>,
}

#[derive(Clone, Debug)]
pub struct Met {
    pub since: Time,
    pub until: Option<Time>,
    pub orders: Vec<u32>,
}

impl Ledger {
    /// Notes that an account met a problem; true if it is the first time.
    pub fn touch(&mut self, problem: usize, account: u32, time: Time, order: Option<u32>) -> bool {
        let entry = self.problems.entry(problem).or_default();
        let mut first = false;
        let met = entry.touched.entry(account).or_insert_with(|| {
            first = true;
            Met { since: time, until: None, orders: Vec::new() }
        });
        met.since = met.since.min(time);
        met.orders.extend(order);
        first
    }

    /// Notes that it is not over for an account before this moment.
    pub fn last(&mut self, problem: usize, account: u32, until: Time) {
        let met = self.problems.get_mut(&problem).and_then(|entry| entry.touched.get_mut(&account));
        if let Some(met) = met {
            met.until = met.until.max(Some(until));
        }
    }

    pub fn complain(&mut self, problem: usize, complaint: Complaint) {
        self.problems.entry(problem).or_default().complaints.push(complaint);
    }

    pub fn entry(&self, problem: usize) -> Option<&Entry> {
        self.problems.get(&problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_survives_being_written_and_read() {
        let truth = Truth {
            seed: 3,
            from: Time::from_millis(1_000),
            to: Time::from_millis(61_500),
            accounts: 10,
            events: 5,
            duplicates: 1,
            junk: 0,
            problems: vec![Problem {
                id: "p1".to_owned(),
                kind: ProblemKind::ChannelOutage,
                subject: BTreeMap::from([("channel".to_owned(), "alipay".to_owned())]),
                from: Time::from_millis(2_000),
                to: Time::from_millis(3_000),
                strength: 0.5,
                affected: vec![Touched {
                    account_id: "a1".to_owned(),
                    since: Time::from_millis(2_500),
                    until: Some(Time::from_millis(3_500)),
                    order_ids: vec![],
                }],
                complaints: vec![],
            }],
            look_alikes: vec![],
            complaints_without_cause: vec![],
        };
        let text = serde_json::to_string(&truth).expect("writes");
        let again: Truth = serde_json::from_str(&text).expect("reads");
        assert_eq!(serde_json::to_string(&again).expect("writes"), text);
        assert!(text.contains(r#""to":"1970-01-01T00:01:01.5Z""#), "{text}");
    }

    #[test]
    fn the_first_meeting_is_the_earliest_one() {
        let mut ledger = Ledger::default();
        assert!(ledger.touch(0, 1, Time::from_millis(9), Some(4)));
        assert!(!ledger.touch(0, 1, Time::from_millis(5), None));
        let met = &ledger.entry(0).expect("noted").touched[&1];
        assert_eq!((met.since, met.orders.as_slice()), (Time::from_millis(5), &[4][..]));
    }
}
