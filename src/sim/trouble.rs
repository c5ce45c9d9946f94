//! Which problems a world has: drawn from the seed, strong ones and weak ones, but each strong and long enough that the
//! events give it away to somebody who looks closely.

use std::collections::BTreeMap;

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::dice::{Dice, Purpose, span_of_minutes};
use super::market::{CHANNELS, SUPPLIERS, busyness, channel_at, hour_of_day, supplier_at};
use super::places::{INTRUDER_CITIES, REGIONS};
use super::truth::ProblemKind;

#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Payments fail through the channel, everywhere or in one region.
    Outage { channel: u8, region: Option<u8>, share: f64 },
    /// Payments neither succeed nor fail; nothing is heard of them.
    Silence { channel: u8 },
    /// Paid orders wait until the end, and some are lost.
    Stall { supplier: u8, share: f64, lost: f64 },
    /// One account's top-ups fail again and again within so many minutes.
    Refusal { account: u32, tries: u32, minutes: f64 },
    /// One paid order is never delivered.
    Loss { account: u32 },
    /// Somebody else logs in, from a new country on a new device.
    Intrusion { account: u32, city: u8, fast: bool, hosting: bool },
}

impl Trouble {
    pub const fn kind(&self) -> ProblemKind {
        match self {
            Self::Outage { region: None, .. } => ProblemKind::ChannelOutage,
            Self::Outage { region: Some(_), .. } => ProblemKind::ChannelRegionOutage,
            Self::Silence { .. } => ProblemKind::SilentChannel,
            Self::Stall { .. } => ProblemKind::SupplierStall,
            Self::Refusal { .. } => ProblemKind::RepeatedTopupFailures,
            Self::Loss { .. } => ProblemKind::PaidNotDelivered,
            Self::Intrusion { .. } => ProblemKind::ForeignLogin,
        }
    }

    pub const fn strength(&self) -> f64 {
        match self {
            Self::Outage { share, .. } | Self::Stall { share, .. } => *share,
            Self::Silence { .. } | Self::Refusal { .. } | Self::Loss { .. } | Self::Intrusion { .. } => 1.0,
        }
    }

    /// The fields of the ticket that names the cause; an order's are known only once it exists.
    pub fn subject(&self) -> BTreeMap<String, String> {
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match *self {
            Self::Outage { channel, region: None, .. } | Self::Silence { channel } => {
                BTreeMap::from([text("channel", channel_at(channel).name)])
            }
            Self::Outage { channel, region: Some(region), .. } => BTreeMap::from([
                text("channel", channel_at(channel).name),
                text("region", REGIONS.get(usize::from(region)).map_or("", |region| region.name)),
            ]),
            Self::Stall { supplier, .. } => BTreeMap::from([text("supplier", supplier_at(supplier).name)]),
            Self::Refusal { account, .. } | Self::Intrusion { account, .. } => {
                BTreeMap::from([("account_id".to_owned(), super::record::account_name(account))])
            }
            Self::Loss { .. } => BTreeMap::new(),
        }
    }

    const fn account(&self) -> Option<u32> {
        match *self {
            Self::Refusal { account, .. } | Self::Loss { account } | Self::Intrusion { account, .. } => {
                Some(account)
            }
            Self::Outage { .. } | Self::Silence { .. } | Self::Stall { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Planted {
    pub trouble: Trouble,
    pub from: Time,
    pub to: Time,
}

impl Planted {
    fn lasts_at(&self, time: Time) -> bool {
        self.from <= time && time < self.to
    }
}

/// Everything that is planted in a world.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub planted: Vec<Planted>,
    by_account: BTreeMap<u32, Vec<usize>>,
}

impl Plan {
    pub fn new(planted: Vec<Planted>) -> Self {
        let mut by_account: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, planted) in planted.iter().enumerate() {
            if let Some(account) = planted.trouble.account() {
                by_account.entry(account).or_default().push(index);
            }
        }
        Self { planted, by_account }
    }

    pub fn draw(settings: &Settings, accounts: &[Account]) -> Self {
        if settings.clean {
            return Self::default();
        }
        let orders_per_minute = orders_per_minute(accounts);
        let mut drawing = Drawing {
            settings,
            orders_per_minute,
            dice: Dice::new(settings.seed, Purpose::Plan, 0, 0),
            planted: Vec::new(),
        };
        drawing.shared();
        drawing.personal(accounts);
        drawing.planted.sort_by_key(|planted| planted.from);
        Self::new(drawing.planted)
    }

    /// The problem under which a payment fails here and now, and how often it does.
    pub fn failing(&self, channel: u8, region: u8, time: Time) -> Option<(usize, f64)> {
        self.planted.iter().enumerate().find_map(|(index, planted)| match planted.trouble {
            Trouble::Outage { channel: of, region: within, share }
                if of == channel
                    && within.is_none_or(|within| within == region)
                    && planted.lasts_at(time) =>
            {
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
                Some((index, share, lost, *planted))
            }
            _ => None,
        })
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
}

/// The orders of the whole platform in a mean minute.
pub fn orders_per_minute(accounts: &[Account]) -> f64 {
    accounts.iter().map(|account| account.orders).sum::<f64>() / 1_440.0
}

struct Drawing<'a> {
    settings: &'a Settings,
    orders_per_minute: f64,
    dice: Dice,
    planted: Vec<Planted>,
}

/// Two troubles of one channel or supplier are at least this far apart, so that each is a cause of its own.
const APART: Span = Span::from_mins(6 * 60);

impl Drawing<'_> {
    fn count(&mut self, per_week: f64) -> u32 {
        (per_week * self.settings.weeks()).round().max(1.0) as u32
    }

    /// What happens to many: outages, silences, stalls.
    fn shared(&mut self) {
        for (per_week, draw) in [
            (7.0, Self::channel_outage as fn(&mut Self, f64) -> (Trouble, f64)),
            (12.0, Self::channel_region_outage),
            (4.0, Self::silence),
            (7.0, Self::stall),
        ] {
            for _ in 0..self.count(per_week) {
                // A weak one is fair in few places; where there is none for it, a stronger one takes its turn.
                for _ in 0..8 {
                    let share = self.strength();
                    if let Some(planted) = (0..400).find_map(|_| self.somewhere(draw, share)) {
                        self.planted.push(planted);
                        break;
                    }
                }
            }
        }
    }

    fn somewhere(&mut self, draw: fn(&mut Self, f64) -> (Trouble, f64), share: f64) -> Option<Planted> {
        let (trouble, minutes) = draw(self, share);
        let from = self.settings.moment(self.dice.between(0.04, 0.96));
        let planted = Planted { trouble, from, to: from + span_of_minutes(minutes) };
        (self.is_fair(&planted) && self.is_apart(&planted)).then_some(planted)
    }

    fn strength(&mut self) -> f64 {
        match self.dice.below(4) {
            0 => self.dice.between(0.3, 0.42),
            1 => self.dice.between(0.45, 0.7),
            _ => self.dice.between(0.75, 0.98),
        }
    }

    fn channel_outage(&mut self, share: f64) -> (Trouble, f64) {
        let channel = self.dice.below(CHANNELS.len() as u32) as u8;
        (Trouble::Outage { channel, region: None, share }, self.dice.between(8.0, 80.0))
    }

    fn channel_region_outage(&mut self, share: f64) -> (Trouble, f64) {
        let channel = self.dice.weighted(CHANNELS.iter().map(|channel| channel.share.sqrt())) as u8;
        let region = self.dice.below(REGIONS.len() as u32) as u8;
        (Trouble::Outage { channel, region: Some(region), share }, self.dice.between(12.0, 110.0))
    }

    fn silence(&mut self, _share: f64) -> (Trouble, f64) {
        let channel = self.dice.below(CHANNELS.len() as u32) as u8;
        (Trouble::Silence { channel }, self.dice.between(20.0, 120.0))
    }

    fn stall(&mut self, _share: f64) -> (Trouble, f64) {
        // Where a delivery usually takes the better part of an hour, nobody tells a stall from a slow day.
        let weights = SUPPLIERS.iter().map(|supplier| if supplier.median > 600.0 { 0.0 } else { 1.0 });
        let supplier = self.dice.weighted(weights) as u8;
        let share = if self.dice.chance(0.7) { 1.0 } else { self.dice.between(0.6, 0.9) };
        let lost = if self.dice.chance(0.5) { self.dice.between(0.02, 0.15) } else { 0.0 };
        let least = 20.0 + supplier_at(supplier).gives_up / 60.0;
        (Trouble::Stall { supplier, share, lost }, least + self.dice.between(0.0, 110.0))
    }

    /// Whether enough happens while it lasts that it can be told from chance.
    fn is_fair(&self, planted: &Planted) -> bool {
        if planted.to + self.settings.aftermath() > self.settings.end() {
            return false;
        }
        let minutes = planted.to.since(planted.from).as_secs_f64() / 60.0;
        let busy = (busyness(planted.from, 0) + busyness(planted.to, 0)) / 2.0;
        let per_minute = self.orders_per_minute * busy;
        match planted.trouble {
            Trouble::Outage { channel, region, share } => {
                let of_region =
                    region.map_or(1.0, |region| REGIONS.get(usize::from(region)).map_or(0.0, |r| r.share));
                let attempts = per_minute * channel_at(channel).share * of_region;
                let needed = match share {
                    share if share < 0.45 => 80.0,
                    share if share < 0.75 => 30.0,
                    _ => 12.0,
                };
                attempts * 10.0 >= needed && attempts * minutes >= 1.6 * needed
            }
            Trouble::Silence { channel } => per_minute * channel_at(channel).share >= 1.2,
            Trouble::Stall { .. } => (8..24).contains(&hour_of_day(planted.from)) && busy > 0.8,
            Trouble::Refusal { .. } | Trouble::Loss { .. } | Trouble::Intrusion { .. } => true,
        }
    }

    fn is_apart(&self, planted: &Planted) -> bool {
        self.planted.iter().all(|other| {
            let same = match (planted.trouble, other.trouble) {
                (
                    Trouble::Outage { channel: a, .. } | Trouble::Silence { channel: a },
                    Trouble::Outage { channel: b, .. } | Trouble::Silence { channel: b },
                ) => a == b,
                (Trouble::Stall { supplier: a, .. }, Trouble::Stall { supplier: b, .. }) => a == b,
                _ => false,
            };
            !same || planted.from >= other.to + APART || other.from >= planted.to + APART
        })
    }

    /// What happens to one: refusals, lost orders, intruders. One account has one of them.
    fn personal(&mut self, accounts: &[Account]) {
        let mut taken = std::collections::BTreeSet::new();
        for (kind, per_week) in [
            (ProblemKind::RepeatedTopupFailures, 32.0),
            (ProblemKind::PaidNotDelivered, 32.0),
            (ProblemKind::ForeignLogin, 40.0),
        ] {
            let mut missing = self.count(per_week);
            for _ in 0..20_000 {
                if missing == 0 {
                    break;
                }
                let index = self.dice.below(accounts.len() as u32);
                let Some(account) = accounts.get(index as usize) else { break };
                if taken.contains(&account.id) {
                    continue;
                }
                if let Some(planted) = self.one(kind, account) {
                    taken.insert(account.id);
                    self.planted.push(planted);
                    missing -= 1;
                }
            }
        }
    }

    fn one(&mut self, kind: ProblemKind, account: &Account) -> Option<Planted> {
        let from = self.settings.moment(self.dice.between(0.02, 0.95));
        if from + Span::from_mins(300) > self.settings.end()
            || !self.dice.chance(busyness(from, account.shift) / 2.0)
        {
            return None;
        }
        let id = account.id;
        let (trouble, minutes) = match kind {
            ProblemKind::RepeatedTopupFailures => {
                let weak = self.dice.chance(0.3);
                let tries = if weak { 3 } else { 4 + self.dice.below(4) };
                // Weak: three failures that barely fit into ten minutes.
                let minutes = if weak { self.dice.between(7.5, 9.3) } else { self.dice.between(4.0, 16.0) };
                (Trouble::Refusal { account: id, tries, minutes }, minutes)
            }
            ProblemKind::PaidNotDelivered => (Trouble::Loss { account: id }, 240.0),
            _ => {
                let settled = account.trip.is_none() && account.vpn.is_none() && !account.family;
                // Nothing is foreign to an account that the events have not shown at home before.
                if !settled || account.logins < 1.6 || from < self.settings.moment(0.45) {
                    return None;
                }
                let city = self.dice.pick(&INTRUDER_CITIES)?;
                let (fast, hosting) = (self.dice.chance(0.4), self.dice.chance(0.3));
                (Trouble::Intrusion { account: id, city, fast, hosting }, 240.0)
            }
        };
        Some(Planted { trouble, from, to: from + span_of_minutes(minutes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> (Plan, Settings) {
        let settings = Settings { seed, ..Settings::default() };
        let accounts: Vec<Account> = (0..settings.accounts).map(|id| Account::new(&settings, id)).collect();
        (Plan::draw(&settings, &accounts), settings)
    }

    #[test]
    fn a_week_has_its_share_of_every_kind_and_all_of_it_ends_in_time() {
        let (plan, settings) = drawn(5);
        let mut counts: BTreeMap<ProblemKind, u32> = BTreeMap::new();
        for planted in &plan.planted {
            *counts.entry(planted.trouble.kind()).or_default() += 1;
            assert!(planted.from > settings.start && planted.to < settings.end());
        }
        let least = [5, 8, 3, 5, 32, 32, 40];
        for (kind, least) in ProblemKind::ALL.into_iter().zip(least) {
            assert!(counts.get(&kind).is_some_and(|count| *count >= least), "{kind:?}: {counts:?}");
        }
    }

    #[test]
    fn troubles_of_one_channel_are_apart() {
        let (plan, _) = drawn(6);
        let mut ends: BTreeMap<String, Time> = BTreeMap::new();
        for planted in &plan.planted {
            let Some(channel) = planted.trouble.subject().remove("channel") else { continue };
            if let Some(end) = ends.insert(channel, planted.to) {
                assert!(planted.from >= end + APART);
            }
        }
    }

    #[test]
    fn a_clean_world_has_nothing_planted() {
        let settings = Settings { clean: true, ..Settings::default() };
        assert!(Plan::draw(&settings, &[]).planted.is_empty());
    }
}
