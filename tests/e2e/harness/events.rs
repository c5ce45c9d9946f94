//! Events as a platform writes them, in a few words.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::broker::Record;

/// Events whose times count from one start.
pub struct Timeline {
    start: Timestamp,
}

impl Timeline {
    /// From an hour ago on, so that nothing lies in the future and no notice is too old to be sent.
    #[expect(clippy::disallowed_methods, reason = "a test's events happen about now")]
    pub fn recent() -> Self {
        Self { start: Timestamp::now() - SignedDuration::from_hours(1) }
    }

    /// From this moment on.
    #[expect(clippy::disallowed_methods, reason = "a test's events happen about now")]
    pub fn now() -> Self {
        Self { start: Timestamp::now() }
    }

    pub fn from(start: &str) -> Self {
        Self { start: start.parse().unwrap() }
    }

    pub fn at(&self, seconds: i64) -> Timestamp {
        self.start + SignedDuration::from_secs(seconds)
    }

    /// An event of `account`, with the fields given over those that every event has.
    pub fn event(&self, seconds: i64, id: &str, kind: &str, account: &str, fields: Value) -> Record {
        let at = self.at(seconds);
        let mut event = json!({ "id": id, "type": kind, "time": at.to_string(), "account_id": account });
        for (name, value) in fields.as_object().unwrap() {
            event[name] = value.clone();
        }
        Record {
            key: account.to_owned(),
            payload: event.to_string().into_bytes(),
            timestamp: Some(at.as_millisecond()),
            ..Record::default()
        }
    }

    /// The order `order` of a top-up through `channel` failed with `code`.
    pub fn topup_failed(
        &self,
        seconds: i64,
        order: &str,
        account: &str,
        channel: &str,
        code: &str,
    ) -> Record {
        let id = format!("{order}-failed-{seconds}");
        let fields = json!({ "order_id": order, "kind": "topup", "channel": channel, "error_code": code });
        self.event(seconds, &id, "order.failed", account, fields)
    }
}
