//! `reconcile`: orders whose payments, keys and refunds do not match.
//!
//! Each check fixes its own subject. What is missing (a key, a payment) is awaited as by a deadline; what is there and
//! should not be is found among what is remembered of an order or a card, all of it, never a sketch.

mod history;
mod judge;
mod watch;
pub mod yielding;

use crate::core::event::{EventType, TextField, TextSet, TypeSet};
use crate::core::time::Span;

use super::condition::Condition;
use super::deadline::{Deadline, DeadlineWatch};
use super::table::Watch;

pub use watch::ReconcileWatch;

/// What has come is remembered so long for what may come after it: a payment for its key, a quantity for its keys.
pub const REMEMBERED: Span = Span::from_mins(7 * 24 * 60);

/// What does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// An order was paid, and has neither a delivery nor its money back.
    PaidWithoutKey,
    /// An order was delivered, and not paid.
    KeyWithoutPayment,
    /// An order was given more different keys than its quantity.
    ManyKeys,
    /// A key was given to different orders.
    KeySoldTwice,
    /// An order was paid when it had expired, and not before.
    PaymentAfterExpiry,
    /// An order was delivered after its money had gone back.
    DeliveredAfterRefund,
}

impl Check {
    pub const ALL: [Self; 6] = [
        Self::PaidWithoutKey,
        Self::KeyWithoutPayment,
        Self::ManyKeys,
        Self::KeySoldTwice,
        Self::PaymentAfterExpiry,
        Self::DeliveredAfterRefund,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaidWithoutKey => "paid_without_key",
            Self::KeyWithoutPayment => "key_without_payment",
            Self::ManyKeys => "many_keys",
            Self::KeySoldTwice => "key_sold_twice",
            Self::PaymentAfterExpiry => "payment_after_expiry",
            Self::DeliveredAfterRefund => "delivered_after_refund",
        }
    }

    /// What the check is about.
    pub const fn subject(self) -> TextField {
        match self {
            Self::KeySoldTwice => TextField::CardId,
            Self::PaidWithoutKey
            | Self::KeyWithoutPayment
            | Self::ManyKeys
            | Self::PaymentAfterExpiry
            | Self::DeliveredAfterRefund => TextField::OrderId,
        }
    }

    /// Whether it finds that something has not come.
    pub const fn is_absence(self) -> bool {
        matches!(self, Self::PaidWithoutKey | Self::KeyWithoutPayment)
    }

    /// Whether an event that arrives late can show that there was nothing to find. A sale or a refund more cannot.
    pub const fn may_prove_wrong(self) -> bool {
        !matches!(self, Self::KeySoldTwice | Self::DeliveredAfterRefund)
    }

    /// The events that the rule's filter is about: one of them makes a finding.
    const fn judged(self) -> TypeSet {
        match self {
            Self::PaidWithoutKey | Self::PaymentAfterExpiry => TypeSet::of(EventType::OrderPaid),
            Self::KeyWithoutPayment | Self::ManyKeys | Self::KeySoldTwice | Self::DeliveredAfterRefund => {
                TypeSet::of(EventType::OrderDelivered)
            }
        }
    }

    /// What an order begins with, where that shows that nothing of it has been overlooked.
    const fn begins(self) -> TypeSet {
        match self {
            Self::KeyWithoutPayment => TypeSet::of(EventType::OrderCreated),
            Self::PaidWithoutKey
            | Self::ManyKeys
            | Self::KeySoldTwice
            | Self::PaymentAfterExpiry
            | Self::DeliveredAfterRefund => TypeSet::EMPTY,
        }
    }

    /// The events that they are held against, whatever the filter says.
    const fn held_against(self) -> TypeSet {
        use EventType::{OrderCancelled, OrderCreated, OrderDelivered, OrderPaid, OrderRefunded};
        match self {
            Self::PaidWithoutKey => {
                TypeSet::of(OrderDelivered).or(TypeSet::of(OrderRefunded)).or(TypeSet::of(OrderCancelled))
            }
            Self::KeyWithoutPayment => TypeSet::of(OrderPaid),
            Self::ManyKeys => {
                TypeSet::of(OrderCreated).or(TypeSet::of(OrderPaid)).or(TypeSet::of(OrderDelivered))
            }
            Self::KeySoldTwice => TypeSet::EMPTY,
            Self::PaymentAfterExpiry => TypeSet::of(OrderCreated).or(TypeSet::of(OrderPaid)),
            Self::DeliveredAfterRefund => TypeSet::of(OrderRefunded),
        }
    }
}

/// The settings of a reconcile rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconcile {
    pub check: Check,
    /// How long what is missing is awaited; for the other checks, how far apart what does not match may lie.
    pub within: Span,
}

impl Reconcile {
    pub const fn types(&self) -> TypeSet {
        self.check.judged()
    }

    pub const fn ending_types(&self) -> TypeSet {
        self.check.held_against().or(self.check.begins())
    }

    pub fn symbols(&self) -> TextSet {
        let own = TextSet::of(self.check.subject());
        match self.check {
            Check::ManyKeys => own.or(TextSet::of(TextField::CardId)),
            Check::KeySoldTwice => {
                own.or(TextSet::of(TextField::OrderId)).or(TextSet::of(TextField::AccountId))
            }
            Check::PaidWithoutKey
            | Check::KeyWithoutPayment
            | Check::PaymentAfterExpiry
            | Check::DeliveredAfterRefund => own,
        }
    }

    pub fn watch(self, grace: Span, lateness: Span, kept: TextSet) -> Box<dyn Watch> {
        if !self.check.is_absence() {
            return Box::new(ReconcileWatch::new(self));
        }
        let deadline = Deadline {
            key: self.check.subject(),
            start: Condition::TypeIn(self.check.judged()),
            end: Condition::TypeIn(self.check.held_against()),
            within: self.within,
        };
        // A payment that is told of again has its key long since; a key has its payment before it.
        let watch = DeadlineWatch::new(deadline, grace, lateness).looking_back(REMEMBERED).keeping(kept);
        let begins = self.check.begins();
        Box::new(if begins.is_empty() { watch } else { watch.only_where_sure(begins) })
    }
}

#[cfg(test)]
mod tests;
