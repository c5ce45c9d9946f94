//! What looks like trouble and is none: promotions, customers who get their password wrong again and again, small random
//! clusters of failures, offices whose hundred people share one address, owners who change their password and buy, payments
//! that come too late and go back by themselves, and (from the profiles) travellers, VPNs, new phones and poor geolocation.

use std::collections::BTreeMap;

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::dice::{Dice, Purpose, span_of_minutes};
use super::market::{CHANNELS, DAY, PRODUCTS, busyness, channel_at, product_at};
use super::places::{REGIONS, office_address};
use super::record::{account_name, address_name};
use super::truth::LookAlike;

/// A sale: five times the volume, on two products.
#[derive(Clone, Copy, Debug)]
pub struct Promotion {
    pub from: Time,
    pub to: Time,
    pub products: [u8; 2],
    /// The volume against that of a usual day.
    pub times: f64,
}

/// A few payments that fail one after the other in one place, by chance.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    pub channel: u8,
    pub region: u8,
    pub from: Time,
    pub to: Time,
}

/// A customer who fails by their own fault, several times in ten minutes.
#[derive(Clone, Copy, Debug)]
pub struct OwnFaults {
    pub from: Time,
    pub tries: u32,
    /// A wrong password rather than an empty balance.
    pub password: bool,
}

/// A login from the office, after so many wrong passwords.
#[derive(Clone, Copy, Debug)]
pub struct OfficeLogin {
    pub at: Time,
    pub address: u32,
    pub mistakes: u32,
}

#[derive(Clone, Debug, Default)]
pub struct LookAlikes {
    pub promotions: Vec<Promotion>,
    pub clusters: Vec<Cluster>,
    pub own_faults: BTreeMap<u32, Vec<OwnFaults>>,
    /// Logins that happen at a certain moment, beside those of habit.
    pub logins: BTreeMap<u32, Vec<Time>>,
    /// Owners who log in, change what a thief would change, and perhaps buy something.
    pub own_changes: BTreeMap<u32, Vec<Time>>,
    /// Orders that are paid after they have expired, and paid back at once.
    pub late_payments: BTreeMap<u32, Vec<Time>>,
    pub offices: BTreeMap<u32, Vec<OfficeLogin>>,
    /// The platform itself refuses logins.
    pub login_outages: Vec<(Time, Time)>,
}

/// The share of payments that fail in a cluster.
pub const CLUSTER_SHARE: f64 = 0.6;

impl LookAlikes {
    pub fn draw(settings: &Settings, accounts: &[Account], orders_per_minute: f64) -> Self {
        let mut dice = Dice::new(settings.seed, Purpose::Plan, 1, 0);
        let weeks = settings.weeks();
        let mut drawn = Self::default();
        for _ in 0..(3.0 * weeks).round() as u32 {
            let from = evening(settings, &mut dice);
            let first = dice.below(PRODUCTS.len() as u32) as u8;
            let second = dice.below(PRODUCTS.len() as u32) as u8;
            let to = from + span_of_minutes(dice.between(45.0, 120.0));
            drawn.promotions.push(Promotion { from, to, products: [first, second], times: 5.0 });
        }
        let wanted = (60.0 * weeks).round() as usize;
        for _ in 0..wanted * 50 {
            if drawn.clusters.len() >= wanted {
                break;
            }
            drawn.clusters.extend(cluster(settings, orders_per_minute, &mut dice));
        }
        for _ in 0..(180.0 * weeks).round() as u32 {
            let from = settings.moment(dice.unit());
            let Some(account) = accounts.get(dice.below(accounts.len() as u32) as usize) else { break };
            let tries = 3 + dice.below(5);
            let password = dice.chance(0.5);
            drawn.own_faults.entry(account.id).or_default().push(OwnFaults { from, tries, password });
        }
        // What was added later has luck of its own.
        let mut dice = Dice::new(settings.seed, Purpose::Plan, 4, 0);
        drawn.own_changes(settings, accounts, &mut dice);
        for _ in 0..(20.0 * weeks).round() as u32 {
            let from = settings.moment(dice.between(0.0, 0.98));
            let account = dice.below(accounts.len() as u32);
            drawn.late_payments.entry(account).or_default().push(from);
        }
        drawn.offices(settings, accounts, &mut dice);
        for _ in 0..weeks.round().max(1.0) as u32 {
            let from = settings.moment(dice.unit());
            drawn.login_outages.push((from, from + span_of_minutes(dice.between(3.0, 8.0))));
        }
        drawn
    }

    /// Three in ten who buy a phone change their password, number or second factor with it; beside them some change them for
    /// no reason that the events know, at home or on a journey.
    fn own_changes(&mut self, settings: &Settings, accounts: &[Account], dice: &mut Dice) {
        for account in accounts {
            if let Some(bought) = account.new_phone
                && dice.chance(0.3)
            {
                let at = bought + dice.seconds(60.0, 7_200.0);
                self.own_changes.entry(account.id).or_default().push(at);
            }
        }
        for _ in 0..(120.0 * settings.weeks()).round() as u32 {
            let at = settings.moment(dice.unit());
            let account = dice.below(accounts.len() as u32);
            self.own_changes.entry(account).or_default().push(at);
        }
        let travellers: Vec<&Account> = accounts.iter().filter(|account| account.trip.is_some()).collect();
        for _ in 0..(15.0 * settings.weeks()).round() as u32 {
            let Some(account) = travellers.get(dice.below(travellers.len() as u32) as usize) else { break };
            let Some(trip) = account.trip else { break };
            let at = trip.arrives + dice.seconds(600.0, 40_000.0);
            self.own_changes.entry(account.id).or_default().push(at);
        }
    }

    /// Between nine and ten in the morning thirty to two hundred people log in from the address that their office shares. In
    /// one office of four everybody had to take a new password the day before.
    fn offices(&mut self, settings: &Settings, accounts: &[Account], dice: &mut Dice) {
        for office in 0..(25.0 * settings.weeks()).round() as u32 {
            let day = settings.moment(dice.unit()).as_millis().div_euclid(DAY.as_millis());
            let opens = Time::from_millis(day * DAY.as_millis()) + dice.seconds(3_600.0, 6_000.0);
            let region = dice.below(REGIONS.len() as u32) as u8;
            let address = office_address(region, office);
            let forgetful = if dice.chance(0.25) { 0.3 } else { 0.08 };
            let people = 30 + dice.below(170);
            let near: Vec<&Account> = accounts.iter().filter(|account| account.region() == region).collect();
            for _ in 0..people {
                let Some(account) = near.get(dice.below(near.len() as u32) as usize) else { break };
                let at = opens + dice.seconds(0.0, 1_500.0);
                let mistakes = if dice.chance(forgetful) { 1 + dice.below(3) } else { 0 };
                self.offices.entry(account.id).or_default().push(OfficeLogin { at, address, mistakes });
            }
        }
    }

    pub fn logins_fail(&self, time: Time) -> bool {
        self.login_outages.iter().any(|(from, to)| *from <= time && time < *to)
    }

    pub fn promotion(&self, time: Time) -> Option<&Promotion> {
        self.promotions.iter().find(|promotion| promotion.from <= time && time < promotion.to)
    }

    pub fn in_cluster(&self, channel: u8, region: u8, time: Time) -> bool {
        self.clusters.iter().any(|cluster| {
            cluster.channel == channel
                && cluster.region == region
                && cluster.from <= time
                && time < cluster.to
        })
    }

    /// For the written truth.
    pub fn describe(&self, settings: &Settings, accounts: &[Account]) -> Vec<LookAlike> {
        let mut all: Vec<LookAlike> = Vec::new();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for promotion in &self.promotions {
            let products: Vec<&str> =
                promotion.products.iter().map(|product| product_at(*product).name).collect();
            all.push(LookAlike {
                kind: "promotion".to_owned(),
                subject: BTreeMap::from([text("products", &products.join(", "))]),
                from: promotion.from,
                to: promotion.to,
                accounts: vec![],
            });
        }
        for cluster in &self.clusters {
            let region = REGIONS.get(usize::from(cluster.region)).map_or("", |region| region.name);
            all.push(LookAlike {
                kind: "failure_cluster".to_owned(),
                subject: BTreeMap::from([
                    text("channel", channel_at(cluster.channel).name),
                    text("region", region),
                ]),
                from: cluster.from,
                to: cluster.to,
                accounts: vec![],
            });
        }
        for (account, rows) in &self.own_faults {
            all.extend(rows.iter().map(|row| LookAlike {
                kind: if row.password { "wrong_passwords" } else { "empty_balance" }.to_owned(),
                subject: BTreeMap::from([("account_id".to_owned(), account_name(*account))]),
                from: row.from,
                to: row.from + Span::from_mins(10),
                accounts: vec![account_name(*account)],
            }));
        }
        let of_account = |kind: &str, account: u32, from: Time, to: Time| LookAlike {
            kind: kind.to_owned(),
            subject: BTreeMap::from([("account_id".to_owned(), account_name(account))]),
            from,
            to,
            accounts: vec![account_name(account)],
        };
        for (account, moments) in &self.own_changes {
            let hour = Span::from_mins(60);
            all.extend(moments.iter().map(|at| of_account("own_change", *account, *at, *at + hour)));
        }
        for (account, moments) in &self.late_payments {
            let hour = Span::from_mins(60);
            all.extend(moments.iter().map(|at| of_account("late_but_settled", *account, *at, *at + hour)));
        }
        all.extend(self.described_offices());
        all.extend(self.login_outages.iter().map(|(from, to)| LookAlike {
            kind: "login_outage".to_owned(),
            subject: BTreeMap::new(),
            from: *from,
            to: *to,
            accounts: vec![],
        }));
        all.extend(travellers(accounts));
        all.extend(habits(settings, accounts));
        all
    }

    fn described_offices(&self) -> impl Iterator<Item = LookAlike> {
        let mut people: BTreeMap<u32, Vec<(Time, u32)>> = BTreeMap::new();
        for (account, logins) in &self.offices {
            for login in logins {
                people.entry(login.address).or_default().push((login.at, *account));
            }
        }
        people.into_iter().map(|(address, logins)| LookAlike {
            kind: "shared_office".to_owned(),
            subject: BTreeMap::from([("ip".to_owned(), address_name(address))]),
            from: logins.iter().map(|(at, _)| *at).min().unwrap_or(Time::MIN),
            to: logins.iter().map(|(at, _)| *at).max().unwrap_or(Time::MIN),
            accounts: logins.iter().map(|(_, account)| account_name(*account)).collect(),
        })
    }
}

/// Sales begin at noon or at eight in the evening, local time.
fn evening(settings: &Settings, dice: &mut Dice) -> Time {
    let hour = 3_600_000;
    let day = settings.moment(dice.unit()).as_millis().div_euclid(24 * hour);
    let start = if dice.chance(0.3) { 4 } else { 12 };
    Time::from_millis((day * 24 + start) * hour)
}

fn cluster(settings: &Settings, orders_per_minute: f64, dice: &mut Dice) -> Option<Cluster> {
    let channel = dice.weighted(CHANNELS.iter().map(|channel| channel.share)) as u8;
    let region = dice.weighted(REGIONS.iter().map(|region| region.share)) as u8;
    let from = settings.moment(dice.unit());
    let share =
        channel_at(channel).share * REGIONS.get(usize::from(region)).map_or(0.0, |region| region.share);
    let attempts_per_minute = orders_per_minute * busyness(from, 0) * share;
    if attempts_per_minute < 0.6 {
        return None;
    }
    let to = from + span_of_minutes((dice.between(3.0, 5.5) / attempts_per_minute).clamp(0.3, 6.0));
    Some(Cluster { channel, region, from, to })
}

fn travellers(accounts: &[Account]) -> impl Iterator<Item = LookAlike> {
    accounts.iter().filter_map(|account| {
        let trip = account.trip?;
        let name = account_name(account.id);
        Some(LookAlike {
            kind: if trip.is_abroad() { "trip_abroad" } else { "traveller" }.to_owned(),
            subject: BTreeMap::from([("account_id".to_owned(), name.clone())]),
            from: trip.leaves,
            to: trip.back,
            accounts: vec![name],
        })
    })
}

/// One entry for each habit, with everybody who has it.
fn habits(settings: &Settings, accounts: &[Account]) -> Vec<LookAlike> {
    type Habit = (&'static str, fn(&Account) -> bool);
    let habits: [Habit; 4] = [
        ("vpn", |account| account.vpn.is_some()),
        ("poor_geolocation", |account| account.gateway.is_some()),
        ("new_device", |account| account.new_phone.is_some() || account.new_browser.is_some()),
        ("shared_by_family", |account| account.family),
    ];
    habits
        .into_iter()
        .map(|(kind, has)| LookAlike {
            kind: kind.to_owned(),
            subject: BTreeMap::new(),
            from: settings.start,
            to: settings.end(),
            accounts: accounts.iter().filter(|account| has(account)).map(|a| account_name(a.id)).collect(),
        })
        .collect()
}
