//! What is meant by what a rule leaves out. Every default of the rule language stands here and nowhere else.
//!
//! Defaults that depend on other fields: `group_by` is the key of a deadline, what a reconcile check is about, and `[account_id]` for the other kinds that are
//! about one account; `key` is `order_id`, or `account_id` in a rule over logins only; `notice.to` is `account` where the
//! subject has one, else `affected`; `ticket.category` is the rule's name with underscores; `incident.wait` is zero where
//! nothing can cover the rule; `incident.cooldown_max` is at least `cooldown`.

use rust_decimal::Decimal;

use crate::core::time::Span;

use super::super::reconcile::Check;
use super::super::{RuleState, Severity};

pub const STATE: RuleState = RuleState::Active;
/// `for`: a finding opens at once.
pub const PENDING: Span = Span::ZERO;
pub const KEEP_FIRING_FOR: Span = Span::from_mins(5);
pub const GRACE: Span = Span::from_secs(5);
pub const LATENESS: Span = Span::from_mins(2);

/// Long enough that trouble which comes and goes within an afternoon stays one ticket.
pub const COOLDOWN: Span = Span::from_mins(2 * 60);
pub const COOLDOWN_MAX: Span = Span::from_mins(24 * 60);
pub const CLOSE_AFTER: Span = Span::from_mins(7 * 24 * 60);
pub const WAIT: Span = Span::from_secs(60);

pub const DEPARTMENT: &str = "support";
pub const SEVERITY: Severity = Severity::Medium;
pub const SLA: &str = "normal";

/// Below twenty events a share says little, whatever its bound.
pub const MIN_SAMPLES: u32 = 20;
/// 99 %: one false alarm in a hundred judgements at the limit itself, far fewer below it.
pub const CONFIDENCE: Decimal = Decimal::from_parts(99, 0, 0, false, 2);

pub const FEWER_THAN: u32 = 1;

/// A metric's: a window without a sample has no value.
pub const METRIC_SAMPLES: u32 = 1;
/// A spike's: from fewer events, a few more are soon several times as many.
pub const MIN_REFERENCE: u32 = 10;
/// A spike's: a fall may be one to nothing at all.
pub const MIN_CURRENT: u32 = 0;

/// Of a reconcile. What is missing is soon missed; what is there once too often may turn up much later: a payment that is told
/// of again within the day, an order paid from an old page, a key that came back with the next delivery of stock.
pub const fn reconciled_within(check: Check) -> Span {
    match check {
        Check::PaidWithoutKey | Check::KeyWithoutPayment => Span::from_mins(10),
        Check::ManyKeys | Check::PaymentAfterExpiry => Span::from_mins(24 * 60),
        Check::DeliveredAfterRefund => Span::from_mins(7 * 24 * 60),
        Check::KeySoldTwice => Span::from_mins(30 * 24 * 60),
    }
}

pub const NEW_TERM_WINDOW: Span = Span::from_mins(30 * 24 * 60);
pub const CHANGE_WINDOW: Span = Span::from_mins(30 * 24 * 60);
/// A subject of which less is known has nothing that could be new to it.
pub const MIN_HISTORY: u32 = 3;
/// What the location of an address is usually off by, within a metropolitan area.
pub const RADIUS_KM: f64 = 50.0;
pub const LAST_PLACES: usize = 20;

/// The speed of an airliner.
pub const FASTER_THAN_KMH: f64 = 900.0;
/// Below this, what locations are off by outweighs what they say.
pub const FURTHER_THAN_KM: f64 = 100.0;
/// Networks whose place says nothing about where their user is.
pub const IGNORE_NETWORKS: [&str; 3] = ["vpn", "relay", "satellite"];
