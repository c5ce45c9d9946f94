//! What can be planted in a world, and where it lies at a moment. Which problems a world has is drawn in [`super::plan`].

use std::collections::BTreeMap;

use crate::core::time::Time;

use super::market::{channel_at, product_at, supplier_at};
use super::places::REGIONS;
use super::truth::ProblemKind;

#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Payments fail through the channel, everywhere or in one region.
    Outage { channel: u8, region: Option<u8>, share: f64 },
    /// Payments fail through the channel for a moment; whoever tries again gets through, and nobody complains.
    Hiccup { channel: u8, share: f64 },
    /// Payments neither succeed nor fail; nothing is heard of them.
    Silence { channel: u8 },
    /// Paid orders wait until the end, and some are lost.
    Stall { supplier: u8, share: f64, lost: f64 },
    /// Orders go on being delivered, but so many times later than customers put up with.
    Delay { supplier: u8, times: f64 },
    /// Of the keys that the supplier sold of the product until a moment so large a share cannot be redeemed; at the end the
    /// batch is recalled, and what nobody has tried by then is exchanged.
    BadBatch { supplier: u8, product: u8, share: f64, sold_until: Time },
    /// One account's top-ups fail again and again within so many minutes.
    Refusal { account: u32, tries: u32, minutes: f64 },
    /// One paid order is never delivered.
    Loss { account: u32 },
    /// The payment of one order is told of twice, and a key goes out each time.
    TwoKeys { account: u32 },
    /// One order is paid so many seconds after it had expired, and nothing comes of it.
    LatePayment { account: u32, late: f64 },
    /// Somebody else logs in, from a new country on a new device.
    Intrusion { account: u32, city: u8, fast: bool, hosting: bool },
    /// Somebody else logs in on a new device, shuts the owner out, and buys.
    Takeover { account: u32, city: u8, hosting: bool },
    /// Somebody tries stolen passwords on so many accounts, from one address or from many.
    Stuffing { city: u8, address: u32, spread: bool, tries: u32 },
}

impl Trouble {
    pub const fn kind(&self) -> ProblemKind {
        match self {
            Self::Outage { region: None, .. } => ProblemKind::ChannelOutage,
            Self::Outage { region: Some(_), .. } => ProblemKind::ChannelRegionOutage,
            Self::Hiccup { .. } => ProblemKind::Hiccup,
            Self::Silence { .. } => ProblemKind::SilentChannel,
            Self::Stall { .. } => ProblemKind::SupplierStall,
            Self::Delay { .. } => ProblemKind::SupplierDelay,
            Self::BadBatch { .. } => ProblemKind::BadCardBatch,
            Self::Refusal { .. } => ProblemKind::RepeatedTopupFailures,
            Self::Loss { .. } => ProblemKind::PaidNotDelivered,
            Self::TwoKeys { .. } => ProblemKind::DoubleDelivery,
            Self::LatePayment { .. } => ProblemKind::LatePayment,
            Self::Intrusion { .. } => ProblemKind::ForeignLogin,
            Self::Takeover { .. } => ProblemKind::AccountTakeover,
            Self::Stuffing { spread: false, .. } => ProblemKind::CredentialStuffing,
            Self::Stuffing { spread: true, .. } => ProblemKind::PasswordSpray,
        }
    }

    pub const fn strength(&self) -> f64 {
        match self {
            Self::Outage { share, .. }
            | Self::Hiccup { share, .. }
            | Self::Stall { share, .. }
            | Self::BadBatch { share, .. } => *share,
            Self::Delay { times, .. } => *times,
            Self::Silence { .. }
            | Self::Refusal { .. }
            | Self::Loss { .. }
            | Self::TwoKeys { .. }
            | Self::LatePayment { .. }
            | Self::Intrusion { .. }
            | Self::Takeover { .. }
            | Self::Stuffing { .. } => 1.0,
        }
    }

    /// The fields of the ticket that names the cause; an order's are known only once it exists, and what is tried from
    /// everywhere on everybody is about nobody in particular.
    pub fn subject(&self) -> BTreeMap<String, String> {
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match *self {
            Self::Outage { channel, region: None, .. }
            | Self::Hiccup { channel, .. }
            | Self::Silence { channel } => BTreeMap::from([text("channel", channel_at(channel).name)]),
            Self::Outage { channel, region: Some(region), .. } => BTreeMap::from([
                text("channel", channel_at(channel).name),
                text("region", REGIONS.get(usize::from(region)).map_or("", |region| region.name)),
            ]),
            Self::Stall { supplier, .. } | Self::Delay { supplier, .. } => {
                BTreeMap::from([text("supplier", supplier_at(supplier).name)])
            }
            Self::BadBatch { supplier, product, .. } => BTreeMap::from([
                text("supplier", supplier_at(supplier).name),
                text("product", product_at(product).name),
            ]),
            Self::Refusal { account, .. }
            | Self::Intrusion { account, .. }
            | Self::Takeover { account, .. } => {
                BTreeMap::from([("account_id".to_owned(), super::record::account_name(account))])
            }
            Self::Stuffing { spread: false, address, .. } => {
                BTreeMap::from([("ip".to_owned(), super::record::address_name(address))])
            }
            Self::Stuffing { spread: true, .. }
            | Self::Loss { .. }
            | Self::TwoKeys { .. }
            | Self::LatePayment { .. } => BTreeMap::new(),
        }
    }

    /// Whether it is about one order, whose name is known only once the order exists.
    pub const fn is_of_an_order(&self) -> bool {
        matches!(self, Self::Loss { .. } | Self::TwoKeys { .. } | Self::LatePayment { .. })
    }

    const fn account(&self) -> Option<u32> {
        match *self {
            Self::Refusal { account, .. }
            | Self::Loss { account }
            | Self::TwoKeys { account }
            | Self::LatePayment { account, .. }
            | Self::Intrusion { account, .. }
            | Self::Takeover { account, .. } => Some(account),
            Self::Outage { .. }
            | Self::Hiccup { .. }
            | Self::Silence { .. }
            | Self::Stall { .. }
            | Self::Delay { .. }
            | Self::BadBatch { .. }
            | Self::Stuffing { .. } => None,
        }
    }
}

/// How the strength of a problem changes while it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Course {
    #[default]
    Steady,
    /// It creeps up during its first half.
    Rising,
    /// It wears off during its second half.
    Fading,
    /// Four minutes on, two minutes nearly off, as when one of several servers is out of order and in again.
    Flapping,
    /// Somebody believes that it is repaired, and then it is not.
    Relapsing,
}

impl Course {
    /// The strength against the full one, `part` of the way through a problem that has lasted so many minutes.
    pub fn factor(self, part: f64, minutes: f64) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Rising => (0.3 + 1.4 * part).min(1.0),
            Self::Fading => (1.7 - 1.4 * part).min(1.0),
            Self::Flapping if minutes % 6.0 < 4.0 => 1.0,
            Self::Flapping => 0.15,
            Self::Relapsing if (0.4..0.55).contains(&part) => 0.1,
            Self::Relapsing => 1.0,
        }
    }

    /// The mean of the above.
    pub const fn mean(self) -> f64 {
        match self {
            Self::Steady => 1.0,
            Self::Rising | Self::Fading => 0.82,
            Self::Flapping => 0.72,
            Self::Relapsing => 0.86,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Planted {
    pub trouble: Trouble,
    pub from: Time,
    pub to: Time,
    pub course: Course,
}

impl Planted {
    pub const fn steady(trouble: Trouble, from: Time, to: Time) -> Self {
        Self { trouble, from, to, course: Course::Steady }
    }

    fn lasts_at(&self, time: Time) -> bool {
        self.from <= time && time < self.to
    }

    fn factor_at(&self, time: Time) -> f64 {
        let (past, whole) = (time.since(self.from).as_secs_f64(), self.to.since(self.from).as_secs_f64());
        self.course.factor(past / whole.max(1.0), past / 60.0)
    }
}

/// A password that somebody else tries on an account.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub problem: usize,
    pub at: Time,
    pub address: u32,
    pub city: u8,
    pub device: u16,
    /// The password is the right one.
    pub enters: bool,
}

/// Everything that is planted in a world.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub planted: Vec<Planted>,
    by_account: BTreeMap<u32, Vec<usize>>,
    attempts: BTreeMap<u32, Vec<Attempt>>,
}

impl Plan {
    pub fn new(planted: Vec<Planted>) -> Self {
        let mut by_account: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, planted) in planted.iter().enumerate() {
            if let Some(account) = planted.trouble.account() {
                by_account.entry(account).or_default().push(index);
            }
        }
        Self { planted, by_account, attempts: BTreeMap::new() }
    }

    /// Adds the passwords that are tried, by account.
    pub fn with_attempts(self, attempts: BTreeMap<u32, Vec<Attempt>>) -> Self {
        Self { attempts, ..self }
    }

    /// The problem under which a payment fails here and now, and how often it does.
    pub fn failing(&self, channel: u8, region: u8, time: Time) -> Option<(usize, f64)> {
        self.planted.iter().enumerate().find_map(|(index, planted)| match planted.trouble {
            Trouble::Outage { channel: of, region: within, share }
                if of == channel
                    && within.is_none_or(|within| within == region)
                    && planted.lasts_at(time) =>
            {
                Some((index, share * planted.factor_at(time)))
            }
            Trouble::Hiccup { channel: of, share } if of == channel && planted.lasts_at(time) => {
                Some((index, share))
            }
            _ => None,
        })
    }

    pub fn silent(&self, channel: u8, time: Time) -> Option<usize> {
        self.planted.iter().position(|planted| {
            matches!(planted.trouble, Trouble::Silence { channel: of } if of == channel)
                && planted.lasts_at(time)
        })
    }

    /// The stall that holds deliveries of this supplier, with its share, the share of lost orders, and its end.
    pub fn stalled(&self, supplier: u8, time: Time) -> Option<(usize, f64, f64, Planted)> {
        self.planted.iter().enumerate().find_map(|(index, planted)| match planted.trouble {
            Trouble::Stall { supplier: of, share, lost } if of == supplier && planted.lasts_at(time) => {
                Some((index, share * planted.factor_at(time), lost, *planted))
            }
            _ => None,
        })
    }

    /// The delay of this supplier, with how many times longer than customers put up with a delivery takes.
    pub fn delayed(&self, supplier: u8, time: Time) -> Option<(usize, f64)> {
        self.planted.iter().enumerate().find_map(|(index, planted)| match planted.trouble {
            Trouble::Delay { supplier: of, times } if of == supplier && planted.lasts_at(time) => {
                Some((index, times * planted.factor_at(time)))
            }
            _ => None,
        })
    }

    /// The bad batch that a key sold now comes from, with the share of its keys that are dead, and its recall.
    pub fn bad_batch(&self, supplier: u8, product: u8, sold: Time) -> Option<(usize, f64, Time)> {
        self.planted.iter().enumerate().find_map(|(index, planted)| match planted.trouble {
            Trouble::BadBatch { supplier: from, product: of, share, sold_until }
                if from == supplier && of == product && planted.from <= sold && sold < sold_until =>
            {
                Some((index, share, planted.to))
            }
            _ => None,
        })
    }

    /// Whether payments fail here and now for no longer than a moment.
    pub fn is_hiccup(&self, problem: usize) -> bool {
        self.planted.get(problem).is_some_and(|planted| matches!(planted.trouble, Trouble::Hiccup { .. }))
    }

    /// What was planted for this account to begin within these bounds.
    pub fn of_account(&self, account: u32, from: Time, to: Time) -> impl Iterator<Item = (usize, Planted)> {
        self.by_account
            .get(&account)
            .into_iter()
            .flatten()
            .filter_map(|index| Some((*index, *self.planted.get(*index)?)))
            .filter(move |(_, planted)| from <= planted.from && planted.from < to)
    }

    /// The passwords that others try on this account within these bounds.
    pub fn attempts_on(&self, account: u32, from: Time, to: Time) -> impl Iterator<Item = Attempt> {
        let attempts = self.attempts.get(&account).into_iter().flatten().copied();
        attempts.filter(move |attempt| from <= attempt.at && attempt.at < to)
    }

    /// One account has no more than one trouble of its own.
    pub fn is_spoken_for(&self, account: u32) -> bool {
        self.by_account.contains_key(&account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_course_has_the_mean_that_it_says_and_never_exceeds_the_full_one() {
        for course in [Course::Steady, Course::Rising, Course::Fading, Course::Flapping, Course::Relapsing] {
            let factors: Vec<f64> = (0..6_000)
                .map(|step| course.factor(f64::from(step) / 6_000.0, f64::from(step) / 100.0))
                .collect();
            assert!(factors.iter().all(|factor| (0.0..=1.0).contains(factor)), "{course:?}");
            let mean = factors.iter().sum::<f64>() / 6_000.0;
            assert!((mean - course.mean()).abs() < 0.06, "{course:?}: {mean}");
        }
    }
}
