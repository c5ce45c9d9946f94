//! The four checks that find what is there and should not be, each at one instant of a subject's history.

use crate::core::rule::verdict::Evidence;
use crate::core::time::{Span, Time};

use super::history::{Entry, History, NOTHING};
use super::{Check, REMEMBERED, Reconcile};

/// What an order has where nobody says how many keys.
const ONE_KEY: i64 = 1;

impl Reconcile {
    /// What is to be found at an instant at which something is judged.
    pub(super) fn find(&self, history: &History, time: Time) -> Option<Evidence> {
        match self.check {
            Check::ManyKeys => self.too_many(history, time, history.known_at(time).max(ONE_KEY)),
            Check::KeySoldTwice => self.too_many(history, time, history.known().max(ONE_KEY)),
            Check::PaymentAfterExpiry => {
                let expiry = history.known_at(time);
                let before = history.entries().iter().take_while(|own| own.time() < time);
                let was_paid = before.filter(|own| own.is_judged()).any(|own| is_in_time(history, own));
                if expiry == NOTHING || was_paid {
                    return None;
                }
                self.after(Time::from_millis(expiry), time, 1)
            }
            Check::DeliveredAfterRefund => {
                let refunds = history.entries().iter().filter(|own| !own.is_judged());
                let refunds = refunds.map(|own| own.value).chain([history.known()]);
                let latest = refunds.filter(|refund| *refund < time.as_millis()).max()?;
                if latest == NOTHING {
                    return None;
                }
                self.after(Time::from_millis(latest), time, 2)
            }
            Check::PaidWithoutKey | Check::KeyWithoutPayment => None,
        }
    }

    /// More different values within the window than the limit.
    fn too_many(&self, history: &History, time: Time, limit: i64) -> Option<Evidence> {
        let past = |own: &&Entry| own.is_judged() && own.time() > time - self.within && own.time() <= time;
        let entries = || history.entries().iter().filter(past);
        let samples = entries().count();
        if (samples as i64) <= limit {
            return None;
        }
        let first =
            |(place, own): &(usize, &Entry)| !entries().take(*place).any(|other| other.value == own.value);
        let values = entries().enumerate().filter(first).count() as i64;
        (values > limit).then_some(Evidence {
            value: values as f64,
            limit: limit as f64,
            samples: samples as u64,
            approximate: false,
        })
    }

    /// So long after what should have kept it from happening.
    fn after(&self, limit: Time, time: Time, samples: u64) -> Option<Evidence> {
        let late = limit <= time && time < limit + self.within;
        late.then(|| Evidence {
            value: time.since(limit).as_secs_f64(),
            limit: 0.0,
            samples,
            approximate: false,
        })
    }

    /// Lets go what no event can be held against any more, since none can arrive before `settled`.
    pub(super) fn settle(&self, history: &mut History, settled: Time) {
        if history.entries().first().is_none_or(|own| own.time() >= settled) {
            return;
        }
        let past = history.position(settled);
        if self.check == Check::PaymentAfterExpiry {
            let mut paid = history.entries().iter().take(past).filter(|own| own.is_judged());
            if paid.any(|own| is_in_time(history, own)) {
                history.pardon();
            }
        }
        let said = history.entries().iter().take(past).filter(|own| !own.is_judged());
        if let Some(said) = said.map(|own| own.value).max() {
            history.learn(said);
        }
        // A delivery counts for as long as the window reaches; whatever else has settled has said what it had to say.
        let counts = matches!(self.check, Check::ManyKeys | Check::KeySoldTwice);
        let floor = settled - self.within;
        history.retain(|own| own.time() >= settled || (counts && own.is_judged() && own.time() > floor));
    }

    /// How long a subject is remembered after what was last heard of it.
    pub(super) fn remembers(&self, history: &History) -> Span {
        if self.check == Check::ManyKeys && history.known() > ONE_KEY {
            return self.within.max(REMEMBERED);
        }
        self.within
    }
}

/// Whether an order had not expired when it was paid.
pub(super) fn is_in_time(history: &History, paid: &Entry) -> bool {
    let expiry = history.known_at(paid.time());
    expiry != NOTHING && paid.time().as_millis() < expiry
}
