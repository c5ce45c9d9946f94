//! What the simulated platform sells and how well its partners usually do: channels, suppliers, products, error codes,
//! and the rhythm of the day and the week.

use crate::core::event::Fault;
use crate::core::time::{Span, Time};

use super::dice::{Dice, span_of_seconds};

/// A way to pay.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    pub name: &'static str,
    pub share: f64,
    /// How often a payment fails through the customer's own fault.
    pub customer_fault: f64,
    /// How often it fails through the channel's, on a usual day.
    pub own_fault: f64,
}

const fn channel(name: &'static str, share: f64, customer_fault: f64, own_fault: f64) -> Channel {
    Channel { name, share, customer_fault, own_fault }
}

pub const CHANNELS: [Channel; 6] = [
    channel("alipay", 0.36, 0.04, 0.008),
    channel("wechat", 0.31, 0.04, 0.008),
    channel("unionpay", 0.15, 0.07, 0.012),
    channel("jdpay", 0.08, 0.06, 0.012),
    channel("card", 0.06, 0.11, 0.02),
    channel("applepay", 0.04, 0.05, 0.01),
];

/// Who delivers. Times are seconds from payment to delivery.
#[derive(Clone, Copy, Debug)]
pub struct Supplier {
    pub name: &'static str,
    pub median: f64,
    pub sigma: f64,
    /// How often a delivery falls into the heavy tail.
    pub tail: f64,
    /// After this long the platform gives up by itself: the order fails and is refunded.
    pub gives_up: f64,
    /// How often a delivery fails outright.
    pub failing: f64,
    /// How long a customer waits at least before they complain.
    pub patience: f64,
}

pub const SUPPLIERS: [Supplier; 7] = [
    Supplier {
        name: "telcolink",
        median: 35.0,
        sigma: 0.9,
        tail: 0.02,
        gives_up: 1_500.0,
        failing: 0.004,
        patience: 2_000.0,
    },
    Supplier {
        name: "fastfill",
        median: 70.0,
        sigma: 1.0,
        tail: 0.03,
        gives_up: 1_500.0,
        failing: 0.006,
        patience: 2_000.0,
    },
    Supplier {
        name: "cardhub",
        median: 2.5,
        sigma: 0.8,
        tail: 0.005,
        gives_up: 240.0,
        failing: 0.003,
        patience: 480.0,
    },
    Supplier {
        name: "keyworks",
        median: 4.0,
        sigma: 0.9,
        tail: 0.01,
        gives_up: 240.0,
        failing: 0.004,
        patience: 480.0,
    },
    Supplier {
        name: "gamebridge",
        median: 200.0,
        sigma: 0.7,
        tail: 0.03,
        gives_up: 9_000.0,
        failing: 0.004,
        patience: 11_000.0,
    },
    Supplier {
        name: "handcraft",
        median: 900.0,
        sigma: 0.6,
        tail: 0.06,
        gives_up: 9_000.0,
        failing: 0.005,
        patience: 11_000.0,
    },
    Supplier {
        name: "vipgate",
        median: 6.0,
        sigma: 0.8,
        tail: 0.01,
        gives_up: 240.0,
        failing: 0.003,
        patience: 480.0,
    },
];

#[derive(Clone, Copy, Debug)]
pub struct Product {
    pub name: &'static str,
    pub kind: &'static str,
    pub cents: u32,
    pub share: f64,
    /// Indices into [`SUPPLIERS`]; the first takes two thirds of the orders.
    pub suppliers: [u8; 2],
}

const fn product(
    name: &'static str,
    kind: &'static str,
    cents: u32,
    share: f64,
    suppliers: [u8; 2],
) -> Product {
    Product { name, kind, cents, share, suppliers }
}

pub const PRODUCTS: [Product; 12] = [
    product("phone-30", "topup", 2_985, 0.16, [0, 1]),
    product("phone-50", "topup", 4_980, 0.16, [0, 1]),
    product("phone-100", "topup", 9_970, 0.11, [0, 1]),
    product("wallet-200", "topup", 20_000, 0.07, [1, 0]),
    product("game-points-68", "card_key", 6_700, 0.12, [2, 3]),
    product("gift-card-100", "card_key", 9_850, 0.09, [2, 3]),
    product("shop-card-500", "card_key", 49_500, 0.05, [3, 2]),
    product("console-card-200", "card_key", 19_800, 0.03, [3, 2]),
    product("game-direct-128", "direct", 12_600, 0.08, [4, 5]),
    product("game-direct-648", "direct", 64_000, 0.03, [5, 4]),
    product("video-month", "membership", 2_500, 0.07, [6, 6]),
    product("music-year", "membership", 11_800, 0.03, [6, 6]),
];

pub const FIRST_TOPUP: u8 = 0;
pub const TOPUPS: u8 = 4;
pub const FIRST_CARD: u8 = 4;
pub const CARDS: u8 = 4;

/// The error codes of the platform and whose fault each is. `forewarn.toml` of a written world says the same.
pub const ERROR_CODES: [(&str, Fault); 18] = [
    ("", Fault::Unknown),
    ("WRONG_PASSWORD", Fault::Customer),
    ("BALANCE_INSUFFICIENT", Fault::Customer),
    ("WRONG_CVV", Fault::Customer),
    ("LIMIT_EXCEEDED", Fault::Customer),
    ("CARD_EXPIRED", Fault::Customer),
    ("USER_CANCELLED", Fault::Customer),
    ("CHANNEL_TIMEOUT", Fault::Channel),
    ("CHANNEL_UNAVAILABLE", Fault::Channel),
    ("ACQ_SYSTEM_ERROR", Fault::Channel),
    ("ACQ_REJECTED", Fault::Channel),
    ("SUPPLIER_TIMEOUT", Fault::Supplier),
    ("SUPPLIER_REJECTED", Fault::Supplier),
    ("SUPPLIER_OUT_OF_STOCK", Fault::Supplier),
    ("PLATFORM_BINDING_LOST", Fault::Platform),
    ("PLATFORM_ERROR", Fault::Platform),
    ("SUPPLIER_KEY_INVALID", Fault::Supplier),
    ("SUPPLIER_KEY_NOT_ACTIVE", Fault::Supplier),
];

/// Codes by what they are drawn for, as indices into [`ERROR_CODES`].
pub const NO_CODE: u8 = 0;
pub const PASSWORD_CODE: u8 = 1;
pub const BALANCE_CODE: u8 = 2;
pub const CUSTOMER_CODES: [u8; 8] = [1, 1, 2, 2, 3, 4, 5, 6];
pub const CHANNEL_CODES: [u8; 6] = [7, 7, 8, 8, 9, 10];
pub const SUPPLIER_CODES: [u8; 4] = [11, 12, 12, 13];
pub const SUPPLIER_TIMEOUT_CODE: u8 = 11;
pub const PLATFORM_CODE: u8 = 15;
pub const DEAD_KEY_CODE: u8 = 16;
pub const SLEEPING_KEY_CODE: u8 = 17;
pub const REFUSAL_CODES: [u8; 5] = [14, 14, 15, 12, 9];

pub fn channel_at(index: u8) -> &'static Channel {
    CHANNELS.get(usize::from(index)).unwrap_or(&CHANNELS[0])
}

pub fn supplier_at(index: u8) -> &'static Supplier {
    SUPPLIERS.get(usize::from(index)).unwrap_or(&SUPPLIERS[0])
}

pub fn product_at(index: u8) -> &'static Product {
    PRODUCTS.get(usize::from(index)).unwrap_or(&PRODUCTS[0])
}

pub fn error_code(index: u8) -> Option<&'static str> {
    ERROR_CODES.get(usize::from(index)).map(|(code, _)| *code).filter(|code| !code.is_empty())
}

/// Whether a failure with this code is the customer's own fault.
pub fn is_customers_own(index: u8) -> bool {
    is_fault_of(index, Fault::Customer)
}

/// Whether a failure with this code is the payment channel's fault.
pub fn is_channels(index: u8) -> bool {
    is_fault_of(index, Fault::Channel)
}

fn is_fault_of(index: u8, whose: Fault) -> bool {
    ERROR_CODES.get(usize::from(index)).is_some_and(|(_, fault)| *fault == whose)
}

impl Supplier {
    /// Seconds from payment to delivery on a usual day.
    pub fn delivery(&self, dice: &mut Dice) -> f64 {
        if dice.chance(self.tail) {
            return dice.pareto(self.median * 3.0, 1.3);
        }
        dice.lognormal(self.median, self.sigma)
    }

    pub fn promise(&self) -> Span {
        span_of_seconds(self.gives_up)
    }
}

/// How much of a day's business falls into each local hour.
const HOURS: [f64; 24] = [
    1.6, 0.9, 0.6, 0.5, 0.5, 0.7, 1.4, 2.8, 4.2, 5.0, 5.4, 5.8, 6.4, 5.8, 5.2, 5.1, 5.2, 5.5, 6.0, 6.8, 7.6,
    7.8, 6.0, 3.2,
];
/// Monday to Sunday.
const WEEKDAYS: [f64; 7] = [0.95, 0.92, 0.93, 0.96, 1.08, 1.12, 1.04];
/// The platform's customers live in one time zone, eight hours east of Greenwich.
pub const LOCAL_HOURS: i64 = 8;
pub const HOUR: Span = Span::from_mins(60);
pub const DAY: Span = Span::from_mins(24 * 60);

fn local_hour_number(time: Time, shift: i64) -> i64 {
    time.as_millis().div_euclid(HOUR.as_millis()) + LOCAL_HOURS - shift
}

/// How busy this hour is against the mean hour, for customers who live `shift` hours later than most.
pub fn busyness(time: Time, shift: i64) -> f64 {
    let hour = local_hour_number(time, shift);
    let day = hour.div_euclid(24);
    // 1970-01-01 was a Thursday, the fourth day of the week.
    let weekday = WEEKDAYS.get((day + 3).rem_euclid(7) as usize).copied().unwrap_or(1.0);
    let share = HOURS.get(hour.rem_euclid(24) as usize).copied().unwrap_or(0.0);
    share * 24.0 / HOURS.iter().sum::<f64>() * weekday
}

/// The local hour of the day, 0 to 23.
pub fn hour_of_day(time: Time) -> i64 {
    local_hour_number(time, 0).rem_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::dice::Purpose;

    #[test]
    fn shares_add_up_to_the_whole() {
        assert!((CHANNELS.iter().map(|channel| channel.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((PRODUCTS.iter().map(|product| product.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_average_week_is_as_busy_as_its_mean_hour() {
        let monday = Time::from_millis(1_759_687_200_000); // 2025-10-05T18:00:00Z
        let mut sum = 0.0;
        let mut time = monday;
        for _ in 0..7 * 24 {
            sum += busyness(time, 0);
            time += HOUR;
        }
        assert!((sum / (7.0 * 24.0) - 1.0).abs() < 0.01, "{sum}");
    }

    #[test]
    fn usual_deliveries_are_quick_with_a_tail_that_reaches_the_promise_now_and_then() {
        let mut dice = Dice::new(1, Purpose::Plan, 0, 0);
        for supplier in SUPPLIERS {
            let mut times: Vec<f64> = (0..20_000).map(|_| supplier.delivery(&mut dice)).collect();
            times.sort_by(f64::total_cmp);
            let late = times.iter().filter(|time| **time > supplier.gives_up).count();
            assert!(times[10_000] < supplier.median * 1.2, "{}", supplier.name);
            assert!(late < 600, "{}: {late} of 20000 beyond the promise", supplier.name);
        }
    }
}
