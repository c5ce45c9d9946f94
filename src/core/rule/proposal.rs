//! What a rule proposes for those whom its incidents touch: money back, and an action that the platform can take. Neither
//! is ever done here.

#[cfg(test)]
mod tests;

use std::fmt;

use compact_str::CompactString;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Facts, Symbol, TextField};

/// An amount in a currency, or in points of the platform's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    pub amount: Decimal,
    pub currency: CompactString,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// Digits after the point in amounts of a currency (ISO 4217); two where it is not known.
pub fn minor_digits(currency: &str) -> u32 {
    const NONE: [&str; 16] = [
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF",
        "XOF", "XPF",
    ];
    const THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
    let is = |known: &&str| known.eq_ignore_ascii_case(currency);
    if NONE.iter().any(is) {
        0
    } else if THREE.iter().any(is) {
        3
    } else {
        2
    }
}

/// What an account is offered for its trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct Compensation {
    pub worth: Worth,
    /// Never more than this.
    pub cap: Option<Money>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Worth {
    Fixed(Money),
    /// A share (0.05 for 5 %) of an amount.
    Share {
        share: Decimal,
        of: Base,
    },
}

/// Whose amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The event behind the finding, which for a deadline is its start; in an incident that touches many, each one's own.
    Event,
    /// An event of a sequence's step: the rule's detector says it.
    Step,
}

/// What the platform is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub name: CompactString,
    pub scope: ActionScope,
}

/// How often an action is proposed within one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionScope {
    /// For each account that is to be told.
    Affected,
    /// Once, for the subject as a whole.
    Subject,
}

/// The amount of a step's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepAmount {
    pub amount: Option<Decimal>,
    /// The symbol of its currency, [`Symbol::MISSING`] where it says none.
    pub currency: Symbol,
}

impl StepAmount {
    pub(crate) fn encode(self, to: &mut Writer<'_>) {
        to.option(self.amount, |to, amount| to.0.extend_from_slice(&amount.serialize()));
        to.symbol(self.currency);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let amount = from.option(|from| Ok(Decimal::deserialize(from.bytes()?)))?;
        Ok(Self { amount, currency: from.symbol()? })
    }
}

/// Why a person has to say how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// The event has no amount.
    NoAmount,
    /// Neither the event nor the rule names a currency.
    NoCurrency,
    /// The cap is in another currency than the amount.
    OtherCurrency,
}

impl Undecided {
    pub const ALL: [Self; 3] = [Self::NoAmount, Self::NoCurrency, Self::OtherCurrency];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAmount => "no_amount",
            Self::NoCurrency => "no_currency",
            Self::OtherCurrency => "other_currency",
        }
    }
}

impl Compensation {
    /// How much an account is offered, rounded half up to the smallest unit of the currency; [`None`] if that is nothing.
    pub fn offer(&self, facts: Option<&Facts>, step: Option<StepAmount>) -> Option<Result<Money, Undecided>> {
        let offer = match &self.worth {
            Worth::Fixed(money) => Ok(money.clone()),
            Worth::Share { share, of } => self.share(*share, *of, facts, step),
        };
        match offer {
            Ok(money) if money.amount <= Decimal::ZERO => None,
            offer => Some(offer),
        }
    }

    fn share(
        &self,
        share: Decimal,
        of: Base,
        facts: Option<&Facts>,
        step: Option<StepAmount>,
    ) -> Result<Money, Undecided> {
        let said = facts.and_then(|facts| facts.text(TextField::Currency));
        let capped = self.cap.as_ref().map(|cap| cap.currency.as_str());
        let (amount, currency) = match of {
            Base::Event => (facts.and_then(|facts| facts.amount), said.or(capped)),
            Base::Step => {
                let symbol = step.map_or(Symbol::MISSING, |step| step.currency);
                // A step's currency is known by its symbol alone.
                let named = [said, capped].into_iter().flatten();
                let mut named = named.filter(|name| symbol == Symbol::MISSING || symbol == Symbol::of(name));
                let currency = named.next();
                if currency.is_none() && symbol != Symbol::MISSING {
                    return Err(Undecided::OtherCurrency);
                }
                (step.and_then(|step| step.amount), currency)
            }
        };
        let amount = amount.ok_or(Undecided::NoAmount)?;
        let currency = currency.ok_or(Undecided::NoCurrency)?;
        // What is too large to be multiplied is no amount of money.
        let part = amount.checked_mul(share).ok_or(Undecided::NoAmount)?;
        let part = match &self.cap {
            Some(cap) if !cap.currency.eq_ignore_ascii_case(currency) => {
                return Err(Undecided::OtherCurrency);
            }
            Some(cap) => part.min(cap.amount),
            None => part,
        };
        let digits = minor_digits(currency);
        let mut amount = part.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        amount.rescale(digits);
        Ok(Money { amount, currency: CompactString::from(currency) })
    }
}
