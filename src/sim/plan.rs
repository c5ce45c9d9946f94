//! Which problems a world has: drawn from the seed, strong ones and weak ones, several at once and one after the other, but
//! each strong and long enough that the events give it away to somebody who looks closely.
//!
//! Where the numbers come from: nobody publishes how often what breaks. The counts are those of a bad month in the trackers
//! and self-descriptions of such shops, pressed into a week so that a world of bearable size has enough of each kind to tell
//! nine in ten from all. What each trouble leaves in the events follows the reports: keys of a bad batch fail when they are
//! used and not when they are sold, a payment message that comes twice sends two keys, a payment may come after the order
//! has expired ("everyday life" to one shop), stolen passwords are tried in rows of some hundred.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::dice::{Dice, Purpose, span_of_minutes};
use super::market::{
    CARDS, CHANNELS, FIRST_CARD, SUPPLIERS, busyness, channel_at, hour_of_day, product_at, supplier_at,
};
use super::places::{CITIES_AT_HOME, INTRUDER_CITIES, Network, REGIONS, distance_km, foreign_address};
use super::record::INTRUDER_DEVICE;
use super::trouble::{Attempt, Course, Plan, Planted, Trouble};
use super::truth::ProblemKind;

/// The orders of the whole platform in a mean minute.
pub fn orders_per_minute(accounts: &[Account]) -> f64 {
    accounts.iter().map(|account| account.orders).sum::<f64>() / 1_440.0
}

impl Plan {
    pub fn draw(settings: &Settings, accounts: &[Account]) -> Self {
        let mut drawing = Drawing {
            settings,
            orders_per_minute: orders_per_minute(accounts),
            logins_per_minute: accounts.iter().map(|account| account.logins).sum::<f64>() / 1_440.0,
            dice: Dice::new(settings.seed, Purpose::Plan, 0, 0),
            planted: Vec::new(),
        };
        if !settings.clean {
            drawing.shared();
            drawing.personal(accounts);
        }
        // Nobody would call them problems, so a clean world has them too; one that is not has them beside its problems.
        drawing.dice = Dice::new(settings.seed, Purpose::Plan, 2, 0);
        for _ in 0..drawing.count(10.0) {
            let hiccup = (0..400).find_map(|_| drawing.somewhere(Drawing::hiccup, 0.0));
            drawing.planted.extend(hiccup);
        }
        drawing.planted.sort_by_key(|planted| planted.from);
        let attempts = attempts(settings, accounts, &drawing.planted);
        Self::new(drawing.planted).with_attempts(attempts)
    }
}

struct Drawing<'a> {
    settings: &'a Settings,
    orders_per_minute: f64,
    logins_per_minute: f64,
    dice: Dice,
    planted: Vec<Planted>,
}

/// Two troubles of one channel or supplier are at least this far apart, so that each is a cause of its own.
const APART: Span = Span::from_mins(6 * 60);
/// The same trouble again is a cause of its own after less.
const AGAIN: Span = Span::from_mins(25);
/// The kinds that strike one account, and how many of each a week has.
const PERSONAL: [(ProblemKind, f64); 6] = [
    (ProblemKind::RepeatedTopupFailures, 32.0),
    (ProblemKind::PaidNotDelivered, 32.0),
    (ProblemKind::ForeignLogin, 40.0),
    (ProblemKind::AccountTakeover, 24.0),
    (ProblemKind::DoubleDelivery, 12.0),
    (ProblemKind::LatePayment, 20.0),
];

impl Drawing<'_> {
    fn count(&self, per_week: f64) -> u32 {
        (per_week * self.settings.weeks()).round().max(1.0) as u32
    }

    /// What happens to many: outages, silences, stalls, delays, bad batches, rows of stolen passwords.
    fn shared(&mut self) {
        for (per_week, draw) in [
            (7.0, Self::channel_outage as fn(&mut Self, f64) -> (Trouble, f64)),
            (12.0, Self::channel_region_outage),
            (4.0, Self::silence),
            (7.0, Self::stall),
            (5.0, Self::delay),
            (6.0, Self::bad_batch),
            (4.0, Self::stuffing),
            (4.0, Self::spray),
        ] {
            let mut missing = self.count(per_week);
            while missing > 0 {
                missing -= 1;
                // A weak one is fair in few places; where there is none for it, a stronger one takes its turn.
                for _ in 0..8 {
                    let share = self.strength();
                    let Some(planted) = (0..400).find_map(|_| self.somewhere(draw, share)) else { continue };
                    self.planted.push(planted);
                    if missing > 0 && self.dice.chance(0.2) {
                        let again = (0..10).find_map(|_| self.again(draw, &planted));
                        missing -= again.iter().count() as u32;
                        self.planted.extend(again);
                    }
                    break;
                }
            }
        }
    }

    fn somewhere(&mut self, draw: fn(&mut Self, f64) -> (Trouble, f64), share: f64) -> Option<Planted> {
        let (trouble, minutes) = draw(self, share);
        let from = match self.dice.below(self.planted.len() as u32) as usize {
            // Troubles seldom come alone: every third begins while another one has just begun.
            other if self.dice.chance(0.3) && other < self.planted.len() => {
                self.planted.get(other)?.from + self.dice.seconds(-600.0, 900.0)
            }
            _ => self.settings.moment(self.dice.between(0.04, 0.96)),
        };
        let course = self.course(&trouble);
        let planted = placed(trouble, from, minutes, course);
        (self.is_fair(&planted) && self.is_apart(&planted, None)).then_some(planted)
    }

    /// The same once more, soon after it was over, with another strength.
    fn again(&mut self, draw: fn(&mut Self, f64) -> (Trouble, f64), before: &Planted) -> Option<Planted> {
        let share = self.strength();
        let (trouble, minutes) = draw(self, share);
        let trouble = match (trouble, before.trouble) {
            (Trouble::Outage { share, .. }, Trouble::Outage { channel, region, .. }) => {
                Trouble::Outage { channel, region, share }
            }
            (Trouble::Stall { share, lost, .. }, Trouble::Stall { supplier, .. }) => {
                Trouble::Stall { supplier, share, lost }
            }
            (Trouble::Delay { times, .. }, Trouble::Delay { supplier, .. }) => {
                Trouble::Delay { supplier, times }
            }
            (_, silence @ Trouble::Silence { .. }) => silence,
            _ => return None,
        };
        let pause = self.dice.between(1.0, 4.0);
        let course = self.course(&trouble);
        let from = before.to + Span::from_millis((AGAIN.as_millis() as f64 * pause) as i64);
        let planted = placed(trouble, from, minutes, course);
        (self.is_fair(&planted) && self.is_apart(&planted, Some(before))).then_some(planted)
    }

    /// Four in ten change while they last.
    fn course(&mut self, trouble: &Trouble) -> Course {
        let changing = matches!(
            trouble,
            Trouble::Outage { .. } | Trouble::Stall { .. } | Trouble::Delay { .. } | Trouble::Stuffing { .. }
        );
        if !changing || self.dice.chance(0.6) {
            return Course::Steady;
        }
        let courses = match trouble {
            // Goods that are held back do not come and go with the minute.
            Trouble::Stall { .. } | Trouble::Delay { .. } => [Course::Rising, Course::Fading].as_slice(),
            _ => &[Course::Rising, Course::Fading, Course::Flapping, Course::Relapsing],
        };
        self.dice.pick(courses).unwrap_or_default()
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

    /// A minute or two, as when the other side starts a server anew.
    fn hiccup(&mut self, _share: f64) -> (Trouble, f64) {
        let channel = self.dice.weighted(CHANNELS.iter().map(|channel| channel.share)) as u8;
        let share = self.dice.between(0.5, 0.95);
        (Trouble::Hiccup { channel, share }, self.dice.between(0.7, 2.5))
    }

    fn silence(&mut self, _share: f64) -> (Trouble, f64) {
        let channel = self.dice.below(CHANNELS.len() as u32) as u8;
        (Trouble::Silence { channel }, self.dice.between(20.0, 120.0))
    }

    /// Where a delivery usually takes the better part of an hour, nobody tells a stall from a slow day.
    fn prompt_supplier(&mut self) -> u8 {
        let weights = SUPPLIERS.iter().map(|supplier| if supplier.median > 600.0 { 0.0 } else { 1.0 });
        self.dice.weighted(weights) as u8
    }

    fn stall(&mut self, _share: f64) -> (Trouble, f64) {
        let supplier = self.prompt_supplier();
        let share = if self.dice.chance(0.7) { 1.0 } else { self.dice.between(0.6, 0.9) };
        let lost = if self.dice.chance(0.5) { self.dice.between(0.02, 0.15) } else { 0.0 };
        let least = 20.0 + supplier_at(supplier).gives_up / 60.0;
        (Trouble::Stall { supplier, share, lost }, least + self.dice.between(0.0, 110.0))
    }

    /// Deliveries take somewhat to many times as long as customers have patience for.
    fn delay(&mut self, _share: f64) -> (Trouble, f64) {
        let supplier = self.prompt_supplier();
        let times = self.dice.between(1.2, 3.0);
        let least = 30.0 + supplier_at(supplier).patience / 60.0;
        (Trouble::Delay { supplier, times }, least + self.dice.between(0.0, 120.0))
    }

    /// A file of keys that the supplier has activated wrongly, or not at all: it is sold for some hours, and recalled some
    /// hours after that, when the supplier has understood.
    fn bad_batch(&mut self, _share: f64) -> (Trouble, f64) {
        let product = FIRST_CARD + self.dice.below(u32::from(CARDS)) as u8;
        let supplier = self.dice.pick(&product_at(product).suppliers).unwrap_or(0);
        let share = if self.dice.chance(0.6) { 1.0 } else { self.dice.between(0.6, 0.95) };
        // Until when it is sold is put right as soon as its beginning is known.
        let minutes = self.dice.between(180.0, 420.0);
        (Trouble::BadBatch { supplier, product, share, sold_until: Time::MIN }, minutes)
    }

    fn thiefs_city(&mut self) -> u8 {
        if self.dice.chance(1.0 / 3.0) {
            return self.dice.below(u32::from(CITIES_AT_HOME)) as u8;
        }
        self.dice.pick(&INTRUDER_CITIES).unwrap_or(0)
    }

    fn stuffing(&mut self, _share: f64) -> (Trouble, f64) {
        let city = self.thiefs_city();
        let address = foreign_address(city, Network::Hosting, self.dice.below(64));
        let tries = 50 + self.dice.below(350);
        let per_minute = self.dice.between(2.0, 15.0);
        (Trouble::Stuffing { city, address, spread: false, tries }, f64::from(tries) / per_minute)
    }

    /// From so many addresses that each tries but a few; fast enough for the thief's patience.
    fn spray(&mut self, _share: f64) -> (Trouble, f64) {
        let city = self.thiefs_city();
        let minutes = self.dice.between(25.0, 80.0);
        let per_minute = self.logins_per_minute * self.dice.between(0.4, 1.5);
        let tries = (minutes * per_minute) as u32;
        (Trouble::Stuffing { city, address: 0, spread: true, tries }, minutes)
    }

    /// Whether enough happens while it lasts that it can be told from chance.
    fn is_fair(&self, planted: &Planted) -> bool {
        if planted.from < self.settings.moment(0.02)
            || planted.to + self.settings.aftermath() > self.settings.end()
        {
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
                let share = share * planted.course.mean();
                let needed = match share {
                    share if share < 0.3 => return false,
                    share if share < 0.45 => 80.0,
                    share if share < 0.75 => 30.0,
                    _ => 12.0,
                };
                attempts * 10.0 >= needed && attempts * minutes >= 1.6 * needed
            }
            Trouble::Silence { channel } => per_minute * channel_at(channel).share >= 1.2,
            Trouble::Stall { .. } => (8..24).contains(&hour_of_day(planted.from)) && busy > 0.8,
            // Nobody can say that a supplier is slow before somebody has waited.
            Trouble::Delay { .. } => {
                (8..24).contains(&hour_of_day(planted.from)) && (8..24).contains(&hour_of_day(planted.to))
            }
            Trouble::BadBatch { supplier, product, share, sold_until } => {
                let [first, _] = product_at(product).suppliers;
                let of_supplier = if supplier == first { 0.66 } else { 0.34 };
                let sold = per_minute * 0.8 * product_at(product).share * of_supplier;
                let bad = sold * share * sold_until.since(planted.from).as_secs_f64() / 60.0;
                // Four in ten are used where the platform sees it, most of them before the recall.
                bad * 0.4 * 0.6 >= 20.0 && hour_of_day(planted.from) >= 7
            }
            Trouble::Stuffing { spread: false, .. } => true,
            Trouble::Stuffing { tries, .. } => {
                tries >= 150 && f64::from(tries) / minutes >= 0.35 * self.logins_per_minute * busy
            }
            Trouble::Hiccup { .. }
            | Trouble::Refusal { .. }
            | Trouble::Loss { .. }
            | Trouble::TwoKeys { .. }
            | Trouble::LatePayment { .. }
            | Trouble::Intrusion { .. }
            | Trouble::Takeover { .. } => true,
        }
    }

    /// Far enough from every other one, and from the one that it repeats.
    fn is_apart(&self, planted: &Planted, repeats: Option<&Planted>) -> bool {
        self.planted.iter().all(|other| {
            let same = match (planted.trouble, other.trouble) {
                (
                    Trouble::Outage { channel: a, .. }
                    | Trouble::Silence { channel: a }
                    | Trouble::Hiccup { channel: a, .. },
                    Trouble::Outage { channel: b, .. }
                    | Trouble::Silence { channel: b }
                    | Trouble::Hiccup { channel: b, .. },
                ) => a == b,
                (
                    Trouble::Stall { supplier: a, .. }
                    | Trouble::Delay { supplier: a, .. }
                    | Trouble::BadBatch { supplier: a, .. },
                    Trouble::Stall { supplier: b, .. }
                    | Trouble::Delay { supplier: b, .. }
                    | Trouble::BadBatch { supplier: b, .. },
                ) => a == b,
                (Trouble::Stuffing { spread: a, .. }, Trouble::Stuffing { spread: b, .. }) => a == b,
                _ => false,
            };
            let is_repeated = repeats.is_some_and(|repeats| repeats.from == other.from);
            let apart = if is_repeated { AGAIN } else { APART };
            !same || planted.from >= other.to + apart || other.from >= planted.to + apart
        })
    }

    /// What happens to one: refusals, lost orders, intruders. One account has one of them.
    fn personal(&mut self, accounts: &[Account]) {
        let mut taken = BTreeSet::new();
        for (kind, per_week) in PERSONAL {
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
                if let Some(planted) = self.one(kind, account, missing) {
                    taken.insert(account.id);
                    self.planted.push(planted);
                    missing -= 1;
                }
            }
        }
    }

    fn one(&mut self, kind: ProblemKind, account: &Account, missing: u32) -> Option<Planted> {
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
            ProblemKind::DoubleDelivery => (Trouble::TwoKeys { account: id }, 240.0),
            ProblemKind::LatePayment => {
                // Somebody had to find the card first, or a bank was slow.
                let late = self.dice.lognormal(240.0, 1.2).min(7_200.0) + 2.0;
                (Trouble::LatePayment { account: id, late }, 240.0)
            }
            _ => {
                let settled = account.trip.is_none() && account.vpn.is_none() && !account.family;
                // Nothing is foreign to an account that the events have not shown at home before.
                if !settled || account.logins < 1.6 || from < self.settings.moment(0.45) {
                    return None;
                }
                let (fast, hosting) = (self.dice.chance(0.4), self.dice.chance(0.3));
                if kind == ProblemKind::ForeignLogin {
                    let city = self.dice.pick(&INTRUDER_CITIES)?;
                    (Trouble::Intrusion { account: id, city, fast, hosting }, 240.0)
                } else {
                    // Every third thief sits in the same country, though hardly around the corner.
                    let city = if missing.is_multiple_of(3) {
                        let city = self.dice.below(u32::from(CITIES_AT_HOME)) as u8;
                        (distance_km(city, account.home) > 150.0).then_some(city)?
                    } else {
                        self.dice.pick(&INTRUDER_CITIES)?
                    };
                    (Trouble::Takeover { account: id, city, hosting }, 240.0)
                }
            }
        };
        Some(placed(trouble, from, minutes, Course::Steady))
    }
}

fn placed(trouble: Trouble, from: Time, minutes: f64, course: Course) -> Planted {
    let trouble = match trouble {
        Trouble::BadBatch { supplier, product, share, .. } => {
            let sold_until = from + span_of_minutes(minutes * 0.55);
            Trouble::BadBatch { supplier, product, share, sold_until }
        }
        other => other,
    };
    Planted { trouble, from, to: from + span_of_minutes(minutes), course }
}

/// How often a stolen password is the right one.
const RIGHT: f64 = 0.015;
/// How many accounts one address of many tries, in the mean.
const TRIES_OF_ONE_ADDRESS: u32 = 3;

/// The passwords that are tried, each on another account.
fn attempts(settings: &Settings, accounts: &[Account], planted: &[Planted]) -> BTreeMap<u32, Vec<Attempt>> {
    let mut all: BTreeMap<u32, Vec<Attempt>> = BTreeMap::new();
    for (problem, planted) in planted.iter().enumerate() {
        let Trouble::Stuffing { city, address, spread, tries } = planted.trouble else { continue };
        let mut dice = Dice::new(settings.seed, Purpose::Plan, 3, problem as u64);
        let lasts = planted.to.since(planted.from).as_secs_f64();
        let minutes = lasts / 60.0;
        let mut made = 0;
        while made < tries {
            let Some(account) = accounts.get(dice.below(accounts.len() as u32) as usize) else { break };
            let part = dice.unit();
            if !dice.chance(planted.course.factor(part, part * minutes)) {
                continue;
            }
            made += 1;
            let (city, address) = if spread {
                // Homes whose router obeys somebody else, here and all over the world.
                let lot = dice.below((tries / TRIES_OF_ONE_ADDRESS).max(1));
                let cities: Vec<u8> = if city < CITIES_AT_HOME {
                    (0..CITIES_AT_HOME).collect()
                } else {
                    INTRUDER_CITIES.to_vec()
                };
                let city = cities.get(lot as usize % cities.len().max(1)).copied().unwrap_or(city);
                (city, foreign_address(city, Network::Broadband, lot))
            } else {
                (city, address)
            };
            let at = planted.from + super::dice::span_of_seconds(part * lasts);
            let device = INTRUDER_DEVICE + 1 + dice.below(40) as u16;
            let enters = dice.chance(RIGHT);
            all.entry(account.id).or_default().push(Attempt { problem, at, address, city, device, enters });
        }
    }
    all
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
        let least = [5, 8, 3, 5, 3, 4, 32, 32, 10, 18, 40, 20, 3, 3, 8];
        for (kind, least) in ProblemKind::ALL.into_iter().zip(least) {
            assert!(counts.get(&kind).is_some_and(|count| *count >= least), "{kind:?}: {counts:?}");
        }
        let at_home = plan.planted.iter().filter(
            |planted| matches!(planted.trouble, Trouble::Takeover { city, .. } if city < CITIES_AT_HOME),
        );
        assert_eq!(at_home.count(), 8, "a third of the takeovers are from the same country");
        assert!(plan.planted.iter().any(|planted| planted.course != Course::Steady));
    }

    #[test]
    fn troubles_of_one_channel_are_apart() {
        let (plan, _) = drawn(6);
        let mut ends: BTreeMap<String, Time> = BTreeMap::new();
        for planted in &plan.planted {
            let Some(channel) = planted.trouble.subject().remove("channel") else { continue };
            if let Some(end) = ends.insert(channel, planted.to) {
                assert!(planted.from >= end + AGAIN);
            }
        }
    }

    #[test]
    fn a_clean_world_has_hiccups_and_nothing_else() {
        let settings = Settings { clean: true, ..Settings::default() };
        let accounts: Vec<Account> = (0..2_000).map(|id| Account::new(&settings, id)).collect();
        let plan = Plan::draw(&settings, &accounts);
        assert!(!plan.planted.is_empty());
        assert!(plan.planted.iter().all(|planted| planted.trouble.kind() == ProblemKind::Hiccup));
    }

    #[test]
    fn a_row_of_stolen_passwords_comes_from_one_address_or_from_many_that_try_a_few() {
        let (plan, settings) = drawn(7);
        let mut tried: BTreeMap<(usize, u32), u32> = BTreeMap::new();
        for account in 0..settings.accounts {
            for attempt in plan.attempts_on(account, settings.start, settings.end()) {
                *tried.entry((attempt.problem, attempt.address)).or_default() += 1;
            }
        }
        let mut seen = [0, 0];
        for (index, planted) in plan.planted.iter().enumerate() {
            let Trouble::Stuffing { spread, tries, .. } = planted.trouble else { continue };
            let of_this: Vec<u32> =
                tried.iter().filter(|((problem, _), _)| *problem == index).map(|(_, count)| *count).collect();
            assert_eq!(of_this.iter().sum::<u32>(), tries);
            seen[usize::from(spread)] += 1;
            let most = of_this.iter().max().copied().unwrap_or(0);
            assert!(if spread { most <= 14 } else { of_this.len() == 1 }, "{planted:?}: {most}");
        }
        assert!(seen[0] >= 3 && seen[1] >= 3, "{seen:?}");
    }
}
