//! The guard decides when there are too many messages to be right: a runaway rule must not reach the customers,
//! while a real outage within the limits goes out at once.
//!
//! Time is the effect's own, so that replay, tests and production hold the same messages.

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::core::time::{Span, Time};
use crate::delivery::notice::HoldReason;

/// How many messages go out unseen by a person. What is above is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages to customers in one minute, all rules together. When a supplier is found to have stalled, all who have waited
    /// long enough by then are told at once: in a sale a thousand or two.
    pub per_minute: u32,
    /// Messages to customers of one rule in one hour.
    pub per_rule: u32,
    /// Customers told of one incident. No less than a rule may tell in an hour, unless set so: a mad rule is stopped there
    /// already, and a supplier who is late in a sale touches that many.
    pub per_incident: u32,
    /// Messages to staff in one minute.
    pub staff_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 2_000, per_rule: 5_000, per_incident: 5_000, staff_per_minute: 60 }
    }
}

/// Minutes and hours that are remembered. An effect older than all of these starts to be counted anew.
const REMEMBERED: usize = 1_024;

/// Counts what goes out. A minute and an hour begin when the clock says so, not with the first message: then the
/// answer does not hang on which shard came first.
#[derive(Clone, Debug)]
pub struct Guard {
    limits: Limits,
    minutes: BTreeMap<i64, u32>,
    staff_minutes: BTreeMap<i64, u32>,
    rule_hours: BTreeMap<(i64, CompactString), u32>,
}

impl Guard {
    pub const fn new(limits: Limits) -> Self {
        Self { limits, minutes: BTreeMap::new(), staff_minutes: BTreeMap::new(), rule_hours: BTreeMap::new() }
    }

    /// Lets one message to a customer pass and counts it, or says which limit forbids it. `told` is how many customers
    /// have been told of the incident.
    pub fn admit(&mut self, at: Time, rule: &str, told: u32) -> Result<(), HoldReason> {
        if told >= self.limits.per_incident {
            return Err(HoldReason::LimitPerIncident);
        }
        let hour = (number_of(at, Span::from_mins(60)), CompactString::from(rule));
        let in_hour = self.rule_hours.get(&hour).copied().unwrap_or(0);
        if in_hour >= self.limits.per_rule {
            return Err(HoldReason::LimitPerRule);
        }
        if !take(&mut self.minutes, number_of(at, Span::from_mins(1)), self.limits.per_minute) {
            return Err(HoldReason::LimitPerMinute);
        }
        self.rule_hours.insert(hour, in_hour.saturating_add(1));
        if self.rule_hours.len() > REMEMBERED * 16 {
            self.rule_hours.pop_first();
        }
        Ok(())
    }

    /// Lets one message to staff pass and counts it.
    pub fn admit_staff(&mut self, at: Time) -> Result<(), HoldReason> {
        let minute = number_of(at, Span::from_mins(1));
        if take(&mut self.staff_minutes, minute, self.limits.staff_per_minute) {
            Ok(())
        } else {
            Err(HoldReason::LimitPerMinute)
        }
    }
}

const fn number_of(at: Time, length: Span) -> i64 {
    at.as_millis().div_euclid(length.as_millis())
}

fn take(counts: &mut BTreeMap<i64, u32>, period: i64, limit: u32) -> bool {
    let count = counts.entry(period).or_insert(0);
    if *count >= limit {
        return false;
    }
    *count += 1;
    if counts.len() > REMEMBERED {
        counts.pop_first();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn each_limit_holds_what_is_above_it_and_names_itself() {
        let limits = Limits { per_minute: 3, per_rule: 4, per_incident: 2, staff_per_minute: 1 };
        let mut guard = Guard::new(limits);
        assert_eq!(guard.admit(at(0), "r", 2), Err(HoldReason::LimitPerIncident));
        for _ in 0..3 {
            assert_eq!(guard.admit(at(10), "r", 0), Ok(()));
        }
        assert_eq!(guard.admit(at(59), "r", 0), Err(HoldReason::LimitPerMinute));
        assert_eq!(guard.admit(at(60), "r", 0), Ok(()));
        assert_eq!(guard.admit(at(120), "r", 0), Err(HoldReason::LimitPerRule));
        assert_eq!(guard.admit(at(120), "another", 0), Ok(()));
        assert_eq!(guard.admit(at(3_600), "r", 0), Ok(()));
        assert_eq!(guard.admit_staff(at(0)), Ok(()));
        assert_eq!(guard.admit_staff(at(1)), Err(HoldReason::LimitPerMinute));
        assert_eq!(guard.admit_staff(at(61)), Ok(()));
    }

    #[test]
    fn what_is_held_uses_up_nothing() {
        let limits = Limits { per_minute: 1, per_rule: 2, per_incident: 9, staff_per_minute: 1 };
        let mut guard = Guard::new(limits);
        assert_eq!(guard.admit(at(0), "r", 0), Ok(()));
        for _ in 0..5 {
            assert_eq!(guard.admit(at(1), "r", 0), Err(HoldReason::LimitPerMinute));
        }
        assert_eq!(guard.admit(at(60), "r", 0), Ok(()));
    }

    #[test]
    fn the_order_of_arrival_does_not_change_how_many_pass() {
        let limits = Limits { per_minute: 2, ..Limits::default() };
        let times = [0, 61, 5, 62, 30, 63, 59, 119];
        let mut passed = Vec::new();
        for order in [times.to_vec(), times.iter().rev().copied().collect()] {
            let mut guard = Guard::new(limits);
            passed.push(order.iter().filter(|second| guard.admit(at(**second), "r", 0).is_ok()).count());
        }
        assert_eq!(passed, [4, 4]);
    }

    #[test]
    fn the_memory_of_the_guard_is_bounded() {
        let mut guard = Guard::new(Limits::default());
        for minute in 0..100_000 {
            assert_eq!(guard.admit(at(minute * 60), "r", 0), Ok(()));
            assert_eq!(guard.admit_staff(at(minute * 60)), Ok(()));
        }
        assert!(guard.minutes.len() <= REMEMBERED && guard.staff_minutes.len() <= REMEMBERED);
        assert!(guard.rule_hours.len() <= REMEMBERED * 16);
    }
}
