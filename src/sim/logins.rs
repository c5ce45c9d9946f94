//! How customers log in: from home, from their phone, on a trip, through a VPN; and how an intruder does.

use crate::core::event::EventType;
use crate::core::time::{Span, Time};

use super::accounts::Whereabouts;
use super::complaints::Grievance;
use super::dice::span_of_seconds;
use super::market::{DAY, NO_CODE, PASSWORD_CODE, PLATFORM_CODE};
use super::places::{CITIES_AT_HOME, Network, broadband_address, carrier_address, foreign_address};
use super::record::{Body, INTRUDER_DEVICE, Login, SHARED_DEVICE};
use super::scene::{SLOT, Scene};
use super::trouble::{Attempt, Planted, Trouble};

/// Device number of the family's tablet at home.
const TABLET: u16 = 6;
/// So many of its own logins an account has shown before an intruder is planted.
pub const KNOWN_AFTER: u32 = 5;

/// What is changed by those who mean to keep an account to themselves, honest or not.
const CHANGES: [EventType; 5] = [
    EventType::AccountPasswordChanged,
    EventType::AccountPasswordChanged,
    EventType::AccountContactChanged,
    EventType::AccountPayeeChanged,
    EventType::AccountMfaReset,
];

impl Scene<'_> {
    pub fn log_in(&mut self, slot: Time) {
        let look_alikes = self.look_alikes;
        let certain = look_alikes.logins.get(&self.account.id).into_iter().flatten().copied();
        let certain = certain.filter(|moment| slot <= *moment && *moment < slot + SLOT);
        let mut moments = self.moments(slot, self.account.logins);
        moments.extend(certain);
        for moment in moments {
            if self.account.family && self.dice.chance(0.3) {
                let login = self.at_home_with(TABLET);
                self.succeed(moment, login);
                continue;
            }
            let Whereabouts::At(city) = self.account.whereabouts(moment) else { continue };
            let login = self.honest(city, moment);
            let login = self.behind_vpn(login);
            let mistakes = self.wrong_passwords();
            self.succeed_after(mistakes, moment, login);
        }
        self.log_in_at_the_office(slot);
        for moment in look_alikes.own_changes.get(&self.account.id).into_iter().flatten() {
            if slot <= *moment && *moment < slot + SLOT {
                self.change_own(*moment);
            }
        }
        let planted: Vec<(usize, Planted)> =
            self.plan.of_account(self.account.id, slot, slot + SLOT).collect();
        for (problem, planted) in planted {
            match planted.trouble {
                Trouble::Intrusion { city, fast, hosting, .. } => {
                    self.intrude(problem, planted.from, city, fast, hosting);
                }
                Trouble::Takeover { city, hosting, .. } => {
                    self.take_over(problem, planted.from, city, hosting);
                }
                _ => {}
            }
        }
        let attempts: Vec<Attempt> = self.plan.attempts_on(self.account.id, slot, slot + SLOT).collect();
        for attempt in attempts {
            self.be_tried(attempt);
        }
    }

    /// Logs in after so many wrong passwords, or when the platform lets anybody in again.
    fn succeed_after(&mut self, mistakes: u32, moment: Time, login: Login) {
        let mut now = moment;
        while self.look_alikes.logins_fail(now) {
            let failed = Login { error: PLATFORM_CODE, ..login.clone() };
            self.tell(now, EventType::LoginFailed, Body::Login(failed));
            now += self.dice.seconds(20.0, 180.0);
        }
        for _ in 0..mistakes {
            let failed = Login { error: PASSWORD_CODE, ..login.clone() };
            self.tell(now, EventType::LoginFailed, Body::Login(failed));
            now += self.dice.seconds(4.0, 40.0);
        }
        self.succeed(now, login);
    }

    fn log_in_at_the_office(&mut self, slot: Time) {
        let look_alikes = self.look_alikes;
        for office in look_alikes.offices.get(&self.account.id).into_iter().flatten() {
            if slot <= office.at
                && office.at < slot + SLOT
                && self.account.whereabouts(office.at) == Whereabouts::At(self.account.home)
            {
                let device = self.account.browser(office.at);
                let login = blank(self.account.home, Network::Business, office.address, device);
                let accuracy = self.dice.between(5.0, 30.0);
                let login = self.place(login, accuracy);
                self.succeed_after(office.mistakes, office.at, login);
            }
        }
    }

    /// The owner logs in with their own phone, changes the password, the number or the second factor, and may well buy
    /// something next.
    fn change_own(&mut self, moment: Time) {
        let Whereabouts::At(city) = self.account.whereabouts(moment) else { return };
        let login = self.honest(city, moment);
        self.succeed(moment, login.clone());
        let changes = moment + self.dice.seconds(40.0, 480.0);
        let what = self.dice.pick(&CHANGES).unwrap_or(EventType::AccountPasswordChanged);
        self.tell(changes, what, Body::Login(login));
        if self.dice.chance(0.5) {
            let buys = changes + self.dice.seconds(60.0, 2_400.0);
            let order = self.wish(buys);
            self.purchase(order, buys, 1.0);
        }
    }

    fn succeed(&mut self, time: Time, login: Login) {
        if time < self.settings.end() {
            self.past.logins += 1;
            self.past.logins_abroad += u32::from(login.city >= CITIES_AT_HOME);
        }
        self.tell(time, EventType::LoginSucceeded, Body::Login(login));
    }

    /// Most get it right at once; a few get it wrong several times in a row.
    fn wrong_passwords(&mut self) -> u32 {
        match self.dice.unit() {
            luck if luck < 0.004 => 3 + self.dice.below(6),
            luck if luck < 0.06 => 1 + self.dice.below(2),
            _ => 0,
        }
    }

    fn place(&mut self, login: Login, accuracy_km: f64) -> Login {
        // The database's answer lies within the radius that it gives, mostly well within.
        let spread = accuracy_km / 111.0 * 100.0 * 0.3;
        Login {
            accuracy_km: accuracy_km as u16,
            off_latitude: (self.dice.normal().clamp(-2.0, 2.0) * spread) as i16,
            off_longitude: (self.dice.normal().clamp(-2.0, 2.0) * spread) as i16,
            ..login
        }
    }

    fn at_home_with(&mut self, device: u16) -> Login {
        let city = self.account.home;
        let login = blank(city, Network::Broadband, broadband_address(city, self.account.id), device);
        let accuracy = self.dice.between(5.0, 20.0);
        self.place(login, accuracy)
    }

    /// A login by the customer, wherever they are.
    fn honest(&mut self, city: u8, time: Time) -> Login {
        let (at_home, abroad) = (city == self.account.home, city >= CITIES_AT_HOME);
        if at_home && self.account.laptop && self.dice.chance(0.35) {
            return self.at_home_with(self.account.browser(time));
        }
        let phone = self.account.phone(time);
        // Who has been seen abroad on their own phone may well use the hotel's machine next.
        if abroad && self.past.logins_abroad > 0 && self.dice.chance(0.06) {
            let device = SHARED_DEVICE + u16::from(city);
            let login = blank(city, Network::Business, foreign_address(city, Network::Business, 7), device);
            return self.place(login, 20.0);
        }
        if self.dice.chance(0.45) {
            if at_home {
                return self.at_home_with(phone);
            }
            let login = blank(city, Network::Broadband, self.address(city, Network::Broadband), phone);
            let accuracy = self.dice.between(5.0, 30.0);
            return self.place(login, accuracy);
        }
        if !abroad
            && let Some(gateway) = self.account.gateway
            && self.dice.chance(0.35)
        {
            let login = blank(gateway, Network::Mobile, self.address(gateway, Network::Mobile), phone);
            // Most databases know that they hardly know; some do not.
            let accuracy = if self.dice.chance(0.85) {
                self.dice.between(200.0, 1_000.0)
            } else {
                self.dice.between(50.0, 100.0)
            };
            return Login { accuracy_km: accuracy as u16, ..login };
        }
        let login = blank(city, Network::Mobile, self.address(city, Network::Mobile), phone);
        let accuracy = self.dice.between(20.0, 100.0);
        self.place(login, accuracy)
    }

    fn behind_vpn(&mut self, login: Login) -> Login {
        let Some((exit, how_often)) = self.account.vpn else { return login };
        if !self.dice.chance(how_often) {
            return login;
        }
        let network = if self.dice.chance(0.75) { Network::Vpn } else { Network::Hosting };
        let address = self.address(exit, network);
        let accuracy = self.dice.between(20.0, 200.0);
        self.place(Login { city: exit, network, address, ..login }, accuracy)
    }

    fn address(&mut self, city: u8, network: Network) -> u32 {
        let lot = self.dice.below(4_096);
        match network {
            Network::Mobile if city < CITIES_AT_HOME => carrier_address(city, lot),
            _ => foreign_address(city, network, lot),
        }
    }

    /// Somebody else logs in: from a country and on a device that the account has never shown.
    fn intrude(&mut self, problem: usize, from: Time, city: u8, fast: bool, hosting: bool) {
        if self.past.logins < KNOWN_AFTER {
            return;
        }
        if fast {
            let before = from - self.dice.seconds(240.0, 2_700.0);
            let own = self.at_home_with(self.account.phone(before));
            self.succeed(before, own);
        }
        let network = if hosting { Network::Hosting } else { Network::Broadband };
        let login = blank(city, network, self.address(city, network), INTRUDER_DEVICE);
        let accuracy = self.dice.between(10.0, 60.0);
        let login = self.place(login, accuracy);
        if self.dice.chance(0.3) {
            let mut tries = from - self.dice.seconds(60.0, 200.0);
            for _ in 0..1 + self.dice.below(4) {
                let failed = Login { error: PASSWORD_CODE, ..login.clone() };
                self.tell(tries, EventType::LoginFailed, Body::Login(failed));
                tries += self.dice.seconds(3.0, 14.0);
            }
        }
        self.tell(from, EventType::LoginSucceeded, Body::Login(login.clone()));
        self.ledger.touch(problem, self.account.id, from, None);
        self.may_complain(problem, None, from, Grievance::Intrusion);
        if self.dice.chance(0.35) {
            let at = from + self.dice.seconds(120.0, 1_200.0);
            self.tell(at, EventType::AccountContactChanged, Body::Login(login.clone()));
        }
        if self.dice.chance(0.5) {
            self.spend(city, network, from);
        }
        for _ in 0..self.dice.below(3) {
            let at = from + Span::from_mins(5) + self.dice.seconds(0.0, 9_000.0);
            self.tell(at, EventType::LoginSucceeded, Body::Login(login.clone()));
        }
    }
}

impl Scene<'_> {
    /// Somebody else is in, keeps the owner out, and buys what can be sold on. Thieves take minutes, some an hour.
    fn take_over(&mut self, problem: usize, from: Time, city: u8, hosting: bool) {
        if self.past.logins < KNOWN_AFTER {
            return;
        }
        let network = if hosting { Network::Hosting } else { Network::Broadband };
        let login = blank(city, network, foreign_address(city, network, self.account.id), INTRUDER_DEVICE);
        let accuracy = self.dice.between(5.0, 60.0);
        let login = self.place(login, accuracy);
        self.tell(from, EventType::LoginSucceeded, Body::Login(login.clone()));
        self.ledger.touch(problem, self.account.id, from, None);
        self.may_complain(problem, None, from, Grievance::Intrusion);
        let mut at = from + span_of_seconds(self.dice.lognormal(300.0, 0.8).min(2_400.0) + 20.0);
        for _ in 0..1 + self.dice.below(2) {
            let what = self.dice.pick(&CHANGES).unwrap_or(EventType::AccountContactChanged);
            self.tell(at, what, Body::Login(login.clone()));
            at += self.dice.seconds(20.0, 240.0);
        }
        self.spend(city, network, at);
    }

    /// A stolen password is tried. Where it is the right one, that is noted for later, and nothing is touched for now.
    fn be_tried(&mut self, attempt: Attempt) {
        let Attempt { problem, at, address, city, device, enters } = attempt;
        let network = if address == foreign_address(city, Network::Hosting, address) {
            Network::Hosting
        } else {
            Network::Broadband
        };
        let login = blank(city, network, address, device);
        let accuracy = self.dice.between(10.0, 60.0);
        let login = self.place(login, accuracy);
        self.ledger.touch(problem, self.account.id, at, None);
        if enters {
            self.tell(at, EventType::LoginSucceeded, Body::Login(login));
            self.may_complain(problem, None, at, Grievance::Visit);
            // Until the owner changes the password, whatever looks strange about the account is because of that.
            self.ledger.last(problem, self.account.id, at + DAY);
        } else {
            self.tell(at, EventType::LoginFailed, Body::Login(Login { error: PASSWORD_CODE, ..login }));
        }
    }
}

fn blank(city: u8, network: Network, address: u32, device: u16) -> Login {
    Login {
        address,
        device,
        city,
        network,
        accuracy_km: 0,
        off_latitude: 0,
        off_longitude: 0,
        error: NO_CODE,
    }
}
