//! Who the simulated customers are: where they live, what they own, how often and how they buy, where they travel.
//!
//! Most of what looks like trouble and is none is made here: trips, new phones, VPNs, poor geolocation, families.

use crate::core::time::{Span, Time};

use super::Settings;
use super::dice::{Dice, Purpose, span_of_minutes};
use super::market::{CHANNELS, DAY, PRODUCTS};
use super::places::{CITIES_AT_HOME, EXIT_CITIES, HOLIDAY_CITIES, REGIONS, distance_km};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Individual,
    Merchant,
    Enterprise,
}

/// Away from home: on the way there and back nobody logs in.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    pub city: u8,
    pub leaves: Time,
    pub arrives: Time,
    pub leaves_again: Time,
    pub back: Time,
}

impl Trip {
    pub fn is_abroad(&self) -> bool {
        self.city >= CITIES_AT_HOME
    }
}

/// A customer and their habits.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: u32,
    pub tier: Tier,
    pub home: u8,
    /// Orders and logins on a mean day.
    pub orders: f64,
    pub logins: f64,
    /// Lives this many hours later than most.
    pub shift: i64,
    /// How much of their own making a failure of theirs is, against the channel's usual.
    pub clumsiness: f64,
    pub first_channel: u8,
    pub second_channel: u8,
    /// Product index that they buy most.
    pub favourite: u8,
    pub at_home_by_phone: f64,
    pub laptop: bool,
    /// When a new phone was bought.
    pub new_phone: Option<Time>,
    /// When the browser of the laptop lost its cookies.
    pub new_browser: Option<Time>,
    pub trip: Option<Trip>,
    /// A tablet at home that the family goes on using.
    pub family: bool,
    /// The city of the exit that their VPN service uses, and how often it is on.
    pub vpn: Option<(u8, f64)>,
    /// Their carrier's gateway makes their phone appear in this other city now and then.
    pub gateway: Option<u8>,
}

/// Where somebody is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    At(u8),
    OnTheWay,
}

impl Account {
    pub fn new(settings: &Settings, id: u32) -> Self {
        let mut dice = Dice::new(settings.seed, Purpose::Profile, u64::from(id), 0);
        let region = dice.weighted(REGIONS.iter().map(|region| region.share)) as u8;
        let home = region * 2 + u8::from(dice.chance(0.35));
        let tier = match dice.unit() {
            share if share < 0.012 => Tier::Merchant,
            share if share < 0.014 => Tier::Enterprise,
            _ => Tier::Individual,
        };
        let orders = match tier {
            Tier::Individual => dice.lognormal(1.0, 0.9).min(9.0),
            Tier::Merchant | Tier::Enterprise => dice.between(8.0, 30.0),
        };
        let channel = |dice: &mut Dice| dice.weighted(CHANNELS.iter().map(|channel| channel.share)) as u8;
        let first_channel = channel(&mut dice);
        let mut account = Self {
            id,
            tier,
            home,
            orders,
            logins: dice.lognormal(0.75, 0.6).min(6.0),
            shift: (dice.normal() * 1.3).round() as i64,
            clumsiness: dice.lognormal(0.85, 0.6),
            first_channel,
            second_channel: channel(&mut dice),
            favourite: dice.weighted(PRODUCTS.iter().map(|product| product.share)) as u8,
            at_home_by_phone: dice.between(0.3, 0.95),
            laptop: dice.chance(0.45),
            new_phone: dice.chance(0.012).then(|| settings.moment(dice.unit())),
            new_browser: dice.chance(0.015).then(|| settings.moment(dice.unit())),
            trip: None,
            family: dice.chance(0.04),
            vpn: None,
            gateway: None,
        };
        account.trip = account.plan_trip(settings, &mut dice);
        if dice.chance(0.02) {
            account.vpn = Some((dice.pick(&EXIT_CITIES).unwrap_or(24), dice.between(0.05, 0.6)));
        }
        if dice.chance(0.07) {
            account.gateway = Some(dice.below(u32::from(CITIES_AT_HOME)) as u8);
        }
        account
    }

    /// Nobody travels faster than a plane: the door-to-door speed is well below 700 km/h.
    fn plan_trip(&self, settings: &Settings, dice: &mut Dice) -> Option<Trip> {
        let weeks = settings.length.as_millis() as f64 / (7.0 * DAY.as_millis() as f64);
        let abroad = dice.chance((0.009 * weeks).min(0.05));
        if !abroad && !dice.chance((0.05 * weeks).min(0.3)) {
            return None;
        }
        let city =
            if abroad { dice.pick(&HOLIDAY_CITIES)? } else { dice.below(u32::from(CITIES_AT_HOME)) as u8 };
        let distance = distance_km(self.home, city);
        if distance < 60.0 {
            return None;
        }
        let slowness = dice.between(1.0, 1.8);
        let journey = if distance > 900.0 {
            span_of_minutes((75.0 + distance / 700.0 * 60.0) * slowness)
        } else {
            span_of_minutes((20.0 + distance / 250.0 * 60.0) * slowness)
        };
        let stay = if abroad { dice.between(2.0, 9.0) } else { dice.between(0.4, 3.0) };
        // Whoever is abroad from the first day on has no home that the events could know.
        let earliest = if abroad { 0.2 } else { -0.3 };
        let leaves = settings.moment(dice.between(earliest, 0.9));
        let arrives = leaves + journey;
        let leaves_again = arrives + Span::from_millis((stay * DAY.as_millis() as f64) as i64);
        Some(Trip { city, leaves, arrives, leaves_again, back: leaves_again + journey })
    }

    pub fn region(&self) -> u8 {
        self.home / 2
    }

    pub fn whereabouts(&self, time: Time) -> Whereabouts {
        match self.trip {
            Some(trip) if time >= trip.leaves && time < trip.back => {
                if time >= trip.arrives && time < trip.leaves_again {
                    Whereabouts::At(trip.city)
                } else {
                    Whereabouts::OnTheWay
                }
            }
            _ => Whereabouts::At(self.home),
        }
    }

    /// The number of the phone that they carry at this moment.
    pub fn phone(&self, time: Time) -> u16 {
        if self.new_phone.is_some_and(|bought| time >= bought) { 4 } else { 0 }
    }

    /// The number that the laptop's browser goes by at this moment.
    pub fn browser(&self, time: Time) -> u16 {
        if self.new_browser.is_some_and(|lost| time >= lost) { 7 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { accounts: 4_000, ..Settings::default() }
    }

    #[test]
    fn honest_travellers_never_move_faster_than_a_plane() {
        let settings = settings();
        let mut trips = 0;
        for id in 0..settings.accounts {
            let account = Account::new(&settings, id);
            let Some(trip) = account.trip else { continue };
            trips += 1;
            let hours = trip.arrives.since(trip.leaves).as_secs_f64() / 3_600.0;
            let speed = distance_km(account.home, trip.city) / hours;
            assert!(speed < 700.0, "account {id}: {speed} km/h");
            assert_eq!(account.whereabouts(trip.leaves), Whereabouts::OnTheWay);
            assert_eq!(account.whereabouts(trip.arrives), Whereabouts::At(trip.city));
            assert_eq!(account.whereabouts(trip.back), Whereabouts::At(account.home));
        }
        assert!(trips > 100, "{trips} trips");
    }

    #[test]
    fn a_profile_depends_on_nothing_but_seed_and_number() {
        let settings = settings();
        let larger = Settings { accounts: 9_000, ..settings };
        for id in [0, 17, 3_999] {
            let (one, two) = (Account::new(&settings, id), Account::new(&larger, id));
            assert_eq!(format!("{one:?}"), format!("{two:?}"));
        }
    }
}
