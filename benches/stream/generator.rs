//! The stream: orders that are created, paid and delivered or fail, logins of people at home, 1 % of events up to 5 s
//! behind the others, 1 % twice, and now and then something for each of the four rules to find.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Stream;

const CHANNELS: [&str; 8] =
    ["alipay", "wechat", "unionpay", "bank-transfer", "paypal", "visa", "mastercard", "carrier-billing"];
const REGIONS: [&str; 6] = ["cn-east", "cn-north", "cn-south", "cn-west", "hk", "sg"];
const KINDS: [&str; 4] = ["topup", "card_key", "direct", "membership"];
/// Large places, so that neighbours in an account's life are neighbours on the map.
const HOMES: [(&str, &str, f64, f64); 8] = [
    ("CN", "Shanghai", 31.23, 121.47),
    ("CN", "Beijing", 39.90, 116.41),
    ("CN", "Guangzhou", 23.13, 113.26),
    ("CN", "Chengdu", 30.57, 104.07),
    ("CN", "Wuhan", 30.59, 114.31),
    ("CN", "Xian", 34.34, 108.94),
    ("HK", "Hong Kong", 22.32, 114.17),
    ("SG", "Singapore", 1.35, 103.82),
];
/// The stream begins where nearly every order that was under way at the beginning of the world has ended: a platform does
/// not begin with its first order, and a share of what is paid is not that of a first minute.
const SETTLING_MICROS: i64 = 90_000_000;
/// One channel in trouble for a minute, a third into the stream.
const OUTAGE_CHANNEL: usize = 0;
const OUTAGE_MILLIS: i64 = 60_000;

/// Where an event goes.
pub struct Routed {
    pub is_login: bool,
    pub account: u32,
    pub time: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Created,
    Paid,
    Delivered,
    Failed { customer: bool },
    Login { away: bool },
}

/// Ordered by the moment at which it is to be written, then by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    due: i64,
    id: u64,
    time: i64,
    account: u32,
    order: u64,
    kind: Kind,
}

pub struct Generator {
    random: ChaCha8Rng,
    accounts: u32,
    left: u64,
    /// Microseconds, so that any rate divides well.
    now: i64,
    step: i64,
    outage: (i64, i64),
    next_id: u64,
    next_order: u64,
    /// What orders under way will do next.
    coming: BinaryHeap<Reverse<Event>>,
    /// What arrives behind the others, or again.
    held: BinaryHeap<Reverse<Event>>,
}

impl Generator {
    pub fn new(stream: &Stream) -> Self {
        let start = stream.start.as_microsecond();
        let step = 1_000_000 / i64::from(stream.rate.max(1));
        let third = start / 1_000 + i64::try_from(stream.events / 3).unwrap_or(0) * step / 1_000;
        let mut generator = Self {
            random: ChaCha8Rng::seed_from_u64(stream.seed),
            accounts: stream.accounts.max(1),
            left: stream.events,
            now: start - SETTLING_MICROS,
            step,
            outage: (third, third + OUTAGE_MILLIS),
            next_id: 0,
            next_order: 0,
            coming: BinaryHeap::new(),
            held: BinaryHeap::new(),
        };
        while generator.now < start {
            generator.now += step;
            generator.take(generator.now / 1_000);
        }
        generator
    }

    /// Writes the next event's JSON to `line`.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Option<Routed> {
        self.left = self.left.checked_sub(1)?;
        self.now += self.step;
        let now = self.now / 1_000;
        let event = self.take(now);
        line.clear();
        // Writing to a vector can't fail.
        drop(write_event(line, &event));
        Some(Routed {
            is_login: matches!(event.kind, Kind::Login { .. }),
            account: event.account,
            time: event.time,
        })
    }

    fn take(&mut self, now: i64) -> Event {
        loop {
            if let Some(event) = due(&mut self.held, now) {
                return event;
            }
            let event = match due(&mut self.coming, now) {
                Some(event) => event,
                None => self.begin(now),
            };
            self.go_on(&event);
            let lot = self.random.random_range(0..100);
            let later = Event { due: now + self.random.random_range(1..5_000), ..event };
            match lot {
                // Behind the others. The next one is written in its place.
                0 => self.held.push(Reverse(later)),
                1 => {
                    self.held.push(Reverse(later));
                    return event;
                }
                _ => return event,
            }
        }
    }

    fn begin(&mut self, now: i64) -> Event {
        let account = self.random.random_range(0..self.accounts);
        // An order has three events, so that this share of beginnings makes 18 % of all events logins.
        if self.random.random_bool(0.38) {
            let away = self.random.random_bool(0.000_1);
            return self.event(now, account, 0, Kind::Login { away });
        }
        self.next_order += 1;
        self.event(now, account, self.next_order, Kind::Created)
    }

    fn event(&mut self, time: i64, account: u32, order: u64, kind: Kind) -> Event {
        self.next_id += 1;
        Event { due: time, id: self.next_id, time, account, order, kind }
    }

    /// What follows from an event, later.
    fn go_on(&mut self, event: &Event) {
        match event.kind {
            Kind::Created => {
                let paid = event.time + self.random.random_range(1_000..20_000);
                let in_outage = channel_of(event.order) == OUTAGE_CHANNEL
                    && (self.outage.0..self.outage.1).contains(&paid)
                    && self.random.random_bool(0.6);
                if in_outage || self.random.random_bool(0.02) {
                    self.later(paid, event, Kind::Failed { customer: false });
                } else if self.random.random_bool(0.01) {
                    self.later(paid, event, Kind::Failed { customer: true });
                } else {
                    self.later(paid, event, Kind::Paid);
                }
            }
            Kind::Paid => {
                // Few orders are never delivered.
                if !self.random.random_bool(0.000_2) {
                    let delivered = event.time + self.random.random_range(1_000..60_000);
                    self.later(delivered, event, Kind::Delivered);
                }
            }
            // Some people try again, and fail again.
            Kind::Failed { customer: false } if self.random.random_bool(0.05) => {
                self.next_order += 1;
                let again = event.time + self.random.random_range(5_000..30_000);
                let order = Event { order: self.next_order, ..*event };
                self.later(again, &order, Kind::Failed { customer: false });
            }
            Kind::Failed { .. } | Kind::Delivered | Kind::Login { .. } => {}
        }
    }

    fn later(&mut self, time: i64, event: &Event, kind: Kind) {
        let event = self.event(time, event.account, event.order, kind);
        self.coming.push(Reverse(event));
    }
}

fn due(heap: &mut BinaryHeap<Reverse<Event>>, now: i64) -> Option<Event> {
    if heap.peek().is_none_or(|Reverse(event)| event.due > now) {
        return None;
    }
    heap.pop().map(|Reverse(event)| event)
}

fn channel_of(order: u64) -> usize {
    (order % CHANNELS.len() as u64) as usize
}

fn write_event(line: &mut Vec<u8>, event: &Event) -> std::io::Result<()> {
    let Event { id, account, order, .. } = *event;
    let kind = match event.kind {
        Kind::Created => "order.created",
        Kind::Paid => "order.paid",
        Kind::Delivered => "order.delivered",
        Kind::Failed { .. } => "order.failed",
        Kind::Login { .. } => "login.succeeded",
    };
    write!(line, r#"{{"id":"e{id:010}","type":"{kind}","time":""#)?;
    write_time(line, event.time)?;
    let [.., b, c, d] = account.to_be_bytes();
    // The same device or address elsewhere is a mistake of the location database; an intruder has others.
    let is_away = matches!(event.kind, Kind::Login { away: true });
    let (net, device) = if is_away { (11, 2) } else { (10, 1) };
    write!(
        line,
        r#"","account_id":"a{account:08}","ip":"{net}.{b}.{c}.{d}","device_id":"d{account:08}-{device}","#
    )?;
    if let Kind::Login { away } = event.kind {
        let home = account as usize % HOMES.len();
        let (country, city, latitude, longitude) =
            HOMES.get(if away { (home + 7) % HOMES.len() } else { home }).copied().unwrap_or(HOMES[0]);
        return write!(
            line,
            concat!(
                r#""user_agent":"Mozilla/5.0 (Linux; Android 15)","geo":{{"country":"{}","city":"{}","#,
                r#""latitude":{},"longitude":{},"accuracy_km":10,"asn":4134,"network":"mobile"}}}}"#
            ),
            country, city, latitude, longitude
        );
    }
    let kind = if matches!(event.kind, Kind::Failed { .. }) { KINDS[0] } else { KINDS[(order % 4) as usize] };
    write!(
        line,
        concat!(
            r#""order_id":"o{:010}","kind":"{}","product":"product-{:03}","supplier":"supplier-{:02}","#,
            r#""channel":"{}","region":"{}","amount":"{}.00","currency":"CNY""#
        ),
        order,
        kind,
        order % 500,
        order % 40,
        CHANNELS[channel_of(order)],
        REGIONS[(order % 6) as usize],
        5 + order % 495
    )?;
    match event.kind {
        Kind::Failed { customer: true } => write!(line, r#","error_code":"BALANCE_LOW"}}"#),
        Kind::Failed { customer: false } => write!(line, r#","error_code":"CHANNEL_TIMEOUT"}}"#),
        _ => write!(line, "}}"),
    }
}

fn write_time(line: &mut Vec<u8>, millis: i64) -> std::io::Result<()> {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => write!(line, "{time:.3}"),
        Err(_) => write!(line, "{millis}"),
    }
}

/// The events of one account that must fire `bench-frequency` (three failures) or `bench-travel` (two logins), the
/// last of them last. Written for the moment at which they are handed over.
pub fn firing(line: &mut Vec<u8>, account: u32, step: u32, travels: bool, now: i64, id: u64) {
    let kind = match travels {
        true => Kind::Login { away: step > 0 },
        false => Kind::Failed { customer: false },
    };
    line.clear();
    drop(write_event(line, &Event { due: now, id, time: now, account, order: id, kind }));
}

/// An event that fires nothing.
pub fn harmless(line: &mut Vec<u8>, random: &mut impl Rng, accounts: u32, now: i64, id: u64) -> (u32, bool) {
    let account = random.random_range(0..accounts);
    let kind = if random.random_bool(0.18) { Kind::Login { away: false } } else { Kind::Created };
    line.clear();
    drop(write_event(line, &Event { due: now, id, time: now, account, order: id, kind }));
    (account, matches!(kind, Kind::Login { .. }))
}
