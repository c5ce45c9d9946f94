//! What is kept of one account: the last settled login and those since, and the few places that it uses regularly.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Event, Place, Symbol, TextField};
use crate::core::rule::table::{Small, State};
use crate::core::stats::geodesy::Spot;
use crate::core::time::Time;

/// Logins that are kept until they have settled. Above it the oldest is taken as settled.
const MOST_LOGINS: usize = 32;
/// So many earlier logins make a place a regular one.
const REGULAR_VISITS: u8 = 3;
/// A place is forgotten when it was not seen for this long.
pub const REGULAR_DAYS: i64 = 30;
/// What lies so near is the same place.
const SAME_PLACE_KM: f64 = 50.0;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// One login, in 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Login {
    /// Milliseconds, then one bit: found impossible.
    stamp: i64,
    pub spot: Spot,
    /// Halves of symbols; 0 where the event lacks the field. Only two logins of one account are ever compared.
    ip: u32,
    device: u32,
    network: u32,
}

impl Login {
    pub fn new(event: &Event<'_>, place: Place) -> Self {
        let half = |field| match event.symbol(field) {
            Symbol::MISSING => 0,
            symbol => ((symbol.0 >> 32) as u32).max(1),
        };
        Self {
            stamp: event.time.as_millis() << 1,
            spot: Spot::new(place.latitude, place.longitude, place.accuracy_km),
            ip: half(TextField::Ip),
            device: half(TextField::DeviceId),
            network: half(TextField::GeoNetwork),
        }
    }

    pub fn time(&self) -> Time {
        Time::from_millis(self.stamp >> 1)
    }

    pub fn found(&self) -> bool {
        self.stamp & 1 != 0
    }

    pub fn set_found(&mut self, found: bool) {
        self.stamp = self.stamp & !1 | i64::from(found);
    }

    /// By time; logins of one instant by what they say.
    fn order(&self) -> (i64, Spot, u32, u32, u32) {
        (self.stamp >> 1, self.spot, self.ip, self.device, self.network)
    }

    /// Whether both came from one connection or one device at rest, so that the places say nothing.
    pub fn is_same_source(&self, other: &Self) -> bool {
        let same = |one: u32, other: u32| one != 0 && one == other;
        same(self.ip, other.ip) || same(self.device, other.device) && same(self.network, other.network)
    }

    fn day(&self) -> i64 {
        (self.stamp >> 1).div_euclid(MILLIS_PER_DAY)
    }
}

/// A place that was seen before, to about a kilometre, in 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Visited {
    /// In hundredths of a degree.
    latitude: i16,
    longitude: i16,
    /// When it was seen last, in days since 1970.
    day: u16,
    /// 0: nothing is kept here.
    visits: u8,
}

impl Visited {
    fn new(login: &Login) -> Self {
        Self {
            latitude: (login.spot.latitude() * 100.0).round() as i16,
            longitude: (login.spot.longitude() * 100.0).round() as i16,
            day: day_of(login),
            visits: 1,
        }
    }

    fn is_near(&self, other: &Self) -> bool {
        if (self.latitude, self.longitude) == (other.latitude, other.longitude) {
            return true;
        }
        let spot = |place: &Self| {
            Spot::new(f64::from(place.latitude) / 100.0, f64::from(place.longitude) / 100.0, 0.0)
        };
        let (one, other) = (spot(self), spot(other));
        one.most_distance_km(other) <= SAME_PLACE_KM || one.distance_km(other) <= SAME_PLACE_KM
    }

    fn is_fresh(&self, day: u16) -> bool {
        i64::from(day) - i64::from(self.day) <= REGULAR_DAYS
    }
}

fn day_of(login: &Login) -> u16 {
    login.day().clamp(0, i64::from(u16::MAX)) as u16
}

/// The places that an account was seen at. A fourth takes the room of the one that says least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places([Visited; 3]);

impl Places {
    fn visit(&mut self, login: &Login) {
        let visited = Visited::new(login);
        let known = self.0.iter_mut().find(|place| place.visits > 0 && place.is_near(&visited));
        if let Some(place) = known {
            place.visits = if place.is_fresh(visited.day) { place.visits.saturating_add(1) } else { 1 };
            place.day = visited.day;
            return;
        }
        let worth = |place: &&mut Visited| {
            let fresh = place.is_fresh(visited.day);
            (place.visits > 0 && fresh, place.visits >= REGULAR_VISITS, place.day)
        };
        if let Some(place) = self.0.iter_mut().min_by_key(worth) {
            *place = visited;
        }
    }

    fn is_regular(&self, login: &Login) -> bool {
        let here = Visited::new(login);
        self.0
            .iter()
            .any(|place| place.visits >= REGULAR_VISITS && place.is_fresh(here.day) && place.is_near(&here))
    }
}

/// The state of one account, in 64 bytes while it is idle.
#[derive(Debug, Default)]
pub struct Logins {
    /// By [`Login::order`]. The first may have settled: it is what the others are judged against, and its place has not
    /// been counted yet.
    list: Small<Login, 1>,
    places: Places,
}

impl Logins {
    /// Puts a login where it belongs and returns its position, and whether an older one had to be taken as settled.
    pub fn insert(&mut self, login: Login) -> (usize, bool) {
        let mut position = self.list.partition_point(|other| other.order() < login.order());
        self.list.insert(position, login);
        let full = self.list.len() > MOST_LOGINS;
        if full {
            self.take_as_settled(1);
            position = position.saturating_sub(1);
        }
        (position, full)
    }

    /// Counts the places of logins before which nothing can arrive any more, but for the last of these.
    pub fn settle(&mut self, settled: Time) -> bool {
        let settled = self.list.iter().take_while(|login| login.time() < settled).count();
        self.take_as_settled(settled.saturating_sub(1));
        settled > 1
    }

    fn take_as_settled(&mut self, count: usize) {
        for login in self.list.iter().take(count) {
            self.places.visit(login);
        }
        self.list.drop_front(count);
    }

    pub fn list(&self) -> &[Login] {
        &self.list
    }

    pub fn list_mut(&mut self) -> &mut [Login] {
        &mut self.list
    }

    pub fn newest(&self) -> Time {
        self.list.last().map_or(Time::MIN, Login::time)
    }

    /// Whether the login at `position` came from a place that is regular by the logins before it.
    pub fn is_regular(&self, position: usize) -> bool {
        let mut places = self.places;
        for login in self.list.iter().take(position) {
            places.visit(login);
        }
        self.list.get(position).is_some_and(|login| places.is_regular(login))
    }

    pub fn shrink(&mut self) {
        self.list.shrink();
    }
}

impl State for Logins {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.unsigned(self.list.len() as u64);
        for login in self.list.iter() {
            to.signed(login.stamp);
            for half in
                [(login.spot.0 >> 32) as u32, login.spot.0 as u32, login.ip, login.device, login.network]
            {
                to.0.extend_from_slice(&half.to_le_bytes());
            }
        }
        for place in self.places.0.iter().filter(|place| place.visits > 0) {
            to.byte(place.visits);
            to.signed(i64::from(place.latitude));
            to.signed(i64::from(place.longitude));
            to.unsigned(u64::from(place.day));
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut logins = Self::default();
        for _ in 0..from.count()? {
            let stamp = from.signed()?;
            let mut half = || from.bytes().map(u32::from_le_bytes);
            let spot = Spot(u64::from(half()?) << 32 | u64::from(half()?));
            logins.list.push(Login { stamp, spot, ip: half()?, device: half()?, network: half()? });
        }
        let mut places = logins.places.0.iter_mut();
        while !from.0.is_empty() {
            let place = places.next().ok_or(CorruptState)?;
            let visits = from.byte()?;
            let mut coordinate = || i16::try_from(from.signed()?).map_err(|_| CorruptState);
            let (latitude, longitude) = (coordinate()?, coordinate()?);
            let day = u16::try_from(from.unsigned()?).map_err(|_| CorruptState)?;
            *place = Visited { latitude, longitude, day, visits };
        }
        Ok(logins)
    }

    fn heap_bytes(&self) -> usize {
        self.list.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_account_takes_64_bytes() {
        assert_eq!(size_of::<Login>(), 32);
        assert_eq!(size_of::<Logins>(), 64);
    }
}
