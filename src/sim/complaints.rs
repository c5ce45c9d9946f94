//! When customers complain: after minutes to hours, more often than not because nobody told them anything.

use crate::core::event::EventType;
use crate::core::time::Time;

use super::accounts::Tier;
use super::dice::span_of_seconds;
use super::market::supplier_at;
use super::record::{Body, account_name, order_name};
use super::scene::Scene;
use super::truth::Complaint;

/// What a complaint is about.
#[derive(Clone, Copy, Debug)]
pub enum Grievance {
    /// A payment that failed or of which nothing was heard.
    Payment,
    /// Paid and not delivered, at this supplier; delivered after all at the given time.
    Delivery { supplier: u8, delivered: Option<Time> },
    /// A key that cannot be redeemed.
    DeadKey,
    /// Somebody else was in the account.
    Intrusion,
    /// Somebody else has looked into the account and left it as it was.
    Visit,
}

impl Scene<'_> {
    /// Decides whether and when the account complains of a problem that it met at `met`, and says so.
    pub fn may_complain(&mut self, problem: usize, order: Option<u32>, met: Time, grievance: Grievance) {
        let (least, median, sigma, mut probability, category) = match grievance {
            Grievance::Payment => (150.0, 1_500.0, 1.0, 0.2, "payment_failed"),
            Grievance::Delivery { supplier, .. } => {
                (supplier_at(supplier).patience, 1_800.0, 0.8, 0.5, "not_delivered")
            }
            Grievance::DeadKey => (240.0, 2_400.0, 0.9, 0.55, "card_invalid"),
            Grievance::Intrusion => (600.0, 6_000.0, 0.9, 0.6, "account_security"),
            // Few look at the list of their logins.
            Grievance::Visit => (1_800.0, 14_000.0, 0.9, 0.15, "account_security"),
        };
        if self.account.tier != Tier::Individual {
            probability *= 1.4;
        }
        let at = met + span_of_seconds(least + self.dice.lognormal(median, sigma));
        // Who has what they paid for seldom complains of the wait.
        if let Grievance::Delivery { delivered: Some(delivered), .. } = grievance
            && delivered < at
        {
            probability *= 0.1;
        }
        if !self.dice.chance(probability) || at >= self.settings.end() {
            return;
        }
        self.tell(at, EventType::ComplaintFiled, Body::Complaint { order, category });
        let account = self.account.id;
        let complaint = Complaint {
            account_id: account_name(account),
            order_id: order.map(|order| order_name(account, order)),
            at,
        };
        self.ledger.complain(problem, complaint);
    }

    /// Some complain though nothing is wrong: of prices, of their own mistakes, of the weather.
    pub fn may_complain_without_cause(&mut self, order: u32, after: Time) {
        if !self.dice.chance(0.000_6) {
            return;
        }
        let at = after + span_of_seconds(self.dice.lognormal(2_400.0, 1.0));
        if at >= self.settings.end() {
            return;
        }
        let category =
            self.dice.pick(&["price", "other", "payment_failed", "not_delivered"]).unwrap_or("other");
        self.tell(at, EventType::ComplaintFiled, Body::Complaint { order: Some(order), category });
        let account = self.account.id;
        self.ledger.without_cause.push(Complaint {
            account_id: account_name(account),
            order_id: Some(order_name(account, order)),
            at,
        });
    }
}
