//! What customers get for their money, when, and what becomes of it.

use crate::core::event::EventType;
use crate::core::time::{Span, Time};

use super::complaints::Grievance;
use super::dice::span_of_seconds;
use super::market::{
    DEAD_KEY_CODE, HOUR, NO_CODE, PASSWORD_CODE, SLEEPING_KEY_CODE, SUPPLIER_CODES, SUPPLIER_TIMEOUT_CODE,
    product_at, supplier_at,
};
use super::record::{Body, Order};
use super::scene::Scene;
use super::trouble::Planted;

/// How often a key is used where the platform hears of it.
const USED_IN_SIGHT: f64 = 0.4;
/// How often a customer mistypes a key, and how often a good key is not active yet when it is tried.
const MISTYPED: f64 = 0.03;
const SLEEPING: f64 = 0.015;
/// How often a customer has a key shown once more, which some shops call a delivery.
const SHOWN_AGAIN: f64 = 0.002;
/// However slow a supplier is, by then staff has made it deliver.
const LONGEST_DELAY: f64 = 20_000.0;

impl Scene<'_> {
    pub fn deliver(&mut self, order: &Order, paid: Time, crowd: f64) {
        let supplier = supplier_at(order.supplier);
        let seconds = supplier.delivery(&mut self.dice) * crowd;
        let due = paid + span_of_seconds(seconds.min(supplier.gives_up));
        let stall =
            self.plan.stalled(order.supplier, paid).or_else(|| self.plan.stalled(order.supplier, due));
        if let Some((problem, share, lost, planted)) = stall
            && self.dice.chance(share)
        {
            self.wait_out(problem, order, paid, lost, planted);
        } else if let Some((problem, times)) = self.plan.delayed(order.supplier, paid) {
            let slow = supplier.patience * times * self.dice.lognormal(1.0, 0.25);
            self.come_late(problem, order, paid, slow.min(LONGEST_DELAY).max(seconds));
        } else if seconds >= supplier.gives_up {
            self.give_up(order, due, SUPPLIER_TIMEOUT_CODE);
        } else if self.dice.chance(supplier.failing) {
            let code = self.dice.pick(&SUPPLIER_CODES).unwrap_or(NO_CODE);
            self.give_up(order, due, code);
        } else {
            self.hand_over(order, due);
            self.use_it(order, due);
        }
    }

    /// Keys go out one by one, everything else at once.
    fn hand_over(&mut self, order: &Order, time: Time) {
        let keys = if product_at(order.product).kind == "card_key" { order.quantity } else { 1 };
        for key in 0..keys {
            let delivered = time + Span::from_millis(i64::from(key) * 40);
            self.tell(delivered, EventType::OrderDelivered, Body::Order(Order { key, ..order.clone() }));
        }
        if product_at(order.product).kind == "card_key" && self.dice.chance(SHOWN_AGAIN) {
            let again = time + self.dice.seconds(60.0, 5_000.0);
            self.tell(again, EventType::OrderDelivered, Body::Order(order.clone()));
        }
    }

    /// The order is held by a stalled supplier until the stall is over; the backlog then takes its time.
    fn wait_out(&mut self, problem: usize, order: &Order, paid: Time, lost: f64, planted: Planted) {
        let length = planted.to.since(planted.from).as_secs_f64();
        let backlog = self.dice.exponential(0.03 * length).min(0.06 * length);
        let delivered = (!self.dice.chance(lost)).then(|| planted.to + span_of_seconds(backlog + 3.0));
        let met = self.ledger.touch(problem, self.account.id, paid, Some(order.number));
        if met {
            let grievance = Grievance::Delivery { supplier: order.supplier, delivered };
            self.may_complain(problem, Some(order.number), paid, grievance);
        }
        let settled = match delivered {
            Some(delivered) => {
                self.hand_over(order, delivered);
                delivered
            }
            // Once the supplier is back, staff go through what it has lost.
            None => {
                let refunded = planted.to + span_of_seconds(self.dice.between(60.0, 900.0));
                self.tell(refunded, EventType::OrderRefunded, Body::Order(order.clone()));
                refunded
            }
        };
        self.ledger.last(problem, self.account.id, settled);
    }

    /// The supplier is slow, and says that it is at it, so that the platform waits. Who waits for no longer than usual has
    /// met nothing.
    fn come_late(&mut self, problem: usize, order: &Order, paid: Time, seconds: f64) {
        let delivered = paid + span_of_seconds(seconds);
        if seconds > 0.5 * supplier_at(order.supplier).patience {
            if self.ledger.touch(problem, self.account.id, paid, Some(order.number)) {
                let grievance = Grievance::Delivery { supplier: order.supplier, delivered: Some(delivered) };
                self.may_complain(problem, Some(order.number), paid, grievance);
            }
            self.ledger.last(problem, self.account.id, delivered);
        }
        self.hand_over(order, delivered);
    }

    fn give_up(&mut self, order: &Order, time: Time, error: u8) {
        self.fail(order, time, error);
        let refunded = time + span_of_seconds(self.dice.between(20.0, 1_800.0));
        self.tell(refunded, EventType::OrderRefunded, Body::Order(order.clone()));
    }

    /// What customers do with what they bought.
    fn use_it(&mut self, order: &Order, delivered: Time) {
        if product_at(order.product).kind == "card_key" && self.dice.chance(USED_IN_SIGHT) {
            self.redeem(order, delivered);
        }
        if self.dice.chance(0.006) {
            let at = delivered + span_of_seconds(self.dice.lognormal(12_000.0, 1.0));
            self.tell(at, EventType::OrderRefunded, Body::Order(order.clone()));
        }
        if self.dice.chance(0.01) {
            let at = delivered + span_of_seconds(self.dice.lognormal(900.0, 1.0));
            let score = 1 + self.dice.weighted([0.04, 0.04, 0.1, 0.3, 0.52].into_iter()) as u8;
            self.tell(at, EventType::SatisfactionRated, Body::Rating { order: order.number, score });
        }
    }

    /// Uses a key: half of them within an hour and a half, some days later.
    fn redeem(&mut self, order: &Order, delivered: Time) {
        let mut at = delivered + span_of_seconds(self.dice.lognormal(5_000.0, 1.4));
        if let Some((problem, share, recall)) = self.plan.bad_batch(order.supplier, order.product, delivered)
            && self.dice.chance(share)
            && at < recall
        {
            self.try_dead_key(problem, order, at, recall);
            return;
        }
        if self.dice.chance(MISTYPED) {
            self.refuse_key(order, at, PASSWORD_CODE);
            at += span_of_seconds(self.dice.between(20.0, 200.0));
        }
        if self.dice.chance(SLEEPING) {
            self.refuse_key(order, at, SLEEPING_KEY_CODE);
            at += span_of_seconds(self.dice.between(120.0, 3_600.0));
        }
        self.tell(at, EventType::CardRedeemed, Body::Order(order.clone()));
    }

    fn refuse_key(&mut self, order: &Order, time: Time, error: u8) {
        let refused = Order { failed: true, error, ..order.clone() };
        self.tell(time, EventType::CardRedeemFailed, Body::Order(refused));
    }

    /// Nobody believes the first refusal. In the end there is money back, or another key, which costs nothing.
    fn try_dead_key(&mut self, problem: usize, order: &Order, first: Time, recall: Time) {
        let mut at = first;
        for _ in 0..1 + self.dice.below(3) {
            self.refuse_key(order, at, DEAD_KEY_CODE);
            at += span_of_seconds(self.dice.between(10.0, 150.0));
        }
        if self.ledger.touch(problem, self.account.id, first, Some(order.number)) {
            self.may_complain(problem, Some(order.number), first, Grievance::DeadKey);
        }
        let settled = recall.max(at) + self.dice.seconds(300.0, 6.0 * HOUR.as_secs_f64());
        if self.dice.chance(0.5) {
            self.tell(settled, EventType::OrderRefunded, Body::Order(order.clone()));
        } else {
            let mut other = Order { free: true, quantity: 1, ..order.clone() };
            self.open(&mut other, settled);
            self.tell(settled + Span::from_secs(2), EventType::OrderDelivered, Body::Order(other));
        }
        self.ledger.last(problem, self.account.id, settled);
    }
}
