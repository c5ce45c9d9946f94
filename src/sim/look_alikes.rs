//! What looks like trouble and is none: promotions, customers who get their password wrong again and again, small random
//! clusters of failures, and (from the profiles) travellers, VPNs, new phones and poor geolocation.

use std::collections::BTreeMap;

use crate::core::time::{Span, Time};

use super::Settings;
use super::accounts::Account;
use super::dice::{Dice, Purpose, span_of_minutes};
use super::market::{CHANNELS, PRODUCTS, busyness, channel_at, product_at};
use super::places::REGIONS;
use super::record::account_name;
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

#[derive(Clone, Debug, Default)]
pub struct LookAlikes {
    pub promotions: Vec<Promotion>,
    pub clusters: Vec<Cluster>,
    pub own_faults: BTreeMap<u32, Vec<OwnFaults>>,
    /// Logins that happen at a certain moment, beside those of habit.
    pub logins: BTreeMap<u32, Vec<Time>>,
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
        drawn
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
        all.extend(travellers(accounts));
        all.extend(habits(settings, accounts));
        all
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
