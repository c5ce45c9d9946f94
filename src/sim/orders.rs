//! How customers buy: from the wish over attempts to pay, with retries, to the payment. What comes after it is in
//! [`super::goods`].

use crate::core::event::EventType;
use crate::core::time::{Span, Time};

use super::complaints::Grievance;
use super::dice::span_of_seconds;
use super::look_alikes::{CLUSTER_SHARE, OwnFaults};
use super::market::{
    BALANCE_CODE, CARDS, CHANNEL_CODES, CHANNELS, CUSTOMER_CODES, FIRST_CARD, FIRST_TOPUP, HOUR, NO_CODE,
    PASSWORD_CODE, PRODUCTS, REFUSAL_CODES, TOPUPS, channel_at, product_at, supplier_at,
};
use super::places::{Network, broadband_address, carrier_address, foreign_address};
use super::record::{Body, EXPIRES_AFTER, INTRUDER_DEVICE, Order};
use super::scene::{SLOT, Scene};
use super::trouble::{Planted, Trouble};

/// Who leaves an order open for some minutes and pays it at last, still in time.
const SLOW_PAYERS: f64 = 0.015;
/// Who presses the button twice.
const DOUBLE_CLICKS: f64 = 0.003;

/// How an attempt to pay ends.
enum Payment {
    Paid,
    /// By the customer's own fault.
    OwnFault(u8),
    /// By somebody else's, with the planted problem behind it if there is one.
    Failed(u8, Option<usize>),
    /// Nothing is heard of it.
    Silent(usize),
}

/// How often somebody has tried to pay for one wish so far.
struct Tries {
    attempt: u32,
    own_faults: u32,
    abandoned: bool,
}

impl Scene<'_> {
    pub fn buy(&mut self, slot: Time) {
        let (id, end) = (self.account.id, slot + SLOT);
        let planted: Vec<(usize, Planted)> = self.plan.of_account(id, slot, end).collect();
        // Somebody whose top-ups are refused tries those, and nothing else that would blur the picture.
        let quiet = planted.iter().find_map(|(_, planted)| match planted.trouble {
            Trouble::Refusal { .. } => Some((planted.from - Span::from_mins(30), planted.to)),
            _ => None,
        });
        for moment in self.moments(slot, self.account.orders) {
            if quiet.is_none_or(|(from, to)| moment < from || moment >= to) {
                let order = self.wish(moment);
                self.purchase(order, moment, 1.0);
            }
        }
        self.buy_in_sales(slot);
        for (problem, planted) in planted {
            match planted.trouble {
                Trouble::Refusal { tries, minutes, .. } => {
                    self.be_refused(problem, planted.from, tries, minutes);
                }
                Trouble::Loss { .. } => self.lose(problem, planted.from),
                Trouble::TwoKeys { .. } => self.send_two_keys(problem, planted.from),
                Trouble::LatePayment { late, .. } => self.pay_late(problem, planted.from, late),
                _ => {}
            }
        }
        let look_alikes = self.look_alikes;
        for row in look_alikes.own_faults.get(&id).into_iter().flatten() {
            if slot <= row.from && row.from < end {
                self.fail_by_own_fault(row);
            }
        }
        for moment in look_alikes.late_payments.get(&id).into_iter().flatten() {
            if slot <= *moment && *moment < end {
                self.pay_late_and_get_it_back(*moment);
            }
        }
    }

    fn buy_in_sales(&mut self, slot: Time) {
        let look_alikes = self.look_alikes;
        for promotion in &look_alikes.promotions {
            let (from, to) = (promotion.from.max(slot), promotion.to.min(slot + SLOT));
            if from >= to {
                continue;
            }
            let hours = to.since(from).as_secs_f64() / 3_600.0;
            let usual =
                self.account.orders / 24.0 * super::market::busyness(from, self.account.shift) * hours;
            for _ in 0..self.dice.poisson(usual * (promotion.times - 1.0)) {
                let moment = from + self.dice.seconds(0.0, hours * 3_600.0);
                let mut order = self.wish(moment);
                order.product = self.dice.pick(&promotion.products).unwrap_or(0);
                order.supplier = self.supplier_of(order.product);
                self.purchase(order, moment, 2.0);
            }
        }
    }

    /// What the customer wants to buy now, and how.
    pub fn wish(&mut self, time: Time) -> Order {
        let product = if self.dice.chance(0.6) {
            self.account.favourite
        } else {
            self.dice.weighted(PRODUCTS.iter().map(|product| product.share)) as u8
        };
        let by_phone = self.dice.chance(self.account.at_home_by_phone);
        let address = if by_phone {
            carrier_address(self.account.home, self.dice.below(48))
        } else {
            broadband_address(self.account.home, self.account.id)
        };
        let quantity = if self.dice.chance(0.9) { 1 } else { 2 + self.dice.below(3) as u8 };
        Order {
            number: 0,
            product,
            supplier: self.supplier_of(product),
            channel: self.channel(),
            region: self.account.region(),
            quantity,
            error: NO_CODE,
            failed: false,
            address,
            device: self.account.phone(time),
            key: 0,
            free: false,
        }
    }

    pub fn supplier_of(&mut self, product: u8) -> u8 {
        let [first, second] = product_at(product).suppliers;
        if self.dice.chance(0.66) { first } else { second }
    }

    fn channel(&mut self) -> u8 {
        if self.dice.chance(0.75) { self.account.first_channel } else { self.account.second_channel }
    }

    pub fn open(&mut self, order: &mut Order, time: Time) {
        order.number = self.past.orders;
        self.past.orders += 1;
        order.failed = false;
        self.tell(time, EventType::OrderCreated, Body::Order(order.clone()));
    }

    pub fn fail(&mut self, order: &Order, time: Time, error: u8) {
        let failed = Order { failed: true, error, ..order.clone() };
        self.tell(time, EventType::OrderFailed, Body::Order(failed));
    }

    /// Tries to pay, up to four times; each attempt is an order of its own. `crowd`: how much slower and clumsier
    /// everything goes than on a usual day.
    pub fn purchase(&mut self, mut order: Order, start: Time, crowd: f64) {
        let mut now = start;
        let mut own_faults = 0;
        for attempt in 0..4 {
            self.open(&mut order, now);
            let abandoned = self.dice.chance(0.12);
            let pays = if abandoned {
                now
            } else if self.dice.chance(SLOW_PAYERS) {
                now + self.dice.seconds(240.0, 880.0)
            } else {
                now + span_of_seconds(self.dice.lognormal(14.0, 0.6).min(180.0))
            };
            let tries = Tries { attempt, own_faults, abandoned };
            let payment = self.pay(&order, pays, crowd, &tries);
            let (again, pause) = match payment {
                None => {
                    if self.dice.chance(0.6) {
                        let at = now + Span::from_mins(15);
                        self.tell(at, EventType::OrderCancelled, Body::Order(order));
                    }
                    return;
                }
                Some(Payment::Paid) => {
                    self.tell(pays, EventType::OrderPaid, Body::Order(order.clone()));
                    self.deliver(&order, pays, crowd);
                    self.may_complain_without_cause(order.number, pays);
                    if self.dice.chance(DOUBLE_CLICKS) {
                        self.pay_twice(order, pays);
                    }
                    return;
                }
                Some(Payment::OwnFault(code)) => {
                    own_faults += 1;
                    self.fail(&order, pays, code);
                    (0.7, self.dice.between(12.0, 90.0))
                }
                Some(Payment::Failed(code, problem)) => {
                    self.fail(&order, pays, code);
                    if let Some(problem) = problem {
                        self.meet(problem, order.number, pays);
                    }
                    (0.6, self.dice.between(20.0, 240.0))
                }
                Some(Payment::Silent(problem)) => {
                    self.meet(problem, order.number, now);
                    if self.dice.chance(0.6) {
                        let at = now + Span::from_mins(15);
                        self.tell(at, EventType::OrderCancelled, Body::Order(order.clone()));
                    }
                    (0.45, self.dice.between(60.0, 300.0))
                }
            };
            if !self.dice.chance(again) {
                return;
            }
            now = pays + span_of_seconds(pause);
            if own_faults == 0 && self.dice.chance(0.35) {
                order.channel = self.dice.weighted(CHANNELS.iter().map(|channel| channel.share)) as u8;
            }
        }
    }

    /// How an attempt ends; [`None`] if the customer walks away before paying. Whoever opens an order on a channel of
    /// which nothing is heard has met the silence, whether they meant to pay or not.
    fn pay(&mut self, order: &Order, time: Time, crowd: f64, tries: &Tries) -> Option<Payment> {
        if let Some(problem) = self.plan.silent(order.channel, time) {
            return Some(Payment::Silent(problem));
        }
        if tries.abandoned {
            return None;
        }
        let channel = channel_at(order.channel);
        // Who has failed by their own fault is likely to fail so again.
        let again = if tries.own_faults > 0 { 0.3 } else { 0.0 };
        let own = (channel.customer_fault * self.account.clumsiness * crowd + again).min(0.7);
        if self.dice.chance(own) {
            return Some(Payment::OwnFault(self.dice.pick(&CUSTOMER_CODES).unwrap_or(PASSWORD_CODE)));
        }
        let planted = self.plan.failing(order.channel, order.region, time);
        // Chance strikes different people; whoever tries again gets through.
        let cluster = tries.attempt == 0 && self.look_alikes.in_cluster(order.channel, order.region, time);
        let share = planted.map_or(if cluster { CLUSTER_SHARE } else { 0.0 }, |(_, share)| share);
        if self.dice.chance(share.max(channel.own_fault)) {
            let code = if self.dice.chance(0.05) {
                NO_CODE
            } else {
                self.dice.pick(&CHANNEL_CODES).unwrap_or(NO_CODE)
            };
            return Some(Payment::Failed(code, planted.map(|(problem, _)| problem)));
        }
        Some(Payment::Paid)
    }

    /// Who clicks twice has two orders; the shop sees that at once, and sends the second payment back.
    fn pay_twice(&mut self, mut order: Order, paid: Time) {
        let clicks = paid + self.dice.seconds(0.2, 2.0);
        self.open(&mut order, clicks);
        let paid = clicks + self.dice.seconds(0.5, 3.0);
        self.tell(paid, EventType::OrderPaid, Body::Order(order.clone()));
        let refunded = paid + self.dice.seconds(1.0, 20.0);
        self.tell(refunded, EventType::OrderRefunded, Body::Order(order));
    }

    fn meet(&mut self, problem: usize, order: u32, time: Time) {
        // Of a hiccup nobody makes anything: the next try works.
        if self.ledger.touch(problem, self.account.id, time, Some(order)) && !self.plan.is_hiccup(problem) {
            self.may_complain(problem, Some(order), time, Grievance::Payment);
        }
    }

    /// A channel that has no trouble of its own at the moment.
    fn untroubled(&mut self, order: &mut Order, time: Time) -> bool {
        let region = order.region;
        let troubled = |plan: &super::trouble::Plan, channel: u8| {
            plan.failing(channel, region, time).is_some() || plan.silent(channel, time).is_some()
        };
        let plan = self.plan;
        let choices = [self.account.first_channel, self.account.second_channel, 0, 1];
        match choices.into_iter().find(|channel| !troubled(plan, *channel)) {
            Some(channel) => order.channel = channel,
            None => return false,
        }
        plan.stalled(order.supplier, time).is_none() && plan.delayed(order.supplier, time).is_none()
    }

    /// The account's top-ups are refused so many times, spread over so many minutes.
    fn be_refused(&mut self, problem: usize, from: Time, tries: u32, minutes: f64) {
        let mut order = self.wish(from);
        order.product = FIRST_TOPUP + self.dice.below(u32::from(TOPUPS)) as u8;
        order.supplier = self.supplier_of(order.product);
        if !self.untroubled(&mut order, from) {
            return;
        }
        // Close enough together that any three of them fall into ten minutes.
        let gap = (minutes * 60.0 / f64::from(tries.max(2) - 1)).min(270.0);
        for attempt in 0..tries {
            let fails = from + span_of_seconds(gap * f64::from(attempt) + self.dice.between(0.0, 8.0));
            let opens = fails - self.dice.seconds(6.0, 25.0);
            self.open(&mut order, opens);
            let code = if self.dice.chance(0.1) {
                NO_CODE
            } else {
                self.dice.pick(&REFUSAL_CODES).unwrap_or(NO_CODE)
            };
            self.fail(&order, fails, code);
            // Before the second failure nobody sees more in it than bad luck.
            if self.ledger.touch(problem, self.account.id, fails, Some(order.number)) {
                self.may_complain(
                    problem,
                    Some(order.number),
                    from + span_of_seconds(gap * 1.5),
                    Grievance::Payment,
                );
            }
        }
    }

    /// A paid order of which nothing more is heard until staff sees to it.
    fn lose(&mut self, problem: usize, from: Time) {
        let mut order = self.wish(from);
        // A supplier that usually takes hours leaves no trace within the world.
        if supplier_at(order.supplier).median > 600.0 {
            order.product = FIRST_TOPUP;
            order.supplier = self.supplier_of(order.product);
        }
        if !self.untroubled(&mut order, from) {
            return;
        }
        let opens = from - self.dice.seconds(8.0, 40.0);
        self.open(&mut order, opens);
        self.tell(from, EventType::OrderPaid, Body::Order(order.clone()));
        self.settle_by_hand(problem, order, from, (10, 50_000.0));
    }

    /// An order is opened, expires, and is paid after that; nothing more is heard of it until staff goes through the books.
    fn pay_late(&mut self, problem: usize, from: Time, late: f64) {
        let mut order = self.wish(from);
        self.open(&mut order, from);
        let expires = from + EXPIRES_AFTER;
        if self.dice.chance(0.6) {
            self.tell(expires, EventType::OrderCancelled, Body::Order(order.clone()));
        }
        let paid = expires + span_of_seconds(late);
        self.tell(paid, EventType::OrderPaid, Body::Order(order.clone()));
        self.settle_by_hand(problem, order, paid, (4, 36_000.0));
    }

    /// Nothing comes of a payment until staff sends the money back or the goods after it. `after`: hours at least, and seconds
    /// more at most.
    fn settle_by_hand(&mut self, problem: usize, order: Order, paid: Time, (hours, more): (i64, f64)) {
        self.ledger.touch(problem, self.account.id, paid, Some(order.number));
        let grievance = Grievance::Delivery { supplier: order.supplier, delivered: None };
        self.may_complain(problem, Some(order.number), paid, grievance);
        let settled = paid + Span::from_millis(HOUR.as_millis() * hours) + self.dice.seconds(0.0, more);
        self.ledger.last(problem, self.account.id, settled);
        let end = if self.dice.chance(0.7) { EventType::OrderRefunded } else { EventType::OrderDelivered };
        self.tell(settled, end, Body::Order(order));
    }

    /// The same where the shop sends the money back by itself.
    fn pay_late_and_get_it_back(&mut self, from: Time) {
        let mut order = self.wish(from);
        self.open(&mut order, from);
        let paid = from + EXPIRES_AFTER + self.dice.seconds(2.0, 900.0);
        self.tell(paid, EventType::OrderPaid, Body::Order(order.clone()));
        let refunded = paid + self.dice.seconds(2.0, 40.0);
        self.tell(refunded, EventType::OrderRefunded, Body::Order(order));
    }

    /// The channel tells of one payment twice, and a key goes out each time. Whoever has two keys for the price of one does
    /// not complain.
    fn send_two_keys(&mut self, problem: usize, from: Time) {
        let mut order = self.wish(from);
        order.product = FIRST_CARD + self.dice.below(u32::from(CARDS)) as u8;
        order.supplier = self.supplier_of(order.product);
        order.quantity = 1;
        if !self.untroubled(&mut order, from) {
            return;
        }
        self.open(&mut order, from);
        let paid = from + self.dice.seconds(8.0, 40.0);
        self.tell(paid, EventType::OrderPaid, Body::Order(order.clone()));
        let first = paid + self.dice.seconds(1.0, 12.0);
        self.tell(first, EventType::OrderDelivered, Body::Order(order.clone()));
        // Most come again within seconds; some when somebody presses the button that sends all of them again.
        let median = if self.dice.chance(0.7) { 15.0 } else { 1_800.0 };
        let again = first + span_of_seconds(self.dice.lognormal(median, 0.8).min(9_000.0));
        self.tell(again, EventType::OrderPaid, Body::Order(order.clone()));
        let second = again + self.dice.seconds(1.0, 12.0);
        order.key = 1;
        self.tell(second, EventType::OrderDelivered, Body::Order(order.clone()));
        self.ledger.touch(problem, self.account.id, second, Some(order.number));
    }

    /// A row of failures that are nobody's fault but the customer's, often with a success at last.
    fn fail_by_own_fault(&mut self, row: &OwnFaults) {
        let mut order = self.wish(row.from);
        let code = if row.password { PASSWORD_CODE } else { BALANCE_CODE };
        let mut now = row.from;
        for _ in 0..row.tries {
            self.open(&mut order, now);
            let fails = now + self.dice.seconds(5.0, 30.0);
            if self.plan.silent(order.channel, fails).is_some() {
                return;
            }
            self.fail(&order, fails, code);
            now = fails + self.dice.seconds(8.0, 75.0);
        }
        if self.dice.chance(0.5) {
            self.purchase(order, now, 1.0);
        }
    }

    /// What an intruder buys: card keys, quickly resold.
    pub fn spend(&mut self, city: u8, network: Network, from: Time) {
        for _ in 0..1 + self.dice.below(3) {
            let mut order = self.wish(from);
            order.product = FIRST_CARD + self.dice.below(u32::from(CARDS)) as u8;
            order.supplier = self.supplier_of(order.product);
            order.device = INTRUDER_DEVICE;
            order.address = foreign_address(city, network, self.account.id);
            order.quantity = 1 + self.dice.below(4) as u8;
            let at = from + self.dice.seconds(60.0, 1_500.0);
            self.purchase(order, at, 1.0);
        }
    }
}
