//! What is kept of one account: the last settled login and those since, and the few places that it uses regularly.

use crate::core::codec::{CorruptState, Reader, Writer};
use crate::core::event::{Event, Place, Symbol, TextField};
use crate::core::rule::table::State;
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

/// One login, in 24 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Login {
    /// From above: milliseconds (44 bits, until the year 2527), the network's hash (16), the edition of the location database
    /// (3; 0: the platform said the place), and whether it was found impossible.
    stamp: u64,
    pub spot: Spot,
    /// Halves of symbols; 0 where the event lacks the field. Only two logins of one account are ever compared.
    ip: u32,
    device: u32,
}

const TIME_SHIFT: u32 = 20;
const NETWORK_SHIFT: u32 = 4;

impl Login {
    pub fn new(event: &Event<'_>, place: Place) -> Self {
        let hash = |field, bits: u32| match event.symbol(field) {
            Symbol::MISSING => 0,
            symbol => (symbol.0 >> (64 - bits)).max(1),
        };
        let millis = event.time.as_millis().clamp(0, (1 << (64 - TIME_SHIFT)) - 1) as u64;
        Self {
            stamp: millis << TIME_SHIFT
                | hash(TextField::GeoNetwork, 16) << NETWORK_SHIFT
                | u64::from(event.edition & 7) << 1,
            spot: Spot::new(place.latitude, place.longitude, place.accuracy_km),
            ip: hash(TextField::Ip, 32) as u32,
            device: hash(TextField::DeviceId, 32) as u32,
        }
    }

    pub fn time(&self) -> Time {
        Time::from_millis((self.stamp >> TIME_SHIFT) as i64)
    }

    const fn network(&self) -> u16 {
        (self.stamp >> NETWORK_SHIFT) as u16
    }

    const fn edition(&self) -> u64 {
        self.stamp >> 1 & 7
    }

    /// Whether their places come from different editions of a location database, which may have moved an address that stood
    /// still.
    pub const fn is_of_other_edition(&self, other: &Self) -> bool {
        self.edition() != 0 && other.edition() != 0 && self.edition() != other.edition()
    }

    pub const fn found(&self) -> bool {
        self.stamp & 1 != 0
    }

    pub const fn set_found(&mut self, found: bool) {
        self.stamp = self.stamp & !1 | found as u64;
    }

    /// By time; logins of one instant by what they say.
    fn order(&self) -> (u64, Spot, u32, u32) {
        (self.stamp >> NETWORK_SHIFT, self.spot, self.ip, self.device)
    }

    /// Whether both came from one connection or one device at rest, so that the places say nothing.
    pub fn is_same_source(&self, other: &Self) -> bool {
        let one_network = self.network() != 0 && self.network() == other.network();
        self.ip != 0 && self.ip == other.ip || self.device != 0 && self.device == other.device && one_network
    }

    fn day(&self) -> i64 {
        self.time().as_millis() / MILLIS_PER_DAY
    }
}

/// A place that was seen before, to within four kilometres, in 40 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Visited {
    /// In steps of a twentieth of a degree from the south pole (12 bits) and the date line (13 bits).
    latitude: u16,
    longitude: u16,
    /// When it was seen last, in days modulo 2¹³, some 22 years.
    day: u16,
    /// Up to [`REGULAR_VISITS`]; 0: nothing is kept here.
    visits: u8,
}

const DAYS: u16 = 1 << 13;

impl Visited {
    const BYTES: usize = 5;

    fn new(login: &Login) -> Self {
        Self {
            latitude: ((login.spot.latitude() + 90.0) * 20.0).round() as u16,
            longitude: ((login.spot.longitude() + 180.0) * 20.0).round() as u16,
            day: (login.day() % i64::from(DAYS)) as u16,
            visits: 1,
        }
    }

    fn pack(self) -> [u8; Self::BYTES] {
        let bits = u64::from(self.latitude) << 28
            | u64::from(self.longitude) << 15
            | u64::from(self.day) << 2
            | u64::from(self.visits);
        let [bytes @ .., _, _, _] = bits.to_le_bytes();
        bytes
    }

    fn unpack([one, two, three, four, five]: [u8; Self::BYTES]) -> Self {
        let bits = u64::from_le_bytes([one, two, three, four, five, 0, 0, 0]);
        Self {
            latitude: (bits >> 28) as u16,
            longitude: (bits >> 15 & 0x1FFF) as u16,
            day: (bits >> 2) as u16 % DAYS,
            visits: bits as u8 & 3,
        }
    }

    fn is_near(&self, other: &Self) -> bool {
        if (self.latitude, self.longitude) == (other.latitude, other.longitude) {
            return true;
        }
        let spot = |place: &Self| {
            let (latitude, longitude) = (f64::from(place.latitude), f64::from(place.longitude));
            Spot::new(latitude / 20.0 - 90.0, longitude / 20.0 - 180.0, 0.0)
        };
        let (one, other) = (spot(self), spot(other));
        one.most_distance_km(other) <= SAME_PLACE_KM || one.distance_km(other) <= SAME_PLACE_KM
    }

    /// Days since it was seen; 0 when it was seen later than that.
    fn age(&self, day: u16) -> u16 {
        let age = day.wrapping_sub(self.day) % DAYS;
        if age > DAYS - 64 { 0 } else { age }
    }

    fn is_fresh(&self, day: u16) -> bool {
        i64::from(self.age(day)) <= REGULAR_DAYS
    }
}

/// The places that an account was seen at. A fourth takes the room of the one that says least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places([[u8; Visited::BYTES]; 3]);

impl Places {
    fn visit(&mut self, login: &Login) {
        let here = Visited::new(login);
        let places = self.0.map(Visited::unpack);
        let known = places.iter().position(|place| place.visits > 0 && place.is_near(&here));
        let (position, seen) = match known.and_then(|known| Some((known, places.get(known)?))) {
            Some((position, place)) => {
                let visits = if place.is_fresh(here.day) { place.visits + 1 } else { 1 };
                (position, Visited { day: here.day, visits: visits.min(REGULAR_VISITS), ..*place })
            }
            None => {
                let worth = |(_, place): &(usize, &Visited)| {
                    let fresh = place.visits > 0 && place.is_fresh(here.day);
                    (fresh, place.visits >= REGULAR_VISITS, std::cmp::Reverse(place.age(here.day)))
                };
                let least = places.iter().enumerate().min_by_key(worth);
                (least.map_or(0, |(position, _)| position), here)
            }
        };
        if let Some(place) = self.0.get_mut(position) {
            *place = seen.pack();
        }
    }

    fn is_regular(&self, login: &Login) -> bool {
        let here = Visited::new(login);
        self.0
            .map(Visited::unpack)
            .iter()
            .any(|place| place.visits >= REGULAR_VISITS && place.is_fresh(here.day) && place.is_near(&here))
    }
}

/// The state of one account: 64 bytes, unless it has logged in often just now.
#[derive(Debug)]
pub enum Logins {
    Few { list: [Login; 2], count: Count, places: Places },
    Many(Box<Many>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    None,
    One,
    Two,
}

#[derive(Debug)]
pub(super) struct Many {
    list: Vec<Login>,
    places: Places,
}

impl Default for Logins {
    fn default() -> Self {
        Self::few(&[], Places::default())
    }
}

impl Logins {
    fn few(logins: &[Login], places: Places) -> Self {
        let mut list = [Login::default(); 2];
        for (place, login) in list.iter_mut().zip(logins) {
            *place = *login;
        }
        let count = match logins.len() {
            0 => Count::None,
            1 => Count::One,
            _ => Count::Two,
        };
        Self::Few { list, count, places }
    }

    /// By [`Login::order`]. The first may have settled: it is what the others are judged against, and its place has not
    /// been counted yet.
    pub fn list(&self) -> &[Login] {
        match self {
            Self::Few { count: Count::None, .. } => &[],
            Self::Few { list: [one, _], count: Count::One, .. } => std::slice::from_ref(one),
            Self::Few { list, count: Count::Two, .. } => list,
            Self::Many(many) => &many.list,
        }
    }

    pub fn list_mut(&mut self) -> &mut [Login] {
        match self {
            Self::Few { count: Count::None, .. } => &mut [],
            Self::Few { list: [one, _], count: Count::One, .. } => std::slice::from_mut(one),
            Self::Few { list, count: Count::Two, .. } => list,
            Self::Many(many) => &mut many.list,
        }
    }

    fn places(&self) -> Places {
        match self {
            Self::Few { places, .. } => *places,
            Self::Many(many) => many.places,
        }
    }

    /// Puts a login where it belongs and returns its position, and whether an older one had to be taken as settled.
    pub fn insert(&mut self, login: Login) -> (usize, bool) {
        let position = self.list().partition_point(|other| other.order() < login.order());
        match self {
            Self::Few { list: [one, two], count, .. } if *count != Count::Two => {
                match (position, *count) {
                    (0, _) => (*one, *two) = (login, *one),
                    _ => *two = login,
                }
                *count = if *count == Count::None { Count::One } else { Count::Two };
            }
            Self::Few { list, places, .. } => {
                let mut many = Vec::with_capacity(4);
                many.extend_from_slice(list);
                many.insert(position, login);
                *self = Self::Many(Box::new(Many { list: many, places: *places }));
            }
            Self::Many(many) => many.list.insert(position.min(many.list.len()), login),
        }
        let full = self.list().len() > MOST_LOGINS;
        if full {
            self.take_as_settled(1);
        }
        (position.saturating_sub(usize::from(full)), full)
    }

    /// Counts the places of logins before which nothing can arrive any more, but for the last of these.
    pub fn settle(&mut self, settled: Time) -> bool {
        let settled = self.list().iter().take_while(|login| login.time() < settled).count();
        if settled > 1 {
            self.take_as_settled(settled - 1);
        }
        settled > 1
    }

    fn take_as_settled(&mut self, count: usize) {
        let mut places = self.places();
        for login in self.list().iter().take(count) {
            places.visit(login);
        }
        let rest = self.list().get(count..).unwrap_or_default();
        if rest.len() <= 2 {
            *self = Self::few(rest, places);
        } else if let Self::Many(many) = self {
            many.list.drain(..count);
            many.places = places;
        }
    }

    pub fn newest(&self) -> Time {
        self.list().last().map_or(Time::MIN, Login::time)
    }

    /// Whether the login at `position` came from a place that is regular by the logins before it.
    pub fn is_regular(&self, position: usize) -> bool {
        let mut places = self.places();
        for login in self.list().iter().take(position) {
            places.visit(login);
        }
        self.list().get(position).is_some_and(|login| places.is_regular(login))
    }
}

impl State for Logins {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Writer<'_>) {
        to.byte(self.list().len() as u8);
        for login in self.list() {
            to.0.extend_from_slice(&login.stamp.to_le_bytes());
            to.0.extend_from_slice(&login.spot.0.to_le_bytes());
            to.0.extend_from_slice(&login.ip.to_le_bytes());
            to.0.extend_from_slice(&login.device.to_le_bytes());
        }
        // What is empty needs no bytes.
        for place in self.places().0.iter().filter(|place| Visited::unpack(**place).visits > 0) {
            to.0.extend_from_slice(place);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, CorruptState> {
        let mut list = Vec::new();
        for _ in 0..from.byte()? {
            list.push(Login {
                stamp: u64::from_le_bytes(from.bytes()?),
                spot: Spot(u64::from_le_bytes(from.bytes()?)),
                ip: u32::from_le_bytes(from.bytes()?),
                device: u32::from_le_bytes(from.bytes()?),
            });
        }
        let mut places = Places::default();
        let mut free = places.0.iter_mut();
        while !from.0.is_empty() {
            *free.next().ok_or(CorruptState)? = from.bytes()?;
        }
        Ok(if list.len() <= 2 {
            Self::few(&list, places)
        } else {
            Self::Many(Box::new(Many { list, places }))
        })
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Few { .. } => 0,
            Self::Many(many) => size_of::<Many>() + many.list.capacity() * size_of::<Login>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_takes_64_bytes() {
        assert_eq!(size_of::<Login>(), 24);
        assert_eq!(size_of::<Logins>(), 64);
    }

    #[test]
    fn a_place_survives_being_packed() {
        for visited in [
            Visited { latitude: 0, longitude: 0, day: 0, visits: 1 },
            Visited { latitude: 3_600, longitude: 7_200, day: DAYS - 1, visits: 3 },
            Visited { latitude: 2_598, longitude: 5_928, day: 4_242, visits: 2 },
        ] {
            assert_eq!(Visited::unpack(visited.pack()), visited);
        }
        assert_eq!(Visited::unpack([0; 5]).visits, 0);
    }

    #[test]
    fn days_are_counted_across_the_end_of_their_cycle() {
        let seen = Visited { latitude: 0, longitude: 0, day: DAYS - 3, visits: 1 };
        for (day, age) in [(DAYS - 3, 0), (DAYS - 1, 2), (0, 3), (20, 23), (DAYS - 5, 0), (4_000, 4_003)] {
            assert_eq!(seen.age(day), age, "day {day}");
        }
    }
}
